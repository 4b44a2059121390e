//! A unit: one vehicle, known by its VIN.
//!
//! Several systems speak of the same vehicle. What each has said of its whereabouts is kept, attribute
//! by attribute, with the versions it had ([`History`]); what is true is resolved from all of it
//! (`resolve`), so that the result does not depend on the order in which it was heard (G3).

mod claims;
mod resolve;
mod rivals;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Authority;
use super::alert::named;
use super::event::Version;
use super::id::{ConnectorName, LocationId};
use super::money::Money;
use super::origin::{Origin, Replayed};
use super::product::ProductId;
use super::vin::Vin;

pub use self::rivals::{Contradiction, LAG, Outdated};
pub use super::history::{History, Stamped};

/// How long after its last word a source is taken to have a vehicle no more, once it is taken out of the
/// configuration.
pub const AFTER_LAST_WORD: SignedDuration = SignedDuration::from_millis(1);

named!(
    /// Where a unit stands between order and sale.
    UnitState {
        /// On its way to a location.
        InTransit => "in_transit",
        /// On the lot, for sale.
        InStock => "in_stock",
        /// On the lot, used as a demonstrator.
        Demo => "demo",
        /// Promised to a customer.
        Reserved => "reserved",
        /// Sold, papers not yet done.
        SalePending => "sale_pending",
        /// Sold.
        Sold => "sold",
        /// Given to a location outside our stock.
        Transferred => "transferred",
        /// Given to the trade.
        Wholesale => "wholesale",
        /// No longer in any source.
        Removed => "removed",
    }
);

impl UnitState {
    /// How a unit in this state counts: on hand, reserved, incoming.
    pub const fn counts(self) -> [i64; 3] {
        match self {
            Self::InStock | Self::Demo => [1, 0, 0],
            Self::Reserved | Self::SalePending => [1, 1, 0],
            Self::InTransit => [0, 0, 1],
            Self::Sold | Self::Transferred | Self::Wholesale | Self::Removed => [0, 0, 0],
        }
    }

    /// Whether a unit in this state belongs to somebody's stock.
    pub const fn is_present(self) -> bool {
        let [on_hand, _, incoming] = self.counts();
        on_hand + incoming > 0
    }

    /// Whether a unit in this state is for sale, now or once it has come.
    pub const fn is_offered(self) -> bool {
        let [on_hand, reserved, incoming] = self.counts();
        on_hand + incoming > reserved
    }

    /// Whether a unit in this state stands there, and is not only on its way.
    pub const fn is_in_stock(self) -> bool {
        let [on_hand, ..] = self.counts();
        on_hand > 0
    }

    /// Whether it says that somebody has taken the vehicle for good.
    pub const fn is_departure(self) -> bool {
        matches!(self, Self::Sold | Self::Wholesale)
    }

    /// Of two states that a source gives for one instant, the one further gone counts: a vehicle that
    /// is offered although it is sold does more harm than one that is not offered for a while.
    pub(crate) const fn how_far_gone(self) -> u8 {
        match self {
            Self::InTransit => 0,
            Self::InStock => 1,
            Self::Demo => 2,
            Self::Reserved => 3,
            Self::SalePending => 4,
            Self::Removed => 5,
            Self::Transferred => 6,
            Self::Wholesale => 7,
            Self::Sold => 8,
        }
    }
}

/// A describing attribute of a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", content = "value", rename_all = "snake_case")]
pub enum Field {
    /// Words: make, model, colour, …
    Text(String),
    /// An amount with its currency.
    Money(Money),
    /// A distance, as the source wrote it: `2560 mi`.
    Distance(String),
    /// A whole number: year, doors, …
    Number(i64),
    /// A list: options, picture addresses.
    List(Vec<String>),
}

