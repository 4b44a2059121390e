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
