//! Arguments of `gridctl mail`.

use clap::Subcommand;

use grid_broker::contract::proto::MailState;

use super::list::{ListFlags, MailSort};
use crate::args::values::{mail_states, parse_number};

/// Commands on queued mails.
#[derive(Debug, Subcommand)]
pub(crate) enum MailSubcommand {
    /// List queued mails, oldest first
    #[command(aliases = ["ls", "get"], after_help = "Sent mails are not listed; `gridctl log list --kind mail` has their \
        records.\n\n\
        Example: mails that could not be delivered\n  gridctl mail list --state failed")]
    List(MailList),
    /// Show one mail: what it contains, and its delivery attempts
    #[command(aliases = ["describe", "view", "inspect"],
              after_help = "Example:\n  gridctl mail show 12")]
    Show {
        /// Number of the mail
        #[arg(value_name = "NUMBER", value_parser = parse_number)]
        number: u64,
    },
    /// Retry mails now, including failed ones; their three days of attempts start again
    #[command(after_help = "Mails are retried one by one; the first that is not queued ends the \
        command.\n\n\
        Examples: the mail server works again\n  gridctl mail retry 12 13\n  \
        gridctl mail retry --all")]
    Retry {
        /// Numbers of mails
        #[arg(value_name = "NUMBER", required_unless_present = "all", value_delimiter = ',',
              value_parser = parse_number)]
        numbers: Vec<u64>,
        /// All waiting and failed mails
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
    /// Remove mails from the queue without sending them
    #[command(after_help = "Mails are dropped one by one; the first that is not queued ends the \
        command. A mail that is\nbeing sent at this moment may still arrive.\n\n\
        Example:\n  gridctl mail drop 12")]
    Drop {
        /// Numbers of mails
        #[arg(value_name = "NUMBER", required = true, value_delimiter = ',', value_parser = parse_number)]
        numbers: Vec<u64>,
    },
    /// Send a test mail as alert mails are sent, and print the SMTP dialogue
    #[command(
        after_help = "The password is not printed. Exit code 1: the server did not accept the \
        mail.\n\n\
        Example:\n  gridctl mail test ops@example.org"
    )]
    Test {
        /// The recipient; it need not be in the settings
        address: String,
    },
}

/// `mail list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct MailList {
    /// Only to these addresses; patterns with `*`, `?` and `[...]` work as in a shell
    #[arg(value_name = "RECIPIENT")]
    pub(crate) recipients: Vec<String>,
    /// Only in these states
    #[arg(long = "state", alias = "standing", value_name = "STATE", value_parser = mail_states(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) state: Vec<MailState>,
    /// Order and watch.
    #[command(flatten)]
    pub(crate) flags: ListFlags<MailSort>,
}
