//! One file, from its download to the archive.
//!
//! It is read twice. The first reading applies nothing: it counts, proves the file whole, and keeps
//! what the file says in a few bytes a row, to be compared with the table. The second reading applies
//! the rows that differ, in batches, each followed by a checkpoint. What the file lacks is judged
//! last, and only if the file was proved whole.
//!
//! | the file | its rows | what it lacks | goes to |
//! |---|---|---|---|
//! | whole | applied | missing, after the grace removed | `archive/` |
//! | much smaller than usual, or lacking more than may go at once | applied | held in the inbox | `error/`, or `archive/` |
//! | cut off, or with too few usable rows | applied, but for a last row that may be cut | means nothing | `error/` |
//! | damaged: checksum, gzip, announced counts or size; or a column is gone | not applied | means nothing | `error/` |

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use shared::config::connector::{Covers, Files, Ready};
use shared::feeds::complete::{Expectations, Habit, Proof, prove};
use shared::feeds::disk::blocking;
use shared::feeds::drift::SchemaDrift;
use shared::feeds::header::Header;
use shared::feeds::samples::Samples;
use shared::feeds::sidecar;
use shared::feeds::transport::{Entry, Fault, FileSource};
use shared::store::runs::{FileOutcome, FileReport};

use crate::COPY;
use crate::absence::{Absence, Compared, Comparison, Verdict};
use crate::apply::{Applier, Repeats};
use crate::conclude::{Concluded, Refused};
use crate::examine::{ExamineError, Examined, Trust, examine, trust};
use crate::listing::Listing;
use crate::memory::{Delivery, Memory};
use crate::pass::{Checkpoint, Pass};
use crate::rows::Reading;
use crate::run::{Feed, Record, RunError};
use crate::snapshot::Snapshot;

/// A file to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// How it was listed.
    pub(crate) entry: Entry,
    /// Where it lies now.
    pub(crate) path: String,
    /// Where its checksum or marker lies, if it has one.
    pub(crate) sidecar: Option<String>,
}

/// Whether a file is finished.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is.
    Done(FileReport),
    /// Time ran out; the checkpoint says where.
    Paused,
}

