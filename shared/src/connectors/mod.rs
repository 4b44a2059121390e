//! The systems that tell us about stock: one file per vendor, and one line in the list below.
//!
//! | file | job |
//! |---|---|
//! | [`push`] | what a webhook is, from raw delivery to events; the errors its sender gets |
//! | [`names`] | other systems' names for products and locations |
//! | [`settings`] | what each kind of connector can be told |
//! | `json`, `xml`, `vehicle` | bounded readers that the vendors share |
//!
//! A connector's authenticity check stands between it and its parser as a type: only [`Push::verify`]
//! makes a [`Signed`], and only a [`Signed`] can be parsed. What a vendor can do is in its type too:
//! a capability that it lacks is `None`, not a method that fails.

mod json;
pub mod names;
pub mod push;
pub mod settings;
mod vehicle;
mod xml;

use secrecy::SecretString;

pub use self::names::{External, KnownNames, Names};
pub use self::push::{
    Delivery, Lookup, ParseError, Parsed, Problem, Push, Reason, Rejected, Signed,
};
use crate::domain::ConnectorName;
use crate::signature::SecretsError;

/// One configured system, and what it can do.
pub struct Connector {
    /// The name it has in the configuration, and at the end of its webhook address.
    pub name: ConnectorName,
    /// Which vendor it is.
    pub kind: ConnectorKind,
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

/// Declares the vendors: for each its module (which has `push` and `ABOUT`) and its settings' type.
macro_rules! connectors {
    ($($(#[$doc:meta])* $module:ident => $Variant:ident,)*) => {
        $(pub mod $module;)*

        /// Which vendor a connector is.
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

        /// What a connector was told, by kind.
        #[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum Settings {
            $($(#[$doc])* $Variant(settings::$Variant)),*
        }

        impl Settings {
            /// The kind they are for.
            pub const fn kind(&self) -> ConnectorKind {
                match self { $(Self::$Variant(_) => ConnectorKind::$Variant),* }
            }
        }

        impl Connector {
            /// A connector from its settings and the values of its secrets, newest first.
            pub fn build(
                name: ConnectorName,
                settings: Settings,
                secrets: &[SecretString],
            ) -> Result<Self, BuildError> {
                let kind = settings.kind();
                let push: Result<Box<dyn Push>, SecretsError> = match settings {
                    $(Settings::$Variant(settings) => {
                        $module::push(name.clone(), settings, secrets)
                            .map(|push| Box::new(push) as Box<dyn Push>)
                    })*
                };
                match push {
                    Ok(push) => Ok(Self { name, kind, push: Some(push) }),
                    Err(problem) => Err(BuildError { kind: kind.name(), problem }),
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

#[cfg(test)]
mod bench;
#[cfg(test)]
mod conformance;
