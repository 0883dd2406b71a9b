//! Defines the command line: commands, flags and their help.
//!
//! Guarantees that parsed arguments are well-formed, and that the help of every command ends with
//! an example. Does not check names and limits: the broker does.

mod admin;
mod alert;
mod appliance;
mod bench;
mod context;
mod crash_dump;
mod global;
mod list;
mod log;
mod login;
mod mail;
mod token;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::suggest;

pub(crate) use self::admin::{AdminCreate, AdministratorCommand};
pub(crate) use self::alert::{AlertList, AlertVerb};
pub(crate) use self::appliance::{
    ApplianceCommand, ApplianceList, ApplianceNames, EnrolArgs, OverrideArgs,
};
pub(crate) use self::bench::BenchArgs;
pub(crate) use self::context::ContextCommand;
pub(crate) use self::crash_dump::{CrashDumpArgs, CrashDumpsArgs};
pub(crate) use self::global::{
    BrokerChoice, ColourMode, GlobalArgs, IdentityChoice, OutputFormat, parse_pin,
};
pub(crate) use self::log::{
    HistogramKey, LogCommand, LogExport, LogHistogram, LogList, RecordChoice,
};
pub(crate) use self::login::{LoginArgs, LogoutArgs};
pub(crate) use self::mail::{MailList, MailSubcommand};
pub(crate) use self::token::{KeyCommand, KeyList, TokenCommand, TokenCreate};
pub(crate) use crate::args::normalize::normalize;

