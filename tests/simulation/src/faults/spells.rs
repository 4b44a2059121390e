//! Spells of trouble at a vendor.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::Kind;
use crate::dice::Dice;
use crate::places::Channel;

/// A time at which a vendor is in trouble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spell {
    /// Whose vendor.
    pub channel: Channel,
    /// From when, since the start.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// What kind of trouble.
    pub trouble: Trouble,
    /// How many of its requests it hits.
    pub share: f64,
}

/// What a vendor does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is asked too often, and says in how many seconds to come back.
    TooMany(u64),
    /// It is closed for so many seconds, and says so.
    Closed(u64),
    /// It answers 500; perhaps it has taken the message.
    ServerError,
    /// It never answers; perhaps it has taken the message.
    Silent,
    /// The connection breaks after the request was sent; perhaps it has taken the message.
    Broken,
    /// It cannot be reached.
    Unreachable,
}

impl Trouble {
    /// The kind of fault it is.
    pub const fn kind(self) -> Kind {
        match self {
            Self::TooMany(_) | Self::Closed(_) => Kind::TooMany,
            Self::ServerError => Kind::ServerError,
            Self::Silent | Self::Broken => Kind::NoAnswer,
            Self::Unreachable => Kind::Unreachable,
        }
    }
}

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} from {} s to {} s",
            self.channel.name(),
            self.trouble,
            self.from.as_secs(),
            self.until.as_secs()
        )
    }
}

/// Some spells of the kinds that occur.
pub(super) fn draw(dice: &Dice, kinds: &BTreeSet<Kind>, window: Duration) -> Vec<Spell> {
    let seconds = window.as_secs();
    let mut spells = Vec::new();
    for kind in kinds {
        let troubles: &[Trouble] = match kind {
            Kind::TooMany => &[
                Trouble::TooMany(5),
                Trouble::TooMany(90),
                Trouble::TooMany(1_800),
                Trouble::Closed(300),
            ],
            Kind::ServerError => &[Trouble::ServerError],
            Kind::NoAnswer => &[Trouble::Silent, Trouble::Broken],
            Kind::Unreachable => &[Trouble::Unreachable],
            _ => continue,
        };
        for _ in 0..=dice.below(2) {
            let from = dice.below(seconds);
            let lasts = *dice.pick(&[120, 900, seconds]);
            spells.push(Spell {
                channel: *dice.pick(&Channel::ALL),
                from: Duration::from_secs(from),
                until: Duration::from_secs((from + lasts).min(seconds)),
                trouble: *dice.pick(troubles),
                share: *dice.pick(&[0.3, 0.8, 1.0]),
            });
        }
    }
    spells
}
