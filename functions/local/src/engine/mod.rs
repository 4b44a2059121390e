//! An AWS small enough to live inside one process.
//!
//! It knows nothing of stock or alerts: tables with streams, queues, topics, and the pump that
//! carries what they hold to functions, under AWS's rules. The functions talk to it through the
//! official SDK clients, whose HTTP client is [`EmbeddedAws`].
//!
//! | room | what lives there |
//! |---|---|
//! | `wire` | the SDK's HTTP client: protocols in, protocols out |
//! | `endpoint` | the same on a port, for programs outside of this process |
//! | `interference` | the hook every call passes, where a simulation throws its faults |
//! | `tables`, `stream_log` | DynamoDB with streams, in memory or in a directory |
//! | `usage` | what each partition key consumes, counted when asked for |
//! | `queues`, `queue_calls` | standard SQS queues and their JSON protocol |
//! | `topics` | SNS topics, filter policies and their query protocol |
//! | `pattern` | the matching rules that event filters and filter policies share |
//! | `counter` | a count that can be waited on |
//! | `function` | a handler, its timeout, and one guarded run of it |
//! | `pump`, `streams`, `polls`, `schedules` | event-source mappings |

mod counter;
mod endpoint;
mod function;
mod interference;
mod pattern;
mod polls;
mod pump;
mod queue_calls;
mod queues;
mod schedules;
mod stream_log;
mod streams;
mod tables;
#[cfg(test)]
mod testing;
mod topics;
mod usage;
mod wire;

pub use function::{BoxError, Function, Handler, Invocation, RunId};
pub use interference::{Call, Fate, Interference, Service, Untouched, Verdict};
pub use pattern::{Pattern, PatternError};
pub use polls::QueueMapping;
pub use pump::{Pump, PumpBuilder};
pub use queues::{Queue, QueueAttributes, QueueError, Queues, Redrive};
pub use schedules::{Rate, RateError, Schedule};
pub use streams::{StartingPosition, StreamMapping};
pub use tables::{Attribute, Index, Keys, Projection, TableDefinition, Tables};
pub use topics::{Subscription, Topics};
pub use usage::{Consumed, Consumption, MOST_READ_UNITS, MOST_WRITE_UNITS, Partition, busiest};
pub use wire::{EmbeddedAws, Settings};

use jiff::Timestamp;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The region the embedded services say they are in.
pub const REGION: &str = "eu-central-1";
/// The account they say they belong to.
pub const ACCOUNT: &str = "000000000000";

/// Why the embedded services could not be set up or read.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The embedded DynamoDB refused.
    #[error("{doing}: {source}")]
    Tables {
        /// What was being done, and to which table.
        doing: String,
        /// In DynamoDB's words.
        source: dynoxide::DynoxideError,
    },
    /// The embedded DynamoDB did not open.
    #[error("open the tables: {source}")]
    Opening {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file under the tables refused.
    #[error("{doing}: {source}")]
    StreamLog {
        /// What was being done.
        doing: &'static str,
        /// In SQLite's words.
        source: rusqlite::Error,
    },
    /// The data directory could not be used.
    #[error("data directory {}: {source}", directory.display())]
    Directory {
        /// Which one.
        directory: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Two processes on one directory would deliver everything twice.
    #[error(
        "data directory {} is in use by {}, and two would tell people everything twice; stop that one, or start \
         this one with a directory and an address of its own: --data DIR --listen HOST:PORT",
        directory.display(),
        Process(*by)
    )]
    InUse {
        /// Which one.
        directory: PathBuf,
        /// The process that has it, where it says so.
        by: Option<u32>,
    },
    /// A table exists with other keys than the definition asks for.
    #[error("table {table} exists with other keys: {found}")]
    OtherKeys {
        /// Which one.
        table: String,
        /// Its keys.
        found: String,
    },
    /// A queue, topic or table that a mapping or a subscription names is missing.
    #[error("{wanted_by}: there is no {missing}")]
    Missing {
        /// Who asked.
        wanted_by: String,
        /// For what.
        missing: String,
    },
    /// A message would come back while its function still works on it.
    #[error("queue {queue}: its visibility timeout is shorter than function {function}'s timeout")]
    VisibilityTooShort {
        /// Which queue.
        queue: String,
        /// Which function.
        function: String,
    },
    /// A function that was run by hand failed.
    #[error("function {function}: {problem}")]
    Invocation {
        /// Which one.
        function: String,
        /// How.
        problem: String,
    },
}

/// Identifiers shaped as UUIDs that repeat under a virtual clock, and never across two runs on
/// the machine's clock.
#[derive(Debug)]
pub(crate) struct Ids {
    epoch: u64,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn starting_at(start: Timestamp) -> Self {
        Self {
            epoch: u64::try_from(start.as_microsecond()).unwrap_or_default(),
            next: AtomicU64::new(1),
        }
    }

    /// Those of the next run, which are others even at the same instant.
    pub(crate) fn successor(&self, start: Timestamp) -> Self {
        let next = Self::starting_at(start);
        Self {
            epoch: next.epoch.max(self.epoch + 1),
            ..next
        }
    }

    /// The run these identifiers belong to.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn next(&self) -> String {
        let (high, low) = (self.epoch, self.next.fetch_add(1, Ordering::Relaxed));
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// A process in words.
struct Process(Option<u32>);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "another `lotwire` (process {id})"),
            None => f.write_str("another process"),
        }
    }
}
