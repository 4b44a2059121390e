//! The functions as they are deployed: each with a table client, a role and an account of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::{Api, Ports, Tokens};
use async_trait::async_trait;
use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use clock::{Heartbeat, Ticker};
use evaluate::Evaluator;
use http::StatusCode;
use ingest::Ingest;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{
    EmbeddedAws, Function, Invocation, Pattern, Pump, QueueMapping, Settings, StreamMapping,
};
use lotwire::stack::resources::{self, TABLE};
use notify::Notifier;
use serde_json::{Value, json};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::channels::ChannelKind;
use shared::clock::Clock;
use shared::delivery::{Deliverer, Outgoing, Sender};
use shared::http::{Guard, Http, HttpSettings, Reply, Request, TransportError};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::run_queue::RunQueue;
use shared::secrets::{EXTENSION, Secrets};
use shared::signature::{HmacSha256, LiveSecrets};
use shared::store::received::{KEPT_DAYS, KeptBody, Received, ReceivedState, delivery_id};
use shared::store::spent::Units;
use shared::store::{Store, schema};
use tempfile::TempDir;

use crate::bench::{SECRET, event_signed};
use crate::roles::Deeds;

const SEND: Duration = Duration::from_secs(8);

/// A function's own way to the table.
pub(crate) struct Access {
    pub(crate) store: Store,
    pub(crate) deeds: Deeds,
}

impl Access {
    fn to(aws: &EmbeddedAws, seed: u64) -> Self {
        let deeds = Deeds::default();
        let client = deeds.noted_by(&aws.dynamodb());
        let store = Store::new(client, TABLE, aws.clock().clone(), Chance::seeded(seed));
        Self { store, deeds }
    }
}

/// All functions but the notifiers of other kinds, over one table.
pub(crate) struct Deployed {
    pub(crate) api: Access,
    pub(crate) ingest: Access,
    pub(crate) sync: Access,
    pub(crate) evaluate: Access,
    pub(crate) clock: Access,
    pub(crate) notify: Access,
    aws: EmbeddedAws,
    secrets: Arc<Secrets>,
    topic: String,
    folder: TempDir,
    /// Kept warm, as an instance is: the configuration is read once.
    warm: Warm,
}

#[derive(Default)]
struct Warm {
    ingest: OnceLock<Ingest>,
    ticker: OnceLock<Ticker>,
}

