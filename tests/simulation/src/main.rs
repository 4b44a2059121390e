//! `simulation`: runs worlds by their seeds, and says what broke, how to repeat it, and the least
//! that breaks it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use lotwire::engine::{Consumption, busiest};
use simulation::faults::Kind;
use simulation::plan::Plan;
use simulation::run::{Numbers, Options, Report, run};
use simulation::scale::Command;
use simulation::shrink::shrink;

/// How long a failing plan may be shrunk.
const SHRINKING: Duration = Duration::from_secs(120);
/// How often progress is told.
const EVERY: Duration = Duration::from_secs(30);

/// Runs worlds of senders, vendors and faults around the real handlers.
#[derive(Debug, Clone, Parser)]
#[command(name = "simulation")]
struct Arguments {
    /// Something else than worlds.
    #[command(subcommand)]
    scale: Option<Command>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Run seeds for so many minutes, however many they are.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many worlds run beside each other; all processors unless set.
    #[arg(long)]
    jobs: Option<usize>,
    /// Which faults occur: `all`, `none`, or kinds separated by commas.
    #[arg(long, default_value = "all")]
    faults: String,
    /// Print all that happens, with `--seed`.
    #[arg(long)]
    trace: bool,
    /// Print the plan, with `--seed`.
    #[arg(long)]
    plan: bool,
    /// Stop at the first seed that fails.
    #[arg(long)]
    until_failure: bool,
    /// Do not look for the least that fails.
    #[arg(long)]
    no_shrink: bool,
}

/// A world is mostly small JSON: with the system's allocator, a quarter of its time is allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One seed and what came of it.
struct Ended {
    seed: u64,
    /// Its report, or why there is none.
    report: Result<Report, String>,
}

