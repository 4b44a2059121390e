//! What is no longer so of a message by the time that it leaves, because of what its channel was told
//! meanwhile by another alert of the same item.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::deliver::{DeliverError, Deliverer};
use super::verdict::recheck;
use crate::domain::Position;
use crate::domain::alert::{AlertKind, AlertState, Ending, RevisionKind, Subject};
use crate::domain::group::GroupId;
use crate::domain::id::ChannelName;
use crate::domain::message::{Message, Stock};
use crate::domain::rule::{Check, Condition, total};
use crate::domain::watch::{Phase, STILL_OPEN, depth_told};
use crate::installation::Installation;
use crate::store::alerts::{Alert, Watched};
use crate::store::heard::{Heard, NOTHING_NEWER, says_how_old};
use crate::store::intents::{Intent, IntentState};
use crate::store::{StoreError, Stored};

/// So soon after one another, ends that say the same come of one change.
const TOGETHER: SignedDuration = SignedDuration::from_mins(1);

/// What is put in words so soon after something was written may not know of it.
const UNAWARE: SignedDuration = SignedDuration::from_secs(2);

/// How long an end waits for another that is being sent, and how much longer for each that goes before it:
/// none equally long, so that they do not meet again.
const BESIDE: SignedDuration = SignedDuration::from_secs(1);

/// For how long it is news that stock is back.
const NEWS: SignedDuration = SignedDuration::from_hours(24);

/// An alert of the same item that a channel was told of later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) alert: String,
    pub(super) kind: AlertKind,
    /// Whether it still holds.
    pub(super) is_open: bool,
    /// Whether it is in somebody's hands, who may have died: nobody knows yet whether it leaves.
    pub(super) in_hand: bool,
    /// Whether whoever has it in hand is still at it, as far as is known.
    is_being_sent: bool,
    /// Whether it is on what the item goes on as, under another SKU.
    goes_on: bool,
}

impl Later {
    /// Why an alert is left out for its sake.
    pub(super) fn reason(&self) -> String {
        format!("alert {} says what is left now", self.alert)
    }
}

/// Where somebody is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ear<'a> {
    pub(super) channel: &'a ChannelName,
    /// The group that is about to speak there: what waits in it counts as told, while it holds.
    pub(super) group: Option<&'a GroupId>,
}

impl Deliverer {
    /// The watches over what a message is about; of an end by renaming also those over what it goes on as.
    pub(super) async fn watches_over(
        &self,
        message: &Message,
    ) -> Result<Vec<Stored<Watched>>, StoreError> {
        let mut watches = self.store.watches(&message.subject).await?;
        let is_renamed = message.ending == Some(Ending::Renamed);
        let Some(to) = message.renamed_to.as_ref().filter(|_| is_renamed) else {
            return Ok(watches);
        };
        // It may have been renamed again since.
        for to in BTreeSet::from([to.clone(), self.store.current_name(to).await?]) {
            let mut subject = message.subject.clone();
            match &mut subject {
                Subject::Position { product, .. } | Subject::Group { product, .. } => *product = to,
                _ => continue,
            }
            watches.extend(self.store.watches(&subject).await?);
        }
        Ok(watches)
    }

