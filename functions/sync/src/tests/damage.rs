//! Files that are not whole: nothing is removed, and a full file after them applies.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use shared::store::runs::FileOutcome;

use super::bench::{Bench, stock_file};

const ROWS: usize = 300;

/// A file whose first row is new.
fn with_new(number: usize) -> String {
    let full = stock_file(ROWS);
    let (header, rows) = full.split_once('\n').unwrap();
    format!("{header}\nNEW-{number},main,1\n{rows}")
}

async fn assert_whole_again(bench: &Bench, added: usize) {
    let full = stock_file(ROWS);
    let seen: String = (0..added)
        .map(|number| format!("NEW-{number},main,1\n"))
        .collect();
    let report = bench.read("s.csv", format!("{full}{seen}")).await;
    assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
    assert_eq!(report.counts.removed, 0);
    assert!(bench.feed().await.suspicions.is_empty());
}

/// A plain file cut at any kilobyte, and at 5, 50 and 95 %.
#[tokio::test(start_paused = true)]
async fn a_file_cut_anywhere_removes_nothing_and_brings_in_what_is_new() {
    let bench = Bench::with("grace = 2").await;
    assert_whole_again(&bench, 0).await;
    let length = with_new(0).len();
    let kilobytes = (1..=length / 1024).map(|kilobyte| kilobyte * 1024);
    let shares = [5, 50, 95].map(|percent| length * percent / 100);
    for (number, cut) in kilobytes.chain(shares).enumerate() {
        let file = with_new(number);
        let report = bench.read("s.csv", &file.as_bytes()[..cut]).await;
        assert_eq!(report.counts.removed, 0, "cut at {cut}");
        let stock = bench.stock().await;
        assert_eq!(stock[&format!("NEW-{number}")], 1, "cut at {cut}");
        let full = stock_file(ROWS);
        for row in full.lines().skip(1) {
            let (sku, on_hand) = row.split_once(",main,").unwrap();
            // In particular the last row's number has not lost a digit.
            assert_eq!(stock[sku].to_string(), on_hand, "cut at {cut}");
        }
        if !file[..cut].ends_with('\n') {
            assert_eq!(report.outcome, FileOutcome::Suspect, "cut at {cut}");
            let suspicions = bench.feed().await.suspicions;
            assert!(!suspicions.is_empty(), "cut at {cut}");
        }
        assert_whole_again(&bench, number + 1).await;
    }
}

