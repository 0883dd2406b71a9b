//! Defines the command line of `gridd`: commands, flags and their help.
//!
//! Guarantees that the help of every command has an example. Does not know what the commands do, so
//! that `gridctl generate` can include it for man pages and completions.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  gridd
  gridd --config /etc/gridd.toml --data /var/lib/gridd
  gridd --grpc 127.0.0.1:0 --http 127.0.0.1:0 --ready-file /run/gridd/ready.json

  gridd init --host broker.example
  gridd check-config /etc/gridd.toml
  gridd journal check --data /var/lib/gridd

Exit codes: 0 stopped as requested, 1 failure, 2 usage or configuration error.
SIGHUP reloads the file: live settings change at once; the others are logged and need a restart.
SIGTERM and Ctrl-C stop it cleanly. Acknowledged events are durable at any moment.";

/// The event broker of a grid controller: receives the events of appliances, tracks the state of
/// their starts, and stores the grid log.
#[derive(Debug, Parser)]
#[command(name = "gridd", version, after_help = EXAMPLES)]
pub(crate) struct GriddArguments {
    /// Settings file; config/gridd.toml has every key with its default and reason
    #[arg(long, global = true, value_name = "FILE", env = "GRIDD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder [default: ./gridd-data] [env: GRIDD_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<String>,
    /// Address for appliances and administrators [default: 127.0.0.1:7443] [env: GRIDD_GRPC]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) grpc: Option<String>,
    /// Address for the web pages [default: 127.0.0.1:7480] [env: GRIDD_HTTP]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Write the bound addresses to this file, as JSON, once gridd serves
    #[arg(long, global = true, value_name = "FILE", env = "GRIDD_READY_FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Make another CA, since the old one is gone for good: all that have certificates must enrol
    /// again
    #[arg(long, global = true)]
    pub(crate) new_ca: bool,
    /// Level or filter of gridd's tracing on standard error: error, warn, info, debug, trace
    /// [default: info] [env: GRIDD_TRACING]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) tracing: Option<String>,
    /// Format of that log: human or json, one line per entry
    /// [default: human] [env: GRIDD_TRACING_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["human", "json"], hide_possible_values = true)]
    pub(crate) tracing_format: Option<String>,
    /// A command to run instead of the broker.
    #[command(subcommand)]
    pub(crate) command: Option<GriddCommand>,
}

/// Commands of `gridd` other than running the broker.
#[derive(Debug, Subcommand)]
pub(crate) enum GriddCommand {
    /// Write a configuration and systemd units for a broker that a network can reach
    #[command(after_help = INIT_HELP)]
    Init(InitArgs),
    /// Check the configuration, and print the effective settings
    #[command(after_help = CHECK_CONFIG_HELP)]
    CheckConfig(CheckConfigArgs),
    /// Check, salvage or restore the data folder of a stopped broker
    #[command(subcommand, after_help = JOURNAL_HELP)]
    Journal(GriddJournalCommand),
}

const INIT_HELP: &str = "\
Writes gridd.toml (TLS by gridd's own CA, and credentials for everybody), gridd.service,
gridd-backup.service, gridd-backup.timer and gridd.sysusers, and prints the next steps. Nothing is
installed or started, and nothing is written if one of the files exists. docs/deploying.md has the
whole way to appliances on other machines.

Exit codes: 0 written, 1 failure, 2 a file exists, or usage.

Examples:
  gridd init --host broker.example
  gridd init --dir ./trial --listen 192.0.2.7 --host broker.example --host 192.0.2.7";

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "/etc/gridd")]
    pub(crate) dir: PathBuf,
    /// Address of this machine that gridd listens on; 0.0.0.0 and :: are all of them
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0", value_parser = parse_address)]
    pub(crate) listen: IpAddr,
    /// A name or address by which clients reach gridd; may be repeated [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Replace files that exist
    #[arg(long)]
    pub(crate) force: bool,
}

/// Parses an address, with or without the brackets of version 6.
fn parse_address(text: &str) -> Result<IpAddr, &'static str> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "it is an address without a port, such as 0.0.0.0 or 192.0.2.7")
}

const CHECK_CONFIG_HELP: &str = "\
Errors and warnings go to standard error as FILE:LINE: KEY: what is wrong and what is allowed. The
effective settings go to standard output, each with its source: a flag, an environment variable, a
line of the file, or the default. A start and SIGHUP make the same checks. All flags of a start are
accepted, so that the whole command line of a unit can be checked. The data folder is not touched.

Exit codes: 0 valid, 2 errors.

Examples:
  gridd check-config /etc/gridd.toml
  gridd check-config /etc/gridd.toml && systemctl reload gridd
  gridd check-config --config /etc/gridd.toml --data /var/lib/gridd --grpc 127.0.0.1:7443
  gridd check-config --output json /etc/gridd.toml";

/// Arguments of `check-config`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfigArgs {
    /// The settings file, instead of --config
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: CheckConfigFormat,
}

/// Output format of `check-config`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CheckConfigFormat {
    /// Columns, for people.
    Table,
    /// One object with `errors`, `warnings` and `settings`.
    Json,
}

const JOURNAL_HELP: &str = "\
The commands run on the host, on a data folder that no broker has open. `check` and `salvage` never
write to it. To copy the journal of a running broker, use `gridctl journal backup FILE`.

Example: find the damage, save what is intact, and continue in a new folder
  gridd journal check --data /var/lib/gridd
  gridd journal salvage --data /var/lib/gridd /backup/salvaged.journal
  gridd journal restore /backup/salvaged.journal --data /var/lib/gridd-new";

/// Commands on a data folder.
#[derive(Debug, Subcommand)]
pub(crate) enum GriddJournalCommand {
    /// Check that the journal is complete and can be read
    #[command(after_help = "Exit codes: 0 intact, 8 damaged, 6 in use by a gridd, 7 no journal, \
        1 cannot be checked.\n\n\
        Example:\n  gridd journal check --data /var/lib/gridd")]
    Check,
    /// Write every intact record, from anywhere in the folder, to FILE
    #[command(
        after_help = "Exit codes: 0 complete, 8 records are missing; FILE is written in both \
        cases. Others as `check`.\n\n\
        Example:\n  gridd journal salvage --data /var/lib/gridd /backup/salvaged.journal"
    )]
    Salvage {
        /// The file to write, for `gridd journal restore`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace FILE if it exists
        #[arg(long)]
        force: bool,
    },
    /// Build a new data folder from FILE
    #[command(after_help = "FILE comes from `gridctl journal backup` or `gridd journal salvage`. \
        The folder must be empty or not\nexist. Journal and broker keep their ids: never run the \
        old and the new folder at the same time.\n\n\
        Exit codes: 0 complete, 8 records are missing; the intact ones are restored in both cases.\n\n\
        Example:\n  gridd journal restore /backup/grid.journal --data /var/lib/gridd")]
    Restore {
        /// A backup or salvaged file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
