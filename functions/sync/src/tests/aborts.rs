//! A worker that dies or runs out of time anywhere leaves no gap and removes nothing wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use lotwire::engine::{Call, Interference, Verdict};
use shared::chance::Chance;
use shared::store::inbox::{InboxState, Resolution};
use shared::store::runs::RunState;

use crate::pass::BATCH;

use super::bench::{Bench, Setup, stock_file};

/// A process that dies at one of its calls: that call and all after it never arrive, or it arrives
/// and the answer is lost.
#[derive(Default)]
pub(super) struct Mortal {
    /// Calls until death; not counted below zero, which is where an immortal is.
    left: AtomicI64,
}

impl Mortal {
    pub(super) fn dies_after(&self, calls: i64) {
        self.left.store(calls, Ordering::SeqCst);
    }

    pub(super) fn lives(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
    }
}

#[async_trait]
impl Interference for Mortal {
    async fn before(&self, _: &Call) -> Verdict {
        // The last call before death arrives.
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            Verdict::ConnectionLost
        } else {
            Verdict::Proceed
        }
    }

    async fn after(&self, _: &Call) -> Verdict {
        if self.left.load(Ordering::SeqCst) <= 0 {
            Verdict::ConnectionLost
        } else {
            Verdict::Proceed
        }
    }
}

/// Changes a few rows, drops a few, adds one.
fn next(stock: &BTreeMap<String, i64>, round: usize, chance: &Chance) -> BTreeMap<String, i64> {
    let mut next: BTreeMap<_, _> = stock
        .iter()
        .filter(|_| chance.fraction() > 0.1)
        .map(|(sku, on_hand)| {
            let changed = chance.fraction() < 0.3;
            (
                sku.clone(),
                if changed { on_hand % 97 + 1 } else { *on_hand },
            )
        })
        .collect();
    next.insert(format!("N-{round}"), 5);
    while next.len() < 12 {
        next.insert(format!("R-{round}-{}", next.len()), 3);
    }
    next
}

fn file(stock: &BTreeMap<String, i64>) -> String {
    let rows = stock
        .iter()
        .map(|(sku, on_hand)| format!("{sku},main,{on_hand}\n"));
    format!("sku,location,on_hand\n{}", rows.collect::<String>())
}

