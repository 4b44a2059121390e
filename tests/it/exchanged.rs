//! Variants that exchange SKUs while they are ordered, archived and counted: whatever is heard first, there
//! is of each variant what the shop knows of it.

use std::collections::BTreeMap;

use ingest::Selection;
use jiff::{SignedDuration, Timestamp};
use lotwire::stack::resources::TABLE;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::config::Config;
use shared::domain::rule::Rule;
use shared::store::movements::Act;
use shared::store::quarantine::HeldState;

use crate::renamed::{moves, orders_of};
use crate::shopify::{CONFIG, ITEM, OTHER_ITEM, Shop, level, order, product};

const DEFAULT: &str = "default_location = \"north\"";

/// A shop with these settings beside its default location.
async fn open(settings: &str) -> Shop {
    Shop::open(&[(DEFAULT, &format!("{DEFAULT}\n{settings}"))]).await
}

/// One variant's product, as the shop tells of it.
fn is(item: i64, sku: &str, status: &str, at: &str) -> (&'static str, Value) {
    let mut body = product(status, at, &[(item, sku)]);
    body["id"] = json!(item);
    ("products/update", body)
}

/// A variant that has always had this SKU, and of which a place has so many.
async fn stands(shop: &Shop, (item, sku): (i64, &str), (place, units): (i64, i64)) {
    let (topic, body) = is(item, sku, "active", "08:00:00");
    shop.hears(topic, &body).await;
    let stated = level(item, place, units, "09:00:00");
    shop.hears("inventory_levels/update", &stated).await;
}

/// An order of four of a variant, as it was called then, of which so many are left.
fn ordered(
    topic: &'static str,
    id: i64,
    (item, sku): (i64, &str),
    [placed, updated]: [&str; 2],
    current: i64,
) -> (&'static str, Value) {
    let mut body = order(updated, current, false, &[]);
    for key in ["created_at", "processed_at"] {
        body[key] = json!(format!("2026-11-22T{placed}Z"));
    }
    body["id"] = json!(900 + id);
    body["line_items"][0]["id"] = json!(9_000 + id);
    body["line_items"][0]["sku"] = json!(sku);
    body["line_items"][0]["variant_id"] = json!(item + 1_000);
    (topic, body)
}

/// On hand and sold in the north.
async fn of(shop: &Shop, sku: &str) -> (Option<i64>, i64) {
    let on_hand = shop.on_hand(sku, "north").await;
    (on_hand, shop.sold(sku, "north").await)
}

