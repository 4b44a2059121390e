//! What a group has to say: its members counted, listed and, as far as there is room, named.
//!
//! However many members there are, one page of them is in memory at a time.

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::deliver::{DeliverError, Deliverer};
use crate::domain::alert::{AlertKind, AlertState, Ending, RevisionKind, Subject};
use crate::domain::group::{FlushId, GroupLabel, Phase};
use crate::domain::message::{Digest, Message};
use crate::domain::watch::Spoken;
use crate::store::groups::{Covered, Group, Member, Which};
use crate::store::intents::Intent;
use crate::store::{StoreError, Stored};

/// How many members are read at once.
const PAGE: i32 = 500;

/// How many members one page of a message's list holds: some 100 KB of the 400 that a row may have.
const COVERED: usize = 500;

/// How many alerts are asked side by side whether they are still open.
const SIDE_BY_SIDE: usize = 16;

/// What a group has to say.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The alerts that it is about.
    pub(super) total: u32,
    /// Those of them that are over.
    pub(super) resolved: u32,
    /// The pages that list what is covered.
    pub(super) pages: u32,
    reminder: bool,
    common_place: bool,
    /// The alerts that matter most, as their last revisions have them.
    named: Vec<Message>,
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
            rule: None,
            why: None,
            ending: (open == 0).then_some(Ending::Recovered),
            renamed_to: None,
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

/// The members that matter most, of all that were seen.
struct Foremost {
    most: usize,
    members: Vec<Member>,
}

impl Foremost {
    fn of(group: &Group) -> Self {
        Self {
            most: usize::try_from(group.belongs.pace.most).unwrap_or(usize::MAX),
            members: Vec::new(),
        }
    }

    fn see(&mut self, member: Member) {
        let rank = |one: &Member| {
            let Member {
                severity,
                at,
                alert,
                ..
            } = one;
            (std::cmp::Reverse(*severity), one.over, *at, alert.clone())
        };
        let own = rank(&member);
        let place = self.members.partition_point(|other| rank(other) < own);
        if place < self.most {
            self.members.insert(place, member);
            self.members.truncate(self.most);
        }
    }
}

impl Deliverer {
    /// Reads what waits in a group, and lists it under this token as covered by the message. Where
    /// nothing waits and it is time to, finds what is still open.
    pub(super) async fn gather(
        &self,
        group: &Group,
        message: &FlushId,
        token: &str,
    ) -> Result<Gathered, DeliverError> {
        let mut gathered = Gathered {
            common_place: group
                .belongs
                .labels
                .iter()
                .any(|(label, _)| *label == GroupLabel::Location),
            ..Gathered::default()
        };
        let mut foremost = Foremost::of(group);
        let mut listed = Vec::with_capacity(COVERED);
        // By alert: its revisions stand together. Those of the last may go on with the next page.
        let mut alerts: Vec<Vec<Member>> = Vec::new();
        let mut cursor = None;
        loop {
            let (members, next) = self
                .store
                .members(&group.id, Which::Waiting, cursor, PAGE)
                .await?;
            for member in members {
                match alerts.last_mut() {
                    Some(known) if known[0].alert == member.alert => known.push(member),
                    _ => alerts.push(vec![member]),
                }
            }
            cursor = next;
            let begun = match cursor {
                Some(_) => alerts.pop(),
                None => None,
            };
            let pending: Vec<_> = alerts
                .iter()
                .map(|revisions| self.left_out(group, revisions))
                .collect();
            let left_out: Vec<Option<LeftOut>> = stream::iter(pending)
                .buffered(SIDE_BY_SIDE)
                .try_collect()
                .await?;
            for (revisions, left_out) in alerts.drain(..).zip(left_out) {
                gathered.take(revisions, left_out, &mut foremost, &mut listed);
                if listed.len() >= COVERED {
                    self.list(message, token, &mut gathered.pages, &mut listed)
                        .await?;
                }
            }
            alerts.extend(begun);
            if cursor.is_none() {
                break;
            }
        }
        if !listed.is_empty() {
            self.list(message, token, &mut gathered.pages, &mut listed)
                .await?;
        }
        if gathered.total == 0
            && gathered.pages == 0
            && matches!(group.schedule.phase, Phase::Reminding(_))
            && self.reminds(group).await?
        {
            gathered.reminder = true;
            self.gather_open(group, &mut gathered, &mut foremost)
                .await?;
        }
        for member in &foremost.members {
            let words = self.store.revision(&member.alert, member.revision).await?;
            let Some(mut words) = words else { continue };
            if words.change == RevisionKind::Escalated
                && !self
                    .heard_before((&member.alert, member.revision), &group.channel)
                    .await?
            {
                words.change = RevisionKind::Opened;
            }
            let is_about_stock =
                words.kind.tells_what_is_left() || words.kind == AlertKind::HighDemand;
            if is_about_stock && words.change != RevisionKind::Resolved {
                // It is so all the same, without what was left then.
                let about = (&words.subject, words.alert.as_str());
                let later = self.overtaken_by(group, about, member.at, false).await?;
                if later.is_some() {
                    (words.before, words.after, words.days_of_supply) = (None, None, None);
                }
            }
            gathered.named.push(words);
        }
        Ok(gathered)
    }

