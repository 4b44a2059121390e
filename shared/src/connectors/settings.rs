//! What each kind of connector can be told. Secrets are not among it: their values are resolved
//! elsewhere and handed to [`Connector::build`](super::Connector::build).

use std::collections::BTreeMap;
use std::str::FromStr;

use http::HeaderName;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::domain::LocationId;
use crate::domain::alert::named;
use crate::domain::distance::DistanceUnit;
use crate::domain::money::Currency;
use crate::domain::unit::UnitState;

/// How far a time may lie from our clock, unless set otherwise.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

fn tolerance() -> SignedDuration {
    TOLERANCE
}

/// Any program that signs its webhooks by the Standard Webhooks specification.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generic {
    /// How old, or how far ahead of our clock, a signed time may be.
    #[serde(default = "tolerance")]
    pub tolerance: SignedDuration,
}

impl Default for Generic {
    fn default() -> Self {
        Self {
            tolerance: TOLERANCE,
        }
    }
}

/// A Shopify shop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shopify {
    /// The shop's name, what stands before `.myshopify.com`; a delivery that names another is
    /// refused.
    #[serde(default)]
    pub shop: Option<String>,
    /// How an order counts.
    #[serde(default)]
    pub orders: Orders,
    /// Where an order counts that names no location, as those from the web shop do.
    #[serde(default)]
    pub default_location: Option<LocationId>,
    /// How far ahead of our clock an update's time may be.
    #[serde(default = "tolerance")]
    pub tolerance: SignedDuration,
}

impl Default for Shopify {
    fn default() -> Self {
        Self {
            shop: None,
            orders: Orders::default(),
            default_location: None,
            tolerance: TOLERANCE,
        }
    }
}

named!(
    /// How an order counts.
    Orders {
        /// As demand; the shop's own levels say what is left.
        Demand => "demand",
        /// As demand, and it takes stock away, because an order is the only word we get.
        Deduct => "deduct",
    }
);

#[expect(
    clippy::derivable_impls,
    reason = "`named!` has no place for #[default]"
)]
impl Default for Orders {
    fn default() -> Self {
        Self::Demand
    }
}

/// Dealertrack DMS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dealertrack {
    /// How its webhooks are authenticated.
    pub verify: Verify,
    /// How far ahead of our clock an event's time may be.
    #[serde(default = "tolerance")]
    pub tolerance: SignedDuration,
    /// Where in the body each fact stands.
    #[serde(default)]
    pub pointers: Pointers,
    /// Its names for events, and ours.
    #[serde(default)]
    pub events: BTreeMap<String, VehicleEvent>,
    /// Its codes for the state of stock, and ours. A code that is not listed states nothing.
    #[serde(default = "statuses")]
    pub statuses: BTreeMap<String, UnitState>,
    /// What a webhook's body is worth.
    #[serde(default)]
    pub payload: Payload,
    /// What prices are in.
    #[serde(default = "dollars")]
    pub currency: Currency,
    /// What odometers count.
    #[serde(default = "miles")]
    pub distance: DistanceUnit,
}

/// The two codes that are known from recorded answers.
fn statuses() -> BTreeMap<String, UnitState> {
    [("I", UnitState::InStock), ("C", UnitState::Removed)]
        .map(|(code, state)| (code.to_owned(), state))
        .into()
}

fn dollars() -> Currency {
    Currency::USD
}

fn miles() -> DistanceUnit {
    DistanceUnit::Miles
}

/// How a webhook is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verify {
    /// An HMAC-SHA256 of the raw body.
    HmacSha256 {
        /// In which header.
        header: Header,
        /// How it is written.
        #[serde(default)]
        encoding: SignatureEncoding,
        /// What stands before it, such as `sha256=`.
        #[serde(default)]
        prefix: String,
    },
    /// A user name and a password; the password is the secret.
    Basic {
        /// The user name.
        username: String,
    },
    /// The secret itself as the value of a header.
    HeaderSecret {
        /// Which header.
        header: Header,
    },
}

named!(
    /// How a signature is written.
    SignatureEncoding {
        /// Hexadecimal digits.
        Hex => "hex",
        /// Base64.
        Base64 => "base64",
    }
);

#[expect(
    clippy::derivable_impls,
    reason = "`named!` has no place for #[default]"
)]
impl Default for SignatureEncoding {
    fn default() -> Self {
        Self::Hex
    }
}

named!(
    /// What a webhook's body is worth.
    Payload {
        /// It is fact.
        Trusted => "trusted",
        /// It is a reason to look the vehicle up.
        Lookup => "lookup",
    }
);

#[expect(
    clippy::derivable_impls,
    reason = "`named!` has no place for #[default]"
)]
impl Default for Payload {
    fn default() -> Self {
        Self::Lookup
    }
}

