//! Answers.

use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::ApiGatewayV2httpResponse;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

/// An answer, before it is put into the gateway's terms.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Content,
}

#[derive(Debug)]
enum Content {
    Json(Value),
    Page(String),
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Value) -> Self {
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ]);
        Self {
            status,
            headers,
            body: Content::Json(body),
        }
    }

    /// A page for people. Whoever has its address may see it, so nobody is to be told the address.
    pub(crate) fn page(status: StatusCode, html: &str) -> Self {
        let fixed = HeaderValue::from_static;
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
            (CACHE_CONTROL, fixed("no-store")),
            (CONTENT_SECURITY_POLICY, fixed(policy)),
            (REFERRER_POLICY, fixed("no-referrer")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        ]);
        Self {
            status,
            headers,
            body: Content::Page(html.to_owned()),
        }
    }

    pub(crate) fn ok(body: impl Serialize) -> Self {
        Self::new(
            StatusCode::OK,
            serde_json::to_value(body).unwrap_or_default(),
        )
    }

    /// Sets a header; a value that no header may hold is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl From<Answer> for ApiGatewayV2httpResponse {
    fn from(answer: Answer) -> Self {
        let mut response = Self::default(); // non-exhaustive: no struct literal
        response.status_code = i64::from(answer.status.as_u16());
        response.headers = answer.headers;
        response.body = Some(Body::Text(match answer.body {
            Content::Json(body) => body.to_string(),
            Content::Page(html) => html,
        }));
        response
    }
}
