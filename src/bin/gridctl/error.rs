//! The errors of commands, each with its exit code.
//!
//! Does not include usage errors: clap reports those.

mod flags;

use std::io;
use std::path::PathBuf;

use grid_broker::client::ClientError;
use grid_broker::exit_code::ExitCode;
use grid_broker::identity::key::KeyError;
use grid_broker::journal::rescue::VerifyError;
use grid_broker::journal::stream::{FileError, StreamError};
use grid_broker::show::escape::escape;
use grid_broker::system_error::Explained;

use crate::alert::AlertNumberError;
use crate::bench::BenchError;
use crate::context::ContextError;
use crate::crash_dump::CrashDumpError;
use crate::credentials::CredentialError;
use crate::log::ExportError;
use crate::names;
use crate::names_file::NamesFileError;
use crate::time_arg::EmptyTimeRange;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The broker is unreachable, or rejected the request.
    #[error("{}", flags::with_flag_names(.0))]
    Broker(#[from] ClientError),
    /// The end of a name matches several appliances.
    #[error(
        "{} is ambiguous, it matches {}; type more of the name",
        escape(name),
        names::summarize(candidates)
    )]
    Ambiguous {
        /// The name as typed.
        name: String,
        /// The matching names.
        candidates: Vec<String>,
    },
    /// No appliance matches, but there are similar names.
    #[error("there is no appliance {}; similar names: {}", escape(name), names::summarize(near))]
    NoAppliance {
        /// The name as typed.
        name: String,
        /// The similar names.
        near: Vec<String>,
    },
    /// A pattern matches nothing.
    #[error("no appliance matches {}; nothing was done", escape(pattern))]
    NoMatch {
        /// The pattern as typed.
        pattern: String,
    },
    /// A pattern where only names are accepted.
    #[error("{} is a pattern: name each appliance to {to}", escape(pattern))]
    PatternNotAllowed {
        /// The pattern as typed.
        pattern: String,
        /// What was to be done with them.
        to: &'static str,
    },
    /// A pattern in place of the name of an appliance to enrol.
    #[error(
        "{0} is a pattern: `gridctl appliance enrol --pattern '{0}' --count NUMBER` creates one token for all that match",
        escape(pattern)
    )]
    EnrolPattern {
        /// The pattern as typed.
        pattern: String,
    },
    /// A file of names is not used.
    #[error(transparent)]
    NamesFile(#[from] NamesFileError),
    /// Several appliances were to be enrolled, and not all of them were.
    #[error("{failed} of {total} failed{}; the tokens of the others are valid", not_tried_words(*.not_tried))]
    Many {
        /// How many failed.
        failed: usize,
        /// How many were requested.
        total: usize,
        /// How many were not tried after a failure that concerns all.
        not_tried: usize,
        /// The exit code of the first failure.
        code: ExitCode,
    },
    /// An administrator was created, but not the token.
    #[error(
        "administrator {0} exists now, but has no token: {failure}\n  \
         `gridctl token create --administrator {0}` creates one",
        escape(name)
    )]
    AdministratorWithoutToken {
        /// The name.
        name: String,
        /// Why there is no token.
        failure: Box<CliError>,
    },
    /// A secret or the credential of a context cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The broker refused the caller.
    #[error("{failure}\n  {}", escape(hint))]
    Refused {
        /// The reply of the broker.
        failure: Box<CliError>,
        /// Who the caller is, and how to log in.
        hint: String,
    },
    /// A key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The terminal cannot be used.
    #[error("cannot ask at the terminal: {}", Explained(.0))]
    Terminal(#[source] io::Error),
    /// A login or logout is not possible.
    #[error("{0}")]
    Login(String),
    /// A crash dump was not triggered, not found, or did not work.
    #[error(transparent)]
    CrashDump(#[from] CrashDumpError),
    /// A name in place of the number of an alert.
    #[error(transparent)]
    AlertNumber(#[from] AlertNumberError),
    /// An export is not complete, or cannot be continued.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A load test is refused, or its result is wrong.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The time range is empty.
    #[error(transparent)]
    Range(#[from] EmptyTimeRange),
    /// The named brokers are not available.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The output cannot be written.
    #[error("cannot write the output: {}", Explained(.0))]
    Output(#[from] io::Error),
    /// The async runtime cannot be started.
    #[error("cannot start: {}", Explained(.0))]
    Runtime(#[source] io::Error),
    /// The file of the backup cannot be created or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The broker sent no complete backup.
    #[error("the broker sent no complete backup for {} ({reason}): try again, and read the log of gridd", path.display())]
    Backup {
        /// The file of the backup.
        path: PathBuf,
        /// What is wrong with the data.
        reason: String,
    },
    /// A backup cannot be verified.
    #[error("{}: {source}", path.display())]
    Verify {
        /// The backup.
        path: PathBuf,
        /// Why.
        source: VerifyError,
    },
    /// A backup is damaged.
    #[error(
        "{} is damaged: make another backup; `gridd journal restore` recovers the intact part of this one",
        path.display()
    )]
    DamagedBackup {
        /// The backup.
        path: PathBuf,
    },
    /// A man page or completion cannot be written.
    #[error("cannot write {}: {}", path.display(), Explained(source))]
    Generate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mail server did not accept a test mail.
    #[error("the mail server did not accept the mail for {}: see the dialogue", escape(address))]
    MailTestRejected {
        /// The recipient.
        address: String,
    },
    /// A histogram that nobody could read.
    #[error(
        "there are over {buckets_max} buckets in this time; a longer --bucket, or a later --since, has fewer"
    )]
    TooManyBuckets {
        /// How many are allowed.
        buckets_max: i64,
    },
    /// A reply without a required field.
    #[error("the broker's reply lacks `{field}`; do gridd and gridctl have the same version?")]
    MissingField {
        /// The missing field.
        field: &'static str,
    },
}

impl CliError {
    /// The exit code of the error. A closed output is no failure.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Broker(error) => error.exit_code(),
            Self::Output(_) if self.is_closed_output() => ExitCode::Done,
            Self::Context(error) => error.exit_code(),
            Self::Credential(error) => error.exit_code(),
            Self::CrashDump(error) => error.exit_code(),
            Self::AlertNumber(error) => error.exit_code(),
            Self::Export(error) => error.exit_code(),
            Self::Bench(error) => error.exit_code(),
            Self::Many { code, .. } => *code,
            Self::AdministratorWithoutToken { failure, .. } | Self::Refused { failure, .. } => {
                failure.exit_code()
            }
            Self::NoAppliance { .. } | Self::NoMatch { .. } => ExitCode::NotFound,
            Self::File(FileError::Exists { .. })
            | Self::Ambiguous { .. }
            | Self::PatternNotAllowed { .. }
            | Self::EnrolPattern { .. }
            | Self::NamesFile(_)
            | Self::Login(_)
            | Self::TooManyBuckets { .. }
            | Self::Range(_) => ExitCode::Usage,
            Self::Verify { source: VerifyError::Open(error), .. }
                if error.kind() == io::ErrorKind::NotFound =>
            {
                ExitCode::NotFound
            }
            Self::Verify { source: VerifyError::Open(_), .. } => ExitCode::Failed,
            Self::Verify { source: VerifyError::Stream(StreamError::Read(_)), .. } => {
                ExitCode::Failed
            }
            Self::Verify { source: VerifyError::Stream(_), .. } => ExitCode::Usage,
            Self::File(FileError::Io { .. })
            | Self::Backup { .. }
            | Self::DamagedBackup { .. }
            | Self::Generate { .. }
            | Self::Output(_)
            | Self::Runtime(_)
            | Self::MailTestRejected { .. }
            | Self::Key(_)
            | Self::Terminal(_)
            | Self::MissingField { .. } => ExitCode::Failed,
        }
    }

    /// Adds what replies at `address`, if that is not gridd of the same version.
    pub(crate) async fn diagnose(self, address: &str) -> Self {
        let Self::Broker(error) = self else { return self };
        let error = match error {
            ClientError::Status(status) => ClientError::from_status(address, *status),
            ClientError::Address { .. }
            | ClientError::Unreachable { .. }
            | ClientError::NotGridd { .. }
            | ClientError::OtherVersion { .. }
            | ClientError::Security(_) => error,
        };
        Self::Broker(error.diagnose().await)
    }

    /// Whether the broker refused the caller, so that it would refuse the next call, too.
    pub(crate) fn is_refused_caller(&self) -> bool {
        self.status_code().is_some_and(|code| {
            matches!(code, tonic::Code::Unauthenticated | tonic::Code::PermissionDenied)
        })
    }

    /// The code of the broker's status, if the error is one.
    pub(crate) fn status_code(&self) -> Option<tonic::Code> {
        if let Self::AdministratorWithoutToken { failure, .. } = self {
            return failure.status_code();
        }
        let Self::Broker(ClientError::Status(status)) = self else { return None };
        Some(status.code())
    }

    /// Whether the reader closed stdout, as `head` does.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// `, 7 were not tried`, or nothing.
fn not_tried_words(not_tried: usize) -> String {
    match not_tried {
        0 => String::new(),
        1 => ", 1 was not tried".to_owned(),
        _ => format!(", {not_tried} were not tried"),
    }
}

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> Self {
        Self::Broker(status.into())
    }
}
