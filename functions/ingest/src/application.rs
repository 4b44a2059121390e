//! Events into the store; what cannot be used, into quarantine with its reason.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::connectors::{External, KnownNames, Lookup, Parsed, Signed};
use shared::domain::event::Change;
use shared::domain::position::Refusal;
use shared::domain::{Authority, ConnectorName, StockEvent};
use shared::metrics::Metric;
use shared::store::corrected::follows_from;
use shared::store::names::ExternalName;
use shared::store::quarantine::Quarantined;
use shared::store::received::{KeptBody, Received, ReceivedState};
use shared::store::stock::{Applied, ApplyError, UNKNOWN_PLACE};
use shared::store::units::UNPLACED;
use shared::store::unstated::Place;
use shared::store::{Store, StoreError, Stored};

use crate::{Door, Ingest, IngestError};

/// What became of a webhook's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Changed the stock.
    pub applied: usize,
    /// Known already, or older than what is known.
    pub known: usize,
    /// Held for a person to look at.
    pub quarantined: usize,
    /// Understood, and of no use to us.
    pub ignored: usize,
    /// What of that moved although nobody has stated how much there is of it, and whether nothing was known
    /// of it there before.
    pub unstated: Vec<(Place, bool)>,
}

impl Outcome {
    /// What whoever sent it should know beside the counts.
    pub(crate) fn notes(&self) -> Vec<String> {
        let names = self.unstated.iter();
        let names: BTreeSet<_> = names
            .map(|((product, location), _)| format!("`{product}` at {location}"))
            .collect();
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if names.is_empty() {
            return Vec::new();
        }
        let named: Vec<_> = names.into_iter().take(NAMED).collect();
        vec![format!(
            "nobody states how much there is of {}{more}: what moves is kept, and counts once a level is \
             stated; is the SKU right?",
            named.join(", ")
        )]
    }
}

/// An entry of the quarantine, and the name that it waits for: its kind, and itself.
type Held = (Quarantined, Option<(String, String)>);

/// How often a webhook is read anew because a name changed meanwhile.
const READINGS: usize = 4;

/// How many SKUs are named in an answer.
const NAMED: usize = 10;

/// The reason where several items of a source have one SKU.
const SAME_SKU: &str = "same_sku";

/// Names that were looked up.
type Known = BTreeMap<External, Option<ExternalName>>;

impl Ingest {
    /// Reads what a webhook says, with other systems' names looked up.
    pub(crate) async fn parse(
        &self,
        door: &Door,
        signed: &Signed<'_>,
    ) -> Result<(Parsed, Known), IngestError> {
        let known = self.look_up(door, door.push.wanted(signed)?).await?;
        let mut names = KnownNames::configured(&door.installation.config, &door.name);
        for (external, name) in &known {
            if let Some(name) = name
                && let Some(sku) = &name.sku
            {
                names = names
                    .with_product(external.clone(), sku.clone(), name.standing())
                    .with_beside(external.clone(), name.beside.clone());
            }
        }
        Ok((door.push.parse(signed, &names)?, known))
    }

    async fn look_up(&self, door: &Door, wanted: Vec<External>) -> Result<Known, StoreError> {
        let names = wanted.iter().map(|it| (it.kind, it.id.as_str())).collect();
        let known = self.store.external_names(&door.name, names).await?;
        Ok(wanted.into_iter().zip(known).collect())
    }

