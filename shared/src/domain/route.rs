//! Which alerts go to which channels, and why.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::alert::{AlertKind, RevisionKind, Severity};
use super::catalogue::folded_category;
use super::group::{GroupLabel, Grouping};
use super::id::{ChannelName, ConnectorName, GroupName, LocationId};

/// Sends what matches to its channels. Every filter that is set must match; an empty one matches all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name, unique in the configuration.
    pub name: String,
    /// The kinds of alert it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<AlertKind>,
    /// The kinds of revision it carries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionKind>,
    /// The locations it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<LocationId>,
    /// The location groups it is about: one of them must be the subject or contain it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// The product categories it is about, without regard to case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// The connectors it is about: the source, for alerts on a feed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<ConnectorName>,
    /// The least severity it carries.
    #[serde(default = "least")]
    pub min_severity: Severity,
    /// Where it leads.
    pub channels: Vec<ChannelName>,
    /// How it gathers alerts into one message; each is sent on its own if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping: Option<Grouping>,
}

const fn least() -> Severity {
    Severity::Info
}

/// What a route looks at in one alert revision.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The kind of alert.
    pub kind: AlertKind,
    /// What the revision says.
    pub change: RevisionKind,
    /// How much it matters.
    pub severity: Severity,
    /// The location, when it is about one.
    pub location: Option<&'a LocationId>,
    /// The location's groups, or the group that is the subject.
    pub groups: &'a [GroupName],
    /// The product's category, when it has one.
    pub category: Option<&'a str>,
    /// The source, when it is about one.
    pub connector: Option<&'a ConnectorName>,
}

/// A channel that should be told, and the routes that lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The channel.
    pub channel: ChannelName,
    /// The names of the routes, in their order; empty when it is told only because it was before.
    pub routes: Vec<String>,
}

impl Route {
    /// Whether it has to be known in which category a product is.
    pub fn asks_for_category(&self) -> bool {
        let label = |grouping: &Grouping| grouping.by.contains(&GroupLabel::Category);
        !self.categories.is_empty() || self.grouping.as_ref().is_some_and(label)
    }

    /// The first filter that keeps this revision out, in words; `None` when the route carries it.
    pub fn obstacle(&self, about: &About<'_>) -> Option<String> {
        self.obstacle_but_revision(about).or_else(|| {
            missing(&self.revisions, Some(&about.change)).map(|wanted| {
                format!(
                    "it carries revisions {wanted}, and this is {}",
                    about.change
                )
            })
        })
    }

    fn obstacle_but_revision(&self, about: &About<'_>) -> Option<String> {
        if let Some(wanted) = missing(&self.kinds, Some(&about.kind)) {
            return Some(format!(
                "it carries kinds {wanted}, and this is {}",
                about.kind
            ));
        }
        if about.severity < self.min_severity {
            return Some(format!(
                "it carries {} and above, and this is {}",
                self.min_severity, about.severity
            ));
        }
        if let Some(wanted) = missing(&self.locations, about.location) {
            return Some(format!(
                "it is about locations {wanted}, and {}",
                this(about.location)
            ));
        }
        if !self.groups.is_empty() && !self.groups.iter().any(|group| about.groups.contains(group))
        {
            let wanted = list(&self.groups);
            return Some(match about.groups {
                [] => format!("it is about groups {wanted}, and this is in none"),
                found => format!(
                    "it is about groups {wanted}, and this is in {}",
                    list(found)
                ),
            });
        }
        let category = about.category.map(folded_category);
        let categories: Vec<_> = self
            .categories
            .iter()
            .map(|one| folded_category(one))
            .collect();
        if let Some(wanted) = missing(&categories, category.as_ref()) {
            return Some(format!(
                "it is about categories {wanted}, and {}",
                this(category)
            ));
        }
        missing(&self.connectors, about.connector).map(|wanted| {
            format!(
                "it is about connectors {wanted}, and {}",
                this(about.connector)
            )
        })
    }
}

/// The wanted values, in words, when there are any and the found one is not among them.
fn missing<T: PartialEq + std::fmt::Display>(wanted: &[T], found: Option<&T>) -> Option<String> {
    let matches = wanted.is_empty() || found.is_some_and(|found| wanted.contains(found));
    (!matches).then(|| list(wanted))
}

fn list<T: std::fmt::Display>(values: &[T]) -> String {
    values
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn this<T: std::fmt::Display>(found: Option<T>) -> String {
    found.map_or_else(
        || "this has none".to_owned(),
        |found| format!("this is {found}"),
    )
}

/// Why a list of routes cannot stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two routes of one name.
    #[error("route `{0}` is declared twice")]
    Duplicate(String),
    /// A route that leads nowhere.
    #[error("route `{0}` names no channel")]
    NoChannel(String),
}

