//! A shop renames its variants while they are ordered and counted, and another system states the same SKUs:
//! what is there in the end is a matter of what was said, and not of what was heard first.
//!
//! Each case says what is told, by the senders' own seconds, and what is right after it.

mod cases;
mod counted;
mod mornings;

use std::collections::BTreeMap;

use ingest::Selection;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::domain::authority::API;
use shared::domain::event::{Change, Level, MoveReason, StockEvent, Version};
use shared::installation::Installations;
use shared::store::keys;
use shared::store::quarantine::HeldState;

use super::{DEDUCT, below, orders_of};
use crate::shopify::{ITEM, OTHER_ITEM, Shop, level, order, product};

const NORTH: i64 = 1;
const SOUTH: i64 = 2;
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
    /// A person counts a SKU in the north.
    Counts(&'static str, i64, i64),
    /// A till adds or takes away some of a SKU in the north that it has not sold.
    Adjusts(&'static str, i64, i64),
    /// The inventory item of a variant has a webhook of its own.
    IsAlone(i64, &'static str, i64),
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

const fn has(item: i64, place: i64, units: i64, second: i64) -> Told {
    Told::Has(item, place, units, second)
}

const fn is(item: i64, sku: &'static str, second: i64) -> Told {
    Told::Is(item, sku, second)
}

fn states(sku: &'static str, place: &'static str, units: i64, second: i64) -> Told {
    Told::States(sku, place, units, second)
}

fn sells(sku: &'static str, units: i64, second: i64) -> Told {
    Told::Sells(sku, units, second)
}

fn counts(sku: &'static str, units: i64, second: i64) -> Told {
    Told::Counts(sku, units, second)
}

fn adjusts(sku: &'static str, delta: i64, second: i64) -> Told {
    Told::Adjusts(sku, delta, second)
}

fn is_alone(item: i64, sku: &'static str, second: i64) -> Told {
    Told::IsAlone(item, sku, second)
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

const fn ordered(id: i64, item: i64, sku: &'static str, units: i64, second: i64) -> Order {
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

    const fn placed(self) -> Told {
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
        matches!(
            self,
            Self::States(..) | Self::Sells(..) | Self::Counts(..) | Self::Adjusts(..)
        )
    }

    async fn reaches(self, shop: &Shop, time: i64) {
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
            Self::IsAlone(item, sku, second) => {
                let id = item + STEP * time;
                let at = instant(second).to_string();
                let body = json!({ "id": id, "sku": named(sku, time), "updated_at": at });
                ("inventory_items/update", body)
            }
            Self::States(sku, place, units, second) => {
                let change = levelled((sku, place), units, second, time);
                return happens(shop, "t2", second, time, change).await;
            }
            Self::Counts(sku, units, second) => {
                let change = levelled((sku, "north"), units, second, time);
                return happens(shop, API, second, time, change).await;
            }
            Self::Adjusts(sku, delta, second) => {
                let change = Change::Moved {
                    product: named(sku, time).parse().unwrap(),
                    location: "north".parse().unwrap(),
                    delta,
                    reason: MoveReason::Adjustment,
                    called: None,
                };
                return happens(shop, "till", second, time, change).await;
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

fn levelled((sku, place): (&str, &str), units: i64, second: i64, time: i64) -> Change {
    Change::LevelSet {
        called: None,
        product: named(sku, time).parse().unwrap(),
        location: place.parse().unwrap(),
        level: Level {
            on_hand: units,
            ..Level::default()
        },
        version: Version::at(instant(second)),
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
    let installations = Installations::new(shop.store.clone());
    let authority = installations.current().await.unwrap().authority();
    shop.store.apply(&event, &authority).await.unwrap();
}

/// What settings begin with where the day is another than in UTC.
const FAR: &str = "# far away\n";

async fn open(setting: &str) -> Shop {
    let changed = format!("{}\n{setting}", DEDUCT.1);
    let zone = if setting.starts_with(FAR) {
        "zone = \"Pacific/Honolulu\""
    } else {
        "zone = \"UTC\""
    };
    Shop::open(&[(DEDUCT.0, &changed), ("zone = \"UTC\"", zone)]).await
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
            told.reaches(&shop, time).await;
        }
        for told in &case.told {
            told.reaches(&shop, time).await;
        }
    }
    shop.ticks().await;
    let mut wrong = Vec::new();
    for again in [false, true] {
        if again {
            replay(&shop).await;
            for (time, case) in (0..).zip(cases) {
                for told in case.told.iter().filter(|it| it.is_of_others()) {
                    told.reaches(&shop, time).await;
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
    comes_to_after(setting, &[], told, right).await;
}

/// The same of what is heard after all that came before.
async fn comes_to_after(
    setting: &str,
    before: &[Told],
    told: &[Told],
    right: &[(&str, &str, Option<i64>, i64)],
) {
    let right = right.iter().map(|(sku, place, on_hand, sold)| {
        let place = ((*sku).to_owned(), (*place).to_owned());
        (place, (*on_hand, *sold))
    });
    let right: Stock = right.collect();
    let mut cases = Vec::new();
    for (number, order) in orders_of(told.len()).into_iter().enumerate() {
        // One of them once more: right after it, in the end, or in between.
        let mut twice = order.clone();
        let again = number % order.len();
        let room = order.len() - again;
        twice.insert(again + 1 + number / order.len() % room, order[again]);
        for order in [order, twice] {
            let told = order.iter().map(|index| told[*index]);
            let told = before.iter().copied().chain(told).collect();
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
