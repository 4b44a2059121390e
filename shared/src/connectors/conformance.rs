//! What must hold for every connector. A new kind does not compile until `bench` can sign for it,
//! and does not pass until it has recorded deliveries.

use std::collections::BTreeSet;

use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::bench::*;
use super::{Connector, ConnectorKind, Parsed, Reason, webhook_secrets};
use crate::domain::event::Change;
use crate::domain::unit::UnitState;
use crate::signature::SecretsError;

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn ids(parsed: &Parsed) -> Vec<&str> {
    parsed
        .events
        .iter()
        .map(|event| event.id.as_str())
        .collect()
}

#[test]
fn every_kind_has_deliveries_that_become_events() {
    for kind in ConnectorKind::ALL {
        let samples: Vec<_> = samples().into_iter().filter(|s| s.kind == *kind).collect();
        assert!(!samples.is_empty(), "{}", kind.name());
        for sample in samples {
            assert!(
                !deliver(&sample).unwrap().events.is_empty(),
                "{}",
                sample.name
            );
        }
    }
}

#[test]
fn either_live_secret_is_good_and_no_other() {
    for sample in samples() {
        let connector = receiver(&sample);
        for (number, secret) in secrets(sample.kind).into_iter().enumerate() {
            let headers = signed(&sample, secret, now());
            let found = verify(&connector, &headers, &sample.body, now());
            assert_eq!(found, Ok(number), "{}", sample.name);
        }
        let stranger = signed(&sample, "whsec_c3RyYW5nZXI=", now());
        let refused = verify(&connector, &stranger, &sample.body, now()).unwrap_err();
        assert_eq!(refused.reason(), "signature_mismatch", "{}", sample.name);
    }
}

#[test]
fn a_delivery_without_its_signature_is_refused() {
    for sample in samples() {
        let mut headers = signed(&sample, secrets(sample.kind)[0], now());
        headers.remove(signature_header(sample.kind));
        let refused = verify(&receiver(&sample), &headers, &sample.body, now()).unwrap_err();
        assert_eq!(refused.reason(), "signature_missing", "{}", sample.name);
    }
}

#[test]
fn a_second_signature_header_is_refused() {
    for sample in samples() {
        let mut headers = signed(&sample, secrets(sample.kind)[0], now());
        let header = signature_header(sample.kind);
        let value = headers[header].clone();
        headers.append(header, value);
        let refused = verify(&receiver(&sample), &headers, &sample.body, now()).unwrap_err();
        assert_eq!(refused.reason(), "signature_malformed", "{}", sample.name);
    }
}

#[test]
fn a_connector_without_a_secret_cannot_be_built() {
    for kind in ConnectorKind::ALL {
        let built = |secrets: &[&str]| {
            Connector::build("bench".parse().unwrap(), &settings(*kind), &texts(secrets)).err()
        };
        let refused = built(&[]).unwrap();
        assert_eq!(
            (refused.kind, refused.problem),
            (kind.name(), SecretsError::None)
        );
        assert_eq!(
            built(&[""]).unwrap().problem,
            SecretsError::Empty { number: 1 }
        );
    }
}

