//! One intent, from its lease to its record: what every channel shares.
//!
//! The lease keeps parallel notifiers from one intent. The try and the intent's next state are
//! one write after the call; a notifier that crashes in between leaves its lease to
//! run out, and whoever comes next sends under the same key. Nothing here looks at another
//! channel.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tracing::Span;

use super::breaker::{Change, Pass, Turn};
use super::errand::{Errand, Prepared};
use super::links::Links;
use super::outgoing::Line;
use super::pace::{Paces, TooFar};
use super::trouble::{Lately, quoted, unreached_in_words, unreached_since};
use super::verdict::{self, due_after, later};
use super::wording::Wording;
use super::{Exchange, Outcome, Outgoing, Party, Sender, backoff, exchange};
use crate::bus::IntentRef;
use crate::channels::Envelope;
use crate::domain::Correlation;
use crate::domain::group::FlushId;
use crate::domain::id::ChannelName;
use crate::domain::watch::Moment;
use crate::http::{Request, mask_words};
use crate::installation::{InstallationError, Installations};
use crate::metrics::{Metric, Metrics};
use crate::secrets::Secrets;
use crate::store::breakers::{Fate, TroubleKind, Undelivered};
use crate::store::intents::{Attempt, Intent, IntentState, Lease};
use crate::store::{Store, StoreError, Stored};

/// The longest wait for a channel's turn; a turn further away is left to the queue, so that a channel with
/// many messages to come holds up no other of its kind.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);

/// What recording an attempt may take.
pub(super) const RECORDING: SignedDuration = SignedDuration::from_secs(3);

/// How much longer than the slowest attempt a lease lasts.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// An attempt without an answer that took this long holds up what shares its instance.
const SLOW: SignedDuration = SignedDuration::from_secs(2);

/// How far the clocks of two machines may be apart: an intent that is this early is not forgotten.
const SKEW: SignedDuration = SignedDuration::from_secs(2);

/// What became of one look at an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Nothing is to follow by itself: delivered, given up, superseded, or not sent for as long as the
    /// channel is not live.
    Done(IntentState),
    /// It is to be looked at again after this long. Up to
    /// [`QUEUE_REACH`](verdict::QUEUE_REACH) that is the queue's, beyond it the clock's.
    Again(SignedDuration),
    /// It is settled, and the group that it speaks for has more to say after this long.
    Next(SignedDuration),
    /// It was settled before.
    Settled,
    /// Somebody else has it in hand, or has set its time.
    Waiting,
    /// There is no such intent.
    Missing,
}

/// Why an intent could not even be attempted. Looking again may help.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration.
    #[error(transparent)]
    Installation(#[from] InstallationError),
}

/// Delivers intents. One per process: it knows when each channel's next turn is.
pub struct Deliverer {
    pub(super) store: Store,
    pub(super) installations: Installations,
    pub(super) secrets: Arc<Secrets>,
    pub(super) outgoing: Arc<dyn Outgoing>,
    metrics: Metrics,
    slowest_send: SignedDuration,
    paces: Paces,
    pub(super) lately: Lately,
    pub(super) wording: Wording,
    pub(super) links: Links,
}

/// What is known of an intent's earlier looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// The try before this one never reported back.
    pub(super) lost: bool,
    /// It has waited for its turn just now: what it says may be over.
    pub(super) held_up: bool,
}

/// Whether an attempt may be made.
enum Permit {
    Go {
        pass: Pass,
        /// Whether nothing is held against the destination.
        is_sound: bool,
    },
    Wait(SignedDuration),
}

/// What came of a look before anything is sent.
enum Begun {
    /// Nothing is sent now.
    Over(Delivered),
    /// It is to be sent, by this pass; and whether nothing is held against the destination.
    Send(Box<Errand>, (Pass, bool)),
}

/// An attempt that is over.
pub(super) struct Made {
    pub(super) at: Timestamp,
    pub(super) outcome: Outcome,
    pub(super) status: Option<StatusCode>,
    pub(super) detail: Option<String>,
    /// Whether it took long and had no answer.
    pub(super) slow: bool,
    /// When its answer came, or was given up.
    pub(super) answered: Timestamp,
    pub(super) at_most_once: bool,
}

impl Made {
    /// An attempt at which nothing was sent.
    const fn nothing(now: Timestamp) -> Self {
        Self {
            at: now,
            answered: now,
            outcome: Outcome::Retry { after: None },
            status: None,
            detail: None,
            slow: false,
            at_most_once: false,
        }
    }
}

