//! Products that are counted twice: one source has given an item another SKU, and another source still
//! states the old one.

use super::{Store, StoreError};
use crate::domain::id::ConnectorName;
use crate::domain::position::of_item;
use crate::domain::{Position, ProductId};

/// A product that is stated under two SKUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twice {
    /// The SKU that it had.
    pub old: ProductId,
    /// The SKU that it has.
    pub new: ProductId,
    /// Who has renamed it.
    pub renamed_by: ConnectorName,
    /// Who still states the old SKU.
    pub stated_by: ConnectorName,
}

impl Store {
    /// What is counted here and under another SKU too.
    pub async fn counted_twice(&self, position: &Position) -> Result<Vec<Twice>, StoreError> {
        let mut all = Vec::new();
        for (name, to) in &position.gone {
            if let Some(there) = self.position(to, &position.location).await? {
                all.extend(twice(position, &there, name));
            }
        }
        for (source, item) in position.stated_items() {
            let Some((kind, id)) = item.split_once(' ') else {
                continue;
            };
            let known = self.external_name(source, kind, id).await?;
            for old in known.into_iter().flat_map(|known| known.former) {
                if let Some(left) = self.position(&old.into(), &position.location).await? {
                    all.extend(twice(&left, position, &of_item(source, item)));
                }
            }
        }
        Ok(all)
    }
}

/// Whether the item of this name went from one position to the other, and is stated at both.
fn twice(old: &Position, new: &Position, name: &str) -> Option<Twice> {
    let mut there = new.stated_items();
    let (renamed_by, _) = there.find(|(source, item)| of_item(source, item) == name)?;
    let went_there = old.gone.get(name) == Some(&new.product);
    let stated_by = old.stated_by_others(renamed_by).next();
    Some(Twice {
        old: old.product.clone(),
        new: new.product.clone(),
        renamed_by: renamed_by.clone(),
        stated_by: stated_by.filter(|_| went_there)?.clone(),
    })
}
