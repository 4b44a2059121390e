//! One attempt: a channel's requests over a transport, and what came of them.

use async_trait::async_trait;
use http::StatusCode;

use super::Outcome;
use crate::channels::{Channel, Envelope, Step};
use crate::http::{Reply, Request, Transport, TransportError};

/// No vendor needs more requests for one message; a channel that asks for more is at fault.
const MOST_REQUESTS: usize = 8;

/// One attempt, as the ledger keeps it.
#[derive(Debug)]
pub struct Exchange {
    /// What came of it.
    pub outcome: Outcome,
    /// Every request made, the last one perhaps in vain. They hold secrets: mask before showing.
    pub requests: Vec<Request>,
    /// The status of the last reply, if there was one.
    pub last_status: Option<StatusCode>,
}

/// Carries one message to one channel: its requests one after the other, until it is done.
pub async fn exchange(
    channel: &dyn Channel,
    envelope: &Envelope<'_>,
    transport: &dyn Transport,
) -> Exchange {
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    let outcome = loop {
        let (request, repeatable) = match channel.step(envelope, &replies) {
            Ok(Step::Done(outcome)) => break outcome,
            Ok(Step::Send(request)) => (request, false),
            Ok(Step::Ask(request)) => (request, true),
            Err(error) => break Outcome::rejected(error.to_string()),
        };
        if requests.len() == MOST_REQUESTS {
            break Outcome::rejected(format!("not done after {MOST_REQUESTS} requests"));
        }
        requests.push(request.clone());
        match transport.call(request).await {
            Ok(reply) => replies.push(reply),
            // Its status stands; whoever needs the whole body will find that it does not parse.
            Err(TransportError::Incomplete { reply, .. }) if !repeatable => replies.push(*reply),
            Err(TransportError::NoAnswer { .. } | TransportError::Incomplete { .. })
                if repeatable =>
            {
                break Outcome::Retry { after: None };
            }
            // Something has left already.
            Err(error @ TransportError::Refused { .. }) if !replies.is_empty() => {
                break Outcome::rejected(error.to_string());
            }
            Err(error) => break error.into(),
        }
    };
    Exchange {
        outcome,
        requests,
        last_status: replies.last().map(|reply| reply.status),
    }
}

/// A transport that sends nothing and answers as the vendor would: the outbox.
pub struct Unsent<'c>(pub &'c dyn Channel);

#[async_trait]
impl Transport for Unsent<'_> {
    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        Ok(self.0.accepted(&request))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;
    use secrecy::SecretString;

    use super::*;
    use crate::channels::ChannelError;
    use crate::render::{Limits, Measure, samples};

    /// Asks for a token, then sends; or, `endless`, asks for ever.
    struct TwoSteps {
        endless: bool,
    }

    impl Channel for TwoSteps {
        fn step(&self, envelope: &Envelope<'_>, replies: &[Reply]) -> Result<Step, ChannelError> {
            let request = Request::post("https://vendor.example.com/".parse().unwrap());
            Ok(match replies {
                [] => Step::Ask(request.body("text/plain", "token")),
                _ if self.endless => Step::Ask(request),
                [_] => Step::Send(request.body("text/plain", "message")),
                [.., last] => Step::Done(Outcome::of(last.status, &last.headers, envelope.now)),
            })
        }
        fn limits(&self) -> Limits {
            let most = Measure::Characters(100);
            Limits {
                title: Some(most),
                text: most,
            }
        }
        fn accepted(&self, _: &Request) -> Reply {
            Reply::new(StatusCode::OK, "")
        }
        fn secrets(&self) -> Vec<SecretString> {
            Vec::new()
        }
    }

    /// Answers what it was told to, in order.
    struct Script(Mutex<Vec<Result<Reply, TransportError>>>);

    #[async_trait]
    impl Transport for Script {
        async fn call(&self, _: Request) -> Result<Reply, TransportError> {
            self.0.lock().unwrap().remove(0)
        }
    }

    async fn run(endless: bool, script: Vec<Result<Reply, TransportError>>) -> Exchange {
        let message = samples::low_stock();
        let envelope = Envelope {
            message: &message,
            title: "title",
            text: "text",
            key: "a/1/ops",
            now: Timestamp::UNIX_EPOCH,
            attempt: 1,
            thread: None,
        };
        exchange(
            &TwoSteps { endless },
            &envelope,
            &Script(Mutex::new(script)),
        )
        .await
    }

    fn reply(status: u16) -> Result<Reply, TransportError> {
        Ok(Reply::new(StatusCode::from_u16(status).unwrap(), ""))
    }

    fn no_answer() -> Result<Reply, TransportError> {
        Err(TransportError::NoAnswer {
            host: "vendor".into(),
            reason: "timed out".into(),
        })
    }

    fn not_sent() -> Result<Reply, TransportError> {
        Err(TransportError::NotSent {
            host: "vendor".into(),
            reason: "connection refused".into(),
        })
    }

    fn incomplete() -> Result<Reply, TransportError> {
        Err(TransportError::Incomplete {
            host: "vendor".into(),
            reply: Box::new(Reply::new(StatusCode::OK, "{")),
            reason: "reset".into(),
        })
    }

    #[tokio::test]
    async fn silence_matters_only_where_the_request_had_an_effect() {
        for (script, expected, made) in [
            (vec![reply(200), reply(201)], "delivered", 2),
            (vec![no_answer()], "retry", 1),
            (vec![incomplete()], "retry", 1),
            (vec![not_sent()], "retry", 1),
            (vec![reply(200), not_sent()], "retry", 2),
            (vec![reply(200), no_answer()], "unknown", 2),
            (vec![reply(200), incomplete()], "delivered", 2),
        ] {
            let case = format!("{script:?}");
            let exchange = run(false, script).await;
            assert_eq!(exchange.outcome.name(), expected, "{case}");
            assert_eq!(exchange.requests.len(), made, "{case}");
        }
    }

    #[tokio::test]
    async fn the_last_status_is_kept() {
        let exchange = run(false, vec![reply(200), reply(429)]).await;
        assert_eq!(exchange.last_status, Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(run(false, vec![not_sent()]).await.last_status, None);
    }

    #[tokio::test]
    async fn a_channel_that_never_finishes_is_stopped() {
        let exchange = run(true, (0..20).map(|_| reply(200)).collect()).await;
        assert_eq!(
            exchange.outcome,
            Outcome::rejected("not done after 8 requests")
        );
        assert_eq!(exchange.requests.len(), 8);
    }
}
