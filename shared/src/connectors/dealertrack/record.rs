//! The vehicle record of the OpenTrack services, wherever in an XML document it stands.
//!
//! All its values are text: prices with two places, whole miles, days as `YYYYMMDD` with `0` for
//! none, and a VIN that may have a leading blank. A record is any element with a `VIN` in it; the
//! rows of a search call some fields differently.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Frame, Kind, Reading, bounded, find};
use crate::config::connector::{Payload, VehicleEvent};
use crate::connectors::json::{self, Object};
use crate::connectors::push::{Flaws, ParseError, Parsed, event};
use crate::connectors::vehicle::{self, Sort};
use crate::domain::event::{Change, StockEvent, Version};
use crate::domain::unit::{Field, UnitReport, UnitState};

/// Our names for what a record says of a vehicle, and its own.
const FIELDS: &[(&str, &str, Sort)] = &[
    ("make", "Make", Sort::Text),
    ("model", "Model", Sort::Text),
    ("trim", "Trim", Sort::Text),
    ("body", "BodyStyle", Sort::Text),
    ("exterior_colour", "Color", Sort::Text),
    ("fuel", "FuelType", Sort::Text),
    ("mileage", "Odometer", Sort::Distance),
    ("price", "ListPrice", Sort::Money),
];

/// What quarantine shows of a record. Key and radio codes are no more among it than in `FIELDS`.
const SHOWN: &[&str] = &[
    "VIN",
    "CompanyNumber",
    "StockNumber",
    "Status",
    "StockStatus",
];

/// `new`, `used`, `certified`, or the vendor's own word for it.
pub(super) fn condition(code: &str, certified: bool) -> &str {
    match code.trim() {
        _ if certified => "certified",
        "N" => "new",
        "U" => "used",
        other => other,
    }
}

