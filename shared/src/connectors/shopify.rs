//! Shopify: stock levels, orders and products of one shop, as webhooks.
//!
//! | topic | becomes |
//! |---|---|
//! | `inventory_levels/update` | a level, versioned by its `updated_at` |
//! | `orders/create` | a sale per line, which takes stock away only where `orders = "deduct"` |
//! | `products/create`, `products/update` | a description per variant, which teaches us its ids |
//!
//! Other topics are answered with 200 and left alone. The signature covers the body and no header,
//! so nothing is named after `X-Shopify-Webhook-Id`, and the topic is believed only as far as the
//! body has its form. `available` is what Shopify sends: stock less what open orders have committed.
//! Test orders and orders that arrive cancelled are no demand; gift cards, tips and other lines
//! without a variant are no stock.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use super::About;
use super::json::{self, Object, Wrong};
use super::names::{External, Names};
use super::push::{Delivery, ParseError, Parsed, Problem, Push, Reason, Signed, event};
use crate::config::connector::{self as settings, Orders};
use crate::domain::event::{Change, Level, ProductDescription, StockEvent, Version};
use crate::domain::{ConnectorName, LocationId, Sku};
use crate::signature::{HmacSha256, LiveSecrets, SecretsError, SignatureError};

/// What the documentation says of it.
pub const ABOUT: About = About {
    title: "Shopify",
    authenticity: "`X-Shopify-Hmac-Sha256`, made with the app's client secret",
    takes: &[
        (
            "`inventory_levels/update`",
            "how much is available at a location",
        ),
        (
            "`orders/create`",
            "demand, or a sale that takes stock away (`orders = \"deduct\"`)",
        ),
        (
            "`products/create`, `products/update`",
            "SKU, title and category of each variant",
        ),
    ],
};

const SIGNATURE: HmacSha256 = HmacSha256::base64("x-shopify-hmac-sha256");
const TOPIC: &str = "x-shopify-topic";
const SHOP: &str = "x-shopify-shop-domain";
/// Kinds of name that Shopify has for a product.
const INVENTORY_ITEM: &str = "inventory_item";
const VARIANT: &str = "variant";
/// What an order says of whoever placed it, wherever in the body it stands: stock needs none of it.
const PERSONAL: [&str; 25] = [
    "billing_address",
    "browser_ip",
    "cart_token",
    "checkout_token",
    "client_details",
    "contact_email",
    "customer",
    "customer_locale",
    "default_address",
    "destination",
    "email",
    "landing_site",
    "landing_site_ref",
    "note",
    "note_attributes",
    "order_status_url",
    "payment_details",
    "phone",
    "properties",
    "receipt",
    "referring_site",
    "shipping_address",
    "token",
    "tracking_numbers",
    "tracking_urls",
];
/// More variants than a product of Shopify's, or lines than an order of anybody's.
const ROWS_MOST: usize = 5_000;

pub(super) fn push(
    source: ConnectorName,
    settings: &settings::Shopify,
    secrets: &[SecretString],
) -> Result<Shopify, SecretsError> {
    Ok(Shopify {
        source,
        secrets: LiveSecrets::new(secrets)?,
        domain: format!("{}.myshopify.com", settings.shop.as_str()),
        deducts: settings.orders == Orders::Deduct,
        default_location: settings.default_location.clone(),
        tolerance: settings.webhook.tolerance,
    })
}

/// A Shopify shop.
pub struct Shopify {
    source: ConnectorName,
    secrets: LiveSecrets,
    domain: String,
    deducts: bool,
    default_location: Option<LocationId>,
    tolerance: SignedDuration,
}

/// The topics that are of use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    Level,
    Order,
    Product,
}

