//! Long work that proceeds page by page. Each page rewrites the job, the stream carries the rewritten
//! job back to the evaluator, and so it runs on, however many pages there are, across any crash.

use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::row::{Expect, Row, Stored};
use super::{Store, StoreError};
use crate::domain::id::ConnectorName;
use crate::domain::watch::Moment;

/// Looking again at every position that a change may concern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reexamination {
    /// Names the job: the configuration's version, or the feed that recovered.
    pub id: String,
    /// Only positions whose quantity this source owns; all of them if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned_by: Option<ConnectorName>,
    /// Where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Not before then (a season begins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
}

fn key(id: &str) -> Key {
    Key::new(format!("J#{id}"), "job")
}

impl Store {
    /// Starts a job, unless it has been started before.
    pub async fn start_job(&self, job: &Reexamination) -> Result<bool, StoreError> {
        let row = Row::new(key(&job.id), "job", job)?.due(job.not_before.map(|at| at.0));
        self.put("start a job", row, Expect::Absent).await
    }

    /// A job as it stands.
    pub async fn job(&self, id: &str) -> Result<Option<Stored<Reexamination>>, StoreError> {
        self.get("read a job", &key(id)).await
    }

    /// Records that a page is done; without a next cursor the job is, too.
    pub async fn advance_job(
        &self,
        stored: &Stored<Reexamination>,
        next: Option<String>,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "advance a job";
        let expect = Expect::Version(stored.version);
        if next.is_none() {
            return self.delete(OPERATION, &stored.key, expect).await;
        }
        let job = Reexamination {
            cursor: next,
            not_before: None,
            ..stored.data.clone()
        };
        self.put(
            OPERATION,
            Row::new(stored.key.clone(), "job", &job)?,
            expect,
        )
        .await
    }
}
