//! A vendor whose webhooks nobody has described: every way of telling us how they look.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::connectors::bench::*;
use crate::connectors::{Connector, ConnectorKind, Parsed, Signed};
use crate::domain::event::Change;
use crate::domain::unit::{UnitReport, UnitState};
use crate::domain::vin::VinRules;

const INVENTORY: &[u8] =
    include_bytes!("../../../../tests/fixtures/dealertrack/vehicle_inventory.xml");
const SEARCH: &[u8] = include_bytes!("../../../../tests/fixtures/dealertrack/vehicle_search.xml");

fn dms(changes: Value) -> Connector {
    connector_with(ConnectorKind::Dealertrack, changes)
}

/// Another way of proving who sent it, in place of the usual one.
fn dms_verified_by(verify: Value) -> Connector {
    let kind = ConnectorKind::Dealertrack;
    let mut settings = serde_json::to_value(settings(kind)).unwrap();
    settings["verify"] = verify;
    let settings = serde_json::from_value(settings).unwrap();
    Connector::build("bench".parse().unwrap(), &settings, &texts(&secrets(kind))).unwrap()
}

fn updated() -> Sample {
    sample("dealertrack/vehicle_updated.json")
}

fn xml(body: impl Into<Vec<u8>>) -> Parsed {
    let sample = sample("dealertrack/vehicle_event.xml").with_bytes(body);
    deliver(&sample).unwrap()
}

fn report(parsed: &Parsed) -> &UnitReport {
    match &parsed.events[0].change {
        Change::Unit(report) => report,
        other => panic!("not a unit: {other:?}"),
    }
}

#[test]
fn the_events() {
    insta::assert_json_snapshot!("vehicle_updated", deliver(&updated()).unwrap());
    insta::assert_json_snapshot!(
        "vehicle_sold",
        deliver(&sample("dealertrack/vehicle_sold.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "vehicle_transferred",
        deliver(&sample("dealertrack/vehicle_transferred.json")).unwrap()
    );
    insta::assert_json_snapshot!(
        "vehicle_event_xml",
        deliver(&sample("dealertrack/vehicle_event.xml")).unwrap()
    );
}

#[test]
fn a_hint_is_only_a_reason_to_look() {
    for (name, mut changes) in [
        ("dealertrack/vehicle_updated.json", json!({})),
        ("dealertrack/vehicle_event.xml", xml_pointers()),
    ] {
        changes["payload"] = json!("lookup");
        let parsed = deliver_to(&dms(changes), &sample(name), now()).unwrap();
        assert_eq!(
            (parsed.events.len(), parsed.quarantine.len()),
            (0, 0),
            "{name}"
        );
        assert_eq!(parsed.lookups.len(), 1, "{name}");
    }
}

/// Without a time the record cannot be ordered against other statements, trusted or not.
#[test]
fn a_recorded_answer_without_a_time_is_only_a_reason_to_look() {
    let parsed = xml(INVENTORY);
    assert_eq!((parsed.events.len(), parsed.quarantine.len()), (0, 0));
    assert_eq!(
        serde_json::to_value(&parsed.lookups).unwrap(),
        json!([{"vin": "JF1GD67656G511824", "company": "DT1", "event": "record"}])
    );
    let parsed = xml(SEARCH);
    assert_eq!(parsed.lookups.len(), 1, "the VIN with a leading blank");
    let expected = [(
        "invalid_vin",
        "/VehicleSearchResponse/VehicleSearchResult/1/VIN",
    )];
    assert_eq!(reasons(&parsed), expected);
}

#[test]
fn codes_that_open_a_car_are_nowhere() {
    let parsed = serde_json::to_string(&xml(&*sample("dealertrack/vehicle_event.xml").body));
    assert!(!parsed.unwrap().contains("35910"));
    // Nor in the quarantine.
    let body = String::from_utf8(sample("dealertrack/vehicle_event.xml").body).unwrap();
    let parsed = xml(body.replace("DT1", "NOWHERE"));
    assert_eq!(
        parsed.quarantine[0].problem.reason.name(),
        "unknown_location"
    );
    assert!(!serde_json::to_string(&parsed).unwrap().contains("35910"));
}

#[test]
fn a_record_no_longer_in_stock_is_sold_only_if_it_was_delivered() {
    let body = String::from_utf8(sample("dealertrack/vehicle_event.xml").body).unwrap();
    let state = |status: &str, delivered: &str| {
        let body = body
            .replace("<Status>I<", &format!("<Status>{status}<"))
            .replace("<DateDelivered>0<", &format!("<DateDelivered>{delivered}<"));
        report(&xml(body)).state
    };
    assert_eq!(state("I", "0"), Some(UnitState::InStock));
    assert_eq!(state("C", "0"), Some(UnitState::Removed));
    assert_eq!(state("C", "20261120"), Some(UnitState::Sold));
    // A code that nobody has explained states nothing.
    assert_eq!(state("X", "0"), None);
    assert_eq!(state("X", "20261120"), None);
}

#[test]
fn a_document_type_is_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY v 'JF1GD67656G511824'>]><a><VIN>&v;</VIN></a>";
    let refused = deliver(&sample("dealertrack/vehicle_event.xml").with_bytes(bomb)).unwrap_err();
    assert_eq!((refused.status(), refused.reason()), (400, "not_xml"));
}

