//! The names that other systems have for our SKUs, and which of their items they still offer.
//!
//! A name can come to mean another SKU, and what it names can be archived or deleted. Positions keep
//! what is of each item, so whoever changes a name also carries that to the positions
//! ([`renames`](super::renames)). A name is marked as unsettled in the write that changes it, so that
//! after a crash the same webhook, applied again, does the rest. It stays so while its item contradicts
//! another that has the same SKU: so each webhook that says so is told of.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::renames::{Guarded, Rename, told_by};
use super::row::{Expect, Row, Stored, Write};
use super::stock::{Applied, ApplyError};
use super::{Store, StoreError, keys};
use crate::domain::ProductId;
use crate::domain::event::{Change, Offer, ProductDescription, StockEvent, Version};
use crate::domain::id::{ConnectorName, EventId, Sku};
use crate::domain::item::{Dated, ItemStatement, Standing};
use crate::domain::position::{Sources, of_item};

const OPERATION: &str = "learn a name";
/// Names that are looked up side by side.
const LOOKED_UP_AT_ONCE: usize = 12;

/// What another system's name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalName {
    /// The SKU, once it was described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// When that was last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Since when it stands for that, where that was said more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Version>,
    /// Until when it stood for another SKU, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Version>,
    /// The other names of the same thing, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub beside: BTreeMap<String, String>,
    /// Whether its system still offers what it names, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Dated<bool>>,
    /// The SKUs that it stood for before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Sku>,
    /// Positions may not have it yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
    /// The event that named it, while positions may not have that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    named_by: Option<EventId>,
    /// The event that said whether it is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offered_by: Option<EventId>,
}

impl ExternalName {
    /// Since when it stands for its SKU, and whether what it names is offered.
    pub fn standing(&self) -> Standing {
        Standing {
            named: self.since(),
            offered: self.offered,
            offered_by: self.offered_by.clone(),
        }
    }

    /// Since when it stands for its SKU, as far as that is known.
    pub(super) fn since(&self) -> Option<Version> {
        self.since.or(self.version)
    }

    /// What positions call the thing of this name, and its other names.
    pub(super) fn names(&self, source: &ConnectorName, kind: &str, name: &str) -> Vec<String> {
        let beside = self.beside.iter();
        let beside = beside.map(|(kind, name)| item_name(kind, name));
        let names = std::iter::once(item_name(kind, name)).chain(beside);
        names.map(|name| of_item(source, &name)).collect()
    }

    /// Takes in what it is said to stand for, in any order. It is unsettled where positions do not have that
    /// yet.
    fn named(&mut self, sku: &Sku, version: Version, event: &EventId) {
        let (mut carry, since) = (false, self.since());
        let is_same = self.sku.as_ref() == Some(sku);
        match self.version {
            Some(known) if known == version => {}
            // What it was called before is heard of late.
            Some(known) if known > version => {
                let is_since = self.before.is_none_or(|before| before < version);
                if is_same && is_since && Some(version) < self.since() {
                    self.since = Some(version);
                    carry = true;
                }
                if !is_same && !self.former.contains(sku) {
                    self.former.insert(0, sku.clone());
                    carry = true;
                }
                if !is_same && is_since {
                    self.before = Some(version);
                    // Of the time between the two only the end is known.
                    let since = self.since.filter(|since| *since > version);
                    self.since = since;
                }
            }
            known => {
                if is_same {
                    self.since = self.since.or(known);
                } else {
                    self.since = None;
                    self.before = known;
                }
                if let Some(old) = self.sku.replace(sku.clone()).filter(|old| old != sku) {
                    self.former.retain(|former| former != sku && *former != old);
                    self.former.push(old);
                    carry = true;
                }
                self.version = Some(version);
            }
        }
        // Also where only since when it stands for its SKU is known better: positions have that, too.
        if carry || since.is_some() && self.since() != since {
            self.unsettled = true;
            self.named_by = Some(event.clone());
        }
    }
}

/// Which items a source's product has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Items {
    version: Option<Version>,
    /// The event that was the newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said_by: Option<EventId>,
    /// Whether the newest version listed all of them.
    complete: bool,
    offered: Option<bool>,
    /// Each item that it ever had, and whether the newest version has it.
    names: BTreeMap<String, bool>,
}

