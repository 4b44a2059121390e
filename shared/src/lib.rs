//! What Lotwire's functions share.
//!
//! | room | what lives there |
//! |---|---|
//! | [`domain`] | stock, units, rules, alerts: pure, no I/O, no clock |
//! | [`store`] | the one DynamoDB table: keys, items, conditional writes |
//! | [`connectors`] | one file per external system that sends or lists stock |
//! | [`feeds`] | file formats and transports that connectors share |
//! | [`channels`] | one file per way of telling people |
//! | [`delivery`] | what every channel shares: lease, send, classify, back off |
//! | [`config`] | `lotwire.toml` and the environment, read into types |

pub mod aws;
pub mod bus;
pub mod chance;
pub mod channels;
pub mod clock;
pub mod config;
pub mod connectors;
pub mod delivery;
pub mod digest;
pub mod domain;
pub mod feeds;
pub mod http;
pub mod installation;
pub mod metrics;
pub mod problem;
pub mod render;
pub mod run_queue;
pub mod secrets;
pub mod signature;
pub mod store;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod warm_up;
