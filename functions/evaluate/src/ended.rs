//! What is stated by sources that the configuration has no more, or by one at a place that it can no
//! longer name: they cannot say any more that something is sold, so it ends, with its ledger rows. So does
//! what was stated by a name of a place that leads to another now.
//!
//! What such a source said of quantities is forgotten: said again, it counts again. A vehicle is removed as
//! of the source's own last word, so that only what it says later brings it back. A sale that it reported
//! stands; whoever else has reported it can take it back alone from then on.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::config::Config;
use shared::domain::event::{Change, Version};
use shared::domain::id::{ConnectorName, LocationId};
use shared::domain::unit::{AFTER_LAST_WORD, Counted, Stamped, UnitReport, UnitState};
use shared::domain::{Position, Unit};
use shared::installation::Installation;
use shared::metrics::Metric;
use shared::store::corrected::follows_from;
use shared::store::stock::{Applied, ApplyError};

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
        let config = &installation.config;
        let over = over(config, position);
        for (source, called) in &over {
            // First: who adds up places may look in between, and what is unknown is not nothing.
            for place in meant(config, position, source, called.as_deref()) {
                self.await_statement(&installation, position, source, place)
                    .await?;
            }
            let change = Change::SourceGone {
                product: position.product.clone(),
                location: position.location.clone(),
                called: called.clone(),
            };
            let at = self.store.clock().now();
            self.follow(&installation, "ended", (source, at), change)
                .await?;
        }
        Ok(!over.is_empty())
    }

    /// Notes at the place that a source means now that how much is there is not known yet.
    async fn await_statement(
        &self,
        installation: &Installation,
        position: &Position,
        source: &ConnectorName,
        location: LocationId,
    ) -> Result<(), EvaluateError> {
        let change = Change::SourceGone {
            product: position.product.clone(),
            location: location.clone(),
            called: None,
        };
        let at = self.store.clock().now();
        let event = follows_from(installation.version, "awaited", source, at, change)?;
        let sources = &installation.authority().quantities;
        let place = (&position.product, &location);
        Ok(self.store.await_statement(&event, place, sources).await?)
    }

    /// Ends what sources that are no longer there say of a vehicle; whether that changed anything.
    pub(crate) async fn end_claims(
        &self,
        installation: &Installation,
        unit: &Unit,
    ) -> Result<bool, EvaluateError> {
        if gone(&installation.config, unit).next().is_none() {
            return Ok(false);
        }
        // As with positions.
        let installation = self.installation().await?;
        let mut ended = false;
        for (source, said) in gone(&installation.config, unit) {
            // After its last word and not in its place: that may have taken back a sale.
            let at = said.version.at.checked_add(AFTER_LAST_WORD);
            let version = Version::at(at.unwrap_or(said.version.at));
            let report = UnitReport {
                source_gone: true,
                ..UnitReport::removed(unit.vin.clone(), version)
            };
            let change = Change::Unit(Box::new(report));
            let said = (source, version.at);
            self.follow(&installation, "ended", said, change).await?;
            ended = true;
        }
        Ok(ended)
    }

    /// Has a vehicle stand at the new id of its place: the old one is not in the configuration any more, and
    /// the name by which its source called that leads to the new one. Whether that changed anything.
    pub(crate) async fn place_anew(
        &self,
        installation: &Installation,
        unit: &Unit,
    ) -> Result<bool, EvaluateError> {
        if moved(&installation.config, unit).next().is_none() {
            return Ok(false);
        }
        let installation = self.installation().await?;
        // One after the other, and none of them has moved: what is counted in between is told to nobody.
        let many = Self {
            store: self.store.writing_many(),
            ..self.clone()
        };
        let mut placed = false;
        for (source, called, to) in moved(&installation.config, unit) {
            // What it said, read anew.
            let report = UnitReport {
                location: Some(to),
                called: Some(called.value.to_owned()),
                state: None,
                ..UnitReport::removed(unit.vin.clone(), called.version)
            };
            let change = Change::Unit(Box::new(report));
            let said = (source, called.version.at);
            many.follow(&installation, "placed", said, change).await?;
            placed = true;
        }
        Ok(placed)
    }

    async fn follow(
        &self,
        installation: &Installation,
        what: &str,
        (source, at): (&ConnectorName, Timestamp),
        change: Change,
    ) -> Result<(), EvaluateError> {
        let event = follows_from(installation.version, what, source, at, change)?;
        let authority = installation.authority();
        match Box::pin(self.store.apply(&event, &authority)).await {
            // A change of stock as any other: what it costs of the table belongs to it.
            Ok(
                Applied::Changed | Applied::Unstated { .. } | Applied::Partly { changed: true, .. },
            ) => {
                let said = [("Connector", source.as_str())];
                self.metrics.count(Metric::EventsApplied, &said);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(ApplyError::Store(error)) => Err(error.into()),
            Err(error) => {
                let cause = &error as &(dyn std::error::Error + 'static);
                tracing::error!(error = cause, %source, what, "what follows from a configuration is refused");
                Ok(())
            }
        }
    }
}

/// The sources that are no longer there and have said of a vehicle that it is, or was sold; and that word.
fn gone<'a>(
    config: &'a Config,
    unit: &'a Unit,
) -> impl Iterator<Item = (&'a ConnectorName, &'a Stamped<UnitState>)> {
    let claims = unit.claims.iter();
    let gone = claims.filter(|(source, _)| !config.has_source(source));
    let said = gone.filter_map(|(source, claim)| Some((source, claim, claim.state.latest()?)));
    let stands = said.filter(|(_, claim, said)| {
        let mut all = claim.state.iter();
        let was_sold = all.any(|said| said.value.is_departure());
        said.value.is_present() || was_sold && !claim.has_ended()
    });
    stands.map(|(source, _, said)| (source, said))
}

