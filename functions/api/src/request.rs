//! A request, taken apart.

use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};
use url::form_urlencoded;

use crate::problem::Problem;

/// What was asked.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The segments of the path, decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    body: Result<Vec<u8>, base64::DecodeError>,
    raw_path: String,
}

impl From<ApiGatewayV2httpRequest> for Request {
    fn from(event: ApiGatewayV2httpRequest) -> Self {
        let raw_path = event.raw_path.unwrap_or_default();
        let query = event.raw_query_string.unwrap_or_default();
        let body = event.body.unwrap_or_default();
        Self {
            method: event.request_context.http.method,
            path: raw_path.split('/').skip(1).map(decoded).collect(),
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            headers: event.headers,
            body: if event.is_base64_encoded {
                STANDARD.decode(body)
            } else {
                Ok(body.into_bytes())
            },
            raw_path,
        }
    }
}

/// A path segment without its percent signs; what has a meaning in a form has none here.
fn decoded(segment: &str) -> String {
    let segment = segment
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let mut pairs = form_urlencoded::parse(segment.as_bytes());
    pairs
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

impl Request {
    /// The path as it was written.
    pub(crate) fn shown_path(&self) -> &str {
        &self.raw_path
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        // UTF-8 is what clients send; `to_str` takes ASCII only, and would lose Zoë's name.
        let value = self.headers.get(name)?.as_bytes();
        std::str::from_utf8(value).ok().map(str::trim)
    }

    /// Who says they ask, for the ledger.
    pub(crate) fn actor(&self) -> Option<&str> {
        self.header("lotwire-actor").filter(|name| !name.is_empty())
    }

    pub(crate) fn check_body(&self, limit: usize) -> Result<(), Problem> {
        match &self.body {
            Err(_) => Err(Problem::malformed("the body is not valid base64")),
            Ok(body) if body.len() > limit => Err(Problem::too_large(limit)),
            Ok(_) => Ok(()),
        }
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(self.body()).map_err(|error| {
            let at = error.valid_up_to();
            Problem::malformed(format!("the body is not UTF-8 from byte {at} on"))
        })
    }

    /// Whether the body says it is of this type.
    pub(crate) fn is_of_type(&self, wanted: &str) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(wanted)
    }
}
