//! Both halves for events: what an appliance said, with its envelope.

use std::num::NonZeroU64;
use std::time::Duration;

use super::input::{boot as read_boot, progress, severity};
use super::to_proto::{boot, micros, percent, severity_number};
use super::{DecodeError, proto};
use crate::grid::event::{Counter, Event, EventKind, LostEvents, LostReason, PlainKind, Text};
use crate::grid::name::{ApplianceNumber, SpoolId};
use crate::grid::record::{Heard, SessionId};
use crate::grid::time::Timestamp;
use crate::grid::word::Word;

pub(super) fn heard(heard: &Heard) -> proto::Heard {
    use proto::heard::Kind as P;
    let event = &heard.event;
    let kind = match &event.kind {
        EventKind::StartedOk => P::StartedOk(proto::StartedOk {}),
        EventKind::StartFailed => P::StartFailed(proto::StartFailed {}),
        EventKind::Maintenance { progress, next_report_within } => {
            P::Maintenance(proto::MaintenanceReport {
                progress: percent(*progress),
                next_report_within_us: next_report_within.map(micros),
            })
        }
        EventKind::Log => P::Log(proto::Log {}),
        EventKind::Alert { counter } => P::Alert(proto::AlertEvent {
            counter: counter.as_ref().map_or_else(String::new, |it| it.name().to_owned()),
            value: counter.as_ref().map_or(0.0, |it| it.value()),
        }),
    };
    proto::Heard {
        appliance: heard.appliance.0,
        boot: heard.boot.map_or_else(Vec::new, boot),
        spool: heard.spool.map_or(0, |spool| spool.0.get()),
        sequence: heard.sequence.map_or(0, |sequence| sequence.get()),
        by_session: heard.session.is_some(),
        kind: Some(kind),
        text: event.text.as_str().to_owned(),
        is_text_cut: event.text.is_cut(),
        severity: severity_number(event.severity),
        event_time_us: event.event_time.map(Timestamp::as_micros),
        uptime_us: event.uptime.map(micros),
        spooled_at_us: event.spooled_at.map(Timestamp::as_micros),
        repeated: event.repeated,
        lost_before: event.lost_before.iter().map(lost).collect(),
        alert_key: event.alert_key.as_deref().unwrap_or_default().to_owned(),
    }
}

fn lost(lost: &LostEvents) -> proto::Lost {
    let kind = lost.kind.map_or(0, kind_number);
    proto::Lost {
        kind,
        count: lost.count,
        first_us: lost.first_at.map(Timestamp::as_micros),
        last_us: lost.last_at.map(Timestamp::as_micros),
        reason: lost.reason.map_or(0, |reason| match reason {
            LostReason::SpoolFull => 1,
            LostReason::SpoolDamaged => 2,
            LostReason::SetAside => 3,
            LostReason::NotSpooled => 4,
        }),
    }
}

pub(super) fn kind_number(kind: PlainKind) -> u32 {
    match kind {
        PlainKind::StartedOk => 1,
        PlainKind::StartFailed => 2,
        PlainKind::Maintenance => 3,
        PlainKind::Log => 4,
        PlainKind::Alert => 5,
    }
}

pub(super) fn read_heard(heard: proto::Heard) -> Result<Heard, DecodeError> {
    let kind = read_kind(heard.kind)?;
    let boot = match heard.boot.as_slice() {
        [] => None,
        bytes => Some(read_boot(bytes)?),
    };
    Ok(Heard {
        appliance: ApplianceNumber(heard.appliance),
        boot,
        spool: NonZeroU64::new(heard.spool).map(SpoolId),
        sequence: NonZeroU64::new(heard.sequence),
        // The number of a session means nothing in another run.
        session: heard.by_session.then_some(SessionId(0)),
        event: Event {
            kind,
            text: Text::with_mark(&heard.text, heard.is_text_cut),
            severity: severity(heard.severity)?,
            event_time: heard.event_time_us.map(Timestamp::from_micros),
            uptime: heard.uptime_us.map(Duration::from_micros),
            spooled_at: heard.spooled_at_us.map(Timestamp::from_micros),
            repeated: heard.repeated,
            lost_before: heard.lost_before.iter().map(read_lost).collect::<Result<_, _>>()?,
            alert_key: Some(heard.alert_key).filter(|key| !key.is_empty()).map(Into::into),
        },
    })
}

fn read_kind(kind: Option<proto::heard::Kind>) -> Result<EventKind, DecodeError> {
    use proto::heard::Kind as P;
    Ok(match kind.ok_or(DecodeError::Newer { what: "an event's kind" })? {
        P::StartedOk(proto::StartedOk {}) => EventKind::StartedOk,
        P::StartFailed(proto::StartFailed {}) => EventKind::StartFailed,
        P::Maintenance(report) => EventKind::Maintenance {
            progress: progress(report.progress)?,
            next_report_within: report.next_report_within_us.map(Duration::from_micros),
        },
        P::Log(proto::Log {}) => EventKind::Log,
        P::Alert(alert) if alert.counter.is_empty() => EventKind::Alert { counter: None },
        P::Alert(alert) => {
            let counter = Counter::new(&alert.counter, alert.value);
            let counter = counter.ok_or(DecodeError::Impossible { what: "a counter" })?;
            EventKind::Alert { counter: Some(counter) }
        }
    })
}

fn read_lost(lost: &proto::Lost) -> Result<LostEvents, DecodeError> {
    Ok(LostEvents {
        kind: match lost.kind {
            0 => None,
            kind => Some(plain_kind(kind)?),
        },
        count: lost.count,
        first_at: lost.first_us.map(Timestamp::from_micros),
        last_at: lost.last_us.map(Timestamp::from_micros),
        reason: match lost.reason {
            0 => None,
            1 => Some(LostReason::SpoolFull),
            2 => Some(LostReason::SpoolDamaged),
            3 => Some(LostReason::SetAside),
            4 => Some(LostReason::NotSpooled),
            _ => return Err(DecodeError::Newer { what: "why events were lost" }),
        },
    })
}

pub(super) fn plain_kind(kind: u32) -> Result<PlainKind, DecodeError> {
    Ok(match kind {
        1 => PlainKind::StartedOk,
        2 => PlainKind::StartFailed,
        3 => PlainKind::Maintenance,
        4 => PlainKind::Log,
        5 => PlainKind::Alert,
        _ => return Err(DecodeError::Newer { what: "a kind of event" }),
    })
}

pub(super) fn word(it: &Word) -> proto::Word {
    let Word { uptime, numbered, time } = *it;
    proto::Word {
        uptime_us: uptime.map(micros),
        spool: numbered.map_or(0, |(spool, _)| spool.0.get()),
        sequence: numbered.map_or(0, |(_, sequence)| sequence.get()),
        time_us: time.as_micros(),
    }
}

pub(super) fn read_word(it: &proto::Word) -> Word {
    let spool = NonZeroU64::new(it.spool).map(SpoolId);
    Word {
        uptime: it.uptime_us.map(Duration::from_micros),
        numbered: spool.zip(NonZeroU64::new(it.sequence)),
        time: Timestamp::from_micros(it.time_us),
    }
}
