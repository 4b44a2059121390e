//! Every sample in `events/` does something: the functions' own handlers, in the environment of
//! `events/.env`, over the engine that `events/README.md` has started.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_tests::repository;
use aws_tests::samples::{ALERT, Samples, sign_anew};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::aws;
use shared::bus::Bus;
use shared::chance::Chance;
use shared::channels::ChannelKind;
use shared::clock::Clock;
use shared::config::environment::{ApiEnv, ClockEnv, EvaluateEnv, IngestEnv, NotifyEnv, SyncEnv};
use shared::delivery::{Deliverer, Wire};
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::Store;
use tokio::net::TcpListener;

/// The samples, in an order in which they make sense.
const SAMPLES: [&str; 22] = [
    "ingest/generic-stock-level",
    "ingest/generic-unit-updated",
    "ingest/shopify-product",
    "ingest/shopify-inventory-level",
    "ingest/shopify-order",
    "ingest/dealertrack-vehicle-sold",
    "api/count",
    "api/sale",
    "api/positions",
    "api/import-dry-run",
    "evaluate/position-falls",
    "evaluate/positions-batch",
    "evaluate/vehicle-claimed-twice",
    "evaluate/feed-suspect",
    "evaluate/configuration-applied",
    "evaluate/job-next-page",
    "evaluate/given-up",
    "notify/one-intent",
    "notify/poison",
    "clock/tick",
    "sync/tick",
    "sync/job",
];
/// The one that asks for another configuration.
const IN_XML: &str = "ingest/dealertrack-vehicle-event";

#[derive(Clone)]
struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// `events/.env`, with the engine elsewhere.
    fn read(endpoint: &str) -> Self {
        let text = std::fs::read_to_string(repository().join("events/.env")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut set: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        set.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.to_owned());
        Self(Arc::new(set))
    }

    fn get(&self) -> impl Fn(&str) -> Option<String> + Send + Sync + 'static {
        let set = Arc::clone(&self.0);
        move |name| set.get(name).cloned()
    }
}

/// What a function answers to an event, built as its `main` builds it.
async fn answered(environment: &Environment, function: &str, event: Value) -> Value {
    let get = environment.get();
    let aws = aws::config(&get).unwrap();
    let clock = Clock::system();
    let table = environment.0["TABLE_NAME"].clone();
    let store = Store::new(
        aws::dynamodb(&aws),
        table,
        clock.clone(),
        Chance::from_system(),
    );
    let installations = Installations::new(store.clone());
    let secrets = Secrets::in_lambda(Box::new(environment.get()), clock.clone()).unwrap();
    let secrets = Arc::new(secrets);
    let metrics = Metrics::to(std::io::sink(), clock.clone());
    let deadline = clock.now() + SignedDuration::from_mins(1);
    let evaluator = |topic: &str| {
        let bus = Bus::new(aws::sns(&aws), topic);
        evaluate::Evaluator::new(store.clone(), bus, installations.clone(), metrics.clone())
    };
    let ingest = || {
        let (store, installations) = (store.clone(), installations.clone());
        ingest::Ingest::new(store, installations, Arc::clone(&secrets), metrics.clone())
    };
    let from = |event: Value| serde_json::from_value(event).unwrap();
    match function {
        "ingest" => {
            let env = IngestEnv::read(&get).unwrap();
            let ingest = ingest().keeping(env.raw_retention_days);
            serde_json::to_value(ingest.handle(from(event), deadline).await).unwrap()
        }
        "api" => {
            let env = ApiEnv::read(&get).unwrap();
            let tokens = api::Tokens::referred(Arc::clone(&secrets), [env.token]);
            let ports = api::Ports {
                sync: Arc::new(RunQueue::new(store.clone(), aws::sqs(&aws), env.jobs)),
                replay: Arc::new(ingest()),
                ..api::Ports::default()
            };
            let api = api::Api::new(store.clone(), installations.clone(), tokens, ports)
                .with_intake(env.intake);
            serde_json::to_value(api.handle(from(event), deadline).await).unwrap()
        }
        "evaluate" => {
            let env = EvaluateEnv::read(&get).unwrap();
            let event = serde_json::from_value(event).unwrap();
            let answer = evaluator(env.topic.as_str()).invoked(event, deadline).await;
            serde_json::to_value(answer).unwrap()
        }
        "clock" => {
            let env = ClockEnv::read(&get).unwrap();
            let ticker = clock::Ticker::new(
                store.clone(),
                installations.clone(),
                Bus::new(aws::sns(&aws), env.topic.as_str()),
                Arc::new(evaluator(env.topic.as_str())),
                Arc::new(ingest()),
                clock::Heartbeat::metric_only(),
                metrics.clone(),
            );
            let event = serde_json::from_value(event).unwrap();
            ticker.tick(event, deadline).await.unwrap();
            Value::Null
        }
        "notify" => {
            let env = NotifyEnv::read(&get).unwrap();
            assert_eq!(env.channel, ChannelKind::Webhook);
            let wire = Http::new(HttpSettings {
                timeout: env.send_timeout,
                guard: Guard::new(env.allowed_hosts),
                ..HttpSettings::default()
            });
            let deliverer = Deliverer::new(
                store.clone(),
                installations.clone(),
                secrets,
                Arc::new(Wire(Arc::new(wire.unwrap()))),
                metrics.clone(),
                env.send_timeout,
            );
            let notifier = notify::Notifier::new(deliverer, clock, aws::sqs(&aws), env.queue);
            let event = serde_json::from_value(event).unwrap();
            serde_json::to_value(notifier.handle(event, deadline).await).unwrap()
        }
        "sync" => {
            let env = SyncEnv::read(&get).unwrap();
            let scratch = tempfile::tempdir().unwrap();
            let sync = sync::Sync {
                queue: RunQueue::new(store.clone(), aws::sqs(&aws), env.jobs),
                store: store.clone(),
                installations: installations.clone(),
                secrets,
                client: reqwest::Client::builder().build().unwrap().into(),
                metrics: metrics.clone(),
                scratch: scratch.path().to_owned(),
            };
            let event = serde_json::from_value(event).unwrap();
            serde_json::to_value(sync.handle(event, deadline).await.unwrap()).unwrap()
        }
        other => panic!("{other}"),
    }
}

