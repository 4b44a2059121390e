//! The second reading of a file: rows that differ are applied in batches, each followed by a
//! checkpoint, and what is gone is removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::feeds::delimited::Reader;
use shared::feeds::row::Row;
use shared::store::StoreError;
use shared::store::quarantine::Quarantined;
use shared::store::runs::Counts;
use shared::store::stated::{Item, Stated};

use crate::apply::{Applier, Outcome, Repeats};
use crate::batch::NewRow;
use crate::examine::{ExamineError, TURN, key_of};
use crate::flaw::{BAD_ROW, Flaw, NOT_STOCKED, Tally};
use crate::listing::Kept;
use crate::memory::Delivery;
use crate::repeated::{Combined, Gathered, Part};
use crate::rows::{Reading, Statement};
use crate::run::{Feed, Record, RunError};
use crate::snapshot::{Met, Snapshot};
use crate::totals::Totals;

/// Rows applied between two checkpoints.
pub(crate) const BATCH: usize = 320;
/// Calls of the table at the same time, beside those that apply rows.
const AT_ONCE: usize = 8;
/// Entries of one file in quarantine; beyond that rows are only counted.
const QUARANTINED: u64 = 1_000;

/// Where a file that was not finished is taken up again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    delivery: Delivery,
    /// The last line that was applied.
    line: u64,
    /// What was counted up to there.
    pub(crate) counts: Counts,
    /// What could not be taken up to there.
    #[serde(default)]
    pub(crate) flaws: Tally,
    /// Entries in quarantine up to there.
    #[serde(default)]
    entries: u64,
    /// The SKUs and places that were new up to there.
    #[serde(default)]
    pub(crate) new: New,
    /// Removals that a person has approved have begun.
    pub(crate) removing: bool,
    /// The entries of the quarantine that the file has led to; unknown if it was taken up again.
    #[serde(skip)]
    pub(crate) held: Option<BTreeSet<String>>,
    /// How far the file was compared with what its source had stated, if that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compared: Option<Kept>,
}

/// How many of what is new are named.
const NAMED: usize = 5;

/// Products at places that a file has and its source never had before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct New {
    count: u64,
    named: Vec<String>,
}

impl New {
    fn add(&mut self, item: &Item) {
        // New vehicles come every day, and a VIN proves itself.
        let Item::Position { .. } = item else { return };
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(item.to_string());
        }
    }

    /// For people, if there is any.
    pub(crate) fn sentence(&self, file: &str) -> Option<String> {
        let count = match self.count {
            0 => return None,
            1 => "1 product that was".to_owned(),
            count => format!("{count} products that were"),
        };
        let more = match self.count.saturating_sub(self.named.len() as u64) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!(
            "{file} has {count} not there before: {}{more}. A misspelt SKU is a product of its own.",
            self.named.join(", ")
        ))
    }
}

/// What the second reading and the removals work with.
pub(crate) struct Pass<'a> {
    pub(crate) feed: &'a Feed<'a>,
    pub(crate) copy: &'a Path,
    pub(crate) file: &'a str,
    pub(crate) reading: &'a Reading<'a>,
    pub(crate) applier: Applier<'a>,
    /// A line that may have been cut, and is left alone.
    pub(crate) doubtful: Option<u64>,
    /// The file says something else of its products than the last one: also where a row's level is
    /// known, what it says of its product may not be.
    pub(crate) describes_anew: bool,
}

