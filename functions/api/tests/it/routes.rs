//! Every route, its answers and its errors.

use api::ROUTES;
use serde_json::{Value, json};
use shared::store::jobs::Stage;

use crate::scene::Scene;

const DOCS: &str = include_str!("../../../../docs/api.md");

#[test]
fn every_route_is_documented() {
    for (method, path, _) in ROUTES {
        let heading = format!("`{method} {path}`");
        assert!(DOCS.contains(&heading), "docs/api.md lacks {heading}");
    }
}

#[tokio::test]
async fn every_route_but_health_needs_a_token_or_a_link() {
    let scene = Scene::new().await;
    for (method, path, endpoint) in ROUTES {
        let path = path
            .replace("{vin}", "SJAAX14V4RC004321")
            .replace("{id}", "x")
            .replace("{connector}", "drop")
            .replace("{channel}", "ops");
        for wrong in [
            "",
            "Bearer wrong",
            "Bearer ",
            "Basic Y29ycmVjdCBob3JzZQ==",
            "Bearer correct hors",
        ] {
            let answer = scene
                .ask(method, &path)
                .header("authorization", wrong)
                .send()
                .await;
            if endpoint.needs_token() {
                assert_eq!(answer.status, 401, "{method} {path} with {wrong:?}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                assert_eq!(
                    answer.header("content-type"),
                    Some("application/problem+json")
                );
            } else {
                // A page shows itself to nobody without its link.
                let expected = if path == "/healthz" { 200 } else { 404 };
                assert_eq!(answer.status, expected, "{method} {path}");
            }
        }
    }
    // During a rotation both open the door.
    let previous = scene
        .ask("GET", "/api/v1/alerts")
        .header("authorization", "bearer the one before");
    assert_eq!(previous.send().await.status, 200);
}

#[tokio::test]
async fn while_the_intake_is_closed_everything_can_be_read_and_nothing_changed() {
    let scene = Scene::new().await.with_closed_intake();
    for (method, path, _) in ROUTES {
        let path = path
            .replace("{vin}", "SJAAX14V4RC004321")
            .replace("{id}", "x")
            .replace("{connector}", "drop")
            .replace("{channel}", "ops");
        let answer = scene.ask(method, &path).send().await;
        let refused = answer.status == 503 && answer.header("retry-after") == Some("60");
        assert_eq!(
            refused,
            *method != "GET",
            "{method} {path}: {}",
            answer.status
        );
    }
    let status = scene.get("/api/v1/status").await;
    assert_eq!(status.body["intake"], "closed");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let scene = Scene::new().await;
    for path in [
        "/",
        "/api/v1",
        "/api/v1/positions/",
        "/api/v1/units/",
        "/api/v2/positions",
    ] {
        assert_eq!(scene.get(path).await.status, 404, "{path}");
    }
    let answer = scene.ask("DELETE", "/api/v1/config").send().await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, PUT"))
    );
    insta::assert_json_snapshot!(answer.body);
}

#[tokio::test]
async fn health_says_which_configuration_applies() {
    let scene = Scene::new().await;
    let ready = scene
        .ask("GET", "/healthz")
        .header("authorization", "")
        .send()
        .await;
    assert_eq!(
        (ready.status, ready.body),
        (200, json!({ "status": "ready", "configuration": 1 }))
    );
    let scene = Scene::unconfigured().await;
    assert_eq!(scene.get("/healthz").await.status, 503);
    let answer = scene.get("/api/v1/positions").await;
    assert_eq!(
        (answer.status, answer.kind()),
        (503, "urn:lotwire:problem:not_configured")
    );
}

