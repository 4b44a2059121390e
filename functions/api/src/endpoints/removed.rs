//! What is no longer in force with a place or a connector that a configuration removes: imported
//! thresholds, the alerts that are open there, and stock.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::Config;
use shared::config::connector::ConnectorSettings;
use shared::domain::alert::AlertState;
use shared::domain::unit::Claim;
use shared::domain::{ConnectorName, GroupName, LocationId, Position, Subject};
use shared::store::stated::Item;

use crate::Context;
use crate::problem::Problem;

/// How many thresholds and alerts are looked through; that there may be more is said.
const MOST: usize = 20_000;
/// How many are asked for at once.
const PAGE: i32 = 200;
/// How many items of a source's own list are asked for at once.
const LISTED: i32 = 1_000;
/// How many of each are named.
const NAMED: usize = 3;

/// The places of one configuration that another lacks.
struct Removed {
    locations: Vec<LocationId>,
    groups: Vec<GroupName>,
}

impl Removed {
    fn between(before: &Config, after: &Config) -> Self {
        let locations = before.locations.locations().iter();
        let mut groups: Vec<_> = locations.clone().flat_map(|it| it.groups.clone()).collect();
        groups.retain(|group| !after.locations.has_group(group));
        groups.sort_unstable();
        groups.dedup();
        let gone = locations.filter(|it| after.locations.location(&it.id).is_none());
        Self {
            locations: gone.map(|it| it.id.clone()).collect(),
            groups,
        }
    }

    fn has(&self, location: Option<&LocationId>, group: Option<&GroupName>) -> bool {
        location.is_some_and(|location| self.locations.contains(location))
            || group.is_some_and(|group| self.groups.contains(group))
    }

    fn in_words(&self) -> String {
        let locations = self.locations.iter().map(|it| format!("location `{it}`"));
        let groups = self.groups.iter().map(|it| format!("group `{it}`"));
        locations.chain(groups).collect::<Vec<_>>().join(", ")
    }
}

/// What was found of one kind.
#[derive(Default)]
struct Found {
    count: usize,
    named: Vec<String>,
    /// Whether not all were looked through.
    more: bool,
}

impl Found {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name());
        }
    }

    /// `at least 3 open alerts (a, b, …)`; nothing if there is none.
    fn in_words(&self, what: &str) -> Option<String> {
        if self.count == 0 && self.more {
            return Some(format!(
                "how many {what}s is not known, as there are more than could be looked through"
            ));
        }
        let least = if self.more { "at least " } else { "" };
        let s = if self.count == 1 { "" } else { "s" };
        let rest = if self.count > self.named.len() {
            ", …"
        } else {
            ""
        };
        let named = self.named.join(", ");
        (self.count > 0).then(|| format!("{least}{} {what}{s} ({named}{rest})", self.count))
    }
}

/// A sentence for each kind of thing that is no longer in force where `after` takes the place of
/// `before`.
pub(super) async fn notes(
    context: &Context<'_>,
    before: &Config,
    after: &Config,
) -> Result<Vec<String>, Problem> {
    let (mut notes, moved) = Box::pin(stock(context, before, after)).await?;
    let anything_moved = |place: &LocationId| moved.as_ref().is_none_or(|it| it.contains(place));
    for (connector, note) in moved_elsewhere(before, after, anything_moved) {
        let then = states_anew(connector, after);
        if !notes.iter().any(|told| told.contains(&then)) {
            notes.push(format!("{note} {then}"));
        }
    }
    let removed = Removed::between(before, after);
    if removed.locations.is_empty() && removed.groups.is_empty() {
        return Ok(notes);
    }
    let places = removed.in_words();
    let thresholds = thresholds(context, &removed).await?;
    let alerts = alerts(context, &removed).await?;
    let thresholds = thresholds.in_words("imported threshold").map(|what| {
        format!(
            "without {places}, what no longer applies: {what}. Kept for when the place comes back; an \
             import with `none` as the threshold takes one away"
        )
    });
    let alerts = alerts.in_words("open alert");
    let alerts = alerts.map(|what| format!("without {places}, what ends: {what}"));
    notes.extend(thresholds.into_iter().chain(alerts));
    Ok(notes)
}

