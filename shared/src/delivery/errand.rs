//! What an attempt needs: the settings and credentials in force, and the words.
//!
//! Whatever keeps an attempt from being made is decided here, before anything is sent.

use std::collections::HashMap;

use jiff::SignedDuration;
use secrecy::SecretString;

use super::Outcome;
use super::deliver::{Before, DeliverError, Deliverer};
use super::order::{self, First, Place, Way};
use super::overtaken::{Ear, Standing};
use crate::channels::{Channel, ChannelKind, Order, first_request};
use crate::config::channel::{Channel as Configured, Delivery};
use crate::domain::alert::{AlertKind, RevisionKind};
use crate::domain::group::{FlushId, GroupId, Phase};
use crate::domain::id::ChannelName;
use crate::domain::message::Message;
use crate::render::words::{Worded, worded};
use crate::secrets::{SecretError, SecretRef};
use crate::store::intents::{Intent, IntentState, PERHAPS};
use crate::store::resend::ENDS;
use crate::store::{StoreError, Stored};

/// How long to wait after somebody was faster with an earlier revision.
const CONTENDED: SignedDuration = SignedDuration::from_secs(2);

/// What is sent within this time says what was just seen.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(2);

/// Everything that an attempt needs.
pub(super) struct Errand {
    pub(super) name: ChannelName,
    pub(super) kind: ChannelKind,
    pub(super) at_most_once: bool,
    pub(super) channel: Box<dyn Channel>,
    pub(super) references: Vec<SecretRef>,
    /// What keeps the channel from being live. Nothing is sent then; the outbox shows the request.
    pub(super) missing: Option<String>,
    /// Which of its secrets cannot be read now, and why. Nothing is sent; it is tried again.
    pub(super) unreadable: Option<String>,
    pub(super) words: Worded,
    pub(super) thread: Option<String>,
    pub(super) per_second: Option<u32>,
}

/// Whether an attempt can be made.
pub(super) enum Prepared {
    Ready(Box<Errand>),
    /// No request is made; this is what came of it.
    Not(Outcome),
    /// An earlier revision comes first.
    After(SignedDuration),
    /// It is not to be sent any more, for this reason.
    Superseded(String),
    /// Nor is it, as this one is still to leave and says more.
    LeftTo(Box<Stored<Intent>>),
}

/// A channel, and what keeps it from being live.
struct Credentialed {
    channel: Box<dyn Channel>,
    references: Vec<SecretRef>,
    missing: Option<String>,
    unreadable: Option<String>,
}

