//! Several rows for one item.

use shared::domain::unit::UnitState;
use shared::store::quarantine::HeldState;
use shared::store::runs::FileOutcome;

use super::bench::{Bench, erp};

const HEADER: &str = "sku,location,on_hand\n";

#[tokio::test(start_paused = true)]
async fn of_rows_that_differ_none_is_believed_whatever_their_order() {
    for (one, two) in [(3, 4), (4, 3)] {
        let bench = Bench::with("grace = 1").await;
        bench
            .read("s.csv", format!("{HEADER}A,main,9\nB,main,1\nC,main,1\n"))
            .await;
        let file = format!("{HEADER}A,main,{one}\nB,main,1\nA,main,{two}\nC,main,1\nC,main,1\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        assert_eq!(
            (
                report.counts.quarantined,
                report.counts.removed,
                report.counts.missing
            ),
            (2, 0, 0)
        );
        assert_eq!(
            bench.stock().await["A"],
            9,
            "nothing readable was said of it"
        );
        let held = bench
            .store
            .quarantined(HeldState::Open, None, 10)
            .await
            .unwrap()
            .items;
        // One entry for the item, which names its rows, and stays one wherever they stand in the next file.
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!(held[0].reason, "conflict");
        let sentence =
            "A at main has several rows that differ (lines 2, 4); none of them is believed.";
        assert_eq!(held[0].sentence, sentence);
        assert_eq!(held[0].row, format!("A,main,{one}; A,main,{two}"));
        let moved = format!("{HEADER}B,main,1\nA,main,{one}\nA,main,{two}\nC,main,1\n");
        bench.read("s.csv", moved).await;
        let again = bench.store.quarantined(HeldState::Open, None, 10).await;
        let again = again.unwrap().items;
        assert_eq!(again.len(), 1, "{again:?}");
        assert_eq!(again[0].id, held[0].id);
        assert!(again[0].sentence.contains("(lines 3, 4)"), "{again:?}");
        assert!(bench.feed().await.remarks.contains_key("conflict"));
        // As soon as they agree it counts again.
        bench
            .read(
                "s.csv",
                format!("{HEADER}A,main,4\nA,main,4\nB,main,1\nC,main,1\n"),
            )
            .await;
        assert_eq!(bench.stock().await["A"], 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_contradiction_that_was_dismissed_hides_no_other_of_the_same_item() {
    let bench = Bench::with("").await;
    let open = async |name: &str, [one, two]: [i64; 2]| {
        let file = format!("{HEADER}A,main,{one}\nB,main,1\nA,main,{two}\n");
        bench.read(name, file).await;
        let held = bench.store.quarantined(HeldState::Open, None, 10).await;
        held.unwrap().items
    };
    let held = open("1.csv", [3, 4]).await;
    let dismissed = bench
        .store
        .dismiss_quarantined(&held[0].id, "known", "maria");
    dismissed.await.unwrap();
    assert_eq!(open("2.csv", [4, 3]).await, [], "in whichever order");
    let other = open("3.csv", [3, 5]).await;
    assert_eq!(other.len(), 1, "{other:?}");
    assert_eq!(other[0].row, "A,main,3; A,main,5");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_is_no_agreement() {
    let bench = Bench::with("").await;
    bench
        .read(
            "s.csv",
            format!("{HEADER}A,main,9\nB,main,1\nC,main,1\nD,main,1\n"),
        )
        .await;
    let file = format!("{HEADER}A,main,3\nA,main,many\nB,main,1\nC,main,1\nD,main,1\n");
    bench.read("s.csv", file).await;
    assert_eq!(bench.stock().await["A"], 9);
}

#[tokio::test(start_paused = true)]
async fn bins_are_summed_where_that_is_declared() {
    let bench = Bench::with("repeated = \"sum\"").await;
    let file = "sku,bin,location,on_hand,reserved\nA,1,main,3,1\nB,1,main,1,0\nA,2,main,4,0\nA,3,main,4,1\n";
    let report = bench.read("s.csv", file).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 2),
        "{report:?}"
    );
    let base = bench
        .position("A")
        .await
        .stated_by(&erp())
        .unwrap()
        .level
        .clone();
    assert_eq!((base.on_hand, base.reserved), (11, Some(2)));
    let again = bench.read("s.csv", file).await;
    assert_eq!((again.counts.added, again.counts.drift), (0, 0));
    // One part that is not known leaves the sum unknown.
    bench
        .read("s.csv", file.replace("A,2,main,4,0", "A,2,main,,0"))
        .await;
    assert_eq!(bench.stock().await["A"], 11);
}

#[tokio::test(start_paused = true)]
async fn a_vehicle_at_two_rooftops_in_one_file_stays_where_it_was_and_that_is_told() {
    let vin = "SCBCG2ZG0RC012345";
    let row = |place: &str, colour: &str| format!("{vin},{place},Bentley,Bentayga,{colour}\n");
    let file = |rows: &[String]| {
        let rows = rows.concat();
        format!("VIN,Location,Make,Model,Color\n{rows}ZFA31200003123456,North,Abarth,595,\n")
    };
    for [first, second] in [["South", "North"], ["North", "South"]] {
        let bench = Bench::with("locations = { North = \"main\", South = \"milano\" }").await;
        let place = async || {
            let unit = bench.unit(vin).await;
            let unit = unit.resolve(&shared::domain::Authority::default());
            assert_eq!(unit.state, UnitState::InStock);
            unit.location.unwrap().to_string()
        };
        bench.read("v.csv", file(&[row("North", "red")])).await;
        let both = [row(first, "red"), row(second, "red")];
        let report = bench.read("v.csv", file(&both)).await;
        assert_eq!((report.counts.quarantined, report.counts.drift), (2, 0));
        assert_eq!(place().await, "main", "{first} before {second}");
        let remarks = bench.feed().await.remarks;
        assert!(remarks["conflict"].contains(vin), "{remarks:?}");
        let held = bench.store.quarantined(HeldState::Open, None, 10).await;
        let held = held.unwrap().items;
        let said: Vec<_> = held
            .iter()
            .map(|it| (it.reason.as_str(), &*it.row))
            .collect();
        assert_eq!(
            said,
            [("conflict", &*both.concat().trim_end().replace('\n', "; "))]
        );
        // A difference in what is optional holds back that alone: the car moves.
        let colours = [row("South", "red"), row("South", "blue")];
        let report = bench.read("v.csv", file(&colours)).await;
        assert_eq!(report.outcome, FileOutcome::Applied);
        assert_eq!(place().await, "milano");
        let held = bench.store.quarantined(HeldState::Open, None, 10).await;
        assert_eq!(held.unwrap().items, [], "it is mended");
        assert!(!bench.feed().await.remarks.contains_key("conflict"));
    }
}
