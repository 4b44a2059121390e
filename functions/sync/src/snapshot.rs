//! A whole file in 24 bytes a row: which items it has, and a digest of what it says of each.
//!
//! So a million rows are compared with the table in 24 MB, whatever they say, and only rows that
//! differ are looked at again.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use shared::store::stated::Item;

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

    /// Whether nothing is said that can be read.
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
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
    /// Items that the source's list has.
    listed: Bits,
    /// Rows that were met while the file was read again.
    met: Bits,
    /// Items that have several rows, and how many, sorted.
    repeated: Vec<(ItemKey, u32)>,
    /// Several rows of one item tell of one thing after the other.
    in_turn: bool,
}

impl Snapshot {
    /// Of a file of changes: several rows of one item are neither one nor a contradiction.
    pub(crate) fn of_changes() -> Self {
        Self {
            in_turn: true,
            ..Self::default()
        }
    }

    /// Takes a row in.
    pub(crate) fn push(&mut self, key: ItemKey, said: Said) {
        self.entries.push(Entry { key, said });
    }

    /// Makes it searchable, after the last row. Equal rows of one item are one, unless `sum` makes them
    /// parts; of items whose rows differ, none is compared.
    pub(crate) fn seal(&mut self, sum: bool) {
        self.entries.sort_by_key(|entry| entry.key);
        for rows in self.entries.chunk_by_mut(|one, two| one.key == two.key) {
            let differ = rows.iter().any(|entry| entry.said != rows[0].said);
            if rows.len() > 1 && (sum || differ && !self.in_turn) {
                let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                self.repeated.push((rows[0].key, count));
                // What they say together is not known before they are read again.
                rows[0].said = Said::default().and("rows", &count);
            }
        }
        self.entries.dedup_by_key(|entry| entry.key);
        self.entries.shrink_to_fit();
        self.known = Bits::for_each_of(&self.entries);
        self.listed = Bits::for_each_of(&self.entries);
        self.met = Bits::for_each_of(&self.entries);
    }

    fn find(&self, key: ItemKey) -> Option<usize> {
        self.entries
            .binary_search_by_key(&key, |entry| entry.key)
            .ok()
    }

    /// What the file says of an item, if it has it.
    pub(crate) fn says(&self, key: ItemKey) -> Option<Said> {
        self.find(key).map(|index| self.entries[index].said)
    }

    /// Notes that the source's list has the item.
    pub(crate) fn list(&mut self, key: ItemKey) {
        if let Some(index) = self.find(key) {
            self.listed.set(index);
        }
    }

    /// Whether the source's list has the item.
    pub(crate) fn is_listed(&self, key: ItemKey) -> bool {
        self.find(key).is_some_and(|index| self.listed.has(index))
    }

    /// Notes that the item's row says nothing new.
    pub(crate) fn know(&mut self, key: ItemKey) {
        if let Some(index) = self.find(key) {
            self.known.set(index);
        }
    }

    /// Whether anything is said of any item.
    pub(crate) fn says_something(&self) -> bool {
        self.entries.iter().any(|entry| !entry.said.is_nothing())
    }

    /// Notes that nothing is said of an item that has a row: they contradict each other, or it may be cut.
    pub(crate) fn leave_unsaid(&mut self, key: ItemKey) {
        if let Some(index) = self.find(key) {
            self.entries[index].said = Said::default();
        }
    }

    /// Whether there are rows to be taken together.
    pub(crate) fn has_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// How many rows an item has that are to be taken together.
    pub(crate) fn rows_of(&self, key: ItemKey) -> Option<u32> {
        let index = self.repeated.binary_search_by_key(&key, |(key, _)| *key);
        index.ok().map(|index| self.repeated[index].1)
    }

    /// Notes that a row of the item was read again, and says what there is to do about it.
    pub(crate) fn meet(&mut self, key: ItemKey) -> Met {
        if let Some(rows) = self.rows_of(key) {
            return Met::OneOf(rows);
        }
        match self.find(key) {
            None => Met::Differs,
            Some(index) if self.met.has(index) && !self.in_turn => Met::Again,
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

    /// What was noted of the items, so that it can be noted again of the same file.
    pub(crate) fn marks(&self) -> Marks {
        Marks {
            file: self.digest(),
            known: self.known.to_hex(),
            listed: self.listed.to_hex(),
        }
    }

    /// Notes it again; `false` if it is of another file.
    pub(crate) fn mark(&mut self, marks: &Marks) -> bool {
        if marks.file != self.digest() {
            return false;
        }
        let length = self.entries.len();
        let bits = |text: &str| Bits::from_hex(text, length);
        let Some((known, listed)) = bits(&marks.known).zip(bits(&marks.listed)) else {
            return false;
        };
        (self.known, self.listed) = (known, listed);
        true
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for Entry { key, said } in &self.entries {
            (key.0, key.1, said.0).hash(&mut hasher);
        }
        hasher.finish()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + [&self.known, &self.listed, &self.met]
                .map(|bits| bits.0.capacity() * size_of::<u64>())
                .iter()
                .sum::<usize>()
    }
}

/// What was noted of a file's items.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// A digest of the items and of what is said of them.
    file: u64,
    known: String,
    listed: String,
}

/// What a row read again is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// It says what we hold.
    Known,
    /// It says something else, or is new.
    Differs,
    /// Its item had an equal row already.
    Again,
    /// It is one of this many rows of its item, which are to be taken together.
    OneOf(u32),
}

