//! One world, from its beginning to its verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lotwire::engine::{Consumption, Pump};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::{self, Shown, Violation};
use crate::fakes::people;
use crate::faults::Kind;
use crate::history::History;
use crate::places::Rules;
use crate::plan::{Act, File, Plan};
use crate::trace::Trace;
use crate::twin;
use crate::world::{World, WorldError};

/// How a world is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether the trace is written to standard output as it goes.
    pub trace: bool,
    /// Whether vendors lose every nth message that they took: a world that is broken on purpose.
    pub forgetful: Option<usize>,
}

/// What came of a world.
#[derive(Debug)]
pub struct Report {
    /// What was broken, if anything.
    pub violations: Vec<Violation>,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<Kind, u64>,
    /// What happened in it, in numbers.
    pub numbers: Numbers,
    /// The hash of its trace.
    pub hash: String,
    /// The stock in the end, if it came to one.
    pub shown: Option<Shown>,
    /// What each key of the table took, in a world where that is counted: one in [`COUNTED`], because it
    /// takes time.
    pub consumption: Consumption,
}

/// Of so many seeds, what one's world takes of the table is counted by key.
const COUNTED: u64 = 16;

/// What happened in a world, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Webhooks and requests that were acknowledged.
    pub acknowledged: u64,
    /// Tries that these took.
    pub tries: u64,
    /// Ledger rows.
    pub ledger: u64,
    /// Alert revisions.
    pub revisions: u64,
    /// Requests at vendors.
    pub asked: u64,
    /// Changes of the table.
    pub changes: u64,
    /// Virtual minutes.
    pub minutes: u64,
}

impl std::ops::AddAssign for Numbers {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.tries += other.tries;
        self.ledger += other.ledger;
        self.revisions += other.revisions;
        self.asked += other.asked;
        self.changes += other.changes;
        self.minutes += other.minutes;
    }
}

/// When the feed server puts down a whole file once the faults have ended, and has it read, and when the
/// next one: what is missing is removed with the second.
const FIRST_FILE: Duration = Duration::from_secs(2 * 60);
const SECOND_FILE: Duration = Duration::from_secs(3 * 60);
/// How often after that: often enough for nobody to be told that the feed is stale.
const FILE_EVERY: Duration = Duration::from_secs(20 * 60);
/// How long the world is left alone at least.
const QUIET: Duration = Duration::from_secs(7 * 60);
/// How long it may take to settle: the last waits of the back-off take hours.
const LONGEST: Duration = Duration::from_secs(40 * 3_600);
/// More changes than the largest world makes, many times over: one that makes so many goes round in a
/// circle and will not settle.
const MOST_CHANGES: usize = 20_000;
/// How often the world is looked at while it settles.
const LOOK_EVERY: Duration = Duration::from_secs(2 * 60);
/// Between so many looks the clock is run at least once, whether anything is due or not.
const RUN_EVERY: u32 = 5;
/// Nobody waits for anything for so long: then the world is as it will be.
const STILL: Duration = Duration::from_secs(2 * 60);

/// Runs a world; some of them twice, the second time without faults, for the stock must come to the same.
pub fn run(plan: &Plan, options: Options) -> Result<Report, WorldError> {
    let mut report = alone(plan, options)?;
    if twin::has_one(plan)
        && let Some(shown) = &report.shown
    {
        let quiet = Options {
            trace: false,
            ..options
        };
        let twin = alone(&twin::of(plan), quiet)?;
        let differing = twin::differing(plan, shown, twin.shown.as_ref());
        report.violations.extend(differing);
    }
    Ok(report)
}

/// Runs a world on a runtime of its own.
fn alone(plan: &Plan, options: Options) -> Result<Report, WorldError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(live(plan, options))
}

