//! Every change of the table there ever was, in order, read from the table's stream and not through
//! the product.

use std::collections::BTreeMap;
use std::fmt;

use lotwire::engine::{EmbeddedAws, EngineError};
use lotwire::stack::resources::TABLE;
use serde_json::{Map, Value};

/// One change of one item.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its partition key.
    pub pk: String,
    /// Its sort key.
    pub sk: String,
    /// What kind of item it is.
    pub kind: String,
    /// What it said before; null when it was not there.
    pub before: Value,
    /// What it says now; null when it is gone.
    pub after: Value,
    /// When the clock is to look at it, if it is.
    pub due: Option<i64>,
}

/// All changes, in the table's order.
#[derive(Debug, Default)]
pub struct History {
    changes: Vec<Change>,
    /// Where the latest state of each item stands in `changes`.
    latest: BTreeMap<(String, String), usize>,
    last: Option<String>,
}

impl History {
    /// Reads what has happened since.
    pub fn read_on(&mut self, aws: &EmbeddedAws) -> Result<(), EngineError> {
        for record in aws.tables().changes(TABLE, self.last.as_deref())? {
            self.last = record["SequenceNumber"].as_str().map(str::to_owned);
            let (old, new) = (item(&record["OldImage"]), item(&record["NewImage"]));
            let keys = item(&record["Keys"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let image = if new.is_null() { &old } else { &new };
            let change = Change {
                pk: text(&keys["pk"]),
                sk: text(&keys["sk"]),
                kind: text(&image["t"]),
                due: new["dsk"].as_str().and_then(|due| due.parse().ok()),
                before: old.get("d").cloned().unwrap_or_default(),
                after: new.get("d").cloned().unwrap_or_default(),
            };
            let key = (change.pk.clone(), change.sk.clone());
            self.latest.insert(key, self.changes.len());
            self.changes.push(change);
        }
        Ok(())
    }

    /// All changes.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes of one kind of item, with their places.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (usize, &'a Change)> {
        let all = self.changes.iter().enumerate();
        all.filter(move |(_, change)| change.kind == kind)
    }

    /// What each revision of an alert says. The alert holds the last of its own.
    pub fn revisions(&self) -> impl Iterator<Item = &Value> {
        let alerts = self.of_kind("alert");
        let last = alerts.map(|(_, change)| &change.after["message"]);
        let kept = self.of_kind("revision").map(|(_, change)| &change.after);
        last.chain(kept)
    }

    /// The items of one kind as they are now, by key.
    pub fn now<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Change> {
        let latest = self.latest.values().filter_map(|at| self.changes.get(*at));
        latest.filter(move |change| change.kind == kind && !change.after.is_null())
    }

    /// When the clock is to look at something next, in milliseconds since 1970.
    pub fn next_due(&self) -> Option<i64> {
        let latest = self.latest.values().filter_map(|at| self.changes.get(*at));
        latest.filter_map(|change| change.due).min()
    }

    /// Whether no delivery is pending, no webhook waits, no run or job is on its way, and no alert is
    /// about to begin or to end.
    pub fn nothing_pends(&self) -> bool {
        let undecided = |watch: &Change| {
            let phase = &watch.after["watch"]["p"];
            phase.get("p").is_some() || phase.get("r").is_some()
        };
        let state = |change: &Change| {
            change.after["state"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        self.now("intent").all(|intent| state(intent) != "pending")
            && self.now("received").all(|one| state(one) != "waiting")
            && self.now("job").next().is_none()
            && !self.now("watch").any(undecided)
            && self
                .now("run")
                .all(|run| !matches!(state(run).as_str(), "queued" | "running"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pk,
            sk,
            kind,
            after,
            ..
        } = self;
        write!(f, "{kind} {pk} {sk}: {after}")
    }
}

/// An item in DynamoDB's JSON as plain JSON; null when there is none.
fn item(image: &Value) -> Value {
    match image.as_object() {
        Some(attributes) if !attributes.is_empty() => attributes
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect::<Map<_, _>>()
            .into(),
        _ => Value::Null,
    }
}

fn plain(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute
        .as_object()
        .and_then(|tagged| tagged.iter().next())
    else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("N", Value::String(number)) => serde_json::from_str(number).unwrap_or_default(),
        ("NULL", _) => Value::Null,
        ("L", Value::Array(values)) => values.iter().map(plain).collect(),
        ("M", _) => match value.as_object() {
            Some(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect::<Map<_, _>>()
                .into(),
            None => Value::Null,
        },
        (_, other) => other.clone(),
    }
}
