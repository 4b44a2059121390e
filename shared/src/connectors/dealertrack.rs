//! Dealertrack DMS (OpenTrack): vehicles of one enterprise, as webhooks.
//!
//! No description of the vendor's webhooks is public, so everything about them is configurable: how
//! they are authenticated, where in the JSON body each fact stands ([`Pointers`]), what the events
//! are called, and the codes of the stock status. **Unconfirmed** until a dealer's own set-up says
//! so. A body that is XML is read as the vehicle records that the OpenTrack services answer with;
//! those are known from recordings (see `record.rs`).
//!
//! `payload = "lookup"`, the default, takes a webhook only as a reason to fetch the vehicle's record
//! with an authenticated call: parsing yields no event, but a [`Lookup`]. `payload = "trusted"`
//! applies what the body says. An XML record has no time of its own; unless the document around it
//! has one where `pointers.time` points, it could not be ordered against other statements, and is a
//! reason to look even when trusted.
//!
//! | event | becomes |
//! |---|---|
//! | `stocked` | the same as `updated`, in stock unless a status code says otherwise |
//! | `updated` | what the body says of the vehicle; its state only if there is a status code |
//! | `reserved`, `sold`, `removed` | the same, in that state |
//! | `transferred` | the same, at the location of `to_company` (or `company`, where that is not set) |
//!
//! What an event needs is its id, time, kind and VIN, and where a vehicle in stock stands. Any other fact
//! that cannot be read is left out, and goes to quarantine alone.
//!
//! Of a record only what this page names is read. Key and radio codes are never among it:
//! [`Push::keepable`] takes them out of what is read, and of what is kept.
//!
//! [`Pointers`]: crate::config::connector::Pointers

mod codes;
mod record;

use std::borrow::Cow;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::json::{self, Read, Wrong};
use super::names::{External, Names};
use super::push::{
    Delivery, Flaws, Lookup, ParseError, Parsed, Problem, Push, Reason, Signed, event,
};
use super::vehicle::{self, Implied, Sort};
use super::{About, xml};
use crate::config::connector::{
    self as settings, Payload, SignatureEncoding, VehicleEvent, Verify, VerifyHmac,
};
use crate::config::{HeaderName, JsonPointer};
use crate::domain::event::{Change, StockEvent, Version};
use crate::domain::unit::{Field, UnitReport, UnitState};
use crate::domain::{ConnectorName, LocationId, Vin};
use crate::signature::{
    HmacSha256, LiveSecrets, SecretsError, SignatureError, Verified, shared_secret,
};

/// What the documentation says of it.
pub const ABOUT: About = About {
    title: "Dealertrack DMS",
    authenticity: "as set: HMAC-SHA256 of the body, HTTP basic, or a secret in a header",
    takes: &[
        (
            "JSON events, by JSON pointers",
            "updated, reserved, sold, transferred, removed vehicles",
        ),
        (
            "XML vehicle records",
            "the same, as the OpenTrack services write them",
        ),
    ],
};

/// Events or records that one delivery may hold.
const ROWS_MOST: usize = 1_000;

pub(super) fn push(
    source: ConnectorName,
    settings: &settings::Dealertrack,
    secrets: &[SecretString],
) -> Result<Dealertrack, SecretsError> {
    Ok(Dealertrack {
        source,
        secrets: LiveSecrets::new(secrets)?,
        settings: settings.clone(),
    })
}

/// An enterprise at Dealertrack.
pub struct Dealertrack {
    source: ConnectorName,
    secrets: LiveSecrets,
    settings: settings::Dealertrack,
}

impl Push for Dealertrack {
    fn verify<'a>(&self, delivery: &Delivery<'a>) -> Result<Signed<'a>, SignatureError> {
        let verified = match &self.settings.verify {
            Verify::HmacSha256(by) => self.hmac(delivery, by),
            Verify::Basic(by) => {
                shared_secret::verify_basic(delivery.headers, &by.username, &self.secrets)
            }
            Verify::HeaderSecret(by) => sole_value(delivery, &by.header)
                .and_then(|value| shared_secret::verify_value(value, &self.secrets)),
        }?;
        Ok(Signed::proven(delivery, verified))
    }

    fn delivery_id(&self, _: &Delivery<'_>) -> Option<String> {
        // The event's id stands in the body, which is not to be read before it is verified.
        None
    }

    fn keepable<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        codes::without(body)
    }

    fn wanted(&self, _: &Signed<'_>) -> Result<Vec<External>, ParseError> {
        Ok(Vec::new())
    }

    fn parse(&self, signed: &Signed<'_>, names: &dyn Names) -> Result<Parsed, ParseError> {
        let reading = Reading {
            connector: self,
            signed,
            names,
        };
        // As it is kept: so a replay reads the same, and no code gets any further.
        let body = self.keepable(signed.body());
        let mut parsed = if xml::looks_like(&body) {
            reading.records(&xml::document(&body)?)
        } else {
            reading.events(&json::document(&body)?)
        }?;
        parsed.settle_ties();
        Ok(parsed)
    }
}

