//! What went wrong, as RFC 9457 has it: `application/problem+json`, with a stable type.

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::domain::position::Refusal;
use shared::installation::InstallationError;
use shared::problem::Problem as Details;
use shared::store::StoreError;
use shared::store::imports::ImportError;
use shared::store::inbox::InboxError;
use shared::store::quarantine::DismissError;
use shared::store::stock::ApplyError;

use crate::answer::Answer;
use crate::ports::PortError;
use crate::request::Request;

/// A failed request. Boxed, so that results stay small where nothing fails.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    /// The last part of its type: `urn:lotwire:problem:<slug>`.
    slug: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    /// Further members, by name.
    more: Map<String, Value>,
    header: Option<(HeaderName, String)>,
    instance: Option<String>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    /// Where in the body (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// Which part of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Parts {
            status,
            slug,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            more: Map::new(),
            header: None,
            instance: None,
        }))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub(crate) fn method_not_allowed(method: &Method, allowed: &[&str]) -> Self {
        let allowed = allowed.join(", ");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            format!("{method} is not possible here; allowed: {allowed}"),
        )
        .headed(ALLOW, &allowed)
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Not signed in",
            detail,
        )
        .headed(WWW_AUTHENTICATE, "Bearer")
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            "The body cannot be read",
            detail,
        )
    }

    pub(crate) fn cursor() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_cursor",
            "The cursor cannot be used",
            "this is not a cursor of this list with these filters; begin again without one",
        )
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is too large",
            format!("at most {limit} bytes are taken here"),
        )
    }

    /// What was asked for can be read, and cannot be meant.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let details: Vec<_> = errors.iter().map(FieldError::in_words).collect();
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request",
            "The request cannot be carried out as it is",
            details.join("; "),
        );
        problem.0.errors = errors;
        problem
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not possible right now",
            detail,
        )
        .headed(RETRY_AFTER, "1")
    }

    fn storage_full() -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage_full",
            "The disk is full",
            "nothing can be written until the disk of the data directory has room; then all goes on \
             by itself, and what is there can be read meanwhile",
        )
        .headed(RETRY_AFTER, "30")
    }

    /// As long as a table is restored, what would be written could be lost with the one that is left.
    pub(crate) fn intake_closed() -> Self {
        Self::unavailable(
            "the intake is closed, as for a restore: nothing can be changed until it is open",
        )
        .headed(RETRY_AFTER, "60")
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something is broken here",
            "the log says more",
        )
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.0.more.insert(name.to_owned(), value);
        self
    }

    /// The same with other words of this time.
    pub(crate) fn detailed(mut self, detail: String) -> Self {
        self.0.detail = detail;
        self
    }

    fn headed(mut self, name: HeaderName, value: &str) -> Self {
        self.0.header = Some((name, value.to_owned()));
        self
    }

    /// Says which request it is about.
    pub(crate) fn about(mut self, request: &Request) -> Self {
        self.0.instance = Some(request.shown_path().to_owned());
        self
    }
}

impl FieldError {
    pub(crate) fn body(field: &str, detail: impl Into<String>) -> Self {
        let escaped = field.replace('~', "~0").replace('/', "~1");
        Self {
            pointer: Some(format!("/{escaped}")),
            parameter: None,
            detail: detail.into(),
        }
    }

    pub(crate) fn query(name: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.to_owned()),
            detail: detail.into(),
        }
    }

    fn in_words(&self) -> String {
        let place = self.pointer.as_deref().or(self.parameter.as_deref());
        format!("{} {}", place.unwrap_or_default(), self.detail)
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let problem = problem.0;
        let details = Details {
            title: problem.title.to_owned(),
            errors: problem.errors.iter().map(|error| json!(error)).collect(),
            ..Details::new(problem.status.as_u16(), problem.slug, problem.detail)
        };
        let mut body = json!(details);
        if let Some(instance) = problem.instance {
            body["instance"] = instance.into();
        }
        for (name, value) in problem.more {
            body[name] = value;
        }
        let answer = Answer::new(problem.status, body);
        let answer = answer.with(CONTENT_TYPE, "application/problem+json");
        match problem.header {
            Some((name, value)) => answer.with(name, &value),
            None => answer,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Cursor) {
            return Self::cursor();
        }
        if let StoreError::Full { operation } = error {
            tracing::warn!(operation, "a request met a full disk");
            return Self::storage_full();
        }
        if error.is_transient() {
            tracing::warn!(%error, "a request met a busy table");
            return Self::unavailable(
                "the table is busy; the same request may succeed a little later",
            );
        }
        tracing::error!(%error, source = ?std::error::Error::source(&error), "a request failed");
        Self::internal()
    }
}

