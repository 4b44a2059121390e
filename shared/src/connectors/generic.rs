//! The documented way in for any other system: JSON signed by the Standard Webhooks specification.
//!
//! ```json
//! {
//!   "type": "stock.level",
//!   "timestamp": "2026-11-22T09:15:00Z",
//!   "data": { "sku": "OIL-5W40", "location": "north", "on_hand": 12 }
//! }
//! ```
//!
//! `data` is one change, or `{"changes": […]}` with up to 1,000 of them, all of the envelope's type.
//!
//! | type | needs | may have |
//! |---|---|---|
//! | `stock.level` | `sku`, `location`, `on_hand` or `available` | `reserved`, `incoming`, `unavailable`, `version` |
//! | `stock.ended` | `sku`, `location` | `version` |
//! | `stock.moved` | `sku`, `location`, `delta` | `reason` (default `adjustment`) |
//! | `stock.sold` | `sku`, `location`, `quantity` | `deducts` (default `true`) |
//! | `unit.updated` | `vin` | `state`, `location`, `stock_number`, `since`, and what describes it |
//! | `unit.reserved`, `unit.sold`, `unit.removed` | `vin` | as `unit.updated`, but no `state` |
//! | `unit.transferred` | `vin`, `location` (the new one) | as `unit.updated` |
//! | `product.described` | `sku` | `title`, `category`, `external` |
//! | `ping` | | nothing is done with it |
//!
//! Every change may have `at`, when it happened, in place of the envelope's `timestamp`, and
//! `actor`, who did it. `product` may be written for `sku`. Of two statements on one thing the later
//! `at` counts, then the larger `version`; so the order of arrival does not matter.
//!
//! The envelope is accepted or refused as a whole. A change that cannot be used goes to quarantine
//! alone, with a pointer to everything that is wrong with it. What it needs is in the table above, and
//! whatever says when it was true, what it does to stock, or, of a vehicle in stock, where it stands;
//! anything else that cannot be read is left out, and goes to quarantine alone. Of two changes of one
//! vehicle and instant in one list the later one counts. Fields that are not listed here are tolerated, since
//! senders add some, and named in [`Parsed::ignored`], since they may be misspelt. Events are named
//! after the signed `webhook-id` and the change's place in the list.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use super::About;
use super::json::{self, Object, Wrong};
use super::names::{External, Names};
use super::push::{Delivery, Flaws, ParseError, Parsed, Problem, Push, Reason, Signed, event};
use super::vehicle::{self, Implied};
use crate::config::connector as settings;
use crate::domain::event::{Change, Level, MoveReason, ProductDescription, StockEvent, Version};
use crate::domain::money::Currency;
use crate::domain::unit::{UnitReport, UnitState};
use crate::domain::{ConnectorName, LocationId, ProductId, Sku};
use crate::signature::{LiveSecrets, ReplayWindow, SecretsError, SignatureError, standard};

/// What the documentation says of it.
pub const ABOUT: About = About {
    title: "Standard Webhooks",
    authenticity: "`webhook-signature`, version 1 of the Standard Webhooks specification",
    takes: &[
        ("`stock.level`", "how much there is"),
        (
            "`stock.ended`",
            "a product that is no longer kept at a location",
        ),
        ("`stock.moved`", "stock that came or went"),
        ("`stock.sold`", "a sale"),
        (
            "`unit.updated`, `unit.reserved`, `unit.sold`",
            "a vehicle's state and description",
        ),
        (
            "`unit.transferred`, `unit.removed`",
            "a vehicle that went elsewhere",
        ),
        (
            "`product.described`",
            "a product's title, category and other names",
        ),
        ("`ping`", "nothing: for trying out the signature"),
    ],
};

/// Changes that one delivery may hold.
const CHANGES_MOST: usize = 1_000;
/// Unused fields that are named; more of them add nothing.
const NOTES_MOST: usize = 20;
/// Characters of a `webhook-id`; an event's name has room for an index after it.
const ID_MOST: usize = 200;

pub(super) fn push(
    source: ConnectorName,
    settings: &settings::Generic,
    secrets: &[SecretString],
) -> Result<Generic, SecretsError> {
    Ok(Generic {
        source,
        secrets: standard::secrets(secrets)?,
        tolerance: settings.webhook.tolerance,
    })
}

