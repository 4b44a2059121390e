//! Alerts: never two for one thing at a time, and in the end those that the rules call for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Findings, Guarantee, Scene, text};
use crate::places::ROOFTOPS;
use crate::plan::{Act, File, Rotated, Rotation};

/// What an alert is about: its kind, and its subject in words.
pub(super) type About = (String, String);

pub(super) fn along(scene: &Scene<'_>, found: &mut Findings) {
    let mut open: BTreeMap<About, BTreeSet<&str>> = BTreeMap::new();
    for (_, change) in scene.history.of_kind("alert") {
        let alert = &change.after;
        let of = open.entry(about(alert)).or_default();
        let id = text(alert, "id");
        if text(alert, "state") == "open" {
            of.insert(id);
        } else {
            of.remove(id);
        }
        found.expect(Guarantee::Alerts, of.len() <= 1, || {
            format!("open at the same time for {:?}: {of:?}", about(alert))
        });
    }
    let mut files = scene.world.records.files().into_iter();
    let any_flawed = files.any(|file| file.is_flawed());
    for (_, change) in scene.history.of_kind("alert") {
        let flawed = text(&change.after, "kind") == "feed_flawed";
        found.expect(Guarantee::Alerts, !flawed || any_flawed, || {
            format!("faults of a file are told, and no file had any: {change}")
        });
        let revision = |alert: &Value| alert["revision"].as_u64();
        let next = revision(&change.before).unwrap_or_default() + 1;
        found.expect(
            Guarantee::Alerts,
            revision(&change.after) == Some(next),
            || format!("a revision was left out or written over: {change}"),
        );
    }
    let mut revisions = BTreeSet::new();
    for (_, change) in scene.history.of_kind("revision") {
        let first = change.before.is_null() && revisions.insert((&change.pk, &change.sk));
        found.expect(Guarantee::Alerts, first, || {
            format!("what an earlier revision said was written over: {change}")
        });
    }
}

pub(super) fn about(alert: &Value) -> About {
    let subject = &alert["subject"];
    let words = [
        "product",
        "location",
        "group",
        "vin",
        "connector",
        "reason",
        "channel",
    ]
    .iter()
    .filter_map(|name| subject[*name].as_str())
    .collect::<Vec<_>>()
    .join(" at ");
    (text(alert, "kind").to_owned(), words)
}

pub(super) async fn at_the_end(scene: &Scene<'_>, found: &mut Findings) {
    let Some(shown) = scene.world.list("/api/v1/alerts?state=open&").await else {
        found.add(Guarantee::Settles, "the API does not list the alerts");
        return;
    };
    let open: BTreeSet<About> = shown.iter().map(about).collect();
    let (expected, possible) = expected(scene);
    for missing in expected.difference(&open) {
        found.add(
            Guarantee::Alerts,
            format!(
                "{missing:?} should be open, and is not: {}",
                state_of(scene, missing)
            ),
        );
    }
    for beyond in open.difference(&expected) {
        found.expect(Guarantee::Alerts, possible.contains(beyond), || {
            format!(
                "{beyond:?} is open, and should not be: {}",
                state_of(scene, beyond)
            )
        });
    }
}

