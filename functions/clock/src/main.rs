//! The clock as a Lambda function, with the evaluator and ingest it sets to work.

use std::sync::Arc;

use clock::{EventBridgeEvent, Heartbeat, Ticker};
use evaluate::Evaluator;
use ingest::Ingest;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::aws;
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{ClockEnv, process};
use shared::http::{Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::{Meter, Metrics};
use shared::secrets::Secrets;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let (ticker, meter) = ticker().await?;
    run(service_fn(async |event: LambdaEvent<EventBridgeEvent>| {
        let deadline = i64::try_from(event.context.deadline)?;
        let deadline = Timestamp::from_millisecond(deadline)?;
        meter.measured(ticker.tick(event.payload, deadline)).await?;
        Ok::<_, Error>(())
    }))
    .await
}

async fn ticker() -> Result<(Ticker, Meter), Error> {
    let env = ClockEnv::read(process)?;
    let aws = aws::config(process)?;
    let clock = Clock::system();
    let dynamodb = aws::dynamodb(&aws);
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let installations = Installations::new(store.clone());
    let bus = Bus::new(aws::sns(&aws), env.topic.as_str());
    let metrics = Metrics::of_stack(&env.stack, clock.clone());
    let secrets = Secrets::in_lambda(Box::new(process), clock)?;
    let heartbeat = match env.heartbeat {
        Some(url) => Heartbeat::to(url, Arc::new(Http::new(HttpSettings::default())?)),
        None => Heartbeat::metric_only(),
    };
    warm_up(&installations, bus.connect()).await;
    let meter = Meter::new("clock", store.clone(), metrics.clone());
    let evaluator = Evaluator::new(
        store.clone(),
        bus.clone(),
        installations.clone(),
        metrics.clone(),
    );
    let ingest = Ingest::new(
        store.clone(),
        installations.clone(),
        Arc::new(secrets),
        metrics.clone(),
    );
    let ticker = Ticker::new(
        store,
        installations,
        bus,
        Arc::new(evaluator),
        Arc::new(ingest),
        heartbeat,
        metrics,
    );
    Ok((ticker, meter))
}
