//! What a shop may send, with the odd cases that real shops have.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::connectors::bench::*;
use crate::connectors::{Connector, ConnectorKind, External, KnownNames, ParseError, Parsed};
use crate::domain::LocationId;
use crate::domain::event::Change;
use crate::domain::order::KnownLine;

const VECTORS: &str = include_str!("../../../../tests/fixtures/shopify/signature.json");

fn level() -> Sample {
    sample("shopify/inventory_levels_update.json")
}

fn order() -> Sample {
    sample("shopify/orders_create.json")
}

fn shop(changes: Value) -> Connector {
    connector_with(ConnectorKind::Shopify, changes)
}

/// The body delivered under other headers than a genuine shop's.
fn with_header(sample: &Sample, header: &'static str, value: Option<&str>) -> (u16, String) {
    let connector = receiver(sample);
    let push = connector.push.as_ref().unwrap();
    let mut headers = signed(sample, secrets(sample.kind)[0], now());
    match value {
        Some(value) => drop(headers.insert(header, value.parse().unwrap())),
        None => drop(headers.remove(header)),
    }
    let delivery = delivery(&headers, &sample.body, now());
    match push.parse(&push.verify(&delivery).unwrap(), &names()) {
        Ok(parsed) => (200, parsed.ignored.join(", ")),
        Err(refused) => (refused.status(), refused.to_string()),
    }
}

#[test]
fn the_vector_verifies_and_one_flipped_bit_does_not() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let vector = &vectors[0];
    let secrets = texts(&[vector["secret"].as_str().unwrap()]);
    let settings = settings(ConnectorKind::Shopify);
    let connector = Connector::build("shop".parse().unwrap(), &settings, &secrets).unwrap();
    let mut headers = HeaderMap::new();
    let value = vector["value"].as_str().unwrap();
    headers.insert("x-shopify-hmac-sha256", value.parse().unwrap());
    let mut body = vector["body"].as_str().unwrap().as_bytes().to_vec();
    assert_eq!(verify(&connector, &headers, &body, now()), Ok(0));
    for index in 0..body.len() {
        body[index] ^= 1;
        assert!(verify(&connector, &headers, &body, now()).is_err());
        body[index] ^= 1;
    }
}

#[test]
fn the_topics() {
    insta::assert_json_snapshot!("inventory_level", deliver(&level()).unwrap());
    insta::assert_json_snapshot!("order", deliver(&order()).unwrap());
    let product = sample("shopify/products_update.json");
    insta::assert_json_snapshot!("product", deliver(&product).unwrap());
    let created = Sample {
        topic: "products/create",
        ..product.clone()
    };
    assert_eq!(deliver(&created).unwrap(), deliver(&product).unwrap());
}

#[test]
fn a_value_that_cannot_be_used_is_shown_unless_it_may_be_a_secret() {
    let said = |field: &str, value: Value| {
        let parsed = deliver(&level().edit(field, value)).unwrap();
        let rejected = &parsed.quarantine[0];
        assert_eq!(rejected.problem.reason.name(), "invalid_value");
        rejected.problem.sentence.clone()
    };
    let seven = said("/available", json!("7 pcs"));
    assert_eq!(seven, "is not a plain number: `7 pcs`");
    let half = said("/available", json!(7.5));
    assert_eq!(half, "is not a whole number: `7.5`");
    let day = level().edit("/updated_at", json!("2026-13-45T25:00:00Z"));
    let day = deliver(&day).unwrap_err().to_string();
    assert!(day.ends_with(": `2026-13-45T25:00:00Z`"), "{day}");
    for secret in [
        "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",
        "hV9dQ2xLmT0pRs7KcWfYbN3u",
    ] {
        let hidden = said("/available", json!(secret));
        assert_eq!(hidden, "is not a plain number");
    }
}

