//! One run of a source: its record, and the lease that only one worker has.

use std::pin::pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::config::connector::{ConnectorCommon, ConnectorSettings, Files};
use shared::domain::Authority;
use shared::domain::id::ConnectorName;
use shared::feeds::format::FeedFormat;
use shared::feeds::transport::TransferError;
use shared::installation::{Installation, InstallationError};
use shared::run_queue::{Job, QueueError};
use shared::secrets::{SecretError, SecretRef};
use shared::store::feeds::Moment;
use shared::store::runs::{FileReport, Lease, Run, RunState};
use shared::store::{Expect, Store, StoreError};

use crate::Sync;
use crate::examine::ExamineError;
use crate::memory::Delivery;
use crate::pass::Checkpoint;

/// How long a lease lasts without being renewed, and how often it is.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
const RENEW: Duration = Duration::from_secs(30);
/// How many of a source's last runs are looked at for one that was left behind.
const LOOKED_BACK: i32 = 20;
/// A run pauses when less than this is left.
pub(crate) const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The place of the files.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A secret that the place asks for.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Settings that contradict themselves, which the check before applying should have refused.
    #[error("the settings cannot be used: {0}")]
    Settings(String),
    /// There is no configuration.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The downloaded copy.
    #[error("read the downloaded copy: {0}")]
    Copy(#[from] std::io::Error),
    /// The file changed between two readings.
    #[error("read the downloaded copy again: {0}")]
    Again(#[from] ExamineError),
    /// Another worker has the source.
    #[error("run {slot} of this source is going")]
    Busy {
        /// The slot of the other run.
        slot: String,
    },
    /// Somebody else has written the run's record.
    #[error("another worker has taken this run over")]
    Overtaken,
}

impl RunError {
    /// Whether the source is to blame, rather than us: then the run is over, and the next slot tries
    /// again.
    fn is_the_sources(&self) -> bool {
        matches!(
            self,
            Self::Transfer(_) | Self::Secret(_) | Self::Settings(_)
        )
    }
}

/// What one source's run works with.
pub(crate) struct Feed<'a> {
    pub(crate) sync: &'a Sync,
    pub(crate) connector: &'a ConnectorName,
    pub(crate) installation: &'a Installation,
    pub(crate) common: &'a ConnectorCommon,
    pub(crate) files: &'a Files,
    pub(crate) format: FeedFormat,
    pub(crate) authority: Authority,
    deadline: Timestamp,
}

/// The run's record, written by this worker alone.
#[derive(Debug)]
pub(crate) struct Record {
    run: Run,
    version: u64,
    /// How many files were done when this worker took the run up.
    done_before: usize,
    /// This worker.
    pub(crate) holder: String,
}

impl Record {
    /// Where a delivery is to be taken up.
    pub(crate) fn checkpoint(&self, delivery: &Delivery) -> Checkpoint {
        serde_json::from_value::<Checkpoint>(self.run.checkpoint.clone())
            .ok()
            .filter(|checkpoint| checkpoint.is_of(delivery))
            .map_or_else(|| Checkpoint::start(delivery), Checkpoint::taken_up)
    }

    /// Keeps where to resume.
    pub(crate) async fn keep(
        &mut self,
        store: &Store,
        checkpoint: &Checkpoint,
    ) -> Result<(), RunError> {
        self.run.checkpoint = serde_json::to_value(checkpoint).unwrap_or_default();
        self.save(store).await
    }

    /// Notes what became of a file.
    pub(crate) async fn report(
        &mut self,
        store: &Store,
        report: FileReport,
    ) -> Result<(), RunError> {
        self.run.files.push(report);
        self.run.checkpoint = serde_json::Value::Null;
        self.save(store).await
    }

    async fn save(&mut self, store: &Store) -> Result<(), RunError> {
        let expect = Expect::Version(self.version);
        if !store.save_run(&self.run, expect).await? {
            return Err(RunError::Overtaken);
        }
        self.version += 1;
        Ok(())
    }

    async fn end(
        &mut self,
        store: &Store,
        state: RunState,
        note: Option<String>,
    ) -> Result<(), RunError> {
        self.run.state = state;
        self.run.note = note;
        self.run.checkpoint = serde_json::Value::Null;
        self.run.finished_at = Some(Moment(store.clock().now()));
        self.save(store).await
    }
}

/// Whether a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    Paused,
}

