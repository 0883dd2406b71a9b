//! Decodes and validates an event: bytes become an [`Event`] of the domain, or a list of violations.
//!
//! Guarantees that every violation names its field, that all are reported at once, and that no input
//! makes it panic. Does not know who sent the event or what its outcome is.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use uuid::Uuid;

use super::proto::{self, Violation};
use super::received::{AlertAsSent, EventAsSent, KindAsSent};
use crate::grid::alert_key::is_alert_key;
use crate::grid::event::{
    Counter, Event, EventKind, LOST_ENTRIES_MAX, LostEvents, LostReason, PlainKind, Progress,
    Severity, Text,
};
use crate::grid::name::{BootId, Sequence};
use crate::grid::settings::LIMIT_RANGE;
use crate::grid::time::Timestamp;

/// Largest event, in bytes on the wire.
pub const EVENT_BYTES_MAX: usize = 65_536;

/// Tags of `Event.kind` that are reserved for future kinds.
const KINDS_TO_COME: std::ops::RangeInclusive<u32> = 6..=15;

/// A valid event.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The event.
    pub event: Event,
    /// The boot it names.
    pub boot: Option<BootId>,
    /// Its sequence number.
    pub sequence: Option<Sequence>,
}

/// Why bytes are not an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfit {
    /// These fields are invalid.
    Invalid(Vec<Violation>),
    /// It has a reserved kind.
    Unsupported,
}

/// Decodes and validates an event.
///
/// # Errors
///
/// [`Unfit`] with every field that is invalid.
pub fn event(bytes: &Bytes) -> Result<Checked, Unfit> {
    if bytes.len() > EVENT_BYTES_MAX {
        let size = bytes.len();
        let text = format!("takes {size} bytes; at most {EVENT_BYTES_MAX} are allowed");
        return Err(Unfit::Invalid(vec![violation("event", text)]));
    }
    let sent = EventAsSent::decode(bytes.clone())
        .map_err(|error| Unfit::Invalid(vec![violation("event", error.to_string())]))?;
    let mut violations = Wrong::default();
    let Some(kind) = &sent.kind else {
        if has_kind_to_come(bytes) {
            return Err(Unfit::Unsupported);
        }
        violations.add(
            "kind",
            "is missing; started_ok, start_failed, maintenance, log or alert is needed",
        );
        return Err(Unfit::Invalid(violations.0));
    };
    let needs_text = needs_text(kind);
    let kind = check_kind(kind, &sent, &mut violations);
    let text = violations.utf8("text", &sent.text).unwrap_or_default();
    if sent.text.is_empty() && needs_text {
        violations.add("text", "is missing; required for log, and for alert without a counter");
    }
    let checked = Checked {
        boot: check_boot(&sent.boot_id, "boot_id", &mut violations),
        sequence: NonZeroU64::new(sent.sequence),
        event: Event {
            severity: check_severity(sent.severity, &kind, &mut violations),
            text: Text::new(text),
            event_time: check_time("event_time", sent.event_time, &mut violations),
            uptime: (sent.uptime_ms > 0).then(|| Duration::from_millis(sent.uptime_ms)),
            spooled_at: check_time("spooled_at", sent.spooled_at, &mut violations),
            repeated: sent.repeated,
            lost_before: check_lost(&sent.lost_before, &mut violations),
            alert_key: check_alert_key(&sent.alert_key, &kind, &mut violations),
            kind,
        },
    };
    if violations.0.is_empty() { Ok(checked) } else { Err(Unfit::Invalid(violations.0)) }
}

/// Decodes a boot id; empty: none.
///
/// # Errors
///
/// The violation of `field`.
pub fn boot(text: &[u8], field: &str) -> Result<Option<BootId>, Violation> {
    let mut violations = Wrong::default();
    let boot = check_boot(text, field, &mut violations);
    violations.0.pop().map_or(Ok(boot), Err)
}

/// A violation of a field, described in a sentence.
pub fn violation(field: &str, description: impl Into<String>) -> Violation {
    Violation { field: field.to_owned(), description: description.into() }
}

#[derive(Default)]
struct Wrong(Vec<Violation>);

impl Wrong {
    fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(violation(field, description));
    }

    fn utf8<'a>(&mut self, field: &str, bytes: &'a [u8]) -> Option<&'a str> {
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

fn check_kind(kind: &KindAsSent, sent: &EventAsSent, violations: &mut Wrong) -> EventKind {
    let within = check_promise(sent.next_report_within_ms, kind, violations);
    match kind {
        KindAsSent::StartedOk(_) => EventKind::StartedOk,
        KindAsSent::StartFailed(_) => EventKind::StartFailed,
        KindAsSent::Maintenance(report) => {
            let progress = report.progress.and_then(|percent| {
                let progress = Progress::new(percent);
                if progress.is_none() {
                    let text = format!("is {percent}; 1 to 100 percent are allowed");
                    violations.add("maintenance.progress", text);
                }
                progress
            });
            EventKind::Maintenance { progress, next_report_within: within }
        }
        KindAsSent::Log(_) => EventKind::Log,
        KindAsSent::Alert(alert) => EventKind::Alert { counter: check_counter(alert, violations) },
    }
}

