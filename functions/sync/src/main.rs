//! Scheduled sync as a Lambda function: a tick queues runs, a queued run is worked on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::aws;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{SyncEnv, process};
use shared::http::{Guard, Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::{Meter, Metrics};
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;
use sync::{Invocation, Sync};

/// The function's own time, before which a run gives a download up; each step of one has its own limit
/// in the settings.
const DOWNLOAD: Duration = Duration::from_secs(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let (sync, meter) = sync().await?;
    run(service_fn(async |event: LambdaEvent<Invocation>| {
        let deadline = i64::try_from(event.context.deadline)?;
        let deadline = Timestamp::from_millisecond(deadline)?;
        let handled = Box::pin(sync.handle(event.payload, deadline));
        Ok::<_, Error>(meter.measured(handled).await?)
    }))
    .await
}

async fn sync() -> Result<(Sync, Meter), Error> {
    let env = SyncEnv::read(process)?;
    let aws = aws::config(process)?;
    let clock = Clock::system();
    let dynamodb = aws::dynamodb(&aws);
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let sqs = aws::sqs(&aws);
    let downloads = Http::new(HttpSettings {
        timeout: DOWNLOAD,
        guard: Guard::new(env.allowed_hosts),
        ..HttpSettings::default()
    })?;
    let metrics = Metrics::of_stack(&env.stack, clock.clone());
    let meter = Meter::new("sync", store.clone(), metrics.clone());
    let installations = Installations::new(store.clone());
    warm_up(&installations, async {}).await;
    let sync = Sync {
        queue: RunQueue::new(store.clone(), sqs, env.jobs),
        installations,
        secrets: Arc::new(Secrets::in_lambda(Box::new(process), clock)?),
        client: downloads.streaming(),
        metrics,
        scratch: std::env::temp_dir(),
        store,
    };
    // What an invocation left that was cut off by its timeout.
    sync.clear_scratch()?;
    Ok((sync, meter))
}
