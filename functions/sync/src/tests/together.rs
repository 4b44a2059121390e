//! Rows that are written in one transaction: each of them has its effect once, whatever becomes of the
//! others, of the worker, and of what somebody else writes meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{Call, Interference, Verdict};
use shared::domain::event::{Change, Level, ProductDescription, StockEvent, Version};
use shared::domain::position::Position;
use shared::store::doctor::Examined;
use shared::store::quarantine::HeldState;
use shared::store::runs::RunState;
use shared::store::stated::Item;
use tokio::sync::Notify;

use super::aborts::Mortal;
use super::bench::{Bench, Setup, erp};
use crate::apply::{Applier, Outcome, Repeats};
use crate::batch::{NewRow, TOGETHER};
use crate::pass::BATCH;
use crate::rows::Statement;

/// Rows with titles, so that two products' facts stand in each transaction beside the levels.
fn file(rows: usize, on_hand: impl Fn(usize) -> String) -> String {
    let rows = (0..rows).map(|n| format!("SKU-{n},main,{},Oil {n}\n", on_hand(n)));
    format!("sku,location,on_hand,title\n{}", rows.collect::<String>())
}

fn titled(rows: usize) -> String {
    file(rows, |n| (10 + n).to_string())
}

/// Everything that is stored, against its ledger.
async fn examined(bench: &Bench) -> Examined {
    let authority = bench.authority().await;
    let (mut all, mut cursor) = (Examined::default(), None::<String>);
    loop {
        let (page, next) = bench
            .store
            .examine(&authority, cursor.as_deref(), 100)
            .await
            .unwrap();
        all.positions += page.positions;
        all.units += page.units;
        all.products += page.products;
        all.rows += page.rows;
        all.findings.extend(page.findings);
        cursor = next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// Each row is a position and a product, each with one ledger row; and the same file once more is
/// nothing new.
async fn assert_written_once(bench: &Bench, rows: usize, words: &str) {
    let stock = bench.stock().await;
    assert_eq!(stock.len(), rows, "{words}");
    for n in 0..rows {
        let on_hand = i64::try_from(10 + n).unwrap();
        assert_eq!(stock[&format!("SKU-{n}")], on_hand, "{words}");
    }
    let all = examined(bench).await;
    assert!(all.findings.is_empty(), "{words}: {:?}", all.findings);
    let rows = rows as u64;
    assert_eq!(
        (all.positions, all.products, all.rows),
        (rows, rows, 2 * rows),
        "{words}"
    );
    assert_eq!(bench.last_run().await.state, RunState::Done, "{words}");
}

async fn dies_after(calls: i64, rows: usize) -> bool {
    let mortal = Arc::new(Mortal::default());
    mortal.lives();
    let bench = Bench::of(Setup {
        interference: Arc::clone(&mortal) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.drop("s.csv", titled(rows));
    bench.tick().await;
    // The message is received before the worker can die.
    mortal.dies_after(1 + calls);
    let died = bench.deliver_mortally().await;
    mortal.lives();
    // Its lease ends, and its message comes back.
    tokio::time::sleep(Duration::from_secs(150)).await;
    bench.drain().await;
    let words = format!("death after {calls} calls");
    assert_written_once(&bench, rows, &words).await;
    let again = bench.read("s.csv", titled(rows)).await;
    assert_eq!((again.counts.added, again.counts.drift), (0, 0), "{words}");
    assert_written_once(&bench, rows, &words).await;
    died
}

#[tokio::test(start_paused = true)]
async fn a_load_may_die_at_each_of_its_calls() {
    let mut calls = 1;
    while dies_after(calls, TOGETHER / 2 + 2).await {
        calls += 1;
    }
    assert!(calls > 20, "only {calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_dies_between_two_batches_goes_on_with_the_next() {
    let mut calls = 40;
    let mut deaths = 0;
    while dies_after(calls, BATCH + 30).await {
        calls += 23;
        deaths += 1;
    }
    assert!(deaths >= 3, "only {deaths} deaths");
}

/// Holds the first transaction up, once it is armed, until it is let go.
#[derive(Default)]
struct Held {
    armed: AtomicBool,
    reached: Notify,
    go: Notify,
}

#[async_trait]
impl Interference for Held {
    async fn before(&self, call: &Call) -> Verdict {
        if call.operation == "TransactWriteItems" && self.armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go.notified().await;
        }
        Verdict::Proceed
    }
}

/// A file is applied; just before its first transaction is written, something else is said of an item
/// of it. Then, of the others each has its row's level, and this one is as it stands afterwards.
async fn beside(said: impl AsyncFn(&Bench, Timestamp)) -> (Bench, Position) {
    const ROWS: usize = 25;
    let held = Arc::new(Held::default());
    let bench = Bench::of(Setup {
        interference: Arc::clone(&held) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let written = bench.now();
    bench.drop("s.csv", titled(ROWS));
    bench.tick().await;
    held.armed.store(true, Ordering::SeqCst);
    let other = async {
        held.reached.notified().await;
        said(&bench, written).await;
        held.go.notify_one();
    };
    tokio::join!(bench.drain(), other);
    let run = bench.last_run().await;
    assert_eq!(run.state, RunState::Done, "{run:?}");
    assert_eq!(run.files[0].counts.quarantined, 0, "{run:?}");
    for n in (0..ROWS).filter(|n| *n != 7) {
        let position = bench.position(&format!("SKU-{n}")).await;
        let on_hand = i64::try_from(10 + n).unwrap();
        assert_eq!(position.stated_by(&erp()).unwrap().level.on_hand, on_hand);
        assert_eq!(position.revision, 1, "SKU-{n}");
    }
    let all = examined(&bench).await;
    assert!(all.findings.is_empty(), "{:?}", all.findings);
    let position = bench.position("SKU-7").await;
    assert_eq!(all.rows, 2 * 25 - 1 + position.revision);
    (bench, position)
}

#[tokio::test(start_paused = true)]
async fn what_a_webhook_says_of_an_item_in_the_midst_of_its_batch_stands_if_it_is_newer() {
    let (_, position) = beside(async |bench, written| {
        let newer = written.checked_add(SignedDuration::from_mins(1)).unwrap();
        bench.state("SKU-7", 99, newer).await;
    })
    .await;
    assert_eq!(position.stated_by(&erp()).unwrap().level.on_hand, 99);
    assert_eq!(position.revision, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_row_does_not_say_stays_as_a_webhook_in_the_midst_of_its_batch_said_it() {
    let (_, position) = beside(async |bench, written| {
        let older = written.checked_sub(SignedDuration::from_mins(1)).unwrap();
        let event = StockEvent {
            id: "webhook-7".parse().unwrap(),
            source: erp(),
            at: older,
            actor: None,
            change: Change::LevelSet {
                called: None,
                product: "SKU-7".parse().unwrap(),
                location: "main".parse().unwrap(),
                level: Level {
                    on_hand: 99,
                    reserved: Some(3),
                    ..Level::default()
                },
                version: Version::at(older),
            },
        };
        let authority = bench.authority().await;
        bench.store.apply(&event, &authority).await.unwrap();
    })
    .await;
    let level = &position.stated_by(&erp()).unwrap().level;
    assert_eq!((level.on_hand, level.reserved), (17, Some(3)));
    assert_eq!(position.revision, 2);
}

#[tokio::test(start_paused = true)]
async fn a_sale_of_an_item_in_the_midst_of_its_batch_is_counted_once() {
    let (bench, position) = beside(async |bench, written| {
        let later = written.checked_add(SignedDuration::from_mins(1)).unwrap();
        bench.moves("SKU-7", -2, later).await;
    })
    .await;
    assert_eq!(position.revision, 2);
    assert_eq!(bench.balance("SKU-7").await, Some(15));
}

/// A network, so that what runs side by side meets.
struct Slow;

#[async_trait]
impl Interference for Slow {
    async fn before(&self, call: &Call) -> Verdict {
        let millis = if call.operation == "TransactWriteItems" {
            10
        } else {
            5
        };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Verdict::Proceed
    }
}

/// Its lease keeps a file from being loaded twice at once; but a worker may be so slow that it has lost
/// its lease and does not know yet.
#[tokio::test(start_paused = true)]
async fn two_loads_of_one_file_at_once_write_each_row_once() {
    const ROWS: usize = 45;
    let bench = Bench::of(Setup {
        interference: Arc::new(Slow),
        ..Setup::with("")
    })
    .await;
    let (source, authority, at) = (erp(), bench.authority().await, bench.now());
    let applier = Applier {
        store: &bench.store,
        source: &source,
        authority: &authority,
        file: "0123456789ab",
        snapshot_at: at,
        repeats: Repeats::Cover,
        is_first: true,
        covered_before: None,
        patient_until: at.checked_add(SignedDuration::from_mins(5)).unwrap(),
    };
    let rows: Vec<_> = (0..ROWS).map(|n| row(n, at)).collect();
    let (one, two) = tokio::join!(applier.batch(&rows), applier.batch(&rows));
    let added = |taken: &[crate::apply::Taken]| {
        let added = taken.iter().enumerate();
        let added = added.filter(|(_, taken)| taken.outcome == Outcome::Added);
        added.map(|(n, _)| n).collect::<HashSet<_>>()
    };
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.iter().chain(&two).all(|taken| taken.flaws.is_empty()));
    let (one, two) = (added(&one), added(&two));
    assert_eq!(one.intersection(&two).count(), 0);
    assert_eq!(one.len() + two.len(), ROWS);
    let all = examined(&bench).await;
    assert!(all.findings.is_empty(), "{:?}", all.findings);
    assert_eq!(all.rows, 2 * ROWS as u64);
    let again = applier.batch(&rows).await.unwrap();
    assert!(again.iter().all(|taken| taken.outcome == Outcome::Known));
    assert_eq!(examined(&bench).await.rows, 2 * ROWS as u64);
}

/// A row of a file, with a title.
pub(super) fn row(n: usize, at: Timestamp) -> NewRow {
    let sku = format!("SKU-{n}");
    let (product, location) = (sku.parse().unwrap(), "main".parse().unwrap());
    let version = Version::at(at);
    NewRow {
        line: n as u64 + 2,
        text: String::new(),
        listed: false,
        statement: Statement {
            item: Item::Position {
                product: sku.parse().unwrap(),
                location: "main".parse().unwrap(),
            },
            change: Change::LevelSet {
                called: None,
                product,
                location,
                level: Level {
                    on_hand: 5,
                    ..Level::default()
                },
                version,
            },
            description: Some(ProductDescription {
                sku: sku.parse().unwrap(),
                title: Some(format!("Oil {n}")),
                category: None,
                external: [].into(),
                version,
            }),
            dated_since: false,
            presumed: false,
            flaws: Vec::new(),
        },
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_keeps_none_of_its_transaction_back() {
    const ROWS: usize = 25;
    let bench = Bench::with("").await;
    bench.read("s.csv", titled(ROWS)).await;
    let changed = file(ROWS, |n| match n {
        3 => "many".to_owned(),
        // A barcode in the place of the quantity.
        7 => "4006381333931".to_owned(),
        n => (100 + n).to_string(),
    });
    let report = bench.read("s.csv", changed).await;
    assert_eq!((report.counts.drift, report.counts.quarantined), (23, 2));
    let stock = bench.stock().await;
    for n in 0..ROWS {
        let before = [3, 7].contains(&n);
        let on_hand = if before { 10 + n } else { 100 + n };
        assert_eq!(stock[&format!("SKU-{n}")], i64::try_from(on_hand).unwrap());
    }
    let held = bench.store.quarantined(HeldState::Open, None, 10).await;
    let held = held.unwrap().items;
    assert!(held.iter().any(|it| it.row.contains("4006381333931")));
    assert!(held.iter().any(|it| it.row.contains("many")));
    let all = examined(&bench).await;
    assert!(all.findings.is_empty(), "{:?}", all.findings);
    assert_eq!(all.rows, (2 * ROWS + 23) as u64);
}

/// Loses each answer to a transaction after it has taken effect, so often.
#[derive(Default)]
struct Deaf(AtomicI64);

#[async_trait]
impl Interference for Deaf {
    async fn after(&self, call: &Call) -> Verdict {
        if call.operation == "TransactWriteItems" && self.0.fetch_sub(1, Ordering::SeqCst) > 0 {
            Verdict::ConnectionLost
        } else {
            Verdict::Proceed
        }
    }
}

/// Nobody can tell such a transaction from one that never arrived.
#[tokio::test(start_paused = true)]
async fn a_transaction_whose_answer_is_lost_is_written_once() {
    let deaf = Arc::new(Deaf::default());
    let bench = Bench::of(Setup {
        interference: Arc::clone(&deaf) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    deaf.0.store(2, Ordering::SeqCst);
    bench.read("s.csv", titled(25)).await;
    assert_eq!(deaf.0.load(Ordering::SeqCst).max(0), 0, "answers were lost");
    assert_written_once(&bench, 25, "lost answers").await;
}
