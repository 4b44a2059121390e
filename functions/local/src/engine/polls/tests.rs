use super::*;
use crate::engine::testing::{Seen, aws, on_messages};
use crate::engine::{EmbeddedAws, Pump, QueueAttributes, Redrive};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

fn queue(aws: &EmbeddedAws, name: &str, attributes: QueueAttributes) -> Arc<Queue> {
    aws.queues().create(name, attributes).unwrap()
}

fn send(aws: &EmbeddedAws, queue: &Queue, bodies: &[&str]) {
    for body in bodies {
        let body = (*body).to_owned();
        aws.queues()
            .send(queue, body, BTreeMap::new(), None)
            .unwrap();
    }
}

fn noting(seen: &Seen) -> Function<SqsEvent, SqsBatchResponse> {
    let seen = seen.clone();
    on_messages(move |messages| {
        let mut answer = SqsBatchResponse::default();
        for message in messages {
            let body = message.body.clone().unwrap();
            seen.note(&body);
            if body.starts_with("poison") {
                answer.add_failure(message.message_id.clone().unwrap());
            }
        }
        Ok(answer)
    })
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_comes_back_after_its_visibility_timeout_and_dies_in_the_end() {
    let aws = aws();
    let dead = queue(&aws, "dead", QueueAttributes::default());
    let source = queue(
        &aws,
        "source",
        QueueAttributes {
            redrive: Some(Redrive {
                dead_letter_arn: dead.arn(),
                maximum_receives: 3,
            }),
            ..QueueAttributes::default()
        },
    );
    let seen = Seen::default();
    let pump = Pump::builder(&aws)
        .queue(QueueMapping {
            report_batch_item_failures: true,
            ..QueueMapping::new("source", noting(&seen))
        })
        .start()
        .unwrap();
    send(&aws, &source, &["1", "poison", "3"]);
    let began = Instant::now();
    pump.idle().await;
    assert_eq!(seen.count("poison"), 3);
    assert_eq!((seen.count("1"), seen.count("3")), (1, 1));
    assert_eq!(
        began.elapsed().as_secs(),
        90,
        "three visibility timeouts of 30 s"
    );
    let letters = aws.queues().take(&dead, 10, None).unwrap();
    assert_eq!(letters[0].message.body, "poison");
    assert_eq!(letters.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_or_an_unknown_identifier_fails_the_whole_batch() {
    for by_error in [true, false] {
        let aws = aws();
        let source = queue(&aws, "source", QueueAttributes::default());
        let seen = Seen::default();
        let notes = seen.clone();
        let function = on_messages(move |messages| {
            let first_run = notes.all().is_empty();
            notes.note(messages.len().to_string());
            let mut answer = SqsBatchResponse::default();
            match first_run {
                true if by_error => return Err("down".into()),
                true => answer.add_failure("404"),
                false => {}
            }
            Ok(answer)
        });
        send(&aws, &source, &["1", "2"]);
        let pump = Pump::builder(&aws)
            .queue(QueueMapping {
                report_batch_item_failures: true,
                ..QueueMapping::new("source", function)
            })
            .start()
            .unwrap();
        pump.idle().await;
        assert_eq!(seen.all(), ["2", "2"], "by error: {by_error}");
    }
}

#[tokio::test(start_paused = true)]
async fn runs_overlap_up_to_the_maximum_concurrency() {
    let aws = aws();
    let source = queue(&aws, "source", QueueAttributes::default());
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let function = Function::new("slow", Duration::from_secs(20), move |_: SqsEvent, _| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(10)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(SqsBatchResponse::default())
        }
    });
    send(&aws, &source, &["1", "2", "3", "4", "5", "6"]);
    let pump = Pump::builder(&aws)
        .queue(QueueMapping {
            batch_size: 1,
            maximum_concurrency: 3,
            ..QueueMapping::new("source", function)
        })
        .start()
        .unwrap();
    let began = Instant::now();
    pump.idle().await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_batching_window_gathers_messages() {
    let aws = aws();
    let source = queue(&aws, "source", QueueAttributes::default());
    let seen = Seen::default();
    let notes = seen.clone();
    let function = on_messages(move |messages| {
        notes.note(messages.len().to_string());
        Ok(SqsBatchResponse::default())
    });
    let pump = Pump::builder(&aws)
        .queue(QueueMapping {
            batching_window: Duration::from_secs(2),
            ..QueueMapping::new("source", function)
        })
        .start()
        .unwrap();
    for body in ["1", "2", "3"] {
        send(&aws, &source, &[body]);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    pump.idle().await;
    assert_eq!(seen.all(), ["3"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_carries_what_sqs_says_of_the_message() {
    let aws = aws();
    let source = queue(&aws, "source", QueueAttributes::default());
    let attributes = BTreeMap::from([(
        "channel".to_owned(),
        serde_json::json!({ "DataType": "String", "StringValue": "slack" }),
    )]);
    let id = aws
        .queues()
        .send(&source, "hello".into(), attributes, None)
        .unwrap();
    let seen = Seen::default();
    let notes = seen.clone();
    let function = on_messages(move |messages| {
        notes.note(serde_json::to_string(&messages[0])?);
        Ok(SqsBatchResponse::default())
    });
    let pump = Pump::builder(&aws)
        .queue(QueueMapping::new("source", function))
        .start()
        .unwrap();
    pump.idle().await;
    let message: Value = serde_json::from_str(&seen.all()[0]).unwrap();
    assert_eq!(message["messageId"], id);
    assert_eq!(message["body"], "hello");
    assert_eq!(message["eventSource"], "aws:sqs");
    assert_eq!(message["eventSourceARN"], source.arn());
    assert_eq!(message["attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(
        message["messageAttributes"]["channel"]["stringValue"],
        "slack"
    );
    assert_eq!(
        message["messageAttributes"]["channel"]["dataType"],
        "String"
    );
}

#[tokio::test(start_paused = true)]
async fn a_visibility_timeout_below_the_functions_timeout_is_refused() {
    let aws = aws();
    queue(
        &aws,
        "source",
        QueueAttributes {
            visibility_timeout: Duration::from_secs(5),
            ..QueueAttributes::default()
        },
    );
    let mapping = QueueMapping::new("source", noting(&Seen::default()));
    let refused = Pump::builder(&aws).queue(mapping).start().unwrap_err();
    assert!(
        matches!(refused, EngineError::VisibilityTooShort { .. }),
        "{refused}"
    );
}

/// Loses the first deletion of messages that are done.
struct FirstDeletionLost(AtomicUsize);

#[async_trait::async_trait]
impl crate::engine::Interference for FirstDeletionLost {
    async fn before(&self, call: &crate::engine::Call) -> crate::engine::Verdict {
        let deletion = call.operation == "DeleteMessages";
        if deletion && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            crate::engine::Verdict::ConnectionLost
        } else {
            crate::engine::Verdict::Proceed
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_deletion_delivers_the_message_twice() {
    let aws = crate::engine::testing::interfered(FirstDeletionLost(AtomicUsize::new(0)));
    let source = queue(&aws, "source", QueueAttributes::default());
    let seen = Seen::default();
    send(&aws, &source, &["1"]);
    let pump = Pump::builder(&aws)
        .queue(QueueMapping::new("source", noting(&seen)))
        .start()
        .unwrap();
    pump.idle().await;
    assert_eq!(seen.all(), ["1", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_running_batch_finish_and_takes_no_more() {
    let aws = aws();
    let source = queue(&aws, "source", QueueAttributes::default());
    let seen = Seen::default();
    let notes = seen.clone();
    let function = Function::new(
        "slow",
        Duration::from_secs(20),
        move |event: SqsEvent, _| {
            let notes = notes.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(10)).await;
                notes.note(event.records[0].body.clone().unwrap());
                Ok(SqsBatchResponse::default())
            }
        },
    );
    let pump = Pump::builder(&aws)
        .queue(QueueMapping {
            batch_size: 1,
            maximum_concurrency: 1,
            ..QueueMapping::new("source", function)
        })
        .start()
        .unwrap();
    send(&aws, &source, &["1", "2"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    pump.stop().await;
    assert_eq!(seen.all(), ["1"]);
    let counts = source.counts();
    assert_eq!((counts.visible, counts.in_flight), (1, 0));
}
