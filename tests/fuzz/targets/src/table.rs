//! A table that holds one configuration and nothing else: it takes every write, and forgets it.
//!
//! So each input meets the same world, whatever was tried before it, and costs microseconds; nothing
//! is signed, since signatures hold the time of day. What the real table does with requests is for
//! the suites over the embedded engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::http::{Reply, Request, Transport, TransportError};
use shared::secrets::Secrets;
use shared::store::Store;

const DOCUMENT: &str = include_str!("table/lotwire.toml");

/// What was written while the configuration was applied, by partition and sort key.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    rows: HashMap<(String, String), Value>,
    frozen: bool,
}

impl Kept {
    fn answer(&self, operation: &str, asked: &Value) -> Value {
        let mut kept = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match operation {
            "GetItem" => match kept.rows.get(&key(&asked["Key"])) {
                Some(item) => json!({ "Item": item }),
                None => json!({}),
            },
            "Query" | "Scan" => json!({ "Items": [], "Count": 0, "ScannedCount": 0 }),
            "PutItem" | "TransactWriteItems" if !kept.frozen => {
                let several = asked["TransactItems"].as_array().into_iter().flatten();
                let puts = several.map(|write| &write["Put"]).chain([asked]);
                for item in puts.filter_map(|put| put.get("Item")) {
                    kept.rows.insert(key(item), item.clone());
                }
                json!({})
            }
            _ => json!({}),
        }
    }
}

fn key(item: &Value) -> (String, String) {
    let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    (text("pk"), text("sk"))
}

impl HttpConnector for Kept {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let asked = request.body().bytes().unwrap_or_default();
        let asked = serde_json::from_slice(asked).unwrap_or_default();
        let answer = self.answer(operation, &asked).to_string();
        let status = StatusCode::try_from(200).expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(answer));
        response
            .headers_mut()
            .insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Kept {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// When every input comes in.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_795_356_960).expect("in range")
}

/// Runs to the end on the one runtime of the process, whose time stands still.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
    });
    runtime.block_on(work)
}

/// A client of queues that take every message, and forget it.
pub(crate) fn sqs() -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .allow_no_auth()
        .http_client(Kept::default())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

/// Secrets that are variables, and no others.
pub(crate) fn secrets(
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Secrets {
    let extension = "http://localhost:2773".parse().expect("an address");
    let clock = Clock::starting_at(now());
    Secrets::new(Box::new(environment), Arc::new(Nobody), extension, clock)
}

/// Where nothing is to be sent.
pub(crate) struct Nobody;

#[async_trait]
impl Transport for Nobody {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        panic!("a request to {}", request.host());
    }
}

/// The store over the table.
pub(crate) fn store() -> Store {
    let kept = Kept::default();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .allow_no_auth()
        .http_client(kept.clone())
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let store = wait(async {
        let store = Store::new(client, "fuzz", Clock::starting_at(now()), Chance::seeded(1));
        let config = Config::check(DOCUMENT, "lotwire.toml").expect("the document is good");
        let applied = store.apply_config(&config, "fuzz").await;
        assert!(
            applied.expect("the table takes it"),
            "the document was applied"
        );
        store
    });
    kept.0.lock().expect("nobody panicked here").frozen = true;
    store
}
