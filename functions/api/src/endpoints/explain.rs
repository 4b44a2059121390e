//! Why is there an alert here, or none? Which rule, which quantity, what state, who is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::channels::{ChannelKind, Order};
use shared::config::alike;
use shared::domain::alert::RevisionKind;
use shared::domain::authority::API;
use shared::domain::message::Stock;
use shared::domain::position::Sources;
use shared::domain::rule::{Check, Condition, Facts, Resolution, Rule};
use shared::domain::watch::{Manner, Phase, Watch, Withheld};
use shared::domain::{AlertKind, ConnectorName, LocationId, Position, ProductId, Subject};
use shared::installation::{Installation, SourceHealth};
use shared::store::alerts::ProductPicture;
use shared::store::intents::{Intent, IntentState};
use shared::store::quarantine::{HeldState, names};
use shared::store::stated::Item;
use shared::store::{Store, StoreError};

use super::alerts::sum;
use super::channels::{self, Standing};
use super::units;
use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::{FieldError, Problem};

const KINDS: [AlertKind; 3] = [
    AlertKind::LowStock,
    AlertKind::OutOfStock,
    AlertKind::HighDemand,
];

/// Entries of the quarantine that are read at once, looked through, and named.
const PAGE: i32 = 100;
const LOOKED_THROUGH: usize = 2_000;
const NAMED: usize = 5;
/// How many SKUs are named that differ from what was asked in letters' case or blanks alone.
const LIKE: usize = 3;

/// What is known where the question is asked.
struct Scene<'a> {
    installation: &'a Installation,
    standing: &'a [Standing],
    facts: Facts<'a>,
    picture: &'a ProductPicture,
    sources: &'a Sources,
    position: Option<&'a Position>,
    stock: Option<Stock>,
    now: Timestamp,
    zone: TimeZone,
}

/// What a query may ask of: a place of the configuration, by its id or as people call it.
pub(super) fn configured(
    installation: &Installation,
    location: &str,
) -> Result<LocationId, Problem> {
    if let Some(known) = installation.config.locations.called(location) {
        return Ok(known.id.clone());
    }
    let places = installation.config.locations.in_words();
    let detail = format!("`{location}` is not in the configuration; {places}");
    Err(Problem::invalid(vec![FieldError::query(
        "location", detail,
    )]))
}

/// The SKUs that whoever asked of an unknown one may have meant.
pub(super) async fn like(store: &Store, product: &ProductId) -> Result<Vec<String>, StoreError> {
    let known = store.products_beginning_like(product).await?;
    let bare = |sku: &str| sku.split_whitespace().collect::<String>().to_lowercase();
    let asked = bare(product.as_str());
    let same = known.iter().filter(|it| bare(it.as_str()) == asked);
    let same: Vec<_> = same.take(LIKE).map(ProductId::to_string).collect();
    Ok(match same.is_empty() {
        true => alike(product.as_str(), known.iter().map(ProductId::to_string)),
        false => same,
    })
}

