use proptest::prelude::*;

use super::Condition::{Breached, Clear, Held, Marginal, NoData};
use super::RevisionKind::{Escalated, Opened, Resolved, Updated};
use super::*;
use crate::domain::message::Stock;
use crate::domain::rule::{Basis, Boundary, Over, Threshold};

/// A watch, a clock in seconds and everything that people were told.
struct Story {
    watch: Watch,
    now: Timestamp,
    seen: u64,
    verdict: Verdict,
    told: Vec<Announcement>,
    due: Option<Timestamp>,
    ids: u32,
}

impl Story {
    fn new() -> Self {
        Self {
            watch: Watch::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            seen: 0,
            verdict: Verdict {
                condition: Clear,
                severity: Severity::Warning,
                pending: SignedDuration::ZERO,
                keep_firing: SignedDuration::from_mins(5),
                manner: Manner {
                    remind_every: SignedDuration::ZERO,
                    ..Manner::default()
                },
                ..Verdict::unwatched(Ending::Recovered)
            },
            told: vec![],
            due: None,
            ids: 0,
        }
    }

    /// Looks again at the same stock.
    fn look(&mut self) -> Option<RevisionKind> {
        let ids = &mut self.ids;
        let mint = || {
            *ids += 1;
            Opening {
                alert: format!("alert-{ids}"),
                cause: None,
            }
        };
        let seen = Seen::Revision(self.seen);
        let step = step(&self.watch, &self.verdict, self.now, &seen, mint)?;
        // What is remembered is what the table gives back.
        let stored = serde_json::to_string(&step.next).unwrap();
        self.watch = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.watch, step.next);
        self.due = step.due;
        let change = step
            .announce
            .as_ref()
            .map(|announcement| announcement.change);
        self.told.extend(step.announce);
        change
    }

    /// The stock changed.
    fn sees(&mut self, condition: Condition) -> Option<RevisionKind> {
        self.seen += 1;
        self.verdict.condition = condition;
        self.look()
    }

    fn passes(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    /// Lets time pass with a clock that looks only when something is due.
    fn rests(&mut self, seconds: i64) -> Vec<RevisionKind> {
        let end = self.now + SignedDuration::from_secs(seconds);
        let mut changes = vec![];
        while let Some(due) = self.due.filter(|due| *due <= end) {
            assert!(
                due > self.now,
                "a clock that is told to look at once would never rest"
            );
            self.now = due;
            changes.extend(self.look());
        }
        self.now = end;
        changes
    }

    fn changes(&self) -> Vec<RevisionKind> {
        self.told
            .iter()
            .map(|announcement| announcement.change)
            .collect()
    }

    fn is_told_open(&self) -> bool {
        self.told.last().is_some_and(|last| last.change != Resolved)
    }
}

#[test]
fn low_then_fine_then_low_is_two_alerts() {
    let mut story = Story::new();
    let mut said = vec![];
    for condition in [
        Clear, Breached, Breached, Breached, Clear, Clear, Breached, Clear,
    ] {
        said.push(story.passes(6 * 3600).sees(condition));
    }
    let (opened, resolved) = (Some(Opened), Some(Resolved));
    assert_eq!(
        said,
        [None, opened, None, None, resolved, None, opened, resolved]
    );
    let ids: Vec<_> = story
        .told
        .iter()
        .map(|a| (a.alert.as_str(), a.revision))
        .collect();
    assert_eq!(
        ids,
        [
            ("alert-1", 1),
            ("alert-1", 2),
            ("alert-2", 1),
            ("alert-2", 2)
        ]
    );
}

#[test]
fn around_the_threshold_there_is_one_beginning_and_one_end() {
    let threshold = Threshold {
        units: 3,
        boundary: Boundary::AtOrBelow,
        basis: Basis::Available,
        recovery: Some(5),
        over: Over::Each,
    };
    let mut story = Story::new();
    for available in [7, 4, 3, 2, 3, 4, 3, 2, 3, 4, 2, 4, 3, 4, 9] {
        let stock = Stock {
            available,
            ..Stock::default()
        };
        story.passes(60).sees(threshold.judge(Some(&stock)));
    }
    assert_eq!(story.changes(), [Opened, Resolved]);
}

#[test]
fn pending_must_hold_without_a_break() {
    let mut story = Story::new();
    story.verdict.pending = SignedDuration::from_mins(10);
    assert_eq!(story.sees(Breached), None);
    assert_eq!(story.rests(9 * 60), []);
    assert_eq!(story.sees(Clear), None);
    assert_eq!(story.watch.phase, Phase::Quiet);
    assert_eq!(story.sees(Breached), None);
    assert_eq!(story.rests(9 * 60), []);
    assert_eq!(story.rests(60), [Opened]);
}

