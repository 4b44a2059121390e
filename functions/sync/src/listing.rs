//! How far what a source has stated is compared with its file. A source may have stated more than can be
//! read in the time that a run has, so a run that pauses keeps this, and goes on from there.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::domain::id::ConnectorName;
use shared::store::{Store, StoreError};

use crate::absence::Compared;
use crate::snapshot::{Marks, Snapshot};

/// How long it is kept: longer than any run takes that is still going.
const KEPT: SignedDuration = SignedDuration::from_hours(48);

/// What is found out, and where the rest begins.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// Where the next page of the source's list begins.
    pub(crate) next: Option<String>,
    /// Whether there is none.
    pub(crate) done: bool,
    /// What is found out of the items on the pages before.
    pub(crate) compared: Compared,
}

/// Where a listing is kept, and of what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The worker who kept it.
    name: String,
    /// In how many parts.
    parts: usize,
    /// The version of the configuration by which the file was read.
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content<L> {
    listing: L,
    marks: Marks,
}

impl Listing {
    /// Keeps it with what it marked in the file.
    pub(crate) async fn keep(
        &self,
        store: &Store,
        source: &ConnectorName,
        name: &str,
        (snapshot, version): (&Snapshot, u64),
    ) -> Result<Kept, StoreError> {
        let content = Content {
            listing: self,
            marks: snapshot.marks(),
        };
        let content = serde_json::to_string(&content).map_err(|error| StoreError::Unreadable {
            operation: "keep a comparison",
            key: name.to_owned(),
            problem: error.to_string(),
        })?;
        let now = store.clock().now();
        let until = now.checked_add(KEPT).unwrap_or(Timestamp::MAX);
        let parts = store.keep_progress(source, name, &content, until).await?;
        Ok(Kept {
            name: name.to_owned(),
            parts,
            version,
        })
    }

    /// Takes it up. It begins anew if it is gone, or if the file says something else than it did, read
    /// by another version of the configuration or of the program.
    pub(crate) async fn resume(
        store: &Store,
        source: &ConnectorName,
        kept: Option<&Kept>,
        (snapshot, version): (&mut Snapshot, u64),
    ) -> Result<Self, StoreError> {
        let Some(kept) = kept.filter(|kept| kept.version == version) else {
            return Ok(Self::default());
        };
        let content = store.progress(source, &kept.name, kept.parts).await?;
        let content = content.and_then(|text| serde_json::from_str::<Content<Self>>(&text).ok());
        Ok(match content {
            Some(content) if snapshot.mark(&content.marks) => content.listing,
            _ => Self::default(),
        })
    }
}
