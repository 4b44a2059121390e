//! From a verdict to an alert revision and its delivery intents, written together.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::domain::alert::{AlertState, Ending, RevisionKind};
use shared::domain::group::Belongs;
use shared::domain::id::ChannelName;
use shared::domain::message::Message;
use shared::domain::route::Recipient;
use shared::domain::watch::{
    self, Audience, Episode, Moment, Opening, Seen, Spoken, Verdict, Watch, Withheld,
};
use shared::domain::{AlertKind, Origin, Position, Severity, Subject};
use shared::installation::Installation;
use shared::store::alerts::{Alert, Announcement, Decision, Watched};
use shared::store::heard::NOTHING_NEWER;
use shared::store::intents::{Intent, IntentState, Retold};
use shared::store::{Expect, Stored};

use crate::{EvaluateError, Evaluator};

/// How long the queue has before the clock announces an intent again.
const OVERDUE: SignedDuration = SignedDuration::from_secs(90);

/// So many deliveries are told again in one transaction with the decision: of the hundred writes that it
/// takes, each is two at most.
const MOST_RETOLD: usize = 40;

/// One look at one subject for one kind of alert.
pub(crate) struct Look<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) subject: Subject,
    pub(crate) kind: AlertKind,
    pub(crate) stored: Option<&'a Stored<Watched>>,
    pub(crate) verdict: Verdict,
    /// The revision of what was looked at.
    pub(crate) seen: Seen,
    /// The change that is looked at.
    pub(crate) cause: Option<String>,
    /// The channels that know of a graver alert of the same change.
    pub(crate) covered: BTreeSet<ChannelName>,
    /// When, besides the watch's own reasons, time alone may change the answer.
    pub(crate) changes_at: Option<Timestamp>,
    /// Whether only this watch knows of that time: the rule stands beside the product.
    pub(crate) keeps_time: bool,
    pub(crate) category: Option<&'a str>,
    /// Of the same subject, other alerts that something was said of.
    pub(crate) beside: Vec<Spoken>,
    /// The other kinds of alert that this look finds called for on the same subject.
    pub(crate) called_for: Vec<AlertKind>,
    /// The positions that it is about, where it is about stock.
    pub(crate) positions: Vec<&'a Position>,
}

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nothing new, or it is written. The alert that is open now, if one is.
    Done(Option<Box<Episode>>),
    /// The watch has moved on since it was read: read it again.
    Again,
}

/// Says what a revision has to say; the alert's own numbers are filled in after it.
pub(crate) type Words<'a> = &'a (dyn Fn(RevisionKind) -> Message + Sync);

