use proptest::prelude::*;

use super::*;
use crate::domain::rule::{Check, Season};

const SAMPLE: &str = include_str!("../../../functions/local/sample/lotwire.toml");

/// Two locations in one group, two connectors, one channel: what the cases below refer to.
const BASE: &str = r#"[account]
name = "Group"
zone = "Europe/Rome"
currency = "EUR"

[locations.milano]
name = "Milano"
kind = "rooftop"
groups = ["italy"]

[locations.torino]
name = "Torino"
kind = "warehouse"
zone = "Europe/Rome"
groups = ["italy"]

[connectors.shop]
kind = "generic"
webhook = { secret = "env:SHOP" }

[channels.room]
kind = "slack"
url = "env:SLACK_URL"

"#;

fn base_lines() -> usize {
    BASE.lines().count()
}

/// What is wrong with the base document and these lines after it; line numbers count from the first.
fn faults(more: &str) -> Vec<String> {
    let text = format!("{BASE}{more}");
    let Err(ConfigErrors(errors)) = Config::check(&text, "lotwire.toml") else {
        return Vec::new();
    };
    let relative = |mut error: ConfigError| {
        error.line -= base_lines();
        error.to_string()
    };
    errors.into_iter().map(relative).collect()
}

#[test]
fn show() {
    for more in CASES { println!("=== {more}\n---\n{}", faults(more).join("\n")); }
}

const CASES: &[&str] = &[
    "[[rules]]\nname = \"milano-oil\"\nkind = \"low_stock\"\nthreshold = 3\nboundary = \"under\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\ntreshold = 3",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = \"three\"\ncolour = 1",
    "[[rules]]\nkind = \"low_stock\"\nthreshold = 1",
    "[[rules]]\nname = \"a\"\nkind = \"low_stok\"\nthreshold = 1",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = -1",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nrecovery = 3",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nrecovery = 5\nseasons = [{ from = 2026-12-01, until = 2027-01-01, units = 9 }]",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nseasons = [{ from = 2026-12-24, until = 2026-12-01T08:00:00, units = 9 }]",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nseasons = [\n  { from = 2026-12-01T00:00:00Z, until = 2027-01-01, units = 9 },\n]",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nlocation = \"milan\"\n[[rules]]\nname = \"b\"\nkind = \"low_stock\"\nthreshold = 3\ngroup = \"germany\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nmake = \"Bentley\"\nmodel = \"Continental GT\"\n\n[[rules]]\nname = \"b\"\nkind = \"low_stock\"\nthreshold = 4\nmake = \"bentley\"\nmodel = \"continental-gt\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\n[[rules]]\nname = \"a\"\nkind = \"out_of_stock\"\n",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nthreshold = 3\npending = \"soon\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nover = \"sum\"\nproduct = \"A\"\nmake = \"B\"",
    "[[routes]]\nname = \"r\"\nchannels = [\"rooom\", \"room\", \"room\"]\nkinds = [\"low_stock\", \"sold_out\"]",
    "[[routes]]\nname = \"r\"\nchannels = []\nlocations = [\"berlin\"]",
    "[locations.roma]\nname = \"Roma\"\nkind = \"rooftop\"\nzone = \"Europe/Milano\"",
    "[locations.roma]\nname = \"Roma\"\nkind = \"rooftop\"\nzone = \"Europe/Roma\"",
    "[locations.\"ro ma\"]\nname = \"Roma\"\nkind = \"rooftop\"",
    "[connectors.x]\nkind = \"generic\"\nlocations = { A = \"milano\", B = \"milano\", C = \"roma\" }\nwebhook = { secret = \"hunter2hunter2\" }",
    "[connectors.x]\nkind = \"generic\"\nwebhook = { secret = 5, tolerance = \"-5m\", body_limit = 0, allow_from = [\"203.0.113.7/24\", \"here\"] }",
    "[connectors.x]\nkind = \"shopfy\"\nshop = \"a\"",
    "[connectors.x]\nshop = \"a\"",
    "[connectors.api]\nkind = \"generic\"\nwebhook = { secret = \"env:A\" }",
    "[connectors.x]\nkind = \"shopify\"\nshop = \"a.myshopify.com\"\nwebhook = { secret = \"env:A\" }",
    "[connectors.x]\nkind = \"files\"\nurl = \"sftp://user:pw@host/drop/\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"ftp://host/drop/\"\nhost_key = \"SHA256:x\"\nmin_rows_percent = 101",
    "[connectors.x]\nkind = \"dealertrack\"\nverify = { kind = \"basic\", username = \"u\", header = \"X\" }\nevents = { a = \"vanished\" }\npointers = { event_id = \"id\" }",
    "[channels.x]\nkind = \"slack\"\ntokn = \"env:A\"",
    "[channels.x]\nkind = \"slack\"\ntoken = \"xoxb-123456789-very-secret\"\nchannel = 5",
    "[channels.x]\nkind = \"slack\"\ntoken = \"env:A\"",
    "[channels.x]\nkind = \"twilio_sms\"",
    "[channels.x]\nkind = \"twillio_sms\"\ndelivery = \"twice\"",
    "[ownership]\nprice = [\"shop\", \"erp\", \"api\"]",
    "[templates.low_stock]\ntext = \"{{ produkt }}\"\n[templates.lowstock]\ntitle = \"x\"\n[templates.out_of_stock.channels.nowhere]\ntext = \"{% if %}\"",
    "[guards]\nvin = \"sometimes\"\nhold_price_jumps = 1",
    "[limits]\nevent_memory_days = 3",
    "[rule]\nname = \"a\"",
    "a = \n[b\nc = \"x",
    "[account]\nname = \"again\"",
    "rules = 5",
];

#[test]
fn the_sample_is_in_order() {
    let config = Config::check(SAMPLE, "lotwire.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let stored = config.to_json().unwrap();
    assert_eq!(Config::from_json(&stored).unwrap(), config);
    println!("{}", config.summary());
}
