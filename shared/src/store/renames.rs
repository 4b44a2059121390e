//! Products that are renamed, and how whoever uses the old SKU reaches them.
//!
//! Whoever renames a product first writes where it goes on, then carries each of its positions there,
//! old and new in one transaction. A position that was carried says so, and a change that was not
//! carried yet is there to be carried: so every change of the old SKU, before, while and after, ends up
//! at the new one once. What waits for that is marked with the name, which is settled again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys;
use super::row::{Expect, Row, Stored, Write, Written};
use super::settings::rule_row;
use super::stock::{ApplyError, Cause};
use super::{Store, StoreError};
use crate::domain::authority::API;
use crate::domain::event::{Change, ProductDescription, StockEvent, Version};
use crate::domain::id::{ConnectorName, LocationId, RuleId, Sku};
use crate::domain::position::{PositionChange, Sources};
use crate::domain::renamed::Renamed;
use crate::domain::rule::Rule;
use crate::domain::{Position, ProductId};

const OPERATION: &str = "rename a product";

/// The SKUs of a product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Names {
    /// Under which it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renamed: Option<Renamed>,
    /// Which it had before, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) formerly: Vec<ProductId>,
}

/// An item of a source that is renamed.
pub(super) struct Rename<'a> {
    pub(super) event: &'a StockEvent,
    pub(super) item: &'a str,
    pub(super) to: &'a Sku,
    pub(super) since: Version,
}

/// What is said of a product by its SKU.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said<'a> {
    /// A source states how much there is, since then.
    Level(Version),
    /// A source states how much there is of one of its items.
    Item(&'a ConnectorName, &'a str),
    /// A source states it no longer.
    Over,
    /// Something happens to it, at this time.
    At(Timestamp),
}

impl<'a> Said<'a> {
    /// What a change says, of which it is known when it happened, or that it happens now.
    pub(super) fn by(change: &'a PositionChange, now: Timestamp) -> Self {
        match change {
            PositionChange::Level {
                source, version, ..
            } if source.as_str() != API => Self::Level(version.kept()),
            PositionChange::Item { source, said } => Self::Item(source, &said.item),
            PositionChange::Missing { .. } | PositionChange::Ended { .. } => Self::Over,
            _ => Self::At(change.dated().unwrap_or(now)),
        }
    }

    /// Whether it shows that something else has the SKU: a source states it after it was renamed, or
    /// another item has it.
    fn takes(self, renamed: &Renamed) -> bool {
        match self {
            Self::Level(version) => version > renamed.since,
            Self::Item(source, item) => (source, item) != (&renamed.source, renamed.item.as_str()),
            Self::Over | Self::At(_) => false,
        }
    }

    /// Whether it is about what had the SKU before, although something else has it now.
    fn precedes(self, renamed: &Renamed) -> bool {
        match self {
            Self::At(at) => at < renamed.since.at,
            Self::Level(_) | Self::Item(..) | Self::Over => false,
        }
    }
}

/// The position that is meant by a SKU and a place.
pub(super) struct Meant {
    pub(super) stored: Option<Stored<Position>>,
    pub(super) position: Position,
    /// That the SKU means no other product, where no position shows that.
    pub(super) guard: Option<Write>,
}

/// Adds a guard to a transaction, which may write to each item once only.
pub(super) fn guard(writes: &mut Vec<Write>, guard: Option<Write>) {
    let Some(Write::Put(row, expect)) = guard else {
        return;
    };
    let is_there = |write: &Write| matches!(write, Write::Put(known, _) if known.key == row.key);
    if !writes.iter().any(is_there) {
        writes.push(Write::Put(row, expect));
    }
}

impl Store {
    /// The position that is meant by a SKU and a place; nothing where a source states no longer what is
    /// known under another SKU.
    pub(super) async fn meant(
        &self,
        operation: &'static str,
        (product, location): (&ProductId, &LocationId),
        said: Said<'_>,
    ) -> Result<Option<Meant>, StoreError> {
        let mut product = product.clone();
        let mut seen = BTreeSet::new();
        loop {
            let key = keys::position(&product, location);
            let stored = self.get::<Position>(operation, &key).await?;
            let renamed = stored.as_ref().and_then(|it| it.data.renamed.clone());
            let is_first = seen.insert(product.clone());
            let mut guard = None;
            let renamed = match renamed {
                _ if !is_first => renamed,
                Some(renamed) if renamed.taken => Some(renamed),
                // A source that is heard of first states its own product.
                None if stored.is_some() || matches!(said, Said::Level(_) | Said::Over) => None,
                _ => {
                    let names = self.names(operation, &product).await?;
                    let expect = Expect::from_read(names.as_ref());
                    let known = names.as_ref().map(|it| it.data.clone()).unwrap_or_default();
                    // Written as they are: whoever renames it meanwhile looks again, or we do.
                    let row = Row::new(keys::names(&product), "names", &known)?;
                    guard = Some(Write::Put(row, expect));
                    let renamed = names.and_then(|names| names.data.renamed);
                    match renamed {
                        Some(renamed) if !renamed.taken && said.takes(&renamed) => {
                            self.take_name(&product).await?;
                            seen.remove(&product);
                            continue;
                        }
                        renamed => renamed,
                    }
                }
            };
            if let Some(renamed) = renamed
                .as_ref()
                .filter(|it| is_first && (!it.taken || said.precedes(it)))
            {
                if matches!(said, Said::Over) {
                    return Ok(None);
                }
                product = renamed.to.clone();
                continue;
            }
            let mut position = stored.as_ref().map_or_else(
                || Position::unknown(product, location.clone()),
                |stored| stored.data.clone(),
            );
            position.renamed = renamed.map(|renamed| Renamed {
                taken: true,
                ..renamed
            });
            return Ok(Some(Meant {
                stored,
                position,
                guard,
            }));
        }
    }

