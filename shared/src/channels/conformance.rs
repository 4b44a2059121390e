//! What every channel must get right, run over [`ChannelKind::ALL`] through the real transport.

mod cases;
mod spec;

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use self::cases::{Case, body, cases};
use super::settings::Form;
use super::*;
use crate::delivery::{Exchange, Outcome, Unsent, backoff, exchange};
use crate::domain::ChannelName;
use crate::domain::alert::{AlertKind, RevisionKind};
use crate::http::{Guard, Http, HttpSettings, mask};
use crate::render::{Templates, fit, samples};
use crate::signature::{ReplayWindow, standard};

/// With a full stop, which not every vendor's key may hold.
const KEY: &str = "0199b6a1/1/ops.desk";

fn all() -> impl Iterator<Item = Case> {
    ChannelKind::ALL.iter().flat_map(|kind| cases(*kind))
}

/// A channel from settings in TOML, with dummies for its secrets.
pub(super) fn channel(kind: ChannelKind, settings: &str) -> Box<dyn Channel> {
    let settings = kind.settings(settings.parse().unwrap()).unwrap();
    let secret = |reference: &SecretRef| cases::secret(reference, "https://hooks.slack.com");
    settings.build(secret).unwrap()
}

/// The fault found with settings in TOML.
pub(super) fn fault(kind: ChannelKind, settings: &str) -> String {
    let settings = kind.settings(settings.parse().unwrap());
    settings.unwrap_err().to_string()
}

/// An envelope around a message, as the notifier makes it.
pub(super) fn envelope(message: &Message) -> Envelope<'_> {
    Envelope {
        message,
        title: "Inventory alert for Oil 5W-40",
        text: "Low stock: Oil 5W-40 – just 2 units left.",
        key: KEY,
        now: now(),
        attempt: 1,
        thread: None,
    }
}

/// What the channel sends next, as JSON.
pub(super) fn sent(
    channel: &dyn Channel,
    envelope: &Envelope<'_>,
    replies: &[Reply],
) -> serde_json::Value {
    match channel.step(envelope, replies).unwrap() {
        Step::Send(request) | Step::Ask(request) => body(&request),
        Step::Done(outcome) => panic!("nothing was sent: {outcome:?}"),
    }
}

/// What the channel makes of the replies.
pub(super) fn concluded(
    channel: &dyn Channel,
    envelope: &Envelope<'_>,
    replies: &[Reply],
) -> Outcome {
    match channel.step(envelope, replies).unwrap() {
        Step::Done(outcome) => outcome,
        other => panic!("not done: {other:?}"),
    }
}

fn now() -> Timestamp {
    "2026-01-15T09:31:00Z".parse().unwrap()
}

/// The whole way of a message: rendered, fitted to the channel, put into an envelope.
struct Letter {
    message: Message,
    title: String,
    text: String,
}

impl Letter {
    fn new(message: Message, channel: &dyn Channel) -> Self {
        let name: ChannelName = "ops.desk".parse().unwrap();
        let rendered = Templates::new().render(&message, &name);
        let limits = channel.limits();
        let title = fit(&rendered.title, limits.title).into_owned();
        let text = fit(&rendered.text, limits.text).into_owned();
        Self {
            message,
            title,
            text,
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            message: &self.message,
            title: &self.title,
            text: &self.text,
            key: KEY,
            now: now(),
            attempt: 1,
            thread: None,
        }
    }
}

/// The first request for a message.
fn request(channel: &dyn Channel, message: Message) -> Request {
    let letter = Letter::new(message, channel);
    match channel.step(&letter.envelope(), &[]).unwrap() {
        Step::Send(request) | Step::Ask(request) => request,
        Step::Done(outcome) => panic!("nothing was sent: {outcome:?}"),
    }
}

fn http(timeout: Duration) -> Http {
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    let guard = Guard::new(loopback);
    Http::new(HttpSettings {
        timeout,
        guard,
        ..HttpSettings::default()
    })
    .unwrap()
}

async fn attempt(channel: &dyn Channel, http: &Http) -> Exchange {
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

/// Everything a body says, as one text: form fields or JSON strings and numbers.
fn said(request: &Request) -> String {
    fn collect(value: &serde_json::Value, text: &mut String) {
        match value {
            serde_json::Value::Array(values) => {
                values.iter().for_each(|value| collect(value, text))
            }
            serde_json::Value::Object(values) => values.iter().for_each(|(key, value)| {
                *text += &format!("{key}=");
                collect(value, text);
            }),
            serde_json::Value::String(one) => *text += &format!("{one}\n"),
            other => *text += &format!("{other}\n"),
        }
    }
    let mut text = String::new();
    collect(&body(request), &mut text);
    text
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
            assert_eq!(
                outcome,
                Outcome::Retry { after },
                "{} on {status}",
                case.name
            );
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
        assert_eq!(forbidden.name(), "rejected", "{name}, against the rules");
    }
}

