//! Rejects requests of other origins and unknown host names before any handler runs.
//!
//! Guarantees that no page of another origin can change anything. The gRPC port accepts only gRPC,
//! and nothing that a browser sent: every browser adds `Origin` to a POST. On the HTTP port,
//! requests that change something must come from gridd's own pages, or from no browser. On both
//! ports, the host name must be one that nobody else can point at this machine. Does not know
//! users: handlers authorize them.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{Method, StatusCode, Version};

use super::Port;
use super::hosts::AllowedHosts;

/// The gRPC code PERMISSION_DENIED.
const PERMISSION_DENIED: u8 = 7;

/// Maximum length of a part of a request that a rejection quotes, in bytes.
const QUOTE_BYTES_MAX: usize = 100;

/// Checks requests before they are handled.
#[derive(Clone, Debug)]
pub(super) struct RequestPolicy {
    port: Port,
    hosts: Arc<AllowedHosts>,
}

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestRejection {
    /// The label of metrics.
    pub(super) label: &'static str,
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// The gRPC code, for gRPC requests.
    pub(super) code: Option<u8>,
    /// The message.
    pub(super) message: String,
}

impl RequestPolicy {
    pub(super) fn new(port: Port, hosts: Arc<AllowedHosts>) -> Self {
        Self { port, hosts }
    }

    /// Accepts the request, or returns why it is rejected.
    pub(super) fn check(&self, request: &Parts) -> Result<(), RequestRejection> {
        match self.port {
            Port::Grpc => {
                reject_browsers(request)?;
                require_grpc(request)?;
                self.check_host(request).map_err(|refused| RequestRejection {
                    code: Some(PERMISSION_DENIED),
                    ..refused
                })
            }
            Port::Http => {
                self.check_host(request)?;
                if request.method.is_safe() { Ok(()) } else { check_same_origin(request) }
            }
        }
    }

    fn check_host(&self, request: &Parts) -> Result<(), RequestRejection> {
        let by_header: Vec<&str> =
            request.headers.get_all(HOST).iter().map(|it| it.to_str().unwrap_or("?")).collect();
        let by_target = request.uri.authority().map(http::uri::Authority::as_str);
        if by_header.len() > 1 {
            return Err(rejection(
                "host",
                StatusCode::BAD_REQUEST,
                "the request has two Host headers",
            ));
        }
        let mut names = by_target.into_iter().chain(by_header).peekable();
        if names.peek().is_none() {
            // No browser uses HTTP/1.0; health checks of load balancers do.
            return match request.version {
                Version::HTTP_09 | Version::HTTP_10 => Ok(()),
                _ => Err(rejection(
                    "host",
                    StatusCode::BAD_REQUEST,
                    "the request has no Host header",
                )),
            };
        }
        match names.find(|name| !self.hosts.allows(name)) {
            None => Ok(()),
            Some(wrong) => {
                let sentence = format!(
                    "{} is not a name of this broker; besides addresses and localhost, the setting \
                     `hosts` lists its names",
                    quote(wrong)
                );
                Err(rejection("host", StatusCode::MISDIRECTED_REQUEST, sentence))
            }
        }
    }
}

fn rejection(
    word: &'static str,
    status: StatusCode,
    sentence: impl Into<String>,
) -> RequestRejection {
    RequestRejection { label: word, status, code: None, message: sentence.into() }
}

/// Untrusted text, made safe to show.
fn quote(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' });
    format!("`{}`", shown.take(QUOTE_BYTES_MAX).collect::<String>())
}

fn reject_browsers(request: &Parts) -> Result<(), RequestRejection> {
    let is_browsers = |name: &str| name == ORIGIN.as_str() || name.starts_with("sec-fetch-");
    match request.headers.keys().find(|name| is_browsers(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let sentence = format!("this is the gRPC port; browsers (header {name}) are rejected");
            Err(rejection("browser", StatusCode::FORBIDDEN, sentence))
        }
    }
}

