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
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::prelude::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The texts that come through `filter` of what is told below.
    fn through(filter: &str) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .with_filter(super::filter(filter).expect("a filter"));
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "h2::proto::ping_pong", "ping");
            tracing::debug!(target: "hyper_util::server", "hyper");
            tracing::error!(target: "rustls::conn", "alert");
            tracing::info!(target: "grid_broker::daemon", "ours");
        });
        let written = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(written).expect("text");
        text.lines().filter_map(|line| Some(line.split_whitespace().last()?.to_owned())).collect()
    }

    #[test]
    fn strangers_cannot_write_our_lines_whatever_the_filter() {
        for filter in ["info", "warn,grid_broker=info", "debug", "trace", "info,hyper_util=error"] {
            assert_eq!(through(filter), ["alert", "ours"], "{filter}");
        }
        assert_eq!(through("error"), ["alert"]);
    }

    #[test]
    fn a_filter_that_names_such_a_crate_or_is_off_holds_as_it_is() {
        assert_eq!(through("info,h2=warn"), ["ping", "alert", "ours"]);
        assert_eq!(through("off"), [""; 0]);
        assert_eq!(through("off,grid_broker=info"), ["ours"]);
    }
}
