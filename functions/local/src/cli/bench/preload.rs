//! A table that is full before the first webhook comes.
//!
//! [`Store::apply`](shared::store::Store::apply) itself makes the rows, so they are the product's
//! own; only its calls do not reach the table one by one. They are answered here, as by an empty
//! table, and what they write is put into the table in bulk.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use serde_json::Value;
use shared::chance::Chance;
use shared::domain::Authority;
use shared::store::Store;
use tokio::sync::mpsc;

use super::{BenchError, during, world};
use crate::engine::EmbeddedAws;
use crate::stack::resources::TABLE;

/// Positions per bulk write.
const CHUNK: usize = 5_000;

/// Fills the table with a position for each of these product names, as stated at `at`.
pub(super) async fn fill(
    aws: &EmbeddedAws,
    authority: &Authority,
    products: impl Iterator<Item = String> + Send + 'static,
    at: Timestamp,
) -> Result<u64, BenchError> {
    let (chunks, mut ready) = mpsc::channel::<Vec<Value>>(2);
    let authority = authority.clone();
    let made = tokio::spawn(async move {
        let rows = Rows::default();
        let store = rows.store(TABLE);
        let mut count = 0;
        for product in products {
            let event = world::plenty(&product, at)?;
            store
                .apply(&event, &authority)
                .await
                .map_err(during("make rows"))?;
            count += 1;
            if count % CHUNK == 0 && chunks.send(rows.take()).await.is_err() {
                break; // the writer has failed, and says why
            }
        }
        chunks.send(rows.take()).await.ok();
        u64::try_from(count).map_err(during("count rows"))
    });
    let aws = aws.clone();
    let written = tokio::task::spawn_blocking(move || {
        while let Some(items) = ready.blocking_recv() {
            aws.tables().load(TABLE, items)?;
        }
        Ok(())
    });
    written
        .await
        .map_err(during("fill the table"))?
        .map_err(during::<crate::engine::EngineError>("fill the table"))?;
    made.await.map_err(during("make rows"))?
}

/// An empty table that remembers what is written to it.
#[derive(Debug, Clone, Default)]
struct Rows(Arc<Mutex<Vec<Value>>>);

impl Rows {
    fn store(&self, table: &str) -> Store {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
            .http_client(self.clone())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let clock = shared::clock::Clock::system();
        Store::new(client, table, clock, Chance::from_system())
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, request: &HttpRequest) -> Result<(), serde_json::Error> {
        let mut asked: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default())?;
        if let Some(writes) = asked["TransactItems"].as_array_mut() {
            let items = writes.iter_mut().map(|write| write["Put"]["Item"].take());
            let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            rows.extend(items);
        }
        Ok(())
    }
}

impl HttpConnector for Rows {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self
            .keep(&request)
            .map_err(|error| ConnectorError::other(error.into(), None))
            .and_then(|()| nothing());
        HttpConnectorFuture::ready(answer)
    }
}

/// The answer of a table in which nothing was found, or everything was written.
fn nothing() -> Result<HttpResponse, ConnectorError> {
    let ok =
        StatusCode::try_from(200).map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(ok, SdkBody::from("{}"));
    response
        .headers_mut()
        .insert("content-type", "application/x-amz-json-1.0");
    Ok(response)
}

impl HttpClient for Rows {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
