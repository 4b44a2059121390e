//! Each function as it is deployed: its environment, its events, and what a good answer is.

use serde_json::{Value, json};
use shared::clock::Clock;
use shared::signature::standard;

use crate::Error;
use crate::services::{SECRET, Services, TOKEN};

/// A function.
pub(crate) struct Function {
    /// Its name and its binary's.
    pub(crate) name: &'static str,
    /// What it finds in its environment besides what all of them find.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    event: fn(&Services, usize) -> Value,
    good: fn(&Value) -> bool,
}

const TOPIC: (&str, &str) = ("TOPIC_ARN", crate::services::TOPIC);
const SYNC_QUEUE: (&str, &str) = ("SYNC_QUEUE_URL", crate::services::SYNC_QUEUE);

/// The functions, and what they are compared with.
pub(crate) const ALL: &[Function] = &[
    Function {
        name: "hello",
        environment: &[],
        event: |_, number| json!({ "number": number }),
        good: |answer| answer["hello"] == "world",
    },
    Function {
        name: "ingest",
        environment: &[],
        event: webhook,
        good: |answer| answer["statusCode"] == 200,
    },
    Function {
        name: "evaluate",
        environment: &[TOPIC],
        event: position,
        good: nothing_failed,
    },
    Function {
        name: "notify",
        environment: &[
            ("CHANNEL", "webhook"),
            ("QUEUE_URL", crate::services::NOTIFY_QUEUE),
        ],
        event: intent,
        good: nothing_failed,
    },
    Function {
        name: "clock",
        environment: &[TOPIC],
        event: tick,
        good: Value::is_null,
    },
    Function {
        name: "api",
        environment: &[("API_TOKEN", "env:TOKEN"), SYNC_QUEUE],
        event: question,
        good: |answer| answer["statusCode"] == 200,
    },
    Function {
        name: "sync",
        environment: &[SYNC_QUEUE],
        event: tick,
        good: nothing_failed,
    },
];

impl Function {
    /// The event of this number; no two do the same.
    pub(crate) fn event(&self, services: &Services, number: usize) -> Value {
        (self.event)(services, number)
    }

    /// Insists that an answer is a good one: a failure would be quicker.
    pub(crate) fn check(&self, answer: &[u8]) -> Result<(), Error> {
        let text = String::from_utf8_lossy(answer);
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (self.good)(&value) {
            Ok(())
        } else {
            Err(format!("{}: this is no good answer: {text}", self.name).into())
        }
    }
}

fn nothing_failed(answer: &Value) -> bool {
    answer["batchItemFailures"]
        .as_array()
        .is_some_and(Vec::is_empty)
}

/// A webhook that lowers the stock of another product each time.
fn webhook(_: &Services, number: usize) -> Value {
    let now = Clock::system().now();
    let id = format!("webhook-{number}");
    let body = json!({
        "type": "stock.level",
        "timestamp": now.to_string(),
        "data": { "sku": format!("HOOK-{number}"), "location": "north", "on_hand": 2 },
    })
    .to_string();
    let signature = standard::secrets(&[SECRET.into()])
        .map(|secrets| standard::sign(&id, now, body.as_bytes(), &secrets))
        .unwrap_or_default();
    let mut event: Value = sample(include_str!(
        "../../../events/ingest/generic-stock-level.json"
    ));
    event["headers"]["webhook-id"] = id.into();
    event["headers"]["webhook-timestamp"] = now.as_second().to_string().into();
    event["headers"]["webhook-signature"] = signature.into();
    event["pathParameters"]["connector"] = "generic".into();
    event["body"] = body.into();
    event["isBase64Encoded"] = false.into();
    event
}

/// A position that has fallen, of another product each time.
fn position(_: &Services, number: usize) -> Value {
    let text = include_str!("../../../events/evaluate/position-falls.json");
    sample(&text.replace("OIL-5W40-1L", &format!("FALLS-{number}")))
}

/// An intent to be delivered, another each time.
fn intent(services: &Services, number: usize) -> Value {
    let mut event = sample(include_str!("../../../events/notify/one-intent.json"));
    event["Records"][0]["body"] = services.intent(number).into();
    event
}

/// A tick of the schedule, a minute after the last.
fn tick(_: &Services, number: usize) -> Value {
    let mut event = sample(include_str!("../../../events/clock/tick.json"));
    let minutes = i64::try_from(number).unwrap_or_default();
    let time = Clock::system().now() + jiff::SignedDuration::from_mins(minutes);
    event["time"] = time.strftime("%Y-%m-%dT%H:%M:00Z").to_string().into();
    event
}

/// A question for positions.
fn question(_: &Services, _: usize) -> Value {
    let mut event = sample(include_str!("../../../events/api/positions.json"));
    event["headers"]["authorization"] = format!("Bearer {TOKEN}").into();
    event
}

/// A sample invocation; a test replays each, so that they can be read.
fn sample(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
