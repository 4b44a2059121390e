//! What a file no longer has: compared with what its source had stated, counted over several files,
//! held back where it is too much to believe.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::config::connector::Files;
use shared::domain::authority::Authority;
use shared::domain::id::ConnectorName;
use shared::domain::position::{Base, Position};
use shared::domain::unit::Unit;
use shared::store::feeds::Moment;
use shared::store::inbox::{InboxEntry, InboxState, UNDECIDED};
use shared::store::stated::{Held, Item, Missing, Stated};
use shared::store::{Expect, Store, StoreError, Stored};

use crate::examine::Nameless;
use crate::listing::Listing;
use crate::said::Sayable;
use crate::snapshot::{ItemKey, Snapshot};

/// Items of a source's list that are read at once, and then as they stand.
pub(crate) const PAGE: i32 = 800;
const CHUNK: usize = 100;
/// Calls of the table at the same time.
const AT_ONCE: usize = 8;
/// Items named in an inbox entry.
const EXAMPLES: usize = 10;

/// What the source had stated, beside what its file has.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// What it had stated to be there and the file does not have.
    pub(crate) absent: Vec<Item>,
    /// How much it had stated to be there.
    pub(crate) held: u64,
    /// Items of which the list notes something, or has to: how they were listed, and what the file
    /// says of them.
    #[serde(with = "by_item")]
    noted: BTreeMap<Item, Noted>,
}

/// Notes as a list: an item is no key of a JSON object.
mod by_item {
    use super::{BTreeMap, Item, Noted};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        noted: &BTreeMap<Item, Noted>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(noted.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Item, Noted>, D::Error> {
        let noted = Vec::<Noted>::deserialize(from)?.into_iter();
        Ok(noted.map(|it| (it.listed.item.clone(), it)).collect())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    listed: Stated,
    to_be: Stated,
    mention: Mention,
    /// Whether the file covers what it states of it.
    covered: bool,
    /// When a person last counted it.
    #[serde(default)]
    counted: Option<Moment>,
}

/// What a file says of an item of its source's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Mention {
    /// What can be read.
    Said,
    /// It has a row, which cannot be read.
    Unreadable,
    /// Nothing.
    Absent,
}

/// Compares a file with what its source had stated.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) source: &'a ConnectorName,
    pub(crate) authority: &'a Authority,
    pub(crate) sayable: &'a Sayable,
    /// When the file as a whole was true.
    pub(crate) snapshot_at: jiff::Timestamp,
    /// Whether the file covers what it states.
    pub(crate) covers: bool,
}

