//! The stack as `sam deploy` made it from `template.yaml`: what goes in at one end comes out at the
//! other, through the gateway, the stream, the topic, the queues and the release binaries.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failures;
mod schedules;
mod webhooks;
mod world;
