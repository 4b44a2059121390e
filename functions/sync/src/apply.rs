//! What one row asks for: what it says beyond what its source said before.

use std::collections::HashSet;

use jiff::Timestamp;
use shared::domain::Authority;
use shared::domain::event::{Change, EventId, Level, ProductDescription, StockEvent, Version};
use shared::domain::id::{ConnectorName, LocationId};
use shared::domain::position::Refusal;
use shared::domain::unit::{Unit, UnitReport, UnitState};
use shared::domain::{IdError, ProductId};
use shared::store::feeds::Moment;
use shared::store::products::Product;
use shared::store::stated::{Item, Stated};
use shared::store::stock::{Applied, ApplyError};
use shared::store::together::Known;
use shared::store::units::UNPLACED;
use shared::store::{Store, StoreError};

use crate::flaw::{Flaw, HELD, UNKNOWN_LOCATION};
use crate::rows::Statement;

/// Applies what one file of one source says.
#[derive(Debug)]
pub(crate) struct Applier<'a> {
    pub(crate) store: &'a Store,
    pub(crate) source: &'a ConnectorName,
    pub(crate) authority: &'a Authority,
    /// Names the file in event ids.
    pub(crate) file: &'a str,
    /// When the file as a whole was true.
    pub(crate) snapshot_at: Timestamp,
    /// What it means that a row repeats what is held.
    pub(crate) repeats: Repeats,
    /// No whole file of its source was read before it.
    pub(crate) is_first: bool,
    /// Until when the source's whole files covered what they state before this one.
    pub(crate) covered_before: Option<Moment>,
    /// Until when it waits for a table that is busy.
    pub(crate) patient_until: Timestamp,
}

/// What it means that a row of a file repeats what its source said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// That it was true until the file was written. This is kept once for all rows, with a note on each
    /// item that the file leaves out, and written only where something has moved since. So it is of what a
    /// file in doubt says, too: nothing follows from what that leaves out.
    Cover,
    /// That it was true at the row's own time: the file is one of changes.
    EachOne,
}

/// What a row came to.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) outcome: Outcome,
    /// What of it could not be applied.
    pub(crate) flaws: Vec<Flaw>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// We held it already, or something newer; or none of it can be applied.
    Known,
    /// The source had not stated this item before.
    Added,
    /// It differed from what the source had stated before.
    Differed,
}

impl Taken {
    pub(crate) fn known() -> Self {
        Self {
            outcome: Outcome::Known,
            flaws: Vec::new(),
        }
    }

    /// What came of a description, which is no item of the file.
    pub(crate) fn without_outcome(self) -> Self {
        Self {
            outcome: Outcome::Known,
            ..self
        }
    }

    /// With what came of the row's other part.
    pub(crate) fn join(&mut self, other: Self) {
        if other.outcome != Outcome::Known {
            self.outcome = other.outcome;
        }
        self.flaws.extend(other.flaws);
    }
}

/// What a row asks to be changed.
pub(crate) struct Asked {
    pub(crate) event: StockEvent,
    /// Whether its source had stated the item before.
    stated_before: bool,
    /// Whether it says something else than what was held.
    news: bool,
}

/// A row's level beside what its source last said.
struct BesideHeld {
    version: Version,
    stated_before: bool,
    /// Whether what is there is this already, and nothing that comes late could change that.
    gains_nothing: bool,
    /// Whether it says something else than what was held.
    news: bool,
}

