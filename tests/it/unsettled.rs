//! Many changes that come together, as the rows of a file: what stands in between is told to nobody.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use shared::domain::AlertKind;
use shared::domain::alert::AlertState;
use shared::domain::position::{Together, Unsettled};
use shared::http::Request;
use shared::store::alerts::Alert;

use crate::bench::level;
use crate::observed::Observed;

const FILES: &str = r#"
[locations.torino]
name = "Torino"
kind = "rooftop"
groups = ["italy"]
[locations.roma]
name = "Roma"
kind = "warehouse"
groups = ["italy"]
[connectors.erp]
kind = "files"
url = "{drop}"
stable_for = "0s"
locations = { torino = "torino", roma = "roma" }
[[rules]]
name = "gone"
kind = "out_of_stock"
[[rules]]
name = "all"
kind = "low_stock"
group = "italy"
over = "sum"
threshold = 10
"#;

async fn read(observed: &Observed, file: String) {
    std::fs::write(observed.drop.path().join("stock.csv"), file).unwrap();
    let erp = "erp".parse().unwrap();
    observed.stack.sync.start(&erp).await.unwrap();
    // It is read and looked at, and the clock was not there yet.
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
}

/// A file of twelve vehicles of one model, of which the first so many are sold.
fn yard(sold: usize) -> String {
    let row = |n: usize| {
        let state = if n < sold { "sold" } else { "in stock" };
        format!(
            "SCBCG2ZG0RC01{:04},torino,Bentley,Bentayga,{state}\n",
            2000 + n
        )
    };
    let rows: String = (0..12).map(row).collect();
    format!("vin,location,make,model,state\n{rows}")
}

