//! A shop renames its variants while they are ordered and counted, and another system states the same SKUs:
//! what is there in the end is a matter of what was said, and not of what was heard first.
//!
//! Each case says what is told, by the senders' own seconds, and what is right after it.

use std::collections::BTreeMap;

use ingest::Selection;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::domain::event::{Change, Level, StockEvent, Version};
use shared::store::keys;
use shared::store::quarantine::HeldState;

use super::{DEDUCT, orders_of};
use crate::shopify::{ITEM, OTHER_ITEM, Shop, level, order, product};

const NORTH: i64 = 1;
const SOUTH: i64 = 2;
/// Of more things than this not every order of arrival is tried, unless `ARRIVALS` says of how many all are.
const ALL_ORDERS: usize = 4;
const SOME_ORDERS: usize = 40;
/// The same where `ARRIVALS` is set.
const MANY_ORDERS: usize = 200;
/// How far apart what is told at one time and the next are in number.
const STEP: i64 = 10;

/// What is told, by the shop or by somebody else. Each time that it is told it is of other things.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// How much the shop has of a variant.
    Has(i64, i64, i64, i64),
    /// The SKU of a variant, which is a product of its own.
    Is(i64, &'static str, i64),
    /// An order as it is since then, and how much of it is left.
    Ordered(Order, &'static str, i64, i64),
    /// So many of an order come back to a place.
    Refunded(Order, i64, i64, i64),
    /// Another system states a SKU.
    States(&'static str, &'static str, i64, i64),
    /// A till sells some of a SKU in the north.
    Sells(&'static str, i64, i64),
}

/// On hand and sold, by SKU and place.
type Stock = BTreeMap<(String, String), (Option<i64>, i64)>;

fn instant(second: i64) -> Timestamp {
    let nine: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    nine + SignedDuration::from_secs(second)
}

fn clock(second: i64) -> String {
    instant(second).strftime("%H:%M:%S").to_string()
}

fn has(item: i64, place: i64, units: i64, second: i64) -> Told {
    Told::Has(item, place, units, second)
}

fn is(item: i64, sku: &'static str, second: i64) -> Told {
    Told::Is(item, sku, second)
}

fn states(sku: &'static str, place: &'static str, units: i64, second: i64) -> Told {
    Told::States(sku, place, units, second)
}

fn sells(sku: &'static str, units: i64, second: i64) -> Told {
    Told::Sells(sku, units, second)
}

/// An order of a variant, as that was called then.
#[derive(Debug, Clone, Copy)]
struct Order {
    id: i64,
    item: i64,
    sku: &'static str,
    place: i64,
    units: i64,
    second: i64,
}

fn ordered(id: i64, item: i64, sku: &'static str, units: i64, second: i64) -> Order {
    Order {
        id,
        item,
        sku,
        place: NORTH,
        units,
        second,
    }
}

impl Order {
    fn at(self, place: i64) -> Self {
        Self { place, ..self }
    }

    fn placed(self) -> Told {
        Told::Ordered(self, "orders/create", self.units, self.second)
    }

    /// An edit leaves so many of it.
    fn edited(self, current: i64, second: i64) -> Told {
        Told::Ordered(self, "orders/updated", current, second)
    }

    fn cancelled(self, second: i64) -> Told {
        Told::Ordered(self, "orders/cancelled", 0, second)
    }

    /// Some of it come back to a place.
    fn refunded(self, units: i64, place: i64, second: i64) -> Told {
        Told::Refunded(self, units, place, second)
    }

    fn body(self, topic: &str, current: i64, second: i64, time: i64) -> Value {
        let cancelled = topic == "orders/cancelled";
        let mut body = order(&clock(second), current, cancelled, &[]);
        for key in ["created_at", "processed_at"] {
            body[key] = json!(instant(self.second).to_string());
        }
        body["id"] = json!(900 + self.id + STEP * time);
        body["location_id"] = json!(self.place);
        self.fill(&mut body["line_items"][0], time);
        body["line_items"][0]["quantity"] = json!(self.units);
        body
    }

    fn fill(self, line: &mut Value, time: i64) {
        line["id"] = json!(9_000 + self.id + STEP * time);
        line["sku"] = json!(named(self.sku, time));
        line["variant_id"] = json!(self.item + 1_000 + STEP * time);
    }

    fn back(self, units: i64, place: i64, second: i64, time: i64) -> Value {
        let mut body = super::refund("return", units, Some(place));
        for key in ["created_at", "processed_at"] {
            body[key] = json!(instant(second).to_string());
        }
        body["id"] = json!(300 + self.id + STEP * time);
        body["order_id"] = json!(900 + self.id + STEP * time);
        let line = &mut body["refund_line_items"][0];
        line["id"] = json!(3_000 + self.id + STEP * time);
        line["line_item_id"] = json!(9_000 + self.id + STEP * time);
        self.fill(&mut line["line_item"], time);
        body
    }
}

/// What a SKU is called this time.
fn named(sku: &str, time: i64) -> String {
    format!("{sku}-{time}")
}

impl Told {
    fn is_of_others(&self) -> bool {
        matches!(self, Self::States(..) | Self::Sells(..))
    }

    async fn is_heard(self, shop: &Shop, time: i64) {
        let (topic, body) = match self {
            Self::Has(item, place, units, second) => {
                let body = level(item + STEP * time, place, units, &clock(second));
                ("inventory_levels/update", body)
            }
            Self::Is(item, sku, second) => {
                let item = item + STEP * time;
                let variants = [(item, named(sku, time))];
                let variants = variants.each_ref().map(|(item, sku)| (*item, sku.as_str()));
                let mut body = product("active", &clock(second), &variants);
                body["id"] = json!(item);
                ("products/update", body)
            }
            Self::Ordered(order, topic, current, second) => {
                (topic, order.body(topic, current, second, time))
            }
            Self::Refunded(order, units, place, second) => {
                ("refunds/create", order.back(units, place, second, time))
            }
            Self::States(sku, place, units, second) => {
                let change = Change::LevelSet {
                    called: None,
                    product: named(sku, time).parse().unwrap(),
                    location: place.parse().unwrap(),
                    level: Level {
                        on_hand: units,
                        ..Level::default()
                    },
                    version: Version::at(instant(second)),
                };
                return happens(shop, "t2", second, time, change).await;
            }
            Self::Sells(sku, units, second) => {
                let change = Change::Sold {
                    product: named(sku, time).parse().unwrap(),
                    location: "north".parse().unwrap(),
                    quantity: units,
                    deducts: true,
                    called: None,
                };
                return happens(shop, "till", second, time, change).await;
            }
        };
        shop.hears(topic, &body).await;
    }
}

async fn happens(shop: &Shop, source: &str, second: i64, time: i64, change: Change) {
    let event = StockEvent {
        id: format!("{source}-{second}-{time}").parse().unwrap(),
        source: source.parse().unwrap(),
        at: instant(second),
        actor: None,
        change,
    };
    let authority = Default::default();
    shop.store.apply(&event, &authority).await.unwrap();
}

async fn open(setting: &str) -> Shop {
    let changed = format!("{}\n{setting}", DEDUCT.1);
    Shop::open(&[(DEDUCT.0, &changed)]).await
}

/// Everything that is there, by time; what ledgers say of it is the same.
async fn found(shop: &Shop) -> BTreeMap<i64, Stock> {
    let mut all: BTreeMap<i64, Stock> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = shop.store.positions(cursor.as_deref(), 100).await.unwrap();
        for position in page.items {
            let on_hand = position.stock(&Default::default()).map(|it| it.on_hand);
            let sold: i64 = position.sold.values().sum();
            let (sku, place) = (&position.product, &position.location);
            let of = keys::position_history(sku, place);
            let head = shop.store.ledger_row(&of, position.revision).await.unwrap();
            let head = head.unwrap();
            assert_eq!(head.hash, position.chain, "{of}");
            let says = |key: &str| head.after.get(key).and_then(Value::as_i64);
            let claim = (says("on_hand"), says("sold").unwrap_or(0));
            assert_eq!(claim, (on_hand, sold), "the ledger of {of}");
            if (on_hand, sold) != (None, 0) {
                let (sku, time) = sku.as_str().split_once('-').unwrap();
                let place = (sku.to_owned(), place.to_string());
                let stock = all.entry(time.parse().unwrap()).or_default();
                stock.insert(place, (on_hand, sold));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

async fn replay(shop: &Shop) {
    let all = Selection::Between {
        from: None,
        until: None,
    };
    let (connector, mut cursor) = ("shop".parse().unwrap(), None);
    loop {
        let replayed = shop.ingest.replay(&connector, &all, cursor.as_deref());
        cursor = replayed.await.unwrap().next;
        if cursor.is_none() {
            return;
        }
    }
}

/// In which orders so many things are heard; of many some orders.
fn arrivals(count: usize) -> Vec<Vec<usize>> {
    let asked = std::env::var("ARRIVALS").ok().map(|it| it.parse().unwrap());
    if count <= asked.unwrap_or(ALL_ORDERS) {
        return orders_of(count);
    }
    let some = if asked.is_some() {
        MANY_ORDERS
    } else {
        SOME_ORDERS
    };
    let dice = Chance::seeded(11);
    let shuffled = |_| {
        let mut order: Vec<_> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, below(&dice, last + 1));
        }
        order
    };
    (0..some).map(shuffled).collect()
}

fn below(dice: &Chance, most: usize) -> usize {
    usize::try_from(dice.bits() % u64::try_from(most).unwrap()).unwrap()
}

/// What is told in an order of arrival, and what is right.
struct Case {
    told: Vec<Told>,
    right: Stock,
}

/// Hears each of them, one after the other in one shop, and says which come to something else.
async fn wrong_of(setting: &str, cases: &[Case]) -> Vec<String> {
    let shop = Box::pin(open(setting)).await;
    for (time, case) in (0..).zip(cases) {
        for told in [is(ITEM, "A", -3_600), is(OTHER_ITEM, "B", -3_600)] {
            told.is_heard(&shop, time).await;
        }
        for told in &case.told {
            told.is_heard(&shop, time).await;
        }
    }
    shop.ticks().await;
    let mut wrong = Vec::new();
    for again in [false, true] {
        if again {
            replay(&shop).await;
            for (time, case) in (0..).zip(cases) {
                for told in case.told.iter().filter(|it| it.is_of_others()) {
                    told.is_heard(&shop, time).await;
                }
            }
            shop.ticks().await;
        }
        let mut found = found(&shop).await;
        for (time, case) in (0..).zip(cases) {
            let is = found.remove(&time).unwrap_or_default();
            if is != case.right {
                let (right, told) = (&case.right, &case.told);
                wrong.push(format!(
                    "{is:?} is not {right:?} (replayed: {again}):\n  {told:?}"
                ));
            }
        }
    }
    let held = shop.held(HeldState::Open).await;
    wrong.extend(held.iter().map(|held| format!("{held:?}")));
    wrong
}

/// In whichever order it is heard, and what of it twice, this is right.
async fn comes_to(setting: &str, told: &[Told], right: &[(&str, &str, Option<i64>, i64)]) {
    let right = right.iter().map(|(sku, place, on_hand, sold)| {
        let place = ((*sku).to_owned(), (*place).to_owned());
        (place, (*on_hand, *sold))
    });
    let right: Stock = right.collect();
    let mut cases = Vec::new();
    for (number, order) in arrivals(told.len()).into_iter().enumerate() {
        // One of them once more: right after it, in the end, or in between.
        let mut twice = order.clone();
        let again = number % order.len();
        let room = order.len() - again;
        twice.insert(again + 1 + number / order.len() % room, order[again]);
        for order in [order, twice] {
            let told = order.iter().map(|index| told[*index]).collect();
            let right = right.clone();
            cases.push(Case { told, right });
        }
    }
    let wrong = Box::pin(wrong_of(setting, &cases)).await;
    let some: Vec<_> = wrong.iter().take(8).cloned().collect();
    let (count, of) = (wrong.len(), 2 * cases.len());
    assert!(
        count == 0,
        "{count} of {of} are wrong:\n{}",
        some.join("\n")
    );
}

#[tokio::test(start_paused = true)]
async fn what_another_system_states_is_its_own_and_the_orders_of_a_variant_go_with_that() {
    let told = [
        states("A", "south", 31, 19),
        has(ITEM, SOUTH, 30, 20),
        ordered(1, ITEM, "A", 2, 56).at(SOUTH).placed(),
        is(ITEM, "C", 85),
    ];
    let right = [("A", "south", Some(31), 0), ("C", "south", Some(28), 2)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn the_orders_of_a_variant_go_with_it_where_the_shop_does_not_state_it() {
    let told = [
        states("A", "south", 31, 19),
        ordered(1, ITEM, "A", 2, 56).at(SOUTH).placed(),
        is(ITEM, "C", 85),
    ];
    let right = [("A", "south", Some(31), 0), ("C", "south", None, 2)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_sale_is_of_the_variant_that_had_the_sku_when_it_was_sold() {
    let told = [
        has(ITEM, NORTH, 56, 51),
        is(ITEM, "C", 105),
        sells("C", 3, 172),
        is(OTHER_ITEM, "C", 248),
        has(OTHER_ITEM, NORTH, 47, 289),
    ];
    let right = [("C", "north", Some(56 - 3 + 47), 3)];
    comes_to("same_sku = \"sum\"", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn variants_that_pass_a_sku_on_keep_their_levels_whatever_was_ordered_before() {
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(OTHER_ITEM, NORTH, 60, 6),
        ordered(1, ITEM, "A", 2, 10).placed(),
        ordered(2, OTHER_ITEM, "B", 3, 20).placed(),
        is(ITEM, "C", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", Some(57), 3), ("C", "north", Some(48), 2)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_system_states_stays_with_a_sku_that_another_variant_takes() {
    let told = [
        ordered(1, ITEM, "A", 2, 10).placed(),
        is(ITEM, "C", 30),
        is(OTHER_ITEM, "A", 40),
        states("A", "north", 31, 7),
        has(OTHER_ITEM, NORTH, 60, 6),
    ];
    let right = [("A", "north", Some(31), 0), ("C", "north", None, 2)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn variants_that_exchange_their_skus_keep_their_levels_whatever_was_ordered_before() {
    let told = [
        has(ITEM, NORTH, 50, 50),
        has(OTHER_ITEM, NORTH, 60, 60),
        ordered(1, ITEM, "A", 2, 10).placed(),
        ordered(2, OTHER_ITEM, "B", 3, 70).placed(),
        is(ITEM, "B", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", Some(57), 3), ("B", "north", Some(50), 2)];
    for setting in ["", "same_sku = \"sum\""] {
        comes_to(setting, &told, &right).await;
    }
}

#[tokio::test(start_paused = true)]
async fn demand_is_of_the_variant_where_two_exchange_their_skus_and_nobody_states_them() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        first.placed(),
        first.edited(3, 50),
        ordered(2, OTHER_ITEM, "B", 5, 15).placed(),
        is(ITEM, "B", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", None, 5), ("B", "north", None, 3)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn an_edited_order_is_of_its_variant_where_two_exchange_their_skus() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(OTHER_ITEM, NORTH, 20, 6),
        first.placed(),
        first.edited(3, 50),
        is(ITEM, "B", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", Some(20), 0), ("B", "north", Some(47), 3)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn an_edited_order_is_of_its_variant_where_another_system_states_the_sku_it_names() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        states("A", "north", 31, 5),
        first.placed(),
        is(ITEM, "C", 30),
        first.edited(3, 50),
        has(ITEM, NORTH, 40, 20),
    ];
    let right = [("A", "north", Some(31), 0), ("C", "north", Some(41), 3)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_is_renamed_twice_has_all_its_orders() {
    let told = [
        has(ITEM, NORTH, 50, 5),
        ordered(1, ITEM, "A", 2, 10).placed(),
        is(ITEM, "C", 20),
        ordered(2, ITEM, "C", 3, 25).placed(),
        is(ITEM, "D", 30),
    ];
    comes_to("", &told, &[("D", "north", Some(45), 5)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_is_renamed_and_back_has_the_orders_of_between() {
    let told = [
        states("A", "north", 31, 1),
        has(ITEM, NORTH, 50, 5),
        is(ITEM, "C", 20),
        ordered(2, ITEM, "C", 3, 25).placed(),
        is(ITEM, "A", 30),
    ];
    comes_to("", &told, &[("A", "north", Some(47), 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn two_variants_that_are_merged_on_one_sku_are_one_stock_with_all_orders() {
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(OTHER_ITEM, NORTH, 20, 16),
        ordered(1, ITEM, "A", 2, 10).placed(),
        ordered(2, OTHER_ITEM, "B", 3, 12).placed(),
        is(ITEM, "M", 20),
        is(OTHER_ITEM, "M", 25),
    ];
    let right = [("M", "north", Some(48 + 20), 5)];
    comes_to("same_sku = \"sum\"", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_order_of_a_renamed_variant_is_back_with_that() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        states("A", "north", 31, 7),
        has(ITEM, NORTH, 50, 8),
        first.placed(),
        is(ITEM, "C", 20),
        first.cancelled(30),
    ];
    let right = [("A", "north", Some(31), 0), ("C", "north", Some(50), 0)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_refund_of_a_renamed_variant_is_back_with_that_at_another_place() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(ITEM, SOUTH, 10, 5),
        first.placed(),
        is(ITEM, "C", 20),
        first.refunded(1, SOUTH, 30),
    ];
    let right = [("C", "north", Some(46), 3), ("C", "south", Some(11), 0)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn all_of_it_at_once_comes_to_the_same() {
    let first = ordered(1, ITEM, "A", 2, 56);
    let told = [
        states("A", "north", 31, 19),
        has(ITEM, NORTH, 30, 20),
        has(OTHER_ITEM, NORTH, 70, 21),
        first.placed(),
        ordered(2, OTHER_ITEM, "B", 5, 57).placed(),
        is(ITEM, "B", 85),
        is(OTHER_ITEM, "A", 95),
        first.edited(1, 100),
    ];
    let right = [("A", "north", Some(65), 5), ("B", "north", Some(29), 1)];
    comes_to("", &told, &right).await;
}

/// What the shop has of a variant in the end.
#[derive(Default)]
struct Variant {
    sku: &'static str,
    counted: Option<(i64, i64)>,
    moved: Vec<(i64, i64)>,
    sold: i64,
}

/// A morning of two variants and a system that states SKUs before them: what is told, and what is right.
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
    for _ in 0..1 + below(&dice, 2) {
        second += 1;
        let sku = skus[below(&dice, skus.len())];
        told.push(states(sku, "north", 30 + second, second));
        stated.insert(sku, (second, 30 + second));
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
    let seeds = match std::env::var("MORNINGS") {
        Ok(count) => count.parse().unwrap(),
        Err(_) => 40,
    };
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