/// What errors call a header whose name is a setting.
const SET_HEADER: &str = "configured authentication";

impl Dealertrack {
    fn hmac(&self, delivery: &Delivery<'_>, by: &VerifyHmac) -> Result<Verified, SignatureError> {
        let scheme = match by.encoding {
            SignatureEncoding::Hex => HmacSha256::hex(SET_HEADER),
            SignatureEncoding::Base64 => HmacSha256::base64(SET_HEADER),
        };
        let value = sole_value(delivery, &by.header)?;
        let signature = value.strip_prefix(by.prefix.as_deref().unwrap_or_default().as_bytes());
        let signature = signature.ok_or(SignatureError::Malformed { header: SET_HEADER })?;
        scheme.verify_value(signature, &[delivery.body], &self.secrets)
    }
}

/// The value of a header that must be there exactly once: of two, either could be the forged one.
fn sole_value<'a>(
    delivery: &Delivery<'a>,
    header: &HeaderName,
) -> Result<&'a [u8], SignatureError> {
    let mut values = delivery.headers.get_all(header.as_str()).iter();
    let header = SET_HEADER;
    match (values.next(), values.next()) {
        (None, _) => Err(SignatureError::Missing { header }),
        (Some(value), None) => Ok(value.as_bytes()),
        (Some(_), Some(_)) => Err(SignatureError::Malformed { header }),
    }
}

/// One delivery, while it is being read.
struct Reading<'r> {
    connector: &'r Dealertrack,
    signed: &'r Signed<'r>,
    names: &'r dyn Names,
}

/// What happened.
#[derive(Clone)]
struct Kind {
    event: VehicleEvent,
    /// The vendor's word for it.
    written: String,
}

/// What happened to which vehicle.
struct Frame {
    vin: Vin,
    company: Option<String>,
    kind: Kind,
}

