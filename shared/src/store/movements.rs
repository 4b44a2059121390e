//! Movements that people and programs ask for: all of one, or nothing, at most once per key.
//!
//! An event from outside reports what has happened and is believed; a movement asks for something,
//! and is refused where the stock does not allow it (G4). A transfer is two positions and one marker
//! in one transaction. The marker remembers the ledger rows that the movement left, so that a
//! repeated request gets the answer that the first one got.

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys;
use super::renames::{self, Meant, Said};
use super::row::{Expect, Row, TRANSACTION, Write, Written};
use super::stated::Item;
use super::stock::{ApplyError, Cause};
use super::{Store, StoreError};
use crate::digest::sha256_hex;
use crate::domain::authority::API;
use crate::domain::event::{EventId, Level, Version, millis};
use crate::domain::id::{ConnectorName, IdError, LocationId};
use crate::domain::ledger::LedgerRow;
use crate::domain::position::{MOST_UNITS, PositionChange, Refusal, Sources};
use crate::domain::{Authority, Position, ProductId};

const OPERATION: &str = "carry out a movement";

/// Something to be done to the stock of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The caller's idempotency key.
    pub key: EventId,
    /// The product.
    pub product: ProductId,
    /// Where it lies.
    pub location: LocationId,
    /// What is to be done.
    pub act: Act,
    /// When it happened; by default now, after everything that is known.
    pub at: Option<Timestamp>,
    /// Why, for the ledger.
    pub reason: Option<String>,
    /// Who asks, for the ledger.
    pub actor: Option<String>,
}

/// What is to be done. Quantities are positive numbers of units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Act {
    /// Goods arrived.
    Receipt {
        /// Units.
        quantity: i64,
    },
    /// A customer brought something back.
    Return {
        /// Units.
        quantity: i64,
    },
    /// Breakage, or another correction.
    Adjustment {
        /// Units; positive is in, negative is out.
        delta: i64,
    },
    /// From one location to another.
    Transfer {
        /// Units.
        quantity: i64,
        /// Where they go.
        to_location: LocationId,
    },
    /// Sold: counts as demand and takes stock away.
    Sale {
        /// Units.
        quantity: i64,
    },
    /// Somebody counted what is there.
    Count {
        /// Units that are there, from 0 up.
        quantity: i64,
    },
    /// Promise units to somebody.
    Reserve {
        /// Units.
        quantity: i64,
    },
    /// Give promised units back.
    Release {
        /// Units.
        quantity: i64,
    },
}

impl Act {
    /// The name in requests and answers; in the ledger, except that a transfer has two sides there.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Receipt { .. } => "receipt",
            Self::Return { .. } => "return",
            Self::Adjustment { .. } => "adjustment",
            Self::Transfer { .. } => "transfer",
            Self::Sale { .. } => "sale",
            Self::Count { .. } => "count",
            Self::Reserve { .. } => "reserve",
            Self::Release { .. } => "release",
        }
    }

    fn possible(&self) -> Result<(), Refusal> {
        let (least, quantity) = match *self {
            Self::Count { quantity } => (0, quantity),
            Self::Adjustment { delta } => (1, delta.saturating_abs()),
            Self::Receipt { quantity }
            | Self::Return { quantity }
            | Self::Transfer { quantity, .. }
            | Self::Sale { quantity }
            | Self::Reserve { quantity }
            | Self::Release { quantity } => (1, quantity),
        };
        if (least..=MOST_UNITS).contains(&quantity) {
            Ok(())
        } else {
            Err(Refusal::Impossible { quantity })
        }
    }
}

/// A movement that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Whether that was an earlier request with the same key.
    pub replayed: bool,
    /// Each position as the movement left it: for a transfer, where it left and where it arrived.
    pub rows: Vec<LedgerRow>,
}

/// What carrying a movement out takes.
#[derive(Default)]
struct Decided {
    writes: Vec<Write>,
    /// The ledger rows that it leaves.
    rows: Vec<LedgerRow>,
    /// What a file that is being read may cover, and of when the movement is.
    late: Vec<(ConnectorName, Item, Timestamp)>,
}

/// One side of a movement.
struct Side<'a> {
    location: &'a LocationId,
    change: &'static str,
    what: What,
}

