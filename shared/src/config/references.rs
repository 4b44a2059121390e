//! Names that must exist, and settings that must agree with each other.
//!
//! It works on the text's nodes rather than on what was read from them: a rule with a bad threshold
//! may also name a location that does not exist, and its author wants to hear of both.

use std::collections::HashMap;

use jiff::SignedDuration;

use super::channel::GROUP_INTERVAL;
use super::document::Node;
use super::error::Problems;
use super::files::{Machine, check_apart, check_files};
use super::reference::written;
use super::words::{nearest, one_of, shown};
use crate::domain::ProductId;
use crate::domain::authority::API;
use crate::domain::catalogue::folded_category;
use crate::domain::rule::Over;
use crate::render::Templates;

/// The longest that a route may keep alerts back: older ones are no news.
const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(24);
/// The least time between two messages of a group.
const SHORTEST_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// Checks the whole document.
pub(crate) fn check(root: &Node<'_>, machine: Machine, problems: &mut Problems<'_>) {
    let names = Names::of(root);
    check_link_base(root, problems);
    for (_, connector) in children(root, "connectors") {
        check_locations(&connector, &names, problems);
        one_known(
            &connector,
            "default_location",
            "location",
            &names.locations,
            problems,
        );
        check_files(&connector, machine, problems);
        check_tolerance(&connector, problems);
    }
    check_apart(children(root, "connectors"), problems);
    for (key, connector) in children(root, "connectors") {
        if key == API {
            connector.refuse(
                problems,
                "`api` stands for our own API; choose another name",
            );
        }
    }
    for (_, field) in children(root, "ownership") {
        let mut sources = names.connectors.clone();
        sources.push(API.to_owned());
        each_known(&field, "connector", &sources, problems);
    }
    check_named(root, "routes", problems);
    check_named(root, "rules", problems);
    for route in elements(root, "routes") {
        check_route(&route, &names, problems);
    }
    let mut seen = HashMap::new();
    for rule in elements(root, "rules") {
        one_known(&rule, "location", "location", &names.locations, problems);
        one_known(&rule, "group", "location group", &names.groups, problems);
        check_only_rule(&rule, &mut seen, problems);
    }
    for (_, template) in children(root, "templates") {
        check_templates(&template, problems);
        for (channel, own) in children(&template, "channels") {
            known(&own, "channel", &channel, &names.channels, problems);
            check_templates(&own, problems);
        }
    }
}

/// Every name that something else may refer to.
struct Names {
    locations: Vec<String>,
    groups: Vec<String>,
    connectors: Vec<String>,
    channels: Vec<String>,
}

impl Names {
    fn of(root: &Node<'_>) -> Self {
        let keys = |section| children(root, section).map(|(key, _)| key).collect();
        let groups = children(root, "locations").filter_map(|(_, location)| location.get("groups"));
        let mut groups: Vec<String> = groups
            .flat_map(|groups| {
                groups
                    .elements()
                    .filter_map(|group| text(&group))
                    .collect::<Vec<_>>()
            })
            .collect();
        groups.sort();
        groups.dedup();
        Self {
            locations: keys("locations"),
            groups,
            connectors: keys("connectors"),
            channels: keys("channels"),
        }
    }
}

fn children<'d>(node: &Node<'d>, section: &str) -> impl Iterator<Item = (String, Node<'d>)> {
    let section = node.get(section);
    let entries: Vec<_> = section.iter().flat_map(Node::entries).collect();
    entries
        .into_iter()
        .map(|(key, child)| (key.get_ref().trim().to_owned(), child))
}

fn elements<'d>(node: &Node<'d>, section: &str) -> Vec<Node<'d>> {
    node.get(section).iter().flat_map(Node::elements).collect()
}

/// The value as it will be read: without blanks around it.
pub(super) fn text(node: &Node<'_>) -> Option<String> {
    node.value.as_str().map(|text| text.trim().to_owned())
}

fn known(node: &Node<'_>, what: &str, name: &str, names: &[String], problems: &mut Problems<'_>) {
    if names.iter().any(|known| known == name) {
        return;
    }
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let hint = match nearest(name, &known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "none is declared".to_owned(),
        None if known.len() > 12 => format!("{} are declared, none like it", known.len()),
        None => format!("declared: {}", one_of(&known).replace(" or ", ", ")),
    };
    let name = shown(&node.path, name);
    node.refuse(problems, format!("unknown {what} {name}; {hint}"));
}

