//! Secrets, on our side and on the other one. During a rotation they differ for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::places::Channel;
use crate::plan::{Rotated, Sender};

/// Both sides' secrets.
#[derive(Debug, Clone)]
pub struct Keyring(Arc<Mutex<Sides>>);

#[derive(Debug)]
struct Sides {
    /// Our environment.
    ours: BTreeMap<String, String>,
    /// What the others use, by the name that it has with us.
    theirs: BTreeMap<&'static str, String>,
    /// The latest generation on each side, by name.
    generations: [BTreeMap<&'static str, u32>; 2],
}

/// The variable that holds a sender's secret.
pub fn of_sender(sender: Sender) -> &'static str {
    match sender {
        Sender::Shop => "SHOP",
        Sender::Till => "TILL",
        Sender::Rooftop => "ROOFTOP",
        Sender::Dms => "DMS",
    }
}

/// The variable that holds a channel's secret.
pub fn of_channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Erp => "ERP",
        Channel::Audit => "AUDIT",
        Channel::Room => "ROOM",
        Channel::Floor => "FLOOR",
        Channel::Desk => "DESK",
        Channel::Phone => "PHONE",
        Channel::Night => "NIGHT",
    }
}

/// A secret as its system writes it.
fn written(name: &str, generation: u32) -> String {
    let digest = Sha256::digest(format!("{name} {generation}"));
    let text = STANDARD.encode(digest);
    match name {
        "TILL" | "ROOFTOP" | "ERP" | "AUDIT" => format!("whsec_{text}"),
        "ROOM" => format!("https://hooks.slack.com{}", Channel::Room.mark()),
        "FLOOR" => format!("https://hooks.slack.com{}", Channel::Floor.mark()),
        _ => text.replace(['/', '+', '='], "x"),
    }
}

impl Default for Keyring {
    fn default() -> Self {
        let senders = Sender::ALL.map(of_sender);
        let channels = Channel::ALL.map(of_channel);
        let theirs: BTreeMap<_, _> = senders
            .into_iter()
            .chain(channels)
            .map(|name| (name, written(name, 0)))
            .collect();
        let ours = theirs
            .iter()
            .map(|(name, secret)| ((*name).to_owned(), secret.clone()))
            .collect();
        Self(Arc::new(Mutex::new(Sides {
            ours,
            theirs,
            generations: Default::default(),
        })))
    }
}

impl Keyring {
    /// What a variable of ours holds.
    pub fn ours(&self, name: &str) -> Option<String> {
        self.sides().ours.get(name).cloned()
    }

    /// What the other side uses.
    pub fn theirs(&self, name: &str) -> String {
        self.sides().theirs.get(name).cloned().unwrap_or_default()
    }

    /// We have a new secret; the one before stays good for what comes in.
    pub fn renew_ours(&self, of: Rotated, generation: u32) {
        let name = name_of(of);
        let mut sides = self.sides();
        let latest = sides.generations[0].entry(name).or_default();
        if *latest < generation {
            *latest = generation;
            let before = sides
                .ours
                .insert(name.to_owned(), written(name, generation));
            if let Some(before) = before {
                sides.ours.insert(format!("{name}_BEFORE"), before);
            }
        }
    }

    /// The other side changes to its new secret.
    pub fn renew_theirs(&self, of: Rotated, generation: u32) {
        let name = name_of(of);
        let mut sides = self.sides();
        let latest = sides.generations[1].entry(name).or_default();
        if *latest < generation {
            *latest = generation;
            sides.theirs.insert(name, written(name, generation));
        }
    }

    fn sides(&self) -> std::sync::MutexGuard<'_, Sides> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(of: Rotated) -> &'static str {
    match of {
        Rotated::Sender(sender) => of_sender(sender),
        Rotated::Channel(channel) => of_channel(channel),
    }
}

/// HMAC-SHA256 in base64, as a vendor's documentation tells it: not the product's own.
pub fn signature(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_any_length_is_good) => return String::new(),
    };
    for part in parts {
        mac.update(part);
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A Standard Webhooks signature.
pub fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"));
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!("v1,{}", signature(&key.unwrap_or_default(), &parts))
}