/// A sender of Standard Webhooks.
pub struct Generic {
    source: ConnectorName,
    secrets: LiveSecrets,
    tolerance: SignedDuration,
}

/// What an envelope is about.
#[derive(Clone, Copy)]
enum Kind {
    Level,
    Ended,
    Moved,
    Sold,
    /// A vehicle, with the state that the type itself states.
    Unit(Option<UnitState>),
    Transferred,
    Described,
}

impl Kind {
    const ALL: &[(&str, Self)] = &[
        ("stock.level", Self::Level),
        ("stock.ended", Self::Ended),
        ("stock.moved", Self::Moved),
        ("stock.sold", Self::Sold),
        ("unit.updated", Self::Unit(None)),
        ("unit.reserved", Self::Unit(Some(UnitState::Reserved))),
        ("unit.sold", Self::Unit(Some(UnitState::Sold))),
        ("unit.removed", Self::Unit(Some(UnitState::Removed))),
        ("unit.transferred", Self::Transferred),
        ("product.described", Self::Described),
    ];

    /// The fields that are read, besides what describes a vehicle.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Level => &[
                "sku",
                "product",
                "location",
                "on_hand",
                "available",
                "reserved",
                "incoming",
                "unavailable",
                "version",
            ],
            Self::Ended => &["sku", "product", "location", "version"],
            Self::Moved => &["sku", "product", "location", "delta", "reason"],
            Self::Sold => &["sku", "product", "location", "quantity", "deducts"],
            Self::Unit(None) | Self::Transferred => &[
                "vin",
                "state",
                "location",
                "stock_number",
                "since",
                "currency",
                "version",
            ],
            Self::Unit(Some(_)) => &[
                "vin",
                "location",
                "stock_number",
                "since",
                "currency",
                "version",
            ],
            Self::Described => &["sku", "product", "title", "category", "external", "version"],
        }
    }

    /// Whether it tells what happened, and not how things are.
    fn happened(self) -> bool {
        matches!(
            self,
            Self::Moved | Self::Sold | Self::Unit(Some(UnitState::Sold))
        )
    }

    fn reads(self, field: &str) -> bool {
        let describes = || vehicle::FIELDS.iter().any(|(name, _)| *name == field);
        matches!(field, "at" | "actor")
            || self.fields().contains(&field)
            || (matches!(self, Self::Unit(_) | Self::Transferred) && describes())
    }
}

impl Push for Generic {
    fn verify<'a>(&self, delivery: &Delivery<'a>) -> Result<Signed<'a>, SignatureError> {
        let verified = standard::verify(
            delivery.headers,
            delivery.body,
            &self.secrets,
            ReplayWindow::of(self.tolerance),
            delivery.received,
        )?;
        Ok(Signed::proven(delivery, verified))
    }

    fn delivery_id(&self, delivery: &Delivery<'_>) -> Option<String> {
        let id = delivery.headers.get(standard::ID)?.to_str().ok()?;
        Some(id.to_owned())
    }

    fn wanted(&self, _: &Signed<'_>) -> Result<Vec<External>, ParseError> {
        Ok(Vec::new())
    }

    fn parse(&self, signed: &Signed<'_>, names: &dyn Names) -> Result<Parsed, ParseError> {
        let body = json::document(signed.body())?;
        let envelope = Object::of(&body, "")?;
        let written = envelope.need("type", json::text)?;
        if written == "ping" {
            return Ok(Parsed::ignoring("ping"));
        }
        let known = Kind::ALL.iter().find(|(name, _)| *name == written);
        let Some((_, kind)) = known else {
            let known = Kind::ALL.iter().map(|(name, _)| *name);
            let known: Vec<_> = known.chain(["ping"]).collect();
            let sentence = format!("is not a type of event; known are {}", known.join(", "));
            return Err(Wrong::new(Reason::UnknownType, sentence)
                .at("/type".to_owned())
                .into());
        };
        let delivery = Reading {
            source: &self.source,
            message: message_id(signed)?,
            kind: *kind,
            sent: envelope.need("timestamp", json::time)?,
            signed,
            tolerance: self.tolerance,
            names,
        };
        let data = envelope.need("data", |value| {
            Ok(Some(value).filter(|value| !value.is_null()))
        })?;
        let single = Object::of(data, "/data")?;

        let mut parsed = Parsed::default();
        match single.get("changes", json::list)? {
            None => delivery.read(data, "/data".to_owned(), 0, &mut parsed),
            Some(changes) if changes.len() > CHANGES_MOST => {
                return Err(ParseError::TooMany {
                    pointer: "/data/changes".to_owned(),
                    found: changes.len(),
                    most: CHANGES_MOST,
                });
            }
            Some(changes) => {
                for (index, change) in changes.iter().enumerate() {
                    let pointer = format!("/data/changes/{index}");
                    delivery.read(change, pointer, index, &mut parsed);
                }
            }
        }
        parsed.settle_ties();
        Ok(parsed)
    }
}