    /// Keeps a webhook and applies it in one write, if it says a single thing and that changes the stock;
    /// or keeps it, if all that it says is known. `None`: it is to be kept first, and then applied as any
    /// other.
    pub(crate) async fn apply_at_once(
        &self,
        door: &Door,
        received: &Received,
        (parsed, known): &(Parsed, Known),
    ) -> Result<Option<Outcome>, IngestError> {
        let says_more = !parsed.lookups.is_empty() || !parsed.quarantine.is_empty();
        let [event] = parsed.events.as_slice() else {
            return Ok(None);
        };
        let is_one_write = matches!(
            event.change,
            Change::LevelSet { .. }
                | Change::LevelEnded { .. }
                | Change::Moved { .. }
                | Change::Sold { .. }
                | Change::Unit(_)
        );
        // Whether a name still means what it did is asked once more before that is dealt with.
        if says_more || !is_one_write || !known.is_empty() {
            return Ok(None);
        }
        let store = self.store.applying(received);
        let authority = door.installation.authority();
        let keeping = self.store.keeping(received)?;
        let applied = keeping.apply(event, &authority).await;
        let mut partly = None;
        let is_kept = match &applied {
            Ok(Applied::Changed | Applied::Unstated { .. }) => true,
            Ok(Applied::Known | Applied::Before) => self.store.receive_applied(received).await?,
            // What it leaves out is still to be held.
            Ok(Applied::Partly { .. }) => {
                let kept = store.receive(received, KeptBody::default()).await?;
                let is_new = kept.data.state == ReceivedState::Waiting;
                partly = Some(kept);
                is_new
            }
            Err(_) => false,
        };
        if !is_kept {
            return Ok(None);
        }
        let mut outcome = Outcome {
            ignored: parsed.ignored.len(),
            ..Outcome::default()
        };
        let held = self.note(&door.name, received, event, applied, &mut outcome)?;
        self.note_unstated(&door.name, &outcome).await;
        outcome.quarantined = held.len();
        if let Some(kept) = partly
            && let Some(noted) = self.hold(&store, &kept, &held).await?
        {
            store.mark_applied(&noted).await?;
        }
        Ok(Some(outcome))
    }

    /// Applies all that a webhook says. Stops at the first event that the table cannot take for now:
    /// the rest, and it, are applied when the webhook is sent or looked at again.
    pub(crate) async fn apply(
        &self,
        door: &Door,
        received: Stored<Received>,
        signed: &Signed<'_>,
        (mut parsed, mut known): (Parsed, Known),
    ) -> Result<Outcome, IngestError> {
        let store = self.store.applying(&received.data);
        let mut outcome = Outcome::default();
        let mut received = received;
        for reading in 0..READINGS {
            let (once, held) = self
                .apply_once(&store, door, &received.data, (&parsed, &known))
                .await?;
            self.note_unstated(&door.name, &once).await;
            outcome = Outcome {
                unstated: [outcome.unstated, once.unstated.clone()].concat(),
                applied: outcome.applied + once.applied,
                known: outcome.known.max(once.known),
                ..once
            };
            let Some(noted) = self.hold(&store, &received, &held).await? else {
                return Ok(outcome); // to be applied again, by whoever learnt a name
            };
            received = noted;
            // Whoever changed a name, or ended a contradiction, meanwhile may not have seen what was
            // just written.
            let now = self.look_up(door, known.keys().cloned().collect()).await?;
            let contradicts = held.iter().any(|(entry, _)| entry.reason == SAME_SKU);
            if now == known && (reading > 0 || !contradicts) {
                if received.data.state == ReceivedState::Waiting {
                    store.mark_applied(&received).await?;
                }
                return Ok(outcome);
            }
            self.settle(&store, door, &parsed, &known, &now).await?;
            (parsed, known) = self.parse(door, signed).await?;
        }
        Err(StoreError::Contended {
            operation: "apply a webhook",
        }
        .into())
    }

    /// Notes for `status` what has moved for the first time although nobody has stated how much there is of
    /// it. It is applied, and its sender is told: that this failed is no reason to have it sent again.
    async fn note_unstated(&self, connector: &ConnectorName, outcome: &Outcome) {
        let new = outcome.unstated.iter().filter(|(_, is_new)| *is_new);
        let new: Vec<_> = new.map(|(place, _)| place.clone()).collect();
        if let Err(error) = self.store.note_unstated(connector, &new).await {
            tracing::warn!(%connector, %error, "what nobody has stated could not be noted");
        }
    }

