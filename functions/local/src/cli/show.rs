//! Where a command writes: answers on standard output, progress on standard error.

use std::io::{self, Write};

use serde_json::Value;

/// The two places.
pub(super) struct Show<'a> {
    answers: Box<dyn Write + Send + 'a>,
    progress: Box<dyn Write + Send + 'a>,
}

impl<'a> Show<'a> {
    /// The process's own.
    pub(super) fn to_process() -> Self {
        Self::to(io::stdout(), io::stderr())
    }

    /// Any two.
    pub(super) fn to(answers: impl Write + Send + 'a, progress: impl Write + Send + 'a) -> Self {
        Self {
            answers: Box::new(answers),
            progress: Box::new(progress),
        }
    }

    /// A line of the answer.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.answers, "{text}")
    }

    /// The answer for machines.
    pub(super) fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.answers, "{value:#}")
    }

    /// A line for whoever waits; a closed standard error is no reason to stop.
    pub(super) fn progress(&mut self, text: &str) {
        let _closed = writeln!(self.progress, "{text}");
    }
}
