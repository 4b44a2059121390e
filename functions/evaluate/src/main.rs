//! The evaluator as a Lambda function on the table's stream.

use aws_lambda_events::event::dynamodb::Event;
use evaluate::Evaluator;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::bus::Bus;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{EvaluateEnv, process};
use shared::installation::Installations;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let evaluator = evaluator().await?;
    run(service_fn(async |event: LambdaEvent<Event>| {
        let deadline = i64::try_from(event.context.deadline)?;
        let deadline = Timestamp::from_millisecond(deadline)?;
        Ok::<_, Error>(Box::pin(evaluator.handle(event.payload, deadline)).await)
    }))
    .await
}

async fn evaluator() -> Result<Evaluator, Error> {
    let env = EvaluateEnv::read(process)?;
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let store = Store::new(dynamodb, env.table, Clock::system(), Chance::from_system());
    let bus = Bus::new(aws_sdk_sns::Client::new(&aws), env.topic.as_str());
    let installations = Installations::new(store.clone());
    warm_up(&installations, bus.connect()).await;
    Ok(Evaluator::new(store, bus, installations))
}
