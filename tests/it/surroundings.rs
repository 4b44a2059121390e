//! A batch of stream records is looked at by one reading of the configuration and the sources' health.
//! What changes meanwhile must not be missed, and a table that is busy meanwhile is waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use evaluate::Evaluator;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{Call, EmbeddedAws, Interference, Service, Settings, Verdict};
use lotwire::stack::resources::{self, TABLE};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::domain::unit::{Field, UnitReport, UnitState};
use shared::domain::{AlertKind, Authority, Change, StockEvent, Version};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::store::Store;
use shared::store::feeds::{FeedState, Moment};
use shared::store::jobs::Reexamination;
use tokio::time::Instant;

use crate::bench::{at, event, level};

fn config(threshold: i64) -> Config {
    let text = format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[alerts]
conflict_after = "0s"
[locations.north]
name = "North"
kind = "warehouse"
[locations.south]
name = "South"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[connectors.dealer]
kind = "generic"
webhook = {{ secret = "env:DEALER" }}
[connectors.market]
kind = "generic"
webhook = {{ secret = "env:MARKET" }}
[connectors.erp]
kind = "files"
url = "/nowhere/drop"
[channels.room]
kind = "slack"
url = "env:ROOM"
[[routes]]
name = "all"
channels = ["room"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = {threshold}
"#
    );
    Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// Raises the threshold as soon as a first alert is written, once.
#[derive(Default)]
struct RaisesThreshold {
    store: OnceLock<Store>,
    done: AtomicBool,
}

#[async_trait]
impl Interference for RaisesThreshold {
    async fn after(&self, call: &Call) -> Verdict {
        if call.operation == "TransactWriteItems"
            && let Some(store) = self.store.get()
            && !self.done.swap(true, Ordering::SeqCst)
        {
            assert!(store.apply_config(&config(20), "test").await.unwrap());
        }
        Verdict::Proceed
    }
}

/// What the stream says of a row that was just written, for the first time.
async fn record(
    table: &aws_sdk_dynamodb::Client,
    (pk, sk): (&str, &str),
    sequence: &str,
) -> EventRecord {
    let keys = [("pk", pk), ("sk", sk)];
    let keys = keys.map(|(name, key)| (name.to_owned(), AttributeValue::S(key.to_owned())));
    let reply = table
        .get_item()
        .table_name(TABLE)
        .set_key(Some(keys.clone().into()))
        .send()
        .await
        .unwrap();
    let mut record = EventRecord::default();
    record.change.keys = HashMap::from(keys).into();
    record.change.new_image = reply.item.unwrap().into();
    record.change.sequence_number = Some(sequence.to_owned());
    record
}

/// The same of a position.
async fn position(table: &aws_sdk_dynamodb::Client, product: &str, sequence: &str) -> EventRecord {
    let pk = format!("P#{product}");
    record(table, (&pk, "L#north#position"), sequence).await
}

/// An evaluator of three positions, by a threshold of 3, and the records of their changes.
struct Batch {
    table: aws_sdk_dynamodb::Client,
    store: Store,
    evaluator: Evaluator,
    event: Event,
}

async fn batch(clock: &Clock, interference: Arc<dyn Interference>) -> Batch {
    let settings = Settings {
        clock: clock.clone(),
        interference,
        ..Settings::default()
    };
    let aws = EmbeddedAws::in_memory(settings).unwrap();
    let topic = resources::make(&aws).unwrap();
    let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), Chance::seeded(7));
    store.apply_config(&config(3), "test").await.unwrap();
    for (product, on_hand) in [("FEW", 2), ("SOME", 15), ("MANY", 40)] {
        let event = level("generic", 0, product, "north", on_hand);
        store.apply(&event, &Authority::default()).await.unwrap();
    }
    let mut event = Event::default();
    for (number, product) in ["FEW", "SOME", "MANY"].into_iter().enumerate() {
        let sequence = number.to_string();
        let record = position(&aws.dynamodb(), product, &sequence).await;
        event.records.push(record);
    }
    let evaluator = Evaluator::new(
        store.clone(),
        Bus::new(aws.sns(), topic),
        Installations::new(store.clone()),
        Metrics::to(std::io::sink(), clock.clone()),
    );
    Batch {
        table: aws.dynamodb(),
        store,
        evaluator,
        event,
    }
}

