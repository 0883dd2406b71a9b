//! What can be typed: commands, flags, and their help.
//!
//! Guarantees that what leaves here is well-formed; names and limits are left to the broker, which
//! knows them. Every command's help ends with an example.

mod alert;
mod appliance;
mod mail;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use grid_broker::client::DEFAULT_BROKER;
use grid_broker::show::words;
use grid_broker::wire::proto::{RecordKind, Severity};

use crate::order::noun_first;
use crate::suggest;
use crate::when::{self, When};

pub(crate) use self::alert::AlertCommand;
pub(crate) use self::appliance::{ApplianceCommand, Own};
pub(crate) use self::mail::MailCommand;

/// Reads the grid log and steers the appliances and mails of a grid.
#[derive(Debug, Parser)]
#[command(
    name = "gridctl",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Noun and verb may change places: `gridctl list log` is `gridctl log list`.\n\n\
        Exit codes: 0 done, 1 something broke, 2 wrong usage, 3 refused by the broker's rules,\n\
        6 broker out of reach, 7 no such thing.\n\n\
        Example: what went wrong in the last two hours?\n  \
        gridctl log list --since 2h --severity error"
)]
pub(crate) struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Global {
    /// Where the broker listens
    #[arg(long, global = true, env = "GRID_BROKER", value_name = "HOST:PORT",
          default_value = DEFAULT_BROKER)]
    pub(crate) broker: String,
    /// How to print: a table for people, one JSON array, one JSON object a line, or CSV [default:
    /// table]
    #[arg(
        long,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "table|json|jsonl|csv"
    )]
    output: Option<Format>,
    /// Print for scripts in UDL: entity "name" { attribute = value }
    #[arg(long, global = true)]
    batch: bool,
    /// Colour: auto is on a terminal only, and not if NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "auto|always|never",
        default_value = "auto"
    )]
    pub(crate) color: Colour,
    /// Show times in UTC in place of local time
    #[arg(long, global = true)]
    pub(crate) utc: bool,
}

impl Global {
    /// The format asked for.
    pub(crate) fn format(&self) -> Format {
        if self.batch { Format::Udl } else { self.output.unwrap_or(Format::Table) }
    }
}

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One array.
    Json,
    /// One object a line.
    Jsonl,
    /// A header, then a line each.
    Csv,
    /// The vendor's, by `--batch`.
    #[value(skip)]
    Udl,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also in a pipe.
    Always,
    /// Not at all.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the grid log
    #[command(
        subcommand,
        after_help = "Example: the newest 20 records, then those to come\n  \
        gridctl log list --limit 20 --follow"
    )]
    Log(LogCommand),
    /// Show and steer appliances
    #[command(
        subcommand,
        after_help = "Example: why does it not come up?\n  \
        gridctl appliance show shop:main.db1"
    )]
    Appliance(ApplianceCommand),
    /// Show what is open: what is wrong at this moment
    #[command(
        subcommand,
        after_help = "Example: what needs somebody now?\n  gridctl alert list --severity error"
    )]
    Alert(AlertCommand),
    /// Show and steer the mails that are owed, and try whether mail arrives
    #[command(
        subcommand,
        after_help = "Example: does mail arrive?\n  gridctl mail test ops@example.org"
    )]
    Mail(MailCommand),
    /// Copy the journal out of the running broker
    #[command(
        subcommand,
        after_help = "Example:\n  gridctl journal backup /backup/grid-monday.journal"
    )]
    Journal(JournalCommand),
    /// Show what every thread and task of the broker is doing; `kill -USR2` works when this does not
    #[command(after_help = "Example:\n  gridctl report | grep -A 40 'Thread #'")]
    Report {
        /// Print one JSON object in place of text
        #[arg(long)]
        json: bool,
    },
    /// Show how the broker is
    #[command(after_help = "Example: is it there, and what is open?\n  gridctl status")]
    Status,
    /// Write man pages and shell completions of gridd, gridctl and vme; asks no broker
    #[command(after_help = "Below DIR they lie as they belong below /usr/share: man/man1, \
        man/man8, bash-completion,\nzsh, fish. Files that are there are replaced; what was written is \
        told.\n\n\
        Example: for this user's bash and man\n  \
        gridctl generate ~/.local/share")]
    Generate {
        /// Where to; it is made if it is not there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// What can be done with the grid log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List records: the newest 200, the oldest of them first
    #[command(after_help = "TIME is an age (90s, 2h, 1h30m, 3d), a local time (14:02, \
        '2026-11-20 14:02',\n2026-11-20), or RFC 3339 (2026-11-20T14:02:10Z). All filters must \
        hold; of one filter given\nseveral times, any.\n\n\
        Example: failed starts of the shop since this morning, and whatever comes\n  \
        gridctl log list --appliance 'shop:*' --kind start_failed --since 06:00 --follow")]
    List(LogList),
}

