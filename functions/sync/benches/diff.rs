//! A file against what is held: both readings of a run, and the comparison between them.

use std::fs;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::{SignedDuration, Timestamp};
use shared::config::Config;
use shared::domain::Position;
use shared::domain::event::{Level, Version};
use shared::domain::position::{PositionChange, Sources};
use shared::installation::Installation;
use sync::rehearse;

const ROWS: usize = 50_000;
/// One row in so many says something new.
const CHANGED: usize = 1_000;
const CONFIG: &str = r#"
[account]
name = "Bench"
zone = "UTC"
currency = "EUR"
[locations.main]
name = "Main"
kind = "warehouse"
[connectors.erp]
kind = "files"
url = "/nowhere"
"#;

fn write(path: &Path) {
    let mut text = String::from("sku,on_hand,title,updated_at\n");
    for number in 0..ROWS {
        let on_hand = if number % CHANGED == 0 { 3 } else { 7 };
        text.push_str(&format!(
            "OIL-{number:07},{on_hand},\"Engine oil, number {number}\",2026-11-20T06:00:00Z\n"
        ));
    }
    fs::write(path, text).expect("write a file");
}

fn held(number: usize) -> Position {
    let change = PositionChange::Level {
        called: None,
        source: "erp".parse().expect("a name"),
        level: Level {
            on_hand: 7,
            ..Level::default()
        },
        version: Version::at(Timestamp::UNIX_EPOCH),
    };
    let product = format!("OIL-{number:07}").parse().expect("a product");
    let location = "main".parse().expect("a location");
    Position::unknown(product, location)
        .after(&change, &Sources::default())
        .expect("a level can be stated")
        .expect("the first level is news")
}

fn diff(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("stock.csv");
    write(&file);
    let config = Config::check(CONFIG, "bench.toml").expect("a configuration");
    let installation = Installation::new(1, config).expect("a configuration");
    let erp = "erp".parse().expect("a name");
    let stock: Vec<_> = (0..ROWS).map(held).collect();
    let written = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 57);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("diff");
    group
        .throughput(Throughput::Elements(ROWS as u64))
        .sample_size(20);
    group.bench_function("50,000 rows, 50 of them new", |bencher| {
        bencher.iter(|| {
            let read = rehearse(&installation, &erp, &file, written, stock.iter().cloned());
            let read = runtime.block_on(read).expect("the file can be read");
            assert_eq!(read.differing, (ROWS / CHANGED) as u64, "{read:?}");
        });
    });
    group.finish();
}

criterion_group!(benches, diff);
criterion_main!(benches);
