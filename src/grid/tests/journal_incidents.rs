//! Tests that incidents of the journal are recorded, with an alert until they are over.

use super::driver::*;
use crate::grid::log::effect::Effect;
use crate::grid::log::input::{BrokerStarted, Input, LastRun};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::model::finding::FindingKind;
use crate::grid::values::event::Severity;

fn started(missing: Vec<std::ops::RangeInclusive<u64>>) -> Input {
    Input::BrokerStarted(BrokerStarted {
        term: 2,
        version: "0.1.0".into(),
        downtime: None,
        shift: None,
        clock_back: None,
        last_run: LastRun::Unknown,
        recovery: Vec::new(),
        missing_records: missing,
        rebuilt_from: None,
    })
}

fn open(timeline: &Timeline, kind: FindingKind) -> Option<(Severity, String)> {
    let alert = timeline.grid().state().finding(None, kind)?;
    Some((alert.severity, alert.text.to_string()))
}

#[test]
fn missing_records_at_a_start_are_a_fatal_alert_until_a_start_misses_none() {
    let mut timeline = Timeline::new();
    timeline.handle(started(vec![3..=9, 12..=12]));
    let text = "records 3 to 9, 12 to 12 are missing";
    assert_eq!(
        open(&timeline, FindingKind::RecordsMissing),
        Some((Severity::Fatal, text.to_owned()))
    );
    assert!(timeline.description().ends_with(text));
    let since =
        timeline.grid().state().finding(None, FindingKind::RecordsMissing).expect("open").since;
    timeline.at(50).handle(started(vec![12..=12]));
    let open_alert =
        timeline.grid().state().finding(None, FindingKind::RecordsMissing).expect("open");
    assert_eq!((&*open_alert.text, open_alert.since), ("records 12 to 12 are missing", since));
    timeline.handle(started(Vec::new()));
    assert_eq!(open(&timeline, FindingKind::RecordsMissing), None);
}

#[test]
fn gaps_found_while_running_are_added_to_the_known_ones() {
    let mut timeline = Timeline::new();
    timeline.handle(Input::Journal(JournalIncident::Missing { ranges: vec![3..=9] }));
    assert_eq!(timeline.description(), "records 3 to 9 are missing");
    timeline.handle(Input::Journal(JournalIncident::Missing { ranges: vec![20..=21] }));
    let text = "records 3 to 9 are missing; records 20 to 21 are missing";
    assert_eq!(
        open(&timeline, FindingKind::RecordsMissing),
        Some((Severity::Fatal, text.to_owned()))
    );
    for _ in 0..100 {
        timeline.handle(Input::Journal(JournalIncident::Missing { ranges: vec![20..=21] }));
    }
    let (_, text) = open(&timeline, FindingKind::RecordsMissing).expect("open");
    assert!(text.len() <= 1_000, "{text}");
}

#[test]
fn a_full_disk_is_an_alert_from_one_record_to_another() {
    let mut timeline = Timeline::new();
    timeline
        .handle(Input::Journal(JournalIncident::DiskLow { free: 200 << 20, threshold: 288 << 20 }));
    let text = "the disk is nearly full: 200 MiB free, 288 MiB needed (disk_low_water and a \
                reserve); events and commands are rejected until there is room";
    assert_eq!(open(&timeline, FindingKind::DiskLow), Some((Severity::Error, text.to_owned())));
    timeline.handle(Input::Journal(JournalIncident::DiskRecovered { free: 1 << 30 }));
    let cleared = Effect::FindingCleared { number: None, kind: FindingKind::DiskLow };
    assert!(timeline.last().effects.contains(&cleared));
    assert_eq!(timeline.description(), "the disk has room again: 1 GiB free");
}

#[test]
fn what_the_system_does_not_grant_is_an_alert_from_one_record_to_another() {
    let mut timeline = Timeline::new();
    let what = "can't create commits/7.log: Too many open files (os error 24); it is tried again";
    timeline.handle(Input::Journal(JournalIncident::ResourcesShort { message: what.into() }));
    assert_eq!(
        open(&timeline, FindingKind::ResourcesShort),
        Some((Severity::Error, what.to_owned()))
    );
    assert_eq!(timeline.description(), what);
    timeline.handle(Input::Journal(JournalIncident::ResourcesRecovered));
    let cleared = Effect::FindingCleared { number: None, kind: FindingKind::ResourcesShort };
    assert!(timeline.last().effects.contains(&cleared));
    assert_eq!(timeline.description(), "the system has enough resources again");
}
