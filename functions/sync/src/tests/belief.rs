//! What is believed of a file, and what is told about the rest.

use jiff::SignedDuration;
use shared::domain::unit::UnitState;
use shared::store::quarantine::HeldState;
use shared::store::runs::{FileOutcome, FileReport};

use super::bench::{Bench, erp, stock_file};

const HEADER: &str = "sku,location,on_hand\n";

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_locks_no_later_file_out() {
    let bench = Bench::with("").await;
    let ahead = bench.now() + SignedDuration::from_hours(6);
    bench.drop_at("s.csv", stock_file(3), ahead);
    assert_eq!(
        bench.read_what_is_there().await.outcome,
        FileOutcome::Applied
    );
    let next = stock_file(3).replace("SKU-0,main,10", "SKU-0,main,9");
    let report = bench.read("s.csv", next).await;
    assert_eq!(
        (report.outcome, report.counts.drift),
        (FileOutcome::Applied, 1),
        "{report:?}"
    );
    // And while it stays ahead, each of its files counts.
    let ahead = bench.now() + SignedDuration::from_hours(6);
    bench.drop_at(
        "s.csv",
        stock_file(3).replace("SKU-0,main,10", "SKU-0,main,8"),
        ahead,
    );
    let report = bench.read_what_is_there().await;
    assert_eq!(
        (report.outcome, report.counts.drift),
        (FileOutcome::Applied, 1),
        "{report:?}"
    );
    assert_eq!(bench.stock().await["SKU-0"], 8);
}

#[tokio::test(start_paused = true)]
async fn rows_dated_after_their_file_count_with_the_files_time_and_are_told() {
    let bench = Bench::with("").await;
    let rows = "sku,location,on_hand,updated_at\nA,main,5,2026-01-15T14:00:00Z\nB,main,5,2026-01-15T09:31:00Z\n";
    let report = bench.read("s.csv", rows).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 2)
    );
    let until = |position: shared::domain::Position| position.stated_by(&erp()).unwrap().version.at;
    assert!(until(bench.position("A").await) <= bench.now());
    let remarks = bench.feed().await.remarks;
    assert!(remarks["from_the_future"].contains("1 row "), "{remarks:?}");
    assert!(
        remarks["from_the_future"].contains("time_zone"),
        "{remarks:?}"
    );
}

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
        assert_eq!(held.len(), 2, "{held:?}");
        assert!(
            held.iter()
                .all(|held| held.reason == "conflict" && held.sentence.contains("A at main"))
        );
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
async fn a_vehicle_at_two_rooftops_in_one_file_stays_where_it_was() {
    let bench = Bench::with("locations = { North = \"main\", South = \"milano\" }").await;
    let vin = "SCBCG2ZG0RC012345";
    let file = |rows: &str| {
        format!("VIN,Location,Make,Model,Color\n{rows}ZFA31200003123456,North,Abarth,595,\n")
    };
    bench
        .read(
            "v.csv",
            file(&format!("{vin},North,Bentley,Bentayga,red\n")),
        )
        .await;
    let both = [
        format!("{vin},South,Bentley,Bentayga,red\n"),
        format!("{vin},North,Bentley,Bentayga,red\n"),
    ];
    bench.read("v.csv", file(&both.concat())).await;
    let unit = bench
        .unit(vin)
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(
        (unit.state, unit.location.unwrap().as_str()),
        (UnitState::InStock, "main")
    );
    // A difference in what is optional holds back that alone: the car moves.
    let colours = [
        format!("{vin},South,Bentley,Bentayga,red\n"),
        format!("{vin},South,Bentley,Bentayga,blue\n"),
    ];
    let report = bench.read("v.csv", file(&colours.concat())).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    let unit = bench
        .unit(vin)
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(unit.location.unwrap().as_str(), "milano");
}

