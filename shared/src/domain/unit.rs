//! A unit: one vehicle, known by its VIN.
//!
//! Several systems speak of the same vehicle. Each one's latest word is kept, attribute by attribute,
//! with the version it had; what is true is resolved from all of them, so that the result does not
//! depend on the order in which they were heard (G3).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::alert::named;
use super::event::Version;
use super::id::{ConnectorName, LocationId};
use super::money::Money;
use super::origin::Origin;
use super::product::ProductId;
use super::vin::Vin;

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
}

/// A value and the source's version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// When the source said so.
    pub version: Version,
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
    /// The dealer's stock number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_number: Option<String>,
    /// Since when it has been in stock there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Date>,
    /// Everything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Field>,
}

/// What one source last said of a vehicle's whereabouts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Stamped<UnitState>>,
    /// Which rooftop has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Stamped<LocationId>>,
    /// The dealer's stock number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_number: Option<Stamped<String>>,
    /// Since when it has been in stock there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Stamped<Date>>,
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
    /// Each source's word on where it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<ConnectorName, Claim>,
    /// Each source's word on everything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, BTreeMap<ConnectorName, Stamped<Field>>>,
    /// What it was counted as when last written, so that the positions can follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
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
    /// The other sources that claim to have it too, and where. It is counted once, for the holder.
    pub rivals: Vec<(ConnectorName, LocationId)>,
    /// When it was sold, if it was.
    pub sold_at: Option<Timestamp>,
}

impl Unit {
    /// A vehicle about which nothing is known yet.
    pub fn unknown(vin: Vin) -> Self {
        Self {
            vin,
            revision: 0,
            chain: String::new(),
            origin: None,
            claims: BTreeMap::new(),
            fields: BTreeMap::new(),
            counted: None,
        }
    }

    /// The unit with the report heard, or `None` if it says nothing new.
    pub fn after(&self, source: &ConnectorName, report: &UnitReport) -> Option<Self> {
        let mut next = self.clone();
        let version = report.version.kept();
        let claim = next.claims.entry(source.clone()).or_default();
        hear(&mut claim.state, report.state, version);
        hear(&mut claim.location, report.location.clone(), version);
        hear(
            &mut claim.stock_number,
            report.stock_number.clone(),
            version,
        );
        hear(&mut claim.since, report.since, version);
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

    /// What is true, given who owns the answer (best first; sources not listed come after).
    ///
    /// A sale counts from whichever source reports it, and no other source's older stock record
    /// brings the unit back: only its seller's own later word does, or stock dated after the sale (it
    /// was traded in again). Of several sources that have it on their lot at different rooftops, the
    /// best-ranked holds it, then the one that has had it longest; the others are rivals.
    pub fn resolve(&self, ranking: &[ConnectorName]) -> Resolved {
        let sale = self
            .claims
            .iter()
            .filter_map(|(name, claim)| Some((claim.said(UnitState::Sold)?, name, claim)))
            .min_by_key(|(version, name, _)| (*version, (*name).clone()));
        let present: Vec<_> = self
            .claims
            .iter()
            .filter(|(_, claim)| claim.state.as_ref().is_some_and(|s| s.value.is_present()))
            .filter(|(_, claim)| sale.is_none_or(|(sold, ..)| claim.is_dated_after(sold.at)))
            .collect();
        let rank =
            |name: &ConnectorName| ranking.iter().position(|r| r == name).unwrap_or(usize::MAX);
        let holder = present.iter().min_by_key(|(name, claim)| {
            (
                rank(name),
                claim.since.as_ref().map_or(Date::MAX, |since| since.value),
                (*name).clone(),
            )
        });
        if let Some((name, claim)) = holder {
            let location = claim.location.as_ref().map(|l| l.value.clone());
            let rivals = present
                .iter()
                .filter(|(other, _)| other != name)
                .filter_map(|(other, claim)| Some((*other, claim.location.as_ref()?)))
                .filter(|(_, theirs)| Some(&theirs.value) != location.as_ref())
                .map(|(other, theirs)| (other.clone(), theirs.value.clone()))
                .collect();
            return Resolved {
                state: claim.state.as_ref().map_or(UnitState::InStock, |s| s.value),
                location,
                stock_number: claim.stock_number.as_ref().map(|s| s.value.clone()),
                holder: Some((*name).clone()),
                rivals,
                sold_at: None,
            };
        }
        let gone =
            sale.map(|(version, name, claim)| (UnitState::Sold, Some(version.at), name, claim));
        let last = gone.or_else(|| {
            self.claims
                .iter()
                .filter_map(|(name, claim)| Some((claim.state.as_ref()?, name, claim)))
                .max_by_key(|(state, name, _)| (state.version, (*name).clone()))
                .map(|(state, name, claim)| (state.value, None, name, claim))
        });
        let (state, sold_at, holder, claim) = match last {
            Some((state, sold_at, name, claim)) => {
                (state, sold_at, Some(name.clone()), Some(claim))
            }
            None => (UnitState::Removed, None, None, None),
        };
        // Whoever sold it may not know the rooftop (a marketplace); then the rooftop is whoever had it.
        let location = claim
            .and_then(|claim| claim.location.as_ref())
            .or_else(|| {
                let mut known: Vec<_> = self
                    .claims
                    .iter()
                    .filter_map(|(n, c)| Some((n, c.location.as_ref()?)))
                    .collect();
                known.sort_by_key(|(name, location)| {
                    (rank(name), location.version, (*name).clone())
                });
                known.first().map(|(_, location)| *location)
            })
            .map(|l| l.value.clone());
        Resolved {
            state,
            location,
            stock_number: claim
                .and_then(|c| c.stock_number.as_ref())
                .map(|s| s.value.clone()),
            holder,
            rivals: Vec::new(),
            sold_at,
        }
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
        let heard = self.fields.get(name)?;
        ranking
            .iter()
            .find_map(|source| heard.get_key_value(source))
            .or_else(|| {
                heard
                    .iter()
                    .max_by_key(|(source, stamped)| (stamped.version, (*source).clone()))
            })
    }

    /// The model line it counts towards, once make and model are known.
    pub fn model_line(&self, ranking: &[ConnectorName]) -> Option<ProductId> {
        let text = |name| match self.field(name, ranking) {
            Some(Field::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        ProductId::model_line(text("make")?, text("model")?).ok()
    }

    /// How it should be counted now, once its model line and rooftop are known.
    pub fn count(&self, ranking: &[ConnectorName]) -> Option<Counted> {
        let resolved = self.resolve(ranking);
        Some(Counted {
            product: self.model_line(ranking)?,
            location: resolved.location?,
            state: resolved.state,
        })
    }
}

impl Claim {
    fn said(&self, state: UnitState) -> Option<Version> {
        let stamped = self.state.as_ref().filter(|s| s.value == state)?;
        Some(stamped.version)
    }

    fn is_dated_after(&self, sale: Timestamp) -> bool {
        let sold_on = jiff::tz::Offset::UTC.to_datetime(sale).date();
        self.since
            .as_ref()
            .is_some_and(|since| since.value > sold_on)
    }
}

/// Takes a newer value; of two values of one version, the lower one, so that order does not matter.
fn hear<T: PartialOrd>(slot: &mut Option<Stamped<T>>, value: Option<T>, version: Version) {
    let Some(value) = value else { return };
    let newer = match slot {
        None => true,
        Some(known) if known.version == version => value < known.value,
        Some(known) => version > known.version,
    };
    if newer {
        *slot = Some(Stamped { value, version });
    }
}

#[cfg(test)]
mod tests;
