//! Vehicles: one VIN that two rooftops claim is a conflict for a person, not a race to be won.

use std::collections::BTreeSet;

use shared::domain::alert::{Ending, RevisionKind};
use shared::domain::message::Message;
use shared::domain::rule::Condition;
use shared::domain::unit::Field;
use shared::domain::watch::Verdict;
use shared::domain::{AlertKind, Severity, Subject, Unit};
use shared::installation::Installation;
use shared::store::StoreError;

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
        let authority = installation.authority();
        let resolved = unit.resolve(&authority);
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
        let holder = resolved.placed_by.as_ref().zip(resolved.location.as_ref());
        let mut notes: Vec<String> = holder
            .map(|(source, location)| {
                format!("It is counted once, at {location}, by the word of {source}.")
            })
            .into_iter()
            .collect();
        notes.extend(
            resolved
                .rivals
                .iter()
                .map(|(source, location)| format!("{source} has it at {location}, too.")),
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
                changes_at: None,
                keeps_time: false,
                category: None,
                beside: Vec::new(),
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
}
