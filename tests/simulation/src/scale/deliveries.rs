//! One queue drained while its notifiers are killed at random points.
//!
//! Time is virtual: visibility timeouts and the clock's minutes cost nothing, and a seed repeats.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::Pump;
use lotwire::stack::resources::NOTIFY_FAILURES;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::store::intents::{Intent, IntentState};

use super::ScaleError;
use super::killer::{Crashes, Killer};
use super::stage::{CHANNELS, Stage};
use super::vendor::Vendor;

/// When it begins: some day in 2026.
const SINCE_1970: SignedDuration = SignedDuration::from_secs(1_768_469_400);
/// How many write alerts at the same time.
const PRODUCERS: usize = 20;
/// How long each of them waits between two alerts: about as long as their messages take.
const BETWEEN: Duration = Duration::from_millis(250);
/// After so long, whatever is still not delivered is lost.
const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// How much, and what goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Messages to be delivered.
    pub messages: usize,
    /// Of a hundred deliveries, how many are ended by the death of their run.
    pub crashes: f64,
    /// The same seed gives the same run.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Messages that were asked for.
    pub messages: usize,
    /// Runs that ended before their time.
    pub crashes: Crashes,
    /// Messages that the vendor has on record, each counted once.
    pub taken: usize,
    /// Messages that the vendor was sent again under the same key.
    pub repeats: usize,
    /// Keys of messages that the vendor never saw.
    pub lost: Vec<String>,
    /// Keys of messages that nobody asked for.
    pub strange: Vec<String>,
    /// Keys of messages sent again although it was on record that they had been taken.
    pub doubled: Vec<String>,
    /// Keys of intents that the table does not say are delivered.
    pub unsettled: Vec<String>,
    /// Messages that were received too often, and stand in the dead-letter queue. The clock has
    /// announced their intents anew.
    pub given_up: usize,
    /// How long it took by the world's own clock.
    pub lasted: SignedDuration,
}

impl Report {
    /// Whether each message arrived, and none was sent again without need.
    pub fn is_good(&self) -> bool {
        let faults = [&self.lost, &self.strange, &self.doubled, &self.unsettled];
        self.taken == self.messages && faults.iter().all(|keys| keys.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "messages                 {}", self.messages)?;
        writeln!(f, "taken by the vendor      {}", self.taken)?;
        writeln!(f, "runs killed              {}", self.crashes)?;
        writeln!(f, "sent again, same key     {}", self.repeats)?;
        writeln!(f, "lost                     {}", self.lost.len())?;
        writeln!(f, "doubled without need     {}", self.doubled.len())?;
        writeln!(f, "asked for by nobody      {}", self.strange.len())?;
        writeln!(f, "not settled              {}", self.unsettled.len())?;
        writeln!(f, "in the dead-letter queue {}", self.given_up)?;
        write!(f, "virtual time             {:#}", self.lasted)
    }
}

/// Carries it out. Must be called on a runtime of its own, whose time is paused.
pub async fn deliveries(size: Size) -> Result<Report, ScaleError> {
    let killer = Arc::new(Killer::new(Chance::seeded(size.seed), size.crashes));
    let vendor = Vendor::far_away(Arc::clone(&killer), Chance::seeded(size.seed ^ 1));
    let vendor = Arc::new(vendor);
    let stage = Stage::new(
        Clock::starting_at(Timestamp::UNIX_EPOCH + SINCE_1970),
        Chance::seeded(size.seed ^ 2),
        Arc::clone(&killer) as _,
        Arc::clone(&vendor) as _,
    );
    let stage = stage.await?;
    let pump = stage.stack.start()?;
    let begun = stage.clock.now();
    let producers = (0..PRODUCERS).map(|producer| produce(&stage, producer, size.messages));
    let asked = try_join_all(producers).await?;
    let asked: BTreeSet<String> = asked.into_iter().flatten().collect();
    let unsettled = drained(&stage, &pump, &asked).await?;
    let lasted = stage.clock.now().duration_since(begun);
    pump.stop().await;

    let record = vendor.record();
    let key_of = |(key, _): (&String, &usize)| key.clone();
    let needless = |(key, times): &(&String, &usize)| **times - 1 > killer.unrecorded(key);
    Ok(Report {
        messages: size.messages,
        crashes: killer.crashes(),
        taken: record.len(),
        repeats: record.values().map(|times| times - 1).sum(),
        lost: asked
            .iter()
            .filter(|key| !record.contains_key(*key))
            .cloned()
            .collect(),
        strange: record
            .keys()
            .filter(|key| !asked.contains(*key))
            .cloned()
            .collect(),
        doubled: record.iter().filter(needless).map(key_of).collect(),
        unsettled,
        given_up: given_up(&stage)?,
        lasted,
    })
}