#[test]
fn a_marginal_recovery_must_last_and_a_decisive_one_need_not() {
    let mut story = Story::new();
    story.sees(Breached);
    assert_eq!(story.sees(Marginal), None);
    assert_eq!(story.rests(299), []);
    assert_eq!(story.rests(1), [Resolved]);

    story.sees(Breached);
    assert_eq!(story.sees(Clear), Some(Resolved));

    // Short of the recovery level again: the wait begins anew.
    story.passes(7200).sees(Breached);
    story.sees(Marginal);
    story.passes(200).sees(Held);
    assert_eq!(story.passes(3600).look(), None);
    story.sees(Marginal);
    assert_eq!(story.rests(299), []);
    assert_eq!(story.rests(1), [Resolved]);
}

#[test]
fn what_is_not_known_neither_begins_nor_ends_an_alert() {
    let mut story = Story::new();
    story.verdict.pending = SignedDuration::from_mins(1);
    story.sees(Breached);
    assert_eq!(story.passes(600).sees(NoData), None);
    assert_eq!(story.due, None);
    assert_eq!(story.sees(Breached), Some(Opened));
    story.sees(Marginal);
    assert_eq!(story.passes(600).sees(NoData), None);
    assert_eq!(story.sees(Clear), Some(Resolved));
    assert_eq!(story.sees(NoData), None);
    assert_eq!(story.watch.phase, Phase::Quiet);
}

#[test]
fn old_news_changes_nothing() {
    let mut story = Story::new();
    story.sees(Breached);
    story.sees(Clear);
    let breached = Verdict {
        condition: Breached,
        ..story.verdict
    };
    let mint = || unreachable!("no alert is opened");
    assert_eq!(
        step(&story.watch, &breached, story.now, &1.into(), mint),
        None
    );
}

#[test]
fn forty_flips_an_hour_are_at_most_two_messages_and_the_state_is_kept() {
    for (away, expected) in [(Marginal, 2), (Held, 1)] {
        let mut story = Story::new();
        for flip in 0..40 {
            story
                .passes(90)
                .sees(if flip % 2 == 0 { Breached } else { away });
        }
        assert_eq!(story.told.len(), expected, "{away:?}: {:?}", story.told);
        // It settles where people think it is: they are told that, where messages were held.
        story.sees(Breached);
        let steady = if away == Marginal {
            vec![Updated]
        } else {
            vec![]
        };
        assert_eq!(story.rests(7200), steady);
        assert!(story.is_told_open() && story.watch.breached);
        // Later it recovers, as any other.
        assert_eq!(story.sees(Clear), Some(Resolved));
    }
}

#[test]
fn an_alert_that_flaps_and_settles_elsewhere_is_told_once_it_is_steady() {
    let mut story = Story::new();
    for flip in 0..40 {
        story
            .passes(90)
            .sees(if flip % 2 == 0 { Breached } else { Marginal });
    }
    assert_eq!(story.changes(), [Opened, Updated]);
    assert!(story.told[1].note.as_ref().unwrap().starts_with("Flapping"));
    assert_eq!(story.rests(30 * 60 - 1), []);
    assert_eq!(story.rests(1), [Resolved]);
    assert_eq!(
        story.told[2].note.as_deref(),
        Some("It has been steady for 30 minutes.")
    );
    let numbers: Vec<_> = story
        .told
        .iter()
        .map(|a| (a.alert.as_str(), a.revision))
        .collect();
    assert_eq!(numbers, [("alert-1", 1), ("alert-1", 2), ("alert-1", 3)]);
}

/// Whether the crossing that is one too many is a rise depends on the limit and on when one looks.
#[test]
fn that_it_flaps_is_told_with_what_is_wrong_and_how_it_stands_once_it_is_steady() {
    for (settles, end) in [(Breached, Updated), (Clear, Resolved)] {
        let mut story = Story::new();
        story.verdict.manner.flap_limit = 3;
        for flip in 0..9 {
            let condition = if flip % 2 == 0 { Breached } else { Clear };
            let said = story.passes(90).sees(condition);
            let flaps = story.told.last().is_some_and(|it| it.note.is_some());
            assert_eq!(flaps, flip >= 4, "{flip}: {said:?}");
            assert!(said.is_none() || (said == Some(Resolved)) == (condition == Clear));
        }
        story.passes(90).sees(settles);
        assert_eq!(story.rests(7200), [end]);
        let note = story.told.last().unwrap().note.as_deref();
        assert_eq!(note, Some("It has been steady for 30 minutes."));
        assert_eq!(story.rests(7200), []);
    }
}