impl Deliverer {
    /// Gathers what an attempt needs.
    pub(super) async fn prepare(
        &self,
        intent: &Intent,
        Before { lost, held_up }: Before,
    ) -> Result<Prepared, DeliverError> {
        let installation = self.installations.current().await?;
        let name = &intent.channel;
        let configured = installation.config.channels.get(name);
        let at_most_once = configured.is_some_and(|it| it.common.delivery == Delivery::AtMostOnce);
        if lost && at_most_once {
            return Ok(Prepared::Not(Outcome::rejected(PERHAPS)));
        }
        let of_a_group = intent.alert.parse::<FlushId>().is_ok();
        let alert = match of_a_group {
            true => None,
            false => self.store.alert(&intent.alert).await?,
        };
        let order = match configured {
            Some(channel) => channel.kind.order(),
            None => order_of(&intent.kind),
        };
        let order = match &alert {
            // An outage that is over before anybody heard of it is no system's news either.
            Some(alert) if alert.kind == AlertKind::ChannelDown => Order::Latest,
            _ => order,
        };
        if intent.state == IntentState::NotSent
            && order == Order::Latest
            && let Some(alert) = &alert
            && alert.is_over()
            && !(intent.revision == alert.revision
                && (alert.message.is_news_by_itself()
                    || self
                        .heard_before((&intent.alert, intent.revision), name)
                        .await?))
        {
            let reason = "the alert ended before the channel was live";
            return Ok(Prepared::Superseded(reason.to_owned()));
        }
        let configured = match configured {
            Some(channel) if channel.common.enabled => channel,
            off => return Ok(Prepared::Not(self.not_in_use(intent, off))),
        };
        let last = alert.as_ref().map(|alert| &alert.message);
        let is_last = last.is_none_or(|last| last.revision <= intent.revision);
        let ended = last.is_some_and(|last| last.change == RevisionKind::Resolved);
        let words = match alert.filter(|alert| alert.revision == intent.revision) {
            Some(alert) => Some(alert.message),
            None => {
                self.store
                    .earlier_revision(&intent.alert, intent.revision)
                    .await?
            }
        };
        let Some(mut message) = words else {
            return Ok(Prepared::Not(Outcome::rejected(
                "the table does not hold what this revision says",
            )));
        };
        let waited = self.store.clock().now().duration_since(intent.created_at) > AT_ONCE;
        let held_up = held_up || waited;
        if order == Order::Latest && !of_a_group {
            installation.name_place(&mut message);
            let stands = self.what_still_holds(intent, &mut message, (held_up, ended));
            match Box::pin(stands).await? {
                Standing::Holds => {}
                Standing::Waits(wait) => return Ok(Prepared::After(wait)),
                Standing::Nothing(reason) => return Ok(Prepared::Superseded(reason)),
            }
            if held_up && let Some(graver) = self.graver_to_come(intent, &message).await? {
                return Ok(Prepared::LeftTo(graver));
            }
            let words = self.leave_out_what_another_says(intent, &mut message);
            Box::pin(words).await?;
        }
        // People's vendors know no key by which they could tell that they had it before.
        let may_be_another = order == Order::Latest || !intent.perhaps_sent;
        if let Ok(FlushId { group, .. }) = intent.alert.parse()
            && held_up
            && may_be_another
            && let Some(group) = self.store.group(&group).await?
            // Put together a while ago: if it is no longer so, the group says what is.
            && self.is_outdated(&group.data, &message, waited).await?
        {
            let reason = "what it says has changed since";
            return Ok(Prepared::Superseded(reason.to_owned()));
        }
        let credentialed = match self.channel(configured).await {
            Ok(credentialed) => credentialed,
            Err(outcome) => return Ok(Prepared::Not(outcome)),
        };
        let over = message.change == RevisionKind::Resolved;
        if ended && !over && order == Order::Latest {
            // Whoever may have heard of it hears of its end; its beginning is nobody's news any more.
            let reason = "the alert ended before this left";
            return Ok(Prepared::Superseded(reason.to_owned()));
        }
        let is_live = credentialed.missing.is_none();
        let way = Way { order, is_live };
        let is_noise = over && !message.is_news_by_itself();
        let turn = self.wait_for_turn(intent, (way, message.kind), is_noise, is_last);
        let thread = match turn.await? {
            Turn::Now { thread, is_first } => {
                // Who was spared the beginning, by a route that asks for graver alerts or because they knew of
                // a graver one, hears of it now for the first time. What a group says was put together so.
                if is_first && !of_a_group && !over {
                    message.begins();
                }
                thread
            }
            Turn::Not(prepared) => return Ok(prepared),
        };
        if let Some(base) = &installation.config.account.link_base {
            // A group's message about one alert is that alert's, and so is its page.
            let about = message.alert.clone();
            message.link = Some(self.links.of(&self.store, base, &about).await?);
        }
        let templates = self.wording.of(&installation);
        let words = worded(&templates, &message, name, credentialed.channel.limits());
        if let Some(error) = &words.fallback {
            tracing::warn!(channel = %name, %error, "a template failed; the default speaks");
        }
        Ok(Prepared::Ready(Box::new(Errand {
            name: name.clone(),
            kind: configured.kind,
            at_most_once,
            channel: credentialed.channel,
            references: credentialed.references,
            missing: credentialed.missing,
            unreadable: credentialed.unreadable,
            words,
            thread,
            per_second: configured.common.max_per_second.map(|rate| rate.get()),
        })))
    }