#[tokio::test(start_paused = true)]
async fn an_order_is_of_its_variant_whatever_is_heard_of_the_exchange_before_it() {
    let refund = json!({
        "id": 31, "order_id": 901, "created_at": "2026-11-22T09:40:00Z",
        "processed_at": "2026-11-22T09:40:00Z",
        "refund_line_items": [{ "id": 32, "line_item_id": 9_001, "quantity": 1,
            "location_id": 1, "restock_type": "return",
            "line_item": { "id": 9_001, "sku": "B", "variant_id": ITEM + 1_000 } }],
    });
    let first = (ITEM, "B");
    let heard = [
        is(ITEM, "B", "active", "09:10:00"),
        is(OTHER_ITEM, "A", "active", "09:10:01"),
        ordered("orders/create", 1, first, ["09:30:00", "09:30:00"], 4),
        ordered("orders/paid", 1, first, ["09:30:00", "09:31:00"], 4),
        ("refunds/create", refund),
    ];
    for order in &orders_of(heard.len()) {
        let shop = open("orders = \"deduct\"").await;
        for (item, sku, units) in [(ITEM, "A", 10), (OTHER_ITEM, "B", 20)] {
            stands(&shop, (item, sku), (1, units)).await;
        }
        let mut is_exchanged = false;
        for index in order {
            let (topic, body) = &heard[*index];
            shop.hears(topic, body).await;
            is_exchanged |= *index < 2;
            if !is_exchanged {
                // For all that was heard, the first variant is still called A.
                assert_eq!(of(&shop, "B").await, (Some(20), 0), "{order:?}");
            }
        }
        assert_eq!(of(&shop, "B").await, (Some(7), 3), "{order:?}");
        assert_eq!(of(&shop, "A").await, (Some(20), 0), "{order:?}");
        assert_eq!(shop.held(HeldState::Open).await, [], "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_an_order_is_of_its_variant_after_that_had_another_sku_for_a_while() {
    let of_first = |id, sku, placed| {
        move |topic, updated, current| ordered(topic, id, (ITEM, sku), [placed, updated], current)
    };
    let orders = [
        of_first(1, "A", "09:05:00"),
        of_first(2, "B", "09:15:00"),
        of_first(3, "A", "09:25:00"),
    ];
    let mut heard = vec![
        is(ITEM, "B", "active", "09:10:00"),
        is(ITEM, "A", "active", "09:20:00"),
    ];
    let placed = ["09:05:00", "09:15:00", "09:25:00"];
    for (order, placed) in orders.iter().zip(placed) {
        heard.push(order("orders/create", placed, 4));
    }
    for order in &orders_of(heard.len()) {
        let shop = open("orders = \"deduct\"\nsame_sku = \"sum\"").await;
        for (item, units) in [(ITEM, 50), (OTHER_ITEM, 20)] {
            stands(&shop, (item, "A"), (1, units)).await;
        }
        let beside = (OTHER_ITEM, "A");
        let beside = ordered("orders/create", 4, beside, ["09:12:00", "09:12:00"], 4);
        shop.hears(beside.0, &beside.1).await;
        for index in order {
            let (topic, body) = &heard[*index];
            shop.hears(topic, body).await;
        }
        assert_eq!(of(&shop, "A").await, (Some(54), 16), "{order:?}");
        for order in &orders {
            let (topic, body) = order("orders/updated", "09:40:00", 1);
            shop.hears(topic, &body).await;
        }
        assert_eq!(of(&shop, "A").await, (Some(63), 7), "{order:?}");
        assert_eq!(of(&shop, "B").await, (None, 0), "{order:?}");
        // What is the first's goes with it.
        let (topic, body) = is(ITEM, "C", "active", "09:50:00");
        shop.hears(topic, &body).await;
        assert_eq!(of(&shop, "C").await, (Some(47), 3), "{order:?}");
        assert_eq!(of(&shop, "A").await, (Some(16), 4), "{order:?}");
    }
}

/// Whoever says A means the other variant from then on, also where nobody has said yet how much there is of it.
#[tokio::test(start_paused = true)]
async fn an_exchanged_sku_is_the_other_variant_s_where_that_is_not_stated_too() {
    for halves in [[0, 1], [1, 0]] {
        let shop = open("orders = \"deduct\"").await;
        for (item, sku, place, units) in [(ITEM, "A", 1, 10), (OTHER_ITEM, "B", 2, 20)] {
            stands(&shop, (item, sku), (place, units)).await;
        }
        let exchange = [
            is(OTHER_ITEM, "A", "active", "09:10:00"),
            is(ITEM, "B", "active", "09:10:01"),
        ];
        for half in halves {
            let (topic, body) = &exchange[half];
            shop.hears(topic, body).await;
        }
        assert_eq!(of(&shop, "B").await, (Some(10), 0), "{halves:?}");
        // Somebody counts four of A, and no other product changes by that.
        moves(&shop, "counted", "A", Act::Count { quantity: 4 })
            .await
            .unwrap();
        assert_eq!(of(&shop, "A").await, (Some(4), 0), "{halves:?}");
        assert_eq!(of(&shop, "B").await, (Some(10), 0), "{halves:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_archived_is_not_in_stock_although_a_newer_sku_was_heard_of_first() {
    let renamed = json!({ "id": ITEM, "sku": "B", "updated_at": "2026-11-22T09:08:00Z" });
    let heard = [
        ("inventory_items/update", renamed),
        is(ITEM, "A", "archived", "09:07:00"),
        ("inventory_levels/update", level(ITEM, 1, 6, "09:20:00")),
    ];
    for order in orders_of(heard.len()) {
        let shop = open("").await;
        let (topic, body) = is(ITEM, "A", "active", "08:00:00");
        shop.hears(topic, &body).await;
        for place in [1, 2] {
            let stated = level(ITEM, place, 7, "09:00:00");
            shop.hears("inventory_levels/update", &stated).await;
        }
        for index in &order {
            let (topic, body) = &heard[*index];
            shop.hears(topic, body).await;
        }
        for (sku, place) in [("A", "north"), ("B", "north"), ("B", "south")] {
            assert_eq!(shop.on_hand(sku, place).await, None, "{order:?}");
        }
        // It has kept its new SKU when it is offered again.
        let (topic, body) = is(ITEM, "B", "active", "09:30:00");
        shop.hears(topic, &body).await;
        assert_eq!(shop.on_hand("B", "north").await, Some(6), "{order:?}");
        assert_eq!(shop.on_hand("B", "south").await, Some(7), "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn variants_that_exchange_their_skus_while_both_are_archived_keep_what_is_theirs() {
    let heard = [
        is(ITEM, "B", "archived", "09:10:00"),
        is(OTHER_ITEM, "A", "archived", "09:10:01"),
        is(ITEM, "B", "active", "09:20:00"),
        is(OTHER_ITEM, "A", "active", "09:20:01"),
    ];
    for settings in ["", "same_sku = \"sum\""] {
        for order in orders_of(heard.len()) {
            let shop = open(&format!("orders = \"deduct\"\n{settings}")).await;
            for (item, sku, units) in [(ITEM, "A", 10), (OTHER_ITEM, "B", 20)] {
                stands(&shop, (item, sku), (1, units)).await;
                let times = ["09:01:00", "09:01:00"];
                let (topic, body) = ordered("orders/create", item, (item, sku), times, 4);
                shop.hears(topic, &body).await;
                let (topic, body) = is(item, sku, "archived", "09:02:00");
                shop.hears(topic, &body).await;
                assert_eq!(shop.on_hand(sku, "north").await, None);
            }
            for index in &order {
                let (topic, body) = &heard[*index];
                shop.hears(topic, body).await;
            }
            let case = format!("{settings} {order:?}");
            assert_eq!(of(&shop, "A").await, (Some(16), 4), "{case}");
            assert_eq!(of(&shop, "B").await, (Some(6), 4), "{case}");
            assert_eq!(shop.held(HeldState::Open).await, [], "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_archived_variant_keeps_its_stock_although_another_has_its_sku_for_a_while() {
    let shop = open("orders = \"deduct\"").await;
    for (item, sku, units) in [(ITEM, "A", 10), (OTHER_ITEM, "B", 20)] {
        stands(&shop, (item, sku), (1, units)).await;
        let times = ["09:01:00", "09:01:00"];
        let (topic, body) = ordered("orders/create", item, (item, sku), times, 4);
        shop.hears(topic, &body).await;
    }
    for (item, sku, status, at) in [
        (ITEM, "A", "archived", "09:10:00"),
        (OTHER_ITEM, "A", "active", "09:20:00"),
        (OTHER_ITEM, "C", "active", "09:30:00"),
    ] {
        let (topic, body) = is(item, sku, status, at);
        shop.hears(topic, &body).await;
    }
    assert_eq!(of(&shop, "A").await.0, None);
    let (topic, body) = is(ITEM, "A", "active", "09:40:00");
    shop.hears(topic, &body).await;
    assert_eq!(of(&shop, "A").await, (Some(6), 4));
    assert_eq!(of(&shop, "C").await, (Some(16), 4));
}

/// A low-stock rule as an import makes one for a product in the north.
fn imported(sku: &str) -> Rule {
    let rule = format!(
        "[[rules]]\nname = \"imported: {sku} at north\"\nkind = \"low_stock\"\n\
         product = \"{sku}\"\nlocation = \"north\"\nthreshold = 3\n"
    );
    let text = format!("{CONFIG}\n{rule}");
    let config = Config::check(&text, "test.toml").unwrap();
    config.rules.last().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn an_imported_threshold_goes_along_with_the_last_item_whichever_half_is_heard_first() {
    // When the first leaves A, when the second gets A, and which SKU then has what was imported for A.
    let cases = [("09:10:00", "09:20:00", "B"), ("09:20:00", "09:10:00", "A")];
    for ((leaves, comes, expected), settings) in cases
        .into_iter()
        .flat_map(|case| [(case, ""), (case, "same_sku = \"sum\"")])
    {
        let heard = [
            is(ITEM, "B", "active", leaves),
            is(OTHER_ITEM, "A", "active", comes),
            // The same once more.
            is(OTHER_ITEM, "A", "active", "09:40:00"),
        ];
        for order in orders_of(heard.len()) {
            let shop = open(settings).await;
            for (item, sku) in [(ITEM, "A"), (OTHER_ITEM, "B")] {
                stands(&shop, (item, sku), (1, 20)).await;
            }
            let rules = [imported("A")];
            shop.store.change_rules(&rules, &[], "test").await.unwrap();
            for index in &order {
                let (topic, body) = &heard[*index];
                shop.hears(topic, body).await;
            }
            for sku in ["A", "B"] {
                let picture = shop.store.picture(&sku.parse().unwrap()).await.unwrap();
                let found: Vec<_> = picture.rules.iter().map(|rule| rule.id.as_str()).collect();
                let name = format!("imported: {sku} at north");
                let here = (sku == expected).then_some(name.as_str());
                assert_eq!(found, Vec::from_iter(here), "{leaves} {comes} {order:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_webhook_that_renames_an_item_says_that_it_was_applied() {
    let shop = open("").await;
    stands(&shop, (ITEM, "A"), (1, 7)).await;
    let item = |sku: &str, at: &str| json!({ "id": ITEM, "sku": sku, "updated_at": format!("2026-11-22T{at}Z") });
    let counts = |said: &Value| [said["applied"].clone(), said["known"].clone()];
    let renamed = item("B", "09:10:00");
    let said = shop.hears("inventory_items/update", &renamed).await;
    assert_eq!(shop.on_hand("B", "north").await, Some(7));
    assert_eq!(counts(&said), [1, 0]);
    let older = item("A", "08:30:00");
    let said = shop.hears("inventory_items/update", &older).await;
    assert_eq!(counts(&said), [0, 1]);
}

/// What the shop knows of one of its variants.
struct Variant {
    item: i64,
    sku: &'static str,
    is_active: bool,
    /// What was last counted, and when.
    counted: (i64, i64),
    /// Units that came or went, by when.
    moved: Vec<(i64, i64)>,
    sold: i64,
}

/// A shop's day: what is true at its end, and what is told of it.
struct Day {
    dice: Chance,
    now: i64,
    variants: Vec<Variant>,
    free: Vec<&'static str>,
    orders: i64,
    told: Vec<(&'static str, Value)>,
}

fn clock(second: i64) -> String {
    let nine: Timestamp = "2026-11-22T09:00:00Z".parse().unwrap();
    let at = nine + SignedDuration::from_secs(second);
    at.strftime("%H:%M:%S").to_string()
}

impl Day {
    fn begins(seed: u64, variants: usize) -> Self {
        let mut day = Self {
            dice: Chance::seeded(seed),
            now: -3_600,
            variants: Vec::new(),
            free: vec!["C", "D", "E"],
            orders: 0,
            told: Vec::new(),
        };
        for (item, sku) in (ITEM..).zip(["A", "B", "F"]).take(variants) {
            day.variants.push(Variant {
                item,
                sku,
                is_active: true,
                counted: (0, 0),
                moved: Vec::new(),
                sold: 0,
            });
            day.describes(day.variants.len() - 1);
        }
        day.now = 0;
        for index in 0..variants {
            day.counts(index);
        }
        day
    }

    fn below(&self, most: usize) -> usize {
        usize::try_from(self.dice.bits() % most as u64).unwrap()
    }

    fn passes(&mut self) -> i64 {
        self.now += 7;
        self.now
    }

    fn describes(&mut self, index: usize) {
        let at = clock(self.passes());
        let of = &self.variants[index];
        let status = if of.is_active { "active" } else { "archived" };
        let mut body = product(status, &at, &[(of.item, of.sku)]);
        body["id"] = json!(of.item);
        if self.below(4) == 0 {
            // The inventory item has a webhook of its own.
            let item = json!({ "id": of.item, "sku": of.sku, "updated_at": body["updated_at"] });
            self.told.push(("inventory_items/update", item));
        }
        self.told.push(("products/update", body));
    }

    fn counts(&mut self, index: usize) {
        let at = self.passes();
        let units = 100 + i64::try_from(self.below(100)).unwrap();
        let of = &mut self.variants[index];
        of.counted = (at, units);
        let body = level(of.item, 1, units, &clock(at));
        self.told.push(("inventory_levels/update", body));
    }

    fn exchanges(&mut self, one: usize, other: usize) {
        let skus = [self.variants[one].sku, self.variants[other].sku];
        for (index, sku) in [one, other].into_iter().zip(skus.into_iter().rev()) {
            self.variants[index].sku = sku;
            self.describes(index);
        }
    }

    fn renames(&mut self, index: usize) {
        let at = self.below(self.free.len());
        let of = &mut self.variants[index];
        std::mem::swap(&mut of.sku, &mut self.free[at]);
        self.describes(index);
    }

    /// An order from its creation to its end; between its webhooks other things may happen.
    fn sells(&mut self, index: usize, meanwhile: &mut dyn FnMut(&mut Self)) {
        self.orders += 1;
        let id = self.orders;
        let placed = self.passes();
        let (item, sku) = (self.variants[index].item, self.variants[index].sku);
        let (mut current, mut refunds) = (4, Vec::new());
        let has_sku = self.below(6) > 0;
        let line = |body: &mut Value| {
            body["id"] = json!(9_000 + id);
            body["sku"] = if has_sku { json!(sku) } else { Value::Null };
            body["variant_id"] = json!(item + 1_000);
        };
        let says = |day: &mut Self, topic, current, is_over, refunds: &[Value]| {
            let mut body = order(&clock(day.now), current, is_over, refunds);
            for key in ["created_at", "processed_at"] {
                body[key] = json!(format!("2026-11-22T{}Z", clock(placed)));
            }
            body["id"] = json!(900 + id);
            line(&mut body["line_items"][0]);
            day.told.push((topic, body));
        };
        says(self, "orders/create", current, false, &refunds);
        meanwhile(self);
        if self.below(2) == 0 {
            self.passes();
            says(self, "orders/paid", current, false, &refunds);
        }
        if self.below(3) == 0 {
            let at = self.passes();
            current = 3;
            self.variants[index].moved.push((at, 1));
            says(self, "orders/updated", current, false, &refunds);
            meanwhile(self);
        }
        if self.below(3) == 0 {
            let at = self.passes();
            let time = format!("2026-11-22T{}Z", clock(at));
            let mut of = json!({ "id": 91, "sku": sku, "variant_id": item + 1_000 });
            line(&mut of);
            let place = [json!(1), Value::Null][self.below(2)].clone();
            let refund = json!({
                "id": 300 + id, "order_id": 900 + id, "created_at": time, "processed_at": time,
                "refund_line_items": [{ "id": 3_000 + id, "line_item_id": 9_000 + id, "quantity": 1,
                    "location_id": place, "restock_type": "return", "line_item": of }],
            });
            self.told.push(("refunds/create", refund.clone()));
            refunds.push(refund);
            current -= 1;
            self.variants[index].moved.push((at, 1));
            says(self, "orders/updated", current, false, &refunds);
            meanwhile(self);
        }
        if self.below(4) == 0 {
            let at = self.passes();
            self.variants[index].moved.push((at, current));
            current = 0;
            says(self, "orders/cancelled", current, true, &refunds);
        }
        let of = &mut self.variants[index];
        of.moved.push((placed, -4));
        of.sold += current;
    }

    fn goes_on(&mut self, depth: usize) {
        let (one, two) = (
            self.below(self.variants.len()),
            self.below(self.variants.len()),
        );
        match self.below(8) {
            0 | 1 if one != two => self.exchanges(one, two),
            2 => self.renames(one),
            3 => self.counts(one),
            4 => {
                self.variants[one].is_active ^= true;
                self.describes(one);
            }
            _ if depth > 0 => self.sells(one, &mut |day| day.goes_on(depth - 1)),
            _ => {}
        }
    }

    /// On hand and sold of each SKU.
    fn ends(&self, deducts: bool) -> BTreeMap<&'static str, (Option<i64>, i64)> {
        let mut all: BTreeMap<_, _> = self.free.iter().map(|sku| (*sku, (None, 0))).collect();
        for of in &self.variants {
            let (at, units) = of.counted;
            let since = of.moved.iter().filter(|(then, _)| deducts && *then > at);
            let units = units + since.map(|(_, units)| units).sum::<i64>();
            all.insert(of.sku, (of.is_active.then_some(units), of.sold));
        }
        all
    }
}

/// Tells a day's webhooks in another order, some twice, and compares.
async fn comes_to_the_same(seed: u64, setting: &str) -> Result<(), String> {
    let mut day = Day::begins(seed, 2 + usize::try_from(seed % 2).unwrap());
    for _ in 0..3 {
        day.goes_on(2);
    }
    let mut told = day.told.clone();
    for last in (1..told.len()).rev() {
        told.swap(last, day.below(last + 1));
    }
    let deducts = setting.contains("deduct");
    let shop = open(setting).await;
    for (topic, body) in &told {
        shop.hears(topic, body).await;
        if day.below(8) == 0 {
            shop.hears(topic, body).await;
        }
    }
    shop.ticks().await;
    let expected = day.ends(deducts);
    let mut found = BTreeMap::new();
    for sku in expected.keys() {
        let sold = shop.sold(sku, "north").await;
        found.insert(*sku, (shop.on_hand(sku, "north").await, sold));
    }
    let held = shop.held(HeldState::Open).await;
    if found == expected && held.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = told
        .iter()
        .map(|(topic, body)| format!("{topic} {body}"))
        .collect();
    Err(format!(
        "seed {seed} {setting:?}: {found:?} is not {expected:?} {held:?}\n{}",
        told.join("\n")
    ))
}

#[tokio::test(start_paused = true)]
async fn there_is_of_each_variant_what_the_shop_knows_of_it_whatever_is_heard_first() {
    let settings = [
        "",
        "orders = \"deduct\"",
        "same_sku = \"sum\"",
        "orders = \"deduct\"\nsame_sku = \"sum\"",
    ];
    let mut wrong = Vec::new();
    for seed in (0..5).chain([3012]) {
        for setting in settings {
            wrong.extend(Box::pin(comes_to_the_same(seed, setting)).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} are wrong: {}", wrong.len(), wrong[0]);
}

/// The rows of all ledgers, by history and revision.
async fn ledgers(shop: &Shop) -> BTreeMap<(String, u64), Value> {
    let scan = shop.aws.dynamodb().scan().table_name(TABLE);
    let mut items = scan.into_paginator().items().send();
    let mut rows = BTreeMap::new();
    while let Some(item) = items.next().await {
        let item = item.unwrap();
        if item["t"].as_s().unwrap() == "ledger" {
            let row: Value = serde_dynamo::from_attribute_value(item["d"].clone()).unwrap();
            let of = row["of"].as_str().unwrap().to_owned();
            rows.insert((of, row["revision"].as_u64().unwrap()), row);
        }
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_all_that_was_heard_adds_nothing_to_a_ledger() {
    let mut wrong = Vec::new();
    // In one of them an order is heard before it is known which item its variant is, in another since when an
    // item has its SKU is known better only after its level.
    for seed in (0..2).chain([16, 46]) {
        for setting in [
            "orders = \"deduct\"",
            "orders = \"deduct\"\nsame_sku = \"sum\"",
        ] {
            let mut day = Day::begins(seed, 2 + usize::try_from(seed % 2).unwrap());
            for _ in 0..3 {
                day.goes_on(2);
            }
            if seed % 3 == 0 {
                // Two variants contradict each other, and one of them may come to an end.
                let held = day.variants[0].sku;
                day.variants[0].sku = day.variants[1].sku;
                day.describes(0);
                if seed % 2 == 0 {
                    day.variants[1].is_active = false;
                    day.describes(1);
                    day.variants[1].sku = held;
                    day.describes(1);
                }
            }
            let mut told = day.told.clone();
            let ended = json!({ "id": OTHER_ITEM });
            let apart = json!({ "inventory_item_id": ITEM, "location_id": 1 });
            match seed % 4 {
                0 => told.push(("products/delete", ended)),
                1 => told.push(("inventory_levels/disconnect", apart)),
                _ => {}
            }
            for last in (1..told.len()).rev().filter(|_| seed % 2 == 0) {
                told.swap(last, day.below(last + 1));
            }
            let shop = open(setting).await;
            for (topic, body) in &told {
                shop.is_sent(topic, body, None).await;
                tokio::time::sleep(std::time::Duration::from_millis(7)).await;
            }
            shop.ticks().await;
            let before = ledgers(&shop).await;
            let all = Selection::Between {
                from: None,
                until: None,
            };
            let (connector, mut cursor) = ("shop".parse().unwrap(), None);
            loop {
                let replayed = shop.ingest.replay(&connector, &all, cursor.as_deref());
                let replayed = replayed.await.unwrap();
                cursor = replayed.next;
                if cursor.is_none() {
                    break;
                }
            }
            shop.ticks().await;
            let mut after = ledgers(&shop).await;
            after.retain(|row, _| !before.contains_key(row));
            wrong.extend(
                after
                    .into_values()
                    .map(|row| format!("{seed} {setting:?}: {row}")),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows: {}",
        wrong.len(),
        wrong.join("\n")
    );
}
