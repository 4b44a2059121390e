//! Which listed files are ready to be taken, and what they are called while we work. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::transport::Entry;

/// The folder of files a worker has claimed.
pub const PROCESSING: &str = "processing";

/// Which files a feed picks up, and when.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PickupSettings {
    /// Names to take; `*` and `?` as in a shell.
    pub glob: String,
    /// How to tell that the sender has finished writing.
    pub ready: ReadyWhen,
    /// How long a file must stay unchanged under `ready = "stable"`.
    pub stable_seconds: u32,
    /// Ending of the marker file under `ready = "done_marker"`.
    pub done_suffix: String,
    /// Ending of the checksum file under `ready = "checksum"`.
    pub checksum_suffix: String,
}

impl Default for PickupSettings {
    fn default() -> Self {
        Self {
            glob: "*".into(),
            ready: ReadyWhen::Stable,
            stable_seconds: 30,
            done_suffix: ".done".into(),
            checksum_suffix: ".sha256".into(),
        }
    }
}

/// How to tell that the sender has finished writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyWhen {
    /// `<name>.done` is there; senders write it last.
    DoneMarker,
    /// `<name>.sha256` is there.
    Checksum,
    /// Size, time and tag were the same in two listings `stable_seconds` apart.
    Stable,
}

/// Since when each file has looked as it does. Kept by the caller between listings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watch {
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    entry: Entry,
    since: Timestamp,
}

impl Watch {
    /// Takes note of a listing made `at` this time; files no longer listed are forgotten.
    pub fn observe(&mut self, listing: &[Entry], at: Timestamp) {
        let mut before = std::mem::take(&mut self.seen);
        for entry in listing {
            let since = match before.remove(&entry.name) {
                Some(seen) if seen.entry == *entry => seen.since,
                _ => at,
            };
            let entry = entry.clone();
            self.seen.insert(entry.name.clone(), Seen { entry, since });
        }
    }

    /// Whether each listed file looks as it did when last listed.
    pub fn knows(&self, listing: &[Entry]) -> bool {
        let seen = |entry: &Entry| self.seen.get(&entry.name).map(|seen| &seen.entry);
        listing.iter().all(|entry| seen(entry) == Some(entry))
    }

    /// Whether a listed file has not changed for this long.
    pub fn unchanged_for(&self, entry: &Entry, seconds: u32, at: Timestamp) -> bool {
        self.seen.get(&entry.name).is_some_and(|seen| {
            seen.entry == *entry
                && at.duration_since(seen.since) >= SignedDuration::from_secs(seconds.into())
        })
    }
}

/// What to do about each file of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picked {
    /// Files to take now, oldest first.
    pub ready: Vec<Ready>,
    /// Files that are still being written, or lack their marker.
    pub waiting: Vec<Entry>,
    /// Names of files that would be taken if they could be asked for by name.
    pub unnameable: Vec<String>,
}

/// A file to take, and the marker or checksum file to read with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The file.
    pub entry: Entry,
    /// Its sidecar, where the policy asks for one.
    pub sidecar: Option<String>,
}

/// Sorts a listing into ready and waiting; everything else is none of our business. `watch` must
/// have observed this listing already.
pub fn pick(listing: &[Entry], watch: &Watch, settings: &PickupSettings, at: Timestamp) -> Picked {
    let mut picked = Picked::default();
    let listed = |name: &str| listing.iter().any(|entry| entry.name == name);
    for entry in listing.iter().filter(|entry| takes(entry, settings)) {
        if entry
            .name
            .contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
        {
            picked.unnameable.push(entry.name.clone());
            continue;
        }
        let suffix = match settings.ready {
            ReadyWhen::DoneMarker => Some(&settings.done_suffix),
            ReadyWhen::Checksum => Some(&settings.checksum_suffix),
            ReadyWhen::Stable => None,
        };
        let sidecar = suffix.map(|suffix| format!("{}{suffix}", entry.name));
        let ready = match &sidecar {
            Some(name) => listed(name),
            None => watch.unchanged_for(entry, settings.stable_seconds, at),
        };
        if ready {
            picked.ready.push(Ready {
                entry: entry.clone(),
                sidecar,
            });
        } else {
            picked.waiting.push(entry.clone());
        }
    }
    // A file without a time is taken last: nothing says that it is old.
    picked.ready.sort_by(|a, b| {
        let age = |it: &Ready| (it.entry.modified.is_none(), it.entry.modified);
        age(a)
            .cmp(&age(b))
            .then_with(|| a.entry.name.cmp(&b.entry.name))
    });
    picked
}

