//! A world: the real handlers over the embedded engine, on a virtual clock, with everybody around.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{EmbeddedAws, EngineError, Interference, Settings};
use lotwire::gateway::{Gateway, RouteError};
use lotwire::stack::{Parts, Stack};
use secrecy::SecretString;
use serde_json::Value;
use shared::clock::Clock;
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::fakes::secrets::Keyring;
use crate::fakes::vendors::{Nowhere, Vendors};
use crate::fakes::{Records, people, senders};
use crate::faults::Saboteur;
use crate::places::Rules;
use crate::plan::{Act, File, Lot, Plan, Step};
use crate::trace::Trace;

/// The API's token.
pub const TOKEN: &str = "simulated-token";

/// Why a world could not be set up: never the product's fault.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The gateway.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The feed server's folder, or the runtime.
    #[error("set up a world: {0}")]
    Io(#[from] std::io::Error),
    /// An address that is none.
    #[error("set up a world: {0}")]
    Address(String),
}

/// A world.
pub struct World {
    /// What happens in it.
    pub plan: Plan,
    /// Its clock.
    pub clock: Clock,
    /// When it began.
    pub began: Instant,
    /// The product.
    pub stack: Stack,
    /// The services under it.
    pub aws: EmbeddedAws,
    /// What goes wrong.
    pub saboteur: Arc<Saboteur>,
    /// The vendors.
    pub vendors: Arc<Vendors>,
    /// What senders and people have on record.
    pub records: Records,
    /// Both sides' secrets.
    pub keyring: Keyring,
    /// All that happens.
    pub trace: Arc<Trace>,
    gateway: Gateway,
    rules: Mutex<Rules>,
    lists_dropped: AtomicBool,
    home: tempfile::TempDir,
}

impl World {
    /// A world in which nothing has happened yet. Must be called on its own, paused, runtime.
    pub fn new(
        plan: Plan,
        trace: Arc<Trace>,
        forgetful: Option<usize>,
    ) -> Result<Self, WorldError> {
        let clock = Clock::starting_at(Plan::start());
        let home = tempfile::tempdir()?;
        for folder in ["drop", "scratch"] {
            std::fs::create_dir(home.path().join(folder))?;
        }
        let saboteur = Arc::new(Saboteur::new(plan.faults.clone(), Arc::clone(&trace)));
        let aws = EmbeddedAws::in_memory(Settings {
            clock: clock.clone(),
            interference: Arc::clone(&saboteur) as Arc<dyn Interference>,
            ..Settings::default()
        })?;
        let keyring = Keyring::default();
        let vendors = Vendors::new(
            clock.clone(),
            Dice::of(plan.seed, "vendors"),
            keyring.clone(),
            Arc::clone(&saboteur),
            plan.faults.spells.clone(),
            Arc::clone(&trace),
        );
        let vendors = Arc::new(vendors.forgetful(forgetful));
        let environment = keyring.clone();
        let extension = EXTENSION.parse();
        let secrets = Secrets::new(
            Box::new(move |name: &str| environment.ours(name)),
            Arc::new(Nowhere),
            extension.map_err(|error| WorldError::Address(format!("{EXTENSION}: {error}")))?,
            clock.clone(),
        );
        let stack = Stack::build(Parts {
            aws: aws.clone(),
            chance: Dice::of(plan.seed, "product").chance(),
            secrets: Arc::new(secrets),
            outgoing: Arc::clone(&vendors) as _,
            metrics: Metrics::to(std::io::sink(), clock.clone()),
            token: SecretString::from(TOKEN),
            downloads: downloads().into(),
            scratch: home.path().join("scratch"),
        })?;
        Ok(Self {
            gateway: stack.gateway()?,
            plan,
            clock,
            began: Instant::now(),
            stack,
            aws,
            saboteur,
            vendors,
            records: Records::default(),
            keyring,
            trace,
            rules: Mutex::default(),
            lists_dropped: AtomicBool::default(),
            home,
        })
    }

    /// Where the feed server keeps its files.
    pub fn folder(&self) -> PathBuf {
        self.home.path().join("drop")
    }

    /// Notes the rules that were applied last.
    pub fn rules(&self, applied: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = applied;
    }

