//! What a group has to say: its members counted, listed and, as far as there is room, named.
//!
//! However many members there are, one page of them is in memory at a time.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::{SignedDuration, Timestamp};

use super::deliver::{DeliverError, Deliverer};
use super::errand::order_of;
use super::order;
use super::overtaken::{Ear, Standing};
use super::verdict::later;
use crate::channels::Order;
use crate::domain::alert::{AlertState, Ending, RevisionKind};
use crate::domain::group::{FlushId, GroupLabel, Phase};
use crate::domain::message::{Digest, Message};
use crate::domain::watch::Watch;
use crate::store::alerts::Watched;
use crate::store::groups::{Covered, Covers, Gathering, Group, Member, Pages, Which};
use crate::store::{StoreError, Stored};

/// How many members are read at once.
const PAGE: i32 = 500;

/// How many members one page of a message's list holds: some 100 KB of the 400 that a row may have.
const COVERED: usize = 500;

/// Why nothing is told of an alert whose end waits together with its beginning, or is told elsewhere.
const UNHEARD: &str = "the alert ended before anything of it left";

/// How many alerts are asked side by side whether they are still open.
const SIDE_BY_SIDE: usize = 16;

/// How long it may take to see whether what a message counts is so.
const COUNTED_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// What a group has to say.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The alerts that it is about.
    pub(super) total: u32,
    /// Those of them that are over.
    pub(super) resolved: u32,
    /// The pages that list what is covered.
    pub(super) listed: Vec<Pages>,
    /// Whether something goes on waiting, since the same is being told.
    pub(super) keeps: bool,
    reminder: bool,
    common_place: bool,
    /// The alerts that matter most, as their last revisions have them.
    named: Vec<Message>,
}

/// What came of gathering.
pub(super) enum Gathers {
    /// All that there is.
    All(Gathered),
    /// The next look goes on from here.
    PartOf(Gathering),
}

impl Gathered {
    /// The words' facts; `None` if there is nothing to say. An alert alone is told as it stands.
    pub(super) fn message(&self, id: &FlushId, now: Timestamp) -> Option<Message> {
        if self.total == 1 && !self.reminder {
            return self.named.first().cloned();
        }
        let digest = Digest::of(self.total, self.resolved, self.reminder, self.named.clone());
        let first = digest.alerts.first()?;
        let open = digest.open;
        Some(Message {
            alert: id.to_string(),
            revision: 1,
            // Of the one that matters most; each named alert has its own.
            correlation: first.correlation.clone(),
            change: match open {
                0 => RevisionKind::Resolved,
                _ if self.reminder => RevisionKind::Updated,
                _ => RevisionKind::Opened,
            },
            at: now,
            product: format!("{} alerts", digest.total),
            location: first.location.clone().filter(|_| self.common_place),
            before: None,
            after: None,
            threshold: None,
            basis: None,
            rule: None,
            why: None,
            ending: (open == 0).then_some(Ending::Recovered),
            renamed_to: None,
            renamed_name: None,
            days_of_supply: None,
            sold: None,
            notes: Vec::new(),
            link: None,
            kind: first.kind,
            severity: first.severity,
            subject: first.subject.clone(),
            zone: first.zone.clone(),
            digest: Some(digest),
        })
    }
}

