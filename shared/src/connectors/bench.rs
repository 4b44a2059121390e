//! What the tests of every connector stand on: a configured connector of each kind, recorded
//! deliveries, and a sender that signs as the vendor does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Connector, ConnectorKind, Delivery, External, KnownNames, ParseError, Parsed};
use crate::config::connector::ConnectorSettings;
use crate::domain::{LocationId, Sku};
use crate::signature::{SignatureError, standard};

/// When deliveries come in, unless a test says otherwise.
pub(super) const NOW: &str = "2026-11-22T14:16:00Z";

pub(super) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A recorded delivery.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) kind: ConnectorKind,
    pub(super) name: &'static str,
    /// Shopify says in a header what a body is about; others say so in the body.
    pub(super) topic: &'static str,
    pub(super) body: Vec<u8>,
}

macro_rules! sample {
    ($kind:ident, $folder:literal, $file:literal, $topic:literal) => {
        Sample {
            kind: ConnectorKind::$kind,
            name: concat!($folder, "/", $file),
            topic: $topic,
            body: include_bytes!(concat!("../../../tests/fixtures/", $folder, "/", $file)).to_vec(),
        }
    };
}

/// Every recorded delivery.
pub(super) fn samples() -> Vec<Sample> {
    vec![
        sample!(
            Shopify,
            "shopify",
            "inventory_levels_update.json",
            "inventory_levels/update"
        ),
        sample!(
            Shopify,
            "shopify",
            "inventory_items_update.json",
            "inventory_items/update"
        ),
        sample!(Shopify, "shopify", "orders_create.json", "orders/create"),
        sample!(
            Shopify,
            "shopify",
            "orders_cancelled.json",
            "orders/cancelled"
        ),
        sample!(Shopify, "shopify", "refunds_create.json", "refunds/create"),
        sample!(
            Shopify,
            "shopify",
            "products_update.json",
            "products/update"
        ),
        sample!(Dealertrack, "dealertrack", "vehicle_updated.json", ""),
        sample!(Dealertrack, "dealertrack", "vehicle_sold.json", ""),
        sample!(Dealertrack, "dealertrack", "vehicle_transferred.json", ""),
        sample!(Dealertrack, "dealertrack", "vehicle_event.xml", ""),
        sample!(Generic, "generic", "stock_level.json", ""),
        sample!(Generic, "generic", "stock_ended.json", ""),
        sample!(Generic, "generic", "stock_moved.json", ""),
        sample!(Generic, "generic", "stock_sold.json", ""),
        sample!(Generic, "generic", "unit_updated.json", ""),
        sample!(Generic, "generic", "unit_transferred.json", ""),
        sample!(Generic, "generic", "product_described.json", ""),
    ]
}

pub(super) fn sample(name: &str) -> Sample {
    samples()
        .into_iter()
        .find(|sample| sample.name == name)
        .unwrap()
}

impl Sample {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn with(&self, body: &Value) -> Self {
        self.with_bytes(serde_json::to_vec(body).unwrap())
    }

    pub(super) fn with_bytes(&self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            body,
            ..self.clone()
        }
    }

    /// The same with one place of the body changed.
    pub(super) fn edit(&self, pointer: &str, value: Value) -> Self {
        let mut body = self.json();
        *body.pointer_mut(pointer).unwrap() = value;
        self.with(&body)
    }
}