#[tokio::test(start_paused = true)]
async fn a_file_of_which_little_can_be_used_is_no_good_file() {
    let bench = Bench::with("grace = 1").await;
    bench.read("s.csv", stock_file(20)).await;
    let good = bench.feed().await;
    for spoilt in [
        stock_file(20).replace(",main,", ",roma,"),
        stock_file(20)
            .replace('\n', " pcs\n")
            .replace("on_hand pcs", "on_hand"),
    ] {
        let report = bench.read("s.csv", spoilt).await;
        assert_eq!(report.outcome, FileOutcome::Suspect, "{report:?}");
        assert!(
            report.sentences[0].contains("20 of 20 rows cannot be used"),
            "{report:?}"
        );
        let feed = bench.feed().await;
        assert_eq!(
            (feed.succeeded_at, feed.snapshot_at),
            (good.succeeded_at, good.snapshot_at)
        );
        assert_eq!(bench.there().await, 20);
    }
    // Nine of twenty may be unusable, by the default of half.
    let mut rows = stock_file(20);
    for number in 0..9 {
        rows = rows.replace(
            &format!("SKU-{number},main,{}\n", 10 + number),
            &format!("SKU-{number},main,x\n"),
        );
    }
    let report = bench.read("s.csv", rows).await;
    assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
    assert!(bench.feed().await.suspicions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nul_bytes_in_the_place_of_rows_are_no_end() {
    let bench = Bench::with("grace = 1\nmax_removals = { count = 100, percent = 100 }").await;
    bench.read("s.csv", stock_file(30)).await;
    let whole = stock_file(30).into_bytes();
    for cut in [whole.len() * 9 / 10, whole.len() - 14, whole.len() - 2] {
        for end in [&b""[..], b"\n"] {
            let mut padded = whole[..cut].to_vec();
            padded.resize(whole.len() - end.len().min(1), 0);
            padded.extend(end);
            for _ in 0..2 {
                let report = bench.read("s.csv", &padded).await;
                assert_eq!(
                    (report.outcome, report.counts.removed),
                    (FileOutcome::Suspect, 0),
                    "{cut}"
                );
                assert!(report.sentences.join(" ").contains("NUL"), "{report:?}");
            }
        }
    }
    assert_eq!(bench.there().await, 30);
    let stock = bench.stock().await;
    assert!((0..30).all(|number| stock[&format!("SKU-{number}")] == 10 + number));
}

#[tokio::test(start_paused = true)]
async fn a_row_without_a_key_holds_no_removal_up_for_good() {
    let bench = Bench::with("grace = 1\nlocations = { main = \"milano\" }").await;
    let vins = [
        "SCBCG2ZG7TC031207",
        "SCBDG4ZG1TC031655",
        "SJAAX14V4RC004321",
        "SCBBR9ZG2RC018842",
        "SCBCG2ZG5SC027719",
    ];
    let file = |vins: &[&str], more: &str| {
        let rows: String = vins
            .iter()
            .map(|vin| format!("{vin},Bentley,Bentayga\n"))
            .collect();
        format!("VIN,Make,Model\n{rows}{more}")
    };
    let classic = "194677S100001,Chevrolet,Corvette\n";
    bench.read("v.csv", file(&vins, classic)).await;
    let remarks = bench.feed().await.remarks;
    assert!(remarks["bad_vin"].contains("194677S100001"), "{remarks:?}");
    // The classic car was there before, so it is not what has gone.
    let report = bench.read("v.csv", file(&vins[..4], classic)).await;
    assert_eq!(
        (report.counts.removed, report.counts.missing),
        (1, 0),
        "{report:?}"
    );
    // A VIN that lost its end is still the car that it was.
    let cut = "SCBBR9ZG2RC01,Bentley,Bentayga\n";
    let report = bench
        .read("v.csv", file(&vins[..3], &format!("{classic}{cut}")))
        .await;
    assert_eq!(
        (report.counts.removed, report.counts.missing),
        (0, 0),
        "{report:?}"
    );
    assert_eq!(
        bench
            .unit(vins[3])
            .await
            .resolve(&shared::domain::Authority::default())
            .state,
        UnitState::InStock
    );
    // A new row without any key may be the one that is missing: one file later it no longer may.
    let blank = ",Bentley,Bentayga\n";
    let short = file(&[vins[0], vins[1], vins[3]], &format!("{classic}{blank}"));
    let report = bench.read("v.csv", &short).await;
    assert_eq!(report.counts.removed, 0);
    let report = bench.read("v.csv", &short).await;
    assert_eq!(
        (report.counts.removed, report.counts.missing),
        (1, 0),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_row_without_a_key_makes_removals_wait_one_file_and_says_so() {
    let bench = Bench::with("grace = 1").await;
    bench.read("s.csv", stock_file(20)).await;
    let file = stock_file(20).replace("SKU-3,main,13\n", ",main,13\n");
    let report = bench.read("s.csv", &file).await;
    assert_eq!((report.counts.removed, report.counts.missing), (0, 1));
    let remarks = bench.feed().await.remarks;
    assert!(
        remarks["nameless"].contains("1 rows are new"),
        "{remarks:?}"
    );
    let report = bench.read("s.csv", &file).await;
    assert_eq!((report.counts.removed, report.counts.missing), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_ends_its_last_line_is_learnt() {
    let bench = Bench::with("").await;
    let bare = |rows| stock_file(rows).trim_end().to_owned();
    for rows in [3, 4] {
        let report = bench.read("s.csv", bare(rows)).await;
        assert_eq!(report.outcome, FileOutcome::Suspect);
        assert!(
            report.sentences[0].contains("final_newline = false"),
            "{report:?}"
        );
    }
    let report = bench.read("s.csv", bare(5)).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 2),
        "{report:?}"
    );
    assert_eq!(bench.there().await, 5);
    assert_eq!(
        bench.read("s.csv", bare(5)).await.outcome,
        FileOutcome::Applied
    );
    // Another exporter ends its lines: learnt the same way.
    let outcomes = [
        bench.read("s.csv", stock_file(5)).await.outcome,
        bench.read("s.csv", stock_file(5)).await.outcome,
        bench.read("s.csv", stock_file(5)).await.outcome,
    ];
    assert_eq!(
        outcomes,
        [
            FileOutcome::Suspect,
            FileOutcome::Suspect,
            FileOutcome::Applied
        ]
    );
    // One that is cut in between is still cut.
    let whole = stock_file(5);
    let report = bench.read("s.csv", &whole[..whole.len() - 1]).await;
    assert_eq!(report.outcome, FileOutcome::Suspect);
    // Or it is said once.
    let told = Bench::with("format = { final_newline = false }").await;
    assert_eq!(
        told.read("s.csv", bare(3)).await.outcome,
        FileOutcome::Applied
    );
    assert_eq!(told.there().await, 3);
}

#[tokio::test(start_paused = true)]
async fn prices_that_are_all_a_hundredfold_are_held_and_told_together() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let vins = [
        "SCBCG2ZG7TC031207",
        "SCBDG4ZG1TC031655",
        "SJAAX14V4RC004321",
    ];
    let file = |factor: u32| {
        let row = |vin: &&str| format!("{vin},Bentley,Bentayga,{}\n", 150_000 * factor);
        format!(
            "VIN,Make,Model,Price\n{}",
            vins.iter().map(row).collect::<String>()
        )
    };
    bench.read("v.csv", file(1)).await;
    let report = bench.read("v.csv", file(100)).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    let told = |report: &FileReport| report.sentences.join(" ");
    assert!(
        told(&report).contains("3 rows with values that cannot be believed"),
        "{report:?}"
    );
    assert!(told(&report).contains(vins[0]), "{report:?}");
    assert!(bench.feed().await.remarks.contains_key("held_for_review"));
    let price = bench.unit(vins[0]).await;
    let price = format!("{:?}", price.field("price", &[]));
    assert!(price.contains("150000"), "{price}");
    // Nothing is held any more: nothing is left to tell.
    bench.read("v.csv", file(1)).await;
    assert!(bench.feed().await.remarks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_bad_rows_in_the_next_file_are_no_new_entries() {
    let bench = Bench::with("").await;
    let rows = "A,main,x\nB,main,1\nC,roma,1\nD,roma,2\nE,main,1\nF,main,1\nG,main,1\n";
    bench.read("monday.csv", format!("{HEADER}{rows}")).await;
    let entries = async || {
        bench
            .store
            .quarantined(HeldState::Open, None, 20)
            .await
            .unwrap()
            .items
    };
    // One for the row, and one for the place however many rows name it.
    assert_eq!(entries().await.len(), 2, "{:?}", entries().await);
    bench
        .read("tuesday.csv", format!("{HEADER}NEW,main,4\n{rows}"))
        .await;
    assert_eq!(entries().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_is_told_and_a_strange_name_is_set_aside_alone() {
    let bench = Bench::with("").await;
    let report = bench.read("s.csv", "").await;
    assert_eq!(report.outcome, FileOutcome::Refused);
    assert!(bench.feed().await.suspicions[0].contains("empty"));
    bench.drop("a\u{7}.csv", stock_file(2));
    let report = bench.read("b.csv", stock_file(3)).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 3)
    );
    let feed = bench.feed().await;
    assert!(feed.suspicions.is_empty());
    assert!(
        feed.remarks["file_names"].contains("a\\u{7}.csv"),
        "{feed:?}"
    );
    std::fs::remove_file(bench.folder().join("a\u{7}.csv")).unwrap();
    bench.read("b.csv", stock_file(3)).await;
    assert!(bench.feed().await.remarks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn our_own_names_for_places_need_no_list_and_case_does_not_matter() {
    let bench = Bench::with("locations = {}").await;
    let file = format!("{HEADER}A,main,1\nB,Main Warehouse,2\nC,MILANO,3\nD,roma,4\n");
    let report = bench.read("s.csv", file).await;
    assert_eq!(
        (report.counts.added, report.counts.quarantined),
        (3, 1),
        "{report:?}"
    );
    let remarks = bench.feed().await.remarks;
    assert!(
        remarks["unknown_location"].contains("line 5"),
        "{remarks:?}"
    );
    // A list says all there is, but not in which case.
    let listed = Bench::with("locations = { North = \"main\", \"north 2\" = \"milano\" }").await;
    let file = format!("{HEADER}A,NORTH,1\nB,North-2,2\nC,milano,3\n");
    let report = listed.read("s.csv", file).await;
    assert_eq!(
        (report.counts.added, report.counts.quarantined),
        (2, 1),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn marks_that_do_not_show_make_no_second_product() {
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(3)).await;
    let file = stock_file(3)
        .replace("SKU-0", "\u{feff}SKU-0")
        .replace("SKU-1", "SKU\u{200b}-1")
        .replace("SKU-2", "\u{202e}SKU-2\u{202c}");
    let report = bench.read("s.csv", file).await;
    assert_eq!(
        (report.counts.added, report.counts.quarantined),
        (0, 0),
        "{report:?}"
    );
    assert_eq!(bench.stock().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_blank_state_says_nothing_and_a_state_that_is_not_read_is_told() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let file = |header: &str, one: &str, two: &str| {
        format!(
            "VIN,Make,Model,{header}\nSCBCG2ZG7TC031207,Bentley,Bentayga,{one}\nSCBDG4ZG1TC031655,Bentley,Bentayga,{two}\n"
        )
    };
    bench.read("v.csv", file("Status", "Sold", "")).await;
    let state = async |vin: &str| {
        bench
            .unit(vin)
            .await
            .resolve(&shared::domain::Authority::default())
            .state
    };
    assert_eq!(
        state("SCBDG4ZG1TC031655").await,
        UnitState::InStock,
        "it stands in a stock file"
    );
    bench.read("v.csv", file("Status", "", "Sold")).await;
    assert_eq!(
        state("SCBCG2ZG7TC031207").await,
        UnitState::Sold,
        "nothing was said of it"
    );
    // Without the column each would be in stock again.
    let report = bench.read("v.csv", "VIN,Make,Model\nSCBCG2ZG7TC031207,Bentley,Bentayga\nSCBDG4ZG1TC031655,Bentley,Bentayga\n").await;
    assert_eq!(report.outcome, FileOutcome::Refused, "{report:?}");
    assert_eq!(state("SCBDG4ZG1TC031655").await, UnitState::Sold);
    let unread = Bench::with("locations = { main = \"milano\" }").await;
    unread
        .read("v.csv", file("Deal Status Text", "x", "y"))
        .await;
    let remarks = unread.feed().await.remarks;
    assert!(
        remarks["unread_state"].contains("Deal Status Text"),
        "{remarks:?}"
    );
}
