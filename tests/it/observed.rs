//! The whole stack on a virtual clock, with its logs and metrics kept, and a vendor that does as told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use lotwire::engine::{Call, EmbeddedAws, Interference, Pump, RunId, Service, Settings, Verdict};
use lotwire::stack::resources::TABLE;
use lotwire::stack::{Parts, Stack};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::delivery::{Outgoing, Sender};
use shared::http::{Reply, Request, Transport, TransportError};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::telemetry;
use shared::testing::Captured;
use tokio::sync::watch;
use tracing::subscriber::DefaultGuard;

use crate::bench::event_signed;

/// What the environment holds; each is told apart from everything else that may be written.
pub(crate) const SECRETS: [(&str, &str); 6] = [
    (
        "GENERIC",
        "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
    ),
    ("OUT", "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="),
    (
        "SLACK",
        "https://hooks.slack.com/services/T0MARKER/B0MARKER/xMarkerSlackSecretx",
    ),
    ("TWILIO", "xMarkerTwilioSecretx"),
    ("SENDGRID", "SG.xMarkerSendgridSecretx"),
    ("API", "xMarkerApiTokenx"),
];

pub(crate) fn secret(name: &str) -> Option<String> {
    let mut known = SECRETS.iter();
    known
        .find(|(key, _)| *key == name)
        .map(|(_, value)| (*value).to_owned())
}

/// Secrets that were changed since the start, and what was read.
#[derive(Default)]
pub(crate) struct Vault {
    pub(crate) changed: Mutex<BTreeMap<&'static str, &'static str>>,
    pub(crate) read: Mutex<Vec<String>>,
}

impl Vault {
    fn read(&self, name: &str) -> Option<String> {
        self.read.lock().unwrap().push(name.to_owned());
        let changed = self.changed.lock().unwrap().get(name).copied();
        changed.map(str::to_owned).or_else(|| secret(name))
    }
}

/// What the vendors do.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    Take,
    TakeAfter(Duration),
    Answer(u16, String),
    Unreachable,
}

/// All vendors in one.
#[derive(Clone)]
pub(crate) struct Vendor {
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Vendor {
    pub(crate) fn is(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Outgoing for Vendor {
    fn stands_in(&self) -> bool {
        false
    }

    async fn carry(&self, sender: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        let behaviour = self.behaviour.lock().unwrap().clone();
        self.requests.lock().unwrap().push(request.clone());
        match behaviour {
            Behaviour::Take => Ok((sender.accepted)(&request)),
            Behaviour::TakeAfter(time) => {
                tokio::time::sleep(time).await;
                Ok((sender.accepted)(&request))
            }
            Behaviour::Answer(status, body) => {
                Ok(Reply::new(StatusCode::from_u16(status).unwrap(), body))
            }
            Behaviour::Unreachable => Err(TransportError::NotSent {
                host: request.host().to_owned(),
                reason: "connection refused".to_owned(),
            }),
        }
    }
}

/// What goes wrong inside AWS.
pub(crate) struct Faults {
    /// The topic takes nothing.
    pub(crate) topic_is_down: AtomicBool,
    /// The evaluator's process dies as soon as it asks for anything.
    pub(crate) evaluator_crashes: AtomicBool,
    /// How long the table takes for each call while a webhook is taken, in milliseconds.
    pub(crate) webhooks_wait: AtomicU64,
    evaluator_runs: watch::Sender<bool>,
}

impl Faults {
    /// Lambda does not get to run the evaluator, or does again.
    pub(crate) fn evaluator_runs(&self, runs: bool) {
        self.evaluator_runs.send_replace(runs);
    }
}

#[async_trait]
impl Interference for Faults {
    async fn before(&self, call: &Call) -> Verdict {
        if call.service == Service::Lambda && call.operation == "evaluate" {
            let mut runs = self.evaluator_runs.subscribe();
            drop(runs.wait_for(|runs| *runs).await);
        }
        let evaluating = |run: &RunId| &*run.function == "evaluate";
        if call.run.as_ref().is_some_and(evaluating)
            && self.evaluator_crashes.load(Ordering::SeqCst)
        {
            return Verdict::Crash;
        }
        let taking = |run: &RunId| &*run.function == "ingest";
        if call.run.as_ref().is_some_and(taking) {
            let wait = self.webhooks_wait.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        if call.service == Service::Sns && self.topic_is_down.load(Ordering::SeqCst) {
            return Verdict::ConnectionLost;
        }
        Verdict::Proceed
    }
}

/// No call ever leaves over this.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        Err(TransportError::NotSent {
            host: request.host().to_owned(),
            reason: "there is no network here".to_owned(),
        })
    }
}

