//! An HTTP API gateway: each request becomes API Gateway's own event (payload 2.0), goes to the
//! function of its route, and the function's answer becomes the response.

mod server;

use self::server::Limits;
use crate::engine::{ACCOUNT, EmbeddedAws, Function};
use aws_lambda_events::encodings::Body as EventBody;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use serde_json::json;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// API Gateway's limit on a request body.
const MAXIMUM_BODY: usize = 10 * 1024 * 1024;
/// API Gateway's limit on a function's time.
pub(crate) const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A function behind a route.
pub type HttpFunction = Function<ApiGatewayV2httpRequest, ApiGatewayV2httpResponse>;

/// The routes of an HTTP API.
#[derive(Debug, Clone)]
pub struct Gateway {
    aws: EmbeddedAws,
    routes: Vec<Arc<Route>>,
}

#[derive(Debug)]
struct Route {
    key: String,
    /// `None` is `ANY`.
    method: Option<Method>,
    path: Vec<Segment>,
    function: HttpFunction,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Variable(String),
    Greedy(String),
}

/// A route key that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {key:?}: {problem}")]
pub struct RouteError {
    /// The key as given.
    pub key: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Gateway {
    /// A gateway without routes.
    pub fn new(aws: &EmbeddedAws) -> Self {
        Self {
            aws: aws.clone(),
            routes: Vec::new(),
        }
    }

    /// Adds a route such as `POST /hooks/{connector}`, `ANY /api/v1/{proxy+}` or `$default`.
    ///
    /// As on AWS, a full match comes before a greedy one; then literals come before variables, and
    /// a method before `ANY`.
    pub fn route(mut self, key: &str, function: HttpFunction) -> Result<Self, RouteError> {
        self.routes.push(Arc::new(Route::parse(key, function)?));
        self.routes.sort_by_key(|route| route.rank());
        Ok(self)
    }

    /// Serves until told to stop; `local` routes are answered beside the gateway's, and first.
    pub async fn serve(
        self,
        listener: tokio::net::TcpListener,
        local: axum::Router,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        server::serve(listener, self.into_router(local), Limits::default(), until).await
    }

    /// The gateway behind `local`, which is answered first.
    pub fn into_router(self, local: axum::Router) -> axum::Router {
        let gateway = Arc::new(self);
        local.fallback(move |request: Request<Body>| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.receive(request).await }
        })
    }

    async fn receive(&self, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let source = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
        // A body that breaks off has no one left to answer; one that is too long has.
        let body = axum::body::to_bytes(body, MAXIMUM_BODY);
        match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => self.answer(parts, source, body).await,
            Ok(Err(_)) => message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Err(_) => {
                tracing::info!(%source, path = parts.uri.path(), "a request's body did not arrive");
                message(StatusCode::REQUEST_TIMEOUT, "Request Timeout")
            }
        }
    }

    /// Carries one whole request to its function.
    pub async fn answer(&self, parts: Parts, source: IpAddr, body: Bytes) -> Response {
        let path = parts.uri.path().to_owned();
        let matched = self.routes.iter().find_map(|route| {
            let variables = route.matches(&parts.method, &path)?;
            Some((Arc::clone(route), variables))
        });
        let Some((route, variables)) = matched else {
            return message(StatusCode::NOT_FOUND, "Not Found");
        };
        let event = match self.event(&route.key, variables, &parts, source, &body) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(%error, route = route.key, "a request did not make an event");
                return internal_error();
            }
        };
        // A run goes on when its caller hangs up or the gateway gives up on it, as on AWS.
        let aws = self.aws.clone();
        let called = Arc::clone(&route);
        let run = tokio::spawn(async move { called.function.run(&aws, event).await });
        let run = match tokio::time::timeout(INTEGRATION_TIMEOUT, run).await {
            Ok(Ok(run)) => run,
            Ok(Err(_)) => return internal_error(),
            Err(_) => return message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
        };
        match run.result {
            Ok(answer) => response(answer).unwrap_or_else(|problem| {
                tracing::error!(
                    problem,
                    route = route.key,
                    "a function's answer is malformed"
                );
                internal_error()
            }),
            Err(failure) => {
                tracing::error!(%failure, route = route.key, request_id = run.request_id,
                    "a function failed");
                internal_error()
            }
        }
    }

    /// The request as API Gateway puts it into an event.
    fn event(
        &self,
        route_key: &str,
        variables: BTreeMap<String, String>,
        parts: &Parts,
        source: IpAddr,
        body: &Bytes,
    ) -> Result<ApiGatewayV2httpRequest, serde_json::Error> {
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let text = |name| {
            let value = parts.headers.get(name).map(HeaderValue::as_bytes);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let host = text(HOST);
        let now = self.aws.clock().now();
        let time = now.to_zoned(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S %z");
        let mut event = json!({
            "version": "2.0",
            "routeKey": route_key,
            "rawPath": path,
            "rawQueryString": query,
            "queryStringParameters": joined_query(query),
            "pathParameters": variables,
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "local",
                "domainName": host,
                "domainPrefix": host.split('.').next(),
                "http": {
                    "method": parts.method.as_str(),
                    "path": path,
                    "protocol": format!("{:?}", parts.version),
                    "sourceIp": source.to_string(),
                    "userAgent": text(USER_AGENT),
                },
                "requestId": self.aws.request_id(),
                "routeKey": route_key,
                "stage": "$default",
                "time": time.to_string(),
                "timeEpoch": now.as_millisecond(),
            },
        });
        let cookies = cookies(&parts.headers);
        if !cookies.is_empty() {
            event["cookies"] = cookies.into();
        }
        let mut event: ApiGatewayV2httpRequest = serde_json::from_value(event)?;
        event.headers = joined_headers(&parts.headers);
        if !body.is_empty() {
            let text = std::str::from_utf8(body).ok();
            let text = text.filter(|_| is_text(&parts.headers));
            event.is_base64_encoded = text.is_none();
            event.body = Some(text.map_or_else(|| STANDARD.encode(body), str::to_owned));
        }
        Ok(event)
    }
}

