//! `lotwire`: the stack in one process, and the command line.

use std::process::ExitCode;

use clap::Parser as _;
use lotwire::cli::Cli;

/// Requests are read and written as JSON all the time: of the system's allocator alone that was a fifth of
/// the runner's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    lotwire::cli::run(Cli::parse()).await
}
