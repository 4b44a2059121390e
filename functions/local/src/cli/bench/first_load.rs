//! A file of which nothing is known yet: each row becomes a position with its ledger row, as in any
//! other run. This is what a first load costs, and the most that a run can cost.

use std::time::Instant;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use clap::Args;
use jiff::SignedDuration;
use shared::run_queue::{Job, Started};

use super::figures::{self, Figures};
use super::sink::Arrivals;
use super::world::{SOURCE, World};
use super::{BenchError, during, feed};

/// A folder, and a file that counts as whole as soon as it is seen.
const FOLDER: &str =
    "kind = \"files\"\nlocations = { main = \"main\" }\nurl = \"{drop}\"\nstable_for = \"0s\"";
/// Longer than any load.
const LIMIT: SignedDuration = SignedDuration::from_hours(6);

/// How large a file.
#[derive(Debug, Args)]
pub(super) struct Rows {
    /// Rows of the file.
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(asked: &Rows) -> Result<Figures, BenchError> {
    let alerts = Arrivals::expecting(0);
    let world = World::open(FOLDER, alerts.listen().await?).await?;
    let file = world.home.drop_folder().join("stock.csv");
    feed::write(&file, asked.rows, usize::MAX).map_err(during("write a file"))?;
    let source = SOURCE.parse().map_err(during("name a source"))?;
    let started = world
        .stack
        .sync
        .start(&source)
        .await
        .map_err(during("queue a run"))?;
    let (Started::Queued { slot } | Started::Running { slot }) = started;
    let before = world.stack.spent();
    let begun = Instant::now();
    // The queue is connected to nothing here, so its message is handed over.
    let job = Job {
        connector: source.clone(),
        slot,
    };
    let mut message = SqsMessage::default();
    message.message_id = Some("bench".to_owned());
    message.body = Some(serde_json::to_string(&job).map_err(during("queue a run"))?);
    let mut event = SqsEvent::default();
    event.records.push(message);
    let deadline = world.aws.clock().now() + LIMIT;
    let answer = world.stack.sync.jobs(event, deadline).await;
    let took = begun.elapsed();
    let spent = world.stack.spent() - before;
    let runs = world
        .stack
        .store
        .runs(&source, None, 1)
        .await
        .map_err(during("look up the run"))?;
    let added: u64 = runs
        .items
        .iter()
        .flat_map(|run| &run.files)
        .map(|file| file.counts.added)
        .sum();
    let rows = u64::try_from(asked.rows).map_err(during("count rows"))?;
    let failed = u64::try_from(answer.batch_item_failures.len()).map_err(during("count runs"))?;
    #[expect(clippy::cast_precision_loss, reason = "a count of rows, for people")]
    let each = rows as f64;
    Ok(Figures::default()
        .count("rows", rows)
        .number("seconds", took.as_secs_f64())
        .number("rows_per_second", figures::per_second(rows, took))
        .number("read_units_per_row", spent.read / each)
        .number("write_units_per_row", spent.write / each)
        .optional("peak_memory_mb", figures::peak_memory_mb())
        .fault("failed_runs", failed)
        .fault("not_added", rows.saturating_sub(added)))
}
