//! Decodes and validates events: bytes become an [`Event`] of the domain or a list of violations.
//!
//! Guarantees that every violation names its field, that all are reported at once, and that no input
//! makes it panic. Does not know who sent the event or what its outcome is.

mod crash_dump;
pub mod identity;
mod plain_log;

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use uuid::Uuid;

use super::proto::{self, Violation};
use crate::contract::raw::{RawAlert, RawEvent, RawKind};
use crate::grid::model::alert_group::is_valid_group_key;
use crate::grid::model::settings::REPORT_DEADLINE_RANGE;
use crate::grid::values::event::{
    BoundedText, Counter, DROPPED_ENTRIES_MAX, DropReason, DroppedEvents, Event, EventBody,
    EventKind, Progress, Severity,
};
use crate::grid::values::id::{BootId, Sequence};
use crate::grid::values::time::Timestamp;

/// Largest event, in bytes on the wire.
pub const EVENT_BYTES_MAX: usize = 65_536;

/// Tags of `Event.kind` that are reserved for future kinds.
const RESERVED_KINDS: std::ops::RangeInclusive<u32> = 6..=15;

/// A valid event.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedEvent {
    /// The event.
    pub event: Event,
    /// The boot it names.
    pub boot_id: Option<BootId>,
    /// Its sequence number.
    pub sequence: Option<Sequence>,
}

/// Why bytes are not an event.
#[derive(Clone, Debug, PartialEq)]
pub enum InvalidEvent {
    /// These fields are invalid.
    Invalid(Vec<Violation>),
    /// It has a reserved kind.
    Unsupported,
}

/// Decodes and validates an event.
///
/// # Errors
///
/// [`InvalidEvent`] with every field that is invalid.
pub fn event(bytes: &Bytes) -> Result<DecodedEvent, InvalidEvent> {
    if bytes.len() > EVENT_BYTES_MAX {
        let size = bytes.len();
        let text = format!("takes {size} bytes; at most {EVENT_BYTES_MAX} are allowed");
        return Err(InvalidEvent::Invalid(vec![violation("event", text)]));
    }
    plain_log::decode(bytes).map_or_else(|| general_event(bytes), Ok)
}

fn general_event(bytes: &Bytes) -> Result<DecodedEvent, InvalidEvent> {
    let sent = RawEvent::decode(bytes.clone())
        .map_err(|error| InvalidEvent::Invalid(vec![violation("event", error.to_string())]))?;
    let mut violations = Violations::default();
    let Some(kind) = &sent.kind else {
        if has_reserved_kind(bytes) {
            return Err(InvalidEvent::Unsupported);
        }
        violations.add(
            "kind",
            "is missing; started_ok, start_failed, maintenance, log or alert is needed",
        );
        return Err(InvalidEvent::Invalid(violations.0));
    };
    let needs_text = needs_text(kind);
    let kind = check_kind(kind, &sent, &mut violations);
    let text = violations.check_utf8("text", &sent.text).unwrap_or_default();
    let names_its_end = sent.alert_resolved && !sent.alert_key.is_empty();
    if sent.text.is_empty() && needs_text && !names_its_end {
        violations.add("text", "is missing; required for log, and for alert without a counter");
    }
    if sent.alert_resolved && !matches!(kind, EventBody::Alert { .. }) {
        violations.add("alert_resolved", "is allowed with alert only");
    }
    let checked = DecodedEvent {
        boot_id: check_boot_id(&sent.boot_id, "boot_id", &mut violations),
        sequence: NonZeroU64::new(sent.sequence),
        event: Event {
            severity: check_severity(sent.severity, &kind, &mut violations),
            text: BoundedText::new(text),
            event_time: check_time("event_time", sent.event_time, &mut violations),
            uptime: (sent.uptime_ms > 0).then(|| Duration::from_millis(sent.uptime_ms)),
            spooled_at: check_time("spooled_at", sent.spooled_at, &mut violations),
            is_repeated: sent.repeated,
            dropped_before: check_lost_before(&sent.lost_before, &mut violations),
            group_key: check_alert_key(&sent.alert_key, &kind, &mut violations),
            crash_dump: crash_dump::check(sent.crash_dump.as_ref(), &kind, &mut violations),
            is_resolved: sent.alert_resolved,
            body: kind,
        },
    };
    if violations.0.is_empty() { Ok(checked) } else { Err(InvalidEvent::Invalid(violations.0)) }
}

