//! Product descriptions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{self, Listed};
use super::names::set_aside;
use super::row::{Expect, Page, Row, Stored, Write, Written};
use super::stock::{Applied, ApplyError};
use super::{Store, StoreError};
use crate::domain::event::{ProductDescription, StockEvent, Version};
use crate::domain::id::ConnectorName;
use crate::domain::ledger::LedgerRow;
use crate::domain::position::Sources;
use crate::domain::unit::{Stamped, hear, owned};
use crate::domain::{Position, ProductId};

const OPERATION: &str = "describe a product";
/// Of how many sources a product keeps the title, and of how many the category: those that own it first, then
/// those that have spoken last.
const SOURCES: usize = 4;

/// What is known of a product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AnyFormat")]
pub struct Product {
    /// What sources call it, for people.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    titles: Said,
    /// In which category sources have it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    categories: Said,
    /// Counts the changes; each is one ledger row.
    pub revision: u64,
    /// The last ledger row's hash, in hex.
    pub chain: String,
}

/// Each source's latest word.
type Said = BTreeMap<ConnectorName, Stamped<String>>;

/// A product as it is stored. The first format had one title and category, by whoever spoke last.
#[derive(Deserialize)]
struct AnyFormat {
    #[serde(default)]
    titles: Said,
    #[serde(default)]
    categories: Said,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    heard: BTreeMap<ConnectorName, Version>,
    #[serde(default)]
    revision: u64,
    #[serde(default)]
    chain: String,
}

impl From<AnyFormat> for Product {
    fn from(stored: AnyFormat) -> Self {
        let mut product = Self {
            titles: stored.titles,
            categories: stored.categories,
            revision: stored.revision,
            chain: stored.chain,
        };
        let last = stored.heard.iter().max_by_key(|(_, version)| **version);
        if let Some((source, version)) = last {
            product.hear(source, *version, stored.title, stored.category);
        }
        product
    }
}

impl Product {
    /// Its name for people.
    pub fn title(&self, sources: &Sources) -> Option<&str> {
        self.titled(sources).map(|(_, title)| title)
    }

    /// Its name for people, and who says so.
    pub fn titled(&self, sources: &Sources) -> Option<(&ConnectorName, &str)> {
        let (source, title) = owned(&self.titles, &sources.titles)?;
        Some((source, &title.value))
    }

    /// Its category.
    pub fn category(&self, sources: &Sources) -> Option<&str> {
        self.categorized(sources).map(|(_, category)| category)
    }

    /// Its category, and who says so.
    pub fn categorized(&self, sources: &Sources) -> Option<(&ConnectorName, &str)> {
        let (source, category) = owned(&self.categories, &sources.categories)?;
        Some((source, &category.value))
    }

    /// The title and category that a source gave it last.
    pub fn said_by(&self, source: &ConnectorName) -> [Option<&String>; 2] {
        [&self.titles, &self.categories].map(|said| said.get(source).map(|it| &it.value))
    }

    /// Whether nothing new was said of its category.
    pub fn has_categories_of(&self, other: &Self) -> bool {
        self.categories == other.categories
    }

    /// The product with a description heard.
    pub(super) fn after(&self, source: &ConnectorName, said: &ProductDescription) -> Self {
        let mut next = self.clone();
        let (title, category) = (said.title.clone(), said.category.clone());
        next.hear(source, said.version.kept(), title, category);
        next
    }

    /// The product with all that was said of it under another SKU.
    fn with(&self, other: &Self) -> Self {
        let mut next = self.clone();
        for (source, it) in &other.titles {
            next.hear(source, it.version, Some(it.value.clone()), None);
        }
        for (source, it) in &other.categories {
            next.hear(source, it.version, None, Some(it.value.clone()));
        }
        next
    }

    /// The product with the words of a few sources, however many have described it, so that its row stays
    /// small. What is shown is the first of them, and who they are does not depend on the order in which
    /// sources were heard.
    fn bounded(mut self, sources: &Sources) -> Self {
        for (said, ranking) in [
            (&mut self.titles, &sources.titles),
            (&mut self.categories, &sources.categories),
        ] {
            if said.len() > SOURCES {
                let mut all: Vec<_> = std::mem::take(said).into_iter().collect();
                all.sort_by_cached_key(|(source, it)| {
                    let rank = ranking.iter().position(|ranked| ranked == source);
                    (
                        rank.unwrap_or(usize::MAX),
                        Reverse((it.version, source.clone())),
                    )
                });
                said.extend(all.into_iter().take(SOURCES));
            }
        }
        self
    }

