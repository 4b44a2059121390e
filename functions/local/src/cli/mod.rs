//! The command line: start the stack, or ask one that runs.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | all is well |
//! | 1 | something was found: errors in a document, drift, rejected rows |
//! | 2 | the command cannot be meant like that |
//! | 3 | the server cannot be reached, or does not let us in |

mod apply;
mod bench;
mod check;
mod client;
mod doctor;
mod evaluate;
mod explain;
mod export;
mod import;
mod inbox;
mod init;
pub(crate) mod printed;
mod quarantine;
mod replay;
mod resend;
mod show;
mod start;
mod status;
mod sync;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use self::client::{Client, ClientError};
use self::show::Show;

/// What a shell gives whoever a closed pipe ends.
const CLOSED: u8 = 128 + 13;

/// Where the local stack listens unless told otherwise.
pub const LISTEN: &str = "127.0.0.1:9400";
/// Where commands ask unless told otherwise.
const URL: &str = "http://127.0.0.1:9400";
/// Where a local stack keeps everything unless told otherwise.
const DATA: &str = ".lotwire";

/// Keeps one true picture of stock, and tells people when it runs low. Without a command it starts
/// the whole stack in this process.
#[derive(Debug, Parser)]
#[command(name = "lotwire", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of starting the stack.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to start it.
    #[command(flatten)]
    pub start: Start,
}

/// How the stack is started.
#[derive(Debug, Args)]
pub struct Start {
    /// Where to listen; beyond this machine, the pages ask for the token.
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN)]
    pub listen: String,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = DATA)]
    pub data: PathBuf,
    /// The configuration; by default the one that the data directory has, and for a new one
    /// lotwire.toml here, or else the sample.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Start without the sample stock.
    #[arg(long)]
    pub empty: bool,
    /// How many days webhooks are kept, to be applied again with `lotwire replay`.
    #[arg(long, value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub keep_webhooks: u16,
}

