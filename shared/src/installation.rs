//! The configuration in force, as handlers use it: read once, kept until its version changes.
//!
//! Whether it has changed is asked at most once in [`KEPT`]. An instance may therefore work by the
//! version before for that long after another was applied; in the process that applied it the new one
//! is in force at once. What has to see the new one, because it looks at everything anew, asks for
//! [`Installations::newest`] and begins after [`SETTLED`].
//!
//! Of a new version only what it changed is read: the document, or the rules that were imported for more
//! products than one, and of those only what somebody asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use crate::channels::Order;
use crate::config::Config;
use crate::config::connector::{Connector, ConnectorSettings, Covers, Files};
use crate::domain::alert::{AlertKind, RevisionKind, Severity, Subject};
use crate::domain::authority::Calendars;
use crate::domain::group::{Belongs, Grouping};
use crate::domain::id::{ChannelName, ConnectorName, GroupName};
use crate::domain::item::SameSku;
use crate::domain::message::Message;
use crate::domain::position::Sources;
use crate::domain::route::{About, Recipient, Routes};
use crate::domain::rule::{Rule, RuleBook, Scope};
use crate::domain::watch::Moment;
use crate::domain::{Authority, LocationId, Position, ProductId};
use crate::store::feeds::FeedState;
use crate::store::intents::IntentState;
use crate::store::settings::Head;
use crate::store::{Store, StoreError};

/// For how long an answer to "has the configuration changed?" is believed.
pub const KEPT: SignedDuration = SignedDuration::from_secs(1);
/// After this time no instance begins anything by what was in force before.
pub const SETTLED: std::time::Duration = std::time::Duration::from_millis(1_500);

/// Whether what a source has stated is data. The greater it is, the less of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// All of it is.
    All,
    /// Its latest file is not believed, or no webhook came for too long: what it has stated since then is
    /// data, the rest is not.
    Since(Moment),
    /// Nothing good has come from it for too long.
    None,
}

/// What is known of a source's health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceHealth {
    /// Of one that reads files.
    pub feed: Option<FeedState>,
    /// Of a sender of webhooks, since when people are told that nothing comes from it.
    pub stale_since: Option<Moment>,
}

impl Trust {
    /// Whether the source has no data for a position.
    pub fn withholds(self, position: &Position, source: &ConnectorName) -> bool {
        let stated = position.stated_by(source).map(|base| base.version.at);
        match self {
            Self::All => false,
            Self::Since(at) => stated.is_none_or(|stated| stated <= at.0),
            Self::None => true,
        }
    }
}

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
#[derive(Debug, Clone)]
pub struct Installation {
    /// Its version.
    pub version: u64,
    /// The document.
    pub config: Config,
    /// The document's rules, ready to be resolved.
    pub rules: RuleBook,
    /// Who is told of what.
    pub routes: Routes,
    /// The channels that have another name by now, by the one that they had.
    renamed: BTreeMap<ChannelName, ChannelName>,
    /// The rules that were imported for more products than one, as far as they were asked for.
    imported: Arc<Imported>,
}

/// Rules that were imported for more products than one. Those of one scope are read when something of
/// that scope is looked at, and kept until a version changes them.
#[derive(Debug, Default)]
struct Imported {
    /// The version that changed them last; 0 if there never were any.
    since: u64,
    known: Mutex<HashMap<Scope, Arc<[Rule]>>>,
}

/// Scopes that an instance keeps the imported rules of: some megabytes.
const MOST_SCOPES: usize = 20_000;

/// Gives out the configuration in force, and reads it anew when its version has changed.
#[derive(Debug, Clone)]
pub struct Installations {
    store: Store,
    cached: Arc<tokio::sync::Mutex<Option<Cached>>>,
}

#[derive(Debug)]
struct Cached {
    head: Head,
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
        let known = cached.as_ref();
        let of_document = |known: &&Cached| {
            (known.head.document, &known.head.hash) == (head.document, &head.hash)
        };
        let mut installation = match known.filter(of_document) {
            Some(known) => Installation {
                version: head.version,
                ..(*known.installation).clone()
            },
            None => Installation::new(head.version, self.store.config_document(&head).await?)?,
        };
        installation.imported = match known.filter(|known| known.head.rules == head.rules) {
            Some(known) => Arc::clone(&known.installation.imported),
            None => Arc::new(Imported {
                since: head.rules,
                known: Mutex::default(),
            }),
        };
        installation.renamed.clone_from(&head.renamed);
        let installation = Arc::new(installation);
        *cached = Some(Cached {
            head,
            installation: Arc::clone(&installation),
            asked_at,
        });
        Ok(installation)
    }
}

