use super::*;
use crate::engine::testing::{
    Seen, TABLE, aws, aws_with, interfered, on_records, put, table, value_of,
};
use crate::engine::{Call, EmbeddedAws, Interference, Pump, QueueAttributes, Settings, Verdict};
use async_trait::async_trait;
use aws_lambda_events::event::streams::DynamoDbBatchItemFailure;
use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;

fn fail(answer: &mut DynamoDbEventResponse, record: &EventRecord) {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = record.change.sequence_number.clone();
    answer.batch_item_failures.push(failure);
}

/// Notes every record's value and fails those that are `poison`, one by one.
fn reporting(seen: &Seen) -> Function<Event, DynamoDbEventResponse> {
    let seen = seen.clone();
    on_records(move |records| {
        let mut answer = DynamoDbEventResponse::default();
        for record in records {
            let value = value_of(record);
            seen.note(&value);
            if value.starts_with("poison") {
                fail(&mut answer, record);
                break;
            }
        }
        Ok(answer)
    })
}

/// Fails a whole batch when it holds a poison record, having noted the batch.
fn failing(seen: &Seen) -> Function<Event, DynamoDbEventResponse> {
    let seen = seen.clone();
    on_records(move |records| {
        let values: Vec<String> = records.iter().map(value_of).collect();
        if values.iter().any(|value| value.starts_with("poison")) {
            seen.note(format!("failed {}", values.join(",")));
            return Err("poison".into());
        }
        values.into_iter().for_each(|value| seen.note(value));
        Ok(DynamoDbEventResponse::default())
    })
}

fn failure_queue(aws: &EmbeddedAws) -> Arc<Queue> {
    aws.queues()
        .create("failures", QueueAttributes::default())
        .unwrap()
}

