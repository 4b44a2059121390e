//! What of a shop is in quarantine, how it comes off the list, and who is told.

use serde_json::json;
use shared::domain::alert::{AlertKind, AlertState, Ending};
use shared::store::quarantine::{DismissError, HeldState, Quarantined};

use super::{ITEM, OTHER_ITEM, Shop, level, order, product};

#[tokio::test(start_paused = true)]
async fn what_is_advised_on_a_level_of_a_variant_without_a_sku_has_it_applied() {
    let shop = Shop::open(&[]).await;
    let seven = level(ITEM, 1, 7, "09:00:00");
    shop.hears("inventory_levels/update", &seven).await;
    let held = shop.held(HeldState::Open).await;
    let advice = "if its variant has no SKU, give it one in the shop";
    assert!(held[0].sentence.contains(advice), "{held:?}");
    // To save it once does not help.
    let mut saved = product("active", "09:10:00", &[(ITEM, "OIL")]);
    saved["variants"][0]["sku"] = json!(null);
    shop.hears("products/update", &saved).await;
    shop.ticks().await;
    assert_eq!(shop.held(HeldState::Open).await.len(), 1);
    let named = product("active", "09:20:00", &[(ITEM, "OIL")]);
    shop.hears("products/update", &named).await;
    shop.ticks().await;
    assert_eq!(shop.held(HeldState::Open).await, []);
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_the_quarantine_can_be_dismissed_and_stays_so() {
    let shop = Shop::open(&[]).await;
    let body = level(ITEM, 99, 7, "09:00:00");
    shop.hears("inventory_levels/update", &body).await;
    let entry = shop.held(HeldState::Open).await.remove(0);
    let store = &shop.store;
    let dismissed = store
        .dismiss_quarantined(&entry.id, "a place that we closed", "maria")
        .await
        .unwrap();
    let over = dismissed.over.unwrap();
    assert_eq!(
        (over.by.as_deref(), over.why.as_str()),
        (Some("maria"), "a place that we closed")
    );
    let again = store.dismiss_quarantined(&entry.id, "again", "maria").await;
    assert!(matches!(again, Err(DismissError::Over { .. })));
    // Held again by a replay, it is still dismissed.
    let received = entry.place.split('/').next().unwrap().to_owned();
    let connector = "shop".parse().unwrap();
    let one = ingest::Selection::One(received);
    let replayed = shop.ingest.replay(&connector, &one, None).await.unwrap();
    assert_eq!((replayed.webhooks, replayed.outcome.quarantined), (1, 1));
    assert_eq!(shop.held(HeldState::Open).await, []);
    assert_eq!(shop.held(HeldState::Dismissed).await.len(), 1);
}

/// Somebody has decided about what was there, and not about the next sale.
#[tokio::test(start_paused = true)]
async fn what_comes_after_an_entry_was_dismissed_is_on_the_list_again() {
    let shop = Shop::open(&[]).await;
    let both = product("active", "08:00:00", &[(ITEM, "OIL"), (OTHER_ITEM, "PAD")]);
    shop.hears("products/create", &both).await;
    let dismiss = async |about: Option<&str>| {
        let held = shop.held(HeldState::Open).await;
        let [held] = &held[..] else {
            panic!("{held:?}")
        };
        let named = held.about.first().map(String::as_str);
        assert_eq!(named, about, "{held:?}");
        let dismissed = shop.store.dismiss_quarantined(&held.id, "known", "maria");
        dismissed.await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    };
    let levels = [
        (ITEM, 7, "09:00:00", Some("OIL")),
        // How much there is of what somebody knows of is no news.
        (ITEM, 6, "09:05:00", None),
        (OTHER_ITEM, 3, "09:06:00", Some("PAD")),
    ];
    for (item, units, at, opens) in levels {
        let level = level(item, 99, units, at);
        shop.hears("inventory_levels/update", &level).await;
        match opens {
            Some(_) => dismiss(opens).await,
            None => assert_eq!(shop.held(HeldState::Open).await, []),
        }
    }
    for id in [9, 10] {
        let mut sold = order("09:30:00", 4, false, &[]);
        sold["id"] = json!(id);
        // A variant that nothing is known of.
        let line = &mut sold["line_items"][0];
        (line["id"], line["variant_id"], line["sku"]) = (json!(id * 10), json!(777), json!(""));
        shop.hears("orders/create", &sold).await;
        dismiss(None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_of_quarantine_is_open_as_long_as_anything_of_it_is() {
    let shop = Shop::open(&[]).await;
    let connector = "shop".parse().unwrap();
    let state = async || {
        let kind = shop.store.held_kind(&connector, "unknown_product").await;
        kind.unwrap().map(|kind| (kind.data.open, kind.version))
    };
    assert_eq!(state().await, None);
    for (item, at) in [(ITEM, "09:00:00"), (OTHER_ITEM, "09:00:01")] {
        shop.hears("inventory_levels/update", &level(item, 1, 7, at))
            .await;
        assert_eq!(state().await, Some((true, 1)), "told once");
    }
    let one = product("active", "08:00:00", &[(ITEM, "OIL")]);
    shop.hears("products/create", &one).await;
    shop.ticks().await;
    assert_eq!(state().await, Some((true, 1)));
    let both = product("active", "08:01:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/update", &both).await;
    shop.ticks().await;
    assert_eq!(state().await, Some((false, 2)));
}

/// However much it is, one invocation closes a page of it.
#[tokio::test(start_paused = true)]
async fn what_a_removed_connector_has_in_quarantine_is_closed_page_by_page() {
    let shop = Shop::open(&[]).await;
    for number in 0..250 {
        let now = shop.store.clock().now();
        let held = Quarantined::new(
            &"shop".parse().unwrap(),
            now,
            format!("/{number}"),
            "{}",
            ("no_data", "no quantity"),
        );
        assert!(shop.store.quarantine(&held).await.unwrap());
    }
    let open = async || {
        let open = shop.store.quarantined(HeldState::Open, None, 1_000).await;
        open.unwrap().items.len()
    };
    let kind = async || {
        let kind = shop
            .store
            .held_kind(&"shop".parse().unwrap(), "no_data")
            .await;
        kind.unwrap().unwrap()
    };
    let mut left = 250;
    for closed in [100, 100, 50] {
        let before = kind().await;
        let done = shop.store.close_kind(&before, "gone").await.unwrap();
        left -= closed;
        assert_eq!((open().await, done), (left, left == 0));
        assert!(kind().await.version > before.version, "the stream has it");
    }
    assert!(!kind().await.data.open);
}

#[tokio::test(start_paused = true)]
async fn people_are_told_once_of_each_kind_in_quarantine_and_that_nothing_of_it_is_left() {
    let shop = Shop::open(&[]).await;
    let carried = shop.evaluates();
    for (item, place) in [(ITEM, 1), (OTHER_ITEM, 1), (ITEM, 99)] {
        shop.hears(
            "inventory_levels/update",
            &level(item, place, 20, "09:00:00"),
        )
        .await;
    }
    carried.idle().await;
    let kind = AlertKind::Quarantine;
    let about = |reason: &str| format!("shop ({reason})");
    let mut open = shop.alerts(AlertState::Open).await;
    open.sort();
    assert_eq!(
        open,
        [
            (kind, about("unknown_location"), None),
            (kind, about("unknown_product"), None)
        ]
    );
    let both = [(ITEM, "OIL"), (OTHER_ITEM, "GAS")];
    shop.hears("products/create", &product("active", "08:00:00", &both))
        .await;
    shop.ticks().await;
    carried.idle().await;
    assert_eq!(
        shop.alerts(AlertState::Resolved).await,
        [(kind, about("unknown_product"), Some(Ending::Recovered))]
    );
    assert_eq!(
        shop.alerts(AlertState::Open).await,
        [(kind, about("unknown_location"), None)]
    );
    carried.stop().await;
}

/// What has one name is one thing, however much of it comes; and a storm of names is one message.
#[tokio::test(start_paused = true)]
async fn what_else_goes_to_quarantine_is_told_once_with_all_that_is_open_by_then() {
    let shop = Shop::open(&[]).await;
    let carried = shop.evaluates();
    let describes = product("active", "08:00:00", &[(ITEM, "OIL"), (OTHER_ITEM, "GAS")]);
    shop.hears("products/create", &describes).await;
    let hears = async |place: i64, item: i64, at: &str| {
        let body = level(item, place, 7, at);
        shop.hears("inventory_levels/update", &body).await;
    };
    let told = async || {
        carried.idle().await;
        let open = shop.store.alerts(AlertState::Open, None, 10).await.unwrap();
        let of_places = |it: &&shared::store::alerts::Alert| it.kind == AlertKind::Quarantine;
        let alert = open.items.iter().find(of_places).unwrap();
        (alert.revision, alert.message.notes.join(" "))
    };
    let minutes = async |minutes: usize| {
        for _ in 0..minutes {
            carried.idle().await;
            shop.tick().await;
        }
    };
    hears(99, ITEM, "09:00:00").await;
    let (revision, notes) = told().await;
    let old = shop.held(HeldState::Open).await.remove(0);
    let is_named = |notes: &str, old: &Quarantined| {
        notes.to_lowercase().contains(&old.sentence.to_lowercase())
    };
    assert!(revision == 1 && is_named(&notes, &old), "{notes}");
    assert!(!notes.contains(&old.place), "nobody reads that: {notes}");
    assert!(notes.contains("OIL"), "which product: {notes}");
    // Another place, of two items, and many more.
    for place in 100..140 {
        hears(place, ITEM, "09:00:01").await;
        hears(place, OTHER_ITEM, "09:00:01").await;
    }
    let store = &shop.store;
    let dismissed = store.dismiss_quarantined(&old.id, "closed", "maria").await;
    dismissed.unwrap();
    minutes(12).await;
    let (revision, notes) = told().await;
    assert_eq!(revision, 2, "{notes}");
    assert!(notes.starts_with("Now also: "), "{notes}");
    assert!(notes.contains("Open now: 40."), "{notes}");
    assert!(!is_named(&notes, &old), "{notes}");
    // Nothing in it is new.
    hears(120, ITEM, "09:20:00").await;
    tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
    minutes(12).await;
    assert_eq!(told().await.0, 2);
    // Nobody has waited for it so long.
    hears(777, ITEM, "10:30:00").await;
    minutes(12).await;
    let (revision, notes) = told().await;
    assert_eq!(revision, 3, "{notes}");
    assert!(
        notes.contains("777") && notes.contains("Open now: 41."),
        "{notes}"
    );
    tokio::time::sleep(std::time::Duration::from_secs(25 * 3_600)).await;
    minutes(3).await;
    let (revision, notes) = told().await;
    assert_eq!(revision, 4, "{notes}");
    assert!(
        notes.starts_with("A reminder: this has been so since "),
        "{notes}"
    );
    assert!(notes.contains("Open now: 41."), "{notes}");
    assert!(!is_named(&notes, &old), "{notes}");
    carried.stop().await;
}

/// Of very many not all are read, and always others.
#[tokio::test(start_paused = true)]
async fn of_very_many_in_quarantine_only_what_is_new_is_told_as_such() {
    let shop = Shop::open(&[]).await;
    let carried = shop.evaluates();
    let store = &shop.store;
    let holds = async |number: usize| {
        let now = store.clock().now();
        let (place, sku) = (format!("/{number}"), format!("SKU-{number}"));
        let why = ("no_data", "It has no quantity");
        let held = Quarantined::new(&"shop".parse().unwrap(), now, place, "{}", why);
        assert!(store.quarantine(&held.about(Some(&sku))).await.unwrap());
    };
    let told = async || {
        for _ in 0..40 {
            carried.idle().await;
            shop.tick().await;
        }
        let open = store.alerts(AlertState::Open, None, 10).await.unwrap();
        let alert = open.items.into_iter().next().unwrap();
        (alert.revision, alert.message.notes)
    };
    for number in 0..250 {
        holds(number).await;
    }
    let (mut revision, notes) = told().await;
    assert!(
        notes.concat().contains("Open now: more than 100."),
        "{notes:?}"
    );
    // More than are read, about as many, and all of them.
    for (number, over) in [(1_000, 0), (1_001, 100), (1_002, 60), (1_003, 0)] {
        let mut ids: Vec<_> = store
            .quarantined(HeldState::Open, None, 1_000)
            .await
            .unwrap()
            .items
            .into_iter()
            .map(|held| held.id)
            .collect();
        ids.sort();
        for id in ids.iter().take(over) {
            store
                .dismiss_quarantined(id, "known", "maria")
                .await
                .unwrap();
        }
        holds(number).await;
        let (now, notes) = told().await;
        assert_eq!(now, revision + 1, "{notes:?}");
        revision = now;
        let new: Vec<_> = notes
            .iter()
            .filter(|it| it.starts_with("Now also"))
            .collect();
        let sku = format!("SKU-{number}");
        assert!(new.len() == 1 && new[0].contains(&sku), "{notes:?}");
    }
    assert_eq!(told().await.0, revision);
    carried.stop().await;
}
