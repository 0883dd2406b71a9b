//! Declares the command line of `vme` and the texts of `--help`.
//!
//! Guarantees that options and event arguments are accepted as given: `config` and `event_args`
//! validate them, so that all errors are reported at once. Does not know what they mean.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

// With an explicit path, since gridctl includes this file from its own folder.
#[path = "arguments/commands.rs"]
mod commands;

pub(crate) use commands::{
    AgentArguments, EnrolArguments, MaintainArguments, NotifyArguments, RunArguments,
    SpoolArguments,
};

/// Sends this appliance's events to the grid's event broker.
#[derive(Debug, Parser)]
#[command(
    name = "vme",
    version,
    args_conflicts_with_subcommands = false,
    override_usage = "vme [OPTIONS] id=<event> [msg=<text>] [severity=<level>] [key=<key>]\n           \
        [resolved=yes] [progress=<1..100>] [cnt_name=<name> cnt_value=<number>]\n           \
        [next_report_within=<1s..60s>]\n       \
        vme [OPTIONS] run|maintain|notify|agent|enrol ...",
    after_help = HELP,
)]
pub(crate) struct VmeArguments {
    /// The options of every call.
    #[command(flatten)]
    pub(crate) options: Options,

    /// The event, as name=value arguments in any order.
    #[arg(value_name = "WORD", hide = true)]
    pub(crate) words: Vec<OsString>,

    /// A command in place of sending one event.
    #[command(subcommand)]
    pub(crate) command: Option<VmeCommand>,
}

/// Options of every call.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Where the broker listens [default: GRID_BROKER, else as enrolled, else 127.0.0.1:7443].
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) broker: Option<OsString>,

    /// The appliance's name [default: VME_APPLIANCE, else as enrolled, else the host name].
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) appliance: Option<OsString>,

    /// How long to retry while the broker is away, from 100ms to 24h [default: 10s].
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) timeout: Option<OsString>,

    /// The folder of sequence numbers and spool [default: VME_STATE, else /var/lib/vme].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) state: Option<OsString>,

    /// A file with this appliance's token [default: VME_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<OsString>,

    /// The certificate of the broker's CA, in PEM [default: VME_CA_FILE].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<OsString>,

    /// The pin of the broker's CA: 64 hexadecimal digits [default: VME_PIN].
    #[arg(long, global = true, value_name = "HASH")]
    pub(crate) pin: Option<OsString>,

    /// A client certificate of an operator's CA, in PEM [default: VME_CERTIFICATE].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) certificate: Option<OsString>,

    /// Its private key [default: VME_KEY].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<OsString>,
}

/// Commands other than sending one event.
#[derive(Debug, Subcommand)]
pub(crate) enum VmeCommand {
    /// Runs the start script, or any command, and reports the outcome of the start.
    Run(RunArguments),
    /// Runs a command whose output lines are progress reports of a long start.
    Maintain(MaintainArguments),
    /// Runs a service that speaks systemd's notification protocol, and reports its start.
    Notify(NotifyArguments),
    /// Holds the session with the broker for the whole appliance.
    Agent(AgentArguments),
    /// Exchanges a token for the identity of this host, which all calls of vme use from then on.
    Enrol(EnrolArguments),
    /// Shows the events that wait on this appliance, and which process sends them.
    Spool(SpoolArguments),
    /// Sends the spooled events, and ends.
    #[command(hide = true, after_help = "Example:\n  vme drain")]
    Drain,
}

const HELP: &str = "\
Events:
  started_ok    The start is complete; the only event that every appliance must send
  start_failed  The start failed; msg is the reason
  maintenance   The start takes long: msg is what is being done, progress how far it has come
  log           A line for the grid log, if it may matter to the whole grid
  alert         A problem that needs an administrator, or a counter's new value