    /// What is left of a message to people. `ended`: its alert is over.
    async fn what_still_holds(
        &self,
        intent: &Intent,
        message: &mut Message,
        (held_up, ended): (bool, bool),
    ) -> Result<Standing, DeliverError> {
        if message.change == RevisionKind::Resolved {
            let (channel, since) = (&intent.channel, intent.created_at);
            let watches = self.watches_over(message).await?;
            let about = (watches.as_slice(), &*message);
            match self.beside_what_has_begun(channel, about, since).await? {
                Standing::Holds => {}
                standing => return Ok(standing),
            }
            if message.kind.tells_what_is_left() || message.closes_item() {
                let ear = Ear {
                    channel,
                    group: None,
                };
                match self.beside_other_ends(ear, about, since).await? {
                    Standing::Holds => {}
                    standing => return Ok(standing),
                }
            }
        }
        if !message.kind.tells_what_is_left() {
            if !held_up || ended {
                return Ok(Standing::Holds);
            }
            if message.kind.is_about_stock() {
                let watches = self.store.watches(&message.subject).await?;
                self.take_present_stock(message, &watches, false).await?;
                return Ok(Standing::Holds);
            }
            return self.what_source_says_now(intent, message).await;
        }
        match held_up {
            true => self.bring_up_to_date(intent, message).await,
            false => Ok(Standing::Holds),
        }
    }

    /// What becomes of a message to a channel that is switched off, or not in the configuration now. It may
    /// be there again before long, and then its people hear of what is still open, and of each end.
    fn not_in_use(&self, intent: &Intent, off: Option<&Configured>) -> Outcome {
        let name = &intent.channel;
        let reason = match off {
            Some(_) => format!("channel `{name}` is switched off"),
            None => format!("channel `{name}` is no longer in the configuration"),
        };
        let age = self.store.clock().now().duration_since(intent.created_at);
        if age > ENDS {
            return Outcome::rejected(reason);
        }
        Outcome::not_sent(reason)
    }

    /// Whether it is this revision's turn on its channel. The first try of a first revision that is still
    /// the last need not ask: nothing comes before it, and nothing has overtaken it.
    async fn wait_for_turn(
        &self,
        intent: &Intent,
        (way, kind): (Way, AlertKind),
        over: bool,
        is_last: bool,
    ) -> Result<Turn, DeliverError> {
        if let Some(wait) = self.wait_for_others(intent, way, kind).await? {
            return Ok(Turn::Not(Prepared::After(wait)));
        }
        let first_try = intent.attempts <= 1 && intent.state == IntentState::Pending;
        if intent.revision <= 1 && first_try && is_last {
            return Ok(Turn::Now {
                thread: None,
                is_first: true,
            });
        }
        let all = self
            .store
            .intents_on(&intent.alert, &intent.channel)
            .await?;
        let now = self.store.clock().now();
        let (superseded, turn) = match order::place(intent, &all, way, over, now) {
            Place::After(wait) => return Ok(Turn::Not(Prepared::After(wait))),
            Place::AfterUnsent(index) => {
                if !self.is_live(&intent.channel).await? {
                    // It is parked as that one is.
                    return Ok(Turn::Now {
                        thread: None,
                        is_first: false,
                    });
                }
                self.store.bring_back(&all[index]).await?;
                return Ok(Turn::Not(Prepared::After(order::UNSENT)));
            }
            Place::Never { reason, supersedes } => {
                (supersedes, Turn::Not(Prepared::Superseded(reason)))
            }
            Place::Now { supersedes } => {
                // What takes the place of an alert's first message waits for what that would have.
                let earlier = all.iter().filter(|it| it.data.revision < intent.revision);
                let earlier: Vec<_> = earlier.map(|it| &it.data).collect();
                let is_first = !earlier.iter().any(|it| it.may_have_reached());
                let told = |it: &&Intent| it.state == IntentState::Delivered;
                if !earlier.iter().any(told) {
                    for first in earlier {
                        if let Some(wait) = self.wait_for_others(first, way, kind).await? {
                            return Ok(Turn::Not(Prepared::After(wait)));
                        }
                    }
                }
                let thread = all.iter().find_map(|other| other.data.receipt.clone());
                (supersedes, Turn::Now { thread, is_first })
            }
        };
        for index in superseded {
            if let Some(belongs) = &all[index].data.group {
                let group = belongs.id(&intent.channel);
                if let Some(wait) = self.wait_for_message(&group).await? {
                    return Ok(Turn::Not(Prepared::After(wait)));
                }
            }
            let reason = order::overtaken_by(intent.revision);
            let is_left_out = match turn {
                Turn::Not(_) => {
                    let after = all[index].data.superseded(&reason);
                    self.store.leave_out(&all[index], &after).await?
                }
                Turn::Now { .. } => self.store.supersede(&all[index], &reason).await?,
            };
            if !is_left_out {
                // Somebody has begun to send it.
                return Ok(Turn::Not(Prepared::After(CONTENDED)));
            }
        }
        Ok(turn)
    }

