//! What the samples in `events/` are invoked against: the embedded engine on a port, with the
//! configuration that fits them, an alert that waits to be delivered, and a vendor to take it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::{EmbeddedAws, Settings};
use lotwire::stack::resources::{self, TABLE};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::Config;
use shared::signature::standard;
use shared::store::Store;
use tokio::net::TcpListener;

use crate::alerts;
use crate::bench::SIGNING;
use crate::vendor::Vendor;

/// Where `events/.env` says that the engine listens.
pub const ADDRESS: &str = "127.0.0.1:9401";
/// The alert that `events/notify/one-intent.json` names.
pub const ALERT: &str = "0199b6a1-7c3e-7d52-9d0c-5b1f0c2a4e11";
/// The channel that it names.
pub const CHANNEL: &str = "buyers";

/// The configuration that fits the samples.
///
/// # Panics
/// If it is not in order.
pub fn config(vendor: &str, xml: bool) -> Config {
    let mut text = include_str!("../compiled.toml").replace("{vendor}", vendor);
    if xml {
        text = with_facts_in_xml(&text);
    }
    Config::check(&text, "compiled.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// The sample in XML, `dealertrack-vehicle-event`, has its facts elsewhere.
pub fn with_facts_in_xml(config: &str) -> String {
    config
        .replace("\"/id\"", "\"/VehicleEvent/EventId\"")
        .replace("\"/type\"", "\"/VehicleEvent/EventType\"")
        .replace("\"/time\"", "\"/VehicleEvent/EventTime\"")
}

/// The engine, as the samples find it.
pub struct Samples {
    /// The table.
    pub store: Store,
    /// The services.
    pub aws: EmbeddedAws,
    /// Who is told.
    pub vendor: Vendor,
}

impl Samples {
    /// Sets it up in memory, and serves it from this listener.
    ///
    /// # Panics
    /// If that is not possible.
    pub async fn serve(listener: TcpListener, xml: bool) -> Self {
        let aws = EmbeddedAws::in_memory(Settings::default()).unwrap();
        resources::make(&aws).unwrap();
        let store = Store::new(
            aws.dynamodb(),
            TABLE,
            Clock::system(),
            Chance::from_system(),
        );
        let vendor = Vendor::start().await;
        let config = config(&vendor.url(""), xml);
        assert!(store.apply_config(&config, "samples").await.unwrap());
        let due_at = store.clock().now() + SignedDuration::from_hours(1);
        alerts::open(&store, ALERT, CHANNEL, "webhook", due_at).await;
        tokio::spawn(aws.clone().serve(listener));
        Self { store, aws, vendor }
    }
}

/// Signs a sample of the connector `generic` as of now: a receiver takes no signature older than five
/// minutes. Its id is new too, so that it counts again.
pub fn sign_anew(event: &mut Value, id: &str) {
    let body = event["body"].as_str().unwrap();
    let body = match event["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body).unwrap(),
        _ => body.as_bytes().to_vec(),
    };
    let now = Timestamp::from_second(Clock::system().now().as_second()).unwrap();
    let secrets = standard::secrets(&[SecretString::from(SIGNING)]).unwrap();
    let signature = standard::sign(id, now, &body, &secrets);
    event["headers"]["webhook-id"] = json!(id);
    event["headers"]["webhook-signature"] = json!(signature);
    event["headers"]["webhook-timestamp"] = json!(now.as_second().to_string());
}