/// Takes the letters out of the failure queue.
fn letters(aws: &EmbeddedAws, queue: &Queue) -> Vec<Value> {
    let received = aws.queues().take(queue, 100, None).unwrap();
    received
        .iter()
        .map(|received| serde_json::from_str(&received.message.body).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn changes_arrive_in_order_with_both_images() {
    let aws = aws();
    let records: Arc<Mutex<Vec<EventRecord>>> = Arc::default();
    let kept = Arc::clone(&records);
    let function = on_records(move |batch| {
        kept.lock().unwrap().extend_from_slice(batch);
        Ok(DynamoDbEventResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, function))
        .start()
        .unwrap();
    put(&aws, "a", "1").await;
    put(&aws, "a", "2").await;
    aws.dynamodb()
        .delete_item()
        .table_name(TABLE)
        .key("pk", AttributeValue::S("a".into()))
        .send()
        .await
        .unwrap();
    pump.idle().await;

    let records = records.lock().unwrap();
    let names: Vec<&str> = records
        .iter()
        .map(|record| record.event_name.as_str())
        .collect();
    assert_eq!(names, ["INSERT", "MODIFY", "REMOVE"]);
    let modified = &records[1];
    let text = |value: &str| serde_dynamo::AttributeValue::S(value.to_owned());
    assert_eq!(modified.change.old_image.get("value"), Some(&text("1")));
    assert_eq!(modified.change.new_image.get("value"), Some(&text("2")));
    assert_eq!(modified.change.keys.get("pk"), Some(&text("a")));
    assert_eq!(
        modified.change.approximate_creation_date_time.to_rfc3339(),
        "2026-01-15T09:30:00+00:00"
    );
    assert!(
        modified
            .event_source_arn
            .as_deref()
            .unwrap()
            .starts_with("arn:aws:dynamodb:eu-central-1:000000000000:table/items/stream/")
    );
    let ids: std::collections::HashSet<&str> = records
        .iter()
        .map(|record| record.event_id.as_str())
        .collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_expired_item_leaves_with_the_identity_of_the_expiry_service() {
    let aws = aws();
    let seen = Seen::default();
    let notes = seen.clone();
    let function = on_records(move |batch| {
        for record in batch {
            let identity = record.user_identity.as_ref();
            notes.note(format!(
                "{} {}",
                record.event_name,
                identity.map_or("-".to_owned(), |who| format!(
                    "{} {}",
                    who.type_, who.principal_id
                )),
            ));
        }
        Ok(DynamoDbEventResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, function))
        .start()
        .unwrap();
    let expires = aws.clock().now().as_second() + 90;
    aws.dynamodb()
        .put_item()
        .table_name(TABLE)
        .item("pk", AttributeValue::S("marker".into()))
        .item("expires", AttributeValue::N(expires.to_string()))
        .send()
        .await
        .unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["INSERT -"]);

    // The pump sweeps by itself, once an hour.
    tokio::time::sleep(Duration::from_secs(3_661)).await;
    pump.idle().await;
    assert_eq!(seen.all()[1..], ["REMOVE Service dynamodb.amazonaws.com"]);
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_resumes_at_the_lowest_failed_record() {
    let aws = aws();
    let seen = Seen::default();
    let notes = seen.clone();
    let function = on_records(move |records| {
        let values: Vec<String> = records.iter().map(value_of).collect();
        notes.note(values.join(","));
        let mut answer = DynamoDbEventResponse::default();
        if values.len() == 4 {
            // Named out of order: the lowest counts.
            for index in [3, 1] {
                fail(&mut answer, &records[index]);
            }
        }
        Ok(answer)
    });
    for value in ["1", "2", "3", "4"] {
        put(&aws, value, value).await;
    }
    let pump = Pump::builder(&aws)
        .stream(StreamMapping {
            report_batch_item_failures: true,
            ..StreamMapping::new(TABLE, function)
        })
        .start()
        .unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["1,2,3,4", "2,3,4"]);
}

#[tokio::test(start_paused = true)]
async fn an_identifier_that_names_no_record_fails_the_whole_batch() {
    for identifier in [Some("404"), Some(""), None] {
        let aws = aws();
        let queue = failure_queue(&aws);
        let seen = Seen::default();
        let notes = seen.clone();
        let function = on_records(move |records| {
            notes.note(records.len().to_string());
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = identifier.map(str::to_owned);
            let mut answer = DynamoDbEventResponse::default();
            answer.batch_item_failures.push(failure);
            Ok(answer)
        });
        put(&aws, "a", "1").await;
        put(&aws, "b", "2").await;
        let pump = Pump::builder(&aws)
            .stream(StreamMapping {
                report_batch_item_failures: true,
                maximum_retry_attempts: Some(1),
                on_failure: Some("failures".to_owned()),
                ..StreamMapping::new(TABLE, function)
            })
            .start()
            .unwrap();
        pump.idle().await;
        assert_eq!(seen.all(), ["2", "2"], "{identifier:?}");
        assert_eq!(
            letters(&aws, &queue)[0]["DDBStreamBatchInfo"]["batchSize"],
            2
        );
    }
}

#[tokio::test(start_paused = true)]
async fn halving_isolates_a_poison_record_and_the_others_proceed() {
    let aws = aws();
    let queue = failure_queue(&aws);
    let seen = Seen::default();
    for value in ["1", "2", "poison", "4", "5"] {
        put(&aws, value, value).await;
    }
    let pump = Pump::builder(&aws)
        .stream(StreamMapping {
            bisect_batch_on_function_error: true,
            maximum_retry_attempts: Some(2),
            on_failure: Some("failures".to_owned()),
            ..StreamMapping::new(TABLE, failing(&seen))
        })
        .start()
        .unwrap();
    pump.idle().await;

    let done: Vec<String> = seen
        .all()
        .into_iter()
        .filter(|seen| !seen.starts_with("failed"))
        .collect();
    assert_eq!(done, ["1", "2", "4", "5"]);
    // Alone, it is run once and retried twice.
    assert_eq!(seen.count("failed poison"), 3);
    let letters = letters(&aws, &queue);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(
        letter["requestContext"]["condition"],
        "RetryAttemptsExhausted"
    );
    let batch = &letter["DDBStreamBatchInfo"];
    assert_eq!(batch["batchSize"], 1);
    assert_eq!(batch["startSequenceNumber"], batch["endSequenceNumber"]);
}

#[tokio::test(start_paused = true)]
async fn without_halving_the_batch_is_given_up_whole_and_what_follows_is_read() {
    let aws = aws();
    let queue = failure_queue(&aws);
    let seen = Seen::default();
    for value in ["1", "poison", "3"] {
        put(&aws, value, value).await;
    }
    let pump = Pump::builder(&aws)
        .stream(StreamMapping {
            maximum_retry_attempts: Some(3),
            on_failure: Some("failures".to_owned()),
            ..StreamMapping::new(TABLE, failing(&seen))
        })
        .start()
        .unwrap();
    pump.idle().await;
    put(&aws, "4", "4").await;
    pump.idle().await;

    let mut expected = vec!["failed 1,poison,3"; 4];
    expected.push("4");
    assert_eq!(seen.all(), expected);
    let letters = letters(&aws, &queue);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["DDBStreamBatchInfo"]["batchSize"], 3);
    assert_eq!(letters[0]["requestContext"]["approximateInvokeCount"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_timeout_are_failed_runs_and_the_pump_goes_on() {
    let aws = aws();
    let runs = Seen::default();
    let notes = runs.clone();
    let function = Function::new("evaluate", Duration::from_secs(5), move |_: Event, _| {
        let run = notes.all().len();
        notes.note("run");
        async move {
            match run {
                0 => panic!("a handler's own fault"),
                1 => std::future::pending().await,
                _ => Ok(DynamoDbEventResponse::default()),
            }
        }
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, function))
        .start()
        .unwrap();
    let before = Instant::now();
    put(&aws, "a", "1").await;
    pump.idle().await;
    assert_eq!(runs.count("run"), 3);
    assert!(before.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn records_too_old_are_given_up_and_younger_ones_delivered() {
    let aws = aws();
    let queue = failure_queue(&aws);
    let seen = Seen::default();
    put(&aws, "a", "old").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    put(&aws, "b", "young").await;
    let pump = Pump::builder(&aws)
        .stream(StreamMapping {
            maximum_record_age: Some(Duration::from_secs(60)),
            on_failure: Some("failures".to_owned()),
            ..StreamMapping::new(TABLE, reporting(&seen))
        })
        .start()
        .unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["young"]);
    assert_eq!(
        letters(&aws, &queue)[0]["requestContext"]["condition"],
        "RecordAgeExceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn a_filter_keeps_records_from_the_function() {
    let aws = aws();
    let seen = Seen::default();
    let filter = json!({ "dynamodb": { "NewImage": { "value": { "S": [{ "prefix": "yes" }] } } } });
    let mapping = StreamMapping {
        filters: vec![Pattern::parse(&filter).unwrap()],
        ..StreamMapping::new(TABLE, reporting(&seen))
    };
    for value in ["yes-1", "no-2", "yes-3", "no-4"] {
        put(&aws, value, value).await;
    }
    let pump = Pump::builder(&aws).stream(mapping.clone()).start().unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["yes-1", "yes-3"]);
    // What was filtered out is behind the checkpoint as well, once it is worth a write.
    let checkpoint = || aws.tables().checkpoint(&mapping.name()).unwrap();
    let before = checkpoint();
    assert_ne!(before, last_sequence(&aws));
    for value in 0..PASSED_MOST {
        put(&aws, "no", &format!("no-{value}")).await;
    }
    pump.idle().await;
    assert_eq!(seen.all(), ["yes-1", "yes-3"]);
    assert!(checkpoint() > before);
}

fn last_sequence(aws: &EmbeddedAws) -> Option<String> {
    aws.tables().last_sequence(TABLE).unwrap()
}

#[tokio::test(start_paused = true)]
async fn latest_begins_with_what_is_written_from_now_on() {
    let aws = aws();
    let seen = Seen::default();
    put(&aws, "a", "before").await;
    let pump = Pump::builder(&aws)
        .stream(StreamMapping {
            starting_position: StartingPosition::Latest,
            ..StreamMapping::new(TABLE, reporting(&seen))
        })
        .start()
        .unwrap();
    pump.idle().await;
    put(&aws, "a", "after").await;
    pump.idle().await;
    assert_eq!(seen.all(), ["after"]);
}

#[tokio::test(start_paused = true)]
async fn a_batching_window_gathers_a_fuller_batch() {
    let aws = aws();
    let seen = Seen::default();
    let notes = seen.clone();
    let function = on_records(move |records| {
        notes.note(records.len().to_string());
        Ok(DynamoDbEventResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping {
            batch_size: 3,
            batching_window: Duration::from_secs(5),
            ..StreamMapping::new(TABLE, function)
        })
        .start()
        .unwrap();
    for value in ["1", "2"] {
        put(&aws, value, value).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(seen.all(), Vec::<String>::new());
    pump.idle().await;
    assert_eq!(seen.all(), ["2"]);
    // A full batch does not wait for the window.
    let before = Instant::now();
    for value in ["3", "4", "5"] {
        put(&aws, value, value).await;
    }
    pump.idle().await;
    assert_eq!(seen.all(), ["2", "3"]);
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_restart_on_the_same_directory_resumes_at_the_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Seen::default();
    for round in ["first", "second"] {
        let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
        aws.tables().ensure_table(&table()).unwrap();
        let pump = Pump::builder(&aws)
            .stream(StreamMapping::new(TABLE, reporting(&seen)))
            .start()
            .unwrap();
        put(&aws, "a", round).await;
        pump.idle().await;
        pump.stop().await;
    }
    assert_eq!(seen.all(), ["first", "second"]);
}

#[tokio::test]
async fn what_was_written_while_the_pump_was_down_is_read_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Seen::default();
    {
        let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
        aws.tables().ensure_table(&table()).unwrap();
        put(&aws, "a", "written, never read").await;
    }
    let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, reporting(&seen)))
        .start()
        .unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["written, never read"]);
}

#[tokio::test]
async fn read_records_are_trimmed_and_unread_ones_kept() {
    let directory = tempfile::tempdir().unwrap();
    let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    aws.tables().ensure_table(&table()).unwrap();
    let (quick, slow) = (Seen::default(), Seen::default());
    let mapping = |name: &str, seen: &Seen| {
        let mut function = reporting(seen);
        function.name = name.to_owned();
        StreamMapping::new(TABLE, function)
    };
    for value in ["1", "2", "3"] {
        put(&aws, "a", value).await;
    }
    // The slow mapping has read nothing yet: nothing may go.
    let pump = Pump::builder(&aws)
        .stream(mapping("quick", &quick))
        .start()
        .unwrap();
    pump.idle().await;
    pump.stop().await;
    let both = || {
        Pump::builder(&aws)
            .stream(mapping("quick", &quick))
            .stream(mapping("slow", &slow))
            .start()
            .unwrap()
    };
    let pump = both();
    pump.upkeep().unwrap();
    pump.idle().await;
    assert_eq!(slow.all(), ["1", "2", "3"]);

    pump.upkeep().unwrap();
    let kept = aws.tables().records_after(TABLE, None, 100).unwrap();
    assert_eq!(
        kept.len(),
        1,
        "only the last record is kept, for its number"
    );
    put(&aws, "a", "4").await;
    pump.idle().await;
    assert_eq!(quick.all(), ["1", "2", "3", "4"]);
    assert_eq!(slow.all(), quick.all());
}

/// Breaks the first checkpoint, before it is written or after.
struct FirstCheckpointLost {
    written: bool,
    left: AtomicU64,
}

#[async_trait]
impl Interference for FirstCheckpointLost {
    async fn before(&self, call: &Call) -> Verdict {
        self.judge(call, !self.written)
    }

    async fn after(&self, call: &Call) -> Verdict {
        self.judge(call, self.written)
    }
}

impl FirstCheckpointLost {
    fn judge(&self, call: &Call, here: bool) -> Verdict {
        if here && call.operation == "Checkpoint" && self.left.swap(0, Ordering::SeqCst) > 0 {
            Verdict::ConnectionLost
        } else {
            Verdict::Proceed
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_handler_and_checkpoint_delivers_twice() {
    for written in [false, true] {
        let aws = interfered(FirstCheckpointLost {
            written,
            left: AtomicU64::new(1),
        });
        let seen = Seen::default();
        put(&aws, "a", "1").await;
        let pump = Pump::builder(&aws)
            .stream(StreamMapping::new(TABLE, reporting(&seen)))
            .start()
            .unwrap();
        pump.idle().await;
        assert_eq!(seen.all(), ["1", "1"], "written: {written}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pump_that_is_cut_off_delivers_again_and_one_that_stops_does_not() {
    let aws = aws();
    let seen = Seen::default();
    let notes = seen.clone();
    let function = Function::new("evaluate", Duration::from_secs(60), move |_: Event, _| {
        notes.note("started");
        let notes = notes.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(10)).await;
            notes.note("finished");
            Ok(DynamoDbEventResponse::default())
        }
    });
    let start = || {
        Pump::builder(&aws)
            .stream(StreamMapping::new(TABLE, function.clone()))
            .start()
            .unwrap()
    };
    put(&aws, "a", "1").await;
    let killed = start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(killed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(seen.all(), ["started"]);

    let stopped = start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stopped.stop().await;
    assert_eq!(seen.all(), ["started", "started", "finished"]);

    let pump = start();
    pump.idle().await;
    assert_eq!(
        seen.all().len(),
        3,
        "the stopped pump had kept its checkpoint"
    );
}

#[test]
fn a_mapping_without_its_table_or_queue_does_not_start() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let aws = aws_with(Settings::default());
        let seen = Seen::default();
        let start = |mapping| {
            Pump::builder(&aws)
                .stream(mapping)
                .start()
                .unwrap_err()
                .to_string()
        };
        let elsewhere = StreamMapping::new("elsewhere", reporting(&seen));
        assert_eq!(
            start(elsewhere),
            "mapping evaluate <- elsewhere: there is no table elsewhere with a stream"
        );
        let nowhere = StreamMapping {
            on_failure: Some("nowhere".to_owned()),
            ..StreamMapping::new(TABLE, reporting(&seen))
        };
        assert_eq!(
            start(nowhere),
            "mapping evaluate <- items: there is no queue nowhere"
        );
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever fails, however batches are cut: every record is delivered in order or given up,
    /// exactly one of the two, and none twice once it succeeded.
    #[test]
    fn every_record_is_done_in_order_or_given_up(
        poison in prop::collection::vec(prop::bool::weighted(0.2), 1..20),
        batch_size in 1_usize..8,
        retries in 0_u32..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        let (done, given_up) = runtime.block_on(async {
            let aws = aws();
            let queue = failure_queue(&aws);
            let seen = Seen::default();
            for (index, poison) in poison.iter().enumerate() {
                let kind = if *poison { "poison" } else { "good" };
                put(&aws, &index.to_string(), &format!("{kind}-{index}")).await;
            }
            let pump = Pump::builder(&aws).stream(StreamMapping {
                batch_size,
                report_batch_item_failures: true,
                bisect_batch_on_function_error: true,
                maximum_retry_attempts: Some(retries),
                on_failure: Some("failures".to_owned()),
                ..StreamMapping::new(TABLE, reporting(&seen))
            }).start().unwrap();
            pump.idle().await;
            let good = seen.all().into_iter().filter(|seen| seen.starts_with("good")).collect::<Vec<_>>();
            (good, letters(&aws, &queue))
        });
        let good: Vec<String> = poison.iter().enumerate().filter(|(_, poison)| !**poison)
            .map(|(index, _)| format!("good-{index}")).collect();
        prop_assert_eq!(done, good);
        let bad = poison.iter().filter(|poison| **poison).count();
        prop_assert_eq!(given_up.len(), bad);
        for letter in given_up {
            prop_assert_eq!(&letter["DDBStreamBatchInfo"]["batchSize"], 1);
        }
    }
}

/// Each shard's records in their order, all of them together exactly once.
#[tokio::test(start_paused = true)]
async fn shards_divide_the_stream_by_partition() {
    let aws = aws();
    for value in 0..40 {
        put(&aws, &format!("pk-{}", value % 7), &value.to_string()).await;
    }
    let shards: Vec<Seen> = (0..3).map(|_| Seen::default()).collect();
    let mut builder = Pump::builder(&aws);
    for (shard, seen) in (0..3).zip(&shards) {
        builder = builder.stream(StreamMapping {
            shard: Some((shard, 3)),
            ..StreamMapping::new(TABLE, reporting(seen))
        });
    }
    let pump = builder.start().unwrap();
    pump.idle().await;
    let mut all = Vec::new();
    for seen in &shards {
        let numbers: Vec<u32> = seen.all().iter().map(|it| it.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert!(numbers.len() < 40, "one shard has everything");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
    assert_eq!(aws.tables().changes(TABLE, None).unwrap().len(), 40);
}
