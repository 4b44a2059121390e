//! How a function's SDK clients reach AWS: as Lambda's environment says, and in no other way.
//!
//! The SDK's own way would look for profiles, containers and instance metadata as well. Lambda puts
//! region and credentials into the environment, so none of that need be linked or tried.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use secrecy::ExposeSecret;

use crate::config::environment::{AwsEnv, EnvironmentError};

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

    #[test]
    fn what_is_missing_is_named() {
        let error = config(|_| None).unwrap_err().to_string();
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert!(error.contains(name), "{error}");
        }
    }
}
