//! End-to-end and conformance suites: the real handlers over the embedded engine, real servers where
//! they can run here, and stand-ins only for the vendors.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alarm;
mod alerts;
mod architecture;
mod bench;
mod capacity;
mod capacity_model;
mod cloudformation;
mod deployed;
mod desk;
mod documents;
mod exchanged;
mod explained;
mod files;
mod flow;
mod given_up;
mod grouping;
mod heard;
mod in_trouble;
mod mappings;
mod missed;
mod observability;
mod observed;
mod ownership;
mod parameters;
mod places;
mod process;
mod program;
mod readme;
mod remembered;
mod renamed;
mod roles;
mod routed;
mod shopify;
mod slo;
mod start;
mod store;
mod surroundings;
mod template;
mod thresholds;
mod unsettled;
mod vehicles;
mod watching;
mod webhooks;
