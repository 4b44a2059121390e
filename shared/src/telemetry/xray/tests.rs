use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use super::*;

const TRACE: &str = "1-5759e988-bd862e3fe1be46a994272793";
const SEGMENT: &str = "53995c3f42cd8ad8";

fn header(sampled: u8) -> String {
    format!("Root={TRACE};Parent={SEGMENT};Sampled={sampled}")
}

/// Does some work, and says which documents reached the daemon.
fn traced(work: impl FnOnce()) -> Vec<Value> {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    let traces = Traces::to(daemon.local_addr().unwrap(), Clock::system()).unwrap();
    let subscriber = Registry::default().with(traces.with_filter(filter_fn(is_traced)));
    tracing::subscriber::with_default(subscriber, work);
    received(&daemon)
}

/// The documents that are there.
fn received(daemon: &UdpSocket) -> Vec<Value> {
    // On loopback a datagram that was sent is there.
    daemon.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 65_536];
    let mut documents = Vec::new();
    while let Ok(length) = daemon.recv(&mut buffer) {
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let (head, document) = text.split_once('\n').unwrap();
        let head: Value = serde_json::from_str(head).unwrap();
        assert_eq!(head, json!({ "format": "json", "version": 1 }));
        documents.push(serde_json::from_str(document).unwrap());
    }
    documents
}

/// As `lambda_runtime` opens the span of an invocation.
fn invocation(header: &str) -> tracing::span::EnteredSpan {
    tracing::info_span!(
        "Lambda runtime invoke",
        requestId = "r1",
        xrayTraceId = header
    )
    .entered()
}

/// What X-Ray's documentation demands of every subsegment that is sent by itself.
fn assert_valid(document: &Value) {
    let hex = |name: &str, length: usize| {
        let text = document[name].as_str().unwrap();
        assert_eq!(text.len(), length, "{name} in {document}");
        assert!(
            text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{document}"
        );
    };
    hex("id", 16);
    hex("parent_id", 16);
    assert_eq!(document["trace_id"], TRACE);
    assert_eq!(document["type"], "subsegment");
    let name = document["name"].as_str().unwrap();
    let allowed = |c: char| c.is_alphanumeric() || " _.:/%&#=+\\-@".contains(c);
    assert!(name.len() <= 200 && name.chars().all(allowed), "{name}");
    let began = document["start_time"].as_f64().unwrap();
    assert!(began > 1.7e9 && began < 1e10, "seconds since 1970: {began}");
    match document.get("end_time") {
        Some(end) => {
            assert!(end.as_f64().unwrap() >= began);
            assert_eq!(document.get("in_progress"), None);
        }
        None => assert_eq!(document["in_progress"], true),
    }
    for (key, value) in document["annotations"].as_object().into_iter().flatten() {
        assert!(
            key.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        );
        assert!(value.as_str().unwrap().len() <= 1_000);
    }
    assert!(document.to_string().len() < 64 * 1024, "the daemon's limit");
}

#[test]
fn spans_become_subsegments_of_the_functions_segment_and_of_each_other() {
    let documents = traced(|| {
        let _invocation = invocation(&header(1));
        let _delivery = tracing::info_span!(
            "delivery",
            channel = "ops",
            correlation = "c1",
            secret = "no"
        )
        .entered();
        // What is not on the list is passed over; its children are not.
        let _untraced = tracing::info_span!("something else").entered();
        let request = tracing::info_span!(
            "vendor request",
            method = "POST",
            host = "hooks.slack.com",
            status = tracing::field::Empty
        );
        let _request = request.enter();
        request.record("status", 429_u16);
    });
    documents.iter().for_each(assert_valid);
    let [began, request, delivery] = documents.as_slice() else {
        panic!("three documents, not {documents:#?}");
    };
    assert_eq!(began["in_progress"], true);
    assert_eq!(
        began["id"], delivery["id"],
        "the end replaces the beginning"
    );
    assert_eq!(delivery["name"], "delivery");
    assert_eq!(delivery["parent_id"], SEGMENT);
    assert_eq!(
        delivery["annotations"],
        json!({ "channel": "ops", "correlation": "c1" })
    );
    assert_eq!(request["parent_id"], delivery["id"]);
    assert_ne!(request["id"], delivery["id"]);
    assert_eq!(request["name"], "hooks.slack.com");
    assert_eq!(request["namespace"], "remote");
    assert_eq!(
        request["http"],
        json!({ "request": { "method": "POST" }, "response": { "status": 429 } })
    );
    assert_eq!(
        (&request["throttle"], &request["error"]),
        (&json!(true), &json!(true))
    );
}

