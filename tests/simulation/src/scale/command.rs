//! The command line's side: carries it out on the runtime it needs, and says what came of it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use super::ScaleError;
use super::crowd::crowd;
use super::deliveries::{Size, deliveries};

/// Deliveries at scale, in place of worlds.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Delivers very many messages while notifiers are killed; none may be lost or doubled.
    Deliveries {
        /// How many messages.
        #[arg(long, default_value_t = 100_000)]
        messages: usize,
        /// Of a hundred deliveries, how many are ended by the death of their notifier.
        #[arg(long, default_value_t = 5.0)]
        crashes: f64,
        /// The same seed gives the same run.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Twenty producers and twenty consumers at one queue, on all processors.
    Crowd {
        /// How many messages.
        #[arg(long, default_value_t = 20_000)]
        messages: usize,
    },
}

impl Command {
    /// Carries it out, and says what came of it. Fails if a message was lost or doubled.
    pub fn run(self) -> ExitCode {
        let begun = Instant::now();
        let (messages, done) = match self {
            Self::Deliveries {
                messages,
                crashes,
                seed,
            } => (
                messages,
                delivered(Size {
                    messages,
                    crashes,
                    seed,
                }),
            ),
            Self::Crowd { messages } => (messages, crowded(messages)),
        };
        let seconds = begun.elapsed().as_secs_f64();
        match done {
            Ok((said, good)) => {
                #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
                let rate = messages as f64 / seconds;
                tell(&format!(
                    "{said}\n{seconds:.1} s, {rate:.0} messages a second"
                ));
                if good {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            }
            Err(error) => {
                tell(&error.to_string());
                ExitCode::from(2)
            }
        }
    }
}

fn delivered(size: Size) -> Result<(String, bool), ScaleError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let report = runtime.map_err(no_runtime)?.block_on(deliveries(size))?;
    Ok((report.to_string(), report.is_good()))
}

fn crowded(messages: usize) -> Result<(String, bool), ScaleError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build();
    let counts = runtime.map_err(no_runtime)?.block_on(crowd(messages, 1))?;
    Ok((counts.to_string(), counts.is_exact(messages)))
}

fn no_runtime(error: io::Error) -> ScaleError {
    ScaleError::Stage(error.to_string())
}

/// To standard output; who has closed it does not want to know.
fn tell(text: &str) {
    let _closed = writeln!(io::stdout(), "{text}");
}
