//! Connects the tools to a broker: its address, the connection, and its errors as text.
//!
//! [`ConnectOptions`] say how: address, trust, credential. [`ConnectOptions::connect`] returns a
//! [`BrokerChannel`], which generated clients take. [`ClientError::from_status`] explains a failed call.
//!
//! Guarantees that every error names the address or the fields concerned and has an exit code.
//! Does not know what is sent over the connection, nor the broker's side of it.

mod channel;
mod diagnosis;
mod options;
mod pin;
mod secure_connector;
mod security_failure;
#[cfg(test)]
mod tests;
mod tls_failure;
mod token_text;

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use crate::client::secure_connector::SecureConnector;
use crate::client::security_failure::LastFailure;
use crate::exit_code::ExitCode;
use crate::show::escape::escape;
use crate::tasks::NamedExecutor;

pub use crate::contract::{ADMINISTRATOR_METADATA, APPLIANCE_METADATA};
pub use channel::BrokerChannel;
pub use options::{BrokerAddress, ClientCredential, ConnectOptions, ServerTrust};
pub use security_failure::{SecurityFailure, SecurityFailureKind};
pub use token_text::{TokenText, TokenTextError};

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
    /// TLS failed, or the options for it are wrong.
    #[error("{0}")]
    Security(Box<SecurityFailure>),
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
            if let Some(failure) = find_security_failure(cause) {
                return failure.into();
            }
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

    /// Probes the address for a more precise error: which program answers there. Takes three seconds
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
            Self::NotGridd { address, reason } => match probed(&address).await {
                Some(error) => error,
                None => Self::NotGridd { address, reason },
            },
            Self::Unreachable { address, reason } => match probed(&address).await {
                Some(error) => error,
                None => Self::Unreachable { address, reason },
            },
            other @ (Self::Address { .. }
            | Self::OtherVersion { .. }
            | Self::Security(_)
            | Self::Status(_)) => other,
        }
    }

    /// Whether the broker refused our credential, or we have none that can be used: the same call
    /// succeeds once somebody has given us another one, or our rights.
    pub fn is_about_credential(&self) -> bool {
        match self {
            Self::Security(failure) => match failure.kind {
                SecurityFailureKind::Options | SecurityFailureKind::Refused => true,
                SecurityFailureKind::Server => false,
            },
            Self::Status(status) => {
                matches!(
                    status.code(),
                    tonic::Code::Unauthenticated | tonic::Code::PermissionDenied
                )
            }
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::NotGridd { .. }
            | Self::OtherVersion { .. } => false,
        }
    }

    /// Whether the same call may succeed later: all errors except refusals by a gridd itself.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Address { .. } => false,
            Self::Unreachable { .. } | Self::NotGridd { .. } | Self::OtherVersion { .. } => true,
            Self::Security(failure) => failure.kind == SecurityFailureKind::Server,
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
            Self::Security(failure) => match failure.kind {
                SecurityFailureKind::Options => ExitCode::Usage,
                SecurityFailureKind::Server => ExitCode::Unavailable,
                SecurityFailureKind::Refused => ExitCode::Refused,
            },
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

impl From<SecurityFailure> for ClientError {
    fn from(failure: SecurityFailure) -> Self {
        Self::Security(Box::new(failure))
    }
}

/// The endpoint of the broker at `address`, without its TLS.
fn endpoint(address: &BrokerAddress, is_tls: bool) -> Result<Endpoint, ClientError> {
    let scheme = if is_tls { "https" } else { "http" };
    let uri: http::Uri = format!("{scheme}://{}", address.authority())
        .parse()
        .map_err(|_| ClientError::Address { address: address.authority() })?;
    Ok(Endpoint::from(uri)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .executor(NamedExecutor("connection")))
}

/// Connects to the broker at `address` (`host:port`, or an `http://` address) without TLS and without a
/// credential: a development broker on loopback.
///
/// # Errors
///
/// [`ClientError::Address`] if the address is invalid, [`ClientError::Unreachable`] if no program
/// answers within five seconds.
pub async fn connect(address: &str) -> Result<Channel, ClientError> {
    let parsed = BrokerAddress::parse(address)?;
    if parsed.is_https == Some(true) {
        return Err(ClientError::Address { address: address.to_owned() });
    }
    connect_plain(address, &parsed).await
}

async fn connect_plain(address: &str, parsed: &BrokerAddress) -> Result<Channel, ClientError> {
    let endpoint = endpoint(parsed, false)?.connect_timeout(CONNECT_TIMEOUT);
    endpoint.connect().await.map_err(|error| ClientError::Unreachable {
        address: address.to_owned(),
        reason: innermost_cause(&error),
    })
}

impl ConnectOptions {
    /// Connects. Files with certificates and keys are read now, and again at each reconnect.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] or [`ClientError::Security`] if the options are wrong or a file cannot
    /// be used; [`ClientError::Unreachable`] if no program answers within five seconds;
    /// [`ClientError::Security`] if the broker cannot be trusted or refuses our certificate. Under
    /// TLS 1.3 a broker refuses it at the first call instead: see [`ClientError::from_status`].
    pub async fn connect(&self) -> Result<BrokerChannel, ClientError> {
        let (parsed, is_tls) = self.check()?;
        let last_failure = LastFailure::default();
        let channel = if is_tls {
            let connector =
                SecureConnector::new(self.clone(), parsed.clone(), last_failure.clone());
            let opened = endpoint(&parsed, true)?.connect_with_connector(connector).await;
            opened.map_err(|error| match last_failure.get() {
                Some(failure) => failure.into(),
                None => ClientError::Unreachable {
                    address: self.address.clone(),
                    reason: innermost_cause(&error),
                },
            })?
        } else {
            connect_plain(&self.address, &parsed).await?
        };
        let token = match &self.credential {
            ClientCredential::Token(token) => Some(token),
            ClientCredential::None | ClientCredential::Certificate { .. } => None,
        };
        Ok(BrokerChannel::new(channel, token, last_failure))
    }
}

/// What answers at this address, if it is not a gridd without TLS.
async fn probed(address: &str) -> Option<ClientError> {
    let parsed = BrokerAddress::parse(address).ok().filter(|it| it.is_https != Some(true))?;
    let authority = parsed.authority();
    let is_tls = match diagnosis::probe_protocol(&authority).await {
        Some(reason) if reason != diagnosis::SPEAKS_TLS => {
            return Some(ClientError::NotGridd { address: address.to_owned(), reason });
        }
        Some(_) => true,
        // It may have closed the connection without a word.
        None => secure_connector::speaks_tls(&authority).await,
    };
    let text = is_tls.then(|| tls_failure::describe_unexpected_tls(&escape(address)))?;
    Some(SecurityFailure::server(text).into())
}

fn find_security_failure(error: &(dyn std::error::Error + 'static)) -> Option<SecurityFailure> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<SecurityFailure>() {
            return Some(failure.clone());
        }
        cause = error.source();
    }
    None
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