/// Reads the grid log and controls the appliances and mails of a grid.
#[derive(Debug, Parser)]
#[command(
    name = "gridctl",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "A group without a verb lists: `gridctl log` is `gridctl log list`. Noun and verb may \
        be swapped;\nplurals, `ls`, `get` and `describe` are accepted: `gridctl get appliances`, \
        `gridctl logs -f db1`.\n\n\
        Exit codes: 0 success, 1 failure, 2 usage or configuration error, 3 rejected by the broker,\n\
        6 broker unreachable, 7 not found. `status --check` uses the exit codes of Nagios plugins.\n\n\
        Example: what went wrong in the last two hours?\n  \
        gridctl log list --since 2h --severity error"
)]
pub(crate) struct GridctlArgs {
    /// Flags of every command.
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
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
    /// Show and change appliances
    #[command(
        subcommand,
        alias = "appliances",
        after_help = "Example: why does it not start?\n  \
        gridctl appliance show shop:main.db1"
    )]
    Appliance(ApplianceCommand),
    /// Show, acknowledge, resolve and explain alerts: the problems at this moment
    #[command(
        subcommand,
        alias = "alerts",
        after_help = "Examples: what needs attention now? I take care of it\n  \
        gridctl alert list --severity error --state open\n  gridctl alert ack 12"
    )]
    Alert(AlertVerb),
    /// Show, retry and drop queued mails, and test mail delivery
    #[command(
        subcommand,
        alias = "mails",
        after_help = "Example: is mail delivered?\n  gridctl mail test ops@example.org"
    )]
    Mail(MailSubcommand),
    /// Show, back up and verify the journal
    #[command(
        subcommand,
        alias = "journals",
        after_help = "Example:\n  gridctl journal backup /backup/grid-monday.journal"
    )]
    Journal(JournalCommand),
    /// List, create, rotate and revoke tokens
    #[command(
        subcommand,
        alias = "tokens",
        after_help = "A token is the credential of an appliance without a certificate, of a script, or of \
        an\nadministrator. Its id is public; the token itself is shown once.\n\n\
        Example: which tokens are there?\n  gridctl token list"
    )]
    Token(TokenCommand),
    /// List enrolled keys and the ends of their certificates
    #[command(
        subcommand,
        aliases = ["keys", "certificate", "certificates"],
        after_help = "Example: which certificates end soon?\n  gridctl key list --attention"
    )]
    Key(KeyCommand),
    /// List, create and remove administrators
    #[command(
        subcommand,
        aliases = ["admins", "administrator", "administrators"],
        after_help = "Example: somebody who only reads\n  gridctl admin create ann@example.org --role viewer"
    )]
    Admin(AdministratorCommand),
    /// Log in at a broker: store its address, its pin and a credential as a context
    #[command(
        after_help = "The token is read from the file of --token-file (`-` is stdin), or else typed at \
        the terminal\nwithout being shown. It is never an argument: others see those. With an enrolment \
        token (gbe_...)\ngridctl makes a key and gets a certificate for it.\n\n\
        The broker is recognised by --pin, by the authority in --ca-file, or by the pin in an \
        enrolment\ntoken; otherwise gridctl shows the pin of what answers, and asks. On the \
        broker's machine,\n`gridd identity pin` prints it.\n\n\
        The context is in $XDG_CONFIG_HOME/gridctl/contexts.toml, the secret in the folder secrets \
        beside\nit; only you can read them.\n\n\
        Examples: on a terminal; in a script\n  \
        gridctl login grid.example.org:7443\n  \
        gridctl login grid.example.org:7443 --token-file - --ca-file ca.pem --name production"
    )]
    Login(LoginArgs),
    /// Remove the credential of a context from this machine
    #[command(
        after_help = "The context itself stays. A certificate is revoked by an administrator: see \
        `gridctl admin\nremove`.\n\n\
        Example: and make the token invalid\n  gridctl logout production --revoke"
    )]
    Logout(LogoutArgs),
    /// Show who you are for the broker, with which role and credential
    #[command(alias = "who-am-i", after_help = "Example:\n  gridctl whoami")]
    Whoami,
    /// Show what each thread and task of gridd is doing; if gridd does not reply, use `kill -USR2`
    #[command(after_help = "Prints text, or with --output json one JSON object.\n\n\
        Example:\n  gridctl report | grep -A 40 'Thread #'")]
    Report {
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show the state of the broker
    #[command(
        alias = "info",
        after_help = "With --check it prints one line and uses the exit codes of Nagios plugins: 0 no \
        open alerts, 1\nopen warnings or failed mails, 2 open errors or no broker replies, 3 the state \
        is unknown. Alerts\nthat are acknowledged or silenced are counted, and change no exit code.\n\n\
        Examples: the state and the open alerts; the same for monitoring\n  gridctl status\n  \
        gridctl status --check"
    )]
    Status(StatusArgs),
    /// Show the versions of gridctl and of the broker
    #[command(after_help = "Example:\n  gridctl version")]
    Version,
    /// Load a broker with events, and measure it; only a broker whose setting `benchmark` is true
    #[command(
        after_help = "Sends events of appliances named bench:main.a1, a2 and so on, as agents do: each a \
        message of its\nown, numbered, acknowledged when it is durable. Prints events per second, the time \
        until the\nacknowledgement, and CPU time, memory and disk space of the broker per event. At the \
        end it checks\nthat as many events are stored as were acknowledged as stored; exit code 1 if \
        not.\n\n\
        The events stay in the grid log, and the appliances are known from then on. So the broker must \
        have\n`benchmark = true` in its settings, which no broker of production has, and trust \
        everybody on\nloopback. A class without rate limits stores every event: \
        `class.default.budget = \"unlimited\"`.\n\n\
        Examples: full speed for ten seconds; 20,000 events per second, as JSON\n  \
        gridctl bench --sessions 64 --outstanding 256\n  \
        gridctl bench --rate 20000 --duration 1m --output json"
    )]
    Bench(BenchArgs),
    /// List named brokers, and choose the one that commands use
    #[command(
        subcommand,
        alias = "contexts",
        after_help = "The file is $XDG_CONFIG_HOME/gridctl/contexts.toml, or \
        ~/.config/gridctl/contexts.toml:\n\n    current = \"production\"\n    \
        [context.production]\n    broker = \"127.0.0.1:7443\"\n    \
        [context.trial]\n    broker = \"127.0.0.1:8443\"\n\n\
        The broker is the first of: --broker, --context, GRID_BROKER, GRID_CONTEXT, `current`. \
        `gridctl\nlogin` writes a context, with the pin or ca_file by which its broker is \
        recognised.\n\n\
        Example: one command for another broker\n  gridctl --context trial status"
    )]
    Context(ContextCommand),
    /// Write man pages and shell completions of gridd, gridctl and vme; needs no broker
    #[command(after_help = "The layout below DIR is that of /usr/share: man/man1, man/man8, \
        bash-completion, zsh, fish.\nExisting files are replaced. The paths of the written files are \
        printed.\n\n\
        Example: for this user's bash and man\n  \
        gridctl generate ~/.local/share")]
    Generate {
        /// The target directory; created if it does not exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Show these appliances instead of the broker
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// For monitoring: print one line with performance data, and use the exit codes of Nagios
    #[arg(long, conflicts_with = "names")]
    pub(crate) check: bool,
}