#[test]
fn a_level_that_is_not_stated_is_quarantined() {
    let mut without = level().json();
    without.as_object_mut().unwrap().remove("available");
    let parsed = deliver(&level().with(&without)).unwrap();
    assert_eq!(parsed.events, []);
    assert_eq!(reasons(&parsed), [("missing_quantity", "/available")]);
}

#[test]
fn the_level_of_an_item_that_is_not_tracked_ends() {
    let parsed = deliver(&level().edit("/available", json!(null))).unwrap();
    assert_eq!(parsed.quarantine, []);
    let Change::Item(said) = &parsed.events[0].change else {
        panic!("{:?}", parsed.events)
    };
    assert_eq!(said.level.as_ref().map(|level| &level.value), Some(&None));
}

#[test]
fn a_stated_zero_is_a_zero_and_an_oversold_level_is_negative() {
    for (available, expected) in [(json!(0), 0), (json!("0"), 0), (json!(-3), -3)] {
        let parsed = deliver(&level().edit("/available", available)).unwrap();
        assert_eq!(stated(&parsed), Some(expected));
    }
}

/// It is net of both: another system's promises are not taken off once more.
#[test]
fn beside_what_is_available_none_is_reserved_or_unavailable() {
    let parsed = deliver(&level()).unwrap();
    let Change::Item(said) = &parsed.events[0].change else {
        panic!("{:?}", parsed.events)
    };
    let level = said
        .level
        .as_ref()
        .and_then(|it| it.value.as_ref())
        .unwrap();
    assert_eq!((level.reserved, level.unavailable), (Some(0), Some(0)));
    assert_eq!(level.incoming, None);
}

#[test]
fn two_levels_of_one_second_are_two_events() {
    let one = deliver(&level()).unwrap();
    let other = deliver(&level().edit("/available", json!(6))).unwrap();
    assert_ne!(one.events[0].id, other.events[0].id);
}

#[test]
fn ids_may_be_numbers_or_texts() {
    let sample = level()
        .edit("/inventory_item_id", json!("30322695"))
        .edit("/location_id", json!("346779380"));
    assert_eq!(deliver(&sample).unwrap(), deliver(&level()).unwrap());
}

#[test]
fn an_unknown_item_or_place_is_quarantined_and_asked_for() {
    let place = deliver(&level().edit("/location_id", json!(1))).unwrap();
    assert_eq!(
        (place.events.len(), reasons(&place)),
        (0, vec![("unknown_location", "/location_id")])
    );
    let item = deliver(&level().edit("/inventory_item_id", json!(1))).unwrap();
    let expected = vec![("unknown_product", "/inventory_item_id")];
    assert_eq!((item.events.len(), reasons(&item)), (0, expected));
    assert_eq!(item.quarantine[0].excerpt["available"], json!(7));
}

#[test]
fn what_has_to_be_looked_up_is_listed_once() {
    let wanted = |sample: &Sample| {
        let connector = receiver(sample);
        let push = connector.push.as_ref().unwrap();
        let headers = signed(sample, secrets(sample.kind)[0], now());
        let delivery = delivery(&headers, &sample.body, now());
        push.wanted(&push.verify(&delivery).unwrap()).unwrap()
    };
    let external = |kind, id: &str| External {
        kind,
        id: id.to_owned(),
    };
    assert_eq!(wanted(&level()), [external("inventory_item", "30322695")]);
    // Two lines of one variant, with a SKU or without: one name.
    let mut body = order().json();
    let line = body["line_items"][2].clone();
    body["line_items"].as_array_mut().unwrap().push(line);
    assert_eq!(
        wanted(&order().with(&body)),
        ["39072856", "49148385", "808950810"].map(|id| external("variant", id))
    );
    assert_eq!(wanted(&sample("shopify/products_update.json")), []);
}

/// The level of the first event.
fn stated(parsed: &Parsed) -> Option<i64> {
    let Change::Item(said) = &parsed.events[0].change else {
        panic!("not a level")
    };
    let level = said.level.as_ref().unwrap().value.as_ref();
    level.map(|level| level.on_hand)
}

