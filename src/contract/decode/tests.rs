//! Tests decoding of events, field by field.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::contract::proto::event::Kind;

const BOOT: &str = "9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55";

fn log() -> proto::Event {
    let kind = Some(Kind::Log(proto::Log {}));
    proto::Event { kind, text: "SSL certificate loaded OK".into(), ..proto::Event::default() }
}

fn bytes(event: &proto::Event) -> Bytes {
    event.encode_to_vec().into()
}

fn invalid_fields(bytes: &Bytes) -> Vec<String> {
    match event(bytes) {
        Ok(checked) => panic!("is valid: {checked:?}"),
        Err(InvalidEvent::Unsupported) => panic!("is unsupported"),
        Err(InvalidEvent::Invalid(violations)) => {
            violations.into_iter().map(|it| it.field).collect()
        }
    }
}

#[test]
fn a_valid_event_is_decoded_field_by_field() {
    let sent = proto::Event {
        boot_id: BOOT.into(),
        sequence: 7,
        severity: proto::Severity::Warn.into(),
        uptime_ms: 1_500,
        event_time: Some(prost_types::Timestamp { seconds: 12, nanos: 345_678_901 }),
        ..log()
    };
    let checked = event(&bytes(&sent)).expect("is an event");
    assert_eq!(checked.boot_id.map(|boot| boot.to_string()).as_deref(), Some(BOOT));
    assert_eq!(checked.sequence.map(NonZeroU64::get), Some(7));
    assert_eq!(checked.event.severity, Severity::Warn);
    assert_eq!(checked.event.uptime, Some(Duration::from_millis(1_500)));
    assert_eq!(checked.event.event_time.map(Timestamp::as_micros), Some(12_345_678));
    assert_eq!(checked.event.text.as_str(), "SSL certificate loaded OK");
}

#[test]
fn every_invalid_field_is_named_at_once() {
    let sent = proto::Event {
        kind: Some(Kind::Maintenance(proto::Maintenance { progress: Some(101) })),
        severity: 6,
        boot_id: "yesterday".into(),
        next_report_within_ms: 999,
        event_time: Some(prost_types::Timestamp { seconds: 1, nanos: -1 }),
        spooled_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        lost_before: vec![proto::LostEvents::default()],
        ..proto::Event::default()
    };
    let mut fields = invalid_fields(&bytes(&sent));
    fields.sort();
    let expected = [
        "boot_id",
        "event_time",
        "lost_before[0].count",
        "maintenance.progress",
        "next_report_within_ms",
        "severity",
        "spooled_at",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn lost_events_have_their_reason_and_unknown_numbers_are_unspecified() {
    let lost = |kind, reason| proto::LostEvents { kind, count: 17, reason, ..Default::default() };
    let numbers = [1, 2, 3, 4, 5, -1];
    let lost_before = numbers.into_iter().map(|reason| lost(4, reason)).chain([lost(77, 0)]);
    let sent = proto::Event { lost_before: lost_before.collect(), ..log() };
    let lost = event(&bytes(&sent)).expect("is an event").event.dropped_before;
    let reasons: Vec<_> = lost.iter().map(|it| it.reason).collect();
    let known = DropReason::ALL.map(Some);
    assert_eq!(reasons, [&known[..], &[None, None, None]].concat());
    assert_eq!((lost[0].kind, lost[6].kind), (Some(EventKind::Log), None));
}

#[test]
fn progress_zero_is_invalid_and_no_progress_is_valid() {
    let with = |progress| proto::Event {
        kind: Some(Kind::Maintenance(proto::Maintenance { progress })),
        ..proto::Event::default()
    };
    assert_eq!(invalid_fields(&bytes(&with(Some(0)))), ["maintenance.progress"]);
    assert!(event(&bytes(&with(None))).is_ok());
}

#[test]
fn a_log_or_alert_without_text_is_invalid_unless_it_has_a_counter() {
    let bare = |kind| proto::Event { kind: Some(kind), ..proto::Event::default() };
    let counting = |name: &str, value| proto::Alert {
        counter: Some(proto::Counter { name: name.into(), value }),
    };
    assert_eq!(invalid_fields(&bytes(&bare(Kind::Log(proto::Log {})))), ["text"]);
    assert_eq!(invalid_fields(&bytes(&bare(Kind::Alert(proto::Alert::default())))), ["text"]);
    assert!(event(&bytes(&bare(Kind::Alert(counting("n_db_xact_per_min", 46.0))))).is_ok());
    assert_eq!(
        invalid_fields(&bytes(&bare(Kind::Alert(counting("", 1.0))))),
        ["alert.counter.name"],
        "an invalid counter does not make the text missing"
    );
    assert_eq!(
        invalid_fields(&bytes(&proto::Event {
            text: "t".into(),
            ..bare(Kind::Alert(counting("n", f64::NAN)))
        })),
        ["alert.counter.value"]
    );
}

#[test]
fn text_that_is_not_utf8_is_named_with_its_byte() {
    let sent = RawEvent {
        kind: Some(RawKind::Log(proto::Log {})),
        text: Bytes::from_static(b"caf\xe9"),
        ..RawEvent::default()
    };
    let Err(InvalidEvent::Invalid(violations)) = event(&sent.encode_to_vec().into()) else {
        panic!("is valid");
    };
    assert_eq!(violations, [violation("text", "is not UTF-8: byte 3 is invalid")]);
}

#[test]
fn a_reserved_kind_is_unsupported_and_no_kind_is_missing() {
    assert_eq!(event(&Bytes::from_static(&[6 << 3 | 2, 0])), Err(InvalidEvent::Unsupported));
    assert_eq!(invalid_fields(&Bytes::new()), ["kind"]);
}

#[test]
fn an_event_over_64_kib_is_invalid_as_a_whole() {
    let sent = proto::Event { text: "x".repeat(EVENT_BYTES_MAX), ..log() };
    assert_eq!(invalid_fields(&bytes(&sent)), ["event"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = event(&bytes.into());
    }

    #[test]
    fn a_damaged_event_does_not_make_it_panic(at in 0usize..200, flip in 1u8..) {
        let sent = proto::Event { boot_id: BOOT.into(), sequence: 3, ..log() };
        let mut bytes = sent.encode_to_vec();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let _ = event(&bytes.into());
    }
}
