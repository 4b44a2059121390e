//! The release binaries, each against a runtime API that can do to it what Lambda can.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod crashes;
mod samples;
mod start;
mod throttles;
mod versions;
