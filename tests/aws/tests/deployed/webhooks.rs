//! From a signed webhook to the request that tells of it.

use aws_tests::bench::SIGNING;
use aws_tests::eventually;
use aws_tests::vendor::Seen;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::clock::Clock;
use shared::signature::standard;

use crate::world::{ERP, SHOPIFY_SECRET, World};

#[test]
fn a_signed_webhook_becomes_stock_an_alert_and_one_request_to_the_vendor() {
    World::run(async |world| {
        let sku = "OIL-5W40-1L";
        describe(world, sku, 30_322_695).await;
        assert_eq!(level(world, 30_322_695, 10, 2).await.0, StatusCode::OK);
        let (status, answer) = level(world, 30_322_695, 3, 1).await;
        assert_eq!(status, StatusCode::OK, "{answer}");

        let told = eventually("the vendor is told", async || told(world, sku).pop()).await;
        assert_eq!(told.body["type"], "stock.low_stock.opened");
        assert_eq!(told.body["data"]["after"]["available"], 3);
        assert!(
            genuine(&told),
            "the receiver's own library accepts it: {told:?}"
        );

        // The ledger and the API show the same.
        let position = &world.stack.list(&format!("positions?product={sku}")).await[0];
        assert_eq!(
            (&position["on_hand"], &position["stated_by"]),
            (&json!(3), &json!("shopify"))
        );
        let ledger = world
            .stack
            .list(&format!("ledger?product={sku}&location=north"))
            .await;
        let after: Vec<_> = ledger
            .iter()
            .map(|row| row["after"]["on_hand"].clone())
            .collect();
        assert_eq!(after, [10, 3], "{ledger:?}");
        let alerts = world.stack.list("alerts?state=open").await;
        let alert = alerts
            .iter()
            .find(|alert| alert["message"]["product"] == sku);
        let alert = alert.expect("the alert is listed");
        let id = alert["id"].as_str().unwrap();
        let deliveries = eventually("the delivery is recorded", async || {
            let deliveries = world.stack.list(&format!("deliveries?alert={id}")).await;
            (deliveries[0]["state"] == "delivered").then_some(deliveries)
        })
        .await;
        assert_eq!(deliveries.len(), 1);
        assert_eq!(deliveries[0]["attempts"].as_array().unwrap().len(), 1);
        let key = deliveries[0]["idempotency_key"].as_str().unwrap();
        assert_eq!(told.header("webhook-id"), key);
    });
}

#[test]
fn a_webhook_that_comes_again_is_known_and_changes_nothing() {
    World::run(async |world| {
        let sku = "CHG-11KW";
        describe(world, sku, 808_950_810).await;
        let body = level_body(808_950_810, 2, 1);
        for duplicate in [false, true] {
            let (status, answer) =
                send(world, "inventory_levels/update", &body, SHOPIFY_SECRET).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert_eq!(answer["duplicate"], duplicate, "{answer}");
        }
        eventually("the vendor is told", async || told(world, sku).pop()).await;
        let ledger = world
            .stack
            .list(&format!("ledger?product={sku}&location=north"))
            .await;
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!(told(world, sku).len(), 1);
    });
}

#[test]
fn a_webhook_signed_by_somebody_else_is_refused_and_leaves_nothing() {
    World::run(async |world| {
        let body = level_body(39_072_857, 0, 0);
        let (status, answer) = send(world, "inventory_levels/update", &body, "guessed").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer["reason"], "signature_mismatch");
        let kept = world
            .stack
            .store
            .received_between(&"shopify".parse().unwrap(), None, None, None, 100)
            .await
            .unwrap();
        let forged = kept
            .items
            .iter()
            .any(|kept| format!("{kept:?}").contains("39072857"));
        assert!(!forged);
    });
}

#[test]
fn nobody_reads_stock_without_the_token() {
    World::run(async |world| {
        let nobody = HeaderMap::new();
        let asked = world
            .stack
            .send(Method::GET, "/api/v1/positions", nobody, "")
            .await;
        assert_eq!(asked.0, StatusCode::UNAUTHORIZED);
        let healthy = world
            .stack
            .send(Method::GET, "/healthz", HeaderMap::new(), "")
            .await;
        assert_eq!(
            (healthy.0, &healthy.1["status"]),
            (StatusCode::OK, &json!("ready"))
        );
    });
}

/// What the vendor was told of a product.
fn told(world: &World, sku: &str) -> Vec<Seen> {
    let seen = world.vendor.seen(ERP);
    let of = |seen: &Seen| seen.body["data"]["product"] == sku;
    seen.into_iter().filter(of).collect()
}

/// Has the shop say which of its inventory items a SKU is, as it does when a product is edited.
async fn describe(world: &World, sku: &str, inventory_item: u64) {
    let body = json!({
        "id": inventory_item + 1,
        "title": sku,
        "status": "active",
        "updated_at": ago(60),
        "variants": [{
            "id": inventory_item + 2,
            "sku": sku,
            "title": "Default Title",
            "inventory_item_id": inventory_item,
            "price": "58.00",
            "updated_at": ago(60),
        }],
    });
    let (status, answer) = send(world, "products/update", &body, SHOPIFY_SECRET).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn level(world: &World, item: u64, available: i64, seconds_ago: i64) -> (StatusCode, Value) {
    let body = level_body(item, available, seconds_ago);
    send(world, "inventory_levels/update", &body, SHOPIFY_SECRET).await
}

fn level_body(inventory_item: u64, available: i64, seconds_ago: i64) -> Value {
    json!({
        "inventory_item_id": inventory_item,
        "location_id": 346_779_380,
        "available": available,
        "updated_at": ago(seconds_ago),
    })
}

fn ago(seconds: i64) -> String {
    let at = Clock::system().now() - jiff::SignedDuration::from_secs(seconds);
    at.to_string()
}

/// Sends what the shop would, signed as the shop signs.
async fn send(world: &World, topic: &str, body: &Value, secret: &str) -> (StatusCode, Value) {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-shopify-topic", topic),
        ("x-shopify-shop-domain", "northgate-parts.myshopify.com"),
        ("x-shopify-webhook-id", &uuid::Uuid::new_v4().to_string()),
        ("x-shopify-hmac-sha256", &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    world
        .stack
        .send(Method::POST, "/hooks/shopify", headers, body)
        .await
}

/// Whether a request carries our signature over its id, its time and its body.
fn genuine(seen: &Seen) -> bool {
    let at: i64 = seen.header("webhook-timestamp").parse().unwrap();
    let at = Timestamp::from_second(at).unwrap();
    let secrets = standard::secrets(&[SecretString::from(SIGNING)]).unwrap();
    let body = seen.text.as_bytes();
    seen.header("webhook-signature")
        == standard::sign(seen.header("webhook-id"), at, body, &secrets)
}
