//! Files that each hold only what has changed: of what they say of one item, the later counts.

use jiff::{SignedDuration, Timestamp};
use shared::domain::Authority;
use shared::domain::unit::UnitState;
use shared::store::runs::FileOutcome;

use super::bench::Bench;
use crate::rows::order;

const VIN: &str = "SCBCG2ZG0RC012345";

/// Where rows are dated by day.
async fn by_day() -> Bench {
    let settings = "covers = \"changes\"\nlocations = { main = \"milano\" }\n\
                    format = { time_zone = \"Europe/London\" }";
    Bench::with(settings).await
}

/// What happened to one vehicle on one day, in this order.
fn vehicle(states: &[&str]) -> String {
    let row = |state: &&str| format!("{VIN},Bentley,Bentayga,{state},2026-01-15\n");
    let rows: String = states.iter().map(row).collect();
    format!("VIN,Make,Model,Status,updated_at\n{rows}")
}

async fn state(bench: &Bench) -> UnitState {
    bench.unit(VIN).await.resolve(&Authority::default()).state
}

#[tokio::test(start_paused = true)]
async fn of_two_rows_of_one_day_the_later_line_counts() {
    for (states, expected) in [
        (&["Available", "Sold"][..], UnitState::Sold),
        (&["Sold", "Available"], UnitState::InStock),
        (&["Available", "Sold", "Available"], UnitState::InStock),
        (&["Sold", "Available", "Sold"], UnitState::Sold),
    ] {
        let bench = by_day().await;
        let report = bench.read("v.csv", vehicle(states)).await;
        assert_eq!(
            (report.outcome, report.counts.quarantined),
            (FileOutcome::Applied, 0),
            "{states:?}: {report:?}"
        );
        assert_eq!(state(&bench).await, expected, "{states:?}");
        // The same lines under a later name are no news.
        bench.read("again.csv", vehicle(states)).await;
        assert_eq!(state(&bench).await, expected, "{states:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_files_of_one_day_the_one_that_was_written_later_counts() {
    let [first, second, third] = ["Available", "Sold", "Available"];
    let bench = by_day().await;
    bench.read("1.csv", vehicle(&[first])).await;
    assert_eq!(state(&bench).await, UnitState::InStock);
    bench.read("2.csv", vehicle(&[second])).await;
    assert_eq!(state(&bench).await, UnitState::Sold);
    bench.read("3.csv", vehicle(&[second, third])).await;
    assert_eq!(state(&bench).await, UnitState::InStock, "and is back");
}

#[tokio::test(start_paused = true)]
async fn files_of_one_day_come_to_the_same_in_whatever_order_they_are_read() {
    let start: Timestamp = super::bench::START.parse().unwrap();
    let written = |minute: usize| start + SignedDuration::from_mins(minute as i64);
    // What was written when, and what becomes of it: the third repeats what the first said.
    let files = ["Sold", "Available", "Sold"];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let bench = by_day().await;
        for number in order {
            let name = format!("{number}.csv");
            bench.drop_at(&name, vehicle(&[files[number]]), written(number));
            bench.read_what_is_there().await;
        }
        assert_eq!(state(&bench).await, UnitState::Sold, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_levels_the_later_counts_by_its_time_or_else_by_its_line() {
    let bench = Bench::with("covers = \"changes\"").await;
    let dated = "sku,location,on_hand,updated_at\n\
                 OIL,main,3,2026-01-15T09:10:00Z\n\
                 GAS,main,7,2026-01-15T09:00:00Z\n\
                 OIL,main,9,2026-01-15T09:05:00Z\n\
                 GAS,main,8,2026-01-15T09:20:00Z\n";
    let report = bench.read("dated.csv", dated).await;
    assert_eq!(
        (report.outcome, report.counts.quarantined),
        (FileOutcome::Applied, 0),
        "{report:?}"
    );
    let stock = bench.stock().await;
    assert_eq!((stock["OIL"], stock["GAS"]), (3, 8));
    let plain =
        "sku,location,on_hand\nOIL,main,5\nGAS,main,1\nOIL,main,6\nGAS,main,2\nGAS,main,1\n";
    bench.read("plain.csv", plain).await;
    let stock = bench.stock().await;
    assert_eq!((stock["OIL"], stock["GAS"]), (6, 1));
}

#[test]
fn of_two_lines_the_later_counts_however_long_their_file_is() {
    let written: Timestamp = super::bench::START.parse().unwrap();
    let later = written + SignedDuration::from_secs(1);
    let lines = [1, 1_000_000, 1_048_575, 1_048_576, 1_048_577, 40_000_000];
    let mut places: Vec<_> = lines.map(|line| order(written, line)).into();
    places.push(order(later, 1));
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
}

/// On 26 October 2025 the clocks of Berlin went back from three to two, at 01:00 UTC.
#[tokio::test(start_paused = true)]
async fn a_quantity_of_the_hour_that_comes_twice_is_not_older_than_it_may_be() {
    let settings = "covers = \"changes\"\nformat = { time_zone = \"Europe/Berlin\" }";
    let bench = Bench::with(settings).await;
    let file = |rows: &[(i64, &str)]| {
        let rows = rows.iter();
        let rows = rows.map(|(there, at)| format!("OIL,main,{there},2025-10-26 {at}\n"));
        let rows: String = rows.collect();
        format!("sku,location,on_hand,updated_at\n{rows}")
    };
    let read = async |name: &str, written: &str, rows: &[(i64, &str)]| {
        bench.drop_at(name, file(rows), written.parse().unwrap());
        let report = bench.read_what_is_there().await;
        assert_eq!(report.counts.quarantined, 0, "{report:?}");
        bench.stock().await["OIL"]
    };
    // Two, half past two, and then ten past two once more.
    let written = "2025-10-26T00:35:00Z";
    assert_eq!(
        read("1.csv", written, &[(9, "02:00"), (8, "02:30")]).await,
        8
    );
    let written = "2025-10-26T01:15:00Z";
    assert_eq!(read("2.csv", written, &[(7, "02:10")]).await, 7);
    // Of all that a later file has of that hour its own order counts.
    let written = "2025-10-26T04:00:00Z";
    let rows = [(8, "02:30"), (7, "02:10"), (6, "02:40")];
    assert_eq!(read("3.csv", written, &rows).await, 6);
    let rows = [(6, "02:40"), (5, "03:00")];
    assert_eq!(read("4.csv", "2025-10-26T04:10:00Z", &rows).await, 5);
}

#[tokio::test(start_paused = true)]
async fn every_change_of_a_long_file_is_applied_in_turn() {
    const SKUS: usize = 40;
    let settings = "covers = \"changes\"";
    let bench = Bench::with(settings).await;
    let mut rows = String::new();
    for round in 0..5 {
        for sku in 0..SKUS {
            rows += &format!("SKU-{sku},main,{}\n", 100 * sku + round);
        }
    }
    let report = bench
        .read("long.csv", format!("sku,location,on_hand\n{rows}"))
        .await;
    assert_eq!(report.counts.rows, 5 * SKUS as u64);
    let stock = bench.stock().await;
    for sku in 0..SKUS {
        assert_eq!(stock[&format!("SKU-{sku}")], 100 * sku as i64 + 4);
        let position = bench.position(&format!("SKU-{sku}")).await;
        assert_eq!(position.revision, 5, "each is a row of the ledger");
    }
}

/// The shop's system writes on which day, or in which minute, it last changed a row.
#[tokio::test(start_paused = true)]
async fn what_a_till_sold_on_the_day_of_a_change_is_in_it_already() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    for (name, at) in [("day", "2026-01-14"), ("minute", "2026-01-14 09:30")] {
        let settings = "covers = \"changes\"\nformat = { time_zone = \"Europe/Berlin\" }";
        let bench = Bench::with(settings).await;
        let read = async |written: &str, there: i64| {
            let file = format!("sku,location,on_hand,updated_at\nOIL,main,{there},{at}\n");
            let name = format!("{name}-{there}.csv");
            bench.drop_at(&name, file, time(written));
            bench.read_what_is_there().await;
            bench.balance("OIL").await
        };
        assert_eq!(read("2026-01-14T08:30:10Z", 10).await, Some(10));
        bench.moves("OIL", -2, time("2026-01-14T08:30:20Z")).await;
        assert_eq!(
            bench.balance("OIL").await,
            Some(8),
            "not before the next file"
        );
        // It has the sale in it: another quantity of the same day, and of the same minute.
        assert_eq!(read("2026-01-14T08:30:40Z", 8).await, Some(8), "{at}");
        bench.moves("OIL", -1, time("2026-01-14T08:30:50Z")).await;
        assert_eq!(bench.balance("OIL").await, Some(7), "{at}");
    }
}
