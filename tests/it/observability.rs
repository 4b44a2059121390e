//! What the stack says of itself: one id from the webhook to the vendor, every metric, and nothing that
//! is nobody's business.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use http::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::channels::ChannelKind;
use shared::config::environment::{ApiEnv, ClockEnv, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv};
use shared::delivery::outgoing::CORRELATION;
use shared::metrics::{Metric, STACK};
use shared::signature::standard;
use shared::store::keys;
use shared::store::quarantine::HeldState;

use crate::observed::{Behaviour, Observed, SECRETS, secret};

const FILES: &str = r#"
[connectors.erp]
kind = "files"
url = "{drop}"
glob = "*.csv"
locations = { milano = "milano" }
"#;

#[tokio::test(start_paused = true)]
async fn one_id_leads_from_the_webhook_to_the_vendors_request() {
    let mut observed = Observed::start("").await;
    observed.level("before", "OIL", 10).await;
    observed.pass(1).await;
    let answer = observed.level("crossing", "OIL", 2).await;
    let id = answer["received"].as_str().unwrap();
    observed.pass(1).await;

    let lines: Vec<_> = observed.logs.json();
    let mine = lines.iter().filter(|line| line["correlation"] == id);
    let told: BTreeSet<_> = mine
        .map(|line| {
            (
                line["span"].as_str().unwrap(),
                line["message"].as_str().unwrap(),
            )
        })
        .collect();
    for (function, span, message) in [
        ("ingest", "webhook", "webhook taken"),
        ("evaluate", "record", "an alert's revision is written"),
        ("notify", "delivery", "delivery attempted"),
    ] {
        assert!(told.contains(&(span, message)), "{function} in {told:#?}");
    }

    let store = &observed.stack.store;
    let of = keys::position_history(&"OIL".parse().unwrap(), &"milano".parse().unwrap());
    let ledger = store.history(&of, None, 10).await.unwrap().items;
    let named: Vec<_> = ledger.iter().map(|row| row.correlation.clone()).collect();
    assert_eq!(named.len(), 2);
    assert_eq!(named[1].as_ref().unwrap().as_str(), id);
    assert_ne!(named[0], named[1], "each webhook has its own");
    let path = "/api/v1/ledger?product=OIL&location=milano";
    let (_, shown) = observed.call(Method::GET, path, "").await;
    assert_eq!(shown["items"][1]["correlation"], id);

    let intents = store.intents(None, 10).await.unwrap().items;
    let [intent] = intents.as_slice() else {
        panic!("one intent, not {intents:?}");
    };
    let revision = store.revision(&intent.alert, 1).await.unwrap().unwrap();
    assert_eq!(revision.correlation.unwrap().as_str(), id);
    assert_eq!(intent.correlation().unwrap().as_str(), id);
    assert_eq!(intent.tries.len(), 1);
    let requests = observed.vendor.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].headers[CORRELATION], id);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_or_a_file_changes_carries_its_id_too() {
    let mut observed = Observed::start(FILES).await;
    let file = observed.drop.path().join("stock.csv");
    std::fs::write(&file, "sku,location,on_hand\nPAD,milano,2\n").unwrap();
    let (status, started) = observed.call(Method::POST, "/api/v1/sync/erp", "").await;
    assert_eq!(status, 202, "{started}");
    observed.pass(2).await;
    let sent = |observed: &Observed| {
        let requests = observed.vendor.requests();
        let last = requests
            .last()
            .unwrap_or_else(|| panic!("{}", observed.logs.text()));
        last.headers[CORRELATION].to_str().unwrap().to_owned()
    };
    assert!(sent(&observed).starts_with("erp/"), "{}", sent(&observed));

    let movement =
        json!({ "type": "count", "product": "OIL", "location": "milano", "quantity": 1 });
    let (status, answer) = observed
        .call(Method::POST, "/api/v1/movements", &movement.to_string())
        .await;
    assert!(status < 300, "{answer}");
    observed.pass(2).await;
    let id = sent(&observed);
    let calls = observed.logs.json();
    let of_the_call =
        |line: &&Value| line["span"] == "record" && line["correlation"] == id.as_str();
    assert!(calls.iter().any(|line| of_the_call(&line)), "{id}");
}

