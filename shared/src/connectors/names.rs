//! Other systems' names for products and locations.
//!
//! Locations are few and configured. Products are many and learned (a shop describes its variants),
//! so they live in the store: a connector first lists what it [wants](super::Push::wanted), the
//! caller looks those up, and parsing itself awaits nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::config::connector::ConnectorSettings;
use crate::domain::item::Standing;
use crate::domain::vin::{VinError, VinRules};
use crate::domain::{ConnectorName, LocationId, Sku, Vin};

/// A system's name for a product: `inventory_item` `30322695`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct External {
    /// What sort of name it is, as in [`ProductDescription::external`].
    ///
    /// [`ProductDescription::external`]: crate::domain::event::ProductDescription::external
    pub kind: &'static str,
    /// The name.
    pub id: String,
}

impl fmt::Display for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// A name that something in quarantine waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Awaited {
    /// What sort of name: that of an [`External`], or [`LOCATION`].
    pub kind: String,
    /// The name.
    pub name: String,
}

/// The kind of name that a configuration gives to locations.
pub const LOCATION: &str = "location";
pub use crate::domain::order::DEFAULT_LOCATION;
/// Characters of a name that is waited for; a longer one is never learnt.
const NAME_MOST: usize = 256;

impl Awaited {
    pub(super) fn location(name: &str) -> Self {
        Self {
            kind: LOCATION.to_owned(),
            name: name.trim().chars().take(NAME_MOST).collect(),
        }
    }

    pub(super) fn product(external: &External) -> Self {
        Self {
            kind: external.kind.to_owned(),
            name: external.id.chars().take(NAME_MOST).collect(),
        }
    }
}

/// Turns a system's names into ours.
pub trait Names: Send + Sync {
    /// Our location for theirs. Our own short names are understood too.
    fn location(&self, theirs: &str) -> Option<LocationId>;

    /// Our SKU for their product.
    fn product(&self, theirs: &External) -> Option<Sku>;

    /// The vehicle that a number means, by the rules that hold for all of them.
    fn vin(&self, written: &str) -> Result<Vin, VinError>;
    /// Their other name of this kind for the same product, as far as it is known.
    fn beside(&self, theirs: &External, kind: &'static str) -> Option<External>;
    /// Since when their product stands for it, and whether it is offered, as far as that is known.
    fn standing(&self, theirs: &External) -> Standing;
}

/// Names that have been looked up.
#[derive(Debug, Clone, Default)]
pub struct KnownNames {
    locations: BTreeMap<String, LocationId>,
    own: BTreeSet<LocationId>,
    default: bool,
    products: BTreeMap<External, (Sku, Standing)>,
    beside: BTreeMap<External, BTreeMap<String, String>>,
    vins: VinRules,
}

impl KnownNames {
    /// The connector's configured `locations`, and all the locations there are.
    pub fn new(
        locations: BTreeMap<String, LocationId>,
        own: impl IntoIterator<Item = LocationId>,
    ) -> Self {
        Self {
            locations,
            own: own.into_iter().collect(),
            default: false,
            products: BTreeMap::new(),
            beside: BTreeMap::new(),
            vins: VinRules::default(),
        }
    }

    /// The same, with the rules for numbers of vehicles.
    #[must_use]
    pub fn with_vins(self, vins: VinRules) -> Self {
        Self { vins, ..self }
    }

    /// The names of locations that a configuration gives a connector.
    pub fn configured(config: &Config, connector: &ConnectorName) -> Self {
        let settings = config.connectors.get(connector);
        let theirs = settings.map(|it| it.common.locations.clone());
        let ours = config.locations.locations().iter();
        let default = settings.is_some_and(|it| match &it.settings {
            ConnectorSettings::Shopify(shop) => shop.default_location.is_some(),
            _ => false,
        });
        Self {
            default,
            vins: config.guards.vins(),
            ..Self::new(
                theirs.unwrap_or_default(),
                ours.map(|location| location.id.clone()),
            )
        }
    }

    /// Whether a name that something waited for is that of a location now.
    pub fn has_location(&self, theirs: &str) -> bool {
        match theirs {
            DEFAULT_LOCATION => self.default,
            theirs => self.location(theirs).is_some(),
        }
    }

    /// The same, with products that the store knows.
    #[must_use]
    pub fn with_products(mut self, products: impl IntoIterator<Item = (External, Sku)>) -> Self {
        let products = products
            .into_iter()
            .map(|(name, sku)| (name, (sku, Standing::default())));
        self.products.extend(products);
        self
    }

    /// The same, with a product, and since when and whether its name stands for it.
    #[must_use]
    pub fn with_product(mut self, name: External, sku: Sku, standing: Standing) -> Self {
        self.products.insert(name, (sku, standing));
        self
    }

    /// The same, with a product's other names.
    #[must_use]
    pub fn with_beside(mut self, name: External, beside: BTreeMap<String, String>) -> Self {
        self.beside.insert(name, beside);
        self
    }
}

impl Names for KnownNames {
    fn location(&self, theirs: &str) -> Option<LocationId> {
        let theirs = theirs.trim();
        let configured = self.locations.get(theirs).cloned();
        configured.or_else(|| self.own.get(&theirs.parse().ok()?).cloned())
    }

    fn product(&self, theirs: &External) -> Option<Sku> {
        self.products.get(theirs).map(|(sku, _)| sku.clone())
    }

    fn standing(&self, theirs: &External) -> Standing {
        let known = self.products.get(theirs);
        known
            .map(|(_, standing)| standing.clone())
            .unwrap_or_default()
    }

    fn beside(&self, theirs: &External, kind: &'static str) -> Option<External> {
        let id = self.beside.get(theirs)?.get(kind)?.clone();
        Some(External { kind, id })
    }

    fn vin(&self, written: &str) -> Result<Vin, VinError> {
        self.vins.read(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_name_wins_over_our_own_and_an_unknown_one_is_nothing() {
        let id = |text: &str| text.parse::<LocationId>().unwrap();
        let configured = BTreeMap::from([
            ("346779380".to_owned(), id("london")),
            ("milano".to_owned(), id("north")),
        ]);
        let names = KnownNames::new(configured, [id("milano"), id("london")]);
        assert_eq!(names.location("346779380"), Some(id("london")));
        assert_eq!(names.location("milano"), Some(id("north")));
        assert_eq!(names.location(" london "), Some(id("london")));
        assert_eq!(names.location("paris"), None);
        assert_eq!(names.location("not a location"), None);
    }
}
