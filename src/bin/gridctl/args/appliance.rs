//! Arguments of `gridctl appliance`.
//!
//! Does not check names and limits: the broker does.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Subcommand};

use grid_broker::contract::proto::ApplianceState;

use super::crash_dump::{CrashDumpArgs, CrashDumpsArgs};
use super::list::{ApplianceSort, ListFlags};
use crate::args::values::states;
use crate::duration;

/// Commands on appliances.
#[derive(Debug, Subcommand)]
pub(crate) enum ApplianceCommand {
    /// List appliances and their states
    #[command(
        aliases = ["ls", "get"],
        after_help = "The end of a name is enough: db1 lists shop:main.db1 and every other db1.\n\n\
        Examples: what is not running in the shop? what changes?\n  \
        gridctl appliance list 'shop:*' --state failed,starting\n  \
        gridctl appliance list --watch"
    )]
    List(ApplianceList),
    /// Show appliances, with their states and the reasons
    #[command(aliases = ["describe", "view", "inspect", "status", "info"],
              after_help = "The end of a name is enough if only one appliance has it.\n\n\
        Example:\n  gridctl appliance show db1")]
    Show(ApplianceNames),
    /// Add an appliance before it first connects
    #[command(
        alias = "create",
        after_help = "Example: a database that may take 15 minutes to start\n  \
        gridctl appliance add shop:main.db1 --boot-timeout 15m"
    )]
    Add {
        /// The full name of the appliance
        #[arg(value_name = "NAME")]
        name: String,
        /// Its settings.
        #[command(flatten)]
        own: OverrideArgs,
    },
    /// Change the class, management or timeouts of appliances
    #[command(
        after_help = "Example: 30 minutes to start, and the report deadline of its class\n  \
        gridctl appliance set shop:main.db1 --boot-timeout 30m --reset maintenance_silence"
    )]
    Set {
        /// The appliances.
        #[command(flatten)]
        names: ApplianceNames,
        /// The new settings.
        #[command(flatten)]
        own: OverrideArgs,
        /// Use the value of the class again
        #[arg(long, value_name = "FIELD", value_parser = reset_fields(), value_delimiter = ',')]
        reset: Vec<String>,
    },
    /// Remove appliances; their records stay in the grid log
    #[command(aliases = ["rm", "delete"],
              after_help = "Patterns are not accepted.\n\nExample:\n  gridctl appliance remove shop:main.db1")]
    Remove(ApplianceNames),
    /// Declare that appliances boot now: their boot deadlines start
    #[command(after_help = "Example: in the script that powers them on\n  \
        gridctl appliance boot shop:main.db1 shop:main.db2")]
    Boot(ApplianceNames),
    /// Declare that appliances were stopped on purpose: no events are expected of them
    #[command(after_help = "Example: in the script that shuts all of the shop down\n  \
        gridctl appliance stop 'shop:*'")]
    Stop(ApplianceNames),
    /// End the suppression of appliances, and reset their rate limits
    #[command(after_help = "A pattern matches only suppressed appliances.\n\n\
        Example:\n  gridctl appliance unsuppress shop:main.db1")]
    Unsuppress(ApplianceNames),
    /// Crash the kernel of an appliance, so that it writes a crash dump and reboots
    #[command(
        aliases = ["crash_dump", "crashdump"],
        after_help = "Data that the appliance has not written to its disks may be lost, and it is away \
        until it has\nbooted again. So its full name is asked for at the terminal; --yes is for \
        scripts. What is known\nto be impossible is refused before anything happens. The driver is a \
        setting of the appliance\nor its class: [class.NAME.crash_dump].\n\n\
        Exit codes of --wait: 0 a complete dump was found, 7 it booted again and none was found, 1 \
        anything\nelse. Of --check: 0 possible, 3 not possible.\n\n\
        Examples: is it possible? do it, and wait for the dump\n  \
        gridctl appliance crash-dump shop:main.db1 --check\n  \
        gridctl appliance crash-dump shop:main.db1 --wait"
    )]
    CrashDump(CrashDumpArgs),
    /// List the last 16 crash dumps of an appliance, or show the whole story of one
    #[command(
        aliases = ["crash_dumps", "crashdumps", "dumps"],
        after_help = "The beginning of a request id is enough if only one has it.\n\n\
        Examples: all of them; one with its dumps and the output of its driver\n  \
        gridctl appliance crash-dumps shop:main.db1\n  \
        gridctl appliance crash-dumps shop:main.db1 req-5f0c"
    )]
    CrashDumps(CrashDumpsArgs),
    /// Lock appliances: only the role admin may trigger crash dumps of them
    #[command(
        after_help = "Locking again replaces the reason. What an admin locked, only an admin \
        unlocks.\n\n\
        Example:\n  gridctl appliance lock shop:main.db1 --reason migration"
    )]
    Lock {
        /// The appliances.
        #[command(flatten)]
        names: ApplianceNames,
        /// Why, for the others
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Unlock appliances
    #[command(after_help = "Example:\n  gridctl appliance unlock shop:main.db1")]
    Unlock(ApplianceNames),
    /// Create a token with which an appliance gets its certificate, and print it this once
    #[command(
        alias = "enroll",
        after_help = "The appliance may be new. On it, `vme enrol` makes a key and exchanges the token \
        for a\ncertificate. The token names the broker's authority, so that nobody else can take the \
        broker's\nplace.\n\n\
        --many reads one name per line, with its class after a blank if it has one, and prints \
        NAME TOKEN\nlines. --pattern makes one token for many machines, such as those of one \
        image.\n\n\
        Examples: one appliance; a list; an image for up to 50 machines\n  \
        gridctl appliance enrol shop:main.db1 > db1.token\n  \
        gridctl appliance enrol --many names.txt > tokens.txt\n  \
        gridctl appliance enrol --pattern 'web-*' --count 50 --valid 7d --class web"
    )]
    Enrol(EnrolArgs),
    /// Revoke the key and all tokens of appliances: their sessions end at once
    #[command(
        after_help = "Patterns are not accepted. A revoked appliance is accepted again once it \
        is enrolled again.\n\n\
        Example: a stolen machine\n  gridctl appliance revoke shop:main.db1"
    )]
    Revoke(ApplianceNames),
}

