//! What is true of a vehicle, from everything that every source has said of it.
//!
//! A vehicle's life is a row of stays and departures. A **departure** is a reported sale: the first
//! report of it by a source that had it in stock until then, or had never said anything. A source takes
//! its departure back by saying later that the vehicle is there, unless it dates that stay after the
//! departure: then the vehicle was sold and came in again. Reports of two sources are of one departure
//! if no stay began between them. A stay of the day of the later report began before that, unless its source
//! has had the vehicle all along since before the first: then it reports that one, and late.
//!
//! A **presence** counts if it is later than every departure: than the source's own by the source's own
//! order, than another's by the day since which the vehicle is said to be there. That day is one of the
//! calendar of the place where it stands.

use jiff::Timestamp;
use jiff::civil::Date;

use super::rivals::Elsewhere;
use super::{AFTER_LAST_WORD, Claim, Demand, LAG, Resolved, Stamped, Unit, UnitState};
use crate::domain::Authority;
use crate::domain::event::Version;
use crate::domain::id::{ConnectorName, LocationId};

/// A source's report that the vehicle has left.
#[derive(Clone, Copy)]
struct Report<'a> {
    version: Version,
    state: UnitState,
    source: &'a ConnectorName,
    claim: &'a Claim,
}

impl<'a> Report<'a> {
    /// Where its source had the vehicle.
    fn place(&self) -> Option<&'a LocationId> {
        self.claim.location.at(self.version)
    }

    /// Whether its source, where it had listed the vehicle that then left, had done so anew since such a
    /// version.
    fn was_listed_after(&self, version: Version, authority: &Authority) -> Option<bool> {
        let said = self.claim.state.iter().rev();
        let said = said.skip_while(|it| it.version >= self.version || !it.value.is_present());
        let listed = said.take_while(|it| it.value.is_present()).last()?;
        let day = day_of(version.at, self.claim.location.value(), authority);
        let since = self.claim.since.at(self.version);
        Some(listed.version >= version || since.is_some_and(|since| *since > day))
    }

    /// Another who says that it left from elsewhere, and where, as long as both say so. Of two sales that are
    /// far apart, of a vehicle that the later one did not list meanwhile, or of which the later report says only
    /// that it was sold by then, nobody knows that they are one.
    fn contradicted_by(&self, other: &Self) -> Option<(ConnectorName, LocationId)> {
        let (place, theirs) = (self.place()?, other.place()?);
        let says_so = |it: &Self| it.claim.state.value().is_some_and(|it| it.is_departure());
        let is_undated = |it: &Self| it.claim.undated == Some(it.version);
        let mut both = [self, other];
        both.sort_by_key(|it| (it.version, is_undated(it)));
        let [first, later] = both;
        let listed = later.claim.state.at(first.version);
        let listed = listed.is_some_and(|state| state.is_present());
        let apart = later.version.at.duration_since(first.version.at);
        let may_be_one = (apart <= LAG || listed) && !is_undated(later);
        let contradicts = may_be_one && place != theirs && says_so(self) && says_so(other);
        contradicts.then(|| (other.source.clone(), theirs.clone()))
    }
}

/// One departure, by all who reported it, the first report first.
type Departure<'a> = Vec<Report<'a>>;