/// Reads a request's beginning and closes the connection without a word.
async fn vendor_that_hangs_up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut beginning = [0; 64 * 1024];
            let read = connection.read(&mut beginning).await.unwrap_or_default();
            assert!(read > 0, "hung up before anything was sent");
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

#[test]
fn the_message_contract_reaches_the_reader() {
    for case in all() {
        let channel = case.channel(case.home);
        let said = said(&request(&*channel, samples::low_stock()));
        let changed = ["5 → 2", "5 -> 2"]
            .iter()
            .any(|change| said.contains(change))
            || (said.contains("before=")
                && said.contains("available=5")
                && said.contains("available=2"));
        assert!(changed, "{}: old and new quantity in {said}", case.name);
        let said = said.to_lowercase();
        for wanted in [
            "just 2 units left",
            "milano nord",
            "reserved",
            "threshold",
            "oil",
            "https://stock.example.com/p/oil-5w40?at=milano",
        ] {
            assert!(said.contains(wanted), "{}: {wanted} in {said}", case.name);
        }
    }
}

/// Messages that strain the limits, each in its own way.
fn big_messages() -> Vec<Message> {
    let mut listing = samples::full(AlertKind::FeedSuspect, RevisionKind::Opened);
    listing.notes = (1..=500)
        .map(|n| format!("SKU-{n:05} <Oil & Filter> would be removed"))
        .collect();
    let mut wordy = samples::low_stock();
    wordy.product = "Größe 🚗 & <b>".repeat(400);
    wordy.location = Some("在庫 ".repeat(800));
    wordy.why = Some("x&".repeat(3000));
    wordy.link = Some(format!("https://stock.example.com/{}", "p".repeat(4000)));
    let mut bare = samples::bare(AlertKind::LowStock, RevisionKind::Resolved);
    bare.product = String::new();
    vec![samples::low_stock(), listing, wordy, bare]
}

#[test]
fn a_request_keeps_to_the_vendors_description_and_limits_whatever_it_holds() {
    for case in all() {
        let channel = case.channel(case.home);
        for (index, message) in big_messages().into_iter().enumerate() {
            let faults = (case.faults)(&request(&*channel, message));
            assert!(
                faults.is_empty(),
                "{}, message {index}: {faults:?}",
                case.name
            );
        }
    }
}

#[test]
fn notes_left_out_are_counted() {
    for case in all() {
        let channel = case.channel(case.home);
        let [_, listing, ..] = &big_messages()[..] else {
            panic!("four messages");
        };
        let said = said(&request(&*channel, listing.clone()));
        let shown = said.matches("would be removed").count();
        // Mail in two forms says everything twice.
        let forms = if case.name == "sendgrid_content" {
            2
        } else {
            1
        };
        let left_out = ["… and ", "... and ", "notes_left_out="]
            .iter()
            .find_map(|mark| {
                let (_, rest) = said.split_once(mark)?;
                rest.split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse::<usize>()
                    .ok()
            });
        assert_eq!(
            shown / forms + left_out.unwrap_or_default(),
            500,
            "{}: {said}",
            case.name
        );
    }
}

#[test]
fn every_attempt_carries_the_same_key() {
    for case in all() {
        let channel = case.channel(case.home);
        let letter = Letter::new(samples::low_stock(), &*channel);
        let at = |attempt: u32, key| {
            let later = now() + SignedDuration::from_mins(10) * i32::try_from(attempt).unwrap();
            let envelope = Envelope {
                attempt,
                key,
                now: later,
                ..letter.envelope()
            };
            match channel.step(&envelope, &[]).unwrap() {
                Step::Send(request) => request,
                other => panic!("{other:?}"),
            }
        };
        let (first, third, other) = (at(1, KEY), at(3, KEY), at(1, "0199b6a1/2/ops.desk"));
        assert_eq!(first.body, third.body, "{}", case.name);
        if let Some(key) = case.key {
            assert_eq!(key(&first), key(&third), "{}", case.name);
            assert_ne!(key(&first), key(&other), "{}", case.name);
        }
    }
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let http = http(Duration::from_secs(5));
    for case in all() {
        let vendor = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(401))
            .mount(&vendor)
            .await;
        let settings = case.settings(&vendor.uri());
        let channel = case.channel(&vendor.uri());
        let exchange = attempt(&*channel, &http).await;
        let secrets = channel.secrets();
        assert!(!secrets.is_empty(), "{}", case.name);
        let masked = serde_json::to_string(&mask(&exchange.requests[0], &secrets)).unwrap();
        let shown = format!("{masked} {exchange:?} {settings:?}");
        for reference in settings.secret_refs() {
            let secret = cases::secret(reference, &vendor.uri());
            assert!(
                !shown.contains(secret.expose_secret()),
                "{}: {shown}",
                case.name
            );
        }
        assert!(!shown.contains("hunter2"), "{}: {shown}", case.name);
    }
}

