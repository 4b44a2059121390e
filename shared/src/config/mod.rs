//! `lotwire.toml` and the environment, read into types.
//!
//! The text is read strictly, and everything that is wrong with it is told at once, each with its
//! line and column ([`Config::check`]). What comes out is stored as JSON and read back by the
//! functions, each of which learns the rest from its environment ([`environment`]).
//!
//! | file | job |
//! |---|---|
//! | `document` | the TOML text as nodes that know their place |
//! | `setting` | how one value is read |
//! | `declare` | the declarations that sections are made of |
//! | [`account`], [`connector`], [`channel`], [`rule`] | the sections |
//! | `references` | names that must exist, and settings that must agree |
//! | `files` | whether a source of files can be read |
//! | `slips` | what whoever writes TOML seldom gets wrong, and what to write instead |
//! | [`mod@reference`] | the JSON Schema and the reference page, from the same declarations |
//! | [`environment`] | what each function reads from its environment |

pub mod account;
pub mod channel;
pub mod connector;
mod declare;
mod document;
pub mod environment;
mod error;
mod files;
mod foreign;
mod format;
mod network;
pub mod reference;
mod references;
pub mod rule;
mod setting;
mod slips;
mod summary;
#[cfg(test)]
mod tests;
mod value;
pub(crate) mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::account::{Account, AlertSettings, Guards, Limits, LocationSettings, Ownership};
use self::channel::{Channel, RouteSettings, TemplateSettings};
use self::connector::Connector;
use self::declare::settings;
use self::document::Node;
use self::error::Problems;
use self::files::Machine;
use self::setting::Setting;
use crate::domain::authority::API;
use crate::domain::catalogue::Directory;
use crate::domain::route::Route;
use crate::domain::rule::{Rule, RuleBook};
use crate::domain::{AlertKind, ChannelName, ConnectorName, LocationId};

pub use self::error::{ConfigError, ConfigErrors};
pub use self::foreign::Foreign;
pub use self::format::Format;
pub use self::network::{Network, NetworkError};
pub use self::summary::Summary;
pub use self::value::{
    Bytes, Crossings, Grace, HeaderName, JsonPointer, MemoryDays, Named, PerSecond, Percent,
    SalesDays, ShopName,
};
pub use self::words::alike;

/// One installation, checked: every name in it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Whose installation it is.
    pub account: Account,
    /// The warehouses and rooftops.
    pub locations: Directory,
    /// The connected systems.
    pub connectors: BTreeMap<ConnectorName, Connector>,
    /// Which connectors' word counts for each field.
    pub ownership: Ownership,
    /// Where people are told.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// Which alerts go to which channels, in the order of the document.
    pub routes: Vec<Route>,
    /// When people are told, in the order of the document.
    pub rules: Vec<Rule>,
    /// How people are told of an alert that is open.
    #[serde(default)]
    pub alerts: AlertSettings,
    /// The users' own titles and texts.
    pub templates: BTreeMap<AlertKind, TemplateSettings>,
    /// What is held for a person to look at.
    pub guards: Guards,
    /// How much is kept.
    pub limits: Limits,
}

settings! {
    /// The whole document.
    pub struct Document {
        /// Whose installation this is.
        account: Account,
        /// The warehouses and rooftops, by the short name that everything else uses.
        locations: BTreeMap<LocationId, LocationSettings>,
        /// The connected systems, by name; a webhook's address ends in `/hooks/<name>`.
        connectors: BTreeMap<ConnectorName, Connector> = BTreeMap::new(),
        /// Which connectors' word counts for each field: the first that has spoken.
        ownership: Ownership = Ownership::default(),
        /// Where people are told, by name.
        channels: BTreeMap<ChannelName, Channel> = BTreeMap::new(),
        /// Which alerts go to which channels.
        routes: Vec<RouteSettings> = Vec::new(),
        /// When people are told.
        rules: Vec<Rule> = Vec::new(),
        /// How people are told of an alert that is open.
        alerts: AlertSettings = AlertSettings::default(),
        /// Your own titles and texts, by kind of alert.
        templates: BTreeMap<AlertKind, TemplateSettings> = BTreeMap::new(),
        /// What is held for a person to look at instead of being believed.
        guards: Guards = Guards::default(),
        /// How much is kept.
        limits: Limits = Limits::default(),
    }
}

impl Config {
    /// Reads and checks a document. On failure, says everything that is wrong with it.
    pub fn check(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        Self::checked(text, file_name, Machine::Any)
    }

    /// The same for a document that is to be in force on this machine: the folders that it reads must
    /// be there.
    pub fn check_here(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        Self::checked(text, file_name, Machine::This)
    }

    fn checked(text: &str, file_name: &str, machine: Machine) -> Result<Self, ConfigErrors> {
        let mut problems = Problems::new(file_name, text);
        let (table, faults) = DeTable::parse_recoverable(text);
        for fault in faults {
            let span = fault.span().unwrap_or_default();
            let (span, problem) = slips::in_words(text, &span, fault.message());
            problems.add(&span, "", problem);
        }
        // What a broken text means is a guess; guesses would bury the cause.
        if !problems.is_empty() {
            return problems.finish(None);
        }
        let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        let root = Node::root(&root);
        let document = Document::read(&root, &mut problems);
        // Names are checked as far as they could be read, so that one slip does not hide another.
        references::check(&root, machine, &mut problems);
        if let Some(connectors) = root.get("connectors") {
            slips::check_paths(&connectors, &mut problems);
        }
        let config = document.and_then(|document| Self::assemble(document, &root, &mut problems));
        // The domain has the last word on rules; whatever it refuses that the text's own checks let
        // pass still comes with its line, which is in the rule's origin.
        if let Some(config) = config.as_ref().filter(|_| problems.is_empty())
            && let Err(errors) = RuleBook::new(config.rules.clone(), &config.locations)
        {
            root.refuse_field(&mut problems, "rules", errors.to_string());
        }
        problems.finish(config)
    }

    /// Whether a source can say what is at a place: it is still there, and has a name for the place.
    /// People can by the API.
    pub fn can_state(&self, source: &ConnectorName, location: &LocationId) -> bool {
        source.as_str() == API
            || (self.connectors.get(source))
                .is_some_and(|connector| connector.can_name(location, &self.locations))
    }

    /// Whether a source means another place than this by a name.
    pub fn leads_elsewhere(
        &self,
        source: &ConnectorName,
        name: &str,
        location: &LocationId,
    ) -> bool {
        let connector = self.connectors.get(source);
        let place = connector.and_then(|it| it.called(name, &self.locations));
        place.is_some_and(|place| place != *location)
    }

    /// Whether a source is still there; people always are.
    pub fn has_source(&self, source: &ConnectorName) -> bool {
        source.as_str() == API || self.connectors.contains_key(source)
    }

    /// Reads the stored form.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The form that is stored in the table.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn assemble(document: Document, root: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let zone = &document.account.zone;
        let locations = document.locations.into_iter();
        let locations = locations
            .map(|(id, settings)| settings.into_location(id, zone))
            .collect();
        // A TOML table cannot hold a key twice, so this cannot fail; if it did, it would be told.
        let locations = Directory::new(locations)
            .map_err(|error| root.refuse_field(problems, "locations", error.to_string()))
            .ok()?;
        Some(Self {
            account: document.account,
            locations,
            connectors: document.connectors,
            ownership: document.ownership,
            channels: document.channels,
            routes: document.routes.into_iter().map(Route::from).collect(),
            rules: document.rules,
            alerts: document.alerts,
            templates: document.templates,
            guards: document.guards,
            limits: document.limits,
        })
    }
}
