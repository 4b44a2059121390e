use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::feeds::delimited::read_all;
use crate::feeds::format::FeedFormat;

const SAMPLES: [&str; 4] = [
    include_str!("../../../tests/fixtures/feeds/generic-dms-feed.csv"),
    include_str!("../../../tests/fixtures/feeds/google-vehicle-listings.csv"),
    include_str!("../../../tests/fixtures/feeds/meta-automotive.csv"),
    include_str!("../../../tests/fixtures/feeds/cargurus.csv"),
];

/// A sample's rows over and over, until the file has `size` bytes.
fn grown(sample: &str, size: usize) -> Vec<u8> {
    let (header, rows) = sample.split_once("\r\n").unwrap();
    let mut text = format!("{header}\r\n");
    while text.len() < size {
        text.push_str(rows);
    }
    text.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Every 1 KB boundary, and every byte of the last 2 KB.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    let tail = length.saturating_sub(2048);
    (0..tail).step_by(1024).chain(tail..length)
}

fn read(bytes: &[u8], format: &FeedFormat) -> Evidence {
    read_all(bytes, format).2
}

fn comma(settings: &str) -> FeedFormat {
    toml::from_str(&format!("delimiter = ','\n{settings}")).unwrap()
}

fn is_suspect(evidence: &Evidence, expectations: &Expectations) -> bool {
    prove(evidence, expectations) != Proof::Complete
}

#[test]
fn a_plain_file_cut_anywhere_but_at_a_row_end_is_suspect() {
    let format = comma("");
    for sample in SAMPLES {
        let whole = grown(sample, 3 << 10);
        let evidence = read(&whole, &format);
        let unknown = Expectations::default();
        let known = Expectations {
            history: vec![AcceptedRead::from(&evidence)],
            ..Expectations::default()
        };
        let checksum = Expectations {
            sha256: evidence.sha256.clone(),
            ..Expectations::default()
        };
        let size = Expectations {
            size: Some(whole.len() as u64),
            ..Expectations::default()
        };
        let marker = Expectations {
            done_rows: Some(evidence.rows),
            ..Expectations::default()
        };
        for expectations in [&unknown, &known, &checksum, &size, &marker] {
            assert_eq!(prove(&evidence, expectations), Proof::Complete);
        }
        let mut untold = 0;
        for cut in cuts(whole.len()) {
            let part = read(&whole[..cut], &format);
            for expectations in [&checksum, &size, &marker] {
                assert!(
                    is_suspect(&part, expectations),
                    "cut at {cut}: {expectations:?}"
                );
            }
            let at_row_end = whole[..cut].ends_with(b"\r\n");
            assert!(
                at_row_end || is_suspect(&part, &unknown),
                "cut at {cut} passed"
            );
            if !is_suspect(&part, &known) {
                // Documented: nothing can tell. It must at least be whole rows, and most of them.
                untold += 1;
                assert!(at_row_end, "cut at {cut} passed");
                assert!(part.rows as f64 >= 0.7 * evidence.rows as f64);
                assert_eq!(part.bad_rows, 0);
            }
        }
        assert!(untold > 0, "the case that nothing can tell was not met");
    }
}

#[test]
fn a_gzip_file_cut_anywhere_is_suspect() {
    let format = comma("");
    let none = Expectations::default();
    for sample in SAMPLES {
        let packed = gzip(&grown(sample, 3 << 10));
        assert_eq!(prove(&read(&packed, &format), &none), Proof::Complete);
        for cut in cuts(packed.len()) {
            assert!(
                is_suspect(&read(&packed[..cut], &format), &none),
                "cut at {cut}"
            );
        }
    }
}

