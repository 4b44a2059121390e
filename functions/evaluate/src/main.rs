//! The evaluator as a Lambda function on the table's stream, and on the queue of what was given up.

use evaluate::{Evaluator, Invocation};
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::aws;
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{EvaluateEnv, process};
use shared::installation::Installations;
use shared::metrics::{Meter, Metrics};
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let (evaluator, meter) = evaluator().await?;
    run(service_fn(async |event: LambdaEvent<Invocation>| {
        let deadline = i64::try_from(event.context.deadline)?;
        let deadline = Timestamp::from_millisecond(deadline)?;
        let handled = Box::pin(evaluator.invoked(event.payload, deadline));
        Ok::<_, Error>(meter.measured(handled).await)
    }))
    .await
}

async fn evaluator() -> Result<(Evaluator, Meter), Error> {
    let env = EvaluateEnv::read(process)?;
    let aws = aws::config(process)?;
    let dynamodb = aws::dynamodb(&aws);
    let clock = Clock::system();
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let bus = Bus::new(aws::sns(&aws), env.topic.as_str());
    let metrics = Metrics::of_stack(&env.stack, clock);
    let installations = Installations::new(store.clone());
    warm_up(&installations, bus.connect()).await;
    let evaluator = Evaluator::new(store.clone(), bus, installations, metrics.clone());
    Ok((evaluator, Meter::new("evaluate", store, metrics)))
}
