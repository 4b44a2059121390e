use super::*;
use crate::engine::testing::{Seen, TABLE, aws, on_messages, on_records, put, value_of};
use crate::engine::{BoxError, Function, QueueAttributes, Service, Verdict};
use crate::engine::{Call, Interference, Invocation};
use async_trait::async_trait;
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use aws_lambda_events::event::sqs::SqsBatchResponse;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use serde_json::Value;

fn every_minute(seen: &Seen) -> Schedule {
    let seen = seen.clone();
    let handler = move |event: EventBridgeEvent<Value>, invocation: Invocation| {
        let time = serde_json::to_value(&event).unwrap()["time"].clone();
        seen.note(format!(
            "{} until {}",
            time.as_str().unwrap(),
            invocation.deadline
        ));
        async { Ok::<(), BoxError>(()) }
    };
    Schedule {
        name: "every-minute".to_owned(),
        rate: "rate(1 minute)".parse().unwrap(),
        function: Function::new("clock", Duration::from_secs(15), handler),
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_runs_at_its_rate_and_when_fired() {
    let aws = aws();
    let seen = Seen::default();
    let pump = Pump::builder(&aws)
        .schedule(every_minute(&seen))
        .start()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(130)).await;
    pump.fire("every-minute").await.unwrap();
    assert_eq!(
        seen.all(),
        [
            "2026-01-15T09:31:00Z until 2026-01-15T09:31:15Z",
            "2026-01-15T09:32:00Z until 2026-01-15T09:32:15Z",
            "2026-01-15T09:32:10Z until 2026-01-15T09:32:25Z",
        ]
    );
    assert!(pump.fire("never").await.is_err());
}

/// A table change that becomes a message that becomes a table change, and so on.
#[tokio::test(start_paused = true)]
async fn idle_waits_for_the_last_link_of_a_chain() {
    let aws = aws();
    let queue = aws
        .queues()
        .create("relay", QueueAttributes::default())
        .unwrap();
    let seen = Seen::default();
    let (notes, sender, target) = (seen.clone(), aws.clone(), Arc::clone(&queue));
    let to_queue = on_records(move |records| {
        for value in records.iter().map(value_of) {
            notes.note(&value);
            if value != "0" {
                let queues = sender.queues();
                queues.send(&target, value, BTreeMap::new(), None)?;
            }
        }
        Ok(DynamoDbEventResponse::default())
    });
    let writer = aws.clone();
    let to_table = Function::new(
        "back",
        Duration::from_secs(10),
        move |event: aws_lambda_events::event::sqs::SqsEvent, _| {
            let writer = writer.clone();
            async move {
                for message in event.records {
                    let left: u32 = message.body.unwrap().parse()?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    put(&writer, "a", &(left - 1).to_string()).await;
                }
                Ok(SqsBatchResponse::default())
            }
        },
    );
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, to_queue))
        .queue(QueueMapping::new("relay", to_table))
        .start()
        .unwrap();
    pump.idle().await;
    put(&aws, "a", "4").await;
    pump.idle().await;
    assert_eq!(seen.all(), ["4", "3", "2", "1", "0"]);
}

/// On several threads, where a check of quiet could be torn by what moves meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_is_not_fooled_by_a_chain_on_several_threads() {
    let aws = crate::engine::testing::aws_with(crate::engine::Settings::default());
    let queue = aws
        .queues()
        .create("relay", QueueAttributes::default())
        .unwrap();
    let seen = Seen::default();
    let (sender, target) = (aws.clone(), Arc::clone(&queue));
    let to_queue = on_records(move |records| {
        for value in records.iter().map(value_of) {
            let queues = sender.queues();
            queues.send(&target, value, BTreeMap::new(), None)?;
        }
        Ok(DynamoDbEventResponse::default())
    });
    let notes = seen.clone();
    let count = on_messages(move |messages| {
        messages
            .iter()
            .for_each(|message| notes.note(message.body.clone().unwrap()));
        Ok(SqsBatchResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, to_queue))
        .queue(QueueMapping::new("relay", count))
        .start()
        .unwrap();
    for number in 0..50 {
        put(&aws, "a", &number.to_string()).await;
        pump.idle().await;
        assert_eq!(
            seen.count(&number.to_string()),
            1,
            "idle came early for {number}"
        );
    }
    pump.stop().await;
}

/// Breaks the first run of a function: never started, or finished and not heard of.
struct FirstRunBroken {
    finished: bool,
}

#[async_trait]
impl Interference for FirstRunBroken {
    async fn before(&self, call: &Call) -> Verdict {
        verdict(call, !self.finished)
    }

    async fn after(&self, call: &Call) -> Verdict {
        verdict(call, self.finished)
    }
}

