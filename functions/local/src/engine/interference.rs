//! The hook every call passes before and after it takes effect, and every message on its way into a
//! queue.
//!
//! A simulation answers with faults here; by default nothing is touched.

use std::time::Duration;

use async_trait::async_trait;

use super::function::RunId;

/// Who is being called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// A table, by a function.
    DynamoDb,
    /// A queue, by a function.
    Sqs,
    /// A topic, by a function.
    Sns,
    /// A function, by the pump; the operation is the function's name.
    Lambda,
    /// The pump's own bookkeeping: `Checkpoint`, `DeleteMessages`, `OnFailure`.
    Mapping,
}

/// One call, as the hook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who is being called.
    pub service: Service,
    /// AWS's name for the operation, such as `PutItem`.
    pub operation: String,
    /// Counts all calls of one engine from 1, retries included.
    pub sequence: u64,
    /// The run of a function that makes the call; none for callers outside, and for the pump.
    pub run: Option<RunId>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing happens to it.
    #[default]
    Proceed,
    /// The caller reads the service's own throttling error.
    Throttle,
    /// The caller reads a broken connection. Before the call, it was never applied; after it, it
    /// was, and only the answer is lost.
    ConnectionLost,
    /// The caller reads that another transaction is at the same item, and nothing was written. For
    /// writes to a table.
    Conflict,
    /// The run that makes the call ends here, as if its process had been killed. A caller that is no
    /// run of a function reads a broken connection.
    Crash,
}

/// What becomes of a message on its way into a queue. Its sender is told in any case that it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// It arrives.
    #[default]
    Arrives,
    /// It is never seen again.
    Lost,
    /// It arrives twice, the second time this much later.
    Twice(Duration),
    /// It arrives this much later.
    Late(Duration),
}

/// Decides on each call; it may also wait, to delay one.
#[async_trait]
pub trait Interference: Send + Sync {
    /// Asked before the call takes effect.
    async fn before(&self, _call: &Call) -> Verdict {
        Verdict::Proceed
    }

    /// Asked after the call took effect, before the caller has its answer.
    async fn after(&self, _call: &Call) -> Verdict {
        Verdict::Proceed
    }

    /// Asked for each message that is put into a queue, by its name.
    fn message(&self, _queue: &str) -> Fate {
        Fate::Arrives
    }
}

/// No interference.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untouched;

#[async_trait]
impl Interference for Untouched {}

/// A call that the hook broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    Throttled,
    ConnectionLost,
    Conflict,
}

impl Verdict {
    /// Carries it out; a crash does not return where there is a run to end.
    pub(crate) async fn check(self) -> Result<(), Interruption> {
        match self {
            Self::Proceed => Ok(()),
            Self::Throttle => Err(Interruption::Throttled),
            Self::ConnectionLost => Err(Interruption::ConnectionLost),
            Self::Conflict => Err(Interruption::Conflict),
            Self::Crash => {
                RunId::crash().await;
                Err(Interruption::ConnectionLost)
            }
        }
    }
}
