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
//! | cut off | applied, but for a last row that may be cut | means nothing | `error/` |
//! | damaged: checksum, gzip, announced counts or size | not applied | means nothing | `error/` |

use std::fs::File;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::config::connector::{Covers, Files, Ready};
use shared::domain::position::whole_millis;
use shared::feeds::complete::{AcceptedRead, Expectations, Proof, prove};
use shared::feeds::delimited::Reader;
use shared::feeds::drift::SchemaDrift;
use shared::feeds::evidence::Evidence;
use shared::feeds::pickup::{archive_name, error_name};
use shared::feeds::row::Row;
use shared::feeds::sidecar;
use shared::feeds::transport::{Claimed, Entry, Fault, FileSource, TransferError};
use shared::metrics::Metric;
use shared::store::feeds::Moment;
use shared::store::inbox::InboxState;
use shared::store::missing::Item;
use shared::store::quarantine::Quarantined;
use shared::store::runs::{Counts, FileOutcome, FileReport};

use crate::absence::{Absence, Compared, Verdict, compare};
use crate::apply::{Applier, Outcome};
use crate::examine::{ExamineError, Examined, TURN, Trust, examine, trust};
use crate::memory::{Delivery, Memory};
use crate::rows::{Flaw, Reading, Statement};
use crate::run::{Feed, Record, RunError};
use crate::snapshot::{Met, Snapshot};

/// Rows applied between two checkpoints.
const BATCH: usize = 64;
/// Rows applied at the same time. Vehicles of one model line share a position, so they go in turn.
const AT_ONCE: usize = 8;
/// Rows of one file that are held in quarantine; beyond that they are only counted.
const QUARANTINED: u64 = 1_000;
/// Other names tried where an archived file's name is taken.
const NAMES: u32 = 20;

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

/// Where a file that was not finished is taken up again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    delivery: Delivery,
    /// The last line that was applied.
    line: u64,
    /// What was counted up to there.
    counts: Counts,
    /// A person has approved the removals, and they have begun.
    removing: bool,
}

/// Whether a file is finished.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is.
    Done(FileReport),
    /// Time ran out; the checkpoint says where.
    Paused,
}

/// What the second reading and the removals work with.
struct Work<'a> {
    feed: &'a Feed<'a>,
    copy: &'a Path,
    file: &'a str,
    reading: &'a Reading<'a>,
    applier: Applier<'a>,
    /// A line that may have been cut, and is left alone.
    doubtful: Option<u64>,
}

