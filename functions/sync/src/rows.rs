//! One row of a file in our terms: the level of a SKU at a location, or a report on a vehicle.
//!
//! A cell that says nothing wipes nothing: it is left out of what the row says, and so is one that
//! cannot be read. Only what a row is for, a quantity or a place, leaves all of it unsaid; a quantity
//! that is missing is never zero.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use shared::config::connector::{Connector, ConnectorCommon, Covers, Files};
use shared::domain::ProductId;
use shared::domain::catalogue::Directory;
use shared::domain::event::{Change, Level, ProductDescription, Version};
use shared::domain::id::{ConnectorName, LocationId, Sku};
use shared::domain::money::{Currency, Money};
use shared::domain::position::whole_millis;
use shared::domain::spelling::same_name;
use shared::domain::unit::{Field, UnitReport, UnitState};
use shared::domain::vin::VinRules;
use shared::feeds::header::Header;
use shared::feeds::row::{Cell, Invalid, Row};
use shared::feeds::status;
use shared::feeds::value::{self, Condition, DistanceUnit};
use shared::installation::Installation;
use shared::store::stated::Item;

use crate::flaw::{FROM_THE_FUTURE, Flaw, NO_DATA, NOT_STOCKED, UNKNOWN_LOCATION, UNKNOWN_STATUS};

/// How far after the file's own time a row may be dated before its time is not believed: as for
/// webhooks.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// What exports write for a quantity at a place that does not keep the product.
const NOT_KEPT: &str = "not stocked";

/// Columns of a vehicle that are taken over as text.
pub(crate) const TEXTS: [&str; 12] = [
    "make",
    "model",
    "trim",
    "body",
    "exterior_colour",
    "interior_colour",
    "engine",
    "transmission",
    "drivetrain",
    "fuel",
    "description",
    "link",
];
pub(crate) const NUMBERS: [&str; 3] = ["year", "doors", "seats"];
pub(crate) const AMOUNTS: [&str; 2] = ["price", "msrp"];
pub(crate) const LISTS: [&str; 2] = ["options", "image_urls"];

/// What reading rows takes besides the rows.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// The connector's names for locations.
    pub(crate) common: &'a ConnectorCommon,
    /// The connector's own settings.
    pub(crate) files: &'a Files,
    /// All connectors.
    pub(crate) others: &'a BTreeMap<ConnectorName, Connector>,
    /// All locations.
    pub(crate) locations: &'a Directory,
    /// The currency of prices that state none.
    pub(crate) currency: Currency,
    /// Which numbers of vehicles are taken.
    pub(crate) vins: VinRules,
    /// When the file was written.
    pub(crate) written_at: Timestamp,
    /// When the last complete snapshot had been written.
    pub(crate) confirmed_at: Option<Timestamp>,
}

/// What a row says.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Of what.
    pub(crate) item: Item,
    /// What. A level's quantities that are `None` were not said.
    pub(crate) change: Change,
    /// The product's title and category, where it has some.
    pub(crate) description: Option<ProductDescription>,
    /// Whether the source itself dates it after its last complete snapshot.
    pub(crate) dated_since: bool,
    /// Whether it says nothing of a vehicle's state, and the vehicle is there unless the source has
    /// said something else.
    pub(crate) presumed: bool,
    /// Cells that could not be read and were left out.
    pub(crate) flaws: Vec<Flaw>,
}

/// Why no row of the file can be taken, and what to set.
pub(crate) fn unusable(header: &Header) -> Option<String> {
    let fed = |column| header.position(column).is_some();
    let quantity = fed("on_hand") || fed("available");
    let (lacks, column) = match (fed("vin"), fed("sku"), quantity) {
        (false, false, _) => ("neither a SKU nor a VIN column", "sku` or `vin"),
        (false, true, false) => (
            "a SKU column but no quantity on hand",
            "on_hand` or `available",
        ),
        _ => return None,
    };
    Some(format!(
        "The file has {lacks}. Its columns are {}. Say under `format.columns` which of them is `{column}`.",
        header.shown()
    ))
}

