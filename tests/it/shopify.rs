//! A shop's webhooks from the first to the last: in whichever order they come, names and ends among
//! them.

mod ends;
mod names;
mod orders;
mod quarantine;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{Api, Ports, Tokens};
use async_trait::async_trait;
use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use clock::{Heartbeat, Ticker};
use evaluate::Evaluator;
use ingest::{Ingest, Selection};
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{
    Call, EmbeddedAws, Function, Interference, Invocation, Pattern, Pump, Service, Settings,
    StreamMapping, Verdict,
};
use lotwire::stack::resources::{self, TABLE};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::alert::{AlertKind, AlertState, Ending};
use shared::domain::message::Stock;
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::signature::{HmacSha256, LiveSecrets};
use shared::store::quarantine::{HeldState, Quarantined};
use shared::store::{Store, schema};

const SECRET: &str = "a shop's client secret";
pub(crate) const CONFIG: &str = r#"
[account]
name = "Example"
zone = "UTC"
currency = "GBP"
[locations.north]
name = "North"
kind = "warehouse"
[locations.south]
name = "South"
kind = "warehouse"
[connectors.shop]
kind = "shopify"
shop = "example"
default_location = "north"
locations = { "1" = "north", "2" = "south" }
webhook = { secret = "env:SHOP" }
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
threshold = 9
"#;
pub(crate) const ITEM: i64 = 501;
pub(crate) const OTHER_ITEM: i64 = 502;

pub(crate) struct Shop {
    pub(crate) aws: EmbeddedAws,
    pub(crate) evaluator: Evaluator,
    pub(crate) store: Store,
    pub(crate) ingest: Ingest,
    ticker: Ticker,
}

impl Shop {
    pub(crate) async fn open(changes: &[(&str, &str)]) -> Self {
        Self::disturbed(changes, Settings::default()).await
    }

