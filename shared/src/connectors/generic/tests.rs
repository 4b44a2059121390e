//! What senders of Standard Webhooks may say, and what they are told when it cannot be used.

use serde_json::{Value, json};

use crate::connectors::bench::*;
use crate::connectors::{Connector, ConnectorKind, ParseError, Parsed};
use crate::domain::event::Change;
use crate::domain::unit::{UnitReport, UnitState};

const VECTORS: &str = include_str!("../../../../tests/fixtures/generic/signature.json");

fn parsed(body: &Value) -> Result<Parsed, ParseError> {
    deliver(&sample("generic/stock_level.json").with(body))
}

/// An envelope around one change.
fn change(kind: &str, data: Value) -> Parsed {
    parsed(&json!({"type": kind, "timestamp": "2026-11-22T09:15:00Z", "data": data})).unwrap()
}

fn refused(body: &Value) -> (u16, &'static str, String) {
    let refused = parsed(body).unwrap_err();
    (
        refused.status(),
        refused.reason(),
        refused.pointer().unwrap_or("-").to_owned(),
    )
}

#[test]
fn published_vectors_verify_and_one_flipped_bit_does_not() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let text = |field: &str| vector[field].as_str().unwrap();
        let settings = settings(ConnectorKind::Generic);
        let secrets = texts(&[text("secret")]);
        let connector = Connector::build("bench".parse().unwrap(), &settings, &secrets).unwrap();
        let seconds = vector["timestamp"].as_i64().unwrap();
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", text("id").parse().unwrap());
        headers.insert("webhook-timestamp", seconds.into());
        headers.insert("webhook-signature", text("signature").parse().unwrap());
        let received = jiff::Timestamp::from_second(seconds + 7).unwrap();
        let mut body = text("body").as_bytes().to_vec();
        assert_eq!(verify(&connector, &headers, &body, received), Ok(0));
        for index in 0..body.len() {
            body[index] ^= 1;
            assert!(verify(&connector, &headers, &body, received).is_err());
            body[index] ^= 1;
        }
    }
}

