//! The installation that every simulated world has: its places, products, vehicles and people, and
//! the configuration that says so.

use std::path::Path;

/// Warehouses, where products lie.
pub const WAREHOUSES: [&str; 2] = ["north", "south"];
/// Rooftops, where vehicles stand.
pub const ROOFTOPS: [&str; 2] = ["london", "sydney"];
/// What the shop sells, by its inventory item. It states levels; its orders are demand.
pub const SHOP: [(&str, u64); 2] = [("SHOP-OIL", 1001), ("SHOP-WAX", 1002)];
/// What the till sells. It states levels, and sales and movements change them.
pub const TILL: [&str; 2] = ["TILL-BRAKE", "TILL-WIPER"];
/// What people move through the API.
pub const DESK: [&str; 2] = ["DESK-BOLT", "DESK-NUT"];
/// How many products the feed lists.
pub const FED: usize = 8;
/// Where the feed's products lie.
pub const FED_PLACE: &str = "south";
/// The first product of each file: its number on hand is the file's own, so that no two are alike.
pub const FEED_NUMBER: &str = "FEED-NUMBER";
/// Vehicles with their models: each of its own model line, so that its count is that line's.
pub const VEHICLES: [(&str, &str); 3] = [
    ("SCBCG2ZG0RC012345", "Bentayga"),
    ("SCBCG2ZG9RC012346", "Flying Spur"),
    ("SCBCG2ZG7RC012347", "Continental GT"),
];
/// The make of all of them.
pub const MAKE: &str = "Bentley";

/// The zone in which a rooftop's days are counted.
pub fn zone_of(rooftop: &str) -> &'static str {
    if rooftop == ROOFTOPS[1] {
        "Australia/Sydney"
    } else {
        "Europe/London"
    }
}

/// A product of the feed.
pub fn fed(number: usize) -> String {
    format!("FEED-{number}")
}

/// The product that a vehicle counts towards.
pub fn line_of(vin: &str) -> String {
    let model = VEHICLES.iter().find(|(known, _)| *known == vin);
    let model = model.map(|(_, model)| model.to_lowercase().replace(' ', "-"));
    format!("line:{}/{}", MAKE.to_lowercase(), model.unwrap_or_default())
}

/// The shop's number of a warehouse.
pub fn shop_number(place: &str) -> u64 {
    if place == WAREHOUSES[0] { 501 } else { 502 }
}

/// The dealer system's number of a rooftop.
pub fn company(place: &str) -> &'static str {
    if place == ROOFTOPS[0] { "LDN" } else { "SYD" }
}

/// A channel: where people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// A signed webhook.
    Erp,
    /// Another one, with the same notifier.
    Audit,
    /// Slack.
    Room,
    /// SendGrid.
    Desk,
    /// Twilio, at most once.
    Phone,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 5] = [Self::Erp, Self::Audit, Self::Room, Self::Desk, Self::Phone];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Erp => "erp",
            Self::Audit => "audit",
            Self::Room => "room",
            Self::Desk => "desk",
            Self::Phone => "phone",
        }
    }

    /// The host that its requests go to.
    pub const fn host(self) -> &'static str {
        match self {
            Self::Erp => "erp.example.com",
            Self::Audit => "audit.example.com",
            Self::Room => "hooks.slack.com",
            Self::Desk => "api.sendgrid.com",
            Self::Phone => "api.twilio.com",
        }
    }

    /// Whether a message may be lost rather than come twice.
    pub const fn at_most_once(self) -> bool {
        matches!(self, Self::Phone)
    }

    /// Whether every revision is to come, or only what is true now: people are spared what a later
    /// revision has overtaken before it left.
    pub const fn wants_each(self) -> bool {
        matches!(self, Self::Erp | Self::Audit)
    }

    /// Whether the routes below lead this kind and severity here.
    pub fn hears(self, kind: &str, severity: &str) -> bool {
        match self {
            Self::Erp | Self::Audit | Self::Room => true,
            Self::Desk => matches!(kind, "low_stock" | "out_of_stock" | "high_demand"),
            Self::Phone => severity == "critical",
        }
    }
}

/// The rules' thresholds, which people change while a world runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// At or below this many available units stock is low.
    pub low: i64,
    /// So many sold within a week is fast.
    pub fast: i64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { low: 3, fast: 3 }
    }
}

