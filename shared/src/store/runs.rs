//! Scheduled runs of a source: one per slot, one at a time per source, resumable.
//!
//! Of several workers that take up one slot, one creates the run's record. A lease keeps two workers from
//! running a source at once; it expires unless renewed, so that a worker that died does not hold the source
//! for ever.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::feeds::Moment;
use super::keys::{self, Key, Listed};
use super::row::{Expect, Page, Row, Stored, parts_of};
use super::{Store, StoreError};
use crate::domain::id::ConnectorName;

/// Characters in a row of what a run keeps: an item holds 400 KB, and this leaves room for its keys.
const PART: usize = 300_000;

/// How long a run's record is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One run of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The source.
    pub connector: ConnectorName,
    /// The scheduled time, or what else the run is named by.
    pub slot: String,
    /// How far it is.
    pub state: RunState,
    /// When it was asked for.
    pub queued_at: Moment,
    /// When a worker last took it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Moment>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Moment>,
    /// Why it ended, where that needs a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What became of each file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileReport>,
    /// Where to resume, in the words of whoever runs it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub checkpoint: serde_json::Value,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its job waits.
    Queued,
    /// A worker has begun.
    Running,
    /// Done.
    Done,
    /// Nothing could be read; the next slot tries again.
    Failed,
    /// Another run of the source was going.
    Skipped,
}

impl RunState {
    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What became of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// How it was taken.
    pub outcome: FileOutcome,
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// What people should know of it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sentences: Vec<String>,
}

/// How a file was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileOutcome {
    /// Proved complete, and applied.
    #[default]
    Applied,
    /// Not proved complete: what it has was applied, what it lacks means nothing.
    Suspect,
    /// Damaged or unreadable as a whole: nothing of it was applied.
    Refused,
    /// This very delivery was applied before.
    Duplicate,
    /// Older than what was applied before.
    Older,
}

/// What was counted while a file was applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Readable rows.
    pub rows: u64,
    /// Rows held in quarantine.
    pub quarantined: u64,
    /// Rows that were new to us.
    pub added: u64,
    /// Rows that differed from what we held although this source had stated it.
    pub drift: u64,
    /// Of these, rows that the source itself dates after its last complete file.
    pub changed_at_source: u64,
    /// What is no longer in the file, and not yet removed.
    pub missing: u64,
    /// What was removed.
    pub removed: u64,
    /// Removals that wait for a person.
    pub withheld: u64,
}

/// The right to run a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which run holds it.
    pub slot: String,
    /// Which worker.
    pub holder: String,
    /// Until when, unless it is renewed.
    pub until: Moment,
}

fn run_key(connector: &ConnectorName, slot: &str) -> Key {
    Key::new(keys::connector(connector), format!("run#{slot}"))
}

fn progress_key(connector: &ConnectorName, name: &str, part: usize) -> Key {
    Key::new(
        keys::connector(connector),
        format!("progress#{name}#{part:06}"),
    )
}

fn lease_key(connector: &ConnectorName) -> Key {
    Key::new(keys::connector(connector), "lease")
}

fn run_row(run: &Run) -> Result<Row, StoreError> {
    let queued = run.queued_at.0;
    let list = format!("runs#{}", run.connector);
    Ok(Row::new(run_key(&run.connector, &run.slot), "run", run)?
        .listed(Listed::by_time(list, queued, &run.slot))
        .expires(queued.checked_add(KEPT).unwrap_or(Timestamp::MAX)))
}

impl Store {
    /// Creates a slot's run; `false` if the slot has one.
    pub async fn begin_run(
        &self,
        connector: &ConnectorName,
        slot: &str,
    ) -> Result<bool, StoreError> {
        let run = Run {
            connector: connector.clone(),
            slot: slot.to_owned(),
            state: RunState::Queued,
            queued_at: Moment(self.clock.now()),
            started_at: None,
            finished_at: None,
            note: None,
            files: Vec::new(),
            checkpoint: serde_json::Value::Null,
        };
        self.put("begin a run", run_row(&run)?, Expect::Absent)
            .await
    }

