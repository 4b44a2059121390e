//! What an attempt makes of its intent: delivered, given up, or when it is tried again.

use jiff::{SignedDuration, Timestamp};

use super::{Outcome, backoff};
use crate::domain::watch::Moment;
use crate::store::intents::{Intent, IntentState};

/// The longest that a queue can hold a message back; a longer wait is the clock's.
pub const QUEUE_REACH: SignedDuration = SignedDuration::from_mins(15);

/// How long after the queue should have brought an intent back the clock does.
const GRACE: SignedDuration = SignedDuration::from_mins(1);

/// A message that was one too many at once, again and again, is given up after this long, as any other is.
const LIMITED: SignedDuration = SignedDuration::from_hours(24);

/// The least wait after credentials were refused: until a person has looked.
pub(crate) const CREDENTIALS_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// How soon, and how late at most, a channel that is not live is looked at again.
pub(crate) const RECHECK: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_mins(15));

/// How long until an intent of this age, whose channel is not live, is looked at again.
pub(crate) fn recheck(created_at: Timestamp, now: Timestamp) -> SignedDuration {
    (now.duration_since(created_at) / 4).clamp(RECHECK.0, RECHECK.1)
}

/// When the clock looks after an intent that is to be tried in `wait`.
pub(crate) fn due_after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    let watched_by_queue = wait <= QUEUE_REACH;
    later(now, if watched_by_queue { wait + GRACE } else { wait })
}

