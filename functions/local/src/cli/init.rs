//! `lotwire init`: a few questions, and the smallest useful `lotwire.toml`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use shared::config::{Config, environment};

use super::Failure;
use super::printed::quoted;
use super::show::Show;

/// What is asked, as flags for those who need no questions.
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write it; a file that exists is left alone.
    #[arg(default_value = "lotwire.toml")]
    file: PathBuf,
    /// What you sell.
    #[arg(long, value_enum)]
    sell: Option<Goods>,
    /// Where stock comes from.
    #[arg(long, value_enum)]
    from: Option<Origin>,
    /// Of a Shopify shop what stands before .myshopify.com.
    #[arg(long, value_name = "NAME")]
    shop: Option<String>,
    /// Shopify's number of the place: the end of its page's address, under Settings, Locations.
    #[arg(long, value_name = "NUMBER")]
    shop_location: Option<String>,
    /// Whom to tell and how: slack, `sms NUMBER`, `mail ADDRESS`, `webhook URL`.
    #[arg(long, value_name = "HOW")]
    tell: Option<String>,
    /// From how many units down you want to hear of it.
    #[arg(long, value_name = "UNITS")]
    level: Option<u32>,
    /// The name that messages show.
    #[arg(long, default_value = "My business")]
    name: String,
    /// Your time zone; by default this machine's.
    #[arg(long)]
    zone: Option<String>,
    /// The currency of prices that state none.
    #[arg(long, default_value = "EUR")]
    currency: String,
}

/// What is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Goods {
    /// Cars, each with a VIN.
    Vehicles,
    /// Parts and other goods, by SKU.
    Parts,
}

/// Where stock comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Origin {
    /// A Shopify shop.
    Shopify,
    /// Dealertrack DMS.
    Dealertrack,
    /// Files in a folder, or on a server.
    Files,
    /// Any program that can sign a request.
    Webhook,
}

/// How people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Channel {
    Slack,
    Sms(String),
    Mail(String),
    Webhook(String),
}