pub(super) async fn show(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let product: Option<ProductId> = query.required("product");
    let location: Option<String> = query.required("location");
    let (asked, location) = query.finish(|| product.zip(location))?;
    let installation = context.installation().await?;
    let location = configured(&installation, &location)?;
    let authority = installation.authority();
    let sources = &authority.quantities;
    let store = context.store;
    let mut picture = store.picture(&asked).await?;
    let here = picture.positions.get(&location);
    // Somebody may still state the SKU here whose product goes on as another elsewhere.
    let product = match here.is_some_and(|it| picture.renamed_to(it).is_none()) {
        true => asked.clone(),
        false => store.current_name(&asked).await?,
    };
    if product != asked {
        picture = store.picture(&product).await?;
    }
    let known = picture.description.as_ref();
    let category = known.and_then(|known| known.category(sources));
    let imported = installation.imported_for(store, &product, category, &location);
    picture.rules.extend(imported.await?);
    let position = picture.positions.get(&location);
    let owner = position.and_then(|it| it.owner(sources));
    let vehicle = vehicle(context, &installation, &asked).await?;
    let is_known = known.is_some() || !picture.positions.is_empty() || vehicle.is_some();
    // What merely moved may have been misspelt where it did.
    let mut positions = picture.positions.values();
    let is_stated = known.is_some() || vehicle.is_some();
    let is_stated = is_stated || positions.any(|it| it.stock(sources).is_some());
    let like = match is_stated || product != asked {
        true => Vec::new(),
        false => like(store, &product).await?,
    };
    let twice = match position {
        Some(position) => store.counted_twice(position).await?,
        None => Vec::new(),
    };
    let twice: Vec<_> = twice
        .into_iter()
        .map(|it| {
            json!({
                "old": it.old,
                "new": it.new,
                "renamed_by": it.renamed_by,
                "stated_by": it.stated_by,
            })
        })
        .collect();
    let held = held(context, &asked, owner.is_none()).await?;
    let in_doubt = match owner {
        None if vehicle.is_none() => in_doubt(context, &installation).await?,
        _ => Vec::new(),
    };
    let health = match owner {
        Some(owner) => installation.health_of(store, owner).await?,
        None => SourceHealth::default(),
    };
    let unlisted = match owner {
        Some(owner) => unlisted(context, owner, &product, &location).await?,
        None => None,
    };
    let is_down = position.zip(owner).is_some_and(|(position, owner)| {
        let trust = installation.trust_by(owner, &health, context.now());
        trust.withholds(position, owner)
    });
    let stale_since = health.stale_since.map(|since| since.0);
    let silent = stale_since.map(|since| json!({ "down": is_down, "stale_since": since }));
    let standing = channels::standing(context, &installation).await?;
    let scene = Scene {
        installation: &installation,
        standing: &standing,
        facts: Facts::of(
            &product,
            category,
            &location,
            &installation.config.locations,
        )
        .with(&picture.rules)
        .formerly(&picture.formerly),
        picture: &picture,
        sources,
        position,
        stock: position.and_then(|it| it.stock(sources)),
        now: context.now(),
        zone: authority.zone(&location).clone(),
    };
    let kinds = KINDS.map(|kind| {
        let resolution = installation.rules.resolve(kind, &scene.facts);
        let watch = picture.watch(&resolution.subject(), kind);
        scene.explained(&resolution, scene.stock, watch.map(|it| &it.data.watch))
    });
    let mut kinds = kinds;
    let mut sums = sums(&scene, context).await?;
    for explained in kinds.iter_mut().chain(&mut sums) {
        add_deliveries(store, &mut explained["watch"]).await?;
    }
    Ok(Answer::ok(json!({
        "product": product,
        "renamed_from": (product != asked).then_some(&asked),
        "known": is_known,
        "like": like,
        "vehicle": vehicle,
        "quarantine": held,
        "sources_in_doubt": in_doubt,
        "location": location,
        "category": category,
        "stock": scene.stock,
        "stated_by": owner,
        "stated_beside": position.map(|it| beside(it, sources)),
        "counted": position.and_then(|it| count(it, owner)),
        "counted_twice": twice,
        "feed": silent.or_else(|| health.feed.map(|feed| json!({
            "down": is_down,
            "succeeded_at": feed.succeeded_at.map(|at| at.0),
            "suspicions": feed.suspicions,
            "lacks_it": unlisted.is_some(),
            "had_it_until": unlisted.flatten(),
            "kept": feed.kept,
            "remarks": feed.remarks,
            "last_error": feed.last_error,
        }))),
        "kinds": kinds,
        "group_sums": sums,
    })))
}

/// Whether the last file of a source says nothing of an item that it has stated; and when it last did,
/// if that is known.
async fn unlisted(
    context: &Context<'_>,
    owner: &ConnectorName,
    product: &ProductId,
    location: &LocationId,
) -> Result<Option<Option<Timestamp>>, StoreError> {
    let item = Item::Position {
        product: product.clone(),
        location: location.clone(),
    };
    let stated = context.store.stated_item(owner, &item).await?;
    let Some(stated) = stated.filter(|it| it.until.is_some() || it.missing.is_some()) else {
        return Ok(None);
    };
    let until = stated.until.map(|until| until.0);
    Ok(Some(until.filter(|until| *until > Timestamp::UNIX_EPOCH)))
}

