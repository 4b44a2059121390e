//! Rows and events that could not be applied, held with the reason: a work list.
//!
//! An entry is open until what it holds was applied after all, or a person dismisses it. People are
//! told once per source and kind: the first open entry of a kind opens its [`HeldKind`], the last one
//! that is closed closes it, and `evaluate` makes an alert of that.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys::{self, Listed};
use super::row::{Expect, Page, Row, Stored, Write, Written, read};
use super::{Store, StoreError};
use crate::digest::sha256_hex;
use crate::domain::Origin;
use crate::domain::alert::named;
use crate::domain::event::millis;
use crate::domain::id::{ConnectorName, EventId};
use crate::domain::watch::Moment;

/// How long an entry is kept once it is over.
pub const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How much of a row or body is shown.
const EXCERPT: usize = 400;
/// How many SKUs and VINs an entry names.
const ABOUT: usize = 100;
/// What an entry says that stands for rows which are only known by what it is about.
const THE_REST: &str = "the rest";
/// What an entry says of which each event is one more sale or movement.
const STOCK_MOVED: &str = "stock moved";
/// How many of them are named to people.
const NAMED: usize = 3;
/// How often it is tried to count that an entry is met again.
const COUNTING: u32 = 3;
/// Open entries read at once.
pub(super) const PAGE: i32 = 100;
/// How often whoever looks at a kind is woken at most, while ever more of it is held.
const WAKES: SignedDuration = SignedDuration::from_mins(2);
/// When all that was held since somebody was woken is sure to be found.
const FOUND: SignedDuration = SignedDuration::from_mins(3);

named!(
    /// Where an entry stands.
    HeldState {
        /// Somebody has to do something about it.
        Open => "open",
        /// What it holds was applied after all.
        Closed => "closed",
        /// A person has decided to leave it.
        Dismissed => "dismissed",
    }
);

/// How an entry ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    /// When.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// By whom; unset where it closed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    pub why: String,
}

/// Something that was not applied, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The same for the same content at the same place, so that a repeat is no second entry.
    pub id: String,
    /// When it was held.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The connector it came from.
    pub source: ConnectorName,
    /// The event's name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// Why, as a short code that does not change: `no_data`, `unknown_location`.
    pub reason: String,
    /// Why, for people.
    pub sentence: String,
    /// Where it stands: `stock.csv:17`, or a JSON pointer into a webhook's body.
    #[serde(rename = "where")]
    pub place: String,
    /// The beginning of the row or event.
    pub row: String,
    /// The name that it waits for, if it does: then it stands for all that waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// The SKUs and VINs of the rows that it stands for, as far as they are known: not all of very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// The reason that it was held for before, so that whoever meets it next sees to it that people are not
    /// told of that any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What it says, for machines, where that may become something else under the same id: which items
    /// contradict each other, what is missing. Words may change without that anything else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// Whether it stands for more than those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Where it stands.
    #[serde(default = "open")]
    pub state: HeldState,
    /// How often it was met since it opened.
    #[serde(default = "once")]
    pub times: u64,
    /// When it was last met, where that is not when it was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Moment>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Over>,
}

const fn once() -> u64 {
    1
}

const fn open() -> HeldState {
    HeldState::Open
}

impl Quarantined {
    /// Holds `content`, found at `place` in what `source` sent.
    pub fn new(
        source: &ConnectorName,
        at: Timestamp,
        place: impl Into<String>,
        content: &str,
        (reason, sentence): (&str, impl Into<String>),
    ) -> Self {
        let place = place.into();
        let identity = [source.as_str(), &place, content].join("\u{1f}");
        Self {
            id: sha256_hex(identity.as_bytes())[..32].to_owned(),
            at,
            source: source.clone(),
            event: None,
            reason: reason.to_owned(),
            sentence: sentence.into(),
            place,
            row: content.chars().take(EXCERPT).collect(),
            awaits: None,
            about: Vec::new(),
            was: None,
            says: None,
            more: false,
            state: HeldState::Open,
            times: 1,
            last: None,
            over: None,
        }
    }

