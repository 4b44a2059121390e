//! Which endpoint a method and a path mean.

use http::Method;

use crate::problem::Problem;
use crate::request::Request;

/// Everything that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Is it up, and with which configuration?
    Health,
    /// What is live, what waits, what failed.
    Status,
    /// How much there is, and where.
    Positions,
    /// One vehicle.
    Unit,
    /// Change the stock.
    Move,
    /// What people were told.
    Alerts,
    /// How it reached them.
    Deliveries,
    /// One alert, as a page for whoever has its link.
    AlertPage,
    /// Where people are told, and which of it reaches anybody.
    Channels,
    /// Send again what did not arrive and is still true.
    Resend,
    /// Who changed what.
    Ledger,
    /// What could not be believed or read.
    Quarantine,
    /// Leave something of that as it is, for a reason.
    Dismiss,
    /// What waits for a person.
    Inbox,
    /// Let what waits in the inbox happen.
    Approve,
    /// Do not.
    Reject,
    /// Read a connector now.
    Sync,
    /// Why is there an alert, or none?
    Explain,
    /// Apply what was received again.
    Replay,
    /// Set thresholds and stock in bulk.
    Import,
    /// The thresholds that were imported.
    Thresholds,
    /// Check what is stored against the ledger.
    Doctor,
    /// Look at everything again.
    Evaluate,
    /// The configuration in force.
    ReadConfig,
    /// Another one.
    ApplyConfig,
}

/// Every endpoint with its method and path; `{…}` stands for one segment.
pub const ROUTES: &[(&str, &str, Endpoint)] = &[
    ("GET", "/healthz", Endpoint::Health),
    ("GET", "/api/v1/status", Endpoint::Status),
    ("GET", "/api/v1/positions", Endpoint::Positions),
    ("GET", "/api/v1/units/{vin}", Endpoint::Unit),
    ("POST", "/api/v1/movements", Endpoint::Move),
    ("GET", "/api/v1/alerts", Endpoint::Alerts),
    ("GET", "/api/v1/deliveries", Endpoint::Deliveries),
    ("GET", "/api/v1/a/{id}", Endpoint::AlertPage),
    ("GET", "/api/v1/channels", Endpoint::Channels),
    (
        "POST",
        "/api/v1/channels/{channel}/resend",
        Endpoint::Resend,
    ),
    ("GET", "/api/v1/ledger", Endpoint::Ledger),
    ("GET", "/api/v1/quarantine", Endpoint::Quarantine),
    ("POST", "/api/v1/quarantine/{id}/dismiss", Endpoint::Dismiss),
    ("GET", "/api/v1/inbox", Endpoint::Inbox),
    ("POST", "/api/v1/inbox/{id}/approve", Endpoint::Approve),
    ("POST", "/api/v1/inbox/{id}/reject", Endpoint::Reject),
    ("POST", "/api/v1/sync/{connector}", Endpoint::Sync),
    ("GET", "/api/v1/explain", Endpoint::Explain),
    ("POST", "/api/v1/replays", Endpoint::Replay),
    ("POST", "/api/v1/imports", Endpoint::Import),
    ("GET", "/api/v1/thresholds", Endpoint::Thresholds),
    ("GET", "/api/v1/doctor", Endpoint::Doctor),
    ("POST", "/api/v1/evaluations", Endpoint::Evaluate),
    ("GET", "/api/v1/config", Endpoint::ReadConfig),
    ("PUT", "/api/v1/config", Endpoint::ApplyConfig),
];

const SMALL: usize = 64 * 1024;
const LARGE: usize = 4 * 1024 * 1024;

impl Endpoint {
    /// Whether only those who have a token may ask. A page's link is its own permission.
    pub const fn needs_token(self) -> bool {
        !matches!(self, Self::Health | Self::AlertPage)
    }

    /// The largest body taken, in bytes.
    pub const fn body_limit(self) -> usize {
        match self {
            Self::Import | Self::ApplyConfig => LARGE,
            _ => SMALL,
        }
    }
}

/// The endpoint of a request, and the variable part of its path, if that has one.
pub(crate) fn find(request: &Request) -> Result<(Endpoint, String), Problem> {
    let mut allowed: Vec<&str> = Vec::new();
    for (method, pattern, endpoint) in ROUTES {
        let Some(variable) = matched(pattern, &request.path) else {
            continue;
        };
        if is(&request.method, method) {
            return Ok((*endpoint, variable));
        }
        allowed.push(method);
    }
    if allowed.is_empty() {
        return Err(Problem::not_found(format!(
            "there is no {}",
            request.shown_path()
        )));
    }
    Err(Problem::method_not_allowed(&request.method, &allowed))
}

/// A HEAD request is a GET whose body the gateway drops.
fn is(asked: &Method, method: &str) -> bool {
    asked.as_str() == method || (*asked == Method::HEAD && method == "GET")
}

fn matched(pattern: &str, path: &[String]) -> Option<String> {
    let mut parts = pattern.split('/').skip(1);
    let mut variable = String::new();
    for segment in path {
        let part = parts.next()?;
        if part.starts_with('{') && !segment.is_empty() {
            variable.clone_from(segment);
        } else if part != segment {
            return None;
        }
    }
    parts.next().is_none().then_some(variable)
}
