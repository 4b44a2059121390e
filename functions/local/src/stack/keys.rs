//! The API token and the development secrets, made at the first start and kept in the data directory.
//!
//! Webhooks are refused without a signature on a laptop, too. So that there is something to sign
//! with, each connector secret that the configuration takes from the environment, and that is not set
//! there, gets a random value in `secrets.env`, which a shell can read.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
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
/// The embedded table's file: where there is one, there was a start before.
pub const TABLES_FILE: &str = "tables.db";
/// The file by which a process holds the directory.
const LOCK_FILE: &str = "lock";
/// Where files are kept while they are read.
pub const SCRATCH: &str = "scratch";
/// How the names of Lotwire's own files begin.
const OURS: [&str; 7] = [
    TABLES_FILE,
    SCRATCH,
    TOKEN_FILE,
    SECRETS_FILE,
    "outbox.jsonl",
    LOCK_FILE,
    "sftp.env",
];

/// Makes the data directory and what lies in it for its owner only: the tables hold what customers
/// bought and what their shops sent.
///
/// A directory that holds other things than Lotwire's keeps its own mode, such as a home directory;
/// the files in it are closed all the same.
pub fn close_to_others(data: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let mut only_ours = true;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !OURS.iter().any(|prefix| name.starts_with(prefix)) {
            only_ours = false;
            continue;
        }
        let mode = if entry.file_type()?.is_dir() {
            0o700
        } else {
            0o600
        };
        fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
    }
    if only_ours {
        fs::set_permissions(data, Permissions::from_mode(0o700))?;
    }
    // The files beside it take its mode, and a new file would be for everybody to read.
    for name in [TABLES_FILE, LOCK_FILE] {
        let mut file = OpenOptions::new();
        file.append(true).create(true).mode(0o600);
        file.open(data.join(name))?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data.join(SCRATCH))
}

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

/// A code that nobody can guess.
pub fn random_code() -> String {
    hex(&random())
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
