//! `lotwire bench`: how fast this machine is from a webhook to the alert that leaves, and how fast a
//! file is read.
//!
//! | file | its job |
//! |---|---|
//! | [`world`] | a stack of its own, in a directory that goes when it is done |
//! | [`preload`] | a table that is full before the first webhook comes |
//! | [`webhooks`] | signed webhooks at a given rate, over HTTP |
//! | [`sink`] | the vendor that the alerts go to, on loopback |
//! | [`feed`] | a file, read as a scheduled run reads it |
//! | [`first_load`] | a file of which nothing is known yet, applied |
//! | [`figures`] | what was measured, for people and for programs |

mod feed;
mod figures;
mod first_load;
mod preload;
mod sink;
mod webhooks;
mod world;

use clap::{Args, Subcommand};

use super::Failure;
use super::show::Show;

/// What is measured.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    /// What, if not webhooks.
    #[command(subcommand)]
    what: Option<What>,
    /// How many webhooks.
    #[command(flatten)]
    webhooks: webhooks::Load,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read a file as a scheduled run does, twice, against stock that is known; apply nothing.
    Feed(feed::Rows),
    /// Apply a file of which nothing is known yet, as a scheduled run does.
    FirstLoad(first_load::Rows),
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub(super) struct BenchError {
    doing: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// An error that says what was being done.
fn during<E>(doing: &'static str) -> impl FnOnce(E) -> BenchError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| BenchError {
        doing,
        source: source.into(),
    }
}

pub(super) async fn run(bench: &Bench, show: &mut Show<'_>) -> Result<(), Failure> {
    let (figures, json) = match &bench.what {
        None => (
            webhooks::run(&bench.webhooks, show).await?,
            bench.webhooks.json,
        ),
        Some(What::Feed(rows)) => (feed::run(rows).await?, rows.json),
        Some(What::FirstLoad(rows)) => (first_load::run(rows).await?, rows.json),
    };
    if json {
        show.json(&figures.json())?;
    } else {
        for line in figures.lines() {
            show.line(&line)?;
        }
    }
    if figures.all_is_well() {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        Self::Usage(error.to_string())
    }
}
