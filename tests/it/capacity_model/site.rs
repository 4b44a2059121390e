//! An installation of a given size: the whole stack over a table in memory that counts by key.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method};
use lotwire::engine::{EmbeddedAws, Pump, Settings};
use lotwire::stack::resources::TABLE;
use lotwire::stack::{Parts, Stack};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::channels::ChannelKind;
use shared::clock::Clock;
use shared::config::Config;
use shared::delivery::{Outgoing, Sender};
use shared::http::{Reply, Request, Transport, TransportError};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::feeds::{FeedState, Moment};
use tempfile::TempDir;

use crate::bench::{SECRET, event_signed};

/// How large an installation is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Sources that drop files.
    pub(super) sources: usize,
    /// Connectors that send webhooks.
    pub(super) connectors: usize,
    /// Channels: as many as there may be kinds, of the kinds there are.
    pub(super) channels: usize,
    pub(super) rooftops: usize,
    /// Rules that were imported, each for one product.
    pub(super) imported: usize,
    /// Rules that were imported, each for a category of products at one rooftop.
    pub(super) shared: usize,
}

pub(super) struct Site {
    pub(super) stack: Stack,
    pub(super) aws: EmbeddedAws,
    size: Size,
    pump: Pump,
    folder: TempDir,
    _scratch: TempDir,
    sent: usize,
    files: usize,
}

pub(super) fn rooftop(number: usize) -> String {
    format!("rooftop-{number:03}")
}

pub(super) fn source(number: usize) -> String {
    format!("source-{number:03}")
}

/// Each category has a rule of its own at each rooftop.
fn category(number: usize) -> String {
    format!("category-{number:05}")
}

fn connector(number: usize) -> String {
    format!("connector-{number:03}")
}

fn document(size: Size, folder: &std::path::Path) -> String {
    let mut text = "[account]\nname = \"Model\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n".to_owned();
    for number in 0..size.rooftops {
        let name = rooftop(number);
        writeln!(
            text,
            "[locations.{name}]\nname = \"{name}\"\nkind = \"warehouse\""
        )
        .unwrap();
    }
    for number in 0..size.sources {
        let (name, place) = (source(number), rooftop(number % size.rooftops));
        let folder = folder.join(&name);
        std::fs::create_dir(&folder).unwrap();
        let folder = folder.display();
        writeln!(
            text,
            "[connectors.{name}]\nkind = \"files\"\nurl = \"{folder}\"\nstable_for = \"0s\"\nlocations = {{ here = \"{place}\" }}"
        )
        .unwrap();
    }
    for number in 0..size.connectors {
        let name = connector(number);
        writeln!(
            text,
            "[connectors.{name}]\nkind = \"generic\"\n[connectors.{name}.webhook]\nsecret = \"env:ANY\""
        )
        .unwrap();
    }
    for number in 0..size.channels {
        let kind = ChannelKind::ALL[number % ChannelKind::ALL.len()];
        let settings = format!("kind = \"{kind}\"\n{}", kind.example());
        let at: Vec<_> = (0..size.rooftops)
            .filter(|rooftop| rooftop % size.channels == number)
            .map(rooftop)
            .collect();
        writeln!(
            text,
            "[channels.channel-{number:03}]\n{settings}\n[[routes]]\nname = \"route-{number}\"\nlocations = {at:?}\nchannels = [\"channel-{number:03}\"]"
        )
        .unwrap();
    }
    text.push_str("[[routes]]\nname = \"head-office\"\nchannels = [\"channel-000\"]\n");
    text.push_str("[[rules]]\nname = \"low\"\nkind = \"low_stock\"\nthreshold = 3\n");
    text
}

/// Vendors who take everything.
struct Taken;

#[async_trait]
impl Outgoing for Taken {
    fn stands_in(&self) -> bool {
        false
    }

    async fn carry(&self, sender: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        Ok((sender.accepted)(&request))
    }
}

/// No call leaves over this.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        Err(TransportError::NotSent {
            host: request.host().to_owned(),
            reason: "there is no network here".to_owned(),
        })
    }
}

