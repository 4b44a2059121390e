//! Sending again what did not arrive, once its channel is mended: of each open alert what is true now,
//! and the end of each that the channel was told of. Where the routes lead an open alert to a channel
//! that was never told of it, because they were changed since, it is told now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::alerts::{Alert, Watched, alert_row, watch_row};
use super::groups::member_row;
use super::intents::{Intent, IntentState, Retold, intent_row};
use super::keys;
use super::row::{Expect, Write, Written};
use super::{Store, StoreError, Stored};
use crate::channels::Order;
use crate::config::channel::renamed;
use crate::domain::alert::{AlertKind, AlertState, RevisionKind, Subject};
use crate::domain::id::ChannelName;
use crate::domain::route::{Recipient, Route};
use crate::installation::Installation;

/// How many alerts are read at once, and looked at before it is asked whether there is time for more.
const PAGE: i32 = 25;

/// An end that was written longer ago is nobody's news any more.
pub(crate) const ENDS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Deliveries that are written in one transaction with the last.
const TOGETHER: usize = 50;

/// So many open alerts are looked at to say how many a channel was not told of.
const MOST_COUNTED: usize = 1_000;

/// What is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resend {
    /// On this channel,
    pub channel: ChannelName,
    /// of this alert only, if one is named;
    pub alert: Option<String>,
    /// from there on, where the answer before has ended.
    pub cursor: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resent {
    /// Deliveries that are made again.
    pub deliveries: usize,
    /// Those of them that may have arrived before.
    pub perhaps_twice: usize,
    /// Where to go on, if not everything was looked at.
    pub next: Option<String>,
}

/// What came of it for one alert.
#[derive(Debug, Default)]
struct Sent {
    is_made: bool,
    /// Whether it may have arrived before.
    perhaps_twice: bool,
}

impl Sent {
    const fn new(is_made: bool) -> Self {
        Self {
            is_made,
            perhaps_twice: false,
        }
    }
}

/// What is sent again, so far.
struct Resending<'a> {
    what: &'a Resend,
    installation: &'a Installation,
    resent: Resent,
}

/// How far it has come: first what is open is looked at, then what is over.
enum Place {
    Open(Option<String>),
    Ends(Option<String>),
}

const OPEN: &str = "open ";
const OVER: &str = "over ";

impl Place {
    fn of(cursor: Option<&str>) -> Self {
        let at = |cursor: &str| Some(cursor.to_owned()).filter(|it| !it.is_empty());
        match cursor.map(|cursor| (cursor.strip_prefix(OVER), cursor.strip_prefix(OPEN))) {
            Some((Some(over), _)) => Self::Ends(at(over)),
            Some((_, Some(open))) => Self::Open(at(open)),
            _ => Self::Open(None),
        }
    }

    fn cursor(&self) -> String {
        match self {
            Self::Open(cursor) => format!("{OPEN}{}", cursor.as_deref().unwrap_or_default()),
            Self::Ends(cursor) => format!("{OVER}{}", cursor.as_deref().unwrap_or_default()),
        }
    }
}

impl Store {
    /// Has the last revision of each alert that did not arrive on a channel sent again: of those that are
    /// open, and of those that are over where something of them had arrived. The clock hands them to their
    /// queue. It looks at one page at least, and ends with the one at which `until` has come.
    pub async fn resend(
        &self,
        what: &Resend,
        installation: &Installation,
        until: Timestamp,
    ) -> Result<Resent, StoreError> {
        let mut run = Resending {
            what,
            installation,
            resent: Resent::default(),
        };
        if what.cursor.is_none() {
            self.hasten_breaker(&what.channel).await?;
        }
        if let Some(id) = &what.alert {
            if let Some(alert) = self.alert(id).await? {
                self.resend_of(&alert, &mut run).await?;
            }
            return Ok(run.resent);
        }
        let mut place = Place::of(what.cursor.as_deref());
        loop {
            let next = match &place {
                Place::Open(cursor) => {
                    let page = self.resend_open(&mut run, cursor.as_deref());
                    let next = page.await?;
                    let next = next.map_or(Place::Ends(None), |next| Place::Open(Some(next)));
                    Some(next)
                }
                Place::Ends(cursor) => {
                    let page = self.resend_ends(&mut run, cursor.as_deref());
                    page.await?.map(|next| Place::Ends(Some(next)))
                }
            };
            let Some(next) = next else {
                // What was not sent again did not arrive, and there is nothing of it to tell any more.
                self.all_is_sent_again(&what.channel).await?;
                return Ok(run.resent);
            };
            if self.clock.now() >= until {
                run.resent.next = Some(next.cursor());
                return Ok(run.resent);
            }
            place = next;
        }
    }

