//! Changes of stock: the position, its ledger row and the event's marker, in one transaction.

use std::borrow::Cow;

use futures::FutureExt as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::{self, Listed};
use super::quarantine::known_by;
use super::renames::{self, Meant, Said};
use super::row::{Expect, Page, Row, Stored, Write, Written, read};
use super::snapshots::CaughtUp;
use super::stated::Item;
use super::waits::LOCATION;
use super::{Store, StoreError};
use crate::digest::sha256_hex;
use crate::domain::authority::API;
use crate::domain::event::{Change, EventId, StockEvent, millis};
use crate::domain::id::{ConnectorName, LocationId};
use crate::domain::item::{Dated, ItemStatement};
use crate::domain::ledger::LedgerRow;
use crate::domain::order::DEFAULT_LOCATION;
use crate::domain::position::{MOST_MOVES, PositionChange, Refusal, Sources, Whose, whole_millis};
use crate::domain::unit::UnitState;
use crate::domain::watch::Moment;
use crate::domain::{Authority, Position, ProductId};

const FOLLOW: &str = "end what is stated of a SKU that was left";
/// For how many days an applied event is remembered unless told otherwise: longer than any sender
/// retries.
const REMEMBERED_DAYS: u16 = 8;
/// How much longer than its webhook an event is remembered: longer than applying a webhook takes, which
/// may begin at its last moment.
const REMEMBERED_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Characters of a place's name that is waited for; a longer one is never learnt.
const NAME_MOST: usize = 256;
/// As much of that is enough where the event came before in another webhook.
const ENOUGH_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Why what is at a place is held of which the source has no name.
pub const UNKNOWN_PLACE: &str = "unknown_location";
/// Why something is not at a place any more, or at another.
pub(super) const ELSEWHERE: &str = "its source means another place by the name that it used";

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It changed the stock.
    Changed,
    /// It moved what nobody has stated: how much there is of it is not known.
    Unstated {
        /// Whether nothing was known of it there before.
        is_new: bool,
    },
    /// It says what is known already, or is older than that.
    Known,
    /// This very event was applied before.
    Before,
    /// It is applied, or known, except for facts that are left out and that people should see.
    Partly {
        /// Whether it changed the stock.
        changed: bool,
        /// What is left out.
        left_out: Vec<LeftOut>,
    },
}

impl Applied {
    /// Changed or known, and perhaps not all of it.
    pub(super) fn with(changed: bool, left_out: Vec<LeftOut>) -> Self {
        match (changed, left_out.is_empty()) {
            (true, true) => Self::Changed,
            (false, true) => Self::Known,
            (changed, false) => Self::Partly { changed, left_out },
        }
    }
}

/// A fact of an event that has no effect, while the rest of the event has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which: the name of a field.
    pub field: String,
    /// Why, as machines read it.
    pub reason: &'static str,
    /// Why, for people.
    pub sentence: String,
    /// The name that has to become known before it can have one: its kind, and itself.
    pub awaits: Option<(&'static str, String)>,
    /// What it says, for machines, where that may become something else while it awaits the same.
    pub says: Option<String>,
}

/// Why an event was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The stock does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The same event id came before with other content.
    #[error("event {event} of {source_name} was applied before with other content")]
    Reused {
        /// The event.
        event: EventId,
        /// Its source.
        source_name: ConnectorName,
    },
    /// The table takes no such item, now or later.
    #[error("it cannot be stored: {0}")]
    Unstorable(#[source] StoreError),
    /// Several items of the source have the same SKU at the same location.
    #[error(
        "{product} at {location} is the SKU of several of the source's items ({items}); none of them \
         is believed until one is left, or `same_sku = \"sum\"` says that they are one stock"
    )]
    SameSku {
        /// The product.
        product: ProductId,
        /// The location.
        location: LocationId,
        /// The items.
        items: String,
    },
    /// The source has no name for a place.
    #[error("{}", unknown_place(.0))]
    UnknownPlace(String),
    /// The table.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        if error.is_lasting() {
            Self::Unstorable(error)
        } else {
            Self::Store(error)
        }
    }
}

