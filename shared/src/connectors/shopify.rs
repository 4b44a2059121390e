//! Shopify: stock levels, orders and products of one shop, as webhooks.
//!
//! | topic | becomes |
//! |---|---|
//! | `inventory_levels/update`, `inventory_levels/connect` | a level of an inventory item, versioned by its `updated_at` |
//! | `inventory_levels/disconnect` | the end of that statement |
//! | `inventory_items/create`, `inventory_items/update` | which SKU an inventory item is |
//! | `inventory_items/delete`, `products/delete` | the end of what the item, or the product's items, stated |
//! | `products/create`, `products/update` | a description per variant, which teaches us its ids; what is archived, a draft, or no longer listed states nothing |
//! | `orders/create`, `orders/updated`, `orders/cancelled`, `orders/paid`, `orders/fulfilled` | each line as it is now: demand, and what it takes from stock where `orders = "deduct"` |
//! | `refunds/create` | what came back of a line |
//!
//! Other topics are answered with 200 and left alone: `orders/edited` says only what differs, and
//! `orders/updated` comes with it. The signature covers the body and no header, so nothing is named
//! after `X-Shopify-Webhook-Id`, and the topic is believed only as far as the body has its form. What
//! is deleted or disconnected comes with ids alone; it dates from `X-Shopify-Triggered-At`, or else
//! from when it came.
//!
//! `available` is what Shopify sends: stock less what open orders have committed and what is not for sale, so
//! of neither is there any beside it; or `null` for an item
//! that it does not track, which ends what was stated. Test orders are no
//! demand; gift cards, tips and other lines without a variant are no stock.
//!
//! | file | job |
//! |---|---|
//! | `orders` | orders and refunds, line by line |
//! | `products` | products, their variants and their ends |

mod orders;
mod products;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use super::About;
use super::json::{self, Object, Wrong};
use super::names::{External, Names};
use super::push::{Delivery, ParseError, Parsed, Problem, Push, Reason, Signed, event};
use crate::config::connector::{self as settings, Orders};
use crate::domain::event::{Change, Level, StockEvent, Version};
use crate::domain::item::{Dated, ItemStatement};
use crate::domain::{ConnectorName, LocationId};
use crate::signature::{HmacSha256, LiveSecrets, SecretsError, SignatureError};

/// What the documentation says of it.
pub const ABOUT: About = About {
    title: "Shopify",
    authenticity: "`X-Shopify-Hmac-Sha256`, made with the app's client secret",
    takes: &[
        (
            "`inventory_levels/update`, `/connect`",
            "how much is available at a location",
        ),
        (
            "`inventory_levels/disconnect`",
            "the item is no longer kept at a location",
        ),
        (
            "`inventory_items/create`, `/update`, `/delete`",
            "which SKU an inventory item is, and its end",
        ),
        (
            "`products/create`, `/update`, `/delete`",
            "SKU, title and category of each variant, and whether it is still offered",
        ),
        (
            "`orders/create`, `/updated`, `/cancelled`, `/paid`, `/fulfilled`",
            "demand, and what is taken from stock (`orders = \"deduct\"`)",
        ),
        ("`refunds/create`", "what came back of an order"),
    ],
};

