//! Credentials that are missing, refused or changed; and the outbox that stands in for vendors.

use std::sync::Arc;
use std::time::Duration;

use lotwire::outbox::Outbox;
use shared::delivery::Delivered;
use shared::domain::AlertKind;
use shared::domain::alert::AlertState;
use shared::store::intents::IntentState;

use crate::world::{Answer, SECRET, World, webhooks};

const SLACK: &str = "[channels.ops]\nkind = 'slack'\ntoken = 'env:TOKEN'\nchannel = 'C1'\n";

#[tokio::test(start_paused = true)]
async fn without_credentials_nothing_is_sent_and_that_is_what_is_said() {
    let world = World::new(SLACK).await;
    let not_sent = Delivered::Done(IntentState::NotSent);
    for value in [None, Some("")] {
        world.set("TOKEN", value);
        let alert = format!("a{value:?}");
        let which = world.open(&alert, &["ops"]).await.remove(0);
        assert_eq!(world.look(&which).await, not_sent);
        let intent = world.intent(&which).await;
        assert_eq!(
            intent.last_outcome.as_deref(),
            Some("not_sent: env:TOKEN is not set")
        );
        assert_eq!((world.vendors.count(), intent.attempts), (0, 0));
        assert!(world.attempts(&which).await.is_empty());
    }
    let trouble = world.destination("ops").await.trouble.unwrap();
    assert_eq!(trouble.reason, "env:TOKEN is not set");
}

