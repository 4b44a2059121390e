//! Reads everything anew and compares: the ledger's chains, the state that they led to, and what is
//! derived from it (F71, F82). It repairs nothing.
//!
//! The stock changes while it is looked at. The state is read before its ledger, and a difference
//! counts only if the state is still the same after it was found.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys;
use super::products::Product;
use super::row::{Page, Stored};
use super::stock::position_words;
use super::units::words;
use super::{Store, StoreError};
use crate::domain::ledger::{ChainFault, LedgerRow, check_chain};
use crate::domain::position::{Holding, Sources};
use crate::domain::unit::UnitState;
use crate::domain::{Authority, Position, ProductId, Unit};

const OPERATION: &str = "examine the ledger";
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

impl Store {
    /// Examines up to `limit` positions, vehicles or products, from a cursor on.
    pub async fn examine(
        &self,
        authority: &Authority,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<(Examined, Option<String>), StoreError> {
        let (step, inner) = match cursor {
            None => (0, None),
            Some(cursor) => {
                let (step, inner) = cursor.split_once('\u{1e}').ok_or(StoreError::Cursor)?;
                let step = step.parse::<u64>().map_err(|_| StoreError::Cursor)?;
                (step, Some(inner).filter(|inner| !inner.is_empty()))
            }
        };
        let part = usize::try_from(step / keys::LIST_SHARDS)
            .ok()
            .and_then(|index| Part::ALL.get(index))
            .copied()
            .ok_or(StoreError::Cursor)?;
        let list = part.list(step % keys::LIST_SHARDS);
        let page: Page<Stored<Value>> = self
            .list(OPERATION, &list, (None, None), false, inner, limit)
            .await?;
        let mut examined = Examined::default();
        for listed in &page.items {
            match part {
                Part::Positions => {
                    examined.positions += 1;
                    self.examine_position(&listed.key, authority, &mut examined)
                        .await?;
                }
                Part::Units => {
                    examined.units += 1;
                    self.examine_unit(&listed.key, authority, &mut examined)
                        .await?;
                }
                Part::Products => {
                    examined.products += 1;
                    self.examine_product(&listed.key, &mut examined).await?;
                }
            }
        }
        let last = u64::try_from(Part::ALL.len()).unwrap_or(u64::MAX) * keys::LIST_SHARDS - 1;
        let next = match page.next {
            Some(inner) => Some(format!("{step}\u{1e}{inner}")),
            None if step < last => Some(format!("{}\u{1e}", step + 1)),
            None => None,
        };
        Ok((examined, next))
    }

    async fn examine_position(
        &self,
        key: &keys::Key,
        authority: &Authority,
        examined: &mut Examined,
    ) -> Result<(), StoreError> {
        for _ in 0..LOOKS {
            let Some(stored) = self.get::<Position>(OPERATION, key).await? else {
                return Ok(());
            };
            let position = &stored.data;
            let of = keys::position_history(&position.product, &position.location);
            let rows = self.whole_history(&of).await?;
            let mut findings = chain(&of, &rows, position.revision, &position.chain);
            if findings.is_empty() {
                findings.extend(rows.last().and_then(|row| drift(position, row, authority)));
            }
            findings.extend(impossible(&of, position));
            findings.extend(self.miscount(&of, position).await?);
            if self
                .settled::<Position>(key, stored.version, &findings)
                .await?
            {
                examined.rows += count(&rows);
                examined.findings.extend(findings);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn examine_unit(
        &self,
        key: &keys::Key,
        authority: &Authority,
        examined: &mut Examined,
    ) -> Result<(), StoreError> {
        // The ledger shows a vehicle by the ownership of its time; a later one may read it otherwise.
        let ownership_since = self.config_head().await?.map(|head| head.data.applied_at);
        for _ in 0..LOOKS {
            let Some(stored) = self.get::<Unit>(OPERATION, key).await? else {
                return Ok(());
            };
            let unit = &stored.data;
            let of = keys::unit_history(unit.vin.as_str());
            let rows = self.whole_history(&of).await?;
            let mut findings = chain(&of, &rows, unit.revision, &unit.chain);
            let last = rows
                .last()
                .filter(|row| ownership_since.is_none_or(|since| row.at >= since));
            if let (Some(row), true) = (last, findings.is_empty()) {
                let found = words(unit, authority);
                if found != row.after {
                    findings.push(Finding {
                        detail: format!("{of}: the vehicle is not what its last ledger row says"),
                        of,
                        fault: Fault::Drift,
                        expected: row.after.clone(),
                        found,
                    });
                }
            }
            if self.settled::<Unit>(key, stored.version, &findings).await? {
                examined.rows += count(&rows);
                examined.findings.extend(findings);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn examine_product(
        &self,
        key: &keys::Key,
        examined: &mut Examined,
    ) -> Result<(), StoreError> {
        let Some(id) = key
            .pk
            .strip_prefix("P#")
            .and_then(|id| id.parse::<ProductId>().ok())
        else {
            return Ok(());
        };
        for _ in 0..LOOKS {
            let Some(stored) = self.get::<Product>(OPERATION, key).await? else {
                return Ok(());
            };
            let product = &stored.data;
            let of = keys::product_history(&id);
            let rows = self.whole_history(&of).await?;
            let mut findings = chain(&of, &rows, product.revision, &product.chain);
            let found = json!({ "title": product.title, "category": product.category });
            if let (Some(row), true) = (rows.last(), findings.is_empty())
                && row.after != found
            {
                findings.push(Finding {
                    detail: format!("{of}: the description is not what its last ledger row says"),
                    of,
                    fault: Fault::Drift,
                    expected: row.after.clone(),
                    found,
                });
            }
            if self
                .settled::<Product>(key, stored.version, &findings)
                .await?
            {
                examined.rows += count(&rows);
                examined.findings.extend(findings);
                return Ok(());
            }
        }
        Ok(())
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

    async fn whole_history(&self, of: &str) -> Result<Vec<LedgerRow>, StoreError> {
        let mut rows = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.history(of, cursor.as_deref(), PAGE).await?;
            rows.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
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

fn count(rows: &[LedgerRow]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

fn chain(of: &str, rows: &[LedgerRow], revision: u64, end: &str) -> Vec<Finding> {
    let findings = check_chain(of, rows, revision, end).into_iter();
    findings.map(Finding::from).collect()
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
/// position. The row was right in its time if some owner gives what it says, or none does.
fn drift(position: &Position, row: &LedgerRow, authority: &Authority) -> Option<Finding> {
    let found = position_words(position, &authority.quantities);
    if found == row.after || words_by_owner(position).any(|words| words == row.after) {
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

fn words_by_owner(position: &Position) -> impl Iterator<Item = Value> {
    let owners = match &position.holding {
        Holding::Counted { .. } => Vec::new(),
        Holding::Stated { bases, .. } => bases.keys().cloned().collect(),
    };
    let owned = owners.into_iter().map(|owner| Sources {
        ranking: vec![owner],
        ..Sources::default()
    });
    // In its time none of them may have been configured.
    let by_nobody = Sources {
        configured: Some(BTreeSet::new()),
        ..Sources::default()
    };
    let all = owned.chain([by_nobody]);
    all.map(|sources| position_words(position, &sources))
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