/// Where a vehicle stands, if it is one that was asked after, and by whose word.
async fn vehicle(
    context: &Context<'_>,
    installation: &Installation,
    asked: &ProductId,
) -> Result<Option<Value>, Problem> {
    let Ok(vin) = installation.config.guards.vins().read(asked.as_str()) else {
        return Ok(None);
    };
    let Some(unit) = context.store.unit(vin.as_str()).await? else {
        return Ok(None);
    };
    let authority = installation.authority();
    let resolved = unit.resolve(&authority);
    Ok(Some(json!({
        "vin": vin,
        "state": resolved.stated(),
        "location": resolved.location,
        "stated_by": resolved.holder,
        "rivals": units::rivals(&unit, &resolved),
        "unheeded": units::unheeded(&unit, &resolved),
        "counts_as": unit.model_line(&authority),
    })))
}

/// The open entries of the quarantine that name the product, the newest first. Where there is none and
/// nobody states its stock, those that stand for more rows than they name: it may be among them.
async fn held(
    context: &Context<'_>,
    asked: &ProductId,
    is_unstated: bool,
) -> Result<Vec<Value>, Problem> {
    let (mut held, mut perhaps) = (Vec::new(), Vec::new());
    let (mut seen, mut cursor) = (0, None::<String>);
    let word = asked.as_str();
    loop {
        let entries = context
            .store
            .quarantined(HeldState::Open, cursor.as_deref(), PAGE);
        let page = entries.await?;
        seen += page.items.len();
        for entry in page.items {
            let mut about = entry.about.iter();
            let is_named = about.any(|it| it.eq_ignore_ascii_case(word))
                || names(&entry.row, word)
                || names(&entry.sentence, word);
            let list = match is_named {
                true => &mut held,
                false if entry.more && is_unstated => &mut perhaps,
                false => continue,
            };
            list.push(json!({
                "id": entry.id,
                "source": entry.source,
                "where": entry.place,
                "reason": entry.reason,
                "detail": entry.detail(),
                "perhaps": !is_named,
            }));
        }
        cursor = page.next;
        if cursor.is_none() || held.len() >= NAMED || seen >= LOOKED_THROUGH || context.is_late() {
            let mut found = if held.is_empty() { perhaps } else { held };
            found.truncate(NAMED);
            return Ok(found);
        }
    }
}

