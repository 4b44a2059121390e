//! What every channel shares on the way to the vendor: classify, back off, break the circuit.
//!
//! | file | job |
//! |---|---|
//! | [`outcome`] | what came of an attempt, and so what happens next |
//! | [`backoff`] | when the next attempt is due |
//! | [`breaker`] | whether a destination may be tried at all |

pub mod backoff;
pub mod breaker;
pub mod outcome;

pub use breaker::{Breaker, Pass, Turn};
pub use outcome::Outcome;
