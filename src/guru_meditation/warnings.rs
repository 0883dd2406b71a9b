//! The last warnings and errors that went through tracing, kept for reports.
//!
//! Guarantees a bound in number and length, that a thread that warns never waits for a report, and
//! that who warned and when stands with the words. Texts are kept as they came and escaped where they
//! are shown.

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

/// Most warnings kept.
const WARNINGS_MAX: usize = 200;

/// Longest warning kept, in bytes.
const BYTES_MAX: usize = 1_000;

/// A report tries so often to look, so long in all.
const TRIES: u32 = 20;
const TRY_EVERY: Duration = Duration::from_millis(5);

/// The warnings, and the layer of tracing that gathers them. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<KeptWarnings>>);

#[derive(Debug, Default)]
struct KeptWarnings {
    last: VecDeque<String>,
    ever: u64,
}

impl Warnings {
    /// Writes the section: the newest last.
    pub fn add_section(&self, page: &SectionBuilder) {
        for _ in 0..TRIES {
            let kept = match self.0.try_lock() {
                Ok(kept) => kept,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(TRY_EVERY);
                    continue;
                }
            };
            let lines: Vec<_> = kept.last.iter().map(|line| Value::from(line.as_str())).collect();
            page.add("since_start", kept.ever);
            page.add("warnings", lines);
            return;
        }
        page.add("warnings", "(the book of warnings is held by another thread)");
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return;
        }
        let mut line = Line(String::with_capacity(160));
        line.append(format_args!(
            "{} {} {}:",
            time::told(time::wall()),
            metadata.level(),
            metadata.target()
        ));
        event.record(&mut line);
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.ever += 1;
        if kept.last.len() == WARNINGS_MAX {
            kept.last.pop_front();
        }
        kept.last.push_back(line.0);
    }
}

struct Line(String);

impl Line {
    fn append(&mut self, piece: fmt::Arguments<'_>) {
        self.0.write_fmt(piece).expect("writing to a string does not fail");
        if self.0.len() > BYTES_MAX {
            self.0.truncate(self.0.floor_char_boundary(BYTES_MAX));
        }
    }
}

impl Visit for Line {
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
        // Causes of causes: a chain has an end, but it is others' code that says so.
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
    fn the_last_warnings_are_kept_with_who_and_when() {
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
        warnings.add_section(&page);
        let json = page.read().to_json();
        let told = json["values"]["warnings"].as_array().expect("a list");
        assert_eq!(told.len(), WARNINGS_MAX);
        let first = told[0].as_str().expect("a text");
        assert!(first.ends_with(
            "Z WARN grid_broker::guru_meditation::warnings::tests: late bytes=7 peer=b***@example.org"
        ));
        assert!(told.last().and_then(Value::as_str).is_some_and(|last| last.len() == BYTES_MAX));
        assert_eq!(json["values"]["since_start"], 207);
        assert!(page.read().to_text().contains(" broken error=\\u{1b}[2J bad\n"));
    }
}
