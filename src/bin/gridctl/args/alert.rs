//! What can be typed behind `gridctl alert`.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use grid_broker::show::words;
use grid_broker::wire::proto::{AlertMatter, Severity};

use super::severities;

/// What can be asked of open matters.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List what is open, that of the broker itself first
    #[command(
        after_help = "What is over is not listed any more: its records are, by `gridctl log \
        list`. The appliance of\nwhat is open about the broker itself is shown as `-`.\n\n\
        Example: what is badly wrong in the shop?\n  \
        gridctl alert list 'shop:*' --severity error"
    )]
    List {
        /// Only about these appliances; `*`, `?` and `[...]` stand for what they do in a shell
        #[arg(value_name = "GLOB")]
        names: Vec<String>,
        /// Only at least this grave
        #[arg(long, value_name = "LEVEL", value_parser = severities())]
        severity: Option<Severity>,
        /// Only that of the broker itself
        #[arg(long, conflicts_with = "names")]
        of_broker: bool,
    },
    /// Show what is open about one appliance, or one matter of it
    #[command(after_help = "Example: all, then one\n  gridctl alert show shop:main.db1\n  \
        gridctl alert show shop:main.db1 start_failed")]
    Show {
        /// The appliance's name; `-`: the broker itself
        name: String,
        /// Only this matter
        #[arg(value_parser = matters(), hide_possible_values = true)]
        matter: Option<AlertMatter>,
    },
}

fn matters() -> impl TypedValueParser<Value = AlertMatter> {
    PossibleValuesParser::new(words::matters())
        .try_map(|word| words::matter_of(&word).ok_or("not a matter"))
}
