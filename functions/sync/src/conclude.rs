//! What came of a file: written to the source's state, told, and the file moved out of the way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::config::connector::Covers;
use shared::domain::IdError;
use shared::feeds::columns::same_column;
use shared::feeds::complete::AcceptedRead;
use shared::feeds::drift::{SchemaDrift, columns_fed};
use shared::feeds::evidence::Evidence;
use shared::feeds::header::Header;
use shared::feeds::pickup::{archive_name, error_name};
use shared::feeds::row::shorten;
use shared::feeds::samples::Samples;
use shared::feeds::transport::{Claimed, Fault, FileSource, TransferError};
use shared::metrics::Metric;
use shared::store::feeds::Moment;
use shared::store::runs::{Counts, FileOutcome, FileReport};

use crate::file::{Found, Step};
use crate::memory::{Delivery, GIVEN_UP, Memory};
use crate::pass::New;
use crate::rows::Reading;
use crate::run::{Feed, RunError};

/// Entries of the quarantine closed at the same time.
const AT_ONCE: usize = 8;

/// What became of the rows of a file that is not believed.
const NOT_BELIEVED: &str = " Its usable rows were applied, and nothing was removed.";
/// The same, where a person had approved some removals.
const NO_OTHERS: &str =
    " Its usable rows were applied, and nothing was removed but what was approved.";
/// The same, where none was usable.
const NOTHING_USABLE: &str =
    " No row of it was usable, so nothing was applied, and nothing was removed.";

/// A file that is refused.
#[derive(Clone, Copy)]
pub(crate) struct Refused<'a> {
    pub(crate) sha256: &'a str,
    /// Some of its rows were applied, and what it is refused for has come up since.
    pub(crate) begun: bool,
    /// Our columns that it lacks and its source had before, if that is why.
    pub(crate) lost: &'a [String],
}

/// What came of applying a file.
pub(crate) struct Concluded {
    pub(crate) evidence: Evidence,
    /// What stands in its columns.
    pub(crate) samples: Samples,
    /// Our columns that no row has a value in.
    pub(crate) blank: BTreeSet<String>,
    /// The names of columns that are not read.
    pub(crate) unread: Vec<String>,
    /// What it says of its products, as a number.
    pub(crate) descriptions: u64,
    /// The names of places that usable rows have.
    pub(crate) places: BTreeSet<String>,
    pub(crate) counts: Counts,
    /// What its source never had before.
    pub(crate) new: New,
    /// What speaks against it, or waits for a person.
    pub(crate) suspicions: Vec<String>,
    /// What people should mend although it was believed, by kind.
    pub(crate) remarks: BTreeMap<String, String>,
    /// Rows that may be about anything.
    pub(crate) nameless: u64,
    /// Any of its rows can be used.
    pub(crate) usable: bool,
    /// It counts as a good file.
    pub(crate) accepted: bool,
    /// That it lacks what a person said is to be kept, if it does.
    pub(crate) kept: Option<String>,
    /// The inbox entry that is open for it.
    pub(crate) held: Option<String>,
    /// The entries of the quarantine that it leads to, if all of them are known.
    pub(crate) in_quarantine: Option<BTreeSet<String>>,
    /// It covers what it states.
    pub(crate) covers: bool,
}

