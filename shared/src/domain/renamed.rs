//! A product that goes on under another SKU.
//!
//! Whatever was known of it under the old SKU is known under the new one: what sources and people
//! stated, what has moved since, what is promised, what was sold. What stays behind says where it went,
//! so that whoever still uses the old SKU reaches the same product.

use serde::{Deserialize, Serialize};

use super::event::Version;
use super::id::ConnectorName;
use super::item::SameSku;
use super::position::{Base, Holding, Position, add_move, tidy};
use super::product::ProductId;

/// What became of a SKU that an item had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// The product's SKU from then on.
    pub to: ProductId,
    /// Since when, by the order of the source that renamed it.
    pub since: Version,
    /// Whose item had it.
    pub source: ConnectorName,
    /// Which item.
    pub item: String,
    /// Something else has the old SKU by now. What happened before then is still the renamed product's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken: bool,
}

impl Position {
    /// Where the product is that had this SKU and this place, unless something else has the SKU now.
    pub fn renamed_to(&self) -> Option<&ProductId> {
        let renamed = self.renamed.as_ref().filter(|it| !it.taken)?;
        Some(&renamed.to)
    }

    /// Whether it is stated of nothing but this item of this source, or not at all, so that the product
    /// is renamed with the item. People who counted it counted the item.
    pub fn is_of_item_alone(&self, source: &ConnectorName, item: &str) -> bool {
        let Holding::Stated { bases, .. } = &self.holding else {
            return false;
        };
        self.product.line().is_none()
            && bases.iter().all(|(by, base)| {
                let mut others = base
                    .items
                    .iter()
                    .filter(|(name, _)| by != source || *name != item);
                let is_stated =
                    !base.ended && base.items.is_empty() && by.as_str() != super::authority::API;
                !is_stated && !others.any(|(_, other)| other.live().is_some())
            })
    }

    /// Whether another item stands for the product here.
    pub fn has_other_items(&self, source: &ConnectorName, item: &str) -> bool {
        let Holding::Stated { bases, .. } = &self.holding else {
            return true;
        };
        bases.iter().any(|(by, base)| {
            let mut others = base
                .items
                .iter()
                .filter(|(name, _)| by != source || *name != item);
            others.any(|(_, other)| other.live().is_some())
        })
    }

    /// This position once nothing is left of the product that was renamed, and the position under its
    /// new SKU, of which `new` was known; nothing where the two cannot be one.
    pub fn carried(&self, new: &Self, renamed: Renamed) -> Option<(Self, Self)> {
        let (mut old, mut new) = (self.clone(), new.clone());
        let (
            Holding::Stated { bases, moves },
            Holding::Stated {
                bases: known,
                moves: moved,
            },
        ) = (&mut old.holding, &mut new.holding)
        else {
            return None;
        };
        for (source, base) in std::mem::take(bases) {
            match known.get_mut(&source) {
                Some(other) => other.join(base),
                None => drop(known.insert(source, base)),
            }
        }
        for (at, delta) in std::mem::take(moves) {
            add_move(moved, at, delta);
        }
        tidy(known, moved);
        for (item, moves) in std::mem::take(&mut old.of_items) {
            let known = new.of_items.entry(item).or_default();
            for (at, delta) in moves {
                add_move(known, at, delta);
            }
        }
        new.held += std::mem::take(&mut old.held);
        for (day, units) in std::mem::take(&mut old.sold) {
            new.count_sale(day, units);
        }
        if let Some(renamed) = &mut new.renamed {
            renamed.taken = true;
        }
        old.renamed = Some(renamed);
        Some((old, new))
    }
}

impl Base {
    /// Takes in what the same source said of the product under its other SKU.
    fn join(&mut self, other: Self) {
        let items = std::mem::take(&mut self.items);
        let mut both = other.items.clone();
        if other.version > self.version {
            *self = other;
        }
        for (name, item) in items {
            match both.get_mut(&name) {
                Some(known) => known.join(&item),
                None => drop(both.insert(name, item)),
            }
        }
        self.items = both;
        if !self.items.is_empty() {
            self.derive(SameSku::Conflict);
        }
    }
}
