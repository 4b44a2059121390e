//! A product that gets another SKU is the same product: whatever was true of it is true of it under the
//! new one, and who still uses the old one reaches it.

mod arrival;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use aws_smithy_types::retry::RetryConfig;
use jiff::Timestamp;
use lotwire::engine::{Call, Interference, Settings, Verdict};
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment;
use shared::domain::alert::{AlertState, Ending};
use shared::domain::message::Stock;
use shared::domain::rule::Scope;
use shared::domain::{AlertKind, Change, Position, ProductId, StockEvent, Version};
use shared::render::Templates;
use shared::store::keys;
use shared::store::movements::{Act, Movement};
use shared::store::quarantine::HeldState;
use shared::store::stock::ApplyError;
use shared::store::twice::Twice;

use crate::bench::{at, level as stated};
use crate::shopify::{ITEM, OTHER_ITEM, Shop, level, order, product, refund};

/// Of more things than this not every order of arrival is tried.
const ALL_ORDERS: usize = 3;
const SOME_ORDERS: usize = 8;
/// The same where `ARRIVALS` is set.
const MANY_ORDERS: usize = 200;

const DEDUCT: (&str, &str) = (
    "default_location = \"north\"",
    "default_location = \"north\"\norders = \"deduct\"",
);

/// Describes the shop's one item by this SKU.
async fn named(shop: &Shop, sku: &str, at: &str) {
    let body = product("active", at, &[(ITEM, sku)]);
    shop.hears("products/update", &body).await;
}

pub(crate) async fn moves(shop: &Shop, key: &str, sku: &str, act: Act) -> Result<(), ApplyError> {
    let movement = Movement {
        key: key.parse().unwrap(),
        product: sku.parse().unwrap(),
        location: "north".parse().unwrap(),
        act,
        at: None,
        reason: None,
        actor: None,
    };
    let done = shop.store.carry_out(&movement, &Default::default()).await;
    done.map(|_| ())
}

async fn position(shop: &Shop, sku: &str) -> Option<Position> {
    let (product, north) = (sku.parse().unwrap(), "north".parse().unwrap());
    shop.store.position(&product, &north).await.unwrap()
}

/// On hand, reserved, available, and sold.
async fn quantities(shop: &Shop, sku: &str) -> Option<(i64, i64, i64, i64)> {
    let stock: Stock = shop.stock(sku, "north").await?;
    let sold = shop.sold(sku, "north").await;
    Some((stock.on_hand, stock.reserved, stock.available, sold))
}

/// Ten of the item, two of them sold at the counter and four promised.
async fn busy() -> Shop {
    let busy = async {
        let shop = Shop::open(&[]).await;
        named(&shop, "OLD", "08:00:00").await;
        let ten = level(ITEM, 1, 10, "09:00:00");
        shop.hears("inventory_levels/update", &ten).await;
        let sale = Act::Sale { quantity: 2 };
        moves(&shop, "sale", "OLD", sale).await.unwrap();
        let reserve = Act::Reserve { quantity: 4 };
        moves(&shop, "promise", "OLD", reserve).await.unwrap();
        shop
    };
    Box::pin(busy).await
}

