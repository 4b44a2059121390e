//! Movements: at most once, never more than there is, all or nothing.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use shared::config::Config;
use shared::domain::event::{Change, Level, Version};
use shared::domain::item::{Dated, ItemStatement};

use crate::scene::{DOCUMENT, Scene};

fn sale(quantity: i64) -> Value {
    json!({ "type": "sale", "product": "OIL", "location": "north", "quantity": quantity })
}

#[tokio::test]
async fn twenty_sales_of_the_last_one_and_one_wins() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 1).await;
    let keys: Vec<_> = (0..20).map(|n| format!("sale-{n}")).collect();
    let answers = join_all(keys.iter().map(|key| scene.moves(key, sale(1)))).await;
    let won = answers.iter().filter(|it| it.status == 201).count();
    assert_eq!(won, 1);
    for lost in answers.iter().filter(|it| it.status != 201) {
        assert_eq!(lost.status, 409, "{}", lost.body);
        assert_eq!(lost.kind(), "urn:lotwire:problem:insufficient_stock");
        assert_eq!(lost.body["available"], 0);
    }
    let ledger = scene.get("/api/v1/ledger?product=OIL&location=north").await;
    assert_eq!(ledger.body["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_ledger_of_a_position_is_found_by_the_name_of_its_location() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 1).await;
    let rows = async |location: &str| {
        let answer = scene
            .get(&format!("/api/v1/ledger?product=OIL&location={location}"))
            .await;
        (answer.status, answer.body)
    };
    for location in ["north", "North", "North%20warehouse"] {
        let (status, body) = rows(location).await;
        let found = body["items"].as_array().map(Vec::len);
        assert_eq!((status, found), (200, Some(1)), "{location}: {body}");
    }
    for location in ["nowhere", "North%20Pole"] {
        let (status, body) = rows(location).await;
        assert_eq!(status, 422, "{location}: {body}");
        assert!(body.to_string().contains("`north` ("), "{body}");
    }
    // What was there stays readable when the place has gone from the configuration.
    let moved = DOCUMENT.replace("north", "nord");
    let moved = Config::check(&moved, "lotwire.toml").unwrap();
    assert!(scene.store.apply_config(&moved, "test").await.unwrap());
    let (status, body) = rows("north").await;
    assert_eq!(
        (status, body["items"].as_array().map(Vec::len)),
        (200, Some(1)),
        "{body}"
    );
}

#[tokio::test]
async fn a_movement_by_a_former_sku_answers_with_the_one_that_the_product_has() {
    let scene = Scene::new().await;
    let began = scene.store.clock().now() - SignedDuration::from_mins(10);
    scene.called("7", "FIRST", began).await;
    let stated = ItemStatement {
        called: None,
        offered_by: None,
        product: "FIRST".parse().unwrap(),
        location: "north".parse().unwrap(),
        item: "item 7".to_owned(),
        level: Some(Dated {
            version: Version::at(began),
            value: Some(Level {
                on_hand: 9,
                ..Level::default()
            }),
        }),
        offered: None,
        named: Some(Version::at(began)),
    };
    scene.applied(began, Change::Item(Box::new(stated))).await;
    scene.stated("SECOND", "south", 1).await;
    let later = began + SignedDuration::from_mins(1);
    scene.called("7", "SECOND", later).await;
    let sale = json!({ "type": "sale", "product": "FIRST", "location": "north", "quantity": 2 });
    for _ in 0..2 {
        let sold = scene.moves("sale", sale.clone()).await;
        assert_eq!(sold.status, 201, "{}", sold.body);
        let position = &sold.body["position"];
        assert_eq!(position["product"], "SECOND", "{}", sold.body);
        assert_eq!(
            (&position["location"], &position["on_hand"]),
            (&json!("north"), &json!(7))
        );
    }
    let transfer = json!({ "type": "transfer", "product": "FIRST", "location": "north",
        "to_location": "south", "quantity": 3 });
    let moved = scene.moves("transfer", transfer).await.body;
    let ends = ["position", "to_position"].map(|end| &moved[end]);
    assert_eq!(ends.map(|it| &it["product"]), ["SECOND"; 2], "{moved}");
    assert_eq!(ends.map(|it| &it["on_hand"]), [4; 2], "{moved}");
}

#[tokio::test]
async fn a_place_goes_by_its_name_as_well_as_by_its_id() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 10).await;
    for (key, location) in [("one", "north"), ("two", "North warehouse")] {
        let sale = json!({ "type": "sale", "product": "OIL", "location": location, "quantity": 1 });
        let sold = scene.moves(key, sale).await;
        assert_eq!(sold.status, 201, "{location}: {}", sold.body);
        assert_eq!(sold.body["position"]["location"], "north");
    }
    let transfer = json!({ "type": "transfer", "product": "OIL", "location": "north",
        "to_location": "North Warehouse", "quantity": 1 });
    let refused = scene.moves("three", transfer).await;
    let why = refused.body.to_string();
    assert!(why.contains("is where the units are already"), "{why}");
    let nowhere =
        json!({ "type": "sale", "product": "OIL", "location": "North Pole", "quantity": 1 });
    let refused = scene.moves("four", nowhere).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.body["errors"][0]["pointer"], "/location");
    assert!(refused.body.to_string().contains("`north` ("));
}

