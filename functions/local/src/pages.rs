//! The pages beside the API: what is here, how things stand, the documentation, and the way in.
//!
//! | file | job |
//! |---|---|
//! | `access.rs` | who may see them |

mod access;

use std::net::{IpAddr, Ipv4Addr};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use secrecy::{ExposeSecret as _, SecretString};
use shared::render::words::html_escaped;

use crate::gateway::Gateway;

pub use access::Access;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";
/// A token and the name of its field.
const FORM_LIMIT: usize = 1024;
/// What an answer about the state may hold.
const STATUS_LIMIT: usize = 4 * 1024 * 1024;

/// The documentation that goes with this version, by name.
const DOCS: [(&str, &str); 4] = [
    ("README.md", include_str!("../../../README.md")),
    ("api.md", include_str!("../../../docs/api.md")),
    (
        "configuration.md",
        include_str!("../../../docs/configuration.md"),
    ),
    ("webhooks.md", include_str!("../../../docs/webhooks.md")),
];

/// Where the state is asked for: the API, with the token that the page's reader need not type.
#[derive(Clone)]
struct Api {
    gateway: Gateway,
    token: SecretString,
}

/// The pages with the outbox's, behind [`Access`]; the documentation and the way in, before it.
pub fn routes(
    access: &Access,
    outbox: axum::Router,
    gateway: Gateway,
    token: SecretString,
) -> axum::Router {
    let admit = axum::middleware::from_fn_with_state(access.clone(), access::admit);
    let inside = axum::Router::new()
        .route("/", get(home))
        .route("/status", get(status))
        .with_state(Api { gateway, token })
        .merge(outbox)
        .route_layer(admit);
    let before = axum::Router::new()
        .route("/docs/{name}", get(documentation))
        .route("/sign-in", get(form).post(by_token))
        .route("/sign-in/{code}", get(by_link))
        .with_state(access.clone());
    inside.merge(before)
}

async fn home() -> Response {
    let docs = DOCS
        .iter()
        .map(|(name, _)| format!("<li><a href=/docs/{name}>{name}</a>"));
    let docs: String = docs.collect();
    page(
        StatusCode::OK,
        "Lotwire",
        &format!(
            "<ul><li><a href=/status>State</a>: what is live, what waits, what failed\
             <li><a href=/outbox>Outbox</a>: each request as its vendor gets it\
             <li>API: <code>/api/v1</code>, with the token that lies in the data directory; \
             <a href=/healthz>healthz</a> needs none</ul>\
             <p>Documentation:<ul>{docs}</ul>"
        ),
    )
}

async fn status(State(api): State<Api>) -> Response {
    let words = match api.status().await {
        Ok(answer) => crate::cli::status_in_words(&answer),
        Err(problem) => return page(StatusCode::SERVICE_UNAVAILABLE, "State", &problem),
    };
    let words = html_escaped(&words);
    page(StatusCode::OK, "State", &format!("<pre>{words}</pre>"))
}

impl Api {
    async fn status(&self) -> Result<serde_json::Value, String> {
        let bearer = format!("Bearer {}", self.token.expose_secret());
        let request = Request::get("/api/v1/status").header(AUTHORIZATION, bearer);
        let request = request.body(Body::empty()).map_err(|it| it.to_string())?;
        let (parts, _) = request.into_parts();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let response = self.gateway.answer(parts, here, Bytes::new()).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), STATUS_LIMIT).await;
        let body = body.map_err(|error| error.to_string())?;
        let answer: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        if status.is_success() {
            Ok(answer)
        } else {
            let detail = answer["detail"].as_str().unwrap_or("no state can be had");
            Err(html_escaped(detail))
        }
    }
}

async fn documentation(Path(name): Path<String>) -> Response {
    match DOCS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn form() -> Response {
    asked(StatusCode::OK, None)
}

async fn by_token(State(access): State<Access>, body: Bytes) -> Response {
    let body = body.get(..FORM_LIMIT.min(body.len())).unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(body);
    let token = fields.find(|(name, _)| name == "token");
    if token.is_some_and(|(_, token)| access.is_token(&token)) {
        return signed_in(&access);
    }
    ask_for_token(Some("This is not the token."))
}

async fn by_link(State(access): State<Access>, Path(code): Path<String>) -> Response {
    if access.redeem(&code) {
        return signed_in(&access);
    }
    ask_for_token(Some("This link was used, or is over ten minutes old."))
}

fn signed_in(access: &Access) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_static("/"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = access.cookie() {
        headers.insert(SET_COOKIE, cookie);
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn ask_for_token(problem: Option<&str>) -> Response {
    asked(StatusCode::UNAUTHORIZED, problem)
}

fn asked(status: StatusCode, problem: Option<&str>) -> Response {
    let problem = problem
        .map(|it| format!("<p><b>{it}</b>"))
        .unwrap_or_default();
    let mut response = page(
        status,
        "Sign in",
        &format!(
            "{problem}<p>Open the link that Lotwire printed when it started, or type the token \
             that lies in its data directory.\
             <form method=post action=/sign-in><label>Token \
             <input name=token type=password autocomplete=current-password></label> \
             <button>Sign in</button></form>"
        ),
    );
    if status == StatusCode::UNAUTHORIZED {
        let bearer = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
    }
    response
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
         pre{{white-space:pre-wrap}}</style>\n\
         <h1>{title}</h1>\n{body}\n</html>\n"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, text).into_response()
}
