//! What a file lacks: grace, guard, approval.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use lotwire::engine::{Call, Interference, Verdict};
use shared::domain::event::{Change, Level, ProductDescription, StockEvent, Version};
use shared::domain::item::{Dated, ItemStatement};
use shared::domain::unit::UnitState;
use shared::store::inbox::{InboxEntry, InboxState, Resolution, UNDECIDED};
use shared::store::runs::FileOutcome;
use tokio::sync::Notify;

use super::bench::{Bench, Setup, stock_file};

/// The file without some of its rows.
fn without(rows: usize, gone: impl Fn(usize) -> bool) -> String {
    let full = stock_file(rows);
    let lines = full.lines().enumerate();
    let kept = lines.filter(|(number, _)| *number == 0 || !gone(number - 1));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn missing_once_and_back_is_no_removal() {
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(30)).await;
    for _ in 0..3 {
        let report = bench.read("s.csv", without(30, |sku| sku == 7)).await;
        assert_eq!((report.counts.missing, report.counts.removed), (1, 0));
        assert!(report.sentences.is_empty());
        bench.read("s.csv", stock_file(30)).await;
    }
    assert_eq!(bench.there().await, 30);
}

#[tokio::test(start_paused = true)]
async fn missing_for_longer_than_the_grace_is_removed_and_can_come_back() {
    let bench = Bench::with("grace = 3").await;
    bench.read("s.csv", stock_file(30)).await;
    let short = without(30, |sku| sku == 7);
    for (missing, removed) in [(1, 0), (1, 0), (0, 1), (0, 0)] {
        let report = bench.read("s.csv", &short).await;
        assert_eq!(
            (report.counts.missing, report.counts.removed),
            (missing, removed)
        );
    }
    assert_eq!(bench.stock().await["SKU-7"], 0);
    let report = bench.read("s.csv", stock_file(30)).await;
    assert_eq!((report.counts.drift, bench.stock().await["SKU-7"]), (1, 17));
}

