//! What a row says, and what we hold of its source's words, as numbers that can be compared.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::civil::Date;
use shared::domain::event::{Change, Level};
use shared::domain::id::{ConnectorName, LocationId};
use shared::domain::unit::{Field, Unit, UnitState};
use shared::feeds::header::Header;

use crate::rows::{AMOUNTS, LISTS, NUMBERS, Statement, TEXTS};
use crate::snapshot::{ItemKey, Said};

/// Which facts a file's header can say, so that what it cannot say is not compared.
#[derive(Debug, Clone)]
pub(crate) struct Sayable {
    columns: Vec<&'static str>,
}

impl Sayable {
    pub(crate) fn by(header: &Header) -> Self {
        let fixed = ["incoming", "stock_number", "date_in_stock", "condition"];
        let plain = TEXTS.iter().chain(&NUMBERS).chain(&AMOUNTS).chain(&LISTS);
        let mut columns: Vec<_> = plain
            .chain(&fixed)
            .copied()
            .filter(|column| header.position(column).is_some())
            .collect();
        if header.position("odometer").is_some() {
            columns.push("mileage");
        }
        // What can be sold says of the rest how much it is.
        let has = |column| header.position(column).is_some();
        for column in ["reserved", "unavailable"] {
            if has(column) || has("available") {
                columns.push(column);
            }
        }
        if header.position("status").is_some() {
            columns.push("status");
        }
        Self { columns }
    }

    fn has(&self, name: &str) -> bool {
        self.columns.contains(&name)
    }

    /// What we hold of a source's statement, as far as the file can say it.
    pub(crate) fn of_level(&self, level: &Level) -> Said {
        let sayable = |name, quantity: Option<i64>| quantity.filter(|_| self.has(name));
        said_of_level(&Level {
            on_hand: level.on_hand,
            reserved: sayable("reserved", level.reserved),
            incoming: sayable("incoming", level.incoming),
            unavailable: sayable("unavailable", level.unavailable),
        })
    }

    /// What a source said of a vehicle, as far as the file can say it.
    pub(crate) fn of_unit(&self, unit: &Unit, source: &ConnectorName) -> Said {
        let claim = unit.claims.get(source);
        let mut said = Said::default();
        if let Some(claim) = claim {
            said = said_of_claim(
                claim.state.value().copied(),
                claim.location.value(),
                claim
                    .stock_number
                    .as_ref()
                    .map(|it| it.value.as_str())
                    .filter(|_| self.has("stock_number")),
                claim
                    .since
                    .value()
                    .copied()
                    .filter(|_| self.has("date_in_stock")),
            );
        }
        for (name, heard) in &unit.fields {
            if let Some(stamped) = heard.get(source).filter(|_| self.has(name)) {
                said = said.and(name, &Hashed(&stamped.value));
            }
        }
        said
    }
}

impl Statement {
    /// What it says, to be compared with what we hold.
    pub(crate) fn said(&self) -> Said {
        match &self.change {
            Change::LevelSet { level, .. } => said_of_level(level),
            Change::Unit(report) => {
                let claim = said_of_claim(
                    report.state,
                    report.location.as_ref(),
                    report.stock_number.as_deref(),
                    report.since,
                );
                report
                    .fields
                    .iter()
                    .fold(claim, |said, (name, field)| said.and(name, &Hashed(field)))
            }
            _ => Said::default(),
        }
    }

    /// What it says of its product, as a number: the sum over a file does not depend on the rows' order.
    pub(crate) fn described(&self) -> u64 {
        self.description.as_ref().map_or(0, |it| {
            let mut hasher = DefaultHasher::new();
            (it.sku.as_str(), &it.title, &it.category).hash(&mut hasher);
            hasher.finish()
        })
    }

    pub(crate) fn key(&self) -> ItemKey {
        ItemKey::of(&self.item)
    }
}

fn said_of_level(level: &Level) -> Said {
    let mut said = Said::default().and("on_hand", &level.on_hand);
    let optional = [
        ("reserved", level.reserved),
        ("incoming", level.incoming),
        ("unavailable", level.unavailable),
    ];
    for (name, quantity) in optional {
        if let Some(quantity) = quantity {
            said = said.and(name, &quantity);
        }
    }
    said
}

fn said_of_claim(
    state: Option<UnitState>,
    location: Option<&LocationId>,
    stock_number: Option<&str>,
    since: Option<Date>,
) -> Said {
    let mut said = Said::default();
    if let Some(state) = state {
        said = said.and("state", &state);
    }
    if let Some(location) = location {
        said = said.and("location", location);
    }
    if let Some(stock_number) = stock_number {
        said = said.and("stock_number", &stock_number);
    }
    if let Some(since) = since {
        said = said.and("since", &since);
    }
    said
}

struct Hashed<'a>(&'a Field);

impl Hash for Hashed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self.0).hash(state);
        match self.0 {
            Field::Text(text) | Field::Distance(text) => text.hash(state),
            Field::Money(money) => money.hash(state),
            Field::Number(number) => number.hash(state),
            Field::List(list) => list.hash(state),
        }
    }
}
