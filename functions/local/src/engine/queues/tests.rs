use super::*;
use crate::engine::EmbeddedAws;
use crate::engine::testing::aws;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageOutput;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    Message as SdkMessage, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashMap;

async fn create(
    aws: &EmbeddedAws,
    name: &str,
    attributes: &[(QueueAttributeName, &str)],
) -> String {
    let mut request = aws.sqs().create_queue().queue_name(name);
    for (attribute, value) in attributes {
        request = request.attributes(attribute.clone(), *value);
    }
    request.send().await.unwrap().queue_url.unwrap()
}

async fn send(aws: &EmbeddedAws, url: &str, body: &str) {
    aws.sqs()
        .send_message()
        .queue_url(url)
        .message_body(body)
        .send()
        .await
        .unwrap();
}

async fn receive(aws: &EmbeddedAws, url: &str) -> Vec<SdkMessage> {
    let request = aws
        .sqs()
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10);
    let answer: ReceiveMessageOutput = request
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap();
    answer.messages.unwrap_or_default()
}

fn bodies(messages: &[SdkMessage]) -> Vec<&str> {
    messages.iter().filter_map(SdkMessage::body).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_with_its_attributes_and_is_gone_when_deleted() {
    let aws = aws();
    let url = create(&aws, "q", &[]).await;
    let channel = MessageAttributeValue::builder()
        .data_type("String")
        .string_value("slack")
        .build()
        .unwrap();
    let sent = aws
        .sqs()
        .send_message()
        .queue_url(&url)
        .message_body("hello")
        .message_attributes("channel", channel.clone())
        .send()
        .await
        .unwrap();
    let received = receive(&aws, &url).await;
    let message = &received[0];
    assert_eq!(message.message_id, sent.message_id);
    assert_eq!(
        message.message_attributes.as_ref().unwrap()["channel"],
        channel
    );
    let system = message.attributes.as_ref().unwrap();
    assert_eq!(
        system[&MessageSystemAttributeName::ApproximateReceiveCount],
        "1"
    );
    let sent_at = aws.clock().now().as_millisecond().to_string();
    assert_eq!(system[&MessageSystemAttributeName::SentTimestamp], sent_at);

    let handle = message.receipt_handle().unwrap();
    let delete = || {
        aws.sqs()
            .delete_message()
            .queue_url(&url)
            .receipt_handle(handle)
            .send()
    };
    delete().await.unwrap();
    delete().await.unwrap(); // again is no error
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(receive(&aws, &url).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_not_deleted_comes_back_after_its_visibility_timeout() {
    let aws = aws();
    let url = create(&aws, "q", &[(QueueAttributeName::VisibilityTimeout, "45")]).await;
    send(&aws, &url, "x").await;
    assert_eq!(receive(&aws, &url).await.len(), 1);
    tokio::time::sleep(Duration::from_millis(44_900)).await;
    assert!(receive(&aws, &url).await.is_empty());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let again = receive(&aws, &url).await;
    let system = again[0].attributes.as_ref().unwrap();
    assert_eq!(
        system[&MessageSystemAttributeName::ApproximateReceiveCount],
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn visibility_changes_both_ways_and_only_in_flight() {
    let aws = aws();
    let url = create(&aws, "q", &[]).await;
    send(&aws, &url, "x").await;
    let handle = receive(&aws, &url).await[0].receipt_handle.clone().unwrap();
    let change = |seconds| {
        aws.sqs()
            .change_message_visibility()
            .queue_url(&url)
            .receipt_handle(&handle)
            .visibility_timeout(seconds)
            .send()
    };
    change(3_600).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(receive(&aws, &url).await.is_empty());
    change(0).await.unwrap();
    let visible = change(10).await.unwrap_err().into_service_error();
    assert!(visible.is_message_not_inflight(), "{visible:?}");
    assert_eq!(receive(&aws, &url).await.len(), 1);
    let stale = change(10).await.unwrap_err().into_service_error();
    assert_eq!(stale.meta().code(), Some("InvalidParameterValue"));
    let too_long = change(43_201).await.unwrap_err().into_service_error();
    assert_eq!(too_long.meta().code(), Some("InvalidParameterValue"));
}

#[tokio::test(start_paused = true)]
async fn a_stale_receipt_deletes_nothing() {
    let aws = aws();
    let url = create(&aws, "q", &[]).await;
    send(&aws, &url, "x").await;
    let stale = receive(&aws, &url).await[0].receipt_handle.clone().unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(receive(&aws, &url).await.len(), 1);
    aws.sqs()
        .delete_message()
        .queue_url(&url)
        .receipt_handle(stale)
        .send()
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(receive(&aws, &url).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_received_too_often_goes_to_the_dead_letter_queue() {
    let aws = aws();
    let dead = create(&aws, "dead", &[]).await;
    let policy = json!({ "deadLetterTargetArn": aws.queues().find("dead").unwrap().arn(),
        "maxReceiveCount": "2" });
    let policy = policy.to_string();
    let url = create(&aws, "q", &[(QueueAttributeName::RedrivePolicy, &policy)]).await;
    send(&aws, &url, "poison").await;
    for _ in 0..2 {
        assert_eq!(receive(&aws, &url).await.len(), 1);
        tokio::time::sleep(Duration::from_secs(31)).await;
    }
    assert!(receive(&aws, &dead).await.is_empty());
    assert!(receive(&aws, &url).await.is_empty());
    assert_eq!(bodies(&receive(&aws, &dead).await), ["poison"]);
}

#[tokio::test(start_paused = true)]
async fn delays_hide_a_message_and_are_bounded() {
    let aws = aws();
    let url = create(&aws, "q", &[(QueueAttributeName::DelaySeconds, "20")]).await;
    send(&aws, &url, "by the queue").await;
    let delayed = |seconds| {
        aws.sqs()
            .send_message()
            .queue_url(&url)
            .message_body("by itself")
            .delay_seconds(seconds)
            .send()
    };
    delayed(900).await.unwrap();
    delayed(901).await.unwrap_err();
    assert!(receive(&aws, &url).await.is_empty());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(bodies(&receive(&aws, &url).await), ["by the queue"]);
    let counts = aws.queues().find("q").unwrap().counts();
    assert_eq!(
        counts,
        Counts {
            visible: 0,
            in_flight: 1,
            delayed: 1
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_returns_with_the_first_message_or_when_its_time_is_up() {
    let aws = aws();
    let url = create(&aws, "q", &[]).await;
    let poll = || {
        let request = aws
            .sqs()
            .receive_message()
            .queue_url(&url)
            .wait_time_seconds(20);
        tokio::spawn(request.send())
    };
    let began = Instant::now();
    assert!(poll().await.unwrap().unwrap().messages.is_none());
    assert_eq!(began.elapsed().as_secs(), 20);

    let began = Instant::now();
    let waiting = poll();
    tokio::time::sleep(Duration::from_secs(5)).await;
    send(&aws, &url, "x").await;
    assert_eq!(waiting.await.unwrap().unwrap().messages().len(), 1);
    assert_eq!(began.elapsed().as_secs(), 5);

    // One that becomes visible while it waits is as good as one that arrives.
    let began = Instant::now();
    let mut seen = poll().await.unwrap().unwrap().messages.unwrap_or_default();
    seen.extend(poll().await.unwrap().unwrap().messages.unwrap_or_default());
    assert_eq!((seen.len(), began.elapsed().as_secs()), (1, 30));
}

#[tokio::test(start_paused = true)]
async fn batches_report_each_entry_on_its_own() {
    let aws = aws();
    let url = create(&aws, "q", &[]).await;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body(body)
            .build()
            .unwrap()
    };
    let sent = aws
        .sqs()
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("one", "1"))
        .entries(entry("two", "\u{0}"))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.successful()[0].id(), "one");
    assert_eq!(
        (sent.failed()[0].id(), sent.failed()[0].code()),
        ("two", "InvalidMessageContents")
    );

    let handle = receive(&aws, &url).await[0].receipt_handle.clone().unwrap();
    let change = |handle: &str| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id("c")
            .receipt_handle(handle)
            .visibility_timeout(5)
            .build()
            .unwrap()
    };
    let changes = aws.sqs().change_message_visibility_batch().queue_url(&url);
    assert_eq!(
        changes
            .entries(change(&handle))
            .send()
            .await
            .unwrap()
            .successful()
            .len(),
        1
    );
    let delete = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder()
            .id(id)
            .receipt_handle(handle)
            .build()
            .unwrap()
    };
    let deleted = aws
        .sqs()
        .delete_message_batch()
        .queue_url(&url)
        .entries(delete("good", &handle))
        .entries(delete("bad", "nonsense"))
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.successful()[0].id(), "good");
    assert_eq!(deleted.failed()[0].code(), "ReceiptHandleIsInvalid");

    let batch = || aws.sqs().send_message_batch().queue_url(&url);
    let same = batch()
        .entries(entry("a", "1"))
        .entries(entry("a", "2"))
        .send()
        .await;
    assert!(
        same.unwrap_err()
            .into_service_error()
            .is_batch_entry_ids_not_distinct()
    );
    let empty = batch().set_entries(Some(Vec::new())).send().await;
    assert!(
        empty
            .unwrap_err()
            .into_service_error()
            .is_empty_batch_request()
    );
    let many = (0..11).map(|id| entry(&id.to_string(), "x")).collect();
    let many = batch().set_entries(Some(many)).send().await;
    assert!(
        many.unwrap_err()
            .into_service_error()
            .is_too_many_entries_in_batch_request()
    );
    let half = "x".repeat(MAXIMUM_MESSAGE_BYTES / 2 + 1);
    let long = batch()
        .entries(entry("a", &half))
        .entries(entry("b", &half))
        .send()
        .await;
    assert!(
        long.unwrap_err()
            .into_service_error()
            .is_batch_request_too_long()
    );
}

#[tokio::test(start_paused = true)]
async fn limits_and_unknown_queues_fail_as_on_aws() {
    let aws = aws();
    let url = create(&aws, "q", &[]).await;
    send(&aws, &url, &"x".repeat(MAXIMUM_MESSAGE_BYTES)).await;
    let long = "x".repeat(MAXIMUM_MESSAGE_BYTES + 1);
    let send = |url: &str, body: &str| {
        aws.sqs()
            .send_message()
            .queue_url(url)
            .message_body(body)
            .send()
    };
    let error = send(&url, &long).await.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("InvalidParameterValue"));
    let error = send("https://sqs.localhost/0/none", "x")
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_queue_does_not_exist(), "{error:?}");
    let error = aws
        .sqs()
        .get_queue_url()
        .queue_name("none")
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_queue_does_not_exist());

    create(&aws, "q", &[]).await; // again, the same: fine
    let other = aws.sqs().create_queue().queue_name("q");
    let other = other
        .attributes(QueueAttributeName::DelaySeconds, "3")
        .send()
        .await;
    assert!(
        other
            .unwrap_err()
            .into_service_error()
            .is_queue_name_exists()
    );
    let wrong = aws.sqs().create_queue().queue_name("r");
    let wrong = wrong
        .attributes(QueueAttributeName::DelaySeconds, "901")
        .send()
        .await;
    assert!(
        wrong
            .unwrap_err()
            .into_service_error()
            .is_invalid_attribute_value()
    );

    let attributes = aws.sqs().get_queue_attributes().queue_url(&url);
    let attributes = attributes
        .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
        .send()
        .await
        .unwrap();
    let expected = HashMap::from([(
        QueueAttributeName::ApproximateNumberOfMessages,
        "1".to_owned(),
    )]);
    assert_eq!(attributes.attributes, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn messages_end_with_their_retention() {
    let aws = aws();
    let url = create(
        &aws,
        "q",
        &[(QueueAttributeName::MessageRetentionPeriod, "60")],
    )
    .await;
    send(&aws, &url, "x").await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(receive(&aws, &url).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_messages_are_each_received_once() {
    let aws = aws();
    let queues = aws.queues();
    let queue = queues.create("q", QueueAttributes::default()).unwrap();
    for number in 0..100_000 {
        queues
            .send(&queue, number.to_string(), BTreeMap::new(), None)
            .unwrap();
    }
    let mut seen = std::collections::HashSet::new();
    loop {
        let batch = queues.take(&queue, 10, None).unwrap();
        if batch.is_empty() {
            break;
        }
        for received in batch {
            assert!(seen.insert(received.message.body));
            queues.delete(&queue, &received.receipt).unwrap();
        }
    }
    assert_eq!(seen.len(), 100_000);
    assert_eq!(queue.counts(), Counts::default());
}

#[derive(Debug, Clone)]
enum Step {
    Send { delay: u64 },
    Take { most: usize },
    Delete { which: usize },
    Hide { which: usize, seconds: u64 },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..40).prop_map(|delay| Step::Send { delay }),
        (1_usize..5).prop_map(|most| Step::Take { most }),
        any::<usize>().prop_map(|which| Step::Delete { which }),
        (any::<usize>(), 0_u64..60).prop_map(|(which, seconds)| Step::Hide { which, seconds }),
        (0_u64..40).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Against a plain model: a message is handed out only when due, never twice at a time, and
    /// is there until it is deleted.
    #[test]
    fn no_message_is_lost_or_in_two_hands(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let aws = aws();
            let queues = aws.queues();
            let queue = queues.create("q", QueueAttributes::default()).unwrap();
            // The model: when each message is next visible, and its latest receipt.
            let mut due: BTreeMap<String, Instant> = BTreeMap::new();
            let mut receipts: Vec<(String, String)> = Vec::new();
            for step in steps {
                let now = Instant::now();
                match step {
                    Step::Send { delay } => {
                        let delay = Duration::from_secs(delay);
                        let id = queues.send(&queue, "x".into(), BTreeMap::new(), Some(delay));
                        due.insert(id.unwrap(), now + delay);
                    }
                    Step::Take { most } => {
                        let visible = due.values().filter(|due| **due <= now).count();
                        let taken = queues.take(&queue, most, None).unwrap();
                        prop_assert_eq!(taken.len(), visible.min(most));
                        for received in taken {
                            let id = received.message.id;
                            prop_assert!(due[&id] <= now, "handed out while hidden");
                            due.insert(id.clone(), now + Duration::from_secs(30));
                            receipts.retain(|(known, _)| *known != id);
                            receipts.push((id, received.receipt));
                        }
                    }
                    Step::Delete { which } if !receipts.is_empty() => {
                        let (id, receipt) = receipts.swap_remove(which % receipts.len());
                        queues.delete(&queue, &receipt).unwrap();
                        due.remove(&id);
                    }
                    Step::Hide { which, seconds } if !receipts.is_empty() => {
                        let (id, receipt) = &receipts[which % receipts.len()];
                        let hidden = Duration::from_secs(seconds);
                        let changed = queues.change_visibility(&queue, receipt, hidden);
                        prop_assert_eq!(changed.is_ok(), due[id] > now);
                        if changed.is_ok() {
                            due.insert(id.clone(), now + hidden);
                        }
                    }
                    Step::Wait { seconds } => tokio::time::advance(Duration::from_secs(seconds)).await,
                    Step::Delete { .. } | Step::Hide { .. } => {}
                }
                let counts = queue.counts();
                let total = counts.visible + counts.in_flight + counts.delayed;
                prop_assert_eq!(total, due.len());
            }
            Ok(())
        })?;
    }
}
