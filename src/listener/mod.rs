//! The accept loop: ours, so that every connection and every call is a task with a name.
//!
//! ```text
//! accept -> a place (places) -> the first bytes (first_bytes) -> a request (gate, guard) -> routes
//! ```
//!
//! Guarantees that a connection that fails ends alone, that one that says nothing whole within one
//! deadline is closed, that connections are refused before descriptors run out, and that at the end
//! those under way are waited for, though not for ever. Knows nothing of what is served.

mod connection;
mod connection_limits;
mod first_bytes;
mod gate;
pub(crate) mod guard;
mod hosts;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use self::gate::RequestGate;
pub use self::hosts::{AllowedHosts, InvalidHost};
use crate::listener::connection_limits::{ConnectionPermit, ConnectionPermits, LimitReached};
use crate::log_limiter::LogLimiter;
use crate::metrics::Connections;
use crate::resources;
use crate::tasks;

/// Pause after a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are told to end get so long.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// gRPC alone: HTTP/2, from programs.
    Grpc,
    /// Pages: HTTP/1 and HTTP/2, for browsers and programs.
    Http,
}

impl Port {
    /// As a setting, a label and in tracing.
    pub fn word(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// What a listener goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What it speaks.
    pub port: Port,
    /// By which names it may be called.
    pub hosts: Arc<AllowedHosts>,
    /// Most connections at one time.
    pub connections_max: usize,
    /// What is counted.
    pub counted: Connections,
    /// Where the other port listens, for who takes one for the other.
    pub other: SocketAddr,
}

/// What all connections of one listener share.
#[derive(Debug)]
struct Common {
    routes: Router,
    gate: RequestGate,
    counted: Connections,
    port: Port,
    other: SocketAddr,
}

/// Serves `routes` to who comes to `listener`, until `stopping` turns true and its connections have
/// ended.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    rules: Rules,
    stopping: watch::Receiver<bool>,
) {
    let Rules { port, hosts, connections_max, counted, other } = rules;
    let places = ConnectionPermits::new(connections_max, counted.open_gauge(port.word()));
    let gate = RequestGate::new(port, hosts);
    let common = Arc::new(Common { routes, gate, counted, port, other });
    let (cut, cutting) = watch::channel(false);
    // Every connection holds a clone; when the last one is gone, all have ended.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let mut stops = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stops) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                not_accepted(&error, &common, &places).await;
                continue;
            }
        };
        match places.acquire(peer.ip()).await {
            Ok(place) => {
                let work = (stream, Arc::clone(&common), place);
                spawn(work, stopping.clone(), (cutting.clone(), open.clone()));
            }
            Err(full) => refuse(&stream, peer.ip(), full, &common),
        }
    }
    drop((listener, open));
    if tokio::time::timeout(DRAIN_WITHIN, all_closed.recv()).await.is_err() {
        tracing::warn!(listener = port.word(), "connections did not end in time and are cut");
        cut.send_replace(true);
        all_closed.recv().await;
    }
}

fn spawn(
    (stream, common, place): (TcpStream, Arc<Common>, ConnectionPermit),
    stopping: watch::Receiver<bool>,
    (mut cutting, open): (watch::Receiver<bool>, mpsc::Sender<()>),
) {
    drop(tasks::spawn("connection", async move {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays slow: no TCP_NODELAY");
        }
        let (counted, word) = (common.counted.clone(), common.port.word());
        let place = Arc::new(place);
        let cut = Arc::clone(&place);
        tokio::select! {
            () = connection::serve_connection(stream, common, place, stopping) => {}
            () = stopped(&mut cutting) => {}
            () = cut.is_evicted() => counted.refused(word, "idle"),
        }
        drop(open);
    }));
}

/// Ends when `stopping` turns true.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that has gone means the same.
    let _ = stopping.wait_for(|stops| *stops).await;
}

/// Whoever waits to be accepted goes on waiting; what is missing may come back.
async fn not_accepted(error: &io::Error, common: &Common, places: &ConnectionPermits) {
    static LINE: LogLimiter = LogLimiter::new();
    common.counted.refused(common.port.word(), "not_accepted");
    if resources::record_failure("accept a connection", error) {
        places.free_one();
    }
    if let Some(left_out) = LINE.allow() {
        let listener = common.port.word();
        tracing::warn!(listener, %error, left_out, "a connection could not be accepted");
    }
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// No place is free, and nobody who has one is idle: a short word, if it costs nothing.
fn refuse(stream: &TcpStream, address: IpAddr, full: LimitReached, common: &Common) {
    static LINE: LogLimiter = LogLimiter::new();
    let listener = common.port.word();
    common.counted.refused(listener, full.as_str());
    // It was just accepted, so its buffer is empty; whoever misses the word sees the end.
    let _ = stream.try_write(&match common.port {
        Port::Http => first_bytes::plain_answer("503 Service Unavailable", full.describe()),
        Port::Grpc => first_bytes::go_away(full.describe()),
    });
    if let LimitReached::All { open } = full {
        resources::record_connection_limit(listener, open);
    }
    if let Some(left_out) = LINE.allow() {
        let why = full.describe();
        tracing::warn!(listener, peer = %address, left_out, "a connection is refused: {why}");
    }
}
