//! Signed webhooks at a given rate, each about another product, each an alert.
//!
//! What is measured is the time from a webhook that is sent to the alert that arrives at the vendor:
//! gateway, ingest, table, stream, evaluate, topic, queue and notify. A webhook that had to wait for a
//! free connection counts from when it should have been sent.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::SignedDuration;
use serde_json::json;
use shared::clock::Clock;
use shared::signature::{LiveSecrets, standard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::figures::{self, Figures};
use super::sink::Arrivals;
use super::world::{self, FEW, PLACE, SOURCE, World};
use super::{BenchError, during, preload};
use crate::cli::show::Show;
use crate::engine::busiest;

/// How long after the last webhook an alert may come before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many more webhooks are sent in the end, to count what each key of the table takes: counting takes
/// time, so it has no part in what is measured.
const COUNTED: usize = 200;
/// Keys that are named.
const KEYS: usize = 8;
/// The source as the configuration names it.
const WEBHOOKS: &str = "kind = \"generic\"\n[connectors.source.webhook]\nsecret = \"env:BENCH\"";

/// How many webhooks, and how fast.
#[derive(Debug, Args)]
pub(super) struct Load {
    /// Webhooks per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// For how long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many may be under way at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Positions that are in the table besides, and that nothing is said about.
    #[arg(long, default_value_t = 0)]
    positions: usize,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// What the workers share.
struct Traffic {
    next: AtomicUsize,
    first: usize,
    begin: Instant,
    every: Duration,
    sent: Vec<OnceLock<std::time::Instant>>,
    refused: AtomicU64,
    secrets: LiveSecrets,
    client: reqwest::Client,
    url: String,
}

pub(super) async fn run(load: &Load, show: &mut Show<'_>) -> Result<Figures, BenchError> {
    let count = load.rate.saturating_mul(load.seconds);
    let events = usize::try_from(count).map_err(during("count webhooks"))?;
    let arrivals = Arrivals::expecting(events + COUNTED);
    let world = World::open(WEBHOOKS, arrivals.listen().await?).await?;
    let pump = world.stack.start().map_err(during("start the stack"))?;
    // A new configuration has everything looked at again: done before there is anything, that is over
    // before the first webhook comes.
    pump.idle().await;
    fill(&world, events + COUNTED, load.positions, show).await?;

    let (address, stop) = serve(&world).await?;
    let spent_before = world.stack.spent();
    let written_before = written(&world)?;
    figures::forget_peak_memory();
    let traffic = Arc::new(traffic(&world, load, 0..events, address)?);
    send(&traffic, load.connections).await?;
    // Whether they all came is counted below.
    let _in_time = tokio::time::timeout(PATIENCE, arrivals.until(count.into())).await;
    let _rest = tokio::time::timeout(PATIENCE, pump.idle()).await;
    let spent = world.stack.spent() - spent_before;
    let memory = figures::peak_memory_mb();
    let written = written(&world)?;

    world.aws.tables().count_usage();
    let all = u64::try_from(events + COUNTED).map_err(during("count webhooks"))?;
    let more = events..events + COUNTED;
    let counted = Arc::new(self::traffic(&world, load, more, address)?);
    send(&counted, load.connections).await?;
    let _in_time = tokio::time::timeout(PATIENCE, arrivals.until(all)).await;
    let _rest = tokio::time::timeout(PATIENCE, pump.idle()).await;
    let keys = busiest(&world.aws.tables().take_usage(), KEYS);
    // The server may have stopped on its own.
    stop.send(()).ok();
    pump.stop().await;

    let latencies: Vec<_> = (0..events)
        .filter_map(|number| {
            let sent = traffic.sent.get(number)?.get()?;
            Some(arrivals.of(number)?.duration_since(*sent))
        })
        .collect();
    let last = (0..events).filter_map(|number| arrivals.of(number)).max();
    let took = last.map_or(Duration::ZERO, |last| {
        last.duration_since(traffic.begin.into_std())
    });
    let arrived = u64::try_from(latencies.len()).map_err(during("count alerts"))?;
    let each = f64::from(count);
    Ok(Figures::default()
        .count("webhooks", count.into())
        .count(
            "positions",
            u64::try_from(load.positions + events).map_err(during("count positions"))?,
        )
        .number("alerts_per_second", figures::per_second(arrived, took))
        .latencies(latencies)
        .number("read_units_per_webhook", spent.read / each)
        .number("write_units_per_webhook", spent.write / each)
        .optional(
            "written_kb_per_webhook",
            written
                .zip(written_before)
                .map(|(after, before)| (after - before) / each),
        )
        .optional("peak_memory_mb", memory)
        .list("busiest_keys", keys)
        .fault("refused", traffic.refused() + counted.refused())
        .fault("lost", all - arrivals.arrived())
        .fault("surplus", arrivals.surplus()))
}

/// What was written so far, in kilobytes, with what the tables would have written later.
fn written(world: &World) -> Result<Option<f64>, BenchError> {
    let tables = world.aws.tables();
    tables.commit().map_err(during("commit the tables"))?;
    Ok(figures::written_kb())
}

/// Every product that a webhook will be about is there already, among others.
async fn fill(
    world: &World,
    events: usize,
    others: usize,
    show: &mut Show<'_>,
) -> Result<(), BenchError> {
    let installation = world
        .stack
        .installations
        .current()
        .await
        .map_err(during("read the configuration"))?;
    let authority = installation.authority();
    let yesterday = Clock::system().now() - SignedDuration::from_hours(24);
    let begun = Instant::now();
    let products = (0..events)
        .map(world::product)
        .chain((0..others).map(|number| format!("OTHER-{number:07}")));
    let filled = preload::fill(&world.aws, &authority, products, yesterday).await?;
    let seconds = begun.elapsed().as_secs_f32();
    show.progress(&format!(
        "{filled} positions are in the table after {seconds:.1} s"
    ));
    Ok(())
}

/// Serves the gateway on a free port of this machine, until told to stop.
async fn serve(world: &World) -> Result<(SocketAddr, oneshot::Sender<()>), BenchError> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(during("listen for webhooks"))?;
    let address = listener
        .local_addr()
        .map_err(during("listen for webhooks"))?;
    let gateway = world.stack.gateway().map_err(during("make the gateway"))?;
    let (stop, stopped) = oneshot::channel();
    let until = async {
        stopped.await.ok();
    };
    tokio::spawn(gateway.serve(listener, axum::Router::new(), until));
    Ok((address, stop))
}

fn traffic(
    world: &World,
    load: &Load,
    webhooks: Range<usize>,
    address: SocketAddr,
) -> Result<Traffic, BenchError> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(during("make the sender"))?;
    Ok(Traffic {
        next: AtomicUsize::new(0),
        first: webhooks.start,
        begin: Instant::now(),
        every: Duration::from_secs(1) / load.rate,
        sent: webhooks.map(|_| OnceLock::new()).collect(),
        refused: AtomicU64::new(0),
        secrets: standard::secrets(std::slice::from_ref(&world.secret))
            .map_err(during("read the secret"))?,
        client,
        url: format!("http://{address}/hooks/{SOURCE}"),
    })
}

