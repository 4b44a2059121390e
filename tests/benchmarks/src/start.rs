//! One start of one binary, and the events it is given.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Error;
use crate::functions::Function;
use crate::runtime_api::{Did, RuntimeApi};
use crate::services::Services;

/// A function that has not answered by then does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured of one start.
pub(crate) struct Start {
    /// From the start to the first question for an event.
    pub(crate) ready: Duration,
    /// From the first event to its answer.
    pub(crate) first: Duration,
    /// The same for the others.
    pub(crate) warm: Vec<Duration>,
}

/// A process that ends with its measurement, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended on its own.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a binary, gives it these events, and ends it.
pub(crate) async fn start(
    binary: &Path,
    function: &Function,
    services: &Services,
    events: Vec<Value>,
) -> Result<Start, Error> {
    let mut api = RuntimeApi::listen().await?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .envs(services.environment())
        .envs(function.environment.iter().copied())
        .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", function.name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let child = Running(command.spawn()?);
    let ready = asked(function, &mut api).await?.duration_since(begun);
    let mut measured = Vec::new();
    for event in events {
        let handed = Instant::now();
        api.hand_out(event)?;
        match within(&mut api).await? {
            Did::Answer(at, body) => {
                function.check(&body)?;
                measured.push(at.duration_since(handed));
            }
            did => return Err(unexpected(function, did)),
        }
        asked(function, &mut api).await?;
    }
    drop(child);
    let mut measured = measured.into_iter();
    Ok(Start {
        ready,
        first: measured.next().ok_or("no event was given")?,
        warm: measured.collect(),
    })
}

/// When the function asks for an event, which is what it does next.
async fn asked(function: &Function, api: &mut RuntimeApi) -> Result<Instant, Error> {
    match within(api).await? {
        Did::Ask(at) => Ok(at),
        did => Err(unexpected(function, did)),
    }
}

fn unexpected(function: &Function, did: Did) -> Error {
    let what = match did {
        Did::Ask(_) => "asked for another event instead of answering".to_owned(),
        Did::Answer(..) => "answered twice".to_owned(),
        Did::Fail(problem) => format!("failed: {problem}"),
    };
    format!("{}: {what}", function.name).into()
}

async fn within(api: &mut RuntimeApi) -> Result<Did, Error> {
    tokio::time::timeout(PATIENCE, api.next()).await?
}