/// What is kept for replays holds none of the codes, and says the same.
#[test]
fn a_replay_of_what_was_kept_gives_the_same_events() {
    for name in [
        "dealertrack/vehicle_event.xml",
        "dealertrack/vehicle_updated.json",
    ] {
        let sample = sample(name);
        let connector = receiver(&sample);
        let push = connector.push.as_ref().unwrap();
        let kept = push.keepable(&sample.body).into_owned();
        assert!(!String::from_utf8_lossy(&kept).contains("35910"), "{name}");
        let headers = HeaderMap::new();
        let replay = Signed::kept(delivery(&headers, &kept, now()));
        assert_eq!(
            push.parse(&replay, &names()).unwrap(),
            deliver(&sample).unwrap(),
            "{name}"
        );
    }
}

/// Every way of proving who sent it; what is right for one is wrong for the others.
#[test]
fn authenticity_as_configured() {
    let [newest, previous] = secrets(ConnectorKind::Dealertrack);
    let secret = "env:LOTWIRE_BENCH_SECRET";
    let hmac = |encoding: &str, prefix: &str| {
        json!({"kind": "hmac-sha256", "header": "X-Signature", "encoding": encoding,
            "prefix": prefix, "secret": secret})
    };
    let by_password = || json!({"kind": "basic", "username": "dms", "password": secret});
    let by_header = || json!({"kind": "header-secret", "header": "X-DMS-Key", "secret": secret});
    let signature = signed(&updated(), newest, now())["x-signature"]
        .to_str()
        .unwrap()
        .to_owned();
    let hex = signature.strip_prefix("sha256=").unwrap().to_owned();
    let base64 = STANDARD.encode(hex::decode(&hex).unwrap());
    let basic = |user: &str, password: &str| {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    };
    let ways = [
        (hmac("hex", "sha256="), "x-signature", signature, Ok(0)),
        (hmac("hex", ""), "x-signature", hex.clone(), Ok(0)),
        (hmac("base64", ""), "x-signature", base64, Ok(0)),
        (
            hmac("hex", "v1="),
            "x-signature",
            hex,
            Err("signature_malformed"),
        ),
        (
            by_password(),
            "authorization",
            basic("dms", previous),
            Ok(1),
        ),
        (
            by_password(),
            "authorization",
            basic("dmz", newest),
            Err("signature_mismatch"),
        ),
        (by_header(), "x-dms-key", previous.to_owned(), Ok(1)),
        (
            by_header(),
            "x-dms-key",
            "guess".to_owned(),
            Err("signature_mismatch"),
        ),
    ];
    for (verify_by, name, value, expected) in ways {
        let way = verify_by.to_string();
        let connector = dms_verified_by(verify_by);
        let mut headers = HeaderMap::new();
        let missing = verify(&connector, &headers, &updated().body, now()).unwrap_err();
        assert_eq!(missing.reason(), "signature_missing", "{way}");
        headers.insert(name, value.parse().unwrap());
        let found = verify(&connector, &headers, &updated().body, now());
        assert_eq!(found.map_err(|error| error.reason()), expected, "{way}");
    }
}

#[test]
fn an_event_is_quarantined_alone_with_a_pointer() {
    let listing = || dms(json!({"pointers": {"list": "/events"}}));
    let good = updated().json();
    let edited = |pointer: &str, value| {
        let edited = updated().edit(pointer, value);
        edited.json()
    };
    let body = json!({"events": [
        good,
        edited("/vehicle/VIN", json!("SHORT")),
        edited("/vehicle/VIN", json!(null)),
        edited("/vehicle/CompanyNumber", json!("EX9")),
        edited("/type", json!("vehicle.painted")),
        edited("/type", json!("deal.opened")),
        edited("/time", json!(null)),
        edited("/time", json!("2026-11-22T09:00:00")),
        edited("/id", json!(null)),
        edited("/vehicle/ListPrice", json!("call us")),
        edited("/type", json!("vehicle.transferred")),
        sample("dealertrack/vehicle_sold.json").json(),
    ]});
    let parsed = deliver_to(&listing(), &updated().with(&body), now()).unwrap();
    let ids: Vec<_> = parsed
        .events
        .iter()
        .map(|event| event.id.as_str())
        .collect();
    assert_eq!(ids, ["event/evt-7001", "event/evt-7001", "event/evt-7002"]);
    assert_eq!(parsed.ignored, ["event deal.opened"]);
    let expected = [
        ("invalid_vin", "/events/1/vehicle/VIN"),
        ("missing_field", "/events/2/vehicle/VIN"),
        ("unknown_location", "/events/3/vehicle/CompanyNumber"),
        ("unknown_type", "/events/4/type"),
        ("missing_field", "/events/6/time"),
        ("invalid_value", "/events/7/time"),
        ("missing_field", "/events/8/id"),
        ("invalid_value", "/events/9/vehicle/ListPrice"),
        ("missing_field", "/events/10/to/CompanyNumber"),
    ];
    assert_eq!(reasons(&parsed), expected);
    let refused = deliver_to(&listing(), &updated(), now()).unwrap_err();
    assert_eq!(
        (refused.status(), refused.pointer()),
        (422, Some("/events"))
    );
}