impl Comparison<'_> {
    /// Marks the rows that say nothing new, and collects what the file does not say; `false` if time ran
    /// out before the end of the source's list. Only what the source lists is read.
    pub(crate) async fn run(
        &self,
        store: &Store,
        snapshot: &mut Snapshot,
        listing: &mut Listing,
        is_out_of_time: impl Fn() -> bool,
    ) -> Result<bool, StoreError> {
        while !listing.done {
            let page = store
                .stated(self.source, listing.next.as_deref(), PAGE)
                .await?;
            let items: Vec<Item> = page.items.iter().map(|it| it.item.clone()).collect();
            let chunks: Vec<_> = items.chunks(CHUNK).map(|chunk| store.held(chunk)).collect();
            let held: Vec<_> = stream::iter(chunks)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            let mut listed: BTreeMap<_, _> = page
                .items
                .into_iter()
                .map(|stated| (stated.item.clone(), stated))
                .collect();
            for held in held.into_iter().flatten() {
                self.item(held, &mut listed, snapshot, &mut listing.compared);
            }
            listing.done = page.next.is_none();
            listing.next = page.next;
            if !listing.done && is_out_of_time() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn item(
        &self,
        held: Held,
        listed: &mut BTreeMap<Item, Stated>,
        snapshot: &mut Snapshot,
        compared: &mut Compared,
    ) {
        match held {
            Held::Position(position) => {
                let item = Item::Position {
                    product: position.product.clone(),
                    location: position.location.clone(),
                };
                if let Some(stated) = listed.remove(&item) {
                    self.position(&position, stated, snapshot, compared);
                }
            }
            Held::Unit(unit) => {
                let item = Item::Unit {
                    vin: unit.vin.clone(),
                };
                if let Some(stated) = listed.remove(&item) {
                    self.unit(&unit, stated, snapshot, compared);
                }
            }
        }
    }

    /// Compares one position that is held and listed.
    pub(crate) fn position(
        &self,
        position: &Position,
        stated: Stated,
        snapshot: &mut Snapshot,
        compared: &mut Compared,
    ) {
        let Some(base) = position.stated_by(self.source) else {
            return; // a worker died between listing it and applying its row
        };
        let key = ItemKey::of(&stated.item);
        snapshot.list(key);
        let repeated = snapshot.says(key) == Some(self.sayable.of_level(&base.level));
        let sources = &self.authority.quantities;
        // What was not stated by the last file has to be written, to be covered again.
        if repeated
            && stated.until.is_none()
            && position.gains_nothing_by(self.source, self.snapshot_at, sources)
        {
            snapshot.know(key);
        }
        compared.note(
            stated,
            snapshot,
            // What has none is not missed, but where its SKU was left and may be gone with that.
            is_there(base) || base.mentioned.is_none() && !position.gone.is_empty(),
            self.covers,
            position.counted_at().map(Moment),
        );
    }

    fn unit(&self, unit: &Unit, stated: Stated, snapshot: &mut Snapshot, compared: &mut Compared) {
        if !unit.claims.contains_key(self.source) {
            return;
        }
        let key = ItemKey::of(&stated.item);
        snapshot.list(key);
        let repeated = snapshot.says(key) == Some(self.sayable.of_unit(unit, self.source));
        // By what has become of `[ownership]` it may count otherwise.
        if repeated && unit.counted == unit.count(self.authority) {
            snapshot.know(key);
        }
        let is_there = is_present(unit, self.source);
        compared.note(stated, snapshot, is_there, self.covers, None);
    }
}

impl Compared {
    /// `covers`: whether the file covers what it states of such an item. `counted`: when a person last did.
    fn note(
        &mut self,
        stated: Stated,
        snapshot: &Snapshot,
        there: bool,
        covers: bool,
        counted: Option<Moment>,
    ) {
        let mention = match snapshot.says(ItemKey::of(&stated.item)) {
            None => Mention::Absent,
            Some(said) if said.is_nothing() => Mention::Unreadable,
            Some(_) => Mention::Said,
        };
        self.held += u64::from(there);
        if there && mention == Mention::Absent {
            self.absent.push(stated.item.clone());
        }
        let to_note = there && mention == Mention::Absent || covers && mention != Mention::Said;
        if to_note || stated.missing.is_some() || stated.until.is_some() {
            let noted = Noted {
                to_be: stated.clone(),
                listed: stated,
                mention,
                covered: covers,
                counted,
            };
            self.noted.insert(noted.listed.item.clone(), noted);
        }
    }

    /// Takes for present what rows without a key are about, as far as their texts show; returns how many
    /// of those rows may be about anything.
    pub(crate) fn explain(&mut self, nameless: &Nameless) -> u64 {
        let (explained, unexplained) = nameless.explain(&mut self.absent);
        for item in explained {
            if let Some(noted) = self.noted.get_mut(&item) {
                noted.mention = Mention::Unreadable;
            }
        }
        unexplained
    }

    /// Writes down what the list has to say of the items: until when those were stated that a file
    /// which covers the others does not state, and how long what is missing has been.
    pub(crate) async fn write_notes(
        self,
        comparison: &Comparison<'_>,
        store: &Store,
        covered_before: Option<Moment>,
    ) -> Result<(), StoreError> {
        let never = Moment(jiff::Timestamp::UNIX_EPOCH);
        let (mut changed, mut back) = (Vec::new(), BTreeMap::new());
        for (item, mut noted) in self.noted {
            if noted.mention != Mention::Absent {
                noted.to_be.missing = None; // it is back
            }
            if noted.covered && noted.mention != Mention::Said {
                let until = &mut noted.to_be.until;
                until.get_or_insert(covered_before.unwrap_or(never));
            } else if noted.covered && noted.to_be.until.is_some() {
                if let Item::Position { .. } = item {
                    back.insert(item, noted);
                    continue;
                }
                noted.to_be.until = None;
            }
            if noted.to_be != noted.listed {
                changed.push(noted.to_be);
            }
        }
        // What is back is covered only if its row was taken.
        let items: Vec<_> = back.keys().cloned().collect();
        for chunk in items.chunks(CHUNK) {
            for held in store.held(chunk).await? {
                let Held::Position(position) = held else {
                    continue;
                };
                let item = Item::Position {
                    product: position.product.clone(),
                    location: position.location.clone(),
                };
                let base = position.stated_by(comparison.source);
                let taken = base.is_some_and(|base| base.version.at >= comparison.snapshot_at);
                if let Some(noted) = back.get_mut(&item)
                    && taken
                {
                    noted.to_be.until = None;
                }
            }
        }
        let back = back.into_values().filter(|it| it.to_be != it.listed);
        changed.extend(back.map(|noted| noted.to_be));
        store.save_stated(comparison.source, &changed).await
    }
}

fn is_there(base: &Base) -> bool {
    let level = &base.level;
    let some = |quantity: Option<i64>| quantity.unwrap_or(0) != 0;
    level.on_hand != 0 || some(level.reserved) || some(level.incoming)
}

fn is_present(unit: &Unit, source: &ConnectorName) -> bool {
    let claim = unit.claims.get(source);
    claim
        .and_then(|claim| claim.state.value())
        .is_some_and(|state| state.is_present())
}

/// What is to be done about what a file lacks.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// To be removed now.
    pub(crate) remove: Vec<Item>,
    /// Missing, and not to be removed yet.
    pub(crate) missing: u64,
    /// Held back for a person.
    pub(crate) withheld: u64,
    /// Why something waits for a person.
    pub(crate) sentence: Option<String>,
    /// That what is held back stays, as a person has said.
    pub(crate) kept: Option<String>,
    /// What else people should know.
    pub(crate) remark: Option<String>,
    /// The inbox entry that stands for this.
    pub(crate) held: Option<String>,
    /// The inbox entry by which a person has approved removals.
    pub(crate) approved: Option<String>,
}

