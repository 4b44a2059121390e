//! The compiled program: killed under load, it loses nothing acknowledged and repeats no effect.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bench::{SECRET, signed};
use crate::program::Program;

const ORDERS: usize = 120;
const STOCK: i64 = 1_000;

/// A running program and its token.
struct Lotwire {
    program: Program,
    url: String,
    token: String,
}

impl Lotwire {
    fn start(data: &Path, config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lotwire"));
        command
            .args(["--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .arg("--config")
            .arg(config)
            .env("GENERIC", SECRET)
            .env("OUT", SECRET)
            .env("LOTWIRE_ALLOWED_HOSTS", "127.0.0.1");
        let program = Program::start(command);
        let token = std::fs::read_to_string(data.join("token")).unwrap();
        Self {
            url: program.url.clone(),
            program,
            token: token.trim().to_owned(),
        }
    }

    async fn get(&self, client: &reqwest::Client, path: &str) -> Value {
        let request = client
            .get(format!("{}/api/v1/{path}", self.url))
            .bearer_auth(&self.token);
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// Posts a signed event; `None` if there was no answer.
async fn post(
    client: &reqwest::Client,
    url: &str,
    id: &str,
    at: Timestamp,
    data: &Value,
    kind: &str,
) -> Option<u16> {
    let event = json!({ "type": kind, "timestamp": at.to_string(), "data": data });
    let now = Timestamp::from_second(Clock::system().now().as_second()).unwrap();
    let (signed, body) = signed(SECRET, id, now, &event);
    let mut request = client.post(format!("{url}/hooks/generic")).body(body);
    for (name, value) in signed {
        request = request.header(name, value);
    }
    let sent = request.send().await;
    sent.ok().map(|reply| reply.status().as_u16())
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
[channels.out]
kind = "webhook"
url = "{vendor}/out"
secret = "env:OUT"
[[routes]]
name = "all"
channels = ["out"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = {}
"#,
        STOCK - 20
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_loses_nothing_acknowledged_and_repeats_no_effect() {
    let vendor = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(204))
        .mount(&vendor)
        .await;
    let home = tempfile::tempdir().unwrap();
    let (data, file) = (home.path().join("data"), home.path().join("lotwire.toml"));
    std::fs::write(&file, config(&vendor.uri())).unwrap();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let started = Timestamp::from_second(Clock::system().now().as_second()).unwrap();
    let sold = json!({ "sku": "OIL", "location": "milano", "quantity": 1 });

    let mut running = Lotwire::start(&data, &file);
    let stock = json!({ "sku": "OIL", "location": "milano", "on_hand": STOCK });
    let before = started - jiff::SignedDuration::from_secs(60);
    assert_eq!(
        post(
            &client,
            &running.url,
            "stock",
            before,
            &stock,
            "stock.level"
        )
        .await,
        Some(200)
    );

    // Three rounds of orders, the program killed in the midst of each.
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let mine: Vec<_> = (0..ORDERS).filter(|order| order % 3 == round).collect();
        let kill_after = mine.len() / 2;
        let mut posts = tokio::task::JoinSet::new();
        for order in mine {
            let (client, url, sold) = (client.clone(), running.url.clone(), sold.clone());
            posts.spawn(async move {
                (
                    order,
                    post(
                        &client,
                        &url,
                        &format!("order-{order}"),
                        started,
                        &sold,
                        "stock.sold",
                    )
                    .await,
                )
            });
        }
        let mut answers = 0;
        while let Some(done) = posts.join_next().await {
            let (order, answer) = done.unwrap();
            if answer == Some(200) {
                acknowledged.insert(order);
            }
            answers += 1;
            if answers == kill_after {
                running.program.kill();
            }
        }
        running = Lotwire::start(&data, &file);
    }
    assert!(
        !acknowledged.is_empty() && acknowledged.len() < ORDERS,
        "{}",
        acknowledged.len()
    );
    let position = running
        .get(&client, "positions?product=OIL&location=milano")
        .await;
    let on_hand = position["items"][0]["on_hand"].as_i64().unwrap();
    let applied = usize::try_from(STOCK - on_hand).unwrap();
    assert!(
        applied >= acknowledged.len(),
        "{applied} applied, {} acknowledged",
        acknowledged.len()
    );

    // Every sender repeats what was not acknowledged to it, and for good measure what was.
    for order in 0..ORDERS {
        let id = format!("order-{order}");
        assert_eq!(
            post(&client, &running.url, &id, started, &sold, "stock.sold").await,
            Some(200)
        );
    }
    let position = running
        .get(&client, "positions?product=OIL&location=milano")
        .await;
    assert_eq!(
        position["items"][0]["on_hand"],
        STOCK - i64::try_from(ORDERS).unwrap()
    );

    // One alert, one message; a double only under the same key.
    let deadline = Clock::system().now() + jiff::SignedDuration::from_secs(120);
    loop {
        let deliveries = running.get(&client, "deliveries").await;
        let states: Vec<_> = deliveries["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d["state"].clone())
            .collect();
        if states == ["delivered"] {
            break;
        }
        assert!(Clock::system().now() < deadline, "{deliveries}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let alerts = running.get(&client, "alerts").await;
    assert_eq!(alerts["items"].as_array().unwrap().len(), 1);
    let received = vendor.received_requests().await.unwrap();
    let keys: BTreeSet<_> = received
        .iter()
        .map(|r| r.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 1);
    assert!(
        received.len() <= 4,
        "one more per kill at most: {}",
        received.len()
    );

    // The audit trail is whole, across every kill.
    let (mut rows, mut cursor) = (0, String::new());
    loop {
        let page = running
            .get(
                &client,
                &format!("ledger?product=OIL&location=milano&limit=100{cursor}"),
            )
            .await;
        rows += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(rows, ORDERS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_says_of_channels_what_was_known_before() {
    let vendor = MockServer::start().await;
    for (address, status) in [("/out", 204), ("/gone", 410)] {
        let answer = Mock::given(path(address)).respond_with(ResponseTemplate::new(status));
        answer.mount(&vendor).await;
    }
    let home = tempfile::tempdir().unwrap();
    let (data, file) = (home.path().join("data"), home.path().join("lotwire.toml"));
    let gone = format!(
        "[channels.gone]\nkind = \"webhook\"\nurl = \"{}/gone\"\nsecret = \"env:OUT\"\n[[routes]]",
        vendor.uri()
    );
    let document = config(&vendor.uri())
        .replace("[[routes]]", &gone)
        .replace("[\"out\"]", "[\"out\", \"gone\"]\nkinds = [\"low_stock\"]");
    std::fs::write(&file, document).unwrap();
    let client = crate::program::client();
    let running = Lotwire::start(&data, &file);
    let at = Clock::system().now();
    let stock = json!({ "sku": "OIL", "location": "milano", "on_hand": 1 });
    let posted = post(&client, &running.url, "one", at, &stock, "stock.level").await;
    assert_eq!(posted, Some(200));
    let limit = at + jiff::SignedDuration::from_secs(60);
    let before = loop {
        let status = running.get(&client, "status").await;
        let states = &status["deliveries"]["states"];
        let channels = status["channels"].as_array().unwrap();
        // That a channel is in trouble is written after what came of the message.
        let is_known = channels.iter().any(|it| it["live"] == false);
        if states["delivered"] == 1 && states["rejected"] == 1 && is_known {
            break status["channels"].clone();
        }
        assert!(Clock::system().now() < limit, "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let of = |name: &str| {
        let mut channels = before.as_array().unwrap().iter();
        channels.find(|it| it["name"] == name).unwrap()
    };
    assert!(of("out")["last_delivered"].is_string(), "{before}");
    assert_eq!(of("out")["live"], true);
    assert_eq!(
        (&of("gone")["live"], &of("gone")["last_delivered"]),
        (&json!(false), &json!(null))
    );
    drop(running);
    let again = Lotwire::start(&data, &file);
    let greeting = &again.program.greeting;
    assert!(greeting.contains("out (webhook): live"), "{greeting}");
    let known = "gone (webhook): not live: HTTP 410";
    assert!(greeting.contains(known), "{greeting}");
    // That one is down is told on the other, before the restart or after it.
    let settled = |mut channels: Value| {
        for channel in channels.as_array_mut().unwrap() {
            channel["waiting"].take();
            let delivered = channel["last_delivered"].is_string();
            channel["last_delivered"] = json!(delivered);
        }
        channels
    };
    let after = again.get(&client, "status").await["channels"].clone();
    assert_eq!(settled(after), settled(before.clone()));
}

/// Its vendor wants to be left alone for some seconds, in which the program is killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_when_it_was_killed_leaves_when_it_would_have() {
    let vendor = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "8");
    let busy = Mock::given(any()).respond_with(busy).up_to_n_times(1);
    busy.mount(&vendor).await;
    let taken = Mock::given(any()).respond_with(ResponseTemplate::new(204));
    taken.mount(&vendor).await;
    let home = tempfile::tempdir().unwrap();
    let (data, file) = (home.path().join("data"), home.path().join("lotwire.toml"));
    std::fs::write(&file, config(&vendor.uri())).unwrap();
    let client = crate::program::client();
    let mut running = Lotwire::start(&data, &file);
    let began = Clock::system().now();
    let stock = json!({ "sku": "OIL", "location": "milano", "on_hand": 1 });
    let posted = post(&client, &running.url, "one", began, &stock, "stock.level").await;
    assert_eq!(posted, Some(200));
    let until_has = async |running: &Lotwire, what: &str, seconds| loop {
        let deliveries = running.get(&client, "deliveries").await;
        let first = &deliveries["items"][0];
        let is_so = match what {
            "waits" => first["attempts"][0]["outcome"] == "retry",
            state => first["state"] == state,
        };
        if is_so {
            break;
        }
        let took = Clock::system().now().duration_since(began).as_secs();
        assert!(took < seconds, "{deliveries}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    until_has(&running, "waits", 30).await;
    running.program.kill();
    let running = Lotwire::start(&data, &file);
    until_has(&running, "delivered", 45).await;
}

/// The last of them is applied long after the first.
const ROWS: usize = 1_500;

fn with_files(drop: &Path) -> String {
    format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "warehouse"
[connectors.erp]
kind = "files"
url = {drop:?}
stable_for = "0s"
locations = {{ milano = "milano" }}
"#
    )
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// Waits until the program has stock of this item.
async fn until_there(running: &Lotwire, client: &reqwest::Client, row: usize) {
    let path = format!("positions?product=SKU-{row}&location=milano");
    let limit = Clock::system().now() + jiff::SignedDuration::from_secs(120);
    loop {
        let page = running.get(client, &path).await;
        if page["items"][0]["on_hand"] == 7 {
            return;
        }
        assert!(Clock::system().now() < limit, "{page}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A lease of two minutes, a file that is claimed and half a copy are left of the one that was killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_within_a_file_it_goes_on_with_it_at_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let [data, drop] = ["data", "drop"].map(|name| home.path().join(name));
    let file = home.path().join("lotwire.toml");
    std::fs::create_dir(&drop).unwrap();
    std::fs::write(&file, with_files(&drop)).unwrap();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let first = Lotwire::start(&data, &file);
    let rows: String = (0..ROWS).map(|n| format!("SKU-{n},milano,7\n")).collect();
    let text = format!("sku,location,on_hand\n{rows}");
    std::fs::write(drop.join("stock.csv"), text).unwrap();
    let started = client
        .post(format!("{}/api/v1/sync/erp", first.url))
        .bearer_auth(&first.token);
    assert_eq!(started.send().await.unwrap().status().as_u16(), 202);
    until_there(&first, &client, 0).await;
    std::mem::drop(first);
    let killed_at = Clock::system().now();
    let left = names(&data.join("scratch"));
    assert_eq!(left.len(), 1, "its copy: {left:?}");
    assert_eq!(
        names(&drop.join("processing")),
        BTreeSet::from(["stock.csv".to_owned()]),
        "it was killed within the file"
    );

    let second = Lotwire::start(&data, &file);
    assert!(names(&data.join("scratch")).is_disjoint(&left));
    until_there(&second, &client, ROWS - 1).await;
    // The lease of the run that was killed would have lasted longer.
    let took = Clock::system().now().duration_since(killed_at);
    assert!(took < jiff::SignedDuration::from_secs(85), "{took:#}");
    let limit = Clock::system().now() + jiff::SignedDuration::from_secs(60);
    while !names(&drop.join("processing")).is_empty() || !names(&data.join("scratch")).is_empty() {
        assert!(Clock::system().now() < limit, "it is put away");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(names(&drop.join("archive")).len(), 1);
}
