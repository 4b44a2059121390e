//! G1 and G2: what was acknowledged against the ledger and the quarantine.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Findings, Guarantee, Scene, text};
use crate::fakes::Told;
use crate::said::Said;

/// The ledger rows of each event: by source and name, whose history each is in.
type Effects<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a str>>;

/// How the names of events begin that state something of a shop's item.
const OF_AN_ITEM: [&str; 3] = ["level/", "product/", "item/"];

pub(super) fn check(scene: &Scene<'_>, told: &[Told], found: &mut Findings) {
    let mut effects: Effects<'_> = BTreeMap::new();
    for (_, row) in scene.history.of_kind("ledger") {
        let row = &row.after;
        // What is said of an item again may bring what has become known of it since: no effect on stock.
        let of_an_item = OF_AN_ITEM
            .iter()
            .any(|kind| text(row, "event").starts_with(kind));
        if of_an_item && row["before"] == row["after"] {
            continue;
        }
        let event = (text(row, "source"), text(row, "event"));
        effects.entry(event).or_default().push(text(row, "of"));
    }
    for ((source, event), of) in &effects {
        let mut once = of.clone();
        once.sort_unstable();
        once.dedup();
        found.expect(Guarantee::G2, once.len() == of.len(), || {
            format!("event {event} of {source} has more than one effect: {of:?}")
        });
    }
    let held: Vec<_> = scene
        .history
        .now("quarantine")
        .map(|it| &it.after)
        // What closed itself was applied after all, and has its effect.
        .filter(|held| text(held, "state") == "open")
        .collect();
    for one in told {
        let place = |held: &&&Value| {
            let received = one.received.as_deref();
            received.is_some_and(|id| text(held, "where").starts_with(id))
        };
        let here = held.iter().filter(place).count();
        // A level of an item waits until somebody says what the item is: one entry for all of them.
        let nameless = one.said.iter().find_map(|said| match said {
            Said::Item { item, .. } if scene.model.nameless.contains(item) => Some(*item),
            _ => None,
        });
        if let Some(item) = nameless {
            let entries = held.iter().filter(|held| awaits(held, item)).count();
            found.expect(
                Guarantee::G1,
                one.acknowledged.is_none() || entries == 1,
                || {
                    format!(
                        "{} was acknowledged, nobody says what item {item} is, and {entries} entries in \
                         quarantine are open for it",
                        one.name
                    )
                },
            );
            continue;
        }
        if one.said.contains(&Said::Unusable) {
            found.expect(
                Guarantee::G1,
                one.acknowledged.is_none() || here > 0,
                || {
                    format!(
                        "{} was acknowledged, is unusable, and not open in quarantine",
                        one.name
                    )
                },
            );
            continue;
        }
        let remarkable = one.said.contains(&Said::Remarkable) && one.acknowledged.is_some();
        found.expect(Guarantee::G1, (here > 0) == remarkable, || {
            format!(
                "{} has {here} open entries in quarantine: {:?}",
                one.name, one.said
            )
        });
        for said in &one.said {
            has_its_effect(one, said, &effects, found);
        }
    }
}

/// Whether an entry of the quarantine is open until somebody says what an item is.
fn awaits(held: &Value, item: u64) -> bool {
    let row: Value = serde_json::from_str(text(held, "row")).unwrap_or_default();
    text(held, "reason") == "unknown_product" && row["inventory_item_id"] == item
}

fn has_its_effect(one: &Told, said: &Said, effects: &Effects<'_>, found: &mut Findings) {
    let Some(event) = said.event() else { return };
    let of = effects.get(&event).map(Vec::as_slice).unwrap_or_default();
    match said {
        Said::Moved { sku, place, .. }
        | Said::Sold { sku, place, .. }
        | Said::Promised { sku, place, .. } => {
            let history = format!("position {sku} {place}");
            let rows = of.iter().filter(|of| **of == history).count();
            if one.acknowledged.is_some() {
                found.expect(Guarantee::G1, rows > 0, || {
                    format!(
                        "{} was acknowledged after {} tries, and event {event:?} left no row in the \
                         ledger of {history}",
                        one.name, one.tries
                    )
                });
            }
            if one.refused.is_some() {
                found.expect(Guarantee::G2, rows == 0, || {
                    format!("{} was refused, and changed {history}", one.name)
                });
            }
        }
        // An older word than the last changes nothing; what it comes to is the model's to say.
        _ => {}
    }
}
