//! References, and the extension they are read through.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::json;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::http::{Guard, Http, HttpSettings};

fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}

fn on_lambda(variable: &str) -> Option<String> {
    match variable {
        "AWS_SESSION_TOKEN" => Some("session-token".to_owned()),
        "SLACK_TOKEN" => Some("xoxb-1".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

#[test]
fn the_extension_is_looked_for_on_the_port_that_it_was_moved_to() {
    let address = |port: Option<&'static str>| {
        let environment =
            move |name: &str| port.filter(|_| name == PORT_VARIABLE).map(str::to_owned);
        let secrets = Secrets::in_lambda(Box::new(environment), Clock::system())?;
        Ok::<_, InLambdaError>(secrets.extension.to_string())
    };
    assert_eq!(address(None).unwrap(), "http://localhost:2773/");
    assert_eq!(address(Some("")).unwrap(), "http://localhost:2773/");
    assert_eq!(address(Some("4100")).unwrap(), "http://localhost:4100/");
    let error = address(Some("http")).unwrap_err().to_string();
    assert!(error.contains(PORT_VARIABLE), "{error}");
}

fn secrets(
    extension: &str,
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Secrets {
    let settings = HttpSettings {
        guard: Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
        ..HttpSettings::default()
    };
    Secrets::new(
        Box::new(environment),
        Arc::new(Http::new(settings).unwrap()),
        extension.parse().unwrap(),
        Clock::starting_at(Timestamp::UNIX_EPOCH),
    )
}

async fn value(secrets: &Secrets, of: &str) -> Result<String, SecretError> {
    let secret = secrets.get(&reference(of)).await?;
    Ok(secret.expose_secret().to_owned())
}

fn not_set(of: &str) -> Result<String, SecretError> {
    let reference = reference(of);
    Err(SecretError::NotSet { reference })
}

#[test]
fn a_plain_value_is_refused_and_not_quoted() {
    for plain in [
        "hunter2",
        "https://hooks.example.com/hunter2",
        "ENV:hunter2",
        "env:hunter-2",
        "env:2hunter2",
        "env:",
        "ssm:",
        "ssm:/a hunter2",
        "secretsmanager:",
        "secretsmanager:hunter2#",
        "secretsmanager:#hunter2",
    ] {
        let error = plain.parse::<SecretRef>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{plain}");
        let json = json!(plain);
        let error = serde_json::from_value::<SecretRef>(json).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{plain}");
    }
    let error = "hunter2".parse::<SecretRef>().unwrap_err();
    assert!(error.to_string().ends_with("never by its value"));
}

proptest! {
    #[test]
    fn references_are_written_as_they_are_read(
        text in "env:[A-Z_][A-Z0-9_]{0,9}|ssm:(/[a-zA-Z0-9_.-]{1,9}){1,3}|secretsmanager:[a-z/]{1,9}(#[a-zA-Z_ .]{1,9}x)?"
    ) {
        prop_assert_eq!(reference(&text).to_string(), text);
    }
}

#[tokio::test]
async fn environment_variables_are_set_or_not_set() {
    let secrets = secrets("http://127.0.0.1:9", on_lambda);
    assert_eq!(value(&secrets, "env:SLACK_TOKEN").await.unwrap(), "xoxb-1");
    assert_eq!(value(&secrets, "env:EMPTY").await, not_set("env:EMPTY"));
    let missing = value(&secrets, "env:OTHER").await;
    assert_eq!(missing, not_set("env:OTHER"));
    assert_eq!(missing.unwrap_err().to_string(), "env:OTHER is not set");
    assert_eq!(format!("{secrets:?}"), "Secrets(1 remembered)");
}

#[tokio::test]
async fn parameters_and_secrets_come_through_the_extension() {
    let extension = MockServer::start().await;
    let parameter = json!({"Parameter": {"Name": "/lotwire/slack", "Value": "xoxb-2"}});
    Mock::given(method("GET"))
        .and(path("/systemsmanager/parameters/get"))
        .and(query_param("name", "/lotwire/slack"))
        .and(query_param("withDecryption", "true"))
        .and(header("x-aws-parameters-secrets-token", "session-token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(parameter))
        .expect(1)
        .mount(&extension)
        .await;
    let fields = json!({"key": "k1", "port": 22, "none": null}).to_string();
    Mock::given(path("/secretsmanager/get"))
        .and(query_param("secretId", "dms/login"))
        .and(header("x-aws-parameters-secrets-token", "session-token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"SecretString": fields})))
        .mount(&extension)
        .await;

    let secrets = secrets(&extension.uri(), on_lambda);
    for _ in 0..3 {
        // Asked for once: then remembered.
        assert_eq!(
            value(&secrets, "ssm:/lotwire/slack").await.unwrap(),
            "xoxb-2"
        );
    }
    let whole = value(&secrets, "secretsmanager:dms/login").await.unwrap();
    assert_eq!(whole, fields);
    let field = value(&secrets, "secretsmanager:dms/login#key")
        .await
        .unwrap();
    assert_eq!(field, "k1");
    for absent in [
        "secretsmanager:dms/login#other",
        "secretsmanager:dms/login#none",
    ] {
        assert_eq!(value(&secrets, absent).await, not_set(absent));
    }
    let number = value(&secrets, "secretsmanager:dms/login#port").await;
    assert_eq!(
        number.unwrap_err().to_string(),
        "secretsmanager:dms/login#port could not be read: field \"port\" of the secret is no text"
    );
    let mut known: Vec<_> = secrets
        .known()
        .iter()
        .map(|s| s.expose_secret().to_owned())
        .collect();
    known.sort();
    assert_eq!(known, ["k1", "xoxb-2", fields.as_str()]);
}

/// An extension that gives another value each time it is asked.
#[derive(Default)]
struct Rotating(AtomicUsize);

#[async_trait::async_trait]
impl Transport for Rotating {
    async fn call(&self, _: Request) -> Result<Reply, TransportError> {
        let turn = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({"Parameter": {"Value": format!("value {turn}")}});
        Ok(Reply::new(StatusCode::OK, body.to_string()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_remembered_for_five_minutes_or_until_forgotten() {
    let secrets = Secrets::new(
        Box::new(on_lambda),
        Arc::new(Rotating::default()),
        EXTENSION.parse().unwrap(),
        Clock::starting_at(Timestamp::UNIX_EPOCH),
    );
    let of = "ssm:/rotating";
    assert_eq!(value(&secrets, of).await.unwrap(), "value 1");
    tokio::time::advance(Duration::from_secs(299)).await;
    assert_eq!(value(&secrets, of).await.unwrap(), "value 1");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(value(&secrets, of).await.unwrap(), "value 2");
    secrets.forget(&reference(of));
    assert_eq!(value(&secrets, of).await.unwrap(), "value 3");
}

/// A store that answers as it is told to, and counts how often it is asked.
#[derive(Default)]
struct Store {
    asked: AtomicUsize,
    answer: Mutex<Option<&'static str>>,
}

#[async_trait::async_trait]
impl Transport for Store {
    async fn call(&self, _: Request) -> Result<Reply, TransportError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(match *self.answer.lock().unwrap() {
            Some("") => Reply::new(StatusCode::BAD_REQUEST, "ParameterNotFound"),
            Some(value) => {
                let body = json!({"Parameter": {"Value": value}}).to_string();
                Reply::new(StatusCode::OK, body)
            }
            None => Reply::new(StatusCode::BAD_REQUEST, "ThrottlingException"),
        })
    }
}

/// Parameter Store answers some forty questions a second, for all secrets.
#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_had_is_asked_for_once_in_some_seconds() {
    for answer in [None, Some("")] {
        let store = Arc::new(Store::default());
        *store.answer.lock().unwrap() = answer;
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let extension = EXTENSION.parse().unwrap();
        let secrets = Secrets::new(Box::new(on_lambda), store.clone(), extension, clock);
        for _ in 0..100 {
            value(&secrets, "ssm:/till").await.unwrap_err();
            secrets.forget(&reference("ssm:/till"));
        }
        assert_eq!(store.asked.load(Ordering::SeqCst), 1, "{answer:?}");
        *store.answer.lock().unwrap() = Some("there");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(value(&secrets, "ssm:/till").await.unwrap(), "there");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_last_read_serves_while_the_store_does_not_answer() {
    let store = Arc::new(Store::default());
    *store.answer.lock().unwrap() = Some("one");
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let extension = EXTENSION.parse().unwrap();
    let secrets = Secrets::new(Box::new(on_lambda), store.clone(), extension, clock);
    let now = async || value(&secrets, "ssm:/till").await;
    assert_eq!(now().await.unwrap(), "one");
    *store.answer.lock().unwrap() = None;
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(now().await.unwrap(), "one");
    }
    secrets.forget(&reference("ssm:/till"));
    assert_eq!(now().await.unwrap(), "one");
    // Whoever takes it away means it.
    *store.answer.lock().unwrap() = Some("");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(now().await, not_set("ssm:/till"));
}

#[tokio::test]
async fn not_there_and_not_readable_are_told_apart() {
    let extension = MockServer::start().await;
    for (name, status, body) in [
        (
            "/absent",
            400,
            "operation error SSM: GetParameter, ParameterNotFound: ",
        ),
        (
            "/denied",
            400,
            "operation error SSM: GetParameter, AccessDeniedException: ",
        ),
        ("/odd", 200, "not json hunter2"),
    ] {
        Mock::given(query_param("name", name))
            .respond_with(ResponseTemplate::new(status).set_body_string(body))
            .mount(&extension)
            .await;
    }
    let absent = ResponseTemplate::new(404)
        .set_body_string("operation error Secrets Manager: ResourceNotFoundException: ");
    Mock::given(query_param("secretId", "absent"))
        .respond_with(absent)
        .mount(&extension)
        .await;
    let binary = ResponseTemplate::new(200).set_body_json(json!({"SecretBinary": "AAAA"}));
    Mock::given(query_param("secretId", "binary"))
        .respond_with(binary)
        .mount(&extension)
        .await;

    let on_lambda = secrets(&extension.uri(), on_lambda);
    assert_eq!(
        value(&on_lambda, "ssm:/absent").await,
        not_set("ssm:/absent")
    );
    let absent = "secretsmanager:absent";
    assert_eq!(value(&on_lambda, absent).await, not_set(absent));
    for (of, problem) in [
        ("ssm:/denied", "the extension answered 400 Bad Request"),
        ("ssm:/odd", "the extension's answer is no parameter"),
        ("secretsmanager:binary", "the secret is binary, not text"),
    ] {
        let error = value(&on_lambda, of).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{of} could not be read: {problem}")
        );
    }

    let elsewhere = secrets(&extension.uri(), |_| None);
    let error = value(&elsewhere, "ssm:/absent").await.unwrap_err();
    assert!(error.to_string().contains("AWS_SESSION_TOKEN"), "{error}");
    assert!(elsewhere.known().is_empty());
}
