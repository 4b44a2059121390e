//! The table's guarantees: once (G2), in any order (G3), never more reserved than there (G4), always
//! with an unbroken audit trail (G8).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use lotwire::engine::{Call, EmbeddedAws, Interference, Settings, Verdict};
use lotwire::stack::resources;
use shared::chance::Chance;
use shared::config::Config;
use shared::domain::Authority;
use shared::domain::event::{Change, MoveReason};
use shared::domain::ledger::{ChainFault, check_chain};
use shared::domain::message::Stock;
use shared::domain::position::{PositionChange, Refusal};
use shared::store::Store;
use shared::store::keys;
use shared::store::received::{KeptBody, Received, ReceivedState};
use shared::store::settings::{self, Over};
use shared::store::stock::{Applied, ApplyError};

use crate::bench::{Bench, at, event, level, sold};

pub(crate) async fn stock(bench: &Bench, product: &str, location: &str) -> Option<Stock> {
    let authority = Authority::default();
    bench
        .store
        .position(&product.parse().unwrap(), &location.parse().unwrap())
        .await
        .unwrap()
        .and_then(|position| position.stock(&authority.quantities))
}

pub(crate) async fn chain_faults(bench: &Bench, product: &str, location: &str) -> Vec<ChainFault> {
    let (product, location) = (product.parse().unwrap(), location.parse().unwrap());
    let of = keys::position_history(&product, &location);
    let rows = bench.store.history(&of, None, 1_000).await.unwrap().items;
    let position = bench
        .store
        .position(&product, &location)
        .await
        .unwrap()
        .unwrap();
    check_chain(&of, &rows, position.revision, &position.chain)
}

#[tokio::test]
async fn a_webhook_that_says_one_thing_is_kept_with_its_effect_or_not_at_all() {
    let bench = Bench::new();
    let store = &bench.store;
    let authority = Authority::default();
    let connector = "erp".parse().unwrap();
    let body = br#"{"on_hand":10}"#;
    let webhook = |id: &str| {
        let kept = KeptBody::of(body).unwrap();
        let received = Received {
            id: id.to_owned(),
            connector: "erp".parse().unwrap(),
            at: at(0),
            method: "POST".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            parts: kept.parts(),
            length: kept.length(),
            kept_days: 1,
            state: ReceivedState::Waiting,
            again_at: None,
            tries: 0,
            held: Vec::new(),
        };
        received.holding(kept).0
    };
    let on_hand = async || stock(&bench, "OIL", "milano").await.map(|it| it.on_hand);

    let first = webhook("first");
    let ten = level("erp", 0, "OIL", "milano", 10);
    let keeping = store.keeping(&first).unwrap();
    assert_eq!(
        keeping.apply(&ten, &authority).await.unwrap(),
        Applied::Changed
    );
    let kept = store.received(&connector, "first").await.unwrap().unwrap();
    assert_eq!(kept.data.state, ReceivedState::Applied);
    assert_eq!(store.received_body(&kept.data).await.unwrap(), body);

    // A webhook that has a record is applied by whoever finds it there.
    let nine = level("erp", 1, "OIL", "milano", 9);
    keeping.apply(&nine, &authority).await.unwrap_err();
    assert_eq!(on_hand().await, Some(10));
    // What says nothing new leaves no record by itself.
    let second = webhook("second");
    let keeping = store.keeping(&second).unwrap();
    assert_eq!(
        keeping.apply(&ten, &authority).await.unwrap(),
        Applied::Known
    );
    assert!(
        store
            .received(&connector, "second")
            .await
            .unwrap()
            .is_none()
    );
    assert!(store.receive_applied(&second).await.unwrap());
    assert!(!store.receive_applied(&second).await.unwrap());

    // Of many copies at once one is kept, and has its effect once.
    let third = webhook("third");
    let copies = (0..20).map(|_| async {
        let sale = sold("order-1", "erp", 2, "OIL", "milano", 3);
        store
            .keeping(&third)
            .unwrap()
            .apply(&sale, &Authority::default())
            .await
    });
    let applied = join_all(copies).await;
    let changed = applied
        .iter()
        .filter(|it| matches!(it, Ok(Applied::Changed)));
    assert_eq!(changed.count(), 1, "{applied:?}");
    assert_eq!(on_hand().await, Some(7));
    assert_eq!(chain_faults(&bench, "OIL", "milano").await, []);
}