/// A channel that is told of several alerts at once.
const GATHERED: &str = r#"
[channels.gathered]
kind = "sendgrid"
api_key = "env:OUT"
from = "stock@example.com"
to = ["people@example.com"]
base_url = "https://vendor.example/gathered"
[[routes]]
name = "gathered"
group_by = []
channels = ["gathered"]
"#;

#[tokio::test(start_paused = true)]
async fn a_message_of_many_changes_names_none_of_them_and_each_alert_keeps_its_own() {
    let mut observed = Observed::start(GATHERED).await;
    let ids = [
        observed.level("l1", "OIL", 1).await,
        observed.level("l2", "PAD", 1).await,
    ];
    observed.pass(3).await;
    let mut requests = observed.vendor.requests();
    requests.retain(|request| request.url.path().starts_with("/gathered"));
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].headers.get(CORRELATION), None);
    let intents = observed.stack.store.intents(None, 10).await.unwrap().items;
    let carried = intents.iter().filter(|intent| intent.carried_by.is_some());
    let kept: BTreeSet<_> = carried
        .map(|intent| intent.correlation().unwrap().as_str())
        .collect();
    let ids = ids
        .iter()
        .map(|answer| answer["received"].as_str().unwrap());
    assert_eq!(kept, ids.collect());
    let samples = observed.samples();
    let latency = samples.iter().find(|sample| {
        let channel = sample.dimensions.get("Channel");
        sample.metric == "AlertLatencyMs" && channel.is_some_and(|name| name == "gathered")
    });
    // The half minute in which it waited for more is not counted.
    assert!(latency.unwrap().value < 10_000.0, "{latency:?}");
}

