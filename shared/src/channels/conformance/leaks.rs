//! Whatever goes wrong with a channel, its secrets are not in what is said of it: not in what is printed,
//! not in an error, not in a log line at the most talkative level.
//!
//! A built channel cannot be printed at all: it has no `Debug`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tracing::subscriber::DefaultGuard;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::replies::{attempt, http, vendor_that_hangs_up};
use super::*;
use crate::clock::Clock;
use crate::http::{Http, HttpSettings, Transport, mask, mask_words};
use crate::render::samples;
use crate::telemetry;
use crate::testing::Captured;

/// Everything that is said while a channel is tried, and what must not be in it.
struct Said {
    case: &'static str,
    secrets: Vec<SecretString>,
    words: Vec<String>,
}

impl Said {
    fn add(&mut self, words: impl Into<String>) {
        self.words.push(words.into());
    }

    /// Looks for each secret as it is, as a URL or JSON would spell it, and within base64.
    fn holds_no_secret(&self) {
        assert!(!self.secrets.is_empty(), "{}", self.case);
        for secret in &self.secrets {
            let plain = secret.expose_secret();
            // What tells a secret: everybody knows Slack's address.
            let telling = match plain.strip_prefix("whsec_") {
                Some(key) => key,
                None if plain.starts_with("http") => plain.rsplit('/').next().unwrap(),
                None => plain,
            };
            let spelled = [
                telling.to_owned(),
                url::form_urlencoded::byte_serialize(telling.as_bytes()).collect(),
                STANDARD.encode(plain).trim_end_matches('=').to_owned(),
            ];
            for words in &self.words {
                let shown = spelled.iter().any(|spelled| words.contains(spelled));
                assert!(!shown, "{}: {words}", self.case);
            }
        }
        let hunter = self.words.iter().find(|words| words.contains("hunter2"));
        assert_eq!(hunter, None, "{}", self.case);
    }
}

/// Every log line from here on, of this thread.
fn listen() -> (Captured, DefaultGuard) {
    let lines = Captured::default();
    let writer = lines.clone();
    let everything = "trace".parse().unwrap();
    let subscriber = telemetry::in_lambda(move || writer.clone(), &everything, Clock::system());
    (lines, tracing::subscriber::set_default(subscriber))
}

/// Tries a channel at an address, and keeps what is said of it.
async fn tried(case: &Case, base: &str, http: &Http, said: &mut Said) -> Outcome {
    let (settings, channel) = (case.settings(base), case.channel(base));
    let secrets = channel.secrets();
    let exchange = attempt(&*channel, http).await;
    for request in &exchange.requests {
        said.add(format!("{request:?} {:?}", mask(request, &secrets)));
    }
    said.add(format!("{settings:?} {secrets:?}"));
    // A vendor's words are masked before anybody keeps them.
    let outcome = format!("{:?}", exchange.outcome);
    said.add(mask_words(&outcome, &secrets));
    match http.call(request(&*channel, samples::low_stock())).await {
        Ok(reply) => said.add(format!("{reply:?}")),
        Err(error) => said.add(format!("{error} {error:?}")),
    }
    said.secrets.extend(secrets);
    exchange.outcome
}

/// Gives back everything it was told, as plain words, as JSON as vendors put it, and in a header.
async fn echo(status: u16, told: &str) -> MockServer {
    let vendor = MockServer::start().await;
    let body = json!({
        "ok": false, "error": told, "message": told, "detail": told,
        "errors": [{ "message": told, "field": told }],
    });
    let reply = ResponseTemplate::new(status).set_body_json(body);
    let reply = reply.insert_header("x-told", told);
    Mock::given(any()).respond_with(reply).mount(&vendor).await;
    vendor
}