impl Route {
    fn parse(key: &str, function: HttpFunction) -> Result<Self, RouteError> {
        let refused = |problem| RouteError {
            key: key.to_owned(),
            problem,
        };
        let (method, path) = match key {
            "$default" => ("ANY", "/{proxy+}"),
            _ => key
                .split_once(' ')
                .ok_or_else(|| refused("expected a method, a space and a path"))?,
        };
        let method = match method {
            "ANY" => None,
            name => {
                Some(Method::from_bytes(name.as_bytes()).map_err(|_| refused("no such method"))?)
            }
        };
        let path = path
            .strip_prefix('/')
            .ok_or_else(|| refused("the path begins with a slash"))?;
        let path: Vec<Segment> = path.split('/').map(Segment::parse).collect();
        let greedy = |segment: &Segment| matches!(segment, Segment::Greedy(_));
        if path.iter().rev().skip(1).any(greedy) {
            return Err(refused("only the last segment can be greedy"));
        }
        Ok(Self {
            key: key.to_owned(),
            method,
            path,
            function,
        })
    }

    /// Sorts the closest matches first.
    fn rank(&self) -> impl Ord + use<> {
        let kind = |segment: &Segment| match segment {
            Segment::Literal(_) => 0_u8,
            Segment::Variable(_) => 1,
            Segment::Greedy(_) => 2,
        };
        let kinds: Vec<u8> = self.path.iter().map(kind).collect();
        (
            self.key == "$default",
            kinds.contains(&2),
            Reverse(kinds.len()),
            kinds,
            self.method.is_none(),
        )
    }

    /// The path's variables, if the route is this request's.
    fn matches(&self, method: &Method, path: &str) -> Option<BTreeMap<String, String>> {
        if self.method.as_ref().is_some_and(|wanted| wanted != method) {
            return None;
        }
        let mut variables = BTreeMap::new();
        let mut rest = Some(path.strip_prefix('/')?);
        for segment in &self.path {
            let left = rest?;
            let (value, after) = match (segment, left.split_once('/')) {
                (Segment::Greedy(_), _) | (_, None) => (left, None),
                (_, Some((value, after))) => (value, Some(after)),
            };
            match segment {
                Segment::Literal(literal) if literal == value => {}
                Segment::Literal(_) => return None,
                Segment::Variable(_) if value.is_empty() => return None,
                // `$default` takes everything, the root too.
                Segment::Greedy(_) if value.is_empty() && self.key != "$default" => return None,
                Segment::Variable(name) | Segment::Greedy(name) => {
                    variables.insert(name.clone(), percent_decoded(value));
                }
            }
            rest = after;
        }
        rest.is_none().then_some(variables)
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        let inside = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        match inside.map(|name| (name.strip_suffix('+'), name)) {
            Some((Some(name), _)) => Self::Greedy(name.to_owned()),
            Some((None, name)) => Self::Variable(name.to_owned()),
            None => Self::Literal(text.to_owned()),
        }
    }
}

/// Decodes `%XX`; anything else stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = bytes.get(index + 1..index + 3).filter(|_| byte == b'%');
        let escaped = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        index += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Repeated parameters are joined by commas.
fn joined_query(query: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        joined
            .entry(key.into_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    joined
}

/// Repeated headers are joined by commas; cookies have a place of their own.
fn joined_headers(headers: &HeaderMap) -> HeaderMap {
    let mut joined = HeaderMap::with_capacity(headers.keys_len());
    for name in headers.keys().filter(|name| **name != COOKIE) {
        let values: Vec<&[u8]> = headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(&values.join(&b',')) {
            joined.insert(name.clone(), value);
        }
    }
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

/// The content types API Gateway hands on as text; everything else is base64.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(
            kind.as_str(),
            "application/json" | "application/xml" | "application/javascript"
        )
}

/// A function's answer as a response, or what is wrong with it.
fn response(answer: ApiGatewayV2httpResponse) -> Result<Response, &'static str> {
    let status = u16::try_from(answer.status_code)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or("the status is no HTTP status")?;
    let body = match answer.body {
        None | Some(EventBody::Empty) => Vec::new(),
        Some(EventBody::Binary(bytes)) => bytes,
        Some(EventBody::Text(text)) if answer.is_base64_encoded => STANDARD
            .decode(text)
            .map_err(|_| "the body is not base64")?,
        Some(EventBody::Text(text)) => text.into_bytes(),
        Some(_) => return Err("the body is of an unknown kind"),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(answer.headers);
    headers.extend(answer.multi_value_headers);
    // The server counts for itself.
    headers.remove(CONTENT_LENGTH);
    for cookie in answer.cookies {
        let cookie = HeaderValue::try_from(cookie).map_err(|_| "a cookie is no header value")?;
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}

fn internal_error() -> Response {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

/// An error as API Gateway words it.
fn message(status: StatusCode, words: &str) -> Response {
    let body = json!({ "message": words }).to_string();
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests;