    /// A run as it stands.
    pub async fn run(
        &self,
        connector: &ConnectorName,
        slot: &str,
    ) -> Result<Option<Stored<Run>>, StoreError> {
        self.get("read a run", &run_key(connector, slot)).await
    }

    /// Writes a run; `false` if somebody else did since it was read.
    pub async fn save_run(&self, run: &Run, expect: Expect) -> Result<bool, StoreError> {
        self.put("write a run", run_row(run)?, expect).await
    }

    /// Keeps what a run has found out, under a name of its own, for a worker who goes on; returns in how
    /// many rows.
    pub async fn keep_progress(
        &self,
        connector: &ConnectorName,
        name: &str,
        content: &str,
        until: Timestamp,
    ) -> Result<usize, StoreError> {
        let parts = parts_of(content, PART);
        for (number, part) in parts.iter().enumerate() {
            let key = progress_key(connector, name, number);
            let row = Row::new(key, "progress", part)?.expires(until);
            self.put("keep a run's progress", row, Expect::Anything)
                .await?;
        }
        Ok(parts.len())
    }

    /// What a run has kept under this name; nothing if not all of it is there.
    pub async fn progress(
        &self,
        connector: &ConnectorName,
        name: &str,
        parts: usize,
    ) -> Result<Option<String>, StoreError> {
        let mut content = String::new();
        for number in 0..parts {
            let key = progress_key(connector, name, number);
            let Some(part) = self.get::<String>("read a run's progress", &key).await? else {
                return Ok(None);
            };
            content.push_str(&part.data);
        }
        Ok(Some(content))
    }

    /// A page of a source's runs, newest first.
    pub async fn runs(
        &self,
        connector: &ConnectorName,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Run>, StoreError> {
        let list = format!("runs#{connector}");
        let page = self
            .list("list runs", &list, (None, None), true, cursor, limit)
            .await?;
        Ok(page.map(|stored| stored.data))
    }

    /// Who may run a source now, if anybody.
    pub async fn run_lease(&self, connector: &ConnectorName) -> Result<Option<Lease>, StoreError> {
        let stored = self
            .get::<Lease>("read a source's lease", &lease_key(connector))
            .await?;
        let now = self.clock.now();
        Ok(stored
            .map(|stored| stored.data)
            .filter(|lease| lease.until.0 > now))
    }

    /// Takes or renews the right to run a source; who has it instead, if somebody else does.
    pub async fn take_run_lease(
        &self,
        connector: &ConnectorName,
        wanted: &Lease,
    ) -> Result<Option<Lease>, StoreError> {
        const OPERATION: &str = "take a source's lease";
        for attempt in 0.. {
            let stored = self.get::<Lease>(OPERATION, &lease_key(connector)).await?;
            let now = self.clock.now();
            if let Some(other) = &stored
                && other.data.holder != wanted.holder
                && other.data.until.0 > now
            {
                return Ok(Some(other.data.clone()));
            }
            let row = Row::new(lease_key(connector), "lease", wanted)?;
            if self
                .put(OPERATION, row, Expect::from_read(stored.as_ref()))
                .await?
            {
                return Ok(None);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Gives the right to run a source back, if this worker still has it.
    pub async fn give_run_lease_back(
        &self,
        connector: &ConnectorName,
        holder: &str,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "give a source's lease back";
        let stored = self.get::<Lease>(OPERATION, &lease_key(connector)).await?;
        if let Some(stored) = stored.filter(|stored| stored.data.holder == holder) {
            let expect = Expect::Version(stored.version);
            // If it has changed hands meanwhile, it is not ours to give.
            self.delete(OPERATION, &stored.key, expect).await?;
        }
        Ok(())
    }
}
