//! Was the whole file read? Pure: evidence and expectations in, proof or suspicions out.
//!
//! Only a complete read may let absence mean removal. What can be told:
//!
//! - A checksum, a done marker, a closing count or gzip's own trailer settle it.
//! - Without any of them, a file cut inside a row shows by how it ends: without its line end,
//!   with half of one, or with a row that does not fit.
//! - A file that ends in NUL bytes has lost its end, whatever its size says.
//! - What a source always does is its habit: after two reads that were whole but for the way their
//!   last line ends, the third is believed.
//! - **What nothing can tell:** a plain file without sidecar, marker or count, cut exactly at the
//!   end of a row, and still within `minimum_share` of its past size. Such a read comes out
//!   complete, so absence in one read alone must not remove anything: whoever applies it has to
//!   wait for absence in several complete reads (the tombstone grace). The same holds for what
//!   stands in a bad row: it is absent from the rows although it was in the file.
//!
//! A size announced by the transport proves the download, not the upload: a listing taken while
//! the sender is still writing announces the size of the part. It is checked, but settles nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::evidence::{Ending, Evidence, FeedError, Gzip, Trailer};

/// What is remembered of an accepted read, to measure the next one against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRead {
    /// Readable rows.
    pub rows: u64,
    /// Bytes of unpacked text.
    pub text_bytes: u64,
    /// How the text ended.
    pub ending: Ending,
}

impl From<&Evidence> for AcceptedRead {
    fn from(evidence: &Evidence) -> Self {
        Self {
            rows: evidence.rows,
            text_bytes: evidence.text_bytes,
            ending: evidence.ending,
        }
    }
}

/// What the world outside the file says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectations {
    /// Hex SHA-256 from a sidecar file.
    pub sha256: Option<String>,
    /// Size the transport announced (`stat`, `Content-Length`).
    pub size: Option<u64>,
    /// Row count from a done marker.
    pub done_rows: Option<u64>,
    /// Accepted reads of this feed, in any order; a handful is enough.
    pub history: Vec<AcceptedRead>,
    /// Share of the median of `history` below which a read is held, in rows and in bytes.
    pub minimum_share: f64,
    /// Whether a feed without rows is believable.
    pub zero_rows: bool,
    /// Rows, bad ones included, that say nothing that can be used.
    pub unusable_rows: u64,
    /// Those of them that are about a place which this feed is not read for, and do not count.
    pub elsewhere_rows: u64,
    /// Share of all rows that must be usable.
    pub minimum_usable: f64,
    /// Whether the last line has a line end; unset, it is learnt.
    pub final_newline: Option<bool>,
    /// How the latest reads ended that were whole but for their ending.
    pub habit: Option<Habit>,
}

/// How a feed has been ending its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Habit {
    /// The ending.
    pub ending: Ending,
    /// How many reads in a row had it.
    pub reads: u32,
}

impl Habit {
    /// Earlier reads with the same ending after which it is how the feed ends.
    const ENOUGH: u32 = 2;

    /// The habit after one more read.
    pub fn after(before: Option<Self>, ending: Ending) -> Self {
        match before {
            Some(habit) if habit.ending == ending => Self {
                ending,
                reads: habit.reads.saturating_add(1),
            },
            _ => Self { ending, reads: 1 },
        }
    }
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            sha256: None,
            size: None,
            done_rows: None,
            history: Vec::new(),
            minimum_share: 0.7,
            zero_rows: false,
            unusable_rows: 0,
            elsewhere_rows: 0,
            minimum_usable: 0.0,
            final_newline: None,
            habit: None,
        }
    }
}

/// Whether a read may be believed.
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// Nothing speaks against it.
    Complete,
    /// It removes nothing until a person has looked.
    Suspect {
        /// Everything that speaks against it.
        reasons: Vec<Suspicion>,
    },
}

impl Proof {
    /// Whether nothing but how the last line ends speaks against it.
    pub fn only_the_ending(&self) -> bool {
        use Suspicion as S;
        match self {
            Self::Complete => true,
            Self::Suspect { reasons } => reasons.iter().all(|reason| {
                matches!(
                    reason,
                    S::NoFinalNewline | S::HalfNewline | S::NewlineAppeared
                )
            }),
        }
    }
}