#[tokio::test]
async fn a_hundred_parallel_copies_of_a_sale_are_one_sale() {
    let bench = Arc::new(Bench::new());
    let authority = Authority::default();
    bench
        .store
        .apply(&level("erp", 0, "OIL", "milano", 10), &authority)
        .await
        .unwrap();
    let copies = (0..100).map(|_| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            let sale = sold("order-1", "shop", 5, "OIL", "milano", 2);
            bench
                .store
                .apply(&sale, &Authority::default())
                .await
                .unwrap()
        })
    });
    let outcomes: Vec<_> = join_all(copies)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        outcomes.iter().filter(|o| **o == Applied::Changed).count(),
        1
    );
    assert_eq!(
        outcomes.iter().filter(|o| **o == Applied::Before).count(),
        99
    );
    assert_eq!(stock(&bench, "OIL", "milano").await.unwrap().on_hand, 8);
    assert_eq!(chain_faults(&bench, "OIL", "milano").await, []);
}

#[tokio::test]
async fn the_same_event_id_with_other_content_is_refused() {
    let bench = Bench::new();
    let authority = Authority::default();
    bench
        .store
        .apply(&level("erp", 0, "OIL", "milano", 10), &authority)
        .await
        .unwrap();
    bench
        .store
        .apply(&sold("order-1", "shop", 5, "OIL", "milano", 2), &authority)
        .await
        .unwrap();
    let tampered = bench
        .store
        .apply(&sold("order-1", "shop", 5, "OIL", "milano", 9), &authority)
        .await;
    assert!(matches!(tampered, Err(ApplyError::Reused { .. })));
    // Another source may use the same id for something else.
    let other = sold("order-1", "market", 6, "OIL", "milano", 1);
    assert_eq!(
        bench.store.apply(&other, &authority).await.unwrap(),
        Applied::Changed
    );
    assert_eq!(stock(&bench, "OIL", "milano").await.unwrap().on_hand, 7);
}

#[tokio::test]
async fn a_hundred_buyers_and_one_unit_have_one_winner() {
    for round in 0..10 {
        let bench = Arc::new(Bench::new());
        let authority = Authority::default();
        bench
            .store
            .apply(&level("erp", 0, "OIL", "milano", 1), &authority)
            .await
            .unwrap();
        let buyers = (0..100).map(|buyer| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                let authority = Authority::default();
                let asked = event(
                    &format!("reserve-{buyer}"),
                    "api",
                    1,
                    Change::Moved {
                        product: "OIL".parse().unwrap(),
                        location: "milano".parse().unwrap(),
                        delta: 1,
                        reason: MoveReason::Adjustment,
                        called: None,
                    },
                );
                bench
                    .store
                    .apply_to_position(
                        &asked,
                        &"OIL".parse().unwrap(),
                        &"milano".parse().unwrap(),
                        &PositionChange::Reserve(1),
                        &authority.quantities,
                    )
                    .await
            })
        });
        let outcomes: Vec<_> = join_all(buyers)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let won = outcomes
            .iter()
            .filter(|o| matches!(o, Ok(Applied::Changed)))
            .count();
        let refused = outcomes
            .iter()
            .filter(|o| matches!(o, Err(ApplyError::Refused(Refusal::Insufficient { .. }))))
            .count();
        assert_eq!((won, refused), (1, 99), "round {round}");
        let stock = stock(&bench, "OIL", "milano").await.unwrap();
        assert_eq!((stock.on_hand, stock.reserved, stock.available), (1, 1, 0));
    }
}

