//! The redo log: every write since SQLite's last commit, as it was asked for.
//!
//! A commit of SQLite writes each page that was touched, some twenty for one small item with its indexes
//! and its stream record. So it commits only now and then, and what makes a write durable is its
//! request in this file: written before the write is answered, run again when the process was killed
//! before the commit. Entries are numbered without gaps, and the commit says which is the last it holds.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Before each entry: its length and its checksum, of four bytes each.
const HEAD: usize = 8;
/// What an entry has before its operation's name: its number and its time, of eight bytes each, and the
/// length of the name.
const FIELDS: usize = 17;

/// One write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    /// When it was done, in microseconds since 1970.
    pub(super) at: i64,
    pub(super) operation: String,
    pub(super) body: Vec<u8>,
}

/// The file.
#[derive(Debug)]
pub(super) struct RedoLog {
    file: File,
    /// Its bytes that are whole entries.
    length: u64,
    /// What is not in the file yet.
    gathered: Vec<u8>,
    /// The last entry's number, gathered ones included.
    last: u64,
    /// The last number in the file.
    last_kept: u64,
}

impl RedoLog {
    /// Opens the file and reads what is in it. Of an entry whose writing was cut short nothing was
    /// answered: the file ends before it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut entries = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((entry, after)) = first(rest) {
            entries.push(entry);
            rest = after;
        }
        let last = entries.last().map_or(0, |entry| entry.number);
        let mut log = Self {
            file,
            length: (bytes.len() - rest.len()) as u64,
            gathered: Vec::new(),
            last,
            last_kept: last,
        };
        log.drop_gathered()?;
        Ok((log, entries))
    }

    /// Takes a write in, not yet durably.
    pub(super) fn gather(&mut self, at: i64, operation: &str, body: &[u8]) {
        self.last += 1;
        let begin = self.gathered.len();
        self.gathered.extend([0; HEAD]);
        self.gathered.extend(self.last.to_le_bytes());
        self.gathered.extend(at.to_le_bytes());
        self.gathered
            .push(u8::try_from(operation.len()).unwrap_or(u8::MAX));
        self.gathered.extend(operation.as_bytes());
        self.gathered.extend(body);
        let entry = &self.gathered[begin + HEAD..];
        let length = u32::try_from(entry.len()).unwrap_or(u32::MAX);
        let checksum = crc32fast::hash(entry);
        self.gathered[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
        self.gathered[begin + 4..begin + HEAD].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Writes what was gathered: from here on a killed process loses none of it. What could not be
    /// written whole is not in the file at all.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.gathered) {
            self.drop_gathered()?;
            return Err(error);
        }
        self.length += self.gathered.len() as u64;
        self.gathered.clear();
        self.last_kept = self.last;
        Ok(())
    }

    fn drop_gathered(&mut self) -> io::Result<()> {
        self.gathered.clear();
        self.last = self.last_kept;
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }

    /// Its size in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The number of the last write.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Begins anew after this number: SQLite has committed everything up to it.
    pub(super) fn clear(&mut self, last: u64) -> io::Result<()> {
        self.length = 0;
        self.last_kept = last;
        self.drop_gathered()
    }
}

/// The first entry of these bytes, if it is whole, and what comes after it.
fn first(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (entry, rest) = rest.split_at_checked(length)?;
    if entry.len() < FIELDS || crc32fast::hash(entry) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (number, entry) = entry.split_first_chunk()?;
    let (at, entry) = entry.split_first_chunk()?;
    let (name, entry) = entry.split_first()?;
    let (operation, body) = entry.split_at_checked(usize::from(*name))?;
    let entry = Entry {
        number: u64::from_le_bytes(*number),
        at: i64::from_le_bytes(*at),
        operation: String::from_utf8(operation.to_vec()).ok()?,
        body: body.to_vec(),
    };
    Some((entry, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(path: &Path, bodies: &[&str]) -> RedoLog {
        let (mut log, _) = RedoLog::open(path).unwrap();
        for body in bodies {
            log.gather(7, "PutItem", body.as_bytes());
        }
        log.keep().unwrap();
        log
    }

    fn numbers(path: &Path) -> Vec<u64> {
        let (_, entries) = RedoLog::open(path).unwrap();
        entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn what_was_kept_is_read_again_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redo");
        let mut log = log_of(&path, &["one", "two"]);
        log.gather(8, "DeleteItem", b"never kept");
        let (mut log, entries) = RedoLog::open(&path).unwrap();
        let second = Entry {
            number: 2,
            at: 7,
            operation: "PutItem".to_owned(),
            body: b"two".to_vec(),
        };
        assert_eq!((entries.len(), &entries[1]), (2, &second));
        log.gather(9, "PutItem", b"three");
        log.keep().unwrap();
        assert_eq!(numbers(&path), [1, 2, 3]);
        log.clear(3).unwrap();
        log.gather(10, "PutItem", b"four");
        log.keep().unwrap();
        assert_eq!(numbers(&path), [4]);
    }

    #[test]
    fn an_entry_that_is_cut_short_or_changed_ends_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("redo");
        let whole = log_of(&path, &["one", "two"]).length();
        let bytes = std::fs::read(&path).unwrap();
        let first = usize::try_from(whole).unwrap() / 2;
        for cut in first..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert_eq!(numbers(&path), [1], "cut after {cut} bytes");
            // The next one takes the place of the torn one.
            drop(log_of(&path, &["again"]));
            assert_eq!(numbers(&path), [1, 2]);
        }
        let mut changed = bytes;
        changed[first + HEAD + FIELDS] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(numbers(&path), [1]);
    }
}
