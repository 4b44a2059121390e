//! `ingest`: webhooks in, stock changes out.
//!
//! In this order, and nothing is written before the third step but how many were turned away: who sent
//! it (on the raw body), what it says, keep it as it came, apply it, answer. One that says a single thing is kept by the write that
//! applies it. An acknowledged webhook is in the table, whole; one
//! that could not be applied for now is answered with 503 *and* kept, so that either the sender's
//! retry or the clock applies it (G1); one that there was no time to apply whole with 202, for the clock.
//! Applying it again has no second effect (G2).
//!
//! | file | job |
//! |---|---|
//! | [`connectors`] | the configured connectors with their secrets, kept while the configuration stands |
//! | [`application`] | events into the store, what cannot be used into quarantine |
//! | [`replay`] | applying again what was kept: on request, or because it was never applied |

mod application;
mod connectors;
mod replay;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::connectors::{Delivery, ParseError, Push};
use shared::domain::ConnectorName;
use shared::installation::{Installation, InstallationError, Installations};
use shared::metrics::{Metric, Metrics};
use shared::problem::{Problem, json_response};
use shared::secrets::{SecretError, Secrets};
use shared::signature::SignatureError;
use shared::store::received::{KEPT_DAYS, KeptBody, Received, ReceivedState, delivery_id};
use shared::store::{Store, StoreError};

use tracing::field::Empty;
use tracing::{Instrument, Span};

pub use application::Outcome;
pub use replay::{Replayed, Selection};

/// Why a webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// No connector of this name takes webhooks.
    #[error("no connector `{0}` takes webhooks here")]
    UnknownConnector(String),
    /// It came from an address that the connector does not allow.
    #[error("this address is not one that the connector may be called from")]
    Address,
    /// The body is larger than the connector allows.
    #[error("the body has {found} bytes; at most {most} are accepted")]
    TooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// The gateway's encoding of the body is broken.
    #[error("the body's base64 cannot be decoded")]
    Encoding,
    /// Who sent it could not be proven.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// What it says could not be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A secret that the check needs is not to be had.
    #[error("the connector's secret cannot be read")]
    Secret(#[from] SecretError),
    /// The connector's settings do not hold together.
    #[error("the connector cannot be used: {0}")]
    Settings(String),
    /// There is no configuration.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IngestError {
    /// The status of the answer, and the reason as machines read it.
    fn answer(&self) -> (u16, &'static str) {
        match self {
            Self::UnknownConnector(_) => (404, "unknown_connector"),
            Self::Address => (403, "address_not_allowed"),
            Self::TooLarge { .. } => (413, "body_too_large"),
            Self::Encoding => (400, "bad_encoding"),
            Self::Signature(error) => (401, error.reason()),
            Self::Parse(error) => (error.status(), error.reason()),
            Self::Secret(_) => (503, "secret_unavailable"),
            Self::Store(error) | Self::Installation(InstallationError::Store(error)) => match error
            {
                StoreError::Full { .. } => (507, "storage_full"),
                error if error.is_transient() => (503, "busy"),
                // Sent again it would be refused again.
                error if error.is_lasting() => (422, "unstorable"),
                _ => (503, "store_failed"),
            },
            Self::Settings(_) | Self::Installation(_) => (503, "not_configured"),
        }
    }

    /// What the sender is told.
    fn detail(&self) -> String {
        match self {
            Self::Store(error) if error.is_lasting() => {
                "it holds a name or a value that is too long to be stored".to_owned()
            }
            _ if self.answer().0 == 507 => {
                "the disk is full; send it again when there is room".to_owned()
            }
            // Its words are for the log: they tell more of our insides than a sender needs.
            Self::Store(_) | Self::Installation(_) | Self::Secret(_) => {
                "the webhook cannot be taken at the moment; send it again".to_owned()
            }
            told => told.to_string(),
        }
    }
}

/// What an answer takes that says no more than that a webhook is kept.
const ANSWERING: SignedDuration = SignedDuration::from_secs(1);

/// Takes webhooks.
#[derive(Clone)]
pub struct Ingest {
    store: Store,
    installations: Installations,
    metrics: Metrics,
    connectors: connectors::Connectors,
    kept_days: u16,
    refusals: Refusals,
}

/// Of each connector how many refused webhooks are to be written, and when some last were.
type Refusals = Arc<Mutex<HashMap<ConnectorName, (u64, Option<Timestamp>)>>>;

