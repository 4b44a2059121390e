//! Everything that happens in a world, in order: a hash of it, and the lines to whoever wants them.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// A world's trace.
pub struct Trace {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    hasher: Sha256,
    notes: u64,
    out: Option<Box<dyn Write + Send>>,
}

impl Trace {
    /// An empty trace that begins now, written to `out` as it goes.
    pub fn new(out: Option<Box<dyn Write + Send>>) -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::new(State {
                hasher: Sha256::new(),
                notes: 0,
                out,
            }),
        }
    }

    /// Notes something, and gives its place.
    pub fn note(&self, what: impl FnOnce() -> String) -> u64 {
        let line = format!("{:>12.3} {}", self.began.elapsed().as_secs_f64(), what());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.hasher.update(&line);
        state.hasher.update([b'\n']);
        state.notes += 1;
        if let Some(out) = &mut state.out
            && writeln!(out, "{line}").is_err()
        {
            // Nobody reads it any more.
            state.out = None;
        }
        state.notes
    }

    /// The hash of everything so far, in hex.
    pub fn hash(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = state.hasher.clone().finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
