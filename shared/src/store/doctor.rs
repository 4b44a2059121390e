//! Reads everything anew and compares: the ledger's chains, the state that they led to, and what is
//! derived from it. It repairs nothing.
//!
//! The stock changes while it is looked at. The state is read before its ledger, and a difference
//! counts only if the state is still the same after it was found.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys;
use super::products::{Product, words as product_words};
use super::row::{Page, Stored};
use super::stock::position_words;
use super::units::words;
use super::{Store, StoreError};
use crate::domain::ledger::{ChainCheck, ChainFault, LedgerRow};
use crate::domain::position::{Holding, Sources};
use crate::domain::unit::UnitState;
use crate::domain::{Authority, Position, ProductId, Unit};

const OPERATION: &str = "examine the ledger";
/// Rows of ledgers that one call reads, a page more or less.
const ROWS: u64 = 2_000;
/// How often something that changes under the examination is looked at again.
const LOOKS: u32 = 5;
const PAGE: i32 = 200;

/// What is wrong with something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about, as the ledger names it.
    pub of: String,
    /// What kind of inconsistency it is.
    pub fault: Fault,
    /// What should stand there.
    pub expected: Value,
    /// What does.
    pub found: Value,
    /// The same in words.
    pub detail: String,
}

/// The kinds of inconsistency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A ledger row is missing, or stands twice.
    Gap,
    /// A ledger row was edited.
    Altered,
    /// A ledger row does not continue the one before it.
    Broken,
    /// The ledger does not end where the state says.
    End,
    /// The state is not what the ledger says it became.
    Drift,
    /// A position is not the sum of its vehicles.
    Miscount,
    /// Movements or sales of an item are under a SKU that it has left.
    Astray,
    /// A quantity that cannot be: below zero, or more reserved than there is.
    Impossible,
}

/// What one page of the examination looked at, and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// Positions looked at.
    pub positions: u64,
    /// Vehicles looked at.
    pub units: u64,
    /// Products looked at.
    pub products: u64,
    /// Ledger rows looked at.
    pub rows: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What is listed, in the order in which it is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Positions,
    Units,
    Products,
}

impl Part {
    const ALL: [Self; 3] = [Self::Positions, Self::Units, Self::Products];

    fn list(self, shard: u64) -> String {
        match self {
            Self::Positions => keys::positions_list(shard),
            Self::Units => keys::units_list(shard),
            Self::Products => keys::products_list(shard),
        }
    }
}

/// Where the examination goes on.
#[derive(Default)]
struct Place {
    /// The part, and the shard of its list.
    step: u64,
    /// Where the page begins.
    page: Option<String>,
    /// What is being examined, if its ledger is longer than one call reads.
    within: Option<Within>,
}

/// How far the ledger of one thing was examined.
struct Within {
    key: keys::Key,
    revision: u64,
    hash: String,
}

/// What came of a look at one thing.
struct Look {
    findings: Vec<Finding>,
    /// Where it goes on, if it is not over.
    within: Option<Within>,
}

impl Look {
    const fn over(findings: Vec<Finding>) -> Self {
        Self {
            findings,
            within: None,
        }
    }
}

/// A ledger that was read to its end, or as far as one call may.
enum Read {
    Whole {
        findings: Vec<Finding>,
        last: Option<LedgerRow>,
    },
    Part(Look),
}

/// Parts a cursor's fields; stands in none of them.
const SEPARATOR: char = '\u{1e}';

impl Place {
    fn read(cursor: &str) -> Option<Self> {
        let fields: Vec<_> = cursor.split(SEPARATOR).collect();
        let (&[step, page], rest) = fields.split_first_chunk()?;
        let within = match rest {
            [] => None,
            &[pk, sk, revision, hash] => Some(Within {
                key: keys::Key::new(pk, sk),
                revision: revision.parse().ok()?,
                hash: hash.to_owned(),
            }),
            _ => return None,
        };
        Some(Self {
            step: step.parse().ok()?,
            page: Some(page.to_owned()).filter(|page| !page.is_empty()),
            within,
        })
    }

    fn written(&self) -> String {
        let page = self.page.as_deref().unwrap_or_default();
        let mut fields = vec![self.step.to_string(), page.to_owned()];
        if let Some(Within {
            key,
            revision,
            hash,
        }) = &self.within
        {
            let place = [&key.pk, &key.sk, &revision.to_string(), hash];
            fields.extend(place.map(String::clone));
        }
        fields.join(&SEPARATOR.to_string())
    }
}

