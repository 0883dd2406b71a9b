//! A spool that was damaged in any way gives what is whole, believes nothing that was never written,
//! and takes the next event.

use std::fs;

use bytes::Bytes;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Alert, Event, Log, Maintenance, StartFailed, StartedOk};
use grid_broker::spool::{EntryPayload, EntryState, SenderId, Spool, SpoolLimits, parse};
use tempfile::TempDir;

use crate::fuzz;

/// The whole spool is tried with its files at the first input, and then every so many.
const WHOLE_EVERY: u64 = 16;

fn events(count: u64) -> Vec<Event> {
    let kinds = [
        Kind::Log(Log {}),
        Kind::StartedOk(StartedOk {}),
        Kind::Maintenance(Maintenance { progress: Some(34) }),
        Kind::Alert(Alert { counter: None }),
        Kind::StartFailed(StartFailed {}),
    ];
    let kinds = kinds.into_iter().cycle();
    kinds
        .zip(0..count)
        .map(|(kind, number)| {
            let text = format!("event {number} GSPE GRIDSPL1");
            Event { kind: Some(kind), text, ..Event::default() }
        })
        .collect()
}

fn open(folder: &TempDir) -> Spool {
    let teller = SenderId { appliance: "db1".to_owned(), boot: None };
    Spool::open(folder.path(), SpoolLimits::default(), teller).unwrap()
}

/// The file of a spool with so many events, some of them sent, some answered.
fn seed(count: u64) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder);
    let keys = spool.append(events(count), EntryState::Waiting).unwrap();
    spool.record_attempts(&keys.iter().copied().step_by(2).collect()).unwrap();
    spool.acknowledge(&keys.iter().copied().step_by(3).collect(), None, &[]).unwrap();
    fs::read(folder.path().join("spool")).unwrap()
}

#[test]
fn a_damaged_spool_gives_what_is_whole_and_takes_the_next_event() {
    let seeds = [seed(1), seed(5), seed(40)];
    let written: Vec<EntryPayload> = seeds
        .iter()
        .flat_map(|seed| parse(&Bytes::copy_from_slice(seed)).entries)
        .map(|entry| entry.payload)
        .collect();
    assert!(written.len() > 40, "the seeds hold events");
    let folder = TempDir::new().unwrap();
    let count = std::cell::Cell::new(0_u64);
    fuzz("spool", &seeds, |whole, input| {
        let image = parse(&Bytes::copy_from_slice(input));
        for entry in &image.entries {
            assert!(written.contains(&entry.payload), "never written: {:?}", entry.payload);
        }
        if input == whole {
            assert_eq!(image.damaged, 0);
        }
        let number = count.replace(count.get() + 1);
        if !number.is_multiple_of(WHOLE_EVERY) {
            return;
        }
        // A future version's spool is not touched, and that is right.
        if input.starts_with(b"GRIDSPL") && input.get(7) != Some(&b'1') {
            return;
        }
        fs::write(folder.path().join("spool"), input).unwrap();
        let spool = open(&folder);
        let alive = image.entries.iter().filter(|entry| !entry.state.is_finished()).count();
        let told = usize::from(image.damaged > 0);
        assert_eq!(spool.waiting().unwrap().len(), alive + told);
        let key = spool.append(events(1), EntryState::Waiting).unwrap()[0];
        let waiting = open(&folder).waiting().unwrap();
        assert_eq!(waiting.last().map(|it| it.key), Some(key));
        assert_eq!(waiting.len(), alive + told + 1);
    });
}