impl Deployed {
    pub(crate) fn new() -> Self {
        let time = Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap());
        let settings = Settings {
            clock: time.clone(),
            ..Settings::default()
        };
        let aws = EmbeddedAws::in_memory(settings).unwrap();
        let topic = resources::make(&aws).unwrap();
        let http = Http::new(HttpSettings {
            guard: Guard::new(Vec::new()),
            ..HttpSettings::default()
        });
        let secrets = Secrets::new(
            Box::new(|_| Some(SECRET.to_owned())),
            Arc::new(http.unwrap()),
            EXTENSION.parse().unwrap(),
            time,
        );
        Self {
            api: Access::to(&aws, 1),
            ingest: Access::to(&aws, 2),
            sync: Access::to(&aws, 3),
            evaluate: Access::to(&aws, 4),
            clock: Access::to(&aws, 5),
            notify: Access::to(&aws, 6),
            aws,
            secrets: Arc::new(secrets),
            topic,
            folder: tempfile::tempdir().unwrap(),
            warm: Warm::default(),
        }
    }

    /// Where the connector `erp` finds its files.
    pub(crate) fn drop_folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn now(&self) -> Timestamp {
        self.aws.clock().now()
    }

    fn in_a_minute(&self) -> Timestamp {
        self.now() + SignedDuration::from_mins(1)
    }

    fn silent(&self) -> Metrics {
        Metrics::to(std::io::sink(), self.aws.clock().clone())
    }

    fn ingest_over(&self, access: &Access) -> Ingest {
        let store = access.store.clone();
        let installations = Installations::new(store.clone());
        Ingest::new(
            store,
            installations,
            Arc::clone(&self.secrets),
            self.silent(),
        )
    }

    fn evaluator_over(&self, access: &Access) -> Evaluator {
        let store = access.store.clone();
        let bus = Bus::new(self.aws.sns(), self.topic.clone());
        Evaluator::new(store.clone(), bus, Installations::new(store), self.silent())
    }

    fn runs_of(&self, access: &Access) -> RunQueue {
        let queue = resources::queue_url(&self.aws, resources::SYNC_QUEUE).unwrap();
        RunQueue::new(access.store.clone(), self.aws.sqs(), queue)
    }

    /// The stream to the evaluator, and the queue of runs to the reader.
    pub(crate) fn stream_and_runs(&self) -> Pump {
        let evaluator = self.evaluator_over(&self.evaluate);
        let function = Function::new("evaluate", SEND, move |event, run: Invocation| {
            let evaluator = evaluator.clone();
            async move { Ok(evaluator.handle(event, run.deadline).await) }
        });
        let mut changes = StreamMapping::new(TABLE, function);
        changes.report_batch_item_failures = true;
        let filters = schema::evaluated_changes();
        changes.filters = filters.map(|it| Pattern::parse(&it).unwrap()).into();
        let sync = Arc::new(self.reader());
        let function = Function::new("sync", SEND, move |event, run: Invocation| {
            let sync = Arc::clone(&sync);
            async move { Ok(sync.jobs(event, run.deadline).await) }
        });
        let mut runs = QueueMapping::new(resources::SYNC_QUEUE, function);
        runs.report_batch_item_failures = true;
        let pump = Pump::builder(&self.aws).stream(changes).queue(runs);
        pump.start().unwrap()
    }

    /// The queues of signed webhooks and of mail to their notifiers: what a notifier does to the table is
    /// the same for all kinds, but that only people are told of several alerts at once.
    pub(crate) fn notifier(&self) -> Pump {
        let taken = Arc::new(Taken::default());
        let mut pump = Pump::builder(&self.aws);
        for kind in [ChannelKind::Webhook, ChannelKind::SendGrid] {
            let deliverer = Deliverer::new(
                self.notify.store.clone(),
                Installations::new(self.notify.store.clone()),
                Arc::clone(&self.secrets),
                Arc::clone(&taken) as Arc<dyn Outgoing>,
                self.silent(),
                SEND,
            );
            let queue = resources::notify_queue(kind);
            let url = resources::queue_url(&self.aws, &queue).unwrap();
            let clock = self.aws.clock().clone();
            let notifier = Arc::new(Notifier::new(deliverer, clock, self.aws.sqs(), url));
            let function = Function::new("notify", SEND * 3, move |event, run: Invocation| {
                let notifier = Arc::clone(&notifier);
                async move { Ok(notifier.handle(event, run.deadline).await) }
            });
            let mut intents = QueueMapping::new(queue, function);
            intents.report_batch_item_failures = true;
            pump = pump.queue(intents);
        }
        pump.start().unwrap()
    }

    fn reader(&self) -> sync::Sync {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).unwrap();
        sync::Sync {
            store: self.sync.store.clone(),
            queue: self.runs_of(&self.sync),
            installations: Installations::new(self.sync.store.clone()),
            secrets: Arc::clone(&self.secrets),
            client: reqwest::Client::builder().build().unwrap().into(),
            metrics: self.silent(),
            scratch,
        }
    }

    /// Some time later, a run of every source that is read.
    pub(crate) async fn read_everything(&self) {
        tokio::time::sleep(Duration::from_secs(120)).await;
        let reader = self.reader();
        let event = EventBridgeEvent::default();
        reader.schedule(event, self.in_a_minute()).await.unwrap();
    }

    /// A tick of the clock, this much later.
    pub(crate) async fn tick_after(&self, minutes: u64) {
        tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
        let ticker = self.warm.ticker.get_or_init(|| {
            let store = self.clock.store.clone();
            Ticker::new(
                store.clone(),
                Installations::new(store),
                Bus::new(self.aws.sns(), self.topic.clone()),
                Arc::new(self.evaluator_over(&self.clock)),
                Arc::new(self.ingest_over(&self.clock)),
                Heartbeat::metric_only(),
                self.silent(),
            )
        });
        let ticked = ticker.tick(EventBridgeEvent::default(), self.in_a_minute());
        ticked.await.unwrap();
    }

    /// A request to the API.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: Option<&str>) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let installations = Installations::new(self.api.store.clone());
        let ports = Ports {
            sync: Arc::new(self.runs_of(&self.api)),
            replay: Arc::new(self.ingest_over(&self.api)),
            ..Ports::default()
        };
        let tokens = Tokens::known(["open sesame".to_owned().into()]);
        let api = Api::new(self.api.store.clone(), installations, tokens, ports);
        let kind = if body.is_some_and(|body| body.starts_with('{')) {
            "application/json"
        } else if path.ends_with("imports") {
            "text/csv"
        } else {
            "application/toml"
        };
        let event = json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {
                "authorization": "Bearer open sesame",
                "content-type": kind,
                "idempotency-key": format!("{}-{body:?}", self.now()).replace(['"', ' ', '\n'], ""),
            },
            "requestContext": { "http": { "method": method, "path": path }, "timeEpoch": 0 },
            "body": body,
            "isBase64Encoded": false,
        });
        let response = api.handle(request(event), self.in_a_minute()).await;
        let answer = match &response.body {
            Some(Body::Text(text)) => serde_json::from_str(text).unwrap(),
            _ => Value::Null,
        };
        assert!(response.status_code < 300, "{method} {target}: {answer}");
        answer
    }

    /// A signed webhook to the connector `till`.
    pub(crate) async fn hook(&self, kind: &str, data: Value) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.hook_now(kind, data).await;
    }

    /// The same in the same moment as the one before.
    pub(crate) async fn hook_now(&self, kind: &str, data: Value) {
        let (headers, body) = self.signed(kind, data);
        self.post("till", kind, headers, body).await;
    }

    /// A signed webhook to the connector `till` that comes twice, and the record of the first is gone.
    pub(crate) async fn hook_repeated(&self, kind: &str, data: Value) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (headers, body) = self.signed(kind, data);
        self.post("till", kind, headers.clone(), body.clone()).await;
        let sent = headers.get("webhook-id").map(String::as_str);
        let id = delivery_id(&"till".parse().unwrap(), sent, body.as_bytes());
        let text = |text: String| AttributeValue::S(text);
        let forget = self.aws.dynamodb().delete_item().table_name(TABLE);
        let forget = forget.key("pk", text(format!("R#till#{id}")));
        let forget = forget.key("sk", text("head".to_owned()));
        forget.send().await.unwrap();
        self.post("till", kind, headers, body).await;
    }

    /// A signed webhook to the connector `shop`.
    pub(crate) async fn shop(&self, topic: &str, body: &Value) {
        let body = body.to_string();
        self.post("shop", topic, shop_headers(topic, &body), body)
            .await;
    }

    async fn post(
        &self,
        connector: &str,
        kind: &str,
        headers: BTreeMap<String, String>,
        body: String,
    ) {
        let path = format!("/hooks/{connector}");
        let event = json!({
            "version": "2.0",
            "rawPath": path,
            "headers": headers,
            "pathParameters": { "connector": connector },
            "requestContext": { "http": { "method": "POST", "path": path }, "timeEpoch": 0 },
            "body": body,
            "isBase64Encoded": false,
        });
        let ingest = self
            .warm
            .ingest
            .get_or_init(|| self.ingest_over(&self.ingest));
        let response = ingest.handle(request(event), self.in_a_minute()).await;
        assert_eq!(response.status_code, 200, "{kind}: {:?}", response.body);
    }

    /// A webhook whose function ended as soon as it had kept it.
    pub(crate) async fn hook_cut_short(&self, kind: &str, data: Value) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (headers, body) = self.signed(kind, data);
        self.keep("till", headers, &body).await;
    }

    /// The same of the connector `shop`.
    pub(crate) async fn shop_cut_short(&self, topic: &str, body: &Value) {
        let body = body.to_string();
        self.keep("shop", shop_headers(topic, &body), &body).await;
    }

    async fn keep(&self, connector: &str, headers: BTreeMap<String, String>, body: &str) {
        let connector = connector.parse().unwrap();
        let kept = KeptBody::of(body.as_bytes()).unwrap();
        let received = Received {
            id: delivery_id(
                &connector,
                headers.get("webhook-id").map(String::as_str),
                body.as_bytes(),
            ),
            connector,
            at: self.now(),
            method: "POST".to_owned(),
            headers,
            body: None,
            parts: kept.parts(),
            length: kept.length(),
            kept_days: KEPT_DAYS,
            state: ReceivedState::Waiting,
            again_at: None,
            tries: 0,
            held: Vec::new(),
        };
        self.ingest.store.receive(&received, kept).await.unwrap();
    }

    fn signed(&self, kind: &str, data: Value) -> (BTreeMap<String, String>, String) {
        let now = self.now();
        let id = format!("msg_{}", now.as_millisecond());
        let (headers, body) = event_signed(SECRET, &id, now, kind, &data);
        let headers = headers.map(|(name, value)| (name.to_owned(), value));
        (headers.into(), body)
    }

    /// What everybody has spent.
    pub(crate) fn spent(&self) -> Units {
        let all = [
            &self.api,
            &self.ingest,
            &self.sync,
            &self.evaluate,
            &self.clock,
            &self.notify,
        ];
        all.iter().fold(Units::default(), |sum, access| {
            let Units { read, write } = access.store.spent();
            Units {
                read: sum.read + read,
                write: sum.write + write,
            }
        })
    }
}

fn shop_headers(topic: &str, body: &str) -> BTreeMap<String, String> {
    let secrets = LiveSecrets::new(&[SECRET.into()]).unwrap();
    let scheme = HmacSha256::base64("x-shopify-hmac-sha256");
    let signature = scheme.sign(&[body.as_bytes()], &secrets);
    [
        ("x-shopify-hmac-sha256", signature),
        ("x-shopify-topic", topic.to_owned()),
        ("x-shopify-shop-domain", "example.myshopify.com".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn request(event: Value) -> ApiGatewayV2httpRequest {
    serde_json::from_value(event).unwrap()
}

/// A vendor who takes everything but the first.
#[derive(Default)]
struct Taken {
    asked_before: AtomicBool,
}

#[async_trait]
impl Outgoing for Taken {
    fn stands_in(&self) -> bool {
        true
    }

    async fn carry(&self, _: &Sender<'_>, _: Request) -> Result<Reply, TransportError> {
        let status = if self.asked_before.swap(true, Ordering::Relaxed) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        Ok(Reply::new(status, ""))
    }
}
