//! The guarantees, checked from the outside: the fakes' own records against the table's history and
//! what the API shows.
//!
//! | file | guarantees |
//! |---|---|
//! | [`events`] | G1, G2: each acknowledged event has its effect once, or is in quarantine |
//! | [`stock`] | G3: the stock is what the model says; G4: nothing is promised or sold twice |
//! | [`feed`] | G5: only a whole file removes, and only what it says is believed |
//! | [`deliveries`] | G6: every revision reached every channel, and none twice without a reason |
//! | [`alerts`] | what is open is what the rules say, and nothing is open twice |
//! | [`ledger`] | G8: one sealed row for every change |

mod alerts;
mod deliveries;
mod events;
mod feed;
mod ledger;
mod stock;

use std::fmt;

use serde_json::Value;
pub use stock::Shown;

use crate::history::History;
use crate::model::Model;
use crate::world::World;

/// A guarantee that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which guarantee.
    pub guarantee: Guarantee,
    /// How, with the records that show it.
    pub detail: String,
}

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// Everything comes to an end once the faults have.
    Settles,
    /// An acknowledged event is never lost.
    G1,
    /// An event has at most one effect.
    G2,
    /// The end state does not depend on the order of arrival.
    G3,
    /// Nothing is promised that is not there, and a vehicle sells once.
    G4,
    /// A read that failed or is incomplete removes nothing.
    G5,
    /// Each revision reaches each channel, and comes twice only for a reason.
    G6,
    /// Each change has an audit row.
    G8,
    /// What is open is what the rules say.
    Alerts,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.guarantee, self.detail)
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, guarantee: Guarantee, detail: impl Into<String>) {
        let detail = detail.into();
        self.0.push(Violation { guarantee, detail });
    }

    /// Notes it unless it holds.
    fn expect(&mut self, guarantee: Guarantee, holds: bool, detail: impl FnOnce() -> String) {
        if !holds {
            self.add(guarantee, detail());
        }
    }
}

/// What the checks look at.
struct Scene<'a> {
    world: &'a World,
    history: &'a History,
    model: Model,
}

/// What was found wrong, and what the API showed in the end, if there was an end.
pub struct Verdict {
    /// What was broken.
    pub violations: Vec<Violation>,
    /// The stock in the end.
    pub shown: Option<Shown>,
}

/// Checks everything.
pub async fn all(world: &World, history: &History, settled: bool) -> Verdict {
    let mut found = Findings::default();
    let told = world.records.told();
    if !settled {
        found.add(Guarantee::Settles, unsettled(world, history));
    }
    let scene = Scene {
        world,
        history,
        model: Model::of(
            &told,
            &world.records.files(),
            (&world.records.lots(), world.are_lists_dropped()),
            world.plan.deducts,
        ),
    };
    events::check(&scene, &told, &mut found);
    ledger::check(&scene, &mut found).await;
    stock::along(&scene, &mut found);
    feed::check(&scene, &mut found);
    deliveries::check(&scene, &mut found);
    alerts::along(&scene, &mut found);
    // What follows compares with how it all ends.
    let mut shown = None;
    if settled {
        shown = stock::shown(world).await;
        match &shown {
            Some(shown) => stock::at_the_end(&scene, shown, &mut found),
            None => found.add(Guarantee::Settles, "the API does not list the positions"),
        }
        alerts::at_the_end(&scene, &mut found).await;
    }
    Verdict {
        violations: found.0,
        shown,
    }
}

/// What is still going on.
fn unsettled(world: &World, history: &History) -> String {
    let told = world.records.told();
    let unheard: Vec<_> = told
        .iter()
        .filter(|one| one.acknowledged.is_none() && one.refused.is_none())
        .map(|one| format!("{} ({} tries)", one.name, one.tries))
        .collect();
    let pending: Vec<_> = ["intent", "received", "run", "job"]
        .iter()
        .flat_map(|kind| history.now(kind))
        .filter(|change| {
            let state = change.after["state"].as_str();
            change.kind == "job"
                || matches!(state, Some("pending" | "waiting" | "queued" | "running"))
        })
        .map(ToString::to_string)
        .collect();
    format!("without an answer: {unheard:?}; pending: {pending:#?}")
}

/// A number of an item.
fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_default()
}

/// A text of an item.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}