fn takes(entry: &Entry, settings: &PickupSettings) -> bool {
    takes_name(&entry.name, settings)
}

/// Whether the settings can mean any file at all.
pub fn can_take(settings: &PickupSettings) -> bool {
    // No ending of ours has this letter.
    takes_name(&settings.glob.replace(['*', '?'], "ß"), settings)
}

/// Whether a file of this name is meant.
pub fn takes_name(name: &str, settings: &PickupSettings) -> bool {
    let lower = name.to_ascii_lowercase();
    let unfinished = [".part", ".tmp", ".filepart"];
    let sidecar = [&settings.done_suffix, &settings.checksum_suffix];
    !name.starts_with('.')
        && !unfinished.iter().any(|suffix| lower.ends_with(suffix))
        && !sidecar.iter().any(|suffix| name.ends_with(*suffix))
        && matches(&settings.glob, name)
}

/// Shell-style matching with `*` and `?`, case-sensitive.
pub fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    // Where to resume if what follows the last `*` does not fit.
    let mut retry = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    g = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// Where a worker moves a file it takes; the move decides between several workers.
pub fn claim_name(name: &str) -> String {
    format!("{PROCESSING}/{name}")
}

/// Where an applied file is kept, its content's hash in the name.
pub fn archive_name(name: &str, sha256: &str, at: Timestamp) -> String {
    let day = at.strftime("%Y/%m/%d");
    format!("archive/{day}/{name}.{}", first12(sha256))
}

/// Where a refused file is kept.
pub fn error_name(name: &str, sha256: &str) -> String {
    format!("error/{name}.{}", first12(sha256))
}