impl Push for Shopify {
    fn verify<'a>(&self, delivery: &Delivery<'a>) -> Result<Signed<'a>, SignatureError> {
        let verified = SIGNATURE.verify(delivery.headers, &[delivery.body], &self.secrets)?;
        Ok(Signed::proven(delivery, verified))
    }

    fn delivery_id(&self, delivery: &Delivery<'_>) -> Option<String> {
        let id = delivery
            .headers
            .get("x-shopify-webhook-id")?
            .to_str()
            .ok()?;
        Some(id.to_owned())
    }

    fn keepable<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        json::without(body, &PERSONAL)
    }

    fn wanted(&self, signed: &Signed<'_>) -> Result<Vec<External>, ParseError> {
        let topic = self.topic(signed)?;
        let Ok(Topic::Level | Topic::Order) = topic else {
            return Ok(Vec::new());
        };
        let body = json::document(signed.body())?;
        let body = Object::of(&body, "")?;
        if topic == Ok(Topic::Level) {
            let id = body.need("inventory_item_id", whole_id)?;
            return Ok(vec![External {
                kind: INVENTORY_ITEM,
                id,
            }]);
        }
        let mut wanted: Vec<_> = rows(&body, "line_items")?
            .into_iter()
            .filter_map(|(pointer, line)| Line::read(&Object::of(line, pointer).ok()?).ok())
            .filter_map(|line| match line {
                Line::Variant(variant) => Some(variant),
                Line::Sku(_) | Line::NotStock(_) => None,
            })
            .collect();
        wanted.sort();
        wanted.dedup();
        Ok(wanted)
    }

    fn parse(&self, signed: &Signed<'_>, names: &dyn Names) -> Result<Parsed, ParseError> {
        let topic = match self.topic(signed)? {
            Ok(topic) => topic,
            Err(other) => return Ok(Parsed::ignoring(format!("topic {other}"))),
        };
        let body = json::document(signed.body())?;
        let body = Object::of(&body, "")?;
        match topic {
            Topic::Level => self.level(&body, signed, names),
            Topic::Order => self.order(&body, signed, names),
            Topic::Product => self.product(&body, signed),
        }
    }
}

