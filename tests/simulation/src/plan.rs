//! A plan: what a world's senders, people and feed server do, and when. It is plain data, made from
//! the seed before anything runs, so that steps can be left out without changing the others.

mod draw;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::faults::Faults;
use crate::places::{Channel, Rules};
use crate::said::Said;

/// When every world begins: twenty minutes before midnight in Sydney.
pub const START: &str = "2026-03-10T12:40:00Z";

/// Who sends webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    /// A Shopify shop.
    Shop,
    /// A program that signs by the Standard Webhooks specification, with stock.
    Till,
    /// The same, with vehicles.
    Rooftop,
    /// A Dealertrack DMS.
    Dms,
}

impl Sender {
    /// Every sender.
    pub const ALL: [Self; 4] = [Self::Shop, Self::Till, Self::Rooftop, Self::Dms];

    /// Its connector's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Till => "till",
            Self::Rooftop => "rooftop",
            Self::Dms => "dms",
        }
    }
}

/// A whole plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it was made from.
    pub seed: u64,
    /// What happens before anything can go wrong: products are described, first levels stated.
    pub opening: Vec<Step>,
    /// What happens then, by time.
    pub steps: Vec<Step>,
    /// What goes wrong.
    pub faults: Faults,
    /// How far each sender's clock is from ours until the faults end.
    pub skews: BTreeMap<Sender, SignedDuration>,
    /// How far the feed server's clock is from ours.
    pub feed_skew: SignedDuration,
    /// Into how many shards the table's stream is divided.
    pub shards: u32,
    /// What the feed's stock is in the end.
    pub feed: BTreeMap<String, i64>,
    /// A product for which the last files have a row and no quantity.
    pub blank: Option<String>,
    /// Whether the shop's orders take from stock.
    pub deducts: bool,
    /// Whether the connector of the lists of vehicles is taken out of the configuration in the end.
    pub drops_lists: bool,
}

/// One thing that somebody does.
#[derive(Debug, Clone)]
pub struct Step {
    /// When, since the start.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What somebody does.
#[derive(Debug, Clone)]
pub enum Act {
    /// A sender sends.
    Webhook(Message),
    /// A person asks the API for a movement.
    Movement(Request),
    /// A file is put on the feed server.
    File(File),
    /// A list of vehicles is put on the feed server.
    Lot(Lot),
    /// Somebody changes the rules.
    Configure(Rules),
    /// A secret is changed on both sides, not at the same time.
    Rotate(Rotation),
}

/// A webhook.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who sends it.
    pub sender: Sender,
    /// The delivery's name, the same on every try.
    pub id: String,
    /// The shop's topic.
    pub topic: &'static str,
    /// When what it tells of happened, where the shop says so outside the body.
    pub triggered: Option<Timestamp>,
    /// The body.
    pub body: Value,
    /// What it says.
    pub said: Vec<Said>,
    /// After how long it is sent again although it was acknowledged.
    pub repeats: Vec<Duration>,
}

/// A request to the API.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its idempotency key.
    pub key: String,
    /// The body.
    pub body: Value,
    /// What is true once it is accepted.
    pub said: Vec<Said>,
}

/// A file on the feed server.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: String,
    /// How it came to be.
    pub kind: FileKind,
    /// The stock behind it.
    pub rows: BTreeMap<String, i64>,
    /// Whether somebody asks for it to be read, rather than wait for the schedule.
    pub hurried: bool,
    /// When it was put down, by the feed server's clock.
    pub written: Option<Timestamp>,
}

/// How a file came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// All of it is there. Single rows may still have no quantity, or one that cannot be read.
    Whole,
    /// The upload broke off inside a row.
    Cut,
    /// A column has another name.
    Renamed,
    /// A header and no rows.
    Bare,
}

/// A list of vehicles on the feed server.
#[derive(Debug, Clone)]
pub struct Lot {
    /// Tells it from the others.
    pub number: i64,
    /// Each vehicle, where it is, and its state: in the system's word, and in ours.
    pub rows: Vec<(&'static str, &'static str, &'static str, &'static str)>,
    /// Whether somebody asks for it to be read, rather than wait for the schedule.
    pub hurried: bool,
    /// When it was put down, by the feed server's clock.
    pub written: Option<Timestamp>,
}

