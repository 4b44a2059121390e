//! The SDK's HTTP client: each request is answered in this process, without a socket.

use super::function::RunId;
use super::interference::{Call, Interference, Interruption, Service, Untouched};
use super::queue_calls;
use super::{EngineError, Ids, Queues, REGION, Tables, Topics};
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use shared::clock::Clock;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The embedded services behind the official SDK clients. Clones share everything.
#[derive(Clone)]
pub struct EmbeddedAws(Arc<Services>);

struct Services {
    tables: Arc<Tables>,
    queues: Queues,
    topics: Topics,
    clock: Clock,
    ids: Arc<Ids>,
    interference: Arc<dyn Interference>,
    retries: RetryConfig,
    calls: Arc<AtomicU64>,
    /// Held as long as the directory is in use.
    lock: Option<Arc<File>>,
}

impl fmt::Debug for EmbeddedAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedAws").finish_non_exhaustive()
    }
}

/// What an engine is built with.
#[derive(Clone)]
pub struct Settings {
    /// Where the services ask the time.
    pub clock: Clock,
    /// Asked before and after every call.
    pub interference: Arc<dyn Interference>,
    /// How the SDK clients retry. They wait on tokio's time, so virtual time covers them.
    pub retries: RetryConfig,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            interference: Arc::new(Untouched),
            // Without jitter: a run on a virtual clock repeats exactly.
            retries: RetryConfig::standard().with_use_static_exponential_base(true),
        }
    }
}

impl EmbeddedAws {
    /// Services that end with the process.
    pub fn in_memory(settings: Settings) -> Result<Self, EngineError> {
        let tables = Tables::in_memory(settings.clock.clone())?;
        Ok(Self::over(tables, None, settings))
    }

    /// Services whose tables are kept in `directory`, which is created if need be.
    ///
    /// Queues are in memory either way: what must survive is in the tables.
    pub fn open(directory: &Path, settings: Settings) -> Result<Self, EngineError> {
        let lock = lock(directory)?;
        let tables = Tables::in_directory(directory, settings.clock.clone())?;
        Ok(Self::over(tables, Some(lock), settings))
    }

    fn over(tables: Tables, lock: Option<File>, settings: Settings) -> Self {
        let ids = Arc::new(Ids::starting_at(settings.clock.now()));
        Self(Arc::new(Services {
            tables: Arc::new(tables),
            queues: Queues::new(
                settings.clock.clone(),
                Arc::clone(&ids),
                Arc::clone(&settings.interference),
            ),
            topics: Topics::new(settings.clock.clone(), Arc::clone(&ids)),
            clock: settings.clock,
            ids,
            interference: settings.interference,
            retries: settings.retries,
            calls: Arc::default(),
            lock: lock.map(Arc::new),
        }))
    }

    /// The services as a restarted process finds them: the same tables, no queue, no topic.
    ///
    /// For simulations, which drop the pump first and set up queues and mappings again after.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let clock = self.0.clock.clone();
        let ids = Arc::new(self.0.ids.successor(clock.now()));
        Self(Arc::new(Services {
            tables: Arc::clone(&self.0.tables),
            queues: Queues::new(
                clock.clone(),
                Arc::clone(&ids),
                Arc::clone(&self.0.interference),
            ),
            topics: Topics::new(clock.clone(), Arc::clone(&ids)),
            clock,
            ids,
            interference: Arc::clone(&self.0.interference),
            retries: self.0.retries.clone(),
            calls: Arc::clone(&self.0.calls),
            lock: self.0.lock.clone(),
        }))
    }

    /// The tables, for setting them up.
    pub fn tables(&self) -> &Tables {
        &self.0.tables
    }

    /// The queues, for setting them up.
    pub fn queues(&self) -> &Queues {
        &self.0.queues
    }

    /// The topics, for setting them up.
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// The clock the services ask.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// A fresh identifier, shaped as a UUID.
    pub(crate) fn request_id(&self) -> String {
        self.0.ids.next()
    }

    /// The official DynamoDB client.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .allow_no_auth()
            .retry_config(self.0.retries.clone())
            .retry_partition(retry_partition("dynamodb"))
            .stalled_stream_protection(nothing_stalls())
            .http_client(self.clone())
            .build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }

    /// The official SQS client.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .allow_no_auth()
            .retry_config(self.0.retries.clone())
            .retry_partition(retry_partition("sqs"))
            .stalled_stream_protection(nothing_stalls())
            .http_client(self.clone())
            .build();
        aws_sdk_sqs::Client::from_conf(config)
    }

    /// The official SNS client.
    pub fn sns(&self) -> aws_sdk_sns::Client {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .allow_no_auth()
            .retry_config(self.0.retries.clone())
            .retry_partition(retry_partition("sns"))
            .stalled_stream_protection(nothing_stalls())
            .http_client(self.clone())
            .build();
        aws_sdk_sns::Client::from_conf(config)
    }

    /// Runs one call under the interference hook.
    pub(crate) async fn call<T>(
        &self,
        service: Service,
        operation: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, Interruption> {
        let call = Call {
            service,
            operation: operation.to_owned(),
            sequence: self.0.calls.fetch_add(1, Ordering::Relaxed) + 1,
            run: RunId::current(),
        };
        self.0.interference.before(&call).await.check().await?;
        let answer = work.await;
        self.0.interference.after(&call).await.check().await?;
        Ok(answer)
    }

    /// Routes a request by its target header; SNS alone has none.
    pub(crate) async fn answer(
        &self,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        let (service, operation) = match target.split_once('.') {
            Some((prefix, operation)) if prefix.starts_with("DynamoDB") => {
                (Service::DynamoDb, operation.to_owned())
            }
            Some((_, operation)) => (Service::Sqs, operation.to_owned()),
            None => (Service::Sns, Topics::operation(body)),
        };
        let work = async {
            match service {
                Service::DynamoDb => {
                    let answer = self.0.tables.answer(&operation, body).await;
                    Reply::json(answer.status, answer.body)
                }
                Service::Sqs => queue_calls::answer(&self.0.queues, &operation, body).await,
                _ => self.0.topics.answer(&self.0.queues, &operation, body),
            }
        };
        match self.call(service, &operation, work).await {
            Ok(reply) => reply.into_response(),
            Err(Interruption::Conflict) => Reply::conflict(&operation, body).into_response(),
            Err(Interruption::Throttled) => Reply::throttled(service).into_response(),
            Err(Interruption::ConnectionLost) => Err(ConnectorError::io(
                format!("{operation}: the connection was closed").into(),
            )),
        }
    }
}

