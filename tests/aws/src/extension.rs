//! AWS's Parameters and Secrets extension, as far as the functions ask it: it reads parameters from
//! the engine, and asks callers for the token that only a function has.

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use url::form_urlencoded;

const TOKEN: &str = "x-aws-parameters-secrets-token";

#[derive(Clone)]
struct Engine {
    client: reqwest::Client,
    endpoint: String,
}

/// Serves on this port, for good.
pub async fn serve(port: u16, endpoint: String) -> std::io::Result<()> {
    let client = reqwest::Client::builder().build().unwrap();
    let router = Router::new()
        .route("/systemsmanager/parameters/get", get(parameter))
        .with_state(Engine { client, endpoint });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    axum::serve(listener, router).await
}

/// What the engine answers, whatever its status: so does the extension.
async fn parameter(
    State(engine): State<Engine>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    // The engine gives functions an empty one.
    if !headers.contains_key(TOKEN) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let query = query.unwrap_or_default();
    let asked = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let decrypted = asked("withDecryption").as_deref() == Some("true");
    let sent = engine
        .client
        .post(&engine.endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonSSM.GetParameter")
        .body(json!({ "Name": asked("name"), "WithDecryption": decrypted }).to_string());
    match sent.send().await {
        Ok(reply) => (reply.status(), reply.bytes().await.unwrap_or_default()).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
