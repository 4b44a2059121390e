use super::*;
use crate::engine::testing::{TABLE, interfered, put};
use crate::engine::{QueueAttributes, Verdict};
use async_trait::async_trait;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use std::sync::Mutex;

/// Gives its verdict on one operation, before or after it, the first time; and notes every call.
struct Once {
    operation: &'static str,
    before: Verdict,
    after: Verdict,
    calls: Arc<Mutex<Vec<Call>>>,
}

#[async_trait]
impl Interference for Once {
    async fn before(&self, call: &Call) -> Verdict {
        let mut calls = self.calls.lock().unwrap();
        calls.push(call.clone());
        let first = calls
            .iter()
            .filter(|known| known.operation == self.operation)
            .count()
            == 1;
        if first && call.operation == self.operation {
            self.before
        } else {
            Verdict::Proceed
        }
    }

    async fn after(&self, call: &Call) -> Verdict {
        let calls = self.calls.lock().unwrap();
        let first = calls.iter().find(|known| known.operation == self.operation);
        if first == Some(call) {
            self.after
        } else {
            Verdict::Proceed
        }
    }
}

fn once(operation: &'static str, before: Verdict, after: Verdict) -> Once {
    Once {
        operation,
        before,
        after,
        calls: Arc::default(),
    }
}

async fn stored(aws: &EmbeddedAws, pk: &str) -> bool {
    let found = aws
        .dynamodb()
        .get_item()
        .table_name(TABLE)
        .key("pk", AttributeValue::S(pk.to_owned()))
        .send()
        .await
        .unwrap();
    found.item.is_some()
}

#[tokio::test(start_paused = true)]
async fn a_throttled_put_reads_as_dynamodbs_own_error_and_is_not_applied() {
    let aws = interfered(once("PutItem", Verdict::Throttle, Verdict::Proceed));
    let error = aws
        .dynamodb()
        .put_item()
        .table_name(TABLE)
        .item("pk", AttributeValue::S("a".into()))
        .send()
        .await
        .unwrap_err();
    assert!(
        error
            .into_service_error()
            .is_provisioned_throughput_exceeded_exception()
    );
    assert!(!stored(&aws, "a").await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_a_dispatch_failure_applied_or_not() {
    let cases = [
        (Verdict::ConnectionLost, Verdict::Proceed, false),
        (Verdict::Proceed, Verdict::ConnectionLost, true),
    ];
    for (before, after, applied) in cases {
        let aws = interfered(once("PutItem", before, after));
        let error = aws
            .dynamodb()
            .put_item()
            .table_name(TABLE)
            .item("pk", AttributeValue::S("a".into()))
            .send()
            .await
            .unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
        assert_eq!(stored(&aws, "a").await, applied);
    }
}

#[tokio::test(start_paused = true)]
async fn sqs_and_sns_throttle_in_their_own_words() {
    let aws = interfered(once("SendMessage", Verdict::Throttle, Verdict::Proceed));
    let queue = aws
        .queues()
        .create("q", QueueAttributes::default())
        .unwrap();
    let send = aws
        .sqs()
        .send_message()
        .queue_url(queue.url())
        .message_body("x");
    let error = send.send().await.unwrap_err().into_service_error();
    assert!(error.is_request_throttled(), "{error:?}");

    let aws = interfered(once("Publish", Verdict::Throttle, Verdict::Proceed));
    let topic = aws.topics().create("t");
    let publish = aws.sns().publish().topic_arn(topic).message("x");
    let error = publish.send().await.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("Throttling"));
}

#[tokio::test(start_paused = true)]
async fn the_sdk_retries_what_the_hook_broke_on_virtual_time() {
    let interference = once("PutItem", Verdict::ConnectionLost, Verdict::Proceed);
    let calls = Arc::clone(&interference.calls);
    let aws = crate::engine::testing::aws_with(Settings {
        clock: crate::engine::testing::virtual_clock(),
        interference: Arc::new(interference),
        ..Settings::default()
    });
    let before = tokio::time::Instant::now();
    put(&aws, "a", "1").await;
    assert!(stored(&aws, "a").await);
    assert!(before.elapsed() >= std::time::Duration::from_millis(500));

    let calls = calls.lock().unwrap();
    let seen: Vec<(&str, u64)> = calls
        .iter()
        .map(|call| (call.operation.as_str(), call.sequence))
        .collect();
    assert_eq!(seen, [("PutItem", 1), ("PutItem", 2), ("GetItem", 3)]);
}

#[test]
fn one_directory_serves_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let first = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    let second = EmbeddedAws::open(directory.path(), Settings::default());
    let Err(refused) = second else {
        panic!("two serve one directory");
    };
    let told = refused.to_string();
    let owner = format!("process {}", std::process::id());
    for said in [&owner, "stop that one", "--data DIR"] {
        assert!(told.contains(said), "{told}");
    }
    // Who is refused takes nothing away.
    let third = EmbeddedAws::open(directory.path(), Settings::default());
    assert!(matches!(
        &third,
        Err(EngineError::InUse { by: Some(_), .. })
    ));
    drop(first);
    EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
}

