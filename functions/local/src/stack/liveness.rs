//! Whether each channel can send, and each connector be heard: all of its credentials are set, and a
//! channel's make something that works.

use std::sync::Arc;

use api::ports::{Liveness, State};
use async_trait::async_trait;
use secrecy::SecretString;
use shared::config::Config;
use shared::config::channel::Channel;
use shared::config::connector::Connector;
use shared::connectors::needed_secrets;
use shared::domain::{ChannelName, ConnectorName};
use shared::secrets::{SecretRef, Secrets};

/// Looks at settings and credentials; one process may read them all.
pub struct LivenessCheck(pub Arc<Secrets>);

#[async_trait]
impl Liveness for LivenessCheck {
    async fn channels(&self, config: &Config) -> Option<Vec<State<ChannelName>>> {
        let mut states = Vec::new();
        for (name, channel) in &config.channels {
            states.push(State {
                name: name.clone(),
                problem: self.channel(channel).await.err(),
            });
        }
        Some(states)
    }

    async fn connectors(&self, config: &Config) -> Option<Vec<State<ConnectorName>>> {
        let mut states = Vec::new();
        for (name, connector) in &config.connectors {
            states.push(State {
                name: name.clone(),
                problem: self.connector(connector).await.err(),
            });
        }
        Some(states)
    }
}

impl LivenessCheck {
    async fn channel(&self, channel: &Channel) -> Result<(), String> {
        if !channel.common.enabled {
            return Err("switched off".to_owned());
        }
        let settings = channel.settings().map_err(|error| error.to_string())?;
        let references = settings.secret_refs();
        let values = self.read(&references).await?;
        let value = |wanted: &SecretRef| {
            let found = references.iter().zip(&values);
            let mut found = found.filter(|(reference, _)| **reference == wanted);
            found
                .next()
                .map_or_else(|| SecretString::from(""), |(_, value)| value.clone())
        };
        settings.build(value).map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn connector(&self, connector: &Connector) -> Result<(), String> {
        if !connector.common.enabled {
            return Err("switched off".to_owned());
        }
        self.read(&needed_secrets(&connector.settings)).await?;
        Ok(())
    }

    /// The secrets, or what is wrong with each of those that cannot be had.
    async fn read(&self, references: &[&SecretRef]) -> Result<Vec<SecretString>, String> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for reference in references {
            match self.0.get(reference).await {
                Ok(value) => values.push(value),
                Err(error) => problems.push(error.to_string()),
            }
        }
        match problems.is_empty() {
            true => Ok(values),
            false => Err(problems.join("; ")),
        }
    }
}