/// However much waits for a channel that is switched on, so many messages are announced at once.
#[tokio::test(start_paused = true)]
async fn of_what_waits_for_a_channel_so_much_is_announced_at_once_and_the_clock_has_the_rest() {
    let world = World::new(SLACK).await;
    let mut waiting = Vec::new();
    for alert in 0..7 {
        waiting.extend(world.open(&format!("a{alert}"), &["ops"]).await);
    }
    for which in &waiting {
        world.look(which).await;
    }
    let unsent = async |most| world.store.unsent(|_| true, most).await.unwrap().len();
    assert_eq!(unsent(3).await, 3);
    assert_eq!(unsent(100).await, 7);
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    let due = world.due().await;
    assert!(waiting.iter().all(|which| due.contains(which)), "{due:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_still_open_is_told_when_the_channel_comes_alive_and_the_rest_is_not() {
    let world = World::new(SLACK).await;
    let open = world.open("open", &["ops"]).await.remove(0);
    let over = world.open("over", &["ops"]).await.remove(0);
    for which in [&open, &over] {
        assert_eq!(
            world.look(which).await,
            Delivered::Done(IntentState::NotSent)
        );
    }
    let end = world.resolve("over", &["ops"]).await.remove(0);
    world.look(&end).await;
    world.set("TOKEN", Some("xoxb-1"));
    let accepted = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
    world.vendors.always("slack.com", Answer::Body(accepted));

    // The clock finds them: an intent that was not sent stays due.
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    let due = world.due().await;
    assert!(due.contains(&open), "{due:?}");
    for which in due {
        world.look(&which).await;
    }
    assert_eq!(world.intent(&open).await.state, IntentState::Delivered);
    assert_eq!(world.intent(&over).await.state, IntentState::Superseded);
    assert_eq!(world.intent(&end).await.state, IntentState::Superseded);
    assert_eq!(world.vendors.seen("slack.com").len(), 1);
    assert_eq!(world.destination("ops").await.trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_credential_of_the_wrong_form_is_not_live_either() {
    let channel = "[channels.ops]\nkind = 'slack'\nurl = 'env:URL'\n";
    let world = World::new(channel).await;
    world.set("URL", Some("https://hooks.slack.com"));
    let which = world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(
        world.look(&which).await,
        Delivered::Done(IntentState::NotSent)
    );
    let words = world.intent(&which).await.last_outcome.unwrap();
    assert!(words.contains("the address has no path"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_read_anew_before_the_next_attempt() {
    let world = World::new(SLACK).await;
    world.set("TOKEN", Some("xoxb-old"));
    world.vendors.first("slack.com", [Answer::Status(401)]);
    let accepted = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
    world.vendors.always("slack.com", Answer::Body(accepted));
    // Two alerts on one process: the second would find the old token remembered for five minutes.
    let deliverer = world.deliverer();
    let first = world.open("a1", &["ops"]).await.remove(0);
    let denied = deliverer.deliver(&first, world.deadline()).await.unwrap();
    assert!(matches!(denied, Delivered::Again(_)));
    assert_eq!(world.outcomes(&first).await, ["denied"]);
    world.set("TOKEN", None);
    let second = world.open("a2", &["ops"]).await.remove(0);
    deliverer.deliver(&second, world.deadline()).await.unwrap();
    let words = world.intent(&second).await.last_outcome;
    assert_eq!(words.as_deref(), Some("not_sent: env:TOKEN is not set"));
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
        let state = match which.channel.as_str() {
            "hook" => IntentState::Delivered,
            _ => IntentState::NotSent,
        };
        assert_eq!(look, Delivered::Done(state), "{which:?}");
        // A second look finds the same, and shows nothing anew.
        deliverer.deliver(&which, world.deadline()).await.unwrap();
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

/// Where an outbox stands in for vendors nobody is: to be without credentials is how one begins.
#[tokio::test(start_paused = true)]
async fn a_channel_without_credentials_is_told_on_another_one() {
    for stands_in in [false, true] {
        let world = World::new(&format!("{SLACK}{}", webhooks(&[("hook", "")]))).await;
        let deliverer = match stands_in {
            true => {
                let outbox = Outbox::in_memory(world.vendors.clone(), world.clock.clone());
                world.deliverer_over(Arc::new(outbox))
            }
            false => world.deliverer(),
        };
        let which = world.open("a1", &["ops"]).await.remove(0);
        deliverer.deliver(&which, world.deadline()).await.unwrap();
        let told = async || {
            let page = world.store.alerts(AlertState::Open, None, 100).await;
            let mut alerts = page.unwrap().items;
            alerts.retain(|alert| alert.kind == AlertKind::ChannelDown);
            alerts.into_iter().flat_map(|alert| alert.told).count()
        };
        assert_eq!(told().await, usize::from(!stands_in));
        let trouble = world.destination("ops").await.trouble.unwrap();
        assert_eq!(trouble.reason, "env:TOKEN is not set");
        // It has them now, and they are refused: that is told.
        world.set("TOKEN", Some("xoxb-1"));
        world.vendors.always("slack.com", Answer::Status(401));
        let second = world.open("a2", &["ops"]).await.remove(0);
        deliverer.deliver(&second, world.deadline()).await.unwrap();
        assert_eq!(told().await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_its_channel_to_be_live_where_people_were_told_of_the_beginning() {
    let world = World::new(SLACK).await;
    world.set("TOKEN", Some("xoxb-1"));
    let accepted = r#"{"ok":true,"channel":"C1","ts":"17.1"}"#;
    world.vendors.always("slack.com", Answer::Body(accepted));
    let opened = world.open("a1", &["ops"]).await.remove(0);
    world.look(&opened).await;
    world.set("TOKEN", None);
    let end = world.resolve("a1", &["ops"]).await.remove(0);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(16 * 60)).await;
        let not_sent = Delivered::Done(IntentState::NotSent);
        assert_eq!(world.look(&end).await, not_sent);
    }
    world.set("TOKEN", Some("xoxb-2"));
    tokio::time::sleep(Duration::from_secs(16 * 60)).await;
    assert!(world.due().await.contains(&end));
    world.look(&end).await;
    assert_eq!(world.intent(&end).await.state, IntentState::Delivered);
}

/// Whoever waits for a message that was not sent has it looked at, and not again and again.
#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_brought_back_at_most_once_in_two_minutes() {
    let world = World::new(&webhooks(&[("ops", "")])).await;
    world.set("SECRET", None);
    let not_sent = Delivered::Done(IntentState::NotSent);
    let which = world.open("a1", &["ops"]).await.remove(0);
    assert_eq!(world.look(&which).await, not_sent);
    let brought_back = async || {
        let stored = world.store.intents_on("a1", &which.channel).await.unwrap();
        world.store.bring_back(&stored[0]).await.unwrap();
        world.due().await.contains(&which)
    };
    assert!(!world.due().await.contains(&which));
    assert!(brought_back().await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.look(&which).await, not_sent);
    assert!(!brought_back().await);
    tokio::time::sleep(Duration::from_secs(58)).await;
    assert_eq!(world.look(&which).await, not_sent);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(world.look(&which).await, not_sent);
    assert!(!brought_back().await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(brought_back().await);
}
