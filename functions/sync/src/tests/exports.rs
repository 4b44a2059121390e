//! Files as exports really write them: what their owner expects of each.

use jiff::Timestamp;
use shared::domain::unit::{Field, UnitState};
use shared::store::quarantine::HeldState;
use shared::store::runs::FileOutcome;

use super::bench::{Bench, Setup, erp};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/feeds/",
            $name
        ))
    };
}

/// A bench whose clock stands in the fixtures' time.
async fn bench(settings: &str) -> Bench {
    let start: Timestamp = "2026-11-28T15:00:00Z".parse().unwrap();
    Bench::of(Setup {
        clock: shared::clock::Clock::starting_at(start),
        ..Setup::with(settings)
    })
    .await
}

/// On hand, reserved, incoming, as the source has stated them.
async fn level(
    bench: &Bench,
    sku: &str,
    location: &str,
) -> Option<(i64, Option<i64>, Option<i64>)> {
    let (product, location) = (sku.parse().unwrap(), location.parse().unwrap());
    let position = bench.store.position(&product, &location).await.unwrap()?;
    let level = &position.stated_by(&erp())?.level;
    Some((level.on_hand, level.reserved, level.incoming))
}

#[tokio::test(start_paused = true)]
async fn what_shopify_says_is_available_is_what_can_be_sold() {
    let bench = bench("locations = { North = \"main\", South = \"milano\" }").await;
    let file = fixture!("shopify-inventory-export.csv");
    let report = bench.read("inventory_export.csv", file).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    // "not stocked" is said of a place, not of a quantity: no row, and nobody's work.
    assert_eq!((report.counts.added, report.counts.quarantined), (3, 0));
    assert!(bench.feed().await.remarks.is_empty());
    let available = async |sku: &str, location: &str| {
        let (product, location) = (sku.parse().unwrap(), location.parse().unwrap());
        let position = bench.store.position(&product, &location).await.unwrap();
        let level = position.unwrap().stated_by(&erp()).unwrap().level.clone();
        (level.on_hand, level.sellable())
    };
    assert_eq!(available("OIL-1", "main").await, (10, 3));
    assert_eq!(available("OIL-5", "main").await, (0, 0));
    assert_eq!(available("OIL-5", "milano").await, (2, -1));
    assert_eq!(level(&bench, "OIL-1", "milano").await, None);
    assert_eq!(level(&bench, "OIL-5", "main").await.unwrap().2, Some(24));
    // The same file again changes nothing.
    let again = bench.read("inventory_export.csv", file).await;
    assert_eq!((again.counts.added, again.counts.drift), (0, 0));
    // A place that no longer keeps a product has none of it, once that has lasted.
    let text = String::from_utf8_lossy(file);
    let text = text.replace(
        "South,B-07,0,0,3,-1,2,",
        "South,,not stocked,not stocked,not stocked,not stocked,not stocked,",
    );
    let once = bench.read("inventory_export.csv", text.as_bytes()).await;
    assert_eq!((once.counts.missing, once.counts.removed), (1, 0));
    let twice = bench.read("inventory_export.csv", text.as_bytes()).await;
    assert_eq!((twice.counts.missing, twice.counts.removed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dealers_export_says_which_cars_are_for_sale() {
    let bench = bench(
        "format = { date_order = \"month_first\", time_zone = \"America/New_York\", distance_unit = \"mi\", currency = \"USD\" }",
    )
    .await;
    let file = fixture!("dealer-inventory-us.csv");
    let report = bench.read("dealer.csv", file).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    let state = async |vin: &str| {
        bench
            .unit(vin)
            .await
            .resolve(&shared::domain::Authority::default())
            .state
    };
    for (vin, expected) in [
        ("SCBCG2ZG7TC031207", UnitState::InStock),
        ("SCBDG4ZG1TC031655", UnitState::InTransit),
        ("SJAAX14V4RC004321", UnitState::SalePending),
        ("SCBBR9ZG2RC018842", UnitState::Sold),
        ("SCBCG2ZG5SC027719", UnitState::Reserved),
        ("SJAAM2ZV9TC024868", UnitState::Wholesale),
    ] {
        assert_eq!(state(vin).await, expected, "{vin}");
    }
    // A price in words and an odometer without a number are left out; the car is there.
    let held = bench.unit("SCBCG2ZG5SC027719").await;
    assert_eq!(held.field("price", &[]), None);
    assert_eq!(held.field("year", &[]), Some(&Field::Number(2025)));
    let abarth = bench.unit("ZFA31200003124518").await;
    assert!(
        abarth.claims[&erp()].state.is_empty(),
        "nobody knows what \"Recon - Shop\" means"
    );
    // What is wrong is told once for each kind: a word, two cells of one row, a number of 1967.
    let remarks = bench.feed().await.remarks;
    assert!(
        remarks["unknown_status"].contains("the quarantine names them"),
        "{remarks:?}"
    );
    assert!(remarks["bad_vin"].contains("194677S100001"), "{remarks:?}");
    assert!(
        remarks["bad_vin"].contains(": 1 row that does not name an item."),
        "{remarks:?}"
    );
    assert!(
        remarks["unreadable"].contains("The price cannot be read"),
        "{remarks:?}"
    );
    let quarantine = bench
        .store
        .quarantined(HeldState::Open, None, 10)
        .await
        .unwrap()
        .items;
    assert_eq!(quarantine.len(), 3, "{quarantine:?}");
    let row = quarantine
        .iter()
        .find(|held| held.reason == "unreadable")
        .unwrap();
    assert!(
        row.sentence.contains("TMU") && row.sentence.contains("Call for price"),
        "all that is wrong with the row: {}",
        row.sentence
    );
    // A word becomes known: it is enough to say so.
    let settled = self::bench(
        "statuses = { \"recon - shop\" = \"in_stock\" }\n\
         format = { date_order = \"month_first\", time_zone = \"America/New_York\", distance_unit = \"mi\", currency = \"USD\" }",
    )
    .await;
    settled.read("dealer.csv", file).await;
    let abarth = settled
        .unit("ZFA31200003124518")
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(abarth.state, UnitState::InStock);
}

#[tokio::test(start_paused = true)]
async fn our_own_sample_of_vehicles_reads_right() {
    let bench = bench("locations = { london = \"main\", milano = \"milano\" }").await;
    let file = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../local/sample/units.csv"
    ));
    let report = bench.read("units.csv", file).await;
    assert_eq!((report.counts.added, report.counts.quarantined), (9, 0));
    let reserved = bench
        .unit("SCBBR9ZG2RC018842")
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(reserved.state, UnitState::Reserved);
    let there = bench
        .unit("SCBCG2ZG7TC031207")
        .await
        .resolve(&shared::domain::Authority::default());
    assert_eq!(there.state, UnitState::InStock);
}

#[tokio::test(start_paused = true)]
async fn an_american_spreadsheet_keeps_its_zeros_and_its_times() {
    let bench = bench(
        "locations = { main = \"main\" }\nformat = { date_order = \"month_first\", time_zone = \"America/Chicago\", decimal_mark = \"point\" }",
    )
    .await;
    let report = bench
        .read("parts.csv", fixture!("spreadsheet-us.csv"))
        .await;
    assert_eq!(
        (report.counts.added, report.counts.quarantined),
        (3, 0),
        "{report:?}"
    );
    let stock = bench.stock().await;
    let stock: Vec<_> = stock
        .iter()
        .map(|(sku, on_hand)| (sku.as_str(), *on_hand))
        .collect();
    assert_eq!(stock, [("00123", 10), ("00125", 1_200), ("00126", 3)]);
    assert_eq!(level(&bench, "00126", "main").await.unwrap().2, Some(6));
}

#[tokio::test(start_paused = true)]
async fn a_german_export_reads_its_decimal_comma_and_its_closing_line_is_no_item() {
    let bench = bench(
        "locations = { Nord = \"main\", \"Süd\" = \"milano\" }\ngrace = 1\n\
         format = { decimal_mark = \"comma\", time_zone = \"Europe/Berlin\", columns = { updated_at = \"Geändert\", incoming = \"Bestellt\" } }",
    )
    .await;
    let file = fixture!("erp-german.csv");
    let report = bench.read("bestand.csv", file).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    assert_eq!((report.counts.added, report.counts.quarantined), (3, 1));
    assert_eq!(
        level(&bench, "10-4711", "main").await,
        Some((1_234, None, Some(0)))
    );
    assert_eq!(
        level(&bench, "10-4712", "milano").await,
        Some((12, None, Some(24)))
    );
    assert_eq!(
        level(&bench, "10-4713", "main").await,
        Some((0, None, None))
    );
    // "Summe" stands in every file, so it is not what a missing row has become.
    let text = encoding(file)
        .replace(
            "10-4712;Öl 5W-40 \"1 l\";Süd;12,00;24,00;27.11.2026 08:00\r\n",
            "",
        )
        .replace("Summe;;;1.246,00", "Summe;;;1.234,00");
    let report = bench.read("bestand.csv", text).await;
    assert_eq!(
        (report.counts.removed, report.counts.missing),
        (1, 0),
        "{report:?}"
    );
    // The same closing line is no second entry.
    assert_eq!(
        bench
            .store
            .quarantined(HeldState::Open, None, 10)
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

fn encoding(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test(start_paused = true)]
async fn excel_may_name_its_separator_and_add_empty_fields() {
    let bench = bench("").await;
    let report = bench.read("s.csv", fixture!("excel-sep.csv")).await;
    assert_eq!(
        (report.counts.added, report.counts.quarantined),
        (2, 0),
        "{report:?}"
    );
    assert_eq!(bench.stock().await["A,1"], 5);
    assert_eq!(bench.stock().await["B"], 7);
}

#[tokio::test(start_paused = true)]
async fn unicode_text_from_excel_reads_and_its_letters_have_one_form() {
    let bench = bench("locations = { main = \"main\" }").await;
    let report = bench.read("s.txt", fixture!("excel-utf16.txt")).await;
    assert_eq!(
        (report.counts.added, report.counts.quarantined),
        (2, 0),
        "{report:?}"
    );
    let stock = bench.stock().await;
    let stock: Vec<_> = stock
        .iter()
        .map(|(sku, on_hand)| (sku.as_str(), *on_hand))
        .collect();
    assert_eq!(stock, [("Š-1", 4), ("Š-2", 5)]);
}
