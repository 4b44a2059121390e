use super::*;
use crate::engine::testing::{TABLE, aws, put, table};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Get, KeysAndAttributes, Put, TransactGetItem, TransactWriteItem,
};

mod durability;

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

#[tokio::test(start_paused = true)]
async fn conditions_fail_typed_and_transactions_say_why() {
    let aws = aws();
    put(&aws, "a", "1").await;
    let client = aws.dynamodb();
    let refused = client
        .put_item()
        .table_name(TABLE)
        .item("pk", text("a"))
        .condition_expression("attribute_not_exists(pk)")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(refused.is_conditional_check_failed_exception());

    let new = Put::builder()
        .table_name(TABLE)
        .item("pk", text("b"))
        .build()
        .unwrap();
    let gone = Delete::builder()
        .table_name(TABLE)
        .key("pk", text("a"))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .unwrap();
    let cancelled = client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(new).build())
        .transact_items(TransactWriteItem::builder().delete(gone).build())
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = cancelled else {
        panic!("{cancelled:?}");
    };
    let codes: Vec<_> = cancelled
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code())
        .collect();
    assert_eq!(codes, [Some("None"), Some("ConditionalCheckFailed")]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_under_one_token_is_done_once_in_ten_minutes() {
    let aws = aws();
    let client = aws.dynamodb();
    let store = async |token: &str, key: &str, value: &str| {
        let put = Put::builder().table_name(TABLE).item("pk", text(key));
        let put = put.item("value", text(value)).build().unwrap();
        client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(put).build())
            .client_request_token(token)
            .send()
            .await
            .map_err(|error| error.into_service_error())
    };
    let stored = async || {
        let get = client.get_item().table_name(TABLE).key("pk", text("a"));
        let item = get.send().await.unwrap().item.unwrap();
        item["value"].as_s().unwrap().clone()
    };
    store("first", "a", "one").await.unwrap();
    store("second", "a", "two").await.unwrap();
    store("first", "a", "one").await.unwrap();
    assert_eq!(stored().await, "two");
    let other = store("first", "b", "one").await.unwrap_err();
    assert!(
        other.is_idempotent_parameter_mismatch_exception(),
        "{other:?}"
    );
    let too_long = "x".repeat(37);
    assert!(store(&too_long, "a", "three").await.is_err());

    tokio::time::sleep(std::time::Duration::from_secs(601)).await;
    store("first", "a", "one").await.unwrap();
    assert_eq!(stored().await, "one");
}

#[tokio::test(start_paused = true)]
async fn batches_transactions_and_descriptions_answer_through_the_sdk() {
    let aws = aws();
    put(&aws, "a", "1").await;
    put(&aws, "b", "2").await;
    let client = aws.dynamodb();

    let wanted = KeysAndAttributes::builder()
        .keys([("pk".to_owned(), text("a"))].into())
        .keys([("pk".to_owned(), text("none"))].into())
        .build()
        .unwrap();
    let batch = client
        .batch_get_item()
        .request_items(TABLE, wanted)
        .send()
        .await
        .unwrap();
    assert_eq!(batch.responses.unwrap()[TABLE].len(), 1);

    let get = |pk: &str| {
        let get = Get::builder()
            .table_name(TABLE)
            .key("pk", text(pk))
            .build()
            .unwrap();
        TransactGetItem::builder().get(get).build()
    };
    let both = client
        .transact_get_items()
        .transact_items(get("a"))
        .transact_items(get("b"))
        .send()
        .await
        .unwrap();
    let values: Vec<_> = both
        .responses()
        .iter()
        .map(|response| response.item().unwrap()["value"].clone())
        .collect();
    assert_eq!(values, [text("1"), text("2")]);

    let tables = client.list_tables().send().await.unwrap();
    assert!(tables.table_names().contains(&TABLE.to_owned()));
    let expiry = client
        .describe_time_to_live()
        .table_name(TABLE)
        .send()
        .await
        .unwrap();
    let expiry = expiry.time_to_live_description.unwrap();
    assert_eq!(expiry.attribute_name(), Some("expires"));
    let unknown = client
        .describe_table()
        .table_name("none")
        .send()
        .await
        .unwrap_err();
    assert!(
        unknown
            .into_service_error()
            .is_resource_not_found_exception()
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_gains_what_a_newer_definition_adds_and_keeps_its_items() {
    let aws = aws();
    put(&aws, "a", "1").await;
    let wanted = TableDefinition {
        indexes: vec![Index {
            name: "by-value".to_owned(),
            keys: Keys {
                partition: Attribute::Text("value".to_owned()),
                sort: None,
            },
            projection: Projection::KeysOnly,
        }],
        ..table()
    };
    for _ in 0..2 {
        aws.tables().ensure_table(&wanted).unwrap();
    }
    let found = aws
        .dynamodb()
        .query()
        .table_name(TABLE)
        .index_name("by-value")
        .key_condition_expression("#value = :one")
        .expression_attribute_names("#value", "value")
        .expression_attribute_values(":one", text("1"))
        .send()
        .await
        .unwrap();
    assert_eq!(found.items()[0]["pk"], text("a"));

    let other = TableDefinition {
        keys: Keys {
            partition: Attribute::Text("elsewhere".to_owned()),
            sort: None,
        },
        ..table()
    };
    let refused = aws.tables().ensure_table(&other).unwrap_err();
    assert!(
        matches!(refused, EngineError::OtherKeys { .. }),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_stream_index_is_there_in_memory_too() {
    // Without it a write scans every earlier record: twice the records, twice the time. The plan
    // is checked where a file can be opened; here, that the index got into memory at all.
    let aws = aws();
    put(&aws, "a", "1").await;
    let indexes: i64 = aws.tables().turns.take(|database| {
        let connection = database.storage().conn();
        connection
            .query_row(
                "SELECT count(*) FROM sqlite_master WHERE name = 'stream_records_by_sequence'",
                [],
                |row| row.get(0),
            )
            .unwrap()
    });
    assert_eq!(indexes, 1);
}