#[test]
fn every_kind_says_which_secrets_it_needs() {
    for kind in ConnectorKind::ALL {
        let rotating = match kind {
            ConnectorKind::Dealertrack => json!({"verify": {"previous_secret": "env:OLD"}}),
            _ => json!({"webhook": {"previous_secret": "env:OLD"}}),
        };
        let names = |changes| -> Vec<String> {
            let settings = settings_with(*kind, changes);
            webhook_secrets(&settings)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(names(json!({})), ["env:LOTWIRE_BENCH_SECRET"]);
        assert_eq!(names(rotating), ["env:LOTWIRE_BENCH_SECRET", "env:OLD"]);
    }
}

#[test]
fn a_signed_time_is_good_for_five_minutes_either_way() {
    for sample in samples()
        .iter()
        .filter(|sample| sample.kind == ConnectorKind::Generic)
    {
        let connector = receiver(sample);
        let headers = signed(sample, secrets(sample.kind)[0], now());
        let check = |after| verify(&connector, &headers, &sample.body, now() + seconds(after));
        assert_eq!(check(299), Ok(0));
        assert_eq!(check(-299), Ok(0));
        assert_eq!(check(301).unwrap_err().reason(), "timestamp_too_old");
        assert_eq!(check(-301).unwrap_err().reason(), "timestamp_too_new");
    }
}

/// A version from the far future would outrank every later statement, so none gets in. What happened did so by
/// when it came.
#[test]
fn nothing_is_from_our_future() {
    for sample in samples() {
        let connector = receiver(&sample);
        let first = deliver(&sample)
            .unwrap()
            .events
            .iter()
            .map(|event| event.at)
            .min()
            .unwrap();
        let last = deliver(&sample)
            .unwrap()
            .events
            .iter()
            .map(|event| event.at)
            .max()
            .unwrap();
        let good = deliver_to(&connector, &sample, last - seconds(299)).unwrap();
        assert_eq!(
            ids(&good),
            ids(&deliver(&sample).unwrap()),
            "{}",
            sample.name
        );
        let received = first - seconds(301);
        let early = deliver_to(&connector, &sample, received).unwrap();
        for event in &early.events {
            let happened = match &event.change {
                Change::OrderLine(_) | Change::Moved { .. } | Change::Sold { .. } => true,
                Change::Unit(report) => report.state == Some(UnitState::Sold),
                _ => false,
            };
            assert!(happened && event.at == received, "{}", sample.name);
        }
        assert!(
            early
                .quarantine
                .iter()
                .any(|row| row.problem.reason == Reason::TimeInFuture),
            "{}",
            sample.name
        );
    }
}

#[test]
fn what_is_not_a_document_is_refused_with_400_and_no_panic() {
    let noise: Vec<u8> = (0..1_u32 << 20)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let bodies = [
        Vec::new(),
        b" ".to_vec(),
        b"{".to_vec(),
        b"\xff\xfe".to_vec(),
        noise,
        vec![b'['; 1 << 20],
        vec![b'<'; 1 << 16],
        vec![b'"'; 1 << 16],
        vec![0; 1 << 16],
        b"{\"a\":".repeat(10_000),
        b"<a>".repeat(10_000),
        [
            b"{\"data\":",
            &b"[".repeat(40)[..],
            &b"]".repeat(40)[..],
            b"}",
        ]
        .concat(),
    ];
    // One for each way that a body is read: by kind, and by Shopify's topics.
    let mut ways = samples();
    ways.dedup_by_key(|sample| (sample.kind, sample.topic));
    for sample in ways {
        for body in &bodies {
            let start = String::from_utf8_lossy(&body[..body.len().min(8)]).into_owned();
            let refused = deliver(&sample.with_bytes(body.clone())).unwrap_err();
            assert_eq!(
                refused.status(),
                400,
                "{} {start:?}: {refused}",
                sample.name
            );
        }
    }
}

/// Another type than expected, at the top: `null`, lists, texts, numbers.
#[test]
fn what_is_not_an_object_brings_no_event() {
    for sample in samples() {
        for body in [
            json!(null),
            json!([]),
            json!("text"),
            json!(4),
            json!({}),
            json!([[{}]]),
        ] {
            match deliver(&sample.with(&body)) {
                Ok(parsed) => assert_eq!(parsed.events, [], "{} {body}", sample.name),
                Err(refused) => assert_eq!(refused.status(), 422, "{} {body}", sample.name),
            }
        }
    }
}

#[test]
fn a_second_delivery_names_the_same_events() {
    for sample in samples() {
        let first = deliver(&sample).unwrap();
        let again = deliver_to(
            &receiver(&sample),
            &sample,
            now() + signed_later(sample.kind),
        )
        .unwrap();
        assert_eq!(first, again, "{}", sample.name);
    }
}

#[test]
fn ids_do_not_depend_on_the_order_of_arrival_and_differ() {
    for kind in ConnectorKind::ALL {
        let samples: Vec<_> = samples().into_iter().filter(|s| s.kind == *kind).collect();
        let named = |samples: &mut dyn Iterator<Item = &Sample>| -> BTreeSet<(String, String)> {
            samples
                .flat_map(|sample| {
                    let parsed = deliver(sample).unwrap();
                    let ids: Vec<_> = ids(&parsed).into_iter().map(str::to_owned).collect();
                    assert_eq!(
                        ids.iter().collect::<BTreeSet<_>>().len(),
                        ids.len(),
                        "{}",
                        sample.name
                    );
                    ids.into_iter().map(|id| (sample.name.to_owned(), id))
                })
                .collect()
        };
        let forwards = named(&mut samples.iter());
        assert_eq!(
            forwards,
            named(&mut samples.iter().rev()),
            "{}",
            kind.name()
        );
    }
}

/// Headers that no signature covers must not be able to make a second event of one.
#[test]
fn unsigned_headers_name_nothing() {
    for sample in samples()
        .iter()
        .filter(|sample| sample.kind != ConnectorKind::Generic)
    {
        let connector = receiver(sample);
        let push = connector.push.as_ref().unwrap();
        let mut headers = signed(sample, secrets(sample.kind)[0], now());
        for forged in [
            "x-shopify-webhook-id",
            "x-shopify-event-id",
            "webhook-id",
            "x-event-id",
        ] {
            headers.insert(forged, "forged".parse().unwrap());
        }
        let delivery = delivery(&headers, &sample.body, now());
        let parsed = push
            .parse(&push.verify(&delivery).unwrap(), &names())
            .unwrap();
        assert_eq!(parsed, deliver(sample).unwrap(), "{}", sample.name);
    }
}

#[test]
fn nothing_personal_or_secret_is_carried_on() {
    for sample in samples() {
        let parsed = serde_json::to_string(&deliver(&sample).unwrap()).unwrap();
        for private in [
            "buyer@example.com",
            "Test",
            "Buyer",
            "Example Street",
            "35910",
            "4711",
        ] {
            assert!(!parsed.contains(private), "{}: {private}", sample.name);
        }
        let headers = signed(&sample, secrets(sample.kind)[0], now());
        let shown = format!("{:?}", delivery(&headers, &sample.body, now()));
        assert!(
            !shown.contains("VIN") && !shown.contains("sha256"),
            "{shown}"
        );
    }
}

/// The documentation names every kind, and no two alike.
#[test]
fn every_kind_is_documented() {
    let titles: BTreeSet<_> = ConnectorKind::ALL
        .iter()
        .map(|kind| kind.about().title)
        .collect();
    assert_eq!(titles.len(), ConnectorKind::ALL.len());
    for kind in ConnectorKind::ALL {
        assert!(!kind.about().takes.is_empty() && !kind.about().authenticity.is_empty());
    }
}

/// Every sample invocation is what the gateway really hands over, and is accepted.
#[test]
fn sample_invocations_are_genuine_and_understood() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../events/ingest");
    let mut replayed = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let event: ApiGatewayV2httpRequest = serde_json::from_str(&text).unwrap();
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(body).unwrap()
        } else {
            body.into_bytes()
        };
        let received = event.request_context.time_epoch;
        let received = Timestamp::from_millisecond(received).unwrap();
        let name = event.path_parameters["connector"].clone();
        let kind = ConnectorKind::ALL
            .iter()
            .find(|kind| kind.name() == name)
            .unwrap();
        let is_xml = body.starts_with(b"<");
        let connector = connector_with(*kind, if is_xml { xml_pointers() } else { json!({}) });
        let push = connector.push.as_ref().unwrap();
        let delivery = delivery(&event.headers, &body, received);
        let parsed = push
            .parse(&push.verify(&delivery).unwrap(), &names())
            .unwrap();
        assert!(!parsed.events.is_empty(), "{}", path.display());
        replayed.insert(name);
    }
    assert_eq!(replayed.len(), ConnectorKind::ALL.len());
}