Event arguments:
  msg=<text>                  Also text= or log_text=; required for log, and for alert unless it
                              has a counter. The broker truncates it to 4096 bytes and marks it
  severity=<level>            debug, info, warn, error or fatal [default: error for start_failed
                              and alert, else info]
  key=<key>                   With alert: the problem's group key, which identifies it even if
                              its text changes, such as raid:md0
  resolved=yes                With alert: the problem of this key, counter or text is over; with
                              key= the text may be left out
  progress=<1..100>           With maintenance: completed part of the start in whole percent
  cnt_name=, cnt_value=       With alert: a counter and its new value, always both
  next_report_within=<time>   With maintenance: the report deadline, 1s to 60s from now
                              [default: as the appliance's class defines, 60s]

Examples:
  vme id=started_ok
  vme id=start_failed msg=\"Missing DNS server address\"
  vme id=maintenance msg=\"Database recovery\" progress=30
  vme id=log msg=\"SSL certificate loaded OK\" severity=info
  vme id=alert msg=\"Corrupted database file detected\" severity=fatal
  vme id=alert cnt_name=n_db_xact_per_min cnt_value=46 severity=fatal

Identity:
  After `vme enrol` each call uses the certificate in the state folder, and renews it in time. If the
  broker refuses the credential, the event is spooled (5), and the line says what to do.
  A token goes to a broker with TLS only, or to this host. TLS is used if the address begins with
  https://, or if a CA file or pin is given, or after `vme enrol`. With http:// before the address
  neither TLS nor the identity is used.

Exit codes:
  0  The event is stored durably, or did not need to be stored (repeated, already known, of an
     older boot, below the lowest stored severity)
  1  Something broke; the last line gives the reason
  2  Wrong usage or a malformed event; nothing was done
  3  The broker's rules refuse the event, or it does not support it; nothing changed
  4  The broker suppresses this appliance's events for a while
  5  The broker is away, or refuses the credential; the event waits in this appliance's spool, on
     the disk
  6  The broker cannot be reached or accepts nothing now, and the event is not spooled: the line
     gives the reason
  Commands that run a program have further exit codes: `vme run --help`

Environment:
  GRID_BROKER    Where the broker listens
  VME_APPLIANCE  The appliance's name
  VME_BOOT_ID    A UUID that identifies this boot, for tests and orchestrators. By default it is
                 derived from the kernel's boot id, the start of process 1 and its PID namespace
  VME_STATE      The folder of sequence numbers, spool and identity
  VME_TOKEN_FILE, VME_CA_FILE, VME_PIN, VME_CERTIFICATE, VME_KEY
                 As the options of these names
  VME_ALLOW_CRASH_DUMP, VME_CRASH_DIR
                 Of the agent: yes or no, as its option; and where crash dumps are found
  VME_SPOOL_EVENTS, VME_SPOOL_BYTES
                 Limits of the spool, 4 to 100000 events [default: 10000] and 4096 to
                 67108864 bytes [default: 2097152]; the same for all processes of an appliance
  An empty variable counts as unset. An option overrides its variable.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        VmeArguments::command().debug_assert();
    }

    #[test]
    fn options_may_precede_and_follow_the_event_arguments() {
        let read = VmeArguments::parse_from([
            "vme",
            "--broker",
            "b:1",
            "id=log",
            "msg=--appliance x",
            "--timeout=3s",
        ]);
        assert_eq!(read.options.broker, Some("b:1".into()));
        assert_eq!(read.options.timeout, Some("3s".into()));
        assert_eq!(read.words, ["id=log", "msg=--appliance x"]);
        assert_eq!(read.options.appliance, None);
    }

    #[test]
    fn every_example_of_the_help_parses() {
        let examples: Vec<&str> =
            HELP.lines().filter_map(|line| line.strip_prefix("  vme ")).collect();
        assert_eq!(examples.len(), 6);
        for example in examples {
            // As a shell splits them: quotes only group.
            let mut words = vec![String::new()];
            let mut quoted = false;
            for character in example.chars() {
                match character {
                    '"' => quoted = !quoted,
                    ' ' if !quoted => words.push(String::new()),
                    _ => words.last_mut().unwrap().push(character),
                }
            }
            grid_broker::event_args::parse(&words).unwrap();
        }
    }
}
