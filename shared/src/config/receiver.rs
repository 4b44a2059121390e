//! From a connector's configuration to what its module needs to receive webhooks.

use super::connector::{
    Connector, ConnectorSettings, Dealertrack, Generic, Pointers, Shopify, Verify, Webhook,
};
use super::network::Network;
use super::value::Bytes;
use crate::connectors::{Settings, settings};
use crate::secrets::SecretRef;

/// What it takes to receive one connector's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// What the connector's own module is told.
    pub settings: Settings,
    /// The secrets that may have signed a delivery, the newest first.
    pub secrets: Vec<SecretRef>,
    /// The largest body that is accepted.
    pub body_limit: Bytes,
    /// The blocks of addresses it may come from; empty accepts any.
    pub allow_from: Vec<Network>,
}

impl Connector {
    /// What it takes to receive its webhooks; `None` for a connector that sends none.
    pub fn receiver(&self) -> Option<Receiver> {
        match &self.settings {
            ConnectorSettings::Shopify(shopify) => Some(shopify.receiver()),
            ConnectorSettings::Dealertrack(dealertrack) => Some(dealertrack.receiver()),
            ConnectorSettings::Generic(generic) => Some(generic.receiver()),
            ConnectorSettings::Files(_) => None,
        }
    }
}

impl Webhook {
    fn receiver(&self, settings: Settings) -> Receiver {
        Receiver {
            settings,
            secrets: live(&self.secret, self.previous_secret.as_ref()),
            body_limit: self.body_limit,
            allow_from: self.allow_from.clone(),
        }
    }
}

fn live(newest: &SecretRef, previous: Option<&SecretRef>) -> Vec<SecretRef> {
    std::iter::once(newest).chain(previous).cloned().collect()
}

impl Shopify {
    fn receiver(&self) -> Receiver {
        self.webhook.receiver(Settings::Shopify(settings::Shopify {
            shop: Some(self.shop.as_str().to_owned()),
            orders: self.orders,
            default_location: self.default_location.clone(),
            tolerance: self.webhook.tolerance,
        }))
    }
}

impl Generic {
    fn receiver(&self) -> Receiver {
        self.webhook.receiver(Settings::Generic(settings::Generic {
            tolerance: self.webhook.tolerance,
        }))
    }
}

impl Dealertrack {
    fn receiver(&self) -> Receiver {
        let (verify, secrets) = self.verify.split();
        Receiver {
            settings: Settings::Dealertrack(settings::Dealertrack {
                verify,
                tolerance: self.tolerance,
                pointers: self.pointers.plain(),
                events: self.events.clone(),
                statuses: self.statuses.clone(),
                payload: self.payload,
                currency: self.currency,
                distance: self.distance,
            }),
            secrets,
            body_limit: self.body_limit,
            allow_from: self.allow_from.clone(),
        }
    }
}

impl Verify {
    /// The way, and apart from it the secrets.
    fn split(&self) -> (settings::Verify, Vec<SecretRef>) {
        match self {
            Self::HmacSha256(hmac) => (
                settings::Verify::HmacSha256 {
                    header: settings::Header(hmac.header.0.clone()),
                    encoding: hmac.encoding,
                    prefix: hmac.prefix.clone().unwrap_or_default(),
                },
                live(&hmac.secret, hmac.previous_secret.as_ref()),
            ),
            Self::Basic(basic) => (
                settings::Verify::Basic {
                    username: basic.username.clone(),
                },
                live(&basic.password, basic.previous_password.as_ref()),
            ),
            Self::HeaderSecret(header) => (
                settings::Verify::HeaderSecret {
                    header: settings::Header(header.header.0.clone()),
                },
                live(&header.secret, header.previous_secret.as_ref()),
            ),
        }
    }
}

impl Pointers {
    fn plain(&self) -> settings::Pointers {
        settings::Pointers {
            list: self.list.clone(),
            event_id: self.event_id.clone(),
            event_type: self.event_type.clone(),
            time: self.time.clone(),
            vin: self.vin.clone(),
            company: self.company.clone(),
            to_company: self.to_company.clone(),
            stock_number: self.stock_number.clone(),
            status: self.status.clone(),
            since: self.since.clone(),
            condition: self.condition.clone(),
            make: self.make.clone(),
            model: self.model.clone(),
            trim: self.trim.clone(),
            year: self.year.clone(),
            colour: self.colour.clone(),
            price: self.price.clone(),
            mileage: self.mileage.clone(),
        }
    }
}
