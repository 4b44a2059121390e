//! Rows of an import, from CSV or JSON to values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::catalogue::Directory;
use crate::domain::position::MOST_UNITS;
use crate::domain::rule::{Basis, Boundary, Over, Scope};
use crate::domain::{LocationId, ProductId, Severity};
use crate::feeds::columns::{ALIASES, normal};
use crate::feeds::value::{may_be_thousands, spoilt_key};

/// The columns that an import may have.
pub const COLUMNS: [&str; 14] = [
    "product",
    "title",
    "category",
    "make",
    "model",
    "location",
    "group",
    "on_hand",
    "threshold",
    "boundary",
    "basis",
    "recovery",
    "over",
    "severity",
];

/// The columns of a row that sets a threshold and nothing else.
pub fn threshold_columns() -> impl Iterator<Item = &'static str> {
    let of_others = ["title", "on_hand"];
    COLUMNS
        .into_iter()
        .filter(move |column| !of_others.contains(column))
}

/// Stands for every product where a threshold names one.
pub(super) const EVERY: &str = "*";

/// A table of rows that were read, and of rows that could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// The rows, in their order. A line that sets stock and a threshold gives two, the threshold last.
    pub rows: Vec<Line>,
    /// The lines that cannot be read.
    pub rejected: Vec<Rejected>,
    /// The columns, in their order, empty for one that is passed over; for JSON there are none.
    pub columns: Vec<&'static str>,
    /// Columns of stock files that an import does not set, as the header has them.
    pub passed_over: Vec<String>,
}

/// One thing that a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line of the file, counted from 1; for JSON, the row.
    pub line: u64,
    /// What it asks for.
    pub row: Row,
}

/// What a row sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Units on hand.
    Stock {
        /// The product.
        product: ProductId,
        /// Where it lies.
        location: LocationId,
        /// Units.
        on_hand: i64,
    },
    /// A low-stock threshold.
    Threshold(Box<Target>),
    /// What a product is called, or which category it has.
    Described {
        /// The product.
        product: ProductId,
        /// Which of the two.
        what: Describes,
        /// Its words.
        text: String,
    },
}

/// A fact that describes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Describes {
    /// What people call it.
    Title,
    /// Its category.
    Category,
}

impl Describes {
    /// Its column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Category => "category",
        }
    }
}

/// A threshold as a row gives it: what is left out stays as it is, or as it is by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Where it applies.
    pub scope: Scope,
    /// Units; `None` takes an imported threshold away again.
    pub units: Option<i64>,
    /// Whether the threshold itself already fires.
    pub boundary: Option<Boundary>,
    /// Which quantity is compared.
    pub basis: Option<Basis>,
    /// The quantity from which it is over.
    pub recovery: Option<i64>,
    /// Each location by itself, or their sum.
    pub over: Option<Over>,
    /// How much it matters.
    pub severity: Option<Severity>,
}

impl Target {
    /// What it sets and where, by column; nothing of what it leaves as it is. An import knows its rows by
    /// this, so a column that a row does not have must not change it.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let scope = &self.scope;
        let cells = [
            ("product", json!(scope.product)),
            ("category", json!(scope.category)),
            ("make", json!(scope.make)),
            ("model", json!(scope.model)),
            ("location", json!(scope.location)),
            ("group", json!(scope.group)),
            ("threshold", json!(self.units)),
            ("boundary", json!(self.boundary.map(Boundary::name))),
            ("basis", json!(self.basis.map(Basis::name))),
            ("recovery", json!(self.recovery)),
            ("over", json!(self.over.map(Over::name))),
            ("severity", json!(self.severity.map(Severity::name))),
        ];
        cells.into_iter().filter(|(_, value)| !value.is_null())
    }
}

