//! Delimited files, plain and packed, under settings of their own.
//!
//! The head holds the feed's settings as `lotwire.toml` has them; the body is the file. A file reads
//! the same however it is cut up on its way, packed as plain, and written out again from its rows.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use shared::feeds::columns::ALIASES;
use shared::feeds::complete::{Expectations, Proof, prove};
use shared::feeds::delimited::{Reader, read_all};
use shared::feeds::drift::SchemaDrift;
use shared::feeds::evidence::{Evidence, Gzip};
use shared::feeds::format::FeedFormat;
use shared::feeds::row::{BadRow, Cell, Row};

use crate::input::split;

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let format: FeedFormat = match toml::from_str(head) {
        Ok(format) => bounded(format),
        Err(error) => {
            assert!(!error.message().is_empty());
            return;
        }
    };
    let (rows, bad_rows, evidence) = read_all(body, &format);
    check(&rows, &bad_rows, &evidence, body);
    if evidence.stopped.is_none() {
        rows.iter().for_each(cells);
        in_pieces(&rows, &evidence, body, &format);
        packed(&rows, &evidence, body, &format);
        written_again(&rows, &evidence, &format);
        let drift = SchemaDrift::between(
            &evidence.header,
            &evidence.header,
            &format,
            &BTreeSet::new(),
            |_, _| true,
        );
        assert!(drift.is_empty(), "{drift:?}");
    }
}

/// Small enough that each limit is met, and that no input takes long.
fn bounded(format: FeedFormat) -> FeedFormat {
    FeedFormat {
        max_rows: format.max_rows.min(10_000),
        max_bytes: format.max_bytes.min(1 << 20),
        max_expanded_bytes: format.max_expanded_bytes.min(1 << 20),
        max_row_bytes: format.max_row_bytes.min(1 << 16),
        ..format
    }
}

fn check(rows: &[Row], bad_rows: &[BadRow], evidence: &Evidence, body: &[u8]) {
    let counted = (evidence.rows, evidence.bad_rows);
    assert_eq!(counted, (rows.len() as u64, bad_rows.len() as u64));
    // A row takes a byte at least, and all but the last a line end of their own.
    assert!(evidence.rows + evidence.bad_rows <= evidence.text_bytes);
    if evidence.gzip == Gzip::No {
        let ends = body
            .iter()
            .filter(|byte| matches!(byte, b'\n' | b'\r'))
            .count();
        assert!(
            rows.len() + bad_rows.len() <= ends + 1,
            "more rows than lines"
        );
    }
    for pair in rows.windows(2) {
        assert!(pair[0].line() < pair[1].line(), "lines do not go up");
    }
    for row in rows {
        assert_eq!(row.fields().count(), evidence.header.len());
    }
    for bad in bad_rows {
        assert!(bad.line >= 1 && !bad.why.is_empty());
        assert!(
            bad.found.chars().count() <= 41,
            "{} characters shown",
            bad.found.len()
        );
    }
    let proof = prove(evidence, &Expectations::default());
    if evidence.stopped.is_some() || matches!(evidence.gzip, Gzip::Incomplete | Gzip::Corrupt) {
        assert_ne!(proof, Proof::Complete, "what was cut short is proved whole");
    }
    let doubted = Expectations {
        sha256: Some("0".repeat(64)),
        ..Expectations::default()
    };
    assert_ne!(
        prove(evidence, &doubted),
        Proof::Complete,
        "another file's checksum"
    );
}

/// Every cell read as everything it could be: what is invalid says why.
fn cells(row: &Row) {
    for (column, _) in ALIASES {
        told(row.quantity(column));
        told(row.decimal(column));
        told(row.date(column));
        told(row.instant(column));
        told(row.flag(column));
        told(row.list(column));
        told(row.money(column));
        told(row.distance(column));
        if row.header().position(column).is_none() {
            assert_eq!(row.text(column), Cell::Absent);
        }
    }
    told(row.condition());
}

fn told<T>(cell: Cell<T>) {
    if let Cell::Invalid(invalid) = cell {
        assert!(!invalid.why.is_empty());
        assert!(invalid.found.chars().count() <= 41);
    }
}

/// A source that gives a few bytes at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = 1 + self.0.len() % 7;
        let count = most.min(out.len());
        self.0.read(&mut out[..count])
    }
}

fn in_pieces(rows: &[Row], evidence: &Evidence, body: &[u8], format: &FeedFormat) {
    let mut reader = Reader::open(Dripping(body), format).expect("it was opened before");
    let again: Vec<Row> = reader.by_ref().filter_map(Result::ok).collect();
    assert_eq!(
        texts(&again),
        texts(rows),
        "other rows when it comes in pieces"
    );
    assert_eq!(
        &reader.finish(),
        evidence,
        "other evidence when it comes in pieces"
    );
}

fn packed(rows: &[Row], evidence: &Evidence, body: &[u8], format: &FeedFormat) {
    if evidence.gzip != Gzip::No {
        return;
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body).expect("memory takes it");
    let packed = packer.finish().expect("memory takes it");
    let format = FeedFormat {
        max_bytes: 1 << 22,
        max_ratio: u64::MAX,
        ..format.clone()
    };
    let (unpacked, _, found) = read_all(&packed, &format);
    assert_eq!(
        texts(&unpacked),
        texts(rows),
        "other rows when it is packed"
    );
    assert_eq!(found.gzip, Gzip::Complete);
    // All but its last byte: the packing itself tells that something is missing.
    let (_, _, found) = read_all(&packed[..packed.len() - 1], &format);
    assert_ne!(
        prove(&found, &Expectations::default()),
        Proof::Complete,
        "cut short"
    );
}

/// The rows written as the simplest of files are the same rows.
fn written_again(rows: &[Row], evidence: &Evidence, format: &FeedFormat) {
    let (true, None) = (format.header, &format.trailer) else {
        return;
    };
    let plain = FeedFormat {
        columns: format.columns.clone(),
        max_field_bytes: usize::MAX,
        max_row_bytes: 1 << 20,
        ..FeedFormat::default()
    };
    let plain = FeedFormat {
        delimiter: String::from(",").try_into().expect("one character"),
        ..plain
    };
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .from_writer(Vec::new());
    writer
        .write_record(&evidence.header)
        .expect("memory takes it");
    for row in rows {
        writer.write_record(row.fields()).expect("memory takes it");
    }
    let text = writer.into_inner().expect("memory takes it");
    let (again, bad_rows, _) = read_all(&text, &plain);
    assert_eq!(bad_rows, [], "rows that were read are not readable");
    assert_eq!(
        texts(&again),
        texts(rows),
        "other rows when they are written again"
    );
}

fn texts(rows: &[Row]) -> Vec<Vec<&str>> {
    rows.iter().map(|row| row.fields().collect()).collect()
}
