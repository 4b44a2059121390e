//! What a webhook says and cannot be used: held with its reason, never lost, and never in the way of
//! the rest.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::AlertKind;
use shared::domain::Authority;
use shared::domain::alert::AlertState;
use shared::domain::unit::UnitState;
use shared::signature::{HmacSha256, LiveSecrets};
use shared::store::quarantine::Quarantined;

use crate::bench::SECRET;
use crate::flow::Running;

const VIN: &str = "SCBCG2ZG0RC012345";

const CONFIG: &str = r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "rooftop"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[connectors.dms]
kind = "dealertrack"
locations = { MIL = "milano" }
verify = { kind = "header-secret", header = "X-Secret", secret = "env:OUT" }
currency = "EUR"
distance = "km"
[connectors.dms.pointers]
event_id = "/id"
event_type = "/type"
time = "/time"
vin = "/vin"
company = "/company"
[connectors.dms.events]
changed = "updated"
"#;

async fn held(running: &Running) -> Vec<Quarantined> {
    let mut held = running
        .stack
        .store
        .quarantined(shared::store::quarantine::HeldState::Open, None, 100)
        .await
        .unwrap()
        .items;
    held.sort_by(|one, other| one.place.cmp(&other.place));
    held
}

fn counts(answer: &Value) -> [u64; 3] {
    ["applied", "known", "quarantined"].map(|name| answer[name].as_u64().unwrap())
}

/// A sender that repeats until it is answered with 200 would otherwise repeat for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_can_never_be_stored_is_held_and_the_rest_applies() {
    let running = Running::with(CONFIG).await;
    let changes = json!({"changes": [
        {"sku": "A", "title": "First"},
        {"sku": "B", "title": "Second", "external": {"code": "é".repeat(1_500)}},
        {"sku": "C", "title": "Third"},
    ]});
    let (status, answer) = running
        .post("m1", "product.described", changes.clone())
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(counts(&answer), [2, 0, 1]);
    let reasons: Vec<_> = held(&running)
        .await
        .into_iter()
        .map(|it| it.reason)
        .collect();
    assert_eq!(reasons, ["unstorable"]);
    let (status, answer) = running.post("m1", "product.described", changes).await;
    assert_eq!(status, 200, "a repeat is taken, too: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_not_kept_back_by_what_else_is_said_of_the_vehicle() {
    let running = Running::with(CONFIG).await;
    let stocked = json!({
        "vin": VIN, "state": "in_stock", "location": "milano", "make": "Bentley",
        "model": "Bentayga", "price": "150000 EUR",
    });
    running.post("m1", "unit.updated", stocked).await;
    let sold = json!({
        "vin": VIN, "location": "milano", "price": "0 EUR", "msrp": "Call for price",
        "mileage": "TMU", "year": "2026.5", "since": "last spring",
    });
    let (status, answer) = running.post("m2", "unit.sold", sold).await;
    assert_eq!((status, counts(&answer)), (200, [1, 0, 5]), "{answer}");
    let unit = running.stack.store.unit(VIN).await.unwrap().unwrap();
    assert_eq!(unit.resolve(&Authority::default()).state, UnitState::Sold);
    let price = unit.field("price", &[]).unwrap();
    assert_eq!(
        json!(price)["value"]["amount"],
        json!("150000"),
        "as it was"
    );
    let held = held(&running).await;
    for field in ["price", "msrp", "mileage", "year", "since"] {
        let named = held.iter().filter(|entry| entry.place.ends_with(field));
        assert_eq!(named.count(), 1, "{field}: {held:?}");
    }
}

