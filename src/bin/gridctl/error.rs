//! Why a command did not do what it was asked for.
//!
//! Each variant has its exit code. What clap refuses never gets here.

mod flags;

use std::io;
use std::path::PathBuf;

use grid_broker::client::ClientError;
use grid_broker::exit_code::ExitCode;
use grid_broker::journal::rescue::VerifyError;
use grid_broker::journal::stream::{FileError, StreamError};
use grid_broker::show::escape::escape;
use grid_broker::system_error::Explained;

use crate::context::ContextError;
use crate::names;
use crate::time_arg::EmptyRange;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The broker is out of reach, or says no.
    #[error("{}", flags::worded(.0))]
    Broker(#[from] ClientError),
    /// Several appliances may be meant.
    #[error(
        "{} is the end of several names: {}; type more of it",
        escape(name),
        names::some(candidates)
    )]
    Ambiguous {
        /// As typed.
        name: String,
        /// Which may be meant.
        candidates: Vec<String>,
    },
    /// No appliance is meant, but some are near.
    #[error(
        "there is no appliance {}; is one of these meant: {}?",
        escape(name),
        names::some(near)
    )]
    NoAppliance {
        /// As typed.
        name: String,
        /// What is near.
        near: Vec<String>,
    },
    /// A pattern stands for nothing.
    #[error("no appliance matches {}; nothing was done", escape(pattern))]
    NoMatch {
        /// As typed.
        pattern: String,
    },
    /// A pattern where only names will do.
    #[error("{} is a pattern: name each appliance that is to be removed", escape(pattern))]
    Pattern {
        /// As typed.
        pattern: String,
    },
    /// No record can lie in the range of time.
    #[error(transparent)]
    Range(#[from] EmptyRange),
    /// The named brokers are not to be had.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The output cannot be written.
    #[error("cannot write the output: {}", Explained(.0))]
    Output(#[from] io::Error),
    /// There is no runtime to be had.
    #[error("cannot start: {}", Explained(.0))]
    Start(#[source] io::Error),
    /// The backup's file is not to be had.
    #[error(transparent)]
    File(#[from] FileError),
    /// What the broker sent is no whole backup.
    #[error("what the broker sent for {} is no whole backup ({reason}): try again, and see what gridd tells", path.display())]
    Backup {
        /// The file it was meant for.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A backup can't be verified.
    #[error("{}: {source}", path.display())]
    Verify {
        /// The backup.
        path: PathBuf,
        /// Why.
        source: VerifyError,
    },
    /// A backup is damaged.
    #[error(
        "{} is damaged: make another backup; `gridd journal restore` gets what is whole out of this one",
        path.display()
    )]
    DamagedBackup {
        /// The backup.
        path: PathBuf,
    },
    /// A man page or completion can't be written.
    #[error("can't write {}: {}", path.display(), Explained(source))]
    Generate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mail server did not take a mail that was a test.
    #[error("the mail server did not take the mail for {}: see the dialogue", escape(address))]
    MailTest {
        /// To whom.
        address: String,
    },
    /// An answer without what it must hold.
    #[error("the broker's answer lacks `{field}`; are gridd and gridctl of the same version?")]
    Rejected {
        /// The missing field.
        field: &'static str,
    },
}

impl CliError {
    /// The exit code that says the same. A reader who has seen enough is no failure.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Broker(error) => error.exit_code(),
            Self::Output(_) if self.is_closed_output() => ExitCode::Done,
            Self::Context(error) => error.exit_code(),
            Self::NoAppliance { .. } | Self::NoMatch { .. } => ExitCode::NotFound,
            Self::File(FileError::Exists { .. })
            | Self::Ambiguous { .. }
            | Self::Pattern { .. }
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
            | Self::Start(_)
            | Self::MailTest { .. }
            | Self::Rejected { .. } => ExitCode::Failed,
        }
    }

    /// The same, with who answers at `address` if that is no gridd of our version.
    pub(crate) async fn with_details(self, address: &str) -> Self {
        let Self::Broker(error) = self else { return self };
        let error = match error {
            ClientError::Status(status) => ClientError::from_status(address, *status),
            ClientError::Address { .. }
            | ClientError::Unreachable { .. }
            | ClientError::NotGridd { .. }
            | ClientError::OtherVersion { .. } => error,
        };
        Self::Broker(error.diagnose().await)
    }

    /// Whether the reader of stdout went away, as `head` does.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> Self {
        Self::Broker(status.into())
    }
}
