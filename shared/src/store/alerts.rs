//! Alerts: the watch over a subject, the alert it opened, what to say, and to whom, written together.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::intents::{Intent, intent_row};
use super::keys::{self, Listed};
use super::row::{Expect, Page, Row, Stored, Write, Written, read};
use super::{Store, StoreError};
use crate::domain::alert::{AlertState, RevisionKind};
use crate::domain::event::millis;
use crate::domain::id::{ChannelName, LocationId};
use crate::domain::message::Message;
use crate::domain::watch::Watch;
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
}

/// A decision about one watch, to be written as a whole.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The watch's new state.
    pub watched: Watched,
    /// The state it was decided from.
    pub expect: Expect,
    /// When time alone may change the answer.
    pub due: Option<Timestamp>,
    /// What people are to be told, if anything.
    pub announcement: Option<Announcement>,
}

/// What people are to be told.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The alert after this revision.
    pub alert: Alert,
    /// One for each channel that should carry it.
    pub intents: Vec<Intent>,
}

/// A position and its watches, read together.
#[derive(Debug, Clone)]
pub struct Watchpost {
    /// The position, if anything is known of it.
    pub position: Option<Position>,
    /// What is watched there.
    pub watches: Vec<Stored<Watched>>,
}

impl Store {
    /// A position with its watches, as they are now, in one query.
    pub async fn watchpost(
        &self,
        product: &ProductId,
        location: &LocationId,
    ) -> Result<Watchpost, StoreError> {
        const OPERATION: &str = "read a position and its watches";
        let mut post = Watchpost {
            position: None,
            watches: Vec::new(),
        };
        let prefix = keys::at_location(location);
        for (kind, item) in self
            .partition(OPERATION, &keys::product(product), &prefix)
            .await?
        {
            match kind.as_str() {
                "position" => post.position = Some(read(OPERATION, item)?.data),
                "watch" => post.watches.push(read(OPERATION, item)?),
                _ => {}
            }
        }
        Ok(post)
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
        let row = Row::new(key, "watch", watched)?.due(decision.due);
        let Some(announcement) = decision.announcement else {
            return self.put(OPERATION, row, decision.expect).await;
        };
        let mut writes = vec![
            Write::Put(row, decision.expect),
            // The watch's version guards the alert: no two decisions of one revision can both be written.
            Write::Put(alert_row(&announcement.alert)?, Expect::Anything),
            Write::Put(
                Row::new(
                    keys::revision(&announcement.alert.id, announcement.alert.revision),
                    "revision",
                    &announcement.alert.message,
                )?,
                Expect::Absent,
            ),
        ];
        for intent in &announcement.intents {
            writes.push(Write::Put(intent_row(intent)?, Expect::Absent));
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

fn alert_row(alert: &Alert) -> Result<Row, StoreError> {
    let listed = Listed::by_time(alerts_list(alert.state), alert.opened_at, &alert.id);
    Ok(Row::new(keys::alert(&alert.id), "alert", alert)?.listed(listed))
}

impl Alert {
    /// Whether this revision ends the alert.
    pub fn is_over(&self) -> bool {
        self.message.change == RevisionKind::Resolved
    }
}
