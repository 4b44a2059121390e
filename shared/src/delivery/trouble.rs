//! A channel that people cannot be reached on is told on the others.
//!
//! There is one alert for as long as a channel is in trouble. It is never told on a channel that is in
//! trouble itself, so what fails on its way is told on fewer and fewer channels, and ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::deliver::{DeliverError, Deliverer};
use super::verdict::later;
use super::wording::templates;
use crate::channels::Order;
use crate::domain::alert::{AlertState, Ending, RevisionKind, Severity};
use crate::domain::id::ChannelName;
use crate::domain::message::{Message, local_time};
use crate::domain::route::About;
use crate::domain::watch::{Moment, says_why_now};
use crate::domain::{AlertKind, Subject};
use crate::installation::Installation;
use crate::render::words::one_line;
use crate::store::alerts::{Alert, Announcement};
use crate::store::breakers::{Destination, Trouble, TroubleKind, Undelivered};
use crate::store::intents::{Intent, IntentState};
use crate::store::{Store, StoreError, Stored};

/// A destination that takes nothing for this long is told on the other channels.
const UNREACHED: SignedDuration = SignedDuration::from_mins(30);

/// How long it may take to find a message that waits.
const FOUND_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// The longest piece of a lost message that is quoted, in characters.
const QUOTED: usize = 200;

impl Deliverer {
    /// Notes that a channel is in trouble, and has it told on others in this sentence. `lost` is the
    /// text that it did not carry.
    pub(super) async fn begin_trouble(
        &self,
        channel: &ChannelName,
        (kind, reason): (TroubleKind, &str),
        sentence: String,
        lost: Option<&str>,
    ) -> Result<(), DeliverError> {
        // Where an outbox stands in for vendors, to be without credentials is how one begins.
        let is_told = kind != TroubleKind::NotLive || lost.is_some() || !self.outgoing.stands_in();
        let installation = self.installations.current().await?;
        let lost = lost.map(|lost| did_not_carry(&quoted(lost)));
        let said = is_told.then_some((sentence, lost));
        let why = (kind, reason);
        begin(&self.store, &installation, channel, why, said, |_| true).await?;
        Ok(())
    }

    /// The same where nothing has arrived for long, if that is still so.
    pub(super) async fn begin_unreached(
        &self,
        channel: &ChannelName,
        reason: &str,
        sentence: String,
        lost: &str,
    ) -> Result<(), DeliverError> {
        let installation = self.installations.current().await?;
        let now = self.store.clock().now();
        let why = (TroubleKind::Refused, reason);
        let said = Some((sentence, Some(did_not_carry(&quoted(lost)))));
        let holds = |it: &Destination| unreached_since(it, now).is_some();
        begin(&self.store, &installation, channel, why, said, holds).await?;
        Ok(())
    }

    /// Ends a channel's trouble where something arrived while an attempt that failed was on its way: who sent
    /// the one may not have known of the other. `lost`: what did not arrive.
    pub(super) async fn end_trouble_beside(
        &self,
        channel: &ChannelName,
        lost: Option<Undelivered>,
    ) -> Result<(), DeliverError> {
        let mut destination = self.store.destination(channel).await?;
        // What arrived before the trouble was noted has it forgotten.
        if destination.lost.is_none() && lost.is_some() {
            destination.refused = destination.refused.max(1);
            destination.lost = lost;
        }
        self.end_trouble(channel, &destination).await?;
        self.tell_of_others(channel).await
    }

    /// Ends a channel's trouble: something has arrived. What it refused meanwhile has not, and is told with
    /// the end, if to nobody else then on the channel itself.
    pub(super) async fn end_trouble(
        &self,
        channel: &ChannelName,
        before: &Destination,
    ) -> Result<(), DeliverError> {
        let alert = before.trouble.as_ref().and_then(|it| it.alert.as_deref());
        let Some(id) = alert else {
            return Ok(());
        };
        let Some(alert) = self.store.alert(id).await? else {
            return Ok(());
        };
        let now = self.store.clock().now();
        let installation = self.installations.current().await?;
        let message = Message {
            revision: alert.revision + 1,
            change: RevisionKind::Resolved,
            ending: Some(Ending::Recovered),
            at: now,
            notes: what_was_lost(channel, before),
            ..alert.message.clone()
        };
        let mut told = installation.by_their_names(&alert.told);
        if !message.notes.is_empty() && !self.is_heard(id).await? {
            told.push(channel.clone());
        }
        let kinds = self.store.kinds_told(id).await?;
        let last = announcement(&installation, message, (&told, &kinds), now, Some(&alert));
        if self.store.end_trouble(channel, &last).await? {
            tracing::info!(%channel, "the channel reaches people again");
        }
        Ok(())
    }

