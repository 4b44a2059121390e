//! `simulation`: runs worlds by their seeds.

use simulation::faults::Kind;
use simulation::plan::Plan;
use simulation::run::{Options, run};

fn main() {
    let seed = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let plan = Plan::of(seed, Kind::ALL);
    let report = run(&plan, Options { trace: true, forgetful: None });
    match report {
        Ok(r) => { for l in &r.lines { eprintln!("{l}"); } eprintln!("{:?} {:?} {:?} {}", r.violations, r.numbers, r.faults, r.hash); }
        Err(e) => eprintln!("{e}"),
    }
}
