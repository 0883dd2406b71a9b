//! What happens to the journal is recorded, and open until it is over.

use super::super::effect::{Effect, Matter};
use super::super::record::{BrokerStarted, Input, LastRun};
use super::super::storage::Storage;
use super::driver::*;
use crate::grid::event::Severity;

fn started(missing: Vec<std::ops::RangeInclusive<u64>>) -> Input {
    Input::BrokerStarted(BrokerStarted {
        term: 2,
        version: "0.1.0".into(),
        away: None,
        shift: None,
        clock_back: None,
        last_run: LastRun::Unknown,
        recovery: Vec::new(),
        missing,
        rebuilt_from: None,
    })
}

fn open(story: &Timeline, matter: Matter) -> Option<(Severity, String)> {
    let alert = story.grid().state().alert(None, matter)?;
    Some((alert.severity, alert.text.to_string()))
}

#[test]
fn missing_records_at_a_start_are_a_fatal_alert_until_a_start_misses_none() {
    let mut story = Timeline::new();
    story.take(started(vec![3..=9, 12..=12]));
    let text = "records 3 to 9, 12 to 12 are missing";
    assert_eq!(open(&story, Matter::RecordsMissing), Some((Severity::Fatal, text.to_owned())));
    assert!(story.words().ends_with(text));
    let since = story.grid().state().alert(None, Matter::RecordsMissing).expect("open").since;
    story.at(50).take(started(vec![12..=12]));
    let open_alert = story.grid().state().alert(None, Matter::RecordsMissing).expect("open");
    assert_eq!((&*open_alert.text, open_alert.since), ("records 12 to 12 are missing", since));
    story.take(started(Vec::new()));
    assert_eq!(open(&story, Matter::RecordsMissing), None);
}

#[test]
fn records_found_missing_while_running_come_to_those_that_are_known() {
    let mut story = Timeline::new();
    story.take(Input::Storage(Storage::Missing { ranges: vec![3..=9] }));
    assert_eq!(story.words(), "records 3 to 9 are missing");
    story.take(Input::Storage(Storage::Missing { ranges: vec![20..=21] }));
    let text = "records 3 to 9 are missing; records 20 to 21 are missing";
    assert_eq!(open(&story, Matter::RecordsMissing), Some((Severity::Fatal, text.to_owned())));
    for _ in 0..100 {
        story.take(Input::Storage(Storage::Missing { ranges: vec![20..=21] }));
    }
    let (_, text) = open(&story, Matter::RecordsMissing).expect("open");
    assert!(text.len() <= 1_000, "{text}");
}

#[test]
fn a_full_disk_is_an_alert_from_one_record_to_another() {
    let mut story = Timeline::new();
    story.take(Input::Storage(Storage::Low { free: 200 << 20, mark: 288 << 20 }));
    let text = "the disk is nearly full: 200 MiB free, 288 MiB needed (disk_low_water and a \
                reserve); events and orders are refused until there is room";
    assert_eq!(open(&story, Matter::DiskLow), Some((Severity::Error, text.to_owned())));
    story.take(Input::Storage(Storage::Enough { free: 1 << 30 }));
    let cleared = Effect::AlertCleared { number: None, matter: Matter::DiskLow };
    assert_eq!(story.last().effects, [cleared]);
    assert_eq!(story.words(), "the disk has room again: 1 GiB free");
}

#[test]
fn what_the_system_does_not_grant_is_an_alert_from_one_record_to_another() {
    let mut story = Timeline::new();
    let what = "can't create commits/7.log: Too many open files (os error 24); it is tried again";
    story.take(Input::Storage(Storage::Short { what: what.into() }));
    assert_eq!(open(&story, Matter::ResourcesShort), Some((Severity::Error, what.to_owned())));
    assert_eq!(story.words(), what);
    story.take(Input::Storage(Storage::NotShort));
    let cleared = Effect::AlertCleared { number: None, matter: Matter::ResourcesShort };
    assert_eq!(story.last().effects, [cleared]);
    assert_eq!(story.words(), "the system grants what is needed again");
}