/// There is no stream that could stall, and the SDK would measure a virtual wait by the machine's clock.
fn nothing_stalls() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::disabled()
}

/// A client's own allowance of retries. The SDK would have one for the whole process, and of two
/// engines in it, one's failures would use up the other's.
fn retry_partition(service: &'static str) -> RetryPartition {
    RetryPartition::custom(service).build()
}

/// Takes the directory for this process, which the file names. The system drops the lock with the process,
/// however that ends; the name that is left means nothing then.
fn lock(directory: &Path) -> Result<File, EngineError> {
    let refused = |source| EngineError::Directory {
        directory: directory.to_owned(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(refused)?;
    let path = directory.join("lock");
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(refused)?;
            writeln!(file, "{}", std::process::id()).map_err(refused)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let by = std::fs::read_to_string(&path).unwrap_or_default();
            Err(EngineError::InUse {
                directory: directory.to_owned(),
                by: by.trim().parse().ok(),
            })
        }
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

impl HttpConnector for EmbeddedAws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let services = self.clone();
        HttpConnectorFuture::new(async move { services.answer(request).await })
    }
}

impl HttpClient for EmbeddedAws {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// What goes back to the SDK.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    content_type: &'static str,
    /// The error's name in SQS's older protocol, which clients still read first.
    query_error: Option<String>,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: "application/x-amz-json-1.0",
            query_error: None,
            body,
        }
    }

    pub(crate) fn json_error(shape: &str, query_error: &str, message: &str) -> Self {
        let body = serde_json::json!({
            "__type": format!("com.amazonaws.sqs#{shape}"), "message": message });
        Self {
            query_error: Some(format!("{query_error};Sender")),
            ..Self::json(400, body.to_string().into_bytes())
        }
    }

    pub(crate) fn xml(status: u16, body: String) -> Self {
        Self {
            status,
            content_type: "text/xml",
            query_error: None,
            body: body.into_bytes(),
        }
    }

    fn throttled(service: Service) -> Self {
        let words = "The rate of requests exceeds the allowed throughput.";
        match service {
            Service::DynamoDb => {
                let shape = "ProvisionedThroughputExceededException";
                let body = serde_json::json!({
                    "__type": format!("com.amazonaws.dynamodb.v20120810#{shape}"),
                    "message": words });
                Self::json(400, body.to_string().into_bytes())
            }
            Service::Sqs => Self::json_error("RequestThrottled", "RequestThrottled", words),
            _ => super::topics::error(400, "Throttling", words),
        }
    }

    /// Another transaction is at the same item.
    fn conflict(operation: &str, request: &[u8]) -> Self {
        let words = "Transaction is ongoing for the item";
        let mut body = serde_json::json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
            "message": words });
        if operation == "TransactWriteItems" {
            let request: serde_json::Value = serde_json::from_slice(request).unwrap_or_default();
            let items = request["TransactItems"].as_array().map_or(1, Vec::len);
            let reason = serde_json::json!({ "Code": "TransactionConflict", "Message": words });
            body = serde_json::json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
                "CancellationReasons": vec![reason; items] });
        }
        Self::json(400, body.to_string().into_bytes())
    }

    fn into_response(self) -> Result<HttpResponse, ConnectorError> {
        let status = StatusCode::try_from(self.status)
            .map_err(|error| ConnectorError::other(error.into(), None))?;
        let mut response = HttpResponse::new(status, SdkBody::from(self.body));
        response
            .headers_mut()
            .insert("content-type", self.content_type);
        if let Some(error) = self.query_error {
            response.headers_mut().insert("x-amzn-query-error", error);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
