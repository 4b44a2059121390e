//! Long work that proceeds page by page. Each page rewrites the job, the stream carries the rewritten
//! job back to the evaluator, and so it runs on, however many pages there are, across any crash.
//!
//! Whatever calls for a look at everything, there is one of it at a time, in as many parts as the lists
//! have shards, side by side. A part that is under way when something else calls for it goes on from
//! where it stands and comes round to there once more: nothing is missed, nothing is begun twice, and
//! it ends however often the configuration changes meanwhile.
//!
//! The positions of sources that are believed again are looked at together: all positions are gone through
//! for them, which costs the same for one such source as for all of them.
//!
//! The stream gives a record up after some tries. So a job is always due at some time: when its next
//! page should long have been looked at, the clock rewrites it, ever more seldom for the same page.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Not, Range};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::row::{Expect, Row, Stored, Write, read};
use super::{Store, StoreError};
use crate::domain::alert::named;
use crate::domain::id::ConnectorName;
use crate::domain::watch::Moment;
use crate::installation::SETTLED;

named!(
    /// What a job is looking at; each has pages of its own.
    Stage {
        /// Nothing yet: it sets the parts of a look at everything to work.
        Spread => "spread",
        /// Positions.
        Positions => "positions",
        /// Vehicles.
        Units => "units",
    }
);

/// Looking again at everything that a change may concern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reexamination {
    /// Names the job: what it is for, or who asked.
    pub id: String,
    /// Only positions whose quantity one of these sources owns; all of them if there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owners: BTreeSet<ConnectorName>,
    /// The sources for whose positions it is to be done once more when it is done.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    next_owners: BTreeSet<ConnectorName>,
    /// The shard of the lists that it looks at, if it is a part of a look at everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u64>,
    /// What the next page is of.
    #[serde(default = "first_stage")]
    pub stage: Stage,
    /// Where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Where it ends once it has come round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<(Stage, Option<String>)>,
    /// Whether it has come round.
    #[serde(default, skip_serializing_if = "Not::not")]
    round: bool,
    /// How many things it has looked at.
    #[serde(default)]
    pub looked: u64,
    /// How many it has passed over, because a newer version has written them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub passed_over: u64,
    /// Since when it is under way, or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// Not before then (a season begins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// When the clock has the page looked at, if it still waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Moment>,
    /// Something came up while it was under way: when it is done, it is to be done once more.
    #[serde(default, skip_serializing_if = "Not::not")]
    again: bool,
    /// How often the clock had to have this page looked at.
    #[serde(default, skip_serializing_if = "is_zero")]
    overdue: u32,
}

/// How long reasons for one more look are gathered before it begins.
const GATHER: SignedDuration = SignedDuration::from_mins(2);
/// When what a newer version has written is looked at again.
const NEWER: SignedDuration = SignedDuration::from_hours(24);
/// The look that a new configuration asks for.
const CONFIGURATION: &str = "configuration";
/// The look for what the stream has given up.
pub const GIVEN_UP: &str = "given-up";
/// A look when a season begins or ends.
const SEASON: &str = "season-";
/// A look at everything.
const EVERYTHING: &str = "everything";
/// The look at what sources own that are believed again.
const BELIEVED_AGAIN: &str = "believed-again";
/// How long the stream has for a page.
const OVERDUE: SignedDuration = SignedDuration::from_mins(5);
/// Doublings of it, for a page that fails again and again: to some five hours.
const DOUBLINGS: u32 = 6;

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
}

const fn first_stage() -> Stage {
    Stage::Positions
}

