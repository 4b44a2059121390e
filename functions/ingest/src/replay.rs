//! Applying again what was kept: on request, or because it was never wholly applied (G1).

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use shared::connectors::{Delivery, Signed};
use shared::domain::ConnectorName;
use shared::store::received::Received;

use crate::{Ingest, IngestError, Outcome};

/// Webhooks per step of a replay: few, as each may have thousands of rows and a caller waits.
const PAGE: i32 = 10;

/// Which webhooks to apply again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One, by the id that its answer named.
    One(String),
    /// All received in a span of time.
    Between {
        /// From this instant on; unset: from the oldest kept.
        from: Option<Timestamp>,
        /// Until before this instant; unset: to the newest.
        until: Option<Timestamp>,
    },
}

/// What one step of a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Webhooks looked at.
    pub webhooks: usize,
    /// What became of their rows.
    pub outcome: Outcome,
    /// Webhooks that could not be read any more, with the reason.
    pub failed: Vec<(String, String)>,
    /// Where the next step begins; `None` when all is done.
    pub next: Option<String>,
}

impl Ingest {
    /// Applies a page of a connector's kept webhooks again. What was applied has no second effect. People
    /// are told what is true after the last of them, and nothing of what was in between.
    pub async fn replay(
        &self,
        connector: &ConnectorName,
        selection: &Selection,
        cursor: Option<&str>,
    ) -> Result<Replayed, IngestError> {
        let (webhooks, next): (Vec<Received>, _) = match selection {
            Selection::One(id) => {
                let found = self.store.received(connector, id).await?;
                (found.into_iter().map(|stored| stored.data).collect(), None)
            }
            Selection::Between { from, until } => {
                let page = self
                    .store
                    .received_between(connector, *from, *until, cursor, PAGE)
                    .await?;
                (page.items, page.next)
            }
        };
        let now = self.store.clock().now();
        let mut replayed = Replayed {
            next,
            ..Replayed::default()
        };
        let again = Self {
            store: self.store.replaying(connector),
            ..self.clone()
        };
        self.store.replay_goes_on(connector).await?;
        // The table deletes late what is over.
        for received in webhooks.into_iter().filter(|it| it.is_kept(now)) {
            replayed.webhooks += 1;
            match Box::pin(again.recover(&received)).await {
                Ok(outcome) => {
                    replayed.outcome.applied += outcome.applied;
                    replayed.outcome.known += outcome.known;
                    replayed.outcome.quarantined += outcome.quarantined;
                    replayed.outcome.ignored += outcome.ignored;
                }
                Err(IngestError::Store(error)) if error.is_transient() => return Err(error.into()),
                Err(error) => replayed.failed.push((received.id, error.to_string())),
            }
        }
        if replayed.next.is_none() {
            self.store.replay_is_over(connector).await?;
        }
        Ok(replayed)
    }

    /// Applies a kept webhook whose time has come. Of what has waited, people are told what holds in the end.
    pub async fn catch_up(&self, received: &Received) -> Result<Outcome, IngestError> {
        if received.held.is_empty() {
            return self.recover(received).await;
        }
        let late = Self {
            store: self.store.writing_late(),
            ..self.clone()
        };
        late.recover(received).await
    }

    /// Applies a kept webhook: all of it, or what has no effect yet.
    #[tracing::instrument(name = "webhook again", skip_all,
        fields(connector = %received.connector, correlation = received.id))]
    pub async fn recover(&self, received: &Received) -> Result<Outcome, IngestError> {
        let door = self.door(received.connector.as_str()).await?;
        let body = self.store.received_body(received).await?;
        let headers: HeaderMap = received
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, HeaderValue::from_str(value).ok()?))
            })
            .collect();
        let delivery = Delivery {
            method: &received.method,
            headers: &headers,
            query: None,
            body: &body,
            source_ip: None,
            received: received.at,
        };
        let signed = Signed::kept(delivery);
        let parsed = self.parse(&door, &signed).await?;
        // With the version that it is marked as applied by.
        let stored = self
            .store
            .received(&received.connector, &received.id)
            .await?;
        let now = self.store.clock().now();
        let Some(stored) = stored.filter(|stored| stored.data.is_kept(now)) else {
            return Ok(Outcome::default()); // its time is over, and so is that of its events
        };
        self.apply(&door, stored, &signed, parsed).await
    }
}
