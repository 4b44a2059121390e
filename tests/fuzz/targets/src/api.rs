//! Requests to the HTTP API: paths, queries, cursors, bodies.
//!
//! The head is a request line and headers, as HTTP has them; the body follows. Whatever is asked,
//! the answer is JSON, and never that the fault is ours.

use std::sync::OnceLock;

use ::api::{Api, Ports, Tokens};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use http::{HeaderMap, Method};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;
use shared::installation::Installations;

use crate::input::{first_line, headers, split};
use crate::table;

const TOKEN: &str = "correct horse";

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let (line, lines) = first_line(head);
    let Some((method, target)) = line.split_once(' ') else {
        return;
    };
    let Ok(method) = method.parse::<Method>() else {
        return;
    };
    // Who has no token gets nothing but whether we are up.
    let offered = headers(lines);
    let strange = answer(request(&method, target, offered.clone(), body));
    if target.starts_with("/api/") {
        let admitted = offered
            .get("authorization")
            .is_some_and(|value| value == bearer().as_str());
        assert!(
            admitted || strange.status_code >= 400,
            "let in without a token"
        );
    }
    let mut signed_in = offered;
    signed_in.insert("authorization", bearer().parse().expect("a header"));
    check(&answer(request(&method, target, signed_in, body)));
}

fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

/// An answer is JSON, the fault is never ours, and a refusal is a problem as RFC 9457 has it.
pub(crate) fn check(answer: &ApiGatewayV2httpResponse) {
    let status = answer.status_code;
    let Some(Body::Text(text)) = &answer.body else {
        panic!("{status} without a body");
    };
    let body: Value = serde_json::from_str(text).expect("an answer is JSON");
    // 501: what the API needs another function for, which is not there.
    let known = matches!(status, 200..=299 | 400..=499 | 501);
    assert!(known, "{status}: {body}");
    if status >= 400 {
        assert_eq!(body["status"], status, "{body}");
        for member in ["type", "title", "detail"] {
            assert!(
                body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {body}"
            );
        }
        for error in body["errors"].as_array().into_iter().flatten() {
            // In the body, in the query, or in the document that the body is.
            let place = ["pointer", "parameter", "line"].map(|name| error.get(name));
            assert!(
                place.iter().any(Option::is_some),
                "an error without a place: {error}"
            );
        }
    }
}

/// As the gateway would hand it on.
pub(crate) fn request(
    method: &Method,
    target: &str,
    headers: HeaderMap,
    body: &[u8],
) -> ApiGatewayV2httpRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = ApiGatewayV2httpRequest::default();
    request.raw_path = Some(path.to_owned());
    request.raw_query_string = Some(query.to_owned());
    request.request_context.http.method = method.clone();
    request.is_base64_encoded = headers.contains_key("x-base64");
    request.headers = headers;
    // A gateway hands on what is text as text, and the rest in base64.
    request.body = match std::str::from_utf8(body) {
        Ok(text) => Some(text.to_owned()),
        Err(_) => {
            use base64::Engine as _;
            request.is_base64_encoded = true;
            Some(base64::engine::general_purpose::STANDARD.encode(body))
        }
    };
    request
}

fn answer(request: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    static API: OnceLock<Api> = OnceLock::new();
    let api = API.get_or_init(|| {
        let store = table::store();
        let tokens = Tokens::known([
            SecretString::from(TOKEN),
            SecretString::from("the one before"),
        ]);
        Api::new(
            store.clone(),
            Installations::new(store),
            tokens,
            Ports::default(),
        )
    });
    let deadline = table::now() + SignedDuration::from_secs(30);
    table::wait(api.handle(request, deadline))
}