/// A pointer to each value inside a value.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(rows) => {
            for (index, row) in rows.iter().enumerate() {
                places(row, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// What a careless sender might put in place of anything. None of it is a zero.
fn junk() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!("N/A")),
        Just(json!(" ")),
        Just(json!(true)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[[[{}]]]])),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(json!(1e308)),
        Just(json!(i64::MIN)),
        Just(json!(u64::MAX)),
        Just(json!("\u{0}\u{7}")),
        Just(json!("9".repeat(400))),
        Just(json!("x".repeat(5_000))),
        Just(json!("2026-13-45T99:99:99Z")),
        Just(json!("-009999-01-01T00:00:00Z")),
        Just(json!("9999-12-31T23:59:59.999999999Z")),
        ".{0,12}".prop_map(Value::String),
        (1_i64..).prop_map(|number| json!(number)),
    ]
}

fn json_samples() -> impl Strategy<Value = Sample> {
    let json: Vec<_> = samples()
        .into_iter()
        .filter(|s| s.name.ends_with(".json"))
        .collect();
    select(json)
}

/// `None` takes the place out altogether.
fn mutations() -> impl Strategy<Value = Vec<(Index, Option<Value>)>> {
    prop::collection::vec(
        (any::<Index>(), proptest::option::weighted(0.8, junk())),
        1..4,
    )
}

fn mutated(sample: &Sample, mutations: &[(Index, Option<Value>)]) -> Sample {
    let mut body = sample.json();
    for (index, replacement) in mutations {
        let mut found = Vec::new();
        places(&body, "", &mut found);
        let place = &found[index.index(found.len())];
        match (replacement, place.rsplit_once('/')) {
            (Some(value), _) => *body.pointer_mut(place).unwrap() = value.clone(),
            (None, Some((parent, field))) => match body.pointer_mut(parent) {
                Some(Value::Object(fields)) => drop(fields.remove(field)),
                Some(Value::Array(rows)) => drop(rows.remove(field.parse().unwrap())),
                _ => {}
            },
            (None, None) => body = json!(null),
        }
    }
    sample.with(&body)
}

