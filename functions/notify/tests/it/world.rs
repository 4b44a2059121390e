//! A whole delivery in one process: the real table, and vendors that answer as they are told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_types::retry::RetryConfig;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{
    Call, EmbeddedAws, Function, Interference, Invocation, Pump, QueueMapping, Settings, Untouched,
    Verdict,
};
use lotwire::stack::resources::{self, TABLE};
use notify::Notifier;
use serde_json::json;
use shared::bus::{Bus, IntentRef};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::delivery::{Delivered, Deliverer, Outgoing, Wire};
use shared::domain::alert::{AlertState, Ending, RevisionKind, Severity};
use shared::domain::group::Belongs;
use shared::domain::message::{Message, Stock};
use shared::domain::watch::{Phase, Watch};
use shared::domain::{AlertKind, Subject};
use shared::http::{Reply, Request, Transport, TransportError};
use shared::installation::{InstallationError, Installations};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::alerts::{Alert, Announcement, Decision, Watched};
use shared::store::breakers::Destination;
use shared::store::due::Due;
use shared::store::intents::{Attempt, Intent, IntentState};
use shared::store::resend::{Resend, Resent};
use shared::store::{Expect, Store, StoreError};

/// The queue of the webhook channels' intents, and where its poison goes.
pub(crate) const QUEUE: &str = "notify-webhook";
pub(crate) const FAILURES: &str = lotwire::stack::resources::NOTIFY_FAILURES;
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// How long a vendor may take.
pub(crate) const SLOWEST: Duration = Duration::from_secs(8);

/// A request that reached a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) host: String,
    /// The idempotency key, where the vendor has one.
    pub(crate) key: String,
    pub(crate) at: Timestamp,
    pub(crate) body: String,
}

/// What a vendor does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(u16),
    After(u16, u32),
    /// One a second, and so many at once; 429 otherwise, asking for so many seconds if any.
    OneASecond {
        burst: u32,
        asks: Option<u32>,
    },
    Body(&'static str),
    /// Only after so long.
    Late(u16, Duration),
    /// It takes the request, and is never heard of again.
    Silence,
    /// The connection is lost after the request was sent.
    Lost,
}

/// Vendors by host. Each answers 200 after a moment, unless told otherwise.
pub(crate) struct Vendors {
    clock: Clock,
    seen: Mutex<Vec<Seen>>,
    next: Mutex<HashMap<String, VecDeque<Answer>>>,
    always: Mutex<HashMap<String, Answer>>,
    /// What each host that takes one a second has left, and since when.
    left: Mutex<HashMap<String, (f64, Timestamp)>>,
    latency: Duration,
}

impl Vendors {
    /// From now on, this is what the vendor does.
    pub(crate) fn always(&self, host: &str, answer: Answer) {
        self.always.lock().unwrap().insert(host.to_owned(), answer);
    }

    /// Before that, these, one after the other.
    pub(crate) fn first(&self, host: &str, answers: impl IntoIterator<Item = Answer>) {
        let mut next = self.next.lock().unwrap();
        next.entry(host.to_owned()).or_default().extend(answers);
    }

    pub(crate) fn seen(&self, host: &str) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.host == host)
            .cloned()
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

