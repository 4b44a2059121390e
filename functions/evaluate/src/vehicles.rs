//! Vehicles: one VIN that two rooftops claim is a conflict for a person, not a race to be won. So is one
//! that somebody goes on listing after another has sold it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::domain::alert::{Ending, RevisionKind};
use shared::domain::id::{ConnectorName, LocationId};
use shared::domain::message::{HAS_CHANGED, Message};
use shared::domain::rule::Condition;
use shared::domain::unit::{Contradiction, Field, LAG, Outdated, Resolved, UnitState};
use shared::domain::watch::{Verdict, Watch, fact};
use shared::domain::{AlertKind, Authority, Severity, Subject, Unit};
use shared::installation::Installation;
use shared::store::StoreError;
use shared::store::feeds::Moment;
use shared::store::stated::Item;

use crate::announce::{Look, Looked};
use crate::words::link;
use crate::{EvaluateError, Evaluator};

const ATTEMPTS: usize = 8;

impl Evaluator {
    /// Looks for rivals of a vehicle's holder.
    pub(crate) async fn look_at_unit(
        &self,
        installation: &Installation,
        unit: &Unit,
    ) -> Result<(), EvaluateError> {
        if self.is_being_replayed(unit.replayed.as_ref()).await? {
            return Ok(());
        }
        let authority = installation.authority();
        let resolved = unit.resolve(&authority);
        let has_left = resolved.state.is_departure();
        let (mut rivals, mut waiting, mut changes_at) = (Vec::new(), Vec::new(), None);
        let mut again = |at: Timestamp| {
            changes_at = Some(changes_at.map_or(at, |before: Timestamp| before.min(at)));
        };
        for rival in &resolved.rivals {
            // Nobody may sell it twice; of a vehicle that is there, or is there again, one of them may yet
            // give way.
            let has_sold_it = unit.word_of(&rival.0).is_some_and(UnitState::is_departure);
            let is_there = has_left && resolved.location.as_ref() == Some(&rival.1);
            let is_back = is_there && !has_sold_it;
            let by = match has_left {
                true => resolved.holder.as_ref().filter(|_| is_back),
                false => resolved.placed_by.as_ref(),
            };
            let contradiction = by.and_then(|by| unit.contradiction(by, &rival.0));
            let listed = match contradiction {
                Some(known) if is_back => {
                    let until = later(known.since, installation.config.alerts.conflict_after);
                    match self.store.clock().now() < until {
                        true => Listed::Perhaps(until),
                        false => Listed::Still,
                    }
                }
                Some(known) => self.stands(installation, &known),
                None => Listed::Still,
            };
            match listed {
                Listed::Still => rivals.push(rival.clone()),
                Listed::Perhaps(at) => {
                    waiting.push(rival.clone());
                    again(at);
                }
                Listed::NotYet => {}
            }
        }
        for outdated in &resolved.outdated {
            // Where it left from, a deal may only not be closed yet.
            let wait = match resolved.location.as_ref() == Some(&outdated.location) {
                true => LAG.max(installation.config.alerts.conflict_after),
                false => LAG,
            };
            let claim = (outdated.source.clone(), outdated.location.clone());
            match self.still_listed(unit, outdated, wait, &authority).await? {
                Listed::Still => rivals.push(claim),
                // What people know of is not over with the sale.
                Listed::Perhaps(at) => {
                    waiting.push(claim);
                    again(at);
                }
                Listed::NotYet => {}
            }
        }
        let subject = Subject::Unit {
            vin: unit.vin.to_string(),
        };
        let mut verdict = Verdict::unwatched(Ending::Recovered);
        verdict.manner = installation.config.alerts.manner();
        verdict.severity = Severity::Warning;
        let text = |name: &str| match unit.field(name, authority.field(name)) {
            Some(Field::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let name = [text("make"), text("model"), Some(unit.vin.to_string())]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        let settled = claims(installation, unit, &resolved, &rivals);
        let all = [rivals.as_slice(), waiting.as_slice()].concat();
        let location = resolved.location.as_ref();
        let location = location.map(|location| installation.place_name(location));
        for _ in 0..ATTEMPTS {
            let watches = self.store.watches(&subject).await?;
            let now = self.store.clock().now();
            let stored = watches.iter().find(|s| s.data.kind == AlertKind::Conflict);
            let watch = stored.map(|it| &it.data.watch);
            // Of what people know otherwise they hear at once, whoever may yet give way.
            let known = watch.and_then(known_facts);
            let (claimed, (notes, facts)) = match known.is_some_and(|known| *known != settled.1) {
                true => (&all, claims(installation, unit, &resolved, &all)),
                false => (&rivals, settled.clone()),
            };
            verdict.facts = facts;
            verdict.condition = match (claimed.is_empty(), waiting.is_empty()) {
                (false, _) => Condition::Breached,
                // Nothing begins yet, and what people know of is not over.
                (true, false) => Condition::Held,
                (true, true) => Condition::Clear,
            };
            let words = |change: RevisionKind| Message {
                alert: String::new(),
                revision: 0,
                correlation: None,
                change,
                kind: AlertKind::Conflict,
                severity: Severity::Warning,
                subject: subject.clone(),
                at: now,
                product: name.clone(),
                location: location.clone(),
                zone: installation.config.account.zone.to_string(),
                before: None,
                after: None,
                threshold: None,
                basis: None,
                rule: None,
                why: None,
                days_of_supply: None,
                sold: None,
                notes: match change {
                    RevisionKind::Updated => changed(&notes, watch, &verdict),
                    _ => notes.clone(),
                },
                link: link(installation, &subject),
                ending: None,
                renamed_to: None,
                renamed_name: None,
                digest: None,
            };
            let look = Look {
                installation,
                subject: subject.clone(),
                kind: AlertKind::Conflict,
                stored,
                verdict: verdict.clone(),
                seen: unit.revision.into(),
                cause: None,
                covered: BTreeSet::new(),
                changes_at,
                keeps_time: changes_at.is_some(),
                category: None,
                beside: Vec::new(),
                called_for: Vec::new(),
                positions: Vec::new(),
            };
            if self.step(look, &words).await? != Looked::Again {
                return Ok(());
            }
        }
        Err(StoreError::Contended {
            operation: "evaluate a vehicle",
        }
        .into())
    }

    /// Whether a source that has said nothing new of a vehicle goes on listing it: a whole file repeats
    /// what it does not say anew.
    async fn still_listed(
        &self,
        unit: &Unit,
        outdated: &Outdated,
        wait: SignedDuration,
        authority: &Authority,
    ) -> Result<Listed, StoreError> {
        let Outdated { source, since, .. } = outdated;
        let (now, until) = (self.store.clock().now(), later(*since, wait));
        if now < until {
            return Ok(Listed::Perhaps(until));
        }
        // Of what only tells changes, what it said last holds.
        if !authority.quantities.whole_files.contains(source) {
            return Ok(Listed::Still);
        }
        Ok(match self.listed_until(source, unit).await? {
            None => Listed::NotYet,
            Some(listed) if listed >= Moment(until) => Listed::Still,
            // Ever more seldom: a file that no longer comes tells nothing.
            Some(_) => Listed::Perhaps(later(now, now.duration_since(*since) / 4)),
        })
    }

    /// Whether the one of two sources that said first where a vehicle is stands by that, although the other
    /// has it elsewhere since. Where a vehicle is brought from one rooftop to another, the system of the one
    /// hears of it before that of the other, and a file that goes on as it was may be of the day before.
    fn stands(&self, installation: &Installation, known: &Contradiction) -> Listed {
        let until = later(known.since, installation.config.alerts.conflict_after);
        match known.stands || self.store.clock().now() >= until {
            true => Listed::Still,
            false => Listed::Perhaps(until),
        }
    }

    /// Until when a source has listed a vehicle by its whole files, if it does.
    async fn listed_until(
        &self,
        source: &ConnectorName,
        unit: &Unit,
    ) -> Result<Option<Moment>, StoreError> {
        let vin = unit.vin.clone();
        let stated = self.store.stated_item(source, &Item::Unit { vin }).await?;
        Ok(match stated {
            None => None,
            Some(stated) => match stated.until {
                Some(until) => Some(until),
                None => self.store.snapshot(source).await?.at,
            },
        })
    }
}

/// Who claims a vehicle: in words, and as the facts that people are to know.
fn claims(
    installation: &Installation,
    unit: &Unit,
    resolved: &Resolved,
    rivals: &[(ConnectorName, LocationId)],
) -> (Vec<String>, BTreeSet<u32>) {
    let place = |location: &LocationId| installation.place_name(location);
    let notes = unit.claims_in_words(resolved, rivals, place);
    // By their ids: a place that gets another name is no news.
    let departure = |state: Option<UnitState>| state.filter(|it| it.is_departure());
    let claims: BTreeSet<_> = rivals
        .iter()
        .map(|rival| format!("{rival:?} {:?}", departure(unit.word_of(&rival.0))))
        .collect();
    let by = resolved.counted_by();
    let said = format!("{:?} {by:?} {claims:?}", departure(Some(resolved.state)));
    (notes, BTreeSet::from([fact(&said)]))
}

/// The facts that people know of a conflict that is open.
fn known_facts(watch: &Watch) -> Option<&BTreeSet<u32>> {
    watch.episode()?.facts.as_ref()
}

/// The notes on a conflict, which say so if people know of it otherwise.
fn changed(notes: &[String], watch: Option<&Watch>, verdict: &Verdict) -> Vec<String> {
    let mut notes = notes.to_vec();
    let known = watch.and_then(known_facts);
    let is_news = known.is_some_and(|known| *known != verdict.facts);
    if let Some(first) = notes.first_mut().filter(|_| is_news) {
        *first = format!("{HAS_CHANGED}{first}");
    }
    notes
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Whether a source goes on listing a vehicle.
enum Listed {
    /// It does.
    Still,
    /// It has said nothing that tells; it may have by then.
    Perhaps(Timestamp),
    /// It has not. When it does, the vehicle changes.
    NotYet,
}
