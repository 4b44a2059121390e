use jiff::SignedDuration;

use super::*;
use crate::domain::group::{GroupLabel, Pace};

fn route(name: &str, channels: &[&str]) -> Route {
    Route {
        name: name.to_owned(),
        kinds: vec![],
        revisions: vec![],
        locations: vec![],
        groups: vec![],
        categories: vec![],
        connectors: vec![],
        min_severity: Severity::Info,
        channels: names(channels),
        grouping: None,
    }
}

fn names(channels: &[&str]) -> Vec<ChannelName> {
    channels.iter().map(|name| name.parse().unwrap()).collect()
}

fn low() -> About<'static> {
    About {
        kind: AlertKind::LowStock,
        change: RevisionKind::Opened,
        severity: Severity::Warning,
        location: None,
        groups: &[],
        category: Some("Engine Oil"),
        connector: None,
    }
}

fn ended() -> About<'static> {
    About {
        change: RevisionKind::Resolved,
        ..low()
    }
}

fn channels(recipients: &[Recipient]) -> Vec<&str> {
    recipients.iter().map(|one| one.channel.as_str()).collect()
}

#[test]
fn a_channel_is_told_once_however_many_routes_lead_there() {
    let routes = Routes::new(vec![
        route("all", &["slack", "mail"]),
        route("pager", &["pagerduty", "slack", "slack"]),
    ])
    .unwrap();
    let told = routes.channels_for(&low());
    assert_eq!(channels(&told), ["slack", "mail", "pagerduty"]);
    assert_eq!(told[0].routes, ["all", "pager"]);
    assert_eq!(told[2].routes, ["pager"]);
}

#[test]
fn every_filter_that_is_set_must_match() {
    let milano: LocationId = "milano".parse().unwrap();
    let roma: LocationId = "roma".parse().unwrap();
    let italy: [GroupName; 1] = ["italy".parse().unwrap()];
    let dms: ConnectorName = "dms".parse().unwrap();
    let at_milano = About {
        location: Some(&milano),
        groups: &italy,
        ..low()
    };
    let feed = About {
        kind: AlertKind::FeedStale,
        connector: Some(&dms),
        category: None,
        ..low()
    };
    type Set<'a> = &'a dyn Fn(&mut Route);
    let table: [(&str, Set<'_>, About<'_>, bool); 17] = [
        ("no filter", &|_| {}, low(), true),
        (
            "kind",
            &|r| r.kinds = vec![AlertKind::LowStock],
            low(),
            true,
        ),
        (
            "other kind",
            &|r| r.kinds = vec![AlertKind::OutOfStock],
            low(),
            false,
        ),
        (
            "revision",
            &|r| r.revisions = vec![RevisionKind::Opened],
            low(),
            true,
        ),
        (
            "other revision",
            &|r| r.revisions = vec![RevisionKind::Opened],
            ended(),
            false,
        ),
        (
            "severity equal",
            &|r| r.min_severity = Severity::Warning,
            low(),
            true,
        ),
        (
            "severity below",
            &|r| r.min_severity = Severity::Critical,
            low(),
            false,
        ),
        (
            "location",
            &|r| r.locations = vec![roma.clone(), milano.clone()],
            at_milano,
            true,
        ),
        (
            "other location",
            &|r| r.locations = vec![roma.clone()],
            at_milano,
            false,
        ),
        (
            "location of none",
            &|r| r.locations = vec![milano.clone()],
            low(),
            false,
        ),
        ("group", &|r| r.groups = italy.to_vec(), at_milano, true),
        (
            "group of none",
            &|r| r.groups = italy.to_vec(),
            low(),
            false,
        ),
        (
            "category folded",
            &|r| r.categories = vec![" engine OIL".into()],
            low(),
            true,
        ),
        (
            "category of none",
            &|r| r.categories = vec!["oil".into()],
            feed,
            false,
        ),
        (
            "connector",
            &|r| r.connectors = vec![dms.clone()],
            feed,
            true,
        ),
        (
            "connector of none",
            &|r| r.connectors = vec![dms.clone()],
            low(),
            false,
        ),
        (
            "one of two fails",
            &|r| {
                r.locations = vec![milano.clone()];
                r.min_severity = Severity::Critical;
            },
            at_milano,
            false,
        ),
    ];
    for (case, set, about, carried) in table {
        let mut one = route("r", &["slack"]);
        set(&mut one);
        assert_eq!(one.obstacle(&about).is_none(), carried, "{case}");
    }
}