impl Reading<'_> {
    fn events(&self, body: &Value) -> Result<Parsed, ParseError> {
        let mut parsed = Parsed::default();
        let list = self.connector.settings.pointers.list.as_ref();
        let Some(list) = list else {
            self.event(body, "", &mut parsed);
            return Ok(parsed);
        };
        let found = find(body, "", list, json::list)?.ok_or_else(|| missing("", list))?;
        bounded(found.len(), list.as_str())?;
        for (index, one) in found.iter().enumerate() {
            self.event(one, &format!("{}/{index}", list.as_str()), &mut parsed);
        }
        Ok(parsed)
    }

    fn event(&self, one: &Value, base: &str, parsed: &mut Parsed) {
        let pointers = &self.connector.settings.pointers;
        let mut flaws = Flaws::default();
        let kind = self
            .kind(one, base)
            .and_then(|kind| kind.ok_or_else(|| missing(base, &pointers.event_type)));
        let kind = flaws.needed(kind);
        if let Some(kind) = kind.as_ref().filter(|it| it.event == VehicleEvent::Ignored) {
            parsed.ignored.push(format!("event {}", kind.written));
            return;
        }
        let frame = self.frame(one, base, kind, &mut flaws);
        let event = if self.connector.settings.payload == Payload::Lookup {
            parsed.lookups.extend(frame.map(Frame::into_lookup));
            None
        } else {
            self.stated(one, base, frame.as_ref(), &mut flaws)
        };
        parsed.settle(event, flaws, || self.excerpt(one));
    }

    /// The event, if the body has all that it needs. Without a word for what happened, or a VIN, the
    /// rest is read for its flaws only.
    fn stated(
        &self,
        one: &Value,
        base: &str,
        frame: Option<&Frame>,
        flaws: &mut Flaws,
    ) -> Option<StockEvent> {
        let pointers = &self.connector.settings.pointers;
        let id = find(one, base, &pointers.event_id, json::name)
            .and_then(|id| id.ok_or_else(|| missing(base, &pointers.event_id)));
        let id = flaws.needed(id);
        let at = find(one, base, &pointers.time, json::time)
            .and_then(|at| at.ok_or_else(|| missing(base, &pointers.time)));
        let at = flaws.needed(at).and_then(|at| {
            let pointer = || format!("{base}{}", pointers.time.as_str());
            let tolerance = self.connector.settings.tolerance;
            let is_sale = frame.is_some_and(|it| it.kind.event == VehicleEvent::Sold);
            self.signed.when(at, tolerance, is_sale, pointer, flaws)
        });
        let report = self.report(one, base, frame?, at, flaws);
        let change = Change::Unit(Box::new(report?));
        let id = format!("event/{}", id?);
        flaws.needed(event(&self.connector.source, &id, at?, change))
    }

    /// What happened, if the body has a word for it; the word must be among `events`.
    fn kind(&self, one: &Value, base: &str) -> Result<Option<Kind>, Problem> {
        let settings = &self.connector.settings;
        let pointer = &settings.pointers.event_type;
        let Some(written) = find(one, base, pointer, json::name)? else {
            return Ok(None);
        };
        if let Some(event) = settings.events.get(&written).copied() {
            return Ok(Some(Kind { event, written }));
        }
        let known: Vec<_> = settings.events.keys().map(String::as_str).collect();
        let sentence = format!(
            "is not among the connector's `events` ({})",
            known.join(", ")
        );
        let wrong = Wrong::new(Reason::UnknownType, sentence);
        Err(wrong.at(format!("{base}{}", pointer.as_str())))
    }

    fn frame(
        &self,
        one: &Value,
        base: &str,
        kind: Option<Kind>,
        flaws: &mut Flaws,
    ) -> Option<Frame> {
        let pointers = &self.connector.settings.pointers;
        let read = |value| vehicle::vin(value, self.names);
        let vin = find(one, base, &pointers.vin, read)
            .and_then(|vin| vin.ok_or_else(|| missing(base, &pointers.vin)));
        let vin = flaws.needed(vin);
        let company = flaws.optional(find(one, base, &pointers.company, json::name));
        Some(Frame {
            vin: vin?,
            company,
            kind: kind?,
        })
    }

    fn report(
        &self,
        one: &Value,
        base: &str,
        frame: &Frame,
        at: Option<Timestamp>,
        flaws: &mut Flaws,
    ) -> Option<UnitReport> {
        let settings = &self.connector.settings;
        let pointers = &settings.pointers;
        let status = flaws.optional(optional(one, base, pointers.status.as_ref(), json::name));
        let state = self.state(frame.kind.event, status.as_deref());
        let (location, called) = if frame.kind.event == VehicleEvent::Transferred {
            match self.destination(one, base, frame) {
                Ok((to, called)) => (Ok(Some(to)), Some(called)),
                Err(problem) => (Err(problem), None),
            }
        } else {
            let pointer = || format!("{base}{}", pointers.company.as_str());
            let location = self.location(frame.company.as_deref(), pointer);
            (location, frame.company.clone())
        };
        let location = vehicle::place(location, state, flaws);
        let mut report = UnitReport {
            called: None,
            source_gone: false,
            vin: frame.vin.clone(),
            version: Version::at(at?),
            state,
            location: None,
            stock_number: flaws.optional(optional(
                one,
                base,
                pointers.stock_number.as_ref(),
                json::name,
            )),
            since: flaws.optional(optional(one, base, pointers.since.as_ref(), json::day)),
            brought: frame.kind.event == VehicleEvent::Transferred,
            undated: false,
            fields: Default::default(),
        };
        let described = [
            ("make", &pointers.make, Sort::Text),
            ("model", &pointers.model, Sort::Text),
            ("trim", &pointers.trim, Sort::Text),
            ("year", &pointers.year, Sort::Number),
            ("exterior_colour", &pointers.colour, Sort::Text),
            ("price", &pointers.price, Sort::Money),
            ("mileage", &pointers.mileage, Sort::Distance),
        ];
        for (name, pointer, sort) in described {
            let read = |value| vehicle::field(value, sort, self.implied());
            let field = flaws.optional(optional(one, base, pointer.as_ref(), read));
            report
                .fields
                .extend(field.map(|field| (name.to_owned(), field)));
        }
        let condition = optional(one, base, pointers.condition.as_ref(), json::name);
        if let Some(condition) = flaws.optional(condition) {
            let condition = record::condition(&condition, false).to_owned();
            report
                .fields
                .insert("condition".to_owned(), Field::Text(condition));
        }
        report.location = location?;
        report.called = called.filter(|_| report.location.is_some());
        Some(report)
    }

    /// Where a vehicle was transferred to, which the body must say, and what that is called.
    fn destination(
        &self,
        one: &Value,
        base: &str,
        frame: &Frame,
    ) -> Result<(LocationId, String), Problem> {
        let pointers = &self.connector.settings.pointers;
        let (pointer, company) = match &pointers.to_company {
            Some(pointer) => (pointer, find(one, base, pointer, json::name)?),
            None => (&pointers.company, frame.company.clone()),
        };
        let at = || format!("{base}{}", pointer.as_str());
        self.location(company.as_deref(), at)?
            .zip(company)
            .ok_or_else(|| missing(base, pointer))
    }

    /// The state: what the event says, else what the status code stands for, else nothing.
    fn state(&self, event: VehicleEvent, status: Option<&str>) -> Option<UnitState> {
        let of_code = || self.connector.settings.statuses.get(status?).copied();
        match event {
            VehicleEvent::Stocked => of_code().or(Some(UnitState::InStock)),
            VehicleEvent::Reserved => Some(UnitState::Reserved),
            VehicleEvent::Sold => Some(UnitState::Sold),
            VehicleEvent::Removed => Some(UnitState::Removed),
            VehicleEvent::Updated | VehicleEvent::Transferred | VehicleEvent::Ignored => of_code(),
        }
    }

    fn location(
        &self,
        company: Option<&str>,
        pointer: impl FnOnce() -> String,
    ) -> Result<Option<LocationId>, Problem> {
        let Some(company) = company else {
            return Ok(None);
        };
        match self.names.location(company) {
            Some(location) => Ok(Some(location)),
            None => Err(Problem::unknown_location(pointer(), company)),
        }
    }

    fn implied(&self) -> Implied {
        Implied {
            currency: Some(self.connector.settings.currency),
            distance: Some(self.connector.settings.distance),
        }
    }

    /// What quarantine shows of an event.
    fn excerpt(&self, one: &Value) -> Value {
        let pointers = &self.connector.settings.pointers;
        let shown = |pointer: &JsonPointer| {
            let text = json::name(one.pointer(pointer.as_str())?).ok()??;
            Some(text.chars().take(64).collect::<String>())
        };
        json!({
            "event_id": shown(&pointers.event_id),
            "event_type": shown(&pointers.event_type),
            "vin": shown(&pointers.vin),
            "stock_number": pointers.stock_number.as_ref().and_then(shown),
            "company": shown(&pointers.company),
        })
    }
}

