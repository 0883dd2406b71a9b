//! What can be typed behind `gridctl mail`.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use grid_broker::show::words;
use grid_broker::wire::proto::MailStanding;

/// What can be done with mails that are owed.
#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// List the mails that are owed, oldest first
    #[command(after_help = "A mail that was sent is owed no more: `gridctl log list --kind mail` \
        tells of it.\n\n\
        Example: what was given up?\n  gridctl mail list --standing failed")]
    List {
        /// Only to these addresses; `*`, `?` and `[...]` stand for what they do in a shell
        #[arg(value_name = "GLOB")]
        recipients: Vec<String>,
        /// Only those that stand so
        #[arg(long, value_name = "STANDING", value_parser = standings())]
        standing: Vec<MailStanding>,
    },
    /// Show one mail: what it tells of, and what came of it so far
    #[command(after_help = "Example:\n  gridctl mail show 12")]
    Show {
        /// Its number
        number: u64,
    },
    /// Try mails now; their three days begin anew, also of those that were given up
    #[command(after_help = "One after the other; the first that is not owed ends it.\n\n\
        Example: the mail server is mended\n  gridctl mail retry 12 13")]
    Retry {
        /// Their numbers
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<u64>,
    },
    /// Owe mails no more: they are not sent
    #[command(after_help = "One after the other; the first that is not owed ends it. A mail that \
        is being sent at this\nmoment may arrive all the same.\n\n\
        Example:\n  gridctl mail drop 12")]
    Drop {
        /// Their numbers
        #[arg(value_name = "NUMBER", required = true)]
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

fn standings() -> impl TypedValueParser<Value = MailStanding> {
    PossibleValuesParser::new(words::standings())
        .try_map(|word| words::standing_of(&word).ok_or("not a standing"))
}
