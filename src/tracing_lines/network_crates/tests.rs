//! Tests of which lines of network crates pass the filters.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::prelude::*;

#[derive(Clone, Default)]
struct FilteredOutput(Arc<Mutex<Vec<u8>>>);

impl io::Write for FilteredOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The texts of the events below that pass `filter`.
fn passing(filter: &str) -> Vec<String> {
    let written = FilteredOutput::default();
    let writer = written.clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .with_filter(super::quiet_filter(filter).expect("a filter"));
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
fn network_crates_log_errors_only_whatever_the_filter() {
    for filter in ["info", "warn,grid_broker=info", "debug", "trace", "info,hyper_util=error"] {
        assert_eq!(passing(filter), ["alert", "ours"], "{filter}");
    }
    assert_eq!(passing("error"), ["alert"]);
}

#[test]
fn a_filter_that_names_such_a_crate_or_is_off_applies_unchanged() {
    assert_eq!(passing("info,h2=warn"), ["ping", "alert", "ours"]);
    assert_eq!(passing("off"), [""; 0]);
    assert_eq!(passing("off,grid_broker=info"), ["ours"]);
}