#[test]
fn the_documented_events() {
    insta::assert_json_snapshot!(
        "stock_level",
        deliver(&sample("generic/stock_level.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "stock_moved",
        deliver(&sample("generic/stock_moved.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "stock_sold",
        deliver(&sample("generic/stock_sold.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "unit_updated",
        deliver(&sample("generic/unit_updated.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "unit_transferred",
        deliver(&sample("generic/unit_transferred.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "product_described",
        deliver(&sample("generic/product_described.json")).unwrap()
    );
}

#[test]
fn an_envelope_is_refused_as_a_whole_with_a_pointer() {
    let good = sample("generic/stock_level.json").json();
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        refused(&body)
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        refused(&body)
    };
    for field in ["type", "timestamp", "data"] {
        let expected = (422, "missing_field", format!("/{field}"));
        assert_eq!(without(field), expected);
        assert_eq!(with(field, json!(null)).1, "missing_field", "{field}");
    }
    let wrong = |reason, pointer: &str| (422, reason, pointer.to_owned());
    assert_eq!(
        with("type", json!("stock.levels")),
        wrong("unknown_type", "/type")
    );
    assert_eq!(with("type", json!(4)), wrong("wrong_type", "/type"));
    assert_eq!(
        with("timestamp", json!("yesterday")),
        wrong("invalid_value", "/timestamp")
    );
    assert_eq!(with("data", json!([1])), wrong("wrong_type", "/data"));
    let not_a_list = json!({"changes": {}});
    assert_eq!(
        with("data", not_a_list),
        wrong("wrong_type", "/data/changes")
    );
    let many = json!({"changes": vec![json!({}); 1_001]});
    assert_eq!(with("data", many), wrong("too_many", "/data/changes"));
    assert_eq!(
        deliver(&sample("generic/stock_level.json").with_bytes("{"))
            .unwrap_err()
            .reason(),
        "not_json"
    );
}

#[test]
fn a_change_is_rejected_alone_with_a_pointer() {
    let body = json!({"type": "stock.level", "timestamp": "2026-11-22T09:15:00Z", "data": {"changes": [
        {"sku": "A", "location": "north", "on_hand": 1},
        {"location": "north", "on_hand": 1},
        {"sku": "A", "on_hand": 1},
        {"sku": "A", "location": "north"},
        {"sku": "A", "location": "north", "on_hand": "many"},
        {"sku": "A", "location": "north", "on_hand": 1, "reserved": -1},
        {"sku": "A", "location": "north", "on_hand": 1, "version": -1},
        {"sku": "A", "location": "paris", "on_hand": 1},
        {"sku": "line:bentley/bentayga", "location": "north", "on_hand": 1},
        {"sku": "A", "location": "north", "on_hand": 1, "at": "2036-01-01T00:00:00Z"},
        "text",
        {"sku": "B", "location": "north", "on_hand": -2},
    ]}});
    let parsed = parsed(&body).unwrap();
    let ids: Vec<_> = parsed
        .events
        .iter()
        .map(|event| event.id.as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "msg_27UH4WbU6Z5A5EzD8u03/0",
            "msg_27UH4WbU6Z5A5EzD8u03/5",
            "msg_27UH4WbU6Z5A5EzD8u03/11"
        ],
        "what is promised cannot be read, and what is there can"
    );
    let expected = [
        ("missing_field", "/data/changes/1/sku"),
        ("missing_field", "/data/changes/2/location"),
        ("missing_quantity", "/data/changes/3/on_hand"),
        ("invalid_value", "/data/changes/4/on_hand"),
        ("out_of_range", "/data/changes/5/reserved"),
        ("out_of_range", "/data/changes/6/version"),
        ("unknown_location", "/data/changes/7/location"),
        ("invalid_value", "/data/changes/8/sku"),
        ("time_in_future", "/data/changes/9/at"),
        ("wrong_type", "/data/changes/10"),
    ];
    assert_eq!(reasons(&parsed), expected);
}

#[test]
fn a_movement_must_not_contradict_its_reason() {
    let moved = |delta: i64, reason: &str| {
        let data = json!({"sku": "A", "location": "north", "delta": delta, "reason": reason});
        let parsed = change("stock.moved", data);
        parsed
            .quarantine
            .first()
            .map(|rejected| rejected.problem.reason.name())
    };
    for (delta, reason, expected) in [
        (1, "receipt", None),
        (-1, "receipt", Some("contradiction")),
        (1, "return", None),
        (1, "transfer_out", Some("contradiction")),
        (-1, "transfer_out", None),
        (-1, "transfer_in", Some("contradiction")),
        (-1, "adjustment", None),
        (0, "adjustment", Some("contradiction")),
        (1, "theft", Some("invalid_value")),
    ] {
        assert_eq!(moved(delta, reason), expected, "{delta} {reason}");
    }
}

#[test]
fn a_vehicle_needs_a_vin_and_a_transfer_a_destination() {
    let vin = "SCBCG2ZG0RC012345";
    for (kind, data, expected) in [
        ("unit.updated", json!({}), ("missing_field", "/data/vin")),
        (
            "unit.updated",
            json!({"vin": "SHORT"}),
            ("invalid_vin", "/data/vin"),
        ),
        (
            "unit.updated",
            json!({"vin": vin, "state": "gone"}),
            ("invalid_value", "/data/state"),
        ),
        (
            "unit.transferred",
            json!({"vin": vin}),
            ("missing_field", "/data/location"),
        ),
        (
            "stock.sold",
            json!({"sku": "A", "location": "north"}),
            ("missing_quantity", "/data/quantity"),
        ),
        (
            "stock.sold",
            json!({"sku": "A", "location": "north", "quantity": 0}),
            ("out_of_range", "/data/quantity"),
        ),
    ] {
        let parsed = change(kind, data.clone());
        assert_eq!(parsed.events, [], "{kind} {data}");
        assert_eq!(reasons(&parsed), [expected], "{kind} {data}");
    }
}

/// The vehicle, as the only event says.
fn report(parsed: &Parsed) -> &UnitReport {
    match &parsed.events[..] {
        [event] => match &event.change {
            Change::Unit(report) => report,
            other => panic!("not a unit: {other:?}"),
        },
        events => panic!("not one event: {events:?}"),
    }
}

#[test]
fn a_fact_that_cannot_be_read_keeps_nothing_else_back() {
    let good = json!({
        "vin": "SCBCG2ZG0RC012345", "location": "north", "stock_number": "BX1042",
        "since": "2026-10-01", "make": "Bentley", "model": "Continental GT", "year": 2026,
        "price": "239950 GBP", "mileage": "12 mi", "doors": 2, "image_urls": ["https://a.example/1"],
    });
    for (field, unreadable, reason) in [
        ("price", json!("Call for price"), "invalid_value"),
        ("price", json!(239_950), "invalid_value"),
        ("mileage", json!("TMU"), "invalid_value"),
        ("mileage", json!(12), "invalid_value"),
        ("year", json!("2026.5"), "invalid_value"),
        ("doors", json!("two"), "invalid_value"),
        ("since", json!("last spring"), "invalid_value"),
        ("stock_number", json!(["BX1042"]), "wrong_type"),
        ("make", json!({"name": "Bentley"}), "wrong_type"),
        ("image_urls", json!("https://a.example/1"), "wrong_type"),
        ("currency", json!("pounds"), "invalid_value"),
        ("actor", json!(7), "wrong_type"),
    ] {
        let mut data = good.clone();
        data[field] = unreadable.clone();
        let parsed = change("unit.sold", data);
        let place = format!("/data/{field}");
        assert_eq!(reasons(&parsed), [(reason, &*place)], "{unreadable}");
        let sentence = &parsed.quarantine[0].problem.sentence;
        assert!(sentence.contains("left out"), "{sentence}");
        let report = report(&parsed);
        assert_eq!(report.state, Some(UnitState::Sold), "{unreadable}");
        assert_eq!(report.location.as_ref().unwrap().as_str(), "north");
        assert!(!report.fields.contains_key(field));
        // All else is there.
        let whole = change("unit.sold", good.clone());
        let left_out = usize::from(self::report(&whole).fields.contains_key(field));
        assert_eq!(
            report.fields.len() + left_out,
            self::report(&whole).fields.len()
        );
    }
    for (kind, data, place) in [
        (
            "stock.level",
            json!({"sku": "A", "location": "north", "on_hand": 1, "incoming": "soon"}),
            "/data/incoming",
        ),
        (
            "stock.moved",
            json!({"sku": "A", "location": "north", "delta": 1, "reason": "luck"}),
            "/data/reason",
        ),
        (
            "product.described",
            json!({"sku": "A", "title": "Oil", "external": 4}),
            "/data/external",
        ),
        (
            "product.described",
            json!({"sku": "A", "title": "Oil", "external": {"code": [4]}}),
            "/data/external/code",
        ),
    ] {
        let parsed = change(kind, data.clone());
        assert_eq!(parsed.events.len(), 1, "{data}");
        let places: Vec<_> = reasons(&parsed)
            .into_iter()
            .map(|(_, place)| place)
            .collect();
        assert_eq!(places, [place]);
    }
}

#[test]
fn everything_that_is_wrong_with_a_row_is_told_at_once() {
    let data = json!({"location": "paris", "on_hand": "many", "at": "yesterday", "reserved": -1});
    let parsed = change("stock.level", data);
    assert_eq!(parsed.events, []);
    let expected = [
        ("invalid_value", "/data/at"),
        ("missing_field", "/data/sku"),
        ("unknown_location", "/data/location"),
        ("invalid_value", "/data/on_hand"),
        ("out_of_range", "/data/reserved"),
    ];
    assert_eq!(reasons(&parsed), expected);
    let data = json!({"vin": "SHORT", "state": "gone", "price": "call us", "year": "new"});
    let parsed = change("unit.updated", data);
    let expected = [
        ("invalid_vin", "/data/vin"),
        ("invalid_value", "/data/state"),
        ("invalid_value", "/data/year"),
        ("invalid_value", "/data/price"),
    ];
    assert_eq!(reasons(&parsed), expected);
    // It names itself, so that a person finds the vehicle.
    let sentence = &parsed.quarantine[0].problem.sentence;
    assert!(sentence.contains("\"SHORT\""), "{sentence}");
    assert_eq!(parsed.quarantine[0].excerpt["vin"], json!("SHORT"));
}

/// A vehicle that is not for sale is not for sale wherever it is; one that is stands somewhere.
#[test]
fn a_place_that_is_not_known_keeps_nothing_back_by_which_a_vehicle_is_not_for_sale() {
    use UnitState::{Demo, InStock, InTransit, Removed, Reserved, SalePending, Sold, Transferred};
    let vehicle = |state: Option<UnitState>| json!({"vin": "SCBCG2ZG0RC012345", "location": "paris", "state": state});
    let cases = [
        ("unit.sold", None, Some(Sold)),
        ("unit.reserved", None, Some(Reserved)),
        ("unit.updated", Some(Reserved), Some(Reserved)),
        ("unit.updated", Some(SalePending), Some(SalePending)),
        ("unit.updated", Some(Transferred), Some(Transferred)),
        ("unit.updated", Some(Removed), Some(Removed)),
        ("unit.transferred", Some(SalePending), Some(SalePending)),
        ("unit.transferred", Some(Sold), Some(Sold)),
        ("unit.updated", Some(InStock), None),
        ("unit.updated", Some(Demo), None),
        ("unit.updated", Some(InTransit), None),
        ("unit.updated", None, None),
        ("unit.transferred", None, None),
        ("unit.transferred", Some(InStock), None),
    ];
    for (kind, said, applies) in cases {
        let parsed = change(kind, vehicle(said));
        let applied = parsed.events.first().map(|_| report(&parsed));
        assert_eq!(applied.and_then(|it| it.state), applies, "{kind} {said:?}");
        assert_eq!(applied.and_then(|it| it.location.clone()), None);
        assert_eq!(reasons(&parsed), [("unknown_location", "/data/location")]);
    }
}

#[test]
fn of_two_changes_of_one_instant_in_one_list_the_later_one_counts() {
    let vin = "SCBCG2ZG0RC012345";
    for (first, second) in [("sold", "in_stock"), ("in_stock", "sold")] {
        let parsed = change(
            "unit.updated",
            json!({"changes": [
                {"vin": vin, "state": first, "location": "north", "price": "1 GBP"},
                {"vin": vin, "state": second, "location": "south"},
                {"vin": vin, "state": "demo", "at": "2026-11-22T09:00:00Z"},
            ]}),
        );
        let said: Vec<_> = parsed
            .events
            .iter()
            .map(|event| match &event.change {
                Change::Unit(report) => (
                    report.state.map(UnitState::name),
                    report
                        .location
                        .as_ref()
                        .map(|place| place.as_str().to_owned()),
                    report.fields.len(),
                ),
                other => panic!("not a unit: {other:?}"),
            })
            .collect();
        let expected = [
            (None, None, 1),
            (Some(second), Some("south".to_owned()), 0),
            (Some("demo"), None, 0),
        ];
        assert_eq!(said, expected);
    }
}

#[test]
fn a_ping_does_nothing_and_unused_fields_are_named() {
    assert_eq!(parsed(&json!({"type": "ping"})).unwrap().ignored, ["ping"]);
    let data = json!({"sku": "A", "location": "north", "on_hand": 1, "onhand": 2, "price": 3});
    let parsed = change("stock.level", data);
    assert_eq!(parsed.events.len(), 1);
    assert_eq!(
        parsed.ignored,
        ["/data/onhand is not used", "/data/price is not used"]
    );
}
