//! The notifier over the real table, with vendors that fail in every way they know.

mod breaker;
mod credentials;
mod deliver;
mod handler;
mod world;
