//! The pump: carries stream records, messages and ticks to functions, as AWS's event-source
//! mappings do.
//!
//! One task per mapping and schedule, and one for upkeep. [`Pump::stop`] lets runs finish;
//! dropping the pump cuts them off, as a killed process would.

use super::polls::{QueueMapping, QueuePoller};
use super::schedules::Schedule;
use super::streams::{StreamMapping, StreamProgress, StreamReader};
use super::{EmbeddedAws, EngineError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often read stream records are trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// How many trims a sweep of expired items goes with: one an hour, because it reads every item of every
/// table. AWS takes up to days.
const TRIMS_PER_SWEEP: u64 = 60;

/// Mappings and schedules, not yet started.
#[derive(Debug)]
pub struct PumpBuilder {
    aws: EmbeddedAws,
    streams: Vec<StreamMapping>,
    queues: Vec<QueueMapping>,
    schedules: Vec<Schedule>,
}

/// A running pump.
pub struct Pump {
    line: Arc<Line>,
    streams: Vec<Arc<StreamProgress>>,
    queues: Vec<Arc<super::Queue>>,
    schedules: Vec<Arc<Schedule>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump")
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

/// What every mapping shares.
pub(crate) struct Line {
    pub(crate) aws: EmbeddedAws,
    stopping: watch::Receiver<bool>,
    running: AtomicUsize,
    progress: watch::Sender<u64>,
}

/// Counts as activity until dropped.
pub(crate) struct Active<'a>(&'a Line);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.progressed();
    }
}

impl Line {
    /// Marks the start of something that idleness waits for.
    pub(crate) fn active(&self) -> Active<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Active(self)
    }

    pub(crate) fn progressed(&self) {
        self.progress.send_modify(|count| *count += 1);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Completes when the pump is told to stop, or is gone.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means the sender is gone, which is a stop as well.
        drop(stopping.wait_for(|stop| *stop).await);
    }

    /// Runs work unless the pump stops first.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopped() => None,
            done = work => Some(done),
        }
    }
}

impl PumpBuilder {
    /// Carries a table's stream to a function.
    #[must_use]
    pub fn stream(mut self, mapping: StreamMapping) -> Self {
        self.streams.push(mapping);
        self
    }

    /// Carries a queue's messages to a function.
    #[must_use]
    pub fn queue(mut self, mapping: QueueMapping) -> Self {
        self.queues.push(mapping);
        self
    }

    /// Runs a function at a rate.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// Checks that every table and queue exists, and starts. Needs a tokio runtime.
    pub fn start(self) -> Result<Pump, EngineError> {
        let (stop, stopping) = watch::channel(false);
        let line = Arc::new(Line {
            aws: self.aws,
            stopping,
            running: AtomicUsize::new(0),
            progress: watch::Sender::new(0),
        });
        let readers: Vec<StreamReader> = self
            .streams
            .into_iter()
            .map(|mapping| StreamReader::open(mapping, Arc::clone(&line)))
            .collect::<Result<_, _>>()?;
        let pollers: Vec<QueuePoller> = self
            .queues
            .into_iter()
            .map(|mapping| QueuePoller::open(mapping, Arc::clone(&line)))
            .collect::<Result<_, _>>()?;
        let schedules: Vec<Arc<Schedule>> = self.schedules.into_iter().map(Arc::new).collect();

        let streams: Vec<_> = readers.iter().map(StreamReader::progress).collect();
        let queues = pollers.iter().map(QueuePoller::queue).collect();
        let mut tasks = JoinSet::new();
        for reader in readers {
            tasks.spawn(reader.run());
        }
        for poller in pollers {
            tasks.spawn(poller.run());
        }
        for schedule in &schedules {
            tasks.spawn(Arc::clone(schedule).run(Arc::clone(&line)));
        }
        tasks.spawn(upkeep(Arc::clone(&line), streams.clone()));
        Ok(Pump {
            line,
            streams,
            queues,
            schedules,
            stop,
            tasks,
        })
    }
}