impl Shopify {
    /// The topic, or the name of one that is of no use to us.
    fn topic<'a>(&self, signed: &Signed<'a>) -> Result<Result<Topic, &'a str>, ParseError> {
        let header = |header: &'static str| -> Result<&'a str, ParseError> {
            let value = signed.headers().get(header);
            let text = value.and_then(|value| value.to_str().ok());
            text.ok_or(ParseError::Header {
                header,
                problem: "is missing",
            })
        };
        if !header(SHOP)?.eq_ignore_ascii_case(&self.domain) {
            return Err(ParseError::Header {
                header: SHOP,
                problem: "names another shop than the connector's `shop`",
            });
        }
        Ok(match header(TOPIC)? {
            "inventory_levels/update" => Ok(Topic::Level),
            "orders/create" => Ok(Topic::Order),
            "products/create" | "products/update" => Ok(Topic::Product),
            other => Err(other.get(..64).unwrap_or(other)),
        })
    }

    fn level(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
        names: &dyn Names,
    ) -> Result<Parsed, ParseError> {
        let external = External {
            kind: INVENTORY_ITEM,
            id: body.need("inventory_item_id", whole_id)?,
        };
        let place = body.need("location_id", whole_id)?;
        let at = body.need("updated_at", json::time)?;
        let row = || -> Result<StockEvent, Problem> {
            let pointer = || body.pointer_to("updated_at");
            let at = signed.not_in_future(at, self.tolerance, pointer)?;
            let on_hand = body.need_quantity("available")?;
            let location = names
                .location(&place)
                .ok_or_else(|| Problem::unknown_location(body.pointer_to("location_id"), &place))?;
            let sku = names.product(&external).ok_or_else(|| {
                Problem::unknown_product(body.pointer_to("inventory_item_id"), &external)
            })?;
            let level = Level {
                on_hand,
                ..Level::default()
            };
            // `updated_at` has whole seconds: two levels of one second are two statements.
            let id = format!("level/{}/{place}/{at}/{on_hand}", external.id);
            let change = Change::LevelSet {
                product: sku.into(),
                location,
                level,
                version: Version::at(at),
            };
            event(&self.source, &id, at, change)
        };
        let mut parsed = Parsed::default();
        parsed.add(row(), || {
            body.excerpt(&[
                "inventory_item_id",
                "location_id",
                "available",
                "updated_at",
            ])
        });
        Ok(parsed)
    }

    fn order(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
        names: &dyn Names,
    ) -> Result<Parsed, ParseError> {
        let id = body.need("id", whole_id)?;
        let at = body.need("created_at", json::time)?;
        let lines = rows(body, "line_items")?;
        if body.get("test", json::flag)? == Some(true) {
            return Ok(Parsed::ignoring(format!("order {id} is a test")));
        }
        if body.value("cancelled_at").is_some() {
            return Ok(Parsed::ignoring(format!("order {id} is cancelled")));
        }
        let mut parsed = Parsed::default();
        let pointer = || body.pointer_to("created_at");
        if let Err(problem) = signed.not_in_future(at, self.tolerance, pointer) {
            parsed.reject(problem, body.excerpt(&["id", "created_at"]));
            return Ok(parsed);
        }
        let order = Order {
            id,
            at,
            place: (
                body.pointer_to("location_id"),
                body.get("location_id", whole_id)?,
            ),
        };
        for (pointer, line) in lines {
            let line = match Object::of(line, pointer) {
                Ok(line) => line,
                Err(problem) => {
                    parsed.reject(problem, Value::Null);
                    continue;
                }
            };
            match self.sale(&order, &line, names) {
                Ok(Sale::Event(event)) => parsed.events.push(*event),
                Ok(Sale::None(why)) => {
                    parsed.ignored.push(format!("{}: {why}", line.pointer()));
                }
                Err(problem) => parsed.reject(
                    problem,
                    line.excerpt(&["id", "sku", "variant_id", "quantity", "location_id"]),
                ),
            }
        }
        Ok(parsed)
    }

    fn sale(&self, order: &Order, line: &Object<'_>, names: &dyn Names) -> Result<Sale, Problem> {
        let product = match Line::read(line)? {
            Line::NotStock(why) => return Ok(Sale::None(why)),
            Line::Sku(sku) => sku,
            Line::Variant(external) => names.product(&external).ok_or_else(|| {
                Problem::unknown_product(line.pointer_to("variant_id"), &external)
            })?,
        };
        let quantity = line.need_quantity("quantity")?;
        match quantity {
            0 => return Ok(Sale::None("none of it is ordered")),
            ..0 => {
                let negative = Wrong::new(Reason::OutOfRange, "is negative");
                return Err(negative.at(line.pointer_to("quantity")));
            }
            1.. => {}
        }
        let id = line.need("id", whole_id)?;
        let location = self.sold_from(order, line, names)?;
        let change = Change::Sold {
            product: product.into(),
            location,
            quantity,
            deducts: self.deducts,
        };
        let id = format!("order/{}/line/{id}", order.id);
        Ok(Sale::Event(Box::new(event(
            &self.source,
            &id,
            order.at,
            change,
        )?)))
    }

    /// Where a line counts: where the line says, else where the order says, else the default.
    fn sold_from(
        &self,
        order: &Order,
        line: &Object<'_>,
        names: &dyn Names,
    ) -> Result<LocationId, Problem> {
        let (pointer, place) = match line.get("location_id", whole_id)? {
            Some(place) => (line.pointer_to("location_id"), Some(place)),
            None => order.place.clone(),
        };
        match (place, &self.default_location) {
            (Some(place), _) => names
                .location(&place)
                .ok_or_else(|| Problem::unknown_location(pointer, &place)),
            (None, Some(default)) => Ok(default.clone()),
            (None, None) => {
                let sentence = "neither line nor order names a location, and the connector has no \
                                `default_location`";
                Err(Wrong::new(Reason::UnknownLocation, sentence).at(pointer))
            }
        }
    }

    fn product(&self, body: &Object<'_>, signed: &Signed<'_>) -> Result<Parsed, ParseError> {
        let product = Product {
            id: body.need("id", whole_id)?,
            at: body.need("updated_at", json::time)?,
            title: body.get("title", json::text)?.map(str::to_owned),
            category: body.get("product_type", json::text)?.map(str::to_owned),
        };
        let mut parsed = Parsed::default();
        let pointer = || body.pointer_to("updated_at");
        if let Err(problem) = signed.not_in_future(product.at, self.tolerance, pointer) {
            parsed.reject(problem, body.excerpt(&["id", "updated_at"]));
            return Ok(parsed);
        }
        for (pointer, variant) in rows(body, "variants")? {
            let variant = match Object::of(variant, pointer) {
                Ok(variant) => variant,
                Err(problem) => {
                    parsed.reject(problem, Value::Null);
                    continue;
                }
            };
            match self.variant(&product, &variant) {
                Ok(Some(event)) => parsed.events.push(event),
                Ok(None) => {
                    parsed
                        .ignored
                        .push(format!("{}: no SKU", variant.pointer()));
                }
                Err(problem) => {
                    parsed.reject(
                        problem,
                        variant.excerpt(&["id", "sku", "inventory_item_id"]),
                    );
                }
            }
        }
        Ok(parsed)
    }

    fn variant(
        &self,
        product: &Product,
        variant: &Object<'_>,
    ) -> Result<Option<StockEvent>, Problem> {
        let Some(sku) = variant.get("sku", json::parsed::<Sku>)? else {
            return Ok(None);
        };
        let id = variant.need("id", whole_id)?;
        let mut external = BTreeMap::from([(VARIANT.to_owned(), id.clone())]);
        if let Some(inventory_item) = variant.get("inventory_item_id", whole_id)? {
            external.insert(INVENTORY_ITEM.to_owned(), inventory_item);
        }
        let of_variant = variant.get("title", json::text)?;
        let title = match (&product.title, of_variant) {
            (Some(title), Some(of_variant)) if of_variant != "Default Title" => {
                Some(format!("{title} – {of_variant}"))
            }
            (title, _) => title.clone(),
        };
        let description = ProductDescription {
            sku,
            version: Version::at(product.at),
            title,
            category: product.category.clone(),
            external,
        };
        let id = format!("product/{}/variant/{id}/{}", product.id, product.at);
        let change = Change::Described(description);
        event(&self.source, &id, product.at, change).map(Some)
    }
}