/// How often refused webhooks of a connector are written at most.
const NOTED_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// A webhook's way in: its connector, and what that may take.
pub(crate) struct Door {
    pub(crate) installation: Arc<Installation>,
    pub(crate) name: ConnectorName,
    pub(crate) push: Arc<dyn Push>,
}

impl Ingest {
    /// Webhooks into this table, checked with these secrets.
    pub fn new(
        store: Store,
        installations: Installations,
        secrets: Arc<Secrets>,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            installations,
            metrics,
            connectors: connectors::Connectors::new(secrets),
            kept_days: KEPT_DAYS,
            refusals: Refusals::default(),
        }
    }

    /// Keeps webhooks for this many days, to be applied again.
    #[must_use]
    pub fn keeping(self, days: u16) -> Self {
        Self {
            kept_days: days,
            ..self
        }
    }

    /// Handles one webhook.
    pub async fn handle(
        &self,
        request: ApiGatewayV2httpRequest,
        deadline: Timestamp,
    ) -> ApiGatewayV2httpResponse {
        let name = request
            .path_parameters
            .get("connector")
            .cloned()
            .unwrap_or_default();
        let gateway = request.request_context.request_id.clone();
        let span = tracing::info_span!(
            "webhook",
            connector = name,
            gateway_request = gateway,
            correlation = Empty,
            outcome = Empty,
        );
        async {
            let response = match Box::pin(self.take(&name, &request, deadline)).await {
                Ok(response) => response,
                Err(error) => {
                    self.note_refused(&name, &error).await;
                    self.refuse(&name, &error)
                }
            };
            Span::current().record("outcome", response.status_code);
            response
        }
        .instrument(span)
        .await
    }

    async fn take(
        &self,
        name: &str,
        request: &ApiGatewayV2httpRequest,
        deadline: Timestamp,
    ) -> Result<ApiGatewayV2httpResponse, IngestError> {
        let mut door = self.door(name).await?;
        let body = raw_body(request)?;
        let source_ip = source_ip(request);
        connectors::admit(&door, source_ip, body.len())?;
        let now = self.store.clock().now();
        let delivery = Delivery {
            method: request.request_context.http.method.as_str(),
            headers: &request.headers,
            query: request
                .raw_query_string
                .as_deref()
                .filter(|query| !query.is_empty()),
            body: &body,
            source_ip,
            received: now,
        };
        let signed = match door.push.verify(&delivery) {
            Err(SignatureError::Mismatch) => {
                if let Some(anew) = self.connectors.door_anew(&door).await? {
                    door = anew;
                }
                door.push.verify(&delivery)?
            }
            verified => verified?,
        };
        self.note_verified(&door, signed.verified());

        let vendor_id = door.push.delivery_id(&delivery);
        let id = delivery_id(&door.name, vendor_id.as_deref(), &body);
        Span::current().record("correlation", &id);
        let parsed = match self.parse(&door, &signed).await {
            Ok(parsed) => parsed,
            // It may have been read, and applied, by a former configuration.
            Err(error) => return self.taken_before(&door, &id).await?.ok_or(error),
        };
        let kept = KeptBody::of(&door.push.keepable(&body))?;
        let (received, rest) = Received {
            id,
            connector: door.name.clone(),
            at: now,
            method: delivery.method.to_owned(),
            headers: connectors::headers_to_keep(&door, &request.headers),
            body: None,
            parts: kept.parts(),
            length: kept.length(),
            kept_days: self.kept_days,
            state: ReceivedState::Waiting,
            again_at: None,
            tries: 0,
            held: Vec::new(),
        }
        .holding(kept);
        let id = received.id.clone();
        let at_once = if rest.parts() == 0 {
            self.apply_at_once(&door, &received, &parsed).await?
        } else {
            None
        };
        let outcome = match at_once {
            Some(outcome) => outcome,
            None => {
                if let Some(answer) = self.taken_before(&door, &received.id).await? {
                    return Ok(answer);
                }
                let received = self.store.receive(&received, rest).await?;
                let left = deadline.duration_since(self.store.clock().now()) - ANSWERING;
                let left = left.max(SignedDuration::ZERO).unsigned_abs();
                let applied = self.apply(&door, received, &signed, parsed);
                match tokio::time::timeout(left, applied).await {
                    Ok(outcome) => outcome?,
                    Err(_) => {
                        tracing::warn!(connector = %door.name, received.id = id,
                            "there was no time to apply all of a webhook; the clock will");
                        let body = json!({ "received": id, "duplicate": false });
                        return Ok(json_response(202, &body, "application/json"));
                    }
                }
            }
        };
        tracing::info!(
            connector = %door.name,
            received.id = id,
            applied = outcome.applied,
            known = outcome.known,
            quarantined = outcome.quarantined,
            "webhook taken"
        );
        let mut body = json!({
            "received": id,
            "duplicate": false,
            "applied": outcome.applied,
            "known": outcome.known,
            "quarantined": outcome.quarantined,
            "ignored": outcome.ignored,
        });
        let notes = outcome.notes();
        if !notes.is_empty() {
            body["notes"] = json!(notes);
        }
        Ok(json_response(200, &body, "application/json"))
    }

    /// The answer to a webhook that was applied when it came before.
    async fn taken_before(
        &self,
        door: &Door,
        id: &str,
    ) -> Result<Option<ApiGatewayV2httpResponse>, IngestError> {
        let known = self.store.received(&door.name, id).await?;
        if known.is_none_or(|known| known.data.state != ReceivedState::Applied) {
            return Ok(None);
        }
        self.metrics.count(
            Metric::EventsDuplicate,
            &[("Connector", door.name.as_str())],
        );
        let body = json!({ "received": id, "duplicate": true });
        Ok(Some(json_response(200, &body, "application/json")))
    }

    /// Counts a webhook that is turned away, for status and for people, unless it is nobody's, or can be
    /// taken before long. However many come, there is a write a second, with those that came meanwhile.
    async fn note_refused(&self, name: &str, error: &IngestError) {
        let (status, reason) = error.answer();
        let passes = match error {
            IngestError::Store(_) | IngestError::Installation(_) => status >= 500,
            IngestError::UnknownConnector(_) => true,
            _ => false,
        };
        if passes {
            return;
        }
        let Ok(connector) = name.parse::<ConnectorName>() else {
            return;
        };
        let now = self.store.clock().now();
        let count = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            let (count, noted) = refusals.entry(connector.clone()).or_default();
            *count += 1;
            if noted.is_some_and(|at| now.duration_since(at) < NOTED_EVERY) {
                return;
            }
            *noted = Some(now);
            std::mem::take(count)
        };
        let words = match error {
            // The sender is not told which.
            IngestError::Secret(error) => error.to_string(),
            error => error.detail(),
        };
        let words = (reason, &*words);
        if let Err(error) = self.store.note_refused(&connector, count, words).await {
            tracing::warn!(%connector, %error, "refused webhooks could not be counted");
        }
    }

    /// The way in for a connector, by the configuration in force.
    async fn door(&self, name: &str) -> Result<Door, IngestError> {
        let installation = self.installations.current().await?;
        self.connectors.door(installation, name).await
    }

    fn note_verified(&self, door: &Door, verified: shared::signature::Verified) {
        let connector = [("Connector", door.name.as_str())];
        if let Some(skew) = verified.skew {
            #[expect(clippy::cast_precision_loss, reason = "a skew of seconds, for a graph")]
            let seconds = skew.as_secs() as f64;
            self.metrics
                .record(Metric::IngestSkewSeconds, seconds, &connector);
        }
        if verified.by_old_secret() {
            tracing::warn!(connector = %door.name, "signed with the previous secret");
        }
    }

    fn refuse(&self, name: &str, error: &IngestError) -> ApiGatewayV2httpResponse {
        let (status, reason) = error.answer();
        let cause = error as &(dyn std::error::Error + 'static);
        if status >= 500 {
            tracing::error!(connector = name, reason, error = cause, "webhook not taken");
        } else {
            tracing::warn!(connector = name, reason, error = cause, "webhook refused");
        }
        let mut problem = Problem::new(status, reason, error.detail());
        if let IngestError::Parse(error) = error
            && let Some(pointer) = error.pointer()
        {
            problem
                .errors
                .push(json!({ "pointer": pointer, "detail": error.to_string() }));
        }
        let mut response = problem.response();
        if status == 507 {
            let seconds = HeaderValue::from_static("30");
            response.headers.insert(RETRY_AFTER, seconds);
        }
        response
    }
}

fn raw_body(request: &ApiGatewayV2httpRequest) -> Result<Vec<u8>, IngestError> {
    let body = request.body.as_deref().unwrap_or_default();
    if request.is_base64_encoded {
        STANDARD.decode(body).map_err(|_| IngestError::Encoding)
    } else {
        Ok(body.as_bytes().to_vec())
    }
}

fn source_ip(request: &ApiGatewayV2httpRequest) -> Option<IpAddr> {
    request
        .request_context
        .http
        .source_ip
        .as_deref()?
        .parse()
        .ok()
}
