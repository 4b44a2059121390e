//! What these tests share: a table, a queue, a folder that files are dropped in, and the function.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_smithy_types::retry::RetryConfig;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{EmbeddedAws, Interference, QueueAttributes, Settings, Untouched};
use lotwire::stack::resources;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::event::{Change, Level, MoveReason, StockEvent, Version};
use shared::domain::id::ConnectorName;
use shared::domain::{Authority, Position, Unit};
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::Store;
use shared::store::feeds::FeedState;
use shared::store::movements::{Act, Movement};
use shared::store::runs::{FileReport, Run};
use shared::store::stated::Missing;
use shared::store::stock::Applied;
use tempfile::TempDir;

use crate::Sync;

const QUEUE: &str = "runs";

/// When a bench's clock starts.
pub(super) const START: &str = "2026-01-15T09:30:00Z";

/// A table, a queue, a folder, and the function.
pub(super) struct Bench {
    aws: EmbeddedAws,
    pub(super) store: Store,
    pub(super) sync: Arc<Sync>,
    home: TempDir,
    numbers: Lines,
}

/// How a bench is built.
pub(super) struct Setup {
    /// Lines of the connector's section beside `kind`, `url` and `locations`.
    pub(super) settings: String,
    /// Where the files are; the bench's own folder unless set.
    pub(super) url: Option<String>,
    pub(super) clock: Clock,
    pub(super) interference: Arc<dyn Interference>,
    /// Values of `env:` references.
    pub(super) environment: BTreeMap<String, String>,
}

impl Setup {
    pub(super) fn with(settings: &str) -> Self {
        Self {
            settings: settings.to_owned(),
            url: None,
            clock: Clock::starting_at(START.parse().unwrap()),
            interference: Arc::new(Untouched),
            environment: BTreeMap::new(),
        }
    }
}

/// The source of these tests.
pub(super) fn erp() -> ConnectorName {
    "erp".parse().unwrap()
}

impl Bench {
    /// On tokio's (paused) time, reading a folder. A file counts as finished at once.
    pub(super) async fn with(settings: &str) -> Self {
        Self::of(Setup::with(settings)).await
    }