/// What is promised stays so while nobody says otherwise, and so does what people were told.
#[tokio::test(flavor = "multi_thread")]
async fn a_level_whose_other_quantities_cannot_be_read_leaves_them_as_they_were() {
    let rule = "[[rules]]\nname = \"low\"\nkind = \"low_stock\"\nthreshold = 5\n";
    let running = Running::with(&format!("{CONFIG}{rule}")).await;
    let post = async |id: &str, sku: &str, more: Value| {
        let mut data = json!({ "sku": sku, "location": "milano", "on_hand": 20 });
        data.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (status, answer) = running.post(id, "stock.level", data).await;
        assert_eq!(status, 200, "{answer}");
        running.settle().await;
        counts(&answer)
    };
    let low = async || {
        let mut open = running.alerts(AlertState::Open).await;
        open.retain(|alert| alert.kind == AlertKind::LowStock);
        open.len()
    };
    for (sku, last, expected) in [
        (
            "UNREADABLE",
            json!({"reserved": "18 pcs", "incoming": "soon"}),
            2,
        ),
        ("NEGATIVE", json!({"reserved": -1, "incoming": -1}), 2),
        ("OMITTED", json!({}), 0),
    ] {
        let said = json!({"reserved": 18, "incoming": 4, "unavailable": 1});
        post(&format!("{sku}-1"), sku, said).await;
        let open = low().await;
        let [_, _, held] = post(&format!("{sku}-2"), sku, last).await;
        assert_eq!(held, expected, "{sku}");
        let shown = running
            .get(&format!("/api/v1/positions?product={sku}"))
            .await;
        let shown = &shown["items"][0];
        let quantities = [
            "on_hand",
            "reserved",
            "incoming",
            "unavailable",
            "available",
        ];
        let quantities = quantities.map(|it| shown[it].as_i64().unwrap());
        assert_eq!(quantities, [20, 18, 4, 1, 1], "{sku}");
        assert_eq!(low().await, open, "{sku}");
        post(&format!("{sku}-3"), sku, json!({"reserved": 0})).await;
        let shown = running
            .get(&format!("/api/v1/positions?product={sku}"))
            .await;
        assert_eq!(shown["items"][0]["available"], 19, "{sku}: a stated zero");
    }
}