/// How much stock a change concerns.
#[derive(Default)]
struct Stock {
    positions: usize,
    vehicles: usize,
}

impl Stock {
    /// `at least 2 positions and 1 vehicle`; nothing if there is none.
    fn in_words(&self, counted_so: &str) -> Option<String> {
        let kinds = [(self.positions, "position"), (self.vehicles, "vehicle")];
        let counted = kinds.iter().filter(|(count, _)| *count > 0);
        let counted = counted.map(|(count, what)| {
            let s = if *count == 1 { "" } else { "s" };
            format!("{count} {what}{s}")
        });
        let counted: Vec<_> = counted.collect();
        (!counted.is_empty()).then(|| format!("{counted_so}{}", counted.join(" and ")))
    }
}

/// Where stock is that a change of the configuration concerns.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Concerned {
    /// Stated by a connector that is removed.
    Connector(ConnectorName),
    /// At a place that is removed.
    Place(LocationId),
    /// Counted, sold, moved or promised at a place that is removed.
    Entered(LocationId),
    /// Stated by a connector at a place that it no longer has a name for.
    Unnamed(ConnectorName, LocationId),
    /// Stated by a connector at a place by a name that leads to another place now.
    Elsewhere(ConnectorName, LocationId),
    /// Vehicles that a connector has at a place by a name that leads to another place now.
    Vehicles(ConnectorName, LocationId),
    /// Stated by a connector at a place that it calls by other names now.
    Renamed(ConnectorName, LocationId),
}

impl Concerned {
    fn source(&self) -> Option<&ConnectorName> {
        match self {
            // Of vehicles a source's own list does not say where they are.
            Self::Place(_) | Self::Entered(_) | Self::Vehicles(..) => None,
            Self::Connector(source)
            | Self::Unnamed(source, _)
            | Self::Elsewhere(source, _)
            | Self::Renamed(source, _) => Some(source),
        }
    }

    fn place(&self) -> Option<&LocationId> {
        match self {
            Self::Connector(_) => None,
            Self::Place(place)
            | Self::Entered(place)
            | Self::Unnamed(_, place)
            | Self::Elsewhere(_, place)
            | Self::Vehicles(_, place)
            | Self::Renamed(_, place) => Some(place),
        }
    }

    /// What becomes of that stock.
    fn in_words(&self, stock: &str, after: &Config) -> String {
        match self {
            Self::Connector(connector) => format!(
                "without connector `{connector}`, what it states ends within minutes: {stock}. It could not \
                 say any more that something is sold. What another source said before it, and comes to something \
                 else, counts when that says it again. Should it come back, its next whole file states all \
                 again, or `lotwire replay --connector {connector}` what webhooks have stated. To keep what it states, leave it \
                 with `enabled = false`; to give it another name, remove the old one after the first file \
                 of the new one"
            ),
            Self::Place(place) => format!(
                "without location `{place}`: {stock} there. What sources state of quantities there ends. \
                 Vehicles go along where their source's name of the place leads to another now; else they stay \
                 listed there until their source says where they stand, or `lotwire replay --connector NAME` what it said"
            ),
            Self::Entered(place) => format!(
                "what people counted, sold, moved or promised at location `{place}` stays with that id and \
                 goes to no other, and a replay states what was so before it: {stock}. If only the place's \
                 name is to change, keep its id and change `name`; else count these anew at the new place, \
                 after the replay"
            ),
            Self::Elsewhere(connector, place) => format!(
                "connector `{connector}` means another place now by a name that it had for location \
                 `{place}`, so what it stated there by that name ends within minutes: {stock}. {}",
                states_anew(connector, after)
            ),
            Self::Vehicles(connector, place) => format!(
                "connector `{connector}` means another place now by a name that it had for location \
                 `{place}`; vehicles that it has there by that name stay there until it says where they \
                 stand: {stock}. {}",
                states_anew(connector, after)
            ),
            Self::Renamed(connector, place) => format!(
                "connector `{connector}` calls location `{place}` by other names now, and what it stated \
                 there by the old ones stays until it says otherwise: {stock}. To begin anew, first apply a \
                 document in which it has no name for `{place}`, and this one once that has ended. {}",
                states_anew(connector, after)
            ),
            Self::Unnamed(connector, place) => {
                let ends = !after.can_state(connector, place);
                let then = states_anew(connector, after);
                match ends {
                    true => format!(
                        "connector `{connector}` no longer names location `{place}`, so what it states \
                         there ends within minutes: {stock}. {then}"
                    ),
                    false => format!(
                        "connector `{connector}` no longer lists location `{place}`, and what it states \
                         there stays, as it may still call the place by that name: {stock}. {then}"
                    ),
                }
            }
        }
    }
}