    pub(super) async fn of(setup: Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["drop", "scratch"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        let clock = setup.clock;
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            interference: setup.interference,
            retries: RetryConfig::disabled(),
        })
        .unwrap();
        aws.tables().ensure_table(&resources::table()).unwrap();
        let queue = aws.queues().create(QUEUE, QueueAttributes::default());
        let url = queue.unwrap().url();
        let chance = Chance::seeded(7);
        let store = Store::new(aws.dynamodb(), resources::TABLE, clock.clone(), chance);
        let folder = home.path().join("drop").display().to_string();
        let place = setup.url.unwrap_or(folder);
        let config = config(&place, &setup.settings);
        store.apply_config(&config, "test").await.unwrap();
        let environment = setup.environment;
        let http = HttpSettings {
            guard: Guard::new(Vec::new()),
            ..HttpSettings::default()
        };
        let numbers = Lines::default();
        let sync = Sync {
            store: store.clone(),
            queue: RunQueue::new(store.clone(), aws.sqs(), url),
            installations: Installations::new(store.clone()),
            secrets: Arc::new(Secrets::new(
                Box::new(move |name| environment.get(name).cloned()),
                Arc::new(Http::new(http).unwrap()),
                "http://127.0.0.1:9".parse().unwrap(),
                clock.clone(),
            )),
            client: reqwest::Client::builder().build().unwrap().into(),
            metrics: Metrics::to(numbers.clone(), clock),
            scratch: home.path().join("scratch"),
        };
        Self {
            aws,
            store,
            sync: Arc::new(sync),
            home,
            numbers,
        }
    }

    /// Other lines for the connector's section.
    pub(super) async fn reconfigure(&self, settings: &str) {
        let config = config(&self.folder().display().to_string(), settings);
        self.store.apply_config(&config, "test").await.unwrap();
    }

    /// The connector is not in the configuration any more.
    pub(super) async fn remove_the_source(&self) {
        let config = named_config("other", &self.folder().display().to_string(), "");
        self.store.apply_config(&config, "test").await.unwrap();
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.home.path().join("drop")
    }

    pub(super) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Puts a file down, written just now.
    pub(super) fn drop(&self, name: &str, content: impl AsRef<[u8]>) {
        self.drop_at(name, content, self.now());
    }

    /// Puts a file down, written then.
    pub(super) fn drop_at(&self, name: &str, content: impl AsRef<[u8]>, at: Timestamp) {
        write_at(&self.folder().join(name), content.as_ref(), at);
    }

    /// Lets a quarter of an hour pass, and ticks.
    pub(super) async fn tick(&self) {
        tokio::time::sleep(Duration::from_secs(15 * 60)).await;
        let deadline = self.now();
        self.sync
            .schedule(tick_at(self.now()), deadline)
            .await
            .unwrap();
    }

    /// One delivery of each message that waits; how many there were, and how many came back.
    pub(super) async fn deliver(&self, time: SignedDuration) -> (usize, usize) {
        let url = self.aws.queues().find(QUEUE).unwrap().url();
        let sqs = self.aws.sqs();
        let received = sqs.receive_message().queue_url(&url);
        let received = received.max_number_of_messages(10).send().await.unwrap();
        let messages = received.messages.unwrap_or_default();
        let mut returned = 0;
        for message in &messages {
            let mut event = SqsEvent::default();
            let mut record = SqsMessage::default();
            record.message_id.clone_from(&message.message_id);
            record.body.clone_from(&message.body);
            event.records.push(record);
            let deadline = self.now().checked_add(time).unwrap();
            let response = self.sync.jobs(event, deadline).await;
            if response.batch_item_failures.is_empty() {
                let done = sqs.delete_message().queue_url(&url);
                let receipt = message.receipt_handle.clone();
                done.set_receipt_handle(receipt).send().await.unwrap();
            } else {
                returned += 1;
            }
        }
        (messages.len(), returned)
    }

    /// One delivery to a worker that may die: what was received and not handled comes back later.
    pub(super) async fn deliver_mortally(&self) -> bool {
        let url = self.aws.queues().find(QUEUE).unwrap().url();
        let sqs = self.aws.sqs();
        let received = sqs.receive_message().queue_url(&url).send().await.unwrap();
        let messages = received.messages.unwrap_or_default();
        let message = messages.first().unwrap();
        let mut event = SqsEvent::default();
        let mut record = SqsMessage::default();
        record.message_id.clone_from(&message.message_id);
        record.body.clone_from(&message.body);
        event.records.push(record);
        let deadline = self
            .now()
            .checked_add(SignedDuration::from_mins(15))
            .unwrap();
        let response = self.sync.jobs(event, deadline).await;
        if !response.batch_item_failures.is_empty() {
            return true;
        }
        let receipt = message.receipt_handle.clone();
        let done = sqs
            .delete_message()
            .queue_url(&url)
            .set_receipt_handle(receipt);
        // The worker may die here, too.
        done.send().await.is_err()
    }

    /// Delivers until no message is left.
    pub(super) async fn drain(&self) {
        while self.deliver(SignedDuration::from_mins(15)).await.0 > 0 {}
    }

    /// A file is dropped, the schedule ticks, and everything is done. What became of the file.
    pub(super) async fn read(&self, name: &str, content: impl AsRef<[u8]>) -> FileReport {
        tokio::time::sleep(Duration::from_secs(60)).await;
        self.drop(name, content);
        self.read_what_is_there().await
    }

    pub(super) async fn read_what_is_there(&self) -> FileReport {
        self.tick().await;
        self.drain().await;
        let run = self.last_run().await;
        run.files
            .last()
            .unwrap_or_else(|| panic!("{run:?}"))
            .clone()
    }

    pub(super) async fn last_run(&self) -> Run {
        let runs = self.store.runs(&erp(), None, 1).await.unwrap();
        runs.items.into_iter().next().unwrap()
    }

    pub(super) async fn feed(&self) -> FeedState {
        let stored = self.store.feed(&erp()).await.unwrap();
        stored.map(|stored| stored.data).unwrap_or_default()
    }

    /// The on-hand quantity of each SKU at `main`, as the source's word has it.
    pub(super) async fn stock(&self) -> BTreeMap<String, i64> {
        let mut stock = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = self.store.positions(cursor.as_deref(), 500).await.unwrap();
            for position in page.items {
                if let Some(base) = position.stated_by(&erp()) {
                    stock.insert(position.product.to_string(), base.level.on_hand);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return stock;
            }
        }
    }

    /// What files have stopped mentioning.
    pub(super) async fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.store.stated(&erp(), cursor.as_deref(), 500).await;
            let page = page.unwrap();
            missing.extend(page.items.into_iter().filter_map(|stated| stated.missing));
            cursor = page.next;
            if cursor.is_none() {
                return missing;
            }
        }
    }

    /// Another source, a till, says that units came or went.
    pub(super) async fn moves(&self, sku: &str, delta: i64, at: Timestamp) -> Applied {
        let event = StockEvent {
            id: format!("till-{sku}-{at}-{delta}").parse().unwrap(),
            source: "till".parse().unwrap(),
            at,
            actor: None,
            change: Change::Moved {
                product: sku.parse().unwrap(),
                location: "main".parse().unwrap(),
                delta,
                reason: MoveReason::Adjustment,
                called: None,
            },
        };
        let authority = self.authority().await;
        self.store.apply(&event, &authority).await.unwrap()
    }

    /// A person counts what is there.
    pub(super) async fn counts(&self, sku: &str, quantity: i64, at: Timestamp) {
        let count = Movement {
            key: format!("count-{sku}-{at}-{quantity}").parse().unwrap(),
            product: sku.parse().unwrap(),
            location: "main".parse().unwrap(),
            act: Act::Count { quantity },
            at: Some(at),
            reason: None,
            actor: None,
        };
        let authority = self.authority().await;
        self.store.carry_out(&count, &authority).await.unwrap();
    }

    pub(super) async fn authority(&self) -> Authority {
        let installation = self.sync.installations.current().await;
        installation.unwrap().authority()
    }

    /// What is there of a SKU, by all that was said.
    pub(super) async fn balance(&self, sku: &str) -> Option<i64> {
        let sources = self.authority().await.quantities;
        self.position(sku).await.balance(&sources)
    }

    /// The SKUs of which there are some.
    pub(super) async fn there(&self) -> usize {
        self.stock()
            .await
            .values()
            .filter(|on_hand| **on_hand != 0)
            .count()
    }

    pub(super) async fn position(&self, sku: &str) -> Position {
        let (product, location) = (sku.parse().unwrap(), "main".parse().unwrap());
        let position = self.store.position(&product, &location).await;
        position.unwrap().unwrap()
    }

    pub(super) async fn unit(&self, vin: &str) -> Unit {
        self.store.unit(vin).await.unwrap().unwrap()
    }

    /// The source states a level on another path, such as a webhook.
    pub(super) async fn state(&self, sku: &str, on_hand: i64, at: Timestamp) -> Applied {
        self.states("erp", sku, on_hand, at).await
    }

    /// Some source states a level.
    pub(super) async fn states(
        &self,
        source: &str,
        sku: &str,
        on_hand: i64,
        at: Timestamp,
    ) -> Applied {
        let event = StockEvent {
            id: format!("webhook-{sku}-{at}").parse().unwrap(),
            source: source.parse().unwrap(),
            at,
            actor: None,
            change: Change::LevelSet {
                called: None,
                product: sku.parse().unwrap(),
                location: "main".parse().unwrap(),
                level: Level {
                    on_hand,
                    ..Level::default()
                },
                version: Version::at(at),
            },
        };
        let authority = self.authority().await;
        self.store.apply(&event, &authority).await.unwrap()
    }

    /// The names of the files in a folder and below it.
    pub(super) fn files_in(&self, folder: &str) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.folder().join(folder), &mut names);
        names.sort();
        names
    }

    /// The values of a metric so far.
    pub(super) fn metric(&self, name: &str) -> Vec<f64> {
        let written = String::from_utf8(self.numbers.0.lock().unwrap().clone()).unwrap();
        let lines = written
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line[name].as_f64()).collect()
    }
}

