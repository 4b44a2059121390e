use super::*;
use crate::engine::testing::{TABLE, aws, put, table};
use crate::engine::{EmbeddedAws, Settings};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Get, KeysAndAttributes, Put, TransactGetItem, TransactWriteItem,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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

/// What a process that is killed now leaves behind, opened by the next one.
fn after_a_kill(directory: &Path) -> (tempfile::TempDir, EmbeddedAws) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        // The memory that SQLite's processes share is not a file after the last of them.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let aws = EmbeddedAws::open(copy.path(), Settings::default()).unwrap();
    (copy, aws)
}

async fn items(aws: &EmbeddedAws) -> Vec<BTreeMap<String, AttributeValue>> {
    let scanned = aws.dynamodb().scan().table_name(TABLE).send().await;
    let items = scanned.unwrap().items.unwrap();
    items.into_iter().map(BTreeMap::from_iter).collect()
}

fn kept_tables() -> (tempfile::TempDir, EmbeddedAws) {
    let directory = tempfile::tempdir().unwrap();
    let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    aws.tables().ensure_table(&table()).unwrap();
    (directory, aws)
}

#[tokio::test]
async fn a_kill_changes_no_item_and_no_number_of_a_stream_record() {
    let (directory, aws) = kept_tables();
    for number in 0..20 {
        put(&aws, &format!("key-{}", number % 5), &number.to_string()).await;
    }
    // Enough for SQLite's own commit, and what comes after it.
    for number in 0..12 {
        let long = "x".repeat(390_000);
        put(&aws, &format!("long-{}", number % 3), &long).await;
    }
    let delete = aws.dynamodb().delete_item().table_name(TABLE);
    delete.key("pk", text("key-1")).send().await.unwrap();
    let (_copy, killed) = after_a_kill(directory.path());
    assert_eq!(items(&killed).await, items(&aws).await);
    let changes = |aws: &EmbeddedAws| aws.tables().changes(TABLE, None).unwrap();
    assert_eq!(changes(&killed), changes(&aws));
    // It goes on from there, through a second kill too.
    put(&killed, "key-1", "back").await;
    let (_second_copy, again) = after_a_kill(_copy.path());
    assert_eq!(changes(&again).len(), changes(&aws).len() + 1);
    assert_eq!(changes(&again), changes(&killed));
}

#[tokio::test]
async fn a_transaction_that_is_cancelled_leaves_nothing_after_a_kill_either() {
    let (directory, aws) = kept_tables();
    put(&aws, "there", "1").await;
    let new = Put::builder().table_name(TABLE).item("pk", text("new"));
    let taken = Put::builder()
        .table_name(TABLE)
        .item("pk", text("there"))
        .condition_expression("attribute_not_exists(pk)");
    let write = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
        TransactWriteItem::builder()
            .put(put.build().unwrap())
            .build()
    };
    let cancelled = aws.dynamodb().transact_write_items();
    let cancelled = cancelled
        .transact_items(write(new))
        .transact_items(write(taken));
    cancelled.send().await.unwrap_err();
    put(&aws, "after", "2").await;
    assert_eq!(items(&aws).await.len(), 2);
    let (_copy, killed) = after_a_kill(directory.path());
    assert_eq!(items(&killed).await, items(&aws).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_each_answered_and_each_there() {
    let (directory, aws) = kept_tables();
    let counted: Vec<_> = (0..64)
        .map(|number| {
            let aws = aws.clone();
            tokio::spawn(async move {
                let update = aws.dynamodb().update_item().table_name(TABLE);
                let update = update
                    .key("pk", text("count"))
                    .update_expression("ADD n :one")
                    .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
                update.send().await.unwrap();
                put(&aws, &format!("own-{number}"), "x").await;
                let get = aws.dynamodb().get_item().table_name(TABLE);
                let got = get.key("pk", text(&format!("own-{number}"))).send().await;
                assert!(got.unwrap().item.is_some(), "what was answered is read");
            })
        })
        .collect();
    for one in counted {
        one.await.unwrap();
    }
    let (_copy, killed) = after_a_kill(directory.path());
    let count = items(&killed).await;
    let count = count.iter().find_map(|item| item.get("n"));
    assert_eq!(count, Some(&AttributeValue::N("64".to_owned())));
    assert_eq!(items(&killed).await.len(), 65);
}

#[tokio::test]
async fn tables_that_had_to_be_opened_again_have_what_was_answered() {
    let (_directory, aws) = kept_tables();
    put(&aws, "a", "1").await;
    let before = aws.tables().changes(TABLE, None).unwrap();
    aws.tables()
        .turns
        .take(|database| database.open_again(&"a test"));
    assert_eq!(aws.tables().changes(TABLE, None).unwrap(), before);
    put(&aws, "b", "2").await;
    assert_eq!(items(&aws).await.len(), 2);
}

/// Names the directory to the child process of the next test.
const CHILD: &str = "EMBEDDED_TABLES_CHILD";

#[test]
fn a_killed_process_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("engine::tables::tests::write_until_killed")
        .env(CHILD, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(number) = line.strip_prefix("acknowledged ") {
            acknowledged.push(number.to_owned());
        }
        if acknowledged.len() == 50 {
            child.kill().unwrap(); // SIGKILL: no destructor runs
        }
    }
    child.wait().unwrap();
    assert!(
        acknowledged.len() >= 50,
        "the child ended early: {acknowledged:?}"
    );

    let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    for number in &acknowledged {
        let request = json!({ "TableName": TABLE, "Key": { "pk": { "S": number } } });
        let found = aws.tables().ask("GetItem", &request).unwrap();
        assert_eq!(found["Item"]["pk"]["S"], number.as_str());
    }
    let records = aws.tables().records_after(TABLE, None, 1_000).unwrap();
    assert!(records.len() >= acknowledged.len());
}

#[test]
#[ignore = "the child process of the test above"]
fn write_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "set by the parent test alone")]
    let Ok(directory) = std::env::var(CHILD) else {
        return; // run on its own, it has nothing to do
    };
    let aws = EmbeddedAws::open(Path::new(&directory), Settings::default()).unwrap();
    aws.tables().ensure_table(&table()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for number in 0..100_000 {
            put(&aws, &number.to_string(), "x").await;
            println!("acknowledged {number}");
        }
    });
}
