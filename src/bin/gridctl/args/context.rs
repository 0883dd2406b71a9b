//! What can be typed behind `gridctl context`.

use clap::Subcommand;

/// What can be done with the named brokers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the named brokers, and mark the one in use
    #[command(aliases = ["ls", "get"], after_help = "Example:\n  gridctl context list")]
    List,
    /// Show one: the one that commands ask, unless another is named
    #[command(aliases = ["describe", "view", "inspect", "current"],
              after_help = "Example:\n  gridctl context show")]
    Show {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: Option<String>,
    },
    /// Use one from now on
    #[command(alias = "switch", after_help = "Example:\n  gridctl context use production")]
    Use {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: String,
    },
}
