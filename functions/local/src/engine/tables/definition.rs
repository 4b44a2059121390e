//! Tables as the program wants them, and bringing what is there up to that.

use super::{EngineError, Tables, during};
use dynoxide::DynoxideError;
use serde_json::{Value, json};

/// A table as the runner wants it.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// Its name.
    pub name: String,
    /// Its primary key.
    pub keys: Keys,
    /// Its global secondary indexes.
    pub indexes: Vec<Index>,
    /// Whether changes go to a stream, with both images.
    pub stream: bool,
    /// The attribute that holds an item's expiry in epoch seconds, if items expire.
    pub expiry: Option<String>,
}

/// The primary key of a table or an index.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The partition key.
    pub partition: Attribute,
    /// The sort key, if there is one.
    pub sort: Option<Attribute>,
}

/// A key attribute and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A string.
    Text(String),
    /// A number.
    Number(String),
}

/// A global secondary index.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its key.
    pub keys: Keys,
    /// What it carries beside the keys.
    pub projection: Projection,
}

/// What an index carries beside the keys.
#[derive(Debug, Clone)]
pub enum Projection {
    /// Every attribute.
    All,
    /// Nothing else.
    KeysOnly,
    /// These attributes.
    Include(Vec<String>),
}

impl Tables {
    /// Creates what is missing of a table: the table, an index, its stream, its expiry.
    pub fn ensure_table(&self, wanted: &TableDefinition) -> Result<(), EngineError> {
        let name = &wanted.name;
        let doing = |what: &str| during(format!("{what} {name}"));
        match self.describe(name) {
            Ok(found) => self.extend(wanted, &found)?,
            Err(DynoxideError::ResourceNotFoundException(_)) => {
                self.create(wanted).map_err(doing("create table"))?;
            }
            Err(error) => return Err(doing("describe table")(error)),
        }
        if let Some(attribute) = &wanted.expiry {
            let current = self
                .ask("DescribeTimeToLive", &json!({ "TableName": name }))
                .map_err(doing("describe the expiry of"))?;
            if current["TimeToLiveDescription"]["TimeToLiveStatus"] != "ENABLED" {
                let wish = json!({ "TableName": name, "TimeToLiveSpecification":
                    { "AttributeName": attribute, "Enabled": true } });
                self.ask("UpdateTimeToLive", &wish)
                    .map_err(doing("set the expiry of"))?;
            }
        }
        Ok(())
    }

    fn create(&self, wanted: &TableDefinition) -> Result<Value, DynoxideError> {
        let mut request = json!({
            "TableName": wanted.name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": wanted.keys.schema(),
            "AttributeDefinitions": wanted.attributes(),
        });
        if !wanted.indexes.is_empty() {
            let indexes: Vec<Value> = wanted.indexes.iter().map(Index::json).collect();
            request["GlobalSecondaryIndexes"] = indexes.into();
        }
        if wanted.stream {
            request["StreamSpecification"] = stream_specification();
        }
        self.ask("CreateTable", &request)
    }

    /// Adds to an existing table what an older version of the program did not ask for.
    fn extend(&self, wanted: &TableDefinition, found: &Value) -> Result<(), EngineError> {
        let name = &wanted.name;
        let doing = |what: &str| during(format!("{what} table {name}"));
        if found["KeySchema"] != wanted.keys.schema() {
            return Err(EngineError::OtherKeys {
                table: name.clone(),
                found: found["KeySchema"].to_string(),
            });
        }
        let indexed: Vec<&str> = found["GlobalSecondaryIndexes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|index| index["IndexName"].as_str())
            .collect();
        for index in &wanted.indexes {
            if !indexed.contains(&index.name.as_str()) {
                let request = json!({
                    "TableName": name,
                    "AttributeDefinitions": wanted.attributes(),
                    "GlobalSecondaryIndexUpdates": [{ "Create": index.json() }],
                });
                self.ask("UpdateTable", &request)
                    .map_err(doing("add an index to"))?;
            }
        }
        if wanted.stream && found["StreamSpecification"]["StreamEnabled"] != true {
            let request =
                json!({ "TableName": name, "StreamSpecification": stream_specification() });
            self.ask("UpdateTable", &request)
                .map_err(doing("add a stream to"))?;
        }
        Ok(())
    }
}

impl TableDefinition {
    /// Every key attribute once.
    fn attributes(&self) -> Vec<Value> {
        let keys = std::iter::once(&self.keys).chain(self.indexes.iter().map(|index| &index.keys));
        let mut seen: Vec<&Attribute> = Vec::new();
        for attribute in keys.flat_map(Keys::attributes) {
            if !seen.contains(&attribute) {
                seen.push(attribute);
            }
        }
        seen.into_iter()
            .map(|attribute| {
                let (name, kind) = attribute.parts();
                json!({ "AttributeName": name, "AttributeType": kind })
            })
            .collect()
    }
}

impl Keys {
    fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        std::iter::once(&self.partition).chain(&self.sort)
    }

    fn schema(&self) -> Value {
        self.attributes()
            .zip(["HASH", "RANGE"])
            .map(|(attribute, kind)| json!({ "AttributeName": attribute.parts().0, "KeyType": kind }))
            .collect()
    }
}

impl Attribute {
    fn parts(&self) -> (&str, &'static str) {
        match self {
            Self::Text(name) => (name, "S"),
            Self::Number(name) => (name, "N"),
        }
    }
}

impl Index {
    fn json(&self) -> Value {
        let projection = match &self.projection {
            Projection::All => json!({ "ProjectionType": "ALL" }),
            Projection::KeysOnly => json!({ "ProjectionType": "KEYS_ONLY" }),
            Projection::Include(names) => {
                json!({ "ProjectionType": "INCLUDE", "NonKeyAttributes": names })
            }
        };
        json!({ "IndexName": self.name, "KeySchema": self.keys.schema(), "Projection": projection })
    }
}

fn stream_specification() -> Value {
    json!({ "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" })
}