impl Gathering {
    /// Counts an alert, and keeps it if it is one of so many that matter most.
    fn count(&mut self, member: Member, most: u32) {
        self.total = self.total.saturating_add(1);
        self.resolved += u32::from(member.over);
        let rank = |one: &Member| {
            let Member {
                severity,
                at,
                alert,
                ..
            } = one;
            (std::cmp::Reverse(*severity), one.over, *at, alert.clone())
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let own = rank(&member);
        let place = self.foremost.partition_point(|other| rank(other) < own);
        if place < most {
            self.foremost.insert(place, member);
            self.foremost.truncate(most);
        }
    }

    /// Takes in the revisions of one alert. Only the last of them speaks for it; and none, if it is left
    /// out.
    fn take(
        &mut self,
        revisions: Vec<Member>,
        left_out: Option<LeftOut>,
        most: u32,
        listed: &mut Vec<Covered>,
    ) {
        let Some(last) = revisions.last().cloned() else {
            return;
        };
        if left_out.is_none() {
            self.count(last.clone(), most);
        }
        let unheard = left_out.is_some();
        let (reason, overtaken_by) = match left_out {
            Some(left_out) => (Some(left_out.reason), left_out.overtaken_by),
            None => (None, None),
        };
        listed.extend(revisions.into_iter().map(|member| Covered {
            last: member.revision == last.revision,
            unheard,
            reason: reason.clone(),
            overtaken_by: overtaken_by.clone(),
            member,
        }));
    }
}

impl Deliverer {
    /// Reads what waits in a group, and lists it under this token as covered by the message. Where
    /// nothing waits and it is time to, finds what is still open. It ends with the page at which `until`
    /// has come, and goes on where the look before has ended.
    pub(super) async fn gather(
        &self,
        group: &Group,
        message: &FlushId,
        token: &str,
        until: Timestamp,
    ) -> Result<Gathers, DeliverError> {
        let reminding = matches!(group.schedule.phase, Phase::Reminding(_));
        let so_far = group.gathering.clone();
        // What has come since is told, and then nothing is brought to mind.
        let so_far = so_far.filter(|it| reminding || !it.reminder);
        let mut so_far = so_far.unwrap_or_default();
        if !so_far.reminder {
            let waiting = self.gather_waiting(group, (message, token), &mut so_far, until);
            if !waiting.await? {
                return Ok(Gathers::PartOf(so_far));
            }
            so_far.reminder = reminding && so_far.total == 0 && so_far.listed.is_empty();
        }
        if so_far.reminder {
            if !self.gather_open(group, &mut so_far, until).await? {
                return Ok(Gathers::PartOf(so_far));
            }
            if !self.reminds(group).await? {
                // What is over is forgotten; what is open it says again should its route remind again.
                (so_far.total, so_far.foremost) = (0, Vec::new());
            }
        }
        let mut gathered = Gathered {
            total: so_far.total,
            resolved: so_far.resolved,
            listed: so_far.listed,
            keeps: so_far.keeps,
            reminder: so_far.reminder,
            common_place: group
                .belongs
                .labels
                .iter()
                .any(|(label, _)| *label == GroupLabel::Location),
            named: Vec::new(),
        };
        let installation = self.installations.current().await?;
        for member in &so_far.foremost {
            let words = self.store.revision(&member.alert, member.revision).await?;
            let Some(mut words) = words else { continue };
            if matches!(
                words.change,
                RevisionKind::Updated | RevisionKind::Escalated
            ) && !self
                .heard_before((&member.alert, member.revision), &group.channel)
                .await?
            {
                words.begins();
            }
            installation.name_place(&mut words);
            self.take_present_doubts(&mut words).await?;
            if words.kind.is_about_stock() {
                let watches = self.store.watches(&words.subject).await?;
                let later = self.told_since(ear(group), (&watches, &words), member.at);
                let later = later.await?;
                let is_outdated = !later.is_empty() && words.change != RevisionKind::Resolved;
                self.take_present_stock(&mut words, &watches, is_outdated)
                    .await?;
                if let Some(last) = group.schedule.last.filter(|_| so_far.reminder) {
                    let heard = self.heard_of(&words, last.0).await?;
                    words.notes.extend(heard.notes());
                }
            }
            gathered.named.push(words);
        }
        Ok(Gathers::All(gathered))
    }

    /// Whether all that waits is gathered now.
    async fn gather_waiting(
        &self,
        group: &Group,
        (message, token): (&FlushId, &str),
        so_far: &mut Gathering,
        until: Timestamp,
    ) -> Result<bool, DeliverError> {
        let mut listed = Vec::with_capacity(COVERED);
        let mut pages = 0;
        // By alert: its revisions stand together. Those of the last may go on with the next page.
        let mut alerts: Vec<Vec<Member>> = Vec::new();
        loop {
            let shard = so_far.cursor.as_ref().map_or(0, |(shard, _)| *shard);
            let (members, next) = self
                .store
                .members(&group.id, Which::Waiting, so_far.cursor.take(), PAGE)
                .await?;
            let before = alerts.len();
            for member in members {
                match alerts.last_mut() {
                    Some(known) if known[0].alert == member.alert => known.push(member),
                    _ => alerts.push(vec![member]),
                }
            }
            let begun = match next {
                Some(_) => alerts.pop(),
                None => None,
            };
            let last = alerts.get(before..).unwrap_or_default().last();
            let last = last.and_then(|revisions| revisions.last()).cloned();
            let pending: Vec<_> = alerts
                .iter()
                .map(|revisions| self.left_out(group, revisions))
                .collect();
            let left_out: Vec<Option<LeftOut>> = stream::iter(pending)
                .buffered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            for (revisions, left_out) in alerts.drain(..).zip(left_out) {
                if left_out.as_ref().is_some_and(|it| it.not_yet) {
                    so_far.keeps = true;
                    continue;
                }
                so_far.take(revisions, left_out, group.belongs.pace.most, &mut listed);
                if listed.len() >= COVERED {
                    self.list(message, token, &mut pages, &mut listed).await?;
                }
            }
            if let Some(last) = last.filter(|_| next.is_some() && self.is_over(until)) {
                // What was begun is read again.
                so_far.cursor = Some((shard, Some(last.place(&group.id))));
                break;
            }
            alerts.extend(begun);
            so_far.cursor = next;
            if so_far.cursor.is_none() {
                break;
            }
        }
        if !listed.is_empty() {
            self.list(message, token, &mut pages, &mut listed).await?;
        }
        if pages > 0 {
            let token = token.to_owned();
            so_far.listed.push(Pages { token, pages });
        }
        Ok(so_far.cursor.is_none())
    }

