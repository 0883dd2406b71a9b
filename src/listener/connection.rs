//! Serves one connection, from its first byte to its end.
//!
//! Guarantees one deadline from the accept until the first complete input: the TLS handshake if there
//! is one, the protocol, and on the HTTP port a request. After that, silent peers are detected by
//! pings (HTTP/2) or closed (HTTP/1), and a connection ends with its certificate. Limits that h2 and
//! hyper leave open are set here, lower ones for peers on TLS that have no certificate. Every request
//! has its [`Peer`] in its extensions. Works over any stream. Does not know the routes.

use std::convert::Infallible;
use std::net::IpAddr;
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

use super::{ListenerContext, Port, shutdown_requested};
use crate::clock::monotonic_now;
use crate::identity::peer::Peer;
use crate::listener::connection_limit::{ConnectionSlot, RequestInFlight};
use crate::listener::panic_guard;
use crate::listener::protocol;
use crate::listener::protocol::{DetectedProtocol, RewoundStream};
use crate::listener::tls::{AgreedProtocol, TlsConnection, TlsHandshakes};
use crate::listener::write_deadline::WriteDeadline;
use crate::tasks::NamedExecutor;

/// Timeout from the accept until the first complete input.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout from the accept until the first call of a peer that came over TLS without a certificate.
/// Others may connect to the gRPC port before they call.
const STRANGER_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long calls may take to end after the certificate of their connection ended.
const CERTIFICATE_GRACE: Duration = Duration::from_secs(2);

/// Timeout of each further request on an HTTP/1 connection, from the end of the previous one.
const NEXT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client on the wrong port has to read the response that says so.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// How many bytes of such a client are read meanwhile, so that a reset does not lose the response.
const REJECTION_BYTES_MAX: u64 = 64 << 10;

/// A peer that is silent for this long is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// A peer that does not reply to a ping within this time is disconnected.
const PONG_TIMEOUT: Duration = Duration::from_secs(20);

/// Flow-control window of a stream, in bytes; 64 KiB cost a third of the speed.
const STREAM_WINDOW: u32 = 512 << 10;

/// Flow-control window of a connection, in bytes.
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Concurrent calls on one connection; more wait for one to end. hyper's default.
const STREAMS_MAX: u32 = 200;

/// Both flow-control windows of a peer that came over TLS without a certificate, in bytes. A session
/// with a token is one of them: its events, 64 KiB in flight, are still 6 MiB/s at 10 ms of latency.
const STRANGER_WINDOW: u32 = 64 << 10;

/// Concurrent calls of such a peer.
const STRANGER_STREAMS_MAX: u32 = 16;

/// Headers of a call or a request, in bytes. hyper's default for HTTP/2.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Headers that clients may refer to later, in bytes: none. They would pin the buffer that they arrived in,
/// and a session has one call.
const HEADER_TABLE_BYTES: u32 = 0;

/// Unread responses of one call that are buffered, in bytes. hyper's default is 400 KiB.
const SEND_BYTES_MAX: usize = 64 << 10;

/// Streams that this side resets for errors of the peer, in the life of a connection. h2 also
/// counts excess streams, so that below `STREAMS_MAX` an eager client could be disconnected.
const LOCAL_RESETS_MAX: usize = 256;