#[async_trait]
impl Transport for Vendors {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let host = request.host().to_owned();
        let key = request.headers.get("webhook-id");
        self.seen.lock().unwrap().push(Seen {
            host: host.clone(),
            key: key
                .map(|key| key.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            at: self.clock.now(),
            body: String::from_utf8(request.body.to_vec()).unwrap(),
        });
        let next = self
            .next
            .lock()
            .unwrap()
            .get_mut(&host)
            .and_then(VecDeque::pop_front);
        let answer = next.or_else(|| self.always.lock().unwrap().get(&host).cloned());
        tokio::time::sleep(self.latency).await;
        let status = |status| StatusCode::from_u16(status).unwrap();
        Ok(match answer {
            None => Reply::new(StatusCode::OK, "ok"),
            Some(Answer::Status(code)) => Reply::new(status(code), ""),
            Some(Answer::Late(code, wait)) => {
                tokio::time::sleep(wait).await;
                Reply::new(status(code), "")
            }
            Some(Answer::Body(body)) => Reply::new(StatusCode::OK, body),
            Some(Answer::OneASecond { burst, asks }) => {
                let now = self.clock.now();
                let mut all = self.left.lock().unwrap();
                let (left, since) = all.entry(host).or_insert((f64::from(burst), now));
                *left = f64::from(burst).min(*left + now.duration_since(*since).as_secs_f64());
                *since = now;
                if *left >= 1.0 {
                    *left -= 1.0;
                    return Ok(Reply::new(StatusCode::OK, "ok"));
                }
                let mut reply = Reply::new(StatusCode::TOO_MANY_REQUESTS, "");
                if let Some(seconds) = asks {
                    let seconds = seconds.to_string().parse().unwrap();
                    reply.headers.insert(http::header::RETRY_AFTER, seconds);
                }
                reply
            }
            Some(Answer::After(code, seconds)) => {
                let mut reply = Reply::new(status(code), "");
                let seconds = seconds.to_string().parse().unwrap();
                reply.headers.insert(http::header::RETRY_AFTER, seconds);
                reply
            }
            Some(Answer::Silence) => std::future::pending().await,
            Some(Answer::Lost) => {
                let reason = "connection reset".to_owned();
                return Err(TransportError::NoAnswer { host, reason });
            }
        })
    }
}

/// Makes every call to the table a point at which a process can end.
struct Yielding;

#[async_trait]
impl Interference for Yielding {
    async fn before(&self, _: &Call) -> Verdict {
        tokio::task::yield_now().await;
        Verdict::Proceed
    }

    async fn after(&self, _: &Call) -> Verdict {
        tokio::task::yield_now().await;
        Verdict::Proceed
    }
}

/// Once told to, holds up the call that follows the next lease, for far longer than leases last.
#[derive(Default)]
pub(crate) struct HeldUp {
    pub(crate) after_next_lease: AtomicBool,
    now: AtomicBool,
}

#[async_trait]
impl Interference for HeldUp {
    async fn before(&self, _: &Call) -> Verdict {
        if self.now.swap(false, SeqCst) {
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
        Verdict::Proceed
    }

    async fn after(&self, call: &Call) -> Verdict {
        if call.operation == "PutItem" && self.after_next_lease.swap(false, SeqCst) {
            self.now.store(true, SeqCst);
        }
        Verdict::Proceed
    }
}

/// Once told to, has one of the calls to the table fail.
#[derive(Default)]
pub(crate) struct Fails {
    /// How many calls there are until then, and with it.
    pub(crate) after: AtomicUsize,
}

#[async_trait]
impl Interference for Fails {
    async fn before(&self, _: &Call) -> Verdict {
        let left = self
            .after
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(1) => Verdict::ConnectionLost,
            _ => Verdict::Proceed,
        }
    }
}

/// Once told to, has each call to the table take this long, in milliseconds.
#[derive(Default)]
pub(crate) struct Slow {
    pub(crate) millis: AtomicU64,
}

#[async_trait]
impl Interference for Slow {
    async fn before(&self, _: &Call) -> Verdict {
        tokio::time::sleep(Duration::from_millis(self.millis.load(SeqCst))).await;
        Verdict::Proceed
    }
}

pub(crate) struct World {
    pub(crate) aws: EmbeddedAws,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// The topic that leads to the channels' queues.
    pub(crate) bus: Bus,
    pub(crate) vendors: Arc<Vendors>,
    /// The environment that secrets are read from.
    pub(crate) environment: Arc<Mutex<BTreeMap<String, String>>>,
    spoken_of: Mutex<Vec<String>>,
    /// What the next alerts say beside.
    pub(crate) notes: Mutex<Vec<String>>,
    /// As what it goes on of which the next ends are.
    pub(crate) renamed_to: Mutex<Option<&'static str>>,
}

/// A webhook channel for each name, at `<name>.example.com`, with these further lines.
pub(crate) fn webhooks(channels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, more) in channels {
        text.push_str(&format!(
            "[channels.{name}]\nkind = 'webhook'\nurl = 'https://{name}.example.com/hook'\n\
             secret = 'env:SECRET'\n{more}\n"
        ));
    }
    text
}

