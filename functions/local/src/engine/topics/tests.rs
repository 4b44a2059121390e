use super::*;
use crate::engine::testing::aws;
use crate::engine::{EmbeddedAws, QueueAttributes};
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

fn queue(aws: &EmbeddedAws, name: &str) -> Arc<Queue> {
    aws.queues()
        .create(name, QueueAttributes::default())
        .unwrap()
}

fn attribute(kind: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type(kind)
        .string_value(value)
        .build()
        .unwrap()
}

/// The bodies waiting in a queue, and the value of their `channel` attribute.
fn waiting(aws: &EmbeddedAws, queue: &Queue) -> Vec<(String, String)> {
    let received = aws.queues().take(queue, 100, None).unwrap();
    received
        .into_iter()
        .map(|received| {
            let channel = received.message.attributes.get("channel");
            let channel = channel.and_then(|value| value["StringValue"].as_str());
            (
                received.message.body,
                channel.unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn filter_policies_route_raw_messages_to_two_queues() {
    let aws = aws();
    let topic = aws.topics().create("intents");
    let (slack, rest) = (queue(&aws, "slack"), queue(&aws, "rest"));
    let only = |policy: Value| Subscription::raw_where(&policy).unwrap();
    let topics = aws.topics();
    topics
        .subscribe(&topic, &slack, only(json!({ "channel": ["slack"] })))
        .unwrap();
    let others = json!({ "channel": [{ "anything-but": ["slack"] }] });
    topics.subscribe(&topic, &rest, only(others)).unwrap();

    for (channel, message) in [("slack", "a & <b>"), ("webex", "ü"), ("slack", "c")] {
        aws.sns()
            .publish()
            .topic_arn(&topic)
            .message(message)
            .message_attributes("channel", attribute("String", channel))
            .send()
            .await
            .unwrap();
    }
    // No attribute at all matches neither.
    let published = aws
        .sns()
        .publish()
        .topic_arn(&topic)
        .message("lost")
        .send()
        .await
        .unwrap();
    assert!(published.message_id.is_some());
    let pair = |body: &str, channel: &str| (body.to_owned(), channel.to_owned());
    assert_eq!(
        waiting(&aws, &slack),
        [pair("a & <b>", "slack"), pair("c", "slack")]
    );
    assert_eq!(waiting(&aws, &rest), [pair("ü", "webex")]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_publishes_each_entry_and_names_the_ones_that_failed() {
    let aws = aws();
    let topic = aws.topics().create("intents");
    let all = queue(&aws, "all");
    let tagged = json!({ "tags": ["urgent"] });
    let urgent = queue(&aws, "urgent");
    aws.topics()
        .subscribe(
            &topic,
            &all,
            Subscription {
                raw: true,
                filter_policy: None,
            },
        )
        .unwrap();
    aws.topics()
        .subscribe(&topic, &urgent, Subscription::raw_where(&tagged).unwrap())
        .unwrap();
    let entry = |id: &str, message: &str, tags: &str| {
        PublishBatchRequestEntry::builder()
            .id(id)
            .message(message)
            .message_attributes("tags", attribute("String.Array", tags))
            .build()
            .unwrap()
    };
    let long = "x".repeat(MAXIMUM_MESSAGE_BYTES + 1);
    let answer = aws
        .sns()
        .publish_batch()
        .topic_arn(&topic)
        .publish_batch_request_entries(entry("one", "1", r#"["urgent","stock"]"#))
        .publish_batch_request_entries(entry("two", &long, "[]"))
        .publish_batch_request_entries(entry("three", "3", r#"["stock"]"#))
        .send()
        .await
        .unwrap();
    let done: Vec<_> = answer
        .successful()
        .iter()
        .map(|entry| entry.id().unwrap())
        .collect();
    assert_eq!(done, ["one", "three"]);
    assert_eq!(
        (answer.failed()[0].id(), answer.failed()[0].code()),
        ("two", "InvalidParameter")
    );
    let bodies = |queue| {
        waiting(&aws, queue)
            .into_iter()
            .map(|pair| pair.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(bodies(&all), ["1", "3"]);
    assert_eq!(bodies(&urgent), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn without_raw_delivery_the_message_comes_in_snss_envelope() {
    let aws = aws();
    let topic = aws.topics().create("alerts");
    let inbox = queue(&aws, "inbox");
    aws.topics()
        .subscribe(&topic, &inbox, Subscription::default())
        .unwrap();
    aws.sns()
        .publish()
        .topic_arn(&topic)
        .subject("Low stock")
        .message("3 left")
        .message_attributes("channel", attribute("String", "mail"))
        .send()
        .await
        .unwrap();
    let envelope: Value = serde_json::from_str(&waiting(&aws, &inbox)[0].0).unwrap();
    assert_eq!(envelope["Type"], "Notification");
    assert_eq!(envelope["TopicArn"], topic);
    assert_eq!(envelope["Subject"], "Low stock");
    assert_eq!(envelope["Message"], "3 left");
    assert_eq!(envelope["Timestamp"], "2026-01-15T09:30:00.000Z");
    assert_eq!(
        envelope["MessageAttributes"]["channel"],
        json!({ "Type": "String", "Value": "mail" })
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_snss_own_error() {
    let aws = aws();
    let publish = aws.sns().publish().topic_arn(arn("none")).message("x");
    let error = publish.send().await.unwrap_err().into_service_error();
    assert!(error.is_not_found_exception(), "{error:?}");
    let inbox = queue(&aws, "inbox");
    assert!(
        aws.topics()
            .subscribe("none", &inbox, Subscription::default())
            .is_err()
    );
}