#[test]
fn what_crosses_after_the_clock_should_have_looked_is_not_said_to_be_steady() {
    let mut story = Story::new();
    for flip in 0..6 {
        let condition = if flip % 2 == 0 { Breached } else { Clear };
        story.passes(90).sees(condition);
    }
    assert_eq!(story.passes(40 * 60).sees(Breached), None);
    assert_eq!(story.passes(60).sees(Clear), Some(Resolved));
    assert_eq!(story.told.last().unwrap().note, None);
}

#[test]
fn full_deliveries_and_sell_outs_in_turn_are_damped_too() {
    let mut story = Story::new();
    for flip in 0..41 {
        story
            .passes(90)
            .sees(if flip % 2 == 0 { Breached } else { Clear });
    }
    // Two alerts of an ordinary day; the third says that it flaps, and then there is silence.
    assert_eq!(
        story.changes(),
        [Opened, Resolved, Opened, Resolved, Opened]
    );
    assert!(story.told[4].note.as_ref().unwrap().starts_with("Flapping"));
    story.sees(Clear);
    assert_eq!(story.rests(3600), [Resolved]);
}

#[test]
fn four_crossings_an_hour_are_no_flapping() {
    let mut story = Story::new();
    for flip in 0..48 {
        story
            .passes(16 * 60)
            .sees(if flip % 2 == 0 { Breached } else { Clear });
    }
    assert_eq!(story.told.len(), 48);
    assert_eq!(story.watch.damped_until, None);
}

#[test]
fn an_inhibited_alert_is_told_when_the_inhibition_ends_if_it_still_stands() {
    let mut story = Story::new();
    story.verdict.withheld = Some(Withheld::SourceDown);
    assert_eq!(story.sees(Breached), None);
    assert!(story.watch.is_withheld());
    story.verdict.withheld = None;
    assert_eq!(story.passes(600).look(), Some(Opened));
    let opened = story.told.last().unwrap();
    assert_eq!(
        story.now.duration_since(opened.opened_at),
        SignedDuration::from_mins(10)
    );
    assert!(!story.watch.is_withheld());
    // Told is told: its end is told even while a graver alert covers it.
    story.verdict.withheld = Some(Withheld::SourceDown);
    assert_eq!(story.sees(Clear), Some(Resolved));
}

#[test]
fn an_inhibited_alert_that_recovers_was_never_heard_of() {
    let mut story = Story::new();
    story.verdict.withheld = Some(Withheld::SourceDown);
    story.sees(Breached);
    story.sees(Clear);
    story.verdict.withheld = None;
    story.look();
    story.passes(3600).look();
    assert_eq!(story.told, []);
}

#[test]
fn an_inhibited_alert_on_its_way_back_is_not_told_as_a_beginning() {
    let mut story = Story::new();
    story.verdict.withheld = Some(Withheld::SourceDown);
    story.sees(Breached);
    story.verdict.withheld = None;
    assert_eq!(story.sees(Marginal), None);
    assert_eq!(story.rests(300), []);
    assert_eq!(story.watch.phase, Phase::Quiet);
}

#[test]
fn what_nobody_was_told_of_ends_without_waiting_for_steadiness() {
    for (away, rest) in [(Clear, 0), (Marginal, 300)] {
        let mut story = Story::new();
        story.verdict.withheld = Some(Withheld::SourceDown);
        for flip in 0..6 {
            story
                .passes(90)
                .sees(if flip % 2 == 0 { Breached } else { away });
        }
        assert!(story.watch.damped_until.is_some());
        assert_eq!(story.rests(rest), []);
        assert_eq!(story.watch.phase, Phase::Quiet, "{away:?}");
    }
}

#[test]
fn a_graver_severity_waits_for_steadiness_too() {
    let mut story = Story::new();
    for flip in 0..6 {
        story
            .passes(90)
            .sees(if flip % 2 == 0 { Breached } else { Marginal });
    }
    story.verdict.severity = Severity::Critical;
    assert_eq!(story.sees(Breached), None);
    assert_eq!(story.rests(30 * 60 - 1), []);
    assert_eq!(story.rests(1), [Escalated]);
}

#[test]
fn a_graver_severity_is_told_once() {
    let mut story = Story::new();
    story.sees(Breached);
    let mut said = vec![];
    for severity in [
        Severity::Critical,
        Severity::Critical,
        Severity::Info,
        Severity::Critical,
    ] {
        story.verdict.severity = severity;
        said.push(story.sees(Breached));
    }
    assert_eq!(said, [Some(Escalated), None, None, None]);
    assert_eq!(story.sees(Clear), Some(Resolved));
}

