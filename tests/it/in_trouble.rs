//! A channel that is in trouble when it is taken out of the configuration.

use jiff::SignedDuration;
use serde_json::json;
use shared::delivery::Outcome;
use shared::domain::alert::{AlertState, Ending, Severity};
use shared::domain::message::Message;
use shared::domain::watch::Moment;
use shared::store::Store;
use shared::store::alerts::{Alert, Announcement};
use shared::store::breakers::{Fate, Trouble, TroubleKind, Undelivered};
use shared::store::intents::Intent;

use crate::shopify::Shop;

/// A channel refuses what it is sent, which is told on another; the alert's id.
pub(crate) async fn begins(store: &Store, channel: &str, (other, kind): (&str, &str)) -> String {
    let now = store.clock().now();
    let id = format!("trouble-of-{channel}");
    let message: Message = serde_json::from_value(json!({
        "alert": id, "revision": 1, "change": "opened", "kind": "channel_down",
        "severity": "critical", "subject": { "on": "channel", "channel": channel },
        "at": now, "product": channel, "zone": "UTC",
    }))
    .unwrap();
    let other = other.parse().unwrap();
    let intent = Intent::new(id.clone(), 1, other, kind, now, now);
    let alert = Announcement {
        alert: Alert {
            id: id.clone(),
            kind: message.kind,
            subject: message.subject.clone(),
            severity: message.severity,
            state: AlertState::Open,
            revision: 1,
            opened_at: now,
            updated_at: now,
            message,
            told: vec![intent.channel.clone()],
        },
        before: None,
        intents: vec![intent],
    };
    let trouble = Trouble {
        kind: TroubleKind::Refused,
        reason: "HTTP 410".to_owned(),
        since: Moment(now),
        alert: Some(id.clone()),
    };
    let channel = channel.parse().unwrap();
    let begun = store.begin_trouble(&channel, &trouble, Some(&alert)).await;
    assert!(begun.unwrap());
    id
}

/// A channel wants to be left alone for an hour.
pub(crate) async fn left_alone(store: &Store, channel: &str) {
    let after = Some(SignedDuration::from_hours(1));
    let outcome = (&Outcome::Retry { after }, None);
    let channel = channel.parse().unwrap();
    let message = Undelivered {
        key: "a1-1-out".to_owned(),
        text: "Low stock: Oil".to_owned(),
        severity: Severity::Warning,
    };
    let told = store.tell_breaker(&channel, None, outcome, false, (&message, Fate::Settled));
    told.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_alert_on_a_channel_ends_with_the_channel() {
    let old = "[channels.old]\nkind = \"webhook\"\nurl = \"https://old.example.com/\"\nsecret = \"env:OUT\"\n\
               [channels.out]";
    let shop = Shop::open(&[("[channels.out]", old)]).await;
    let carried = shop.evaluates();
    carried.idle().await;
    let id = begins(&shop.store, "old", ("out", "webhook")).await;
    shop.configure(&[]).await;
    shop.ticks().await;
    carried.idle().await;
    let alert = shop.store.alert(&id).await.unwrap().unwrap();
    assert_eq!(alert.state, AlertState::Resolved);
    assert_eq!(alert.message.ending, Some(Ending::ChannelRemoved));
    let told = shop.store.intents_of(&id).await.unwrap();
    assert_eq!(told.len(), 2, "who heard of it hears of its end: {told:?}");
    let old = "old".parse().unwrap();
    let known = shop.store.destination(&old).await.unwrap();
    assert_eq!(known.trouble, None, "should it come back, it begins anew");
    carried.stop().await;
}
