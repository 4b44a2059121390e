use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::*;
use crate::feeds::evidence::{Ending, Gzip};
use crate::feeds::format::Delimiter;
use crate::feeds::lines::CHUNK;
use crate::feeds::row::Cell;
use crate::feeds::value::{Condition, DistanceUnit};

const GENERIC: &[u8] = include_bytes!("../../../tests/fixtures/feeds/generic-dms-feed.csv");
const GOOGLE: &[u8] = include_bytes!("../../../tests/fixtures/feeds/google-vehicle-listings.csv");
const META: &[u8] = include_bytes!("../../../tests/fixtures/feeds/meta-automotive.csv");
const CARGURUS: &[u8] = include_bytes!("../../../tests/fixtures/feeds/cargurus.csv");

fn format(text: &str) -> FeedFormat {
    toml::from_str(text).unwrap()
}

fn fields(row: &Row) -> Vec<String> {
    row.fields().map(str::to_owned).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn rows_of(bytes: &[u8], settings: &str) -> Vec<Row> {
    let (rows, bad, evidence) = read_all(bytes, &format(settings));
    assert_eq!(bad, []);
    assert_eq!(evidence.stopped, None);
    rows
}

#[test]
fn a_dealer_export_reads_cell_by_cell() {
    let rows = rows_of(
        GENERIC,
        "distance_unit = 'mi'\ncurrency = 'USD'\nrequired = ['vin', 'price']",
    );
    let [bentley, abarth, bad] = &rows[..] else {
        panic!("{} rows", rows.len());
    };
    assert_eq!(bentley.line(), 2);
    assert_eq!(bentley.text("stock_number"), Cell::Value("BX1042"));
    assert_eq!(bentley.quantity("year"), Cell::Value(2024));
    assert_eq!(bentley.condition(), Cell::Value(Condition::Used));
    assert_eq!(bentley.text("trim"), Cell::Value("Speed"));
    let odometer = bentley.distance("odometer").value().unwrap();
    assert_eq!(
        (odometer.amount, odometer.unit),
        (Decimal::from(2560), Some(DistanceUnit::Miles))
    );
    let price = bentley.money("price").value().unwrap();
    assert_eq!(
        (price.amount, price.currency.as_deref()),
        (Decimal::from(239950), Some("USD"))
    );
    assert_eq!(bentley.money("msrp"), Cell::NoData);
    assert_eq!(
        bentley.text("description"),
        Cell::Value("One owner, full history")
    );
    assert_eq!(bentley.list("image_urls").value().unwrap().len(), 3);
    assert_eq!(abarth.text("vin"), Cell::Value("ZFA31200003123456"));
    assert_eq!(abarth.text("location"), Cell::Absent);
    let Cell::Invalid(invalid) = bad.money("price") else {
        panic!("POA is no price");
    };
    let bad = bad.bad("price", invalid);
    assert_eq!(
        bad.to_string(),
        "line 4, column price: not a number (found \"POA\")"
    );
}

#[test]
fn marketplace_feeds_keep_their_units_and_meanings() {
    let google = rows_of(GOOGLE, "");
    let odometer = google[0].distance("odometer").value().unwrap();
    assert_eq!(
        (odometer.amount, odometer.unit),
        (Decimal::from(2560), Some(DistanceUnit::Miles))
    );
    let price = google[1].money("price").value().unwrap();
    assert_eq!(
        (price.amount, price.currency.as_deref()),
        (Decimal::from(28990), Some("USD"))
    );
    assert_eq!(google[0].condition(), Cell::Value(Condition::Certified));
    assert_eq!(google[1].condition(), Cell::Value(Condition::New));
    assert_eq!(
        google[1].date("date_in_stock"),
        Cell::Value(jiff::civil::date(2026, 1, 3))
    );
    assert_eq!(google[0].text("dealer_id"), Cell::Value("D-001"));

    let meta = rows_of(META, "");
    let odometer = meta[0].distance("odometer").value().unwrap();
    assert_eq!(
        (odometer.amount, odometer.unit),
        (Decimal::from(2560), Some(DistanceUnit::Miles))
    );
    assert_eq!(meta[0].condition(), Cell::Value(Condition::Certified));
    let Cell::Value(address) = meta[0].named("address") else {
        panic!("the address is there");
    };
    let address: serde_json::Value = serde_json::from_str(address).unwrap();
    assert_eq!(address["city"], "Springfield");

    let cargurus = rows_of(CARGURUS, "");
    let conditions: Vec<_> = cargurus
        .iter()
        .map(|row| row.condition().value().unwrap())
        .collect();
    assert_eq!(
        conditions,
        [Condition::Certified, Condition::New, Condition::New]
    );
    assert_eq!(
        cargurus[1].text("description"),
        Cell::Value("He said \"sold as seen\", second line follows")
    );
}

#[test]
fn a_stock_file_never_reads_a_missing_quantity_as_zero() {
    let bytes = "SKU;Lager;Qty\nA;X;5\nB;X;\nC;X;n/a\nD;X;NULL\nE;X;-\nF;X;\"\"\nG;X;0\nH;X;many\n";
    for settings in ["", "quoted_empty = 'empty'"] {
        let rows = rows_of(bytes.as_bytes(), settings);
        let read: Vec<_> = rows.iter().map(|row| row.quantity("on_hand")).collect();
        assert_eq!(read[0], Cell::Value(5));
        assert_eq!(read[1..6], [const { Cell::NoData }; 5]);
        assert_eq!(read[6], Cell::Value(0));
        assert!(matches!(&read[7], Cell::Invalid(invalid) if invalid.found == "many"));
        assert!(
            rows.iter()
                .all(|row| row.quantity("reserved") == Cell::Absent)
        );
    }
}

#[test]
fn a_quoted_empty_text_can_mean_clear_it() {
    let bytes = b"vin,comments,price\n1,\"\",\n2,,\"\"\n";
    let read = |settings| {
        let rows = rows_of(bytes, settings);
        rows.iter()
            .map(|row| row.text("description").value().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(read(""), [None, None]);
    assert_eq!(read("quoted_empty = 'empty'"), [Some(String::new()), None]);
}

#[test]
fn every_delimiter_is_found_and_every_charset_read() {
    let table = "VIN|Make|Colour\n1|Citroën|grün\n2|Škoda|\"schwarz|weiß\"\n";
    for delimiter in ["|", ",", ";", "\t"] {
        let text = table.replace('|', delimiter);
        let utf16 =
            |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        let files = [
            text.clone().into_bytes(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [&b"\xff\xfe"[..], &utf16(u16::to_le_bytes)].concat(),
            [&b"\xfe\xff"[..], &utf16(u16::to_be_bytes)].concat(),
            WINDOWS_1252.encode(&text).0.into_owned(),
            gzip(&[b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ];
        for bytes in files {
            let rows = rows_of(&bytes, "");
            assert_eq!(
                rows[0].text("make"),
                Cell::Value("Citroën"),
                "{delimiter:?}"
            );
            assert_eq!(rows[1].text("make"), Cell::Value("Škoda"));
            let colours = format!("schwarz{delimiter}weiß");
            assert_eq!(rows[1].text("exterior_colour"), Cell::Value(&*colours));
        }
    }
}

#[test]
fn one_row_in_another_charset_spoils_one_row_at_most() {
    let bytes = b"vin,make\n1,Citro\xc3\xabn\n2,Citro\xebn\n3,Mini\n";
    let rows = rows_of(bytes, "");
    assert!(
        rows[..2]
            .iter()
            .all(|row| row.text("make") == Cell::Value("Citroën"))
    );
    let (rows, bad, _) = read_all(bytes, &format("charset = 'utf-8'"));
    assert_eq!(rows.len(), 2);
    assert_eq!((bad[0].line, bad[0].column.as_deref()), (3, Some("make")));
    assert!(bad[0].why.contains("byte 8"), "{}", bad[0]);
}

#[test]
fn bad_rows_are_set_aside_and_the_rest_read() {
    let bytes = b"vin,price\n1,10\n2\n3,30,extra\n4,\"40\"x\n5,\"50\n6,60\n\n,\n7,\"7\n0\"\n8,80\n";
    let (rows, bad, evidence) = read_all(bytes, &FeedFormat::default());
    let vins: Vec<_> = rows
        .iter()
        .map(|row| row.text("vin").value().unwrap())
        .collect();
    assert_eq!(vins, ["1", "6", "7", "8"]);
    assert_eq!(rows[3].line(), 12);
    let lines: Vec<_> = bad.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [3, 4, 5, 6]);
    assert_eq!(
        bad[0].to_string(),
        "line 3: 1 fields, the header has 2 (found \"2\")"
    );
    assert_eq!(bad[2].column.as_deref(), Some("price"));
    assert_eq!((evidence.rows, evidence.bad_rows), (4, 4));
}

#[test]
fn files_without_header_and_with_preamble() {
    let settings = "header = false\nskip_lines = 2\nnames = ['sku', 'ignored', 'on_hand']";
    let bytes = b"Report of 5 January\nall \"stores\nA1,x,5\nB2,y,7\n";
    let rows = rows_of(bytes, settings);
    let read: Vec<_> = rows
        .iter()
        .map(|row| row.quantity("on_hand").value().unwrap())
        .collect();
    assert_eq!(read, [5, 7]);
    assert_eq!(rows[0].line(), 3);
}

#[test]
fn quoting_can_be_off() {
    let rows = rows_of(
        b"sku\ttitle\nA\t\"6 inch\" kit\nB\t\"open\n",
        "quoting = false",
    );
    assert_eq!(rows[0].text("title"), Cell::Value("\"6 inch\" kit"));
    assert_eq!(rows[1].text("title"), Cell::Value("\"open"));
}

#[test]
fn other_things_under_a_feeds_name_are_refused() {
    for (bytes, words) in [
        (&b""[..], "no header"),
        (b"\n\n  \n", "no header"),
        (b"PK\x03\x04rest", "workbook"),
        (b" <!DOCTYPE html><html>", "HTML"),
        (b"hello world\nfoo\n", "no column"),
        (b"vin,\"price\nno end", "cannot be read"),
        (b"vin,vin\n", "positions 1 and 2"),
    ] {
        let (_, _, evidence) = read_all(bytes, &FeedFormat::default());
        let stopped = evidence.stopped.unwrap().to_string();
        assert!(stopped.contains(words), "{stopped}");
    }
    let (_, _, evidence) = read_all(b"make,model\n", &format("required = ['vin', 'make']"));
    let stopped = evidence.stopped.unwrap().to_string();
    assert!(stopped.contains("missing: vin;"), "{stopped}");
}

#[test]
fn the_trailer_is_no_row_and_rows_after_it_are_counted() {
    let settings = "trailer = 'TRAILER,{rows}'";
    let trailer = |text: &str| {
        let (rows, bad, evidence) = read_all(text.as_bytes(), &format(settings));
        assert!(bad.is_empty());
        (rows.len(), evidence.trailer)
    };
    let found = |rows, rows_after| Trailer::Found { rows, rows_after };
    assert_eq!(trailer("vin,price\n1,2\nTRAILER,1\n"), (1, found(1, 0)));
    assert_eq!(
        trailer("vin,price\n1,2\nTRAILER,1\n3,4\n"),
        (2, found(1, 1))
    );
    assert_eq!(trailer("vin,price\n1,2\n"), (1, Trailer::Missing));
    let (_, _, evidence) = read_all(b"vin\n1\n", &FeedFormat::default());
    assert_eq!(evidence.trailer, Trailer::NotDeclared);
}

#[test]
fn the_ending_is_seen() {
    for (text, ending) in [
        ("vin\n1\n", Ending::Newline),
        ("vin\r\n1\r\n", Ending::Newline),
        ("vin\r\n1\r", Ending::HalfNewline),
        ("vin\r1\r", Ending::Newline),
        ("vin\n1", Ending::Bare),
    ] {
        let (rows, _, evidence) = read_all(text.as_bytes(), &FeedFormat::default());
        assert_eq!((rows.len(), evidence.ending), (1, ending), "{text:?}");
    }
}

#[test]
fn limits_hold() {
    let bytes = b"vin,make\n1,aaaaaaaaaa\n2,b\n3,c\n";
    let stopped = |settings: &str, bytes: &[u8]| read_all(bytes, &format(settings)).2.stopped;
    assert_eq!(stopped("max_rows = 3", bytes), None);
    assert_eq!(
        stopped("max_rows = 2", bytes),
        Some(FeedError::TooManyRows { limit: 2 })
    );
    assert_eq!(
        stopped("max_bytes = 20", bytes),
        Some(FeedError::TooManyBytes { limit: 20 })
    );
    assert_eq!(
        stopped("max_expanded_bytes = 20", &gzip(bytes)),
        Some(FeedError::TooMuchText { limit: 20 })
    );
    let (rows, bad, _) = read_all(bytes, &format("max_field_bytes = 9"));
    assert_eq!((rows.len(), bad.len()), (2, 1));
    assert_eq!(bad[0].column.as_deref(), Some("make"));
    let (rows, bad, _) = read_all(bytes, &format("max_row_bytes = 10"));
    assert_eq!((rows.len(), bad.len()), (2, 1));
}

#[test]
fn a_gzip_bomb_is_stopped_by_its_ratio() {
    let mut text = b"vin,make\n".to_vec();
    text.extend(b"1,a\n".repeat(1 << 20));
    let (_, _, evidence) = read_all(&gzip(&text), &format("max_ratio = 50"));
    assert_eq!(evidence.stopped, Some(FeedError::Ratio { limit: 50 }));
    assert!(evidence.text_bytes < 3 << 20, "{}", evidence.text_bytes);
    assert_eq!(evidence.gzip, Gzip::Incomplete);
}

#[test]
fn gzip_vouches_for_itself_or_not() {
    let text = CARGURUS.to_vec();
    let packed = gzip(&text);
    let (plain, _, _) = read_all(&text, &FeedFormat::default());
    let (rows, _, evidence) = read_all(&packed, &FeedFormat::default());
    assert_eq!(evidence.gzip, Gzip::Complete);
    assert_eq!(
        evidence.sha256.unwrap(),
        hex::encode(Sha256::digest(&packed))
    );
    assert_eq!(evidence.text_bytes, text.len() as u64);
    assert_eq!(
        rows.iter().map(fields).collect::<Vec<_>>(),
        plain.iter().map(fields).collect::<Vec<_>>()
    );

    let mut corrupt = packed.clone();
    let crc = corrupt.len() - 8;
    corrupt[crc] ^= 1;
    assert_eq!(
        read_all(&corrupt, &FeedFormat::default()).2.gzip,
        Gzip::Corrupt
    );
    let members = [gzip(b"vin,make\n1,a\n"), gzip(b"2,b\n")].concat();
    let (rows, _, evidence) = read_all(&members, &FeedFormat::default());
    assert_eq!((rows.len(), evidence.gzip), (2, Gzip::Complete));
}

/// A source that never ends by itself and hands out rows, counted.
struct Endless {
    rows: u64,
    pending: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            self.pending =
                format!("{:017},\"some, text\",{}\n", self.rows, self.rows % 9).into_bytes();
            self.rows += 1;
        }
        let count = out.len().min(self.pending.len());
        out[..count].copy_from_slice(&self.pending[..count]);
        self.pending.drain(..count);
        Ok(count)
    }
}

#[test]
fn memory_does_not_grow_with_rows() {
    let source = Endless {
        rows: 0,
        pending: b"vin,make,on_hand\n".to_vec(),
    };
    let mut reader = Reader::open(source, &format("max_rows = 20000")).unwrap();
    let mut expected = 0;
    for row in reader.by_ref() {
        assert_eq!(row.unwrap().quantity("vin"), Cell::Value(expected));
        expected += 1;
    }
    assert_eq!(expected, 20_000);
    assert!(reader.lines.buffer.capacity() <= 4 * CHUNK);
    assert_eq!(
        reader.lines.stopped,
        Some(FeedError::TooManyRows { limit: 20_000 })
    );
}

#[test]
fn memory_does_not_grow_with_a_quote_that_never_closes() {
    let mut bytes = b"vin,make\n1,\"".to_vec();
    bytes.extend(b"x,\n".repeat(400_000));
    let settings = format("max_row_bytes = 100000");
    let mut reader = Reader::open(&bytes[..], &settings).unwrap();
    let first = reader.next().unwrap().unwrap_err();
    assert_eq!((first.line, first.why.contains("max_row_bytes")), (2, true));
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 399_999);
    assert!(reader.lines.buffer.capacity() <= 8 * CHUNK);
}

#[test]
fn memory_does_not_grow_with_a_line_that_never_ends() {
    let mut bytes = b"vin,make\n1,".to_vec();
    bytes.extend(vec![b'x'; 3 << 20]);
    bytes.extend(b"\n2,ok\n");
    let mut reader = Reader::open(&bytes[..], &FeedFormat::default()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap_err().line, 2);
    let row = reader.next().unwrap().unwrap();
    assert_eq!((row.line(), row.text("make")), (3, Cell::Value("ok")));
    assert!(reader.lines.buffer.capacity() <= 8 * CHUNK);
}

#[test]
fn a_source_that_fails_is_not_the_end_of_the_file() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "connection reset",
            ))
        }
    }
    let source = (&b"vin,make\n1,a\n2,b\n"[..]).chain(Fails);
    let mut reader = Reader::open(source, &FeedFormat::default()).unwrap();
    assert_eq!(reader.by_ref().filter(Result::is_ok).count(), 2);
    let evidence = reader.finish();
    assert_eq!(evidence.sha256, None);
    let stopped = evidence.stopped.unwrap();
    assert!(
        matches!(&stopped, FeedError::Read { after: 17, why } if why == "connection reset"),
        "{stopped}"
    );
}