#[test]
fn an_alert_ends_with_the_rule_that_opened_it() {
    let mut rule = crate::domain::rule::book::tests::low("oil", 3);
    rule.severity = Severity::Critical;
    rule.pending = SignedDuration::from_mins(2);
    let mut story = Story::new();
    story.verdict = Verdict::under(&rule, Breached, Manner::default());
    story.look();
    assert_eq!(story.rests(120), [Opened]);
    assert_eq!(story.watch.episode().unwrap().severity, Severity::Critical);
    story.verdict = Verdict::unwatched(Ending::RuleRemoved);
    assert_eq!(story.look(), Some(Resolved));
    let last = story.told.last().unwrap();
    assert_eq!(last.ending, Some(Ending::RuleRemoved));
}

#[test]
fn what_nobody_watches_any_longer_ends_at_once_even_while_it_flaps() {
    let mut story = Story::new();
    for flip in 0..6 {
        story
            .passes(90)
            .sees(if flip % 2 == 0 { Breached } else { Marginal });
    }
    assert!(story.watch.damped_until.is_some());
    story.verdict = Verdict::unwatched(Ending::Muted);
    assert_eq!(story.look(), Some(Resolved));
    assert_eq!(story.told.last().unwrap().ending, Some(Ending::Muted));
    assert_eq!(story.watch.damped_until, None);
}

#[test]
fn a_member_that_leaves_or_joins_does_not_make_a_look_old() {
    let members = |of: &[(&str, u64)]| {
        let of = of.iter().map(|(id, seen)| (id.parse().unwrap(), *seen));
        Seen::Members(of.collect())
    };
    let before = members(&[("north", 4), ("south", 900)]);
    assert!(!members(&[("north", 5)]).is_older_than(&before));
    assert!(!members(&[("north", 4), ("east", 1)]).is_older_than(&before));
    assert!(members(&[("north", 3), ("south", 901)]).is_older_than(&before));
    assert!(!before.is_older_than(&before));
}

#[test]
fn while_it_is_open_people_hear_of_half_and_of_nothing_once_each() {
    let mut story = Story::new();
    let mut said = vec![];
    for depth in [
        Depth::Threshold,
        Depth::Half,
        Depth::Half,
        Depth::Zero,
        Depth::Half,
        Depth::Zero,
    ] {
        story.verdict.depth = depth;
        said.push(story.passes(600).sees(Breached));
    }
    assert_eq!(
        said,
        [Some(Opened), Some(Updated), None, Some(Updated), None, None]
    );
    let notes: Vec<_> = story.told.iter().map(|told| told.note.as_deref()).collect();
    assert_eq!(
        notes,
        [
            None,
            Some("It has fallen further, to half of the threshold."),
            Some("It has fallen further: nothing is left.")
        ]
    );
    // What is out from the beginning is told so at once, and only once.
    let mut story = Story::new();
    story.verdict.depth = Depth::Zero;
    story.sees(Breached);
    assert_eq!(story.sees(Breached), None);
    // It can be switched off.
    let mut story = Story::new();
    story.verdict.manner.further_falls = false;
    story.sees(Breached);
    story.verdict.depth = Depth::Zero;
    assert_eq!(story.sees(Breached), None);
}

#[test]
fn a_threshold_that_is_raised_is_not_told_as_a_fall() {
    let mut story = Story::new();
    let check = |units| {
        Some(Check::LowStock(Threshold {
            units,
            boundary: Boundary::AtOrBelow,
            basis: Basis::Available,
            recovery: None,
            over: Over::Each,
        }))
    };
    story.verdict.check = check(5);
    story.sees(Breached);
    // The stock stands: it is half of the new threshold.
    story.verdict.check = check(20);
    story.verdict.depth = Depth::Half;
    assert_eq!(story.look(), Some(Updated));
    let note = |story: &Story| story.told.last().unwrap().note.clone().unwrap();
    assert_eq!(
        note(&story),
        "The threshold is now 20, it was 5: what is left is at most half of it."
    );
    // And then it falls.
    story.verdict.depth = Depth::Zero;
    assert_eq!(story.sees(Breached), Some(Updated));
    assert_eq!(note(&story), "It has fallen further: nothing is left.");
}

#[test]
fn a_threshold_that_is_moved_back_and_forth_does_not_flap() {
    let check = |units| {
        Some(Check::LowStock(Threshold {
            units,
            boundary: Boundary::AtOrBelow,
            basis: Basis::Available,
            recovery: None,
            over: Over::Each,
        }))
    };
    let mut story = Story::new();
    for _ in 0..6 {
        story.verdict.check = check(20);
        story.verdict.condition = Breached;
        assert_eq!(story.passes(60).look(), Some(Opened));
        story.verdict.check = check(3);
        story.verdict.condition = Clear;
        story.verdict.ending = Ending::RuleChanged;
        assert_eq!(story.passes(60).look(), Some(Resolved));
        story.verdict.ending = Ending::Recovered;
    }
    assert!(story.told.iter().all(|told| told.note.is_none()));
    // The stock itself still does.
    let mut said = 0;
    for flip in 0..12 {
        let condition = if flip % 2 == 0 { Breached } else { Clear };
        said += usize::from(story.passes(60).sees(condition).is_some());
    }
    assert!(said < 7, "{said}");
}

