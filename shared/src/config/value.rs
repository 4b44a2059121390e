//! Small values that settings are made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::Node;
use super::error::Problems;
use super::setting::Setting;
use crate::domain::position::SALES_DAYS;

/// Declares a text newtype whose only door is `FromStr`; serde goes through it too.
macro_rules! texts {
    ($( $(#[$doc:meta])* $name:ident: $accept:expr, $wrong:literal; )+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// It as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = &'static str;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let accept: fn(&str) -> bool = $accept;
                if accept(text) { Ok(Self(text.into())) } else { Err($wrong) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+ };
}

texts! {
    /// A JSON pointer (RFC 6901).
    JsonPointer: is_pointer, "not a JSON pointer; write `/data/vin`, with `~1` for a slash in a name and `~0` for a tilde";
    /// The name of an HTTP header.
    HeaderName: |text| http::HeaderName::from_bytes(text.as_bytes()).is_ok(), "not a header's name; write letters, digits and dashes, such as `X-Signature`";
    /// A Shopify shop's name: the first label of its `myshopify.com` address.
    ShopName: is_shop, "not a shop's name; write only what stands before `.myshopify.com`";
}

fn is_pointer(text: &str) -> bool {
    let escapes = text
        .split('~')
        .skip(1)
        .all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes
}

fn is_shop(text: &str) -> bool {
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && !text.starts_with('-') && text.chars().all(label)
}

/// Declares a bounded whole number.
macro_rules! numbers {
    ($( $(#[$doc:meta])* $name:ident($ty:ty), $least:literal to $most:expr, $unit:literal; )+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub(crate) $ty);

        impl $name {
            /// The number.
            pub const fn get(self) -> $ty {
                self.0
            }
        }
        impl Setting for $name {
            fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
                let number = <i64 as Setting>::read(node, problems)?;
                let read = <$ty>::try_from(number).ok().filter(|n| ($least..=$most).contains(n));
                if read.is_none() {
                    node.refuse(problems, format!("{number} is out of range; give {}", Self::expected()));
                }
                read.map(Self)
            }
            fn expected() -> String {
                format!("{} from {} to {}", $unit, $least, $most)
            }
            fn schema() -> Value {
                json!({ "type": "integer", "minimum": $least, "maximum": $most })
            }
        }
    )+ };
}

numbers! {
    /// A share of a hundred.
    Percent(u8), 0 to 100, "a percentage";
    /// A number of complete reads in a row.
    Grace(u16), 1 to 100, "a number of reads";
    /// A size in bytes, bounded by what a gateway lets through.
    Bytes(u32), 1 to 4_194_304, "a number of bytes";
    /// Days for which an event is remembered: at least a week, because senders retry for days.
    MemoryDays(u16), 7 to 400, "a number of days";
    /// Days of sales, of those that are kept.
    SalesDays(u16), 1 to SALES_DAYS, "a number of days";
    /// Units of stock.
    Units(u64), 1 to 1_000_000_000, "a number of units";
    /// Alerts named in one message.
    Named(u32), 1 to 25, "a number of alerts";
    /// Crossings of a threshold.
    Crossings(u32), 0 to 1000, "a number of crossings";
    /// Messages a second.
    PerSecond(u32), 1 to 10_000, "a number of messages";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event that Lambda is invoked with may have 6 MB, the gateway's part of it included.
    #[test]
    fn the_largest_body_that_can_be_configured_reaches_a_function_as_base64() {
        const EVENT: u64 = 6 * 1024 * 1024;
        const HEADERS_AND_CONTEXT: u64 = 32 * 1024;
        let largest = Bytes::schema()["maximum"].as_u64().unwrap();
        let encoded = largest.div_ceil(3) * 4;
        assert!(encoded + HEADERS_AND_CONTEXT <= EVENT, "{largest}");
    }

    #[test]
    fn a_pointer_is_read_as_rfc_6901_has_it() {
        for good in ["", "/", "/data/vin", "/a~1b/~0", "/events/0/id"] {
            assert!(good.parse::<JsonPointer>().is_ok(), "{good}");
        }
        for bad in ["data/vin", "/a~2", "/a~", "$.data.vin"] {
            assert!(bad.parse::<JsonPointer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shop_is_a_label_and_no_address() {
        assert!("northern-supply".parse::<ShopName>().is_ok());
        for bad in [
            "",
            "northern-supply.myshopify.com",
            "https://a",
            "-a",
            "UPPER",
        ] {
            assert!(bad.parse::<ShopName>().is_err(), "{bad}");
        }
    }
}
