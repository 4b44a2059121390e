//! The table as it must be: `template.yaml` declares the same, and a test keeps the two equal.

use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
};

use super::StoreError;

/// The index of everything that people page through.
pub const LIST_INDEX: &str = "list";
/// The index of everything that time alone sets off.
pub const DUE_INDEX: &str = "due";
/// The attribute that holds an item's expiry, in seconds since 1970.
pub const TTL_ATTRIBUTE: &str = "ttl";

/// The attributes that keys are made of; all are strings.
pub const KEY_ATTRIBUTES: [&str; 6] = ["pk", "sk", "lpk", "lsk", "dpk", "dsk"];

/// A request that creates the table with its indexes and its stream.
pub fn create_table(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
) -> Result<CreateTableFluentBuilder, StoreError> {
    let built =
        |error: aws_sdk_dynamodb::error::BuildError| StoreError::aws("describe the table", error);
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(
            StreamSpecification::builder()
                .stream_enabled(true)
                .stream_view_type(StreamViewType::NewAndOldImages)
                .build()
                .map_err(built)?,
        );
    for name in KEY_ATTRIBUTES {
        request = request.attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(built)?,
        );
    }
    for element in key_schema("pk", "sk").map_err(built)? {
        request = request.key_schema(element);
    }
    for (name, hash, range, projection) in [
        (LIST_INDEX, "lpk", "lsk", ProjectionType::All),
        (DUE_INDEX, "dpk", "dsk", ProjectionType::KeysOnly),
    ] {
        request = request.global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(name)
                .set_key_schema(Some(key_schema(hash, range).map_err(built)?))
                .projection(Projection::builder().projection_type(projection).build())
                .build()
                .map_err(built)?,
        );
    }
    Ok(request)
}

fn key_schema(
    hash: &str,
    range: &str,
) -> Result<Vec<KeySchemaElement>, aws_sdk_dynamodb::error::BuildError> {
    [(hash, KeyType::Hash), (range, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
        })
        .collect()
}