/// The signed id of the message, from which its events are named.
fn message_id<'a>(signed: &Signed<'a>) -> Result<&'a str, ParseError> {
    let header = standard::ID;
    let problem = |problem| ParseError::Header { header, problem };
    let value = signed.headers().get(header).ok_or(problem("is missing"))?;
    let id = value
        .to_str()
        .map_err(|_| problem("is not plain text"))?
        .trim();
    if id.is_empty() {
        return Err(problem("is empty"));
    }
    if id.len() > ID_MOST {
        return Err(problem("has more than 200 characters"));
    }
    Ok(id)
}

/// One envelope, while its changes are being read.
struct Reading<'r> {
    source: &'r ConnectorName,
    message: &'r str,
    kind: Kind,
    sent: Timestamp,
    signed: &'r Signed<'r>,
    tolerance: SignedDuration,
    names: &'r dyn Names,
}

impl Reading<'_> {
    fn read(&self, change: &Value, pointer: String, index: usize, parsed: &mut Parsed) {
        let row = match Object::of(change, pointer) {
            Ok(row) => row,
            Err(problem) => return parsed.reject(problem, Value::Null),
        };
        let mut flaws = Flaws::default();
        let event = self.event(&row, index, &mut flaws);
        parsed.settle(event, flaws, || row.excerpt(self.kind.fields()));
        for field in row.keys().filter(|field| !self.kind.reads(field)) {
            if parsed.ignored.len() < NOTES_MOST {
                let field: String = row.pointer_to(field).chars().take(120).collect();
                parsed.ignored.push(format!("{field} is not used"));
            }
        }
    }

    /// The event, if the row has all that it needs. Each field is read, so that everything that is
    /// wrong with the row is told at once.
    fn event(&self, row: &Object<'_>, index: usize, flaws: &mut Flaws) -> Option<StockEvent> {
        let at = self.at(row, flaws);
        let change = match self.kind {
            Kind::Level => self.level(row, at, flaws),
            Kind::Ended => self.ended(row, at, flaws),
            Kind::Moved => self.moved(row, flaws),
            Kind::Sold => self.sold(row, flaws),
            Kind::Unit(stated) => self.unit(row, at, stated, self.location(row), flaws),
            // A transfer that does not say where to would move nothing, and look as if it had.
            Kind::Transferred => {
                let to = self.needed_location(row).map(Some);
                self.unit(row, at, None, to, flaws)
            }
            Kind::Described => described(row, at, flaws),
        };
        let actor = flaws.optional(row.get("actor", json::text));
        let actor = actor.map(|actor| actor.chars().take(80).collect());
        let id = format!("{}/{index}", self.message);
        let event = flaws.needed(event(self.source, &id, at?, change?))?;
        Some(StockEvent { actor, ..event })
    }

    fn at(&self, row: &Object<'_>, flaws: &mut Flaws) -> Option<Timestamp> {
        let (field, at) = match flaws.needed(row.get("at", json::time))? {
            Some(at) => (row.pointer_to("at"), at),
            None => ("/timestamp".to_owned(), self.sent),
        };
        let happened = self.kind.happened();
        self.signed
            .when(at, self.tolerance, happened, || field, flaws)
    }

    fn level(&self, row: &Object<'_>, at: Option<Timestamp>, flaws: &mut Flaws) -> Option<Change> {
        let position = self.position(row, flaws);
        let on_hand = flaws.needed(row.get("on_hand", json::quantity));
        let available = flaws.needed(row.get("available", json::quantity));
        let reserved = flaws.optional(row.get("reserved", json::count));
        let incoming = flaws.optional(row.get("incoming", json::count));
        let unavailable = flaws.optional(row.get("unavailable", json::count));
        let version = version(row, at, flaws);
        let level = Level::stated(on_hand?, available?, reserved, incoming, unavailable);
        let level = flaws.needed(level.ok_or_else(|| row.no_quantity("on_hand")));
        let (product, location) = position?;
        Some(Change::LevelSet {
            product,
            location,
            level: level?,
            version: version?,
            called: called(row),
        })
    }

    fn ended(&self, row: &Object<'_>, at: Option<Timestamp>, flaws: &mut Flaws) -> Option<Change> {
        let position = self.position(row, flaws);
        let version = version(row, at, flaws);
        let (product, location) = position?;
        Some(Change::LevelEnded {
            product,
            location,
            version: version?,
        })
    }

    fn moved(&self, row: &Object<'_>, flaws: &mut Flaws) -> Option<Change> {
        let position = self.position(row, flaws);
        let delta = flaws.needed(row.need_quantity("delta"));
        let reason = flaws
            .optional(row.get("reason", move_reason))
            .unwrap_or(MoveReason::Adjustment);
        let delta = delta.and_then(|delta| {
            let believable = match reason {
                MoveReason::Adjustment => delta != 0,
                MoveReason::Receipt | MoveReason::Return | MoveReason::TransferIn => delta > 0,
                MoveReason::TransferOut => delta < 0,
            };
            let sentence = "positive is in and negative is out; this contradicts the reason";
            let contradicts = || Wrong::new(Reason::Contradiction, sentence);
            flaws.needed(
                believable
                    .then_some(delta)
                    .ok_or_else(|| contradicts().at(row.pointer_to("delta"))),
            )
        });
        let (product, location) = position?;
        Some(Change::Moved {
            product,
            location,
            delta: delta?,
            reason,
            called: called(row),
        })
    }

    fn sold(&self, row: &Object<'_>, flaws: &mut Flaws) -> Option<Change> {
        let position = self.position(row, flaws);
        let quantity = row.need_quantity("quantity").and_then(|quantity| {
            if quantity >= 1 {
                return Ok(quantity);
            }
            let sentence = "a sale is of one unit or more; say what came back as `stock.moved`";
            Err(Wrong::new(Reason::OutOfRange, sentence).at(row.pointer_to("quantity")))
        });
        let quantity = flaws.needed(quantity);
        let deducts = flaws.needed(row.get("deducts", json::flag));
        let (product, location) = position?;
        Some(Change::Sold {
            product,
            location,
            quantity: quantity?,
            deducts: deducts?.unwrap_or(true),
            called: called(row),
        })
    }

    fn unit(
        &self,
        row: &Object<'_>,
        at: Option<Timestamp>,
        stated: Option<UnitState>,
        location: Result<Option<LocationId>, Problem>,
        flaws: &mut Flaws,
    ) -> Option<Change> {
        let vin = flaws.needed(row.need("vin", |value| vehicle::vin(value, self.names)));
        let state = match stated {
            Some(_) => Some(stated),
            None => flaws.needed(row.get("state", unit_state)),
        };
        let location = vehicle::place(location, state.flatten(), flaws);
        let version = version(row, at, flaws);
        let implied = Implied {
            currency: flaws.optional(row.get("currency", json::parsed::<Currency>)),
            distance: None,
        };
        let stock_number = flaws.optional(row.get("stock_number", json::name));
        let since = flaws.optional(row.get("since", json::day));
        let fields = vehicle::fields(row, implied, flaws);
        let location = location?;
        Some(Change::Unit(Box::new(UnitReport {
            called: called(row).filter(|_| location.is_some()),
            source_gone: false,
            vin: vin?,
            version: version?,
            state: state?,
            location,
            stock_number,
            since,
            brought: matches!(self.kind, Kind::Transferred),
            undated: false,
            fields,
        })))
    }

    /// The position that a row is about: a SKU's. Those of vehicles follow from the units, and could
    /// contradict them if they were set here.
    fn position(&self, row: &Object<'_>, flaws: &mut Flaws) -> Option<(ProductId, LocationId)> {
        let sku = flaws.needed(sku(row));
        let location = flaws.needed(self.needed_location(row));
        Some((ProductId::from(sku?), location?))
    }

    fn needed_location(&self, row: &Object<'_>) -> Result<LocationId, Problem> {
        self.location(row)?.ok_or_else(|| {
            let missing = Wrong::new(Reason::MissingField, "is missing");
            missing.at(row.pointer_to("location"))
        })
    }

    fn location(&self, row: &Object<'_>) -> Result<Option<LocationId>, Problem> {
        let Some(theirs) = row.get("location", json::name)? else {
            return Ok(None);
        };
        match self.names.location(&theirs) {
            Some(ours) => Ok(Some(ours)),
            None => Err(Problem::unknown_location(
                row.pointer_to("location"),
                &theirs,
            )),
        }
    }
}

