//! Products that are renamed, and how whoever uses the old SKU reaches them.
//!
//! Whoever learns that an item has another SKU first writes where it went, then carries what is of the
//! item in each position there, old and new in one transaction ([`Position::left_by`]). A position that
//! was carried says so, and a change that was not carried yet is there to be carried: so every change of
//! the old SKU, before, while and after, ends up at the new one once. What waits for that is marked with
//! the name, which is settled again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys;
use super::names::{ExternalName, item_name};
use super::row::{Expect, Row, Stored, Write, Written, read};
use super::settings::rule_row;
use super::stock::{Applied, ApplyError, Cause, standing};
use super::{Store, StoreError};
use crate::domain::authority::API;
use crate::domain::event::{StockEvent, Version};
use crate::domain::id::{ConnectorName, LocationId, RuleId};
use crate::domain::item::Dated;
use crate::domain::position::{PositionChange, Sources, Whose, of_item};
use crate::domain::renamed::{Leaving, Renamed};
use crate::domain::rule::Rule;
use crate::domain::{Position, ProductId};

const OPERATION: &str = "rename a product";

/// The SKUs of a product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Names {
    /// Under which it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renamed: Option<Renamed>,
    /// Which it had before, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) formerly: Vec<ProductId>,
    /// Items that had this SKU, by name, and where they went.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) gone: BTreeMap<String, ProductId>,
    /// Items that have this SKU now, and whose stock may still be under the old one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) coming: BTreeSet<String>,
    /// Items that got this SKU from another, or after another had left it, and since when. Whoever has left it
    /// since is in `gone` too, and is kept here as there: it may be carried once more, and what was counted
    /// before it came is not its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) came: BTreeMap<String, Version>,
    /// Something else has it only as a source went on to state it: no item has taken it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) stated: bool,
}

impl Names {
    /// Whether items have left the SKU, and no other item has taken it since.
    fn were_left(&self) -> bool {
        let is_taken = self.renamed.as_ref().is_some_and(|it| it.taken);
        !self.gone.is_empty() && (self.stated || !is_taken)
    }
}

/// An item of a source that is renamed.
pub(super) struct Rename<'a> {
    /// Because of what it is carried.
    pub(super) event: &'a StockEvent,
    /// Whose item it is.
    pub(super) source: &'a ConnectorName,
    pub(super) item: String,
    /// What positions call it, and its other names.
    pub(super) names: Vec<String>,
    pub(super) to: ProductId,
    pub(super) since: Version,
    /// Whether its source offers it, if that was said.
    pub(super) offered: Option<Dated<bool>>,
    /// That this is still what is known of the item's name. Without it a rename that is carried late would
    /// take back what a newer one has carried meanwhile.
    pub(super) guard: Write,
    /// Where another source states the old SKU no longer, and how that ends: in one write with what is carried.
    over: Option<(&'a LocationId, &'a PositionChange)>,
}

impl<'e> Rename<'e> {
    /// What a name stands for as a rename, if it has a SKU.
    pub(super) fn of(
        event: &'e StockEvent,
        source: &'e ConnectorName,
        stored: &Stored<ExternalName>,
        (kind, name): (&str, &str),
    ) -> Option<Self> {
        let known = &stored.data;
        let (sku, since) = known.sku.as_ref().zip(known.since())?;
        Some(Self {
            event,
            source,
            names: known.names(source, kind, name),
            item: item_name(kind, name),
            to: sku.clone().into(),
            since,
            offered: known.offered,
            guard: Write::Check(stored.key.clone(), Expect::Version(stored.version)),
            over: None,
        })
    }

    /// A position under the old SKU, with what ends there.
    fn ended(&self, position: &Position, sources: &Sources) -> Result<Position, ApplyError> {
        let over = self.over.filter(|(at, _)| **at == position.location);
        let ended = match over {
            Some((_, change)) => position.after(change, sources)?,
            None => None,
        };
        Ok(ended.unwrap_or_else(|| position.clone()))
    }

    fn leaving<'a>(&'a self, beside: &'a Beside) -> Leaving<'a> {
        Leaving {
            came: beside.came,
            others: &beside.others,
            along: &beside.along,
            source: self.source,
            item: &self.item,
            names: &self.names,
            to: &self.to,
            since: self.since,
            offered: self.offered,
            is_taken: false,
            never_had_it: false,
        }
    }
}

/// Who is known to have had a SKU that an item leaves.
#[derive(Default)]
struct Beside {
    /// Since when the item had it, if it got it from another.
    came: Option<Version>,
    /// Other items that got it, and have it, by name and since when.
    others: BTreeMap<String, Version>,
    /// The names of parts that are of none of the source's items for all that is known.
    along: BTreeSet<String>,
}

