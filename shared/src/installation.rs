//! The configuration in force, as handlers use it: read once, kept until its version changes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::config::Config;
use crate::config::connector::ConnectorSettings;
use crate::domain::Authority;
use crate::domain::id::ConnectorName;
use crate::domain::position::Sources;
use crate::domain::route::Routes;
use crate::domain::rule::{Rule, RuleBook};
use crate::store::{Store, StoreError};

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// Nothing was ever applied.
    #[error("no configuration was applied yet")]
    NotConfigured,
    /// What was applied contradicts itself, which the check before applying should have refused.
    #[error("the applied configuration cannot be used: {0}")]
    Inconsistent(String),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The configuration in force.
#[derive(Debug)]
pub struct Installation {
    /// Its version.
    pub version: u64,
    /// The document.
    pub config: Config,
    /// The document's rules and the imported ones, ready to be resolved.
    pub rules: RuleBook,
    /// Who is told of what.
    pub routes: Routes,
}

/// Gives out the configuration in force, and reads it anew when its version has changed.
#[derive(Debug, Clone)]
pub struct Installations {
    store: Store,
    cached: Arc<tokio::sync::Mutex<Option<Arc<Installation>>>>,
}

impl Installations {
    /// Reads from this table.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            cached: Arc::default(),
        }
    }

    /// The configuration in force. Costs one small read while it does not change.
    pub async fn current(&self) -> Result<Arc<Installation>, InstallationError> {
        let head = self
            .store
            .config_head()
            .await?
            .ok_or(InstallationError::NotConfigured)?
            .data;
        let mut cached = self.cached.lock().await;
        if let Some(known) = cached
            .as_ref()
            .filter(|known| known.version == head.version)
        {
            return Ok(Arc::clone(known));
        }
        let config = self.store.config_document(&head).await?;
        let imported = self.store.imported_rules().await?;
        let installation = Arc::new(Installation::new(head.version, config, imported)?);
        *cached = Some(Arc::clone(&installation));
        Ok(installation)
    }
}

impl Installation {
    /// Puts a document and the rules imported beside it together.
    ///
    /// An imported rule stands in for the document's rule of the same kind and scope.
    pub fn new(
        version: u64,
        config: Config,
        imported: Vec<Rule>,
    ) -> Result<Self, InstallationError> {
        let inconsistent =
            |error: &dyn std::fmt::Display| InstallationError::Inconsistent(error.to_string());
        let taken: HashSet<_> = imported.iter().map(Rule::slot).collect();
        let mut rules: Vec<_> = config
            .rules
            .iter()
            .filter(|rule| !taken.contains(&rule.slot()))
            .cloned()
            .collect();
        rules.extend(imported.iter().cloned());
        let rules = RuleBook::new(rules, &config.locations).map_err(|e| inconsistent(&e))?;
        let routes = Routes::new(config.routes.clone()).map_err(|e| inconsistent(&e))?;
        Ok(Self {
            version,
            config,
            rules,
            routes,
        })
    }

    /// The connectors that are read on a schedule and switched on.
    pub fn pulled(&self) -> impl Iterator<Item = &ConnectorName> {
        self.config
            .connectors
            .iter()
            .filter(|(_, c)| c.common.enabled && matches!(c.settings, ConnectorSettings::Files(_)))
            .map(|(name, _)| name)
    }

    /// Who has the last word on what, given when each source's snapshot last confirmed what we hold.
    pub fn authority(&self, confirmed: BTreeMap<ConnectorName, Timestamp>) -> Authority {
        let owners = &self.config.ownership;
        let spec = ["make", "model", "year", "trim", "exterior_colour"];
        let mut fields: BTreeMap<String, Vec<ConnectorName>> = spec
            .into_iter()
            .map(|name| (name.to_owned(), owners.spec.clone()))
            .collect();
        fields.insert("price".to_owned(), owners.price.clone());
        fields.insert("mileage".to_owned(), owners.mileage.clone());
        Authority {
            quantities: Sources {
                ranking: owners.on_hand.clone(),
                confirmed,
                remember_days: Some(self.config.limits.event_memory_days.get()),
            },
            units: owners.state.clone(),
            fields,
            zones: self
                .config
                .locations
                .locations()
                .iter()
                .map(|location| (location.id.clone(), location.zone.clone()))
                .collect(),
            zone: self.config.account.zone.0.clone(),
            hold_price_jumps: self.config.guards.hold_price_jumps,
        }
    }
}
