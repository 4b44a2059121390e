//! What a function does before its first event.

use aws_tests::process::Process;

/// Each function, and the variables without which it cannot work.
const NEEDS: [(&str, &[&str]); 6] = [
    ("ingest", &["STACK_NAME", "TABLE_NAME"]),
    ("sync", &["STACK_NAME", "TABLE_NAME", "SYNC_QUEUE_URL"]),
    ("evaluate", &["STACK_NAME", "TABLE_NAME", "TOPIC_ARN"]),
    (
        "notify",
        &["STACK_NAME", "TABLE_NAME", "CHANNEL", "QUEUE_URL"],
    ),
    ("clock", &["STACK_NAME", "TABLE_NAME", "TOPIC_ARN"]),
    (
        "api",
        &["STACK_NAME", "TABLE_NAME", "API_TOKEN", "SYNC_QUEUE_URL"],
    ),
];

#[tokio::test]
async fn a_function_without_its_environment_ends_and_names_everything_it_misses() {
    for (function, needs) in NEEDS {
        let (status, log) = Process::start(function, &[]).await.end().await;
        assert!(!status.success(), "{function}: {status}");
        for variable in needs {
            assert!(
                log.contains(variable),
                "{function} without {variable}: {log}"
            );
        }
    }
}

#[tokio::test]
async fn a_variable_that_cannot_be_read_is_named_and_not_quoted() {
    let set = [
        ("STACK_NAME", "lotwire-dev"),
        ("TABLE_NAME", "lotwire"),
        ("CHANNEL", "webhook"),
        ("QUEUE_URL", "http://127.0.0.1/queue"),
        ("SEND_TIMEOUT_MS", "hunter2"),
    ];
    let (status, log) = Process::start("notify", &set).await.end().await;
    assert!(!status.success(), "{status}");
    assert!(log.contains("SEND_TIMEOUT_MS is not a number"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