impl Feed<'_> {
    /// What people did not mean to change.
    pub(crate) fn missed(
        &self,
        memory: &Memory,
        header: &[String],
        samples: &Samples,
    ) -> SchemaDrift {
        if memory.columns_may_change {
            return SchemaDrift::default();
        }
        self.drift(memory, header, samples)
    }

    fn drift(&self, memory: &Memory, header: &[String], samples: &Samples) -> SchemaDrift {
        if memory.header.is_empty() {
            return SchemaDrift::default();
        }
        let are_alike = |old: &str, new: &str| memory.samples.are_alike(old, samples, new);
        let (format, blank) = (&self.format, &memory.blank);
        SchemaDrift::between(&memory.header, header, format, blank, are_alike)
    }

    /// Said once, of columns that went along with those that a person has let go: nobody was told of these
    /// before.
    fn gone_along(memory: &Memory, let_go: &SchemaDrift) -> Option<String> {
        let lost = let_go.lost.iter().cloned();
        let (told, untold): (Vec<_>, Vec<_>) = lost.partition(|it| memory.lost.contains(it));
        (!told.is_empty() && !untold.is_empty()).then(|| {
            format!(
                "Gone, too, and not expected any more, as the columns may be others: {}.",
                shown(&untold)
            )
        })
    }

    /// Said once, with the file that brings the column: a file states stock and sets no thresholds.
    fn unused_threshold(&self, memory: &Memory, header: &[String]) -> Option<String> {
        let source = |names: &[String]| {
            let header = Header::map(names.to_vec(), &self.format).ok()?;
            header.source_of("threshold").map(str::to_owned)
        };
        let name = source(header).filter(|_| source(&memory.header).is_none())?;
        Some(format!(
            "Column {name:?} sets no thresholds: these files only say what is there. \
             lotwire import sets them, from a file with the SKU and the threshold alone: \
             any quantity in it would be taken for a count."
        ))
    }

    /// Said once, with the file that brings the columns.
    fn unread_since(&self, memory: &Memory, unread: &[String]) -> Option<String> {
        let is_new = |name: &&String| !memory.header.iter().any(|known| same_column(known, name));
        let new: Vec<_> = unread.iter().filter(is_new).cloned().collect();
        (!new.is_empty()).then(|| {
            format!(
                "Not read, because no column of ours has this name: {}. `format.columns` can say which \
                 of ours it is.",
                shown(&new)
            )
        })
    }

    /// Remembers which of our columns have never held a value. One that holds one now is no longer among
    /// them; one that held some before does not get among them.
    fn learn_blank(&self, memory: &mut Memory, header: &[String], blank: BTreeSet<String>) {
        let (known, found) = (
            columns_fed(&memory.header, &self.format),
            columns_fed(header, &self.format),
        );
        let before = std::mem::take(&mut memory.blank);
        let still = |column: &String| blank.contains(column) || !found.contains(column);
        memory.blank = before.iter().filter(|it| still(it)).cloned().collect();
        let new = |column: &String| !known.contains(column) && !before.contains(column);
        memory
            .blank
            .extend(blank.iter().filter(|it| new(it)).cloned());
    }

    /// Writes down what came of the file, and moves it out of the way.
    pub(crate) async fn conclude(
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
            samples,
            blank,
            unread,
            places,
            descriptions,
            counts,
            new,
            suspicions,
            mut remarks,
            nameless,
            usable,
            accepted,
            kept,
            held,
            in_quarantine,
            covers,
        } = concluded;
        if covers {
            self.cover(&delivery, reading.snapshot_at()).await?;
        }
        let drift = self.missed(&memory, &evidence.header, &samples);
        let let_go = match memory.columns_may_change {
            true => self.drift(&memory, &evidence.header, &samples),
            false => SchemaDrift::default(),
        };
        // Not by a file with the columns of those before, such as one that has waited.
        let used_up = memory.columns_may_change && (memory.header.is_empty() || !let_go.is_empty());
        let gone_along = Self::gone_along(&memory, &let_go);
        let lost = match &gone_along {
            Some(_) => let_go.lost,
            None => drift.lost.clone(),
        };
        memory.lost.clone_from(&lost);
        let mut columns = drift.sentences();
        columns.extend(gone_along);
        if drift.loses_stock() {
            columns.push(self.way_to_accept());
        } else if !drift.lost.is_empty() {
            columns.push(format!(
                "If that is meant, there is nothing to do: after {GIVEN_UP} files without it, it is not \
                 expected any more."
            ));
        }
        columns.extend(self.unused_threshold(&memory, &evidence.header));
        if !columns.is_empty() {
            remarks.insert("columns".to_owned(), columns.join(" "));
        }
        let name = &found.entry.name;
        let named = |sentence: &String| {
            if sentence.starts_with(name.as_str()) {
                sentence.clone()
            } else {
                format!("{name}: {sentence}")
            }
        };
        let mut suspicions: Vec<String> = suspicions.iter().map(named).collect();
        if let Some(last) = suspicions
            .last_mut()
            .filter(|_| !accepted && counts.rows > 0)
        {
            last.push_str(match (usable, counts.removed) {
                (true, 0) => NOT_BELIEVED,
                (true, _) => NO_OTHERS,
                (false, _) => NOTHING_USABLE,
            });
        }
        // What is withheld is said last.
        let quietly_kept = kept.is_some();
        let waits = held.is_some() && counts.withheld > 0 && !quietly_kept;
        let undecided = suspicions.last().filter(|_| waits).cloned();
        let asked = held.clone().filter(|_| waits);
        let remarks: BTreeMap<String, String> = remarks
            .iter()
            .map(|(kind, sentence)| (kind.clone(), named(sentence)))
            .collect();
        let unread_since = self.unread_since(&memory, &unread);
        let unread = shown(&unread);
        self.learn_blank(&mut memory, &evidence.header, blank);
        let now = Moment(self.sync.store.clock().now());
        // With a first load everything is new.
        let new = new.sentence(name).filter(|_| !memory.reads.is_empty());
        let whole = accepted && (counts.withheld == 0 || quietly_kept);
        memory.held = held;
        if accepted {
            memory.nameless = nameless;
            if !quietly_kept {
                memory.accepted(AcceptedRead::from(&evidence));
            }
            memory.had(&evidence.header, &drift);
            let expected = memory.header.clone();
            memory.samples.renew(samples, &expected);
            memory.had_places(places);
            memory.descriptions = descriptions;
        }
        if whole {
            memory.applied(delivery.clone());
        }
        let snapshot = whole && self.files.covers == Covers::All;
        if snapshot && let Some(held) = &in_quarantine {
            self.close_what_is_right_now(held).await?;
        }
        let snapshot_at = Moment(reading.snapshot_at());
        self.sync
            .store
            .change_feed(self.connector, |state| {
                memory.keep(state);
                state.suspicions.clone_from(&suspicions);
                state.undecided.clone_from(&undecided);
                if accepted {
                    state.kept.clone_from(&kept);
                }
                state.remark(&remarks);
                state.believe(accepted);
                state.unread.clone_from(&unread);
                if new.is_some() {
                    state.new.clone_from(&new);
                }
                state.lost.clone_from(&lost);
                if accepted {
                    state.columns_may_change &= !used_up;
                    state.succeeded_at = Some(now);
                }
                if snapshot {
                    state.snapshot_at = state.snapshot_at.max(Some(snapshot_at));
                }
            })
            .await?;
        if let Some(asked) = asked {
            self.tell_what_is_decided(&asked).await?;
        }
        let outcome = if accepted {
            FileOutcome::Applied
        } else {
            FileOutcome::Suspect
        };
        self.put_away(place, found, &delivery.sha256, accepted)
            .await?;
        let mut report = FileReport {
            name: name.clone(),
            outcome,
            counts,
            sentences: suspicions
                .into_iter()
                .chain(remarks.into_values())
                .chain(unread_since)
                .collect(),
        };
        self.tell(&report);
        report.sentences.extend(new);
        Ok(Step::Done(report))
    }

    /// What waits for a person may have been decided by now, or its source taken out of the configuration,
    /// and whoever did that found nothing yet to say it in.
    async fn tell_what_is_decided(&self, asked: &str) -> Result<(), RunError> {
        let store = &self.sync.store;
        let installation = self.sync.installations.current().await?;
        if !installation.config.has_source(self.connector) {
            store.withdraw_inbox(asked).await?;
        }
        Ok(store.tell_what_is_decided(asked).await?)
    }

    /// Closes what earlier files had in quarantine and a file that says everything no longer has. What
    /// there is no time for, the next file closes.
    async fn close_what_is_right_now(&self, held: &BTreeSet<String>) -> Result<(), RunError> {
        let store = &self.sync.store;
        let mended = store.held_besides(self.connector, held).await?;
        for some in mended.chunks(AT_ONCE) {
            let closing = some
                .iter()
                .map(|id| store.close_quarantined(id, "a later file no longer has it"));
            futures::future::try_join_all(closing).await?;
            if self.is_out_of_time() {
                break;
            }
        }
        Ok(())
    }

    async fn cover(&self, delivery: &Delivery, snapshot_at: Timestamp) -> Result<(), RunError> {
        let store = &self.sync.store;
        let event = format!("file:{}:covers", &delivery.sha256[..12]).parse();
        let event = event.map_err(|error: IdError| RunError::Settings(error.to_string()))?;
        let sources = &self.authority.quantities;
        store
            .cover(self.connector, snapshot_at, &event, sources)
            .await?;
        Ok(())
    }

    /// Takes nothing more from a file, and says so.
    pub(crate) async fn refuse(
        &self,
        place: &mut dyn FileSource,
        found: &Found,
        Refused {
            sha256,
            begun,
            lost,
        }: Refused<'_>,
        reason: String,
    ) -> Result<Step, RunError> {
        let reason = reason.trim_end_matches('.');
        let applied = match begun {
            false => "Nothing of it was applied",
            true => "Some of its rows had been applied before that, and stay so",
        };
        let sentence = format!("{}: {reason}. {applied}.", found.entry.name);
        self.sync
            .store
            .change_feed(self.connector, |state| {
                state.suspicions = vec![sentence.clone()];
                state.undecided = None;
                state.believe(false);
                if !lost.is_empty() {
                    let mut memory = Memory::of(state);
                    memory.lost = lost.to_vec();
                    memory.keep(state);
                }
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
    pub(crate) async fn set_aside(
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
            move_to(place, sidecar, &finished(name), now).await?;
        }
        move_to(place, &found.path, &finished(&found.entry.name), now).await?;
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
        // Not the sentences: they quote what the file says, which may be anybody's name.
        if !report.sentences.is_empty() {
            let sentences = report.sentences.len();
            tracing::warn!(connector = %self.connector, sentences, "the run's report has more to say of a file");
        }
        self.count(Metric::SyncRows, rows);
        self.count(Metric::SyncDrift, drift);
        let known = rows.saturating_sub(quarantined + added + drift);
        self.count(Metric::EventsDuplicate, known);
        self.count(Metric::EventsQuarantined, quarantined);
    }

    /// Counts what a part of a file has changed when it is applied: a file may take hours, and what an hour
    /// writes is measured against what it applies.
    pub(crate) fn count_applied(&self, before: &Counts, after: &Counts) {
        let applied = |counts: &Counts| counts.added + counts.drift + counts.removed;
        let more = applied(after).saturating_sub(applied(before));
        if more > 0 {
            self.count(Metric::EventsApplied, more);
        }
    }

    fn count(&self, metric: Metric, count: u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of rows are far below 2^53"
        )]
        let count = count as f64;
        let connector = [("Connector", self.connector.as_str())];
        self.sync.metrics.record(metric, count, &connector);
    }
}

/// Names of columns as people are told them: not all of very many.
fn shown(names: &[String]) -> String {
    let quoted = names.iter().map(|name| format!("{name:?}"));
    shorten(&quoted.collect::<Vec<_>>().join(", "), 200)
}

/// Moves a file where the place can. Where its name is taken, because the same content came before,
/// the time makes it another.
async fn move_to(
    place: &mut dyn FileSource,
    from: &str,
    to: &str,
    now: Timestamp,
) -> Result<Claimed, TransferError> {
    let moved = match place.rename(from, to).await {
        Err(error) if error.fault == Fault::Refused => {
            let timed = format!("{to}.{}", now.strftime("%Y%m%dT%H%M%S%.3f"));
            place.rename(from, &timed).await
        }
        moved => moved,
    };
    match moved {
        // Moved by a worker that died right after.
        Err(error) if error.fault == Fault::NotFound => Ok(Claimed::Yes),
        moved => moved,
    }
}
