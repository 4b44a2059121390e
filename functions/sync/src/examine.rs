//! The first reading of a file: nothing is applied, everything is counted, and what the file says is
//! kept in 24 bytes a row. Only then is it known how far it may be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use shared::config::connector::{Covers, Repeated};
use shared::feeds::complete::{Proof, Suspicion};
use shared::feeds::delimited::Reader;
use shared::feeds::evidence::{Evidence, FeedError};
use shared::feeds::format::FeedFormat;
use shared::feeds::header::Header;
use shared::feeds::row::{Cell, Row};
use shared::feeds::samples::{self, Samples};
use shared::feeds::value;
use shared::store::stated::Item;

use crate::flaw::{Flaw, NOT_STOCKED, TOTAL, UNKNOWN_LOCATION};
use crate::repeated::{Combined, Gathered, Part};
use crate::rows::{Reading, Statement, place_of, unusable};
use crate::said::Sayable;
use crate::snapshot::{ItemKey, Said, Snapshot};
use crate::totals::Totals;

/// Rows read before other tasks get their turn: some ten milliseconds' worth.
pub(crate) const TURN: usize = 1_024;

/// Names of places of one file that are told apart.
const PLACES: usize = 1_000;

/// What one reading showed.
#[derive(Debug)]
pub(crate) struct Examined {
    /// What speaks for and against completeness.
    pub(crate) evidence: Evidence,
    /// What stands in its columns.
    pub(crate) samples: Samples,
    /// What the file says, by item.
    pub(crate) snapshot: Snapshot,
    /// Which facts it can say.
    pub(crate) sayable: Sayable,
    /// Rows that do not even tell what they are about: something absent may be one of them.
    pub(crate) nameless: Nameless,
    /// Rows that say nothing that can be used.
    pub(crate) unusable: u64,
    /// A column that looks like a vehicle's state and is not read.
    pub(crate) unread_state: Option<String>,
    /// A column that holds names of places and is not read, where no other tells the place.
    pub(crate) unread_place: Option<String>,
    /// What it says of its products, as a number.
    pub(crate) descriptions: u64,
    /// The names of places that usable rows have.
    pub(crate) places: BTreeSet<String>,
    /// How many rows have a place that is not in the connector's list, by its name.
    pub(crate) unlisted: BTreeMap<String, u64>,
    /// Our columns that the file has and no row has a value in.
    pub(crate) blank: BTreeSet<String>,
    /// The names of its columns that are not read.
    pub(crate) unread: Vec<String>,
    /// Line of the last readable row.
    pub(crate) last_line: u64,
    /// What it is about.
    pub(crate) last_key: Option<ItemKey>,
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExamineError {
    /// The downloaded copy.
    #[error("read the downloaded copy: {0}")]
    Copy(#[from] std::io::Error),
    /// The file itself.
    #[error("{0}")]
    Feed(#[from] FeedError),
    /// Its columns.
    #[error("{0}")]
    Columns(String),
}

/// Reads the whole file. `refuse` says why a header cannot be taken, given why
/// there is nothing in it that can be used, if so.
pub(crate) async fn examine(
    path: &Path,
    format: &FeedFormat,
    reading: &Reading<'_>,
    refuse: impl Fn(&Header, &Samples, Option<String>) -> Option<String>,
) -> Result<Examined, ExamineError> {
    let first = Reader::open(File::open(path)?, format)?.take(samples::ROWS);
    let first: Vec<_> = first.filter_map(Result::ok).collect();
    let samples = Samples::of(&first);
    let mut reader = Reader::open(File::open(path)?, format)?;
    if let Some(reason) = refuse(reader.header(), &samples, unusable(reader.header())) {
        return Err(ExamineError::Columns(reason));
    }
    let sayable = Sayable::by(reader.header());
    let unread_state = reader.header().unread_state().map(str::to_owned);
    let unread_place = unread_place(reader.header(), &first, reading);
    let unread = reader.header().unread().map(str::to_owned).collect();
    let mut blank: BTreeSet<_> = reader.header().columns().map(str::to_owned).collect();
    let mut snapshot = match reading.files.covers {
        Covers::All => Snapshot::default(),
        Covers::Changes => Snapshot::of_changes(),
    };
    let (mut places, mut unlisted) = (BTreeSet::new(), BTreeMap::new());
    let mut descriptions = 0_u64;
    let mut nameless = Nameless::default();
    let mut totals = Totals::default();
    let (mut flawed, mut last_line, mut last_key) = (0, 0, None);
    for (count, row) in reader.by_ref().enumerate() {
        if count % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        let row = match row {
            Ok(row) => row,
            Err(bad) => {
                flawed += 1;
                nameless.add(&bad.found);
                continue;
            }
        };
        (last_line, last_key) = (row.line(), None);
        blank.retain(|column| !matches!(row.text(column), Cell::Value(text) if !text.is_empty()));
        match totals.statement(reading, &row) {
            Ok(statement) => {
                let is_known = |flaw: &Flaw| flaw.reason != UNKNOWN_LOCATION;
                if let Some(place) = place_of(&row).filter(|_| statement.flaws.iter().all(is_known))
                    && !places.contains(&*place)
                    && places.len() < PLACES
                {
                    places.insert(place.into_owned());
                }
                descriptions = descriptions.wrapping_add(statement.described());
                let key = statement.key();
                last_key = Some(key);
                snapshot.push(key, statement.said());
            }
            // As good as no row: what was kept there before is missing, and in time removed.
            Err(flaw) if [NOT_STOCKED, TOTAL].contains(&flaw.reason) => {}
            Err(flaw) => {
                flawed += 1;
                if let Some(place) = flaw
                    .word()
                    .map(str::to_owned)
                    .filter(|_| flaw.reason == UNKNOWN_LOCATION)
                    && (unlisted.contains_key(&place) || unlisted.len() < PLACES)
                {
                    *unlisted.entry(place).or_default() += 1;
                }
                match flaw.item {
                    // The item is there, whatever the row was to say of it.
                    Some(item) => snapshot.push(ItemKey::of(&item), Said::default()),
                    None => nameless.add(&row.fields().collect::<Vec<_>>().join(",")),
                }
            }
        }
    }
    snapshot.seal(reading.files.repeated == Repeated::Sum);
    if snapshot.has_repeated() {
        flawed += contradicting(path, format, reading, &mut snapshot).await?;
    }
    Ok(Examined {
        evidence: reader.finish(),
        samples,
        snapshot,
        sayable,
        nameless,
        unusable: flawed,
        unread_state,
        unread_place,
        descriptions,
        places,
        unlisted,
        blank,
        unread,
        last_line,
        last_key,
    })
}

/// A column that nobody reads and in which each value is a place's name, if a row's place is told by nothing
/// else.
fn unread_place(header: &Header, first: &[Row], reading: &Reading<'_>) -> Option<String> {
    let mut told = ["location", "dealer_id"].into_iter();
    if told.any(|column| header.position(column).is_some()) || reading.only_place().is_some() {
        return None;
    }
    let names_places = |name: &&str| {
        let cells = first.iter().filter_map(|row| row.named(name).value());
        let mut named = cells.filter(|cell| !cell.is_empty()).peekable();
        named.peek().is_some() && named.all(|cell| reading.is_place(cell))
    };
    header.unread().find(names_places).map(str::to_owned)
}

/// Rows that contradict others of their item, which takes another look at those that are repeated.
async fn contradicting(
    path: &Path,
    format: &FeedFormat,
    reading: &Reading<'_>,
    snapshot: &mut Snapshot,
) -> Result<u64, ExamineError> {
    let mut gathered = Gathered::default();
    let mut totals = Totals::default();
    let mut rows = 0;
    for (count, row) in Reader::open(File::open(path)?, format)?.enumerate() {
        if count % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        let Ok(row) = row else { continue };
        let statement = totals.statement(reading, &row);
        let Some(key) = key_of(&statement) else {
            continue;
        };
        if let Some(all) = snapshot.rows_of(key) {
            let part = Part {
                line: row.line(),
                text: String::new(),
                statement: statement.ok(),
            };
            if let Some(Combined::Conflict(parts)) =
                gathered.add(key, all, part, reading.files.repeated)
            {
                snapshot.leave_unsaid(key);
                // Those that cannot be read are counted already.
                let read = parts.iter().filter(|(part, _)| part.statement.is_some());
                rows += read.count() as u64;
            }
        }
    }
    Ok(rows)
}

/// What a row is about, as far as that could be read.
pub(crate) fn key_of(statement: &Result<Statement, Flaw>) -> Option<ItemKey> {
    match statement {
        Ok(statement) => Some(statement.key()),
        Err(flaw) if flaw.reason == NOT_STOCKED => None,
        Err(flaw) => flaw.item.as_ref().map(ItemKey::of),
    }
}

/// Rows that do not tell what they are about.
#[derive(Debug, Default)]
pub(crate) struct Nameless {
    /// How many there are.
    pub(crate) count: u64,
    /// The texts of the first of them.
    texts: Vec<String>,
}

/// Texts of nameless rows that are kept.
const NAMELESS: usize = 1_000;
/// Characters that a part of a VIN must have to be known for one.
const PART_OF_VIN: usize = 8;

impl Nameless {
    fn add(&mut self, text: &str) {
        self.count += 1;
        if self.texts.len() < NAMELESS {
            self.texts.push(text.chars().take(400).collect());
        }
    }

    /// Takes out of `absent` what one of these rows is about, as far as its text shows, and counts the
    /// rows that may be about anything.
    pub(crate) fn explain(&self, absent: &mut Vec<Item>) -> (Vec<Item>, u64) {
        let mut unexplained = self.count - self.texts.len() as u64;
        let mut explained = Vec::new();
        for text in &self.texts {
            let before = explained.len();
            explained.extend(absent.extract_if(.., |item| mentions(text, item)));
            unexplained += u64::from(explained.len() == before);
        }
        (explained, unexplained)
    }
}

/// Whether a row that cannot be read speaks of an item.
fn mentions(text: &str, item: &Item) -> bool {
    match item {
        Item::Position { product, .. } => {
            let name = product.to_string();
            let plain = value::key(text);
            let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            plain.match_indices(&name).any(|(at, _)| {
                boundary(plain[..at].chars().next_back())
                    && boundary(plain[at + name.len()..].chars().next())
            })
        }
        Item::Unit { vin } => {
            let upper = value::key(text).to_uppercase();
            let mut words = upper.split(|c: char| !c.is_alphanumeric());
            words.any(|word| {
                word.contains(vin.as_str())
                    || (word.len() >= PART_OF_VIN && vin.as_str().contains(word))
            })
        }
    }
}

/// How far a file is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// All of it, and what it lacks is missing.
    Whole,
    /// What it says; but it is much smaller than usual, so what it lacks is for a person to judge.
    Thin,
    /// What it says, but for a last row that may be cut; what it lacks means nothing, because it is cut
    /// or too little of it can be used.
    Partial {
        /// Whether the last row may have lost its end.
        doubt_last_row: bool,
    },
    /// Nothing.
    Damaged,
}

/// Weighs the suspicions.
pub(crate) fn trust(proof: &Proof) -> Trust {
    let Proof::Suspect { reasons } = proof else {
        return Trust::Whole;
    };
    let any = |is: fn(&Suspicion) -> bool| reasons.iter().any(is);
    if any(is_damage) {
        Trust::Damaged
    } else if any(is_partial) {
        Trust::Partial {
            doubt_last_row: any(|reason| matches!(reason, Suspicion::NoFinalNewline)),
        }
    } else {
        Trust::Thin
    }
}

/// The content is not what its sender counted or sealed.
fn is_damage(reason: &Suspicion) -> bool {
    use Suspicion as S;
    match reason {
        S::Stopped(_)
        | S::Gzip
        | S::Checksum { .. }
        | S::Size { .. }
        | S::RowCount { .. }
        | S::TrailerMissing
        | S::RowsAfterTrailer(_) => true,
        S::CutRow
        | S::NotText
        | S::Unusable { .. }
        | S::NoFinalNewline
        | S::HalfNewline
        | S::NewlineAppeared
        | S::NoRows
        | S::FewRows { .. }
        | S::FewBytes { .. } => false,
    }
}

fn is_partial(reason: &Suspicion) -> bool {
    use Suspicion as S;
    matches!(
        reason,
        S::CutRow
            | S::NotText
            | S::Unusable { .. }
            | S::NoFinalNewline
            | S::HalfNewline
            | S::NewlineAppeared
    )
}
