//! What opens and closes an alert besides stock itself: groups whose members change, rules that are
//! removed, muted or changed; and who is told when one change sets off several alerts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{Call, Interference, Service, Verdict};
use lotwire::stack::resources::TABLE;
use shared::config::Config;
use shared::domain::alert::{AlertState, Ending, RevisionKind};
use shared::domain::watch::{Moment, Watch};
use shared::domain::{AlertKind, Authority, Severity, Subject};
use shared::render::Templates;
use shared::store::Expect;
use shared::store::alerts::{Decision, Watched};
use shared::store::row::FORMAT_ATTRIBUTE;
use shared::store::stock::ApplyError;

use crate::bench::{at, level};
use crate::desk::{Desk, EVERYBODY, LOW, OUT, SUM, TOGETHER, config};

#[tokio::test(start_paused = true)]
async fn an_alert_that_comes_after_others_on_its_item_waits_for_what_was_said_of_them() {
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + LOW + OUT))).await;
    for on_hand in [2, 0, 9, 0] {
        desk.states("north", on_hand).await;
    }
    let opened = desk.alerts(AlertState::Open).await;
    let again = opened
        .iter()
        .find(|alert| alert.kind == AlertKind::OutOfStock)
        .unwrap();
    let over = desk.alerts(AlertState::Resolved).await;
    let intents = desk.store.intents_of(&again.id).await.unwrap();
    for intent in &intents {
        for earlier in &over {
            assert!(intent.follows.contains(&earlier.id), "{intent:?}");
        }
    }
    assert!(!intents.is_empty() && !over.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_location_that_leaves_a_group_does_not_keep_the_group_from_being_watched() {
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + SUM))).await;
    desk.states("north", 20).await;
    for on_hand in 0..40 {
        desk.states("south", on_hand % 2).await;
    }
    // It opens and closes once, so that the watch has seen what the south was.
    desk.states("north", 1).await;
    desk.states("north", 20).await;
    assert_eq!(desk.open().await, []);
    let apart = config(
        &[("north", "\"all\""), ("south", "")],
        &(EVERYBODY.to_owned() + SUM),
    );
    desk.apply(&apart, &["north", "south"]).await;
    desk.states("north", 2).await;
    let low = (AlertKind::LowStock, "OIL in all".to_owned());
    assert_eq!(desk.open().await, [low]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_over_a_sum_closes_with_its_rule_and_its_group_and_says_why() {
    let muted = SUM.to_owned() + "enabled = false\n";
    let raised = SUM.replace("threshold = 3", "threshold = 1");
    let nobody: &[(&str, &str)] = &[("north", ""), ("south", "")];
    let cases = [
        (TOGETHER, "", Ending::RuleRemoved),
        (TOGETHER, muted.as_str(), Ending::Muted),
        (TOGETHER, raised.as_str(), Ending::RuleChanged),
        (nobody, "", Ending::GroupRemoved),
    ];
    for (places, rules, ending) in cases {
        let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + SUM))).await;
        desk.states("north", 1).await;
        desk.states("south", 1).await;
        assert_eq!(desk.open().await.len(), 1);
        desk.apply(&config(places, &(EVERYBODY.to_owned() + rules)), &["north"])
            .await;
        // By a little, so it has to last: five minutes, and the clock looks again.
        tokio::time::sleep(std::time::Duration::from_secs(400)).await;
        desk.tick().await;
        let over = desk.alerts(AlertState::Resolved).await;
        let last = &over.first().unwrap_or_else(|| panic!("{ending}")).message;
        assert_eq!(last.ending, Some(ending));
        assert_eq!(desk.open().await, []);
        assert_eq!(
            desk.told().await,
            [
                "phone: low_stock opened OIL in all",
                "phone: low_stock resolved OIL in all"
            ]
        );
    }
}

