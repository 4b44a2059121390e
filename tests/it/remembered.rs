//! For how long an event is known to have been applied: for as long as it can be applied again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use jiff::Timestamp;
use lotwire::engine::Settings;
use serde_json::{Value, json};
use shared::store::keys;

use shared::store::quarantine::HeldState;

use crate::bench::{SECRET, signed};
use crate::shopify::{ALL, Breaks, Shop};

/// A till beside the shop.
const TILL: (&str, &str) = (
    "[connectors.shop]",
    "[connectors.till]\nkind = \"generic\"\nwebhook = { secret = \"env:TILL\" }\n[connectors.shop]",
);
/// A place that is made known later.
const EAST: (&str, &str) = (
    "[locations.south]",
    "[locations.east]\nname = \"East\"\nkind = \"warehouse\"\n[locations.south]",
);

/// The till sends a webhook: how many changes are applied, known and held.
async fn sends(shop: &Shop, id: &str, kind: &str, at: Timestamp, data: Value) -> [u64; 3] {
    let event = json!({ "type": kind, "timestamp": at.to_string(), "data": data });
    let (headers, body) = signed(SECRET, id, shop.store.clock().now(), &event);
    let headers: serde_json::Map<_, _> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let request: ApiGatewayV2httpRequest = serde_json::from_value(json!({
        "version": "2.0",
        "rawPath": "/hooks/till",
        "headers": headers,
        "pathParameters": { "connector": "till" },
        "requestContext": { "http": { "method": "POST", "path": "/hooks/till" }, "timeEpoch": 0 },
        "body": body,
        "isBase64Encoded": false,
    }))
    .unwrap();
    let response = shop.ingest.handle(request, shop.soon()).await;
    let Some(Body::Text(said)) = response.body else {
        panic!("{response:?}")
    };
    assert_eq!(response.status_code, 200, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    ["applied", "known", "quarantined"].map(|name| said[name].as_u64().unwrap())
}

/// A shop with a till that has ten of A, and a moment after.
async fn with_ten() -> (Shop, Timestamp) {
    let shop = Shop::open(&[TILL]).await;
    let opened = shop.store.clock().now();
    let ten = json!({ "sku": "A", "location": "north", "on_hand": 10 });
    let sent = sends(&shop, "level", "stock.level", opened, ten).await;
    assert_eq!(sent, [1, 0, 0]);
    // What is sold after that is not in it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let now = shop.store.clock().now();
    (shop, now)
}

/// So many days later, when the table has deleted what is over.
async fn days_later(shop: &Shop, days: u64) {
    tokio::time::sleep(Duration::from_hours(24 * days)).await;
    shop.aws.tables().sweep_expired().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_webhook_sold_is_sold_once_when_the_rest_of_it_applies_weeks_later() {
    let (shop, after) = Box::pin(with_ten()).await;
    let sold = json!({ "changes": [
        { "sku": "A", "location": "north", "quantity": 1 },
        { "sku": "B", "location": "east", "quantity": 2 },
    ]});
    let sent = sends(&shop, "sale", "stock.sold", after, sold).await;
    assert_eq!(sent, [1, 0, 1]);
    days_later(&shop, 29).await;
    shop.configure(&[TILL, EAST]).await;
    shop.ticks().await;
    assert_eq!(shop.sold("B", "east").await, 2);
    assert_eq!(shop.on_hand("A", "north").await, Some(9));
    assert_eq!(shop.sold("A", "north").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_has_no_second_effect_on_any_day_on_which_there_is_something_to_replay() {
    let (shop, after) = Box::pin(with_ten()).await;
    let sold = json!({ "sku": "A", "location": "north", "quantity": 1 });
    sends(&shop, "sale", "stock.sold", after, sold).await;
    let till = "till".parse().unwrap();
    for day in 1..40 {
        // The table deletes late, and not everything at once.
        match day % 3 {
            0 => days_later(&shop, 1).await,
            _ => tokio::time::sleep(Duration::from_hours(24)).await,
        }
        let replayed = shop.ingest.replay(&till, &ALL, None).await.unwrap();
        let kept = if day < 30 { 2 } else { 0 };
        assert_eq!(replayed.webhooks, kept, "day {day}");
        assert_eq!(replayed.outcome.applied, 0, "day {day}");
        assert_eq!(shop.on_hand("A", "north").await, Some(9), "day {day}");
    }
}

/// The later webhook can be applied again when the earlier one is long gone.
#[tokio::test(start_paused = true)]
async fn what_two_webhooks_say_is_known_for_as_long_as_either_is_kept() {
    let (shop, after) = Box::pin(with_ten()).await;
    let sale = json!({ "sku": "A", "location": "north", "quantity": 1 });
    let one = json!({ "changes": [sale] });
    let sent = sends(&shop, "sale", "stock.sold", after, one).await;
    assert_eq!(sent, [1, 0, 0]);
    days_later(&shop, 5).await;
    let more = json!({ "changes": [sale, { "sku": "B", "location": "east", "quantity": 2 }] });
    let sent = sends(&shop, "sale", "stock.sold", after, more).await;
    assert_eq!(sent, [0, 1, 1]);
    days_later(&shop, 28).await;
    shop.configure(&[TILL, EAST]).await;
    shop.ticks().await;
    assert_eq!(shop.sold("B", "east").await, 2);
    assert_eq!(shop.on_hand("A", "north").await, Some(9));
}

/// The till with a name of its own for a place.
fn called(place: &str) -> String {
    let named = format!("kind = \"generic\"\nlocations = {{ \"5\" = \"{place}\" }}\n");
    TILL.1.replace("kind = \"generic\"\n", &named)
}

/// On hand and sold in the north, and in the south.
async fn of_a(shop: &Shop) -> [(Option<i64>, i64); 2] {
    let mut of = [(None, 0); 2];
    for (found, place) in of.iter_mut().zip(["north", "south"]) {
        *found = (shop.on_hand("A", place).await, shop.sold("A", place).await);
    }
    of
}

/// A till that sold one of A and received three at a place that it calls 5: ten were in the north, and
/// twenty in the south.
async fn with_movements(settings: Settings) -> Shop {
    let (north, south) = (called("north"), ["north", "south"]);
    let shop = Shop::disturbed(&[(TILL.0, &north)], settings).await;
    let opened = shop.store.clock().now();
    for (place, units) in south.into_iter().zip([10, 20]) {
        let level = json!({ "sku": "A", "location": place, "on_hand": units });
        sends(&shop, place, "stock.level", opened, level).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = shop.store.clock().now();
    let sold = json!({ "sku": "A", "location": "5", "quantity": 1 });
    assert_eq!(
        sends(&shop, "sold", "stock.sold", after, sold).await,
        [1, 0, 0]
    );
    let came =
        json!({ "changes": [{ "sku": "A", "location": "5", "delta": 3, "reason": "receipt" }] });
    assert_eq!(
        sends(&shop, "came", "stock.moved", after, came).await,
        [1, 0, 0]
    );
    assert_eq!(of_a(&shop).await, [(Some(12), 1), (Some(20), 0)]);
    shop
}

#[tokio::test(start_paused = true)]
async fn a_movement_is_where_its_name_leads_once_that_is_corrected_and_its_webhook_is_replayed() {
    let shop = Box::pin(with_movements(Settings::default())).await;
    let till = "till".parse().unwrap();
    for (place, expected) in [
        ("south", [(Some(10), 0), (Some(22), 1)]),
        ("north", [(Some(12), 1), (Some(20), 0)]),
    ] {
        shop.configure(&[(TILL.0, &called(place))]).await;
        for _ in 0..2 {
            shop.ingest.replay(&till, &ALL, None).await.unwrap();
            assert_eq!(of_a(&shop).await, expected, "{place}");
        }
    }
    assert_eq!(shop.held(HeldState::Open).await, []);
    // The ledger says why, at either place.
    let (a, south) = ("A".parse().unwrap(), "south".parse().unwrap());
    let of = keys::position_history(&a, &south);
    let rows = shop.store.history(&of, None, 100).await.unwrap().items;
    let why = "its source means another place by the name that it used";
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert_eq!(rows.last().unwrap().reason.as_deref(), Some(why));
    // Another place by another name is another sale: the id was used before.
    let now = shop.store.clock().now();
    let other = json!({ "sku": "A", "location": "south", "quantity": 1 });
    assert_eq!(
        sends(&shop, "sold", "stock.sold", now, other).await,
        [0, 0, 1]
    );
    let held = shop.held(HeldState::Open).await;
    assert_eq!(held[0].reason, "event_id_reused");
    assert_eq!(of_a(&shop).await, [(Some(12), 1), (Some(20), 0)]);
}

/// As a crash leaves it, whichever call was the last.
#[tokio::test(start_paused = true)]
async fn a_movement_is_moved_once_though_whoever_moves_it_stops_at_any_call() {
    let till = "till".parse().unwrap();
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Box::pin(with_movements(settings)).await;
        shop.configure(&[(TILL.0, &called("south"))]).await;
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.ingest.replay(&till, &ALL, None).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        shop.ingest.replay(&till, &ALL, None).await.unwrap();
        assert_eq!(of_a(&shop).await, [(Some(10), 0), (Some(22), 1)], "{calls}");
        if is_whole {
            return;
        }
    }
}