fn require_grpc(request: &Parts) -> Result<(), RequestRejection> {
    let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    // Browsers use application/grpc-web, which is a different protocol.
    let is_grpc = kind
        .and_then(|kind| kind.strip_prefix("application/grpc"))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']));
    if !is_grpc {
        let sentence = "this is the gRPC port; it accepts only application/grpc";
        return Err(rejection("media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    if request.method != Method::POST {
        let sentence = "this is the gRPC port; every call is a POST";
        return Err(rejection("media_type", StatusCode::METHOD_NOT_ALLOWED, sentence));
    }
    Ok(())
}

/// Checks the headers that browsers set themselves, without tokens, as Go's CrossOriginProtection
/// does.
fn check_same_origin(request: &Parts) -> Result<(), RequestRejection> {
    let header = |name: &str| request.headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    let is_ours = match (header("sec-fetch-site"), header("origin")) {
        (Some("same-origin" | "none"), _) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => {
            let host = header("host").or(request.uri.authority().map(|it| it.as_str()));
            let named = origin.split_once("://").map(|(_, named)| named);
            named.is_some() && named == host
        }
        // Not a browser. If cookies are introduced, they must not count here.
        (None, None) => true,
    };
    if is_ours {
        return Ok(());
    }
    let sentence = "a page of another origin cannot change anything here";
    Err(rejection("cross_origin", StatusCode::FORBIDDEN, sentence))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// The status of a rejected request with these headers; 0 if it is accepted.
    fn status(port: Port, request: http::request::Builder) -> u16 {
        let gate = RequestPolicy::new(
            port,
            Arc::new(AllowedHosts::new("broker.example").expect("a name")),
        );
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        gate.check(&parts).map_or_else(|refused| refused.status.as_u16(), |()| 0)
    }

    fn call() -> http::request::Builder {
        Request::post("http://127.0.0.1:7443/a.B/C").header("content-type", "application/grpc")
    }

    #[test]
    fn the_grpc_port_takes_grpc_of_programs_alone() {
        assert_eq!(status(Port::Grpc, call()), 0);
        for kind in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
            let request = Request::post("http://[::1]/a.B/C").header("content-type", kind);
            assert_eq!(status(Port::Grpc, request), 0, "{kind}");
        }
        for kind in ["text/plain", "application/grpc-web", "application/grpc-web+proto", ""] {
            let request = Request::post("http://127.0.0.1/a.B/C").header("content-type", kind);
            assert_eq!(status(Port::Grpc, request), 415, "{kind}");
        }
        assert_eq!(status(Port::Grpc, Request::post("http://127.0.0.1/a.B/C")), 415);
        assert_eq!(status(Port::Grpc, call().method("GET")), 405);
        for (name, value) in [
            ("origin", "http://127.0.0.1:7443"),
            ("origin", "null"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors"),
        ] {
            assert_eq!(status(Port::Grpc, call().header(name, value)), 403, "{name}: {value}");
        }
    }

    #[test]
    fn names_that_others_control_are_rejected_on_both_ports() {
        for (host, expected) in [
            ("127.0.0.1:7480", 0),
            ("localhost", 0),
            ("broker.example:1", 0),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
        ] {
            let page = Request::get("/metrics").header("host", host);
            assert_eq!(status(Port::Http, page), expected, "{host}");
            let call = call().uri(format!("http://{host}/a.B/C"));
            assert_eq!(status(Port::Grpc, call), expected, "{host}");
        }
        let two = Request::get("/").header("host", "localhost").header("host", "localhost");
        assert_eq!(status(Port::Http, two), 400);
        let both = Request::get("http://evil.example/").header("host", "localhost");
        assert_eq!(status(Port::Http, both), 421, "the target counts too");
        assert_eq!(status(Port::Http, Request::get("/")), 400, "HTTP/1.1 without a Host");
        let probe = Request::get("/").version(Version::HTTP_10);
        assert_eq!(status(Port::Http, probe), 0, "no browser speaks HTTP/1.0");
    }

    #[test]
    fn only_our_own_pages_can_change_something() {
        let post = || Request::post("/").header("host", "127.0.0.1:7480");
        let own = "http://127.0.0.1:7480";
        for (headers, expected) in [
            (&[][..], 0),
            (&[("sec-fetch-site", "same-origin")], 0),
            (&[("sec-fetch-site", "same-origin"), ("origin", own)], 0),
            (&[("origin", own)], 0),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("sec-fetch-site", "same-site"), ("origin", own)], 403),
            (&[("origin", "http://127.0.0.1:9")], 403),
            (&[("origin", "null")], 403),
        ] {
            let request = headers.iter().fold(post(), |it, (name, value)| it.header(*name, *value));
            assert_eq!(status(Port::Http, request), expected, "{headers:?}");
        }
        let read =
            Request::get("/").header("host", "localhost").header("sec-fetch-site", "cross-site");
        assert_eq!(status(Port::Http, read), 0, "reading changes nothing");
    }
}
