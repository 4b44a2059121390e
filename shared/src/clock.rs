//! The one place that asks what time it is.
//!
//! Handlers take a [`Clock`]; a simulation hands them one that follows tokio's (paused, virtual)
//! time, so hours pass in microseconds and a run repeats exactly.

use jiff::{SignedDuration, Timestamp};

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Anchored {
        start: Timestamp,
        anchor: tokio::time::Instant,
    },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that reads `start` now and advances with tokio's time, paused or not.
    ///
    /// Must be called inside a tokio runtime when that runtime's time is paused.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(Source::Anchored {
            start,
            anchor: tokio::time::Instant::now(),
        })
    }

    /// The present instant, UTC.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the clock everybody else asks"
            )]
            Source::System => Timestamp::now(),
            Source::Anchored { start, anchor } => {
                let passed = SignedDuration::try_from(anchor.elapsed()).unwrap_or_default();
                start.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn an_anchored_clock_follows_virtual_time() {
        let start: Timestamp = "2026-01-15T09:30:00Z".parse().unwrap();
        let clock = Clock::starting_at(start);
        tokio::time::advance(Duration::from_secs(3 * 3600)).await;
        assert_eq!(clock.now().to_string(), "2026-01-15T12:30:00Z");
    }
}
