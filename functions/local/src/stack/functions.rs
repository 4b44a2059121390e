//! The handlers, built once, and the event-source mappings to them.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use jiff::{SignedDuration, Timestamp};
use notify::Notifier;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::channels::ChannelKind;
use shared::delivery::{Deliverer, Outgoing};
use shared::domain::ChannelName;
use shared::http::Downloads;
use shared::installation::{InstallationError, Installations};
use shared::metrics::{Meter, Metrics};
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::breakers::TroubleKind;
use shared::store::due::Due;
use shared::store::resend::Resend;
use shared::store::spent::Units;
use shared::store::{Store, schema};

use super::liveness::LivenessCheck;
use super::resources::{self, STREAM_FAILURES, SYNC_QUEUE, TABLE};
use crate::engine::{
    BoxError, EmbeddedAws, EngineError, Function, Invocation, Pattern, Pump, QueueMapping,
    Schedule, StreamMapping,
};
use crate::gateway::{Gateway, HttpFunction, INTEGRATION_TIMEOUT, RouteError};

/// How long a function may run.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a webhook's sender waits: an answer after that is an answer to nobody.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long whoever asks the API waits: less than the gateway does.
const API_TIMEOUT: Duration = Duration::from_secs(29);
const _: () = assert!(API_TIMEOUT.as_secs() < INTEGRATION_TIMEOUT.as_secs());
/// How long a vendor may take over one message.
const SLOWEST_SEND: Duration = Duration::from_secs(20);

/// How far ahead an intent may be due and still have been on a queue.
const LOOK_AHEAD: SignedDuration = SignedDuration::from_mins(16);

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
    pub downloads: Downloads,
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
    notifiers: Vec<(ChannelKind, Arc<Notifier>, Meter)>,
    meters: Meters,
    pub(super) aws: EmbeddedAws,
}

/// What one function has for itself, as on AWS: the configuration in its memory, and an account of
/// what it uses of the table.
struct Room {
    store: Store,
    installations: Installations,
    meter: Meter,
}

impl Room {
    fn new(function: &'static str, store: &Store, metrics: &Metrics) -> Self {
        let store = store.with_own_account();
        Self {
            installations: Installations::new(store.clone()),
            meter: Meter::new(function, store.clone(), metrics.clone()),
            store,
        }
    }
}

/// What each function uses, by function.
struct Meters {
    ingest: Meter,
    api: Meter,
    sync: Meter,
    evaluate: Meter,
    clock: Meter,
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
        let room = |function| Room::new(function, &store, &metrics);
        let evaluator_in = |room: &Room| {
            let installations = room.installations.clone();
            evaluate::Evaluator::new(
                room.store.clone(),
                bus.clone(),
                installations,
                metrics.clone(),
            )
        };
        let ingest_in = |room: &Room| {
            let installations = room.installations.clone();
            let secrets = Arc::clone(&secrets);
            ingest::Ingest::new(room.store.clone(), installations, secrets, metrics.clone())
        };
        let jobs = resources::queue_url(&aws, SYNC_QUEUE)?;
        let runs_in = |room: &Room| RunQueue::new(room.store.clone(), aws.sqs(), jobs.clone());

