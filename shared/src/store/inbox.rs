//! What waits for a person: removals that a source's file asks for and that are too many to believe.

use serde::{Deserialize, Serialize};

use super::feeds::{Moment, feed_key};
use super::keys::{Key, Listed};
use super::row::{Expect, Page, Row, Stored};
use super::{Store, StoreError};
use crate::domain::id::ConnectorName;

const WAITING: &str = "inbox";
const SETTLED: &str = "inbox#settled";

/// What a feed's suspicion says while nobody has decided.
pub const UNDECIDED: &str = "none is removed until somebody approves that: lotwire inbox";

/// Removals that wait for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxEntry {
    /// Its name.
    pub id: String,
    /// When it was last written.
    pub at: Moment,
    /// The source.
    pub connector: ConnectorName,
    /// The file that lacks them.
    pub file: String,
    /// How many removals. An approval is of these, and of no others.
    pub count: u64,
    /// Of how many that the source had stated.
    pub held: u64,
    /// The source's own limit, in words.
    pub limit: String,
    /// Some of them.
    pub examples: Vec<String>,
    /// A digest of all of them: a rejection holds for exactly these.
    pub set: String,
    /// Where it stands.
    pub state: InboxState,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Moment>,
}

impl InboxEntry {
    /// That what its file lacks stays, once somebody has rejected to remove it.
    pub fn kept(&self) -> String {
        let (count, held, file) = (self.count, self.held, &self.file);
        let some = self.examples.iter().take(3).cloned().collect::<Vec<_>>();
        let by = self.by.as_deref().unwrap_or("somebody");
        format!(
            "{file} lacks {count} of {held} items, such as {}; they stay, as {by} has rejected their removal",
            some.join(", ")
        )
    }
}

/// Where an inbox entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxState {
    /// For a person to decide.
    Waiting,
    /// The next complete file removes those of them that it still lacks.
    Approved,
    /// They are kept.
    Rejected,
    /// They were removed.
    Applied,
    /// There is nothing to decide any more: they are back in the file, or their source is not in the
    /// configuration any more.
    Withdrawn,
}

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Remove them.
    Approve,
    /// Keep them.
    Reject,
}

/// Why an entry could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// No such entry.
    #[error("there is no inbox entry {0}")]
    Unknown(String),
    /// Somebody was faster, or it settled itself.
    #[error("inbox entry {id} is settled already: {}", words(.state))]
    Settled {
        /// The entry.
        id: String,
        /// Where it stands.
        state: InboxState,
    },
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn words(state: &InboxState) -> &'static str {
    match state {
        InboxState::Waiting => "waiting",
        InboxState::Approved => "approved",
        InboxState::Rejected => "rejected",
        InboxState::Applied => "applied",
        InboxState::Withdrawn => "withdrawn",
    }
}

fn key(id: &str) -> Key {
    Key::new(format!("I#{id}"), "inbox")
}

