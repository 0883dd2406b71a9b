//! Formats encoded records as lines, without an object and a text for each field.
//!
//! Guarantees exactly the lines of [`ExportFormat::push`], which formats what is rare: a test compares them.
//! Does not know where lines are written.

use std::io;

use grid_broker::contract::decode::event_kind;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Alert, Log, Maintenance, Record, StartFailed, StartedOk};
use grid_broker::show::escape::{escape, escape_json};
use grid_broker::show::labels;
use prost::Message;

use super::error::ExportError;
use super::lines::ExportFormat;
use super::raw_record::{EventField, ExportedEvent, RawRecord, RawTime};
use crate::error::CliError;
use crate::time_arg;

/// Enum values below this are formatted from a table; the others are rare.
const LABELS: i32 = 32;

/// Formats the lines of an export.
pub(super) struct LineWriter {
    format: ExportFormat,
    kinds: Labels,
    severities: Labels,
    states: Labels,
    outcomes: Labels,
    /// The last second that was formatted, without its fraction.
    second: (i64, String),
    /// A value that is formatted twice: as JSON, then as a field of CSV.
    json: Vec<u8>,
}

/// Texts by number; `None`: unset.
struct Labels(Vec<Option<String>>);

impl Labels {
    fn new(label: fn(i32) -> Option<String>) -> Self {
        Self((0..LABELS).map(label).collect())
    }

    /// The text of a number; `None`: it is not in the table.
    fn get(&self, number: i32) -> Option<Option<&str>> {
        self.0.get(usize::try_from(number).ok()?).map(Option::as_deref)
    }
}

impl LineWriter {
    /// A writer of that format.
    pub(super) fn new(format: ExportFormat) -> Self {
        Self {
            format,
            kinds: Labels::new(labels::record_kind),
            severities: Labels::new(labels::severity),
            states: Labels::new(labels::state),
            outcomes: Labels::new(labels::outcome),
            second: (i64::MIN, String::new()),
            json: Vec::new(),
        }
    }

    /// Appends the line of an encoded record; returns its number.
    ///
    /// # Errors
    ///
    /// If it is no record.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<u64, CliError> {
        let start = out.len();
        if let Some(record) = RawRecord::parse(bytes)
            && self.push_raw(&record, out).is_some()
        {
            out.push(b'\n');
            return Ok(record.number);
        }
        out.truncate(start);
        let record = Record::decode(bytes)
            .map_err(|error| ExportError::Malformed(format!("not a record: {error}")))?;
        self.push_decoded(&record, out)?;
        Ok(record.number)
    }

    /// Appends the line of a record.
    pub(super) fn push_decoded(&self, record: &Record, out: &mut Vec<u8>) -> io::Result<()> {
        self.format.push(record, out)
    }

    /// `None`: a value is not in the tables.
    fn push_raw(&mut self, record: &RawRecord<'_>, out: &mut Vec<u8>) -> Option<()> {
        match self.format {
            ExportFormat::Jsonl => self.push_json(record, out),
            ExportFormat::Csv => self.push_csv(record, out),
        }
    }

    fn push_json(&mut self, record: &RawRecord<'_>, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(b"{\"number\":");
        push_number(record.number, out);
        out.extend_from_slice(b",\"received_at\":");
        self.push_json_time(record.received_at, out)?;
        out.extend_from_slice(b",\"kind\":");
        push_json_label(self.kinds.get(record.kind)?, out);
        out.extend_from_slice(b",\"severity\":");
        push_json_label(self.severities.get(record.severity)?, out);
        for (key, text) in [
            (&b",\"appliance\":"[..], record.appliance),
            (b",\"boot_id\":", record.boot_id),
            (b",\"text\":", record.text),
        ] {
            out.extend_from_slice(key);
            push_json_text(text, out)?;
        }
        out.extend_from_slice(b",\"state\":");
        push_json_label(self.states.get(record.state)?, out);
        out.extend_from_slice(b",\"outcome\":");
        push_json_label(self.outcomes.get(record.outcome)?, out);
        out.extend_from_slice(b",\"reason\":");
        push_json_text(record.reason, out)?;
        out.extend_from_slice(b",\"explanation\":");
        push_json_text(record.explanation, out)?;
        out.extend_from_slice(b",\"event\":");
        match &record.event {
            Some(event) => self.push_event(event, out)?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"administrator\":");
        push_json_text(record.administrator, out)?;
        out.extend_from_slice(b",\"flags\":");
        push_json_list(&record.flags, out)?;
        out.extend_from_slice(b",\"settings\":null}");
        Some(())
    }

    fn push_event(&mut self, event: &ExportedEvent<'_>, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(b"{\"kind\":");
        push_json_label(event.kind.map(kind_label), out);
        match event.kind {
            Some(EventField::Maintenance) => {
                out.extend_from_slice(b",\"progress\":");
                match event.progress {
                    Some(progress) => push_number(progress, out),
                    None => out.extend_from_slice(b"null"),
                }
            }
            // One with a counter is decoded.
            Some(EventField::Alert) => out.extend_from_slice(b",\"counter\":null"),
            Some(EventField::StartedOk | EventField::StartFailed | EventField::Log) | None => {}
        }
        out.extend_from_slice(b",\"text\":");
        push_json_text(event.text, out)?;
        out.extend_from_slice(b",\"severity\":");
        push_json_label(self.severities.get(event.severity)?, out);
        out.extend_from_slice(b",\"boot_id\":");
        push_json_text(event.boot_id, out)?;
        out.extend_from_slice(b",\"sequence\":");
        push_number(event.sequence, out);
        out.extend_from_slice(b",\"event_time\":");
        self.push_json_time(event.event_time, out)?;
        out.extend_from_slice(b",\"uptime_ms\":");
        push_number(event.uptime_ms, out);
        out.extend_from_slice(b",\"spooled_at\":");
        self.push_json_time(event.spooled_at, out)?;
        out.extend_from_slice(if event.repeated {
            b",\"repeated\":true,\"next_report_within_ms\":"
        } else {
            b",\"repeated\":false,\"next_report_within_ms\":"
        });
        push_number(event.next_report_within_ms, out);
        out.extend_from_slice(b",\"lost_before\":[],\"alert_key\":");
        push_json_text(event.alert_key, out)?;
        out.extend_from_slice(b",\"crash_dump\":null,\"alert_resolved\":false}");
        Some(())
    }

    fn push_csv(&mut self, record: &RawRecord<'_>, out: &mut Vec<u8>) -> Option<()> {
        push_number(record.number, out);
        out.push(b',');
        if let Some(time) = record.received_at {
            self.push_time(time, out)?;
        }
        for label in [self.kinds.get(record.kind)?, self.severities.get(record.severity)?] {
            out.push(b',');
            out.extend_from_slice(label.unwrap_or_default().as_bytes());
        }
        for text in [record.appliance, record.boot_id, record.text] {
            push_csv_text(text, out);
        }
        for label in [self.states.get(record.state)?, self.outcomes.get(record.outcome)?] {
            out.push(b',');
            out.extend_from_slice(label.unwrap_or_default().as_bytes());
        }
        for text in [record.reason, record.explanation, record.administrator] {
            push_csv_text(text, out);
        }
        out.push(b',');
        let mut json = std::mem::take(&mut self.json);
        if let Some(event) = &record.event {
            json.clear();
            self.push_event(event, &mut json)?;
            push_quoted(&json, out);
        }
        out.push(b',');
        json.clear();
        push_json_list(&record.flags, &mut json)?;
        if record.flags.is_empty() {
            out.extend_from_slice(&json);
        } else {
            push_quoted(&json, out);
        }
        self.json = json;
        // No settings.
        out.push(b',');
        Some(())
    }

    fn push_json_time(&mut self, time: Option<RawTime>, out: &mut Vec<u8>) -> Option<()> {
        let Some(time) = time else {
            out.extend_from_slice(b"null");
            return Some(());
        };
        out.push(b'"');
        self.push_time(time, out)?;
        out.push(b'"');
        Some(())
    }

    /// As [`time_arg::rfc3339`].
    fn push_time(&mut self, time: RawTime, out: &mut Vec<u8>) -> Option<()> {
        if self.second.0 != time.seconds || self.second.1.is_empty() {
            let whole = prost_types::Timestamp { seconds: time.seconds, nanos: 0 };
            let mut text = time_arg::rfc3339(&whole)?;
            text.pop();
            self.second = (time.seconds, text);
        }
        out.extend_from_slice(self.second.1.as_bytes());
        let mut micros = time.nanos / 1_000;
        if micros > 0 {
            let mut digits = *b".000000";
            for digit in digits[1..].iter_mut().rev() {
                *digit = b'0' + u8::try_from(micros % 10).unwrap_or(0);
                micros /= 10;
            }
            let length = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0) + 1;
            out.extend_from_slice(&digits[..length]);
        }
        out.push(b'Z');
        Some(())
    }
}