    /// The alerts that have told a channel since then what is left of an item, or the same as this one anew,
    /// by the [watches over it](Self::watches_over), the last first.
    pub(super) async fn told_since(
        &self,
        ear: Ear<'_>,
        (watches, message): (&[Stored<Watched>], &Message),
        since: Timestamp,
    ) -> Result<Vec<Later>, StoreError> {
        let mut spoken = Vec::new();
        for stored in watches {
            let kind = stored.data.kind;
            let is_beside = kind.tells_what_is_left() || kind == message.kind;
            let goes_on = stored.data.subject != message.subject;
            // Of a rename the new SKU may have been evaluated first.
            let since = match goes_on {
                true => since.checked_sub(TOGETHER).unwrap_or(since),
                false => since,
            };
            for one in &stored.data.watch.spoken_of {
                let is_later = one.alert != message.alert && one.at.0 > since;
                if is_beside && is_later {
                    spoken.push((one.at, (kind, goes_on, since), &one.alert));
                }
            }
        }
        spoken.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let mut told = Vec::new();
        let now = self.store.clock().now();
        for (_, (kind, goes_on, since), other) in spoken {
            let is_later = |it: &Stored<Intent>| it.data.created_at > since;
            let mut intents = self.store.intents_on(other, ear.channel).await?;
            intents.retain(is_later);
            let is_told = intents.iter().any(|it| it.data.may_have_reached());
            let is_certain = |it: &Stored<Intent>| {
                let delivered = it.data.state == IntentState::Delivered;
                delivered || it.data.perhaps_sent
            };
            let in_hand = is_told && !intents.iter().any(is_certain);
            let is_leased = |it: &Stored<Intent>| it.data.in_flight && it.data.not_before > now;
            let is_being_sent = intents.iter().any(is_leased);
            let waits_in_it = |it: &Stored<Intent>| {
                let belongs = it.data.group.as_ref();
                let group = belongs.map(|belongs| belongs.id(ear.channel));
                it.data.is_unsettled() && group.is_some() && group.as_ref() == ear.group
            };
            if !is_told && !intents.iter().any(waits_in_it) {
                continue;
            }
            let alert = self.store.alert(other).await?;
            let is_open = alert.is_some_and(|it| it.state == AlertState::Open);
            if is_told || is_open {
                told.push(Later {
                    alert: other.clone(),
                    kind,
                    is_open,
                    in_hand,
                    is_being_sent,
                    goes_on,
                });
            }
        }
        Ok(told)
    }

    /// What becomes of the end of an alert if its channel was told since that the same has begun anew, or of
    /// what the item goes on as: it would be taken for the end of that. What may have arrived counts; of the
    /// same what is just being sent does not, as it waits for what was said before.
    pub(super) async fn beside_what_has_begun(
        &self,
        channel: &ChannelName,
        (watches, message): (&[Stored<Watched>], &Message),
        since: Timestamp,
    ) -> Result<Standing, StoreError> {
        let ear = Ear {
            channel,
            group: None,
        };
        let mut told = self.told_since(ear, (watches, message), since).await?;
        told.retain(|it| it.goes_on || it.kind == message.kind);
        let is_known = |it: &&Later| !(it.in_hand && it.is_being_sent);
        Ok(match told.iter().find(is_known) {
            Some(it) => Standing::Nothing(match it.goes_on {
                true => format!("alert {} was told, as which it goes on", it.alert),
                false => format!("alert {} on the same was told since", it.alert),
            }),
            None if told.iter().any(|it| it.goes_on) => Standing::Waits(BESIDE),
            None => Standing::Holds,
        })
    }

    /// The positions that are counted in what is said of a subject; `None` where nothing is known of it.
    async fn counted(
        &self,
        installation: &Installation,
        subject: &Subject,
    ) -> Result<Option<Vec<Position>>, StoreError> {
        Ok(match subject {
            Subject::Position { product, location } => {
                let position = self.store.position(product, location).await?;
                position.map(|position| vec![position])
            }
            Subject::Group { product, group } => {
                let sources = &installation.authority().quantities;
                let members = installation.config.locations.members(group);
                let mut positions = self.store.positions_of(product).await?;
                positions
                    .retain(|it| members.contains(&it.location) && !it.no_longer_stated(sources));
                Some(positions)
            }
            _ => None,
        })
    }

