//! From a raw webhook to events: what a connector is given, what it makes of it, and the errors
//! that its sender is told.
//!
//! Two kinds of fault are kept apart. A [`ParseError`] refuses the whole delivery, and its sender
//! gets a 400 or a 422. A [`Rejected`] is one row that cannot be used, or one field of a row that is
//! applied without it: it goes to quarantine with its reason, and the rest of the delivery proceeds. A row is never made good by guessing: an
//! unknown product or place and a quantity that is not stated are rejected, never read as zero.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::{Awaited, External, Names};
use crate::domain::alert::named;
use crate::domain::event::{Change, EventId, StockEvent, Version};
use crate::domain::position::lower;
use crate::domain::{ConnectorName, IdError, Vin};
use crate::signature::{SignatureError, Verified};

/// A webhook as it came in. Nothing of it has been proven.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What stands after the `?`, undecoded.
    pub query: Option<&'a str>,
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// Where it came from, as far as the gateway knows.
    pub source_ip: Option<IpAddr>,
    /// When it came in, by our clock.
    pub received: Timestamp,
}

/// Neither headers nor body: both may hold secrets.
impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// A delivery whose sender is proven genuine.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    delivery: Delivery<'a>,
    verified: Verified,
}

impl<'a> Signed<'a> {
    /// For the connectors, with what the signature check answered.
    pub(super) fn proven(delivery: &Delivery<'a>, verified: Verified) -> Self {
        Self {
            delivery: *delivery,
            verified,
        }
    }

    /// A delivery that was verified when it arrived and has been in our keeping since: a replay.
    pub fn kept(delivery: Delivery<'a>) -> Self {
        let verified = Verified {
            secret: 0,
            skew: None,
        };
        Self { delivery, verified }
    }

    /// How it was verified: by which secret, and with what clock skew.
    pub fn verified(&self) -> Verified {
        self.verified
    }

    pub(super) fn body(&self) -> &'a [u8] {
        self.delivery.body
    }

    pub(super) fn received(&self) -> Timestamp {
        self.delivery.received
    }

    pub(super) fn headers(&self) -> &'a HeaderMap {
        self.delivery.headers
    }

    /// When it was. What has `happened` has done so by the time it is heard of, whatever clock dates it: a
    /// time that is too far ahead is left out, and it is when it came.
    pub(super) fn when(
        &self,
        at: Timestamp,
        tolerance: SignedDuration,
        happened: bool,
        pointer: impl FnOnce() -> String,
        flaws: &mut Flaws,
    ) -> Option<Timestamp> {
        let believed = flaws.needed(self.not_in_future(at, tolerance, pointer));
        believed.or_else(|| happened.then(|| self.received()))
    }

    /// Refuses a time that is further ahead of our clock than `tolerance`: a version from the far
    /// future would outrank every later statement.
    pub(super) fn not_in_future(
        &self,
        at: Timestamp,
        tolerance: SignedDuration,
        pointer: impl FnOnce() -> String,
    ) -> Result<Timestamp, Problem> {
        let ahead = at.duration_since(self.delivery.received);
        if ahead <= tolerance {
            return Ok(at);
        }
        Err(Problem {
            reason: Reason::TimeInFuture,
            pointer: pointer(),
            sentence: format!("the time lies {} s ahead of our clock", ahead.as_secs()),
            awaits: None,
        })
    }
}

/// A system that sends webhooks.
pub trait Push: Send + Sync {
    /// Proves who sent it. Only a delivery that passes becomes [`Signed`].
    fn verify<'a>(&self, delivery: &Delivery<'a>) -> Result<Signed<'a>, SignatureError>;

    /// Part of the delivery's name: two deliveries with the same id and body are one. No event is named
    /// after it.
    fn delivery_id(&self, delivery: &Delivery<'_>) -> Option<String>;

    /// The body as it may be kept for replays: without what nobody but the sender should hold.
    ///
    /// Parsing it again gives the same events as the body itself.
    fn keepable<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(body)
    }

    /// The vendor's names of products that have to be looked up before [`parse`](Self::parse).
    fn wanted(&self, signed: &Signed<'_>) -> Result<Vec<External>, ParseError>;

    /// What it says. A second delivery of the same body gives the same events under the same ids.
    fn parse(&self, signed: &Signed<'_>, names: &dyn Names) -> Result<Parsed, ParseError>;
}

/// What one delivery says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parsed {
    /// Changes, ready to be applied.
    pub events: Vec<StockEvent>,
    /// Rows that cannot be used, and why.
    pub quarantine: Vec<Rejected>,
    /// Vehicles whose record has to be fetched, because the webhook is a hint and not a fact.
    pub lookups: Vec<Lookup>,
    /// What was understood and is of no use to us; the sender gets its 200.
    pub ignored: Vec<String>,
}

