//! Many producers and many consumers at one queue, each a task of its own on several threads.
//!
//! Nothing goes wrong here but that everybody wants the same at the same time. So every count is
//! exact: what was announced is what was received, deleted, taken and recorded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use futures::future::try_join_all;
use jiff::SignedDuration;
use lotwire::engine::{Queue, Untouched};
use lotwire::stack::resources::{notify_queue, queue_url};
use notify::Notifier;
use shared::chance::Chance;
use shared::channels::ChannelKind;
use shared::clock::Clock;
use shared::delivery::Deliverer;
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::store::intents::IntentState;
use tokio::task::JoinSet;

use super::ScaleError;
use super::stage::{CHANNELS, Stage, secrets};
use super::vendor::Vendor;

/// How many write and announce alerts.
pub const PRODUCERS: usize = 20;
/// How many take messages off the queue, each a notifier's process of its own.
pub const CONSUMERS: usize = 20;
/// How long a vendor may take.
const SLOWEST: Duration = Duration::from_secs(8);

/// What everybody counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that producers announced.
    pub announced: usize,
    /// Messages that each consumer received and deleted.
    pub consumed: Vec<usize>,
    /// Messages that came to a consumer and were given back.
    pub failed: usize,
    /// Messages that the vendor has on record, each counted once.
    pub taken: usize,
    /// Messages that the vendor was sent more than once.
    pub repeated: usize,
    /// Intents that the table says are delivered.
    pub delivered: usize,
    /// Messages that are left in the queue.
    pub left: usize,
}

impl Counts {
    /// Whether each of so many messages went its way exactly once.
    pub fn is_exact(&self, messages: usize) -> bool {
        let all = [
            self.announced,
            self.consumed.iter().sum(),
            self.taken,
            self.delivered,
        ];
        all.iter().all(|count| *count == messages)
            && (self.failed, self.repeated, self.left) == (0, 0, 0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.consumed.iter().min(), self.consumed.iter().max());
        writeln!(f, "announced by {PRODUCERS} producers  {}", self.announced)?;
        writeln!(
            f,
            "consumed by {CONSUMERS} consumers   {}, each from {} to {}",
            self.consumed.iter().sum::<usize>(),
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default()
        )?;
        writeln!(f, "taken by the vendor        {}", self.taken)?;
        writeln!(f, "delivered, says the table  {}", self.delivered)?;
        write!(
            f,
            "given back, sent again, left in the queue: {}, {}, {}",
            self.failed, self.repeated, self.left
        )
    }
}

/// Carries it out. Call it on a runtime of several threads, in real time.
pub async fn crowd(messages: usize, seed: u64) -> Result<Counts, ScaleError> {
    let vendor = Arc::new(Vendor::next_door());
    let stage = Stage::new(
        Clock::system(),
        Chance::seeded(seed),
        Arc::new(Untouched),
        Arc::clone(&vendor) as _,
    );
    let stage = Arc::new(stage.await?);
    let all_announced = Arc::new(AtomicBool::new(false));
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        let consumer = Consumer::new(&stage, &vendor, &all_announced)?;
        consumers.spawn(consumer.run());
    }
    let producers = (0..PRODUCERS).map(|producer| {
        let stage = Arc::clone(&stage);
        let produced = tokio::spawn(async move { produce(&stage, producer, messages).await });
        async move { produced.await.map_err(ended)? }
    });
    let announced = try_join_all(producers).await?.iter().sum();
    all_announced.store(true, Ordering::SeqCst);
    let mut counts = Counts {
        announced,
        ..Counts::default()
    };
    while let Some(consumed) = consumers.join_next().await {
        let (consumed, failed) = consumed.map_err(ended)??;
        counts.consumed.push(consumed);
        counts.failed += failed;
    }
    let record = vendor.record();
    counts.taken = record.len();
    counts.repeated = record.values().filter(|times| **times > 1).count();
    counts.delivered = delivered(&stage).await?;
    let queue = stage.aws.queues().find(&notify_queue(ChannelKind::Webhook));
    counts.left = queue.map_err(failed)?.bodies().len();
    Ok(counts)
}

fn failed(error: impl fmt::Display) -> ScaleError {
    ScaleError::Stage(error.to_string())
}

fn ended(error: tokio::task::JoinError) -> ScaleError {
    ScaleError::Stage(format!("a task ended abnormally: {error}"))
}

