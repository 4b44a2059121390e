//! Waiting for a table that is busy.
//!
//! The event-source mapping gives a record up after a few retries, and these may all fall into one
//! throttle of a minute. So what a later try may mend is tried again here first.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::store::Store;

/// The first wait at most, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long an invocation waits, in all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    until: Timestamp,
    waits: u32,
}

impl Patience {
    /// An invocation that begins now and must have ended by then. The last quarter of its time is
    /// for the look that is under way, and for saying how far it came.
    pub(crate) fn new(now: Timestamp, deadline: Timestamp) -> Self {
        let time = deadline.duration_since(now).max(SignedDuration::ZERO);
        Self {
            until: deadline.checked_sub(time / 4).unwrap_or(now),
            waits: 0,
        }
    }

    /// Whether too little time is left to begin anything.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }

    /// Waits before another try, longer each time; false if there is no time for one.
    pub(crate) async fn wait(&mut self, store: &Store) -> bool {
        let most = LONGEST.min(FIRST * (1 << self.waits.min(8)));
        // Half of it is chance, so that the lanes of a shard part ways.
        let wait = most.mul_f64(0.5 + store.chance().fraction() / 2.0);
        let left = self.until.duration_since(store.clock().now());
        if SignedDuration::try_from(wait).map_or(true, |wait| wait > left) {
            return false;
        }
        self.waits += 1;
        tokio::time::sleep(wait).await;
        true
    }
}
