//! What can be typed: commands, flags, and their help.
//!
//! Guarantees that what leaves here is well-formed; names and limits are left to the broker, which
//! knows them. Every command's help ends with an example.

mod alert;
mod appliance;
mod choice;
mod context;
mod global;
mod habits;
mod list;
mod log;
mod mail;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::suggest;

pub(crate) use self::alert::{AlertCommand, AlertList};
pub(crate) use self::appliance::{ApplianceCommand, ApplianceList, NameArgs, OverrideArgs};
pub(crate) use self::context::ContextCommand;
pub(crate) use self::global::{Colour, EndpointChoice, Global, OutputFormat};
pub(crate) use self::habits::normalize;
pub(crate) use self::log::{LogCommand, LogList};
pub(crate) use self::mail::{MailList, MailSubcommand};

/// Reads the grid log and steers the appliances and mails of a grid.
#[derive(Debug, Parser)]
#[command(
    name = "gridctl",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "A group alone lists: `gridctl log` is `gridctl log list`. Noun and verb may change \
        places, plurals,\n`ls`, `get` and `describe` are understood: `gridctl get appliances`, \
        `gridctl logs -f db1`.\n\n\
        Exit codes: 0 done, 1 something broke, 2 wrong usage, 3 refused by the broker's rules,\n\
        6 broker out of reach, 7 no such thing. `status --check` has those of Nagios.\n\n\
        Example: what went wrong in the last two hours?\n  \
        gridctl log list --since 2h --severity error"
)]
pub(crate) struct GridctlArgs {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: GridctlCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum GridctlCommand {
    /// Read the grid log
    #[command(
        subcommand,
        aliases = ["logs", "record", "records", "event", "events"],
        after_help = "Example: the newest 20 records, then those to come\n  \
        gridctl log list --limit 20 --follow"
    )]
    Log(LogCommand),
    /// Show and steer appliances
    #[command(
        subcommand,
        alias = "appliances",
        after_help = "Example: why does it not come up?\n  \
        gridctl appliance show shop:main.db1"
    )]
    Appliance(ApplianceCommand),
    /// Show what is open: what is wrong at this moment
    #[command(
        subcommand,
        alias = "alerts",
        after_help = "Example: what needs somebody now?\n  gridctl alert list --severity error"
    )]
    Alert(AlertCommand),
    /// Show and steer the mails that are owed, and try whether mail arrives
    #[command(
        subcommand,
        alias = "mails",
        after_help = "Example: does mail arrive?\n  gridctl mail test ops@example.org"
    )]
    Mail(MailSubcommand),
    /// Show the journal, and copy it out of the running broker
    #[command(
        subcommand,
        alias = "journals",
        after_help = "Example:\n  gridctl journal backup /backup/grid-monday.journal"
    )]
    Journal(JournalCommand),
    /// Show what every thread and task of the broker is doing; `kill -USR2` works when this does not
    #[command(after_help = "Text, or with --output json one JSON object.\n\n\
        Example:\n  gridctl report | grep -A 40 'Thread #'")]
    Report {
        /// Print one JSON object in place of text
        #[arg(long)]
        json: bool,
    },
    /// Show how the broker is
    #[command(
        alias = "info",
        after_help = "With --check one line and the exit codes of Nagios: 0 nothing is open, 1 \
        warnings or mails given up,\n2 errors are open or no broker answers, 3 it cannot be told.\n\n\
        Examples: is it there, and what is open? the same for monitoring\n  gridctl status\n  \
        gridctl status --check"
    )]
    Status(StatusArgs),
    /// Show the versions of gridctl and of the broker
    #[command(after_help = "Example:\n  gridctl version")]
    Version,
    /// Name brokers, and choose the one that commands ask
    #[command(
        subcommand,
        alias = "contexts",
        after_help = "The file is $XDG_CONFIG_HOME/gridctl/contexts.toml, or \
        ~/.config/gridctl/contexts.toml:\n\n    current = \"production\"\n    \
        [context.production]\n    broker = \"127.0.0.1:7443\"\n    \
        [context.trial]\n    broker = \"127.0.0.1:8443\"\n\n\
        --broker goes before --context, that before GRID_BROKER, GRID_CONTEXT and `current`.\n\n\
        Example: one command to another broker\n  gridctl --context trial status"
    )]
    Context(ContextCommand),
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

