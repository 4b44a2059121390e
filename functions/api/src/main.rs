//! The API as a Lambda function.

use std::sync::Arc;

use api::ports::Deployed;
use api::{Api, Ports, Tokens};
use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
use ingest::Ingest;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::aws;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{ApiEnv, process};

use shared::installation::Installations;
use shared::metrics::{Meter, Metrics};
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let (api, meter) = api().await?;
    run(service_fn(
        async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
            let deadline = i64::try_from(event.context.deadline)?;
            let deadline = Timestamp::from_millisecond(deadline)?;
            let handled = Box::pin(api.handle(event.payload, deadline));
            Ok::<_, Error>(meter.measured(handled).await)
        },
    ))
    .await
}

async fn api() -> Result<(Api, Meter), Error> {
    let env = ApiEnv::read(process)?;
    let aws = aws::config(process)?;
    let clock = Clock::system();
    let dynamodb = aws::dynamodb(&aws);
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let installations = Installations::new(store.clone());
    warm_up(&installations, async {}).await;
    let secrets = Arc::new(Secrets::in_lambda(Box::new(process), clock.clone())?);
    let metrics = Metrics::of_stack(&env.stack, clock);
    let ingest = Ingest::new(
        store.clone(),
        installations.clone(),
        Arc::clone(&secrets),
        metrics.clone(),
    );
    let tokens = Tokens::referred(
        Arc::clone(&secrets),
        [env.token].into_iter().chain(env.previous_token),
    );
    let sqs = aws::sqs(&aws);
    let ports = Ports::default();
    let ports = Ports {
        liveness: match env.channels {
            Some(kinds) => Arc::new(Deployed { kinds, secrets }),
            None => ports.liveness,
        },
        sync: Arc::new(RunQueue::new(store.clone(), sqs, env.jobs)),
        replay: Arc::new(ingest),
    };
    let api = Api::new(store.clone(), installations, tokens, ports).with_intake(env.intake);
    Ok((api, Meter::new("api", store, metrics)))
}
