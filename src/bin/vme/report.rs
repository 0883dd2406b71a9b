//! Sends one event by a unary call, and retries while the broker is away.
//!
//! Guarantees that the same request, with the same spool id and sequence, is retried until the
//! broker replies or the deadline passes, so that a lost reply makes no second record. Does not
//! know what the event or the reply means.

use std::time::Duration;

use grid_broker::client::{self, APPLIANCE_METADATA, ClientError};
use grid_broker::exit_code::ExitCode;
use grid_broker::wire::proto::event_service_client::EventServiceClient;
use grid_broker::wire::proto::{ReportRequest, ReportResponse};
use tokio::time::{Instant, sleep_until};
use tonic::metadata::AsciiMetadataValue;
use tonic_types::StatusExt;

use crate::patience::Patience;
use crate::speaker::Way;

/// The delay after the first failure. It doubles with each, up to the longest. The longest leaves a
/// few attempts for a broker that takes most of the ten seconds to come back.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The broker could not be reached, or replied with a status.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The request was sent, and there was no reply.
    #[error(
        "no reply from {broker} within {} s; the broker may have stored the event anyway",
        .timeout.as_secs_f32()
    )]
    NoAnswer {
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

impl Failure {
    /// Whether the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Client(error) => error.may_pass(),
            Self::NoAnswer { .. } | Self::Stopped { .. } => true,
        }
    }

    /// The matching exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::NoAnswer { .. } | Self::Stopped { .. } => ExitCode::Unavailable,
        }
    }
}

/// A call without a reply.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub(crate) struct Unanswered {
    failure: Failure,
    /// The broker may have received it; otherwise it was never sent on a connection.
    pub(crate) was_sent: bool,
}

impl Unanswered {
    /// Whether the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        self.failure.may_pass()
    }

    /// The matching exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.failure.exit_code()
    }
}

/// The broker's reply.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) response: ReportResponse,
    /// Nothing was sent before the attempt that got the reply.
    pub(crate) is_first_attempt: bool,
}

/// Sends one event, and retries until `deadline`, or until the stop deadline if that is earlier.
pub(crate) async fn report(
    way: &Way,
    request: ReportRequest,
    deadline: Instant,
    patience: &Patience,
) -> Result<Answered, Unanswered> {
    let mut pause = FIRST_PAUSE;
    let mut was_sent = false;
    loop {
        let is_first_attempt = !was_sent;
        let attempt = attempt(way, request.clone(), &mut was_sent);
        let Some(answer) = patience.in_time(deadline, attempt).await else {
            let (broker, timeout) = (way.broker.clone(), way.timeout);
            let failure = if patience.is_cut() {
                Failure::Stopped { broker }
            } else {
                Failure::NoAnswer { broker, timeout }
            };
            return Err(Unanswered { failure, was_sent });
        };
        let error = match answer {
            Ok(response) => return Ok(Answered { response, is_first_attempt }),
            Err(error) => error,
        };
        if !error.may_pass() {
            return Err(Unanswered { failure: error.into(), was_sent });
        }
        let next = Instant::now() + pause.max(pause_asked(&error));
        if next >= deadline || patience.in_time(deadline, sleep_until(next)).await.is_none() {
            let error = if patience.is_cut() { error } else { error.looked_into().await };
            return Err(Unanswered { failure: error.into(), was_sent });
        }
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

/// One attempt. Sets `was_sent` before the broker may receive the request.
async fn attempt(
    way: &Way,
    request: ReportRequest,
    was_sent: &mut bool,
) -> Result<ReportResponse, ClientError> {
    let mut client = EventServiceClient::new(client::connect(&way.broker).await?);
    let mut request = tonic::Request::new(request);
    let appliance = AsciiMetadataValue::try_from(&way.appliance)
        .expect("the name of an appliance is validated and printable ASCII");
    request.metadata_mut().insert(APPLIANCE_METADATA, appliance);
    *was_sent = true;
    let answer = client.report(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| ClientError::of_call(&way.broker, status))
}

/// How long the broker asks to wait before another attempt.
pub(crate) fn pause_asked(error: &ClientError) -> Duration {
    match error {
        ClientError::Status(status) => {
            let retry = status.get_details_retry_info();
            retry.and_then(|retry| retry.retry_delay).unwrap_or_default()
        }
        ClientError::Address { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Stranger { .. }
        | ClientError::OtherVersion { .. } => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