/// `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Show these appliances in place of the broker
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// For monitoring: one line with performance data, and Nagios's exit codes
    #[arg(long, conflicts_with = "names")]
    pub(crate) check: bool,
}

/// What can be done with the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show which records there are, where they lie and what room they take
    #[command(aliases = ["list", "ls", "get", "describe", "status", "info"],
              after_help = "Example:\n  gridctl journal show")]
    Show,
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
    /// Check that a backup is whole and can be restored, without restoring it; asks no broker
    #[command(
        after_help = "Reads every block, decodes every record and the state. Ends with 0 if all \
        of it is whole, 1 if\nsomething is damaged, 2 if FILE is no backup or one of a later gridd, 7 \
        if it is not there.\n\n\
        Example: is what was copied to the other site any good?\n  \
        gridctl journal verify /mnt/offsite/grid.journal"
    )]
    Verify {
        /// Made by `gridctl journal backup` or `gridd journal salvage`
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Reads the command line.
///
/// # Errors
///
/// What clap has to say, help and version included.
pub(crate) fn read(arguments: Vec<OsString>) -> Result<GridctlArgs, clap::Error> {
    let mut command = GridctlArgs::command();
    command.build();
    let (arguments, is_got) = habits::normalize(&command, arguments);
    let matches = match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(error) => return Err(suggest::better(&mut command, &arguments, error)),
    };
    let mut args =
        GridctlArgs::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let found = args.global.find_endpoint(&matches);
    if is_got {
        args.command = habits::got(args.command);
    }
    match found.err().or_else(|| contradiction(&args)) {
        Some(words) => Err(command.error(ErrorKind::ArgumentConflict, words)),
        None => Ok(args),
    }
}

/// What clap cannot say: it checks global flags before it knows where they stood.
fn contradiction(args: &GridctlArgs) -> Option<&'static str> {
    if args.global.is_of_two_formats() {
        return Some("--batch is a format of its own: leave out --output");
    }
    let format = args.global.format();
    match &args.command {
        GridctlCommand::Log(LogCommand::List(list)) => contradiction_of_list(list, format),
        GridctlCommand::Appliance(ApplianceCommand::List(ApplianceList { flags, .. }))
            if flags.watch =>
        {
            of_watch(format)
        }
        GridctlCommand::Alert(AlertCommand::List(AlertList { flags, .. })) if flags.watch => {
            of_watch(format)
        }
        GridctlCommand::Mail(MailSubcommand::List(MailList { flags, .. })) if flags.watch => {
            of_watch(format)
        }
        GridctlCommand::Appliance(ApplianceCommand::Set { own, reset, .. }) => {
            let OverrideArgs { class, managed, boot_timeout, maintenance_silence } = own;
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
        GridctlCommand::Report { .. }
            if matches!(format, OutputFormat::Csv | OutputFormat::Udl | OutputFormat::Name) =>
        {
            Some("a report is text, or with --output json one object: no other form is made")
        }
        GridctlCommand::Log(_)
        | GridctlCommand::Appliance(_)
        | GridctlCommand::Alert(_)
        | GridctlCommand::Mail(_)
        | GridctlCommand::Journal(_)
        | GridctlCommand::Report { .. }
        | GridctlCommand::Status(_)
        | GridctlCommand::Version
        | GridctlCommand::Context(_)
        | GridctlCommand::Generate { .. } => None,
    }
}

fn contradiction_of_list(list: &LogList, format: OutputFormat) -> Option<&'static str> {
    if !list.follow {
        return (list.limit == 0).then_some(
            "--limit 0 shows no record: give a larger one, or --follow for those to come",
        );
    }
    if format == OutputFormat::Json {
        return Some(
            "--output json is one array, which --follow would never close: use --output jsonl",
        );
    }
    (list.limit > 1000).then_some(
        "--follow begins with 1000 records at most: \
         give a smaller --limit, or list first and follow then",
    )
}

fn of_watch(format: OutputFormat) -> Option<&'static str> {
    (format == OutputFormat::Json).then_some(
        "--output json is one array, which --watch would never close: use --output jsonl",
    )
}

#[cfg(test)]
mod tests;
