//! What the rules say of a position, and of the sums it counts in: everything that is decided before
//! anything is written.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::alert::Ending;
use shared::domain::authority::Authority;
use shared::domain::id::LocationId;
use shared::domain::message::Stock;
use shared::domain::position::Position;
use shared::domain::rule::{Check, Condition, Facts, Resolution, total};
use shared::domain::watch::{Episode, Seen, Verdict, Withheld};
use shared::domain::{AlertKind, ProductId, Severity, Subject};
use shared::installation::Installation;
use shared::store::alerts::ProductPicture;

/// The graver kind first: while nothing is left, "low" has nothing to add.
const KINDS: [AlertKind; 3] = [
    AlertKind::OutOfStock,
    AlertKind::LowStock,
    AlertKind::HighDemand,
];

/// What is known around one position while it is looked at.
pub(crate) struct Scene<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) picture: &'a ProductPicture,
    pub(crate) authority: &'a Authority,
    pub(crate) now: Timestamp,
    /// The locations whose stock is stated by a source that cannot be believed at the moment.
    pub(crate) down: &'a BTreeSet<LocationId>,
}

/// What is said of one subject by one rule, or by none.
pub(crate) struct Judged<'a> {
    pub(crate) resolution: Resolution<'a>,
    pub(crate) reading: Reading,
    pub(crate) verdict: Verdict,
    /// The revision of what was judged.
    pub(crate) seen: Seen,
    pub(crate) shown: Shown<'a>,
}

/// What a rule says of a position, and with which number.
pub(crate) struct Reading {
    pub(crate) verdict: Verdict,
    pub(crate) threshold: Option<i64>,
    pub(crate) sold: Option<i64>,
    pub(crate) changes_at: Option<Timestamp>,
}

/// The quantities that a message shows.
pub(crate) struct Shown<'a> {
    pub(crate) before: Option<Stock>,
    pub(crate) after: Option<Stock>,
    /// Whose they are.
    pub(crate) of: Vec<&'a Position>,
    pub(crate) sold: Option<&'a Position>,
    pub(crate) renamed_to: Option<&'a ProductId>,
}

/// What the rules say of a position as it is at `after`, and of the sums it counts in.
pub fn verdicts(
    installation: &Installation,
    authority: &Authority,
    picture: &ProductPicture,
    after: &Position,
    now: Timestamp,
) -> Vec<(Subject, AlertKind, Verdict)> {
    let scene = Scene {
        installation,
        picture,
        authority,
        now,
        down: &BTreeSet::new(),
    };
    scene
        .judge(None, after)
        .into_iter()
        .map(|judged| {
            let resolution = &judged.resolution;
            (resolution.subject(), resolution.kind, judged.verdict)
        })
        .collect()
}

/// Which of two alerts covers the other, where both are of one change: the graver, then the one on
/// the single location, then the graver kind. The one that comes first does.
pub(crate) fn rank(subject: &Subject, kind: AlertKind, severity: Severity) -> impl Ord + use<> {
    let place = KINDS.iter().position(|one| *one == kind);
    let is_sum = matches!(subject, Subject::Group { .. });
    (Reverse(severity), is_sum, place, subject.clone())
}