/// Two hundred rounds, by seeds, so that they can be run beside each other.
#[tokio::test(start_paused = true)]
async fn a_worker_may_die_at_any_call() {
    rounds(11).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_die_at_any_other_call() {
    rounds(12).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_die_at_yet_another_call() {
    rounds(13).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_die_at_every_call() {
    rounds(14).await;
}

async fn rounds(seed: u64) {
    let mortal = Arc::new(Mortal::default());
    mortal.lives();
    let settings =
        "grace = 1\nmin_rows_percent = 1\nmax_removals = { count = 1000, percent = 100 }";
    let bench = Bench::of(Setup {
        interference: Arc::clone(&mortal) as Arc<dyn Interference>,
        ..Setup::with(settings)
    })
    .await;
    let chance = Chance::seeded(seed);
    let mut stock = BTreeMap::new();
    let mut deaths = 0;
    for round in 0..50 {
        stock = next(&stock, round, &chance);
        tokio::time::sleep(Duration::from_secs(60)).await;
        bench.drop("s.csv", file(&stock));
        bench.tick().await;
        // The message is received before the worker can die.
        let calls = 2 + i64::try_from(chance.bits() % 90).unwrap();
        mortal.dies_after(calls);
        let died = bench.deliver_mortally().await;
        deaths += usize::from(died);
        mortal.lives();
        // Its lease ends, and its message comes back.
        tokio::time::sleep(Duration::from_secs(150)).await;
        bench.drain().await;
        let mut held = bench.stock().await;
        held.retain(|_, on_hand| *on_hand != 0);
        assert_eq!(held, stock, "round {round}, {calls} calls");
        assert_eq!(
            bench.last_run().await.state,
            RunState::Done,
            "round {round}"
        );
        assert!(bench.files_in("processing").is_empty(), "round {round}");
        assert!(bench.feed().await.suspicions.is_empty(), "round {round}");
        assert!(bench.missing().await.is_empty());
    }
    assert!(deaths > 15, "only {deaths} workers died");
}

/// What a file lacks counts once, although it is read twice: also if the server's clock is ahead of ours,
/// by which the file is not yet written.
#[tokio::test(start_paused = true)]
async fn a_file_that_is_read_again_after_a_death_lacks_nothing_twice() {
    let mortal = Arc::new(Mortal::default());
    mortal.lives();
    let bench = Bench::of(Setup {
        interference: Arc::clone(&mortal) as Arc<dyn Interference>,
        ..Setup::with("grace = 2")
    })
    .await;
    let short = stock_file(30).replace("SKU-7,main,17\n", "");
    let drop = async |content: &str| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let ahead = bench.now() + SignedDuration::from_hours(3);
        bench.drop_at("s.csv", content, ahead);
        bench.tick().await;
    };
    let mut deaths = 0;
    for calls in 2..40 {
        drop(&stock_file(30)).await;
        bench.drain().await;
        drop(&short).await;
        mortal.dies_after(calls);
        deaths += usize::from(bench.deliver_mortally().await);
        mortal.lives();
        tokio::time::sleep(Duration::from_secs(150)).await;
        bench.drain().await;
        let missing = bench.missing().await;
        let counted: Vec<_> = missing.iter().map(|one| one.snapshots).collect();
        assert_eq!(counted, [1], "{calls} calls");
        assert_eq!(bench.stock().await["SKU-7"], 17, "{calls} calls");
    }
    assert!(deaths > 15, "only {deaths} workers died");
    drop(&short).await;
    bench.drain().await;
    assert_eq!(bench.stock().await["SKU-7"], 0);
}

/// With no time at all each turn still gets on by one batch, and is continued.
#[tokio::test(start_paused = true)]
async fn a_run_proceeds_however_little_time_it_has() {
    const ROWS: usize = 1_000;
    let bench = Bench::with(
        "grace = 1\nmin_rows_percent = 1\nmax_removals = { count = 1000, percent = 100 }",
    )
    .await;
    let hasty = async |content: String| {
        tokio::time::sleep(Duration::from_secs(60)).await;
        bench.drop("s.csv", content);
        bench.tick().await;
        let mut turns = 0;
        while bench.deliver(SignedDuration::ZERO).await != (0, 0) {
            turns += 1;
        }
        (turns, bench.last_run().await)
    };
    let (turns, run) = hasty(stock_file(ROWS)).await;
    assert_eq!(run.state, RunState::Done);
    assert!(turns >= ROWS / BATCH, "{turns} turns");
    assert_eq!((run.files.len(), run.files[0].counts.added), (1, 1_000));
    assert_eq!(bench.there().await, ROWS);

    let (turns, run) = hasty(stock_file(60)).await;
    assert!(turns >= 3, "{turns} turns");
    assert_eq!((run.files.len(), run.files[0].counts.removed), (1, 940));
    assert_eq!(bench.there().await, 60);
}

/// Which items were approved is found out again by whoever goes on with a removal.
#[tokio::test(start_paused = true)]
async fn what_was_approved_and_nothing_else_is_removed_however_little_time_there_is() {
    let bench =
        Bench::with("min_rows_percent = 1\nmax_removals = { count = 3, percent = 1 }").await;
    bench.read("s.csv", stock_file(1_000)).await;
    bench.read("s.csv", stock_file(60)).await;
    let waiting = async || bench.store.inbox(None, 10).await.unwrap().items;
    let id = waiting().await.remove(0).id;
    let approval = bench.store.resolve_inbox(&id, Resolution::Approve, "ann");
    approval.await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.drop("s.csv", stock_file(50));
    bench.tick().await;
    let mut turns = 0;
    while bench.deliver(SignedDuration::ZERO).await != (0, 0) {
        turns += 1;
    }
    assert!(turns >= 3, "{turns} turns");
    let counts = bench.last_run().await.files[0].counts;
    assert_eq!((counts.removed, counts.withheld), (940, 10));
    assert_eq!(bench.there().await, 60);
    let asked = waiting().await;
    assert_eq!(
        asked.iter().map(|entry| entry.count).collect::<Vec<_>>(),
        [10]
    );
    let first = bench.store.inbox_entry(&id).await.unwrap().unwrap().data;
    assert_eq!(first.state, InboxState::Applied);
}

/// Counts the pages that are read of lists.
#[derive(Default)]
struct Pages(AtomicI64);

#[async_trait]
impl Interference for Pages {
    async fn before(&self, call: &Call) -> Verdict {
        if call.operation == "Query" {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::Proceed
    }
}

/// A source may have stated more than can be listed in the time of one turn.
#[tokio::test(start_paused = true)]
async fn a_comparison_that_is_cut_after_each_page_goes_on_where_it_stopped() {
    let pages = Arc::new(Pages::default());
    let bench = Bench::of(Setup {
        interference: Arc::clone(&pages) as Arc<dyn Interference>,
        ..Setup::with("grace = 1\nmax_removals = { count = 10, percent = 10 }")
    })
    .await;
    bench.read("s.csv", stock_file(600)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let next = stock_file(601)
        .replace("SKU-7,main,17\n", "")
        .replace("SKU-500,main,510\n", "SKU-500,main,1\n");
    bench.drop("s.csv", next);
    bench.tick().await;
    let mut read = Vec::new();
    loop {
        pages.0.store(0, Ordering::SeqCst);
        if bench.deliver(SignedDuration::ZERO).await == (0, 0) {
            break;
        }
        read.push(pages.0.load(Ordering::SeqCst));
    }
    let run = bench.last_run().await;
    assert_eq!(run.state, RunState::Done);
    let counts = run.files[0].counts;
    assert_eq!((counts.added, counts.drift, counts.removed), (1, 1, 1));
    let stock = bench.stock().await;
    assert_eq!((stock["SKU-7"], stock["SKU-500"]), (0, 1));
    assert_eq!((stock["SKU-600"], stock["SKU-599"]), (610, 609));
    // One of the source's list, and one of its runs; at the beginning, its last run, and at the end, what has
    // moved late and what is in quarantine.
    assert!(read.len() >= 8, "{read:?}");
    assert!(read.iter().all(|pages| *pages <= 4), "{read:?}");
    let all: i64 = read.iter().sum();
    let turns = i64::try_from(read.len()).unwrap();
    assert!(all <= 2 * turns + 3, "no page is read twice: {read:?}");
}
