//! The configuration in force, as handlers use it: read once, kept until its version changes.
//!
//! Whether it has changed is asked at most once in [`KEPT`]. An instance may therefore work by the
//! version before for that long after another was applied; in the process that applied it the new one
//! is in force at once. What has to see the new one, because it looks at everything anew, asks for
//! [`Installations::newest`] and begins after [`SETTLED`].

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::config::Config;
use crate::config::connector::{ConnectorSettings, Covers};
use crate::domain::Authority;
use crate::domain::id::ConnectorName;
use crate::domain::item::SameSku;
use crate::domain::position::Sources;
use crate::domain::route::Routes;
use crate::domain::rule::{Rule, RuleBook};
use crate::store::{Store, StoreError};

/// For how long an answer to "has the configuration changed?" is believed.
pub const KEPT: SignedDuration = SignedDuration::from_secs(1);
/// After this time no instance begins anything by what was in force before.
pub const SETTLED: std::time::Duration = std::time::Duration::from_millis(1_500);

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
    cached: Arc<tokio::sync::Mutex<Option<Cached>>>,
}

#[derive(Debug)]
struct Cached {
    installation: Arc<Installation>,
    asked_at: Timestamp,
}

impl Installations {
    /// Reads from this table.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            cached: Arc::default(),
        }
    }

    /// The configuration in force, as it was at most [`KEPT`] ago. Costs one small read in that time,
    /// however many ask.
    pub async fn current(&self) -> Result<Arc<Installation>, InstallationError> {
        let mut cached = self.cached.lock().await;
        let now = self.store.clock().now();
        let applied_here = self.store.applied_version();
        if let Some(known) = cached.as_ref()
            && (SignedDuration::ZERO..KEPT).contains(&now.duration_since(known.asked_at))
            && applied_here <= known.installation.version
        {
            return Ok(Arc::clone(&known.installation));
        }
        self.ask(&mut cached, now).await
    }

    /// The configuration in force now.
    pub async fn newest(&self) -> Result<Arc<Installation>, InstallationError> {
        let mut cached = self.cached.lock().await;
        let now = self.store.clock().now();
        self.ask(&mut cached, now).await
    }

    async fn ask(
        &self,
        cached: &mut Option<Cached>,
        asked_at: Timestamp,
    ) -> Result<Arc<Installation>, InstallationError> {
        let head = self
            .store
            .config_head()
            .await?
            .ok_or(InstallationError::NotConfigured)?
            .data;
        if let Some(known) = cached.as_mut()
            && known.installation.version == head.version
        {
            known.asked_at = asked_at;
            return Ok(Arc::clone(&known.installation));
        }
        let config = self.store.config_document(&head).await?;
        let imported = self.store.imported_rules().await?;
        let installation = Arc::new(Installation::new(head.version, config, imported)?);
        *cached = Some(Cached {
            installation: Arc::clone(&installation),
            asked_at,
        });
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

    /// The connectors whose files each say everything. One that is switched off has still said it.
    fn whole_files(&self) -> BTreeSet<ConnectorName> {
        let whole = |settings: &ConnectorSettings| matches!(settings, ConnectorSettings::Files(files) if files.covers == Covers::All);
        self.config
            .connectors
            .iter()
            .filter(|(_, connector)| whole(&connector.settings))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The connectors of whose items several with one SKU are parts of one stock.
    fn summed(&self) -> BTreeSet<ConnectorName> {
        let sums = |settings: &ConnectorSettings| matches!(settings, ConnectorSettings::Shopify(shop) if shop.same_sku == SameSku::Sum);
        let connectors = self.config.connectors.iter();
        let summed = connectors.filter(|(_, connector)| sums(&connector.settings));
        summed.map(|(name, _)| name.clone()).collect()
    }

    /// Who has the last word on what.
    pub fn authority(&self) -> Authority {
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
                whole_files: self.whole_files(),
                summed: self.summed(),
                most_jump: i64::try_from(self.config.guards.most_quantity_jump.get()).ok(),
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