    /// Tells a channel that reaches people again of the others that do not, where nobody has heard of that.
    pub(super) async fn tell_of_others(&self, channel: &ChannelName) -> Result<(), DeliverError> {
        let now = self.store.clock().now();
        let installation = self.installations.current().await?;
        for (other, configured) in &installation.config.channels {
            if other == channel || !configured.common.enabled {
                continue;
            }
            let trouble = self.store.destination(other).await?.trouble;
            let Some(id) = trouble.and_then(|trouble| trouble.alert) else {
                continue;
            };
            if self.is_heard(&id).await? {
                continue;
            }
            let Some(alert) = self.store.alert(&id).await? else {
                continue;
            };
            let message = Message {
                revision: alert.revision + 1,
                at: now,
                ..alert.message.clone()
            };
            let told = (std::slice::from_ref(channel), &BTreeMap::new());
            let mut told = announcement(&installation, message, told, now, Some(&alert));
            let known = alert.told.into_iter().filter(|one| one != channel);
            told.alert.told.extend(known);
            self.store.tell_trouble(other, &id, &told).await?;
        }
        Ok(())
    }

    /// Whether somebody has heard of an alert, or is about to; not whoever may once a channel is live.
    async fn is_heard(&self, alert: &str) -> Result<bool, DeliverError> {
        let told = self.store.intents_of(alert).await?;
        let mut told = told.iter();
        Ok(told.any(|it| it.state == IntentState::Pending || it.may_have_reached()))
    }
}

/// Notes that a channel is in trouble, unless that is known or does not hold any more, and has it told on
/// others in this sentence, with what was not carried; without one nobody is told.
async fn begin(
    store: &Store,
    installation: &Installation,
    channel: &ChannelName,
    (kind, reason): (TroubleKind, &str),
    said: Option<(String, Option<String>)>,
    holds: impl Fn(&Destination) -> bool,
) -> Result<(), StoreError> {
    let now = store.clock().now();
    let configured = installation.config.channels.get(channel);
    // Who switches a channel off, or takes it out, knows that.
    let is_meant = configured.is_none_or(|channel| !channel.common.enabled);
    let destination = store.destination(channel).await?;
    let known = destination.trouble;
    if is_meant || known.is_some_and(|known| known.alert.is_some()) {
        return Ok(());
    }
    let mut trouble = Trouble {
        kind,
        reason: reason.to_owned(),
        since: Moment(now),
        alert: None,
    };
    let Some((sentence, lost)) = said else {
        store.begin_trouble(channel, &trouble, None).await?;
        return Ok(());
    };
    let others = other_channels(store, installation, channel).await;
    let id = store.chance().id(now);
    let mut message = message(installation, channel, &id, now);
    let notes = std::iter::once(sentence).chain(lost);
    message.notes = notes.chain([when_mended(channel)]).collect();
    trouble.alert = Some(id);
    let told = (&*others, &BTreeMap::new());
    let mut told = announcement(installation, message, told, now, None);
    // What is still on its way of the one before goes first.
    for intent in &mut told.intents {
        intent.follows.extend(destination.told_of.clone());
    }
    let begun = store.begin_trouble_if(channel, &trouble, Some(&told), holds);
    if begun.await? {
        tracing::error!(%channel, others = others.len(), "the channel reaches nobody; the others are told");
    }
    Ok(())
}

