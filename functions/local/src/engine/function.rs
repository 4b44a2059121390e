//! A function: a handler, its timeout, and one guarded run of it.

use super::EmbeddedAws;
use super::interference::{Interruption, Service};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

/// Any error of a handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A handler of events `E` that answers with `R`.
pub type Handler<E, R> =
    Arc<dyn Fn(E, Invocation) -> BoxFuture<'static, Result<R, BoxError>> + Send + Sync>;

tokio::task_local! {
    static RUN: Current;
}

/// One run of a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The function's name.
    pub function: Arc<str>,
    /// Names the run, as in logs.
    pub request_id: Arc<str>,
}

/// The run that this task is in.
#[derive(Debug, Clone)]
struct Current {
    id: RunId,
    crashed: Arc<AtomicBool>,
}

impl RunId {
    /// The run that the caller is in, if it is in one.
    pub fn current() -> Option<Self> {
        RUN.try_with(|run| run.id.clone()).ok()
    }

    /// Ends the caller's run where it stands, as if its process had been killed; whoever invoked it
    /// sees a failed run. Returns only to a caller that is in none.
    pub async fn crash() {
        let marked = RUN.try_with(|run| run.crashed.store(true, Ordering::SeqCst));
        if marked.is_ok() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a handler is told about the run it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// When the run is cut off.
    pub deadline: Timestamp,
    /// Names the run in logs.
    pub request_id: String,
}

impl Invocation {
    /// A run that starts now.
    pub(crate) fn starting(clock: &Clock, timeout: Duration, request_id: String) -> Self {
        let timeout = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX);
        let deadline = clock.now().checked_add(timeout);
        Self {
            deadline: deadline.unwrap_or(Timestamp::MAX),
            request_id,
        }
    }
}

/// A handler under its name and timeout.
pub struct Function<E, R> {
    /// Its name.
    pub name: String,
    /// How long one run may take.
    pub timeout: Duration,
    handler: Handler<E, R>,
}

impl<E, R> Clone for Function<E, R> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            timeout: self.timeout,
            handler: Arc::clone(&self.handler),
        }
    }
}

impl<E, R> fmt::Debug for Function<E, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Error(BoxError),
    #[error("the handler panicked")]
    Panicked,
    #[error("timed out after {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("the process was killed")]
    Crashed,
    #[error("the invocation was interrupted ({0:?})")]
    Interrupted(Interruption),
}

/// One run and what came of it.
#[derive(Debug)]
pub(crate) struct Run<R> {
    pub(crate) request_id: String,
    pub(crate) result: Result<R, Failure>,
}

impl<E, R> Function<E, R> {
    /// A function from an async closure.
    pub fn new<H, F>(name: impl Into<String>, timeout: Duration, handler: H) -> Self
    where
        H: Fn(E, Invocation) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, BoxError>> + Send + 'static,
    {
        Self {
            name: name.into(),
            timeout,
            handler: Arc::new(move |event, invocation| handler(event, invocation).boxed()),
        }
    }

    /// The name AWS would give it.
    pub(crate) fn arn(&self) -> String {
        let (region, account) = (super::REGION, super::ACCOUNT);
        format!("arn:aws:lambda:{region}:{account}:function:{}", self.name)
    }

    /// Runs the handler once; a panic and a timeout are failures like any other.
    pub(crate) async fn run(&self, aws: &EmbeddedAws, event: E) -> Run<R> {
        let request_id = aws.request_id();
        let invocation = Invocation::starting(aws.clock(), self.timeout, request_id.clone());
        let called = aws
            .call(Service::Lambda, &self.name, self.guarded(event, invocation))
            .await;
        Run {
            request_id,
            result: called.unwrap_or_else(|reason| Err(Failure::Interrupted(reason))),
        }
    }

    async fn guarded(&self, event: E, invocation: Invocation) -> Result<R, Failure> {
        let current = Current {
            id: RunId {
                function: self.name.as_str().into(),
                request_id: invocation.request_id.as_str().into(),
            },
            crashed: Arc::default(),
        };
        let crashed = Arc::clone(&current.crashed);
        // The closure itself may panic too, before it has made a future.
        let run = AssertUnwindSafe(async { (self.handler)(event, invocation).await });
        let run = RUN.scope(current, run.catch_unwind());
        let mut run = pin!(tokio::time::timeout(self.timeout, run));
        poll_fn(|context| match run.as_mut().poll(context) {
            Poll::Pending if crashed.load(Ordering::SeqCst) => Poll::Ready(Err(Failure::Crashed)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Ok(Ok(answer)))) => Poll::Ready(Ok(answer)),
            Poll::Ready(Ok(Ok(Err(error)))) => Poll::Ready(Err(Failure::Error(error))),
            Poll::Ready(Ok(Err(_panic))) => Poll::Ready(Err(Failure::Panicked)),
            Poll::Ready(Err(_elapsed)) => Poll::Ready(Err(Failure::TimedOut(self.timeout))),
        })
        .await
    }
}