/// The secret in use, and the one before it.
pub(super) fn secrets(kind: ConnectorKind) -> [&'static str; 2] {
    match kind {
        ConnectorKind::Generic => [
            "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        ],
        ConnectorKind::Shopify => ["shopify-test-client-secret", "shopify-last-years-secret"],
        ConnectorKind::Dealertrack => ["dealertrack-test-secret", "dealertrack-last-years-secret"],
    }
}

/// Settings as the configuration stores them, with some of them changed.
pub(super) fn settings_with(kind: ConnectorKind, changes: Value) -> ConnectorSettings {
    let secret = "env:LOTWIRE_BENCH_SECRET";
    let mut settings = match kind {
        ConnectorKind::Generic => json!({"webhook": {"secret": secret}}),
        ConnectorKind::Shopify => json!({
            "shop": "bentley-parts",
            "default_location": "north",
            "webhook": {"secret": secret},
        }),
        ConnectorKind::Dealertrack => json!({
            "verify": {
                "kind": "hmac-sha256",
                "header": "X-Signature",
                "prefix": "sha256=",
                "secret": secret,
            },
            "payload": "trusted",
            "events": {
                "vehicle.created": "stocked",
                "vehicle.updated": "updated",
                "vehicle.sold": "sold",
                "vehicle.transferred": "transferred",
                "deal.opened": "ignored",
            },
            "pointers": {
                "event_id": "/id",
                "event_type": "/type",
                "time": "/time",
                "vin": "/vehicle/VIN",
                "company": "/vehicle/CompanyNumber",
                "to_company": "/to/CompanyNumber",
                "stock_number": "/vehicle/StockNumber",
                "status": "/vehicle/Status",
                "since": "/vehicle/DateInInventory",
                "condition": "/vehicle/TypeNU",
                "make": "/vehicle/Make",
                "model": "/vehicle/Model",
                "trim": "/vehicle/Trim",
                "year": "/vehicle/ModelYear",
                "colour": "/vehicle/Color",
                "price": "/vehicle/ListPrice",
                "mileage": "/vehicle/Odometer",
            },
        }),
    };
    settings["kind"] = json!(kind.name());
    merge(&mut settings, changes);
    serde_json::from_value(settings).unwrap()
}

pub(super) fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(fields.entry(name).or_insert(Value::Null), change);
            }
        }
        (place, change) => *place = change,
    }
}

pub(super) fn settings(kind: ConnectorKind) -> ConnectorSettings {
    settings_with(kind, json!({}))
}

/// Where the sample XML document has what other events have in JSON.
pub(super) fn xml_pointers() -> Value {
    json!({"pointers": {
        "event_id": "/VehicleEvent/EventId",
        "event_type": "/VehicleEvent/EventType",
        "time": "/VehicleEvent/EventTime",
    }})
}

pub(super) fn location(text: &str) -> LocationId {
    text.parse().unwrap()
}

/// What the samples' names for places and products stand for.
pub(super) fn names() -> KnownNames {
    let locations = [
        ("346779380", "london"),
        ("346779381", "south"),
        ("W2", "south"),
        ("EX1", "london"),
        ("EX2", "milano"),
        ("DT1", "london"),
    ];
    let locations = locations.map(|(theirs, ours)| (theirs.to_owned(), location(ours)));
    let own = ["north", "south", "london", "milano"].map(location);
    let sku = |text: &str| text.parse::<Sku>().unwrap();
    let external = |kind, id: &str| External {
        kind,
        id: id.to_owned(),
    };
    KnownNames::new(locations.into(), own).with_products([
        (external("inventory_item", "30322695"), sku("OIL-5W40")),
        (external("variant", "808950810"), sku("CHG-11KW")),
    ])
}

pub(super) fn texts(secrets: &[&str]) -> Vec<SecretString> {
    secrets
        .iter()
        .map(|secret| SecretString::from(*secret))
        .collect()
}

/// A connector of the kind, with some of its settings changed.
pub(super) fn connector_with(kind: ConnectorKind, changes: Value) -> Connector {
    let secrets = texts(&secrets(kind));
    let settings = settings_with(kind, changes);
    Connector::build("bench".parse().unwrap(), &settings, &secrets).unwrap()
}

/// The connector that a sample is meant for.
pub(super) fn receiver(sample: &Sample) -> Connector {
    let is_xml = sample.name.ends_with(".xml");
    let changes = if is_xml { xml_pointers() } else { json!({}) };
    connector_with(sample.kind, changes)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// The header in which each vendor's signature stands.
pub(super) fn signature_header(kind: ConnectorKind) -> &'static str {
    match kind {
        ConnectorKind::Generic => standard::SIGNATURE,
        ConnectorKind::Shopify => "x-shopify-hmac-sha256",
        ConnectorKind::Dealertrack => "x-signature",
    }
}