/// What to ask of a stack that runs here or is deployed.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the smallest useful configuration, by a few questions.
    Init(init::Init),
    /// Check a configuration, without a server.
    Check {
        /// The configuration.
        #[arg(default_value = "lotwire.toml")]
        file: PathBuf,
        /// And compare it with the one that applies on the server.
        #[arg(long)]
        diff: bool,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Apply a configuration, after showing what it changes and asking.
    Apply {
        /// The configuration.
        file: PathBuf,
        /// Apply it without asking.
        #[arg(long, conflicts_with = "dry_run")]
        yes: bool,
        /// Only show what it changes.
        #[arg(long)]
        dry_run: bool,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Apply again what a connector received. What was applied has no second effect.
    Replay {
        /// Which connector.
        #[arg(long, value_name = "NAME")]
        connector: String,
        /// Received from then on (2026-01-15T09:30:00Z); from the beginning of a day in the account's zone
        /// (2026-01-15).
        #[arg(long, value_name = "TIME", conflicts_with = "id", value_parser = replay::time_or_day)]
        from: Option<String>,
        /// Received before then, or before that day.
        #[arg(long, value_name = "TIME", conflicts_with = "id", value_parser = replay::time_or_day)]
        to: Option<String>,
        /// Only this payload.
        #[arg(long)]
        id: Option<String>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Send again on a channel, once it is mended, what did not arrive and is still true.
    Resend {
        /// Which channel.
        channel: String,
        /// Only this alert.
        #[arg(long, value_name = "ID")]
        alert: Option<String>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Set thresholds and stock from a CSV file, after showing what it changes.
    Import {
        /// The file: columns product, location (or group, category, make, model), threshold, on_hand…
        file: PathBuf,
        /// Apply it; without this, only show.
        #[arg(long)]
        yes: bool,
        /// Apply what this very file set before and has changed since.
        #[arg(long)]
        again: bool,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Write the thresholds that were imported as a CSV file that `import` takes.
    Export {
        /// The file; by default they are shown.
        file: Option<PathBuf>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// List what could not be applied and waits in quarantine, or dismiss something of it.
    Quarantine {
        /// What to do, other than to list.
        #[command(subcommand)]
        action: Option<quarantine::Action>,
        /// Which entries: open, closed or dismissed.
        #[arg(long, default_value = "open", value_parser = ["open", "closed", "dismissed"])]
        state: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// List what waits for approval, such as removals that are too many to believe; or approve or
    /// reject something of it.
    Inbox {
        /// What to do, other than to list.
        #[command(subcommand)]
        action: Option<inbox::Action>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Show what is live, what waits and what failed.
    Status {
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Say why there is an alert for a product at a place, or none, and who was told.
    Explain {
        /// The product's SKU, or `line:make/model`.
        product: String,
        /// The place's id, as the configuration has it.
        location: String,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Read a source now instead of at the next quarter of an hour.
    Sync {
        /// Which connector.
        connector: String,
        /// The next file may lack columns that those before had.
        #[arg(long)]
        accept_columns: bool,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Compare what is stored with what the ledger says.
    Doctor {
        /// Go on from there: what an examination that was ended early said last.
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Have every position, vehicle and source evaluated again, for when the evaluator lost something.
    Evaluate {
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Measure this machine, on a stack of its own: webhooks in, alerts out.
    Bench(bench::Bench),
}

/// Which server, and how to talk of what it says.
#[derive(Debug, Args)]
pub struct Server {
    /// Its address.
    #[arg(long, global = true, default_value = URL)]
    url: url::Url,
    /// The data directory of a local one, for its token; `LOTWIRE_TOKEN` comes first.
    #[arg(long, global = true, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    /// The token; never written on the command line, where others could read it.
    #[arg(skip)]
    token: Option<SecretString>,
}

/// How a command ended, other than well.
#[derive(Debug)]
enum Failure {
    /// Something was found; it has been shown.
    Found,
    /// Nobody reads on, as behind `| head`.
    Closed,
    /// The command cannot be meant like that.
    Usage(String),
    /// The server could not be asked.
    Server(ClientError),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Server(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Usage(error.to_string()),
        }
    }
}

/// The answer of `GET /api/v1/status`, in words.
pub fn status_in_words(status: &serde_json::Value) -> String {
    status::in_words(status)
}

/// Starts the stack, or carries out a command.
pub async fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Some(command) => dispatch(command).await,
        None => Box::pin(start::run(cli.start)).await,
    }
}

/// Carries out a command.
pub async fn dispatch(command: Command) -> ExitCode {
    let mut show = Show::to_process();
    end(carry_out(command, &mut show).await, &mut show)
}

async fn carry_out(command: Command, show: &mut Show<'_>) -> Result<(), Failure> {
    if let Some(server) = command.server() {
        show.asking(printed::flags(server.url.as_str(), &server.data));
    }
    match command {
        Command::Init(init) => init::run(&init, show),
        Command::Check { file, diff, server } => check::run(&file, diff, &server, show).await,
        Command::Apply {
            file,
            yes,
            dry_run,
            server,
        } => {
            let consent = match (dry_run, yes) {
                (true, _) => apply::Consent::DryRun,
                (_, true) => apply::Consent::Given,
                _ => apply::Consent::Ask,
            };
            apply::run(&file, consent, &server, show).await
        }
        Command::Resend {
            channel,
            alert,
            server,
        } => resend::run(&channel, alert.as_deref(), &server, show).await,
        Command::Replay {
            connector,
            from,
            to,
            id,
            server,
        } => {
            let selection = replay::Selection {
                connector,
                from,
                to,
                id,
            };
            replay::run(&selection, &server, show).await
        }
        Command::Import {
            file,
            yes,
            again,
            server,
        } => import::run(&file, yes, again, &server, show).await,
        Command::Export { file, server } => export::run(file.as_deref(), &server, show).await,
        Command::Status { server } => status::run(&server, show).await,
        Command::Quarantine {
            action,
            state,
            server,
        } => quarantine::run(action.as_ref(), &state, &server, show).await,
        Command::Inbox { action, server } => inbox::run(action.as_ref(), &server, show).await,
        Command::Explain {
            product,
            location,
            server,
        } => explain::run(&product, &location, &server, show).await,
        Command::Sync {
            connector,
            accept_columns,
            server,
        } => sync::run(&connector, accept_columns, &server, show).await,
        Command::Doctor { from, server } => doctor::run(from, &server, show).await,
        Command::Evaluate { server } => evaluate::run(&server, show).await,
        Command::Bench(bench) => Box::pin(bench::run(&bench, show)).await,
    }
}

fn end(outcome: Result<(), Failure>, show: &mut Show<'_>) -> ExitCode {
    let (code, words) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Found) => return ExitCode::from(1),
        Err(Failure::Closed) => return ExitCode::from(CLOSED),
        Err(Failure::Usage(problem)) => (2, problem),
        Err(Failure::Server(error)) => (error.exit_code(), error.to_string()),
    };
    show.progress(&format!("lotwire: {words}"));
    ExitCode::from(code)
}

impl Command {
    /// The server that it asks, if it asks one.
    const fn server(&self) -> Option<&Server> {
        match self {
            Self::Check { server, .. }
            | Self::Apply { server, .. }
            | Self::Replay { server, .. }
            | Self::Resend { server, .. }
            | Self::Import { server, .. }
            | Self::Quarantine { server, .. }
            | Self::Inbox { server, .. }
            | Self::Explain { server, .. }
            | Self::Sync { server, .. }
            | Self::Export { server, .. }
            | Self::Doctor { server, .. }
            | Self::Status { server }
            | Self::Evaluate { server } => Some(server),
            Self::Bench(_) | Self::Init(_) => None,
        }
    }
}

impl Server {
    fn client(&self) -> Result<Client, ClientError> {
        Client::new(self.url.clone(), self.token()?)
    }

    fn token(&self) -> Result<SecretString, ClientError> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        if let Some(token) = shared::config::environment::process("LOTWIRE_TOKEN") {
            return Ok(token.into());
        }
        let path = self.data.join("token");
        match std::fs::read_to_string(&path) {
            Ok(token) => Ok(token.trim().to_owned().into()),
            Err(source) => Err(ClientError::NoToken { path, source }),
        }
    }
}

#[cfg(test)]
mod tests;