    /// One whose calls somebody interferes with.
    pub(crate) async fn disturbed(changes: &[(&str, &str)], settings: Settings) -> Self {
        let clock = Clock::starting_at("2026-11-22T10:00:00Z".parse().unwrap());
        let settings = Settings {
            clock: clock.clone(),
            ..settings
        };
        let aws = EmbeddedAws::in_memory(settings).unwrap();
        let topic = resources::make(&aws).unwrap();
        let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), Chance::seeded(3));
        let http = Http::new(HttpSettings {
            guard: Guard::new(Vec::new()),
            ..HttpSettings::default()
        });
        let secrets = Secrets::new(
            Box::new(|name| match name {
                "TILL" => Some(crate::bench::SECRET.to_owned()),
                _ => Some(SECRET.to_owned()),
            }),
            Arc::new(http.unwrap()),
            EXTENSION.parse().unwrap(),
            clock.clone(),
        );
        let metrics = Metrics::to(std::io::sink(), clock);
        let installations = Installations::new(store.clone());
        let ingest = Ingest::new(
            store.clone(),
            installations.clone(),
            Arc::new(secrets),
            metrics.clone(),
        );
        let bus = Bus::new(aws.sns(), topic);
        let evaluator = Evaluator::new(
            store.clone(),
            bus.clone(),
            installations.clone(),
            metrics.clone(),
        );
        let ticker = Ticker::new(
            store.clone(),
            installations,
            bus,
            Arc::new(evaluator.clone()),
            Arc::new(ingest.clone()),
            Heartbeat::metric_only(),
            metrics,
        );
        let shop = Self {
            aws,
            evaluator,
            store,
            ingest,
            ticker,
        };
        shop.configure(changes).await;
        shop
    }

    /// Applies the configuration with some of its text replaced.
    pub(crate) async fn configure(&self, changes: &[(&str, &str)]) {
        let text = changes.iter().fold(CONFIG.to_owned(), |text, (old, new)| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        });
        let config = Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        self.store.apply_config(&config, "test").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }

    pub(crate) async fn hears(&self, topic: &str, body: &Value) -> Value {
        self.hears_at(topic, body, None).await
    }

    async fn hears_at(&self, topic: &str, body: &Value, triggered: Option<&str>) -> Value {
        let (status, said) = self.is_sent(topic, body, triggered).await;
        assert_eq!(status, 200, "{topic}: {said}");
        said
    }

    /// What a webhook is answered with.
    pub(crate) async fn is_sent(
        &self,
        topic: &str,
        body: &Value,
        triggered: Option<&str>,
    ) -> (i64, Value) {
        let body = body.to_string();
        let secrets = LiveSecrets::new(&[SecretString::from(SECRET)]).unwrap();
        let scheme = HmacSha256::base64("x-shopify-hmac-sha256");
        let mut headers = json!({
            "x-shopify-hmac-sha256": scheme.sign(&[body.as_bytes()], &secrets),
            "x-shopify-topic": topic,
            "x-shopify-shop-domain": "example.myshopify.com",
        });
        if let Some(at) = triggered {
            headers["x-shopify-triggered-at"] = json!(at);
        }
        let event = json!({
            "version": "2.0",
            "rawPath": "/hooks/shop",
            "headers": headers,
            "pathParameters": { "connector": "shop" },
            "requestContext": { "http": { "method": "POST", "path": "/hooks/shop" }, "timeEpoch": 0 },
            "body": body,
            "isBase64Encoded": false,
        });
        let event: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
        let response = self.ingest.handle(event, self.soon()).await;
        let said = match response.body {
            Some(aws_lambda_events::encodings::Body::Text(text)) => {
                serde_json::from_str(&text).unwrap()
            }
            _ => Value::Null,
        };
        (response.status_code, said)
    }

    pub(crate) fn soon(&self) -> Timestamp {
        self.store.clock().now() + SignedDuration::from_mins(1)
    }

    /// The clock's next ticks: what is due is done.
    pub(crate) async fn ticks(&self) {
        for _ in 0..2 {
            self.tick().await;
        }
    }

    async fn tick(&self) {
        tokio::time::sleep(std::time::Duration::from_secs(61)).await;
        let ticked = self.ticker.tick(EventBridgeEvent::default(), self.soon());
        ticked.await.unwrap();
    }

    /// Carries what changes to the evaluator.
    pub(crate) fn evaluates(&self) -> Pump {
        let evaluator = self.evaluator.clone();
        let send = std::time::Duration::from_secs(8);
        let function = Function::new("evaluate", send, move |event, run: Invocation| {
            let evaluator = evaluator.clone();
            async move { Ok(evaluator.handle(event, run.deadline).await) }
        });
        let mut changes = StreamMapping::new(TABLE, function);
        changes.report_batch_item_failures = true;
        let filters = schema::evaluated_changes();
        changes.filters = filters.map(|it| Pattern::parse(&it).unwrap()).into();
        Pump::builder(&self.aws).stream(changes).start().unwrap()
    }

    /// The alerts in a state, oldest first: kind, what each is about, and why it is over.
    pub(crate) async fn alerts(
        &self,
        state: AlertState,
    ) -> Vec<(AlertKind, String, Option<Ending>)> {
        let page = self.store.alerts(state, None, 100).await.unwrap();
        let alerts = page.items.into_iter().rev();
        alerts
            .map(|alert| (alert.kind, alert.subject.to_string(), alert.message.ending))
            .collect()
    }

    pub(crate) async fn stock(&self, sku: &str, location: &str) -> Option<Stock> {
        let position = self
            .store
            .position(&sku.parse().unwrap(), &location.parse().unwrap())
            .await
            .unwrap()?;
        position.stock(&Default::default())
    }

    pub(crate) async fn on_hand(&self, sku: &str, location: &str) -> Option<i64> {
        let stock = self.stock(sku, location).await;
        stock.map(|stock| stock.on_hand)
    }

    /// Units sold, on whichever day.
    pub(crate) async fn sold(&self, sku: &str, location: &str) -> i64 {
        let position = self
            .store
            .position(&sku.parse().unwrap(), &location.parse().unwrap())
            .await
            .unwrap();
        position.map_or(0, |position| position.sold.values().sum())
    }

    /// Why there is an alert on a SKU at a place, or none, as the API says.
    pub(crate) async fn explained(&self, sku: &str, location: &str) -> Value {
        let installations = Installations::new(self.store.clone());
        let tokens = Tokens::known(["token".to_owned().into()]);
        let api = Api::new(self.store.clone(), installations, tokens, Ports::default());
        let path = "/api/v1/explain";
        let event = json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": format!("product={sku}&location={location}"),
            "headers": { "authorization": "Bearer token" },
            "requestContext": { "http": { "method": "GET", "path": path }, "timeEpoch": 0 },
            "isBase64Encoded": false,
        });
        let event = serde_json::from_value(event).unwrap();
        let answer = api.handle(event, self.soon()).await;
        assert_eq!(answer.status_code, 200, "{:?}", answer.body);
        match answer.body {
            Some(Body::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn held(&self, state: HeldState) -> Vec<Quarantined> {
        let page = self.store.quarantined(state, None, 100).await.unwrap();
        page.items
    }
}

pub(crate) fn level(item: i64, place: i64, available: i64, at: &str) -> Value {
    json!({
        "inventory_item_id": item, "location_id": place, "available": available,
        "updated_at": format!("2026-11-22T{at}Z"),
    })
}

pub(crate) fn product(status: &str, at: &str, variants: &[(i64, &str)]) -> Value {
    let variants: Vec<_> = variants
        .iter()
        .map(|(item, sku)| {
            json!({ "id": item + 1_000, "sku": sku, "inventory_item_id": item, "title": sku })
        })
        .collect();
    json!({
        "id": 77, "title": "Engine oil", "status": status, "variants": variants,
        "updated_at": format!("2026-11-22T{at}Z"),
    })
}

/// An order of four, at a version, with what is still ordered and what was refunded.
pub(crate) fn order(updated: &str, current: i64, cancelled: bool, refunds: &[Value]) -> Value {
    json!({
        "id": 9, "created_at": "2026-11-22T09:30:00Z", "processed_at": "2026-11-22T09:30:00Z",
        "updated_at": format!("2026-11-22T{updated}Z"), "test": false, "location_id": null,
        "cancelled_at": cancelled.then(|| format!("2026-11-22T{updated}Z")),
        "refunds": refunds,
        "line_items": [{ "id": 91, "variant_id": ITEM + 1_000, "sku": "OIL", "quantity": 4,
            "current_quantity": current }],
    })
}

pub(crate) fn refund(restock_type: &str, quantity: i64, place: Option<i64>) -> Value {
    json!({
        "id": 31, "order_id": 9, "created_at": "2026-11-22T09:40:00Z",
        "processed_at": "2026-11-22T09:40:00Z",
        "refund_line_items": [{ "id": 32, "line_item_id": 91, "quantity": quantity,
            "location_id": place, "restock_type": restock_type,
            "line_item": { "id": 91, "sku": "OIL", "variant_id": ITEM + 1_000 } }],
    })
}

/// Lets so many calls of the table through, and breaks those after them.
pub(crate) struct Breaks(pub(crate) AtomicUsize);

#[async_trait]
impl Interference for Breaks {
    async fn before(&self, call: &Call) -> Verdict {
        let less = |left: usize| left.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        if call.service == Service::DynamoDb && self.0.fetch_update(set, fetch, less).is_err() {
            return Verdict::ConnectionLost;
        }
        Verdict::Proceed
    }
}

pub(crate) const ALL: Selection = Selection::Between {
    from: None,
    until: None,
};

const EXCHANGED: (&str, &str) = (
    r#""1" = "north", "2" = "south""#,
    r#""2" = "north", "1" = "south""#,
);