/// How much later a second attempt at the same delivery is signed. Where the signed time alone says when
/// something was true, the vendor has to repeat that time: none later.
pub(super) const fn signed_later(kind: ConnectorKind) -> SignedDuration {
    match kind {
        ConnectorKind::Generic | ConnectorKind::Shopify | ConnectorKind::Dealertrack => {
            SignedDuration::from_hours(2)
        }
    }
}

/// The headers that the vendor would send. Signed here by hand, so that a fault in our signature
/// checks cannot hide behind itself.
pub(super) fn signed(sample: &Sample, secret: &str, at: Timestamp) -> HeaderMap {
    let body = sample.body.as_slice();
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: String| {
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    };
    match sample.kind {
        ConnectorKind::Generic => {
            let key = STANDARD
                .decode(secret.strip_prefix("whsec_").unwrap())
                .unwrap();
            let at = at.as_second().to_string();
            let signature = hmac(
                &key,
                &[b"msg_27UH4WbU6Z5A5EzD8u03.", at.as_bytes(), b".", body],
            );
            set(standard::ID, "msg_27UH4WbU6Z5A5EzD8u03".to_owned());
            set(standard::TIMESTAMP, at);
            set(
                standard::SIGNATURE,
                format!("v1,{}", STANDARD.encode(signature)),
            );
        }
        ConnectorKind::Shopify => {
            let signature = hmac(secret.as_bytes(), &[body]);
            set("x-shopify-hmac-sha256", STANDARD.encode(signature));
            set("x-shopify-topic", sample.topic.to_owned());
            set(
                "x-shopify-shop-domain",
                "bentley-parts.myshopify.com".to_owned(),
            );
            set(
                "x-shopify-webhook-id",
                "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043".to_owned(),
            );
        }
        ConnectorKind::Dealertrack => {
            let signature = hmac(secret.as_bytes(), &[body]);
            set("x-signature", format!("sha256={}", hex::encode(signature)));
        }
    }
    headers
}

pub(super) fn delivery<'a>(
    headers: &'a HeaderMap,
    body: &'a [u8],
    received: Timestamp,
) -> Delivery<'a> {
    Delivery {
        method: "POST",
        headers,
        query: None,
        body,
        source_ip: None,
        received,
    }
}

/// Signs, delivers and parses a sample.
pub(super) fn deliver_to(
    connector: &Connector,
    sample: &Sample,
    received: Timestamp,
) -> Result<Parsed, ParseError> {
    let headers = signed(sample, secrets(sample.kind)[0], received);
    let delivery = delivery(&headers, &sample.body, received);
    let push = connector.push.as_ref().unwrap();
    let signed = push.verify(&delivery).unwrap();
    push.wanted(&signed)?;
    push.parse(&signed, &names())
}

pub(super) fn deliver(sample: &Sample) -> Result<Parsed, ParseError> {
    deliver_to(&receiver(sample), sample, now())
}

/// Only the check, with these headers.
pub(super) fn verify(
    connector: &Connector,
    headers: &HeaderMap,
    body: &[u8],
    received: Timestamp,
) -> Result<usize, SignatureError> {
    let push = connector.push.as_ref().unwrap();
    let delivery = delivery(headers, body, received);
    push.verify(&delivery)
        .map(|signed| signed.verified().secret)
}

/// The reason codes of the quarantine, each with its pointer.
pub(super) fn reasons(parsed: &Parsed) -> Vec<(&'static str, &str)> {
    let problems = parsed.quarantine.iter().map(|rejected| &rejected.problem);
    problems
        .map(|problem| (problem.reason.name(), problem.pointer.as_str()))
        .collect()
}