impl<'a> Reading<'a> {
    /// Of a file of this connector, written then.
    pub(crate) fn new(
        installation: &'a Installation,
        (common, files): (&'a ConnectorCommon, &'a Files),
        written_at: Timestamp,
        confirmed_at: Option<Timestamp>,
    ) -> Self {
        let config = &installation.config;
        Self {
            common,
            files,
            others: &config.connectors,
            locations: &config.locations,
            currency: config.account.currency,
            vins: config.guards.vins(),
            written_at: whole_millis(written_at),
            confirmed_at,
        }
    }

    /// Reads a row.
    pub(crate) fn statement(&self, row: &Row) -> Result<Statement, Flaw> {
        match (row.text("vin"), row.text("sku")) {
            (Cell::Value(vin), _) if !vin.is_empty() => self.vehicle(row, vin),
            (_, Cell::Value(sku)) if !sku.is_empty() => self.stock(row, sku),
            _ => Err(Flaw::new(
                None,
                "no_key",
                "The row has neither a SKU nor a VIN.",
            )),
        }
    }

    fn stock(&self, row: &Row, sku: &str) -> Result<Statement, Flaw> {
        if let Some(why) = value::spoilt_key(sku) {
            let sentence = format!("The SKU {sku:?} is unusable: {why}.");
            return Err(Flaw::new(None, "no_key", sentence));
        }
        let sku: Sku = value::key(sku)
            .parse()
            .map_err(|error| Flaw::new(None, "no_key", format!("The SKU is unusable: {error}.")))?;
        let location = self.location(row).and_then(|location| {
            location.ok_or_else(|| {
                let sentence = format!("No location is given for {sku}.");
                Flaw::new(None, "no_location", sentence)
            })
        });
        let location = location.map_err(|flaw| flaw.of_sku(&sku))?;
        let product = ProductId::from(sku.clone());
        let item = Item::Position {
            product: product.clone(),
            location: location.clone(),
        };
        let mut flaws = Vec::new();
        let level = level(row, &item, &mut flaws)?;
        let is_change = self.files.covers == Covers::Changes;
        let (mut version, dated_since, _) = self.version(row, &item, &mut flaws, is_change);
        version.sequence = match row.quantity("version") {
            Cell::Absent if is_change => self.order_of(row),
            // A "version" that is no number is some other thing by that name.
            cell => cell
                .value()
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0),
        };
        let mut readable = Readable {
            item: &item,
            flaws: &mut flaws,
        };
        let mut text = |column| {
            let text = readable.value(column, words(row, column));
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let (title, category) = (text("title"), text("category"));
        let described = title.is_some() || category.is_some();
        Ok(Statement {
            change: Change::LevelSet {
                product,
                location,
                level,
                version,
                called: place_of(row).map(Cow::into_owned),
            },
            description: described.then(|| ProductDescription {
                sku,
                version,
                title,
                category,
                external: BTreeMap::new(),
            }),
            item,
            dated_since,
            presumed: false,
            flaws,
        })
    }