    /// How long to wait for a group whose message is being sent or put on record. One that is put off is
    /// put together anew before it is sent.
    pub(super) async fn wait_for_message(
        &self,
        id: &GroupId,
    ) -> Result<Option<SignedDuration>, StoreError> {
        let group = self.store.group(id).await?.map(|stored| stored.data);
        let Some(group) = group.filter(|it| it.schedule.phase == Phase::Sending) else {
            return Ok(None);
        };
        let message = group.message().to_string();
        let sent = self.store.intent(&message, 1, &group.channel).await?;
        let now = self.store.clock().now();
        let put_off = |it: &Intent| {
            let is_old = now.duration_since(it.created_at) > AT_ONCE;
            it.state == IntentState::Pending && !it.in_flight && (it.attempts > 0 || is_old)
        };
        let wait = match sent.map(|stored| stored.data) {
            Some(it) if put_off(&it) => {
                let wait = it.not_before.duration_since(now);
                // Its members do not know yet that they may have been told.
                it.perhaps_sent.then_some(wait)
            }
            _ => Some(CONTENDED),
        };
        Ok(wait.map(|wait| wait.max(CONTENDED)))
    }

    /// How long to wait for what was said of the subject's earlier alerts, so that the last word that
    /// people have is the last that was said. What will not be sent any more is not waited for.
    async fn wait_for_others(
        &self,
        intent: &Intent,
        way: Way,
        kind: AlertKind,
    ) -> Result<Option<SignedDuration>, DeliverError> {
        let now = self.store.clock().now();
        for alert in &intent.follows {
            let others = self.store.intents_on(alert, &intent.channel).await?;
            let first = others.iter().filter_map(|it| {
                Some((it, order::goes_first(intent, &it.data, way.is_live, now)?))
            });
            let first: Vec<_> = first.collect();
            if first.is_empty() {
                continue;
            }
            let (mut overtakes, mut end) = (false, None);
            if way.order == Order::Latest
                && let Some(earlier) = self.store.alert(alert).await?
            {
                let unheard = !others.iter().any(|other| other.data.may_have_reached());
                if unheard && earlier.is_over() && !earlier.message.is_news_by_itself() {
                    continue;
                }
                // Once ours is told, theirs is told only if it is still so.
                overtakes = kind.tells_what_is_left() && earlier.kind.tells_what_is_left();
                end = Some(earlier.revision).filter(|_| earlier.is_over() && earlier.kind != kind);
            }
            // Nobody reads last that something is over which is about to be said.
            let leaves =
                |it: &Intent| Some(it.revision) == end && it.attempts == 0 && it.not_before <= now;
            for (other, first) in first {
                match first {
                    _ if overtakes && !other.data.in_flight && !leaves(&other.data) => {}
                    First::OnItsWay(wait) => return Ok(Some(wait)),
                    First::Unsent if self.is_live(&intent.channel).await? => {
                        self.store.bring_back(other).await?;
                        return Ok(Some(order::UNSENT));
                    }
                    // Neither is sent.
                    First::Unsent => {}
                }
            }
        }
        Ok(None)
    }

