//! Defines why an export is not complete, or is not continued.

use std::path::PathBuf;

use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape::escape;

use crate::error::CliError;

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// Ctrl-C.
    #[error("interrupted after record {reached}: the export is not complete")]
    Interrupted {
        /// Everything up to this number is written.
        reached: u64,
    },
    /// An export to a file ended early.
    #[error(
        "{failure}\n  `gridctl log export --file {0} --resume` continues it after record {written}",
        path.display()
    )]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The last record in it.
        written: u64,
        /// Why it ended.
        failure: Box<CliError>,
    },
    /// A new export would overwrite an interrupted one.
    #[error(
        "an interrupted export is in {0}.partial: --resume continues it, --force begins again",
        path.display()
    )]
    Interfering {
        /// The file.
        path: PathBuf,
    },
    /// There is no interrupted export.
    #[error("there is no interrupted export to {}: export without --resume", path.display())]
    NothingToResume {
        /// The file.
        path: PathBuf,
    },
    /// Another program writes the file.
    #[error("another gridctl writes {}.partial now: wait for it, or end it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The description of the interrupted export cannot be used.
    #[error("{} does not describe an export ({reason}): export again with --force", path.display())]
    Description {
        /// The file with the description.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The interrupted export has another format.
    #[error(
        "the interrupted export has the format {0}: remove --output, or begin again with --force"
    )]
    OtherFormat(&'static str),
    /// The record that the file ends with is another one in the grid log.
    #[error(
        "record {number} of this broker is not the one in {}.partial: its grid log was restored from an older \
         copy, or is another one; export again with --force",
        path.display()
    )]
    OtherRecord {
        /// The file.
        path: PathBuf,
        /// The number.
        number: u64,
    },
    /// A connection was lost too often.
    #[error("gave up after {attempts} attempts: {failure}")]
    GaveUp {
        /// The attempts in a row.
        attempts: u32,
        /// The last failure.
        failure: String,
    },
    /// The broker sent what is not a part of this export.
    #[error("the broker's reply is not a part of the export: {}", escape(.0))]
    Malformed(String),
}

impl ExportError {
    /// The exit code of the error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Incomplete { failure, .. } => failure.exit_code(),
            Self::Interfering { .. }
            | Self::OtherFormat(_)
            | Self::Description { .. }
            | Self::OtherRecord { .. } => ExitCode::Usage,
            Self::NothingToResume { .. } => ExitCode::NotFound,
            Self::Locked { .. } | Self::GaveUp { .. } => ExitCode::Unavailable,
            Self::Interrupted { .. } | Self::Malformed(_) => ExitCode::Failed,
        }
    }
}
