//! G6: what vendors took, against the revisions that there were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lotwire::stack::resources::NOTIFY_FAILURES;

use super::{Findings, Guarantee, Scene, text};
use crate::fakes::vendors::Asked;
use crate::faults::Kind;
use crate::places::Channel;
use crate::plan::{Act, Rotated};

/// One revision of an alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Revision {
    alert: String,
    number: u32,
}

/// How long a delivery may take that nothing stands in the way of: the clock's rounds included.
const PROMPT: SignedDuration = SignedDuration::from_mins(4);
/// The same beside a destination that keeps the notifier of its kind waiting.
const PATIENT: SignedDuration = SignedDuration::from_mins(20);

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let mut revisions: BTreeMap<Revision, (Vec<Channel>, Timestamp)> = BTreeMap::new();
    for (_, change) in scene.history.of_kind("revision") {
        let message = &change.after;
        let (kind, severity) = (text(message, "kind"), text(message, "severity"));
        let hears = |channel: &Channel| channel.hears(kind, severity);
        let revision = Revision {
            alert: text(message, "alert").to_owned(),
            number: u32::try_from(message["revision"].as_u64().unwrap_or_default()).unwrap_or(0),
        };
        let channels = Channel::ALL.into_iter().filter(hears).collect();
        let at = text(message, "at").parse().unwrap_or(Timestamp::MAX);
        revisions.insert(revision, (channels, at));
    }
    let mut asked: BTreeMap<(Channel, Revision), Vec<Asked>> = BTreeMap::new();
    for one in scene.world.vendors.asked() {
        let revision = Revision {
            alert: one.alert.clone(),
            number: one.revision,
        };
        asked.entry((one.channel, revision)).or_default().push(one);
    }
    for (revision, (channels, at)) in &revisions {
        for channel in channels {
            let tries = asked.get(&(*channel, revision.clone()));
            let tries = tries.map(Vec::as_slice).unwrap_or_default();
            reached(scene, revision, *channel, *at, tries, found);
        }
    }
    for ((channel, revision), tries) in &asked {
        let hears = revisions
            .get(revision)
            .map(|(channels, _)| channels.contains(channel));
        found.expect(Guarantee::G6, hears == Some(true), || {
            format!(
                "{} was told of {revision:?}, which was not for it",
                channel.name()
            )
        });
        has_one_key(*channel, revision, tries, found);
        comes_again_for_a_reason(scene, *channel, revision, tries, found);
        stays_away(scene, *channel, revision, tries, found);
    }
    dead_letters(scene, &revisions, found);
}

/// What vendors do.
const VENDORS: [Kind; 4] = [
    Kind::TooMany,
    Kind::ServerError,
    Kind::NoAnswer,
    Kind::Unreachable,
];

/// A revision reached a channel at least once.
fn reached(
    scene: &Scene<'_>,
    revision: &Revision,
    channel: Channel,
    at: Timestamp,
    tries: &[Asked],
    found: &mut Findings,
) {
    let taken = tries.iter().find(|one| one.accepted);
    let faults = &scene.world.plan.faults.kinds;
    // One that is at most once is given up where nobody knows what came of it.
    let doubtful = [
        Kind::Hang,
        Kind::Crash,
        Kind::Outage,
        Kind::LostCall,
        Kind::LostAnswer,
        Kind::Throttle,
        Kind::Conflict,
        Kind::NoAnswer,
        Kind::ServerError,
    ];
    let excused = channel.at_most_once() && doubtful.iter().any(|kind| faults.contains(kind));
    found.expect(Guarantee::G6, taken.is_some() || excused, || {
        format!(
            "{} never took {revision:?} of {at}; it was asked {} times: {tries:#?}; {:?}",
            channel.name(),
            tries.len(),
            intent(scene, revision, channel)
        )
    });
    let patience = patience(scene, channel);
    if let (Some(patience), Some(taken)) = (patience, taken) {
        let waited = taken.at.duration_since(at);
        found.expect(Guarantee::G6, waited <= patience, || {
            format!(
                "{} waited {waited:#} for {revision:?}, though nothing is wrong with it",
                channel.name()
            )
        });
    }
}

/// How long this channel may wait, in a world where nothing but other vendors is in trouble.
fn patience(scene: &Scene<'_>, channel: Channel) -> Option<SignedDuration> {
    let plan = &scene.world.plan;
    let harmless = [Kind::ClockSkew, Kind::RepeatedMessage];
    let mut kinds = plan.faults.kinds.iter();
    let only_vendors = kinds.all(|kind| VENDORS.contains(kind) || harmless.contains(kind));
    let rotated = plan.steps.iter().any(|step| {
        matches!(&step.act, Act::Rotate(rotation) if rotation.of == Rotated::Channel(channel))
    });
    let troubled = |channel: Channel| {
        let mut spells = plan.faults.spells.iter();
        spells.any(|spell| spell.channel == channel)
    };
    if !only_vendors || rotated || troubled(channel) {
        return None;
    }
    // Both webhooks have one notifier.
    let beside = match channel {
        Channel::Erp => troubled(Channel::Audit),
        Channel::Audit => troubled(Channel::Erp),
        _ => false,
    };
    Some(if beside { PATIENT } else { PROMPT })
}

