//! What can be typed behind `gridctl appliance`.
//!
//! Names and limits are left to the broker, which knows them.

use clap::Subcommand;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use grid_broker::show::words;
use grid_broker::wire::proto::ApplianceState;

use crate::duration;

/// What can be done with appliances.
#[derive(Debug, Subcommand)]
pub(crate) enum ApplianceCommand {
    /// List appliances and where they stand
    #[command(after_help = "Example: what is not up in the shop?\n  \
        gridctl appliance list 'shop:*' --state failed --state starting")]
    List {
        /// Only these names; `*`, `?` and `[...]` stand for what they do in a shell
        #[arg(value_name = "GLOB")]
        names: Vec<String>,
        /// Only in these states
        #[arg(long, value_name = "STATE", value_parser = states())]
        state: Vec<ApplianceState>,
        /// Only those of which something is held back
        #[arg(long)]
        suppressed: bool,
    },
    /// Show one appliance, and why it stands where it does
    #[command(after_help = "Example:\n  gridctl appliance show shop:main.db1")]
    Show(Named),
    /// Add an appliance before it first speaks
    #[command(after_help = "Example: a database that may take a quarter of an hour to start\n  \
        gridctl appliance add shop:main.db1 --boot-timeout 15m")]
    Add {
        /// Which.
        #[command(flatten)]
        named: Named,
        /// With what.
        #[command(flatten)]
        own: Own,
    },
    /// Change an appliance's class, management or time limits
    #[command(after_help = "Example: half an hour to start, and silence as its class has it\n  \
        gridctl appliance set shop:main.db1 --boot-timeout 30m --reset maintenance_silence")]
    Set {
        /// Which.
        #[command(flatten)]
        named: Named,
        /// To what.
        #[command(flatten)]
        own: Own,
        /// Give back to the class what was set for this appliance alone
        #[arg(long, value_name = "FIELD", value_parser = resets())]
        reset: Vec<String>,
    },
    /// Remove an appliance; its records stay in the grid log
    #[command(after_help = "Example:\n  gridctl appliance remove shop:main.db1")]
    Remove(Named),
    /// Say that a start of the appliance begins now: its boot deadline runs from here
    #[command(after_help = "Example: in the script that powers it on\n  \
        gridctl appliance boot shop:main.db1")]
    Boot(Named),
    /// Say that the appliance was stopped on purpose: nothing is expected of it any more
    #[command(after_help = "Example: in the script that shuts it down\n  \
        gridctl appliance stop shop:main.db1")]
    Stop(Named),
    /// Hold back nothing more of what the appliance says, and fill its budgets
    #[command(after_help = "Example:\n  gridctl appliance unsuppress shop:main.db1")]
    Unsuppress(Named),
}

/// Which appliance.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// The appliance's name
    pub(crate) name: String,
}

/// What an appliance may have of its own, in place of its class's.
#[derive(Debug, clap::Args)]
pub(crate) struct Own {
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

fn states() -> impl TypedValueParser<Value = ApplianceState> {
    PossibleValuesParser::new(words::states())
        .try_map(|word| words::state_of(&word).ok_or("not a state"))
}

fn resets() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new([
        PossibleValue::new("managed"),
        PossibleValue::new("boot_timeout").alias("boot-timeout"),
        PossibleValue::new("maintenance_silence").alias("maintenance-silence"),
    ])
    .map(|field| field.replace('-', "_"))
}
