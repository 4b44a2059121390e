//! The resources that `template.yaml` declares on AWS, made in the local engine.

use std::sync::Arc;
use std::time::Duration;

use shared::bus::CHANNEL_ATTRIBUTE;
use shared::channels::ChannelKind;
use shared::store::schema;
use url::Url;

use crate::engine::{
    Attribute, EmbeddedAws, EngineError, Index, Keys, Projection, Queue, QueueAttributes, Redrive,
    Subscription, TableDefinition,
};

/// The table's name.
pub const TABLE: &str = "lotwire";
/// The queue of sync jobs.
pub const SYNC_QUEUE: &str = "sync";
/// Where word comes of stream records that nobody could evaluate.
pub const STREAM_FAILURES: &str = "evaluate-failures";
/// Where messages end that no notifier can look at.
pub const NOTIFY_FAILURES: &str = "notify-failures";
/// Longer than any function may run.
const VISIBILITY: Duration = Duration::from_secs(90);
/// How long a dead letter is kept.
const LONGEST: Duration = Duration::from_secs(14 * 24 * 3_600);
/// How often a message is delivered before it counts as poison.
const RECEIVES: u32 = 5;

/// The queue of a channel's intents.
pub fn notify_queue(kind: ChannelKind) -> String {
    format!("notify-{}", kind.name())
}

/// Makes what is missing, and gives the topic's ARN.
pub fn make(aws: &EmbeddedAws) -> Result<String, EngineError> {
    aws.tables().ensure_table(&table())?;
    create(aws, STREAM_FAILURES, None)?;
    let failures = format!("{SYNC_QUEUE}-failures");
    create(aws, &failures, None)?;
    queue_with_failures(aws, SYNC_QUEUE, &failures)?;
    create(aws, NOTIFY_FAILURES, None)?;
    let topic = aws.topics().create("intents");
    for kind in ChannelKind::ALL {
        let name = notify_queue(*kind);
        queue_with_failures(aws, &name, NOTIFY_FAILURES)?;
        let queue = aws.queues().find(&name).map_err(|_| missing(&name))?;
        let filter = serde_json::json!({ CHANNEL_ATTRIBUTE: [kind.name()] });
        let subscription = Subscription::raw_where(&filter).map_err(|_| missing(&name))?;
        aws.topics().subscribe(&topic, &queue, subscription)?;
    }
    Ok(topic)
}

fn queue_with_failures(aws: &EmbeddedAws, name: &str, failures: &str) -> Result<(), EngineError> {
    let failures = aws.queues().find(failures).map_err(|_| missing(failures))?;
    let redrive = Redrive {
        dead_letter_arn: failures.arn(),
        maximum_receives: RECEIVES,
    };
    create(aws, name, Some(redrive))?;
    Ok(())
}

fn create(
    aws: &EmbeddedAws,
    name: &str,
    redrive: Option<Redrive>,
) -> Result<Arc<Queue>, EngineError> {
    // What failed waits for a person, as long as it may.
    let usual = QueueAttributes::default().retention;
    let attributes = QueueAttributes {
        visibility_timeout: VISIBILITY,
        retention: if redrive.is_none() { LONGEST } else { usual },
        redrive,
        ..QueueAttributes::default()
    };
    aws.queues()
        .create(name, attributes)
        .map_err(|_| missing(name))
}

/// The address of a queue.
pub fn queue_url(aws: &EmbeddedAws, name: &str) -> Result<Url, EngineError> {
    let queue = aws.queues().find(name).map_err(|_| missing(name))?;
    queue.url().parse().map_err(|_| missing(name))
}

fn missing(queue: &str) -> EngineError {
    EngineError::Missing {
        wanted_by: "the stack".to_owned(),
        missing: format!("queue {queue}"),
    }
}

/// The table's definition in the engine's terms.
pub fn table() -> TableDefinition {
    let text = |name: &str| Attribute::Text(name.to_owned());
    TableDefinition {
        name: TABLE.to_owned(),
        keys: Keys {
            partition: text(schema::PARTITION_KEY),
            sort: Some(text(schema::SORT_KEY)),
        },
        indexes: schema::INDEXES
            .iter()
            .map(|index| Index {
                name: index.name.to_owned(),
                keys: Keys {
                    partition: text(index.partition_key),
                    sort: Some(text(index.sort_key)),
                },
                projection: if index.whole_items {
                    Projection::All
                } else {
                    Projection::KeysOnly
                },
            })
            .collect(),
        stream: true,
        expiry: Some(schema::TTL_ATTRIBUTE.to_owned()),
    }
}
