//! Compares the lines of encoded records with those of the generated message.

use grid_broker::contract::proto::{
    AppliedSettings, Counter, Event, FoundCrashDump, LostEvents, TimeInText,
};
use proptest::prelude::*;

use super::*;

fn times() -> impl Strategy<Value = Option<prost_types::Timestamp>> {
    let seconds =
        prop_oneof![0..2_000_000_000_i64, -62_135_596_800..253_402_300_800_i64, any::<i64>()];
    let nanos = prop_oneof![Just(0), Just(500_000_000), 0..1_000_000_000_i32, any::<i32>()];
    let time =
        (seconds, nanos).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos });
    prop::option::of(time)
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,40}",
        Just(" padded, \"quoted\" ".to_owned()),
        any::<String>(),
        Just("\u{1b}[2J\u{202e}\u{7f}\n\\".to_owned()),
    ]
}

fn kinds() -> impl Strategy<Value = Option<Kind>> {
    // An encoded -0 is 0, so it is made none before.
    let counter =
        (texts(), any::<f64>()).prop_map(|(name, value)| Counter { name, value: value + 0.0 });
    prop_oneof![
        Just(None),
        Just(Some(Kind::StartedOk(StartedOk {}))),
        Just(Some(Kind::StartFailed(StartFailed {}))),
        Just(Some(Kind::Log(Log {}))),
        prop::option::of(any::<u32>())
            .prop_map(|progress| Some(Kind::Maintenance(Maintenance { progress }))),
        prop::option::weighted(0.2, counter)
            .prop_map(|counter| Some(Kind::Alert(Alert { counter }))),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let rare = prop::option::weighted(0.1, Just(()));
    let times = (times(), times());
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>(), -1..9_i32);
    (kinds(), texts(), texts(), texts(), times, numbers, rare).prop_map(
        |(kind, text, boot_id, alert_key, (event_time, spooled_at), numbers, rare)| {
            let (sequence, uptime_ms, next_report_within_ms, repeated, severity) = numbers;
            Event {
                kind,
                text,
                severity,
                boot_id,
                sequence,
                event_time,
                uptime_ms,
                spooled_at,
                repeated,
                next_report_within_ms,
                lost_before: rare
                    .map(|()| LostEvents { count: 3, ..LostEvents::default() })
                    .into_iter()
                    .collect(),
                alert_key,
                crash_dump: rare.map(|()| FoundCrashDump::default()),
                alert_resolved: rare.is_some(),
            }
        },
    )
}

prop_compose! {
    fn records()(
        number in any::<u64>(),
        received_at in times(),
        labels in (-1..20_i32, -1..9_i32, -1..9_i32, any::<i32>()),
        words in (texts(), texts(), texts(), texts(), texts(), texts()),
        event in prop::option::of(events()),
        flags in prop::collection::vec(texts(), 0..3),
        rare in prop::option::weighted(0.1, Just(())),
    ) -> Record {
        let (appliance, boot_id, text, reason, explanation, administrator) = words;
        let (kind, severity, state, outcome) = labels;
        let time = TimeInText { first: 0, length: 2, time: received_at };
        Record {
            number, received_at, kind, severity, appliance, boot_id, text, state,
            outcome: if outcome % 2 == 0 { outcome } else { outcome.rem_euclid(9) },
            reason, explanation, event, administrator, flags,
            settings: rare.map(|()| AppliedSettings::default()),
            text_times: vec![time],
            explanation_times: vec![time],
        }
    }
}

fn line(format: ExportFormat, bytes: &[u8]) -> (u64, String) {
    let mut out = b"before".to_vec();
    let number = LineWriter::new(format).push(bytes, &mut out).unwrap();
    (number, String::from_utf8(out).unwrap())
}

proptest! {
    #[test]
    fn a_line_is_that_of_the_generated_message(record in records()) {
        for format in [ExportFormat::Jsonl, ExportFormat::Csv] {
            let mut expected = b"before".to_vec();
            format.push(&record, &mut expected).unwrap();
            let (number, shown) = line(format, &record.encode_to_vec());
            prop_assert_eq!(number, record.number);
            prop_assert_eq!(&shown, &String::from_utf8(expected).unwrap());
            let whole = shown.strip_prefix("before").unwrap().strip_suffix('\n').unwrap();
            prop_assert_eq!(format.number_of(whole.as_bytes()), Some(number));
        }
    }

    #[test]
    fn arbitrary_bytes_are_a_record_or_an_error(bytes: Vec<u8>) {
        let mut writer = LineWriter::new(ExportFormat::Csv);
        let mut out = Vec::new();
        if writer.push(&bytes, &mut out).is_err() {
            prop_assert!(out.is_empty());
        }
    }
}

#[test]
fn what_is_frequent_is_not_decoded() {
    let event = |kind| Event { kind: Some(kind), text: "é\n".to_owned(), ..Event::default() };
    let mut tried = 0;
    for kind in [
        Kind::StartedOk(StartedOk {}),
        Kind::StartFailed(StartFailed {}),
        Kind::Maintenance(Maintenance { progress: Some(34) }),
        Kind::Log(Log {}),
        Kind::Alert(Alert { counter: None }),
    ] {
        let record = Record {
            number: 7,
            event: Some(event(kind)),
            flags: vec!["replayed".to_owned()],
            ..Record::default()
        };
        let bytes = record.encode_to_vec();
        let raw = RawRecord::parse(&bytes).expect("it is read as it is");
        let mut out = Vec::new();
        LineWriter::new(ExportFormat::Jsonl).push_raw(&raw, &mut out).expect("it is formatted");
        assert!(!out.is_empty());
        tried += 1;
    }
    assert_eq!(tried, 5);
}
