//! Seeded worlds around the real handlers: senders, people, vendors and a feed server, on a virtual
//! clock, while calls fail, processes die and messages are lost. When the faults have ended and the
//! world has settled, what the product holds is compared with what everybody else has on record.
//!
//! | file | its job |
//! |---|---|
//! | [`plan`] | what happens in a world, made from its seed |
//! | [`faults`] | what goes wrong, and the engine's hook that makes it so |
//! | [`fakes`] | senders, people and vendors, each with a record of its own |
//! | [`world`] | the product among them |
//! | [`run`](mod@run) | one world from its beginning to its verdict |
//! | [`history`] | every change of the table, read from its stream |
//! | [`model`] | what the stock must be, computed apart from the product |
//! | [`check`] | the guarantees |
//! | `twin` | the same plan without faults, for comparison |
//! | [`scale`] | very many deliveries, counted |
//! | [`shrink`](mod@shrink) | the least of a plan that still breaks a guarantee |
//!
//! The same seed gives the same world.

pub mod check;
pub mod dice;
pub mod fakes;
pub mod faults;
pub mod history;
pub mod model;
pub mod places;
pub mod plan;
pub mod run;
pub mod said;
pub mod scale;
pub mod shrink;
pub mod trace;
mod twin;
pub mod world;
