//! Arguments of `gridctl alert`.

use std::time::Duration;

use clap::Subcommand;

use grid_broker::contract::proto::{AlertKind, AlertState, Severity};

use super::list::{AlertSort, ListFlags};
use crate::args::values::{alert_kinds, alert_states, severities};
use crate::time_arg::TimeArg;
use crate::{duration, time_arg};

/// Commands on alerts.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertVerb {
    /// List alerts that are not resolved, oldest first
    #[command(
        aliases = ["ls", "get"],
        after_help = "States: open (nobody takes care of it yet), acknowledged, silenced, resolved. Without \
        --state all but\nresolved ones are listed. Alerts of the broker itself have the appliance `-`.\n\n\
        Examples: errors of the shop; what ended lately\n  \
        gridctl alert list 'shop:*' --severity error\n  \
        gridctl alert list --state resolved"
    )]
    List(Box<AlertList>),
    /// Show alerts with their history: by number, or those of one appliance that are not resolved
    #[command(aliases = ["describe", "view", "inspect"], after_help = "A number is that of an alert. KIND goes with \
        an appliance only.\n\n\
        Examples: by number; all of an appliance; one kind\n  gridctl alert show 12\n  \
        gridctl alert show shop:main.db1\n  \
        gridctl alert show shop:main.db1 start_failed")]
    Show {
        /// The number of an alert, or several (12,14); or the name of an appliance, or its end; `-` is
        /// the broker itself. An old appliance that is named `-` is written with its quotes: '"-"'
        #[arg(value_name = "ID|APPLIANCE")]
        subject: String,
        /// Only alerts of this kind
        #[arg(value_parser = alert_kinds(), hide_possible_values = true, ignore_case = true)]
        kind: Option<AlertKind>,
    },
    /// Acknowledge alerts: somebody takes care of them, and they are mailed no more
    #[command(
        aliases = ["acknowledge"],
        after_help = "An acknowledgement holds while the alert flaps, and ends with it or at TIME. An alert that \
        becomes\nmore severe than all mails about it so far is mailed again. Alerts are acknowledged one by \
        one; the\nfirst that cannot be ends the command.\n\n\
        TIME is a time of day (18:00), a date with or without a time, or as in `log list`; the next \
        one.\n\n\
        Examples: until it is over; over the weekend\n  \
        gridctl alert ack 12 --note 'disk is ordered'\n  \
        gridctl alert ack 12 14 --until '2026-11-23 08:00'\n  \
        gridctl alert ack 12 --for 2h"
    )]
    Ack {
        /// Numbers of alerts
        #[arg(value_name = "ID", required = true, value_delimiter = ',')]
        ids: Vec<String>,
        /// Until this time [default: until the alert is over]
        #[arg(long, value_name = "TIME", value_parser = time_arg::parse)]
        until: Option<TimeArg>,
        /// For so long from now on
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_length,
              conflicts_with = "until")]
        length: Option<Duration>,
        /// Why; others see it
        #[arg(long, value_name = "TEXT", aliases = ["reason", "comment"], default_value = "",
              hide_default_value = true)]
        note: String,
    },
    /// Withdraw the acknowledgement of alerts: they are mailed again
    #[command(aliases = ["unacknowledge"], after_help = "Example:\n  gridctl alert unack 12")]
    Unack {
        /// Numbers of alerts
        #[arg(value_name = "ID", required = true, value_delimiter = ',')]
        ids: Vec<String>,
    },
    /// Resolve alerts: they are over, and their mails say so
    #[command(
        aliases = ["close"],
        after_help = "A report of the same problem opens the alert again. A condition that the broker sees, \
        such as\n`no_contact`, is resolved by itself when it is over.\n\n\
        Example:\n  gridctl alert resolve 12 --note 'disk is replaced'"
    )]
    Resolve {
        /// Numbers of alerts
        #[arg(value_name = "ID", required = true, value_delimiter = ',')]
        ids: Vec<String>,
        /// Why; others see it
        #[arg(long, value_name = "TEXT", aliases = ["reason", "comment"], default_value = "",
              hide_default_value = true)]
        note: String,
    },
    /// Explain why there was, or was not, a mail about alerts
    #[command(
        aliases = ["why"],
        after_help = "Prints every decision of an alert's history as its record has it: the reason, the silence \
        that muted\nit, and the mail to each receiver with its state and the last reply of the server.\n\n\
        Example:\n  gridctl alert explain 12"
    )]
    Explain {
        /// Numbers of alerts
        #[arg(value_name = "ID", required = true, value_delimiter = ',')]
        ids: Vec<String>,
    },
}

/// `alert list`.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(crate) struct AlertList {
    /// Only alerts of these appliances; patterns with `*`, `?` and `[...]` work as in a shell
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// Same as the argument APPLIANCE
    #[arg(long = "appliance", value_name = "APPLIANCE", short_alias = 'u', alias = "unit")]
    pub(crate) appliance: Vec<String>,
    /// Only in these states [default: open, acknowledged and silenced]
    #[arg(long, value_name = "STATE", value_parser = alert_states(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) state: Vec<AlertState>,
    /// Only of these kinds
    #[arg(long, short = 'k', value_name = "KIND", value_parser = alert_kinds(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) kind: Vec<AlertKind>,
    /// Only of appliances of these classes; patterns as above
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    pub(crate) class: Vec<String>,
    /// Only with these group keys; patterns as above
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,
    /// Only this severity or a higher one
    #[arg(long, value_name = "LEVEL", value_parser = severities(), ignore_case = true,
          short_alias = 'p', aliases = ["priority", "level"])]
    pub(crate) severity: Option<Severity>,
    /// Only alerts of the broker itself
    #[arg(long, conflicts_with_all = ["names", "appliance", "class"])]
    pub(crate) of_broker: bool,
    /// Order and watch.
    #[command(flatten)]
    pub(crate) flags: ListFlags<AlertSort>,
}

fn parse_length(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text).map_err(|error| error.to_string())?;
    if length.is_zero() { Err("expected more than 0s".to_owned()) } else { Ok(length) }
}
