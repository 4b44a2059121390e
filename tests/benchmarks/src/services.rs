//! AWS on loopback: the local engine behind a listener, which the functions' SDK clients find through
//! `AWS_ENDPOINT_URL`, as they would find LocalStack.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use lotwire::engine::{EmbeddedAws, Settings};
use lotwire::outbox::Outbox;
use lotwire::stack::{Parts, Stack, resources};
use secrecy::SecretString;
use serde_json::json;
use shared::bus::IntentRef;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::event::{Change, Level, StockEvent, Version};
use shared::domain::{Authority, Subject};
use shared::http::{Http, HttpSettings};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};

use crate::Error;

/// What webhooks are signed with.
pub(crate) const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// What the API asks for.
pub(crate) const TOKEN: &str = "correct horse";
/// The topic, as the local engine names it.
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-central-1:000000000000:intents";
/// The queue of sync jobs; its last part is what counts.
pub(crate) const SYNC_QUEUE: &str = "http://sqs.localhost/000000000000/sync";
/// The queue of the webhook channels' intents.
pub(crate) const NOTIFY_QUEUE: &str = "http://sqs.localhost/000000000000/notify-webhook";

/// Where systems keep the certificates they trust: Amazon Linux, Debian.
const BUNDLES: [&str; 2] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// One source of each kind, one channel, one rule. The channel's address is one that no message may
/// go to: the vendor's time is not ours, so an attempt ends where the request would have left.
const CONFIG: &str = r#"
[account]
name = "Measured"
zone = "Europe/Rome"
currency = "EUR"
[locations.north]
name = "North"
kind = "warehouse"
[connectors.shopify]
kind = "shopify"
shop = "measured"
[connectors.shopify.webhook]
secret = "env:SECRET"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:SECRET"
[connectors.erp]
kind = "files"
url = "/nowhere"
[channels.out]
kind = "webhook"
url = "https://192.0.2.1/alerts"
secret = "env:SECRET"
[[routes]]
name = "all"
kinds = ["low_stock"]
channels = ["out"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 9
[[rules]]
name = "gone"
kind = "out_of_stock"
"#;

/// The services, and what is in them.
pub(crate) struct Services {
    address: SocketAddr,
    /// Intents to be delivered, as the queue would carry them.
    intents: Vec<String>,
}

impl Services {
    /// Services with so many intents to be delivered.
    pub(crate) async fn with(intents: usize) -> Result<Self, Error> {
        let aws = EmbeddedAws::in_memory(Settings::default())?;
        let stack = stack(&aws)?;
        let config = Config::check(CONFIG, "measured.toml")?;
        stack.store.apply_config(&config, "bench").await?;
        for number in 0..intents {
            low(&stack, number).await?;
        }
        let mut waiting = Vec::new();
        let mut cursor = None;
        loop {
            let page = stack.store.intents(cursor.as_deref(), 500).await?;
            for intent in &page.items {
                waiting.push(serde_json::to_string(&IntentRef::from(intent))?);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let routes = axum::Router::new().fallback(answer).with_state(aws);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self {
            address,
            intents: waiting,
        })
    }

    /// What every function finds in its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let fixed = [
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", lotwire::engine::REGION),
            ("AWS_ACCESS_KEY_ID", "measured"),
            ("AWS_SECRET_ACCESS_KEY", "measured"),
            ("STACK_NAME", "measured"),
            ("TABLE_NAME", resources::TABLE),
            ("RUST_LOG", "info"),
            ("SECRET", SECRET),
            ("TOKEN", TOKEN),
        ];
        let endpoint = format!("http://{}", self.address);
        // In Lambda the certificates are one file; elsewhere a directory of hundreds may be found too.
        let bundle = BUNDLES
            .into_iter()
            .find(|path| std::path::Path::new(path).exists());
        fixed
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()))
            .chain([("AWS_ENDPOINT_URL", endpoint)])
            .chain(bundle.map(|path| ("SSL_CERT_FILE", path.to_owned())))
            .collect()
    }

    /// An intent, as the queue would carry it.
    pub(crate) fn intent(&self, number: usize) -> &str {
        self.intents.get(number).map_or("", String::as_str)
    }
}

fn stack(aws: &EmbeddedAws) -> Result<Stack, Error> {
    let clock = Clock::system();
    let http = Arc::new(Http::new(HttpSettings::default())?);
    let secrets = Secrets::new(
        Box::new(|_: &str| Some(SECRET.to_owned())),
        Arc::clone(&http) as _,
        EXTENSION.parse()?,
        clock.clone(),
    );
    Ok(Stack::build(Parts {
        aws: aws.clone(),
        chance: Chance::from_system(),
        secrets: Arc::new(secrets),
        outgoing: Arc::new(Outbox::in_memory(Arc::clone(&http) as _, clock.clone())),
        metrics: Metrics::to(io::sink(), clock),
        token: SecretString::from(TOKEN),
        downloads: http.streaming(),
        scratch: std::env::temp_dir(),
    })?)
}

/// A product that is low, and an alert about it.
async fn low(stack: &Stack, number: usize) -> Result<(), Error> {
    let now = Clock::system().now();
    let (product, location) = (format!("LOW-{number}").parse()?, "north".parse()?);
    let event = StockEvent {
        id: format!("low-{number}").parse()?,
        source: "generic".parse()?,
        at: now,
        actor: None,
        change: Change::LevelSet {
            called: None,
            product: shared::domain::ProductId::clone(&product),
            location: shared::domain::LocationId::clone(&location),
            level: Level {
                on_hand: 2,
                ..Level::default()
            },
            version: Version::at(now),
        },
    };
    stack.store.apply(&event, &Authority::default()).await?;
    let subject = Subject::Position { product, location };
    stack.evaluator.look(&subject).await?;
    Ok(())
}

/// Passes a request on to the engine.
async fn answer(State(aws): State<EmbeddedAws>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut passed = HttpRequest::new(SdkBody::from(body));
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            passed
                .headers_mut()
                .append(name.as_str().to_owned(), value.to_owned());
        }
    }
    match aws.call(passed).await {
        Ok(answered) => {
            let body = Bytes::copy_from_slice(answered.body().bytes().unwrap_or_default());
            let status = StatusCode::from_u16(answered.status().as_u16()).unwrap_or_default();
            let kind = answered.headers().get("content-type").unwrap_or_default();
            let mut response = (status, body).into_response();
            if let Ok(kind) = HeaderValue::from_str(kind) {
                response.headers_mut().insert("content-type", kind);
            }
            response
        }
        Err(error) => {
            let problem = json!({ "message": error.to_string() });
            (StatusCode::BAD_GATEWAY, problem.to_string()).into_response()
        }
    }
}
