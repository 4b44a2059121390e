//! One run of the stack: from the data directory to a served address, and to a clean end.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::ports::Liveness as _;
use notify::FIRST_BYTE;
use secrecy::SecretString;
use shared::chance::Chance;
use shared::config::{ConfigErrors, environment};
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::InstallationError;
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use shared::store::StoreError;
use shared::store::breakers::TroubleKind;
use tokio::net::TcpListener;

use super::functions::{Parts, Stack};
use super::greeting::Greeting;
use super::liveness::LivenessCheck;
use super::{configuration, keys, sample};
use crate::engine::{EmbeddedAws, EngineError, Pump, Settings};
use crate::gateway::RouteError;
use crate::outbox::Outbox;
use crate::pages::{self, Access};

/// Hosts that may be called although they are private: for a vendor's stand-in on this machine.
const ALLOWED_HOSTS: &str = "LOTWIRE_ALLOWED_HOSTS";

/// How long a vendor may take to answer.
const VENDOR: Duration = Duration::from_secs(20);
/// How long a feed may take to arrive; each step of it has its own limit in the settings.
const DOWNLOAD: Duration = Duration::from_secs(900);

/// What a run is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen: `HOST:PORT`.
    pub listen: String,
    /// Where everything is kept.
    pub data: PathBuf,
    /// The configuration; unset: what the data directory has, and for a new one `lotwire.toml` here
    /// if there is one, else the sample.
    pub config: Option<PathBuf>,
    /// Whether to start without the sample stock.
    pub empty: bool,
    /// How many days webhooks are kept, to be applied again.
    pub keep_webhooks: u16,
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
    #[error("cannot listen on {address}: {source}; --listen takes another HOST:PORT")]
    Listen {
        /// Which.
        address: String,
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
    /// Reads of files that the last run left.
    #[error(transparent)]
    Recover(#[from] sync::RecoverError),
    /// The sample stock.
    #[error(transparent)]
    Sample(#[from] sample::SampleError),
}

/// A stack that is built, connected and listening, and does not answer yet.
pub struct Ready {
    stack: Stack,
    outbox: Outbox,
    pump: Pump,
    token: SecretString,
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
    greeting: String,
}

impl Ready {
    /// Takes the address, opens the data directory, puts the configuration in force, and lets the
    /// functions run. Whatever can be wrong with address or configuration is found before anything
    /// is written.
    pub async fn open(options: Options) -> Result<Self, ServeError> {
        let data = |source| ServeError::Data {
            path: options.data.clone(),
            source,
        };
        let (listener, address) = listen(&options.listen).await?;
        let document = configuration::document(options.config.as_deref(), &options.data)?;
        let http = Arc::new(http_client(VENDOR)?);
        keys::close_to_others(&options.data).map_err(data)?;
        let aws = EmbeddedAws::open(&options.data, Settings::default())?;
        let token = keys::token(&options.data).map_err(data)?;
        let clock = aws.clock().clone();
        // Which secrets are to be made is known once it is known which configuration is in force.
        let made: Arc<OnceLock<BTreeMap<String, String>>> = Arc::default();
        let known = Arc::clone(&made);
        let secrets = Arc::new(Secrets::new(
            Box::new(move |name: &str| {
                environment::process(name).or_else(|| known.get()?.get(name).cloned())
            }),
            Arc::clone(&http) as _,
            extension()?,
            clock.clone(),
        ));
        let outbox = Outbox::open(&options.data, http, clock.clone()).map_err(data)?;
        let stack = Stack::build(Parts {
            aws,
            chance: Chance::from_system(),
            secrets: Arc::clone(&secrets),
            outgoing: Arc::new(outbox.clone()),
            metrics: Metrics::to(io::sink(), clock.clone()),
            token: token.clone(),
            downloads: http_client(DOWNLOAD)?.streaming(),
            scratch: options.data.join(keys::SCRATCH),
        })?
        .keeping_webhooks(options.keep_webhooks);
        let in_force = configuration::put_in_force(&stack.store, document).await?;
        let development =
            keys::development_secrets(&options.data, &in_force.config, environment::process);
        let development = development.map_err(data)?;
        made.get_or_init(|| development);
        if in_force.first_sample && !options.empty && is_new(&stack).await? {
            let installation = stack.installations.current().await?;
            sample::load(&stack.store, &installation.authority()).await?;
            tracing::info!("sample stock loaded");
        }
        let liveness = LivenessCheck {
            secrets,
            outgoing: Arc::new(outbox.clone()),
            aws: stack.aws.clone(),
        };
        let channels = liveness.channels(&in_force.config).await;
        let connectors = liveness.connectors(&in_force.config).await;
        let mut told = channels.clone();
        for channel in told.iter_mut().filter(|it| it.problem.is_none()) {
            let trouble = stack.store.destination(&channel.name).await?.trouble;
            // That there were no credentials is over.
            let refused = trouble.filter(|it| it.kind == TroubleKind::Refused);
            channel.problem = refused.map(|it| it.reason);
        }
        let access = Access::new(token.clone(), clock);
        let greeting = Greeting {
            address,
            data: &options.data,
            in_force: &in_force,
            channels: &told,
            connectors: &connectors,
            sign_in: &access.sign_in_link(&keys::random_code()),
        };
        let greeting = greeting.text();
        let runs = stack.sync.recover().await?;
        if runs > 0 {
            tracing::info!(runs, "reads of files that were cut off are taken up again");
        }
        for channel in channels.into_iter().filter(|it| it.problem.is_none()) {
            stack.catch_up(channel.name).await?;
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
            listener,
            address,
            access,
            greeting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, and lets what is under way end. `ready` is handed what to tell
    /// whoever started it.
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
            listener,
            address: _,
            access,
            greeting,
        } = self;
        let gateway = stack.gateway()?;
        let local = pages::routes(&access, outbox.routes(), gateway.clone(), token);
        ready(&greeting);
        let served = gateway.serve(listener, local, until).await;
        pump.stop().await;
        served.map_err(ServeError::Server)
    }
}

/// Takes an address, given by name or number.
async fn listen(wanted: &str) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listening = |source| ServeError::Listen {
        address: wanted.to_owned(),
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    Ok((listener, address))
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
