//! The accept loop: ours, so that every connection and every call is a task with a name.
//!
//! Guarantees that a connection that fails ends alone, that silent ones are found by pings, and
//! that at the end those under way are waited for, though not for ever. Knows nothing of what is
//! served.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::middleware::map_response_with_state;
use axum::response::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::guard;
use super::status::code_word;
use crate::metrics::Metrics;
use crate::tasks::{self, NamedExecutor};

/// A peer that is silent for so long is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(20);

/// A peer that does not answer for so long is gone.
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Flow-control window of a stream, in bytes; 64 KiB cost a third of the speed.
const STREAM_WINDOW: u32 = 512 << 10;

/// Flow-control window of a connection, in bytes.
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Calls under way on one connection; more wait for one to end. hyper's own default.
const STREAMS_MAX: u32 = 200;

/// Headers of a call or a request, in bytes. hyper's own default for HTTP/2.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Pause after a failed accept: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are told to end get so long.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// Serves `routes` of `listener`, which is for `what`, until `stopping` turns true and its connections have ended.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    what: &'static str,
    stopping: watch::Receiver<bool>,
) {
    let (cut, cutting) = watch::channel(false);
    // Every connection holds a clone; when the last one is gone, all have ended.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let mut stops = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stops) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                tracing::trace!(%peer, "connected");
                let (routes, stopping, open) = (routes.clone(), stopping.clone(), open.clone());
                let mut cutting = cutting.clone();
                drop(tasks::spawn("connection", async move {
                    tokio::select! {
                        () = connection(stream, routes, stopping) => {}
                        () = stopped(&mut cutting) => {}
                    }
                    drop(open);
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((listener, open));
    if tokio::time::timeout(DRAIN_WITHIN, all_closed.recv()).await.is_err() {
        tracing::warn!(listener = what, "connections did not end in time and are cut");
        cut.send_replace(true);
        all_closed.recv().await;
    }
}

/// The same routes, with calls counted that a status answers in place of an answer.
pub fn counted(routes: Router, metrics: Metrics) -> Router {
    routes.layer(map_response_with_state(metrics, count_refused))
}

/// Statuses that come before any message stand in the headers.
async fn count_refused(State(metrics): State<Metrics>, response: Response) -> Response {
    let status = |headers: &HeaderMap| headers.get("grpc-status").map(|it| it.as_bytes().to_vec());
    if let Some(code) = status(response.headers()).map(|it| tonic::Code::from_bytes(&it))
        && code != tonic::Code::Ok
    {
        metrics.refused(code_word(code));
    }
    response
}

/// Ends when `stopping` turns true.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that has gone means the same.
    let _ = stopping.wait_for(|stops| *stops).await;
}

async fn connection(stream: TcpStream, routes: Router, mut stopping: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays slow: no TCP_NODELAY");
    }
    // A peer that says nothing at all has no protocol yet in which it could be asked.
    let mut first_byte = [0];
    let heard = tokio::time::timeout(PING_AFTER, stream.peek(&mut first_byte));
    let heard = tokio::select! {
        heard = heard => heard,
        () = stopped(&mut stopping) => return,
    };
    if !matches!(heard, Ok(Ok(1..))) {
        return;
    }
    let mut builder = auto::Builder::new(NamedExecutor("http2"));
    builder.http1().timer(TokioTimer::new()).max_buf_size(HEADER_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |request| guard::answer(routes.clone(), request));
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopped(&mut stopping) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