    fn is_over(&self, until: Timestamp) -> bool {
        self.store.clock().now() >= until
    }

    /// Why nothing is to be said of these revisions, if so. Either the alert is over and they do not say
    /// so: its end is told elsewhere, or not on this channel. Or a later revision is sent there by itself.
    /// Or they end an alert of which the channel has heard nothing: what was to say that it began waits
    /// too, or never arrived. Or the channel knows by now, from another alert, what is left of the item.
    async fn left_out(
        &self,
        group: &Group,
        revisions: &[Member],
    ) -> Result<Option<LeftOut>, DeliverError> {
        let Some(last) = revisions.last() else {
            return Ok(None);
        };
        let alert = self.store.alert(&last.alert).await?;
        if let Some(alert) = &alert {
            if alert.revision > last.revision {
                if alert.is_over() {
                    return Ok(Some(LeftOut::because(UNHEARD)));
                }
                let all = self.store.intents_on(&last.alert, &group.channel).await?;
                let mut later = all.iter().map(|it| &it.data);
                let later = later.find(|it| it.revision > last.revision && it.group.is_none());
                if let Some(later) = later {
                    let reason = order::overtaken_by(later.revision);
                    return Ok(Some(LeftOut::because(reason)));
                }
            }
            if self.is_over_at_source(&alert.message).await? {
                return Ok(Some(LeftOut::until("its end is about to be written")));
            }
            if alert.kind.tells_what_is_left() {
                let watches = self.watches_over(&alert.message).await?;
                if let Some(reason) = self.no_news(alert.kind, &watches, last.at) {
                    return Ok(Some(LeftOut::because(reason)));
                }
                let later = self.told_since(ear(group), (&watches, &alert.message), last.at);
                let later = later.await?;
                if let Some(open) = later.iter().find(|it| it.is_open) {
                    return Ok(Some(LeftOut {
                        reason: open.reason(),
                        overtaken_by: Some(open.alert.clone()),
                        not_yet: false,
                    }));
                }
                if last.is_end() {
                    // An end is no news to who has read since what is left.
                    if let Some(told) = later.iter().find(|it| !it.in_hand) {
                        return Ok(Some(LeftOut::because(told.reason())));
                    }
                    let beside =
                        self.beside_other_ends(ear(group), (&watches, &alert.message), last.at);
                    match beside.await? {
                        Standing::Holds => {}
                        Standing::Nothing(reason) => return Ok(Some(LeftOut::because(reason))),
                        Standing::Waits(_) => {
                            let reason = "another end of the item is being sent";
                            return Ok(Some(LeftOut::until(reason)));
                        }
                    }
                }
            } else if last.is_end() && order_of(&group.kind) == Order::Latest {
                let watches = self.watches_over(&alert.message).await?;
                let about = (watches.as_slice(), &alert.message);
                let begun = self.beside_what_has_begun(&group.channel, about, last.at);
                let beside = match begun.await? {
                    Standing::Holds if alert.message.closes_item() => {
                        self.beside_other_ends(ear(group), about, last.at).await?
                    }
                    begun => begun,
                };
                match beside {
                    Standing::Holds => {}
                    Standing::Nothing(reason) => return Ok(Some(LeftOut::because(reason))),
                    Standing::Waits(_) => {
                        let reason = "another alert on the item is being sent";
                        return Ok(Some(LeftOut::until(reason)));
                    }
                }
            }
        }
        if !last.is_end() {
            return Ok(None);
        }
        let all = self.store.intents_on(&last.alert, &group.channel).await?;
        let mut earlier = all
            .iter()
            .filter(|it| it.data.revision < last.revision)
            .peekable();
        let is_unheard = earlier.peek().is_some() && !earlier.any(|it| it.data.may_have_reached());
        Ok(is_unheard.then(|| LeftOut::because(UNHEARD)))
    }