impl Feed<'_> {
    /// Takes one file, or the rest of it.
    pub(crate) async fn take(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        record: &mut Record,
    ) -> Result<Step, RunError> {
        let copy = Copy::at(self.sync.scratch.join(format!("{}.feed", record.holder)));
        let limit = self.format.max_bytes;
        match place.download(&found.path, &copy.0, limit).await {
            Err(error) if error.fault == Fault::Refused => {
                let sha256 = "unread";
                return self.refuse(place, found, sha256, error.to_string()).await;
            }
            downloaded => downloaded?,
        };
        let delivery = Delivery {
            sha256: sha256(&copy.0).await?,
            entry: found.entry.clone(),
        };
        let state = self.sync.store.feed(self.connector).await?;
        let state = state.map(|stored| stored.data).unwrap_or_default();
        let memory = Memory::of(&state);
        let covers_all = self.files.covers == Covers::All;
        let older = memory.latest() > delivery.entry.modified && delivery.entry.modified.is_some();
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
        let reading = self.reading(&found.entry, state.snapshot_at.map(|at| at.0));
        let mut expectations = match self.expectations(place, found, &memory).await? {
            Ok(expectations) => expectations,
            Err(reason) => return self.refuse(place, found, &delivery.sha256, reason).await,
        };
        if !covers_all {
            // Files of changes have no usual size.
            expectations.history.clear();
            expectations.zero_rows = true;
        }
        let refuse =
            |header: &shared::feeds::header::Header| lost_key(&self.drift(&memory, header.names()));
        let examined = match examine(&copy.0, &self.format, &reading, refuse).await {
            Ok(examined) => examined,
            Err(ExamineError::Copy(error)) => return Err(error.into()),
            Err(error) => {
                let reason = error.to_string();
                return self.refuse(place, found, &delivery.sha256, reason).await;
            }
        };
        let proof = prove(&examined.evidence, &expectations);
        let trust = trust(&proof);
        if trust == Trust::Damaged {
            let reason = reasons(&proof).join(" ");
            return self.refuse(place, found, &delivery.sha256, reason).await;
        }
        let done = self
            .apply(
                &copy.0, &reading, examined, &delivery, &memory, trust, record,
            )
            .await?;
        let Some(mut applied) = done else {
            return Ok(Step::Paused);
        };
        if applied.doubted {
            applied.sentences.splice(0..0, reasons(&proof));
        }
        self.conclude(place, found, delivery, memory, &reading, applied)
            .await
    }

    fn reading(&self, entry: &Entry, confirmed_at: Option<Timestamp>) -> Reading<'_> {
        let now = self.sync.store.clock().now();
        let config = &self.installation.config;
        Reading {
            common: self.common,
            locations: &config.locations,
            currency: config.account.currency,
            vins: config.guards.vin,
            // A server whose clock is ahead must not outdate everything else until then.
            written_at: whole_millis(entry.modified.unwrap_or(now).min(now)),
            confirmed_at,
        }
    }

    fn drift(&self, memory: &Memory, header: &[String]) -> SchemaDrift {
        if memory.header.is_empty() {
            return SchemaDrift::default();
        }
        SchemaDrift::between(&memory.header, header, &self.format)
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
        let compared = compare(
            store,
            self.connector,
            &examined.sayable,
            &mut examined.snapshot,
        )
        .await?;
        let mut at = record.checkpoint(delivery);
        at.counts.rows = examined.evidence.rows;
        let name = &delivery.sha256[..12];
        let doubt = trust
            == (Trust::Cut {
                doubt_last_row: true,
            });
        let work = Work {
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
            },
            doubtful: doubt.then_some(examined.last_line),
        };
        if !Box::pin(work.rows(&mut examined.snapshot, &mut at, record)).await? {
            return Ok(None);
        }
        let mut sentences = Vec::new();
        sentences.extend(examined.without_quantity.map(|(rows, line)| {
            format!("{rows} rows have no quantity, the first in line {line}; they were left alone.")
        }));
        let millis = reading.written_at.as_millisecond();
        let verdict = self
            .absence(
                compared,
                &examined,
                (&delivery.entry.name, &format!("{name}@{millis}")),
                memory,
                trust,
                at.removing,
            )
            .await?;
        at.counts.missing = verdict.missing;
        at.counts.withheld = verdict.withheld;
        at.removing = verdict.approved;
        if !Box::pin(work.removals(&verdict.remove, &mut at, record)).await? {
            return Ok(None);
        }
        if verdict.approved {
            let held = verdict.held.as_deref();
            self.absent(&delivery.entry.name, "", held)
                .settle(InboxState::Applied)
                .await?;
        }
        let nothing_lacking = verdict.withheld + verdict.missing == 0 && examined.evidence.rows > 0;
        let quietly_kept = verdict.withheld > 0 && verdict.sentence.is_none();
        let accepted = match trust {
            Trust::Whole => true,
            Trust::Thin => verdict.approved || nothing_lacking || quietly_kept,
            Trust::Cut { .. } | Trust::Damaged => false,
        };
        sentences.extend(verdict.sentence.clone());
        Ok(Some(Concluded {
            evidence: examined.evidence,
            counts: at.counts,
            sentences,
            accepted,
            doubted: !accepted,
            quietly_kept,
            held: if verdict.approved { None } else { verdict.held },
        }))
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
        compared: Compared,
        examined: &Examined,
        (file, delivery): (&str, &str),
        memory: &Memory,
        trust: Trust,
        removing: bool,
    ) -> Result<Verdict, RunError> {
        let quiet = Verdict {
            held: memory.held.clone(),
            ..Verdict::default()
        };
        let counts_for_nothing = matches!(trust, Trust::Cut { .. } | Trust::Damaged)
            || self.files.covers == Covers::Changes;
        if counts_for_nothing {
            return Ok(quiet);
        }
        if removing {
            return Ok(Verdict {
                remove: compared.absent,
                approved: true,
                ..quiet
            });
        }
        if examined.nameless > 0 && !compared.absent.is_empty() {
            let (rows, absent) = (examined.nameless, compared.absent.len());
            return Ok(Verdict {
                missing: absent as u64,
                sentence: Some(format!(
                    "{rows} rows do not tell what they are about, so none of {absent} missing items is taken for gone."
                )),
                ..quiet
            });
        }
        let held = memory.held.as_deref();
        let absence = self.absent(file, delivery, held);
        let thin = trust == Trust::Thin;
        Ok(absence.decide(compared, &examined.snapshot, thin).await?)
    }

    /// Writes down what came of the file, and moves it out of the way.
    async fn conclude(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        delivery: Delivery,
        mut memory: Memory,
        reading: &Reading<'_>,
        concluded: Concluded,
    ) -> Result<Step, RunError> {
        let Concluded {
            evidence,
            counts,
            mut sentences,
            accepted,
            quietly_kept,
            held,
            ..
        } = concluded;
        let drift = self.drift(&memory, &evidence.header);
        sentences.extend(drift.sentences());
        let name = &found.entry.name;
        let sentences: Vec<String> = sentences
            .into_iter()
            .map(|sentence| {
                if sentence.starts_with(name.as_str()) {
                    sentence
                } else {
                    format!("{name}: {sentence}")
                }
            })
            .collect();
        let now = Moment(self.sync.store.clock().now());
        let whole = accepted && (counts.withheld == 0 || quietly_kept);
        memory.held = held;
        if accepted {
            if !quietly_kept {
                memory.accepted(AcceptedRead::from(&evidence));
            }
            if memory.header.is_empty() || drift.lost.is_empty() {
                memory.header.clone_from(&evidence.header);
            }
        }
        if whole {
            memory.applied(delivery.clone());
        }
        let snapshot = whole && self.files.covers == Covers::All;
        let snapshot_at = Moment(reading.snapshot_at());
        self.sync
            .store
            .change_feed(self.connector, |state| {
                memory.keep(state);
                state.suspicions.clone_from(&sentences);
                if accepted {
                    state.succeeded_at = Some(now);
                }
                if snapshot {
                    state.snapshot_at = state.snapshot_at.max(Some(snapshot_at));
                }
            })
            .await?;
        let outcome = if accepted {
            FileOutcome::Applied
        } else {
            FileOutcome::Suspect
        };
        self.put_away(place, found, &delivery.sha256, accepted)
            .await?;
        let report = FileReport {
            name: name.clone(),
            outcome,
            counts,
            sentences,
        };
        self.tell(&report);
        Ok(Step::Done(report))
    }

    /// Takes nothing from a file, and says so.
    async fn refuse(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        sha256: &str,
        reason: String,
    ) -> Result<Step, RunError> {
        let reason = reason.trim_end_matches('.');
        let sentence = format!("{}: {reason}. Nothing of it was applied.", found.entry.name);
        self.sync
            .store
            .change_feed(self.connector, |state| {
                state.suspicions = vec![sentence.clone()];
            })
            .await?;
        self.put_away(place, found, sha256, false).await?;
        let report = FileReport {
            name: found.entry.name.clone(),
            outcome: FileOutcome::Refused,
            sentences: vec![sentence],
            ..FileReport::default()
        };
        self.tell(&report);
        Ok(Step::Done(report))
    }

    /// Archives a file that says nothing new.
    async fn set_aside(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        delivery: &Delivery,
        outcome: FileOutcome,
    ) -> Result<Step, RunError> {
        let name = &found.entry.name;
        let sentence = match outcome {
            FileOutcome::Duplicate => format!("{name} was applied before."),
            _ => format!("{name} is older than what was applied before."),
        };
        self.put_away(place, found, &delivery.sha256, true).await?;
        let report = FileReport {
            name: name.clone(),
            outcome,
            sentences: vec![sentence],
            ..FileReport::default()
        };
        self.tell(&report);
        Ok(Step::Done(report))
    }

    /// Moves a file to where finished files go, its marker first: a marker without its file would
    /// vouch for the next one of that name.
    async fn put_away(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        sha256: &str,
        good: bool,
    ) -> Result<(), RunError> {
        let now = self.sync.store.clock().now();
        let finished = |name: &str| {
            if good {
                archive_name(name, sha256, now)
            } else {
                error_name(name, sha256)
            }
        };
        if let Some(sidecar) = &found.sidecar {
            let name = sidecar.rsplit('/').next().unwrap_or(sidecar);
            move_to(place, sidecar, &finished(name)).await?;
        }
        move_to(place, &found.path, &finished(&found.entry.name)).await?;
        Ok(())
    }

    fn tell(&self, report: &FileReport) {
        let Counts {
            rows,
            quarantined,
            added,
            drift,
            changed_at_source,
            missing,
            removed,
            withheld,
        } = report.counts;
        tracing::info!(
            connector = %self.connector, file = report.name, outcome = ?report.outcome, rows, quarantined, added,
            drift, changed_at_source, missing, removed, withheld, "a file was read"
        );
        for sentence in &report.sentences {
            tracing::warn!(connector = %self.connector, "{sentence}");
        }
        let dimensions = [("Connector", self.connector.as_str())];
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of rows are far below 2^53"
        )]
        let record =
            |metric, count: u64| self.sync.metrics.record(metric, count as f64, &dimensions);
        record(Metric::SyncRows, rows);
        record(Metric::SyncDrift, drift);
        record(Metric::EventsApplied, added + drift + removed);
        record(Metric::EventsQuarantined, quarantined);
    }
}

