//! What rows call their items and places.

use shared::domain::Authority;
use shared::domain::unit::UnitState;

use super::bench::{Bench, stock_file};

const HEADER: &str = "sku,location,on_hand\n";

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
async fn a_car_from_before_1981_has_its_place_where_that_is_declared() {
    let settings = "grace = 1\nlocations = { main = \"milano\" }\n[guards]\nclassic_vins = true";
    let bench = Bench::with(settings).await;
    let classic = "194677S100001,Chevrolet,Corvette\n";
    let file = |rows: &str| {
        format!(
            "VIN,Make,Model\n{rows}SCBCG2ZG7TC031207,Bentley,Bentayga\nSCBDG4ZG1TC031655,Bentley,Bentayga\n\
             SJAAX14V4RC004321,Bentley,Bentayga\nSCBBR9ZG2RC018842,Bentley,Bentayga\n"
        )
    };
    let state = async || {
        let unit = bench.unit("194677S100001").await;
        unit.resolve(&Authority::default()).state
    };
    let report = bench.read("v.csv", file(classic)).await;
    assert_eq!((report.counts.added, report.counts.quarantined), (5, 0));
    assert_eq!(state().await, UnitState::InStock);
    assert!(bench.feed().await.remarks.is_empty());
    let report = bench.read("v.csv", file("")).await;
    assert_eq!((report.counts.removed, report.counts.missing), (1, 0));
    assert_eq!(state().await, UnitState::Removed);
    // Too short to be one: it names itself, and holds nothing up.
    let report = bench.read("v.csv", file("S10,Chevrolet,Corvette\n")).await;
    assert_eq!(report.counts.quarantined, 1);
    let remarks = bench.feed().await.remarks;
    assert!(remarks["bad_vin"].contains("S10"), "{remarks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_vin_with_a_mark_that_does_not_show_is_the_same_car_and_holds_no_removal_up() {
    let bench = Bench::with("grace = 1\nlocations = { main = \"milano\" }").await;
    let (marked, gone) = ("SCBCG2ZG7TC031207", "SCBDG4ZG1TC031655");
    let file = |vins: &[&str]| {
        let rows = vins.iter().map(|vin| format!("{vin},Bentley,Bentayga\n"));
        format!("VIN,Make,Model\n{}", rows.collect::<String>())
    };
    let state = async |vin: &str| bench.unit(vin).await.resolve(&Authority::default()).state;
    let more = ["SJAAX14V4RC004321", "SCBBR9ZG2RC018842"];
    bench
        .read("v.csv", file(&[marked, gone, more[0], more[1]]))
        .await;
    for mark in ["\u{200b}", "\u{feff}", "\u{202e}"] {
        let written = format!("SCBCG2{mark}ZG7TC031207");
        let report = bench
            .read("v.csv", file(&[&written, more[0], more[1]]))
            .await;
        assert_eq!(
            (report.counts.quarantined, report.counts.missing),
            (0, 0),
            "{mark:?}: {report:?}"
        );
        assert_eq!(state(marked).await, UnitState::InStock);
        assert_eq!(state(gone).await, UnitState::Removed);
    }
}
