//! Positions and what they add up to: low, out, and fast-selling stock.
//!
//! What one change sets off is one message for each person: of the alerts that it opens, the gravest
//! or most specific is told, and the others only to those whom that one does not reach. They are open
//! all the same, and told once the one that covered them is over.

use std::collections::{BTreeSet, VecDeque};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use shared::domain::alert::RevisionKind;
use shared::domain::id::{ChannelName, GroupName, LocationId};
use shared::domain::message::Message;
use shared::domain::position::Position;
use shared::domain::rule::{Check, Condition, Facts, Rule};
use shared::domain::watch::{Episode, NO_LONGER_OUT, Watch, still_low};
use shared::domain::{AlertKind, ProductId, Severity, Subject};
use shared::store::StoreError;
use shared::store::alerts::ProductPicture;

use crate::announce::{Look, Looked};
use crate::judge::{Judged, Scene, rank};
use crate::surroundings::Surroundings;
use crate::{EvaluateError, Evaluator};

/// How often a look that met another one starts again.
const ATTEMPTS: usize = 8;
/// Positions of a product that are looked at side by side: fewer than a look starts again, because those
/// of one group meet at its sum.
const AT_ONCE: usize = 7;

/// An alert that people know of, and who they are.
struct Told {
    subject: Subject,
    kind: AlertKind,
    severity: Severity,
    cause: Option<String>,
    channels: Vec<ChannelName>,
}

/// What may be covered: an alert that is open or about to.
struct Concern<'a> {
    subject: &'a Subject,
    kind: AlertKind,
    severity: Severity,
    cause: Option<&'a str>,
    /// The change by which an alert that people know of has fallen further.
    fallen_by: Option<&'a str>,
}

impl Evaluator {
    /// Looks at a position as it was at `after`, at the groups it counts towards, and at whatever an
    /// alert that ends with this look has kept from people.
    pub(crate) async fn look_at_position(
        &self,
        around: &Surroundings,
        before: Option<&Position>,
        after: &Position,
    ) -> Result<(), EvaluateError> {
        let uncovered = self.look_until_done(around, before, after).await?;
        let mut looked = BTreeSet::from([after.location.clone()]);
        let mut waiting = VecDeque::from(uncovered);
        while let Some(position) = waiting.pop_front() {
            if looked.insert(position.location.clone()) {
                waiting.extend(self.look_until_done(around, None, &position).await?);
            }
        }
        Ok(())
    }

    /// Looks where this rule of a product applies, or did: at a place of its own at no other.
    pub(crate) async fn look_where(
        &self,
        around: &Surroundings,
        product: &ProductId,
        rule: &Rule,
    ) -> Result<(), EvaluateError> {
        match (&rule.scope.location, &rule.scope.group) {
            (Some(location), _) => {
                let Some(position) = self.store.position(product, location).await? else {
                    return Ok(());
                };
                self.because_of_time(position.origin.clone())
                    .look_at_position(around, None, &position)
                    .await
            }
            (None, Some(group)) if rule.is_over_sum() => {
                self.look_at_group(around, product, group).await
            }
            (None, Some(group)) => {
                let members = around.installation.config.locations.members(group);
                self.look_at_product(around, product, |at| members.contains(at))
                    .await
            }
            (None, None) => self.look_at_product(around, product, |_| true).await,
        }
    }