    fn hear(
        &mut self,
        source: &ConnectorName,
        version: Version,
        title: Option<String>,
        category: Option<String>,
    ) {
        for (said, value) in [(&mut self.titles, title), (&mut self.categories, category)] {
            let mut slot = said.remove(source);
            hear(&mut slot, value, version);
            said.extend(slot.map(|it| (source.clone(), it)));
        }
    }
}

/// What the ledger shows of a product.
pub(super) fn words(product: &Product, sources: &Sources) -> Value {
    json!({ "title": product.title(sources), "category": product.category(sources) })
}

impl Store {
    /// What is known of a product.
    pub async fn product(&self, product: &ProductId) -> Result<Option<Product>, StoreError> {
        let stored = self
            .get("read a product", &keys::description(product))
            .await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// Some SKUs that begin like this one, in whatever case, or are the same but for case and blanks, and have
    /// stock somewhere: for who may have mistyped it.
    pub async fn products_beginning_like(
        &self,
        product: &ProductId,
    ) -> Result<BTreeSet<ProductId>, StoreError> {
        const LETTERS: usize = 2;
        const OF_A_SHARD: i32 = 60;
        let bare: String = product.as_str().split_whitespace().collect();
        let cases = |text: &str| [text.to_owned(), text.to_uppercase(), text.to_lowercase()];
        // What only moved may be as mistyped.
        let is_stated = |it: &Position| it.stock(&Sources::default()).is_some();
        let mut found = BTreeSet::new();
        // However many others begin so.
        for sku in cases(&bare).into_iter().chain(cases(product.as_str())) {
            let Ok(same) = sku.parse::<ProductId>() else {
                continue;
            };
            if same != *product && self.positions_of(&same).await?.iter().any(is_stated) {
                found.insert(same);
            }
        }
        let mut letters = bare.chars();
        let first: String = letters.by_ref().take(1).collect();
        let rest: String = letters.take(LETTERS - 1).collect();
        let mut beginnings = BTreeSet::from(cases(&format!("{first}{rest}")));
        beginnings.insert(format!("{}{}", first.to_uppercase(), rest.to_lowercase()));
        for from in &beginnings {
            let until = format!("{from}\u{10ffff}");
            let lists: Vec<_> = (0..keys::LIST_SHARDS).map(keys::positions_list).collect();
            let pages = lists.iter().map(|list| {
                let bounds = (Some(from.as_str()), Some(until.as_str()));
                self.list::<Position>("look for like SKUs", list, bounds, false, None, OF_A_SHARD)
            });
            for page in try_join_all(pages).await? {
                let positions = page.items.into_iter().map(|stored| stored.data);
                found.extend(positions.filter(is_stated).map(|it| it.product));
            }
        }
        found.remove(product);
        Ok(found)
    }

    /// Whether anything is known of a product.
    pub async fn is_known(&self, product: &ProductId) -> Result<bool, StoreError> {
        let pk = keys::product(product);
        Ok(self
            .any_within("look for a product", &pk, keys::OF_PRODUCT)
            .await?
            || self.has_position(product).await?)
    }

    /// Whether any product has a position whose SKU begins so.
    pub async fn any_begins(&self, beginning: &str) -> Result<bool, StoreError> {
        let until = format!("{beginning}\u{10ffff}");
        let lists: Vec<_> = (0..keys::LIST_SHARDS).map(keys::positions_list).collect();
        // A key is never empty.
        let from = Some(beginning).filter(|it| !it.is_empty());
        let bounds = (from, Some(until.as_str()));
        let lists = lists.iter();
        let firsts =
            lists.map(|list| self.list_items("look for a position", list, bounds, false, None, 1));
        let firsts = try_join_all(firsts).await?;
        Ok(firsts.iter().any(|page| !page.items.is_empty()))
    }

    /// The makes of all model lines that are known, and whether any of each is there or on its way; nothing
    /// where there are too many lines to tell.
    pub async fn makes(&self) -> Result<Option<BTreeMap<String, bool>>, StoreError> {
        const OF_A_SHARD: i32 = 500;
        let bounds = (Some("line:"), Some("line:\u{10ffff}"));
        let lists: Vec<_> = (0..keys::LIST_SHARDS).map(keys::positions_list).collect();
        let pages = lists
            .iter()
            .map(|list| self.list::<Position>("list makes", list, bounds, false, None, OF_A_SHARD));
        let mut makes = BTreeMap::new();
        for page in try_join_all(pages).await? {
            if page.next.is_some() {
                return Ok(None);
            }
            for position in page.items.into_iter().map(|stored| stored.data) {
                let stock = position.stock(&Sources::default());
                let is_there = stock.is_some_and(|stock| stock.on_hand + stock.incoming > 0);
                if let Some((make, _)) = position.product.line() {
                    *makes.entry(make.to_owned()).or_default() |= is_there;
                }
            }
        }
        Ok(Some(makes))
    }

    /// A page of all products that are described, by SKU within each of the list's shards.
    pub async fn products(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Product>, StoreError> {
        let page = self.sharded("list products", keys::products_list, cursor, limit);
        page.await?.try_map(|it| it)
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
            self.describe(event, description, sources).await?
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
    async fn describe(
        &self,
        event: &StockEvent,
        description: &ProductDescription,
        sources: &Sources,
    ) -> Result<Applied, ApplyError> {
        let product = ProductId::from(description.sku.clone());
        let said = |known: &Product| known.after(&event.source, description);
        self.redescribe(event, &product, said, sources).await
    }

    /// Notes of a product what was said of another that has its SKU now.
    pub(super) async fn carry_description(
        &self,
        event: &StockEvent,
        old: &ProductId,
        new: &ProductId,
        sources: &Sources,
    ) -> Result<(), ApplyError> {
        let Some(said) = self.product(old).await? else {
            return Ok(());
        };
        let with = |known: &Product| known.with(&said);
        self.redescribe(event, new, with, sources).await.map(drop)
    }

    async fn redescribe(
        &self,
        event: &StockEvent,
        product: &ProductId,
        change: impl Fn(&Product) -> Product + Send,
        sources: &Sources,
    ) -> Result<Applied, ApplyError> {
        let key = keys::description(product);
        for attempt in 0.. {
            let stored = self.get::<Product>(OPERATION, &key).await?;
            let known = stored.as_ref().map(|it| it.data.clone());
            let after = change(&known.unwrap_or_default());
            let writes = self.product_writes(event, product, stored.as_ref(), after, sources)?;
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
        sources: &Sources,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        let product = ProductId::from(description.sku.clone());
        let known = stored.map(|it| it.data.clone()).unwrap_or_default();
        let after = known.after(&event.source, description);
        self.product_writes(event, &product, stored, after, sources)
    }

    fn product_writes(
        &self,
        event: &StockEvent,
        product: &ProductId,
        stored: Option<&Stored<Product>>,
        mut after: Product,
        sources: &Sources,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        let before = stored.map(|it| it.data.clone()).unwrap_or_default();
        after = after.bounded(sources);
        if after == before {
            return Ok(None);
        }
        after.revision += 1;
        let row = LedgerRow {
            of: keys::product_history(product),
            revision: after.revision,
            at: self.clock.now(),
            source: event.source.clone(),
            event: event.id.clone(),
            actor: event.actor.clone(),
            reason: None,
            correlation: self.correlation().cloned(),
            change: "described".to_owned(),
            before: words(&before, sources),
            after: words(&after, sources),
            previous: before.chain,
            hash: String::new(),
        }
        .sealed();
        after.chain.clone_from(&row.hash);
        Ok(Some(vec![
            Write::Put(product_row(product, &after)?, Expect::from_read(stored)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_sources_the_words_of_a_few_are_kept_in_whatever_order_they_are_heard() {
        let source = |number: i64| -> ConnectorName { format!("s{number}").parse().unwrap() };
        let sources = Sources {
            titles: vec![source(0)],
            ..Sources::default()
        };
        let heard = |numbers: &mut dyn Iterator<Item = i64>| {
            numbers.fold(Product::default(), |known, number| {
                let said = ProductDescription {
                    sku: "OIL".parse().unwrap(),
                    version: Version::at(jiff::Timestamp::from_second(number).unwrap()),
                    title: Some(format!("title {number}")),
                    category: Some(format!("category {number}")),
                    external: BTreeMap::new(),
                };
                known.after(&source(number), &said).bounded(&sources)
            })
        };
        let product = heard(&mut (0..9));
        assert_eq!(product, heard(&mut (0..9).rev()));
        assert_eq!(product, heard(&mut (0..9).map(|number| number * 5 % 9)));
        let words = (product.title(&sources), product.category(&sources));
        assert_eq!(words, (Some("title 0"), Some("category 8")));
        assert_eq!((product.titles.len(), product.categories.len()), (4, 4));
    }

    #[test]
    fn what_was_known_of_a_product_before_each_source_s_word_was_kept_is_still_known() {
        let stored = json!({
            "title": "Oil", "category": "fluids", "revision": 3, "chain": "ab",
            "heard": { "erp": { "at": 5 }, "shop": { "at": 7 } },
        });
        let product: Product = serde_json::from_value(stored).unwrap();
        let sources = Sources::default();
        let words = (product.title(&sources), product.category(&sources));
        assert_eq!(words, (Some("Oil"), Some("fluids")));
        let again = serde_json::to_value(&product).unwrap();
        assert_eq!(serde_json::from_value::<Product>(again).unwrap(), product);
    }
}
