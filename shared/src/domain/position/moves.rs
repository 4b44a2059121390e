//! Movements that are kept one by one, and those that are added up.

use jiff::SignedDuration;

use super::super::authority::API;
use super::{Base, Bases, Item, Moves, OfItems, holds_until};

/// Movements kept apart, some 16 bytes each. Beyond that the oldest are added up: no unit is lost, but
/// a statement that is dated between two of them no longer tells them apart.
pub const MOST_MOVES: usize = 1_000;
/// So many are kept apart however old they are: a position of that size costs no more to write.
pub(super) const FEW_MOVES: usize = 32;
/// For how long more of them are kept apart, counted back from the newest that is known: for a statement
/// that comes late, or from a source first heard later.
const KEEP_APART: SignedDuration = SignedDuration::from_hours(48);

/// Adds up the movements that no statement will tell apart any more, because they are long past, or that
/// are too many. No unit is lost: what moved after a statement goes on counting on top of it. Whose the
/// movements were is known for as long as they are kept apart.
pub(in crate::domain) fn tidy(
    bases: &mut Bases,
    counts: &mut [Base],
    moves: &mut Moves,
    of_items: &mut OfItems,
) {
    if moves.len() > FEW_MOVES {
        add_up(bases, counts, moves, of_items);
    }
    for own in of_items.values_mut() {
        let is_apart = |at: &i64| moves.binary_search_by_key(at, |(at, _)| *at).is_ok();
        own.retain(|(at, delta)| *delta != 0 && is_apart(at));
    }
    of_items.retain(|_, own| !own.is_empty());
    // Of movements that come to nothing together, one may be in an item's level and another not.
    let is_of_item = |at: &i64| {
        let mut own = of_items.values();
        own.any(|own| own.binary_search_by_key(at, |(at, _)| *at).is_ok())
    };
    moves.retain(|(at, delta)| *delta != 0 || is_of_item(at));
}

fn add_up(bases: &mut Bases, counts: &mut [Base], moves: &mut Moves, of_items: &mut OfItems) {
    let stated = (bases.iter()).map(|(source, base)| holds_until(source, base.version));
    let last_stated = stated.max();
    let newest = last_stated.max(moves.last().map(|(at, _)| *at));
    let Some(newest) = newest else { return };
    let apart_from = newest.saturating_sub(in_millis(KEEP_APART));
    // A source that was heard after a movement has it in its statement; for the others it is added to
    // `moved`.
    if last_stated.is_some_and(|at| at > apart_from) {
        // Which of them a sum has in it changes with each of its items.
        let sums = bases.iter();
        let sums = sums.filter_map(|(source, base)| Some(holds_until(source, base.oldest?)));
        let until = sums
            .min()
            .map_or(apart_from, |oldest| oldest.min(apart_from));
        let settled = moves.partition_point(|(at, _)| *at <= until);
        let names = counts.iter().chain(bases.values());
        let names = names.filter_map(|it| Some(it.of.as_ref()?.item.clone()));
        let names: Vec<_> = names.collect();
        // Where several counts are kept, what moved of the item of one is in no other.
        let of_others = |base: &Base, at: i64| {
            let own = base.of.as_ref().map(|of| &of.item);
            let others = names.iter().filter(|name| Some(*name) != own);
            let others = others.filter_map(|name| of_items.get(name)).flatten();
            let others = others.filter(|(then, _)| *then == at);
            others.map(|(_, delta)| delta).sum::<i64>()
        };
        for (at, delta) in moves.drain(..settled) {
            for (source, base) in bases.iter_mut() {
                if holds_until(source, base.since()) < at {
                    let apart = (source.as_str() == API).then(|| of_others(base, at));
                    base.moved += delta - apart.unwrap_or(0);
                }
            }
            for count in counts.iter_mut() {
                if count.version.at.as_millisecond() < at {
                    count.moved += delta - of_others(count, at);
                }
            }
        }
    }
    let old = moves.partition_point(|(at, _)| *at <= apart_from);
    bound(bases, counts, moves, of_items, old);
}

/// Adds neighbours up among the first `old` movements, and among all as long as there are too many,
/// except where a statement lies between the two.
fn bound(
    bases: &Bases,
    counts: &[Base],
    moves: &mut Moves,
    of_items: &mut OfItems,
    mut old: usize,
) {
    let counted = counts.iter().map(|count| count.version.at.as_millisecond());
    let stated: Vec<i64> = (bases.iter())
        .flat_map(|(source, base)| {
            let items = base.items.values().filter(|_| base.oldest.is_some());
            let items = items.filter_map(Item::live).map(|(version, _)| version);
            let versions = std::iter::once(base.version).chain(items);
            versions.map(|version| holds_until(source, version))
        })
        .chain(counted)
        .collect();
    let mut first = 0;
    while first + 1 < moves.len() && (first + 1 < old || moves.len() > MOST_MOVES) {
        let ((from, delta), (until, _)) = (moves[first], moves[first + 1]);
        if stated.iter().any(|at| (from..until).contains(at)) {
            first += 1;
            continue;
        }
        moves[first + 1].1 += delta;
        moves.remove(first);
        old = old.saturating_sub(1);
        for own in of_items.values_mut() {
            if let Ok(found) = own.binary_search_by_key(&from, |(at, _)| *at) {
                let (_, delta) = own.remove(found);
                add_move(own, until, delta);
            }
        }
    }
}

fn in_millis(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Adds a movement to those of one series, in the order of their times. What comes to nothing is
/// forgotten by [`tidy`].
pub(in crate::domain) fn add_move(moves: &mut Moves, at: i64, delta: i64) {
    match moves.binary_search_by_key(&at, |(at, _)| *at) {
        Ok(found) => moves[found].1 += delta,
        Err(place) => moves.insert(place, (at, delta)),
    }
}