/// Promises more than it gives, and that is what it was told.
async fn vendor_that_breaks_off(told: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut beginning = [0; 64 * 1024];
            connection.read(&mut beginning).await.unwrap_or_default();
            let reply = format!("HTTP/1.1 401 No\r\ncontent-length: 99999\r\n\r\n{told}");
            connection
                .write_all(reply.as_bytes())
                .await
                .unwrap_or_default();
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn no_secret_is_shown_whatever_the_vendor_does() {
    let (log, _listening) = listen();
    let patient = http(Duration::from_secs(5));
    let hasty = http(Duration::from_millis(150));
    let guarded = Http::new(HttpSettings::default()).unwrap();
    for case in all() {
        let name = case.name;
        let mut said = Said {
            case: name,
            secrets: Vec::new(),
            words: vec![format!("{patient:?}")],
        };
        let told = case.channel("http://127.0.0.1:1").secrets();
        let told: Vec<_> = told.iter().map(ExposeSecret::expose_secret).collect();
        let told = told.join(" ");
        for (status, outcome) in [
            (401, "denied"),
            (403, "denied"),
            (400, ""),
            (429, "retry"),
            (500, ""),
            (200, ""),
        ] {
            let vendor = echo(status, &told).await;
            let came = tried(&case, &vendor.uri(), &patient, &mut said).await;
            assert!(
                outcome.is_empty() || came.name() == outcome,
                "{name} on {status}: {came:?}"
            );
        }
        let broken_off = vendor_that_breaks_off(told).await;
        assert_eq!(
            tried(&case, &broken_off, &patient, &mut said).await.name(),
            "denied",
            "{name}"
        );

        let hung_up = format!("http://{}", vendor_that_hangs_up().await);
        let came = tried(&case, &hung_up, &patient, &mut said).await;
        assert_eq!(came, Outcome::Unknown, "{name}");
        let silent = MockServer::start().await;
        let never = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
        Mock::given(any()).respond_with(never).mount(&silent).await;
        let came = tried(&case, &silent.uri(), &hasty, &mut said).await;
        assert_eq!(came, Outcome::Unknown, "{name}");
        let closed = "http://127.0.0.1:1";
        let came = tried(&case, closed, &patient, &mut said).await;
        assert_eq!(came, Outcome::Retry { after: None }, "{name}");
        // A name that cannot be looked up, and an address that may not be called.
        let nowhere = "http://nobody.invalid";
        assert_ne!(
            tried(&case, nowhere, &patient, &mut said).await.name(),
            "delivered",
            "{name}"
        );
        assert_eq!(
            tried(&case, closed, &guarded, &mut said).await.name(),
            "not_sent",
            "{name}"
        );

        assert!(said.words.len() > 30, "{name}");
        said.add(log.text());
        said.holds_no_secret();
    }
}

#[test]
fn a_secret_that_cannot_be_right_is_refused_without_a_word_of_it() {
    let mut refused = 0;
    for case in all() {
        let settings = case.settings(case.home);
        for wrong in [
            "hunter2\u{7}\n",
            "http://hunter2 hunter2",
            "whsec_hunter2 hunter2",
        ] {
            for broken in settings.secret_refs() {
                let built = settings.build(|reference| match reference == broken {
                    true => SecretString::from(wrong),
                    false => cases::secret(reference, case.home),
                });
                let (shown, is_refused) = match built {
                    Err(error) => (format!("{error} {error:?}"), true),
                    Ok(channel) => {
                        let letter = Letter::new(samples::low_stock(), &*channel);
                        match channel.step(&letter.envelope(), &[]) {
                            Err(error) => (format!("{error} {error:?}"), true),
                            // Not for us to say: the vendor will.
                            Ok(step) => (format!("{step:?}"), false),
                        }
                    }
                };
                refused += usize::from(is_refused);
                assert!(!shown.contains("hunter2"), "{}: {shown}", case.name);
            }
        }
        // A secret in the place of a reference to it.
        for reference in settings.secret_refs() {
            let reference = reference.to_string();
            let mut table = case.table(case.home);
            for (_, value) in table.iter_mut() {
                if value.as_str() == Some(&reference) {
                    *value = "hunter2".into();
                }
            }
            let error = case.kind.settings(table).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{}: {shown}", case.name);
        }
    }
    assert!(refused > 5, "{refused}");
}