impl World {
    /// With these channels (TOML), on the runtime's clock.
    pub(crate) async fn new(channels: &str) -> Self {
        Self::over(channels, Arc::new(Untouched)).await
    }

    /// As [`World::new`], where every call to the table is a point at which a process can end.
    pub(crate) async fn yielding(channels: &str) -> Self {
        Self::over(channels, Arc::new(Yielding)).await
    }

    /// As [`World::new`], where a process can be held up.
    pub(crate) async fn with_hold_ups(channels: &str) -> (Self, Arc<HeldUp>) {
        let held_up = Arc::new(HeldUp::default());
        let world = Self::over(channels, Arc::clone(&held_up) as _).await;
        (world, held_up)
    }

    /// As [`World::new`], where a call to the table can fail.
    pub(crate) async fn with_failures(channels: &str) -> (Self, Arc<Fails>) {
        let fails = Arc::new(Fails::default());
        let world = Self::over(channels, Arc::clone(&fails) as _).await;
        (world, fails)
    }

    /// As [`World::new`], where the table can be slow.
    pub(crate) async fn with_slowness(channels: &str) -> (Self, Arc<Slow>) {
        let slow = Arc::new(Slow::default());
        let world = Self::over(channels, Arc::clone(&slow) as _).await;
        (world, slow)
    }

