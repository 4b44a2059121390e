//! Settings of the channels on which people are told, and of the routes that lead there.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::declare::{choice, settings};
use super::document::{Fields, Node, unknown_key};
use super::error::Problems;
use super::foreign::{Foreign, json_of, reworded};
use super::setting::{Key, Section, Setting, table_schema};
use super::value::{Named, PerSecond};
use crate::channels::settings::ConfigError;
use crate::channels::{ChannelKind, ChannelSettings};
use crate::domain::alert::{RevisionKind, named};
use crate::domain::group::{GroupLabel, Grouping, Pace};
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
        /// The most messages that one instance of its notifier sends it in a second, evenly apart; of those
        /// whose turn is more than a second away the gravest go first. On AWS there may be several, and what
        /// a vendor refuses as too much is sent later.
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
choice!(Delivery => "delivery", RevisionKind => "revision", GroupLabel => "label");

/// One place where people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Its vendor.
    pub kind: ChannelKind,
    /// What every channel has.
    #[serde(flatten)]
    pub common: ChannelCommon,
    /// What its kind has, as the kind's own module reads it.
    settings: Foreign,
}

impl Channel {
    /// What its kind has.
    pub fn settings(&self) -> Result<ChannelSettings, ConfigError> {
        self.kind.settings(self.settings.table())
    }
}

/// The channels that have another name now, by the one that they had: what leads there stands under one name
/// that is gone, and under one that is new.
pub fn renamed(
    before: &BTreeMap<ChannelName, Channel>,
    now: &BTreeMap<ChannelName, Channel>,
) -> Vec<(ChannelName, ChannelName)> {
    let only_in =
        |these: &BTreeMap<_, _>, others: &BTreeMap<_, _>| -> Vec<(ChannelName, Channel)> {
            let mut these = these.clone();
            these.retain(|name, _| !others.contains_key(name));
            these.into_iter().collect()
        };
    let (gone, new) = (only_in(before, now), only_in(now, before));
    let same =
        |one: &Channel, other: &Channel| one.kind == other.kind && one.settings == other.settings;
    let pairs = gone.iter().filter_map(|(old, channel)| {
        let alone = gone.iter().filter(|(_, it)| same(it, channel)).count() == 1;
        let mut new = new.iter().filter(|(_, it)| same(it, channel));
        match (new.next(), new.next()) {
            (Some((new, _)), None) if alone => Some((old.clone(), new.clone())),
            _ => None,
        }
    });
    pairs.collect()
}

impl Setting for Channel {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, problems)?;
        let common = ChannelCommon::take(&mut fields, problems);
        let kind = fields.kind(&kinds(), problems)?;
        let kind = ChannelKind::ALL
            .iter()
            .copied()
            .find(|known| known.name() == kind)?;
        let settings = own_settings(node, &fields, kind, problems);
        Some(Self {
            kind,
            common: common?,
            settings: settings?,
        })
    }
    fn expected() -> String {
        "a table".to_owned()
    }
    fn schema() -> Value {
        let common = ChannelCommon::described;
        let each = ChannelKind::ALL.iter().map(|kind| {
            let mut schema = table_schema(&common());
            let own = kind.schema();
            if let (Some(all), Some(own)) = (
                schema["properties"].as_object_mut(),
                own["properties"].as_object(),
            ) {
                all.extend(own.clone());
                all.insert(
                    "kind".to_owned(),
                    json!({ "const": kind.name(), "description": "Which vendor it is." }),
                );
            }
            let required = own["required"].as_array().cloned().unwrap_or_default();
            schema["required"] = std::iter::once(json!("kind")).chain(required).collect();
            schema
        });
        json!({ "oneOf": each.collect::<Vec<_>>() })
    }
}

fn kinds() -> Vec<&'static str> {
    ChannelKind::ALL.iter().map(|kind| kind.name()).collect()
}