/// A call of each service within a span, of which the first is answered with too many requests once;
/// and one that is given up.
async fn call_aws(header: &str) -> Vec<Value> {
    let server = MockServer::start().await;
    let target = |name: &str| matchers::header("x-amz-target", name);
    let answer = |status| ResponseTemplate::new(status).insert_header("x-amzn-requestid", "R1");
    let throttled = json!({ "__type": "com.amazonaws.dynamodb#ThrottlingException" });
    Mock::given(target("DynamoDB_20120810.DescribeTable"))
        .respond_with(answer(400).set_body_json(throttled))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(target("DynamoDB_20120810.DescribeTable"))
        .respond_with(answer(200).set_body_json(json!({})))
        .mount(&server)
        .await;
    Mock::given(target("AmazonSQS.DeleteMessage"))
        .respond_with(answer(200).set_delay(Duration::from_secs(3_600)))
        .mount(&server)
        .await;
    Mock::given(matchers::body_string_contains("Action=Publish"))
        .respond_with(answer(403))
        .mount(&server)
        .await;
    let config = crate::aws::config(|name| match name {
        "AWS_REGION" => Some("eu-south-1".to_owned()),
        "AWS_ENDPOINT_URL" => Some(server.uri()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        _ => None,
    });
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let config = config.unwrap().into_builder().retry_config(retries).build();

    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    let traces = Traces::to(daemon.local_addr().unwrap(), Clock::system()).unwrap();
    let subscriber = Registry::default().with(traces.with_filter(filter_fn(is_traced)));
    let _default = tracing::subscriber::set_default(subscriber);
    let _invocation = invocation(header);
    let _record = tracing::info_span!("record").entered();
    let table = crate::aws::dynamodb(&config).describe_table();
    table.table_name("lotwire").send().await.unwrap();
    let topic = "arn:aws:sns:eu-south-1:111122223333:intents";
    let told = crate::aws::sns(&config).publish().topic_arn(topic);
    told.message("look at this").send().await.unwrap_err();
    let gone = crate::aws::sqs(&config)
        .delete_message()
        .queue_url("https://sqs.example/1/q");
    let gone = gone.receipt_handle("r").send();
    tokio::time::timeout(Duration::from_millis(50), gone)
        .await
        .unwrap_err();
    received(&daemon)
}

#[tokio::test]
async fn a_call_of_aws_is_a_subsegment_with_its_retries_and_its_end() {
    let documents = call_aws(&header(1)).await;
    documents.iter().for_each(assert_valid);
    let [record, table, told, gone] = documents.as_slice() else {
        panic!("four documents, not {documents:#?}");
    };
    for (document, service, call, status) in [
        (
            table,
            "DynamoDB",
            json!({ "operation": "DescribeTable", "request_id": "R1", "retries": 1 }),
            json!(200),
        ),
        (
            told,
            "SNS",
            json!({ "operation": "Publish", "request_id": "R1", "retries": 0 }),
            json!(403),
        ),
        (
            gone,
            "SQS",
            json!({ "operation": "DeleteMessage" }),
            Value::Null,
        ),
    ] {
        assert_eq!(document["name"], service);
        assert_eq!(document["namespace"], "aws");
        assert_eq!(document["parent_id"], record["id"]);
        assert_eq!(document["aws"], call);
        assert_eq!(document["http"]["response"]["status"], status);
        assert_eq!(document.get("error").is_some(), status == 403);
    }
}

#[tokio::test]
async fn calls_of_aws_in_what_is_not_sampled_are_not_sent() {
    assert!(call_aws(&header(0)).await.is_empty());
}

#[test]
fn an_error_makes_its_span_a_fault_and_a_warning_does_not() {
    for (error, fault) in [(true, json!(true)), (false, Value::Null)] {
        let documents = traced(|| {
            let _invocation = invocation(&header(1));
            let _tick = tracing::info_span!("tick").entered();
            if error {
                tracing::error!("broken");
            } else {
                tracing::warn!("odd");
            }
        });
        assert_eq!(documents[1]["fault"], fault);
    }
}

#[test]
fn what_is_not_sampled_or_has_no_trace_is_not_sent() {
    let tick = || drop(tracing::info_span!("tick").entered());
    assert!(traced(tick).is_empty(), "no invocation around it");
    for unusable in [
        header(0).as_str(),
        "",
        "Root=1-5759e988;Parent=53995c3f42cd8ad8;Sampled=1",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
        "Root=1-5759e988-bd862e3fe1be46a99427279g;Parent=53995c3f42cd8ad8;Sampled=1",
    ] {
        let documents = traced(|| {
            let _invocation = invocation(unusable);
            tick();
        });
        assert!(documents.is_empty(), "{unusable}");
    }
}

#[test]
fn a_message_names_the_trace_that_it_came_from() {
    let upstream = "Root=1-5f84c7a5-0e8c5f4e1c2d3b4a59687766;Parent=53995c3f42cd8ad8;Sampled=1";
    let documents = traced(|| {
        let _invocation = invocation(&header(1));
        let _message = tracing::info_span!("message", upstream).entered();
    });
    assert_eq!(
        documents[0]["annotations"]["upstream_trace"],
        "1-5f84c7a5-0e8c5f4e1c2d3b4a59687766"
    );
}

#[test]
fn a_daemon_that_is_not_there_disturbs_nobody() {
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let traces = Traces::to(gone, Clock::system()).unwrap();
    let subscriber = Registry::default().with(traces);
    tracing::subscriber::with_default(subscriber, || {
        let _invocation = invocation(&header(1));
        // The second datagram meets the system's note that nobody took the first.
        for _ in 0..3 {
            drop(tracing::info_span!("tick").entered());
        }
    });
}

#[test]
fn the_daemons_address_is_read_in_both_spellings() {
    let address = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        daemon_address("169.254.79.129:2000"),
        address("169.254.79.129:2000")
    );
    assert_eq!(
        daemon_address("tcp:127.0.0.1:2000 udp:127.0.0.2:2001"),
        address("127.0.0.2:2001")
    );
    assert_eq!(daemon_address("nonsense"), None);
}

#[tokio::test(start_paused = true)]
async fn a_span_is_as_long_as_its_clock_says() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    let clock = Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap());
    let traces = Traces::to(daemon.local_addr().unwrap(), clock).unwrap();
    let subscriber = Registry::default().with(traces);
    let _default = tracing::subscriber::set_default(subscriber);
    let invocation = invocation(&header(1));
    let tick = tracing::info_span!("tick");
    drop(invocation);
    tokio::time::advance(Duration::from_millis(1_500)).await;
    drop(tick);
    daemon.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2_048];
    let mut last = Value::Null;
    while let Ok(length) = daemon.recv(&mut buffer) {
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        last = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    }
    let length = last["end_time"].as_f64().unwrap() - last["start_time"].as_f64().unwrap();
    assert!((length - 1.5).abs() < 1e-3, "{last}");
}
