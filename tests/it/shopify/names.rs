//! What waits for a name, and what becomes of stock when a name changes or leads elsewhere.

use ingest::Selection;
use serde_json::{Value, json};
use shared::domain::alert::{AlertKind, AlertState};
use shared::store::keys;
use shared::store::quarantine::{HeldState, Quarantined};

use super::{ALL, CONFIG, EXCHANGED, ITEM, OTHER_ITEM, Shop, level, order, product};

/// What the shop says now waits for nothing, however little before something older was applied.
#[tokio::test(start_paused = true)]
async fn a_level_that_comes_at_once_is_told_at_once_although_one_before_it_came_late() {
    let shop = Shop::open(&[]).await;
    let pump = shop.evaluates();
    let waits = level(ITEM, 1, 20, "09:00:00");
    shop.hears("inventory_levels/update", &waits).await;
    let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &described).await;
    for _ in 0..4 {
        if shop.on_hand("OIL", "north").await.is_none() {
            shop.tick().await;
        }
    }
    pump.idle().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(20));
    let sold_out = level(ITEM, 1, 0, "10:00:00");
    shop.hears("inventory_levels/update", &sold_out).await;
    pump.idle().await;
    assert_eq!(shop.alerts(AlertState::Open).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_levels_that_waited_for_their_product_people_are_told_what_holds_in_the_end() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (last, open) in [(30, 0), (4, 1)] {
        for order in orders {
            let shop = Shop::open(&[]).await;
            let pump = shop.evaluates();
            let said = [(20, "09:00:00"), (2, "09:10:00"), (last, "09:20:00")];
            for (units, at) in order.map(|which| said[which]) {
                let said = level(ITEM, 1, units, at);
                shop.hears("inventory_levels/update", &said).await;
            }
            let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
            shop.hears("products/create", &described).await;
            for _ in 0..3 {
                shop.ticks().await;
                pump.idle().await;
            }
            assert_eq!(shop.on_hand("OIL", "north").await, Some(last));
            let now = shop.alerts(AlertState::Open).await;
            assert_eq!(now.len(), open, "{order:?} {now:?}");
            let mut over = shop.alerts(AlertState::Resolved).await;
            over.retain(|(kind, ..)| *kind == AlertKind::LowStock);
            assert_eq!(over, [], "{order:?}");
            let alerts = shop.store.alerts(AlertState::Open, None, 9).await.unwrap();
            for alert in alerts.items {
                assert_eq!(alert.message.after.map(|it| it.on_hand), Some(last));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_level_before_its_product_is_applied_once_the_product_is_described() {
    let shop = Shop::open(&[]).await;
    let said = shop
        .hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    assert_eq!(said["quarantined"], 1);
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    shop.hears(
        "products/create",
        &product("active", "08:59:00", &[(ITEM, "OIL")]),
    )
    .await;
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
    // And what waited is no work any more.
    assert_eq!(shop.held(HeldState::Open).await, []);
    assert_eq!(shop.held(HeldState::Closed).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_line_known_by_its_variant_alone_waits_for_the_variant() {
    let shop = Shop::open(&[]).await;
    let mut body = order("09:30:00", 4, false, &[]);
    body["line_items"][0]["sku"] = Value::Null;
    assert_eq!(shop.hears("orders/create", &body).await["quarantined"], 1);
    shop.hears(
        "products/create",
        &product("active", "08:59:00", &[(ITEM, "OIL")]),
    )
    .await;
    shop.ticks().await;
    assert_eq!(shop.sold("OIL", "north").await, 4);
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_level_at_a_place_is_applied_once_a_configuration_names_the_place() {
    let unnamed = (r#", "2" = "south""#, "");
    let shop = Shop::open(&[unnamed]).await;
    shop.hears(
        "products/create",
        &product("active", "08:59:00", &[(ITEM, "OIL")]),
    )
    .await;
    shop.hears("inventory_levels/update", &level(ITEM, 2, 5, "09:00:00"))
        .await;
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "south").await, None);
    assert_eq!(shop.held(HeldState::Open).await.len(), 1);
    shop.configure(&[]).await;
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "south").await, Some(5));
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_level_at_a_place_that_was_taken_for_another_is_at_the_right_one_only() {
    let east = "[locations.east]\nname = \"East\"\nkind = \"warehouse\"\n[connectors.shop]";
    let east = ("[connectors.shop]", east);
    let shop = Shop::open(&[east]).await;
    let _pump = shop.evaluates();
    let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
    let stated = level(ITEM, 2, 5, "09:00:00");
    shop.hears("products/create", &described).await;
    shop.hears("inventory_levels/update", &stated).await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    let there = async || {
        let mut there = Vec::new();
        for place in ["north", "south", "east"] {
            there.push(shop.on_hand("OIL", place).await);
        }
        there
    };
    assert_eq!(there().await, [Some(7), Some(5), None]);

    let right = (r#""2" = "south""#, r#""2" = "east""#);
    shop.configure(&[east, right]).await;
    shop.ticks().await;
    assert_eq!(there().await, [Some(7), None, None]);
    // What was heard before is applied again.
    let all = Selection::Between {
        from: None,
        until: None,
    };
    let connector = "shop".parse().unwrap();
    shop.ingest.replay(&connector, &all, None).await.unwrap();
    assert_eq!(there().await, [Some(7), None, Some(5)]);
    // Nor does what is said of the item bring the wrong place back.
    for (state, at) in [("archived", "09:10:00"), ("active", "09:11:00")] {
        shop.hears("products/update", &product(state, at, &[(ITEM, "OIL")]))
            .await;
    }
    assert_eq!(there().await, [Some(7), None, Some(5)]);
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_place_waits_for_a_default_one() {
    let shop = Shop::open(&[("default_location = \"north\"\n", "")]).await;
    let said = shop
        .hears("orders/create", &order("09:30:00", 4, false, &[]))
        .await;
    assert_eq!(said["quarantined"], 1);
    shop.configure(&[]).await;
    shop.ticks().await;
    assert_eq!(shop.sold("OIL", "north").await, 4);
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn two_items_with_one_sku_are_told_and_neither_is_believed() {
    let shop = Shop::open(&[]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for (item, units, at) in [
        (ITEM, 40, "09:00:00"),
        (OTHER_ITEM, 0, "09:01:00"),
        (ITEM, 39, "09:02:00"),
    ] {
        shop.hears("inventory_levels/update", &level(item, 1, units, at))
            .await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(40), "{units}");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let held = shop.held(HeldState::Open).await;
    // However much waits for it, it is one problem.
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].reason.as_str(), held[0].times), ("same_sku", 2));
    // One of them gets a SKU of its own: what is left is believed, and nothing waits any more.
    let apart = [(ITEM, "OIL"), (OTHER_ITEM, "OIL-B")];
    shop.hears("products/update", &product("active", "09:03:00", &apart))
        .await;
    assert_eq!(shop.held(HeldState::Open).await, [], "it is over");
    shop.ticks().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(39));
    assert_eq!(shop.on_hand("OIL-B", "north").await, Some(0));
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn two_items_with_one_sku_are_summed_where_that_is_declared() {
    let sum = (
        "default_location = \"north\"",
        "default_location = \"north\"\nsame_sku = \"sum\"",
    );
    let shop = Shop::open(&[sum]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for (item, units, at, sum) in [
        (ITEM, 40, "09:00:00", 40),
        (OTHER_ITEM, 2, "09:01:00", 42),
        (ITEM, 39, "09:02:00", 41),
    ] {
        shop.hears("inventory_levels/update", &level(item, 1, units, at))
            .await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(sum));
    }
}

#[tokio::test(start_paused = true)]
async fn a_renamed_sku_takes_its_stock_along_in_either_order() {
    let renamed = product("active", "09:10:00", &[(ITEM, "OIL-NEW")]);
    let before = level(ITEM, 1, 7, "09:00:00");
    let after = level(ITEM, 1, 6, "09:20:00");
    for late in [false, true] {
        let shop = Shop::open(&[]).await;
        shop.hears(
            "products/create",
            &product("active", "08:00:00", &[(ITEM, "OIL")]),
        )
        .await;
        shop.hears("inventory_levels/update", &before).await;
        if late {
            shop.hears("inventory_levels/update", &after).await;
            shop.hears("products/update", &renamed).await;
        } else {
            shop.hears("products/update", &renamed).await;
            assert_eq!(shop.on_hand("OIL-NEW", "north").await, Some(7));
            shop.hears("inventory_levels/update", &after).await;
        }
        assert_eq!(shop.on_hand("OIL", "north").await, None);
        assert_eq!(shop.on_hand("OIL-NEW", "north").await, Some(6));
        // The end has its row in the ledger.
        let of = keys::position_history(&"OIL".parse().unwrap(), &"north".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        let last = rows.last().unwrap();
        assert_eq!(
            (last.change.as_str(), &last.after),
            ("renamed", &Value::Null)
        );
        // Back to the old name.
        let back = product("active", "09:30:00", &[(ITEM, "OIL")]);
        shop.hears("products/update", &back).await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
        assert_eq!(shop.on_hand("OIL-NEW", "north").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_inventory_item_that_is_renamed_by_itself_is_the_same() {
    let shop = Shop::open(&[]).await;
    let item = |sku: &str, at: &str| {
        json!({ "id": ITEM, "sku": sku, "tracked": true, "created_at": "2026-01-01T00:00:00Z",
            "updated_at": format!("2026-11-22T{at}Z") })
    };
    shop.hears("inventory_items/create", &item("OIL", "08:00:00"))
        .await;
    shop.hears("inventory_levels/update", &level(ITEM, 1, 7, "09:00:00"))
        .await;
    shop.hears("inventory_items/update", &item("OIL-NEW", "09:10:00"))
        .await;
    shop.hears("inventory_items/update", &item("OIL", "08:00:00"))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, None);
    assert_eq!(shop.on_hand("OIL-NEW", "north").await, Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_replay_states_anew_what_ended_with_a_connector_a_place_or_its_name_that_came_back() {
    let begins = CONFIG.find("[connectors.shop]").unwrap();
    let ends = CONFIG.find("[channels.out]").unwrap();
    let place = "[locations.south]\nname = \"South\"\nkind = \"warehouse\"\n";
    let name = (r#", "2" = "south""#, "");
    let removed = [
        vec![(&CONFIG[begins..ends], "")],
        vec![(place, ""), name],
        vec![name],
    ];
    let connector = "shop".parse().unwrap();
    for changes in removed {
        let shop = Shop::open(&[]).await;
        let carried = shop.evaluates();
        let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
        shop.hears("products/create", &described).await;
        shop.hears("inventory_levels/update", &level(ITEM, 2, 50, "09:00:00"))
            .await;
        assert_eq!(shop.on_hand("OIL", "south").await, Some(50));
        for changes in [&changes[..], &[]] {
            shop.configure(changes).await;
            shop.ticks().await;
            carried.idle().await;
            assert_eq!(shop.on_hand("OIL", "south").await, None, "{changes:?}");
        }
        for _ in 0..2 {
            let replayed = shop.ingest.replay(&connector, &ALL, None);
            replayed.await.unwrap();
            carried.idle().await;
            assert_eq!(shop.on_hand("OIL", "south").await, Some(50), "{changes:?}");
        }
        // Said, ended, and said again: the second replay said nothing new.
        let of = keys::position_history(&"OIL".parse().unwrap(), &"south".parse().unwrap());
        let rows = shop.store.history(&of, None, 100).await.unwrap().items;
        assert_eq!(rows.len(), 3, "{changes:?}: {rows:?}");
        carried.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stated_by_a_name_that_leads_elsewhere_now_ends_and_a_replay_states_it_there() {
    let shop = Shop::open(&[]).await;
    let carried = shop.evaluates();
    let both = product("active", "08:00:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/create", &both).await;
    for (item, place, units) in [(ITEM, 1, 70), (ITEM, 2, 50), (OTHER_ITEM, 1, 30)] {
        let stated = level(item, place, units, "09:00:00");
        shop.hears("inventory_levels/update", &stated).await;
    }
    let there = async || {
        let mut there = Vec::new();
        for sku in ["OIL", "GAS"] {
            for place in ["north", "south"] {
                there.push(shop.on_hand(sku, place).await);
            }
        }
        there
    };
    assert_eq!(there().await, [Some(70), Some(50), Some(30), None]);
    shop.configure(&[EXCHANGED]).await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, [None; 4]);
    let of = keys::position_history(&"GAS".parse().unwrap(), &"north".parse().unwrap());
    let rows = shop.store.history(&of, None, 100).await.unwrap().items;
    let why = rows.last().unwrap().reason.as_deref();
    let expected = "its source means another place by the name that it used";
    assert_eq!(why, Some(expected));
    let connector = "shop".parse().unwrap();
    let replayed = shop.ingest.replay(&connector, &ALL, None);
    replayed.await.unwrap();
    assert_eq!(there().await, [Some(50), Some(70), None, Some(30)]);
    // Whoever looks again finds nothing to end.
    shop.configure(&[EXCHANGED, ("threshold = 9", "threshold = 8")])
        .await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, [Some(50), Some(70), None, Some(30)]);
    carried.stop().await;
}

/// As people do it: the replay does not wait until all is ended that the old names stated.
#[tokio::test(start_paused = true)]
async fn a_replay_states_what_corrected_names_mean_though_what_the_old_ones_stated_has_not_ended() {
    let shop = Shop::open(&[]).await;
    let described = product("active", "08:00:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &described).await;
    for (place, units, at) in [(1, 70, "09:10:00"), (2, 50, "09:00:00")] {
        let stated = level(ITEM, place, units, at);
        shop.hears("inventory_levels/update", &stated).await;
    }
    let there = async || {
        [
            shop.on_hand("OIL", "north").await,
            shop.on_hand("OIL", "south").await,
        ]
    };
    assert_eq!(there().await, [Some(70), Some(50)]);
    shop.configure(&[EXCHANGED]).await;
    let connector = "shop".parse().unwrap();
    shop.ingest.replay(&connector, &ALL, None).await.unwrap();
    assert_eq!(there().await, [Some(50), Some(70)]);
    let carried = shop.evaluates();
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(there().await, [Some(50), Some(70)]);
    shop.ingest.replay(&connector, &ALL, None).await.unwrap();
    assert_eq!(there().await, [Some(50), Some(70)]);
    carried.stop().await;
}

/// It is a minute old when it is applied, and then more may follow for a minute.
#[tokio::test(start_paused = true)]
async fn what_waited_for_its_product_is_told_before_two_minutes_are_over() {
    let shop = Shop::open(&[]).await;
    let pump = shop.evaluates();
    let low = level(ITEM, 1, 2, "09:00:00");
    shop.hears("inventory_levels/update", &low).await;
    let described = product("active", "08:59:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &described).await;
    for _ in 0..4 {
        if shop.on_hand("OIL", "north").await.is_none() {
            shop.tick().await;
        }
    }
    pump.idle().await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(2));
    assert_eq!(shop.alerts(AlertState::Open).await, [], "more may follow");
    // The clock's second minute after it was applied.
    tokio::time::sleep(std::time::Duration::from_secs(50)).await;
    shop.tick().await;
    pump.idle().await;
    assert_eq!(shop.alerts(AlertState::Open).await.len(), 1);
}

/// Words change with the version; what they are about does not.
#[tokio::test(start_paused = true)]
async fn what_was_dismissed_stays_so_in_whatever_words_it_is_met_again() {
    let shop = Shop::open(&[]).await;
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    for (item, place, at) in [
        (ITEM, 1, "09:00:00"),
        (OTHER_ITEM, 1, "09:01:00"),
        (ITEM, 99, "09:02:00"),
    ] {
        let body = level(item, place, 4, at);
        shop.hears("inventory_levels/update", &body).await;
    }
    let held = shop.held(HeldState::Open).await;
    let mut reasons: Vec<_> = held.iter().map(|it| &it.reason[..]).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["same_sku", "unknown_location"]);
    for entry in held {
        let dismissed = shop.store.dismiss_quarantined(&entry.id, "known", "anna");
        dismissed.await.unwrap();
        let anew = Quarantined {
            sentence: "the same in other words".into(),
            row: "another row of it".into(),
            ..entry
        };
        let opened = shop.store.quarantine(&anew).await.unwrap();
        assert!(!opened, "{anew:?}");
    }
    assert_eq!(shop.held(HeldState::Open).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_further_item_with_the_sku_is_told_although_somebody_has_dismissed_the_two_before() {
    let third = 503;
    let shop = Shop::open(&[]).await;
    let all = [(ITEM, "OIL"), (OTHER_ITEM, "OIL"), (third, "OIL")];
    shop.hears("products/create", &product("active", "08:00:00", &all[..2]))
        .await;
    for (item, at) in [(ITEM, "09:00:00"), (OTHER_ITEM, "09:01:00")] {
        shop.hears("inventory_levels/update", &level(item, 1, 4, at))
            .await;
    }
    let held = shop.held(HeldState::Open).await.remove(0);
    let dismissed = shop.store.dismiss_quarantined(&held.id, "known", "anna");
    dismissed.await.unwrap();
    shop.hears("inventory_levels/update", &level(ITEM, 1, 5, "09:02:00"))
        .await;
    assert_eq!(shop.held(HeldState::Open).await, [], "that is known");
    shop.hears("products/update", &product("active", "09:03:00", &all))
        .await;
    shop.hears("inventory_levels/update", &level(third, 1, 9, "09:04:00"))
        .await;
    let held = shop.held(HeldState::Open).await;
    assert!(
        held.len() == 1 && held[0].sentence.contains("503"),
        "{held:?}"
    );
}
