//! A product that gets another SKU is the same product: whatever was true of it is true of it under the
//! new one, and who still uses the old one reaches it.

use jiff::Timestamp;
use serde_json::json;
use shared::clock::Clock;
use shared::domain::alert::{AlertState, Ending};
use shared::domain::message::Stock;
use shared::domain::rule::Scope;
use shared::domain::{AlertKind, Position, ProductId};
use shared::store::keys;
use shared::store::movements::{Act, Movement};
use shared::store::quarantine::HeldState;
use shared::store::stock::ApplyError;

use crate::bench::{at, level as stated};
use crate::shopify::{ITEM, OTHER_ITEM, Shop, level, order, product, refund};

const DEDUCT: (&str, &str) = (
    "default_location = \"north\"",
    "default_location = \"north\"\norders = \"deduct\"",
);

/// Describes the shop's one item by this SKU.
async fn named(shop: &Shop, sku: &str, at: &str) {
    let body = product("active", at, &[(ITEM, sku)]);
    shop.hears("products/update", &body).await;
}

async fn moves(shop: &Shop, key: &str, sku: &str, act: Act) -> Result<(), ApplyError> {
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
}

#[tokio::test(start_paused = true)]
async fn what_a_source_says_late_of_the_old_sku_reaches_the_product_and_what_it_says_later_does_not()
 {
    let shop = busy().await;
    named(&shop, "NEW", "09:59:00").await;
    let authority = Default::default();
    assert!(at(0) < "2026-11-22T09:00:00Z".parse::<Timestamp>().unwrap());
    let late = stated("erp", 0, "OLD", "north", 6);
    shop.store.apply(&late, &authority).await.unwrap();
    assert_eq!(quantities(&shop, "OLD").await, None);
    let known = position(&shop, "NEW").await.unwrap();
    assert!(known.stated_by(&"erp".parse().unwrap()).is_some());
    let now = Clock::system().now().duration_since(at(0)).as_mins() + 60 * 24 * 365;
    let later = stated("erp", now, "OLD", "north", 5);
    shop.store.apply(&later, &authority).await.unwrap();
    assert_eq!(quantities(&shop, "OLD").await, Some((5, 0, 5, 0)));
    assert_eq!(quantities(&shop, "NEW").await, Some((8, 4, 4, 2)));
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
    let gone = Some(Ending::NoLongerStated);
    assert_eq!(shop.alerts(AlertState::Resolved).await, [of("OLD", gone)]);
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