impl<'a> Scene<'a> {
    /// What the rules say of the position, kind by kind, and of the sums it counts in: whatever may
    /// cover another comes before it.
    pub(crate) fn judge(&self, before: Option<&Position>, after: &'a Position) -> Vec<Judged<'a>> {
        let installation = self.installation;
        let facts = Facts::of(
            &after.product,
            self.category(),
            &after.location,
            &installation.config.locations,
        )
        .with(&self.picture.rules)
        .formerly(&self.picture.formerly);
        let sources = &self.authority.quantities;
        let stock = after.stock(sources);
        let earlier = before.and_then(|before| before.stock(sources));
        let is_known = installation
            .config
            .locations
            .location(&after.location)
            .is_some();
        let renamed_to = self.picture.renamed_to(after);
        let mut judged: Vec<Judged<'a>> = Vec::with_capacity(KINDS.len());
        for kind in KINDS {
            let mut resolution = installation.rules.resolve(kind, &facts);
            if !is_known {
                resolution.rule = None;
            }
            let gone = match (is_known, renamed_to) {
                (false, _) => Ending::LocationRemoved,
                (true, Some(_)) => {
                    resolution.rule = None;
                    Ending::Renamed
                }
                (true, None) => without_rule(&resolution),
            };
            let reading = self.read(&resolution, stock.as_ref(), (after, after.unlisted), gone);
            let mut verdict = reading.verdict.clone();
            if self.down.contains(&after.location) {
                verdict.withheld = Some(Withheld::SourceDown);
            }
            if kind != AlertKind::HighDemand {
                let fires = verdict.condition == Condition::Breached;
                verdict.settles_at = after.settles_at(fires, self.now);
            }
            judged.push(Judged {
                resolution,
                reading,
                verdict,
                seen: Seen::Revision(after.revision),
                shown: Shown {
                    before: earlier,
                    after: stock,
                    of: vec![after],
                    sold: Some(after),
                    renamed_to: renamed_to.filter(|_| gone == Ending::Renamed),
                },
            });
        }
        for resolution in self.sums(&facts) {
            judged.push(self.judge_sum(resolution, before, after));
        }
        // "Out of stock" stands before "low" whatever their rules make of it. Before both stands what is
        // over: it covers nothing any more.
        let graver = judged.iter().take(2).map(|one| one.verdict.severity).max();
        judged.sort_by_cached_key(|one| {
            let kind = one.resolution.kind;
            let subject = one.resolution.subject();
            let is_sum = matches!(subject, Subject::Group { .. });
            let severity = match (kind, is_sum) {
                (AlertKind::OutOfStock, false) => graver.unwrap_or(one.verdict.severity),
                _ => one.verdict.severity,
            };
            let is_over = one.verdict.condition == Condition::Clear;
            (!is_over, rank(&subject, kind, severity))
        });
        judged
    }

    /// The sums to look at: those with a rule, and those that are watched without one.
    fn sums(&self, facts: &Facts<'a>) -> Vec<Resolution<'a>> {
        let rules = &self.installation.rules;
        let directory = &self.installation.config.locations;
        let mut sums = rules.rules_over_sums(facts);
        for stored in &self.picture.watches {
            let Subject::Group { group, .. } = &stored.data.subject else {
                continue;
            };
            let is_there = sums
                .iter()
                .any(|known| matches!(known.subject(), Subject::Group { group: one, .. } if one == *group));
            let counts = |location| self.picture.positions.contains_key(location);
            let is_ours =
                facts.groups.contains(group) || !directory.members(group).iter().any(counts);
            if !is_there && is_ours {
                sums.push(rules.resolve_sum(facts, group));
            }
        }
        sums
    }

    /// What a rule over a sum says.
    fn judge_sum(
        &self,
        mut resolution: Resolution<'a>,
        before: Option<&Position>,
        after: &'a Position,
    ) -> Judged<'a> {
        let sources = &self.authority.quantities;
        let members = self.members(&resolution);
        let sum = |stocks: Vec<Option<Stock>>| total(stocks.iter().map(Option::as_ref));
        let stock = sum(members.iter().map(|member| member.stock(sources)).collect());
        let earlier = before.and_then(|before| {
            let as_before = |member: &&Position| {
                if member.location == before.location {
                    before.stock(sources)
                } else {
                    member.stock(sources)
                }
            };
            sum(members.iter().map(as_before).collect())
        });
        let mut gone = without_rule(&resolution);
        if members.is_empty() {
            resolution.rule = None;
            gone = match self.counts_in(&resolution) {
                true if self.picture.renamed_to(after).is_some() => Ending::Renamed,
                true => Ending::NoLongerStated,
                false => Ending::GroupRemoved,
            };
        }
        // Also where nobody states anything any more, so that it is no member.
        let places = match resolution.subject() {
            Subject::Group { group, .. } => self.installation.config.locations.members(&group),
            _ => &[],
        };
        let positions = &self.picture.positions;
        let there = || places.iter().filter_map(|place| positions.get(place));
        let unlisted = there().any(|position| position.unlisted);
        let is_none = stock.is_none_or(|it| it.on_hand + it.incoming == 0);
        let renamed_to = match after.product.line() {
            Some(_) => goes_on(there()).filter(|_| is_none),
            None => self.picture.renamed_to(after),
        };
        if renamed_to.is_some() && after.product.line().is_some() {
            resolution.rule = None;
            gone = Ending::Renamed;
        }
        let reading = self.read(&resolution, stock.as_ref(), (after, unlisted), gone);
        let mut verdict = reading.verdict.clone();
        verdict.places = places.to_vec();
        let watch = self.picture.watch(&resolution.subject(), resolution.kind);
        let episode = watch.and_then(|stored| stored.data.watch.episode());
        if verdict.ending.is_recovery() && episode.is_some_and(|it| self.is_still_low(it)) {
            verdict.ending = Ending::RuleChanged;
        }
        if members
            .iter()
            .any(|member| self.down.contains(&member.location))
        {
            verdict.withheld = Some(Withheld::SourceDown);
        }
        let fires = verdict.condition == Condition::Breached;
        // Also where it has just gone from, so that it is no member.
        let counted = members.iter().copied().chain(there());
        let settle_at = counted.map(|it| {
            let changes_now = it.location == after.location;
            it.settles_in_sum(changes_now, fires, self.now)
        });
        verdict.settles_at = settle_at.max().flatten();
        let seen = members.iter().map(|it| (it.location.clone(), it.revision));
        Judged {
            resolution,
            reading,
            verdict,
            seen: Seen::Members(seen.collect()),
            shown: Shown {
                before: earlier,
                after: stock,
                of: members,
                sold: None,
                renamed_to: renamed_to.filter(|_| gone == Ending::Renamed),
            },
        }
    }

    /// Whether the places over which it last fired are as low as then: other places add up to more now.
    fn is_still_low(&self, episode: &Episode) -> bool {
        let sources = &self.authority.quantities;
        let then = self.picture.stated_at(&episode.places, sources);
        let stocks: Vec<_> = then.map(|member| member.stock(sources)).collect();
        let stock = total(stocks.iter().map(Option::as_ref));
        let threshold = episode.check.and_then(|check| check.threshold());
        let would_fire =
            threshold.is_some_and(|it| it.judge(stock.as_ref()) == Condition::Breached);
        // Rows of before do not say which places they were.
        would_fire && !episode.places.is_empty()
    }

    pub(crate) fn category(&self) -> Option<&'a str> {
        let known = self.picture.description.as_ref()?;
        known.category(&self.authority.quantities)
    }