/// The sources whose last file or read failed: what nobody has stated may be in there.
async fn in_doubt(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Vec<Value>, Problem> {
    let mut sources = Vec::new();
    for connector in installation.pulled() {
        let Some(feed) = context.store.feed_health(connector).await? else {
            continue;
        };
        let feed = feed.data;
        if !feed.suspicions.is_empty() || feed.last_error.is_some() {
            sources.push(json!({
                "connector": connector,
                "suspicions": feed.suspicions,
                "last_error": feed.last_error,
            }));
        }
    }
    Ok(sources)
}

/// The count by a person or an import that says how much is there, where one is newer than what the owner
/// of the quantity has stated.
fn count(position: &Position, owner: Option<&ConnectorName>) -> Option<Value> {
    let by_hand: ConnectorName = API.parse().ok()?;
    let count = position.stated_by(&by_hand)?;
    let stated = owner.filter(|owner| **owner != by_hand);
    let stated = stated.and_then(|owner| position.stated_by(owner));
    let holds = stated.is_none_or(|base| count.version.at >= base.version.at);
    holds.then(|| {
        json!({
            "on_hand": count.level.on_hand,
            "at": count.version.at,
            "stated": stated.map(|base| base.level.on_hand),
        })
    })
}

/// Of what is reserved, unavailable and incoming what another than the owner of the quantity states.
pub(super) fn beside(position: &Position, sources: &Sources) -> Value {
    let beside = position.stated_beside(sources);
    beside
        .map(|(fact, by)| (fact.to_owned(), json!(by)))
        .collect()
}

/// How an open alert reached its channels. People were told if one of theirs delivered it, and not if it
/// was only meant to be, or a program has it.
async fn add_deliveries(store: &Store, watch: &mut Value) -> Result<(), StoreError> {
    let Some(alert) = watch["alert"].as_str() else {
        return Ok(());
    };
    let intents = store.intents_of(alert).await?;
    let told = |intent: &Intent| {
        let kind = intent.kind.parse::<ChannelKind>();
        let is_program = kind.is_ok_and(|kind| kind.order() == Order::Each);
        intent.state == IntentState::Delivered && !is_program
    };
    watch["people_told"] = json!(intents.iter().any(told));
    watch["deliveries"] = intents
        .iter()
        .map(|intent| {
            json!({
                "channel": intent.channel,
                "revision": intent.revision,
                "created_at": intent.created_at,
                "state": intent.state,
                "last_outcome": intent.last_outcome,
                "next_try": (intent.state == IntentState::Pending).then_some(intent.not_before),
            })
        })
        .collect();
    Ok(())
}

/// The rules over sums of the location's groups, which stand beside its own, with what is at each place that
/// counts in them.
async fn sums(scene: &Scene<'_>, context: &Context<'_>) -> Result<Vec<Value>, StoreError> {
    let rules = scene.installation.rules.rules_over_sums(&scene.facts);
    let mut sums = Vec::new();
    let mut feeds = BTreeMap::new();
    for resolution in rules {
        let subject = resolution.subject();
        let Subject::Group { group, .. } = &subject else {
            continue;
        };
        let members = scene.members(&resolution);
        let stock = sum(members.iter().copied(), scene.sources);
        let watch = scene.picture.watch(&subject, resolution.kind);
        let mut one = scene.explained(&resolution, stock, watch.map(|it| &it.data.watch));
        let mut shown = Vec::new();
        for member in members {
            let owner = member.owner(scene.sources);
            if let Some(owner) = owner
                && !feeds.contains_key(owner)
            {
                let health = scene.installation.health_of(context.store, owner);
                feeds.insert(owner, health.await?);
            }
            let is_down = owner.is_some_and(|owner| {
                let trust = feeds
                    .get(owner)
                    .map(|health| scene.installation.trust_by(owner, health, scene.now));
                trust.is_some_and(|trust| trust.withholds(member, owner))
            });
            shown.push(json!({
                "location": member.location,
                "stock": member.stock(scene.sources),
                "stated_by": owner,
                "feed_down": is_down,
            }));
        }
        one["group"] = json!(group);
        one["stock"] = json!(stock);
        one["members"] = json!(shown);
        sums.push(one);
    }
    Ok(sums)
}

impl<'a> Scene<'a> {
    fn explained(
        &self,
        resolution: &Resolution<'_>,
        stock: Option<Stock>,
        watch: Option<&Watch>,
    ) -> Value {
        let condition = self.condition(resolution, stock);
        let subject = resolution.subject();
        let routes = resolution.rule.as_ref().map(|rule| {
            let alert = (&subject, resolution.kind, rule.severity);
            let category = self.facts.category;
            let about = self
                .installation
                .about(alert, category, RevisionKind::Opened);
            let routes = &self.installation.routes;
            let led = routes.channels_for(&about);
            let mut sentences = vec![routes.explain(&about)];
            for one in &led {
                let by_itself = self.installation.grouping(one).is_none();
                if by_itself && routes.grouping(&one.routes).is_some() {
                    let name = &one.channel;
                    sentences.push(format!("A webhook, `{name}`, is sent it by itself."));
                }
            }
            for standing in self.standing {
                if led.iter().any(|one| one.channel == *standing.name()) {
                    sentences.extend(standing.obstacle());
                }
            }
            sentences.join(" ")
        });
        json!({
            "kind": resolution.kind,
            "rule": resolution.rule.as_ref().map(|rule| &rule.id),
            "why": resolution.explain(self.now, &self.zone),
            "condition": condition.map(name),
            "watch": watch.map(|watch| shown(watch, self.now)),
            "manner": resolution.rule.as_ref().map(|_| self.manner(resolution)),
            "answer": self.verdict(resolution, condition, watch),
            "routes": routes,
        })
    }

    /// How people are told while it is open.
    fn manner(&self, resolution: &Resolution<'_>) -> Manner {
        let account = self.installation.config.alerts.manner();
        resolution
            .rule
            .as_ref()
            .map_or(account, |rule| account.with(&rule.manner))
    }

    /// What the rule says now; nothing where there is no rule.
    fn condition(&self, resolution: &Resolution<'_>, stock: Option<Stock>) -> Option<Condition> {
        let rule = resolution.rule.as_ref()?;
        let check = rule.in_force(self.now, &self.zone).check;
        if self.is_only_awaited(resolution) && check.threshold().is_some() {
            return Some(Condition::Clear);
        }
        Some(match (check, check.threshold()) {
            (_, Some(threshold)) => threshold.judge(stock.as_ref()),
            (Check::HighDemand(demand), None) => {
                let today = self.zone.to_datetime(self.now).date();
                let sold = self.position.map(|it| it.sold.clone()).unwrap_or_default();
                demand.judge(&sold, today).condition
            }
            (_, None) => Condition::NoData,
        })
    }

    /// Whether vehicles are on their way here, none ever was here, and the rule is not for just them.
    fn is_only_awaited(&self, resolution: &Resolution<'_>) -> bool {
        let names = |rule: &Rule| rule.scope.names_a_product();
        let is_single = matches!(resolution.subject(), Subject::Position { .. });
        self.position.is_some_and(|it| it.awaited)
            && is_single
            && !resolution.rule.as_deref().is_some_and(names)
    }

    /// The positions that are judged: the one at the location, or those that count in a sum.
    fn members(&self, resolution: &Resolution<'_>) -> Vec<&'a Position> {
        match resolution.subject() {
            Subject::Group { group, .. } => {
                let members = self.installation.config.locations.members(&group);
                self.picture.stated_at(members, self.sources).collect()
            }
            _ => self.position.into_iter().collect(),
        }
    }

    /// When what would begin an alert is settled, while changes that come together change it.
    fn settles_at(&self, resolution: &Resolution<'_>) -> Option<Timestamp> {
        if resolution.kind == AlertKind::HighDemand {
            return None;
        }
        let is_sum = matches!(resolution.subject(), Subject::Group { .. });
        let settles = |it: &Position| match is_sum {
            true => it.settles_in_sum(true, true, self.now),
            false => it.settles_at(true, self.now),
        };
        self.members(resolution)
            .into_iter()
            .filter_map(settles)
            .max()
    }

    /// Whether what was counted somewhere that is judged ended with who listed it, or with the place.
    fn is_unlisted(&self, resolution: &Resolution<'_>) -> bool {
        match resolution.subject() {
            // Also where nobody states anything any more, so that it is no member.
            Subject::Group { group, .. } => {
                let places = self.installation.config.locations.members(&group);
                let mut there = places
                    .iter()
                    .filter_map(|it| self.picture.positions.get(it));
                there.any(|it| it.unlisted)
            }
            _ => self.position.is_some_and(|it| it.unlisted),
        }
    }

    /// The answer in one sentence.
    fn verdict(
        &self,
        resolution: &Resolution<'_>,
        condition: Option<Condition>,
        watch: Option<&Watch>,
    ) -> String {
        let kind = resolution.kind;
        let Some(condition) = condition else {
            return match resolution.muted_by() {
                Some(rule) => format!("No alert: rule `{}` switches {kind} off here.", rule.id),
                None => format!("No alert: no {kind} rule applies here."),
            };
        };
        let phase = watch.map(|watch| &watch.phase);
        let episode = watch.and_then(Watch::episode);
        let damped_until = watch.and_then(|watch| damped_until(watch, self.now));
        if let Some(episode) = episode {
            let alert = &episode.alert;
            return match phase {
                _ if episode.withheld == Some(Withheld::SourceDown) => format!(
                    "Alert {alert} is open, and nobody was told: the feed that states this stock is down."
                ),
                _ if episode.withheld == Some(Withheld::Covered) => format!(
                    "Alert {alert} is open, and nobody was told: all who would be know of a graver or more specific one."
                ),
                _ if !episode.told() => {
                    format!("Alert {alert} is open, and nobody was told: it has recovered already.")
                }
                _ if damped_until.is_some() => format!(
                    "Alert {alert} is open since {}. {}",
                    episode.opened_at.0,
                    self.manner(resolution).flapping()
                ),
                Some(Phase::Recovering { since, .. }) => format!(
                    "Alert {alert} is open; it has been recovering since {}.",
                    since.0
                ),
                _ => format!("Alert {alert} is open since {}.", episode.opened_at.0),
            };
        }
        let is_single = !matches!(resolution.subject(), Subject::Group { .. });
        let renamed = self.position.filter(|_| is_single);
        match renamed.and_then(Position::renamed_to) {
            Some(line) if line.line().is_some() => {
                let name = self.picture.renamed_name(line).map(str::to_owned);
                let name = name.unwrap_or_else(|| line.in_words());
                return format!("No alert: its vehicles are {name} now.");
            }
            Some(sku) => return format!("No alert: it goes on as SKU {sku}."),
            None => {}
        }
        match (condition, phase) {
            (_, Some(Phase::Pending { since })) => format!(
                "No alert yet: it fires since {}, and the rule waits until it has lasted.",
                since.0
            ),
            (Condition::NoData, _) if self.members(resolution).len() > 1 => {
                "No alert: nobody states the quantity at one of its places, and unknown is not zero."
                    .to_owned()
            }
            (Condition::NoData, _) => {
                "No alert: nobody states the quantity, and unknown is not zero.".to_owned()
            }
            (Condition::Breached, _) if self.settles_at(resolution).is_some() => format!(
                "No alert yet: more changes may follow the last one, as of a file or of several vehicles; they \
                 are judged together, at {} if nothing follows.",
                self.settles_at(resolution).unwrap_or(self.now)
            ),
            (Condition::Breached, _) if self.is_unlisted(resolution) => {
                "No alert: it fell because a connector that listed vehicles here, or the place itself, was \
                 taken out of the configuration; none begins until somebody has something new to say here."
                    .to_owned()
            }
            (Condition::Breached, None) => {
                "No alert yet: the rule fires, and the position has not been evaluated.".to_owned()
            }
            (Condition::Breached, Some(_)) => {
                "No alert yet: the rule fires, and the last change is still to be evaluated."
                    .to_owned()
            }
            (Condition::Clear, _) if self.is_only_awaited(resolution) => {
                "No alert: vehicles are on their way here, and none has been here yet.".to_owned()
            }
            (Condition::Held | Condition::Marginal | Condition::Clear, _) => {
                "No alert: the rule does not fire.".to_owned()
            }
        }
    }
}

/// Until when messages are held because it flaps; a time that has passed stands there until the next look.
fn damped_until(watch: &Watch, now: Timestamp) -> Option<Timestamp> {
    let until = watch.damped_until.map(|until| until.0);
    until.filter(|until| *until > now)
}

fn shown(watch: &Watch, now: Timestamp) -> Value {
    let (phase, since) = match &watch.phase {
        Phase::Quiet => ("quiet", None),
        Phase::Pending { since } => ("pending", Some(since)),
        Phase::Open(episode) => ("open", Some(&episode.opened_at)),
        Phase::Recovering { since, .. } => ("recovering", Some(since)),
    };
    let episode = watch.episode();
    json!({
        "phase": phase,
        "since": since.map(|since| since.0),
        "alert": episode.map(|episode| &episode.alert),
        "people_told": episode.is_some_and(|episode| episode.told()),
        "withheld": episode.and_then(|episode| episode.withheld),
        "evaluated_revision": watch.evaluated,
        "quiet_for_flapping_until": damped_until(watch, now),
    })
}

const fn name(condition: Condition) -> &'static str {
    match condition {
        Condition::NoData => "no_data",
        Condition::Breached => "fires",
        Condition::Held => "short_of_recovery",
        Condition::Marginal => "barely_recovered",
        Condition::Clear => "clear",
    }
}
