//! Sending again what did not arrive, once its channel is mended: of each open alert what is true now,
//! and the end of each that the channel was told of.

use jiff::{SignedDuration, Timestamp};

use super::alerts::Alert;
use super::intents::{Intent, IntentState};
use super::{Store, StoreError, Stored};
use crate::domain::alert::AlertState;
use crate::domain::id::ChannelName;

/// How many alerts are read at once.
const PAGE: i32 = 100;

/// An end that was written longer ago is nobody's news any more.
const ENDS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resend {
    /// On this channel,
    pub channel: ChannelName,
    /// of this alert only, if one is named.
    pub alert: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resent {
    /// Deliveries that are made again.
    pub deliveries: usize,
    /// Whether everything was looked at; if not, asking again goes on.
    pub complete: bool,
}

impl Store {
    /// Has the last revision of each alert that did not arrive on a channel sent again: of those that are
    /// open, and of those that are over where something of them had arrived. The clock hands them to their
    /// queue.
    pub async fn resend(&self, what: &Resend, until: Timestamp) -> Result<Resent, StoreError> {
        let mut resent = Resent::default();
        if let Some(id) = &what.alert {
            if let Some(alert) = self.alert(id).await? {
                resent.deliveries += usize::from(self.resend_last(&alert, &what.channel).await?);
            }
            resent.complete = true;
            return Ok(resent);
        }
        let mut cursor: Option<String> = None;
        loop {
            let page = self
                .alerts(AlertState::Open, cursor.as_deref(), PAGE)
                .await?;
            for alert in &page.items {
                if self.clock.now() >= until {
                    return Ok(resent);
                }
                let sent = self.resend_last(alert, &what.channel).await?;
                resent.deliveries += usize::from(sent);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let since = self.clock.now().saturating_sub(ENDS).unwrap_or_default();
        loop {
            let page = self.intents_since(since, cursor.as_deref(), PAGE).await?;
            for intent in &page.items {
                if self.clock.now() >= until {
                    return Ok(resent);
                }
                // What arrived needs no look, and an end follows at least a beginning.
                let may_be_an_end = intent.revision > 1 && intent.state != IntentState::Delivered;
                if intent.channel != what.channel || !may_be_an_end {
                    continue;
                }
                let alert = self.alert(&intent.alert).await?;
                let over = alert.filter(|it| it.is_over() && it.revision == intent.revision);
                if let Some(alert) = over {
                    let sent = self.resend_last(&alert, &what.channel).await?;
                    resent.deliveries += usize::from(sent);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                resent.complete = true;
                return Ok(resent);
            }
        }
    }

    /// Sends an alert's last revision again on a channel, if it did not arrive.
    async fn resend_last(&self, alert: &Alert, channel: &ChannelName) -> Result<bool, StoreError> {
        let mut intents = self.intents_on(&alert.id, channel).await?;
        let Some(last) = intents.pop() else {
            return Ok(false);
        };
        if alert.state == AlertState::Resolved {
            let heard = intents.iter().any(|it| it.data.may_have_reached());
            if !heard || last.data.revision != alert.revision || self.is_open_again(alert).await? {
                return Ok(false);
            }
        }
        match last.data.state {
            // Its group has it, and says what is true: soon, or now if it found the channel not live.
            IntentState::Pending if last.data.group.is_some() => Ok(false),
            IntentState::NotSent if let Some(belongs) = &last.data.group => {
                self.hasten(&belongs.id(channel)).await
            }
            IntentState::Pending if last.data.in_flight => Ok(false),
            IntentState::Delivered | IntentState::Superseded => Ok(false),
            _ => self.send_again(&last).await,
        }
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
        let now = self.clock.now();
        let again = Intent {
            state: IntentState::Pending,
            forgiven: stored.data.attempts,
            not_before: now,
            due_at: now,
            // The group's message that should have carried it is settled.
            group: None,
            carried_by: None,
            ..stored.data.clone()
        };
        self.put_intent(stored, &again).await
    }
}