fn lines(parsed: &Parsed) -> Vec<&KnownLine> {
    let lines = parsed.events.iter().map(|event| match &event.change {
        Change::OrderLine(line) => &line.known,
        other => panic!("not a line: {other:?}"),
    });
    lines.collect()
}

/// What lines sell: units still ordered, and where.
fn sold(parsed: &Parsed) -> Vec<(&str, i64, &str, bool)> {
    let sold = lines(parsed).into_iter().map(|line| {
        let placed = line.placed.as_ref().unwrap();
        let location = placed.location.as_ref().unwrap().as_str();
        (
            line.product.as_str(),
            placed.ordered.current,
            location,
            line.deducts,
        )
    });
    sold.collect()
}

#[test]
fn an_order_deducts_only_where_it_is_the_only_word_we_get() {
    let deduct = shop(json!({"orders": "deduct", "default_location": "south"}));
    let parsed = deliver_to(&deduct, &order(), now()).unwrap();
    let expected = [
        ("OIL-5W40", 2, "south", true),
        ("OIL-5W40", 1, "south", true),
        ("CHG-11KW", 1, "south", true),
    ];
    assert_eq!(sold(&parsed), expected);
    assert!(
        sold(&deliver(&order()).unwrap())
            .iter()
            .all(|(.., deducts)| !deducts)
    );
}

#[test]
fn an_order_counts_where_the_line_says_then_the_order_then_the_default() {
    let placed = order().edit("/location_id", json!(346779380));
    let parsed = deliver(&placed).unwrap();
    assert!(
        sold(&parsed)
            .iter()
            .all(|(_, _, location, _)| *location == "london")
    );
    let mut body = placed.json();
    body["line_items"][0]["location_id"] = json!("346779381");
    body["line_items"][1]["location_id"] = json!(346779382);
    let parsed = deliver(&order().with(&body)).unwrap();
    let places: Vec<_> = lines(&parsed).into_iter().map(place).collect();
    // What has no name is told by whoever does not know the line yet.
    let expected = [
        (Some("south"), "346779381"),
        (None, "346779382"),
        (Some("london"), "346779380"),
    ];
    assert_eq!(places, expected);
    assert_eq!(reasons(&parsed), []);
    let homeless = deliver_to(&shop(json!({"default_location": null})), &order(), now()).unwrap();
    let places: Vec<_> = lines(&homeless).into_iter().map(place).collect();
    assert_eq!(places, [(None, "(default)"); 3]);
}

fn place(line: &KnownLine) -> (Option<&str>, &str) {
    let placed = line.placed.as_ref().unwrap();
    let location = placed.location.as_ref().map(LocationId::as_str);
    (location, placed.called.as_deref().unwrap())
}

#[test]
fn a_test_order_is_no_demand() {
    let parsed = deliver(&order().edit("/test", json!(true))).unwrap();
    assert_eq!((parsed.events.len(), parsed.quarantine.len()), (0, 0));
    assert_eq!(parsed.ignored.len(), 1);
}

#[test]
fn a_cancelled_order_says_what_came_back_and_where() {
    let cancelled = deliver(&sample("shopify/orders_cancelled.json")).unwrap();
    let found: Vec<_> = lines(&cancelled)
        .into_iter()
        .map(|line| {
            let placed = line.placed.as_ref().unwrap();
            let (_, refund) = line.refunds.first_key_value().unwrap();
            let back_to = refund.back_to.as_ref().map(LocationId::as_str);
            (
                placed.cancelled,
                placed.ordered.current,
                refund.quantity,
                back_to,
            )
        })
        .collect();
    let expected = [
        (true, 0, 2, Some("london")),
        (true, 0, 1, Some("north")),
        (true, 0, 1, None),
    ];
    assert_eq!(found, expected);
    // The refund by itself says the same of its line.
    let refund = deliver(&sample("shopify/refunds_create.json")).unwrap();
    let by_itself = lines(&refund)[0];
    assert_eq!(by_itself.placed, None);
    assert_eq!(by_itself.refunds, lines(&cancelled)[0].refunds);
}

