//! Defines the command line of `gridd` and its help texts.
//!
//! Commands, flags and their help, every one with an example. Knows nothing of what is done: so
//! `gridctl generate` can read it too, for man pages and completions.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  gridd
  gridd --config /etc/gridd.toml --data /var/lib/gridd
  gridd --grpc 127.0.0.1:0 --http 127.0.0.1:0 --ready-file /run/gridd/ready.json

  gridd check-config /etc/gridd.toml
  gridd journal check --data /var/lib/gridd

Exit codes: 0 stopped as asked, 1 something broke, 2 wrong usage or configuration.
SIGHUP reads the file again: what can change at once does, the rest is named.
It stops in good order on SIGTERM and Ctrl-C; what was acknowledged is durable at any moment.";

/// The event broker of a grid controller: takes the events of appliances, knows how their starts
/// stand, keeps the grid log.
#[derive(Debug, Parser)]
#[command(name = "gridd", version, after_help = EXAMPLES)]
pub(crate) struct GriddArguments {
    /// Settings; config/gridd.toml has every key with its default and reason
    #[arg(long, global = true, value_name = "FILE", env = "GRIDD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder [default: ./gridd-data] [env: GRIDD_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Where appliances and administrators are heard [default: 127.0.0.1:7443] [env: GRIDD_GRPC]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) grpc: Option<String>,
    /// Where pages are served [default: 127.0.0.1:7480] [env: GRIDD_HTTP]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Write the addresses really bound there, as JSON, once it serves
    #[arg(long, global = true, value_name = "FILE", env = "GRIDD_READY_FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// What gridd tells of itself on standard error: error, warn, info, debug, trace
    /// [default: info] [env: GRIDD_TRACING]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) tracing: Option<String>,
    /// How that is written: human or json, one line an event
    /// [default: human] [env: GRIDD_TRACING_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["human", "json"], hide_possible_values = true)]
    pub(crate) tracing_format: Option<String>,
    /// What to do in place of running the broker.
    #[command(subcommand)]
    pub(crate) command: Option<GriddCommand>,
}

/// What `gridd` does besides being the broker.
#[derive(Debug, Subcommand)]
pub(crate) enum GriddCommand {
    /// Say whether the configuration is right, and which settings would hold
    #[command(after_help = CHECK_CONFIG_HELP)]
    CheckConfig(CheckConfig),
    /// Look after a data folder that no broker is at work in: check, salvage, restore
    #[command(subcommand, after_help = JOURNAL_HELP)]
    Journal(OfflineJournalCommand),
}

const CHECK_CONFIG_HELP: &str = "\
Mistakes and warnings go to standard error as FILE:LINE: KEY: what is wrong and what is allowed, the
settings that would hold to standard output, each with where it is from: a flag, a variable of the
environment, a line of the file, or its default. A start and SIGHUP check the same in the same way;
all flags of a start can be given, so that the whole command line of a unit is checked. The data
folder is not touched.

Exit codes: 0 right, 2 there are mistakes.

Examples:
  gridd check-config /etc/gridd.toml
  gridd check-config /etc/gridd.toml && systemctl reload gridd
  gridd check-config --config /etc/gridd.toml --data /var/lib/gridd --grpc 127.0.0.1:7443
  gridd check-config --output json /etc/gridd.toml";

/// What can be said with `check-config`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfig {
    /// The file, in place of --config
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How it is told
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: ReportOutput,
}

/// How it is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReportOutput {
    /// Columns, for people.
    Table,
    /// One object with `mistakes`, `warnings` and `settings`.
    Json,
}

const JOURNAL_HELP: &str = "\
They work on the host, on a folder that no broker has open. `check` and `salvage` never write into
it. A copy of a running broker's journal: `gridctl journal backup FILE`.

Example: what is wrong, what can be had, and on with a new folder
  gridd journal check --data /var/lib/gridd
  gridd journal salvage --data /var/lib/gridd /backup/salvaged.journal
  gridd journal restore /backup/salvaged.journal --data /var/lib/gridd-new";

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum OfflineJournalCommand {
    /// Say whether all of the journal is there and can be read
    #[command(after_help = "Exit codes: 0 sound, 8 damaged, 6 a gridd is at work there, 7 there \
        is no journal,\n1 it could not be looked at.\n\n\
        Example:\n  gridd journal check --data /var/lib/gridd")]
    Check,
    /// Write every record that is still whole, anywhere in the folder, to FILE
    #[command(after_help = "Exit codes: 0 all of it, 8 something is missing; FILE is written \
        either way. Else as `check`.\n\n\
        Example:\n  gridd journal salvage --data /var/lib/gridd /backup/salvaged.journal")]
    Salvage {
        /// Where to; `gridd journal restore` takes it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace FILE if it is there
        #[arg(long)]
        force: bool,
    },
    /// Build a new data folder out of FILE
    #[command(after_help = "FILE comes from `gridctl journal backup` or `gridd journal salvage`. \
        The folder must be empty or not\nbe there. Journal and broker keep their ids: never run \
        the old and the new folder side by side.\n\n\
        Exit codes: 0 all of it, 8 something is missing; what is whole is restored either way.\n\n\
        Example:\n  gridd journal restore /backup/grid.journal --data /var/lib/gridd")]
    Restore {
        /// A backup, or what was salvaged
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
