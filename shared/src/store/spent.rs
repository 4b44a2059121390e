//! What the table has cost: consumed capacity, as DynamoDB itself counts it.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Capacity units consumed through one store, its clones included.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<Mutex<Units>>);

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
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, used: Option<&ConsumedCapacity>) {
        self.add(used.and_then(|used| used.capacity_units), |units| {
            &mut units.read
        });
    }

    pub(super) fn write<'a>(&self, used: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        for used in used {
            self.add(used.capacity_units, |units| &mut units.write);
        }
    }

    fn add(&self, units: Option<f64>, to: impl FnOnce(&mut Units) -> &mut f64) {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *to(&mut spent) += units.unwrap_or_default();
    }
}