#[test]
fn a_refund_that_puts_nothing_back_needs_no_place() {
    let lost = sample("shopify/refunds_create.json")
        .edit("/refund_line_items/0/restock_type", json!("no_restock"))
        .edit("/refund_line_items/0/location_id", json!(null));
    let homeless = shop(json!({"default_location": null}));
    let parsed = deliver_to(&homeless, &lost, now()).unwrap();
    assert_eq!(reasons(&parsed), []);
    let (_, refund) = lines(&parsed)[0].refunds.first_key_value().unwrap();
    assert_eq!((refund.quantity, &refund.back_to), (2, &None));
    assert!(!refund.in_place);
    // What is back on the shelf is where the line was taken from, which its order says.
    let back = lost.edit("/refund_line_items/0/restock_type", json!("return"));
    let parsed = deliver_to(&homeless, &back, now()).unwrap();
    assert_eq!(reasons(&parsed), []);
    let (_, refund) = lines(&parsed)[0].refunds.first_key_value().unwrap();
    assert_eq!((refund.in_place, &refund.back_to), (true, &None));
}

#[test]
fn an_order_counts_when_it_was_placed_and_not_when_it_was_imported() {
    let imported = order().edit("/processed_at", json!("2024-03-01T12:00:00+00:00"));
    let parsed = deliver(&imported).unwrap();
    let placed = lines(&parsed)[0].placed.as_ref().unwrap();
    assert_eq!(placed.at.to_string(), "2024-03-01T12:00:00Z");
    assert_eq!(placed.version.at.to_string(), "2026-11-22T09:16:03Z");
}

#[test]
fn a_way_to_restock_that_nobody_knows_is_quarantined() {
    let refund = sample("shopify/refunds_create.json");
    let parsed =
        deliver(&refund.edit("/refund_line_items/0/restock_type", json!("burnt"))).unwrap();
    let pointer = "/refund_line_items/0/restock_type";
    assert_eq!(reasons(&parsed), [("unknown_type", pointer)]);
}

#[test]
fn what_waits_for_a_name_says_for_which() {
    let awaited = |sample: &Sample| {
        let parsed = deliver(sample).unwrap();
        let awaited = parsed.quarantine[0].problem.awaits.clone().unwrap();
        (awaited.kind, awaited.name)
    };
    let name = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let item = level().edit("/inventory_item_id", json!(1));
    assert_eq!(awaited(&item), name("inventory_item", "1"));
    let place = level().edit("/location_id", json!(1));
    assert_eq!(awaited(&place), name("location", "1"));
    let variant = order().edit("/line_items/2/variant_id", json!(5));
    assert_eq!(awaited(&variant), name("variant", "5"));
}

fn topic(topic: &'static str, body: &[u8]) -> Result<Parsed, ParseError> {
    let sample = Sample {
        topic,
        ..level().with_bytes(body)
    };
    deliver(&sample)
}

macro_rules! body {
    ($file:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/shopify/", $file))
    };
}

