//! The stock that a first start shows: a dealer group and its parts warehouses, so that there is
//! something to look at and to change.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use shared::config::{Config, ConfigErrors};
use shared::domain::authority::Authority;
use shared::domain::event::{Change, Level, ProductDescription, StockEvent, Version};
use shared::domain::money::Money;
use shared::domain::unit::{Field, UnitReport, UnitState};
use shared::feeds::delimited::read_all;
use shared::feeds::format::FeedFormat;
use shared::feeds::row::Row;
use shared::store::Store;
use shared::store::stock::ApplyError;

/// The sample configuration's name in messages about it.
pub const CONFIG_NAME: &str = "sample/lotwire.toml";
/// The sample configuration.
pub const CONFIG: &str = include_str!("../../sample/lotwire.toml");
const STOCK: &str = include_str!("../../sample/stock.csv");
const UNITS: &str = include_str!("../../sample/units.csv");
/// Who states the sample's stock, and who its vehicles: connectors of its configuration, as what is stated by
/// any other source ends.
const STOCK_SOURCE: &str = "generic";
const UNITS_SOURCE: &str = "dealertrack";

/// Why the sample could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// A row of it is wrong.
    #[error("sample row {line}: {problem}")]
    Row {
        /// Its line.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The store did not take it.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The sample configuration, checked.
pub fn config() -> Result<Config, ConfigErrors> {
    Config::check(CONFIG, CONFIG_NAME)
}

/// Loads the sample stock. Doing it again changes nothing.
pub async fn load(store: &Store, authority: &Authority) -> Result<(), SampleError> {
    for event in events()? {
        store.apply(&event, authority).await?;
    }
    Ok(())
}

/// The sample stock as events.
pub fn events() -> Result<Vec<StockEvent>, SampleError> {
    let mut events = Vec::new();
    for row in rows(STOCK)? {
        events.extend(stock(&row).map_err(|problem| wrong(&row, problem))?);
    }
    for row in rows(UNITS)? {
        events.push(unit(&row).map_err(|problem| wrong(&row, problem))?);
    }
    Ok(events)
}

fn rows(text: &str) -> Result<Vec<Row>, SampleError> {
    let (rows, bad, _) = read_all(text.as_bytes(), &FeedFormat::default());
    match bad.first() {
        Some(bad) => Err(SampleError::Row {
            line: bad.line,
            problem: bad.to_string(),
        }),
        None => Ok(rows),
    }
}

fn wrong(row: &Row, problem: String) -> SampleError {
    SampleError::Row {
        line: row.line(),
        problem,
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row,
    column: &str,
) -> Result<T, String> {
    let text = row
        .text(column)
        .value()
        .ok_or_else(|| format!("{column} is missing"))?;
    text.parse().map_err(|error| format!("{column}: {error}"))
}

fn event(source: &str, id: String, at: Timestamp, change: Change) -> Result<StockEvent, String> {
    Ok(StockEvent {
        id: id.parse().map_err(|error| format!("{error}"))?,
        source: source.parse().map_err(|error| format!("{error}"))?,
        at,
        actor: None,
        change,
    })
}

fn stock(row: &Row) -> Result<[StockEvent; 2], String> {
    let at = row
        .instant("updated_at")
        .value()
        .map(|at| at.by(Timestamp::MAX, SignedDuration::ZERO))
        .ok_or("updated_at is missing")?;
    let sku: shared::domain::Sku = parsed(row, "sku")?;
    let location = parsed(row, "location")?;
    let level = Level {
        on_hand: row
            .quantity("on_hand")
            .value()
            .ok_or("on_hand is missing")?,
        reserved: row.quantity("reserved").value(),
        incoming: row.quantity("incoming").value(),
        ..Level::default()
    };
    let text = |column: &str| row.text(column).value().map(str::to_owned);
    let description = ProductDescription {
        sku: sku.clone(),
        version: Version::at(at),
        title: text("title"),
        category: text("category"),
        external: BTreeMap::new(),
    };
    let id = format!("{sku}@{location}");
    let set = Change::LevelSet {
        called: None,
        product: sku.into(),
        location,
        level,
        version: Version::at(at),
    };
    Ok([
        event(
            STOCK_SOURCE,
            format!("describe-{id}"),
            at,
            Change::Described(description),
        )?,
        event(STOCK_SOURCE, format!("level-{id}"), at, set)?,
    ])
}

fn unit(row: &Row) -> Result<StockEvent, String> {
    let since = row
        .date("date_in_stock")
        .value()
        .ok_or("date_in_stock is missing")?;
    let at = since
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|error| error.to_string())?
        .timestamp();
    let state = row.named("state").value().ok_or("state is missing")?;
    let state = UnitState::ALL
        .iter()
        .copied()
        .find(|known| known.name() == state)
        .ok_or("state is not one of ours")?;
    let mut fields = BTreeMap::new();
    for column in [
        "make",
        "model",
        "trim",
        "body",
        "exterior_colour",
        "condition",
    ] {
        if let Some(text) = row.text(column).value() {
            fields.insert(column.to_owned(), Field::Text(text.to_owned()));
        }
    }
    if let Some(odometer) = row.text("odometer").value() {
        fields.insert("mileage".to_owned(), Field::Distance(odometer.to_owned()));
    }
    if let Some(year) = row.quantity("year").value() {
        fields.insert("year".to_owned(), Field::Number(year));
    }
    let price: Money = format!(
        "{} {}",
        parsed::<String>(row, "price")?,
        parsed::<String>(row, "currency")?
    )
    .parse()
    .map_err(|error| format!("price: {error}"))?;
    fields.insert("price".to_owned(), Field::Money(price));
    let report = UnitReport {
        called: None,
        source_gone: false,
        vin: parsed(row, "vin")?,
        version: Version::at(at),
        state: Some(state),
        location: Some(parsed(row, "location")?),
        stock_number: row.text("stock_number").value().map(str::to_owned),
        since: Some(since),
        brought: false,
        undated: false,
        fields,
    };
    event(
        UNITS_SOURCE,
        format!("unit-{}", report.vin),
        at,
        Change::Unit(Box::new(report)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_whole() {
        let config = config().unwrap();
        let events = events().unwrap();
        assert!(events.len() > 40);
        for event in &events {
            assert!(config.has_source(&event.source), "what it states would end");
            if let Change::LevelSet { location, .. } = &event.change {
                assert!(config.can_state(&event.source, location), "{location}");
            }
        }
    }
}