impl Installation {
    /// What a document makes, without imported rules.
    pub fn new(version: u64, config: Config) -> Result<Self, InstallationError> {
        let inconsistent =
            |error: &dyn std::fmt::Display| InstallationError::Inconsistent(error.to_string());
        let rules = RuleBook::new(config.rules.clone(), &config.locations);
        let rules = rules.map_err(|e| inconsistent(&e))?;
        let routes = Routes::new(config.routes.clone()).map_err(|e| inconsistent(&e))?;
        Ok(Self {
            version,
            config,
            rules,
            routes,
            renamed: BTreeMap::new(),
            imported: Arc::default(),
        })
    }

    /// The rules that were imported for more products than this one, and may apply to it at this
    /// location. They stand beside the book, as those that were imported for the product itself do.
    pub async fn imported_for(
        &self,
        store: &Store,
        product: &ProductId,
        category: Option<&str>,
        location: &LocationId,
    ) -> Result<Vec<Rule>, StoreError> {
        if self.imported.since == 0 {
            return Ok(Vec::new());
        }
        let groups = self.config.locations.groups_of(location);
        let scopes = Scope::shared_by(product, category, location, groups);
        let rules = scopes.map(|scope| self.imported.of(store, scope));
        let rules = futures::future::try_join_all(rules).await?;
        Ok(rules.iter().flat_map(|rules| rules.to_vec()).collect())
    }

    /// The channels that should get a revision of an alert, given those that were told of it before.
    pub fn recipients(
        &self,
        alert: (&Subject, AlertKind, Severity),
        category: Option<&str>,
        change: RevisionKind,
        told: Option<&[ChannelName]>,
    ) -> Vec<Recipient> {
        let about = self.about(alert, category, change);
        self.routes.recipients(told, &about)
    }

