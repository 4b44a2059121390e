//! Webhooks as a Lambda function behind the HTTP API.

use std::sync::Arc;

use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
use ingest::Ingest;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::aws;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{IngestEnv, process};
use shared::installation::Installations;
use shared::metrics::{Meter, Metrics};
use shared::secrets::Secrets;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let (ingest, meter) = ingest().await?;
    run(service_fn(
        async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
            let deadline = i64::try_from(event.context.deadline)?;
            let deadline = Timestamp::from_millisecond(deadline)?;
            let handled = Box::pin(ingest.handle(event.payload, deadline));
            Ok::<_, Error>(meter.measured(handled).await)
        },
    ))
    .await
}

async fn ingest() -> Result<(Ingest, Meter), Error> {
    let env = IngestEnv::read(process)?;
    let aws = aws::config(process)?;
    let clock = Clock::system();
    let dynamodb = aws::dynamodb(&aws);
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let secrets = Secrets::in_lambda(Box::new(process), clock.clone())?;
    let metrics = Metrics::of_stack(&env.stack, clock);
    let installations = Installations::new(store.clone());
    warm_up(&installations, async {}).await;
    let ingest = Ingest::new(
        store.clone(),
        installations,
        Arc::new(secrets),
        metrics.clone(),
    );
    let meter = Meter::new("ingest", store, metrics);
    Ok((ingest.keeping(env.raw_retention_days), meter))
}