enum What {
    Shift(i64),
    Sale(i64),
    Count(i64),
    Reserve(i64),
    Release(i64),
}

/// The marker of a carried-out movement; begins like the marker of an applied event.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    #[serde(with = "millis")]
    at: Timestamp,
    content: String,
    /// Ledger rows, by history and revision.
    #[serde(default)]
    rows: Vec<(String, u64)>,
}

impl Store {
    /// Carries out a movement, unless it was before; then its first outcome is given again.
    pub async fn carry_out(
        &self,
        movement: &Movement,
        authority: &Authority,
    ) -> Result<Moved, ApplyError> {
        let source = api()?;
        let mut names = None;
        for attempt in 0.. {
            let decided = match self.sides(movement, &source, authority).await {
                Ok(decided) => decided,
                // The refusal may be the echo of this very movement: it took the last one. Or an item is
                // just about to bring what is asked for, or has brought it since that was looked at: final
                // is what is refused while nothing changes of the SKU.
                Err(ApplyError::Refused(refusal)) => {
                    if let Some(moved) = self.carried_out_before(movement, &source).await? {
                        return Ok(moved);
                    }
                    let (is_coming, version) = self.coming(&movement.product).await?;
                    if !is_coming && names.replace(version) == Some(version) {
                        return Err(refusal.into());
                    }
                    if is_coming || attempt > 0 {
                        self.after_conflict(OPERATION, attempt).await?;
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Decided {
                mut writes,
                rows,
                late,
            } = decided;
            let sources = &authority.quantities;
            writes.push(self.receipt(movement, &source, &rows, sources)?);
            for (being_read, item, _) in &late {
                self.note_late(being_read, item).await?;
            }
            match self.transact(OPERATION, writes).await? {
                Written::Done => {
                    for (being_read, item, at) in late {
                        self.settle_late(&[being_read], &item, at, &movement.key, sources)
                            .await?;
                    }
                    return Ok(Moved {
                        replayed: false,
                        rows,
                    });
                }
                Written::Unexpected(unmet) => {
                    if unmet.last() == Some(&true)
                        && let Some(moved) = self.carried_out_before(movement, &source).await?
                    {
                        return Ok(moved);
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

    /// Whether a movement would be carried out now: what refuses it then refuses it here.
    pub async fn would_carry_out(
        &self,
        movement: &Movement,
        authority: &Authority,
    ) -> Result<(), ApplyError> {
        let decided = self.sides(movement, &api()?, authority).await;
        decided.map(drop)
    }

    /// Whether a movement with this key was carried out, in the time for which keys are remembered.
    pub async fn was_carried_out(&self, key: &EventId) -> Result<bool, StoreError> {
        let key = keys::marker(&api()?, key);
        Ok(self.get::<Receipt>(OPERATION, &key).await?.is_some())
    }

    /// Remembers keys of what was done otherwise than as a movement, as those of movements are.
    pub(super) async fn note_carried_out(
        &self,
        keys: &[EventId],
        authority: &Authority,
    ) -> Result<(), StoreError> {
        let (source, now) = (api()?, self.clock().now());
        let expires = self.forgotten_at(&authority.quantities);
        let receipt = Receipt {
            at: now,
            content: String::new(),
            rows: Vec::new(),
        };
        for keys in keys.chunks(TRANSACTION) {
            let marker = |key| {
                let row = Row::new(keys::marker(&source, key), "marker", &receipt)?;
                Ok(Write::Put(row.expires(expires), Expect::Anything))
            };
            let writes: Result<Vec<_>, StoreError> = keys.iter().map(marker).collect();
            let (mut attempt, writes) = (0, writes?);
            while self.transact(OPERATION, writes.clone()).await? != Written::Done {
                self.after_conflict(OPERATION, attempt).await?;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// What a movement needs now.
    async fn sides(
        &self,
        movement: &Movement,
        source: &ConnectorName,
        authority: &Authority,
    ) -> Result<Decided, ApplyError> {
        movement.act.possible()?;
        let sources = &authority.quantities;
        let mut decided = Decided::default();
        for side in movement.parts() {
            let now = self.clock().now();
            let dated = movement.at.unwrap_or(now);
            let place = (&movement.product, side.location);
            let Some(mut meant) = self.meant(OPERATION, place, Said::At(dated)).await? else {
                return Err(Refusal::NoData.into());
            };
            // What was promised under this SKU may have gone from it with an item.
            if let What::Release(units) = side.what
                && meant.position.held < units
            {
                for (name, to) in meant.position.gone.clone() {
                    let place = (&to, side.location);
                    let there = self.meant(OPERATION, place, Said::Of(&name, dated));
                    let there = there.boxed().await?;
                    if let Some(there) = there.filter(|it| it.position.held >= units) {
                        meant = there;
                        break;
                    }
                }
            }
            let Meant {
                stored,
                position: before,
                guard,
                whose,
                owner,
            } = meant;
            renames::guard(&mut decided.writes, guard);
            let known = self.caught_up(before.clone(), dated, None, sources).await?;
            let item = Item::Position {
                product: before.product.clone(),
                location: before.location.clone(),
            };
            let being_read = known.being_read.into_iter();
            let late = being_read.map(|source| (source, item.clone(), dated));
            decided.late.extend(late);
            let known = known.position;
            let at = movement.time(&known, authority, now);
            let change = side.on(&known, source, at, authority)?;
            let after = known.after_of(&change, owner.as_ref(), sources)?;
            let Some(mut after) = after else {
                // A count that is older than one that is known: the row that stands is the answer.
                let of = keys::position_history(&before.product, &before.location);
                let row = self.ledger_row(&of, before.revision).await?;
                decided.rows.extend(row);
                decided
                    .writes
                    .extend(stored.map(|it| Write::Check(it.key, Expect::Version(it.version))));
                continue;
            };
            if after.held != known.held {
                after = known.promised(after.held - known.held, whose.as_deref());
            }
            side.allowed(&known, &after, authority)?;
            let cause = Cause {
                source,
                event: &movement.key,
                actor: movement.actor.as_deref(),
                reason: movement.reason.as_deref(),
                change: side.change,
            };
            let (written, row) = self.recorded(&cause, stored.as_ref(), &before, after, sources)?;
            decided.writes.extend(written);
            decided.rows.push(row);
        }
        Ok(decided)
    }

    /// One row of a history.
    pub async fn ledger_row(
        &self,
        of: &str,
        revision: u64,
    ) -> Result<Option<LedgerRow>, StoreError> {
        let stored = self
            .get("read a ledger row", &keys::ledger(of, revision))
            .await?;
        Ok(stored.map(|stored| stored.data))
    }

    fn receipt(
        &self,
        movement: &Movement,
        source: &ConnectorName,
        rows: &[LedgerRow],
        sources: &Sources,
    ) -> Result<Write, StoreError> {
        let now = self.clock().now();
        let receipt = Receipt {
            at: now,
            content: movement.fingerprint(),
            rows: rows
                .iter()
                .map(|row| (row.of.clone(), row.revision))
                .collect(),
        };
        let expires = self.forgotten_at(sources);
        let row = Row::new(keys::marker(source, &movement.key), "marker", &receipt)?;
        Ok(Write::Put(row.expires(expires), Expect::Absent))
    }

    async fn carried_out_before(
        &self,
        movement: &Movement,
        source: &ConnectorName,
    ) -> Result<Option<Moved>, ApplyError> {
        let key = keys::marker(source, &movement.key);
        let Some(receipt) = self.get::<Receipt>(OPERATION, &key).await? else {
            return Ok(None);
        };
        if receipt.data.content != movement.fingerprint() {
            return Err(ApplyError::Reused {
                event: movement.key.clone(),
                source_name: source.clone(),
            });
        }
        let mut rows = Vec::new();
        for (of, revision) in &receipt.data.rows {
            rows.extend(self.ledger_row(of, *revision).await?);
        }
        Ok(Some(Moved {
            replayed: true,
            rows,
        }))
    }
}

impl Movement {
    fn parts(&self) -> Vec<Side<'_>> {
        let change = self.act.name();
        let side = |what| Side {
            location: &self.location,
            change,
            what,
        };
        vec![match &self.act {
            Act::Receipt { quantity } | Act::Return { quantity } => side(What::Shift(*quantity)),
            Act::Adjustment { delta } => side(What::Shift(*delta)),
            Act::Sale { quantity } => side(What::Sale(*quantity)),
            Act::Count { quantity } => side(What::Count(*quantity)),
            Act::Reserve { quantity } => side(What::Reserve(*quantity)),
            Act::Release { quantity } => side(What::Release(*quantity)),
            Act::Transfer {
                quantity,
                to_location,
            } => {
                let from = Side {
                    location: &self.location,
                    change: "transfer_out",
                    what: What::Shift(-quantity),
                };
                let to = Side {
                    location: to_location,
                    change: "transfer_in",
                    what: What::Shift(*quantity),
                };
                return vec![from, to];
            }
        }]
    }

    /// When it counts. What is asked for now comes after all that is known, even where the clock of
    /// the source that stated the stock runs ahead of ours: otherwise it would take nothing away.
    fn time(&self, before: &Position, authority: &Authority, now: Timestamp) -> Timestamp {
        let covered = before.covered_until(&authority.quantities);
        // Whoever counts has counted what is left after all that moved.
        let moved = matches!(self.act, Act::Count { .. }).then(|| before.moved_until());
        let known = covered
            .max(moved.flatten())
            .and_then(|at| at.checked_add(SignedDuration::from_millis(1)).ok());
        self.at
            .unwrap_or_else(|| known.map_or(now, |known| known.max(now)))
    }

    /// What was asked for, so that a key that comes again with something else is noticed.
    fn fingerprint(&self) -> String {
        let said = json!({
            "product": self.product,
            "location": self.location,
            "act": self.act,
            "at": self.at.map(Timestamp::as_millisecond),
            "reason": self.reason,
            "actor": self.actor,
        });
        sha256_hex(said.to_string().as_bytes())
    }
}

impl Side<'_> {
    /// The change of the position.
    fn on(
        &self,
        before: &Position,
        source: &ConnectorName,
        at: Timestamp,
        authority: &Authority,
    ) -> Result<PositionChange, Refusal> {
        let promises = matches!(self.what, What::Reserve(_) | What::Release(_));
        if before.product.line().is_some() && !promises {
            return Err(Refusal::Counted);
        }
        let known = before.balance(&authority.quantities);
        // A promise outlives the statement that it was made by.
        let needs_stock = match self.what {
            What::Count(_) => false,
            What::Release(_) => before.held == 0,
            What::Shift(_) | What::Sale(_) | What::Reserve(_) => true,
        };
        if known.is_none() && needs_stock {
            return Err(Refusal::NoData);
        }
        Ok(match self.what {
            What::Shift(delta) => PositionChange::Move { at, delta },
            What::Sale(quantity) => PositionChange::Sale {
                at,
                day: authority.day(self.location, at),
                quantity,
                deducts: true,
            },
            What::Reserve(quantity) => PositionChange::Reserve(quantity),
            What::Release(quantity) => PositionChange::Release(quantity),
            // Not the difference to what is known: what is heard of later would change the number.
            What::Count(quantity) => PositionChange::Level {
                called: None,
                source: source.clone(),
                level: Level {
                    on_hand: quantity,
                    ..Level::default()
                },
                version: Version::at(at),
            },
        })
    }

    /// Refuses what would leave more promised than is there.
    fn allowed(
        &self,
        before: &Position,
        after: &Position,
        authority: &Authority,
    ) -> Result<(), Refusal> {
        let asked = match self.what {
            What::Shift(delta) if delta < 0 => -delta,
            What::Sale(quantity) => quantity,
            What::Shift(_) | What::Count(_) | What::Reserve(_) | What::Release(_) => return Ok(()),
        };
        let stock = |position: &Position| position.stock(&authority.quantities).unwrap_or_default();
        let (was, is) = (stock(before), stock(after));
        if is.backordered > was.backordered {
            return Err(Refusal::Insufficient {
                asked,
                available: was.available,
            });
        }
        Ok(())
    }
}

/// The source of what people and programs say by the API.
pub(super) fn api() -> Result<ConnectorName, StoreError> {
    API.parse()
        .map_err(|error: IdError| StoreError::aws(OPERATION, error))
}