/// The configuration, with the feed in this folder.
pub fn configuration(thresholds: Thresholds, folder: &Path) -> String {
    let Thresholds { low, fast } = thresholds;
    let folder = folder.display();
    let words = [
        "low_stock",
        "out_of_stock",
        "back_in_stock",
        "high_demand",
        "feed_stale",
        "feed_suspect",
        "feed_flawed",
        "conflict",
        "channel_down",
        "quarantine",
    ]
    .map(|kind| {
        let text = "[{{ alert }}/{{ revision }}] {{ product }}";
        let over = format!("{text} over");
        // Of an alert that is closed without a recovery the title alone is ours.
        format!("[templates.{kind}]\ntitle = '{text}'\nresolved_title = '{over}'\ntext = '{text}'\nresolved_text = '{over}'\n")
    })
    .concat();
    format!(
        r#"
[account]
name = "Simulated"
zone = "Europe/London"
currency = "GBP"

[locations.north]
name = "North"
kind = "warehouse"
groups = ["warehouses"]

[locations.south]
name = "South"
kind = "warehouse"
zone = "Europe/Rome"
groups = ["warehouses"]

[locations.london]
name = "London"
kind = "rooftop"
groups = ["showrooms"]

[locations.sydney]
name = "Sydney"
kind = "rooftop"
zone = "Australia/Sydney"
groups = ["showrooms"]

[connectors.shop]
kind = "shopify"
shop = "simulated"
orders = "demand"
locations = {{ "501" = "north", "502" = "south" }}

[connectors.shop.webhook]
secret = "env:SHOP"
previous_secret = "env:SHOP_BEFORE"

[connectors.till]
kind = "generic"
locations = {{ north = "north", south = "south" }}

[connectors.till.webhook]
secret = "env:TILL"
previous_secret = "env:TILL_BEFORE"

[connectors.rooftop]
kind = "generic"
locations = {{ london = "london", milano = "sydney" }}

[connectors.rooftop.webhook]
secret = "env:ROOFTOP"
previous_secret = "env:ROOFTOP_BEFORE"

[connectors.dms]
kind = "dealertrack"
locations = {{ LDN = "london", SYD = "sydney" }}
verify = {{ kind = "header-secret", header = "X-Simulated", secret = "env:DMS", previous_secret = "env:DMS_BEFORE" }}
payload = "trusted"
currency = "GBP"
distance = "mi"

[connectors.dms.pointers]
event_id = "/id"
event_type = "/type"
time = "/at"
vin = "/vehicle/vin"
company = "/company"
to_company = "/to"
make = "/vehicle/make"
model = "/vehicle/model"

[connectors.dms.events]
stocked = "stocked"
updated = "updated"
reserved = "reserved"
sold = "sold"
transferred = "transferred"
removed = "removed"

[connectors.feed]
kind = "files"
url = "{folder}"
glob = "stock*.csv"
locations = {{ south = "south" }}
ready = "stable"
stable_for = "0s"
stale_after = "1h"
max_removals = {{ count = 100, percent = 100 }}
grace = 2
min_rows_percent = 50

[connectors.feed.format]
required = ["sku", "location", "on_hand"]

[ownership]
on_hand = ["shop", "till", "feed"]
state = ["dms"]
location = ["dms"]

[channels.erp]
kind = "webhook"
url = "https://erp.example.com/stock"
secret = "env:ERP"

[channels.audit]
kind = "webhook"
url = "https://audit.example.com/stock"
secret = "env:AUDIT"

[channels.room]
kind = "slack"
url = "env:ROOM"

[channels.desk]
kind = "sendgrid"
api_key = "env:DESK"
from = "stock@example.com"
to = ["buyers@example.com"]

[channels.phone]
kind = "twilio_sms"
account_sid = "AC00000000000000000000000000000000"
auth_token = "env:PHONE"
from = "+15005550006"
to = "+393331234567"
delivery = "at_most_once"

[[routes]]
name = "everything"
channels = ["erp", "audit", "room"]

[[routes]]
name = "stock"
kinds = ["low_stock", "out_of_stock", "high_demand"]
channels = ["desk"]

[[routes]]
name = "urgent"
min_severity = "critical"
channels = ["phone"]

[[rules]]
name = "low"
kind = "low_stock"
group = "warehouses"
threshold = {low}

[[rules]]
name = "out"
kind = "out_of_stock"
severity = "critical"
group = "warehouses"

[[rules]]
name = "vehicles-out"
kind = "out_of_stock"
severity = "critical"
group = "showrooms"
basis = "on_hand"

[[rules]]
name = "fast"
kind = "high_demand"
at_least = {fast}
days = 7

{words}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::config::Config;

    #[test]
    fn the_configuration_is_one() {
        let text = configuration(Thresholds::default(), Path::new("/tmp/drop"));
        Config::check(&text, "simulated.toml").unwrap_or_else(|error| panic!("{error}"));
    }
}