/// A rule that is switched off and on again.
#[test]
fn a_rule_that_comes_and_goes_does_not_flap() {
    let mut story = Story::new();
    for _ in 0..6 {
        let mut on = story.verdict.clone();
        on.condition = Breached;
        story.verdict = Verdict::unwatched(Ending::Muted);
        story.passes(60).look();
        story.verdict = on;
        assert_eq!(story.passes(60).look(), Some(Opened));
    }
    assert!(story.told.iter().all(|told| told.note.is_none()));
}

#[test]
fn what_else_an_alert_is_about_is_told_once_for_what_comes_within_some_minutes() {
    let mut story = Story::new();
    story.verdict.gathers = SignedDuration::from_mins(5);
    let about = |count: u32| (0..count).collect::<BTreeSet<_>>();
    story.verdict.facts = about(1);
    assert_eq!(story.sees(Breached), Some(Opened));
    story.passes(3_600);
    for count in 2..100 {
        story.verdict.facts = about(count);
        assert_eq!(story.passes(3).sees(Breached), None);
    }
    assert_eq!(story.rests(300), [Updated]);
    assert_eq!(story.rests(7_200), []);
    // One of them is over, and another comes: not before half an hour.
    story.verdict.facts = about(98);
    assert_eq!(story.sees(Breached), None);
    story.verdict.facts.insert(500);
    assert_eq!(story.sees(Breached), None);
    assert_eq!(story.rests(300), [Updated]);
    story.verdict.facts.insert(501);
    assert_eq!(story.sees(Breached), None);
    assert_eq!(story.rests(29 * 60), []);
    assert_eq!(story.rests(60), [Updated]);
    // The only one is over, and another comes.
    let mut other = Story::new();
    other.verdict.gathers = SignedDuration::from_mins(5);
    for (fact, said) in [(1, Some(Opened)), (2, None), (2, None)] {
        other.verdict.facts = BTreeSet::from([fact]);
        assert_eq!(other.passes(60).sees(Breached), said);
    }
    assert_eq!(other.rests(300), [Updated]);
    // What is over before it is told is no news.
    story.passes(7_200);
    story.verdict.facts.insert(502);
    assert_eq!(story.sees(Breached), None);
    story.verdict.facts.remove(&502);
    assert_eq!(story.passes(60).sees(Breached), None);
    assert_eq!(story.rests(7_200), []);
}

/// Whom a group reminds is not told by a reminder, and would never hear of the news.
#[test]
fn news_that_a_reminder_comes_before_is_told_to_everybody() {
    let mut story = Story::new();
    story.verdict.gathers = SignedDuration::from_mins(5);
    story.verdict.manner.remind_every = SignedDuration::from_mins(6);
    story.verdict.facts = BTreeSet::from([1]);
    assert_eq!(story.sees(Breached), Some(Opened));
    story.verdict.facts.insert(2);
    assert_eq!(story.passes(200).sees(Breached), None);
    assert_eq!(story.rests(160), [Updated]);
    let told = story.told.last().unwrap();
    assert_eq!(told.audience, Audience::Everybody);
    assert_eq!(told.note, None);
    // From there they are only reminded.
    assert_eq!(story.rests(360), [Updated]);
    let told = story.told.last().unwrap();
    assert_eq!(told.audience, Audience::Unreminded);
}

/// What is read of very many may be others each time.
#[test]
fn facts_that_are_no_news_are_not_told() {
    let mut story = Story::new();
    story.verdict.facts = BTreeSet::from([1, 2]);
    story.sees(Breached);
    story.verdict.facts = BTreeSet::from([2, 3]);
    story.verdict.old_facts = BTreeSet::from([2, 3]);
    assert_eq!(story.passes(60).sees(Breached), None);
    story.verdict.old_facts.clear();
    assert_eq!(story.passes(60).sees(Breached), None, "known by now");
    story.verdict.facts.insert(4);
    assert_eq!(story.passes(60).sees(Breached), Some(Updated));
}