const SIGNATURE: HmacSha256 = HmacSha256::base64("x-shopify-hmac-sha256");
const TOPIC: &str = "x-shopify-topic";
const SHOP: &str = "x-shopify-shop-domain";
const TRIGGERED: &str = "x-shopify-triggered-at";
/// Kinds of name that Shopify has for a product.
const INVENTORY_ITEM: &str = "inventory_item";
const VARIANT: &str = "variant";
/// What is kept of a webhook: all that is read, and what tells people which order or product it was.
/// Everything else of an order is its buyer's, in places that differ by version and by app.
const KEPT: [&str; 40] = [
    "admin_graphql_api_id",
    "available",
    "cancel_reason",
    "cancelled_at",
    "closed_at",
    "created_at",
    "current_quantity",
    "financial_status",
    "fulfillable_quantity",
    "fulfillment_status",
    "fulfillments",
    "gift_card",
    "handle",
    "id",
    "inventory_item_id",
    "inventory_management",
    "inventory_policy",
    "inventory_quantity",
    "line_item",
    "line_item_id",
    "line_items",
    "location_id",
    "order_id",
    "order_number",
    "processed_at",
    "product_id",
    "product_type",
    "published_at",
    "quantity",
    "refund_line_items",
    "refunds",
    "restock_type",
    "sku",
    "status",
    "test",
    "title",
    "tracked",
    "updated_at",
    "variant_id",
    "variants",
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
    Disconnected,
    Item,
    ItemDeleted,
    Product,
    ProductDeleted,
    Order,
    Refund,
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
        json::only(body, &KEPT)
    }

    fn wanted(&self, signed: &Signed<'_>) -> Result<Vec<External>, ParseError> {
        let Ok(topic) = self.topic(signed)? else {
            return Ok(Vec::new());
        };
        let body = json::document(signed.body())?;
        let body = Object::of(&body, "")?;
        match topic {
            Topic::Level | Topic::Disconnected => {
                let id = body.need("inventory_item_id", whole_id)?;
                Ok(vec![inventory_item(id)])
            }
            Topic::Order => orders::wanted(rows(&body, "line_items")?, None),
            Topic::Refund => orders::wanted(rows(&body, "refund_line_items")?, Some("line_item")),
            Topic::Item | Topic::ItemDeleted | Topic::Product | Topic::ProductDeleted => {
                Ok(Vec::new())
            }
        }
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
            Topic::Disconnected => self.disconnected(&body, signed, names),
            Topic::Item => self.item(&body, signed),
            Topic::ItemDeleted => self.item_deleted(&body, signed),
            Topic::Product => self.product(&body, signed),
            Topic::ProductDeleted => self.product_deleted(&body, signed),
            Topic::Order => self.order(&body, signed, names),
            Topic::Refund => self.refund(&body, signed, names),
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
            "inventory_levels/update" | "inventory_levels/connect" => Ok(Topic::Level),
            "inventory_levels/disconnect" => Ok(Topic::Disconnected),
            "inventory_items/create" | "inventory_items/update" => Ok(Topic::Item),
            "inventory_items/delete" => Ok(Topic::ItemDeleted),
            "products/create" | "products/update" => Ok(Topic::Product),
            "products/delete" => Ok(Topic::ProductDeleted),
            "orders/create" | "orders/updated" | "orders/cancelled" | "orders/paid"
            | "orders/fulfilled" => Ok(Topic::Order),
            "refunds/create" => Ok(Topic::Refund),
            other => Err(other.get(..64).unwrap_or(other)),
        })
    }

    fn level(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
        names: &dyn Names,
    ) -> Result<Parsed, ParseError> {
        let at = body.need("updated_at", json::time)?;
        self.statement(body, names, |body| {
            let pointer = || body.pointer_to("updated_at");
            let at = signed.not_in_future(at, self.tolerance, pointer)?;
            // A `null` says that the shop does not track the item, so nobody states how much there is.
            let untracked =
                body.value("available").is_none() && body.keys().any(|key| key == "available");
            if untracked {
                return Ok((at, None));
            }
            // What is committed, or there and not for sale, is off it already.
            let level = Level {
                on_hand: body.need_quantity("available")?,
                reserved: Some(0),
                unavailable: Some(0),
                incoming: None,
            };
            Ok((at, Some(level)))
        })
    }

    /// The item is not kept at the location any more.
    fn disconnected(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
        names: &dyn Names,
    ) -> Result<Parsed, ParseError> {
        only_ids(body, &["inventory_item_id", "location_id"])?;
        self.statement(body, names, |_| Ok((self.triggered(signed), None)))
    }

    /// When what a body without a time tells of happened: as the header says, which nobody has signed,
    /// but no further ahead of when it came than any other time of the shop's may be. Cut off at that, an
    /// end by a clock that runs ahead would be older than what the same clock dated before it.
    fn triggered(&self, signed: &Signed<'_>) -> Timestamp {
        let said = signed.headers().get(TRIGGERED);
        let said = said.and_then(|at| at.to_str().ok()?.parse::<Timestamp>().ok());
        let came = signed.received();
        let latest = came.saturating_add(self.tolerance).unwrap_or(came);
        said.map_or(came, |at| at.min(latest))
    }

    fn statement(
        &self,
        body: &Object<'_>,
        names: &dyn Names,
        said: impl FnOnce(&Object<'_>) -> Result<(Timestamp, Option<Level>), Problem>,
    ) -> Result<Parsed, ParseError> {
        let external = inventory_item(body.need("inventory_item_id", whole_id)?);
        let place = body.need("location_id", whole_id)?;
        let row = || -> Result<StockEvent, Problem> {
            let (at, level) = said(body)?;
            let location = names
                .location(&place)
                .ok_or_else(|| Problem::unknown_location(body.pointer_to("location_id"), &place))?;
            let sku = names.product(&external).ok_or_else(|| {
                Problem::unknown_product(body.pointer_to("inventory_item_id"), &external)
            })?;
            // `updated_at` has whole seconds: two levels of one second are two statements.
            let stated = level.as_ref().map(|level| level.on_hand);
            let stated = stated.map_or_else(|| "ended".to_owned(), |units| units.to_string());
            let id = format!("level/{}/{place}/{at}/{stated}", external.id);
            let standing = names.standing(&external);
            let change = Change::Item(Box::new(ItemStatement {
                product: sku.into(),
                location,
                item: external.to_string(),
                level: Some(Dated {
                    version: Version::at(at),
                    value: level,
                }),
                offered: standing.offered,
                named: standing.named,
                called: Some(place.clone()),
                offered_by: standing.offered_by,
            }));
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
}

fn inventory_item(id: String) -> External {
    External {
        kind: INVENTORY_ITEM,
        id,
    }
}

/// A body that says nothing but ids. The topic is not signed, so a body that says more is not taken as
/// the end of what it is about.
fn only_ids(body: &Object<'_>, ids: &[&str]) -> Result<(), Problem> {
    let known = |key: &str| ids.contains(&key) || key == "admin_graphql_api_id";
    match body.keys().find(|key| !known(key)) {
        None => Ok(()),
        Some(more) => {
            let sentence = "is more than this topic says";
            Err(Wrong::new(Reason::Contradiction, sentence).at(body.pointer_to(more)))
        }
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