pub(super) fn run(asked: &Init, show: &mut Show<'_>) -> Result<(), Failure> {
    let file = asked.file.display();
    let exists = || {
        Failure::Usage(format!(
            "{file} exists and is left alone; name another file, or remove it first"
        ))
    };
    if asked.file.exists() {
        return Err(exists());
    }
    let zone = asked.zone.clone().unwrap_or_else(this_machines_zone);
    let account = [asked.name.as_str(), &zone, &asked.currency];
    let folder = std::path::absolute("drop")?;
    let usual = Answers {
        goods: Goods::Parts,
        origin: Origin::Webhook,
        shop: Shop::default(),
        channel: Channel::Slack,
        level: 3,
        folder: folder.clone(),
    };
    // What is wrong is said with the answer that it is about, and not after the last one.
    usual.check(account).map_err(Failure::Usage)?;
    let channel = |how: &str| {
        let channel = channel(how)?;
        let so_far = Answers {
            channel: channel.clone(),
            ..usual.clone()
        };
        so_far.check(account).map(|()| channel)
    };
    let level = |level: u32| {
        let so_far = Answers {
            level,
            ..usual.clone()
        };
        so_far.check(account).map(|()| level)
    };
    let shop = |text: &str| {
        let name = shop_name(text);
        if name.is_empty() {
            return Err("without it each webhook would be refused".to_owned());
        }
        let so_far = Answers {
            origin: Origin::Shopify,
            shop: Shop {
                name: name.to_owned(),
                ..Shop::default()
            },
            ..usual.clone()
        };
        so_far.check(account).map(|()| name.to_owned())
    };
    let named = asked.shop.as_deref().map(shop).transpose();
    let named = named.map_err(Failure::Usage)?;
    let number = asked.shop_location.as_deref().map(location_number);
    let number = number.transpose().map_err(Failure::Usage)?;
    let told = asked.tell.as_deref().map(channel).transpose();
    let told = told.map_err(Failure::Usage)?;
    let given = asked.level.map(level).transpose();
    let given = given.map_err(Failure::Usage)?;
    let goods = match asked.sell {
        Some(goods) => goods,
        None => choose(show, "What do you sell", Goods::Parts, "--sell")?,
    };
    let origin = match asked.from {
        Some(origin) => origin,
        None => choose(
            show,
            "Where does stock come from",
            Origin::Webhook,
            "--from",
        )?,
    };
    let shop = match origin {
        Origin::Shopify => Shop {
            name: match named {
                Some(name) => name,
                None => answer(show, SHOP_NAME, "", "--shop", shop)?,
            },
            location: match number {
                Some(number) => number,
                None => ask_number(show)?,
            },
        },
        _ => Shop::default(),
    };
    let answers = Answers {
        goods,
        origin,
        shop,
        channel: match told {
            Some(told) => told,
            None => answer(
                show,
                "Whom to tell and how: slack, sms NUMBER, mail ADDRESS, webhook URL",
                "slack",
                "--tell",
                channel,
            )?,
        },
        level: match given {
            Some(given) => given,
            None => answer(show, "At how many units or fewer", "3", "--level", |text| {
                let units = text.parse::<u32>();
                level(units.map_err(|_| format!("`{text}` is not a number of units"))?)
            })?,
        },
        folder,
    };
    let text = answers.document(&asked.name, &zone, &asked.currency);
    let name = asked.file.display().to_string();
    let config = Config::check(&text, &name).map_err(|errors| {
        Failure::Usage(format!("these answers make no configuration:\n{errors}"))
    })?;
    match write_new(&asked.file, &text) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
        written => written?,
    }
    if answers.origin == Origin::Files {
        fs::create_dir_all(&answers.folder)?;
    }
    show.line(&format!("wrote {file}"))?;
    show.line(config.summary().to_string().trim_end())?;
    show.line(&format!(
        "next: set the secrets, then `lotwire --config {}`",
        quoted(&asked.file.display().to_string())
    ))?;
    if answers.origin == Origin::Shopify && answers.shop.location.is_empty() {
        show.line(
            "then: once Shopify has sent something, `lotwire quarantine` names its number of the place; write \
             that into `locations`, as the comment there says, and `lotwire apply` it",
        )?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn choose<T: ValueEnum>(
    show: &mut Show<'_>,
    question: &str,
    usual: T,
    flag: &str,
) -> Result<T, Failure> {
    let name = |choice: &T| {
        let value = choice.to_possible_value();
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    };
    let names: Vec<_> = T::value_variants().iter().map(name).collect();
    let names = names.join(", ");
    let question = format!("{question}: {names}");
    answer(show, &question, &name(&usual), flag, |text| {
        T::from_str(text, true).map_err(|_| format!("`{text}` is none of {names}"))
    })
}

/// Asks until the answer can be read; an empty one is the usual one.
fn answer<T>(
    show: &mut Show<'_>,
    question: &str,
    usual: &str,
    flag: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    let question = match usual {
        "" => format!("{question}? "),
        usual => format!("{question} [{usual}]? "),
    };
    loop {
        let typed = show.ask(&question)?;
        let typed = typed.filter(|typed| !typed.is_empty());
        // At the end of the input nobody will answer again.
        let typed = typed
            .ok_or_else(|| Failure::Usage(format!("there is nobody to ask: answer with {flag}")))?;
        let typed = match typed.trim() {
            "" => usual,
            typed => typed,
        };
        match read(typed) {
            Ok(answer) => return Ok(answer),
            Err(problem) => show.progress(&problem),
        }
    }
}

const SHOP_NAME: &str = "Which shop: what stands before .myshopify.com";

/// The shop's name, of whatever address of it was copied.
fn shop_name(text: &str) -> &str {
    let text = text.trim().trim_end_matches('/');
    let text = text.rsplit('/').next().unwrap_or(text);
    text.strip_suffix(".myshopify.com").unwrap_or(text)
}

/// Shopify's number of a place; nothing where it is not at hand, and nobody is made to find it first.
fn ask_number(show: &mut Show<'_>) -> Result<String, Failure> {
    const QUESTION: &str = "Its number of the place: the end of the address of its page, under Settings, \
                            Locations; Enter if it is not at hand? ";
    loop {
        let typed = show.ask(QUESTION)?.unwrap_or_default();
        match location_number(&typed) {
            Ok(number) => return Ok(number),
            Err(problem) => show.progress(&problem),
        }
    }
}

fn location_number(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let number = text.rsplit('/').next().unwrap_or(text);
    match number.chars().all(|c| c.is_ascii_digit()) {
        true => Ok(number.to_owned()),
        false => Err(format!("`{number}` is not a number")),
    }
}

fn channel(how: &str) -> Result<Channel, String> {
    let (kind, to) = how
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((how.trim(), ""));
    let to = to.trim().to_owned();
    match (kind, to.is_empty()) {
        ("slack", true) => Ok(Channel::Slack),
        ("sms", false) => Ok(Channel::Sms(to)),
        ("mail", false) => Ok(Channel::Mail(to)),
        ("webhook", false) => Ok(Channel::Webhook(to)),
        ("sms" | "mail" | "webhook", true) => Err(format!("{kind} needs to know where to")),
        _ => Err(format!(
            "`{how}` is none of slack, sms NUMBER, mail ADDRESS, webhook URL"
        )),
    }
}

/// Where the machine says it is, or UTC.
fn this_machines_zone() -> String {
    let named = environment::process("TZ").filter(|name| !name.is_empty());
    let linked = || {
        let link = fs::read_link("/etc/localtime").ok()?;
        let link = link.to_string_lossy().into_owned();
        link.split_once("zoneinfo/")
            .map(|(_, name)| name.to_owned())
    };
    let known = |name: &String| jiff::tz::TimeZone::get(name).is_ok();
    let zone = named.filter(known).or_else(|| linked().filter(known));
    zone.unwrap_or_else(|| "UTC".to_owned())
}

/// A Shopify shop.
#[derive(Debug, Clone)]
struct Shop {
    name: String,
    /// Its number of the one place; empty where that is not known.
    location: String,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            name: "my-shop".to_owned(),
            location: String::new(),
        }
    }
}

