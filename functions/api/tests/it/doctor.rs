//! The doctor finds what was tampered with, and nothing else.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use shared::domain::Authority;

use crate::scene::{Scene, TABLE};

type Item = HashMap<String, AttributeValue>;

async fn findings(scene: &Scene) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = scene.get(&format!("/api/v1/doctor?limit=3{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        found.extend(page.body["items"].as_array().unwrap().iter().cloned());
        match page.body["next"].as_str() {
            None => return found,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

async fn faults(scene: &Scene) -> Vec<String> {
    let found = findings(scene).await;
    found
        .iter()
        .map(|it| it["fault"].as_str().unwrap().to_owned())
        .collect()
}

async fn busy() -> Scene {
    let scene = Scene::new().await;
    scene.described("OIL", "Engine oil", "oil").await;
    scene.stated("OIL", "north", 9).await;
    scene.vehicle("erp", "SJAAX14V4RC004321", "london").await;
    scene.vehicle("erp", "SJAAM2ZV9TC024868", "london").await;
    for number in 0..3 {
        let body = json!({ "type": "sale", "product": "OIL", "location": "north", "quantity": 1 });
        assert_eq!(
            scene.moves(&format!("sale-{number}"), body).await.status,
            201
        );
    }
    assert_eq!(faults(&scene).await, [""; 0]);
    scene
}

fn key(pk: &str, sk: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

async fn edit(scene: &Scene, pk: &str, sk: &str, change: impl FnOnce(&mut Item)) {
    let client = scene.aws.dynamodb();
    let read = client
        .get_item()
        .table_name(TABLE)
        .set_key(Some(key(pk, sk)));
    let mut item = read.send().await.unwrap().item.unwrap();
    let Some(AttributeValue::M(data)) = item.get_mut("d") else {
        panic!("{pk} {sk} has no content");
    };
    change(data);
    client
        .put_item()
        .table_name(TABLE)
        .set_item(Some(item))
        .send()
        .await
        .unwrap();
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[tokio::test]
async fn an_edited_ledger_row_is_found() {
    let scene = busy().await;
    edit(&scene, "H#position OIL north", "000000000002", |row| {
        row.insert("actor".to_owned(), AttributeValue::S("nobody".to_owned()));
    })
    .await;
    assert_eq!(faults(&scene).await, ["altered"]);
}

#[tokio::test]
async fn a_removed_ledger_row_is_found_wherever_it_stood() {
    for (row, fault) in [
        ("000000000001", "gap"),
        ("000000000002", "gap"),
        ("000000000004", "end"),
    ] {
        let scene = busy().await;
        let client = scene.aws.dynamodb();
        let delete = client.delete_item().table_name(TABLE);
        delete
            .set_key(Some(key("H#position OIL north", row)))
            .send()
            .await
            .unwrap();
        assert_eq!(faults(&scene).await, [fault], "row {row}");
    }
}

#[tokio::test]
async fn a_position_that_drifted_is_found() {
    let scene = busy().await;
    edit(&scene, "P#OIL", "L#north#position", |position| {
        position.insert("held".to_owned(), number(2));
    })
    .await;
    let found = findings(&scene).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["fault"], "drift");
    assert_eq!(
        (
            &found[0]["expected"]["reserved"],
            &found[0]["found"]["reserved"]
        ),
        (&json!(0), &json!(2))
    );
}

#[tokio::test]
async fn a_position_that_is_not_the_sum_of_its_vehicles_is_found() {
    let scene = busy().await;
    edit(
        &scene,
        "P#line:bentley/bentayga",
        "L#london#position",
        |position| {
            let Some(AttributeValue::M(holding)) = position.get_mut("holding") else {
                panic!("a counted position has a holding");
            };
            holding.insert("on_hand".to_owned(), number(3));
        },
    )
    .await;
    let mut faults = faults(&scene).await;
    faults.sort();
    assert_eq!(faults, ["drift", "miscount"]);
}

#[tokio::test]
async fn an_edited_description_and_an_edited_vehicle_are_found() {
    let scene = busy().await;
    edit(&scene, "P#OIL", "product", |product| {
        let Some(AttributeValue::M(titles)) = product.get_mut("titles") else {
            panic!("a product has titles");
        };
        for title in titles.values_mut() {
            let AttributeValue::M(title) = title else {
                panic!("a title has a time");
            };
            let edited = AttributeValue::S("Snake oil".to_owned());
            title.insert("value".to_owned(), edited);
        }
    })
    .await;
    edit(&scene, "U#SJAAX14V4RC004321", "unit", |unit| {
        unit.insert("chain".to_owned(), AttributeValue::S("0".repeat(64)));
    })
    .await;
    assert_eq!(faults(&scene).await, ["end", "drift"]);
}

#[tokio::test]
async fn a_ledger_of_any_length_is_examined_in_steps_and_each_goes_on_where_the_last_ended() {
    const ROWS: i64 = 4_500;
    let scene = Scene::new().await;
    for on_hand in 0..ROWS {
        scene.stated("OIL", "north", ROWS - on_hand).await;
    }
    scene.stated("TYRE", "north", 4).await;
    let examined = async || {
        let (mut sum, mut steps, mut cursor) = ([0; 2], 0, None::<String>);
        let (mut most, mut found) = (0, Vec::new());
        loop {
            let authority = Authority::default();
            let step = scene.store.examine(&authority, cursor.as_deref(), 200);
            let (examined, next) = step.await.unwrap();
            steps += usize::from(examined.rows > 0);
            most = most.max(examined.rows);
            sum[0] += examined.positions;
            sum[1] += examined.rows;
            found.extend(examined.findings.into_iter().map(|it| json!(it.fault)));
            cursor = next;
            if cursor.is_none() {
                return (sum, steps, most, found);
            }
        }
    };
    let (sum, steps, most, found) = examined().await;
    assert_eq!(found, [Value::Null; 0]);
    assert_eq!(sum, [2, ROWS.unsigned_abs() + 1], "each row once");
    assert!(steps >= 3 && most < 2_500, "{steps} steps, {most} rows");
    // In the first step, and in a later one.
    for row in ["000000000007", "000000003333"] {
        edit(&scene, "H#position OIL north", row, |row| {
            row.insert("actor".to_owned(), AttributeValue::S("nobody".to_owned()));
        })
        .await;
    }
    assert_eq!(examined().await.3, ["altered", "altered"]);
}

#[tokio::test]
async fn what_does_not_fit_the_end_of_a_long_ledger_is_found() {
    let scene = Scene::new().await;
    for on_hand in (1..=2_300).rev() {
        scene.stated("OIL", "north", on_hand).await;
    }
    edit(&scene, "P#OIL", "L#north#position", |position| {
        position.insert("held".to_owned(), number(2));
    })
    .await;
    assert_eq!(faults(&scene).await, ["drift"]);
    edit(&scene, "P#OIL", "L#north#position", |position| {
        position.insert("chain".to_owned(), AttributeValue::S("0".repeat(64)));
    })
    .await;
    assert_eq!(faults(&scene).await, ["end"]);
}

#[tokio::test]
async fn what_an_item_has_left_behind_is_found() {
    let scene = busy().await;
    edit(&scene, "P#OIL", "L#north#position", |position| {
        let item = |value| AttributeValue::M([("shop item 7".to_owned(), value)].into());
        let new = AttributeValue::S("OIL-2".to_owned());
        let part = AttributeValue::M([("held".to_owned(), number(1))].into());
        position.insert("gone".to_owned(), item(new));
        position.insert("parts".to_owned(), item(part));
    })
    .await;
    let found = findings(&scene).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["fault"], "astray");
    assert_eq!(found[0]["expected"], json!({ "shop item 7": "OIL-2" }));
}