/// Where a channel's trouble can be told: where the routes lead, or else everywhere; where no channel
/// is live, on those that may be again. Never on one that refuses what it is sent.
async fn other_channels(
    store: &Store,
    installation: &Installation,
    channel: &ChannelName,
) -> Vec<ChannelName> {
    let about = About {
        kind: AlertKind::ChannelDown,
        change: RevisionKind::Opened,
        severity: Severity::Critical,
        location: None,
        groups: &[],
        category: None,
        connector: None,
    };
    let routed = installation.routes.recipients(None, &about);
    let (mut sound, mut not_live) = (Vec::new(), Vec::new());
    for (name, configured) in &installation.config.channels {
        if name == channel {
            continue;
        }
        let known = store.destination(name).await.unwrap_or_else(|error| {
            // Nobody else is to hear less for what cannot be read of one.
            tracing::warn!(channel = %name, %error, "nothing is known of another channel");
            Destination::default()
        });
        match known.trouble {
            None if configured.common.enabled => sound.push(name.clone()),
            Some(trouble) if trouble.kind == TroubleKind::Refused => {}
            _ => not_live.push(name.clone()),
        }
    }
    let usable = if sound.is_empty() { not_live } else { sound };
    let wanted: Vec<_> = usable
        .iter()
        .filter(|name| routed.iter().any(|one| one.channel == **name))
        .cloned()
        .collect();
    if wanted.is_empty() { usable } else { wanted }
}

/// Has it told on the other channels that nothing has arrived on one for half an hour, if a message waits for
/// that. Nobody may have tried: a circuit that is open is left alone.
pub async fn tell_if_unreached(
    store: &Store,
    installation: &Installation,
    channel: &ChannelName,
    destination: &Destination,
) -> Result<(), StoreError> {
    let now = store.clock().now();
    let is_known = destination
        .trouble
        .as_ref()
        .is_some_and(|it| it.alert.is_some());
    let since = unreached_since(destination, now).filter(|_| destination.is_waited_for(now));
    let Some(since) = since.filter(|_| !is_known) else {
        return Ok(());
    };
    let why = destination
        .failing
        .as_ref()
        .and_then(|it| it.why.as_deref());
    let (reason, sentence) = unreached_in_words(installation, since, why);
    let why = (TroubleKind::Refused, &*reason);
    let mut destination = destination.clone();
    if leave_out_what_is_over(store, installation, channel, &mut destination).await? {
        destination.held_up = gravest_that_waits(store, installation, channel).await?;
    }
    let waits = destination.held_up.as_ref();
    let said = Some((sentence, waits.map(|it| did_not_carry(&it.text))));
    // Something may have arrived since this was read.
    let holds = |it: &Destination| unreached_since(it, now).is_some();
    begin(store, installation, channel, why, said, holds).await
}

/// Forgets the message that is noted as held up by a destination, if it is over by now or was left out; whether
/// it was.
pub(super) async fn leave_out_what_is_over(
    store: &Store,
    installation: &Installation,
    channel: &ChannelName,
    known: &mut Destination,
) -> Result<bool, StoreError> {
    let Some(noted) = &known.held_up else {
        return Ok(false);
    };
    let key = noted.key.strip_suffix(channel.as_str());
    let key = key.and_then(|it| it.strip_suffix('-')?.rsplit_once('-'));
    let Some((alert, revision)) = key.and_then(|(of, it)| Some((of, it.parse().ok()?))) else {
        return Ok(false);
    };
    let what = (alert, revision, channel);
    if waits_to_say(store, installation, what).await?.is_some() {
        return Ok(false);
    }
    known.held_up = None;
    Ok(true)
}

/// The gravest message that waits for a destination, in words.
async fn gravest_that_waits(
    store: &Store,
    installation: &Installation,
    channel: &ChannelName,
) -> Result<Option<Undelivered>, StoreError> {
    let until = later(store.clock().now(), FOUND_WITHIN);
    let is_single = |it: &Intent| it.group.is_none();
    let (waiting, _) = store.due_on(channel, until, is_single).await?;
    for Stored { data: waits, .. } in &waiting {
        let what = (waits.alert.as_str(), waits.revision, channel);
        let Some(mut message) = waits_to_say(store, installation, what).await? else {
            continue;
        };
        // An end that was not tried may be of what nobody has heard of.
        if message.change == RevisionKind::Resolved && !waits.has_failed() {
            continue;
        }
        installation.name_place(&mut message);
        let words = templates(&installation.config).render(&message, channel);
        return Ok(Some(Undelivered {
            key: waits.key(),
            text: quoted(&words.text),
            severity: message.severity,
        }));
    }
    Ok(None)
}