    /// Knows it by what it says and why it is held, wherever it stands: the same row in the next file
    /// is no second entry.
    pub fn known_by(mut self, content: &str) -> Self {
        self.id = known_by(&self.source, &self.reason, content);
        self
    }

    /// Of what waits for a name: that stock moved, each time.
    pub fn as_movement(self, moved: bool) -> Self {
        let says = self.says.clone();
        self.saying(says.or_else(|| moved.then(|| STOCK_MOVED.to_owned())))
    }

    /// Stands for the rows with this kind of fault that have no entry of their own.
    pub fn of_the_rest(self) -> Self {
        self.known_by(THE_REST).saying(Some(THE_REST.to_owned()))
    }

    /// Knows it by the name that it waits for.
    pub fn awaiting(self, name: &str) -> Self {
        Self {
            awaits: Some(name.to_owned()),
            ..self.known_by(name)
        }
    }

    /// What people know it by: the name that it waits for, or else the SKU or VIN that it is about. Much of
    /// one kind may be held of one of them.
    pub fn name(&self) -> &str {
        let about = self.awaits.as_ref().or_else(|| self.about.first());
        about.unwrap_or(&self.sentence)
    }

    /// Why, for people, and of what: which SKUs and VINs, where the sentence does not name them.
    pub fn detail(&self) -> String {
        let sentence = &self.sentence;
        match &self.about[..] {
            [] => sentence.clone(),
            [one] if !self.more => match names(sentence, one) {
                true => sentence.clone(),
                false => format!("{one}: {sentence}"),
            },
            several => {
                let named: Vec<_> = several.iter().take(NAMED).map(String::as_str).collect();
                let others = match several.len() - named.len() {
                    _ if self.more => " and more".to_owned(),
                    0 => String::new(),
                    others => format!(" and {others} more"),
                };
                let sentence = sentence.trim_end_matches('.');
                format!("{sentence} ({}{others})", named.join(", "))
            }
        }
    }

    /// The line of a file, or the place in a webhook's body, of an entry that stands for one row.
    pub fn row_at(&self) -> Option<&str> {
        if self.awaits.is_some() || self.event.is_some() || self.about.len() > 1 || self.more {
            return None;
        }
        let line = self.place.rsplit_once(':').map(|(_, line)| line);
        match line.is_some_and(|line| line.parse::<u64>().is_ok()) {
            true => Some(&self.place),
            false => self.place.find('/').map(|at| &self.place[at..]),
        }
    }

    /// The same, met as `held`: for the reason that holds now, in the words that hold now, about what that
    /// is about, too. It counts unless it was met by that already.
    fn met_as(&self, held: &Self) -> Self {
        let last = self.last.map_or(self.at, |last| last.0);
        let again = held.at > last;
        let was = (self.reason != held.reason).then(|| self.reason.clone());
        let mut now = Self {
            was: was.or_else(|| self.was.clone()),
            reason: held.reason.clone(),
            sentence: held.sentence.clone(),
            says: held.says.clone(),
            times: self.times.saturating_add(u64::from(again)),
            last: if again {
                Some(Moment(held.at))
            } else {
                self.last
            },
            ..self.clone()
        };
        now.join(held);
        now
    }

    /// Whether it says what another of the same id does.
    fn says_what(&self, other: &Self) -> bool {
        let is_named = |one: &String| self.more || self.about.contains(one);
        if other.awaits.is_some() && !other.about.iter().all(is_named) {
            return false;
        }
        match (&self.says, &other.says) {
            (_, None) => true,
            // What came since it was dismissed has not been seen by anybody.
            (_, Some(others)) if others == STOCK_MOVED => {
                let seen = self.over.as_ref().map(|over| over.at);
                seen.is_none_or(|seen| other.at <= seen)
            }
            // A row that nobody has seen may be among those that it does not name.
            (Some(says), Some(others)) if says == others && says == THE_REST => {
                let is_known = |one: &String| self.about.contains(one);
                !self.more && !other.about.is_empty() && other.about.iter().all(is_known)
            }
            // From before that was kept.
            (None, Some(_)) => self.row == other.row || self.sentence == other.sentence,
            (says, others) => says == others,
        }
    }