#[test]
fn a_fact_that_cannot_be_read_keeps_nothing_else_back() {
    let sold = updated().edit("/type", json!("vehicle.sold"));
    for (pointer, unreadable) in [
        ("/vehicle/ListPrice", json!("Call for price")),
        ("/vehicle/Odometer", json!("TMU")),
        ("/vehicle/ModelYear", json!("2026.5")),
        ("/vehicle/StockNumber", json!(["x"])),
        ("/vehicle/DateInInventory", json!("last spring")),
        ("/vehicle/Status", json!({})),
        ("/vehicle/Make", json!([])),
        ("/vehicle/CompanyNumber", json!({})),
        ("/vehicle/CompanyNumber", json!("EX9")),
    ] {
        let parsed = deliver(&sold.edit(pointer, unreadable.clone())).unwrap();
        let places: Vec<_> = reasons(&parsed)
            .into_iter()
            .map(|(_, place)| place)
            .collect();
        assert_eq!(places, [pointer], "{unreadable}");
        assert_eq!(report(&parsed).state, Some(UnitState::Sold), "{pointer}");
    }
    let body = String::from_utf8(sample("dealertrack/vehicle_event.xml").body).unwrap();
    for (element, value) in [
        ("ListPrice", "Call for price"),
        ("Odometer", "TMU"),
        ("ModelYear", "2026.5"),
        ("DateInInventory", "last spring"),
    ] {
        let start = body.find(&format!("<{element}>")).unwrap() + element.len() + 2;
        let end = start + body[start..].find('<').unwrap();
        let edited = format!("{}{value}{}", &body[..start], &body[end..]);
        let parsed = xml(edited);
        assert_eq!(reasons(&parsed).len(), 1, "{element}");
        assert!(reasons(&parsed)[0].1.ends_with(element));
        assert_eq!(report(&parsed).state, Some(UnitState::InStock), "{element}");
    }
}

#[test]
fn a_hint_needs_no_more_than_the_vehicle() {
    let edited = updated().edit("/vehicle/CompanyNumber", json!({}));
    let edited = edited.edit("/time", json!(null));
    let parsed = deliver_to(&dms(json!({"payload": "lookup"})), &edited, now()).unwrap();
    assert_eq!(parsed.lookups.len(), 1);
    assert_eq!(reasons(&parsed), [("wrong_type", "/vehicle/CompanyNumber")]);
}

#[test]
fn a_vehicle_from_before_1981_is_taken_where_that_is_declared() {
    let classic = updated().edit("/vehicle/VIN", json!("AR 750 543"));
    let refused = deliver(&classic).unwrap();
    assert_eq!(reasons(&refused), [("invalid_vin", "/vehicle/VIN")]);
    let rejected = &refused.quarantine[0];
    assert!(rejected.problem.sentence.contains("guards.classic_vins"));
    assert_eq!(rejected.excerpt["vin"], json!("AR 750 543"));
    assert!(
        rejected.excerpt["stock_number"].is_string(),
        "it names itself"
    );
    let headers = HeaderMap::new();
    let kept = Signed::kept(delivery(&headers, &classic.body, now()));
    let connector = receiver(&classic);
    let declared = names().with_vins(VinRules {
        classic: true,
        ..VinRules::default()
    });
    let push = connector.push.as_ref().unwrap();
    let parsed = push.parse(&kept, &declared).unwrap();
    assert_eq!(report(&parsed).vin.as_str(), "AR750543");
}

#[test]
fn a_new_vehicle_is_in_stock_unless_its_status_says_otherwise() {
    let created = updated().edit("/type", json!("vehicle.created"));
    for (code, expected) in [
        (json!(null), UnitState::InStock),
        (json!("?"), UnitState::InStock),
        (json!("T"), UnitState::InTransit),
    ] {
        let sample = created.edit("/vehicle/Status", code);
        let parsed = deliver_to(
            &dms(json!({"statuses": {"T": "in_transit"}})),
            &sample,
            now(),
        );
        assert_eq!(report(&parsed.unwrap()).state, Some(expected));
    }
    // A change of something else does not bring a vehicle back that has been sold.
    let silent = deliver(&updated().edit("/vehicle/Status", json!(null))).unwrap();
    assert_eq!(report(&silent).state, None);
}

/// A price is exact, and what the vendor leaves unsaid comes from the settings.
#[test]
fn money_and_distance_are_exact() {
    let parsed = deliver(&updated().edit("/vehicle/ListPrice", json!(138995.10))).unwrap();
    let fields = serde_json::to_value(&report(&parsed).fields).unwrap();
    let expected = json!({"is": "money", "value": {"amount": "138995.1", "currency": "USD"}});
    assert_eq!(fields["price"], expected);
    assert_eq!(fields["mileage"]["value"], json!("21034 mi"));
}