#[test]
fn what_is_told_when_it_begins_to_flap_is_no_news_later() {
    let mut story = Story::new();
    story.verdict.gathers = SignedDuration::from_mins(5);
    story.verdict.facts = BTreeSet::from([1]);
    for flip in 0..6 {
        story.verdict.facts.insert(flip);
        story.verdict.topics = Topics::of([usize::try_from(flip).unwrap()]);
        let away = if flip % 2 == 0 { Breached } else { Marginal };
        story.passes(60).sees(away);
    }
    let told = story.told.last().unwrap().note.as_deref();
    assert!(told.is_some_and(|note| note.starts_with("Flapping")));
    // It stays as it was told, and nobody flaps any more.
    story.sees(Breached);
    story.verdict.facts.remove(&5);
    story.verdict.topics = Topics::of([4]);
    story.verdict.manner.flap_limit = 0;
    assert_eq!(story.look(), None);
    assert_eq!(story.rests(7_200), []);
}

/// What makes it so again may be told by another alert.
#[test]
fn what_nobody_was_told_of_begins_anew_once_it_was_not_so() {
    let mut story = Story::new();
    story.verdict.withheld = Some(Withheld::Covered);
    story.sees(Breached);
    assert_eq!(story.passes(60).sees(Marginal), None);
    assert_eq!(story.watch.phase, Phase::Quiet);
    story.passes(60).sees(Breached);
    assert_eq!(story.watch.episode().unwrap().alert, "alert-2");
    assert_eq!(story.told, []);
}

#[test]
fn what_is_true_instead_is_told_at_once_also_where_it_was_true_before() {
    let mut story = Story::new();
    let mut said = Vec::new();
    for fact in [1, 1, 2, 2, 1] {
        story.verdict.facts = BTreeSet::from([fact]);
        said.push(story.passes(60).sees(Breached));
    }
    assert_eq!(
        said,
        [Some(Opened), None, Some(Updated), None, Some(Updated)]
    );
    // What an older version wrote does not say what people were told.
    let mut story = Story::new();
    story.sees(Breached);
    story.verdict.facts = BTreeSet::from([1]);
    assert_eq!(story.passes(60).sees(Breached), None);
    story.verdict.facts = BTreeSet::from([2]);
    assert_eq!(story.passes(60).sees(Breached), Some(Updated));
}

#[test]
fn what_is_still_open_is_brought_to_mind_until_it_is_over() {
    let mut story = Story::new();
    story.verdict.manner.remind_every = SignedDuration::from_hours(24);
    story.sees(Breached);
    assert_eq!(story.rests(24 * 3600 - 1), []);
    assert_eq!(story.rests(1), [Updated]);
    assert_eq!(story.told.last().unwrap().audience, Audience::Unreminded);
    // Any news puts the next reminder off.
    story.verdict.depth = Depth::Half;
    assert_eq!(story.passes(12 * 3600).sees(Breached), Some(Updated));
    assert_eq!(story.rests(24 * 3600 - 1), []);
    assert_eq!(story.rests(1), [Updated]);
    assert_eq!(story.sees(Clear), Some(Resolved));
    assert_eq!(story.rests(100 * 3600), []);
}

#[test]
fn what_a_graver_alert_covers_is_told_to_those_left_out_once_that_is_over() {
    let mut story = Story::new();
    story.verdict.partly_covered = true;
    assert_eq!(story.sees(Breached), Some(Opened));
    assert!(story.watch.waits_for_graver());
    assert_eq!(story.passes(600).look(), None);
    story.verdict.partly_covered = false;
    assert_eq!(story.look(), Some(Updated));
    assert_eq!(story.told.last().unwrap().audience, Audience::TheRest);
    assert!(!story.watch.waits_for_graver());
}

#[test]
fn what_those_concerned_know_already_is_no_news_once_the_graver_alert_is_over() {
    let mut story = Story::new();
    story.verdict.manner.remind_every = SignedDuration::from_hours(24);
    story.sees(Breached);
    story.verdict.depth = Depth::Zero;
    story.verdict.withheld = Some(Withheld::Covered);
    assert_eq!(story.sees(Breached), None);
    assert_eq!(story.rests(30 * 3600), []);
    story.verdict.withheld = None;
    assert_eq!(story.sees(Breached), None);
}

