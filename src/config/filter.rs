//! Validates filters of our tracing.
//!
//! Guarantees that a misspelt level is not accepted as the name of a target, as the parser of the
//! tracing crates does. Does not know where traces go.

use tracing_subscriber::EnvFilter;

use crate::show::escape::excerpt;
use crate::show::suggest::suggest;

/// What is allowed.
pub(super) const ALLOWED: &str = "one of error, warn, info, debug, trace, off, or a filter such as \
                                  info,grid_broker::journal=debug";

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Validates a filter; the error says what is wrong with it.
pub(super) fn check(text: &str) -> Result<(), String> {
    let not = || format!("\"{}\" is not {ALLOWED}", excerpt(text));
    if text.trim().is_empty() {
        return Err(not());
    }
    // Fields of spans may contain commas and equals signs; only the filter's own parser handles them.
    if !text.contains('[') {
        for part in text.split(',') {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
            if !LEVELS.contains(&level.to_lowercase().as_str()) {
                let meant = suggest(level, &LEVELS)
                    .map_or_else(String::new, |level| format!(", did you mean {level}?"));
                let level = excerpt(level);
                return Err(format!("{}; \"{level}\" is not a level{meant}", not()));
            }
        }
    }
    EnvFilter::try_new(text).map(drop).map_err(|error| format!("{}: {error}", not()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_are_valid_and_typos_are_not() {
        for valid in
            ["info", "WARN", "off", "info,grid_broker::journal=debug", "a[b{c=d}]=info,warn"]
        {
            assert_eq!(check(valid), Ok(()), "{valid}");
        }
        for invalid in ["", " ", "inof", "info,", "grid_broker", "a=loud", "[=", "a=b=c"] {
            assert!(check(invalid).is_err(), "{invalid}");
        }
        let error = check("grid_broker=inof").expect_err("is refused");
        assert!(error.ends_with("\"inof\" is not a level, did you mean info?"), "{error}");
    }
}
