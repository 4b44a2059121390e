//! Movements that are kept one by one, and those that are added up.

use jiff::SignedDuration;

use super::{Bases, Moves};

/// Movements kept apart, some 16 bytes each. Beyond that the oldest are added up: no unit is lost, but
/// a statement that is dated between two of them no longer tells them apart.
pub const MOST_MOVES: usize = 1_000;
/// So many are kept apart however old they are: a position of that size costs no more to write.
pub(super) const FEW_MOVES: usize = 32;
/// For how long more of them are kept apart, counted back from the newest that is known: for a statement
/// that comes late, or from a source first heard later.
const KEEP_APART: SignedDuration = SignedDuration::from_hours(48);

/// Adds up the movements that no statement will tell apart any more, because they are long past, or that
/// are too many. No unit is lost: what moved after a statement goes on counting on top of it.
pub(in crate::domain) fn tidy(bases: &mut Bases, moves: &mut Moves) {
    if moves.len() <= FEW_MOVES {
        return;
    }
    let stated = bases.values().map(|base| base.version.at.as_millisecond());
    let last_stated = stated.max();
    let newest = last_stated.max(moves.last().map(|(at, _)| *at));
    let Some(newest) = newest else { return };
    let apart_from = newest.saturating_sub(in_millis(KEEP_APART));
    // A source that was heard after a movement has it in its statement; for the others it is added to
    // `moved`.
    if last_stated.is_some_and(|at| at > apart_from) {
        let settled = moves.partition_point(|(at, _)| *at <= apart_from);
        for (at, delta) in moves.drain(..settled) {
            for base in bases.values_mut() {
                if base.version.at.as_millisecond() < at {
                    base.moved += delta;
                }
            }
        }
        return bound(bases, moves, 0);
    }
    let old = moves.partition_point(|(at, _)| *at <= apart_from);
    bound(bases, moves, old);
}

/// Adds neighbours up among the first `old` movements, and among all as long as there are too many,
/// except where a statement lies between the two.
fn bound(bases: &Bases, moves: &mut Moves, mut old: usize) {
    let mut first = 0;
    while first + 1 < moves.len() && (first + 1 < old || moves.len() > MOST_MOVES) {
        let ((from, delta), (until, _)) = (moves[first], moves[first + 1]);
        let between = from..until;
        let parted = bases
            .values()
            .any(|base| between.contains(&base.version.at.as_millisecond()));
        if parted {
            first += 1;
            continue;
        }
        moves[first + 1].1 += delta;
        moves.remove(first);
        old = old.saturating_sub(1);
    }
}

fn in_millis(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Adds a movement to those of one series, in the order of their times.
pub(in crate::domain) fn add_move(moves: &mut Moves, at: i64, delta: i64) {
    match moves.binary_search_by_key(&at, |(at, _)| *at) {
        Ok(found) => moves[found].1 += delta,
        Err(place) => moves.insert(place, (at, delta)),
    }
    moves.retain(|(_, delta)| *delta != 0);
}

/// Forgets whose the movements were that are long past, where there are many.
pub(super) fn forget(of_item: &mut Moves) {
    let Some((newest, _)) = of_item.last() else {
        return;
    };
    let apart_from = newest.saturating_sub(in_millis(KEEP_APART));
    let too_many = of_item.len().saturating_sub(FEW_MOVES);
    let settled = of_item.partition_point(|(at, _)| *at <= apart_from);
    of_item.drain(..settled.min(too_many));
    let most = of_item.len().saturating_sub(MOST_MOVES);
    of_item.drain(..most);
}