impl Reexamination {
    /// A look at everything.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            owners: BTreeSet::new(),
            next_owners: BTreeSet::new(),
            shard: None,
            stage: Stage::Spread,
            cursor: None,
            until: None,
            round: false,
            looked: 0,
            passed_over: 0,
            since: None,
            not_before: None,
            due: None,
            again: false,
            overdue: 0,
        }
    }

    /// A look at everything when a season of that version's rules begins or ends.
    pub fn season(version: u64, at: Timestamp) -> Self {
        Self::new(format!("{SEASON}{version}-{}", at.as_millisecond())).at(at)
    }

    /// Whether it waits for a season of a configuration that another has replaced.
    pub fn is_outdated(&self, version: u64) -> bool {
        let season = self.id.strip_prefix(SEASON);
        let of = season.and_then(|rest| rest.split('-').next()?.parse::<u64>().ok());
        of.is_some_and(|of| of != version)
    }

    /// A look at everything by the configuration that applies.
    pub fn configuration() -> Self {
        Self::new(CONFIGURATION)
    }

    /// One part of a look at everything.
    fn part(shard: u64) -> Self {
        Self {
            shard: Some(shard),
            stage: Stage::Positions,
            ..Self::new(format!("{EVERYTHING}.{shard}"))
        }
    }

    /// What comes after a page; `None` if it is done.
    fn after(&self, next: Option<(Stage, Option<String>)>) -> Option<Self> {
        let ends =
            |place: &(Stage, Option<String>)| self.until.as_ref().is_some_and(|end| place >= end);
        let (place, round) = match next {
            Some(place) if self.round && ends(&place) => return None,
            Some(place) => (place, self.round),
            None if self.round || self.until.is_none() => return None,
            None => ((Stage::Positions, None), true),
        };
        if round && ends(&place) {
            return None;
        }
        let (stage, cursor) = place;
        Some(Self {
            stage,
            cursor,
            round,
            not_before: None,
            overdue: 0,
            ..self.clone()
        })
    }

    /// Only at positions, those whose quantity one of these sources owns.
    pub fn of(mut self, owners: BTreeSet<ConnectorName>) -> Self {
        self.owners = owners;
        self.stage = Stage::Positions;
        self
    }

    /// The part of a look at what sources own that goes through this shard.
    fn part_of(owners: BTreeSet<ConnectorName>, shard: u64) -> Self {
        Self {
            shard: Some(shard),
            ..Self::new(format!("{BELIEVED_AGAIN}.{shard}")).of(owners)
        }
    }

    /// The sources that it is done for, now or once more.
    pub fn all_owners(&self) -> impl Iterator<Item = &ConnectorName> {
        self.owners.iter().chain(&self.next_owners)
    }

    /// Whether it is to look at positions of this owner.
    pub fn is_about(&self, owner: Option<&ConnectorName>) -> bool {
        self.owners.is_empty() || owner.is_some_and(|owner| self.owners.contains(owner))
    }

    /// Not before then.
    pub fn at(mut self, then: Timestamp) -> Self {
        self.not_before = Some(Moment(then));
        self
    }

    /// Whether the clock is to see to it by then.
    pub(super) fn is_due(&self, by: Timestamp) -> bool {
        // Rows of the first version have no time of their own.
        let due = self.due.or(self.not_before);
        due.is_some_and(|due| due.0 <= by)
    }

    /// Has the stream carry it to the evaluator, and the clock look after it.
    fn row(mut self, now: Timestamp) -> Result<Row, StoreError> {
        let patience = OVERDUE * (1 << self.overdue.min(DOUBLINGS));
        let overdue = now.checked_add(patience).unwrap_or(Timestamp::MAX);
        let due = self.not_before.map_or(overdue, |at| at.0);
        self.due = Some(Moment(due));
        self.since.get_or_insert(Moment(now));
        Ok(Row::new(key(&self.id), "job", &self)?.due(Some(due)))
    }
}

/// How far a look at everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Since when.
    pub since: Option<Timestamp>,
    /// How many positions and vehicles it has looked at.
    pub looked: u64,
    /// How many of those it has passed over, because a newer version has written them.
    pub passed_over: u64,
    /// Of about how many, as the last look at everything found; nothing where it found none, or fewer than
    /// there are, as the first one after a first load.
    pub of: Option<u64>,
    /// How many of its parts are under way.
    pub parts: usize,
}

/// How much a part of a look at everything had to look at when it was last done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Size {
    looked: u64,
    at: Moment,
}

/// The name of the job that looks at what was applied again.
fn replay_of(connector: &ConnectorName) -> String {
    format!("replay-{connector}")
}

fn size_key(id: &str) -> Key {
    Key::new(format!("J#{id}"), "size")
}

fn key(id: &str) -> Key {
    Key::new(format!("J#{id}"), "job")
}

