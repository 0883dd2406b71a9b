//! Sends one event by a unary call, and retries while the broker is away.
//!
//! Guarantees that the same request, with the same spool id and sequence, is retried until the
//! broker replies or the deadline passes, so that a lost reply makes no second record. Does not
//! know what the event or the reply means.

use std::time::Duration;

use grid_broker::client::{APPLIANCE_METADATA, ClientError};
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::{ReportRequest, ReportResponse};
use grid_broker::exit_code::ExitCode;
use tokio::time::{Instant, sleep_until};
use tonic::metadata::AsciiMetadataValue;
use tonic_types::StatusExt;

use crate::config::BrokerTarget;
use crate::stop_deadline::StopDeadline;

/// The delay after the first failure. It doubles with each, up to the longest. The longest leaves a
/// few attempts for a broker that takes most of the ten seconds to come back.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnaryError {
    /// The broker could not be reached, or replied with a status.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request was sent, and there was no reply.
    #[error(
        "no reply from {broker} within {} s; the broker may have stored the event anyway",
        .timeout.as_secs_f32()
    )]
    NoReply {
        /// The broker's address.
        broker: String,
        /// How long vme waited for it.
        timeout: Duration,
    },
    /// The request was sent, and vme was asked to stop before a reply.
    #[error("stopped before {broker} replied; the broker may have stored the event anyway")]
    Stopped {
        /// The broker's address.
        broker: String,
    },
}

impl UnaryError {
    /// Whether the same request may succeed later, perhaps with another credential.
    pub(crate) fn keeps_event(&self) -> bool {
        match self {
            Self::Client(error) => error.is_retryable() || error.is_about_credential(),
            Self::NoReply { .. } | Self::Stopped { .. } => true,
        }
    }

    /// The matching exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::NoReply { .. } | Self::Stopped { .. } => ExitCode::Unavailable,
        }
    }
}

/// A call without a reply.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct CallError {
    failure: UnaryError,
    /// The broker may have received it; otherwise it was never sent on a connection.
    pub(crate) was_sent: bool,
}

impl CallError {
    /// Whether the same request may succeed later, perhaps with another credential.
    pub(crate) fn keeps_event(&self) -> bool {
        self.failure.keeps_event()
    }

    /// The matching exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.failure.exit_code()
    }
}

/// The broker's reply.
#[derive(Debug)]
pub(crate) struct CallReply {
    pub(crate) response: ReportResponse,
    /// Nothing was sent before the attempt that got the reply.
    pub(crate) is_first_attempt: bool,
}

/// Sends one event, and retries until `deadline`, or until the stop deadline if that is earlier.
pub(crate) async fn send_unary(
    target: &BrokerTarget,
    request: ReportRequest,
    deadline: Instant,
    stop_deadline: &StopDeadline,
) -> Result<CallReply, CallError> {
    let mut pause = BACKOFF_MIN;
    let mut was_sent = false;
    loop {
        let is_first_attempt = !was_sent;
        let attempt = attempt(target, request.clone(), &mut was_sent);
        let Some(answer) = stop_deadline.run_until(deadline, attempt).await else {
            let (broker, timeout) = (target.broker.clone(), target.timeout);
            let failure = if stop_deadline.is_expired() {
                UnaryError::Stopped { broker }
            } else {
                UnaryError::NoReply { broker, timeout }
            };
            return Err(CallError { failure, was_sent });
        };
        let error = match answer {
            Ok(response) => return Ok(CallReply { response, is_first_attempt }),
            Err(error) => error,
        };
        if !error.is_retryable() {
            return Err(CallError { failure: error.into(), was_sent });
        }
        let next = Instant::now() + pause.max(requested_delay(&error));
        if next >= deadline || stop_deadline.run_until(deadline, sleep_until(next)).await.is_none()
        {
            let error = if stop_deadline.is_expired() { error } else { error.diagnose().await };
            return Err(CallError { failure: error.into(), was_sent });
        }
        pause = BACKOFF_MAX.min(2 * pause);
    }
}

/// One attempt. Sets `was_sent` before the broker may receive the request.
async fn attempt(
    target: &BrokerTarget,
    request: ReportRequest,
    was_sent: &mut bool,
) -> Result<ReportResponse, ClientError> {
    let mut client = EventServiceClient::new(target.access.connect(&target.broker).await?);
    let mut request = tonic::Request::new(request);
    let appliance = AsciiMetadataValue::try_from(&target.appliance)
        .expect("the name of an appliance is validated and printable ASCII");
    request.metadata_mut().insert(APPLIANCE_METADATA, appliance);
    *was_sent = true;
    let answer = client.report(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| ClientError::from_status(&target.broker, status))
}

/// How long the broker asks to wait before another attempt.
pub(crate) fn requested_delay(error: &ClientError) -> Duration {
    match error {
        ClientError::Status(status) => {
            let retry = status.get_details_retry_info();
            retry.and_then(|retry| retry.retry_delay).unwrap_or_default()
        }
        ClientError::Address { .. }
        | ClientError::Unreachable { .. }
        | ClientError::NotGridd { .. }
        | ClientError::OtherVersion { .. }
        | ClientError::Security(_) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