/// Hands out its bytes in pieces of the given sizes, over and over.
struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().unwrap_or(1).min(out.len());
        self.bytes.read(&mut out[..size])
    }
}

/// Bytes in which everything that matters to the reader is frequent.
fn delimited_noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b",\"\n\r;|\t".to_vec()),
        4 => prop::sample::select(b"vin,make 12".to_vec()),
        1 => any::<u8>(),
    ];
    let body = prop::collection::vec(byte, 0..300);
    let head = prop::sample::select(vec![
        &b"vin,make\n"[..],
        b"sku;qty\r\n",
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbfVIN\n",
        b"\x1f\x8b",
    ]);
    (head, body).prop_map(|(head, body)| [head, &body].concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_the_evidence_adds_up(
        bytes in prop_oneof![delimited_noise(), prop::collection::vec(any::<u8>(), 0..300)],
        settings in prop::sample::select(vec![
            "", "quoting = false", "charset = 'utf-8'", "charset = 'utf-16'", "charset = 'windows-1252'",
            "max_row_bytes = 20", "max_field_bytes = 3", "max_rows = 3", "skip_lines = 2",
            "trailer = '{rows}END'", "header = false\nnames = ['vin', 'make']",
        ]),
        packed in any::<bool>(),
    ) {
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let (rows, bad, evidence) = read_all(&bytes, &format(settings));
        prop_assert_eq!(evidence.rows, rows.len() as u64);
        prop_assert_eq!(evidence.bad_rows, bad.len() as u64);
        prop_assert_eq!(evidence.raw_bytes, bytes.len() as u64);
        prop_assert_eq!(evidence.sha256, Some(hex::encode(Sha256::digest(&bytes))));
        for row in &rows {
            prop_assert_eq!(row.fields().count(), row.header().names().len());
        }
        let lines: Vec<u64> = rows.iter().map(Row::line).collect();
        prop_assert!(lines.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn how_the_bytes_arrive_changes_nothing(
        bytes in delimited_noise(),
        sizes in prop::collection::vec(1_usize..7, 1..5),
    ) {
        let settings = FeedFormat::default();
        let (rows, bad, evidence) = read_all(&bytes, &settings);
        let pieces = Pieces { bytes: &bytes, sizes: sizes.into_iter().cycle() };
        match Reader::open(pieces, &settings) {
            Err(error) => prop_assert_eq!(Some(error), evidence.stopped),
            Ok(mut reader) => {
                let (mut rows2, mut bad2) = (Vec::new(), Vec::new());
                for row in reader.by_ref() {
                    match row {
                        Ok(row) => rows2.push(fields(&row)),
                        Err(row) => bad2.push(row),
                    }
                }
                prop_assert_eq!(rows.iter().map(fields).collect::<Vec<_>>(), rows2);
                prop_assert_eq!(bad, bad2);
                prop_assert_eq!(evidence, reader.finish());
            }
        }
    }

    /// On whatever another writer produces, this reader and that writer's own agree.
    #[test]
    fn well_formed_files_read_as_the_csv_crate_reads_them(
        table in prop::collection::vec(prop::collection::vec("[a-zé,\"\r\n| ]{0,6}", 3), 0..20),
        delimiter in prop::sample::select(vec![b',', b'|', b';', b'\t']),
        crlf in any::<bool>(),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
        writer.write_record(["sku", "b", "c"]).unwrap();
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let settings = FeedFormat { delimiter: Delimiter::Byte(delimiter), ..FeedFormat::default() };
        let (rows, bad, _) = read_all(&bytes, &settings);
        prop_assert_eq!(bad, vec![]);
        let read: Vec<_> = rows.iter().map(fields).collect();
        // A row of nothing but delimiters and blanks says nothing.
        let mut oracle = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&bytes[..]);
        let expected: Vec<Vec<String>> = oracle.records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
            .filter(|row: &Vec<String>| row.iter().any(|field| field.contains(|c| c != ' ')))
            .collect();
        prop_assert_eq!(read, expected);
    }

    /// One stray quote costs one row; every other row is read as if nothing had happened.
    #[test]
    fn a_stray_quote_costs_its_own_row_only(
        rows in 2_usize..60,
        victim in any::<prop::sample::Index>(),
        column in 0_usize..3,
    ) {
        let victim = victim.index(rows);
        let mut text = "sku,title,on_hand\n".to_owned();
        for row in 0..rows {
            let mut cells = [format!("A{row}"), format!("\"part, no. {row}\""), row.to_string()];
            if row == victim {
                cells[column] = format!("\"{}", cells[column].trim_matches('"'));
            }
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        let (read, bad, _) = read_all(text.as_bytes(), &FeedFormat::default());
        prop_assert_eq!(bad.len(), 1);
        prop_assert_eq!(bad[0].line, victim as u64 + 2);
        let expected: Vec<String> = (0..rows).filter(|row| *row != victim).map(|row| format!("A{row}")).collect();
        let read: Vec<_> = read.iter().map(|row| row.text("sku").value().unwrap().to_owned()).collect();
        prop_assert_eq!(read, expected);
    }

    /// The only texts that read as zero are zeros.
    #[test]
    fn zero_is_only_ever_read_from_a_zero(cell in "[-0-9a-zA-Z., ]{0,6}") {
        let text = format!("sku,on_hand\nA,\"{cell}\"\n");
        let (rows, _, _) = read_all(text.as_bytes(), &FeedFormat::default());
        if rows[0].quantity("on_hand") == Cell::Value(0) {
            let digits: String = cell.chars().filter(char::is_ascii_alphanumeric).collect();
            prop_assert!(!digits.is_empty() && digits.bytes().all(|byte| byte == b'0'), "{cell:?}");
        }
    }
}