impl Store {
    /// A page of what waits for a person, newest first.
    pub async fn inbox(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<InboxEntry>, StoreError> {
        let page = self
            .list("list the inbox", WAITING, (None, None), true, cursor, limit)
            .await?;
        Ok(page.map(|stored| stored.data))
    }

    /// One entry.
    pub async fn inbox_entry(&self, id: &str) -> Result<Option<Stored<InboxEntry>>, StoreError> {
        self.get("read an inbox entry", &key(id)).await
    }

    /// Writes an entry; `false` if somebody else did since it was read.
    pub async fn save_inbox(&self, entry: &InboxEntry, expect: Expect) -> Result<bool, StoreError> {
        let list = match entry.state {
            InboxState::Waiting => WAITING,
            _ => SETTLED,
        };
        let row = Row::new(key(&entry.id), "inbox", entry)?;
        let row = row.listed(Listed::by_time(list, entry.at.0, &entry.id));
        self.put("write an inbox entry", row, expect).await
    }

    /// Approves or rejects what an entry asks.
    pub async fn resolve_inbox(
        &self,
        id: &str,
        resolution: Resolution,
        by: &str,
    ) -> Result<InboxEntry, InboxError> {
        const OPERATION: &str = "resolve an inbox entry";
        for attempt in 0.. {
            let Some(stored) = self.inbox_entry(id).await? else {
                return Err(InboxError::Unknown(id.to_owned()));
            };
            let mut entry = stored.data;
            if entry.state != InboxState::Waiting {
                return Err(InboxError::Settled {
                    id: entry.id,
                    state: entry.state,
                });
            }
            entry.state = match resolution {
                Resolution::Approve => InboxState::Approved,
                Resolution::Reject => InboxState::Rejected,
            };
            entry.by = Some(by.to_owned());
            entry.resolved_at = Some(Moment(self.clock.now()));
            if self
                .save_inbox(&entry, Expect::Version(stored.version))
                .await?
            {
                self.tell_decision(&entry).await?;
                return Ok(entry);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Takes an entry off the list whose source is not there any more; nothing happens if it does not wait.
    pub async fn withdraw_inbox(&self, id: &str) -> Result<(), StoreError> {
        const OPERATION: &str = "withdraw an inbox entry";
        for attempt in 0.. {
            let stored = self.inbox_entry(id).await?;
            let waiting = |stored: &Stored<InboxEntry>| stored.data.state == InboxState::Waiting;
            let Some(stored) = stored.filter(waiting) else {
                return Ok(());
            };
            let entry = InboxEntry {
                state: InboxState::Withdrawn,
                resolved_at: Some(Moment(self.clock.now())),
                ..stored.data
            };
            let expect = Expect::Version(stored.version);
            if self.save_inbox(&entry, expect).await? {
                return self.tell_decision(&entry).await;
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Has the source's health say what was decided of an entry, if that was before its file was over.
    pub async fn tell_what_is_decided(&self, id: &str) -> Result<(), StoreError> {
        let stored = self.inbox_entry(id).await?;
        match stored.filter(|it| it.data.state != InboxState::Waiting) {
            Some(stored) => self.tell_decision(&stored.data).await,
            None => Ok(()),
        }
    }

    /// Has the source's health say what was decided. Its next file would, but that may be a day away.
    async fn tell_decision(&self, entry: &InboxEntry) -> Result<(), StoreError> {
        const OPERATION: &str = "tell what was decided of a file";
        for attempt in 0.. {
            let Some(stored) = self.feed_health(&entry.connector).await? else {
                return Ok(());
            };
            let mut health = stored.data.clone();
            let suspicions = &mut health.suspicions;
            let undecided = health.undecided.take();
            let waits = |sentence: &String| match &undecided {
                Some(undecided) => sentence == undecided,
                // A row of before: by what it says.
                None => sentence.contains(UNDECIDED),
            };
            if entry.state == InboxState::Approved {
                let decided = format!(
                    "{} has approved that: the next complete file removes those of them that it still lacks",
                    entry.by.as_deref().unwrap_or("somebody"),
                );
                for sentence in suspicions.iter_mut().filter(|it| waits(it)) {
                    *sentence = sentence.replace(UNDECIDED, &decided);
                }
                // Where the file is believed but for that, nothing is held any more.
                let is_all = suspicions.iter().all(|it| it.contains(&decided));
                if health.distrusted_after.is_none()
                    && is_all
                    && let Some(decided) = suspicions.pop()
                {
                    suspicions.clear();
                    health.kept = Some(decided.trim_end_matches('.').to_owned());
                }
            } else {
                suspicions.retain(|sentence| !waits(sentence));
            }
            if entry.state == InboxState::Rejected {
                health.kept = Some(entry.kept());
            }
            if health == stored.data {
                return Ok(());
            }
            health.origin = self.origin();
            let row = Row::new(feed_key(&entry.connector), "feed", &health)?;
            let expect = Expect::Version(stored.version);
            if self.put(OPERATION, row, expect).await? {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }
}
