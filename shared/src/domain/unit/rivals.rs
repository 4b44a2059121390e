//! Who claims a vehicle against the word that counts.
//!
//! Files and marketplaces lag: a source that had the vehicle before it was sold or brought elsewhere may
//! only not have heard of that. It is a rival if it lists the vehicle anew after that, or goes on for
//! [`LAG`].

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Claim, Resolved, Unit, UnitState};
use crate::domain::Authority;
use crate::domain::id::{ConnectorName, LocationId};

/// How long a source may go on stating what was true before.
pub const LAG: SignedDuration = SignedDuration::from_hours(24);

/// A source that said that it has the vehicle before that was overtaken, and nothing new since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outdated {
    /// Which source.
    pub source: ConnectorName,
    /// Where it has the vehicle.
    pub location: LocationId,
    /// When that was overtaken.
    pub since: Timestamp,
}

/// Those who have a vehicle elsewhere, or that has left.
#[derive(Default)]
pub(super) struct Elsewhere {
    pub(super) rivals: Vec<(ConnectorName, LocationId)>,
    pub(super) outdated: Vec<Outdated>,
}

impl Elsewhere {
    /// Takes a source up that has the vehicle at another rooftop. `overtaken`: when that was, if it may
    /// only not have heard of it.
    pub(super) fn add(
        &mut self,
        source: &ConnectorName,
        location: &LocationId,
        overtaken: Option<Timestamp>,
    ) {
        let (source, location) = (source.clone(), location.clone());
        match overtaken {
            None => self.rivals.push((source, location)),
            Some(since) => self.outdated.push(Outdated {
                source,
                location,
                since,
            }),
        }
    }

    /// What of it contradicts that a vehicle is at this rooftop. Of a rooftop that the configuration does
    /// not have, as one whose name was changed, nobody has said anew where it is.
    pub(super) fn within(mut self, location: Option<&LocationId>, authority: &Authority) -> Self {
        let is_known = |place: &LocationId| authority.has_place(place);
        if location.is_some_and(|location| !is_known(location)) {
            return Self::default();
        }
        self.rivals.retain(|(_, place)| is_known(place));
        self.outdated.retain(|it| is_known(&it.location));
        self
    }
}

/// Two sources' words on where a vehicle is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Whose word is the earlier one.
    pub earlier: ConnectorName,
    /// Since when the later one has said otherwise.
    pub since: Timestamp,
    /// Whether the earlier one has said so again.
    pub stands: bool,
}

impl Unit {
    /// Which of two sources said first what the other contradicts, that they have it at a rooftop or that it
    /// has left, and whether it stood by that.
    pub fn contradiction(
        &self,
        one: &ConnectorName,
        other: &ConnectorName,
    ) -> Option<Contradiction> {
        let said = |name: &ConnectorName| {
            let (name, claim) = self.claims.get_key_value(name)?;
            let since = claim.has_it_there_since().or_else(|| claim.gone_since());
            Some((since?, name, claim))
        };
        let (one, other) = (said(one)?, said(other)?);
        let ((_, earlier, claim), (since, ..)) = match one.0 <= other.0 {
            true => (one, other),
            false => (other, one),
        };
        Some(Contradiction {
            earlier: earlier.clone(),
            since,
            stands: claim.last_word().is_some_and(|last| last > since),
        })
    }

    /// Who has it at the same rooftop in another state than the one that counts, or says that it has left, and
    /// has said so since the holder came to its own, and in which: the holder's word counts, however often
    /// either repeats it.
    pub fn unheeded(&self, resolved: &Resolved) -> Vec<(&ConnectorName, UnitState)> {
        let holder = resolved.holder.as_ref();
        let same = |state: &UnitState| state.counts() == resolved.state.counts();
        let held = holder.and_then(|holder| self.claims.get(holder)?.state.since(same));
        let Some(held) = held.filter(|_| resolved.state.is_present()) else {
            return Vec::new();
        };
        let others = self.claims.iter().filter_map(|(name, claim)| {
            let said = claim.state.latest()?;
            let speaks_of_it = said.value.is_present() || said.value.is_departure();
            let differs = speaks_of_it && !same(&said.value);
            (differs && said.version > held).then_some((name, said.value))
        });
        let is_rival = |name| resolved.rivals.iter().any(|(rival, _)| rival == name);
        others
            .filter(|(name, _)| Some(*name) != holder && !is_rival(*name))
            .collect()
    }

    /// What a source last said of it: that it is there in such a state, or has left.
    pub fn word_of(&self, source: &ConnectorName) -> Option<UnitState> {
        let mut said = self.claims.get(source)?.state.iter().rev();
        let said = said.find(|said| said.value.is_present() || said.value.is_departure());
        said.map(|said| said.value)
    }
}

impl Claim {
    /// Since when it has the vehicle where it has it now.
    fn has_it_there_since(&self) -> Option<Timestamp> {
        let stay = self.stay_since();
        self.location_since().max(stay.map(|version| version.at))
    }

    /// Since when it says that the vehicle has left.
    fn gone_since(&self) -> Option<Timestamp> {
        let said = self.state.iter().rev();
        let gone = said.take_while(|said| !said.value.is_present());
        let left = gone.filter(|said| said.value.is_departure()).last();
        left.map(|said| said.version.at)
    }

    /// When it last said where the vehicle is, or in what state.
    fn last_word(&self) -> Option<Timestamp> {
        let state = self.state.latest().map(|said| said.version.at);
        state.max(self.location.latest().map(|said| said.version.at))
    }

    /// Whether it goes on claiming the vehicle so long after it was overtaken that it cannot be a lag.
    pub(super) fn goes_on_after(&self, overtaken: Timestamp) -> bool {
        let last = self.state.latest();
        last.is_some_and(|said| said.version.at.duration_since(overtaken) >= LAG)
    }

    /// Whether it lists a vehicle anew that was gone by then: first listed after that, or entered that day
    /// or later by what it said after that.
    pub(super) fn is_listed_anew(&self, gone: Timestamp, authority: &Authority) -> bool {
        let stay = self.state.since(|state: &UnitState| state.is_present());
        let day = super::resolve::day_of(gone, self.location.value(), authority);
        let entry = self.since.value().filter(|since| **since >= day);
        let entered = entry.and_then(|entry| self.since.since(|since| since == entry));
        stay.max(entered).is_some_and(|said| said.at > gone)
    }
}
