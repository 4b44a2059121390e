//! What tests of several crates share (feature `testing`).

mod captured;
#[cfg(feature = "testing")]
pub mod servers;

pub use captured::Captured;