    async fn over(channels: &str, interference: Arc<dyn Interference>) -> Self {
        let clock = Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap());
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            interference,
            retries: RetryConfig::disabled(),
        })
        .unwrap();
        let topic = resources::make(&aws).unwrap();
        let store = Store::new(aws.dynamodb(), TABLE, clock.clone(), Chance::seeded(7));
        let bus = Bus::new(aws.sns(), topic);
        let vendors = Arc::new(Vendors {
            clock: clock.clone(),
            seen: Mutex::default(),
            next: Mutex::default(),
            always: Mutex::default(),
            left: Mutex::default(),
            latency: Duration::from_millis(40),
        });
        let environment = BTreeMap::from([("SECRET".to_owned(), SECRET.to_owned())]);
        let world = Self {
            spoken_of: Mutex::default(),
            notes: Mutex::default(),
            renamed_to: Mutex::default(),
            aws,
            clock,
            store,
            bus,
            vendors,
            environment: Arc::new(Mutex::new(environment)),
        };
        world.configure(channels).await;
        world
    }

    /// Applies a configuration with these channels.
    pub(crate) async fn configure(&self, channels: &str) {
        let text = format!(
            "[account]\nname = 'Northgate'\nzone = 'Europe/London'\ncurrency = 'EUR'\n\
             link_base = 'https://stock.example.com'\n\
             [locations.north]\nname = 'North'\nkind = 'warehouse'\n{channels}"
        );
        let config = Config::check(&text, "test.toml").unwrap_or_else(|e| panic!("{e}"));
        assert!(self.store.apply_config(&config, "test").await.unwrap());
    }

    /// A notifier's process: nothing in it is shared with another but the table.
    pub(crate) fn deliverer(&self) -> Deliverer {
        self.deliverer_over(Arc::new(Wire(self.vendors.clone())))
    }

    pub(crate) fn deliverer_over(&self, outgoing: Arc<dyn Outgoing>) -> Deliverer {
        let environment = self.environment.clone();
        let secrets = Secrets::new(
            Box::new(move |name| environment.lock().unwrap().get(name).cloned()),
            self.vendors.clone(),
            EXTENSION.parse().unwrap(),
            self.clock.clone(),
        );
        Deliverer::new(
            self.store.clone(),
            Installations::new(self.store.clone()),
            Arc::new(secrets),
            outgoing,
            Metrics::to(std::io::sink(), self.clock.clone()),
            SLOWEST,
        )
    }

    /// Sets a variable of the environment that secrets are read from, or takes it away.
    pub(crate) fn set(&self, variable: &str, value: Option<&str>) {
        let mut environment = self.environment.lock().unwrap();
        match value {
            Some(value) => environment.insert(variable.to_owned(), value.to_owned()),
            None => environment.remove(variable),
        };
    }

    pub(crate) async fn destination(&self, channel: &str) -> Destination {
        let channel = channel.parse().unwrap();
        self.store.destination(&channel).await.unwrap()
    }

    /// The intents that the clock would find overdue now.
    pub(crate) async fn due(&self) -> Vec<IntentRef> {
        let now = self.clock.now();
        let mut due = Vec::new();
        for shard in Store::due_shards() {
            let page = self.store.due_page(shard, now, None, 100).await.unwrap();
            for key in &page.items {
                if let Some(Due::Intent(stored)) = self.store.due(key, now).await.unwrap() {
                    due.push(IntentRef::from(&stored.data));
                }
            }
        }
        due
    }

    /// The notifier of the webhook channels.
    pub(crate) fn notifier(&self) -> Notifier {
        let queue = resources::queue_url(&self.aws, QUEUE).unwrap();
        Notifier::new(self.deliverer(), self.clock.clone(), self.aws.sqs(), queue)
    }

    /// The notifier behind its queue, running.
    pub(crate) fn notifying(&self) -> Pump {
        let notifier = Arc::new(self.notifier());
        let function = Function::new(
            "notify",
            Duration::from_secs(30),
            move |event, invocation: Invocation| {
                let notifier = notifier.clone();
                async move { Ok(notifier.handle(event, invocation.deadline).await) }
            },
        );
        let mut mapping = QueueMapping::new(QUEUE, function);
        mapping.report_batch_item_failures = true;
        Pump::builder(&self.aws).queue(mapping).start().unwrap()
    }

    /// What waits in a queue; it is taken out.
    pub(crate) async fn messages(&self, queue: &str) -> Vec<String> {
        let url = resources::queue_url(&self.aws, queue).unwrap();
        let sqs = self.aws.sqs();
        let received = sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10);
        let received = received.send().await.unwrap().messages.unwrap_or_default();
        received
            .into_iter()
            .filter_map(|message| message.body)
            .collect()
    }

    /// Announces an intent, as the evaluator does.
    pub(crate) async fn announce(&self, which: &IntentRef) {
        let intent = self.intent(which).await;
        assert_eq!(self.bus.announce(&[intent]).await, 1);
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(60)
    }

    /// Sends again what did not arrive, by the routes in force.
    pub(crate) async fn resend(&self, what: &Resend) -> Resent {
        self.tries_to_resend(what).await.unwrap()
    }

    pub(crate) async fn tries_to_resend(&self, what: &Resend) -> Result<Resent, StoreError> {
        let installations = Installations::new(self.store.clone());
        let installation = match installations.current().await {
            Err(InstallationError::Store(error)) => return Err(error),
            read => read.unwrap(),
        };
        self.store
            .resend(what, &installation, self.deadline())
            .await
    }

    /// One look at an intent, by a process of its own.
    pub(crate) async fn look(&self, which: &IntentRef) -> Delivered {
        let deliverer = self.deliverer();
        deliverer.deliver(which, self.deadline()).await.unwrap()
    }

    /// Looks again and again, each time when it is due, until the intent is settled.
    pub(crate) async fn drive(&self, which: &IntentRef) -> IntentState {
        let deliverer = self.deliverer();
        loop {
            match deliverer.deliver(which, self.deadline()).await.unwrap() {
                Delivered::Again(wait) => tokio::time::sleep(wait.unsigned_abs()).await,
                Delivered::Done(state) => return state,
                other => panic!("{which:?}: {other:?}"),
            }
        }
    }

    /// Opens an alert with one intent for each channel.
    pub(crate) async fn open(&self, alert: &str, channels: &[&str]) -> Vec<IntentRef> {
        let now = self.clock.now();
        self.open_due(alert, channels, now + SignedDuration::from_mins(1))
            .await
    }

    /// As [`World::open`]; the clock is to look after the intents at `due_at`.
    pub(crate) async fn open_due(
        &self,
        alert: &str,
        channels: &[&str],
        due_at: Timestamp,
    ) -> Vec<IntentRef> {
        self.write(alert, 1, RevisionKind::Opened, channels, due_at)
            .await
    }

    /// Opens an alert on a subject of which another alert has spoken.
    pub(crate) async fn open_after(
        &self,
        earlier: &str,
        alert: &str,
        channels: &[&str],
    ) -> Vec<IntentRef> {
        self.write_after(earlier, alert, 1, RevisionKind::Opened, channels)
            .await
    }

    /// Writes a revision that follows what was said of another alert.
    pub(crate) async fn write_after(
        &self,
        earlier: &str,
        alert: &str,
        revision: u32,
        change: RevisionKind,
        channels: &[&str],
    ) -> Vec<IntentRef> {
        *self.spoken_of.lock().unwrap() = vec![earlier.to_owned()];
        let due_at = self.clock.now() + SignedDuration::from_mins(1);
        let intents = self.write(alert, revision, change, channels, due_at).await;
        self.spoken_of.lock().unwrap().clear();
        intents
    }

    /// Has another alert open on the subject of this one, of which nothing is said.
    pub(crate) async fn breach(&self, id: &str) {
        let episode = json!({ "a": "another", "o": 0, "s": "warning" });
        let phase = Phase::Open(serde_json::from_value(episode).unwrap());
        self.alter_watch(id, |watch| watch.phase = phase).await;
    }

    /// Has the watch over the subject of this alert stand otherwise, of which nothing is said.
    pub(crate) async fn alter_watch(&self, id: &str, alter: impl FnOnce(&mut Watch)) {
        let (subject, kind) = about(id);
        let mut watches = self.store.watches(&subject).await.unwrap();
        watches.retain(|stored| stored.data.kind == kind);
        let stored = watches.remove(0);
        let mut watched = stored.data.clone();
        alter(&mut watched.watch);
        let decision = Decision {
            watched,
            expect: Expect::from_read(Some(&stored)),
            retold: Vec::new(),
            announcements: Vec::new(),
        };
        assert!(self.store.decide(decision).await.unwrap());
    }

    /// Writes the alert's second revision: it is over.
    pub(crate) async fn resolve(&self, alert: &str, channels: &[&str]) -> Vec<IntentRef> {
        let due_at = self.clock.now() + SignedDuration::from_mins(1);
        self.write(alert, 2, RevisionKind::Resolved, channels, due_at)
            .await
    }

    pub(crate) async fn write(
        &self,
        id: &str,
        revision: u32,
        change: RevisionKind,
        channels: &[&str],
        due_at: Timestamp,
    ) -> Vec<IntentRef> {
        let intents = self
            .write_in(None, id, revision, change, channels, due_at)
            .await;
        intents.iter().map(IntentRef::from).collect()
    }

    /// Writes a revision of an alert, to be told in this group.
    pub(crate) async fn write_in(
        &self,
        group: Option<&Belongs>,
        id: &str,
        revision: u32,
        change: RevisionKind,
        channels: &[&str],
        due_at: Timestamp,
    ) -> Vec<Intent> {
        let now = self.clock.now();
        let (subject, kind) = about(id);
        let intents: Vec<Intent> = channels
            .iter()
            .map(|channel| Intent {
                group: group.cloned().map(Box::new),
                follows: self.spoken_of.lock().unwrap().clone(),
                ..Intent::new(
                    id,
                    revision,
                    channel.parse().unwrap(),
                    "webhook",
                    now,
                    due_at,
                )
            })
            .collect();
        let mut watches = self.store.watches(&subject).await.unwrap();
        watches.retain(|stored| stored.data.kind == kind);
        let mut watch = Watch {
            evaluated: u64::from(revision).into(),
            ..Watch::default()
        };
        watch.speaks_of(id, now);
        if change != RevisionKind::Resolved {
            let episode = json!({ "a": id, "o": 0, "n": revision, "s": "warning" });
            watch.phase = Phase::Open(serde_json::from_value(episode).unwrap());
        }
        let known = match revision {
            1 => None,
            _ => self.store.alert(id).await.unwrap(),
        };
        let mut message = Message {
            notes: self.notes.lock().unwrap().clone(),
            ..message(id, revision, change, now)
        };
        if let Some(to) = *self.renamed_to.lock().unwrap() {
            message.ending = Some(Ending::Renamed);
            message.renamed_to = to.parse().ok();
        }
        let alert = Alert {
            id: id.to_owned(),
            kind,
            subject: subject.clone(),
            severity: severity(id),
            state: match change {
                RevisionKind::Resolved => AlertState::Resolved,
                _ => AlertState::Open,
            },
            revision,
            opened_at: now,
            updated_at: now,
            message,
            told: Vec::new(),
        };
        let decision = Decision {
            watched: Watched {
                subject,
                kind,
                watch,
                due: None,
                tries: 0,
            },
            expect: Expect::from_read(watches.first()),
            retold: Vec::new(),
            announcements: vec![Announcement {
                before: known.map(|alert| alert.message),
                alert,
                intents: intents.clone(),
            }],
        };
        assert!(self.store.decide(decision).await.unwrap());
        intents
    }

    pub(crate) async fn intent(&self, which: &IntentRef) -> Intent {
        let intents = self.store.intents_of(&which.alert).await.unwrap();
        let ours = |intent: &Intent| IntentRef::from(intent) == *which;
        intents.into_iter().find(ours).unwrap()
    }

    /// The ledger of one intent, in order.
    pub(crate) async fn attempts(&self, which: &IntentRef) -> Vec<Attempt> {
        self.intent(which).await.tries
    }

    /// What came of each attempt, in order.
    pub(crate) async fn outcomes(&self, which: &IntentRef) -> Vec<String> {
        let attempts = self.attempts(which).await;
        attempts
            .into_iter()
            .map(|attempt| attempt.outcome)
            .collect()
    }
}