#[tokio::test]
async fn twenty_copies_of_one_request_have_one_effect_and_one_answer() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 10).await;
    let answers = join_all((0..20).map(|_| scene.moves("the-same", sale(1)))).await;
    assert!(answers.iter().all(|it| it.status == 201));
    assert!(answers.iter().all(|it| it.body == answers[0].body));
    assert_eq!(answers[0].body["position"]["on_hand"], 9);
    let first = answers
        .iter()
        .filter(|it| it.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1);
    let position = scene.get("/api/v1/positions?product=OIL").await;
    assert_eq!(position.body["items"][0]["on_hand"], 9);
}

#[tokio::test]
async fn the_same_answer_comes_again_even_after_the_stock_has_moved_on() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 3).await;
    let first = scene.moves("first", sale(2)).await;
    assert_eq!(scene.moves("second", sale(1)).await.status, 201);
    let again = scene.moves("first", sale(2)).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (201, Some("true"))
    );
    assert_eq!(again.body, first.body);
    assert_eq!(again.body["position"]["on_hand"], 1);
}

#[tokio::test]
async fn a_key_that_comes_with_something_else_is_refused() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 10).await;
    assert_eq!(scene.moves("key", sale(1)).await.status, 201);
    for other in [
        sale(2),
        json!({ "type": "receipt", "product": "OIL", "location": "north", "quantity": 1 }),
    ] {
        let refused = scene.moves("key", other).await;
        assert_eq!(refused.status, 422);
        assert_eq!(refused.kind(), "urn:lotwire:problem:idempotency_key_reused");
    }
}

#[tokio::test]
async fn a_transfer_moves_both_ends_or_neither() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 5).await;
    scene.stated("OIL", "south", 1).await;
    let transfer = |quantity: i64| json!({ "type": "transfer", "product": "OIL", "location": "north", "to_location": "south", "quantity": quantity });
    let moved = scene.moves("a", transfer(2)).await;
    assert_eq!(moved.status, 201);
    assert_eq!(moved.body["position"]["on_hand"], 3);
    assert_eq!(moved.body["to_position"]["on_hand"], 3);

    // Ten at once in both directions, each of more than half of what is there.
    let keys: Vec<_> = (0..10).map(|n| format!("t-{n}")).collect();
    let answers = join_all(keys.iter().enumerate().map(|(n, key)| {
        let (from, to) = if n % 2 == 0 { ("north", "south") } else { ("south", "north") };
        scene.moves(key, json!({ "type": "transfer", "product": "OIL", "location": from, "to_location": to, "quantity": 2 }))
    }))
    .await;
    assert!(
        answers
            .iter()
            .all(|it| it.status == 201 || it.status == 409)
    );
    let all = scene.get("/api/v1/positions?product=OIL").await;
    let sum: i64 = all.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["on_hand"].as_i64().unwrap())
        .sum();
    assert_eq!(sum, 6);

    // Nothing leaves where the other end cannot take it.
    scene.stated("MAT", "north", 5).await;
    let body = json!({ "type": "transfer", "product": "MAT", "location": "north", "to_location": "south", "quantity": 1 });
    let refused = scene.moves("b", body.clone()).await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:quantity_unknown");
    assert_eq!(refused.body["location"], "south", "{}", refused.body);
    let mut back = body.clone();
    (back["location"], back["to_location"]) = (json!("south"), json!("north"));
    let refused = scene.moves("c", back).await;
    assert_eq!(refused.body["location"], "south", "{}", refused.body);
    let mut more = body;
    (more["product"], more["quantity"]) = (json!("OIL"), json!(100));
    let refused = scene.moves("d", more).await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:insufficient_stock");
    assert_eq!(refused.body["location"], "north", "{}", refused.body);
    let north = scene
        .get("/api/v1/positions?product=MAT&location=north")
        .await;
    assert_eq!(north.body["items"][0]["on_hand"], 5);
}