proptest! {
    #[test]
    fn one_flipped_bit_is_refused(sample in select(samples()), at: Index, bit in 0_u8..8) {
        let headers = signed(&sample, secrets(sample.kind)[0], now());
        let mut body = sample.body.clone();
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        let refused = verify(&receiver(&sample), &headers, &body, now());
        prop_assert_eq!(refused.unwrap_err().reason(), "signature_mismatch");
    }

    #[test]
    fn one_changed_character_of_the_signature_is_refused(
        sample in select(samples()),
        at: Index,
        character in "[0-9a-zA-Z+/=,]",
    ) {
        let mut headers = signed(&sample, secrets(sample.kind)[0], now());
        let header = signature_header(sample.kind);
        let mut value = headers[header].to_str().unwrap().to_owned();
        let at = at.index(value.len());
        prop_assume!(value[at..=at] != character);
        value.replace_range(at..=at, &character);
        headers.insert(header, value.parse().unwrap());
        prop_assert!(verify(&receiver(&sample), &headers, &sample.body, now()).is_err());
    }

    /// No sample says that there is nothing left, and nothing that is put into one says so either:
    /// so if a level of zero or a sale of nothing comes out, it was made up.
    #[test]
    fn no_zero_is_made_of_missing_data(sample in json_samples(), mutations in mutations()) {
        let Ok(parsed) = deliver(&mutated(&sample, &mutations)) else { return Ok(()) };
        for event in &parsed.events {
            match &event.change {
                Change::LevelSet { level, .. } => prop_assert_ne!(level.on_hand, 0),
                Change::Item(said) => {
                    let level = said.level.as_ref().and_then(|level| level.value.as_ref());
                    prop_assert!(level.is_none_or(|level| level.on_hand != 0));
                }
                Change::Moved { delta, .. } => prop_assert_ne!(*delta, 0),
                Change::Sold { quantity, .. } => prop_assert!(*quantity > 0),
                Change::OrderLine(line) => {
                    let placed = line.known.placed.iter().map(|placed| placed.ordered.quantity);
                    let refunds = line.known.refunds.values().map(|refund| refund.quantity);
                    prop_assert!(placed.chain(refunds).all(|quantity| quantity > 0));
                }
                Change::SourceGone { .. } => prop_assert!(false, "no sender says that"),
                Change::LevelEnded { .. } => prop_assert_eq!(sample.name, "generic/stock_ended.json"),
                Change::Missing { .. } => prop_assert!(false, "no webhook is a whole list"),
                Change::Unit(_) | Change::Described(_) | Change::Offered(_) => {}
            }
            prop_assert!(event.at <= now() + seconds(300));
        }
        for rejected in &parsed.quarantine {
            prop_assert!(!rejected.problem.sentence.is_empty());
        }
    }

    /// A level is stated only where the very field that states it is a number. Null says of an item that
    /// its stock is not counted.
    #[test]
    fn a_level_without_its_quantity_is_never_an_event(nothing in junk()) {
        let number = nothing.is_i64() || nothing.is_u64();
        prop_assume!(!number && nothing.as_str().is_none_or(|text| text.trim().parse::<i64>().is_err()));
        let level = sample("shopify/inventory_levels_update.json").edit("/available", nothing.clone());
        prop_assume!(!nothing.is_null());
        prop_assert_eq!(deliver(&level).unwrap().events, vec![]);
        let level = sample("generic/stock_level.json").edit("/data/changes/0/on_hand", nothing);
        let parsed = deliver(&level).unwrap();
        prop_assert!(!ids(&parsed).iter().any(|id| id.ends_with("/0")));
    }

    #[test]
    fn no_body_makes_a_parser_panic(kind in select(ConnectorKind::ALL), body: Vec<u8>) {
        for sample in samples().iter().filter(|sample| sample.kind == kind) {
            let _outcome = deliver(&sample.with_bytes(body.clone()));
        }
    }

    /// XML that is cut off anywhere is refused, not half read.
    #[test]
    fn half_a_record_is_no_record(at: Index) {
        let sample = sample("dealertrack/vehicle_event.xml");
        let end = sample.body.trim_ascii_end().len();
        let cut = sample.with_bytes(&sample.body[..at.index(end)]);
        prop_assert_eq!(deliver(&cut).unwrap_err().status(), 400);
    }
}
