//! Which keys take the load: the capacity units that each partition key of a table, and of each of its
//! indexes, has consumed, as DynamoDB counts them.
//!
//! A partition takes 1,000 write and 3,000 read units a second however large the table is, so a key that
//! many writers share is a ceiling. Nothing is counted until it is asked for: counting looks each item up
//! before and after it is written.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use dynoxide::DynoxideError;
use dynoxide::types::{
    AttributeValue, Item, TRANSACTIONAL_CAPACITY_FACTOR, item_size,
    read_capacity_units_with_consistency, table_write_capacity_units, write_capacity_units,
};
use serde_json::{Value, json};

use super::tables::Tables;

/// A partition key of a table or of one of its indexes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// The table.
    pub table: String,
    /// The index; `None` for the table itself.
    pub index: Option<String>,
    /// The key.
    pub key: String,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.index {
            Some(index) => write!(f, "{} in index {index}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// What one partition key has consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Consumed {
    /// Read units.
    pub read: f64,
    /// Write units.
    pub write: f64,
    /// Bytes of the items that were read.
    pub bytes_read: usize,
}

impl Consumed {
    /// The share of what a partition takes in a second that this would be within one second.
    pub fn load(&self) -> f64 {
        (self.write / MOST_WRITE_UNITS).max(self.read / MOST_READ_UNITS)
    }
}

impl std::ops::AddAssign for Consumed {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.write += other.write;
        self.bytes_read += other.bytes_read;
    }
}

/// Write units that a partition takes in a second.
pub const MOST_WRITE_UNITS: f64 = 1_000.0;
/// Read units that a partition takes in a second.
pub const MOST_READ_UNITS: f64 = 3_000.0;

/// What each partition key has consumed.
pub type Consumption = BTreeMap<Partition, Consumed>;

/// The keys that come closest to what a partition takes, a line each.
pub fn busiest(consumption: &Consumption, most: usize) -> Vec<String> {
    let mut keys: Vec<_> = consumption.iter().collect();
    keys.sort_by(|(_, one), (_, other)| other.load().total_cmp(&one.load()));
    let all: Consumed = keys.iter().fold(Consumed::default(), |mut sum, (_, each)| {
        sum += **each;
        sum
    });
    let percent = |part: f64, whole: f64| 100.0 * part / whole.max(1.0);
    keys.into_iter()
        .take(most)
        .map(|(partition, Consumed { read, write, .. })| {
            format!(
                "{partition}: {write:.1} write units ({:.1} %), {read:.1} read units ({:.1} %)",
                percent(*write, all.write),
                percent(*read, all.read)
            )
        })
        .collect()
}

/// The counter of a set of tables.
#[derive(Default)]
pub(super) struct Usage(OnceLock<Mutex<Account>>);

#[derive(Default)]
struct Account {
    shapes: HashMap<String, Shape>,
    consumed: Consumption,
}

/// A table's keys, and those of its indexes.
#[derive(Debug, Clone)]
struct Shape {
    keys: Vec<String>,
    indexes: Vec<IndexShape>,
}

#[derive(Debug, Clone)]
struct IndexShape {
    name: String,
    keys: Vec<String>,
    /// The attributes that it holds besides all keys; `None` is every attribute.
    holds: Option<Vec<String>>,
}

/// A call whose items are known as they were before it.
pub(super) struct Begun<'a> {
    account: &'a Mutex<Account>,
    operation: String,
    request: Value,
    writes: Vec<Written>,
}

/// One item that a call writes, or insists on.
struct Written {
    table: String,
    key: Value,
    before: Option<Item>,
}

impl Usage {
    /// Counts from now on.
    pub(super) fn begin(&self) {
        self.0.get_or_init(Mutex::default);
    }

    /// What has been consumed since this was last asked.
    pub(super) fn take(&self) -> Consumption {
        let account = self.0.get().map(lock);
        account.map_or_else(Consumption::new, |mut account| {
            std::mem::take(&mut account.consumed)
        })
    }

    /// Before a call; `None` while nothing is counted.
    pub(super) fn before(
        &self,
        tables: &Tables,
        operation: &str,
        body: &[u8],
    ) -> Option<Begun<'_>> {
        let account = self.0.get()?;
        let request: Value = serde_json::from_slice(body).ok()?;
        let mut written = Vec::new();
        for (table, action) in writes(operation, &request) {
            let shape = lock(account).shape(tables, &table)?;
            let named = if action["Item"].is_object() {
                &action["Item"]
            } else {
                &action["Key"]
            };
            let key = shape.keys.iter().map(|name| (name, &named[name]));
            let key = key.map(|(name, value)| (name.clone(), value.clone()));
            let key = Value::Object(key.collect());
            let before = item(tables, &table, &key);
            written.push(Written { table, key, before });
        }
        Some(Begun {
            account,
            operation: operation.to_owned(),
            request,
            writes: written,
        })
    }
}