/// A count of a mistyped SKU would make a product that there is not.
#[tokio::test]
async fn a_mistyped_product_is_answered_with_what_may_be_meant() {
    let scene = Scene::new().await;
    scene.stated("OIL-5W30", "north", 5).await;
    let sale = |product: &str| json!({ "type": "sale", "product": product, "location": "north", "quantity": 1 });
    let refused = scene.moves("a", sale("OIL-5W3O")).await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:quantity_unknown");
    let words = refused.body["detail"].as_str().unwrap();
    assert!(words.contains("is `OIL-5W30` meant?"), "{words}");
    let refused = scene.moves("b", sale("XX")).await;
    let words = refused.body["detail"].as_str().unwrap();
    assert!(
        words.contains("nothing is known of `XX` (only if"),
        "{words}"
    );
}

/// An empty list would say that nothing lies there.
#[tokio::test]
async fn positions_of_a_place_that_is_not_configured_are_no_empty_list() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 5).await;
    for query in ["location=Berlin", "product=OIL&location=Berlin"] {
        let answer = scene.get(&format!("/api/v1/positions?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert!(
            answer.body.to_string().contains("`Berlin` is not in"),
            "{}",
            answer.body
        );
    }
    let answer = scene.get("/api/v1/positions?location=north").await;
    assert_eq!(answer.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_type_does_what_its_name_says() {
    let scene = Scene::new().await;
    let at_north = |kind: &str, field: &str, quantity: i64| {
        let mut body = json!({ "type": kind, "product": "PAD", "location": "north", "actor": "maria", "reason": "spring" });
        body[field] = quantity.into();
        body
    };
    let steps = [
        ("count", "quantity", 10, [10, 0, 10]),
        ("receipt", "quantity", 5, [15, 0, 15]),
        ("return", "quantity", 1, [16, 0, 16]),
        ("adjustment", "delta", -2, [14, 0, 14]),
        ("reserve", "quantity", 4, [14, 4, 10]),
        ("sale", "quantity", 10, [4, 4, 0]),
        ("release", "quantity", 1, [4, 3, 1]),
        ("count", "quantity", 7, [7, 3, 4]),
    ];
    for (number, (kind, field, quantity, [on_hand, reserved, available])) in (1..).zip(steps) {
        let answer = scene
            .moves(&format!("step-{number}"), at_north(kind, field, quantity))
            .await;
        assert_eq!(answer.status, 201, "{kind}: {}", answer.body);
        let position = &answer.body["position"];
        assert_eq!(position["on_hand"], on_hand, "{kind}");
        assert_eq!(position["reserved"], reserved, "{kind}");
        assert_eq!(position["available"], available, "{kind}");
        assert_eq!(position["revision"], number, "{kind}");
    }
    let ledger = scene.get("/api/v1/ledger?product=PAD&location=north").await;
    let rows = ledger.body["items"].as_array().unwrap();
    let changes: Vec<_> = rows
        .iter()
        .map(|row| row["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, steps.map(|(kind, ..)| kind));
    assert!(
        rows.iter()
            .all(|row| row["actor"] == "maria" && row["reason"] == "spring")
    );

    let refused = scene
        .moves("more", at_north("release", "quantity", 4))
        .await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:not_reserved");
    let refused = scene
        .moves("most", at_north("reserve", "quantity", 5))
        .await;
    assert_eq!(
        (
            refused.body["asked"].as_i64(),
            refused.body["available"].as_i64()
        ),
        (Some(5), Some(4))
    );
    let refused = scene
        .moves("less", at_north("adjustment", "delta", -5))
        .await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:insufficient_stock");
}

#[tokio::test]
async fn a_count_corrects_what_another_source_stated() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 8).await;
    let count = json!({ "type": "count", "product": "OIL", "location": "north", "quantity": 6 });
    let counted = scene.moves("count", count.clone()).await;
    assert_eq!(counted.body["position"]["on_hand"], 6);
    // Counting the same again changes no number. It is a statement of a later time all the same.
    let again = scene.moves("recount", count).await;
    assert_eq!(
        (again.status, &again.body["position"]["on_hand"]),
        (201, &json!(6))
    );
    scene.sold_ago("OIL", "north", 2, 30).await;
    assert_eq!(on_hand(&scene, "OIL").await, 6);
    // One from before the owner's statement is in that, and is answered with what stands.
    scene.stated_ago("GAS", "north", 8, 60).await;
    let old = json!({ "type": "count", "product": "GAS", "location": "north", "quantity": 6,
        "at": seconds_ago(&scene, 90) });
    let old = scene.moves("old", old).await;
    assert_eq!(
        (old.status, &old.body["position"]["on_hand"]),
        (201, &json!(8))
    );
}

async fn on_hand(scene: &Scene, product: &str) -> i64 {
    let target = format!("/api/v1/positions?product={product}");
    let position = scene.get(&target).await;
    position.body["items"][0]["on_hand"].as_i64().unwrap()
}

fn seconds_ago(scene: &Scene, seconds: i64) -> String {
    (scene.store.clock().now() - jiff::SignedDuration::from_secs(seconds)).to_string()
}

#[tokio::test]
async fn a_count_is_the_same_number_in_whatever_order_its_surroundings_are_heard_of() {
    let scene = Scene::new().await;
    let steps = ["level", "sold before", "count", "sold after"];
    let mut orders: Vec<Vec<&str>> = vec![vec![]];
    for _ in steps {
        let longer = orders.iter().flat_map(|order| {
            let left = steps.iter().filter(|step| !order.contains(*step));
            left.map(|step| [&order[..], &[*step]].concat())
        });
        orders = longer.collect();
    }
    assert_eq!(orders.len(), 24);
    for (number, order) in orders.iter().enumerate() {
        let product = format!("OIL-{number}");
        for step in order {
            match *step {
                "level" => scene.stated_ago(&product, "north", 10, 3_600).await,
                "sold before" => scene.sold_ago(&product, "north", 2, 90).await,
                "sold after" => scene.sold_ago(&product, "north", 1, 30).await,
                _ => {
                    let count = json!({ "type": "count", "product": product, "location": "north",
                        "quantity": 7, "at": seconds_ago(&scene, 60) });
                    let counted = scene.moves(&product, count).await;
                    assert_eq!(counted.status, 201, "{}", counted.body);
                }
            }
        }
        assert_eq!(on_hand(&scene, &product).await, 6, "{order:?}");
        scene.stated_ago(&product, "north", 9, 1_800).await;
        assert_eq!(on_hand(&scene, &product).await, 6, "{order:?}");
        scene.stated_ago(&product, "north", 9, 10).await;
        assert_eq!(on_hand(&scene, &product).await, 9, "{order:?}");
    }
}

#[tokio::test]
async fn a_sale_takes_stock_away_though_the_source_s_clock_is_ahead_of_ours() {
    let scene = Scene::new().await;
    let body = json!({ "type": "count", "product": "OIL", "location": "north", "quantity": 2,
        "at": (scene.store.clock().now() + jiff::SignedDuration::from_secs(240)).to_string() });
    assert_eq!(scene.moves("ahead", body).await.status, 201);
    assert_eq!(
        scene.moves("one", sale(1)).await.body["position"]["on_hand"],
        1
    );
    assert_eq!(
        scene.moves("two", sale(1)).await.body["position"]["on_hand"],
        0
    );
    assert_eq!(scene.moves("three", sale(1)).await.status, 409);
}

/// A person who counts after a sale has counted what is left, whatever the till's clock says.
#[tokio::test]
async fn a_count_is_what_was_counted_though_a_till_s_clock_is_ahead_of_ours() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 12).await;
    scene.sold_ago("OIL", "north", 2, -180).await;
    let count = json!({ "type": "count", "product": "OIL", "location": "north", "quantity": 10 });
    let counted = scene.moves("count", count).await;
    assert_eq!(counted.body["position"]["on_hand"], 10);
    assert_eq!(on_hand(&scene, "OIL").await, 10);
}