impl ApplyError {
    /// The name that has to end, or to become known, before it can be applied: its kind, and itself.
    pub fn awaits(&self) -> Option<(&'static str, String)> {
        match self {
            Self::SameSku {
                product, location, ..
            } => Some(same_sku(product, location)),
            Self::UnknownPlace(called) => Some((LOCATION, called.clone())),
            _ => None,
        }
    }

    /// What it says, for machines, where that may become something else while it awaits the same.
    pub fn says(&self) -> Option<&str> {
        match self {
            Self::SameSku { items, .. } => Some(items),
            _ => None,
        }
    }

    /// What a source calls a place is not known; nothing where it names none.
    pub(super) fn unknown_place(called: Option<&str>) -> Self {
        let called = called.unwrap_or(DEFAULT_LOCATION);
        Self::UnknownPlace(called.chars().take(NAME_MOST).collect())
    }
}

fn unknown_place(called: &str) -> String {
    match called {
        DEFAULT_LOCATION => {
            "it names no location, and the connector has no `default_location`".to_owned()
        }
        called => format!("location {called:?} is not in the connector's `locations`"),
    }
}

fn same_sku(product: &ProductId, location: &LocationId) -> (&'static str, String) {
    ("same_sku", format!("{product} {location}"))
}

/// Which sources are being read by files that may cover a change, of what it is, and of when.
pub(super) type Late = (Vec<ConnectorName>, Item, Timestamp);

/// What a ledger row says of why a position changed.
pub(super) struct Cause<'a> {
    pub(super) source: &'a ConnectorName,
    pub(super) event: &'a EventId,
    pub(super) actor: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
    pub(super) change: &'a str,
}

impl<'a> Cause<'a> {
    /// An event, which says itself why, unless something else is the reason.
    pub(super) fn of(event: &'a StockEvent, why: Option<&'a str>) -> Self {
        Self {
            source: &event.source,
            event: &event.id,
            actor: event.actor.as_deref(),
            reason: why.or_else(|| reason(&event.change)),
            change: change_name(&event.change),
        }
    }
}

/// A change of a position, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) writes: Vec<Write>,
    /// What of it is not believed.
    pub(super) left_out: Vec<LeftOut>,
    late: Option<Late>,
}

/// A position as it stands, or as one of which nothing is known.
pub(super) fn standing(
    stored: Option<&Stored<Position>>,
    product: &ProductId,
    location: &LocationId,
) -> Position {
    stored.map_or_else(
        || Position::unknown(product.clone(), location.clone()),
        |stored| stored.data.clone(),
    )
}

/// What an event changes of a position, if it changes one.
pub(super) fn change_of_position<'e>(
    event: &'e StockEvent,
    authority: &Authority,
) -> Option<(&'e ProductId, &'e LocationId, PositionChange)> {
    Some(match &event.change {
        Change::LevelSet {
            product,
            location,
            level,
            version,
            called,
        } => (
            product,
            location,
            PositionChange::Level {
                source: event.source.clone(),
                level: level.clone(),
                version: *version,
                called: called.clone(),
            },
        ),
        Change::Moved {
            product,
            location,
            delta,
            ..
        } => (
            product,
            location,
            PositionChange::Move {
                at: event.at,
                delta: *delta,
            },
        ),
        Change::Sold {
            product,
            location,
            quantity,
            deducts,
            ..
        } => (
            product,
            location,
            PositionChange::Sale {
                at: event.at,
                day: authority.day(location, event.at),
                quantity: *quantity,
                deducts: *deducts,
            },
        ),
        Change::LevelEnded {
            product,
            location,
            version,
        } => (
            product,
            location,
            PositionChange::Ended {
                source: event.source.clone(),
                version: *version,
            },
        ),
        Change::SourceGone {
            product,
            location,
            called,
        } => {
            let (source, called) = (event.source.clone(), called.clone());
            (product, location, PositionChange::Gone { source, called })
        }
        Change::Missing {
            product,
            location,
            version,
        } => (
            product,
            location,
            PositionChange::Missing {
                source: event.source.clone(),
                version: *version,
            },
        ),
        Change::Unit(_)
        | Change::Described(_)
        | Change::Offered(_)
        | Change::OrderLine(_)
        | Change::Item(_) => return None,
    })
}