/// By which of its names an item is told from others: the same, whichever of them is renamed.
pub(super) fn told_by(names: &[String]) -> Option<&String> {
    names.iter().min()
}

/// What is said of a product by its SKU.
#[derive(Debug, Clone, Copy)]
pub(super) enum Said<'a> {
    /// A source states how much there is, since then.
    Level(&'a ConnectorName, Version),
    /// A source states how much there is of one of its items.
    Item(&'a ConnectorName, &'a str),
    /// A source states it no longer.
    Over,
    /// Something happens to it, at this time.
    At(Timestamp),
    /// Something happens to the item of this name, at this time.
    Of(&'a str, Timestamp),
    /// What happened to the item of this name, at this time, is taken back.
    Back(&'a str, Timestamp),
    /// Something happens to the item of this name, which has this SKU, or has left it as is noted.
    OfItem(&'a str),
}

impl<'a> Said<'a> {
    /// What a change says, of which it is known when it happened, or that it happens now.
    pub(super) fn by(change: &'a PositionChange, now: Timestamp) -> Self {
        match change {
            PositionChange::Level {
                source, version, ..
            } if source.as_str() != API => Self::Level(source, version.kept()),
            PositionChange::Item { source, said } => Self::Item(source, &said.item),
            _ if change.is_over() => Self::Over,
            _ => Self::At(change.dated().unwrap_or(now)),
        }
    }

    /// Whether it shows that something else has the SKU: another source states it, also before it was renamed,
    /// or another item has it.
    fn takes(self, renamed: &Renamed) -> bool {
        match self {
            Self::Level(..) => true,
            Self::Item(source, item) => (source, item) != (&renamed.source, renamed.item.as_str()),
            Self::Over | Self::At(_) | Self::Of(..) | Self::Back(..) | Self::OfItem(_) => false,
        }
    }

    /// Whether it is about what had the SKU before, although something else has it now.
    fn precedes(self, renamed: &Renamed) -> bool {
        match self {
            Self::At(at) | Self::Of(_, at) | Self::Back(_, at) => at < renamed.since.at,
            Self::Level(..) | Self::Item(..) | Self::OfItem(_) | Self::Over => false,
        }
    }

    /// Of which item it is, where that is said.
    fn whose(self) -> Option<String> {
        match self {
            Self::Item(source, item) => Some(of_item(source, item)),
            Self::Of(name, _) | Self::Back(name, _) | Self::OfItem(name) => Some(name.to_owned()),
            Self::Level(..) | Self::Over | Self::At(_) => None,
        }
    }
}

/// What became of writes that hold as long as something else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guarded {
    Done,
    /// That does not hold any more.
    Overtaken,
    /// Somebody else wrote to the same.
    Again,
}

/// The position that is meant by a SKU and a place.
pub(super) struct Meant {
    pub(super) stored: Option<Stored<Position>>,
    pub(super) position: Position,
    /// That the SKU means no other product, where no position shows that.
    pub(super) guard: Option<Write>,
    /// Which item is meant, where that was said or what it left was followed.
    pub(super) whose: Option<String>,
    /// The item that had the SKU then, and has left it since.
    pub(super) owner: Option<Whose>,
}

/// Adds a guard to a transaction, which may write to each item once only.
pub(super) fn guard(writes: &mut Vec<Write>, guard: Option<Write>) {
    let Some(Write::Put(row, expect)) = guard else {
        return;
    };
    let is_there = |write: &Write| matches!(write, Write::Put(known, _) if known.key == row.key);
    if !writes.iter().any(is_there) {
        writes.push(Write::Put(row, expect));
    }
}

impl Store {
    /// The position that is meant by a SKU and a place; nothing where a source states no longer what is
    /// known under another SKU.
    pub(super) async fn meant(
        &self,
        operation: &'static str,
        (product, location): (&ProductId, &LocationId),
        said: Said<'_>,
    ) -> Result<Option<Meant>, StoreError> {
        let mut product = product.clone();
        let mut whose = said.whose();
        let mut owner = None;
        let mut seen = BTreeSet::new();
        // What is said to have left here before, and may have come back since.
        let mut left = None;
        loop {
            let key = keys::position(&product, location);
            let stored = self.get::<Position>(operation, &key).await?;
            let known = stored.as_ref().map(|it| &it.data);
            let mut renamed = known.and_then(|it| it.renamed.clone());
            let is_gone = |gone: &BTreeMap<String, ProductId>| gone.get(whose.as_ref()?).cloned();
            let mut gone = known.and_then(|it| is_gone(&it.gone));
            // It was here when the rest went on to another SKU.
            let is_here = known.zip(whose.as_ref());
            let is_here = is_here.is_some_and(|(it, name)| it.has_part(name));
            let knows_items = known.is_some_and(|it| !it.gone.is_empty());
            // Late news of what its source has ended here since then.
            let is_late = matches!(said, Said::Level(source, version)
                if known.is_some_and(|it| it.has_newer(source, version)));
            let is_first = seen.insert(product.clone());
            // The way leads in a circle: it is back where it was, whatever it was called meanwhile.
            if !is_first && let Some(back) = left.take().filter(|back| *back != product) {
                product = back;
                continue;
            }
            let mut guard = None;
            let asks = match &renamed {
                _ if !is_first || is_late => false,
                // A source that is heard of first states its own product.
                None if stored.is_none() => !matches!(said, Said::Level(..) | Said::Over),
                None => gone.is_some(),
                Some(renamed) => !renamed.taken || gone.is_some(),
            };
            if asks {
                let names = self.names(operation, &product).await?;
                let expect = Expect::from_read(names.as_ref());
                let names = names.map(|it| it.data).unwrap_or_default();
                // Written as they are: whoever renames it meanwhile looks again, or we do.
                let row = Row::new(keys::names(&product), "names", &names)?;
                guard = Some(Write::Put(row, expect));
                // What went from here is taken back where it went, also where the item is here again.
                let went = gone.filter(|_| matches!(said, Said::Back(..)));
                gone = is_gone(&names.gone).or(went);
                let is_told = names.renamed.is_some();
                renamed = names.renamed.or(renamed);
                if let Some(renamed) = renamed.as_mut().filter(|it| !it.taken && said.takes(it)) {
                    if is_told {
                        let by_level = matches!(said, Said::Level(..));
                        self.take_name(&product, by_level).await?;
                        seen.remove(&product);
                        continue;
                    }
                    renamed.is_taken(None);
                }
            }
            // Whose it is that happened before is known: others that left went without it.
            let of_owner = |it: &Renamed| {
                let left = of_item(&it.source, &it.item);
                owner.as_ref().is_none_or(|of: &Whose| of.item == left)
            };
            let follows = |it: &&Renamed| {
                !it.taken || (whose.is_none() || !knows_items) && of_owner(it) && said.precedes(it)
            };
            // What is of another item did not go along.
            let own = |it: &Renamed| whose == Some(of_item(&it.source, &it.item));
            let of_other = matches!(said, Said::OfItem(_)) && !renamed.as_ref().is_some_and(own);
            let stays = is_here || of_other || is_late;
            let followed = renamed.as_ref().filter(|_| !stays).filter(follows);
            let gone = gone.filter(|_| !is_here);
            let to = gone.as_ref().or(followed.map(|it| &it.to));
            if let Some(to) = to.filter(|_| is_first) {
                if matches!(said, Said::Over) {
                    return Ok(None);
                }
                let to = to.clone();
                let item = followed.map(|it| of_item(&it.source, &it.item));
                if gone.is_none()
                    && whose.is_none()
                    && let Some(left) = followed.filter(|it| said.precedes(it))
                {
                    let since = Some(left.since);
                    owner = item.clone().map(|item| Whose { item, since });
                }
                whose = whose.or(item);
                let was = std::mem::replace(&mut product, to);
                if gone.is_none() && followed.is_some_and(|it| it.taken) {
                    left = left.or(Some(was));
                }
                continue;
            }
            let mut position = stored.as_ref().map_or_else(
                || Position::unknown(product, location.clone()),
                |stored| stored.data.clone(),
            );
            position.renamed = renamed.map(|renamed| Renamed {
                taken: renamed.taken || !stays,
                ..renamed
            });
            return Ok(Some(Meant {
                stored,
                position,
                guard,
                whose,
                owner,
            }));
        }
    }

    /// The SKU under which a product goes on that may have been renamed.
    pub async fn current_name(&self, product: &ProductId) -> Result<ProductId, StoreError> {
        let mut product = product.clone();
        let mut seen = BTreeSet::new();
        while seen.insert(product.clone()) {
            let names = self.names("look up a SKU", &product).await?;
            match names.and_then(|names| names.data.renamed) {
                Some(renamed) if !renamed.taken => product = renamed.to,
                _ => break,
            }
        }
        Ok(product)
    }

    async fn names(
        &self,
        operation: &'static str,
        product: &ProductId,
    ) -> Result<Option<Stored<Names>>, StoreError> {
        self.get(operation, &keys::names(product)).await
    }

    /// Notes that something else has a SKU that a renamed product had, if one had; and whether that is
    /// known only as a source states the SKU.
    async fn take_name(&self, product: &ProductId, stated: bool) -> Result<(), StoreError> {
        let mut to = None;
        self.change_names(product, None, |names| {
            if let Some(renamed) = &mut names.renamed {
                names.stated = stated && (names.stated || !renamed.taken);
                renamed.is_taken(None);
                to = Some(renamed.to.clone());
            }
        })
        .await?;
        match to {
            Some(to) => self.forget_name(&to, product).await,
            None => Ok(()),
        }
    }

    /// What notes that an item has this SKU since then, and whether it had another, if anything does; the SKU
    /// of what it is taken from; and whether anything has left it. Whichever item gave the SKU up, and
    /// whenever that is heard: it is this one's now.
    pub(super) async fn has_name(
        &self,
        product: &ProductId,
        since: Version,
        (source, item, told_by): (&ConnectorName, &str, String),
        is_renamed: bool,
    ) -> Result<(Option<Write>, Option<ProductId>, bool), StoreError> {
        let stored = self.names(OPERATION, product).await?;
        let before = stored.as_ref().map(|it| it.data.clone());
        let before = before.unwrap_or_default();
        let mut names = before.clone();
        let name = of_item(source, item);
        names.gone.remove(&name);
        if is_renamed || names.renamed.is_some() || !names.gone.is_empty() {
            names.came.insert(told_by, since);
        }
        if is_renamed {
            names.coming.insert(name);
        }
        let mut from = None;
        if let Some(renamed) = &mut names.renamed {
            let of_other = (source, item) != (&renamed.source, renamed.item.as_str());
            if of_other || renamed.since < since {
                names.stated = false;
                if !renamed.taken {
                    renamed.is_taken(Some(since));
                    from = Some(renamed.to.clone());
                }
            }
        }
        let write = match names == before {
            true => None,
            false => Some(Write::Put(
                Row::new(keys::names(product), "names", &names)?,
                Expect::from_read(stored.as_ref()),
            )),
        };
        let was_left = before.renamed.is_some() || !before.gone.is_empty();
        Ok((write, from, was_left))
    }

    /// Notes that a SKU reaches this product no longer.
    pub(super) async fn forget_name(
        &self,
        product: &ProductId,
        name: &ProductId,
    ) -> Result<(), StoreError> {
        let forget = |names: &mut Names| names.formerly.retain(|it| it != name);
        self.change_names(product, None, forget).await.map(drop)
    }

    /// Notes that what is of an item is under its SKU, and since when it has that.
    pub(super) async fn has_come(&self, rename: &Rename<'_>) -> Result<(), StoreError> {
        let come = |names: &mut Names| {
            names.coming.remove(&of_item(rename.source, &rename.item));
            if let Some(name) = told_by(&rename.names) {
                names.came.insert(name.clone(), rename.since);
            }
        };
        self.change_names(&rename.to, None, come).await.map(drop)
    }

    /// Whether stock is on its way to a SKU from another, so that what is refused may not be in a moment.
    pub async fn is_coming(&self, product: &ProductId) -> Result<bool, StoreError> {
        Ok(self.coming(product).await?.0)
    }

    /// The same, and the version of what is known of the SKU, which each rename changes.
    pub(super) async fn coming(
        &self,
        product: &ProductId,
    ) -> Result<(bool, Option<u64>), StoreError> {
        let names = self.names("look up a SKU", product).await?;
        let is_coming = names.as_ref().is_some_and(|it| !it.data.coming.is_empty());
        Ok((is_coming, names.map(|it| it.version)))
    }

    /// The item that was the last to leave a SKU which no item has any more, by its source, kind and name.
    /// Another source may still state the SKU.
    pub(super) async fn last_left(
        &self,
        product: &ProductId,
    ) -> Result<Option<(ConnectorName, String, String)>, StoreError> {
        let names = self.names(OPERATION, product).await?;
        let Some(names) = names.map(|it| it.data).filter(Names::were_left) else {
            return Ok(None);
        };
        let positions = self.positions_of(product).await?;
        let mut items = positions.iter().flat_map(Position::stated_items);
        if items.next().is_some() {
            return Ok(None);
        }
        let mut last = None;
        for (name, to) in &names.gone {
            let mut words = name.splitn(3, ' ');
            let source = words.next().and_then(|it| it.parse().ok());
            let (Some(source), Some(kind), Some(id)) = (source, words.next(), words.next()) else {
                continue;
            };
            let known = self.external_name(&source, kind, id).await?;
            let known = known.filter(|it| it.sku.clone().map(ProductId::from).as_ref() == Some(to));
            let since = known.and_then(|it| it.since());
            if since.is_some() && last.as_ref().is_none_or(|(known, _)| since > *known) {
                last = Some((since, (source, kind.to_owned(), id.to_owned())));
            }
        }
        Ok(last.map(|(_, item)| item))
    }

    /// Which of these SKUs items have left, for all that is known.
    pub(super) async fn left_names(
        &self,
        products: &[&ProductId],
    ) -> Result<BTreeSet<keys::Key>, StoreError> {
        let mut wanted: Vec<_> = products.iter().map(|it| keys::names(it)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut left = BTreeSet::new();
        for (_, item) in self.get_many(OPERATION, &wanted).await? {
            let names = read::<Names>(OPERATION, item)?;
            if names.data.were_left() {
                left.insert(names.key);
            }
        }
        Ok(left)
    }

    /// Ends what a source states of a SKU that this item has left, and carries along what is left there, if
    /// nobody else states it; nothing where somebody does.
    pub(super) async fn follow(
        &self,
        event: &StockEvent,
        (product, location): (&ProductId, &LocationId),
        change: &PositionChange,
        (source, kind, name): &(ConnectorName, String, String),
        sources: &Sources,
    ) -> Result<Option<Applied>, ApplyError> {
        let is_known = async || {
            let stored = self.position(product, location).await?;
            let known = stored.map(|it| it.after(change, sources)).transpose()?;
            Ok::<_, ApplyError>(known.is_some_and(|after| after.is_none()))
        };
        let was_known = is_known().await?;
        for attempt in 0.. {
            let Some(stored) = self.stored_name(source, kind, name).await? else {
                return Ok(None);
            };
            let Some(rename) = Rename::of(event, source, &stored, (kind, name)) else {
                return Ok(None);
            };
            let rename = Rename {
                over: Some((location, change)),
                ..rename
            };
            // Once more, as it may have ended elsewhere at the same time.
            if self.leave(&rename, product, sources).await?
                && self.leave(&rename, product, sources).await?
            {
                return Ok(match (was_known, is_known().await?) {
                    (true, _) => Some(Applied::Known),
                    (false, true) => Some(Applied::Changed),
                    (false, false) => None,
                });
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Changes what is known of a SKU while the guard holds; whether it does.
    async fn change_names(
        &self,
        product: &ProductId,
        guard: Option<&Write>,
        mut change: impl FnMut(&mut Names) + Send,
    ) -> Result<bool, StoreError> {
        for attempt in 0.. {
            let stored = self.names(OPERATION, product).await?;
            let before = stored.as_ref().map(|it| it.data.clone());
            let before = before.unwrap_or_default();
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(true);
            }
            let row = Row::new(keys::names(product), "names", &after)?;
            let write = Write::Put(row, Expect::from_read(stored.as_ref()));
            match self.guarded(guard, vec![write]).await? {
                Guarded::Done => return Ok(true),
                Guarded::Overtaken => return Ok(false),
                Guarded::Again => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    pub(super) async fn guarded(
        &self,
        guard: Option<&Write>,
        mut writes: Vec<Write>,
    ) -> Result<Guarded, StoreError> {
        if let (None, [Write::Put(row, expect)]) = (guard, writes.as_slice()) {
            return Ok(match self.put(OPERATION, row.clone(), *expect).await? {
                true => Guarded::Done,
                false => Guarded::Again,
            });
        }
        writes.extend(guard.cloned());
        Ok(match self.transact(OPERATION, writes).await? {
            Written::Done => Guarded::Done,
            Written::Unexpected(unmet) if guard.is_some() && unmet.last() == Some(&true) => {
                Guarded::Overtaken
            }
            Written::Unexpected(_) => Guarded::Again,
        })
    }

    /// Carries what is of an item from a SKU that it had to the one that it has; and where it was the
    /// last that had the old one, everything that is known of the product. `false` where the name has
    /// changed meanwhile: who changed it carries on.
    pub(super) async fn leave(
        &self,
        rename: &Rename<'_>,
        old: &ProductId,
        sources: &Sources,
    ) -> Result<bool, ApplyError> {
        let new = &rename.to;
        let beside = self.beside(rename, old).await?;
        let was_last = self.was_left_by_last(rename, old, &beside).await?;
        if was_last {
            self.carry_rules(old, new).await?;
        }
        let last = (was_last, &beside);
        let Some(is_last) = self.leaving(rename, old, last, sources).await? else {
            return Ok(false);
        };
        let formerly = match is_last {
            true => self.names(OPERATION, old).await?.map(|it| it.data.formerly),
            false => None,
        };
        let come = |names: &mut Names| {
            names.gone.retain(|name, _| !rename.names.contains(name));
            let more = formerly.iter().flatten();
            for name in is_last.then_some(old).into_iter().chain(more) {
                if name != new && !names.formerly.contains(name) {
                    names.formerly.push(name.clone());
                }
            }
        };
        if !self.change_names(new, Some(&rename.guard), come).await? {
            return Ok(false);
        }
        if is_last {
            self.carry_rules(old, new).await?;
            let event = &rename.event;
            self.carry_description(event, old, new, sources).await?;
        }
        let mut positions = self.positions_of(old).await?;
        // Whoever is heard again that it ends there does the rest again.
        positions.sort_by_key(|it| rename.over.is_some_and(|(at, _)| *at == it.location));
        for position in positions {
            let leaving = Leaving {
                is_taken: !is_last && rename.over.is_none(),
                ..rename.leaving(&beside)
            };
            if !self.carry(&leaving, rename, &position, sources).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings to an item what was booked as its own elsewhere: before it was known to have, or to have had,
    /// one of these SKUs, who named that was led to what had it before. `false` where its name has changed
    /// meanwhile.
    pub(super) async fn call_home(
        &self,
        rename: &Rename<'_>,
        skus: Vec<ProductId>,
        sources: &Sources,
    ) -> Result<bool, ApplyError> {
        let beside = Beside::default();
        let leaving = Leaving {
            never_had_it: true,
            ..rename.leaving(&beside)
        };
        let mut seen: BTreeSet<_> = skus.iter().cloned().collect();
        let mut led = Vec::new();
        for sku in skus {
            led.extend(self.led_from(&sku, |_| true).await?);
        }
        while let Some(at) = led.pop() {
            if !seen.insert(at.clone()) {
                continue;
            }
            for position in self.positions_of(&at).await? {
                let has_own = rename.names.iter().any(|name| position.has_part(name));
                if has_own && !self.carry(&leaving, rename, &position, sources).await? {
                    return Ok(false);
                }
            }
            let is_own = |name: &String| rename.names.contains(name);
            led.extend(self.led_from(&at, is_own).await?);
        }
        Ok(true)
    }

    /// Where a SKU has led: to what had it before, and to where these of its items went.
    async fn led_from(
        &self,
        product: &ProductId,
        which: impl Fn(&String) -> bool + Send,
    ) -> Result<Vec<ProductId>, StoreError> {
        let names = self.names(OPERATION, product).await?;
        let names = names.map(|it| it.data).unwrap_or_default();
        let gone = names.gone.into_iter().filter(|(name, _)| which(name));
        let gone = gone.map(|(_, to)| to);
        Ok(gone.chain(names.renamed.map(|it| it.to)).collect())
    }

    /// Who is known to have had the SKU beside an item that leaves it.
    async fn beside(&self, rename: &Rename<'_>, product: &ProductId) -> Result<Beside, StoreError> {
        let source = rename.source;
        let mut along = BTreeSet::new();
        let names = self.names(OPERATION, product).await?;
        let names = names.map(|it| it.data).unwrap_or_default();
        let own = rename.names.iter().filter_map(|it| names.came.get(it));
        let came = own.max().copied();
        let mut known: BTreeSet<_> = names.came.into_keys().chain(names.coming).collect();
        for position in self.positions_of(product).await? {
            for name in position.parts_of().filter(|it| !rename.names.contains(*it)) {
                let of_source = name.strip_prefix(source.as_str());
                let named = of_source.and_then(|it| it.strip_prefix(' ')?.split_once(' '));
                if let Some((kind, id)) = named.filter(|_| !along.contains(name))
                    && self.external_name(source, kind, id).await?.is_none()
                {
                    along.insert(name.clone());
                }
            }
            known.extend(position.counted_items().cloned());
        }
        let mut others = BTreeMap::new();
        for name in known {
            if let Some(since) = self.has_since(&name, product, rename).await? {
                others.insert(name, since);
            }
        }
        Ok(Beside {
            came,
            others,
            along,
        })
    }

    /// Since when another item of this name has a SKU and is offered, if it is.
    async fn has_since(
        &self,
        name: &str,
        product: &ProductId,
        rename: &Rename<'_>,
    ) -> Result<Option<Version>, StoreError> {
        let mut words = name.splitn(3, ' ');
        let source: Option<ConnectorName> = words.next().and_then(|it| it.parse().ok());
        let (Some(source), Some(kind), Some(id)) = (source, words.next(), words.next()) else {
            return Ok(None);
        };
        let Some(known) = self.external_name(&source, kind, id).await? else {
            return Ok(None);
        };
        let has_it = known.sku.clone().map(ProductId::from).as_ref() == Some(product)
            && known.offered.is_none_or(|it| it.value);
        let own = |name: &String| rename.names.contains(name);
        let is_own = own(&name.to_owned()) || known.names(&source, kind, id).iter().any(own);
        Ok(known.since().filter(|_| has_it && !is_own))
    }

    /// Notes that an item has left a SKU; whether nothing else has that, or had it when it left. Nothing
    /// where its name has changed meanwhile.
    async fn leaving(
        &self,
        rename: &Rename<'_>,
        old: &ProductId,
        (was_last, beside): (bool, &Beside),
        sources: &Sources,
    ) -> Result<Option<bool>, ApplyError> {
        let (source, item) = (rename.source, rename.item.as_str());
        for attempt in 0.. {
            let stored = self.names(OPERATION, old).await?;
            let before = stored.as_ref().map(|it| it.data.clone());
            let before = before.unwrap_or_default();
            let mut after = before.clone();
            // The last that left was this item, on its way: it has come further since.
            let own =
                |it: &&mut Renamed| !it.taken && (&it.source, it.item.as_str()) == (source, item);
            if let Some(own) = after.renamed.as_mut().filter(own) {
                own.to = rename.to.clone();
            }
            let known = after.renamed.as_ref();
            let mut is_last = known.is_some_and(|it| !it.taken && it.to == rename.to);
            let gone = rename
                .names
                .iter()
                .map(|it| (it.clone(), rename.to.clone()));
            after.gone.extend(gone);
            after.coming.retain(|name| !rename.names.contains(name));
            // Where a source that alone had it states it no longer, nothing has it any more.
            let ends = before.stated && rename.over.is_some();
            if known.is_none_or(|it| it.taken && (ends || it.since < rename.since)) {
                let positions = self.positions_of(old).await?;
                is_last = beside.others.is_empty();
                for stands in positions.iter().filter(|it| it.renamed_to().is_none()) {
                    let left = rename.ended(stands, sources)?;
                    is_last &= left.is_left_by_last(&rename.leaving(beside));
                }
                let came = beside.others.values().min();
                let precedes = came.is_some() && came > beside.came.as_ref();
                if is_last {
                    let along = beside
                        .along
                        .iter()
                        .map(|it| (it.clone(), rename.to.clone()));
                    after.gone.extend(along);
                }
                after.stated &= !is_last && !was_last;
                after.renamed = (is_last || was_last || precedes)
                    .then(|| Renamed {
                        to: rename.to.clone(),
                        since: came.map_or(rename.since, |came| rename.since.min(*came)),
                        source: source.clone(),
                        item: item.to_owned(),
                        taken: !is_last,
                    })
                    .or(after.renamed);
            }
            if after == before {
                return Ok(Some(is_last));
            }
            let row = Row::new(keys::names(old), "names", &after)?;
            let write = Write::Put(row, Expect::from_read(stored.as_ref()));
            match self.guarded(Some(&rename.guard), vec![write]).await? {
                Guarded::Done => return Ok(Some(is_last)),
                Guarded::Overtaken => return Ok(None),
                Guarded::Again => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Carries what is of the item in one position; `false` where its name has changed meanwhile.
    async fn carry(
        &self,
        leaving: &Leaving<'_>,
        rename: &Rename<'_>,
        at: &Position,
        sources: &Sources,
    ) -> Result<bool, ApplyError> {
        let location = &at.location;
        for attempt in 0.. {
            let key = keys::position(&at.product, location);
            let Some(stored) = self.get::<Position>(OPERATION, &key).await? else {
                return Ok(true);
            };
            let known = self
                .get::<Position>(OPERATION, &keys::position(&rename.to, location))
                .await?;
            let old = &stored.data;
            let mut before = standing(known.as_ref(), &rename.to, location);
            if known.is_none() {
                // What happened before is of who had it then.
                let names = self.names(OPERATION, &rename.to).await?;
                before.renamed = names.and_then(|it| it.data.renamed);
            }
            let ended = rename.ended(old, sources)?;
            let Some((left, there)) = ended.left_by(&before, leaving, sources) else {
                return Ok(true);
            };
            let reason = match left.renamed_to() {
                _ if leaving.never_had_it => {
                    format!("orders of {} were booked as {}", rename.to, at.product)
                }
                Some(new) => format!("{} is {new} now", at.product),
                None => format!("an item of {} is {} now", at.product, rename.to),
            };
            let cause = Cause {
                source: &rename.event.source,
                event: &rename.event.id,
                actor: rename.event.actor.as_deref(),
                reason: Some(&reason),
                change: "renamed",
            };
            let is_clear = left.contradicting(rename.source).is_empty();
            let mut writes = Vec::new();
            for (stored, was, is) in [(Some(&stored), old, left), (known.as_ref(), &before, there)]
            {
                if is != *was {
                    writes.extend(self.recorded(&cause, stored, was, is, sources)?.0);
                }
            }
            if writes.is_empty() {
                return Ok(true);
            }
            match self.guarded(Some(&rename.guard), writes).await? {
                Guarded::Done => {
                    if is_clear {
                        self.end_contradiction(rename.source, &at.product, location)
                            .await?;
                    }
                    return Ok(true);
                }
                Guarded::Overtaken => return Ok(false),
                Guarded::Again => self.after_conflict(OPERATION, attempt).await?,
            }
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// Whether nothing else had a SKU when an item left it, although others have it now: they came later,
    /// and were heard of before. Not where it is noted already that the item has left.
    async fn was_left_by_last(
        &self,
        rename: &Rename<'_>,
        old: &ProductId,
        beside: &Beside,
    ) -> Result<bool, StoreError> {
        let source = rename.source;
        let names = self.names(OPERATION, old).await?;
        let name = of_item(source, &rename.item);
        if names.is_some_and(|it| it.data.gone.contains_key(&name)) {
            return Ok(false);
        }
        if beside.others.values().any(|came| *came < rename.since) {
            return Ok(false);
        }
        let mut came_later = !beside.others.is_empty();
        for position in self.positions_of(old).await? {
            if position.stated_by_others(source).next().is_some() {
                return Ok(false);
            }
            let items = position.stated_items().map(|(_, item)| item);
            for item in items.filter(|item| *item != rename.item) {
                let known = match item.split_once(' ') {
                    Some((kind, id)) => self.external_name(source, kind, id).await?,
                    None => None,
                };
                if known.and_then(|it| it.since()) < Some(rename.since) {
                    return Ok(false);
                }
                came_later = true;
            }
        }
        Ok(came_later)
    }

    /// Brings back the rules that went along with an item which was not the last that had the SKU: this one
    /// had it too by then, which is heard of later.
    pub(super) async fn bring_rules_back(&self, rename: &Rename<'_>) -> Result<(), StoreError> {
        let names = self.names(OPERATION, &rename.to).await?;
        let left = names.and_then(|it| it.data.renamed).filter(|left| {
            let of_other =
                (&left.source, left.item.as_str()) != (rename.source, rename.item.as_str());
            left.taken && of_other && left.since > rename.since
        });
        let Some(left) = left else { return Ok(()) };
        for rule in self.picture(&left.to).await?.rules {
            let Some(back) = of_product(&rule, &left.to, &rename.to) else {
                continue;
            };
            let key = keys::imported_rule(back.id.as_str(), &rename.to);
            let gone = self.get::<Option<Rule>>(OPERATION, &key).await?;
            if gone.is_some_and(|it| it.data.is_none()) {
                self.move_rule(&rule, &left.to, &back).await?;
            }
        }
        Ok(())
    }

    /// Carries the rules that were imported for the product; where it has such a rule under its new
    /// SKU, that one stands.
    async fn carry_rules(&self, old: &ProductId, new: &ProductId) -> Result<(), StoreError> {
        let standing = self.picture(new).await?.rules;
        for rule in self.picture(old).await?.rules {
            let renamed = of_product(&rule, old, new);
            let renamed = renamed.filter(|it| standing.iter().all(|own| own.slot() != it.slot()));
            let Some(renamed) = renamed else {
                continue;
            };
            self.move_rule(&rule, old, &renamed).await?;
        }
        Ok(())
    }

    /// Puts an imported rule of a product under another SKU. What it leaves says that it was there: whoever
    /// applies webhooks may not delete what is of a product.
    async fn move_rule(
        &self,
        rule: &Rule,
        from: &ProductId,
        renamed: &Rule,
    ) -> Result<(), StoreError> {
        let key = keys::imported_rule(rule.id.as_str(), from);
        let gone = Row::new(key, "rule_renamed", &None::<Rule>)?;
        let writes = vec![
            Write::Put(gone, Expect::Anything),
            Write::Put(rule_row(renamed)?, Expect::Anything),
        ];
        let mut attempt = 0;
        while self.transact(OPERATION, writes.clone()).await? != Written::Done {
            self.after_conflict(OPERATION, attempt).await?;
            attempt += 1;
        }
        Ok(())
    }
}

/// A rule for one product as the same rule for it under another SKU.
fn of_product(rule: &Rule, old: &ProductId, new: &ProductId) -> Option<Rule> {
    let id: RuleId = rule
        .id
        .as_str()
        .replacen(old.as_str(), new.as_str(), 1)
        .parse()
        .ok()?;
    let mut rule = Rule { id, ..rule.clone() };
    rule.scope.product = Some(new.clone());
    Some(rule)
}