fn verdict(call: &Call, here: bool) -> Verdict {
    // The put of the test is the first call, the run the second.
    match (here, call.service, call.sequence) {
        (true, Service::Lambda, 2) => Verdict::ConnectionLost,
        _ => Verdict::Proceed,
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_run_is_a_failed_run() {
    for (finished, expected) in [(false, 1), (true, 2)] {
        let aws = crate::engine::testing::interfered(FirstRunBroken { finished });
        let seen = Seen::default();
        let notes = seen.clone();
        let function = on_records(move |_| {
            notes.note("run");
            Ok(DynamoDbEventResponse::default())
        });
        put(&aws, "a", "1").await;
        let pump = Pump::builder(&aws)
            .stream(StreamMapping::new(TABLE, function))
            .start()
            .unwrap();
        pump.idle().await;
        assert_eq!(seen.count("run"), expected, "finished: {finished}");
    }
}

/// Notes every call, and loses a connection now and then.
struct Recording(Seen);

#[async_trait]
impl Interference for Recording {
    async fn before(&self, call: &Call) -> Verdict {
        self.0.note(format!("{call:?}"));
        if call.sequence % 7 == 3 {
            Verdict::ConnectionLost
        } else {
            Verdict::Proceed
        }
    }
}

/// One run of a little system under faults: every call, and what the functions saw and when.
async fn faulty_run() -> Vec<String> {
    let seen = Seen::default();
    let aws = crate::engine::testing::aws_with(crate::engine::Settings {
        clock: crate::engine::testing::virtual_clock(),
        interference: Arc::new(Recording(seen.clone())),
        ..crate::engine::Settings::default()
    });
    let queue = aws
        .queues()
        .create("relay", QueueAttributes::default())
        .unwrap();
    let (sender, url) = (aws.sqs(), queue.url());
    let to_queue = Function::new(
        "relay",
        Duration::from_secs(10),
        move |event: aws_lambda_events::event::dynamodb::Event, _| {
            let (sender, url) = (sender.clone(), url.clone());
            async move {
                for record in &event.records {
                    let body = format!("{} {}", record.event_id, value_of(record));
                    sender
                        .send_message()
                        .queue_url(&url)
                        .message_body(body)
                        .send()
                        .await?;
                }
                Ok(DynamoDbEventResponse::default())
            }
        },
    );
    let (notes, clock) = (seen.clone(), aws.clock().clone());
    let count = on_messages(move |messages| {
        for message in messages {
            let (id, body) = (message.message_id.as_deref(), message.body.as_deref());
            notes.note(format!(
                "{} {id:?} {:?} {body:?}",
                clock.now(),
                message.receipt_handle
            ));
        }
        Ok(SqsBatchResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, to_queue))
        .queue(QueueMapping::new("relay", count))
        .start()
        .unwrap();
    for number in 0..10 {
        put(&aws, &format!("item-{}", number % 3), &number.to_string()).await;
    }
    pump.idle().await;
    seen.all()
}

#[test]
fn a_run_under_faults_repeats_exactly() {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(faulty_run())
    };
    let first = run();
    assert!(first.len() > 40, "{first:#?}");
    assert_eq!(first, run());
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_tables_and_loses_the_queues() {
    let aws = aws();
    let seen = Seen::default();
    let queue = aws
        .queues()
        .create("relay", QueueAttributes::default())
        .unwrap();
    let send = |body: &str| {
        aws.queues()
            .send(&queue, body.into(), BTreeMap::new(), None)
    };
    let lost = send("lost").unwrap();
    let receipt = aws
        .queues()
        .take(&queue, 1, None)
        .unwrap()
        .remove(0)
        .receipt;
    put(&aws, "a", "kept").await;

    let aws = aws.restarted();
    assert!(aws.queues().find("relay").is_err());
    let queue = aws
        .queues()
        .create("relay", QueueAttributes::default())
        .unwrap();
    let id = aws
        .queues()
        .send(&queue, "new".into(), BTreeMap::new(), None)
        .unwrap();
    assert_ne!(id, lost);
    assert!(
        aws.queues().delete(&queue, &receipt).is_err(),
        "a receipt of the earlier run"
    );
    let notes = seen.clone();
    let function = on_records(move |records| {
        records
            .iter()
            .for_each(|record| notes.note(value_of(record)));
        Ok(DynamoDbEventResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, function))
        .start()
        .unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["kept"]);
}

/// Upkeep beside writers and readers on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_beside_writes_and_reads_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = crate::engine::Settings::default();
    let aws = EmbeddedAws::open(directory.path(), settings).unwrap();
    aws.tables()
        .ensure_table(&crate::engine::testing::table())
        .unwrap();
    let seen = Seen::default();
    let notes = seen.clone();
    let function = on_records(move |records| {
        records
            .iter()
            .for_each(|record| notes.note(value_of(record)));
        Ok(DynamoDbEventResponse::default())
    });
    let pump = Pump::builder(&aws)
        .stream(StreamMapping::new(TABLE, function))
        .start()
        .unwrap();
    let writer = aws.clone();
    let mut writing = tokio::spawn(async move {
        for number in 0..100 {
            put(&writer, "a", &number.to_string()).await;
        }
    });
    let mut writes = aws.tables().writes();
    loop {
        tokio::select! {
            biased;
            written = &mut writing => break written.unwrap(),
            _ = writes.changed() => pump.upkeep().unwrap(),
        }
    }
    pump.idle().await;
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(seen.all(), expected);
    pump.stop().await;
}