    /// A page of what is open, and where the next begins.
    async fn resend_open(
        &self,
        run: &mut Resending<'_>,
        cursor: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let page = self.alerts(AlertState::Open, cursor, PAGE).await?;
        for alert in &page.items {
            self.resend_of(alert, run).await?;
        }
        Ok(page.next)
    }

    /// A page of what was written lately, for the ends in it.
    async fn resend_ends(
        &self,
        run: &mut Resending<'_>,
        cursor: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let since = self.clock.now().saturating_sub(ENDS).unwrap_or_default();
        let page = self.intents_since(since, cursor, PAGE).await?;
        for intent in &page.items {
            // What arrived needs no look, and an end follows at least a beginning.
            let may_be_an_end = intent.revision > 1 && intent.state != IntentState::Delivered;
            if intent.channel != run.what.channel || !may_be_an_end {
                continue;
            }
            let alert = self.alert(&intent.alert).await?;
            let over = alert.filter(|it| it.is_over() && it.revision == intent.revision);
            if let Some(alert) = over {
                self.resend_of(&alert, run).await?;
            }
        }
        Ok(page.next)
    }

    /// Sends an alert's last revision again, and keeps count.
    async fn resend_of(&self, alert: &Alert, run: &mut Resending<'_>) -> Result<(), StoreError> {
        let sent = self.resend_last(alert, run.what, run.installation).await?;
        run.resent.deliveries += usize::from(sent.is_made);
        run.resent.perhaps_twice += usize::from(sent.perhaps_twice);
        Ok(())
    }

    /// Sends an alert's last revision again on a channel, if it did not arrive.
    async fn resend_last(
        &self,
        alert: &Alert,
        what: &Resend,
        installation: &Installation,
    ) -> Result<Sent, StoreError> {
        let channel = &what.channel;
        let mut intents = self.intents_on(&alert.id, channel).await?;
        let Some(last) = intents.pop() else {
            let knows = self.knew_by_another_name(alert, channel, installation);
            let told = !knows.await? && self.tell_of(alert, channel, installation).await?;
            return Ok(Sent::new(told));
        };
        if alert.state == AlertState::Resolved {
            let heard = intents.iter().any(|it| it.data.may_have_reached());
            let heard = heard || alert.message.is_news_by_itself();
            if !heard || last.data.revision != alert.revision || self.is_open_again(alert).await? {
                return Ok(Sent::default());
            }
        }
        // What became of it while no route led here.
        if alert.state == AlertState::Open
            && last.data.revision < alert.revision
            && self.tell_of(alert, channel, installation).await?
        {
            return Ok(Sent::new(true));
        }
        let wants_each = wants_each(installation, channel);
        // Whoever is told what is so now needs to hear nothing of before, and of that nothing is sent any more.
        let earlier = intents.iter().filter(|it| !wants_each && it.data.is_lost());
        let earlier: Vec<_> = earlier.collect();
        match last.data.state {
            // Its group has it, and says what is true: soon, or now if it found the channel not live.
            IntentState::Pending if last.data.group.is_some() => Ok(Sent::default()),
            IntentState::NotSent if let Some(belongs) = &last.data.group => {
                let made = self.hasten(&belongs.id(channel)).await?;
                Ok(Sent::new(made))
            }
            IntentState::Pending if last.data.in_flight => Ok(Sent::default()),
            IntentState::Delivered => Ok(Sent::default()),
            IntentState::Superseded if alert.state == AlertState::Resolved => Ok(Sent::default()),
            // People are told what is left, and that it was low before is told when it is so again.
            state if let Some(graver) = self.graver(alert, channel, installation).await? => {
                let mut writes = Vec::new();
                if state != IntentState::Superseded {
                    let reason = format!("alert {graver} says what is left now");
                    writes.push(replaced(&last, &last.data.superseded(&reason))?);
                }
                self.regain_all(&earlier, &last, writes).await?;
                Ok(Sent::default())
            }
            _ => {
                let is_made = match &last.data.group {
                    Some(belongs) => {
                        // In one message with whatever of its group is sent again, too.
                        let group = belongs.id(channel);
                        let retold = Retold::of(&last, alert, self.clock.now()).writes()?;
                        self.regain_all(&earlier, &last, retold).await?;
                        self.wake(&group).await?;
                        self.hasten(&group).await?
                    }
                    None => {
                        self.send_what_comes_first(&intents, &last).await?;
                        let again = replaced(&last, &last.data.again(self.clock.now()))?;
                        self.regain_all(&earlier, &last, vec![again]).await?
                    }
                };
                Ok(Sent {
                    is_made,
                    perhaps_twice: is_made && !last.data.is_unsettled() && last.data.perhaps_sent,
                })
            }
        }
    }

