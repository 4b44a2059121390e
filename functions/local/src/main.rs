//! `lotwire`: the stack in one process, and the command line.

use std::process::ExitCode;

use clap::Parser as _;
use lotwire::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    lotwire::cli::run(Cli::parse()).await
}
