//! What the settings of all channels share: how they are read, described and found fault with.

use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::{Channel, ChannelKind, Order};
use crate::http::no_address;
use crate::secrets::SecretRef;

/// One setting, for a table in the documentation and for a JSON schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its key in the configuration.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// Whether it must be there.
    pub required: bool,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

impl Field {
    /// A setting that must be there.
    pub const fn required(name: &'static str, form: Form, meaning: &'static str) -> Self {
        Self {
            name,
            form,
            required: true,
            meaning,
        }
    }

    /// A setting that may be left out.
    pub const fn optional(name: &'static str, form: Form, meaning: &'static str) -> Self {
        Self {
            name,
            form,
            required: false,
            meaning,
        }
    }
}

/// What a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// An address, `https://…`.
    Address,
    /// A reference to a secret: `env:…`, `ssm:…` or `secretsmanager:…`.
    Secret,
}

/// Why a channel's settings cannot be used. Names the field; never quotes its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} channel, {field}: {problem}")]
pub struct ConfigError {
    /// The kind of channel.
    pub kind: ChannelKind,
    /// The setting at fault.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(kind: ChannelKind, field: &str, problem: impl Into<String>) -> Self {
        Self {
            kind,
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// What a channel's settings type must be able to do.
pub(crate) trait Configure: DeserializeOwned {
    /// How such a channel is set up, with as little as it needs.
    const EXAMPLE: &'static str;
    /// Every setting, in the order of the documentation.
    const FIELDS: &'static [Field];
    /// Which of an alert's revisions such a channel is told.
    const ORDER: Order;

    /// What the types alone do not ensure.
    fn check(&self) -> Result<(), ConfigError>;

    /// The secrets it needs.
    fn secret_refs(&self) -> Vec<&SecretRef>;

    /// A value of the form the vendor gives out, for an outbox that shows what nobody sends.
    fn stand_in(&self, _: &SecretRef) -> SecretString {
        SecretString::from("not-set")
    }

    /// The channel, with the secrets' values.
    fn build(
        &self,
        secret: &dyn Fn(&SecretRef) -> SecretString,
    ) -> Result<Box<dyn Channel>, ConfigError>;
}

pub(crate) fn read<S: Configure>(kind: ChannelKind, table: toml::Table) -> Result<S, ConfigError> {
    let settings: S = table
        .try_into()
        .map_err(|error| located(kind, &error.to_string()))?;
    settings.check()?;
    Ok(settings)
}

/// Finds the field in a message such as "invalid type: …\nin `to`" or "unknown field `tto`, …".
fn located(kind: ChannelKind, message: &str) -> ConfigError {
    let quoted = |text: &str| Some(text.split('`').nth(1)?.to_owned());
    let mut lines = message.trim().lines();
    let problem = lines.next().unwrap_or_default();
    let field = lines
        .find_map(|line| line.strip_prefix("in ").and_then(quoted))
        .or_else(|| quoted(problem))
        .unwrap_or_default();
    ConfigError::new(kind, &field, problem)
}

impl ChannelKind {
    /// A JSON schema of the settings, for editors.
    pub fn schema(self) -> Value {
        let fields = self.documentation();
        let properties: Map<String, Value> = fields
            .iter()
            .map(|field| {
                let mut form = match field.form {
                    Form::Text => json!({"type": "string"}),
                    Form::Texts => json!({"type": "array", "items": {"type": "string"}}),
                    Form::Number => json!({"type": "integer"}),
                    Form::Flag => json!({"type": "boolean"}),
                    Form::Address => json!({"type": "string", "format": "uri"}),
                    Form::Secret => {
                        json!({"type": "string", "pattern": "^(env|ssm|secretsmanager):"})
                    }
                };
                form["description"] = json!(field.meaning);
                (field.name.to_owned(), form)
            })
            .collect();
        let required: Vec<_> = fields.iter().filter(|field| field.required).collect();
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": required.iter().map(|field| field.name).collect::<Vec<_>>(),
            "properties": properties,
        })
    }
}

/// The address under which a vendor's API lives: a region, a sandbox, a test.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// An address below this one. The segments are escaped as needed.
    pub(crate) fn at<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.0.clone();
        // Only an address that has no path refuses, and `from_str` has asked for http.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The address itself.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for BaseUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let url: Url = text
            .trim()
            .parse()
            .map_err(|error| format!("not an address: {}", no_address(error)))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err("the address must begin with https://".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the address must hold no user name and no password".into());
        }
        if url.fragment().is_some() {
            return Err("the address must hold no fragment (#)".into());
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(base: BaseUrl) -> Self {
        base.0.into()
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_keeps_its_own_path() {
        let base: BaseUrl = "https://proxy.example.com/twilio/".parse().unwrap();
        assert_eq!(
            base.at(["a", "b c"]).as_str(),
            "https://proxy.example.com/twilio/a/b%20c"
        );
        assert!("ftp://example.com".parse::<BaseUrl>().is_err());
        assert!("https://u:p@example.com".parse::<BaseUrl>().is_err());
        assert!("example.com".parse::<BaseUrl>().is_err());
    }
}
