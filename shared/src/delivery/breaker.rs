//! A circuit breaker per destination: after a run of failures nobody asks for a while, then one
//! attempt at a time finds out whether the destination is back.
//!
//! Pure: time is an argument, and the state is a value that the caller stores. Whoever is granted a
//! [`Pass`] hands it back with the outcome, so an answer that comes late, from before the circuit
//! opened or from a probe long given up, changes nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// This many failures in a row open the circuit.
const FAILURES: u32 = 5;

/// The first cool-down after an answer that did not come in time: one that hangs says little of the next.
const AFTER_ONE: SignedDuration = SignedDuration::from_secs(5);

/// The first cool-down otherwise, and the second; each failed probe doubles it.
const SHORTEST: SignedDuration = SignedDuration::from_secs(30);

/// The longest cool-down of our own making.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// While a probe is under way, others ask again after this long: most are answered by then.
const PROBE_ANSWER: SignedDuration = SignedDuration::from_secs(5);

/// A probe whose answer has not come by then is given up: its sender may have crashed.
const PROBE_LIMIT: SignedDuration = SignedDuration::from_mins(2);

/// Whoever waits for a cool-down to end asks within this long of its end: the longest is spread by a tenth,
/// and the clock comes each minute.
const ASKED_BY: SignedDuration = SignedDuration::from_mins(3);

/// The state of one destination's circuit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker(State);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    /// Attempts go through.
    Closed { failures: u32 },
    /// Nothing goes through until then. `trips` counts the openings since the last success, but for one
    /// after a single answer that did not come.
    Open { until: Timestamp, trips: u32 },
    /// One probe is under way, and is given up at `until`.
    HalfOpen { until: Timestamp, trips: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// The right to make one attempt. Handed back with what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// An ordinary attempt.
    Open,
    /// The one attempt that finds out whether the destination is back.
    Probe {
        /// When it is given up; also tells one probe from the next.
        until: Timestamp,
    },
}

/// What a destination's circuit says to somebody who wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Send, and report.
    Go(Pass),
    /// Ask again then.
    Wait {
        /// The earliest moment at which asking makes sense.
        until: Timestamp,
    },
}

/// A change that the destination's owner should hear about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The destination did not answer once, and is tried again at `until`.
    Slow {
        /// When the first probe may go.
        until: Timestamp,
    },
    /// The destination is in trouble; it is first tried again at `until`.
    Opened {
        /// When the first probe may go.
        until: Timestamp,
    },
    /// The destination answers again.
    Closed,
}

impl Breaker {
    /// Asks for the right to make one attempt.
    pub fn ask(&mut self, now: Timestamp) -> Turn {
        match self.0 {
            State::Closed { .. } => Turn::Go(Pass::Open),
            // One answer that did not come, long ago.
            State::Open { trips: 0, .. } if !self.is_waited_for(now) => {
                self.0 = State::default();
                Turn::Go(Pass::Open)
            }
            State::Open { until, .. } if now < until => Turn::Wait { until },
            State::HalfOpen { until, .. } if now < until => Turn::Wait {
                until: until.min(later(now, PROBE_ANSWER)),
            },
            State::Open { trips, .. } | State::HalfOpen { trips, .. } => {
                let until = later(now, PROBE_LIMIT);
                self.0 = State::HalfOpen { until, trips };
                Turn::Go(Pass::Probe { until })
            }
        }
    }

    /// Takes note of what came of an attempt that [`Breaker::ask`] allowed.
    ///
    /// A rejected message says nothing against its destination, nor does one that is one too many at once: it
    /// is not counted, and as a probe it proves that somebody answers.
    ///
    /// `slow`: no answer came within the time allowed, which opens the circuit at once.
    pub fn record(
        &mut self,
        pass: Pass,
        outcome: &Outcome,
        slow: bool,
        now: Timestamp,
    ) -> Option<Change> {
        let failed = outcome.blames_destination();
        match (&mut self.0, pass) {
            (State::Closed { failures }, Pass::Open) => {
                *failures = match outcome {
                    Outcome::Delivered { .. } => 0,
                    Outcome::Rejected { .. }
                    | Outcome::Limited { .. }
                    | Outcome::NotSent { .. } => *failures,
                    // Each further message would be held up for as long.
                    _ if slow => FAILURES,
                    _ => *failures + 1,
                };
                let trips = u32::from(!slow);
                (*failures >= FAILURES).then(|| self.open(trips, outcome, now))
            }
            (State::HalfOpen { until, trips }, Pass::Probe { until: ours }) if *until == ours => {
                if failed {
                    let trips = trips.saturating_add(1);
                    let change = self.open(trips, outcome, now);
                    (trips == 1).then_some(change)
                } else {
                    self.0 = State::default();
                    Some(Change::Closed)
                }
            }
            _ => None,
        }
    }

    /// Somebody has mended the destination: it is tried with the next message.
    pub fn hasten(&mut self, now: Timestamp) {
        if let State::Open { until, .. } = &mut self.0 {
            *until = now.min(*until);
        }
    }