fn one_known(
    node: &Node<'_>,
    key: &str,
    what: &str,
    names: &[String],
    problems: &mut Problems<'_>,
) {
    if let Some(field) = node.get(key)
        && let Some(name) = text(&field)
    {
        known(&field, what, &name, names, problems);
    }
}

/// Every element of a list names one of these, and none twice.
fn each_known(list: &Node<'_>, what: &str, names: &[String], problems: &mut Problems<'_>) {
    let mut seen: Vec<String> = Vec::new();
    for element in list.elements() {
        let Some(name) = text(&element) else { continue };
        known(&element, what, &name, names, problems);
        if seen.contains(&name) {
            element.refuse(problems, format!("names {what} `{name}` a second time"));
        }
        seen.push(name);
    }
}

fn check_route(route: &Node<'_>, names: &Names, problems: &mut Problems<'_>) {
    for (key, what, names) in [
        ("locations", "location", &names.locations),
        ("groups", "location group", &names.groups),
        ("connectors", "connector", &names.connectors),
        ("channels", "channel", &names.channels),
    ] {
        if let Some(list) = route.get(key) {
            each_known(&list, what, names, problems);
        }
    }
    if let Some(channels) = route.get("channels")
        && channels
            .value
            .as_array()
            .is_some_and(|list| list.is_empty())
    {
        channels.refuse(
            problems,
            "a route without channels leads nowhere; name at least one",
        );
    }
    check_grouping(route, problems);
}

/// How a route gathers: its times must leave room for each other.
fn check_grouping(route: &Node<'_>, problems: &mut Problems<'_>) {
    let Some(by) = route.get("group_by") else {
        for key in [
            "group_wait",
            "group_interval",
            "repeat_interval",
            "max_alerts",
        ] {
            if let Some(field) = route.get(key) {
                let problem = "is of no use without `group_by`: each alert is sent on its own";
                field.refuse(problems, problem);
            }
        }
        return;
    };
    let mut seen = Vec::new();
    for label in by.elements() {
        let Some(name) = text(&label) else { continue };
        if seen.contains(&name) {
            label.refuse(problems, format!("`{name}` stands here twice"));
        }
        seen.push(name);
    }
    let span = |key| {
        let field = route.get(key)?;
        let span: SignedDuration = text(&field)?.parse().ok()?;
        Some((field, span))
    };
    for key in ["group_wait", "group_interval"] {
        if let Some((field, _)) = span(key).filter(|(_, span)| *span > LONGEST_HOLD) {
            field.refuse(problems, "keeps alerts back for longer than a day");
        }
    }
    let interval = span("group_interval");
    if let Some((field, _)) = interval
        .clone()
        .filter(|(_, span)| *span < SHORTEST_INTERVAL)
    {
        field.refuse(problems, "is too short; give `1s` or more");
    }
    let interval = interval.map_or(GROUP_INTERVAL, |(_, span)| span);
    if let Some((field, _)) = span("repeat_interval").filter(|(_, span)| *span < interval) {
        let interval = written(interval);
        let problem = format!("is shorter than the group's interval of `{interval}`");
        field.refuse(problems, problem);
    }
}

/// Names in a list of tables are unique.
fn check_named(root: &Node<'_>, section: &str, problems: &mut Problems<'_>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for element in elements(root, section) {
        let Some(field) = element.get("name") else {
            continue;
        };
        let Some(name) = text(&field) else { continue };
        let line = problems.line(&field.span);
        match seen.get(&name) {
            Some(first) => field.refuse(problems, format!("the name is taken, on line {first}")),
            None => {
                seen.insert(name, line);
            }
        }
    }
}