/// One thing that speaks against a read; its display is a sentence.
#[derive(Debug, Clone, PartialEq)]
pub enum Suspicion {
    /// Reading stopped early.
    Stopped(FeedError),
    /// The gzip stream did not end as it should.
    Gzip,
    /// The sidecar's checksum is another.
    Checksum {
        /// From the sidecar.
        expected: String,
        /// Of what was read.
        found: String,
    },
    /// The transport announced another size.
    Size {
        /// Announced.
        expected: u64,
        /// Read.
        found: u64,
    },
    /// A done marker or closing count names another number of rows.
    RowCount {
        /// Which of the two.
        source: &'static str,
        /// Announced.
        expected: u64,
        /// Read, bad ones included.
        found: u64,
    },
    /// The format has a closing count and the file none.
    TrailerMissing,
    /// Rows follow the closing count.
    RowsAfterTrailer(u64),
    /// The last row does not fit and has no line end.
    CutRow,
    /// The last line has no line end, and nothing says that this is how the feed ends.
    NoFinalNewline,
    /// The last line ends in CR where the others end in CR LF.
    HalfNewline,
    /// The feed never ended with a line end before; now it does.
    NewlineAppeared,
    /// The file ends in bytes that are no text.
    NotText,
    /// Too many rows say nothing that can be used.
    Unusable {
        /// Rows that do not.
        unusable: u64,
        /// All rows.
        rows: u64,
    },
    /// No rows.
    NoRows,
    /// Fewer rows than it should have.
    FewRows {
        /// Read.
        found: u64,
        /// Median of the accepted reads.
        median: u64,
    },
    /// Less text than it should have.
    FewBytes {
        /// Read.
        found: u64,
        /// Median of the accepted reads.
        median: u64,
    },
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(error) => write!(f, "Reading stopped early: {error}."),
            Self::Gzip => f.write_str("The gzip stream does not end with a valid CRC and length."),
            Self::Checksum { expected, found } => write!(
                f,
                "The checksum file says {expected}, the file has {found}."
            ),
            Self::Size { expected, found } => {
                write!(f, "{expected} bytes were announced, {found} arrived.")
            }
            Self::RowCount {
                source,
                expected,
                found,
            } => write!(
                f,
                "The {source} counts {expected} rows, the file has {found}."
            ),
            Self::TrailerMissing => f.write_str(
                "The closing line with the row count is missing, which `format.trailer` asks for.",
            ),
            Self::RowsAfterTrailer(rows) => {
                write!(f, "{rows} rows follow the closing line with the row count.")
            }
            Self::CutRow => f.write_str("The last row is incomplete."),
            Self::NoFinalNewline => f.write_str(
                "The last line does not end with a line end, so it may be cut. If this source always writes so, \
                 set final_newline = false in its format; of a source that never wrote otherwise it is learnt \
                 after three such files in a row, each with other content.",
            ),
            Self::HalfNewline => f.write_str("The last line ends with half a line end."),
            Self::NewlineAppeared => f.write_str(
                "The last line ends with a line end, which this feed never had. If it is to stay so, set \
                 final_newline = true in its format; it is learnt after three such files in a row, each with \
                 other content.",
            ),
            Self::NotText => f.write_str(
                "The file ends in NUL bytes: the rest of it never arrived, or its disk lost it.",
            ),
            Self::Unusable { unusable, rows } => {
                write!(
                    f,
                    "{unusable} of {rows} rows cannot be used; `min_usable_percent` says how many must."
                )
            }
            Self::NoRows => f.write_str(
                "The file has no rows. If there may be none, set `min_rows_percent` to 0.",
            ),
            Self::FewRows { found, median } => {
                write!(f, "{found} rows where {median} are usual.")
            }
            Self::FewBytes { found, median } => {
                write!(f, "{found} bytes of text where {median} are usual.")
            }
        }
    }
}

/// Weighs what a read showed against what is known from outside.
pub fn prove(evidence: &Evidence, expectations: &Expectations) -> Proof {
    let mut reasons = Vec::new();
    if let Some(error) = &evidence.stopped {
        reasons.push(Suspicion::Stopped(error.clone()));
    }
    let settled = settle(evidence, expectations, &mut reasons);
    if evidence.ending == Ending::NotText {
        reasons.push(Suspicion::NotText);
    } else if !settled {
        judge_ending(evidence, expectations, &mut reasons);
    }
    let (unusable, rows) = (
        expectations.unusable_rows,
        evidence.rows + evidence.bad_rows,
    );
    let (elsewhere, usable) = (expectations.elsewhere_rows, rows - unusable.min(rows));
    let counted = rows - elsewhere.min(rows);
    let none = elsewhere > 0 && usable == 0;
    if none || (usable as f64) < expectations.minimum_usable * (counted as f64) {
        reasons.push(Suspicion::Unusable { unusable, rows });
    }
    if evidence.rows == 0 && !expectations.zero_rows {
        reasons.push(Suspicion::NoRows);
    }
    judge_size(evidence, expectations, &mut reasons);
    if reasons.is_empty() {
        Proof::Complete
    } else {
        Proof::Suspect { reasons }
    }
}

