//! End-to-end and conformance suites: the real handlers over the embedded engine, real servers where
//! they can run here, and stand-ins only for the vendors.

mod bench;
mod capacity;
mod flow;
mod store;
mod template;
