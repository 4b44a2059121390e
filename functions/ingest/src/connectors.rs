//! The configured connectors with their secrets, kept while the configuration stands.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use shared::config::Network;
use shared::config::connector::{ConnectorSettings, Verify};
use shared::connectors::{Connector, Push, webhook_secrets};
use shared::domain::ConnectorName;
use shared::installation::Installation;
use shared::secrets::{SecretError, Secrets};
use tokio::sync::Mutex;

use crate::{Door, IngestError};

/// How long a connector's secrets are used before they are read again: a rotation gets in by then.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// How old they are at least before they are read again because a signature does not match: whoever forges
/// requests has them read no more often.
const ANEW: SignedDuration = SignedDuration::from_secs(10);

/// Headers that authenticate, or that tell who a person is. Never kept.
const NOT_KEPT: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-forwarded-for",
    "x-api-key",
];

/// What is in the names of headers that hold a signature.
const SIGNS: [&str; 2] = ["signature", "hmac"];

#[derive(Clone)]
pub(crate) struct Connectors {
    secrets: Arc<Secrets>,
    built: Arc<Mutex<HashMap<ConnectorName, Built>>>,
}

struct Built {
    version: u64,
    at: Timestamp,
    push: Arc<dyn Push>,
}

impl Connectors {
    pub(crate) fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            secrets,
            built: Arc::default(),
        }
    }

    pub(crate) async fn door(
        &self,
        installation: Arc<Installation>,
        name: &str,
    ) -> Result<Door, IngestError> {
        let unknown = || IngestError::UnknownConnector(name.chars().take(48).collect());
        let name: ConnectorName = name.parse().map_err(|_| unknown())?;
        self.door_of(installation, name, FRESH).await
    }

    /// The same way in, with its secrets read again: they may have been changed since. `None` if that was a
    /// moment ago.
    pub(crate) async fn door_anew(&self, door: &Door) -> Result<Option<Door>, IngestError> {
        let (installation, name) = (Arc::clone(&door.installation), door.name.clone());
        let now = self.secrets.clock().now();
        let known = self.built.lock().await.get(&name).map(|built| built.at);
        if known.is_some_and(|at| now.duration_since(at) < ANEW) {
            return Ok(None);
        }
        if let Some(configured) = installation.config.connectors.get(&name) {
            for reference in webhook_secrets(&configured.settings) {
                self.secrets.forget(reference);
            }
        }
        self.door_of(installation, name, ANEW).await.map(Some)
    }

    async fn door_of(
        &self,
        installation: Arc<Installation>,
        name: ConnectorName,
        fresh: SignedDuration,
    ) -> Result<Door, IngestError> {
        let unknown = || IngestError::UnknownConnector(name.to_string());
        let configured = installation.config.connectors.get(&name);
        let configured = configured
            .filter(|c| c.common.enabled)
            .ok_or_else(unknown)?;
        let now = self.secrets.clock().now();
        let mut built = self.built.lock().await;
        let usable = built.get(&name).filter(|built| {
            built.version == installation.version && now.duration_since(built.at) < fresh
        });
        let push = match usable {
            Some(built) => Arc::clone(&built.push),
            None => {
                let secrets = self.secrets_of(&configured.settings).await?;
                let connector = Connector::build(name.clone(), &configured.settings, &secrets)
                    .map_err(|error| IngestError::Settings(error.to_string()))?;
                let push: Arc<dyn Push> = Arc::from(connector.push.ok_or_else(unknown)?);
                let entry = Built {
                    version: installation.version,
                    at: now,
                    push: Arc::clone(&push),
                };
                built.insert(name.clone(), entry);
                push
            }
        };
        drop(built);
        Ok(Door {
            installation,
            name,
            push,
        })
    }

    /// The live secrets, newest first. The previous one may have been taken away already.
    async fn secrets_of(
        &self,
        settings: &ConnectorSettings,
    ) -> Result<Vec<secrecy::SecretString>, IngestError> {
        let mut live = Vec::new();
        for (number, reference) in webhook_secrets(settings).into_iter().enumerate() {
            match self.secrets.get(reference).await {
                Ok(secret) => live.push(secret),
                Err(SecretError::NotSet { .. }) if number > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(live)
    }
}

/// What may come in at this door at all, before anything is looked at.
pub(crate) fn admit(door: &Door, source: Option<IpAddr>, length: usize) -> Result<(), IngestError> {
    let Some((most, allowed)) = limits(door) else {
        return Ok(());
    };
    let known = |source: IpAddr| allowed.iter().any(|network| network.contains(source));
    if !allowed.is_empty() && !source.is_some_and(known) {
        return Err(IngestError::Address);
    }
    if length > most {
        return Err(IngestError::TooLarge {
            found: length,
            most,
        });
    }
    Ok(())
}

fn limits(door: &Door) -> Option<(usize, &[Network])> {
    let settings = &door
        .installation
        .config
        .connectors
        .get(&door.name)?
        .settings;
    let (bytes, allowed) = match settings {
        ConnectorSettings::Shopify(shop) => (&shop.webhook.body_limit, &shop.webhook.allow_from),
        ConnectorSettings::Generic(any) => (&any.webhook.body_limit, &any.webhook.allow_from),
        ConnectorSettings::Dealertrack(dms) => (&dms.body_limit, &dms.allow_from),
        ConnectorSettings::Files(_) => return None,
    };
    Some((usize::try_from(bytes.get()).unwrap_or(usize::MAX), allowed))
}

/// The headers that a replay's parser may need, without any that authenticates.
pub(crate) fn headers_to_keep(door: &Door, headers: &HeaderMap) -> BTreeMap<String, String> {
    let secret_header = match door
        .installation
        .config
        .connectors
        .get(&door.name)
        .map(|c| &c.settings)
    {
        Some(ConnectorSettings::Dealertrack(dms)) => match &dms.verify {
            Verify::HeaderSecret(by) => Some(by.header.as_str().to_ascii_lowercase()),
            Verify::HmacSha256(_) | Verify::Basic(_) => None,
        },
        _ => None,
    };
    headers
        .iter()
        .filter(|(name, _)| !NOT_KEPT.contains(&name.as_str()))
        .filter(|(name, _)| !SIGNS.iter().any(|word| name.as_str().contains(word)))
        .filter(|(name, _)| secret_header.as_deref() != Some(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}
