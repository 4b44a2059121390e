//! The notifier over the real table, with vendors that fail in every way they know.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod breaker;
mod credentials;
mod deliver;
mod grouping;
mod handler;
mod order;
mod slow;
mod trouble;
mod world;