impl Deliverer {
    /// A deliverer that gives no vendor longer than `slowest_send` for one message.
    pub fn new(
        store: Store,
        installations: Installations,
        secrets: Arc<Secrets>,
        outgoing: Arc<dyn Outgoing>,
        metrics: Metrics,
        slowest_send: Duration,
    ) -> Self {
        Self {
            store,
            installations,
            secrets,
            outgoing,
            metrics,
            slowest_send: SignedDuration::try_from(slowest_send).unwrap_or(SignedDuration::MAX),
            paces: Paces::default(),
            lately: Lately::default(),
            wording: Wording::default(),
            links: Links::default(),
        }
    }

    /// The least time before its deadline at which to begin with an intent.
    pub fn time_needed(&self) -> SignedDuration {
        self.slowest_send.saturating_add(RECORDING)
    }

    /// Looks at one intent, and makes an attempt if one is due. The intent may be a group's message.
    #[tracing::instrument(name = "delivery", skip_all, fields(channel = %which.channel,
        alert = which.alert, revision = which.revision, correlation, outcome))]
    pub async fn deliver(
        &self,
        which: &IntentRef,
        deadline: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        match which.alert.parse::<FlushId>() {
            Ok(message) => self.look_at_group(which, &message, deadline).await,
            Err(_) => self.deliver_intent(which, deadline).await,
        }
    }

    /// Looks at one intent that is written, and makes an attempt if one is due.
    pub(super) async fn deliver_intent(
        &self,
        which: &IntentRef,
        deadline: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let span = PATIENCE + LEASE_MARGIN;
        let span = span.saturating_add(self.time_needed());
        let lease = self
            .store
            .lease(&which.alert, which.revision, &which.channel, span)
            .await?;
        let (leased, before) = match lease {
            Lease::Ours { leased, lost } => (
                leased,
                Before {
                    lost,
                    held_up: false,
                },
            ),
            Lease::Settled => return Ok(Delivered::Settled),
            Lease::Grouped => return Ok(Delivered::Waiting),
            Lease::Unknown => return Ok(Delivered::Missing),
            Lease::Later(until) => {
                let early = until.duration_since(self.store.clock().now());
                let ours_by_a_hair = early <= SKEW;
                return Ok(if ours_by_a_hair {
                    Delivered::Again(early.max(SignedDuration::ZERO))
                } else {
                    Delivered::Waiting
                });
            }
        };
        let correlation = leased.data.correlation().map(Correlation::as_str);
        Span::current().record("correlation", correlation);
        // Until something is sent, an error gives the lease back: the try did not take place.
        match Box::pin(self.until_sent(&leased, before, deadline)).await {
            Ok(Begun::Over(delivered)) => Ok(delivered),
            Ok(Begun::Send(errand, pass)) => self.send(&leased, &errand, pass, deadline).await,
            Err(error) => Err(self.give_back(&leased, before.lost, error).await),
        }
    }

    /// All that comes before a send, and all of it where nothing is to be sent now.
    async fn until_sent(
        &self,
        leased: &Stored<Intent>,
        before: Before,
        deadline: Timestamp,
    ) -> Result<Begun, DeliverError> {
        let mut prepared = self.prepare(&leased.data, before).await?;
        if let Prepared::Ready(errand) = &prepared {
            prepared = match self.turn_comes(errand, deadline).await {
                Ok(false) => prepared,
                // What it says may be over by now.
                Ok(true) => {
                    let held_up = true;
                    let before = Before { held_up, ..before };
                    self.prepare(&leased.data, before).await?
                }
                // Turns are apart already, and in their order.
                Err(far) => Prepared::After(far.wait),
            };
        }
        let over = match prepared {
            Prepared::Ready(errand) => {
                return self.ask_whether_down(leased, errand, deadline).await;
            }
            Prepared::Not(outcome) => self.refrain(leased, outcome).await,
            Prepared::After(wait) => self.hold_back(leased, wait).await,
            Prepared::Superseded(reason) => self.supersede(leased, &reason).await,
            Prepared::LeftTo(other) => self.leave_to(leased, &other, deadline).await,
        };
        over.map(Begun::Over)
    }

    /// Waits for a message's turn, if that comes soon; whether it had to.
    async fn turn_comes(&self, errand: &Errand, deadline: Timestamp) -> Result<bool, TooFar> {
        let per_second = errand
            .per_second
            .or_else(|| self.paces.limited(&errand.name));
        let Some(per_second) = per_second.filter(|_| errand.missing.is_none()) else {
            return Ok(false);
        };
        let spare = deadline.duration_since(self.store.clock().now()) - self.time_needed();
        let patience = spare.clamp(SignedDuration::ZERO, PATIENCE);
        let severity = errand.words.message.severity;
        self.paces
            .turn(&errand.name, (per_second, severity), patience)
            .await
    }

    async fn ask_whether_down(
        &self,
        leased: &Stored<Intent>,
        errand: Box<Errand>,
        deadline: Timestamp,
    ) -> Result<Begun, DeliverError> {
        if let Some(missing) = &errand.missing {
            // Not sent to anybody: the outbox shows what would have been, once.
            if !self.was_shown(&leased.data, &errand).await? {
                self.exchange(&leased.data, &errand, deadline).await;
            }
            let over = self.refrain(leased, Outcome::not_sent(missing)).await;
            return over.map(Begun::Over);
        }
        if let Some(unreadable) = &errand.unreadable {
            let now = self.store.clock().now();
            let made = Made {
                detail: Some(unreadable.clone()),
                ..Made::nothing(now)
            };
            let over = self.finish(leased, &errand, (None, false), &made).await;
            return over.map(Begun::Over);
        }
        let over = match self.permit(&errand).await? {
            Permit::Go { .. } if !self.lasts(&leased.data) => {
                tracing::warn!("held up until the lease no longer lasts for a send");
                self.postpone(leased, SignedDuration::ZERO).await
            }
            Permit::Go { pass, is_sound } => return Ok(Begun::Send(errand, (pass, is_sound))),
            Permit::Wait(wait) => self.postpone(leased, wait).await,
        };
        over.map(Begun::Over)
    }

    /// Whether an outbox has shown what is to be sent: the message itself, or of a group, which puts its
    /// message together anew each time, all that it names.
    async fn was_shown(&self, intent: &Intent, errand: &Errand) -> Result<bool, StoreError> {
        if intent.alert.parse::<FlushId>().is_err() {
            return Ok(intent.state == IntentState::NotSent);
        }
        for said in errand.words.message.named() {
            let stored = self
                .store
                .intent(&said.alert, said.revision, &intent.channel)
                .await?;
            if stored.is_none_or(|stored| stored.data.state != IntentState::NotSent) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a lease is good until a send that begins now is recorded. The margins see to it, unless
    /// something took far longer than it should; then somebody else may be sending by now.
    fn lasts(&self, leased: &Intent) -> bool {
        let left = leased.not_before.duration_since(self.store.clock().now());
        left >= self.time_needed()
    }

    /// Asks the channel's circuit breaker.
    async fn permit(&self, errand: &Errand) -> Result<Permit, StoreError> {
        let clock = self.store.clock();
        let (turn, is_sound) = self.store.ask_breaker(&errand.name).await?;
        Ok(match turn {
            Turn::Go(pass) => {
                if let Pass::Probe { .. } = pass {
                    tracing::info!(channel = %errand.name, "asking whether the destination is back");
                    self.breaker_is(&errand.name, 1.0);
                }
                Permit::Go { pass, is_sound }
            }
            Turn::Wait { until } => {
                let wait = until.duration_since(clock.now());
                Permit::Wait(wait.max(SignedDuration::ZERO))
            }
        })
    }

    /// Makes the attempt and records it.
    async fn send(
        &self,
        leased: &Stored<Intent>,
        errand: &Errand,
        (pass, is_sound): (Pass, bool),
        deadline: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let made = self.exchange(&leased.data, errand, deadline).await;
        if let Outcome::NotSent { reason } = &made.outcome {
            let lost = Some(errand.words.text.as_str());
            return self.park(leased, &made.outcome, (reason, lost)).await;
        }
        if let Outcome::Denied { .. } = made.outcome {
            // They may have been changed since they were read.
            for reference in &errand.references {
                self.secrets.forget(reference);
            }
        }
        self.finish(leased, errand, (Some(pass), is_sound), &made)
            .await
    }

    /// Records an attempt, and what it says of its destination: whatever keeps a message from leaving, people
    /// hear of it if it lasts. Without a pass nothing could be sent.
    async fn finish(
        &self,
        leased: &Stored<Intent>,
        errand: &Errand,
        (pass, is_sound): (Option<Pass>, bool),
        made: &Made,
    ) -> Result<Delivered, DeliverError> {
        let has_arrived = matches!(made.outcome, Outcome::Delivered { .. });
        self.lately.note(&errand.name, has_arrived, made.answered);
        if let Outcome::Limited { after } = made.outcome {
            self.paces.limit(&errand.name, backoff::limited(after, 0.0));
        }
        let delivered = self.conclude(leased, made).await;
        let noted = if is_sound && has_arrived {
            if !self.lately.has_failed_since(&errand.name, made.at) {
                return delivered;
            }
            self.end_trouble_beside(&errand.name, None).await
        } else {
            let about = (&leased.data, errand);
            self.note_destination(about, pass, made, &delivered).await
        };
        if let Err(error) = noted {
            tracing::warn!(channel = %errand.name, %error, "what came of an attempt was not noted of its channel");
        }
        delivered
    }

    /// Notes what an attempt says about its destination: for the circuit breaker, and for people if
    /// nothing arrives there.
    async fn note_destination(
        &self,
        (intent, errand): (&Intent, &Errand),
        pass: Option<Pass>,
        made: &Made,
        delivered: &Result<Delivered, DeliverError>,
    ) -> Result<(), DeliverError> {
        let Made { outcome, slow, .. } = made;
        let exhausted = matches!(delivered, Ok(Delivered::Done(IntentState::Exhausted)));
        let fate = match delivered {
            _ if exhausted || matches!(outcome, Outcome::Rejected { .. }) => Fate::Lost(made.at),
            Ok(Delivered::Again(wait)) => Fate::Again(*wait),
            _ => Fate::Settled,
        };
        let message = Undelivered {
            key: intent.key(),
            text: quoted(&errand.words.text),
            severity: errand.words.message.severity,
        };
        let store = &self.store;
        let said = (outcome, made.detail.as_deref());
        let told = store.tell_breaker(&errand.name, pass, said, *slow, (&message, fate));
        let (change, before) = told.await?;
        self.announce(&errand.name, change);
        let known = before.trouble.as_ref().filter(|it| it.alert.is_some());
        let unreached = unreached_since(&before, made.at);
        let text = errand.words.text.as_str();
        let (reason, sentence) = match (outcome, known) {
            (Outcome::Delivered { .. }, Some(_)) => {
                self.end_trouble(&errand.name, &before).await?;
                return self.tell_of_others(&errand.name).await;
            }
            (Outcome::Rejected { reason } | Outcome::Denied { reason }, None) => (
                reason.clone(),
                format!("It refuses what is sent: {reason}."),
            ),
            (_, None) if exhausted => {
                let reason = "no message arrived for a day";
                (
                    reason.to_owned(),
                    "No message arrived for a day.".to_owned(),
                )
            }
            (Outcome::Retry { .. } | Outcome::Limited { .. } | Outcome::Unknown, None)
                if let Some(since) = unreached =>
            {
                let installation = self.installations.current().await?;
                let why = made.detail.as_deref();
                let (reason, sentence) = unreached_in_words(&installation, since, why);
                return self
                    .begin_unreached(&errand.name, &reason, sentence, text)
                    .await;
            }
            _ => return Ok(()),
        };
        let kind = TroubleKind::Refused;
        self.begin_trouble(&errand.name, (kind, &reason), sentence, Some(text))
            .await?;
        let lost = matches!(fate, Fate::Lost(_)).then_some(message);
        match self.lately.has_arrived_after(&errand.name, made.at) {
            true => self.end_trouble_beside(&errand.name, lost).await,
            false => Ok(()),
        }
    }

    async fn exchange(&self, intent: &Intent, errand: &Errand, deadline: Timestamp) -> Made {
        let at = self.store.clock().now();
        let left = deadline.duration_since(at) - RECORDING;
        let limit = self.slowest_send.min(left).max(SignedDuration::ZERO);
        let key = intent.key();
        let envelope = Envelope {
            message: &errand.words.message,
            title: &errand.words.title,
            text: &errand.words.text,
            key: &key,
            now: at,
            attempt: intent.attempts,
            thread: errand.thread.as_deref(),
        };
        let mut secrets = self.secrets.known();
        if errand.missing.is_none() {
            secrets.extend(errand.channel.secrets());
        }
        let channel = &*errand.channel;
        let accepted = |request: &Request| channel.accepted(request);
        let line = Line::new(
            &*self.outgoing,
            intent.correlation(),
            Sender {
                party: Party::Channel(&errand.name),
                kind: errand.kind.name(),
                missing: errand.missing.as_deref(),
                accepted: &accepted,
                secrets: &secrets,
            },
        );
        let exchanged =
            tokio::time::timeout(limit.unsigned_abs(), exchange(channel, &envelope, &line)).await;
        let (outcome, status, detail) = match exchanged {
            Ok(Exchange {
                outcome,
                last_status,
                ..
            }) => {
                let outcome = outcome.masked(&secrets).with_status(last_status);
                let words = match outcome.reason() {
                    Some(reason) => Some(reason.to_owned()),
                    None => line.problem().map(|words| mask_words(&words, &secrets)),
                };
                (outcome, last_status, words)
            }
            Err(_) => {
                let detail = format!("no answer within {} s", limit.as_secs_f32());
                (Outcome::Unknown, None, Some(detail))
            }
        };
        let answered = self.store.clock().now();
        let took = answered.duration_since(at);
        Made {
            at,
            answered,
            outcome,
            slow: status.is_none() && took >= SLOW,
            status,
            detail,
            at_most_once: errand.at_most_once,
        }
    }

    /// Records an attempt at which nothing was sent.
    async fn refrain(
        &self,
        leased: &Stored<Intent>,
        outcome: Outcome,
    ) -> Result<Delivered, DeliverError> {
        if let Outcome::NotSent { reason } = &outcome {
            return self.park(leased, &outcome, (reason, None)).await;
        }
        let made = Made {
            detail: outcome.reason().map(str::to_owned),
            outcome,
            ..Made::nothing(self.store.clock().now())
        };
        self.conclude(leased, &made).await
    }

    /// Leaves an intent until its channel is live. That is no attempt: nothing is recorded as one. `lost`
    /// is what would have left, had its address been one that is called.
    async fn park(
        &self,
        leased: &Stored<Intent>,
        outcome: &Outcome,
        (reason, lost): (&str, Option<&str>),
    ) -> Result<Delivered, DeliverError> {
        let channel = &leased.data.channel;
        if leased.data.state != IntentState::NotSent {
            tracing::warn!(%channel, alert = leased.data.alert, reason,
                "not sent: the channel is not live; what is still true is sent when it is");
            self.metrics.count(
                Metric::DeliveryOutcome,
                &[("Channel", channel.as_str()), ("Outcome", outcome.name())],
            );
            let sentence = format!("Nothing is sent: {reason}.");
            let why = (TroubleKind::NotLive, reason);
            self.begin_trouble(channel, why, sentence, lost).await?;
        }
        let now = self.store.clock().now();
        let (mut after, _) = verdict::after(&leased.data, outcome, false, Some(reason), now);
        after.unsent_at = Some(Moment(now));
        if leased.data.alert.parse::<FlushId>().is_ok() {
            // Its members wait for the group's next message, which says what is true by then.
            after.state = IntentState::Superseded;
        }
        let ours = self.store.put_intent(leased, &after).await?;
        Ok(if ours {
            Delivered::Done(IntentState::NotSent)
        } else {
            Delivered::Waiting
        })
    }

    /// Settles an intent of which nothing is to be sent any more.
    async fn supersede(
        &self,
        leased: &Stored<Intent>,
        reason: &str,
    ) -> Result<Delivered, DeliverError> {
        self.tell_what_this_kept_back(&leased.data).await?;
        let after = leased.data.left_out(reason);
        let ours = self.store.leave_out(leased, &after).await?;
        Ok(if ours {
            Delivered::Done(IntentState::Superseded)
        } else {
            Delivered::Waiting
        })
    }

    /// Gives an intent back for so long: until its turn, or for as long as an earlier revision may need.
    pub(super) async fn hold_back(
        &self,
        leased: &Stored<Intent>,
        wait: SignedDuration,
    ) -> Result<Delivered, DeliverError> {
        let now = self.store.clock().now();
        let (until, due_at) = (later(now, wait), due_after(now, wait));
        let ours = self.store.postpone(leased, until, due_at, false).await?;
        Ok(if ours {
            Delivered::Again(wait)
        } else {
            Delivered::Waiting
        })
    }

    /// Writes the attempt and what it makes of the intent.
    async fn conclude(
        &self,
        leased: &Stored<Intent>,
        made: &Made,
    ) -> Result<Delivered, DeliverError> {
        let now = self.store.clock().now();
        let detail = made.detail.as_deref();
        let (after, wait) =
            verdict::after(&leased.data, &made.outcome, made.at_most_once, detail, now);
        let took = now.duration_since(made.at);
        let attempt = attempt(leased.data.attempts, made, took);
        self.measure(&leased.data, made, now);
        let state = after.state;
        if matches!(state, IntentState::Rejected | IntentState::Exhausted) {
            self.tell_what_this_kept_back(&leased.data).await?;
        }
        let ours = self.store.settle(leased, after, attempt).await?;
        self.log(&leased.data, state, made);
        Ok(match wait {
            _ if !ours => Delivered::Waiting,
            Some(wait) => Delivered::Again(wait),
            None => Delivered::Done(state),
        })
    }

    /// Puts an intent off without counting a try.
    async fn postpone(
        &self,
        leased: &Stored<Intent>,
        wait: SignedDuration,
    ) -> Result<Delivered, DeliverError> {
        // Spread upwards, so that a crowd held back together does not come back together.
        let jitter = backoff::jitter(&leased.data.key(), leased.data.attempts);
        let wait = wait + wait.mul_f64(jitter / 10.0);
        self.hold_back(leased, wait).await
    }

    /// Gives an intent back as if it had not been leased, and the error that made it so.
    async fn give_back(
        &self,
        leased: &Stored<Intent>,
        lost: bool,
        error: impl Into<DeliverError>,
    ) -> DeliverError {
        let now = self.store.clock().now();
        let due_at = due_after(now, SignedDuration::ZERO);
        let given = self.store.postpone(leased, now, due_at, lost).await;
        if let Err(error) = given {
            tracing::warn!(%error, "a lease could not be given back; it will run out");
        }
        error.into()
    }

    fn measure(&self, intent: &Intent, made: &Made, now: Timestamp) {
        Span::current().record("outcome", made.outcome.name());
        let channel = ("Channel", intent.channel.as_str());
        let outcome = ("Outcome", made.outcome.name());
        self.metrics
            .count(Metric::DeliveryOutcome, &[channel, outcome]);
        let delivered = matches!(made.outcome, Outcome::Delivered { .. });
        self.metrics
            .record(Metric::DeliverySucceeded, f64::from(delivered), &[channel]);
        if delivered {
            let began = intent.origin.as_ref().map_or(intent.created_at, |o| o.at);
            let latency = now.duration_since(began).as_secs_f64() * 1_000.0;
            self.metrics
                .record(Metric::AlertLatencyMs, latency, &[channel]);
        }
    }

    fn log(&self, intent: &Intent, state: IntentState, made: &Made) {
        let (channel, alert, revision) = (&intent.channel, &intent.alert, intent.revision);
        let (outcome, attempt) = (made.outcome.name(), intent.attempts);
        let status = made.status.map(|status| status.as_u16());
        // A vendor's words may name a recipient; they stand in the attempt, for those who may read it.
        let detail = made.detail.as_deref().filter(|_| status.is_none());
        if let Outcome::Denied { .. } = made.outcome {
            tracing::error!(%channel, alert, revision, attempt, status, detail,
                "the channel's credentials are missing or not accepted; correct them");
        } else if matches!(state, IntentState::Delivered | IntentState::Pending) {
            tracing::info!(%channel, alert, revision, attempt, outcome, status, detail, "delivery attempted");
        } else {
            tracing::error!(%channel, alert, revision, attempt, outcome, status, detail, "delivery given up");
        }
    }

    fn breaker_is(&self, channel: &ChannelName, state: f64) {
        let dimension = [("Channel", channel.as_str())];
        self.metrics.record(Metric::BreakerState, state, &dimension);
    }

    fn announce(&self, channel: &ChannelName, change: Option<Change>) {
        match change {
            Some(Change::Opened { until }) => {
                tracing::error!(%channel, %until, "the destination is down; its messages wait");
                self.breaker_is(channel, 2.0);
            }
            Some(Change::Slow { until }) => {
                tracing::warn!(%channel, %until, "the destination did not answer in time; its messages wait");
            }
            Some(Change::Closed) => {
                tracing::info!(%channel, "the destination answers again");
                self.breaker_is(channel, 0.0);
            }
            None => {}
        }
    }
}

fn attempt(number: u32, made: &Made, took: SignedDuration) -> Attempt {
    Attempt {
        number,
        at: made.at,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or_default(),
        outcome: made.outcome.name().to_owned(),
        status: made.status.map(|status| status.as_u16()),
        detail: made.detail.clone(),
    }
}
