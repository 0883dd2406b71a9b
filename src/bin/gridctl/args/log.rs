//! Arguments of `gridctl log`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use grid_broker::contract::proto::{RecordKind, Severity};

use crate::args::values::{kinds, parse_number, severities};
use crate::duration;
use crate::time_arg;
use crate::time_arg::TimeArg;

/// Commands on the grid log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List the newest 200 records, oldest first
    #[command(
        aliases = ["ls", "get"],
        after_help = "TIME is an age (90s, 2h, 1w, '2 hours ago'), a time of day (14:02; --since \
        takes the latest one,\n--until that of today), a date with or without a time ('2026-11-20 \
        14:02', yesterday, today,\nnow), RFC 3339 (2026-11-20T14:02:10Z) or Unix time (@1795183330). \
        A record must match all\nfilters, and any value of a filter with several values.\n\n\
        Examples: failed starts of the shop since 06:00, and new ones; all records of one boot\n  \
        gridctl log list 'shop:*' --kind start_failed --since 06:00 --follow\n  \
        gridctl log list db1 --boot 6f1c --all"
    )]
    List(Box<LogList>),
    /// Export every record as JSON lines or CSV, oldest first, as fast as the broker can
    #[command(
        after_help = "The formats are those of `log list --all --output jsonl` and `csv`; JSON lines are the default. It \
        ends with the record\nthat is the newest when it begins. A lost connection is made again, up to 8 times in a row.\n\n\
        With --file, records go to FILE.partial, which becomes FILE when all are in it and synced. After \
        Ctrl-C or an\nerror, --resume continues it without a gap and without a record twice, also after a crash of \
        this machine. TIME as\nin `log list`.\n\n\
        Examples: the records of yesterday; all records into a file, and the rest of an interrupted export\n  \
        gridctl log export --since yesterday --until today > yesterday.jsonl\n  \
        gridctl log export --file grid.csv --output csv\n  \
        gridctl log export --file grid.csv --resume"
    )]
    Export(Box<LogExport>),
    /// Count the records of the last 24 hours by time, severity, kind or appliance
    #[command(
        aliases = ["count", "stats"],
        after_help = "TIME as in `log list`. --since replaces the 24 hours; @0 means all records. Records that only \
        count events\n(kind tally) are not counted, unless --kind names them.\n\n\
        Examples: errors of the last hour, minute by minute; which appliances say most about the disk\n  \
        gridctl log histogram --severity error --since 1h --bucket 1m\n  \
        gridctl log histogram --by appliance --text disk"
    )]
    Histogram(Box<LogHistogram>),
    /// Show records by number, with all details
    #[command(
        aliases = ["describe", "view", "inspect"],
        after_help = "Example:\n  gridctl log show 4711"
    )]
    Show {
        /// Numbers of records
        #[arg(value_name = "NUMBER", required = true, value_delimiter = ',', value_parser = parse_number)]
        numbers: Vec<u64>,
    },
    /// Explain why records caused a mail, or none
    #[command(
        aliases = ["why"],
        after_help = "Prints for each alert that the record changed what was decided about a notification, and \
        the mail\nto each receiver with its state and the last reply of the server.\n\n\
        Example:\n  gridctl log explain 4711"
    )]
    Explain {
        /// Numbers of records
        #[arg(value_name = "NUMBER", required = true, value_delimiter = ',', value_parser = parse_number)]
        numbers: Vec<u64>,
    },
}

/// Which records.
#[derive(Debug, clap::Args)]
pub(crate) struct RecordChoice {
    /// Only of these appliances: a name, the end of one (db1 for shop:main.db1), or a pattern with
    /// `*`, `?` and `[...]`
    #[arg(value_name = "APPLIANCE")]
    pub(crate) names: Vec<String>,
    /// Same as the argument APPLIANCE
    #[arg(long = "appliance", value_name = "APPLIANCE", short_alias = 'u', alias = "unit")]
    pub(crate) appliance: Vec<String>,
    /// Only of these kinds
    #[arg(long, short = 'k', value_name = "KIND", value_parser = kinds(), ignore_case = true,
          value_delimiter = ',')]
    pub(crate) kind: Vec<RecordKind>,
    /// Only this severity or a higher one
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
    /// Only records whose text contains this, ignoring case
    #[arg(long, value_name = "TEXT", short_alias = 'g', alias = "grep")]
    pub(crate) text: Option<String>,
    /// Only of this boot: its id, or at least the first four characters of it
    #[arg(long, value_name = "ID", value_parser = parse_boot)]
    pub(crate) boot: Option<String>,
}