impl Unit {
    /// What is true.
    ///
    /// Of several sources that have it on their lot, the one that [`Authority::units`] ranks best holds
    /// it, then the one that has had it longest. It stands where the holder has it; if that names no place,
    /// where the next of them has it, and if none of them does, where it is by who says nothing of its state.
    /// [`Authority::rooftops`] comes before that, and so does whoever says nothing of its state and has
    /// brought it elsewhere since. Those that have it at another rooftop are rivals.
    pub fn resolve(&self, authority: &Authority) -> Resolved {
        let departures = self.departures(authority);
        let mut present: Vec<_> = self
            .claims
            .iter()
            .filter(|(name, claim)| is_credible(name, claim, &departures, authority))
            .collect();
        let order = |(name, claim): &(&ConnectorName, &Claim)| {
            let stay = claim
                .stay_since()
                .map_or(Timestamp::MAX, |version| version.at);
            let place = claim.location.value();
            let since = claim.since.value().copied();
            let since = since.unwrap_or_else(|| day_of(stay, place, authority));
            (rank(name, authority), since, stay, (*name).clone())
        };
        present.sort_by_key(order);
        if let Some((name, claim)) = present.first() {
            let owner = authority.rooftops.iter().find_map(|owner| {
                let (owner, claim) = self.claims.get_key_value(owner)?;
                let has_it = present.iter().any(|(name, _)| *name == owner);
                let place = claim.location.value()?;
                (has_it || claim.state.is_empty()).then_some((owner, place))
            });
            // Who says nothing of where it is leaves that to the others who have it.
            let has_place = |(_, claim): &&(_, &Claim)| !claim.location.is_empty();
            let placing = present.iter().find(has_place);
            let brought = self.brought_since(placing.map_or(*claim, |(_, claim)| claim));
            let brought = brought.filter(|_| owner.is_none());
            let brought_at = brought.map(|(_, to)| to.version);
            let placed = owner.or_else(|| brought.map(|(source, to)| (source, &to.value)));
            let held = || placing.and_then(|(name, claim)| Some((*name, claim.location.value()?)));
            let (placed_by, location) = placed.or_else(held).or_else(|| self.described()).unzip();
            let location = location.cloned();
            let mut elsewhere = Elsewhere::default();
            for (other, claim) in &present {
                let theirs = claim.location.value();
                if let Some(theirs) = theirs.filter(|_| theirs != location.as_ref()) {
                    let overtaken = brought_at.filter(|then| {
                        let had_it = claim.location_since() <= Some(then.at);
                        (had_it || self.only_repeats(claim, *then)) && !claim.goes_on_after(then.at)
                    });
                    let overtaken = overtaken.map(|then| then.at);
                    elsewhere.add(other, theirs, overtaken);
                }
            }
            let elsewhere = elsewhere.within(location.as_ref(), authority);
            return Resolved {
                state: claim.state.value().copied().unwrap_or(UnitState::InStock),
                location,
                stock_number: claim.stock_number.as_ref().map(|s| s.value.clone()),
                holder: Some((*name).clone()),
                placed_by: placed_by.cloned(),
                rivals: elsewhere.rivals,
                outdated: elsewhere.outdated,
                sold_at: None,
            };
        }
        self.gone(&departures, authority)
    }

    /// Where it is by those who say nothing of its state.
    fn described(&self) -> Option<(&ConnectorName, &LocationId)> {
        let describe = |(_, claim): &(_, &Claim)| claim.state.is_empty();
        let described = self.claims.iter().filter(describe);
        let described =
            described.filter_map(|(name, claim)| Some((name, claim.location.latest()?)));
        let newest = described.max_by_key(|(name, place)| (place.version, *name));
        newest.map(|(name, place)| (name, &place.value))
    }