fn kind_label(kind: EventField) -> &'static str {
    let kind = match kind {
        EventField::StartedOk => Kind::StartedOk(StartedOk {}),
        EventField::StartFailed => Kind::StartFailed(StartFailed {}),
        EventField::Maintenance => Kind::Maintenance(Maintenance { progress: None }),
        EventField::Log => Kind::Log(Log {}),
        EventField::Alert => Kind::Alert(Alert { counter: None }),
    };
    event_kind(&kind).as_str()
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Labels are lower-case words.
fn push_json_label(label: Option<&str>, out: &mut Vec<u8>) {
    match label {
        Some(label) => {
            out.push(b'"');
            out.extend_from_slice(label.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// Whether the text is the same in JSON: visible ASCII without quotes and backslashes. Without an early
/// end, so that it is compiled to few instructions.
fn is_plain(text: &str) -> bool {
    let is_odd = |byte: u8| !(0x20..=0x7e).contains(&byte) | (byte == b'"') | (byte == b'\\');
    !text.bytes().fold(false, |odd, byte| odd | is_odd(byte))
}

fn push_json_text(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let json = serde_json::to_string(text).ok()?;
        out.extend_from_slice(escape_json(&json).as_bytes());
    }
    Some(())
}

fn push_json_list(texts: &[&str], out: &mut Vec<u8>) -> Option<()> {
    out.push(b'[');
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_json_text(text, out)?;
    }
    out.push(b']');
    Some(())
}

/// A comma and a text, escaped and quoted as in [`crate::csv`].
fn push_csv_text(text: &str, out: &mut Vec<u8>) {
    out.push(b',');
    if is_plain(text) && !text.contains(',') && !text.starts_with(' ') && !text.ends_with(' ') {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let shown = escape(text);
    if shown.contains([',', '"']) || shown.starts_with(' ') || shown.ends_with(' ') {
        push_quoted(shown.as_bytes(), out);
    } else {
        out.extend_from_slice(shown.as_bytes());
    }
}

fn push_quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for part in value.split_inclusive(|byte| *byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
