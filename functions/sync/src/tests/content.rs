//! What rows say: bad ones, missing quantities, columns that come and go.

use shared::domain::event::{Change, ProductDescription, StockEvent, Version};
use shared::domain::position::{Holding, Sources};
use shared::domain::unit::{Field, UnitState};
use shared::store::feeds::FeedState;
use shared::store::keys;
use shared::store::quarantine::{HeldState, Quarantined};
use shared::store::runs::FileOutcome;

use super::bench::{Bench, erp, stock_file};

async fn quarantine(bench: &Bench) -> Vec<Quarantined> {
    bench
        .store
        .quarantined(HeldState::Open, None, 100)
        .await
        .unwrap()
        .items
}

#[tokio::test(start_paused = true)]
async fn one_bad_row_in_a_thousand_is_held_and_the_rest_is_applied() {
    let bench = Bench::with("").await;
    let file = stock_file(1_000).replace("SKU-500,main,510\n", "SKU-500,main,many\n");
    let report = bench.read("s.csv", &file).await;
    assert_eq!(
        (
            report.outcome,
            report.counts.added,
            report.counts.quarantined
        ),
        (FileOutcome::Applied, 999, 1)
    );
    assert!(bench.feed().await.suspicions.is_empty());
    let held = quarantine(&bench).await;
    assert_eq!((held.len(), held[0].place.as_str()), (1, "s.csv:502"));
    assert_eq!(
        (held[0].reason.as_str(), held[0].row.as_str()),
        ("unreadable", "SKU-500,main,many")
    );
    assert!(held[0].sentence.contains("on_hand"), "{}", held[0].sentence);
    // The same row again is no second entry.
    bench.read("s.csv", &file).await;
    assert_eq!(quarantine(&bench).await.len(), 1);
}

