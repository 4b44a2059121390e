//! A function's release binary as Lambda runs it: a process that asks a runtime API for work.
//!
//! One process works on one invocation at a time, as on AWS. Its environment holds what Lambda and
//! the template give it, and nothing of this machine's.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, RecvTimeoutError, Sender, channel},
};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::clock::Clock;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as Turn, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::told;

const VERSION: &str = "2018-06-01";
/// How long a process may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether a process still runs.
const INTERVAL: Duration = Duration::from_millis(10);

/// What an invocation ended with.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// What the function returned.
    Returned(Value),
    /// The error it reported.
    Failed(Value),
    /// Nothing: its process ended, by itself or by our hand.
    Died,
}

impl Answer {
    /// What the function returned.
    ///
    /// # Panics
    /// If it did not.
    pub fn returned(self) -> Value {
        match self {
            Self::Returned(value) => value,
            other => panic!("the function did not return: {other:?}"),
        }
    }

    /// The records that a batch's answer hands back.
    pub fn handed_back(self) -> Vec<String> {
        let answer = self.returned();
        let failures = answer["batchItemFailures"].as_array();
        let failures = failures.unwrap_or_else(|| panic!("no batch's answer: {answer}"));
        failures
            .iter()
            .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// An event on its way to a process.
struct Invocation {
    id: String,
    event: Value,
    deadline: SignedDuration,
    answer: oneshot::Sender<Answer>,
}

/// The runtime API of one process.
struct Runtime {
    waiting: Turn<mpsc::Receiver<Invocation>>,
    running: Mutex<Option<(String, oneshot::Sender<Answer>)>>,
}

impl Runtime {
    fn settle(&self, id: &str, answer: Answer) -> StatusCode {
        let running = self.running.lock().unwrap().take();
        match running {
            Some((running, sender)) if running == id => {
                // Who asked may have given up.
                sender.send(answer).ok();
                StatusCode::ACCEPTED
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A running function. Killed, not asked, when dropped.
pub struct Process {
    name: String,
    /// Dropped to end it.
    life: Mutex<Option<Sender<()>>>,
    ended: watch::Receiver<Option<ExitStatus>>,
    events: mpsc::Sender<Invocation>,
    place: TempDir,
}

impl Process {
    /// Starts a function's binary with these variables beside Lambda's own.
    pub async fn start(name: &str, environment: &[(&str, &str)]) -> Self {
        Self::version(name, "$LATEST", environment).await
    }

    /// As [`Process::start`], as this version of the function.
    pub async fn version(name: &str, version: &str, environment: &[(&str, &str)]) -> Self {
        let (events, waiting) = mpsc::channel(1);
        let runtime = Arc::new(Runtime {
            waiting: Turn::new(waiting),
            running: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(runtime);
        tokio::spawn(async move { axum::serve(listener, router).await });

        let place = tempfile::tempdir().unwrap();
        let log = File::create(place.path().join("log")).unwrap();
        let child = Command::new(binary(name))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", version)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env(
                "AWS_LAMBDA_LOG_STREAM_NAME",
                "2026/11/22/[1]0123456789abcdef",
            )
            .env("AWS_REGION", told("AWS_REGION"))
            .env("AWS_ENDPOINT_URL", told("AWS_ENDPOINT_URL"))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_SESSION_TOKEN", "test")
            .env("RUST_LOG", "info")
            .env("TMPDIR", place.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary(name).display()));
        let (life, over) = channel();
        let (end, ended) = watch::channel(None);
        std::thread::spawn(move || watch_over(child, &over, &end));
        Self {
            name: name.to_owned(),
            life: Mutex::new(Some(life)),
            ended,
            events,
            place,
        }
    }

    /// Has it handle an event, within a minute.
    pub async fn invoke(&self, event: Value) -> Answer {
        self.invoke_within(event, SignedDuration::from_mins(1))
            .await
    }

    /// Has it handle an event within this time. It is told of the deadline and not held to it.
    pub async fn invoke_within(&self, event: Value, deadline: SignedDuration) -> Answer {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            id: uuid::Uuid::new_v4().to_string(),
            event,
            deadline,
            answer,
        };
        assert!(self.events.send(invocation).await.is_ok());
        tokio::select! {
            answer = answered => answer.unwrap_or(Answer::Died),
            _ = self.over() => Answer::Died,
        }
    }

    /// Waits for its end, however it comes.
    async fn over(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await.unwrap();
        status.unwrap()
    }

    /// Ends it as Lambda ends a function whose time is over: at once (SIGKILL), whatever it is doing.
    pub async fn kill(&self) {
        self.life.lock().unwrap().take();
        self.over().await;
    }

    /// Waits for it to end by itself, as it does where it cannot begin, and gives its exit status and
    /// what it wrote.
    pub async fn end(self) -> (ExitStatus, String) {
        let status = timeout(PATIENCE, self.over()).await;
        let status = status.unwrap_or_else(|_| panic!("{} did not end: {}", self.name, self.log()));
        (status, self.log())
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place.path().join("log")).unwrap()
    }
}

/// A function's release binary.
pub fn binary(name: &str) -> PathBuf {
    PathBuf::from(told("LAMBDA_DIR"))
        .join(name)
        .join("bootstrap")
}

/// Holds a process until it ends, or is to end because nobody holds `life` any more.
fn watch_over(mut child: Child, life: &Receiver<()>, end: &watch::Sender<Option<ExitStatus>>) {
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if let Err(RecvTimeoutError::Disconnected) = life.recv_timeout(INTERVAL) {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
    };
    end.send_replace(Some(status));
}

fn router(runtime: Arc<Runtime>) -> Router {
    let invocation = format!("/{VERSION}/runtime/invocation");
    Router::new()
        .route(&format!("{invocation}/next"), get(next))
        .route(&format!("{invocation}/{{id}}/response"), post(returned))
        .route(&format!("{invocation}/{{id}}/error"), post(failed))
        .with_state(runtime)
}

/// Answers when there is an event, however long that takes.
async fn next(State(runtime): State<Arc<Runtime>>) -> Response {
    let Some(invocation) = runtime.waiting.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = Clock::system().now() + invocation.deadline;
    let headers = [
        ("lambda-runtime-aws-request-id", invocation.id.clone()),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millisecond().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-south-1:000000000000:function:under-test".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ];
    *runtime.running.lock().unwrap() = Some((invocation.id, invocation.answer));
    (headers, invocation.event.to_string()).into_response()
}

async fn returned(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    runtime.settle(&id, Answer::Returned(read(&body)))
}

async fn failed(
    State(runtime): State<Arc<Runtime>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    runtime.settle(&id, Answer::Failed(read(&body)))
}

fn read(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| json!(String::from_utf8_lossy(body)))
}
