//! What may stand on the command line of `vme`, and what does `--help` say?
//!
//! Takes options and words as they come; whether they make sense is `call`'s matter, so that all
//! mistakes are told at once.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

// By its path, since gridctl reads this file from its own place.
#[path = "arguments/commands.rs"]
mod commands;

pub(crate) use commands::{
    AgentArguments, MaintainArguments, NotifyArguments, RunArguments, SpoolArguments,
};

/// Tells the grid's event broker what this appliance has to say.
#[derive(Debug, Parser)]
#[command(
    name = "vme",
    version,
    args_conflicts_with_subcommands = false,
    override_usage = "vme [OPTIONS] id=<event> [msg=<text>] [severity=<level>] [key=<key>]\n           \
        [progress=<1..100>] [cnt_name=<name> cnt_value=<number>]\n           \
        [next_report_within=<1s..60s>]\n       \
        vme [OPTIONS] run|maintain|notify|agent ...",
    after_help = HELP,
)]
pub(crate) struct Arguments {
    /// What every call takes.
    #[command(flatten)]
    pub(crate) options: Options,

    /// The event, in name=value words of any order.
    #[arg(value_name = "WORD", hide = true)]
    pub(crate) words: Vec<OsString>,

    /// What to do in place of saying one event.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options that hold for every call.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Where the broker listens [default: GRID_BROKER, else 127.0.0.1:7443].
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) broker: Option<OsString>,

    /// Who speaks [default: VME_APPLIANCE, else the host name].
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) appliance: Option<OsString>,

    /// How long to try while the broker is away, from 100ms to 24h [default: 10s].
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) timeout: Option<OsString>,

    /// Where numbers and the spool are kept [default: VME_STATE, else /var/lib/vme].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) state: Option<OsString>,
}

/// Commands beside saying one event.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the start script, or any command, and reports what became of the start.
    Run(RunArguments),
    /// Runs a command whose output lines are reports of a long start.
    Maintain(MaintainArguments),
    /// Runs a service that speaks systemd's notification protocol, and reports what it says.
    Notify(NotifyArguments),
    /// Holds the session with the broker for all of this appliance.
    Agent(AgentArguments),
    /// Shows what waits on this appliance, and who is going to send it.
    Spool(SpoolArguments),
    /// Sends what is spooled, and ends.
    #[command(hide = true, after_help = "Example:\n  vme drain")]
    Drain,
}

const HELP: &str = "\
Events:
  started_ok    The start is complete; the only event that every appliance must send
  start_failed  The start failed; msg is the reason
  maintenance   The start takes long: msg is what is being done, progress how far it has come
  log           A line for the grid log, for what may matter to the whole grid
  alert         A grave matter for an administrator, or a counter's new value

Words:
  msg=<text>                  Also text= or log_text=; needed with log, and with alert unless it
                              has a counter. Beyond 4096 bytes the broker cuts it and says so
  severity=<level>            debug, info, warn, error or fatal [default: error for start_failed
                              and alert, else info]
  key=<key>                   With alert: the problem's key, by which it is known again though
                              its text changes, such as raid:md0
  progress=<1..100>           With maintenance: whole percent of the start that is done
  cnt_name=, cnt_value=       With alert: a counter and its new value, always both
  next_report_within=<time>   With maintenance: the next report comes within 1s to 60s
                              [default: what the appliance's class says, 60s]

Examples:
  vme id=started_ok
  vme id=start_failed msg=\"Missing DNS server address\"
  vme id=maintenance msg=\"Database recovery\" progress=30
  vme id=log msg=\"SSL certificate loaded OK\" severity=info
  vme id=alert msg=\"Corrupted database file detected\" severity=fatal
  vme id=alert cnt_name=n_db_xact_per_min cnt_value=46 severity=fatal

Exit codes:
  0  The event is durably kept, or needed no keeping (repeated, known already, of an older boot,
     below the severity that is kept)
  1  Something broke; the last line says what
  2  Wrong usage or a malformed event; nothing was done
  3  The broker's rules say no, or it does not know such events; nothing changed
  4  The broker holds this appliance's events back for a while
  5  The broker is away; the event waits in this appliance's spool, on the disk
  6  The broker cannot be reached or takes nothing now, and the event is not spooled: the line
     says why
  Commands that run something have their own besides: `vme run --help`

Environment:
  GRID_BROKER    Where the broker listens
  VME_APPLIANCE  Who speaks
  VME_BOOT_ID    A UUID that names this boot, for tests and orchestrators. Otherwise it is made
                 from the kernel's boot id, the start of process 1 and its PID namespace
  VME_STATE      Where numbers and the spool are kept
  VME_SPOOL_EVENTS, VME_SPOOL_BYTES
                 How much the spool holds, 4 to 100000 events [default: 10000] and 4096 to
                 67108864 bytes [default: 2097152]; the same for all of an appliance's processes
  An empty variable is like none. An option goes before its variable.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_behind_the_words() {
        let read = Arguments::parse_from([
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
    fn every_example_of_the_help_is_right() {
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
            grid_broker::event_words::parse(&words).unwrap();
        }
    }
}
