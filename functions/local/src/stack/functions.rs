//! The handlers, built once, and the event-source mappings to them.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use jiff::{SignedDuration, Timestamp};
use notify::Notifier;
use secrecy::SecretString;
use shared::bus::Bus;
use shared::chance::Chance;
use shared::channels::ChannelKind;
use shared::delivery::{Deliverer, Outgoing};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::due::Due;
use shared::store::{Store, StoreError, schema};

use super::resources::{self, STREAM_FAILURES, SYNC_QUEUE, TABLE};
use crate::engine::{
    BoxError, EmbeddedAws, EngineError, Function, Invocation, Pattern, Pump, QueueMapping,
    Schedule, StreamMapping,
};
use crate::gateway::{Gateway, HttpFunction, RouteError};

/// How long a function may run.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a webhook's sender waits: an answer after that is an answer to nobody.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a vendor may take over one message.
const SLOWEST_SEND: Duration = Duration::from_secs(20);

/// How far ahead an intent may be due and still have been on a queue.
const LOOK_AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// What the stack is built from.
pub struct Parts {
    /// The embedded services.
    pub aws: EmbeddedAws,
    /// The dice.
    pub chance: Chance,
    /// Secrets by reference.
    pub secrets: Arc<Secrets>,
    /// Who carries requests to vendors.
    pub outgoing: Arc<dyn Outgoing>,
    /// Where metrics go.
    pub metrics: Metrics,
    /// The bearer token of the API.
    pub token: SecretString,
    /// For sources behind `https`; it must not follow redirects.
    pub downloads: reqwest::Client,
    /// Where files are kept while they are read.
    pub scratch: std::path::PathBuf,
}

/// The functions, connected.
pub struct Stack {
    /// The table.
    pub store: Store,
    /// The configuration in force.
    pub installations: Installations,
    /// The evaluator.
    pub evaluator: evaluate::Evaluator,
    /// Webhooks in.
    pub ingest: ingest::Ingest,
    /// Scheduled reads.
    pub sync: Arc<sync::Sync>,
    /// The API.
    pub api: api::Api,
    bus: Bus,
    ticker: Arc<clock::Ticker>,
    notifiers: Vec<(ChannelKind, Arc<Notifier>)>,
    aws: EmbeddedAws,
}