/// The products with an open alert.
async fn low(store: &Store) -> Vec<String> {
    let open = store.alerts(AlertState::Open, None, 10).await.unwrap();
    let mut low: Vec<_> = open.items.into_iter().map(|a| a.message.product).collect();
    low.sort_unstable();
    low
}

#[tokio::test]
async fn a_rule_that_changes_within_a_batch_applies_to_all_of_it() {
    let meanwhile = Arc::new(RaisesThreshold::default());
    let batch = batch(&Clock::system(), Arc::clone(&meanwhile) as _).await;
    meanwhile.store.set(batch.store.clone()).unwrap();
    let response = batch.evaluator.handle(batch.event, Timestamp::MAX).await;
    assert!(response.batch_item_failures.is_empty());
    assert!(meanwhile.done.load(Ordering::SeqCst));
    assert_eq!(low(&batch.store).await, ["FEW", "SOME"]);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_applied_elsewhere_is_in_force_a_second_later_and_asked_for_no_oftener() {
    let clock = Clock::starting_at(at(0));
    let batch = batch(&clock, Arc::new(Quiet)).await;
    let installations = Installations::new(batch.store.clone());
    let first = installations.current().await.unwrap();
    batch.store.take_spent();
    for _ in 0..100 {
        assert_eq!(
            installations.current().await.unwrap().version,
            first.version
        );
    }
    assert_eq!(batch.store.take_spent().read, 0.0);

    let elsewhere = Store::new(batch.table.clone(), TABLE, clock.clone(), Chance::seeded(8));
    assert!(elsewhere.apply_config(&config(20), "test").await.unwrap());
    let newest = Installations::new(batch.store.clone())
        .newest()
        .await
        .unwrap();
    assert_eq!(newest.version, first.version + 1);
    tokio::time::advance(Duration::from_millis(1_001)).await;
    assert_eq!(
        installations.current().await.unwrap().version,
        newest.version
    );

    // Where it is applied it is in force at once.
    assert!(batch.store.apply_config(&config(30), "test").await.unwrap());
    let here = installations.current().await.unwrap();
    assert_eq!(here.version, newest.version + 1);
}

/// Two files follow each other so closely that the source is well again before anybody looks at its health.
#[tokio::test]
async fn what_was_held_back_is_told_although_a_good_file_followed_at_once() {
    let Batch {
        table,
        store,
        evaluator,
        ..
    } = batch(&Clock::system(), Arc::new(Quiet)).await;
    let erp = "erp".parse().unwrap();
    let look = async |record| {
        let mut event = Event::default();
        event.records.push(record);
        let response = evaluator.handle(event, Timestamp::MAX).await;
        assert!(response.batch_item_failures.is_empty());
    };
    let feed = async |distrusted_after| {
        let now = Some(Moment(Clock::system().now()));
        let change = |state: &mut FeedState| {
            (state.succeeded_at, state.distrusted_after) = (now, distrusted_after);
        };
        store.change_feed(&erp, change).await.unwrap();
        record(&table, ("C#erp", "feed"), "7").await
    };
    let event = level("erp", 0, "PAD", "north", 1);
    store.apply(&event, &Authority::default()).await.unwrap();

    let well = feed(None).await;
    let mut doubted = feed(Some(Moment(at(1)))).await;
    doubted.change.old_image = well.change.new_image;
    look(position(&table, "PAD", "6").await).await;
    assert!(low(&store).await.is_empty());

    let mut well = feed(None).await;
    well.change.old_image = doubted.change.new_image.clone();
    look(doubted).await;
    look(well).await;
    for part in Store::parts() {
        let id = format!("believed-again.{part}");
        let job = store.job(&id).await.unwrap().unwrap();
        assert!(job.data.not_before.is_some(), "no record waits for it");
        assert!(store.begin_job(&job).await.unwrap());
        evaluator.proceed(&id).await.unwrap();
    }
    assert_eq!(low(&store).await, ["PAD"]);
}

/// Another instance hears that a source is well while a look at what another owns is about to begin.
#[tokio::test(start_paused = true)]
async fn what_is_believed_again_is_looked_at_once_every_instance_knows_of_it() {
    let clock = Clock::starting_at(at(0));
    let Batch {
        table,
        store,
        evaluator,
        ..
    } = batch(&clock, Arc::new(Quiet)).await;
    let erp = "erp".parse().unwrap();
    let feed = async |distrusted_after| {
        let now = Some(Moment(clock.now()));
        let change = |state: &mut FeedState| {
            (state.succeeded_at, state.distrusted_after) = (now, distrusted_after);
        };
        store.change_feed(&erp, change).await.unwrap();
    };
    let event = level("erp", 0, "PAD", "north", 1);
    store.apply(&event, &Authority::default()).await.unwrap();
    feed(Some(Moment(at(1)))).await;
    let dealer = "dealer".parse().unwrap();
    store.look_at_owned_by(&dealer).await.unwrap();
    tokio::time::sleep(Duration::from_millis(119_500)).await;
    // This instance knows now that what it states is not believed.
    let mut event = Event::default();
    event.records.push(position(&table, "PAD", "6").await);
    evaluator.handle(event, Timestamp::MAX).await;
    assert!(low(&store).await.is_empty());

    feed(None).await;
    store.look_at_owned_by(&erp).await.unwrap();
    for wait in [500, 121_000] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        for part in Store::parts() {
            let id = format!("believed-again.{part}");
            let job = store.job(&id).await.unwrap();
            let job = job.expect("it is still to be looked at");
            assert!(store.begin_job(&job).await.unwrap());
            Box::pin(evaluator.proceed(&id)).await.unwrap();
        }
    }
    assert_eq!(low(&store).await, ["PAD"]);
}

