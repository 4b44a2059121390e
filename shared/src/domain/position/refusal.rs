//! What of a change is not believed, and why one cannot be made.

use super::{MOST_UNITS, Position, Sources};
use crate::domain::event::Level;
use crate::domain::id::ConnectorName;

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// More was asked for than there is.
    #[error("{asked} units asked for, {available} available")]
    Insufficient {
        /// Units asked for.
        asked: i64,
        /// Units available.
        available: i64,
    },
    /// Nobody has said yet how much there is.
    #[error("the quantity is not known yet")]
    NoData,
    /// More given back than was promised.
    #[error("{asked} units to release, {held} held")]
    NotHeld {
        /// Units to release.
        asked: i64,
        /// Units held.
        held: i64,
    },
    /// The quantity is counted from vehicles and cannot be stated or moved by itself.
    #[error(
        "the stock of a model line is counted from its vehicles and cannot be stated or moved by hand; report the vehicles instead"
    )]
    Counted,
    /// The quantity is stated, so vehicles cannot be counted into it.
    #[error("this product's stock is stated by a source; its vehicles cannot be counted too")]
    Stated,
    /// A quantity that jumps further than is believed, such as a barcode in the wrong column.
    #[error(
        "{quantity} units at once are more than is believed (at most {most}: most_quantity_jump in [guards])"
    )]
    Jump {
        /// The quantity.
        quantity: i64,
        /// The most that is believed.
        most: i64,
    },
    /// A quantity that no yard holds, or one that must be positive and is not.
    #[error("{quantity} is not a possible number of units")]
    Impossible {
        /// The quantity.
        quantity: i64,
    },
}

impl Position {
    /// A source's statement without the optional quantities that are not believed, and what is wrong with
    /// those.
    pub fn believed(
        &self,
        source: &ConnectorName,
        level: &Level,
        sources: &Sources,
    ) -> (Level, Vec<(&'static str, Refusal)>) {
        let before = self.stated_by(source).map(|base| &base.level);
        let mut believed = level.clone();
        let mut left_out = Vec::new();
        for (name, quantity, before) in [
            (
                "reserved",
                &mut believed.reserved,
                before.and_then(|level| level.reserved),
            ),
            (
                "incoming",
                &mut believed.incoming,
                before.and_then(|level| level.incoming),
            ),
            (
                "unavailable",
                &mut believed.unavailable,
                before.and_then(|level| level.unavailable),
            ),
        ] {
            let Some(stated) = *quantity else { continue };
            let counted = match stated {
                0.. => within_a_jump(before.unwrap_or(0), stated, sources),
                quantity => Err(Refusal::Impossible { quantity }),
            };
            if let Err(refusal) = counted {
                *quantity = None;
                left_out.push((name, refusal));
            }
        }
        (believed, left_out)
    }
}

pub(super) fn possible(quantity: i64) -> Result<(), Refusal> {
    if (1..=MOST_UNITS).contains(&quantity) {
        Ok(())
    } else {
        Err(Refusal::Impossible { quantity })
    }
}

/// Whether a yard could hold, or owe, so many.
fn countable(quantity: i64) -> Result<(), Refusal> {
    if (-MOST_UNITS..=MOST_UNITS).contains(&quantity) {
        Ok(())
    } else {
        Err(Refusal::Impossible { quantity })
    }
}

/// Whether a quantity that was one number before may be stated to be another.
pub(super) fn within_a_jump(before: i64, stated: i64, sources: &Sources) -> Result<(), Refusal> {
    countable(stated)?;
    if stated > before {
        believable(stated - before, sources)
    } else if stated < 0 {
        believable(stated, sources)
    } else {
        Ok(())
    }
}

pub(in crate::domain) fn believable(quantity: i64, sources: &Sources) -> Result<(), Refusal> {
    match sources.most_jump {
        Some(most) if quantity.abs() > most => Err(Refusal::Jump { quantity, most }),
        _ => Ok(()),
    }
}