impl Reading<'_> {
    /// Reads every vehicle record in the document.
    pub(super) fn records(&self, document: &Value) -> Result<Parsed, ParseError> {
        let settings = &self.connector.settings;
        let mut records = Vec::new();
        collect(document, "", None, &mut records);
        bounded(records.len(), "")?;

        let pointers = &settings.pointers;
        let unsaid = || Kind {
            event: VehicleEvent::Updated,
            written: "record".to_owned(),
        };
        let around = Around {
            kind: self.kind(document, "")?.unwrap_or_else(unsaid),
            id: find(document, "", &pointers.event_id, json::name)?,
            time: find(document, "", &pointers.time, json::time)?,
        };
        let mut parsed = Parsed::default();
        if around.kind.event == VehicleEvent::Ignored {
            parsed
                .ignored
                .push(format!("event {}", around.kind.written));
            return Ok(parsed);
        }
        if records.is_empty() {
            parsed
                .ignored
                .push("a document without vehicles".to_owned());
        }
        for found in records {
            self.record(&found, &around, &mut parsed);
        }
        Ok(parsed)
    }

    fn record(&self, found: &Found<'_>, around: &Around, parsed: &mut Parsed) {
        let row = match Object::of(found.record, found.pointer.as_str()) {
            Ok(row) => row,
            Err(problem) => return parsed.reject(problem, Value::Null),
        };
        let mut flaws = Flaws::default();
        let frame = self.record_frame(&row, found, around, &mut flaws);
        let event = match around.time {
            Some(at) if self.connector.settings.payload == Payload::Trusted => {
                frame.and_then(|frame| self.of_record(&row, &frame, around, at, &mut flaws))
            }
            _ => {
                parsed.lookups.extend(frame.map(Frame::into_lookup));
                None
            }
        };
        parsed.settle(event, flaws, || row.excerpt(SHOWN));
    }

    fn of_record(
        &self,
        row: &Object<'_>,
        frame: &Frame,
        around: &Around,
        at: Timestamp,
        flaws: &mut Flaws,
    ) -> Option<StockEvent> {
        let settings = &self.connector.settings;
        let pointer = || settings.pointers.time.as_str().to_owned();
        let believed = self.signed.not_in_future(at, settings.tolerance, pointer);
        let believed = flaws.needed(believed);
        let report = self.unit(row, frame, Version::at(at), flaws)?;
        let id = match &around.id {
            Some(id) => format!("event/{id}/{}", frame.vin),
            // The same record of the same time is the same statement, however often it is sent.
            None => format!("record/{}/{at}/{}", frame.vin, fingerprint(&report)),
        };
        let change = Change::Unit(Box::new(report));
        flaws.needed(event(&self.connector.source, &id, believed?, change))
    }

    /// What a record says of its vehicle, true at `version`.
    fn unit(
        &self,
        row: &Object<'_>,
        frame: &Frame,
        version: Version,
        flaws: &mut Flaws,
    ) -> Option<UnitReport> {
        let first = |names: [&str; 2], flaws: &mut Flaws| {
            let mut found = names
                .into_iter()
                .filter_map(|name| flaws.optional(row.get(name, json::name)));
            found.next()
        };
        let status = first(["Status", "StockStatus"], flaws);
        let code = first(["TypeNU", "Type"], flaws);
        let delivered = flaws
            .optional(row.get("DateDelivered", json::day))
            .is_some();
        let mut state = self.state(frame.kind.event, status.as_deref());
        // No longer in stock, and handed over to somebody: that is a sale.
        if state == Some(UnitState::Removed)
            && frame.kind.event != VehicleEvent::Removed
            && delivered
        {
            state = Some(UnitState::Sold);
        }
        let company = || row.pointer_to("CompanyNumber");
        let location = vehicle::place(
            self.location(frame.company.as_deref(), company),
            state,
            flaws,
        );
        let since = flaws
            .optional(row.get("DateInInventory", json::day))
            .or_else(|| flaws.optional(row.get("StockDate", json::day)));
        let mut report = UnitReport {
            called: None,
            source_gone: false,
            vin: frame.vin.clone(),
            version,
            state,
            location: None,
            stock_number: flaws.optional(row.get("StockNumber", json::name)),
            since,
            brought: frame.kind.event == VehicleEvent::Transferred,
            undated: false,
            fields: Default::default(),
        };
        for (ours, theirs, sort) in FIELDS {
            let read = |value| vehicle::field(value, *sort, self.implied());
            let field = flaws.optional(row.get(theirs, read));
            report
                .fields
                .extend(field.map(|field| ((*ours).to_owned(), field)));
        }
        // `0` stands for no year, as it does for no day.
        let year = flaws.optional(row.get("ModelYear", json::whole));
        if let Some(year) = year.filter(|year| *year > 0) {
            report.fields.insert("year".to_owned(), Field::Number(year));
        }
        let certified = flaws.optional(row.get("CertifiedUsedCar", json::name));
        if let Some(code) = code {
            let condition = condition(&code, certified.as_deref() == Some("Y")).to_owned();
            report
                .fields
                .insert("condition".to_owned(), Field::Text(condition));
        }
        report.location = location?;
        let called = frame.company.clone();
        report.called = called.filter(|_| report.location.is_some());
        Some(report)
    }

    fn record_frame(
        &self,
        row: &Object<'_>,
        found: &Found<'_>,
        around: &Around,
        flaws: &mut Flaws,
    ) -> Option<Frame> {
        let own = flaws.optional(row.get("CompanyNumber", json::name));
        let enclosing = || json::name(found.company?).unwrap_or_default();
        let vin = row.need("VIN", |value| vehicle::vin(value, self.names));
        Some(Frame {
            vin: flaws.needed(vin)?,
            company: own.or_else(enclosing),
            kind: around.kind.clone(),
        })
    }
}

/// What the document around the records says of all of them.
struct Around {
    kind: Kind,
    id: Option<String>,
    time: Option<Timestamp>,
}

/// A record, and what stands around it.
struct Found<'v> {
    record: &'v Value,
    pointer: String,
    /// The company of an enclosing element, for records that have none.
    company: Option<&'v Value>,
}

/// Finds the records. The document's depth has been bounded by its reader.
fn collect<'v>(
    value: &'v Value,
    pointer: &str,
    company: Option<&'v Value>,
    found: &mut Vec<Found<'v>>,
) {
    match value {
        Value::Object(fields) if fields.contains_key("VIN") => found.push(Found {
            record: value,
            pointer: pointer.to_owned(),
            company,
        }),
        Value::Object(fields) => {
            let company = fields
                .get("CompanyNumber")
                .filter(|company| company.is_string())
                .or(company);
            for (name, inner) in fields {
                collect(inner, &format!("{pointer}/{name}"), company, found);
            }
        }
        Value::Array(rows) => {
            for (index, row) in rows.iter().enumerate() {
                collect(row, &format!("{pointer}/{index}"), company, found);
            }
        }
        _ => {}
    }
}

/// Half a SHA-256 of what a report says, in hex. What its rooftop is called has never been a part of it.
fn fingerprint(report: &UnitReport) -> String {
    let report = UnitReport {
        called: None,
        ..report.clone()
    };
    // A report is plain data: text keys and no floats, so it always has a JSON form.
    let form = serde_json::to_vec(&report).unwrap_or_default();
    hex::encode(&Sha256::digest(form)[..16])
}
