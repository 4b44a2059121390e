//! Conditional writes, queries and pages: the few operations that everything else is made of, and
//! the only place that calls DynamoDB.
//!
//! What the SDK sends is boxed: kept by value it would be part of every future that leads here, and each of
//! those several times on the stack of a debug build.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, ConsumedCapacity, Delete, KeysAndAttributes, Put, PutRequest,
    ReturnConsumedCapacity, TransactWriteItem, WriteRequest,
};
use futures::{FutureExt as _, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::keys::{self, Key};
use super::row::{Expect, Item, Page, Row, Stored, Write, Written, read, text};
use super::schema::{DUE_INDEX, LIST_INDEX};
use super::{INSUFFICIENT_STORAGE, Store, StoreError};

/// How often a write that met another writer looks again.
const ATTEMPTS: u32 = 12;
/// Items that one call reads, that one writes without a transaction, and such calls at the same time.
const READS: usize = 100;
const BATCH: usize = 25;
const BATCHES_AT_ONCE: usize = 16;

impl Store {
    /// One item, as it is now.
    pub async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        key: &Key,
    ) -> Result<Option<Stored<T>>, StoreError> {
        let reply = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key_item(key)))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .boxed()
            .await
            .map_err(|error| failed(operation, error))?;
        self.spent.read(operation, reply.consumed_capacity.as_ref());
        reply.item.map(|item| read(operation, item)).transpose()
    }

    /// Up to a hundred items with their kinds, in no order: as they are now or, for half the price,
    /// as they are or were some milliseconds ago.
    pub(crate) async fn get_all(
        &self,
        operation: &'static str,
        keys: &[Key],
        now: bool,
    ) -> Result<Vec<(String, Item)>, StoreError> {
        let mut items = Vec::with_capacity(keys.len());
        let mut wanted: Vec<Item> = keys.iter().map(key_item).collect();
        for attempt in 0.. {
            if wanted.is_empty() {
                return Ok(items);
            }
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(std::mem::take(&mut wanted)))
                .consistent_read(now)
                .build()
                .map_err(|error| StoreError::aws(operation, error))?;
            let reply = self
                .client
                .batch_get_item()
                .request_items(&self.table, keys)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .boxed()
                .await
                .map_err(|error| failed(operation, error))?;
            for spent in reply.consumed_capacity.iter().flatten() {
                self.spent.read(operation, Some(spent));
            }
            let found = reply.responses.into_iter().flatten();
            items.extend(
                found
                    .flat_map(|(_, items)| items)
                    .map(|item| (text(&item, "t").unwrap_or_default(), item)),
            );
            let left = reply.unprocessed_keys.into_iter().flatten();
            wanted.extend(left.flat_map(|(_, left)| left.keys));
            if !wanted.is_empty() {
                self.after_conflict(operation, attempt).await?;
            }
        }
        Err(StoreError::Contended { operation })
    }

    /// Items as they are now, however many, some calls side by side.
    pub(crate) async fn get_many(
        &self,
        operation: &'static str,
        keys: &[Key],
    ) -> Result<Vec<(String, Item)>, StoreError> {
        let batches: Vec<_> = keys
            .chunks(READS)
            .map(|batch| self.get_all(operation, batch, true))
            .collect();
        let found: Vec<_> = stream::iter(batches)
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Every item of a partition whose sort key begins so, as it is now, with its kind.
    pub(crate) async fn partition(
        &self,
        operation: &'static str,
        pk: &str,
        prefix: &str,
    ) -> Result<Vec<(String, Item)>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let query = self.within(pk, prefix).set_exclusive_start_key(start);
            let reply = self.query(operation, query).await?;
            items.extend(with_kinds(reply.items));
            start = reply.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Whether a partition has an item whose sort key begins so.
    pub(crate) async fn any_within(
        &self,
        operation: &'static str,
        pk: &str,
        prefix: &str,
    ) -> Result<bool, StoreError> {
        let first = self.within(pk, prefix).limit(1);
        let reply = self.query(operation, first).await?;
        Ok(!reply.items().is_empty())
    }

    /// The first so many items of a partition, as they are now, with their kinds, and whether they are
    /// all of it.
    pub(crate) async fn first_of_partition(
        &self,
        operation: &'static str,
        pk: &str,
        most: i32,
    ) -> Result<(Vec<(String, Item)>, bool), StoreError> {
        let reply = self
            .query(operation, self.within(pk, "").limit(most))
            .await?;
        let is_whole = reply.last_evaluated_key.is_none();
        Ok((with_kinds(reply.items), is_whole))
    }

    /// Every item of a partition from a sort key on, as it is now, with its kind.
    pub(crate) async fn partition_from(
        &self,
        operation: &'static str,
        pk: &str,
        from: &str,
    ) -> Result<Vec<(String, Item)>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let query = self
                .within(pk, "")
                .key_condition_expression("pk = :pk AND sk >= :from")
                .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
                .set_exclusive_start_key(start);
            let reply = self.query(operation, query).await?;
            items.extend(with_kinds(reply.items));
            start = reply.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Items of one partition whose sort key begins so, in key order, a page at a time.
    pub(crate) async fn page_of_partition<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        pk: &str,
        prefix: &str,
        after: Option<&str>,
        limit: i32,
    ) -> Result<Page<Stored<T>>, StoreError> {
        let start = after.map(|sk| key_item(&Key::new(pk, sk)));
        let query = self
            .within(pk, prefix)
            .set_exclusive_start_key(start)
            .limit(limit);
        let reply = self.query(operation, query).await?;
        page(reply, |key| text(key, "sk")).try_map(|item| read(operation, item))
    }

    /// A consistent query of the items of a partition whose sort key begins so.
    fn within(&self, pk: &str, prefix: &str) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .consistent_read(true)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        // An empty string is no key value, so "all of it" is another expression.
        if prefix.is_empty() {
            query.key_condition_expression("pk = :pk")
        } else {
            query
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
        }
    }

    /// A page of a list. `from` and `until` bound the place; both are included.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        list: &str,
        bounds: (Option<&str>, Option<&str>),
        newest_first: bool,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Stored<T>>, StoreError> {
        self.list_items(operation, list, bounds, newest_first, cursor, limit)
            .await?
            .try_map(|item| read(operation, item))
    }

    pub(super) async fn list_items(
        &self,
        operation: &'static str,
        list: &str,
        (from, until): (Option<&str>, Option<&str>),
        newest_first: bool,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Item>, StoreError> {
        let start = cursor
            .map(|cursor| index_cursor(["lpk", "lsk"], list, cursor))
            .transpose()?;
        let query = self
            .client
            .query()
            .index_name(LIST_INDEX)
            .key_condition_expression("lpk = :list AND lsk BETWEEN :from AND :until")
            .expression_attribute_values(":list", AttributeValue::S(list.to_owned()))
            .expression_attribute_values(":from", AttributeValue::S(from.unwrap_or(" ").to_owned()))
            .expression_attribute_values(
                ":until",
                AttributeValue::S(until.unwrap_or("\u{10ffff}").to_owned()),
            )
            .scan_index_forward(!newest_first)
            .set_exclusive_start_key(start)
            .limit(limit);
        let reply = self.query(operation, query).await?;
        Ok(page(reply, |key| cursor_after(key, "lsk")))
    }

    /// A page of a list that is spread over shards, one shard after the other. What of it cannot be
    /// read says so in its place.
    pub(crate) async fn sharded<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        list: fn(u64) -> String,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Result<T, StoreError>>, StoreError> {
        let (shard, inner) = match cursor {
            None => (0, None),
            Some(cursor) => {
                let (shard, inner) = cursor.split_once('\u{1e}').ok_or(StoreError::Cursor)?;
                let shard = shard.parse::<u64>().map_err(|_| StoreError::Cursor)?;
                (shard, Some(inner).filter(|inner| !inner.is_empty()))
            }
        };
        if shard >= keys::LIST_SHARDS {
            return Err(StoreError::Cursor);
        }
        let page = self
            .list_items(operation, &list(shard), (None, None), false, inner, limit)
            .await?;
        let next = match page.next {
            Some(inner) => Some(format!("{shard}\u{1e}{inner}")),
            None if shard + 1 < keys::LIST_SHARDS => Some(format!("{}\u{1e}", shard + 1)),
            None => None,
        };
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(|item| Ok(read::<T>(operation, item)?.data))
                .collect(),
            next,
        })
    }

    /// Where one shard of such a list begins.
    pub fn beginning_of(shard: u64) -> String {
        format!("{shard}\u{1e}")
    }

    /// A page of the keys of what has fallen due by then, oldest first, from one shard of the index.
    pub(crate) async fn due_keys(
        &self,
        shard: u64,
        by: Timestamp,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Key>, StoreError> {
        let list = keys::due_list(shard);
        let start = cursor
            .map(|cursor| index_cursor(["dpk", "dsk"], &list, cursor))
            .transpose()?;
        let query = self
            .client
            .query()
            .index_name(DUE_INDEX)
            .key_condition_expression("dpk = :shard AND dsk <= :by")
            .expression_attribute_values(":shard", AttributeValue::S(list))
            .expression_attribute_values(
                ":by",
                AttributeValue::S(format!("{:015}", by.as_millisecond())),
            )
            .set_exclusive_start_key(start)
            .limit(limit);
        let reply = self.query("list what is due", query).await?;
        let next = reply
            .last_evaluated_key
            .as_ref()
            .and_then(|key| cursor_after(key, "dsk"));
        let items = reply
            .items
            .unwrap_or_default()
            .iter()
            .filter_map(|item| Some(Key::new(text(item, "pk")?, text(item, "sk")?)))
            .collect();
        Ok(Page { items, next })
    }

    /// Asks our table.
    async fn query(
        &self,
        operation: &'static str,
        query: QueryFluentBuilder,
    ) -> Result<QueryOutput, StoreError> {
        let reply = query
            .table_name(&self.table)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .boxed()
            .await
            .map_err(|error| failed(operation, error))?;
        self.spent.read(operation, reply.consumed_capacity.as_ref());
        Ok(reply)
    }

    /// Writes one item if what is there is as expected; `false` if it is not.
    pub async fn put(
        &self,
        operation: &'static str,
        row: Row,
        expect: Expect,
    ) -> Result<bool, StoreError> {
        let (condition, values) = condition(expect);
        let sent = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row.item(expect, self.clock().now())))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .boxed()
            .await;
        self.written(operation, sent.map(|reply| reply.consumed_capacity))
    }

    /// Writes items, whatever is there, in no order: some of them may be written when it fails.
    pub(crate) async fn put_all(
        &self,
        operation: &'static str,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        for row in rows {
            let put = PutRequest::builder()
                .set_item(Some(row.item(Expect::Anything, self.clock().now())));
            let put = put.build().map_err(|e| StoreError::aws(operation, e))?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        let batches: Vec<_> = requests
            .chunks(BATCH)
            .map(|batch| self.put_batch(operation, batch.to_vec()))
            .collect();
        stream::iter(batches)
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_collect()
            .await
    }

    async fn put_batch(
        &self,
        operation: &'static str,
        mut requests: Vec<WriteRequest>,
    ) -> Result<(), StoreError> {
        for attempt in 0.. {
            let reply = self
                .client
                .batch_write_item()
                .request_items(&self.table, requests)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .boxed()
                .await
                .map_err(|error| failed(operation, error))?;
            self.spent.write(operation, reply.consumed_capacity());
            let left = reply.unprocessed_items.into_iter().flatten();
            requests = left.flat_map(|(_, left)| left).collect();
            if requests.is_empty() {
                return Ok(());
            }
            self.after_conflict(operation, attempt).await?;
        }
        Err(StoreError::Contended { operation })
    }

    /// Removes one item if it is as expected; `false` if it is not.
    pub async fn delete(
        &self,
        operation: &'static str,
        key: &Key,
        expect: Expect,
    ) -> Result<bool, StoreError> {
        let (condition, values) = condition(expect);
        let sent = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key_item(key)))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .boxed()
            .await;
        self.written(operation, sent.map(|reply| reply.consumed_capacity))
    }

    /// Whether a conditional write took place.
    fn written<E, R>(
        &self,
        operation: &'static str,
        sent: Result<Option<ConsumedCapacity>, SdkError<E, R>>,
    ) -> Result<bool, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        match sent {
            Ok(spent) => {
                self.spent.write(operation, &spent);
                Ok(true)
            }
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(failed(operation, error)),
        }
    }

    /// Writes all of it or nothing.
    pub async fn transact(
        &self,
        operation: &'static str,
        writes: Vec<Write>,
    ) -> Result<Written, StoreError> {
        let mut request = self
            .client
            .transact_write_items()
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        for write in writes {
            request = request.transact_items(self.part(operation, write)?);
        }
        let error = match request.send().boxed().await {
            Ok(reply) => {
                self.spent.write(operation, reply.consumed_capacity());
                return Ok(Written::Done);
            }
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
            error.as_service_error()
        else {
            return Err(failed(operation, error));
        };
        let codes: Vec<_> = cancelled
            .cancellation_reasons()
            .iter()
            .map(|reason| reason.code().unwrap_or("None").to_owned())
            .collect();
        if codes.iter().any(|code| code == "ConditionalCheckFailed") {
            let unmet = codes
                .iter()
                .map(|code| code == "ConditionalCheckFailed")
                .collect();
            return Ok(Written::Unexpected(unmet));
        }
        if codes.iter().any(|code| code == "TransactionConflict") {
            return Ok(Written::Unexpected(vec![false; codes.len()]));
        }
        if codes
            .iter()
            .any(|code| code.contains("Throttl") || code.contains("Provisioned"))
        {
            return Err(StoreError::Busy {
                operation,
                source: error.into(),
            });
        }
        if codes.iter().any(|code| is_lasting(code)) {
            return Err(StoreError::Refused {
                operation,
                source: error.into(),
            });
        }
        Err(StoreError::aws(operation, error))
    }

    fn part(&self, operation: &'static str, write: Write) -> Result<TransactWriteItem, StoreError> {
        let wrong = |error| StoreError::aws(operation, error);
        let part = TransactWriteItem::builder();
        Ok(match write {
            Write::Put(row, expect) => {
                let (condition, values) = condition(expect);
                part.put(
                    Put::builder()
                        .table_name(&self.table)
                        .set_item(Some(row.item(expect, self.clock().now())))
                        .set_condition_expression(condition)
                        .set_expression_attribute_values(values)
                        .build()
                        .map_err(wrong)?,
                )
            }
            Write::Delete(key, expect) => {
                let (condition, values) = condition(expect);
                part.delete(
                    Delete::builder()
                        .table_name(&self.table)
                        .set_key(Some(key_item(&key)))
                        .set_condition_expression(condition)
                        .set_expression_attribute_values(values)
                        .build()
                        .map_err(wrong)?,
                )
            }
            Write::Check(key, expect) => {
                let (condition, values) = condition(expect);
                part.condition_check(
                    ConditionCheck::builder()
                        .table_name(&self.table)
                        .set_key(Some(key_item(&key)))
                        .condition_expression(condition.unwrap_or_else(|| {
                            "attribute_exists(pk) OR attribute_not_exists(pk)".into()
                        }))
                        .set_expression_attribute_values(values)
                        .build()
                        .map_err(wrong)?,
                )
            }
        }
        .build())
    }

    /// Waits a little before looking again, longer each time; fails after the last attempt.
    pub(crate) async fn after_conflict(
        &self,
        operation: &'static str,
        attempt: u32,
    ) -> Result<(), StoreError> {
        if attempt + 1 >= ATTEMPTS {
            return Err(StoreError::Contended { operation });
        }
        // Full jitter: up to 2, 4, 8 … 256 ms, so that writers who met part ways.
        let most = f64::from(2_u32 << attempt.min(7));
        let wait = Duration::from_secs_f64(most * self.chance.fraction() / 1_000.0);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn key_item(key: &Key) -> Item {
    Item::from([
        ("pk".to_owned(), AttributeValue::S(key.pk.clone())),
        ("sk".to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

/// Items with their kinds.
fn with_kinds(items: Option<Vec<Item>>) -> Vec<(String, Item)> {
    let items = items.into_iter().flatten();
    items
        .map(|item| (text(&item, "t").unwrap_or_default(), item))
        .collect()
}

fn condition(expect: Expect) -> (Option<String>, Option<Item>) {
    match expect {
        Expect::Absent => (Some("attribute_not_exists(pk)".to_owned()), None),
        Expect::Version(version) => (
            Some("v = :v".to_owned()),
            Some(Item::from([(
                ":v".to_owned(),
                AttributeValue::N(version.to_string()),
            )])),
        ),
        Expect::Anything => (None, None),
    }
}

/// The items of a page, and where the next begins: the key after which it does, in words.
fn page(reply: QueryOutput, cursor: impl Fn(&Item) -> Option<String>) -> Page<Item> {
    Page {
        next: reply.last_evaluated_key.as_ref().and_then(cursor),
        items: reply.items.unwrap_or_default(),
    }
}

/// Where a page of an index ended, as text.
fn cursor_after(key: &Item, place: &str) -> Option<String> {
    Some([text(key, place)?, text(key, "pk")?, text(key, "sk")?].join("\u{1f}"))
}

/// Where a page of an index begins: [`cursor_after`], read back. `names` are the index's own keys.
fn index_cursor(names: [&str; 2], list: &str, cursor: &str) -> Result<Item, StoreError> {
    let mut parts = cursor.split('\u{1f}');
    let (Some(place), Some(pk), Some(sk), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(StoreError::Cursor);
    };
    let mut start = key_item(&Key::new(pk, sk));
    for (name, value) in names.into_iter().zip([list, place]) {
        start.insert(name.to_owned(), AttributeValue::S(value.to_owned()));
    }
    Ok(start)
}

/// An SDK failure in our terms.
fn failed<E, R>(operation: &'static str, error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    if error.code() == Some(INSUFFICIENT_STORAGE) {
        return StoreError::Full { operation };
    }
    let busy = match &error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            true
        }
        _ => matches!(
            error.code(),
            Some(
                "ProvisionedThroughputExceededException"
                    | "ThrottlingException"
                    | "RequestLimitExceeded"
                    | "InternalServerError"
                    | "ServiceUnavailable"
                    | "TransactionInProgressException"
                    | "TransactionConflictException"
            )
        ),
    };
    if busy {
        StoreError::Busy {
            operation,
            source: error.into(),
        }
    } else if error.code().is_some_and(is_lasting) {
        StoreError::Refused {
            operation,
            source: error.into(),
        }
    } else {
        StoreError::Aws {
            operation,
            source: error.into(),
        }
    }
}

/// Whether an error's code, or that of a cancelled transaction's part, says that the request itself is
/// at fault: a key or an item that is too long.
fn is_lasting(code: &str) -> bool {
    matches!(
        code,
        "ValidationException"
            | "ValidationError"
            | "ItemCollectionSizeLimitExceededException"
            | "ItemCollectionSizeLimitExceeded"
    )
}
