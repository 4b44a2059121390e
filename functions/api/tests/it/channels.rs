//! Who is reached, what is sent again, and the page that a message links to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::ports::{Liveness, State};
use jiff::SignedDuration;
use lotwire::engine::{Call, Interference, Verdict};
use serde_json::json;
use shared::config::Config;
use shared::domain::alert::{AlertState, RevisionKind, Severity};
use shared::domain::group::{Belongs, Pace};
use shared::domain::message::{Digest, Message, Stock};
use shared::domain::watch::Moment;
use shared::domain::{AlertKind, ChannelName, ConnectorName, Subject};
use shared::store::alerts::{Alert, Announcement};
use shared::store::breakers::{Trouble, TroubleKind};
use shared::store::intents::{Attempt, Intent, IntentState};

use crate::scene::{DOCUMENT, Scene};

fn ops() -> ChannelName {
    "ops".parse().unwrap()
}

/// An installation with one channel in trouble, an open alert that it did not carry, and one that is
/// over.
pub(crate) async fn scene() -> Scene {
    let scene = Scene::new().await;
    with_ops(&scene).await;
    let trouble = Trouble {
        kind: TroubleKind::Refused,
        reason: "HTTP 410".into(),
        since: Moment(scene.store.clock().now()),
        alert: None,
    };
    for (id, state) in [("open", AlertState::Open), ("over", AlertState::Resolved)] {
        let written = announcement(&scene, id, state);
        let channel = format!("for-{id}").parse().unwrap();
        let store = &scene.store;
        assert!(
            store
                .begin_trouble(&channel, &trouble, Some(&written))
                .await
                .unwrap()
        );
    }
    assert!(
        scene
            .store
            .begin_trouble(&ops(), &trouble, None)
            .await
            .unwrap()
    );
    scene
}

const OTHER: &str = "[channels.other]\nkind = 'webhook'\nurl = 'https://other.example.com'\nsecret = 'env:SECRET'\n";

async fn with_ops(scene: &Scene) {
    with(scene, "").await;
}

/// With that channel, and more of the configuration.
async fn with(scene: &Scene, more: &str) {
    let text = format!(
        "{DOCUMENT}\n[channels.ops]\nkind = 'webhook'\nurl = 'https://ops.example.com/hook'\n\
         secret = 'env:SECRET'\n{more}"
    );
    let config = Config::check(&text, "lotwire.toml").unwrap();
    assert!(scene.store.apply_config(&config, "test").await.unwrap());
}