/// All routes, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// Takes the routes; a name may stand only once, and each must lead somewhere.
    pub fn new(routes: Vec<Route>) -> Result<Self, RouteError> {
        let mut names = HashSet::new();
        for route in &routes {
            if !names.insert(route.name.as_str()) {
                return Err(RouteError::Duplicate(route.name.clone()));
            }
            if route.channels.is_empty() {
                return Err(RouteError::NoChannel(route.name.clone()));
            }
        }
        Ok(Self(routes))
    }

    /// The routes, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The channels that the routes choose for a revision: each once, in the order of the routes.
    pub fn channels_for(&self, about: &About<'_>) -> Vec<Recipient> {
        let mut chosen: Vec<Recipient> = Vec::new();
        for route in self
            .0
            .iter()
            .filter(|route| route.obstacle(about).is_none())
        {
            for channel in &route.channels {
                match chosen.iter_mut().find(|known| known.channel == *channel) {
                    Some(known) if known.routes.last() == Some(&route.name) => {}
                    Some(known) => known.routes.push(route.name.clone()),
                    None => chosen.push(Recipient {
                        channel: channel.clone(),
                        routes: vec![route.name.clone()],
                    }),
                }
            }
        }
        chosen
    }

    /// The channels that should get a revision, given those that were `told` of the alert before.
    ///
    /// An end goes exactly to those who were told of the beginning, whatever the routes say by then,
    /// so that an incident opened at a vendor is closed there. A channel is left out only if routes
    /// still lead the alert there and each of them says that it does not carry resolved revisions.
    /// Anything else goes where the routes choose; so does an end when nothing is known of `told`. To a
    /// channel that was told nothing so far, as its route asks for graver alerts or its people knew of a
    /// graver one, whatever comes next is the beginning: it goes there also by routes of beginnings alone.
    pub fn recipients(&self, told: Option<&[ChannelName]>, about: &About<'_>) -> Vec<Recipient> {
        let told = match (about.change, told) {
            (RevisionKind::Resolved, Some(told)) => told,
            (RevisionKind::Updated | RevisionKind::Escalated, Some(told)) => {
                let opened = About {
                    change: RevisionKind::Opened,
                    ..*about
                };
                let mut chosen = self.channels_for(about);
                for one in self.channels_for(&opened) {
                    let is_known = chosen.iter().any(|known| known.channel == one.channel);
                    if !is_known && !told.contains(&one.channel) {
                        chosen.push(one);
                    }
                }
                return chosen;
            }
            _ => return self.channels_for(about),
        };
        let mut recipients: Vec<Recipient> = Vec::new();
        for channel in told {
            let mut leading = self.0.iter().filter(|route| {
                route.channels.contains(channel) && route.obstacle_but_revision(about).is_none()
            });
            let carrying: Vec<_> = leading
                .clone()
                .filter(|route| route.obstacle(about).is_none())
                .map(|route| route.name.clone())
                .collect();
            let declined = carrying.is_empty() && leading.next().is_some();
            if !declined && recipients.iter().all(|known| known.channel != *channel) {
                recipients.push(Recipient {
                    channel: channel.clone(),
                    routes: carrying,
                });
            }
        }
        recipients
    }

    /// Whether one of these routes names this kind of alert.
    pub fn is_named(&self, kind: AlertKind, routes: &[String]) -> bool {
        let mut named = self.0.iter().filter(|route| routes.contains(&route.name));
        named.any(|route| route.kinds.contains(&kind))
    }

    /// Whether a route of this name gathers alerts for a channel, and brings to mind what is open.
    pub fn reminds(&self, name: &str, channel: &ChannelName) -> bool {
        let repeats = |grouping: &Grouping| grouping.pace.repeat.is_some();
        let mut named = self.0.iter().filter(|route| route.name == name);
        named.any(|it| it.channels.contains(channel) && it.grouping.as_ref().is_some_and(repeats))
    }

    /// How a revision that came by these routes is gathered: by the first of them, unless one of
    /// them wants it told at once.
    pub fn grouping(&self, routes: &[String]) -> Option<(&str, &Grouping)> {
        let mut leading = self.0.iter().filter(|route| routes.contains(&route.name));
        let gathers = |route: &'_ Route| route.grouping.is_some();
        let first = leading.next().filter(|route| gathers(route))?;
        let grouping = first.grouping.as_ref()?;
        leading
            .all(gathers)
            .then_some((first.name.as_str(), grouping))
    }

    /// Where a revision goes and why, and why not elsewhere: a sentence per route.
    pub fn explain(&self, about: &About<'_>) -> String {
        if self.0.is_empty() {
            return "There are no routes, so nobody is told.".to_owned();
        }
        let mut text = String::new();
        for route in self.0.iter().filter(|r| r.obstacle(about).is_none()) {
            let Route { name, channels, .. } = route;
            let how = route
                .grouping
                .as_ref()
                .map(|_| ", with others in one message");
            let (channels, how) = (list(channels), how.unwrap_or_default());
            let _infallible = write!(text, "Route `{name}` sends it to {channels}{how}. ");
        }
        if text.is_empty() {
            text.push_str("No route carries it, so nobody is told. ");
        }
        for route in &self.0 {
            if let Some(obstacle) = route.obstacle(about) {
                let _infallible = write!(text, "Route `{}` does not: {obstacle}. ", route.name);
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests;