    /// The rules that were applied last.
    pub fn applied(&self) -> Rules {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connector of the lists of vehicles out of the configuration.
    pub async fn drop_lists(&self) {
        self.lists_dropped.store(true, Ordering::Relaxed);
        people::configure(self, self.applied()).await;
    }

    /// Whether it was taken out.
    pub fn are_lists_dropped(&self) -> bool {
        self.lists_dropped.load(Ordering::Relaxed)
    }

    /// Sends a request to the gateway. `None` if there is no answer in time.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: String,
        patience: Duration,
    ) -> Option<(u16, Value)> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let (parts, ()) = request.body(()).ok()?.into_parts();
        let source = [198, 51, 100, 7].into();
        let answer = self.gateway.answer(parts, source, Bytes::from(body));
        let answer = tokio::time::timeout(patience, answer).await.ok()?;
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Every item of a list of the API.
    pub async fn list(&self, path: &str) -> Option<Vec<Value>> {
        let authorization = [("authorization", format!("Bearer {TOKEN}"))];
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{path}limit=200{cursor}");
            let hour = Duration::from_secs(3_600);
            let answer = self.ask("GET", &path, &authorization, String::new(), hour);
            let (status, body) = answer.await?;
            if status != 200 {
                return None;
            }
            items.extend(body["items"].as_array()?.iter().cloned());
            match body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(items),
            }
        }
    }

    /// Does what a step says, to the end.
    pub async fn act(&self, step: &Step) {
        tokio::time::sleep_until(self.began + step.at).await;
        match &step.act {
            Act::Webhook(message) => senders::send(self, message).await,
            Act::Movement(request) => people::ask(self, request).await,
            Act::Configure(rules) => people::configure(self, *rules).await,
            Act::File(file) => {
                self.put_down(file);
                if file.hurried {
                    people::have_read(self, "feed").await;
                }
            }
            Act::Lot(lot) => {
                self.put_down_lot(lot);
                if lot.hurried {
                    people::have_read(self, "lot").await;
                }
            }
            Act::Rotate(rotation) => {
                let start = Instant::now();
                let ours = async {
                    tokio::time::sleep_until(start + rotation.ours).await;
                    self.keyring.renew_ours(rotation.of, rotation.generation);
                };
                let theirs = async {
                    tokio::time::sleep_until(start + rotation.theirs).await;
                    self.keyring.renew_theirs(rotation.of, rotation.generation);
                };
                tokio::join!(biased; ours, theirs);
            }
        }
    }

    /// Puts a file on the feed server, written just now by its clock.
    pub fn put_down(&self, file: &File) {
        let written = self.write(&file.name, &file.content);
        self.trace
            .note(|| format!("file {} {:?}", file.name, file.kind));
        self.records.file(File {
            written,
            ..file.clone()
        });
    }

    /// The same for a list of vehicles.
    pub fn put_down_lot(&self, lot: &Lot) {
        let written = self.write(&lot.name(), &lot.content());
        self.trace.note(|| format!("lot {}", lot.name()));
        self.records.lot(Lot {
            written,
            ..lot.clone()
        });
    }

    /// When it was written, if it could be.
    fn write(&self, name: &str, content: &str) -> Option<Timestamp> {
        let now = self.clock.now() + self.plan.feed_skew;
        let path = self.folder().join(name);
        let written = std::fs::write(&path, content).and_then(|()| {
            let opened = std::fs::File::options().write(true).open(&path)?;
            opened.set_modified(std::time::SystemTime::from(now))
        });
        written.is_ok().then_some(now)
    }

    /// Whether every file was read.
    pub fn feed_is_read(&self) -> bool {
        let folders = [self.folder(), self.folder().join("processing")];
        let entries = folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok());
        !entries
            .flatten()
            .flatten()
            .any(|entry| entry.path().is_file())
    }

    /// How long the world has lasted.
    pub fn age(&self) -> SignedDuration {
        SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX)
    }
}

/// One client for all worlds, which nobody uses: making one reads the system's certificates.
fn downloads() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT
        .get_or_init(|| reqwest::Client::builder().build().unwrap_or_default())
        .clone()
}
