//! dynoxide's tables in one SQLite database, and what makes a write to them durable.
//!
//! In a directory one transaction of SQLite is always open. Each write is a savepoint in it, and is
//! answered when its request is in the [redo log](super::redo); the transaction is committed when the
//! log has grown to [`COMMIT_AT`]. dynoxide's own `BEGIN`, `COMMIT` and `ROLLBACK` are made to do
//! nothing, by SQLite's hook for what a statement may do. All reads are on the same connection: they see
//! what was written before them, and a second connection would drop its cached pages at each commit.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dynoxide::DynoxideError;
use dynoxide::storage::Storage;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use shared::clock::Clock;

use super::redo::RedoLog;
use super::requests::{Call, Request, Response};
use super::standing::Standing;
use super::tokens::{Before, Tokens};
use crate::engine::counter::Counter;
use crate::engine::stream_log;

/// The file of the tables.
const FILE: &str = "tables.db";
/// The file of the redo log. It begins as the other does, so that whoever looks after one has both.
const REDO_FILE: &str = "tables.db-redo";
/// The size of the redo log, in bytes, at which SQLite commits. After a kill at most so much is run again.
const COMMIT_AT: u64 = 16 * 1024 * 1024;
/// So many times in between it is told that the log grows.
const GROWS: u64 = 16;
/// After so many seconds a commit that failed is tried again.
const COMMIT_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// What a write is refused with for want of room.
const FULL: &str = "no space left for the tables";
/// dynoxide's statements, all of them.
const STATEMENTS: usize = 256;

/// WAL is dynoxide's choice. With `NORMAL` the file is whole after a power cut, without the last commits.
/// What is touched between two commits stays in memory, and goes from the WAL to the file in larger lots.
const SETTINGS: &str = "
    PRAGMA synchronous = NORMAL;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -65536;
    PRAGMA wal_autocheckpoint = 4000;
    CREATE TABLE IF NOT EXISTS embedded_redo (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        applied INTEGER NOT NULL
    );
    INSERT OR IGNORE INTO embedded_redo VALUES (1, 0);";

/// The tables.
pub(super) struct Database {
    storage: Storage,
    clock: Clock,
    time: Arc<Standing>,
    tokens: Tokens,
    /// In memory nothing is kept.
    kept: Option<Kept>,
    /// How often they were opened.
    opened: u64,
    grown: Counter,
    /// That the disk was full when last written to.
    full: Arc<AtomicBool>,
}

/// What is there beside the database when it is in a directory.
struct Kept {
    directory: PathBuf,
    redo: RedoLog,
    /// Whether `BEGIN` and `COMMIT` are ours now, and do something.
    ours: Arc<AtomicBool>,
    /// Why the last attempt to open the file again failed.
    broken: Option<String>,
    /// A commit that failed is not tried again before then: the redo log has it all.
    commit_after: Option<Timestamp>,
}

/// Why the tables could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Tables(#[from] DynoxideError),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("the redo log: {0}")]
    Redo(#[from] std::io::Error),
}

impl Database {
    /// Tables that end with the process.
    pub(super) fn in_memory(clock: Clock) -> Result<Self, OpenError> {
        let time = Arc::<Standing>::default();
        let storage = Storage::memory()?.with_clock(Arc::clone(&time) as _);
        storage
            .conn()
            .set_prepared_statement_cache_capacity(STATEMENTS);
        stream_log::index(storage.conn())?;
        Ok(Self {
            storage,
            clock,
            time,
            tokens: Tokens::default(),
            kept: None,
            opened: 1,
            grown: Counter::default(),
            full: Arc::default(),
        })
    }

    /// Tables kept in a directory. Runs again what was done after SQLite's last commit.
    pub(super) fn in_directory(directory: &Path, clock: Clock) -> Result<Self, OpenError> {
        let mut database = Self::open(directory, clock)?;
        let applied = database.kept.as_ref().map_or(0, |kept| kept.redo.last());
        if let Err(error) = database.commit(applied) {
            // As on a full disk: what there is can be read, and the log has what was not committed.
            tracing::warn!(%error, "the tables could not be committed");
            let clock = database.clock.clone();
            drop(database);
            database = Self::open(directory, clock)?;
            database.commits_later();
        }
        Ok(database)
    }

