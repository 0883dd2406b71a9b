//! What can be typed behind `gridctl mail`.

use clap::Subcommand;

use grid_broker::contract::proto::MailStanding;

use super::choice::{mail_states, number};
use super::list::{ListFlags, MailSort};

/// What can be done with mails that are owed.
#[derive(Debug, Subcommand)]
pub(crate) enum MailSubcommand {
    /// List the mails that are owed, oldest first
    #[command(aliases = ["ls", "get"], after_help = "A mail that was sent is owed no more: `gridctl log list --kind mail` \
        tells of it.\n\n\
        Example: what was given up?\n  gridctl mail list --standing failed")]
    List(MailList),
    /// Show one mail: what it tells of, and what came of it so far
    #[command(aliases = ["describe", "view", "inspect"],
              after_help = "Example:\n  gridctl mail show 12")]
    Show {
        /// Its number
        #[arg(value_name = "NUMBER", value_parser = number)]
        number: u64,
    },
    /// Try mails now; their three days begin anew, also of those that were given up
    #[command(after_help = "One after the other; the first that is not owed ends it.\n\n\
        Examples: the mail server is mended\n  gridctl mail retry 12 13\n  \
        gridctl mail retry --all")]
    Retry {
        /// Their numbers
        #[arg(value_name = "NUMBER", required_unless_present = "all", value_delimiter = ',',
              value_parser = number)]
        numbers: Vec<u64>,
        /// All that wait or were given up
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
    /// Owe mails no more: they are not sent
    #[command(after_help = "One after the other; the first that is not owed ends it. A mail that \
        is being sent at this\nmoment may arrive all the same.\n\n\
        Example:\n  gridctl mail drop 12")]
    Drop {
        /// Their numbers
        #[arg(value_name = "NUMBER", required = true, value_delimiter = ',', value_parser = number)]
        numbers: Vec<u64>,
    },
    /// Send one mail by the way of all mails, and print the dialogue with the server
    #[command(after_help = "The password is not in it. Exit code 1: the server did not take the \
        mail.\n\n\
        Example:\n  gridctl mail test ops@example.org")]
    Test {
        /// To whom; it need not be among the recipients of the settings
        address: String,
    },
}

/// `mail list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct MailList {
    /// Only to these addresses; `*`, `?` and `[...]` stand for what they do in a shell
    #[arg(value_name = "RECIPIENT")]
    pub(crate) recipients: Vec<String>,
    /// Only those that stand so
    #[arg(long, value_name = "STANDING", value_parser = mail_states(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) standing: Vec<MailStanding>,
    /// How.
    #[command(flatten)]
    pub(crate) flags: ListFlags<MailSort>,
}
