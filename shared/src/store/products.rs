//! Product descriptions.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::{self, Listed};
use super::names::set_aside;
use super::row::{Expect, Row, Stored, Write, Written};
use super::stock::{Applied, ApplyError};
use super::{Store, StoreError};
use crate::domain::event::{ProductDescription, StockEvent, Version};
use crate::domain::id::ConnectorName;
use crate::domain::ledger::LedgerRow;
use crate::domain::position::Sources;
use crate::domain::{Position, ProductId};

const OPERATION: &str = "describe a product";

/// What is known of a product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Each source's latest version.
    #[serde(default)]
    pub heard: BTreeMap<ConnectorName, Version>,
    /// Counts the changes; each is one ledger row.
    #[serde(default)]
    pub revision: u64,
    /// The last ledger row's hash, in hex.
    #[serde(default)]
    pub chain: String,
}

impl Store {
    /// What is known of a product.
    pub async fn product(&self, product: &ProductId) -> Result<Option<Product>, StoreError> {
        let stored = self
            .get("read a product", &keys::description(product))
            .await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// Some SKUs that begin like this one and have stock somewhere, for who may have mistyped it.
    pub async fn products_beginning_like(
        &self,
        product: &ProductId,
    ) -> Result<BTreeSet<ProductId>, StoreError> {
        const LETTERS: usize = 2;
        const OF_A_SHARD: i32 = 60;
        let from: String = product.as_str().chars().take(LETTERS).collect();
        let until = format!("{from}\u{10ffff}");
        let mut found = BTreeSet::new();
        for shard in 0..keys::LIST_SHARDS {
            let page = self
                .list::<Position>(
                    "look for like SKUs",
                    &keys::positions_list(shard),
                    (Some(&from), Some(&until)),
                    false,
                    None,
                    OF_A_SHARD,
                )
                .await?;
            found.extend(page.items.into_iter().map(|stored| stored.data.product));
        }
        Ok(found)
    }

    pub(super) async fn apply_description(
        &self,
        event: &StockEvent,
        description: &ProductDescription,
        sources: &Sources,
    ) -> Result<Applied, ApplyError> {
        let says_more = description.title.is_some() || description.category.is_some();
        // What is only a name has a row of its own.
        let mut applied = if says_more || description.external.is_empty() {
            self.describe(event, description).await?
        } else {
            Applied::Known
        };
        // The names come last: what is carried to the SKU is told by its title. Learning one twice is
        // harmless.
        let mut clash = None;
        for (kind, name) in &description.external {
            let learnt = self.learn_name(event, description, (kind, name), sources);
            if set_aside(learnt.await, &mut clash)? == Some(true) {
                applied = Applied::Changed;
            }
        }
        clash.map_or(Ok(applied), Err)
    }

    /// Notes what a product is called.
    pub(super) async fn describe(
        &self,
        event: &StockEvent,
        description: &ProductDescription,
    ) -> Result<Applied, ApplyError> {
        let product = ProductId::from(description.sku.clone());
        let key = keys::description(&product);
        for attempt in 0.. {
            let stored = self.get::<Product>(OPERATION, &key).await?;
            let writes = self.description_writes(event, description, stored.as_ref())?;
            let Some(writes) = writes else {
                return Ok(Applied::Known);
            };
            match self.transact(OPERATION, writes).await? {
                Written::Done => return Ok(Applied::Changed),
                Written::Unexpected(_) => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// What a description changes of a product, and its ledger row; nothing if it is known.
    pub(super) fn description_writes(
        &self,
        event: &StockEvent,
        description: &ProductDescription,
        stored: Option<&Stored<Product>>,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        let version = description.version.kept();
        let product = ProductId::from(description.sku.clone());
        let before = stored.map(|s| s.data.clone()).unwrap_or_default();
        let heard = before.heard.get(&event.source);
        if heard.is_some_and(|known| *known >= version) {
            return Ok(None);
        }
        let mut after = before.clone();
        after.heard.insert(event.source.clone(), version);
        // Another source's newer description stands; an absent field wipes nothing.
        if before.heard.values().all(|known| *known <= version) {
            after.title = description.title.clone().or(after.title);
            after.category = description.category.clone().or(after.category);
        }
        after.revision += 1;
        let row = LedgerRow {
            of: keys::product_history(&product),
            revision: after.revision,
            at: self.clock.now(),
            source: event.source.clone(),
            event: event.id.clone(),
            actor: event.actor.clone(),
            reason: None,
            correlation: self.correlation().cloned(),
            change: "described".to_owned(),
            before: json!({ "title": before.title, "category": before.category }),
            after: json!({ "title": after.title, "category": after.category }),
            previous: before.chain,
            hash: String::new(),
        }
        .sealed();
        after.chain.clone_from(&row.hash);
        Ok(Some(vec![
            Write::Put(product_row(&product, &after)?, Expect::from_read(stored)),
            Write::Put(
                Row::new(keys::ledger(&row.of, row.revision), "ledger", &row)?,
                Expect::Absent,
            ),
        ]))
    }
}

fn product_row(id: &ProductId, product: &Product) -> Result<Row, StoreError> {
    let list = keys::products_list(keys::shard(id.as_str(), keys::LIST_SHARDS));
    let place = id.to_string();
    Ok(Row::new(keys::description(id), "product", product)?.listed(Listed { list, place }))
}
