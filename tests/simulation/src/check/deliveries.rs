//! G6: what vendors took, against the revisions that there were.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lotwire::stack::resources::NOTIFY_FAILURES;
use serde_json::Value;

use super::alerts::{About, about as subject_of};
use super::{Findings, Guarantee, Scene, number, text};
use crate::fakes::vendors::{Asked, CLOSED};
use crate::faults::Kind;
use crate::places::Channel;
use crate::plan::{Act, Rotated};

/// One revision of an alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Revision {
    alert: String,
    number: u32,
}

/// What there is to know of a revision.
struct Known {
    channels: Vec<Channel>,
    at: Timestamp,
    /// Whether it says that the alert is over.
    ends: bool,
    /// Whether it says so without a recovery.
    closes: bool,
    /// The product that it names.
    product: String,
    /// What its alert is about.
    about: About,
    /// The SKU under which that goes on.
    goes_on: Option<String>,
    /// Its alert's place among all.
    place: usize,
}

type Revisions = BTreeMap<Revision, Known>;
type Tries = BTreeMap<(Channel, Revision), Vec<Asked>>;

/// How long a delivery may take that nothing stands in the way of: the clock's rounds included.
const PROMPT: SignedDuration = SignedDuration::from_mins(4);
/// The same beside a destination that keeps the notifier of its kind waiting.
const PATIENT: SignedDuration = SignedDuration::from_mins(20);

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let revisions = revisions(scene);
    let mut asked: Tries = BTreeMap::new();
    let mut last: BTreeMap<(Channel, String), u32> = BTreeMap::new();
    let mut newest: BTreeMap<(Channel, &About), (usize, Timestamp)> = BTreeMap::new();
    for mut one in scene.world.vendors.asked() {
        if let Some(product) = one.alert.strip_prefix(CLOSED)
            && let Some(revision) = closing(product, &one, &revisions, &asked)
        {
            one.alert.clone_from(&revision.alert);
            one.revision = revision.number;
        }
        in_order(scene, &one, &mut last, found);
        let revision = Revision {
            alert: one.alert.clone(),
            number: one.revision,
        };
        if let Some(known) = revisions.get(&revision).filter(|_| one.accepted) {
            let this = (known.place, known.at);
            let newest = newest.entry((one.channel, &known.about)).or_insert(this);
            // What was said within one millisecond has no order.
            let holds = this.0 >= newest.0 || this.1 >= newest.1 || was_overtaken(scene, &one);
            found.expect(Guarantee::G6, holds, || {
                format!(
                    "{} took {revision:?} after it had heard of a later alert on {:?}",
                    one.channel.name(),
                    known.about
                )
            });
            *newest = this.max(*newest);
        }
        asked.entry((one.channel, revision)).or_default().push(one);
    }
    for (revision, known) in &revisions {
        for channel in &known.channels {
            reached(scene, revision, *channel, (&revisions, &asked), found);
        }
    }
    for ((channel, revision), tries) in &asked {
        let known = revisions.get(revision);
        // Of a channel that is down those are told that are not at that moment.
        let is_told = |it: &Known| it.about.0 == "channel_down" || it.channels.contains(channel);
        let is_for_it = known.is_some_and(is_told);
        found.expect(Guarantee::G6, is_for_it, || {
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

/// The revision that a message means which says no more than that an alert on a product is closed: the
/// first that ends one and that this channel has not taken yet.
fn closing<'a>(
    product: &str,
    one: &Asked,
    revisions: &'a Revisions,
    asked: &Tries,
) -> Option<&'a Revision> {
    let mut all = revisions.iter();
    let found = all.find(|(revision, known)| {
        let tries = asked.get(&(one.channel, (*revision).clone()));
        let taken = tries.is_some_and(|tries| tries.iter().any(|one| one.accepted));
        // The text names the place, too.
        let place = product.strip_prefix(known.product.as_str());
        let is_named = place.is_some_and(|it| it.is_empty() || it.starts_with(" at "));
        let is_for_it = is_named && known.channels.contains(&one.channel);
        known.closes && is_for_it && known.at <= one.at && !taken
    });
    found.map(|(revision, _)| revision)
}

/// Every revision that was written, and whom the routes lead it to.
fn revisions(scene: &Scene<'_>) -> Revisions {
    let messages: Vec<_> = scene.history.revisions().collect();
    // That a channel is down is told on the others, but for those that are down too.
    let about = |message: &Value| text(&message["subject"], "channel").to_owned();
    let down: BTreeSet<_> = messages.iter().map(|it| about(it)).collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, change) in scene.history.of_kind("alert") {
        let next = places.len();
        places.entry(text(&change.after, "id")).or_insert(next);
    }
    let known = |message: &Value| {
        let (kind, severity) = (text(message, "kind"), text(message, "severity"));
        let hears = |channel: &Channel| {
            let usable = kind != "channel_down" || !down.contains(channel.name());
            let place = text(&message["subject"], "location");
            channel.hears(kind, severity, place) && usable
        };
        Known {
            channels: Channel::ALL.into_iter().filter(hears).collect(),
            at: text(message, "at").parse().unwrap_or(Timestamp::MAX),
            ends: text(message, "change") == "resolved",
            closes: !["", "recovered"].contains(&text(message, "ending")),
            product: text(message, "product").to_owned(),
            about: subject_of(message),
            goes_on: message["renamed_to"].as_str().map(str::to_owned),
            place: places
                .get(text(message, "alert"))
                .copied()
                .unwrap_or_default(),
        }
    };
    let revision = |message: &Value| Revision {
        alert: text(message, "alert").to_owned(),
        number: u32::try_from(number(message, "revision")).unwrap_or(0),
    };
    let all = messages.iter().map(|it| (revision(it), known(it)));
    all.collect()
}