fn announcement(scene: &Scene, id: &str, state: AlertState) -> Announcement {
    let now = scene.store.clock().now();
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
        product: "<script>alert(1)</script>\nOil".into(),
        location: Some("North & Co".into()),
        zone: "Europe/London".into(),
        before: Some(Stock {
            available: 5,
            ..Stock::default()
        }),
        after: Some(Stock {
            available: 2,
            ..Stock::default()
        }),
        threshold: Some(3),
        basis: None,
        rule: Some("low-by-default".into()),
        why: Some("lotwire.toml:41".into()),
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
async fn each_channel_says_whether_it_reaches_anybody_and_why_not() {
    let scene = scene().await;
    let answer = scene.get("/api/v1/channels").await;
    let item = &answer.body["items"][0];
    assert_eq!(item["channel"], "ops");
    assert_eq!(
        (&item["state"], &item["reason"]),
        (&json!("refused"), &json!("HTTP 410"))
    );
}

/// What a laptop can tell of the channel: what keeps it from being live, if anything does.
struct Knows(Option<&'static str>);

#[async_trait::async_trait]
impl Liveness for Knows {
    async fn channels(&self, _: &Config) -> Vec<State<ChannelName>> {
        let problem = self.0.map(str::to_owned);
        let name = ops();
        vec![State {
            name,
            problem,
            note: None,
        }]
    }

    async fn connectors(&self, _: &Config) -> Vec<State<ConnectorName>> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_channel_without_its_credentials_is_not_live_however_that_is_known() {
    const WHY: &str = "env:SECRET is not set";
    // What can be told beforehand, what came of the last message, and how it stands.
    for (known, was_not_sent, is_live) in [
        (None, true, false),
        (None, false, true),
        (Some(Some(WHY)), false, false),
        (Some(Some(WHY)), true, false),
        // It has been set since.
        (Some(None), true, true),
    ] {
        let scene = match known {
            Some(problem) => Scene::with_liveness(Arc::new(Knows(problem))).await,
            None => Scene::new().await,
        };
        with_ops(&scene).await;
        if was_not_sent {
            let trouble = Trouble {
                kind: TroubleKind::NotLive,
                reason: WHY.into(),
                since: Moment(scene.store.clock().now()),
                alert: None,
            };
            let begun = scene.store.begin_trouble(&ops(), &trouble, None).await;
            assert!(begun.unwrap());
        }
        let (state, reason) = if is_live {
            ("live", json!(null))
        } else {
            ("not_live", json!(WHY))
        };
        let answer = scene.get("/api/v1/channels").await;
        let item = &answer.body["items"][0];
        assert_eq!(
            (&item["channel"], &item["state"], &item["reason"]),
            (&json!("ops"), &json!(state), &reason),
            "{known:?}, {was_not_sent}"
        );
        let status = scene.get("/api/v1/status").await.body;
        let item = &status["channels"][0];
        assert_eq!(item["problem"], reason, "{known:?}, {was_not_sent}");
        let resend = scene.ask("POST", "/api/v1/channels/ops/resend");
        let resent = resend.json(&json!({})).send().await.body;
        assert_eq!(resent["not_live"], reason, "{known:?}, {was_not_sent}");
    }
}

/// Counts how often lists are read.
#[derive(Default)]
struct Lists(AtomicUsize);

#[async_trait::async_trait]
impl Interference for Lists {
    async fn before(&self, call: &Call) -> Verdict {
        self.0
            .fetch_add(usize::from(call.operation == "Query"), Ordering::SeqCst);
        Verdict::Proceed
    }
}

#[tokio::test]
async fn a_channel_in_trouble_makes_the_status_no_dearer() {
    let lists = Arc::new(Lists::default());
    let scene = Scene::behind(lists.clone()).await;
    with_ops(&scene).await;
    let read = async || {
        let before = lists.0.load(Ordering::SeqCst);
        let status = scene.get("/api/v1/status").await.body;
        let state = status["channels"][0]["state"].clone();
        (state, lists.0.load(Ordering::SeqCst) - before)
    };
    read().await;
    let (_, well) = read().await;
    let trouble = Trouble {
        kind: TroubleKind::Refused,
        reason: "HTTP 410".into(),
        since: Moment(scene.store.clock().now()),
        alert: None,
    };
    let begun = scene.store.begin_trouble(&ops(), &trouble, None).await;
    assert!(begun.unwrap());
    assert_eq!(read().await, (json!("refused"), well));
}

/// Two were on their way at once, and what came of the one was noted last.
#[tokio::test]
async fn a_channel_does_not_stand_as_it_did_before_something_arrived() {
    let scene = Scene::new().await;
    with_ops(&scene).await;
    let now = scene.store.clock().now();
    let trouble = Trouble {
        kind: TroubleKind::Refused,
        reason: "HTTP 410".into(),
        since: Moment(now),
        alert: None,
    };
    let begun = scene.store.begin_trouble(&ops(), &trouble, None).await;
    assert!(begun.unwrap());
    for (id, seconds, state, problem) in [
        ("before", -5, "refused", json!("HTTP 410")),
        ("since", 5, "live", json!(null)),
    ] {
        let mut written = announcement(&scene, id, AlertState::Open);
        let intent = &mut written.intents[0];
        intent.state = IntentState::Delivered;
        intent.tries = vec![Attempt {
            number: 1,
            at: now + SignedDuration::from_secs(seconds),
            duration_ms: 10,
            outcome: "delivered".into(),
            status: None,
            detail: None,
        }];
        let other = format!("for-{id}").parse().unwrap();
        let begun = scene.store.begin_trouble(&other, &trouble, Some(&written));
        assert!(begun.await.unwrap());
        let status = scene.get("/api/v1/status").await.body;
        let shown = &status["channels"][0];
        assert_eq!(
            (&shown["state"], &shown["problem"]),
            (&json!(state), &problem),
            "{id}"
        );
        let listed = scene.get("/api/v1/channels").await.body;
        let listed = &listed["items"][0];
        assert_eq!(
            (&listed["state"], &listed["reason"]),
            (&json!(state), &problem),
            "{id}"
        );
    }
}

/// No route leads there, and none has to.
#[tokio::test]
async fn that_a_channel_is_down_does_not_count_as_told_to_nobody() {
    let scene = Scene::new().await;
    with_ops(&scene).await;
    let trouble = Trouble {
        kind: TroubleKind::Refused,
        reason: "HTTP 410".into(),
        since: Moment(scene.store.clock().now()),
        alert: None,
    };
    for (id, kind) in [
        ("low", AlertKind::LowStock),
        ("down", AlertKind::ChannelDown),
    ] {
        let mut written = announcement(&scene, id, AlertState::Open);
        (written.alert.kind, written.alert.message.kind) = (kind, kind);
        written.alert.told.clear();
        written.intents.clear();
        let channel = format!("for-{id}").parse().unwrap();
        let begun = scene
            .store
            .begin_trouble(&channel, &trouble, Some(&written));
        assert!(begun.await.unwrap());
    }
    let status = scene.get("/api/v1/status").await.body;
    assert_eq!(status["open_alerts"]["count"], 2, "{status}");
    assert_eq!(status["untold_alerts"]["count"], 1, "{status}");
}

#[tokio::test]
async fn what_is_still_true_and_did_not_arrive_is_sent_again() {
    let scene = scene().await;
    let resend = async |body: serde_json::Value| {
        let ask = scene.ask("POST", "/api/v1/channels/ops/resend");
        ask.json(&body).send().await
    };
    assert_eq!(resend(json!({ "alert": "nobody" })).await.status, 404);
    let answer = resend(json!({ "alert": "over" })).await;
    assert_eq!(
        (answer.status, &answer.body["deliveries"]),
        (202, &json!(0))
    );
    let answer = resend(json!({})).await;
    // It refused the last message, which is no reason why it should refuse the next.
    assert_eq!(
        answer.body,
        json!({
            "deliveries": 1, "never_told": false, "complete": true, "next": null, "not_live": null,
            "perhaps_twice": 0, "waiting": false,
        })
    );
    let intent = async |alert| {
        let stored = scene.store.intent(alert, 1, &ops()).await.unwrap();
        stored.unwrap().data
    };
    let again = intent("open").await;
    assert_eq!((again.state, again.forgiven), (IntentState::Pending, 1));
    assert!(again.due_at <= scene.store.clock().now());
    assert_eq!(intent("over").await.state, IntentState::Rejected);
    let unknown = scene.ask("POST", "/api/v1/channels/nobody/resend");
    assert_eq!(unknown.json(&json!({})).send().await.status, 404);
}

#[tokio::test]
async fn a_channel_that_was_never_told_of_an_alert_is_said_to_miss_nothing_of_it() {
    let scene = scene().await;
    with(&scene, OTHER).await;
    for (channel, never_told) in [("ops", false), ("other", true)] {
        let ask = scene.ask("POST", &format!("/api/v1/channels/{channel}/resend"));
        let body = ask.json(&json!({ "alert": "over" })).send().await.body;
        assert_eq!(
            (&body["deliveries"], &body["never_told"]),
            (&json!(0), &json!(never_told)),
            "{channel}"
        );
    }
}

#[tokio::test]
async fn an_alert_s_page_speaks_in_the_users_own_words() {
    let scene = scene().await;
    let own = "[templates.low_stock]\ntitle = 'Order {{ product }}'\ntext = 'Just {{ available }}, order'\n";
    with(&scene, own).await;
    let key = scene.store.link_key().await.unwrap();
    let target = format!("/api/v1/a/open?k={}", key.token("open"));
    let html = scene.get(&target).await.body;
    let html = html.as_str().unwrap();
    assert!(html.contains("<h1>Just 2, order</h1>"), "{html}");
    assert!(html.contains("<title>Order &lt;script&gt;"), "{html}");
}

#[tokio::test]
async fn a_messages_link_opens_a_page_about_its_alert_and_no_other() {
    let scene = scene().await;
    let key = scene.store.link_key().await.unwrap();
    let page = async |alert: &str, token: &str| {
        let target = format!("/api/v1/a/{alert}?k={token}");
        let ask = scene.ask("GET", &target).header("authorization", "");
        ask.send().await
    };
    let answer = page("open", &key.token("open")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let html = answer.body.as_str().unwrap();
    for wanted in [
        "&lt;script&gt;alert(1)&lt;/script&gt; Oil – just 2 units left.",
        "North &amp; Co",
        "5 → 2",
        "Threshold<td>3",
        "Since",
    ] {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
    assert!(
        !html.contains("<script") && !html.contains("lotwire.toml"),
        "{html}"
    );
    // What was told stays; what has become of it since stands beside it.
    assert!(!html.contains("Available now"), "nobody has stated it");
    scene.stated("OIL", "north", 7).await;
    let html = page("open", &key.token("open")).await.body;
    let html = html.as_str().unwrap();
    for wanted in ["Available now<td>7", "Available<td>5 → 2"] {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
    let over = page("over", &key.token("over")).await.body;
    assert!(!over.as_str().unwrap().contains("Available now"), "{over}");
    let alerts = scene.get("/api/v1/alerts").await.body;
    let now = |id: &str| {
        let mut items = alerts["items"].as_array().unwrap().iter();
        let alert = items.find(|alert| alert["id"] == id);
        alert.unwrap()["now"]["available"].clone()
    };
    assert_eq!((now("open"), now("over")), (json!(7), json!(null)));
    for (alert, token) in [("over", key.token("open")), ("open", String::new())] {
        let answer = page(alert, &token).await;
        assert_eq!(answer.status, 404);
        assert!(!answer.body.to_string().contains("Oil"));
    }
}

#[tokio::test]
async fn a_group_s_message_links_to_a_page_that_leads_to_each_alert() {
    let scene = scene().await;
    let key = scene.store.link_key().await.unwrap();
    let now = scene.store.clock().now();
    let alert = announcement(&scene, "open", AlertState::Open).alert.message;
    let belongs = Belongs {
        route: "all".into(),
        labels: Vec::new(),
        pace: Pace {
            wait: SignedDuration::from_secs(30),
            interval: SignedDuration::from_secs(300),
            repeat: None,
            most: 10,
        },
    };
    let group = belongs.id(&ops());
    let waits = Intent {
        group: Some(Box::new(belongs)),
        ..Intent::new("open", 1, ops(), "webhook", now, now)
    };
    scene.store.enroll(&waits).await.unwrap();
    let group = scene.store.group(&group).await.unwrap().unwrap();
    let speaks = group.data.scheduled(group.data.schedule.begun(now), now);
    let id = speaks.message().to_string();
    let message = Message {
        alert: id.clone(),
        product: "4 alerts".into(),
        digest: Some(Digest {
            total: 4,
            open: 4,
            resolved: 0,
            reminder: false,
            overtaken: Vec::new(),
            alerts: vec![alert.clone()],
        }),
        ..alert
    };
    let begun = scene.store.begin_message(&group, &speaks, &message, now);
    assert!(begun.await.unwrap());
    let target = format!("/api/v1/a/{id}?k={}", key.token(&id));
    let ask = scene.ask("GET", &target).header("authorization", "");
    let answer = ask.send().await;
    assert_eq!(answer.status, 200);
    let html = answer.body.as_str().unwrap();
    let link = format!("<a href=\"open?k={}\">", key.token("open"));
    for wanted in [
        link.as_str(),
        "&lt;script&gt;",
        "… and 3 more",
        "New or changed<td>4",
    ] {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
}
