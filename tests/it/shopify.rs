//! A shop's webhooks from the first to the last: in whichever order they come, names and ends among
//! them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
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
use shared::domain::event::{Change, Level, Offer, StockEvent, Version};
use shared::domain::item::{Dated, ItemStatement};
use shared::domain::message::Stock;
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::signature::{HmacSha256, LiveSecrets};
use shared::store::Store;
use shared::store::keys;
use shared::store::quarantine::{DismissError, HeldState, Quarantined};
use shared::store::schema;

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
            tokio::time::sleep(std::time::Duration::from_secs(61)).await;
            let ticked = self.ticker.tick(EventBridgeEvent::default(), self.soon());
            ticked.await.unwrap();
        }
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

#[tokio::test(start_paused = true)]
async fn of_levels_that_waited_for_their_product_people_are_told_what_holds_in_the_end() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (last, open) in [(30, 0), (4, 1)] {
        for order in orders {
            let shop = Shop::open(&[]).await;
            let pump = shop.evaluates();
            let said = [(20, "09:00:00"), (2, "09:10:00"), (last, "09:20:00")];
            for (units, at) in order.map(|which| said[which]) {
                let said = level(ITEM, 1, units, at);
                shop.hears("inventory_levels/update", &said).await;
            }
            let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
            shop.hears("products/create", &described).await;
            for _ in 0..3 {
                shop.ticks().await;
                pump.idle().await;
            }
            assert_eq!(shop.on_hand("OIL", "north").await, Some(last));
            let now = shop.alerts(AlertState::Open).await;
            assert_eq!(now.len(), open, "{order:?} {now:?}");
            let mut over = shop.alerts(AlertState::Resolved).await;
            over.retain(|(kind, ..)| *kind == AlertKind::LowStock);
            assert_eq!(over, [], "{order:?}");
            let alerts = shop.store.alerts(AlertState::Open, None, 9).await.unwrap();
            for alert in alerts.items {
                assert_eq!(alert.message.after.map(|it| it.on_hand), Some(last));
            }
        }
    }
}

/// Counts the reads of whole partitions.
#[derive(Debug, Default)]
struct Queries(AtomicUsize);

