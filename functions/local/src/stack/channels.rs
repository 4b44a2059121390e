//! Whether each channel can send: all of its credentials are set, and make something that works.

use std::sync::Arc;

use api::ports::{ChannelState, ChannelStates};
use async_trait::async_trait;
use secrecy::SecretString;
use shared::config::Config;
use shared::config::channel::Channel;
use shared::secrets::{SecretRef, Secrets};

/// Looks at channels' settings and credentials; one process may read them all.
pub struct ChannelCheck(pub Arc<Secrets>);

#[async_trait]
impl ChannelStates for ChannelCheck {
    async fn of(&self, config: &Config) -> Option<Vec<ChannelState>> {
        let mut states = Vec::new();
        for (name, channel) in &config.channels {
            states.push(ChannelState {
                name: name.clone(),
                problem: self.problem(channel).await,
            });
        }
        Some(states)
    }
}

impl ChannelCheck {
    async fn problem(&self, channel: &Channel) -> Option<String> {
        if !channel.common.enabled {
            return Some("switched off".to_owned());
        }
        let settings = match channel.settings() {
            Ok(settings) => settings,
            Err(error) => return Some(error.to_string()),
        };
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for reference in settings.secret_refs() {
            match self.0.get(reference).await {
                Ok(value) => values.push((reference.clone(), value)),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if !problems.is_empty() {
            return Some(problems.join("; "));
        }
        let value = |wanted: &SecretRef| {
            let found = values.iter().find(|(reference, _)| reference == wanted);
            found.map_or_else(|| SecretString::from(""), |(_, value)| value.clone())
        };
        settings.build(value).err().map(|error| error.to_string())
    }
}
