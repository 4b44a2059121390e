//! In which order an alert's revisions leave on one channel, and which of them leave at all.
//!
//! A revision waits until those before it are settled, so nobody is told that something is over and
//! then that it began. A settled intent stays settled (but for one that a person has sent again, and
//! then only the last), so what is read here cannot become untrue before the message leaves.
//!
//! Where only the latest revision matters, those that a later one has overtaken are not sent. If an
//! alert is over before anything of it left, nothing is: to be told that something unheard of is over
//! is noise. Where each matters, each is sent, also what waited for the channel to be live.

use jiff::{SignedDuration, Timestamp};

use crate::channels::Order;
use crate::store::Stored;
use crate::store::intents::{Intent, IntentState};

/// How long to wait for a message that is being sent: most are answered sooner.
const IN_FLIGHT: SignedDuration = SignedDuration::from_secs(2);

/// How soon to look again at a message that waits in the queue, and how late at most.
const QUEUED: SignedDuration = SignedDuration::from_secs(1);
const LATE: SignedDuration = SignedDuration::from_secs(30);

/// How long to wait for what its channel kept, and what the clock is to bring back now.
pub(super) const UNSENT: SignedDuration = SignedDuration::from_secs(10);

/// How long to wait for a group to carry an earlier revision, where each is to be told.
const GROUPED: SignedDuration = SignedDuration::from_secs(30);

/// Whether it is a revision's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It is, once these earlier revisions are settled as superseded (by their index).
    Now { supersedes: Vec<usize> },
    /// An earlier one is still to leave: look again after this long.
    After(SignedDuration),
    /// This earlier one (by its index) was not sent while the channel was not live, and comes first.
    AfterUnsent(usize),
    /// It is not to be sent, nor are these earlier ones.
    Never {
        reason: String,
        supersedes: Vec<usize>,
    },
}

/// What a channel makes of what was said earlier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) order: Order,
    /// Whether what is sent now leaves.
    pub(super) is_live: bool,
}

/// A revision's place among all of its alert's revisions on one channel.
pub(super) fn place(
    ours: &Intent,
    all: &[Stored<Intent>],
    Way { order, is_live }: Way,
    over: bool,
    now: Timestamp,
) -> Place {
    let mut later = all.iter().map(|stored| &stored.data).filter(|other| {
        // What is left out takes along what came before it.
        let settled = matches!(
            other.state,
            IntentState::Delivered | IntentState::Superseded
        );
        let overtakes = order == Order::Latest && other.is_unsettled();
        other.revision > ours.revision && (settled || overtakes)
    });
    if let Some(newest) = later.next_back() {
        return Place::Never {
            reason: overtaken_by(newest.revision),
            supersedes: Vec::new(),
        };
    }
    let mut supersedes = Vec::new();
    let mut earlier = Vec::new();
    for (index, Stored { data: other, .. }) in all.iter().enumerate() {
        if other.revision >= ours.revision {
            continue;
        }
        earlier.push(other);
        if !other.is_unsettled() {
            continue;
        }
        let wait = other.not_before.duration_since(now);
        if other.in_flight && wait > SignedDuration::ZERO {
            return Place::After(wait.min(IN_FLIGHT));
        }
        match (order, other.state) {
            // What a group was to tell, too: nobody waits for a message that comes later.
            (Order::Latest, _) => supersedes.push(index),
            (Order::Each, _) if other.group.is_some() => return Place::After(GROUPED),
            (Order::Each, IntentState::NotSent) if is_live && !other.is_in_vain(now) => {
                return Place::AfterUnsent(index);
            }
            // Nor is ours sent.
            (Order::Each, IntentState::NotSent) => {}
            (Order::Each, _) => return Place::After(wait.max(look_again(other, now))),
        }
    }
    let reached = ours.perhaps_sent || earlier.iter().any(|one| one.may_have_reached());
    // Who takes each revision hears the end of what it refused, too, and not of what was left out.
    let left_out = |one: &&Intent| one.state == IntentState::Superseded;
    let is_noise = order == Order::Latest || earlier.iter().all(left_out);
    if is_noise && over && !earlier.is_empty() && !reached {
        return Place::Never {
            reason: "the alert ended before anything of it left".to_owned(),
            supersedes,
        };
    }
    Place::Now { supersedes }
}

