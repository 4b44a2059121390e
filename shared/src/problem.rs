//! Errors of our HTTP interfaces: RFC 9457 problem details.

use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::ApiGatewayV2httpResponse;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;

/// One error, as its caller sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// The kind of problem, stable for machines: `urn:lotwire:problem:<reason>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, and where.
    pub detail: String,
    /// The reason alone, for programs that branch on it.
    pub reason: String,
    /// Single faults, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Value>,
}

impl Problem {
    /// A problem with this status and machine-readable reason, told in words.
    pub fn new(status: u16, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:lotwire:problem:{reason}"),
            title: reason.replace('_', " "),
            status,
            detail: detail.into(),
            reason: reason.to_owned(),
            errors: Vec::new(),
        }
    }

    /// The HTTP response.
    pub fn response(&self) -> ApiGatewayV2httpResponse {
        let body = serde_json::to_value(self).unwrap_or_default();
        json_response(self.status, &body, "application/problem+json")
    }
}

/// A JSON response.
pub fn json_response(
    status: u16,
    body: &Value,
    media_type: &'static str,
) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    response
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers.insert(
        HeaderName::from_static("cache-control"),
        HeaderValue::from_static("no-store"),
    );
    response.body = Some(Body::Text(body.to_string()));
    response
}
