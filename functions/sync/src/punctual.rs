//! A place that is given up, with the reason, before its worker's time is over.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use shared::clock::Clock;
use shared::feeds::transport::{Claimed, Entry, Fault, FileSource, TransferError};

/// How long a place has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// A place that nobody waits for any longer after `until`.
pub(crate) struct Punctual {
    pub(crate) place: Box<dyn FileSource>,
    pub(crate) clock: Clock,
    pub(crate) until: Timestamp,
    /// The sizes of the files that were listed.
    sizes: BTreeMap<String, u64>,
}

impl Punctual {
    pub(crate) fn new(place: Box<dyn FileSource>, clock: Clock, until: Timestamp) -> Self {
        Self {
            place,
            clock,
            until,
            sizes: BTreeMap::new(),
        }
    }

    fn left(&self) -> Duration {
        left(&self.clock, self.until)
    }

    fn remember(&mut self, folder: &str, entries: &[Entry]) {
        let sizes = entries.iter().filter_map(|entry| {
            let size = entry.size?;
            Some((format!("{folder}{}", entry.name), size))
        });
        self.sizes.extend(sizes);
    }
}

/// How long until then.
pub(crate) fn left(clock: &Clock, until: Timestamp) -> Duration {
    let left = until.duration_since(clock.now());
    Duration::try_from(left).unwrap_or_default()
}

/// Gives up on what takes longer than this.
pub(crate) async fn within<T>(
    limit: Duration,
    action: impl Into<String>,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or_else(|_| Err(too_slow(action.into(), limit, "")))
}

fn too_slow(action: String, limit: Duration, so_far: &str) -> TransferError {
    TransferError {
        fault: Fault::Transient,
        action,
        problem: format!("it took longer than {} s{so_far}", limit.as_secs()),
    }
}

#[async_trait]
impl FileSource for Punctual {
    async fn list(&mut self) -> Result<Vec<Entry>, TransferError> {
        let entries = within(self.left(), "list the files", self.place.list()).await?;
        self.remember("", &entries);
        Ok(entries)
    }

    async fn list_claimed(&mut self) -> Result<Vec<Entry>, TransferError> {
        let listed = self.place.list_claimed();
        let limit = left(&self.clock, self.until);
        let entries = within(limit, "list the files in processing/", listed).await?;
        self.remember("processing/", &entries);
        Ok(entries)
    }

    async fn download(
        &mut self,
        name: &str,
        into: &Path,
        limit: u64,
    ) -> Result<u64, TransferError> {
        let time = self.left();
        let downloaded = self.place.download(name, into, limit);
        match tokio::time::timeout(time, downloaded).await {
            Ok(downloaded) => downloaded,
            Err(_) => {
                let arrived = std::fs::metadata(into).map_or(0, |copy| copy.len());
                let whole = self.sizes.get(name);
                let of = whole.map_or_else(String::new, |whole| format!(" of {whole}"));
                let so_far = format!(" ({arrived}{of} bytes)");
                Err(too_slow(format!("download {name}"), time, &so_far))
            }
        }
    }

    async fn read_small(&mut self, name: &str) -> Result<Vec<u8>, TransferError> {
        let limit = self.left();
        within(limit, format!("read {name}"), self.place.read_small(name)).await
    }

    async fn rename(&mut self, from: &str, to: &str) -> Result<Claimed, TransferError> {
        let limit = self.left();
        let action = format!("move {from} to {to}");
        within(limit, action, self.place.rename(from, to)).await
    }

    fn can_rename(&self) -> bool {
        self.place.can_rename()
    }

    async fn close(self: Box<Self>) {
        // The server notices either way.
        tokio::time::timeout(GOODBYE, self.place.close()).await.ok();
    }
}