impl Feed<'_> {
    /// Takes one file, or the rest of it.
    pub(crate) async fn take(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        record: &mut Record,
    ) -> Result<Step, RunError> {
        let copy = Copy::at(self.sync.scratch.join(format!("{}.{COPY}", record.holder)));
        let limit = self.format.max_bytes;
        match place.download(&found.path, &copy.0, limit).await {
            Err(error) if error.fault == Fault::Refused => {
                let unread = Refused {
                    sha256: "unread",
                    begun: false,
                    lost: &[],
                };
                return self.refuse(place, found, unread, error.to_string()).await;
            }
            downloaded => downloaded?,
        };
        let now = self.sync.store.clock().now();
        let delivery = Delivery {
            sha256: sha256(&copy.0)?,
            entry: found.entry.clone(),
            // A server whose clock is ahead must not outdate everything else until then.
            written_at: found.entry.modified.unwrap_or(now).min(now),
        };
        let state = self.sync.store.feed(self.connector).await?;
        let state = state.map(|stored| stored.data).unwrap_or_default();
        if state.last_error.is_some() {
            self.forget_error().await?;
        }
        let mut memory = Memory::of(&state);
        let covers_all = self.files.covers == Covers::All;
        let older = delivery.entry.modified.is_some()
            && memory
                .latest()
                .is_some_and(|latest| latest > delivery.written_at);
        if memory.has(&delivery) {
            return self
                .set_aside(place, found, &delivery, FileOutcome::Duplicate)
                .await;
        }
        // A file of changes says what no other file says, so its age does not matter.
        if older && covers_all {
            return self
                .set_aside(place, found, &delivery, FileOutcome::Older)
                .await;
        }
        let confirmed_at = state.snapshot_at.map(|at| at.0);
        let settings = (self.common, self.files);
        let reading = Reading::new(
            self.installation,
            settings,
            delivery.written_at,
            confirmed_at,
        );
        let refused = Refused {
            sha256: &delivery.sha256,
            begun: record.checkpoint(&delivery).has_begun(),
            lost: &[],
        };
        let mut expectations = match self.expectations(place, found, &memory).await? {
            Ok(expectations) => expectations,
            Err(reason) => return self.refuse(place, found, refused, reason).await,
        };
        if !covers_all {
            // Files of changes have no usual size.
            expectations.history.clear();
            expectations.zero_rows = true;
        }
        let lost = OnceLock::new();
        let refuse = |header: &Header, samples: &Samples, unusable: Option<String>| {
            let drift = self.missed(&memory, header.names(), samples);
            let reason = match unusable {
                Some(unusable) => Some([&[unusable][..], &drift.sentences()].concat().join(" ")),
                None => self.lost_key(&drift),
            };
            if reason.is_some() {
                // It is called once.
                lost.get_or_init(|| drift.lost);
            }
            reason
        };
        let mut examined = match examine(&copy.0, &self.format, &reading, refuse).await {
            Ok(examined) => examined,
            Err(ExamineError::Copy(error)) => return Err(error.into()),
            Err(error) => {
                let reason = error.to_string();
                let lost = lost.get().map_or(&[][..], Vec::as_slice);
                let refused = Refused { lost, ..refused };
                return self.refuse(place, found, refused, reason).await;
            }
        };
        // Where its rank among those that describe products is another, all that it says of them counts anew.
        let sources = &self.authority.quantities;
        for (ranking, weight) in [(&sources.titles, 1), (&sources.categories, 1 << 32)] {
            let rank = ranking.iter().position(|it| it == self.connector);
            let rank = rank.map_or(0, |rank| rank as u64 + 1);
            examined.descriptions = examined.descriptions.wrapping_add(rank * weight);
        }
        expectations.unusable_rows = examined.unusable;
        let elsewhere = |(name, rows): (&String, &u64)| {
            let known = memory.places.contains(name) || reading.is_known_elsewhere(name);
            known.then_some(*rows)
        };
        expectations.elsewhere_rows = examined.unlisted.iter().filter_map(elsewhere).sum();
        let proof = prove(&examined.evidence, &expectations);
        let trust = trust(&proof);
        if trust == Trust::Damaged {
            let reason = reasons(&proof).join(" ");
            return self.refuse(place, found, refused, reason).await;
        }
        let done = self
            .apply(
                &copy.0, &reading, examined, &delivery, &memory, trust, record,
            )
            .await?;
        let Some(mut applied) = done else {
            return Ok(Step::Paused);
        };
        if !applied.accepted {
            applied.suspicions.splice(0..0, reasons(&proof));
        }
        // What is sent once more, under whatever time, shows nothing new of how files end.
        let content = Some(delivery.sha256.clone());
        if proof.only_the_ending() && memory.habit_of != content {
            let ending = applied.evidence.ending;
            memory.habit = Some(Habit::after(memory.habit, ending));
            memory.habit_of = content;
        }
        self.conclude(place, found, delivery, memory, &reading, applied)
            .await
    }

    /// A column that tells what a row is about, where, how many or in what state must not go: the rows
    /// would be taken for others.
    fn lost_key(&self, drift: &SchemaDrift) -> Option<String> {
        let key = |column: &&String| {
            let keys = [
                "sku",
                "vin",
                "location",
                "dealer_id",
                "on_hand",
                "available",
                "status",
            ];
            keys.contains(&column.as_str())
        };
        let lost = drift.lost.iter().find(key)?;
        Some(format!(
            "{} So nothing says the {lost} of its rows. {}",
            drift.sentences().join(" "),
            self.way_to_accept()
        ))
    }

    /// How a person says that a column is meant to be gone.
    pub(crate) fn way_to_accept(&self) -> String {
        format!(
            "If that is meant, run `lotwire sync {} --accept-columns`, and drop the file again: from \
             then on its columns are the ones that are expected.",
            self.connector
        )
    }

    /// What the world outside the file says of it; a sentence if that cannot be read.
    async fn expectations(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        memory: &Memory,
    ) -> Result<Result<Expectations, String>, RunError> {
        let mut expectations = Expectations {
            size: found.entry.size,
            history: memory.reads.clone(),
            minimum_share: self.files.min_rows_share(),
            zero_rows: self.files.min_rows_percent.get() == 0,
            minimum_usable: self.files.min_usable_share(),
            final_newline: self.format.final_newline,
            habit: memory.habit,
            ..Expectations::default()
        };
        let Some(name) = &found.sidecar else {
            return Ok(Ok(expectations));
        };
        let text = match place.read_small(name).await {
            Err(error) if matches!(error.fault, Fault::NotFound | Fault::Refused) => {
                return Ok(Err(error.to_string()));
            }
            text => text?,
        };
        match self.files.ready {
            Ready::Checksum => match sidecar::checksum(&text, &found.entry.name) {
                Ok(sha256) => expectations.sha256 = Some(sha256),
                Err(error) => return Ok(Err(error.to_string())),
            },
            // A marker whose words are not known is still a marker.
            Ready::DoneMarker => {
                let marker = sidecar::done_marker(&text).unwrap_or_default();
                expectations.sha256 = marker.sha256;
                expectations.done_rows = marker.rows;
            }
            Ready::Stable => {}
        }
        Ok(Ok(expectations))
    }

    /// Applies what a file says and judges what it lacks; nothing if time ran out.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing that was found out before"
    )]
    async fn apply(
        &self,
        copy: &Path,
        reading: &Reading<'_>,
        mut examined: Examined,
        delivery: &Delivery,
        memory: &Memory,
        trust: Trust,
        record: &mut Record,
    ) -> Result<Option<Concluded>, RunError> {
        let store = &self.sync.store;
        let repeats = match self.files.covers {
            Covers::Changes => Repeats::EachOne,
            Covers::All => Repeats::Cover,
        };
        let doubt = trust
            == (Trust::Partial {
                doubt_last_row: true,
            });
        if let Some(key) = examined.last_key.filter(|_| doubt) {
            examined.snapshot.leave_unsaid(key);
        }
        let covers = repeats == Repeats::Cover && examined.snapshot.says_something();
        let covered_before = if covers {
            let snapshot_at = reading.snapshot_at();
            store.begin_snapshot(self.connector, snapshot_at).await?.at
        } else {
            None
        };
        let comparison = Comparison {
            source: self.connector,
            authority: &self.authority,
            sayable: &examined.sayable,
            snapshot_at: reading.snapshot_at(),
            covers,
        };
        let mut at = record.checkpoint(delivery);
        let version = self.installation.version;
        let snapshot = &mut examined.snapshot;
        let kept = at.compared.as_ref();
        let mut listing = Listing::resume(store, self.connector, kept, (snapshot, version)).await?;
        let resumed = listing.done;
        // A file of changes is compared row by row, as it is applied.
        if repeats != Repeats::EachOne {
            let out_of_time = || self.is_out_of_time();
            if !comparison
                .run(store, snapshot, &mut listing, out_of_time)
                .await?
            {
                self.keep(&listing, snapshot, &mut at, record).await?;
                return Ok(None);
            }
        }
        at.counts.rows = examined.evidence.rows;
        let name = &delivery.sha256[..12];
        let pass = Pass {
            feed: self,
            copy,
            file: &delivery.entry.name,
            reading,
            applier: Applier {
                store,
                source: self.connector,
                authority: &self.authority,
                file: name,
                snapshot_at: reading.snapshot_at(),
                repeats,
                is_first: reading.confirmed_at.is_none(),
                covered_before,
                patient_until: self.patient_until(),
            },
            doubtful: doubt.then_some(examined.last_line),
            describes_anew: examined.descriptions != memory.descriptions,
        };
        if !Box::pin(pass.rows(&mut examined.snapshot, &mut at, record)).await? {
            if !resumed && repeats != Repeats::EachOne {
                self.keep(&listing, &examined.snapshot, &mut at, record)
                    .await?;
            }
            return Ok(None);
        }
        let mut compared = listing.compared;
        let mut remarks = at.flaws.remarks();
        if let Some(column) = &examined.unread_state {
            let remark = format!(
                "The column {column:?} looks like the state of a vehicle and is not read: map it as \
                 `status` under `format.columns`."
            );
            remarks.insert("unread_state".to_owned(), remark);
        }
        if let Some(column) = &examined.unread_place {
            let remark = format!(
                "The column {column:?} holds the names of places and is not read: map it as `location` \
                 under `format.columns`."
            );
            remarks.insert("unread_place".to_owned(), remark);
        }
        let nameless = compared.explain(&examined.nameless);
        // Those that stood in the last file are not what has gone since.
        let new = nameless.saturating_sub(memory.nameless);
        let verdict = self
            .absence(
                &mut compared,
                (&delivery.entry.name, &delivery.name()),
                memory,
                (trust, new, at.removing),
            )
            .await?;
        compared
            .write_notes(&comparison, store, covered_before)
            .await?;
        at.counts.missing = verdict.missing;
        at.counts.withheld = verdict.withheld;
        at.removing = verdict.approved.is_some();
        if !Box::pin(pass.removals(&verdict.remove, &mut at, record)).await? {
            return Ok(None);
        }
        if verdict.approved.is_some() {
            let approved = verdict.approved.as_deref();
            self.absent(&delivery.entry.name, "", approved)
                .is_applied()
                .await?;
        }
        let is_explained = verdict.approved.is_some() || examined.evidence.rows > 0;
        let nothing_lacking = verdict.withheld + verdict.missing == 0 && is_explained;
        let quietly_kept = verdict.kept.is_some();
        let accepted = match trust {
            Trust::Whole => true,
            Trust::Thin => nothing_lacking || quietly_kept,
            Trust::Partial { .. } | Trust::Damaged => false,
        };
        remarks.extend(verdict.remark.map(|remark| ("nameless".to_owned(), remark)));
        let usable = examined.unusable < examined.evidence.rows;
        Ok(Some(Concluded {
            evidence: examined.evidence,
            samples: examined.samples,
            blank: examined.blank,
            unread: examined.unread,
            places: examined.places,
            descriptions: examined.descriptions,
            counts: at.counts,
            new: at.new,
            suspicions: verdict.sentence.into_iter().collect(),
            remarks,
            nameless,
            usable,
            accepted,
            kept: verdict.kept,
            held: verdict.held,
            in_quarantine: at.held,
            covers,
        }))
    }

    /// Keeps how far the comparison is, for the worker who goes on.
    async fn keep(
        &self,
        listing: &Listing,
        snapshot: &Snapshot,
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<(), RunError> {
        let store = &self.sync.store;
        let of = (snapshot, self.installation.version);
        let kept = listing.keep(store, self.connector, &record.holder, of);
        at.compared = Some(kept.await?);
        record.keep(store, at).await
    }

    fn absent<'f>(
        &'f self,
        file: &'f str,
        delivery: &'f str,
        held: Option<&'f str>,
    ) -> Absence<'f> {
        Absence {
            store: &self.sync.store,
            source: self.connector,
            files: self.files,
            file,
            delivery,
            held,
        }
    }

    /// Judges what a file lacks.
    async fn absence(
        &self,
        compared: &mut Compared,
        (file, delivery): (&str, &str),
        memory: &Memory,
        (trust, new, removing): (Trust, u64, bool),
    ) -> Result<Verdict, RunError> {
        let quiet = Verdict {
            held: memory.held.clone(),
            ..Verdict::default()
        };
        let counts_for_nothing = matches!(trust, Trust::Partial { .. } | Trust::Damaged)
            || self.files.covers == Covers::Changes;
        if counts_for_nothing {
            return Ok(quiet);
        }
        if new > 0 && !compared.absent.is_empty() {
            let absent = compared.absent.len();
            return Ok(Verdict {
                missing: absent as u64,
                remark: Some(format!(
                    "{new} rows are new and do not tell what they are about, so none of {absent} missing \
                     items is taken for gone by this file; from the next one they count."
                )),
                ..quiet
            });
        }
        let held = memory.held.as_deref();
        let absence = self.absent(file, delivery, held);
        let thin = trust == Trust::Thin;
        Ok(absence.decide(compared, thin, removing).await?)
    }
}

/// A downloaded copy, removed when done with.
struct Copy(PathBuf);

impl Copy {
    fn at(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // It may never have been written.
        std::fs::remove_file(&self.0).ok();
    }
}

fn reasons(proof: &Proof) -> Vec<String> {
    match proof {
        Proof::Complete => Vec::new(),
        Proof::Suspect { reasons } => reasons.iter().map(ToString::to_string).collect(),
    }
}

fn sha256(path: &Path) -> Result<String, std::io::Error> {
    use sha2::{Digest, Sha256};
    use std::io::Read;
    blocking(|| {
        let mut file = std::fs::File::open(path)?;
        let (mut hasher, mut chunk) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(hex::encode(hasher.finalize())),
                count => hasher.update(&chunk[..count]),
            }
        }
    })
}

/// The suffix of the file that vouches for another, where the settings ask for one.
pub(crate) fn sidecar_suffix(files: &Files) -> Option<&str> {
    match files.ready {
        Ready::DoneMarker => Some(&files.done_suffix),
        Ready::Checksum => Some(&files.checksum_suffix),
        Ready::Stable => None,
    }
}
