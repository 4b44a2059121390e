//! The table as it must be. `template.yaml` declares the same for AWS, the local engine makes it
//! from this.

use serde_json::{Value, json};

/// The partition key.
pub const PARTITION_KEY: &str = "pk";
/// The sort key.
pub const SORT_KEY: &str = "sk";
/// The attribute that holds an item's expiry, in seconds since 1970.
pub const TTL_ATTRIBUTE: &str = "ttl";
/// The index of everything that people page through.
pub const LIST_INDEX: &str = "list";
/// The index of everything that time alone sets off.
pub const DUE_INDEX: &str = "due";

/// A global secondary index. All keys are strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its partition key.
    pub partition_key: &'static str,
    /// Its sort key.
    pub sort_key: &'static str,
    /// Whether it holds whole items, or only their keys.
    pub whole_items: bool,
}

/// The table's indexes; both are sparse.
pub const INDEXES: [Index; 2] = [
    Index {
        name: LIST_INDEX,
        partition_key: "lpk",
        sort_key: "lsk",
        whole_items: true,
    },
    Index {
        name: DUE_INDEX,
        partition_key: "dpk",
        sort_key: "dsk",
        whole_items: false,
    },
];

/// The kinds of item (`t`) whose changes the evaluator looks at; the event-source mapping filters on
/// them, so that our own alerts and records cost no invocation.
pub const EVALUATED_KINDS: [&str; 9] = [
    "position",
    "unit",
    "feed",
    "held_kind",
    "refused",
    "config",
    "job",
    "product",
    "rule",
];

/// The filters of that mapping, of which a record has to meet one. An item that is removed has no new
/// image; of those only rules are looked at.
pub fn evaluated_changes() -> [Value; 2] {
    [
        json!({ "dynamodb": { "NewImage": { "t": { "S": EVALUATED_KINDS } } } }),
        json!({ "eventName": ["REMOVE"], "dynamodb": { "OldImage": { "t": { "S": ["rule"] } } } }),
    ]
}
