//! Other systems' names for products and locations.
//!
//! Locations are few and configured. Products are many and learned (a shop describes its variants),
//! so they live in the store: a connector first lists what it [wants](super::Push::wanted), the
//! caller looks those up, and parsing itself awaits nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::vin::{VinError, VinRules};
use crate::domain::{LocationId, Sku, Vin};

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

/// Turns a system's names into ours.
pub trait Names: Send + Sync {
    /// Our location for theirs. Our own short names are understood too.
    fn location(&self, theirs: &str) -> Option<LocationId>;

    /// Our SKU for their product.
    fn product(&self, theirs: &External) -> Option<Sku>;

    /// The vehicle that a number means, by the rules that hold for all of them.
    fn vin(&self, written: &str) -> Result<Vin, VinError>;
}

/// Names that have been looked up.
#[derive(Debug, Clone, Default)]
pub struct KnownNames {
    locations: BTreeMap<String, LocationId>,
    own: BTreeSet<LocationId>,
    products: BTreeMap<External, Sku>,
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
            products: BTreeMap::new(),
            vins: VinRules::default(),
        }
    }

    /// The same, with the rules for numbers of vehicles.
    #[must_use]
    pub fn with_vins(self, vins: VinRules) -> Self {
        Self { vins, ..self }
    }

    /// The same, with products that the store knows.
    #[must_use]
    pub fn with_products(mut self, products: impl IntoIterator<Item = (External, Sku)>) -> Self {
        self.products.extend(products);
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
        self.products.get(theirs).cloned()
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