    /// Why nothing is to be said of these revisions, if so. Either the alert is over and they do not say
    /// so: its end is told elsewhere, or not on this channel. Or they end an alert of which the channel has
    /// heard nothing: what was to say that it began waits too, or never arrived. Or the channel knows by
    /// now, from another alert, what is left of the item.
    async fn left_out(
        &self,
        group: &Group,
        revisions: &[Member],
    ) -> Result<Option<LeftOut>, StoreError> {
        let Some(last) = revisions.last() else {
            return Ok(None);
        };
        let alert = self.store.alert(&last.alert).await?;
        if let Some(alert) = &alert {
            if alert.is_over() && alert.revision > last.revision {
                return Ok(Some(LeftOut::Over));
            }
            if alert.kind.tells_what_is_left() {
                let about = (&alert.subject, alert.id.as_str());
                let later = self.overtaken_by(group, about, last.at, true).await?;
                if let Some(later) = later {
                    return Ok(Some(LeftOut::OvertakenBy(later)));
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
        Ok(is_unheard.then_some(LeftOut::Over))
    }

    /// The alert that has told the channel of a group since then what is left of an item; or that this
    /// group is about to tell. `if_open`: only one that still holds.
    async fn overtaken_by(
        &self,
        group: &Group,
        (subject, alert): (&Subject, &str),
        since: Timestamp,
        if_open: bool,
    ) -> Result<Option<String>, StoreError> {
        let watches = self.store.watches(subject).await?;
        let spoken = watches
            .iter()
            .filter(|stored| stored.data.kind.tells_what_is_left())
            .flat_map(|stored| &stored.data.watch.spoken_of)
            .filter(|spoken| spoken.alert != alert && spoken.at.0 > since);
        for Spoken { alert: other, .. } in spoken {
            let is_later = |it: &Stored<Intent>| it.data.created_at > since;
            let mut intents = self.store.intents_on(other, &group.channel).await?;
            intents.retain(is_later);
            let is_told = intents.iter().any(|it| it.data.may_have_reached());
            let waits = |it: &Stored<Intent>| {
                let belongs = it.data.group.as_ref();
                it.data.is_unsettled()
                    && belongs.is_some_and(|belongs| belongs.id(&group.channel) == group.id)
            };
            if is_told && !if_open {
                return Ok(Some(other.clone()));
            }
            if is_told || intents.iter().any(waits) {
                let other = self.store.alert(other).await?;
                if let Some(other) = other.filter(|it| it.state == AlertState::Open) {
                    return Ok(Some(other.id));
                }
            }
        }
        Ok(None)
    }

    /// Whether what a group's message says of an alert that it names is no longer so: the alert has a later
    /// revision, or another has told the channel what is left.
    pub(super) async fn is_outdated(
        &self,
        group: &Group,
        message: &Message,
    ) -> Result<bool, StoreError> {
        let reminds = message.digest.as_ref().is_some_and(|it| it.reminder);
        for said in message.named() {
            let Some(alert) = self.store.alert(&said.alert).await? else {
                continue;
            };
            if alert.revision > said.revision {
                return Ok(true);
            }
            if !alert.kind.tells_what_is_left() {
                continue;
            }
            let intent = self
                .store
                .intent(&said.alert, said.revision, &group.channel);
            let Some(intent) = intent.await? else {
                continue;
            };
            let about = (&alert.subject, alert.id.as_str());
            let if_open = reminds || said.after.is_none();
            let later = self.overtaken_by(group, about, intent.data.created_at, if_open);
            if later.await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
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
    pub(super) async fn reminds(&self, group: &Group) -> Result<bool, DeliverError> {
        let installation = self.installations.current().await?;
        let route = &group.belongs.route;
        Ok(installation.routes.reminds(route, &group.channel))
    }

    /// Of what was told, what is still open; the rest is forgotten.
    async fn gather_open(
        &self,
        group: &Group,
        gathered: &mut Gathered,
        foremost: &mut Foremost,
    ) -> Result<(), StoreError> {
        let mut cursor = None;
        loop {
            let (members, next) = self
                .store
                .members(&group.id, Which::Told, cursor, PAGE)
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
                gathered.count(&member);
                foremost.see(member);
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn still_open(
        &self,
        group: &Group,
        member: Member,
    ) -> Result<Option<Member>, StoreError> {
        let alert = self.store.alert(&member.alert).await?;
        let Some(alert) = alert.filter(|alert| alert.state == AlertState::Open) else {
            self.store.forget_told(&group.id, &member.alert).await?;
            return Ok(None);
        };
        if alert.kind.tells_what_is_left() {
            let about = (&alert.subject, alert.id.as_str());
            let graver = self.overtaken_by(group, about, member.at, true).await?;
            if graver.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(member))
    }
}

/// Why a group says nothing of an alert.
enum LeftOut {
    /// It is over, and nobody was told that it began.
    Over,
    /// This alert of the same item says what is left now.
    OvertakenBy(String),
}

impl Gathered {
    /// Takes in the revisions of one alert. Only the last of them speaks for it; and none, if it is left
    /// out.
    fn take(
        &mut self,
        revisions: Vec<Member>,
        left_out: Option<LeftOut>,
        foremost: &mut Foremost,
        listed: &mut Vec<Covered>,
    ) {
        let Some(last) = revisions.last().cloned() else {
            return;
        };
        if left_out.is_none() {
            self.count(&last);
            foremost.see(last.clone());
        }
        let unheard = left_out.is_some();
        let overtaken_by = match left_out {
            Some(LeftOut::OvertakenBy(alert)) => Some(alert),
            Some(LeftOut::Over) | None => None,
        };
        listed.extend(revisions.into_iter().map(|member| Covered {
            last: member.revision == last.revision,
            unheard,
            overtaken_by: overtaken_by.clone(),
            member,
        }));
    }

    fn count(&mut self, member: &Member) {
        self.total = self.total.saturating_add(1);
        self.resolved += u32::from(member.over);
    }
}
