//! Arguments of `gridctl appliance crash-dump` and `crash-dumps`.
//!
//! Does not check names: the broker does.

use std::time::Duration;

use crate::duration;

/// Longest wait.
const WAIT_LONGEST: Duration = Duration::from_secs(86_400);

/// `appliance crash-dump`.
#[derive(Debug, clap::Args)]
pub(crate) struct CrashDumpArgs {
    /// The appliance: its name or the end of it; one, and no pattern
    #[arg(value_name = "APPLIANCE")]
    pub(crate) name: String,
    /// Only check whether it is possible now, and what speaks against it
    #[arg(long, conflicts_with_all = ["yes", "wait"])]
    pub(crate) check: bool,
    /// Do not ask for the name
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Wait until a dump is found or it is clear that there is none, at most this long [default: 20m]
    #[arg(long, value_name = "DURATION", value_parser = parse_wait, num_args = 0..=1,
          require_equals = true, default_missing_value = "20m")]
    pub(crate) wait: Option<Duration>,
}

/// `appliance crash-dumps`.
#[derive(Debug, clap::Args)]
pub(crate) struct CrashDumpsArgs {
    /// The appliance: its name or the end of it; one, and no pattern
    #[arg(value_name = "APPLIANCE")]
    pub(crate) name: String,
    /// Show this one: its request id, or the beginning of it
    #[arg(value_name = "REQUEST_ID")]
    pub(crate) request: Option<String>,
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = duration::parse(text).map_err(|invalid| invalid.to_string())?;
    if wait.is_zero() || wait > WAIT_LONGEST {
        return Err("wait more than 0s and at most 1d".to_owned());
    }
    Ok(wait)
}