/// One source's word on one vehicle. What it does not mention stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitReport {
    /// The vehicle.
    pub vin: Vin,
    /// When this was true, by the source's order.
    pub version: Version,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UnitState>,
    /// Which rooftop has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    /// What the source calls that rooftop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// The dealer's stock number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_number: Option<String>,
    /// Since when it has been in stock there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Date>,
    /// Nobody says so: the source was taken out of the configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source_gone: bool,
    /// It was brought to that rooftop: a transfer, and not merely a description.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brought: bool,
    /// It says what is so by then, and not since when.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undated: bool,
    /// Everything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Field>,
}

impl UnitReport {
    /// That its source has it no more.
    pub fn removed(vin: Vin, version: Version) -> Self {
        Self {
            vin,
            version,
            state: Some(UnitState::Removed),
            location: None,
            called: None,
            stock_number: None,
            since: None,
            source_gone: false,
            brought: false,
            undated: false,
            fields: BTreeMap::new(),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.state.is_none()
            && self.location.is_none()
            && self.called.is_none()
            && self.stock_number.is_none()
            && self.since.is_none()
            && self.fields.is_empty()
    }
}

/// What one source has said of a vehicle's whereabouts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Where it stands.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub state: History<UnitState>,
    /// That it was there, of an instant of which it is also said that it has left: then it had been there.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub left_at_once: History<UnitState>,
    /// Which rooftop has it.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub location: History<LocationId>,
    /// What it calls that rooftop.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub called: History<String>,
    /// Since when it has been in stock there.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub since: History<Date>,
    /// The dealer's stock number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_number: Option<Stamped<String>>,
    /// To which rooftop it was last brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought: Option<Stamped<LocationId>>,
    /// When it was first said to have left without a word of when that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undated: Option<Version>,
}

impl Claim {
    /// Takes its word on the vehicle's state. Of two of one version the one further gone counts.
    fn hear_state(&mut self, state: Option<UnitState>, version: Version) {
        let further =
            |one: &UnitState, other: &UnitState| one.how_far_gone() > other.how_far_gone();
        let known = self.state.of(version).copied();
        self.state.hear(state, version, further);
        let is_gone = self.state.of(version).is_some_and(|it| !it.is_present());
        for there in [known, state].into_iter().flatten() {
            if is_gone && there.is_present() {
                self.left_at_once.hear(Some(there), version, further);
            }
        }
    }

    /// Takes its word on where the vehicle is. A source says what it calls the rooftop, and the configuration
    /// where that is: the same name of one version, read anew, is in the place of what it was read as before,
    /// whichever reading comes first. Of two names of one version the lower counts.
    fn hear_place(&mut self, report: &UnitReport, version: Version, read_by: u64) {
        let lower = |one: &String, other: &String| one < other;
        let Some(location) = &report.location else {
            self.called.hear(report.called.clone(), version, lower);
            return;
        };
        let is_old = self
            .location
            .latest()
            .is_some_and(|it| version <= it.version);
        let known_as = self.called.at(version);
        // A row from before names were kept is not written for the name's sake.
        let is_known = is_old && known_as.is_none() && self.location.at(version) == Some(location);
        let said = Stamped {
            value: location.clone(),
            version,
            read_by: report.called.as_ref().map_or(0, |_| read_by),
        };
        self.location
            .take(said, |new, known| match (&report.called, known_as) {
                (Some(name), Some(known_as)) if name != known_as => name < known_as,
                (Some(_), None) => new.value != known.value,
                (None, Some(_)) => false,
                // Also to the same place: what an older version makes of it may be heard after that.
                _ if new.read_by != known.read_by => new.read_by > known.read_by,
                _ => new.value < known.value,
            });
        if !is_known {
            self.called.hear(report.called.clone(), version, lower);
        }
        let brought = report.brought.then(|| location.clone());
        hear(&mut self.brought, brought, version);
        if let Some(to) = &mut self.brought
            && let Some(place) = self.location.at(to.version)
        {
            to.value.clone_from(place);
        }
    }

