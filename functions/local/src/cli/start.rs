//! `lotwire` by itself: the whole stack in this process.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::Start;
use super::show::Show;
use crate::stack::serve::{Options, Ready};

pub(super) async fn run(start: Start) -> ExitCode {
    shared::telemetry::init_pretty();
    let mut show = Show::to_process();
    let options = Options {
        listen: start.listen,
        data: start.data,
        config: start.config,
        empty: start.empty,
        keep_webhooks: start.keep_webhooks,
    };
    let ready = match Ready::open(options).await {
        Ok(ready) => ready,
        Err(error) => return failed(&mut show, &error),
    };
    let greet = |greeting: &str| {
        // Nobody may be reading it; it runs all the same.
        let _unread = show.line(greeting);
    };
    let served = ready.serve(stop(), greet).await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&mut show, &error),
    }
}

fn failed(show: &mut Show<'_>, error: &dyn std::error::Error) -> ExitCode {
    show.progress(&format!("lotwire: {error}"));
    ExitCode::FAILURE
}

/// Until somebody asks it to stop: Ctrl-C, or a service manager's SIGTERM.
async fn stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => {
            if let Err(error) = interrupted {
                tracing::error!(%error, "no signal can be waited for; running until killed");
                std::future::pending::<()>().await;
            }
        }
        _ = terminated => {}
    }
}
