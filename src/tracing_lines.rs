//! Writes gridd's own tracing to standard error: one line per event.
//!
//! Guarantees that no thread waits for the reader of the lines (see `stderr`), that a line reports how
//! many lines were dropped, that a line is readable by itself, that no value can break the line or
//! control a terminal, and that in JSON the keys `time`, `level`, `target`, `message` come first and
//! are ours. The names of the other fields are listed in docs/operation.md. Spans are not written:
//! every event has its fields itself. Does not decide what is logged.

use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::io::{self, IsTerminal};
use std::sync::Arc;

use rustix::fs::fstat;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::clock::wall_now;
use crate::guru_meditation::Warnings;
use crate::show::escape::{escape, escape_json};
use crate::stderr;

/// Longest value, in bytes; a longer one is truncated at a character and marked by `...`.
const VALUE_BYTES_MAX: usize = 8_192;

/// Our own keys: a field of such a name gets the prefix `field.`.
const OWN_KEYS: [&str; 4] = ["time", "level", "target", "message"];

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, target, message, fields.
    Human,
    /// For machines: one JSON object a line.
    Json,
}

/// Formats events as lines.
#[derive(Clone, Copy, Debug)]
struct LineFormat {
    format: LogFormat,
    destination: LogDestination,
}

/// Queues each line whole.
struct QueuedWriter;

impl io::Write for QueuedWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr::push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The destination of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogDestination {
    /// A file, a pipe or the like.
    Plain,
    /// A terminal.
    Terminal,
    /// The systemd journal, which adds the time itself and reads the level from a prefix.
    Journald,
}

/// Changes the filter at run time. Cheap to clone.
#[derive(Clone)]
pub struct LogFilterHandle(Arc<dyn Fn(EnvFilter) -> bool + Send + Sync>);

impl LogFilterHandle {
    /// Replaces the filter.
    ///
    /// # Errors
    ///
    /// When `filter` is invalid; the old one stays.
    pub fn set(&self, filter: &str) -> Result<(), ParseError> {
        let is_set = (self.0)(network_crates::quiet_filter(filter)?);
        debug_assert!(is_set, "the subscriber lives as long as the process");
        Ok(())
    }
}

impl Debug for LogFilterHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("LogFilterHandle")
    }
}

/// Starts to write the events that pass `filter` to standard error; the handle changes the filter.
///
/// `warnings` gets all warnings and errors, whatever the filter. Of crates that read from the network
/// both get errors only.
///
/// # Errors
///
/// When `filter` is invalid.
pub fn init(
    filter: &str,
    format: LogFormat,
    warnings: Warnings,
) -> Result<LogFilterHandle, ParseError> {
    let filter = network_crates::quiet_filter(filter)?;
    let destination = if goes_to_journald(std::env::var("JOURNAL_STREAM").ok().as_deref()) {
        LogDestination::Journald
    } else if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        LogDestination::Terminal
    } else {
        LogDestination::Plain
    };
    let (filter, handle) = reload::Layer::new(filter);
    let format = LineFormat { format, destination };
    stderr::set_drop_notice(move |count| format.dropped_line(count));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(format)
        .log_internal_errors(false)
        .with_writer(|| QueuedWriter)
        .with_filter(filter);
    let warnings = warnings.with_filter(filter_fn(network_crates::is_reportable));
    tracing_subscriber::registry().with(lines).with(warnings).init();
    Ok(LogFilterHandle(Arc::new(move |filter| handle.reload(filter).is_ok())))
}

/// systemd.exec(5): the variable names device and inode of the stream, and is inherited by children
/// whose standard error may go elsewhere.
fn goes_to_journald(stream: Option<&str>) -> bool {
    let is_stderr = |device: &str, inode: &str| {
        fstat(std::io::stderr())
            .is_ok_and(|it| device.parse() == Ok(it.st_dev) && inode.parse() == Ok(it.st_ino))
    };
    stream.and_then(|it| it.split_once(':')).is_some_and(|(dev, inode)| is_stderr(dev, inode))
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let target = fields.target.as_deref().unwrap_or_else(|| event.metadata().target());
        writeln!(out, "{}", self.line(level, target, &fields))
    }
}