#[tokio::test]
async fn bad_bodies_are_told_with_their_place() {
    let scene = Scene::new().await;
    let post = |body: &'static str| {
        scene
            .ask("POST", "/api/v1/movements")
            .header("idempotency-key", "k")
            .body("application/json", body)
    };
    let malformed = post("{\"type\": \"sale\",\n  \"product\": }").send().await;
    assert_eq!(malformed.status, 400);
    assert_eq!(
        (
            malformed.body["line"].as_u64(),
            malformed.body["column"].as_u64()
        ),
        (Some(2), Some(14))
    );
    let wrong = r#"{"type": "sell", "product": 7, "location": "a b", "quantity": "1.5", "qty": 1, "at": "yesterday"}"#;
    let invalid = post(wrong).send().await;
    assert_eq!(invalid.status, 422);
    insta::assert_json_snapshot!(invalid.body);
    let places = post(
        r#"{"type": "transfer", "product": "OIL", "location": "nord", "to_location": "sud", "quantity": 1}"#,
    );
    insta::assert_json_snapshot!(places.send().await.body["errors"]);
    for quantity in ["0", "-1", "1000000000001"] {
        let body = format!(
            r#"{{"type": "sale", "product": "OIL", "location": "north", "quantity": {quantity}}}"#
        );
        scene.stated(&format!("OIL{quantity}"), "north", 1).await;
        let answer = scene
            .ask("POST", "/api/v1/movements")
            .header("idempotency-key", "k");
        assert_eq!(
            answer.body("application/json", &body).send().await.status,
            422,
            "{quantity}"
        );
    }
    let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(70_000));
    let answer = scene
        .ask("POST", "/api/v1/movements")
        .body("application/json", &large)
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.kind()),
        (413, "urn:lotwire:problem:body_too_large")
    );
    let keyless = scene
        .ask("POST", "/api/v1/movements")
        .body("application/json", "{}")
        .send()
        .await;
    assert_eq!(
        (keyless.status, keyless.kind()),
        (400, "urn:lotwire:problem:idempotency_key_missing")
    );
    let future = post(
        r#"{"type": "sale", "product": "OIL", "location": "north", "quantity": 1, "at": "2999-01-01T00:00:00Z"}"#,
    );
    assert_eq!(future.send().await.body["errors"][0]["pointer"], "/at");
}

#[tokio::test]
async fn a_vehicle_of_which_nobody_has_stated_a_state_is_in_none() {
    let scene = Scene::new().await;
    let vin = "SJAAX14V4RC004321";
    scene.vehicle_in(None, "erp", vin, "london").await;
    let unit = scene.get(&format!("/api/v1/units/{vin}")).await.body;
    assert_eq!(unit["state"], Value::Null);
    let explain = format!("/api/v1/explain?product={vin}&location=london");
    let explained = scene.get(&explain).await.body;
    assert_eq!(explained["vehicle"]["state"], Value::Null, "{explained}");
    let ledger = scene.get(&format!("/api/v1/ledger?vin={vin}")).await.body;
    assert_eq!(ledger["items"][0]["after"]["state"], Value::Null);
    let line = "/api/v1/positions?product=line:bentley/bentayga&location=london";
    let counted = scene.get(line).await.body;
    let counted = counted["items"].as_array().unwrap().iter();
    assert!(counted.clone().all(|it| it["available"].is_null()));
    scene.vehicle("market", vin, "london").await;
    let unit = scene.get(&format!("/api/v1/units/{vin}")).await.body;
    assert_eq!(unit["state"], "in_stock");
}