/// A row that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The line of the file, counted from 1; for JSON, the row.
    pub line: u64,
    /// The column, counted from 1; absent where the whole row is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The column's name; empty where the whole row is meant.
    pub field: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// Why nothing of a table can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A column that neither imports nor stock files have: perhaps one of theirs, misspelt.
    #[error("column {column} is `{name}`, which means nothing here; the file has {found}; the columns are {}", COLUMNS.join(", "))]
    UnknownColumn {
        /// Which, counted from 1.
        column: usize,
        /// Its name.
        name: String,
        /// The whole header.
        found: String,
    },
    /// A file of vehicles.
    #[error(
        "column {column} is `{name}`: vehicles are not imported; a connector of the kind `files` reads them"
    )]
    Vehicles {
        /// Which, counted from 1.
        column: usize,
        /// Its name.
        name: String,
    },
    /// The same column twice.
    #[error("column {column} is `{name}`, which stands before already")]
    RepeatedColumn {
        /// Which, counted from 1.
        column: usize,
        /// Its name.
        name: String,
    },
    /// Neither stock nor thresholds nor what describes a product.
    #[error("there is neither an `on_hand` nor a `threshold` nor a `title` column, nor a `category` beside a `product`; the file has {found}; the columns are {}", COLUMNS.join(", "))]
    NothingToSet {
        /// The whole header.
        found: String,
    },
    /// The text is no table.
    #[error("the header cannot be read: {0}")]
    Header(String),
}

/// The cells of one row: name, column and text; empty ones left out.
struct Cells<'a> {
    line: u64,
    /// Whether there is a column for the product, which this row may have left blank.
    may_name_product: bool,
    /// The locations that it may name.
    places: &'a Directory,
    cells: BTreeMap<&'a str, (usize, &'a str)>,
}

impl Import {
    /// Reads a CSV text with a header, whose columns may go by the names that they have in stock
    /// files, and be parted by commas, semicolons, tabs or bars. `first_line` is the file's line on which the first row after
    /// the header stands: 2, unless this is a later page of a file.
    pub fn from_csv(text: &str, first_line: u64, places: &Directory) -> Result<Self, TableError> {
        let Table {
            text,
            delimiter,
            skipped,
        } = Table::of(text);
        let first_line = first_line + skipped;
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        let header = reader
            .headers()
            .map_err(|error| TableError::Header(error.to_string()))?;
        let (names, passed_over) = columns(header)?;
        // Line numbers in this text count from its own header.
        let header_byte = header.position().map_or(0, csv::Position::byte);
        let mut lines = RecordLines::of(text);
        let (_, header_line) = lines.start(header_byte);
        let mut in_file = |position: Option<&csv::Position>| {
            let (_, line) = lines.start(position.map_or(0, csv::Position::byte));
            (line + first_line).saturating_sub(header_line + 1)
        };
        let mut import = Self {
            columns: names.clone(),
            passed_over,
            ..Self::default()
        };
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = in_file(error.position());
                    import.reject(line, None, "", format!("cannot be read: {error}"));
                    continue;
                }
            };
            let line = in_file(record.position());
            // Spreadsheets end rows with a delimiter, or with several.
            if record.iter().skip(names.len()).any(|cell| !cell.is_empty()) {
                let problem = format!("has {} cells for {} columns", record.len(), names.len());
                import.reject(line, Some(names.len() + 1), "", problem);
                continue;
            }
            let cells = names.iter().zip(&record).enumerate();
            let cells = cells
                .filter(|(_, (name, text))| !name.is_empty() && !text.is_empty())
                .map(|(index, (name, text))| (*name, (index + 1, text)))
                .collect();
            import.read(&Cells {
                line,
                may_name_product: names.contains(&"product"),
                places,
                cells,
            });
        }
        Ok(import)
    }

    /// Reads rows that came as JSON objects: cells by column name.
    pub fn from_cells(rows: &[BTreeMap<String, String>], places: &Directory) -> Self {
        let mut import = Self::default();
        for (line, row) in (1..).zip(rows) {
            let unknown = row.keys().find(|name| !COLUMNS.contains(&name.as_str()));
            if let Some(name) = unknown {
                let known = COLUMNS.join(", ");
                import.reject(line, None, name, format!("is no column; they are {known}"));
                continue;
            }
            let cells = row.iter().filter(|(_, text)| !text.trim().is_empty());
            let cells = cells
                .map(|(name, text)| (name.as_str(), (0, text.trim())))
                .collect();
            import.read(&Cells {
                line,
                may_name_product: false,
                places,
                cells,
            });
        }
        import
    }

    fn reject(&mut self, line: u64, column: Option<usize>, field: &str, detail: String) {
        self.rejected.push(Rejected {
            line,
            column,
            field: field.to_owned(),
            detail,
        });
    }

    fn read(&mut self, cells: &Cells<'_>) {
        match cells.rows() {
            Ok(rows) => self.rows.extend(rows.into_iter().map(|row| Line {
                line: cells.line,
                row,
            })),
            Err(rejected) => self.rejected.push(rejected),
        }
    }
}