#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn for_each_of<T>(list: &[T]) -> Self {
        Self(vec![0; list.len().div_ceil(64)])
    }

    fn to_hex(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        hex::encode(bytes)
    }

    fn from_hex(text: &str, length: usize) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        let (words, rest) = bytes.as_chunks();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        (rest.is_empty() && words.len() == length.div_ceil(64)).then_some(Self(words))
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
        snapshot.push(keys[1], said(6)); // the same again
        snapshot.seal(false);
        assert_eq!(snapshot.len(), 2);
        assert_eq!(snapshot.says(keys[0]), Some(said(5)));
        assert_eq!(snapshot.says(keys[1]), Some(said(6)), "the first counts");
        assert_eq!(snapshot.says(keys[2]), None);
        snapshot.know(keys[0]);
        snapshot.list(keys[1]);
        snapshot.list(keys[2]);
        assert!(snapshot.is_listed(keys[1]));
        assert!(!snapshot.is_listed(keys[0]) && !snapshot.is_listed(keys[2]));
        assert_eq!(snapshot.meet(keys[0]), Met::Known);
        assert_eq!(snapshot.meet(keys[1]), Met::Differs);
        assert_eq!(snapshot.meet(keys[1]), Met::Again);
    }

    #[test]
    fn what_was_noted_is_noted_again_of_the_same_file_only() {
        let file = |rows: usize| {
            let mut snapshot = Snapshot::default();
            for number in 0..rows {
                snapshot.push(ItemKey::of(&item(number)), Said::default());
            }
            snapshot.seal(false);
            snapshot
        };
        let mut first = file(100);
        first.know(ItemKey::of(&item(99)));
        first.list(ItemKey::of(&item(7)));
        let mut again = file(100);
        assert!(again.mark(&first.marks()));
        assert_eq!(again.meet(ItemKey::of(&item(99))), Met::Known);
        assert_eq!(again.meet(ItemKey::of(&item(7))), Met::Differs);
        assert!(again.is_listed(ItemKey::of(&item(7))));
        assert!(!again.is_listed(ItemKey::of(&item(8))));
        assert!(!file(101).mark(&first.marks()));
    }

    #[test]
    fn rows_that_differ_are_taken_together_whatever_their_order() {
        let said = |on_hand: i64| Said::default().and("on_hand", &on_hand);
        let key = ItemKey::of(&item(1));
        for quantities in [[3, 4, 3], [4, 3, 3]] {
            let mut snapshot = Snapshot::default();
            for on_hand in quantities {
                snapshot.push(key, said(on_hand));
            }
            snapshot.seal(false);
            assert!(!snapshot.says(key).unwrap().is_nothing());
            assert!(
                quantities
                    .iter()
                    .all(|it| snapshot.says(key) != Some(said(*it)))
            );
            snapshot.leave_unsaid(key);
            assert!(snapshot.says(key).unwrap().is_nothing());
            assert_eq!(snapshot.meet(key), Met::OneOf(3));
        }
        let mut bins = Snapshot::default();
        for on_hand in [5, 5] {
            bins.push(key, said(on_hand));
        }
        bins.seal(true);
        assert_eq!(bins.meet(key), Met::OneOf(2));
    }

    #[test]
    fn each_row_of_a_file_of_changes_counts() {
        let said = |on_hand: i64| Said::default().and("on_hand", &on_hand);
        let key = ItemKey::of(&item(1));
        let mut snapshot = Snapshot::of_changes();
        for on_hand in [3, 4, 3] {
            snapshot.push(key, said(on_hand));
        }
        snapshot.seal(false);
        assert!(!snapshot.has_repeated());
        for _ in 0..3 {
            assert_eq!(snapshot.meet(key), Met::Differs);
        }
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
        snapshot.seal(false);
        assert_eq!(snapshot.len(), ROWS);
        assert!(snapshot.bytes() <= ROWS * 25, "{}", snapshot.bytes());
    }
}