/// Serves one connection until it ends; with the TLS handshake, if the listener has TLS.
pub(super) async fn serve_connection<S>(
    stream: S,
    address: IpAddr,
    common: Arc<ListenerContext>,
    slot: Arc<ConnectionSlot>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted_at = monotonic_now();
    let stream = WriteDeadline::new(stream);
    let Some(tls) = common.tls.as_ref().map(Arc::clone) else {
        let peer = Peer { address, is_tls: false, certificate: None };
        let talk = HttpConnection { common, slot, accepted_at, peer, has_request: Arc::default() };
        return talk.serve(stream, AgreedProtocol::None, stopping).await;
    };
    // In a box of its own, as each phase of a connection: what is over takes no memory.
    let handshake = tls.accept(stream, address);
    let handshake = tokio::time::timeout_at(accepted_at + FIRST_REQUEST_TIMEOUT, handshake);
    let accepted = tokio::select! {
        accepted = Box::pin(handshake) => accepted,
        () = shutdown_requested(&mut stopping) => return,
    };
    let connection = match accepted {
        Ok(Some(connection)) => connection,
        // It was counted.
        Ok(None) => return,
        Err(_) => return common.metrics.refused(common.port.as_str(), "silent"),
    };
    let TlsConnection { mut stream, protocol, certificate, is_stranger } = connection;
    if is_stranger && let Err(full) = slot.count_stranger() {
        common.metrics.refused(common.port.as_str(), full.as_str());
        let response = common.port.refusal(full.message());
        // A client that does not read it sees the close.
        let _ = tokio::time::timeout(REJECTION_TIMEOUT, stream.write_all(&response)).await;
        return;
    }
    let peer = Peer { address, is_tls: true, certificate };
    let talk = HttpConnection { common, slot, accepted_at, peer, has_request: Arc::default() };
    talk.serve(stream, protocol, stopping).await;
}

/// A connection and what serves it.
#[derive(Clone)]
struct HttpConnection {
    common: Arc<ListenerContext>,
    slot: Arc<ConnectionSlot>,
    accepted_at: Instant,
    peer: Peer,
    /// Whether a request arrived.
    has_request: Arc<AtomicBool>,
}

impl HttpConnection {
    /// Serves the connection; its protocol is the one that was agreed on, if one was.
    async fn serve<S>(self, stream: S, agreed: AgreedProtocol, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let until = self.accepted_at + FIRST_REQUEST_TIMEOUT;
        let detecting = tokio::time::timeout_at(until, protocol::detect(stream));
        let first = tokio::select! {
            first = Box::pin(detecting) => first,
            () = shutdown_requested(&mut stopping) => return,
        };
        let (detected, stream) = match first {
            Ok(Ok(first)) => first,
            // The connection ended or failed.
            Ok(Err(_)) => return,
            Err(_) => return self.refused("silent"),
        };
        match (detected, agreed) {
            (DetectedProtocol::Http2, AgreedProtocol::Http2 | AgreedProtocol::None) => {
                Box::pin(self.serve_http2(stream, stopping)).await;
            }
            (DetectedProtocol::Http1, AgreedProtocol::Http1 | AgreedProtocol::None) => {
                match self.common.port {
                    Port::Http => Box::pin(self.serve_http1(stream, stopping)).await,
                    Port::Grpc => Box::pin(self.reject_http1(stream)).await,
                }
            }
            (DetectedProtocol::Http1, AgreedProtocol::Http2)
            | (DetectedProtocol::Http2, AgreedProtocol::Http1)
            | (DetectedProtocol::Other, _) => self.refused("not_http"),
        }
    }

    /// Counts that the connection is refused or closed.
    fn refused(&self, reason: &'static str) {
        self.common.metrics.refused(self.common.port.as_str(), reason);
    }

