//! A stack of its own: the product as `lotwire` starts it, on an empty directory that goes when the
//! bench is done, with one source, one place, one rule and one channel.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::SecretString;
use shared::chance::Chance;
use shared::config::Config;
use shared::domain::Sku;
use shared::domain::event::{Change, Level, StockEvent, Version};
use shared::domain::id::{ConnectorName, LocationId};
use shared::http::{Guard, Http, HttpSettings};
use shared::metrics::Metrics;
use shared::secrets::{EXTENSION, Secrets};
use uuid::Uuid;

use super::{BenchError, during};
use crate::engine::{EmbeddedAws, Settings};
use crate::outbox::Outbox;
use crate::stack::{Parts, Stack};

/// The source of webhooks, of what is there before them, and of the files.
pub(super) const SOURCE: &str = "source";
/// The only place.
pub(super) const PLACE: &str = "main";
/// What is there of everything at first: more than the rule asks for.
pub(super) const PLENTY: i64 = 100;
/// What a webhook says is left: fewer than the rule asks for.
pub(super) const FEW: i64 = 2;

/// The stack, and where it is kept.
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) aws: EmbeddedAws,
    pub(super) secret: SecretString,
    pub(super) home: Home,
}

/// A directory that goes when it is dropped.
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn make() -> Result<Self, BenchError> {
        let name = format!("lotwire-bench-{}", Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("drop")).map_err(during("make a directory"))?;
        Ok(Self(path))
    }

    /// Where everything is kept.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where files are dropped for the source.
    pub(super) fn drop_folder(&self) -> PathBuf {
        self.0.join("drop")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is left over lies where the system clears up anyway.
        fs::remove_dir_all(&self.0).ok();
    }
}

impl World {
    /// A stack whose alerts go to this address. `source` are the lines that say what the source is.
    pub(super) async fn open(source: &str, alerts: SocketAddr) -> Result<Self, BenchError> {
        let home = Home::make()?;
        let source = source.replace("{drop}", &home.drop_folder().display().to_string());
        let config = config(&source, alerts)?;
        let aws = EmbeddedAws::open(home.path(), Settings::default())
            .map_err(during("open the tables"))?;
        let clock = aws.clock().clone();
        let vendor = alerts
            .to_string()
            .parse()
            .map_err(during("allow the vendor"))?;
        let http = HttpSettings {
            guard: Guard::new(vec![vendor]),
            ..HttpSettings::default()
        };
        let http = Arc::new(Http::new(http).map_err(during("make the HTTP client"))?);
        let secret = format!("whsec_{}", STANDARD.encode(Uuid::new_v4().as_bytes()));
        let known = secret.clone();
        let secrets = Secrets::new(
            Box::new(move |_: &str| Some(known.clone())),
            Arc::clone(&http) as _,
            EXTENSION.parse().map_err(during("read an address"))?,
            clock.clone(),
        );
        let outbox = Outbox::open(home.path(), Arc::clone(&http) as _, clock.clone())
            .map_err(during("open the outbox"))?;
        let stack = Stack::build(Parts {
            aws: aws.clone(),
            chance: Chance::from_system(),
            secrets: Arc::new(secrets),
            outgoing: Arc::new(outbox),
            metrics: Metrics::to(std::io::sink(), clock),
            token: SecretString::from("bench"),
            downloads: http.streaming(),
            scratch: home.path().to_owned(),
        })
        .map_err(during("build the stack"))?;
        stack
            .store
            .apply_config(&config, "bench")
            .await
            .map_err(during("apply the configuration"))?;
        Ok(Self {
            stack,
            aws,
            secret: secret.into(),
            home,
        })
    }
}

/// The configuration: any stock of [`FEW`] is an alert, and goes to one place.
pub(super) fn config(source: &str, alerts: SocketAddr) -> Result<Config, BenchError> {
    let text = format!(
        r#"
[account]
name = "Bench"
zone = "UTC"
currency = "EUR"
[locations.{PLACE}]
name = "Main warehouse"
kind = "warehouse"
[connectors.{SOURCE}]
{source}
[channels.sink]
kind = "webhook"
url = "http://{alerts}/alerts"
secret = "env:BENCH"
[[routes]]
name = "all"
channels = ["sink"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
[[rules]]
name = "gone"
kind = "out_of_stock"
"#
    );
    Config::check(&text, "bench.toml").map_err(during("read the configuration"))
}

/// Names of products, so that what comes back can be counted.
pub(super) fn product(number: usize) -> String {
    format!("BENCH-{number:07}")
}

/// Which product this is.
pub(super) fn number_of(product: &str) -> Option<usize> {
    product.strip_prefix("BENCH-")?.parse().ok()
}

/// What the source says of a product at first.
pub(super) fn plenty(product: &str, at: Timestamp) -> Result<StockEvent, BenchError> {
    let sku: Sku = product.parse().map_err(during("name a product"))?;
    let location: LocationId = PLACE.parse().map_err(during("name a place"))?;
    let source: ConnectorName = SOURCE.parse().map_err(during("name a source"))?;
    Ok(StockEvent {
        id: format!("first-{sku}")
            .parse()
            .map_err(during("name an event"))?,
        source,
        at,
        actor: None,
        change: Change::LevelSet {
            called: None,
            product: sku.into(),
            location,
            level: Level {
                on_hand: PLENTY,
                ..Level::default()
            },
            version: Version::at(at),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_known_by_its_number() {
        assert_eq!(number_of(&product(1_234_567)), Some(1_234_567));
        assert_eq!(number_of("OIL"), None);
    }
}