/// `log list`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogList {
    /// Only of these appliances; `*`, `?` and `[...]` stand for what they do in a shell
    #[arg(long, value_name = "GLOB")]
    pub(crate) appliance: Vec<String>,
    /// Only of these kinds
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub(crate) kind: Vec<RecordKind>,
    /// Only at least this grave
    #[arg(long, value_name = "LEVEL", value_parser = severities())]
    pub(crate) severity: Option<Severity>,
    /// Only received at this time or later
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) since: Option<When>,
    /// Only received before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) until: Option<When>,
    /// Only with these words in their text, upper and lower case alike
    #[arg(long, value_name = "WORDS")]
    pub(crate) text: Option<String>,
    /// Only of this boot: its id or the first characters of it
    #[arg(long, value_name = "ID")]
    pub(crate) boot: Option<String>,
    /// How many of the newest; with --follow, how many to begin with
    #[arg(long, value_name = "N", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) limit: u32,
    /// All that match, not only the newest
    #[arg(long, conflicts_with_all = ["limit", "follow"])]
    pub(crate) all: bool,
    /// Newest first
    #[arg(long, short = 'r', conflicts_with = "follow")]
    pub(crate) newest_first: bool,
    /// Go on with records as they come, until Ctrl-C
    #[arg(long, short = 'f', conflicts_with = "until")]
    pub(crate) follow: bool,
}

/// What can be done with the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Write all records and the newest checkpoint to a file that `gridd journal restore` takes
    #[command(after_help = "The broker goes on meanwhile; the backup holds all up to the moment \
        it began. FILE appears\nonly once it is whole, checked and on the disk; until then it is \
        FILE.partial.\n\n\
        Example: every night, from cron\n  \
        gridctl journal backup --force /backup/grid.journal")]
    Backup {
        /// Where to; readable by its owner only
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace FILE if it is there
        #[arg(long)]
        force: bool,
    },
}

fn kinds() -> impl TypedValueParser<Value = RecordKind> {
    PossibleValuesParser::new(words::record_kinds())
        .try_map(|word| words::record_kind_of(&word).ok_or("not a kind"))
}

fn severities() -> impl TypedValueParser<Value = Severity> {
    PossibleValuesParser::new(words::severities())
        .try_map(|word| words::severity_of(&word).ok_or("not a severity"))
}

/// Reads the command line.
///
/// # Errors
///
/// What clap has to say, help and version included.
pub(crate) fn read(arguments: Vec<OsString>) -> Result<Args, clap::Error> {
    let mut command = Args::command();
    let arguments = noun_first(&command, arguments);
    let matches = match command.try_get_matches_from_mut(arguments) {
        Ok(matches) => matches,
        Err(error) => return Err(suggest::better(&mut command, error)),
    };
    let args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    match contradiction(&args) {
        Some(words) => Err(command.error(ErrorKind::ArgumentConflict, words)),
        None => Ok(args),
    }
}

/// What clap cannot say: it checks global flags before it knows where they stood.
fn contradiction(args: &Args) -> Option<&'static str> {
    if args.global.batch && args.global.output.is_some() {
        return Some("--batch is a format of its own: leave out --output");
    }
    match &args.command {
        Command::Log(LogCommand::List(list)) if list.follow => {
            if args.global.format() == Format::Json {
                return Some(
                    "--output json is one array, which --follow would never close: \
                     use --output jsonl",
                );
            }
            (list.limit > 1000).then_some(
                "--follow begins with 1000 records at most: \
                 give a smaller --limit, or list first and follow then",
            )
        }
        Command::Appliance(ApplianceCommand::Set { own, reset, .. }) => {
            let Own { class, managed, boot_timeout, maintenance_silence } = own;
            let is_empty = class.is_none()
                && managed.is_none()
                && boot_timeout.is_none()
                && maintenance_silence.is_none()
                && reset.is_empty();
            is_empty.then_some(
                "nothing to set: give --class, --managed, --boot-timeout, \
                 --maintenance-silence or --reset",
            )
        }
        Command::Log(_)
        | Command::Appliance(_)
        | Command::Alert(_)
        | Command::Mail(_)
        | Command::Journal(_)
        | Command::Report { .. }
        | Command::Status
        | Command::Generate { .. } => None,
    }
}

#[cfg(test)]
mod tests;