impl Store {
    /// Examines up to `limit` positions, vehicles or products, from a cursor on, and of their ledgers so
    /// many rows that a caller need not wait for long.
    pub async fn examine(
        &self,
        authority: &Authority,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<(Examined, Option<String>), StoreError> {
        let place = match cursor {
            None => Place::default(),
            Some(cursor) => Place::read(cursor).ok_or(StoreError::Cursor)?,
        };
        let part = usize::try_from(place.step / keys::LIST_SHARDS)
            .ok()
            .and_then(|index| Part::ALL.get(index))
            .copied()
            .ok_or(StoreError::Cursor)?;
        let list = part.list(place.step % keys::LIST_SHARDS);
        let from = place.page.as_deref();
        let page: Page<Stored<Value>> = self
            .list(OPERATION, &list, (None, None), false, from, limit)
            .await?;
        let mut examined = Examined::default();
        // Where it is not listed any more, the page is examined anew.
        let is_here = |within: &Within| {
            page.items
                .iter()
                .position(|listed| listed.key == within.key)
        };
        let first = place.within.as_ref().and_then(is_here);
        let within = place.within.as_ref().filter(|_| first.is_some());
        for (index, listed) in page.items.iter().enumerate().skip(first.unwrap_or(0)) {
            let within = within.filter(|_| Some(index) == first);
            let key = &listed.key;
            let rows = &mut examined.rows;
            let look = match part {
                Part::Positions => self.examine_position(key, authority, within, rows).await?,
                Part::Units => self.examine_unit(key, authority, within, rows).await?,
                Part::Products => self.examine_product(key, authority, within, rows).await?,
            };
            examined.findings.extend(look.findings);
            if let Some(within) = look.within {
                let place = Place {
                    within: Some(within),
                    ..place
                };
                return Ok((examined, Some(place.written())));
            }
            match part {
                Part::Positions => examined.positions += 1,
                Part::Units => examined.units += 1,
                Part::Products => examined.products += 1,
            }
        }
        let last = u64::try_from(Part::ALL.len()).unwrap_or(u64::MAX) * keys::LIST_SHARDS - 1;
        let next = match page.next {
            Some(_) => Some((place.step, page.next)),
            None if place.step < last => Some((place.step + 1, None)),
            None => None,
        };
        let next = next.map(|(step, page)| Place {
            step,
            page,
            within: None,
        });
        Ok((examined, next.map(|place| place.written())))
    }

    async fn examine_position(
        &self,
        key: &keys::Key,
        authority: &Authority,
        within: Option<&Within>,
        rows: &mut u64,
    ) -> Result<Look, StoreError> {
        for _ in 0..LOOKS {
            let Some(stored) = self.get::<Position>(OPERATION, key).await? else {
                break;
            };
            let position = &stored.data;
            let of = keys::position_history(&position.product, &position.location);
            let state = (position.revision, position.chain.as_str());
            let read = self.ledger(&of, key, state, within, rows).await?;
            let (mut findings, last) = match read {
                Read::Whole { findings, last } => (findings, last),
                Read::Part(look) => return Ok(look),
            };
            if findings.is_empty() {
                findings.extend(last.and_then(|row| drift(position, &row, authority)));
            }
            findings.extend(impossible(&of, position));
            findings.extend(astray(&of, position));
            findings.extend(self.miscount(&of, position).await?);
            if self
                .settled::<Position>(key, stored.version, &findings)
                .await?
            {
                return Ok(Look::over(findings));
            }
        }
        Ok(Look::over(Vec::new()))
    }

    async fn examine_unit(
        &self,
        key: &keys::Key,
        authority: &Authority,
        within: Option<&Within>,
        rows: &mut u64,
    ) -> Result<Look, StoreError> {
        let ownership_since = self.ownership_since().await?;
        for _ in 0..LOOKS {
            let Some(stored) = self.get::<Unit>(OPERATION, key).await? else {
                break;
            };
            let unit = &stored.data;
            let of = keys::unit_history(unit.vin.as_str());
            let state = (unit.revision, unit.chain.as_str());
            let read = self.ledger(&of, key, state, within, rows).await?;
            let (mut findings, last) = match read {
                Read::Whole { findings, last } => (findings, last),
                Read::Part(look) => return Ok(look),
            };
            let last = last.filter(|row| ownership_since.is_none_or(|since| row.at >= since));
            if let (Some(row), true) = (last, findings.is_empty()) {
                let mut found = words(unit, authority);
                // Rows of earlier versions say so while nobody has stated any.
                let removed = json!(UnitState::Removed);
                if found["state"].is_null() && row.after["state"] == removed {
                    found["state"] = removed;
                }
                let detail = || format!("{of}: the vehicle is not what its last ledger row says");
                findings.extend(differs(&of, &row, found, detail));
            }
            if self.settled::<Unit>(key, stored.version, &findings).await? {
                return Ok(Look::over(findings));
            }
        }
        Ok(Look::over(Vec::new()))
    }

    /// Since when the ledger shows vehicles and products by the ownership of today: a row from before
    /// may be read otherwise.
    async fn ownership_since(&self) -> Result<Option<Timestamp>, StoreError> {
        let head = self.config_head().await?;
        Ok(head.map(|head| head.data.applied_at))
    }

    async fn examine_product(
        &self,
        key: &keys::Key,
        authority: &Authority,
        within: Option<&Within>,
        rows: &mut u64,
    ) -> Result<Look, StoreError> {
        let id = key.pk.strip_prefix("P#");
        let Some(id) = id.and_then(|id| id.parse::<ProductId>().ok()) else {
            return Ok(Look::over(Vec::new()));
        };
        let ownership_since = self.ownership_since().await?;
        for _ in 0..LOOKS {
            let Some(stored) = self.get::<Product>(OPERATION, key).await? else {
                break;
            };
            let product = &stored.data;
            let of = keys::product_history(&id);
            let state = (product.revision, product.chain.as_str());
            let read = self.ledger(&of, key, state, within, rows).await?;
            let (mut findings, last) = match read {
                Read::Whole { findings, last } => (findings, last),
                Read::Part(look) => return Ok(look),
            };
            let last = last.filter(|row| ownership_since.is_none_or(|since| row.at >= since));
            if let (Some(row), true) = (last, findings.is_empty()) {
                let found = product_words(product, &authority.quantities);
                let detail =
                    || format!("{of}: the description is not what its last ledger row says");
                findings.extend(differs(&of, &row, found, detail));
            }
            if self
                .settled::<Product>(key, stored.version, &findings)
                .await?
            {
                return Ok(Look::over(findings));
            }
        }
        Ok(Look::over(Vec::new()))
    }

    /// Whether findings can be trusted: the state has not moved on since it was read.
    async fn settled<T: serde::de::DeserializeOwned>(
        &self,
        key: &keys::Key,
        version: u64,
        findings: &[Finding],
    ) -> Result<bool, StoreError> {
        if findings.is_empty() {
            return Ok(true);
        }
        let now = self.get::<T>(OPERATION, key).await?;
        Ok(now.is_some_and(|now| now.version == version))
    }

    /// Reads a ledger against the state that it led to, from where the last call stopped, and no further
    /// than one call may.
    async fn ledger(
        &self,
        of: &str,
        key: &keys::Key,
        (revision, chain): (u64, &str),
        within: Option<&Within>,
        rows: &mut u64,
    ) -> Result<Read, StoreError> {
        let mut check = within.map_or_else(
            || ChainCheck::of(of),
            |within| ChainCheck::after(of, within.revision, &within.hash),
        );
        let before = within.map(|within| keys::ledger(of, within.revision));
        let mut cursor = before.as_ref().map(|key| key.sk.clone());
        let mut last = None;
        loop {
            let page = self.history(of, cursor.as_deref(), PAGE).await?;
            for row in page.items {
                *rows += 1;
                check.row(&row);
                last = Some(row);
            }
            cursor = page.next;
            if cursor.is_none() || check.is_cut() {
                break;
            }
            if *rows >= ROWS {
                let (revision, hash) = check.place();
                let within = Within {
                    key: key.clone(),
                    revision,
                    hash: hash.to_owned(),
                };
                let findings = check.faults().into_iter().map(Finding::from).collect();
                return Ok(Read::Part(Look {
                    findings,
                    within: Some(within),
                }));
            }
        }
        if let (None, Some(before)) = (&last, before) {
            let stored = self.get::<LedgerRow>(OPERATION, &before).await?;
            last = stored.map(|stored| stored.data);
        }
        let faults = check.end(revision, chain).into_iter();
        let findings = faults.map(Finding::from).collect();
        Ok(Read::Whole { findings, last })
    }

    /// A position that is counted from vehicles, against the vehicles.
    async fn miscount(&self, of: &str, position: &Position) -> Result<Option<Finding>, StoreError> {
        let Holding::Counted {
            on_hand,
            reserved,
            incoming,
        } = position.holding
        else {
            return Ok(None);
        };
        let held = [on_hand, reserved, incoming];
        let summed = self.sum_of_units(position).await?;
        if held == summed {
            return Ok(None);
        }
        let shown = |[on_hand, reserved, incoming]: [i64; 3]| json!({ "on_hand": on_hand, "reserved": reserved, "incoming": incoming });
        Ok(Some(Finding {
            of: of.to_owned(),
            fault: Fault::Miscount,
            expected: shown(summed),
            found: shown(held),
            detail: format!("{of}: the position is not the sum of its vehicles"),
        }))
    }

    async fn sum_of_units(&self, position: &Position) -> Result<[i64; 3], StoreError> {
        let from = keys::units_place(&position.product, &position.location, "");
        let until = format!("{from}\u{10ffff}");
        let mut sum = [0_i64; 3];
        for shard in 0..keys::LIST_SHARDS {
            let list = keys::units_list(shard);
            let mut cursor: Option<String> = None;
            loop {
                let bounds = (Some(from.as_str()), Some(until.as_str()));
                let page: Page<Stored<Unit>> = self
                    .list(OPERATION, &list, bounds, false, cursor.as_deref(), PAGE)
                    .await?;
                for unit in page.items {
                    let counts = unit.data.counted.map(|it| it.state).map(UnitState::counts);
                    for (sum, count) in sum.iter_mut().zip(counts.unwrap_or_default()) {
                        *sum += count;
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(sum)
    }
}

/// Something that is not what its last ledger row says.
fn differs(
    of: &str,
    row: &LedgerRow,
    found: Value,
    detail: impl Fn() -> String,
) -> Option<Finding> {
    (row.after != found).then(|| Finding {
        of: of.to_owned(),
        fault: Fault::Drift,
        expected: row.after.clone(),
        found,
        detail: detail(),
    })
}

impl From<ChainFault> for Finding {
    fn from(fault: ChainFault) -> Self {
        let detail = fault.to_string();
        let (of, kind, expected, found) = match fault {
            ChainFault::Gap {
                of,
                expected,
                found,
            } => (of, Fault::Gap, json!(expected), json!(found)),
            ChainFault::Altered { of, revision } => (
                of,
                Fault::Altered,
                json!("the row as it was sealed"),
                json!({ "revision": revision }),
            ),
            ChainFault::Broken { of, revision } => (
                of,
                Fault::Broken,
                json!("the hash of the row before"),
                json!({ "revision": revision }),
            ),
            ChainFault::End {
                of,
                expected,
                found,
            } => (of, Fault::End, json!(expected), json!(found)),
        };
        Self {
            of,
            fault: kind,
            expected,
            found,
            detail,
        }
    }
}

/// A position that is not what its last ledger row says.
///
/// Its stock is read by who owns the quantity, which a configuration may change without a change of the
/// position. The row was right in its time if some owner gives what it says.
fn drift(position: &Position, row: &LedgerRow, authority: &Authority) -> Option<Finding> {
    let found = position_words(position, &authority.quantities);
    let mut words = words_by_owner(position).chain([found.clone()]);
    if words.any(|words| words == row.after || without_promises(&words) == row.after) {
        return None;
    }
    Some(Finding {
        of: row.of.clone(),
        fault: Fault::Drift,
        expected: row.after.clone(),
        found,
        detail: format!("{}: the stock is not what its last ledger row says", row.of),
    })
}

/// As rows of earlier versions say it while nobody states how much there is.
fn without_promises(words: &Value) -> Value {
    match &words["sold"] {
        _ if words.get("on_hand").is_some() => words.clone(),
        Value::Number(sold) if sold.as_i64() != Some(0) => json!({ "sold": sold }),
        _ => Value::Null,
    }
}

fn words_by_owner(position: &Position) -> impl Iterator<Item = Value> {
    let owners = match &position.holding {
        Holding::Counted { .. } => Vec::new(),
        Holding::Stated { bases, .. } => bases.keys().cloned().collect(),
    };
    owners.into_iter().map(|owner| {
        let sources = Sources {
            ranking: vec![owner],
            ..Sources::default()
        };
        position_words(position, &sources)
    })
}

/// What is known of an item that has left the SKU goes along with it.
fn astray(of: &str, position: &Position) -> Option<Finding> {
    let left = position.parts_of();
    let mut left = left.filter_map(|name| Some((name, position.gone.get(name)?)));
    let (item, now) = left.next()?;
    Some(Finding {
        of: of.to_owned(),
        fault: Fault::Astray,
        expected: json!({ item: now }),
        found: json!({ item: position.product }),
        detail: format!("{of}: of {item}, which is {now} now, something is still here"),
    })
}

fn impossible(of: &str, position: &Position) -> Option<Finding> {
    let mut quantities = BTreeMap::from([("held", position.held)]);
    let mut more_reserved = false;
    if let Holding::Counted {
        on_hand,
        reserved,
        incoming,
    } = position.holding
    {
        quantities.extend([
            ("on_hand", on_hand),
            ("reserved", reserved),
            ("incoming", incoming),
        ]);
        more_reserved = reserved > on_hand;
    }
    let negative = quantities.values().any(|quantity| *quantity < 0);
    (negative || more_reserved).then(|| Finding {
        of: of.to_owned(),
        fault: Fault::Impossible,
        expected: json!("no quantity below zero, and no more reserved than on hand"),
        found: json!(quantities),
        detail: format!("{of}: its quantities cannot be"),
    })
}
