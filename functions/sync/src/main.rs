//! Scheduled sync as a Lambda function: a tick queues runs, a queued run is worked on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::config::environment::{SyncEnv, process};
use shared::http::{Http, HttpSettings};
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::run_queue::RunQueue;
use shared::secrets::Secrets;
use shared::store::Store;
use shared::telemetry;
use shared::warm_up::warm_up;
use sync::{Invocation, Sync};

/// Longer than any download may take; each of its steps has its own limit in the settings.
const DOWNLOAD: Duration = Duration::from_secs(900);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let sync = sync().await?;
    run(service_fn(async |event: LambdaEvent<Invocation>| {
        let deadline = i64::try_from(event.context.deadline)?;
        let deadline = Timestamp::from_millisecond(deadline)?;
        Ok::<_, Error>(Box::pin(sync.handle(event.payload, deadline)).await?)
    }))
    .await
}

async fn sync() -> Result<Sync, Error> {
    let env = SyncEnv::read(process)?;
    let aws = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let clock = Clock::system();
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
    let store = Store::new(dynamodb, env.table, clock.clone(), Chance::from_system());
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let downloads = Http::new(HttpSettings {
        timeout: DOWNLOAD,
        ..HttpSettings::default()
    })?;
    let installations = Installations::new(store.clone());
    warm_up(&installations, async {}).await;
    Ok(Sync {
        queue: RunQueue::new(store.clone(), sqs, env.jobs),
        installations,
        secrets: Arc::new(Secrets::in_lambda(Box::new(process), clock.clone())?),
        client: downloads.streaming(),
        metrics: Metrics::to_stdout(clock),
        scratch: std::env::temp_dir(),
        store,
    })
}
