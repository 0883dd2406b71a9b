//! The event checker against the contract: what it makes of bytes is what the comments of
//! `event.proto` say, and what prost's decoder of the contract refuses is no event.
//!
//! The reference here is written from those comments, not from the checker. One difference is allowed:
//! text that is not UTF-8 is a violation by name, and where a later field takes its place, or the event
//! is of a kind to come, it is not looked at, while prost refuses the whole message.

use bytes::Bytes;
use grid_broker::contract::decode;
use grid_broker::contract::decode::{DecodedEvent, InvalidEvent};
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{
    Alert, Counter, Event, FoundCrashDump, Log, LostEvents, Maintenance, StartFailed, StartedOk,
};
use grid_broker::contract::raw::RawEvent;
use grid_broker::grid::values::event::{DroppedEvents as Lost, Event as Heard, EventBody};
use grid_broker::grid::values::time::Timestamp;
use prost::Message;
use prost_types::Timestamp as Time;
use uuid::Uuid;

use crate::event_rules::{Plain, PlainFound, PlainLost, Verdict, expected};
use crate::fuzz;

fn plain(checked: &DecodedEvent) -> Plain {
    let DecodedEvent { event, boot_id: boot, sequence } = checked;
    let Heard {
        body: kind,
        text,
        severity,
        event_time,
        uptime,
        spooled_at,
        is_repeated: repeated,
        dropped_before: lost_before,
        group_key: alert_key,
        crash_dump,
        is_resolved,
    } = event;
    let (mut progress, mut promise_ms, mut told) = (None, None, None);
    let kind = match kind {
        EventBody::StartedOk => 1,
        EventBody::StartFailed => 2,
        EventBody::Maintenance { progress: percent, next_report_within } => {
            progress = percent.map(|it| u32::from(it.percent()));
            promise_ms = next_report_within.map(|it| it.as_millis());
            3
        }
        EventBody::Log => 4,
        EventBody::Alert { counter } => {
            told = counter.as_ref().map(|it| (it.name().to_owned(), it.value().to_bits()));
            5
        }
    };
    let us = |at: &Timestamp| i128::from(at.as_micros());
    let lost = |it: &Lost| PlainLost {
        kind: it.kind.map_or(0, |kind| i32::from(kind.number())),
        count: it.count,
        first_at_us: it.first_at.as_ref().map(us),
        last_at_us: it.last_at.as_ref().map(us),
        reason: it.reason.map_or(0, |reason| i32::from(reason.number())),
    };
    Plain {
        kind,
        progress,
        promise_ms,
        counter: told,
        text: text.as_str().to_owned(),
        is_cut: text.is_truncated(),
        severity: *severity as i32 + 1,
        event_time_us: event_time.as_ref().map(us),
        uptime_ms: uptime.map(|it| it.as_millis()),
        spooled_at_us: spooled_at.as_ref().map(us),
        repeated: *repeated,
        lost: lost_before.iter().map(lost).collect(),
        alert_key: alert_key.as_deref().map(ToOwned::to_owned),
        found: crash_dump.as_deref().map(|found| PlainFound {
            path: found.path.to_string(),
            bytes: found.bytes,
            incomplete: found.is_incomplete,
            last_words: found.last_words.to_string(),
            took_ms: found.took.map_or(0, |it| it.as_millis()),
            written_at_us: found.written_at.as_ref().map(us),
        }),
        is_resolved: *is_resolved,
        boot: boot.map(|boot| boot.0),
        sequence: sequence.map(|it| it.get()),
    }
}

fn checked(bytes: &[u8]) -> Verdict {
    match decode::event(&Bytes::copy_from_slice(bytes)) {
        Ok(checked) => Verdict::Event(Box::new(plain(&checked))),
        Err(InvalidEvent::Unsupported) => Verdict::Unsupported,
        Err(InvalidEvent::Invalid(violations)) => {
            assert!(!violations.is_empty(), "what is wrong is named");
            Verdict::Invalid
        }
    }
}

fn compare(bytes: &[u8]) {
    match Event::decode(bytes) {
        Ok(sent) => assert_eq!(checked(bytes), expected(&sent, bytes)),
        Err(error) if error.to_string().contains("not UTF-8") => {
            let left = || RawEvent::decode(bytes).unwrap();
            match checked(bytes) {
                Verdict::Invalid => {}
                Verdict::Unsupported => assert_eq!(left().kind, None),
                Verdict::Event(plain) => {
                    // Another field took its place: what is left is compared.
                    let left = left().encode_to_vec();
                    let sent = Event::decode(&left[..]).expect("what is left is UTF-8");
                    assert_eq!(Verdict::Event(plain), expected(&sent, &left));
                }
            }
        }
        Err(error) => assert_eq!(checked(bytes), Verdict::Invalid, "{error}"),
    }
}