/// The shop has renamed it, and the file follows, whatever is left of it.
#[tokio::test(start_paused = true)]
async fn a_file_that_follows_a_rename_ends_the_old_sku_and_concludes_nothing() {
    for left in [0, 6] {
        let bench = Bench::with("grace = 1").await;
        let authority = bench.authority().await;
        let says = async |second: i64, change| {
            let at = bench.now() - SignedDuration::from_secs(100 - second);
            let event = StockEvent {
                id: format!("{left}-{second}").parse().unwrap(),
                source: "shop".parse().unwrap(),
                at,
                actor: None,
                change,
            };
            bench.store.apply(&event, &authority).await.unwrap();
        };
        let version =
            |second: i64| Version::at(bench.now() - SignedDuration::from_secs(100 - second));
        let is_called = |sku: &str, second| {
            Change::Described(ProductDescription {
                sku: sku.parse().unwrap(),
                version: version(second),
                title: None,
                category: None,
                external: [("inventory_item".to_owned(), "1".to_owned())].into(),
            })
        };
        says(1, is_called("OLD", 1)).await;
        let stated = ItemStatement {
            product: "OLD".parse().unwrap(),
            location: "main".parse().unwrap(),
            item: "inventory_item 1".to_owned(),
            level: Some(Dated {
                version: version(2),
                value: Some(Level {
                    on_hand: 9,
                    ..Level::default()
                }),
            }),
            offered: None,
            named: None,
            called: None,
            offered_by: None,
        };
        says(2, Change::Item(Box::new(stated))).await;
        let file = |sku: &str| format!("sku,location,on_hand\n{sku},main,{left}\nB,main,1\n");
        bench.read("s.csv", file("OLD")).await;
        says(50, is_called("NEW", 50)).await;
        assert_eq!(bench.position("OLD").await.renamed_to(), None, "{left}");
        bench.read("s.csv", file("NEW")).await;
        let old = bench.position("OLD").await;
        let new = "NEW".parse().unwrap();
        assert_eq!(old.renamed_to(), Some(&new), "{left}");
        assert_eq!(old.stock(&authority.quantities), None, "{left}");
        assert_eq!(bench.stock().await["NEW"], left);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_comes_back_even_if_its_row_has_not_changed_since() {
    let bench = Bench::with("grace = 1").await;
    let dated = |file: String| {
        let lines = file.lines().enumerate().map(|(number, line)| match number {
            0 => format!("{line},updated_at\n"),
            _ => format!("{line},2025-12-01T00:00:00Z\n"),
        });
        lines.collect::<String>()
    };
    bench.read("s.csv", dated(stock_file(5))).await;
    bench.read("s.csv", dated(without(5, |sku| sku == 2))).await;
    assert_eq!(bench.stock().await["SKU-2"], 0);
    bench.read("s.csv", dated(stock_file(5))).await;
    assert_eq!(bench.stock().await["SKU-2"], 12);
}

#[tokio::test(start_paused = true)]
async fn a_file_of_changes_removes_nothing() {
    let bench = Bench::with("grace = 1\ncovers = \"changes\"").await;
    bench.read("s.csv", stock_file(5)).await;
    let report = bench
        .read("s.csv", "sku,location,on_hand\nSKU-0,main,3\n")
        .await;
    assert_eq!(
        (report.outcome, report.counts.drift),
        (FileOutcome::Applied, 1)
    );
    assert_eq!(bench.there().await, 5);
    assert_eq!(bench.feed().await.snapshot_at, None);
}

/// Beyond the guard nothing is removed, what is new goes in, and what is approved is removed once.
#[tokio::test(start_paused = true)]
async fn too_many_removals_wait_for_a_person() {
    let bench = Bench::with("max_removals = { count = 3, percent = 10 }\ngrace = 2").await;
    bench.read("s.csv", stock_file(40)).await;
    let short = format!("{}NEW,main,5\n", without(40, |sku| sku < 8));
    for _ in 0..2 {
        let report = bench.read("s.csv", &short).await;
        assert_eq!((report.counts.removed, report.counts.withheld), (0, 8));
        assert_eq!(bench.there().await, 41);
        // However often it comes, one alert and one entry.
        assert_eq!(bench.feed().await.suspicions.len(), 1);
        let inbox = bench.store.inbox(None, 10).await.unwrap().items;
        assert_eq!(inbox.len(), 1);
        assert_eq!((inbox[0].count, inbox[0].state), (8, InboxState::Waiting));
        assert_eq!(inbox[0].examples.len(), 8);
    }
    let id = bench.store.inbox(None, 1).await.unwrap().items[0]
        .id
        .clone();
    let resolved = bench
        .store
        .resolve_inbox(&id, Resolution::Approve, "ann")
        .await;
    assert_eq!(resolved.unwrap().state, InboxState::Approved);
    // Nothing is left to do for anybody, so nothing is told as held.
    let state = bench.feed().await;
    assert!(state.suspicions.is_empty(), "{:?}", state.suspicions);
    let approved =
        "ann has approved that: the next complete file removes those of them that it still lacks";
    assert!(state.kept.is_some_and(|it| it.ends_with(approved)));
    let state = bench.feed().await;
    assert!(!state.memory.is_null(), "what the feed remembers stays");
    let again = bench
        .store
        .resolve_inbox(&id, Resolution::Reject, "bob")
        .await;
    assert!(again.unwrap_err().to_string().contains("approved"));

    // One of them is back, and another is missing for the first time.
    let other = format!(
        "{}NEW,main,5\n",
        without(40, |sku| (1..8).contains(&sku) || sku == 20)
    );
    let report = bench.read("s.csv", &other).await;
    let counts = report.counts;
    assert_eq!((counts.removed, counts.missing, counts.withheld), (7, 1, 0));
    assert_eq!(bench.there().await, 34);
    let stock = bench.stock().await;
    assert_eq!(
        (stock["SKU-0"], stock["SKU-1"], stock["SKU-20"]),
        (10, 0, 30)
    );
    let state = bench.feed().await;
    assert!(state.suspicions.is_empty() && state.kept.is_none());
    assert!(bench.store.inbox(None, 10).await.unwrap().items.is_empty());
    let entry = bench.store.inbox_entry(&id).await.unwrap().unwrap();
    assert_eq!(entry.data.state, InboxState::Applied);
    // The approval is used up.
    let report = bench.read("s.csv", without(40, |sku| sku < 20)).await;
    assert_eq!(report.counts.removed, 0);
    assert!(report.counts.withheld > 0);
}

/// As many others as were approved, as a few, and as many beside those; in a file that is much smaller than
/// usual, and in one that is not.
#[tokio::test(start_paused = true)]
async fn an_approval_is_of_what_was_listed_and_of_nothing_else() {
    let mut seen = Vec::new();
    for (rows, most) in [
        (12, "count = 3, percent = 10"),
        (40, "count = 3, percent = 5"),
    ] {
        for (approved, others) in [(0, 5), (1, 4), (5, 5)] {
            let case = format!("{rows} rows, {approved} of those approved, and {others} others");
            let bench = Bench::with(&format!("max_removals = {{ {most} }}\ngrace = 2")).await;
            bench.read("s.csv", stock_file(rows)).await;
            bench.read("s.csv", without(rows, |sku| sku < 5)).await;
            let waiting = async || bench.store.inbox(None, 10).await.unwrap().items;
            let first = waiting().await.remove(0);
            let approve = async |id: &str| {
                let approval = bench.store.resolve_inbox(id, Resolution::Approve, "ann");
                approval.await.unwrap();
            };
            approve(&first.id).await;
            let next = without(rows, |sku| sku < approved || (5..5 + others).contains(&sku));
            let report = bench.read("s.csv", &next).await;
            let counts = (report.counts.removed, report.counts.withheld);
            assert_eq!(counts, (approved as u64, others as u64), "{case}");
            assert_eq!(bench.there().await, rows - approved, "{case}");
            seen.push(report.outcome);
            // Those are asked about.
            let asked = waiting().await;
            let [second] = &asked[..] else {
                panic!("{case}: {asked:?}")
            };
            assert_eq!(second.count, others as u64, "{case}");
            assert_eq!(second.examples[0], "SKU-5 at main", "{case}");
            let told = report.sentences.join(" ");
            assert!(
                told.contains(&format!("lacks {others} of {}", rows - approved)),
                "{told}"
            );
            approve(&second.id).await;
            let report = bench.read("s.csv", &next).await;
            assert_eq!(report.counts.removed, others as u64, "{case}");
            assert_eq!(report.outcome, FileOutcome::Applied, "{case}");
            assert_eq!(bench.there().await, rows - approved - others, "{case}");
            assert!(bench.feed().await.suspicions.is_empty(), "{case}");
        }
    }
    assert!(seen.contains(&FileOutcome::Suspect) && seen.contains(&FileOutcome::Applied));
}

/// What a file that is cut says of an item that was missing is said all the same.
#[tokio::test(start_paused = true)]
async fn what_was_mentioned_since_is_not_what_was_approved() {
    let bench = Bench::with("max_removals = { count = 3, percent = 10 }\ngrace = 2").await;
    bench.read("s.csv", stock_file(40)).await;
    let short = without(40, |sku| sku < 8);
    bench.read("s.csv", &short).await;
    let id = bench.store.inbox(None, 1).await.unwrap().items.remove(0).id;
    let approval = bench.store.resolve_inbox(&id, Resolution::Approve, "ann");
    approval.await.unwrap();
    bench
        .read("s.csv", "sku,location,on_hand\nSKU-0,main,10\nSK")
        .await;
    let report = bench.read("s.csv", &short).await;
    assert_eq!((report.counts.removed, report.counts.missing), (7, 1));
    assert_eq!(bench.stock().await["SKU-0"], 10);
}

/// Of a file that a person had rejected to follow, and that comes again after another.
#[tokio::test(start_paused = true)]
async fn what_was_asked_of_another_file_does_not_wait_when_the_rejected_one_is_back() {
    let bench = Bench::with("max_removals = { count = 3, percent = 10 }\ngrace = 2").await;
    bench.read("s.csv", stock_file(40)).await;
    let (short, shorter) = (without(40, |sku| sku < 8), without(40, |sku| sku < 9));
    bench.read("s.csv", &short).await;
    let id = bench.store.inbox(None, 1).await.unwrap().items.remove(0).id;
    let rejection = bench.store.resolve_inbox(&id, Resolution::Reject, "ann");
    rejection.await.unwrap();
    for (file, waiting) in [(&shorter, 1), (&short, 0)] {
        bench.read("s.csv", file).await;
        let items = bench.store.inbox(None, 10).await.unwrap().items;
        assert_eq!(items.len(), waiting, "{items:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_holds_for_the_same_removals() {
    let bench = Bench::with("max_removals = { count = 3, percent = 10 }\ngrace = 1").await;
    bench.read("s.csv", stock_file(40)).await;
    let short = without(40, |sku| sku < 8);
    bench.read("s.csv", &short).await;
    let id = bench.store.inbox(None, 1).await.unwrap().items[0]
        .id
        .clone();
    bench
        .store
        .resolve_inbox(&id, Resolution::Reject, "ann")
        .await
        .unwrap();
    assert!(bench.feed().await.suspicions.is_empty());
    let kept = "s.csv lacks 8 of 40 items, such as SKU-0 at main, SKU-1 at main, SKU-2 at main; they stay, \
                as ann has rejected their removal";
    for _ in 0..2 {
        assert_eq!(bench.feed().await.kept.as_deref(), Some(kept));
        let report = bench.read("s.csv", &short).await;
        assert_eq!((report.counts.removed, report.counts.withheld), (0, 8));
        assert!(bench.feed().await.suspicions.is_empty());
        assert!(bench.store.inbox(None, 10).await.unwrap().items.is_empty());
    }
    bench.read("s.csv", without(40, |sku| sku < 9)).await;
    assert_eq!(bench.store.inbox(None, 10).await.unwrap().items.len(), 1);
    // All back: nothing is left to decide.
    bench.read("s.csv", stock_file(40)).await;
    assert!(bench.store.inbox(None, 10).await.unwrap().items.is_empty());
    assert_eq!(bench.feed().await.kept, None);
    assert_eq!(bench.there().await, 40);
}

#[tokio::test(start_paused = true)]
async fn what_a_file_lacks_is_told_of_all_that_its_source_states_by_then() {
    let bench = Bench::with("max_removals = { count = 3, percent = 10 }\ngrace = 1").await;
    bench.read("s.csv", stock_file(40)).await;
    bench.read("s.csv", without(40, |sku| sku < 8)).await;
    let id = bench.store.inbox(None, 1).await.unwrap().items[0]
        .id
        .clone();
    let reject = bench.store.resolve_inbox(&id, Resolution::Reject, "ann");
    reject.await.unwrap();
    for of in [40, 70] {
        bench.read("s.csv", without(70, |sku| sku < 8)).await;
        let kept = bench.feed().await.kept.unwrap();
        let lacks = format!("s.csv lacks 8 of {of} items");
        assert!(kept.starts_with(&lacks), "{kept}");
    }
}

/// An empty file of a large feed is one suspicion, and removes nothing.
#[tokio::test(start_paused = true)]
async fn an_empty_file_is_one_suspicion_until_a_person_says_otherwise() {
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(50)).await;
    let empty = "sku,location,on_hand\n";
    let report = bench.read("s.csv", empty).await;
    assert_eq!(report.outcome, FileOutcome::Suspect);
    assert_eq!((report.counts.removed, report.counts.withheld), (0, 50));
    assert_eq!(bench.there().await, 50);
    assert!(!bench.feed().await.suspicions.is_empty());
    assert_eq!(bench.files_in("error").len(), 1);

    let id = bench.store.inbox(None, 1).await.unwrap().items[0]
        .id
        .clone();
    bench
        .store
        .resolve_inbox(&id, Resolution::Approve, "ann")
        .await
        .unwrap();
    // It is not believed until then, and says who has approved that.
    let told = bench.feed().await.suspicions.join(" ");
    assert!(told.contains("ann has approved that"), "{told}");
    let report = bench.read("s.csv", empty).await;
    assert_eq!(
        (report.outcome, report.counts.removed),
        (FileOutcome::Applied, 50)
    );
    assert_eq!(bench.there().await, 0);
    assert!(bench.feed().await.suspicions.is_empty());
}

const VEHICLES: &str = "\
VIN,Stock #,Make,Model,Price,Odometer,Dealer ID
SCBCG2ZG0RC012345,BX1042,Bentley,Continental GT,\"239,950 EUR\",2560 miles,D-001
ZFA31200003123456,AB0077,Abarth,595,13995,21034 km,D-001
";

#[tokio::test(start_paused = true)]
async fn a_vehicle_that_is_gone_for_good_is_removed() {
    let bench = Bench::with("").await;
    let report = bench.read("v.csv", VEHICLES).await;
    assert_eq!((report.counts.added, report.counts.quarantined), (2, 0));
    let one: String = VEHICLES
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    // Half the lot is less than three quarters of it, so the size is not usual: a person decides.
    let report = bench.read("v.csv", &one).await;
    assert_eq!((report.counts.withheld, report.counts.removed), (1, 0));
    let id = bench.store.inbox(None, 1).await.unwrap().items[0]
        .id
        .clone();
    bench
        .store
        .resolve_inbox(&id, Resolution::Approve, "ann")
        .await
        .unwrap();
    let report = bench.read("v.csv", &one).await;
    assert_eq!((report.counts.withheld, report.counts.removed), (0, 1));
    let gone = bench
        .unit("ZFA31200003123456")
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(gone.state, UnitState::Removed);
    let kept = bench.unit("SCBCG2ZG0RC012345").await;
    assert_eq!(
        kept.resolve(&shared::domain::Authority::default()).state,
        UnitState::InStock
    );
    assert_eq!(
        kept.revision, 1,
        "an unchanged vehicle is not written again"
    );
    let report = bench.read("v.csv", VEHICLES).await;
    assert_eq!(report.counts.drift, 1);
    let back = bench
        .unit("ZFA31200003123456")
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(back.state, UnitState::InStock);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_has_counted_since_it_was_first_missed_has_all_its_time_again() {
    let bench = Bench::with("grace = 3").await;
    bench.read("s.csv", stock_file(30)).await;
    let short = without(30, |sku| sku == 7);
    for (counted, removed) in [false, false, true, false, false]
        .into_iter()
        .zip([0, 0, 0, 0, 1])
    {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        if counted {
            bench.counts("SKU-7", 5, bench.now()).await;
        }
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let report = bench.read("s.csv", &short).await;
        assert_eq!(report.counts.removed, removed);
        if counted {
            assert_eq!(bench.balance("SKU-7").await, Some(5));
        }
    }
    assert_eq!(bench.balance("SKU-7").await, Some(0));
}

/// Holds one of the calls up, once it is told after how many, until it is let go.
#[derive(Default)]
struct HeldAt {
    left: AtomicI64,
    reached: Notify,
    go: Notify,
}

#[async_trait]
impl Interference for HeldAt {
    async fn before(&self, _: &Call) -> Verdict {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.reached.notify_one();
            self.go.notified().await;
        }
        Verdict::Proceed
    }
}

/// A file waits for a person, and the next is read; just before one of its calls, something is done about
/// what waits. Nothing where the file takes fewer calls.
async fn amid<T>(
    call: i64,
    next: &str,
    done: impl AsyncFn(&Bench, &str) -> T,
) -> Option<(Bench, String, T)> {
    let held = Arc::new(HeldAt::default());
    let bench = Bench::of(Setup {
        interference: Arc::clone(&held) as Arc<dyn Interference>,
        ..Setup::with("max_removals = { count = 3, percent = 10 }\ngrace = 2")
    })
    .await;
    bench.read("s.csv", stock_file(40)).await;
    bench.read("s.csv", without(40, |sku| sku < 8)).await;
    let id = bench.store.inbox(None, 1).await.unwrap().items.remove(0).id;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.drop("s.csv", next);
    bench.tick().await;
    held.left.store(call, Ordering::SeqCst);
    let came = {
        let mut reading = pin!(bench.drain());
        tokio::select! {
            biased;
            () = &mut reading => return None,
            () = held.reached.notified() => {}
        }
        let came = done(&bench, &id).await;
        held.go.notify_one();
        reading.await;
        came
    };
    Some((bench, id, came))
}

async fn waiting(bench: &Bench) -> Vec<InboxEntry> {
    bench.store.inbox(None, 10).await.unwrap().items
}

/// Whoever is told that it is approved has approved it, and nothing else.
#[tokio::test(start_paused = true)]
async fn what_is_approved_while_the_next_file_is_read_is_removed_and_nothing_else() {
    let same = without(40, |sku| sku < 8);
    let more = without(40, |sku| sku < 8 || (20..28).contains(&sku));
    let few = without(40, |sku| sku < 2);
    for (name, next, removed) in [("same", same, 8), ("more", more, 8), ("few", few, 2)] {
        let (mut approved, mut too_late) = (0, 0);
        for call in 1.. {
            let approves = async |bench: &Bench, id: &str| {
                let approval = bench.store.resolve_inbox(id, Resolution::Approve, "ann");
                approval.await.is_ok()
            };
            let Some((bench, id, is_approved)) = amid(call, &next, approves).await else {
                break;
            };
            let case = format!("{name}, call {call}, approved: {is_approved}");
            if waiting(&bench).await.is_empty() {
                let told = bench.feed().await.suspicions;
                let asks = told.iter().any(|it| it.contains(UNDECIDED));
                assert!(!asks, "{case}: {told:?}");
            }
            if name != "few" {
                bench.read("s.csv", &next).await;
            }
            let there = if is_approved { 40 - removed } else { 40 };
            assert_eq!(bench.there().await, there, "{case}");
            let stock = bench.stock().await;
            assert_eq!(stock["SKU-1"] == 0, is_approved, "{case}");
            let entry = bench.store.inbox_entry(&id).await.unwrap().unwrap();
            let state = match is_approved {
                true => InboxState::Applied,
                false => InboxState::Withdrawn,
            };
            assert_eq!(entry.data.state, state, "{case}");
            let asked: Vec<_> = waiting(&bench).await.iter().map(|it| it.count).collect();
            let others = match (name, is_approved) {
                ("more", true) => vec![8],
                ("more", false) => vec![16],
                _ => vec![],
            };
            assert_eq!(asked, others, "{case}");
            (approved, too_late) = match is_approved {
                true => (approved + 1, too_late),
                false => (approved, too_late + 1),
            };
        }
        assert!(approved > 10, "{name}: {approved}");
        assert_eq!(too_late > 0, name != "same", "{name}: {too_late}");
    }
}

/// Its source is taken out of the configuration, and the look at what follows from that is over before the
/// file is.
#[tokio::test(start_paused = true)]
async fn nobody_is_asked_about_a_source_that_was_removed_while_its_file_was_read() {
    let more = without(40, |sku| sku < 8 || (20..28).contains(&sku));
    let mut seen = 0;
    for call in 1.. {
        let removes = async |bench: &Bench, _: &str| {
            bench.remove_the_source().await;
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            for entry in waiting(bench).await {
                bench.store.withdraw_inbox(&entry.id).await.unwrap();
            }
        };
        let Some((bench, ..)) = amid(call, &more, removes).await else {
            break;
        };
        let asked = waiting(&bench).await;
        assert!(asked.is_empty(), "call {call}: {asked:?}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}