/// That there is more again is told by the end of the graver alert. From there each fall is news.
#[test]
fn what_falls_again_after_a_graver_alert_is_over_is_told_again() {
    let covered = |depth: Depth| {
        let mut story = Story::new();
        story.verdict.depth = depth;
        story.sees(Breached);
        story.verdict.depth = Depth::Zero;
        story.verdict.withheld = Some(Withheld::Covered);
        assert_eq!(story.passes(60).sees(Breached), None);
        story.verdict.withheld = None;
        story
    };
    // To between the threshold and the recovery level, and back to the threshold.
    let mut story = covered(Depth::Threshold);
    story.verdict.depth = Depth::Threshold;
    assert_eq!(story.passes(60).sees(Held), None);
    assert_eq!(story.passes(60).sees(Held), None);
    assert_eq!(story.passes(60).sees(Breached), Some(Updated));
    assert_eq!(story.told.last().unwrap().note, None);
    assert_eq!(story.passes(60).sees(Held), None);
    assert_eq!(story.passes(60).sees(Breached), None, "told already");
    story.verdict.depth = Depth::Half;
    assert_eq!(story.passes(60).sees(Breached), Some(Updated));
    // To the threshold, and further.
    let mut story = covered(Depth::Half);
    story.verdict.depth = Depth::Threshold;
    assert_eq!(story.passes(60).sees(Breached), None);
    story.verdict.depth = Depth::Half;
    assert_eq!(story.passes(60).sees(Breached), Some(Updated));
    assert_eq!(story.passes(60).sees(Breached), None, "told already");
}

#[test]
fn flapping_is_what_the_account_and_the_rule_say_it_is() {
    let mut rule = crate::domain::rule::book::tests::low("oil", 3);
    rule.manner.flap_limit = Some(0);
    let never = Verdict::under(&rule, Clear, Manner::default());
    rule.manner.flap_limit = Some(2);
    rule.manner.flap_steady = Some(Span(SignedDuration::from_hours(2)));
    let soon = Verdict::under(&rule, Clear, Manner::default());
    for (verdict, told) in [(never, 8), (soon.clone(), 3)] {
        let mut story = Story::new();
        story.verdict = verdict;
        for flip in 0..8 {
            story
                .passes(90)
                .sees(if flip % 2 == 0 { Breached } else { Clear });
        }
        assert_eq!(story.told.len(), told, "{:?}", story.changes());
    }
    assert_eq!(
        soon.manner.flapping(),
        "Flapping: no more messages until it has been steady for 2 hours. It has gone back and forth \
         more than 2 times within 1 hour."
    );
}

#[test]
fn once_flapping_is_switched_off_nothing_is_held_back_any_more() {
    for (settles, said) in [(Clear, Some(Resolved)), (Breached, Some(Escalated))] {
        let mut story = Story::new();
        for flip in 0..6 {
            story
                .passes(90)
                .sees(if flip % 2 == 0 { Breached } else { Marginal });
        }
        story.verdict.severity = Severity::Critical;
        assert_eq!(story.sees(settles), None);
        story.verdict.manner.flap_limit = 0;
        assert_eq!(story.look(), said);
        assert_eq!(story.told.last().unwrap().note, None);
        assert_eq!(story.watch.damped_until, None);
    }
}

#[test]
fn a_quiet_watch_is_stored_in_a_few_bytes() {
    assert_eq!(
        serde_json::to_string(&Watch::default()).unwrap(),
        r#"{"p":"q","e":0}"#
    );
    let mut story = Story::new();
    story.sees(Breached);
    assert_eq!(
        serde_json::to_string(&story.watch).unwrap(),
        r#"{"p":{"o":{"a":"alert-1","o":1800000000000,"n":1,"s":"warning","t":1800000000000}},"e":1,"b":true,"f":[1800000000000]}"#
    );
    assert_eq!(
        serde_json::from_str::<Watch>("{}").unwrap(),
        Watch::default()
    );
}

/// One look: seconds since the last, what it says, and whether the stock itself had changed.
#[derive(Debug, Clone)]
struct Glance {
    after: i64,
    condition: Condition,
    severity: Severity,
    withheld: Option<Withheld>,
    depth: Depth,
    changed: bool,
}

fn glances() -> impl Strategy<Value = Vec<Glance>> {
    let condition = prop_oneof![
        4 => Just(Breached),
        3 => Just(Clear),
        2 => Just(Marginal),
        1 => Just(Held),
        1 => Just(NoData),
    ];
    let severity = prop_oneof![
        Just(Severity::Info),
        Just(Severity::Warning),
        Just(Severity::Critical)
    ];
    let after = prop_oneof![3 => 0_i64..120, 2 => 120_i64..900, 1 => 900_i64..7200];
    let glance = (
        after,
        condition,
        severity,
        prop_oneof![
            4 => Just(None),
            1 => Just(Some(Withheld::SourceDown)),
            1 => Just(Some(Withheld::Covered)),
        ],
        prop::sample::select(Depth::ALL),
        proptest::bool::weighted(0.9),
    );
    proptest::collection::vec(
        glance.prop_map(
            |(after, condition, severity, withheld, depth, changed)| Glance {
                after,
                condition,
                severity,
                withheld,
                depth,
                changed,
            },
        ),
        1..60,
    )
}

fn spans() -> impl Strategy<Value = (i64, i64)> {
    (
        prop_oneof![Just(0_i64), 1_i64..1200],
        prop_oneof![Just(300_i64), 0_i64..4000],
    )
}

