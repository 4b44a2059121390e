//! The engine's hook: decides on each call and each message what becomes of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lotwire::engine::{Call, Fate, Interference, RunId, Service, Verdict};
use tokio::time::Instant;

use super::{Faults, Kind};
use crate::dice::Dice;
use crate::trace::Trace;

/// A fault that hit a run of a function.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Its place among everything that was noted.
    pub order: u64,
    /// What.
    pub kind: Kind,
}

/// Makes things go wrong, while it is switched on.
pub struct Saboteur {
    faults: Faults,
    dice: Dice,
    active: AtomicBool,
    began: Mutex<Option<Instant>>,
    /// Until when the clock is not run.
    rests: Mutex<Option<Instant>>,
    trace: Arc<Trace>,
    hits: Mutex<BTreeMap<RunId, Vec<Hit>>>,
    counts: Mutex<BTreeMap<Kind, u64>>,
}

impl Saboteur {
    /// A saboteur that does nothing yet.
    pub fn new(faults: Faults, trace: Arc<Trace>) -> Self {
        Self {
            dice: Dice::of(faults.seed, "sabotage"),
            faults,
            active: AtomicBool::new(false),
            began: Mutex::default(),
            rests: Mutex::default(),
            trace,
            hits: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// From now on things go wrong.
    pub fn begin(&self, start: Instant) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(start);
        self.active.store(true, Ordering::SeqCst);
    }

    /// From now on nothing does.
    pub fn end(&self) {
        self.active.store(false, Ordering::SeqCst);
    }

    /// The clock is not run until then.
    pub fn rest(&self, until: Option<Instant>) {
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn rests(&self, call: &Call) -> bool {
        let until = *self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        call.service == Service::Lambda
            && call.operation == "clock"
            && until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether things go wrong at the moment.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// How often what happened.
    pub fn counts(&self) -> BTreeMap<Kind, u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }

    /// What hit a run, in order.
    pub fn hits(&self, run: &RunId) -> Vec<Hit> {
        let hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        hits.get(run).cloned().unwrap_or_default()
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.map(|began| began.elapsed()).unwrap_or_default()
    }

    /// Notes a fault, wherever it was made.
    pub fn note(&self, kind: Kind, run: Option<&RunId>, what: &str) {
        let order = self.trace.note(|| {
            let run = run.map_or("", |run| &run.request_id);
            format!("FAULT {kind} {what} {run}")
        });
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind).or_default() += 1;
        drop(counts);
        if let Some(run) = run {
            let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
            let of_run = hits.entry(run.clone()).or_default();
            of_run.push(Hit { order, kind });
        }
    }

    /// Ends a run at its call to a vendor, perhaps.
    pub async fn at_vendor(&self, when: &str, run: Option<&RunId>) {
        if self.is_active() && self.strikes(Kind::Crash, 4.0) {
            self.note(Kind::Crash, run, &format!("{when} a vendor's answer"));
            RunId::crash().await;
        }
    }

    /// Whether this kind of fault strikes here.
    fn strikes(&self, kind: Kind, weight: f64) -> bool {
        self.faults.kinds.contains(&kind) && self.dice.happens(self.faults.likely * weight)
    }

    /// Whether a call meets a table that is busy.
    fn meets_a_storm(&self, call: &Call) -> bool {
        let now = self.elapsed();
        let mut storms = self.faults.storms.iter();
        let storm = storms.find(|storm| (storm.from..storm.until).contains(&now));
        storm.is_some_and(|storm| match storm.of {
            Some(function) => call
                .run
                .as_ref()
                .is_some_and(|run| &*run.function == function),
            None => self.dice.happens(0.7),
        })
    }

    fn is_out(&self, function: &str) -> bool {
        let now = self.elapsed();
        let mut outages = self.faults.outages.iter();
        outages.any(|outage| outage.holds(function, now))
    }

    /// What becomes of a call before it takes effect.
    fn choose(&self, call: &Call) -> Option<(Kind, Verdict)> {
        let table_write = call.service == Service::DynamoDb && writes(&call.operation);
        let lost = Verdict::ConnectionLost;
        match call.service {
            Service::Lambda => self
                .strikes(Kind::LostRun, 1.0)
                .then_some((Kind::LostRun, lost)),
            Service::Mapping => None,
            _ if call
                .run
                .as_ref()
                .is_some_and(|run| self.is_out(&run.function)) =>
            {
                Some((Kind::Outage, Verdict::Crash))
            }
            _ if call.service == Service::DynamoDb && self.meets_a_storm(call) => {
                Some((Kind::Throttle, Verdict::Throttle))
            }
            _ if self.strikes(Kind::Crash, 1.0) => Some((Kind::Crash, Verdict::Crash)),
            _ if self.strikes(Kind::Throttle, 1.0) => Some((Kind::Throttle, Verdict::Throttle)),
            _ if self.strikes(Kind::LostCall, 1.0) => Some((Kind::LostCall, lost)),
            _ if table_write && self.strikes(Kind::Conflict, 3.0) => {
                Some((Kind::Conflict, Verdict::Conflict))
            }
            _ => None,
        }
    }
}

#[async_trait]
impl Interference for Saboteur {
    async fn before(&self, call: &Call) -> Verdict {
        self.trace.note(|| {
            let run = call.run.as_ref().map_or("", |run| &run.function);
            format!("call {:?} {} {run}", call.service, call.operation)
        });
        if self.rests(call) {
            return Verdict::ConnectionLost;
        }
        if !self.is_active() {
            return Verdict::Proceed;
        }
        let what = format!("before {:?} {}", call.service, call.operation);
        let run = call.run.as_ref();
        if self.faults.kinds.contains(&Kind::Latency) && self.dice.happens(0.4) {
            tokio::time::sleep(Duration::from_millis(1 + self.dice.below(25))).await;
        }
        // One that is not in a run would only hold up the pump, or a fake.
        if run.is_some() && self.strikes(Kind::Hang, 0.3) {
            self.note(Kind::Hang, run, &what);
            tokio::time::sleep(Duration::from_secs(5 + self.dice.below(70))).await;
        }
        match self.choose(call) {
            Some((kind, verdict)) => {
                self.note(kind, run, &what);
                verdict
            }
            None => Verdict::Proceed,
        }
    }