    /// Whoever made the probe is gone: the next message is one.
    pub fn forget_probe(&mut self, now: Timestamp) {
        if let State::HalfOpen { until, .. } = &mut self.0 {
            *until = now.min(*until);
        }
    }

    /// Whether an attempt may be made: an ordinary one, or one that finds out whether it is back.
    pub fn may_be_asked(&self, now: Timestamp) -> bool {
        match self.0 {
            State::Closed { .. } => true,
            State::Open { until, .. } | State::HalfOpen { until, .. } => until <= now,
        }
    }

    /// Whether ordinary attempts go through.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, State::Closed { .. })
    }

    /// Whether it is left alone, or a probe is under way. Where nobody has asked for a while after a
    /// cool-down, nothing waits for it: the next message is an ordinary one.
    pub fn is_waited_for(&self, now: Timestamp) -> bool {
        match self.0 {
            State::Closed { .. } => false,
            State::Open { until, .. } | State::HalfOpen { until, .. } => {
                now <= later(until, ASKED_BY)
            }
        }
    }

    /// Whether more than one answer failed to come.
    pub fn has_failed(&self) -> bool {
        match self.0 {
            State::Closed { .. } => false,
            State::Open { trips, .. } | State::HalfOpen { trips, .. } => trips > 0,
        }
    }

    fn open(&mut self, trips: u32, outcome: &Outcome, now: Timestamp) -> Change {
        let asked = match outcome {
            Outcome::Retry { after } => after.unwrap_or_default(),
            _ => SignedDuration::ZERO,
        };
        let until = later(now, cool_down(trips).max(asked));
        self.0 = State::Open { until, trips };
        match trips {
            0 => Change::Slow { until },
            _ => Change::Opened { until },
        }
    }
}