    /// Notes what it says, where that may become something else.
    pub fn saying(self, says: Option<String>) -> Self {
        Self { says, ..self }
    }

    fn add(&mut self, one: &str) {
        if self.about.iter().any(|known| known == one) {
            return;
        }
        match self.about.len() < ABOUT {
            true => self.about.push(one.to_owned()),
            false => self.more = true,
        }
    }

    /// Notes the SKU or VIN of a row that it stands for. Several rows may be one entry.
    pub fn about(mut self, one: Option<&str>) -> Self {
        if let Some(one) = one.filter(|it| !it.is_empty()) {
            self.add(one);
        }
        self
    }

    /// Notes what another entry of the same id is about, too.
    pub fn join(&mut self, other: &Self) {
        other.about.iter().for_each(|one| self.add(one));
        self.more |= other.more;
    }

    /// Names the event.
    pub fn event(mut self, event: EventId) -> Self {
        self.event = Some(event);
        self
    }
}

/// Whether a text has this word in it, however it is capitalised.
pub fn names(text: &str, word: &str) -> bool {
    let text = text.to_lowercase();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
    text.match_indices(&word.to_lowercase()).any(|(at, found)| {
        let (before, after) = (&text[..at], &text[at + found.len()..]);
        // A sentence may end behind it.
        let after = after.trim_start_matches('.');
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// The id of an entry that is known by what it says and why it is held.
pub(super) fn known_by(source: &ConnectorName, reason: &str, content: &str) -> String {
    let identity = [source.as_str(), reason, content].join("\u{1f}");
    sha256_hex(identity.as_bytes())[..32].to_owned()
}

/// Whether people are to know that something of one kind is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldKind {
    /// The source.
    pub source: ConnectorName,
    /// The kind: the reason's code.
    pub reason: String,
    /// Whether anything of it is open.
    pub open: bool,
    /// Since when.
    #[serde(with = "millis")]
    pub since: Timestamp,
    /// One of them, in words.
    pub example: String,
    /// When something was last held that opened nothing, as people knew of the kind: not of each such entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_at: Option<Moment>,
    /// The entry that was held then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
    /// What it goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl HeldKind {
    /// Whether an entry was held before people were told of the kind then, as far as its time says that.
    pub fn was_held_by(&self, entry: &Quarantined, told_at: Timestamp) -> bool {
        // It may have been another kind's then.
        let is_new_here = entry.was.is_some() || self.latest.as_ref() == Some(&entry.id);
        !is_new_here && told_at.duration_since(entry.at) > FOUND
    }

    /// When it has to be looked whether more is held than was found so far, if it has to be still.
    pub fn look_at(&self, now: Timestamp) -> Option<Timestamp> {
        let last = self.more_at.map_or(self.since, |at| at.0);
        let at = last.checked_add(FOUND).unwrap_or(Timestamp::MAX);
        Some(at).filter(|at| now < *at)
    }
}

/// Why an entry cannot be dismissed.
#[derive(Debug, thiserror::Error)]
pub enum DismissError {
    /// No such entry.
    #[error("there is no quarantine entry {0}")]
    Unknown(String),
    /// It is no longer open.
    #[error("quarantine entry {id} is {state} already")]
    Over {
        /// The entry.
        id: String,
        /// Where it stands.
        state: HeldState,
    },
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Holds it; `false` if it is open already, or was dismissed as it is. What was closed and is wrong again,
    /// or was dismissed and says something else now, is open again, and what is held for another reason than
    /// before says so.
    pub async fn quarantine(&self, held: &Quarantined) -> Result<bool, StoreError> {
        const OPERATION: &str = "hold a row in quarantine";
        for attempt in 0.. {
            let stored = self.quarantine_entry(&held.id).await?;
            match stored.as_ref().map(|stored| stored.data.state) {
                Some(HeldState::Dismissed)
                    if stored.as_ref().is_some_and(|it| it.data.says_what(held)) =>
                {
                    return Ok(false);
                }
                Some(HeldState::Open) => {
                    let Some(stored) = stored else { continue };
                    let before = &stored.data;
                    let now = before.met_as(held);
                    if now != *before && !self.hold_again(&stored, &now).await? {
                        // Of many at once not each is counted.
                        if before.reason != held.reason || attempt < COUNTING {
                            self.after_conflict(OPERATION, attempt).await?;
                            continue;
                        }
                    }
                    // Whoever wrote it may have died before people were to know.
                    let is_new_there = before.reason != held.reason;
                    self.tell_of_kind(held, is_new_there).await?;
                    if let Some(was) = &now.was {
                        self.untell_of_kind(&held.source, was).await?;
                    }
                    return Ok(false);
                }
                Some(HeldState::Closed | HeldState::Dismissed) | None => {}
            }
            let open = Quarantined {
                state: HeldState::Open,
                over: None,
                ..held.clone()
            };
            let index = keys::held(&held.source, &held.reason, &held.id);
            let index = Row::new(index, "held", &held.id)?;
            let writes = vec![
                Write::Put(entry_row(&open)?, Expect::from_read(stored.as_ref())),
                Write::Put(index, Expect::Anything),
            ];
            if self.transact(OPERATION, writes).await? == Written::Done {
                self.tell_of_kind(held, true).await?;
                return Ok(true);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Writes an open entry as it was met again; `false` if somebody else has written it since.
    pub(super) async fn hold_again(
        &self,
        stored: &Stored<Quarantined>,
        now: &Quarantined,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "hold what is held already";
        let before = &stored.data;
        let (row, expect) = (entry_row(now)?, Expect::Version(stored.version));
        if before.reason == now.reason {
            return self.put(OPERATION, row, expect).await;
        }
        let index = |held: &Quarantined| keys::held(&held.source, &held.reason, &held.id);
        let writes = vec![
            Write::Put(row, expect),
            Write::Delete(index(before), Expect::Anything),
            Write::Put(Row::new(index(now), "held", &now.id)?, Expect::Anything),
        ];
        let written = self.transact(OPERATION, writes).await?;
        Ok(written == Written::Done)
    }

    /// One entry.
    pub async fn quarantine_entry(
        &self,
        id: &str,
    ) -> Result<Option<Stored<Quarantined>>, StoreError> {
        self.get("read a quarantine entry", &keys::quarantined(id))
            .await
    }

    /// Closes an entry for this reason; nothing happens if it is not open.
    pub async fn close_quarantined(&self, id: &str, why: &str) -> Result<(), StoreError> {
        let over = Over {
            at: self.clock.now(),
            by: None,
            why: why.to_owned(),
        };
        match self.end_quarantined(id, HeldState::Closed, over).await {
            Ok(_) | Err(DismissError::Unknown(_) | DismissError::Over { .. }) => Ok(()),
            Err(DismissError::Store(error)) => Err(error),
        }
    }

    /// Closes a page of what is open of one kind, for this reason; true if that was all. If not, the stream
    /// carries the kind to the evaluator once more, and so to the next page.
    pub async fn close_kind(&self, kind: &Stored<HeldKind>, why: &str) -> Result<bool, StoreError> {
        let HeldKind { source, reason, .. } = &kind.data;
        let partition = keys::held_partition(source, reason);
        let operation = "look for held rows";
        let page = self
            .page_of_partition::<String>(operation, &partition, keys::HELD, None, PAGE)
            .await?;
        for id in page.items {
            self.close_quarantined(&id.data, why).await?;
        }
        if page.next.is_none() {
            self.untell_of_kind(source, reason).await?;
            return Ok(true);
        }
        // If somebody else has written it, the stream carries that.
        let (row, expect) = (kind_row(&kind.data)?, Expect::Version(kind.version));
        self.put("go on closing a kind of quarantine", row, expect)
            .await?;
        Ok(false)
    }

    /// Takes an entry off the list because a person says so. What it holds is applied all the same if
    /// it can be later.
    pub async fn dismiss_quarantined(
        &self,
        id: &str,
        why: &str,
        by: &str,
    ) -> Result<Quarantined, DismissError> {
        let over = Over {
            at: self.clock.now(),
            by: Some(by.to_owned()),
            why: why.to_owned(),
        };
        self.end_quarantined(id, HeldState::Dismissed, over).await
    }

    /// The kinds of which a source has ever had an entry: as many as there are reasons.
    pub async fn held_kinds(
        &self,
        source: &ConnectorName,
    ) -> Result<Vec<Stored<HeldKind>>, StoreError> {
        let list = keys::held_kinds(source);
        let kinds = self
            .list(
                "list the kinds of quarantine",
                &list,
                (None, None),
                false,
                None,
                PAGE,
            )
            .await?;
        Ok(kinds.items)
    }

    /// The open entries of a source that are not among `held`.
    pub async fn held_besides(
        &self,
        source: &ConnectorName,
        held: &BTreeSet<String>,
    ) -> Result<Vec<String>, StoreError> {
        const OPERATION: &str = "look for held rows";
        let mut besides = Vec::new();
        for kind in self.held_kinds(source).await? {
            let partition = keys::held_partition(source, &kind.data.reason);
            let mut after: Option<String> = None;
            loop {
                let page = self
                    .page_of_partition::<String>(
                        OPERATION,
                        &partition,
                        keys::HELD,
                        after.as_deref(),
                        PAGE,
                    )
                    .await?;
                let ids = page.items.into_iter().map(|stored| stored.data);
                besides.extend(ids.filter(|id| !held.contains(id)));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(besides)
    }

    async fn end_quarantined(
        &self,
        id: &str,
        state: HeldState,
        over: Over,
    ) -> Result<Quarantined, DismissError> {
        const OPERATION: &str = "close a quarantine entry";
        for attempt in 0.. {
            let Some(stored) = self.quarantine_entry(id).await? else {
                return Err(DismissError::Unknown(id.to_owned()));
            };
            let held = &stored.data;
            if held.state != HeldState::Open {
                // Whoever closed it may have stopped right after.
                self.untell_of_kind(&held.source, &held.reason).await?;
                return Err(DismissError::Over {
                    id: id.to_owned(),
                    state: held.state,
                });
            }
            let ended = Quarantined {
                state,
                over: Some(over.clone()),
                ..held.clone()
            };
            let index = keys::held(&held.source, &held.reason, id);
            let writes = vec![
                Write::Put(entry_row(&ended)?, Expect::Version(stored.version)),
                Write::Delete(index, Expect::Anything),
            ];
            if self.transact(OPERATION, writes).await? == Written::Done {
                self.untell_of_kind(&held.source, &held.reason).await?;
                return Ok(ended);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        }
        .into())
    }

    /// A page of the entries in a state, newest first.
    pub async fn quarantined(
        &self,
        state: HeldState,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Quarantined>, StoreError> {
        let list = list_of(state);
        let page = self
            .spread(
                "list the quarantine",
                &list,
                (None, None),
                true,
                cursor,
                limit,
            )
            .await?;
        Ok(page.map(|stored| stored.data))
    }

    /// Whether people are to know of a kind, and how often that changed.
    pub async fn held_kind(
        &self,
        source: &ConnectorName,
        reason: &str,
    ) -> Result<Option<Stored<HeldKind>>, StoreError> {
        self.get(
            "read a kind of quarantine",
            &keys::held_kind(source, reason),
        )
        .await
    }

    /// What is open of a kind, and whether that is not all of it.
    pub async fn open_of_kind(
        &self,
        kind: &HeldKind,
    ) -> Result<(Vec<Quarantined>, bool), StoreError> {
        const OPERATION: &str = "read what is open of a kind of quarantine";
        let partition = keys::held_partition(&kind.source, &kind.reason);
        let page = self
            .page_of_partition::<String>(OPERATION, &partition, keys::HELD, None, PAGE)
            .await?;
        let is_more = page.next.is_some();
        // In no order of time: of very many the latest may be beyond the page.
        let latest = kind.latest.clone().filter(|_| is_more);
        let ids = page.items.into_iter().map(|stored| stored.data);
        let ids: BTreeSet<String> = ids.chain(latest).collect();
        let keys: Vec<_> = ids.iter().map(|id| keys::quarantined(id)).collect();
        let found = self.get_many(OPERATION, &keys).await?.into_iter();
        let found = found.map(|(_, item)| read::<Quarantined>(OPERATION, item));
        let mut open = found
            .map(|entry| Ok(entry?.data))
            .collect::<Result<Vec<_>, StoreError>>()?;
        open.retain(|entry| entry.state == HeldState::Open && entry.reason == kind.reason);
        open.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
        Ok((open, is_more))
    }

    /// Has people told of a kind. While it is open, whoever looks at it is woken now and then by what is new.
    async fn tell_of_kind(&self, held: &Quarantined, is_new: bool) -> Result<(), StoreError> {
        const OPERATION: &str = "tell of a kind of quarantine";
        let Quarantined { source, reason, .. } = held;
        for attempt in 0.. {
            let stored = self.held_kind(source, reason).await?;
            let open = stored.as_ref().map(|stored| &stored.data);
            let open = open.filter(|kind| kind.open);
            let now = self.clock.now();
            if let Some(kind) = open {
                let woken_at = kind.more_at.map_or(kind.since, |at| at.0);
                if !is_new || now.duration_since(woken_at) < WAKES {
                    return Ok(());
                }
            }
            let kind = HeldKind {
                source: source.clone(),
                reason: reason.clone(),
                open: true,
                since: open.map_or(now, |kind| kind.since),
                example: held.sentence.chars().take(EXCERPT).collect(),
                more_at: open.map(|_| Moment(now)),
                latest: Some(held.id.clone()).filter(|_| is_new),
                origin: self.origin(),
            };
            if self
                .put(
                    OPERATION,
                    kind_row(&kind)?,
                    Expect::from_read(stored.as_ref()),
                )
                .await?
            {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// Has people told that nothing of a kind is open any more, if that is so.
    async fn untell_of_kind(&self, source: &ConnectorName, reason: &str) -> Result<(), StoreError> {
        const OPERATION: &str = "end a kind of quarantine";
        let Some(stored) = self.held_kind(source, reason).await? else {
            return Ok(());
        };
        if !stored.data.open || self.any_held(source, reason).await?.is_some() {
            return Ok(());
        }
        let over = HeldKind {
            open: false,
            origin: self.origin(),
            ..stored.data
        };
        self.put(OPERATION, kind_row(&over)?, Expect::Version(stored.version))
            .await?;
        // Somebody may have held another since, and found that people knew.
        if let Some(id) = self.any_held(source, reason).await?
            && let Some(held) = self.quarantine_entry(&id).await?
        {
            self.tell_of_kind(&held.data, true).await?;
        }
        Ok(())
    }

    /// An open entry of a kind, if there is one.
    async fn any_held(
        &self,
        source: &ConnectorName,
        reason: &str,
    ) -> Result<Option<String>, StoreError> {
        let partition = keys::held_partition(source, reason);
        let page = self
            .page_of_partition::<String>("look for held rows", &partition, keys::HELD, None, 1)
            .await?;
        Ok(page.items.into_iter().next().map(|stored| stored.data))
    }
}

fn kind_row(kind: &HeldKind) -> Result<Row, StoreError> {
    let key = keys::held_kind(&kind.source, &kind.reason);
    Ok(Row::new(key, "held_kind", kind)?.listed(Listed {
        list: keys::held_kinds(&kind.source),
        place: kind.reason.clone(),
    }))
}

fn list_of(state: HeldState) -> String {
    format!("quarantine#{state}")
}

fn entry_row(held: &Quarantined) -> Result<Row, StoreError> {
    let list = Listed::spread(&list_of(held.state), held.at, &held.id);
    let row = Row::new(keys::quarantined(&held.id), "quarantine", held)?.listed(list);
    // What is open stays until somebody has seen to it.
    Ok(match &held.over {
        None => row,
        Some(over) => row.expires(over.at.checked_add(KEPT).unwrap_or(Timestamp::MAX)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_at_the_same_place_is_the_same_entry() {
        let source: ConnectorName = "erp".parse().unwrap();
        let held = |second, place: &str, content: &str| {
            let at = Timestamp::from_second(second).unwrap();
            Quarantined::new(&source, at, place, content, ("no_data", "No quantity.")).id
        };
        assert_eq!(held(1, "a.csv:2", "OIL,"), held(2, "a.csv:2", "OIL,"));
        assert_ne!(held(1, "a.csv:2", "OIL,"), held(1, "a.csv:3", "OIL,"));
        assert_ne!(held(1, "a.csv:2", "OIL,"), held(1, "a.csv:2", "GAS,"));
        // The parts are told apart, not only their concatenation.
        assert_ne!(held(1, "a.csv:2", "1"), held(1, "a.csv:21", ""));
    }

    #[test]
    fn a_row_of_a_file_is_known_by_what_it_says() {
        let source: ConnectorName = "erp".parse().unwrap();
        let held = |place: &str, content: &str, reason: &str| {
            let at = Timestamp::UNIX_EPOCH;
            let held = Quarantined::new(&source, at, place, content, (reason, "No quantity."));
            held.known_by(content).id
        };
        let first = held("monday.csv:2", "OIL,", "no_data");
        assert_eq!(first, held("tuesday.csv:7", "OIL,", "no_data"));
        assert_ne!(first, held("monday.csv:2", "GAS,", "no_data"));
        assert_ne!(first, held("monday.csv:2", "OIL,", "held"));
    }

    #[test]
    fn people_read_which_product_it_is_and_in_which_row() {
        let source: ConnectorName = "erp".parse().unwrap();
        let held = |place: &str, sentence: &str, about: &[&str]| {
            let at = Timestamp::UNIX_EPOCH;
            let held = Quarantined::new(&source, at, place, "", ("no_data", sentence));
            about.iter().fold(held, |held, one| held.about(Some(one)))
        };
        for (sentence, about, detail) in [
            ("It is empty.", &[][..], "It is empty."),
            ("It is empty.", &["OIL"], "OIL: It is empty."),
            ("OIL at north: no.", &["OIL"], "OIL at north: no."),
            ("OIL-5 at north: no.", &["OIL"], "OIL: OIL-5 at north: no."),
            ("No such place.", &["A", "B"], "No such place (A, B)"),
            (
                "No such place.",
                &["A", "B", "C", "D", "E"],
                "No such place (A, B, C and 2 more)",
            ),
        ] {
            assert_eq!(held("a.csv:2", sentence, about).detail(), detail);
        }
        let row = |place, about: &[&str]| held(place, "", about).row_at().map(str::to_owned);
        assert_eq!(row("in/a.csv:2", &["OIL"]).as_deref(), Some("in/a.csv:2"));
        assert_eq!(row("in/a.csv:2", &["OIL", "GAS"]), None, "one of several");
        let pointer = "/data/changes/3";
        let webhook = format!("4f2a{pointer}");
        assert_eq!(row(&webhook, &[]).as_deref(), Some(pointer));
        assert_eq!(row("lookup:SJAAX14V4RC004321", &[]), None);
    }

    #[test]
    fn an_excerpt_is_bounded() {
        let source: ConnectorName = "erp".parse().unwrap();
        let long = "é".repeat(5_000);
        let held = Quarantined::new(&source, Timestamp::UNIX_EPOCH, "a:1", &long, ("x", "y"));
        assert_eq!(held.row.chars().count(), EXCERPT);
    }
}
