//! Stock, units, rules and alerts: pure functions of their arguments.
//!
//! Nothing here awaits, reads a clock or touches the network; time is always an argument. What a
//! change means is decided here, and only here; the store merely makes it durable.

pub mod alert;
pub mod authority;
pub mod catalogue;
pub mod distance;
pub mod event;
pub mod group;
mod history;
pub mod id;
pub mod item;
pub mod ledger;
pub mod message;
pub mod money;
mod numeral;
pub mod order;
pub mod origin;
pub mod position;
pub mod product;
pub mod renamed;
pub mod route;
pub mod rule;
pub mod spelling;
pub mod statement;
pub mod unit;
pub mod vin;
pub mod watch;

pub use alert::{AlertKind, Severity, Subject};
pub use authority::Authority;
pub use event::{Change, EventId, Level, StockEvent, Version};
pub use id::{ChannelName, ConnectorName, GroupName, IdError, LocationId, RuleId, Sku};
pub use origin::{Correlation, Origin, Replayed};
pub use position::Position;
pub use product::ProductId;
pub use unit::Unit;
pub use vin::Vin;