    /// Whether the last of an alert arrived on a channel while that had another name.
    async fn knew_by_another_name(
        &self,
        alert: &Alert,
        channel: &ChannelName,
        installation: &Installation,
    ) -> Result<bool, StoreError> {
        for former in &alert.told {
            let now = installation.by_their_names(std::slice::from_ref(former));
            if former == channel || !now.contains(channel) {
                continue;
            }
            let last = self.intents_on(&alert.id, former).await?.pop();
            let knows = |it: Stored<Intent>| {
                let arrived = it.data.state == IntentState::Delivered;
                arrived && it.data.revision == alert.revision
            };
            if last.is_some_and(knows) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes what becomes of an alert's last delivery, and of those before it that were lost that they are
    /// sent no more: none of them counts as lost from then on, or is found lost a second time. `false` if any
    /// has changed since it was read.
    async fn regain_all(
        &self,
        earlier: &[&Stored<Intent>],
        last: &Stored<Intent>,
        mut writes: Vec<Write>,
    ) -> Result<bool, StoreError> {
        let channel = &last.data.channel;
        let replaces = |lost: &Stored<Intent>| {
            let after = lost
                .data
                .superseded("what was said after it was sent again");
            replaced(lost, &after)
        };
        // All of a long outage is more than goes into one transaction.
        let (older, latest) = earlier.split_at(earlier.len().saturating_sub(TOGETHER));
        for lost in older {
            let left_out = [replaces(lost)?];
            self.regain(channel, &left_out, std::slice::from_ref(&lost.data))
                .await?;
        }
        let mut lost = Vec::new();
        for earlier in latest {
            writes.push(replaces(earlier)?);
            lost.push(earlier.data.clone());
        }
        lost.extend(last.data.is_lost().then(|| last.data.clone()));
        if writes.is_empty() {
            return Ok(false);
        }
        self.regain(channel, &writes, &lost).await
    }

    /// The alert that nothing is left of what this one says is low, if people on the channel are told of it.
    async fn graver(
        &self,
        alert: &Alert,
        channel: &ChannelName,
        installation: &Installation,
    ) -> Result<Option<String>, StoreError> {
        let configured = installation.config.channels.contains_key(channel);
        let is_for_people = configured && !wants_each(installation, channel);
        if alert.kind != AlertKind::LowStock || alert.state != AlertState::Open || !is_for_people {
            return Ok(None);
        }
        for stored in self.watches(&alert.subject).await? {
            let watched = stored.data;
            let out = watched.watch.episode().filter(|it| it.told());
            if let Some(out) = out.filter(|_| watched.kind == AlertKind::OutOfStock)
                && !self.intents_on(&out.alert, channel).await?.is_empty()
            {
                return Ok(Some(out.alert.clone()));
            }
        }
        Ok(None)
    }

    /// Has what a message waits for sent at once, too: what comes before it of its alert, and of earlier
    /// alerts on the same subject.
    async fn send_what_comes_first(
        &self,
        earlier: &[Stored<Intent>],
        last: &Stored<Intent>,
    ) -> Result<(), StoreError> {
        let ours = earlier.iter().chain([last]);
        let follows: BTreeSet<_> = ours.flat_map(|it| &it.data.follows).collect();
        let mut others = Vec::new();
        for alert in follows {
            others.extend(self.intents_on(alert, &last.data.channel).await?);
        }
        let now = self.clock.now();
        for first in others.iter().chain(earlier) {
            let Intent {
                state,
                in_flight,
                group,
                not_before,
                ..
            } = &first.data;
            let waits = *state == IntentState::Pending && !in_flight && group.is_none();
            if waits && *not_before > now {
                self.send_again(first).await?;
            }
        }
        Ok(())
    }

    /// Tells a channel how an open alert stands that the routes lead there now, and did not when that was
    /// told.
    async fn tell_of(
        &self,
        alert: &Alert,
        channel: &ChannelName,
        installation: &Installation,
    ) -> Result<bool, StoreError> {
        let Some(configured) = installation.config.channels.get(channel) else {
            return Ok(false);
        };
        let category = self.category_of(alert, &[installation]).await?;
        let category = category.as_deref();
        let knows = installation.by_their_names(&alert.told);
        let change = match knows.contains(channel) {
            true => alert.message.change,
            false => RevisionKind::Opened,
        };
        let routed = routed(installation, alert, category, change);
        let Some(recipient) = routed.iter().find(|one| one.channel == *channel) else {
            return Ok(false);
        };
        let (now, about) = (self.clock.now(), (&alert.subject, alert.kind));
        let group = installation.group_of(recipient, about, category);
        for tries in 0.. {
            let key = keys::alert(&alert.id);
            let stored: Option<Stored<Alert>> = self.get("read an alert", &key).await?;
            let Some(Stored { version, data, .. }) = stored else {
                return Ok(false);
            };
            let sent = self.intent(&data.id, data.revision, channel).await?;
            if data.revision != alert.revision || sent.is_some() {
                return Ok(false);
            }
            let Some(watch) = self.told_watch(&data).await? else {
                return Ok(false);
            };
            let intent = Intent {
                group: group.clone().map(Box::new),
                ..Intent::new(
                    data.id.clone(),
                    data.revision,
                    channel.clone(),
                    configured.kind.to_string(),
                    now,
                    now,
                )
            };
            let member = member_row(&intent, (false, data.severity))?;
            let mut knows = data.clone();
            if !knows.told.contains(channel) {
                knows.told.push(channel.clone());
            }
            let mut writes = vec![
                Write::Put(intent_row(&intent)?, Expect::Absent),
                Write::Put(alert_row(&knows)?, Expect::Version(version)),
                // Whoever writes the next revision has read before whom this one was told.
                Write::Put(watch_row(&watch.data)?, Expect::Version(watch.version)),
            ];
            writes.extend(member.map(|member| Write::Put(member, Expect::Absent)));
            const OPERATION: &str = "tell a channel of an open alert";
            if self.transact(OPERATION, writes).await? == Written::Done {
                return Ok(true);
            }
            self.after_conflict(OPERATION, tries).await?;
        }
        Ok(false)
    }

    /// How many alerts are open that the routes of one configuration lead to a channel, those of the one
    /// before did not, and the channel was not told of: by channel. `false` beside it if they are more.
    pub async fn newly_routed(
        &self,
        before: &Installation,
        now: &Installation,
        until: Timestamp,
    ) -> Result<(BTreeMap<ChannelName, usize>, bool), StoreError> {
        let mut counts = BTreeMap::new();
        let names = renamed(&before.config.channels, &now.config.channels);
        let (mut cursor, mut seen) = (None, 0);
        loop {
            let page = self
                .alerts(AlertState::Open, cursor.as_deref(), PAGE)
                .await?;
            for alert in &page.items {
                if self.clock.now() >= until || seen >= MOST_COUNTED {
                    return Ok((counts, false));
                }
                seen += 1;
                let category = self.category_of(alert, &[before, now]).await?;
                let category = category.as_deref();
                let opened = RevisionKind::Opened;
                let known = routed(before, alert, category, opened);
                for recipient in routed(now, alert, category, opened) {
                    let mut names = names.iter().filter(|(_, new)| *new == recipient.channel);
                    let named = names.next().map_or(&recipient.channel, |(old, _)| old);
                    let led_there = known.iter().any(|one| one.channel == *named);
                    let knows = alert.told.contains(named);
                    if !led_there && !knows && self.told_watch(alert).await?.is_some() {
                        *counts.entry(recipient.channel).or_default() += 1;
                    }
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok((counts, true));
            }
        }
    }

    /// The watch of an alert that is open and that whoever should know may be told of now. Those who know
    /// of a graver one are told once that is over; a channel's trouble is told by those who notice it.
    async fn told_watch(&self, alert: &Alert) -> Result<Option<Stored<Watched>>, StoreError> {
        let watches = self.watches(&alert.subject).await?;
        let mut ours = watches.into_iter().filter(|it| {
            let episode = it.data.watch.episode();
            episode.is_some_and(|episode| episode.alert == alert.id)
        });
        Ok(ours.find(|it| !it.data.watch.waits_for_graver()))
    }

    /// The category of what an alert is about, where a route asks for it.
    async fn category_of(
        &self,
        alert: &Alert,
        installations: &[&Installation],
    ) -> Result<Option<String>, StoreError> {
        let product = match &alert.subject {
            Subject::Position { product, .. } | Subject::Group { product, .. } => product,
            _ => return Ok(None),
        };
        let mut routes = installations.iter().flat_map(|it| it.routes.iter());
        if !routes.any(Route::asks_for_category) {
            return Ok(None);
        }
        let product = self.product(product).await?;
        let authority = installations.last().map(|it| it.authority());
        let category = product.as_ref().zip(authority.as_ref());
        let category = category.and_then(|(it, by)| it.category(&by.quantities));
        Ok(category.map(str::to_owned))
    }

    /// Whether the same is wrong again: the end of what was before is no longer true.
    async fn is_open_again(&self, alert: &Alert) -> Result<bool, StoreError> {
        let watches = self.watches(&alert.subject).await?;
        let mut ours = watches.iter().filter(|it| it.data.kind == alert.kind);
        Ok(ours.any(|it| it.data.watch.episode().is_some()))
    }

    /// Has a delivery made from the beginning: at once, and again for as long as the schedule allows.
    /// `false` if it has changed since it was read.
    async fn send_again(&self, stored: &Stored<Intent>) -> Result<bool, StoreError> {
        let again = stored.data.again(self.clock.now());
        self.put_intent(stored, &again).await
    }
}

fn replaced(from: &Stored<Intent>, to: &Intent) -> Result<Write, StoreError> {
    Ok(Write::Put(intent_row(to)?, Expect::Version(from.version)))
}

fn wants_each(installation: &Installation, channel: &ChannelName) -> bool {
    let configured = installation.config.channels.get(channel);
    configured.is_some_and(|it| it.kind.order() == Order::Each)
}

/// Where the routes lead such a revision of an alert.
fn routed(
    installation: &Installation,
    alert: &Alert,
    category: Option<&str>,
    change: RevisionKind,
) -> Vec<Recipient> {
    let about = (&alert.subject, alert.kind, alert.severity);
    installation.recipients(about, category, change, None)
}