/// A secret that is typed wrongly is seen where people look.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_turned_away_for_its_signature_is_counted_although_others_are_taken() {
    let running = Running::with(CONFIG).await;
    let refused = async || {
        let status = running.get("/api/v1/status").await;
        let connectors = status["connectors"].as_array().unwrap().clone();
        let mut generic = connectors.into_iter().filter(|it| it["name"] == "generic");
        generic.next().unwrap()["refused"].clone()
    };
    assert_eq!(refused().await, Value::Null);
    let wrong: HeaderMap = [
        ("webhook-id", "m1"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,AAAA"),
    ]
    .into_iter()
    .map(|(name, value)| {
        (
            http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    })
    .collect();
    let (status, _) = running.send("/hooks/generic", &wrong, "{}").await;
    assert_eq!(status, 401);
    let shown = refused().await;
    assert_eq!(shown["count"], 1, "{shown}");
    assert!(
        shown["detail"].as_str().is_some_and(|it| !it.is_empty()),
        "{shown}"
    );
    let level = json!({"sku": "OIL", "location": "milano", "on_hand": 5});
    assert_eq!(running.post("m1", "stock.level", level).await.0, 200);
    assert_eq!(refused().await["count"], 1);
    // Counted once a second, with those that came meanwhile.
    let mut sent = 1;
    let again = loop {
        let (status, _) = running.send("/hooks/generic", &wrong, "{}").await;
        assert_eq!(status, 401);
        sent += 1;
        let again = refused().await;
        if again["count"] != 1 {
            break again;
        }
        assert!(sent < 1_000, "it is counted no more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        (&again["count"], &again["since"]),
        (&json!(sent), &shown["since"])
    );
    // Nobody's webhooks are not counted.
    let (status, _) = running.send("/hooks/nobody", &wrong, "{}").await;
    assert_eq!(status, 404);
}

/// Whoever is told knows which product it is, and where it stands in what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_the_quarantine_names_the_product_and_the_row() {
    let running = Running::with(CONFIG).await;
    let changes = json!({"changes": [
        {"sku": "OIL", "location": "milano", "on_hand": 5},
        {"sku": "PAD", "location": "milano"},
        {"sku": "GAS", "location": "milano", "on_hand": 999_999_999},
    ]});
    let (status, answer) = running.post("m1", "stock.level", changes).await;
    assert_eq!((status, counts(&answer)), (200, [1, 0, 2]), "{answer}");
    let listed = running.get("/api/v1/quarantine").await["items"].clone();
    let told = running.alerts(AlertState::Open).await;
    let told: Vec<_> = told.iter().map(|it| it.message.notes.join(" ")).collect();
    for (sku, row) in [("PAD", "/data/changes/1"), ("GAS", "")] {
        let mut listed = listed.as_array().unwrap().iter();
        let is_named = |item: &Value| item["detail"].as_str().unwrap().contains(sku);
        assert!(listed.any(is_named), "{sku}: {listed:?}");
        let is_told = |notes: &String| notes.contains(sku) && notes.contains(row);
        assert!(told.iter().any(is_told), "{sku}: {told:#?}");
    }
}

/// People are told of nothing that no route carries; whoever looks sees that.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_how_many_open_alerts_are_told_to_nobody() {
    let place = "[channels.out]\nkind = \"webhook\"\nurl = \"https://out.example.com/\"\n\
                 secret = \"env:OUT\"\n[[routes]]\nname = \"milano\"\nchannels = [\"out\"]\n\
                 locations = [\"milano\"]\n";
    let running = Running::with(&format!("{CONFIG}{place}")).await;
    let level = json!({"sku": "OIL", "location": "nowhere", "on_hand": 5});
    assert_eq!(running.post("m1", "stock.level", level).await.0, 200);
    assert_eq!(running.alerts(AlertState::Open).await.len(), 1);
    let status = running.get("/api/v1/status").await;
    let one = json!({ "count": 1, "more": false });
    assert_eq!(status["untold_alerts"], one, "{status}");
    let words = lotwire::cli::status_in_words(&status);
    let line = words.lines().find(|it| it.starts_with("open alerts"));
    assert!(
        line.unwrap().contains("1 of them told to nobody"),
        "{words}"
    );
}

