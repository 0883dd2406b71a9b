//! What can be typed behind `gridctl appliance`.
//!
//! Names and limits are left to the broker, which knows them.

use clap::Subcommand;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use grid_broker::contract::proto::ApplianceState;

use super::choice::states;
use super::list::{ApplianceSort, ListFlags};
use crate::duration;

/// What can be done with appliances.
#[derive(Debug, Subcommand)]
pub(crate) enum ApplianceCommand {
    /// List appliances and where they stand
    #[command(
        aliases = ["ls", "get"],
        after_help = "A name may be the end of one: db1 lists shop:main.db1 and every other db1.\n\n\
        Examples: what is not up in the shop? what changes?\n  \
        gridctl appliance list 'shop:*' --state failed,starting\n  \
        gridctl appliance list --watch"
    )]
    List(ApplianceList),
    /// Show appliances, and why they stand where they do
    #[command(aliases = ["describe", "view", "inspect", "status", "info"],
              after_help = "The end of a name is enough if only one appliance has it.\n\n\
        Example:\n  gridctl appliance show db1")]
    Show(NameArgs),
    /// Add an appliance before it first speaks
    #[command(
        alias = "create",
        after_help = "Example: a database that may take a quarter of an hour to start\n  \
        gridctl appliance add shop:main.db1 --boot-timeout 15m"
    )]
    Add {
        /// The appliance's whole name
        #[arg(value_name = "NAME")]
        name: String,
        /// With what.
        #[command(flatten)]
        own: OverrideArgs,
    },
    /// Change appliances' class, management or time limits
    #[command(after_help = "Example: half an hour to start, and silence as its class has it\n  \
        gridctl appliance set shop:main.db1 --boot-timeout 30m --reset maintenance_silence")]
    Set {
        /// Which.
        #[command(flatten)]
        names: NameArgs,
        /// To what.
        #[command(flatten)]
        own: OverrideArgs,
        /// Give back to the class what was set for this appliance alone
        #[arg(long, value_name = "FIELD", value_parser = resets(), value_delimiter = ',')]
        reset: Vec<String>,
    },
    /// Remove appliances; their records stay in the grid log
    #[command(aliases = ["rm", "delete"],
              after_help = "Takes no patterns.\n\nExample:\n  gridctl appliance remove shop:main.db1")]
    Remove(NameArgs),
    /// Say that a start of appliances begins now: their boot deadlines run from here
    #[command(after_help = "Example: in the script that powers them on\n  \
        gridctl appliance boot shop:main.db1 shop:main.db2")]
    Boot(NameArgs),
    /// Say that appliances were stopped on purpose: nothing is expected of them any more
    #[command(after_help = "Example: in the script that shuts all of the shop down\n  \
        gridctl appliance stop 'shop:*'")]
    Stop(NameArgs),
    /// Hold back nothing more of what appliances say, and fill their budgets
    #[command(after_help = "A pattern lifts it from those of which something is held back.\n\n\
        Example:\n  gridctl appliance unsuppress shop:main.db1")]
    Unsuppress(NameArgs),
}

/// `appliance list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct ApplianceList {
    /// Only these; `*`, `?` and `[...]` stand for what they do in a shell
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// Only in these states
    #[arg(long, value_name = "STATE", value_parser = states(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) state: Vec<ApplianceState>,
    /// Only of these classes; a pattern may be one
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    pub(crate) class: Vec<String>,
    /// Only those of which something is held back
    #[arg(long)]
    pub(crate) suppressed: bool,
    /// How.
    #[command(flatten)]
    pub(crate) flags: ListFlags<ApplianceSort>,
}

/// Which appliances.
#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// Their names, or the ends of them (db1 for shop:main.db1), or patterns with `*`, `?` and
    /// `[...]`
    #[arg(value_name = "APPLIANCE", required = true)]
    pub(crate) names: Vec<String>,
}

/// What an appliance may have of its own, in place of its class's.
#[derive(Debug, clap::Args)]
pub(crate) struct OverrideArgs {
    /// Its class: the defaults for everything else
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// Whether it is expected to say that it started
    #[arg(long, value_name = "true|false", hide_possible_values = true)]
    pub(crate) managed: Option<bool>,
    /// How long a start may take, such as 90s, 5m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms)]
    pub(crate) boot_timeout: Option<u64>,
    /// How long it may be silent in maintenance if it promises nothing
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms)]
    pub(crate) maintenance_silence: Option<u64>,
}

fn resets() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new([
        PossibleValue::new("managed"),
        PossibleValue::new("boot_timeout").alias("boot-timeout"),
        PossibleValue::new("maintenance_silence").alias("maintenance-silence"),
    ])
    .map(|field| field.replace('-', "_"))
}