/// A misspelt SKU is one more product, which nobody would see otherwise.
#[tokio::test(start_paused = true)]
async fn what_a_file_has_that_was_not_there_before_is_told_and_stays_told() {
    let bench = Bench::with("").await;
    let first = bench.read("s.csv", &stock_file(20)).await;
    assert_eq!((first.counts.added, first.sentences.len()), (20, 0));
    assert_eq!(bench.feed().await.new, None, "all of a first load is new");
    let misspelt = format!("{}SKU-1O,main,20\nSKU-1l,main,21\n", stock_file(20));
    let report = bench.read("t.csv", &misspelt).await;
    let said = "t.csv has 2 products that were not there before: SKU-1O at main, SKU-1l at main. \
                A misspelt SKU is a product of its own.";
    assert_eq!(report.sentences, [said]);
    let feed = bench.feed().await;
    assert_eq!(feed.new.as_deref(), Some(said));
    assert!(
        feed.remarks.is_empty() && feed.suspicions.is_empty(),
        "it is no fault"
    );
    let again = bench
        .read("u.csv", &misspelt.replace("SKU-3,main,13", "SKU-3,main,12"))
        .await;
    assert_eq!(again.sentences.len(), 0);
    assert_eq!(
        bench.feed().await.new.as_deref(),
        Some(said),
        "until there is something newer"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_right_in_the_next_whole_file_is_no_work_any_more() {
    let bench = Bench::with("").await;
    let file = |first: &str, second: &str| {
        let right = stock_file(20);
        right
            .replace("SKU-3,main,13\n", &format!("SKU-3,main,{first}\n"))
            .replace("SKU-4,main,14\n", &format!("SKU-4,main,{second}\n"))
    };
    let told = async || {
        let kind = bench.store.held_kind(&erp(), "unreadable").await.unwrap();
        kind.unwrap().data.open
    };
    bench.read("1.csv", file("many", "some")).await;
    assert_eq!((quarantine(&bench).await.len(), told().await), (2, true));
    // One of them is right; the other is still not.
    bench.read("2.csv", file("13", "some")).await;
    let held = quarantine(&bench).await;
    assert_eq!((held.len(), told().await), (1, true));
    assert_eq!(held[0].row, "SKU-4,main,some");
    // A file that is cut proves nothing.
    let cut = "sku,location,on_hand\nSKU-1,main,11\nSKU-2,ma";
    bench.read("3.csv", cut).await;
    let held = quarantine(&bench).await;
    assert!(
        held.iter().any(|it| it.row == "SKU-4,main,some"),
        "{held:?}"
    );
    bench.read("4.csv", file("13", "14")).await;
    assert_eq!((quarantine(&bench).await.len(), told().await), (0, false));
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_bad_row_says_what_is_wrong() {
    let bench = Bench::with("").await;
    let file = "sku,location,on_hand,updated_at\n\
        A,main,1,2026-01-15T09:00:00Z\n\
        B,roma,1,\n\
        ,main,1,\n\
        C,main\n\
        D,main,1,2027-01-01T00:00:00Z\n\
        A,main,2,\n\
        E,main,99999999999999,\n\
        F,main,2,\n";
    let report = bench.read("s.csv", file).await;
    // The quantity of D counts, whatever its time is worth.
    assert_eq!((report.counts.added, report.counts.quarantined), (2, 7));
    let mut reasons: Vec<_> = quarantine(&bench)
        .await
        .into_iter()
        .map(|held| (held.place, held.reason))
        .collect();
    reasons.sort();
    let expected = [
        ("s.csv:2", "conflict"),
        ("s.csv:3", "unknown_location"),
        ("s.csv:4", "no_key"),
        ("s.csv:5", "bad_row"),
        ("s.csv:6", "from_the_future"),
        ("s.csv:8", "refused"),
    ];
    let found: Vec<_> = reasons
        .iter()
        .map(|(place, reason)| (place.as_str(), reason.as_str()))
        .collect();
    assert_eq!(found, expected);
    let stock = bench.stock().await;
    assert!(!stock.contains_key("A"), "neither row of it is believed");
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_row_is_unreadable_is_not_taken_for_gone() {
    let bench = Bench::with("grace = 1").await;
    bench.read("s.csv", stock_file(20)).await;
    // The broken row still says whose it is, so it is no reason to keep the other.
    let file = stock_file(20)
        .replace("SKU-3,main,13\n", "SKU-3,main\n")
        .replace("SKU-4,main,14\n", "");
    let report = bench.read("s.csv", &file).await;
    assert_eq!((report.counts.removed, report.counts.missing), (1, 0));
    assert!(bench.feed().await.suspicions.is_empty());
    assert_eq!(
        (bench.stock().await["SKU-3"], bench.stock().await["SKU-4"]),
        (13, 0)
    );
    bench.read("s.csv", stock_file(20)).await;
    let file = stock_file(20)
        .replace("SKU-3,main,13\n", "SKU-3,main,x\n")
        .replace("SKU-4,main,14\n", "");
    let report = bench.read("s.csv", &file).await;
    assert_eq!((report.counts.removed, report.counts.missing), (1, 0));
    assert_eq!(
        (bench.stock().await["SKU-3"], bench.stock().await["SKU-4"]),
        (13, 0)
    );
}

/// Exports of spreadsheets end with a row that adds up the others.
#[tokio::test(start_paused = true)]
async fn a_row_that_adds_up_those_above_it_is_no_product_and_waits_for_a_person() {
    let bench = Bench::with("").await;
    // 10 + 11 + … + 29.
    let with = |row: &str| format!("{}{row}\n", stock_file(20));
    for (number, row) in [
        "Summe,main,390",
        "TOTAL:,,390",
        "Gesamt,main,390\nGrand total,main,390",
    ]
    .into_iter()
    .enumerate()
    {
        let report = bench.read(&format!("{number}.csv"), with(row)).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{row}");
        assert_eq!(bench.stock().await.len(), 20, "{row}");
        // Nobody has to mend the file for it, and it is work that can be put away.
        assert_eq!(bench.feed().await.remarks.len(), 0, "{row}");
        let held = quarantine(&bench).await;
        assert_eq!(held.len(), row.lines().count(), "{held:?}");
        assert_eq!(held[0].reason, "total");
        assert!(held[0].sentence.contains("is the total of rows above it"));
    }
    let held = quarantine(&bench).await;
    for entry in &held {
        let dismissed = bench.store.dismiss_quarantined(&entry.id, "known", "maria");
        dismissed.await.unwrap();
    }
    // Whatever it comes to the next day.
    let more = stock_file(20).replace("SKU-0,main,10", "SKU-0,main,11");
    bench
        .read("more.csv", format!("{more}Gesamt,main,391\n"))
        .await;
    assert_eq!(quarantine(&bench).await, []);
    assert_eq!(bench.stock().await.len(), 20);
    // What is called so and adds nothing up is a product, and what adds up and is called otherwise.
    let rows = "Summe,main,17\nSKU-20,main,407\n";
    bench.read("own.csv", with(rows.trim_end())).await;
    let stock = bench.stock().await;
    assert_eq!((stock["Summe"], stock["SKU-20"]), (17, 407));
    assert_eq!(quarantine(&bench).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_missing_quantity_is_never_zero() {
    for nothing in ["", "null", "N/A", "-", "\"\""] {
        let bench = Bench::with("").await;
        bench.read("s.csv", stock_file(3)).await;
        let file = stock_file(3).replace("SKU-1,main,11", &format!("SKU-1,main,{nothing}"));
        let report = bench.read("s.csv", &file).await;
        assert_eq!(
            (report.counts.drift, report.counts.missing),
            (0, 0),
            "{nothing:?}"
        );
        assert_eq!(bench.stock().await["SKU-1"], 11, "{nothing:?}");
        let feed = bench.feed().await;
        assert!(feed.suspicions.is_empty() && feed.distrusted_after.is_none());
        assert!(
            feed.remarks["no_data"].contains("without a quantity"),
            "{feed:?}"
        );
    }
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(3)).await;
    let report = bench
        .read(
            "s.csv",
            "sku,location\nSKU-0,main\nSKU-1,main\nSKU-2,main\n",
        )
        .await;
    assert_eq!(report.outcome, FileOutcome::Refused);
    assert_eq!(bench.there().await, 3);
    assert_eq!(bench.feed().await.suspicions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn quantities_that_a_file_no_longer_gives_stay() {
    let bench = Bench::with("").await;
    bench
        .read(
            "s.csv",
            "sku,location,on_hand,reserved,incoming\nOIL,main,5,2,7\nGAS,main,5,1,\n",
        )
        .await;
    // A column dropped, and a cell without data.
    bench
        .read(
            "s.csv",
            "sku,location,on_hand,incoming\nOIL,main,4,\nGAS,main,5,3\n",
        )
        .await;
    let level =
        |position: shared::domain::Position| position.stated_by(&erp()).unwrap().level.clone();
    let oil = level(bench.position("OIL").await);
    assert_eq!(
        (oil.on_hand, oil.reserved, oil.incoming),
        (4, Some(2), Some(7))
    );
    let gas = level(bench.position("GAS").await);
    assert_eq!(
        (gas.on_hand, gas.reserved, gas.incoming),
        (5, Some(1), Some(3))
    );
}

const VEHICLES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fixtures/feeds/generic-dms-feed.csv"
));
const BENTLEY: &str = "SCBCG2ZG0RC012345";

/// The file with one column's name and cells changed or left out; cells with commas are quoted.
fn edited(column: usize, header: Option<&str>) -> String {
    let mut lines = Vec::new();
    for (number, line) in VEHICLES.lines().enumerate() {
        let mut cells = split(line);
        match header {
            Some(name) if number == 0 => cells[column] = name.to_owned(),
            Some(_) => {}
            None => drop(cells.remove(column)),
        }
        lines.push(cells.join(","));
    }
    lines.join("\n") + "\n"
}

fn split(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for character in line.chars() {
        quoted ^= character == '"';
        match character {
            ',' if !quoted => cells.push(String::new()),
            other => cells.last_mut().unwrap().push(other),
        }
    }
    cells
}

#[tokio::test(start_paused = true)]
async fn a_vehicle_file_becomes_units_with_their_fields() {
    let bench =
        Bench::with("locations = { main = \"milano\" }\nformat = { distance_unit = \"mi\" }").await;
    let report = bench.read("v.csv", VEHICLES).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    let unit = bench.unit(BENTLEY).await;
    let resolved = unit.resolve(&shared::domain::Authority::default());
    assert_eq!(resolved.state, UnitState::InStock);
    assert_eq!(resolved.location.unwrap().as_str(), "milano");
    assert_eq!(resolved.stock_number.as_deref(), Some("BX1042"));
    let text = |name| match unit.field(name, &[]) {
        Some(Field::Text(text) | Field::Distance(text)) => text.clone(),
        Some(Field::Money(money)) => money.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(text("trim"), "Speed");
    assert_eq!(text("mileage"), "2560 mi");
    assert_eq!(text("price"), "239950.00 EUR");
    assert_eq!(text("year"), "Some(Number(2024))");
    let line = "line:bentley/continental-gt".parse().unwrap();
    let positions = bench.store.positions_of(&line).await.unwrap();
    let counted: Vec<_> = positions
        .iter()
        .map(|position| (position.location.as_str(), position.holding.clone()))
        .collect();
    let one = Holding::Counted {
        on_hand: 1,
        reserved: 0,
        incoming: 0,
    };
    assert_eq!(counted, [("milano", one)]);
}

#[tokio::test(start_paused = true)]
async fn a_column_renamed_dropped_or_added_wipes_no_field_and_is_told() {
    let columns = split(VEHICLES.lines().next().unwrap());
    let settings = "locations = { main = \"milano\" }\nformat = { distance_unit = \"mi\" }";
    let bench = Bench::with(settings).await;
    bench.read("v.csv", VEHICLES).await;
    let before = bench.unit(BENTLEY).await;
    for (column, name) in columns.iter().enumerate() {
        for (what, file) in [
            ("renamed", edited(column, Some("Feld 7"))),
            ("dropped", edited(column, None)),
        ] {
            bench.read("v.csv", &file).await;
            assert_eq!(bench.unit(BENTLEY).await, before, "{name} {what}");
            let feed = bench.feed().await;
            let told = [
                feed.suspicions.clone(),
                feed.remarks.into_values().collect(),
            ]
            .concat();
            // It never held a value.
            if name == "MSRP" {
                assert!(!told.join(" ").contains("MSRP"), "{what}: {told:?}");
                continue;
            }
            assert!(
                told.join(" ").contains(name.as_str()),
                "{name} {what}: {told:?}"
            );
            assert_eq!(feed.suspicions.is_empty(), name != "VIN", "{name} {what}");
        }
    }
    bench.read("v.csv", VEHICLES).await;
    assert!(bench.feed().await.suspicions.is_empty());
    assert_eq!(bench.unit(BENTLEY).await, before);
    let added: String = VEHICLES
        .lines()
        .enumerate()
        .map(|(number, line)| match number {
            0 => format!("{line},Lot Colour\n"),
            _ => format!("{line},red\n"),
        })
        .collect();
    bench.read("v.csv", &added).await;
    assert_eq!(bench.unit(BENTLEY).await, before);
    let feed = bench.feed().await;
    assert!(feed.suspicions.is_empty() && !feed.remarks.contains_key("columns"));
    assert_eq!(feed.unread, "\"Lot Colour\"");
}

#[tokio::test(start_paused = true)]
async fn a_column_that_never_held_a_value_may_go() {
    let bench = Bench::with("").await;
    let with = |vin: &str, on_hand: u32| {
        format!("sku,location,on_hand,VIN\nOIL,main,{on_hand},{vin}\nGAS,main,3,\n")
    };
    let without = |on_hand: u32| format!("sku,location,on_hand\nOIL,main,{on_hand}\nGAS,main,3\n");
    for on_hand in 1..3 {
        bench.read("s.csv", with("", on_hand)).await;
    }
    for on_hand in 3..5 {
        let report = bench.read("s.csv", without(on_hand)).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        assert_eq!(report.sentences, Vec::<String>::new());
        assert_eq!(bench.stock().await["OIL"], i64::from(on_hand));
    }
    // It is back, blank; then with a value, and now it is missed.
    bench.read("s.csv", with("", 5)).await;
    bench.read("s.csv", with(BENTLEY, 6)).await;
    bench.read("s.csv", with("", 7)).await;
    let report = bench.read("s.csv", without(8)).await;
    assert_eq!(report.outcome, FileOutcome::Refused, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_have_a_file_taken_whose_column_is_meant_to_be_gone() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let header = "sku,location,on_hand,incoming";
    bench
        .read("s.csv", format!("{header}\nOIL,main,1,2\n"))
        .await;
    // A quantity of another kind is only missed, however long.
    let report = bench
        .read("s.csv", "sku,location,on_hand\nOIL,main,2\n")
        .await;
    let way = "lotwire sync erp --accept-columns";
    assert!(report.sentences[0].contains(way), "{report:?}");
    let lacking = |on_hand: u32| format!("sku,on_hand\nOIL,{on_hand}\n");
    let report = bench.read("s.csv", lacking(3)).await;
    assert_eq!(report.outcome, FileOutcome::Refused);
    assert!(report.sentences[0].contains(way), "{report:?}");
    let allow = |state: &mut FeedState| state.columns_may_change = true;
    bench.store.change_feed(&erp(), allow).await.unwrap();
    // Only a good file uses it up.
    bench.read("s.csv", "no,column,of,ours\n1,2,3,4\n").await;
    for on_hand in 4..6 {
        let report = bench.read("s.csv", lacking(on_hand)).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        assert_eq!(report.sentences, Vec::<String>::new());
        assert_eq!(bench.stock().await["OIL"], i64::from(on_hand));
    }
    assert!(!bench.feed().await.columns_may_change);
}

#[tokio::test(start_paused = true)]
async fn a_file_with_the_old_columns_does_not_use_up_that_they_may_change() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let old = |on_hand: u32| format!("sku,location,on_hand\nOIL,main,{on_hand}\n");
    let new = |on_hand: u32| format!("sku,on_hand\nOIL,{on_hand}\n");
    bench.read("s.csv", old(1)).await;
    let allow = |state: &mut FeedState| state.columns_may_change = true;
    bench.store.change_feed(&erp(), allow).await.unwrap();
    for file in [old(2), new(3), new(4)] {
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        assert_eq!(report.sentences, Vec::<String>::new());
    }
    assert_eq!(bench.stock().await["OIL"], 4);
    assert!(!bench.feed().await.columns_may_change);
}

#[tokio::test(start_paused = true)]
async fn a_column_that_held_values_is_missed_although_it_was_blank_while_others_were_let_go() {
    let bench = Bench::with("").await;
    let read = async |header: &str, row: &str| {
        let file = format!("sku,location,on_hand{header}\nOIL,main,{row}\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        report.sentences.join(" ")
    };
    read(",reserved,incoming", "9,1,2").await;
    let allow = |state: &mut FeedState| state.columns_may_change = true;
    bench.store.change_feed(&erp(), allow).await.unwrap();
    assert_eq!(read(",reserved", "8,").await, "");
    let told = read("", "7").await;
    assert!(told.contains("\"reserved\" is gone"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_price_or_mileage_that_may_be_thousands_is_left_out_and_told() {
    for (price, mileage, expected) in [
        ("45.900", "12.500 km", None),
        ("45,900", "12,500 km", Some(("45900.00 EUR", "12500 km"))),
        (
            "45,900.00",
            "12,500.5 km",
            Some(("45900.00 EUR", "12500.5 km")),
        ),
        ("45900.50", "125.5 km", Some(("45900.50 EUR", "125.5 km"))),
        ("KWD 745.900", "125 km", Some(("745.900 KWD", "125 km"))),
    ] {
        let bench = Bench::with("locations = { main = \"milano\" }").await;
        let file = format!(
            "VIN;Make;Model;Price;Odometer;Color\n{BENTLEY};Bentley;Bentayga;{price};{mileage};red\n"
        );
        bench.read("v.csv", file).await;
        let unit = bench.unit(BENTLEY).await;
        let field = |name: &str| match unit.field(name, &[]) {
            Some(Field::Text(text) | Field::Distance(text)) => Some(text.clone()),
            Some(Field::Money(money)) => Some(money.to_string()),
            _ => None,
        };
        assert_eq!(field("exterior_colour").as_deref(), Some("red"), "{price}");
        let (price, mileage) = (field("price"), field("mileage"));
        assert_eq!(price.as_deref().zip(mileage.as_deref()), expected);
        let held = quarantine(&bench).await;
        match expected {
            Some(_) => assert!(held.is_empty(), "{held:?}"),
            None => {
                assert_eq!((price, mileage), (None, None));
                let told = &held[0].sentence;
                assert!(told.contains("`decimal_mark`"), "{told}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_title_or_category_that_alone_changed_is_heard() {
    let bench = Bench::with("").await;
    let file = |title: &str, category: &str| {
        format!(
            "sku,location,on_hand,title,category\nOIL,main,1,{title},{category}\nGAS,main,3,Gas,fuels\n"
        )
    };
    let product = async || {
        let known = bench.store.product(&"OIL".parse().unwrap()).await.unwrap();
        let known = known.unwrap();
        let said = known.said_by(&erp());
        said.map(|it| it.cloned().unwrap_or_default())
    };
    for (title, category) in [
        ("Oil", "oils"),
        ("Oil 5 l", "oils"),
        ("Oil 5 l", "fluids"),
        ("Oil", "oils"),
    ] {
        let report = bench.read("s.csv", file(title, category)).await;
        assert_eq!(report.outcome, FileOutcome::Applied);
        assert_eq!(product().await, [title, category]);
        assert_eq!(report.counts.drift, 0, "the stock is the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_may_have_no_rows_where_the_configuration_says_so() {
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(3)).await;
    let report = bench.read("s.csv", stock_file(0)).await;
    assert_eq!(report.outcome, FileOutcome::Suspect, "{report:?}");
    assert!(
        report.sentences[0].contains("`min_rows_percent` to 0"),
        "{report:?}"
    );
    bench.reconfigure("min_rows_percent = 0\ngrace = 1").await;
    for _ in 0..2 {
        let report = bench.read("s.csv", stock_file(0)).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
    }
    assert_eq!(bench.there().await, 0);
    assert!(bench.feed().await.suspicions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_read_is_said_once_and_may_go() {
    let bench = Bench::with("").await;
    let read = async |header: &str, row: &str, on_hand: u32| {
        let file = format!("sku,location,on_hand{header}\nOIL,main,{on_hand}{row}\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        let feed = bench.feed().await;
        assert!(feed.remarks.is_empty(), "{feed:?}");
        (report.sentences.join(" "), feed.unread)
    };
    let (told, unread) = read(",Shelf,Buyer Note", ",7,x", 1).await;
    assert!(
        told.contains("Not read") && told.contains("\"Shelf\", \"Buyer Note\""),
        "{told}"
    );
    assert_eq!(unread, "\"Shelf\", \"Buyer Note\"");
    let (told, unread) = read(",Shelf,Buyer Note", ",7,x", 2).await;
    assert_eq!((told.as_str(), unread.len()), ("", 21));
    let (told, unread) = read(",Buyer Note", ",x", 3).await;
    assert_eq!((told.as_str(), unread.as_str()), ("", "\"Buyer Note\""));
}

/// A column that only describes may go for good; one that stock is known by is missed until it is back.
#[tokio::test(start_paused = true)]
async fn a_column_that_only_describes_is_given_up_in_time_and_no_other() {
    let bench = Bench::with("").await;
    let remark = async |header: &str, row: &str, on_hand: u32| {
        let file = format!("sku,location,on_hand{header}\nOIL,main,{on_hand}{row}\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        bench.feed().await.remarks.remove("columns")
    };
    assert_eq!(remark("", "", 1).await, None);
    // It sets nothing, which is told once.
    let told = remark(",Min Stock", ",5", 2).await.unwrap();
    assert!(told.contains("\"Min Stock\" sets no thresholds"), "{told}");
    assert!(
        told.contains("lotwire import") && told.contains("the SKU and the threshold alone"),
        "{told}"
    );
    assert_eq!(remark(",Min Stock", ",5", 3).await, None);
    // Gone for good: told, with how long, and then it is so.
    for on_hand in [4, 5] {
        let told = remark("", "", on_hand).await.unwrap();
        assert!(told.contains("\"Min Stock\" is gone"), "{told}");
        assert!(told.contains("after 3 files"), "{told}");
    }
    remark("", "", 6).await;
    assert_eq!(remark("", "", 7).await, None);
    // One that comes and goes was never given up.
    remark(",Min Stock", ",5", 8).await;
    for on_hand in 9..13 {
        assert!(remark("", "", on_hand).await.is_some());
        assert_eq!(remark(",Min Stock", ",5", on_hand).await, None);
    }
    // A quantity is missed for as long as it is missing.
    remark(",Min Stock,incoming", ",5,7", 13).await;
    for on_hand in 14..22 {
        let told = remark(",Min Stock", ",5", on_hand).await.unwrap();
        assert!(told.contains("\"incoming\" is gone"), "{told}");
        assert!(!told.contains("after 3 files"), "{told}");
    }
    assert_eq!(remark(",Min Stock,incoming", ",5,7", 22).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_cannot_be_read_leaves_its_field_and_takes_the_rest() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let file = |price: &str, colour: &str| {
        format!("VIN,Make,Model,Price,Color\n{BENTLEY},Bentley,Continental GT,{price},{colour}\n")
    };
    bench.read("v.csv", file("1000", "red")).await;
    // Not a number; and one that cannot be believed.
    for price in ["call us", "1", "0"] {
        let colour = format!("green {price}");
        let report = bench.read("v.csv", file(price, &colour)).await;
        assert_eq!(report.counts.quarantined, 1, "{price}");
        let unit = bench.unit(BENTLEY).await;
        assert_eq!(
            unit.field("exterior_colour", &[]),
            Some(&Field::Text(colour))
        );
        assert!(
            matches!(unit.field("price", &[]), Some(Field::Money(money)) if money.to_string() == "1000.00 EUR")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_several_places_have_is_held_with_the_ids_of_those_that_may_be_meant() {
    let bench = Bench::with("[locations.mailand]\nname = \"Milano\"\nkind = \"rooftop\"").await;
    let file = "sku,location,on_hand\nOIL,Milano,1\nGAS,milano,2\nPAD,Main warehouse,3\n";
    bench.read("s.csv", file).await;
    let held = quarantine(&bench).await;
    let [row] = &held[..] else { panic!("{held:?}") };
    assert_eq!(row.reason, "unknown_location");
    let meant = "\"Milano\" may be `mailand` (Milano) or `milano` (Milano)";
    assert!(row.sentence.contains(meant), "{}", row.sentence);
}

/// What is said of a state or a place does not wait for a cell that is beside the point.
#[tokio::test(start_paused = true)]
async fn a_car_is_sold_whatever_else_its_row_says() {
    let bench = Bench::with("locations = { London = \"main\", Milano = \"milano\" }").await;
    let file = |rest: &str| {
        let header = "VIN,Make,Model,Location,Status,Year,Date In Stock,Price,Odometer,Doors";
        format!("{header}\n{BENTLEY},Bentley,Continental GT,{rest}\n")
    };
    let known = "London,Available,2026,2026-01-02,150000,2560 mi,2";
    bench.read("v.csv", file(known)).await;
    let unit = async || bench.unit(BENTLEY).await;
    let resolved = async || unit().await.resolve(&shared::domain::Authority::default());
    assert_eq!(resolved().await.state, UnitState::InStock);
    let before = unit().await;

    for (state, place, expected) in [
        ("Sale Pending", "Milano", UnitState::SalePending),
        ("Sold", "Milano", UnitState::Sold),
    ] {
        let row = format!("{place},{state},2026.5,last spring,Call for price,TMU,two");
        let report = bench.read("v.csv", file(&row)).await;
        assert_eq!(
            (report.outcome, report.counts.quarantined),
            (FileOutcome::Applied, 1)
        );
        let now = resolved().await;
        assert_eq!(
            (now.state, now.location.unwrap().as_str()),
            (expected, "milano")
        );
        let held = quarantine(&bench).await;
        let [row] = &held[..] else { panic!("{held:?}") };
        assert_eq!(row.reason, "unreadable");
        for flaw in [
            "year \"2026.5\"",
            "date_in_stock \"last spring\"",
            "price \"Call for price\"",
            "odometer \"TMU\"",
            "doors \"two\"",
        ] {
            assert!(row.sentence.contains(flaw), "{flaw}: {}", row.sentence);
        }
    }
    let after = unit().await;
    assert_eq!(after.fields, before.fields, "as they were");
    assert_eq!(after.claims[&erp()].since, before.claims[&erp()].since);
    assert!(!before.claims[&erp()].since.is_empty());
}

/// A place such as "delivered" is where customers have what they bought.
#[tokio::test(start_paused = true)]
async fn a_car_that_has_left_needs_no_place_that_is_known() {
    const OTHER: &str = "SJAAC2ZV7SC012345";
    let settings = "grace = 1\nlocations = { London = \"main\" }\n\
                    statuses = { TRADE = \"wholesale\", MOVED = \"transferred\" }";
    for (word, expected, demand) in [
        ("sold", UnitState::Sold, 1),
        ("TRADE", UnitState::Wholesale, 0),
        ("MOVED", UnitState::Transferred, 0),
    ] {
        let bench = Bench::with(settings).await;
        let file = |rest: &str| {
            let other = format!("{OTHER},Bentley,Bentayga,London,available\n");
            format!("VIN,Make,Model,Location,Status\n{other}{rest}")
        };
        let row =
            |place: &str, state: &str| format!("{BENTLEY},Bentley,Bentayga,{place},{state}\n");
        bench.read("1.csv", file(&row("London", "available"))).await;
        let report = bench.read("2.csv", file(&row("DELIVERED", word))).await;
        assert_eq!(
            (report.outcome, report.counts.quarantined),
            (FileOutcome::Applied, 1),
            "{word}"
        );
        let held = quarantine(&bench).await;
        assert_eq!(held.len(), 1, "{word}: {held:?}");
        assert_eq!(held[0].reason, "unknown_location");
        assert!(held[0].sentence.contains("\"DELIVERED\""), "{held:?}");
        // Once it is not in the file any more, it is still what it became.
        for name in ["3.csv", "4.csv"] {
            let unit = bench.unit(BENTLEY).await;
            let state = unit.resolve(&bench.authority().await).state;
            assert_eq!(state, expected, "{word}");
            let position = bench.position("line:bentley/bentayga").await;
            let stock = position.stock(&Sources::default()).unwrap();
            let sold: i64 = position.sold.values().sum();
            assert_eq!((stock.on_hand, sold), (1, demand), "{word}");
            bench.read(name, file("")).await;
        }
    }
    // Where it stands is what counts of one that is for sale.
    let bench = Bench::with(settings).await;
    let file =
        format!("VIN,Make,Model,Location,Status\n{BENTLEY},Bentley,Bentayga,Hull,available\n");
    let report = bench.read("1.csv", file).await;
    assert_eq!(report.counts.added, 0);
}

/// It is promised where it is known to be, until it is known where that is.
#[tokio::test(start_paused = true)]
async fn a_car_that_is_promised_at_a_place_that_is_not_known_is_not_for_sale() {
    let settings = |hull: &str| format!("locations = {{ London = \"main\"{hull} }}");
    let file = |place: &str, state: &str| {
        format!("VIN,Make,Model,Location,Status\n{BENTLEY},Bentley,Bentayga,{place},{state}\n")
    };
    for word in ["reserved", "Sale Pending"] {
        for known in [true, false] {
            let bench = Bench::with(&settings("")).await;
            if known {
                bench.read("1.csv", file("London", "available")).await;
            }
            bench.read("2.csv", file("Hull", word)).await;
            let held = quarantine(&bench).await;
            let [entry] = &held[..] else {
                panic!("{word} {known}: {held:?}")
            };
            assert_eq!(entry.reason, "unknown_location");
            assert!(entry.detail().contains(BENTLEY), "{}", entry.detail());
            let there = async |id: &str| {
                let line = "line:bentley/bentayga".parse().unwrap();
                let position = bench.store.position(&line, &id.parse().unwrap()).await;
                let stock = position.unwrap()?.stock(&Sources::default())?;
                Some([stock.on_hand, stock.reserved])
            };
            let [promised, none] = [Some([1, 1]), Some([0, 0])];
            let expected = if known { [promised, None] } else { [None; 2] };
            let both = [there("main").await, there("milano").await];
            assert_eq!(both, expected, "{word} {known}");
            bench.reconfigure(&settings(", Hull = \"milano\"")).await;
            bench.read("3.csv", file("Hull", word)).await;
            let expected = [if known { none } else { None }, promised];
            let both = [there("main").await, there("milano").await];
            assert_eq!(both, expected, "{word} {known}, named");
            assert_eq!(quarantine(&bench).await, []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_sold_and_now_can_is_available() {
    let bench = Bench::with("").await;
    let available = async |report: shared::store::runs::FileReport| {
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        let stock = bench.position("OIL").await.stock(&Default::default());
        let stock = stock.unwrap();
        (stock.on_hand, stock.unavailable, stock.available)
    };
    for (header, row, expected) in [
        ("on_hand,unavailable,reserved", "10,5,2", (10, 5, 3)),
        ("on_hand,available", "10,10", (10, 0, 10)),
        ("on_hand,available", "10,4", (10, 6, 4)),
        ("on_hand,unavailable", "10,0", (10, 0, 10)),
        ("on_hand,unavailable", "10,5", (10, 5, 5)),
        // Nothing is said of it.
        ("on_hand,unavailable", "9,", (9, 5, 4)),
        ("on_hand,available", "9,9", (9, 0, 9)),
    ] {
        let file = format!("sku,location,{header}\nOIL,main,{row}\nGAS,main,{row}\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(available(report).await, expected, "{header}: {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn titles_and_categories_describe_the_product() {
    let bench = Bench::with("").await;
    bench
        .read(
            "s.csv",
            "sku,location,on_hand,title,category\nOIL,main,5,Engine oil,Fluids\n",
        )
        .await;
    let product = bench
        .store
        .product(&"OIL".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let sources = Sources::default();
    assert_eq!(product.title(&sources), Some("Engine oil"));
    assert_eq!(product.category(&sources), Some("Fluids"));
}

/// A file repeats with each read what it once said; somebody who speaks says something.
#[tokio::test(start_paused = true)]
async fn a_file_that_repeats_a_title_does_not_take_back_what_somebody_has_said_since() {
    let bench = Bench::with("").await;
    let file =
        |title: &str, there: u8| format!("sku,location,on_hand,title\nOIL,main,{there},{title}\n");
    let title = async || {
        let of = keys::product_history(&"OIL".parse().unwrap());
        let rows = bench.store.history(&of, None, 100).await.unwrap().items;
        rows.last().unwrap().after["title"].clone()
    };
    bench.read("1.csv", file("Engine oil", 5)).await;
    let at = bench.store.clock().now();
    let event = StockEvent {
        id: "shop-1".parse().unwrap(),
        source: "shop".parse().unwrap(),
        at,
        actor: None,
        change: Change::Described(ProductDescription {
            sku: "OIL".parse().unwrap(),
            version: Version::at(at),
            title: Some("Motor oil".into()),
            category: None,
            external: [].into(),
        }),
    };
    let authority = bench.authority().await;
    bench.store.apply(&event, &authority).await.unwrap();
    for (name, said, there, expected) in [
        ("2.csv", "Engine oil", 6, "Motor oil"),
        ("3.csv", "Oil", 7, "Oil"),
    ] {
        tokio::time::advance(std::time::Duration::from_secs(900)).await;
        bench.read(name, file(said, there)).await;
        assert_eq!(title().await, expected, "{name}");
    }
}

/// A new name is guessed by what stands in the columns, and where that leaves a doubt all names are told.
#[tokio::test(start_paused = true)]
async fn only_a_new_name_that_is_likely_is_told_for_a_column_that_is_gone() {
    let rows = |cells: fn(usize) -> String| (0..30).map(cells).collect::<String>();
    let bench = Bench::with("").await;
    let before = rows(|n| format!("SKU-{n},main,{},Oil {n}\n", n + 10));
    bench
        .read("s.csv", format!("sku,location,on_hand,title\n{before}"))
        .await;
    // A note has come, too, and before it.
    let after = rows(|n| format!("SKU-{n},see shelf {n},main,{},Oil {n}\n", n + 10));
    let file = format!("sku,Notiz,location,Zahl,Wort\n{after}");
    let report = bench.read("s.csv", file).await;
    assert_eq!(report.outcome, FileOutcome::Refused);
    let told = &report.sentences[0];
    for pair in [
        "Column \"on_hand\" (on_hand) went and \"Zahl\" came: probably renamed",
        "Column \"title\" (title) went and \"Wort\" came: probably renamed",
    ] {
        assert!(told.contains(pair), "{pair}: {told}");
    }
    assert!(!told.contains("\"Notiz\" came"), "{told}");
    // What came holds something else.
    let after = rows(|n| format!("SKU-{n},main,{}\n", n + 100_000));
    let report = bench
        .read("s.csv", format!("sku,location,Palette\n{after}"))
        .await;
    let told = &report.sentences[0];
    for part in ["\"on_hand\" is gone", "New and not read: \"Palette\""] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("probably renamed"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_column_by_another_name_that_is_known_is_not_told_as_gone() {
    let bench = Bench::with("").await;
    let file = |place: &str, units: &str| {
        let rows = (0..6).map(|n| format!("SKU-{n};main;{n}\n"));
        let rows = rows.collect::<String>();
        format!("Artikelnummer;{place};{units}\n{rows}")
    };
    bench.read("1.csv", file("Lagerort", "Bestand")).await;
    for (place, units) in [("Lager", "Menge"), ("Filiale", "Menge")] {
        let report = bench.read("2.csv", file(place, units)).await;
        assert_eq!(report.outcome, FileOutcome::Applied);
        assert_eq!(report.sentences, [""; 0]);
        assert!(bench.feed().await.remarks.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_column_that_goes_along_with_those_that_were_let_go_is_told() {
    let bench = Bench::with("").await;
    let read = async |header: &str, row: &str| {
        let file = format!("sku,location,on_hand{header}\nOIL,main,{row}\n");
        let report = bench.read("s.csv", file).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        report.sentences.join(" ")
    };
    read(",reserved,incoming", "9,1,2").await;
    let told = read(",reserved", "8,1").await;
    assert!(told.contains("\"incoming\" is gone"), "{told}");
    let allow = |state: &mut FeedState| state.columns_may_change = true;
    bench.store.change_feed(&erp(), allow).await.unwrap();
    let told = read("", "7").await;
    assert!(
        told.contains("Gone, too") && told.contains("\"reserved\""),
        "{told}"
    );
    assert!(!told.contains("incoming"), "{told}");
    assert_eq!(read("", "6").await, "");
}

/// What spreadsheets leave in the place of an article's number is no article.
#[tokio::test(start_paused = true)]
async fn a_cell_that_a_spreadsheet_has_spoilt_names_no_product() {
    let bench = Bench::with("").await;
    let spoilt = [
        "#REF!",
        "#N/A",
        "#NAME?",
        "#DIV/0!",
        "#WERT!",
        "#BEZUG!",
        "#NV",
        "#N/D",
        "1.23457E+12",
        "\"1,23457E+12\"",
        "4E+12",
    ];
    let good = [
        "1E10",
        "E+12",
        "#1",
        "#AB",
        "1.5E3",
        "12E+3X",
        "4006381333931",
        "B#REF!",
    ];
    let rows = spoilt
        .iter()
        .chain(&good)
        .map(|sku| format!("{sku},main,3,#REF!\n"));
    let file = format!("sku,location,on_hand,title\n{}", rows.collect::<String>());
    bench.read("s.csv", file).await;
    let known: Vec<_> = bench.stock().await.into_keys().collect();
    let mut expected = good.map(str::to_owned);
    expected.sort();
    assert_eq!(known, expected);
    let held = quarantine(&bench).await;
    let mut reasons: Vec<_> = held.iter().map(|entry| entry.reason.as_str()).collect();
    reasons.sort_unstable();
    let of = |reason: &str| reasons.iter().filter(|it| **it == reason).count();
    assert_eq!((of("no_key"), of("unreadable")), (spoilt.len(), good.len()));
    let rounded = held.iter().find(|entry| entry.row.contains("1.23457E+12"));
    let sentence = &rounded.unwrap().sentence;
    assert!(sentence.contains("rounded the number"), "{sentence}");
    // Nor is it a title.
    let described = bench.store.product(&"1E10".parse().unwrap()).await.unwrap();
    assert!(described.is_none_or(|it| it.title(&Sources::default()).is_none()));
}