/// Writes and announces a producer's share of the alerts, one after the other.
async fn produce(
    stage: &Stage,
    producer: usize,
    messages: usize,
) -> Result<Vec<String>, ScaleError> {
    let mut keys = Vec::new();
    let alerts = messages.div_ceil(CHANNELS);
    for alert in (producer..alerts).step_by(PRODUCERS) {
        let intents = (messages - alert * CHANNELS).min(CHANNELS);
        keys.extend(stage.alert(&format!("alert-{alert:06}"), intents).await?);
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(keys)
}

/// Waits until every intent is delivered, or nothing more is to be expected; gives the keys of those
/// that are not.
async fn drained(
    stage: &Stage,
    pump: &Pump,
    asked: &BTreeSet<String>,
) -> Result<Vec<String>, ScaleError> {
    let until = stage.clock.now() + PATIENCE;
    loop {
        pump.idle().await;
        let unsettled = unsettled(stage, asked).await?;
        if unsettled.is_empty() || stage.clock.now() >= until {
            return Ok(unsettled);
        }
        // What the queues have given up on, the clock's next minutes announce again.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

async fn unsettled(stage: &Stage, asked: &BTreeSet<String>) -> Result<Vec<String>, ScaleError> {
    let mut delivered = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = stage.stack.store.intents(cursor.as_deref(), 200).await?;
        let done = page
            .items
            .iter()
            .filter(|intent| intent.state == IntentState::Delivered);
        delivered.extend(done.map(Intent::key));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(asked.difference(&delivered).cloned().collect());
        }
    }
}

fn given_up(stage: &Stage) -> Result<usize, ScaleError> {
    let queue = stage.aws.queues().find(NOTIFY_FAILURES);
    let queue = queue.map_err(|error| ScaleError::Stage(error.to_string()))?;
    Ok(queue.bodies().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(crashes: f64) -> Report {
        let size = Size {
            messages: 2_000,
            crashes,
            seed: 7,
        };
        deliveries(size).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    #[ignore = "takes half a minute of processor time unoptimised; the command runs it"]
    async fn two_thousand_messages_arrive_though_their_notifiers_die() {
        let report = run(5.0).await;
        assert!(report.is_good(), "{report}");
        // Runs died at every stage, about as many as were to die; and the dead left work behind.
        let Crashes {
            apart,
            under_way,
            unrecorded,
        } = report.crashes;
        assert!(
            [apart, under_way, unrecorded]
                .iter()
                .all(|count| *count > 0),
            "{report}"
        );
        assert!((50..200).contains(&report.crashes.all()), "{report}");
        assert_eq!(report.repeats, unrecorded, "{report}");
    }

    #[tokio::test(start_paused = true)]
    #[ignore = "takes half a minute of processor time unoptimised; the command runs it"]
    async fn without_crashes_each_message_is_sent_once() {
        let report = run(0.0).await;
        assert!(report.is_good(), "{report}");
        assert_eq!((report.crashes.all(), report.repeats), (0, 0), "{report}");
        assert_eq!(report.given_up, 0, "{report}");
    }
}
