//! Vehicles: one VIN that two rooftops claim is a conflict for a person, not a race to be won. So is one
//! that somebody goes on listing after another has sold it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::domain::alert::{Ending, RevisionKind};
use shared::domain::message::Message;
use shared::domain::rule::Condition;
use shared::domain::unit::{Field, LAG, Outdated, UnitState};
use shared::domain::watch::Verdict;
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
        let mut resolved = unit.resolve(&authority);
        let mut changes_at = None;
        for outdated in &resolved.outdated {
            match self.still_listed(unit, outdated, &authority).await? {
                Listed::Still => {
                    let rival = (outdated.source.clone(), outdated.location.clone());
                    resolved.rivals.push(rival);
                }
                Listed::Perhaps(again) => {
                    changes_at = Some(changes_at.map_or(again, |at: Timestamp| at.min(again)));
                }
                Listed::NotYet => {}
            }
        }
        let subject = Subject::Unit {
            vin: unit.vin.to_string(),
        };
        let mut verdict = Verdict::unwatched(Ending::Recovered);
        verdict.manner = installation.config.alerts.manner();
        if !resolved.rivals.is_empty() {
            verdict.condition = Condition::Breached;
        }
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
        let has_left = resolved.state.is_departure();
        let by = match has_left {
            true => resolved.holder.as_ref(),
            false => resolved.placed_by.as_ref(),
        };
        let by = by.zip(resolved.location.as_ref());
        let mut notes: Vec<String> = by
            .map(|(source, location)| match resolved.state {
                UnitState::Sold => {
                    format!("It was sold at {location}, by the word of {source}. The sale stands.")
                }
                UnitState::Wholesale => format!(
                    "It was given to the trade at {location}, by the word of {source}. That stands."
                ),
                _ => format!("It is counted once, at {location}, by the word of {source}."),
            })
            .into_iter()
            .collect();
        notes.extend(
            resolved
                .rivals
                .iter()
                .map(|(source, location)| match has_left {
                    true => format!("{source} still lists it at {location}."),
                    false => format!("{source} has it at {location}, too."),
                }),
        );
        let location = resolved.location.as_ref().map(ToString::to_string);
        for _ in 0..ATTEMPTS {
            let watches = self.store.watches(&subject).await?;
            let now = self.store.clock().now();
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
                rule: None,
                why: None,
                days_of_supply: None,
                sold: None,
                notes: notes.clone(),
                link: link(installation, &subject),
                ending: None,
                renamed_to: None,
                digest: None,
            };
            let look = Look {
                installation,
                subject: subject.clone(),
                kind: AlertKind::Conflict,
                stored: watches.iter().find(|s| s.data.kind == AlertKind::Conflict),
                verdict,
                seen: unit.revision.into(),
                cause: None,
                covered: BTreeSet::new(),
                changes_at,
                keeps_time: changes_at.is_some(),
                category: None,
                beside: Vec::new(),
                called_for: Vec::new(),
                positions: Vec::new(),
                ended: None,
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
        authority: &Authority,
    ) -> Result<Listed, StoreError> {
        let Outdated { source, since, .. } = outdated;
        if !authority.quantities.whole_files.contains(source) {
            return Ok(Listed::NotYet);
        }
        let later = |at: Timestamp, by| at.checked_add(by).unwrap_or(Timestamp::MAX);
        let (now, until) = (self.store.clock().now(), later(*since, LAG));
        if now < until {
            return Ok(Listed::Perhaps(until));
        }
        let vin = unit.vin.clone();
        let stated = self.store.stated_item(source, &Item::Unit { vin }).await?;
        let Some(stated) = stated else {
            return Ok(Listed::NotYet);
        };
        let listed = match stated.until {
            Some(until) => Some(until),
            None => self.store.snapshot(source).await?.at,
        };
        if listed >= Some(Moment(until)) {
            return Ok(Listed::Still);
        }
        // Ever more seldom: a file that no longer comes tells nothing.
        Ok(Listed::Perhaps(later(now, now.duration_since(*since) / 4)))
    }
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
