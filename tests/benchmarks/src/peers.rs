//! Webhooks at a given rate or as fast as they are taken, and what was told of them: the sender and the
//! listener that `peers.sh` puts before and behind each system.
//!
//! Each webhook says that little is left of a product of its own, so each is to be told once. It counts
//! from the moment it was due. What was acknowledged and never told is lost. Signatures are made for
//! whoever checks them.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use clap::Parser;
use secrecy::SecretString;
use shared::clock::Clock;
use shared::signature::{LiveSecrets, standard};

/// Fewer than any threshold.
const FEW: u32 = 2;
/// How the products' names begin.
const PRODUCT: &str = "PEER-";

#[derive(Debug, Parser)]
struct Load {
    /// Where webhooks go.
    #[arg(long)]
    url: String,
    /// Where messages are waited for: POST /alerts.
    #[arg(long)]
    listen: SocketAddr,
    /// The webhooks' secret.
    #[arg(long)]
    secret: String,
    /// Webhooks per second; 0 sends the next as soon as one is answered.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// How many webhooks may be under way at once.
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// A shell command to run halfway, such as one that kills and starts again.
    #[arg(long)]
    halfway: Option<String>,
    /// How long to wait for a message, after the last, before the rest counts as lost.
    #[arg(long, default_value_t = 30)]
    patience: u32,
    /// The number of the first product, for a second load on the same system.
    #[arg(long, default_value_t = 0)]
    first: u32,
}

/// What is known of one webhook.
#[derive(Debug, Default)]
struct Fate {
    due: Option<Instant>,
    acknowledged: bool,
    told: Option<Instant>,
    again: u64,
}

#[derive(Debug)]
struct Traffic {
    load: Load,
    begin: Instant,
    next: AtomicU32,
    refused: AtomicU64,
    over: AtomicBool,
    fates: Mutex<HashMap<u32, Fate>>,
    client: reqwest::Client,
    secrets: LiveSecrets,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Load::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unread = show(&format!("peer-load: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(load: Load) -> Result<(), Box<dyn Error>> {
    let secret = SecretString::from(load.secret.clone());
    let listener = tokio::net::TcpListener::bind(load.listen).await?;
    let traffic = Arc::new(Traffic {
        begin: Instant::now(),
        next: AtomicU32::new(load.first),
        refused: AtomicU64::new(0),
        over: AtomicBool::new(false),
        fates: Mutex::default(),
        client: reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?,
        secrets: standard::secrets(std::slice::from_ref(&secret))?,
        load,
    });
    let routes = axum::Router::new()
        .route("/alerts", post(take))
        .with_state(Arc::clone(&traffic));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..traffic.load.connections {
        senders.spawn(Arc::clone(&traffic).send());
    }
    let length = Duration::from_secs(traffic.load.seconds.into());
    tokio::time::sleep(length / 2).await;
    if let Some(command) = traffic.load.halfway.clone() {
        let ran =
            tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &command]).status());
        if !ran.await??.success() {
            return Err("what was to be done halfway failed".into());
        }
    }
    tokio::time::sleep(length.saturating_sub(traffic.begin.elapsed())).await;
    traffic.over.store(true, Ordering::SeqCst);
    while let Some(sent) = senders.join_next().await {
        sent?;
    }
    traffic.settle().await;
    show(&traffic.figures())?;
    Ok(())
}

impl Traffic {
    /// Sends what is next until the time is over.
    async fn send(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let due = match self.load.rate {
                0 => Instant::now(),
                rate => self.begin + Duration::from_secs(1) * (number - self.load.first) / rate,
            };
            tokio::time::sleep_until(due.into()).await;
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            self.fate(number, |fate| fate.due = Some(due));
            let acknowledged = match self.webhook(number).send().await {
                Ok(response) if response.status().is_success() => response.bytes().await.is_ok(),
                _ => false,
            };
            if acknowledged {
                self.fate(number, |fate| fate.acknowledged = true);
            } else {
                self.refused.fetch_add(1, Ordering::SeqCst);
                // Somebody who was killed is not asked without a pause.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn webhook(&self, number: u32) -> reqwest::RequestBuilder {
        let now = Clock::system().now();
        let id = format!("peer-{number}");
        let body = format!(
            r#"{{"type":"stock.level","timestamp":"{now}","data":{{"sku":"{PRODUCT}{number}","location":"main","on_hand":{FEW}}}}}"#
        );
        let signature = standard::sign(&id, now, body.as_bytes(), &self.secrets);
        self.client
            .post(&self.load.url)
            .header("content-type", "application/json")
            .header(standard::ID, id)
            .header(standard::TIMESTAMP, now.as_second().to_string())
            .header(standard::SIGNATURE, signature)
            .body(body)
    }

    fn fate<T>(&self, number: u32, change: impl FnOnce(&mut Fate) -> T) -> T {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        change(fates.entry(number).or_default())
    }

    fn told(&self) -> usize {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        fates.values().filter(|fate| fate.told.is_some()).count()
    }

    fn untold(&self) -> usize {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = |fate: &&Fate| fate.acknowledged && fate.told.is_none();
        fates.values().filter(untold).count()
    }

    /// Waits until everything acknowledged is told, or nothing has come for too long.
    async fn settle(&self) {
        let patience = Duration::from_secs(self.load.patience.into());
        let mut last = (self.told(), Instant::now());
        while self.untold() > 0 && last.1.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let told = self.told();
            if told > last.0 {
                last = (told, Instant::now());
            }
        }
    }

    fn figures(&self) -> String {
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |wanted: fn(&Fate) -> bool| fates.values().filter(|fate| wanted(fate)).count();
        let mut delays: Vec<Duration> = fates
            .values()
            .filter_map(|fate| Some(fate.told?.duration_since(fate.due?)))
            .collect();
        delays.sort_unstable();
        let at = |percent: usize| {
            let rank = (delays.len() * percent).div_ceil(100).saturating_sub(1);
            delays.get(rank).map_or_else(
                || "-".to_owned(),
                |delay| format!("{:.1}", delay.as_secs_f64() * 1_000.0),
            )
        };
        let last = fates.values().filter_map(|fate| fate.told).max();
        let told = delays.len();
        let seconds = last.map_or(0.0, |last| last.duration_since(self.begin).as_secs_f64());
        let told_for_rate = u32::try_from(told).unwrap_or(u32::MAX);
        let doubled: u64 = fates.values().map(|fate| fate.again).sum();
        [
            format!("acknowledged {}", count(|fate| fate.acknowledged)),
            format!("refused {}", self.refused.load(Ordering::SeqCst)),
            format!("told {told}"),
            format!(
                "per_second {:.0}",
                f64::from(told_for_rate) / seconds.max(0.001)
            ),
            format!("p50_ms {}", at(50)),
            format!("p99_ms {}", at(99)),
            format!(
                "lost {}",
                count(|fate| fate.acknowledged && fate.told.is_none())
            ),
            format!("doubled {doubled}"),
        ]
        .join("\n")
    }
}

/// Takes a message: whichever product it names was told.
async fn take(State(traffic): State<Arc<Traffic>>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    let text = String::from_utf8_lossy(&body);
    let number = text.split_once(PRODUCT).and_then(|(_, rest)| {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..digits].parse().ok()
    });
    let Some(number) = number else {
        return StatusCode::BAD_REQUEST;
    };
    traffic.fate(number, |fate| match fate.told {
        None => fate.told = Some(now),
        Some(_) => fate.again += 1,
    });
    StatusCode::NO_CONTENT
}

fn show(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}")
}
