//! Tests the messages of a load test against the contract, and whom it refuses.

use std::collections::BTreeSet;

use prost::Message as _;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_request::Message;
use grid_broker::contract::proto::{Event, SessionRequest};

use super::payload::{EventStamp, EventWriter};
use super::*;

fn stamp(sequence: u64) -> EventStamp {
    EventStamp { sequence, time: Duration::from_micros(1_795_183_330_123_456) }
}

#[test]
fn events_are_those_of_the_contract_and_every_text_is_different() {
    let mut texts = BTreeSet::new();
    for sender in 1..=3 {
        let mut writer = EventWriter::new(sender, 150);
        for sequence in (1..=300).chain([1 << 14, 1 << 35]) {
            let event = Event::decode(writer.event(LoadKind::Log, stamp(sequence))).unwrap();
            assert!(matches!(event.kind, Some(Kind::Log(_))));
            assert_eq!((event.sequence, event.text.len()), (sequence, 150));
            let time = event.event_time.unwrap();
            assert_eq!((time.seconds, time.nanos), (1_795_183_330, 123_456_000));
            assert!(event.uptime_ms > 0);
            assert!(texts.insert(event.text));
        }
    }
    assert_eq!(texts.len(), 3 * 302);
}

#[test]
fn alerts_have_a_counter_and_progress_does_not_fall() {
    let mut writer = EventWriter::new(7, 60);
    let alert = Event::decode(writer.event(LoadKind::Alert, stamp(41))).unwrap();
    let Some(Kind::Alert(alert)) = alert.kind else { panic!("{alert:?}") };
    let counter = alert.counter.unwrap();
    assert_eq!((counter.name.as_str(), counter.value), ("bench.load", 41.0));
    let mut before = 0;
    for sequence in 1..700 {
        let event = Event::decode(writer.event(LoadKind::Maintenance, stamp(sequence))).unwrap();
        let Some(Kind::Maintenance(report)) = event.kind else { panic!("{event:?}") };
        let progress = report.progress.unwrap();
        assert!((1..=100).contains(&progress) && progress >= before, "{sequence}: {progress}");
        before = progress;
    }
}

#[test]
fn messages_have_the_prefix_of_grpc() {
    let mut written = Vec::new();
    let mut writer = EventWriter::new(7, 4_000);
    for sequence in [1, 2] {
        writer.write_message(&mut written, (LoadKind::Log, stamp(sequence)));
    }
    let mut rest = &written[..];
    for sequence in [1, 2] {
        let (prefix, after) = rest.split_at(5);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        assert_eq!(prefix[0], 0);
        let (message, after) = after.split_at(length);
        let request = SessionRequest::decode(message).unwrap();
        let Some(Message::Event(event)) = request.message else { panic!("{request:?}") };
        assert_eq!(event.sequence, sequence);
        rest = after;
    }
    assert!(rest.is_empty());
}

#[test]
fn only_a_marked_broker_without_credentials_is_loaded() {
    let refused = |benchmark, trust: &str| {
        let status = GetStatusResponse { benchmark, trust: trust.to_owned(), ..Default::default() };
        refuse_unmarked("127.0.0.1:7443", &status).err()
    };
    assert!(refused(true, TRUSTS_EVERYBODY).is_none());
    let error = refused(false, TRUSTS_EVERYBODY).unwrap();
    assert_eq!(error.exit_code(), ExitCode::Refused);
    assert!(error.to_string().contains("`benchmark = true`"), "{error}");
    let error = refused(true, "certificates and tokens").unwrap();
    assert!(error.to_string().contains("`authentication = \"off\"`"), "{error}");
    assert!(matches!(error, BenchError::NeedsCredentials { .. }));
}

#[test]
fn only_events_with_a_record_count_as_stored() {
    let mut counts = session::LoadCounts { acknowledged: 10, ..Default::default() };
    counts.exceptions.insert(Outcome::Suppressed.into(), 3);
    counts.exceptions.insert(Outcome::Refused.into(), 2);
    let status = GetStatusResponse::default();
    let statuses = (&status, &status, &status);
    let figures =
        BenchFigures::new(&counts, Duration::from_secs(2), statuses, StoredCheck::default());
    assert_eq!(figures.acknowledged_stored, 7);
}
