//! The notifier as a Lambda function.

use std::sync::Arc;

use aws_lambda_events::event::sqs::SqsEvent;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notify::{FIRST_BYTE, Notifier};
use shared::aws;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{NotifyEnv, process};
use shared::delivery::{Deliverer, Wire};
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::{Meter, Metrics};
use shared::secrets::Secrets;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let (notifier, meter) = notifier().await?;
    run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        let deadline = i64::try_from(event.context.deadline)?;
        let deadline = Timestamp::from_millisecond(deadline)?;
        // Boxed: the whole of a delivery in one type is deeper than the compiler looks.
        let handled = Box::pin(notifier.handle(event.payload, deadline));
        Ok::<_, Error>(meter.measured(handled).await)
    }))
    .await
}

async fn notifier() -> Result<(Notifier, Meter), Error> {
    let env = NotifyEnv::read(process)?;
    let aws = aws::config(process)?;
    let clock = Clock::system();
    let dynamodb = aws::dynamodb(&aws);
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let secrets = Secrets::in_lambda(Box::new(process), clock.clone())?;
    let wire = Http::new(HttpSettings {
        timeout: env.send_timeout,
        first_byte: Some(FIRST_BYTE),
        guard: Guard::new(env.allowed_hosts),
        ..HttpSettings::default()
    })?;
    let metrics = Metrics::of_stack(&env.stack, clock.clone());
    let installations = Installations::new(store.clone());
    warm_up(&installations, async {}).await;
    let deliverer = Deliverer::new(
        store.clone(),
        installations,
        Arc::new(secrets),
        Arc::new(Wire(Arc::new(wire))),
        metrics.clone(),
        env.send_timeout,
    );
    let sqs = aws::sqs(&aws);
    let notifier = Notifier::new(deliverer, clock, sqs, env.queue);
    Ok((notifier, Meter::new("notify", store, metrics)))
}
