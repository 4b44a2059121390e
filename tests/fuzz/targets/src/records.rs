//! Stream records, and rows as they are stored.
//!
//! Rows are our own; but a table outlives the version that wrote to it, and people edit tables. So a
//! row that cannot be read is an error that names its key, and one that can is kept without loss.

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use evaluate::{Changed, changed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_dynamo::AttributeValue;
use serde_json::Value;
use shared::config::Config;
use shared::domain::ledger::LedgerRow;
use shared::domain::message::Message;
use shared::domain::rule::Rule;
use shared::domain::watch::Watch;
use shared::domain::{Position, StockEvent, Unit};
use shared::store::alerts::Alert;
use shared::store::feeds::FeedState;
use shared::store::inbox::InboxEntry;
use shared::store::intents::{Attempt, Intent};
use shared::store::jobs::Reexamination;
use shared::store::quarantine::Quarantined;
use shared::store::received::Received;
use shared::store::runs::Run;
use shared::store::settings::Head;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        event.records.into_iter().for_each(record);
    }
    let Ok(row) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    kept::<Position>(&row);
    kept::<Unit>(&row);
    kept::<Watch>(&row);
    kept::<Alert>(&row);
    kept::<Intent>(&row);
    kept::<Attempt>(&row);
    kept::<Message>(&row);
    kept::<StockEvent>(&row);
    kept::<LedgerRow>(&row);
    kept::<Received>(&row);
    kept::<FeedState>(&row);
    kept::<Run>(&row);
    kept::<Quarantined>(&row);
    kept::<InboxEntry>(&row);
    kept::<Reexamination>(&row);
    kept::<Head>(&row);
    kept::<Rule>(&row);
    kept::<Config>(&row);
}

fn record(record: EventRecord) {
    let removed = record.change.new_image.is_empty();
    let key = record.change.keys.get("pk").cloned();
    match changed(record) {
        Ok(change) => assert!(!removed || matches!(change, Changed::Nothing | Changed::Rules(..))),
        Err(unreadable) => {
            if let Some(AttributeValue::S(key)) = key {
                assert!(unreadable.key.starts_with(&key), "{unreadable}");
            }
            assert!(!unreadable.problem.is_empty());
        }
    }
}

/// What is read from a row is read again from the row it is written to.
fn kept<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(row: &Value) {
    let Ok(read) = T::deserialize(row) else {
        return;
    };
    let item: AttributeValue = serde_dynamo::to_attribute_value(&read).expect("a row is written");
    let again: Result<T, _> = serde_dynamo::from_attribute_value(item);
    assert_eq!(again.ok().as_ref(), Some(&read), "through the table");
    let json = serde_json::to_string(&read).expect("a row is written");
    assert_eq!(
        serde_json::from_str(&json).ok(),
        Some(read),
        "through {json}"
    );
}
