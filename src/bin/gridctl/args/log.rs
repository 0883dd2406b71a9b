//! What can be typed behind `gridctl log`.

use clap::Subcommand;

use grid_broker::contract::proto::{RecordKind, Severity};

use super::choice::{kinds, number, severities};
use crate::time_arg;
use crate::time_arg::TimeArg;

/// What can be done with the grid log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List records: the newest 200, the oldest of them first
    #[command(
        aliases = ["ls", "get"],
        after_help = "TIME is an age (90s, 2h, 1w, '2 hours ago'), a time of day (14:02: for \
        --since the last, for\n--until today's), a date with or without a time ('2026-11-20 14:02', \
        yesterday, today, now),\nRFC 3339 (2026-11-20T14:02:10Z) or seconds since 1970 \
        (@1795183330). All filters must hold; of\none filter given several times, or with commas, \
        any.\n\n\
        Examples: failed starts of the shop since this morning, and whatever comes; all of one boot\n  \
        gridctl log list 'shop:*' --kind start_failed --since 06:00 --follow\n  \
        gridctl log list db1 --boot 6f1c --all"
    )]
    List(Box<LogList>),
    /// Show records by their numbers, with all that is known of them
    #[command(
        aliases = ["describe", "view", "inspect"],
        after_help = "Example:\n  gridctl log show 4711"
    )]
    Show {
        /// Their numbers
        #[arg(value_name = "NUMBER", required = true, value_delimiter = ',', value_parser = number)]
        numbers: Vec<u64>,
    },
}

/// `log list`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogList {
    /// Only of these appliances: a name, the end of one (db1 for shop:main.db1), or a pattern with
    /// `*`, `?` and `[...]`
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// The same
    #[arg(long = "appliance", value_name = "APPLIANCE", short_alias = 'u', alias = "unit")]
    pub(crate) appliance: Vec<String>,
    /// Only of these kinds
    #[arg(long, short = 'k', value_name = "KIND", value_parser = kinds(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) kind: Vec<RecordKind>,
    /// Only at least this grave
    #[arg(long, value_name = "LEVEL", value_parser = severities(), ignore_case = true,
          short_alias = 'p', aliases = ["priority", "level"])]
    pub(crate) severity: Option<Severity>,
    /// Only received at this time or later
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true,
          short_alias = 'S')]
    pub(crate) since: Option<TimeArg>,
    /// Only received before this time
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true,
          short_alias = 'U')]
    pub(crate) until: Option<TimeArg>,
    /// Only with exactly this somewhere in their text, upper and lower case alike
    #[arg(long, value_name = "TEXT", short_alias = 'g', alias = "grep")]
    pub(crate) text: Option<String>,
    /// Only of this boot: its id or the first characters of it, four at least
    #[arg(long, value_name = "ID", value_parser = boot)]
    pub(crate) boot: Option<String>,
    /// How many of the newest; with --follow, how many to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200, value_parser = limit,
          aliases = ["lines", "tail"])]
    pub(crate) limit: u32,
    /// Every record that matches, not only the newest, and those that only count (kind tally), too
    #[arg(long, short = 'a', conflicts_with_all = ["limit", "follow"])]
    pub(crate) all: bool,
    /// Newest first
    #[arg(long, short = 'r', visible_alias = "reverse", conflicts_with = "follow")]
    pub(crate) newest_first: bool,
    /// Go on with records as they come, until Ctrl-C
    #[arg(long, short = 'f', short_alias = 'w', alias = "watch", conflicts_with = "until")]
    pub(crate) follow: bool,
}

/// Most records that a list shows without `--all`.
const LIMIT_MAX: u32 = 100_000;

fn limit(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('+').unwrap_or(text).parse().ok();
    number.filter(|limit| *limit <= LIMIT_MAX).ok_or_else(|| {
        format!("a whole number from 1 to {LIMIT_MAX} is needed; --all shows every record")
    })
}

/// Fewest characters of a boot's id that the broker looks for.
const BOOT_CHARACTERS_MIN: usize = 4;

fn boot(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.len() >= BOOT_CHARACTERS_MIN && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err(format!("a boot's id is needed, or its first {BOOT_CHARACTERS_MIN} characters or more"))
}
