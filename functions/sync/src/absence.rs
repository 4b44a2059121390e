//! What a file no longer has: compared with what its source had stated, counted over several files,
//! held back where it is too much to believe (F11, F13).

use sha2::{Digest, Sha256};
use shared::config::connector::Files;
use shared::domain::id::ConnectorName;
use shared::domain::position::{Base, Position};
use shared::domain::unit::Unit;
use shared::store::feeds::Moment;
use shared::store::inbox::{InboxEntry, InboxState};
use shared::store::missing::{Item, Missing};
use shared::store::{Expect, Store, StoreError};

use crate::said::Sayable;
use crate::snapshot::{ItemKey, Snapshot};

/// Items read from the table at once.
const PAGE: i32 = 500;
/// Items named in an inbox entry.
const EXAMPLES: usize = 10;

/// What the source had stated, beside what its file has.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// What it had stated to be there and the file does not have.
    pub(crate) absent: Vec<Item>,
    /// How much it had stated to be there.
    pub(crate) held: u64,
}

/// Compares a file with what its source had stated, and marks the rows that say nothing new.
pub(crate) async fn compare(
    store: &Store,
    source: &ConnectorName,
    sayable: &Sayable,
    snapshot: &mut Snapshot,
) -> Result<Compared, StoreError> {
    let mut compared = Compared::default();
    let mut cursor = None;
    loop {
        let page = store.positions(cursor.as_deref(), PAGE).await?;
        for position in page.items {
            compared.position(position, source, sayable, snapshot);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    loop {
        let page = store.units(cursor.as_deref(), PAGE).await?;
        for unit in page.items {
            if !unit.claims.contains_key(source) {
                continue;
            }
            let (said, there) = (sayable.of_unit(&unit, source), is_present(&unit, source));
            let item = Item::Unit { vin: unit.vin };
            let found = snapshot.compare(ItemKey::of(&item), said);
            compared.count(item, found, there);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(compared);
        }
    }
}

impl Compared {
    /// Compares one position that is held.
    pub(crate) fn position(
        &mut self,
        position: Position,
        source: &ConnectorName,
        sayable: &Sayable,
        snapshot: &mut Snapshot,
    ) {
        let Some(base) = position.stated_by(source) else {
            return;
        };
        let (said, there) = (sayable.of_level(&base.level), is_there(base));
        let item = Item::Position {
            product: position.product,
            location: position.location,
        };
        let found = snapshot.compare(ItemKey::of(&item), said);
        self.count(item, found, there);
    }

    fn count(&mut self, item: Item, found: bool, there: bool) {
        self.held += u64::from(there);
        if there && !found {
            self.absent.push(item);
        }
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
        .and_then(|claim| claim.state.as_ref())
        .is_some_and(|state| state.value.is_present())
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
    /// A sentence, where people have to know.
    pub(crate) sentence: Option<String>,
    /// The inbox entry that stands for this.
    pub(crate) held: Option<String>,
    /// Whether a person has approved the removals.
    pub(crate) approved: bool,
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
    /// Decides, and writes down what has to be remembered: how long what is missing, and what waits
    /// for a person. Deciding again about the same delivery changes nothing.
    pub(crate) async fn decide(
        &self,
        compared: Compared,
        snapshot: &Snapshot,
        thin: bool,
    ) -> Result<Verdict, StoreError> {
        let Compared { mut absent, held } = compared;
        let count = absent.len() as u64;
        if count > 0 && (thin || self.exceeds(count, held)) {
            absent.sort_unstable();
            return self.too_many(absent, held).await;
        }
        self.settle(InboxState::Withdrawn).await?;
        let known = self.store.missing(self.source).await?;
        for stored in &known {
            if snapshot.has(ItemKey::of(&stored.data.item)) {
                self.store
                    .clear_missing(self.source, &stored.data.item)
                    .await?;
            }
        }
        let mut verdict = Verdict::default();
        for item in absent {
            let before = known.iter().find(|stored| stored.data.item == item);
            let missing = self.once_more(item, before.map(|stored| &stored.data));
            if missing.snapshots >= self.files.grace.get() {
                verdict.remove.push(missing.item);
                continue;
            }
            verdict.missing += 1;
            self.store.save_missing(self.source, &missing).await?;
        }
        Ok(verdict)
    }

    fn exceeds(&self, count: u64, held: u64) -> bool {
        let most = &self.files.max_removals;
        count > u64::from(most.count) && count * 100 > held * u64::from(most.percent.get())
    }

    fn once_more(&self, item: Item, before: Option<&Missing>) -> Missing {
        let now = Moment(self.store.clock().now());
        let (snapshots, since) = match before {
            None => (1, now),
            Some(before) if before.snapshot == self.delivery => (before.snapshots, before.since),
            Some(before) => (before.snapshots.saturating_add(1), before.since),
        };
        Missing {
            item,
            snapshots,
            snapshot: self.delivery.to_owned(),
            since,
        }
    }

    async fn too_many(&self, absent: Vec<Item>, held: u64) -> Result<Verdict, StoreError> {
        let count = absent.len() as u64;
        let set = digest(&absent);
        let open = match self.held {
            Some(id) => self.store.inbox_entry(id).await?.map(|stored| stored.data),
            None => None,
        };
        // An approval is a ceiling.
        if let Some(entry) = &open
            && entry.state == InboxState::Approved
            && count <= entry.count
        {
            return Ok(Verdict {
                remove: absent,
                held: Some(entry.id.clone()),
                approved: true,
                ..Verdict::default()
            });
        }
        let id = format!("{}-{}", self.source, &set[..12]);
        let stored = self.store.inbox_entry(&id).await?;
        if let Some(entry) = &stored
            && entry.data.state == InboxState::Rejected
            && entry.data.set == set
        {
            return Ok(Verdict {
                withheld: count,
                held: Some(id),
                ..Verdict::default()
            });
        }
        let most = &self.files.max_removals;
        let limit = format!("{} rows and {} %", most.count, most.percent.get());
        let examples: Vec<String> = absent.iter().take(EXAMPLES).map(Item::to_string).collect();
        let sentence = format!(
            "{} lacks {count} of {held} items, such as {}; none is removed until the inbox entry is approved.",
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
        if open.as_ref().is_some_and(|open| open.id != entry.id) {
            self.settle(InboxState::Withdrawn).await?;
        }
        let expect = Expect::from_read(stored.as_ref());
        // If somebody resolves it at this moment, what they saw and decided stands.
        self.store.save_inbox(&entry, expect).await?;
        Ok(Verdict {
            withheld: count,
            sentence: Some(sentence),
            held: Some(entry.id),
            ..Verdict::default()
        })
    }

    /// Closes the open inbox entry, unless it is closed already.
    pub(crate) async fn settle(&self, state: InboxState) -> Result<(), StoreError> {
        let Some(id) = self.held else { return Ok(()) };
        while let Some(stored) = self.store.inbox_entry(id).await? {
            let open = matches!(
                stored.data.state,
                InboxState::Waiting | InboxState::Approved
            );
            if !open {
                break;
            }
            let mut entry = stored.data;
            entry.state = state;
            let expect = Expect::Version(stored.version);
            if self.store.save_inbox(&entry, expect).await? {
                break;
            }
        }
        Ok(())
    }
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
