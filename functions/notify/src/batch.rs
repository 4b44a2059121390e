//! A batch whose records succeed or fail one by one.

use std::panic::AssertUnwindSafe;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt;
use futures::future::join_all;
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

/// Handles the records of a batch side by side. One that fails, panics or would start after `start_by`
/// goes back alone; the rest are done. The runtime's own guard covers only the invocation as a whole.
pub async fn each_record<F>(
    event: SqsEvent,
    clock: &Clock,
    start_by: Timestamp,
    handle: impl Fn(SqsMessage) -> F,
) -> SqsBatchResponse
where
    F: Future<Output = Settled>,
{
    let records = event.records.into_iter().map(|record| async {
        // An empty id fails the whole batch, which is the safe reading of a record without one.
        let id = record.message_id.clone().unwrap_or_default();
        if clock.now() > start_by {
            tracing::warn!(message = id, "too late to begin with a message");
            return Some(id);
        }
        let guarded = AssertUnwindSafe(async { handle(record).await }).catch_unwind();
        match guarded.await {
            Ok(Settled::Done) => None,
            Ok(Settled::Failed) => Some(id),
            Err(_) => {
                tracing::error!(message = id, "handling a message panicked");
                Some(id)
            }
        }
    });
    let mut response = SqsBatchResponse::default();
    for id in join_all(records).await.into_iter().flatten() {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        response.batch_item_failures.push(failure);
    }
    response
}
