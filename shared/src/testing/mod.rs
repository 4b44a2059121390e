//! What tests of several crates share (feature `testing`).

pub mod servers;