fn cool_down(trips: u32) -> SignedDuration {
    if trips == 0 {
        return AFTER_ONE;
    }
    let doublings = trips.saturating_sub(1).min(16);
    (SHORTEST * (1 << doublings)).min(LONGEST)
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOWN: Outcome = Outcome::Unknown;
    const FINE: Outcome = Outcome::Delivered { receipt: None };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_768_469_400 + second).unwrap()
    }

    fn opened_at(second: i64) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.record(Pass::Open, &DOWN, false, at(second));
        }
        breaker
    }

    fn probe(breaker: &mut Breaker, now: Timestamp) -> Pass {
        match breaker.ask(now) {
            Turn::Go(pass @ Pass::Probe { .. }) => pass,
            other => panic!("expected a probe, got {other:?}"),
        }
    }

    #[test]
    fn a_probe_whose_process_is_gone_keeps_nobody_waiting() {
        let mut breaker = opened_at(0);
        probe(&mut breaker, at(30));
        assert!(matches!(breaker.ask(at(31)), Turn::Wait { .. }));
        breaker.forget_probe(at(31));
        probe(&mut breaker, at(31));
        // One that is left alone goes on being.
        let mut breaker = opened_at(0);
        breaker.forget_probe(at(1));
        assert_eq!(breaker.ask(at(2)), Turn::Wait { until: at(30) });
    }

    #[test]
    fn the_first_attempt_that_is_not_answered_in_time_opens_it() {
        for outcome in [DOWN, Outcome::Retry { after: None }] {
            let mut breaker = Breaker::default();
            let change = breaker.record(Pass::Open, &outcome, true, at(0));
            assert_eq!(change, Some(Change::Slow { until: at(5) }));
            assert!(!breaker.has_failed());
            // It is asked again soon, and left alone for longer if it still does not answer.
            let pass = probe(&mut breaker, at(5));
            let change = breaker.record(pass, &outcome, true, at(10));
            assert_eq!(change, Some(Change::Opened { until: at(40) }));
            assert!(breaker.has_failed());
            assert_eq!(breaker.ask(at(11)), Turn::Wait { until: at(40) });
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let mut breaker = Breaker::default();
        for outcome in [
            Outcome::Retry { after: None },
            DOWN,
            Outcome::denied("401"),
            DOWN,
        ] {
            assert_eq!(breaker.record(Pass::Open, &outcome, false, at(0)), None);
        }
        let until = at(30);
        assert_eq!(
            breaker.record(Pass::Open, &DOWN, false, at(0)),
            Some(Change::Opened { until })
        );
        assert_eq!(breaker.ask(at(29)), Turn::Wait { until });
        assert!(!breaker.is_closed());
    }

    #[test]
    fn a_success_starts_the_count_again_and_a_rejection_leaves_it() {
        let mut breaker = Breaker::default();
        let rejected = Outcome::rejected("no such channel");
        for _ in 0..4 {
            breaker.record(Pass::Open, &DOWN, false, at(0));
        }
        for _ in 0..20 {
            assert_eq!(breaker.record(Pass::Open, &rejected, false, at(0)), None);
        }
        let mut fifth = breaker.clone();
        assert!(fifth.record(Pass::Open, &DOWN, false, at(0)).is_some());
        breaker.record(Pass::Open, &FINE, false, at(0));
        for _ in 0..4 {
            assert_eq!(breaker.record(Pass::Open, &DOWN, false, at(0)), None);
        }
        assert!(breaker.record(Pass::Open, &DOWN, false, at(0)).is_some());
    }

    #[test]
    fn one_too_many_at_once_is_no_failure() {
        let limited = Outcome::Limited { after: None };
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            assert_eq!(breaker.record(Pass::Open, &limited, false, at(0)), None);
        }
        assert!(breaker.is_closed());
        let mut breaker = opened_at(0);
        let pass = probe(&mut breaker, at(30));
        let change = breaker.record(pass, &limited, false, at(31));
        assert_eq!(change, Some(Change::Closed));
    }

    #[test]
    fn one_probe_at_a_time_and_its_success_closes_the_circuit() {
        let mut breaker = opened_at(0);
        let pass = probe(&mut breaker, at(30));
        assert_eq!(breaker.ask(at(31)), Turn::Wait { until: at(36) });
        assert_eq!(breaker.ask(at(148)), Turn::Wait { until: at(150) });
        assert_eq!(
            breaker.record(pass, &FINE, false, at(32)),
            Some(Change::Closed)
        );
        assert_eq!(breaker.ask(at(32)), Turn::Go(Pass::Open));
    }

    #[test]
    fn a_failed_probe_doubles_the_cool_down_up_to_five_minutes() {
        let mut breaker = opened_at(0);
        let mut now = at(30);
        for expected in [60, 120, 240, 300, 300] {
            let pass = probe(&mut breaker, now);
            assert_eq!(breaker.record(pass, &DOWN, false, now), None);
            let Turn::Wait { until } = breaker.ask(now) else {
                panic!("the circuit is open");
            };
            assert_eq!(until.duration_since(now).as_secs(), expected);
            now = until;
        }
    }

    #[test]
    fn the_vendors_wish_outlasts_our_own_cool_down() {
        let mut breaker = opened_at(0);
        let pass = probe(&mut breaker, at(30));
        let after = Some(SignedDuration::from_hours(1));
        breaker.record(pass, &Outcome::Retry { after }, false, at(30));
        assert_eq!(breaker.ask(at(31)), Turn::Wait { until: at(3630) });
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let mut breaker = opened_at(0);
        let before = breaker.clone();
        assert_eq!(breaker.record(Pass::Open, &FINE, false, at(1)), None);
        assert_eq!(breaker, before);

        let lost = probe(&mut breaker, at(30));
        let current = probe(&mut breaker, at(150));
        let before = breaker.clone();
        assert_eq!(breaker.record(lost, &FINE, false, at(151)), None);
        assert_eq!(breaker, before);
        assert_eq!(
            breaker.record(current, &FINE, false, at(152)),
            Some(Change::Closed)
        );
    }

    #[test]
    fn the_state_survives_storage() {
        let mut half_open = opened_at(0);
        probe(&mut half_open, at(30));
        for breaker in [Breaker::default(), opened_at(0), half_open] {
            let text = serde_json::to_string(&breaker).unwrap();
            assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
        }
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(FINE),
            Just(DOWN),
            (0i64..7200).prop_map(|seconds| Outcome::Retry {
                after: Some(SignedDuration::from_secs(seconds))
            }),
            Just(Outcome::denied("401")),
            Just(Outcome::rejected("no")),
        ]
    }

    proptest! {
        /// Any interleaving of askers, some of whom answer late or never.
        #[test]
        fn never_two_live_probes_and_always_another_chance(
            steps in prop::collection::vec((0i64..400, any::<bool>(), outcomes(), any::<prop::sample::Index>()), 1..80)
        ) {
            let mut breaker = Breaker::default();
            let mut now = at(0);
            let mut granted: Vec<Pass> = Vec::new();
            for (passed, asks, outcome, which) in steps {
                now = later(now, SignedDuration::from_secs(passed));
                if asks {
                    let live = granted.iter().any(|pass| matches!(pass, Pass::Probe { until } if now < *until));
                    match breaker.ask(now) {
                        Turn::Go(pass) => {
                            prop_assert!(!(live && matches!(pass, Pass::Probe { .. })), "a second probe");
                            granted.push(pass);
                        }
                        Turn::Wait { until } => {
                            prop_assert!(until > now);
                            let asked = breaker.clone().ask(until);
                            let is_probed = matches!(breaker.0, State::HalfOpen { .. });
                            prop_assert!(is_probed || matches!(asked, Turn::Go(_)), "no probe when due");
                        }
                    }
                } else if !granted.is_empty() {
                    let pass = granted.swap_remove(which.index(granted.len()));
                    breaker.record(pass, &outcome, false, now);
                }
            }
        }
    }
}
