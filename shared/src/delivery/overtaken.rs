//! What is no longer so of a message by the time that it leaves, because of what its channel was told
//! meanwhile by another alert of the same item.

use jiff::{SignedDuration, Timestamp};

use super::deliver::{DeliverError, Deliverer};
use crate::domain::alert::{AlertKind, AlertState, RevisionKind, Subject};
use crate::domain::group::GroupId;
use crate::domain::id::ChannelName;
use crate::domain::message::{Message, Stock};
use crate::store::intents::Intent;
use crate::store::{StoreError, Stored};

/// For how long it is news that stock is back.
const NEWS: SignedDuration = SignedDuration::from_hours(24);

/// An alert of the same item that a channel was told of later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) alert: String,
    pub(super) kind: AlertKind,
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
    /// The group that is about to speak there: what waits in it counts as told.
    pub(super) group: Option<&'a GroupId>,
}

impl Deliverer {
    /// The alert that has told a channel since then what is left of an item. `if_open`: only one that still
    /// holds.
    pub(super) async fn overtaken_by(
        &self,
        ear: Ear<'_>,
        (subject, alert): (&Subject, &str),
        since: Timestamp,
        if_open: bool,
    ) -> Result<Option<Later>, StoreError> {
        let watches = self.store.watches(subject).await?;
        let mut spoken = Vec::new();
        for stored in &watches {
            let kind = stored.data.kind;
            for one in &stored.data.watch.spoken_of {
                let is_later = one.alert != alert && one.at.0 > since;
                if kind.tells_what_is_left() && is_later {
                    spoken.push((one.at, kind, &one.alert));
                }
            }
        }
        spoken.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        for (_, kind, other) in spoken {
            let is_later = |it: &Stored<Intent>| it.data.created_at > since;
            let mut intents = self.store.intents_on(other, ear.channel).await?;
            intents.retain(is_later);
            let is_told = intents.iter().any(|it| it.data.may_have_reached());
            let waits = |it: &Stored<Intent>| {
                let belongs = it.data.group.as_ref();
                let group = belongs.map(|belongs| belongs.id(ear.channel));
                it.data.is_unsettled() && group.is_some() && group.as_ref() == ear.group
            };
            let later = || Later {
                alert: other.clone(),
                kind,
            };
            if is_told && !if_open {
                return Ok(Some(later()));
            }
            if is_told || intents.iter().any(waits) {
                let other = self.store.alert(other).await?;
                if other.is_some_and(|it| it.state == AlertState::Open) {
                    return Ok(Some(later()));
                }
            }
        }
        Ok(None)
    }

    /// Has a message that is sent some time after it was written say how much is left now, or nothing of it
    /// where that is not known or does not go with what it says. `is_outdated`: it cannot stay as it is.
    pub(super) async fn take_present_stock(
        &self,
        message: &mut Message,
        is_outdated: bool,
    ) -> Result<(), DeliverError> {
        let present = match &message.subject {
            Subject::Position { product, location } => {
                self.store.position(product, location).await?
            }
            _ => None,
        };
        let present = match present {
            Some(position) => {
                let installation = self.installations.current().await?;
                position.stock(&installation.authority().quantities)
            }
            None if is_outdated => None,
            None => return Ok(()),
        };
        let goes_with = |stock: &Stock| match (message.kind, message.change) {
            (_, RevisionKind::Resolved) | (AlertKind::BackInStock, _) => stock.available > 0,
            (AlertKind::LowStock, _) => message
                .threshold
                .is_none_or(|threshold| stock.available.min(stock.on_hand) <= threshold),
            (AlertKind::OutOfStock, _) => stock.available.min(stock.on_hand) <= 0,
            _ => true,
        };
        let present = present.filter(goes_with);
        if is_outdated || present != message.after {
            (message.before, message.after) = (None, present);
            message.days_of_supply = None;
        }
        Ok(())
    }

    /// Why that stock is back is no news any more, if so.
    pub(super) async fn no_news(
        &self,
        (kind, subject): (AlertKind, &Subject),
        since: Timestamp,
    ) -> Result<Option<&'static str>, StoreError> {
        if kind != AlertKind::BackInStock {
            return Ok(None);
        }
        if self.store.clock().now().duration_since(since) > NEWS {
            return Ok(Some("it has been back for more than a day"));
        }
        let watches = self.store.watches(subject).await?;
        let out = |kind, is_open: bool| kind == AlertKind::OutOfStock && is_open;
        let mut watches = watches.iter().map(|stored| &stored.data);
        let is_out = watches.any(|it| out(it.kind, it.watch.episode().is_some()));
        Ok(is_out.then_some("it is out of stock again"))
    }

    /// Takes from a message that was held up what is no longer so. Gives a reason if nothing is left of it.
    pub(super) async fn bring_up_to_date(
        &self,
        intent: &Intent,
        message: &mut Message,
    ) -> Result<Option<String>, DeliverError> {
        let (kind, since) = (message.kind, intent.created_at);
        if let Some(reason) = self.no_news((kind, &message.subject), since).await? {
            return Ok(Some(reason.to_owned()));
        }
        let ear = Ear {
            channel: &intent.channel,
            group: None,
        };
        let about = (&message.subject, intent.alert.as_str());
        let Some(any) = self.overtaken_by(ear, about, since, false).await? else {
            self.take_present_stock(message, false).await?;
            return Ok(None);
        };
        if any.kind == kind {
            // Of one kind only the last is open, if any.
            return Ok(Some(any.reason()));
        }
        let later = self.overtaken_by(ear, about, since, true).await?;
        // That there is stock again is so, however little.
        let holds = message.change == RevisionKind::Resolved && kind == AlertKind::OutOfStock;
        match later {
            Some(later) if !holds || later.kind == kind => Ok(Some(later.reason())),
            _ => {
                self.take_present_stock(message, true).await?;
                Ok(None)
            }
        }
    }
}