impl Site {
    pub(super) async fn open(size: Size) -> Self {
        let clock = Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap());
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            ..Settings::default()
        })
        .unwrap();
        let secrets = Secrets::new(
            Box::new(|_| Some(SECRET.to_owned())),
            Arc::new(Nowhere),
            EXTENSION.parse().unwrap(),
            clock.clone(),
        );
        let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let stack = Stack::build(Parts {
            aws: aws.clone(),
            chance: Chance::seeded(11),
            secrets: Arc::new(secrets),
            outgoing: Arc::new(Taken),
            metrics: Metrics::to(std::io::sink(), clock),
            token: SecretString::from("open sesame"),
            downloads: reqwest::Client::builder().build().unwrap().into(),
            scratch: scratch.path().to_owned(),
        })
        .unwrap();
        let document = document(size, folder.path());
        let config = Config::check(&document, "model.toml").unwrap_or_else(|e| panic!("{e}"));
        stack.store.apply_config(&config, "test").await.unwrap();
        // Without the schedules: what the clock does has no part in a webhook.
        let mut pump = Pump::builder(&aws).stream(stack.stream());
        for queue in stack.queues() {
            pump = pump.queue(queue);
        }
        let pump = pump.start().unwrap();
        let mut site = Self {
            stack,
            aws,
            size,
            pump,
            folder,
            _scratch: scratch,
            sent: 0,
            files: 0,
        };
        // Everything is looked at by the new configuration before there is anything.
        site.idle().await;
        site.import().await;
        site.idle().await;
        site.aws.tables().count_usage();
        site
    }

    /// Rules for one product each, those of the products that move among them: one through the API's
    /// own way, the others as copies of its row.
    async fn import(&mut self) {
        if self.size.imported > 0 {
            let first = super::product(0);
            let rule = self
                .import_one(&format!("sku,threshold\n{first},3\n"))
                .await;
            assert!(rule.contains(&first), "{rule}");
            self.copy(self.size.imported, |number| {
                rule.replace(&first, &super::product(number))
            });
        }
        if self.size.shared > 0 {
            let (first, here) = (category(0), rooftop(0));
            let rule = self
                .import_one(&format!("category,location,threshold\n{first},{here},3\n"))
                .await;
            assert!(rule.contains(&first) && rule.contains(&here), "{rule}");
            let rooftops = self.size.rooftops;
            self.copy(self.size.shared, |number| {
                rule.replace(&first, &category(number / rooftops))
                    .replace(&here, &rooftop(number % rooftops))
            });
        }
    }

    /// Imports the rule that these rows say; its row.
    pub(super) async fn import_one(&self, rows: &str) -> String {
        let (status, answer) = self
            .request(
                Method::POST,
                "/api/v1/imports",
                &[("content-type", "text/csv")],
                rows,
            )
            .await;
        assert_eq!(status, 200, "{answer}");
        let rows = self.aws.tables().changes(TABLE, None).unwrap();
        let images = rows.iter().rev().map(|change| &change["NewImage"]);
        let mut rules = images.filter(|image| image["t"]["S"] == "rule");
        let rule = rules.next().unwrap_or_else(|| panic!("{answer}"));
        rule.to_string()
    }

    /// So many rows, the first of which is there.
    fn copy(&self, count: usize, row: impl Fn(usize) -> String) {
        const AT_ONCE: usize = 10_000;
        let copies: Vec<usize> = (1..count).collect();
        for numbers in copies.chunks(AT_ONCE) {
            let rows = numbers.iter().map(|number| {
                let mut row: Value = serde_json::from_str(&row(*number)).unwrap();
                row["lpk"]["S"] = format!("rules#{}", number % 8).into();
                row
            });
            self.aws.tables().load(TABLE, rows.collect()).unwrap();
        }
    }

    /// A version of the configuration that changes one of the rules for a category, at the last rooftop.
    pub(super) async fn change_rule(&self, threshold: usize) {
        let (last, place) = (category(0), rooftop(self.size.rooftops - 1));
        let row = format!("category,location,threshold\n{last},{place},{threshold}\n");
        self.import_one(&row).await;
    }

    /// Says that a product is of the category of this number.
    pub(super) async fn describe(&mut self, sender: usize, sku: &str, number: usize) {
        let data = json!({ "sku": sku, "title": "Oil", "category": category(number) });
        self.send(sender, "product.described", data).await;
    }

    /// Has a source's last file be believed, or not.
    pub(super) async fn believe(&self, number: usize, believed: bool) {
        let now = Some(Moment(self.aws.clock().now()));
        let source = source(number).parse().unwrap();
        let change = |state: &mut FeedState| {
            state.succeeded_at = now;
            state.believe(believed);
        };
        self.stack.store.change_feed(&source, change).await.unwrap();
    }

    /// Begins the jobs that wait for their time, as the clock does.
    pub(super) async fn begin_jobs(&self) {
        let store = &self.stack.store;
        let jobs = store.jobs_under_way([].iter(), 1_000).await.unwrap();
        for job in jobs.iter().filter(|job| job.not_before.is_some()) {
            let stored = store.job(&job.id).await.unwrap().unwrap();
            assert!(store.begin_job(&stored).await.unwrap());
        }
    }

    /// Until everybody has done what there is to do.
    pub(super) async fn idle(&mut self) {
        self.pump.idle().await;
    }

    /// Longer than an answer to "has the configuration changed?" is believed.
    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// A signed webhook, a tenth of a second after the last: one instance takes in so many.
    pub(super) async fn level(&mut self, sender: usize, sku: &str, place: usize, on_hand: i64) {
        let location = rooftop(place % self.size.rooftops);
        let answer = self.state(sender, sku, &location, on_hand).await;
        assert_eq!(answer["quarantined"], 0, "{answer}");
    }

    async fn state(&mut self, sender: usize, sku: &str, location: &str, on_hand: i64) -> Value {
        let data = json!({ "sku": sku, "location": location, "on_hand": on_hand });
        self.send(sender, "stock.level", data).await
    }

    async fn send(&mut self, sender: usize, kind: &str, data: Value) -> Value {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.sent += 1;
        let now = self.aws.clock().now();
        let id = format!("msg-{:06}", self.sent);
        let (headers, body) = event_signed(SECRET, &id, now, kind, &data);
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let path = format!("/hooks/{}", connector(sender % self.size.connectors));
        let (status, answer) = self.request(Method::POST, &path, &headers, &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A signed webhook about a place that nobody knows, by a name of its own each time: it is held.
    pub(super) async fn misplaced(&mut self, sender: usize, sku: &str) {
        let nowhere = format!("nowhere-{:06}", self.sent);
        let answer = self.state(sender, sku, &nowhere, 19).await;
        assert_eq!(answer["quarantined"], 1, "{answer}");
    }

    /// A product that is there, without a webhook.
    pub(super) async fn know(&mut self, sku: &str, place: usize) {
        let event = crate::bench::level(
            "stocktake",
            0,
            sku,
            &rooftop(place % self.size.rooftops),
            20,
        );
        let authority = shared::domain::Authority::default();
        self.stack.store.apply(&event, &authority).await.unwrap();
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer open sesame");
        let known: &mut HeaderMap = request.headers_mut().unwrap();
        for (name, value) in headers {
            known.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let gateway = self.stack.gateway().unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let response = gateway.answer(parts, address, body.to_owned().into()).await;
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        let text = String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    fn drop_folder(&self, number: usize) -> PathBuf {
        self.folder.path().join(source(number))
    }

    /// A file of a source's own products, each with so many units.
    pub(super) fn file(&mut self, number: usize, rows: usize, units: usize) {
        let mut text = "sku,location,on_hand\n".to_owned();
        for row in 0..rows {
            writeln!(
                text,
                "{}-{row:03},here,{units}",
                source(number).to_uppercase()
            )
            .unwrap();
        }
        self.files += 1;
        let name = format!("stock-{:03}.csv", self.files);
        std::fs::write(self.drop_folder(number).join(name), text).unwrap();
    }

    /// Has every source read.
    pub(super) async fn read_all(&mut self) {
        // The first last: by the time that many are read, who was read first is stale.
        for number in (0..self.size.sources).rev() {
            self.read(number).await;
        }
    }

    /// Has a source read, and what follows done.
    pub(super) async fn read(&mut self, number: usize) {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let source = source(number).parse().unwrap();
        self.stack.sync.start(&source).await.unwrap();
        self.idle().await;
        let left = std::fs::read_dir(self.drop_folder(number)).unwrap();
        let left = left.filter(|entry| entry.as_ref().unwrap().path().is_file());
        assert_eq!(left.count(), 0, "it was read");
    }
}
