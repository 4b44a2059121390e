//! How long a first load takes on AWS, by a model: each call of the table takes its time, and each row
//! its share of a processor, on a clock that stands still while nobody waits.
//!
//! What is measured on some thousands of rows is scaled to a million; that the time grows with the rows,
//! and with nothing else, is part of what is shown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use lotwire::engine::{Call, Interference, Service, Verdict};
use shared::domain::event::{Change, StockEvent};
use shared::domain::position::Sources;
use shared::store::runs::RunState;
use shared::store::spent::Units;
use tokio::time::Instant;

use super::bench::{Bench, Setup, erp};
use crate::batch::TOGETHER;

/// What DynamoDB takes for a read, and for a write or a transaction.
const READ: Duration = Duration::from_millis(5);
const WRITE: Duration = Duration::from_millis(10);
/// What one row with a title takes of a whole processor, and one vehicle: with all that is asked of the
/// table for it, and without what the table itself does. `what_a_row_takes_of_a_processor` measures it.
const ROW: Duration = Duration::from_micros(250);
const VEHICLE: Duration = Duration::from_micros(1_200);
/// The same for reading a row, which each invocation does twice from the file's beginning; both together.
const READING: Duration = Duration::from_micros(7);
/// The share of a processor that a function of 512 MB has, and one of 1,769 MB.
const SHARES: [f64; 2] = [0.29, 1.0];
/// What an invocation may take, less what a run keeps back, less its start and the download.
const INVOCATION: Duration = Duration::from_secs(300 - 10 - 5);
const START: Duration = Duration::from_secs(5);
const ROWS: u32 = 1_000_000;

/// A table behind a network, and the processor that works with it.
struct Aws {
    /// What a transaction takes of the processor.
    each: Duration,
    /// When the processor is done with what it has.
    free_at: Mutex<Instant>,
    transactions: AtomicU64,
}

impl Aws {
    fn with(each: Duration) -> Arc<Self> {
        Arc::new(Self {
            each,
            free_at: Mutex::new(Instant::now()),
            transactions: AtomicU64::new(0),
        })
    }
}

#[async_trait]
impl Interference for Aws {
    async fn before(&self, call: &Call) -> Verdict {
        if call.service == Service::DynamoDb {
            let operation = call.operation.as_str();
            if operation == "TransactWriteItems" {
                self.transactions.fetch_add(1, Ordering::SeqCst);
                let done = {
                    let mut free_at = self.free_at.lock().unwrap();
                    *free_at = Instant::now().max(*free_at) + self.each;
                    *free_at
                };
                tokio::time::sleep_until(done).await;
            }
            let is_read = matches!(operation, "GetItem" | "BatchGetItem" | "Query");
            tokio::time::sleep(if is_read { READ } else { WRITE }).await;
        }
        Verdict::Proceed
    }
}

fn titled(rows: u32) -> String {
    let rows = (0..rows).map(|n| format!("SKU-{n},main,{},\"Oil, number {n}\"\n", n % 90));
    format!("sku,location,on_hand,title\n{}", rows.collect::<String>())
}

/// Vehicles of twenty models at two rooftops.
fn vehicles(rows: u32) -> String {
    let rows = (0..rows).map(|n| {
        let (model, rooftop) = (n % 20, ["main", "D-001"][n as usize / 20 % 2]);
        format!("SJAAX14V4RC{n:06},{rooftop},Bentley,Model {model}\n")
    });
    format!("vin,location,make,model\n{}", rows.collect::<String>())
}

/// The same with the columns of an ordinary stock list, those of `functions/local/sample/units.csv`.
fn described_vehicles(rows: u32) -> String {
    let rows = (0..rows).map(|n| {
        let (model, rooftop) = (n % 20, ["main", "D-001"][n as usize / 20 % 2]);
        format!(
            "SJAAX14V4RC{n:06},BL-{n:04},{rooftop},used,2024,Bentley,Model {model},Speed,coupe,\
             Tourmaline Green,Linen,11840 mi,149950,GBP,2025-11-21,in_stock\n"
        )
    });
    format!(
        "vin,stock_number,location,condition,year,make,model,trim,body,exterior_colour,\
         interior_colour,odometer,price,currency,date_in_stock,state\n{}",
        rows.collect::<String>()
    )
}