/// What is left of the table once the common fields are read, checked by the channel's own module.
fn own_settings(
    node: &Node<'_>,
    fields: &Fields<'_, '_>,
    kind: ChannelKind,
    problems: &mut Problems<'_>,
) -> Option<Foreign> {
    let mut settings = Foreign::default();
    // Of a field whose fault is told, other faults may be the consequence. Not of a key that is unknown.
    let (mut faultless, mut told) = (true, false);
    let documented = kind.documentation();
    let known: Vec<_> = documented
        .iter()
        .map(|field| field.name)
        .chain(fields.asked())
        .collect();
    for (key, child) in fields.rest() {
        let name = key.get_ref().as_ref();
        if !known.contains(&name) {
            problems.add(&key.span(), &child.path, unknown_key(name, &known));
            faultless = false;
        } else if let Some(value) = json_of(&child, problems) {
            settings.insert(name, value);
        } else {
            told = true;
        }
    }
    for field in documented
        .iter()
        .filter(|field| field.required && node.get(field.name).is_none())
    {
        node.refuse_field(problems, field.name, format!("missing: {}", field.meaning));
        told = true;
    }
    // The module stops at its first fault. So that all are told, the faulty field is taken out and
    // the rest read again; every round takes one away, so it ends. What cannot be left out is as in the
    // example meanwhile.
    let mut rest = settings.table();
    let mut examples: toml::Table = toml::from_str(kind.example()).unwrap_or_default();
    for field in documented.iter().filter(|field| field.required) {
        if let Some(value) = examples.get(field.name) {
            rest.entry(field.name).or_insert_with(|| value.clone());
        }
    }
    while let Err(fault) = kind.settings(rest.clone()) {
        let key = fault.field.split('.').next().unwrap_or_default();
        let known_fault = told && !rest.contains_key(key);
        if !known_fault {
            let path = format!("{}.{}", node.path, fault.field);
            node.refuse_field(problems, key, reworded(&path, &fault.problem));
        }
        told = true;
        match examples.remove(key) {
            Some(value) => drop(rest.insert(key.to_owned(), value)),
            None if rest.remove(key).is_none() => break,
            None => {}
        }
    }
    (faultless && !told).then_some(settings)
}

/// The least time between two messages of a group, unless a route says otherwise.
pub(crate) const GROUP_INTERVAL: SignedDuration = SignedDuration::from_mins(5);

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
        /// The least severity it carries. An alert that becomes grave enough is told as opened.
        min_severity: Severity = Severity::Info,
        /// Where it leads.
        channels: Vec<ChannelName>,
        /// Gathers alerts that agree in these into one message; `[]` gathers all. Without it, each
        /// is sent on its own, at once.
        group_by: Option<Vec<GroupLabel>> = None,
        /// How long the first alert of a group waits for others.
        group_wait: SignedDuration = SignedDuration::from_secs(30),
        /// The least time between two messages of a group.
        group_interval: SignedDuration = GROUP_INTERVAL,
        /// After how long a group brings to mind what is still open; never if left out.
        repeat_interval: Option<SignedDuration> = None,
        /// The most alerts that one message names. It counts all of them.
        max_alerts: Named = Named(10),
    }
}

impl From<RouteSettings> for Route {
    fn from(route: RouteSettings) -> Self {
        let pace = Pace {
            wait: route.group_wait,
            interval: route.group_interval,
            repeat: route.repeat_interval,
            most: route.max_alerts.get(),
        };
        Self {
            grouping: route.group_by.map(|by| Grouping { by, pace }),
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
        /// The text once it has recovered. An alert that ends because nobody watches any longer says so
        /// in its own words.
        resolved_text: Option<String> = None,
        /// The same for single channels.
        channels: BTreeMap<ChannelName, ChannelTemplate> = BTreeMap::new(),
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
        /// The text once it has recovered. An alert that ends because nobody watches any longer says so
        /// in its own words.
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
