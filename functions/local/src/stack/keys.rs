//! The API token and the development secrets, made at the first start and kept in the data directory.
//!
//! Webhooks are refused without a signature on a laptop, too. So that there is something to sign
//! with, each connector secret that the configuration takes from the environment, and that is not set
//! there, gets a random value in `secrets.env`, which a shell can read.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use shared::config::Config;
use shared::config::connector::ConnectorSettings;
use shared::connectors::webhook_secrets;
use shared::secrets::SecretRef;
use uuid::Uuid;

/// The API token's file.
pub const TOKEN_FILE: &str = "token";
/// The development secrets' file.
pub const SECRETS_FILE: &str = "secrets.env";

/// The token that this data directory's API asks for.
pub fn token(data: &Path) -> io::Result<SecretString> {
    let path = data.join(TOKEN_FILE);
    match fs::read_to_string(&path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned().into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = hex(&random());
    write_private(&path, &format!("{token}\n"))?;
    Ok(token.into())
}

/// The development secrets, by variable: those made before, and new ones for what is missing.
pub fn development_secrets(
    data: &Path,
    config: &Config,
    environment: impl Fn(&str) -> Option<String>,
) -> io::Result<BTreeMap<String, String>> {
    let path = data.join(SECRETS_FILE);
    let mut secrets = match fs::read_to_string(&path) {
        Ok(text) => read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let known = secrets.len();
    for connector in config.connectors.values() {
        // The first is the live one; a previous secret that is not set is simply over.
        let Some(SecretRef::Env { variable }) = webhook_secrets(&connector.settings).first() else {
            continue;
        };
        if environment(variable).is_none() && !secrets.contains_key(variable.as_str()) {
            let secret = match &connector.settings {
                ConnectorSettings::Generic(_) => format!("whsec_{}", STANDARD.encode(random())),
                _ => hex(&random()),
            };
            secrets.insert(variable.clone(), secret);
        }
    }
    if secrets.len() > known {
        let mut text =
            String::from("# Made for development. `source` it to sign webhooks by hand.\n");
        for (variable, secret) in &secrets {
            text.push_str(&format!("export {variable}='{secret}'\n"));
        }
        write_private(&path, &text)?;
    }
    Ok(secrets)
}

fn read(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("export ")?.split_once('='))
        .map(|(variable, value)| (variable.to_owned(), value.trim_matches('\'').to_owned()))
        .collect()
}

/// Written beside and moved into place, so that a crash leaves no half of it; for its owner only.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_token_is_made_once_and_for_its_owner_only() {
        let data = tempfile::tempdir().unwrap();
        let first = token(data.path()).unwrap();
        assert_eq!(first.expose_secret().len(), 64);
        assert_eq!(
            token(data.path()).unwrap().expose_secret(),
            first.expose_secret()
        );
        let mode = fs::metadata(data.path().join(TOKEN_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn secrets_are_made_for_what_is_not_set_and_stay() {
        let data = tempfile::tempdir().unwrap();
        let config = crate::stack::sample::config().unwrap();
        let set = |name: &str| (name == "LOTWIRE_SHOPIFY_SECRET").then(|| "theirs".to_owned());
        let made = development_secrets(data.path(), &config, set).unwrap();
        assert!(!made.contains_key("LOTWIRE_SHOPIFY_SECRET"), "it is set");
        assert!(made["LOTWIRE_GENERIC_SECRET"].starts_with("whsec_"));
        assert_eq!(
            development_secrets(data.path(), &config, set).unwrap(),
            made
        );
    }
}
