//! One connection, from its first byte to its end.
//!
//! Guarantees one deadline from the accept until the other side has said something whole: what it
//! speaks, and on the HTTP port a request. After that silent peers are found by pings (HTTP/2) or end
//! (HTTP/1). What h2 and hyper leave open is bounded here. Works over anything that can be read and
//! written, so that TLS can lie below.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::first_bytes::{self, Protocol, Rewound};
use super::{Common, Port, guard, stopped};
use crate::clock::monotonic_now;
use crate::listener::connection_limits::{Busy, ConnectionPermit};
use crate::tasks::NamedExecutor;

/// From the accept until the other side has said something whole.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// Each further request of a connection of HTTP/1, from the end of the one before.
const NEXT_WITHIN: Duration = Duration::from_secs(30);

/// Whoever takes this port for another hears so, and has so long to read it.
const REDIRECTED_WITHIN: Duration = Duration::from_secs(2);

/// What is read of such a peer meanwhile, in bytes, so that the word is not lost by a reset.
const REDIRECTED_BYTES_MAX: u64 = 64 << 10;

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

/// Answers of one call that wait for the other side to read them, in bytes. hyper's own is 400 KiB.
const SEND_BYTES_MAX: usize = 64 << 10;

/// Streams that we reset for errors of the other side, in a connection's life. h2 counts those that
/// were too many, too: below `STREAMS_MAX` an eager client could be cut.
const OUR_RESETS_MAX: usize = 256;

/// Serves one connection until it ends.
pub(super) async fn serve_connection<S>(
    stream: S,
    common: Arc<Common>,
    place: Arc<ConnectionPermit>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let until = monotonic_now() + FIRST_WITHIN;
    let first = tokio::select! {
        first = tokio::time::timeout_at(until, first_bytes::read(stream)) => first,
        () = stopped(&mut stopping) => return,
    };
    let (speaks, stream) = match first {
        Ok(Ok(first)) => first,
        // It ended, or broke.
        Ok(Err(_)) => return,
        Err(_) => return common.counted.refused(common.port.word(), "silent"),
    };
    let talk = ConnectionTask { common, place, until, asked: Arc::default() };
    match (speaks, talk.common.port) {
        (Protocol::Http2, _) => talk.http2(stream, stopping).await,
        (Protocol::Http1, Port::Http) => talk.http1(stream, stopping).await,
        (Protocol::Http1, Port::Grpc) => talk.redirect(stream).await,
        (Protocol::Other, _) => talk.common.counted.refused(talk.common.port.word(), "not_http"),
    }
}

/// What one connection is served with.
#[derive(Clone)]
struct ConnectionTask {
    common: Arc<Common>,
    place: Arc<ConnectionPermit>,
    /// When something whole must have been said.
    until: Instant,
    /// A request came.
    asked: Arc<AtomicBool>,
}

impl ConnectionTask {
    async fn http2<S>(self, stream: Rewound<S>, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(NamedExecutor("http2"));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PONG_WITHIN)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_send_buf_size(SEND_BYTES_MAX)
            .max_local_error_reset_streams(OUR_RESETS_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let talk = self.clone();
        let service = service_fn(move |request| talk.clone().answer(request));
        let served = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = self.silent() => return,
            () = stopped(&mut stopping) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        report(ended);
    }

    async fn http1<S>(self, stream: Rewound<S>, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(NEXT_WITHIN)
            .max_buf_size(HEADER_BYTES_MAX as usize);
        let talk = self.clone();
        let service = service_fn(move |request| talk.clone().answer(request));
        let served = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = self.silent() => return,
            () = stopped(&mut stopping) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        report(ended);
    }

    /// Ends at the deadline, if no request came; gRPC clients may connect before they call, and are
    /// pinged.
    async fn silent(&self) {
        if self.common.port == Port::Grpc {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.until).await;
        if self.asked.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        self.common.counted.refused(self.common.port.word(), "silent");
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<TrackedBody>, Infallible> {
        self.asked.store(true, Ordering::Relaxed);
        let busy = self.place.busy();
        let (parts, body) = request.into_parts();
        let answer = match self.common.gate.check(&parts) {
            Ok(()) => {
                let routes = TowerToHyperService::new(self.common.routes.clone());
                guard::respond(routes, Request::from_parts(parts, body)).await
            }
            Err(refused) => {
                self.common.counted.request_refused(self.common.port.word(), refused.reason);
                guard::refusal(&parts, &refused)
            }
        };
        Ok(answer.map(|body| TrackedBody { body, _busy: busy }))
    }

    /// Tells whoever speaks HTTP/1 to the gRPC port what it is.
    async fn redirect<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: Rewound<S>) {
        self.common.counted.refused(self.common.port.word(), "not_http2");
        let sentence = format!(
            "this is gridd's gRPC port, which speaks HTTP/2 alone; pages are on http://{}",
            self.common.other
        );
        let word = first_bytes::plain_answer("505 HTTP Version Not Supported", &sentence);
        let telling = async {
            stream.write_all(&word).await?;
            stream.shutdown().await?;
            let mut rest = stream.take(REDIRECTED_BYTES_MAX);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // Whoever does not read it does not mind.
        let _ = tokio::time::timeout(REDIRECTED_WITHIN, telling).await;
    }
}

fn report(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// An answer's body; until all of it is written, or nobody reads it any more, its request is under
/// way.
struct TrackedBody {
    body: Body,
    _busy: Busy,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