    fn vehicle(&self, row: &Row, vin: &str) -> Result<Statement, Flaw> {
        let vin = self.vins.read(&value::key(vin)).map_err(|error| {
            let known = value::key(vin).parse().ok().map(|vin| Item::Unit { vin });
            let sentence = format!("The VIN {vin:?} is unusable: {error}.");
            Flaw::new(known.as_ref(), "bad_vin", sentence)
        })?;
        let item = Item::Unit { vin: vin.clone() };
        let mut flaws = Vec::new();
        let (state, presumed) = match row.text("status") {
            Cell::Value(word) if !word.is_empty() => (self.state(word, &item, &mut flaws), false),
            // Whatever stands in a stock file is in stock, unless its state is known.
            Cell::Absent => (Some(UnitState::InStock), false),
            _ => (None, true),
        };
        let location = match self.location(row).map_err(|flaw| flaw.about(&item)) {
            // What is not for sale is not for sale wherever it is: then the place is a fact beside others.
            Err(flaw) if state.is_some_and(|state| !state.is_offered()) => {
                flaws.push(flaw);
                None
            }
            location => location?,
        };
        let (mut version, dated_since, is_own) = self.version(row, &item, &mut flaws, false);
        version.sequence = self.order_of(row);
        let mut readable = Readable {
            item: &item,
            flaws: &mut flaws,
        };
        let since = readable.value("date_in_stock", row.date("date_in_stock"));
        let stock_number = readable.value("stock_number", words(row, "stock_number"));
        let stock_number = stock_number.filter(|text| !text.is_empty());
        let report = UnitReport {
            called: place_of(row)
                .map(Cow::into_owned)
                .filter(|_| location.is_some()),
            source_gone: false,
            vin,
            version,
            state,
            location,
            stock_number: stock_number.map(str::to_owned),
            since,
            brought: false,
            undated: self.files.covers == Covers::All && !is_own,
            fields: self.fields(row, &mut readable),
        };
        Ok(Statement {
            item,
            change: Change::Unit(Box::new(report)),
            description: None,
            dated_since,
            presumed,
            flaws,
        })
    }

    fn fields(&self, row: &Row, readable: &mut Readable<'_>) -> BTreeMap<String, Field> {
        let mut fields = BTreeMap::new();
        let mut put = |name: &str, field: Option<Field>| {
            fields.extend(field.map(|field| (name.to_owned(), field)));
        };
        for column in TEXTS {
            let text = readable.value(column, words(row, column));
            put(column, text.map(|text| Field::Text(text.to_owned())));
        }
        for column in NUMBERS {
            let number = readable.value(column, row.quantity(column));
            put(column, number.map(Field::Number));
        }
        for column in AMOUNTS {
            let amount = row.money(column).and_then(|money| {
                let currency = match &money.currency {
                    None => self.currency,
                    Some(code) => code
                        .parse()
                        .map_err(|_| Invalid::new(code, "not a currency (ISO 4217)"))?,
                };
                if currency.minor_digits() != 3 {
                    row.clear(money.amount)?;
                }
                Ok(Field::Money(Money::new(money.amount, currency)))
            });
            put(column, readable.value(column, amount));
        }
        for column in LISTS {
            let list = readable.value(column, row.list(column));
            let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
            put(column, list.map(|list| Field::List(owned(list))));
        }
        let condition = readable.value("condition", row.condition());
        put(
            "condition",
            condition.map(|condition| {
                let word = match condition {
                    Condition::New => "new",
                    Condition::Used => "used",
                    Condition::Certified => "certified",
                };
                Field::Text(word.to_owned())
            }),
        );
        let distance = row.distance("odometer").and_then(|distance| {
            let amount = distance.amount.normalize();
            let unit = match distance.unit {
                Some(DistanceUnit::Miles) => "mi",
                Some(DistanceUnit::Kilometres) => "km",
                None => {
                    let why = "no unit is given: set `format.distance_unit`";
                    return Err(Invalid::new(&amount.to_string(), why));
                }
            };
            Ok(Field::Distance(format!("{amount} {unit}")))
        });
        put("mileage", readable.value("odometer", distance));
        fields
    }

    /// What a word for the state of a vehicle means.
    fn state(&self, word: &str, item: &Item, flaws: &mut Vec<Flaw>) -> Option<UnitState> {
        let own = self.files.statuses.iter();
        let own = only(
            own.filter(|(name, _)| same_name(name, word))
                .map(|(_, state)| *state),
        );
        let state = own.or_else(|| status::state(word));
        if state.is_none() {
            let sentence = format!("The status {word:?} is not known; map it under `statuses`.");
            flaws.push(Flaw::new(Some(item), UNKNOWN_STATUS, sentence).of_word(word));
        }
        state
    }