#[tokio::test]
async fn a_vehicle_shows_who_says_what() {
    let scene = Scene::new().await;
    let vin = "SJAAX14V4RC004321";
    scene.vehicle("erp", vin, "london").await;
    scene.vehicle("market", vin, "north").await;
    let mut unit = scene
        .get(&format!("/api/v1/units/{}", vin.to_lowercase()))
        .await;
    assert_eq!(unit.status, 200, "{}", unit.body);
    for field in unit.body["fields"].as_object_mut().unwrap().values_mut() {
        field["stated_at"] = "[time]".into();
        field["others"][0]["stated_at"] = "[time]".into();
    }
    insta::assert_json_snapshot!(unit.body);
    assert_eq!(
        scene.get("/api/v1/units/SJAAX14V4RC004322").await.status,
        404
    );
    let misspelt = scene.get("/api/v1/units/SJAAX14V4RC0O4321").await;
    assert!(
        misspelt.body["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean"),
        "{}",
        misspelt.body
    );
    let ledger = scene.get(&format!("/api/v1/ledger?vin={vin}")).await;
    assert_eq!(ledger.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_explanation_names_rule_quantity_and_state() {
    let scene = Scene::new().await;
    scene.described("OIL", "Engine oil", "oil").await;
    scene.stated("OIL", "north", 3).await;
    let first = scene
        .get("/api/v1/explain?product=OIL&location=north")
        .await;
    let sum = first.body["group_sums"][0]["answer"].to_string();
    assert!(sum.contains("more changes may follow"), "{sum}");
    scene.stated("OIL", "north", 2).await;
    let low = scene
        .get("/api/v1/explain?product=OIL&location=north")
        .await;
    assert_eq!(low.status, 200, "{}", low.body);
    insta::assert_json_snapshot!(low.body);
    scene.described("MUG", "Mug", "Gifts").await;
    scene.stated("MUG", "north", 0).await;
    let muted = scene
        .get("/api/v1/explain?product=MUG&location=north")
        .await;
    assert_eq!(
        muted.body["kinds"][0]["answer"],
        "No alert: rule `no-gifts` switches low_stock off here."
    );
    let unknown = scene
        .get("/api/v1/explain?product=NONE&location=north")
        .await;
    assert_eq!(unknown.body["kinds"][0]["condition"], "no_data");
    assert_eq!(unknown.body["known"], false);
    // What was meant is named, however many others there are.
    scene.stated("OIL-5W40", "north", 8).await;
    scene.stated("FILTER", "north", 8).await;
    let mistyped = scene
        .get("/api/v1/explain?product=OIL-5W04&location=north")
        .await;
    assert_eq!(mistyped.body["like"], serde_json::json!(["OIL-5W40"]));
    // In other letters or with other blanks it is another SKU, and none that anybody has.
    for (asked, meant) in [
        ("oil-5w40", "OIL-5W40"),
        ("Filter", "FILTER"),
        ("FIL%20TER", "FILTER"),
        ("OIL%20-%205W40", "OIL-5W40"),
    ] {
        let target = format!("/api/v1/explain?product={asked}&location=north");
        let mistyped = scene.get(&target).await.body;
        assert_eq!(mistyped["known"], false, "{asked}");
        assert_eq!(mistyped["like"], serde_json::json!([meant]), "{asked}");
    }
    assert_eq!(low.body["known"], true);
    assert_eq!(low.body["like"], serde_json::json!([]));
    assert_eq!(
        scene
            .get("/api/v1/explain?product=OIL&location=nord")
            .await
            .status,
        422
    );
}

#[tokio::test]
async fn connectors_are_read_when_they_can_be() {
    let scene = Scene::new().await;
    let started = scene.ask("POST", "/api/v1/sync/drop").send().await;
    assert_eq!(
        (started.status, started.body["state"].as_str()),
        (202, Some("queued")),
        "{}",
        started.body
    );
    assert!(!started.body["run"].as_str().unwrap().is_empty());
    let pushed = scene.ask("POST", "/api/v1/sync/erp").send().await;
    assert_eq!(
        (pushed.status, pushed.kind()),
        (409, "urn:lotwire:problem:not_pulled")
    );
    let nobody = scene.ask("POST", "/api/v1/sync/nobody").send().await;
    assert_eq!(nobody.status, 404);
    let detail = nobody.body["detail"].as_str().unwrap();
    assert!(detail.ends_with("read are `drop`"), "{detail}");
    let drop = "drop".parse().unwrap();
    assert!(scene.store.feed(&drop).await.unwrap().is_none());
    let accepts = "/api/v1/sync/drop?accept_columns=true";
    assert_eq!(scene.ask("POST", accepts).send().await.status, 202);
    let feed = scene.store.feed(&drop).await.unwrap().unwrap();
    assert!(feed.data.columns_may_change);
    let replay = |body| scene.ask("POST", "/api/v1/replays").json(&body).send();
    let absent = replay(json!({ "connector": "erp" })).await;
    assert_eq!(
        (absent.status, absent.kind()),
        (501, "urn:lotwire:problem:not_installed")
    );
    let both =
        replay(json!({ "connector": "erp", "id": "a", "from": "2026-01-01T00:00:00Z" })).await;
    assert_eq!(both.status, 422);
    assert_eq!(
        replay(json!({ "connector": "none" })).await.body["errors"][0]["pointer"],
        "/connector"
    );
}

#[tokio::test]
async fn everything_is_looked_at_again_when_asked() {
    let scene = Scene::new().await;
    let asked = scene.ask("POST", "/api/v1/evaluations").send().await;
    assert_eq!(asked.status, 202, "{}", asked.body);
    let id = asked.body["evaluation"].as_str().unwrap();
    let job = scene.store.job(id).await.unwrap().unwrap().data;
    // In all its parts, of every owner, now.
    assert_eq!(
        (job.owners.len(), job.stage, job.cursor, job.not_before),
        (0, Stage::Spread, None, None)
    );

    let misspelt = scene
        .ask("POST", "/api/v1/evaluations?of=drop")
        .send()
        .await;
    assert_eq!(misspelt.status, 422, "{}", misspelt.body);
    let empty = Scene::unconfigured().await;
    let asked = empty.ask("POST", "/api/v1/evaluations").send().await;
    assert_eq!(asked.kind(), "urn:lotwire:problem:not_configured");
}

#[tokio::test]
async fn what_waits_for_a_person_is_settled_once() {
    use shared::domain::watch::Moment;
    use shared::store::Expect;
    use shared::store::inbox::{InboxEntry, InboxState};
    let scene = Scene::new().await;
    let entry = InboxEntry {
        id: "drop-1".to_owned(),
        at: Moment(scene.store.clock().now()),
        connector: "drop".parse().unwrap(),
        file: "stock.csv".to_owned(),
        count: 40,
        held: 50,
        limit: "10 and 10 %".to_owned(),
        examples: vec!["OIL at north".to_owned()],
        set: "abc".to_owned(),
        state: InboxState::Waiting,
        by: None,
        resolved_at: None,
    };
    assert!(
        scene
            .store
            .save_inbox(&entry, Expect::Absent)
            .await
            .unwrap()
    );
    let listed = scene.get("/api/v1/inbox").await;
    assert_eq!(listed.body["items"][0]["removals"], 40);
    let approve = || {
        scene
            .ask("POST", "/api/v1/inbox/drop-1/approve")
            .header("lotwire-actor", "maria")
    };
    let approved = approve().send().await;
    assert_eq!(
        (approved.status, &approved.body["resolved_by"]),
        (200, &json!("maria"))
    );
    let again = scene
        .ask("POST", "/api/v1/inbox/drop-1/reject")
        .send()
        .await;
    assert_eq!(
        (again.status, again.kind()),
        (409, "urn:lotwire:problem:settled_already")
    );
    assert_eq!(
        scene
            .ask("POST", "/api/v1/inbox/none/reject")
            .send()
            .await
            .status,
        404
    );
    assert_eq!(scene.get("/api/v1/inbox").await.body["items"], json!([]));
}

#[tokio::test]
async fn the_sample_invocations_are_answered() {
    let scene = Scene::new().await;
    // A sale needs a count before it.
    let samples = [
        (include_str!("../../../../events/api/count.json"), 201),
        (include_str!("../../../../events/api/sale.json"), 201),
        (include_str!("../../../../events/api/positions.json"), 200),
        (
            include_str!("../../../../events/api/import-dry-run.json"),
            200,
        ),
    ];
    for (event, status) in samples {
        let event = serde_json::from_str(event).unwrap();
        let answer = scene.handle(event).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let position = scene.get("/api/v1/positions?product=OIL-5W40-1L").await;
    assert_eq!(position.body["items"][0]["on_hand"], 34);
}