impl From<InstallationError> for Problem {
    fn from(error: InstallationError) -> Self {
        match error {
            InstallationError::Store(error) => error.into(),
            InstallationError::NotConfigured => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_configured",
                "There is no configuration yet",
                "apply one first: `lotwire apply lotwire.toml`, or PUT /api/v1/config",
            ),
            InstallationError::Inconsistent(_) => {
                tracing::error!(%error, "the applied configuration cannot be used");
                Self::internal()
            }
        }
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        let conflict = |slug, title, detail| Self::new(StatusCode::CONFLICT, slug, title, detail);
        let detail = error.to_string();
        match error {
            ApplyError::Store(error) => error.into(),
            ApplyError::Reused { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "The idempotency key was used for something else",
                "a request with this key and another body was carried out before; take a new key",
            ),
            ApplyError::Refused(refusal) => match refusal {
                Refusal::Insufficient { asked, available } => {
                    conflict("insufficient_stock", "There is not enough", detail)
                        .with("asked", asked)
                        .with("available", available)
                }
                Refusal::NoData => conflict(
                    "quantity_unknown",
                    "Nobody has said how much there is",
                    "send a movement of type `count` first".to_owned(),
                ),
                Refusal::NotHeld { asked, held } => {
                    conflict("not_reserved", "Not that much is reserved", detail)
                        .with("asked", asked)
                        .with("reserved", held)
                }
                Refusal::Counted => conflict(
                    "counted_from_vehicles",
                    "This stock is counted from its vehicles",
                    detail,
                ),
                Refusal::Stated => conflict(
                    "stated_by_source",
                    "This stock is stated by a source",
                    detail,
                ),
                Refusal::Impossible { .. } | Refusal::Jump { .. } => {
                    Self::invalid(vec![FieldError::body("quantity", detail)])
                }
            },
            ApplyError::Unstorable(_) => Self::malformed(detail),
            ApplyError::SameSku { .. } => {
                conflict("same_sku", "Several items have this SKU", detail)
            }
            ApplyError::UnknownPlace(_) => {
                Self::invalid(vec![FieldError::body("location", detail)])
            }
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::Key(error) => {
                Self::malformed(format!("the Idempotency-Key header: {error}"))
            }
        }
    }
}

impl From<InboxError> for Problem {
    fn from(error: InboxError) -> Self {
        let detail = error.to_string();
        match error {
            InboxError::Unknown(_) => Self::not_found(detail),
            InboxError::Settled { state, .. } => Self::new(
                StatusCode::CONFLICT,
                "settled_already",
                "This was decided before",
                detail,
            )
            .with("state", state),
            InboxError::Store(error) => error.into(),
        }
    }
}

impl From<DismissError> for Problem {
    fn from(error: DismissError) -> Self {
        let detail = error.to_string();
        match error {
            DismissError::Unknown(_) => Self::not_found(detail),
            DismissError::Over { state, .. } => Self::new(
                StatusCode::CONFLICT,
                "settled_already",
                "This is over",
                detail,
            )
            .with("state", state),
            DismissError::Store(error) => error.into(),
        }
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        let detail = error.to_string();
        match error {
            PortError::NotFound(_) => Self::not_found(detail),
            PortError::Refused(_) => Self::new(
                StatusCode::CONFLICT,
                "refused",
                "This cannot be done now",
                detail,
            ),
            PortError::Absent(_) => Self::new(
                StatusCode::NOT_IMPLEMENTED,
                "not_installed",
                "This installation does not have it",
                detail,
            ),
            PortError::Cursor => Self::cursor(),
            PortError::Store(error) => error.into(),
            PortError::Failed(error) => {
                tracing::error!(%error, "another function failed");
                Self::internal()
            }
        }
    }
}
