//! The HTTP API: what people and programs ask of the stock, and tell it.
//!
//! | file | job |
//! |---|---|
//! | `router` | which endpoint a method and path mean |
//! | `auth` | who may enter |
//! | `request`, `fields` | what was asked, read strictly |
//! | `problem`, `answer`, `paging` | what is answered |
//! | [`ports`] | what other functions do for the API |
//! | `endpoints` | one file per subject |
//!
//! `docs/api.md` describes every endpoint; a test demands a heading for each.

mod answer;
mod auth;
mod differences;
mod endpoints;
mod fields;
mod paging;
pub mod ports;
mod problem;
mod request;
mod router;

use std::sync::Arc;

use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use jiff::{SignedDuration, Timestamp};
use shared::config::environment::Intake;
use shared::domain::Correlation;
use shared::installation::{Installation, Installations};
use shared::store::Store;
use tracing::Instrument;

pub use self::auth::Tokens;
pub use self::differences::{Difference, between as differences};
pub use self::ports::{Ports, Replay, StartSync};
pub use self::router::{Endpoint, ROUTES};

use self::answer::Answer;
use self::problem::Problem;
use self::request::Request;

/// Time kept back to answer in, when work could go on until the deadline.
const RESERVE: SignedDuration = SignedDuration::from_secs(2);

/// The API.
#[derive(Clone)]
pub struct Api {
    store: Store,
    installations: Installations,
    tokens: Tokens,
    ports: Ports,
    intake: Intake,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// What an endpoint works with.
struct Context<'a> {
    store: &'a Store,
    installations: &'a Installations,
    ports: &'a Ports,
    request: &'a Request,
    intake: Intake,
    /// When work that can be continued later must stop.
    until: Timestamp,
}

impl Api {
    /// An API over this table.
    pub fn new(store: Store, installations: Installations, tokens: Tokens, ports: Ports) -> Self {
        Self {
            store,
            installations,
            tokens,
            ports,
            intake: Intake::Open,
        }
    }

    /// It, but while the intake is closed it changes nothing.
    #[must_use]
    pub fn with_intake(self, intake: Intake) -> Self {
        Self { intake, ..self }
    }

    /// Answers one request. Every failure is an answer too.
    pub async fn handle(
        &self,
        request: ApiGatewayV2httpRequest,
        deadline: Timestamp,
    ) -> ApiGatewayV2httpResponse {
        let id = request.request_context.request_id.as_deref();
        let correlation = id.and_then(|id| id.parse::<Correlation>().ok());
        let span = tracing::info_span!("call", method = %request.request_context.http.method,
            path = request.raw_path, correlation = correlation.as_ref().map(Correlation::as_str));
        let request = Request::from(request);
        let answered = self
            .answer(&request, correlation, deadline)
            .instrument(span)
            .await;
        answered
            .unwrap_or_else(|problem| problem.about(&request).into())
            .into()
    }

    async fn answer(
        &self,
        request: &Request,
        correlation: Option<Correlation>,
        deadline: Timestamp,
    ) -> Result<Answer, Problem> {
        let (endpoint, variable) = router::find(request)?;
        if endpoint.needs_token() {
            self.tokens.admit(request).await?;
        }
        if self.intake == Intake::Closed && !request.method.is_safe() {
            return Err(Problem::intake_closed());
        }
        request.check_body(endpoint.body_limit())?;
        let store = match correlation {
            Some(id) => &self.store.on_behalf_of(id, Some(self.store.clock().now())),
            None => &self.store,
        };
        let context = Context {
            store,
            installations: &self.installations,
            ports: &self.ports,
            request,
            intake: self.intake,
            until: deadline.saturating_sub(RESERVE).unwrap_or(deadline),
        };
        endpoints::answer(endpoint, &variable, &context).await
    }
}

impl Context<'_> {
    /// The configuration in force. Whoever has just applied one is answered by it, whichever instance
    /// they reach.
    async fn installation(&self) -> Result<Arc<Installation>, Problem> {
        Ok(self.installations.newest().await?)
    }

    fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// The same, where work that can do without an end stops after this long.
    fn within(&self, time: SignedDuration) -> Self {
        let then = self.now().saturating_add(time).unwrap_or(self.until);
        Self {
            until: self.until.min(then),
            ..*self
        }
    }

    /// Whether work that can be continued later must stop now.
    fn is_late(&self) -> bool {
        self.now() >= self.until
    }
}