#[derive(Clone)]
struct Answers {
    goods: Goods,
    origin: Origin,
    shop: Shop,
    channel: Channel,
    level: u32,
    folder: PathBuf,
}

impl Answers {
    /// Why these make no configuration, if they make none.
    fn check(&self, [name, zone, currency]: [&str; 3]) -> Result<(), String> {
        let text = self.document(name, zone, currency);
        let faults = match Config::check(&text, "lotwire.toml") {
            Ok(_) => return Ok(()),
            Err(faults) => faults.0.into_iter(),
        };
        // The file is not there yet, so that its lines say nothing.
        let faults = faults.map(|fault| format!("{}: {}", fault.field, fault.problem));
        Err(faults.collect::<Vec<_>>().join("; "))
    }

    fn document(&self, name: &str, zone: &str, currency: &str) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let (place, kind) = match self.goods {
            Goods::Vehicles => ("Showroom", "rooftop"),
            Goods::Parts => ("Warehouse", "warehouse"),
        };
        let connector = match self.origin {
            Origin::Shopify => {
                let locations = match &*self.shop.location {
                    "" => "{ }                       # { \"NUMBER\" = \"main\" }, with the shop's number of \
                           the place; `lotwire quarantine` names it"
                        .to_owned(),
                    number => format!("{{ {} = \"main\" }}", quoted(number)),
                };
                SHOPIFY
                    .replace("{shop}", &quoted(&self.shop.name))
                    .replace("{locations}", &locations)
            }
            Origin::Dealertrack => dealertrack(&quoted(currency)),
            Origin::Files => {
                let url = url::Url::from_directory_path(&self.folder);
                let url = url.map(|url| url.to_string()).unwrap_or_default();
                FILES.replace("{url}", &quoted(&url))
            }
            Origin::Webhook => WEBHOOK.to_owned(),
        };
        let channel = match &self.channel {
            Channel::Slack => SLACK.to_owned(),
            Channel::Sms(to) => SMS.replace("{to}", &quoted(to)),
            Channel::Mail(to) => MAIL.replace("{to}", &quoted(to)),
            Channel::Webhook(url) => OUT.replace("{url}", &quoted(url)),
        };
        format!(
            "# Written by `lotwire init`. Every key: docs/configuration.md. Check it: `lotwire check`.\n\n\
             [account]\nname = {name}\nzone = {zone}\ncurrency = {currency}\n\
             # Messages link there; others need this machine's name in place of 127.0.0.1.\n\
             link_base = \"http://127.0.0.1:9400/\"\n\n\
             # One place; add as many as you have.\n\
             [locations.main]\nname = \"{place}\"\nkind = \"{kind}\"\n\n\
             {connector}\n{channel}\n\
             [[routes]]\nname = \"all\"\nchannels = [\"people\"]\n\n\
             [[rules]]\nname = \"low\"\nkind = \"low_stock\"\nthreshold = {level}\n",
            name = quoted(name),
            zone = quoted(zone),
            currency = quoted(currency),
            level = self.level,
        )
    }
}

