//! What an installation asks of the table as it grows: which partition keys would be too hot at 10,000
//! changes a second, and what of the cost of a webhook, of a delivery and of a file depends on the size.
//!
//! The model is driven through the real functions over the embedded table, which counts what each
//! partition key of the table and of its indexes consumes. DynamoDB publishes two limits for a partition,
//! 1,000 write units and 3,000 read units a second, in a table as in an index.

mod site;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use lotwire::engine::{
    Call, Consumed, Consumption, Interference, MOST_READ_UNITS, MOST_WRITE_UNITS, Partition,
    Service, Verdict, busiest,
};
use lotwire::stack::resources::TABLE;
use shared::channels::ChannelKind;
use shared::domain::alert::AlertState;
use shared::store::schema::LIST_INDEX;

use crate::desk::{Desk, EVERYBODY, SUM, config};
use site::{Site, Size, rooftop};

/// One source, one connector, one place, one channel, and no rule but the account's own.
const SMALL: Size = Size {
    sources: 1,
    connectors: 1,
    channels: 1,
    rooftops: 1,
    imported: 0,
    shared: 0,
};
const LARGE: Size = Size {
    sources: 50,
    connectors: 50,
    channels: 27,
    rooftops: 200,
    imported: 2_000,
    shared: 0,
};
/// Changes of stock that the whole installation takes in a second.
const CHANGES: f64 = 10_000.0;
/// Bytes that a webhook, a delivery or a file may read more in a large installation: a rule that was
/// imported for the product, and names that have become longer.
const MARGIN: usize = 700;

fn sum(consumption: &Consumption) -> Consumed {
    let mut sum = Consumed::default();
    for each in consumption.values() {
        sum += *each;
    }
    sum
}

/// What one of so many has consumed.
fn each(all: Consumed, count: usize) -> Consumed {
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let of = count as f64;
    Consumed {
        read: all.read / of,
        write: all.write / of,
        bytes_read: all.bytes_read / count,
    }
}

/// Fails unless the second consumed what the first did, and read hardly more.
fn assert_no_growth(what: &str, small: Consumed, large: Consumed) {
    assert!(
        (large.read, large.write) == (small.read, small.write)
            && large.bytes_read <= small.bytes_read + MARGIN,
        "{what}: {small:?} in a small installation, {large:?} in a large one"
    );
}

/// What a webhook costs that changes a level, and what the alert costs besides that one may open, with
/// its delivery on one channel.
async fn webhook_and_delivery(site: &mut Site) -> (Consumed, Consumed) {
    const COUNT: usize = 4;
    // The first of each kind has the functions read the configuration.
    for on_hand in [20, 1, 20] {
        site.level(0, "WARM-UP", 0, on_hand).await;
        site.idle().await;
    }
    for number in 0..COUNT {
        site.describe(0, &product(number), number).await;
        site.level(0, &product(number), 0, 20).await;
    }
    site.idle().await;
    let mut of = async |on_hand| {
        // The configuration is asked for once a second: by the first of these, that is, in each of them.
        site.pause().await;
        site.aws.tables().take_usage();
        for number in 0..COUNT {
            site.level(0, &product(number), 0, on_hand).await;
        }
        site.idle().await;
        sum(&site.aws.tables().take_usage())
    };
    let quiet = each(of(19).await, COUNT);
    let told = each(of(1).await, COUNT);
    let alert = Consumed {
        read: told.read - quiet.read,
        write: told.write - quiet.write,
        bytes_read: told.bytes_read - quiet.bytes_read,
    };
    (quiet, alert)
}

fn product(number: usize) -> String {
    format!("OIL-{number:06}")
}

#[tokio::test(start_paused = true)]
async fn a_webhook_and_a_delivery_cost_the_same_however_large_the_installation_is() {
    let mut small = Site::open(SMALL).await;
    let (webhook, delivery) = webhook_and_delivery(&mut small).await;
    assert!(webhook.write > 1.0 && delivery.write > 1.0);
    let mut large = Site::open(LARGE).await;
    let (webhook_there, delivery_there) = webhook_and_delivery(&mut large).await;
    assert_no_growth("a webhook", webhook, webhook_there);
    assert_no_growth("an alert and its delivery", delivery, delivery_there);
}