impl Evaluator {
    /// Takes one step of a watch, and writes what follows.
    pub(crate) async fn step(
        &self,
        mut look: Look<'_>,
        words: Words<'_>,
    ) -> Result<Looked, EvaluateError> {
        let now = self.store.clock().now();
        let origin = self.store.origin();
        let old = look
            .stored
            .map(|stored| stored.data.watch.clone())
            .unwrap_or_default();
        let old_due = look.stored.and_then(|stored| stored.data.due);
        let opening = || Opening {
            alert: self.store.chance().id(now),
            cause: look.cause.clone(),
        };
        let verdict = look.with_cover();
        let Some(step) = watch::step(&old, &verdict, now, &look.seen, opening) else {
            return Ok(Looked::Done(old.episode().cloned().map(Box::new)));
        };
        let open = step.next.episode().cloned().map(Box::new);
        // A watch that has nothing to remember needs no clock either.
        let idle = step.next == Watch::default() && look.stored.is_none() && !look.keeps_time;
        let due = [step.due, look.changes_at.filter(|_| !idle)]
            .into_iter()
            .flatten()
            .min()
            .map(Moment);
        // What only has to be looked at later than was planned is looked at then, and planned anew: many
        // looks at one sum must not meet to move its time.
        let is_planned =
            |planned: &Moment| step.next == old && now < planned.0 && due >= Some(*planned);
        let due = old_due.filter(is_planned).or(due);
        if step.next == old && due == old_due {
            return Ok(Looked::Done(open));
        }
        let mut announcements = Vec::new();
        let mut retold = Vec::new();
        if let Some(said) = &step.announce {
            // An alert is written with its first revision.
            let known = match said.revision {
                1 => None,
                _ => self.store.alert(&said.alert).await?,
            };
            let told = known.as_ref().map(|alert| &alert.told);
            let told = told.map(|told| look.installation.by_their_names(told));
            let mut message = words(said.change);
            // What sort of message it is comes first: where there is little room, the rest is left out.
            message.notes.splice(0..0, said.note.clone());
            if said.audience == Audience::Unreminded {
                let known = old.episode().and_then(|episode| episode.told_at);
                let since = known.map_or(now, |told_at| told_at.0);
                self.remind(&look, &mut message, (said.opened_at, since))
                    .await?;
            }
            message.ending = said.ending;
            if said.ending == Some(Ending::LocationRemoved)
                && let Some(told) = known.as_ref().map(|alert| &alert.message)
            {
                // The configuration has neither any more; people know the place by what they were told.
                message.location.clone_from(&told.location);
                message.zone.clone_from(&told.zone);
            }
            if said.change == RevisionKind::Resolved
                && let Some(known) = old.episode()
            {
                // Of an end it matters what people know: perhaps no rule is left, or it says otherwise.
                look.verdict.severity = known.severity;
                message.severity = known.severity;
            }
            message.alert.clone_from(&said.alert);
            message.revision = said.revision;
            message.correlation = self.store.correlation().cloned();
            let told = told.unwrap_or_default();
            let mut recipients = look.audience(said, known.as_ref().map(|_| told.as_slice()));
            let reminds = said.audience == Audience::Unreminded;
            let earlier = match reminds || recipients.iter().any(|one| one.routes.is_empty()) {
                true => self.store.intents_of(&said.alert).await?,
                false => Vec::new(),
            };
            if reminds {
                recipients.retain(|one| !look.is_reminded_by_a_group(&one.channel, &earlier));
            }
            if said.ending == Some(Ending::Recovered) && look.kind == AlertKind::OutOfStock {
                let who = (recipients.as_slice(), told.as_slice());
                announcements.extend(self.back_in_stock(&look, who, words, now));
            }
            if said.change == RevisionKind::Resolved {
                retold = self.kept_back_by(&look).await?;
            }
            announcements.push(announcement(
                &look,
                message,
                said.opened_at,
                told,
                (&recipients, &earlier),
                (now, origin.as_ref()),
                known.map(|alert| alert.message),
            ));
        }
        let intents: Vec<Intent> = announcements
            .iter()
            .flat_map(|a| a.intents.clone())
            .collect();
        let again = retold.iter().filter(|one| one.is_made_anew());
        let again = again.map(|one| one.intent().clone());
        let (gathered, single): (Vec<_>, Vec<_>) = intents
            .into_iter()
            .chain(again)
            .partition(|intent| intent.group.is_some());
        let mut next = step.next;
        for announcement in &announcements {
            next.speaks_of(&announcement.alert.id, now);
        }
        let rest = retold.split_off(retold.len().min(MOST_RETOLD));
        let decision = Decision {
            watched: Watched {
                subject: look.subject.clone(),
                kind: look.kind,
                watch: next,
                due,
                tries: 0,
            },
            expect: Expect::from_read(look.stored),
            announcements,
            retold,
        };
        if !self.store.decide(decision).await? {
            return Ok(Looked::Again);
        }
        for one in &rest {
            self.store.retell(one).await?;
        }
        if let Some(said) = &step.announce {
            tracing::info!(
                alert = said.alert,
                revision = said.revision,
                change = %said.change,
                kind = %look.kind,
                intents = single.len() + gathered.len(),
                "an alert's revision is written"
            );
        }
        self.bus.announce(&single).await;
        self.enroll(&gathered).await;
        Ok(Looked::Done(open))
    }