named!(
    /// What happened to a vehicle.
    VehicleEvent {
        /// It is new in stock, or something about it changed.
        Updated => "updated",
        /// A customer has put money on it.
        Reserved => "reserved",
        /// It is sold.
        Sold => "sold",
        /// It went to another rooftop.
        Transferred => "transferred",
        /// It left the stock in some other way.
        Removed => "removed",
        /// Not for us.
        Ignored => "ignored",
    }
);

/// Where in a webhook's body each fact stands. What is `None` is not read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pointers {
    /// The list of events, where a body holds several; the others then point into one of them.
    pub list: Option<JsonPointer>,
    /// The event's id, the same on every repeat.
    pub event_id: JsonPointer,
    /// The event's type, as named in `events`.
    pub event_type: JsonPointer,
    /// When it happened.
    pub time: JsonPointer,
    /// The VIN.
    pub vin: JsonPointer,
    /// The company number, as named in `locations`.
    pub company: JsonPointer,
    /// The company it went to, for a transfer.
    pub to_company: Option<JsonPointer>,
    /// The stock number.
    pub stock_number: Option<JsonPointer>,
    /// The stock status, as named in `statuses`.
    pub status: Option<JsonPointer>,
    /// The day it came into stock.
    pub since: Option<JsonPointer>,
    /// New or used.
    pub condition: Option<JsonPointer>,
    /// The make.
    pub make: Option<JsonPointer>,
    /// The model.
    pub model: Option<JsonPointer>,
    /// The trim.
    pub trim: Option<JsonPointer>,
    /// The model year.
    pub year: Option<JsonPointer>,
    /// The exterior colour.
    pub colour: Option<JsonPointer>,
    /// The asking price.
    pub price: Option<JsonPointer>,
    /// The odometer.
    pub mileage: Option<JsonPointer>,
}

/// No description of the vendor's webhooks is public, so these are only a place to start from.
impl Default for Pointers {
    fn default() -> Self {
        let at = |text: &str| JsonPointer(text.to_owned());
        Self {
            list: None,
            event_id: at("/id"),
            event_type: at("/type"),
            time: at("/time"),
            vin: at("/vehicle/VIN"),
            company: at("/vehicle/CompanyNumber"),
            to_company: None,
            stock_number: Some(at("/vehicle/StockNumber")),
            status: Some(at("/vehicle/Status")),
            since: Some(at("/vehicle/DateInInventory")),
            condition: Some(at("/vehicle/TypeNU")),
            make: Some(at("/vehicle/Make")),
            model: Some(at("/vehicle/Model")),
            trim: Some(at("/vehicle/Trim")),
            year: Some(at("/vehicle/ModelYear")),
            colour: Some(at("/vehicle/Color")),
            price: Some(at("/vehicle/ListPrice")),
            mileage: Some(at("/vehicle/Odometer")),
        }
    }
}

/// A JSON pointer (RFC 6901): `/data/vin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPointer(String);

impl JsonPointer {
    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a JSON pointer begins with `/`, such as `/data/vin`")]
pub struct NotAPointer;

impl FromStr for JsonPointer {
    type Err = NotAPointer;
    fn from_str(text: &str) -> Result<Self, NotAPointer> {
        let whole_or_inside = text.is_empty() || text.starts_with('/');
        whole_or_inside
            .then(|| Self(text.to_owned()))
            .ok_or(NotAPointer)
    }
}

impl TryFrom<String> for JsonPointer {
    type Error = NotAPointer;
    fn try_from(text: String) -> Result<Self, NotAPointer> {
        text.parse()
    }
}

impl From<JsonPointer> for String {
    fn from(pointer: JsonPointer) -> Self {
        pointer.0
    }
}

/// The name of an HTTP header; case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Header(pub HeaderName);

impl TryFrom<String> for Header {
    type Error = http::header::InvalidHeaderName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::Settings;

    fn read(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn settings_are_read_with_their_defaults() {
        let expected = Settings::Shopify(Shopify::default());
        assert_eq!(read("kind = 'shopify'").unwrap(), expected);
        let Settings::Dealertrack(settings) = read(
            "kind = 'dealertrack'
             verify = { kind = 'hmac-sha256', header = 'X-Signature' }
             tolerance = '10m'
             pointers = { vin = '/data/vin' }
             events = { 'vehicle.sold' = 'sold' }",
        )
        .unwrap() else {
            panic!("another kind")
        };
        assert_eq!(settings.payload, Payload::Lookup);
        assert_eq!(settings.tolerance, SignedDuration::from_mins(10));
        assert_eq!(settings.pointers.vin.as_str(), "/data/vin");
        assert_eq!(settings.events["vehicle.sold"], VehicleEvent::Sold);
        assert_eq!(settings.statuses["I"], UnitState::InStock);
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        assert!(read("kind = 'shopify'\nshpo = 'x'").is_err());
        assert!(read("kind = 'shopfiy'").is_err());
        assert!("data/vin".parse::<JsonPointer>().is_err());
    }
}
