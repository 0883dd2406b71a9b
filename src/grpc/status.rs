//! Builds all statuses of gRPC errors, with the standard rich details.
//!
//! Guarantees that a status has the fields (`BadRequest`), the time to retry (`RetryInfo`) or the
//! reason (`ErrorInfo`), so that programs need not parse sentences. Does not know the calls.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::broker::Unavailable;
use crate::contract::decode::violation;
use crate::contract::proto::Violation;
use crate::grid::decide::CommandRejection;
use crate::journal::JournalError;
use crate::metrics::Label;

/// The domain of the reasons in `ErrorInfo`.
pub(super) const DOMAIN: &str = "grid-broker";

/// Most fields that a status names.
const VIOLATIONS_MAX: usize = 32;

/// When to retry with a broker that stops.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// When to retry with a broker whose disk is full: somebody has to make room first.
const RETRY_DISK_FULL_AFTER: Duration = Duration::from_secs(30);

/// The labels of gRPC's codes, in the order of their numbers.
const CODE_LABELS: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// A code as a label.
pub(super) fn code_label(code: Code) -> Label {
    Label(
        usize::try_from(i32::from(code))
            .ok()
            .and_then(|at| CODE_LABELS.get(at))
            .unwrap_or(&"unknown"),
    )
}

/// Lists the violations, but not more than fit into a header.
pub(super) fn invalid(mut violations: Vec<Violation>) -> Status {
    let text = match violations.as_slice() {
        [one] => format!("{}: {}", one.field, one.description),
        several => format!("{} fields are invalid", several.len()),
    };
    if violations.len() > VIOLATIONS_MAX {
        let more = violations.len() - VIOLATIONS_MAX;
        violations.truncate(VIOLATIONS_MAX);
        violations.push(violation("...", format!("{more} more fields are invalid")));
    }
    let fields = violations.into_iter().map(|it| FieldViolation::new(it.field, it.description));
    let details = ErrorDetails::with_bad_request(fields.collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, text, details)
}

pub(super) fn invalid_field(field: &str, description: impl Into<String>) -> Status {
    invalid(vec![violation(field, description)])
}

pub(super) fn unavailable(reason: Unavailable) -> Status {
    let (retry_after, label) = match reason {
        Unavailable::Stopping => (RETRY_AFTER, "STOPPING"),
        Unavailable::DiskLow => (RETRY_DISK_FULL_AFTER, "DISK_LOW"),
    };
    let mut details = ErrorDetails::with_retry_info(Some(retry_after));
    details.set_error_info(label, DOMAIN, []);
    Status::with_error_details(Code::Unavailable, reason.to_string(), details)
}

pub(super) fn command_rejected(rejection: &CommandRejection) -> Status {
    let (code, reason) = match rejection {
        CommandRejection::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
        CommandRejection::AlreadyExists { .. } => (Code::AlreadyExists, "ALREADY_EXISTS"),
        CommandRejection::UnknownClass { .. } => {
            return invalid_field("settings.class", rejection.to_string());
        }
        CommandRejection::NotSuppressed { .. } => (Code::FailedPrecondition, "NOT_SUPPRESSED"),
        CommandRejection::Locked { .. } => (Code::FailedPrecondition, "LOCKED"),
        CommandRejection::LockedByAdmin { .. } => (Code::PermissionDenied, "LOCKED"),
        CommandRejection::NeverBooted { .. } => (Code::FailedPrecondition, "NEVER_BOOTED"),
        CommandRejection::CannotDump { .. } => (Code::FailedPrecondition, "STATE"),
    };
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(code, rejection.to_string(), details)
}

pub(super) fn precondition(reason: &str, text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::FailedPrecondition, text, details)
}

pub(super) fn denied(reason: &str, text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::PermissionDenied, text, details)
}

pub(super) fn not_found(reason: &str, text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::NotFound, text, details)
}

pub(super) fn exhausted(reason: &str, text: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// The journal could not be read: reported to the administrator and to the log.
pub(super) fn journal_unreadable(error: &JournalError) -> Status {
    tracing::error!(%error, "the journal could not be read");
    let details = ErrorDetails::with_error_info("JOURNAL", DOMAIN, []);
    Status::with_error_details(Code::Internal, error.to_string(), details)
}

/// The thread that reads for a stream could not be started.
pub(super) fn no_thread(error: &std::io::Error) -> Status {
    let details = ErrorDetails::with_error_info("THREAD", DOMAIN, []);
    let text = format!("the broker cannot start a thread: {error}; try again");
    Status::with_error_details(Code::Unavailable, text, details)
}

/// The thread that read for a stream panicked.
pub(super) fn reader_panicked() -> Status {
    Status::internal("reading the grid log panicked: bug in gridd; see the report")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_names_32_fields_and_counts_the_rest() {
        let violations =
            |count| (0..count).map(|at| violation(&format!("f[{at}]"), "is invalid")).collect();
        let named = |status: Status| {
            let details = status.get_error_details();
            details.bad_request().expect("fields").field_violations.clone()
        };
        assert_eq!(named(invalid(violations(32))).len(), 32);
        let status = invalid(violations(1_000));
        assert_eq!(status.message(), "1000 fields are invalid");
        let fields = named(status);
        assert_eq!((fields.len(), fields[31].field.as_str()), (33, "f[31]"));
        assert_eq!(fields[32].description, "968 more fields are invalid");
    }
}
