//! An installation with an API, and ways to ask it.

use std::sync::Arc;

use api::ports::Liveness;
use api::{Api, Ports, Tokens};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{EmbeddedAws, Interference, Settings};
use lotwire::stack::resources;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::config::environment::Intake;
use shared::domain::event::{Level, ProductDescription, Version};
use shared::domain::unit::{Field, UnitReport, UnitState};
use shared::domain::{Authority, Change, StockEvent};
use shared::installation::Installations;
use shared::run_queue::RunQueue;
use shared::store::Store;
use shared::store::stock::Applied;

pub(crate) const TABLE: &str = resources::TABLE;
pub(crate) const TOKEN: &str = "correct horse";
pub(crate) const DOCUMENT: &str = r#"
[account]
name = "Northgate"
zone = "Europe/London"
currency = "EUR"

[locations.north]
name = "North warehouse"
kind = "warehouse"
groups = ["warehouses"]

[locations.south]
name = "South warehouse"
kind = "warehouse"
zone = "Europe/Rome"
groups = ["warehouses"]

[locations.london]
name = "London"
kind = "rooftop"

[connectors.erp]
kind = "generic"
locations = { north = "north", south = "south", london = "london" }

[connectors.erp.webhook]
secret = "env:LOTWIRE_ERP_SECRET"

[connectors.drop]
kind = "files"
url = "file:///tmp/drop/"
locations = { north = "north" }

[ownership]
on_hand = ["erp"]

[[rules]]
name = "low-by-default"
kind = "low_stock"
threshold = 3

[[rules]]
name = "oil-in-all"
kind = "low_stock"
category = "Oil"
group = "warehouses"
over = "sum"
threshold = 20

[[rules]]
name = "no-gifts"
kind = "low_stock"
category = "gifts"
enabled = false
"#;

/// One installation.
pub(crate) struct Scene {
    pub(crate) api: Api,
    pub(crate) store: Store,
    pub(crate) aws: EmbeddedAws,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i64,
    pub(crate) body: Value,
    response: ApiGatewayV2httpResponse,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default()
    }
}

/// A request to be sent.
pub(crate) struct Ask<'a> {
    scene: &'a Scene,
    event: Value,
    headers: Vec<(String, String)>,
}

impl Scene {
    /// With the test configuration applied.
    pub(crate) async fn new() -> Self {
        let scene = Self::unconfigured().await;
        let config = Config::check(DOCUMENT, "lotwire.toml").unwrap();
        assert!(scene.store.apply_config(&config, "test").await.unwrap());
        scene
    }

    /// Where it can be told what has the secrets it needs.
    pub(crate) async fn with_liveness(liveness: Arc<dyn Liveness>) -> Self {
        let scene = Self::over(Ports {
            liveness,
            ..Ports::default()
        });
        let config = Config::check(DOCUMENT, "lotwire.toml").unwrap();
        assert!(scene.store.apply_config(&config, "test").await.unwrap());
        scene
    }

    pub(crate) async fn unconfigured() -> Self {
        Self::over(Ports::default())
    }

    fn over(ports: Ports) -> Self {
        Self::with(ports, Settings::default(), Clock::system())
    }

    /// Where something stands between the API and its table.
    pub(crate) async fn behind(interference: Arc<dyn Interference>) -> Self {
        Self::behind_at(interference, Clock::system()).await
    }

    /// The same, by this clock.
    pub(crate) async fn behind_at(interference: Arc<dyn Interference>, clock: Clock) -> Self {
        let settings = Settings {
            interference,
            ..Settings::default()
        };
        let scene = Self::with(Ports::default(), settings, clock);
        let config = Config::check(DOCUMENT, "lotwire.toml").unwrap();
        assert!(scene.store.apply_config(&config, "test").await.unwrap());
        scene
    }

