//! A whole file in 24 bytes a row: which items it has, and a digest of what it says of each.
//!
//! So a million rows are compared with the table in 24 MB, whatever they say, and only rows that
//! differ are looked at again.

use std::hash::{DefaultHasher, Hash, Hasher};

use shared::store::missing::Item;

/// The name of an item, as 128 bits. It never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemKey(u64, u64);

impl ItemKey {
    pub(crate) fn of(item: &Item) -> Self {
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            (salt, item).hash(&mut hasher);
            hasher.finish()
        };
        Self(half(0), half(1))
    }
}

/// What is said of one item, as a number that does not depend on the order in which it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Said(u64);

impl Said {
    /// With one more fact.
    pub(crate) fn and(self, name: &str, value: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        value.hash(&mut hasher);
        Self(self.0.wrapping_add(hasher.finish()))
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: ItemKey,
    said: Said,
}

/// The rows of a file, by item.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    entries: Vec<Entry>,
    /// Rows that say what we hold.
    known: Bits,
    /// Rows that were met while the file was read again.
    met: Bits,
}

impl Snapshot {
    /// Takes a row in. Of several rows for one item the first counts.
    pub(crate) fn push(&mut self, key: ItemKey, said: Said) {
        self.entries.push(Entry { key, said });
    }

    /// Makes it searchable, after the last row.
    pub(crate) fn seal(&mut self) {
        self.entries.sort_by_key(|entry| entry.key);
        self.entries.dedup_by_key(|entry| entry.key);
        self.entries.shrink_to_fit();
        self.known = Bits::for_each_of(&self.entries);
        self.met = Bits::for_each_of(&self.entries);
    }

    fn find(&self, key: ItemKey) -> Option<usize> {
        self.entries
            .binary_search_by_key(&key, |entry| entry.key)
            .ok()
    }

    /// Whether the file has the item.
    pub(crate) fn has(&self, key: ItemKey) -> bool {
        self.find(key).is_some()
    }

    /// Compares with what we hold of an item; `false` if the file does not have it.
    pub(crate) fn compare(&mut self, key: ItemKey, held: Said) -> bool {
        let Some(index) = self.find(key) else {
            return false;
        };
        if self.entries[index].said == held {
            self.known.set(index);
        }
        true
    }

    /// Notes that a row of the item was read again, and says what there is to do about it.
    pub(crate) fn meet(&mut self, key: ItemKey) -> Met {
        match self.find(key) {
            None => Met::Differs,
            Some(index) if self.met.has(index) => Met::Again,
            Some(index) => {
                self.met.set(index);
                if self.known.has(index) {
                    Met::Known
                } else {
                    Met::Differs
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + (self.known.0.capacity() + self.met.0.capacity()) * size_of::<u64>()
    }
}

/// What a row read again is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// It says what we hold.
    Known,
    /// It says something else, or is new.
    Differs,
    /// Its item had a row already.
    Again,
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn for_each_of<T>(list: &[T]) -> Self {
        Self(vec![0; list.len().div_ceil(64)])
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: usize) -> Item {
        Item::Position {
            product: format!("SKU-{number}").parse().unwrap(),
            location: "main".parse().unwrap(),
        }
    }

    #[test]
    fn a_row_is_known_or_differs_and_is_met_once() {
        let mut snapshot = Snapshot::default();
        let said = |on_hand: i64| Said::default().and("on_hand", &on_hand);
        let keys: Vec<ItemKey> = (0..3).map(|number| ItemKey::of(&item(number))).collect();
        snapshot.push(keys[0], said(5));
        snapshot.push(keys[1], said(6));
        snapshot.push(keys[1], said(7)); // the second row of one item
        snapshot.seal();
        assert_eq!(snapshot.len(), 2);
        assert!(snapshot.compare(keys[0], said(5)));
        assert!(snapshot.compare(keys[1], said(7)));
        assert!(!snapshot.compare(keys[2], said(5)));
        assert_eq!(snapshot.meet(keys[0]), Met::Known);
        assert_eq!(snapshot.meet(keys[1]), Met::Differs);
        assert_eq!(snapshot.meet(keys[1]), Met::Again);
        assert!(snapshot.has(keys[1]) && !snapshot.has(keys[2]));
    }

    #[test]
    fn facts_are_told_apart_and_their_order_is_not() {
        let one = Said::default().and("a", &1).and("b", &2);
        assert_eq!(one, Said::default().and("b", &2).and("a", &1));
        assert_ne!(one, Said::default().and("a", &2).and("b", &1));
        assert_ne!(one, Said::default().and("a", &1));
    }

    #[test]
    fn a_million_rows_fit_by_far() {
        const ROWS: usize = 50_000;
        let mut snapshot = Snapshot::default();
        for number in 0..ROWS {
            snapshot.push(ItemKey::of(&item(number)), Said::default());
        }
        // While rows are taken in the list may have room for twice as many.
        assert!(snapshot.bytes() <= ROWS * 48, "{}", snapshot.bytes());
        snapshot.seal();
        assert_eq!(snapshot.len(), ROWS);
        assert!(snapshot.bytes() <= ROWS * 25, "{}", snapshot.bytes());
    }
}
