//! Everything that happens in a world, in order: a hash of it, and the lines if somebody wants them.

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
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace that begins now; `kept` keeps its lines.
    pub fn new(kept: bool) -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::new(State {
                hasher: Sha256::new(),
                notes: 0,
                lines: kept.then(Vec::new),
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
        if let Some(lines) = &mut state.lines {
            lines.push(line);
        }
        state.notes
    }

    /// The hash of everything so far, in hex.
    pub fn hash(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = state.hasher.clone().finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The lines, if they are kept.
    pub fn lines(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.clone().unwrap_or_default()
    }
}