#[tokio::test(start_paused = true)]
async fn what_was_sold_promised_and_counted_is_under_the_new_sku() {
    let shop = busy().await;
    named(&shop, "NEW", "09:59:00").await;
    assert_eq!(quantities(&shop, "NEW").await, Some((8, 4, 4, 2)));
    // Nothing is left of it under the old SKU, which says where it went.
    assert_eq!(quantities(&shop, "OLD").await, None);
    let old = position(&shop, "OLD").await.unwrap();
    assert_eq!((old.held, old.sold.len(), old.movements()), (0, 0, 0));
    let new: ProductId = "NEW".parse().unwrap();
    assert_eq!(old.renamed_to(), Some(&new));
    // Both have it in their ledgers, which are whole.
    for sku in ["OLD", "NEW"] {
        let of = keys::position_history(&sku.parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let renamed = rows.iter().find(|row| row.change == "renamed").unwrap();
        assert_eq!(renamed.reason.as_deref(), Some("OLD is NEW now"));
        let last = rows.last().unwrap();
        let now = position(&shop, sku).await.unwrap();
        assert_eq!((last.revision, &last.hash), (now.revision, &now.chain));
    }
    // Who promised it under the old SKU takes it back under that.
    let release = |quantity| Act::Release { quantity };
    moves(&shop, "back", "OLD", release(3)).await.unwrap();
    moves(&shop, "back too", "NEW", release(1)).await.unwrap();
    assert!(moves(&shop, "once more", "NEW", release(1)).await.is_err());
    assert_eq!(quantities(&shop, "NEW").await, Some((8, 0, 8, 2)));
    // A count is of the product too.
    moves(&shop, "count", "OLD", Act::Count { quantity: 5 })
        .await
        .unwrap();
    assert_eq!(quantities(&shop, "NEW").await, Some((5, 0, 5, 2)));
}

#[tokio::test(start_paused = true)]
async fn what_is_renamed_has_been_known_for_as_long_as_under_its_old_sku() {
    let shop = busy().await;
    let since = position(&shop, "OLD").await.unwrap().known_since;
    assert!(since.is_some());
    tokio::time::sleep(std::time::Duration::from_secs(3 * 24 * 3600)).await;
    named(&shop, "NEW", "09:59:00").await;
    assert_eq!(quantities(&shop, "NEW").await, Some((8, 4, 4, 2)));
    assert_eq!(position(&shop, "NEW").await.unwrap().known_since, since);
}

#[tokio::test(start_paused = true)]
async fn a_product_that_is_renamed_there_and_back_is_as_it_was() {
    let shop = busy().await;
    for (sku, at) in [
        ("NEW", "09:57:00"),
        ("NEWER", "09:58:00"),
        ("OLD", "09:59:00"),
    ] {
        named(&shop, sku, at).await;
        assert_eq!(quantities(&shop, sku).await, Some((8, 4, 4, 2)), "{sku}");
    }
    // Late news of the names in between, and what uses them, change nothing and reach it.
    named(&shop, "NEW", "09:57:00").await;
    named(&shop, "ELSE", "08:30:00").await;
    for (sku, key) in [("NEW", "a"), ("NEWER", "b"), ("ELSE", "c")] {
        assert_eq!(quantities(&shop, sku).await, None);
        let sale = Act::Sale { quantity: 1 };
        moves(&shop, key, sku, sale).await.unwrap();
    }
    assert_eq!(quantities(&shop, "OLD").await, Some((5, 4, 1, 5)));
}

#[tokio::test(start_paused = true)]
async fn an_order_of_the_old_sku_is_of_the_renamed_product_in_whichever_order_it_comes() {
    // Four of twenty, ordered under the old SKU; of these one came back to an unnamed place; then none.
    let placed = order("09:30:00", 4, false, &[]);
    let back = refund("return", 1, None);
    let cancelled = order("09:50:00", 0, true, &[refund("cancel", 4, None)]);
    let renamed = product("active", "09:40:00", &[(ITEM, "NEW")]);
    for when in 0..4 {
        let shop = Shop::open(&[DEDUCT]).await;
        named(&shop, "OIL", "08:00:00").await;
        let twenty = level(ITEM, 1, 20, "09:00:00");
        shop.hears("inventory_levels/update", &twenty).await;
        let steps = [("orders/create", &placed), ("refunds/create", &back)];
        for (number, (topic, body)) in steps.into_iter().enumerate() {
            if number == when {
                shop.hears("products/update", &renamed).await;
            }
            shop.hears(topic, body).await;
        }
        if when >= 2 {
            shop.hears("products/update", &renamed).await;
        }
        assert_eq!(
            quantities(&shop, "NEW").await,
            Some((17, 0, 17, 3)),
            "{when}"
        );
        if when == 3 {
            shop.hears("orders/create", &placed).await;
        }
        shop.hears("orders/cancelled", &cancelled).await;
        assert_eq!(shop.sold("NEW", "north").await, 0, "{when}");
        assert_eq!(quantities(&shop, "OIL").await, None, "{when}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_counts_once_however_often_its_product_is_renamed_and_back() {
    let paths: [&[&str]; 4] = [
        &["A"],
        &["A", "OIL"],
        &["A", "B", "OIL"],
        &["A", "OIL", "A"],
    ];
    for path in paths {
        let shop = Shop::open(&[DEDUCT]).await;
        named(&shop, "OIL", "08:00:00").await;
        let twenty = level(ITEM, 1, 20, "09:00:00");
        shop.hears("inventory_levels/update", &twenty).await;
        shop.hears("orders/create", &order("09:30:00", 4, false, &[]))
            .await;
        for (minute, sku) in path.iter().enumerate() {
            named(&shop, sku, &format!("09:4{minute}:00")).await;
            let again = order(&format!("09:4{minute}:30"), 4, false, &[]);
            shop.hears("orders/updated", &again).await;
            let known = quantities(&shop, sku).await;
            assert_eq!(known, Some((16, 0, 16, 4)), "{sku} of {path:?}");
        }
        let now = path.last().unwrap();
        // Under no name that it had before is anything left.
        for sku in ["OIL", "A", "B"].iter().filter(|sku| sku != &now) {
            if let Some(left) = position(&shop, sku).await {
                assert_eq!(
                    (left.movements(), left.sold.len()),
                    (0, 0),
                    "{sku} {path:?}"
                );
            }
        }
        let cancelled = order("09:50:00", 0, true, &[]);
        shop.hears("orders/cancelled", &cancelled).await;
        let known = quantities(&shop, now).await;
        assert_eq!(known, Some((20, 0, 20, 0)), "{path:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refund_without_a_place_is_back_where_its_line_was_taken_from() {
    let shop = Shop::open(&[DEDUCT]).await;
    named(&shop, "OIL", "08:00:00").await;
    for place in [1, 2] {
        let ten = level(ITEM, place, 10, "09:00:00");
        shop.hears("inventory_levels/update", &ten).await;
    }
    let mut placed = order("09:30:00", 4, false, &[]);
    placed["location_id"] = json!(2);
    let back = refund("return", 1, None);
    for first in [&back, &placed] {
        let topic = |body: &_| match body == &back {
            true => "refunds/create",
            false => "orders/create",
        };
        let other = if first == &back { &placed } else { &back };
        shop.hears(topic(first), first).await;
        shop.hears(topic(other), other).await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(10));
        assert_eq!(shop.on_hand("OIL", "south").await, Some(7));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_sku_that_something_else_has_now_is_its_own_and_its_past_is_not() {
    let shop = busy().await;
    named(&shop, "NEW", "09:50:00").await;
    let both = [(ITEM, "NEW"), (OTHER_ITEM, "OLD")];
    shop.hears("products/update", &product("active", "09:55:00", &both))
        .await;
    let three = level(OTHER_ITEM, 1, 3, "09:56:00");
    shop.hears("inventory_levels/update", &three).await;
    assert_eq!(quantities(&shop, "OLD").await, Some((3, 0, 3, 0)));
    assert_eq!(quantities(&shop, "NEW").await, Some((8, 4, 4, 2)));
    moves(&shop, "new thing", "OLD", Act::Sale { quantity: 1 })
        .await
        .unwrap();
    assert_eq!(quantities(&shop, "OLD").await, Some((2, 0, 2, 1)));
    // An order from before is of what had the SKU then.
    let mut before = order("09:30:00", 4, false, &[]);
    before["line_items"][0]["sku"] = json!("OLD");
    shop.hears("orders/create", &before).await;
    assert_eq!(shop.sold("OLD", "north").await, 1);
    assert_eq!(shop.sold("NEW", "north").await, 6);
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn where_another_source_still_states_the_old_sku_only_the_item_leaves_it() {
    let shop = busy().await;
    let authority = Default::default();
    let erp = stated("erp", 0, "OLD", "north", 6);
    shop.store.apply(&erp, &authority).await.unwrap();
    named(&shop, "NEW", "09:59:00").await;
    // The promise is kept where somebody still has it.
    assert_eq!(position(&shop, "OLD").await.unwrap().held, 4);
    assert_eq!(shop.on_hand("NEW", "north").await, Some(10));
    assert_eq!(position(&shop, "OLD").await.unwrap().renamed_to(), None);
    // That it counts under both is said of either, until the other source names it anew.
    let twice = Twice {
        old: "OLD".parse().unwrap(),
        new: "NEW".parse().unwrap(),
        renamed_by: "shop".parse().unwrap(),
        stated_by: "erp".parse().unwrap(),
    };
    let told = async |sku: &str| {
        let position = position(&shop, sku).await.unwrap();
        shop.store.counted_twice(&position).await.unwrap()
    };
    for sku in ["OLD", "NEW"] {
        assert_eq!(told(sku).await, std::slice::from_ref(&twice), "{sku}");
    }
    let mut gone = stated("erp", 60, "OLD", "north", 0);
    let ended = Change::LevelEnded {
        product: "OLD".parse().unwrap(),
        location: "north".parse().unwrap(),
        version: Version::at(gone.at),
    };
    gone.change = ended;
    shop.store.apply(&gone, &authority).await.unwrap();
    for sku in ["OLD", "NEW"] {
        assert_eq!(told(sku).await, [], "{sku}");
    }
}

/// That a source states a SKU no longer: its whole file lacks it, or it says so itself.
fn over(by_file: bool, source: &str, minute: i64, sku: &str, place: &str) -> StockEvent {
    let mut over = stated(source, minute, sku, place, 0);
    let (product, location) = (sku.parse().unwrap(), place.parse().unwrap());
    let version = Version::at(over.at);
    over.change = match by_file {
        true => Change::Missing {
            product,
            location,
            version,
        },
        false => Change::LevelEnded {
            product,
            location,
            version,
        },
    };
    over
}

/// Applies it as a file's rows are, together with others if that goes.
async fn apply(shop: &Shop, event: &StockEvent) {
    let authority = Default::default();
    let known = shop.store.known(&[], &[]).await.unwrap();
    let events = [event];
    let together = shop.store.apply_together(&events, &known, &authority);
    if matches!(together.await.unwrap().as_slice(), [None]) {
        shop.store.apply(event, &authority).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_promised_goes_along_where_the_last_source_leaves_the_old_sku() {
    let new: ProductId = "NEW".parse().unwrap();
    for (by_file, follows_first, places) in [
        (false, true, ["north", "south"]),
        (false, false, ["south", "north"]),
        (true, true, ["south", "north"]),
        (true, false, ["north", "south"]),
    ] {
        let shop = busy().await;
        for place in ["north", "south"] {
            apply(&shop, &stated("erp", 0, "OLD", place, 6)).await;
        }
        let mut promise = Movement {
            key: "south".parse().unwrap(),
            product: "OLD".parse().unwrap(),
            location: "south".parse().unwrap(),
            act: Act::Reserve { quantity: 3 },
            at: None,
            reason: None,
            actor: None,
        };
        shop.store
            .carry_out(&promise, &Default::default())
            .await
            .unwrap();
        named(&shop, "NEW", "09:59:00").await;
        let held = async |sku: &str| {
            let mut held = BTreeMap::new();
            for position in shop
                .store
                .positions_of(&sku.parse().unwrap())
                .await
                .unwrap()
            {
                held.insert(position.location.to_string(), position.held);
            }
            held
        };
        let follow = async || {
            for place in ["north", "south"] {
                apply(&shop, &stated("erp", 60, "NEW", place, 6)).await;
            }
        };
        if follows_first {
            follow().await;
        }
        for (number, place) in places.into_iter().enumerate() {
            let over = over(by_file, "erp", 60, "OLD", place);
            // Also as it is heard again.
            for _ in 0..2 {
                apply(&shop, &over).await;
                let (left, there) = (held("OLD").await, held("NEW").await);
                let other = places[1 - number];
                let units = BTreeMap::from([("north", 4), ("south", 3)]);
                assert_eq!((left[place], there[place]), (0, units[place]), "{place}");
                let last = number == 1;
                assert_eq!(left[other], if last { 0 } else { units[other] }, "{other}");
            }
        }
        if !follows_first {
            follow().await;
        }
        for place in ["north", "south"] {
            let place = place.parse().unwrap();
            let left = shop.store.position(&"OLD".parse().unwrap(), &place).await;
            let left = left.unwrap().unwrap();
            assert_eq!(left.renamed_to(), Some(&new), "{by_file} {place}");
            assert_eq!(left.stock(&Default::default()), None);
            let there = shop.store.position(&new, &place).await.unwrap().unwrap();
            let erp = there.stated_by(&"erp".parse().unwrap());
            assert_eq!(erp.map(|base| base.level.on_hand), Some(6));
        }
        // Who still says OLD reaches it; what was said before the end does not come back, nor take the SKU.
        apply(&shop, &stated("erp", 50, "OLD", "south", 9)).await;
        promise.act = Act::Release { quantity: 3 };
        promise.key = "back".parse().unwrap();
        shop.store
            .carry_out(&promise, &Default::default())
            .await
            .unwrap();
        assert_eq!(held("NEW").await["south"], 0);
        let names = shop.store.current_name(&"OLD".parse().unwrap()).await;
        assert_eq!(names.unwrap(), new);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_follows_a_rename_never_tells_that_the_old_sku_is_out_of_stock() {
    let out = "threshold = 9\n[[rules]]\nname = \"out\"\nkind = \"out_of_stock\"\n\
        [connectors.erp]\nkind = \"generic\"\nwebhook = { secret = \"env:TILL\" }\n";
    for by_file in [false, true] {
        let shop = Shop::open(&[("threshold = 9\n", out)]).await;
        let pump = shop.evaluates();
        named(&shop, "OLD", "08:00:00").await;
        let ten = level(ITEM, 1, 10, "09:00:00");
        shop.hears("inventory_levels/update", &ten).await;
        for place in ["north", "south"] {
            apply(&shop, &stated("erp", 0, "OLD", place, 6)).await;
        }
        named(&shop, "NEW", "09:59:00").await;
        pump.idle().await;
        for place in ["north", "south"] {
            apply(&shop, &stated("erp", 60, "NEW", place, 20)).await;
            apply(&shop, &over(by_file, "erp", 60, "OLD", place)).await;
            pump.idle().await;
        }
        let gone = Some(Ending::Renamed);
        let low = |place: &str| (AlertKind::LowStock, format!("OLD at {place}"), gone);
        let mut told = shop.alerts(AlertState::Resolved).await;
        told.retain(|(_, about, _)| about.starts_with("OLD"));
        told.sort_by(|a, b| a.1.cmp(&b.1));
        let north = told.iter().any(|it| it.1 == "OLD at north");
        let all = [low("north"), low("south")];
        assert_eq!(told, if north { &all[..] } else { &all[1..] }, "{by_file}");
        assert_eq!(shop.alerts(AlertState::Open).await, [], "{by_file}");
    }
}

/// It goes on with the old SKU for a while, which counts there, and then follows: as if it had always had it.
#[tokio::test(start_paused = true)]
async fn what_is_promised_goes_along_where_a_source_states_the_old_sku_only_after_the_rename() {
    let out = "threshold = 9\n[[rules]]\nname = \"out\"\nkind = \"out_of_stock\"\n\
        [connectors.erp]\nkind = \"generic\"\nwebhook = { secret = \"env:TILL\" }\n";
    let later = Clock::system().now().duration_since(at(0)).as_mins() + 60 * 24 * 365;
    for (by_file, is_taken) in [(false, false), (true, false), (true, true)] {
        let shop = Shop::open(&[("threshold = 9\n", out)]).await;
        let pump = shop.evaluates();
        named(&shop, "OLD", "08:00:00").await;
        let twenty = level(ITEM, 1, 20, "09:00:00");
        shop.hears("inventory_levels/update", &twenty).await;
        named(&shop, "NEW", "09:59:00").await;
        apply(&shop, &stated("erp", later, "OLD", "north", 20)).await;
        let reserve = Act::Reserve { quantity: 2 };
        moves(&shop, "promise", "OLD", reserve).await.unwrap();
        assert_eq!(position(&shop, "OLD").await.unwrap().held, 2);
        if is_taken {
            // Another item has the SKU now: what is promised of it is that item's.
            let both = [(ITEM, "NEW"), (OTHER_ITEM, "OLD")];
            let both = product("active", "09:59:30", &both);
            shop.hears("products/update", &both).await;
        }
        apply(&shop, &stated("erp", later + 60, "NEW", "north", 20)).await;
        apply(&shop, &over(by_file, "erp", later + 60, "OLD", "north")).await;
        pump.idle().await;
        let left = position(&shop, "OLD").await.unwrap();
        if is_taken {
            assert_eq!((left.held, left.renamed_to()), (2, None));
            continue;
        }
        assert_eq!(left.renamed_to(), Some(&"NEW".parse().unwrap()));
        assert_eq!(quantities(&shop, "OLD").await, None, "{by_file}");
        assert_eq!(quantities(&shop, "NEW").await, Some((20, 2, 18, 0)));
        assert_eq!(shop.alerts(AlertState::Open).await, [], "{by_file}");
        assert_eq!(shop.alerts(AlertState::Resolved).await, [], "{by_file}");
        let release = Act::Release { quantity: 2 };
        moves(&shop, "back", "OLD", release).await.unwrap();
        assert_eq!(quantities(&shop, "NEW").await, Some((20, 0, 20, 0)));
    }
}

/// What is only concluded from a list is no statement: the file may have followed before the shop says so.
#[tokio::test(start_paused = true)]
async fn what_is_promised_goes_along_where_the_other_source_has_left_before_the_shop() {
    let shop = busy().await;
    apply(&shop, &stated("erp", 0, "OLD", "north", 6)).await;
    apply(&shop, &over(true, "erp", 60, "OLD", "north")).await;
    apply(&shop, &stated("erp", 60, "NEW", "north", 6)).await;
    named(&shop, "NEW", "09:59:00").await;
    assert_eq!(position(&shop, "OLD").await.unwrap().held, 0);
    assert_eq!(quantities(&shop, "OLD").await, None);
    let new = position(&shop, "NEW").await.unwrap();
    assert_eq!(new.held, 4);
    let erp = new.stated_by(&"erp".parse().unwrap());
    assert_eq!(erp.map(|base| base.level.on_hand), Some(6));
}

#[tokio::test(start_paused = true)]
async fn what_another_source_says_of_the_old_sku_is_its_own_whenever_it_is_heard() {
    let shop = busy().await;
    named(&shop, "NEW", "09:59:00").await;
    let authority = Default::default();
    assert!(at(0) < "2026-11-22T09:00:00Z".parse::<Timestamp>().unwrap());
    let later = Clock::system().now().duration_since(at(0)).as_mins() + 60 * 24 * 365;
    for (minute, units) in [(0, 6), (later, 5)] {
        let said = stated("erp", minute, "OLD", "north", units);
        shop.store.apply(&said, &authority).await.unwrap();
        let old = quantities(&shop, "OLD").await;
        assert_eq!(old, Some((units, 0, units, 0)));
        assert_eq!(quantities(&shop, "NEW").await, Some((8, 4, 4, 2)));
    }
}

/// Also at a place of which the shop never spoke, where nothing was left behind.
#[tokio::test(start_paused = true)]
async fn what_another_source_first_states_of_the_old_sku_elsewhere_is_watched() {
    let erp = "threshold = 9\n[connectors.erp]\nkind = \"generic\"\n\
        webhook = { secret = \"env:TILL\" }\n";
    let shop = Shop::open(&[("threshold = 9\n", erp)]).await;
    let pump = shop.evaluates();
    named(&shop, "OLD", "08:00:00").await;
    let ten = level(ITEM, 1, 10, "09:00:00");
    shop.hears("inventory_levels/update", &ten).await;
    named(&shop, "NEW", "09:59:00").await;
    pump.idle().await;
    for (minute, units) in [(0, 20), (1, 2), (2, 0)] {
        apply(&shop, &stated("erp", minute, "OLD", "south", units)).await;
        pump.idle().await;
    }
    let mut told = shop.alerts(AlertState::Open).await;
    told.extend(shop.alerts(AlertState::Resolved).await);
    told.retain(|(_, about, _)| about == "OLD at south");
    assert!(!told.is_empty());
}

/// In the sum of its group, too, and whoever asks is told of what is stated there.
#[tokio::test(start_paused = true)]
async fn what_another_source_first_states_of_the_old_sku_elsewhere_is_summed_and_explained() {
    let rule = "name = \"low\"\nkind = \"low_stock\"\nthreshold = 9\n";
    let sum = format!(
        "{rule}group = \"houses\"\nover = \"sum\"\n[connectors.erp]\nkind = \"generic\"\n\
         webhook = {{ secret = \"env:TILL\" }}\n"
    );
    let [north, south] = ["North", "South"].map(|it| format!("name = \"{it}\""));
    let [in_north, in_south] = [&north, &south].map(|it| format!("{it}\ngroups = [\"houses\"]"));
    let shop = Shop::open(&[(rule, &sum), (&north, &in_north), (&south, &in_south)]).await;
    let pump = shop.evaluates();
    named(&shop, "OLD", "08:00:00").await;
    let ten = level(ITEM, 1, 10, "09:00:00");
    shop.hears("inventory_levels/update", &ten).await;
    named(&shop, "NEW", "09:59:00").await;
    pump.idle().await;
    let members = |explained: &Value| {
        let members = explained["group_sums"][0]["members"].as_array().unwrap();
        let shown = |it: &Value| json!([it["location"], it["stock"]["on_hand"]]);
        members.iter().map(shown).collect::<Vec<_>>()
    };
    for (minute, units) in [(0, 20), (1, 2)] {
        apply(&shop, &stated("erp", minute, "OLD", "south", units)).await;
        pump.idle().await;
        // A sum is left alone for a while first.
        shop.ticks().await;
        pump.idle().await;
        let old = shop.explained("OLD", "south").await;
        assert_eq!(old["product"], "OLD", "{old}");
        assert_eq!(old["renamed_from"], Value::Null, "{old}");
        assert_eq!(old["stated_by"], "erp", "{old}");
        assert_eq!(old["stock"]["on_hand"], units, "{old}");
        assert_eq!(members(&old), [json!(["south", units])], "{old}");
        // Where it was, it is the renamed product.
        let new = shop.explained("OLD", "north").await;
        assert_eq!(
            (&new["product"], &new["renamed_from"]),
            (&json!("NEW"), &json!("OLD"))
        );
        assert_eq!(members(&new), [json!(["north", 10])], "{new}");
        let open = shop.alerts(AlertState::Open).await;
        let about: Vec<_> = open.iter().map(|(kind, about, _)| (*kind, about)).collect();
        let low = "OLD in houses".to_owned();
        let expected = [(AlertKind::LowStock, &low)];
        assert_eq!(about, expected[..usize::from(units < 9)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_a_renamed_product_apply_to_it_and_its_alert_goes_on_under_the_new_sku() {
    let rule = r#"
[[rules]]
name = "of the old one"
kind = "low_stock"
product = "OLD"
threshold = 15
"#;
    let shop = Shop::open(&[("threshold = 9\n", &format!("threshold = 9\n{rule}"))]).await;
    let pump = shop.evaluates();
    named(&shop, "OLD", "08:00:00").await;
    let twelve = level(ITEM, 1, 12, "09:00:00");
    shop.hears("inventory_levels/update", &twelve).await;
    pump.idle().await;
    let low = AlertKind::LowStock;
    let of = |sku: &str, ending| (low, format!("{sku} at north"), ending);
    assert_eq!(shop.alerts(AlertState::Open).await, [of("OLD", None)]);
    named(&shop, "NEW", "09:10:00").await;
    pump.idle().await;
    let gone = Some(Ending::Renamed);
    assert_eq!(shop.alerts(AlertState::Resolved).await, [of("OLD", gone)]);
    let over = AlertState::Resolved;
    let over = shop.store.alerts(over, None, 9).await.unwrap();
    let over = &over.items[0].message;
    assert_eq!(over.renamed_to, Some("NEW".parse().unwrap()));
    let templates = Templates::new();
    let text = templates.render(over, &"out".parse().unwrap()).text;
    assert_eq!(
        text,
        "Alert closed: Engine oil – OLD – it goes on as SKU NEW."
    );
    assert_eq!(shop.alerts(AlertState::Open).await, [of("NEW", None)]);
    let open = shop.store.alerts(AlertState::Open, None, 9).await.unwrap();
    assert_eq!(open.items[0].message.product, "Engine oil – NEW");
}

#[tokio::test(start_paused = true)]
async fn a_level_of_one_of_two_summed_items_does_not_cover_an_order_of_the_other() {
    let sum = (DEDUCT.0, format!("{}\nsame_sku = \"sum\"", DEDUCT.1));
    let shop = Shop::open(&[(sum.0, &sum.1)]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for (item, units) in [(ITEM, 10), (OTHER_ITEM, 20)] {
        let said = level(item, 1, units, "09:00:00");
        shop.hears("inventory_levels/update", &said).await;
    }
    // Four of the first.
    shop.hears("orders/create", &order("09:30:00", 4, false, &[]))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(26));
    let other = level(OTHER_ITEM, 1, 19, "09:40:00");
    shop.hears("inventory_levels/update", &other).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(25));
    let own = level(ITEM, 1, 6, "09:31:00");
    shop.hears("inventory_levels/update", &own).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(25));
}

#[tokio::test(start_paused = true)]
async fn a_threshold_that_was_imported_for_the_old_sku_is_the_products_under_the_new_one() {
    let shop = busy().await;
    let rule = "[[rules]]\nname = \"imported: OLD at north\"\nkind = \"low_stock\"\n\
        product = \"OLD\"\nlocation = \"north\"\nthreshold = 3\n";
    let text = format!("{}\n{rule}", crate::shopify::CONFIG);
    let config = shared::config::Config::check(&text, "test.toml").unwrap();
    let imported = config.rules.last().unwrap().clone();
    shop.store
        .change_rules(&[imported], &[], "test")
        .await
        .unwrap();
    named(&shop, "NEW", "09:59:00").await;
    let rules = async |sku: &str| {
        shop.store
            .picture(&sku.parse().unwrap())
            .await
            .unwrap()
            .rules
    };
    assert_eq!(rules("OLD").await, []);
    let new = rules("NEW").await;
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].id.as_str(), "imported: NEW at north");
    assert_eq!(new[0].scope.product, Some("NEW".parse().unwrap()));
    let gone = "imported: OLD at north".parse().unwrap();
    let old = Scope {
        product: Some("OLD".parse().unwrap()),
        ..Scope::default()
    };
    let left = shop.store.imported_rules(&[(old, gone)]).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_takes_the_sku_which_another_gives_up_in_the_same_second_keeps_its_stock() {
    let shop = Shop::open(&[]).await;
    let named = async |items: &[(i64, &str)], at: &str| {
        let body = product("active", at, items);
        shop.hears("products/update", &body).await;
    };
    named(&[(ITEM, "A"), (OTHER_ITEM, "B")], "08:00:00").await;
    for (item, units) in [(ITEM, 3), (OTHER_ITEM, 8)] {
        let stated = level(item, 1, units, "09:00:00");
        shop.hears("inventory_levels/update", &stated).await;
    }
    // Each variant gets the SKU of the next: the first of them last.
    named(&[(OTHER_ITEM, "C"), (ITEM, "B")], "09:10:00").await;
    let on_hand = async |sku: &str| shop.stock(sku, "north").await.map(|stock| stock.on_hand);
    assert_eq!(on_hand("A").await, None);
    assert_eq!((on_hand("B").await, on_hand("C").await), (Some(3), Some(8)));
    for (item, units) in [(OTHER_ITEM, 7), (ITEM, 2)] {
        let stated = level(item, 1, units, "09:20:00");
        shop.hears("inventory_levels/update", &stated).await;
    }
    assert_eq!((on_hand("B").await, on_hand("C").await), (Some(2), Some(7)));
}

/// What is told of an item of the shop's, and how much there must be of it in the end.
#[derive(Clone, Copy)]
struct Told {
    /// Its number, and the SKU that it has at first.
    item: i64,
    sku: &'static str,
    /// The SKU that it gets, and when.
    gets: &'static str,
    at: &'static str,
}

const fn told(item: i64, sku: &'static str, gets: &'static str, at: &'static str) -> Told {
    Told {
        item,
        sku,
        gets,
        at,
    }
}

impl Told {
    /// Its number among the three.
    fn number(&self) -> i64 {
        self.item - ITEM + 1
    }

    fn described(&self, sku: &str, at: &str) -> Value {
        let mut body = product("active", at, &[(self.item, sku)]);
        body["id"] = json!(self.item);
        body
    }

    /// An order of four, of which so many are left.
    fn ordered(&self, updated: &str, current: i64) -> Value {
        let mut body = order(updated, current, false, &[]);
        body["id"] = json!(900 + self.item);
        body["line_items"][0]["id"] = json!(9000 + self.item);
        body["line_items"][0]["sku"] = json!(self.sku);
        body["line_items"][0]["variant_id"] = json!(self.item + 1_000);
        body
    }

    /// Of each there are ten times its number at nine, of which four are ordered and one is sold; the
    /// order is cut to three, and of the first item fifty are counted before the sale and the cut.
    fn stock(&self) -> [i64; 3] {
        let there = match self.number() {
            1 => 51,
            number => 10 * number - 3,
        };
        [there - 1, 3 + self.number(), 3 + 1]
    }
}

/// On hand, reserved and sold of each SKU: what must be there, and what is.
async fn is_as_its_items(shop: &Shop, all: &[Told], case: &str) {
    let mut expected: BTreeMap<&str, [i64; 3]> = BTreeMap::new();
    for told in all {
        expected.entry(told.sku).or_default();
        let sum = expected.entry(told.gets).or_default();
        for (sum, units) in sum.iter_mut().zip(told.stock()) {
            *sum += units;
        }
    }
    for (sku, expected) in expected {
        let found = match quantities(shop, sku).await {
            Some((on_hand, reserved, _, sold)) => [on_hand, reserved, sold],
            None => [0, 0, shop.sold(sku, "north").await],
        };
        assert_eq!(found, expected, "{sku}: {case}");
    }
}

/// In which orders so many things are heard; of more than [`ALL_ORDERS`] some orders, unless `ARRIVALS` says
/// of how many all are.
pub(crate) fn orders_of(count: usize) -> Vec<Vec<usize>> {
    let asked = environment::process("ARRIVALS").map(|it| it.parse().unwrap());
    if count > asked.unwrap_or(ALL_ORDERS) {
        let some = asked.map_or(SOME_ORDERS, |_| MANY_ORDERS);
        let dice = Chance::seeded(11);
        let shuffled = |_| {
            let mut order: Vec<_> = (0..count).collect();
            for last in (1..count).rev() {
                order.swap(last, below(&dice, last + 1));
            }
            order
        };
        return (0..some).map(shuffled).collect();
    }
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let longer = all.into_iter().flat_map(|order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        });
        all = longer.collect();
    }
    all
}

pub(crate) fn below(dice: &Chance, most: usize) -> usize {
    usize::try_from(dice.bits() % u64::try_from(most).unwrap()).unwrap()
}

/// A shop whose items have their first SKUs, with stock, orders, sales and promises.
async fn with_items(all: &[Told], setting: &str) -> Shop {
    let changed = format!("{}\n{setting}", DEDUCT.1);
    let shop = Shop::open(&[(DEDUCT.0, &changed)]).await;
    for told in all {
        let said = told.described(told.sku, "08:00:00");
        shop.hears("products/create", &said).await;
        let said = level(told.item, 1, 10 * told.number(), "09:00:00");
        shop.hears("inventory_levels/update", &said).await;
        shop.hears("orders/create", &told.ordered("09:30:00", 4))
            .await;
        let sale = Act::Sale { quantity: 1 };
        moves(&shop, &format!("sale {}", told.item), told.sku, sale)
            .await
            .unwrap();
        let quantity = 3 + told.number();
        let promise = Act::Reserve { quantity };
        moves(&shop, &format!("promise {}", told.item), told.sku, promise)
            .await
            .unwrap();
    }
    shop
}

/// Hears that all of them get their SKUs, that an order of the first was cut, and, where they are two, a
/// later level of it, in every order of arrival.
async fn whatever_is_heard_first(all: &[Told], setting: &str) {
    let cut = |told: &Told| ("orders/updated", told.ordered("09:55:00", 3));
    let fifty = ("inventory_levels/update", level(ITEM, 1, 50, "09:50:00"));
    let gets = |told: &Told| ("products/update", told.described(told.gets, told.at));
    let mut heard = vec![cut(&all[0])];
    heard.extend(all.iter().map(gets));
    let fifty = (all.len() > 2).then_some(fifty.clone()).or_else(|| {
        heard.push(fifty);
        None
    });
    for order in orders_of(heard.len()) {
        let shop = Box::pin(with_items(all, setting)).await;
        for index in &order {
            let (topic, body) = &heard[*index];
            shop.hears(topic, body).await;
        }
        for (topic, body) in all[1..].iter().map(cut).chain(fifty.clone()) {
            shop.hears(topic, &body).await;
        }
        shop.ticks().await;
        let case = format!("{setting} {order:?}");
        is_as_its_items(&shop, all, &case).await;
        assert_eq!(shop.held(HeldState::Open).await, [], "{case}");
        // Whoever promised it takes it back, some by the new SKU and the rest by the old one.
        for told in all {
            let one = Act::Release { quantity: 1 };
            let key = format!("back {}", told.item);
            moves(&shop, &key, told.gets, one).await.unwrap();
        }
        for told in all.iter().rev() {
            let quantity = 2 + told.number();
            let key = format!("all back {}", told.item);
            let back = moves(&shop, &key, told.sku, Act::Release { quantity }).await;
            back.unwrap_or_else(|error| panic!("{}: {error}: {case}", told.sku));
        }
        for told in all {
            let left = position(&shop, told.gets).await.unwrap().held;
            assert_eq!(left, 0, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_renames_comes_to_the_same_in_any_order() {
    let chain = [
        told(501, "A", "B", "09:10:00"),
        told(502, "B", "C", "09:10:00"),
        told(503, "C", "D", "09:10:00"),
    ];
    Box::pin(whatever_is_heard_first(&chain, "")).await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_renames_that_contradicts_itself_for_a_while_comes_to_the_same() {
    let chain = [
        told(501, "A", "B", "09:10:00"),
        told(502, "B", "C", "09:20:00"),
    ];
    Box::pin(whatever_is_heard_first(&chain, "")).await;
    Box::pin(whatever_is_heard_first(&chain, "same_sku = \"sum\"")).await;
}

#[tokio::test(start_paused = true)]
async fn an_item_that_gets_a_sku_heard_of_before_the_other_left_it_is_its_own() {
    let follows = [
        told(501, "A", "B", "09:10:00"),
        told(502, "C", "A", "09:20:00"),
    ];
    Box::pin(whatever_is_heard_first(&follows, "")).await;
    Box::pin(whatever_is_heard_first(&follows, "same_sku = \"sum\"")).await;
}

#[tokio::test(start_paused = true)]
async fn items_that_get_one_sku_are_one_stock_with_all_that_was_promised() {
    let merged = [
        told(501, "A", "M", "09:10:00"),
        told(502, "B", "M", "09:20:00"),
    ];
    Box::pin(whatever_is_heard_first(&merged, "same_sku = \"sum\"")).await;
    let joins = [
        told(501, "A", "B", "09:10:00"),
        told(502, "B", "B", "08:00:00"),
    ];
    Box::pin(whatever_is_heard_first(&joins, "same_sku = \"sum\"")).await;
}

#[tokio::test(start_paused = true)]
async fn two_items_that_exchange_their_skus_keep_what_is_theirs() {
    let swapped = [
        told(501, "A", "B", "09:10:00"),
        told(502, "B", "A", "09:20:00"),
    ];
    for setting in ["", "same_sku = \"sum\""] {
        for order in orders_of(3) {
            let shop = Box::pin(with_items(&swapped, setting)).await;
            let cut = swapped[0].ordered("09:55:00", 3);
            let heard = [
                ("products/update", swapped[0].described("B", "09:10:00")),
                ("products/update", swapped[1].described("A", "09:20:00")),
                ("orders/updated", cut),
            ];
            for index in &order {
                shop.hears(heard[*index].0, &heard[*index].1).await;
            }
            let cut = swapped[1].ordered("09:55:00", 3);
            shop.hears("orders/updated", &cut).await;
            let fifty = level(ITEM, 1, 50, "09:50:00");
            shop.hears("inventory_levels/update", &fifty).await;
            shop.ticks().await;
            let case = format!("{setting} {order:?}");
            is_as_its_items(&shop, &swapped, &case).await;
            assert_eq!(shop.held(HeldState::Open).await, [], "{case}");
            for (sku, quantity) in [("A", 5), ("B", 4)] {
                let back = Act::Release { quantity };
                moves(&shop, sku, sku, back).await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn however_a_body_lists_the_items_that_take_over_from_each_other_each_keeps_its_own() {
    let chain = [
        told(501, "A", "B", "09:10:00"),
        told(502, "B", "C", "09:10:00"),
        told(503, "C", "D", "09:10:00"),
    ];
    for order in orders_of(3) {
        let shop = Box::pin(with_items(&chain, "")).await;
        let listed = order.iter().map(|index| &chain[*index]);
        let listed: Vec<_> = listed.map(|told| (told.item, told.gets)).collect();
        shop.hears("products/update", &product("active", "09:10:00", &listed))
            .await;
        let fifty = level(ITEM, 1, 50, "09:50:00");
        shop.hears("inventory_levels/update", &fifty).await;
        for told in &chain {
            let cut = told.ordered("09:55:00", 3);
            shop.hears("orders/updated", &cut).await;
        }
        shop.ticks().await;
        is_as_its_items(&shop, &chain, &format!("{order:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_leaves_a_sum_takes_its_part_and_no_more() {
    let both = [told(501, "A", "A", "08:00:00"), told(502, "B", "X", "")];
    let shop = Box::pin(with_items(&both, "same_sku = \"sum\"")).await;
    let second = &both[1];
    shop.hears("products/update", &second.described("A", "09:10:00"))
        .await;
    assert_eq!(quantities(&shop, "A").await, Some((20, 9, 11, 10)));
    // Of whom this is nobody knows: it stays with the SKU.
    let three = Act::Reserve { quantity: 3 };
    moves(&shop, "of both", "A", three).await.unwrap();
    shop.hears("products/update", &second.described("X", "09:20:00"))
        .await;
    assert_eq!(quantities(&shop, "X").await, Some((15, 5, 10, 5)));
    assert_eq!(quantities(&shop, "A").await, Some((5, 5, 0, 5)));
    assert_eq!(position(&shop, "A").await.unwrap().held, 7);
    // An edit of its order is its own, whichever SKU the order names.
    shop.hears("orders/updated", &second.ordered("09:55:00", 1))
        .await;
    assert_eq!(quantities(&shop, "X").await, Some((18, 5, 13, 2)));
    assert_eq!(quantities(&shop, "A").await, Some((5, 5, 0, 5)));
}

#[tokio::test(start_paused = true)]
async fn items_that_a_rename_gives_one_sku_are_told_of_at_once() {
    let both = [
        told(501, "A", "B", "09:10:00"),
        told(502, "B", "B", "08:00:00"),
    ];
    let shop = Box::pin(with_items(&both, "")).await;
    let before = quantities(&shop, "B").await;
    let renamed = both[0].described("B", "09:10:00");
    shop.hears("products/update", &renamed).await;
    let held = shop.held(HeldState::Open).await;
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0].reason, "same_sku");
    // Nobody is believed, and stock stays as it was; what was promised is still promised.
    assert_eq!(shop.on_hand("B", "north").await, before.map(|it| it.0));
    assert_eq!(position(&shop, "B").await.unwrap().held, 9);
    // Looked at again, it is no better.
    shop.ticks().await;
    shop.hears("products/update", &renamed).await;
    assert_eq!(shop.held(HeldState::Open).await.len(), 1);
    let apart = both[0].described("C", "09:20:00");
    shop.hears("products/update", &apart).await;
    assert_eq!(shop.held(HeldState::Open).await, []);
    shop.ticks().await;
    assert_eq!(shop.held(HeldState::Open).await, []);
    assert_eq!(quantities(&shop, "C").await, Some((5, 4, 1, 5)));
    assert_eq!(quantities(&shop, "B").await, before);
}

/// A process that dies at one of its writes, or somebody who does something just before one.
#[derive(Default)]
struct Disturbance {
    left: AtomicI64,
    /// Whether reads count, too.
    reads: AtomicBool,
    does: OnceLock<(Arc<Shop>, Meanwhile)>,
    refused: AtomicI64,
}

/// What somebody does.
enum Meanwhile {
    /// Promises a unit of this SKU.
    Promises(&'static str),
    /// Has the shop hear of a product.
    Hears(Value),
}

#[async_trait]
impl Interference for Disturbance {
    async fn before(&self, call: &Call) -> Verdict {
        let writes = call.operation.contains("Put")
            || call.operation.contains("Write")
            || self.reads.load(Ordering::SeqCst);
        let left = match writes {
            true => self.left.fetch_sub(1, Ordering::SeqCst),
            false => self.left.load(Ordering::SeqCst),
        };
        match self.does.get() {
            Some((shop, Meanwhile::Hears(body))) if writes && left == 1 => {
                Box::pin(shop.hears("products/update", body)).await;
                Verdict::Proceed
            }
            Some((shop, Meanwhile::Promises(sku))) if writes && left == 1 => {
                let promise = Act::Reserve { quantity: 1 };
                let done = Box::pin(moves(shop, "meanwhile", sku, promise)).await;
                if matches!(done, Err(ApplyError::Refused(_))) {
                    self.refused.fetch_add(1, Ordering::SeqCst);
                }
                Verdict::Proceed
            }
            None if left <= 0 => Verdict::ConnectionLost,
            _ => Verdict::Proceed,
        }
    }

    async fn after(&self, _: &Call) -> Verdict {
        let is_dead = self.does.get().is_none() && self.left.load(Ordering::SeqCst) <= 0;
        match is_dead {
            true => Verdict::ConnectionLost,
            false => Verdict::Proceed,
        }
    }
}

async fn disturbed() -> (Shop, Arc<Disturbance>) {
    disturbed_with(&[]).await
}

async fn disturbed_with(changes: &[(&str, &str)]) -> (Shop, Arc<Disturbance>) {
    let disturbance = Arc::new(Disturbance::default());
    disturbance.left.store(i64::MAX, Ordering::SeqCst);
    let settings = Settings {
        interference: Arc::clone(&disturbance) as Arc<dyn Interference>,
        retries: RetryConfig::disabled(),
        ..Settings::default()
    };
    let shop = Shop::disturbed(&[&[DEDUCT], changes].concat(), settings).await;
    for (item, sku, units) in [(ITEM, "A", 10), (OTHER_ITEM, "B", 20)] {
        let of = told(item, sku, "", "");
        shop.hears("products/create", &of.described(sku, "08:00:00"))
            .await;
        for place in [1, 2] {
            let stated = level(item, place, units, "09:00:00");
            shop.hears("inventory_levels/update", &stated).await;
        }
        shop.hears("orders/create", &of.ordered("09:30:00", 4))
            .await;
        let promise = Act::Reserve { quantity: 3 };
        moves(&shop, sku, sku, promise).await.unwrap();
    }
    let rule = "[[rules]]\nname = \"imported: B at north\"\nkind = \"low_stock\"\n\
        product = \"B\"\nlocation = \"north\"\nthreshold = 3\n";
    let text = format!("{}\n{rule}", crate::shopify::CONFIG);
    let config = shared::config::Config::check(&text, "test.toml").unwrap();
    let imported = [config.rules.last().unwrap().clone()];
    shop.store
        .change_rules(&imported, &[], "test")
        .await
        .unwrap();
    (shop, disturbance)
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_within_a_rename_leaves_nothing_behind_that_is_not_carried_later() {
    // The second item leaves its SKU as the last, then the first takes it.
    let chain = [(OTHER_ITEM, "C"), (ITEM, "B")];
    let body = product("active", "09:40:00", &chain);
    for calls in 1.. {
        let (shop, disturbance) = Box::pin(disturbed()).await;
        disturbance.left.store(calls, Ordering::SeqCst);
        let (status, _) = shop.is_sent("products/update", &body, None).await;
        let died = disturbance.left.load(Ordering::SeqCst) <= 0;
        disturbance.left.store(i64::MAX, Ordering::SeqCst);
        if status != 200 {
            shop.hears("products/update", &body).await;
        }
        shop.ticks().await;
        assert_eq!(quantities(&shop, "A").await, None, "{calls}");
        assert_eq!(quantities(&shop, "B").await, Some((6, 3, 3, 4)), "{calls}");
        assert_eq!(
            quantities(&shop, "C").await,
            Some((16, 3, 13, 4)),
            "{calls}"
        );
        assert_eq!(shop.on_hand("B", "south").await, Some(10), "{calls}");
        assert_eq!(shop.on_hand("C", "south").await, Some(20), "{calls}");
        let rules = shop.store.picture(&"C".parse().unwrap()).await.unwrap();
        let rules: Vec<_> = rules.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(rules, ["imported: C at north"], "{calls}");
        assert!(!shop.store.is_coming(&"B".parse().unwrap()).await.unwrap());
        assert_eq!(shop.held(HeldState::Open).await, [], "{calls}");
        if !died {
            assert!(calls > 15, "{calls}");
            break;
        }
    }
}

/// The threshold goes along before the stock does. The evaluator may be behind, and whoever renames it may die
/// in between.
#[tokio::test(start_paused = true)]
async fn what_is_renamed_is_never_judged_without_its_own_threshold_nor_in_a_part_of_its_sum() {
    let together = "threshold = 9\n[[rules]]\nname = \"together\"\nkind = \"low_stock\"\n\
        group = \"all\"\nover = \"sum\"\nthreshold = 20\n";
    let north = ("name = \"North\"", "name = \"North\"\ngroups = [\"all\"]");
    let south = ("name = \"South\"", "name = \"South\"\ngroups = [\"all\"]");
    let changes = [("threshold = 9\n", together), north, south];
    // Three of them are promised: five are few by everybody's threshold, and not by its own of three. With
    // the twenty in the south there are enough.
    let eight = level(OTHER_ITEM, 1, 8, "09:39:59");
    let renamed = told(OTHER_ITEM, "B", "", "").described("C", "09:40:00");
    for calls in 1.. {
        let (shop, disturbance) = Box::pin(disturbed_with(&changes)).await;
        shop.hears("inventory_levels/update", &eight).await;
        disturbance.left.store(calls, Ordering::SeqCst);
        let (status, _) = shop.is_sent("products/update", &renamed, None).await;
        let died = disturbance.left.load(Ordering::SeqCst) <= 0;
        disturbance.left.store(i64::MAX, Ordering::SeqCst);
        let pump = shop.evaluates();
        pump.idle().await;
        if status != 200 {
            shop.hears("products/update", &renamed).await;
        }
        shop.ticks().await;
        pump.idle().await;
        for state in [AlertState::Open, AlertState::Resolved] {
            let mut told = shop.alerts(state).await;
            told.retain(|(_, about, _)| !about.starts_with('A'));
            assert_eq!(told, [], "{calls}");
        }
        assert_eq!(quantities(&shop, "C").await, Some((8, 3, 5, 4)), "{calls}");
        assert_eq!(shop.on_hand("C", "south").await, Some(20), "{calls}");
        if !died {
            assert!(calls > 8, "{calls}");
            break;
        }
    }
}

/// A variant that only another system states was ordered under its old SKU; then the shop states it, too.
#[tokio::test(start_paused = true)]
async fn whoever_dies_as_an_item_is_first_stated_leaves_its_orders_to_who_hears_of_it_again() {
    let third = told(ITEM + 2, "X", "", "");
    let thirty = level(third.item, 1, 30, "09:20:00");
    for calls in 1.. {
        let (shop, disturbance) = Box::pin(disturbed()).await;
        apply(&shop, &stated("erp", 0, "X", "north", 31)).await;
        shop.hears("products/create", &third.described("X", "08:00:00"))
            .await;
        shop.hears("orders/create", &third.ordered("09:30:00", 4))
            .await;
        shop.hears("products/update", &third.described("Z", "09:40:00"))
            .await;
        assert_eq!(shop.on_hand("X", "north").await, Some(27));
        disturbance.left.store(calls, Ordering::SeqCst);
        let (status, _) = shop.is_sent("inventory_levels/update", &thirty, None).await;
        let died = disturbance.left.load(Ordering::SeqCst) <= 0;
        disturbance.left.store(i64::MAX, Ordering::SeqCst);
        if status != 200 {
            shop.hears("inventory_levels/update", &thirty).await;
        }
        shop.ticks().await;
        let of = async |sku: &str| {
            (
                shop.on_hand(sku, "north").await,
                shop.sold(sku, "north").await,
            )
        };
        assert_eq!(of("Z").await, (Some(26), 4), "{calls}");
        assert_eq!(of("X").await, (Some(31), 0), "{calls}");
        if !died {
            assert!(calls > 4, "{calls}");
            break;
        }
    }
}

/// A new variant has the SKU that another gave up, and was ordered before it was described. The order may be
/// heard of again before its description is.
#[tokio::test(start_paused = true)]
async fn whoever_dies_as_a_new_item_takes_a_sku_leaves_its_order_to_who_hears_of_either_again() {
    let third = told(ITEM + 2, "A", "", "");
    let described = third.described("A", "09:37:00");
    for calls in 1.. {
        let mut died = false;
        for order_first in [false, true] {
            let (shop, disturbance) = Box::pin(disturbed()).await;
            let first = told(ITEM, "A", "", "").described("C", "09:20:00");
            shop.hears("products/update", &first).await;
            shop.hears("orders/create", &third.ordered("09:30:00", 4))
                .await;
            disturbance.left.store(calls, Ordering::SeqCst);
            let (status, _) = shop.is_sent("products/create", &described, None).await;
            died |= disturbance.left.load(Ordering::SeqCst) <= 0;
            disturbance.left.store(i64::MAX, Ordering::SeqCst);
            if order_first {
                shop.hears("orders/updated", &third.ordered("09:50:00", 3))
                    .await;
            }
            if status != 200 {
                shop.hears("products/create", &described).await;
            }
            shop.hears("orders/updated", &third.ordered("09:50:00", 3))
                .await;
            shop.ticks().await;
            let sold = [shop.sold("A", "north").await, shop.sold("C", "north").await];
            assert_eq!(sold, [3, 4], "{calls}");
            assert_eq!(shop.on_hand("C", "north").await, Some(6), "{calls}");
            assert_eq!(shop.held(HeldState::Open).await, [], "{calls}");
        }
        if !died {
            assert!(calls > 8, "{calls}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_promises_in_the_instant_of_a_rename_is_not_refused_for_good() {
    for sku in ["A", "Z"] {
        for calls in 1.. {
            let (shop, disturbance) = Box::pin(disturbed()).await;
            let of = told(ITEM, "A", "", "");
            // Away and back: both SKUs have been the item's.
            shop.hears("products/update", &of.described("Z", "09:40:00"))
                .await;
            let shop = Arc::new(shop);
            let promises = Meanwhile::Promises(sku);
            assert!(disturbance.does.set((Arc::clone(&shop), promises)).is_ok());
            disturbance.left.store(calls, Ordering::SeqCst);
            let back = of.described("A", "09:50:00");
            shop.hears("products/update", &back).await;
            let is_done = disturbance.left.load(Ordering::SeqCst) > 0;
            let refused = disturbance.refused.load(Ordering::SeqCst);
            assert_eq!(refused, 0, "{sku} {calls}");
            if is_done {
                break;
            }
            // Whoever was told to try again does.
            let promise = Act::Reserve { quantity: 1 };
            moves(&shop, "meanwhile", sku, promise).await.unwrap();
            assert_eq!(quantities(&shop, "A").await, Some((6, 4, 2, 4)), "{calls}");
            assert_eq!(quantities(&shop, "Z").await, None, "{calls}");
        }
    }
}

/// The other way round: the rename happens between two reads of the movement.
#[tokio::test(start_paused = true)]
async fn who_moves_what_is_renamed_meanwhile_is_not_refused_for_good() {
    for sku in ["A", "Z"] {
        let mut is_done = false;
        for calls in 1.. {
            if is_done {
                assert!(calls > 3, "{sku} {calls}");
                break;
            }
            let (shop, disturbance) = Box::pin(disturbed()).await;
            let shop = Arc::new(shop);
            let of = told(ITEM, "A", "", "");
            let renamed = Meanwhile::Hears(of.described("Z", "09:40:00"));
            assert!(disturbance.does.set((Arc::clone(&shop), renamed)).is_ok());
            disturbance.reads.store(true, Ordering::SeqCst);
            disturbance.left.store(calls, Ordering::SeqCst);
            let sale = Act::Sale { quantity: 1 };
            let moved = moves(&shop, "sale", sku, sale).await;
            is_done = disturbance.left.load(Ordering::SeqCst) > 0;
            if is_done && sku == "Z" {
                break; // nobody has heard of it
            }
            assert!(moved.is_ok(), "{sku} {calls}: {moved:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_as_the_last_source_leaves_the_old_sku_is_mended_when_that_is_heard_again() {
    let new: ProductId = "Z".parse().unwrap();
    let old: ProductId = "A".parse().unwrap();
    for calls in 1.. {
        let (shop, disturbance) = Box::pin(disturbed()).await;
        for place in ["north", "south"] {
            apply(&shop, &stated("erp", 0, "A", place, 6)).await;
        }
        let renamed = told(ITEM, "A", "", "").described("Z", "09:40:00");
        shop.hears("products/update", &renamed).await;
        apply(&shop, &over(true, "erp", 60, "A", "south")).await;
        let end = over(true, "erp", 60, "A", "north");
        disturbance.left.store(calls, Ordering::SeqCst);
        let first = shop.store.apply(&end, &Default::default()).await;
        let died = disturbance.left.load(Ordering::SeqCst) <= 0;
        disturbance.left.store(i64::MAX, Ordering::SeqCst);
        assert_eq!(first.is_err(), died, "{calls}: {first:?}");
        shop.store.apply(&end, &Default::default()).await.unwrap();
        for left in shop.store.positions_of(&old).await.unwrap() {
            assert_eq!(left.renamed_to(), Some(&new), "{calls} {}", left.location);
            assert_eq!(
                (left.held, left.stock(&Default::default())),
                (0, None),
                "{calls}"
            );
        }
        assert_eq!(position(&shop, "Z").await.unwrap().held, 3, "{calls}");
        assert_eq!(shop.store.current_name(&old).await.unwrap(), new, "{calls}");
        if !died {
            assert!(calls > 3, "{calls}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_newer_rename_that_is_heard_within_an_older_one_is_not_taken_back() {
    // To a SKU that nobody has, and to one that another item has; at every other call each.
    for (older, first) in [("Z", 1), ("B", 2)] {
        for calls in (first..).step_by(2) {
            let (shop, disturbance) = Box::pin(disturbed()).await;
            let shop = Arc::new(shop);
            let of = told(ITEM, "A", "", "");
            let newer = Meanwhile::Hears(of.described("C", "09:50:00"));
            assert!(disturbance.does.set((Arc::clone(&shop), newer)).is_ok());
            disturbance.left.store(calls, Ordering::SeqCst);
            let body = of.described(older, "09:40:00");
            shop.hears("products/update", &body).await;
            let is_done = disturbance.left.load(Ordering::SeqCst) > 0;
            if is_done {
                assert!(calls > 8, "{older} {calls}");
                break;
            }
            shop.ticks().await;
            let case = format!("{older} {calls}");
            assert_eq!(quantities(&shop, "A").await, None, "{case}");
            assert_eq!(quantities(&shop, "Z").await, None, "{case}");
            assert_eq!(quantities(&shop, "B").await, Some((16, 3, 13, 4)), "{case}");
            assert_eq!(quantities(&shop, "C").await, Some((6, 3, 3, 4)), "{case}");
            for sku in ["A", "B", "C", "Z"] {
                let coming = shop.store.is_coming(&sku.parse().unwrap()).await;
                assert!(!coming.unwrap(), "{case}: {sku}");
            }
            assert_eq!(shop.held(HeldState::Open).await, [], "{case}");
            // Who uses the first SKU reaches the item.
            let promise = Act::Reserve { quantity: 1 };
            moves(&shop, "after", "A", promise).await.unwrap();
            assert_eq!(quantities(&shop, "C").await, Some((6, 4, 2, 4)), "{case}");
        }
    }
}

/// An item that is offered no longer keeps its SKU and what it has there: it may be offered again.
#[tokio::test(start_paused = true)]
async fn what_is_of_an_archived_item_is_there_when_it_is_offered_again() {
    let both = |state: &str, time: &str, first: &str, second: &str| {
        product(state, time, &[(ITEM, first), (OTHER_ITEM, second)])
    };
    // The second leaves B and the first takes it; then both are archived and offered again.
    let (shop, _) = Box::pin(disturbed()).await;
    for body in [
        both("active", "09:40:00", "A", "C"),
        both("active", "09:41:00", "B", "C"),
        both("archived", "09:42:00", "B", "C"),
        both("active", "09:43:00", "B", "C"),
    ] {
        shop.hears("products/update", &body).await;
    }
    shop.ticks().await;
    assert_eq!(quantities(&shop, "B").await, Some((6, 3, 3, 4)));
    assert_eq!(quantities(&shop, "C").await, Some((16, 3, 13, 4)));
    assert_eq!(quantities(&shop, "A").await, None);

    // The first is archived, the second takes its SKU, the first is offered again under another.
    let (shop, _) = Box::pin(disturbed()).await;
    let only = |state: &str, time: &str, sku: &str| {
        let mut body = product(state, time, &[(ITEM, sku)]);
        body["id"] = json!(ITEM);
        body
    };
    let archived = only("archived", "09:40:00", "A");
    shop.hears("products/update", &archived).await;
    let takes = told(OTHER_ITEM, "B", "", "").described("A", "09:41:00");
    shop.hears("products/update", &takes).await;
    assert_eq!(shop.on_hand("A", "north").await, Some(16));
    let again = only("active", "09:42:00", "D");
    shop.hears("products/update", &again).await;
    shop.ticks().await;
    assert_eq!(quantities(&shop, "D").await, Some((6, 3, 3, 4)));
    assert_eq!(quantities(&shop, "A").await, Some((16, 3, 13, 4)));
}