    /// The SKU under which a product goes on that may have been renamed.
    pub async fn current_name(&self, product: &ProductId) -> Result<ProductId, StoreError> {
        let mut product = product.clone();
        let mut seen = BTreeSet::new();
        while seen.insert(product.clone()) {
            let names = self.names("look up a SKU", &product).await?;
            match names.and_then(|names| names.data.renamed) {
                Some(renamed) if !renamed.taken => product = renamed.to,
                _ => break,
            }
        }
        Ok(product)
    }

    async fn names(
        &self,
        operation: &'static str,
        product: &ProductId,
    ) -> Result<Option<Stored<Names>>, StoreError> {
        self.get(operation, &keys::names(product)).await
    }

    /// Notes that something else has a SKU that a renamed product had, if one had.
    pub(super) async fn take_name(&self, product: &ProductId) -> Result<(), StoreError> {
        let mut to = None;
        self.change_names(product, |names| {
            if let Some(renamed) = &mut names.renamed {
                renamed.taken = true;
                to = Some(renamed.to.clone());
            }
        })
        .await?;
        if let Some(to) = to {
            self.change_names(&to, |names| names.formerly.retain(|it| it != product))
                .await?;
        }
        Ok(())
    }

    /// Notes that an item has this SKU since then. Where another item gave it up in the same instant, it
    /// is this one's now: a shop that counts in seconds says both at once.
    pub(super) async fn has_name(
        &self,
        sku: &Sku,
        since: Version,
        (source, item): (&ConnectorName, &str),
    ) -> Result<(), StoreError> {
        let product = ProductId::from(sku.clone());
        let names = self.names(OPERATION, &product).await?;
        let takes = |renamed: &Renamed| {
            let of_other = (source, item) != (&renamed.source, renamed.item.as_str());
            renamed.since < since || of_other && renamed.since == since
        };
        match names.and_then(|names| names.data.renamed) {
            Some(renamed) if !renamed.taken && takes(&renamed) => self.take_name(&product).await,
            _ => Ok(()),
        }
    }

