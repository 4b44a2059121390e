//! Whose movements and sales are, as a row says it.
//!
//! Mostly all of them are one item's. Then a row says the item's name, with an empty list, and not each of
//! them once more.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Holding, Position};

impl Position {
    /// The position as its row says it.
    pub(super) fn as_stored(&self) -> Cow<'_, Self> {
        let Some(name) = self.all_of().cloned() else {
            return Cow::Borrowed(self);
        };
        let mut stored = self.clone();
        if let Some(part) = stored.parts.get_mut(&name) {
            part.sold.clear();
        }
        stored.parts.retain(|_, part| !part.is_nothing());
        stored.of_items = [(name, Vec::new())].into();
        Cow::Owned(stored)
    }

    /// The item that all movements and sales are known to be of.
    fn all_of(&self) -> Option<&String> {
        let Holding::Stated { moves, .. } = &self.holding else {
            return None;
        };
        let sellers = self.parts.iter().filter(|(_, part)| !part.sold.is_empty());
        let mut names = self.of_items.keys().chain(sellers.map(|(name, _)| name));
        let name = names.next()?;
        let moved = self.of_items.get(name).map_or(&[][..], Vec::as_slice);
        let sold = self.parts.get(name).map(|part| &part.sold);
        let has_all = moved == moves.as_slice()
            && sold.map_or(self.sold.is_empty(), |sold| *sold == self.sold);
        (has_all && names.all(|other| other == name)).then_some(name)
    }

    fn expanded(mut self) -> Self {
        let all_of = self.of_items.iter().find(|(_, own)| own.is_empty());
        let Some(name) = all_of.map(|(name, _)| name.clone()) else {
            return self;
        };
        self.of_items.remove(&name);
        if let Holding::Stated { moves, .. } = &self.holding
            && !moves.is_empty()
        {
            self.of_items.insert(name.clone(), moves.clone());
        }
        if !self.sold.is_empty() {
            self.parts
                .entry(name)
                .or_default()
                .sold
                .clone_from(&self.sold);
        }
        self
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(&self.as_stored(), serializer)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer).map(Self::expanded)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::super::event::{Level, Version};
    use super::super::super::item::{Dated, ItemStatement};
    use super::super::{PositionChange, Sources};
    use super::*;

    const ITEM: &str = "inventory_item 30322695";

    fn stated() -> Position {
        let said = ItemStatement {
            product: "OIL".parse().unwrap(),
            location: "north".parse().unwrap(),
            item: ITEM.to_owned(),
            level: Some(Dated {
                version: Version::at(Timestamp::from_second(1_790_000_000).unwrap()),
                value: Some(Level {
                    on_hand: 50,
                    ..Level::default()
                }),
            }),
            offered: None,
            named: None,
            called: None,
            offered_by: None,
        };
        let source = "shop".parse().unwrap();
        let change = PositionChange::Item { source, said };
        let unknown = Position::unknown("OIL".parse().unwrap(), "north".parse().unwrap());
        after(&unknown, &change)
    }

    fn after(position: &Position, change: &PositionChange) -> Position {
        let next = position.after(change, &Sources::default()).unwrap();
        next.unwrap()
    }

    /// Ten orders, on as many days.
    fn ordered(item: Option<&str>) -> Position {
        (1..=10).fold(stated(), |position, day| {
            let at = Timestamp::from_second(1_790_000_000 + day * 86_400).unwrap();
            let sold = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            let change = PositionChange::Line {
                whose: item.map(|item| ("shop".parse().unwrap(), item.to_owned())),
                moves: vec![(at, -1)],
                sold: vec![(sold, 1)],
            };
            after(&position, &change)
        })
    }

    fn row(position: &Position) -> String {
        let row = serde_json::to_string(position).unwrap();
        assert_eq!(&serde_json::from_str::<Position>(&row).unwrap(), position);
        row
    }

    #[test]
    fn a_row_in_which_all_is_of_one_item_says_the_item_once() {
        let own = row(&ordered(Some(ITEM)));
        assert!(own.contains(r#""of_items":{"shop inventory_item 30322695":[]}"#));
        let more = own.len() - row(&ordered(None)).len();
        assert_eq!(more, 47, "{own}");
        // What is not the item's makes the row say which is.
        let at = Timestamp::from_second(1_791_000_000).unwrap();
        let mixed = after(&ordered(Some(ITEM)), &PositionChange::Move { at, delta: 2 });
        assert!(row(&mixed).len() > own.len() + 200);
    }
}
