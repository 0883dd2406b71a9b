//! Connects the tools to a broker: its address, the connection, and its errors as text.
//!
//! Guarantees that every error names the address or the fields concerned and has an exit code.
//! Does not know what is sent over the connection, nor the broker's side of it.

mod diagnosis;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

pub use crate::contract::{ADMINISTRATOR_METADATA, APPLIANCE_METADATA};
use crate::exit_code::ExitCode;
use crate::show::escape::escape;
use crate::tasks::NamedExecutor;

/// The default address of a broker.
pub const DEFAULT_BROKER: &str = "127.0.0.1:7443";

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval of keep-alive pings on an idle connection, to detect a broker whose machine
/// vanished.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Why a call failed: the broker could not be reached, or replied with an error.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is invalid.
    #[error("broker address `{address}` is not host:port, for instance {DEFAULT_BROKER}")]
    Address {
        /// As given.
        address: String,
    },
    /// No program answers there.
    #[error(
        "no broker answers at {address} ({reason}); is gridd running? Set --broker or GRID_BROKER"
    )]
    Unreachable {
        /// The address that was tried.
        address: String,
        /// The innermost cause.
        reason: String,
    },
    /// A program answers there, but not as a gridd of this version does.
    #[error(
        "what answers at {address} is not gridd, or one of another version: {reason}; set gridd's \
         address by --broker or GRID_BROKER"
    )]
    NotGridd {
        /// The address that was tried.
        address: String,
        /// The evidence.
        reason: String,
    },
    /// A gridd of another version answers there.
    #[error("gridd {version} answers at {address} and does not know this call, which is of version {}",
        env!("CARGO_PKG_VERSION"))]
    OtherVersion {
        /// Its address.
        address: String,
        /// Its version.
        version: String,
    },
    /// The broker replied with a status.
    #[error("{}", describe_status(.0))]
    Status(Box<tonic::Status>),
}

impl ClientError {
    /// Classifies the status of a call to the broker at `address`. A status that our side of the
    /// connection created means only that the broker cannot be reached.
    pub fn from_status(address: &str, status: tonic::Status) -> Self {
        let address = address.to_owned();
        if let Some(cause) = std::error::Error::source(&status) {
            let reason = innermost_cause(cause);
            return match diagnosis::from_broken_connection(&reason) {
                Some(reason) => Self::NotGridd { address, reason },
                None => Self::Unreachable { address, reason },
            };
        }
        match diagnosis::from_status(&status) {
            Some(reason) => Self::NotGridd { address, reason },
            None => status.into(),
        }
    }

    /// Probes the address for a more precise error: which program answers there. Takes two seconds
    /// at most.
    pub async fn diagnose(self) -> Self {
        match self {
            Self::NotGridd { address, reason } if reason == diagnosis::UNKNOWN_CALL => {
                match diagnosis::gridd_version(&address).await {
                    Some(version) => Self::OtherVersion { address, version },
                    None => Self::NotGridd { address, reason },
                }
            }
            // Its HTTP already identifies it.
            Self::NotGridd { address, reason } if !reason.contains(diagnosis::NOT_HTTP2) => {
                Self::NotGridd { address, reason }
            }
            Self::NotGridd { address, reason } => match diagnosis::probe_protocol(&address).await {
                Some(reason) => Self::NotGridd { address, reason },
                None => Self::NotGridd { address, reason },
            },
            Self::Unreachable { address, reason } => {
                match diagnosis::probe_protocol(&address).await {
                    Some(reason) => Self::NotGridd { address, reason },
                    None => Self::Unreachable { address, reason },
                }
            }
            other @ (Self::Address { .. } | Self::OtherVersion { .. } | Self::Status(_)) => other,
        }
    }