    /// Whether something of an alert may have reached a channel before this revision.
    pub(super) async fn heard_before(
        &self,
        (alert, revision): (&str, u32),
        channel: &ChannelName,
    ) -> Result<bool, StoreError> {
        let all = self.store.intents_on(alert, channel).await?;
        let mut earlier = all.iter().filter(|it| it.data.revision < revision);
        Ok(earlier.any(|it| it.data.may_have_reached()))
    }

    /// Whether a channel is in use, and has all it needs to send.
    pub(super) async fn is_live(&self, channel: &ChannelName) -> Result<bool, DeliverError> {
        let installation = self.installations.current().await?;
        let configured = installation.config.channels.get(channel);
        let Some(configured) = configured.filter(|channel| channel.common.enabled) else {
            return Ok(false);
        };
        let Ok(Credentialed {
            channel,
            missing: None,
            unreadable: None,
            ..
        }) = self.channel(configured).await
        else {
            return Ok(false);
        };
        let refusal = first_request(&*channel).and_then(|it| self.outgoing.refusal(&it.url));
        Ok(refusal.is_none())
    }

    /// The channel with its credentials; or with placeholders, if one of them cannot be read now, or where
    /// somebody stands in for vendors if one is missing or of no use.
    async fn channel(&self, configured: &Configured) -> Result<Credentialed, Outcome> {
        let settings = configured
            .settings()
            .map_err(|error| Outcome::not_sent(error.to_string()))?;
        let references: Vec<SecretRef> = settings.secret_refs().into_iter().cloned().collect();
        let mut known: HashMap<SecretRef, SecretString> = HashMap::new();
        let (mut missing, mut unreadable) = (None, None);
        for reference in &references {
            match self.secrets.get(reference).await {
                Ok(value) => {
                    known.insert(reference.clone(), value);
                }
                Err(error @ SecretError::NotSet { .. }) => {
                    missing = missing.or(Some(error.to_string()));
                }
                Err(error @ SecretError::Failed { .. }) => {
                    unreadable = unreadable.or(Some(error.to_string()));
                }
            }
        }
        let built = match (&missing, &unreadable) {
            (None, None) => {
                settings.build(|reference| known.get(reference).cloned().unwrap_or_default())
            }
            _ => settings.build_unsent(),
        };
        let (channel, missing) = match (built, missing) {
            (Ok(channel), missing) => (Some(channel), missing),
            // A value that cannot be right is read anew next time: somebody may have mended it.
            (Err(error), _) => {
                references.iter().for_each(|one| self.secrets.forget(one));
                (settings.build_unsent().ok(), Some(error.to_string()))
            }
        };
        match (channel, missing) {
            (Some(channel), missing) if missing.is_none() || self.outgoing.stands_in() => {
                Ok(Credentialed {
                    channel,
                    references,
                    missing,
                    unreadable,
                })
            }
            (_, missing) => Err(Outcome::not_sent(missing.unwrap_or_default())),
        }
    }
}

/// What a channel of this kind makes of order, whether it is in the configuration or not.
pub(super) fn order_of(kind: &str) -> Order {
    let kind = kind.parse::<ChannelKind>();
    kind.map_or(Order::Latest, |kind| kind.order())
}

/// Whether it is a revision's turn.
enum Turn {
    Now {
        /// The vendor's id of what this channel was first told of the alert, to thread or edit.
        thread: Option<String>,
        /// Whether nothing of the alert has reached the channel.
        is_first: bool,
    },
    Not(Prepared),
}