#[tokio::test(start_paused = true)]
async fn ten_times_the_imported_rules_make_no_difference() {
    let mut costs = Vec::new();
    for times in [1, 10] {
        let imported = times * LARGE.imported;
        let mut site = Site::open(Size { imported, ..LARGE }).await;
        let (webhook, delivery) = webhook_and_delivery(&mut site).await;
        costs.push((webhook, delivery));
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test(start_paused = true)]
async fn rules_for_categories_and_places_cost_the_same_however_many_are_imported() {
    let (small, _) = webhook_and_delivery(&mut Site::open(LARGE).await).await;
    let mut costs = Vec::new();
    for shared in [10_000, 40_000] {
        let mut site = Site::open(Size { shared, ..LARGE }).await;
        let (webhook, delivery) = webhook_and_delivery(&mut site).await;
        assert_no_growth("a webhook", small, webhook);
        // A new version has an instance read what it looks at, once, and no more: whoever imports looks, too.
        site.aws.tables().take_usage();
        site.change_rule(4).await;
        site.idle().await;
        site.level(0, &product(0), 0, 18).await;
        site.idle().await;
        let consumption = site.aws.tables().take_usage();
        let rules: Vec<_> = consumption
            .iter()
            .filter(|(key, _)| key.key.starts_with("RULES#"))
            .map(|(key, used)| (key.key.clone(), used.read))
            .collect();
        assert!((4..20).contains(&rules.len()), "{rules:?}");
        assert!(rules.iter().all(|(_, read)| *read <= 2.0), "{rules:?}");
        costs.push((webhook, delivery, sum(&consumption)));
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_product_that_all_rooftops_keep_costs_what_one_that_many_keep_does() {
    const MANY: usize = 20;
    let mut site = Site::open(LARGE).await;
    for (sku, rooftops) in [("OF-MANY", MANY), ("OF-ALL", LARGE.rooftops)] {
        for place in 0..rooftops {
            site.know(sku, place).await;
        }
    }
    let mut costs = Vec::new();
    for sku in ["OF-MANY", "OF-ALL"] {
        site.level(0, sku, 7, 19).await;
        site.idle().await;
        site.pause().await;
        site.aws.tables().take_usage();
        site.level(0, sku, 7, 18).await;
        site.idle().await;
        costs.push(sum(&site.aws.tables().take_usage()));
    }
    assert_no_growth("a change", costs[0], costs[1]);
}

#[tokio::test(start_paused = true)]
async fn a_threshold_for_one_place_costs_the_same_at_however_many_places_the_product_is() {
    const MANY: usize = 20;
    let mut site = Site::open(LARGE).await;
    for (sku, rooftops) in [("OF-MANY", MANY), ("OF-ALL", LARGE.rooftops)] {
        for place in 0..rooftops {
            site.know(sku, place).await;
        }
    }
    let mut costs = Vec::new();
    for sku in ["OF-MANY", "OF-ALL"] {
        for threshold in [4, 5] {
            site.idle().await;
            site.pause().await;
            site.aws.tables().take_usage();
            site.import_one(&format!(
                "sku,location,threshold\n{sku},{},{threshold}\n",
                rooftop(7)
            ))
            .await;
            site.idle().await;
        }
        costs.push(sum(&site.aws.tables().take_usage()));
    }
    assert_no_growth("a threshold", costs[0], costs[1]);
}

#[tokio::test(start_paused = true)]
async fn all_positions_are_gone_through_once_however_many_sources_are_believed_again() {
    const POSITIONS: usize = 150;
    let mut gone_through = Vec::new();
    for recovering in [1, LARGE.sources] {
        let mut site = Site::open(LARGE).await;
        for number in 0..POSITIONS {
            site.know(&product(number), number).await;
        }
        for believed in [false, true] {
            for source in 0..recovering {
                site.believe(source, believed).await;
            }
            site.idle().await;
            site.pause().await;
        }
        tokio::time::sleep(Duration::from_secs(180)).await;
        site.aws.tables().take_usage();
        site.begin_jobs().await;
        site.idle().await;
        let consumption = site.aws.tables().take_usage();
        let is_listed = |key: &Partition| {
            let list = spread_list(key).filter(|(index, _)| *index == LIST_INDEX);
            list.is_some_and(|(_, list)| list == "positions")
        };
        let listed = consumption.iter().filter(|(key, _)| is_listed(key));
        gone_through.push(listed.map(|(_, used)| used.bytes_read).sum::<usize>());
        // Each is on the list of nobody who was in doubt.
        let own = consumption
            .iter()
            .filter(|(key, _)| key.key.starts_with("P#"));
        assert_eq!(own.count(), 0);
    }
    assert!(gone_through[0] > 100 * POSITIONS, "{gone_through:?}");
    assert_eq!(gone_through[0], gone_through[1]);
}

#[tokio::test(start_paused = true)]
async fn who_repeats_a_products_category_has_it_looked_at_nowhere() {
    let shared = 3 * LARGE.rooftops;
    let mut site = Site::open(Size { shared, ..LARGE }).await;
    for place in 0..LARGE.rooftops {
        site.know("OF-ALL", place).await;
    }
    let mut reads = Vec::new();
    for (sender, number) in [(0, 1), (1, 1), (2, 2)] {
        site.idle().await;
        site.pause().await;
        site.aws.tables().take_usage();
        site.describe(sender, "OF-ALL", number).await;
        site.idle().await;
        reads.push(sum(&site.aws.tables().take_usage()).read);
    }
    let [first, repeated, other] = reads[..] else {
        unreachable!()
    };
    assert!(repeated < 30.0, "{reads:?}");
    assert!(first.min(other) > 200.0, "{reads:?}");
}

/// The partition of the configuration's head.
const CONFIGURATION: &str = "CONFIG";
/// How the keys begin that one product, vehicle, event, webhook or alert has for itself.
const OWN: [&str; 6] = ["P#", "U#", "H#", "M#", "R#", "A#"];

fn is_own(key: &str) -> bool {
    OWN.iter().any(|own| key.starts_with(own))
}

/// The list that an index partition is one of several parts of, if it is.
fn spread_list(key: &Partition) -> Option<(&str, &str)> {
    let (list, part) = key.key.rsplit_once('#')?;
    let is_part = part.bytes().all(|byte| byte.is_ascii_digit());
    key.index
        .as_deref()
        .filter(|_| is_part)
        .map(|index| (index, list))
}

/// What each key took, where the parts of a list that is spread evenly took the same: of few changes, the
/// difference is chance.
fn evenly(consumption: &Consumption) -> BTreeMap<String, Consumed> {
    let mut lists: BTreeMap<(&str, &str), (usize, Consumed)> = BTreeMap::new();
    let mut evenly = BTreeMap::new();
    for (key, used) in consumption {
        if let Some(list) = spread_list(key) {
            let (parts, sum) = lists.entry(list).or_default();
            *parts += 1;
            *sum += *used;
        } else {
            evenly.insert(key.to_string(), *used);
        }
    }
    for ((index, list), (parts, sum)) in lists {
        let part = each(sum, parts);
        evenly.insert(
            format!("each of {parts} parts of {list} in index {index}"),
            part,
        );
    }
    evenly
}

#[tokio::test(start_paused = true)]
async fn no_key_is_too_hot_at_ten_thousand_changes_a_second() {
    const COUNT: usize = 200;
    let mut site = Site::open(LARGE).await;
    // People are told once of each sender that something of it is held, and not of each such event.
    for sender in 0..LARGE.connectors {
        site.misplaced(sender, &product(COUNT + sender)).await;
    }
    // Each instance reads the whole configuration once.
    site.level(COUNT, &product(COUNT), COUNT, 1).await;
    site.idle().await;
    site.aws.tables().take_usage();
    let begun = site.aws.clock().now();
    for number in 0..COUNT {
        let sku = product(number);
        match number % 10 {
            // One in ten opens an alert, which is told at the rooftop and at the head office.
            0 => site.level(number, &sku, number, 1).await,
            // One in ten cannot be used, and is kept for people to look at; of every sender some.
            tenth if tenth == 1 + number / 10 % 9 => site.misplaced(number, &sku).await,
            _ => site.level(number, &sku, number, 19).await,
        }
    }
    site.idle().await;
    let consumption = site.aws.tables().take_usage();
    println!("{}", busiest(&consumption, 10).join("\n"));
    let mut rates: Vec<_> = evenly(&consumption)
        .into_iter()
        .filter(|(key, _)| !is_own(key) && key != CONFIGURATION)
        .map(|(key, used)| {
            (
                key,
                per_second(used.write, COUNT),
                per_second(used.read, COUNT),
            )
        })
        .collect();
    rates.sort_by(|(_, one, _), (_, other, _)| other.total_cmp(one));
    for (key, write, read) in rates.iter().take(12) {
        println!("{key}: {write:.0} write and {read:.0} read units a second");
    }
    rates.retain(|(_, write, read)| *write > MOST_WRITE_UNITS || *read > MOST_READ_UNITS);
    assert!(rates.is_empty(), "too hot: {rates:#?}");
    // The configuration's head is asked for by each instance once a second, however much it has to do.
    let asked = consumption
        .iter()
        .filter(|(key, _)| key.key == CONFIGURATION)
        .map(|(_, used)| used.read)
        .sum::<f64>();
    let instances = f64::from(u32::try_from(2 + ChannelKind::ALL.len()).unwrap());
    let seconds = site
        .aws
        .clock()
        .now()
        .duration_since(begun)
        .as_secs_f64()
        .ceil();
    assert!(
        asked <= instances * (seconds + 1.0),
        "{asked} reads in {seconds} s"
    );
    // The counter counted what the functions did.
    assert!(sum(&consumption).write > 1_000.0);
    let lists: BTreeSet<_> = consumption
        .keys()
        .filter_map(|key| spread_list(key).filter(|(index, _)| *index == LIST_INDEX))
        .map(|(_, list)| list.split('#').next().unwrap_or(list).to_owned())
        .collect();
    for busy in ["alerts", "intents", "positions", "quarantine", "received"] {
        assert!(lists.contains(busy), "{busy}: {lists:?}");
    }
    assert_eq!(listed(&site).await, PAGED.map(str::to_owned).into());
}

/// The kinds of item that people, or jobs, page through.
const PAGED: [&str; 7] = [
    "alert",
    "held_kind",
    "intent",
    "position",
    "quarantine",
    "received",
    "rule",
];

/// The kinds of item in the list index: whatever else is written costs no second write.
async fn listed(site: &Site) -> BTreeSet<String> {
    let table = site.aws.dynamodb();
    let mut items = table
        .scan()
        .table_name(TABLE)
        .into_paginator()
        .items()
        .send();
    let (mut listed, mut others) = (BTreeSet::new(), 0);
    while let Some(item) = items.next().await {
        let item = item.unwrap();
        let kind = item["t"].as_s().unwrap();
        if item.contains_key("lpk") {
            listed.insert(kind.clone());
        } else {
            others += 1;
        }
    }
    assert!(others > 100, "ledger rows, markers, revisions: {others}");
    listed
}

/// Units a second at all changes, of what so many of them took.
fn per_second(units: f64, changes: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let changes = changes as f64;
    units / changes * CHANGES
}

#[tokio::test(start_paused = true)]
async fn a_file_costs_what_its_own_source_states() {
    let mut costs = BTreeMap::new();
    for (name, size) in [("small", SMALL), ("large", LARGE)] {
        let mut site = Site::open(size).await;
        for source in 0..size.sources {
            site.file(source, if source == 0 { 10 } else { 2 }, 9);
        }
        site.read_all().await;
        site.aws.tables().take_usage();
        site.file(0, 10, 8);
        site.read(0).await;
        let consumption = site.aws.tables().take_usage();
        let others: Vec<_> = consumption
            .keys()
            .filter(|partition| {
                (1..size.sources).any(|other| partition.key.contains(&site::source(other)))
            })
            .collect();
        assert!(others.is_empty(), "{name}: {others:?}");
        costs.insert(name, sum(&consumption));
    }
    let (small, large) = (costs["small"], costs["large"]);
    assert!(small.write > 10.0);
    assert_no_growth("a file", small, large);
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_by_key_is_what_the_table_reports() {
    let mut site = Site::open(SMALL).await;
    site.aws.tables().take_usage();
    let before = site.stack.spent();
    for number in 0..20 {
        site.level(0, &product(number), 0, 20).await;
        site.level(0, &product(number), 0, 1).await;
    }
    site.idle().await;
    let reported = site.stack.spent() - before;
    let counted = sum(&site.aws.tables().take_usage());
    // A condition that is not met costs too, and is not reported.
    assert_eq!(counted.read, reported.read);
    assert!(
        (reported.write..=reported.write * 1.02).contains(&counted.write),
        "{counted:?} {reported:?}"
    );
    assert!(rooftop(0) < rooftop(1));
}

/// What calls take on AWS.
struct Distance;

#[async_trait]
impl Interference for Distance {
    async fn before(&self, call: &Call) -> Verdict {
        let millis = match (call.service, &*call.operation) {
            (Service::DynamoDb, "TransactWriteItems") => 20,
            (Service::DynamoDb, _) => 8,
            _ => 25,
        };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Verdict::Proceed
    }
}

/// A threshold that is imported for one product has its alert opened at each of two hundred rooftops.
#[tokio::test(start_paused = true)]
async fn a_product_that_all_rooftops_keep_is_looked_at_everywhere_well_within_an_invocation() {
    let names: Vec<_> = (0..LARGE.rooftops).map(rooftop).collect();
    let places: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), "\"all\""))
        .collect();
    for over_sum in ["", SUM] {
        let over_sum = over_sum.replace("threshold = 3", "threshold = 500");
        let rest = format!("{EVERYBODY}{over_sum}");
        let desk = Desk::with(&config(&places, &rest), Arc::new(Distance)).await;
        for name in &names {
            desk.state(0, "OIL", name, 2).await;
        }
        let rule =
            "[[rules]]\nname = \"oil\"\nkind = \"low_stock\"\nproduct = \"OIL\"\nthreshold = 4\n";
        let imported = config(&places, &format!("{rest}{rule}")).rules;
        let imported = [imported.last().unwrap().clone()];
        desk.store
            .change_rules(&imported, &[], "test")
            .await
            .unwrap();
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let get = desk.aws.dynamodb().get_item().table_name(TABLE);
        let get = get.key("pk", text("P#OIL")).key("sk", text("rule#oil"));
        let row = get.send().await.unwrap().item.unwrap();
        let mut record = EventRecord::default();
        record.event_name = "INSERT".to_owned();
        record.change.sequence_number = Some("1".to_owned());
        let keys = ["pk", "sk"].map(|key| (key.to_owned(), row[key].clone()));
        record.change.keys = HashMap::from(keys).into();
        record.change.new_image = row.into();
        let mut batch = Event::default();
        batch.records.push(record);
        let began = desk.store.clock().now();
        let deadline = began + SignedDuration::from_secs(60);
        let answer = desk.evaluator.handle(batch, deadline).await;
        let took = desk.store.clock().now().duration_since(began);
        println!("{} rooftops took {took:#}", LARGE.rooftops);
        assert!(answer.batch_item_failures.is_empty());
        let page = desk
            .store
            .alerts(AlertState::Open, None, 200)
            .await
            .unwrap();
        assert!(page.items.len() >= 100, "{}", page.items.len());
        assert!(took < SignedDuration::from_secs(5), "{took:#}");
    }
}
