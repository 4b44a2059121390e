//! Rows of the table as its stream brings them to a function.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};

/// A row as DynamoDB keeps it.
pub type Item = HashMap<String, AttributeValue>;

/// The record of a row that was written, numbered so that a batch has an order.
pub fn record(row: &Item, number: usize) -> Value {
    let image = object(row);
    json!({
        "eventID": format!("{number:032x}"),
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-south-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_795_343_460,
            "Keys": { "pk": image["pk"], "sk": image["sk"] },
            "NewImage": image,
            "SequenceNumber": sequence(number),
            "SizeBytes": 615,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-south-1:111122223333:table/t/stream/2026-10-01T08:00:00.000",
    })
}

/// The sequence number of the record with this number.
pub fn sequence(number: usize) -> String {
    format!("42000000000354128{number:05}")
}

/// A batch as the function gets it.
pub fn batch(records: &[Value]) -> Value {
    json!({ "Records": records })
}

fn object(row: &Item) -> Value {
    let fields = row.iter().map(|(name, value)| (name.clone(), wire(value)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A value in DynamoDB's own JSON.
fn wire(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(whether) => json!({ "BOOL": whether }),
        AttributeValue::Null(_) => json!({ "NULL": true }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(wire).collect::<Vec<_>>() }),
        AttributeValue::M(fields) => json!({ "M": object(fields) }),
        other => panic!("no row holds {other:?}"),
    }
}
