//! What comes back, or does not, means the same on every channel.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::delivery::{Exchange, Unsent, backoff, exchange};
use crate::http::{Guard, Http, HttpSettings, mask};
use crate::render::samples;

pub(super) fn http(timeout: Duration) -> Http {
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    let guard = Guard::new(loopback);
    Http::new(HttpSettings {
        timeout,
        guard,
        ..HttpSettings::default()
    })
    .unwrap()
}

pub(super) async fn attempt(channel: &dyn Channel, http: &Http) -> Exchange {
    let letter = Letter::new(samples::low_stock(), channel);
    exchange(channel, &letter.envelope(), http).await
}

/// What a channel makes of a vendor that answers like this.
async fn answered(case: &Case, http: &Http, reply: ResponseTemplate) -> Exchange {
    let vendor = MockServer::start().await;
    Mock::given(any())
        .respond_with(reply)
        .expect(1)
        .mount(&vendor)
        .await;
    attempt(&*case.channel(&vendor.uri()), http).await
}

fn template(reply: &Reply) -> ResponseTemplate {
    let template = ResponseTemplate::new(reply.status).set_body_bytes(reply.body.to_vec());
    reply
        .headers
        .iter()
        .fold(template, |template, (name, value)| {
            template.insert_header(name, value)
        })
}

#[tokio::test]
async fn a_vendors_yes_is_a_delivery_with_its_receipt_at_the_configured_address() {
    let http = http(Duration::from_secs(5));
    for case in all() {
        let sample = case.channel("http://127.0.0.1:1");
        let yes = sample.accepted(&request(&*sample, samples::low_stock()));
        let exchange = answered(&case, &http, template(&yes)).await;
        match exchange.outcome {
            Outcome::Delivered { receipt } => {
                assert_eq!(receipt.is_some(), case.receipted, "{}", case.name);
            }
            other => panic!("{}: {other:?}", case.name),
        }
        assert_eq!(exchange.last_status, Some(yes.status), "{}", case.name);
    }
}

#[tokio::test]
async fn without_credentials_the_outbox_takes_it() {
    for case in all() {
        let channel = case.settings(case.home).build_unsent().unwrap();
        let letter = Letter::new(samples::low_stock(), &*channel);
        let exchange = exchange(&*channel, &letter.envelope(), &Unsent(&*channel)).await;
        assert_eq!(exchange.outcome.name(), "delivered", "{}", case.name);
        assert_eq!(exchange.requests.len(), 1, "{}", case.name);
        let masked = mask(&exchange.requests[0], &channel.secrets());
        let home = case.home.split("//").last().unwrap();
        assert!(masked.url.contains(home), "{}: {}", case.name, masked.url);
    }
}

#[tokio::test]
async fn every_status_means_the_same_on_every_channel() {
    let http = http(Duration::from_secs(5));
    for case in all() {
        for (status, expected) in [
            (302, "retry"),
            (307, "retry"),
            (401, "denied"),
            (403, "denied"),
            (408, "retry"),
            (429, "retry"),
            (500, "unknown"),
            (502, "unknown"),
            (503, "retry"),
            (504, "unknown"),
        ] {
            let exchange = answered(&case, &http, ResponseTemplate::new(status)).await;
            assert_eq!(
                exchange.outcome.name(),
                expected,
                "{} on {status}",
                case.name
            );
        }
    }
}

#[tokio::test]
async fn nobody_comes_back_before_the_vendor_said() {
    let http = http(Duration::from_secs(5));
    let seven = SignedDuration::from_secs(7);
    for case in all() {
        for status in [429, 503] {
            let reply = ResponseTemplate::new(status).insert_header("retry-after", "7");
            let outcome = answered(&case, &http, reply).await.outcome;
            let after = Some(seven);
            let waits = match status {
                429 => Outcome::Limited { after },
                _ => Outcome::Retry { after },
            };
            assert_eq!(outcome, waits, "{} on {status}", case.name);
            let wait = backoff::next(1, after, 0.0).unwrap();
            assert!(wait >= seven, "{}: {wait}", case.name);
        }
    }
}

#[tokio::test]
async fn silence_is_unknown_and_a_closed_door_is_not() {
    let patient = http(Duration::from_secs(5));
    let hasty = http(Duration::from_millis(150));
    let guarded = Http::new(HttpSettings::default()).unwrap();
    for case in all() {
        let name = case.name;
        let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
        let exchange = answered(&case, &hasty, slow).await;
        assert_eq!(exchange.outcome, Outcome::Unknown, "{name}, timed out");
        assert_eq!(exchange.last_status, None, "{name}");

        let hung_up = vendor_that_hangs_up().await;
        let channel = case.channel(&format!("http://{hung_up}"));
        assert_eq!(
            attempt(&*channel, &patient).await.outcome,
            Outcome::Unknown,
            "{name}, reset"
        );

        let closed = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let channel = case.channel(&format!("http://{closed}"));
        let refused = attempt(&*channel, &patient).await.outcome;
        assert_eq!(refused, Outcome::Retry { after: None }, "{name}, refused");

        let forbidden = attempt(&*channel, &guarded).await.outcome;
        assert_eq!(forbidden.name(), "not_sent", "{name}, against the rules");
    }
}

/// Reads a request's beginning and closes the connection without a word.
pub(super) async fn vendor_that_hangs_up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut beginning = [0; 64 * 1024];
            // Whether it all came does not matter: the sender cannot tell either.
            connection.read(&mut beginning).await.unwrap_or_default();
        }
    });
    address
}

#[test]
fn a_reply_in_disguise_is_seen_through() {
    for case in all() {
        let channel = case.channel(case.home);
        let letter = Letter::new(samples::low_stock(), &*channel);
        for (reply, expected) in &case.disguised {
            let step = channel
                .step(&letter.envelope(), std::slice::from_ref(reply))
                .unwrap();
            let Step::Done(outcome) = step else {
                panic!("{}: {step:?}", case.name);
            };
            let shown = format!(
                "{} on {} {}: {outcome:?}",
                case.name,
                reply.status,
                reply.text()
            );
            assert_eq!(outcome.name(), *expected, "{shown}");
            assert!(!format!("{outcome:?}").contains("+39333"), "{shown}");
        }
    }
}