    /// The tables as they are with all that is in the redo log, not committed.
    fn open(directory: &Path, clock: Clock) -> Result<Self, OpenError> {
        let path = directory.join(FILE);
        let name = path.to_str().ok_or_else(|| {
            std::io::Error::other("the path of the data directory is not valid UTF-8")
        })?;
        let time = Arc::<Standing>::default();
        let storage = Storage::new(name)?.with_clock(Arc::clone(&time) as _);
        let connection = storage.conn();
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(SETTINGS)?;
        stream_log::index(connection)?;
        let ours = Arc::<AtomicBool>::default();
        connection.authorizer(Some(only(Arc::clone(&ours))));
        let redo_path = directory.join(REDO_FILE);
        let (redo, entries) = RedoLog::open(&redo_path)?;
        std::fs::set_permissions(&redo_path, std::fs::metadata(&path)?.permissions())?;
        let mut applied: u64 =
            connection.query_row("SELECT applied FROM embedded_redo", [], |row| row.get(0))?;
        let mut kept = Kept {
            directory: directory.to_owned(),
            redo,
            ours,
            broken: Some("not opened yet".to_owned()),
            commit_after: None,
        };
        kept.transaction(connection, "BEGIN IMMEDIATE")?;
        for entry in entries {
            if entry.number <= applied {
                continue;
            }
            // A power cut has taken commits that the log begins after.
            if entry.number != applied + 1 {
                tracing::warn!(
                    applied,
                    next = entry.number,
                    "the last writes before a power cut are lost"
                );
                break;
            }
            time.stand(entry.at);
            let mut request = Request::read(&entry.operation, &entry.body)?;
            if let Request::TransactWriteItems(transaction) = &mut request {
                transaction.client_request_token = None;
            }
            savepoint(&storage, |storage| request.run(storage))??;
            applied = entry.number;
        }
        if kept.redo.last() != applied {
            // All of it is committed, or lost: what comes next has the number after.
            kept.redo.clear(applied)?;
        }
        kept.broken = None;
        Ok(Self {
            storage,
            clock,
            time,
            tokens: Tokens::default(),
            kept: Some(kept),
            opened: 1,
            grown: Counter::default(),
            full: Arc::default(),
        })
    }