/// Sends all of it, over so many connections.
async fn send(traffic: &Arc<Traffic>, connections: u32) -> Result<(), BenchError> {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        workers.spawn(Arc::clone(traffic).send());
    }
    while let Some(done) = workers.join_next().await {
        done.map_err(during("send webhooks"))??;
    }
    Ok(())
}

impl Traffic {
    /// How many webhooks were not taken.
    fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Sends what is next until nothing is left.
    async fn send(self: Arc<Self>) -> Result<(), BenchError> {
        loop {
            let place = self.next.fetch_add(1, Ordering::SeqCst);
            let (Some(sent), Ok(turn)) = (self.sent.get(place), u32::try_from(place)) else {
                return Ok(());
            };
            let request = self.webhook(self.first + place)?;
            let due = self.begin + self.every * turn;
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
                sent.set(std::time::Instant::now()).ok();
            } else {
                sent.set(due.into_std()).ok();
            }
            let taken = match self.client.execute(request).await {
                Ok(response) if response.status().is_success() => {
                    // Read to its end, so that the connection can be used again.
                    response.bytes().await.is_ok()
                }
                _ => false,
            };
            if !taken {
                self.refused.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn webhook(&self, number: usize) -> Result<reqwest::Request, BenchError> {
        let now = Clock::system().now();
        let id = format!("bench-{number}");
        let body = json!({
            "type": "stock.level",
            "timestamp": now.to_string(),
            "data": { "sku": world::product(number), "location": PLACE, "on_hand": FEW },
        })
        .to_string();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json".to_owned()),
            (standard::ID, id.clone()),
            (standard::TIMESTAMP, now.as_second().to_string()),
            (
                standard::SIGNATURE,
                standard::sign(&id, now, body.as_bytes(), &self.secrets),
            ),
        ] {
            let value = HeaderValue::from_str(&value).map_err(during("sign a webhook"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        self.client
            .post(&self.url)
            .headers(headers)
            .body(body)
            .build()
            .map_err(during("make a webhook"))
    }
}