fn full(kind: Kind) -> Event {
    let lost = |kind, reason| LostEvents {
        kind,
        count: 17,
        first_at: Some(Time { seconds: 1_795_183_330, nanos: 1 }),
        last_at: Some(Time { seconds: 1_795_183_340, nanos: 999_999_999 }),
        reason,
    };
    let within = if matches!(kind, Kind::Maintenance(_)) { 1_500 } else { 0 };
    let found = FoundCrashDump {
        path: "/var/crash/202611301612/dump.202611301612".to_owned(),
        bytes: 22_300_000,
        incomplete: true,
        last_words: "Kernel panic - not syncing: NMI: Not continuing".to_owned(),
        took_ms: 1_500,
        written_at: Some(Time { seconds: 1_795_183_330, nanos: 1 }),
    };
    let crash_dump = matches!(kind, Kind::Alert(_)).then_some(found);
    let alert_key = if matches!(kind, Kind::Alert(_)) { "raid:md0" } else { "" }.to_owned();
    Event {
        kind: Some(kind),
        text: "Gr\u{f6}\u{df}e: disk 3 is slow".to_owned(),
        severity: 3,
        boot_id: "9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55".to_owned(),
        sequence: 7,
        event_time: Some(Time { seconds: 1_795_183_330, nanos: 345_678_901 }),
        uptime_ms: 1_500,
        spooled_at: Some(Time { seconds: -3, nanos: 5 }),
        repeated: true,
        next_report_within_ms: within,
        lost_before: vec![lost(4, 1), lost(0, 4), lost(77, 9)],
        alert_resolved: !alert_key.is_empty(),
        alert_key,
        crash_dump,
    }
}

/// Events of every kind with every field, without any, and at the edges of the rules.
fn seeds() -> Vec<Vec<u8>> {
    let counter = |name: &str, value| Some(Counter { name: name.to_owned(), value });
    let alert = |counter| Kind::Alert(Alert { counter });
    let found = |path, last_words| Some(FoundCrashDump { path, last_words, ..Default::default() });
    let kinds = [
        Kind::StartedOk(StartedOk {}),
        Kind::StartFailed(StartFailed {}),
        Kind::Maintenance(Maintenance { progress: Some(34) }),
        Kind::Maintenance(Maintenance { progress: Some(0) }),
        Kind::Maintenance(Maintenance { progress: None }),
        Kind::Log(Log {}),
        alert(None),
        alert(counter("n_db_xact_per_min", 46.5)),
        alert(counter("no name", 1.0)),
        alert(counter(&"n".repeat(129), f64::NEG_INFINITY)),
    ];
    let mut events: Vec<Event> = kinds.iter().cloned().map(full).collect();
    let bare = kinds.iter().map(|kind| Event { kind: Some(kind.clone()), ..Event::default() });
    events.extend(bare);
    let whole = full(Kind::Maintenance(Maintenance { progress: Some(100) }));
    let long = format!("{}\u{fc}", "x".repeat(4_095));
    let many = whole.lost_before.iter().cycle().cloned();
    events.extend([
        Event { text: long, ..whole.clone() },
        Event { text: "\u{fc}".repeat(32_768), ..whole.clone() },
        Event { lost_before: many.clone().take(16).collect(), ..whole.clone() },
        Event { lost_before: many.take(17).collect(), ..whole.clone() },
        Event { alert_key: "raid:md0".to_owned(), ..whole.clone() },
        Event { alert_key: "a b".to_owned(), ..full(alert(None)) },
        Event { alert_key: "x".repeat(121), ..full(alert(None)) },
        Event { crash_dump: Some(FoundCrashDump::default()), ..full(alert(None)) },
        Event { crash_dump: full(alert(None)).crash_dump, ..whole.clone() },
        Event { crash_dump: found("x".repeat(1_024), "\u{fc}".repeat(300)), ..full(alert(None)) },
        Event { crash_dump: found("x".repeat(1_025), String::new()), ..full(alert(None)) },
        Event { severity: 6, ..whole.clone() },
        Event { severity: -1, ..whole.clone() },
        Event { boot_id: Uuid::nil().to_string(), ..whole.clone() },
        Event { boot_id: "9a0c7c9e4b1e4f6e8a570d2b6c1f3e55".to_owned(), ..whole.clone() },
        Event { next_report_within_ms: 999, ..whole.clone() },
        Event { next_report_within_ms: 43_200_001, ..whole.clone() },
        Event { event_time: Some(Time { seconds: 253_402_300_799, nanos: 999 }), ..whole.clone() },
        Event {
            event_time: Some(Time { seconds: 253_402_300_799, nanos: 1_000 }),
            ..whole.clone()
        },
        Event { spooled_at: Some(Time { seconds: -62_135_596_801, nanos: 0 }), ..whole.clone() },
        Event { spooled_at: Some(Time { seconds: 1, nanos: -1 }), ..whole.clone() },
        Event { kind: None, ..whole },
    ]);
    let mut seeds: Vec<_> = events.iter().map(Event::encode_to_vec).collect();
    // Kinds to come, alone, in a group, and behind a kind that is known.
    seeds.extend([vec![6 << 3 | 2, 0], vec![6 << 3 | 3, 6 << 3 | 4], vec![10, 0, 15 << 3, 1]]);
    seeds
}

#[test]
fn any_bytes_are_decoded_as_the_contract_says() {
    let seeds = seeds();
    seeds.iter().for_each(|seed| compare(seed));
    fuzz("event", &seeds, |_, input| compare(input));
}