/// Two rules of one kind for one scope would leave it to chance which of them applies.
fn check_only_rule(
    rule: &Node<'_>,
    seen: &mut HashMap<String, (String, usize)>,
    problems: &mut Problems<'_>,
) {
    const SCOPE: [&str; 6] = ["product", "category", "make", "model", "location", "group"];
    let field = |key: &str| rule.get(key).and_then(|field| text(&field));
    let Some(kind) = field("kind") else { return };
    // Compared as the domain compares them: without regard to case, and models to their dashes.
    let folded = |make: &str, model: &str| {
        ProductId::model_line(make, model).map_or_else(|_| make.to_lowercase(), String::from)
    };
    let make = field("make");
    let scope = SCOPE.map(|key| match (key, field(key)) {
        ("product", Some(name)) => Some(name.parse::<ProductId>().map_or(name, String::from)),
        ("category", Some(name)) => Some(folded_category(&name)),
        ("make", Some(name)) => Some(folded(&name, "any")),
        ("model", Some(name)) => Some(folded(make.as_deref().unwrap_or("any"), &name)),
        (_, name) => name,
    });
    // A sum over a group and its locations one by one are two different questions.
    let sum = field("over").is_some_and(|over| over == Over::Sum.name());
    let line = problems.line(&rule.span);
    let own = (rule.name().to_owned(), line);
    if let Some((other, first)) = seen.insert(format!("{kind:?} {scope:?} {sum}"), own) {
        let problem = format!(
            "has the kind and scope of `{other}` on line {first}; only one of them could apply"
        );
        rule.refuse(problems, problem);
    }
}

/// Two of their places must not report the level of one of ours: each would overwrite the other.
fn check_locations(connector: &Node<'_>, names: &Names, problems: &mut Problems<'_>) {
    let overwrites = overwrites_levels(connector);
    let mut seen: HashMap<String, String> = HashMap::new();
    for (theirs, ours) in children(connector, "locations") {
        let Some(name) = text(&ours) else { continue };
        known(&ours, "location", &name, &names.locations, problems);
        if let Some(other) = seen.insert(name.clone(), theirs)
            && overwrites
        {
            let problem = format!(
                "`{name}` is also what \"{other}\" maps to; each would overwrite the other's levels"
            );
            ours.refuse(problems, problem);
        }
    }
}

/// Whether two of a connector's names for one place would overwrite each other's levels. A system that
/// knows vehicles only states no levels, and within a file that has all of the stock two rows for one
/// place are a conflict or a sum (`repeated`).
fn overwrites_levels(connector: &Node<'_>) -> bool {
    let word = |key: &str| connector.get(key).and_then(|field| text(&field));
    match word("kind").as_deref() {
        Some("dealertrack") => false,
        Some("files") => {
            let required = connector.get("format").and_then(|it| it.get("required"));
            let vehicles = required.is_some_and(|list| {
                let mut columns = list.elements();
                columns.any(|column| text(&column).as_deref() == Some("vin"))
            });
            word("covers").as_deref() == Some("changes") && !vehicles
        }
        _ => true,
    }
}

/// A browser has to follow what messages link to.
fn check_link_base(root: &Node<'_>, problems: &mut Problems<'_>) {
    let field = root.get("account").and_then(|it| it.get("link_base"));
    if let Some(field) = field
        && let Some(address) = text(&field).and_then(|it| it.parse::<url::Url>().ok())
        && !["http", "https"].contains(&address.scheme())
    {
        field.refuse(
            problems,
            "is not a web address; give `https://` and what follows",
        );
    }
}

/// No webhook arrives in the instant in which it is signed.
fn check_tolerance(connector: &Node<'_>, problems: &mut Problems<'_>) {
    let field = connector.get("webhook").and_then(|it| it.get("tolerance"));
    if let Some(field) = field
        && let Some(span) = text(&field).and_then(|it| it.parse::<SignedDuration>().ok())
        && (SignedDuration::ZERO..SignedDuration::from_secs(1)).contains(&span)
    {
        field.refuse(
            problems,
            "is shorter than a webhook is on its way; give `1s` or more",
        );
    }
}

fn check_templates(texts: &Node<'_>, problems: &mut Problems<'_>) {
    for key in ["title", "text", "resolved_title", "resolved_text"] {
        if let Some(field) = texts.get(key)
            && let Some(source) = field.value.as_str()
            && let Err(error) = Templates::check(source)
        {
            field.refuse(problems, error.to_string());
        }
    }
}
