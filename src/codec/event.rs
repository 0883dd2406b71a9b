//! Encodes and decodes events, with their envelope.
//!
//! Guarantees that an unknown value is an error. Does not know effects.

use std::num::NonZeroU64;
use std::time::Duration;

use super::fields::FieldSink;
use super::values::{decode_boot as read_boot, decode_progress, decode_severity};
use super::values::{micros, percent, severity_number};
use super::{DecodeError, crash_dump, proto};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::values::event::{
    BoundedText, Counter, DropReason, DroppedEvents, Event, EventBody, EventKind,
};
use crate::grid::values::event_order::EventOrder;
use crate::grid::values::id::{ApplianceIndex, SessionId, SpoolId};
use crate::grid::values::time::Timestamp;

/// Fields of `grid.journal.v1.ReceivedEvent`.
mod tag {
    pub(super) const APPLIANCE: u32 = 1;
    pub(super) const BOOT: u32 = 2;
    pub(super) const SPOOL: u32 = 3;
    pub(super) const SEQUENCE: u32 = 4;
    pub(super) const BY_SESSION: u32 = 5;
    pub(super) const STARTED_OK: u32 = 6;
    pub(super) const START_FAILED: u32 = 7;
    pub(super) const MAINTENANCE: u32 = 8;
    pub(super) const LOG: u32 = 9;
    pub(super) const ALERT: u32 = 10;
    pub(super) const TEXT: u32 = 16;
    pub(super) const IS_TEXT_TRUNCATED: u32 = 17;
    pub(super) const SEVERITY: u32 = 18;
    pub(super) const EVENT_TIME_US: u32 = 19;
    pub(super) const UPTIME_US: u32 = 20;
    pub(super) const SPOOLED_AT_US: u32 = 21;
    pub(super) const REPEATED: u32 = 22;
    pub(super) const DROPPED_BEFORE: u32 = 23;
    pub(super) const ALERT_KEY: u32 = 24;
    pub(super) const CRASH_DUMP: u32 = 25;
    pub(super) const ALERT_RESOLVED: u32 = 26;
}

/// Writes the fields of `grid.journal.v1.ReceivedEvent`, in their order.
pub(super) fn write_event(received: &ReceivedEvent, out: &mut impl FieldSink) {
    let event = &received.event;
    out.uint(tag::APPLIANCE, u64::from(received.appliance.0));
    if let Some(boot) = received.boot {
        out.bytes(tag::BOOT, boot.0.as_bytes());
    }
    out.fixed64(tag::SPOOL, received.spool.map_or(0, |spool| spool.0.get()));
    out.uint(tag::SEQUENCE, received.sequence.map_or(0, |sequence| sequence.get()));
    out.uint(tag::BY_SESSION, received.session.is_some().into());
    match &event.body {
        EventBody::StartedOk => out.begin(tag::STARTED_OK, 0),
        EventBody::StartFailed => out.begin(tag::START_FAILED, 0),
        EventBody::Maintenance { progress, next_report_within } => {
            let report = proto::MaintenanceReport {
                progress: percent(*progress),
                next_report_within_us: next_report_within.map(micros),
            };
            out.message(tag::MAINTENANCE, &report);
        }
        EventBody::Log => out.begin(tag::LOG, 0),
        EventBody::Alert { counter } => {
            let alert = proto::AlertEvent {
                counter: counter.as_ref().map_or_else(String::new, |it| it.name().to_owned()),
                value: counter.as_ref().map_or(0.0, |it| it.value()),
            };
            out.message(tag::ALERT, &alert);
        }
    }
    out.bytes(tag::TEXT, event.text.as_str().as_bytes());
    out.uint(tag::IS_TEXT_TRUNCATED, event.text.is_truncated().into());
    out.uint(tag::SEVERITY, severity_number(event.severity).into());
    if let Some(time) = event.event_time {
        out.present_int(tag::EVENT_TIME_US, time.as_micros());
    }
    if let Some(uptime) = event.uptime {
        out.present_uint(tag::UPTIME_US, micros(uptime));
    }
    if let Some(time) = event.spooled_at {
        out.present_int(tag::SPOOLED_AT_US, time.as_micros());
    }
    out.uint(tag::REPEATED, event.is_repeated.into());
    for dropped in &event.dropped_before {
        out.message(tag::DROPPED_BEFORE, &encode_dropped(dropped));
    }
    out.bytes(tag::ALERT_KEY, event.group_key.as_deref().unwrap_or_default().as_bytes());
    if let Some(found) = &event.crash_dump {
        out.message(tag::CRASH_DUMP, &crash_dump::encode_found(found));
    }
    out.uint(tag::ALERT_RESOLVED, event.is_resolved.into());
}