    pub(crate) fn zone(&self, subject: &Subject) -> &'a TimeZone {
        match subject {
            Subject::Position { location, .. } => self.authority.zone(location),
            Subject::Group { group, .. } => self
                .installation
                .config
                .locations
                .members(group)
                .first()
                .map_or(self.authority.zone_elsewhere(), |first| {
                    self.authority.zone(first)
                }),
            Subject::Unit { .. }
            | Subject::Connector { .. }
            | Subject::Channel { .. }
            | Subject::Quarantine { .. } => self.authority.zone_elsewhere(),
        }
    }

    /// Whether the product has a position in the group, stated or not.
    fn counts_in(&self, resolution: &Resolution<'_>) -> bool {
        let Subject::Group { group, .. } = resolution.subject() else {
            return false;
        };
        let members = self.installation.config.locations.members(&group);
        let mut members = members.iter();
        members.any(|location| self.picture.positions.contains_key(location))
    }

    fn members(&self, resolution: &Resolution<'_>) -> Vec<&'a Position> {
        let Subject::Group { group, .. } = resolution.subject() else {
            return Vec::new();
        };
        let members = self.installation.config.locations.members(&group);
        let members = self.picture.stated_at(members, &self.authority.quantities);
        members.collect()
    }

    fn read(
        &self,
        resolution: &Resolution<'_>,
        stock: Option<&Stock>,
        (at, unlisted): (&Position, bool),
        gone: Ending,
    ) -> Reading {
        let nothing = Reading {
            verdict: Verdict::unwatched(gone),
            threshold: None,
            sold: None,
            changes_at: None,
        };
        let Some(rule) = resolution.rule.as_deref() else {
            return nothing;
        };
        let subject = resolution.subject();
        let zone = self.zone(&subject);
        let in_force = rule.in_force(self.now, zone);
        let today = zone.to_datetime(self.now).date();
        let account = self.installation.config.alerts.manner();
        let mut reading = match in_force.check {
            Check::HighDemand(demand) => {
                let reading = demand.judge(&at.sold, today);
                let midnight = reading
                    .changes_on
                    .and_then(|day| day.to_zoned(zone.clone()).ok())
                    .map(|midnight| midnight.timestamp());
                Reading {
                    verdict: Verdict::under(rule, reading.condition, account),
                    threshold: Some(demand.at_least),
                    sold: Some(reading.sold),
                    changes_at: [in_force.changes_at, midnight].into_iter().flatten().min(),
                }
            }
            check => match check.threshold() {
                Some(threshold) => {
                    // Where none ever was, none has run out: unless somebody asks for just this product.
                    let is_single = matches!(subject, Subject::Position { .. });
                    let condition = match at.awaited && is_single && !rule.scope.names_a_product() {
                        true => Condition::Clear,
                        false => threshold.judge(stock),
                    };
                    // What falls because a connector was taken out is no news of stock: nothing begins
                    // until somebody else has something to say there.
                    let condition = match condition {
                        Condition::Breached if unlisted => Condition::Held,
                        condition => condition,
                    };
                    let mut verdict = Verdict::under(rule, condition, account);
                    if let Some(stock) = stock.filter(|_| !unlisted) {
                        verdict.depth = threshold.depth(stock);
                    }
                    Reading {
                        verdict,
                        threshold: Some(threshold.units),
                        sold: None,
                        changes_at: in_force.changes_at,
                    }
                }
                None => return nothing,
            },
        };
        reading.verdict.check = Some(in_force.check);
        let watch = self.picture.watch(&subject, resolution.kind);
        let Some(episode) = watch.and_then(|stored| stored.data.watch.episode()) else {
            return reading;
        };
        let would_fire = |check: Check| match (check, check.threshold()) {
            (Check::HighDemand(demand), _) => demand.judge(&at.sold, today).condition,
            (_, Some(threshold)) => threshold.judge(stock),
            (_, None) => Condition::NoData,
        };
        match reading.verdict.condition {
            // What was stated once and is no longer has ended: unknown is not zero, but nobody can
            // say any more that it is low.
            Condition::NoData
                if resolution.kind != AlertKind::HighDemand
                    && matches!(subject, Subject::Position { .. }) =>
            {
                reading.verdict = Verdict::unwatched(Ending::NoLongerStated);
            }
            Condition::Marginal | Condition::Clear => {
                let fired_by = episode.check.filter(|fired_by| *fired_by != in_force.check);
                if fired_by.is_some_and(|check| would_fire(check) == Condition::Breached) {
                    reading.verdict.ending = Ending::RuleChanged;
                }
            }
            Condition::NoData | Condition::Breached | Condition::Held => {}
        }
        reading
    }
}

/// As what a model line goes on of which no vehicle is left at several places: what was heard last of them
/// decides, and what one file says is heard at once.
fn goes_on<'a>(there: impl Iterator<Item = &'a Position>) -> Option<&'a ProductId> {
    let of_file = |it: &Position| Some(it.lost.as_ref()?.by.as_ref()?.at);
    let at = |it: &Position| of_file(it).or_else(|| Some(it.changed_at?.0));
    let there: Vec<_> = there.filter(|it| it.lost.is_some()).collect();
    let last = there.iter().map(|it| at(it)).max()?;
    let mut lines = there.iter().filter(|it| at(it) == last);
    let first = lines.next()?.renamed_to()?;
    lines.all(|it| it.renamed_to().is_some()).then_some(first)
}

/// Why nothing is watched where this finds no rule.
fn without_rule(resolution: &Resolution<'_>) -> Ending {
    if resolution.muted_by().is_some() {
        Ending::Muted
    } else {
        Ending::RuleRemoved
    }
}
