//! Alerts that a test opens itself, as the evaluator writes them.

use jiff::Timestamp;
use shared::bus::IntentRef;
use shared::domain::alert::{AlertState, RevisionKind, Severity};
use shared::domain::message::{Message, Stock};
use shared::domain::watch::Watch;
use shared::domain::{AlertKind, Subject};
use shared::store::alerts::{Alert, Announcement, Decision, Watched};
use shared::store::intents::Intent;
use shared::store::{Expect, Store};

/// Opens an alert with one intent, for a channel of this kind. The clock is to look after the intent
/// at `due_at`.
pub async fn open(
    store: &Store,
    id: &str,
    channel: &str,
    kind: &str,
    due_at: Timestamp,
) -> IntentRef {
    let now = store.clock().now();
    let subject = Subject::Unit { vin: id.to_owned() };
    let intent = Intent::new(id, 1, channel.parse().unwrap(), kind, now, due_at);
    let which = IntentRef::from(&intent);
    let alert = Alert {
        id: id.to_owned(),
        kind: AlertKind::LowStock,
        subject: subject.clone(),
        severity: Severity::Warning,
        state: AlertState::Open,
        revision: 1,
        opened_at: now,
        updated_at: now,
        message: message(id, now),
        told: Vec::new(),
    };
    let decision = Decision {
        watched: Watched {
            subject,
            kind: AlertKind::LowStock,
            watch: Watch {
                evaluated: 1.into(),
                ..Watch::default()
            },
            due: None,
            tries: 0,
        },
        expect: Expect::Absent,
        retold: Vec::new(),
        announcements: vec![Announcement {
            before: None,
            alert,
            intents: vec![intent],
        }],
    };
    assert!(store.decide(decision).await.unwrap(), "{id} is new");
    which
}

fn message(alert: &str, at: Timestamp) -> Message {
    let stock = |available| {
        Some(Stock {
            on_hand: available,
            available,
            ..Stock::default()
        })
    };
    Message {
        alert: alert.to_owned(),
        revision: 1,
        correlation: None,
        ending: None,
        renamed_to: None,
        renamed_name: None,
        digest: None,
        change: RevisionKind::Opened,
        kind: AlertKind::LowStock,
        severity: Severity::Warning,
        subject: Subject::Unit {
            vin: alert.to_owned(),
        },
        at,
        product: "Oil 5W-40".to_owned(),
        location: Some("North".to_owned()),
        zone: "Europe/London".to_owned(),
        before: stock(5),
        after: stock(2),
        threshold: Some(3),
        basis: None,
        rule: Some("oil".to_owned()),
        why: None,
        days_of_supply: None,
        sold: None,
        notes: Vec::new(),
        link: None,
    }
}
