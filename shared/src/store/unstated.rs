//! What has moved by a source's word although nobody has stated how much there is of it: often a SKU that is
//! misspelt at a till. It is applied all the same, as its stock may be stated later.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys;
use super::row::{Expect, Row};
use super::stated::Item;
use super::{Store, StoreError};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::position::Sources;
use crate::domain::{Position, ProductId};

/// How many a source's row names: the last ones.
const MOST: usize = 20;
/// How long they are named after the last one was new.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A product, and where it has moved.
pub type Place = (ProductId, LocationId);

/// The last of a source that were new, the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Unstated {
    places: Vec<Place>,
}

impl Store {
    /// Notes what a source has moved for the first time, and nobody has stated.
    pub async fn note_unstated(
        &self,
        source: &ConnectorName,
        moved: &[Place],
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "note what nobody has stated";
        if moved.is_empty() {
            return Ok(());
        }
        let key = keys::unstated(source);
        for attempt in 0.. {
            let stored = self.get::<Unstated>(OPERATION, &key).await?;
            let mut places = stored
                .as_ref()
                .map_or_else(Vec::new, |it| it.data.places.clone());
            places.retain(|known| !moved.contains(known));
            places.extend_from_slice(moved);
            places.drain(..places.len().saturating_sub(MOST));
            let row = Row::new(key.clone(), "unstated", &Unstated { places })?;
            let forget = self.clock.now().checked_add(KEPT);
            let row = row.expires(forget.unwrap_or(Timestamp::MAX));
            let expect = Expect::from_read(stored.as_ref());
            if self.put(OPERATION, row, expect).await? {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Of the last that a source has moved unstated those that nobody has stated since.
    pub async fn unstated(
        &self,
        source: &ConnectorName,
        sources: &Sources,
    ) -> Result<Vec<Place>, StoreError> {
        let key = keys::unstated(source);
        let stored = self
            .get::<Unstated>("read what nobody has stated", &key)
            .await?;
        let mut places = stored.map_or_else(Vec::new, |stored| stored.data.places);
        let items: Vec<_> = places
            .iter()
            .map(|(product, location)| Item::Position {
                product: product.clone(),
                location: location.clone(),
            })
            .collect();
        if items.is_empty() {
            return Ok(places);
        }
        let known = self.known(&items, &[]).await?;
        let is_unstated = |it: &Position| it.renamed.is_none() && it.stock(sources).is_none();
        places.retain(|(product, location)| {
            known.position(product, location).is_some_and(is_unstated)
        });
        Ok(places)
    }
}