/// A place that joins has enough for all: nothing came back.
#[tokio::test(start_paused = true)]
async fn a_sum_over_more_places_than_when_it_was_low_has_not_recovered() {
    let places = |west: &'static str| [("north", "\"all\""), ("south", "\"all\""), ("west", west)];
    let rest = EVERYBODY.to_owned() + SUM;
    let each = rest.replace("over = \"sum\"\n", "");
    // By how much there is at once, and only after it has lasted.
    for (west, wait) in [(50, 0), (2, 400)] {
        let desk = Desk::new(&config(&places(""), &rest)).await;
        for (place, on_hand) in [("west", west), ("north", 1), ("north", 1), ("south", 1)] {
            desk.states(place, on_hand).await;
        }
        assert_eq!(desk.open().await.len(), 1);
        let joined = config(&places("\"all\""), &rest);
        desk.apply(&joined, &["north"]).await;
        tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
        desk.tick().await;
        let last = async || desk.alerts(AlertState::Resolved).await[0].message.clone();
        assert_eq!(last().await.ending, Some(Ending::RuleChanged), "{west}");
        // What is low over all of them recovers by what comes.
        desk.states("west", 0).await;
        assert_eq!(desk.open().await.len(), 1);
        desk.states("west", 50).await;
        assert_eq!(last().await.ending, Some(Ending::Recovered));
        // Nobody has removed a rule that is over each of them now.
        desk.states("west", 0).await;
        desk.apply(&config(&places("\"all\""), &each), &["north"])
            .await;
        let ended = last().await;
        assert_eq!(ended.ending, Some(Ending::RuleRemoved));
        let said = Templates::new().render(&ended, &"phone".parse().unwrap());
        assert!(said.text.contains("no rule applies to it"), "{}", said.text);
    }
}

/// What it says has come, wherever else is added up by then.
#[tokio::test(start_paused = true)]
async fn a_sum_recovers_by_what_comes_although_a_place_has_joined_meanwhile() {
    let places = |west: &'static str| [("north", "\"all\""), ("south", "\"all\""), ("west", west)];
    let rest = EVERYBODY.to_owned() + SUM;
    for west in [None, Some(0)] {
        let desk = Desk::new(&config(&places(""), &rest)).await;
        if let Some(on_hand) = west {
            desk.states("west", on_hand).await;
        }
        for (place, on_hand) in [("north", 9), ("south", 9), ("north", 1), ("south", 1)] {
            desk.states(place, on_hand).await;
        }
        assert_eq!(desk.open().await.len(), 1);
        // By a little, so it has to last.
        desk.states("south", 4).await;
        assert_eq!(desk.open().await.len(), 1);
        desk.apply(&config(&places("\"all\""), &rest), &["north"])
            .await;
        desk.states("north", 40).await;
        let over = desk.alerts(AlertState::Resolved).await;
        let endings: Vec<_> = over.iter().map(|alert| alert.message.ending).collect();
        assert_eq!(endings, [Some(Ending::Recovered)], "{west:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_only_waits_covers_nothing() {
    let rules = OUT.to_owned() + "pending = \"30m\"\n" + LOW;
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + &rules))).await;
    desk.states("north", 9).await;
    desk.states("north", 0).await;
    assert_eq!(desk.told().await, ["phone: low_stock opened OIL at north"]);
    tokio::time::sleep(std::time::Duration::from_secs(31 * 60)).await;
    desk.tick().await;
    let out = (AlertKind::OutOfStock, "OIL at north".to_owned());
    assert!(desk.open().await.contains(&out));
}

