//! Alerts: the watch over a subject, the alert it opened, what to say, and to whom, written together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::groups::member_row;
use super::intents::{Intent, intent_row};
use super::keys::{self, Listed};
use super::products::Product;
use super::row::{Expect, Page, Row, Stored, Write, Written, read};
use super::{Store, StoreError};
use crate::domain::alert::{AlertState, RevisionKind};
use crate::domain::event::millis;
use crate::domain::id::{ChannelName, LocationId};
use crate::domain::message::Message;
use crate::domain::watch::{Moment, Watch};
use crate::domain::{AlertKind, Position, ProductId, Severity, Subject};

/// An alert, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub kind: AlertKind,
    /// What it is attached to.
    pub subject: Subject,
    /// How much it matters.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// Counts its revisions from 1.
    pub revision: u32,
    /// When it was opened.
    #[serde(with = "millis")]
    pub opened_at: Timestamp,
    /// When its last revision was written.
    #[serde(with = "millis")]
    pub updated_at: Timestamp,
    /// What the last revision says.
    pub message: Message,
    /// The channels that were told of the opening; they are the ones to be told of its end.
    pub told: Vec<ChannelName>,
}

/// A watch as it is stored, with what it watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// What is watched.
    pub subject: Subject,
    /// For what.
    pub kind: AlertKind,
    /// Where the watch stands.
    pub watch: Watch,
    /// When time alone may change the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}

/// A decision about one watch, to be written as a whole.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The watch's new state.
    pub watched: Watched,
    /// The state it was decided from.
    pub expect: Expect,
    /// What people are to be told, if anything.
    pub announcements: Vec<Announcement>,
}

/// What people are to be told.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The alert after this revision.
    pub alert: Alert,
    /// One for each channel that should carry it.
    pub intents: Vec<Intent>,
}

/// Everything that is kept under a product, read together.
#[derive(Debug, Clone, Default)]
pub struct ProductPicture {
    /// What is known of the product itself.
    pub description: Option<Product>,
    /// Its position at each location.
    pub positions: BTreeMap<LocationId, Position>,
    /// What is watched, at each location and over groups.
    pub watches: Vec<Stored<Watched>>,
}

impl ProductPicture {
    /// The watch over a subject for a kind of alert.
    pub fn watch(&self, subject: &Subject, kind: AlertKind) -> Option<&Stored<Watched>> {
        self.watches
            .iter()
            .find(|stored| stored.data.kind == kind && &stored.data.subject == subject)
    }
}

impl Store {
    /// A product with all its positions and watches, as they are now, in one query.
    pub async fn picture(&self, product: &ProductId) -> Result<ProductPicture, StoreError> {
        const OPERATION: &str = "read a product, its positions and watches";
        let mut picture = ProductPicture::default();
        for (kind, item) in self
            .partition(OPERATION, &keys::product(product), "")
            .await?
        {
            match kind.as_str() {
                "product" => picture.description = Some(read(OPERATION, item)?.data),
                "position" => {
                    let position = read::<Position>(OPERATION, item)?.data;
                    picture
                        .positions
                        .insert(position.location.clone(), position);
                }
                "watch" => picture.watches.push(read(OPERATION, item)?),
                _ => {}
            }
        }
        Ok(picture)
    }

    /// A subject's watches, as they are now.
    pub async fn watches(&self, subject: &Subject) -> Result<Vec<Stored<Watched>>, StoreError> {
        const OPERATION: &str = "read a subject's watches";
        let (pk, prefix) = keys::watches(subject);
        self.partition(OPERATION, &pk, &prefix)
            .await?
            .into_iter()
            .map(|(_, item)| read(OPERATION, item))
            .collect()
    }

    /// Writes a decision: `false` if the watch has moved on since it was read.
    pub async fn decide(&self, decision: Decision) -> Result<bool, StoreError> {
        const OPERATION: &str = "write an alert decision";
        let watched = &decision.watched;
        let key = keys::watch(&watched.subject, watched.kind);
        let row = Row::new(key, "watch", watched)?.due(watched.due.map(|due| due.0));
        if decision.announcements.is_empty() {
            return self.put(OPERATION, row, decision.expect).await;
        }
        // The watch's version guards the rest: no two decisions from one state can both be written.
        let mut writes = vec![Write::Put(row, decision.expect)];
        for Announcement { alert, intents } in &decision.announcements {
            let revision = keys::revision(&alert.id, alert.revision);
            writes.push(Write::Put(alert_row(alert)?, Expect::Anything));
            writes.push(Write::Put(
                Row::new(revision, "revision", &alert.message)?,
                Expect::Absent,
            ));
            for intent in intents {
                writes.push(Write::Put(intent_row(intent)?, Expect::Absent));
                if let Some(member) = member_row(alert, intent)? {
                    writes.push(Write::Put(member, Expect::Absent));
                }
            }
        }
        Ok(self.transact(OPERATION, writes).await? == Written::Done)
    }

    /// One alert.
    pub async fn alert(&self, id: &str) -> Result<Option<Alert>, StoreError> {
        let stored = self.get("read an alert", &keys::alert(id)).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// What one revision of an alert says.
    pub async fn revision(&self, id: &str, revision: u32) -> Result<Option<Message>, StoreError> {
        let key = keys::revision(id, revision);
        let stored = self.get("read an alert's revision", &key).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// A page of alerts in one state, newest first.
    pub async fn alerts(
        &self,
        state: AlertState,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Alert>, StoreError> {
        let list = alerts_list(state);
        let page = self
            .list("list alerts", &list, (None, None), true, cursor, limit)
            .await?;
        Ok(Page {
            items: page.items.into_iter().map(|stored| stored.data).collect(),
            next: page.next,
        })
    }
}

fn alerts_list(state: AlertState) -> String {
    format!("alerts#{state}")
}

pub(super) fn alert_row(alert: &Alert) -> Result<Row, StoreError> {
    let listed = Listed::by_time(alerts_list(alert.state), alert.opened_at, &alert.id);
    Ok(Row::new(keys::alert(&alert.id), "alert", alert)?.listed(listed))
}

impl Alert {
    /// Whether this revision ends the alert.
    pub fn is_over(&self) -> bool {
        self.message.change == RevisionKind::Resolved
    }
}
