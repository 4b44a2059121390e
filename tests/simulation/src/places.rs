//! The installation that every simulated world has: its places, products, vehicles and people, and
//! the configuration that says so.

use std::path::Path;

/// Warehouses, where products lie.
pub const WAREHOUSES: [&str; 2] = ["north", "south"];
/// Rooftops, where vehicles stand.
pub const ROOFTOPS: [&str; 2] = ["london", "sydney"];
/// What the shop sells, by its inventory item. It states levels; its orders are demand.
pub const SHOP: [(&str, u64); 2] = [("SHOP-OIL", 1001), ("SHOP-WAX", 1002)];
/// What the shop begins to sell and gives up again, by its inventory item.
pub const PASSING: [(&str, u64); 2] = [("SHOP-LAMP", 1003), ("SHOP-FUSE", 1004)];
/// What these are called later, if they are renamed.
pub const RENAMED: [&str; 2] = ["SHOP-LANTERN", "SHOP-FUSEBOX"];
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
/// The same, of those that only a third system knows, which lists them in files.
pub const LOT: [(&str, &str); 2] = [
    ("SCBCG2ZG6RC012348", "Mulsanne"),
    ("SCBCG2ZG8RC012349", "Arnage"),
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
    let model = model_of(vin).to_lowercase().replace(' ', "-");
    format!("line:{}/{model}", MAKE.to_lowercase())
}

/// A vehicle's model.
pub fn model_of(vin: &str) -> &'static str {
    let mut known = VEHICLES.iter().chain(&LOT);
    known
        .find(|(known, _)| *known == vin)
        .map_or("", |(_, model)| model)
}

/// The shop's inventory item of a product.
pub fn item_of(sku: &str) -> u64 {
    let mut known = SHOP.iter().chain(&PASSING);
    known
        .find(|(known, _)| *known == sku)
        .map_or(0, |(_, item)| *item)
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
    /// A room in Slack.
    Room,
    /// Another one, which hears of vehicles.
    Floor,
    /// SendGrid.
    Desk,
    /// A number at Twilio, at most once.
    Phone,
    /// Another one.
    Night,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 7] = [
        Self::Erp,
        Self::Audit,
        Self::Room,
        Self::Floor,
        Self::Desk,
        Self::Phone,
        Self::Night,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Erp => "erp",
            Self::Audit => "audit",
            Self::Room => "room",
            Self::Floor => "floor",
            Self::Desk => "desk",
            Self::Phone => "phone",
            Self::Night => "night",
        }
    }

    /// The host that its requests go to.
    pub const fn host(self) -> &'static str {
        match self {
            Self::Erp => "erp.example.com",
            Self::Audit => "audit.example.com",
            Self::Room | Self::Floor => "hooks.slack.com",
            Self::Desk => "api.sendgrid.com",
            Self::Phone | Self::Night => "api.twilio.com",
        }
    }

    /// What stands in a request to this channel and in none to another one of the same host.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Erp | Self::Audit | Self::Desk => "",
            Self::Room => "/services/T0/B0/room",
            Self::Floor => "/services/T0/B0/floor",
            Self::Phone => "393331234567",
            Self::Night => "393337654321",
        }
    }

    /// Whether both have one notifier.
    pub const fn is_beside(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Erp, Self::Audit)
                | (Self::Audit, Self::Erp)
                | (Self::Room, Self::Floor)
                | (Self::Floor, Self::Room)
                | (Self::Phone, Self::Night)
                | (Self::Night, Self::Phone)
        )
    }

    /// Whether a message may be lost rather than come twice.
    pub const fn at_most_once(self) -> bool {
        matches!(self, Self::Phone | Self::Night)
    }

    /// Whether every revision is to come, or only what is true now: people are spared what a later
    /// revision has overtaken before it left.
    pub const fn wants_each(self) -> bool {
        matches!(self, Self::Erp | Self::Audit)
    }

    /// Whether the routes below lead this kind and severity here, of something at this place.
    pub fn hears(self, kind: &str, severity: &str, place: &str) -> bool {
        match self {
            Self::Erp | Self::Audit | Self::Room => true,
            Self::Floor => ROOFTOPS.contains(&place),
            Self::Desk => matches!(kind, "low_stock" | "out_of_stock" | "high_demand"),
            Self::Phone | Self::Night => severity == "critical",
        }
    }
}

/// The rules, and the group that most of them are for: people change both while alerts are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// At or below this many available units stock is low at a warehouse; without it no rule says so.
    pub low: Option<i64>,
    /// The same for what a product's warehouses have together.
    pub together: Option<i64>,
    /// So many sold within a week is fast.
    pub fast: i64,
    /// Whether the south is one of the warehouses.
    pub south: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            low: Some(3),
            together: None,
            fast: 3,
            south: true,
        }
    }
}

impl Rules {
    /// The warehouses in the rules' group.
    pub fn warehouses(self) -> &'static [&'static str] {
        if self.south {
            &WAREHOUSES
        } else {
            &WAREHOUSES[..1]
        }
    }

    fn low_stock(self) -> String {
        let rule = |name: &str, threshold: Option<i64>, over: &str| {
            let rule = |threshold| {
                format!(
                    "[[rules]]\nname = \"{name}\"\nkind = \"low_stock\"\ngroup = \"warehouses\"\nthreshold = {threshold}\nover = \"{over}\"\n"
                )
            };
            threshold.map(rule).unwrap_or_default()
        };
        rule("low", self.low, "each") + &rule("together", self.together, "sum")
    }
}

/// The configuration, with the feed in this folder, the lists of vehicles if there are any, and the
/// shop's orders taking from stock or not.
pub fn configuration(rules: Rules, folder: &Path, lists: bool, deducts: bool) -> String {
    let orders = if deducts { "deduct" } else { "demand" };
    let fast = rules.fast;
    let low_stock = rules.low_stock();
    let groups = if rules.south { "\"warehouses\"" } else { "" };
    let folder = folder.display();
    let lot = if lists {
        format!(
            r#"[connectors.lot]
kind = "files"
url = "{folder}"
glob = "lot*.csv"
locations = {{ london = "london", sydney = "sydney" }}
ready = "stable"
stable_for = "0s"
stale_after = "100h"
"#
        )
    } else {
        String::new()
    };
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

[alerts]
conflict_after = "1m"

[locations.north]
name = "North"
kind = "warehouse"
groups = ["warehouses"]

[locations.south]
name = "South"
kind = "warehouse"
zone = "Europe/Rome"
groups = [{groups}]

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
orders = "{orders}"
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

{lot}
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

[channels.floor]
kind = "slack"
url = "env:FLOOR"

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

[channels.night]
kind = "twilio_sms"
account_sid = "AC00000000000000000000000000000000"
auth_token = "env:NIGHT"
from = "+15005550006"
to = "+393337654321"
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
channels = ["phone", "night"]

[[routes]]
name = "vehicles"
groups = ["showrooms"]
channels = ["floor"]

{low_stock}
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
        let together = Rules {
            low: None,
            together: Some(5),
            south: false,
            ..Rules::default()
        };
        for (rules, both) in [(Rules::default(), false), (together, true)] {
            let text = configuration(rules, Path::new("/tmp/drop"), both, both);
            Config::check(&text, "simulated.toml").unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