#[tokio::test]
async fn many_writers_of_one_position_lose_nothing() {
    let bench = Arc::new(Bench::new());
    bench
        .store
        .apply(
            &level("erp", 0, "OIL", "milano", 1_000),
            &Authority::default(),
        )
        .await
        .unwrap();
    let writers = (0..20).map(|writer| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            for order in 0..5 {
                let sale = sold(
                    &format!("o-{writer}-{order}"),
                    "shop",
                    1,
                    "OIL",
                    "milano",
                    1,
                );
                while let Err(error) = bench.store.apply(&sale, &Authority::default()).await {
                    assert!(
                        matches!(&error, ApplyError::Store(e) if e.is_transient()),
                        "{error}"
                    );
                }
            }
        })
    });
    join_all(writers)
        .await
        .into_iter()
        .for_each(|done| done.unwrap());
    assert_eq!(stock(&bench, "OIL", "milano").await.unwrap().on_hand, 900);
    assert_eq!(chain_faults(&bench, "OIL", "milano").await, []);
}

#[tokio::test]
async fn all_positions_are_listed_page_by_page() {
    let bench = Bench::new();
    for number in 0..45 {
        let event = level("erp", 0, &format!("SKU-{number}"), "milano", number);
        bench
            .store
            .apply(&event, &Authority::default())
            .await
            .unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = bench.store.positions(cursor.as_deref(), 7).await.unwrap();
        seen.extend(
            page.items
                .into_iter()
                .map(|position| position.product.to_string()),
        );
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 45);
}

#[tokio::test]
async fn of_many_who_apply_over_one_version_one_does_and_its_document_applies() {
    let bench = Bench::new();
    let document = |name: &str| {
        let text = format!(
            "[account]\nname = \"{name}\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n\
             [locations.north]\nname = \"North\"\nkind = \"warehouse\"\n"
        );
        Config::check(&text, "lotwire.toml").unwrap()
    };
    let store = &bench.store;
    assert!(
        store
            .apply_config(&document("first"), "test")
            .await
            .unwrap()
    );
    let documents: Vec<_> = ["a", "b", "c", "d"].map(document).into();
    let applied = join_all(documents.iter().map(|document| async move {
        let over = Over::Version(1);
        store
            .apply_config_over(over, document, "test")
            .await
            .unwrap()
    }));
    let applied = applied.await;
    let winners: Vec<_> = (0..documents.len())
        .filter(|&n| applied[n] == settings::Applied::Done)
        .collect();
    let others = applied
        .iter()
        .filter(|it| **it == settings::Applied::Overtaken);
    assert_eq!((winners.len(), others.count()), (1, 3), "{applied:?}");
    let head = store.config_head().await.unwrap().unwrap().data;
    let standing = store.config_document(&head).await.unwrap();
    let winner = &documents[winners[0]];
    assert_eq!(
        (head.version, &standing.account.name),
        (2, &winner.account.name)
    );
    // However many versions there were: one job looks at everything by the one that applies.
    assert!(store.job("configuration").await.unwrap().is_some());
}

/// Each call of the table takes ten milliseconds.
struct Distant;

#[async_trait]
impl Interference for Distant {
    async fn before(&self, _: &Call) -> Verdict {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Verdict::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_of_one_webhook_are_applied_before_its_sender_hangs_up() {
    let settings = Settings {
        interference: Arc::new(Distant),
        ..Settings::default()
    };
    let aws = EmbeddedAws::in_memory(settings).unwrap();
    resources::make(&aws).unwrap();
    let store = Store::new(
        aws.dynamodb(),
        resources::TABLE,
        aws.clock().clone(),
        Chance::seeded(1),
    );
    let authority = Authority::default();
    // A thousand products, and of one of them two levels: the later one counts.
    let mut events: Vec<_> = (0..1_000)
        .map(|n| level("erp", 0, &format!("SKU-{n}"), "milano", n))
        .collect();
    events.push(level("erp", 1, "SKU-7", "milano", 70));
    let begun = tokio::time::Instant::now();
    let outcomes = store.apply_each(&events, &authority).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(outcomes.len(), 1_001);
    let changed = |outcome: &Result<Applied, _>| matches!(outcome, Ok(Applied::Changed));
    assert!(outcomes.iter().all(changed), "{outcomes:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let milano = "milano".parse().unwrap();
    for (sku, on_hand) in [("SKU-7", 70), ("SKU-999", 999)] {
        let position = store
            .position(&sku.parse().unwrap(), &milano)
            .await
            .unwrap();
        let stock = position.unwrap().stock(&authority.quantities).unwrap();
        assert_eq!(stock.on_hand, on_hand);
    }
}
