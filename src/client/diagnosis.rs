//! Identifies the program at a broker's address if it is not gridd, or is another version of it.
//!
//! Guarantees that a status of a gridd of this version is never attributed to another program, and
//! that probing takes bounded time. Does not know what was requested.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::contract::proto::GetStatusRequest;
use crate::contract::proto::broker_service_client::BrokerServiceClient;
use crate::show::escape::excerpt;

/// Each step of probing takes no longer than this.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// The beginning of HTTP/2: the preface, and an empty settings frame.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The length of a frame header; the type of the settings frame, which a server sends first.
const FRAME_HEAD_BYTES: usize = 9;
const SETTINGS_FRAME: u8 = 4;

/// How much of the server's first bytes is read.
const PROBE_BYTES: usize = 64;

/// The server does not support the call.
pub(super) const UNKNOWN_CALL: &str = "it does not know this call (gRPC UNIMPLEMENTED)";

/// tonic's texts for an HTTP status without a gRPC status.
const MAPPED_STATUS: &str = "grpc-status header missing, mapped from HTTP status code ";
const STATUS_SUFFIX: &str = "with status: ";

/// What answers speaks TLS.
pub(super) const SPEAKS_TLS: &str = "it speaks TLS";

/// h2's text for input that is not HTTP/2.
pub(super) const NOT_HTTP2: &str = "connection error detected";

