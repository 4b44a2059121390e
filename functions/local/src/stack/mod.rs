//! The stack in one process: the resources, the functions, and what connects them, as
//! `template.yaml` connects them on AWS.
//!
//! | file | job |
//! |---|---|
//! | [`resources`] | table, queues, topic |
//! | [`functions`] | the handlers, built once, and the event-source mappings to them |
//! | [`liveness`] | whether each channel can send, and each connector be heard |
//! | `configuration` | which configuration a run has |
//! | `greeting` | what a person reads when the stack has started |
//! | [`keys`] | the API token and the development secrets, kept in the data directory |
//! | [`sample`] | the stock that a first start shows |
//! | [`serve`] | one run of it all, from the first line printed to the clean end |

mod configuration;
pub mod functions;
mod greeting;
pub mod keys;
pub mod liveness;
pub mod resources;
pub mod sample;
pub mod serve;

pub use functions::{Parts, Stack};