/// `log list`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogList {
    /// Which records
    #[command(flatten)]
    pub(crate) choice: RecordChoice,
    /// How many of the newest records; with --follow, how many to start with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200, value_parser = parse_limit,
          aliases = ["lines", "tail"])]
    pub(crate) limit: u32,
    /// Every record that matches, including those that only count events (kind tally)
    #[arg(long, short = 'a', conflicts_with_all = ["limit", "follow"])]
    pub(crate) all: bool,
    /// Newest first
    #[arg(long, short = 'r', visible_alias = "reverse", conflicts_with = "follow")]
    pub(crate) newest_first: bool,
    /// Keep running and print new records, until Ctrl-C
    #[arg(long, short = 'f', short_alias = 'w', alias = "watch", conflicts_with = "until")]
    pub(crate) follow: bool,
    /// Print to stderr what was read for it, how long that took, and whether records are missing;
    /// with JSON as an object
    #[arg(long, conflicts_with = "follow")]
    pub(crate) stats: bool,
}

/// The filters that a resumed export has already.
const FILTERS: [&str; 8] =
    ["names", "appliance", "kind", "severity", "since", "until", "text", "boot"];

/// `log export`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogExport {
    /// Which records
    #[command(flatten)]
    pub(crate) choice: RecordChoice,
    /// Write to this file, which appears when it is complete
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Continue the interrupted export to FILE, with its filters and its format
    #[arg(long, requires = "file", conflicts_with = "force", conflicts_with_all = FILTERS)]
    pub(crate) resume: bool,
    /// Replace FILE, or what an interrupted export to it has written
    #[arg(long, requires = "file")]
    pub(crate) force: bool,
}

/// `log histogram`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogHistogram {
    /// Which records
    #[command(flatten)]
    pub(crate) choice: RecordChoice,
    /// By what to count
    #[arg(long, value_name = "KEY", value_enum, ignore_case = true, default_value = "time")]
    pub(crate) by: HistogramKey,
    /// By time: the length of a bucket, 1s at least [default: a round one with 12 to 30 buckets]
    #[arg(long, value_name = "DURATION", value_parser = parse_bucket, alias = "interval")]
    pub(crate) bucket: Option<Duration>,
    /// By appliance: how many, those with the most records
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = parse_limit)]
    pub(crate) limit: u32,
    /// Print to stderr what was read for it, how long that took, and whether records are missing;
    /// with JSON as an object
    #[arg(long)]
    pub(crate) stats: bool,
}

/// By what records are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum HistogramKey {
    /// When they were received
    Time,
    /// Their severity
    Severity,
    /// Their kind
    Kind,
    /// What they are about
    Appliance,
}

fn parse_bucket(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text).map_err(|error| error.to_string())?;
    let is_allowed = length >= Duration::from_secs(1) && length <= BUCKET_MAX;
    if is_allowed { Ok(length) } else { Err("expected 1s to 366d".to_owned()) }
}

/// Longest bucket of a histogram.
const BUCKET_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Maximum number of records in a list without `--all`.
const LIMIT_MAX: u32 = 100_000;

fn parse_limit(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix('+').unwrap_or(text).parse().ok();
    number.filter(|limit| *limit <= LIMIT_MAX).ok_or_else(|| {
        format!("expected a whole number from 1 to {LIMIT_MAX}; --all shows every record")
    })
}

/// Minimum number of characters of a boot id that the broker accepts.
const BOOT_CHARACTERS_MIN: usize = 4;

fn parse_boot(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.len() >= BOOT_CHARACTERS_MIN && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a boot id, or at least the first {BOOT_CHARACTERS_MIN} characters of it"))
}
