//! How a function's SDK clients reach AWS: as Lambda's environment says, and in no other way.
//!
//! The SDK's own way would look for profiles, containers and instance metadata as well. Lambda puts
//! region and credentials into the environment, so none of that need be linked or tried.
//!
//! Every call has a time limit, below the time that the shortest of the functions has: a call that is
//! not answered is an error in the log, not a function that was killed without a word.

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use secrecy::ExposeSecret;

use crate::config::environment::{AwsEnv, EnvironmentError};

/// To reach an endpoint. It is in the same region.
const CONNECT: Duration = Duration::from_secs(1);

/// For one try at a call. A page of a megabyte takes a fraction of it.
const ATTEMPT: Duration = Duration::from_secs(2);

/// For a call with the SDK's own retries. Ingest has 10 s in all, and answers within them.
const OPERATION: Duration = Duration::from_secs(6);

/// What SDK clients are made from.
pub fn config(environment: impl Fn(&str) -> Option<String>) -> Result<SdkConfig, EnvironmentError> {
    let env = AwsEnv::read(environment)?;
    let credentials = Credentials::new(
        env.access_key_id,
        env.secret_access_key.expose_secret(),
        env.session_token
            .map(|token| token.expose_secret().to_owned()),
        None,
        "environment",
    );
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        )
        .region(Region::new(env.region))
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    // As a string it would end in a slash, and every path begin with two.
    let endpoint = env.endpoint.as_ref().map(|url| url.as_str());
    config.set_endpoint_url(endpoint.map(|url| url.trim_end_matches('/').to_owned()));
    Ok(config.build())
}

/// A client of the table.
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(config)
}

/// A client of the topic.
pub fn sns(config: &SdkConfig) -> aws_sdk_sns::Client {
    aws_sdk_sns::Client::new(config)
}

/// A client of the queues.
pub fn sqs(config: &SdkConfig) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_s_environment_is_all_it_takes() {
        let set = |name: &str| {
            let value = match name {
                "AWS_REGION" => "eu-south-1",
                "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE",
                "AWS_SECRET_ACCESS_KEY" => "not for logs",
                "AWS_ENDPOINT_URL" => "http://127.0.0.1:4566",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = config(set).unwrap();
        assert_eq!(config.region().unwrap().as_ref(), "eu-south-1");
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:4566"));
        assert!(config.credentials_provider().is_some());
        assert!(!format!("{:?}", AwsEnv::read(set).unwrap()).contains("not for logs"));
    }

    /// Of all functions that call AWS, `ingest` has the least time.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_not_answered_fails_while_the_function_still_has_time() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", silent.local_addr().unwrap());
        let set = |name: &str| {
            Some(match name {
                "AWS_REGION" => "eu-south-1".to_owned(),
                "AWS_ENDPOINT_URL" => endpoint.clone(),
                _ => "x".to_owned(),
            })
        };
        let config = config(set).unwrap();
        let start = tokio::time::Instant::now();
        let table = dynamodb(&config).list_tables().send();
        let topic = sns(&config).list_topics().send();
        let queue = sqs(&config).list_queues().send();
        let (table, topic, queue) = tokio::join!(table, topic, queue);
        assert!(table.is_err() && topic.is_err() && queue.is_err());
        let ingest = Duration::from_secs(10);
        assert!(
            start.elapsed() < ingest - Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = config(|_| None).unwrap_err().to_string();
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert!(error.contains(name), "{error}");
        }
    }
}
