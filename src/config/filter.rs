//! Is this a filter for our tracing?
//!
//! Guarantees that a slip in a level is not taken for the name of a target, as the filter's own
//! reader would. Does not know where traces go.

use tracing_subscriber::EnvFilter;

use crate::show::escape::excerpt;
use crate::show::nearest::nearest;

/// What is allowed.
pub(super) const ALLOWED: &str = "one of error, warn, info, debug, trace, off, or a filter such as \
                                  info,grid_broker::journal=debug";

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Says what is wrong with a filter.
pub(super) fn check(text: &str) -> Result<(), String> {
    let not = || format!("\"{}\" is not {ALLOWED}", excerpt(text));
    if text.trim().is_empty() {
        return Err(not());
    }
    // Fields of spans may hold commas and equals signs; only the filter's own reader knows them.
    if !text.contains('[') {
        for part in text.split(',') {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
            if !LEVELS.contains(&level.to_lowercase().as_str()) {
                let meant = nearest(level, &LEVELS)
                    .map_or_else(String::new, |level| format!(", did you mean {level}?"));
                let level = excerpt(level);
                return Err(format!("{}; \"{level}\" is no level{meant}", not()));
            }
        }
    }
    EnvFilter::try_new(text).map(drop).map_err(|error| format!("{}: {error}", not()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_are_taken_and_slips_are_not() {
        for right in
            ["info", "WARN", "off", "info,grid_broker::journal=debug", "a[b{c=d}]=info,warn"]
        {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in ["", " ", "inof", "info,", "grid_broker", "a=loud", "[=", "a=b=c"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        let slip = check("grid_broker=inof").expect_err("is refused");
        assert!(slip.ends_with("\"inof\" is no level, did you mean info?"), "{slip}");
    }
}
