//! Delivery at scale: very many messages through intents, topic, queue and the real notifier.
//!
//! | file | its job |
//! |---|---|
//! | [`deliveries`] | one queue drained while its notifiers are killed at random points |
//! | [`crowd`] | many producers and many consumers at one queue, on threads of their own |
//! | `command` | the command line's side of both |
//! | `stage` | the product, set up with channels; alerts with intents, announced |
//! | `vendor` | who is told, and keeps a record of it |
//! | `killer` | ends runs of the notifier, and knows at which point each was |
//!
//! Both end in counts that are compared with each other: what was asked for, what the table says of
//! it, and what the vendor has on its own record.

mod command;
pub mod crowd;
pub mod deliveries;
mod killer;
mod stage;
mod vendor;

use lotwire::engine::EngineError;
use shared::store::StoreError;

pub use command::Command;
pub use killer::Crashes;

/// Why it could not be carried out: never that a message was lost or doubled, which is a result.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else that the stage is made of.
    #[error("set the stage: {0}")]
    Stage(String),
}
