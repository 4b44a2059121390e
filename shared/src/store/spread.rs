//! Lists ordered by time that are written so often that one partition of the index could not take them.

use serde::de::DeserializeOwned;

use super::keys;
use super::row::{Item, Page, Stored, read, text};
use super::{Store, StoreError};

impl Store {
    /// A page of a list ordered by time that is spread over shards: in the list's order, whichever
    /// shard an item stands in. The cursor is the last item's place. A page may be shorter than
    /// `limit` although more follows.
    pub(crate) async fn spread<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        list: &str,
        (from, until): (Option<&str>, Option<&str>),
        newest_first: bool,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Stored<T>>, StoreError> {
        let is_place = |cursor: &str| {
            let time = cursor.split_once('#').map(|(time, _)| time);
            time.is_some_and(|time| time.len() == 15 && time.bytes().all(|b| b.is_ascii_digit()))
        };
        if cursor.is_some_and(|cursor| !is_place(cursor)) {
            return Err(StoreError::Cursor);
        }
        let bounds = match (cursor, newest_first) {
            (None, _) => (from, until),
            (Some(_), true) => (from, cursor),
            (Some(_), false) => (cursor, until),
        };
        // Items are spread evenly: a long page takes about an eighth of its items from each.
        let each = limit.saturating_add(2).min((limit / 4).max(25));
        let shards = (0..keys::SHARDS).map(|shard| async move {
            let part = keys::part_of_list(list, shard);
            self.list_items(operation, &part, bounds, newest_first, None, each)
                .await
        });
        let mut found: Vec<(String, Item)> = Vec::new();
        // How far every shard has been read.
        let mut reached: Option<String> = None;
        let later = |one: &str, other: &str| {
            if newest_first {
                one < other
            } else {
                one > other
            }
        };
        for page in futures::future::try_join_all(shards).await? {
            let mut places = page
                .items
                .iter()
                .map(|item| text(item, "lsk").unwrap_or_default());
            let last = places.next_back();
            if page.next.is_some()
                && let Some(last) = last
                && reached.as_ref().is_none_or(|reached| later(reached, &last))
            {
                reached = Some(last);
            }
            let items = page.items.into_iter();
            found.extend(items.map(|item| (text(&item, "lsk").unwrap_or_default(), item)));
        }
        // A bound that is a place is in the range of both pages that it parts.
        found.retain(|(place, _)| {
            Some(place.as_str()) != cursor
                && reached
                    .as_ref()
                    .is_none_or(|reached| !later(place, reached))
        });
        found.sort_unstable_by(|(one, _), (other, _)| {
            if newest_first {
                other.cmp(one)
            } else {
                one.cmp(other)
            }
        });
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > most || reached.is_some();
        found.truncate(most);
        let next = found
            .last()
            .map(|(place, _)| place.clone())
            .filter(|_| more);
        let items = found.into_iter().map(|(_, item)| read(operation, item));
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            next,
        })
    }
}