    /// Whether the same call may succeed later: all errors except refusals by a gridd itself.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Address { .. } => false,
            Self::Unreachable { .. } | Self::NotGridd { .. } | Self::OtherVersion { .. } => true,
            Self::Status(status) => match status.code() {
                tonic::Code::Cancelled
                | tonic::Code::Unknown
                | tonic::Code::DeadlineExceeded
                | tonic::Code::ResourceExhausted
                | tonic::Code::Aborted
                | tonic::Code::Unimplemented
                | tonic::Code::Internal
                | tonic::Code::Unavailable
                | tonic::Code::DataLoss => true,
                tonic::Code::Ok
                | tonic::Code::InvalidArgument
                | tonic::Code::OutOfRange
                | tonic::Code::FailedPrecondition
                | tonic::Code::AlreadyExists
                | tonic::Code::NotFound
                | tonic::Code::PermissionDenied
                | tonic::Code::Unauthenticated => false,
            },
        }
    }

    /// The matching exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Address { .. } => ExitCode::Usage,
            Self::Unreachable { .. } | Self::NotGridd { .. } | Self::OtherVersion { .. } => {
                ExitCode::Unavailable
            }
            Self::Status(status) => match status.code() {
                tonic::Code::InvalidArgument | tonic::Code::OutOfRange => ExitCode::Usage,
                tonic::Code::FailedPrecondition
                | tonic::Code::AlreadyExists
                | tonic::Code::PermissionDenied
                | tonic::Code::Unauthenticated => ExitCode::Refused,
                tonic::Code::NotFound => ExitCode::NotFound,
                tonic::Code::Unavailable | tonic::Code::DeadlineExceeded => ExitCode::Unavailable,
                tonic::Code::Ok
                | tonic::Code::Cancelled
                | tonic::Code::Unknown
                | tonic::Code::ResourceExhausted
                | tonic::Code::Aborted
                | tonic::Code::Unimplemented
                | tonic::Code::Internal
                | tonic::Code::DataLoss => ExitCode::Failed,
            },
        }
    }
}

impl From<tonic::Status> for ClientError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// The endpoint of the broker at `address` (`host:port`, or an `http://` address).
///
/// # Errors
///
/// [`ClientError::Address`] if the address is invalid.
pub fn endpoint(address: &str) -> Result<Endpoint, ClientError> {
    let invalid = || ClientError::Address { address: address.to_owned() };
    let uri = match address.strip_prefix("http://") {
        Some(_) => address.to_owned(),
        None => format!("http://{address}"),
    };
    let parsed: http::Uri = uri.parse().map_err(|_| invalid())?;
    if parsed.port_u16().is_none() || !matches!(parsed.path(), "" | "/") {
        return Err(invalid());
    }
    Ok(Endpoint::from(parsed)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .executor(NamedExecutor("connection")))
}

/// Connects to the broker at `address`, as [`endpoint`] parses it.
///
/// # Errors
///
/// [`ClientError::Address`] if the address is invalid, [`ClientError::Unreachable`] if no program
/// answers within five seconds.
pub async fn connect(address: &str) -> Result<Channel, ClientError> {
    endpoint(address)?.connect().await.map_err(|error| ClientError::Unreachable {
        address: address.to_owned(),
        reason: innermost_cause(&error),
    })
}

fn innermost_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A status as text: its message, then each invalid field, then when to try again. All of it is
/// escaped, since the broker may quote an appliance.
fn describe_status(status: &tonic::Status) -> String {
    let details = status.get_error_details();
    let mut text = escape(status.message()).into_owned();
    if text.is_empty() {
        text = status.code().description().to_owned();
    }
    if let Some(bad) = details.bad_request() {
        for violation in &bad.field_violations {
            let (field, error) = (escape(&violation.field), escape(&violation.description));
            let line = format!("{field}: {error}");
            // The message of a single invalid field is the same text.
            if text != line {
                text.push_str(&format!("\n  {line}"));
            }
        }
    }
    if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
        text.push_str(&format!("\n  try again in {} s", delay.as_secs().max(1)));
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_status_names_each_field_and_escapes_control_characters() {
        let mut details = ErrorDetails::new();
        details
            .add_bad_request_violation("name", "`db\x1b[2J` holds `\u{202e}`; letters and digits");
        details.set_retry_info(Some(Duration::from_secs(3)));
        let status =
            tonic::Status::with_error_details(tonic::Code::InvalidArgument, "not a name", details);
        let error = ClientError::from(status);
        assert_eq!(
            error.to_string(),
            "not a name\n  name: `db\\x1b[2J` holds `\\u{202e}`; letters and digits\n  try again in 3 s"
        );
        assert_eq!(error.exit_code(), ExitCode::Usage);
    }

    #[test]
    fn a_single_field_in_the_message_is_not_repeated() {
        let details = ErrorDetails::with_bad_request_violation("name", "is too long");
        let code = tonic::Code::InvalidArgument;
        let status = tonic::Status::with_error_details(code, "name: is too long", details);
        assert_eq!(ClientError::from(status).to_string(), "name: is too long");
    }

    #[test]
    fn a_status_without_a_message_is_described_by_its_code() {
        let error = ClientError::from(tonic::Status::not_found(""));
        assert_eq!(error.to_string(), tonic::Code::NotFound.description());
        assert_eq!(error.exit_code(), ExitCode::NotFound);
    }
}
