//! Who is told: a vendor that keeps a record of every message it takes, by its key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use shared::chance::Chance;
use shared::delivery::{Outgoing, Sender};
use shared::http::{Reply, Request, TransportError};
use shared::signature::standard;

use super::killer::Killer;

/// A vendor of webhooks, who knows a repeated message by its id, as receivers are told to.
pub(super) struct Vendor {
    /// How often each message was taken.
    taken: Mutex<BTreeMap<String, usize>>,
    ways: Option<Ways>,
}

/// What lies between us and the vendor: time, and whoever ends runs meanwhile.
struct Ways {
    killer: Arc<Killer>,
    chance: Chance,
}

impl Vendor {
    /// One that answers at once.
    pub(super) fn next_door() -> Self {
        Self {
            taken: Mutex::default(),
            ways: None,
        }
    }

    /// One some milliseconds away, with runs ending on the way there and on the way back.
    pub(super) fn far_away(killer: Arc<Killer>, chance: Chance) -> Self {
        Self {
            ways: Some(Ways { killer, chance }),
            ..Self::next_door()
        }
    }

    /// How often each message was taken, by its key.
    pub(super) fn record(&self) -> BTreeMap<String, usize> {
        self.taken().clone()
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: &str) {
        *self.taken().entry(key.to_owned()).or_default() += 1;
    }
}

impl Ways {
    async fn go(&self) {
        let millis = 1 + self.chance.bits() % 3;
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

#[async_trait]
impl Outgoing for Vendor {
    fn stands_in(&self) -> bool {
        false
    }

    async fn carry(&self, _: &Sender<'_>, request: Request) -> Result<Reply, TransportError> {
        let id = request.headers.get(standard::ID);
        let Some(key) = id.and_then(|id| id.to_str().ok()) else {
            return Ok(Reply::new(StatusCode::BAD_REQUEST, "no id"));
        };
        match &self.ways {
            None => self.take(key),
            Some(ways) => {
                ways.killer.sent().await;
                ways.go().await;
                self.take(key);
                ways.killer.taken(key).await;
                ways.go().await;
            }
        }
        Ok(Reply::new(StatusCode::NO_CONTENT, ""))
    }
}
