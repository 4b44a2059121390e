//! The link in a message: it opens a page about the alert, or the group's message, for whoever has it,
//! and for nobody else.
//!
//! Somebody who reads a text message cannot show an API token, so the link itself is the permission: it
//! holds a digest of the id under a key of this installation, which is made when it is first needed.

use tokio::sync::OnceCell;
use url::Url;

use crate::store::{Store, StoreError};

/// Makes links; the key is read once per process.
#[derive(Debug, Default)]
pub(super) struct Links(OnceCell<LinkKey>);

/// What an installation's links are made with.
#[derive(Clone)]
pub struct LinkKey(String);

impl Links {
    pub(super) async fn of(
        &self,
        store: &Store,
        base: &Url,
        alert: &str,
    ) -> Result<String, StoreError> {
        let key = self.0.get_or_try_init(|| store.link_key()).await?;
        let base = base.as_str().trim_end_matches('/');
        let token = key.token(alert);
        Ok(format!("{base}/api/v1/a/{alert}?k={token}"))
    }
}

impl LinkKey {
    /// A key as it is stored.
    pub const fn new(key: String) -> Self {
        Self(key)
    }

    /// What a link to this alert must hold. Short, because text messages are: 80 bits cannot be guessed
    /// over the network.
    pub fn token(&self, alert: &str) -> String {
        let signed = [alert.as_bytes()];
        let digest = crate::signature::digest(self.0.as_bytes(), &signed);
        hex::encode(&digest[..10])
    }

    /// Whether a link to this alert was made here.
    pub fn admits(&self, alert: &str, token: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.token(alert).as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_alert_and_its_installation() {
        let key = LinkKey::new("one".into());
        let token = key.token("a1");
        assert_eq!(token.len(), 20);
        assert!(key.admits("a1", &token));
        assert!(!key.admits("a2", &token) && !key.admits("a1", ""));
        assert!(!LinkKey::new("two".into()).admits("a1", &token));
    }
}
