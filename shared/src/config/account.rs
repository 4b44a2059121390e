//! The account, its locations, who owns which field, and what is held back.

use std::fmt;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::declare::{choice, parsed, settings};
use super::document::Node;
use super::error::Problems;
use super::setting::Setting;
use super::value::{Crossings, MemoryDays, Units};
use super::words::{nearest, shown};
use crate::domain::catalogue::{Location, LocationKind};
use crate::domain::money::Currency;
use crate::domain::vin::{VinPolicy, VinRules};
use crate::domain::watch::Manner;
use crate::domain::{ConnectorName, GroupName, LocationId};

settings! {
    /// Whose installation this is.
    pub struct Account {
        /// The name that messages and the dashboard show.
        name: String,
        /// The time zone of people and places that have none of their own.
        zone: Zone,
        /// Where the dashboard is reachable; messages link to it.
        link_base: Option<Url> = None,
        /// The currency of prices that state none.
        currency: Currency,
    }
}

settings! {
    /// One warehouse or rooftop.
    pub struct LocationSettings {
        /// Its name for people.
        name: String,
        /// What kind of place it is.
        kind: LocationKind,
        /// Its time zone; by default the account's.
        zone: Option<Zone> = None,
        /// The groups whose stock it counts towards.
        groups: Vec<GroupName> = Vec::new(),
    }
}

impl LocationSettings {
    pub(crate) fn into_location(self, id: LocationId, account: &Zone) -> Location {
        Location {
            id,
            name: self.name,
            zone: self.zone.unwrap_or_else(|| account.clone()).0,
            kind: self.kind,
            groups: self.groups,
        }
    }
}

settings! {
    /// Which connectors' word counts for each field: the first that has spoken, whenever that was.
    /// Of a field without an entry the newest word counts.
    pub struct Ownership: Default {
        /// Units physically there, and what the same connector says of units reserved, unavailable and
        /// incoming. Without an entry that of whoever spoke last, and of what that one has never stated of
        /// units reserved, unavailable and incoming the word of the other that stated it last. What a person
        /// has counted holds until the owner says something newer.
        on_hand: Vec<ConnectorName> = Vec::new(),
        /// A vehicle's state: in stock, reserved. Without an entry that of whoever has had it longest, by the
        /// day in stock that it states, or else since it first said that it has it. That it is sold counts
        /// whoever says so.
        state: Vec<ConnectorName> = Vec::new(),
        /// Where a vehicle stands. Without an entry where the owner of its state has it.
        location: Vec<ConnectorName> = Vec::new(),
        /// The asking price.
        price: Vec<ConnectorName> = Vec::new(),
        /// A vehicle's mileage.
        mileage: Vec<ConnectorName> = Vec::new(),
        /// A vehicle's make, model, year, trim and colour.
        spec: Vec<ConnectorName> = Vec::new(),
        /// A product's name for people.
        title: Vec<ConnectorName> = Vec::new(),
        /// A product's category.
        category: Vec<ConnectorName> = Vec::new(),
    }
}

settings! {
    /// What is held for a person to look at instead of being believed.
    pub struct Guards: Default {
        /// How a VIN with a wrong check digit is treated: `strict` refuses it (North America),
        /// `warn` accepts and flags it, `off` does not look.
        vin: VinPolicy = VinPolicy::Warn,
        /// Whether vehicles may have numbers of other lengths than seventeen characters, as they had
        /// before model year 1981. Where they may not, a row or event with such a number is held.
        classic_vins: bool = false,
        /// Whether a price of zero, or one that changed more than tenfold, is held for review.
        hold_price_jumps: bool = true,
        /// More units than one statement may add to what is there, reserved or on its way, or one
        /// movement add or take, without being held for review: a barcode in the quantity's place is
        /// longer.
        most_quantity_jump: Units = Units(1_000_000),
    }
}

