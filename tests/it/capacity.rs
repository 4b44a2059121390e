//! What each kind of change costs in DynamoDB capacity, as the table itself counts it.
//!
//! The numbers are those of `docs/capacity.md`: a change that makes them grow has to say so there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::Authority;
use shared::domain::event::{Change, ProductDescription, StockEvent, Version};
use shared::domain::unit::{Field, UnitReport, UnitState};
use shared::store::spent::Units;
use shared::telemetry;
use shared::testing::Captured;

use crate::bench::{Bench, at, event, level, sold};
use crate::deployed::Deployed;

const DOCUMENT: &str = include_str!("../../docs/capacity.md");
const DEPLOYMENT: &str = include_str!("../../docs/deploy.md");

async fn cost(bench: &Bench, event: &StockEvent) -> Units {
    let before = bench.store.spent();
    // As long as a webhook's id: it is in every row that follows from one.
    let id = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    bench
        .store
        .on_behalf_of(id, Some(at(0)))
        .apply(event, &Authority::default())
        .await
        .unwrap();
    bench.store.spent() - before
}

/// Per million, on demand, us-east-1: $0.625 per million write units, $0.125 per million read units.
fn dollars(cost: Units) -> f64 {
    cost.write * 0.625 + cost.read * 0.125
}

/// The rows of the document's table, as they should be.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    fn row(&mut self, kind: &str, cost: Units) {
        let dollars = dollars(cost);
        let Units { read, write } = cost;
        self.0
            .push(format!("| {kind} | {write} | {read} | {dollars:.2} |"));
    }

    fn check(&self) {
        let missing: Vec<_> = self
            .0
            .iter()
            .filter(|row| !DOCUMENT.contains(*row))
            .collect();
        assert!(
            missing.is_empty(),
            "docs/capacity.md does not say:\n{missing:#?}"
        );
    }
}

/// A vehicle with the columns of `functions/local/sample/units.csv`.
fn vehicle(source: &str, minute: i64, state: UnitState, location: &str) -> StockEvent {
    let text = |name: &str, text: &str| (name.to_owned(), Field::Text(text.to_owned()));
    let price = Field::Money("268500 GBP".parse().unwrap());
    let report = UnitReport {
        called: None,
        source_gone: false,
        vin: "SCBCG2ZG7TC031207".parse().unwrap(),
        version: Version::at(at(minute)),
        state: Some(state),
        location: Some(location.parse().unwrap()),
        stock_number: Some("BL-2601".into()),
        since: Some("2025-09-14".parse().unwrap()),
        brought: false,
        undated: false,
        fields: [
            text("condition", "new"),
            text("make", "Bentley"),
            text("model", "Continental GT"),
            text("trim", "Speed"),
            text("body", "coupe"),
            text("exterior_colour", "Tourmaline Green"),
            text("interior_colour", "Linen"),
            ("year".to_owned(), Field::Number(2026)),
            ("mileage".to_owned(), Field::Distance("12 mi".to_owned())),
            ("price".to_owned(), price),
        ]
        .into(),
    };
    event(
        &format!("unit-{minute}"),
        source,
        minute,
        Change::Unit(Box::new(report)),
    )
}

