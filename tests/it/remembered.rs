//! For how long an event is known to have been applied: for as long as it can be applied again.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use ingest::Selection;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::bench::{SECRET, signed};
use crate::shopify::Shop;

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
    let all = Selection::Between {
        from: None,
        until: None,
    };
    for day in 1..40 {
        // The table deletes late, and not everything at once.
        match day % 3 {
            0 => days_later(&shop, 1).await,
            _ => tokio::time::sleep(Duration::from_hours(24)).await,
        }
        let replayed = shop.ingest.replay(&till, &all, None).await.unwrap();
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