#[test]
fn the_golden_requests() {
    for case in all() {
        let channel = case.channel(case.home);
        let request = request(&*channel, samples::low_stock());
        let masked = mask(&request, &channel.secrets());
        let shown = serde_json::json!({
            "request": format!("{} {}", masked.method, masked.url),
            "headers": masked.headers,
            "body": body(&request),
        });
        insta::assert_json_snapshot!(case.name, shown);
    }
}

#[test]
fn settings_are_refused_by_the_name_of_the_field() {
    for case in all() {
        let read = |table| case.kind.settings(table).map(drop);
        let table = case.table(case.home);
        assert_eq!(read(table.clone()), Ok(()), "{}", case.name);

        let mut extra = table.clone();
        extra.insert("chanel".into(), "x".into());
        assert_eq!(read(extra).unwrap_err().field, "chanel", "{}", case.name);

        for field in case.kind.documentation() {
            let mut missing = table.clone();
            missing.remove(field.name);
            if field.required {
                let error = read(missing).unwrap_err();
                assert_eq!(error.field, field.name, "{}: {error}", case.name);
            }
            let mut wrong = table.clone();
            let value = match field.form {
                Form::Number | Form::Flag => toml::Value::from("many"),
                _ => toml::Value::from(5),
            };
            wrong.insert(field.name.into(), value);
            let error = read(wrong).unwrap_err();
            assert_eq!(error.field, field.name, "{}: {error}", case.name);
            if field.form == Form::Secret {
                let mut plain = table.clone();
                plain.insert(field.name.into(), "hunter2".into());
                let error = read(plain).unwrap_err();
                assert_eq!(error.field, field.name, "{}: {error}", case.name);
                assert!(!error.to_string().contains("hunter2"), "{error}");
            }
        }
    }
}

#[test]
fn the_documentation_lists_exactly_the_settings_there_are() {
    for kind in ChannelKind::ALL {
        let unknown = toml::Table::from_iter([("?".to_owned(), toml::Value::from(1))]);
        let problem = kind.settings(unknown).unwrap_err().problem;
        // "unknown field `?`, expected one of `url`, `token`"
        let mut known: Vec<_> = problem.split('`').skip(3).step_by(2).collect();
        let mut documented: Vec<_> = kind
            .documentation()
            .iter()
            .map(|field| field.name)
            .collect();
        assert_eq!(known, documented, "{kind}");
        known.sort_unstable();
        documented.dedup();
        assert_eq!(known.len(), documented.len(), "{kind}");
        let schema = kind.schema();
        assert_eq!(
            schema["properties"].as_object().unwrap().len(),
            known.len(),
            "{kind}"
        );
    }
}

#[test]
fn a_kind_is_known_by_its_name() {
    let names: Vec<_> = ChannelKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names, ["slack", "twilio_sms", "sendgrid", "webhook"]);
    for kind in ChannelKind::ALL {
        let text = serde_json::to_string(kind).unwrap();
        assert_eq!(text, format!("\"{kind}\""));
        assert_eq!(serde_json::from_str::<ChannelKind>(&text).unwrap(), *kind);
    }
    let error = "slak".parse::<ChannelKind>().unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no channel \"slak\"; there are slack, twilio_sms, sendgrid, webhook"
    );
}

#[test]
fn a_webhook_is_signed_anew_on_each_attempt_with_both_secrets() {
    let case = cases(ChannelKind::Webhook).remove(0);
    let channel = case.channel(case.home);
    let letter = Letter::new(samples::low_stock(), &*channel);
    for (attempt, later) in [(1, 0), (2, 3600)] {
        let sent = now() + SignedDuration::from_secs(later);
        let envelope = Envelope {
            attempt,
            now: sent,
            ..letter.envelope()
        };
        let Step::Send(request) = channel.step(&envelope, &[]).unwrap() else {
            panic!("nothing was sent");
        };
        for name in ["env:NEW_SECRET", "env:OLD_SECRET"] {
            let keys = [cases::secret(&name.parse().unwrap(), "")];
            let keys = standard::secrets(&keys).unwrap();
            let window = ReplayWindow::default();
            let verified = standard::verify(&request.headers, &request.body, &keys, window, sent);
            assert!(verified.is_ok(), "{name}: {verified:?}");
        }
    }
}