impl Store {
    /// Starts a job, unless it has been started and is not done.
    pub async fn start_job(&self, job: Reexamination) -> Result<bool, StoreError> {
        let row = job.row(self.clock.now())?;
        self.put("start a job", row, Expect::Absent).await
    }

    /// Starts a job together with what makes it necessary, also where it is under way: who works on the one
    /// before does not take it for that, and for done.
    pub(super) fn job_to_start(&self, job: Reexamination) -> Result<Write, StoreError> {
        Ok(Write::Put(job.row(self.clock.now())?, Expect::Anything))
    }

    /// Has one part of everything looked at: from its beginning, or if it is under way, all the way
    /// round to where it stands.
    pub async fn look_at_part(&self, shard: u64) -> Result<(), StoreError> {
        const OPERATION: &str = "start a part of a look at everything";
        let mut attempt = 0;
        loop {
            let fresh = Reexamination::part(shard);
            if self.start_job(fresh.clone()).await? {
                return Ok(());
            }
            if let Some(stored) = self.job(&fresh.id).await? {
                let mut job = stored.data;
                job.until = Some((job.stage, job.cursor.clone()));
                job.round = false;
                let row = job.row(self.clock.now())?;
                let expect = Expect::Version(stored.version);
                if self.put(OPERATION, row, expect).await? {
                    return Ok(());
                }
            }
            self.after_conflict(OPERATION, attempt).await?;
            attempt += 1;
        }
    }

    /// Of the jobs whose names are known beforehand those that there are.
    pub(super) async fn known_jobs(
        &self,
        connectors: impl Iterator<Item = &ConnectorName>,
    ) -> Result<Vec<Reexamination>, StoreError> {
        const OPERATION: &str = "read jobs by their names";
        let of_shards = |name: &'static str| Self::parts().map(move |it| format!("{name}.{it}"));
        let ids = [CONFIGURATION, GIVEN_UP].map(str::to_owned).into_iter();
        let ids = ids
            .chain(of_shards(EVERYTHING))
            .chain(of_shards(BELIEVED_AGAIN));
        let keys: Vec<_> = ids
            .chain(connectors.map(replay_of))
            .map(|id| key(&id))
            .collect();
        let found = self.get_many(OPERATION, &keys).await?.into_iter();
        let jobs = found.map(|(_, item)| Ok(read::<Reexamination>(OPERATION, item)?.data));
        jobs.collect()
    }

    /// The parts of a look at everything that are under way.
    pub async fn parts_under_way(&self) -> Result<Vec<Reexamination>, StoreError> {
        let mut parts = Vec::new();
        for shard in Self::parts() {
            let part = self.job(&Reexamination::part(shard).id).await?;
            parts.extend(part.map(|stored| stored.data));
        }
        Ok(parts)
    }

    /// How far a look at everything is, if one is under way.
    pub async fn progress_of_parts(&self) -> Result<Option<Progress>, StoreError> {
        const OPERATION: &str = "read how far jobs are";
        let ids = Self::parts().map(|shard| Reexamination::part(shard).id);
        let keys: Vec<_> = ids.flat_map(|id| [key(&id), size_key(&id)]).collect();
        let (mut parts, mut sizes) = (Vec::new(), BTreeMap::new());
        for (kind, item) in self.get_many(OPERATION, &keys).await? {
            if kind == "job" {
                parts.push(read::<Reexamination>(OPERATION, item)?.data);
            } else {
                let size = read::<Size>(OPERATION, item)?;
                sizes.insert(size.key.pk, size.data);
            }
        }
        let under_way = parts.into_iter();
        let under_way = under_way.map(|part| {
            let size = sizes.remove(&size_key(&part.id).pk);
            (part, size)
        });
        let under_way: Vec<_> = under_way.collect();
        let mut done: Vec<_> = sizes.into_values().collect();
        if under_way.is_empty() {
            return Ok(None);
        }
        let since = under_way.iter().filter_map(|(part, _)| part.since).min();
        done.retain(|size| Some(size.at) >= since);
        let all_done: u64 = done.iter().map(|size| size.looked).sum();
        let looked: u64 = under_way.iter().map(|(part, _)| part.looked).sum();
        let passed_over = under_way.iter().map(|(part, _)| part.passed_over).sum();
        let of = under_way.iter().map(|(part, size)| {
            // How much has come since it was counted nobody knows.
            let known = size.map(|size| size.looked);
            known.filter(|known| *known > 0 && *known >= part.looked)
        });
        let of: Option<u64> = of.sum();
        Ok(Some(Progress {
            since: since.map(|since| since.0),
            looked: all_done + looked,
            passed_over,
            of: of.map(|of| all_done + of),
            parts: under_way.len(),
        }))
    }