/// Decides about what a file lacks.
#[derive(Debug)]
pub(crate) struct Absence<'a> {
    pub(crate) store: &'a Store,
    pub(crate) source: &'a ConnectorName,
    pub(crate) files: &'a Files,
    /// The file's name.
    pub(crate) file: &'a str,
    /// Names this delivery, so that it counts once.
    pub(crate) delivery: &'a str,
    /// The inbox entry of an earlier file, if one is open.
    pub(crate) held: Option<&'a str>,
}

impl Absence<'_> {
    /// Decides, and notes how long what is missing, and what waits for a person. Deciding again about
    /// the same delivery changes nothing.
    ///
    /// An approval is of the items that its entry listed. Those are the ones that were missing by then and
    /// have been since; what else is missing is judged by itself. `removing`: the approved ones are being
    /// removed already, and there may be none left.
    pub(crate) async fn decide(
        &self,
        compared: &mut Compared,
        thin: bool,
        removing: bool,
    ) -> Result<Verdict, StoreError> {
        loop {
            // A person decides each entry once.
            if let Some(verdict) = self.decide_as_it_is(compared, thin, removing).await? {
                return Ok(verdict);
            }
        }
    }

    /// The same by what is in the inbox now; nothing where that has changed meanwhile.
    async fn decide_as_it_is(
        &self,
        compared: &mut Compared,
        thin: bool,
        removing: bool,
    ) -> Result<Option<Verdict>, StoreError> {
        let (mut absent, mut held) = (compared.absent.clone(), compared.held);
        let notes = &mut compared.noted;
        let open = match self.held {
            Some(id) => self.store.inbox_entry(id).await?,
            None => None,
        };
        let mut verdict = Verdict::default();
        let entry = open.as_ref().map(|stored| &stored.data);
        if let Some(entry) = entry.filter(|entry| entry.state == InboxState::Approved) {
            let since = |item: &Item| Some(notes.get(item)?.listed.missing.as_ref()?.since);
            let is_approved = |item: &mut Item| since(item).is_some_and(|since| since <= entry.at);
            verdict.remove = absent.extract_if(.., is_approved).collect();
            held = held.saturating_sub(verdict.remove.len() as u64);
            let is_used = removing || !verdict.remove.is_empty();
            verdict.approved = is_used.then(|| entry.id.clone());
        }
        let count = absent.len() as u64;
        if count > 0 && (thin || self.exceeds(count, held)) {
            for item in &absent {
                if let Some(noted) = notes.get_mut(item) {
                    let missing = &mut noted.to_be.missing;
                    missing.get_or_insert_with(|| self.first_missed(0));
                }
            }
            absent.sort_unstable();
            return self.too_many(absent, held, verdict, open).await;
        }
        if verdict.approved.is_none() && !self.withdraw(open.as_ref()).await? {
            return Ok(None);
        }
        for item in absent {
            let Some(noted) = notes.get_mut(&item) else {
                continue;
            };
            // Somebody who has seen it meanwhile gives it all its time again.
            let missing = noted.listed.missing.as_ref();
            let missing = missing.filter(|it| noted.counted <= Some(it.since));
            let missing = self.once_more(missing);
            if missing.snapshots >= self.files.grace.get() {
                verdict.remove.push(item);
                continue;
            }
            verdict.missing += 1;
            noted.to_be.missing = Some(missing);
        }
        Ok(Some(verdict))
    }

    fn exceeds(&self, count: u64, held: u64) -> bool {
        let most = &self.files.max_removals;
        count > u64::from(most.count) && count * 100 > held * u64::from(most.percent.get())
    }

    fn first_missed(&self, snapshots: u16) -> Missing {
        Missing {
            snapshots,
            snapshot: self.delivery.to_owned(),
            since: Moment(self.store.clock().now()),
        }
    }

    fn once_more(&self, before: Option<&Missing>) -> Missing {
        match before {
            None => self.first_missed(1),
            Some(before) if before.snapshot == self.delivery => before.clone(),
            Some(before) => Missing {
                snapshots: before.snapshots.saturating_add(1),
                snapshot: self.delivery.to_owned(),
                since: before.since,
            },
        }
    }

    /// Holds back what is missing beside what `verdict` has removed; nothing where the inbox has changed.
    async fn too_many(
        &self,
        absent: Vec<Item>,
        held: u64,
        verdict: Verdict,
        open: Option<Stored<InboxEntry>>,
    ) -> Result<Option<Verdict>, StoreError> {
        let count = absent.len() as u64;
        let set = digest(&absent);
        let id = format!("{}-{}", self.source, &set[..12]);
        let (same, other) = match open {
            Some(open) if open.data.id == id => (Some(open), None),
            other => (None, other),
        };
        if verdict.approved.is_none() && !self.withdraw(other.as_ref()).await? {
            return Ok(None);
        }
        // Of a worker that has not got to the end, it may have been decided since.
        let (stored, is_new) = match same {
            Some(same) => (Some(same), false),
            None => (self.store.inbox_entry(&id).await?, true),
        };
        if let Some(entry) = &stored
            && entry.data.state == InboxState::Rejected
            && entry.data.set == set
        {
            let file = self.file.to_owned();
            let entry = InboxEntry {
                file,
                held,
                ..entry.data.clone()
            };
            return Ok(Some(Verdict {
                withheld: count,
                kept: Some(entry.kept()),
                held: Some(id),
                ..verdict
            }));
        }
        let most = &self.files.max_removals;
        let limit = format!("{} rows and {} %", most.count, most.percent.get());
        let examples: Vec<String> = absent.iter().take(EXAMPLES).map(Item::to_string).collect();
        let sentence = format!(
            "{} lacks {count} of {held} items, such as {}; {UNDECIDED}.",
            self.file,
            examples
                .iter()
                .take(3)
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        );
        let entry = InboxEntry {
            id,
            at: Moment(self.store.clock().now()),
            connector: self.source.clone(),
            file: self.file.to_owned(),
            count,
            held,
            limit,
            examples,
            set,
            state: InboxState::Waiting,
            by: None,
            resolved_at: None,
        };
        let expect = Expect::from_read(stored.as_ref());
        let stands =
            |known: &InboxEntry| known.state == InboxState::Approved && known.set == entry.set;
        let is_approved = is_new && stored.is_some_and(|it| stands(&it.data));
        if !is_approved && !self.store.save_inbox(&entry, expect).await? {
            return Ok(None);
        }
        Ok(Some(Verdict {
            withheld: count,
            sentence: Some(sentence),
            held: Some(entry.id),
            ..verdict
        }))
    }

    /// Takes an entry back that nobody has to decide any more, or whose items are back; `false` where
    /// somebody has decided it since it was read.
    async fn withdraw(&self, open: Option<&Stored<InboxEntry>>) -> Result<bool, StoreError> {
        let Some(open) = open.filter(|it| is_open(&it.data)) else {
            return Ok(true);
        };
        let entry = InboxEntry {
            state: InboxState::Withdrawn,
            ..open.data.clone()
        };
        let expect = Expect::Version(open.version);
        self.store.save_inbox(&entry, expect).await
    }

    /// Closes the approved inbox entry, unless it is closed already: its items are removed.
    pub(crate) async fn is_applied(&self) -> Result<(), StoreError> {
        let Some(id) = self.held else { return Ok(()) };
        while let Some(stored) = self.store.inbox_entry(id).await? {
            if !is_open(&stored.data) {
                break;
            }
            let mut entry = stored.data;
            entry.state = InboxState::Applied;
            let expect = Expect::Version(stored.version);
            if self.store.save_inbox(&entry, expect).await? {
                break;
            }
        }
        Ok(())
    }
}

fn is_open(entry: &InboxEntry) -> bool {
    matches!(entry.state, InboxState::Waiting | InboxState::Approved)
}

/// One spelling for a set of items, sorted.
fn digest(items: &[Item]) -> String {
    let mut hasher = Sha256::new();
    for item in items {
        hasher.update(item.to_string());
        hasher.update([0]);
    }
    hex::encode(hasher.finalize())
}
