//! How a secret is referred to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a secret is to be found: `env:NAME`, `ssm:/path/name` or `secretsmanager:name#field`.
///
/// ```
/// use shared::secrets::SecretRef;
///
/// let reference: SecretRef = "secretsmanager:lotwire/slack#signing_secret".parse()?;
/// assert_eq!(reference.to_string(), "secretsmanager:lotwire/slack#signing_secret");
/// assert!("xoxb-a-real-token".parse::<SecretRef>().is_err());
/// # Ok::<(), shared::secrets::SecretRefError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// An environment variable.
    Env {
        /// Its name.
        variable: String,
    },
    /// A parameter of AWS Systems Manager, decrypted.
    Ssm {
        /// Its full name or ARN.
        name: String,
    },
    /// A secret of AWS Secrets Manager.
    SecretsManager {
        /// Its name or ARN.
        name: String,
        /// Which field, if the secret is a JSON object.
        field: Option<String>,
    },
}

/// Why a text is no reference. Says nothing of the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefError {
    /// No known scheme: most likely the secret itself.
    #[error(
        "a secret is given by reference (env:NAME, ssm:/path/name or secretsmanager:name#field), \
         never by its value"
    )]
    NotAReference,
    /// Not letters, digits and underscores.
    #[error("after env: stands the name of an environment variable")]
    Variable,
    /// Empty, or with characters that no parameter's name has.
    #[error("after ssm: stands the name of a parameter, such as /lotwire/slack")]
    Parameter,
    /// Empty, or with characters that no secret's name has.
    #[error("after secretsmanager: stands the name of a secret, perhaps with #field")]
    Secret,
}

fn is_variable(name: &str) -> bool {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `extra` is what the service allows in names beside letters and digits.
fn is_name(name: &str, extra: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

impl FromStr for SecretRef {
    type Err = SecretRefError;

    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        let (scheme, name) = text
            .trim()
            .split_once(':')
            .ok_or(SecretRefError::NotAReference)?;
        match scheme {
            "env" if is_variable(name) => Ok(Self::Env {
                variable: name.to_owned(),
            }),
            "env" => Err(SecretRefError::Variable),
            "ssm" if is_name(name, "_.-/:") => Ok(Self::Ssm {
                name: name.to_owned(),
            }),
            "ssm" => Err(SecretRefError::Parameter),
            "secretsmanager" => {
                let (name, field) = match name.split_once('#') {
                    Some((name, field)) => (name, Some(field)),
                    None => (name, None),
                };
                if !is_name(name, "/_+=.@-:") || field == Some("") {
                    return Err(SecretRefError::Secret);
                }
                Ok(Self::SecretsManager {
                    name: name.to_owned(),
                    field: field.map(str::to_owned),
                })
            }
            _ => Err(SecretRefError::NotAReference),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { variable } => write!(f, "env:{variable}"),
            Self::Ssm { name } => write!(f, "ssm:{name}"),
            Self::SecretsManager { name, field: None } => write!(f, "secretsmanager:{name}"),
            Self::SecretsManager {
                name,
                field: Some(field),
            } => write!(f, "secretsmanager:{name}#{field}"),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = SecretRefError;

    fn try_from(text: String) -> Result<Self, SecretRefError> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.to_string()
    }
}
