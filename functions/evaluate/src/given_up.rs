//! What the stream gave up, and having it looked at after all.
//!
//! A shard of the stream waits for its oldest record, so one that keeps failing is given up within
//! seconds or minutes, and with it whatever an outage of ours was about to lose. The event-source
//! mapping tells a queue which stretch of the stream that was, not what it said, and a stretch cannot
//! be put back. So everything is looked at again, by one job that goes round once more for all that
//! was given up meanwhile: an outage does not start a look for each record that it costs.

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use jiff::Timestamp;
use serde::Deserialize;
use shared::metrics::Metric;
use shared::store::jobs::GIVEN_UP;

use crate::Evaluator;
use crate::patience::Patience;

/// What a letter says of the records that were given up. Whatever it says, everything is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Letter {
    #[serde(rename = "requestContext")]
    request: RequestContext,
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: BatchInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RequestContext {
    condition: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BatchInfo {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    batch_size: u32,
}

impl Evaluator {
    /// Handles letters about records that were given up: all done, or all of them come again.
    pub async fn given_up(&self, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        let mut patience = Patience::new(self.store.clock().now(), deadline);
        let planned = loop {
            match self.store.look_again(GIVEN_UP).await {
                Err(error) if error.is_transient() && patience.wait(&self.store).await => {}
                planned => break planned,
            }
        };
        match planned {
            Ok(()) => event.records.iter().for_each(|letter| self.report(letter)),
            Err(error) => {
                let cause = &error as &(dyn std::error::Error + 'static);
                tracing::warn!(
                    error = cause,
                    "letters about given-up records are handed back"
                );
                response.batch_item_failures = event.records.into_iter().map(failure).collect();
            }
        }
        response
    }

    /// Passes a record over that no try will mend, once it is sure that everything is looked at
    /// again; otherwise it is to come again.
    pub(crate) async fn give_up(&self, mut patience: Patience) -> Result<(), ()> {
        loop {
            match self.store.look_again(GIVEN_UP).await {
                Ok(()) => {
                    self.metrics.record(Metric::RecordsGivenUp, 1.0, &[]);
                    return Ok(());
                }
                Err(error) if error.is_transient() && patience.wait(&self.store).await => {}
                Err(error) => {
                    let cause = &error as &(dyn std::error::Error + 'static);
                    tracing::warn!(error = cause, "a record that is given up is handed back");
                    return Err(());
                }
            }
        }
    }

    fn report(&self, message: &SqsMessage) {
        let body = message.body.as_deref().unwrap_or_default();
        let Letter { request, batch } = serde_json::from_str(body).unwrap_or_default();
        tracing::error!(
            condition = request.condition,
            shard = batch.shard_id,
            first = batch.start_sequence_number,
            last = batch.end_sequence_number,
            records = batch.batch_size,
            "stream records were given up; everything is looked at again"
        );
        let records = f64::from(batch.batch_size.max(1));
        self.metrics.record(Metric::RecordsGivenUp, records, &[]);
    }
}

fn failure(message: SqsMessage) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = message.message_id.unwrap_or_default();
    failure
}
