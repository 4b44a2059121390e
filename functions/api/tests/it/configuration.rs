//! The configuration: shown, compared, applied, or refused with every fault and its place.

use serde_json::json;

use crate::scene::{DOCUMENT, Scene};

#[tokio::test]
async fn a_document_is_compared_and_then_applied() {
    let scene = Scene::new().await;
    // A line more moves every rule, and that is no difference.
    let text = format!(
        "# moved\n{}",
        DOCUMENT.replace("threshold = 20", "threshold = 25")
    );
    let put = |target: &'static str| scene.ask("PUT", target).body("application/toml", &text);
    let planned = put("/api/v1/config?dry_run=true").send().await;
    assert_eq!(planned.status, 200, "{}", planned.body);
    assert_eq!(
        planned.body["differences"],
        json!([{ "path": "rules.oil-in-all.threshold", "before": 20, "after": 25 }])
    );
    assert_eq!(scene.get("/api/v1/config").await.body["version"], 1);
    let applied = put("/api/v1/config")
        .header("lotwire-actor", "maria")
        .send()
        .await;
    assert_eq!(
        (&applied.body["version"], &applied.body["applied_by"]),
        (&json!(2), &json!("maria"))
    );
    let again = put("/api/v1/config").send().await;
    assert_eq!(
        (&again.body["changed"], &again.body["version"]),
        (&json!(false), &json!(2))
    );
    let shown = scene.get("/api/v1/config").await;
    assert_eq!(shown.body["rules"], json!({ "in_document": 3 }));
}

#[tokio::test]
async fn a_document_with_faults_is_refused_with_all_of_them() {
    let scene = Scene::new().await;
    let text = DOCUMENT
        .replace("threshold = 3", "threshold = -3")
        .replace("kind = \"rooftop\"", "kind = \"roof\"");
    let refused = scene
        .ask("PUT", "/api/v1/config?name=my.toml")
        .body("application/toml", &text)
        .send()
        .await;
    assert_eq!(refused.status, 422);
    insta::assert_json_snapshot!(refused.body);
    assert_eq!(scene.get("/api/v1/config").await.body["version"], 1);
}

#[tokio::test]
async fn a_document_is_applied_only_over_what_it_was_compared_with() {
    let scene = Scene::new().await;
    let mine = DOCUMENT.replace("threshold = 20", "threshold = 25");
    let theirs = DOCUMENT.replace("threshold = 20", "threshold = 30");
    let put =
        |target: &'static str, text: &str| scene.ask("PUT", target).body("application/toml", text);
    let planned = put("/api/v1/config?dry_run=true", &mine).send().await;
    let tag = planned.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"1\"");
    let applied = put("/api/v1/config", &theirs)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(applied.status, 200, "{}", applied.body);
    assert_eq!(applied.header("etag"), Some("\"2\""));

    let refused = put("/api/v1/config", &mine)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(refused.status, 412);
    assert_eq!(refused.body["reason"], "overtaken");
    let planned = put("/api/v1/config?dry_run=true", &mine)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(planned.status, 412, "nor is it compared");
    for (name, value) in [
        ("if-none-match", "*"),
        ("if-match", "W/\"2\""),
        ("if-match", "\"two\""),
    ] {
        let refused = put("/api/v1/config", &mine)
            .header(name, value)
            .send()
            .await;
        assert_eq!(refused.status, 412, "{name}: {value}");
    }
    let shown = scene.get("/api/v1/config").await;
    assert_eq!(
        (&shown.body["version"], shown.header("etag")),
        (&json!(2), Some("\"2\""))
    );
}
