//! What can be typed behind `gridctl alert`.

use clap::Subcommand;

use grid_broker::contract::proto::{AlertMatter, Severity};

use super::choice::{alert_kinds, severities};
use super::list::{AlertSort, ListFlags};

/// What can be asked of open matters.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List what is open, that of the broker itself first
    #[command(
        aliases = ["ls", "get"],
        after_help = "What is over is not listed any more: its records are, by `gridctl log \
        list`. The appliance of\nwhat is open about the broker itself is shown as `-`.\n\n\
        Example: what is badly wrong in the shop?\n  \
        gridctl alert list 'shop:*' --severity error"
    )]
    List(AlertList),
    /// Show what is open about one appliance, or one matter of it
    #[command(aliases = ["describe", "view", "inspect"], after_help = "Example: all, then one\n  gridctl alert show shop:main.db1\n  \
        gridctl alert show shop:main.db1 start_failed")]
    Show {
        /// The appliance's name, or the end of it; `-`: the broker itself. An old appliance of that
        /// name is typed as it is shown, with its quotes: '"-"'
        #[arg(value_name = "APPLIANCE")]
        name: String,
        /// Only this matter
        #[arg(value_parser = alert_kinds(), hide_possible_values = true, ignore_case = true)]
        matter: Option<AlertMatter>,
    },
}

/// `alert list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct AlertList {
    /// Only about these appliances; `*`, `?` and `[...]` stand for what they do in a shell
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// Only at least this grave
    #[arg(long, value_name = "LEVEL", value_parser = severities(), ignore_case = true,
          short_alias = 'p', aliases = ["priority", "level"])]
    pub(crate) severity: Option<Severity>,
    /// Only that of the broker itself
    #[arg(long, conflicts_with = "names")]
    pub(crate) of_broker: bool,
    /// How.
    #[command(flatten)]
    pub(crate) flags: ListFlags<AlertSort>,
}
