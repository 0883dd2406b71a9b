//! Retains the latest warnings and errors of tracing for reports.
//!
//! Guarantees a limit of number and length, that a thread that warns never waits for a report, and
//! that each warning has its source and time. Texts are stored unchanged and escaped where they are
//! shown. Does not know what is warned about.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::time;
use crate::guru_meditation::section_builder::SectionBuilder;

/// Maximum number of retained warnings.
const WARNINGS_MAX: usize = 200;

/// Maximum length of a retained warning, in bytes.
const WARNING_BYTES_MAX: usize = 1_000;

/// How often a report tries to take the lock, and the interval.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// The warnings, and the layer of tracing that collects them. Cheap to clone; all clones share one
/// list.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<RecentWarnings>>);

#[derive(Debug, Default)]
struct RecentWarnings {
    recent: VecDeque<String>,
    total: u64,
}

impl Warnings {
    /// Writes the section, newest last.
    pub fn write(&self, page: &SectionBuilder) {
        for _ in 0..LOCK_ATTEMPTS {
            let recent = match self.0.try_lock() {
                Ok(recent) => recent,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(LOCK_RETRY_INTERVAL);
                    continue;
                }
            };
            let lines: Vec<_> =
                recent.recent.iter().map(|line| Value::from(line.as_str())).collect();
            page.add("since_start", recent.total);
            page.add("warnings", lines);
            return;
        }
        page.add("warnings", "(another thread holds the lock of the warnings)");
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return;
        }
        let mut line = WarningLine(String::with_capacity(160));
        line.append(format_args!(
            "{} {} {}:",
            time::format_time(time::wall_now()),
            metadata.level(),
            metadata.target()
        ));
        event.record(&mut line);
        let mut recent = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recent.total += 1;
        if recent.recent.len() == WARNINGS_MAX {
            recent.recent.pop_front();
        }
        recent.recent.push_back(line.0);
    }
}

struct WarningLine(String);

impl WarningLine {
    fn append(&mut self, piece: fmt::Arguments<'_>) {
        self.0.write_fmt(piece).expect("writing to a string does not fail");
        if self.0.len() > WARNING_BYTES_MAX {
            self.0.truncate(self.0.floor_char_boundary(WARNING_BYTES_MAX));
        }
    }
}

impl Visit for WarningLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.append(format_args!(" {value}")),
            name => self.append(format_args!(" {name}={value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.append(format_args!(" {value:?}")),
            name => self.append(format_args!(" {name}={value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.append(format_args!(" {}={value}", field.name()));
        let mut source = value.source();
        // Limits the chain of causes, which foreign code provides.
        for _ in 0..8 {
            let Some(cause) = source else { break };
            self.append(format_args!(": {cause}"));
            source = cause.source();
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_warnings_are_retained_with_source_and_time() {
        let warnings = Warnings::default();
        let subscriber = tracing_subscriber::registry().with(warnings.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("not told");
            for number in 0..WARNINGS_MAX + 5 {
                tracing::warn!(bytes = number, peer = "bob@example.org", "late");
            }
            let error = std::io::Error::other("\u{1b}[2J bad");
            tracing::error!(error = &error as &dyn std::error::Error, "broken");
            tracing::error!("{}", "x".repeat(5_000));
        });
        let page = SectionBuilder::default();
        warnings.write(&page);
        let json = page.snapshot().to_json();
        let warnings = json["values"]["warnings"].as_array().expect("a list");
        assert_eq!(warnings.len(), WARNINGS_MAX);
        let first = warnings[0].as_str().expect("a text");
        assert!(first.ends_with(
            "Z WARN grid_broker::guru_meditation::warnings::tests: late bytes=7 peer=b***@example.org"
        ));
        assert!(
            warnings
                .last()
                .and_then(Value::as_str)
                .is_some_and(|last| last.len() == WARNING_BYTES_MAX)
        );
        assert_eq!(json["values"]["since_start"], 207);
        assert!(page.snapshot().to_text().contains(" broken error=\\u{1b}[2J bad\n"));
    }
}
