//! Many changes that come together, as the rows of a file: what stands in between is told to nobody.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use shared::domain::AlertKind;
use shared::domain::alert::AlertState;
use shared::domain::position::Unsettled;
use shared::http::Request;
use shared::store::alerts::Alert;

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
        status == 200 && explained.contains("many changes that came together"),
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

#[tokio::test(start_paused = true)]
async fn vehicles_that_one_webhook_lists_are_told_of_together_and_a_single_one_at_once() {
    let mut observed = Observed::start(FILES).await;
    let state = |n: usize, state: &str| {
        serde_json::json!({ "vin": format!("SCBCG2ZG0RC01{:04}", 2000 + n), "location": "milano",
            "make": "Bentley", "model": "Bentayga", "state": state })
    };
    let list: Vec<_> = (0..6).map(|n| state(n, "in_stock")).collect();
    let list = serde_json::json!({ "changes": list });
    let (status, answer) = observed.post("first", "unit.updated", list).await;
    assert_eq!(status, 200, "{answer}");
    observed.pass(2).await;
    assert_eq!(observed.vendor.requests().len(), 0);
    for n in 0..3 {
        let (status, _) = observed
            .post(&format!("sold-{n}"), "unit.sold", state(n, "sold"))
            .await;
        assert_eq!(status, 200);
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(open(&observed).await, [(AlertKind::LowStock, Some(3))]);
}

#[test]
fn what_is_changed_without_a_break_is_judged_after_a_quarter_of_an_hour() {
    let begun: Timestamp = "2026-01-15T09:00:00Z".parse().unwrap();
    let at = |seconds| begun + SignedDuration::from_secs(seconds);
    let mut unsettled = None;
    for seconds in (0..3_600).step_by(5) {
        let now = Unsettled::at(at(seconds), unsettled);
        let is_held = now.ends_at(at(seconds)).is_some();
        assert_eq!(is_held, seconds < 15 * 60, "{seconds}");
        unsettled = Some(now);
    }
    // After a break it begins anew.
    let later = Unsettled::at(at(3_700), unsettled);
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