/// A set-up that does not fit its sender is seen, too, and nothing says that no webhook came.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_turned_away_for_its_set_up_or_its_words_is_counted_with_the_last_reason() {
    let config = format!(
        "{CONFIG}[connectors.shop]\nkind = \"shopify\"\nshop = \"your-shop\"\nwebhook.secret = \"env:GENERIC\"\n"
    );
    let running = Running::with(&config).await;
    let body = "{}";
    let secrets = LiveSecrets::new(&[SECRET.to_owned().into()]).unwrap();
    let signed = HmacSha256::base64("x-shopify-hmac-sha256").sign(&[body.as_bytes()], &secrets);
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-shopify-hmac-sha256",
        HeaderValue::from_str(&signed).unwrap(),
    );
    for (name, value) in [
        ("x-shopify-topic", "products/update"),
        ("x-shopify-shop-domain", "ours.myshopify.com"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let (status, answer) = running.send("/hooks/shop", &headers, body).await;
    assert_eq!(status, 400, "{answer}");
    let status = running.get("/api/v1/status").await;
    let shop = status["connectors"].as_array().unwrap().iter();
    let shop = shop.clone().find(|it| it["name"] == "shop").unwrap();
    assert_eq!(shop["refused"]["count"], 1, "{shop}");
    assert_eq!(shop["refused"]["reason"], "bad_header", "{shop}");
    let words = lotwire::cli::status_in_words(&status);
    let line = words.lines().find(|it| it.contains("/hooks/shop")).unwrap();
    assert!(
        line.contains("1 refused") && line.contains("another shop"),
        "{line}"
    );
    assert!(!line.contains("none has come"), "{line}");

    // Signed, and of no kind that there is.
    let (status, _) = running.post("m1", "stock.unheard_of", json!({})).await;
    assert!((400..500).contains(&status), "{status}");
    let status = running.get("/api/v1/status").await;
    let generic = status["connectors"].as_array().unwrap().iter();
    let generic = generic.clone().find(|it| it["name"] == "generic").unwrap();
    assert_eq!(generic["refused"]["count"], 1, "{generic}");
}

/// Whoever says what was missing: the vehicle is counted then, and nobody has anything to do any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_that_could_not_be_counted_is_no_work_once_it_is() {
    let config = format!(
        "{CONFIG}[connectors.market]\nkind = \"generic\"\n[connectors.market.webhook]\nsecret = \"env:GENERIC\"\n"
    );
    let running = Running::with(&config).await;
    // Twice, by different reports: one vehicle is one piece of work.
    for id in ["s1", "s2"] {
        let sold = json!({"vin": VIN, "price": "150000 EUR"});
        let (status, answer) = running.post(id, "unit.sold", sold).await;
        assert_eq!(status, 200, "{answer}");
    }
    let unplaced: Vec<_> = held(&running).await;
    let [entry] = &unplaced[..] else {
        panic!("{unplaced:?}");
    };
    assert_eq!(entry.reason, "unplaced");
    let stocked = json!({
        "vin": VIN, "state": "in_stock", "location": "milano", "make": "Bentley",
        "model": "Continental GT",
    });
    let (status, answer) = running
        .post_to("market", "u1", "unit.updated", stocked)
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(held(&running).await, []);
    let generic = "generic".parse().unwrap();
    let kind = running.stack.store.held_kind(&generic, "unplaced").await;
    assert!(!kind.unwrap().unwrap().data.open, "people are told");
}