    /// Where it had the vehicle by then, as the name that it said is read now.
    fn place_at(&self, version: Version) -> Option<&LocationId> {
        let name = self.called.at(version);
        let mut newest_first = self.location.iter().rev();
        let anew = newest_first.find(|it| name.is_some() && self.called.at(it.version) == name);
        anew.map(|it| &it.value)
            .or_else(|| self.location.at(version))
    }
}

/// A vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The vehicle.
    pub vin: Vin,
    /// Counts the changes of this unit; each is one ledger row.
    pub revision: u64,
    /// The last ledger row's hash, in hex.
    #[serde(default)]
    pub chain: String,
    /// What the last change goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Whether webhooks that were applied again have written it lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
    /// Each source's word on where it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<ConnectorName, Claim>,
    /// Each source's word on everything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, BTreeMap<ConnectorName, Stamped<Field>>>,
    /// What it was counted as when last written, so that the positions can follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// The sales that the positions count as demand, for the same purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demand: Vec<Demand>,
}

/// A sale of this vehicle that counts as demand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Demand {
    /// The model line.
    pub product: ProductId,
    /// The rooftop that sold it.
    pub location: LocationId,
    /// The rooftop's calendar day.
    pub day: Date,
}

/// Which position a unit is counted in, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The model line.
    pub product: ProductId,
    /// The rooftop.
    pub location: LocationId,
    /// The state that decides how it counts.
    pub state: UnitState,
}

/// What is true of a unit, all sources considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// Where it stands.
    pub state: UnitState,
    /// Which rooftop has it (for a sold unit: which rooftop had it).
    pub location: Option<LocationId>,
    /// The dealer's stock number.
    pub stock_number: Option<String>,
    /// The source whose word counts.
    pub holder: Option<ConnectorName>,
    /// The source by whose word it stands there, if it is there.
    pub placed_by: Option<ConnectorName>,
    /// The other sources that claim to have it too, and where. It is counted once, for the holder, or
    /// not at all once it is sold.
    pub rivals: Vec<(ConnectorName, LocationId)>,
    /// Sources that may only not have heard yet of what became of it.
    pub outdated: Vec<Outdated>,
    /// When it was sold, if it was.
    pub sold_at: Option<Timestamp>,
}

impl Resolved {
    /// Its state, if anybody has stated one that can be read. Until then it counts as nothing.
    pub fn stated(&self) -> Option<UnitState> {
        self.holder.is_some().then_some(self.state)
    }
}

impl Unit {
    /// A vehicle about which nothing is known yet.
    pub fn unknown(vin: Vin) -> Self {
        Self {
            vin,
            revision: 0,
            chain: String::new(),
            origin: None,
            replayed: None,
            claims: BTreeMap::new(),
            fields: BTreeMap::new(),
            counted: None,
            demand: Vec::new(),
        }
    }

    /// The unit with the report heard, or `None` if it says nothing new. `read_by`: the version of the
    /// configuration by which the name of its rooftop was read.
    pub fn after(&self, source: &ConnectorName, report: &UnitReport, read_by: u64) -> Option<Self> {
        let mut next = self.clone();
        let version = report.version.kept();
        let claim = next.claims.entry(source.clone()).or_default();
        if !report.source_gone {
            claim.go_on(report.state, version);
        }
        claim.hear_state(report.state, version);
        claim.hear_place(report, version, read_by);
        if report.undated && report.state.is_some_and(UnitState::is_departure) {
            claim.undated = Some(claim.undated.map_or(version, |known| known.min(version)));
        }
        // The earlier day brings nothing back that was sold after it.
        claim
            .since
            .hear(report.since, version, |one, other| one < other);
        hear(
            &mut claim.stock_number,
            report.stock_number.clone(),
            version,
        );
        if *claim == Claim::default() {
            next.claims.remove(source);
        }
        for (name, value) in &report.fields {
            let heard = next.fields.entry(name.clone()).or_default();
            let mut slot = heard.remove(source);
            hear(&mut slot, Some(value.clone()), version);
            if let Some(stamped) = slot {
                heard.insert(source.clone(), stamped);
            }
        }
        (next != *self).then_some(next)
    }