    async fn change_names(
        &self,
        product: &ProductId,
        mut change: impl FnMut(&mut Names) + Send,
    ) -> Result<(), StoreError> {
        for attempt in 0.. {
            let stored = self.names(OPERATION, product).await?;
            let before = stored.as_ref().map(|it| it.data.clone());
            let before = before.unwrap_or_default();
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(());
            }
            let row = Row::new(keys::names(product), "names", &after)?;
            if self
                .put(OPERATION, row, Expect::from_read(stored.as_ref()))
                .await?
            {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Carries everything that is known of a product to its new SKU; `false` where the old one is still
    /// the SKU of something else, or the new one was: then only the item changes its product.
    pub(super) async fn rename(
        &self,
        rename: &Rename<'_>,
        old: &ProductId,
        sources: &Sources,
    ) -> Result<bool, ApplyError> {
        let new = ProductId::from(rename.to.clone());
        let Some(renamed) = self.renaming(rename, old, &new).await? else {
            return Ok(false);
        };
        let mut formerly = vec![old.clone()];
        let names = self.names(OPERATION, old).await?;
        formerly.extend(names.into_iter().flat_map(|names| names.data.formerly));
        self.change_names(&new, |names| {
            let more = formerly.iter().filter(|it| **it != new);
            for name in more {
                if !names.formerly.contains(name) {
                    names.formerly.push(name.clone());
                }
            }
        })
        .await?;
        self.carry_rules(old, &new).await?;
        self.carry_description(rename, old).await?;
        for position in self.positions_of(old).await? {
            self.carry(rename, &position, &renamed, sources).await?;
        }
        Ok(true)
    }

    /// Whether the product is renamed with the item, or was; and that it is, once it is written.
    async fn renaming(
        &self,
        rename: &Rename<'_>,
        old: &ProductId,
        new: &ProductId,
    ) -> Result<Option<Renamed>, StoreError> {
        let (source, item) = (&rename.event.source, rename.item);
        let renamed = Renamed {
            to: new.clone(),
            since: rename.since,
            source: source.clone(),
            item: item.to_owned(),
            taken: false,
        };
        for attempt in 0.. {
            let stored = self.names(OPERATION, old).await?;
            let known = stored.as_ref().and_then(|it| it.data.renamed.as_ref());
            match known {
                Some(known) if !known.taken && known.to == *new => return Ok(Some(known.clone())),
                Some(known) if !known.taken || known.since >= rename.since => return Ok(None),
                _ => {}
            }
            let olds = self.positions_of(old).await?;
            let mut olds = olds.iter().filter(|it| it.renamed_to().is_none());
            let news = self.positions_of(new).await?;
            if !olds.all(|it| it.is_of_item_alone(source, item))
                || news.iter().any(|it| it.has_other_items(source, item))
            {
                return Ok(None);
            }
            let names = Names {
                renamed: Some(renamed.clone()),
                ..stored
                    .as_ref()
                    .map(|it| it.data.clone())
                    .unwrap_or_default()
            };
            let row = Row::new(keys::names(old), "names", &names)?;
            if self
                .put(OPERATION, row, Expect::from_read(stored.as_ref()))
                .await?
            {
                return Ok(Some(renamed));
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Carries one position, unless somebody else states it by now.
    async fn carry(
        &self,
        rename: &Rename<'_>,
        at: &Position,
        renamed: &Renamed,
        sources: &Sources,
    ) -> Result<(), ApplyError> {
        let (source, item) = (&rename.event.source, rename.item);
        let location = &at.location;
        for attempt in 0.. {
            let key = keys::position(&at.product, location);
            let Some(stored) = self.get::<Position>(OPERATION, &key).await? else {
                return Ok(());
            };
            let old = &stored.data;
            if old.renamed_to().is_some() || !old.is_of_item_alone(source, item) {
                return Ok(());
            }
            let new = self.current_name(&renamed.to).await?;
            let known = self
                .get::<Position>(OPERATION, &keys::position(&new, location))
                .await?;
            let before = known.as_ref().map_or_else(
                || Position::unknown(new.clone(), location.clone()),
                |known| known.data.clone(),
            );
            let Some((gone, there)) = old.carried(&before, renamed.clone()) else {
                return Ok(());
            };
            let reason = format!("{} is {new} now", at.product);
            let cause = Cause {
                source,
                event: &rename.event.id,
                actor: rename.event.actor.as_deref(),
                reason: Some(&reason),
                change: "renamed",
            };
            let (left, _) = self.recorded(&cause, Some(&stored), old, gone, sources)?;
            let (arrived, _) = self.recorded(&cause, known.as_ref(), &before, there, sources)?;
            let writes = left.into_iter().chain(arrived).collect();
            if self.transact(OPERATION, writes).await? == Written::Done {
                self.end_contradiction(source, &at.product, location)
                    .await?;
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Carries the rules that were imported for the product; where it has such a rule under its new
    /// SKU, that one stands.
    async fn carry_rules(&self, old: &ProductId, new: &ProductId) -> Result<(), StoreError> {
        let standing = self.picture(new).await?.rules;
        for rule in self.picture(old).await?.rules {
            let gone = Row::new(
                keys::imported_rule(rule.id.as_str(), Some(old)),
                "rule_renamed",
                &None::<Rule>,
            )?;
            let mut writes = vec![Write::Put(gone, Expect::Anything)];
            let renamed = of_product(&rule, old, new);
            let renamed = renamed.filter(|it| standing.iter().all(|own| own.slot() != it.slot()));
            if let Some(rule) = renamed {
                writes.push(Write::Put(rule_row(&rule)?, Expect::Anything));
            }
            let mut attempt = 0;
            while self.transact(OPERATION, writes.clone()).await? != Written::Done {
                self.after_conflict(OPERATION, attempt).await?;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// What the product is called, unless it is called something under its new SKU.
    async fn carry_description(
        &self,
        rename: &Rename<'_>,
        old: &ProductId,
    ) -> Result<(), ApplyError> {
        let new = ProductId::from(rename.to.clone());
        let Some(known) = self.product(old).await? else {
            return Ok(());
        };
        let Some(version) = known.heard.values().max().copied() else {
            return Ok(());
        };
        let described = self.product(&new).await?.unwrap_or_default();
        let missing = |there: &Option<String>, was: Option<String>| match there {
            Some(_) => None,
            None => was,
        };
        let description = ProductDescription {
            sku: rename.to.clone(),
            version,
            title: missing(&described.title, known.title),
            category: missing(&described.category, known.category),
            external: [].into(),
        };
        if description.title.is_some() || description.category.is_some() {
            let event = StockEvent {
                change: Change::Described(description.clone()),
                ..rename.event.clone()
            };
            self.describe(&event, &description).await?;
        }
        Ok(())
    }
}

/// A rule for one product as the same rule for it under another SKU.
fn of_product(rule: &Rule, old: &ProductId, new: &ProductId) -> Option<Rule> {
    let id: RuleId = rule
        .id
        .as_str()
        .replacen(old.as_str(), new.as_str(), 1)
        .parse()
        .ok()?;
    let mut rule = Rule { id, ..rule.clone() };
    rule.scope.product = Some(new.clone());
    Some(rule)
}
