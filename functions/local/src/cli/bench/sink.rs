//! The vendor: takes alerts on loopback, and notes when each came.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use tokio::sync::Notify;

use super::{BenchError, during};

/// When the alert about each product came.
#[derive(Debug)]
pub(super) struct Arrivals {
    at: Vec<OnceLock<Instant>>,
    arrived: AtomicU64,
    /// Alerts that came again, or that nothing was sent for.
    surplus: AtomicU64,
    changed: Notify,
}

#[derive(Deserialize)]
struct Alert {
    data: About,
}

#[derive(Deserialize)]
struct About {
    product: String,
}

impl Arrivals {
    pub(super) fn expecting(count: usize) -> Arc<Self> {
        Arc::new(Self {
            at: (0..count).map(|_| OnceLock::new()).collect(),
            arrived: AtomicU64::new(0),
            surplus: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// Listens on a free port of this machine, and says where.
    pub(super) async fn listen(self: &Arc<Self>) -> Result<SocketAddr, BenchError> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(during("listen for alerts"))?;
        let address = listener.local_addr().map_err(during("listen for alerts"))?;
        let routes = Router::new()
            .route("/alerts", post(take))
            .with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(address)
    }

    /// When the alert about this product came, if it did.
    pub(super) fn of(&self, number: usize) -> Option<Instant> {
        self.at.get(number)?.get().copied()
    }

    pub(super) fn surplus(&self) -> u64 {
        self.surplus.load(Ordering::SeqCst)
    }

    /// How many alerts have come, of those that were expected.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Waits until so many alerts have come.
    pub(super) async fn until(&self, count: u64) {
        loop {
            let changed = self.changed.notified();
            if self.arrived() >= count {
                return;
            }
            changed.await;
        }
    }

    fn note(&self, product: &str, at: Instant) {
        let slot = super::world::number_of(product).and_then(|number| self.at.get(number));
        if slot.is_some_and(|slot| slot.set(at).is_ok()) {
            self.arrived.fetch_add(1, Ordering::SeqCst);
            self.changed.notify_one();
        } else {
            self.surplus.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn take(State(arrivals): State<Arc<Arrivals>>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    match serde_json::from_slice::<Alert>(&body) {
        Ok(alert) => {
            arrivals.note(&alert.data.product, now);
            StatusCode::NO_CONTENT
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}
