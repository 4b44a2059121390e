//! Connections: how many there may be, and how long a request may take to arrive. Without such limits a
//! few hundred senders that stop in the middle of a request would keep everybody else out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many there may be at once.
    pub(super) connections: usize,
    /// How many of them one address may have; this machine's own, where a proxy may stand for
    /// everybody, may have all.
    pub(super) of_one_address: usize,
    /// How long a request's line and headers may take to arrive, and how long a connection may idle.
    pub(super) headers: Duration,
    /// How long requests under way have when the server stops.
    pub(super) farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Each is a file descriptor, of which a process has 1,024 unless more are granted.
            connections: 512,
            of_one_address: 128,
            headers: Duration::from_secs(10),
            farewell: Duration::from_secs(35),
        }
    }
}

/// After the system had no room for another connection.
const BREATH: Duration = Duration::from_millis(100);
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves until told to stop, then lets what is under way end.
pub(super) async fn serve(
    listener: TcpListener,
    router: axum::Router,
    limits: Limits,
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Places {
        limits,
        taken: Mutex::default(),
    });
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut until = pin!(until);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut until => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        match Places::take(&places, peer.ip()) {
            Some(place) => {
                let served = connection(stream, peer, router.clone(), limits, stopped.clone());
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            // Best effort: whoever holds that many does not read it either.
            None => drop(stream.try_write(FULL)),
        }
    }
    drop(listener);
    stop.send_replace(());
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.farewell, all).await.is_err() {
        tracing::warn!("stopped with requests under way");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: axum::Router,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    // A small answer leaves at once. If it cannot be had, it leaves a little later.
    let _delayed = stream.set_nodelay(true);
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        inner.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        _ = stopped.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    match ended {
        Err(error) if error.is_timeout() => tracing::info!(
            %peer,
            "a connection was closed: no whole request arrived within {} seconds",
            limits.headers.as_secs()
        ),
        Err(error) => tracing::debug!(%peer, %error, "a connection broke"),
        Ok(()) => {}
    }
}

/// Who has how many connections.
struct Places {
    limits: Limits,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
    /// Refused since there was last room.
    refused: u64,
}

/// One connection's; given back when dropped.
struct Place {
    places: Arc<Places>,
    of: IpAddr,
}

impl Places {
    fn take(places: &Arc<Self>, of: IpAddr) -> Option<Place> {
        let limits = places.limits;
        let mut taken = places.taken();
        let own = taken.by.get(&of).copied().unwrap_or_default();
        if taken.all >= limits.connections || (!of.is_loopback() && own >= limits.of_one_address) {
            taken.refused += 1;
            // Once until there is room again: a flood must not fill the log, too.
            if taken.refused == 1 {
                let (all, peer) = (taken.all, of);
                tracing::warn!(all, %peer, own, "too many connections: more are refused");
            }
            return None;
        }
        if taken.refused > 0 {
            let refused = std::mem::take(&mut taken.refused);
            tracing::warn!(refused, "there is room for connections again");
        }
        taken.all += 1;
        taken.by.insert(of, own + 1);
        Some(Place {
            places: Arc::clone(places),
            of,
        })
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        match taken.by.get_mut(&self.of) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by.remove(&self.of)),
        }
    }
}