/// Touches nothing.
struct Quiet;

impl Interference for Quiet {}

/// Throttles the table for a while, once it is told to.
#[derive(Default)]
struct Throttled(OnceLock<Instant>);

#[async_trait]
impl Interference for Throttled {
    async fn before(&self, call: &Call) -> Verdict {
        let busy = self.0.get().is_some_and(|until| Instant::now() < *until);
        if call.service == Service::DynamoDb && busy {
            return Verdict::Throttle;
        }
        Verdict::Proceed
    }
}

/// Answers no query, such as for the deliveries that wait, once it is told to.
#[derive(Default)]
struct NoLists(AtomicBool);

#[async_trait]
impl Interference for NoLists {
    async fn before(&self, call: &Call) -> Verdict {
        if call.operation == "Query" && self.0.load(Ordering::SeqCst) {
            return Verdict::Throttle;
        }
        Verdict::Proceed
    }
}

/// Handles a batch with a minute's time while the table is throttled for so long: the numbers that
/// are handed back, and how long it took.
async fn handle_throttled(throttled_for: Duration) -> (Batch, Vec<Option<String>>, Duration) {
    let throttled = Arc::new(Throttled::default());
    let clock = Clock::starting_at(at(0));
    let mut batch = batch(&clock, Arc::clone(&throttled) as _).await;
    let begun = Instant::now();
    throttled.0.set(begun + throttled_for).unwrap();
    let deadline = clock.now() + SignedDuration::from_secs(60);
    let event = std::mem::take(&mut batch.event);
    let response = batch.evaluator.handle(event, deadline).await;
    let failures = response.batch_item_failures.into_iter();
    let failures = failures.map(|failure| failure.item_identifier).collect();
    (batch, failures, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_throttle_is_waited_for_rather_than_handed_back() {
    let (batch, handed_back, took) = handle_throttled(Duration::from_secs(30)).await;
    assert_eq!(handed_back, []);
    assert_eq!(low(&batch.store).await, ["FEW"]);
    assert!(took < Duration::from_secs(40), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_longer_throttle_is_handed_back_well_before_the_time_is_over() {
    let (_, handed_back, took) = handle_throttled(Duration::from_secs(3_600)).await;
    assert_eq!(handed_back, [Some("0".to_owned())]);
    let range = Duration::from_secs(38)..Duration::from_secs(50);
    assert!(range.contains(&took), "{took:?}");
}

/// Takes its time for each call, once it is told to.
#[derive(Default)]
struct Slow(AtomicBool);

#[async_trait]
impl Interference for Slow {
    async fn before(&self, call: &Call) -> Verdict {
        if call.service == Service::DynamoDb && self.0.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        Verdict::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn no_record_is_begun_that_could_not_be_ended_in_time() {
    let slow = Arc::new(Slow::default());
    let clock = Clock::starting_at(at(0));
    let mut batch = batch(&clock, Arc::clone(&slow) as _).await;
    slow.0.store(true, Ordering::SeqCst);
    let mut event = std::mem::take(&mut batch.event);
    let record = event.records.remove(0);
    event.records = (0..100)
        .map(|number| {
            let mut record = record.clone();
            record.change.sequence_number = Some(number.to_string());
            record
        })
        .collect();
    let begun = Instant::now();
    let deadline = clock.now() + SignedDuration::from_secs(60);
    let handled = batch.evaluator.handle(event, deadline).await;
    let [failure] = &handled.batch_item_failures[..] else {
        panic!("so many cannot be done in time");
    };
    assert_ne!(failure.item_identifier.as_deref(), Some("0"));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(55), "{took:?}");
}

/// A word about one vehicle.
fn stocked(source: &str, location: &str) -> StockEvent {
    let report = UnitReport {
        called: None,
        source_gone: false,
        vin: "SCBCG2ZG0RC012345".parse().unwrap(),
        version: Version::at(at(0)),
        state: Some(UnitState::InStock),
        location: Some(location.parse().unwrap()),
        stock_number: None,
        since: None,
        brought: false,
        undated: false,
        fields: BTreeMap::from(
            [("make", "Bentley"), ("model", "Continental GT")]
                .map(|(name, value)| (name.to_owned(), Field::Text(value.to_owned()))),
        ),
    };
    let change = Change::Unit(Box::new(report));
    event(source, source, 0, change)
}

/// The job, and all parts of a look at everything, to their end; how many pages these had.
async fn run(batch: &Batch, job: &str) -> usize {
    let mut pages = 0;
    while batch.store.job(job).await.unwrap().is_some() {
        Box::pin(batch.evaluator.proceed(job)).await.unwrap();
    }
    for part in batch.store.parts_under_way().await.unwrap() {
        while batch.store.job(&part.id).await.unwrap().is_some() {
            Box::pin(batch.evaluator.proceed(&part.id)).await.unwrap();
            pages += 1;
            assert!(pages < 40, "it does not end");
        }
    }
    pages
}

/// Makes of a row what no version of this program has written.
async fn spoil(batch: &Batch, pk: &str, sk: &str) {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let table = &batch.table;
    let get = table.get_item().table_name(TABLE);
    let get = get.key("pk", text(pk)).key("sk", text(sk)).send();
    let mut row = get.await.unwrap().item.unwrap();
    row.insert("d".to_owned(), text("not what it was"));
    let put = table.put_item().table_name(TABLE).set_item(Some(row));
    put.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_job_passes_over_what_cannot_be_read() {
    let clock = Clock::starting_at(at(0));
    let batch = batch(&clock, Arc::new(Quiet)).await;
    let authority = Authority::default();
    for product in ["ONE", "TWO"] {
        let event = level("generic", 1, product, "north", 1);
        batch.store.apply(&event, &authority).await.unwrap();
    }
    batch
        .evaluator
        .handle(batch.event.clone(), Timestamp::MAX)
        .await;
    assert_eq!(low(&batch.store).await, ["FEW"]);
    // One position, and what is kept of the look at another.
    spoil(&batch, "P#ONE", "L#north#position").await;
    spoil(&batch, "P#FEW", "L#north#watch#low_stock").await;
    batch
        .store
        .start_job(Reexamination::new("asked"))
        .await
        .unwrap();
    run(&batch, "asked").await;
    assert_eq!(low(&batch.store).await, ["FEW", "TWO"]);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_asked_for_again_meanwhile_goes_round_once_more() {
    let clock = Clock::starting_at(at(0));
    let batch = batch(&clock, Arc::new(Quiet)).await;
    let store = &batch.store;
    let job = async || store.job("again").await.unwrap().map(|job| job.data);
    // As many as ask before it begins have the same one.
    store.look_again("again").await.unwrap();
    let planned = job().await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    store.look_again("again").await.unwrap();
    assert_eq!(job().await.unwrap(), planned);
    batch.evaluator.proceed("again").await.unwrap();
    assert_eq!(job().await.unwrap(), planned, "it is not time yet");

    tokio::time::sleep(Duration::from_secs(91)).await;
    let waiting = store.job("again").await.unwrap().unwrap();
    assert!(store.begin_job(&waiting).await.unwrap());
    run(&batch, "again").await;
    assert_eq!(low(store).await, ["FEW"]);
    // What was looked at already may have changed since.
    let event = level("generic", 9, "MANY", "north", 1);
    store.apply(&event, &Authority::default()).await.unwrap();
    store.look_again("again").await.unwrap();
    store.look_again("again").await.unwrap();
    assert_eq!(low(store).await, ["FEW"]);

    let second = store.job("again").await.unwrap().unwrap();
    let begins = second.data.not_before.unwrap().0;
    assert_eq!(begins, clock.now() + SignedDuration::from_mins(2));
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert!(store.begin_job(&second).await.unwrap());
    run(&batch, "again").await;
    assert_eq!(low(store).await, ["FEW", "MANY"]);
}

#[tokio::test(start_paused = true)]
async fn sources_that_are_believed_again_are_looked_at_together_and_none_is_missed() {
    let clock = Clock::starting_at(at(0));
    let batch = batch(&clock, Arc::new(Quiet)).await;
    let store = &batch.store;
    for source in ["dealer", "market", "generic"] {
        let event = level(source, 9, source, "north", 1);
        store.apply(&event, &Authority::default()).await.unwrap();
    }
    let again = async |source: &str| {
        store
            .look_at_owned_by(&source.parse().unwrap())
            .await
            .unwrap()
    };
    let parts = Store::parts().map(|part| format!("believed-again.{part}"));
    let parts: Vec<_> = parts.collect();
    let begin = async || {
        tokio::time::sleep(Duration::from_secs(121)).await;
        for part in &parts {
            let waiting = store.job(part).await.unwrap().unwrap();
            assert!(store.begin_job(&waiting).await.unwrap());
        }
    };
    let go_through = async || {
        for part in &parts {
            Box::pin(batch.evaluator.proceed(part)).await.unwrap();
        }
    };
    again("dealer").await;
    again("market").await;
    go_through().await;
    assert!(low(store).await.is_empty(), "it is not time yet");
    begin().await;
    // By then the parts are under way.
    again("generic").await;
    go_through().await;
    assert_eq!(low(store).await, ["dealer", "market"]);
    begin().await;
    go_through().await;
    assert_eq!(low(store).await, ["FEW", "dealer", "generic", "market"]);
    for part in &parts {
        assert!(store.job(part).await.unwrap().is_none(), "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_a_look_at_everything_begin_before_anything_is_read_of_what_waits() {
    let no_lists = Arc::new(NoLists::default());
    let clock = Clock::starting_at(at(0));
    let batch = batch(&clock, Arc::clone(&no_lists) as _).await;
    no_lists.0.store(true, Ordering::SeqCst);
    let spread = batch.evaluator.proceed("configuration").await;
    assert!(spread.is_err(), "the sources are looked at afterwards");
    let parts = batch.store.parts_under_way().await.unwrap();
    assert_eq!(parts.len(), Store::parts().count());
}

#[tokio::test(start_paused = true)]
async fn a_job_finds_what_the_stream_lost() {
    let clock = Clock::starting_at(at(0));
    let batch = batch(&clock, Arc::new(Quiet)).await;
    let store = &batch.store;
    let authority = Authority::default();
    for number in 0..120 {
        let product = format!("BULK-{number:03}");
        let event = level(
            "generic",
            1,
            &product,
            "north",
            if number < 60 { 1 } else { 9 },
        );
        store.apply(&event, &authority).await.unwrap();
    }
    for (source, location) in [("dealer", "north"), ("market", "south")] {
        let event = stocked(source, location);
        store.apply(&event, &authority).await.unwrap();
    }
    // No record of any of this has been seen by the evaluator, and nothing more of it comes.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(store.start_job(Reexamination::new("asked")).await.unwrap());
    // Some 125 positions and a vehicle, in sixteen parts: less than a page of each list.
    assert_eq!(run(&batch, "asked").await, 32);
    let open = store.alerts(AlertState::Open, None, 200).await.unwrap();
    // Sixty of the bulk, FEW, and the vehicle's line.
    let of = |kind| open.items.iter().filter(|alert| alert.kind == kind).count();
    assert_eq!(
        (
            of(AlertKind::LowStock),
            of(AlertKind::Conflict),
            open.items.len()
        ),
        (62, 1, 63)
    );
}