fn body(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

async fn open(observed: &Observed) -> Vec<(AlertKind, Option<i64>)> {
    let alerts = observed.stack.store.alerts(AlertState::Open, None, 100);
    let left = |alert: Alert| (alert.kind, alert.message.after.map(|after| after.available));
    alerts.await.unwrap().items.into_iter().map(left).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_of_vehicles_is_told_of_when_it_is_over() {
    let mut observed = Observed::start(FILES).await;
    // Its first vehicle is the only one there for a while, and the fifth the last that is low.
    read(&observed, yard(0)).await;
    observed.pass(3).await;
    assert_eq!(observed.vendor.requests().len(), 0);

    // Low with the ninth that is sold, and lower with the tenth.
    read(&observed, yard(10)).await;
    assert_eq!(open(&observed).await, []);
    let place = "/api/v1/explain?product=line:bentley/bentayga&location=torino";
    let (status, explained) = observed.call(Method::GET, place, "").await;
    let explained = explained.to_string();
    assert!(
        status == 200 && explained.contains("more changes may follow the last one"),
        "{explained}"
    );
    observed.pass(2).await;
    let low = (AlertKind::LowStock, Some(2));
    assert!(
        open(&observed).await.contains(&low),
        "{:?}",
        open(&observed).await
    );
    let told = observed.vendor.requests();
    assert!(
        told.iter().all(|it| !body(it).contains("\"available\":3")),
        "{told:?}"
    );

    // What is open does not end in between either: all are back, by another file.
    let before = told.len();
    read(&observed, yard(12)).await;
    observed.pass(2).await;
    let told = observed.vendor.requests();
    let told: Vec<_> = told[before..].iter().map(body).collect();
    assert!(
        told.iter().any(|body| body.contains("out_of_stock")),
        "{told:?}"
    );
    assert!(
        told.iter().all(|body| !body.contains("\"available\":1")),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sum_is_told_of_when_the_file_that_moves_stock_between_its_places_is_over() {
    let mut observed = Observed::start(FILES).await;
    // So many others are in between that the two are not written together.
    let file = |torino: i64, roma: i64| {
        let other = |n| format!("CAP-{n},roma,{}\n", 50 + roma);
        let others: String = (0..700).map(other).collect();
        format!("sku,location,on_hand\nOIL,torino,{torino}\n{others}OIL,roma,{roma}\n")
    };
    read(&observed, file(7, 4)).await;
    observed.pass(2).await;
    read(&observed, file(4, 7)).await;
    observed.pass(2).await;
    assert_eq!(open(&observed).await, []);
    assert_eq!(observed.vendor.requests().len(), 0);
    read(&observed, file(4, 5)).await;
    observed.pass(2).await;
    assert_eq!(open(&observed).await, [(AlertKind::LowStock, Some(9))]);
}

/// Until the next file nobody knows how much there is by the new id, and unknown is not zero.
#[tokio::test(start_paused = true)]
async fn a_sum_over_places_is_not_low_because_one_of_them_has_another_id() {
    let mut observed = Observed::start(FILES).await;
    let rows = (1..=40).map(|n| format!("SKU-{n},torino,6\nSKU-{n},roma,50\n"));
    let file = format!("sku,location,on_hand\n{}", rows.collect::<String>());
    read(&observed, file.clone()).await;
    observed.pass(3).await;
    let renamed = FILES
        .replace("[locations.roma]", "[locations.lazio]")
        .replace("roma = \"roma\"", "roma = \"lazio\"");
    observed.configure(&renamed).await;
    // Longer than a sum waits.
    observed.pass(5).await;
    let there = async || {
        let (product, lazio) = ("SKU-1".parse().unwrap(), "lazio".parse().unwrap());
        let position = observed.stack.store.position(&product, &lazio).await;
        position.unwrap().map(|it| it.stock(&Default::default()))
    };
    for state in [AlertState::Open, AlertState::Resolved] {
        let told = observed.stack.store.alerts(state, None, 100).await.unwrap();
        assert_eq!(told.items.len(), 0, "{state:?} {:?}", told.items.first());
    }
    // It is known that nobody has said how many there are.
    assert_eq!(there().await, Some(None));
    read(&observed, file).await;
    let known = there().await.flatten();
    assert_eq!(known.map(|stock| stock.on_hand), Some(50));
    observed.pass(3).await;
    assert_eq!(open(&observed).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_single_change_among_those_of_a_file_does_not_end_the_wait() {
    let mut observed = Observed::start(FILES).await;
    let file = |torino: i64| format!("sku,location,on_hand\nOIL,torino,{torino}\nOIL,roma,5\n");
    read(&observed, file(7)).await;
    observed.pass(2).await;
    read(&observed, file(5)).await;
    let data = serde_json::json!({ "sku": "OIL", "location": "torino", "on_hand": 4 });
    let (status, answer) = observed.post("single", "stock.level", data).await;
    assert_eq!(status, 200, "{answer}");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(open(&observed).await, [], "the file may not be over");
    observed.pass(2).await;
    assert_eq!(open(&observed).await, [(AlertKind::LowStock, Some(9))]);
}

fn vehicle(n: usize, place: &str, state: &str) -> serde_json::Value {
    serde_json::json!({ "vin": format!("SCBCG2ZG0RC01{:04}", 2000 + n), "location": place,
        "make": "Bentley", "model": "Bentayga", "state": state })
}

/// A webhook for each of these vehicles, so many seconds apart.
async fn one_by_one(
    observed: &Observed,
    (kind, state, place): (&str, &str, &str),
    vehicles: std::ops::Range<usize>,
    seconds: u64,
) {
    for n in vehicles {
        let id = format!("{state}-{n}");
        let (status, answer) = observed.post(&id, kind, vehicle(n, place, state)).await;
        assert_eq!(status, 200, "{answer}");
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    }
}

const ARRIVES: (&str, &str, &str) = ("unit.updated", "in_stock", "torino");
const IS_SOLD: (&str, &str, &str) = ("unit.sold", "sold", "torino");

#[tokio::test(start_paused = true)]
async fn vehicles_that_one_webhook_lists_are_told_of_together_and_a_single_one_at_once() {
    let mut observed = Observed::start(FILES).await;
    let list: Vec<_> = (0..6).map(|n| vehicle(n, "milano", "in_stock")).collect();
    let list = serde_json::json!({ "changes": list });
    let (status, answer) = observed.post("first", "unit.updated", list).await;
    assert_eq!(status, 200, "{answer}");
    observed.pass(2).await;
    assert_eq!(observed.vendor.requests().len(), 0);
    let is_sold = ("unit.sold", "sold", "milano");
    one_by_one(&observed, is_sold, 0..2, 60).await;
    one_by_one(&observed, is_sold, 2..3, 2).await;
    let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
    assert!(
        told.len() == 1 && told[0].contains("\"available\":3"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_vehicles_that_come_or_go_one_by_one_nobody_hears_how_many_there_were_in_between() {
    let mut observed = Observed::start(FILES).await;
    one_by_one(&observed, ARRIVES, 0..12, 3).await;
    observed.pass(2).await;
    assert_eq!(observed.vendor.requests().len(), 0);
    one_by_one(&observed, IS_SOLD, 0..12, 3).await;
    observed.pass(2).await;
    let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
    assert!(
        told.len() == 1 && told[0].contains("out_of_stock") && told[0].contains("\"available\":0"),
        "{told:?}"
    );
    // They come back: what is over is told, and nothing begins on the way.
    one_by_one(&observed, ARRIVES, 12..24, 3).await;
    observed.pass(8).await;
    let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
    assert!(
        told[1..].iter().all(|it| it.contains("resolved")),
        "{told:?}"
    );
    assert_eq!(open(&observed).await, []);
}

/// Whoever evaluates comes to the first of them when the last has long been there.
#[tokio::test(start_paused = true)]
async fn of_vehicles_that_are_evaluated_late_nobody_hears_how_many_there_were_in_between() {
    let mut observed = Observed::start(FILES).await;
    for (what, vehicles) in [(ARRIVES, 0..12), (IS_SOLD, 0..10)] {
        observed.faults.evaluator_runs(false);
        one_by_one(&observed, what, vehicles, 3).await;
        observed.pass(1).await;
        observed.faults.evaluator_runs(true);
        observed.pass(3).await;
        let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
        if what == ARRIVES {
            assert!(told.is_empty(), "{told:?}");
        } else {
            let is_all = |it: &String| it.contains("\"available\":2");
            assert!(!told.is_empty() && told.iter().all(is_all), "{told:?}");
        }
    }
}

/// Each is a sale of its own, and the last of them is told before the quarter of an hour is over.
#[tokio::test(start_paused = true)]
async fn what_is_sold_without_a_break_is_told_after_a_quarter_of_an_hour_all_the_same() {
    let mut observed = Observed::start(FILES).await;
    let list: Vec<_> = (0..60).map(|n| vehicle(n, "torino", "in_stock")).collect();
    let list = serde_json::json!({ "changes": list });
    observed.post("first", "unit.updated", list).await;
    observed.pass(2).await;
    one_by_one(&observed, IS_SOLD, 0..58, 20).await;
    let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
    assert!(
        told.iter().any(|it| it.contains("\"available\":10")),
        "of Italy: {told:?}"
    );
    assert!(
        told.iter().any(|it| it.contains("\"available\":3")),
        "{told:?}"
    );
}

/// A place that has not said anything yet may have enough for both.
#[tokio::test(start_paused = true)]
async fn a_sum_is_not_told_by_what_the_first_of_its_places_says() {
    let mut observed = Observed::start(FILES).await;
    let states = async |location: &str, on_hand: i64| {
        let data = serde_json::json!({ "sku": "OIL", "location": location, "on_hand": on_hand });
        let (status, answer) = observed.post(location, "stock.level", data).await;
        assert_eq!(status, 200, "{answer}");
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    };
    states("torino", 4).await;
    states("roma", 7).await;
    observed.pass(2).await;
    assert_eq!(observed.vendor.requests().len(), 0);
}

/// One file is one change: who hears that a place is low does not hear of the sum beside it, whichever of
/// its places that is, and although another repeats meanwhile how much it has.
#[tokio::test(start_paused = true)]
async fn a_place_and_the_sum_that_it_counts_in_are_one_message_for_one_file() {
    let file = |(torino, roma): (i64, i64)| {
        format!("sku,location,on_hand\nOIL,torino,{torino}\nOIL,roma,{roma}\n")
    };
    for (levels, low, repeated) in [
        ([(7, 8), (3, 6)], "torino", None),
        ([(8, 7), (6, 3)], "roma", None),
        ([(7, 8), (3, 6)], "torino", Some(("roma", 6))),
        ([(8, 7), (6, 3)], "roma", Some(("torino", 6))),
        ([(8, 7), (6, 3)], "roma", Some(("roma", 3))),
    ] {
        for seconds in [0, 20] {
            let mut observed = Observed::start(FILES).await;
            read(&observed, file(levels[0])).await;
            observed.pass(2).await;
            read(&observed, file(levels[1])).await;
            // Before the sum has settled, and after.
            tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
            if let Some((location, on_hand)) = repeated {
                let data =
                    serde_json::json!({ "sku": "OIL", "location": location, "on_hand": on_hand });
                let (status, answer) = observed.post("again", "stock.level", data).await;
                assert_eq!(status, 200, "{answer}");
            }
            observed.pass(2).await;
            let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
            assert!(
                told.len() == 1 && told[0].contains(low),
                "{low} {repeated:?} {seconds}: {told:?}"
            );
        }
    }
}

/// The lowest counts, in whichever order they stand there.
#[tokio::test(start_paused = true)]
async fn of_several_levels_of_one_instant_people_are_told_what_holds() {
    for levels in [[2, 0, 3], [3, 2, 0], [0, 3, 2]] {
        let mut observed = Observed::start(FILES).await;
        observed.level("first", "OIL", 9).await;
        observed.pass(2).await;
        let level =
            |on_hand| serde_json::json!({ "sku": "OIL", "location": "milano", "on_hand": on_hand });
        let changes = serde_json::json!({ "changes": levels.map(level) });
        let (status, answer) = observed.post("several", "stock.level", changes).await;
        assert_eq!(status, 200, "{answer}");
        observed.pass(2).await;
        let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
        assert!(
            told.len() == 1 && told[0].contains("stock.out_of_stock.opened"),
            "{levels:?}: {told:?}"
        );
    }
}

/// What was so in between is nobody's news, in whichever order it stands there.
#[tokio::test(start_paused = true)]
async fn of_several_levels_in_one_webhook_people_are_told_what_holds_in_the_end() {
    for order in [[0, 1], [1, 0]] {
        for (levels, told) in [([0, 8], 0), ([8, 0], 1)] {
            let mut observed = Observed::start(FILES).await;
            observed.level("first", "OIL", 9).await;
            observed.pass(2).await;
            let now = observed.clock.now();
            let level = |which: usize| {
                let ago = SignedDuration::from_secs(if which == 0 { 5 } else { 1 });
                serde_json::json!({ "sku": "OIL", "location": "milano",
                    "on_hand": levels[which], "at": (now - ago).to_string() })
            };
            let changes = serde_json::json!({ "changes": order.map(level) });
            let (status, answer) = observed.post("several", "stock.level", changes).await;
            assert_eq!(status, 200, "{answer}");
            observed.pass(2).await;
            let requests: Vec<_> = observed.vendor.requests().iter().map(body).collect();
            assert_eq!(requests.len(), told, "{order:?} {levels:?}: {requests:?}");
        }
    }
}

#[test]
fn what_is_changed_without_a_break_is_judged_after_a_quarter_of_an_hour() {
    let begun: Timestamp = "2026-01-15T09:00:00Z".parse().unwrap();
    let at = |seconds| begun + SignedDuration::from_secs(seconds);
    let mut unsettled = None;
    for seconds in (0..3_600).step_by(5) {
        let now = Unsettled::at(at(seconds), Together::Many, unsettled);
        let is_held = now.ends_at(at(seconds)).is_some();
        assert_eq!(is_held, seconds < 15 * 60, "{seconds}");
        unsettled = Some(now);
    }
    // After a break it begins anew.
    let later = Unsettled::at(at(3_700), Together::Many, unsettled);
    assert_eq!(later.ends_at(at(3_700)), Some(at(3_730)));
}

#[tokio::test(start_paused = true)]
async fn a_sum_that_a_graver_alert_covers_is_told_when_it_falls_further_elsewhere() {
    let mut observed = Observed::start(FILES).await;
    let mut number = 0;
    let mut level = async |location: &str, on_hand: i64| {
        number += 1;
        let data = serde_json::json!({ "sku": "OIL", "location": location, "on_hand": on_hand });
        let id = format!("level-{number}");
        let (status, answer) = observed.post(&id, "stock.level", data).await;
        assert_eq!(status, 200, "{answer}");
        observed.pass(1).await;
        let told = observed.vendor.requests();
        let told = told.iter().map(body);
        told.filter(|it| it.contains("\"group\":\"italy\"")).count()
    };
    level("torino", 30).await;
    level("roma", 30).await;
    level("roma", 9).await;
    let before = level("torino", 1).await;
    // Nine are left of the ten at which it is low, and then five.
    assert_eq!(level("roma", 8).await, before);
    assert_eq!(level("roma", 4).await, before + 1);
}

/// The sum was low when another place had nothing, which was told instead, and was on its way back since.
#[tokio::test(start_paused = true)]
async fn a_sale_that_makes_a_place_and_again_its_sum_low_is_one_message() {
    let mut observed = Observed::start(FILES).await;
    let levels = [
        ("torino", 20),
        ("roma", 9),
        ("torino", 9),
        ("roma", 0),
        ("roma", 4),
        ("torino", 3),
    ];
    for (number, (location, on_hand)) in levels.into_iter().enumerate() {
        let data = serde_json::json!({ "sku": "OIL", "location": location, "on_hand": on_hand });
        let (status, answer) = observed
            .post(&number.to_string(), "stock.level", data)
            .await;
        assert_eq!(status, 200, "{answer}");
        observed.pass(1).await;
    }
    let told: Vec<_> = observed.vendor.requests().iter().map(body).collect();
    let last = told.last().unwrap();
    assert!(
        last.contains("stock.low_stock.opened") && last.contains("\"available\":3"),
        "{told:?}"
    );
    let of_sum = |it: &String| it.contains("\"group\":\"italy\"");
    assert!(!told.iter().any(of_sum), "{told:?}");
}

/// Whoever replays stopped in the middle, as a process that was ended.
#[tokio::test(start_paused = true)]
async fn what_a_replay_wrote_that_nobody_goes_on_with_is_told_some_minutes_later() {
    let mut observed = Observed::start("").await;
    let store = observed.stack.store.clone();
    let generic = "generic".parse().unwrap();
    store.replay_goes_on(&generic).await.unwrap();
    let installation = observed.stack.installations.current().await.unwrap();
    let low = level("generic", 0, "OIL", "milano", 2);
    let replayed = store.replaying(&generic);
    let applied = replayed.apply(&low, &installation.authority()).await;
    applied.unwrap();
    observed.pass(1).await;
    assert_eq!(open(&observed).await, [], "more may follow");
    observed.pass(3).await;
    assert_eq!(open(&observed).await, [(AlertKind::LowStock, Some(2))]);
}