    /// The location that a row names, or the only one there can be.
    fn location(&self, row: &Row) -> Result<Option<LocationId>, Flaw> {
        if let Some(name) = place_of(row) {
            return self.located(&name).map(Some).ok_or_else(|| {
                let (sentence, meant) = self.unknown_place(&name);
                Flaw::new(None, UNKNOWN_LOCATION, sentence).of_word_that_says(&name, meant)
            });
        }
        Ok(self.only_place())
    }

    /// Why a name is no place: none is called so, or several are, and which.
    fn unknown_place(&self, name: &str) -> (String, Option<String>) {
        let ids = self.common.meant_in_files(name, self.locations);
        if ids.is_empty() {
            let sentence = format!("The location {name:?} is not in the connector's list.");
            return (sentence, None);
        }
        let meant = ids.iter().map(|id| {
            let called = self.locations.location(id);
            let called = called.map(|it| format!(" ({})", it.name));
            format!("`{id}`{}", called.unwrap_or_default())
        });
        let meant: Vec<_> = meant.collect();
        let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
        let sentence = format!(
            "The location {name:?} may be {}. Use the id, or list each name under `locations`.",
            meant.join(" or ")
        );
        (sentence, Some(ids.join(" ")))
    }

    /// Where everything is that tells no place, if there is but one.
    pub(crate) fn only_place(&self) -> Option<LocationId> {
        let mut listed: Vec<_> = self.common.locations.values().collect();
        listed.sort_unstable();
        listed.dedup();
        match (&listed[..], self.locations.locations()) {
            ([only], _) => Some((*only).clone()),
            ([], [only]) => Some(only.id.clone()),
            _ => None,
        }
    }

    /// Whether this is the name of a place.
    pub(crate) fn is_place(&self, cell: &str) -> bool {
        self.located(&value::key(cell)).is_some()
    }

    /// The location of this name.
    fn located(&self, name: &str) -> Option<LocationId> {
        self.common.called_in_files(name, self.locations)
    }

    /// Whether a place that the connector does not list is known by this name otherwise: as one of our
    /// own, or from another connector's list.
    pub(crate) fn is_known_elsewhere(&self, name: &str) -> bool {
        let mut theirs = self
            .others
            .values()
            .flat_map(|it| it.common.locations.keys());
        self.locations.called(name).is_some() || theirs.any(|it| same_name(it, name))
    }

    /// When a row was true by the source's order, whether it says itself that this is news, and whether it
    /// says itself when that was.
    ///
    /// A row of this file was still true when the file was written, so after the last complete
    /// snapshot, however long ago it last changed. Its own time, where later, counts as such, so
    /// that a webhook from after it is not overwritten by an export that began before. A time that
    /// cannot be read, or lies after the file, is not believed, and the file's is taken.
    ///
    /// Of a change in quantity (`latest`) of which only the minute or the day is known, the latest time counts
    /// that it may be: what was sold in that day before the file was written is in it.
    fn version(
        &self,
        row: &Row,
        item: &Item,
        flaws: &mut Vec<Flaw>,
        latest: bool,
    ) -> (Version, bool, bool) {
        let mut readable = Readable { item, flaws };
        let dated = readable.value("updated_at", row.instant("updated_at"));
        let mut dated = dated.map(|at| {
            whole_millis(match latest {
                true => at.latest_by(self.written_at, AHEAD),
                false => at.by(self.written_at, AHEAD),
            })
        });
        if let Some(ahead) = dated.take_if(|at| at.duration_since(self.written_at) > AHEAD) {
            let sentence = format!("{item} was updated at {ahead}, which is after its file.");
            flaws.push(Flaw::new(Some(item), FROM_THE_FUTURE, sentence));
        }
        let after_confirmed = self.confirmed_at.map(next_millisecond);
        let at = dated.unwrap_or(self.written_at);
        let news = dated.is_some_and(|at| self.confirmed_at.is_some_and(|then| at > then));
        let version = Version::at(after_confirmed.map_or(at, |after| at.max(after)));
        (version, news, dated.is_some())
    }

