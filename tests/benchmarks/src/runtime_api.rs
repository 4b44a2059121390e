//! Lambda's side of a function: the runtime API that it asks for events and gives its answers to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use crate::Error;

/// How long a function may take, as it is told.
const LIMIT_MS: i64 = 60_000;

/// What a function did.
pub(crate) enum Did {
    /// Asked for an event.
    Ask(Instant),
    /// Answered one.
    Answer(Instant, Bytes),
    /// Said that it failed.
    Fail(String),
}

/// One function's runtime API.
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    events: mpsc::UnboundedSender<Value>,
    did: mpsc::UnboundedReceiver<Did>,
}

struct Desk {
    events: Mutex<mpsc::UnboundedReceiver<Value>>,
    did: mpsc::UnboundedSender<Did>,
}

impl Desk {
    fn note(&self, did: Did) -> StatusCode {
        match self.did.send(did) {
            Ok(()) => StatusCode::ACCEPTED,
            // Nobody measures any longer.
            Err(_) => StatusCode::GONE,
        }
    }
}

impl RuntimeApi {
    /// Listens on a free port of this machine.
    pub(crate) async fn listen() -> Result<Self, Error> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (events, handed) = mpsc::unbounded_channel();
        let (noted, did) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            events: Mutex::new(handed),
            did: noted,
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
            .route("/2018-06-01/runtime/init/error", post(init_failure))
            .with_state(desk);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self {
            address,
            events,
            did,
        })
    }

    /// Hands out an event to whoever asks next.
    pub(crate) fn hand_out(&self, event: Value) -> Result<(), Error> {
        Ok(self.events.send(event)?)
    }

    /// What the function does next.
    pub(crate) async fn next(&mut self) -> Result<Did, Error> {
        Ok(self.did.recv().await.ok_or("the runtime API stopped")?)
    }
}

async fn next(State(desk): State<Arc<Desk>>) -> Response {
    desk.note(Did::Ask(Instant::now()));
    let Some(event) = desk.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = shared::clock::Clock::system().now().as_millisecond() + LIMIT_MS;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned(),
        ),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:000000000000:function:measured".to_owned(),
        ),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    (headers, event.to_string()).into_response()
}

async fn answer(State(desk): State<Arc<Desk>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    desk.note(Did::Answer(Instant::now(), body))
}

async fn failure(State(desk): State<Arc<Desk>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    desk.note(Did::Fail(String::from_utf8_lossy(&body).into_owned()))
}

async fn init_failure(State(desk): State<Arc<Desk>>, body: Bytes) -> StatusCode {
    desk.note(Did::Fail(String::from_utf8_lossy(&body).into_owned()))
}
