//! What a file says of a quantity, beside what others report of it: whatever comes first, and whatever a
//! file does not say.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::domain::Position;
use shared::store::movements::{Act, Movement};
use shared::store::quarantine::HeldState;
use shared::store::runs::FileOutcome;
use shared::store::stock::ApplyError;

use super::bench::{Bench, stock_file};

const HEADER: &str = "sku,location,on_hand\n";
/// Keeps files from looking too small.
const OTHERS: &str = "A,main,1\nB,main,1\nC,main,1\n";

fn file(rows: &str) -> String {
    match rows {
        "" => format!("{HEADER}{OTHERS}"),
        _ => format!("{HEADER}{OTHERS}{rows}\n"),
    }
}

/// A second after what was read last.
fn later(bench: &Bench) -> Timestamp {
    bench.now() + SignedDuration::from_secs(1)
}

fn minutes(at: Timestamp, minutes: i64) -> Timestamp {
    at + SignedDuration::from_mins(minutes)
}

async fn ledger(bench: &Bench, position: &Position) -> Vec<(i64, i64)> {
    let of = shared::store::keys::position_history(&position.product, &position.location);
    let rows = bench.store.history(&of, None, 100).await.unwrap().items;
    let on_hand = |words: &serde_json::Value| words["on_hand"].as_i64().unwrap_or_default();
    rows.iter()
        .map(|row| (on_hand(&row.before), on_hand(&row.after)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_file_repeats_is_written_where_something_has_moved_since() {
    let bench = Bench::with("").await;
    bench.read("s.csv", file("OIL,main,2")).await;
    bench.moves("OIL", 10, later(&bench)).await;
    assert_eq!(bench.balance("OIL").await, Some(12));
    let report = bench.read("s.csv", file("OIL,main,2")).await;
    assert_eq!(bench.balance("OIL").await, Some(2));
    assert_eq!(report.counts.drift, 1, "it was not what was held");
    let position = bench.position("OIL").await;
    assert_eq!(ledger(&bench, &position).await, [(0, 2), (2, 12), (12, 2)]);
    // What has not moved is not written again, however often it is repeated.
    bench.read("s.csv", file("OIL,main,2")).await;
    assert_eq!(bench.position("OIL").await, position);
    assert_eq!(bench.position("A").await.revision, 1);
    let examined = bench
        .store
        .examine(&bench.authority().await, None, 100)
        .await;
    assert_eq!(examined.unwrap().0.findings, []);
}

#[tokio::test(start_paused = true)]
async fn a_row_of_a_file_in_doubt_puts_right_what_has_moved_since_and_covers_no_other() {
    let first = format!("{}OIL,main,4\nGAS,main,9\n", stock_file(8));
    let unusable = "X,main,x\nY,main,x\nZ,main,x\nX2,main,x\nX3,main,x\n";
    for (doubt, second) in [
        ("small", format!("{HEADER}SKU-0,main,10\nOIL,main,4\n")),
        ("cut", format!("{HEADER}SKU-0,main,10\nOIL,main,4\nSKU-")),
        ("faults", format!("{HEADER}OIL,main,4\n{unusable}")),
    ] {
        let bench = Bench::with("").await;
        bench.read("s.csv", &first).await;
        bench.moves("OIL", -2, later(&bench)).await;
        let sold_at = later(&bench);
        let report = bench.read("s.csv", &second).await;
        assert_eq!(report.outcome, FileOutcome::Suspect, "{doubt}: {report:?}");
        assert_eq!(bench.balance("OIL").await, Some(4), "{doubt}");
        let position = bench.position("OIL").await;
        let words = [(0, 4), (4, 2), (2, 4)];
        assert_eq!(ledger(&bench, &position).await, words, "{doubt}");
        // It said so after that sale, and nothing of the other.
        bench.moves("OIL", -1, sold_at).await;
        bench.moves("GAS", -1, sold_at).await;
        let there = (bench.balance("OIL").await, bench.balance("GAS").await);
        assert_eq!(there, (Some(4), Some(8)), "{doubt}");
        // Once more, nothing has moved, and nothing is written.
        let before = bench.position("OIL").await;
        bench.read("s.csv", &second).await;
        assert_eq!(bench.position("OIL").await, before, "{doubt}");
        assert_eq!(bench.position("SKU-0").await.revision, 1, "{doubt}");
        // What it repeated is in it all the same.
        bench.moves("SKU-0", -1, sold_at).await;
        let there = if doubt == "faults" { 9 } else { 10 };
        assert_eq!(bench.balance("SKU-0").await, Some(there), "{doubt}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_a_file_does_not_say_leaves_the_item_as_it_is() {
    for row in [
        "",
        "OIL,main,",
        "OIL,main,many",
        "OIL,nowhere,10",
        "OIL",
        "OIL,main,-,x,y,\"",
    ] {
        let bench = Bench::with("grace = 100").await;
        bench.read("s.csv", file("OIL,main,10")).await;
        bench.moves("OIL", -8, later(&bench)).await;
        let before = bench.position("OIL").await;
        for _ in 0..2 {
            bench.read("s.csv", file(row)).await;
            assert_eq!(bench.position("OIL").await, before, "{row:?}");
            assert_eq!(bench.balance("OIL").await, Some(2), "{row:?}");
        }
        let five = Movement {
            key: "five".parse().unwrap(),
            product: "OIL".parse().unwrap(),
            location: "main".parse().unwrap(),
            act: Act::Sale { quantity: 5 },
            at: None,
            reason: None,
            actor: None,
        };
        let sold = bench.store.carry_out(&five, &bench.authority().await).await;
        assert!(
            matches!(sold, Err(ApplyError::Refused(_))),
            "{row:?}: {sold:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_sale_is_in_the_file_that_stated_the_item_after_it_and_in_no_other() {
    let bench = Bench::with("").await;
    bench.read("s.csv", file("OIL,main,10\nGAS,main,10")).await;
    let sold_at = later(&bench);
    bench.read("s.csv", file("OIL,main,10")).await;
    for sku in ["OIL", "GAS"] {
        bench.moves(sku, -4, sold_at).await;
    }
    assert_eq!(
        bench.balance("OIL").await,
        Some(10),
        "its row said so after the sale"
    );
    assert_eq!(
        bench.balance("GAS").await,
        Some(6),
        "nothing was said of it after the sale"
    );
    // It is stated again, and then the file covers it.
    bench.read("s.csv", file("OIL,main,10\nGAS,main,6")).await;
    bench.moves("GAS", -1, sold_at).await;
    assert_eq!(bench.balance("GAS").await, Some(6));
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_told_late_corrects_what_was_there_then() {
    let bench = Bench::with("").await;
    bench.read("s.csv", file("OIL,main,8")).await;
    let counted_at = minutes(bench.now(), 1);
    tokio::time::sleep(Duration::from_secs(180)).await;
    bench.moves("OIL", -1, bench.now()).await;
    bench.counts("OIL", 5, counted_at).await;
    assert_eq!(
        bench.balance("OIL").await,
        Some(4),
        "five, and one sold since"
    );
}

#[tokio::test(start_paused = true)]
async fn a_barcode_in_an_optional_quantity_is_held_and_the_quantity_beside_it_is_taken() {
    let bench = Bench::with("").await;
    let file = |row: &str| format!("sku,location,on_hand,reserved,incoming\n{row}\n");
    bench.read("s.csv", file("OIL,main,10,2,3")).await;
    let sold_at = later(&bench);
    let row = file("OIL,main,8,36000291452,1000000000");
    let report = bench.read("s.csv", row).await;
    assert_eq!((report.counts.quarantined, report.counts.drift), (1, 1));
    let held = bench
        .store
        .quarantined(HeldState::Open, None, 10)
        .await
        .unwrap()
        .items;
    let [held] = held.as_slice() else {
        panic!("{held:?}")
    };
    for name in ["reserved", "incoming", "most_quantity_jump"] {
        assert!(held.sentence.contains(name), "{held:?}");
    }
    let position = bench.position("OIL").await;
    let stated = &position.stated_by(&"erp".parse().unwrap()).unwrap().level;
    assert_eq!(
        (stated.on_hand, stated.reserved, stated.incoming),
        (8, Some(2), Some(3))
    );
    // The file covers what it states.
    bench.moves("OIL", -4, sold_at).await;
    assert_eq!(bench.balance("OIL").await, Some(8));
}

#[tokio::test(start_paused = true)]
async fn fewer_than_none_reserved_coming_or_unavailable_is_told_and_the_quantity_beside_it_is_taken()
 {
    for (columns, cells) in [
        ("on_hand,reserved", "10,-5"),
        ("on_hand,unavailable", "10,-5"),
        ("on_hand,incoming", "10,-5"),
        ("on_hand,available,reserved", "10,10,-5"),
        ("available,reserved", "10,-5"),
        ("available,unavailable", "10,-5"),
    ] {
        let bench = Bench::with("").await;
        let file = format!("sku,location,{columns}\nOIL,main,{cells}\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.counts.added, 1, "{columns}: {report:?}");
        let sources = bench.authority().await.quantities;
        let stock = bench.position("OIL").await.stock(&sources).unwrap();
        let seen = (stock.on_hand, stock.available, stock.reserved);
        assert_eq!(seen, (10, 10, 0), "{columns}");
        assert_eq!((stock.unavailable, stock.incoming), (0, 0), "{columns}");
        let remarks = bench.feed().await.remarks;
        assert!(remarks["unreadable"].contains("below zero"), "{remarks:?}");
    }
    // What is owed, and what was sold beyond it, may be below zero.
    let bench = Bench::with("").await;
    let file = "sku,location,on_hand,available\nOIL,main,-2,-3\n";
    bench.read("s.csv", file).await;
    assert_eq!(bench.balance("OIL").await, Some(-2));
    assert!(bench.feed().await.remarks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_file_written_before_a_count_leaves_it_and_one_written_after_it_does_not() {
    let bench = Bench::with("").await;
    bench.read("s.csv", file("OIL,main,10")).await;
    let written_at = minutes(bench.now(), 1);
    tokio::time::sleep(Duration::from_secs(180)).await;
    bench.counts("OIL", 7, bench.now()).await;
    for (content, there) in [("OIL,main,10", 7), ("OIL,main,9", 7)] {
        bench.drop_at("s.csv", file(content), written_at);
        bench.read_what_is_there().await;
        assert_eq!(bench.balance("OIL").await, Some(there), "{content}");
    }
    bench.read("s.csv", file("OIL,main,9")).await;
    assert_eq!(bench.balance("OIL").await, Some(9));
    // One that repeats what it said, and was counted: what is older is in the file, too.
    bench.counts("OIL", 9, bench.now()).await;
    let sold_at = later(&bench);
    bench.read("s.csv", file("OIL,main,9")).await;
    bench.moves("OIL", -2, sold_at).await;
    assert_eq!(bench.balance("OIL").await, Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_barcode_in_the_quantity_is_held_and_covers_nothing() {
    let bench = Bench::with("").await;
    bench.read("s.csv", file("OIL,main,10")).await;
    let sold_at = later(&bench);
    let report = bench.read("s.csv", file("OIL,main,36000291452")).await;
    assert_eq!((report.counts.quarantined, report.counts.drift), (1, 0));
    let held = bench
        .store
        .quarantined(HeldState::Open, None, 10)
        .await
        .unwrap()
        .items;
    assert!(
        held.iter()
            .all(|it| it.sentence.contains("most_quantity_jump")),
        "{held:?}"
    );
    assert_eq!(bench.balance("OIL").await, Some(10));
    bench.moves("OIL", -4, sold_at).await;
    assert_eq!(bench.balance("OIL").await, Some(6));
}

#[tokio::test(start_paused = true)]
async fn a_file_reads_the_items_of_its_own_source_and_no_others() {
    let bench = Bench::with("").await;
    let cost = async || {
        bench.sync.store.take_spent();
        bench.read("s.csv", stock_file(200)).await;
        bench.sync.store.take_spent().read
    };
    cost().await;
    let alone = cost().await;
    for number in 0..400 {
        let sku = format!("THEIRS-{number}");
        bench.states("shop", &sku, 5, bench.now()).await;
    }
    let beside = cost().await;
    assert!(
        beside <= alone + 10.0,
        "{alone} alone, {beside} beside others"
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_repeat_what_cannot_be_sold_are_not_read_one_by_one() {
    let mut costs = Vec::new();
    for (columns, row) in [
        ("on_hand", "10"),
        ("on_hand,unavailable", "10,5"),
        ("on_hand,available", "10,5"),
        ("available", "10"),
        ("on_hand,available,reserved,unavailable", "10,3,2,5"),
    ] {
        let bench = Bench::with("").await;
        let rows = (0..200).map(|n| format!("SKU-{n},main,{row}\n"));
        let file = format!("sku,location,{columns}\n{}", rows.collect::<String>());
        bench.read("s.csv", &file).await;
        bench.sync.store.take_spent();
        bench.read("s.csv", &file).await;
        costs.push((columns, bench.sync.store.take_spent().read));
    }
    let (_, plain) = costs[0];
    assert!(
        costs.iter().all(|(_, read)| *read <= plain + 10.0),
        "{costs:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_that_differs_is_one_write_of_stock_and_nothing_beside_it() {
    let bench = Bench::with("").await;
    let with = |first: i64| {
        let rows: Vec<_> = (0..50)
            .map(|n| format!("SKU-{n},main,{}", first + n))
            .collect();
        file(&rows.join("\n"))
    };
    let cost = async |content: String| {
        bench.sync.store.take_spent();
        bench.read("s.csv", content).await;
        bench.sync.store.take_spent().write
    };
    cost(with(1)).await;
    let same = cost(with(1)).await;
    let other = cost(with(2)).await;
    // A transaction of position and ledger row, in the table and the list; and checkpoints.
    assert!(
        other - same <= 50.0 * 6.0,
        "{same} for none, {other} for fifty"
    );
}

/// One thing that is said, when it was true, and how many minutes later we hear of it.
#[derive(Debug, Clone)]
enum Said {
    File(Option<i64>),
    /// A file that is cut, after its row or before it.
    Cut(Option<i64>),
    Nothing,
    Unreadable,
    Erp(i64),
    Shop(i64),
    Counted(i64),
    Moved(i64),
}

fn histories() -> impl Strategy<Value = (Vec<(Said, i64)>, bool)> {
    let said = prop_oneof![
        4 => (0..4i64).prop_map(|level| Said::File(Some(level * 5))),
        2 => prop::option::of((0..4i64).prop_map(|level| level * 5)).prop_map(Said::Cut),
        1 => Just(Said::Nothing),
        1 => Just(Said::Unreadable),
        1 => (0..4i64).prop_map(|level| Said::Erp(level * 5)),
        1 => (0..4i64).prop_map(|level| Said::Shop(level * 5)),
        2 => (0..4i64).prop_map(|level| Said::Counted(level * 5)),
        5 => prop_oneof![-4..-1i64, 1..10i64].prop_map(Said::Moved),
    ];
    (
        prop::collection::vec((said, 0..40i64), 2..12),
        any::<bool>(),
    )
}

/// What is there by the histories alone: of the source that counts the latest word that can be read, or
/// what a person has counted since, and all that moved after it.
fn by_the_histories(history: &[(Said, i64)], ranked: bool) -> Option<i64> {
    let word = |of: fn(&Said) -> Option<i64>| {
        let words = history.iter().enumerate();
        let mut said = words.filter_map(|(when, (said, _))| Some((when, of(said)?)));
        said.next_back()
    };
    let erp = word(|said| match said {
        Said::File(level) | Said::Cut(level) => *level,
        Said::Erp(level) => Some(*level),
        _ => None,
    });
    let shop = word(|said| match said {
        Said::Shop(level) => Some(*level),
        _ => None,
    });
    let counted = word(|said| match said {
        Said::Counted(level) => Some(*level),
        _ => None,
    });
    let owned = if ranked { erp.or(shop) } else { erp.max(shop) };
    let (when, level) = owned.max(counted)?;
    let moved = history
        .iter()
        .skip(when + 1)
        .filter_map(|(said, _)| match said {
            Said::Moved(delta) => Some(*delta),
            _ => None,
        });
    Some(level + moved.sum::<i64>())
}

/// Everything happens five minutes after what came before; what is told late is told in between.
async fn as_it_is_heard(history: &[(Said, i64)], ranked: bool) -> Option<i64> {
    let ranking = if ranked {
        "[ownership]\non_hand = [\"erp\"]"
    } else {
        ""
    };
    let bench = Bench::with(&format!("grace = 100\n{ranking}")).await;
    let start = minutes(bench.now(), 5);
    let mut heard: Vec<_> = history
        .iter()
        .enumerate()
        .map(|(when, (said, late))| {
            let at = 5 * i64::try_from(when).unwrap();
            // A file is read once it is written.
            let late = match said {
                Said::File(_) | Said::Cut(_) | Said::Nothing | Said::Unreadable => 1,
                _ => *late,
            };
            (at + late, at, said)
        })
        .collect();
    heard.sort_by_key(|(heard, at, _)| (*heard, *at));
    for (heard, at, said) in heard {
        let wait = minutes(start, heard).duration_since(bench.now());
        tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
        let at = minutes(start, at);
        let take = async |content: String| {
            bench.drop_at("s.csv", content, at);
            bench.read_what_is_there().await;
        };
        let read = async |row: &str| take(file(row)).await;
        match said {
            Said::File(level) => read(&format!("OIL,main,{}", level.unwrap_or_default())).await,
            Said::Cut(level) => {
                let row = level.map(|level| format!("OIL,main,{level}\n"));
                take(format!("{HEADER}A,main,1\n{}B,ma", row.unwrap_or_default())).await;
            }
            Said::Nothing => read("").await,
            Said::Unreadable => read("OIL,main,?").await,
            Said::Erp(level) => drop(bench.states("erp", "OIL", *level, at).await),
            Said::Shop(level) => drop(bench.states("shop", "OIL", *level, at).await),
            Said::Counted(units) => bench.counts("OIL", *units, at).await,
            Said::Moved(delta) => drop(bench.moves("OIL", *delta, at).await),
        }
    }
    let (product, location) = ("OIL".parse().unwrap(), "main".parse().unwrap());
    let position = bench.store.position(&product, &location).await.unwrap()?;
    let authority = bench.authority().await;
    let examined = bench.store.examine(&authority, None, 100).await.unwrap();
    assert_eq!(examined.0.findings, []);
    position.balance(&authority.quantities)
}

/// G3: files with and without the item, statements of the same source and of another, and movements,
/// each heard when it may be.
#[test]
fn what_is_there_does_not_depend_on_when_it_is_heard_of() {
    let mut runner = TestRunner::new(Config::with_cases(32));
    let outcome = runner.run(&histories(), |(history, ranked)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let found = runtime.block_on(as_it_is_heard(&history, ranked));
        prop_assert_eq!(found, by_the_histories(&history, ranked));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
