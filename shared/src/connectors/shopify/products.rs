//! Products: which ids their variants have, what they are called, and whether they are still offered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{INVENTORY_ITEM, Shopify, VARIANT, only_ids, rows, whole_id};
use crate::connectors::json::{self, Object};
use crate::connectors::push::{ParseError, Parsed, Problem, Signed, event};
use crate::domain::Sku;
use crate::domain::event::{Change, Offer, ProductDescription, StockEvent, Version};

/// From this many variants on, the list may be cut short: what it lacks may still be there.
const VARIANTS_LISTED: usize = 100;

/// A product, as far as its variants need it.
struct Product {
    id: String,
    at: Timestamp,
    title: Option<String>,
    category: Option<String>,
}

impl Shopify {
    pub(super) fn product(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
    ) -> Result<Parsed, ParseError> {
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
        let variants = rows(body, "variants")?;
        let mut complete = variants.len() < VARIANTS_LISTED;
        let mut items = Vec::new();
        for (pointer, variant) in variants {
            let read = Object::of(variant, pointer.as_str());
            match read.and_then(|variant| self.variant(&product, &variant)) {
                Ok(Some((described, item))) => {
                    parsed.events.push(described);
                    items.extend(item);
                }
                Ok(None) => parsed.ignored.push(format!("{pointer}: no SKU")),
                Err(problem) => {
                    // What cannot be read has not ended.
                    complete = false;
                    let excerpt = variant_excerpt(variant);
                    parsed.reject(problem, excerpt);
                }
            }
        }
        let status = body.get("status", json::text);
        let offered = match status {
            Ok(Some("active" | "unlisted")) => Some(true),
            Ok(Some("archived" | "draft")) => Some(false),
            _ => None,
        };
        let offer = Offer {
            kind: INVENTORY_ITEM.to_owned(),
            product: Some(product.id.clone()),
            names: items,
            complete,
            offered,
            version: Version::at(product.at),
        };
        let id = format!("product/{}/offer/{}", product.id, product.at);
        parsed.events.push(event(
            &self.source,
            &id,
            product.at,
            Change::Offered(offer),
        )?);
        Ok(parsed)
    }

    /// A variant's description, and its inventory item.
    fn variant(
        &self,
        product: &Product,
        variant: &Object<'_>,
    ) -> Result<Option<(StockEvent, Option<String>)>, Problem> {
        let Some(sku) = variant.get("sku", json::parsed::<Sku>)? else {
            return Ok(None);
        };
        let id = variant.need("id", whole_id)?;
        let mut external = BTreeMap::from([(VARIANT.to_owned(), id.clone())]);
        let item = variant.get("inventory_item_id", whole_id)?;
        if let Some(item) = &item {
            external.insert(INVENTORY_ITEM.to_owned(), item.clone());
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
        Ok(Some((event(&self.source, &id, product.at, change)?, item)))
    }

    /// Which SKU an inventory item is: a new name of it arrives here too.
    pub(super) fn item(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
    ) -> Result<Parsed, ParseError> {
        let id = body.need("id", whole_id)?;
        let at = body.need("updated_at", json::time)?;
        let mut parsed = Parsed::default();
        let row = || -> Result<Option<StockEvent>, Problem> {
            let pointer = || body.pointer_to("updated_at");
            let at = signed.not_in_future(at, self.tolerance, pointer)?;
            let Some(sku) = body.get("sku", json::parsed::<Sku>)? else {
                return Ok(None);
            };
            let description = ProductDescription {
                sku,
                version: Version::at(at),
                title: None,
                category: None,
                external: [(INVENTORY_ITEM.to_owned(), id.clone())].into(),
            };
            let name = format!("item/{id}/{at}");
            event(&self.source, &name, at, Change::Described(description)).map(Some)
        };
        match row() {
            Ok(Some(event)) => parsed.events.push(event),
            // Its product says the same, and that the item no longer stands for a SKU.
            Ok(None) => parsed.ignored.push(format!("inventory item {id}: no SKU")),
            Err(problem) => parsed.reject(problem, body.excerpt(&["id", "sku", "updated_at"])),
        }
        Ok(parsed)
    }

    pub(super) fn item_deleted(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
    ) -> Result<Parsed, ParseError> {
        only_ids(body, &["id"])?;
        let id = body.need("id", whole_id)?;
        let at = self.triggered(signed);
        let offer = Offer {
            kind: INVENTORY_ITEM.to_owned(),
            product: None,
            names: vec![id.clone()],
            complete: false,
            offered: Some(false),
            version: Version::at(at),
        };
        let id = format!("item/{id}/deleted/{at}");
        self.ended(&id, at, offer)
    }

    pub(super) fn product_deleted(
        &self,
        body: &Object<'_>,
        signed: &Signed<'_>,
    ) -> Result<Parsed, ParseError> {
        only_ids(body, &["id"])?;
        let id = body.need("id", whole_id)?;
        let at = self.triggered(signed);
        let offer = Offer {
            kind: INVENTORY_ITEM.to_owned(),
            product: Some(id.clone()),
            names: Vec::new(),
            complete: true,
            offered: Some(false),
            version: Version::at(at),
        };
        let id = format!("product/{id}/deleted/{at}");
        self.ended(&id, at, offer)
    }

    fn ended(&self, id: &str, at: Timestamp, offer: Offer) -> Result<Parsed, ParseError> {
        let mut parsed = Parsed::default();
        parsed
            .events
            .push(event(&self.source, id, at, Change::Offered(offer))?);
        Ok(parsed)
    }
}

fn variant_excerpt(variant: &Value) -> Value {
    match Object::of(variant, "") {
        Ok(variant) => variant.excerpt(&["id", "sku", "inventory_item_id"]),
        Err(_) => Value::Null,
    }
}
