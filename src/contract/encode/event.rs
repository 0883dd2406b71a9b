//! Encodes events as messages of the contract.
//!
//! Guarantees that an event is sent as received, except for truncated text. Escapes nothing.

use super::{crash_dump, encode_severity, encode_timestamp, encode_uuid, millis, proto};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::values::event::{Event, EventBody};

/// The text of an event, else its counter.
pub(super) fn text(event: &Event) -> String {
    match &event.body {
        EventBody::Alert { counter: Some(counter) } if event.text.is_empty() => {
            format!("{} = {}", counter.name(), counter.value())
        }
        EventBody::StartedOk
        | EventBody::StartFailed
        | EventBody::Maintenance { .. }
        | EventBody::Log
        | EventBody::Alert { .. } => event.text.as_str().to_owned(),
    }
}

/// Encodes an event, as received.
pub(super) fn event(received: &ReceivedEvent) -> proto::Event {
    use proto::event::Kind;
    let event = &received.event;
    let mut within = None;
    let kind = match &event.body {
        EventBody::StartedOk => Kind::StartedOk(proto::StartedOk {}),
        EventBody::StartFailed => Kind::StartFailed(proto::StartFailed {}),
        EventBody::Maintenance { progress, next_report_within } => {
            within = *next_report_within;
            let progress = progress.map(|progress| u32::from(progress.percent()));
            Kind::Maintenance(proto::Maintenance { progress })
        }
        EventBody::Log => Kind::Log(proto::Log {}),
        EventBody::Alert { counter } => Kind::Alert(proto::Alert {
            counter: counter.as_ref().map(|counter| proto::Counter {
                name: counter.name().to_owned(),
                value: counter.value(),
            }),
        }),
    };
    let lost = event.dropped_before.iter().map(|lost| proto::LostEvents {
        kind: lost.kind.map_or(0, |kind| i32::from(kind.number())),
        count: lost.count,
        first_at: lost.first_at.map(encode_timestamp),
        last_at: lost.last_at.map(encode_timestamp),
        reason: lost.reason.map_or(0, |reason| i32::from(reason.number())),
    });
    proto::Event {
        kind: Some(kind),
        text: event.text.as_str().to_owned(),
        severity: encode_severity(event.severity).into(),
        boot_id: received.boot.map_or_else(String::new, |boot| encode_uuid(boot.0)),
        sequence: received.sequence.map_or(0, |sequence| sequence.get()),
        event_time: event.event_time.map(encode_timestamp),
        uptime_ms: event.uptime.map_or(0, millis),
        spooled_at: event.spooled_at.map(encode_timestamp),
        repeated: event.is_repeated,
        next_report_within_ms: within.map_or(0, |it| u32::try_from(millis(it)).unwrap_or(u32::MAX)),
        lost_before: lost.collect(),
        alert_key: event.group_key.as_deref().unwrap_or_default().to_owned(),
        crash_dump: event.crash_dump.as_deref().map(crash_dump::found),
        alert_resolved: event.is_resolved,
    }
}