    /// A field's value by precedence: the best-ranked source's, else the newest.
    pub fn field(&self, name: &str, ranking: &[ConnectorName]) -> Option<&Field> {
        let (_, stamped) = self.field_and_source(name, ranking)?;
        Some(&stamped.value)
    }

    /// The source whose word on a field counts, and what it said.
    pub fn field_and_source(
        &self,
        name: &str,
        ranking: &[ConnectorName],
    ) -> Option<(&ConnectorName, &Stamped<Field>)> {
        owned(self.fields.get(name)?, ranking)
    }

    /// The model line it counts towards, once make and model are known.
    pub fn model_line(&self, authority: &Authority) -> Option<ProductId> {
        let (make, model) = self.make_and_model(authority)?;
        ProductId::model_line(make, model).ok()
    }

    /// Its make and model as they are written by whoever's word counts.
    pub fn called(&self, authority: &Authority) -> Option<String> {
        let (make, model) = self.make_and_model(authority)?;
        let words = make.split_whitespace().chain(model.split_whitespace());
        Some(words.collect::<Vec<_>>().join(" "))
    }

    fn make_and_model(&self, authority: &Authority) -> Option<(&str, &str)> {
        let text = |name| match self.field(name, authority.field(name)) {
            Some(Field::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        Some((text("make")?, text("model")?))
    }

    /// Whether anybody has said that it is there, or was: in such a state.
    pub fn was_at(&self, location: &LocationId, is_there: impl Fn(UnitState) -> bool) -> bool {
        self.claims.values().any(|claim| {
            let said = claim.state.iter().chain(claim.left_at_once.iter());
            let mut there = said.filter(|said| is_there(said.value));
            // It came there while it was in stock, or was in stock from then on.
            let mut came = claim
                .location
                .iter()
                .filter(|said| claim.place_at(said.version) == Some(location))
                .filter_map(|said| claim.state.at(said.version));
            came.any(|state| is_there(*state))
                || there.any(|said| {
                    let known = claim.place_at(said.version);
                    known.or_else(|| claim.location.value()) == Some(location)
                })
        })
    }

    /// How it should be counted now, once its model line and rooftop are known.
    pub fn count(&self, authority: &Authority) -> Option<Counted> {
        let resolved = self.resolve(authority);
        Some(Counted {
            product: self.model_line(authority)?,
            location: resolved.location?,
            state: resolved.state,
        })
    }
}

/// Whose word counts, of what sources said of one attribute, and what that is: the best-ranked one's of
/// those that have spoken, else the newest.
pub(crate) fn owned<'a, T>(
    heard: &'a BTreeMap<ConnectorName, Stamped<T>>,
    ranking: &[ConnectorName],
) -> Option<(&'a ConnectorName, &'a Stamped<T>)> {
    let mut ranked = ranking.iter();
    ranked
        .find_map(|source| heard.get_key_value(source))
        .or_else(|| {
            let newest = |(source, stamped): &(&'a ConnectorName, &'a Stamped<T>)| {
                (stamped.version, *source)
            };
            heard.iter().max_by_key(newest)
        })
}

/// Takes a newer value; of two values of one version, the lower one, so that order does not matter.
pub(crate) fn hear<T: PartialOrd>(
    slot: &mut Option<Stamped<T>>,
    value: Option<T>,
    version: Version,
) {
    let Some(value) = value else { return };
    let newer = match slot {
        None => true,
        Some(known) if known.version == version => value < known.value,
        Some(known) => version > known.version,
    };
    if newer {
        *slot = Some(Stamped::new(value, version));
    }
}

#[cfg(test)]
mod again;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