/// What a delivery says that waits for its channel; `None` if it is settled, or its alert is over and it is
/// nobody's news any more.
async fn waits_to_say(
    store: &Store,
    installation: &Installation,
    (id, revision, channel): (&str, u32, &ChannelName),
) -> Result<Option<Message>, StoreError> {
    let intent = store.intent(id, revision, channel).await?;
    if !intent.is_some_and(|it| it.data.is_unsettled()) {
        return Ok(None);
    }
    let configured = installation.config.channels.get(channel);
    let wants_each = configured.is_some_and(|it| it.kind.order() == Order::Each);
    match store.alert(id).await? {
        Some(alert) if alert.revision == revision => Ok(Some(alert.message)),
        Some(alert) if alert.is_over() && !wants_each => Ok(None),
        _ => store.earlier_revision(id, revision).await,
    }
}

/// Since when nothing has arrived, if that is long enough for people to hear of it.
pub(super) fn unreached_since(destination: &Destination, now: Timestamp) -> Option<Timestamp> {
    let since = destination.failing.as_ref()?.since(now)?;
    (now.duration_since(since) >= UNREACHED).then_some(since)
}

/// That nothing has arrived since then, and what was wrong last: as a reason, and as a sentence.
pub(super) fn unreached_in_words(
    installation: &Installation,
    since: Timestamp,
    why: Option<&str>,
) -> (String, String) {
    let since = local_time(since, installation.config.account.zone.0.clone());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    (
        format!("nothing has arrived since {since}{why}"),
        format!("Nothing has arrived since {since}{why}."),
    )
}

/// Ends the alert on a channel that is not in the configuration any more.
pub async fn end_with_channel(
    store: &Store,
    installation: &Installation,
    channel: &ChannelName,
) -> Result<(), StoreError> {
    let trouble = store.destination(channel).await?.trouble;
    let Some(id) = trouble.and_then(|trouble| trouble.alert) else {
        return Ok(());
    };
    let Some(alert) = store.alert(&id).await? else {
        return Ok(());
    };
    let now = store.clock().now();
    let message = Message {
        revision: alert.revision + 1,
        change: RevisionKind::Resolved,
        ending: Some(Ending::ChannelRemoved),
        at: now,
        notes: Vec::new(),
        ..alert.message.clone()
    };
    let told = installation.by_their_names(&alert.told);
    let kinds = store.kinds_told(&id).await?;
    let last = announcement(installation, message, (&told, &kinds), now, Some(&alert));
    store.end_trouble(channel, &last).await.map(drop)
}

/// What did not arrive, for whoever hears that messages arrive again.
fn what_was_lost(channel: &ChannelName, before: &Destination) -> Vec<String> {
    let Some(count) = count_of_lost(before) else {
        return Vec::new();
    };
    let again = format!("Send again what is still true: lotwire resend {channel}");
    [Some(count), quoted_of_lost(before)]
        .into_iter()
        .flatten()
        .chain((!before.is_sent_again).then_some(again))
        .collect()
}

/// What a message that a channel is down has to say by now of what the channel has not carried: how much, and
/// the gravest. `None` if it stays as it is. `is_over`: what was noted of it waits no more.
pub(super) fn what_is_lost(
    message: &Message,
    channel: &ChannelName,
    (known, is_over): (&Destination, bool),
) -> Option<Vec<String>> {
    let trouble = known.trouble.as_ref()?.alert.as_ref()?;
    let sentence = message.notes.iter().find(|note| !says_why_now(note))?;
    let (count, quoted) = match &known.held_up {
        Some(waits) if known.refused == 0 => (None, Some(did_not_carry(&waits.text))),
        _ => {
            let quoted = quoted_of_lost(known);
            let is_counted = known.refused > 1 || quoted.is_none();
            (count_of_lost(known).filter(|_| is_counted), quoted)
        }
    };
    let is_known = is_over || count.is_some() || quoted.is_some();
    if trouble != &message.alert || !is_known {
        return None;
    }
    let sentence = std::iter::once(sentence.clone());
    let said = sentence.chain(count).chain(quoted);
    Some(said.chain([when_mended(channel)]).collect())
}

