//! Stream records: read from the event, judged by the rules, and each watch's next step. No table, no
//! topic: what one core decides.

use std::hint::black_box;

use aws_lambda_events::event::dynamodb::Event;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evaluate::{Changed, changed, verdicts};
use jiff::Timestamp;
use shared::config::Config;
use shared::domain::watch::{self, Opening, Watch};
use shared::installation::Installation;
use shared::store::alerts::ProductPicture;

const RECORDS: usize = 50;
const RECORD: &str = include_str!("../../../events/evaluate/position-falls.json");

/// A merchant's rules: for everything, for a category, for a place, over a group, for one product.
const CONFIG: &str = r#"
[account]
name = "Bench"
zone = "Europe/Rome"
currency = "EUR"
[locations.north]
name = "North"
kind = "warehouse"
groups = ["warehouses"]
[locations.south]
name = "South"
kind = "warehouse"
groups = ["warehouses"]
[connectors.shopify]
kind = "shopify"
shop = "bench"
[connectors.shopify.webhook]
secret = "env:SHOPIFY"
[channels.room]
kind = "slack"
url = "env:ROOM"
[[routes]]
name = "all"
channels = ["room"]
[[rules]]
name = "everything"
kind = "low_stock"
threshold = 5
[[rules]]
name = "north"
kind = "low_stock"
location = "north"
threshold = 8
[[rules]]
name = "oil"
kind = "low_stock"
category = "oil"
threshold = 12
[[rules]]
name = "together"
kind = "low_stock"
group = "warehouses"
over = "sum"
threshold = 20
[[rules]]
name = "this-one"
kind = "low_stock"
product = "OIL-5W40-1L"
threshold = 10
[[rules]]
name = "gone"
kind = "out_of_stock"
[[rules]]
name = "fast"
kind = "high_demand"
at_least = 3
days = 7
"#;

fn batch() -> String {
    let one: serde_json::Value = serde_json::from_str(RECORD).expect("a sample invocation");
    let records = vec![one["Records"][0].clone(); RECORDS];
    serde_json::json!({ "Records": records }).to_string()
}

/// How many alerts a batch would open.
fn judge(batch: &str, installation: &Installation, now: Timestamp) -> usize {
    let authority = installation.authority();
    let event: Event = serde_json::from_str(batch).expect("an event");
    let mut opened = 0;
    for record in event.records {
        let Ok(Changed::Position { after, .. }) = changed(record) else {
            panic!("a position has changed");
        };
        let mut picture = ProductPicture::default();
        picture
            .positions
            .insert(after.location.clone(), (*after).clone());
        for (_, _, verdict) in verdicts(installation, &authority, &picture, &after, now) {
            let seen = after.revision.into();
            let opening = || Opening {
                alert: "alert".to_owned(),
                cause: None,
            };
            let step = watch::step(&Watch::default(), &verdict, now, &seen, opening);
            opened += usize::from(black_box(step).is_some_and(|step| step.announce.is_some()));
        }
    }
    opened
}

fn records(c: &mut Criterion) {
    let config = Config::check(CONFIG, "bench.toml").expect("a configuration");
    let installation = Installation::new(1, config).expect("a configuration");
    let now = Timestamp::from_second(1_795_356_960).expect("an instant");
    let batch = batch();
    assert!(judge(&batch, &installation, now) >= RECORDS, "each is low");
    let mut group = c.benchmark_group("evaluate");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("50 stream records", |bencher| {
        bencher.iter(|| judge(black_box(&batch), &installation, now));
    });
    group.finish();
}

criterion_group!(benches, records);
criterion_main!(benches);
