//! The engine with a table that can have enough: what passes through here reaches the engine, until a
//! certain call comes. From then on the table refuses every call, as DynamoDB does one beyond its
//! capacity, until it is calm again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::json;
use tokio::net::TcpListener;

use crate::told;

/// In which words the table refuses: both are retried, and neither has done anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// Beyond what the table, or a partition of it, can take.
    ProvisionedThroughputExceededException,
    /// Beyond what the account's calls may be.
    ThrottlingException,
}

enum Mood {
    Calm,
    /// Until a call of this operation comes whose body holds all of these words.
    Until(&'static str, Vec<String>, Exception),
    Throttled(Exception),
}

struct Table {
    mood: Mutex<Mood>,
    refused: Mutex<Vec<String>>,
    client: reqwest::Client,
    engine: String,
}

/// The way to the engine. It is open for as long as the runtime it was started on.
#[derive(Clone)]
pub struct Throttle {
    table: Arc<Table>,
    address: SocketAddr,
}

impl Throttle {
    /// Opens a way that lets everything through.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let table = Arc::new(Table {
            mood: Mutex::new(Mood::Calm),
            refused: Mutex::default(),
            client: reqwest::Client::builder().build().unwrap(),
            engine: told("AWS_ENDPOINT_URL"),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&table));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { table, address }
    }

    /// What a function takes for AWS.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The table has enough as soon as such a call comes, which is the first to be refused.
    pub fn begin_at(&self, operation: &'static str, words: &[&str], exception: Exception) {
        let words = words.iter().map(ToString::to_string).collect();
        *self.table.mood.lock().unwrap() = Mood::Until(operation, words, exception);
    }

    /// Whether it has refused a call since it was last calm.
    pub fn refuses(&self) -> bool {
        !self.table.refused.lock().unwrap().is_empty()
    }

    /// From now on everything passes again. The operations that were refused, in order.
    pub fn calm(&self) -> Vec<String> {
        *self.table.mood.lock().unwrap() = Mood::Calm;
        std::mem::take(&mut self.table.refused.lock().unwrap())
    }
}

impl Table {
    /// Whether a call is refused, and how.
    fn refusal(&self, headers: &HeaderMap, body: &[u8]) -> Option<Exception> {
        let target = headers.get("x-amz-target")?.to_str().ok()?;
        let called = target.strip_prefix("DynamoDB_20120810.")?;
        let mut mood = self.mood.lock().unwrap();
        if let Mood::Until(operation, words, exception) = &*mood {
            let body = String::from_utf8_lossy(body);
            if called == *operation && words.iter().all(|word| body.contains(word)) {
                *mood = Mood::Throttled(*exception);
            }
        }
        let Mood::Throttled(exception) = *mood else {
            return None;
        };
        self.refused.lock().unwrap().push(called.to_owned());
        Some(exception)
    }
}

async fn pass(
    State(table): State<Arc<Table>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(exception) = table.refusal(&headers, &body) {
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{exception:?}"),
            "message": "The level of configured provisioned throughput for the table was exceeded.",
        });
        let refusal = Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .header(CONTENT_TYPE, "application/x-amz-json-1.0");
        return refusal.body(Body::from(body.to_string())).unwrap();
    }
    for own in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(own);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", table.engine.trim_end_matches('/'));
    let call = table.client.request(method, url).headers(headers);
    let answer = call.body(body).send().await.unwrap();
    let mut passed = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            passed = passed.header(name, value);
        }
    }
    let body = answer.bytes().await.unwrap();
    passed.body(Body::from(body)).unwrap()
}
