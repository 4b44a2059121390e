//! The one-process runner: the same handlers as on AWS, around an embedded AWS.

pub mod cli;
pub mod engine;
pub mod gateway;
pub mod outbox;
pub mod pages;
pub mod stack;