/// Checks whatever announces the content itself; true if one of them vouches for the end.
fn settle(evidence: &Evidence, expectations: &Expectations, reasons: &mut Vec<Suspicion>) -> bool {
    let mut settled = false;
    if let Some(expected) = &expectations.sha256 {
        let found = evidence
            .sha256
            .as_deref()
            .unwrap_or("none: not read to the end");
        if expected.eq_ignore_ascii_case(found) {
            settled = true;
        } else {
            reasons.push(Suspicion::Checksum {
                expected: expected.clone(),
                found: found.to_owned(),
            });
        }
    }
    match evidence.gzip {
        Gzip::No => {}
        Gzip::Complete => settled = true,
        Gzip::Incomplete | Gzip::Corrupt => reasons.push(Suspicion::Gzip),
    }
    if let Some(expected) = expectations.size
        && expected != evidence.raw_bytes
    {
        reasons.push(Suspicion::Size {
            expected,
            found: evidence.raw_bytes,
        });
    }
    let found = evidence.rows + evidence.bad_rows;
    let mut counted = |source, expected, vouches: bool| {
        if expected == found {
            settled |= vouches;
        } else {
            reasons.push(Suspicion::RowCount {
                source,
                expected,
                found,
            });
        }
    };
    if let Some(expected) = expectations.done_rows {
        // The count is right even if the last row lost its last characters.
        counted("done marker", expected, false);
    }
    match evidence.trailer {
        Trailer::NotDeclared => {}
        Trailer::Missing => reasons.push(Suspicion::TrailerMissing),
        Trailer::Found { rows, rows_after } => {
            // Whatever stands before the closing line was delivered.
            counted("closing line", rows, rows_after == 0);
            if rows_after > 0 {
                reasons.push(Suspicion::RowsAfterTrailer(rows_after));
            }
        }
    }
    settled
}

fn judge_ending(evidence: &Evidence, expectations: &Expectations, reasons: &mut Vec<Suspicion>) {
    let Expectations {
        history,
        final_newline,
        habit,
        ..
    } = expectations;
    let always_bare = !history.is_empty() && history.iter().all(|read| read.ending == Ending::Bare);
    // Of a source that ends its lines each file without an end may be cut, however many come.
    let may_be_cut = evidence.ending != Ending::Newline
        && history.iter().any(|read| read.ending == Ending::Newline);
    let learnt = final_newline.is_none()
        && !may_be_cut
        && habit
            .is_some_and(|habit| habit.ending == evidence.ending && habit.reads >= Habit::ENOUGH);
    let bare = match final_newline {
        Some(ends) => !ends,
        None => always_bare || learnt,
    };
    match evidence.ending {
        Ending::Bare if evidence.last_row_bad => reasons.push(Suspicion::CutRow),
        Ending::Bare if !bare => reasons.push(Suspicion::NoFinalNewline),
        Ending::HalfNewline if !learnt => reasons.push(Suspicion::HalfNewline),
        Ending::Newline if always_bare && final_newline.is_none() && !learnt => {
            reasons.push(Suspicion::NewlineAppeared);
        }
        Ending::Bare | Ending::HalfNewline | Ending::Newline | Ending::NotText | Ending::Empty => {}
    }
}

fn judge_size(evidence: &Evidence, expectations: &Expectations, reasons: &mut Vec<Suspicion>) {
    let share = expectations.minimum_share;
    let few = |found: u64, median: u64| (found as f64) < share * (median as f64);
    let history = &expectations.history;
    if let Some(median) = median(history.iter().map(|read| read.rows))
        && few(evidence.rows, median)
    {
        reasons.push(Suspicion::FewRows {
            found: evidence.rows,
            median,
        });
    }
    if let Some(median) = median(history.iter().map(|read| read.text_bytes))
        && few(evidence.text_bytes, median)
    {
        reasons.push(Suspicion::FewBytes {
            found: evidence.text_bytes,
            median,
        });
    }
}

/// The middle value; of two, the upper, which holds more.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