fn first12(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_768_000_000 + second).unwrap()
    }

    fn entry(name: &str, size: u64, modified: i64) -> Entry {
        Entry {
            name: name.into(),
            size: Some(size),
            modified: Some(at(modified)),
            tag: None,
        }
    }

    fn ready(picked: &Picked) -> Vec<&str> {
        picked
            .ready
            .iter()
            .map(|it| it.entry.name.as_str())
            .collect()
    }

    #[test]
    fn a_file_is_stable_after_looking_the_same_for_long_enough() {
        let settings = PickupSettings::default();
        let mut watch = Watch::default();
        let mut look = |size, second| {
            let listing = [entry("stock.csv", size, 0)];
            watch.observe(&listing, at(second));
            !pick(&listing, &watch, &settings, at(second))
                .ready
                .is_empty()
        };
        assert!(!look(100, 0), "seen once");
        assert!(!look(100, 29), "too soon");
        assert!(!look(200, 31), "grew: the clock starts again");
        assert!(!look(200, 60));
        assert!(look(200, 61));
        assert!(look(200, 90));
    }

    #[test]
    fn polling_often_does_not_postpone_and_a_clock_that_jumps_back_does_not_hasten() {
        let settings = PickupSettings::default();
        let listing = [entry("stock.csv", 1, 0)];
        let mut watch = Watch::default();
        for second in (0..=25).step_by(5) {
            watch.observe(&listing, at(second));
        }
        assert!(ready(&pick(&listing, &watch, &settings, at(-100))).is_empty());
        assert_eq!(
            ready(&pick(&listing, &watch, &settings, at(30))),
            ["stock.csv"]
        );
    }

    #[test]
    fn a_file_that_went_and_came_back_starts_again() {
        let settings = PickupSettings::default();
        let listing = [entry("stock.csv", 1, 0)];
        let mut watch = Watch::default();
        watch.observe(&listing, at(0));
        watch.observe(&[], at(20));
        watch.observe(&listing, at(40));
        assert!(ready(&pick(&listing, &watch, &settings, at(40))).is_empty());
    }

    #[test]
    fn unfinished_hidden_and_foreign_files_are_left_alone() {
        let settings: PickupSettings =
            toml::from_str("glob = '*.csv*'\nready = 'stable'\nstable_seconds = 0").unwrap();
        let names = [
            ".stock.csv",
            "stock.csv.part",
            "stock.csv.TMP",
            "stock.csv.filepart",
            "stock.csv.done",
            "stock.csv.sha256",
            "readme.txt",
            "sub/stock.csv",
            "b.csv.gz",
            "a.csv",
        ];
        let listing: Vec<Entry> = names.iter().map(|name| entry(name, 5, 0)).collect();
        let mut watch = Watch::default();
        watch.observe(&listing, at(0));
        let picked = pick(&listing, &watch, &settings, at(0));
        assert_eq!(ready(&picked), ["a.csv", "b.csv.gz"]);
        assert!(picked.waiting.is_empty());
        assert_eq!(picked.unnameable, ["sub/stock.csv"]);
    }

    #[test]
    fn an_empty_file_is_taken_and_a_name_with_control_characters_is_set_aside_alone() {
        let settings: PickupSettings =
            toml::from_str("glob = '*.csv'\nstable_seconds = 0").unwrap();
        let listing = [
            entry("a\u{7}.csv", 5, 0),
            entry("b.csv", 0, 0),
            entry("c.csv", 5, 0),
        ];
        let mut watch = Watch::default();
        watch.observe(&listing, at(0));
        let picked = pick(&listing, &watch, &settings, at(0));
        assert_eq!(ready(&picked), ["b.csv", "c.csv"]);
        assert_eq!(picked.unnameable, ["a\u{7}.csv"]);
    }

    #[test]
    fn markers_decide_where_asked_for_and_the_oldest_comes_first() {
        let settings: PickupSettings =
            toml::from_str("glob = '*.csv'\nready = 'done_marker'").unwrap();
        let mut unknown = entry("c.csv", 5, 0);
        unknown.modified = None;
        let listing = [
            entry("b.csv", 5, 10),
            entry("b.csv.done", 0, 11),
            unknown,
            entry("c.csv.done", 0, 1),
            entry("a.csv", 5, 20),
            entry("a.csv.done", 0, 21),
            entry("d.csv", 5, 0),
        ];
        let picked = pick(&listing, &Watch::default(), &settings, at(0));
        assert_eq!(ready(&picked), ["b.csv", "a.csv", "c.csv"]);
        assert_eq!(picked.ready[0].sidecar.as_deref(), Some("b.csv.done"));
        assert_eq!(picked.waiting, [entry("d.csv", 5, 0)]);
    }

    #[test]
    fn the_watch_survives_storage() {
        let mut watch = Watch::default();
        watch.observe(&[entry("stock.csv", 1, 0)], at(0));
        let stored = serde_json::to_string(&watch).unwrap();
        assert_eq!(serde_json::from_str::<Watch>(&stored).unwrap(), watch);
    }

    #[test]
    fn names_say_where_a_file_stands() {
        let time: Timestamp = "2026-01-05T23:59:59Z".parse().unwrap();
        assert_eq!(claim_name("a.csv"), "processing/a.csv");
        let hash = "0123456789abcdef";
        assert_eq!(
            archive_name("a.csv", hash, time),
            "archive/2026/01/05/a.csv.0123456789ab"
        );
        assert_eq!(error_name("a.csv", hash), "error/a.csv.0123456789ab");
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, name, expected) in [
            ("*", "a.csv", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("D-???_*.csv", "D-001_17.csv", true),
            ("D-???_*.csv", "D-01_17.csv", false),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?", "é", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_with_any_part_starred(name in "[a-z.]{1,12}", from in 0_usize..12, length in 0_usize..12) {
            let from = from.min(name.len());
            let to = (from + length).min(name.len());
            let starred = format!("{}*{}", &name[..from], &name[to..]);
            prop_assert!(matches(&starred, &name));
            let longer = format!("{name}x");
            prop_assert!(!matches(&name, &longer));
        }
    }
}