    async fn apply_once(
        &self,
        store: &Store,
        door: &Door,
        received: &Received,
        (parsed, known): (&Parsed, &Known),
    ) -> Result<(Outcome, Vec<Held>), IngestError> {
        let authority = door.installation.authority();
        let mut outcome = Outcome {
            ignored: parsed.ignored.len(),
            ..Outcome::default()
        };
        let lookups = parsed.lookups.iter();
        let lookups = lookups.map(|lookup| (to_be_looked_up(&door.name, received, lookup), None));
        let mut held: Vec<Held> = lookups.collect();
        let stated = parsed.events.iter().filter(|event| states(&event.change));
        let store = match stated.count() {
            0 | 1 => store,
            _ => &store.writing_many(),
        };
        let outcomes = store.apply_each(&parsed.events, &authority).await?;
        for (event, mut applied) in parsed.events.iter().zip(outcomes) {
            let is_known = matches!(applied, Ok(Applied::Known));
            if is_known && received.state == ReceivedState::Applied {
                applied = Box::pin(stated_again(store, door, event, &authority)).await?;
            }
            held.extend(self.note(&door.name, received, event, applied, &mut outcome)?);
        }
        for rejected in &parsed.quarantine {
            let problem = &rejected.problem;
            let about = subject(&rejected.excerpt);
            let about = about.or_else(|| numbered(&rejected.excerpt, known));
            let entry = Quarantined::new(
                &door.name,
                received.at,
                format!("{}{}", received.id, problem.pointer),
                &rejected.excerpt.to_string(),
                (problem.reason.name(), problem.sentence.clone()),
            )
            .about(about.as_deref());
            let awaits = problem.awaits.clone();
            let awaits = awaits.map(|awaited| (awaited.kind, awaited.name));
            held.push(one_for_each_name(entry, awaits, &rejected.excerpt));
        }
        held = without_twice_held(held);
        outcome.quarantined = held.len();
        Ok((outcome, held))
    }