/// Commands on the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show the range of records, their location and the disk space they use
    #[command(aliases = ["list", "ls", "get", "describe", "status", "info"],
              after_help = "Example:\n  gridctl journal show")]
    Show,
    /// Write all records and the newest checkpoint to a file for `gridd journal restore`
    #[command(after_help = "The broker keeps running; the backup contains everything up to its \
        start. FILE appears only once\nit is complete, verified and synced to disk; until then it is \
        FILE.partial.\n\n\
        If the broker has a CA, the backup contains its private key: whoever reads FILE can\n\
        pretend to be the broker. Keep it as secret as the data folder.\n\n\
        Example: every night, from cron\n  \
        gridctl journal backup --force /backup/grid.journal")]
    Backup {
        /// The backup file; readable by its owner only
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Replace FILE if it exists
        #[arg(long)]
        force: bool,
    },
    /// Verify that a backup is intact and can be restored, without restoring it; needs no broker
    #[command(
        after_help = "Reads every block, decodes every record and the state. Exit codes: 0 intact, 1 \
        damaged or\nunreadable, 2 FILE is no backup or was made by a later gridd, 7 FILE does not \
        exist.\n\n\
        Example: is the copy at the other site usable?\n  \
        gridctl journal verify /mnt/offsite/grid.journal"
    )]
    Verify {
        /// A file written by `gridctl journal backup` or `gridd journal salvage`
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Parses the command line.
///
/// # Errors
///
/// The error of clap, which also carries help and version.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<GridctlArgs, clap::Error> {
    let mut command = GridctlArgs::command();
    command.build();
    let (arguments, is_got) = normalize::normalize(&command, arguments);
    let matches = match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(error) => return Err(suggest::with_suggestions(&mut command, &arguments, error)),
    };
    let mut args =
        GridctlArgs::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let found = args.global.resolve_broker(&matches);
    if is_got {
        args.command = normalize::resolve_get(args.command);
    }
    match found.err().or_else(|| find_conflict(&args)) {
        Some(message) => Err(command.error(ErrorKind::ArgumentConflict, message)),
        None => Ok(args),
    }
}

/// Finds conflicts that clap cannot: it checks global flags before it knows their command.
fn find_conflict(args: &GridctlArgs) -> Option<&'static str> {
    if args.global.has_two_formats() {
        return Some("--batch is an output format: remove --output");
    }
    let format = args.global.format();
    match &args.command {
        GridctlCommand::Log(LogCommand::List(list)) => find_list_conflict(list, format),
        GridctlCommand::Log(LogCommand::Export(_))
            if matches!(format, OutputFormat::Json | OutputFormat::Udl | OutputFormat::Wide) =>
        {
            Some(
                "an export has one line per record: use --output jsonl or csv, or `log list --all`",
            )
        }
        GridctlCommand::Appliance(ApplianceCommand::List(ApplianceList { flags, .. }))
            if flags.watch =>
        {
            find_watch_conflict(format)
        }
        GridctlCommand::Alert(AlertVerb::List(list)) if list.flags.watch => {
            find_watch_conflict(format)
        }
        GridctlCommand::Mail(MailSubcommand::List(MailList { flags, .. })) if flags.watch => {
            find_watch_conflict(format)
        }
        GridctlCommand::Appliance(ApplianceCommand::Set { own, reset, .. }) => {
            let OverrideArgs { class, managed, boot_timeout, maintenance_silence } = own;
            let is_empty = class.is_none()
                && managed.is_none()
                && boot_timeout.is_none()
                && maintenance_silence.is_none()
                && reset.is_empty();
            is_empty.then_some(
                "nothing to set: use --class, --managed, --boot-timeout, \
                 --maintenance-silence or --reset",
            )
        }
        GridctlCommand::Report { .. }
            if matches!(format, OutputFormat::Csv | OutputFormat::Udl | OutputFormat::Name) =>
        {
            Some("a report is text, or with --output json one object; there are no other formats")
        }
        GridctlCommand::Log(_)
        | GridctlCommand::Appliance(_)
        | GridctlCommand::Alert(_)
        | GridctlCommand::Mail(_)
        | GridctlCommand::Journal(_)
        | GridctlCommand::Token(_)
        | GridctlCommand::Key(_)
        | GridctlCommand::Admin(_)
        | GridctlCommand::Login(_)
        | GridctlCommand::Logout(_)
        | GridctlCommand::Whoami
        | GridctlCommand::Report { .. }
        | GridctlCommand::Status(_)
        | GridctlCommand::Version
        | GridctlCommand::Bench(_)
        | GridctlCommand::Context(_)
        | GridctlCommand::Generate { .. } => None,
    }
}

fn find_list_conflict(list: &LogList, format: OutputFormat) -> Option<&'static str> {
    if !list.follow {
        return (list.limit == 0).then_some(
            "--limit 0 shows no records: use a larger one, or --follow for new records",
        );
    }
    if format == OutputFormat::Json {
        return Some("--output json is one array, which --follow never ends: use --output jsonl");
    }
    (list.limit > 1000).then_some(
        "--follow starts with at most 1000 records: \
         use a smaller --limit, or list first and then follow",
    )
}

fn find_watch_conflict(format: OutputFormat) -> Option<&'static str> {
    (format == OutputFormat::Json)
        .then_some("--output json is one array, which --watch never ends: use --output jsonl")
}

mod normalize;
#[cfg(test)]
mod tests;
mod values;