    /// Whether what an alert says of stock is old, as its source is stale or is not believed: nobody is
    /// reminded of that.
    pub(super) async fn is_withheld(&self, subject: &Subject) -> Result<bool, DeliverError> {
        let installation = self.installations.current().await?;
        let sources = &installation.authority().quantities;
        let now = self.store.clock().now();
        let counted = self.counted(&installation, subject).await?;
        for position in counted.iter().flatten() {
            let Some(owner) = position.owner(sources) else {
                continue;
            };
            let health = installation.health_of(&self.store, owner).await?;
            let trust = installation.trust_by(owner, &health, now);
            if trust.withholds(position, owner) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How old is what a message brings to mind, for who heard of it then.
    pub(super) async fn heard_of(
        &self,
        message: &Message,
        since: Timestamp,
    ) -> Result<Heard, DeliverError> {
        let installation = self.installations.current().await?;
        let counted = self.counted(&installation, &message.subject).await?;
        let counted: Vec<_> = counted.iter().flatten().collect();
        let heard = self.store.heard_of(&counted, &installation, since, message);
        Ok(heard.await?)
    }

    /// Has a message that is sent some time after it was written say how much is left now, and how much was
    /// sold by now, or nothing of it where that is not known or does not go with what it says. `is_outdated`:
    /// it cannot stay as it is.
    pub(super) async fn take_present_stock(
        &self,
        message: &mut Message,
        watches: &[Stored<Watched>],
        is_outdated: bool,
    ) -> Result<(), DeliverError> {
        let installation = self.installations.current().await?;
        let sources = &installation.authority().quantities;
        let counted = self.counted(&installation, &message.subject).await?;
        let check = check_of(message, watches);
        if let (Some(Check::HighDemand(demand)), [position]) =
            (check, counted.as_deref().unwrap_or_default())
        {
            let now = self.store.clock().now();
            let today = installation.authority().day(&position.location, now);
            let reading = demand.judge(&position.sold, today);
            let is_so = reading.condition == Condition::Breached;
            message.sold = is_so.then_some(reading.sold);
        }
        let present = match counted {
            Some(positions) if !positions.is_empty() => {
                let stocks: Vec<_> = positions.iter().map(|it| it.stock(sources)).collect();
                total(stocks.iter().map(Option::as_ref))
            }
            None if !is_outdated => return Ok(()),
            _ => None,
        };
        if present == message.after && !is_outdated {
            return Ok(());
        }
        tells_present(message, present, check, is_outdated);
        Ok(())
    }

    /// Why that stock is back is no news any more, if so.
    pub(super) fn no_news(
        &self,
        kind: AlertKind,
        watches: &[Stored<Watched>],
        since: Timestamp,
    ) -> Option<&'static str> {
        if kind != AlertKind::BackInStock {
            return None;
        }
        if self.store.clock().now().duration_since(since) > NEWS {
            return Some("it has been back for more than a day");
        }
        let mut watches = watches.iter().map(|stored| &stored.data);
        let out = |it: &Watched| it.kind == AlertKind::OutOfStock && it.watch.episode().is_some();
        watches.any(out).then_some("it is out of stock again")
    }

    /// What becomes of an alert's end where another alert of the item has ended, too: people hear one of
    /// them, of whatever kind where the item is closed. That of what was out of stock goes first, and the other
    /// is sent if that one does not arrive.
    pub(super) async fn beside_other_ends(
        &self,
        ear: Ear<'_>,
        (watches, message): (&[Stored<Watched>], &Message),
        since: Timestamp,
    ) -> Result<Standing, StoreError> {
        let now = self.store.clock().now();
        let closes_item = message.closes_item();
        let place = |kind: AlertKind, alert| (kind != AlertKind::OutOfStock, alert);
        let ours_goes = place(message.kind, &message.alert);
        let mut standing = Standing::Holds;
        let mut ahead = 0;
        let spoken = watches.iter().map(|stored| &stored.data);
        let spoken = spoken
            .filter(|it| it.kind.tells_what_is_left() || closes_item && it.kind.is_about_stock());
        for other in spoken.flat_map(|it| &it.watch.spoken_of) {
            let alert = match other.alert == message.alert {
                true => None,
                false => self.store.alert(&other.alert).await?,
            };
            let Some(Alert { message: end, .. }) = alert else {
                continue;
            };
            if end.change != RevisionKind::Resolved || end.ending != message.ending {
                continue;
            }
            let intents = self.store.intents_on(&other.alert, ear.channel).await?;
            let ours = |it: &&Stored<Intent>| it.data.revision == end.revision;
            let Some(Stored { data: it, .. }) = intents.iter().find(ours) else {
                continue;
            };
            let theirs_goes = place(end.kind, &other.alert);
            // Of two that say the same whatever they are about, one goes first in any case.
            let goes_first = match closes_item {
                true => theirs_goes < ours_goes,
                false => !theirs_goes.0 && ours_goes.0,
            };
            let group = it.group.as_ref().map(|group| group.id(ear.channel));
            let says_so = || format!("the end of alert {} says what is left", other.alert);
            if it.state == IntentState::Delivered {
                let is_same = end.correlation == message.correlation
                    && end.after == message.after
                    && it.created_at.duration_since(since).abs() < TOGETHER;
                let is_aware = |at: Timestamp| at.duration_since(since) >= UNAWARE;
                if is_same || self.worded_at(it).await?.is_some_and(is_aware) {
                    return Ok(Standing::Nothing(says_so()));
                }
            } else if !it.is_unsettled() {
                continue;
            } else if let Some(group) = &group {
                let mut earlier = intents.iter().filter(|it| it.data.revision < end.revision);
                let is_heard = earlier.any(|it| it.data.may_have_reached());
                if goes_first && is_heard && Some(group) == ear.group {
                    return Ok(Standing::Nothing(says_so()));
                }
                if Some(group) != ear.group
                    && let Some(wait) = self.wait_for_message(group).await?
                {
                    standing = Standing::Waits(wait);
                }
            } else if it.in_flight && it.not_before > now {
                ahead += i32::from(theirs_goes < ours_goes);
                standing = Standing::Waits(BESIDE * (1 + ahead));
            } else if goes_first
                && it.attempts == 0
                && it.state == IntentState::Pending
                && now.duration_since(since) < TOGETHER
            {
                standing = Standing::Waits(BESIDE * 2);
            }
        }
        Ok(standing)
    }

    /// When what has arrived was put in words for the last time, at the earliest.
    async fn worded_at(&self, intent: &Intent) -> Result<Option<Timestamp>, StoreError> {
        let Some(message) = &intent.carried_by else {
            return Ok(intent.delivered_at());
        };
        let carrier = self.store.intent(message, 1, &intent.channel).await?;
        Ok(carrier.map(|stored| stored.data.created_at))
    }

    /// Takes from a message that was held up what is no longer so.
    pub(super) async fn bring_up_to_date(
        &self,
        intent: &Intent,
        message: &mut Message,
    ) -> Result<Standing, DeliverError> {
        let (kind, since) = (message.kind, intent.created_at);
        let watches = self.watches_over(message).await?;
        if let Some(reason) = self.no_news(kind, &watches, since) {
            return Ok(Standing::Nothing(reason.to_owned()));
        }
        let ear = Ear {
            channel: &intent.channel,
            group: None,
        };
        let told = self.told_since(ear, (&watches, message), since);
        let told = told.await?;
        if told.iter().any(|later| later.in_hand) {
            let now = self.store.clock().now();
            return Ok(Standing::Waits(recheck(since, now)));
        }
        if let Some(last) = told.first().filter(|last| last.kind == kind) {
            // Of one kind only the last is open, if any.
            return Ok(Standing::Nothing(last.reason()));
        }
        let is_end = message.change == RevisionKind::Resolved;
        // An end is no news to who has read since what is left.
        if let Some(later) = told.iter().find(|it| is_end || it.is_open) {
            return Ok(Standing::Nothing(later.reason()));
        }
        if is_end && is_so_again(message, &watches) {
            let now = self.store.clock().now();
            return Ok(Standing::Waits(recheck(since, now)));
        }
        self.take_present_stock(message, &watches, !told.is_empty())
            .await?;
        Ok(Standing::Holds)
    }
}

/// What was checked when an alert last fired, if it is still open.
fn check_of(message: &Message, watches: &[Stored<Watched>]) -> Option<Check> {
    let mut ours = watches.iter().filter_map(|it| it.data.watch.episode());
    ours.find(|episode| episode.alert == message.alert)?.check
}

/// Whether the same is wrong again, or about to be, as what has recovered.
fn is_so_again(message: &Message, watches: &[Stored<Watched>]) -> bool {
    let has_recovered = message.ending.is_none_or(Ending::is_recovery);
    let mut ours = watches.iter().filter(|it| it.data.kind == message.kind);
    has_recovered && ours.any(|it| it.data.watch.phase != Phase::Quiet)
}

/// What is left of a message that was held up.
pub(super) enum Standing {
    /// It is so, as it stands now.
    Holds,
    /// What it says is over is so again. Whether people are told of that or of this is known later.
    Waits(SignedDuration),
    /// Nothing, for this reason.
    Nothing(String),
}

/// Has a message say how much is left now, if that goes with the rest of it.
fn tells_present(
    message: &mut Message,
    present: Option<Stock>,
    check: Option<Check>,
    is_outdated: bool,
) {
    if present != message.after {
        leave_out_what_was(message, present, check);
    }
    let fitting = present.filter(|stock| goes_with(message, check, stock));
    if let (Some(stock), None, false) = (present, fitting, is_outdated)
        && message.change != RevisionKind::Resolved
    {
        // It is open until what came has lasted.
        let there_is = there_is(message.judged(&stock));
        message.notes.insert(0, there_is);
    }
    message.after = fitting;
    (message.before, message.days_of_supply) = (None, None);
}

/// Takes from a message the notes that are about how much was left before.
fn leave_out_what_was(message: &mut Message, present: Option<Stock>, check: Option<Check>) {
    let threshold = check.and_then(|check| check.threshold());
    let depth = present
        .zip(threshold)
        .map(|(stock, threshold)| threshold.depth(&stock));
    message
        .notes
        .retain(|note| depth_told(note).is_none_or(|told| Some(told) == depth));
    if present.is_none() {
        return;
    }
    message.notes.retain(|note| !says_how_old(note));
    for note in &mut message.notes {
        if note.as_str() == NOTHING_NEWER {
            STILL_OPEN.clone_into(note);
        }
    }
}

/// How much there is although an alert is open.
fn there_is(units: i64) -> String {
    let units = match units {
        1 => "is 1 unit".to_owned(),
        units => format!("are {units} units"),
    };
    format!("There {units} now. It is over once that is steady.")
}

/// Whether this much stock goes with what a message says of an item. `check`: by which its alert is open.
fn goes_with(message: &Message, check: Option<Check>, stock: &Stock) -> bool {
    // Where it is not known what the rule compares: what is promised, and what is owed, is not left.
    let least = stock.available.min(stock.on_hand);
    let least = message.basis.map_or(least, |basis| basis.of(stock));
    let threshold = check.and_then(|check| check.threshold());
    match (message.kind, message.change) {
        (AlertKind::LowStock, RevisionKind::Resolved)
            if message.ending.is_none_or(Ending::is_recovery) =>
        {
            message.threshold.is_none_or(|threshold| least > threshold)
        }
        (_, RevisionKind::Resolved) | (AlertKind::BackInStock, _) => least > 0,
        (AlertKind::LowStock | AlertKind::OutOfStock, _) if let Some(threshold) = threshold => {
            threshold.fires_at(threshold.basis.of(stock))
        }
        (AlertKind::LowStock, _) => message.threshold.is_none_or(|threshold| least <= threshold),
        (AlertKind::OutOfStock, _) => least <= 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rule::{Basis, Boundary, Over, Threshold};
    use crate::render::samples::bare;

    fn stock(on_hand: i64, reserved: i64) -> Stock {
        Stock {
            on_hand,
            reserved,
            available: on_hand - reserved,
            ..Stock::default()
        }
    }

    fn message(kind: AlertKind, change: RevisionKind) -> Message {
        Message {
            threshold: Some(5),
            ending: (change == RevisionKind::Resolved).then_some(Ending::Recovered),
            ..bare(kind, change)
        }
    }

    /// Of these quantities, those that go with what a message says.
    fn which(message: &Message, check: Option<Check>, quantities: &[i64]) -> Vec<i64> {
        let mut quantities = quantities.to_vec();
        quantities.retain(|left| goes_with(message, check, &stock(*left, 0)));
        quantities
    }

    #[test]
    fn what_is_left_goes_with_low_out_and_back_up_to_their_bounds() {
        use AlertKind::{BackInStock, LowStock, OutOfStock};
        use RevisionKind::{Opened, Resolved};
        for (kind, change, expected) in [
            (LowStock, Opened, &[-1, 0, 1, 5][..]),
            (LowStock, Resolved, &[6]),
            (OutOfStock, Opened, &[-1, 0]),
            (OutOfStock, Resolved, &[1, 5, 6]),
            (BackInStock, Opened, &[1, 5, 6]),
        ] {
            let message = message(kind, change);
            let fits = which(&message, None, &[-1, 0, 1, 5, 6]);
            assert_eq!(fits, expected, "{kind} {change}");
        }
        // All that is there is promised.
        let back = message(OutOfStock, Resolved);
        assert!(!goes_with(&back, None, &stock(4, 4)));
        assert!(goes_with(&message(OutOfStock, Opened), None, &stock(4, 4)));
    }

    #[test]
    fn who_hears_of_an_alert_while_it_recovers_hears_how_much_there_is() {
        let opened = || message(AlertKind::LowStock, RevisionKind::Opened);
        let said = |on_hand: i64, is_outdated| {
            let mut message = opened();
            tells_present(&mut message, Some(stock(on_hand, 0)), None, is_outdated);
            (message.after.map(|left| left.available), message.notes)
        };
        assert_eq!(said(4, false), (Some(4), Vec::new()));
        let (left, notes) = said(30, false);
        assert_eq!((left, notes.len()), (None, 1));
        assert!(notes[0].contains("30 units"), "{notes:?}");
        // Another alert has told the rest.
        assert_eq!(said(30, true), (None, Vec::new()));
        let mut unknown = opened();
        tells_present(&mut unknown, None, None, false);
        assert_eq!((unknown.after, unknown.notes.len()), (None, 0));
    }

    #[test]
    fn a_fall_is_told_with_the_present_stock_only_where_it_is_still_so() {
        let check = Some(Check::LowStock(Threshold {
            units: 10,
            boundary: Boundary::AtOrBelow,
            basis: Basis::Available,
            recovery: None,
            over: Over::Each,
        }));
        let half = "It has fallen further, to half of the threshold.";
        let moved = "The threshold is now 10, it was 5: what is left is at most half of it.";
        let demand = "High demand, too: 9 sold within 1 day.";
        let said = |note: &str, left| {
            let mut message = message(AlertKind::LowStock, RevisionKind::Updated);
            message.threshold = Some(10);
            message.after = Some(stock(5, 0));
            message.notes = vec![note.to_owned(), demand.to_owned()];
            tells_present(&mut message, Some(stock(left, 0)), check, false);
            assert_eq!(message.after, Some(stock(left, 0)));
            message.notes
        };
        for note in [half, moved] {
            assert_eq!(said(note, 9), [demand]);
            assert_eq!(said(note, 4), [note, demand]);
        }
        assert_eq!(said("It has fallen further: nothing is left.", 1), [demand]);
    }

    #[test]
    fn a_reminder_with_the_present_stock_does_not_say_how_old_the_other_was() {
        let said = |first: &str, left| {
            let mut message = message(AlertKind::LowStock, RevisionKind::Updated);
            message.after = Some(stock(4, 0));
            message.notes = vec![
                first.to_owned(),
                "It last changed at 2026-12-01 02:57 GMT.".to_owned(),
                "till has not been heard from since 2026-12-01 02:57 GMT.".to_owned(),
            ];
            tells_present(&mut message, left, None, false);
            message.notes
        };
        for first in ["A reminder: nothing newer is known.", STILL_OPEN] {
            assert_eq!(said(first, Some(stock(5, 0))), [STILL_OPEN]);
            // As long as nothing else is known.
            assert_eq!(said(first, Some(stock(4, 0))).len(), 3);
            assert_eq!(said(first, None).len(), 3);
        }
    }

    #[test]
    fn what_an_open_alert_checks_is_the_rules_to_say() {
        let low = |boundary, basis| {
            Some(Check::LowStock(Threshold {
                units: 5,
                boundary,
                basis,
                recovery: Some(8),
                over: Over::Each,
            }))
        };
        let open = message(AlertKind::LowStock, RevisionKind::Opened);
        let at = low(Boundary::AtOrBelow, Basis::Available);
        assert_eq!(which(&open, at, &[0, 4, 5, 6, 8]), [0, 4, 5]);
        let below = low(Boundary::Below, Basis::Available);
        assert_eq!(which(&open, below, &[0, 4, 5, 6, 8]), [0, 4]);
        let on_hand = low(Boundary::AtOrBelow, Basis::OnHand);
        assert!(!goes_with(&open, on_hand, &stock(9, 6)));
        assert!(goes_with(&open, at, &stock(9, 6)));
    }
}