pub(crate) fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The intent after an attempt, and how long to wait if there is to be another.
pub(crate) fn after(
    leased: &Intent,
    outcome: &Outcome,
    at_most_once: bool,
    detail: Option<&str>,
    now: Timestamp,
) -> (Intent, Option<SignedDuration>) {
    let mut intent = leased.clone();
    let words = detail.map_or_else(
        || outcome.name().to_owned(),
        |detail| format!("{}: {detail}", outcome.name()),
    );
    let (state, wait) = match outcome {
        Outcome::Delivered { receipt } => {
            intent.receipt.clone_from(receipt);
            (IntentState::Delivered, None)
        }
        Outcome::Rejected { .. } => (IntentState::Rejected, None),
        Outcome::NotSent { .. } => {
            intent.attempts = intent.attempts.saturating_sub(1);
            intent.not_before = now;
            intent.due_at = later(now, recheck(intent.created_at, now));
            (IntentState::NotSent, None)
        }
        Outcome::Unknown if at_most_once => (IntentState::Rejected, None),
        // That says nothing of this message, and is no try of it that failed.
        Outcome::Limited { after } => {
            intent.forgiven += 1;
            let since = intent.limited_since.get_or_insert(Moment(now)).0;
            let jitter = backoff::jitter(&leased.key(), leased.attempts);
            match now.duration_since(since) < LIMITED {
                true => (IntentState::Pending, Some(backoff::limited(*after, jitter))),
                false => (IntentState::Exhausted, None),
            }
        }
        Outcome::Retry { .. } | Outcome::Unknown | Outcome::Denied { .. } => {
            let floor = match outcome {
                Outcome::Retry { after } => *after,
                Outcome::Denied { .. } => Some(CREDENTIALS_WAIT),
                _ => None,
            };
            let jitter = backoff::jitter(&leased.key(), leased.attempts);
            let counted = leased.attempts.saturating_sub(leased.forgiven);
            let own_time = intent.own_time.filter(|own| own.0 > now);
            match backoff::next(counted, floor, jitter) {
                // It was brought forward, and is tried at its own time all the same.
                _ if let Some(own) = own_time => {
                    intent.forgiven += 1;
                    let wait = own.0.duration_since(now).max(floor.unwrap_or_default());
                    (IntentState::Pending, Some(wait))
                }
                Some(wait) => (IntentState::Pending, Some(wait)),
                None => (IntentState::Exhausted, None),
            }
        }
    };
    intent.state = state;
    intent.in_flight = false;
    intent.own_time = None;
    intent.perhaps_sent |= *outcome == Outcome::Unknown;
    intent.last_outcome = Some(words);
    if let Some(wait) = wait {
        intent.not_before = later(now, wait);
        intent.due_at = due_after(now, wait);
    }
    (intent, wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-01-15T09:30:00Z".parse().unwrap()
    }

    fn intent(attempts: u32) -> Intent {
        Intent {
            attempts,
            in_flight: true,
            ..Intent::new("0199b6a1", 1, "ops".parse().unwrap(), "slack", now(), now())
        }
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Delivered {
                receipt: Some("m1".into())
            }),
            Just(Outcome::Unknown),
            Just(Outcome::denied("HTTP 401")),
            Just(Outcome::rejected("HTTP 404")),
            prop::option::of(0i64..=3_600).prop_map(|after| Outcome::Retry {
                after: after.map(SignedDuration::from_secs)
            }),
            prop::option::of(0i64..=3_600).prop_map(|after| Outcome::Limited {
                after: after.map(SignedDuration::from_secs)
            }),
        ]
    }

    proptest! {
        /// An intent is settled or has a next time, never both and never neither; the clock looks no
        /// earlier than the attempt may be made, and soon after.
        #[test]
        fn every_outcome_settles_or_has_a_next_time(
            attempts in 1u32..14, outcome in outcomes(), at_most_once in any::<bool>(),
        ) {
            let (after, wait) = after(&intent(attempts), &outcome, at_most_once, None, now());
            prop_assert_eq!(after.state == IntentState::Pending, wait.is_some());
            prop_assert!(!after.in_flight);
            if let Some(wait) = wait {
                prop_assert_eq!(after.not_before, now() + wait);
                let slack = after.due_at.duration_since(after.not_before);
                prop_assert!(slack >= SignedDuration::ZERO && slack <= GRACE);
                if let Outcome::Retry { after: Some(floor) } = outcome {
                    prop_assert!(wait >= floor);
                }
                if matches!(outcome, Outcome::Denied { .. }) {
                    prop_assert!(wait >= CREDENTIALS_WAIT);
                }
            }
            if at_most_once && outcome == Outcome::Unknown {
                prop_assert_eq!(after.state, IntentState::Rejected);
            }
        }
    }

    #[test]
    fn what_was_not_sent_counts_no_attempt_and_stays_due() {
        let outcome = Outcome::not_sent("env:TOKEN is not set");
        let (after, wait) = after(&intent(1), &outcome, false, None, now());
        assert_eq!((after.state, wait), (IntentState::NotSent, None));
        assert_eq!(after.attempts, 0);
        assert_eq!(after.due_at, now() + RECHECK.0);
        let old = now() + SignedDuration::from_hours(30);
        assert_eq!(recheck(now(), old), RECHECK.1);
    }

    #[test]
    fn an_intent_that_is_sent_again_has_the_whole_schedule_before_it() {
        let last = u32::try_from(backoff::attempts()).unwrap();
        let again = Intent {
            forgiven: last,
            ..intent(last + 1)
        };
        let (after, _) = after(&again, &Outcome::Unknown, false, None, now());
        assert_eq!(after.state, IntentState::Pending);
    }

    #[test]
    fn what_is_one_too_many_for_a_day_is_given_up_and_not_before() {
        let limited = Outcome::Limited { after: None };
        let mut now = now();
        let mut waits = intent(0);
        let started = now;
        while now.duration_since(started) < LIMITED {
            waits.attempts += 1;
            let wait;
            (waits, wait) = after(&waits, &limited, false, None, now);
            assert_eq!(waits.state, IntentState::Pending);
            assert!(wait.unwrap() < SignedDuration::from_secs(2));
            now += SignedDuration::from_mins(10);
        }
        // What fails meanwhile has its whole schedule.
        let failed = Intent {
            attempts: waits.attempts + 1,
            ..waits.clone()
        };
        let (failed, wait) = after(&failed, &Outcome::Unknown, false, None, now);
        assert_eq!(failed.state, IntentState::Pending);
        assert!(wait.unwrap() < SignedDuration::from_secs(10));
        let (given_up, _) = after(&waits, &limited, false, None, now);
        assert_eq!(given_up.state, IntentState::Exhausted);
        let (again, _) = after(&given_up.again(now), &limited, false, None, now);
        assert_eq!(again.state, IntentState::Pending);
    }

    #[test]
    fn what_is_brought_forward_and_fails_keeps_its_own_time() {
        let own = now() + SignedDuration::from_hours(5);
        let brought_forward = Intent {
            own_time: Some(Moment(own)),
            ..intent(9)
        };
        let (kept, _) = after(&brought_forward, &Outcome::Unknown, false, None, now());
        assert_eq!((kept.not_before, kept.own_time), (own, None));
        assert_eq!(kept.attempts - kept.forgiven, 8);
    }

    #[test]
    fn the_schedule_ends() {
        let last = u32::try_from(backoff::attempts()).unwrap();
        let state = |attempts| {
            after(&intent(attempts), &Outcome::Unknown, false, None, now())
                .0
                .state
        };
        assert_eq!(state(last - 1), IntentState::Pending);
        assert_eq!(state(last), IntentState::Exhausted);
    }
}