/// What the sender calls the place.
fn called(row: &Object<'_>) -> Option<String> {
    row.get("location", json::name).ok().flatten()
}

/// The SKU, in the one field or the other.
fn sku(row: &Object<'_>) -> Result<Sku, Problem> {
    let key = if row.value("sku").is_none() && row.value("product").is_some() {
        "product"
    } else {
        "sku"
    };
    row.need(key, json::parsed)
}

/// What orders the statement; a number that cannot be read is not left out, for an older statement
/// could win then.
fn version(row: &Object<'_>, at: Option<Timestamp>, flaws: &mut Flaws) -> Option<Version> {
    let sequence = row.get("version", json::whole).and_then(|sequence| {
        u64::try_from(sequence.unwrap_or(0)).map_err(|_| {
            Wrong::new(Reason::OutOfRange, "is negative").at(row.pointer_to("version"))
        })
    });
    let sequence = flaws.needed(sequence)?;
    Some(Version { at: at?, sequence })
}

fn described(row: &Object<'_>, at: Option<Timestamp>, flaws: &mut Flaws) -> Option<Change> {
    let sku = flaws.needed(sku(row));
    let version = version(row, at, flaws);
    let mut text = |key| {
        let text = flaws.optional(row.get(key, json::text));
        text.map(str::to_owned)
    };
    let (title, category) = (text("title"), text("category"));
    let mut external = BTreeMap::new();
    let names = row.value("external");
    let names = names.map(|names| Object::of(names, row.pointer_to("external")));
    if let Some(names) = flaws.optional(names.transpose()) {
        for kind in names.keys() {
            let id = flaws.optional(names.get(kind, json::name));
            external.extend(id.map(|id| (kind.to_owned(), id)));
        }
    }
    Some(Change::Described(ProductDescription {
        sku: sku?,
        version: version?,
        title,
        category,
        external,
    }))
}

fn unit_state(value: &Value) -> json::Read<UnitState> {
    one_of(value, UnitState::ALL, UnitState::name)
}

fn move_reason(value: &Value) -> json::Read<MoveReason> {
    const ALL: &[(&str, MoveReason)] = &[
        ("receipt", MoveReason::Receipt),
        ("return", MoveReason::Return),
        ("adjustment", MoveReason::Adjustment),
        ("transfer_in", MoveReason::TransferIn),
        ("transfer_out", MoveReason::TransferOut),
    ];
    Ok(one_of(value, ALL, |(name, _)| name)?.map(|(_, reason)| reason))
}

/// The value that goes by the name; an unknown name is answered with those there are.
fn one_of<T: Copy>(value: &Value, all: &[T], name: impl Fn(T) -> &'static str) -> json::Read<T> {
    let Some(written) = json::text(value)? else {
        return Ok(None);
    };
    match all.iter().find(|one| name(**one) == written) {
        Some(one) => Ok(Some(*one)),
        None => {
            let known: Vec<_> = all.iter().map(|one| name(*one)).collect();
            let sentence = format!("should be one of {}", known.join(", "));
            Err(Wrong::new(Reason::InvalidValue, sentence))
        }
    }
}

#[cfg(test)]
mod tests;