#[test]
fn an_end_is_dated_by_the_shop_and_no_further_ahead_than_its_other_times() {
    let body = body!("inventory_levels_disconnect.json");
    let disconnect = "inventory_levels/disconnect";
    let ended = topic(disconnect, body).unwrap();
    assert_eq!((stated(&ended), ended.events[0].at), (None, now()));
    let sample = Sample {
        topic: disconnect,
        ..level().with_bytes(*body)
    };
    for (said, expected) in [
        (
            "2026-11-22T14:00:00.123456789Z",
            "2026-11-22T14:00:00.123456789Z",
        ),
        ("2026-11-22T14:18:00Z", "2026-11-22T14:18:00Z"),
        ("2026-11-23T14:00:00Z", "2026-11-22T14:21:00Z"),
        ("yesterday", NOW),
    ] {
        let mut headers = signed(&sample, secrets(sample.kind)[0], now());
        headers.insert("x-shopify-triggered-at", said.parse().unwrap());
        let delivery = delivery(&headers, &sample.body, now());
        let connector = receiver(&sample);
        let push = connector.push.as_ref().unwrap();
        let proven = push.verify(&delivery).unwrap();
        let parsed = push.parse(&proven, &names()).unwrap();
        assert_eq!(parsed.events[0].at, expected.parse().unwrap(), "{said}");
    }
}

#[test]
fn what_is_deleted_is_offered_no_longer() {
    let offer = |parsed: &Parsed| match &parsed.events[0].change {
        Change::Offered(offer) => offer.clone(),
        other => panic!("not an offer: {other:?}"),
    };
    let product = offer(&topic("products/delete", body!("products_delete.json")).unwrap());
    assert_eq!(product.product.as_deref(), Some("632910392"));
    assert_eq!((product.complete, product.offered), (true, Some(false)));
    let item = offer(
        &topic(
            "inventory_items/delete",
            body!("inventory_items_delete.json"),
        )
        .unwrap(),
    );
    assert_eq!(item.names, ["30322695"]);
    assert_eq!(item.offered, Some(false));
}

/// The topic is not signed: what says more than ids is no end, under whichever topic it is sent again.
#[test]
fn a_replayed_body_ends_nothing() {
    let level = level().body;
    assert_eq!(
        topic("inventory_levels/disconnect", &level)
            .unwrap_err()
            .status(),
        422
    );
    let product = sample("shopify/products_update.json").body;
    assert_eq!(
        topic("products/delete", &product).unwrap_err().status(),
        422
    );
    let item = sample("shopify/inventory_items_update.json").body;
    assert_eq!(
        topic("inventory_items/delete", &item).unwrap_err().status(),
        422
    );
}

#[test]
fn a_product_says_which_of_its_items_are_offered() {
    for (status, offered) in [
        (json!("active"), Some(true)),
        (json!("unlisted"), Some(true)),
        (json!("archived"), Some(false)),
        (json!("draft"), Some(false)),
        (json!("else"), None),
        (json!(null), None),
    ] {
        let product = sample("shopify/products_update.json").edit("/status", status);
        let parsed = deliver(&product).unwrap();
        let Change::Offered(offer) = &parsed.events.last().unwrap().change else {
            panic!("not an offer")
        };
        // The third variant has no SKU, so its item stands for none.
        assert_eq!(offer.names, ["30322695", "30322696"]);
        assert_eq!((offer.complete, offer.offered), (true, offered));
    }
}

#[test]
fn a_variant_that_nobody_has_described_is_quarantined_and_the_rest_proceeds() {
    let parsed = deliver(&order().edit("/line_items/2/variant_id", json!(5))).unwrap();
    assert_eq!(parsed.events.len(), 2);
    assert_eq!(
        reasons(&parsed),
        [("unknown_product", "/line_items/2/variant_id")]
    );
}

#[test]
fn a_line_without_a_quantity_or_an_id_is_quarantined() {
    for (field, reason) in [("quantity", "missing_quantity"), ("id", "missing_field")] {
        let pointer = format!("/line_items/0/{field}");
        let parsed = deliver(&order().edit(&pointer, json!(null))).unwrap();
        assert_eq!(parsed.events.len(), 2);
        assert_eq!(reasons(&parsed), [(reason, pointer.as_str())]);
    }
    let parsed = deliver(&order().edit("/line_items/0/quantity", json!(-1))).unwrap();
    assert_eq!(
        reasons(&parsed),
        [("out_of_range", "/line_items/0/quantity")]
    );
}

