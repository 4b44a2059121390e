//! What a stream record says: which thing changed, from what to what.

use aws_lambda_events::event::dynamodb::EventRecord;
use serde::de::DeserializeOwned;
use serde_dynamo::{AttributeValue, Item};
use shared::domain::id::ConnectorName;
use shared::domain::rule::Rule;
use shared::domain::{Position, ProductId, Unit};
use shared::store::feeds::FeedState;
use shared::store::jobs::Reexamination;
use shared::store::products::Product;
use shared::store::quarantine::HeldKind;
use shared::store::row::{FORMAT_ATTRIBUTE, is_newer};
use shared::store::settings::Head;

/// What changed.
#[derive(Debug, Clone)]
pub enum Changed {
    /// The quantities at one location.
    Position {
        /// Before; `None` on first sight.
        before: Option<Box<Position>>,
        /// Now.
        after: Box<Position>,
    },
    /// A vehicle.
    Unit(Box<Unit>),
    /// A source's health.
    Feed(ConnectorName, Box<Health>),
    /// How often a sender of webhooks is refused.
    Sender(ConnectorName),
    /// A rule that stands beside a product: as it was and as it is, as far as there is one.
    Rules(ProductId, Vec<Rule>),
    /// What is said of a product, whose category may be another: by that other rules apply.
    Product(ProductId, Box<[Product; 2]>),
    /// Whether anything of one kind that a source sent waits in quarantine.
    Held(Box<HeldKind>),
    /// The configuration, to this version.
    Configuration(u64),
    /// A page of a job is due.
    Job(String),
    /// Nothing that anybody evaluates: our own alerts and records among it.
    Nothing,
}

/// A source's health before and after a change.
#[derive(Debug, Clone)]
pub struct Health {
    /// Before; `None` on first sight.
    pub before: Option<FeedState>,
    /// Now.
    pub after: FeedState,
}

impl Changed {
    /// Whether the configuration or a source's health could make another look come out otherwise.
    /// What starts or proceeds with a job reads them for itself.
    pub(crate) fn depends_on_surroundings(&self) -> bool {
        matches!(
            self,
            Self::Position { .. }
                | Self::Unit(_)
                | Self::Feed(..)
                | Self::Sender(_)
                | Self::Rules(..)
                | Self::Product(..)
        )
    }
}

/// A record that this version cannot read. Retrying does not help, unless a newer version has written it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the stream record of {key} cannot be read: {problem}")]
pub struct UnreadableRecord {
    /// The changed item's key.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
    /// Whether only a newer version knows how to read it, which is there the next time.
    pub is_newer: bool,
}

/// Reads a stream record.
pub fn changed(record: EventRecord) -> Result<Changed, UnreadableRecord> {
    let change = record.change;
    let text = |item: &Item, name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) => Some(text.clone()),
        _ => None,
    };
    let key = |name| text(&change.keys, name).unwrap_or_default();
    let (pk, sk) = (key("pk"), key("sk"));
    let removed = || text(&change.old_image, "t").filter(|kind| kind == "rule");
    let Some(kind) = text(&change.new_image, "t").or_else(removed) else {
        return Ok(Changed::Nothing); // removed: by its lifetime, or a job that is done
    };
    let content = Content {
        key: format!("{pk}|{sk}"),
    };
    let format = |item: &Item| match item.get(FORMAT_ATTRIBUTE) {
        Some(AttributeValue::N(format)) => is_newer(&kind, Some(format)),
        _ => false,
    };
    if format(&change.new_image) || format(&change.old_image) {
        return Err(UnreadableRecord {
            is_newer: true,
            ..content.wrong(&"a newer version of Lotwire has written it")
        });
    }
    Ok(match kind.as_str() {
        "position" => Changed::Position {
            before: if change.old_image.is_empty() {
                None
            } else {
                Some(Box::new(content.read(change.old_image)?))
            },
            after: Box::new(content.read(change.new_image)?),
        },
        "unit" => Changed::Unit(Box::new(content.read(change.new_image)?)),
        "feed" => {
            let name = pk.strip_prefix("C#").unwrap_or_default();
            let name = name.parse().map_err(|error| content.wrong(&error))?;
            let before = Some(change.old_image).filter(|image| !image.is_empty());
            let before = before.map(|image| content.read::<FeedState>(image));
            let before = before.transpose()?;
            let after: FeedState = content.read(change.new_image)?;
            let only_tried = |before| after.only_tried_since(before);
            if before.as_ref().is_some_and(only_tried) {
                return Ok(Changed::Nothing);
            }
            Changed::Feed(name, Box::new(Health { before, after }))
        }
        "refused" => {
            let name = pk.strip_prefix("R#").unwrap_or_default();
            Changed::Sender(name.parse().map_err(|error| content.wrong(&error))?)
        }
        "product" => {
            let read = |image: Item| match image.is_empty() {
                true => Ok(Product::default()),
                false => content.read::<Product>(image),
            };
            let both = Box::new([read(change.old_image)?, read(change.new_image)?]);
            if both[0].has_categories_of(&both[1]) {
                return Ok(Changed::Nothing);
            }
            let product = pk.strip_prefix("P#").unwrap_or_default();
            let product = product.parse().map_err(|error| content.wrong(&error))?;
            Changed::Product(product, both)
        }
        "rule" => match pk.strip_prefix("P#") {
            Some(product) => {
                let product = product.parse().map_err(|error| content.wrong(&error))?;
                let images = [change.old_image, change.new_image].into_iter();
                let rules = images.filter(|image| !image.is_empty());
                let rules: Result<Vec<Rule>, _> = rules.map(|image| content.read(image)).collect();
                let mut rules = rules?;
                rules.dedup_by_key(|rule| rule.slot());
                Changed::Rules(product, rules)
            }
            // For more than one product: they go with a version of the configuration.
            None => Changed::Nothing,
        },
        "held_kind" => Changed::Held(Box::new(content.read(change.new_image)?)),
        "config" => Changed::Configuration(content.read::<Head>(change.new_image)?.version),
        "job" => Changed::Job(content.read::<Reexamination>(change.new_image)?.id),
        _ => Changed::Nothing,
    })
}

struct Content {
    key: String,
}

impl Content {
    fn read<T: DeserializeOwned>(&self, item: Item) -> Result<T, UnreadableRecord> {
        let mut item = item.into_inner();
        let data = item
            .remove("d")
            .ok_or_else(|| self.wrong(&"it has no content"))?;
        serde_dynamo::from_attribute_value(data).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, problem: &dyn std::fmt::Display) -> UnreadableRecord {
        UnreadableRecord {
            key: self.key.clone(),
            problem: problem.to_string(),
            is_newer: false,
        }
    }
}
