//! Accepts connections on a port, and serves each in a named task.
//!
//! ```text
//! accept -> connection_limit -> tls -> protocol -> request_policy -> panic_guard -> routes
//! ```
//!
//! Guarantees that a failing connection ends alone, that one without a complete request by the
//! deadline is closed, that connections are rejected before file descriptors run out, and that a
//! stop waits for open connections, with a timeout. TLS is optional; every request knows its peer.
//! Does not know the routes.

mod connection;
mod connection_limit;
mod hosts;
pub(crate) mod panic_guard;
mod protocol;
mod request_policy;
#[cfg(test)]
mod tests;
mod tls;
mod write_deadline;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

pub use self::hosts::{AllowedHosts, InvalidHost};
use self::tls::TlsHandshakes;
pub use self::tls::{ListenerTls, RefusedHandshake};
use crate::listener::connection_limit::{ConnectionPermits, ConnectionSlot, LimitReached};
use crate::listener::request_policy::RequestPolicy;
use crate::log_limiter::LogLimiter;
use crate::metrics::Connections;
use crate::resources;
use crate::tasks;

/// Pause after a failed accept, which is most likely due to missing file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to end at a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The kind of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Only gRPC: HTTP/2, from programs.
    Grpc,
    /// Pages: HTTP/1 and HTTP/2, for browsers and programs.
    Http,
}

impl Port {
    /// The name in settings, labels and tracing.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }

    /// A short response to a connection that is refused, for clients of this port.
    fn refusal(self, message: &str) -> Vec<u8> {
        match self {
            Self::Http => protocol::plain_response("503 Service Unavailable", message),
            Self::Grpc => protocol::go_away(message),
        }
    }
}

/// Configuration of a listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The kind of listener.
    pub port: Port,
    /// The allowed host names.
    pub hosts: Arc<AllowedHosts>,
    /// Maximum number of open connections.
    pub connections_max: usize,
    /// The metrics of connections.
    pub metrics: Connections,
    /// The address of the other listener, for clients on the wrong port.
    pub other_address: SocketAddr,
    /// Whether the other listener has TLS.
    pub is_other_tls: bool,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<ListenerTls>,
}

/// Shared by all connections of a listener.
#[derive(Debug)]
struct ListenerContext {
    routes: Router,
    policy: RequestPolicy,
    metrics: Connections,
    port: Port,
    other_address: SocketAddr,
    is_other_tls: bool,
    tls: Option<Arc<TlsHandshakes>>,
}

/// Serves `routes` on `listener` until `stopping` is true and all connections have ended.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    rules: ListenerConfig,
    stopping: watch::Receiver<bool>,
) {
    let ListenerConfig { port, hosts, connections_max, metrics, other_address, is_other_tls, tls } =
        rules;
    let places = ConnectionPermits::new(connections_max, metrics.open_gauge(port.as_str()));
    let gate = RequestPolicy::new(port, hosts);
    let tls = tls.map(|tls| Arc::new(TlsHandshakes::new(tls, port, metrics.clone())));
    let common = Arc::new(ListenerContext {
        routes,
        policy: gate,
        metrics,
        port,
        other_address,
        is_other_tls,
        tls,
    });
    let (cut, cutting) = watch::channel(false);
    // Every connection holds a clone; when the last one is dropped, all have ended.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let mut stop = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown_requested(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                on_accept_error(&error, &common, &places).await;
                continue;
            }
        };
        match places.acquire(peer.ip()).await {
            Ok(place) => {
                let work = ((stream, peer.ip()), Arc::clone(&common), place);
                spawn_connection(work, stopping.clone(), (cutting.clone(), open.clone()));
            }
            Err(full) => reject_connection(&stream, peer.ip(), full, &common),
        }
    }
    drop((listener, open));
    if tokio::time::timeout(DRAIN_TIMEOUT, all_closed.recv()).await.is_err() {
        tracing::warn!(listener = port.as_str(), "connections did not end in time and are closed");
        cut.send_replace(true);
        all_closed.recv().await;
    }
}

fn spawn_connection(
    ((stream, address), common, place): ((TcpStream, IpAddr), Arc<ListenerContext>, ConnectionSlot),
    stopping: watch::Receiver<bool>,
    (mut cutting, open): (watch::Receiver<bool>, mpsc::Sender<()>),
) {
    drop(tasks::spawn("connection", async move {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY failed: the connection has a higher latency");
        }
        let (counted, word) = (common.metrics.clone(), common.port.as_str());
        let (place, address) = (Arc::new(place), address.to_canonical());
        let cut = Arc::clone(&place);
        tokio::select! {
            () = connection::serve_connection(stream, address, common, place, stopping) => {}
            () = shutdown_requested(&mut cutting) => {}
            () = cut.close_requested() => counted.refused(word, "idle"),
        }
        drop(open);
    }));
}

/// Completes when `stopping` is true.
pub(crate) async fn shutdown_requested(stopping: &mut watch::Receiver<bool>) {
    // A dropped sender means the same.
    let _ = stopping.wait_for(|stops| *stops).await;
}

/// Handles a failed accept: clients stay in the backlog, since the shortage may end.
async fn on_accept_error(error: &io::Error, common: &ListenerContext, places: &ConnectionPermits) {
    static LINE: LogLimiter = LogLimiter::new();
    common.metrics.refused(common.port.as_str(), "not_accepted");
    if resources::record_failure("accept a connection", error) {
        places.close_idle();
    }
    if let Some(left_out) = LINE.allow() {
        let listener = common.port.as_str();
        tracing::warn!(listener, %error, left_out, "a connection could not be accepted");
    }
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Rejects a connection when all slots are busy: with a short response, if it can be sent at once.
fn reject_connection(
    stream: &TcpStream,
    address: IpAddr,
    full: LimitReached,
    common: &ListenerContext,
) {
    static LINE: LogLimiter = LogLimiter::new();
    let listener = common.port.as_str();
    common.metrics.refused(listener, full.as_str());
    // The send buffer of a new connection is empty; a client that misses the response sees the
    // close.
    // With TLS it would not be understood.
    if common.tls.is_none() {
        let _ = stream.try_write(&common.port.refusal(full.message()));
    }
    if let LimitReached::Total { open } = full {
        resources::record_connection_limit(listener, open);
    }
    if let Some(left_out) = LINE.allow() {
        let why = full.message();
        tracing::warn!(listener, peer = %address, left_out, "a connection is rejected: {why}");
    }
}
