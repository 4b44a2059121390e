//! A batch whose records succeed or fail one by one.

use std::panic::AssertUnwindSafe;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use jiff::Timestamp;
use shared::clock::Clock;

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The queue may forget it.
    Done,
    /// The queue is to bring it again.
    Failed,
}

/// Handles a batch in order. A record that fails, panics or would start after `start_by` goes back
/// alone; the rest are done. The runtime's own guard covers only the invocation as a whole.
pub async fn each_record<F>(
    event: SqsEvent,
    clock: &Clock,
    start_by: Timestamp,
    handle: impl Fn(SqsMessage) -> F,
) -> SqsBatchResponse
where
    F: Future<Output = Settled>,
{
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        // An empty id fails the whole batch, which is the safe reading of a record without one.
        let id = record.message_id.clone().unwrap_or_default();
        if clock.now() <= start_by {
            let guarded = AssertUnwindSafe(async { handle(record).await }).catch_unwind();
            match guarded.await {
                Ok(Settled::Done) => continue,
                Ok(Settled::Failed) => {}
                Err(_) => tracing::error!(message = id, "handling a message panicked"),
            }
        } else {
            tracing::warn!(message = id, "too late to begin with a message");
        }
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        response.batch_item_failures.push(failure);
    }
    response
}