#[tokio::test]
async fn every_kind_of_change_costs_what_the_document_says() {
    let bench = Bench::new();
    let mut table = Table::default();
    let first = level("erp", 0, "OIL-5W40-1L", "milano", 10);
    table.row(
        "first level of a product at a location",
        cost(&bench, &first).await,
    );
    let next = level("erp", 1, "OIL-5W40-1L", "milano", 9);
    table.row("level that differs", cost(&bench, &next).await);
    table.row("level that is known, or older", cost(&bench, &next).await);
    let sale = sold("order-1", "shop", 2, "OIL-5W40-1L", "milano", 1);
    table.row("sale or movement", cost(&bench, &sale).await);
    table.row("sale or movement, repeated", cost(&bench, &sale).await);
    let described = event(
        "described",
        "shop",
        3,
        Change::Described(ProductDescription {
            sku: "OIL-5W40-1L".parse().unwrap(),
            version: Version::at(at(3)),
            title: Some("Engine oil 5W-40 1 l".into()),
            category: Some("oil".into()),
            external: [("inventory_item".to_owned(), "30322695".to_owned())].into(),
        }),
    );
    table.row(
        "product description with one external name",
        cost(&bench, &described).await,
    );
    let mut last = Units::default();
    for number in 0..200 {
        let more = Change::Described(ProductDescription {
            sku: "OIL-5W40-1L".parse().unwrap(),
            version: Version::at(at(4 + number)),
            title: Some("Engine oil 5W-40 1 l".into()),
            category: Some("oil".into()),
            external: BTreeMap::default(),
        });
        let (id, source) = (format!("more-{number}"), format!("rooftop-{number:03}"));
        last = cost(&bench, &event(&id, &source, 4 + number, more)).await;
    }
    table.row("product description by the 200th source", last);
    table.row(
        "vehicle, first seen",
        cost(&bench, &vehicle("dms", 0, UnitState::InStock, "london")).await,
    );
    table.row(
        "vehicle, reserved",
        cost(&bench, &vehicle("dms", 1, UnitState::Reserved, "london")).await,
    );
    table.row(
        "vehicle, moved to another rooftop",
        cost(&bench, &vehicle("dms", 2, UnitState::InStock, "milano")).await,
    );
    table.row(
        "vehicle, listed by a second source too",
        cost(&bench, &vehicle("site", 3, UnitState::InStock, "milano")).await,
    );
    table.row(
        "vehicle of two sources, reserved",
        cost(&bench, &vehicle("dms", 4, UnitState::Reserved, "milano")).await,
    );
    table.row(
        "vehicle of two sources, sold",
        cost(&bench, &vehicle("dms", 5, UnitState::Sold, "milano")).await,
    );
    table.row(
        "line of a Shopify order, with its stock",
        cost(&bench, &ordered("1", 6)).await,
    );
    table.row(
        "further line of the same order",
        cost(&bench, &ordered("2", 6)).await,
    );
    let bench = Bench::new();
    cost(&bench, &first).await;
    cost(&bench, &vehicle("dms", 0, UnitState::InStock, "london")).await;
    let gone = Change::SourceGone {
        product: "OIL-5W40-1L".parse().unwrap(),
        location: "milano".parse().unwrap(),
        called: None,
    };
    table.row(
        "level whose source is removed",
        cost(&bench, &event("gone", "erp", 7, gone)).await,
    );
    table.row(
        "vehicle whose source is removed",
        cost(&bench, &removed("dms", 0)).await,
    );
    table.check();
}

/// A vehicle that is said to be gone, and nothing else.
fn removed(source: &str, minute: i64) -> StockEvent {
    let report = UnitReport {
        vin: "SCBCG2ZG7TC031207".parse().unwrap(),
        version: Version::at(at(minute)),
        state: Some(UnitState::Removed),
        location: None,
        called: None,
        source_gone: true,
        stock_number: None,
        since: None,
        brought: false,
        undated: false,
        fields: Default::default(),
    };
    event("gone", source, minute, Change::Unit(Box::new(report)))
}

/// A line of an order of two, whose units are taken from stock.
fn ordered(line: &str, minute: i64) -> StockEvent {
    let line = json!({
        "type": "order_line",
        "order": "820982911946154508",
        "line": line,
        "product": "OIL-5W40-1L",
        "deducts": true,
        "placed": {
            "version": Version::at(at(minute)),
            "location": "milano",
            "at": at(minute).as_millisecond(),
            "quantity": 1,
            "current": 1,
        },
    });
    let id = format!("order-line-{}", line["line"].as_str().unwrap());
    event(&id, "shop", minute, serde_json::from_value(line).unwrap())
}

/// The row of the document's table that says what a call took, if a log line is about one.
fn call(line: &Value) -> Option<String> {
    let (read, write) = (line["read"].as_f64(), line["write"].as_f64());
    if line["message"] != "table capacity" {
        return None;
    }
    let operation = line["operation"].as_str()?;
    let units = |units: Option<f64>| units.map_or_else(String::new, |units| units.to_string());
    Some(format!(
        "| {operation} | {} | {} |",
        units(write),
        units(read)
    ))
}

