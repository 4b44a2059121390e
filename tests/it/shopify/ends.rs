//! What ends with an item, a product, a place or a connector, in whichever order that is heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use lotwire::engine::Settings;
use serde_json::json;
use shared::domain::alert::{AlertKind, AlertState, Ending};
use shared::domain::event::{Change, Level, Offer, StockEvent, Version};
use shared::domain::item::{Dated, ItemStatement};
use shared::store::keys;
use shared::store::quarantine::HeldState;

use super::{Breaks, ITEM, OTHER_ITEM, Shop, level, product};

#[tokio::test(start_paused = true)]
async fn what_is_archived_states_nothing_until_it_is_active_again() {
    let shop = Shop::open(&[]).await;
    let is = |status: &str, at: &str| product(status, at, &[(ITEM, "OIL")]);
    shop.hears("products/create", &is("active", "08:00:00"))
        .await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    shop.hears("products/update", &is("archived", "09:10:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    // Levels go on coming, also at places where there were none.
    shop.hears("inventory_levels/update", &level(ITEM, 1, 6, "09:20:00"))
        .await;
    shop.hears("inventory_levels/update", &level(ITEM, 2, 3, "09:20:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    assert_eq!(shop.on_hand("OIL", "south").await, None);
    // An older word comes late.
    shop.hears("products/update", &is("active", "09:05:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    shop.hears("products/update", &is("active", "09:30:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    assert_eq!(shop.on_hand("OIL", "south").await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_archived_and_then_deleted_has_ended_in_whichever_order_that_is_heard() {
    let is = |status: &str, at: &str| product(status, at, &[(ITEM, "OIL")]);
    let steps = [
        ("products/update", is("archived", "09:20:00")),
        ("products/update", is("active", "09:25:00")),
        ("inventory_items/delete", json!({ "id": ITEM })),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let shop = Shop::open(&[]).await;
        shop.hears("products/create", &is("active", "08:00:00"))
            .await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        for step in order {
            let (topic, body) = &steps[step];
            shop.hears_at(topic, body, Some("2026-11-22T09:30:00Z"))
                .await;
        }
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_archived_twice_has_ended_although_it_was_described_before_the_first_was_heard()
 {
    let shop = Shop::open(&[]).await;
    let is = |status: &str, at: &str| product(status, at, &[(ITEM, "OIL")]);
    shop.hears("products/create", &is("active", "08:00:00"))
        .await;
    let described = json!({ "id": ITEM, "sku": "OIL", "updated_at": "2026-11-22T09:30:00Z" });
    shop.hears("inventory_items/update", &described).await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:30:00"))
        .await;
    shop.hears("products/update", &is("archived", "09:20:00"))
        .await;
    shop.hears("products/update", &is("archived", "09:40:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
}

/// A product's word, at that time, that its item is offered or not.
fn offers(offered: bool, at: &str) -> StockEvent {
    let at: Timestamp = format!("2026-11-22T{at}Z").parse().unwrap();
    StockEvent {
        id: format!("offer/{at}").parse().unwrap(),
        source: "shop".parse().unwrap(),
        at,
        actor: None,
        change: Change::Offered(Offer {
            kind: "inventory_item".to_owned(),
            product: Some("77".to_owned()),
            names: vec![ITEM.to_string()],
            complete: true,
            offered: Some(offered),
            version: Version::at(at),
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_carried_after_a_crash_is_in_the_ledger_as_the_word_of_who_said_it() {
    let (ended, again) = (offers(false, "09:10:00"), offers(true, "09:20:00"));
    let authority = Default::default();
    // Whoever offers it again stops after so many calls, until he comes to his end.
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &active).await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        shop.store.apply(&ended, &authority).await.unwrap();
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.store.apply(&again, &authority).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        // Both are applied once more, the older one first: it waited too.
        shop.store.apply(&ended, &authority).await.unwrap();
        shop.store.apply(&again, &authority).await.unwrap();
        assert_eq!(shop.on_hand("OIL", "north").await, Some(7), "{calls}");
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let events: Vec<_> = rows.iter().skip(1).map(|row| row.event.as_str()).collect();
        assert_eq!(events, [ended.id.as_str(), again.id.as_str()], "{calls}");
        if is_whole {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_description_finishes_for_an_archive_is_in_the_ledger_as_the_word_of_the_archive() {
    let ended = offers(false, "09:10:00");
    let authority = Default::default();
    // Whoever ends it stops after so many calls, until he comes to his end.
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &active).await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.store.apply(&ended, &authority).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        let described = json!({ "id": ITEM, "sku": "OIL", "updated_at": "2026-11-22T09:20:00Z" });
        shop.hears("inventory_items/update", &described).await;
        shop.store.apply(&ended, &authority).await.unwrap();
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{calls}");
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let endings: Vec<_> = rows
            .iter()
            .filter(|row| row.change == "item_ended")
            .collect();
        assert_eq!(endings.len(), 1, "{calls}");
        assert_eq!(endings[0].event, ended.id, "{calls}");
        if is_whole {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_a_level_is_read_is_in_the_ledger_as_the_word_of_the_end() {
    let shop = Shop::open(&[]).await;
    let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &active).await;
    let (ended, authority) = (offers(false, "09:10:00"), Default::default());
    shop.store.apply(&ended, &authority).await.unwrap();
    // Read before the end was heard, so without it, and written after.
    let at: Timestamp = "2026-11-22T09:05:00Z".parse().unwrap();
    let stated = StockEvent {
        id: "level/09:05".parse().unwrap(),
        at,
        change: Change::Item(Box::new(ItemStatement {
            called: None,
            offered_by: None,
            product: "OIL".parse().unwrap(),
            location: "north".parse().unwrap(),
            item: format!("inventory_item {ITEM}"),
            level: Some(Dated {
                version: Version::at(at),
                value: Some(Level {
                    on_hand: 7,
                    reserved: None,
                    incoming: None,
                    unavailable: None,
                }),
            }),
            offered: None,
            named: None,
        })),
        ..ended.clone()
    };
    shop.store.apply(&stated, &authority).await.unwrap();
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
    let name = ITEM.to_string();
    let sources = &authority.quantities;
    let settled = shop
        .store
        .settle_name(&stated, "inventory_item", &name, sources);
    settled.await.unwrap();
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
    let rows = shop.store.history(&of, None, 100).await.unwrap().items;
    let events: Vec<_> = rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, [stated.id.as_str(), ended.id.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_or_disconnected_states_nothing_any_more() {
    let ids = |key: &str, id: i64| json!({ key: id });
    let ends = [
        ("products/delete", ids("id", 77), false),
        ("inventory_items/delete", ids("id", ITEM), false),
        (
            "inventory_levels/disconnect",
            json!({ "inventory_item_id": ITEM, "location_id": 1 }),
            true,
        ),
    ];
    for (topic, body, only_north) in ends {
        let shop = Shop::open(&[]).await;
        shop.hears(
            "products/create",
            &product("active", "08:00:00", &[(ITEM, "OIL")]),
        )
        .await;
        for place in [1, 2] {
            shop.hears(
                "inventory_levels/update",
                &level(ITEM, place, 7, "09:00:00"),
            )
            .await;
        }
        let ended = Some("2026-11-22T09:30:00Z");
        shop.hears_at(topic, &body, ended).await;
        // Older words come late.
        shop.hears("inventory_levels/update", &level(ITEM, 1, 8, "09:10:00"))
            .await;
        shop.hears(
            "products/update",
            &product("active", "09:10:00", &[(ITEM, "OIL")]),
        )
        .await;
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{topic}");
        let south = shop.on_hand("OIL", "south").await;
        assert_eq!(south, only_north.then_some(7), "{topic}");
        assert_eq!(shop.held(HeldState::Open).await, [], "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_variant_and_one_without_a_sku_state_nothing_any_more() {
    let shop = Shop::open(&[]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "GAS")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for item in [ITEM, OTHER_ITEM] {
        shop.hears("inventory_levels/update", &level(item, 1, 7, "09:00:00"))
            .await;
    }
    shop.hears(
        "products/update",
        &product("active", "09:10:00", &[(ITEM, "OIL")]),
    )
    .await;
    assert_eq!(shop.on_hand("GAS", "north").await, None);
    shop.hears(
        "products/update",
        &product("active", "09:20:00", &[(ITEM, "")]),
    )
    .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
}

#[tokio::test(start_paused = true)]
async fn an_alert_closes_with_the_reason_where_its_item_ends() {
    let low = AlertKind::LowStock;
    let over = |sku: &str| (low, format!("{sku} at north"), Some(Ending::NoLongerStated));
    let is = |status: &str, sku: &str| product(status, "09:10:00", &[(ITEM, sku)]);
    let gone = json!({ "inventory_item_id": ITEM, "location_id": 1 });
    let ends = [
        ("products/update", is("archived", "OIL")),
        ("products/update", is("active", "OIL-NEW")),
        ("products/delete", json!({ "id": 77 })),
        ("inventory_levels/disconnect", gone),
    ];
    for (topic, body) in ends {
        let shop = Shop::open(&[]).await;
        let carried = shop.evaluates();
        let described = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &described).await;
        shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
            .await;
        carried.idle().await;
        let open = shop.alerts(AlertState::Open).await;
        assert_eq!(open, [(low, over("OIL").1, None)], "{topic}");
        shop.hears(topic, &body).await;
        carried.idle().await;
        let renamed = body["variants"][0]["sku"] == "OIL-NEW";
        let mut closed = over("OIL");
        if renamed {
            closed.2 = Some(Ending::Renamed);
        }
        let resolved = shop.alerts(AlertState::Resolved).await;
        assert_eq!(resolved, [closed], "{body}");
        // Under its new name it is as low as it was.
        let open = shop.alerts(AlertState::Open).await;
        let expected = renamed.then(|| (low, over("OIL-NEW").1, None));
        assert_eq!(open, Vec::from_iter(expected), "{body}");
        carried.stop().await;
    }
}

/// An end that was known of the item and had not reached the position yet, when a level that was read
/// before is applied once more.
#[tokio::test(start_paused = true)]
async fn what_a_repeated_level_carries_is_in_the_ledger_as_the_word_of_the_end() {
    let ended = offers(false, "09:10:00");
    let authority = Default::default();
    // Whoever ends it stops after so many calls, until he comes to his end.
    for calls in 0.. {
        let breaks = Arc::new(Breaks(AtomicUsize::new(usize::MAX)));
        let settings = Settings {
            interference: Arc::clone(&breaks) as _,
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let active = product("active", "08:00:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &active).await;
        let mut stated = level(ITEM, 1, 7, "09:00:00");
        shop.hears("inventory_levels/update", &stated).await;
        breaks.0.store(calls, Ordering::SeqCst);
        let is_whole = shop.store.apply(&ended, &authority).await.is_ok();
        breaks.0.store(usize::MAX, Ordering::SeqCst);
        stated["sent"] = json!("again");
        shop.hears("inventory_levels/update", &stated).await;
        shop.store.apply(&ended, &authority).await.unwrap();
        assert_eq!(shop.on_hand("OIL", "north").await, None, "{calls}");
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let rows: Vec<_> = rows
            .iter()
            .skip(1)
            .map(|row| (row.change.as_str(), row.event.as_str()))
            .collect();
        assert_eq!(rows, [("item_ended", ended.id.as_str())], "{calls}");
        if is_whole {
            return;
        }
    }
}

/// What was overtaken is not told as what is there.
#[tokio::test(start_paused = true)]
async fn nobody_hears_an_older_level_when_the_connector_of_the_newer_one_is_removed() {
    let (shop_of, erp) = (
        "[connectors.shop]",
        "[connectors.erp]\nkind = \"files\"\nurl = \"/nowhere/drop\"\n[connectors.shop]",
    );
    let shop = Shop::open(&[(shop_of, erp)]).await;
    let carried = shop.evaluates();
    let described = product("active", "08:00:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/create", &described).await;
    for item in [ITEM, OTHER_ITEM] {
        let stated = level(item, 1, 40, "08:30:00");
        shop.hears("inventory_levels/update", &stated).await;
    }
    carried.idle().await;
    for (sku, units) in [("OIL", 0), ("GAS", 40)] {
        let mut said = crate::bench::level("erp", 1, sku, "north", units);
        said.at = "2026-11-22T09:40:00Z".parse().unwrap();
        if let Change::LevelSet { version, .. } = &mut said.change {
            *version = Version::at(said.at);
        }
        shop.store.apply(&said, &Default::default()).await.unwrap();
    }
    carried.idle().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(0));
    let resolved = shop.alerts(AlertState::Resolved).await;
    shop.configure(&[]).await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    assert_eq!(shop.on_hand("GAS", "north").await, Some(40), "as much");
    let mut ended = shop.alerts(AlertState::Resolved).await;
    ended.retain(|it| !resolved.contains(it));
    assert!(
        ended
            .iter()
            .all(|(.., ending)| *ending != Some(Ending::Recovered)),
        "{ended:?}"
    );
    // It counts once it is said again.
    let stated = level(ITEM, 1, 39, "09:50:00");
    shop.hears("inventory_levels/update", &stated).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(39));
    carried.stop().await;
}
