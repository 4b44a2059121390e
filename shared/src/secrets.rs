//! secrets
use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(String);
impl std::str::FromStr for SecretRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        ["env:", "ssm:", "secretsmanager:"].iter().any(|scheme| text.starts_with(scheme)).then(|| Self(text.to_owned())).ok_or_else(|| "not a secret reference; write `env:NAME`, `ssm:/path/name` or `secretsmanager:name`".to_owned())
    }
}
impl TryFrom<String> for SecretRef { type Error = String; fn try_from(text: String) -> Result<Self, String> { text.parse() } }
impl From<SecretRef> for String { fn from(r: SecretRef) -> Self { r.0 } }
impl std::fmt::Display for SecretRef { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&self.0) } }