/// `appliance enrol`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["name", "many", "pattern"]))]
pub(crate) struct EnrolArgs {
    /// The full name of the appliance
    #[arg(value_name = "APPLIANCE")]
    pub(crate) name: Option<String>,
    /// Read names from this file; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) many: Option<PathBuf>,
    /// One token for all names that match, with `*` for any characters
    #[arg(long, value_name = "PATTERN", requires = "count")]
    pub(crate) pattern: Option<String>,
    /// With --pattern: how many appliances may use the token
    #[arg(long, value_name = "NUMBER", requires = "pattern",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: Option<u32>,
    /// The class of new appliances [default: the default class]
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// How long the token is valid, such as 15m or 7d [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms, alias = "ttl")]
    pub(crate) valid: Option<u64>,
    /// Replace the key of an appliance that has one; otherwise the broker refuses
    #[arg(long, conflicts_with = "pattern")]
    pub(crate) replace: bool,
}

/// `appliance list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct ApplianceList {
    /// Only these; patterns with `*`, `?` and `[...]` work as in a shell
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// Only in these states
    #[arg(long, value_name = "STATE", value_parser = states(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) state: Vec<ApplianceState>,
    /// Only of these classes; patterns are accepted
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    pub(crate) class: Vec<String>,
    /// Only suppressed appliances
    #[arg(long)]
    pub(crate) suppressed: bool,
    /// Order and watch.
    #[command(flatten)]
    pub(crate) flags: ListFlags<ApplianceSort>,
}

/// Names of appliances.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplianceNames {
    /// Names, ends of names (db1 for shop:main.db1), or patterns with `*`, `?` and `[...]`
    #[arg(value_name = "APPLIANCE", required = true)]
    pub(crate) names: Vec<String>,
}

/// Settings of an appliance that override those of its class.
#[derive(Debug, clap::Args)]
pub(crate) struct OverrideArgs {
    /// The class, which has the defaults for everything else
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// Whether it must report that it started
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    pub(crate) managed: Option<bool>,
    /// How long a boot may take, such as 90s, 5m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms)]
    pub(crate) boot_timeout: Option<u64>,
    /// Report deadline in maintenance, for events that do not set their own
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms)]
    pub(crate) maintenance_silence: Option<u64>,
}

fn reset_fields() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new([
        PossibleValue::new("managed"),
        PossibleValue::new("boot_timeout").alias("boot-timeout"),
        PossibleValue::new("maintenance_silence").alias("maintenance-silence"),
    ])
    .map(|field| field.replace('-', "_"))
}
