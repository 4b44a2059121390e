//! What the suites over the compiled functions stand on. `tests/aws/run.sh` builds, deploys and runs
//! them; `docs/testing-on-aws.md` says how.
//!
//! | file | is |
//! |---|---|
//! | [`process`] | a function's release binary, and the Lambda runtime API it asks for work |
//! | [`mod@bench`] | a table, a topic and a queue of a test's own, and functions over them |
//! | [`requests`] | what the `api` function is asked |
//! | [`samples`] | what the samples in `events/` are invoked against |
//! | [`stack`] | the deployed stack: its addresses, and what people and vendors send to it |
//! | [`vendor`] | a vendor's stand-in, which records what it is sent |
//! | [`alerts`] | alerts that a test opens itself |
//! | [`stream`] | rows of the table as its stream brings them |
//! | [`throttle`] | the engine with a table that can have enough |
//! | [`extension`] | AWS's Parameters and Secrets extension, as far as the functions ask it |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod alerts;
pub mod bench;
pub mod extension;
pub mod process;
pub mod requests;
pub mod samples;
pub mod stack;
pub mod stream;
pub mod throttle;
pub mod vendor;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_types::SdkConfig;
use shared::config::environment;
use tokio::time::Instant;

/// How long anything may take that happens by itself. Long, because it is never waited for in vain:
/// who waits looks again and again.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often.
const INTERVAL: Duration = Duration::from_millis(100);

/// What `run.sh` tells: where something is.
pub fn told(variable: &str) -> String {
    environment::process(variable).unwrap_or_else(|| {
        panic!("{variable} is not set: these suites are run by tests/aws/run.sh")
    })
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// How the official SDKs reach the engine: as the functions do.
pub fn aws() -> SdkConfig {
    told("AWS_ENDPOINT_URL");
    shared::aws::config(environment::process).unwrap()
}

/// Looks until there is an answer.
///
/// # Panics
/// If there is none within two minutes.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
