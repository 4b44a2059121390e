//! Some worlds, twice the same world, and worlds that are broken on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use simulation::check::Guarantee;
use simulation::faults::Kind;
use simulation::plan::{Act, Plan};
use simulation::run::{Options, Report, run};
use simulation::shrink::shrink;

fn world(seed: u64, kinds: &[Kind]) -> Report {
    run(&Plan::of(seed, kinds), Options::default()).unwrap()
}

fn holds(report: &Report, seed: u64) {
    let found: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "seed {seed}: {found:#?}");
}

/// Else the faults would be over before there is anything for them to strike.
#[test]
fn what_opens_a_world_is_over_before_anything_goes_wrong() {
    for seed in 1..=200 {
        let plan = Plan::of(seed, Kind::ALL);
        let first = plan.steps.first().unwrap().at;
        for step in &plan.opening {
            assert!(step.at < first, "seed {seed}: {step:?} after {first:?}");
            if let Act::Webhook(message) = &step.act {
                assert!(message.repeats.is_empty(), "seed {seed}: {message:?}");
            }
        }
    }
}

#[test]
fn a_world_without_faults_keeps_every_guarantee() {
    let report = world(1, &[]);
    holds(&report, 1);
    assert!(report.faults.is_empty());
    let numbers = report.numbers;
    assert!(
        numbers.acknowledged > 20 && numbers.ledger > 20 && numbers.asked > 20,
        "{numbers:?}"
    );
}

#[test]
fn a_seed_with_every_kind_of_fault_keeps_them_and_is_the_same_world_again() {
    let (first, second) = (world(5, Kind::ALL), world(5, Kind::ALL));
    holds(&first, 5);
    assert!(
        first.faults.values().sum::<u64>() > 10,
        "{:?}",
        first.faults
    );
    assert_eq!(first.faults, second.faults);
    assert_eq!(first.numbers, second.numbers);
    // All that happened, to the millisecond: each call, fault, answer and change of the table.
    assert_eq!(first.hash, second.hash);
}

/// A vendor that says it took a message and did not is noticed, and the plan shrinks to the few
/// steps that it takes.
#[test]
fn a_lost_message_is_noticed_and_the_plan_shrinks() {
    let options = Options {
        forgetful: Some(3),
        ..Options::default()
    };
    let mut plan = Plan::of(7, &[]);
    plan.steps.truncate(6);
    let report = run(&plan, options).unwrap();
    let first = report.violations.first().unwrap();
    assert_eq!(first.guarantee, Guarantee::G6, "{first}");
    let shrunk = shrink(&plan, first, options, Duration::from_secs(20));
    assert_eq!(shrunk.violation.guarantee, Guarantee::G6);
    assert!(
        shrunk.worlds > 0 && shrunk.plan.steps.len() < plan.steps.len(),
        "{shrunk:?}"
    );
}
