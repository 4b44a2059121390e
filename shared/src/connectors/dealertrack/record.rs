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
use crate::connectors::push::{ParseError, Parsed, Problem, event};
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
        let frame = match frame(&row, found, around) {
            Ok(frame) => frame,
            Err(problem) => return parsed.reject(problem, row.excerpt(SHOWN)),
        };
        match around.time {
            Some(at) if self.connector.settings.payload == Payload::Trusted => {
                parsed.add(self.of_record(&row, &frame, around, at), || {
                    row.excerpt(SHOWN)
                });
            }
            _ => parsed.lookups.push(frame.into_lookup()),
        }
    }

    fn of_record(
        &self,
        row: &Object<'_>,
        frame: &Frame,
        around: &Around,
        at: Timestamp,
    ) -> Result<StockEvent, Problem> {
        let settings = &self.connector.settings;
        let pointer = || settings.pointers.time.as_str().to_owned();
        let at = self.signed.not_in_future(at, settings.tolerance, pointer)?;
        let report = self.unit(row, frame, Version::at(at))?;
        let id = match &around.id {
            Some(id) => format!("event/{id}/{}", frame.vin),
            // The same record of the same time is the same statement, however often it is sent.
            None => format!("record/{}/{at}/{}", frame.vin, fingerprint(&report)),
        };
        event(
            &self.connector.source,
            &id,
            at,
            Change::Unit(Box::new(report)),
        )
    }

    /// What a record says of its vehicle, true at `version`.
    fn unit(
        &self,
        row: &Object<'_>,
        frame: &Frame,
        version: Version,
    ) -> Result<UnitReport, Problem> {
        let company = || row.pointer_to("CompanyNumber");
        let location = self.location(frame.company.as_deref(), company)?;
        let status = match row.get("Status", json::name)? {
            Some(status) => Some(status),
            None => row.get("StockStatus", json::name)?,
        };
        let delivered = row.get("DateDelivered", json::day)?.is_some();
        let mut state = self.state(frame.kind.event, status.as_deref());
        // No longer in stock, and handed over to somebody: that is a sale.
        if state == Some(UnitState::Removed)
            && frame.kind.event != VehicleEvent::Removed
            && delivered
        {
            state = Some(UnitState::Sold);
        }
        let since = match row.get("DateInInventory", json::day)? {
            Some(since) => Some(since),
            None => row.get("StockDate", json::day)?,
        };
        let mut report = UnitReport {
            vin: frame.vin.clone(),
            version,
            state,
            location,
            stock_number: row.get("StockNumber", json::name)?,
            since,
            fields: Default::default(),
        };
        for (ours, theirs, sort) in FIELDS {
            let read = |value| vehicle::field(value, *sort, self.implied());
            if let Some(field) = row.get(theirs, read)? {
                report.fields.insert((*ours).to_owned(), field);
            }
        }
        // `0` stands for no year, as it does for no day.
        let year = row.get("ModelYear", json::whole)?.filter(|year| *year > 0);
        if let Some(year) = year {
            report.fields.insert("year".to_owned(), Field::Number(year));
        }
        let certified = row.get("CertifiedUsedCar", json::name)?.as_deref() == Some("Y");
        let code = match row.get("TypeNU", json::name)? {
            Some(code) => Some(code),
            None => row.get("Type", json::name)?,
        };
        if let Some(code) = code {
            let condition = condition(&code, certified).to_owned();
            report
                .fields
                .insert("condition".to_owned(), Field::Text(condition));
        }
        Ok(report)
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

fn frame(row: &Object<'_>, found: &Found<'_>, around: &Around) -> Result<Frame, Problem> {
    let own = row.get("CompanyNumber", json::name)?;
    let company = match (own, found.company) {
        (Some(own), _) => Some(own),
        (None, Some(enclosing)) => json::name(enclosing).unwrap_or_default(),
        (None, None) => None,
    };
    Ok(Frame {
        vin: row.need("VIN", vehicle::vin)?,
        company,
        kind: around.kind.clone(),
    })
}

/// Half a SHA-256 of what a report says, in hex.
fn fingerprint(report: &UnitReport) -> String {
    // A report is plain data: text keys and no floats, so it always has a JSON form.
    let form = serde_json::to_vec(report).unwrap_or_default();
    hex::encode(&Sha256::digest(form)[..16])
}