    /// Looks at those positions of a product to which other rules may apply than before.
    pub(crate) async fn look_at_product(
        &self,
        around: &Surroundings,
        product: &ProductId,
        applies: impl Fn(&LocationId) -> bool + Send,
    ) -> Result<(), EvaluateError> {
        let positions = self.store.positions_of(product).await?;
        let applies = positions.iter().filter(|one| applies(&one.location));
        let looks = applies.map(|position| {
            let look = async move {
                let on_behalf = self.because_of_time(position.origin.clone());
                on_behalf.look_at_position(around, None, position).await
            };
            look.boxed()
        });
        // Made first and run after: a stream of async closures is not `Send` for every lifetime.
        let looks: Vec<_> = looks.collect();
        stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Looks at a product's sum over a group because time has passed.
    pub(crate) async fn look_at_group(
        &self,
        around: &Surroundings,
        product: &ProductId,
        group: &GroupName,
    ) -> Result<(), EvaluateError> {
        let picture = self.store.picture(product).await?;
        let members = around.installation.config.locations.members(group);
        let there = members.iter().filter_map(|at| picture.positions.get(at));
        // With the one that was written last, so that what its change set off there is one with this.
        let member = there.max_by_key(|it| it.origin.as_ref().map(|origin| origin.at));
        // A group that has lost its members is looked at with any position of the product.
        match member.or_else(|| picture.positions.values().next()) {
            Some(position) => {
                self.because_of_time(position.origin.clone())
                    .look_at_position(around, None, position)
                    .await
            }
            None => Ok(()),
        }
    }

    /// What has to be known to look at a position: what stands at its location, and where it counts in
    /// a sum, all of the product.
    async fn picture_at(
        &self,
        around: &Surroundings,
        after: &Position,
    ) -> Result<ProductPicture, EvaluateError> {
        let (product, location) = (&after.product, &after.location);
        let (mut picture, is_whole) = self.store.picture_at(product, location).await?;
        let known = picture.description.as_ref();
        let sources = &around.authority.quantities;
        let category = known.and_then(|it| it.category(sources));
        let imported = (around.installation)
            .imported_for(&self.store, product, category, location)
            .await?;
        picture.rules.extend(imported.iter().cloned());
        let counts_in_a_sum = {
            let description = picture.description.as_ref();
            let category = description.and_then(|it| it.category(sources));
            let directory = &around.installation.config.locations;
            let facts = Facts::of(product, category, location, directory)
                .with(&picture.rules)
                .formerly(&picture.formerly);
            let sums = around.installation.rules.rules_over_sums(&facts);
            !sums.is_empty()
        };
        if !counts_in_a_sum {
            return Ok(picture);
        }
        let whole = async || {
            let mut picture = self.store.picture(product).await?;
            picture.rules.extend(imported.iter().cloned());
            Ok::<_, EvaluateError>(picture)
        };
        if !is_whole {
            picture = whole().await?;
        }
        // Before it is added up with the rest.
        let mut ended = false;
        for position in picture.positions.values() {
            let config = &around.installation.config;
            ended |= Box::pin(self.end_statements(config, position)).await?;
        }
        match ended {
            true => whole().await,
            false => Ok(picture),
        }
    }

    /// Looks until no other look comes between. The other positions of which an alert is no longer
    /// covered.
    async fn look_until_done(
        &self,
        around: &Surroundings,
        before: Option<&Position>,
        after: &Position,
    ) -> Result<Vec<Position>, EvaluateError> {
        for _ in 0..ATTEMPTS {
            let mut picture = self.picture_at(around, after).await?;
            // What this record says is looked at, not what may have become of it since: each crossing
            // counts. Of the other positions, the latest. What is there for the first time has crossed nothing,
            // nor has what was only passing, and either may be heard of after what became of it.
            let may_be_over = before.is_none() || after.is_passing();
            let newer = picture
                .positions
                .get(&after.location)
                .filter(|known| may_be_over && known.revision > after.revision);
            let after = &newer.unwrap_or(after).clone();
            picture
                .positions
                .insert(after.location.clone(), after.clone());
            for position in picture.positions.values() {
                if self.is_being_replayed(position.replayed.as_ref()).await? {
                    return Ok(Vec::new());
                }
            }
            let mut down = BTreeSet::new();
            // What people and programs did is told, however old the rest is.
            let by_others = before.is_some_and(|before| {
                let sources = &around.authority.quantities;
                before.is_stated_as(after, sources) && before.stock(sources) != after.stock(sources)
            });
            for position in picture.positions.values() {
                if self.inhibits(around, position).await? && !by_others {
                    down.insert(position.location.clone());
                }
            }
            let scene = Scene {
                installation: &around.installation,
                picture: &picture,
                authority: &around.authority,
                now: self.store.clock().now(),
                down: &down,
            };
            if let Some(told) = self.look_once(&scene, before, after).await? {
                return Ok(scene.uncovered(&told, after));
            }
        }
        Err(StoreError::Contended {
            operation: "evaluate a position",
        }
        .into())
    }

    /// One look at everything that a position concerns: what people know of now, or nothing if
    /// another look came between.
    async fn look_once(
        &self,
        scene: &Scene<'_>,
        before: Option<&Position>,
        after: &Position,
    ) -> Result<Option<Vec<Told>>, EvaluateError> {
        let watched = scene.picture.watches.iter();
        let mut told: Vec<_> = watched
            .filter_map(|stored| {
                let watched = &stored.data;
                scene.told(&watched.subject, watched.kind, watched.watch.episode())
            })
            .collect();
        let all = scene.judge(before, after);
        for judged in &all {
            let subject = judged.resolution.subject();
            let kind = judged.resolution.kind;
            let beside = all.iter().filter(|other| {
                let is_called_for = other.verdict.condition == Condition::Breached;
                is_called_for && other.resolution.subject() == subject
            });
            let called_for = beside.map(|other| other.resolution.kind).collect();
            let change = scene.change(&subject, after, &told);
            let look = Look {
                called_for,
                ..scene.look(judged, &change, &told)
            };
            let words = |change| Message {
                notes: scene.said_beside(change, judged, &all),
                ..scene.message(change, judged)
            };
            let Looked::Done(open) = self.step(look, &words).await? else {
                return Ok(None);
            };
            told.retain(|one| one.kind != kind || one.subject != subject);
            told.extend(scene.told(&subject, kind, open.as_deref()));
        }
        Ok(Some(told))
    }
}

impl Told {
    /// Whether those who know of this alert need not hear of the other.
    fn covers(&self, other: &Concern<'_>) -> bool {
        let of_stock = |kind| matches!(kind, AlertKind::OutOfStock | AlertKind::LowStock);
        let is_same = self.subject == *other.subject;
        if is_same && other.kind != AlertKind::HighDemand {
            return self.kind == AlertKind::OutOfStock && other.kind == AlertKind::LowStock;
        }
        of_stock(self.kind)
            && (of_stock(other.kind) || is_same)
            && self.cause.is_some()
            && [other.cause, other.fallen_by].contains(&self.cause.as_deref())
            && rank(&self.subject, self.kind, self.severity)
                < rank(other.subject, other.kind, other.severity)
    }
}

impl<'a> Scene<'a> {
    /// What a message about what is left says of the item's other alerts that begin or end with it, or go on,
    /// for those who are not told of them by themselves.
    fn said_beside(
        &self,
        change: RevisionKind,
        judged: &Judged<'_>,
        all: &[Judged<'_>],
    ) -> Vec<String> {
        let (subject, kind) = (judged.resolution.subject(), judged.resolution.kind);
        if !kind.tells_what_is_left() {
            return Vec::new();
        }
        let begins = change == RevisionKind::Opened;
        let beside = all.iter().filter(|it| it.resolution.subject() == subject);
        let said = beside.filter_map(|other| {
            let watch = self.picture.watch(&subject, other.resolution.kind);
            let watch = watch.map(|stored| &stored.data.watch);
            let fires = other.verdict.condition == Condition::Breached;
            let is_open = watch.is_some_and(|watch| watch.episode().is_some());
            let waits = watch.is_some_and(Watch::waits_for_graver);
            match (other.resolution.kind, other.verdict.check) {
                // Each time, as what said it first may not have left, or be left out for what comes later.
                (AlertKind::HighDemand, Some(Check::HighDemand(demand)))
                    if fires
                        && (begins && !is_open || change != RevisionKind::Resolved && waits) =>
                {
                    let (sold, days) = (other.reading.sold?, demand.days);
                    let days = if days == 1 { "day" } else { "days" };
                    let within = format!("within {} {days}", demand.days);
                    Some(format!("High demand, too: {sold} sold {within}."))
                }
                (AlertKind::OutOfStock, _)
                    if change != RevisionKind::Resolved
                        && watch.is_some_and(|it| it.ends_told(&other.verdict, self.now)) =>
                {
                    Some(NO_LONGER_OUT.to_owned())
                }
                (AlertKind::LowStock, _)
                    if kind == AlertKind::OutOfStock
                        && change == RevisionKind::Resolved
                        && fires =>
                {
                    let threshold = other.reading.threshold?;
                    Some(still_low(threshold))
                }
                _ => None,
            }
        });
        said.collect()
    }

    /// The positions elsewhere that are to be looked at, because an alert on one of them, or on a sum that
    /// it counts in, waits for a graver one that is over.
    fn uncovered(&self, told: &[Told], after: &Position) -> Vec<Position> {
        let picture = self.picture;
        let directory = &self.installation.config.locations;
        let waiting = picture.watches.iter().filter_map(|stored| {
            let watch = &stored.data.watch;
            let episode = watch.episode().filter(|_| watch.waits_for_graver())?;
            let concern = Concern {
                subject: &stored.data.subject,
                kind: stored.data.kind,
                severity: episode.severity,
                cause: episode.cause.as_deref(),
                fallen_by: None,
            };
            if told.iter().any(|one| one.covers(&concern)) {
                return None;
            }
            let places = match &stored.data.subject {
                Subject::Position { location, .. } => std::slice::from_ref(location),
                Subject::Group { group, .. } => directory.members(group),
                _ => &[],
            };
            // What this position counts in was looked at with it.
            if places.contains(&after.location) {
                return None;
            }
            places.iter().find_map(|place| picture.positions.get(place))
        });
        waiting.cloned().collect()
    }

    fn told(&self, subject: &Subject, kind: AlertKind, open: Option<&Episode>) -> Option<Told> {
        let episode = open.filter(|episode| episode.told())?;
        let about = (subject, kind, episode.severity);
        let change = RevisionKind::Opened;
        let reached = self
            .installation
            .recipients(about, self.category(), change, None);
        Some(Told {
            subject: subject.clone(),
            kind,
            severity: episode.severity,
            cause: episode.cause.clone(),
            channels: reached.into_iter().map(|one| one.channel).collect(),
        })
    }

    /// The change that is looked at. What one file or webhook changes at several places is one change, and
    /// their sum's is that of the place of which people are told: of what was written just now, and of what
    /// last made the sum another, whoever has repeated a level since.
    fn change(&self, subject: &Subject, after: &Position, told: &[Told]) -> String {
        let of = |at: &Position| format!("{}@{}", at.location, at.changed().revision);
        let own = of(after);
        let Subject::Group { group, .. } = subject else {
            return own;
        };
        let places = self.installation.config.locations.members(group).iter();
        let there: Vec<_> = places
            .filter_map(|place| self.picture.positions.get(place))
            .collect();
        let id = |at: &Position| at.origin.as_ref().map(|origin| origin.id.clone());
        let last = there.iter().max_by_key(|at| at.changed_at);
        let (just_now, last) = (id(after), last.and_then(|at| at.changed().by));
        let is_one = |at: &&&Position| {
            let written_with = just_now.is_some() && id(at) == just_now;
            written_with || last.is_some() && at.changed().by == last
        };
        let mut together = there.iter().filter(is_one).map(|at| of(at));
        let is_told = |change: &String| told.iter().any(|it| it.cause.as_ref() == Some(change));
        together.find(is_told).unwrap_or(own)
    }

    fn look(&self, judged: &Judged<'a>, change: &str, told: &[Told]) -> Look<'a> {
        let subject = judged.resolution.subject();
        let kind = judged.resolution.kind;
        let stored = self.picture.watch(&subject, kind);
        let open = stored.and_then(|stored| stored.data.watch.episode());
        let fallen = open.filter(|it| it.falls_further(&judged.verdict));
        // What was covered and has fallen further since is news of its own.
        let covered_then = open.filter(|it| !it.falls_unheard(&judged.verdict));
        let concern = Concern {
            subject: &subject,
            kind,
            severity: judged.verdict.severity,
            cause: covered_then.map_or(Some(change), |episode| episode.cause.as_deref()),
            fallen_by: fallen.map(|_| change),
        };
        let covering = told.iter().filter(|one| one.covers(&concern));
        let covered = covering.flat_map(|one| one.channels.clone()).collect();
        let siblings = self.picture.watches.iter().map(|stored| &stored.data);
        let beside = siblings
            .filter(|other| other.subject == subject && other.kind != kind)
            .flat_map(|other| other.watch.spoken_of.clone())
            .collect();
        Look {
            installation: self.installation,
            beside,
            called_for: Vec::new(),
            positions: judged.shown.of.clone(),
            stored,
            kind,
            verdict: judged.verdict.clone(),
            seen: judged.seen.clone(),
            cause: Some(change.to_owned()),
            covered,
            changes_at: judged.reading.changes_at,
            keeps_time: judged
                .resolution
                .rule
                .as_ref()
                .is_some_and(|rule| self.picture.rules.iter().any(|own| own.id == rule.id)),
            category: self.category(),
            subject,
        }
    }
}
