//! What may stand behind `vme run`, `vme maintain`, `vme notify` and `vme agent`?
//!
//! Takes options as they come; what they mean is the commands' own matter.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// `vme run [--script FILE] [-- COMMAND ...]`
#[derive(Debug, Args)]
#[command(after_help = RUN)]
pub(crate) struct RunArguments {
    /// The start script [default: /etc/sysconfig/applogic_appliance].
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) script: Option<PathBuf>,

    /// A command to run in place of the script.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const RUN: &str = "\
The script is sourced by /bin/sh, so it need not be executable, and `exit` in it is its outcome.
If its first line names another shell (`#!/bin/bash -eu`), that one sources it; a program that is no
shell (`#!/usr/bin/python3`) runs it. A script that can't be run so is a failed start, in words.
  0, or no script at the default place   started_ok
  anything else, or a signal             start_failed; the reason is the last line that is not
                                         empty of standard error, else \"Failed to Start\"
All of standard error passes through and is kept in the state folder: start-BOOT.stderr, at most
1 MiB, for the last 5 boots. Standard input is empty. SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR1
go to the script and all it started; a start that was told to end is none, whatever it exits with.
Told to end, vme waits for the broker for 2 s more; what is not answered by then is spooled.
A daemon that the script leaves behind is not waited for.

Exit codes:
  0     The start is good, and the broker knows
  1     The start failed, whatever became of telling the broker
  2..6  The start is good; what became of telling the broker, as in `vme --help`

Examples:
  vme run
  vme run --script /etc/db/check
  vme run -- /usr/local/bin/check-database --quick";

/// `vme maintain [--then-report] -- COMMAND ...`
#[derive(Debug, Args)]
#[command(after_help = MAINTAIN)]
pub(crate) struct MaintainArguments {
    /// The command's exit is the outcome of the start: 0 started_ok, else start_failed.
    #[arg(long)]
    pub(crate) then_report: bool,

    /// The command, whose lines such as `34 %` or `34% checking table 7` are reports.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const MAINTAIN: &str = "\
Lines of both outputs are read and pass through; a carriage return ends one, too, and so does a
moment's silence:
  34, 34 %, 34.7%, [34%]                  progress
  34% checking table 7, [34%] ...         progress, and what is being done
  checking table 7: 34 %, ... (34%)       the same
  checking table 7                        what is being done; the progress stays
  32,768  34%  31.25MB/s  0:00:12         progress; the line is what is being done
  3 17 120 /dev/vdb                       the third pass of fsck -C 1, weighed as fsck does
A bare number is progress only if it is the whole line, a percentage if it is the only one of the
line and no word beside it says otherwise (95% full, 3% free). 0 is no progress yet.
The newest is reported, at most once a second. While nothing new is said (another digit, the turn of
a spinner is nothing new; where a percentage is known only that is progress), the last report is
repeated every 10 s and marked so: the broker knows that a job which stands still lives, and warns
of it. Once the broker says that the start is over, no more reports are sent.
Many programs keep what they say when they write into a pipe: `stdbuf -oL` helps.

Exit codes:
  The command's own, 128 and the signal's number if one ended it, 126 or 127 if it can't be
  started. With --then-report those of `vme run`.

Examples:
  vme maintain -- fsck.ext4 -C 1 /dev/vdb
  vme maintain --then-report -- /usr/local/bin/repair-database";

/// `vme notify -- COMMAND ...`
#[derive(Debug, Args)]
#[command(after_help = NOTIFY)]
pub(crate) struct NotifyArguments {
    /// The service, started with NOTIFY_SOCKET set.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const NOTIFY: &str = "\
What the service says by sd_notify(3) before it is ready:
  READY=1                     started_ok; its STATUS= is the text
  STATUS= with a percentage   maintenance, as lines of `vme maintain`
  EXTEND_TIMEOUT_USEC=        maintenance that promises the next report within the extension, 60 s
                              at most; repeated every 10 s, and marked so, while the extension holds
  ERRNO=, BUSERROR=           start_failed; so is an end or STOPPING=1 before it is ready
vme stays the service's parent: SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR1 go to the service
alone. If vme itself was started with NOTIFY_SOCKET, all but MAINPID=, BARRIER= and descriptors is
passed on, WATCHDOG=1 too. In a unit: Type=notify, NotifyAccess=main, KillMode=mixed.
A wrapper between the two must end as the service does: setpriv does, runuser and su do not.

Exit codes:
  The service's own, 128 and the signal's number if one ended it, 126 or 127 if it can't be
  started.

Examples:
  vme notify -- mariadbd --user=mysql
  vme notify -- setpriv --reuid=postgres --regid=postgres --init-groups postgres -D /srv/db";

/// `vme spool [--json]`
#[derive(Debug, Args)]
#[command(after_help = SPOOL)]
pub(crate) struct SpoolArguments {
    /// One JSON object in place of words.
    #[arg(long)]
    pub(crate) json: bool,
}

const SPOOL: &str = "\
Asks neither the agent nor the broker. In JSON: folder, waiting, kinds, oldest, sender
(null: the next call sends what waits), lost, set_aside, damage_kept.

Examples:
  vme spool
  vme spool --json";

/// `vme agent`
#[derive(Debug, Args)]
#[command(after_help = AGENT)]
pub(crate) struct AgentArguments {}

const AGENT: &str = "\
It keeps one session with the broker, takes events from calls of vme by the socket agent.sock in the
state folder, and sends what is in the spool, also what earlier calls left there. It tries for ever:
after 1 s, 2 s, 4 s ... 120 s. SIGTERM ends it; what waits stays in the spool.

Exit codes:
  0  It was told to end
  1  The folder or the socket can't be used, or the boot has no id
  2  Wrong usage
  3  Another agent speaks for that folder

Example:
  vme agent --broker controller:7443 --appliance shop:main.db1";
