//! What of a shop is in quarantine, how it comes off the list, and who is told.

use shared::domain::alert::{AlertKind, AlertState, Ending};
use shared::store::quarantine::{DismissError, HeldState, Quarantined};

use super::{ITEM, OTHER_ITEM, Shop, level, product};

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