impl Sync {
    /// Takes a run up, and runs it until it is done or time runs out; then it is queued again.
    pub(crate) async fn take_up(&self, job: &Job, deadline: Timestamp) -> Result<(), RunError> {
        let store = &self.store;
        let installation = self.installations.current().await?;
        let known = installation.config.connectors.get(&job.connector);
        let source = known
            .filter(|connector| connector.common.enabled)
            .and_then(|connector| match &connector.settings {
                ConnectorSettings::Files(files) => Some((&connector.common, files)),
                _ => None,
            });
        let stored = match store.run(&job.connector, &job.slot).await? {
            Some(stored) => stored,
            // A tick's, which is a run only if there is something to do.
            None => {
                let Some(source) = source else {
                    return Ok(());
                };
                let is_spent = || deadline.duration_since(store.clock().now()) <= MARGIN;
                let had_time = !is_spent();
                let look = self.has_nothing_new(&installation, source, job, deadline);
                if Box::pin(look).await? {
                    return Ok(());
                }
                store.begin_run(&job.connector, &job.slot).await?;
                // Where looking took all the time, the run has the next worker's.
                if had_time && is_spent() {
                    return Ok(self.queue.send(job).await?);
                }
                match store.run(&job.connector, &job.slot).await? {
                    Some(begun) => begun,
                    None => return Ok(()),
                }
            }
        };
        if stored.data.state.is_over() {
            return Ok(());
        }
        let mut record = Record {
            holder: store.chance().id(store.clock().now()),
            version: stored.version,
            done_before: stored.data.files.len(),
            run: stored.data,
        };
        let Some((common, files)) = source else {
            let note = "it is not a source of files, or switched off".to_owned();
            return record.end(store, RunState::Skipped, Some(note)).await;
        };
        if let Some(other) = self.lease(&job.connector, &record).await? {
            // A repeated message of a run that is going comes back, in case that worker dies.
            if other.slot == job.slot {
                return Err(RunError::Busy { slot: other.slot });
            }
            let note = format!("run {} was going", other.slot);
            return record.end(store, RunState::Skipped, Some(note)).await;
        }
        self.end_left_behind(&record.run).await?;
        let holder = record.holder.clone();
        let work = self.run_source(&installation, (common, files), job, deadline, &mut record);
        let outcome = Box::pin(work).await;
        store.give_run_lease_back(&job.connector, &holder).await?;
        match outcome {
            Ok(Progress::Done) => record.end(store, RunState::Done, None).await,
            Ok(Progress::Paused) => Ok(self.queue.send(job).await?),
            // After other files there was too little time for this one. The next worker begins with it.
            Err(RunError::Transfer(_))
                if record.run.files.len() > record.done_before
                    && deadline.duration_since(store.clock().now()) <= MARGIN =>
            {
                Ok(self.queue.send(job).await?)
            }
            Err(error) if error.is_the_sources() => {
                let error = error.to_string();
                tracing::warn!(connector = %job.connector, error, "a source could not be read");
                store
                    .change_feed(&job.connector, |state| {
                        state.last_error = Some(error.clone());
                    })
                    .await?;
                record.end(store, RunState::Failed, Some(error)).await
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the earlier runs of a source whose message was lost, or whose workers died until it was
    /// given up: this run has the source now, and does what they were to do.
    async fn end_left_behind(&self, ours: &Run) -> Result<(), StoreError> {
        let page = self.store.runs(&ours.connector, None, LOOKED_BACK).await?;
        let left = page
            .items
            .iter()
            .filter(|run| !run.state.is_over() && run.queued_at.0 < ours.queued_at.0);
        for run in left {
            let Some(stored) = self.store.run(&run.connector, &run.slot).await? else {
                continue;
            };
            if stored.data.state.is_over() {
                continue;
            }
            tracing::warn!(connector = %run.connector, slot = run.slot, "a run was left behind");
            let ended = Run {
                state: RunState::Failed,
                note: Some(format!("left behind; run {} went on", ours.slot)),
                checkpoint: serde_json::Value::Null,
                finished_at: Some(Moment(self.store.clock().now())),
                ..stored.data
            };
            // Whoever has written it since knows better.
            self.store
                .save_run(&ended, Expect::Version(stored.version))
                .await?;
        }
        Ok(())
    }

    async fn run_source(
        &self,
        installation: &Installation,
        (common, files): (&ConnectorCommon, &Files),
        job: &Job,
        deadline: Timestamp,
        record: &mut Record,
    ) -> Result<Progress, RunError> {
        let store = &self.store;
        let now = Moment(store.clock().now());
        store
            .change_feed(&job.connector, |state| state.tried_at = Some(now))
            .await?;
        record.run.state = RunState::Running;
        record.run.started_at.get_or_insert(now);
        record.save(store).await?;
        let feed = self.feed(installation, (common, files), job, deadline)?;
        let lease = self.wanted_lease(record);
        self.holding(&job.connector, lease, Box::pin(feed.read(record)))
            .await
    }

    fn feed<'a>(
        &'a self,
        installation: &'a Installation,
        (common, files): (&'a ConnectorCommon, &'a Files),
        job: &'a Job,
        deadline: Timestamp,
    ) -> Result<Feed<'a>, RunError> {
        let format = files.format.get();
        let format = format.map_err(|error| RunError::Settings(error.to_string()))?;
        Ok(Feed {
            sync: self,
            connector: &job.connector,
            installation,
            common,
            files,
            format,
            authority: installation.authority(),
            deadline,
        })
    }

    /// Whether a run would find nothing that is not known: no file to read, or the same failure once more.
    /// Then all that is written is when it was tried.
    async fn has_nothing_new(
        &self,
        installation: &Installation,
        source: (&ConnectorCommon, &Files),
        job: &Job,
        deadline: Timestamp,
    ) -> Result<bool, RunError> {
        let store = &self.store;
        let latest = store.runs(&job.connector, None, 1).await?.items;
        let Some(latest) = latest.first().filter(|run| run.state.is_over()) else {
            return Ok(false); // the first one, or one that was left behind
        };
        let known = store.feed(&job.connector).await?;
        let known = known.map(|stored| stored.data).unwrap_or_default();
        let look = match self.feed(installation, source, job, deadline) {
            Ok(feed) => Box::pin(feed.has_nothing_new(&known)).await,
            Err(error) => Err(error),
        };
        let nothing_new = match look {
            Ok(nothing_new) => nothing_new && known.last_error.is_none(),
            Err(error) if error.is_the_sources() => {
                latest.state == RunState::Failed && known.last_error == Some(error.to_string())
            }
            Err(error) => return Err(error),
        };
        if nothing_new {
            store.note_tried(&job.connector).await?;
        }
        Ok(nothing_new)
    }

    fn wanted_lease(&self, record: &Record) -> Lease {
        let now = self.store.clock().now();
        Lease {
            slot: record.run.slot.clone(),
            holder: record.holder.clone(),
            until: Moment(now.checked_add(LEASE).unwrap_or(now)),
        }
    }

    async fn lease(
        &self,
        connector: &ConnectorName,
        record: &Record,
    ) -> Result<Option<Lease>, StoreError> {
        let wanted = self.wanted_lease(record);
        self.store.take_run_lease(connector, &wanted).await
    }

    /// Does the work while the lease is renewed; gives up if it is lost.
    async fn holding<T>(
        &self,
        connector: &ConnectorName,
        mut lease: Lease,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(RENEW) => {
                    let now = self.store.clock().now();
                    lease.until = Moment(now.checked_add(LEASE).unwrap_or(now));
                    let other = self.store.take_run_lease(connector, &lease).await?;
                    if let Some(other) = other {
                        return Err(RunError::Busy { slot: other.slot });
                    }
                }
            }
        }
    }

    pub(crate) async fn secret(
        &self,
        reference: Option<&SecretRef>,
    ) -> Result<Option<secrecy::SecretString>, SecretError> {
        match reference {
            Some(reference) => self.secrets.get(reference).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Feed<'_> {
    /// Whether the run should pause here.
    pub(crate) fn is_out_of_time(&self) -> bool {
        self.time_left() < MARGIN
    }

    /// Whether a run may wait no longer for something.
    pub(crate) fn is_out_of_patience(&self) -> bool {
        self.time_left() <= MARGIN
    }

    /// Until when a run may wait for something.
    pub(crate) fn patient_until(&self) -> Timestamp {
        self.deadline.checked_sub(MARGIN).unwrap_or(self.deadline)
    }

    /// How much time is left.
    pub(crate) fn time_left(&self) -> SignedDuration {
        self.deadline.duration_since(self.sync.store.clock().now())
    }
}
