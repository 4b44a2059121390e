//! What every channel shares on the way to the vendor: classify, back off, break the circuit.
//!
//! | file | job |
//! |---|---|
//! | [`outcome`] | what came of an attempt, and so what happens next |
//! | [`backoff`] | when the next attempt is due |
//! | [`breaker`] | whether a destination may be tried at all |
//! | [`mod@exchange`] | one attempt: a channel's requests over a transport, and what came of them |
//! | [`outgoing`] | who carries the requests: the wire, or an outbox where credentials are missing |
//! | [`pace`] | no more messages a second than a destination wants |
//! | [`verdict`] | what an attempt makes of its intent |
//! | `errand` | what an attempt needs, or why none can be made |
//! | `order` | in which order revisions leave, and which of them do |
//! | `beside` | of two messages on one item that leave together, the graver; and nothing twice |
//! | `overtaken` | what of a message is no longer so by the time that it leaves |
//! | `doubts` | the same of what is said of a source |
//! | `trouble` | a channel that reaches nobody is told on the others |
//! | [`links`] | the link in a message |
//! | `wording` | the templates in force |
//! | `group`, `gather` | alerts that are told together: when, and what of them |
//! | [`deliver`] | all of it for one intent: lease, render, send, record |

pub mod backoff;
mod beside;
pub mod breaker;
pub mod deliver;
mod doubts;
mod errand;
pub mod exchange;
mod gather;
mod group;
pub mod links;
mod order;
pub mod outcome;
pub mod outgoing;
mod overtaken;
pub mod pace;
mod trouble;
pub mod verdict;
mod wording;

pub use breaker::{Breaker, Pass, Turn};
pub use deliver::{DeliverError, Delivered, Deliverer};
pub use exchange::{Exchange, Unsent, exchange};
pub use outcome::Outcome;
pub use outgoing::{Outgoing, Party, Sender, Wire};
pub use trouble::{end_with_channel, tell_if_unreached};
pub use wording::templates;