async fn assert_refused(bench: &Bench, name: &str, content: &[u8], words: &str) {
    let before = bench.stock().await;
    let feed = bench.feed().await;
    let report = bench.read(name, content).await;
    assert_eq!(report.outcome, FileOutcome::Refused, "{report:?}");
    assert!(report.sentences[0].contains(words), "{report:?}");
    assert_eq!(bench.stock().await, before);
    let after = bench.feed().await;
    assert_eq!(after.suspicions.len(), 1);
    assert_eq!(after.succeeded_at, feed.succeeded_at);
    assert_eq!(after.snapshot_at, feed.snapshot_at);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_gzip_that_is_cut_or_corrupt_is_not_applied_at_all() {
    let bench = Bench::with("").await;
    bench.read("s.csv.gz", gzip(&stock_file(ROWS))).await;
    assert_eq!(bench.there().await, ROWS);
    let whole = gzip(&with_new(0));
    for cut in [whole.len() / 2, whole.len() - 1] {
        assert_refused(&bench, "s.csv.gz", &whole[..cut], "gzip").await;
    }
    let mut corrupt = whole.clone();
    let crc = corrupt.len() - 6;
    corrupt[crc] ^= 1;
    assert_refused(&bench, "s.csv.gz", &corrupt, "gzip").await;
    assert_eq!(bench.files_in("error").len(), 3);
    let report = bench.read("s.csv.gz", whole).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 1)
    );
    assert!(bench.feed().await.suspicions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_checksum_decides_and_goes_where_its_file_goes() {
    let bench = Bench::with("ready = \"checksum\"").await;
    let file = stock_file(5);
    let hash = hex::encode(Sha256::digest(&file));
    bench.drop("s.csv.sha256", format!("{hash}  s.csv\n"));
    let report = bench.read("s.csv", &file).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    assert_eq!(bench.files_in("archive").len(), 2);
    bench.drop("s.csv.sha256", format!("{hash}  s.csv\n"));
    let cut = &file.as_bytes()[..file.len() - 14];
    assert!(cut.ends_with(b"\n"));
    assert_refused(&bench, "s.csv", cut, "checksum").await;
    assert_eq!(bench.files_in("error").len(), 2);
    assert!(bench.files_in("processing").is_empty());
}

#[tokio::test(start_paused = true)]
async fn counts_that_do_not_agree_refuse_the_file() {
    let bench =
        Bench::with("ready = \"done_marker\"\nformat = { trailer = \"TRAILER,{rows}\" }").await;
    let close = |rows: usize, count: usize| format!("{}TRAILER,{count}\n", stock_file(rows));
    bench.drop("s.csv.done", "5");
    let report = bench.read("s.csv", close(5, 5)).await;
    assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
    bench.drop("s.csv.done", "");
    assert_refused(&bench, "s.csv", close(4, 5).as_bytes(), "5 rows").await;
    bench.drop("s.csv.done", "5");
    assert_refused(&bench, "s.csv", close(4, 4).as_bytes(), "done marker").await;
    bench.drop("s.csv.done", "");
    assert_refused(&bench, "s.csv", stock_file(5).as_bytes(), "closing line").await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_no_stock_file_is_refused() {
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(5)).await;
    assert_refused(&bench, "s.csv", b"<html>404</html>\n", "HTML").await;
    assert_refused(&bench, "s.csv", b"sku,title\nSKU-1,Oil\n", "quantity").await;
    // What it has, and what to set.
    assert_refused(&bench, "s.csv", b"Ref,title\n1,Oil\n", "Ref, title").await;
    assert_refused(&bench, "s.csv", b"Ref,title\n1,Oil\n", "format.columns").await;
    assert_refused(&bench, "s.csv", b"title,price\nOil,5\n", "neither").await;
}

#[tokio::test(start_paused = true)]
async fn what_of_a_file_was_applied_is_said_when_it_is_put_among_the_errors() {
    let bench = Bench::with("").await;
    bench.read("s.csv", stock_file(ROWS)).await;
    let file = with_new(1);
    let said = async |report: &shared::store::runs::FileReport| {
        let told = bench.feed().await.suspicions.join(" ");
        assert!(report.sentences.join(" ").starts_with(&told));
        told
    };
    // Cut in the midst of a row.
    let cut = file.rfind("main").unwrap();
    let report = bench.read("s.csv", &file.as_bytes()[..cut]).await;
    assert_eq!(report.outcome, FileOutcome::Suspect);
    assert_eq!(bench.files_in("error").len(), 1);
    assert_eq!(bench.stock().await["NEW-1"], 1);
    let told = said(&report).await;
    let applied = "Its usable rows were applied, and nothing was removed.";
    assert!(told.ends_with(applied), "{told}");

    // No row of it says how much there is.
    let report = bench
        .read(
            "s.csv",
            "sku,location,on_hand\nSKU-1,main,?\nSKU-2,main,?\n",
        )
        .await;
    assert_eq!(report.outcome, FileOutcome::Suspect);
    let told = said(&report).await;
    assert!(told.contains("No row of it was usable"), "{told}");
    assert!(!told.contains("usable rows were applied"), "{told}");

    // Without what a row is about.
    let report = bench.read("s.csv", "colour,main\nred,2\n").await;
    assert_eq!(report.outcome, FileOutcome::Refused);
    let told = said(&report).await;
    assert!(told.ends_with("Nothing of it was applied."), "{told}");

    // Where its settings have become others in the midst of it.
    let more = stock_file(1_000).replace("SKU-", "MORE-");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    bench.drop("s.csv", more);
    bench.tick().await;
    while !bench.stock().await.contains_key("MORE-0") {
        bench.deliver(jiff::SignedDuration::ZERO).await;
    }
    assert!(!bench.stock().await.contains_key("MORE-999"));
    bench.reconfigure("format = { delimiter = \";\" }").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    bench.drain().await;
    let report = bench.last_run().await.files[0].clone();
    assert_eq!(report.outcome, FileOutcome::Refused, "{report:?}");
    let told = said(&report).await;
    let applied = "Some of its rows had been applied before that, and stay so.";
    assert!(told.ends_with(applied), "{told}");
}