/// That an event was applied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Marker {
    at: i64,
    pub(super) content: String,
    /// When it is forgotten.
    #[serde(default)]
    until: i64,
    /// Where something moved by a name that may come to mean another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moved: Option<MovedAt>,
}

/// Where and when something moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MovedAt {
    pub(super) location: LocationId,
    /// What its source calls the place.
    pub(super) called: String,
    #[serde(with = "millis")]
    pub(super) at: Timestamp,
}

impl MovedAt {
    fn is_told_by(event: &StockEvent) -> bool {
        matches!(event.change, Change::Moved { .. } | Change::Sold { .. })
    }

    pub(super) fn of(event: &StockEvent) -> Option<Self> {
        let (Change::Moved {
            location, called, ..
        }
        | Change::Sold {
            location, called, ..
        }) = &event.change
        else {
            return None;
        };
        Some(Self {
            location: location.clone(),
            called: called.clone()?,
            at: event.at,
        })
    }
}

impl Marker {
    /// The row that says that the event counts where it says now, kept for as long.
    pub(super) fn moved_to(&self, event: &StockEvent) -> Result<Row, StoreError> {
        let until = Timestamp::from_millisecond(self.until).unwrap_or(Timestamp::MAX);
        let moved = Self {
            content: content(event, None),
            moved: MovedAt::of(event),
            ..self.clone()
        };
        moved.row(event, until)
    }

    fn row(&self, event: &StockEvent, until: Timestamp) -> Result<Row, StoreError> {
        Ok(Row::new(keys::marker(&event.source, &event.id), "marker", self)?.expires(until))
    }
}

impl Store {
    /// Applies one event: at most once, in any order, with its audit row (G2, G3, G8).
    pub async fn apply(
        &self,
        event: &StockEvent,
        authority: &Authority,
    ) -> Result<Applied, ApplyError> {
        let sources = &authority.quantities;
        // The large ones are boxed: they would be part of every future that applies anything.
        match &event.change {
            Change::Unit(report) => {
                let applied = self.apply_unit(event, report, authority, None);
                applied.boxed().await
            }
            Change::Described(description) => {
                self.apply_description(event, description, sources)
                    .boxed()
                    .await
            }
            Change::Offered(offer) => self.apply_offer(event, offer, sources).await,
            Change::OrderLine(line) => {
                let applied = self.apply_order_line(event, line, authority);
                applied.boxed().await
            }
            Change::Item(said) => {
                let (applied, is_new, clash) =
                    self.apply_item(event, said, sources).boxed().await?;
                // Whoever applied it before may have stopped right after.
                if is_new || applied == Applied::Known {
                    self.call_in(event, said, sources).boxed().await?;
                }
                clash.map_or(Ok(applied), Err)
            }
            _ => match change_of_position(event, authority) {
                Some((product, location, mut change)) => {
                    if change.is_over()
                        && let Some(item) = self.last_left(product).boxed().await?
                    {
                        // It takes more than one write: the webhook is kept before.
                        if self.along.is_some() {
                            return Err(StoreError::Contended { operation: FOLLOW }.into());
                        }
                        change = change.without_conclusion();
                        let place = (product, location);
                        let followed = self.follow(event, place, &change, &item, sources);
                        if let Some(applied) = followed.boxed().await? {
                            return Ok(applied);
                        }
                    }
                    let applied = self
                        .change_position(event, product, location, &change, sources)
                        .boxed()
                        .await;
                    let applied = applied.map(|(applied, [before, after])| {
                        let moved = MovedAt::is_told_by(event) && applied == Applied::Changed;
                        match moved && after.stock(sources).is_none() {
                            true => Applied::Unstated {
                                is_new: before.revision == 0,
                            },
                            false => applied,
                        }
                    });
                    match applied {
                        Err(ApplyError::Reused { .. }) => {
                            let corrected = self.correct_place(event, authority).boxed().await?;
                            corrected.map_or(applied, Ok)
                        }
                        applied => applied,
                    }
                }
                None => Ok(Applied::Known),
            },
        }
    }

