//! End-to-end and conformance suites: the real handlers over the embedded engine, real servers where
//! they can run here, and stand-ins only for the vendors.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod architecture;
mod bench;
mod capacity;
mod cloudformation;
mod deployed;
mod files;
mod flow;
mod grouping;
mod observability;
mod observed;
mod process;
mod roles;
mod slo;
mod store;
mod surroundings;
mod template;
mod watching;