    /// Carries a name that changed while a webhook was applied to what the webhook wrote under the old
    /// one.
    async fn settle(
        &self,
        store: &Store,
        door: &Door,
        parsed: &Parsed,
        before: &Known,
        now: &Known,
    ) -> Result<(), IngestError> {
        let authority = door.installation.authority();
        for (external, _) in now
            .iter()
            .filter(|(name, now)| before.get(name) != Some(now))
        {
            for event in &parsed.events {
                let settled = store
                    .settle_name(event, external.kind, &external.id, &authority.quantities)
                    .await;
                if let Err(ApplyError::Store(error)) = settled {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Puts into quarantine what cannot be applied, and takes out of it what could be now. The webhook
    /// as it is then, or `None` if somebody else wrote to it meanwhile.
    async fn hold(
        &self,
        store: &Store,
        received: &Stored<Received>,
        held: &[Held],
    ) -> Result<Option<Stored<Received>>, IngestError> {
        let ids: Vec<_> = held.iter().map(|(entry, _)| entry.id.clone()).collect();
        let before = received.data.held.clone();
        let over: Vec<_> = before
            .iter()
            .filter(|id| !ids.contains(id))
            .cloned()
            .collect();
        let mut received = received.clone();
        // Before the entries themselves: a crash in between leaves none that nobody ever closes.
        if ids.iter().any(|id| !before.contains(id)) {
            let all = over.iter().chain(&ids).cloned().collect();
            match store.note_held(&received, all).await? {
                Some(noted) => received = noted,
                None => return Ok(None),
            }
        }
        for (entry, awaits) in held {
            let awaits = awaits.as_ref();
            let of_vehicle = awaits.filter(|(kind, _)| kind == UNPLACED);
            if let (Some((kind, name)), None) = (awaits, of_vehicle) {
                store.wait_for_name(&received.data, kind, name).await?;
            }
            if store.quarantine(entry).await? {
                let dimensions = [("Connector", entry.source.as_str())];
                self.metrics.count(Metric::EventsQuarantined, &dimensions);
                tracing::warn!(
                    connector = %entry.source,
                    quarantine.id = entry.id,
                    reason = entry.reason,
                    "a row went to quarantine"
                );
            }
            if let Some((_, vin)) = of_vehicle {
                store.close_if_placed(vin).await?;
            }
        }
        for id in &over {
            store.close_quarantined(id, "it was applied").await?;
        }
        if !over.is_empty() {
            return Ok(store.note_held(&received, ids).await?);
        }
        Ok(Some(received))
    }

    /// Counts what became of an event; one that cannot be applied is to be held.
    fn note(
        &self,
        connector: &ConnectorName,
        received: &Received,
        event: &StockEvent,
        applied: Result<Applied, ApplyError>,
        outcome: &mut Outcome,
    ) -> Result<Vec<Held>, IngestError> {
        let dimensions = [("Connector", connector.as_str())];
        let reason = match applied {
            Ok(applied) => {
                let (changed, left_out) = match applied {
                    Applied::Changed => (true, Vec::new()),
                    Applied::Unstated { is_new } => {
                        outcome.unstated.extend(place(event).map(|it| (it, is_new)));
                        (true, Vec::new())
                    }
                    Applied::Known | Applied::Before => (false, Vec::new()),
                    Applied::Partly { changed, left_out } => (changed, left_out),
                };
                let metric = if changed {
                    outcome.applied += 1;
                    Metric::EventsApplied
                } else {
                    outcome.known += 1;
                    Metric::EventsDuplicate
                };
                self.metrics.count(metric, &dimensions);
                let held = left_out.into_iter().map(|left| {
                    let held = Quarantined::new(
                        connector,
                        received.at,
                        format!("{}:{}:{}", received.id, event.id, left.field),
                        &content(event),
                        (left.reason, left.sentence),
                    )
                    .about(subject(&json!(event.change)).as_deref())
                    .saying(left.says);
                    let awaits = left.awaits.map(|(kind, name)| (kind.to_owned(), name));
                    let held = held.event(event.id.clone());
                    one_for_each_name(held, awaits, &json!(event.change))
                });
                return Ok(held.collect());
            }
            Err(ApplyError::Store(error)) => return Err(error.into()),
            Err(error) => error,
        };
        let held = Quarantined::new(
            connector,
            received.at,
            format!("{}:{}", received.id, event.id),
            &content(event),
            (code(&reason), reason.to_string()),
        )
        .about(subject(&json!(event.change)).as_deref())
        .saying(reason.says().map(str::to_owned));
        let awaits = reason.awaits().map(|(kind, name)| (kind.to_owned(), name));
        Ok(vec![one_for_each_name(
            held.event(event.id.clone()),
            awaits,
            &json!(event.change),
        )])
    }
}

/// Whether a change says what is there, so that several together say what all of it comes to.
const fn states(change: &Change) -> bool {
    matches!(
        change,
        Change::Unit(_) | Change::LevelSet { .. } | Change::Item { .. }
    )
}

/// What becomes of a statement that is known, and is applied again. What stands there may be what its
/// source stated by a name that leads elsewhere now, and has not been ended yet: that ends first.
async fn stated_again(
    store: &Store,
    door: &Door,
    event: &StockEvent,
    authority: &Authority,
) -> Result<Result<Applied, ApplyError>, StoreError> {
    let (product, location) = match &event.change {
        Change::LevelSet {
            product, location, ..
        } => (product, location),
        Change::Item(said) => (&said.product, &said.location),
        _ => return Ok(Ok(Applied::Known)),
    };
    let Some(position) = store.position(product, location).await? else {
        return Ok(Ok(Applied::Known));
    };
    let config = &door.installation.config;
    let called = position.called_by(&door.name).into_iter();
    let elsewhere = called.filter(|it| config.leads_elsewhere(&door.name, it, location));
    let mut ended = false;
    for called in elsewhere {
        let change = Change::SourceGone {
            product: product.clone(),
            location: location.clone(),
            called: Some(called.to_owned()),
        };
        let at = store.clock().now();
        let end = follows_from(door.installation.version, "ended", &door.name, at, change)?;
        if let Err(error) = store.apply(&end, authority).await {
            return Ok(Err(error));
        }
        ended = true;
    }
    Ok(match ended {
        true => store.apply(event, authority).await,
        false => Ok(Applied::Known),
    })
}

/// A vehicle that cannot be counted because its place is held already is no second problem.
fn without_twice_held(mut held: Vec<Held>) -> Vec<Held> {
    let at_unknown_places: BTreeSet<_> = held
        .iter()
        .filter(|(entry, _)| entry.reason == UNKNOWN_PLACE)
        .flat_map(|(entry, _)| entry.about.clone())
        .collect();
    held.retain(|(entry, _)| {
        let lacks_place = entry.reason == UNPLACED && entry.says.as_deref() == Some("location");
        !lacks_place || entry.about.iter().all(|it| !at_unknown_places.contains(it))
    });
    held
}

/// What waits for a name is one problem, however much waits for it.
fn one_for_each_name(
    entry: Quarantined,
    awaits: Option<(String, String)>,
    content: &Value,
) -> Held {
    // How much was sold or came, and not how much there is: each is one more.
    let moved = content.get("quantity").or_else(|| content.get("delta"));
    let entry = match &awaits {
        Some((kind, name)) => entry
            .awaiting(&format!("{kind} {name}"))
            .as_movement(moved.is_some()),
        None => entry,
    };
    (entry, awaits)
}

/// The work that a hint leaves: one entry per vehicle, however often it is hinted at.
fn to_be_looked_up(connector: &ConnectorName, received: &Received, lookup: &Lookup) -> Quarantined {
    let of = lookup.company.as_deref();
    let of = of.map_or_else(String::new, |company| format!(" of company {company}"));
    let sentence = format!(
        "vehicle {}{of} has to be looked up: {connector} only said that it changed",
        lookup.vin
    );
    let content = json!({ "vin": lookup.vin, "company": lookup.company });
    Quarantined::new(
        connector,
        received.at,
        format!("lookup:{}", lookup.vin),
        &content.to_string(),
        ("lookup", sentence),
    )
    .about(Some(lookup.vin.as_ref()))
}

/// The SKU or VIN that a row or an event is about, where it says one.
fn subject(said: &Value) -> Option<String> {
    let fields = said.as_object()?;
    let named = ["sku", "vin", "VIN", "product"].into_iter();
    let mut named = named.filter_map(|name| match fields.get(name)? {
        Value::String(name) => Some(name.clone()),
        Value::Number(name) => Some(name.to_string()),
        _ => None,
    });
    named.next().or_else(|| fields.values().find_map(subject))
}

/// The SKU of the product that a row names by the vendor's number, where that is known.
fn numbered(said: &Value, known: &Known) -> Option<String> {
    known.iter().find_map(|(external, name)| {
        let number = said.get(format!("{}_id", external.kind))?;
        let spelt = number.as_str();
        let spelt = spelt.map_or_else(|| number.to_string(), str::to_owned);
        let is_it = spelt == external.id;
        let sku = name.as_ref().filter(|_| is_it)?.sku.as_ref()?;
        Some(sku.to_string())
    })
}

/// What moves by an event, and where.
fn place(event: &StockEvent) -> Option<Place> {
    match &event.change {
        Change::Moved {
            product, location, ..
        }
        | Change::Sold {
            product, location, ..
        } => Some((product.clone(), location.clone())),
        _ => None,
    }
}

/// What quarantine shows of an event.
fn content(event: &StockEvent) -> String {
    serde_json::to_string(&event.change).unwrap_or_default()
}

/// The reason as machines read it.
fn code(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Refused(Refusal::Jump { .. }) => "held_for_review",
        ApplyError::Refused(_) => "refused",
        ApplyError::Reused { .. } => "event_id_reused",
        ApplyError::Unstorable(_) => "unstorable",
        ApplyError::SameSku { .. } => SAME_SKU,
        ApplyError::UnknownPlace(_) => UNKNOWN_PLACE,
        ApplyError::Store(_) => "store",
    }
}
