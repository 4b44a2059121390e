//! What every transfer shares: landing on disk within a limit, and giving up in time.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::disk::blocking;
use super::transport::{Fault, TransferError};

/// Writes a stream to disk within a limit, and leaves nothing behind if it fails.
pub(super) struct Landing<'a> {
    path: &'a Path,
    file: File,
    written: u64,
    limit: u64,
    action: &'a str,
}

impl<'a> Landing<'a> {
    pub(super) async fn create(
        path: &'a Path,
        limit: u64,
        action: &'a str,
    ) -> Result<Self, TransferError> {
        let file = blocking(|| File::create(path));
        Ok(Self {
            path,
            file: file.map_err(|error| TransferError::io(action, &error))?,
            written: 0,
            limit,
            action,
        })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.written += bytes.len() as u64;
        if self.written > self.limit {
            return Err(too_large(self.action, self.limit));
        }
        let written = blocking(|| self.file.write_all(bytes));
        written.map_err(|error| TransferError::io(self.action, &error))
    }

    /// Settles the outcome: the size, or the error with the partial file removed.
    pub(super) async fn finish(
        mut self,
        received: Result<(), TransferError>,
        announced: Option<u64>,
    ) -> Result<u64, TransferError> {
        let flushed = blocking(|| self.file.flush());
        let outcome = received
            .and(flushed.map_err(|error| TransferError::io(self.action, &error)))
            .and(match announced {
                Some(size) if size != self.written => Err(TransferError::new(
                    Fault::Transient,
                    self.action,
                    format!("{size} bytes were announced, {} arrived", self.written),
                )),
                _ => Ok(self.written),
            });
        if outcome.is_err() {
            drop(self.file);
            // The error that brought us here is the one to tell.
            blocking(|| fs::remove_file(self.path)).ok();
        }
        outcome
    }
}

/// Gives up on work that takes longer than `limit`.
pub(super) async fn in_time<T>(
    limit: Duration,
    action: &str,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let problem = format!("no answer within {} s", limit.as_secs());
        Err(TransferError::new(Fault::Transient, action, problem))
    })
}

pub(super) fn too_large(action: &str, limit: u64) -> TransferError {
    let problem = format!("the file has more than {limit} bytes");
    TransferError::new(Fault::Refused, action, problem)
}
