//! The first reading of a file: nothing is applied, everything is counted, and what the file says is
//! kept in 24 bytes a row. Only then is it known how far it may be believed.

use std::fs::File;
use std::path::Path;

use shared::feeds::complete::{Proof, Suspicion};
use shared::feeds::delimited::Reader;
use shared::feeds::evidence::{Evidence, FeedError};
use shared::feeds::format::FeedFormat;
use shared::feeds::header::Header;

use crate::rows::{NO_DATA, Reading, unusable};
use crate::said::Sayable;
use crate::snapshot::{ItemKey, Said, Snapshot};

/// Rows read before other tasks get their turn: some ten milliseconds' worth.
pub(crate) const TURN: usize = 1_024;

/// What one reading showed.
#[derive(Debug)]
pub(crate) struct Examined {
    /// What speaks for and against completeness.
    pub(crate) evidence: Evidence,
    /// What the file says, by item.
    pub(crate) snapshot: Snapshot,
    /// Which facts it can say.
    pub(crate) sayable: Sayable,
    /// Rows that do not even tell what they are about: anything absent may be one of them.
    pub(crate) nameless: u64,
    /// Rows without a quantity, and the line of the first.
    pub(crate) without_quantity: Option<(u64, u64)>,
    /// Line of the last readable row.
    pub(crate) last_line: u64,
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

/// Reads the whole file. `refuse` says why a header cannot be taken.
pub(crate) async fn examine(
    path: &Path,
    format: &FeedFormat,
    reading: &Reading<'_>,
    refuse: impl Fn(&Header) -> Option<String>,
) -> Result<Examined, ExamineError> {
    let mut reader = Reader::open(File::open(path)?, format)?;
    let reason = unusable(reader.header()).map(str::to_owned);
    if let Some(reason) = reason.or_else(|| refuse(reader.header())) {
        return Err(ExamineError::Columns(reason));
    }
    let sayable = Sayable::by(reader.header());
    let mut snapshot = Snapshot::default();
    let (mut nameless, mut without_quantity, mut last_line) = (0, None, 0);
    for (count, row) in reader.by_ref().enumerate() {
        if count % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        let Ok(row) = row else {
            nameless += 1;
            continue;
        };
        last_line = row.line();
        match reading.statement(&row) {
            Ok(statement) => snapshot.push(statement.key(), statement.said()),
            Err(flaw) => {
                if flaw.reason == NO_DATA {
                    let (rows, _) = without_quantity.get_or_insert((0, row.line()));
                    *rows += 1;
                }
                match flaw.item {
                    // The item is there, whatever the row was to say of it.
                    Some(item) => snapshot.push(ItemKey::of(&item), Said::default()),
                    None => nameless += 1,
                }
            }
        }
    }
    snapshot.seal();
    Ok(Examined {
        evidence: reader.finish(),
        snapshot,
        sayable,
        nameless,
        without_quantity,
        last_line,
    })
}

/// How far a file is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// All of it, and what it lacks is missing.
    Whole,
    /// What it says; but it is much smaller than usual, so what it lacks is for a person to judge.
    Thin,
    /// What it says, but for a last row that may be cut; what it lacks means nothing.
    Cut {
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
    } else if any(is_cut) {
        Trust::Cut {
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
        | S::NoFinalNewline
        | S::HalfNewline
        | S::NewlineAppeared
        | S::NoRows
        | S::FewRows { .. }
        | S::FewBytes { .. } => false,
    }
}

fn is_cut(reason: &Suspicion) -> bool {
    use Suspicion as S;
    matches!(
        reason,
        S::CutRow | S::NoFinalNewline | S::HalfNewline | S::NewlineAppeared
    )
}
