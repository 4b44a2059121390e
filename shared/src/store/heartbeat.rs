//! The heartbeat's record: which minute has been told of already.

use jiff::{SignedDuration, Timestamp};

use super::feeds::Moment;
use super::keys::Key;
use super::row::{Expect, Row};
use super::{Store, StoreError};

const OPERATION: &str = "record a heartbeat";

fn key() -> Key {
    Key::new("HEARTBEAT", "heartbeat")
}

impl Store {
    /// When the heart last beat.
    pub async fn last_heartbeat(&self) -> Result<Option<Timestamp>, StoreError> {
        let stored = self.get::<Moment>(OPERATION, &key()).await?;
        Ok(stored.map(|stored| stored.data.0))
    }

    /// Takes the beat of this moment: `false` if somebody took one less than `apart` ago, so that
    /// overlapping ticks count once.
    pub async fn take_heartbeat(&self, apart: SignedDuration) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let stored = self.get::<Moment>(OPERATION, &key()).await?;
        let recent = |last: Timestamp| now.duration_since(last) < apart;
        if stored.as_ref().is_some_and(|stored| recent(stored.data.0)) {
            return Ok(false);
        }
        let row = Row::new(key(), "heartbeat", &Moment(now))?;
        let expect = Expect::from_read(stored.as_ref());
        self.put(OPERATION, row, expect).await
    }
}