fn check_promise(millis: u32, kind: &KindAsSent, violations: &mut Wrong) -> Option<Duration> {
    const FIELD: &str = "next_report_within_ms";
    if millis == 0 {
        return None;
    }
    let within = Duration::from_millis(u64::from(millis));
    match kind {
        KindAsSent::Maintenance(_) if LIMIT_RANGE.contains(&within) => return Some(within),
        KindAsSent::Maintenance(_) => {
            violations.add(FIELD, format!("is {millis}; 1000 (1 s) to 43200000 (12 h) are allowed"));
        }
        KindAsSent::StartedOk(_)
        | KindAsSent::StartFailed(_)
        | KindAsSent::Log(_)
        | KindAsSent::Alert(_) => {
            violations.add(FIELD, "is allowed with maintenance only");
        }
    }
    None
}

fn check_alert_key(key: &[u8], kind: &EventKind, violations: &mut Wrong) -> Option<Box<str>> {
    const FIELD: &str = "alert_key";
    if key.is_empty() {
        return None;
    }
    let key = std::str::from_utf8(key).ok().filter(|key| is_alert_key(key));
    if key.is_none() {
        let text = "1 to 120 bytes of letters, digits, `.`, `_`, `-`, `:` are allowed";
        violations.add(FIELD, text);
    } else if !matches!(kind, EventKind::Alert { .. }) {
        violations.add(FIELD, "is allowed with alert only");
    }
    key.map(Into::into)
}

fn check_counter(alert: &AlertAsSent, violations: &mut Wrong) -> Option<Counter> {
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
fn needs_text(kind: &KindAsSent) -> bool {
    match kind {
        KindAsSent::Log(_) => true,
        KindAsSent::Alert(alert) => alert.counter.is_none(),
        KindAsSent::StartedOk(_) | KindAsSent::StartFailed(_) | KindAsSent::Maintenance(_) => false,
    }
}

fn check_severity(number: i32, kind: &EventKind, violations: &mut Wrong) -> Severity {
    match proto::Severity::try_from(number) {
        Ok(severity) => super::severity(severity).unwrap_or_else(|| kind.default_severity()),
        Err(_) => {
            let text = format!("is {number}; debug (1), info, warn, error, fatal (5) are allowed");
            violations.add("severity", text);
            kind.default_severity()
        }
    }
}

fn check_boot(text: &[u8], field: &str, violations: &mut Wrong) -> Option<BootId> {
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
    violations: &mut Wrong,
) -> Option<Timestamp> {
    let time = time?;
    let checked = super::moment(&time);
    if checked.is_none() {
        violations.add(field, "lies outside the years 1 to 9999, or its nanoseconds do");
    }
    checked
}

fn check_lost(lost: &[proto::LostEvents], violations: &mut Wrong) -> Vec<LostEvents> {
    if lost.len() > LOST_ENTRIES_MAX {
        let count = lost.len();
        violations.add("lost_before", format!("has {count} entries; {LOST_ENTRIES_MAX} are allowed"));
        return Vec::new();
    }
    let mut checked = Vec::with_capacity(lost.len());
    for (entry, at) in lost.iter().zip(0..) {
        let field = |name: &str| format!("lost_before[{at}].{name}");
        if entry.count == 0 {
            violations.add(&field("count"), "is 0; at least 1 is needed");
        }
        checked.push(LostEvents {
            // Numbers of a newer sender are unspecified here, but the events are lost all the same.
            kind: proto::EventKind::try_from(entry.kind).ok().and_then(lost_kind),
            reason: proto::LostReason::try_from(entry.reason).ok().and_then(lost_reason),
            count: entry.count,
            first_at: check_time(&field("first_at"), entry.first_at, violations),
            last_at: check_time(&field("last_at"), entry.last_at, violations),
        });
    }
    checked
}

fn lost_kind(kind: proto::EventKind) -> Option<PlainKind> {
    match kind {
        proto::EventKind::Unspecified => None,
        proto::EventKind::StartedOk => Some(PlainKind::StartedOk),
        proto::EventKind::StartFailed => Some(PlainKind::StartFailed),
        proto::EventKind::Maintenance => Some(PlainKind::Maintenance),
        proto::EventKind::Log => Some(PlainKind::Log),
        proto::EventKind::Alert => Some(PlainKind::Alert),
    }
}

fn lost_reason(reason: proto::LostReason) -> Option<LostReason> {
    match reason {
        proto::LostReason::Unspecified => None,
        proto::LostReason::SpoolFull => Some(LostReason::SpoolFull),
        proto::LostReason::SpoolDamaged => Some(LostReason::SpoolDamaged),
        proto::LostReason::SetAside => Some(LostReason::SetAside),
        proto::LostReason::NotSpooled => Some(LostReason::NotSpooled),
    }
}

fn has_kind_to_come(bytes: &Bytes) -> bool {
    let mut rest = bytes.clone();
    while let Ok((tag, wire_type)) = decode_key(&mut rest) {
        if KINDS_TO_COME.contains(&tag) {
            return true;
        }
        if skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests;
