//! Lists: whole, in pages, without empty ones, and with cursors of their own.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;
use shared::domain::Change;
use shared::domain::event::{Level, Version};
use shared::domain::item::{Dated, ItemStatement};
use shared::store::quarantine::Quarantined;

use crate::scene::Scene;

/// Pages through a list and gives one field of each item; every page but the last is full.
async fn all(scene: &Scene, target: &str, limit: usize, field: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let page = scene
            .get(&format!("{target}{mark}limit={limit}{cursor}"))
            .await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        found.extend(
            items
                .iter()
                .map(|item| item[field].as_str().unwrap().to_owned()),
        );
        match page.body["next"].as_str() {
            None => return found,
            Some(next) => {
                assert_eq!(items.len(), limit, "a page before the last is full");
                cursor = format!("&cursor={next}");
            }
        }
    }
}

#[tokio::test]
async fn five_hundred_positions_come_once_each_whatever_the_page() {
    let scene = Scene::new().await;
    for number in 0..500 {
        let place = if number % 100 == 0 { "south" } else { "north" };
        scene.stated(&format!("SKU-{number}"), place, number).await;
    }
    for limit in [7, 200] {
        let found = all(&scene, "/api/v1/positions", limit, "product").await;
        assert_eq!(found.len(), 500);
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 500);
    }
    // A filter that lets few through still fills its pages.
    let found = all(&scene, "/api/v1/positions?location=south", 2, "product").await;
    assert_eq!(found.len(), 5);
    let found = all(&scene, "/api/v1/positions?location=london", 2, "product").await;
    assert_eq!(found, [""; 0]);
}

#[tokio::test]
async fn a_product_s_positions_and_the_quarantine_come_in_pages_too() {
    let scene = Scene::new().await;
    for location in ["north", "south", "london"] {
        scene.stated("OIL", location, 1).await;
    }
    let found = all(&scene, "/api/v1/positions?product=OIL", 1, "location").await;
    assert_eq!(found, ["london", "north", "south"]);
    let now = scene.store.clock().now();
    for row in 0..5 {
        let held = Quarantined::new(
            &"erp".parse().unwrap(),
            now,
            format!("stock.csv:{row}"),
            "x",
            ("no_data", "on_hand is empty"),
        );
        assert!(scene.store.quarantine(&held).await.unwrap());
    }
    let found = all(&scene, "/api/v1/quarantine", 2, "where").await;
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 5);
}

#[tokio::test]
async fn a_cursor_serves_its_own_list_only() {
    let scene = Scene::new().await;
    for number in 0..3 {
        scene
            .stated(&format!("SKU-{number}"), "north", number)
            .await;
    }
    let page = scene.get("/api/v1/positions?limit=1").await;
    let cursor = page.body["next"].as_str().unwrap();
    for target in [
        format!("/api/v1/alerts?cursor={cursor}"),
        format!("/api/v1/positions?location=north&cursor={cursor}"),
        "/api/v1/positions?cursor=bm9uc2Vuc2U".to_owned(),
        "/api/v1/positions?cursor=!".to_owned(),
    ] {
        let answer = scene.get(&target).await;
        assert_eq!(
            (answer.status, answer.kind()),
            (400, "urn:lotwire:problem:invalid_cursor"),
            "{target}"
        );
    }
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "colour=red",
        "limit=1&limit=2",
    ] {
        assert_eq!(
            scene
                .get(&format!("/api/v1/positions?{query}"))
                .await
                .status,
            422,
            "{query}"
        );
    }
    assert_eq!(scene.get("/api/v1/alerts?state=closed").await.status, 422);
    assert_eq!(
        scene.get("/api/v1/alerts").await.body["next"],
        serde_json::Value::Null
    );
    assert_eq!(
        scene.get("/api/v1/deliveries?alert=none").await.body["items"],
        serde_json::json!([])
    );
    assert_eq!(scene.get("/api/v1/ledger?location=north").await.status, 422);
}

#[tokio::test]
async fn a_position_shows_the_sku_that_its_product_has_by_now() {
    let scene = Scene::new().await;
    let began = scene.store.clock().now() - SignedDuration::from_mins(10);
    let called = async |sku: &str, minute: i64| {
        let at = began + SignedDuration::from_mins(minute);
        scene.called("7", sku, at).await;
    };
    called("FIRST", 0).await;
    let at = began + SignedDuration::from_secs(30);
    for place in ["north", "south"] {
        let stated = ItemStatement {
            called: None,
            offered_by: None,
            product: "FIRST".parse().unwrap(),
            location: place.parse().unwrap(),
            item: "item 7".to_owned(),
            level: Some(Dated {
                version: Version::at(at),
                value: Some(Level {
                    on_hand: 4,
                    ..Level::default()
                }),
            }),
            offered: None,
            named: Some(Version::at(began)),
        };
        scene.applied(at, Change::Item(Box::new(stated))).await;
    }
    let shown = async |sku: &str| {
        let page = scene.get(&format!("/api/v1/positions?product={sku}")).await;
        let items = page.body["items"].as_array().unwrap().clone();
        let shown = items.into_iter().map(|item| item["renamed_to"].clone());
        shown.collect::<Vec<_>>()
    };
    called("SECOND", 1).await;
    assert_eq!(shown("FIRST").await, [json!("SECOND"), json!("SECOND")]);
    called("THIRD", 2).await;
    assert_eq!(shown("FIRST").await, [json!("THIRD"), json!("THIRD")]);
    assert_eq!(shown("THIRD").await, [json!(null), json!(null)]);
    // Something else has the first SKU, at one place: it is no former name at the other either.
    scene.stated("FIRST", "north", 1).await;
    assert_eq!(shown("FIRST").await, [json!(null), json!(null)]);
    assert_eq!(shown("SECOND").await, [json!("THIRD"), json!("THIRD")]);
    let all = scene.get("/api/v1/positions").await;
    for item in all.body["items"].as_array().unwrap() {
        let expected = match item["product"].as_str() {
            Some("SECOND") => json!("THIRD"),
            _ => json!(null),
        };
        assert_eq!(item["renamed_to"], expected, "{item}");
    }
}
