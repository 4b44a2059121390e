//! The time at which an operation runs.

use std::sync::atomic::{AtomicI64, Ordering};

use dynoxide::storage_backend::Clock;

/// The time for dynoxide. It stands still while an operation runs, and is in the log with it: run again,
/// the operation gives its stream records the same numbers.
#[derive(Default)]
pub(super) struct Standing(AtomicI64);

impl Standing {
    /// Has the time be this, in microseconds since 1970, until the next.
    pub(super) fn stand(&self, microseconds: i64) {
        self.0.store(microseconds, Ordering::Relaxed);
    }
}

impl Clock for Standing {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed) / 1_000_000).unwrap_or_default()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds fit until the year 2255"
        )]
        let microseconds = self.0.load(Ordering::Relaxed) as f64;
        microseconds / 1_000_000.0
    }
}