/// What an alert of this id is about: `oil/out` tells that nothing is left of what `oil` and `oil/low` are
/// about, `oil/fast` and `oil/faster` that it sells fast, `oil/claimed` that two have it; `OIL@north/low` is about
/// a position; `erp/suspect`, `erp/stale` and `erp/held` are about a source.
fn about(id: &str) -> (Subject, AlertKind) {
    let (item, kind) = id.split_once('/').unwrap_or((id, "low"));
    let source = || Subject::Connector {
        connector: item.parse().unwrap(),
    };
    match kind {
        "suspect" => return (source(), AlertKind::FeedSuspect),
        "stale" => return (source(), AlertKind::FeedStale),
        "held" => {
            let subject = Subject::Quarantine {
                connector: item.parse().unwrap(),
                reason: "bad_row".to_owned(),
            };
            return (subject, AlertKind::Quarantine);
        }
        _ => {}
    }
    let vin = item.to_owned();
    let kind = match kind {
        "out" => AlertKind::OutOfStock,
        "fast" | "faster" => AlertKind::HighDemand,
        "claimed" => AlertKind::Conflict,
        _ => AlertKind::LowStock,
    };
    let subject = match item.split_once('@') {
        Some((product, location)) => Subject::Position {
            product: product.parse().unwrap(),
            location: location.parse().unwrap(),
        },
        None => Subject::Unit { vin },
    };
    (subject, kind)
}