impl Pump {
    /// A pump over these services, to be told what to carry.
    pub fn builder(aws: &EmbeddedAws) -> PumpBuilder {
        PumpBuilder {
            aws: aws.clone(),
            streams: Vec::new(),
            queues: Vec::new(),
            schedules: Vec::new(),
        }
    }

    /// Completes when no stream record is unread, no mapped queue holds a message that is
    /// visible, in flight or due, and no function runs.
    ///
    /// A message that failed counts until its visibility timeout has let it succeed or go to the
    /// dead-letter queue; under virtual time that takes no time.
    pub async fn idle(&self) {
        let mut progress = self.line.progress.subscribe();
        let mut queued = self.line.aws.queues().changes();
        let mut written = self.line.aws.tables().writes();
        loop {
            progress.mark_unchanged();
            queued.mark_unchanged();
            let writes = written.see();
            let changed = |receiver: &watch::Receiver<u64>| receiver.has_changed().unwrap_or(true);
            // What moved while we looked may have moved from where we had not looked yet to
            // where we already had: look again.
            if self.is_quiet(writes)
                && !changed(&progress)
                && !changed(&queued)
                && !written.has_changed()
            {
                return;
            }
            tokio::select! {
                biased;
                _ = progress.changed() => {}
                _ = queued.changed() => {}
                () = written.changed() => {}
            }
        }
    }

    fn is_quiet(&self, writes: u64) -> bool {
        let read = |stream: &Arc<StreamProgress>| stream.has_read(writes);
        let empty = |queue: &Arc<super::Queue>| {
            let counts = queue.counts();
            counts.visible == 0 && counts.in_flight == 0
        };
        self.streams.iter().all(read)
            && self.queues.iter().all(empty)
            && self.line.running.load(Ordering::SeqCst) == 0
    }

    /// Runs a schedule's function now, beside its rate.
    pub async fn fire(&self, schedule: &str) -> Result<(), EngineError> {
        let found = self.schedules.iter().find(|known| known.name == schedule);
        let schedule = found.ok_or_else(|| EngineError::Missing {
            wanted_by: "fire".to_owned(),
            missing: format!("schedule {schedule}"),
        })?;
        schedule.fire(&self.line).await
    }

    /// Sweeps expired items and trims read stream records now, beside the regular rounds.
    pub fn upkeep(&self) -> Result<(), EngineError> {
        self.line.aws.tables().sweep_expired()?;
        trim(&self.line, &self.streams)
    }

    /// Takes no new work, lets what runs finish, and returns.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a mapping ended abnormally");
            }
        }
    }
}

async fn upkeep(line: Arc<Line>, streams: Vec<Arc<StreamProgress>>) {
    let mut minute = tokio::time::interval(TRIM_EVERY);
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minute.tick().await; // the first is immediate
    let mut grown = line.aws.tables().grown();
    let mut minutes = 0_u64;
    loop {
        let next = async {
            tokio::select! {
                biased;
                _ = minute.tick() => true,
                () = grown.changed() => false,
            }
        };
        let Some(a_minute_is_over) = line.unless_stopped(next).await else {
            return;
        };
        let mut done = trim(&line, &streams);
        if a_minute_is_over {
            // The first minute's too: a laptop's process may never live for an hour.
            if done.is_ok() && minutes.is_multiple_of(TRIMS_PER_SWEEP) {
                done = line.aws.tables().sweep_expired().map(drop);
            }
            minutes += 1;
            done = done.and_then(|()| line.aws.tables().commit());
        }
        if let Err(error) = done {
            tracing::warn!(%error, "upkeep of the tables failed");
        }
    }
}

fn trim(line: &Line, streams: &[Arc<StreamProgress>]) -> Result<(), EngineError> {
    // Up to where the slowest reader of each table would resume.
    let mut read: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for stream in streams {
        let (table, checkpoint) = (stream.table(), stream.checkpoint());
        let slowest = read.entry(table).or_insert_with(|| checkpoint.clone());
        *slowest = checkpoint.min(slowest.take());
    }
    for (table, checkpoint) in read {
        if let Some(sequence) = checkpoint {
            line.aws.tables().trim_stream(table, &sequence)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
