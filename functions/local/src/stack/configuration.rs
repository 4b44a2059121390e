//! Which configuration a run has. A data directory keeps the one that was applied to it, unless
//! another is named at start; only an empty one takes `lotwire.toml` from where it is started, or the
//! sample.

use std::fs;
use std::path::Path;

use shared::config::Config;
use shared::installation::Installation;
use shared::store::Store;
use shared::store::settings::Head;

use super::serve::ServeError;
use super::{keys, sample};

/// The configuration that a first start takes when none is named and one stands here.
const OWN: &str = "lotwire.toml";

/// A document to be applied at start.
pub(super) struct Document {
    name: String,
    config: Config,
    is_sample: bool,
}

/// The configuration in force, and how it came to be.
pub(super) struct InForce {
    /// Its version, when and by whom it was applied.
    pub(super) head: Head,
    /// The document.
    pub(super) config: Config,
    /// Whether this start applied the sample to an empty data directory.
    pub(super) first_sample: bool,
    /// What this start did, and what else stands here, a line each.
    pub(super) words: Vec<String>,
}

/// What is to be applied, read and checked before anything is written; `None` if the data directory
/// keeps what it has.
pub(super) fn document(named: Option<&Path>, data: &Path) -> Result<Option<Document>, ServeError> {
    match named {
        Some(path) => read(path).map(Some),
        None if data.join(keys::TABLES_FILE).exists() => Ok(None),
        None => first().map(Some),
    }
}

/// Applies the document, if there is one to apply.
pub(super) async fn put_in_force(
    store: &Store,
    document: Option<Document>,
) -> Result<InForce, ServeError> {
    let standing = store.config_head().await?.map(|head| head.data);
    let document = match (document, &standing) {
        // A start before this one ended before it had applied anything.
        (None, None) => Some(first()?),
        (document, _) => document,
    };
    let Some(document) = document else {
        let head = standing.ok_or(shared::installation::InstallationError::NotConfigured)?;
        let config = store.config_document(&head).await?;
        let words = beside(&config);
        return Ok(InForce {
            head,
            config,
            first_sample: false,
            words,
        });
    };
    let Document {
        name,
        config,
        is_sample,
    } = document;
    Installation::new(0, config.clone())?;
    let before = match &standing {
        // What an older version of Lotwire stored may be beyond reading; another can still be applied.
        Some(head) => store.config_document(head).await.ok(),
        None => None,
    };
    let by = format!("{name}, at start");
    let applied = store.apply_config(&config, &by).await?;
    let mut words = Vec::new();
    if applied && let Some(before) = &before {
        words.push(format!("{name} changes:"));
        let differences = api::differences(Some(before), &config);
        words.extend(differences.iter().map(|it| format!("  {it}")));
    }
    let head = store.config_head().await?;
    let head = head.ok_or(shared::installation::InstallationError::NotConfigured)?;
    Ok(InForce {
        head: head.data,
        config,
        first_sample: is_sample && standing.is_none(),
        words,
    })
}

/// What `lotwire.toml` here has to do with a configuration that was kept.
fn beside(kept: &Config) -> Vec<String> {
    let Ok(text) = fs::read_to_string(OWN) else {
        return Vec::new();
    };
    let note = match Config::check(&text, OWN) {
        Err(errors) => format!(
            "{OWN} here is not in force, and has {}: see `lotwire check`",
            counted(errors.0.len(), "error")
        ),
        Ok(config) => match api::differences(Some(kept), &config).len() {
            0 => return Vec::new(),
            count => format!(
                "{OWN} here differs in {} and is not in force: `lotwire apply {OWN}` shows and applies it",
                counted(count, "setting")
            ),
        },
    };
    vec![note]
}

fn counted(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn first() -> Result<Document, ServeError> {
    let own = Path::new(OWN);
    if own.exists() {
        return read(own);
    }
    Ok(Document {
        name: "the sample".to_owned(),
        config: sample::config()?,
        is_sample: true,
    })
}

fn read(path: &Path) -> Result<Document, ServeError> {
    let text = fs::read_to_string(path).map_err(|source| ServeError::ConfigFile {
        path: path.to_owned(),
        source,
    })?;
    let name = path.display().to_string();
    Ok(Document {
        config: Config::check(&text, &name)?,
        name,
        is_sample: false,
    })
}
