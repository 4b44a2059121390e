//! The notifier: takes "look at this intent" from a channel's queue, and has it delivered.
//!
//! The table is the truth, so a message is done as soon as the table says what happens next. Only
//! what cannot be looked at goes back to the queue, and at last to its dead-letter queue: a body that
//! cannot be read, an intent that does not exist, a table out of reach.

mod batch;

use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use shared::bus::IntentRef;
use shared::clock::Clock;
use shared::delivery::verdict::QUEUE_REACH;
use shared::delivery::{Delivered, Deliverer};
use tracing::Instrument;
use url::Url;

pub use batch::{Settled, each_record};

/// How long a vendor may take to begin its answer.
pub const FIRST_BYTE: Duration = Duration::from_secs(5);

/// The longest that SQS holds a message back, in seconds.
const LONGEST_DELAY: i32 = 900;

/// Delivers what one queue asks for.
pub struct Notifier {
    deliverer: Deliverer,
    clock: Clock,
    sqs: aws_sdk_sqs::Client,
    queue: Url,
}

impl Notifier {
    /// A notifier for this queue. Where an attempt is to be repeated soon, it puts the intent back on
    /// the same queue, with a delay.
    pub fn new(deliverer: Deliverer, clock: Clock, sqs: aws_sdk_sqs::Client, queue: Url) -> Self {
        Self {
            deliverer,
            clock,
            sqs,
            queue,
        }
    }

    /// Looks at the intents of a batch, all at once: a destination that does not answer is left alone and
    /// delays no other, one that answers late delays the batches behind it. A record that cannot be looked at, panics, or would start too
    /// late for its attempt to end before `deadline` goes back alone.
    pub async fn handle(&self, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
        let needed = self.deliverer.time_needed();
        let start_by = deadline.checked_sub(needed).unwrap_or(Timestamp::MIN);
        each_record(event, &self.clock, start_by, |record| {
            self.look(record, deadline)
        })
        .await
    }

    async fn look(&self, record: SqsMessage, deadline: Timestamp) -> Settled {
        let span = tracing::info_span!("message");
        self.look_at(&record, deadline).instrument(span).await
    }

    async fn look_at(&self, record: &SqsMessage, deadline: Timestamp) -> Settled {
        let message = record.message_id.as_deref().unwrap_or_default();
        let body = record.body.as_deref().unwrap_or_default();
        let which: IntentRef = match serde_json::from_str(body) {
            Ok(which) => which,
            Err(_) => {
                tracing::error!(message, "the message names no intent");
                return Settled::Failed;
            }
        };
        let (alert, revision, channel) = (&which.alert, which.revision, &which.channel);
        match self.deliverer.deliver(&which, deadline).await {
            Ok(Delivered::Again(wait)) => {
                if wait <= QUEUE_REACH {
                    self.put_back(&which, wait).await;
                }
                Settled::Done
            }
            Ok(Delivered::Next(wait)) => {
                if let Some(next) = which.next_message().filter(|_| wait <= QUEUE_REACH) {
                    self.put_back(&next, wait).await;
                }
                Settled::Done
            }
            Ok(Delivered::Missing) => {
                tracing::error!(message, alert, revision, %channel, "there is no such intent");
                Settled::Failed
            }
            Ok(Delivered::Done(_) | Delivered::Settled | Delivered::Waiting) => Settled::Done,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(message, alert, revision, %channel, error, "the intent could not be looked at");
                Settled::Failed
            }
        }
    }

    /// Has the queue bring the intent again when its wait is over. If that fails, the clock does it.
    pub async fn put_back(&self, which: &IntentRef, wait: SignedDuration) {
        // Rounded up: a message that came early would find nothing to do.
        let seconds = wait.unsigned_abs().as_millis().div_ceil(1_000);
        let delay = i32::try_from(seconds)
            .unwrap_or(i32::MAX)
            .min(LONGEST_DELAY);
        let Ok(body) = serde_json::to_string(which) else {
            return;
        };
        let sent = self
            .sqs
            .send_message()
            .queue_url(self.queue.as_str())
            .message_body(body)
            .delay_seconds(delay)
            .send()
            .boxed()
            .await;
        if let Err(error) = sent {
            let channel = &which.channel;
            let error = aws_sdk_sqs::error::DisplayErrorContext(&error);
            tracing::warn!(%channel, %error, "an intent was not put back on its queue; the clock will");
        }
    }
}
