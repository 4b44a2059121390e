//! The API, as the command line asks it.

use std::path::PathBuf;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderName, Method, StatusCode};
use secrecy::SecretString;
use serde_json::Value;
use shared::http::{Guard, Http, HttpSettings, Reply, Request, Transport as _, TransportError};
use url::Url;

use super::Failure;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ACTOR: HeaderName = HeaderName::from_static("lotwire-actor");
/// As long as API Gateway itself waits.
const TIMEOUT: Duration = Duration::from_secs(35);
const REPLY_LIMIT: usize = 16 * 1024 * 1024;

/// Why the server gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Neither variable nor file.
    #[error("no token: set LOTWIRE_TOKEN, or name the data directory with --data ({}: {source})", path.display())]
    NoToken {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The address is not one of an API.
    #[error("{url} cannot be used: {problem}")]
    Address { url: Url, problem: String },
    /// Nobody answers.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        host: String,
        source: TransportError,
    },
    /// The token is not accepted.
    #[error("{host} does not accept the token: set LOTWIRE_TOKEN, or name the right --data")]
    Unauthorized { host: String },
    /// An error of the server's, in its words.
    #[error("{words}")]
    Problem { status: StatusCode, words: String },
}

impl ClientError {
    /// What the process ends with.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Address { .. } => 2,
            Self::Problem { status, .. } if status.is_client_error() => 2,
            _ => 3,
        }
    }
}

/// A body to be sent.
pub(super) enum Body<'a> {
    None,
    Json(&'a Value),
    Text(&'static str, String),
}

/// The id of a list's entry, as it stands in a path.
pub(super) fn entry_id(id: &str) -> Result<&str, Failure> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !id.is_empty() && id.chars().all(letter) {
        true => Ok(id),
        false => Err(Failure::Usage(format!("{id:?} is not the id of an entry"))),
    }
}

/// One server.
pub(super) struct Client {
    base: Url,
    token: SecretString,
    http: Http,
}

impl Client {
    pub(super) fn new(base: Url, token: SecretString) -> Result<Self, ClientError> {
        let address = |problem: String| ClientError::Address {
            url: base.clone(),
            problem,
        };
        let host = base.host_str().unwrap_or_default().to_owned();
        let port = base.port_or_known_default().unwrap_or_default();
        // Whoever runs the command chose the address, so it may be this machine. A token over plain
        // http beyond it would be anybody's.
        let loopback = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if base.scheme() != "https" && !loopback {
            return Err(address(
                "a token goes over https only, except to this machine".to_owned(),
            ));
        }
        let allowed = format!("{host}:{port}").parse();
        let allowed =
            allowed.map_err(|error: shared::http::AllowedError| address(error.to_string()))?;
        let http = Http::new(HttpSettings {
            timeout: TIMEOUT,
            reply_limit: REPLY_LIMIT,
            guard: Guard::new(vec![allowed]),
            ..HttpSettings::default()
        });
        Ok(Self {
            http: http.map_err(|error| address(error.to_string()))?,
            base,
            token,
        })
    }

    /// Asks, and gives the answer's body if it is one of success.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body<'_>,
        headers: &[(HeaderName, &str)],
    ) -> Result<Value, ClientError> {
        self.answer(&self.reply(method, path, query, body, headers).await?)
    }

    /// A reply's body if it is one of success.
    pub(super) fn answer(&self, reply: &Reply) -> Result<Value, ClientError> {
        let answer = reply.json().unwrap_or(Value::Null);
        if reply.status.is_success() {
            return Ok(answer);
        }
        Err(self.refused(reply.status, &answer))
    }

    /// All of a list, page by page.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.ask(Method::GET, path, &query, Body::None, &[]).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(items);
            }
        }
    }

    /// Asks, and gives the reply whatever it is.
    pub(super) async fn reply(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body<'_>,
        headers: &[(HeaderName, &str)],
    ) -> Result<Reply, ClientError> {
        let host = self.base.authority().to_owned();
        let request = self
            .request(method, path, query, body, headers)
            .map_err(|error| ClientError::Address {
                url: self.base.clone(),
                problem: error.to_string(),
            })?;
        let reply = self.http.call(request).await;
        reply.map_err(|source| ClientError::Unreachable { host, source })
    }

    fn refused(&self, status: StatusCode, answer: &Value) -> ClientError {
        let host = self.base.authority().to_owned();
        if status == StatusCode::UNAUTHORIZED {
            return ClientError::Unauthorized { host };
        }
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let words = match (text("title"), text("detail")) {
            (Some(title), Some(detail)) => format!("{title}: {detail}"),
            _ => format!("{host} answered with HTTP {status}"),
        };
        ClientError::Problem { status, words }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Body<'_>,
        headers: &[(HeaderName, &str)],
    ) -> Result<Request, shared::http::RequestError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::new(method, url).bearer(&self.token)?;
        if let Some(user) = shared::config::environment::process("USER") {
            // A name that no header may hold is left out: it is for the ledger's readers only.
            request = request.clone().header(ACTOR, &user).unwrap_or(request);
        }
        for (name, value) in headers {
            request = request.header(name.clone(), value)?;
        }
        Ok(match body {
            Body::None => request,
            Body::Json(body) => request.json(body)?,
            Body::Text(kind, text) => request.header(CONTENT_TYPE, kind)?.body(kind, text),
        })
    }
}
