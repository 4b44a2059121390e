//! The systems that tell us about stock: one file per vendor, and one line in the list below.
//!
//! | file | job |
//! |---|---|
//! | [`push`] | what a webhook is, from raw delivery to events; the errors its sender gets |
//! | [`names`] | other systems' names for products and locations |
//! | `json`, `xml`, `vehicle` | bounded readers that the vendors share |
//!
//! A connector's authenticity check stands between it and its parser as a type: only [`Push::verify`]
//! makes a [`Signed`], and only a [`Signed`] can be parsed. What a vendor can do is in its type too:
//! a capability that it lacks is `None`, not a method that fails.

mod json;
pub mod names;
pub mod push;
mod vehicle;
mod xml;

use secrecy::SecretString;

pub use self::names::{Awaited, External, KnownNames, Names};
pub use self::push::{
    Delivery, Lookup, ParseError, Parsed, Problem, Push, Reason, Rejected, Signed,
};
use crate::config::connector::{ConnectorSettings, Verify};
use crate::domain::ConnectorName;
use crate::secrets::SecretRef;
use crate::signature::SecretsError;

/// One configured system, and what it can do.
pub struct Connector {
    /// The name it has in the configuration, and at the end of its webhook address.
    pub name: ConnectorName,
    /// Signed webhooks, if it sends any.
    pub push: Option<Box<dyn Push>>,
}

/// What the documentation says of one kind of connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// The vendor's own spelling of its name.
    pub title: &'static str,
    /// How a delivery proves where it comes from.
    pub authenticity: &'static str,
    /// What it may send, and what becomes of it.
    pub takes: &'static [(&'static str, &'static str)],
}

/// Why a connector cannot be built from its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connector {kind}: {problem}")]
pub struct BuildError {
    /// Which vendor.
    pub kind: &'static str,
    /// What is wrong with its secrets.
    pub problem: SecretsError,
}

/// Declares the vendors that send webhooks: for each its module, which has `push` and `ABOUT`, and
/// the variant of [`ConnectorSettings`] that it is built from.
macro_rules! connectors {
    ($($(#[$doc:meta])* $module:ident => $Variant:ident,)*) => {
        $(pub mod $module;)*

        /// A vendor that sends webhooks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConnectorKind { $($(#[$doc])* $Variant),* }

        impl ConnectorKind {
            /// Every kind, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$Variant),*];

            /// The kind's name in the configuration.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Variant => stringify!($module)),* }
            }

            /// What the documentation says of it.
            pub const fn about(self) -> &'static About {
                match self { $(Self::$Variant => &$module::ABOUT),* }
            }
        }

        impl Connector {
            /// A connector from its settings and the values of its
            /// [`webhook_secrets`], newest first.
            pub fn build(
                name: ConnectorName,
                settings: &ConnectorSettings,
                secrets: &[SecretString],
            ) -> Result<Self, BuildError> {
                let push: Result<Box<dyn Push>, SecretsError> = match settings {
                    $(ConnectorSettings::$Variant(settings) => {
                        $module::push(name.clone(), settings, secrets)
                            .map(|push| Box::new(push) as Box<dyn Push>)
                    })*
                    // Files are fetched; nobody sends them here.
                    ConnectorSettings::Files(_) => return Ok(Self { name, push: None }),
                };
                match push {
                    Ok(push) => Ok(Self { name, push: Some(push) }),
                    Err(problem) => Err(BuildError { kind: settings.kind(), problem }),
                }
            }
        }
    };
}

connectors! {
    /// A Shopify shop.
    shopify => Shopify,
    /// Dealertrack DMS.
    dealertrack => Dealertrack,
    /// Any program that signs its webhooks by the Standard Webhooks specification.
    generic => Generic,
}

/// The secrets that a connector's webhooks are checked with, newest first.
pub fn webhook_secrets(settings: &ConnectorSettings) -> Vec<&SecretRef> {
    let (secret, previous) = match settings {
        ConnectorSettings::Shopify(shop) => (&shop.webhook.secret, &shop.webhook.previous_secret),
        ConnectorSettings::Generic(sender) => {
            (&sender.webhook.secret, &sender.webhook.previous_secret)
        }
        ConnectorSettings::Dealertrack(dms) => match &dms.verify {
            Verify::HmacSha256(by) => (&by.secret, &by.previous_secret),
            Verify::Basic(by) => (&by.password, &by.previous_password),
            Verify::HeaderSecret(by) => (&by.secret, &by.previous_secret),
        },
        ConnectorSettings::Files(_) => return Vec::new(),
    };
    std::iter::once(secret).chain(previous).collect()
}

/// The secrets without which a connector does nothing: what checks its webhooks, or opens its source.
pub fn needed_secrets(settings: &ConnectorSettings) -> Vec<&SecretRef> {
    if let ConnectorSettings::Files(files) = settings {
        let keys = [
            &files.password,
            &files.private_key,
            &files.passphrase,
            &files.token,
        ];
        return keys.into_iter().flatten().collect();
    }
    // A previous secret that is not set is over.
    webhook_secrets(settings).into_iter().take(1).collect()
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod leaks;