/// The sources that have a vehicle at a place that the configuration has no more, what they last called that
/// place, and where that leads now.
fn moved<'a>(
    config: &'a Config,
    unit: &'a Unit,
) -> impl Iterator<Item = (&'a ConnectorName, Stamped<&'a String>, LocationId)> {
    let counts = |counted: &&Counted| counted.state.is_present();
    let left = unit.counted.as_ref().filter(counts);
    let left = left.filter(|counted| config.locations.location(&counted.location).is_none());
    let claims = left.into_iter().flat_map(|left| {
        let there = unit.claims.iter().filter_map(|(source, claim)| {
            let said = claim.location.latest()?;
            Some((source, claim, said))
        });
        there.filter(|(.., said)| said.value == left.location)
    });
    claims.filter_map(|(source, claim, said)| {
        let connector = config.connectors.get(source)?;
        let called = claim.called.latest()?;
        let to = connector.called(&called.value, &config.locations)?;
        let last_said = said.version.max(called.version);
        let called = Stamped::new(&called.value, last_said);
        (to != said.value).then_some((source, called, to))
    })
}

/// The places that a source means now by the name, or its names, of a place at which it stated something.
fn meant(
    config: &Config,
    position: &Position,
    source: &ConnectorName,
    called: Option<&str>,
) -> BTreeSet<LocationId> {
    let connector = config.connectors.get(source);
    let names = position.called_by(source).into_iter();
    let names = names.filter(|name| called.is_none_or(|called| called == *name));
    let places = names.filter_map(|name| connector?.called(name, &config.locations));
    places.filter(|it| *it != position.location).collect()
}

/// The sources that state something here and cannot any more; or by which name of the place they did that
/// leads elsewhere now.
fn over(config: &Config, position: &Position) -> Vec<(ConnectorName, Option<String>)> {
    let mut over = Vec::new();
    for source in position.stating() {
        if !config.can_state(source, &position.location) {
            over.push((source.clone(), None));
            continue;
        }
        let called = position.called_by(source).into_iter();
        let elsewhere = called.filter(|it| config.leads_elsewhere(source, it, &position.location));
        over.extend(elsewhere.map(|it| (source.clone(), Some(it.to_owned()))));
    }
    over
}