/// What must be open, and what may be beside it.
fn expected(scene: &Scene<'_>) -> (BTreeSet<About>, BTreeSet<About>) {
    let rules = scene.world.applied();
    let warehouses = rules.warehouses();
    let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
    let mut together: BTreeMap<&str, i64> = BTreeMap::new();
    let alert = |kind: &str, (product, place): &(String, String)| {
        (kind.to_owned(), format!("{product} at {place}"))
    };
    for (at, stock) in &scene.model.stock {
        let Some(stock) = stock else { continue };
        if !warehouses.contains(&at.1.as_str()) {
            continue;
        }
        *together.entry(&at.0).or_default() += stock.available;
        if stock.available <= 0 {
            must.insert(alert("out_of_stock", at));
        }
        if rules.low.is_some_and(|low| stock.available <= low) {
            // Told before it ran out, or silent behind the graver one.
            let behind = stock.available <= 0;
            let to = if behind { &mut may } else { &mut must };
            to.insert(alert("low_stock", at));
        }
    }
    for (product, available) in together {
        if rules.together.is_some_and(|low| available <= low) {
            // Silent, and so not listed, where one change set off a graver one or one on a single place.
            let behind = warehouses.iter().any(|place| {
                let at = (product.to_owned(), (*place).to_owned());
                let single = ["low_stock", "out_of_stock"].map(|kind| alert(kind, &at));
                let mut single = single.iter();
                single.any(|one| must.contains(one) || may.contains(one))
            });
            let at = (product.to_owned(), "warehouses".to_owned());
            let to = if behind { &mut may } else { &mut must };
            to.insert(alert("low_stock", &at));
        }
    }
    for (at, sold) in &scene.model.sold {
        if *sold >= rules.fast {
            // Silent, and so not listed, where one sale made stock low, too.
            let mut beside = ["low_stock", "out_of_stock"].iter();
            let behind = beside.any(|kind| {
                let one = alert(kind, at);
                must.contains(&one) || may.contains(&one)
            });
            let to = if behind { &mut may } else { &mut must };
            to.insert(alert("high_demand", at));
        }
    }
    // A vehicle that is sold again and again counts as often.
    for (line, sold) in &scene.model.sales {
        if *sold >= rules.fast {
            let at = |place: &&str| alert("high_demand", &(line.clone(), (*place).to_owned()));
            may.extend(ROOFTOPS.iter().map(at));
        }
    }
    // A place where a vehicle once stood by one source's word, and none does now, is out of it; where it
    // never stood, there is nothing to be out of. Where it stood by what two of them said together, it
    // depends on whether both had been heard by then; where one was also awaited, on what was heard first.
    for change in scene.history.now("position") {
        let (product, place) = (
            text(&change.after, "product"),
            text(&change.after, "location"),
        );
        let at = (product.to_owned(), place.to_owned());
        let there = scene.model.stock.contains_key(&at);
        if ROOFTOPS.contains(&place) && !there {
            let stood = scene.model.stood.contains(&at);
            let first =
                !scene.model.awaited.contains(&at) && !scene.model.left_to_others.contains(&at);
            let to = if stood && first { &mut must } else { &mut may };
            to.insert(alert("out_of_stock", &at));
        }
    }
    // What of the last file could not be used is told until a later one is without faults.
    if scene
        .world
        .records
        .files()
        .last()
        .is_some_and(File::is_flawed)
    {
        must.insert(("feed_flawed".to_owned(), "feed".to_owned()));
    }
    // A channel whose secret was changed was down, and is up again with its next message.
    for step in &scene.world.plan.steps {
        if let Act::Rotate(Rotation {
            of: Rotated::Channel(channel),
            ..
        }) = &step.act
        {
            may.insert(("channel_down".to_owned(), channel.name().to_owned()));
        }
    }
    for vin in &scene.model.contested {
        must.insert(("conflict".to_owned(), (*vin).to_owned()));
    }
    // Nobody sells it twice; whether people are told depends on whether it was listed anew.
    for vin in &scene.model.overruled {
        may.insert(("conflict".to_owned(), (*vin).to_owned()));
    }
    // Of each kind of which anything waits in quarantine, one; a file's faults are told as the file's.
    for held in scene.history.now("quarantine") {
        let held = &held.after;
        if text(held, "state") == "open" && text(held, "source") != "feed" {
            let about = format!("{} at {}", text(held, "source"), text(held, "reason"));
            must.insert(("quarantine".to_owned(), about));
        }
    }
    (must, may)
}

/// What is remembered of it.
fn state_of(scene: &Scene<'_>, (kind, subject): &About) -> String {
    let watches = scene.history.now("watch");
    let (product, place) = subject.split_once(" at ").unwrap_or((subject, ""));
    let of: Vec<_> = watches
        .filter(|watch| watch.pk.ends_with(product) && watch.sk.contains(place))
        .filter(|watch| watch.sk.ends_with(kind.as_str()))
        .map(ToString::to_string)
        .collect();
    let position: Vec<_> = scene
        .history
        .now("position")
        .filter(|it| text(&it.after, "product") == product && text(&it.after, "location") == place)
        .map(ToString::to_string)
        .collect();
    format!("{of:?} {position:?}")
}