/// What a killed process leaves is its name in the file, and no lock. Another may have that number by now.
#[test]
fn what_a_killed_process_leaves_keeps_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lock"), "1\n").unwrap();
    let taken = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    let refused = EmbeddedAws::open(directory.path(), Settings::default()).unwrap_err();
    let owner = format!("process {})", std::process::id());
    assert!(refused.to_string().contains(&owner), "{refused}");
    drop(taken);
}

/// A run that is crashed at a call ends there: what the call did stands, what came after never was.
#[tokio::test(start_paused = true)]
async fn a_crash_ends_the_run_that_makes_the_call() {
    let crash = Verdict::Crash;
    for (before, after, written) in [
        (crash, Verdict::Proceed, false),
        (Verdict::Proceed, crash, true),
    ] {
        let interference = once("PutItem", before, after);
        let calls = Arc::clone(&interference.calls);
        let aws = interfered(interference);
        let writer = aws.clone();
        let function = crate::engine::Function::new(
            "writer",
            std::time::Duration::from_secs(10),
            move |(), _| {
                let writer = writer.clone();
                async move {
                    put(&writer, "first", "1").await;
                    put(&writer, "second", "2").await;
                    Ok(())
                }
            },
        );
        let run = function.run(&aws, ()).await;
        assert_eq!(
            run.result.unwrap_err().to_string(),
            "the process was killed"
        );
        let by = calls
            .lock()
            .unwrap()
            .iter()
            .find_map(|call| call.run.clone())
            .unwrap();
        assert_eq!(
            (&*by.function, &*by.request_id),
            ("writer", run.request_id.as_str())
        );
        assert_eq!(stored(&aws, "first").await, written);
        assert!(!stored(&aws, "second").await);
        // Whoever is in no run reads a broken connection.
        crate::engine::RunId::crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_reads_as_dynamodb_writes_it() {
    let aws = interfered(once("PutItem", Verdict::Conflict, Verdict::Proceed));
    let put = aws.dynamodb().put_item().table_name(TABLE);
    let put = put.item("pk", AttributeValue::S("a".to_owned()));
    let refused = put.send().await.unwrap_err().into_service_error();
    assert!(refused.is_transaction_conflict_exception(), "{refused:?}");
    assert!(!stored(&aws, "a").await);
}

#[tokio::test(start_paused = true)]
async fn a_message_may_be_lost_come_twice_or_late() {
    use crate::engine::Fate;
    struct Fates(Mutex<Vec<Fate>>);
    impl Interference for Fates {
        fn message(&self, _: &str) -> Fate {
            self.0.lock().unwrap().remove(0)
        }
    }
    let hour = std::time::Duration::from_secs(3_600);
    let fates = vec![
        Fate::Lost,
        Fate::Twice(hour),
        Fate::Late(hour),
        Fate::Arrives,
    ];
    let aws = interfered(Fates(Mutex::new(fates)));
    let queue = aws
        .queues()
        .create("fates", QueueAttributes::default())
        .unwrap();
    for body in ["lost", "twice", "late", "plain"] {
        let queues = aws.queues();
        queues
            .send(&queue, body.to_owned(), Default::default(), None)
            .unwrap();
    }
    assert_eq!(queue.bodies(), ["twice", "twice", "late", "plain"]);
    assert_eq!((queue.counts().visible, queue.counts().delayed), (2, 2));
}
