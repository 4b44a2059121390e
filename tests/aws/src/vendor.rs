//! A vendor's stand-in: it records each request that reaches it and answers as it is told.
//!
//! What it answers depends on the path, so that one stand-in serves every channel of a test.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;

/// A request that reached it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The path it was sent to.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
    /// Its body, if it was JSON.
    pub body: Value,
}

impl Seen {
    /// A header's text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers with this status.
    Status(StatusCode),
    /// Takes the request and never answers.
    Silence,
}

#[derive(Default)]
struct Book {
    seen: Mutex<Vec<Seen>>,
    manners: Mutex<HashMap<String, Manner>>,
}

/// The stand-in. It serves for as long as the runtime it was started on.
#[derive(Clone)]
pub struct Vendor {
    book: Arc<Book>,
    address: SocketAddr,
}

impl Vendor {
    /// Starts one. It answers 200 until told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::<Book>::default();
        let router = Router::new().fallback(take).with_state(Arc::clone(&book));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { book, address }
    }

    /// The address of one of its paths.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, this is what it does on this path.
    pub fn behave(&self, path: &str, manner: Manner) {
        let mut manners = self.book.manners.lock().unwrap();
        manners.insert(path.to_owned(), manner);
    }

    /// What has reached it on this path, in order.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.book.seen.lock().unwrap();
        seen.iter().filter(|s| s.path == path).cloned().collect()
    }
}

async fn take(
    State(book): State<Arc<Book>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let manner = book.manners.lock().unwrap().get(&path).copied();
    book.seen.lock().unwrap().push(Seen {
        path,
        headers,
        text: String::from_utf8_lossy(&body).into_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    match manner.unwrap_or(Manner::Status(StatusCode::OK)) {
        Manner::Silence => std::future::pending().await,
        Manner::Status(status) => {
            let mut response = Response::new(Body::from("ok"));
            *response.status_mut() = status;
            response
        }
    }
}