impl Begun<'_> {
    /// Counts the call, now that its answer is known.
    pub(super) fn after(self, tables: &Tables, answer: &Result<Vec<u8>, DynoxideError>) {
        let done = match answer {
            Ok(_) => true,
            // A condition that was not met costs what the write would have cost the table.
            Err(
                DynoxideError::ConditionalCheckFailedException(..)
                | DynoxideError::TransactionCanceledException(..),
            ) => false,
            Err(_) => return,
        };
        let factor = if self.operation == "TransactWriteItems" {
            TRANSACTIONAL_CAPACITY_FACTOR
        } else {
            1.0
        };
        for Written { table, key, before } in &self.writes {
            let after = if done {
                item(tables, table, key)
            } else {
                before.clone()
            };
            let mut account = lock(self.account);
            if let Some(shape) = account.shape(tables, table) {
                account.write(
                    table,
                    &shape,
                    key,
                    (before.as_ref(), after.as_ref()),
                    factor,
                );
            }
        }
        let answer = answer.as_ref().ok();
        let answer = answer.and_then(|answer| serde_json::from_slice::<Value>(answer).ok());
        if let Some(answer) = answer {
            let mut account = lock(self.account);
            account.reads(tables, &self.operation, &self.request, &answer);
        }
    }
}

impl Account {
    /// A table's keys and indexes, looked up once.
    fn shape(&mut self, tables: &Tables, table: &str) -> Option<Shape> {
        if let Some(known) = self.shapes.get(table) {
            return Some(known.clone());
        }
        let described = tables.ask("DescribeTable", &json!({ "TableName": table }));
        let described = described.ok()?;
        let described = &described["Table"];
        let indexes = described["GlobalSecondaryIndexes"].as_array();
        let shape = Shape {
            keys: key_names(described),
            indexes: indexes
                .into_iter()
                .flatten()
                .map(|index| IndexShape {
                    name: text(&index["IndexName"]),
                    keys: key_names(index),
                    holds: match index["Projection"]["ProjectionType"].as_str() {
                        Some("ALL") => None,
                        _ => Some(texts(&index["Projection"]["NonKeyAttributes"])),
                    },
                })
                .collect(),
        };
        self.shapes.insert(table.to_owned(), shape.clone());
        Some(shape)
    }

    fn add(&mut self, table: &str, index: Option<&str>, key: &str, more: Consumed) {
        let partition = Partition {
            table: table.to_owned(),
            index: index.map(str::to_owned),
            key: key.to_owned(),
        };
        *self.consumed.entry(partition).or_default() += more;
    }

    fn write(
        &mut self,
        table: &str,
        shape: &Shape,
        key: &Value,
        (before, after): (Option<&Item>, Option<&Item>),
        factor: f64,
    ) {
        let of = |write| Consumed {
            write,
            ..Consumed::default()
        };
        let units = table_write_capacity_units(before.map(item_size), after.map(item_size));
        let partition = scalar(&key[shape.partition()]);
        self.add(table, None, &partition, of(units * factor));
        // What an index takes for it: nothing where the entry stays as it is, and where it moves, one
        // write in the partition that it leaves and one in the partition that it comes to.
        for index in &shape.indexes {
            let entry = |item: Option<&Item>| item.and_then(|item| index.entry(item, &shape.keys));
            let name = Some(index.name.as_str());
            let cost = |entry: &Item| write_capacity_units(item_size(entry));
            let (before, after) = (entry(before), entry(after));
            match (&before, &after) {
                (Some((old_place, old)), Some((place, new))) if old_place == place => {
                    if old != new {
                        self.add(table, name, &place[0], of(cost(old).max(cost(new))));
                    }
                }
                (old, new) => {
                    for (place, entry) in [old, new].into_iter().flatten() {
                        self.add(table, name, &place[0], of(cost(entry)));
                    }
                }
            }
        }
    }