fn told_story(
    glances: &[Glance],
    (pending, keep_firing): (i64, i64),
) -> (Story, Vec<(Verdict, Timestamp, u64)>) {
    let mut story = Story::new();
    story.verdict.pending = SignedDuration::from_secs(pending);
    story.verdict.keep_firing = SignedDuration::from_secs(keep_firing);
    let mut looks = vec![];
    for glance in glances {
        story.passes(glance.after);
        story.verdict.severity = glance.severity;
        story.verdict.depth = glance.depth;
        story.verdict.withheld = glance.withheld;
        if glance.changed {
            story.sees(glance.condition);
        } else {
            story.look();
        }
        looks.push((story.verdict.clone(), story.now, story.seen));
    }
    (story, looks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Per alert: opened first, numbered without a gap, resolved last; and one at a time.
    #[test]
    fn every_alert_told_has_one_beginning_and_at_most_one_end(glances in glances(), spans in spans()) {
        let (story, _) = told_story(&glances, spans);
        let mut open: Option<(String, u32)> = None;
        let mut known = std::collections::HashSet::new();
        for Announcement { alert, revision, change, ending, .. } in &story.told {
            match (&open, change) {
                (None, Opened) => {
                    prop_assert!(known.insert(alert.clone()), "{} opened twice", alert);
                    prop_assert_eq!(*revision, 1);
                    open = Some((alert.clone(), 1));
                }
                (Some((current, last)), Updated | Escalated | Resolved) => {
                    prop_assert_eq!(current, alert);
                    prop_assert_eq!(*revision, last + 1);
                    prop_assert_eq!(ending.is_some(), *change == Resolved, "an end has a reason");
                    open = (*change != Resolved).then(|| (alert.clone(), *revision));
                }
                (open, change) => prop_assert!(false, "{:?} while {:?} is open", change, open),
            }
        }
        let remembered = story.watch.episode().filter(|episode| episode.told());
        prop_assert_eq!(open, remembered.map(|episode| (episode.alert.clone(), episode.revision)));
    }

    /// What was looked at before, looked at again, says nothing new: neither older revisions nor
    /// the last look itself.
    #[test]
    fn looks_taken_again_change_nothing(glances in glances(), spans in spans()) {
        let glances: Vec<_> = glances.into_iter().map(|g| Glance { changed: true, ..g }).collect();
        let (story, looks) = told_story(&glances, spans);
        for (verdict, now, seen) in looks {
            let mint = || unreachable!("a look taken again opens no alert");
            if let Some(step) = step(&story.watch, &verdict, now, &seen.into(), mint) {
                prop_assert_eq!(&step.next, &story.watch);
                prop_assert_eq!(step.announce, None);
            }
        }
    }

    /// Once things stay as they are, people come to know exactly that, with no look but those the
    /// steps themselves ask for.
    #[test]
    fn nothing_is_lost_once_it_is_steady(
        glances in glances(), spans in spans(), breached: bool, marginal: bool, severity in 0_usize..3,
    ) {
        let (mut story, _) = told_story(&glances, spans);
        story.verdict.severity = Severity::ALL[severity];
        story.verdict.withheld = None;
        story.sees(match (breached, marginal) {
            (true, _) => Breached,
            (false, true) => Marginal,
            (false, false) => Clear,
        });
        story.rests(100_000);
        prop_assert_eq!(story.is_told_open(), breached);
        prop_assert_eq!(story.watch.episode().is_some(), breached);
        if let Some(episode) = story.watch.episode() {
            prop_assert!(episode.severity >= story.verdict.severity);
        }
        prop_assert!(!story.watch.is_withheld());
    }

    /// However wildly it flaps: within an hour no more messages than four crossings make, and one.
    #[test]
    fn the_messages_of_an_hour_are_bounded(glances in glances()) {
        let glances: Vec<_> = glances
            .into_iter()
            .map(|g| Glance { after: g.after % 60, severity: Severity::Warning, withheld: None, depth: Depth::Threshold, ..g })
            .collect();
        let (story, _) = told_story(&glances, (0, 300));
        prop_assert!(story.told.len() <= 5, "{:?}", story.changes());
        let last_says_so = story.told.last().is_some_and(|last| last.note.is_some());
        prop_assert_eq!(story.watch.damped_until.is_some(), last_says_so);
    }

    /// What is not known opens and ends nothing.
    #[test]
    fn no_data_says_nothing(glances in glances(), spans in spans(), later in 0_i64..10_000) {
        let (mut story, _) = told_story(&glances, spans);
        let before = story.told.len();
        story.passes(later).sees(NoData);
        prop_assert_eq!(story.told.len(), before);
    }
}