#[tokio::test(start_paused = true)]
async fn what_an_alert_covered_is_told_when_its_rule_goes() {
    let both = config(TOGETHER, &(EVERYBODY.to_owned() + LOW + SUM));
    let sum = config(TOGETHER, &(EVERYBODY.to_owned() + SUM));
    let single = config(TOGETHER, &(EVERYBODY.to_owned() + LOW));
    // The sum's rule was there before the single one goes, or takes its place.
    for first in [both.clone(), single] {
        let desk = Desk::new(&first).await;
        desk.states("north", 9).await;
        desk.states("north", 2).await;
        assert_eq!(desk.told().await, ["phone: low_stock opened OIL at north"]);
        let covered = desk.covered().await;
        desk.apply(&sum, &["north"]).await;
        // What people are told of is not covered.
        assert_eq!(
            (covered, desk.covered().await),
            (usize::from(first == both), 0)
        );
        let mut told = desk.told().await;
        told.sort();
        assert_eq!(
            told,
            [
                "phone: low_stock opened OIL at north",
                "phone: low_stock opened OIL in all",
                "phone: low_stock resolved OIL at north",
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_alert_covered_is_told_when_its_place_leaves_the_group() {
    let rules = LOW.to_owned() + "group = \"all\"\n" + &SUM.replace("= 3", "= 8");
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + &rules))).await;
    desk.states("south", 9).await;
    desk.states("north", 7).await;
    desk.states("south", 1).await;
    assert_eq!(desk.told().await, ["phone: low_stock opened OIL at south"]);
    let apart = [("north", "\"all\""), ("south", "")];
    let apart = config(&apart, &(EVERYBODY.to_owned() + &rules));
    desk.apply(&apart, &["north", "south"]).await;
    let told = desk.told().await;
    let sum = "phone: low_stock opened OIL in all".to_owned();
    assert!(told.contains(&sum), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn where_a_rule_ends_nothing_has_come_back() {
    let back = r#"
[[routes]]
name = "good-news"
kinds = ["back_in_stock"]
channels = ["buyers"]
"#;
    let routes = "[[routes]]\nname = \"all\"\nkinds = [\"out_of_stock\"]\nchannels = [\"phone\"]\n"
        .to_owned()
        + back;
    let muted = OUT.to_owned() + "enabled = false\n";
    let gone: &[(&str, &str)] = &[("south", "")];
    let cases = [
        (TOGETHER, muted.as_str(), Ending::Muted),
        (TOGETHER, "", Ending::RuleRemoved),
        (gone, OUT, Ending::LocationRemoved),
    ];
    for (places, rules, ending) in cases {
        let desk = Desk::new(&config(TOGETHER, &(routes.clone() + OUT))).await;
        desk.states("north", 4).await;
        desk.states("north", 0).await;
        desk.apply(&config(places, &(routes.clone() + rules)), &["north"])
            .await;
        let over = desk.alerts(AlertState::Resolved).await;
        let kinds: Vec<_> = over.iter().map(|alert| alert.kind).collect();
        assert_eq!(kinds, [AlertKind::OutOfStock], "{ending}");
        let message = &over[0].message;
        assert_eq!(message.ending, Some(ending));
        assert_eq!(message.location.as_deref(), Some("NORTH"), "{ending}");
        let said = Templates::new().render(message, &"phone".parse().unwrap());
        let words = format!("{} {}", said.title, said.text).to_lowercase();
        assert!(words.contains("no longer watched"), "{words}");
        for wrong in ["back", "recovered", "no longer out"] {
            assert!(!words.contains(wrong), "{words}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_change_is_one_message_for_each_person_and_nothing_is_hidden() {
    let routes = r#"
[[routes]]
name = "all"
channels = ["phone"]
[[routes]]
name = "sums"
groups = ["all"]
kinds = ["low_stock"]
channels = ["buyers"]
"#;
    let rules = OUT.to_owned() + SUM;
    let desk = Desk::new(&config(TOGETHER, &(routes.to_owned() + &rules))).await;
    desk.states("south", 1).await;
    desk.states("north", 5).await;
    let before = desk.told().await.len();
    desk.states("north", 0).await;
    let out = (AlertKind::OutOfStock, "OIL at north".to_owned());
    let low = (AlertKind::LowStock, "OIL in all".to_owned());
    assert_eq!(desk.open().await, [low, out], "both are open");
    let mut told = desk.told().await.split_off(before);
    told.sort();
    assert_eq!(
        told,
        [
            "buyers: low_stock opened OIL in all",
            "phone: out_of_stock opened OIL at north"
        ]
    );
    // The graver one is over, and they are still low together: now the phone is told of that.
    desk.states("north", 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(400)).await;
    desk.tick().await;
    let told = desk.told().await;
    assert!(
        told.contains(&"phone: out_of_stock resolved OIL at north".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"phone: low_stock updated OIL in all".to_owned()),
        "{told:?}"
    );
    assert!(
        !told.contains(&"buyers: low_stock updated OIL in all".to_owned()),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_further_fall_is_not_told_beside_a_graver_alert_of_the_same_change() {
    let routes = r#"
[[routes]]
name = "all"
channels = ["phone"]
[[routes]]
name = "sums"
groups = ["all"]
kinds = ["low_stock"]
channels = ["buyers"]
"#;
    let rules = OUT.to_owned() + SUM;
    let desk = Desk::new(&config(TOGETHER, &(routes.to_owned() + &rules))).await;
    desk.states("north", 2).await;
    desk.states("north", 0).await;
    // And it is no news later either.
    desk.look("north").await;
    desk.states("south", 0).await;
    let mut told = desk.told().await;
    told.sort();
    assert_eq!(
        told,
        [
            "buyers: low_stock opened OIL in all",
            "buyers: low_stock updated OIL in all",
            "phone: low_stock opened OIL in all",
            "phone: out_of_stock opened OIL at north",
            "phone: out_of_stock opened OIL at south",
        ]
    );
}

/// Lets one transaction through once it is set, and crashes at the next.
#[derive(Default)]
struct Crashes(AtomicUsize);

#[async_trait]
impl Interference for Crashes {
    async fn before(&self, call: &Call) -> Verdict {
        if call.service != Service::DynamoDb || call.operation != "TransactWriteItems" {
            return Verdict::Proceed;
        }
        let left = self.0.load(Ordering::SeqCst);
        match left {
            0 => return Verdict::Proceed,
            1 => {}
            _ => {
                self.0.store(left - 1, Ordering::SeqCst);
                return Verdict::Proceed;
            }
        }
        Verdict::Crash
    }
}

fn sixty_channels() -> Config {
    let mut rest = LOW.to_owned();
    let names: Vec<_> = (0..60).map(|number| format!("c{number}")).collect();
    for name in &names {
        rest += &format!(
            "[channels.{name}]\nkind = \"slack\"\nurl = \"env:{}\"\n",
            name.to_uppercase()
        );
    }
    let list = names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    rest +=
        &format!("[[routes]]\nname = \"all\"\nchannels = [{list}]\ngroup_by = [\"location\"]\n");
    config(TOGETHER, &rest)
}

#[tokio::test(start_paused = true)]
async fn an_alert_reaches_more_channels_than_one_transaction_takes_writes() {
    let desk = Desk::new(&sixty_channels()).await;
    desk.states("north", 1).await;
    assert_eq!(desk.told().await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_between_the_transactions_of_an_alert_left_the_clock_writes() {
    let crashes = Arc::new(Crashes::default());
    let desk = Desk::with(&sixty_channels(), Arc::clone(&crashes) as _).await;
    let event = level("generic", 0, "OIL", "north", 1);
    desk.store
        .apply(&event, &Authority::default())
        .await
        .unwrap();
    crashes.0.store(2, Ordering::SeqCst);
    let subject = Subject::Position {
        product: "OIL".parse().unwrap(),
        location: "north".parse().unwrap(),
    };
    let looking = desk.evaluator.look(&subject);
    let looked = tokio::time::timeout(std::time::Duration::from_secs(30), looking).await;
    drop(looked);
    assert_eq!(
        desk.told().await.len(),
        0,
        "the alert is written, its intents are not"
    );
    assert_eq!(desk.alerts(AlertState::Open).await.len(), 1);
    crashes.0.store(0, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    desk.tick().await;
    assert_eq!(desk.told().await.len(), 60);
    desk.tick().await;
    assert_eq!(desk.told().await.len(), 60, "once each");
}

#[tokio::test(start_paused = true)]
async fn a_threshold_for_one_product_stands_beside_it_and_is_seen_without_a_new_version() {
    let desk = Desk::new(&config(TOGETHER, EVERYBODY)).await;
    desk.states("north", 2).await;
    let version = async || {
        desk.store
            .config_head()
            .await
            .unwrap()
            .unwrap()
            .data
            .version
    };
    let before = version().await;
    let low =
        "[[rules]]\nname = \"imported\"\nkind = \"low_stock\"\nproduct = \"OIL\"\nthreshold = 3\n";
    let rule = config(TOGETHER, low).rules.remove(0);
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let row = async || {
        let get = desk.aws.dynamodb().get_item().table_name(TABLE);
        let get = get
            .key("pk", text("P#OIL"))
            .key("sk", text("rule#imported"));
        get.send().await.unwrap().item.unwrap_or_default()
    };
    // Set, and taken away again: each as the stream tells of it.
    desk.store
        .change_rules(std::slice::from_ref(&rule), &[], "test")
        .await
        .unwrap();
    let mut listed = 0;
    let mut cursor = None;
    loop {
        let page = desk
            .store
            .each_imported_rule(cursor.as_deref(), 100)
            .await
            .unwrap();
        listed += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, 1, "it is listed with all others");
    let set = row().await;
    desk.store.change_rules(&[], &[rule], "test").await.unwrap();
    let keys: std::collections::HashMap<_, _> = ["pk", "sk"]
        .into_iter()
        .map(|key| (key.to_owned(), set[key].clone()))
        .collect();
    for (is_set, open) in [(true, 1), (false, 0)] {
        if is_set {
            let rule = config(TOGETHER, low).rules.remove(0);
            desk.store.change_rules(&[rule], &[], "test").await.unwrap();
        } else {
            let rule = config(TOGETHER, low).rules.remove(0);
            desk.store.change_rules(&[], &[rule], "test").await.unwrap();
        }
        let mut record = EventRecord::default();
        record.change.keys = keys.clone().into();
        record.change.old_image = set.clone().into();
        if is_set {
            record.change.new_image = set.clone().into();
        }
        let mut batch = Event::default();
        batch.records.push(record);
        let answer = desk.evaluator.handle(batch, Timestamp::MAX).await;
        assert!(answer.batch_item_failures.is_empty());
        assert_eq!(desk.open().await.len(), open);
    }
    assert_eq!(version().await, before);
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_version_has_written_is_left_as_it_is_and_tried_again() {
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + LOW))).await;
    desk.states("north", 9).await;
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let row = async || {
        let get = desk.aws.dynamodb().get_item().table_name(TABLE);
        let get = get
            .key("pk", text("P#OIL"))
            .key("sk", text("L#north#position"));
        get.send().await.unwrap().item.unwrap()
    };
    let mut newer = row().await;
    let format = aws_sdk_dynamodb::types::AttributeValue::N("3".to_owned());
    newer.insert(FORMAT_ATTRIBUTE.to_owned(), format);
    let put = desk.aws.dynamodb().put_item().table_name(TABLE);
    put.set_item(Some(newer.clone())).send().await.unwrap();
    let event = level("generic", 5, "OIL", "north", 1);
    let refused = desk.store.apply(&event, &Authority::default()).await;
    let Err(ApplyError::Store(refused)) = refused else {
        panic!("{refused:?}");
    };
    assert!(refused.is_transient(), "{refused}");
    assert_eq!(row().await, newer);
    // Nor does an evaluator give up what it cannot read yet.
    let mut record = EventRecord::default();
    record.change.sequence_number = Some("1".to_owned());
    let keys = ["pk", "sk"].map(|key| (key.to_owned(), newer[key].clone()));
    record.change.keys = std::collections::HashMap::from(keys).into();
    record.change.new_image = newer.into();
    let mut batch = Event::default();
    batch.records.push(record);
    let soon = desk.store.clock().now() + SignedDuration::from_secs(2);
    let answer = desk.evaluator.handle(batch, soon).await;
    assert_eq!(answer.batch_item_failures.len(), 1);
}

/// It would drop what the import said beside the number.
#[tokio::test(start_paused = true)]
async fn an_imported_threshold_is_of_a_format_that_an_older_version_leaves_as_it_is() {
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + LOW))).await;
    let rule =
        "[[rules]]\nname = \"oil\"\nkind = \"low_stock\"\nproduct = \"OIL\"\nthreshold = 4\n";
    let with_rule = config(TOGETHER, &format!("{EVERYBODY}{LOW}{rule}"));
    let imported = [with_rule.rules.last().unwrap().clone()];
    desk.store
        .change_rules(&imported, &[], "test")
        .await
        .unwrap();
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let get = desk.aws.dynamodb().get_item().table_name(TABLE);
    let get = get.key("pk", text("P#OIL")).key("sk", text("rule#oil"));
    let item = get.send().await.unwrap().item.unwrap();
    let format = item.get(FORMAT_ATTRIBUTE).and_then(|it| it.as_n().ok());
    assert_eq!(format.map(String::as_str), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_answered_is_asked_ever_more_seldom() {
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + LOW))).await;
    let watched = Watched {
        subject: Subject::Position {
            product: "GONE".parse().unwrap(),
            location: "north".parse().unwrap(),
        },
        kind: AlertKind::LowStock,
        watch: Watch::default(),
        due: Some(Moment(at(0))),
        tries: 0,
    };
    let decision = Decision {
        watched,
        expect: Expect::Absent,
        retold: Vec::new(),
        announcements: Vec::new(),
    };
    assert!(desk.store.decide(decision).await.unwrap());
    let mut looks = 0;
    for _ in 0..60 {
        looks += desk.tick().await.stuck;
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
    assert!((4..8).contains(&looks), "{looks} looks in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_fall_to_half_and_to_nothing_is_told_and_a_day_later_it_is_brought_to_mind() {
    let rules = "[[rules]]\nname = \"low\"\nkind = \"low_stock\"\nthreshold = 4\n";
    let desk = Desk::new(&config(TOGETHER, &(EVERYBODY.to_owned() + rules))).await;
    for on_hand in [9, 4, 3, 2, 1, 0] {
        desk.states("north", on_hand).await;
    }
    let opened = "phone: low_stock opened OIL at north".to_owned();
    let updated = "phone: low_stock updated OIL at north".to_owned();
    assert_eq!(
        desk.told().await,
        [opened.clone(), updated.clone(), updated.clone()]
    );
    tokio::time::sleep(std::time::Duration::from_secs(25 * 3600)).await;
    desk.tick().await;
    assert_eq!(
        desk.told().await,
        [opened, updated.clone(), updated.clone(), updated]
    );
    let last = &desk.alerts(AlertState::Open).await[0].message;
    assert_eq!(last.change, RevisionKind::Updated);
    let changed = "It last changed at 2026-01-15 10:32 CET.";
    assert_eq!(last.notes, ["A reminder: this is still so.", changed]);
}

/// A rule that is gone says nothing of how much its alert mattered; those who were told know.
#[tokio::test(start_paused = true)]
async fn an_end_goes_by_the_severity_that_people_know_whatever_a_rule_says_by_then() {
    const ROUTES: &str = r#"
[[routes]]
name = "beginnings"
channels = ["phone"]
revisions = ["opened"]
min_severity = "warning"
[[routes]]
name = "gathered"
channels = ["buyers"]
min_severity = "warning"
group_by = ["kind"]
"#;
    let muted = LOW.to_owned() + "enabled = false\n";
    let milder = LOW.replace("threshold = 3", "threshold = 1\nseverity = \"info\"");
    for then in ["", &muted, &milder] {
        let desk = Desk::new(&config(TOGETHER, &(ROUTES.to_owned() + LOW))).await;
        desk.states("north", 2).await;
        let after = config(TOGETHER, &(ROUTES.to_owned() + then));
        desk.apply(&after, &["north"]).await;
        assert_eq!(
            desk.told().await,
            [
                "buyers: low_stock opened OIL at north",
                "phone: low_stock opened OIL at north",
                "buyers: low_stock resolved OIL at north",
            ],
            "{then}"
        );
        let intents = desk.store.intents(None, 100).await.unwrap().items;
        let to_buyers = intents.iter().filter(|it| it.channel.as_str() == "buyers");
        assert!(to_buyers.clone().all(|it| it.group.is_some()), "{then}");
        assert_eq!(
            desk.alerts(AlertState::Resolved).await[0].severity,
            Severity::Warning
        );
    }
}

#[tokio::test(start_paused = true)]
async fn stock_that_is_back_is_told_to_who_asked_for_it_or_knew_that_it_was_out() {
    let everybody = |channels: &str| format!("[[routes]]\nname = 'all'\nchannels = [{channels}]\n");
    let later = everybody("'phone', 'buyers'") + OUT;
    let asked = "[[routes]]\nname = 'back'\nchannels = ['buyers']\nkinds = ['back_in_stock']\n";
    let opened = "[[routes]]\nname = 'new'\nchannels = ['buyers']\nrevisions = ['opened']\n";
    let before = everybody("'phone'") + OUT;
    let cases = [
        // Its route leads there since, and nobody there knows.
        (before.clone(), later, vec![]),
        (
            before.clone(),
            format!("{before}{asked}"),
            vec!["buyers: back_in_stock opened OIL at north"],
        ),
        (
            format!("{before}{opened}"),
            format!("{before}{opened}"),
            vec![
                "buyers: out_of_stock opened OIL at north",
                "buyers: back_in_stock opened OIL at north",
            ],
        ),
    ];
    for (before, after, expected) in cases {
        let desk = Desk::new(&config(TOGETHER, &before)).await;
        desk.states("north", 5).await;
        desk.states("north", 0).await;
        desk.apply(&config(TOGETHER, &after), &["north"]).await;
        desk.states("north", 9).await;
        let mut told = desk.told().await;
        told.retain(|one| one.starts_with("buyers"));
        assert_eq!(told, expected, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_becomes_graver_opens_where_only_grave_ones_are_carried() {
    let routes = EVERYBODY.to_owned()
        + "[[routes]]\nname = 'grave'\nchannels = ['buyers']\nmin_severity = 'critical'\n\
           revisions = ['opened', 'resolved']\n";
    let grave = LOW.to_owned() + "severity = 'critical'\n";
    let desk = Desk::new(&config(TOGETHER, &(routes.clone() + LOW))).await;
    desk.states("north", 2).await;
    desk.apply(&config(TOGETHER, &(routes + &grave)), &["north"])
        .await;
    desk.states("north", 9).await;
    assert_eq!(
        desk.told().await,
        [
            "phone: low_stock opened OIL at north",
            "buyers: low_stock escalated OIL at north",
            "phone: low_stock escalated OIL at north",
            "buyers: low_stock resolved OIL at north",
            "phone: low_stock resolved OIL at north",
        ]
    );
}