    /// What is true of a vehicle that is nowhere in stock.
    fn gone(&self, departures: &[Departure<'_>], authority: &Authority) -> Resolved {
        let last_word = self
            .claims
            .iter()
            .filter_map(|(name, claim)| Some((claim.state.latest()?, name, claim)))
            .filter(|(state, ..)| !state.value.is_present())
            .max_by_key(|(state, name, _)| {
                (state.version, state.value.how_far_gone(), (*name).clone())
            });
        let left = departures.last();
        let left = left.and_then(|reports| Some((*reports.first()?, reports)));
        // A stay that began after the departure, and ended otherwise.
        let came_again = left
            .zip(last_word)
            .is_some_and(|((first, _), (state, ..))| {
                state.version > first.version
                    && !state.value.is_departure()
                    && self
                        .arrivals()
                        .any(|(day, place)| day > day_of(first.version.at, place, authority))
            });
        let (state, sold_at, source, claim) = match (left, last_word) {
            (Some((first, reports)), _) if !came_again => {
                let state = state_of(reports);
                let sold_at = (state == UnitState::Sold).then_some(first.version.at);
                (state, sold_at, first.source, first.claim)
            }
            (_, Some((state, name, claim))) => (state.value, None, name, claim),
            _ => {
                return Resolved {
                    state: UnitState::Removed,
                    location: self.whoever_had_it(None, authority).cloned(),
                    stock_number: None,
                    holder: None,
                    placed_by: None,
                    rivals: Vec::new(),
                    outdated: Vec::new(),
                    sold_at: None,
                };
            }
        };
        let left = left.filter(|_| state.is_departure());
        // Where it was then: who has it since may have it elsewhere.
        let left_from = left.and_then(|(_, reports)| self.left_from(reports, authority));
        let location = left_from
            .as_ref()
            .filter(|place| authority.has_place(place));
        // Whoever sold it may not know the rooftop (a marketplace); then the rooftop is whoever had it.
        let location = location.or_else(|| self.owner_had_it_at(None, authority));
        let brought = || Some(&self.brought_since(claim)?.1.value);
        let location = location.or_else(|| brought().filter(|_| state == UnitState::Removed));
        let location = location.or_else(|| claim.location.value());
        let location = location.or_else(|| self.whoever_had_it(None, authority));
        let elsewhere = left.map(|(first, reports)| {
            let mut elsewhere = self.still_listed(&first, location, departures, authority);
            let says_where = reports.iter().find(|report| report.place().is_some());
            let others =
                says_where.map(|from| reports.iter().filter_map(|it| from.contradicted_by(it)));
            elsewhere.rivals.extend(others.into_iter().flatten());
            elsewhere.within(location, authority)
        });
        let elsewhere = elsewhere.unwrap_or_default();
        Resolved {
            state,
            location: location.cloned(),
            stock_number: claim.stock_number.as_ref().map(|s| s.value.clone()),
            holder: Some(source.clone()),
            placed_by: None,
            rivals: elsewhere.rivals,
            outdated: elsewhere.outdated,
            sold_at,
        }
    }

    /// Who has a vehicle that has left by somebody's word.
    fn still_listed(
        &self,
        first: &Report<'_>,
        location: Option<&LocationId>,
        departures: &[Departure<'_>],
        authority: &Authority,
    ) -> Elsewhere {
        let left = first.version.at;
        let mut elsewhere = Elsewhere::default();
        for (source, claim) in &self.claims {
            let theirs = claim.location.value().or(location);
            let has_it = claim.state.value().is_some_and(|state| state.is_present());
            let Some(theirs) = theirs.filter(|_| has_it) else {
                continue;
            };
            let has_it_again = || claim.has_it_again(first, departures, authority);
            let claims_it = claim.is_listed_anew(left, authority)
                || claim.goes_on_after(left)
                || Some(theirs) == location && has_it_again();
            elsewhere.add(source, theirs, (!claims_it).then_some(left));
        }
        elsewhere
    }

    /// Where it was brought, and by whose word, since its holder has had it where it has it now. Who speaks
    /// of its state too is asked where it is, and not where it was brought.
    fn brought_since(&self, holder: &Claim) -> Option<(&ConnectorName, &Stamped<LocationId>)> {
        let brought = self.claims.iter().filter_map(|(name, claim)| {
            let to = claim.brought.as_ref()?;
            let counts = claim.state.is_empty()
                && claim.location.value() == Some(&to.value)
                && (Some(to.version.at) > holder.location_since()
                    || self.only_repeats(holder, to.version));
            counts.then_some((name, to))
        });
        brought.max_by_key(|(name, to)| (to.version, *name))
    }

    /// Whether all that a source has ever said of where it is another had said before then: no news. A
    /// connector that gets another name says everything anew.
    fn only_repeats(&self, claim: &Claim, then: Version) -> bool {
        let place = claim.location.value();
        let had_it = |other: &Claim| {
            let was_there = other.state.at(then).is_some_and(|it| it.is_present());
            // It ended with its connector, and not by a later word of that.
            let said = other.state.latest().zip(other.location.latest());
            let ended = said.is_some_and(|(state, place)| {
                let after = state.version.at.duration_since(place.version.at);
                state.value == UnitState::Removed && after <= AFTER_LAST_WORD
            });
            !std::ptr::eq(other, claim)
                && (was_there || ended)
                && other.location.at(then) == place
                && other.location.value() == place
        };
        let said = claim.location.iter();
        place.is_some()
            && said.map(|said| Some(&said.value)).all(|said| said == place)
            && self.claims.values().any(had_it)
    }

    /// The sales that count as demand, each once, however many reported it, and in whatever order.
    pub fn demand(&self, authority: &Authority) -> Vec<Demand> {
        let Some(product) = self.model_line(authority) else {
            return Vec::new();
        };
        let sold = self
            .departures(authority)
            .into_iter()
            .filter(|reports| state_of(reports) == UnitState::Sold);
        sold.filter_map(|reports| {
            let first = reports
                .first()
                .filter(|first| !self.was_found_sold(first))?;
            let location = self.left_from(&reports, authority)?;
            Some(Demand {
                product: product.clone(),
                day: authority.day(&location, first.version.at),
                location,
            })
        })
        .collect()
    }

    /// Whether a sale is from before anybody looked: nobody is known to have had the vehicle, and the
    /// report says what is so and not when it came to be.
    fn was_found_sold(&self, first: &Report<'_>) -> bool {
        let mut said = self.claims.values().flat_map(|claim| claim.state.iter());
        first.claim.undated == Some(first.version)
            && !said.any(|said| said.value.is_present() && said.version < first.version)
    }

    /// The rooftop that a vehicle left by these reports: where the seller had it, unless it had been brought
    /// elsewhere since, or where it stood if the seller names none.
    fn left_from(&self, reports: &[Report<'_>], authority: &Authority) -> Option<LocationId> {
        let first = reports.first()?.version;
        let owner = self.owner_had_it_at(Some(first), authority).cloned();
        let sellers = || {
            reports
                .iter()
                .find_map(|report| self.seller_had_it_at(report, authority))
        };
        let stood = || {
            self.until(|version| version < first)
                .resolve(authority)
                .location
        };
        owner
            .or_else(sellers)
            .or_else(stood)
            .or_else(|| self.whoever_had_it(Some(first), authority).cloned())
            .or_else(|| self.whoever_had_it(None, authority).cloned())
    }

    /// Where who reports that it left had it then.
    fn seller_had_it_at(&self, report: &Report<'_>, authority: &Authority) -> Option<LocationId> {
        let place = report.place()?;
        let known = self.until(|version| version <= report.version);
        let claim = known.claims.get(report.source)?;
        // Who speaks of its state may not have heard where it was brought.
        let brought = known.brought_since(claim).map(|(_, to)| to.value.clone());
        let moved = || known.moved_since(report, authority);
        Some(brought.or_else(moved).unwrap_or_else(|| place.clone()))
    }

    /// Where it stood by the later word of another who had it, as it left by the word of one who does not say
    /// from where: who only brought it there before never had it, and who had it may not have heard of a move.
    fn moved_since(&self, report: &Report<'_>, authority: &Authority) -> Option<LocationId> {
        let seller = self.claims.get(report.source)?;
        let stood = self
            .until(|version| version < report.version)
            .resolve(authority);
        let there = self.claims.get(stood.placed_by.as_ref()?)?;
        let said = seller.state.iter().chain(seller.left_at_once.iter());
        let had_it = said.map(|it| it.value).any(UnitState::is_present);
        let mut places = there.location.iter().map(|it| &it.value);
        let was_moved = places.any(|it| Some(it) != there.location.value());
        let counts = seller.location.of(report.version).is_none()
            && there.location_since() > seller.location_since()
            && (was_moved || !had_it);
        stood.location.filter(|_| counts)
    }

    /// What was known of it by such versions.
    fn until(&self, is_known: impl Fn(Version) -> bool) -> Self {
        let mut known = Self::unknown(self.vin.clone());
        for (name, claim) in &self.claims {
            let mut claim = claim.clone();
            claim.state.retain(&is_known);
            claim.left_at_once.retain(&is_known);
            claim.location.retain(&is_known);
            claim.called.retain(&is_known);
            claim.since.retain(&is_known);
            claim.brought.take_if(|to| !is_known(to.version));
            claim.undated.take_if(|version| !is_known(*version));
            if claim != Claim::default() {
                known.claims.insert(name.clone(), claim);
            }
        }
        known
    }

    /// Where the owner of rooftops has it, or had it by then.
    fn owner_had_it_at(&self, by: Option<Version>, authority: &Authority) -> Option<&LocationId> {
        authority.rooftops.iter().find_map(|owner| {
            let known = &self.claims.get(owner)?.location;
            match by {
                Some(version) => known.at(version),
                None => known.value(),
            }
        })
    }

    /// The rooftop that the best-ranked source with a rooftop has it at, or had by then.
    fn whoever_had_it(&self, by: Option<Version>, authority: &Authority) -> Option<&LocationId> {
        self.claims
            .iter()
            .filter_map(|(name, claim)| {
                let known = match by {
                    Some(version) => claim.location.at(version)?,
                    None => claim.location.value()?,
                };
                Some((rank(name, authority), name, known))
            })
            .min_by_key(|(rank, name, _)| (*rank, *name))
            .map(|(.., location)| location)
    }

    /// Each departure that still stands, oldest first. What only those reported who are not asked any more
    /// is taken back by another who had reported it too.
    fn departures(&self, authority: &Authority) -> Vec<Departure<'_>> {
        let (mut reports, mut taken_back) = (Vec::new(), Vec::new());
        for (source, claim) in &self.claims {
            for (report, back) in claim.departures(source, authority) {
                match back {
                    None => reports.push(report),
                    Some(back) => taken_back.push((report, back)),
                }
            }
        }
        reports.sort_by_key(|report| (report.version, report.source.clone()));
        let mut departures: Vec<Departure<'_>> = Vec::new();
        for report in reports {
            match departures.last_mut() {
                Some(last) if !self.came_again(last, &report, authority) => last.push(report),
                _ => departures.push(vec![report]),
            }
        }
        departures.retain(|departure| {
            !departure.iter().all(|report| report.claim.has_ended())
                || !taken_back.iter().any(|(report, back)| {
                    let last = departure.last();
                    last.is_some_and(|last| *back > last.version)
                        && !report.claim.has_ended()
                        && !self.came_between(report, departure, authority)
                })
        });
        departures
    }

    /// Whether the vehicle came in again between a report of a departure and another departure.
    fn came_between(
        &self,
        report: &Report<'_>,
        departure: &Departure<'_>,
        authority: &Authority,
    ) -> bool {
        let other = departure.first().unwrap_or(report);
        match report.version < other.version {
            true => self.came_in(report.version, other, authority),
            false => self.came_in(other.version, report, authority),
        }
    }

    /// Whether a stay began after the day of a version, and before such a report.
    fn came_in(&self, from: Version, until: &Report<'_>, authority: &Authority) -> bool {
        let is_late = until.was_listed_after(from, authority) == Some(false);
        self.arrivals().any(|(day, place)| {
            let left = day_of(until.version.at, place, authority);
            day > day_of(from.at, place, authority) && (day < left || day == left && !is_late)
        })
    }

    /// Whether the vehicle came in again between a departure and a later report of one.
    fn came_again(
        &self,
        departure: &Departure<'_>,
        report: &Report<'_>,
        authority: &Authority,
    ) -> bool {
        let Some(first) = departure.first() else {
            return false;
        };
        departure.iter().any(|known| known.source == report.source)
            || self.came_in(first.version, report, authority)
    }

    /// Every day since which a source has said that the vehicle is in stock, and the place whose day
    /// that is.
    fn arrivals(&self) -> impl Iterator<Item = (Date, Option<&LocationId>)> {
        self.claims.values().flat_map(|claim| {
            let place = claim.location.value();
            claim.since.iter().map(move |since| (since.value, place))
        })
    }
}

impl Claim {
    /// Since when it has said without a break that the vehicle is there.
    pub(super) fn stay_since(&self) -> Option<Version> {
        self.state.since(|state| state.is_present())
    }

    /// Whether it had the vehicle no more before this stay, or dates it after a departure, and whoever reports
    /// that it has left may speak of the time before.
    fn has_it_again(
        &self,
        left: &Report<'_>,
        departures: &[Departure<'_>],
        authority: &Authority,
    ) -> bool {
        let stay = self.stay_since();
        let mut before = self.state.iter().rev();
        let gone = before.find(|said| Some(said.version) < stay && !said.value.is_present());
        let mut earlier = departures.iter().rev();
        let earlier = earlier.find(|it| self.came_after(it, authority));
        let earlier = earlier.and_then(|reports| Some(reports.first()?.version));
        let ended = gone.map(|said| said.version).max(earlier);
        ended.is_some_and(|ended| {
            Some(left.version) < stay || left.was_listed_after(ended, authority) != Some(true)
        })
    }

    /// Whether it dates its stay after the day of a departure.
    fn came_after(&self, departure: &Departure<'_>, authority: &Authority) -> bool {
        let since = self.since.value();
        since.zip(departure.first()).is_some_and(|(since, left)| {
            *since > day_of(left.version.at, self.location.value(), authority)
        })
    }

    /// Since when it has had it where it has it now. By the same name of the place it says nothing new, also
    /// where the configuration has corrected where that name leads.
    pub(super) fn location_since(&self) -> Option<Timestamp> {
        let location = self.location.value()?;
        let said = self.location.since(|known| known == location)?;
        let name = self.called.value();
        let called = name.and_then(|name| self.called.since(|known| known == name));
        Some(called.map_or(said, |called| called.min(said)).at)
    }

    /// Whether it ended with its connector, and not by a later word of that.
    pub fn has_ended(&self) -> bool {
        self.last_word_before_end().is_some()
    }

    /// Where it ended with its connector, when that last spoke of the vehicle's state.
    fn last_word_before_end(&self) -> Option<Version> {
        let mut said = self.state.iter().rev();
        let (last, before) = (said.next()?, said.next()?);
        let after = last.version.at.duration_since(before.version.at);
        let ended = last.value == UnitState::Removed && after <= AFTER_LAST_WORD;
        ended.then_some(before.version)
    }

    /// A connector that is back speaks of the vehicle, or says its last word again: what it said of the state
    /// holds again. Of a new state it speaks itself.
    pub(super) fn go_on(&mut self, state: Option<UnitState>, version: Version) {
        let Some(before) = self.last_word_before_end() else {
            return;
        };
        if version == before || version > before && state.is_none() {
            self.state.retain(|said| said <= before);
        }
    }

    /// This source's reports that the vehicle left, and since when it has taken each back, if it has.
    fn departures<'a>(
        &'a self,
        source: &'a ConnectorName,
        authority: &Authority,
    ) -> Vec<(Report<'a>, Option<Version>)> {
        let mut reports = Vec::new();
        let mut open: Option<Report<'_>> = None;
        let mut back: Option<Version> = None;
        for stated in self.state.iter() {
            if stated.value.is_present() {
                back.get_or_insert(stated.version);
            } else if stated.value.is_departure() {
                if back.is_some()
                    && let Some(left) = open.take()
                {
                    let stands = self.stands(&left, Some(stated.version), authority);
                    reports.push((left, back.filter(|_| !stands)));
                }
                back = None;
                open.get_or_insert(Report {
                    version: stated.version,
                    state: stated.value,
                    source,
                    claim: self,
                });
            }
        }
        if let Some(left) = open {
            let stands = self.stands(&left, None, authority);
            reports.push((left, back.filter(|_| !stands)));
        }
        reports
    }

    /// Whether a departure after which the source had the vehicle again is not taken back by that. The stay
    /// ended with the next departure, if there was one.
    fn stands(&self, left: &Report<'_>, next: Option<Version>, authority: &Authority) -> bool {
        let since = match next {
            Some(version) => self.since.at(version),
            None => self.since.value(),
        };
        let day = day_of(left.version.at, self.location.value(), authority);
        since.is_some_and(|since| *since > day)
    }
}

/// Whether a source's word that it has the vehicle is later than every departure.
fn is_credible(
    name: &ConnectorName,
    claim: &Claim,
    departures: &[Departure<'_>],
    authority: &Authority,
) -> bool {
    let is_present = claim.state.value().is_some_and(|state| state.is_present());
    let mut others = departures
        .iter()
        .filter(|reports| reports.iter().any(|report| report.source != name));
    is_present && others.all(|reports| claim.came_after(reports, authority))
}

/// The day of an instant, in the calendar of the place whose day it is compared with.
pub(super) fn day_of(at: Timestamp, place: Option<&LocationId>, authority: &Authority) -> Date {
    match place {
        Some(location) => authority.day(location, at),
        None => authority.zone_elsewhere().to_datetime(at).date(),
    }
}

/// What became of a vehicle, by those who reported that it left.
fn state_of(reports: &[Report<'_>]) -> UnitState {
    reports
        .iter()
        .map(|report| report.state)
        .max_by_key(|state| state.how_far_gone())
        .unwrap_or(UnitState::Sold)
}

fn rank(name: &ConnectorName, authority: &Authority) -> usize {
    let mut ranking = authority.units.iter();
    ranking
        .position(|ranked| ranked == name)
        .unwrap_or(usize::MAX)
}