/// A vendor takes an alert's revisions in their order: nobody is told that something is over, and then
/// that it began.
fn in_order(
    scene: &Scene<'_>,
    one: &Asked,
    last: &mut BTreeMap<(Channel, String), u32>,
    found: &mut Findings,
) {
    if !one.accepted {
        return;
    }
    let latest = last.entry((one.channel, one.alert.clone())).or_default();
    let holds = one.revision >= *latest || was_overtaken(scene, one);
    found.expect(Guarantee::G6, holds, || {
        format!(
            "{} took revision {} of {} after it had taken {latest}",
            one.channel.name(),
            one.revision,
            one.alert
        )
    });
    *latest = one.revision.max(*latest);
}

/// What vendors do.
const VENDORS: [Kind; 4] = [
    Kind::TooMany,
    Kind::ServerError,
    Kind::NoAnswer,
    Kind::Unreachable,
];

/// A revision reached a channel at least once, or need not any more.
fn reached(
    scene: &Scene<'_>,
    revision: &Revision,
    channel: Channel,
    (revisions, asked): (&Revisions, &Tries),
    found: &mut Findings,
) {
    let tries = |number| {
        let alert = revision.alert.clone();
        let tries = asked.get(&(channel, Revision { alert, number }));
        tries.map(Vec::as_slice).unwrap_or_default()
    };
    let took = |number| tries(number).iter().any(|one| one.accepted);
    let of_alert = revisions
        .range(first(revision)..)
        .take_while(|(it, _)| it.alert == revision.alert);
    let for_it: Vec<_> = of_alert
        .filter(|(_, known)| known.channels.contains(&channel))
        .collect();
    let is_later = |it: &Revision| it.number > revision.number;
    // Something later says what is true; or it was over before anything of it left.
    let overtaken = for_it.iter().any(|(it, _)| is_later(it) && took(it.number));
    let over = for_it.last().is_some_and(|(_, known)| known.ends);
    let unheard = over && !for_it.iter().any(|(it, _)| took(it.number));
    let Some(known @ Known { at, .. }) = revisions.get(revision) else {
        return;
    };
    // Or another alert says what is so of the item, and ours is told again if that ends first.
    let tells = |about: &About| ["low_stock", "out_of_stock"].contains(&about.0.as_str());
    let is_over = |alert: &str| {
        let last = revisions.iter().rfind(|(it, _)| it.alert == alert);
        last.is_some_and(|(_, known)| known.ends)
    };
    let replaced = revisions.iter().any(|(it, other)| {
        // The end of one tells those who hear of it later what the other's would.
        let says_it = |one: &Asked| other.at >= *at || (known.ends && other.ends && one.at > *at);
        it.alert != revision.alert
            && other.about.1 == known.about.1
            && tells(&other.about)
            && tells(&known.about)
            && asked
                .get(&(channel, it.clone()))
                .is_some_and(|tries| tries.iter().any(|one| one.accepted && says_it(one)))
            && (over || !is_over(&it.alert))
    });
    // Nor is the end of one told after the beginning of the next on the same.
    let begun_anew = revisions.iter().any(|(it, other)| {
        let tries = || asked.get(&(channel, it.clone()));
        it.alert != revision.alert
            && known.ends
            && other.about == known.about
            && other.at >= *at
            && tries().is_some_and(|tries| tries.iter().any(|one| one.accepted))
    });
    // Nor that it goes on under another SKU, where something was told of that already.
    let goes_on = known.goes_on.as_ref().is_some_and(|to| {
        let place = known.about.1.split_once(" at ").map(|(_, place)| place);
        let there = place.map(|place| format!("{to} at {place}"));
        revisions.iter().any(|(it, other)| {
            let tries = || asked.get(&(channel, it.clone()));
            known.closes
                && there.as_ref() == Some(&other.about.1)
                && (tells(&other.about) || other.about.0 == known.about.0)
                && other.at >= *at - SignedDuration::from_mins(1)
                && tries().is_some_and(|tries| tries.iter().any(|one| one.accepted))
        })
    });
    // Nobody hears of an outage that was over before, however much else they are sent.
    let wants_each = channel.wants_each() && known.about.0 != "channel_down";
    let spared = !wants_each && (overtaken || unheard || replaced || begun_anew || goes_on);
    let tries = tries(revision.number);
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
    found.expect(Guarantee::G6, taken.is_some() || spared || excused, || {
        format!(
            "{} never took {revision:?} of {at}; it was asked {} times: {tries:#?}; {:?}",
            channel.name(),
            tries.len(),
            intent(scene, revision, channel)
        )
    });
    let patience = patience(scene, channel);
    if let (Some(patience), Some(taken)) = (patience, taken) {
        let waited = taken.at.duration_since(*at);
        found.expect(Guarantee::G6, waited <= patience, || {
            format!(
                "{} waited {waited:#} for {revision:?}, though nothing is wrong with it",
                channel.name()
            )
        });
    }
}

/// The first revision of the same alert.
fn first(revision: &Revision) -> Revision {
    Revision {
        number: 0,
        alert: revision.alert.clone(),
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
    let mut others = Channel::ALL.into_iter();
    let beside = others.any(|other| channel.is_beside(other) && troubled(other));
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
fn dead_letters(scene: &Scene<'_>, revisions: &Revisions, found: &mut Findings) {
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
