//! What the table has cost: consumed capacity, as DynamoDB itself counts it.

use std::iter::Sum;
use std::ops::Sub;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Capacity units consumed through one store, its clones included.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    all: Units,
    told: Units,
}

/// Capacity units. Reads of up to 4 KB cost one (half if they may lag), writes of up to 1 KB one, and
/// in a transaction twice that; a write to an index counts like one to the table.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    /// Read units.
    pub read: f64,
    /// Write units.
    pub write: f64,
}

impl Spent {
    /// Everything so far.
    pub fn units(&self) -> Units {
        self.account().all
    }

    /// What has come since this was last asked.
    pub fn take_new(&self) -> Units {
        let mut account = self.account();
        let new = account.all - account.told;
        account.told = account.all;
        new
    }

    pub(super) fn read(&self, operation: &str, used: Option<&ConsumedCapacity>) {
        let read = used
            .and_then(|used| used.capacity_units)
            .unwrap_or_default();
        tracing::trace!(operation, read, "table capacity");
        self.account().all.read += read;
    }

    pub(super) fn write<'a>(
        &self,
        operation: &str,
        used: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        let units = used.into_iter().filter_map(|used| used.capacity_units);
        let write = units.sum::<f64>();
        tracing::trace!(operation, write, "table capacity");
        self.account().all.write += write;
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sum for Units {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, each| Self {
            read: sum.read + each.read,
            write: sum.write + each.write,
        })
    }
}

impl Sub for Units {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            read: self.read - other.read,
            write: self.write - other.write,
        }
    }
}