/// Everything that a sample may have an effect on: rows, messages, and what the vendor was told.
async fn world(samples: &Samples) -> String {
    let rows = samples
        .aws
        .dynamodb()
        .scan()
        .table_name("lotwire")
        .send()
        .await;
    let mut rows: Vec<_> = rows
        .unwrap()
        .items()
        .iter()
        .map(|row| format!("{row:?}"))
        .collect();
    rows.sort();
    let queues = ["sync", "notify-webhook"].map(|queue| samples.aws.queues().find(queue).unwrap());
    let queued = queues.map(|queue| queue.bodies());
    format!(
        "{rows:?} {queued:?} {}",
        samples.vendor.seen("/buyers").len()
    )
}

async fn started(xml: bool) -> (Samples, Environment) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (
        Samples::serve(listener, xml).await,
        Environment::read(&endpoint),
    )
}

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(repository().join(format!("events/{name}.json"))).unwrap();
    let mut event: Value = serde_json::from_str(&text).unwrap();
    if name.starts_with("ingest/generic") {
        sign_anew(&mut event, name);
    }
    event
}

#[tokio::test]
async fn each_sample_is_taken_by_its_function_and_has_an_effect() {
    let (samples, environment) = started(false).await;
    let mut idle = Vec::new();
    for name in SAMPLES {
        let function = name.split('/').next().unwrap();
        let before = world(&samples).await;
        let answer = Box::pin(answered(&environment, function, sample(name))).await;
        let failed = answer["batchItemFailures"].as_array().map_or(0, Vec::len);
        assert_eq!(
            failed,
            usize::from(name == "notify/poison"),
            "{name}: {answer}"
        );
        if let Some(status) = answer["statusCode"].as_u64() {
            assert!(status < 300, "{name}: {answer}");
        }
        // Who only asks gets an answer; poison comes back.
        let asks = ["api/positions", "api/import-dry-run", "notify/poison"].contains(&name);
        if !asks && world(&samples).await == before {
            idle.push(name);
        }
        if name == "api/positions" {
            assert!(
                answer["body"].as_str().unwrap().contains("OIL-5W40-1L"),
                "{answer}"
            );
        }
    }
    assert!(idle.is_empty(), "without any effect: {idle:?}");
    assert_eq!(
        samples.vendor.seen("/buyers").len(),
        1,
        "{ALERT} is delivered"
    );
}

#[tokio::test]
async fn the_sample_in_xml_is_taken_with_its_own_configuration() {
    let (samples, environment) = started(true).await;
    let before = world(&samples).await;
    let answer = Box::pin(answered(&environment, "ingest", sample(IN_XML))).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_ne!(world(&samples).await, before);
}

#[test]
fn no_sample_is_forgotten() {
    let mut known: Vec<_> = SAMPLES.iter().map(|name| format!("{name}.json")).collect();
    known.push(format!("{IN_XML}.json"));
    known.sort();
    let mut there = Vec::new();
    for folder in std::fs::read_dir(repository().join("events")).unwrap() {
        let folder = folder.unwrap();
        for sample in std::fs::read_dir(folder.path()).into_iter().flatten() {
            let (folder, sample) = (folder.file_name(), sample.unwrap().file_name());
            let name = format!("{}/{}", folder.display(), sample.display());
            if name.ends_with(".json") {
                there.push(name);
            }
        }
    }
    there.sort();
    assert_eq!(there, known);
}

/// A signature that was good in time, which the file's own is not any more.
#[test]
fn a_sample_that_is_signed_anew_is_signed_as_of_now() {
    let event = sample("ingest/generic-stock-level");
    let at = event["headers"]["webhook-timestamp"].as_str().unwrap();
    let at = Timestamp::from_second(at.parse().unwrap()).unwrap();
    assert!(at.duration_until(Clock::system().now()) < SignedDuration::from_mins(1));
}
