//! What every channel shares on the way to the vendor: classify, back off, break the circuit.
//!
//! | file | job |
//! |---|---|
//! | [`outcome`] | what came of an attempt, and so what happens next |
//! | [`backoff`] | when the next attempt is due |
//! | [`breaker`] | whether a destination may be tried at all |
//! | [`mod@exchange`] | one attempt: a channel's requests over a transport, and what came of them |

pub mod backoff;
pub mod breaker;
pub mod exchange;
pub mod outcome;

pub use breaker::{Breaker, Pass, Turn};
pub use exchange::{Exchange, Unsent, exchange};
pub use outcome::Outcome;