async fn produce(stage: &Stage, producer: usize, messages: usize) -> Result<usize, ScaleError> {
    let mut announced = 0;
    for alert in (producer..messages.div_ceil(CHANNELS)).step_by(PRODUCERS) {
        let intents = (messages - alert * CHANNELS).min(CHANNELS);
        announced += stage
            .alert(&format!("alert-{alert:06}"), intents)
            .await?
            .len();
    }
    Ok(announced)
}

async fn delivered(stage: &Stage) -> Result<usize, ScaleError> {
    let (mut count, mut cursor) = (0, None::<String>);
    loop {
        let page = stage.stack.store.intents(cursor.as_deref(), 200).await?;
        let states = page.items.iter().map(|intent| intent.state);
        count += states
            .filter(|state| *state == IntentState::Delivered)
            .count();
        cursor = page.next;
        if cursor.is_none() {
            return Ok(count);
        }
    }
}

/// One notifier's process at the queue.
struct Consumer {
    notifier: Notifier,
    clock: Clock,
    sqs: aws_sdk_sqs::Client,
    queue: Arc<Queue>,
    all_announced: Arc<AtomicBool>,
}

impl Consumer {
    fn new(
        stage: &Stage,
        vendor: &Arc<Vendor>,
        all_announced: &Arc<AtomicBool>,
    ) -> Result<Self, ScaleError> {
        let name = notify_queue(ChannelKind::Webhook);
        let address = queue_url(&stage.aws, &name)?;
        let store = stage.stack.store.clone();
        let deliverer = Deliverer::new(
            store.clone(),
            Installations::new(store),
            Arc::new(secrets(&stage.clock)?),
            Arc::clone(vendor) as _,
            Metrics::to(std::io::sink(), stage.clock.clone()),
            SLOWEST,
        );
        let (clock, sqs) = (stage.clock.clone(), stage.aws.sqs());
        Ok(Self {
            notifier: Notifier::new(deliverer, clock.clone(), sqs.clone(), address),
            clock,
            sqs,
            queue: stage.aws.queues().find(&name).map_err(failed)?,
            all_announced: Arc::clone(all_announced),
        })
    }

    /// Takes messages until there are no more; how many it deleted, and how many it gave back.
    async fn run(self) -> Result<(usize, usize), ScaleError> {
        let (mut consumed, mut given_back) = (0, 0);
        loop {
            let last = self.all_announced.load(Ordering::SeqCst);
            let received = self.sqs.receive_message().queue_url(self.queue.url());
            let received = received.max_number_of_messages(10).wait_time_seconds(1);
            let messages = received.send().await.map_err(failed)?.messages;
            let messages = messages.unwrap_or_default();
            // What another consumer has in hand may still come back.
            if messages.is_empty() && last && self.queue.bodies().is_empty() {
                return Ok((consumed, given_back));
            }
            let deadline = self.clock.now() + SignedDuration::from_secs(60);
            let response = self.notifier.handle(event(&messages), deadline).await;
            let back: Vec<_> = response
                .batch_item_failures
                .iter()
                .map(|failure| failure.item_identifier.as_str())
                .collect();
            given_back += back.len();
            let done = messages
                .iter()
                .filter(|message| message.message_id().is_some_and(|id| !back.contains(&id)));
            consumed += self.delete(done).await?;
        }
    }

    async fn delete<'m>(
        &self,
        messages: impl Iterator<Item = &'m Message>,
    ) -> Result<usize, ScaleError> {
        let entries: Result<Vec<_>, _> = messages
            .enumerate()
            .map(|(place, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(place.to_string())
                    .receipt_handle(message.receipt_handle().unwrap_or_default())
                    .build()
            })
            .collect();
        let entries = entries.map_err(failed)?;
        if entries.is_empty() {
            return Ok(0);
        }
        let request = self.sqs.delete_message_batch().queue_url(self.queue.url());
        let deleted = request
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(failed)?;
        Ok(deleted.successful().len())
    }
}

/// What a mapping makes of received messages.
fn event(messages: &[Message]) -> SqsEvent {
    let records = messages.iter().map(|message| {
        let mut record = SqsMessage::default();
        record.message_id = message.message_id.clone();
        record.receipt_handle = message.receipt_handle.clone();
        record.body = message.body.clone();
        record
    });
    let mut event = SqsEvent::default();
    event.records = records.collect();
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn twenty_producers_and_twenty_consumers_count_the_same() {
        let counts = crowd(1_995, 7).await.unwrap();
        assert!(counts.is_exact(1_995), "{counts}");
        assert_eq!(counts.consumed.len(), CONSUMERS);
    }
}
