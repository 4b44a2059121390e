//! What a source's files state, so that the source lists its own items: one small row for each, written
//! when a file first has the item, and not when its quantity changes.
//!
//! The row also says what the latest file that says everything did *not* state. Such a file covers, until it was
//! written, every item of its source but those; see [`super::stock`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::feeds::Moment;
use super::keys::{self, Key};
use super::row::{Expect, Page, Row, read};
use super::{Store, StoreError};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::{Position, ProductId, Unit, Vin};

/// What a file speaks of, row by row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A product at a location.
    Position {
        /// The product.
        product: ProductId,
        /// The location.
        location: LocationId,
    },
    /// A vehicle.
    Unit {
        /// The vehicle.
        vin: Vin,
    },
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position { product, location } => write!(f, "{product} at {location}"),
            Self::Unit { vin } => write!(f, "{vin}"),
        }
    }
}

impl Item {
    fn name(&self) -> String {
        match self {
            Self::Position { product, location } => format!("L#{location}#{product}"),
            Self::Unit { vin } => format!("U#{vin}"),
        }
    }

    pub(super) fn state_key(&self) -> Key {
        match self {
            Self::Position { product, location } => keys::position(product, location),
            Self::Unit { vin } => keys::unit(vin.as_str()),
        }
    }
}

/// An item that a source's files state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// What.
    pub item: Item,
    /// Until when it was stated, if the latest file says nothing readable of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// How long it has been missing, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// How long something that was there has not been mentioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// In how many complete snapshots in a row, without those that lacked too much to be believed.
    pub snapshots: u16,
    /// The last of them, so that one snapshot counts once.
    pub snapshot: String,
    /// When it was first missed.
    pub since: Moment,
}

impl Stated {
    /// Stated by the latest file.
    pub fn now(item: Item) -> Self {
        Self {
            item,
            until: None,
            missing: None,
        }
    }
}

/// An item as it stands in the table.
#[derive(Debug, Clone)]
pub enum Held {
    /// A product at a location.
    Position(Box<Position>),
    /// A vehicle.
    Unit(Box<Unit>),
}

fn key(source: &ConnectorName, item: &Item) -> Key {
    let name = item.name();
    Key::new(keys::stated(source, keys::shard(&name, keys::SHARDS)), name)
}

fn late_key(source: &ConnectorName, item: &Item) -> Key {
    Key::new(keys::late(source), item.name())
}

impl Store {
    /// A page of what a source's files state.
    pub async fn stated(
        &self,
        source: &ConnectorName,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Stated>, StoreError> {
        let (shard, inner) = match cursor {
            None => (0, None),
            Some(cursor) => {
                let (shard, inner) = cursor.split_once('\u{1e}').ok_or(StoreError::Cursor)?;
                let shard = shard.parse::<u64>().map_err(|_| StoreError::Cursor)?;
                (shard, Some(inner).filter(|inner| !inner.is_empty()))
            }
        };
        let partition = keys::stated(source, shard);
        let page = self
            .page_of_partition("list what a source states", &partition, "", inner, limit)
            .await?;
        let next = match page.next {
            Some(inner) => Some(format!("{shard}\u{1e}{inner}")),
            None if shard + 1 < keys::SHARDS => Some(format!("{}\u{1e}", shard + 1)),
            None => None,
        };
        Ok(Page {
            items: page.items.into_iter().map(|stored| stored.data).collect(),
            next,
        })
    }

    /// One item of a source, if its files state it.
    pub async fn stated_item(
        &self,
        source: &ConnectorName,
        item: &Item,
    ) -> Result<Option<Stated>, StoreError> {
        let stored = self
            .get("read whether a source states an item", &key(source, item))
            .await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// Those of the items that a source's files state.
    pub async fn stated_items(
        &self,
        source: &ConnectorName,
        items: &[Item],
    ) -> Result<Vec<Stated>, StoreError> {
        const OPERATION: &str = "read whether a source states items";
        let keys: Vec<_> = items.iter().map(|item| key(source, item)).collect();
        self.get_many(OPERATION, &keys)
            .await?
            .into_iter()
            .map(|(_, item)| Ok(read::<Stated>(OPERATION, item)?.data))
            .collect()
    }

    /// Lists items, or notes what a file did not say of them. Only the holder of the source's lease does.
    pub async fn save_stated(
        &self,
        source: &ConnectorName,
        stated: &[Stated],
    ) -> Result<(), StoreError> {
        let rows = stated
            .iter()
            .map(|it| Row::new(key(source, &it.item), "stated", it));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        self.put_all("list what a source states", rows).await
    }

    /// Takes an item off a source's list: it is removed.
    pub async fn forget_stated(
        &self,
        source: &ConnectorName,
        item: &Item,
    ) -> Result<(), StoreError> {
        let key = key(source, item);
        self.delete("take an item off a source's list", &key, Expect::Anything)
            .await?;
        Ok(())
    }

    /// The items as they stand, at most a hundred of them; what is not there is left out.
    /// They may be some milliseconds old.
    pub async fn held(&self, items: &[Item]) -> Result<Vec<Held>, StoreError> {
        const OPERATION: &str = "read items";
        let keys: Vec<_> = items.iter().map(Item::state_key).collect();
        self.get_all(OPERATION, &keys, false)
            .await?
            .into_iter()
            .map(|(kind, item)| {
                Ok(if kind == "unit" {
                    Held::Unit(Box::new(read::<Unit>(OPERATION, item)?.data))
                } else {
                    Held::Position(Box::new(read::<Position>(OPERATION, item)?.data))
                })
            })
            .collect()
    }

    /// Notes that something which may be covered by the file that is being read has moved just now.
    pub(super) async fn note_late(
        &self,
        source: &ConnectorName,
        item: &Item,
    ) -> Result<(), StoreError> {
        let row = Row::new(late_key(source, item), "late", item)?;
        self.put("note a late movement", row, Expect::Anything)
            .await?;
        Ok(())
    }

    /// What has moved late while a source's file was read.
    pub(super) async fn late(&self, source: &ConnectorName) -> Result<Vec<Item>, StoreError> {
        const OPERATION: &str = "read what moved late";
        self.partition(OPERATION, &keys::late(source), "")
            .await?
            .into_iter()
            .map(|(_, item)| Ok(read::<Item>(OPERATION, item)?.data))
            .collect()
    }

    pub(super) async fn forget_late(
        &self,
        source: &ConnectorName,
        item: &Item,
    ) -> Result<(), StoreError> {
        let key = late_key(source, item);
        self.delete("forget a late movement", &key, Expect::Anything)
            .await?;
        Ok(())
    }
}