/// A merchant's stock file of `SKU-0` to `SKU-<rows>`, ten of each and more.
pub(super) fn stock_file(rows: usize) -> String {
    let rows = (0..rows).map(|number| format!("SKU-{number},main,{}\n", 10 + number));
    format!("sku,location,on_hand\n{}", rows.collect::<String>())
}

pub(super) fn tick_at(at: Timestamp) -> EventBridgeEvent<Value> {
    serde_json::from_value(json!({
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "detail": {},
    }))
    .unwrap()
}

pub(super) fn write_at(path: &Path, content: &[u8], at: Timestamp) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(content).unwrap();
    let since = Duration::from_millis(at.as_millisecond().try_into().unwrap());
    file.set_modified(UNIX_EPOCH + since).unwrap();
}

fn collect(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), names);
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
}

fn config(url: &str, settings: &str) -> Config {
    named_config(erp().as_str(), url, settings)
}

fn named_config(connector: &str, url: &str, settings: &str) -> Config {
    let locations = if settings.contains("locations") {
        ""
    } else {
        "locations = { main = \"main\", \"D-001\" = \"milano\" }"
    };
    let ready = if settings.contains("ready") {
        ""
    } else {
        "stable_for = \"0s\""
    };
    let text = format!(
        r#"
[account]
name = "Test"
zone = "Europe/London"
currency = "EUR"

[locations.main]
name = "Main warehouse"
kind = "warehouse"

[locations.milano]
name = "Milano"
kind = "rooftop"

[connectors.{connector}]
kind = "files"
url = {url:?}
{locations}
{ready}
{settings}
"#
    );
    Config::check(&text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