impl Parsed {
    /// Nothing but a note on what was passed over.
    pub(super) fn ignoring(note: impl Into<String>) -> Self {
        Self {
            ignored: vec![note.into()],
            ..Self::default()
        }
    }

    /// Adds the row's event, if it has all that it needs, and everything that is wrong with the row to
    /// the quarantine.
    pub(super) fn settle(
        &mut self,
        event: Option<StockEvent>,
        flaws: Flaws,
        excerpt: impl Fn() -> Value,
    ) {
        let applies = event.is_some();
        self.events.extend(event);
        match applies {
            true => self.leave_out(flaws, excerpt),
            false => flaws
                .0
                .into_iter()
                .for_each(|it| self.reject(it, excerpt())),
        }
    }

    /// Adds facts to the quarantine without which a row applies.
    pub(super) fn leave_out(&mut self, flaws: Flaws, excerpt: impl Fn() -> Value) {
        for mut problem in flaws.0 {
            problem
                .sentence
                .push_str("; it is left out, and the rest of the row applies");
            self.reject(problem, excerpt());
        }
    }

    /// What a later event of one body repeats of a vehicle for the same instant, an earlier one no
    /// longer says: the body's own order breaks the tie.
    pub(super) fn settle_ties(&mut self) {
        let mut later: BTreeMap<(Vin, Version), BTreeSet<String>> = BTreeMap::new();
        for event in self.events.iter_mut().rev() {
            let Change::Unit(report) = &mut event.change else {
                continue;
            };
            let said = later
                .entry((report.vin.clone(), report.version))
                .or_default();
            forget(&mut report.state, "state", said);
            forget(&mut report.location, "location", said);
            report.called.take_if(|_| report.location.is_none());
            forget(&mut report.since, "since", said);
            forget(&mut report.stock_number, "stock_number", said);
            report.fields.retain(|name, _| said.insert(name.clone()));
        }
        self.events.retain(|event| match &event.change {
            Change::Unit(report) => !report.is_empty(),
            _ => true,
        });
        self.put_what_counts_first();
    }

    /// Of several levels of one thing the latest counts, and of one instant the lowest, in any order. It goes
    /// first, so that nothing else is ever written, or told.
    fn put_what_counts_first(&mut self) {
        let mut levels: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, event) in self.events.iter().enumerate() {
            if let Change::LevelSet {
                product, location, ..
            } = &event.change
            {
                let of = (product.clone(), location.clone());
                levels.entry(of).or_default().push(index);
            }
        }
        for places in levels.into_values().filter(|places| places.len() > 1) {
            let level = |index: &usize| match &self.events[*index].change {
                Change::LevelSet { level, version, .. } => Some((version.kept(), level)),
                _ => None,
            };
            let counts = places.iter().copied().reduce(|best, other| {
                let is_better = level(&other).zip(level(&best)).is_some_and(
                    |((at, other), (best_at, best))| {
                        at > best_at || at == best_at && lower(other, best)
                    },
                );
                if is_better { other } else { best }
            });
            if let Some(counts) = counts {
                self.events.swap(places[0], counts);
            }
        }
    }

    /// Adds the row's event, or the row itself to the quarantine.
    pub(super) fn add(
        &mut self,
        row: Result<StockEvent, Problem>,
        excerpt: impl FnOnce() -> Value,
    ) {
        match row {
            Ok(event) => self.events.push(event),
            Err(problem) => self.reject(problem, excerpt()),
        }
    }

    pub(super) fn reject(&mut self, problem: Problem, excerpt: Value) {
        self.quarantine.push(Rejected { problem, excerpt });
    }
}

/// Takes a fact that was said again later, and notes it otherwise.
fn forget<T>(fact: &mut Option<T>, name: &str, said: &mut BTreeSet<String>) {
    if fact.is_some() && !said.insert(name.to_owned()) {
        *fact = None;
    }
}

/// What is wrong with one row, collected so that all of it is told at once.
#[derive(Debug, Default)]
pub(super) struct Flaws(Vec<Problem>);

impl Flaws {
    /// A fact that the row can do without: one that cannot be read is noted and left out.
    pub(super) fn optional<T>(&mut self, read: Result<Option<T>, Problem>) -> Option<T> {
        self.needed(read).flatten()
    }

    /// A fact that the row cannot do without. The caller goes on to the others, and gives the row up
    /// at the end.
    pub(super) fn needed<T>(&mut self, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.0.push(problem)).ok()
    }
}

/// One row, or one field of it, that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// What is wrong, and where.
    #[serde(flatten)]
    pub problem: Problem,
    /// What the row said, cut down to fields that name stock and never a person.
    pub excerpt: Value,
}