/// Where the vendor knows a key, every try of one revision has the same.
fn has_one_key(channel: Channel, revision: &Revision, tries: &[Asked], found: &mut Findings) {
    let keys: BTreeSet<_> = tries.iter().map(|one| &one.key).collect();
    found.expect(Guarantee::G6, keys.len() == 1, || {
        format!(
            "{} was told of {revision:?} under several keys: {keys:?}",
            channel.name()
        )
    });
}

/// After a message was taken and the answer arrived, it comes again only if the run that had the
/// answer met a fault before it could record it.
fn comes_again_for_a_reason(
    scene: &Scene<'_>,
    channel: Channel,
    revision: &Revision,
    tries: &[Asked],
    found: &mut Findings,
) {
    let taken = tries.iter().filter(|one| one.accepted).count();
    found.expect(Guarantee::G6, !channel.at_most_once() || taken <= 1, || {
        format!(
            "{} took {revision:?} {taken} times: {tries:#?}",
            channel.name()
        )
    });
    for (place, one) in tries.iter().enumerate() {
        let known = one.accepted && matches!(one.answered, Some((200..=299, _)));
        if let Some(next) = tries.get(place + 1).filter(|_| known) {
            let for_a_reason = was_disturbed(scene, one) || was_overtaken(scene, next);
            found.expect(Guarantee::G6, for_a_reason, || {
                format!(
                    "{} took {revision:?} and said so, and was asked again at {}: {one:#?}",
                    channel.name(),
                    next.at
                )
            });
        }
    }
}

/// Who is told to stay away does.
fn stays_away(
    scene: &Scene<'_>,
    channel: Channel,
    revision: &Revision,
    tries: &[Asked],
    found: &mut Findings,
) {
    for (place, one) in tries.iter().enumerate() {
        let (Some(after), Some((_, at))) = (one.retry_after, one.answered) else {
            continue;
        };
        let Some(next) = tries.get(place + 1) else {
            continue;
        };
        // The table keeps milliseconds.
        let early = at + after - SignedDuration::from_millis(1);
        let holds = next.at >= early || was_disturbed(scene, one) || was_overtaken(scene, next);
        found.expect(Guarantee::G6, holds, || {
            format!(
                "{} said at {at} to stay away for {after:#}, and was asked for {revision:?} at {}",
                channel.name(),
                next.at
            )
        });
    }
}

/// Whether the run behind a request may not have lived to record its answer, or had lost its lease.
fn was_disturbed(scene: &Scene<'_>, one: &Asked) -> bool {
    let hits = one.run.as_ref().map(|run| scene.world.saboteur.hits(run));
    // What a vendor does is an answer, this one or another's, and keeps nobody from recording it.
    let disturbs = |kind: Kind| !VENDORS.contains(&kind);
    hits.unwrap_or_default()
        .iter()
        .any(|hit| hit.kind == Kind::Hang || (hit.order > one.order && disturbs(hit.kind)))
}

/// Whether the run behind a request hung before it asked, so that another had taken its lease by then.
fn was_overtaken(scene: &Scene<'_>, one: &Asked) -> bool {
    let hits = one.run.as_ref().map(|run| scene.world.saboteur.hits(run));
    hits.unwrap_or_default()
        .iter()
        .any(|hit| hit.order < one.order && hit.kind == Kind::Hang)
}

/// What nobody could deliver is at least something: a message that names no intent was announced
/// before it was true.
fn dead_letters(
    scene: &Scene<'_>,
    revisions: &BTreeMap<Revision, (Vec<Channel>, Timestamp)>,
    found: &mut Findings,
) {
    let queue = scene.world.aws.queues().find(NOTIFY_FAILURES);
    for body in queue.iter().flat_map(|queue| queue.bodies()) {
        let named: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let number = named["revision"]
            .as_u64()
            .and_then(|it| u32::try_from(it).ok());
        let revision = Revision {
            alert: text(&named, "alert").to_owned(),
            number: number.unwrap_or_default(),
        };
        found.expect(Guarantee::G6, revisions.contains_key(&revision), || {
            format!("a dead letter names {revision:?}, which there never was")
        });
    }
}

/// What the table holds of a delivery.
fn intent(scene: &Scene<'_>, revision: &Revision, channel: Channel) -> Option<String> {
    let sk = format!("intent#{:06}#{}", revision.number, channel.name());
    let mut intents = scene.history.now("intent");
    let found = intents.find(|it| it.pk == format!("A#{}", revision.alert) && it.sk == sk);
    found.map(ToString::to_string)
}
