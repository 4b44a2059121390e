//! `lotwire` by itself: the whole stack in this process.

use std::io;
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
    let ready = match Box::pin(Ready::open(options)).await {
        Ok(ready) => ready,
        Err(error) => return failed(&mut show, &error),
    };
    let stop = match stop() {
        Ok(stop) => stop,
        Err(error) => return failed(&mut show, &error),
    };
    let greet = |greeting: &str| {
        // Nobody may be reading it; it runs all the same.
        let _unread = show.line(greeting);
    };
    let served = ready.serve(stop, greet).await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&mut show, &error),
    }
}

fn failed(show: &mut Show<'_>, error: &dyn std::error::Error) -> ExitCode {
    show.progress(&format!("lotwire: {error}"));
    ExitCode::FAILURE
}

/// Until somebody asks it to stop: Ctrl-C, or a service manager's SIGTERM. Both are heard from now on,
/// not only once the future is waited for.
fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
