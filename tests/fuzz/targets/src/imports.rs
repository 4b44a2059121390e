//! Tables of thresholds and stock, as CSV and as cells.

use std::collections::BTreeMap;

use shared::domain::catalogue::Directory;
use shared::store::imports::{Import, Row};

use crate::input::split;

/// The first row of the page stands on this line of its file.
const FIRST_LINE: u64 = 100;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let places = Directory::default();
    match Import::from_csv(text, FIRST_LINE, &places) {
        Ok(import) => check(&import, text),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let (_, body) = split(bytes);
    if let Ok(rows) = serde_json::from_slice::<Vec<BTreeMap<String, String>>>(body) {
        let import = Import::from_cells(&rows, &places);
        let lines = || 1..=rows.len() as u64;
        assert!(import.rows.iter().all(|row| lines().contains(&row.line)));
        assert!(
            import
                .rejected
                .iter()
                .all(|row| lines().contains(&row.line))
        );
    }
}

fn check(import: &Import, text: &str) {
    let breaks = text
        .bytes()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count() as u64;
    // A line that sets stock, a threshold and a title gives three rows.
    assert!(
        import.rows.len() as u64 <= 3 * breaks,
        "more rows than lines"
    );
    assert!(
        import.rejected.len() as u64 <= breaks,
        "more rows than lines"
    );
    let within = FIRST_LINE - 1..=FIRST_LINE + breaks + 1;
    for row in &import.rows {
        assert!(within.contains(&row.line), "line {}", row.line);
        if let Row::Stock { on_hand, .. } = row.row {
            assert!(on_hand >= 0, "{on_hand} on hand");
        }
    }
    for rejected in &import.rejected {
        assert!(within.contains(&rejected.line), "line {}", rejected.line);
        assert!(!rejected.detail.is_empty());
        let columns = 1..=import.columns.len() + 1;
        assert!(
            rejected
                .column
                .is_none_or(|column| columns.contains(&column))
        );
    }
}
