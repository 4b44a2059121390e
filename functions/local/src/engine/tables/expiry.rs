//! Deleting the items whose time has come, some at a time: others have their turns in between.

use dynoxide::DynoxideError;
use dynoxide::storage::Storage;
use dynoxide::streams;
use dynoxide::types::{AttributeValue, Item};
use rusqlite::params;
use serde::Deserialize;

/// Items looked at under one hold of the tables.
const PAGE: usize = 500;
/// Who a stream says has deleted them.
const SERVICE: &str = r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#;

/// An item's key as it is stored.
type StoredKey = (String, String);

/// A sweep of one table.
pub(super) struct Sweep {
    table: String,
    attribute: String,
    /// In seconds since 1970. What expires while the sweep goes on is for the next one.
    now: u64,
    /// The last item looked at.
    after: StoredKey,
    ended: bool,
}

#[derive(Deserialize)]
struct Index {
    #[serde(rename = "IndexName")]
    name: String,
}

impl Sweep {
    /// One for each table whose items expire.
    pub(super) fn all(storage: &Storage, now: u64) -> Result<Vec<Self>, DynoxideError> {
        let tables = storage.list_ttl_enabled_tables()?.into_iter();
        Ok(tables
            .filter_map(|table| {
                Some(Self {
                    table: table.table_name,
                    attribute: table.ttl_attribute?,
                    now,
                    after: StoredKey::default(),
                    ended: false,
                })
            })
            .collect())
    }

    /// Which of the next items have expired; `None` after the last.
    pub(super) fn next(
        &mut self,
        storage: &Storage,
    ) -> Result<Option<Vec<StoredKey>>, DynoxideError> {
        if self.ended {
            return Ok(None);
        }
        let mut statement = storage.conn().prepare_cached(&format!(
            "SELECT pk, sk, json_extract(item_json, ?3) FROM \"{}\"
             WHERE (pk, sk) > (?1, ?2) ORDER BY pk, sk LIMIT {PAGE}",
            self.table.replace('"', "\"\"")
        ))?;
        let path = format!("$.\"{}\".N", self.attribute);
        let mut rows = statement.query(params![self.after.0, self.after.1, path])?;
        let mut expired = Vec::new();
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            seen += 1;
            self.after = (row.get(0)?, row.get(1)?);
            let expires: Option<String> = row.get(2)?;
            if expires.is_some_and(|expires| self.is_over(&expires)) {
                expired.push(self.after.clone());
            }
        }
        self.ended = seen < PAGE;
        Ok(Some(expired))
    }

    /// Deletes those of these items that are there and expired still.
    pub(super) fn delete(
        &self,
        storage: &Storage,
        expired: &[StoredKey],
    ) -> Result<usize, DynoxideError> {
        let mut deleted = 0;
        for key in expired {
            storage.begin_transaction()?;
            match self.delete_one(storage, key) {
                Ok(one) => deleted += usize::from(one),
                Err(error) => {
                    storage.rollback()?;
                    return Err(error);
                }
            }
            storage.commit()?;
        }
        Ok(deleted)
    }

    fn delete_one(&self, storage: &Storage, (pk, sk): &StoredKey) -> Result<bool, DynoxideError> {
        let unreadable =
            |error: serde_json::Error| DynoxideError::InternalServerError(error.to_string());
        let (Some(table), Some(stored)) = (
            storage.get_table_metadata(&self.table)?,
            storage.get_item(&self.table, pk, sk)?,
        ) else {
            return Ok(false);
        };
        let item: Item = serde_json::from_str(&stored).map_err(unreadable)?;
        match item.get(&self.attribute) {
            Some(AttributeValue::N(expires)) if self.is_over(expires) => {}
            _ => return Ok(false),
        }
        storage.delete_item(&self.table, pk, sk)?;
        let indexes = table.gsi_definitions.as_deref().unwrap_or("[]");
        let indexes: Vec<Index> = serde_json::from_str(indexes).map_err(unreadable)?;
        for index in &indexes {
            storage.delete_gsi_item(&self.table, &index.name, pk, sk)?;
        }
        if table.stream_enabled {
            let keys = streams::extract_keys(&item, &table.key_schema);
            let sequence = storage.next_stream_sequence_number(&self.table)?;
            storage.insert_stream_record_with_identity(
                &self.table,
                "REMOVE",
                &serde_json::to_string(&keys).map_err(unreadable)?,
                None,
                Some(&stored),
                &sequence.to_string(),
                &streams::shard_id(&self.table),
                i64::try_from(self.now).unwrap_or_default(),
                Some(SERVICE),
            )?;
        }
        Ok(true)
    }

    fn is_over(&self, expires: &str) -> bool {
        expires
            .parse::<u64>()
            .is_ok_and(|expires| expires < self.now)
    }
}
