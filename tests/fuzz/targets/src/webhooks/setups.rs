//! Connectors as an installation may have set them up, and how their senders sign.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::connectors::{Connector, External, KnownNames};
use shared::signature::{HmacSha256, LiveSecrets, standard};

const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// One way in which a connector may be set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    Shopify,
    /// Orders take stock away.
    ShopifyDeducting,
    /// One event to a body.
    Dealertrack,
    /// A list of events.
    DealertrackList,
    /// Events are hints: the vehicle is looked up.
    DealertrackLookup,
    /// The vendor's XML records.
    DealertrackXml,
    Generic,
}

impl Setup {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "shopify" => Self::Shopify,
            "shopify deducting" => Self::ShopifyDeducting,
            "dealertrack" => Self::Dealertrack,
            "dealertrack list" => Self::DealertrackList,
            "dealertrack lookup" => Self::DealertrackLookup,
            "dealertrack xml" => Self::DealertrackXml,
            "generic" => Self::Generic,
            _ => return None,
        })
    }

    pub(super) fn connector(self) -> Connector {
        let settings = serde_json::from_value(self.settings()).expect("settings as they are kept");
        let name = "fuzzed".parse().expect("a name");
        Connector::build(name, &settings, &[SecretString::from(SECRET)]).expect("a connector")
    }

    /// Adds what the sender's own signature is, over whatever headers are there.
    pub(super) fn sign(self, headers: &mut HeaderMap, body: &[u8]) {
        let secrets = [SecretString::from(SECRET)];
        let plain = || LiveSecrets::new(&secrets).expect("a secret");
        let mut set = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).expect("a header");
            headers.insert(HeaderName::from_static(name), value);
        };
        match self {
            Self::Shopify | Self::ShopifyDeducting => {
                let signature = HmacSha256::base64("x-shopify-hmac-sha256");
                set("x-shopify-hmac-sha256", &signature.sign(&[body], &plain()));
                set("x-shopify-shop-domain", "bentley-parts.myshopify.com");
            }
            Self::Generic => {
                let keys = standard::secrets(&secrets).expect("a key");
                let at = super::now();
                set(standard::ID, "msg_1");
                set(standard::TIMESTAMP, &at.as_second().to_string());
                set(
                    standard::SIGNATURE,
                    &standard::sign("msg_1", at, body, &keys),
                );
            }
            _ => {
                let signature = HmacSha256::hex("x-signature").prefixed("sha256=");
                set("x-signature", &signature.sign(&[body], &plain()));
            }
        }
    }

    fn settings(self) -> Value {
        let secret = "env:SECRET";
        match self {
            Self::Generic => json!({"kind": "generic", "webhook": {"secret": secret}}),
            Self::Shopify | Self::ShopifyDeducting => {
                let deducts = self == Self::ShopifyDeducting;
                json!({
                    "kind": "shopify",
                    "shop": "bentley-parts",
                    "default_location": "north",
                    "orders": if deducts { "deduct" } else { "demand" },
                    "webhook": {"secret": secret},
                })
            }
            _ => self.dealertrack(),
        }
    }

    fn dealertrack(self) -> Value {
        let mut settings = json!({
            "kind": "dealertrack",
            "verify": {
                "kind": "hmac-sha256",
                "header": "X-Signature",
                "prefix": "sha256=",
                "secret": "env:SECRET",
            },
            "payload": if self == Self::DealertrackLookup { "lookup" } else { "trusted" },
            "events": {
                "vehicle.created": "stocked",
                "vehicle.updated": "updated",
                "vehicle.sold": "sold",
                "vehicle.transferred": "transferred",
                "vehicle.removed": "removed",
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
        });
        let pointers = &mut settings["pointers"];
        match self {
            Self::DealertrackList => pointers["list"] = json!("/events"),
            Self::DealertrackXml => {
                pointers["event_id"] = json!("/VehicleEvent/EventId");
                pointers["event_type"] = json!("/VehicleEvent/EventType");
                pointers["time"] = json!("/VehicleEvent/EventTime");
            }
            _ => {}
        }
        settings
    }
}

/// What the senders' names for places and products stand for.
pub(super) fn names() -> &'static KnownNames {
    static NAMES: LazyLock<KnownNames> = LazyLock::new(|| {
        let location = |text: &str| text.parse().expect("a location");
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
        let products = [
            ("inventory_item", "30322695", "OIL-5W40"),
            ("variant", "808950810", "CHG-11KW"),
        ];
        let products = products.map(|(kind, id, sku)| {
            let id = id.to_owned();
            (External { kind, id }, sku.parse().expect("a SKU"))
        });
        KnownNames::new(locations.into(), own).with_products(products)
    });
    &NAMES
}
