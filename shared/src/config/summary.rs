//! What a checked document amounts to, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Config;
use super::connector::{Connector, ConnectorSettings, Payload};
use super::reference::written;
use crate::domain::alert::{AlertKind, RevisionKind, Severity};
use crate::domain::catalogue::{Location, LocationKind};
use crate::domain::group::Grouping;
use crate::domain::id::ConnectorName;
use crate::domain::route::{About, Route};
use crate::secrets::SecretRef;

/// What `lotwire check` says of a document that is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What there is of each section, a line each.
    pub contents: Vec<String>,
    /// What is allowed but perhaps not meant, a sentence each.
    pub notes: Vec<String>,
    /// The secrets that must be set where the functions run.
    pub secrets: Vec<SecretRef>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.contents {
            writeln!(f, "{line}")?;
        }
        if !self.secrets.is_empty() {
            writeln!(f, "needs these secrets:")?;
        }
        for secret in &self.secrets {
            writeln!(f, "  {secret}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

impl Config {
    /// What this installation amounts to, for people to look over before it is applied.
    pub fn summary(&self) -> Summary {
        let connectors = self.connectors.iter();
        let connectors =
            connectors.map(|(name, it)| named(name, it.settings.kind(), it.common.enabled));
        let channels = self.channels.iter();
        let channels = channels.map(|(name, it)| named(name, it.kind.name(), it.common.enabled));
        let locations = self.locations.locations().iter();
        let locations =
            locations.map(|it| format!("{} ({}, {})", it.id, it.kind, zone_name(&it.zone)));
        let contents = vec![
            format!("account: {} ({})", self.account.name, self.account.zone),
            listed("locations", locations),
            listed("connectors", connectors),
            listed("channels", channels),
            listed("routes", self.routes.iter().map(route_name)),
            listed("rules", self.rules.iter().map(|rule| rule.id.to_string())),
        ];
        Summary {
            contents,
            notes: self.notes(),
            secrets: self.secrets().into_iter().collect(),
        }
    }

    /// Every secret that a connector or channel in use refers to.
    pub fn secrets(&self) -> BTreeSet<SecretRef> {
        let mut found = BTreeSet::new();
        let connectors = self.connectors.values().filter(|it| it.common.enabled);
        for value in connectors.filter_map(|it| serde_json::to_value(&it.settings).ok()) {
            collect_secrets(&value, &mut found);
        }
        let channels = self.channels.values().filter(|it| it.common.enabled);
        for settings in channels.filter_map(|it| it.settings().ok()) {
            found.extend(settings.secret_refs().into_iter().cloned());
        }
        found
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let in_use = self.connectors.values().filter(|it| it.common.enabled);
        let in_use: Vec<_> = in_use.collect();
        // Who lists none calls places as we do.
        let is_fed = |location: &Location| {
            in_use.iter().any(|it| {
                let listed = &it.common.locations;
                let by_our_name = listed.is_empty() && it.can_name(&location.id, &self.locations);
                by_our_name || listed.values().any(|place| *place == location.id)
            })
        };
        for location in self.locations.locations().iter().filter(|it| !is_fed(it)) {
            notes.push(format!(
                "no connector in use reports stock at `{}`",
                location.id
            ));
        }
        let only_ends = |route: &Route| route.revisions == [RevisionKind::Resolved];
        let begins = |channel| {
            let mut leading = self
                .routes
                .iter()
                .filter(|it| it.channels.contains(channel));
            leading.any(|route| !only_ends(route))
        };
        for route in self.routes.iter().filter(|route| only_ends(route)) {
            for channel in route.channels.iter().filter(|channel| !begins(channel)) {
                notes.push(format!(
                    "route `{}` leads to channel `{channel}` with nothing but ends, and who was not told of \
                     an alert is not told of its end: nothing is ever sent; add `opened` to its `revisions`",
                    route.name
                ));
            }
        }
        let reached: BTreeSet<_> = self
            .routes
            .iter()
            .flat_map(|route| &route.channels)
            .collect();
        for (name, channel) in &self.channels {
            if !reached.contains(name) {
                notes.push(format!("no route leads to channel `{name}`"));
            } else if !channel.common.enabled {
                notes.push(format!(
                    "routes lead to channel `{name}`, which is switched off"
                ));
            }
        }
        if self.routes.is_empty() {
            notes.push("there are no routes: alerts are recorded, and nobody is told".to_owned());
        }
        notes.extend(self.not_carried());
        notes.extend(self.states_unowned());
        for (name, connector) in &self.connectors {
            if let ConnectorSettings::Dealertrack(dms) = &connector.settings
                && dms.payload == Payload::Lookup
            {
                notes.push(format!(
                    "connector `{name}` takes webhooks only as a reason to look vehicles up, which is \
                     not possible yet: they wait in quarantine, and no stock changes; to apply what \
                     they say, set `payload = \"trusted\"`"
                ));
            }
            let trusted = match &connector.settings {
                ConnectorSettings::Files(files) => files.url.starts_with("ftp://"),
                _ => false,
            };
            if trusted {
                notes.push(format!(
                    "connector `{name}` sends its password in the clear"
                ));
            }
        }
        notes
    }

    /// The kinds of alert that no route carries although they may come: those about a connector or a vehicle
    /// are about no place, so routes of places do not. A channel's is told without a route.
    fn not_carried(&self) -> Vec<String> {
        use AlertKind as K;
        if self.routes.is_empty() {
            return Vec::new();
        }
        let in_use = || self.connectors.iter().filter(|(_, it)| it.common.enabled);
        let mut missing: BTreeMap<String, Vec<&ConnectorName>> = BTreeMap::new();
        for (name, connector) in in_use() {
            let mut kinds = match &connector.settings {
                ConnectorSettings::Files(_) => vec![K::FeedStale, K::FeedSuspect, K::FeedFlawed],
                _ => vec![K::FeedStale, K::Quarantine],
            };
            kinds.retain(|kind| !self.is_carried(*kind, Some((name, connector))));
            if !kinds.is_empty() {
                missing.entry(quoted(&kinds)).or_default().push(name);
            }
        }
        let missing = missing.into_iter();
        let mut missing: Vec<_> = missing
            .map(|(kinds, names)| format!("{kinds} of {}", quoted(&names)))
            .collect();
        let mut places = self.locations.locations().iter();
        let is_dealer = places.any(|it| it.kind == LocationKind::Rooftop) && in_use().count() > 1;
        if is_dealer && !self.is_carried(K::Conflict, None) {
            missing.push(quoted(&[K::Conflict]));
        }
        let notes = missing.iter().map(|what| {
            format!(
                "no route carries {what}, so nobody is told: that is about no place and no category, and \
                 takes a route without `locations`, `groups` and `categories`; `kinds` keeps such a route \
                 to what it is for"
            )
        });
        notes.collect()
    }

    /// Whether a route carries the beginning of an alert about this connector, or about none and no place.
    fn is_carried(&self, kind: AlertKind, of: Option<(&ConnectorName, &Connector)>) -> bool {
        let severity = match kind {
            AlertKind::FeedFlawed | AlertKind::Quarantine | AlertKind::Conflict => {
                Severity::Warning
            }
            _ => Severity::Critical,
        };
        let location = of.and_then(|(_, connector)| connector.only_place());
        let about = About {
            kind,
            change: RevisionKind::Opened,
            severity,
            location,
            groups: location.map_or(&[], |place| self.locations.groups_of(place)),
            category: None,
            connector: of.map(|(name, _)| name),
        };
        let mut routes = self.routes.iter();
        routes.any(|route| route.obstacle(&about).is_none())
    }

    /// That of several systems which may speak of vehicles one decides by how long it has had one.
    fn states_unowned(&self) -> Option<String> {
        let rooftops = self.locations.locations().iter();
        let rooftops = rooftops.filter(|it| it.kind == LocationKind::Rooftop);
        let rooftops: BTreeSet<_> = rooftops.map(|it| &it.id).collect();
        let speaks = |it: &Connector| {
            let may = !matches!(it.settings, ConnectorSettings::Shopify(_));
            let places = &it.common.locations;
            // One that lists no places may use our own names.
            let there = places.is_empty() || places.values().any(|place| rooftops.contains(place));
            it.common.enabled && may && there
        };
        let speaking = self.connectors.iter().filter(|(_, it)| speaks(it));
        let names: Vec<_> = speaking.map(|(name, _)| format!("`{name}`")).collect();
        let undecided = self.ownership.state.is_empty() && names.len() > 1 && !rooftops.is_empty();
        undecided.then(|| {
            format!(
                "where {} have one vehicle, the one that has had it longest says whether it is reserved, \
                 and what the others say of that does not count; `state` under `[ownership]` names who \
                 decides",
                names.join(", ")
            )
        })
    }
}

fn collect_secrets(value: &serde_json::Value, found: &mut BTreeSet<SecretRef>) {
    match value {
        serde_json::Value::String(text) => found.extend(text.parse::<SecretRef>().ok()),
        serde_json::Value::Array(list) => {
            list.iter().for_each(|value| collect_secrets(value, found))
        }
        serde_json::Value::Object(map) => {
            map.values().for_each(|value| collect_secrets(value, found))
        }
        _ => {}
    }
}

fn quoted(names: &[impl fmt::Display]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn named(name: impl fmt::Display, kind: &str, enabled: bool) -> String {
    let off = if enabled { "" } else { ", off" };
    format!("{name} ({kind}{off})")
}

/// A route's name, and how it gathers.
fn route_name(route: &Route) -> String {
    let Some(Grouping { by, pace }) = &route.grouping else {
        return route.name.clone();
    };
    let by: Vec<_> = by.iter().map(|label| label.name()).collect();
    let by = match &by[..] {
        [] => "all together".to_owned(),
        by => format!("together by {}", by.join(" and ")),
    };
    let (wait, interval) = (written(pace.wait), written(pace.interval));
    let repeat = pace.repeat.map(written);
    let repeat = repeat.map(|repeat| format!(", again every {repeat}"));
    let repeat = repeat.unwrap_or_default();
    let name = &route.name;
    format!("{name} ({by}: after {wait}, then every {interval} at most{repeat})")
}

fn listed(what: &str, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.len() {
        0 => format!("{what}: none"),
        count => format!("{what}: {count}: {}", names.join(", ")),
    }
}

fn zone_name(zone: &jiff::tz::TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}