impl Stack {
    /// Makes the resources and builds the functions. Nothing runs yet.
    pub fn build(parts: Parts) -> Result<Self, EngineError> {
        let Parts {
            aws,
            chance,
            secrets,
            outgoing,
            metrics,
            token,
            downloads,
            scratch,
        } = parts;
        let topic = resources::make(&aws)?;
        let clock = aws.clock().clone();
        let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), chance);
        let installations = Installations::new(store.clone());
        let bus = Bus::new(aws.sns(), topic);
        let evaluator = evaluate::Evaluator::new(store.clone(), bus.clone(), installations.clone());
        let ingest = ingest::Ingest::new(
            store.clone(),
            installations.clone(),
            Arc::clone(&secrets),
            metrics.clone(),
        );
        let runs = RunQueue::new(
            store.clone(),
            aws.sqs(),
            resources::queue_url(&aws, SYNC_QUEUE)?,
        );
        let sync = Arc::new(sync::Sync {
            store: store.clone(),
            queue: runs.clone(),
            installations: installations.clone(),
            secrets: Arc::clone(&secrets),
            client: downloads,
            metrics: metrics.clone(),
            scratch,
        });
        let ports = api::Ports {
            sync: Arc::new(runs),
            replay: Arc::new(ingest.clone()),
        };
        let tokens = api::Tokens::known([token]);
        let api = api::Api::new(store.clone(), installations.clone(), tokens, ports);
        let ticker = Arc::new(clock::Ticker::new(
            store.clone(),
            installations.clone(),
            bus.clone(),
            Arc::new(evaluator.clone()),
            Arc::new(ingest.clone()),
            clock::Heartbeat::metric_only(),
            metrics.clone(),
        ));
        let mut notifiers = Vec::new();
        for kind in ChannelKind::ALL {
            let deliverer = Deliverer::new(
                store.clone(),
                installations.clone(),
                Arc::clone(&secrets),
                Arc::clone(&outgoing),
                metrics.clone(),
                SLOWEST_SEND,
            );
            let queue = resources::queue_url(&aws, &resources::notify_queue(*kind))?;
            let notifier = Notifier::new(deliverer, clock.clone(), aws.sqs(), queue);
            notifiers.push((*kind, Arc::new(notifier)));
        }
        Ok(Self {
            store,
            installations,
            evaluator,
            ingest,
            sync,
            api,
            bus,
            ticker,
            notifiers,
            aws,
        })
    }

    /// Connects the functions to the stream, the queues and the schedules, and lets them run.
    pub fn start(&self) -> Result<Pump, EngineError> {
        self.connect(vec![self.stream()])
    }

    /// As [`Stack::start`], with the stream in so many shards, each read by itself: changes of
    /// different partitions may overtake each other, as in any table of some size.
    pub fn start_sharded(&self, shards: u32) -> Result<Pump, EngineError> {
        let shard = |shard| StreamMapping {
            shard: Some((shard, shards)),
            ..self.stream()
        };
        self.connect((0..shards).map(shard).collect())
    }

    fn connect(&self, streams: Vec<StreamMapping>) -> Result<Pump, EngineError> {
        let mut pump = Pump::builder(&self.aws);
        for stream in streams {
            pump = pump.stream(stream);
        }
        pump = pump
            .queue(self.sync_jobs())
            .schedule(self.sync_schedule()?)
            .schedule(self.clock_schedule()?);
        for (kind, notifier) in &self.notifiers {
            pump = pump.queue(intents(*kind, notifier));
        }
        pump.start()
    }

    /// Announces again what was on the queues when the last run ended: they are in memory, and the
    /// clock would take a minute or two to notice.
    pub async fn announce_pending(&self) -> Result<usize, StoreError> {
        let by = self
            .store
            .clock()
            .now()
            .saturating_add(LOOK_AHEAD)
            .unwrap_or(Timestamp::MAX);
        let mut pending = Vec::new();
        for shard in Store::due_shards() {
            let mut cursor = None;
            loop {
                let page = self
                    .store
                    .due_page(shard, by, cursor.as_deref(), 100)
                    .await?;
                for key in &page.items {
                    if let Some(Due::Intent(intent)) = self.store.due(key, by).await? {
                        pending.push(intent.data);
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(self.bus.announce(&pending).await)
    }

    fn stream(&self) -> StreamMapping {
        let evaluator = self.evaluator.clone();
        let function = Function::new("evaluate", TIMEOUT, move |event, invocation: Invocation| {
            let evaluator = evaluator.clone();
            async move { Ok(evaluator.handle(event, invocation.deadline).await) }
        });
        let evaluated = serde_json::json!({
            "dynamodb": { "NewImage": { "t": { "S": schema::EVALUATED_KINDS } } }
        });
        let mut mapping = StreamMapping::new(TABLE, function);
        mapping.batch_size = 50;
        mapping.filters = Pattern::parse(&evaluated).into_iter().collect();
        mapping.report_batch_item_failures = true;
        mapping.bisect_batch_on_function_error = true;
        mapping.maximum_retry_attempts = Some(5);
        mapping.maximum_record_age = Some(Duration::from_secs(6 * 3600));
        mapping.on_failure = Some(STREAM_FAILURES.to_owned());
        mapping
    }

    fn sync_jobs(&self) -> QueueMapping {
        let sync = Arc::clone(&self.sync);
        let function = Function::new("sync", TIMEOUT, move |event, invocation: Invocation| {
            let sync = Arc::clone(&sync);
            async move { Ok(sync.jobs(event, invocation.deadline).await) }
        });
        let mut mapping = QueueMapping::new(SYNC_QUEUE, function);
        mapping.batch_size = 1;
        mapping.report_batch_item_failures = true;
        mapping
    }

    fn sync_schedule(&self) -> Result<Schedule, EngineError> {
        let sync = Arc::clone(&self.sync);
        schedule("sync", "rate(15 minutes)", move |event, deadline| {
            let sync = Arc::clone(&sync);
            async move { sync.schedule(event, deadline).await.map_err(BoxError::from) }
        })
    }

    fn clock_schedule(&self) -> Result<Schedule, EngineError> {
        let ticker = Arc::clone(&self.ticker);
        schedule("clock", "rate(1 minute)", move |event, deadline| {
            let ticker = Arc::clone(&ticker);
            async move {
                ticker.tick(event, deadline).await?;
                Ok(())
            }
        })
    }

    /// The HTTP API in front of the functions.
    pub fn gateway(&self) -> Result<Gateway, RouteError> {
        let ingest = self.ingest.clone();
        let hooks: HttpFunction = Function::new(
            "ingest",
            HOOK_TIMEOUT,
            move |request, invocation: Invocation| {
                let ingest = ingest.clone();
                async move { Ok(ingest.handle(request, invocation.deadline).await) }
            },
        );
        let api = self.api.clone();
        let api: HttpFunction =
            Function::new("api", TIMEOUT, move |request, invocation: Invocation| {
                let api = api.clone();
                async move { Ok(api.handle(request, invocation.deadline).await) }
            });
        Gateway::new(&self.aws)
            .route("ANY /hooks/{connector}", hooks)?
            .route("GET /healthz", api.clone())?
            .route("ANY /api/v1/{proxy+}", api)
    }
}

fn intents(kind: ChannelKind, notifier: &Arc<Notifier>) -> QueueMapping {
    let notifier = Arc::clone(notifier);
    let function = Function::new(
        format!("notify-{}", kind.name()),
        TIMEOUT,
        move |event, invocation: Invocation| {
            let notifier = Arc::clone(&notifier);
            async move { Ok(notifier.handle(event, invocation.deadline).await) }
        },
    );
    let mut mapping = QueueMapping::new(resources::notify_queue(kind), function);
    mapping.report_batch_item_failures = true;
    mapping
}

fn schedule<H, F>(name: &str, rate: &str, handler: H) -> Result<Schedule, EngineError>
where
    H: Fn(EventBridgeEvent, Timestamp) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let rate = rate.parse().map_err(|_| EngineError::Missing {
        wanted_by: format!("schedule {name}"),
        missing: format!("rate {rate}"),
    })?;
    Ok(Schedule {
        name: name.to_owned(),
        rate,
        function: Function::new(name, TIMEOUT, move |event, invocation: Invocation| {
            handler(event, invocation.deadline)
        }),
    })
}