impl Ended {
    /// Runs a seed's world. One that panics has failed like any other: its seed is wanted too.
    fn of(seed: u64, kinds: &[Kind], options: Options) -> Self {
        let world = AssertUnwindSafe(|| run(&Plan::of(seed, kinds), options));
        let report = match catch_unwind(world) {
            Ok(report) => report.map_err(|error| error.to_string()),
            Err(_printed_already) => Err("it panicked".to_owned()),
        };
        Self { seed, report }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(command) = arguments.scale {
        return command.run();
    }
    let kinds = match kinds(&arguments.faults) {
        Ok(kinds) => kinds,
        Err(problem) => {
            tell(&format!("--faults: {problem}"));
            return ExitCode::from(2);
        }
    };
    match go(&arguments, &kinds) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn kinds(named: &str) -> Result<Vec<Kind>, String> {
    match named {
        "all" => Ok(Kind::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        list => list.split(',').map(|name| name.trim().parse()).collect(),
    }
}

/// Runs the seeds; how many failed.
fn go(arguments: &Arguments, kinds: &[Kind]) -> u64 {
    let began = Instant::now();
    let (first, count) = match (arguments.seed, arguments.minutes) {
        (Some(seed), _) => (seed, 1),
        (None, Some(_)) => (arguments.from, u64::MAX),
        (None, None) => (arguments.from, arguments.seeds),
    };
    let lasts = arguments
        .minutes
        .map(|minutes| Duration::from_secs(60 * minutes));
    if arguments.plan && arguments.seed.is_some() {
        show(&Plan::of(first, kinds));
    }
    let options = Options {
        trace: arguments.trace && arguments.seed.is_some(),
        forgetful: None,
    };
    let jobs = arguments.jobs.unwrap_or_else(|| {
        let processors = thread::available_parallelism();
        processors.map_or(1, std::num::NonZero::get)
    });
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (ended, endings) = mpsc::channel();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let ended = ended.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let over = lasts.is_some_and(|lasts| began.elapsed() >= lasts);
                    if index >= count || over || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = first.saturating_add(index);
                    if ended.send(Ended::of(seed, kinds, options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(ended);
        let mut told = Instant::now();
        for ending in endings {
            if let (Ok(report), Some(seed)) = (&ending.report, arguments.seed) {
                tell(&format!("trace of seed {seed}: {}", report.hash));
            }
            if tally.count(&ending) {
                failed(&ending, arguments);
                // The others may have the same reason; each has its command.
                if tally.failed == 1 && !arguments.no_shrink {
                    least(&ending, kinds, options);
                }
                if arguments.until_failure {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            if told.elapsed() >= EVERY {
                told = Instant::now();
                tell(&format!("{} worlds so far", tally.passed + tally.failed));
            }
        }
    });
    tell(&tally.summary(began.elapsed()));
    tally.failed
}

/// What all worlds came to.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    faults: BTreeMap<Kind, u64>,
    numbers: Numbers,
    consumption: Consumption,
}

/// Keys that are named in the end.
const KEYS: usize = 8;

impl Tally {
    /// Adds a world; true if it failed.
    fn count(&mut self, ending: &Ended) -> bool {
        let failed = match &ending.report {
            Ok(report) => {
                self.numbers += report.numbers;
                for (key, consumed) in &report.consumption {
                    *self.consumption.entry(key.clone()).or_default() += *consumed;
                }
                for (kind, count) in &report.faults {
                    *self.faults.entry(*kind).or_default() += count;
                }
                !report.violations.is_empty()
            }
            Err(_) => true,
        };
        if failed {
            self.failed += 1;
        } else {
            self.passed += 1;
        }
        failed
    }

    /// The keys that took most, where that was counted.
    fn busiest(&self) -> String {
        let keys = busiest(&self.consumption, KEYS);
        if keys.is_empty() {
            return String::new();
        }
        format!(
            "the keys that took most, in the worlds where that is counted:\n  {}\n",
            keys.join("\n  ")
        )
    }

    fn summary(&self, took: Duration) -> String {
        let Numbers {
            acknowledged,
            tries,
            ledger,
            revisions,
            asked,
            changes,
            minutes,
        } = self.numbers;
        let faults: Vec<_> = self
            .faults
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        format!(
            "{tries} webhooks and requests, {acknowledged} of them the first good answer; {ledger} \
             ledger rows, {revisions} alert revisions, {asked} requests at vendors, {changes} changes \
             of the table, {minutes} virtual minutes\nfaults: {}\n{}{} passed, {} failed in {:.1} s",
            if faults.is_empty() {
                "none".to_owned()
            } else {
                faults.join(", ")
            },
            self.busiest(),
            self.passed,
            self.failed,
            took.as_secs_f64()
        )
    }
}

/// Says what broke, and how to repeat it.
fn failed(ending: &Ended, arguments: &Arguments) {
    let seed = ending.seed;
    tell(&format!("\nseed {seed} FAILED"));
    match &ending.report {
        Ok(report) => {
            for violation in report.violations.iter().take(10) {
                tell(&format!("  {violation}"));
            }
        }
        Err(why) => tell(&format!("  {why}")),
    }
    let faults = &arguments.faults;
    tell(&format!(
        "repeat: cargo run --profile simulation -p simulation -- --seed {seed} --faults {faults} --trace --plan"
    ));
}

/// Says the least that breaks it.
fn least(ending: &Ended, kinds: &[Kind], options: Options) {
    let violations = ending.report.iter().flat_map(|report| &report.violations);
    if let Some(first) = violations.into_iter().next() {
        let shrunk = shrink(&Plan::of(ending.seed, kinds), first, options, SHRINKING);
        tell(&format!(
            "the least of it that breaks {:?}, after {} worlds:",
            first.guarantee, shrunk.worlds
        ));
        show(&shrunk.plan);
        tell(&format!("  {}", shrunk.violation));
    }
}

fn show(plan: &Plan) {
    tell(&format!("plan of seed {}: {}", plan.seed, plan.faults));
    tell(&format!(
        "  clocks: {:?}, feed {:#}; {} shards",
        plan.skews, plan.feed_skew, plan.shards
    ));
    for step in &plan.steps {
        tell(&format!("  {step}"));
    }
}

/// To standard output; who has closed it does not want to know.
fn tell(line: &str) {
    let _closed = writeln!(io::stdout(), "{line}");
}
