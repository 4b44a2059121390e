//! Where a command writes: answers on standard output, progress on standard error. And whom it asks.

use std::io::{self, BufRead, IsTerminal as _, Write};

use serde_json::{Value, json};

use super::Failure;
use super::printed::completed;

/// The two places, and the person in front of them, if there is one.
pub(super) struct Show<'a> {
    answers: Box<dyn Write + Send + 'a>,
    progress: Box<dyn Write + Send + 'a>,
    person: Option<Box<dyn BufRead + Send + 'a>>,
    /// What the commands in what is said need to ask the same server.
    flags: String,
}

impl<'a> Show<'a> {
    /// The process's own.
    pub(super) fn to_process() -> Self {
        let mut show = Self::to(io::stdout(), io::stderr());
        if io::stdin().is_terminal() {
            show.person = Some(Box::new(io::BufReader::new(io::stdin())));
        }
        show
    }

    /// Any two, and nobody to ask.
    pub(super) fn to(answers: impl Write + Send + 'a, progress: impl Write + Send + 'a) -> Self {
        Self {
            answers: Box::new(answers),
            progress: Box::new(progress),
            person: None,
            flags: String::new(),
        }
    }

    /// Has the commands in what is said take these flags.
    pub(super) fn asking(&mut self, flags: String) {
        self.flags = flags;
    }

    /// With somebody to ask.
    #[cfg(test)]
    pub(super) fn before(mut self, person: impl BufRead + Send + 'a) -> Self {
        self.person = Some(Box::new(person));
        self
    }

    /// Asks, and waits for a line. `None` if there is nobody to ask.
    pub(super) fn ask(&mut self, question: &str) -> io::Result<Option<String>> {
        let Some(person) = &mut self.person else {
            return Ok(None);
        };
        write!(self.progress, "{question}")?;
        self.progress.flush()?;
        let mut answer = String::new();
        person.read_line(&mut answer)?;
        Ok(Some(answer))
    }

    /// Where answers go, for one that is written piece by piece.
    pub(super) fn answers(&mut self) -> &mut (dyn Write + Send + 'a) {
        &mut self.answers
    }

    /// A line of the answer.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.answers, "{}", completed(text, &self.flags))
    }

    /// The answer for machines.
    pub(super) fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.answers, "{value:#}")
    }

    /// A list to work off, a line for each entry: something was found if there are any.
    pub(super) fn list(
        &mut self,
        json: bool,
        items: &[Value],
        none: &str,
        line: impl Fn(&Value) -> String,
    ) -> Result<(), Failure> {
        match items {
            _ if json => self.json(&json!({ "items": items }))?,
            [] => self.line(none)?,
            items => {
                for item in items {
                    self.line(&line(item))?;
                }
            }
        }
        match items.is_empty() {
            true => Ok(()),
            false => Err(Failure::Found),
        }
    }

    /// A line for whoever waits; a closed standard error is no reason to stop.
    pub(super) fn progress(&mut self, text: &str) {
        let _closed = writeln!(self.progress, "{}", completed(text, &self.flags));
    }
}