    /// What routes go by: a sum is about its group, and not about its places; a source is about its place, if it
    /// lists only one.
    pub fn about<'a>(
        &'a self,
        (subject, kind, severity): (&'a Subject, AlertKind, Severity),
        category: Option<&'a str>,
        change: RevisionKind,
    ) -> About<'a> {
        let directory = &self.config.locations;
        let (location, groups, connector): (
            Option<&LocationId>,
            &[GroupName],
            Option<&ConnectorName>,
        ) = match subject {
            Subject::Position { location, .. } => {
                (Some(location), directory.groups_of(location), None)
            }
            Subject::Group { group, .. } => (None, std::slice::from_ref(group), None),
            Subject::Unit { .. } | Subject::Channel { .. } => (None, &[], None),
            Subject::Connector { connector } | Subject::Quarantine { connector, .. } => {
                let source = self.config.connectors.get(connector);
                let place = source.and_then(Connector::only_place);
                let groups = place.map_or(&[][..], |place| directory.groups_of(place));
                (place, groups, Some(connector))
            }
        };
        About {
            kind,
            change,
            severity,
            location,
            groups,
            category,
            connector,
        }
    }

    /// The channels that were told of something, by the names that they have now.
    pub fn by_their_names(&self, told: &[ChannelName]) -> Vec<ChannelName> {
        let mut named = Vec::with_capacity(told.len());
        for channel in told {
            let channel = self.renamed.get(channel).unwrap_or(channel);
            if !named.contains(channel) {
                named.push(channel.clone());
            }
        }
        named
    }

    /// The kind of a channel that is to be told, and how its delivery begins. One that is not in the
    /// configuration now, and was told before, hears of the end when it is there again.
    pub fn carrier(
        &self,
        channel: &ChannelName,
        told: &BTreeMap<ChannelName, String>,
    ) -> Option<(String, IntentState)> {
        match self.config.channels.get(channel) {
            Some(channel) => Some((channel.kind.to_string(), IntentState::Pending)),
            None => Some((told.get(channel)?.clone(), IntentState::NotSent)),
        }
    }

    /// The group in which a recipient is told of an alert, if it is not told at once.
    pub fn group_of(
        &self,
        recipient: &Recipient,
        (subject, kind): (&Subject, AlertKind),
        category: Option<&str>,
    ) -> Option<Belongs> {
        let (route, grouping) = self.grouping(recipient)?;
        Some(grouping.group_of(route, kind, subject, category))
    }

    /// How what a recipient is told is gathered, and by which route. A system gets each revision by
    /// itself: of what a message does not name it would never hear.
    pub fn grouping(&self, recipient: &Recipient) -> Option<(&str, &Grouping)> {
        let channel = self.config.channels.get(&recipient.channel);
        if channel.is_some_and(|channel| channel.kind.order() == Order::Each) {
            return None;
        }
        self.routes.grouping(&recipient.routes)
    }

    /// What a place is called.
    pub fn place_name(&self, location: &LocationId) -> String {
        let known = self.config.locations.location(location);
        known.map_or_else(|| location.to_string(), |known| known.name.clone())
    }

    /// Calls the place that a message is about what it is called now, if it is still in the configuration.
    pub fn name_place(&self, message: &mut Message) {
        let Subject::Position { location, .. } = &message.subject else {
            return;
        };
        if let Some(known) = self.config.locations.location(location) {
            message.location = Some(known.name.clone());
        }
    }

    /// Whether a rule may be for a category of products.
    pub fn may_name_categories(&self) -> bool {
        self.imported.since > 0 || self.rules.name_categories()
    }

    /// The connectors that are read on a schedule and switched on.
    pub fn pulled(&self) -> impl Iterator<Item = &ConnectorName> {
        self.config
            .connectors
            .iter()
            .filter(|(_, c)| c.common.enabled && matches!(c.settings, ConnectorSettings::Files(_)))
            .map(|(name, _)| name)
    }

    /// The settings of a connector that reads files, where it is switched on.
    pub fn files_of(&self, connector: &ConnectorName) -> Option<&Files> {
        let known = self.config.connectors.get(connector)?;
        match &known.settings {
            ConnectorSettings::Files(files) if known.common.enabled => Some(files),
            _ => None,
        }
    }

    /// Whether a source sends webhooks, is switched on, and may be silent for so long and no longer.
    pub fn bounds_silence_of(&self, connector: &ConnectorName) -> bool {
        let known = self.config.connectors.get(connector);
        let known = known.filter(|known| known.common.enabled);
        known.is_some_and(|known| known.settings.silence().flatten().is_some())
    }

    /// What there is to know of a source's health, where it matters.
    pub async fn health_of(
        &self,
        store: &Store,
        source: &ConnectorName,
    ) -> Result<SourceHealth, StoreError> {
        let mut health = SourceHealth::default();
        if self.bounds_silence_of(source) {
            health.stale_since = store.told_stale_since(source).await?;
        } else {
            health.feed = store.feed_health(source).await?.map(|feed| feed.data);
        }
        Ok(health)
    }

    /// Whether what a source has stated is data: files by when the last good one was read, webhooks by
    /// whether people are told that none comes any more.
    pub fn trust_by(&self, source: &ConnectorName, health: &SourceHealth, now: Timestamp) -> Trust {
        match health.stale_since {
            Some(since) if self.bounds_silence_of(source) => Trust::Since(since),
            _ => self.trust(source, health.feed.as_ref(), now),
        }
    }

    /// Whether what a source of files has stated is data, by its health. Of one that is switched off nothing
    /// new is awaited: what it stated last stands.
    pub fn trust(
        &self,
        source: &ConnectorName,
        health: Option<&FeedState>,
        now: Timestamp,
    ) -> Trust {
        let Some((files, feed)) = self.files_of(source).zip(health) else {
            return Trust::All;
        };
        let stale = feed
            .succeeded_at
            .is_some_and(|at| now.duration_since(at.0) >= files.stale_after);
        match feed.distrusted_after {
            _ if stale => Trust::None,
            Some(at) => Trust::Since(at),
            None => Trust::All,
        }
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
            configuration: self.version,
            quantities: Sources {
                ranking: owners.on_hand.clone(),
                titles: owners.title.clone(),
                categories: owners.category.clone(),
                whole_files: self.whole_files(),
                summed: self.summed(),
                most_jump: i64::try_from(self.config.guards.most_quantity_jump.get()).ok(),
                remember_days: Some(self.config.limits.event_memory_days.get()),
                calendars: Calendars {
                    places: self
                        .config
                        .locations
                        .locations()
                        .iter()
                        .map(|location| (location.id.clone(), location.zone.clone()))
                        .collect(),
                    elsewhere: self.config.account.zone.0.clone(),
                },
            },
            units: owners.state.clone(),
            rooftops: owners.location.clone(),
            fields,
            hold_price_jumps: self.config.guards.hold_price_jumps,
        }
    }
}

impl Imported {
    async fn of(&self, store: &Store, scope: Scope) -> Result<Arc<[Rule]>, StoreError> {
        let known = self.known.lock().ok();
        if let Some(rules) = known.and_then(|known| known.get(&scope).cloned()) {
            return Ok(rules);
        }
        let rules: Arc<[Rule]> = store.shared_rules(&scope).await?.into();
        if let Ok(mut known) = self.known.lock() {
            if known.len() >= MOST_SCOPES {
                known.clear();
            }
            known.insert(scope, Arc::clone(&rules));
        }
        Ok(rules)
    }
}