#[async_trait]
impl Interference for Queries {
    async fn before(&self, call: &Call) -> Verdict {
        if call.operation == "Query" {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_at_a_place_without_a_name_is_read_once_however_many_lines_it_has() {
    let mut took = Vec::new();
    for lines in [2, 12] {
        let queries = Arc::new(Queries::default());
        let settings = Settings {
            interference: queries.clone(),
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let items: Vec<_> = (0..lines).map(|n| (ITEM + n, format!("OIL-{n}"))).collect();
        let items: Vec<_> = items
            .iter()
            .map(|(item, sku)| (*item, sku.as_str()))
            .collect();
        let all = product("active", "08:59:00", &items);
        shop.hears("products/create", &all).await;
        let order = |known: i64, updated: &str| {
            let mut order = order(updated, 4, false, &[]);
            order["location_id"] = json!(2);
            let line = |n: i64| {
                json!({ "id": 91 + n, "variant_id": ITEM + n + 1_000, "sku": format!("OIL-{n}"),
                    "quantity": 4, "current_quantity": 4 })
            };
            order["line_items"] = (0..known).map(line).collect();
            order
        };
        shop.hears("orders/create", &order(1, "09:30:00")).await;
        // The place has no name any more, and the order goes on where its first line is.
        shop.configure(&[(", \"2\" = \"south\"", "")]).await;
        let before = queries.0.load(Ordering::SeqCst);
        let edited = order(lines, "09:40:00");
        shop.hears("orders/updated", &edited).await;
        took.push(queries.0.load(Ordering::SeqCst) - before);
        for n in 0..lines {
            let sold = shop.sold(&format!("OIL-{n}"), "south").await;
            assert_eq!(sold, 4, "{n} of {lines}");
        }
    }
    assert_eq!(took[0], took[1], "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_level_before_its_product_is_applied_once_the_product_is_described() {
    let shop = Shop::open(&[]).await;
    let said = shop
        .hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    assert_eq!(said["quarantined"], 1);
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    shop.hears(
        "products/create",
        &product("active", "08:59:00", &[(ITEM, "OIL")]),
    )
    .await;
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
    // And what waited is no work any more.
    assert_eq!(shop.held(HeldState::Open).await, []);
    assert_eq!(shop.held(HeldState::Closed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_line_known_by_its_variant_alone_waits_for_the_variant() {
    let shop = Shop::open(&[]).await;
    let mut body = order("09:30:00", 4, false, &[]);
    body["line_items"][0]["sku"] = Value::Null;
    assert_eq!(shop.hears("orders/create", &body).await["quarantined"], 1);
    shop.hears(
        "products/create",
        &product("active", "08:59:00", &[(ITEM, "OIL")]),
    )
    .await;
    shop.ticks().await;
    assert_eq!(shop.sold("OIL", "north").await, 4);
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_level_at_a_place_is_applied_once_a_configuration_names_the_place() {
    let unnamed = (r#", "2" = "south""#, "");
    let shop = Shop::open(&[unnamed]).await;
    shop.hears(
        "products/create",
        &product("active", "08:59:00", &[(ITEM, "OIL")]),
    )
    .await;
    shop.hears("inventory_levels/update", &level(ITEM, 2, 5, "09:00:00"))
        .await;
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "south").await, None);
    assert_eq!(shop.held(HeldState::Open).await.len(), 1);
    shop.configure(&[]).await;
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "south").await, Some(5));
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_level_at_a_place_that_was_taken_for_another_is_at_the_right_one_only() {
    let east = "[locations.east]\nname = \"East\"\nkind = \"warehouse\"\n[connectors.shop]";
    let east = ("[connectors.shop]", east);
    let shop = Shop::open(&[east]).await;
    let _pump = shop.evaluates();
    let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
    let stated = level(ITEM, 2, 5, "09:00:00");
    shop.hears("products/create", &described).await;
    shop.hears("inventory_levels/update", &stated).await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    let there = async || {
        let mut there = Vec::new();
        for place in ["north", "south", "east"] {
            there.push(shop.on_hand("OIL", place).await);
        }
        there
    };
    assert_eq!(there().await, [Some(7), Some(5), None]);

    let right = (r#""2" = "south""#, r#""2" = "east""#);
    shop.configure(&[east, right]).await;
    shop.ticks().await;
    assert_eq!(there().await, [Some(7), None, None]);
    // What was heard before is applied again.
    let all = Selection::Between {
        from: None,
        until: None,
    };
    let connector = "shop".parse().unwrap();
    shop.ingest.replay(&connector, &all, None).await.unwrap();
    assert_eq!(there().await, [Some(7), None, Some(5)]);
    // Nor does what is said of the item bring the wrong place back.
    for (state, at) in [("archived", "09:10:00"), ("active", "09:11:00")] {
        shop.hears("products/update", &product(state, at, &[(ITEM, "OIL")]))
            .await;
    }
    assert_eq!(there().await, [Some(7), None, Some(5)]);
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_place_waits_for_a_default_one() {
    let shop = Shop::open(&[("default_location = \"north\"\n", "")]).await;
    let said = shop
        .hears("orders/create", &order("09:30:00", 4, false, &[]))
        .await;
    assert_eq!(said["quarantined"], 1);
    shop.configure(&[]).await;
    shop.ticks().await;
    assert_eq!(shop.sold("OIL", "north").await, 4);
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn two_items_with_one_sku_are_told_and_neither_is_believed() {
    let shop = Shop::open(&[]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for (item, units, at) in [
        (ITEM, 40, "09:00:00"),
        (OTHER_ITEM, 0, "09:01:00"),
        (ITEM, 39, "09:02:00"),
    ] {
        shop.hears("inventory_levels/update", &level(item, 1, units, at))
            .await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(40), "{units}");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let held = shop.held(HeldState::Open).await;
    // However much waits for it, it is one problem.
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].reason.as_str(), held[0].times), ("same_sku", 2));
    // One of them gets a SKU of its own: what is left is believed, and nothing waits any more.
    let apart = [(ITEM, "OIL"), (OTHER_ITEM, "OIL-B")];
    shop.hears("products/update", &product("active", "09:03:00", &apart))
        .await;
    assert_eq!(shop.held(HeldState::Open).await, [], "it is over");
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(39));
    assert_eq!(shop.on_hand("OIL-B", "north").await, Some(0));
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn two_items_with_one_sku_are_summed_where_that_is_declared() {
    let sum = (
        "default_location = \"north\"",
        "default_location = \"north\"\nsame_sku = \"sum\"",
    );
    let shop = Shop::open(&[sum]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for (item, units, at, sum) in [
        (ITEM, 40, "09:00:00", 40),
        (OTHER_ITEM, 2, "09:01:00", 42),
        (ITEM, 39, "09:02:00", 41),
    ] {
        shop.hears("inventory_levels/update", &level(item, 1, units, at))
            .await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(sum));
    }
}

#[tokio::test(start_paused = true)]
async fn a_renamed_sku_takes_its_stock_along_in_either_order() {
    let renamed = product("active", "09:10:00", &[(ITEM, "OIL-NEW")]);
    let before = level(ITEM, 1, 7, "09:00:00");
    let after = level(ITEM, 1, 6, "09:20:00");
    for late in [false, true] {
        let shop = Shop::open(&[]).await;
        shop.hears(
            "products/create",
            &product("active", "08:00:00", &[(ITEM, "OIL")]),
        )
        .await;
        shop.hears("inventory_levels/update", &before).await;
        if late {
            shop.hears("inventory_levels/update", &after).await;
            shop.hears("products/update", &renamed).await;
        } else {
            shop.hears("products/update", &renamed).await;
            assert_eq!(shop.on_hand("OIL-NEW", "north").await, Some(7));
            shop.hears("inventory_levels/update", &after).await;
        }
        assert_eq!(shop.on_hand("OIL", "north").await, None);
        assert_eq!(shop.on_hand("OIL-NEW", "north").await, Some(6));
        // The end has its row in the ledger.
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let last = rows.last().unwrap();
        assert_eq!(
            (last.change.as_str(), &last.after),
            ("renamed", &Value::Null)
        );
        // Back to the old name.
        let back = product("active", "09:30:00", &[(ITEM, "OIL")]);
        shop.hears("products/update", &back).await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
        assert_eq!(shop.on_hand("OIL-NEW", "north").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_inventory_item_that_is_renamed_by_itself_is_the_same() {
    let shop = Shop::open(&[]).await;
    let item = |sku: &str, at: &str| {
        json!({ "id": ITEM, "sku": sku, "tracked": true, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": format!("2026-11-22T{at}Z") })
    };
    shop.hears("inventory_items/create", &item("OIL", "08:00:00"))
        .await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    shop.hears("inventory_items/update", &item("OIL-NEW", "09:10:00"))
        .await;
    shop.hears("inventory_items/update", &item("OIL", "08:00:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    assert_eq!(shop.on_hand("OIL-NEW", "north").await, Some(7));
}

#[tokio::test(start_paused = true)]
async fn what_is_archived_states_nothing_until_it_is_active_again() {
    let shop = Shop::open(&[]).await;
    let is = |status: &str, at: &str| product(status, at, &[(ITEM, "OIL")]);
    shop.hears("products/create", &is("active", "08:00:00"))
        .await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    shop.hears("products/update", &is("archived", "09:10:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    // Levels go on coming, also at places where there were none.
    shop.hears("inventory_levels/update", &level(ITEM, 1, 6, "09:20:00"))
        .await;
    shop.hears("inventory_levels/update", &level(ITEM, 2, 3, "09:20:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    assert_eq!(shop.on_hand("OIL", "south").await, None);
    // An older word comes late.
    shop.hears("products/update", &is("active", "09:05:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    shop.hears("products/update", &is("active", "09:30:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    assert_eq!(shop.on_hand("OIL", "south").await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_archived_and_then_deleted_has_ended_in_whichever_order_that_is_heard() {
    let is = |status: &str, at: &str| product(status, at, &[(ITEM, "OIL")]);
    let steps = [
        ("products/update", is("archived", "09:20:00")),
        ("products/update", is("active", "09:25:00")),
        ("inventory_items/delete", json!({ "id": ITEM })),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let shop = Shop::open(&[]).await;
        shop.hears("products/create", &is("active", "08:00:00"))
            .await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        for step in order {
            let (topic, body) = &steps[step];
            shop.hears_at(topic, body, Some("2026-11-22T09:30:00Z"))
                .await;
        }
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_archived_twice_has_ended_although_it_was_described_before_the_first_was_heard()
 {
    let shop = Shop::open(&[]).await;
    let is = |status: &str, at: &str| product(status, at, &[(ITEM, "OIL")]);
    shop.hears("products/create", &is("active", "08:00:00"))
        .await;
    let described = json!({ "id": ITEM, "sku": "OIL", "updated_at": "2026-11-22T09:30:00Z" });
    shop.hears("inventory_items/update", &described).await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:30:00"))
        .await;
    shop.hears("products/update", &is("archived", "09:20:00"))
        .await;
    shop.hears("products/update", &is("archived", "09:40:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
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

/// A product's word, at that time, that its item is offered or not.
fn offers(offered: bool, at: &str) -> StockEvent {
    let at: Timestamp = format!("2026-11-22T{at}Z").parse().unwrap();
    StockEvent {
        id: format!("offer/{at}").parse().unwrap(),
        source: "shop".parse().unwrap(),
        at,
        actor: None,
        change: Change::Offered(Offer {
            kind: "inventory_item".to_owned(),
            product: Some("77".to_owned()),
            names: vec![ITEM.to_string()],
            complete: true,
            offered: Some(offered),
            version: Version::at(at),
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_carried_after_a_crash_is_in_the_ledger_as_the_word_of_who_said_it() {
    let (ended, again) = (offers(false, "09:10:00"), offers(true, "09:20:00"));
    let authority = Default::default();
    // Whoever offers it again stops after so many calls, until he comes to his end.
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &active).await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        shop.store.apply(&ended, &authority).await.unwrap();
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.store.apply(&again, &authority).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        // Both are applied once more, the older one first: it waited too.
        shop.store.apply(&ended, &authority).await.unwrap();
        shop.store.apply(&again, &authority).await.unwrap();
        assert_eq!(shop.on_hand("OIL", "north").await, Some(7), "{calls}");
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let events: Vec<_> = rows.iter().skip(1).map(|row| row.event.as_str()).collect();
        assert_eq!(events, [ended.id.as_str(), again.id.as_str()], "{calls}");
        if is_whole {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_description_finishes_for_an_archive_is_in_the_ledger_as_the_word_of_the_archive() {
    let ended = offers(false, "09:10:00");
    let authority = Default::default();
    // Whoever ends it stops after so many calls, until he comes to his end.
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &active).await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.store.apply(&ended, &authority).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        let described = json!({ "id": ITEM, "sku": "OIL", "updated_at": "2026-11-22T09:20:00Z" });
        shop.hears("inventory_items/update", &described).await;
        shop.store.apply(&ended, &authority).await.unwrap();
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{calls}");
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let endings: Vec<_> = rows
            .iter()
            .filter(|row| row.change == "item_ended")
            .collect();
        assert_eq!(endings.len(), 1, "{calls}");
        assert_eq!(endings[0].event, ended.id, "{calls}");
        if is_whole {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_a_level_is_read_is_in_the_ledger_as_the_word_of_the_end() {
    let shop = Shop::open(&[]).await;
    let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &active).await;
    let (ended, authority) = (offers(false, "09:10:00"), Default::default());
    shop.store.apply(&ended, &authority).await.unwrap();
    // Read before the end was heard, so without it, and written after.
    let at: Timestamp = "2026-11-22T09:05:00Z".parse().unwrap();
    let stated = StockEvent {
        id: "level/09:05".parse().unwrap(),
        at,
        change: Change::Item(Box::new(ItemStatement {
            called: None,
            offered_by: None,
            product: "OIL".parse().unwrap(),
            location: "north".parse().unwrap(),
            item: format!("inventory_item {ITEM}"),
            level: Some(Dated {
                version: Version::at(at),
                value: Some(Level {
                    on_hand: 7,
                    reserved: None,
                    incoming: None,
                    unavailable: None,
                }),
            }),
            offered: None,
            named: None,
        })),
        ..ended.clone()
    };
    shop.store.apply(&stated, &authority).await.unwrap();
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
    let name = ITEM.to_string();
    let sources = &authority.quantities;
    let settled = shop
        .store
        .settle_name(&stated, "inventory_item", &name, sources);
    settled.await.unwrap();
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
    let rows = shop.store.history(&of, None, 100).await.unwrap().items;
    let events: Vec<_> = rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, [stated.id.as_str(), ended.id.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_or_disconnected_states_nothing_any_more() {
    let ids = |key: &str, id: i64| json!({ key: id });
    let ends = [
        ("products/delete", ids("id", 77), false),
        ("inventory_items/delete", ids("id", ITEM), false),
        (
            "inventory_levels/disconnect",
            json!({ "inventory_item_id": ITEM, "location_id": 1 }),
            true,
        ),
    ];
    for (topic, body, only_north) in ends {
        let shop = Shop::open(&[]).await;
        shop.hears(
            "products/create",
            &product("active", "08:00:00", &[(ITEM, "OIL")]),
        )
        .await;
        for place in [1, 2] {
            shop.hears(
                "inventory_levels/update",
                &level(ITEM, place, 7, "09:00:00"),
            )
            .await;
        }
        let ended = Some("2026-11-22T09:30:00Z");
        shop.hears_at(topic, &body, ended).await;
        // Older words come late.
        shop.hears("inventory_levels/update", &level(ITEM, 1, 8, "09:10:00"))
            .await;
        shop.hears(
            "products/update",
            &product("active", "09:10:00", &[(ITEM, "OIL")]),
        )
        .await;
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{topic}");
        let south = shop.on_hand("OIL", "south").await;
        assert_eq!(south, only_north.then_some(7), "{topic}");
        assert_eq!(shop.held(HeldState::Open).await, [], "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_variant_and_one_without_a_sku_state_nothing_any_more() {
    let shop = Shop::open(&[]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "GAS")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for item in [ITEM, OTHER_ITEM] {
        shop.hears("inventory_levels/update", &level(item, 1, 7, "09:00:00"))
            .await;
    }
    shop.hears(
        "products/update",
        &product("active", "09:10:00", &[(ITEM, "OIL")]),
    )
    .await;
    assert_eq!(shop.on_hand("GAS", "north").await, None);
    shop.hears(
        "products/update",
        &product("active", "09:20:00", &[(ITEM, "")]),
    )
    .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
}

/// What becomes of an order, its webhooks by topic, and what that comes to: north, south and sold.
type Story = (&'static str, Vec<(&'static str, Value)>, [i64; 3]);

/// What becomes of an order in the shop, each as its webhooks come.
fn stories() -> Vec<Story> {
    let back = refund("cancel", 4, Some(1));
    let south = refund("return", 1, Some(2));
    let lost = refund("no_restock", 4, None);
    let placed = ("orders/create", order("09:30:00", 4, false, &[]));
    vec![
        ("placed", vec![placed.clone()], [6, 5, 4]),
        (
            "cancelled with restock",
            vec![
                placed.clone(),
                (
                    "orders/cancelled",
                    order("09:41:00", 0, true, std::slice::from_ref(&back)),
                ),
                ("refunds/create", back.clone()),
            ],
            [10, 5, 0],
        ),
        (
            "refunded with restock",
            vec![placed.clone(), ("refunds/create", back)],
            [10, 5, 0],
        ),
        (
            "returned elsewhere",
            vec![
                placed.clone(),
                ("refunds/create", south.clone()),
                ("orders/updated", order("09:41:00", 3, false, &[south])),
            ],
            [6, 6, 3],
        ),
        (
            "refunded without restock",
            vec![placed.clone(), ("refunds/create", lost)],
            [6, 5, 0],
        ),
        (
            "edited to nothing",
            vec![
                placed.clone(),
                ("orders/updated", order("09:45:00", 0, false, &[])),
            ],
            [10, 5, 0],
        ),
        (
            "edited to less, and paid",
            vec![
                placed,
                ("orders/updated", order("09:45:00", 3, false, &[])),
                ("orders/paid", order("09:50:00", 3, false, &[])),
            ],
            [7, 5, 3],
        ),
    ]
}

/// A shop whose stock somebody counted before the order, and that takes orders off it.
async fn counting() -> Shop {
    let deduct = (
        "default_location = \"north\"",
        "default_location = \"north\"\norders = \"deduct\"",
    );
    let shop = Shop::open(&[deduct]).await;
    for (place, units) in [("north", 10), ("south", 5)] {
        let counted = crate::bench::level("erp", 0, "OIL", place, units);
        shop.store
            .apply(&counted, &Default::default())
            .await
            .unwrap();
    }
    shop
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_comes_back_once_at_its_place_in_any_order() {
    for (name, webhooks, expected) in stories() {
        for turn in 0..webhooks.len() {
            let mut order = webhooks.clone();
            order.rotate_left(turn);
            if turn % 2 == 1 {
                order.reverse();
            }
            let shop = counting().await;
            // Each twice: as sent, and as sent again under another id.
            for (topic, body) in order.iter().chain(order.iter().rev()) {
                let mut again = body.clone();
                again["sent"] = json!(turn);
                shop.hears(topic, body).await;
                shop.hears(topic, &again).await;
            }
            let found = [
                shop.on_hand("OIL", "north").await.unwrap(),
                shop.on_hand("OIL", "south").await.unwrap(),
                shop.sold("OIL", "north").await,
            ];
            assert_eq!(found, expected, "{name}, turn {turn}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_imported_old_order_counts_on_the_day_it_happened_and_takes_nothing() {
    let shop = counting().await;
    let mut body = order("09:30:00", 4, false, &[]);
    body["processed_at"] = json!("2024-03-01T12:00:00Z");
    shop.hears("orders/create", &body).await;
    let (sku, north) = ("OIL".parse().unwrap(), "north".parse().unwrap());
    let position = shop.store.position(&sku, &north).await.unwrap().unwrap();
    assert_eq!(shop.on_hand("OIL", "north").await, Some(10));
    let days: Vec<_> = position.sold.keys().map(ToString::to_string).collect();
    assert_eq!(days, ["2024-03-01"]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_the_quarantine_can_be_dismissed_and_stays_so() {
    let shop = Shop::open(&[]).await;
    let body = level(ITEM, 99, 7, "09:00:00");
    shop.hears("inventory_levels/update", &body).await;
    let entry = shop.held(HeldState::Open).await.remove(0);
    let store = &shop.store;
    let dismissed = store
        .dismiss_quarantined(&entry.id, "a place that we closed", "maria")
        .await
        .unwrap();
    let over = dismissed.over.unwrap();
    assert_eq!(
        (over.by.as_deref(), over.why.as_str()),
        (Some("maria"), "a place that we closed")
    );
    let again = store.dismiss_quarantined(&entry.id, "again", "maria").await;
    assert!(matches!(again, Err(DismissError::Over { .. })));
    // Held again by a replay, it is still dismissed.
    let received = entry.place.split('/').next().unwrap().to_owned();
    let connector = "shop".parse().unwrap();
    let one = ingest::Selection::One(received);
    let replayed = shop.ingest.replay(&connector, &one, None).await.unwrap();
    assert_eq!((replayed.webhooks, replayed.outcome.quarantined), (1, 1));
    assert_eq!(shop.held(HeldState::Open).await, []);
    assert_eq!(shop.held(HeldState::Dismissed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kind_of_quarantine_is_open_as_long_as_anything_of_it_is() {
    let shop = Shop::open(&[]).await;
    let connector = "shop".parse().unwrap();
    let state = async || {
        let kind = shop.store.held_kind(&connector, "unknown_product").await;
        kind.unwrap().map(|kind| (kind.data.open, kind.version))
    };
    assert_eq!(state().await, None);
    for (item, at) in [(ITEM, "09:00:00"), (OTHER_ITEM, "09:00:01")] {
        shop.hears("inventory_levels/update", &level(item, 1, 7, at))
            .await;
        assert_eq!(state().await, Some((true, 1)), "told once");
    }
    let one = product("active", "08:00:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &one).await;
    shop.ticks().await;
    assert_eq!(state().await, Some((true, 1)));
    let both = product("active", "08:01:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/update", &both).await;
    shop.ticks().await;
    assert_eq!(state().await, Some((false, 2)));
}

#[tokio::test(start_paused = true)]
async fn an_alert_closes_with_the_reason_where_its_item_ends() {
    let low = AlertKind::LowStock;
    let over = |sku: &str| (low, format!("{sku} at north"), Some(Ending::NoLongerStated));
    let is = |status: &str, sku: &str| product(status, "09:10:00", &[(ITEM, sku)]);
    let gone = json!({ "inventory_item_id": ITEM, "location_id": 1 });
    let ends = [
        ("products/update", is("archived", "OIL")),
        ("products/update", is("active", "OIL-NEW")),
        ("products/delete", json!({ "id": 77 })),
        ("inventory_levels/disconnect", gone),
    ];
    for (topic, body) in ends {
        let shop = Shop::open(&[]).await;
        let carried = shop.evaluates();
        let described = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &described).await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        carried.idle().await;
        let open = shop.alerts(AlertState::Open).await;
        assert_eq!(open, [(low, over("OIL").1, None)], "{topic}");
        shop.hears(topic, &body).await;
        carried.idle().await;
        let renamed = body["variants"][0]["sku"] == "OIL-NEW";
        let mut closed = over("OIL");
        if renamed {
            closed.2 = Some(Ending::Renamed);
        }
        let resolved = shop.alerts(AlertState::Resolved).await;
        assert_eq!(resolved, [closed], "{body}");
        // Under its new name it is as low as it was.
        let open = shop.alerts(AlertState::Open).await;
        let expected = renamed.then(|| (low, over("OIL-NEW").1, None));
        assert_eq!(open, Vec::from_iter(expected), "{body}");
        carried.stop().await;
    }
}

/// However much it is, one invocation closes a page of it.
#[tokio::test(start_paused = true)]
async fn what_a_removed_connector_has_in_quarantine_is_closed_page_by_page() {
    let shop = Shop::open(&[]).await;
    for number in 0..250 {
        let now = shop.store.clock().now();
        let held = Quarantined::new(
            &"shop".parse().unwrap(),
            now,
            format!("/{number}"),
            "{}",
            ("no_data", "no quantity"),
        );
        assert!(shop.store.quarantine(&held).await.unwrap());
    }
    let open = async || {
        let open = shop.store.quarantined(HeldState::Open, None, 1_000).await;
        open.unwrap().items.len()
    };
    let kind = async || {
        let kind = shop
            .store
            .held_kind(&"shop".parse().unwrap(), "no_data")
            .await;
        kind.unwrap().unwrap()
    };
    let mut left = 250;
    for closed in [100, 100, 50] {
        let before = kind().await;
        let done = shop.store.close_kind(&before, "gone").await.unwrap();
        left -= closed;
        assert_eq!((open().await, done), (left, left == 0));
        assert!(kind().await.version > before.version, "the stream has it");
    }
    assert!(!kind().await.data.open);
}

#[tokio::test(start_paused = true)]
async fn people_are_told_once_of_each_kind_in_quarantine_and_that_nothing_of_it_is_left() {
    let shop = Shop::open(&[]).await;
    let carried = shop.evaluates();
    for (item, place) in [(ITEM, 1), (OTHER_ITEM, 1), (ITEM, 99)] {
        shop.hears(
            "inventory_levels/update",
            &level(item, place, 20, "09:00:00"),
        )
        .await;
    }
    carried.idle().await;
    let kind = AlertKind::Quarantine;
    let about = |reason: &str| format!("shop ({reason})");
    let mut open = shop.alerts(AlertState::Open).await;
    open.sort();
    assert_eq!(
        open,
        [
            (kind, about("unknown_location"), None),
            (kind, about("unknown_product"), None)
        ]
    );
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "GAS")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(
        shop.alerts(AlertState::Resolved).await,
        [(kind, about("unknown_product"), Some(Ending::Recovered))]
    );
    assert_eq!(
        shop.alerts(AlertState::Open).await,
        [(kind, about("unknown_location"), None)]
    );
    carried.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_fulfilled_in_pieces_is_sold_once() {
    let shop = counting().await;
    let mut body = order("09:30:00", 4, false, &[]);
    shop.hears("orders/create", &body).await;
    for (left, at) in [(3, "09:41:00"), (1, "09:42:00"), (0, "09:43:00")] {
        body["updated_at"] = json!(format!("2026-11-22T{at}Z"));
        body["line_items"][0]["fulfillable_quantity"] = json!(left);
        shop.hears("orders/updated", &body).await;
    }
    shop.hears("orders/fulfilled", &body).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    assert_eq!(shop.sold("OIL", "north").await, 4);
}

/// The order as a later version has it: each line with what was ever ordered of it and what still is.
fn edited(updated: &str, lines: &[(i64, i64, i64)]) -> Value {
    let mut body = order(updated, 4, false, &[]);
    let lines = lines.iter().map(|(id, quantity, current)| {
        json!({ "id": id, "variant_id": ITEM + 1_000, "sku": "OIL", "quantity": quantity,
            "current_quantity": current })
    });
    body["line_items"] = lines.collect();
    body
}

#[tokio::test(start_paused = true)]
async fn what_an_edit_changes_counts_from_the_edit_and_not_from_the_order() {
    // Ten were there, four were ordered at 09:30, and at 09:40 somebody counted twenty.
    let placed = edited("09:30:00", &[(91, 4, 4)]);
    let more = edited("09:50:00", &[(91, 6, 6)]);
    let returned = {
        let mut back = refund("return", 1, Some(1));
        for time in ["created_at", "processed_at"] {
            back[time] = json!("2026-11-22T09:52:00Z");
        }
        back
    };
    for (name, webhooks, expected) in [
        ("as it was", vec![], 20),
        ("two more", vec![more.clone()], 18),
        (
            "two more, of which one is removed",
            vec![more, edited("09:55:00", &[(91, 6, 5)])],
            19,
        ),
        ("one removed", vec![edited("09:50:00", &[(91, 4, 3)])], 21),
        (
            "one removed and ordered again",
            vec![
                edited("09:50:00", &[(91, 4, 3)]),
                edited("09:55:00", &[(91, 4, 4)]),
            ],
            20,
        ),
        ("cancelled", vec![order("09:50:00", 0, true, &[])], 24),
        ("fulfilled", vec![edited("09:50:00", &[(91, 4, 4)])], 20),
        (
            "two more, and one returned",
            vec![edited("09:50:00", &[(91, 6, 6)]), returned],
            19,
        ),
        (
            "another line",
            vec![edited("09:50:00", &[(91, 4, 4), (92, 3, 3)])],
            17,
        ),
        (
            "another line, of which one is removed",
            vec![
                edited("09:50:00", &[(91, 4, 4), (92, 3, 3)]),
                edited("09:55:00", &[(91, 4, 4), (92, 3, 2)]),
            ],
            18,
        ),
    ] {
        let mut webhooks: Vec<_> = webhooks.into_iter().map(Some).collect();
        webhooks.extend([Some(placed.clone()), None]);
        for turn in 0..2 * webhooks.len() {
            let mut heard = webhooks.clone();
            heard.rotate_left(turn % webhooks.len());
            if turn >= webhooks.len() {
                heard.reverse();
            }
            let shop = counting().await;
            for body in heard.iter().chain(heard.iter().rev()) {
                match body {
                    Some(body) => {
                        let is_refund = body["refund_line_items"].is_array();
                        let topic = ["orders/updated", "refunds/create"][usize::from(is_refund)];
                        shop.hears(topic, body).await;
                    }
                    None => {
                        let mut counted = crate::bench::level("erp", 1, "OIL", "north", 20);
                        counted.at = "2026-11-22T09:40:00Z".parse().unwrap();
                        if let Change::LevelSet { version, .. } = &mut counted.change {
                            *version = Version::at(counted.at);
                        }
                        shop.store
                            .apply(&counted, &Default::default())
                            .await
                            .unwrap();
                    }
                }
            }
            let found = shop.on_hand("OIL", "north").await;
            assert_eq!(found, Some(expected), "{name}, turn {turn}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_an_edit_added_is_known_as_such_though_both_versions_are_heard_at_once() {
    let placed = edited("09:30:00", &[(91, 4, 4)]);
    let more = edited("09:50:00", &[(91, 4, 4), (92, 3, 3)]);
    for turn in 0..12_u64 {
        let shop = counting().await;
        let mut counted = crate::bench::level("erp", 1, "OIL", "north", 20);
        counted.at = "2026-11-22T09:40:00Z".parse().unwrap();
        if let Change::LevelSet { version, .. } = &mut counted.change {
            *version = Version::at(counted.at);
        }
        let authority = Default::default();
        shop.store.apply(&counted, &authority).await.unwrap();
        // Each begins some steps after the other.
        let after_steps = async |steps: u64, body: &Value| {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            shop.hears("orders/updated", body).await;
        };
        tokio::join!(
            after_steps(4 * turn, &placed),
            after_steps(3 * (12 - turn), &more)
        );
        let found = shop.on_hand("OIL", "north").await;
        assert_eq!(found, Some(17), "turn {turn}");
    }
}

pub(crate) const ALL: Selection = Selection::Between {
    from: None,
    until: None,
};

#[tokio::test(start_paused = true)]
async fn a_replay_states_anew_what_ended_with_a_connector_a_place_or_its_name_that_came_back() {
    let begins = CONFIG.find("[connectors.shop]").unwrap();
    let ends = CONFIG.find("[channels.out]").unwrap();
    let place = "[locations.south]\nname = \"South\"\nkind = \"warehouse\"\n";
    let name = (r#", "2" = "south""#, "");
    let removed = [
        vec![(&CONFIG[begins..ends], "")],
        vec![(place, ""), name],
        vec![name],
    ];
    let connector = "shop".parse().unwrap();
    for changes in removed {
        let shop = Shop::open(&[]).await;
        let carried = shop.evaluates();
        let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &described).await;
        shop.hears("inventory_levels/update", &level(ITEM, 2, 50, "09:00:00"))
            .await;
        assert_eq!(shop.on_hand("OIL", "south").await, Some(50));
        for changes in [&changes[..], &[]] {
            shop.configure(changes).await;
            shop.ticks().await;
            carried.idle().await;
            assert_eq!(shop.on_hand("OIL", "south").await, None, "{changes:?}");
        }
        for _ in 0..2 {
            let replayed = shop.ingest.replay(&connector, &ALL, None);
            replayed.await.unwrap();
            carried.idle().await;
            assert_eq!(shop.on_hand("OIL", "south").await, Some(50), "{changes:?}");
        }
        // Said, ended, and said again: the second replay said nothing new.
        let of = keys::position_history(&"OIL".parse().unwrap(), &"south".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        assert_eq!(rows.len(), 3, "{changes:?}: {rows:?}");
        carried.stop().await;
    }
}

const EXCHANGED: (&str, &str) = (
    r#""1" = "north", "2" = "south""#,
    r#""2" = "north", "1" = "south""#,
);

#[tokio::test(start_paused = true)]
async fn what_was_stated_by_a_name_that_leads_elsewhere_now_ends_and_a_replay_states_it_there() {
    let shop = Shop::open(&[]).await;
    let carried = shop.evaluates();
    let both = product("active", "08:00:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/create", &both).await;
    for (item, place, units) in [(ITEM, 1, 70), (ITEM, 2, 50), (OTHER_ITEM, 1, 30)] {
        let stated = level(item, place, units, "09:00:00");
        shop.hears("inventory_levels/update", &stated).await;
    }
    let there = async || {
        let mut there = Vec::new();
        for sku in ["OIL", "GAS"] {
            for place in ["north", "south"] {
                there.push(shop.on_hand(sku, place).await);
            }
        }
        there
    };
    assert_eq!(there().await, [Some(70), Some(50), Some(30), None]);
    shop.configure(&[EXCHANGED]).await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, [None; 4]);
    let of = keys::position_history(&"GAS".parse().unwrap(), &"north".parse().unwrap());
    let rows = shop.store.history(&of, None, 100).await.unwrap().items;
    let why = rows.last().unwrap().reason.as_deref();
    let expected = "its source means another place by the name that it used";
    assert_eq!(why, Some(expected));
    let connector = "shop".parse().unwrap();
    let replayed = shop.ingest.replay(&connector, &ALL, None);
    replayed.await.unwrap();
    assert_eq!(there().await, [Some(50), Some(70), None, Some(30)]);
    // Whoever looks again finds nothing to end.
    shop.configure(&[EXCHANGED, ("threshold = 9", "threshold = 8")])
        .await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, [Some(50), Some(70), None, Some(30)]);
    carried.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_place_stays_where_it_was_and_one_with_a_name_goes_where_that_leads() {
    let deducts = "default_location = \"north\"\norders = \"deduct\"";
    let elsewhere = deducts.replace("north", "south");
    let default = ("default_location = \"north\"", elsewhere.as_str());
    let exchanged = [("default_location = \"north\"", deducts), EXCHANGED];
    let connector = "shop".parse().unwrap();
    // Where it is taken from stock, and where it counts once the configuration is another.
    for (place, changes, first, then) in [
        (None, &[default][..], "north", "north"),
        (Some(2), &exchanged[..], "south", "north"),
    ] {
        let shop = counting().await;
        let said = |updated: &str, current: i64, refunds: &[Value]| {
            let mut body = order(updated, current, false, refunds);
            body["location_id"] = json!(place);
            body
        };
        let left = async || {
            [
                shop.on_hand("OIL", "north").await,
                shop.on_hand("OIL", "south").await,
            ]
        };
        let less = |at: &str, units: i64| match at {
            "north" => [Some(10 - units), Some(5)],
            _ => [Some(10), Some(5 - units)],
        };
        shop.hears("orders/create", &said("09:30:00", 4, &[])).await;
        assert_eq!(left().await, less(first, 4), "{place:?}");
        shop.configure(changes).await;
        // Heard again, edited, and partly refunded where it was sold.
        let replayed = shop.ingest.replay(&connector, &ALL, None);
        replayed.await.unwrap();
        assert_eq!(left().await, less(then, 4), "{place:?}");
        shop.hears("orders/updated", &said("09:35:00", 3, &[]))
            .await;
        assert_eq!(left().await, less(then, 3), "{place:?}");
        let back = refund("return", 2, place);
        shop.hears("refunds/create", &back).await;
        assert_eq!(left().await, less(then, 1), "{place:?}");
        let replayed = shop.ingest.replay(&connector, &ALL, None);
        replayed.await.unwrap();
        assert_eq!(left().await, less(then, 1), "{place:?}");
        assert_eq!(shop.sold("OIL", then).await, 1, "{place:?}");
    }
}

/// An end that was known of the item and had not reached the position yet, when a level that was read
/// before is applied once more.
#[tokio::test(start_paused = true)]
async fn what_a_repeated_level_carries_is_in_the_ledger_as_the_word_of_the_end() {
    let ended = offers(false, "09:10:00");
    let authority = Default::default();
    // Whoever ends it stops after so many calls, until he comes to his end.
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &active).await;
        let mut stated = level(ITEM, 1, 7, "09:00:00");
        shop.hears("inventory_levels/update", &stated).await;
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.store.apply(&ended, &authority).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        stated["sent"] = json!("again");
        shop.hears("inventory_levels/update", &stated).await;
        shop.store.apply(&ended, &authority).await.unwrap();
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{calls}");
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let rows: Vec<_> = rows
            .iter()
            .skip(1)
            .map(|row| (row.change.as_str(), row.event.as_str()))
            .collect();
        assert_eq!(rows, [("item_ended", ended.id.as_str())], "{calls}");
        if is_whole {
            return;
        }
    }
}

const EAST: (&str, &str) = (
    "[connectors.shop]",
    "[locations.east]\nname = \"East\"\nkind = \"warehouse\"\n[connectors.shop]",
);

/// As [`CONFIG`] with orders that take from stock, and with the names of places as `changes` has them.
fn deducting<'a>(default: &'a str, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let default = ("default_location = \"north\"", default);
    std::iter::once(default)
        .chain(changes.iter().copied())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_known_stays_at_its_place_though_nothing_names_that_any_more() {
    let (deducts, unnamed) = (
        "default_location = \"north\"\norders = \"deduct\"",
        (r#", "2" = "south""#, ""),
    );
    let connector = "shop".parse().unwrap();
    // The place of the order and of its refund, as the shop calls them; and what is left there.
    for (place, changes, there, stood) in [
        (None, deducting("orders = \"deduct\"", &[]), "north", 10),
        (Some(2), deducting(deducts, &[unnamed]), "south", 5),
    ] {
        let shop = counting().await;
        let said = |updated: &str, current: i64, cancelled: bool, refunds: &[Value]| {
            let mut body = order(updated, current, cancelled, refunds);
            body["location_id"] = json!(place);
            body
        };
        let left = async || {
            let on_hand = shop.on_hand("OIL", there).await.unwrap();
            (stood - on_hand, shop.sold("OIL", there).await)
        };
        let none: [Quarantined; 0] = [];
        let placed = said("09:30:00", 4, false, &[]);
        shop.hears("orders/create", &placed).await;
        assert_eq!(left().await, (4, 4), "{place:?}");
        shop.configure(&changes).await;
        // Heard again, edited to less, and then to have another line.
        shop.ingest.replay(&connector, &ALL, None).await.unwrap();
        assert_eq!(left().await, (4, 4), "{place:?}");
        shop.hears("orders/updated", &said("09:35:00", 3, false, &[]))
            .await;
        assert_eq!(left().await, (3, 3), "{place:?}");
        let mut more = said("09:36:00", 3, false, &[]);
        let another = json!({ "id": 92, "variant_id": ITEM + 1_000, "sku": "OIL", "quantity": 2,
            "current_quantity": 2 });
        more["line_items"].as_array_mut().unwrap().push(another);
        shop.hears("orders/updated", &more).await;
        assert_eq!(left().await, (5, 5), "{place:?}");
        // Cancelled, and all of it is back.
        let back = refund("cancel", 3, place);
        let mut over = said("09:41:00", 0, true, std::slice::from_ref(&back));
        more["line_items"][1]["current_quantity"] = json!(0);
        over["line_items"] = more["line_items"].clone();
        over["line_items"][0]["current_quantity"] = json!(0);
        shop.hears("orders/cancelled", &over).await;
        shop.hears("refunds/create", &back).await;
        assert_eq!(left().await, (0, 0), "{place:?}");
        assert_eq!(shop.held(HeldState::Open).await, none, "{place:?}");
        // What is new there has to wait for a name.
        let mut new = placed.clone();
        (new["id"], new["line_items"][0]["id"]) = (json!(10), json!(101));
        let said = shop.hears("orders/create", &new).await;
        assert_eq!(said["quarantined"], 1, "{place:?}");
        let held = shop.held(HeldState::Open).await;
        assert_eq!(held[0].reason, "unknown_location", "{place:?}");
        assert_eq!(left().await, (0, 0), "{place:?}");
        shop.configure(&deducting(deducts, &[])).await;
        shop.ticks().await;
        assert_eq!(left().await, (4, 4), "{place:?}");
        assert_eq!(shop.held(HeldState::Open).await, none, "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refunded_at_an_unknown_place_is_back_once_that_has_a_name_and_the_order_does_not_wait()
 {
    let deducts = "default_location = \"north\"\norders = \"deduct\"";
    let back = refund("return", 4, Some(3));
    let cancelled = order("09:41:00", 0, true, std::slice::from_ref(&back));
    for webhooks in [
        vec![("orders/cancelled", &cancelled)],
        vec![("refunds/create", &back)],
        vec![("orders/cancelled", &cancelled), ("refunds/create", &back)],
        vec![("refunds/create", &back), ("orders/cancelled", &cancelled)],
    ] {
        let shop = counting().await;
        let stated = crate::bench::level("erp", 0, "OIL", "east", 5);
        let authority = Default::default();
        shop.store.apply(&stated, &authority).await.unwrap();
        shop.hears("orders/create", &order("09:30:00", 4, false, &[]))
            .await;
        for (topic, body) in webhooks {
            let said = shop.hears(topic, body).await;
            assert_eq!(said["quarantined"], 1, "{said}");
        }
        assert_eq!(shop.sold("OIL", "north").await, 0);
        assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
        let held = shop.held(HeldState::Open).await;
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!(held[0].reason, "unknown_location");
        let named = (r#""2" = "south""#, r#""2" = "south", "3" = "east""#);
        shop.configure(&deducting(deducts, &[EAST, named])).await;
        shop.ticks().await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
        assert_eq!(shop.on_hand("OIL", "east").await, Some(9));
        assert_eq!(shop.held(HeldState::Open).await.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_taken_from_stock_whatever_the_clock_says_that_dates_it() {
    // Which of its times are how far ahead; the shop's clock says ten, and somebody has counted at eleven.
    let times = ["created_at", "processed_at", "updated_at"];
    for (ahead, held) in [(&times[1..2], 0), (&times[..], 1), (&times[1..], 1)] {
        for at in [
            "2026-11-22T11:00:00Z",
            "2026-11-25T10:00:00Z",
            "2099-01-01T00:00:00Z",
        ] {
            let shop = counting().await;
            let mut body = order("10:00:00", 4, false, &[]);
            for time in times {
                body[time] = json!("2026-11-22T10:00:00Z");
            }
            for time in ahead {
                body[*time] = json!(at);
            }
            let said = shop.hears("orders/create", &body).await;
            assert_eq!(said["quarantined"], held, "{body}");
            assert_eq!(shop.on_hand("OIL", "north").await, Some(6), "{body}");
            assert_eq!(shop.sold("OIL", "north").await, 4, "{body}");
            let mut counted = crate::bench::level("erp", 1, "OIL", "north", 20);
            counted.at = "2026-11-22T10:30:00Z".parse().unwrap();
            if let Change::LevelSet { version, .. } = &mut counted.change {
                *version = Version::at(counted.at);
            }
            let authority = Default::default();
            shop.store.apply(&counted, &authority).await.unwrap();
            assert_eq!(shop.on_hand("OIL", "north").await, Some(20), "{body}");
            // What is heard later of it counts, too, by a clock that was put right.
            tokio::time::sleep(std::time::Duration::from_hours(1)).await;
            let mut edited = body.clone();
            for time in times {
                edited[time] = json!("2026-11-22T10:00:00Z");
            }
            edited["updated_at"] = json!("2026-11-22T10:45:00Z");
            edited["line_items"][0]["current_quantity"] = json!(3);
            shop.hears("orders/updated", &edited).await;
            assert_eq!(shop.on_hand("OIL", "north").await, Some(21), "{body}");
            assert_eq!(shop.sold("OIL", "north").await, 3, "{body}");
        }
    }
}

/// What was overtaken is not told as what is there.
#[tokio::test(start_paused = true)]
async fn nobody_hears_an_older_level_when_the_connector_of_the_newer_one_is_removed() {
    let (shop_of, erp) = (
        "[connectors.shop]",
        "[connectors.erp]\nkind = \"files\"\nurl = \"/nowhere/drop\"\n[connectors.shop]",
    );
    let shop = Shop::open(&[(shop_of, erp)]).await;
    let carried = shop.evaluates();
    let described = product("active", "08:00:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/create", &described).await;
    for item in [ITEM, OTHER_ITEM] {
        let stated = level(item, 1, 40, "08:30:00");
        shop.hears("inventory_levels/update", &stated).await;
    }
    carried.idle().await;
    for (sku, units) in [("OIL", 0), ("GAS", 40)] {
        let mut said = crate::bench::level("erp", 1, sku, "north", units);
        said.at = "2026-11-22T09:40:00Z".parse().unwrap();
        if let Change::LevelSet { version, .. } = &mut said.change {
            *version = Version::at(said.at);
        }
        shop.store.apply(&said, &Default::default()).await.unwrap();
    }
    carried.idle().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(0));
    let resolved = shop.alerts(AlertState::Resolved).await;
    shop.configure(&[]).await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    assert_eq!(shop.on_hand("GAS", "north").await, Some(40), "as much");
    let mut ended = shop.alerts(AlertState::Resolved).await;
    ended.retain(|it| !resolved.contains(it));
    assert!(
        ended
            .iter()
            .all(|(.., ending)| *ending != Some(Ending::Recovered)),
        "{ended:?}"
    );
    // It counts once it is said again.
    let stated = level(ITEM, 1, 39, "09:50:00");
    shop.hears("inventory_levels/update", &stated).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(39));
    carried.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_order_took_from_stock_it_has_taken_whatever_orders_count_as_later() {
    let shop = counting().await;
    let placed = order("09:30:00", 4, false, &[]);
    shop.hears("orders/create", &placed).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    shop.configure(&[]).await;
    shop.ingest
        .replay(&"shop".parse().unwrap(), &ALL, None)
        .await
        .unwrap();
    shop.hears("orders/paid", &order("09:50:00", 4, false, &[]))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    shop.hears("orders/updated", &order("09:55:00", 3, false, &[]))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
    assert_eq!(shop.sold("OIL", "north").await, 3);
}

/// As people do it: the replay does not wait until all is ended that the old names stated.
#[tokio::test(start_paused = true)]
async fn a_replay_states_what_corrected_names_mean_though_what_the_old_ones_stated_has_not_ended() {
    let shop = Shop::open(&[]).await;
    let described = product("active", "08:00:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &described).await;
    for (place, units, at) in [(1, 70, "09:10:00"), (2, 50, "09:00:00")] {
        let stated = level(ITEM, place, units, at);
        shop.hears("inventory_levels/update", &stated).await;
    }
    let there = async || {
        [
            shop.on_hand("OIL", "north").await,
            shop.on_hand("OIL", "south").await,
        ]
    };
    assert_eq!(there().await, [Some(70), Some(50)]);
    shop.configure(&[EXCHANGED]).await;
    let connector = "shop".parse().unwrap();
    shop.ingest.replay(&connector, &ALL, None).await.unwrap();
    assert_eq!(there().await, [Some(50), Some(70)]);
    let carried = shop.evaluates();
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, [Some(50), Some(70)]);
    shop.ingest.replay(&connector, &ALL, None).await.unwrap();
    assert_eq!(there().await, [Some(50), Some(70)]);
    carried.stop().await;
}
