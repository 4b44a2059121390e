//! The least of a plan that still breaks the same guarantee: steps and kinds of faults are left out as
//! long as it does.

use std::time::{Duration, Instant};

use crate::check::{Guarantee, Violation};
use crate::plan::Plan;
use crate::run::{Options, run};

/// A shrunk plan, and what is broken in it.
#[derive(Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// The broken guarantee as this plan breaks it.
    pub violation: Violation,
    /// How many worlds it took.
    pub worlds: u32,
}

/// Leaves out whatever can be, for as long as it may take. The plan must break the guarantee.
pub fn shrink(plan: &Plan, violation: &Violation, options: Options, limit: Duration) -> Shrunk {
    let mut shrunk = Shrunk {
        plan: plan.clone(),
        violation: violation.clone(),
        worlds: 0,
    };
    let began = now();
    let in_time = || began.elapsed() < limit;
    loop {
        let before = (shrunk.plan.steps.len(), shrunk.plan.faults.kinds.len());
        for kind in shrunk.plan.faults.kinds.clone() {
            if in_time() {
                let faults = shrunk.plan.faults.without(kind);
                shrunk.take(|plan| plan.faults = faults, options);
            }
        }
        // Many steps at once first, then fewer.
        let mut size = shrunk.plan.steps.len().div_ceil(2);
        while size > 0 && in_time() {
            let mut from = 0;
            while from < shrunk.plan.steps.len() && in_time() {
                let until = (from + size).min(shrunk.plan.steps.len());
                let without = |plan: &mut Plan| drop(plan.steps.drain(from..until));
                if !shrunk.take(without, options) {
                    from = until;
                }
            }
            size /= 2;
        }
        let after = (shrunk.plan.steps.len(), shrunk.plan.faults.kinds.len());
        if after == before || !in_time() {
            return shrunk;
        }
    }
}

impl Shrunk {
    /// Keeps a change of the plan if the guarantee is still broken.
    fn take(&mut self, change: impl FnOnce(&mut Plan), options: Options) -> bool {
        let mut less = self.plan.clone();
        change(&mut less);
        self.worlds += 1;
        let violation = broken(&less, self.violation.guarantee, options);
        match violation {
            Some(violation) => {
                self.plan = less;
                self.violation = violation;
                true
            }
            None => false,
        }
    }
}

fn broken(plan: &Plan, guarantee: Guarantee, options: Options) -> Option<Violation> {
    let quiet = Options {
        trace: false,
        ..options
    };
    let report = run(plan, quiet).ok()?;
    let mut found = report.violations.into_iter();
    found.find(|violation| violation.guarantee == guarantee)
}

/// The machine's time: shrinking is bounded by it, and no world sees it.
fn now() -> Instant {
    Instant::now()
}