    /// The storage, for reading.
    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The time in seconds since 1970.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_second()).unwrap_or_default()
    }

    /// Answers each of these: first those that read, then the others in their order. They were asked at
    /// the same time, and so a read has none of what cannot be made durable. What the others wrote is
    /// durable when this returns; what was not made so was not done, and is answered with an error.
    pub(super) fn answer_all(
        &mut self,
        calls: impl IntoIterator<Item = Call>,
    ) -> Vec<Result<Response, DynoxideError>> {
        let (reads, others): (Vec<_>, Vec<_>) = calls
            .into_iter()
            .enumerate()
            .partition(|(_, call)| !call.request.writes() && !call.request.defines());
        let mut remembered = 0;
        let mut answers = Vec::with_capacity(reads.len() + others.len());
        for (place, call) in reads {
            let answer = self
                .ready()
                .and_then(|()| self.answer(call, &mut remembered));
            answers.push((place, answer));
        }
        if !others.is_empty() {
            self.answer_durably(others, &mut answers);
        }
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn answer_durably(
        &mut self,
        calls: Vec<(usize, Call)>,
        answers: &mut Vec<(usize, Result<Response, DynoxideError>)>,
    ) {
        let is_ready = self.ready();
        let opened = self.opened;
        let begun = answers.len();
        let mut remembered = 0;
        if is_ready.is_ok() && self.kept.is_some() {
            // Else whatever goes wrong has the tables opened again.
            self.statement("SAVEPOINT batch").ok();
        }
        for (place, call) in calls {
            let answer = self
                .ready()
                .and_then(|()| self.answer(call, &mut remembered))
                .and_then(|answer| self.unless_opened_since(opened).map(|()| answer));
            answers.push((place, answer));
        }
        let Some(kept) = &mut self.kept else {
            return;
        };
        let steps = |kept: &Kept| kept.redo.length() / (COMMIT_AT / GROWS);
        let before = steps(kept);
        let lost = match kept.redo.keep() {
            Ok(()) => {
                if self.full.swap(false, Ordering::Relaxed) {
                    tracing::info!("the disk has room again");
                }
                if steps(kept) != before {
                    self.grown.increment();
                }
                // A definition has committed, and ended it.
                self.statement("RELEASE batch").ok();
                self.unless_opened_since(opened)
            }
            Err(error) => Err(self.take_back(&error)),
        };
        if let Err(error) = lost {
            self.tokens.forget_newest(remembered);
            for (_, answer) in &mut answers[begun..] {
                *answer = Err(internal(&error));
            }
        }
    }

    /// Undoes what the redo log could not take. The rest is as it was: whoever reads goes on.
    fn take_back(&mut self, error: &std::io::Error) -> DynoxideError {
        use std::io::ErrorKind as Kind;
        let reason = format!("the redo log could not be written: {error}");
        let is_full = matches!(
            error.kind(),
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge
        );
        let undone = ["ROLLBACK TO batch", "RELEASE batch"]
            .iter()
            .try_for_each(|statement| self.statement(statement));
        if undone.is_err() {
            self.open_again(&reason);
        }
        if !is_full {
            return internal(reason);
        }
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the disk is full: nothing is written until it has room");
        }
        internal(FULL)
    }

    fn statement(&self, statement: &str) -> rusqlite::Result<()> {
        let connection = self.storage.conn();
        connection.prepare_cached(statement)?.execute([]).map(drop)
    }

    /// What was done before the tables were opened again, and not yet durable, is lost.
    fn unless_opened_since(&self, opened: u64) -> Result<(), DynoxideError> {
        if self.opened == opened {
            Ok(())
        } else {
            Err(internal("the tables had to be opened again"))
        }
    }

    /// Changes something that is in no log: it is committed when this returns.
    pub(super) fn change<T>(
        &mut self,
        work: impl FnOnce(&Storage) -> Result<T, DynoxideError>,
    ) -> Result<T, DynoxideError> {
        self.ready()?;
        self.time.stand(self.clock.now().as_microsecond());
        let changed = self.atomically(work)?;
        if let Some(kept) = &self.kept
            && let Err(error) = self.commit(kept.redo.last())
        {
            self.open_again(&error);
            return Err(error);
        }
        Ok(changed)
    }

    /// Removes some of a table's stream records before this one. That is in no log: those that a kill
    /// brings back are removed again.
    pub(super) fn trim(&mut self, table: &str, sequence: &str) -> Result<usize, DynoxideError> {
        self.ready()?;
        stream_log::trim_before(self.storage.conn(), table, sequence).map_err(Into::into)
    }

    /// Set for as long as the disk is full, as far as writes have shown.
    pub(super) fn full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    /// Counts up a few times between two commits.
    pub(super) fn grown(&self) -> Counter {
        self.grown.clone()
    }

    fn answer(&mut self, call: Call, remembered: &mut usize) -> Result<Response, DynoxideError> {
        let Call {
            request,
            body,
            token,
        } = call;
        if request.defines() {
            let created = match &request {
                Request::CreateTable(request) => Some(request.table_name.clone()),
                _ => None,
            };
            return self.change(|storage| {
                let answer = request.run(storage)?;
                if let Some(table) = created {
                    keep_rows_with_their_keys(storage.conn(), &table)?;
                }
                Ok(answer)
            });
        }
        let at = self.clock.now().as_microsecond();
        self.time.stand(at);
        if !request.writes() {
            return request.run(&self.storage);
        }
        match token.as_ref().map(|token| self.tokens.before(token)) {
            Some(Before::Same) => return Ok(Response::TransactWriteItems(Box::default())),
            Some(Before::Other) => {
                let words = "the token was used for another request";
                return Err(DynoxideError::IdempotentParameterMismatchException(
                    words.to_owned(),
                ));
            }
            Some(Before::Nothing) | None => {}
        }
        let operation = request.name();
        let answer = self.atomically(|storage| request.run(storage));
        if answer.is_ok() {
            if let Some(kept) = &mut self.kept {
                kept.redo.gather(at, operation, &body);
            }
            if let Some(token) = token {
                self.tokens.remember(token);
                *remembered += 1;
            }
        }
        answer
    }

    /// All of it or nothing. In memory that is dynoxide's own doing.
    fn atomically<T>(
        &mut self,
        work: impl FnOnce(&Storage) -> Result<T, DynoxideError>,
    ) -> Result<T, DynoxideError> {
        if self.kept.is_none() {
            return work(&self.storage);
        }
        savepoint(&self.storage, work).unwrap_or_else(|error| {
            self.open_again(&error);
            Err(internal(error))
        })
    }

    /// Commits when enough has come together.
    pub(super) fn commit_if_due(&mut self) {
        let Some(kept) = &self.kept else {
            return;
        };
        let is_time = kept.commit_after.is_none_or(|at| at <= self.clock.now());
        if kept.broken.is_none()
            && is_time
            && kept.redo.length() >= COMMIT_AT
            && let Err(error) = self.commit(kept.redo.last())
        {
            // Nothing is lost: the log has it.
            self.open_again(&error);
            self.commits_later();
        }
    }

    fn commits_later(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.commit_after = self.clock.now().checked_add(COMMIT_AGAIN).ok();
        }
    }

    /// Commits everything up to this entry, and begins the log anew.
    fn commit(&mut self, applied: u64) -> Result<(), DynoxideError> {
        let Some(kept) = &mut self.kept else {
            return Ok(());
        };
        let connection = self.storage.conn();
        if connection.is_autocommit() {
            return Err(internal("no transaction is open"));
        }
        connection
            .prepare_cached("UPDATE embedded_redo SET applied = ?1")?
            .execute([applied])?;
        kept.transaction(connection, "COMMIT")?;
        kept.transaction(connection, "BEGIN IMMEDIATE")?;
        if let Err(error) = kept.redo.clear(applied) {
            // Its entries are known to be done.
            tracing::warn!(%error, "the redo log could not be emptied");
        }
        Ok(())
    }

    /// SQLite's transaction is lost, or is ahead of the log: back to what is committed, and the log again.
    pub(super) fn open_again(&mut self, reason: &dyn Display) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        tracing::error!(%reason, "the tables are opened again");
        self.opened += 1;
        let directory = kept.directory.clone();
        kept.broken = Some(reason.to_string());
        // The old connection is in the way of a new one as long as its transaction is open.
        if !self.storage.conn().is_autocommit()
            && let Err(error) = kept.transaction(self.storage.conn(), "ROLLBACK")
        {
            kept.broken = Some(error.to_string());
            return;
        }
        match Self::open(&directory, self.clock.clone()) {
            Ok(mut opened) => {
                if let (Some(old), Some(new)) = (&self.kept, &mut opened.kept) {
                    new.commit_after = old.commit_after;
                }
                opened.tokens = std::mem::take(&mut self.tokens);
                opened.opened = self.opened;
                opened.grown = self.grown.clone();
                opened.full = Arc::clone(&self.full);
                *self = opened;
            }
            Err(error) => {
                tracing::error!(%error, "the tables could not be opened again");
                kept.broken = Some(error.to_string());
            }
        }
    }

    /// Whether there are tables to ask: if not, tries once more. SQLite gives a transaction up on some
    /// errors of the disk, also when it only reads.
    fn ready(&mut self) -> Result<(), DynoxideError> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        if let Some(reason) = kept.broken.clone() {
            self.open_again(&reason);
        } else if self.storage.conn().is_autocommit() {
            self.open_again(&"no transaction is open");
        }
        match self.kept.as_ref().and_then(|kept| kept.broken.as_ref()) {
            Some(reason) => Err(internal(reason)),
            None => Ok(()),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept
            && kept.broken.is_none()
            && let Err(error) = self.commit(kept.redo.last())
        {
            tracing::warn!(%error, "the last commit of the tables failed; the redo log has it");
        }
    }
}