#[tokio::test]
async fn vehicles_are_not_moved_as_numbers() {
    let scene = Scene::new().await;
    scene.vehicle("erp", "SJAAX14V4RC004321", "london").await;
    let body = json!({ "type": "sale", "product": "line:bentley/bentayga", "location": "london", "quantity": 1 });
    let refused = scene.moves("car", body).await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:counted_from_vehicles");
}

#[tokio::test]
async fn five_counted_where_two_are_owed_are_five() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", -2).await;
    let count = |quantity: i64| json!({ "type": "count", "product": "OIL", "location": "north", "quantity": quantity });
    let counted = scene.moves("count", count(5)).await;
    assert_eq!(counted.status, 201, "{}", counted.body);
    assert_eq!(counted.body["position"]["on_hand"], 5);
    assert_eq!(counted.body["position"]["backordered"], 0);
    // Zero counted where something is owed is news, too.
    scene.stated("GAS", "north", -2).await;
    let body = json!({ "type": "count", "product": "GAS", "location": "north", "quantity": 0 });
    let counted = scene.moves("zero", body).await;
    assert_eq!(
        counted.body["position"]["backordered"], 0,
        "{}",
        counted.body
    );
}

#[tokio::test]
async fn a_model_line_is_not_counted_by_hand_before_or_after_its_vehicles_are_known() {
    let scene = Scene::new().await;
    let body = |kind: &str| json!({ "type": kind, "product": "line:bentley/continental-gt", "location": "london", "quantity": 0 });
    let refused = scene.moves("count", body("count")).await;
    assert_eq!(
        (refused.status, refused.kind()),
        (409, "urn:lotwire:problem:counted_from_vehicles")
    );
    let words = refused.body["detail"].as_str().unwrap();
    assert!(words.contains("report the vehicles"), "{words}");
    let file = "product,location,on_hand\nline:bentley/continental-gt,london,0\n";
    let imported = scene
        .ask("POST", "/api/v1/imports?name=rows.csv")
        .header("idempotency-key", "import")
        .body("text/csv", file)
        .send()
        .await;
    assert_eq!(imported.body["counts"]["rejected"], 1, "{}", imported.body);
    let positions = scene.get("/api/v1/positions").await;
    assert_eq!(positions.body["items"], json!([]));
}