    /// Has a message say since when what it brings to mind is so, and how old that is.
    async fn remind(
        &self,
        look: &Look<'_>,
        message: &mut Message,
        (opened_at, told_at): (Timestamp, Timestamp),
    ) -> Result<(), EvaluateError> {
        if look.positions.is_empty() {
            let since = message.local(opened_at);
            let note = format!("A reminder: this has been so since {since}.");
            message.notes.splice(..message.notes.len().min(1), [note]);
            return Ok(());
        }
        let heard = self
            .store
            .heard_of(&look.positions, look.installation, told_at, message)
            .await?;
        if !heard.silent.is_empty()
            && let Some(first) = message.notes.first_mut()
        {
            NOTHING_NEWER.clone_into(first);
        }
        message.notes.extend(heard.notes());
        Ok(())
    }

    /// Sees to it that the groups of these intents speak. What fails here, the clock does: the
    /// intents wait in their groups already.
    async fn enroll(&self, gathered: &[Intent]) {
        let now = self.store.clock().now();
        let mut messages = Vec::new();
        for intent in gathered {
            match self.store.enroll(intent).await {
                Ok(group) => messages.extend(group.map(|group| group.intent(now))),
                Err(error) => {
                    let Intent { alert, channel, .. } = intent;
                    tracing::warn!(alert, %channel, %error, "an alert's group was not told; the clock will");
                }
            }
        }
        self.bus.announce(&messages).await;
    }

    /// What an alert that is over has kept from channels, of others that tell what is left of the item.
    async fn kept_back_by(&self, look: &Look<'_>) -> Result<Vec<Retold>, EvaluateError> {
        let mut kept_back = Vec::new();
        if !look.kind.tells_what_is_left() {
            return Ok(kept_back);
        }
        for other in &look.beside {
            let of = self.store.kept_back(&other.alert, &look.called_for);
            kept_back.extend(of.await?);
        }
        Ok(kept_back)
    }

    /// "There is stock again", for those who asked for it, or were told that there was none, and are not
    /// told by the other's end.
    fn back_in_stock(
        &self,
        look: &Look<'_>,
        (already, told): (&[Recipient], &[ChannelName]),
        words: Words<'_>,
        now: Timestamp,
    ) -> Option<Announcement> {
        let look = Look {
            kind: AlertKind::BackInStock,
            subject: look.subject.clone(),
            seen: look.seen.clone(),
            cause: None,
            covered: BTreeSet::new(),
            beside: look.beside.clone(),
            called_for: Vec::new(),
            positions: Vec::new(),
            verdict: look.verdict.clone(),
            ..*look
        };
        let mut recipients = look.recipients(RevisionKind::Opened, None);
        let routes = &look.installation.routes;
        recipients.retain(|one| {
            let asks = routes.is_named(AlertKind::BackInStock, &one.routes);
            let wants = asks || told.contains(&one.channel);
            wants && already.iter().all(|other| other.channel != one.channel)
        });
        if recipients.is_empty() {
            return None;
        }
        let mut message = words(RevisionKind::Opened);
        message.kind = AlertKind::BackInStock;
        // Good news is nothing to act on, whatever its absence was.
        message.severity = Severity::Info;
        message.alert = self.store.chance().id(now);
        message.revision = 1;
        message.correlation = self.store.correlation().cloned();
        let origin = self.store.origin();
        let moment = (now, origin.as_ref());
        let mut announcement = announcement(
            &look,
            message,
            now,
            Vec::new(),
            (&recipients, &[]),
            moment,
            None,
        );
        // It is news, not a condition: over as soon as it is told.
        announcement.alert.state = AlertState::Resolved;
        Some(announcement)
    }
}

