//! One run of a source: its lease, its place, and its files one after the other.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::config::connector::{ConnectorCommon, ConnectorSettings, Files, Ready};
use shared::domain::Authority;
use shared::domain::id::ConnectorName;
use shared::feeds::format::FeedFormat;
use shared::feeds::pickup::{self, PROCESSING, Picked, claim_name, pick};
use shared::feeds::transport::{
    Claimed, Credentials, Entry, Fault, FileSource, TransferError, connect,
};
use shared::installation::{Installation, InstallationError};
use shared::run_queue::{Job, QueueError};
use shared::secrets::{SecretError, SecretRef};
use shared::store::feeds::Moment;
use shared::store::runs::{Lease, Run, RunState};
use shared::store::{Expect, Store, StoreError};

use crate::Sync;
use crate::examine::ExamineError;
use crate::file::{Checkpoint, Found, Step, sidecar_suffix};
use crate::memory::{Delivery, Memory};

/// How long a lease lasts without being renewed, and how often it is.
const LEASE: SignedDuration = SignedDuration::from_mins(2);
const RENEW: Duration = Duration::from_secs(30);
/// A run pauses when less than this is left.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

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
    /// This worker.
    pub(crate) holder: String,
}

impl Record {
    /// Where a delivery is to be taken up.
    pub(crate) fn checkpoint(&self, delivery: &Delivery) -> Checkpoint {
        serde_json::from_value::<Checkpoint>(self.run.checkpoint.clone())
            .ok()
            .filter(|checkpoint| checkpoint.is_of(delivery))
            .unwrap_or_else(|| Checkpoint::start(delivery))
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
enum Progress {
    Done,
    Paused,
}

impl Sync {
    /// Takes a run up, and runs it until it is done or time runs out; then it is queued again.
    pub(crate) async fn take_up(&self, job: &Job, deadline: Timestamp) -> Result<(), RunError> {
        let store = &self.store;
        let Some(stored) = store.run(&job.connector, &job.slot).await? else {
            tracing::warn!(connector = %job.connector, slot = job.slot, "there is no such run");
            return Ok(());
        };
        if stored.data.state.is_over() {
            return Ok(());
        }
        let mut record = Record {
            holder: store.chance().id(store.clock().now()),
            version: stored.version,
            run: stored.data,
        };
        let installation = self.installations.current().await?;
        let known = installation.config.connectors.get(&job.connector);
        let Some((common, ConnectorSettings::Files(files))) = known
            .filter(|connector| connector.common.enabled)
            .map(|connector| (&connector.common, &connector.settings))
        else {
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
        let holder = record.holder.clone();
        let work = self.run_source(&installation, (common, files), job, deadline, &mut record);
        let outcome = Box::pin(work).await;
        store.give_run_lease_back(&job.connector, &holder).await?;
        match outcome {
            Ok(Progress::Done) => record.end(store, RunState::Done, None).await,
            Ok(Progress::Paused) => Ok(self.queue.send(job).await?),
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
        let format = files.format.get();
        let format = format.map_err(|error| RunError::Settings(error.to_string()))?;
        let confirmed: BTreeMap<_, _> = store.confirmed(installation.pulled()).await?;
        let feed = Feed {
            sync: self,
            connector: &job.connector,
            installation,
            common,
            files,
            format,
            authority: installation.authority(confirmed),
            deadline,
        };
        let lease = self.wanted_lease(record);
        self.holding(&job.connector, lease, Box::pin(feed.read(record)))
            .await
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

    async fn secret(
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
        self.deadline.duration_since(self.sync.store.clock().now()) < MARGIN
    }

    /// Reads all files that are ready.
    async fn read(&self, record: &mut Record) -> Result<Progress, RunError> {
        let files = self.files;
        let credentials = Credentials {
            password: self.sync.secret(files.password.as_ref()).await?,
            private_key: self.sync.secret(files.private_key.as_ref()).await?,
            passphrase: self.sync.secret(files.passphrase.as_ref()).await?,
            token: self.sync.secret(files.token.as_ref()).await?,
        };
        let mut place = match connect(&files.source(), &credentials, &self.sync.client).await {
            Err(error) => {
                if error.fault == Fault::Credentials {
                    self.forget_secrets();
                }
                return Err(error.into());
            }
            Ok(place) => place,
        };
        let progress = self.read_from(&mut *place, record).await;
        place.close().await;
        progress
    }

    /// A secret that is not accepted may have been replaced.
    fn forget_secrets(&self) {
        let files = self.files;
        let references = [
            &files.password,
            &files.private_key,
            &files.passphrase,
            &files.token,
        ];
        for reference in references.into_iter().flatten() {
            self.sync.secrets.forget(reference);
        }
    }

    async fn read_from(
        &self,
        place: &mut dyn FileSource,
        record: &mut Record,
    ) -> Result<Progress, RunError> {
        let claimed = self.claimed(place).await?;
        let picked = self.listed(place).await?;
        self.sync
            .store
            .change_feed(self.connector, |state| state.last_error = None)
            .await?;
        for found in claimed {
            if self.take_and_report(place, &found, record).await? == Progress::Paused {
                return Ok(Progress::Paused);
            }
        }
        if self.take_ready(place, &picked, record).await? == Progress::Paused {
            return Ok(Progress::Paused);
        }
        // What arrived just now is worth the short wait that shows whether it is finished.
        let waits = files_wait(self.files, &picked);
        let wait = self.files.stable_for + SignedDuration::from_millis(1);
        let enough =
            self.deadline.duration_since(self.sync.store.clock().now()) > wait + MARGIN * 2;
        if waits && enough {
            tokio::time::sleep(wait.unsigned_abs()).await;
            let picked = self.listed(place).await?;
            return self.take_ready(place, &picked, record).await;
        }
        Ok(Progress::Done)
    }

    async fn take_ready(
        &self,
        place: &mut dyn FileSource,
        picked: &Picked,
        record: &mut Record,
    ) -> Result<Progress, RunError> {
        for ready in &picked.ready {
            let Some(found) = self.claim(place, ready).await? else {
                continue;
            };
            if self.take_and_report(place, &found, record).await? == Progress::Paused {
                return Ok(Progress::Paused);
            }
        }
        Ok(Progress::Done)
    }

    async fn take_and_report(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        record: &mut Record,
    ) -> Result<Progress, RunError> {
        match Box::pin(self.take(place, found, record)).await? {
            Step::Paused => Ok(Progress::Paused),
            Step::Done(report) => {
                record.run.files.push(report);
                record.run.checkpoint = serde_json::Value::Null;
                record.save(&self.sync.store).await?;
                Ok(Progress::Done)
            }
        }
    }

    /// Files that a worker had claimed before it stopped, oldest first. The lease is ours, so nobody
    /// else works on them.
    async fn claimed(&self, place: &mut dyn FileSource) -> Result<Vec<Found>, RunError> {
        let mut entries = place.list_claimed().await?;
        entries.sort_by(|a, b| {
            let age = |entry: &Entry| (entry.modified.is_none(), entry.modified);
            age(a).cmp(&age(b)).then_with(|| a.name.cmp(&b.name))
        });
        let files = self.files;
        let is_sidecar = |name: &str| {
            name.ends_with(&files.done_suffix) || name.ends_with(&files.checksum_suffix)
        };
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        Ok(entries
            .into_iter()
            .filter(|entry| pickup::matches(&files.glob, &entry.name) && !is_sidecar(&entry.name))
            .map(|entry| {
                let sidecar = sidecar_suffix(files).map(|suffix| {
                    let name = format!("{}{suffix}", entry.name);
                    // The worker may have stopped between the two moves.
                    if names.contains(&name) {
                        format!("{PROCESSING}/{name}")
                    } else {
                        name
                    }
                });
                Found {
                    path: claim_name(&entry.name),
                    sidecar,
                    entry,
                }
            })
            .collect())
    }

    /// Which files are ready, by what they looked like when last listed.
    async fn listed(&self, place: &mut dyn FileSource) -> Result<Picked, RunError> {
        let store = &self.sync.store;
        let listing = place.list().await?;
        let now = store.clock().now();
        let state = store
            .change_feed(self.connector, |state| {
                let mut memory = Memory::of(state);
                memory.watch.observe(&listing, now);
                memory.keep(state);
            })
            .await?;
        let memory = Memory::of(&state);
        Ok(pick(&listing, &memory.watch, &self.files.pickup(), now))
    }

    /// Moves a file to where this source's worker alone takes it; nothing if it is gone, or cannot
    /// be moved and was applied before.
    async fn claim(
        &self,
        place: &mut dyn FileSource,
        ready: &pickup::Ready,
    ) -> Result<Option<Found>, RunError> {
        let path = claim_name(&ready.entry.name);
        match place.rename(&ready.entry.name, &path).await {
            Ok(Claimed::Yes) => {}
            Ok(Claimed::NotSupported) => {
                let state = self.sync.store.feed(self.connector).await?;
                let memory = state.map(|stored| Memory::of(&stored.data));
                let applied = memory.is_some_and(|memory| memory.has_listed(&ready.entry));
                return Ok((!applied).then(|| Found {
                    path: ready.entry.name.clone(),
                    sidecar: ready.sidecar.clone(),
                    entry: ready.entry.clone(),
                }));
            }
            Err(error) if error.fault == Fault::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let sidecar = match &ready.sidecar {
            Some(name) => {
                let path = claim_name(name);
                place.rename(name, &path).await?;
                Some(path)
            }
            None => None,
        };
        Ok(Some(Found {
            entry: ready.entry.clone(),
            path,
            sidecar,
        }))
    }
}

fn files_wait(files: &Files, picked: &Picked) -> bool {
    files.ready == Ready::Stable && !picked.waiting.is_empty()
}
