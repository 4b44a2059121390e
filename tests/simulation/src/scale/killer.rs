//! Ends runs of the notifier, and knows at which point each was.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lotwire::engine::{Call, Interference, RunId, Service, Verdict};
use shared::chance::Chance;

/// Points of one delivery at which its run can end: before and after each call of the table, and
/// twice at the vendor's.
const POINTS: f64 = 18.0;

/// How many runs ended, by how far their delivery was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crashes {
    /// Nothing was on its way to the vendor: before a request, or after its outcome was recorded.
    pub apart: usize,
    /// The request was on its way, and the vendor had not taken the message.
    pub under_way: usize,
    /// The vendor had taken the message, and that was not recorded.
    pub unrecorded: usize,
}

impl Crashes {
    /// All of them.
    pub fn all(self) -> usize {
        self.apart + self.under_way + self.unrecorded
    }
}

impl fmt::Display for Crashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            apart,
            under_way,
            unrecorded,
        } = self;
        write!(
            f,
            "{} ({apart} with no request out, {under_way} before the vendor took it, \
             {unrecorded} after that and before it was recorded)",
            self.all()
        )
    }
}

/// How far a run is with a message. A run that is not listed has none on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    UnderWay,
    Taken(String),
}

/// Ends runs of notifiers.
pub(super) struct Killer {
    chance: Chance,
    /// How likely a run ends at any one point.
    likely: f64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runs: HashMap<RunId, Stage>,
    crashes: Crashes,
    /// How often each message was taken without that being recorded.
    unrecorded: HashMap<String, usize>,
}

impl Killer {
    /// Ends so many of a hundred deliveries, once or, rarely, more than once.
    pub(super) fn new(chance: Chance, percent: f64) -> Self {
        Self {
            chance,
            likely: percent / 100.0 / POINTS,
            state: Mutex::default(),
        }
    }

    /// Of those who have made their deliveries, how many were ended, and where.
    pub(super) fn crashes(&self) -> Crashes {
        self.state().crashes
    }

    /// How often the vendor had taken this message when its run ended without recording it.
    pub(super) fn unrecorded(&self, key: &str) -> usize {
        self.state()
            .unrecorded
            .get(key)
            .copied()
            .unwrap_or_default()
    }

    /// A request has left the run it is called in.
    pub(super) async fn sent(&self) {
        self.at(|runs, run| drop(runs.insert(run, Stage::UnderWay)));
        self.may_end().await;
    }

    /// The vendor has taken the message of the run it is called in.
    pub(super) async fn taken(&self, key: &str) {
        self.at(|runs, run| drop(runs.insert(run, Stage::Taken(key.to_owned()))));
        self.may_end().await;
    }

    fn at(&self, note: impl FnOnce(&mut HashMap<RunId, Stage>, RunId)) {
        if let Some(run) = RunId::current() {
            note(&mut self.state().runs, run);
        }
    }

    async fn may_end(&self) {
        if let Some(run) = RunId::current()
            && self.ends(&run)
        {
            RunId::crash().await;
        }
    }

    /// Whether the run ends here; if so, notes how far it was.
    fn ends(&self, run: &RunId) -> bool {
        if self.chance.fraction() >= self.likely {
            return false;
        }
        let mut state = self.state();
        match state.runs.remove(run) {
            None => state.crashes.apart += 1,
            Some(Stage::UnderWay) => state.crashes.under_way += 1,
            Some(Stage::Taken(key)) => {
                state.crashes.unrecorded += 1;
                *state.unrecorded.entry(key).or_default() += 1;
            }
        }
        true
    }

    fn verdict(&self, call: &Call) -> Verdict {
        match notifier(call) {
            Some(run) if self.ends(run) => Verdict::Crash,
            _ => Verdict::Proceed,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The notifier's run that makes the call, if one does.
fn notifier(call: &Call) -> Option<&RunId> {
    let run = call.run.as_ref()?;
    run.function.starts_with("notify-").then_some(run)
}

#[async_trait]
impl Interference for Killer {
    async fn before(&self, call: &Call) -> Verdict {
        self.verdict(call)
    }

    async fn after(&self, call: &Call) -> Verdict {
        // The one transaction of a notifier records what came of a try.
        if let Some(run) = notifier(call)
            && call.service == Service::DynamoDb
            && call.operation == "TransactWriteItems"
        {
            self.state().runs.remove(run);
        }
        self.verdict(call)
    }
}