const SHOPIFY: &str = r#"# In Shopify: Settings, Notifications, Webhooks: one for each topic in docs/webhooks.md, as JSON, to
# https://<this host>/hooks/shopify. Shopify has to reach that from outside: behind a tunnel or a proxy. The
# secret is the key that the page shows below the list.
[connectors.shopify]
kind = "shopify"
shop = {shop}
locations = {locations}
default_location = "main"             # where orders that name no place are taken from
webhook = { secret = "env:LOTWIRE_SHOPIFY_SECRET" }
"#;
const FILES: &str = r#"# CSV files dropped here, read every 15 minutes; sftp://, ftps:// and https:// do, too.
[connectors.files]
kind = "files"
url = {url}
locations = { main = "main" }         # the names of places in the files
"#;
const WEBHOOK: &str = r#"# Signed JSON to /hooks/till, as docs/webhooks.md says.
[connectors.till]
kind = "generic"
locations = { main = "main" }
webhook = { secret = "env:LOTWIRE_TILL_SECRET" }
"#;
const SLACK: &str = r#"# An incoming webhook; its address is the secret.
[channels.people]
kind = "slack"
url = "env:LOTWIRE_SLACK_URL"
"#;
const SMS: &str = r#"[channels.people]
kind = "twilio_sms"
account_sid = "AC00000000000000000000000000000000"    # yours, from Twilio's console
auth_token = "env:LOTWIRE_TWILIO_AUTH_TOKEN"
from = "+15005550006"                                 # a number of yours at Twilio
to = {to}
"#;
const MAIL: &str = r#"[channels.people]
kind = "sendgrid"
api_key = "env:LOTWIRE_SENDGRID_API_KEY"
from = "stock@example.com"            # a sender that SendGrid knows as yours
to = [{to}]
"#;
const OUT: &str = r#"[channels.people]
kind = "webhook"
url = {url}
secret = "env:LOTWIRE_WEBHOOK_SECRET"
"#;

/// The sample's, with one place.
fn dealertrack(currency: &str) -> String {
    let sample = crate::stack::sample::CONFIG;
    let mut lines = String::new();
    let mut inside = false;
    for line in sample.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[connectors.dealertrack");
        }
        if inside && !line.starts_with('#') {
            match line.split_once(" = ") {
                Some(("locations", _)) => {
                    lines.push_str("locations = { MAIN = \"main\" }       # your company number");
                }
                Some(("currency", _)) => lines.push_str(&format!("currency = {currency}")),
                _ => lines.push_str(line),
            }
            lines.push('\n');
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use shared::config::connector::ConnectorSettings;

    use super::*;

    #[test]
    fn orders_of_a_new_shop_that_name_no_place_are_taken_from_its_one_place() {
        let answers = Answers {
            goods: Goods::Parts,
            origin: Origin::Shopify,
            shop: Shop::default(),
            channel: Channel::Slack,
            level: 3,
            folder: PathBuf::from("/tmp/drop"),
        };
        let text = answers.document("Test", "UTC", "EUR");
        let config = Config::check(&text, "lotwire.toml").unwrap();
        let connectors: Vec<_> = config.connectors.values().collect();
        let [shop] = &connectors[..] else {
            panic!("{text}")
        };
        let ConnectorSettings::Shopify(shop) = &shop.settings else {
            panic!("{text}")
        };
        let place = shop.default_location.as_ref().unwrap();
        assert!(config.locations.location(place).is_some(), "{text}");
    }
}