#[tokio::test]
async fn a_barcode_in_place_of_a_quantity_is_refused_and_changes_nothing() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 3).await;
    for (key, kind) in [("a", "receipt"), ("b", "count"), ("c", "return")] {
        let body = json!({ "type": kind, "product": "OIL", "location": "north", "quantity": 4_006_381_333_931_i64 / 1_000 });
        let refused = scene.moves(key, body).await;
        assert_eq!(refused.status, 422, "{kind}: {}", refused.body);
        assert!(
            refused.body.to_string().contains("most_quantity_jump"),
            "{}",
            refused.body
        );
    }
    let position = scene.get("/api/v1/positions?product=OIL").await;
    assert_eq!(position.body["items"][0]["on_hand"], 3);
}

#[tokio::test]
async fn a_person_may_book_as_many_units_at_once_as_the_account_says() {
    let scene = Scene::new().await;
    let text = format!("{DOCUMENT}\n[guards]\nmost_quantity_jump = 1000\n");
    let config = Config::check(&text, "lotwire.toml").unwrap();
    assert!(scene.store.apply_config(&config, "test").await.unwrap());
    scene.stated("OIL", "north", 3).await;
    let book = async |kind: &str, quantity: i64| {
        let body =
            json!({ "type": kind, "product": "OIL", "location": "north", "quantity": quantity });
        scene.moves(&format!("{kind}-{quantity}"), body).await
    };
    // A count is as far as it is from what is there.
    for (kind, most, then) in [
        ("receipt", 1_000, 1_003),
        ("return", 1_000, 2_003),
        ("count", 3_003, 3_003),
    ] {
        let refused = book(kind, most + 1).await;
        assert_eq!(refused.status, 422, "{kind}: {}", refused.body);
        let words = refused.body.to_string();
        assert!(words.contains("1001 units at once"), "{words}");
        assert!(
            words.contains("at most 1000: most_quantity_jump in [guards]"),
            "{words}"
        );
        let booked = book(kind, most).await;
        assert_eq!(booked.status, 201, "{kind}: {}", booked.body);
        assert_eq!(booked.body["position"]["on_hand"], then, "{kind}");
    }
}

