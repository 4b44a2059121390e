//! The last entries, in memory and in a file: one JSON object a line, appended as they come.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::domain::{ChannelName, ConnectorName};
use shared::http::MaskedRequest;

/// How many entries are kept.
const KEPT: usize = 1_000;

/// One request that left, or would have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// On whose behalf.
    #[serde(flatten)]
    pub whose: Whose,
    /// The vendor.
    pub kind: String,
    /// Method, URL, headers and body, secrets masked.
    #[serde(flatten)]
    pub request: MaskedRequest,
    /// When.
    pub at: Timestamp,
    /// Whether it really left: credentials are set, and the vendor could be reached.
    pub sent: bool,
    /// What keeps the channel from being live, if it is not: nothing left then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The vendor's answer; where nothing left, the one that was given in its stead.
    pub status: Option<u16>,
}

/// On whose behalf a request was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// A channel where people are told.
    Channel(ChannelName),
    /// A connected system.
    System(ConnectorName),
}

impl Whose {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        match self {
            Self::Channel(name) => name.as_str(),
            Self::System(name) => name.as_str(),
        }
    }
}

/// The entries, oldest first.
pub(super) struct Entries(Mutex<Shelf>);

struct Shelf {
    entries: VecDeque<OutboxEntry>,
    file: Option<Journal>,
}

struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Entries {
    pub(super) fn in_memory() -> Self {
        Self(Mutex::new(Shelf {
            entries: VecDeque::new(),
            file: None,
        }))
    }

    /// Reads what a former run left. A line that a crash cut short is passed over.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut entries = VecDeque::new();
        match File::open(path) {
            Ok(file) => {
                for line in BufReader::new(file).split(b'\n') {
                    if let Ok(entry) = serde_json::from_slice(&line?) {
                        keep(&mut entries, entry);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = Journal::write(path.to_owned(), &entries)?;
        Ok(Self(Mutex::new(Shelf {
            entries,
            file: Some(file),
        })))
    }

    pub(super) fn add(&self, entry: OutboxEntry) -> io::Result<()> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Shelf { entries, file } = &mut *shelf;
        let line = line_of(&entry)?;
        keep(entries, entry);
        let Some(journal) = file else { return Ok(()) };
        if journal.lines >= 2 * KEPT {
            *journal = Journal::write(journal.path.clone(), entries)?;
            return Ok(());
        }
        journal.file.write_all(&line)?;
        journal.lines += 1;
        Ok(())
    }

    pub(super) fn newest_first(&self) -> Vec<OutboxEntry> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.entries.iter().rev().cloned().collect()
    }
}

impl Journal {
    /// A file that holds these entries and no others. A crash leaves the old one or the new one.
    fn write(path: PathBuf, entries: &VecDeque<OutboxEntry>) -> io::Result<Self> {
        let fresh = path.with_extension("jsonl.new");
        let mut text = Vec::new();
        for entry in entries {
            text.extend(line_of(entry)?);
        }
        let mut file = File::options();
        file.write(true).create(true).truncate(true).mode(0o600);
        file.open(&fresh)?.write_all(&text)?;
        fs::rename(&fresh, &path)?;
        let file = File::options().append(true).open(&path)?;
        Ok(Self {
            path,
            file,
            lines: entries.len(),
        })
    }
}

fn keep(entries: &mut VecDeque<OutboxEntry>, entry: OutboxEntry) {
    if entries.len() == KEPT {
        entries.pop_front();
    }
    entries.push_back(entry);
}

fn line_of(entry: &OutboxEntry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> OutboxEntry {
        OutboxEntry {
            whose: Whose::Channel("ops".parse().unwrap()),
            kind: "slack".into(),
            request: MaskedRequest {
                method: "POST".into(),
                url: "https://hooks.slack.com/****".into(),
                headers: vec![("content-type".into(), "application/json".into())],
                body: format!("{{\"text\":\"{number}\"}}"),
            },
            at: "2026-01-15T09:30:00Z".parse().unwrap(),
            sent: false,
            missing: None,
            status: Some(200),
        }
    }

    #[test]
    fn an_entry_reads_as_documented() {
        assert_eq!(
            serde_json::to_value(entry(1)).unwrap(),
            serde_json::json!({
                "channel": "ops", "kind": "slack", "method": "POST",
                "url": "https://hooks.slack.com/****",
                "headers": [["content-type", "application/json"]],
                "body": "{\"text\":\"1\"}", "at": "2026-01-15T09:30:00Z",
                "sent": false, "status": 200
            })
        );
        let system = OutboxEntry {
            whose: Whose::System("shopify".parse().unwrap()),
            ..entry(1)
        };
        let text = serde_json::to_string(&system).unwrap();
        assert_eq!(serde_json::from_str::<OutboxEntry>(&text).unwrap(), system);
    }

    #[test]
    fn the_last_thousand_survive_restarts_and_a_cut_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outbox.jsonl");
        let total = 2 * KEPT + 50;
        let entries = Entries::open(&path).unwrap();
        for number in 0..total {
            entries.add(entry(number)).unwrap();
        }
        let before = entries.newest_first();
        assert_eq!(before.len(), KEPT);
        assert_eq!(before[0], entry(total - 1));
        assert_eq!(before[KEPT - 1], entry(total - KEPT));
        drop(entries);

        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 2 * KEPT, "the file holds {lines} lines");
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"channel\":\"op").unwrap();
        let reopened = Entries::open(&path).unwrap();
        assert_eq!(reopened.newest_first(), before);
        reopened.add(entry(7)).unwrap();
        assert_eq!(
            Entries::open(&path).unwrap().newest_first()[..2],
            [entry(7), before[0].clone()]
        );
    }
}