    /// An item is stated for the first time: what was ordered of it under a SKU that it had, and left with who
    /// states that, is its own now.
    async fn call_in(
        &self,
        event: &StockEvent,
        said: &ItemStatement,
        sources: &Sources,
    ) -> Result<(), ApplyError> {
        let Some((kind, name)) = said.item.split_once(' ') else {
            return Ok(());
        };
        let known = self.external_name(&event.source, kind, name).await?;
        if known.is_none_or(|known| known.former.is_empty()) {
            return Ok(());
        }
        self.settle_name(event, kind, name, sources).await
    }

    /// Applies a statement on one of a source's items; says whether it is the first that says how much there
    /// is of it, and the contradiction if several of them contradict each other now.
    pub(super) async fn apply_item(
        &self,
        event: &StockEvent,
        said: &ItemStatement,
        sources: &Sources,
    ) -> Result<(Applied, bool, Option<ApplyError>), ApplyError> {
        let (product, location) = (&said.product, &said.location);
        let change = PositionChange::Item {
            source: event.source.clone(),
            said: said.clone(),
        };
        let (applied, [before, after]) = self
            .change_position(event, product, location, &change, sources)
            .await?;
        // It may be known under another SKU.
        let (product, location) = (&after.product, &after.location);
        let is_stated = |it: &Position| it.item(&event.source, &said.item).is_some();
        let is_new = !is_stated(&before) && is_stated(&after);
        let items = after.contradicting(&event.source);
        if !items.is_empty() {
            let clash = ApplyError::SameSku {
                product: product.clone(),
                location: location.clone(),
                items: items.join(", "),
            };
            return Ok((applied, is_new, Some(clash)));
        }
        let ends = said.offered.is_some_and(|offered| !offered.value)
            || said
                .level
                .as_ref()
                .is_some_and(|level| level.value.is_none());
        if ends || !before.contradicting(&event.source).is_empty() {
            self.end_contradiction(&event.source, product, location)
                .await?;
        }
        Ok((applied, is_new, None))
    }

    /// Nothing contradicts anything at a position any more: the entry in quarantine is closed, and what
    /// waited for that is applied.
    pub(super) async fn end_contradiction(
        &self,
        source: &ConnectorName,
        product: &ProductId,
        location: &LocationId,
    ) -> Result<(), StoreError> {
        let (kind, name) = same_sku(product, location);
        let entry = known_by(source, kind, &format!("{kind} {name}"));
        self.close_quarantined(&entry, "one item is left with the SKU")
            .await?;
        self.release_waiting(source, kind, &name).await
    }

    /// Applies a change that the API asks for, such as a reservation, at most once per event id.
    pub async fn apply_to_position(
        &self,
        event: &StockEvent,
        product: &ProductId,
        location: &LocationId,
        change: &PositionChange,
        sources: &Sources,
    ) -> Result<Applied, ApplyError> {
        let (applied, _) = self
            .change_position(event, product, location, change, sources)
            .await?;
        Ok(applied)
    }