#[tokio::test]
async fn a_whole_number_of_units_may_be_written_with_a_fraction_of_nothing() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 10).await;
    let sale = |quantity: serde_json::Value| json!({ "type": "sale", "product": "OIL", "location": "north", "quantity": quantity });
    let sold = scene.moves("one", sale(json!(2.0))).await;
    assert_eq!(
        (sold.status, &sold.body["position"]["on_hand"]),
        (201, &json!(8)),
        "{}",
        sold.body
    );
    for (key, quantity, shown) in [
        ("two", json!(2.5), "`2.5` is not a whole number"),
        ("three", json!(1e300), "`1e+300` is not a whole number"),
        ("four", json!("2."), "`2.` is not a whole number"),
        ("five", json!(true), "`true` is not a whole number"),
    ] {
        let refused = scene.moves(key, sale(quantity)).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert_eq!(refused.body["errors"][0]["detail"], shown);
    }
}

/// Who gives up a promise can do so whether or not anybody says how much there is.
#[tokio::test]
async fn what_was_promised_is_given_back_although_the_stock_is_stated_no_longer() {
    let scene = Scene::new().await;
    let asks = |kind: &str, quantity: i64| json!({ "type": kind, "product": "OIL", "location": "north", "quantity": quantity });
    scene.stated("OIL", "north", 5).await;
    assert_eq!(scene.moves("promise", asks("reserve", 3)).await.status, 201);
    scene.ended("OIL", "north").await;
    let back = scene.moves("back", asks("release", 2)).await;
    assert_eq!(
        (back.status, &back.body["position"]["reserved"]),
        (201, &json!(1)),
        "{}",
        back.body
    );
    assert_eq!(back.body["position"]["available"], Value::Null);
    let shown = scene
        .get("/api/v1/positions?product=OIL&location=north")
        .await;
    let shown = &shown.body["items"][0];
    assert_eq!(
        (&shown["on_hand"], &shown["reserved"]),
        (&Value::Null, &json!(1)),
        "a promise is there to be seen"
    );
    let again = scene.moves("back", asks("release", 2)).await;
    assert_eq!((again.status, &again.body), (201, &back.body));
    let more = scene.moves("more", asks("release", 2)).await;
    assert_eq!(
        (more.status, more.kind()),
        (409, "urn:lotwire:problem:not_reserved")
    );
    // What is left of the promise holds when there is stock again.
    scene.stated_ago("OIL", "north", 5, 0).await;
    let rest = scene.moves("rest", asks("release", 1)).await;
    assert_eq!(rest.body["position"]["available"], 5, "{}", rest.body);
    // Of what was never known, nothing was promised.
    let mut nothing = asks("release", 1);
    nothing["product"] = json!("GAS");
    let refused = scene.moves("nothing", nothing).await;
    assert_eq!(refused.kind(), "urn:lotwire:problem:quantity_unknown");
}
