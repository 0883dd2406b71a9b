//! Lines that whoever can connect could cause without end, written by crates that are not ours.
//!
//! Guarantees that whatever filter is set, the crates that read from the network tell errors only,
//! unless the filter names them: h2 writes a warning for every frame that it did not ask for. What we
//! tell of connections ourselves goes through `crate::sparing`. Does not know what the lines say.

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

/// The crates that read what strangers send; each stands for all targets that begin so.
const READERS: [&str; 7] = ["h2", "hyper", "rustls", "tokio_rustls", "tonic", "tower", "axum"];

/// The filter of that text, with errors only of those crates.
///
/// # Errors
///
/// When `text` is no filter.
pub(super) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::try_new(text)?;
    let parts = || text.split(',').map(str::trim);
    // A directive would let through what `off` keeps silent.
    if parts().any(|part| part.eq_ignore_ascii_case("off"))
        || filter.max_level_hint() == Some(LevelFilter::OFF)
    {
        return Ok(filter);
    }
    for reader in READERS {
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

/// Whether it is worth keeping for reports: a warning or an error, of those crates an error.
pub(super) fn is_kept(what: &Metadata<'_>) -> bool {
    let is_readers = READERS.iter().any(|reader| what.target().starts_with(reader));
    *what.level() <= if is_readers { Level::ERROR } else { Level::WARN }
}

#[cfg(test)]
mod tests;