impl Guards {
    /// Which numbers of vehicles are taken.
    pub fn vins(&self) -> VinRules {
        VinRules {
            check_digit: self.vin,
            classic: self.classic_vins,
        }
    }
}

settings! {
    /// How people are told of an alert that is open. A rule may have its own manner.
    pub struct AlertSettings: Default {
        /// After how long an alert that is still open is brought to mind; `"0s"` is never. Where a
        /// route has its `repeat_interval`, that reminds instead.
        remind_every: SignedDuration = SignedDuration::from_hours(24),
        /// Whether people are told again when stock has fallen to half of the threshold, and when
        /// nothing is left.
        further_falls: bool = true,
        /// More crossings of the threshold than this within `flap_window` are flapping: messages are
        /// held until it is steady. 0 never holds any.
        flap_limit: Crossings = Crossings(4),
        /// The time over which crossings are counted.
        flap_window: SignedDuration = SignedDuration::from_hours(1),
        /// How long it must be steady before people are told anything again.
        flap_steady: SignedDuration = SignedDuration::from_mins(30),
        /// After how long people are told of a vehicle that two sources have at two places (`conflict`),
        /// where the one that said so first has said nothing new of it since. If it says so anew, they are
        /// told then. And after how long of one that a source lists at the place
        /// from which another has sold it: it has it again, or lists it anew, or goes on listing it for a
        /// day.
        conflict_after: SignedDuration = SignedDuration::from_hours(24),
    }
}

impl AlertSettings {
    /// The same as the domain knows it.
    pub fn manner(&self) -> Manner {
        Manner {
            remind_every: self.remind_every,
            further_falls: self.further_falls,
            flap_limit: self.flap_limit.get(),
            flap_window: self.flap_window,
            flap_steady: self.flap_steady,
        }
    }
}

settings! {
    /// How much is kept.
    pub struct Limits: Default {
        /// Days for which an event's id is remembered, so that a late repeat has no effect. An event of a
        /// webhook is remembered for as long as the webhook is kept, too.
        event_memory_days: MemoryDays = MemoryDays(8),
    }
}

choice!(LocationKind => "kind of location");
parsed!(Currency => "a currency such as `EUR`");

/// An IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(#[serde(with = "jiff::fmt::serde::tz::required")] pub TimeZone);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl Setting for Zone {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let text = node.text(&Self::expected(), problems)?;
        // The database holds no zone of one machine: a stored document means the same everywhere.
        if let Ok(zone) = jiff::tz::db().get(text) {
            return Some(Self(zone));
        }
        let known: Vec<_> = jiff::tz::db().available().collect();
        let names: Vec<_> = known.iter().map(|name| name.as_str()).collect();
        let hint = match nearest_zone(text, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("give {}", Self::expected()),
        };
        let found = shown(&node.path, text);
        node.refuse(problems, format!("unknown time zone {found}; {hint}"));
        None
    }
    fn expected() -> String {
        "an IANA time zone such as `Europe/Rome`".to_owned()
    }
    fn schema() -> Value {
        json!({ "type": "string", "examples": ["Europe/Rome"] })
    }
}

/// Zone names hold capitals, so both sides are compared in lower case.
fn nearest_zone<'n>(found: &str, names: &[&'n str]) -> Option<&'n str> {
    let lower: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let meant = nearest(found, &lower)?;
    let index = lower.iter().position(|name| *name == meant)?;
    names.get(index).copied()
}

impl Setting for VinPolicy {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let expected = Self::expected();
        match node.text(&expected, problems)? {
            "strict" => Some(Self::Strict),
            "warn" => Some(Self::Warn),
            "off" => Some(Self::Off),
            other => {
                let names = ["strict", "warn", "off"];
                node.refuse(
                    problems,
                    super::setting::unknown_choice(node, "policy", other, &names),
                );
                None
            }
        }
    }
    fn expected() -> String {
        "`strict`, `warn` or `off`".to_owned()
    }
    fn schema() -> Value {
        json!({ "enum": ["strict", "warn", "off"] })
    }
}