#[test]
fn an_end_goes_to_those_who_were_told_of_the_beginning() {
    let mut pager = route("pager", &["pagerduty"]);
    pager.min_severity = Severity::Critical;
    let mut openings = route("openings", &["wall"]);
    openings.revisions = vec![RevisionKind::Opened];
    let routes = Routes::new(vec![route("all", &["slack"]), pager, openings]).unwrap();

    // The pager was told while it was critical; now it is a warning, and it is told all the same.
    let told = names(&["pagerduty", "pagerduty", "gone"]);
    let ends = routes.recipients(Some(&told), &ended());
    assert_eq!(channels(&ends), ["pagerduty", "gone"]);
    assert_eq!(ends[0].routes, [""; 0]);
    // Slack was not told of the beginning, so not of the end either.
    assert_eq!(routes.recipients(Some(&[]), &ended()), []);
    // The wall said that it wants no ends.
    assert_eq!(routes.recipients(Some(&names(&["wall"])), &ended()), []);
    // A beginning follows the routes.
    assert_eq!(
        channels(&routes.recipients(Some(&[]), &low())),
        ["slack", "wall"]
    );
    assert_eq!(channels(&routes.recipients(None, &ended())), ["slack"]);
}

/// They were spared the beginning, as they knew of a graver alert.
#[test]
fn whatever_comes_first_is_the_beginning_where_nothing_was_told_yet() {
    let mut openings = route("openings", &["wall"]);
    openings.revisions = vec![RevisionKind::Opened];
    let routes = Routes::new(vec![route("all", &["slack"]), openings]).unwrap();
    for change in [RevisionKind::Updated, RevisionKind::Escalated] {
        let about = About { change, ..low() };
        let reached = |told: &[&str]| {
            let told = names(told);
            let reached = routes.recipients(Some(&told), &about);
            channels(&reached).join(" ")
        };
        assert_eq!(reached(&["slack"]), "slack wall", "{change}");
        // Whoever has heard of the beginning asks for no more.
        assert_eq!(reached(&["slack", "wall"]), "slack", "{change}");
    }
}

#[test]
fn the_reason_is_given_in_words() {
    let mut pager = route("pager", &["pagerduty"]);
    pager.min_severity = Severity::Critical;
    let routes = Routes::new(vec![route("all", &["slack", "mail"]), pager]).unwrap();
    assert_eq!(
        routes.explain(&low()),
        "Route `all` sends it to slack, mail. \
         Route `pager` does not: it carries critical and above, and this is warning."
    );
    let mut milano = route("milano", &["slack"]);
    milano.locations = vec!["milano".parse().unwrap()];
    assert_eq!(
        Routes::new(vec![milano]).unwrap().explain(&low()),
        "No route carries it, so nobody is told. \
         Route `milano` does not: it is about locations milano, and this has none."
    );
    assert_eq!(
        Routes::default().explain(&low()),
        "There are no routes, so nobody is told."
    );
}

#[test]
fn an_alert_is_gathered_unless_one_of_its_routes_wants_it_at_once() {
    let gathering = |name: &str, by: Vec<GroupLabel>| {
        let pace = Pace {
            wait: SignedDuration::from_secs(30),
            interval: SignedDuration::from_mins(5),
            repeat: None,
            most: 10,
        };
        let mut route = route(name, &["slack"]);
        route.grouping = Some(Grouping { by, pace });
        route
    };
    let routes = Routes::new(vec![
        gathering("by-kind", vec![GroupLabel::Kind]),
        gathering("all", vec![]),
        route("urgent", &["slack"]),
    ])
    .unwrap();
    let gathered = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let grouping = routes.grouping(&names);
        grouping.map(|(route, grouping)| (route.to_owned(), grouping.by.len()))
    };
    assert_eq!(gathered(&["by-kind", "all"]), Some(("by-kind".into(), 1)));
    assert_eq!(gathered(&["all"]), Some(("all".into(), 0)));
    assert_eq!(gathered(&["all", "urgent"]), None);
    assert_eq!(gathered(&[]), None, "told only because it was before");
    let explained = routes.explain(&low());
    assert!(
        explained.starts_with("Route `by-kind` sends it to slack, with others in one message. "),
        "{explained}"
    );
}

#[test]
fn a_list_that_cannot_be_followed_is_refused() {
    let twice = vec![route("all", &["slack"]), route("all", &["mail"])];
    assert_eq!(Routes::new(twice), Err(RouteError::Duplicate("all".into())));
    assert_eq!(
        Routes::new(vec![route("all", &[])])
            .unwrap_err()
            .to_string(),
        "route `all` names no channel"
    );
    let misspelt = r#"{"name": "all", "chanels": ["slack"], "channels": ["slack"]}"#;
    assert!(serde_json::from_str::<Route>(misspelt).is_err());
}