impl Pass<'_> {
    /// Applies the rows that differ, from where it stopped; `false` if time ran out.
    pub(crate) async fn rows(
        &self,
        snapshot: &mut Snapshot,
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<bool, RunError> {
        let file = File::open(self.copy)?;
        let reader = Reader::open(file, &self.feed.format).map_err(ExamineError::Feed)?;
        let applied_to = at.line;
        let mut batch = Batch::default();
        let mut gathered = Gathered::default();
        let mut totals = Totals::default();
        let mut before = applied_to;
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
                    let flaw = Flaw::new(None, BAD_ROW, format!("{}.", bad.why));
                    batch.flawed.push((line, bad.found, vec![flaw]));
                }
                Err(_) => {}
                Ok(row) => {
                    let statement = totals.statement(self.reading, &row);
                    // What a file of changes says of one item is applied in turn.
                    if self.applier.repeats == Repeats::EachOne && batch.speaks_of(&statement) {
                        let applied = self.flush(&mut batch, before, at, record).await;
                        if !self.in_time(applied)? {
                            return Ok(false);
                        }
                    }
                    self.sort(&row, statement, snapshot, &mut gathered, fresh, &mut batch);
                }
            }
            before = line;
            if batch.len() >= BATCH {
                let applied = self.flush(&mut batch, line, at, record).await;
                if !self.in_time(applied)? || self.feed.is_out_of_time() {
                    return Ok(false);
                }
            }
        }
        let applied = self.flush(&mut batch, u64::MAX, at, record).await;
        self.in_time(applied)
    }

    /// Whether it was done, and not given up for now because the table was busy until time ran out.
    fn in_time(&self, done: Result<(), RunError>) -> Result<bool, RunError> {
        match done {
            Ok(()) => Ok(true),
            Err(RunError::Store(error))
                if error.is_transient() && self.feed.is_out_of_patience() =>
            {
                tracing::warn!(connector = %self.feed.connector, %error, "a run pauses");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a row where it belongs: known, to be applied, or in quarantine.
    fn sort(
        &self,
        row: &Row,
        statement: Result<Statement, Flaw>,
        snapshot: &mut Snapshot,
        gathered: &mut Gathered,
        fresh: bool,
        batch: &mut Batch,
    ) {
        let line = row.line();
        let met = key_of(&statement).map(|key| (key, snapshot.meet(key)));
        let mut combined = None;
        if let Some((key, Met::OneOf(rows))) = met {
            let part = Part {
                line,
                text: text(row),
                statement: statement.as_ref().ok().cloned(),
            };
            combined = gathered.add(key, rows, part, self.reading.files.repeated);
        }
        if !fresh {
            return;
        }
        match (statement, met) {
            (Err(flaw), _) if flaw.reason == NOT_STOCKED => {}
            (Err(flaw), _) => batch.flawed.push((line, text(row), vec![flaw])),
            (Ok(statement), Some((key, met)))
                if met == Met::Differs
                    || met == Met::Known
                        && self.describes_anew
                        && statement.description.is_some() =>
            {
                batch.rows.push(NewRow {
                    line,
                    text: text(row),
                    statement,
                    listed: snapshot.is_listed(key),
                });
            }
            (Ok(statement), Some((_, Met::Known))) if !statement.flaws.is_empty() => {
                batch.flawed.push((line, text(row), statement.flaws));
            }
            (Ok(_), _) => {}
        }
        match combined {
            None => {}
            Some(Combined::One(one)) => {
                let (line, text, statement) = *one;
                batch.rows.push(NewRow {
                    listed: snapshot.is_listed(statement.key()),
                    line,
                    text,
                    statement,
                });
            }
            Some(Combined::Conflict(parts)) => {
                let held = parts.into_iter();
                batch
                    .flawed
                    .extend(held.map(|(part, flaw)| (part.line, part.text, vec![flaw])));
            }
        }
    }

    /// The entries for a row: one for all that is wrong with it, one for each word or name that nobody has
    /// explained, and one for each item whose rows contradict each other, however many rows have it. Of a
    /// kind that many rows have, one stands for the rest.
    fn held(
        &self,
        (line, content): (u64, &str),
        flaws: &[Flaw],
        before: &mut Tally,
    ) -> Vec<Quarantined> {
        let at = self.feed.sync.store.clock().now();
        let place = format!("{}:{line}", self.file);
        let entry = |reason, sentence: String| {
            let place = place.clone();
            Quarantined::new(self.feed.connector, at, place, content, (reason, sentence))
                .about(flaws.iter().find_map(Flaw::key))
        };
        let mut held = Vec::new();
        let (of_words, own): (Vec<_>, Vec<_>) =
            flaws.iter().partition(|flaw| flaw.word().is_some());
        if let Some(first) = own.first() {
            let sentences: Vec<&str> = own.iter().map(|flaw| flaw.sentence.as_str()).collect();
            let reasons: Vec<&str> = own.iter().map(|flaw| flaw.reason).collect();
            let about = first.known_by();
            let about = about.as_deref().unwrap_or(content);
            let known_by = [about, &reasons.join(" ")].join("\u{1f}");
            let sentence = sentences.join(" ");
            held.push(match before.rest(first.reason, &sentence) {
                None => entry(first.reason, sentence).known_by(&known_by),
                Some(rest) => entry(first.reason, rest).of_the_rest(),
            });
        }
        for flaw in of_words {
            let word = flaw.word().unwrap_or_default();
            let says = flaw.says().map(str::to_owned);
            let entry = entry(flaw.reason, flaw.sentence.clone()).known_by(word);
            held.push(entry.saying(says));
        }
        held
    }

    async fn flush(
        &self,
        batch: &mut Batch,
        line: u64,
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<(), RunError> {
        let Batch { rows, mut flawed } = std::mem::take(batch);
        let applied = self.applier.batch(&rows).await?;
        // Counted only once all of it is done: else the batch is applied and counted again.
        let mut done = at.clone();
        for (row, taken) in rows.into_iter().zip(applied) {
            let NewRow {
                line,
                text,
                statement,
                ..
            } = row;
            match taken.outcome {
                Outcome::Known => {}
                Outcome::Added => {
                    done.counts.added += 1;
                    done.new.add(&statement.item);
                }
                Outcome::Differed => {
                    done.counts.drift += 1;
                    done.counts.changed_at_source += u64::from(statement.dated_since);
                }
            }
            let mut flaws = statement.flaws;
            flaws.extend(taken.flaws);
            if !flaws.is_empty() {
                flawed.push((line, text, flaws));
            }
        }
        let room = QUARANTINED.saturating_sub(done.entries);
        done.counts.quarantined += flawed.len() as u64;
        let mut quarantine = Vec::new();
        for (line, text, flaws) in &flawed {
            quarantine.extend(self.held((*line, text), flaws, &mut done.flaws));
            flaws.iter().for_each(|flaw| done.flaws.add(*line, flaw));
        }
        quarantine.sort_by(|a, b| a.id.cmp(&b.id));
        quarantine.dedup_by(|next, first| {
            let same = next.id == first.id;
            if same {
                first.join(next);
            }
            same
        });
        if let Some(held) = &mut done.held {
            held.extend(quarantine.iter().map(|entry| entry.id.clone()));
        }
        done.entries += quarantine.len() as u64;
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
        done.line = line;
        record.keep(&self.feed.sync.store, &done).await?;
        self.feed.count_applied(&at.counts, &done.counts);
        *at = done;
        Ok(())
    }

    /// Removes what is gone; `false` if time ran out.
    pub(crate) async fn removals(
        &self,
        items: &[Item],
        at: &mut Checkpoint,
        record: &mut Record,
    ) -> Result<bool, RunError> {
        let store = &self.feed.sync.store;
        if !items.is_empty() {
            // So that a resumed run knows that a person has approved them, and compares anew: what is
            // removed is no longer on the list.
            at.compared = None;
            record.keep(store, at).await?;
        }
        let mut chunks = items.chunks(BATCH).peekable();
        while let Some(chunk) = chunks.next() {
            let removed = match self.applier.remove(chunk).await {
                Err(error) => {
                    return self.in_time(Err(error.into()));
                }
                Ok(removed) => removed,
            };
            let pending: Vec<_> = chunk
                .iter()
                .zip(&removed)
                .map(|(item, removed)| self.no_longer_missing(item, *removed))
                .collect();
            stream::iter(pending)
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<_>>()
                .await?;
            let before = at.counts;
            at.counts.removed += removed.iter().filter(|removed| **removed).count() as u64;
            record.keep(store, at).await?;
            self.feed.count_applied(&before, &at.counts);
            if chunks.peek().is_some() && self.feed.is_out_of_time() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes what is removed off the source's list. What is not has been stated by somebody since, so it
    /// begins anew.
    async fn no_longer_missing(&self, item: &Item, removed: bool) -> Result<(), StoreError> {
        let (store, source) = (&self.feed.sync.store, self.feed.connector);
        if removed {
            return store.forget_stated(source, item).await;
        }
        match store.stated_item(source, item).await? {
            None => Ok(()),
            Some(stated) => {
                let missing = None;
                let stated = Stated { missing, ..stated };
                store.save_stated(source, &[stated]).await
            }
        }
    }
}

#[derive(Default)]
struct Batch {
    /// Each row to be applied.
    rows: Vec<NewRow>,
    /// Line and text of each row of which something cannot be taken, and what.
    flawed: Vec<(u64, String, Vec<Flaw>)>,
}

impl Batch {
    fn len(&self) -> usize {
        self.rows.len() + self.flawed.len()
    }

    /// Whether a row of the same item waits to be applied.
    fn speaks_of(&self, statement: &Result<Statement, Flaw>) -> bool {
        let Ok(statement) = statement else {
            return false;
        };
        let mut rows = self.rows.iter();
        rows.any(|row| row.statement.item == statement.item)
    }
}

impl Checkpoint {
    /// The beginning of a file.
    pub(crate) fn start(delivery: &Delivery) -> Self {
        Self {
            delivery: delivery.clone(),
            line: 0,
            counts: Counts::default(),
            flaws: Tally::default(),
            entries: 0,
            new: New::default(),
            removing: false,
            held: Some(BTreeSet::new()),
            compared: None,
        }
    }

    /// As it is taken up again. Before the first row is applied, nothing of it is unknown.
    pub(crate) fn taken_up(self) -> Self {
        let unread = (self.line == 0).then(BTreeSet::new);
        Self {
            held: self.held.or(unread),
            ..self
        }
    }

    /// Whether rows were applied.
    pub(crate) fn has_begun(&self) -> bool {
        self.line > 0
    }

    /// Whether it belongs to this delivery.
    pub(crate) fn is_of(&self, delivery: &Delivery) -> bool {
        self.delivery == *delivery
    }
}

fn text(row: &Row) -> String {
    row.fields().collect::<Vec<_>>().join(",")
}
