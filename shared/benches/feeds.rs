//! Files to rows, streaming: how many rows a second one core reads.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shared::feeds::delimited::Reader;
use shared::feeds::format::FeedFormat;

const ROWS: u64 = 20_000;

/// A file of stock, in a few short columns.
fn stock() -> String {
    let mut text = String::from("sku,location,on_hand,title,updated_at\n");
    for number in 0..ROWS {
        text.push_str(&format!(
            "OIL-{number:07},north,{},\"Engine oil 5W-40, number {number}\",2026-11-20T06:00:00Z\n",
            number % 97
        ));
    }
    text
}

/// A file of vehicles, with all that marketplaces ask for.
fn vehicles() -> String {
    let mut text = String::from(
        "vin,stock_number,location,condition,year,make,model,trim,body,exterior_colour,interior_colour,\
         odometer,price,currency,date_in_stock,state,engine,transmission,description,link\n",
    );
    for number in 0..ROWS {
        text.push_str(&format!(
            "SCBCG2ZG7TC{number:06},BL-{number},london,used,2026,Bentley,Continental GT,Speed,coupe,\
             Tourmaline Green,Linen,{} mi,268500,GBP,2026-09-14,in_stock,W12,automatic,\
             \"One owner, \"\"as new\"\".\nServiced here.\",https://cars.example/{number}\n",
            number % 90_000
        ));
    }
    text
}

fn read(text: &str) -> u64 {
    let mut reader =
        Reader::open(text.as_bytes(), &FeedFormat::default()).expect("the header is good");
    let good = reader
        .by_ref()
        .map(|row| row.expect("each row is good"))
        .map(|row| u64::from(black_box(row).line() > 0))
        .sum();
    assert_eq!(good, ROWS, "{:?}", reader.finish());
    good
}

fn feeds(c: &mut Criterion) {
    let mut group = c.benchmark_group("feeds");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    for (name, text) in [("stock", stock()), ("vehicles", vehicles())] {
        group.bench_function(name, |bencher| bencher.iter(|| read(black_box(&text))));
    }
    group.finish();
}

criterion_group!(benches, feeds);
criterion_main!(benches);