/// Decodes a boot id; empty: none.
///
/// # Errors
///
/// The violation of `field`.
pub fn boot_id(text: &[u8], field: &str) -> Result<Option<BootId>, Violation> {
    let mut violations = Violations::default();
    let boot = check_boot_id(text, field, &mut violations);
    violations.0.pop().map_or(Ok(boot), Err)
}

/// A violation of a field, described in a sentence.
pub fn violation(field: &str, description: impl Into<String>) -> Violation {
    Violation { field: field.to_owned(), description: description.into() }
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(violation(field, description));
    }

    fn check_utf8<'a>(&mut self, field: &str, bytes: &'a [u8]) -> Option<&'a str> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let at = error.valid_up_to();
                self.add(field, format!("is not UTF-8: byte {at} is invalid"));
                None
            }
        }
    }
}

fn check_kind(kind: &RawKind, sent: &RawEvent, violations: &mut Violations) -> EventBody {
    let within = check_report_deadline(sent.next_report_within_ms, kind, violations);
    match kind {
        RawKind::StartedOk(_) => EventBody::StartedOk,
        RawKind::StartFailed(_) => EventBody::StartFailed,
        RawKind::Maintenance(report) => {
            let progress = report.progress.and_then(|percent| {
                let progress = Progress::new(percent);
                if progress.is_none() {
                    let text = format!("is {percent}; 1 to 100 percent are allowed");
                    violations.add("maintenance.progress", text);
                }
                progress
            });
            EventBody::Maintenance { progress, next_report_within: within }
        }
        RawKind::Log(_) => EventBody::Log,
        RawKind::Alert(alert) => EventBody::Alert { counter: check_counter(alert, violations) },
    }
}

fn check_report_deadline(
    millis: u32,
    kind: &RawKind,
    violations: &mut Violations,
) -> Option<Duration> {
    const FIELD: &str = "next_report_within_ms";
    if millis == 0 {
        return None;
    }
    let within = Duration::from_millis(u64::from(millis));
    match kind {
        RawKind::Maintenance(_) if REPORT_DEADLINE_RANGE.contains(&within) => return Some(within),
        RawKind::Maintenance(_) => {
            violations
                .add(FIELD, format!("is {millis}; 1000 (1 s) to 43200000 (12 h) are allowed"));
        }
        RawKind::StartedOk(_) | RawKind::StartFailed(_) | RawKind::Log(_) | RawKind::Alert(_) => {
            violations.add(FIELD, "is allowed with maintenance only");
        }
    }
    None
}

fn check_alert_key(key: &[u8], kind: &EventBody, violations: &mut Violations) -> Option<Box<str>> {
    const FIELD: &str = "alert_key";
    if key.is_empty() {
        return None;
    }
    let key = std::str::from_utf8(key).ok().filter(|key| is_valid_group_key(key));
    if key.is_none() {
        let text = "1 to 120 bytes of letters, digits, `.`, `_`, `-`, `:` are allowed";
        violations.add(FIELD, text);
    } else if !matches!(kind, EventBody::Alert { .. }) {
        violations.add(FIELD, "is allowed with alert only");
    }
    key.map(Into::into)
}