impl Applier<'_> {
    /// What a row asks for beyond what is known, if anything. `covered`: of the items whose rows gain
    /// nothing, those which the source's list has as stated by its last file.
    pub(crate) fn asked(
        &self,
        line: u64,
        statement: &Statement,
        known: &Known,
        covered: &HashSet<Item>,
    ) -> Result<Option<Asked>, StoreError> {
        let id = self.event_id(&line.to_string());
        match &statement.change {
            Change::LevelSet {
                product,
                location,
                level,
                version,
                called,
            } => {
                let beside = self.beside_held((product, location), level, *version, known);
                let is_known = match self.repeats {
                    Repeats::Cover => beside.gains_nothing && covered.contains(&statement.item),
                    Repeats::EachOne => false,
                };
                if is_known {
                    return Ok(None);
                }
                let change = Change::LevelSet {
                    product: product.clone(),
                    location: location.clone(),
                    level: level.clone(),
                    version: beside.version,
                    called: called.clone(),
                };
                Ok(Some(Asked {
                    event: self.event(id, change, beside.version)?,
                    stated_before: beside.stated_before,
                    news: beside.news,
                }))
            }
            Change::Unit(report) => self.vehicle(id, report, statement, known),
            _ => Ok(None),
        }
    }

    /// Whether only the source's list can tell that a row is known: it repeats what is there.
    pub(crate) fn needs_the_list(&self, statement: &Statement, known: &Known) -> bool {
        match &statement.change {
            Change::LevelSet {
                product,
                location,
                level,
                version,
                ..
            } if self.repeats == Repeats::Cover => {
                self.beside_held((product, location), level, *version, known)
                    .gains_nothing
            }
            _ => false,
        }
    }

    fn beside_held(
        &self,
        (product, location): (&ProductId, &LocationId),
        level: &Level,
        version: Version,
        known: &Known,
    ) -> BesideHeld {
        let position = known.position(product, location);
        let base = position.and_then(|position| position.stated_by(self.source));
        let held = base.map(|base| &base.level);
        // A row of a file that says everything was true when the file was written.
        let version = match self.repeats {
            Repeats::EachOne => version,
            Repeats::Cover => Version {
                at: self.snapshot_at,
                ..version
            },
        };
        let repeated = held.is_some_and(|held| level.adds_nothing_to(held));
        let sources = &self.authority.quantities;
        let balance = position.and_then(|it| it.balance(sources));
        let gains_nothing = repeated
            && position.is_some_and(|it| it.gains_nothing_by(self.source, version.at, sources));
        BesideHeld {
            version,
            stated_before: held.is_some(),
            gains_nothing,
            // It is written all the same where something has moved since: then the stock is another.
            news: !repeated || balance != Some(level.on_hand),
        }
    }

    /// What came of a row that asked for something.
    pub(crate) async fn taken(
        &self,
        applied: Result<Applied, ApplyError>,
        asked: &Asked,
        statement: &Statement,
    ) -> Result<Taken, StoreError> {
        let is_level = matches!(asked.event.change, Change::LevelSet { .. });
        let refused = is_level && applied.is_err();
        let mut taken = taken(applied, asked.stated_before, statement)?;
        if refused && self.repeats == Repeats::Cover {
            self.has_not_said(&statement.item).await?;
        }
        if !asked.news {
            taken.outcome = Outcome::Known;
        }
        Ok(taken)
    }

    /// Notes that the file does not cover an item, whose row was not taken.
    async fn has_not_said(&self, item: &Item) -> Result<(), StoreError> {
        let known = self.store.stated_item(self.source, item).await?;
        let never = Moment(Timestamp::UNIX_EPOCH);
        let until = known
            .and_then(|known| known.until)
            .or(self.covered_before)
            .unwrap_or(never);
        let stated = Stated {
            until: Some(until),
            ..Stated::now(item.clone())
        };
        self.store.save_stated(self.source, &[stated]).await
    }

    fn vehicle(
        &self,
        id: Result<EventId, IdError>,
        report: &UnitReport,
        statement: &Statement,
        known: &Known,
    ) -> Result<Option<Asked>, StoreError> {
        let unit = known.unit(report.vin.as_str());
        let mut report = report.clone();
        let claim = unit.and_then(|unit| unit.claims.get(self.source));
        let stateless = claim.is_none_or(|claim| claim.state.is_empty());
        if statement.presumed && stateless {
            report.state = Some(UnitState::InStock);
        }
        // What the first file of a list has sold may have been so for long, and so may what was listed before
        // with a word that stated nothing.
        let is_listed = unit.is_some_and(|unit| {
            let mut fields = unit.fields.values();
            claim.is_some() || fields.any(|heard| heard.contains_key(self.source))
        });
        report.undated &= self.is_first || is_listed && stateless;
        let version = report.version;
        let news = match unit {
            Some(unit) => news(unit, self.source, &report),
            None => report.clone(),
        };
        let repeated = news.is_empty();
        // A vehicle that cannot be counted is told of with each file, until it can; and one that counts
        // otherwise by what has become of `[ownership]` is counted anew.
        let stands =
            |unit: &Unit| unit.counted.is_some() && unit.counted == unit.count(self.authority);
        if repeated && self.repeats != Repeats::EachOne && unit.is_some_and(stands) {
            return Ok(None);
        }
        // Of a file of changes, also what is repeated: a file of an earlier time may be read later.
        let said = match self.repeats {
            Repeats::EachOne => report,
            Repeats::Cover => news,
        };
        Ok(Some(Asked {
            event: self.event(id, Change::Unit(Box::new(said)), version)?,
            stated_before: claim.is_some(),
            news: !repeated,
        }))
    }

    /// What is to be said of a product, where a row says something new of it.
    pub(crate) fn described(
        &self,
        line: u64,
        description: &ProductDescription,
        known: Option<&Product>,
    ) -> Result<Option<StockEvent>, StoreError> {
        // By what this source said before: what others say of it changes nothing of that.
        let before = known.map_or([None, None], |known| known.said_by(self.source));
        let said = [description.title.as_ref(), description.category.as_ref()];
        let mut both = said.into_iter().zip(before);
        let is_news = both.any(|(said, before)| said.is_some() && said != before);
        // Of a file of changes, also what is repeated: a file of an earlier time may be read later.
        if !is_news && self.repeats != Repeats::EachOne {
            return Ok(None);
        }
        let id = self.event_id(&format!("{line}:described"));
        let change = Change::Described(description.clone());
        Ok(Some(self.event(id, change, description.version)?))
    }

    /// That something is gone which the file no longer has.
    pub(crate) fn removal(&self, item: &Item) -> Result<StockEvent, StoreError> {
        let version = Version::at(self.snapshot_at);
        let (name, change) = match item {
            Item::Position { product, location } => (
                format!("{location}:{product}"),
                Change::Missing {
                    product: product.clone(),
                    location: location.clone(),
                    version,
                },
            ),
            Item::Unit { vin } => (
                vin.to_string(),
                Change::Unit(Box::new(UnitReport::removed(vin.clone(), version))),
            ),
        };
        // A product's name may be too long to stand in an event's.
        let id = self
            .event_id(&format!("gone:{name}"))
            .or_else(|_| self.event_id("gone"));
        self.event(id, change, version)
    }

    fn event(
        &self,
        id: Result<EventId, IdError>,
        change: Change,
        version: Version,
    ) -> Result<StockEvent, StoreError> {
        let id = id.map_err(|error| StoreError::Unreadable {
            operation: "name a row's event",
            key: self.file.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(StockEvent {
            id,
            source: self.source.clone(),
            at: version.at,
            actor: None,
            change,
        })
    }

    fn event_id(&self, what: &str) -> Result<EventId, IdError> {
        format!("file:{}:{what}", self.file).parse()
    }
}

pub(crate) fn taken(
    applied: Result<Applied, ApplyError>,
    stated_before: bool,
    statement: &Statement,
) -> Result<Taken, StoreError> {
    let flaw = |reason, sentence: String| Flaw::new(Some(&statement.item), reason, sentence);
    let (changed, flaws) = match applied {
        Ok(Applied::Changed | Applied::Unstated { .. }) => (true, Vec::new()),
        Ok(Applied::Known | Applied::Before) => (false, Vec::new()),
        Ok(Applied::Partly { changed, left_out }) => {
            // A vehicle that cannot be counted because its place is held already is no second problem.
            let mut known = statement.flaws.iter();
            let is_held = known.any(|flaw| flaw.reason == UNKNOWN_LOCATION);
            let flaws = left_out.into_iter();
            let flaws = flaws.filter(|left| {
                let lacks_place = left.says.as_deref() == Some("location");
                !(is_held && left.reason == UNPLACED && lacks_place)
            });
            let flaws = flaws.map(|left| {
                let flaw = flaw(left.reason, format!("{}.", left.sentence));
                match &statement.item {
                    // The same entry as a webhook's: it is closed when the vehicle is counted.
                    Item::Unit { vin } if left.reason == UNPLACED => {
                        flaw.of_word_that_says(&format!("{UNPLACED} {vin}"), left.says)
                    }
                    _ => flaw,
                }
            });
            (changed, flaws.collect())
        }
        Err(ApplyError::Store(error)) => return Err(error),
        Err(error) => {
            let reason = match error {
                ApplyError::Refused(Refusal::Jump { .. }) => HELD,
                _ => "refused",
            };
            let sentence = format!("{}: {error}.", statement.item);
            (false, vec![flaw(reason, sentence)])
        }
    };
    Ok(Taken {
        outcome: match (changed, stated_before) {
            (false, _) => Outcome::Known,
            (true, false) => Outcome::Added,
            (true, true) => Outcome::Differed,
        },
        flaws,
    })
}

/// The part of a report that its source has not said before.
fn news(unit: &Unit, source: &ConnectorName, report: &UnitReport) -> UnitReport {
    let mut news = report.clone();
    if let Some(claim) = unit.claims.get(source) {
        news.state = news.state.filter(|new| claim.state.value() != Some(new));
        news.location = news
            .location
            .filter(|new| claim.location.value() != Some(new));
        // A row from before names were kept is not written for the name's sake.
        let is_new = |new: &String| match claim.called.value() {
            None => news.location.is_some(),
            // A place is read from its name.
            Some(known) => known != new || news.location.is_some(),
        };
        news.called = news.called.filter(is_new);
        news.stock_number = news.stock_number.filter(|new| {
            claim
                .stock_number
                .as_ref()
                .is_none_or(|it| it.value != *new)
        });
        news.since = news.since.filter(|new| claim.since.value() != Some(new));
    }
    news.fields.retain(|name, value| {
        let heard = unit.fields.get(name).and_then(|heard| heard.get(source));
        heard.is_none_or(|stamped| stamped.value != *value)
    });
    news
}