    async fn after(&self, call: &Call) -> Verdict {
        if !self.is_active() {
            return Verdict::Proceed;
        }
        let (kind, verdict) = match call.service {
            Service::Lambda if self.strikes(Kind::LostRun, 1.0) => {
                (Kind::LostRun, Verdict::ConnectionLost)
            }
            Service::Mapping if self.strikes(Kind::Redelivery, 4.0) => {
                (Kind::Redelivery, Verdict::ConnectionLost)
            }
            Service::Lambda | Service::Mapping => return Verdict::Proceed,
            _ if self.strikes(Kind::Crash, 1.0) => (Kind::Crash, Verdict::Crash),
            _ if self.strikes(Kind::LostAnswer, 1.0) => (Kind::LostAnswer, Verdict::ConnectionLost),
            _ => return Verdict::Proceed,
        };
        let what = format!("after {:?} {}", call.service, call.operation);
        self.note(kind, call.run.as_ref(), &what);
        verdict
    }

    fn message(&self, queue: &str) -> Fate {
        if !self.is_active() || queue.ends_with("-failures") {
            return Fate::Arrives;
        }
        let (kind, fate) = if self.strikes(Kind::LostMessage, 8.0) {
            (Kind::LostMessage, Fate::Lost)
        } else if self.strikes(Kind::RepeatedMessage, 8.0) {
            // In another run than the first, which may still be at it.
            let later = Duration::from_millis(self.dice.below(60));
            (Kind::RepeatedMessage, Fate::Twice(later))
        } else if self.strikes(Kind::LateMessage, 8.0) {
            let late = Duration::from_secs(1 + self.dice.below(600));
            (Kind::LateMessage, Fate::Late(late))
        } else {
            return Fate::Arrives;
        };
        self.note(kind, None, queue);
        fate
    }
}

fn writes(operation: &str) -> bool {
    ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"].contains(&operation)
}