    fn reads(&mut self, tables: &Tables, operation: &str, request: &Value, answer: &Value) {
        let table = text(&request["TableName"]);
        match operation {
            "GetItem" => {
                if let Some(shape) = self.shape(tables, &table) {
                    let key = scalar(&request["Key"][shape.partition()]);
                    let consistent = request["ConsistentRead"].as_bool().unwrap_or_default();
                    self.add(&table, None, &key, read(size(&answer["Item"]), consistent));
                }
            }
            "BatchGetItem" => {
                for (table, asked) in request["RequestItems"].as_object().into_iter().flatten() {
                    let Some(shape) = self.shape(tables, table) else {
                        continue;
                    };
                    let consistent = asked["ConsistentRead"].as_bool().unwrap_or_default();
                    for key in asked["Keys"].as_array().into_iter().flatten() {
                        let found = answer["Responses"][table].as_array().into_iter().flatten();
                        let found = found.clone().find(|item| {
                            let mut names = shape.keys.iter();
                            names.all(|name| item[name] == key[name])
                        });
                        let read = read(found.map_or(0, size), consistent);
                        self.add(table, None, &scalar(&key[shape.partition()]), read);
                    }
                }
            }
            "Query" => {
                let Some(shape) = self.shape(tables, &table) else {
                    return;
                };
                let index = request["IndexName"].as_str();
                let of_index = shape.indexes.iter();
                let of_index = of_index
                    .filter(|known| Some(known.name.as_str()) == index)
                    .find_map(|index| index.keys.first());
                let name = of_index.map_or(shape.partition(), String::as_str);
                let items = answer["Items"].as_array().into_iter().flatten();
                let bytes = items.map(size).sum();
                let consistent = request["ConsistentRead"].as_bool().unwrap_or_default();
                let mut consumed = read(bytes, consistent);
                // Where it is known, what was read, and not only what of it was answered.
                let reported = answer["ConsumedCapacity"]["CapacityUnits"].as_f64();
                consumed.read = reported.unwrap_or(consumed.read);
                self.add(&table, index, &queried(request, name), consumed);
            }
            _ => {}
        }
    }
}

impl Shape {
    fn partition(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }
}

impl IndexShape {
    /// An item's place in the index and what the index holds of it, if it is in the index.
    fn entry(&self, item: &Item, table_keys: &[String]) -> Option<(Vec<String>, Item)> {
        let place: Option<Vec<String>> = self
            .keys
            .iter()
            .map(|name| item.get(name).map(plain))
            .collect();
        let held = |name: &String| match &self.holds {
            None => true,
            Some(more) => [&self.keys, table_keys, more.as_slice()]
                .into_iter()
                .any(|names| names.contains(name)),
        };
        let entry = item.iter().filter(|(name, _)| held(name));
        let entry = entry.map(|(name, value)| (name.clone(), value.clone()));
        Some((place?, entry.collect()))
    }
}

/// What a call writes: each table, and the part of the request that names the item.
fn writes<'a>(operation: &str, request: &'a Value) -> Vec<(String, &'a Value)> {
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" => vec![(text(&request["TableName"]), request)],
        "TransactWriteItems" => {
            let items = request["TransactItems"].as_array().into_iter().flatten();
            let actions = items.filter_map(|item| item.as_object()?.values().next());
            actions
                .map(|action| (text(&action["TableName"]), action))
                .collect()
        }
        "BatchWriteItem" => {
            let tables = request["RequestItems"].as_object().into_iter().flatten();
            tables
                .flat_map(|(table, requests)| {
                    let requests = requests.as_array().into_iter().flatten();
                    let actions = requests.filter_map(|one| one.as_object()?.values().next());
                    actions.map(|action| (table.clone(), action))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The partition that a query is about.
fn queried(request: &Value, partition_key: &str) -> String {
    let names = &request["ExpressionAttributeNames"];
    let expression = text(&request["KeyConditionExpression"]);
    let words: Vec<&str> = expression.split_whitespace().collect();
    let value = words.windows(3).find_map(|words| match words {
        [name, "=", value] if names[*name].as_str().unwrap_or(name) == partition_key => Some(value),
        _ => None,
    });
    value.map_or_else(String::new, |value| {
        scalar(&request["ExpressionAttributeValues"][value])
    })
}

fn item(tables: &Tables, table: &str, key: &Value) -> Option<Item> {
    let request = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
    let found = tables.ask("GetItem", &request).ok()?;
    serde_json::from_value(found["Item"].clone()).ok()
}

fn read(bytes: usize, consistent: bool) -> Consumed {
    Consumed {
        read: read_capacity_units_with_consistency(bytes, consistent),
        bytes_read: bytes,
        ..Consumed::default()
    }
}

/// An item's size as DynamoDB counts it.
fn size(item: &Value) -> usize {
    serde_json::from_value::<Item>(item.clone()).map_or(0, |item| item_size(&item))
}

/// A key's value in DynamoDB's JSON: a string or a number.
fn scalar(value: &Value) -> String {
    let value = value.as_object().and_then(|value| value.values().next());
    value.map_or_else(String::new, text)
}

fn plain(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        _ => String::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(values: &Value) -> Vec<String> {
    values.as_array().into_iter().flatten().map(text).collect()
}

/// The names of a table's or an index's keys, the partition key first.
fn key_names(of: &Value) -> Vec<String> {
    let mut keys: Vec<&Value> = of["KeySchema"].as_array().into_iter().flatten().collect();
    keys.sort_by_key(|key| key["KeyType"] != "HASH");
    keys.into_iter()
        .map(|key| text(&key["AttributeName"]))
        .collect()
}

fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}