/// An order, as far as its lines need it.
struct Order {
    id: String,
    at: Timestamp,
    /// Where it was sold, and where that stands.
    place: (String, Option<String>),
}

/// A product, as far as its variants need it.
struct Product {
    id: String,
    at: Timestamp,
    title: Option<String>,
    category: Option<String>,
}

/// What becomes of a line.
enum Sale {
    Event(Box<StockEvent>),
    None(&'static str),
}

/// What a line sells.
enum Line {
    Sku(Sku),
    Variant(External),
    NotStock(&'static str),
}

impl Line {
    fn read(line: &Object<'_>) -> Result<Self, Problem> {
        if line.get("gift_card", json::flag)? == Some(true) {
            return Ok(Self::NotStock("a gift card is no stock"));
        }
        if let Some(sku) = line.get("sku", json::parsed)? {
            return Ok(Self::Sku(sku));
        }
        Ok(match line.get("variant_id", whole_id)? {
            Some(id) => Self::Variant(External { kind: VARIANT, id }),
            None => Self::NotStock("a line without SKU or variant is no stock"),
        })
    }
}

/// One of Shopify's ids: a whole number, sometimes written as text.
fn whole_id(value: &Value) -> json::Read<String> {
    Ok(json::whole(value)?.map(|id| id.to_string()))
}

/// The rows of a list that must be there, each with the pointer to it.
fn rows<'v>(body: &Object<'v>, key: &str) -> Result<Vec<(String, &'v Value)>, ParseError> {
    let rows = body.need(key, json::list)?;
    let list = body.pointer_to(key);
    if rows.len() > ROWS_MOST {
        return Err(ParseError::TooMany {
            pointer: list,
            found: rows.len(),
            most: ROWS_MOST,
        });
    }
    let numbered = rows.iter().enumerate();
    Ok(numbered
        .map(|(index, row)| (format!("{list}/{index}"), row))
        .collect())
}

#[cfg(test)]
mod tests;