    async fn serve_http2<S>(self, stream: RewoundStream<S>, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (streams_max, stream_window, connection_window) = if self.is_stranger() {
            (STRANGER_STREAMS_MAX, STRANGER_WINDOW, STRANGER_WINDOW)
        } else {
            (STREAMS_MAX, STREAM_WINDOW, CONNECTION_WINDOW)
        };
        let mut builder = http2::Builder::new(NamedExecutor("http2"));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PONG_TIMEOUT)
            .max_concurrent_streams(streams_max)
            .max_header_list_size(HEADER_BYTES_MAX)
            .header_table_size(HEADER_TABLE_BYTES)
            .max_send_buf_size(SEND_BYTES_MAX)
            .max_local_error_reset_streams(LOCAL_RESETS_MAX)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window);
        let talk = self.clone();
        // In a box that is freed when the response begins: the task of a call lives as long as its body.
        let service = service_fn(move |request| Box::pin(talk.clone().handle_request(request)));
        let served = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = self.first_request_timeout() => return,
            reason = self.certificate_refused() => {
                self.refused(reason);
                served.as_mut().graceful_shutdown();
                // After that the connection is cut.
                let ended = tokio::time::timeout(CERTIFICATE_GRACE, served).await;
                ended.unwrap_or(Ok(()))
            }
            () = shutdown_requested(&mut stopping) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        log_end(ended);
    }

    async fn serve_http1<S>(self, stream: RewoundStream<S>, mut stopping: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(NEXT_REQUEST_TIMEOUT)
            .max_buf_size(HEADER_BYTES_MAX as usize);
        let talk = self.clone();
        let service = service_fn(move |request| talk.clone().handle_request(request));
        let served = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = self.first_request_timeout() => return,
            reason = self.certificate_refused() => {
                self.refused(reason);
                served.as_mut().graceful_shutdown();
                // After that the connection is cut.
                let ended = tokio::time::timeout(CERTIFICATE_GRACE, served).await;
                ended.unwrap_or(Ok(()))
            }
            () = shutdown_requested(&mut stopping) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        log_end(ended);
    }

    /// Whether the peer came over TLS, and showed no certificate.
    fn is_stranger(&self) -> bool {
        self.peer.is_tls && self.peer.certificate.is_none()
    }

    /// Completes at the deadline if no request arrived. gRPC clients may connect before they call,
    /// and are pinged.
    async fn first_request_timeout(&self) {
        let within = match self.common.port {
            Port::Http => FIRST_REQUEST_TIMEOUT,
            Port::Grpc if self.is_stranger() => STRANGER_CALL_TIMEOUT,
            Port::Grpc => return std::future::pending().await,
        };
        tokio::time::sleep_until(self.accepted_at + within).await;
        if self.has_request.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        self.refused("silent");
    }

    /// Completes when the certificate of the connection is not accepted any more.
    async fn certificate_refused(&self) -> &'static str {
        let tls: Option<&TlsHandshakes> = self.common.tls.as_deref();
        match (tls, &self.peer.certificate) {
            (Some(tls), Some(certificate)) => tls.certificate_refused(certificate).await,
            (None, _) | (_, None) => std::future::pending().await,
        }
    }

    async fn handle_request(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<TrackedBody>, Infallible> {
        self.has_request.store(true, Ordering::Relaxed);
        let busy = self.slot.begin_request();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(self.peer.clone());
        let response = match self.common.policy.check(&parts) {
            Ok(()) => {
                let routes = TowerToHyperService::new(self.common.routes.clone());
                panic_guard::call_routes(routes, Request::from_parts(parts, body)).await
            }
            Err(refused) => {
                self.common.metrics.request_refused(self.common.port.as_str(), refused.label);
                panic_guard::rejection_response(&parts, &refused)
            }
        };
        Ok(response.map(|body| TrackedBody { body, _busy: busy }))
    }

    /// Rejects HTTP/1 on the gRPC port with a response that names the right port.
    async fn reject_http1<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: RewoundStream<S>) {
        self.refused("not_http2");
        let scheme = if self.common.is_other_tls { "https" } else { "http" };
        let sentence = format!(
            "this is the gRPC port of gridd, which accepts only HTTP/2; pages are on {scheme}://{}",
            self.common.other_address
        );
        let response = protocol::plain_response("505 HTTP Version Not Supported", &sentence);
        let sending = async {
            stream.write_all(&response).await?;
            stream.shutdown().await?;
            let mut rest = stream.take(REJECTION_BYTES_MAX);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        // A client that does not read it loses nothing.
        let _ = tokio::time::timeout(REJECTION_TIMEOUT, sending).await;
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}

/// The body of a response. Its request is in flight until the body is written or dropped.
struct TrackedBody {
    body: Body,
    _busy: RequestInFlight,
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