/// Why the status is not of a gridd of this version; `None` if it may be.
pub(super) fn from_status(status: &Status) -> Option<String> {
    // gridd always adds details: fields or a reason.
    if !status.details().is_empty() {
        return None;
    }
    let message = status.message();
    if let Some(code) = message.strip_prefix(MAPPED_STATUS) {
        return Some(web_server_reason(code));
    }
    if let Some(error) = message.strip_prefix("protocol error: ") {
        return Some(match error.split_once(STATUS_SUFFIX) {
            Some((_, "200 OK")) | None => "it does not send gRPC".to_owned(),
            Some((_, status)) => web_server_reason(status),
        });
    }
    match status.code() {
        Code::Unimplemented => Some(UNKNOWN_CALL.to_owned()),
        Code::Unauthenticated | Code::PermissionDenied | Code::NotFound => {
            let (code, message) = (status.code().description(), excerpt(message));
            Some(format!("it replies `{message}` ({code}), and not as gridd does"))
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => None,
    }
}

/// The same for the cause of a broken connection.
pub(super) fn from_broken_connection(cause: &str) -> Option<String> {
    cause.starts_with(NOT_HTTP2).then(|| format!("it does not speak HTTP/2 ({cause})"))
}

fn web_server_reason(status: &str) -> String {
    format!("it replies with HTTP status {}, as a web server or a proxy does", excerpt(status))
}

/// The version of the gridd at this address, if it is one.
pub(super) async fn gridd_version(address: &str) -> Option<String> {
    let asked = async {
        let channel = super::connect(address).await.ok()?;
        let mut client = BrokerServiceClient::new(channel);
        let answer = client.get_status(GetStatusRequest {}).await.ok()?;
        Some(answer.into_inner().version).filter(|version| !version.is_empty())
    };
    timeout(PROBE_WITHIN, asked).await.ok().flatten()
}

/// Describes the protocol at `host_and_port` by its first bytes; `None` if no program answers, or if
/// it speaks HTTP/2.
pub(super) async fn probe_protocol(host_and_port: &str) -> Option<String> {
    from_first_bytes(&first_bytes(host_and_port).await?)
}

/// Whether a server answers at `host_and_port` that speaks HTTP/2 without TLS.
pub(super) async fn speaks_plain_http2(host_and_port: &str) -> bool {
    first_bytes(host_and_port).await.is_some_and(|first| is_http2(&first))
}

/// The answer to the beginning of HTTP/2, as far as it came in time.
async fn first_bytes(host_and_port: &str) -> Option<Vec<u8>> {
    let looked = async {
        let mut stream = TcpStream::connect(host_and_port).await.ok()?;
        stream.write_all(HTTP2_PREFACE).await.ok()?;
        let mut first = Vec::new();
        let mut stream = stream.take(PROBE_BYTES as u64);
        // The server may wait for more input, so the bytes received so far count.
        let _ = timeout(PROBE_WITHIN / 2, async {
            while first.len() < FRAME_HEAD_BYTES && stream.read_buf(&mut first).await? > 0 {}
            Ok::<(), std::io::Error>(())
        })
        .await;
        Some(first)
    };
    timeout(PROBE_WITHIN, looked).await.ok().flatten()
}

fn is_http2(first: &[u8]) -> bool {
    first.len() >= FRAME_HEAD_BYTES && first.get(3) == Some(&SETTINGS_FRAME)
}

fn from_first_bytes(first: &[u8]) -> Option<String> {
    match first {
        [] => None,
        _ if is_http2(first) => None,
        // A TLS record: alert or handshake.
        [0x15 | 0x16, 0x03, ..] => Some(SPEAKS_TLS.to_owned()),
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => {
            Some("it speaks HTTP/1, as a web server does".to_owned())
        }
        _ => {
            let first = String::from_utf8_lossy(first);
            let line = first.lines().next().unwrap_or_default();
            Some(format!("it begins with `{}`", excerpt(line)))
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    #[test]
    fn a_status_of_another_program_is_distinguished_from_gridds() {
        let web = |status| {
            format!("it replies with HTTP status {status}, as a web server or a proxy does")
        };
        for (code, message, expected) in [
            (Code::Unimplemented, "", Some(UNKNOWN_CALL.to_owned())),
            (Code::Unimplemented, "Method not found!", Some(UNKNOWN_CALL.to_owned())),
            (Code::Unimplemented, &format!("{MAPPED_STATUS}404"), Some(web("404"))),
            (Code::Unavailable, &format!("{MAPPED_STATUS}502"), Some(web("502"))),
            (Code::Unauthenticated, &format!("{MAPPED_STATUS}401"), Some(web("401"))),
            (
                Code::Internal,
                "protocol error: received message with invalid compression flag: 60 (valid flags \
                 are 0 and 1) while receiving response with status: 404 Not Found",
                Some(web("404 Not Found")),
            ),
            (
                Code::Unknown,
                "protocol error: missing grpc-status trailer, stream was terminated",
                Some("it does not send gRPC".to_owned()),
            ),
            (
                Code::PermissionDenied,
                "RBAC: access denied",
                Some(
                    "it replies `RBAC: access denied` (The caller does not have permission to \
                     execute the specified operation), and not as gridd does"
                        .to_owned(),
                ),
            ),
            (Code::Unavailable, "the journal is full", None),
            (Code::InvalidArgument, "malformed", None),
            (Code::Internal, "failed to decode Protobuf message: x", None),
        ] {
            assert_eq!(from_status(&Status::new(code, message)), expected, "{code:?} {message}");
        }
        let details = tonic_types::ErrorDetails::with_error_info("NOT_FOUND", "grid-broker", []);
        let own = Status::with_error_details(Code::NotFound, "no db1", details);
        assert_eq!(from_status(&own), None);
    }

    #[test]
    fn other_protocols_are_named_by_their_first_bytes() {
        for (first, expected) in [
            (&b""[..], None),
            (b"\0\0\x12\x04\0\0\0\0\0\0\0", None),
            (b"\x15\x03\x01\0\x02\x02\x46", Some(SPEAKS_TLS)),
            (b"HTTP/1.1 400 Bad Request\r\n", Some("it speaks HTTP/1, as a web server does")),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Some("it begins with `SSH-2.0-OpenSSH_9.2`")),
            (b"\x1b[2J", Some("it begins with `\\x1b[2J`")),
        ] {
            assert_eq!(from_first_bytes(first).as_deref(), expected, "{first:?}");
        }
    }
}