async fn live(plan: &Plan, options: Options) -> Result<Report, WorldError> {
    let out = options.trace.then(|| Box::new(std::io::stdout()) as _);
    let trace = Arc::new(Trace::new(out));
    let world = World::new(plan.clone(), Arc::clone(&trace), options.forgetful)?;
    let world = Arc::new(world);
    if plan.seed.is_multiple_of(COUNTED) {
        world.aws.tables().count_usage();
    }
    people::configure(&world, Rules::default()).await;
    let pump = world.stack.start_sharded(plan.shards)?;
    for step in &plan.opening {
        world.act(step).await;
    }
    pump.idle().await;

    world.saboteur.begin(world.began);
    let mut busy = JoinSet::new();
    for step in plan.steps.clone() {
        let world = Arc::clone(&world);
        busy.spawn(async move { world.act(&step).await });
    }
    let mut history = History::default();
    tokio::time::sleep_until(world.began + plan.faults.until).await;
    world.saboteur.end();
    trace.note(|| "the faults have ended".to_owned());

    let settled = settle(&world, &pump, &mut busy, &mut history).await?;
    if settled {
        pump.idle().await;
    }
    history.read_on(&world.aws)?;
    let verdict = check::all(&world, &history, settled).await;
    let numbers = numbers(&world, &history);
    // The configuration names the feed's folder, which is another one in every run.
    let changes = history.changes().iter();
    for change in changes.filter(|change| change.pk != "CONFIG") {
        trace.note(|| change.to_string());
    }
    drop(pump);
    Ok(Report {
        violations: verdict.violations,
        faults: world.saboteur.counts(),
        numbers,
        hash: trace.hash(),
        shown: verdict.shown,
        consumption: world.aws.tables().take_usage(),
    })
}

/// Lets everybody finish, and time heal; false if that takes too long, or nothing comes to rest.
async fn settle(
    world: &Arc<World>,
    pump: &Pump,
    busy: &mut JoinSet<()>,
    history: &mut History,
) -> Result<bool, WorldError> {
    let ended = Instant::now();
    let files = world.plan.steps.iter();
    let files = files
        .filter(|step| matches!(step.act, Act::File(_)))
        .count();
    let first = u32::try_from(files).unwrap_or(0) + 101;
    let mut number = first;
    let mut next_file = ended + FIRST_FILE;
    let mut quiet_since = None;
    let mut looks = 0_u32;
    while ended.elapsed() < LONGEST && history.changes().len() < MOST_CHANGES {
        if Instant::now() >= next_file {
            let mut file = File::whole(number, &world.plan.feed);
            if let Some(sku) = &world.plan.blank {
                file.blank(sku);
            }
            world.put_down(&file);
            next_file += if number == first {
                SECOND_FILE
            } else {
                FILE_EVERY
            };
            number += 1;
            // The schedule would have it read within a quarter of an hour; if this fails, it still will.
            let fired = pump.fire("sync").await;
            world.trace.note(|| format!("sync {fired:?}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        while busy.try_join_next().is_some() {}
        history.read_on(&world.aws)?;
        looks += 1;
        let next = Instant::now() + LOOK_EVERY;
        let idle = !looks.is_multiple_of(RUN_EVERY) && !is_due(world, history, next);
        world.saboteur.rest(idle.then_some(next));
        let quiet = busy.is_empty() && history.nothing_pends();
        quiet_since = match quiet_since {
            Some(since) if quiet => Some(since),
            _ if quiet => Some(Instant::now()),
            _ => None,
        };
        let healed = quiet_since.is_some_and(|since: Instant| since.elapsed() >= STILL);
        if healed && ended.elapsed() >= QUIET && world.feed_is_read() {
            if !world.plan.drops_lists || !world.plan.has_lists() || world.are_lists_dropped() {
                return Ok(true);
            }
            // Once all of them are read: of others nobody could say whether they still were.
            world.drop_lists().await;
            quiet_since = None;
        }
    }
    Ok(false)
}

/// Whether anything falls due for the clock by then. It finds that out by 32 queries a minute, which would be
/// half of all calls of a world that waits for its last back-off.
fn is_due(world: &World, history: &History, by: Instant) -> bool {
    let ahead = SignedDuration::try_from(by - Instant::now()).unwrap_or_default();
    let by = world.clock.now() + ahead;
    history
        .next_due()
        .is_some_and(|due| due <= by.as_millisecond())
}

fn numbers(world: &World, history: &History) -> Numbers {
    let told = world.records.told();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let rows = |kind: &str| count(history.of_kind(kind).count());
    Numbers {
        acknowledged: count(told.iter().filter(|one| one.acknowledged.is_some()).count()),
        tries: told.iter().map(|one| u64::from(one.tries)).sum(),
        ledger: rows("ledger"),
        revisions: rows("alert"),
        asked: count(world.vendors.asked().len()),
        changes: count(history.changes().len()),
        minutes: u64::try_from(world.age().as_mins()).unwrap_or(0),
    }
}
