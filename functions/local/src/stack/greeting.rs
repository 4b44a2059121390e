//! What a person reads when the stack has started: where it is, what is in force, what comes in where,
//! and who can be told.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use api::ports::State;
use shared::connectors::webhook_secrets;
use shared::domain::{ChannelName, ConnectorName};

use super::configuration::InForce;
use super::keys::SECRETS_FILE;
use crate::cli::printed;

/// What the lines are made of.
pub(super) struct Greeting<'a> {
    pub(super) address: SocketAddr,
    pub(super) data: &'a Path,
    pub(super) in_force: &'a InForce,
    pub(super) channels: &'a [State<ChannelName>],
    pub(super) connectors: &'a [State<ConnectorName>],
    pub(super) sign_in: &'a str,
}

/// The address to open on this machine: one that stands for all of its addresses is none to open.
pub(super) fn base(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

impl Greeting<'_> {
    /// The lines.
    pub(super) fn text(&self) -> String {
        let base = base(self.address);
        let mut text = format!("lotwire ready on {base}\n");
        if self.address.ip().is_unspecified() {
            text.push_str("  and on every address of this machine\n");
        }
        text.push('\n');
        let head = &self.in_force.head;
        let mut line = |label: &str, words: &str| {
            // Writing to a string cannot fail.
            writeln!(text, "{label:<14}{words}").unwrap_or_default();
        };
        line(
            "configuration",
            &format!(
                "version {}, applied {} ({})",
                head.version,
                head.applied_at.strftime("%Y-%m-%d %H:%M:%SZ"),
                head.by
            ),
        );
        let flags = printed::flags(&base, self.data);
        for words in &self.in_force.words {
            line("", &printed::completed(words, &flags));
        }
        line("data", &self.data.display().to_string());
        let mut label = "connectors";
        for (name, connector) in &self.in_force.config.connectors {
            let kind = connector.settings.kind();
            let state = self.connectors.iter().find(|state| state.name == *name);
            let problem = state.and_then(|state| state.problem.as_ref());
            let words = if !connector.common.enabled {
                format!("{name} ({kind}): switched off")
            } else if let Some(problem) = problem {
                format!("{name} ({kind}): not live: {problem}")
            } else if webhook_secrets(&connector.settings).is_empty() {
                format!("{name} ({kind}): read every 15 minutes")
            } else {
                let note = state.and_then(|state| state.note.as_ref());
                let note = note.map_or_else(String::new, |note| format!("; {note}"));
                format!("{name} ({kind}): {base}/hooks/{name}{note}")
            };
            line(label, &words);
            label = "";
        }
        let mut label = "channels";
        for channel in self.channels {
            let name = &channel.name;
            let configured = self.in_force.config.channels.get(name);
            let kind = configured.map_or("", |channel| channel.kind.name());
            let words = match &channel.problem {
                None => format!("{name} ({kind}): live"),
                Some(problem) => format!("{name} ({kind}): not live: {problem}"),
            };
            line(label, &words);
            label = "";
        }
        line("open", &format!("{base}{}", self.sign_in));
        line("", "signs your browser in; works once, for ten minutes");
        let data = self.data.display();
        line("API", &format!("{base}/api/v1, token in {data}/token"));
        let secrets = self.data.join(SECRETS_FILE);
        // Those that were made up, at this start or one before.
        if secrets.exists() {
            let words = format!(
                "`source {}` for the made-up secrets to sign with",
                secrets.display()
            );
            line("webhooks", &words);
        }
        line("stop", "Ctrl-C");
        text
    }
}