impl Look<'_> {
    /// The other alerts of the subject of which a message may still be on its way.
    fn follows(&self, alert: &str, now: Timestamp) -> Vec<String> {
        let own = self.stored.map(|stored| &stored.data.watch.spoken_of);
        own.into_iter()
            .flatten()
            .chain(&self.beside)
            .filter(|spoken| spoken.alert != alert && spoken.is_recent(now))
            .map(|spoken| spoken.alert.clone())
            .collect()
    }

    /// The verdict, with whether those who would be told know of a graver alert.
    fn with_cover(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        if verdict.withheld.is_some() || self.covered.is_empty() {
            return verdict;
        }
        let concerned = self.recipients(RevisionKind::Opened, None);
        let known = |one: &Recipient| self.covered.contains(&one.channel);
        if !concerned.is_empty() && concerned.iter().all(known) {
            verdict.withheld = Some(Withheld::Covered);
        }
        verdict.partly_covered = concerned.iter().any(known);
        verdict
    }

    /// Who is to hear a revision, given the channels that were told of the alert before.
    fn audience(&self, said: &watch::Announcement, told: Option<&[ChannelName]>) -> Vec<Recipient> {
        let mut recipients = self.recipients(said.change, told);
        if said.change != RevisionKind::Resolved {
            recipients.retain(|one| !self.covered.contains(&one.channel));
        }
        if said.audience == Audience::TheRest {
            recipients.retain(|one| told.is_none_or(|told| !told.contains(&one.channel)));
        }
        recipients
    }

    /// Whether the group that has told a channel the last of an alert brings it to mind there. `earlier`: the
    /// alert's deliveries.
    fn is_reminded_by_a_group(&self, channel: &ChannelName, earlier: &[Intent]) -> bool {
        let last = earlier.iter().rfind(|it| it.channel == *channel);
        let group = last.and_then(|it| it.group.as_deref());
        group.is_some_and(|group| self.installation.routes.reminds(&group.route, channel))
    }

    fn recipients(&self, change: RevisionKind, told: Option<&[ChannelName]>) -> Vec<Recipient> {
        let about = (&self.subject, self.kind, self.verdict.severity);
        self.installation
            .recipients(about, self.category, change, told)
    }
}

/// When the clock looks after an intent: once the queue, or the group that it waits in, should long
/// have seen to it.
fn overdue(now: Timestamp, group: Option<&Belongs>) -> Timestamp {
    let held = group.map(|group| group.pace.wait + group.pace.interval);
    let after = held.unwrap_or_default() + OVERDUE;
    now.checked_add(after).unwrap_or(Timestamp::MAX)
}

fn announcement(
    look: &Look<'_>,
    message: Message,
    opened_at: Timestamp,
    mut told: Vec<ChannelName>,
    (recipients, earlier): (&[Recipient], &[Intent]),
    (now, origin): (Timestamp, Option<&Origin>),
    before: Option<Message>,
) -> Announcement {
    // What comes after an alert's first message waits for that one.
    let follows = match message.change {
        RevisionKind::Opened => look.follows(&message.alert, now),
        _ => Vec::new(),
    };
    let kinds = earlier
        .iter()
        .map(|intent| (intent.channel.clone(), intent.kind.clone()))
        .collect();
    // Where no route leads any more, the end is told as the rest was: with others, if that was.
    let told_in = |recipient: &Recipient| {
        let mut ours = earlier.iter().filter(|it| it.channel == recipient.channel);
        let last = ours.next_back().filter(|_| recipient.routes.is_empty());
        last.and_then(|it| it.group.as_deref().cloned())
    };
    let intents = recipients
        .iter()
        .filter_map(|recipient| {
            let (kind, state) = look.installation.carrier(&recipient.channel, &kinds)?;
            let about = (&look.subject, look.kind);
            let group = look.installation.group_of(recipient, about, look.category);
            let group = group.or_else(|| told_in(recipient));
            let group = group.filter(|_| state == IntentState::Pending);
            Some((recipient, kind, state, group))
        })
        .map(|(recipient, kind, state, group)| Intent {
            state,
            origin: origin.cloned(),
            group: group.clone().map(Box::new),
            follows: if group.is_none() {
                follows.clone()
            } else {
                Vec::new()
            },
            ..Intent::new(
                message.alert.clone(),
                message.revision,
                recipient.channel.clone(),
                kind,
                now,
                overdue(now, group.as_ref()),
            )
        })
        .collect();
    for recipient in recipients {
        if !told.contains(&recipient.channel) {
            told.push(recipient.channel.clone());
        }
    }
    let over = message.change == RevisionKind::Resolved;
    Announcement {
        alert: Alert {
            id: message.alert.clone(),
            kind: look.kind,
            subject: look.subject.clone(),
            severity: message.severity,
            state: if over {
                AlertState::Resolved
            } else {
                AlertState::Open
            },
            revision: message.revision,
            opened_at,
            updated_at: now,
            message,
            told,
        },
        before,
        intents,
    }
}