fn count_of_lost(known: &Destination) -> Option<String> {
    Some(match known.refused {
        0 => return None,
        1 => "One message did not arrive.".to_owned(),
        many => format!("{many} messages did not arrive."),
    })
}

fn quoted_of_lost(known: &Destination) -> Option<String> {
    let lost = known.lost.as_ref()?;
    Some(match known.refused {
        0 | 1 => did_not_carry(&lost.text),
        _ => format!("The gravest of them: {}", lost.text),
    })
}

fn when_mended(channel: &ChannelName) -> String {
    format!("When it is mended, send again what is still true: lotwire resend {channel}")
}

/// As much of a message as is quoted.
pub(super) fn quoted(text: &str) -> String {
    one_line(text).chars().take(QUOTED).collect()
}

fn did_not_carry(lost: &str) -> String {
    format!("It did not carry: {lost}")
}

/// When something last arrived on each channel, and last did not, as far as this process knows: of messages
/// that are on their way side by side one may be refused, and another arrive.
#[derive(Debug, Default)]
pub(super) struct Lately(Mutex<BTreeMap<ChannelName, Answers>>);

#[derive(Debug, Default, Clone, Copy)]
struct Answers {
    arrived: Option<Timestamp>,
    failed: Option<Timestamp>,
}

impl Lately {
    /// Notes what came of an attempt, when its answer came.
    pub(super) fn note(&self, channel: &ChannelName, has_arrived: bool, now: Timestamp) {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = channels.entry(channel.clone()).or_default();
        match has_arrived {
            true => answers.arrived = answers.arrived.max(Some(now)),
            false => answers.failed = answers.failed.max(Some(now)),
        }
    }

    /// Whether something has arrived since then.
    pub(super) fn has_arrived_after(&self, channel: &ChannelName, then: Timestamp) -> bool {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = channels.get(channel);
        answers.is_some_and(|it| it.arrived > Some(then))
    }

    /// Whether something did not arrive then, or since.
    pub(super) fn has_failed_since(&self, channel: &ChannelName, then: Timestamp) -> bool {
        let channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = channels.get(channel);
        answers.is_some_and(|it| it.failed >= Some(then))
    }
}

fn message(
    installation: &Installation,
    channel: &ChannelName,
    id: &str,
    now: Timestamp,
) -> Message {
    let account = &installation.config.account;
    Message {
        alert: id.to_owned(),
        revision: 1,
        correlation: None,
        change: RevisionKind::Opened,
        kind: AlertKind::ChannelDown,
        severity: Severity::Critical,
        subject: Subject::Channel {
            channel: channel.clone(),
        },
        at: now,
        product: channel.to_string(),
        location: None,
        zone: account.zone.0.iana_name().unwrap_or("UTC").to_owned(),
        before: None,
        after: None,
        threshold: None,
        basis: None,
        rule: None,
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

/// A revision with an intent for each channel. They are due at once: the clock hands them to their
/// queues, since a notifier reaches only its own.
fn announcement(
    installation: &Installation,
    message: Message,
    (channels, kinds): (&[ChannelName], &BTreeMap<ChannelName, String>),
    now: Timestamp,
    before: Option<&Alert>,
) -> Announcement {
    let known = channels.iter().filter_map(|name| {
        let (kind, state) = installation.carrier(name, kinds)?;
        Some((name, kind, state))
    });
    let intents = known.map(|(name, kind, state)| {
        let (alert, revision) = (message.alert.clone(), message.revision);
        Intent {
            state,
            ..Intent::new(alert, revision, name.clone(), kind, now, now)
        }
    });
    Announcement {
        intents: intents.collect(),
        before: before.map(|alert| alert.message.clone()),
        alert: Alert {
            id: message.alert.clone(),
            kind: message.kind,
            subject: message.subject.clone(),
            severity: message.severity,
            state: match message.change {
                RevisionKind::Resolved => AlertState::Resolved,
                _ => AlertState::Open,
            },
            revision: message.revision,
            opened_at: before.map_or(now, |alert| alert.opened_at),
            updated_at: now,
            message,
            told: channels.to_vec(),
        },
    }
}