/// That an earlier alert's message goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// It is on its way: look again after this long.
    OnItsWay(SignedDuration),
    /// It was not sent while the channel was not live.
    Unsent,
}

/// Whether the first message of an alert waits for one of another alert on the same subject: only for
/// what was said before, so that no two wait for each other. What a group tells is not waited for.
pub(super) fn goes_first(
    ours: &Intent,
    earlier: &Intent,
    is_live: bool,
    now: Timestamp,
) -> Option<First> {
    let is_open = earlier.is_unsettled() && earlier.group.is_none();
    if !is_open || earlier.created_at >= ours.created_at {
        return None;
    }
    let wait = earlier.not_before.duration_since(now);
    if earlier.in_flight && wait > SignedDuration::ZERO {
        return Some(First::OnItsWay(wait.min(IN_FLIGHT)));
    }
    if earlier.state == IntentState::NotSent {
        return (is_live && !earlier.is_in_vain(now)).then_some(First::Unsent);
    }
    Some(First::OnItsWay(wait.max(look_again(earlier, now))))
}

/// When to look again at what goes first and waits in the queue: soon, and after an eighth of the time that it
/// has been due already. It may be lost until its due time comes, and many may wait for it.
fn look_again(first: &Intent, now: Timestamp) -> SignedDuration {
    (now.duration_since(first.not_before) / 8).clamp(QUEUED, LATE)
}