/// What a first load of such a file takes, in one invocation without end.
async fn load(file: String, rows: u32, each: Duration) -> (Duration, u64) {
    let aws = Aws::with(each);
    let bench = Bench::of(Setup {
        interference: Arc::clone(&aws) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.drop("s.csv", file);
    bench.tick().await;
    aws.transactions.store(0, Ordering::SeqCst);
    let begun = Instant::now();
    bench.drain().await;
    let run = bench.last_run().await;
    assert_eq!(run.files[0].counts.added, u64::from(rows), "{run:?}");
    (begun.elapsed(), aws.transactions.load(Ordering::SeqCst))
}

/// What a million of these rows take, from what a few and what some more of them took.
fn scaled(few: (u32, Duration), more: (u32, Duration), share: f64) -> Duration {
    let each = (more.1 - few.1) / (more.0 - few.0);
    // Nothing in it grows faster than the rows do.
    let by_few = few.1 / few.0;
    assert!(each <= by_few, "{each:?} a row after {by_few:?}");
    let work = each * ROWS;
    let reading = READING.div_f64(share) * ROWS;
    let invocations = work.as_secs_f64() / (INVOCATION - reading).as_secs_f64();
    work + (START + reading).mul_f64(invocations.ceil())
}

#[tokio::test(start_paused = true)]
async fn a_first_load_of_a_million_rows_with_titles_takes_half_an_hour() {
    for share in SHARES {
        // A row's level and title are two events of a transaction.
        let each = ROW.mul_f64(TOGETHER as f64 / 2.0 / share);
        let (few, more) = (640, 2_560);
        let (short, _) = load(titled(few), few, each).await;
        let (long, transactions) = load(titled(more), more, each).await;
        let full = u64::from(more) * 2 / TOGETHER as u64;
        assert_eq!(transactions, full, "as many rows together as fit");
        let million = scaled((few, short), (more, long), share);
        assert!(
            million <= Duration::from_mins(30),
            "{million:?} with {share} of a processor"
        );
    }
}

/// That the model can tell: one row after the other, each by itself, a million of them take hours.
#[tokio::test(start_paused = true)]
async fn rows_that_are_written_one_after_the_other_take_hours() {
    let aws = Aws::with(ROW / 2);
    let bench = Bench::of(Setup {
        interference: Arc::clone(&aws) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    let authority = bench.authority().await;
    let at = bench.now();
    let begun = Instant::now();
    let rows = 40;
    for n in 0..rows {
        let statement = super::together::row(n, at).statement;
        let described = statement.description.map(Change::Described);
        for (part, change) in [Some(statement.change), described].into_iter().enumerate() {
            let event = StockEvent {
                id: format!("file:one:{n}:{part}").parse().unwrap(),
                source: erp(),
                at,
                actor: None,
                change: change.unwrap(),
            };
            bench.store.apply(&event, &authority).await.unwrap();
        }
    }
    let million = begun.elapsed() / u32::try_from(rows).unwrap() * ROWS;
    assert!(million > Duration::from_hours(2), "{million:?}");
}

#[tokio::test(start_paused = true)]
async fn a_first_load_of_vehicles_is_as_fast_as_the_processor() {
    for share in SHARES {
        let each = VEHICLE.div_f64(share);
        let (few, more) = (40, 160);
        let (short, _) = load(vehicles(few), few, each).await;
        let (long, _) = load(vehicles(more), more, each).await;
        let one = (long - short) / (more - few);
        assert!(
            one <= each + Duration::from_millis(2),
            "{one:?} a vehicle, {each:?} of it at work"
        );
    }
}

/// What each row of a file costs, as docs/capacity.md says.
#[tokio::test(start_paused = true)]
async fn a_row_of_a_file_costs_what_the_page_says() {
    const DOCUMENT: &str = include_str!("../../../../docs/capacity.md");
    const ROWS: [u32; 2] = [640, 1_280];
    let plain = |rows: u32, first: u32| {
        let rows = (0..rows).map(|n| format!("SKU-{n},main,{}\n", first + n % 90));
        format!("sku,location,on_hand\n{}", rows.collect::<String>())
    };
    let known = async |one: String, other: Option<String>| {
        let bench = Bench::with("").await;
        let first = spent_by(&bench, one.clone()).await;
        match other {
            Some(other) => spent_by(&bench, other).await,
            None => first,
        }
    };
    let mut each = Vec::new();
    for (kind, files) in [
        ("first seen", ROWS.map(|rows| (plain(rows, 1), None))),
        (
            "first seen, with a title",
            ROWS.map(|rows| (titled(rows), None)),
        ),
        (
            "vehicle, first seen",
            [40, 80].map(|rows| (described_vehicles(rows), None)),
        ),
        (
            "other than known",
            ROWS.map(|rows| (plain(rows, 1), Some(plain(rows, 2)))),
        ),
        (
            "as known",
            ROWS.map(|rows| (plain(rows, 1), Some(plain(rows, 1)))),
        ),
    ] {
        let [few, more] = files;
        let rows = match kind {
            "vehicle, first seen" => 40.0,
            _ => f64::from(ROWS[1] - ROWS[0]),
        };
        let (few, more) = (known(few.0, few.1).await, known(more.0, more.1).await);
        let units = more - few;
        each.push(format!(
            "| {kind} | {:.1} | {:.1} |",
            units.write / rows,
            units.read / rows
        ));
    }
    let missing: Vec<_> = each.iter().filter(|row| !DOCUMENT.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/capacity.md does not say:\n{missing:#?}"
    );
}

async fn spent_by(bench: &Bench, file: String) -> Units {
    bench.sync.store.take_spent();
    bench.read("s.csv", file).await;
    bench.sync.store.take_spent()
}

/// Tells apart what the table takes of this thread's processor time.
#[derive(Default)]
struct Meter {
    began: AtomicU64,
    table: AtomicU64,
}

fn of_this_thread() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
}

#[async_trait]
impl Interference for Meter {
    async fn before(&self, _: &Call) -> Verdict {
        self.began.store(of_this_thread(), Ordering::SeqCst);
        Verdict::Proceed
    }

    // The table answers at once, so nothing else has been done since.
    async fn after(&self, _: &Call) -> Verdict {
        let took = of_this_thread() - self.began.load(Ordering::SeqCst);
        self.table.fetch_add(took, Ordering::SeqCst);
        Verdict::Proceed
    }
}

/// What a first load of such a file takes of a processor for each row, without the table.
async fn work_of(file: String, rows: u32) -> Duration {
    let meter = Arc::new(Meter::default());
    let bench = Bench::of(Setup {
        interference: Arc::clone(&meter) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.drop("s.csv", file);
    bench.tick().await;
    meter.table.store(0, Ordering::SeqCst);
    let begun = of_this_thread();
    bench.drain().await;
    let took = of_this_thread() - begun - meter.table.load(Ordering::SeqCst);
    let run = bench.last_run().await;
    assert_eq!(run.files[0].counts.added, u64::from(rows), "{run:?}");
    Duration::from_nanos(took) / rows
}

#[tokio::test(start_paused = true)]
#[ignore = "measures: only a release build is as fast as what is deployed"]
async fn what_a_row_takes_of_a_processor() {
    let row = work_of(titled(20_000), 20_000).await;
    let vehicle = work_of(vehicles(4_000), 4_000).await;
    println!("{row:?} a row with a title, {vehicle:?} a vehicle");
    assert!(row <= ROW && vehicle <= VEHICLE, "{row:?}, {vehicle:?}");
}

/// A table that takes so many transactions a second, and refuses the others.
struct Small {
    most: i64,
    second: AtomicI64,
    taken: AtomicI64,
    refused: AtomicU64,
    since: Instant,
}

#[async_trait]
impl Interference for Small {
    async fn before(&self, call: &Call) -> Verdict {
        if call.operation != "TransactWriteItems" {
            return Verdict::Proceed;
        }
        let second = i64::try_from(self.since.elapsed().as_secs()).unwrap();
        if self.second.swap(second, Ordering::SeqCst) != second {
            self.taken.store(0, Ordering::SeqCst);
        }
        tokio::time::sleep(WRITE).await;
        if self.taken.fetch_add(1, Ordering::SeqCst) < self.most {
            return Verdict::Proceed;
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Verdict::Throttle
    }
}

/// A new table takes less than a first load asks of it. The load waits, in the same run.
#[tokio::test(start_paused = true)]
async fn a_table_that_takes_no_more_for_now_is_waited_for() {
    const ROWS: u32 = 1_920;
    const MOST: u32 = 8;
    let small = Arc::new(Small {
        most: i64::from(MOST),
        second: AtomicI64::new(-1),
        taken: AtomicI64::new(0),
        refused: AtomicU64::new(0),
        since: Instant::now(),
    });
    let bench = Bench::of(Setup {
        interference: Arc::clone(&small) as Arc<dyn Interference>,
        ..Setup::with("")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    bench.drop("s.csv", titled(ROWS));
    bench.tick().await;
    let begun = Instant::now();
    // Each invocation has five seconds for it.
    let time = SignedDuration::from_secs(15);
    let (mut invocations, mut came_back) = (0, 0);
    loop {
        let (delivered, returned) = bench.deliver(time).await;
        if delivered == 0 {
            break;
        }
        invocations += delivered;
        came_back += returned;
    }
    assert!(small.refused.load(Ordering::SeqCst) > 0);
    assert!(invocations > 2, "{invocations} invocations");
    assert_eq!(came_back, 0, "none of them failed");
    let run = bench.last_run().await;
    assert_eq!(run.state, RunState::Done);
    assert_eq!(
        bench.there().await,
        ROWS as usize - (ROWS as usize).div_ceil(90)
    );
    let together = u32::try_from(TOGETHER).unwrap();
    let least = Duration::from_secs(u64::from(ROWS * 2 / together / MOST));
    let took = begun.elapsed();
    assert!(took < least * 2, "{took:?}; the table takes {least:?}");
}

/// Rows of one product, each at another place, are written with its title once.
#[tokio::test(start_paused = true)]
async fn a_product_s_title_is_written_once_for_all_its_places() {
    let bench = Bench::with("").await;
    let rows = (0..40).map(|n| {
        let place = ["main", "D-001"][n % 2];
        format!("SKU-{},{place},{n},Oil {}\n", n / 2, n / 2)
    });
    let file = format!("sku,location,on_hand,title\n{}", rows.collect::<String>());
    let report = bench.read("s.csv", file).await;
    assert_eq!((report.counts.added, report.counts.quarantined), (40, 0));
    let mut revisions = BTreeMap::new();
    for n in 0..20 {
        let product = format!("SKU-{n}").parse().unwrap();
        let known = bench.store.product(&product).await.unwrap().unwrap();
        let title = known.title(&Sources::default()).unwrap();
        revisions.insert(title.to_owned(), known.revision);
    }
    let expected = (0..20).map(|n| (format!("Oil {n}"), 1));
    assert_eq!(revisions, expected.collect());
}
