//! What a function does while it initialises, so that its first event need not: credentials found,
//! the connection to the table opened, the configuration read and parsed.
//!
//! Initialising has a whole processor to itself, an invocation only the share that its memory pays for.

use std::time::Duration;

use crate::installation::{InstallationError, Installations};

/// No longer than this: Lambda allows ten seconds, and an event may be waiting.
const LIMIT: Duration = Duration::from_secs(3);

/// Reads the configuration in force, while `also` is done beside it. What fails here is tried again
/// by whoever needs it, so nothing here keeps a function from starting.
pub async fn warm_up(installations: &Installations, also: impl Future<Output = ()>) {
    let read = async { tokio::join!(installations.current(), also).0 };
    match tokio::time::timeout(LIMIT, read).await {
        Ok(Ok(_)) => {}
        Ok(Err(InstallationError::NotConfigured)) => {
            tracing::info!("no configuration was applied yet");
        }
        Ok(Err(error)) => {
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error, "the configuration could not be read yet");
        }
        Err(_) => tracing::warn!("the configuration could not be read in time yet"),
    }
}
