//! `lotwire.toml` and the environment, read into types.

pub mod account;
pub mod connector;
mod document;
mod error;
mod foreign;
mod network;
mod setting;
mod value;
mod words;

pub use error::{ConfigError, ConfigErrors};