    /// Whether what a group's message says is no longer so: of an alert that it names, which has a later
    /// revision, or of which another has told the channel what is left; or, where it has `waited`, how many
    /// there are and how much is left.
    pub(super) async fn is_outdated(
        &self,
        group: &Group,
        message: &Message,
        waited: bool,
    ) -> Result<bool, DeliverError> {
        let reminds = message.digest.as_ref().is_some_and(|it| it.reminder);
        let named = message.named().iter();
        let looked = named.map(|said| self.is_not_as_said(group, said, (reminds, waited)));
        let looked: Vec<_> = looked.collect();
        let mut looked = stream::iter(looked).buffer_unordered(SIDE_BY_SIDE);
        while let Some(is_outdated) = looked.try_next().await? {
            if is_outdated {
                return Ok(true);
            }
        }
        match &message.digest {
            Some(digest) if waited => self.counts_what_was(group, digest).await,
            _ => Ok(false),
        }
    }

    async fn is_not_as_said(
        &self,
        group: &Group,
        said: &Message,
        (reminds, waited): (bool, bool),
    ) -> Result<bool, DeliverError> {
        let counts = (reminds, said.after.is_none());
        Ok(self.says_what_is_over(said).await?
            || self.has_changed(group, said, counts).await?
            || waited && self.says_how_much_was(said).await?)
    }

    /// Whether an alert is not as a group's message has it. `if_open`: what another has told of the item counts
    /// only while that is open.
    async fn has_changed(
        &self,
        group: &Group,
        said: &Message,
        (reminds, if_open): (bool, bool),
    ) -> Result<bool, DeliverError> {
        let Some(alert) = self.store.alert(&said.alert).await? else {
            return Ok(false);
        };
        if alert.revision > said.revision || self.is_over_at_source(said).await? {
            return Ok(true);
        }
        if !alert.kind.tells_what_is_left() && !reminds {
            return Ok(false);
        }
        let watches = self.watches_over(said).await?;
        if reminds && !self.holds_steadily(&alert.id, &watches) {
            return Ok(true);
        }
        if !alert.kind.tells_what_is_left() {
            return Ok(false);
        }
        if self.no_news(alert.kind, &watches, said.at).is_some() {
            return Ok(true);
        }
        let intent = self
            .store
            .intent(&said.alert, said.revision, &group.channel);
        let Some(intent) = intent.await? else {
            return Ok(false);
        };
        let since = intent.data.created_at;
        let later = self.told_since(ear(group), (&watches, &alert.message), since);
        let later = later.await?;
        let if_open = reminds || if_open;
        Ok(later.iter().any(|it| it.is_open || !if_open))
    }

    /// Whether a message says how much was left or sold, and it is otherwise now.
    async fn says_how_much_was(&self, said: &Message) -> Result<bool, DeliverError> {
        if (said.after, said.sold) == (None, None) || !said.kind.is_about_stock() {
            return Ok(false);
        }
        let watches = self.store.watches(&said.subject).await?;
        let mut now = said.clone();
        self.take_present_stock(&mut now, &watches, false).await?;
        Ok((now.after, now.sold) != (said.after, said.sold))
    }

    /// Whether a group's message counts what it does not name, and that is not so any more. It leaves as it is
    /// where there is no time to look at all of that: a count that is a little old is better than none.
    async fn counts_what_was(&self, group: &Group, digest: &Digest) -> Result<bool, DeliverError> {
        let until = later(self.store.clock().now(), COUNTED_WITHIN);
        if digest.reminder {
            let mut open = Gathering::default();
            let is_all = self.gather_open(group, &mut open, until).await?;
            return Ok(is_all && open.total != digest.total);
        }
        let named = digest.alerts.iter().chain(&digest.overtaken);
        let named: BTreeSet<_> = named.map(|it| it.alert.as_str()).collect();
        if usize::try_from(digest.total).is_ok_and(|total| total <= digest.alerts.len()) {
            return Ok(false);
        }
        let mut left = group.covers.clone().and_then(Covers::left);
        while let Some(mut covers) = left {
            let page = self
                .store
                .covered(&group.message(), &covers.token, covers.settled)
                .await?;
            let counted = page.iter().filter(|it| it.last && !it.unheard);
            let counted = counted.map(|it| &it.member);
            let counted: Vec<_> = counted
                .filter(|member| !named.contains(member.alert.as_str()))
                .collect();
            for some in counted.chunks(SIDE_BY_SIDE) {
                if self.is_over(until) {
                    return Ok(false);
                }
                let looked = some.iter().map(|it| self.is_not_as_counted(group, it));
                let changed = future::try_join_all(looked).await?;
                if changed.contains(&true) {
                    return Ok(true);
                }
            }
            covers.settled += 1;
            left = covers.left();
        }
        Ok(false)
    }