impl LineFormat {
    fn line(self, level: Level, target: &str, event: &EventFields) -> String {
        match self.format {
            LogFormat::Human => human_line(self.destination, level, target, event),
            LogFormat::Json => json_line(level, target, event),
        }
    }

    /// The line that reports dropped lines.
    fn dropped_line(self, count: u64) -> String {
        let what = if count == 1 { "line is" } else { "lines are" };
        let message = format!("{count} {what} missing here: standard error took no more");
        let event = EventFields { message, ..EventFields::default() };
        format!("{}\n", self.line(Level::WARN, "tracing_lines", &event))
    }
}

/// Message and fields of an event.
#[derive(Debug, Default)]
struct EventFields {
    message: String,
    fields: Vec<(&'static str, FieldValue)>,
    /// The target of events of the crate `log`.
    target: Option<String>,
}

#[derive(Debug)]
enum FieldValue {
    Text(String),
    /// A number or a boolean: the same in JSON and for people.
    Bare(String),
}

impl EventFields {
    fn push_text(&mut self, field: &Field, mut text: String) {
        if text.len() > VALUE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
            text.push_str("...");
        }
        match field.name() {
            "message" => self.message = text,
            "log.target" => self.target = Some(text),
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, FieldValue::Text(text))),
        }
    }

    fn push_bare(&mut self, field: &Field, value: impl ToString) {
        if !field.name().starts_with("log.") {
            self.fields.push((field.name(), FieldValue::Bare(value.to_string())));
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push_text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.contains(&message) {
                text.push_str(": ");
                text.push_str(&message);
            }
            cause = error.source();
        }
        self.push_text(field, text);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push_bare(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.push_bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.push_bare(field, value);
        } else {
            self.push_text(field, value.to_string());
        }
    }
}

/// The target of our own modules without the crate name.
fn short_target(target: &str) -> &str {
    target.strip_prefix("grid_broker::").unwrap_or(target)
}

fn human_line(
    destination: LogDestination,
    level: Level,
    target: &str,
    event: &EventFields,
) -> String {
    let mut line = match destination {
        LogDestination::Plain => format!("{} {level:>5}", now()),
        LogDestination::Terminal => format!("{} \x1b[{}m{level:>5}\x1b[0m", now(), colour(level)),
        LogDestination::Journald => format!("<{}>{level:>5}", priority(level)),
    };
    let (target, message) = (escape(short_target(target)), escape(&event.message));
    append(&mut line, format_args!(" {target}: {message}"));
    for (name, value) in &event.fields {
        match value {
            FieldValue::Bare(value) => append(&mut line, format_args!(" {name}={value}")),
            FieldValue::Text(text) => {
                let text = escape(text).replace('"', "\\\"");
                append(&mut line, format_args!(" {name}=\"{text}\""));
            }
        }
    }
    line
}

fn json_line(level: Level, target: &str, event: &EventFields) -> String {
    let level = level.as_str().to_ascii_lowercase();
    let mut line = format!(
        "{{\"time\":\"{}\",\"level\":\"{level}\",\"target\":{},\"message\":{}",
        now(),
        json_string(short_target(target)),
        json_string(&event.message)
    );
    for (name, value) in &event.fields {
        let prefix = if OWN_KEYS.contains(name) { "field." } else { "" };
        match value {
            FieldValue::Bare(value) => {
                append(&mut line, format_args!(",\"{prefix}{name}\":{value}"))
            }
            FieldValue::Text(text) => {
                append(&mut line, format_args!(",\"{prefix}{name}\":{}", json_string(text)));
            }
        }
    }
    line.push('}');
    line
}

/// A JSON string with all hidden characters escaped.
fn json_string(text: &str) -> String {
    escape_json(&serde_json::Value::from(text).to_string()).into_owned()
}

fn now() -> String {
    let at = jiff::Timestamp::from_microsecond(wall_now().as_micros()).unwrap_or_default();
    format!("{at:.6}")
}

/// sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

fn append(line: &mut String, piece: fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = line.write_fmt(piece);
}

mod network_crates;
#[cfg(test)]
mod tests;
