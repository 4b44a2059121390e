//! Credentials that are missing, refused or changed; and the outbox that stands in for vendors.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lotwire::outbox::Outbox;
use shared::delivery::Delivered;
use shared::store::intents::IntentState;

use crate::world::{Answer, SECRET, World, webhooks};

const SLACK: &str = "[channels.ops]\nkind = 'slack'\ntoken = 'env:TOKEN'\nchannel = 'C1'\n";

#[tokio::test(start_paused = true)]
async fn a_missing_credential_is_a_denied_attempt_that_names_the_reference() {
    let world = World::new(SLACK).await;
    let which = world.open("a1", &["ops"]).await.remove(0);
    let Delivered::Again(wait) = world.look(&which).await else {
        panic!("it may be set later");
    };
    assert!(wait >= SignedDuration::from_mins(15), "{wait}");
    assert_eq!(world.vendors.count(), 0);
    let attempt = world.attempts(&which).await.remove(0);
    assert_eq!(attempt.outcome, "denied");
    assert_eq!(attempt.detail.as_deref(), Some("env:TOKEN is not set"));

    // Once it is set, the alert still arrives.
    world
        .environment
        .lock()
        .unwrap()
        .insert("TOKEN".into(), "xoxb-1".into());
    let accepted = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
    world.vendors.always("slack.com", Answer::Body(accepted));
    tokio::time::sleep(wait.unsigned_abs()).await;
    assert_eq!(
        world.look(&which).await,
        Delivered::Done(IntentState::Delivered)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_read_anew_before_the_next_attempt() {
    let world = World::new(SLACK).await;
    let set = |token: &str| {
        let mut environment = world.environment.lock().unwrap();
        environment.insert("TOKEN".into(), token.into());
    };
    set("xoxb-old");
    world.vendors.first("slack.com", [Answer::Status(401)]);
    let accepted = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
    world.vendors.always("slack.com", Answer::Body(accepted));
    // Two alerts on one process: the second would find the old token remembered for five minutes.
    let deliverer = world.deliverer();
    let first = world.open("a1", &["ops"]).await.remove(0);
    let denied = deliverer.deliver(&first, world.deadline()).await.unwrap();
    assert!(matches!(denied, Delivered::Again(_)));
    assert_eq!(world.outcomes(&first).await, ["denied"]);
    world.environment.lock().unwrap().remove("TOKEN");
    let second = world.open("a2", &["ops"]).await.remove(0);
    deliverer.deliver(&second, world.deadline()).await.unwrap();
    let detail = world.attempts(&second).await.remove(0).detail;
    assert_eq!(detail.as_deref(), Some("env:TOKEN is not set"));
}

#[tokio::test(start_paused = true)]
async fn where_credentials_are_missing_the_outbox_shows_the_exact_request() {
    let channels = format!(
        "{SLACK}[channels.text]\nkind = 'twilio_sms'\naccount_sid = \
         'AC00000000000000000000000000000001'\nauth_token = 'env:AUTH'\nfrom = '+15005550006'\n\
         to = '+393331234567'\n{}",
        webhooks(&[("hook", "")])
    );
    let world = World::new(&channels).await;
    let outbox = Outbox::in_memory(world.vendors.clone(), world.clock.clone());
    let deliverer = world.deliverer_over(Arc::new(outbox.clone()));
    for which in world.open("a1", &["ops", "text", "hook"]).await {
        let look = deliverer.deliver(&which, world.deadline()).await.unwrap();
        assert_eq!(look, Delivered::Done(IntentState::Delivered), "{which:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let shown = serde_json::to_value(outbox.entries()).unwrap();
    let [hook, text, slack] = shown.as_array().unwrap().as_slice() else {
        panic!("{shown}");
    };
    assert_eq!(slack["channel"], "ops");
    assert_eq!(slack["url"], "https://slack.com/api/chat.postMessage");
    assert_eq!(
        (&slack["sent"], &slack["status"]),
        (&false.into(), &200.into())
    );
    assert!(
        slack["body"]
            .as_str()
            .unwrap()
            .contains("just 2 units left")
    );
    assert!(text["url"].as_str().unwrap().ends_with("/Messages.json"));
    assert!(
        text["body"]
            .as_str()
            .unwrap()
            .contains("To=%2B393331234567")
    );
    // The one whose secret is set really left, and does not show it.
    assert_eq!(
        (&hook["sent"], &hook["status"]),
        (&true.into(), &200.into())
    );
    assert_eq!(world.vendors.seen("hook.example.com").len(), 1);
    assert_eq!(world.vendors.count(), 1);
    assert!(
        !shown
            .to_string()
            .contains(SECRET.trim_start_matches("whsec_"))
    );
    assert!(!shown.to_string().contains("whsec_"));
}
