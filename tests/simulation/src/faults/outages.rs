//! Outages of a function: a version that crashes at everything, until somebody puts the old one back.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::Kind;
use crate::dice::Dice;

/// A time at which no run of a function gets anything done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// How its name begins: the notifiers of all kinds are one program.
    pub function: &'static str,
    /// From when, since the start.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
}

/// The evaluator twice: nobody but the stream asks for what it does.
const FUNCTIONS: [&str; 7] = [
    "evaluate", "evaluate", "ingest", "sync", "clock", "api", "notify-",
];

impl Outage {
    /// Whether it keeps this function from its work at this time.
    pub(super) fn holds(&self, function: &str, at: Duration) -> bool {
        function.starts_with(self.function) && (self.from..self.until).contains(&at)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no {} from {} s to {} s",
            self.function.trim_end_matches('-'),
            self.from.as_secs(),
            self.until.as_secs()
        )
    }
}

/// One or two, if this kind of fault occurs.
pub(super) fn draw(dice: &Dice, kinds: &BTreeSet<Kind>, window: Duration) -> Vec<Outage> {
    if !kinds.contains(&Kind::Outage) {
        return Vec::new();
    }
    let seconds = window.as_secs();
    (0..=dice.below(2))
        .map(|_| {
            let from = dice.below(seconds);
            let lasts = *dice.pick(&[20, 90, 300]);
            Outage {
                function: dice.pick::<&str>(&FUNCTIONS),
                from: Duration::from_secs(from),
                until: Duration::from_secs((from + lasts).min(seconds)),
            }
        })
        .collect()
}