impl Lot {
    /// Its name.
    pub fn name(&self) -> String {
        format!("lot-{:03}.csv", self.number)
    }

    /// What is in it.
    pub fn content(&self) -> String {
        let (number, make) = (self.number, crate::places::MAKE);
        let row = |(vin, place, word, _): &(&str, &str, &str, &str)| {
            let model = crate::places::model_of(vin);
            format!("{vin},{place},{make},{model},{word},list {number}\n")
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("VIN,Location,Make,Model,Status,Comments\n{rows}")
    }
}

/// A change of a secret.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Whose.
    pub of: Rotated,
    /// How long after the step we have the new one.
    pub ours: Duration,
    /// How long after the step the other side uses it.
    pub theirs: Duration,
    /// Tells it from the others.
    pub generation: u32,
}

/// Whose secret changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The one that a sender signs with.
    Sender(Sender),
    /// The one that we send to a channel with.
    Channel(Channel),
}

impl Plan {
    /// The plan of a seed, with these kinds of faults.
    pub fn of(seed: u64, kinds: &[crate::faults::Kind]) -> Self {
        draw::plan(seed, kinds)
    }

    /// Whether there are lists of vehicles.
    pub fn has_lists(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.act, Act::Lot(_)))
    }

    /// When worlds begin.
    pub fn start() -> Timestamp {
        START.parse().unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl File {
    /// A file with these rows, and a row that tells it from all others.
    pub fn whole(number: u32, rows: &BTreeMap<String, i64>) -> Self {
        let (place, first) = (crate::places::FED_PLACE, crate::places::FEED_NUMBER);
        let lines: String = rows
            .iter()
            .map(|(sku, on_hand)| format!("{sku},{place},{on_hand}\n"))
            .collect();
        Self {
            name: format!("stock-{number:03}.csv"),
            content: format!("sku,location,on_hand\n{first},{place},{number}\n{lines}"),
            kind: FileKind::Whole,
            rows: rows.clone(),
            hurried: false,
            written: None,
        }
    }
}

impl File {
    /// Takes a product's quantity away.
    pub fn blank(&mut self, sku: &str) {
        let row = |line: &str| {
            let blank = format!("{sku},{},", crate::places::FED_PLACE);
            let line = if line.starts_with(&blank) {
                &blank
            } else {
                line
            };
            format!("{line}\n")
        };
        self.content = self.content.lines().map(row).collect();
    }

    /// What the file's complete rows say: of each product a quantity, or nothing that can be believed.
    pub fn says(&self) -> BTreeMap<String, Option<i64>> {
        let lines = self
            .content
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let row = |line: &str| {
            let mut cells = line.trim_end().split(',');
            let (sku, on_hand) = (cells.next()?, cells.nth(1)?);
            Some((sku.to_owned(), on_hand.parse().ok()))
        };
        let mut says = BTreeMap::new();
        for (sku, on_hand) in lines.skip(1).filter_map(row) {
            let said = says.entry(sku).or_insert(on_hand);
            *said = said.filter(|known| Some(*known) == on_hand);
        }
        says
    }

    /// Whether anything of it cannot be used: a quantity, a contradiction, or where it breaks off.
    pub fn is_flawed(&self) -> bool {
        self.kind != FileKind::Whole || self.says().values().any(Option::is_none)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>9.3}s ", self.at.as_secs_f64())?;
        match &self.act {
            Act::Webhook(message) => {
                write!(f, "{} sends {}", message.sender.name(), message.id)?;
                if !message.repeats.is_empty() {
                    write!(f, " ({} times more)", message.repeats.len())?;
                }
                write!(f, ": {}", message.body)
            }
            Act::Movement(request) => write!(f, "api {}: {}", request.key, request.body),
            Act::File(file) => write!(f, "file {} ({:?}): {:?}", file.name, file.kind, file.rows),
            Act::Lot(lot) => write!(f, "lot {}: {:?}", lot.name(), lot.rows),
            Act::Configure(rules) => write!(f, "configure {rules:?}"),
            Act::Rotate(rotation) => write!(
                f,
                "rotate {:?}: ours after {:?}, theirs after {:?}",
                rotation.of, rotation.ours, rotation.theirs
            ),
        }
    }
}
