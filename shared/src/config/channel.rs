//! Settings of the channels on which people are told, and of the routes that lead there.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::{Fields, Node};
use super::error::Problems;
use super::foreign::{Foreign, json_of};
use super::setting::{Key, Section, Setting, choice, settings, table_schema};
use super::value::PerSecond;
use crate::domain::alert::{RevisionKind, named};
use crate::domain::route::Route;
use crate::domain::{AlertKind, ChannelName, ConnectorName, GroupName, LocationId, Severity};

settings! {
    /// What every channel has.
    pub struct ChannelCommon {
        /// `false` switches it off: what is due to it is recorded and not sent.
        enabled: bool = true,
        /// `at_least_once` repeats a message whose fate is unknown, so a rare double beats silence;
        /// `at_most_once` does not.
        delivery: Delivery = Delivery::AtLeastOnce,
        /// The most messages it is sent in a second.
        max_per_second: Option<PerSecond> = None,
    }
}

named!(
    /// What happens to a message of which nobody knows whether it arrived.
    Delivery {
        /// It is sent again, under the same key.
        AtLeastOnce => "at_least_once",
        /// It is not.
        AtMostOnce => "at_most_once",
    }
);
choice!(Delivery, RevisionKind);

/// One place where people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its vendor: the name of a channel kind.
    pub kind: String,
    /// What every channel has.
    #[serde(flatten)]
    pub common: ChannelCommon,
    /// What its kind has, as the kind's own module reads it.
    pub settings: Foreign,
}

impl Setting for Channel {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, problems)?;
        let common = ChannelCommon::take(&mut fields, problems);
        let kind = fields.kind(KINDS, problems);
        let mut settings = Foreign::default();
        for (key, child) in fields.rest() {
            if let Some(value) = json_of(&child, problems) {
                settings.insert(key.get_ref(), value);
            }
        }
        Some(Self {
            kind: kind?.to_owned(),
            common: common?,
            settings,
        })
    }
    fn expected() -> String {
        "a table".to_owned()
    }
    fn schema() -> Value {
        let mut schema = table_schema(&ChannelCommon::described());
        schema["properties"]["kind"] =
            json!({ "enum": KINDS, "description": "Which vendor it is." });
        schema["required"] = json!(["kind"]);
        schema["additionalProperties"] = json!(true);
        schema
    }
}

const KINDS: &[&str] = &["slack", "twilio_sms", "sendgrid", "webhook"];

settings! {
    /// Leads alerts to channels. Every filter that is given must match; one left out matches all.
    pub struct RouteSettings {
        /// Its name, unique among the routes.
        name: String,
        /// The kinds of alert it carries.
        kinds: Vec<AlertKind> = Vec::new(),
        /// The revisions it carries.
        revisions: Vec<RevisionKind> = Vec::new(),
        /// The locations it is about.
        locations: Vec<LocationId> = Vec::new(),
        /// The location groups it is about.
        groups: Vec<GroupName> = Vec::new(),
        /// The product categories it is about.
        categories: Vec<String> = Vec::new(),
        /// The connectors it is about, for alerts on a feed.
        connectors: Vec<ConnectorName> = Vec::new(),
        /// The least severity it carries.
        min_severity: Severity = Severity::Info,
        /// Where it leads.
        channels: Vec<ChannelName>,
    }
}

impl From<RouteSettings> for Route {
    fn from(route: RouteSettings) -> Self {
        Self {
            name: route.name,
            kinds: route.kinds,
            revisions: route.revisions,
            locations: route.locations,
            groups: route.groups,
            categories: route.categories,
            connectors: route.connectors,
            min_severity: route.min_severity,
            channels: route.channels,
        }
    }
}

settings! {
    /// Titles and texts for one kind of alert, in Jinja syntax. What is left out keeps its default.
    pub struct TemplateSettings {
        /// The title while the alert is open.
        title: Option<String> = None,
        /// The text while the alert is open.
        text: Option<String> = None,
        /// The title once it is over.
        resolved_title: Option<String> = None,
        /// The text once it is over.
        resolved_text: Option<String> = None,
        /// The same for single channels.
        channels: std::collections::BTreeMap<ChannelName, ChannelTemplate> = std::collections::BTreeMap::new(),
    }
}

settings! {
    /// Titles and texts for one channel.
    pub struct ChannelTemplate {
        /// The title while the alert is open.
        title: Option<String> = None,
        /// The text while the alert is open.
        text: Option<String> = None,
        /// The title once it is over.
        resolved_title: Option<String> = None,
        /// The text once it is over.
        resolved_text: Option<String> = None,
    }
}

impl Key for AlertKind {
    fn from_key(key: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
        let found = Self::ALL.iter().copied().find(|kind| kind.name() == key);
        found.ok_or_else(|| super::document::unknown_key(key, &names))
    }
}
