//! The embedded services on a port, for programs outside of this process that speak AWS's protocols.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;

use super::EmbeddedAws;

/// More than the largest request of DynamoDB.
const LARGEST: usize = 16 * 1024 * 1024;

impl EmbeddedAws {
    /// Answers everybody who connects, for ever. Signatures are not looked at: let it listen on
    /// loopback only.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(self);
        axum::serve(listener, router).await
    }
}

/// A call that the services cannot answer is one whose connection was lost.
async fn answer(State(aws): State<EmbeddedAws>, headers: HeaderMap, body: Bytes) -> Response {
    let lost = |status| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    };
    let mut request = http::Request::new(SdkBody::from(body));
    *request.headers_mut() = headers;
    let Ok(request) = HttpRequest::try_from(request) else {
        return lost(StatusCode::BAD_REQUEST);
    };
    let Ok(answer) = EmbeddedAws::answer(&aws, request).await else {
        return lost(StatusCode::BAD_GATEWAY);
    };
    let mut response = Response::builder().status(answer.status().as_u16());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let body = answer.body().bytes().unwrap_or_default().to_vec();
    response
        .body(Body::from(body))
        .unwrap_or_else(|_| lost(StatusCode::BAD_GATEWAY))
}
