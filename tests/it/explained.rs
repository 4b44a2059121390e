//! What the API says of an alert to whoever asks why it is so: who was told, and why others were not.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::alert::{AlertState, Ending};
use shared::store::quarantine::{HeldState, Quarantined};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::flow::Running;
use crate::observed::Observed;

const PATH: &str = "/api/v1/explain?product=OIL&location=milano";

/// What is explained of a kind of alert.
fn kind(explained: &Value, kind: &str) -> Value {
    let kinds = explained["kinds"].as_array().unwrap();
    let found = kinds.iter().find(|it| it["kind"] == kind);
    found.unwrap_or_else(|| panic!("{explained}")).clone()
}

fn config(vendor: &str) -> String {
    format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[channels.room]
kind = "slack"
url = "env:NOT_SET"
[channels.out]
kind = "webhook"
url = "{vendor}/out"
secret = "env:OUT"
[[routes]]
name = "low"
kinds = ["low_stock"]
channels = ["room"]
[[routes]]
name = "gone"
kinds = ["out_of_stock"]
channels = ["room", "out"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
[[rules]]
name = "gone"
kind = "out_of_stock"
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_is_not_said_to_have_been_told_and_its_channel_not_to_be_live() {
    let vendor = MockServer::start().await;
    let taken = Mock::given(any()).respond_with(ResponseTemplate::new(204));
    taken.mount(&vendor).await;
    let running = Running::with(&config(&vendor.uri())).await;
    running.level("l1", "OIL", 10).await;
    running.level("l2", "OIL", 3).await;
    let low = kind(&running.get(PATH).await, "low_stock");
    assert_eq!(low["watch"]["phase"], "open", "{low}");
    assert_eq!(low["watch"]["people_told"], false, "{low}");
    let routes = low["routes"].as_str().unwrap();
    let obstacle = "Channel `room` is not live: env:NOT_SET is not set.";
    assert!(routes.ends_with(obstacle), "{routes}");
    let created_at = &low["watch"]["deliveries"][0]["created_at"];
    assert!(created_at.is_string(), "{low}");
    let not_sent = json!({
        "channel": "room",
        "revision": 1,
        "created_at": created_at,
        "state": "not_sent",
        "last_outcome": "not_sent: env:NOT_SET is not set",
        "next_try": null,
    });
    assert_eq!(low["watch"]["deliveries"], json!([not_sent]));

    running.level("l3", "OIL", 0).await;
    // A program has it.
    let gone = kind(&running.get(PATH).await, "out_of_stock");
    assert_eq!(gone["watch"]["people_told"], false, "{gone}");
    let deliveries = gone["watch"]["deliveries"].as_array().unwrap();
    let state = |channel: &str| {
        let of = deliveries.iter().find(|it| it["channel"] == channel);
        of.unwrap()["state"].clone()
    };
    assert_eq!(
        (state("out"), state("room")),
        ("delivered".into(), "not_sent".into())
    );

    let channels = running.get("/api/v1/channels").await;
    let channels = channels["items"].as_array().unwrap();
    let standing = |name: &str| {
        let of = channels.iter().find(|it| it["channel"] == name).unwrap();
        [of["state"].clone(), of["reason"].clone()]
    };
    assert_eq!(standing("out"), [json!("live"), Value::Null]);
    let why = json!("env:NOT_SET is not set");
    assert_eq!(standing("room"), [json!("not_live"), why]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_flaps_says_so_and_until_when_nothing_is_sent() {
    let own = "[alerts]\nflap_limit = 2\nflap_window = \"2h\"\nflap_steady = \"1h\"\n";
    for (settings, crossings, steady, sentence) in [
        (
            "",
            5,
            30,
            "Flapping: no more messages until it has been steady for 30 minutes. It has gone back and \
             forth more than 4 times within 1 hour.",
        ),
        (
            own,
            3,
            60,
            "Flapping: no more messages until it has been steady for 1 hour. It has gone back and \
             forth more than 2 times within 2 hours.",
        ),
    ] {
        let mut observed = Observed::start(settings).await;
        let explained = async |observed: &Observed| {
            let (status, answer) = observed.call(Method::GET, PATH, "").await;
            assert_eq!(status, 200, "{answer}");
            kind(&answer, "low_stock")
        };
        let answer = |explained: &Value| explained["answer"].as_str().unwrap().to_owned();
        observed.level("start", "OIL", 50).await;
        observed.pass(1).await;
        for crossing in 0..crossings {
            let low = explained(&observed).await;
            assert!(!answer(&low).contains("Flapping"), "{crossing}: {low}");
            assert_eq!(low["watch"]["quiet_for_flapping_until"], Value::Null);
            let on_hand = if crossing % 2 == 0 { 1 } else { 50 };
            let id = format!("c{crossing}");
            observed.level(&id, "OIL", on_hand).await;
            observed.pass(1).await;
        }
        let low = explained(&observed).await;
        assert!(answer(&low).starts_with("Alert "), "{low}");
        assert!(answer(&low).contains("is open since"), "{low}");
        assert!(answer(&low).ends_with(sentence), "{low}");
        let until = low["watch"]["quiet_for_flapping_until"].as_str().unwrap();
        let until: Timestamp = until.parse().unwrap();
        let left = until.duration_since(observed.clock.now());
        let bounds = [steady - 2, steady].map(SignedDuration::from_mins);
        assert!(bounds[0] <= left && left <= bounds[1], "{left:#}");
        // Once it has been steady that is over.
        observed.pass(u32::try_from(steady).unwrap() + 2).await;
        let low = explained(&observed).await;
        assert!(answer(&low).contains("is open since"), "{low}");
        assert!(!answer(&low).contains("Flapping"), "{low}");
        assert_eq!(low["watch"]["quiet_for_flapping_until"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_of_a_product_and_not_taken_is_said_to_whoever_asks_after_it() {
    let drop = tempfile::tempdir().unwrap();
    let files = format!(
        "[connectors.erp]\nkind = \"files\"\nurl = {:?}\nstable_for = \"0s\"\n[channels.room]",
        drop.path()
    );
    let text = config("https://people.example.com").replace("[channels.room]", &files);
    let running = Running::with(&text).await;
    let explain = async |product: &str| {
        let path = format!("/api/v1/explain?product={product}&location=milano");
        running.get(&path).await
    };
    for (id, sku) in [("one", "OIL-9"), ("other", "OIL-91")] {
        let data = json!({ "sku": sku, "location": "mars", "on_hand": 3 });
        running.post(id, "stock.level", data).await;
    }
    let explained = explain("oil-9").await;
    let held = explained["quarantine"].as_array().unwrap();
    assert_eq!(
        (&explained["known"], held.len()),
        (&json!(false), 1),
        "{explained}"
    );
    assert_eq!(held[0]["source"], "generic");
    assert!(held[0]["detail"].as_str().unwrap().contains("mars"));
    assert_eq!(explained["sources_in_doubt"], json!([]));

    // A car in a file that says nothing of where it stands, and in one that is not taken.
    let vin = "SCBCG2ZG0RC012345";
    let read = async |text: &str| {
        std::fs::write(drop.path().join("cars.csv"), text).unwrap();
        running
            .stack
            .sync
            .start(&"erp".parse().unwrap())
            .await
            .unwrap();
        running.settle().await;
    };
    read(&format!(
        "vin,location,make,model\n{vin},venus,Bentley,Bentayga\n"
    ))
    .await;
    let explained = explain(vin).await;
    let held = explained["quarantine"].as_array().unwrap();
    assert_eq!(held.len(), 1, "{explained}");
    assert!(held[0]["detail"].as_str().unwrap().contains("venus"));
    read("colour\nred\n").await;
    let explained = explain("SCBCG2ZG0RC012346").await;
    let doubt = &explained["sources_in_doubt"][0];
    assert_eq!(doubt["connector"], "erp", "{explained}");
    let told = doubt["suspicions"][0].as_str().unwrap();
    assert!(told.starts_with("cars.csv") && told.ends_with("Nothing of it was applied."));

    read(&format!(
        "vin,location,make,model\n{vin},milano,Bentley,Bentayga\n"
    ))
    .await;
    let explained = explain(vin).await;
    assert_eq!(
        explained["vehicle"],
        json!({
            "vin": vin, "state": "in_stock", "location": "milano", "stated_by": "erp",
            "counts_as": "line:bentley/bentayga", "rivals": [], "unheeded": [],
        })
    );
    assert_eq!(explained["known"], true);
}

/// Of many rows that wait for one name there is one entry.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_rows_that_wait_for_one_name_is_found_by_its_sku() {
    let drop = tempfile::tempdir().unwrap();
    let files = format!(
        "[connectors.erp]\nkind = \"files\"\nurl = {:?}\nstable_for = \"0s\"\n[channels.room]",
        drop.path()
    );
    let text = config("https://people.example.com").replace("[channels.room]", &files);
    let running = Running::with(&text).await;
    let held = async |product: &str| {
        let path = format!("/api/v1/explain?product={product}&location=milano");
        let explained = running.get(&path).await;
        let held = explained["quarantine"].as_array().unwrap().iter();
        let told = held.map(|it| (it["source"].clone(), it["perhaps"].clone()));
        told.collect::<Vec<_>>()
    };
    let here = |connector: &str| vec![(json!(connector), json!(false))];
    for (id, sku) in [("one", "OIL-1"), ("two", "OIL-2"), ("three", "OIL-3")] {
        let data = json!({ "sku": sku, "location": "mars", "on_hand": 3 });
        running.post(id, "stock.level", data).await;
    }
    for sku in ["OIL-1", "oil-2", "OIL-3"] {
        assert_eq!(held(sku).await, here("generic"), "{sku}");
    }
    assert_eq!(held("OIL-4").await, []);
    let rows: String = (0..101).map(|n| format!("PAD-{n},venus,1\n")).collect();
    let good: String = (0..900).map(|n| format!("GOOD-{n},milano,50\n")).collect();
    let file = format!("sku,location,on_hand\n{rows}{good}");
    std::fs::write(drop.path().join("stock.csv"), file).unwrap();
    let erp = "erp".parse().unwrap();
    running.stack.sync.start(&erp).await.unwrap();
    running.settle().await;
    for sku in ["PAD-0", "PAD-50", "PAD-99"] {
        assert_eq!(held(sku).await, here("erp"), "{sku}");
    }
    // Not all of very many are named; it is said that there are more.
    assert_eq!(held("PAD-100").await, [(json!("erp"), json!(true))]);
    assert_eq!(held("GOOD-1").await, []);
}

/// One thing becomes known, and another is still missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_vehicle_waits_for_is_said_as_it_is_now() {
    let running = Running::with(&config("https://people.example.com")).await;
    let vin = "SCBCG2ZG0RC012345";
    let told = async || {
        let listed = running.get("/api/v1/quarantine").await;
        let listed = listed["items"].as_array().unwrap();
        let [entry] = &listed[..] else {
            panic!("{listed:?}");
        };
        entry["detail"].as_str().unwrap().to_owned()
    };
    let said = json!({ "vin": vin, "state": "in_stock" });
    running.post("one", "unit.updated", said).await;
    let first = told().await;
    assert!(first.contains("make and model are not known"), "{first}");
    let said = json!({ "vin": vin, "make": "Bentley", "model": "Bentayga" });
    running.post("two", "unit.updated", said).await;
    let then = told().await;
    assert!(then.contains("its rooftop is not known"), "{then}");

    // Also where nobody speaks of the vehicle, and the configuration is another.
    let store = &running.stack.store;
    let entries = store.quarantined(HeldState::Open, None, 10).await.unwrap();
    let old = Quarantined {
        sentence: first,
        ..entries.items[0].clone()
    };
    store.quarantine(&old).await.unwrap();
    assert!(told().await.contains("make and model are not known"));
    let other = config("https://people.example.com").replace("threshold = 3", "threshold = 4");
    let other = Config::check(&other, "test.toml").unwrap();
    store.apply_config(&other, "test").await.unwrap();
    running.settle().await;
    assert_eq!(told().await, then);
}

/// What is open of a source that is taken out of the configuration, or gets another name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_of_a_removed_connector_ends_and_says_why() {
    let drop = tempfile::tempdir().unwrap();
    let files = format!(
        "[connectors.erp]\nkind = \"files\"\nurl = {:?}\nstable_for = \"0s\"\n\
         max_removals = {{ count = 1, percent = 10 }}\n[channels.room]",
        drop.path()
    );
    let text = config("https://people.example.com").replace("[channels.room]", &files);
    let running = Running::with(&text).await;
    let store = &running.stack.store;
    let read = async |name: &str, rows: &str| {
        let file = format!("sku,location,on_hand\n{rows}");
        std::fs::write(drop.path().join(name), file).unwrap();
        let erp = "erp".parse().unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
    };
    let rows: String = (0..20).map(|n| format!("PAD-{n},milano,50\n")).collect();
    let bad = "OIL,venus,1\n";
    read("all.csv", &format!("{rows}{bad}")).await;
    read(
        "few.csv",
        &format!("PAD-0,milano,50\nPAD-1,milano,50\n{bad}"),
    )
    .await;
    for (id, sku) in [("one", "OIL-1"), ("two", "OIL-2")] {
        let data = json!({ "sku": sku, "location": "mars", "on_hand": 3 });
        running.post(id, "stock.level", data).await;
    }
    let open = async || {
        let mut counts = Vec::new();
        for path in ["quarantine", "inbox", "alerts?state=open"] {
            let listed = running.get(&format!("/api/v1/{path}")).await;
            counts.push(listed["items"].as_array().unwrap().len());
        }
        counts
    };
    let alerts = running.get("/api/v1/alerts?state=open").await;
    let mut kinds: Vec<_> = alerts["items"].as_array().unwrap().iter().collect();
    kinds.sort_by_key(|alert| alert["kind"].as_str());
    let kinds: Vec<_> = kinds.iter().map(|alert| alert["kind"].clone()).collect();
    let expected = ["feed_flawed", "feed_suspect", "quarantine"].map(|kind| json!(kind));
    assert_eq!(kinds, expected, "{alerts}");
    assert_eq!(open().await, [2, 1, 3]);

    let begins = text.find("[connectors.generic]").unwrap();
    let ends = text.find("[connectors.erp]").unwrap();
    let without = text
        .replace(&text[begins..ends], "")
        .replace("[connectors.erp]", "[connectors.shop]");
    let without = Config::check(&without, "test.toml").unwrap();
    store.apply_config(&without, "test").await.unwrap();
    running.settle().await;
    assert_eq!(open().await, [0, 0, 0]);
    // It is said why.
    let closed = running.get("/api/v1/quarantine?state=closed").await;
    for entry in closed["items"].as_array().unwrap() {
        let why = "its connector is not in the configuration any more";
        assert_eq!(entry["over"]["reason"], why, "{entry}");
    }
    for alert in running.alerts(AlertState::Resolved).await {
        let ending = alert.message.ending.map(Ending::in_words);
        let why = "no longer watched, because the source is not read any more";
        assert_eq!(ending, Some(why), "{alert:?}");
    }

    // Once it is there again, and says it again, it is open again, and asks anew.
    let back = Config::check(&text, "test.toml").unwrap();
    store.apply_config(&back, "test").await.unwrap();
    running.settle().await;
    assert_eq!(open().await[..2], [0, 0]);
    let status = running.get("/api/v1/status").await;
    let connectors = status["connectors"].as_array().unwrap().iter();
    let mut erp = connectors.filter(|it| it["name"] == "erp");
    let suspicions = erp.next().unwrap()["suspicions"].to_string();
    assert!(!suspicions.contains("lotwire inbox"), "{suspicions}");
    let data = json!({ "sku": "OIL-3", "location": "mars", "on_hand": 3 });
    running.post("three", "stock.level", data).await;
    assert_eq!(open().await[0], 1);
}