#[test]
fn other_topics_are_answered_and_left_alone() {
    let (status, ignored) = with_header(&level(), "x-shopify-topic", Some("app/uninstalled"));
    assert_eq!((status, ignored.as_str()), (200, "topic app/uninstalled"));
    assert_eq!(with_header(&level(), "x-shopify-topic", None).0, 400);
}

/// The topic is not signed. A body of another topic is found out by its form.
#[test]
fn a_body_under_another_topic_is_refused() {
    for topic in ["orders/create", "products/update"] {
        let (status, problem) = with_header(&level(), "x-shopify-topic", Some(topic));
        assert_eq!(status, 422, "{problem}");
    }
    let (status, _) = with_header(&order(), "x-shopify-topic", Some("inventory_levels/update"));
    assert_eq!(status, 422);
}

#[test]
fn another_shop_is_refused() {
    let header = "x-shopify-shop-domain";
    assert_eq!(
        with_header(&level(), header, Some("other.myshopify.com")).0,
        400
    );
    assert_eq!(with_header(&level(), header, None).0, 400);
    assert_eq!(
        with_header(&level(), header, Some("Bentley-Parts.MyShopify.com")).0,
        200
    );
}

/// What a product update teaches is what a level needs.
#[test]
fn a_described_variant_is_found_again_by_its_inventory_item() {
    let described = deliver(&sample("shopify/products_update.json")).unwrap();
    let learned = described
        .events
        .iter()
        .filter_map(|event| match &event.change {
            Change::Described(product) => {
                let id = product.external["inventory_item"].clone();
                Some((
                    External {
                        kind: "inventory_item",
                        id,
                    },
                    product.sku.clone(),
                ))
            }
            _ => None,
        });
    let places = [("346779380".to_owned(), location("london"))].into();
    let names = KnownNames::new(places, []).with_products(learned);
    let connector = receiver(&level());
    let push = connector.push.as_ref().unwrap();
    let sample = level().edit("/inventory_item_id", json!(30322696));
    let headers = signed(&sample, secrets(sample.kind)[0], now());
    let delivery = delivery(&headers, &sample.body, now());
    let parsed = push
        .parse(&push.verify(&delivery).unwrap(), &names)
        .unwrap();
    let Change::Item(said) = &parsed.events[0].change else {
        panic!("not a level")
    };
    assert_eq!(said.product.as_str(), "OIL-5W40-1");
}

#[test]
fn what_is_kept_of_an_order_says_nothing_of_its_buyer_and_means_the_same() {
    let mut body: serde_json::Value = serde_json::from_slice(&order().body).unwrap();
    body["line_items"][0]["destination_location"] = json!({"name": "Ada Marker", "zip": "20100"});
    body["localized_fields"] = json!([{"value": "RSSMRA85T10A562S"}]);
    body["company"] = json!({"name": "Marker Ltd"});
    let sample = order().with(&body);
    let connector = receiver(&sample);
    let kept = connector.push.as_ref().unwrap().keepable(&sample.body);
    let text = String::from_utf8(kept.to_vec()).unwrap();
    assert!(text.contains("line_items"));
    for personal in [
        "buyer@example.com",
        "Example Street",
        "\"phone\"",
        "\"customer\"",
        "Ada Marker",
        "RSSMRA85T10A562S",
        "Marker Ltd",
    ] {
        assert!(
            String::from_utf8_lossy(&sample.body).contains(personal),
            "{personal}"
        );
        assert!(!text.contains(personal), "{personal}");
    }
    let again = sample.with(&serde_json::from_slice(&kept).unwrap());
    assert_eq!(deliver(&again).unwrap(), deliver(&sample).unwrap());
    // What has none of it is kept byte for byte.
    let level = level();
    assert_eq!(
        *connector.push.as_ref().unwrap().keepable(&level.body),
        level.body
    );
}
