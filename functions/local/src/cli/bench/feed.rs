//! A file, read as a scheduled run reads it: twice, and compared with what is held. Nothing is applied,
//! and what is held comes from no table, so that this is the reading alone.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use shared::domain::Position;
use shared::domain::event::Change;
use shared::domain::position::{PositionChange, Sources};
use shared::installation::Installation;

use super::figures::{self, Figures};
use super::world::{self, Home, PLENTY, SOURCE};
use super::{BenchError, during};

/// Every so many rows say something new.
const CHANGED_EVERY: usize = 1_000;

/// How large a file.
#[derive(Debug, Args)]
pub(super) struct Rows {
    /// Rows of the file.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(asked: &Rows) -> Result<Figures, BenchError> {
    let home = Home::make()?;
    let source = format!(
        "kind = \"files\"\nlocations = {{ main = \"main\" }}\nurl = \"{}\"",
        home.drop_folder().display()
    );
    let nobody = ([127, 0, 0, 1], 9).into();
    let installation = Installation::new(1, world::config(&source, nobody)?)
        .map_err(during("read the configuration"))?;
    let now = Clock::system().now();
    let file = home.drop_folder().join("stock.csv");
    let bytes = write(&file, asked.rows, CHANGED_EVERY).map_err(during("write a file"))?;
    let source = SOURCE.parse().map_err(during("name a source"))?;
    let yesterday = now - SignedDuration::from_hours(24);
    figures::forget_peak_memory();
    let memory_before = figures::peak_memory_mb();
    let begun = Instant::now();
    let held = (0..asked.rows).filter_map(|number| held(number, yesterday).ok());
    let read = sync::rehearse(&installation, &source, &file, now, held)
        .await
        .map_err(during("read the file"))?;
    let took = begun.elapsed();
    let rows = u64::try_from(asked.rows).map_err(during("count rows"))?;
    Ok(Figures::default()
        .count("rows", rows)
        .number("megabytes", megabytes(bytes))
        .count("known", read.known)
        .count("differing", read.differing)
        .fault("unusable", read.unusable)
        .fault("absent", read.absent)
        .number("seconds", took.as_secs_f64())
        .number("rows_per_second", figures::per_second(rows, took))
        .optional("memory_before_mb", memory_before)
        .optional("peak_memory_mb", figures::peak_memory_mb()))
}

/// Writes a file of so many rows, of which each `changed_every`th says that less is left.
pub(super) fn write(path: &Path, rows: usize, changed_every: usize) -> std::io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "sku,location,on_hand,title,updated_at")?;
    for number in 0..rows {
        let sold = i64::from(number % changed_every == changed_every - 1);
        let (sku, on_hand) = (world::product(number), PLENTY - sold);
        writeln!(
            file,
            "{sku},main,{on_hand},Engine oil 5W-40 number {number},"
        )?;
    }
    file.flush()?;
    Ok(file.get_ref().metadata()?.len())
}

/// What is held of a product: what the file before this one said.
fn held(number: usize, at: Timestamp) -> Result<Position, BenchError> {
    let event = world::plenty(&world::product(number), at)?;
    let Change::LevelSet {
        product,
        location,
        level,
        version,
        ..
    } = event.change
    else {
        return Err(during("state a level")("it is something else"));
    };
    let change = PositionChange::Level {
        called: None,
        source: event.source,
        level,
        version,
    };
    let position = Position::unknown(product, location)
        .after(&change, &Sources::default())
        .map_err(during("state a level"))?;
    position.ok_or_else(|| during("state a level")("it says nothing"))
}

fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a size, for people")]
    let bytes = bytes as f64;
    bytes / 1_048_576.0
}
