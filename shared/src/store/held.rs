//! What people are told of what waits in quarantine.

use super::quarantine::{PAGE, Quarantined};
use crate::domain::message::{NOW_ALSO, capitalised};

/// So many entries are named at most.
const NAMED: usize = 3;

/// What is said of what is open of a kind, the newest first: what people do not know yet comes before the
/// rest.
pub fn in_words(
    open: &[Quarantined],
    is_more: bool,
    is_new: impl Fn(&Quarantined) -> bool,
) -> Vec<String> {
    let (new, old): (Vec<_>, Vec<_>) = open.iter().partition(|entry| is_new(entry));
    let new = new
        .into_iter()
        .map(|entry| format!("{NOW_ALSO}{}", said(entry)));
    let old = old.into_iter().map(begun);
    let mut notes: Vec<_> = new.chain(old).take(NAMED).collect();
    let open_now = match (open.len(), is_more) {
        (0 | 1, _) => "What can be done: lotwire quarantine".to_owned(),
        (all, more) => {
            let count = match more {
                true => format!("more than {PAGE}"),
                false => all.to_string(),
            };
            format!("Open now: {count}. All of them, and what can be done: lotwire quarantine")
        }
    };
    notes.push(open_now);
    notes
}

/// Whether notes name one that is not open any more. `open`: all that is.
pub fn names_what_is_over(notes: &[String], open: &[Quarantined]) -> bool {
    let Some((_, named)) = notes.split_last() else {
        return false;
    };
    let is_open = |note: &String| open.iter().any(|entry| names(note, entry));
    !named.iter().all(is_open)
}

/// Whether a note says that an entry is new.
pub fn names_as_new(note: &str, entry: &Quarantined) -> bool {
    note.strip_prefix(NOW_ALSO) == Some(&said(entry))
}

fn names(note: &str, entry: &Quarantined) -> bool {
    note == begun(entry) || names_as_new(note, entry)
}

/// A SKU stands at its beginning as it is written.
fn begun(entry: &Quarantined) -> String {
    match entry.detail().starts_with(&entry.sentence[..]) {
        true => capitalised(&said(entry)),
        false => said(entry),
    }
}

fn said(entry: &Quarantined) -> String {
    let detail = entry.detail();
    let detail = detail.trim_end_matches('.');
    match entry.row_at() {
        Some(row) => format!("{detail} ({row})."),
        None => format!("{detail}."),
    }
}
