//! What is done again: what was received applied, and what did not arrive sent.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use shared::domain::alert::{AlertState, RevisionKind, Severity};
use shared::domain::message::Message;
use shared::domain::watch::Moment;
use shared::domain::{AlertKind, ChannelName, Subject};
use shared::store::alerts::{Alert, Announcement};
use shared::store::breakers::{Trouble, TroubleKind};
use shared::store::intents::{Intent, IntentState};
use wiremock::matchers::{body_partial_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// An API that answers with the second and third page of a replay, each to whoever asks from where it
/// begins.
async fn in_pages() -> MockServer {
    let server = MockServer::start().await;
    let page = |cursor: &str, counts: [u32; 5], failed: Value, next: Value| {
        let asked = json!({
            "connector": "erp", "from": "2026-01-15T00:00:00Z", "cursor": cursor,
        });
        let [received, changed, known, quarantined, ignored] = counts;
        let answer = json!({
            "received": received, "changed": changed, "known": known,
            "quarantined": quarantined, "ignored": ignored, "failed": failed, "next": next,
        });
        Mock::given(method("POST"))
            .and(path("/api/v1/replays"))
            .and(header("authorization", "Bearer open sesame"))
            .and(body_partial_json(asked))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
    };
    let failed = json!([{ "id": "msg-17", "detail": "the table is busy" }]);
    for page in [
        page("second", [10, 0, 8, 1, 0], failed, json!("third")),
        page("third", [4, 3, 1, 0, 1], json!([]), Value::Null),
    ] {
        page.mount(&server).await;
    }
    server
}

#[tokio::test]
async fn a_long_replay_is_gone_through_to_its_end_and_shows_how_far_it_is() {
    let server = in_pages().await;
    // Nobody has a cursor at first.
    let first = json!({
        "received": 10, "changed": 1, "known": 9, "quarantined": 0, "ignored": 2, "failed": [],
        "next": "second",
    });
    Mock::given(method("POST"))
        .and(path("/api/v1/replays"))
        .and(|request: &wiremock::Request| {
            let asked: Value = request.body_json().unwrap();
            asked["cursor"].is_null() && asked["connector"] == "erp"
        })
        .respond_with(ResponseTemplate::new(200).set_body_json(first))
        .mount(&server)
        .await;
    let (url, directory) = (server.uri(), tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("token"), "open sesame\n").unwrap();
    let data = directory.path().display().to_string();
    let line = [
        "replay",
        "--connector",
        "erp",
        "--from",
        "2026-01-15T00:00:00Z",
    ];
    let server = ["--url", &url, "--data", &data];
    let (code, text) = run(line.into_iter().chain(server)).await;
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "10 received payloads looked at",
            "20 received payloads looked at",
            "24 payloads: 4 rows changed the stock, 18 known, 1 quarantined, 3 ignored",
            "msg-17: the table is busy",
        ]
    );
    assert_eq!(code, 1, "one of them failed");

    // A day is the server's to understand, by its account's zone; what is neither is told before it is asked.
    let line_of = |from| ["lotwire", "replay", "--connector", "erp", "--from", from];
    let day = Cli::try_parse_from(line_of("2026-01-15")).unwrap().command;
    assert!(
        matches!(&day, Some(Command::Replay { from: Some(day), .. }) if day == "2026-01-15"),
        "{day:?}"
    );
    let told = Cli::try_parse_from(line_of("15.01.2026"))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("write a day, such as 2026-01-15, or a time,"),
        "{told}"
    );

    let machine = line.into_iter().chain(["--json"]).chain(server);
    let (code, text) = run(machine).await;
    assert_eq!(code, 1);
    let (_, answer) = text.split_once('{').unwrap();
    let answer: Value = serde_json::from_str(&format!("{{{answer}")).unwrap();
    let counts = json!({
        "received": 24, "changed": 4, "known": 18, "quarantined": 1, "ignored": 3,
    });
    assert_eq!(answer["counts"], counts);
    assert_eq!(answer["failed"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_page_that_a_busy_server_turns_away_is_sent_again_and_an_end_says_how_far_it_came() {
    let server = MockServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let rows: String = (0..600).map(|row| format!("SKU-{row},{row}\n")).collect();
    std::fs::write(at("stock.csv"), format!("product,on_hand\n{rows}")).unwrap();
    std::fs::write(at("token"), "open sesame\n").unwrap();
    let (file, url, data) = (at("stock.csv"), server.uri(), at(""));
    let line = ["import", &file, "--yes", "--url", &url, "--data", &data];
    let imports = || Mock::given(method("POST")).and(path("/api/v1/imports"));
    // The second of two pages.
    let turned_away = |status: u16, times: u64| {
        imports()
            .and(query_param("dry_run", "false"))
            .and(query_param("line", "352"))
            .respond_with(ResponseTemplate::new(status))
            .up_to_n_times(times)
    };
    // Turned away so; then the exit code, what is said, and how often the page was sent.
    let cases = [
        (vec![(503, 2), (429, 1)], 0, "done: 2 new", 4),
        (
            vec![(503, 100)],
            3,
            "350 of 600 rows were applied; the same command may be repeated",
            5,
        ),
        (vec![(422, 100)], 2, "350 of 600 rows were applied", 1),
    ];
    for (answers, expected, said, times) in cases {
        server.reset().await;
        for (status, times) in answers {
            turned_away(status, times).mount(&server).await;
        }
        let taken = ResponseTemplate::new(200).set_body_json(json!({ "counts": { "new": 1 } }));
        imports().respond_with(taken).mount(&server).await;
        let (code, text) = run(line.into_iter()).await;
        assert_eq!(code, expected, "{text}");
        assert!(text.contains(said), "{text}");
        let asked = server.received_requests().await.unwrap();
        // Two to compare, and the first page.
        assert_eq!(asked.len(), 3 + times, "{text}");
        let keys: BTreeSet<_> = asked
            .iter()
            .map(|it| it.headers.get("idempotency-key"))
            .collect();
        assert!(keys.len() == 1 && !keys.contains(&None), "{keys:?}");
    }
}

fn ops() -> ChannelName {
    "ops".parse().unwrap()
}

/// An alert whose message the channel refused.
fn refused(id: &str, state: AlertState, now: Timestamp) -> Announcement {
    let subject = Subject::Position {
        product: "OIL".parse().unwrap(),
        location: "north".parse().unwrap(),
    };
    let message = Message {
        alert: id.into(),
        revision: 1,
        correlation: None,
        change: RevisionKind::Opened,
        ending: None,
        renamed_to: None,
        renamed_name: None,
        kind: AlertKind::LowStock,
        severity: Severity::Warning,
        subject: subject.clone(),
        at: now,
        product: "Oil".into(),
        location: Some("North".into()),
        zone: "Europe/London".into(),
        before: None,
        after: None,
        threshold: Some(3),
        basis: None,
        rule: None,
        why: None,
        days_of_supply: None,
        sold: None,
        notes: Vec::new(),
        link: None,
        digest: None,
    };
    let intent = Intent {
        state: IntentState::Rejected,
        attempts: 1,
        ..Intent::new(id, 1, ops(), "webhook", now, now)
    };
    Announcement {
        intents: vec![intent],
        before: None,
        alert: Alert {
            id: id.into(),
            kind: message.kind,
            subject,
            severity: message.severity,
            state,
            revision: 1,
            opened_at: now,
            updated_at: now,
            message,
            told: vec![ops()],
        },
    }
}

#[tokio::test]
async fn what_a_channel_refused_and_is_still_true_is_sent_again() {
    let site = Site::open().await;
    let document = format!(
        "{DOCUMENT}\n[channels.ops]\nkind = 'webhook'\nurl = 'https://ops.example.com/hook'\n\
         secret = 'env:SECRET'\n"
    );
    let file = site.file("lotwire.toml", &document);
    assert_eq!(site.run(&["apply", &file, "--yes"]).await.0, 0);
    let now = site.store.clock().now();
    let trouble = Trouble {
        kind: TroubleKind::Refused,
        reason: "HTTP 404".into(),
        since: Moment(now),
        alert: None,
    };
    for (id, state) in [
        ("first", AlertState::Open),
        ("over", AlertState::Resolved),
        ("second", AlertState::Open),
    ] {
        let written = refused(id, state, now);
        // Of some channel: the alert is what is to be there.
        let of = format!("for-{id}").parse().unwrap();
        let begun = site.store.begin_trouble(&of, &trouble, Some(&written));
        assert!(begun.await.unwrap());
    }
    let state = async |id: &str| {
        let stored = site.store.intent(id, 1, &ops()).await.unwrap();
        stored.unwrap().data.state
    };
    let (code, text) = site.run(&["resend", "ops", "--alert", "over"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "Nothing that is still true is missing on ops.\n")
    );
    let (code, text) = site.run(&["resend", "ops", "--alert", "first"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "1 message is sent again on ops, within a minute.\n")
    );
    assert_eq!(state("first").await, IntentState::Pending);
    assert_eq!(state("second").await, IntentState::Rejected);
    // The first waits still, and is to go out as soon.
    let (code, text) = site.run(&["resend", "ops"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "2 messages are sent again on ops, within a minute.\n")
    );
    assert_eq!(state("second").await, IntentState::Pending);
    // A page whose vendor has not answered, and that must not come twice.
    let mut unknown = refused("third", AlertState::Open, now);
    for intent in &mut unknown.intents {
        intent.perhaps_sent = true;
    }
    let of = "for-third".parse().unwrap();
    let begun = site.store.begin_trouble(&of, &trouble, Some(&unknown));
    assert!(begun.await.unwrap());
    let (code, text) = site.run(&["resend", "ops", "--alert", "third"]).await;
    let said = "1 message is sent again on ops, within a minute.\nIt may have arrived before.\n";
    assert_eq!((code, text.as_str()), (0, said));
    assert_eq!(state("over").await, IntentState::Rejected);
    let (code, text) = site.run(&["resend", "nobody"]).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("there is no channel `nobody`"), "{text}");
}

/// Behind a page on which nothing is missing there may be one on which something is.
#[tokio::test]
async fn a_resend_is_gone_through_to_its_end() {
    let server = MockServer::start().await;
    for (cursor, deliveries, next) in [
        (Value::Null, 0, json!("second")),
        (json!("second"), 2, json!("third")),
        (json!("third"), 0, Value::Null),
    ] {
        let answer = json!({
            "deliveries": deliveries, "complete": next.is_null(), "next": next, "not_live": null,
        });
        Mock::given(method("POST"))
            .and(path("/api/v1/channels/ops/resend"))
            .and(move |request: &wiremock::Request| {
                let asked: Value = request.body_json().unwrap();
                asked["cursor"] == cursor
            })
            .respond_with(ResponseTemplate::new(202).set_body_json(answer))
            .mount(&server)
            .await;
    }
    let (url, directory) = (server.uri(), tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("token"), "open sesame\n").unwrap();
    let data = directory.path().display().to_string();
    let (code, text) = run(["resend", "ops", "--url", &url, "--data", &data].into_iter()).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.ends_with("2 messages are sent again on ops, within a minute.\n"),
        "{text}"
    );
}
