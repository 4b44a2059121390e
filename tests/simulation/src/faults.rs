//! What goes wrong in a world, and the hook that makes it so.

mod outages;
mod sabotage;
mod spells;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

pub use outages::Outage;
pub use sabotage::Saboteur;
pub use spells::{Spell, Trouble};

use crate::dice::Dice;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $name:literal),+ $(,)?) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }
        }
    };
}

kinds! {
    /// Calls take some milliseconds, so that runs come between each other's reads and writes.
    Latency => "latency",
    /// A call takes longer than its function may run, or than a lease lasts.
    Hang => "hang",
    /// A service refuses a call because of its rate, alone or for a minute or two.
    Throttle => "throttle",
    /// A write meets another transaction at the same item.
    Conflict => "conflict",
    /// The connection breaks before a call took effect.
    LostCall => "lost-call",
    /// The connection breaks after a call took effect.
    LostAnswer => "lost-answer",
    /// The process ends at a call, before or after it took effect.
    Crash => "crash",
    /// A function's process ends at the first call of every run, for a while: a version that is no good.
    Outage => "outage",
    /// A function is not invoked, or what it answered is lost.
    LostRun => "lost-run",
    /// What the event source remembers of a done batch is lost: the batch comes again.
    Redelivery => "redelivery",
    /// A message is lost between its sender and its queue.
    LostMessage => "lost-message",
    /// A message arrives twice.
    RepeatedMessage => "repeated-message",
    /// A message arrives late, and after others.
    LateMessage => "late-message",
    /// A vendor answers 429 or 503 and says when to come back.
    TooMany => "too-many",
    /// A vendor answers 500, having taken the message or not.
    ServerError => "server-error",
    /// A vendor does not answer in time, having taken the message or not.
    NoAnswer => "no-answer",
    /// A vendor cannot be reached.
    Unreachable => "unreachable",
    /// Senders' clocks are wrong, by up to days.
    ClockSkew => "clock-skew",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|kind| kind.name() == text);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("`{text}` is none of {}", names.join(", "))
        })
    }
}

/// What goes wrong in one world, and until when.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The seed of each decision.
    pub seed: u64,
    /// The kinds that occur.
    pub kinds: BTreeSet<Kind>,
    /// How likely it is that a call is hit by any of them.
    pub likely: f64,
    /// When it all ends, since the start.
    pub until: Duration,
    /// Times at which calls to the table are throttled one after the other.
    pub storms: Vec<Storm>,
    /// Times at which no run of a function gets anything done.
    pub outages: Vec<Outage>,
    /// Times at which a vendor is in trouble.
    pub spells: Vec<Spell>,
}

/// A time at which the table is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storm {
    /// From when, since the start.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// The function that gets nothing at all; else everybody gets a part of what they ask for.
    pub of: Option<&'static str>,
}

impl Faults {
    /// The faults of a seed: a few of these kinds, or all of them, seldom or often.
    pub fn of(seed: u64, kinds: &[Kind], window: Duration) -> Self {
        let dice = Dice::of(seed, "faults");
        let share = *dice.pick(&[0.25, 0.5, 1.0]);
        let kinds: BTreeSet<Kind> = kinds
            .iter()
            .copied()
            .filter(|_| dice.happens(share))
            .collect();
        let likely = *dice.pick(&[0.004, 0.015, 0.04]);
        let millis = u64::try_from(window.as_millis()).unwrap_or_default();
        let mut storms = Vec::new();
        if kinds.contains(&Kind::Throttle) {
            for _ in 0..dice.below(3) {
                let from = Duration::from_millis(dice.below(millis));
                storms.push(Storm {
                    from,
                    until: from + Duration::from_secs(20 + dice.below(100)),
                    of: dice.happens(0.3).then_some("evaluate"),
                });
            }
        }
        let spells = spells::draw(&dice, &kinds, window);
        let outages = outages::draw(&dice, &kinds, window);
        Self {
            seed,
            kinds,
            likely,
            until: window,
            storms,
            outages,
            spells,
        }
    }

    /// The same without one kind.
    #[must_use]
    pub fn without(&self, kind: Kind) -> Self {
        let mut less = self.clone();
        less.kinds.remove(&kind);
        less.spells.retain(|spell| spell.trouble.kind() != kind);
        if kind == Kind::Throttle {
            less.storms.clear();
        }
        if kind == Kind::Outage {
            less.outages.clear();
        }
        less
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        let kinds = if kinds.is_empty() {
            "none".to_owned()
        } else {
            kinds.join(",")
        };
        write!(
            f,
            "{kinds}; {} of 1000 calls, for {} min",
            self.likely * 1_000.0,
            self.until.as_secs() / 60
        )?;
        for outage in &self.outages {
            write!(f, "; {outage}")?;
        }
        for spell in &self.spells {
            write!(f, "; {spell}")?;
        }
        Ok(())
    }
}