fn check_counter(alert: &RawAlert, violations: &mut Violations) -> Option<Counter> {
    let sent = alert.counter.as_ref()?;
    let name = std::str::from_utf8(&sent.name).unwrap_or("");
    let counter = Counter::new(name, sent.value);
    if counter.is_none() {
        if sent.value.is_finite() {
            let text = "1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:` are allowed";
            violations.add("alert.counter.name", text);
        } else {
            violations.add("alert.counter.value", "is not a finite number");
        }
    }
    counter
}

/// An invalid counter counts as one, so that only the counter is reported.
fn needs_text(kind: &RawKind) -> bool {
    match kind {
        RawKind::Log(_) => true,
        RawKind::Alert(alert) => alert.counter.is_none(),
        RawKind::StartedOk(_) | RawKind::StartFailed(_) | RawKind::Maintenance(_) => false,
    }
}

fn check_severity(number: i32, kind: &EventBody, violations: &mut Violations) -> Severity {
    match proto::Severity::try_from(number) {
        Ok(severity) => super::decode_severity(severity).unwrap_or_else(|| kind.default_severity()),
        Err(_) => {
            let text = format!("is {number}; debug (1), info, warn, error, fatal (5) are allowed");
            violations.add("severity", text);
            kind.default_severity()
        }
    }
}

fn check_boot_id(text: &[u8], field: &str, violations: &mut Violations) -> Option<BootId> {
    if text.is_empty() {
        return None;
    }
    let has_uuid_length = text.len() == 36;
    let id = std::str::from_utf8(text).ok().filter(|_| has_uuid_length).map(Uuid::try_parse);
    match id {
        Some(Ok(id)) if !id.is_nil() => Some(BootId(id)),
        Some(_) | None => {
            let form =
                "a UUID in text form is needed, such as 9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55";
            violations.add(field, form);
            None
        }
    }
}

fn check_time(
    field: &str,
    time: Option<prost_types::Timestamp>,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let time = time?;
    let checked = super::decode_timestamp(&time);
    if checked.is_none() {
        violations.add(field, "is outside the years 1 to 9999, or its nanoseconds do");
    }
    checked
}

fn check_lost_before(
    lost: &[proto::LostEvents],
    violations: &mut Violations,
) -> Vec<DroppedEvents> {
    if lost.len() > DROPPED_ENTRIES_MAX {
        let count = lost.len();
        violations
            .add("lost_before", format!("has {count} entries; {DROPPED_ENTRIES_MAX} are allowed"));
        return Vec::new();
    }
    let mut checked = Vec::with_capacity(lost.len());
    for (entry, at) in lost.iter().zip(0..) {
        let field = |name: &str| format!("lost_before[{at}].{name}");
        if entry.count == 0 {
            violations.add(&field("count"), "is 0; at least 1 is needed");
        }
        checked.push(DroppedEvents {
            // Numbers of a newer sender are unspecified here, but the events are lost all the same.
            kind: u32::try_from(entry.kind).ok().and_then(EventKind::from_number),
            reason: u32::try_from(entry.reason).ok().and_then(DropReason::from_number),
            count: entry.count,
            first_at: check_time(&field("first_at"), entry.first_at, violations),
            last_at: check_time(&field("last_at"), entry.last_at, violations),
        });
    }
    checked
}

fn has_reserved_kind(bytes: &Bytes) -> bool {
    let mut rest = bytes.clone();
    while let Ok((tag, wire_type)) = decode_key(&mut rest) {
        if RESERVED_KINDS.contains(&tag) {
            return true;
        }
        if skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
            return false;
        }
    }
    false
}

/// The kind of an event.
pub fn event_kind(kind: &proto::event::Kind) -> EventKind {
    use proto::event::Kind;
    match kind {
        Kind::StartedOk(_) => EventKind::StartedOk,
        Kind::StartFailed(_) => EventKind::StartFailed,
        Kind::Maintenance(_) => EventKind::Maintenance,
        Kind::Log(_) => EventKind::Log,
        Kind::Alert(_) => EventKind::Alert,
    }
}

#[cfg(test)]
mod tests;