/// A day in which everything happens that is measured.
async fn eventful() -> Observed {
    let mut observed = Observed::start(FILES).await;
    observed.level("l1", "OIL", 10).await;
    observed.level("l1", "OIL", 10).await;
    let lost = json!({ "sku": "OIL", "location": "nowhere", "on_hand": 1 });
    observed.post("l2", "stock.level", lost).await;
    let file = observed.drop.path().join("stock.csv");
    std::fs::write(&file, "sku,location,on_hand\nPAD,milano,20\n").unwrap();
    observed.call(Method::POST, "/api/v1/sync/erp", "").await;
    observed.pass(2).await;

    // The vendor is down until its breaker opens, then back.
    observed.vendor.is(Behaviour::Answer(503, String::new()));
    for sku in ["A", "B", "C", "D", "E", "F"] {
        observed.level(sku, sku, 1).await;
    }
    observed.pass(3).await;
    observed.vendor.is(Behaviour::Take);
    observed.pass(15).await;

    // The topic loses what it is given; the clock finds it.
    observed.faults.topic_is_down.store(true, Ordering::SeqCst);
    observed.level("l3", "OIL", 1).await;
    observed.pass(1).await;
    observed.faults.topic_is_down.store(false, Ordering::SeqCst);
    observed.pass(4).await;

    // The stream gives a record up that nobody can read.
    observed.spoil("OIL").await;
    observed.pass(1).await;
    observed
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_recorded_with_the_dimensions_it_says() {
    let observed = eventful().await;
    let samples = observed.samples();
    for metric in Metric::ALL {
        let (name, _) = metric.name_and_unit();
        let mine: Vec<_> = samples
            .iter()
            .filter(|sample| sample.metric == name)
            .collect();
        assert!(!mine.is_empty(), "{name} was never recorded");
        let kept: BTreeSet<Vec<&str>> = mine
            .iter()
            .map(|sample| sample.dimensions.keys().map(String::as_str).collect())
            .collect();
        let said = [Some(metric.dimensions()), metric.summed_up_by()];
        let said = said.into_iter().flatten().map(|said| {
            let mut said = [said, &[STACK]].concat();
            said.sort_unstable();
            said
        });
        let said = said.collect();
        assert_eq!(kept, said, "{name}");
    }
    let values = |metric: &str, dimension: &str| -> BTreeSet<String> {
        let of = samples.iter().filter(|sample| sample.metric == metric);
        of.filter_map(|sample| sample.dimensions.get(dimension).cloned())
            .collect()
    };
    let functions = ["api", "clock", "evaluate", "ingest", "notify", "sync"];
    assert_eq!(
        values("CapacityUnits", "Function"),
        functions.map(String::from).into()
    );
    let states: BTreeSet<_> = samples
        .iter()
        .filter(|sample| sample.metric == "BreakerState")
        .map(|sample| format!("{}", sample.value))
        .collect();
    assert_eq!(states, ["0", "1", "2"].map(String::from).into());
    assert!(
        values("DeliveryOutcome", "Outcome")
            .is_superset(&["delivered", "retry"].map(String::from).into())
    );
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_as_late_as_the_stock_change_that_nobody_told_of() {
    let mut observed = Observed::start("").await;
    // The look at everything that a new configuration asks for would find it first.
    observed.pass(1).await;
    observed.faults.evaluator_runs(false);
    observed.level("l1", "OIL", 1).await;
    observed.pass(2).await;
    observed.faults.evaluator_runs(true);
    observed.pass(1).await;
    let samples = observed.samples();
    let latency: Vec<_> = samples
        .iter()
        .filter(|sample| sample.metric == "AlertLatencyMs" && sample.dimensions.len() == 1)
        .map(|sample| sample.value)
        .collect();
    assert_eq!(latency.len(), 1);
    assert!(
        (120_000.0..180_000.0).contains(&latency[0]),
        "from the webhook, not from the intent: {latency:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_that_holds_a_secret_shows_it_when_it_is_printed() {
    let given = |name: &str| {
        Some(match name {
            "TOPIC_ARN" => "arn:aws:sns:eu-south-1:111122223333:intents".to_owned(),
            "API_TOKEN" | "API_TOKEN_PREVIOUS" => "env:API".to_owned(),
            "HEARTBEAT_URL" => "https://monitor.example/ping/xMarkerMonitorKeyx".to_owned(),
            "SEND_TIMEOUT_MS" => "8000".to_owned(),
            "RAW_RETENTION_DAYS" => "30".to_owned(),
            name if name.ends_with("_URL") => "https://sqs.example/111122223333/q".to_owned(),
            "CHANNEL" => "webhook".to_owned(),
            name if ["STACK_NAME", "TABLE_NAME"].contains(&name) => "x".to_owned(),
            name => secret(name)?,
        })
    };
    let mut printed = vec![
        format!("{:?}", IngestEnv::read(given).unwrap()),
        format!("{:?}", SyncEnv::read(given).unwrap()),
        format!("{:?}", EvaluateEnv::read(given).unwrap()),
        format!("{:?}", ClockEnv::read(given).unwrap()),
        format!("{:?}", NotifyEnv::read(given).unwrap()),
        format!("{:?}", ApiEnv::read(given).unwrap()),
    ];
    // A variable that cannot be read is named; its value is not.
    let broken = |name: &str| (name != "TABLE_NAME").then(|| "xMarker broken\u{7}".to_owned());
    for error in [
        IngestEnv::read(broken).unwrap_err(),
        SyncEnv::read(broken).unwrap_err(),
        ApiEnv::read(broken).unwrap_err(),
        ClockEnv::read(broken).unwrap_err(),
    ] {
        printed.push(format!("{error} {error:?}"));
    }

    let mut observed = Observed::start(CHANNELS).await;
    observed.level("l1", "OIL", 1).await;
    observed.pass(1).await;
    let requests = observed.vendor.requests();
    assert_eq!(requests.len(), 4, "one of each kind");
    printed.extend(
        requests
            .iter()
            .map(|request| format!("{request:?} {request:#?}")),
    );
    let installation = observed.stack.installations.current().await.unwrap();
    printed.push(format!("{installation:?}"));
    for channel in installation.config.channels.values() {
        let settings = channel.settings().unwrap();
        printed.push(format!("{channel:?} {settings:?}"));
    }
    let stack = &observed.stack;
    printed.push(format!(
        "{:?} {:?} {:?}",
        stack.api, stack.sync, stack.evaluator
    ));
    let tokens = api::Tokens::known([SecretString::from(secret("API").unwrap())]);
    printed.push(format!("{tokens:?}"));
    let keys = [SecretString::from(secret("GENERIC").unwrap())];
    printed.push(format!("{:?} {keys:?}", standard::secrets(&keys).unwrap()));
    let text = toml::from_str::<toml::Table>("url = \"xMarkerSlackSecretx\"").unwrap();
    let wrong = ChannelKind::Slack.settings(text).unwrap_err();
    printed.push(format!("{wrong} {wrong:?}"));

    let leaks = leaks(printed.iter().map(|text| ("printed", text.as_str())));
    assert!(leaks.is_empty(), "{leaks:#?}");
}

/// What of it holds something that is nobody's business.
fn leaks<'a>(shown: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let markers = [
        "Marker",
        "MARKER",
        "AQIDBAUGBwgJ",
        "ICEiIyQlJicoKS",
        "393331112233",
        "marker.example",
    ];
    shown
        .flat_map(|(place, text)| text.lines().map(move |line| (place, line)))
        .filter(|(_, line)| markers.iter().any(|marker| line.contains(marker)))
        .collect()
}

/// One channel of each kind, beside the webhook.
const CHANNELS: &str = r#"
[channels.room]
kind = "slack"
url = "env:SLACK"
[channels.phone]
kind = "twilio_sms"
account_sid = "AC00000000000000000000000000000000"
auth_token = "env:TWILIO"
to = "+15005550009"
from = "+15005550006"
[channels.mail]
kind = "sendgrid"
api_key = "env:SENDGRID"
from = "stock@dealer.example"
to = ["buyer@dealer.example"]
[[routes]]
name = "everybody"
channels = ["room", "phone", "mail"]
"#;

/// A source of files, and a template that fails for one product.
const MORE: &str = r#"
[connectors.erp]
kind = "files"
url = "{drop}"
glob = "*.csv"
locations = { milano = "milano" }
[templates.low_stock]
text = "{% if sku == 'SKU-0' %}{{ sku + 1 }}{% endif %}{{ product }}"
"#;

/// What a customer would not want to find in a log.
const PERSONAL: [&str; 3] = ["Ada Marker-Lovelace", "+393331112233", "ada@marker.example"];

#[tokio::test(start_paused = true)]
async fn no_secret_and_nobodys_name_is_in_a_log_a_metric_or_an_answer() {
    let mut observed = Observed::start(&format!("{CHANNELS}{MORE}")).await;
    let mut answers = Vec::new();
    let everything = SECRETS
        .iter()
        .map(|(_, value)| *value)
        .chain(PERSONAL)
        .collect::<Vec<_>>()
        .join(" ");

    // Webhooks: forged, broken, and with a customer in every place where stock should stand.
    let forged = [
        ("webhook-id", "f1"),
        ("webhook-timestamp", "1768467600"),
        ("webhook-signature", "v1,xMarkerTwilioSecretx"),
        ("authorization", "Bearer xMarkerApiTokenx"),
    ];
    for path in [
        "/hooks/generic",
        "/hooks/none",
        "/hooks/generic?key=xMarkerTwilioSecretx",
    ] {
        answers.push(
            observed
                .request(Method::POST, path, &forged, &everything)
                .await,
        );
    }
    for (number, data) in [
        json!({ "sku": everything, "location": "milano", "on_hand": 1 }),
        json!({ "sku": "OIL", "location": everything, "on_hand": 1 }),
        json!({ "sku": "OIL", "location": "milano", "on_hand": everything }),
        json!({ "sku": "OIL", "location": PERSONAL[2], "on_hand": 1 }),
        json!({ "sku": "OIL", "location": PERSONAL[0], "on_hand": 1 }),
        json!({ "sku": "OIL", "location": "milano", "on_hand": PERSONAL[1] }),
        json!({ "sku": "OIL", "location": "milano", "on_hand": 1, "customer": { "name": PERSONAL[0], "phone": PERSONAL[1], "email": PERSONAL[2] } }),
        json!(everything),
        json!({ "vin": PERSONAL[0], "state": PERSONAL[1] }),
    ]
    .into_iter()
    .enumerate()
    {
        for kind in ["stock.level", "stock.sold", "unit.updated", "product.described", "odd"] {
            let id = format!("broken-{number}-{kind}");
            answers.push(observed.post(&id, kind, data.clone()).await);
        }
    }

    // The API: no token, a wrong one, broken bodies and queries.
    for token in ["", "Bearer xMarkerSlackSecretx", "Basic eE1hcmtlcg=="] {
        let headers = [("authorization", token)];
        answers.push(
            observed
                .request(Method::GET, "/api/v1/positions", &headers, "")
                .await,
        );
    }

    // A file with a customer where quantities should be.
    let file = observed.drop.path().join("stock.csv");
    let rows = format!(
        "sku,location,on_hand\nPAD,milano,{}\n{},milano,x\nBOLT,{},4\n",
        PERSONAL[0], PERSONAL[2], PERSONAL[1]
    );
    std::fs::write(&file, rows).unwrap();
    observed.call(Method::POST, "/api/v1/sync/erp", "").await;
    observed.pass(2).await;

    // Vendors that give everything back to us, and vendors that are not there.
    for (round, behaviour) in [
        Behaviour::Answer(401, everything.clone()),
        Behaviour::Answer(
            400,
            format!(
                "{{\"message\":\"{everything}\",\"errors\":[{{\"message\":\"{everything}\"}}]}}"
            ),
        ),
        Behaviour::Answer(400, PERSONAL.join(" ")),
        Behaviour::Answer(500, everything.clone()),
        Behaviour::Answer(200, everything.clone()),
        Behaviour::Unreachable,
        Behaviour::Take,
    ]
    .into_iter()
    .enumerate()
    {
        observed.vendor.is(behaviour);
        observed
            .level(&format!("low-{round}"), &format!("SKU-{round}"), 1)
            .await;
        observed.pass(2).await;
    }

    // Messages that are none.
    for queue in ["notify-webhook", "sync"] {
        let url = observed.aws.queues().find(queue).unwrap().url();
        let send = observed
            .aws
            .sqs()
            .send_message()
            .queue_url(url)
            .message_body(&everything);
        send.send().await.unwrap();
    }
    observed.pass(10).await;

    assert!(
        observed.vendor.requests().len() > 20,
        "every channel was asked"
    );
    let (log, metrics) = (observed.logs.text(), observed.metrics.text());
    assert!(log.lines().count() > 100);
    let mut shown = vec![("log".to_owned(), log), ("metrics".to_owned(), metrics)];
    for (status, answer) in answers {
        shown.push((format!("answer {status}"), answer.to_string()));
    }
    // What is held shows the row and quotes it, to people who have signed in; the reason goes further.
    let store = &observed.stack.store;
    let held = store
        .quarantined(HeldState::Open, None, 100)
        .await
        .unwrap()
        .items;
    assert!(held.len() >= 3, "{held:?}");
    shown.extend(
        held.into_iter()
            .map(|held| ("held".to_owned(), held.reason)),
    );
    for request in observed.vendor.requests() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        shown.push((format!("request to {}", request.host()), body));
    }
    for intent in observed.stack.store.intents(None, 100).await.unwrap().items {
        for attempt in intent.tries {
            // A vendor may name a recipient, to those who may read the attempt; never a secret.
            let detail = attempt.detail.unwrap_or_default();
            let detail = PERSONAL
                .iter()
                .fold(detail, |text, name| text.replace(name, ""));
            shown.push((format!("attempt {}", intent.channel), detail));
        }
    }
    let found = leaks(
        shown
            .iter()
            .map(|(place, text)| (place.as_str(), text.as_str())),
    );
    assert!(found.is_empty(), "{} leaks:\n{found:#?}", found.len());
}