impl Kept {
    fn transaction(&self, connection: &Connection, statement: &str) -> rusqlite::Result<()> {
        self.ours.store(true, Ordering::Relaxed);
        let done = connection.execute_batch(statement);
        self.ours.store(false, Ordering::Relaxed);
        done
    }
}

/// Does all of it or nothing, within the transaction that is open. The outer error says that there is
/// none any more: SQLite gives it up on a full disk, among others.
fn savepoint<T>(
    storage: &Storage,
    work: impl FnOnce(&Storage) -> Result<T, DynoxideError>,
) -> rusqlite::Result<Result<T, DynoxideError>> {
    let step = |statement: &str| storage.conn().prepare_cached(statement)?.execute([]);
    step("SAVEPOINT one")?;
    let worked = work(storage);
    if worked.is_err() {
        step("ROLLBACK TO one")?;
    }
    step("RELEASE one")?;
    Ok(worked)
}

/// Makes a new table, and its indexes, anew `WITHOUT ROWID`: dynoxide would keep each row under a number
/// and find the number by another tree, which are two pages for one, and more when a row is replaced.
fn keep_rows_with_their_keys(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT name, sql FROM sqlite_master WHERE type = ?1 AND sql IS NOT NULL
         AND (tbl_name = ?2 OR substr(tbl_name, 1, length(?2) + 2) = ?2 || '::')",
    )?;
    let mut made = |kind| -> rusqlite::Result<Vec<(String, String)>> {
        let found = statement.query_map([kind, table], |row| Ok((row.get(0)?, row.get(1)?)))?;
        found.collect()
    };
    let (tables, indexes) = (made("table")?, made("index")?);
    for (name, sql) in tables {
        let name = name.replace('"', "\"\"");
        connection.execute_batch(&format!("DROP TABLE \"{name}\"; {sql} WITHOUT ROWID"))?;
    }
    indexes
        .into_iter()
        .try_for_each(|(_, sql)| connection.execute_batch(&sql))
}

/// Nobody but us begins or ends a transaction: what others say to that end does nothing.
fn only(ours: Arc<AtomicBool>) -> impl for<'r> FnMut(AuthContext<'r>) -> Authorization + Send {
    move |context| match context.action {
        AuthAction::Transaction { .. } if !ours.load(Ordering::Relaxed) => Authorization::Ignore,
        _ => Authorization::Allow,
    }
}

/// Whether an error is that the disk is full, in the words of the system or SQLite.
pub(super) fn is_full(error: &DynoxideError) -> bool {
    let DynoxideError::InternalServerError(words) = error else {
        return false;
    };
    let words = words.to_lowercase();
    words.contains("no space left") || words.contains("disk is full")
}

fn internal(error: impl Display) -> DynoxideError {
    DynoxideError::InternalServerError(error.to_string())
}
