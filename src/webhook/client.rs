//! Makes one HTTP request over a connection of its own, and reads what the server answers.
//!
//! Guarantees that a request ends within its time limits, that no redirect is followed, and that at
//! most 64 KiB of an answer are kept. Does not know what an answer means.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, LOCATION, RETRY_AFTER, USER_AGENT,
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::rustls;

use crate::config::http_target::HttpTarget;
use crate::grid::values::time::describe_duration;

/// Most addresses of a host that are tried; they share the time limit.
const ADDRESSES_MAX: usize = 4;

/// Most bytes that are read of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Longest header that is kept of an answer, in bytes.
const HEADER_BYTES_MAX: usize = 1_000;

/// How we name ourselves.
const AGENT: &str = concat!("gridd/", env!("CARGO_PKG_VERSION"));

/// The time limits of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// Until there is a connection, TLS included.
    pub(super) connect: Duration,
    /// Until the answer was read.
    pub(super) whole: Duration,
}

/// The time limits of gridd.
pub(super) const TIME_LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_secs(5), whole: Duration::from_secs(20) };

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    /// The status code.
    pub(super) status: u16,
    /// The header `Content-Type`.
    pub(super) content_type: String,
    /// The header `Location`.
    pub(super) location: String,
    /// The header `Retry-After`.
    pub(super) retry_after: String,
    /// The beginning of its body.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpFailure {
    /// What failed.
    step: HttpStep,
    /// The reason, in the system's own words.
    reason: String,
}

/// A step of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HttpStep {
    Build,
    Lookup,
    Connect,
    Handshake,
    Send,
    Wait,
    Read,
}

impl HttpFailure {
    /// Whether the server was not reached, so that it can know nothing of the request.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.step, HttpStep::Lookup | HttpStep::Connect)
    }
}

impl fmt::Display for HttpStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Build => "building the request",
            Self::Lookup => "looking up the host",
            Self::Connect => "connecting",
            Self::Handshake => "TLS handshake",
            Self::Send => "sending the request",
            Self::Wait => "waiting for the answer",
            Self::Read => "reading the answer",
        })
    }
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.step, self.reason)
    }
}

fn failure(step: HttpStep, reason: impl fmt::Display) -> HttpFailure {
    HttpFailure { step, reason: reason.to_string() }
}

/// Sends `json` by POST.
pub(super) async fn post_json(
    target: &HttpTarget,
    json: Vec<u8>,
    limits: TimeLimits,
) -> Result<HttpAnswer, HttpFailure> {
    request(target, Method::POST, Some(json), limits).await
}

/// Requests the URL itself by GET.
pub(super) async fn get(
    target: &HttpTarget,
    limits: TimeLimits,
) -> Result<HttpAnswer, HttpFailure> {
    request(target, Method::GET, None, limits).await
}

async fn request(
    target: &HttpTarget,
    method: Method,
    json: Option<Vec<u8>>,
    limits: TimeLimits,
) -> Result<HttpAnswer, HttpFailure> {
    let request = build(target, method, json)?;
    let exchange = async {
        let connecting = timeout(limits.connect, connect(target)).await;
        let socket = connecting.map_err(|_| {
            failure(
                HttpStep::Connect,
                format_args!("not within {}", describe_duration(limits.connect)),
            )
        })??;
        let Some((connector, name)) = &target.tls else {
            return exchange(socket, request).await;
        };
        let handshake = timeout(limits.connect, connector.connect(name.clone(), socket)).await;
        let stream = handshake.map_err(|_| {
            let within = describe_duration(limits.connect);
            failure(HttpStep::Handshake, format_args!("not within {within}"))
        })?;
        exchange(stream.map_err(|error| failure(HttpStep::Handshake, tls_text(&error)))?, request)
            .await
    };
    let within = describe_duration(limits.whole);
    timeout(limits.whole, exchange).await.unwrap_or_else(|_| {
        Err(failure(HttpStep::Wait, format_args!("it is not complete within {within}")))
    })
}

fn build(
    target: &HttpTarget,
    method: Method,
    json: Option<Vec<u8>>,
) -> Result<Request<Full<Bytes>>, HttpFailure> {
    let mut request = Request::builder()
        .method(method)
        .uri(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/json, text/plain, */*");
    if json.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(authorization) = &target.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let body = Full::new(Bytes::from(json.unwrap_or_default()));
    request.body(body).map_err(|error| failure(HttpStep::Build, error))
}

/// A connection to the first address of the host that accepts one.
async fn connect(target: &HttpTarget) -> Result<TcpStream, HttpFailure> {
    let addresses = lookup_host((target.host.as_str(), target.port)).await;
    let addresses = addresses.map_err(|error| failure(HttpStep::Lookup, error))?;
    let mut last = failure(HttpStep::Lookup, "it has no address");
    for address in addresses.take(ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = failure(HttpStep::Connect, format_args!("{error}, at {address}")),
        }
    }
    Err(last)
}

/// Why a handshake failed, with the setting that may help.
fn tls_text(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let is_of_unknown_ca = tls.is_some_and(|it| {
        matches!(
            it,
            rustls::Error::InvalidCertificate(
                rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature
            )
        )
    });
    let is_no_tls = tls.is_some_and(|it| matches!(it, rustls::Error::InvalidMessage(_)));
    match (is_of_unknown_ca, is_no_tls) {
        (true, _) => format!("{error}; name the certificate of the CA that signed it in ca_file"),
        (_, true) => format!("{error}; does the server speak TLS at this port?"),
        (false, false) => error.to_string(),
    }
}

/// Sends the request and reads the answer. Ends the connection.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<HttpAnswer, HttpFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(HttpStep::Send, describe(&error)))?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| failure(HttpStep::Wait, describe(&error)))?;
        read(response).await
    };
    tokio::pin!(exchange, connection);
    // The connection does the reading and writing; it may end before its answer was taken out of it.
    tokio::select! {
        answer = &mut exchange => answer,
        _ = &mut connection => exchange.await,
    }
}

async fn read(response: Response<Incoming>) -> Result<HttpAnswer, HttpFailure> {
    let (head, mut body) = response.into_parts();
    let header = |name: HeaderName| {
        let value = head.headers.get(name).map(|value| value.as_bytes()).unwrap_or_default();
        String::from_utf8_lossy(&value[..value.len().min(HEADER_BYTES_MAX)]).into_owned()
    };
    let mut answer = HttpAnswer {
        status: head.status.as_u16(),
        content_type: header(CONTENT_TYPE),
        location: header(LOCATION),
        retry_after: header(RETRY_AFTER),
        body: Vec::new(),
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            failure(
                HttpStep::Read,
                format_args!("HTTP {}, then {}", answer.status, describe(&error)),
            )
        })?;
        let Some(data) = frame.data_ref() else { continue };
        let room = ANSWER_BYTES_MAX - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break;
        }
    }
    Ok(answer)
}

/// An error of the library with its cause, which often is the one of the system.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
