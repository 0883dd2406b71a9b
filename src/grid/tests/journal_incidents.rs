//! What happens to the journal is recorded, and open until it is over.

use super::driver::*;
use crate::grid::log::effect::{AlertKind, Effect};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::log::record::{BrokerStarted, Input, LastRun};
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

fn open(story: &Timeline, matter: AlertKind) -> Option<(Severity, String)> {
    let alert = story.grid().state().alert(None, matter)?;
    Some((alert.severity, alert.text.to_string()))
}

#[test]
fn missing_records_at_a_start_are_a_fatal_alert_until_a_start_misses_none() {
    let mut story = Timeline::new();
    story.handle(started(vec![3..=9, 12..=12]));
    let text = "records 3 to 9, 12 to 12 are missing";
    assert_eq!(open(&story, AlertKind::RecordsMissing), Some((Severity::Fatal, text.to_owned())));
    assert!(story.description().ends_with(text));
    let since = story.grid().state().alert(None, AlertKind::RecordsMissing).expect("open").since;
    story.at(50).handle(started(vec![12..=12]));
    let open_alert = story.grid().state().alert(None, AlertKind::RecordsMissing).expect("open");
    assert_eq!((&*open_alert.text, open_alert.since), ("records 12 to 12 are missing", since));
    story.handle(started(Vec::new()));
    assert_eq!(open(&story, AlertKind::RecordsMissing), None);
}

#[test]
fn records_found_missing_while_running_come_to_those_that_are_known() {
    let mut story = Timeline::new();
    story.handle(Input::Journal(JournalIncident::Missing { ranges: vec![3..=9] }));
    assert_eq!(story.description(), "records 3 to 9 are missing");
    story.handle(Input::Journal(JournalIncident::Missing { ranges: vec![20..=21] }));
    let text = "records 3 to 9 are missing; records 20 to 21 are missing";
    assert_eq!(open(&story, AlertKind::RecordsMissing), Some((Severity::Fatal, text.to_owned())));
    for _ in 0..100 {
        story.handle(Input::Journal(JournalIncident::Missing { ranges: vec![20..=21] }));
    }
    let (_, text) = open(&story, AlertKind::RecordsMissing).expect("open");
    assert!(text.len() <= 1_000, "{text}");
}

#[test]
fn a_full_disk_is_an_alert_from_one_record_to_another() {
    let mut story = Timeline::new();
    story
        .handle(Input::Journal(JournalIncident::DiskLow { free: 200 << 20, threshold: 288 << 20 }));
    let text = "the disk is nearly full: 200 MiB free, 288 MiB needed (disk_low_water and a \
                reserve); events and orders are refused until there is room";
    assert_eq!(open(&story, AlertKind::DiskLow), Some((Severity::Error, text.to_owned())));
    story.handle(Input::Journal(JournalIncident::DiskRecovered { free: 1 << 30 }));
    let cleared = Effect::AlertCleared { number: None, kind: AlertKind::DiskLow };
    assert_eq!(story.last().effects, [cleared]);
    assert_eq!(story.description(), "the disk has room again: 1 GiB free");
}

#[test]
fn what_the_system_does_not_grant_is_an_alert_from_one_record_to_another() {
    let mut story = Timeline::new();
    let what = "can't create commits/7.log: Too many open files (os error 24); it is tried again";
    story.handle(Input::Journal(JournalIncident::ResourcesShort { message: what.into() }));
    assert_eq!(open(&story, AlertKind::ResourcesShort), Some((Severity::Error, what.to_owned())));
    assert_eq!(story.description(), what);
    story.handle(Input::Journal(JournalIncident::ResourcesRecovered));
    let cleared = Effect::AlertCleared { number: None, kind: AlertKind::ResourcesShort };
    assert_eq!(story.last().effects, [cleared]);
    assert_eq!(story.description(), "the system grants what is needed again");
}
