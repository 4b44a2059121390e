//! One run of the stack: from the data directory to a served address, and to a clean end.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::FIRST_BYTE;
use secrecy::ExposeSecret as _;
use shared::chance::Chance;
use shared::config::{Config, ConfigErrors, environment};
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::InstallationError;
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::StoreError;

use super::functions::{Parts, Stack};
use super::{keys, sample};
use crate::engine::{EmbeddedAws, EngineError, Pump, Settings};
use crate::gateway::RouteError;
use crate::outbox::Outbox;

/// The configuration that is used when none is named and one stands here.
const OWN_CONFIG: &str = "lotwire.toml";
/// Hosts that may be called although they are private: for a vendor's stand-in on this machine.
const ALLOWED_HOSTS: &str = "LOTWIRE_ALLOWED_HOSTS";

/// How long a vendor may take to answer.
const VENDOR: Duration = Duration::from_secs(20);
/// How long a feed may take to arrive; each step of it has its own limit in the settings.
const DOWNLOAD: Duration = Duration::from_secs(900);

/// What a run is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data: PathBuf,
    /// The configuration; unset: `lotwire.toml` here if there is one, else the sample.
    pub config: Option<PathBuf>,
    /// Whether to start without the sample stock.
    pub empty: bool,
}

/// Why a run ended early, in words for whoever started it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The configuration cannot be read.
    #[error("{}: {source}", path.display())]
    ConfigFile {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("data directory {}: {source}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The server broke.
    #[error("the server stopped: {0}")]
    Server(io::Error),
    /// A host list that cannot be read.
    #[error("{ALLOWED_HOSTS}: {0}")]
    AllowedHosts(String),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
    /// The embedded services.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A route of ours is wrong.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The applied configuration.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The sample stock.
    #[error(transparent)]
    Sample(#[from] sample::SampleError),
}

/// A stack that is built and connected, and not yet listening.
pub struct Ready {
    stack: Stack,
    outbox: Outbox,
    pump: Pump,
    token: secrecy::SecretString,
    options: Options,
}

impl Ready {
    /// Opens the data directory, applies the configuration, and lets the functions run.
    pub async fn open(options: Options) -> Result<Self, ServeError> {
        let data = |source| ServeError::Data {
            path: options.data.clone(),
            source,
        };
        let (config, ours) = configuration(options.config.as_deref())?;
        let scratch = options.data.join("scratch");
        fs::create_dir_all(&scratch).map_err(data)?;
        let aws = EmbeddedAws::open(&options.data, Settings::default())?;
        let token = keys::token(&options.data).map_err(data)?;
        let made = keys::development_secrets(&options.data, &config, environment::process)
            .map_err(data)?;
        let http = Arc::new(http_client(VENDOR)?);
        let clock = aws.clock().clone();
        let secrets = Secrets::new(
            Box::new(move |name: &str| {
                environment::process(name).or_else(|| made.get(name).cloned())
            }),
            Arc::clone(&http) as _,
            extension()?,
            clock.clone(),
        );
        let outbox = Outbox::open(&options.data, http, clock.clone()).map_err(data)?;
        let stack = Stack::build(Parts {
            aws,
            chance: Chance::from_system(),
            secrets: Arc::new(secrets),
            outgoing: Arc::new(outbox.clone()),
            metrics: Metrics::to(io::sink(), clock),
            token: token.clone(),
            downloads: http_client(DOWNLOAD)?.streaming(),
            scratch,
        })?;
        if stack.store.apply_config(&config, "lotwire").await? {
            tracing::info!("configuration applied");
        }
        if !ours && !options.empty && is_new(&stack).await? {
            let installation = stack.installations.current().await?;
            sample::load(&stack.store, &installation.authority()).await?;
            tracing::info!("sample stock loaded");
        }
        let pump = stack.start()?;
        let announced = stack.announce_pending().await?;
        if announced > 0 {
            tracing::info!(announced, "deliveries of the last run taken up again");
        }
        Ok(Self {
            stack,
            outbox,
            pump,
            token,
            options,
        })
    }

    /// Serves until told to stop, then finishes what is running. `ready` is called with what a person
    /// should read once requests are answered.
    pub async fn serve(
        self,
        until: impl Future<Output = ()> + Send + 'static,
        ready: impl FnOnce(&str),
    ) -> Result<(), ServeError> {
        let Self {
            stack,
            outbox,
            pump,
            token,
            options,
        } = self;
        let listening = |source| ServeError::Listen {
            address: options.listen,
            source,
        };
        let listener = tokio::net::TcpListener::bind(options.listen)
            .await
            .map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let gateway = stack.gateway()?;
        ready(&greeting(address, &options.data, token.expose_secret()));
        let served = gateway.serve(listener, outbox.routes(), until).await;
        pump.stop().await;
        served.map_err(ServeError::Server)
    }
}

/// The configuration, and whether it is the user's own.
fn configuration(named: Option<&Path>) -> Result<(Config, bool), ServeError> {
    let own = Path::new(OWN_CONFIG);
    let path = match named {
        Some(path) => path,
        None if own.exists() => own,
        None => return Ok((sample::config()?, false)),
    };
    let text = fs::read_to_string(path).map_err(|source| ServeError::ConfigFile {
        path: path.to_owned(),
        source,
    })?;
    Ok((Config::check(&text, &path.display().to_string())?, true))
}

async fn is_new(stack: &Stack) -> Result<bool, StoreError> {
    let mut cursor = None;
    loop {
        let page = stack.store.positions(cursor.as_deref(), 1).await?;
        if !page.items.is_empty() {
            return Ok(false);
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(true);
        }
    }
}

fn http_client(timeout: Duration) -> Result<Http, ServeError> {
    let hosts = environment::process(ALLOWED_HOSTS).unwrap_or_default();
    let allowed = hosts
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
        .map(|host| {
            host.parse()
                .map_err(|error| ServeError::AllowedHosts(format!("{host}: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let settings = HttpSettings {
        guard: Guard::new(allowed),
        timeout,
        first_byte: Some(FIRST_BYTE.min(timeout)),
        ..HttpSettings::default()
    };
    Http::new(settings).map_err(|error| ServeError::Http(error.to_string()))
}

fn extension() -> Result<url::Url, ServeError> {
    EXTENSION
        .parse()
        .map_err(|error| ServeError::Http(format!("{EXTENSION}: {error}")))
}

/// What a person reads first.
fn greeting(address: SocketAddr, data: &Path, token: &str) -> String {
    let data = data.display();
    format!(
        "lotwire ready on http://{address}\n\
         token  {token}   (also in {data}/token)\n\
         \n\
         try    curl -H \"authorization: Bearer {token}\" http://{address}/api/v1/positions\n\
         see    http://{address}/outbox   what leaves, or would leave, for each channel\n\
         sign   source {data}/secrets.env   the secrets that webhooks are signed with here\n\
         stop   Ctrl-C\n"
    )
}