/// How much an alert of this id matters.
fn severity(id: &str) -> Severity {
    match id.starts_with("grave") {
        true => Severity::Critical,
        false => Severity::Warning,
    }
}

fn message(alert: &str, revision: u32, change: RevisionKind, at: Timestamp) -> Message {
    let stock = |available| {
        Some(Stock {
            on_hand: available,
            available,
            ..Stock::default()
        })
    };
    let (subject, kind) = about(alert);
    Message {
        alert: alert.to_owned(),
        revision,
        correlation: None,
        change,
        kind,
        severity: severity(alert),
        subject,
        at,
        product: "Oil 5W-40".to_owned(),
        location: Some("North".to_owned()),
        zone: "Europe/London".to_owned(),
        before: stock(5),
        after: stock(2),
        threshold: Some(3),
        basis: None,
        rule: Some("oil".to_owned()),
        why: None,
        days_of_supply: None,
        sold: None,
        notes: Vec::new(),
        link: None,
        ending: None,
        renamed_to: None,
        renamed_name: None,
        digest: None,
    }
}

/// Ends a process at its `polls`-th suspension: what it had not done by then is never done.
pub(crate) async fn crash_after<F: Future>(polls: usize, process: F) -> Option<F::Output> {
    let mut process = pin!(process);
    let mut left = polls;
    std::future::poll_fn(|context| match process.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