    /// What breaks the tie between rows of one time, which may be a whole day: the time at which their
    /// files were written, then their order in the file.
    fn order_of(&self, row: &Row) -> u64 {
        order(self.written_at, row.line())
    }

    /// When the file as a whole was true: removals, and what it confirms, carry this time.
    pub(crate) fn snapshot_at(&self) -> Timestamp {
        let after = self.confirmed_at.map(next_millisecond);
        after.map_or(self.written_at, |after| self.written_at.max(after))
    }
}

/// A line's place among all lines of all files. A file of more than a million lines reaches into the next
/// milliseconds, in which no other is written.
pub(crate) fn order(written_at: Timestamp, line: u64) -> u64 {
    let written = u64::try_from(written_at.as_millisecond()).unwrap_or(0);
    (written << 20).saturating_add(line)
}

/// Words of a row, unless a spreadsheet's formula has left none.
fn words<'r>(row: &'r Row, column: &str) -> Cell<&'r str> {
    row.text(column)
        .and_then(|text| match value::is_error_value(text) {
            true => Err(Invalid::new(text, value::ERROR_VALUE)),
            false => Ok(text),
        })
}

/// The name of the place that a row gives.
pub(crate) fn place_of(row: &Row) -> Option<Cow<'_, str>> {
    let names = ["location", "dealer_id"].map(|column| row.text(column));
    let mut named = names.into_iter().filter_map(Cell::value);
    named.find(|name| !name.is_empty()).map(value::key)
}

fn next_millisecond(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(1)).unwrap_or(at)
}

/// Collects what is wrong with single cells.
struct Readable<'a> {
    item: &'a Item,
    flaws: &'a mut Vec<Flaw>,
}

impl Readable<'_> {
    fn value<T>(&mut self, column: &str, cell: Cell<T>) -> Option<T> {
        if let Cell::Invalid(invalid) = &cell {
            self.flaws
                .push(Flaw::cell(Some(self.item), column, invalid));
        }
        cell.value()
    }
}

/// How much a row says there is.
fn level(row: &Row, item: &Item, flaws: &mut Vec<Flaw>) -> Result<Level, Flaw> {
    let not_kept = |column| matches!(row.text(column), Cell::Value(text) if text.eq_ignore_ascii_case(NOT_KEPT));
    if not_kept("on_hand") || not_kept("available") {
        let sentence = format!("{item} is not stocked.");
        return Err(Flaw::new(Some(item), NOT_STOCKED, sentence));
    }
    let on_hand = match row.quantity("on_hand") {
        Cell::Invalid(invalid) => return Err(Flaw::cell(Some(item), "on_hand", &invalid)),
        cell => cell.value(),
    };
    let mut readable = Readable { item, flaws };
    let available = readable.value("available", row.quantity("available"));
    // Fewer than none reserved would be more available than there is.
    let mut counted = |column| {
        let counted = row.quantity(column).and_then(|units| match units {
            0.. => Ok(units),
            _ => Err(Invalid::new(&units.to_string(), "it is below zero")),
        });
        readable.value(column, counted)
    };
    let (committed, unavailable) = (counted("reserved"), counted("unavailable"));
    let incoming = counted("incoming");
    let level = Level::stated(on_hand, available, committed, incoming, unavailable);
    level.ok_or_else(|| {
        let sentence = format!("{item} has no quantity, which is not zero.");
        Flaw::new(Some(item), NO_DATA, sentence)
    })
}

/// What all of them are, if they are one.
fn only<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut all = all.into_iter();
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}
