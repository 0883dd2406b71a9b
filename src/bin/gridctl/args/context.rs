//! Arguments of `gridctl context`.

use clap::Subcommand;

/// Commands on named brokers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the named brokers, with a mark at the current one
    #[command(aliases = ["ls", "get"], after_help = "Example:\n  gridctl context list")]
    List,
    /// Show one context; without a name, the current one
    #[command(aliases = ["describe", "view", "inspect", "current"],
              after_help = "Example:\n  gridctl context show")]
    Show {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: Option<String>,
    },
    /// Make a context the current one
    #[command(alias = "switch", after_help = "Example:\n  gridctl context use production")]
    Use {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: String,
    },
}