fn encode_dropped(lost: &DroppedEvents) -> proto::DroppedEvents {
    let kind = lost.kind.map_or(0, |kind| u32::from(kind.number()));
    proto::DroppedEvents {
        kind,
        count: lost.count,
        first_us: lost.first_at.map(Timestamp::as_micros),
        last_us: lost.last_at.map(Timestamp::as_micros),
        reason: lost.reason.map_or(0, |reason| u32::from(reason.number())),
    }
}

pub(super) fn decode_event(received: proto::ReceivedEvent) -> Result<ReceivedEvent, DecodeError> {
    let kind = decode_body(received.kind)?;
    let boot = match received.boot.as_slice() {
        [] => None,
        bytes => Some(read_boot(bytes)?),
    };
    Ok(ReceivedEvent {
        appliance: ApplianceIndex(received.appliance),
        boot,
        spool: NonZeroU64::new(received.spool).map(SpoolId),
        sequence: NonZeroU64::new(received.sequence),
        // The number of a session has no meaning in another run.
        session: received.by_session.then_some(SessionId(0)),
        event: Event {
            body: kind,
            text: BoundedText::with_truncated(&received.text, received.is_text_truncated),
            severity: decode_severity(received.severity)?,
            event_time: received.event_time_us.map(Timestamp::from_micros),
            uptime: received.uptime_us.map(Duration::from_micros),
            spooled_at: received.spooled_at_us.map(Timestamp::from_micros),
            is_repeated: received.repeated,
            dropped_before: received
                .dropped_before
                .iter()
                .map(decode_dropped)
                .collect::<Result<_, _>>()?,
            is_resolved: received.alert_resolved,
            group_key: Some(received.alert_key).filter(|key| !key.is_empty()).map(Into::into),
            crash_dump: received.crash_dump.map(crash_dump::decode_found).map(Box::new),
        },
    })
}

fn decode_body(kind: Option<proto::received_event::Kind>) -> Result<EventBody, DecodeError> {
    use proto::received_event::Kind as P;
    Ok(match kind.ok_or(DecodeError::Newer { what: "an event's kind" })? {
        P::StartedOk(proto::StartedOk {}) => EventBody::StartedOk,
        P::StartFailed(proto::StartFailed {}) => EventBody::StartFailed,
        P::Maintenance(report) => EventBody::Maintenance {
            progress: decode_progress(report.progress)?,
            next_report_within: report.next_report_within_us.map(Duration::from_micros),
        },
        P::Log(proto::Log {}) => EventBody::Log,
        P::Alert(alert) if alert.counter.is_empty() => EventBody::Alert { counter: None },
        P::Alert(alert) => {
            let counter = Counter::new(&alert.counter, alert.value);
            let counter = counter.ok_or(DecodeError::Impossible { what: "a counter" })?;
            EventBody::Alert { counter: Some(counter) }
        }
    })
}

fn decode_dropped(lost: &proto::DroppedEvents) -> Result<DroppedEvents, DecodeError> {
    Ok(DroppedEvents {
        kind: match lost.kind {
            0 => None,
            kind => Some(decode_event_kind(kind)?),
        },
        count: lost.count,
        first_at: lost.first_us.map(Timestamp::from_micros),
        last_at: lost.last_us.map(Timestamp::from_micros),
        reason: match lost.reason {
            0 => None,
            reason => Some(
                DropReason::from_number(reason)
                    .ok_or(DecodeError::Newer { what: "a reason of dropped events" })?,
            ),
        },
    })
}

pub(super) fn decode_event_kind(kind: u32) -> Result<EventKind, DecodeError> {
    EventKind::from_number(kind).ok_or(DecodeError::Newer { what: "a kind of event" })
}

pub(super) fn encode_event_order(it: &EventOrder) -> proto::EventOrder {
    let EventOrder { uptime, sequence: numbered, time } = *it;
    proto::EventOrder {
        uptime_us: uptime.map(micros),
        spool: numbered.map_or(0, |(spool, _)| spool.0.get()),
        sequence: numbered.map_or(0, |(_, sequence)| sequence.get()),
        time_us: time.as_micros(),
    }
}

pub(super) fn decode_event_order(it: &proto::EventOrder) -> EventOrder {
    let spool = NonZeroU64::new(it.spool).map(SpoolId);
    EventOrder {
        uptime: it.uptime_us.map(Duration::from_micros),
        sequence: spool.zip(NonZeroU64::new(it.sequence)),
        time: Timestamp::from_micros(it.time_us),
    }
}
