//! Who has the last word: which source owns which field, and which calendar a place keeps.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::id::{ConnectorName, LocationId};
use super::position::Sources;

/// The source of what people and programs say by our own API. What it states of a quantity was counted.
pub const API: &str = "api";

/// Which calendar each place keeps.
#[derive(Debug, Clone)]
pub struct Calendars {
    /// Of each location.
    pub places: BTreeMap<LocationId, TimeZone>,
    /// Of everything else.
    pub elsewhere: TimeZone,
}

impl Default for Calendars {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            elsewhere: TimeZone::UTC,
        }
    }
}

impl Calendars {
    /// That of a location.
    pub fn zone(&self, location: &LocationId) -> &TimeZone {
        self.places.get(location).unwrap_or(&self.elsewhere)
    }

    /// The day of an instant at a location.
    pub fn day(&self, location: &LocationId, at: Timestamp) -> Date {
        self.zone(location).to_datetime(at).date()
    }
}

/// What applying a change needs to know besides the change and the state.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The version of the configuration that says all this.
    pub configuration: u64,
    /// Who owns quantities, titles and categories, and on which day something is sold.
    pub quantities: Sources,
    /// Who owns a unit's state, best first.
    pub units: Vec<ConnectorName>,
    /// Who owns a unit's rooftop, best first. Where none of them knows it, who has the unit does.
    pub rooftops: Vec<ConnectorName>,
    /// Who owns a unit's other fields, by field name, best first.
    pub fields: BTreeMap<String, Vec<ConnectorName>>,
    /// Whether a price that cannot be believed is held for review.
    pub hold_price_jumps: bool,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            configuration: 0,
            quantities: Sources::default(),
            units: Vec::new(),
            rooftops: Vec::new(),
            fields: BTreeMap::new(),
            hold_price_jumps: true,
        }
    }
}

impl Authority {
    /// Whether the configuration has the location. One without locations says nothing of them.
    pub fn has_place(&self, location: &LocationId) -> bool {
        let places = &self.quantities.calendars.places;
        places.is_empty() || places.contains_key(location)
    }

    /// The calendar of a location.
    pub fn zone(&self, location: &LocationId) -> &TimeZone {
        self.quantities.calendars.zone(location)
    }

    /// The calendar of what is at no location.
    pub const fn zone_elsewhere(&self) -> &TimeZone {
        &self.quantities.calendars.elsewhere
    }

    /// The calendar day of an instant at a location.
    pub fn day(&self, location: &LocationId, at: Timestamp) -> Date {
        self.quantities.calendars.day(location, at)
    }

    /// Who owns a unit's field, best first.
    pub fn field(&self, name: &str) -> &[ConnectorName] {
        self.fields.get(name).map_or(&[], Vec::as_slice)
    }
}
