//! What is no longer so of an alert about a source, a channel, or about who claims a vehicle, by the time that
//! it is told: a person has decided, the source is heard again, or more was lost, and whoever ends the alert, or
//! says what is so instead, has not come to it yet.

use jiff::SignedDuration;

use super::deliver::{DeliverError, Deliverer};
use super::overtaken::Standing;
use super::trouble::{leave_out_what_is_over, what_is_lost};
use super::verdict::recheck;
use crate::domain::alert::{AlertKind, RevisionKind, Subject};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::message::{HAS_CHANGED, Message};
use crate::domain::unit::Unit;
use crate::domain::watch::says_why_now;
use crate::store::held;
use crate::store::intents::Intent;
use crate::store::quarantine::Quarantined;

/// How soon after a source is heard again the end of its alert is written.
const WRITTEN: SignedDuration = SignedDuration::from_mins(5);

impl Deliverer {
    /// Whether what an alert about a source says is over, so that its end is about to be written.
    pub(super) async fn is_over_at_source(&self, message: &Message) -> Result<bool, DeliverError> {
        if message.change == RevisionKind::Resolved {
            return Ok(false);
        }
        let store = &self.store;
        let connector = match &message.subject {
            Subject::Quarantine { connector, reason } => {
                let held = store.held_kind(connector, reason).await?;
                return Ok(held.is_some_and(|held| !held.data.open));
            }
            Subject::Unit { vin } if message.kind == AlertKind::Conflict => {
                let named = self.claimants(vin, message).await?;
                return Ok(named.is_some_and(|(_, named)| named.is_empty()));
            }
            Subject::Connector { connector } => connector,
            _ => return Ok(false),
        };
        let health = store.feed_health(connector).await?;
        let health = health.as_ref().map(|health| &health.data);
        Ok(match message.kind {
            AlertKind::FeedSuspect => health.is_some_and(|it| it.suspicions.is_empty()),
            AlertKind::FeedFlawed => health.is_some_and(|it| it.remarks.is_empty()),
            AlertKind::FeedStale => {
                let read = health.and_then(|it| it.succeeded_at).map(|at| at.0);
                let heard = read.max(store.last_webhook(connector).await?);
                let is_new = |at| store.clock().now().duration_since(at) < WRITTEN;
                heard > Some(message.at) && heard.is_some_and(is_new)
            }
            _ => false,
        })
    }

    /// What is left of a message about a source that was held up.
    pub(super) async fn what_source_says_now(
        &self,
        intent: &Intent,
        message: &mut Message,
    ) -> Result<Standing, DeliverError> {
        if self.is_over_at_source(message).await? {
            let now = self.store.clock().now();
            return Ok(Standing::Waits(recheck(intent.created_at, now)));
        }
        self.take_present_doubts(message).await?;
        Ok(Standing::Holds)
    }

    /// Has a message about a source say what was decided of it by now, and what is open; one about who claims
    /// a vehicle, where those that it names have it now; one about a channel, what it has not carried.
    pub(super) async fn take_present_doubts(
        &self,
        message: &mut Message,
    ) -> Result<(), DeliverError> {
        if message.change == RevisionKind::Resolved {
            return Ok(());
        }
        if let Some(present) = self.present_doubts(message).await? {
            message.notes.retain(|note| says_why_now(note));
            message.notes.extend(present);
        }
        Ok(())
    }

    /// What is to be said in place of a message's notes.
    async fn present_doubts(
        &self,
        message: &mut Message,
    ) -> Result<Option<Vec<String>>, DeliverError> {
        Ok(match &message.subject {
            Subject::Connector { connector } if message.kind == AlertKind::FeedSuspect => {
                let health = self.store.feed_health(connector).await?;
                let doubts = health.map(|health| health.data.doubts());
                doubts.filter(|doubts| !doubts.is_empty())
            }
            Subject::Quarantine { connector, reason } => {
                let Some(held) = self.store.held_kind(connector, reason).await? else {
                    return Ok(None);
                };
                let (open, is_more) = self.store.open_of_kind(&held.data).await?;
                let is_new = |entry: &Quarantined| {
                    let mut notes = message.notes.iter();
                    notes.any(|note| held::names_as_new(note, entry))
                };
                (!open.is_empty()).then(|| held::in_words(&open, is_more, is_new))
            }
            Subject::Unit { vin } if message.kind == AlertKind::Conflict => {
                let named = self.claimants(vin, message).await?;
                let Some((unit, named)) = named.filter(|(_, named)| !named.is_empty()) else {
                    return Ok(None);
                };
                let installation = self.installations.current().await?;
                let resolved = unit.resolve(&installation.authority());
                let place = |location: &LocationId| installation.place_name(location);
                let mut notes = message.notes.iter();
                let has_changed = notes.any(|it| it.starts_with(HAS_CHANGED));
                let mut notes = unit.claims_in_words(&resolved, &named, place);
                message.location = resolved.location.as_ref().map(place);
                if let Some(first) = notes.first_mut().filter(|_| has_changed) {
                    first.insert_str(0, HAS_CHANGED);
                }
                Some(notes)
            }
            Subject::Channel { channel } if message.kind == AlertKind::ChannelDown => {
                let mut destination = self.store.destination(channel).await?;
                let installation = self.installations.current().await?;
                let is_over =
                    leave_out_what_is_over(&self.store, &installation, channel, &mut destination);
                let is_over = is_over.await?;
                what_is_lost(message, channel, (&destination, is_over))
            }
            _ => None,
        })
    }

    /// Whether a message names what is not so any more. What else is so by now comes with the next one.
    pub(super) async fn says_what_is_over(&self, message: &Message) -> Result<bool, DeliverError> {
        if message.change == RevisionKind::Resolved {
            return Ok(false);
        }
        if let Subject::Quarantine { connector, reason } = &message.subject {
            let Some(held) = self.store.held_kind(connector, reason).await? else {
                return Ok(false);
            };
            let (open, is_more) = self.store.open_of_kind(&held.data).await?;
            let mut named = message.notes.clone();
            named.retain(|note| !says_why_now(note));
            // Of very many, what it names may be among those that were not read.
            return Ok(!is_more && held::names_what_is_over(&named, &open));
        }
        let mut now = message.clone();
        self.take_present_doubts(&mut now).await?;
        Ok(now.notes != message.notes)
    }

    /// Of those of whom a message says that they claim a vehicle, those who do.
    async fn claimants(
        &self,
        vin: &str,
        message: &Message,
    ) -> Result<Option<(Unit, Vec<(ConnectorName, LocationId)>)>, DeliverError> {
        let Some(unit) = self.store.unit(vin).await? else {
            return Ok(None);
        };
        let installation = self.installations.current().await?;
        let resolved = unit.resolve(&installation.authority());
        let named = unit.claimants_named(&resolved, &message.notes);
        Ok(named.map(|named| (unit, named)))
    }
}
