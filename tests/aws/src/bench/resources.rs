//! The resources of a bench, as `template.yaml` has them.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::SdkConfig;
use shared::store::schema;
use url::Url;

pub(super) async fn create_table(dynamodb: &aws_sdk_dynamodb::Client, name: &str) {
    let key = |name: &str, kind| {
        let key = KeySchemaElement::builder().attribute_name(name);
        key.key_type(kind).build().unwrap()
    };
    let keys = |partition: &str, sort: &str| {
        vec![key(partition, KeyType::Hash), key(sort, KeyType::Range)]
    };
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        let attribute = attribute.attribute_type(ScalarAttributeType::S);
        attribute.build().unwrap()
    };
    let mut names = vec![schema::PARTITION_KEY, schema::SORT_KEY];
    let mut create = dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys(schema::PARTITION_KEY, schema::SORT_KEY)));
    for index in schema::INDEXES {
        names.extend([index.partition_key, index.sort_key]);
        let projection = if index.whole_items {
            ProjectionType::All
        } else {
            ProjectionType::KeysOnly
        };
        create = create.global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(keys(index.partition_key, index.sort_key)))
                .projection(Projection::builder().projection_type(projection).build())
                .build()
                .unwrap(),
        );
    }
    let attributes = names.into_iter().map(attribute).collect();
    let created = create.set_attribute_definitions(Some(attributes)).send();
    created.await.unwrap();
}

/// A topic, and a queue that gets what is published on it as it stands.
pub(super) async fn transport(aws: &SdkConfig, name: &str) -> (String, Url) {
    let (sns, sqs) = (aws_sdk_sns::Client::new(aws), aws_sdk_sqs::Client::new(aws));
    let topic = sns.create_topic().name(name).send().await.unwrap();
    let topic = topic.topic_arn.unwrap();
    let queue = sqs.create_queue().queue_name(name).send().await.unwrap();
    let queue = queue.queue_url.unwrap();
    let attributes = sqs
        .get_queue_attributes()
        .queue_url(&queue)
        .attribute_names(QueueAttributeName::QueueArn);
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    sns.subscribe()
        .topic_arn(&topic)
        .protocol("sqs")
        .endpoint(&attributes[&QueueAttributeName::QueueArn])
        .attributes("RawMessageDelivery", "true")
        .send()
        .await
        .unwrap();
    (topic, queue.parse().unwrap())
}