/// Why an earlier revision is not sent.
pub(super) fn overtaken_by(revision: u32) -> String {
    format!("revision {revision} says what is true now")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::Key;

    fn now() -> Timestamp {
        "2026-01-15T09:30:00Z".parse().unwrap()
    }

    fn intent(revision: u32, state: IntentState) -> Intent {
        Intent {
            state,
            ..Intent::new(
                "a1",
                revision,
                "ops".parse().unwrap(),
                "slack",
                now(),
                now(),
            )
        }
    }

    fn placed(ours: &Intent, others: Vec<Intent>, order: Order, over: bool) -> Place {
        let mut all = others;
        all.push(ours.clone());
        all.sort_by_key(|intent| intent.revision);
        let all: Vec<_> = all
            .into_iter()
            .map(|data| Stored {
                key: Key {
                    pk: String::new(),
                    sk: String::new(),
                },
                version: 1,
                data,
            })
            .collect();
        let is_live = true;
        place(ours, &all, Way { order, is_live }, over, now())
    }

    fn go(supersedes: &[usize]) -> Place {
        Place::Now {
            supersedes: supersedes.to_vec(),
        }
    }

    #[test]
    fn each_revision_waits_for_the_one_before_it() {
        use IntentState as S;
        let waiting = Intent {
            not_before: now() + SignedDuration::from_secs(20),
            attempts: 1,
            ..intent(1, S::Pending)
        };
        let second = intent(2, S::Pending);
        let place = |first: &Intent| placed(&second, vec![first.clone()], Order::Each, true);
        assert_eq!(place(&waiting), Place::After(SignedDuration::from_secs(20)));
        // What lies in the queue is looked at less often the longer it should have left. How old it is says
        // nothing: after an outage it leaves as soon as what comes before it has.
        for (late, again) in [(0, 1), (80, 10), (3_600, 30)] {
            let first = Intent {
                created_at: now() - SignedDuration::from_secs(9_000),
                not_before: now() - SignedDuration::from_secs(late),
                ..intent(1, S::Pending)
            };
            let again = Place::After(SignedDuration::from_secs(again));
            assert_eq!(place(&first), again, "{late} s");
        }
        for settled in [S::Delivered, S::Rejected, S::Exhausted] {
            assert_eq!(place(&intent(1, settled)), go(&[]), "{settled}");
        }
    }

    #[test]
    fn what_was_not_sent_is_waited_for_where_each_revision_matters() {
        let first = intent(1, IntentState::NotSent);
        let second = intent(2, IntentState::Pending);
        for over in [false, true] {
            let place = placed(&second, vec![first.clone()], Order::Each, over);
            assert_eq!(place, Place::AfterUnsent(0));
        }
        let open = placed(&second, vec![first], Order::Latest, false);
        assert_eq!(open, go(&[0]));
    }

    #[test]
    fn only_where_each_revision_matters_one_waits_for_a_group() {
        let gathered = Intent {
            group: Some(Box::new(crate::domain::group::Belongs {
                route: "all".to_owned(),
                labels: Vec::new(),
                pace: crate::domain::group::Pace {
                    wait: GROUPED,
                    interval: GROUPED,
                    repeat: None,
                    most: 1,
                },
            })),
            ..intent(1, IntentState::Pending)
        };
        let second = intent(2, IntentState::Pending);
        let place = |order| placed(&second, vec![gathered.clone()], order, false);
        assert_eq!(place(Order::Latest), go(&[0]));
        assert_eq!(place(Order::Each), Place::After(GROUPED));
    }

    #[test]
    fn where_the_latest_matters_what_it_has_overtaken_is_superseded() {
        use IntentState as S;
        let (first, second) = (intent(1, S::Pending), intent(2, S::Pending));
        let open = placed(&second, vec![first.clone()], Order::Latest, false);
        assert_eq!(open, go(&[0]));
        let overtaken = placed(&first, vec![second], Order::Latest, false);
        assert!(matches!(overtaken, Place::Never { .. }), "{overtaken:?}");
    }

    #[test]
    fn the_end_of_what_nobody_was_told_is_not_told_either() {
        use IntentState as S;
        let second = intent(2, S::Pending);
        let over = |first: Intent| placed(&second, vec![first], Order::Latest, true);
        let nothing_left = over(intent(1, S::Pending));
        assert!(matches!(nothing_left, Place::Never { ref supersedes, .. } if *supersedes == [0]));
        assert!(matches!(over(intent(1, S::Rejected)), Place::Never { .. }));
        assert_eq!(over(intent(1, S::Delivered)), go(&[]));
        let perhaps = Intent {
            perhaps_sent: true,
            ..intent(1, S::Pending)
        };
        assert_eq!(over(perhaps), go(&[0]));
        let crashed = Intent {
            in_flight: true,
            ..intent(1, S::Pending)
        };
        assert_eq!(over(crashed), go(&[0]));
    }

    #[test]
    fn the_end_of_what_was_not_even_tried_is_told_to_nobody() {
        use IntentState as S;
        let end = intent(2, S::Pending);
        for (order, state) in [
            (Order::Each, S::Superseded),
            (Order::Latest, S::Superseded),
            (Order::Latest, S::NotSent),
        ] {
            let place = placed(&end, vec![intent(1, state)], order, true);
            assert!(matches!(place, Place::Never { .. }), "{order:?} {state}");
            let left_out = vec![intent(2, S::Superseded)];
            let place = placed(&intent(1, S::Pending), left_out, order, false);
            assert!(matches!(place, Place::Never { .. }), "{order:?}");
        }
    }

    #[test]
    fn what_is_being_sent_is_waited_for_and_never_superseded() {
        let sending = Intent {
            in_flight: true,
            not_before: now() + SignedDuration::from_secs(30),
            ..intent(1, IntentState::Pending)
        };
        let second = intent(2, IntentState::Pending);
        for order in [Order::Each, Order::Latest] {
            let place = placed(&second, vec![sending.clone()], order, true);
            assert_eq!(place, Place::After(IN_FLIGHT));
        }
    }
}