impl Frame {
    fn into_lookup(self) -> Lookup {
        Lookup {
            vin: self.vin,
            company: self.company,
            event: self.kind.written,
        }
    }
}

/// What stands at a pointer inside a value that itself stands at `base`.
fn find<'v, T>(
    value: &'v Value,
    base: &str,
    pointer: &JsonPointer,
    read: impl FnOnce(&'v Value) -> Read<T>,
) -> Result<Option<T>, Problem> {
    let Some(found) = value.pointer(pointer.as_str()) else {
        return Ok(None);
    };
    read(found).map_err(|wrong| wrong.at(format!("{base}{}", pointer.as_str())))
}

fn optional<'v, T>(
    value: &'v Value,
    base: &str,
    pointer: Option<&JsonPointer>,
    read: impl FnOnce(&'v Value) -> Read<T>,
) -> Result<Option<T>, Problem> {
    pointer.map_or(Ok(None), |pointer| find(value, base, pointer, read))
}

fn missing(base: &str, pointer: &JsonPointer) -> Problem {
    Wrong::new(Reason::MissingField, "is missing").at(format!("{base}{}", pointer.as_str()))
}

fn bounded(found: usize, pointer: &str) -> Result<(), ParseError> {
    if found <= ROWS_MOST {
        return Ok(());
    }
    Err(ParseError::TooMany {
        pointer: pointer.to_owned(),
        found,
        most: ROWS_MOST,
    })
}

#[cfg(test)]
mod tests;
