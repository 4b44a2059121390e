//! The heartbeat: a sign of life for somebody outside, who notices when it stops.

use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;
use shared::http::{Request, Transport};
use shared::metrics::{Metric, Metrics};
use shared::store::{Store, StoreError};
use url::Url;

/// Ticks closer together than this are one beat.
const APART: SignedDuration = SignedDuration::from_secs(30);

/// Where the sign of life goes, beside the metric.
#[derive(Clone, Default)]
pub struct Heartbeat {
    monitor: Option<(Url, Arc<dyn Transport>)>,
}

/// Only whether there is a monitor: its address is a key to it.
impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let monitor = self.monitor.is_some();
        f.debug_struct("Heartbeat")
            .field("monitor", &monitor)
            .finish()
    }
}

impl Heartbeat {
    /// Only the metric.
    pub fn metric_only() -> Self {
        Self::default()
    }

    /// The metric, and a GET to a monitor that raises the alarm when none comes.
    pub fn to(url: Url, transport: Arc<dyn Transport>) -> Self {
        Self {
            monitor: Some((url, transport)),
        }
    }

    /// Gives the beat of this minute, unless another tick did.
    pub(crate) async fn beat(&self, store: &Store, metrics: &Metrics) -> Result<bool, StoreError> {
        if !store.take_heartbeat(APART).await? {
            return Ok(false);
        }
        metrics.count(Metric::Heartbeat, &[]);
        if let Some((url, transport)) = &self.monitor {
            match transport.call(Request::get(url.clone())).await {
                Ok(reply) if reply.status.is_success() => {}
                Ok(reply) => {
                    let status = reply.status.as_u16();
                    tracing::warn!(status, "the heartbeat's monitor refused it");
                }
                Err(error) => tracing::warn!(%error, "the heartbeat's monitor is out of reach"),
            }
        }
        Ok(true)
    }
}