/// How what a connector has said before comes to the places that it names now.
fn states_anew(connector: &ConnectorName, config: &Config) -> String {
    match config.connectors.get(connector).map(|it| &it.settings) {
        Some(ConnectorSettings::Files(_)) => {
            "Its next whole file says what is at the places that it names now".to_owned()
        }
        _ => format!(
            "To have what it said before at the places that it names now: \
             lotwire replay --connector {connector}"
        ),
    }
}

/// Connectors that report what moves, and mean another place now by a name: how much that is nobody knows.
fn moved_elsewhere<'a>(
    before: &'a Config,
    after: &'a Config,
    anything_moved: impl Fn(&LocationId) -> bool,
) -> impl Iterator<Item = (&'a ConnectorName, String)> {
    let senders = after.connectors.iter().filter(|(_, connector)| {
        matches!(
            connector.settings,
            ConnectorSettings::Generic(_) | ConnectorSettings::Shopify(_)
        )
    });
    senders.filter_map(move |(name, connector)| {
        let known = &before.connectors.get(name)?.common.locations;
        let mut places = connector.common.locations.iter();
        let (theirs, place) = places.find(|(theirs, place)| {
            let before = known.get(*theirs).filter(|known| known != place);
            before.is_some_and(&anything_moved)
        })?;
        let note = format!(
            "connector `{name}` means location `{place}` now by `{theirs}`; what it reported as sold or \
             moved by that name stays where it was until it is said again."
        );
        Some((name, note))
    })
}

/// What a change of the configuration does to connectors, places and their names.
struct Change<'a> {
    before: &'a Config,
    after: &'a Config,
}

