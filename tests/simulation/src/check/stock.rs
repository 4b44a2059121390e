//! G3: the stock in the end is the model's. G4: along the way, nothing was promised that was not
//! there, and no vehicle stood in two places or was sold twice.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Findings, Guarantee, Scene, number, text};
use crate::model::{Place, Stock};
use crate::world::World;

/// The stock of each position and the units sold there, as the API shows them.
pub type Shown = BTreeMap<Place, (Option<Stock>, i64)>;

/// The stock of each position, after each change of it.
pub(super) fn along(scene: &Scene<'_>, found: &mut Findings) {
    let mut standing: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for change in scene.history.changes() {
        match change.kind.as_str() {
            "position" => {
                let (before, after) = (&change.before, &change.after);
                let (product, place) = (text(after, "product"), text(after, "location"));
                let Some((balance, promised)) = balance(after) else {
                    // Nothing is known to have been there.
                    standing.remove(&(product, place));
                    continue;
                };
                let more = number(after, "held") - number(before, "held");
                found.expect(Guarantee::G4, more <= 0 || promised <= balance, || {
                    format!(
                        "{more} more of {product} at {place} were promised: {promised} of {balance}"
                    )
                });
                if product.starts_with("line:") {
                    standing.insert((product, place), balance);
                }
            }
            // The last write of the transaction in which a vehicle moves: each is of its own line.
            "unit" => stands_once(&standing, found),
            _ => {}
        }
    }
    for (_, row) in scene.history.of_kind("ledger") {
        let after = &row.after["after"];
        if after["on_hand"].is_null() {
            continue;
        }
        let [on_hand, reserved, available] =
            ["on_hand", "reserved", "available"].map(|name| number(after, name));
        let holds = reserved <= on_hand && available == on_hand - reserved && on_hand >= 0;
        found.expect(Guarantee::G4, holds, || {
            format!("impossible quantities in the ledger: {}", row.after)
        });
    }
}

fn stands_once(standing: &BTreeMap<(&str, &str), i64>, found: &mut Findings) {
    let mut lines: BTreeMap<&str, i64> = BTreeMap::new();
    for ((line, _), there) in standing {
        *lines.entry(line).or_default() += there;
    }
    let holds = lines.values().all(|there| (0..=1).contains(there));
    found.expect(Guarantee::G4, holds, || {
        format!("one vehicle stands more than once: {standing:?}")
    });
}

/// What is there and what is promised, by what the item itself holds.
pub(super) fn balance(position: &Value) -> Option<(i64, i64)> {
    let holding = &position["holding"];
    let held = number(position, "held");
    if text(holding, "by") == "counted" {
        // How many there are of which nobody lists any more is not known.
        let none = number(holding, "on_hand") == 0 && number(holding, "incoming") == 0;
        if position["unlisted"] == true && none {
            return None;
        }
        return Some((
            number(holding, "on_hand"),
            number(holding, "reserved") + held,
        ));
    }
    let bases = holding["bases"].as_object()?;
    let stated = |source: &str| bases.get(source).filter(|base| base["ended"] != true);
    let at = |base: &Value| number(&base["version"], "at");
    let owner = ["shop", "till", "feed"]
        .iter()
        .find_map(|source| stated(source));
    let counted = stated("api").filter(|count| owner.is_none_or(|owner| at(count) >= at(owner)));
    let base = counted.or(owner)?;
    // A source's time in whole seconds is of any instant of its second.
    let at = match at(base) {
        second if counted.is_none() && second % 1_000 == 0 => second + 999,
        exact => exact,
    };
    let moves = holding["moves"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let moved: i64 = moves
        .iter()
        .filter(|it| it[0].as_i64() > Some(at))
        .filter_map(|it| it[1].as_i64())
        .sum();
    let level = &base["level"];
    Some((
        number(level, "on_hand") + number(base, "moved") + moved,
        number(level, "reserved") + held,
    ))
}

/// What the API shows of each position: its stock, and how much was sold.
pub(super) async fn shown(world: &World) -> Option<Shown> {
    let mut seen = BTreeMap::new();
    for position in &world.list("/api/v1/positions?").await? {
        let place = (
            text(position, "product").to_owned(),
            text(position, "location").to_owned(),
        );
        let stock = position["on_hand"].as_i64().map(|on_hand| Stock {
            on_hand,
            reserved: number(position, "reserved"),
            available: number(position, "available"),
            backordered: number(position, "backordered"),
        });
        let sold: i64 = position["sold_by_day"]
            .as_object()
            .into_iter()
            .flat_map(|days| days.values())
            .filter_map(Value::as_i64)
            .sum();
        seen.insert(place, (stock, sold));
    }
    Some(seen)
}

/// What is shown in the end, against the model.
pub(super) fn at_the_end(scene: &Scene<'_>, seen: &Shown, found: &mut Findings) {
    for (place, expected) in &scene.model.stock {
        let shown = seen.get(place).map(|(stock, _)| *stock);
        // Of what nobody states any more there need not be a position.
        let holds = shown == Some(*expected) || (shown.is_none() && expected.is_none());
        found.expect(Guarantee::G3, holds, || {
            format!("{place:?} should be {expected:?}, and is shown as {shown:?}")
        });
    }
    let mut sales: BTreeMap<&str, i64> = BTreeMap::new();
    for (place, (stock, sold)) in seen {
        // What nobody speaks of any more is none: a vehicle that left, a product the feed dropped.
        let known = scene.model.stock.contains_key(place);
        let none = stock.is_none_or(|stock| stock == Stock::default());
        found.expect(Guarantee::G3, known || none, || {
            format!("{place:?} is shown as {stock:?}, and nobody says so")
        });
        if place.0.starts_with("line:") {
            *sales.entry(&place.0).or_default() += sold;
        } else {
            let expected = scene.model.sold.get(place).copied().unwrap_or_default();
            found.expect(Guarantee::G2, *sold == expected, || {
                format!("{place:?}: {expected} were sold, {sold} are counted")
            });
        }
    }
    for (line, sold) in sales {
        let reported = scene.model.sales.get(line).copied().unwrap_or_default();
        found.expect(Guarantee::G4, sold <= reported, || {
            format!("{line}: {reported} sales were reported, {sold} are counted")
        });
    }
}
