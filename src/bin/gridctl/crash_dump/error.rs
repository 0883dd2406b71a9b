//! Why `gridctl appliance crash-dump` or `crash-dumps` failed.
//!
//! Guarantees that a message says whether something may have happened to the appliance.

use std::time::Duration;

use grid_broker::exit_code::ExitCode;
use grid_broker::grid::values::time::describe_duration;
use grid_broker::show::escape::{escape, excerpt};
use tonic::Code;

use crate::error::CliError;
use crate::names;

/// Why a command on crash dumps failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrashDumpError {
    /// A pattern in place of a name.
    #[error(
        "{} is a pattern: name one appliance, crash dumps are of one at a time",
        escape(pattern)
    )]
    Pattern {
        /// The pattern as typed.
        pattern: String,
    },
    /// The broker says that none is possible.
    #[error("{}", escape(problem))]
    NotPossible {
        /// Why not.
        problem: String,
    },
    /// Nobody can be asked.
    #[error(
        "there is no terminal to ask for the name: nothing was triggered; with --yes, nobody is asked \
         before {name} crashes"
    )]
    NoTerminal {
        /// The appliance.
        name: String,
    },
    /// Something else than the full name was typed.
    #[error(
        "nothing was triggered: {} is not the full name {name}",
        if typed.is_empty() { "an empty line".to_owned() } else { format!("`{}`", excerpt(typed)) }
    )]
    NotConfirmed {
        /// What was typed.
        typed: String,
        /// The appliance.
        name: String,
    },
    /// The reply to the request was lost.
    #[error(
        "{failure}\n  whether the crash dump was triggered is unknown: \
         `gridctl appliance crash-dumps {name}` tells"
    )]
    Unknown {
        /// The appliance.
        name: String,
        /// What happened to the request.
        failure: Box<CliError>,
    },
    /// No crash dump has this request id.
    #[error(
        "no crash dump of {name} has the request id `{}`; `gridctl appliance crash-dumps {name}` lists them",
        excerpt(typed)
    )]
    NoSuchRequest {
        /// What was typed.
        typed: String,
        /// The appliance.
        name: String,
    },
    /// Several crash dumps have a request id that begins so.
    #[error(
        "{} is ambiguous, it begins {}; type more of it",
        excerpt(typed),
        names::summarize(candidates)
    )]
    AmbiguousRequest {
        /// What was typed.
        typed: String,
        /// The request ids.
        candidates: Vec<String>,
    },
    /// The user ended the wait.
    #[error("no longer waiting; the crash dump goes on: {follow}")]
    Interrupted {
        /// The command that shows it.
        follow: String,
    },
    /// The wait took too long.
    #[error("it has not ended within {}; it goes on: {follow}", describe_duration(*within))]
    NotEnded {
        /// How long was waited.
        within: Duration,
        /// The command that shows it.
        follow: String,
    },
    /// The crash dump failed.
    #[error("no crash dump: {}\n  {follow} shows the rest", escape(explanation))]
    Failed {
        /// What became of it.
        explanation: String,
        /// The command that shows it.
        follow: String,
    },
    /// It booted again, without a dump.
    #[error("{name} booted again, but no dump was found within {}", describe_duration(*within))]
    NoneFound {
        /// The appliance.
        name: String,
        /// How long was waited.
        within: Duration,
    },
    /// It booted again, with incomplete dumps only.
    #[error("{name} booted again, but its dump is incomplete; is its disk full?")]
    Incomplete {
        /// The appliance.
        name: String,
    },
    /// The broker no longer has it.
    #[error(
        "{name} has no crash dump {request_id} any more: 16 are kept, and none if it was removed"
    )]
    Gone {
        /// The appliance.
        name: String,
        /// The request id.
        request_id: String,
    },
}

impl CrashDumpError {
    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Pattern { .. }
            | Self::NoTerminal { .. }
            | Self::NotConfirmed { .. }
            | Self::AmbiguousRequest { .. } => ExitCode::Usage,
            Self::NotPossible { .. } => ExitCode::Refused,
            Self::Unknown { failure, .. } => failure.exit_code(),
            Self::NoSuchRequest { .. }
            | Self::NoneFound { .. }
            | Self::Incomplete { .. }
            | Self::Gone { .. } => ExitCode::NotFound,
            Self::Interrupted { .. } | Self::NotEnded { .. } | Self::Failed { .. } => {
                ExitCode::Failed
            }
        }
    }
}

/// Whether the request may have been carried out although there was no reply.
pub(super) fn is_outcome_unknown(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::Aborted
        | Code::DeadlineExceeded => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}
