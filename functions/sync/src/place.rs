//! Where a source's files are: which are ready, which a worker had claimed, one after the other.

use jiff::SignedDuration;
use shared::config::connector::{Files, Ready};
use shared::feeds::pickup::{self, PROCESSING, Picked, claim_name, pick};
use shared::feeds::transport::{Claimed, Credentials, Entry, Fault, FileSource, connect};
use shared::store::feeds::{FILE_NAMES, FeedState};

use crate::file::{Found, Step, sidecar_suffix};
use crate::memory::Memory;
use crate::punctual::{Punctual, left, within};
use crate::run::{Feed, MARGIN, Progress, Record, RunError};

impl Feed<'_> {
    /// Reads all files that are ready.
    pub(crate) async fn read(&self, record: &mut Record) -> Result<Progress, RunError> {
        let mut place = self.open().await?;
        let progress = self.read_from(&mut *place, record).await;
        place.close().await;
        if matches!(progress, Ok(Progress::Done)) {
            self.forget_error().await?;
        }
        progress
    }

    /// Whether the place is as it was when a run was last done with it.
    pub(crate) async fn has_nothing_new(&self, known: &FeedState) -> Result<bool, RunError> {
        let mut place = self.open().await?;
        let found = self.has_nothing_new_in(&mut *place, known).await;
        place.close().await;
        found
    }

    async fn has_nothing_new_in(
        &self,
        place: &mut dyn FileSource,
        known: &FeedState,
    ) -> Result<bool, RunError> {
        if !self.claimed(place).await?.is_empty() {
            return Ok(false);
        }
        let listing = place.list().await?;
        let now = self.sync.store.clock().now();
        let memory = Memory::of(known);
        let picked = pick(&listing, &memory.watch, &self.files.pickup(), now);
        let was_read =
            |ready: &pickup::Ready| !place.can_rename() && memory.has_listed(&ready.entry);
        Ok(memory.watch.knows(&listing)
            && picked.unnameable.is_empty()
            && !known.remarks.contains_key(FILE_NAMES)
            && picked.ready.iter().all(was_read)
            && !files_wait(self.files, &picked))
    }

    /// Notes that the source can be read.
    pub(crate) async fn forget_error(&self) -> Result<(), RunError> {
        let forget = |state: &mut FeedState| state.last_error = None;
        self.sync.store.change_feed(self.connector, forget).await?;
        Ok(())
    }

    async fn open(&self) -> Result<Box<dyn FileSource>, RunError> {
        let files = self.files;
        let credentials = Credentials {
            password: self.sync.secret(files.password.as_ref()).await?,
            private_key: self.sync.secret(files.private_key.as_ref()).await?,
            passphrase: self.sync.secret(files.passphrase.as_ref()).await?,
            token: self.sync.secret(files.token.as_ref()).await?,
        };
        let (clock, until) = (self.sync.store.clock().clone(), self.patient_until());
        let source = files.source();
        let connected = Box::pin(connect(&source, &credentials, &self.sync.client));
        match within(left(&clock, until), "connect to the source", connected).await {
            Err(error) => {
                if error.fault == Fault::Credentials {
                    self.forget_secrets();
                }
                Err(error.into())
            }
            Ok(place) => Ok(Box::new(Punctual::new(place, clock, until))),
        }
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
        let enough = self.time_left() > wait + MARGIN * 2;
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
                record.report(&self.sync.store, report).await?;
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
        let picked = pick(&listing, &memory.watch, &self.files.pickup(), now);
        self.set_names_aside(&picked).await?;
        Ok(picked)
    }

    /// Tells of files that cannot be asked for by their names; the others are taken all the same.
    async fn set_names_aside(&self, picked: &Picked) -> Result<(), RunError> {
        let names: Vec<String> = picked
            .unnameable
            .iter()
            .map(|name| format!("{name:?}"))
            .collect();
        let remark = (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("{names}: a name with control characters or path separators cannot be asked for; rename it.")
        });
        let change = |state: &mut FeedState| {
            state.remarks.remove(FILE_NAMES);
            if let Some(remark) = &remark {
                state.remarks.insert(FILE_NAMES.to_owned(), remark.clone());
            }
        };
        let before = self.sync.store.feed(self.connector).await?;
        let told = before.and_then(|stored| stored.data.remarks.get(FILE_NAMES).cloned());
        if told == remark {
            return Ok(());
        }
        if let Some(remark) = &remark {
            tracing::warn!(connector = %self.connector, "{remark}");
        }
        self.sync.store.change_feed(self.connector, change).await?;
        Ok(())
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
            // One file that may not be moved is no reason to leave the others.
            Err(error) if error.fault == Fault::Refused => {
                let remark = format!("{}: {error}.", ready.entry.name);
                tracing::warn!(connector = %self.connector, "{remark}");
                self.sync
                    .store
                    .change_feed(self.connector, |state| {
                        state.remarks.insert(FILE_NAMES.to_owned(), remark.clone());
                    })
                    .await?;
                return Ok(None);
            }
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
