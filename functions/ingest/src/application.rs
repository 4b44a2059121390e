//! Events into the store; what cannot be used, into quarantine with its reason (F15).

use shared::connectors::{KnownNames, Parsed, Signed};
use shared::domain::position::Refusal;
use shared::domain::{ConnectorName, StockEvent};
use shared::metrics::Metric;
use shared::store::quarantine::Quarantined;
use shared::store::received::Received;
use shared::store::stock::{Applied, ApplyError};

use crate::{Door, Ingest, IngestError};

/// What became of a webhook's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Changed the stock.
    pub applied: usize,
    /// Known already, or older than what is known.
    pub known: usize,
    /// Held for a person to look at.
    pub quarantined: usize,
    /// Understood, and of no use to us.
    pub ignored: usize,
}

impl Ingest {
    /// Reads what a webhook says, with other systems' names looked up.
    pub(crate) async fn parse(
        &self,
        door: &Door,
        signed: &Signed<'_>,
    ) -> Result<Parsed, IngestError> {
        let mut products = Vec::new();
        for external in door.push.wanted(signed)? {
            let sku = self
                .store
                .sku_of(&door.name, external.kind, &external.id)
                .await?;
            products.extend(sku.map(|sku| (external, sku)));
        }
        let config = &door.installation.config;
        let theirs = config
            .connectors
            .get(&door.name)
            .map(|connector| connector.common.locations.clone())
            .unwrap_or_default();
        let ours = config
            .locations
            .locations()
            .iter()
            .map(|location| location.id.clone());
        let names = KnownNames::new(theirs, ours).with_products(products);
        Ok(door.push.parse(signed, &names)?)
    }

    /// Applies a webhook's events one by one. Stops at the first that the table cannot take for now:
    /// the rest, and it, are applied when the webhook is sent or looked at again.
    pub(crate) async fn apply(
        &self,
        door: &Door,
        received: &Received,
        parsed: Parsed,
    ) -> Result<Outcome, IngestError> {
        let authority = door.installation.authority();
        // What is written carries the webhook's own id, however often and by whom it is applied.
        let store = match received.id.parse() {
            Ok(id) => self.store.on_behalf_of(id, Some(received.at)),
            Err(_) => self.store.clone(),
        };
        let mut outcome = Outcome {
            ignored: parsed.ignored.len() + parsed.lookups.len(),
            ..Outcome::default()
        };
        for lookup in &parsed.lookups {
            tracing::info!(connector = %door.name, vin = %lookup.vin, "vehicle to be looked up");
        }
        for event in &parsed.events {
            let applied = store.apply(event, &authority).await;
            self.note(&door.name, received, event, applied, &mut outcome)
                .await?;
        }
        for rejected in &parsed.quarantine {
            let held = Quarantined::new(
                &door.name,
                received.at,
                format!("{}{}", received.id, rejected.problem.pointer),
                &rejected.excerpt.to_string(),
                (
                    rejected.problem.reason.name(),
                    rejected.problem.sentence.clone(),
                ),
            );
            self.hold(&held, &mut outcome).await?;
        }
        Ok(outcome)
    }

    /// Counts what became of an event; one that cannot be applied is held.
    async fn note(
        &self,
        connector: &ConnectorName,
        received: &Received,
        event: &StockEvent,
        applied: Result<Applied, ApplyError>,
        outcome: &mut Outcome,
    ) -> Result<(), IngestError> {
        let dimensions = [("Connector", connector.as_str())];
        let reason = match applied {
            Ok(Applied::Changed) => {
                outcome.applied += 1;
                self.metrics.count(Metric::EventsApplied, &dimensions);
                return Ok(());
            }
            Ok(Applied::Known | Applied::Before) => {
                outcome.known += 1;
                self.metrics.count(Metric::EventsDuplicate, &dimensions);
                return Ok(());
            }
            Err(ApplyError::Store(error)) => return Err(error.into()),
            Err(error) => error,
        };
        let held = Quarantined::new(
            connector,
            received.at,
            format!("{}:{}", received.id, event.id),
            &serde_json::to_string(&event.change).unwrap_or_default(),
            (code(&reason), reason.to_string()),
        );
        self.hold(&held.event(event.id.clone()), outcome).await
    }

    async fn hold(&self, held: &Quarantined, outcome: &mut Outcome) -> Result<(), IngestError> {
        self.store.quarantine(held).await?;
        outcome.quarantined += 1;
        let dimensions = [("Connector", held.source.as_str())];
        self.metrics.count(Metric::EventsQuarantined, &dimensions);
        tracing::warn!(
            connector = %held.source,
            quarantine.id = held.id,
            reason = held.reason,
            "a row went to quarantine"
        );
        Ok(())
    }
}

/// The reason as machines read it.
fn code(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Refused(Refusal::Jump { .. }) => "held_for_review",
        ApplyError::Refused(_) => "refused",
        ApplyError::Reused { .. } => "event_id_reused",
        ApplyError::Unplaced { .. } => "unplaced",
        ApplyError::Held { .. } => "held_for_review",
        ApplyError::Store(_) => "store",
    }
}