/// A number as CloudWatch keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) dimensions: BTreeMap<String, String>,
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
}

pub(crate) struct Observed {
    pub(crate) stack: Stack,
    pub(crate) aws: EmbeddedAws,
    pub(crate) clock: Clock,
    pub(crate) vendor: Vendor,
    pub(crate) faults: Arc<Faults>,
    pub(crate) logs: Captured,
    pub(crate) metrics: Captured,
    pub(crate) drop: tempfile::TempDir,
    pub(crate) vault: Arc<Vault>,
    queue_samples: Vec<Sample>,
    dead_since: BTreeMap<String, Timestamp>,
    pump: Option<Pump>,
    _scratch: tempfile::TempDir,
    _subscriber: DefaultGuard,
}

impl Observed {
    /// Starts it all. `more` is added to the configuration; `{drop}` there is a folder for files.
    pub(crate) async fn start(more: &str) -> Self {
        let logs = Captured::default();
        let writer = logs.clone();
        let start: Timestamp = "2026-01-15T09:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(start);
        let all = "trace".parse().unwrap();
        let subscriber = telemetry::in_lambda(move || writer.clone(), &all, clock.clone());
        let subscriber = tracing::subscriber::set_default(subscriber);

        let faults = Arc::new(Faults {
            topic_is_down: AtomicBool::new(false),
            evaluator_crashes: AtomicBool::new(false),
            webhooks_wait: AtomicU64::new(0),
            evaluator_runs: watch::Sender::new(true),
        });
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            interference: Arc::clone(&faults) as _,
            ..Settings::default()
        })
        .unwrap();
        let vendor = Vendor {
            behaviour: Arc::new(Mutex::new(Behaviour::Take)),
            requests: Arc::default(),
        };
        let vault = Arc::new(Vault::default());
        let kept = Arc::clone(&vault);
        let secrets = Secrets::new(
            Box::new(move |name| kept.read(name)),
            Arc::new(Nowhere),
            EXTENSION.parse().unwrap(),
            clock.clone(),
        );
        let metrics = Captured::default();
        let (scratch, drop) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let stack = Stack::build(Parts {
            aws: aws.clone(),
            chance: Chance::seeded(23),
            secrets: Arc::new(secrets),
            outgoing: Arc::new(vendor.clone()),
            metrics: Metrics::to(metrics.clone(), clock.clone()),
            token: SecretString::from(secret("API").unwrap()),
            downloads: reqwest::Client::builder().build().unwrap().into(),
            scratch: scratch.path().to_owned(),
        })
        .unwrap();
        configure(&stack, &drop, more).await;
        let pump = stack.start().unwrap();
        Self {
            stack,
            aws,
            clock,
            vendor,
            faults,
            logs,
            metrics,
            drop,
            vault,
            queue_samples: Vec::new(),
            dead_since: BTreeMap::new(),
            pump: Some(pump),
            _scratch: scratch,
            _subscriber: subscriber,
        }
    }

    /// Applies a configuration with something else added to it.
    pub(crate) async fn configure(&self, more: &str) {
        configure(&self.stack, &self.drop, more).await;
    }

    /// Posts a signed event of the generic connector.
    pub(crate) async fn post(&self, id: &str, kind: &str, data: Value) -> (u16, Value) {
        let now = self.clock.now();
        let (headers, body) = event_signed(&secret("GENERIC").unwrap(), id, now, kind, &data);
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.request(Method::POST, "/hooks/generic", &headers, &body)
            .await
    }

    /// States a level, which the table takes.
    pub(crate) async fn level(&self, id: &str, sku: &str, on_hand: i64) -> Value {
        let data = json!({ "sku": sku, "location": "milano", "on_hand": on_hand });
        let (status, answer) = self.post(id, "stock.level", data).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Calls the API with the right token.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let token = format!("Bearer {}", secret("API").unwrap());
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", "call"),
        ];
        self.request(method, path, &headers, body).await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let mut request = http::Request::builder().method(method).uri(path);
        let known: &mut HeaderMap = request.headers_mut().unwrap();
        for (name, value) in headers {
            known.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let gateway = self.stack.gateway().unwrap();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let response = gateway.answer(parts, address, body.to_owned().into()).await;
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// Makes of a position's row what no version of this program has written.
    pub(crate) async fn spoil(&self, sku: &str) {
        let key = |text: String| AttributeValue::S(text);
        let (pk, sk) = (key(format!("P#{sku}")), key("L#milano#position".to_owned()));
        let table = self.aws.dynamodb();
        let get = table
            .get_item()
            .table_name(TABLE)
            .key("pk", pk)
            .key("sk", sk);
        let mut row = get.send().await.unwrap().item.unwrap();
        row.insert("d".to_owned(), key("not a position".to_owned()));
        let put = table.put_item().table_name(TABLE).set_item(Some(row));
        put.send().await.unwrap();
    }

    /// Lets time pass, a minute at a time, and looks at the queues as CloudWatch does.
    pub(crate) async fn pass(&mut self, minutes: u32) {
        for _ in 0..minutes {
            tokio::time::sleep(Duration::from_secs(60)).await;
            self.look_at_queues().await;
        }
    }

    /// Nothing runs any more.
    pub(crate) fn stop(&mut self) {
        self.pump = None;
    }

    /// Days go by in which nothing runs.
    pub(crate) async fn days_later(&mut self, days: u64) {
        self.stop();
        tokio::time::advance(Duration::from_secs(days * 24 * 3_600)).await;
        self.look_at_queues().await;
    }

    async fn look_at_queues(&mut self) {
        let now = self.clock.now();
        for queue in DEAD_LETTERS {
            let url = self.aws.queues().find(queue).unwrap().url();
            let names = [
                QueueAttributeName::ApproximateNumberOfMessages,
                QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            ];
            let asked = self.aws.sqs().get_queue_attributes().queue_url(url);
            let known = asked.set_attribute_names(Some(names.to_vec())).send();
            let known = known.await.unwrap().attributes.unwrap();
            let [count, in_flight] = names.map(|name| known[&name].parse::<f64>().unwrap());
            let age = if count + in_flight > 0.0 {
                let since = *self.dead_since.entry(queue.to_owned()).or_insert(now);
                now.duration_since(since).as_secs_f64()
            } else {
                self.dead_since.remove(queue);
                0.0
            };
            for (metric, value) in [
                ("ApproximateNumberOfMessagesVisible", count),
                ("ApproximateAgeOfOldestMessage", age),
            ] {
                self.queue_samples.push(Sample {
                    namespace: "AWS/SQS".to_owned(),
                    metric: metric.to_owned(),
                    dimensions: [("QueueName".to_owned(), queue.to_owned())].into(),
                    at: now,
                    value,
                });
            }
        }
    }

    /// Everything that CloudWatch would know.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples = self.queue_samples.clone();
        for line in self.metrics.json() {
            let at = line["_aws"]["Timestamp"].as_i64().unwrap();
            let at = Timestamp::from_millisecond(at).unwrap();
            for kept in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                let metric = kept["Metrics"][0]["Name"].as_str().unwrap();
                for keys in kept["Dimensions"].as_array().unwrap() {
                    let keys = keys.as_array().unwrap().iter();
                    let keys = keys.map(|key| key.as_str().unwrap().to_owned());
                    samples.push(Sample {
                        namespace: kept["Namespace"].as_str().unwrap().to_owned(),
                        metric: metric.to_owned(),
                        dimensions: keys
                            .map(|key| (key.clone(), line[&key].as_str().unwrap().to_owned()))
                            .collect(),
                        at,
                        value: line[metric].as_f64().unwrap(),
                    });
                }
            }
        }
        samples
    }
}

/// The dead-letter queues, by their local names.
const DEAD_LETTERS: [&str; 3] = ["sync-failures", "evaluate-failures", "notify-failures"];

async fn configure(stack: &Stack, drop: &tempfile::TempDir, more: &str) {
    let folder = drop.path().display().to_string();
    let config = format!("{CONFIG}{}", more.replace("{drop}", &folder));
    let config = Config::check(&config, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    stack.store.apply_config(&config, "test").await.unwrap();
}

const CONFIG: &str = r#"
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
url = "https://vendor.example/out"
secret = "env:OUT"
[[routes]]
name = "all"
channels = ["out"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
"#;
