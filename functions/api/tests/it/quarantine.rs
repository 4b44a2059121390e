//! The quarantine as a list to work off.

use serde_json::{Value, json};
use shared::store::quarantine::Quarantined;

use crate::scene::{Answer, Scene};

async fn held(scene: &Scene, place: &str) -> String {
    let source = "erp".parse().unwrap();
    let why = ("no_data", "on_hand is empty");
    let held = Quarantined::new(&source, scene.store.clock().now(), place, "x", why);
    assert!(scene.store.quarantine(&held).await.unwrap());
    held.id
}

async fn dismiss(scene: &Scene, id: &str, body: &Value) -> Answer {
    let ask = scene.ask("POST", &format!("/api/v1/quarantine/{id}/dismiss"));
    ask.json(body).send().await
}

#[tokio::test]
async fn what_somebody_leaves_as_it_is_is_off_the_list_with_the_reason() {
    let scene = Scene::new().await;
    let (left, other) = (
        held(&scene, "stock.csv:2").await,
        held(&scene, "stock.csv:3").await,
    );
    let because = json!({ "reason": "a shelf that we gave up" });
    let answer = dismiss(&scene, &left, &because).await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (200, &json!("dismissed"))
    );

    let open = scene.get("/api/v1/quarantine").await;
    let ids = |answer: &Answer| -> Vec<Value> {
        let items = answer.body["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].clone()).collect()
    };
    assert_eq!(ids(&open), [json!(other)]);
    let dismissed = scene.get("/api/v1/quarantine?state=dismissed").await;
    assert_eq!(ids(&dismissed), [json!(left)]);
    let over = &dismissed.body["items"][0]["over"];
    assert_eq!(over["reason"], because["reason"]);
    assert!(over["by"].is_string() && over["at"].is_string(), "{over}");
    let closed = scene.get("/api/v1/quarantine?state=closed").await;
    assert_eq!(ids(&closed), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_dismissed_says_why() {
    let scene = Scene::new().await;
    let id = held(&scene, "stock.csv:2").await;
    let because = json!({ "reason": "left" });
    assert_eq!(dismiss(&scene, "nobody", &because).await.status, 404);
    assert_eq!(dismiss(&scene, &id, &json!({})).await.status, 422);
    assert_eq!(dismiss(&scene, &id, &because).await.status, 200);
    let again = dismiss(&scene, &id, &because).await;
    assert_eq!(
        (again.status, again.kind()),
        (409, "urn:lotwire:problem:settled_already")
    );
    let unknown = scene.get("/api/v1/quarantine?state=lost").await;
    assert_eq!(unknown.status, 422);
}

#[tokio::test]
async fn what_is_held_for_another_reason_than_before_says_that_one() {
    let scene = Scene::new().await;
    let source = "erp".parse().unwrap();
    let hold = async |why: (&str, &str)| {
        let now = scene.store.clock().now();
        let held = Quarantined::new(&source, now, "/changes/0", "a level", why);
        scene.store.quarantine(&held).await.unwrap()
    };
    let place = ("unknown_location", "location \"mars\" is not known");
    let quantity = ("no_data", "on_hand is missing");
    assert!(hold(place).await);
    assert!(!hold(quantity).await, "it is no second entry");
    let open = scene.get("/api/v1/quarantine").await;
    let [entry] = open.body["items"].as_array().unwrap().as_slice() else {
        panic!("{}", open.body)
    };
    assert_eq!(entry["reason"], "no_data");
    assert_eq!(entry["detail"], "on_hand is missing");
    // Of the kind that it was there is none, and people are told of the other.
    let kinds = scene.store.held_kinds(&source).await.unwrap();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|it| (&*it.data.reason, it.data.open))
        .collect();
    assert_eq!(kinds, [("no_data", true), ("unknown_location", false)]);
    let id = entry["id"].as_str().unwrap();
    scene.store.close_quarantined(id, "done").await.unwrap();
    let kinds = scene.store.held_kinds(&source).await.unwrap();
    assert!(kinds.iter().all(|it| !it.data.open));
}
