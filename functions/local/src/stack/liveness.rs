//! Whether each channel can send, and each connector be heard: all of its credentials are set, and a
//! channel's make something that works and may be called.

use std::sync::Arc;

use api::ports::{Liveness, State};
use async_trait::async_trait;
use secrecy::SecretString;
use shared::channels::first_request;
use shared::config::channel::Channel;
use shared::config::connector::{Connector, ConnectorSettings};
use shared::config::{Config, environment};
use shared::connectors::{needed_secrets, webhook_secrets};
use shared::delivery::Outgoing;
use shared::domain::{ChannelName, ConnectorName};
use shared::feeds::transport::Place;
use shared::secrets::{SecretRef, Secrets};

use crate::engine::EmbeddedAws;

/// Looks at settings and credentials; one process may read them all.
pub struct LivenessCheck {
    /// Where credentials are.
    pub secrets: Arc<Secrets>,
    /// Who carries requests, and knows which addresses are not called.
    pub outgoing: Arc<dyn Outgoing>,
    /// Where the table is.
    pub aws: EmbeddedAws,
}

#[async_trait]
impl Liveness for LivenessCheck {
    async fn channels(&self, config: &Config) -> Vec<State<ChannelName>> {
        let mut states = Vec::new();
        for (name, channel) in &config.channels {
            states.push(State {
                name: name.clone(),
                problem: self.channel(channel).await.err(),
                note: None,
            });
        }
        states
    }

    async fn connectors(&self, config: &Config) -> Vec<State<ConnectorName>> {
        let mut states = Vec::new();
        for (name, connector) in &config.connectors {
            states.push(State {
                name: name.clone(),
                problem: self.connector(connector).await.err(),
                note: made_up(connector),
            });
        }
        states
    }

    fn has_room(&self) -> Option<bool> {
        Some(!self.aws.tables().disk_is_full())
    }
}

/// That a connector's secret was made up at start, as its variable is not set.
fn made_up(connector: &Connector) -> Option<String> {
    let secrets = webhook_secrets(&connector.settings);
    let Some(SecretRef::Env { variable }) = secrets.first().filter(|_| connector.common.enabled)
    else {
        return None;
    };
    environment::process(variable)
        .is_none()
        .then(|| format!("its {variable} is made up; start with it set to the sender's own secret"))
}

impl LivenessCheck {
    async fn channel(&self, channel: &Channel) -> Result<(), String> {
        if !channel.common.enabled {
            return Err("switched off".to_owned());
        }
        let settings = channel.settings().map_err(|error| error.to_string())?;
        let references = settings.secret_refs();
        let values = self.secrets.all(&references).await?;
        let value = |wanted: &SecretRef| {
            let found = references.iter().zip(&values);
            let mut found = found.filter(|(reference, _)| **reference == wanted);
            found
                .next()
                .map_or_else(|| SecretString::from(""), |(_, value)| value.clone())
        };
        let channel = settings.build(value).map_err(|error| error.to_string())?;
        let request = first_request(&*channel);
        match request.and_then(|request| self.outgoing.refusal(&request.url)) {
            None => Ok(()),
            Some(refusal) => Err(format!(
                "its address is not called: {refusal}; LOTWIRE_ALLOWED_HOSTS names hosts that are"
            )),
        }
    }

    async fn connector(&self, connector: &Connector) -> Result<(), String> {
        if !connector.common.enabled {
            return Err("switched off".to_owned());
        }
        self.secrets
            .all(&needed_secrets(&connector.settings))
            .await?;
        if let ConnectorSettings::Files(files) = &connector.settings
            && let Ok(Place::Folder(folder)) = files.source().place()
            && !folder.is_dir()
        {
            return Err(format!("there is no folder {}", folder.display()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::clock::Clock;
    use shared::delivery::Wire;
    use shared::http::{Guard, Http, HttpSettings};
    use shared::secrets::EXTENSION;

    use super::*;

    fn check(allowed: &[&str]) -> LivenessCheck {
        let settings = HttpSettings {
            guard: Guard::new(allowed.iter().map(|it| it.parse().unwrap()).collect()),
            ..HttpSettings::default()
        };
        let http = Arc::new(Http::new(settings).unwrap());
        let secrets = Secrets::new(
            Box::new(|_| Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())),
            http.clone(),
            EXTENSION.parse().unwrap(),
            Clock::system(),
        );
        LivenessCheck {
            secrets: Arc::new(secrets),
            outgoing: Arc::new(Wire(http)),
            aws: EmbeddedAws::in_memory(crate::engine::Settings::default()).unwrap(),
        }
    }

    #[tokio::test]
    async fn a_source_whose_folder_is_not_there_is_not_live() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("drop");
        let text = format!(
            "[account]\nname = 'Test'\nzone = 'UTC'\ncurrency = 'EUR'\n\
             [locations.main]\nname = 'Main'\nkind = 'warehouse'\n\
             [connectors.files]\nkind = 'files'\nurl = {folder:?}\n"
        );
        let config = Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        let problem = async || check(&[]).connectors(&config).await.remove(0).problem;
        let told = format!("there is no folder {}", folder.display());
        assert_eq!(problem().await, Some(told));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(problem().await, None);
    }

    /// What is said of a webhook channel with this address.
    async fn problem(address: &str, allowed: &[&str]) -> Option<String> {
        let check = check(allowed);
        let text = format!(
            "[account]\nname = 'Test'\nzone = 'UTC'\ncurrency = 'EUR'\n\
             [locations.main]\nname = 'Main'\nkind = 'warehouse'\n\
             [channels.ops]\nkind = 'webhook'\nurl = '{address}'\nsecret = 'env:SECRET'\n"
        );
        let config = Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
        let states = tokio::time::timeout(Duration::from_secs(5), check.channels(&config));
        states.await.unwrap().remove(0).problem
    }

    #[tokio::test]
    async fn a_channel_whose_address_is_never_called_is_not_live() {
        for address in ["https://10.1.2.3/hook", "https://localhost:8443/hook"] {
            let problem = problem(address, &[]).await.unwrap();
            assert!(problem.contains("its address is not called"), "{problem}");
            assert!(problem.contains("LOTWIRE_ALLOWED_HOSTS"), "{problem}");
        }
        assert_eq!(
            problem("https://10.1.2.3/hook", &["10.0.0.0/8"]).await,
            None
        );
        assert_eq!(
            problem("https://localhost:8443/hook", &["localhost"]).await,
            None
        );
        assert_eq!(problem("https://ops.example.com/hook", &[]).await, None);
    }
}
