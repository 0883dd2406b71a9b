//! Declares the command lines of vme's subcommands and the texts of their `--help`.
//!
//! Guarantees that options are accepted as given. Does not know what they mean to the commands.

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
The script is sourced by /bin/sh, so it need not be executable, and `exit` in it sets the outcome.
If its first line names another shell (`#!/bin/bash -eu`), that shell sources it. A program that is
not a shell (`#!/usr/bin/python3`) runs it. If neither is possible, the start fails with that reason.
  0, or no script at the default path    started_ok
  anything else, or a signal             start_failed; the reason is the last line of standard
                                         error that is not empty, else \"Failed to Start\"
All of standard error passes through and is stored in the state folder: start-BOOT.stderr, at most
1 MiB, for the last 5 boots. Standard input is empty. SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR1
go to the script and all it started. A start that was asked to end has failed, even if it exits
with 0. After such a signal vme waits 2 s more for the broker; an event that is not acknowledged by
then is spooled. A daemon that the script leaves behind is not waited for.

Exit codes:
  0     The start is good, and the broker knows
  1     The start failed (even if reporting it also failed)
  2..6  The start is good; the result of reporting it, as in `vme --help`

Examples:
  vme run
  vme run --script /etc/db/check
  vme run -- /usr/local/bin/check-database --quick";

/// `vme maintain [--then-report] -- COMMAND ...`
#[derive(Debug, Args)]
#[command(after_help = MAINTAIN)]
pub(crate) struct MaintainArguments {
    /// Reports the command's end as the outcome of the start: 0 started_ok, else start_failed.
    #[arg(long)]
    pub(crate) then_report: bool,

    /// The command; its lines, such as `34 %` or `34% checking table 7`, are progress reports.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const MAINTAIN: &str = "\
The lines of both outputs are parsed and pass through. A carriage return also ends a line, and so
does a short silence:
  34, 34 %, 34.7%, [34%]                  progress
  34% checking table 7, [34%] ...         progress and text
  checking table 7: 34 %, ... (34%)       the same
  checking table 7                        text; the progress stays
  32,768  34%  31.25MB/s  0:00:12         progress; the line is the text
  3 17 120 /dev/vdb                       pass 3 of fsck -C 1, weighted as fsck does
A bare number is progress only if it is the whole line. A percentage is progress if it is the only
one of the line and no word beside it contradicts (95% full, 3% free). 0 is no progress yet.
The newest line is reported, at most once a second. While the job prints nothing new, the last
report is repeated every 10 s and marked as repeated: the broker knows that the job is alive and
does not progress, and warns of it. A changed digit or spinner is nothing new; if a percentage is
known, only a change of it is progress. After the broker replied that the start is over, no more
reports are sent. Many programs buffer what they write into a pipe: `stdbuf -oL` helps.

Exit codes:
  The command's own; 128 plus the signal's number if a signal ended it; 126 or 127 if it cannot be
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
What the service sends by sd_notify(3) before it is ready:
  READY=1                     started_ok; its STATUS= is the text
  STATUS= with a percentage   maintenance, as lines of `vme maintain`
  EXTEND_TIMEOUT_USEC=        maintenance with a report deadline at the end of the extension, 60 s
                              at most; repeated every 10 s, and marked so, until the extension ends
  ERRNO=, BUSERROR=           start_failed; so is an end or STOPPING=1 before it is ready
vme stays the service's parent. SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR1 go to the service only.
If vme itself was started with NOTIFY_SOCKET, it passes on everything, including WATCHDOG=1, except
MAINPID=, BARRIER= and descriptors. In a unit: Type=notify, NotifyAccess=main, KillMode=mixed.
A wrapper between the two must end as the service does: setpriv does, runuser and su do not.

Exit codes:
  The service's own; 128 plus the signal's number if a signal ended it; 126 or 127 if it cannot be
  started.

Examples:
  vme notify -- mariadbd --user=mysql
  vme notify -- setpriv --reuid=postgres --regid=postgres --init-groups postgres -D /srv/db";

/// `vme spool [--json]`
#[derive(Debug, Args)]
#[command(after_help = SPOOL)]
pub(crate) struct SpoolArguments {
    /// Writes one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

const SPOOL: &str = "\
Reads the folder only, neither the agent nor the broker. In JSON: folder, waiting, kinds, oldest,
sender (null: the next call sends the waiting events), lost (dropped events that the waiting ones
report), set_aside (quarantined), damage_kept (a damaged spool was saved).

Examples:
  vme spool
  vme spool --json";

/// `vme agent [--allow-crash-dump] [--crash-dir DIR]`
#[derive(Debug, Args)]
#[command(after_help = AGENT)]
pub(crate) struct AgentArguments {
    /// Lets the broker order a crash dump: the agent then crashes this kernel by sysrq.
    #[arg(long)]
    pub(crate) allow_crash_dump: bool,

    /// Where crash dumps are found, or none [default: VME_CRASH_DIR, else /var/crash].
    #[arg(long, value_name = "DIR")]
    pub(crate) crash_dir: Option<OsString>,
}

const AGENT: &str = "\
It keeps one session with the broker, accepts events from calls of vme through the socket agent.sock
in the state folder, and sends the spool, including events of earlier calls. It reconnects for ever:
after 1 s, 2 s, 4 s ... 120 s. SIGTERM ends it; waiting events stay in the spool.

Crash dumps: the agent tells the broker whether the kernel panics on an NMI, and whether a crash
kernel (kdump) is loaded. With --allow-crash-dump, or VME_ALLOW_CRASH_DUMP=yes, an administrator's
order crashes this kernel at once: the agent replies, and writes `c` to /proc/sysrq-trigger. That needs
root, and no container or sandbox. Each new dump in the folder is reported once, as an alert with its
path, size and the kernel's last words; which ones were is noted in the state folder (crash-dumps).

Exit codes:
  0  A signal ended it
  1  The folder or the socket cannot be used, or the boot has no id
  2  Wrong usage
  3  Another agent serves that folder

Examples:
  vme agent --broker controller:7443 --appliance shop:main.db1
  vme agent --allow-crash-dump --crash-dir /srv/crash";

/// `vme enrol --token-file FILE [--name NAME] [--force] ADDRESS`
#[derive(Debug, Args)]
#[command(after_help = ENROL)]
pub(crate) struct EnrolArguments {
    /// The name of this appliance, if the token is valid for several.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Replaces the identity that this host has.
    #[arg(long)]
    pub(crate) force: bool,

    /// Where the broker listens.
    #[arg(value_name = "HOST:PORT")]
    pub(crate) address: String,
}

const ENROL: &str = "\
The token (gbe_...) comes from an administrator, and is read from --token-file, `-` for the standard
input. It contains the pin of the broker's CA, so it is sent to that broker only. vme makes a key,
which never leaves this host, and stores it with the certificate in the folder `identity` of the state
folder. A call that was broken off can be repeated with the same token.
The certificate is renewed after two thirds of its life, by the agent or by any call of vme. A host
that was off until after its end renews it at its next call, for as long as the broker permits.

Exit codes:
  0  This host is enrolled
  1  A file cannot be written
  2  Wrong usage, or what is in the file is not a token for enrolment; nothing was sent
  3  The broker refuses the token, or this host has an identity already
  6  The broker cannot be reached, or is not the one of the token

Examples:
  vme enrol --token-file /run/token controller:7443
  vme enrol --token-file - --name shop:main.db1 controller:7443 </run/token";
