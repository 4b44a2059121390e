//! Events into the store; what cannot be used, into quarantine with its reason (F15).

use serde_json::json;
use shared::connectors::{KnownNames, Lookup, Parsed, Signed};
use shared::domain::position::Refusal;
use shared::domain::{ConnectorName, StockEvent};
use shared::metrics::Metric;
use shared::store::quarantine::{LOOKUP, Quarantined};
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
            let found = self
                .store
                .sku_of(&door.name, external.kind, &external.id)
                .await;
            let sku = match found {
                // A name longer than any that can be stored is nobody's name.
                Err(error) if error.is_lasting() => None,
                found => found?,
            };
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
        let names = KnownNames::new(theirs, ours)
            .with_products(products)
            .with_vins(config.guards.vins());
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
            ignored: parsed.ignored.len(),
            ..Outcome::default()
        };
        for lookup in &parsed.lookups {
            let held = to_be_looked_up(&door.name, received, lookup);
            self.hold(&held, &mut outcome).await?;
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
            Ok(applied) => {
                let (changed, left_out) = match applied {
                    Applied::Changed => (true, Vec::new()),
                    Applied::Known | Applied::Before => (false, Vec::new()),
                    Applied::Partly { changed, left_out } => (changed, left_out),
                };
                let metric = if changed {
                    outcome.applied += 1;
                    Metric::EventsApplied
                } else {
                    outcome.known += 1;
                    Metric::EventsDuplicate
                };
                self.metrics.count(metric, &dimensions);
                for left in left_out {
                    let held = Quarantined::new(
                        connector,
                        received.at,
                        format!("{}:{}:{}", received.id, event.id, left.field),
                        &content(event),
                        (left.reason, left.sentence),
                    );
                    self.hold(&held.event(event.id.clone()), outcome).await?;
                }
                return Ok(());
            }
            Err(ApplyError::Store(error)) => return Err(error.into()),
            Err(error) => error,
        };
        let held = Quarantined::new(
            connector,
            received.at,
            format!("{}:{}", received.id, event.id),
            &content(event),
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

/// The work that a hint leaves: one entry per vehicle, however often it is hinted at.
fn to_be_looked_up(connector: &ConnectorName, received: &Received, lookup: &Lookup) -> Quarantined {
    let of = lookup.company.as_deref();
    let of = of.map_or_else(String::new, |company| format!(" of company {company}"));
    let sentence = format!(
        "vehicle {}{of} has to be looked up: {connector} only said that it changed",
        lookup.vin
    );
    let content = json!({ "vin": lookup.vin, "company": lookup.company });
    Quarantined::new(
        connector,
        received.at,
        format!("lookup:{}", lookup.vin),
        &content.to_string(),
        (LOOKUP, sentence),
    )
}

/// What quarantine shows of an event.
fn content(event: &StockEvent) -> String {
    serde_json::to_string(&event.change).unwrap_or_default()
}

/// The reason as machines read it.
fn code(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Refused(Refusal::Jump { .. }) => "held_for_review",
        ApplyError::Refused(_) => "refused",
        ApplyError::Reused { .. } => "event_id_reused",
        ApplyError::Unstorable(_) => "unstorable",
        ApplyError::Store(_) => "store",
    }
}
