//! Arguments of `gridctl alert`.

use clap::Subcommand;

use grid_broker::contract::proto::{AlertKind, Severity};

use super::list::{AlertSort, ListFlags};
use crate::args::values::{alert_kinds, severities};

/// Commands on open alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List open alerts, those of the broker itself first
    #[command(
        aliases = ["ls", "get"],
        after_help = "Resolved alerts are not listed; `gridctl log list` has their records. Alerts of \
        the broker itself\nhave the appliance `-`.\n\n\
        Example: errors of the shop\n  \
        gridctl alert list 'shop:*' --severity error"
    )]
    List(AlertList),
    /// Show the open alerts of one appliance, or one kind of them
    #[command(aliases = ["describe", "view", "inspect"], after_help = "Examples: all, then one kind\n  gridctl alert show shop:main.db1\n  \
        gridctl alert show shop:main.db1 start_failed")]
    Show {
        /// The name of the appliance, or its end; `-` is the broker itself. An old appliance that
        /// is named `-` is written with its quotes: '"-"'
        #[arg(value_name = "APPLIANCE")]
        name: String,
        /// Only alerts of this kind
        #[arg(value_parser = alert_kinds(), hide_possible_values = true, ignore_case = true)]
        kind: Option<AlertKind>,
    },
}

/// `alert list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct AlertList {
    /// Only alerts of these appliances; patterns with `*`, `?` and `[...]` work as in a shell
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// Only this severity or a higher one
    #[arg(long, value_name = "LEVEL", value_parser = severities(), ignore_case = true,
          short_alias = 'p', aliases = ["priority", "level"])]
    pub(crate) severity: Option<Severity>,
    /// Only alerts of the broker itself
    #[arg(long, conflicts_with = "names")]
    pub(crate) of_broker: bool,
    /// Order and watch.
    #[command(flatten)]
    pub(crate) flags: ListFlags<AlertSort>,
}
