//! What the extension answers through which secrets are read.
//!
//! The head is a reference and a status; the body is the answer. A secret is had as it was put there,
//! byte for byte. Why one cannot be had is told in words that are all our own.

use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use secrecy::ExposeSecret;
use serde_json::json;
use shared::clock::Clock;
use shared::http::{Reply, Request, Transport, TransportError};
use shared::secrets::{SecretError, SecretRef, Secrets};

use crate::input::split;
use crate::table;

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    if let Some((reference, status)) = head.rsplit_once(' ')
        && let Ok(reference) = reference.parse()
        && let Ok(status) = status
            .parse()
            .map_err(drop)
            .and_then(|status| StatusCode::from_u16(status).map_err(drop))
    {
        answered(&reference, status, body);
    }
    if let Ok(value) = std::str::from_utf8(body) {
        put_there(value);
    }
}

fn answered(reference: &SecretRef, status: StatusCode, body: &[u8]) {
    let read = read(reference, status, body);
    assert_eq!(read, self::read(reference, status, body), "read twice");
    match read {
        Ok(value) => {
            let from_aws = !matches!(reference, SecretRef::Env { .. });
            assert!(from_aws && status == StatusCode::OK && !value.is_empty());
        }
        Err(SecretError::NotSet { reference: named }) => assert_eq!(&named, reference),
        Err(SecretError::Failed {
            reference: named,
            problem,
        }) => {
            assert_eq!(&named, reference);
            let field = match reference {
                SecretRef::SecretsManager { field, .. } => field.clone().unwrap_or_default(),
                _ => String::new(),
            };
            let known = [
                format!("the extension answered {status}"),
                format!("field {field:?} of the secret is no text"),
                "the extension's answer is no parameter".to_owned(),
                "the extension's answer is no secret".to_owned(),
                "the secret is binary, not text".to_owned(),
                "the secret is no JSON object".to_owned(),
            ];
            assert!(known.contains(&problem), "{problem:?}");
        }
    }
}

/// Whatever somebody made a secret, it is read as that; an empty one is none.
fn put_there(value: &str) {
    let whole = json!({"SecretString": value});
    let field = json!({"SecretString": json!({"user": "lotwire", "key": value}).to_string()});
    let parameter = json!({"Parameter": {"Type": "SecureString", "Value": value}});
    for (reference, answer) in [
        ("ssm:/lotwire/slack", parameter),
        ("secretsmanager:lotwire/slack", whole),
        ("secretsmanager:lotwire/slack#key", field),
    ] {
        let reference: SecretRef = reference.parse().expect("a reference");
        let read = read(&reference, StatusCode::OK, answer.to_string().as_bytes());
        let expected = match value {
            "" => Err(SecretError::NotSet { reference }),
            value => Ok(value.to_owned()),
        };
        assert_eq!(read, expected);
    }
}

fn read(reference: &SecretRef, status: StatusCode, body: &[u8]) -> Result<String, SecretError> {
    let secrets = Secrets::new(
        Box::new(|name| (name == "AWS_SESSION_TOKEN").then(|| "token".to_owned())),
        Arc::new(Extension(Reply::new(status, body.to_vec()))),
        "http://localhost:2773".parse().expect("an address"),
        Clock::starting_at(table::now()),
    );
    let value = table::wait(secrets.get(reference))?;
    Ok(value.expose_secret().to_owned())
}

/// Answers everything alike.
struct Extension(Reply);

#[async_trait]
impl Transport for Extension {
    async fn call(&self, _: Request) -> Result<Reply, TransportError> {
        Ok(self.0.clone())
    }
}