    fn with(ports: Ports, settings: Settings, clock: Clock) -> Self {
        let aws = EmbeddedAws::in_memory(settings).unwrap();
        let store = Store::new(aws.dynamodb(), TABLE, clock, Chance::seeded(7));
        let installations = Installations::new(store.clone());
        resources::make(&aws).unwrap();
        let queue = resources::queue_url(&aws, resources::SYNC_QUEUE).unwrap();
        let tokens = ["correct horse", "the one before"].map(|token| token.to_owned().into());
        let ports = Ports {
            sync: Arc::new(RunQueue::new(store.clone(), aws.sqs(), queue)),
            ..ports
        };
        let api = Api::new(store.clone(), installations, Tokens::known(tokens), ports);
        Self { api, store, aws }
    }

    /// While a table is restored.
    pub(crate) fn with_closed_intake(self) -> Self {
        let api = self.api.with_intake(Intake::Closed);
        Self { api, ..self }
    }

    pub(crate) fn ask(&self, method: &str, target: &str) -> Ask<'_> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let event = json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {},
            "requestContext": { "http": { "method": method, "path": path }, "timeEpoch": 0 },
            "isBase64Encoded": false,
        });
        Ask {
            scene: self,
            event,
            headers: Vec::new(),
        }
        .header("authorization", &format!("Bearer {TOKEN}"))
    }

    /// Has the API answer an event as it comes from the gateway.
    pub(crate) async fn handle(&self, event: ApiGatewayV2httpRequest) -> Answer {
        self.handle_within(SignedDuration::from_secs(30), event)
            .await
    }

    async fn handle_within(&self, time: SignedDuration, event: ApiGatewayV2httpRequest) -> Answer {
        let deadline = self.store.clock().now() + time;
        let response = self.api.handle(event, deadline).await;
        let text = match &response.body {
            Some(Body::Text(text)) => text.clone(),
            _ => String::new(),
        };
        Answer {
            status: response.status_code,
            // A page for people is no JSON.
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
            response,
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target).send().await
    }

    /// A movement under a key.
    pub(crate) async fn moves(&self, key: &str, body: Value) -> Answer {
        self.ask("POST", "/api/v1/movements")
            .header("idempotency-key", key)
            .json(&body)
            .send()
            .await
    }

    /// Says how much there is, as the owning source would.
    pub(crate) async fn stated(&self, product: &str, location: &str, on_hand: i64) {
        self.stated_ago(product, location, on_hand, 60).await;
    }

    /// Says how much there was so many seconds ago, as the owning source would.
    pub(crate) async fn stated_ago(&self, product: &str, location: &str, on_hand: i64, ago: i64) {
        let at = self.store.clock().now() - SignedDuration::from_secs(ago);
        self.applied(
            at,
            Change::LevelSet {
                called: None,
                product: product.parse().unwrap(),
                location: location.parse().unwrap(),
                level: Level {
                    on_hand,
                    ..Level::default()
                },
                version: Version::at(at),
            },
        )
        .await;
    }

    /// The owning source has not said since half a minute ago how much there is.
    pub(crate) async fn ended(&self, product: &str, location: &str) {
        let at = self.store.clock().now() - SignedDuration::from_secs(30);
        let ended = Change::LevelEnded {
            product: product.parse().unwrap(),
            location: location.parse().unwrap(),
            version: Version::at(at),
        };
        self.applied(at, ended).await;
    }

    /// The owning source tells of a sale, so many seconds ago, that took units away.
    pub(crate) async fn sold_ago(&self, product: &str, location: &str, quantity: i64, ago: i64) {
        let at = self.store.clock().now() - SignedDuration::from_secs(ago);
        let sold = Change::Sold {
            product: product.parse().unwrap(),
            location: location.parse().unwrap(),
            quantity,
            deducts: true,
            called: None,
        };
        self.applied(at, sold).await;
    }

    pub(crate) async fn described(&self, sku: &str, title: &str, category: &str) {
        let at = self.store.clock().now();
        let description = ProductDescription {
            sku: sku.parse().unwrap(),
            version: Version::at(at),
            title: Some(title.to_owned()),
            category: Some(category.to_owned()),
            external: [].into(),
        };
        self.applied(at, Change::Described(description)).await;
    }

    /// Which SKU an item has since then.
    pub(crate) async fn called(&self, item: &str, sku: &str, since: Timestamp) {
        let description = ProductDescription {
            sku: sku.parse().unwrap(),
            version: Version::at(since),
            title: None,
            category: None,
            external: [("item".to_owned(), item.to_owned())].into(),
        };
        self.applied(since, Change::Described(description)).await;
    }

    /// A vehicle on somebody's lot, as a source says.
    pub(crate) async fn vehicle(&self, source: &str, vin: &str, location: &str) {
        let state = Some(UnitState::InStock);
        self.vehicle_in(state, source, vin, location).await;
    }

    /// A vehicle of a make, as its source spells it.
    pub(crate) async fn vehicle_of(&self, make: &str, vin: &str, location: &str) {
        let state = Some(UnitState::InStock);
        self.vehicle_made_by(make, state, ("erp", vin), (location, None))
            .await;
    }

    /// A vehicle, of whose state a source says this, or nothing that can be read.
    pub(crate) async fn vehicle_in(
        &self,
        state: Option<UnitState>,
        source: &str,
        vin: &str,
        location: &str,
    ) {
        self.vehicle_reported(state, source, vin, (location, None))
            .await;
    }

    /// A vehicle that a source has at a place that it calls so.
    pub(crate) async fn vehicle_called(
        &self,
        source: &str,
        vin: &str,
        location: &str,
        called: &str,
    ) {
        let (state, at) = (Some(UnitState::InStock), (location, Some(called)));
        self.vehicle_reported(state, source, vin, at).await;
    }

    async fn vehicle_reported(
        &self,
        state: Option<UnitState>,
        source: &str,
        vin: &str,
        place: (&str, Option<&str>),
    ) {
        self.vehicle_made_by("Bentley", state, (source, vin), place)
            .await;
    }

    async fn vehicle_made_by(
        &self,
        make: &str,
        state: Option<UnitState>,
        (source, vin): (&str, &str),
        (location, called): (&str, Option<&str>),
    ) {
        let at = self.store.clock().now();
        let text = |text: &str| Field::Text(text.to_owned());
        let report = UnitReport {
            called: called.map(str::to_owned),
            source_gone: false,
            vin: vin.parse().unwrap(),
            version: Version::at(at),
            state,
            location: Some(location.parse().unwrap()),
            stock_number: Some(format!("{source}-1")),
            since: None,
            brought: false,
            undated: false,
            fields: [
                ("make".to_owned(), text(make)),
                ("model".to_owned(), text("Bentayga")),
            ]
            .into(),
        };
        self.applied_from(source, at, Change::Unit(Box::new(report)))
            .await;
    }

    pub(crate) async fn applied(&self, at: Timestamp, change: Change) {
        self.applied_from("erp", at, change).await;
    }

    async fn applied_from(&self, source: &str, at: Timestamp, change: Change) {
        let event = StockEvent {
            id: self.store.chance().id(at).parse().unwrap(),
            source: source.parse().unwrap(),
            at,
            actor: None,
            change,
        };
        let applied = self
            .store
            .apply(&event, &Authority::default())
            .await
            .unwrap();
        let is_changed = matches!(applied, Applied::Changed | Applied::Unstated { .. });
        assert!(is_changed, "{applied:?}");
    }
}

impl Ask<'_> {
    /// Sets or, when empty, leaves out a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn body(mut self, kind: &str, body: &str) -> Self {
        self.event["body"] = body.into();
        self.header("content-type", kind)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    pub(crate) async fn send(self) -> Answer {
        self.send_within(SignedDuration::from_secs(30)).await
    }

    /// Where that is all the time that there is for the answer.
    pub(crate) async fn send_within(mut self, time: SignedDuration) -> Answer {
        for (name, value) in &self.headers {
            self.event["headers"][name] = value.as_str().into();
        }
        let event = serde_json::from_value(self.event).unwrap();
        self.scene.handle_within(time, event).await
    }
}