const ONE_RULE: &str = r#"
[account]
name = "Test"
zone = "UTC"
currency = "EUR"
[locations.north]
name = "North"
kind = "warehouse"
[connectors.till]
kind = "generic"
[connectors.till.webhook]
secret = "env:TILL"
[channels.out]
kind = "webhook"
url = "https://people.example.com/"
secret = "env:OUT"
[[routes]]
name = "all"
channels = ["out"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
"#;

#[tokio::test(start_paused = true)]
async fn the_whole_way_of_a_webhook_costs_what_the_documents_say() {
    let logs = Captured::default();
    let writer = logs.clone();
    let calls = "shared::store=trace".parse().unwrap();
    let clock = Clock::starting_at(at(0));
    let subscriber = telemetry::in_lambda(move || writer.clone(), &calls, clock);
    let _subscriber = tracing::subscriber::set_default(subscriber);
    let bill = || logs.json().iter().filter_map(call).collect::<Vec<_>>();
    let site = Deployed::new();
    site.ask("PUT", "/api/v1/config", Some(ONE_RULE)).await;
    let (carried, notifying) = (site.stream_and_runs(), site.notifier());
    let level =
        |sku: &str, on_hand: i64| json!({ "sku": sku, "location": "north", "on_hand": on_hand });
    let follows = async |before: Units| {
        carried.idle().await;
        notifying.idle().await;
        site.spent() - before
    };
    let states = async |on_hand: i64| {
        let before = site.spent();
        site.hook("stock.level", level("OIL", on_hand)).await;
        follows(before).await
    };
    // Low, and well again: the configuration is read and the vendor's first refusal is over.
    site.hook("stock.level", level("FILTER", 20)).await;
    for on_hand in [20, 2, 20] {
        states(on_hand).await;
    }
    // What was refused is sent again by then, and nothing is held against the vendor.
    tokio::time::sleep(Duration::from_secs(60)).await;
    follows(site.spent()).await;
    let until = bill().len();
    let first = states(19).await;
    let of_webhook = bill().split_off(until);
    let until = bill().len();
    let told = states(2).await - first;
    let mut of_alert = bill().split_off(until);
    for call in &of_webhook {
        let place = of_alert.iter().position(|other| other == call);
        of_alert.remove(place.expect("a call that every webhook makes"));
    }
    let before = site.spent();
    site.hook_now("stock.level", level("FILTER", 19)).await;
    let quiet = follows(before).await;
    // The document may follow what is measured, but not beyond these. Of an alert's, one write has it
    // brought to mind tomorrow, if it is still open (`remind_every`), and one read looks whether
    // an earlier alert of the same day on this item is still on its way.
    assert!(
        quiet.write <= 8.0 && quiet.read <= 3.0,
        "{quiet:?} {of_webhook:#?}"
    );
    assert!(
        told.write <= 15.0 && told.read <= 5.0,
        "{told:?} {of_alert:#?}"
    );
    // What the alert left to be looked at again is over by then.
    carried.stop().await;
    notifying.stop().await;
    // And what waited for a name that the configuration gives has been looked for.
    for _ in 0..3 {
        site.tick_after(60).await;
    }
    let before = site.spent();
    site.tick_after(1).await;
    let tick = site.spent() - before;

    let mut table = Table::default();
    table.row(
        "webhook with a level that differs, kept, applied and evaluated",
        quiet,
    );
    table.row("the same, as the first for a second or longer", first);
    table.row("and an alert that it opens, sent to one channel", told);
    table.row("tick of the clock with nothing to do", tick);
    table.0.extend(of_webhook);
    table.0.extend(of_alert);
    table.check();

    // A million webhooks, one in a hundred of which opens an alert.
    let (events, alerts) = (1.0, 0.01);
    let month = 60.0 * 24.0 * 30.0;
    let parts = [
        format!("| DynamoDB, webhooks | {:.2} |", dollars(quiet) * events),
        format!("| DynamoDB, alerts | {:.2} |", dollars(told) * alerts),
        format!(
            "| DynamoDB, the clock | {:.2} |",
            dollars(tick) * month / 1e6
        ),
    ];
    for part in parts {
        assert!(
            DEPLOYMENT.contains(&part),
            "docs/deploy.md does not say {part}"
        );
    }
}
