//! Encodes events as messages of the contract.
//!
//! Guarantees that an event is sent as received, except for truncated text. Escapes nothing.

use super::{millis, proto, proto_severity, timestamp, uuid_text};
use crate::grid::event::{Event, EventKind, LostReason, PlainKind};
use crate::grid::record::Heard;

/// The text of an event, else its counter.
pub(super) fn text(event: &Event) -> String {
    match &event.kind {
        EventKind::Alert { counter: Some(counter) } if event.text.is_empty() => {
            format!("{} = {}", counter.name(), counter.value())
        }
        EventKind::StartedOk
        | EventKind::StartFailed
        | EventKind::Maintenance { .. }
        | EventKind::Log
        | EventKind::Alert { .. } => event.text.as_str().to_owned(),
    }
}

/// Encodes an event, as received.
pub(super) fn event(heard: &Heard) -> proto::Event {
    use proto::event::Kind;
    let event = &heard.event;
    let mut within = None;
    let kind = match &event.kind {
        EventKind::StartedOk => Kind::StartedOk(proto::StartedOk {}),
        EventKind::StartFailed => Kind::StartFailed(proto::StartFailed {}),
        EventKind::Maintenance { progress, next_report_within } => {
            within = *next_report_within;
            let progress = progress.map(|progress| u32::from(progress.percent()));
            Kind::Maintenance(proto::Maintenance { progress })
        }
        EventKind::Log => Kind::Log(proto::Log {}),
        EventKind::Alert { counter } => Kind::Alert(proto::Alert {
            counter: counter.as_ref().map(|counter| proto::Counter {
                name: counter.name().to_owned(),
                value: counter.value(),
            }),
        }),
    };
    let lost = event.lost_before.iter().map(|lost| proto::LostEvents {
        kind: event_kind(lost.kind).into(),
        count: lost.count,
        first_at: lost.first_at.map(timestamp),
        last_at: lost.last_at.map(timestamp),
        reason: lost.reason.map_or(proto::LostReason::Unspecified, lost_reason).into(),
    });
    proto::Event {
        kind: Some(kind),
        text: event.text.as_str().to_owned(),
        severity: proto_severity(event.severity).into(),
        boot_id: heard.boot.map_or_else(String::new, |boot| uuid_text(boot.0)),
        sequence: heard.sequence.map_or(0, |sequence| sequence.get()),
        event_time: event.event_time.map(timestamp),
        uptime_ms: event.uptime.map_or(0, millis),
        spooled_at: event.spooled_at.map(timestamp),
        repeated: event.repeated,
        next_report_within_ms: within.map_or(0, |it| u32::try_from(millis(it)).unwrap_or(u32::MAX)),
        lost_before: lost.collect(),
        alert_key: event.alert_key.as_deref().unwrap_or_default().to_owned(),
    }
}

/// Encodes an event kind.
pub(super) fn event_kind(kind: Option<PlainKind>) -> proto::EventKind {
    match kind {
        None => proto::EventKind::Unspecified,
        Some(PlainKind::StartedOk) => proto::EventKind::StartedOk,
        Some(PlainKind::StartFailed) => proto::EventKind::StartFailed,
        Some(PlainKind::Maintenance) => proto::EventKind::Maintenance,
        Some(PlainKind::Log) => proto::EventKind::Log,
        Some(PlainKind::Alert) => proto::EventKind::Alert,
    }
}

fn lost_reason(reason: LostReason) -> proto::LostReason {
    match reason {
        LostReason::SpoolFull => proto::LostReason::SpoolFull,
        LostReason::SpoolDamaged => proto::LostReason::SpoolDamaged,
        LostReason::SetAside => proto::LostReason::SetAside,
        LostReason::NotSpooled => proto::LostReason::NotSpooled,
    }
}