/// Until vehicles can be looked up, a hint is work that waits, and people see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_hint_leaves_work_until_the_vehicle_is_looked_up() {
    let summary = Config::check(CONFIG, "test.toml").unwrap().summary();
    let notes: Vec<_> = summary
        .notes
        .iter()
        .filter(|note| note.contains("`dms`") && note.contains("trusted"))
        .collect();
    assert_eq!(notes.len(), 1, "{:?}", summary.notes);

    let running = Running::with(CONFIG).await;
    let headers: HeaderMap = [(
        http::HeaderName::from_static("x-secret"),
        HeaderValue::from_static(SECRET),
    )]
    .into_iter()
    .collect();
    for id in ["e1", "e2"] {
        let hint = json!({"id": id, "type": "changed", "vin": VIN, "company": "MIL"});
        let (status, answer) = running
            .send("/hooks/dms", &headers, &hint.to_string())
            .await;
        assert_eq!((status, counts(&answer)), (200, [0, 0, 1]), "{answer}");
    }
    let held = held(&running).await;
    let [work] = &held[..] else {
        panic!("one vehicle is one piece of work: {held:?}");
    };
    assert_eq!(
        (work.reason.as_str(), work.source.as_str()),
        ("lookup", "dms")
    );
    assert!(work.sentence.contains(VIN) && work.sentence.contains("MIL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_units_at_once_than_the_account_believes_are_held_for_review() {
    let config = format!("{CONFIG}[guards]\nmost_quantity_jump = 1000\n");
    let running = Running::with(&config).await;
    let post = async |id: &str, kind: &str, what: &str, units: i64| {
        let data = json!({ "sku": "OIL", "location": "milano", what: units });
        let (status, answer) = running.post(id, kind, data).await;
        assert_eq!(status, 200, "{answer}");
        counts(&answer)
    };
    let on_hand = async || {
        let shown = running.get("/api/v1/positions?product=OIL").await;
        shown["items"][0]["on_hand"].as_i64()
    };
    let held_so_far = async |count: usize| {
        let held = held(&running).await;
        assert_eq!(held.len(), count, "{held:?}");
        for entry in held {
            assert_eq!(entry.reason, "held_for_review");
            assert!(
                entry.sentence.contains("1001 units") && entry.sentence.contains("at most 1000"),
                "{}",
                entry.sentence
            );
        }
    };
    assert_eq!(post("a", "stock.level", "on_hand", 1_001).await, [0, 0, 1]);
    held_so_far(1).await;
    assert_eq!(on_hand().await, None);
    assert_eq!(post("b", "stock.level", "on_hand", 1_000).await, [1, 0, 0]);
    assert_eq!(on_hand().await, Some(1_000));
    assert_eq!(post("c", "stock.moved", "delta", 1_001).await, [0, 0, 1]);
    held_so_far(2).await;
    assert_eq!(on_hand().await, Some(1_000));
    assert_eq!(post("d", "stock.moved", "delta", 1_000).await, [1, 0, 0]);
    assert_eq!(on_hand().await, Some(2_000));
}

/// A till that misspells a SKU: its sales are taken, and it shows.
#[tokio::test(flavor = "multi_thread")]
async fn what_moves_and_nobody_states_is_applied_and_named_in_the_answer_and_by_status() {
    let running = Running::with(CONFIG).await;
    running.level("m1", "PAD-1", 10).await;
    let sold = |skus: &[&str]| {
        let sales = skus
            .iter()
            .map(|sku| json!({ "sku": sku, "location": "milano", "quantity": 1 }));
        json!({ "changes": sales.collect::<Vec<_>>() })
    };
    let unstated = async || {
        let status = running.get("/api/v1/status").await;
        let connectors = status["connectors"].as_array().unwrap().clone();
        let of = connectors.into_iter().find(|it| it["name"] == "generic");
        of.unwrap()["unstated"].clone()
    };
    let (_, answer) = running.post("m2", "stock.sold", sold(&["PAD-1"])).await;
    assert_eq!(
        (counts(&answer), answer.get("notes")),
        ([1, 0, 0], None),
        "{answer}"
    );
    assert_eq!(unstated().await, json!([]));
    // One alone, and several together; each time, as a till that is wrong stays wrong.
    for (id, skus) in [
        ("m3", &["PADD-1"][..]),
        ("m4", &["PADD-1"]),
        ("m5", &["PAD-1", "PADD-1", "PAD 1"]),
    ] {
        let (status, answer) = running.post(id, "stock.sold", sold(skus)).await;
        let applied = skus.len() as u64;
        assert_eq!(
            (status, counts(&answer)),
            (200, [applied, 0, 0]),
            "{answer}"
        );
        let note = answer["notes"][0].as_str().unwrap();
        assert!(note.contains("`PADD-1` at milano"), "{note}");
        assert_eq!(note.contains("`PAD 1` at milano"), skus.len() > 1, "{note}");
        assert!(!note.contains("`PAD-1`"), "{note}");
    }
    let place = |sku| json!({ "product": sku, "location": "milano" });
    assert_eq!(unstated().await, json!([place("PADD-1"), place("PAD 1")]));
    assert_eq!(held(&running).await, [], "it is no work that is left");
    let explained = running
        .get("/api/v1/explain?product=PADD-1&location=milano")
        .await;
    assert_eq!(explained["like"], json!(["PAD-1"]), "{explained}");
    // It was a SKU after all, and its sales count from what was there before them.
    let before = running.stack.store.clock().now() - jiff::SignedDuration::from_mins(5);
    let level = json!({ "sku": "PADD-1", "location": "milano", "on_hand": 9, "at": before });
    running.post("m6", "stock.level", level).await;
    assert_eq!(unstated().await, json!([place("PAD 1")]));
    let (_, answer) = running.post("m7", "stock.sold", sold(&["PADD-1"])).await;
    assert_eq!(answer.get("notes"), None, "{answer}");
    let found = running.get("/api/v1/positions?product=PADD-1").await;
    assert_eq!(found["items"][0]["on_hand"], 5, "{found}");
}