    async fn is_not_as_counted(
        &self,
        group: &Group,
        member: &Member,
    ) -> Result<bool, DeliverError> {
        let Some(alert) = self.store.alert(&member.alert).await? else {
            return Ok(false);
        };
        if alert.is_over() != member.over {
            return Ok(true);
        }
        self.has_changed(group, &alert.message, (false, true)).await
    }

    async fn list(
        &self,
        message: &FlushId,
        token: &str,
        pages: &mut u32,
        listed: &mut Vec<Covered>,
    ) -> Result<(), StoreError> {
        self.store
            .write_covered(message, token, *pages, listed)
            .await?;
        *pages += 1;
        listed.clear();
        Ok(())
    }

    /// Whether a group brings to mind what is open. Where its route does not any more, reminders come of
    /// each alert by itself.
    async fn reminds(&self, group: &Group) -> Result<bool, DeliverError> {
        let installation = self.installations.current().await?;
        let route = &group.belongs.route;
        Ok(installation.routes.reminds(route, &group.channel))
    }

    /// Of what was told, what is still open; the rest is forgotten. Whether that is all of it.
    async fn gather_open(
        &self,
        group: &Group,
        so_far: &mut Gathering,
        until: Timestamp,
    ) -> Result<bool, DeliverError> {
        loop {
            let (members, next) = self
                .store
                .members(&group.id, Which::Told, so_far.cursor.take(), PAGE)
                .await?;
            let pending: Vec<_> = members
                .into_iter()
                .map(|member| self.still_open(group, member))
                .collect();
            let open: Vec<Option<Member>> = stream::iter(pending)
                .buffered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            for member in open.into_iter().flatten() {
                so_far.count(member, group.belongs.pace.most);
            }
            so_far.cursor = next;
            if so_far.cursor.is_none() || self.is_over(until) {
                return Ok(so_far.cursor.is_none());
            }
        }
    }

    async fn still_open(
        &self,
        group: &Group,
        member: Member,
    ) -> Result<Option<Member>, DeliverError> {
        let alert = self.store.alert(&member.alert).await?;
        let Some(alert) = alert.filter(|alert| alert.state == AlertState::Open) else {
            self.store.forget_told(&group.id, &member.alert).await?;
            return Ok(None);
        };
        let watches = self.store.watches(&alert.subject).await?;
        if !self.holds_steadily(&alert.id, &watches)
            || self.is_over_at_source(&alert.message).await?
            || self.is_withheld(&alert.subject).await?
        {
            return Ok(None);
        }
        // Whoever has told the channel last of it reminds.
        let told = self.store.intents_on(&alert.id, &group.channel).await?;
        let last = told.last().and_then(|it| it.data.group.as_deref());
        if last.is_none_or(|it| it.id(&group.channel) != group.id) {
            return Ok(None);
        }
        if alert.kind.tells_what_is_left() {
            let later = self.told_since(ear(group), (&watches, &alert.message), member.at);
            if later.await?.iter().any(|it| it.is_open) {
                return Ok(None);
            }
        }
        Ok(Some(member))
    }

    /// Whether an open alert is one to be reminded of. What nobody watches, as a channel, is.
    fn holds_steadily(&self, alert: &str, watches: &[Stored<Watched>]) -> bool {
        let now = self.store.clock().now();
        let watches = watches.iter().map(|stored| &stored.data.watch);
        let is_ours = |watch: &&Watch| {
            watch
                .episode()
                .is_some_and(|episode| episode.alert == alert)
        };
        let mut ours = watches.filter(is_ours);
        ours.next().is_none_or(|watch| watch.holds_steadily(now))
    }
}

/// Where a group is to tell.
fn ear(group: &Group) -> Ear<'_> {
    Ear {
        channel: &group.channel,
        group: Some(&group.id),
    }
}

/// Why a group says nothing of an alert.
struct LeftOut {
    reason: String,
    /// The alert of the same item that says what is left now.
    overtaken_by: Option<String>,
    /// Whether it goes on waiting, for the group's next message.
    not_yet: bool,
}

impl LeftOut {
    fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            overtaken_by: None,
            not_yet: false,
        }
    }

    /// Only for now: what this waits for is soon known.
    fn until(reason: &str) -> Self {
        Self {
            not_yet: true,
            ..Self::because(reason)
        }
    }
}
