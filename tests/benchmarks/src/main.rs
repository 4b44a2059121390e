//! How fast the released functions start, and how large they are, beside a hello-world built the same
//! way.
//!
//! Each function is started as Lambda starts it: the binary alone, an environment, and a runtime API
//! to ask for events. What it needs of AWS it finds on loopback, in the local engine. Measured from
//! outside: from the start to the first question for an event, and from each event to its answer.
//!
//! | file | its job |
//! |---|---|
//! | [`runtime_api`] | Lambda's side: hands out events, takes answers |
//! | [`services`] | AWS on loopback, with stock, alerts and a configuration in it |
//! | [`functions`] | each function's environment, its events, and what a good answer is |
//! | [`start`] | one start of one binary |
//! | [`size`] | a binary's size, and what it is zipped |

mod functions;
mod runtime_api;
mod services;
mod size;
mod start;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::functions::Function;
use crate::services::Services;
use crate::start::Start;

/// Anything that keeps us from measuring.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Measures cold starts of the released functions, and prints a table.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the binaries are.
    #[arg(long, value_name = "DIR", default_value = "target/release")]
    binaries: PathBuf,
    /// How often each is started.
    #[arg(long, default_value_t = 30)]
    starts: usize,
    /// How many events each gets after its first.
    #[arg(long, default_value_t = 20)]
    warm: usize,
    /// Only these functions.
    functions: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Box::pin(measure(&arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading it; the exit code says it too.
            let _unread = writeln!(std::io::stderr(), "cold-start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Error> {
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| function | size MB | zipped MB | start → ready ms | first event ms | warm event ms | first ÷ warm |\n\
         |---|---|---|---|---|---|---|"
    )?;
    let wanted = |function: &&Function| {
        arguments.functions.is_empty() || arguments.functions.iter().any(|n| n == function.name)
    };
    for function in functions::ALL.iter().filter(wanted) {
        let binary = arguments.binaries.join(function.name);
        let size = size::of(&binary)?;
        let events = arguments.starts * (arguments.warm + 1);
        let services = Box::pin(Services::with(events)).await?;
        let mut starts = Vec::new();
        for number in 0..arguments.starts {
            let first = number * (arguments.warm + 1);
            let events = (first..=first + arguments.warm)
                .map(|number| function.event(&services, number))
                .collect();
            starts.push(start::start(&binary, function, &services, events).await?);
        }
        let ready = median(starts.iter().map(|start| start.ready));
        let first = median(starts.iter().map(|start| start.first));
        let warm = median(starts.iter().flat_map(|start: &Start| start.warm.clone()));
        writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.1} | {:.2} | {:.2} | {:.1} |",
            function.name,
            size.megabytes(size.stripped),
            size.megabytes(size.zipped),
            milliseconds(ready),
            milliseconds(first),
            milliseconds(warm),
            first.as_secs_f64() / warm.as_secs_f64(),
        )?;
    }
    Ok(())
}

fn median(each: impl Iterator<Item = Duration>) -> Duration {
    let mut each: Vec<_> = each.collect();
    each.sort_unstable();
    each.get(each.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