impl Items {
    /// The same once `offer` was heard too, in any order.
    fn joined(&self, event: &EventId, offer: &Offer) -> Self {
        let mut next = self.clone();
        let version = offer.version.kept();
        if self.version.is_none_or(|known| known < version) {
            if offer.complete {
                next.names.values_mut().for_each(|listed| *listed = false);
            }
            next.names
                .extend(offer.names.iter().map(|name| (name.clone(), true)));
            next.complete = offer.complete;
            next.offered = offer.offered.or(next.offered);
            next.version = Some(version);
            next.said_by = Some(event.clone());
        } else {
            for name in &offer.names {
                let listed = !self.complete;
                next.names.entry(name.clone()).or_insert(listed);
            }
        }
        next
    }
}

impl Store {
    /// What a connector's name of this kind (`inventory_item`) stands for.
    pub async fn external_name(
        &self,
        connector: &ConnectorName,
        kind: &str,
        name: &str,
    ) -> Result<Option<ExternalName>, StoreError> {
        let stored = self.stored_name(connector, kind, name).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// What several of a connector's names stand for, each with its kind.
    pub async fn external_names(
        &self,
        connector: &ConnectorName,
        names: Vec<(&str, &str)>,
    ) -> Result<Vec<Option<ExternalName>>, StoreError> {
        let found = names.into_iter().map(async |(kind, name)| {
            match self.external_name(connector, kind, name).await {
                // A name longer than any that can be stored is nobody's name.
                Err(error) if error.is_lasting() => Ok(None),
                found => found,
            }
        });
        // Made first and run after: a stream of async closures is not `Send` for every lifetime.
        let found: Vec<_> = found.collect();
        stream::iter(found)
            .buffered(LOOKED_UP_AT_ONCE)
            .try_collect()
            .await
    }

    /// The SKU that a connector's name of this kind stands for.
    pub async fn sku_of(
        &self,
        connector: &ConnectorName,
        kind: &str,
        name: &str,
    ) -> Result<Option<Sku>, StoreError> {
        let known = self.external_name(connector, kind, name).await?;
        Ok(known.and_then(|known| known.sku))
    }

    pub(super) async fn stored_name(
        &self,
        connector: &ConnectorName,
        kind: &str,
        name: &str,
    ) -> Result<Option<Stored<ExternalName>>, StoreError> {
        self.get("look up a name", &keys::external(connector, kind, name))
            .await
    }

    /// Notes that one of the names of a description stands for its SKU since then, and applies what
    /// waited for the name; whether that was not known.
    pub(super) async fn learn_name(
        &self,
        event: &StockEvent,
        described: &ProductDescription,
        (kind, name): (&str, &str),
        sources: &Sources,
    ) -> Result<bool, ApplyError> {
        let (sku, version) = (&described.sku, described.version.kept());
        let mut beside = described.external.clone();
        beside.remove(kind);
        let changed = self
            .change_name(event, (kind, name), sources, |known| {
                let is_newer = known.version.is_none_or(|known| known < version);
                known.named(sku, version, &event.id);
                if is_newer && !beside.is_empty() {
                    known.beside.clone_from(&beside);
                }
            })
            .await;
        if matches!(changed, Ok(_) | Err(ApplyError::SameSku { .. })) {
            if beside.is_empty() {
                // Its other names stand for the same, where the sender does not say them.
                let known = self.external_name(&event.source, kind, name).await?;
                for (kind, name) in known.into_iter().flat_map(|it| it.beside) {
                    let named = |other: &mut ExternalName| other.named(sku, version, &event.id);
                    let other = self.change_name(event, (&kind, &name), sources, named);
                    // Boxed, as it is rare.
                    other.boxed().await?;
                }
            }
            // Also where the name was known: whoever learnt it may have stopped right after.
            self.release_waiting(&event.source, kind, name).await?;
        }
        changed
    }

    /// Notes which of its items a source offers.
    pub(super) async fn apply_offer(
        &self,
        event: &StockEvent,
        offer: &Offer,
        sources: &Sources,
    ) -> Result<Applied, ApplyError> {
        let mut changed = false;
        let mut said = event.clone();
        let (names, version) = match &offer.product {
            Some(product) => {
                let items = self.join_items(event, product, offer).await?;
                // Whoever said it may have stopped before it was carried: it is his word all the same.
                said = said_by(&said, items.said_by.as_ref());
                let offered = items.offered.unwrap_or(true);
                let names: Vec<_> = items
                    .names
                    .into_iter()
                    .map(|(name, listed)| (name, offered && listed))
                    .collect();
                (names, items.version.unwrap_or(offer.version))
            }
            None => {
                let names = offer.names.iter();
                let offered = offer.offered.unwrap_or(true);
                let names = names.map(|name| (name.clone(), offered)).collect();
                (names, offer.version)
            }
        };
        let event = &said;
        let version = version.kept();
        let mut clash = None;
        for (name, value) in names {
            let one = self
                .change_name(event, (&offer.kind, &name), sources, |known| {
                    let standing = known.offered.is_none_or(|offered| offered.value);
                    let newer = known.offered.is_none_or(|offered| {
                        (offered.version, !offered.value) < (version, !value)
                    });
                    // A repeated end takes the later date, since a description in between may have dated
                    // the name later.
                    if newer && !(value && standing) {
                        known.offered = Some(Dated { version, value });
                        known.offered_by = Some(event.id.clone());
                        known.unsettled = true;
                    }
                })
                .await;
            changed |= set_aside(one, &mut clash)?.unwrap_or(true);
        }
        if let Some(clash) = clash {
            return Err(clash);
        }
        Ok(if changed {
            Applied::Changed
        } else {
            Applied::Known
        })
    }

    async fn join_items(
        &self,
        event: &StockEvent,
        product: &str,
        offer: &Offer,
    ) -> Result<Items, StoreError> {
        let key = keys::external_items(&event.source, &offer.kind, product);
        for attempt in 0.. {
            let stored = self.get::<Items>(OPERATION, &key).await?;
            let before = stored
                .as_ref()
                .map(|it| it.data.clone())
                .unwrap_or_default();
            let after = before.joined(&event.id, offer);
            if after == before {
                return Ok(after);
            }
            let row = Row::new(key.clone(), "items", &after)?;
            let expect = Expect::from_read(stored.as_ref());
            if self.put(OPERATION, row, expect).await? {
                return Ok(after);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Changes what is known of a name, and carries it to the positions; whether anything changed.
    async fn change_name(
        &self,
        event: &StockEvent,
        (kind, name): (&str, &str),
        sources: &Sources,
        change: impl Fn(&mut ExternalName) + Send,
    ) -> Result<bool, ApplyError> {
        let key = keys::external(&event.source, kind, name);
        for attempt in 0.. {
            let stored = self.get::<ExternalName>(OPERATION, &key).await?;
            let before = stored
                .as_ref()
                .map(|it| it.data.clone())
                .unwrap_or_default();
            let mut after = before.clone();
            change(&mut after);
            if after != before {
                let mut writes = Vec::new();
                let mut taken = None;
                let has_another = after.sku.clone().filter(|_| after.sku != before.sku);
                if let Some((sku, since)) = has_another.zip(after.since()) {
                    let (product, item) = (ProductId::from(sku), item_name(kind, name));
                    let names = after.names(&event.source, kind, name);
                    let told_by = told_by(&names).cloned().unwrap_or_default();
                    let item = (&event.source, item.as_str(), told_by);
                    let is_renamed = before.sku.is_some();
                    let has_name = self.has_name(&product, since, item, is_renamed);
                    let (write, from, was_left) = has_name.await?;
                    writes.extend(write);
                    taken = from.map(|from| (from, product));
                    // What was ordered of it may be booked as what had the SKU before.
                    if was_left && !after.unsettled {
                        after.unsettled = true;
                        after.named_by = Some(event.id.clone());
                    }
                }
                let row = Row::new(key.clone(), "external", &after)?;
                writes.push(Write::Put(row, Expect::from_read(stored.as_ref())));
                if self.guarded(None, writes).await? != Guarded::Done {
                    self.after_conflict(OPERATION, attempt).await?;
                    continue;
                }
                if let Some((from, product)) = taken {
                    self.forget_name(&from, &product).await?;
                }
            }
            if after.unsettled {
                // Boxed, as it is rare, and would be part of every future that applies anything.
                let settled = self.settle_name(event, kind, name, sources);
                settled.boxed().await?;
            }
            let said =
                |it: &ExternalName| (it.sku.clone(), it.version, it.former.clone(), it.offered);
            return Ok(said(&after) != said(&before));
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Carries what is known of a name to the positions that have something stated under it. May be
    /// repeated.
    pub async fn settle_name(
        &self,
        event: &StockEvent,
        kind: &str,
        name: &str,
        sources: &Sources,
    ) -> Result<(), ApplyError> {
        for attempt in 0.. {
            let Some(stored) = self.stored_name(&event.source, kind, name).await? else {
                return Ok(());
            };
            if self
                .settle_as(event, &stored, (kind, name), sources)
                .await?
            {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Carries what is known of a name; `false` where that has changed meanwhile.
    async fn settle_as(
        &self,
        event: &StockEvent,
        stored: &Stored<ExternalName>,
        (kind, name): (&str, &str),
        sources: &Sources,
    ) -> Result<bool, ApplyError> {
        let known = &stored.data;
        let item = item_name(kind, name);
        let mut clash = None;
        // Whoever said it may have stopped before it was carried: it is his word all the same.
        let named = said_by(event, known.named_by.as_ref());
        let offered = said_by(&named, known.offered_by.as_ref());
        if let Some(rename) = Rename::of(&named, &event.source, stored, (kind, name)) {
            let product = &rename.to;
            for old in &known.former {
                if !self.leave(&rename, &old.clone().into(), sources).await? {
                    return Ok(false);
                }
            }
            let had = known.former.iter().cloned().map(ProductId::from);
            let had = had.chain([product.clone()]).collect();
            if !self.call_home(&rename, had, sources).await? {
                return Ok(false);
            }
            for position in self.positions_of(product).await? {
                if let Some(there) = position.item(&event.source, &item) {
                    let has_that = there.offered == known.offered;
                    let cause = if has_that { &named } else { &offered };
                    let said = ItemStatement {
                        product: product.clone(),
                        location: position.location.clone(),
                        item: item.clone(),
                        level: None,
                        offered: known.offered,
                        named: Some(rename.since),
                        called: None,
                        offered_by: None,
                    };
                    let said = self.say(cause, said, sources).await;
                    set_aside(said, &mut clash)?;
                }
            }
            self.bring_rules_back(&rename).await?;
            if !known.former.is_empty() {
                self.has_come(&rename).await?;
            }
        }
        if let Some(clash) = clash {
            return Err(clash);
        }
        if known.unsettled {
            let settled = ExternalName {
                unsettled: false,
                named_by: None,
                ..known.clone()
            };
            let row = Row::new(stored.key.clone(), "external", &settled)?;
            // Whoever changed it since then settles that.
            self.put(OPERATION, row, Expect::Version(stored.version))
                .await?;
        }
        Ok(true)
    }

    /// Applies what follows from a name for one position.
    async fn say(
        &self,
        event: &StockEvent,
        said: ItemStatement,
        sources: &Sources,
    ) -> Result<(), ApplyError> {
        let event = StockEvent {
            change: Change::Item(Box::new(said.clone())),
            ..event.clone()
        };
        match self.apply_item(&event, &said, sources).await {
            Err(ApplyError::Refused(refusal)) => {
                tracing::warn!(source = %event.source, item = said.item, %refusal, "a name does not reach a position");
                Ok(())
            }
            said => {
                let (_, _, clash) = said?;
                clash.map_or(Ok(()), Err)
            }
        }
    }
}

/// The event, in the name of the one that said it. Who brought that one is not known any more.
fn said_by(event: &StockEvent, said: Option<&EventId>) -> StockEvent {
    match said {
        Some(said) if *said != event.id => StockEvent {
            id: said.clone(),
            actor: None,
            ..event.clone()
        },
        _ => event.clone(),
    }
}

/// Keeps the first contradiction for when all else is done.
pub(super) fn set_aside<T>(
    outcome: Result<T, ApplyError>,
    clash: &mut Option<ApplyError>,
) -> Result<Option<T>, ApplyError> {
    match outcome {
        Ok(outcome) => Ok(Some(outcome)),
        Err(error @ ApplyError::SameSku { .. }) => {
            clash.get_or_insert(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How a position names an item.
pub fn item_name(kind: &str, name: &str) -> String {
    format!("{kind} {name}")
}