/// What came of applying a file.
struct Concluded {
    evidence: Evidence,
    counts: Counts,
    sentences: Vec<String>,
    /// It counts as a good file.
    accepted: bool,
    /// What speaks against it has to be told.
    doubted: bool,
    /// It lacks what a person said is to be kept.
    quietly_kept: bool,
    /// The inbox entry that is open for it.
    held: Option<String>,
}

impl Work<'_> {
    /// Applies the rows that differ, from where it stopped; `false` if time ran out.
    async fn rows(
        &self,
        snapshot: &mut Snapshot,
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<bool, RunError> {
        let file = File::open(self.copy)?;
        let reader = Reader::open(file, &self.feed.format).map_err(ExamineError::Feed)?;
        let applied_to = at.line;
        let mut batch = Batch::default();
        for (count, row) in reader.enumerate() {
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let line = match &row {
                Ok(row) => row.line(),
                Err(bad) => bad.line,
            };
            if Some(line) == self.doubtful {
                break;
            }
            let fresh = line > applied_to;
            match row {
                Err(bad) if fresh => {
                    let (reason, sentence) = ("bad_row", format!("{}.", bad.why));
                    batch
                        .quarantine
                        .push(self.held(line, &bad.found, reason, sentence));
                }
                Err(_) => {}
                Ok(row) => self.sort(&row, snapshot, fresh, &mut batch),
            }
            if batch.len() >= BATCH {
                self.flush(&mut batch, line, at, record).await?;
                if self.feed.is_out_of_time() {
                    return Ok(false);
                }
            }
        }
        self.flush(&mut batch, u64::MAX, at, record).await?;
        Ok(true)
    }

    /// Puts a row where it belongs: known, to be applied, or in quarantine.
    fn sort(&self, row: &Row, snapshot: &mut Snapshot, fresh: bool, batch: &mut Batch) {
        let statement = self.reading.statement(row);
        let met = match &statement {
            Ok(statement) => snapshot.meet(statement.key()),
            Err(_) => Met::Known,
        };
        if !fresh {
            return;
        }
        let line = row.line();
        let mut quarantine = |flaw: &Flaw| {
            let held = self.held(line, &text(row), flaw.reason, flaw.sentence.clone());
            batch.quarantine.push(held);
        };
        match statement {
            Err(flaw) => quarantine(&flaw),
            Ok(statement) => {
                statement.flaws.iter().for_each(&mut quarantine);
                match met {
                    Met::Known => {}
                    Met::Again => quarantine(&Flaw {
                        item: None,
                        reason: "repeated",
                        sentence: format!("{} has a row already.", statement.item),
                    }),
                    Met::Differs => batch.rows.push((line, text(row), statement)),
                }
            }
        }
    }

    fn held(&self, line: u64, content: &str, reason: &str, sentence: String) -> Quarantined {
        let at = self.feed.sync.store.clock().now();
        let place = format!("{}:{line}", self.file);
        Quarantined::new(self.feed.connector, at, place, content, (reason, sentence))
    }

    async fn flush(
        &self,
        batch: &mut Batch,
        line: u64,
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<(), RunError> {
        let Batch {
            rows,
            mut quarantine,
        } = std::mem::take(batch);
        let vehicles = |(_, _, row): &(_, _, Statement)| matches!(row.item, Item::Unit { .. });
        let at_once = if rows.iter().any(vehicles) {
            1
        } else {
            AT_ONCE
        };
        // Made first and run after: a stream of async closures is not `Send` for every lifetime.
        let pending: Vec<_> = rows
            .iter()
            .map(|(line, _, row)| self.applier.row(*line, row))
            .collect();
        let applied: Vec<_> = stream::iter(pending)
            .buffered(at_once)
            .try_collect()
            .await?;
        for ((line, text, statement), taken) in rows.iter().zip(applied) {
            match taken.outcome {
                Outcome::Known => {}
                Outcome::Added => at.counts.added += 1,
                Outcome::Differed => {
                    at.counts.drift += 1;
                    at.counts.changed_at_source += u64::from(statement.dated_since);
                }
            }
            let held = taken.flaws.into_iter();
            quarantine.extend(held.map(|flaw| self.held(*line, text, flaw.reason, flaw.sentence)));
        }
        let room = QUARANTINED.saturating_sub(at.counts.quarantined);
        at.counts.quarantined += quarantine.len() as u64;
        let store = &self.feed.sync.store;
        let pending: Vec<_> = quarantine
            .iter()
            .take(usize::try_from(room).unwrap_or(usize::MAX))
            .map(|held| store.quarantine(held))
            .collect();
        stream::iter(pending)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        at.line = line;
        record.keep(&self.feed.sync.store, at).await
    }

    /// Removes what is gone; `false` if time ran out.
    async fn removals(
        &self,
        items: &[Item],
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<bool, RunError> {
        let store = &self.feed.sync.store;
        if !items.is_empty() {
            // So that a resumed run knows that a person has approved them.
            record.keep(store, at).await?;
        }
        let mut chunks = items.chunks(BATCH).peekable();
        while let Some(chunk) = chunks.next() {
            for item in chunk {
                at.counts.removed += u64::from(self.applier.remove(item).await?);
                store.clear_missing(self.feed.connector, item).await?;
            }
            record.keep(store, at).await?;
            if chunks.peek().is_some() && self.feed.is_out_of_time() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Batch {
    /// Line, text and meaning of each row to be applied.
    rows: Vec<(u64, String, Statement)>,
    quarantine: Vec<Quarantined>,
}

impl Batch {
    fn len(&self) -> usize {
        self.rows.len() + self.quarantine.len()
    }
}

impl Checkpoint {
    /// The beginning of a file.
    pub(crate) fn start(delivery: &Delivery) -> Self {
        Self {
            delivery: delivery.clone(),
            line: 0,
            counts: Counts::default(),
            removing: false,
        }
    }

    /// Whether it belongs to this delivery.
    pub(crate) fn is_of(&self, delivery: &Delivery) -> bool {
        self.delivery == *delivery
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

/// A column that tells what a row is about, or where, must not go: the rows would be taken for others.
fn lost_key(drift: &SchemaDrift) -> Option<String> {
    let key = |column: &&String| {
        ["sku", "vin", "location", "dealer_id", "on_hand"].contains(&column.as_str())
    };
    let lost = drift.lost.iter().find(key)?;
    Some(format!(
        "The column for {lost} is gone. {}",
        drift.sentences().join(" ")
    ))
}

fn text(row: &Row) -> String {
    row.fields().collect::<Vec<_>>().join(",")
}

async fn sha256(path: &Path) -> Result<String, std::io::Error> {
    use sha2::{Digest, Sha256};
    use tokio::io::AsyncReadExt;
    let mut file = tokio::fs::File::open(path).await?;
    let (mut hasher, mut chunk) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut chunk).await? {
            0 => return Ok(hex::encode(hasher.finalize())),
            count => hasher.update(&chunk[..count]),
        }
    }
}

/// Moves a file where the place can; under another name if that one is taken.
async fn move_to(
    place: &mut dyn FileSource,
    from: &str,
    to: &str,
) -> Result<Claimed, TransferError> {
    let mut name = to.to_owned();
    for number in 2..=NAMES {
        match place.rename(from, &name).await {
            Err(error) if error.fault == Fault::Refused => name = format!("{to}.{number}"),
            // Moved by a worker that died right after.
            Err(error) if error.fault == Fault::NotFound => return Ok(Claimed::Yes),
            moved => return moved,
        }
    }
    place.rename(from, &name).await
}

/// The suffix of the file that vouches for another, where the settings ask for one.
pub(crate) fn sidecar_suffix(files: &Files) -> Option<&str> {
    match files.ready {
        Ready::DoneMarker => Some(&files.done_suffix),
        Ready::Checksum => Some(&files.checksum_suffix),
        Ready::Stable => None,
    }
}