/// Where the records of a CSV text begin.
///
/// The reader places a record right behind the one before, which with Windows' line ends is still on
/// that one's line.
#[derive(Debug)]
pub struct RecordLines<'t> {
    text: &'t [u8],
    byte: usize,
    line: u64,
}

impl<'t> RecordLines<'t> {
    /// The records of this text, which are asked for in their order.
    pub fn of(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            byte: 0,
            line: 1,
        }
    }

    /// The first byte and the line of the record that the reader places at this byte.
    pub fn start(&mut self, at: u64) -> (usize, u64) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        while let Some(byte) = self.text.get(self.byte) {
            if self.byte >= at && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.line += u64::from(*byte == b'\n');
            self.byte += 1;
        }
        (self.byte, self.line)
    }
}

/// A CSV text as spreadsheets write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'t> {
    /// The text from its header on: without a byte-order mark, or a first line that names the
    /// delimiter (`sep=;`).
    pub text: &'t str,
    /// What parts its cells.
    pub delimiter: u8,
    /// How many lines stand before it.
    pub skipped: u64,
}

impl<'t> Table<'t> {
    /// What stands before the header is passed over; the delimiter is the one that the header has
    /// most of.
    pub fn of(text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let named = first.trim_end().strip_prefix("sep=");
        if let Some(&[delimiter]) = named.map(str::as_bytes) {
            return Self {
                text: rest,
                delimiter,
                skipped: 1,
            };
        }
        let header = text.trim_start().lines().next().unwrap_or_default();
        let mut quoted = false;
        let outside = header.bytes().filter(|byte| {
            quoted ^= *byte == b'"';
            !quoted
        });
        let outside: Vec<u8> = outside.collect();
        let count = |delimiter: u8| outside.iter().filter(|byte| **byte == delimiter).count();
        let delimiter = DELIMITERS
            .into_iter()
            // Of equals the first.
            .rev()
            .max_by_key(|delimiter| count(*delimiter))
            .unwrap_or(b',');
        Self {
            text,
            delimiter,
            skipped: 0,
        }
    }
}

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What each column is, empty for one that is passed over; and the names of those.
fn columns(header: &csv::StringRecord) -> Result<(Vec<&'static str>, Vec<String>), TableError> {
    let header: Vec<_> = header.iter().collect();
    // A spreadsheet's header may end in delimiters, as its rows do.
    let used = header.iter().rposition(|name| !name.is_empty());
    let header = header.get(..used.map_or(0, |last| last + 1));
    let header = header.unwrap_or_default();
    let (mut names, mut passed_over) = (Vec::<&'static str>::new(), Vec::new());
    let found = || {
        let names = header.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    for (index, written) in header.iter().enumerate() {
        let column = index + 1;
        let name = (*written).to_owned();
        // Beside a SKU, "Product" is what people call it, as in stock files.
        let has_sku = header.iter().any(|other| known_as("sku", other));
        let read = match named(written) {
            Some("product") if has_sku && !known_as("sku", written) => Some("title"),
            read => read,
        };
        match read {
            None if known_as("vin", written) => {
                return Err(TableError::Vehicles { column, name });
            }
            // A file of stock may be imported as it is.
            None if ALIASES.iter().any(|(other, _)| known_as(other, written)) => {
                names.push("");
                passed_over.push(name);
            }
            None => {
                let found = found();
                return Err(TableError::UnknownColumn {
                    column,
                    name,
                    found,
                });
            }
            Some(known) if names.contains(&known) => {
                return Err(TableError::RepeatedColumn { column, name });
            }
            Some(known) => names.push(known),
        }
    }
    let has = |name: &str| names.contains(&name);
    let describes = has("title") || has("category") && has("product");
    if !(has("on_hand") || has("threshold") || describes) {
        return Err(TableError::NothingToSet { found: found() });
    }
    if !has("threshold") {
        // They say what a threshold is for.
        for (name, written) in names.iter_mut().zip(header) {
            if ["make", "model", "group"].contains(name) {
                *name = "";
                passed_over.push((*written).to_owned());
            }
        }
    }
    Ok((names, passed_over))
}

/// The column that goes by this name: one of an import's own, or of a stock file's.
fn named(written: &str) -> Option<&'static str> {
    let wanted = normal(written);
    let own = COLUMNS.iter().find(|column| normal(column) == wanted);
    own.copied().or_else(|| {
        // In a file of vehicles this is the stock number; an import knows no vehicles.
        if wanted == "stock" {
            return Some("on_hand");
        }
        let (column, _) = ALIASES
            .iter()
            .find(|(column, _)| known_as(column, written))?;
        let column = if *column == "sku" { "product" } else { column };
        COLUMNS.iter().copied().find(|own| *own == column)
    })
}

/// Whether a stock file's column goes by this name.
fn known_as(column: &str, written: &str) -> bool {
    let wanted = normal(written);
    normal(column) == wanted
        || ALIASES.iter().any(|(known, aliases)| {
            *known == column && aliases.iter().any(|alias| normal(alias) == wanted)
        })
}

/// What a row is told whose location nobody knows.
pub(super) fn no_such_place(places: &Directory) -> String {
    format!("is not in the configuration; {}", places.in_words())
}

/// `2`, and `2.0` or `2,00` as spreadsheets write it.
fn whole(text: &str) -> Option<i64> {
    let whole = match text.split_once(['.', ',']) {
        // Three digits could be thousands.
        Some((whole, "0" | "00")) => whole,
        _ => text,
    };
    whole.parse().ok()
}

impl Cells<'_> {
    fn rows(&self) -> Result<Vec<Row>, Rejected> {
        let mut rows = Vec::new();
        if let Some(on_hand) = self.units("on_hand")? {
            rows.push(Row::Stock {
                product: self.required("product")?,
                location: self
                    .location()?
                    .ok_or_else(|| self.rejected("location", "is missing"))?,
                on_hand,
            });
        }
        let every = self.names_every_product();
        // Beside a product this is its category, else the one that a threshold is for.
        let of_product = self.cells.contains_key("product") && !every;
        for what in [Describes::Title, Describes::Category] {
            let cell = self.cells.get(what.name());
            let cell = cell.filter(|_| what == Describes::Title || of_product);
            if let Some((_, text)) = cell {
                rows.push(Row::Described {
                    product: self.required("product")?,
                    what,
                    text: (*text).to_owned(),
                });
            }
        }
        let units = match self.cells.get("threshold") {
            None => {
                let lonely = ["boundary", "basis", "recovery", "over", "severity"];
                if let Some(field) = lonely.iter().find(|name| self.cells.contains_key(*name)) {
                    return Err(self.rejected(field, "belongs to a threshold, and there is none"));
                }
                if rows.is_empty() {
                    return Err(
                        self.rejected("", "sets neither `on_hand` nor `threshold` nor `title`")
                    );
                }
                return Ok(rows);
            }
            Some((_, "none")) => None,
            Some(_) => self.units("threshold")?,
        };
        let has = |names: &[&str]| names.iter().any(|name| self.cells.contains_key(name));
        let is_of_places = has(&["location", "group"]) && !self.may_name_product;
        if !has(&["product", "category", "make", "model"]) && !is_of_places {
            // Far more often it is the SKU that is missing.
            return Err(self.rejected(
                "product",
                "is missing; a threshold for every product has `*` there",
            ));
        }
        rows.push(Row::Threshold(Box::new(Target {
            scope: Scope {
                product: match every {
                    true => None,
                    false => self.parsed("product")?,
                },
                category: match of_product {
                    true => None,
                    false => self.parsed("category")?,
                },
                make: self.parsed("make")?,
                model: self.parsed("model")?,
                location: self.location()?,
                group: self.parsed("group")?,
            },
            units,
            boundary: self.named("boundary", Boundary::ALL, Boundary::name)?,
            basis: self.named("basis", Basis::ALL, Basis::name)?,
            recovery: self.units("recovery")?,
            over: self.named("over", Over::ALL, Over::name)?,
            severity: self.named("severity", Severity::ALL, Severity::name)?,
        })));
        Ok(rows)
    }

    fn rejected(&self, field: &str, detail: impl Into<String>) -> Rejected {
        let column = self.cells.get(field).map(|(column, _)| *column);
        Rejected {
            line: self.line,
            column: column.filter(|column| *column > 0),
            field: field.to_owned(),
            detail: detail.into(),
        }
    }

    fn parsed<T: FromStr<Err: Display>>(&self, field: &str) -> Result<Option<T>, Rejected> {
        let cell = self.cells.get(field);
        let spoilt = cell.filter(|_| field == "product");
        if let Some(why) = spoilt.and_then(|(_, text)| spoilt_key(text)) {
            return Err(self.rejected(field, why));
        }
        cell.map(|(_, text)| text.parse())
            .transpose()
            .map_err(|error: T::Err| self.rejected(field, error.to_string()))
    }

    /// The location that a row names, by its id or as people call it. One that nobody knows may be of a
    /// place that was removed.
    fn location(&self) -> Result<Option<LocationId>, Rejected> {
        let cell = self.cells.get("location");
        if let Some(known) = cell.and_then(|(_, text)| self.places.called(text)) {
            return Ok(Some(known.id.clone()));
        }
        self.parsed("location")
            .map_err(|_| self.rejected("location", no_such_place(self.places)))
    }

    fn names_every_product(&self) -> bool {
        matches!(self.cells.get("product"), Some((_, EVERY)))
    }

    fn required<T: FromStr<Err: Display>>(&self, field: &str) -> Result<T, Rejected> {
        if field == "product" && self.names_every_product() {
            return Err(self.rejected(
                field,
                "`*` is every product, and goes with a threshold alone",
            ));
        }
        self.parsed(field)?
            .ok_or_else(|| self.rejected(field, "is missing"))
    }

    fn units(&self, field: &str) -> Result<Option<i64>, Rejected> {
        let Some((_, text)) = self.cells.get(field) else {
            return Ok(None);
        };
        let units = whole(text);
        match units.filter(|units| (0..=MOST_UNITS).contains(units)) {
            Some(units) => Ok(Some(units)),
            None => {
                let problem = match may_be_thousands(text, &['.', ',']) {
                    true => {
                        format!("`{text}` may be thousands or a fraction; write it without a mark")
                    }
                    false => format!("`{text}` is not a whole number of units from 0 up"),
                };
                Err(self.rejected(field, problem))
            }
        }
    }

    fn named<T: Copy>(
        &self,
        field: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<Option<T>, Rejected> {
        let Some((_, text)) = self.cells.get(field) else {
            return Ok(None);
        };
        match all.iter().find(|it| name(**it) == *text) {
            Some(it) => Ok(Some(*it)),
            None => {
                let names: Vec<_> = all.iter().map(|it| format!("`{}`", name(*it))).collect();
                let problem = format!("`{text}` is none of {}", names.join(", "));
                Err(self.rejected(field, problem))
            }
        }
    }
}
