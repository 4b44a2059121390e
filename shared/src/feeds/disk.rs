//! Files on this machine, read and written where the call is made.
//!
//! One call takes less time than handing it to another thread and back would, and a runtime on a
//! virtual clock stays deterministic. A runtime of several threads is told that one of them blocks.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs work that waits for a disk.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