/// A vehicle to look up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lookup {
    /// The vehicle.
    pub vin: Vin,
    /// The store to ask for, as the vendor calls it.
    pub company: Option<String>,
    /// What is said to have happened to it, in the vendor's word.
    pub event: String,
}

named!(
    /// Why a row or a delivery cannot be used, as machines read it.
    Reason {
        /// A field that must be there is not.
        MissingField => "missing_field",
        /// No quantity was stated. That is no data, and never zero.
        MissingQuantity => "missing_quantity",
        /// A list where a number should be, and the like.
        WrongType => "wrong_type",
        /// Of the right type, and still not a value of the field.
        InvalidValue => "invalid_value",
        /// Beyond what can be believed.
        OutOfRange => "out_of_range",
        /// Two fields that cannot both be true.
        Contradiction => "contradiction",
        /// A type of event that we do not know.
        UnknownType => "unknown_type",
        /// A place that the connector's `locations` do not name.
        UnknownLocation => "unknown_location",
        /// A product that its system has not described yet.
        UnknownProduct => "unknown_product",
        /// Not a VIN.
        InvalidVin => "invalid_vin",
        /// A time too far ahead of our clock.
        TimeInFuture => "time_in_future",
    }
);

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {sentence}", place(pointer))]
pub struct Problem {
    /// For machines.
    pub reason: Reason,
    /// JSON pointer to the place in the body; empty for the body as a whole.
    pub pointer: String,
    /// For people.
    pub sentence: String,
    /// The name that has to be known before it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Awaited>,
}

impl Problem {
    pub(super) fn unknown_location(pointer: String, theirs: &str) -> Self {
        let found: String = theirs.chars().take(40).collect();
        Self {
            reason: Reason::UnknownLocation,
            pointer,
            sentence: format!("location {found:?} is not in the connector's `locations`"),
            awaits: Some(Awaited::location(theirs)),
        }
    }

    pub(super) fn unknown_product(pointer: String, external: &External) -> Self {
        Self {
            reason: Reason::UnknownProduct,
            pointer,
            sentence: format!(
                "no product is known by {external}; if its variant has no SKU, give it one in the shop, else \
                 save it there once, or change a field of all products in bulk, and this is applied"
            ),
            awaits: Some(Awaited::product(external)),
        }
    }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "body" } else { pointer }
}

/// Why a delivery is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON.
    #[error("the body is not JSON: {problem}")]
    NotJson {
        /// What the reader stumbled over, and where.
        problem: String,
    },
    /// Not XML, or XML with a document type, which is not accepted.
    #[error("the body is not acceptable XML: {problem}")]
    NotXml {
        /// What the reader stumbled over, and where.
        problem: String,
    },
    /// Nested too deeply.
    #[error("the body is nested more than {most} levels deep")]
    TooDeep {
        /// Levels allowed.
        most: usize,
    },
    /// Too many rows in one delivery.
    #[error("{pointer}: {found} rows; at most {most} are accepted in one delivery")]
    TooMany {
        /// Where they stand.
        pointer: String,
        /// How many there are.
        found: usize,
        /// How many are accepted.
        most: usize,
    },
    /// A header that the vendor always sends is missing or unreadable.
    #[error("the {header} header {problem}")]
    Header {
        /// Which.
        header: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The frame around the rows is not what it should be.
    #[error(transparent)]
    Field(#[from] Problem),
}

impl ParseError {
    /// The reason as machines read it: in answers, logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not_json",
            Self::NotXml { .. } => "not_xml",
            Self::TooDeep { .. } => "too_deep",
            Self::TooMany { .. } => "too_many",
            Self::Header { .. } => "bad_header",
            Self::Field(problem) => problem.reason.name(),
        }
    }

    /// The HTTP status: 400 for what cannot be read, 422 for what can be read and not be used.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotJson { .. }
            | Self::NotXml { .. }
            | Self::TooDeep { .. }
            | Self::Header { .. } => 400,
            Self::TooMany { .. } | Self::Field(_) => 422,
        }
    }

    /// Where in the body, if it is one place.
    pub fn pointer(&self) -> Option<&str> {
        match self {
            Self::TooMany { pointer, .. } => Some(pointer),
            Self::Field(problem) => Some(&problem.pointer),
            _ => None,
        }
    }
}

/// An event of `source`, named after parts of the signed body.
pub(super) fn event(
    source: &ConnectorName,
    id: &str,
    at: Timestamp,
    change: Change,
) -> Result<StockEvent, Problem> {
    let id: EventId = id.parse().map_err(|problem: IdError| Problem {
        reason: Reason::InvalidValue,
        pointer: String::new(),
        sentence: problem.to_string(),
        awaits: None,
    })?;
    Ok(StockEvent {
        id,
        source: source.clone(),
        at,
        actor: None,
        change,
    })
}
