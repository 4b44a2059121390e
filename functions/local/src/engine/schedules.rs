//! Schedules: functions that run at a rate, with EventBridge's event.

use super::function::{Failure, Function};
use super::pump::Line;
use super::{ACCOUNT, EngineError, REGION};
use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// A function that runs at a rate.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The rule's name.
    pub name: String,
    /// How often.
    pub rate: Rate,
    /// What runs.
    pub function: Function<EventBridgeEvent<Value>, ()>,
}

/// An EventBridge rate, such as `rate(15 minutes)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Duration);

/// A rate that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate: write rate(1 minute), rate(15 minutes), rate(2 hours) or rate(1 day)")]
pub struct RateError(String);

impl Rate {
    /// The time between two runs.
    pub fn period(self) -> Duration {
        self.0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// Strict as EventBridge is: the singular with 1, the plural with more.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let read = || {
            let inside = text.strip_prefix("rate(")?.strip_suffix(')')?;
            let (count, unit) = inside.split_once(' ')?;
            let count: u32 = count.parse().ok()?;
            let seconds = match (count, unit) {
                (1, "minute") | (2.., "minutes") => 60,
                (1, "hour") | (2.., "hours") => 3_600,
                (1, "day") | (2.., "days") => 86_400,
                _ => return None,
            };
            Some(Self(Duration::from_secs(u64::from(count) * seconds)))
        };
        read().ok_or_else(|| RateError(text.to_owned()))
    }
}

impl Schedule {
    /// Runs until the pump stops. A run that outlasts its period skips the ticks it missed.
    pub(crate) async fn run(self: Arc<Self>, line: Arc<Line>) {
        let period = self.rate.period();
        let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while line.unless_stopped(ticks.tick()).await.is_some() {
            if let Err(error) = self.fire(&line).await {
                // The next tick is the retry.
                tracing::error!(%error, schedule = self.name, "a scheduled run failed");
            }
        }
    }

    /// Runs the function once, now.
    pub(crate) async fn fire(&self, line: &Line) -> Result<(), EngineError> {
        let _active = line.active();
        let failed = |failure: Failure| EngineError::Invocation {
            function: self.function.name.clone(),
            problem: failure.to_string(),
        };
        let event = json!({
            "version": "0",
            "id": line.aws.request_id(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT,
            "time": format!("{:.0}", line.aws.clock().now()),
            "region": REGION,
            "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", self.name)],
            "detail": {},
        });
        let event =
            serde_json::from_value(event).map_err(|error| failed(Failure::Error(error.into())))?;
        self.function
            .run(&line.aws, event)
            .await
            .result
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_eventbridge_reads_them() {
        let seconds = |text: &str| text.parse::<Rate>().map(|rate| rate.period().as_secs());
        assert_eq!(seconds("rate(1 minute)"), Ok(60));
        assert_eq!(seconds("rate(15 minutes)"), Ok(900));
        assert_eq!(seconds("rate(2 hours)"), Ok(7_200));
        assert_eq!(seconds("rate(1 day)"), Ok(86_400));
        for wrong in [
            "rate(1 minutes)",
            "rate(0 minutes)",
            "rate(5 minute)",
            "cron(* * * * ? *)",
            "5m",
        ] {
            assert_eq!(seconds(wrong), Err(RateError(wrong.to_owned())));
        }
    }
}