    /// The parts of a look at everything.
    pub fn parts() -> Range<u64> {
        0..keys::LIST_SHARDS
    }

    /// Has everything looked at from its beginning once more, soon, by the one job of this name: one
    /// that has not begun yet, or has gone round, serves as many as ask for it.
    pub async fn look_again(&self, id: &str) -> Result<(), StoreError> {
        const OPERATION: &str = "plan a job";
        let mut attempt = 0;
        loop {
            let soon = self.soon();
            if self.start_job(Reexamination::new(id).at(soon)).await? {
                return Ok(());
            }
            if let Some(stored) = self.job(id).await? {
                let mut job = stored.data;
                if job.not_before.is_some() || job.again {
                    return Ok(());
                }
                job.again = true;
                let row = job.row(self.clock.now())?;
                if self
                    .put(OPERATION, row, Expect::Version(stored.version))
                    .await?
                {
                    return Ok(());
                }
            }
            self.after_conflict(OPERATION, attempt).await?;
            attempt += 1;
        }
    }

    /// Has the positions looked at whose quantity this source owns, soon: one look serves all sources for
    /// which that is asked well before it begins, and one more those for which it is asked from then on.
    pub async fn look_at_owned_by(&self, owner: &ConnectorName) -> Result<(), StoreError> {
        const OPERATION: &str = "plan a look at what a source owns";
        for shard in Self::parts() {
            let mut attempt = 0;
            loop {
                let fresh = Reexamination::part_of([owner.clone()].into(), shard).at(self.soon());
                let id = fresh.id.clone();
                if self.start_job(fresh).await? {
                    break;
                }
                if let Some(stored) = self.job(&id).await? {
                    let mut job = stored.data;
                    // When it begins, somebody may still know the source as it was a second ago.
                    let settled = self.clock.now().checked_add(SETTLED);
                    let owners = match job.not_before {
                        Some(begins) if settled.is_ok_and(|settled| settled <= begins.0) => {
                            &mut job.owners
                        }
                        _ => &mut job.next_owners,
                    };
                    if !owners.insert(owner.clone()) {
                        break;
                    }
                    let row = job.row(self.clock.now())?;
                    let expect = Expect::Version(stored.version);
                    if self.put(OPERATION, row, expect).await? {
                        break;
                    }
                }
                self.after_conflict(OPERATION, attempt).await?;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// Notes that a connector's webhooks are being applied again: what they write is looked at, with
    /// everything else, when that is over, or has not gone on for some time.
    pub async fn replay_goes_on(&self, connector: &ConnectorName) -> Result<(), StoreError> {
        let job = Reexamination::new(replay_of(connector)).at(self.soon());
        self.look_after_replay(job).await
    }

    /// Has everything looked at now that the last of a connector's webhooks is applied again.
    pub async fn replay_is_over(&self, connector: &ConnectorName) -> Result<(), StoreError> {
        self.look_after_replay(Reexamination::new(replay_of(connector)))
            .await
    }

    async fn look_after_replay(&self, job: Reexamination) -> Result<(), StoreError> {
        let row = job.row(self.clock.now())?;
        let written = self.put("plan a job", row, Expect::Anything).await;
        written.map(drop)
    }

    /// Whether a connector's webhooks are being applied again.
    pub async fn is_being_replayed(&self, connector: &ConnectorName) -> Result<bool, StoreError> {
        let job = self.job(&replay_of(connector)).await?;
        // Of one that is not gone on with the job is begun then, and looks at what it has written.
        let now = self.clock.now();
        Ok(job.is_some_and(|stored| stored.data.not_before.is_some_and(|at| now < at.0)))
    }

    /// Has everything looked at once more in a day, because something was passed over that a newer version
    /// has written: once for each day, so that the look of today does not stand in the way of tomorrow's.
    pub async fn look_again_at_what_is_newer(&self) -> Result<(), StoreError> {
        let then = self.clock.now().checked_add(NEWER);
        let then = then.unwrap_or(Timestamp::MAX);
        let job = Reexamination::new(format!("newer-{}", then.strftime("%Y-%m-%d")));
        self.start_job(job.at(then)).await.map(drop)
    }

    fn soon(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(GATHER).unwrap_or(Timestamp::MAX)
    }

    /// A job as it stands.
    pub async fn job(&self, id: &str) -> Result<Option<Stored<Reexamination>>, StoreError> {
        self.get("read a job", &key(id)).await
    }

    /// Records that a page is done; without a next one the job is, too, unless it is to go round again.
    pub async fn advance_job(
        &self,
        stored: &Stored<Reexamination>,
        looked: u64,
        next: Option<(Stage, Option<String>)>,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "advance a job";
        let expect = Expect::Version(stored.version);
        let job = match stored.data.after(next) {
            Some(job) => Reexamination {
                looked: job.looked + looked,
                ..job
            },
            None if stored.data.again => Reexamination::new(&stored.data.id).at(self.soon()),
            None if !stored.data.next_owners.is_empty() => Reexamination {
                shard: stored.data.shard,
                ..Reexamination::new(&stored.data.id).of(stored.data.next_owners.clone())
            }
            .at(self.soon()),
            None => {
                self.note_size(&stored.data, looked).await?;
                return self.delete(OPERATION, &stored.key, expect).await;
            }
        };
        self.put(OPERATION, job.row(self.clock.now())?, expect)
            .await
    }

    /// Notes how much a part that is done had to look at. One that came round has looked at some twice.
    async fn note_size(&self, part: &Reexamination, looked: u64) -> Result<(), StoreError> {
        if part.shard.is_none() || !part.owners.is_empty() || part.until.is_some() {
            return Ok(());
        }
        let size = Size {
            looked: part.looked + looked,
            at: Moment(self.clock.now()),
        };
        let row = Row::new(size_key(&part.id), "size", &size)?;
        self.put("note a job's size", row, Expect::Anything).await?;
        Ok(())
    }

    /// Has a page looked at whose time has come: the stream carries the rewritten job to the
    /// evaluator. `false` if somebody else did.
    pub async fn begin_job(&self, stored: &Stored<Reexamination>) -> Result<bool, StoreError> {
        let mut job = stored.data.clone();
        if job.not_before.take().is_none() {
            job.overdue += 1;
        }
        let row = job.row(self.clock.now())?;
        self.put("begin a job", row, Expect::Version(stored.version))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages of a part whose list has five, one of them of vehicles; asked for once more while it
    /// stands before each of these pages.
    fn pages(mut asked: Vec<usize>) -> Vec<usize> {
        let place = |page: usize| match page {
            0 => (Stage::Positions, None),
            4 => (Stage::Units, None),
            page => (Stage::Positions, Some(page.to_string())),
        };
        let of = |job: &Reexamination| {
            (0..5).find(|page| place(*page) == (job.stage, job.cursor.clone()))
        };
        let mut job = Reexamination::part(3);
        let mut looked = Vec::new();
        loop {
            let page = of(&job).unwrap();
            if let Some(first) = asked.iter().position(|before| *before == page) {
                asked.remove(first);
                job.until = Some((job.stage, job.cursor.clone()));
                job.round = false;
            }
            looked.push(page);
            assert!(looked.len() < 50, "it does not end: {looked:?}");
            match job.after((page < 4).then(|| place(page + 1))) {
                Some(next) => job = next,
                None => return looked,
            }
        }
    }

    #[test]
    fn a_part_that_is_asked_for_again_comes_round_to_where_it_stood() {
        assert_eq!(pages(vec![]), [0, 1, 2, 3, 4]);
        assert_eq!(pages(vec![0]), [0, 1, 2, 3, 4]);
        assert_eq!(pages(vec![2]), [0, 1, 2, 3, 4, 0, 1]);
        assert_eq!(pages(vec![4]), [0, 1, 2, 3, 4, 0, 1, 2, 3]);
        assert_eq!(pages(vec![3, 1]), [0, 1, 2, 3, 4, 0, 1, 2]);
        // And again on its second way.
        assert_eq!(pages(vec![3, 1, 1]), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]);
    }
}