    /// The same, with the position as it was and as it is.
    async fn change_position(
        &self,
        event: &StockEvent,
        product: &ProductId,
        location: &LocationId,
        change: &PositionChange,
        sources: &Sources,
    ) -> Result<(Applied, [Position; 2]), ApplyError> {
        const OPERATION: &str = "apply a change of stock";
        // A statement of a source is guarded by its version; everything else by its event id.
        let statement = matches!(
            change,
            PositionChange::Level { .. }
                | PositionChange::Item { .. }
                | PositionChange::Missing { .. }
                | PositionChange::Ended { .. }
                | PositionChange::Gone { .. }
        );
        let guarded = statement && event.source.as_str() != API;
        let marker = if guarded {
            None
        } else {
            Some(self.marker(event, change, sources)?)
        };
        let said = Said::by(change, self.clock.now());
        for attempt in 0.. {
            let Some(meant) = self.meant(OPERATION, (product, location), said).await? else {
                let unknown = Position::unknown(product.clone(), location.clone());
                return Ok((Applied::Known, [unknown.clone(), unknown]));
            };
            let Meant {
                stored,
                position: before,
                guard,
                owner,
                ..
            } = meant;
            let owned = (change, owner.as_ref());
            let prepared = self
                .prepare(event, stored.as_ref(), &before, owned, sources)
                .await;
            let (mut prepared, after) = match prepared {
                Ok((Prepared { left_out, .. }, None)) => {
                    return Ok((Applied::with(false, left_out), [before.clone(), before]));
                }
                Ok((prepared, Some(after))) => (prepared, after),
                // The refusal may be the echo of this very event: it was applied, and took the last one.
                Err(ApplyError::Refused(refusal)) => {
                    return match self.applied_before(event, change).await? {
                        Some(outcome) => Ok((outcome?, [before.clone(), before])),
                        None => Err(refusal.into()),
                    };
                }
                Err(error) => return Err(error),
            };
            let mut writes = std::mem::take(&mut prepared.writes);
            // What is left out is still to be held: then the webhook is kept after this.
            let along = prepared
                .left_out
                .is_empty()
                .then(|| self.with_along(&mut writes))
                .flatten();
            renames::guard(&mut writes, guard);
            writes.extend(marker.clone());
            self.note_prepared(&prepared).await?;
            match self.transact(OPERATION, writes).await? {
                Written::Done => {
                    self.settle_prepared(&prepared, event, sources).await?;
                    return Ok((Applied::with(true, prepared.left_out), [before, after]));
                }
                Written::Unexpected(unmet) => {
                    if along.is_some_and(|at| unmet.get(at) == Some(&true)) {
                        break; // the webhook has a record already
                    }
                    if marker.is_some()
                        && unmet.last() == Some(&true)
                        && let Some(outcome) = self.applied_before(event, change).await?
                    {
                        return Ok((outcome?, [before.clone(), before]));
                    }
                    self.after_conflict(OPERATION, attempt).await?;
                }
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Notes that how much there is of a product at a place is not known until its source says so; nothing
    /// where anything is known of it.
    pub async fn await_statement(
        &self,
        event: &StockEvent,
        (product, location): (&ProductId, &LocationId),
        sources: &Sources,
    ) -> Result<(), StoreError> {
        if self.position(product, location).await?.is_some() {
            return Ok(());
        }
        let unknown = Position::unknown(product.clone(), location.clone());
        let why =
            "its source means this place by the name of another, and has not said how much is here";
        let cause = Cause::of(event, Some(why));
        let (writes, _) = self.recorded(&cause, None, &unknown, unknown.clone(), sources)?;
        // Else somebody has written it just now.
        self.transact("await a statement", writes.into()).await?;
        Ok(())
    }

    /// What a change of a position takes, and the position after it; none if it is known.
    pub(super) async fn prepare(
        &self,
        event: &StockEvent,
        stored: Option<&Stored<Position>>,
        before: &Position,
        (change, owner): (&PositionChange, Option<&Whose>),
        sources: &Sources,
    ) -> Result<(Prepared, Option<Position>), ApplyError> {
        let dated = change.dated();
        let then = match change {
            // Who goes on saying the same is not overtaken.
            PositionChange::Gone { source, .. } => {
                before.stated_by(source).map(|base| base.version.at)
            }
            _ => dated,
        };
        let by = match change {
            PositionChange::Level { source, .. } | PositionChange::Missing { source, .. } => {
                Some(source)
            }
            _ => None,
        };
        let known = match then {
            Some(then) => self.caught_up(before.clone(), then, by, sources).await?,
            None => CaughtUp::as_it_is(before.clone()),
        };
        let (believed, left_out) = believed(change, &known.position, sources);
        let mut prepared = Prepared {
            left_out,
            ..Prepared::default()
        };
        let Some(after) = known.position.after_of(&believed, owner, sources)? else {
            return Ok((prepared, None));
        };
        let end = carried(event, before, &after);
        let cause = end.as_ref().unwrap_or(event);
        prepared.writes = self.position_writes(cause, stored, before, after.clone(), sources)?;
        let item = Item::Position {
            product: before.product.clone(),
            location: before.location.clone(),
        };
        let late = dated.filter(|_| !known.being_read.is_empty());
        prepared.late = late.map(|then| (known.being_read, item, then));
        Ok((prepared, Some(after)))
    }

    /// To be called before what was prepared is written.
    pub(super) async fn note_prepared(&self, prepared: &Prepared) -> Result<(), StoreError> {
        if let Some((sources, item, _)) = &prepared.late {
            for source in sources {
                self.note_late(source, item).await?;
            }
        }
        Ok(())
    }

    /// To be called when what was prepared is written.
    pub(super) async fn settle_prepared(
        &self,
        prepared: &Prepared,
        event: &StockEvent,
        sources: &Sources,
    ) -> Result<(), StoreError> {
        if let Some((being_read, item, then)) = &prepared.late {
            self.settle_late(being_read, item, *then, &event.id, sources)
                .await?;
        }
        Ok(())
    }

    /// The position's new state and its ledger row.
    pub(super) fn position_writes(
        &self,
        event: &StockEvent,
        stored: Option<&Stored<Position>>,
        before: &Position,
        after: Position,
        sources: &Sources,
    ) -> Result<Vec<Write>, StoreError> {
        let cause = Cause::of(event, None);
        let (writes, _) = self.recorded(&cause, stored, before, after, sources)?;
        Ok(writes.into())
    }

    /// The writes of a position's new state and its ledger row, and that row.
    pub(super) fn recorded(
        &self,
        cause: &Cause<'_>,
        stored: Option<&Stored<Position>>,
        before: &Position,
        mut after: Position,
        sources: &Sources,
    ) -> Result<([Write; 2], LedgerRow), StoreError> {
        after.revision = before.revision + 1;
        after.origin = self.origin();
        let now = self.clock.now();
        if before.revision == 0 {
            let today = now.to_zoned(TimeZone::UTC).date();
            after.known_since.get_or_insert(today);
        }
        if after.stock(sources) != before.stock(sources) {
            after.changed_at = Some(Moment(now));
            after.changed_before = None;
        } else if before.revision > 0 {
            after.changed_before = Some(before.changed());
        }
        after.unsettled = after.unsettled_after(before, self.writing, sources, now);
        after.replayed = self.replayed(after.replayed.take(), after.revision);
        if after.movements() == MOST_MOVES && before.movements() >= MOST_MOVES {
            tracing::warn!(product = %after.product, location = %after.location,
                "more movements than are kept apart: the oldest are added up until a source states the level");
        }
        let row = LedgerRow {
            of: keys::position_history(&after.product, &after.location),
            revision: after.revision,
            // As it is read back, so that the first answer and a repeated one are the same.
            at: whole_millis(self.clock.now()),
            source: cause.source.clone(),
            event: cause.event.clone(),
            actor: cause.actor.map(str::to_owned),
            reason: cause.reason.map(str::to_owned),
            correlation: self.correlation().cloned(),
            change: cause.change.to_owned(),
            before: position_words(before, sources),
            after: position_words(&after, sources),
            previous: before.chain.clone(),
            hash: String::new(),
        }
        .sealed();
        after.chain.clone_from(&row.hash);
        let key = keys::ledger(&row.of, row.revision);
        let writes = [
            Write::Put(position_row(&after)?, Expect::from_read(stored)),
            Write::Put(Row::new(key, "ledger", &row)?, Expect::Absent),
        ];
        Ok((writes, row))
    }

    fn marker(
        &self,
        event: &StockEvent,
        change: &PositionChange,
        sources: &Sources,
    ) -> Result<Write, StoreError> {
        let until = self.forgotten_at(sources);
        let marker = Marker {
            at: self.clock.now().as_millisecond(),
            content: fingerprint(event, change),
            until: until.as_millisecond(),
            moved: MovedAt::of(event),
        };
        Ok(Write::Put(marker.row(event, until)?, Expect::Absent))
    }

    /// When an event that is applied now is forgotten.
    pub(super) fn forgotten_at(&self, sources: &Sources) -> Timestamp {
        let days = sources.remember_days.unwrap_or(REMEMBERED_DAYS);
        let remembered = SignedDuration::from_hours(24 * i64::from(days));
        let usual = later(self.clock.now(), remembered);
        let again = self.applied_again_until;
        again.map_or(usual, |again| usual.max(later(again, REMEMBERED_AFTER)))
    }

    /// What became of an event that was applied before, which is then remembered for as long as it can
    /// be applied again.
    async fn applied_before(
        &self,
        event: &StockEvent,
        change: &PositionChange,
    ) -> Result<Option<Result<Applied, ApplyError>>, StoreError> {
        const OPERATION: &str = "look up an event";
        let key = keys::marker(&event.source, &event.id);
        for attempt in 0.. {
            let Some(found) = self.get::<Marker>(OPERATION, &key).await? else {
                break;
            };
            if found.data.content != fingerprint(event, change) {
                return Ok(Some(Err(ApplyError::Reused {
                    event: event.id.clone(),
                    source_name: event.source.clone(),
                })));
            }
            let forgotten_early =
                |again: &Timestamp| later(*again, ENOUGH_AFTER).as_millisecond() > found.data.until;
            let Some(again) = self.applied_again_until.filter(forgotten_early) else {
                return Ok(Some(Ok(Applied::Before)));
            };
            let until = later(again, REMEMBERED_AFTER);
            let longer = Marker {
                until: until.as_millisecond(),
                ..found.data
            };
            let expect = Expect::Version(found.version);
            let row = longer.row(event, until)?;
            if self.put(OPERATION, row, expect).await? {
                return Ok(Some(Ok(Applied::Before)));
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Ok(None)
    }

    /// One position, as it is now.
    pub async fn position(
        &self,
        product: &ProductId,
        location: &LocationId,
    ) -> Result<Option<Position>, StoreError> {
        let stored = self
            .get("read a position", &keys::position(product, location))
            .await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// All positions of a product, as they are now.
    pub async fn positions_of(&self, product: &ProductId) -> Result<Vec<Position>, StoreError> {
        const OPERATION: &str = "read a product's positions";
        self.partition(OPERATION, &keys::product(product), "L#")
            .await?
            .into_iter()
            .filter(|(kind, _)| kind == "position")
            .map(|(_, item)| Ok(read::<Position>(OPERATION, item)?.data))
            .collect()
    }

    /// Whether a product has a position anywhere.
    pub(super) async fn has_position(&self, product: &ProductId) -> Result<bool, StoreError> {
        self.any_within("look for a position", &keys::product(product), "L#")
            .await
    }

    /// A page of all positions, by product and location within each of the list's shards.
    pub async fn positions(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Position>, StoreError> {
        self.each_position(cursor, limit).await?.try_map(|it| it)
    }

    /// As [`Store::positions`], for whom one that cannot be read must not keep from the others.
    pub async fn each_position(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Result<Position, StoreError>>, StoreError> {
        self.sharded("list positions", keys::positions_list, cursor, limit)
            .await
    }

    /// A page of a history, oldest row first. `of` is one of [`keys`]' history names.
    pub async fn history(
        &self,
        of: &str,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<LedgerRow>, StoreError> {
        let page = self
            .page_of_partition("read the ledger", &keys::history(of), "", cursor, limit)
            .await?;
        Ok(Page {
            items: page.items.into_iter().map(|stored| stored.data).collect(),
            next: page.next,
        })
    }
}

pub(super) fn position_row(position: &Position) -> Result<Row, StoreError> {
    let key = keys::position(&position.product, &position.location);
    let place = format!("{}#{}", position.product, position.location);
    let list = keys::positions_list(keys::shard(&place, keys::LIST_SHARDS));
    let row = Row::new(key, "position", position)?.listed(Listed { list, place });
    Ok(row.beyond_first_format(position.is_beyond_first_format()))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What really changed a position where a level of an item is said once more, and only brings along
/// whether the item is offered: the word of whoever said that.
fn carried(event: &StockEvent, before: &Position, after: &Position) -> Option<StockEvent> {
    let Change::Item(said) = &event.change else {
        return None;
    };
    let by = said.offered_by.clone().filter(|_| said.level.is_some())?;
    let item = |position: &Position| position.item(&event.source, &said.item).cloned();
    let (was, is) = (item(before)?, item(after)?);
    let alone = was.level == is.level && was.offered != is.offered;
    alone.then(|| StockEvent {
        id: by,
        change: Change::Item(Box::new(ItemStatement {
            level: None,
            ..(**said).clone()
        })),
        ..event.clone()
    })
}

/// What the ledger shows of a position: its quantities, and what it has sold.
pub(super) fn position_words(position: &Position, sources: &Sources) -> Value {
    let sold: i64 = position.sold.values().sum();
    match position.stock(sources) {
        None if position.held != 0 => json!({ "reserved": position.held, "sold": sold }),
        None if sold == 0 => Value::Null,
        None => json!({ "sold": sold }),
        Some(stock) => {
            let mut words = json!({
                "on_hand": stock.on_hand,
                "reserved": stock.reserved,
                "available": stock.available,
                "incoming": stock.incoming,
                "backordered": stock.backordered,
                "sold": sold,
            });
            if stock.unavailable != 0 {
                words["unavailable"] = json!(stock.unavailable);
            }
            words
        }
    }
}

/// Why something ended of which its source does not say more.
pub(super) fn reason(change: &Change) -> Option<&'static str> {
    match change {
        Change::SourceGone {
            called: Some(_), ..
        } => Some(ELSEWHERE),
        Change::SourceGone { .. } => Some("the configuration lets its source state nothing here"),
        Change::Unit(report) if report.state != Some(UnitState::Removed) => None,
        Change::Unit(report) if report.source_gone => {
            Some("its source is not in the configuration any more")
        }
        Change::Missing { .. } | Change::Unit(_) => Some("its source no longer has it"),
        _ => None,
    }
}

fn change_name(change: &Change) -> &'static str {
    match change {
        Change::LevelSet { .. } | Change::Missing { .. } => "level_set",
        Change::Item(said) => match (&said.level, said.offered) {
            (Some(Dated { value: None, .. }), _) => "level_ended",
            (Some(_), _) => "level_set",
            (None, Some(Dated { value: false, .. })) => "item_ended",
            (None, _) => "item_offered",
        },
        Change::LevelEnded { .. } | Change::SourceGone { .. } => "level_ended",
        Change::OrderLine(_) => "order_line",
        Change::Offered(_) => "offered",
        Change::Moved { .. } => "moved",
        Change::Sold { .. } => "sold",
        Change::Unit(_) => "unit",
        Change::Described(_) => "described",
    }
}

/// A change without what of it is not believed, while the rest is; and what that is.
fn believed<'a>(
    change: &'a PositionChange,
    position: &Position,
    sources: &Sources,
) -> (Cow<'a, PositionChange>, Vec<LeftOut>) {
    let PositionChange::Level {
        source,
        level,
        version,
        called,
    } = change
    else {
        return (Cow::Borrowed(change), Vec::new());
    };
    let (level, unbelieved) = position.believed(source, level, sources);
    if unbelieved.is_empty() {
        return (Cow::Borrowed(change), Vec::new());
    }
    let left_out = unbelieved.into_iter().map(|(field, refusal)| LeftOut {
        field: field.to_owned(),
        reason: "held_for_review",
        sentence: format!(
            "{} at {}: {field}: {refusal}",
            position.product, position.location
        ),
        awaits: None,
        says: None,
    });
    let change = PositionChange::Level {
        source: source.clone(),
        level,
        version: *version,
        called: called.clone(),
    };
    (Cow::Owned(change), left_out.collect())
}

/// What an event says, so that the same id with other content is noticed. When it was received does
/// not count: a repeated API call without a time of its own is the same call.
fn fingerprint(event: &StockEvent, change: &PositionChange) -> String {
    let said = match change {
        PositionChange::Reserve(units) => json!({ "reserve": units }),
        PositionChange::Release(units) => json!({ "release": units }),
        _ => return content(event, None),
    };
    sha256_hex(said.to_string().as_bytes())
}

/// The same of what a source says, as of another place if one is given. By which name it says the place
/// does not count.
pub(super) fn content(event: &StockEvent, at: Option<&LocationId>) -> String {
    let mut said = serde_json::to_value(&event.change).unwrap_or(Value::Null);
    if let Some(said) = said.as_object_mut() {
        if event.source.as_str() == API {
            said.remove("version");
        }
        if MovedAt::of(event).is_some() {
            said.remove("called");
        }
        if let Some(location) = at {
            said.insert("location".to_owned(), json!(location));
        }
    }
    sha256_hex(said.to_string().as_bytes())
}