impl Change<'_> {
    fn is_gone(&self, source: &ConnectorName) -> bool {
        self.before.has_source(source) && !self.after.has_source(source)
    }

    fn is_unplaced(&self, place: &LocationId) -> bool {
        let there = |config: &Config| config.locations.location(place).is_some();
        there(self.before) && !there(self.after)
    }

    fn is_unnamed(&self, source: &ConnectorName, place: &LocationId) -> bool {
        let lists = |config: &Config| {
            let connector = config.connectors.get(source);
            connector.is_some_and(|it| it.common.locations.values().any(|it| it == place))
        };
        let can = |config: &Config| config.can_state(source, place);
        lists(self.before) && !lists(self.after) || can(self.before) && !can(self.after)
    }

    /// The names that a connector had for a place, and has no more for it.
    fn lost_names(&self, source: &ConnectorName, place: &LocationId) -> Vec<&str> {
        let before = self.before.connectors.get(source);
        let before = before.into_iter().flat_map(|it| &it.common.locations);
        let now = self.after.connectors.get(source);
        let now = |name: &String| now.and_then(|it| it.common.locations.get(name));
        before
            .filter(|(name, at)| *at == place && now(name) != Some(place))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What it does to what a source states at a place. `called`: by which of its names of the place, if
    /// that is known.
    fn concerns(
        &self,
        source: &ConnectorName,
        place: &LocationId,
        called: &BTreeSet<&str>,
    ) -> Option<Concerned> {
        if self.is_gone(source) {
            return Some(Concerned::Connector(source.clone()));
        }
        if !self.after.has_source(source) || self.is_unplaced(place) {
            return None;
        }
        let unnamed = self.is_unnamed(source, place);
        let leads_elsewhere = |name: &&str| self.after.leads_elsewhere(source, name, place);
        let ends = unnamed && !self.after.can_state(source, place);
        if !ends && called.iter().any(leads_elsewhere) {
            return Some(Concerned::Elsewhere(source.clone(), place.clone()));
        }
        if unnamed {
            return Some(Concerned::Unnamed(source.clone(), place.clone()));
        }
        let lost = self.lost_names(source, place);
        let is_lost = |name: &str| called.is_empty() || called.contains(name);
        let renamed = || Concerned::Renamed(source.clone(), place.clone());
        lost.into_iter().any(is_lost).then(renamed)
    }

    /// What it does to a vehicle that a source has.
    fn of_vehicle(&self, source: &ConnectorName, claim: &Claim) -> Option<Concerned> {
        if self.is_gone(source) {
            return Some(Concerned::Connector(source.clone()));
        }
        let (place, called) = (claim.location.value()?, claim.called.value()?);
        let is_elsewhere = |config: &Config| config.leads_elsewhere(source, called, place);
        let is_meant_anew =
            !self.is_unplaced(place) && !is_elsewhere(self.before) && is_elsewhere(self.after);
        is_meant_anew.then(|| Concerned::Vehicles(source.clone(), place.clone()))
    }

    /// All that it can do to anything.
    fn all(&self) -> BTreeSet<Concerned> {
        let mut all = BTreeSet::new();
        for place in self.before.locations.locations() {
            let place = &place.id;
            if self.is_unplaced(place) {
                all.insert(Concerned::Place(place.clone()));
                all.insert(Concerned::Entered(place.clone()));
            }
            for source in self.before.connectors.keys() {
                let called = self.lost_names(source, place).into_iter().collect();
                all.extend(self.concerns(source, place, &called));
            }
        }
        all
    }
}

/// Whether something was counted, sold, moved or promised here: who did is not in the position.
fn is_entered(position: &Position) -> bool {
    position.counted_at().is_some() || has_moved(position) || position.held > 0
}

/// Whether something was sold or moved here.
fn has_moved(position: &Position) -> bool {
    position.movements() > 0 || !position.sold.is_empty()
}

