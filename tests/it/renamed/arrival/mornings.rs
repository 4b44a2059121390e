//! Mornings by chance, against a model of what is right.

use std::collections::BTreeMap;

use shared::chance::Chance;
use shared::config::environment;

use super::{Case, NORTH, Order, Stock, Told, below, has, is, ordered, states, wrong_of};
use crate::shopify::{ITEM, OTHER_ITEM};

/// What the shop has of a variant in the end.
#[derive(Default)]
struct Variant {
    sku: &'static str,
    counted: Option<(i64, i64)>,
    moved: Vec<(i64, i64)>,
    sold: i64,
}

/// A morning of two variants that a shop counts, and a system that states SKUs before them: what is told, and
/// what is right.
fn morning(seed: u64, is_summed: bool) -> (Vec<Told>, Stock) {
    let dice = Chance::seeded(seed);
    let skus = ["A", "B", "C", "D"];
    let (mut told, mut stated) = (Vec::new(), BTreeMap::new());
    let items = [ITEM, OTHER_ITEM];
    let mut variants = ["A", "B"].map(|sku| Variant {
        sku,
        ..Variant::default()
    });
    let mut second = 0;
    for _ in 0..=below(&dice, 2) {
        second += 1;
        let sku = skus[below(&dice, skus.len())];
        told.push(states(sku, "north", 30 + second, second));
        stated.insert(sku, (second, 30 + second));
    }
    for (item, variant) in items.iter().zip(&mut variants) {
        second += 1;
        told.push(has(*item, NORTH, 50 + second, second));
        variant.counted = Some((second, 50 + second));
    }
    let mut orders = Vec::new();
    for _ in 0..4 + below(&dice, 4) {
        second += 10;
        let which = below(&dice, 2);
        let (item, other) = (items[which], variants[1 - which].sku);
        match below(&dice, 6) {
            0 => {
                let units = 50 + second;
                told.push(has(item, NORTH, units, second));
                variants[which].counted = Some((second, units));
            }
            1 | 2 => {
                let sku = skus[below(&dice, skus.len())];
                if is_summed || sku != other {
                    variants[which].sku = sku;
                    told.push(is(item, sku, second));
                }
            }
            3 if !orders.is_empty() => {
                let (order, which): (Order, usize) = orders[below(&dice, orders.len())];
                if variants[which]
                    .moved
                    .iter()
                    .any(|(at, _)| *at == order.second + 5)
                {
                    continue;
                }
                // An edit soon after it.
                told.push(order.edited(order.units - 1, order.second + 5));
                variants[which].moved.push((order.second + 5, 1));
                variants[which].sold -= 1;
            }
            _ => {
                let id = i64::try_from(orders.len()).unwrap() + 1;
                let order = ordered(id, item, variants[which].sku, 1 + id, second);
                told.push(order.placed());
                variants[which].moved.push((second, -order.units));
                variants[which].sold += order.units;
                orders.push((order, which));
            }
        }
    }
    let mut right = Stock::new();
    for sku in skus {
        let here = || variants.iter().filter(|it| it.sku == sku);
        let since = |it: &Variant, then: i64| {
            let moved = it.moved.iter().filter(|(at, _)| *at > then);
            moved.map(|(_, units)| units).sum::<i64>()
        };
        let counted = here().filter_map(|it| {
            let (at, units) = it.counted?;
            Some(units + since(it, at))
        });
        let counted: Vec<_> = counted.collect();
        // What the shop does not state is in what is stated there.
        let first = here().filter_map(|it| it.counted).min();
        let first = first.or(stated.get(sku).copied());
        let others = here().filter(|it| it.counted.is_none());
        let others = first.map(|(at, _)| others.map(|it| since(it, at)).sum::<i64>());
        let of_sku = stated.get(sku).map_or(0, |(_, units)| *units);
        let on_hand = others.map(|others| match counted.is_empty() {
            true => of_sku + others,
            false => counted.iter().sum::<i64>() + others,
        });
        let sold = here().map(|it| it.sold).sum();
        if (on_hand, sold) != (None, 0) {
            let place = (sku.to_owned(), "north".to_owned());
            right.insert(place, (on_hand.map(|it| it.max(0)), sold));
        }
    }
    (told, right)
}

#[tokio::test(start_paused = true)]
async fn whatever_a_morning_brings_comes_to_the_same_in_any_order() {
    let seeds = environment::process("MORNINGS").map_or(5, |count| count.parse().unwrap());
    let mut wrong = Vec::new();
    for (is_summed, setting) in [(false, ""), (true, "same_sku = \"sum\"")] {
        let mut cases = Vec::new();
        for seed in 0..seeds {
            let (told, right) = morning(seed, is_summed);
            let dice = Chance::seeded(seed + 1);
            for _ in 0..3 {
                let mut told = told.clone();
                for last in (1..told.len()).rev() {
                    told.swap(last, below(&dice, last + 1));
                }
                told.push(told[below(&dice, told.len())]);
                let right = right.clone();
                cases.push(Case { told, right });
            }
        }
        wrong.extend(Box::pin(wrong_of(setting, &cases)).await);
    }
    let some: Vec<_> = wrong.iter().take(20).cloned().collect();
    let count = wrong.len();
    assert!(count == 0, "{count} are wrong:\n{}", some.join("\n"));
}
