//! What is stated by sources that the configuration has no more, or by one at a place that it can no
//! longer name: they cannot say any more that something is sold, so it ends, with its ledger rows.
//!
//! It ends as of the source's own last word, which is the safe side of a tie: the same word does not bring
//! it back, and whatever the source says later does.

use std::collections::BTreeMap;

use shared::config::Config;
use shared::domain::event::{Change, StockEvent, Version};
use shared::domain::id::ConnectorName;
use shared::domain::unit::{UnitReport, UnitState};
use shared::domain::{Position, Unit};
use shared::installation::Installation;
use shared::store::StoreError;
use shared::store::stock::ApplyError;

use crate::{EvaluateError, Evaluator};

impl Evaluator {
    /// Ends what is stated here by sources that cannot state it any more; whether that changed anything.
    pub(crate) async fn end_statements(
        &self,
        config: &Config,
        position: &Position,
    ) -> Result<bool, EvaluateError> {
        if over(config, position).is_empty() {
            return Ok(false);
        }
        // What is known here may be a second old, and a source newer than that.
        let installation = self.installation().await?;
        let over = over(&installation.config, position);
        for (source, version) in &over {
            let change = Change::LevelEnded {
                product: position.product.clone(),
                location: position.location.clone(),
                version: *version,
            };
            self.end(&installation, source, *version, change).await?;
        }
        Ok(!over.is_empty())
    }

    /// Ends what sources that are no longer there say of a vehicle; whether that changed anything.
    pub(crate) async fn end_claims(
        &self,
        installation: &Installation,
        unit: &Unit,
    ) -> Result<bool, EvaluateError> {
        let mut ended = false;
        for (source, claim) in &unit.claims {
            let latest = claim.state.latest();
            let Some(said) = latest.filter(|said| said.value.is_present()) else {
                continue;
            };
            if installation.config.has_source(source) {
                continue;
            }
            let report = UnitReport {
                vin: unit.vin.clone(),
                version: said.version,
                state: Some(UnitState::Removed),
                location: None,
                brought: false,
                stock_number: None,
                since: None,
                fields: BTreeMap::new(),
            };
            let change = Change::Unit(Box::new(report));
            self.end(installation, source, said.version, change).await?;
            ended = true;
        }
        Ok(ended)
    }

    async fn end(
        &self,
        installation: &Installation,
        source: &ConnectorName,
        version: Version,
        change: Change,
    ) -> Result<(), EvaluateError> {
        let id = format!("configuration:{}:ended", installation.version);
        let event = StockEvent {
            id: id.parse().map_err(|error| StoreError::Unreadable {
                operation: "name the end of a statement",
                key: id.clone(),
                problem: format!("{error}"),
            })?,
            source: source.clone(),
            at: version.at,
            actor: None,
            change,
        };
        let authority = installation.authority();
        match Box::pin(self.store.apply(&event, &authority)).await {
            Ok(_) => Ok(()),
            Err(ApplyError::Store(error)) => Err(error.into()),
            Err(error) => {
                let cause = &error as &(dyn std::error::Error + 'static);
                tracing::error!(error = cause, %source, "what a source stated cannot be ended");
                Ok(())
            }
        }
    }
}

/// The sources that state something here and cannot any more, and when each last said anything.
fn over(config: &Config, position: &Position) -> Vec<(ConnectorName, Version)> {
    let stating = position.stating();
    let over = stating.filter(|source| !config.can_state(source, &position.location));
    over.filter_map(|source| {
        let base = position.stated_by(source)?;
        Some((source.clone(), base.last_heard()))
    })
    .collect()
}
