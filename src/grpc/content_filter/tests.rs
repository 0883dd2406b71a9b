//! A search in bytes finds what matching each decoded record finds.

use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::contract::proto::RecordFilter;
use crate::grid::log::effect::Effect;
use crate::grid::log::input::{Input, ReceivedEvent};
use crate::grid::log::record::Record;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::values::event::{
    BoundedText, Counter, DropReason, DroppedEvents, Event, EventBody, EventKind, Severity,
};
use crate::grid::values::id::{ApplianceName, BootId};
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;
use crate::grpc::filter::RecordMatcher;
use crate::journal::RecordHeader;

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(1_795_185_000 + seconds))
}

fn texts() -> impl Strategy<Value = String> {
    let words = ["disk", "DISK", "\u{212a}ernel", "İd", "ΟΔΟΣ", "straße", "n = 3", "lost", "db1"];
    let words = prop::collection::vec(prop::sample::select(words.to_vec()), 0..4);
    prop_oneof![3 => words.prop_map(|it| it.join(" ")), 1 => "\\PC{0,12}"]
}

/// What can be in an explanation, or be searched for as a text.
fn needles() -> impl Strategy<Value = String> {
    let fixed = [
        "disk",
        "k",
        "K",
        "i",
        "kernel",
        "οδοσ",
        "ΟΔΟΣ",
        "ς",
        "STRASSE",
        "straße",
        "n = 3",
        "n",
        "occurred at",
        "appliance clock",
        "lost 2",
        "of db1",
        "2026-",
        "spool full",
        "recorded",
        "registered",
        "stopped cleanly",
        "rate limit",
        "of another boot",
        "İ",
        "i\u{307}d",
        "raised",
    ];
    prop_oneof![
        4 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => "[a-zA-Z ]{1,3}",
        1 => "\\PC{1,2}",
    ]
}

fn bodies() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        6 => Just(EventBody::Log),
        1 => Just(EventBody::StartedOk),
        1 => Just(EventBody::Maintenance { progress: None, next_report_within: None }),
        1 => Just(EventBody::Alert { counter: None }),
        1 => Just(EventBody::Alert { counter: Counter::new("n", 3.0) }),
    ]
}

fn lost() -> impl Strategy<Value = Vec<DroppedEvents>> {
    let one = DroppedEvents {
        kind: Some(EventKind::Log),
        count: 2,
        first_at: Some(at(1)),
        last_at: None,
        reason: Some(DropReason::SpoolFull),
    };
    prop_oneof![5 => Just(Vec::new()), 1 => Just(vec![one])]
}

fn events() -> impl Strategy<Value = Input> {
    let times = prop::option::of((0..90_u64).prop_map(at));
    let boots =
        prop::option::of((0..3_u128).prop_map(|n| BootId(Uuid::from_u128(n << 120 | 0x5eed))));
    (bodies(), texts(), times, lost(), boots).prop_map(|(body, text, event_time, dropped, boot)| {
        let event = Event {
            body,
            text: BoundedText::new(&text),
            severity: Severity::Info,
            event_time,
            uptime: None,
            spooled_at: None,
            is_repeated: false,
            dropped_before: dropped,
            group_key: None,
            is_resolved: false,
            crash_dump: None,
        };
        let (appliance, session) = (ApplianceIndex(1), None);
        let (spool, sequence) = (None, None);
        Input::Event(ReceivedEvent { appliance, boot, spool, sequence, session, event }.into())
    })
}

fn inputs() -> impl Strategy<Value = Input> {
    let name = ApplianceName::new("db1").expect("a name");
    let registered = Input::Registered { name, uuid: Uuid::from_u128(7) };
    prop_oneof![6 => events(), 1 => Just(registered), 1 => Just(Input::BrokerStopped)]
}

fn effects() -> impl Strategy<Value = Vec<Effect>> {
    let finding =
        Finding { severity: Severity::Warn, since: at(1), text: "raised for disk".into() };
    let raised = Effect::FindingRaised { number: None, kind: FindingKind::DiskLow, finding };
    prop_oneof![5 => Just(Vec::new()), 1 => Just(vec![raised])]
}

fn records() -> impl Strategy<Value = Record> {
    let outcomes = [
        Outcome::Stored,
        Outcome::Stored,
        Outcome::Stored,
        Outcome::OlderBoot,
        Outcome::Suppressed,
        Outcome::Rejected(EventRejection::Removed),
    ];
    let flags = prop::sample::select(vec![0_u32, 0, 0, 1, 2, 4, 8, 512, 5]);
    (inputs(), prop::sample::select(outcomes.to_vec()), flags, effects()).prop_map(
        |(input, outcome, flags, effects)| {
            let flags = RecordFlags::from_bits(flags);
            Record { number: 7, at: at(60), input, outcome, flags, effects }
        },
    )
}

/// The records as a payload, with other bytes between them, and where they are.
fn payload(records: &[Record]) -> (Vec<u8>, Vec<RecordSlice>) {
    let (mut payload, mut slices) = (Vec::new(), Vec::new());
    for (record, number) in records.iter().zip(1..) {
        payload.extend_from_slice(b"\xc4disk");
        let start = payload.len();
        codec::RecordBytes::new(record).write_into(&mut payload);
        let range = start..payload.len();
        let header = RecordHeader { kind: record.kind().number(), ..RecordHeader::default() };
        slices.push(RecordSlice { number, header, range });
    }
    (payload, slices)
}

proptest! {
    #[test]
    fn the_bytes_match_as_the_decoded_records_do(
        records in prop::collection::vec(records(), 1..20),
        needle in needles(),
        boot in prop::sample::select(vec!["", "", "", "0100", "0200000", "0000-", "00000000-0000-4"]),
        has_text in prop::bool::weighted(0.9),
    ) {
        let names = NameIndex::default();
        let text = if has_text { needle } else { String::new() };
        let filter =
            RecordFilter { text, boot_id: boot.to_owned(), ..RecordFilter::default() };
        let matcher = RecordMatcher::new(Some(filter)).unwrap();
        let (payload, mut slices) = payload(&records);
        let expected: Vec<u64> = records
            .iter()
            .zip(1..)
            .filter(|(record, _)| matcher.matches(&encode::record(record, |n| names.name(n))))
            .map(|(_, number)| number)
            .collect();
        if let Some(content) = matcher.content_filter(&names) {
            content.retain(&payload, &mut slices, &mut Vec::new());
        }
        let found: Vec<u64> = slices.iter().map(|slice| slice.number).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_plain_event_is_not_decoded_and_a_damaged_one_is_reported() {
    let names = NameIndex::default();
    let content = TextAndBoot::new("disk", "", &names).unwrap();
    let slice = |range| RecordSlice { number: 1, header: Default::default(), range };
    let mut records = vec![slice(0..4), slice(4..6)];
    content.retain(b"DiSk\x08\x01", &mut records, &mut Vec::new());
    // Neither is a record: both could match, so both are left to whoever decodes them.
    assert_eq!(records.len(), 2);
    assert!(TextAndBoot::new("", "", &names).is_none());
}