#[test]
fn a_file_that_closes_with_a_count_is_suspect_if_cut_anywhere() {
    let format = comma("trailer = '#rows={rows}'");
    let none = Expectations::default();
    let mut whole = grown(SAMPLES[3], 3 << 10);
    let rows = read(&whole, &format).rows;
    whole.extend_from_slice(format!("#rows={rows}\r\n").as_bytes());
    assert_eq!(prove(&read(&whole, &format), &none), Proof::Complete);
    // What may go missing is the line end after the count: no row is behind it.
    for cut in cuts(whole.len() - 2) {
        assert!(
            is_suspect(&read(&whole[..cut], &format), &none),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_feed_that_never_ends_its_last_line_is_held_to_that() {
    let format = comma("");
    let mut whole = grown(SAMPLES[3], 6 << 10);
    whole.truncate(whole.len() - 2);
    let evidence = read(&whole, &format);
    let first = prove(&evidence, &Expectations::default());
    assert_eq!(
        first,
        Proof::Suspect {
            reasons: vec![Suspicion::NoFinalNewline]
        }
    );
    let known = Expectations {
        history: vec![AcceptedRead::from(&evidence)],
        ..Expectations::default()
    };
    assert_eq!(prove(&evidence, &known), Proof::Complete);
    let row_end = whole.windows(2).rposition(|pair| pair == b"\r\n").unwrap() + 2;
    let cut = prove(&read(&whole[..row_end], &format), &known);
    assert_eq!(
        cut,
        Proof::Suspect {
            reasons: vec![Suspicion::NewlineAppeared]
        }
    );
}

fn evidence(rows: u64) -> Evidence {
    Evidence {
        rows,
        bad_rows: 0,
        raw_bytes: rows * 10,
        text_bytes: rows * 10,
        sha256: Some(hex::encode(Sha256::digest(b""))),
        gzip: Gzip::No,
        ending: Ending::Newline,
        last_row_bad: false,
        trailer: Trailer::NotDeclared,
        header: vec!["vin".into()],
        stopped: None,
    }
}

#[test]
fn a_short_or_empty_file_is_held_even_if_its_checksum_is_right() {
    let history: Vec<_> = [100, 110, 90, 5]
        .map(|rows| AcceptedRead::from(&evidence(rows)))
        .into();
    let expectations = |rows| Expectations {
        sha256: evidence(rows).sha256,
        history: history.clone(),
        ..Expectations::default()
    };
    assert_eq!(prove(&evidence(70), &expectations(70)), Proof::Complete);
    let Proof::Suspect { reasons } = prove(&evidence(69), &expectations(69)) else {
        panic!("69 of 100 rows passed");
    };
    let sentences: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        sentences,
        [
            "69 rows where 100 are usual.",
            "690 bytes of text where 1000 are usual."
        ]
    );
    let nothing = prove(&evidence(0), &Expectations::default());
    assert_eq!(
        nothing,
        Proof::Suspect {
            reasons: vec![Suspicion::NoRows]
        }
    );
    let allowed = Expectations {
        zero_rows: true,
        ..Expectations::default()
    };
    assert_eq!(prove(&evidence(0), &allowed), Proof::Complete);
}

#[test]
fn bad_rows_do_not_count_as_rows_but_do_count_as_delivered() {
    let mut found = evidence(40);
    found.bad_rows = 60;
    let expectations = Expectations {
        done_rows: Some(100),
        history: vec![AcceptedRead::from(&evidence(100))],
        ..Expectations::default()
    };
    let Proof::Suspect { reasons } = prove(&found, &expectations) else {
        panic!("60 bad rows of 100 passed");
    };
    assert!(
        !reasons
            .iter()
            .any(|reason| matches!(reason, Suspicion::RowCount { .. }))
    );
    assert!(reasons.contains(&Suspicion::FewRows {
        found: 40,
        median: 100
    }));
}

#[test]
fn every_suspicion_is_a_sentence() {
    let refused = read_all(b"", &FeedFormat::default()).2;
    let mut found = evidence(3);
    found.trailer = Trailer::Found {
        rows: 2,
        rows_after: 1,
    };
    found.gzip = Gzip::Corrupt;
    let expectations = Expectations {
        sha256: Some("00".into()),
        size: Some(1),
        done_rows: Some(9),
        ..Expectations::default()
    };
    let mut seen = 0;
    for evidence in [refused, found] {
        let Proof::Suspect { reasons } = prove(&evidence, &expectations) else {
            panic!("passed");
        };
        for sentence in reasons.iter().map(ToString::to_string) {
            seen += 1;
            assert!(
                sentence.ends_with('.') && sentence.starts_with(char::is_uppercase)
                    || sentence.starts_with(char::is_numeric),
                "{sentence}"
            );
        }
    }
    assert!(seen >= 9);
}

proptest! {
    /// Whatever a stopped read looks like otherwise, it is never complete.
    #[test]
    fn a_stopped_read_is_never_complete(rows in 1_u64..1000, checksum in any::<bool>(), zero_rows in any::<bool>()) {
        let mut found = evidence(rows);
        found.stopped = Some(FeedError::Read { after: 7, why: "connection reset".into() });
        let expectations = Expectations {
            sha256: found.sha256.clone().filter(|_| checksum),
            zero_rows,
            ..Expectations::default()
        };
        prop_assert!(is_suspect(&found, &expectations));
    }

    /// Adding an expectation never makes a suspect read complete, except by vouching for its end.
    #[test]
    fn shares_are_monotonous(usual in 1_u64..10_000, found in 1_u64..10_000, less in 0_u64..10_000) {
        let expectations = Expectations {
            history: vec![AcceptedRead::from(&evidence(usual))],
            ..Expectations::default()
        };
        let fewer = found.saturating_sub(less).max(1);
        if is_suspect(&evidence(found), &expectations) {
            prop_assert!(is_suspect(&evidence(fewer), &expectations));
        }
    }
}