        let for_evaluate = room("evaluate");
        let evaluator = evaluator_in(&for_evaluate);
        let for_ingest = room("ingest");
        let ingest = ingest_in(&for_ingest);
        let for_sync = room("sync");
        let sync = Arc::new(sync::Sync {
            queue: runs_in(&for_sync),
            store: for_sync.store,
            installations: for_sync.installations,
            secrets: Arc::clone(&secrets),
            client: downloads,
            metrics: metrics.clone(),
            scratch,
        });
        let for_api = room("api");
        let ports = api::Ports {
            liveness: Arc::new(LivenessCheck {
                secrets: Arc::clone(&secrets),
                outgoing: Arc::clone(&outgoing),
                aws: aws.clone(),
            }),
            sync: Arc::new(runs_in(&for_api)),
            replay: Arc::new(ingest_in(&for_api)),
        };
        let tokens = api::Tokens::known([token]);
        let api = api::Api::new(for_api.store, for_api.installations, tokens, ports);
        let for_clock = room("clock");
        let ticker = Arc::new(clock::Ticker::new(
            for_clock.store.clone(),
            for_clock.installations.clone(),
            bus.clone(),
            Arc::new(evaluator_in(&for_clock)),
            Arc::new(ingest_in(&for_clock)),
            clock::Heartbeat::metric_only(),
            metrics.clone(),
        ));
        let meters = Meters {
            ingest: for_ingest.meter,
            api: for_api.meter,
            sync: for_sync.meter,
            evaluate: for_evaluate.meter,
            clock: for_clock.meter,
        };
        let mut notifiers = Vec::new();
        for kind in ChannelKind::ALL {
            let for_notify = room("notify");
            let deliverer = Deliverer::new(
                for_notify.store,
                for_notify.installations,
                Arc::clone(&secrets),
                Arc::clone(&outgoing),
                metrics.clone(),
                SLOWEST_SEND,
            );
            let queue = resources::queue_url(&aws, &resources::notify_queue(*kind))?;
            let notifier = Notifier::new(deliverer, clock.clone(), aws.sqs(), queue);
            notifiers.push((*kind, Arc::new(notifier), for_notify.meter));
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
            meters,
            aws,
        })
    }

    /// Keeps webhooks for this many days, to be applied again.
    #[must_use]
    pub fn keeping_webhooks(self, days: u16) -> Self {
        Self {
            ingest: self.ingest.keeping(days),
            ..self
        }
    }

    /// What all functions have used of the table so far.
    pub fn spent(&self) -> Units {
        let Meters {
            ingest,
            api,
            sync,
            evaluate,
            clock,
        } = &self.meters;
        let notifiers = self.notifiers.iter().map(|(_, _, meter)| meter);
        [ingest, api, sync, evaluate, clock]
            .into_iter()
            .chain(notifiers)
            .map(Meter::spent)
            .sum()
    }

    /// Connects the functions to the stream, the queues and the schedules, and lets them run.
    pub fn start(&self) -> Result<Pump, EngineError> {
        self.connect(self.lanes(&self.stream()))
    }

    /// The stream in two: what is there for the first time, by itself, so that nothing else waits while a first
    /// load of many thousands is evaluated.
    pub fn lanes(&self, whole: &StreamMapping) -> Vec<StreamMapping> {
        let [first, rest] = lanes();
        let lane = |lane, filters: Vec<Value>| StreamMapping {
            lane,
            filters: parsed(&filters),
            ..whole.clone()
        };
        // Of these the second goes on where the whole stream was read before.
        vec![lane(Some("first"), first), lane(None, rest)]
    }

    /// As [`Stack::start`], with the stream in so many shards, each read by itself: changes of
    /// different partitions may overtake each other, as in any table of some size.
    pub fn start_sharded(&self, shards: u32) -> Result<Pump, EngineError> {
        let shard = |shard| StreamMapping {
            shard: Some((shard, shards)),
            ..self.stream()
        };
        let shards = (0..shards).map(shard);
        self.connect(shards.flat_map(|shard| self.lanes(&shard)).collect())
    }

    fn connect(&self, streams: Vec<StreamMapping>) -> Result<Pump, EngineError> {
        let mut pump = Pump::builder(&self.aws);
        for stream in streams {
            pump = pump.stream(stream);
        }
        for queue in self.queues() {
            pump = pump.queue(queue);
        }
        pump.schedule(self.sync_schedule()?)
            .schedule(self.clock_schedule()?)
            .start()
    }

    /// The mappings of queues to functions.
    pub fn queues(&self) -> Vec<QueueMapping> {
        let notifiers = self.notifiers.iter();
        let intents = notifiers.map(|(kind, notifier, meter)| intents(*kind, notifier, meter));
        [self.given_up(), self.sync_jobs()]
            .into_iter()
            .chain(intents)
            .collect()
    }

    /// Has what a channel could not send while it was not live sent, now that it is.
    pub async fn catch_up(&self, channel: ChannelName) -> Result<(), InstallationError> {
        let trouble = self.store.destination(&channel).await?.trouble;
        if trouble.is_none_or(|trouble| trouble.kind != TroubleKind::NotLive) {
            return Ok(());
        }
        let what = Resend {
            channel,
            alert: None,
            cursor: None,
        };
        let installation = self.installations.current().await?;
        let until = Timestamp::MAX;
        let resent = self.store.resend(&what, &installation, until).await?;
        tracing::info!(channel = %what.channel, deliveries = resent.deliveries,
            "the channel is live: what is still open is sent");
        Ok(())
    }

    /// Announces again what was on the queues, or being sent, when the last run ended: queues are in
    /// memory, who was sending is gone, and the clock would take a minute or two to notice.
    pub async fn announce_pending(&self) -> Result<usize, InstallationError> {
        let installation = self.installations.current().await?;
        for channel in installation.config.channels.keys() {
            self.store.forget_probe(channel).await?;
        }
        let now = self.store.clock().now();
        let by = now.saturating_add(LOOK_AHEAD).unwrap_or(Timestamp::MAX);
        let mut pending = Vec::new();
        for shard in Store::due_shards() {
            let mut cursor = None;
            loop {
                let page = self
                    .store
                    .due_page(shard, by, cursor.as_deref(), 100)
                    .await?;
                for key in &page.items {
                    match self.store.due(key, by).await? {
                        // Its group is announced instead.
                        Some(Due::Intent(intent)) if intent.data.group.is_some() => {
                            let group = self.store.enroll(&intent.data).await?;
                            pending.extend(group.map(|group| group.intent(now)));
                        }
                        Some(Due::Intent(intent)) => {
                            pending.push(self.store.take_over(*intent).await?);
                        }
                        Some(Due::Unwritten(left)) => {
                            let written = self.store.write_intents(&left.key).await?;
                            for intent in written {
                                match self.store.enroll(&intent).await? {
                                    Some(group) => pending.push(group.intent(now)),
                                    None if intent.group.is_none() => pending.push(intent),
                                    None => {}
                                }
                            }
                        }
                        Some(Due::Group(group)) => pending.push(group.data.intent(now)),
                        _ => {}
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        // The topic knows no delay, and what comes too early is left to the clock. What was taken over is due
        // from then on.
        let now = self.store.clock().now();
        let (waiting, pending): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|it| it.not_before > now);
        for intent in &waiting {
            let mut notifiers = self.notifiers.iter();
            if let Some((_, notifier, _)) = notifiers.find(|it| it.0.name() == intent.kind) {
                let wait = intent.not_before.duration_since(now);
                notifier.put_back(&intent.into(), wait).await;
            }
        }
        Ok(waiting.len() + self.bus.announce(&pending).await)
    }

    /// The mapping of the table's stream to the evaluator.
    pub fn stream(&self) -> StreamMapping {
        let (evaluator, meter) = (self.evaluator.clone(), self.meters.evaluate.clone());
        let function = Function::new("evaluate", TIMEOUT, move |event, invocation: Invocation| {
            let (evaluator, meter) = (evaluator.clone(), meter.clone());
            async move {
                let handled = evaluator.handle(event, invocation.deadline);
                Ok(meter.measured(handled).await)
            }
        });
        let mut mapping = StreamMapping::new(TABLE, function);
        mapping.batch_size = 50;
        mapping.filters = parsed(&schema::evaluated_changes());
        mapping.report_batch_item_failures = true;
        mapping.bisect_batch_on_function_error = true;
        mapping.maximum_retry_attempts = Some(5);
        mapping.maximum_record_age = Some(Duration::from_secs(6 * 3600));
        mapping.on_failure = Some(STREAM_FAILURES.to_owned());
        mapping
    }

    fn given_up(&self) -> QueueMapping {
        let (evaluator, meter) = (self.evaluator.clone(), self.meters.evaluate.clone());
        let function = Function::new("evaluate", TIMEOUT, move |event, invocation: Invocation| {
            let (evaluator, meter) = (evaluator.clone(), meter.clone());
            async move {
                let handled = evaluator.given_up(event, invocation.deadline);
                Ok(meter.measured(handled).await)
            }
        });
        let mut mapping = QueueMapping::new(STREAM_FAILURES, function);
        mapping.report_batch_item_failures = true;
        mapping
    }

    fn sync_jobs(&self) -> QueueMapping {
        let (sync, meter) = (Arc::clone(&self.sync), self.meters.sync.clone());
        let function = Function::new("sync", TIMEOUT, move |event, invocation: Invocation| {
            let (sync, meter) = (Arc::clone(&sync), meter.clone());
            async move {
                let done = sync.jobs(event, invocation.deadline);
                Ok(meter.measured(done).await)
            }
        });
        let mut mapping = QueueMapping::new(SYNC_QUEUE, function);
        mapping.batch_size = 1;
        mapping.report_batch_item_failures = true;
        mapping
    }

    fn sync_schedule(&self) -> Result<Schedule, EngineError> {
        let (sync, meter) = (Arc::clone(&self.sync), self.meters.sync.clone());
        schedule("sync", "rate(15 minutes)", move |event, deadline| {
            let (sync, meter) = (Arc::clone(&sync), meter.clone());
            async move {
                let done = sync.schedule(event, deadline);
                meter.measured(done).await.map_err(BoxError::from)
            }
        })
    }

    fn clock_schedule(&self) -> Result<Schedule, EngineError> {
        let (ticker, meter) = (Arc::clone(&self.ticker), self.meters.clock.clone());
        schedule("clock", "rate(1 minute)", move |event, deadline| {
            let (ticker, meter) = (Arc::clone(&ticker), meter.clone());
            async move {
                meter.measured(ticker.tick(event, deadline)).await?;
                Ok(())
            }
        })
    }

    /// The HTTP API in front of the functions.
    pub fn gateway(&self) -> Result<Gateway, RouteError> {
        let (ingest, meter) = (self.ingest.clone(), self.meters.ingest.clone());
        let hooks: HttpFunction = Function::new(
            "ingest",
            HOOK_TIMEOUT,
            move |request, invocation: Invocation| {
                let (ingest, meter) = (ingest.clone(), meter.clone());
                async move {
                    let handled = ingest.handle(request, invocation.deadline);
                    Ok(meter.measured(handled).await)
                }
            },
        );
        let (api, meter) = (self.api.clone(), self.meters.api.clone());
        let api: HttpFunction = Function::new(
            "api",
            API_TIMEOUT,
            move |request, invocation: Invocation| {
                let (api, meter) = (api.clone(), meter.clone());
                async move {
                    let handled = api.handle(request, invocation.deadline);
                    Ok(meter.measured(handled).await)
                }
            },
        );
        Gateway::new(&self.aws)
            .route("ANY /hooks/{connector}", hooks)?
            .route("GET /healthz", api.clone())?
            .route("ANY /api/v1/{proxy+}", api)
    }
}

/// What the stream's two mappings take, which together take what the one of AWS does.
fn lanes() -> [Vec<Value>; 2] {
    const MANY: [&str; 2] = ["position", "product"];
    let of = |name: &str, kinds: &[&str]| json!({ "eventName": [name], "dynamodb": { "NewImage": { "t": { "S": kinds } } } });
    let [_, removed] = schema::evaluated_changes();
    let mut others = schema::EVALUATED_KINDS.to_vec();
    others.retain(|kind| !MANY.contains(kind));
    let rest = vec![
        of("MODIFY", &schema::EVALUATED_KINDS),
        of("INSERT", &others),
        removed,
    ];
    [vec![of("INSERT", &MANY)], rest]
}

fn parsed(filters: &[Value]) -> Vec<Pattern> {
    let filters = filters.iter().map(Pattern::parse);
    filters.filter_map(Result::ok).collect()
}

fn intents(kind: ChannelKind, notifier: &Arc<Notifier>, meter: &Meter) -> QueueMapping {
    let (notifier, meter) = (Arc::clone(notifier), meter.clone());
    let function = Function::new(
        format!("notify-{}", kind.name()),
        TIMEOUT,
        move |event, invocation: Invocation| {
            let (notifier, meter) = (Arc::clone(&notifier), meter.clone());
            async move {
                let handled = notifier.handle(event, invocation.deadline);
                Ok(meter.measured(handled).await)
            }
        },
    );
    let mut mapping = QueueMapping::new(resources::notify_queue(kind), function);
    mapping.batch_size = 5;
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
