//! The API against the embedded table: every route, and what the guarantees say of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod channels;
mod configuration;
mod doctor;
mod imports;
mod movements;
mod paging;
mod quarantine;
mod replays;
mod routes;
mod scene;
mod status;