/// What becomes of stock where a connector, a place or a connector's name for one is removed; and at which
/// places something was sold or moved, if all were looked through.
async fn stock(
    context: &Context<'_>,
    before: &Config,
    after: &Config,
) -> Result<(Vec<String>, Option<BTreeSet<LocationId>>), Problem> {
    let change = Change { before, after };
    let mut all = change.all();
    let mut moved = BTreeSet::new();
    if all.is_empty() {
        return Ok((Vec::new(), Some(moved)));
    }
    let mut found: BTreeMap<Concerned, Stock> = BTreeMap::new();
    let (mut seen, mut cursor, mut more) = (0, None, false);
    loop {
        if seen >= MOST || context.is_late() {
            more = true;
            break;
        }
        let page = context.store.each_position(cursor.as_deref(), PAGE).await?;
        seen += page.items.len();
        for position in page.items.into_iter().flatten() {
            let place = &position.location;
            // What of vehicles was sold follows from them.
            if position.product.line().is_none() && has_moved(&position) {
                moved.insert(place.clone());
            }
            let mut concerned: BTreeSet<_> = (position.stating())
                .filter_map(|source| change.concerns(source, place, &position.called_by(source)))
                .collect();
            if change.is_unplaced(place) && position.stating().next().is_some() {
                concerned.insert(Concerned::Place(place.clone()));
            }
            if change.is_unplaced(place) && is_entered(&position) {
                concerned.insert(Concerned::Entered(place.clone()));
            }
            for what in concerned {
                found.entry(what).or_default().positions += 1;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    (seen, cursor) = (0, None);
    loop {
        if seen >= MOST || context.is_late() {
            more = true;
            break;
        }
        let page = context.store.each_unit(cursor.as_deref(), PAGE).await?;
        seen += page.items.len();
        for unit in page.items.into_iter().flatten() {
            let there = |claim: &Claim| claim.state.value().is_some_and(|it| it.is_present());
            let stating = unit.claims.iter().filter(|(_, claim)| there(claim));
            for what in stating.filter_map(|(source, claim)| change.of_vehicle(source, claim)) {
                found.entry(what).or_default().vehicles += 1;
            }
            let counted = unit.counted.filter(|it| it.state.is_present());
            if let Some(counted) = counted.filter(|it| change.is_unplaced(&it.location)) {
                let what = Concerned::Place(counted.location);
                found.entry(what).or_default().vehicles += 1;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if !more {
        let notes = found.into_iter();
        let notes =
            notes.filter_map(|(what, stock)| Some(what.in_words(&stock.in_words("")?, after)));
        return Ok((notes.collect(), Some(moved)));
    }
    all.extend(found.keys().cloned());
    let (mut notes, mut lists) = (Vec::new(), 0);
    for what in all {
        // Where there is more than is looked through, what files state is counted from their own lists.
        let listed = match what.source().and_then(|it| before.connectors.get(it)) {
            Some(it)
                if matches!(it.settings, ConnectorSettings::Files(_))
                    && (lists == 0 || !context.is_late()) =>
            {
                lists += 1;
                Some(listed(context, &what).await?)
            }
            _ => None,
        };
        let stock = match listed {
            Some((stock, true)) => stock.in_words("about "),
            Some((stock, false)) => Some(stock.in_words("at least ").unwrap_or_else(uncounted)),
            None => {
                let found = found.get(&what);
                let found = found.and_then(|stock| stock.in_words("at least "));
                Some(found.unwrap_or_else(uncounted))
            }
        };
        notes.extend(stock.map(|stock| what.in_words(&stock, after)));
    }
    Ok((notes, None))
}

fn uncounted() -> String {
    "how much is not known, as there is more stock than could be looked through".to_owned()
}

/// How much a source's own list has of what is concerned, and whether all of the list was read.
async fn listed(context: &Context<'_>, what: &Concerned) -> Result<(Stock, bool), Problem> {
    let (mut stock, mut cursor) = (Stock::default(), None);
    let Some(source) = what.source() else {
        return Ok((stock, true));
    };
    loop {
        let page = context
            .store
            .stated(source, cursor.as_deref(), LISTED)
            .await?;
        for stated in page.items {
            match (stated.item, what.place()) {
                (Item::Position { location, .. }, Some(place)) if location != *place => {}
                (Item::Position { .. }, _) => stock.positions += 1,
                (Item::Unit { .. }, None) => stock.vehicles += 1,
                (Item::Unit { .. }, Some(_)) => {}
            }
        }
        cursor = page.next;
        if cursor.is_none() || context.is_late() {
            return Ok((stock, cursor.is_none()));
        }
    }
}

async fn thresholds(context: &Context<'_>, removed: &Removed) -> Result<Found, Problem> {
    let (mut found, mut seen, mut cursor) = (Found::default(), 0, None);
    loop {
        if seen >= MOST || context.is_late() {
            found.more = true;
            return Ok(found);
        }
        let page = context
            .store
            .each_imported_rule(cursor.as_deref(), PAGE)
            .await?;
        seen += page.items.len();
        for rule in page.items {
            if removed.has(rule.scope.location.as_ref(), rule.scope.group.as_ref()) {
                let name = rule.id.as_str();
                found.add(|| name.strip_prefix("imported: ").unwrap_or(name).to_owned());
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

async fn alerts(context: &Context<'_>, removed: &Removed) -> Result<Found, Problem> {
    let (mut found, mut seen, mut cursor) = (Found::default(), 0, None);
    loop {
        if seen >= MOST || context.is_late() {
            found.more = true;
            return Ok(found);
        }
        let page = context
            .store
            .alerts(AlertState::Open, cursor.as_deref(), PAGE)
            .await?;
        seen += page.items.len();
        for alert in page.items {
            let is_gone = match &alert.subject {
                Subject::Position { location, .. } => removed.has(Some(location), None),
                Subject::Group { group, .. } => removed.has(None, Some(group)),
                _ => false,
            };
            if is_gone {
                found.add(|| format!("{} of {}", alert.kind, alert.subject));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}
