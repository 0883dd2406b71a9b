//! Limits the tracing of crates that read from the network: clients could cause lines without end.
//!
//! Guarantees that whatever filter is set, the crates that read from the network log errors only,
//! unless the filter names them: h2 writes a warning for every unsolicited frame. Our own lines about
//! connections go through `crate::log_limiter`. Does not know what the lines mean.

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

/// Prefixes of the targets of crates that read from the network.
const NETWORK_CRATES: [&str; 7] =
    ["h2", "hyper", "rustls", "tokio_rustls", "tonic", "tower", "axum"];

/// Parses a filter and limits those crates to errors.
///
/// # Errors
///
/// When `text` is not a filter.
pub(super) fn quiet_filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::try_new(text)?;
    let parts = || text.split(',').map(str::trim);
    // A directive would enable what `off` disables.
    if parts().any(|part| part.eq_ignore_ascii_case("off"))
        || filter.max_level_hint() == Some(LevelFilter::OFF)
    {
        return Ok(filter);
    }
    for reader in NETWORK_CRATES {
        let is_named = |part: &str| {
            let rest = part.strip_prefix(reader);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', ':', '[']))
        };
        if !parts().any(is_named) {
            filter = filter.add_directive(format!("{reader}=error").parse()?);
        }
    }
    Ok(filter)
}

/// Whether reports include it: a warning or an error, of those crates only an error.
pub(super) fn is_reportable(what: &Metadata<'_>) -> bool {
    let is_readers = NETWORK_CRATES.iter().any(|reader| what.target().starts_with(reader));
    *what.level() <= if is_readers { Level::ERROR } else { Level::WARN }
}

#[cfg(test)]
mod tests;
