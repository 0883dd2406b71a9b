//! Tests the guarantees of the spool, whatever happens to its files.

mod at_the_limits;

use std::sync::Barrier;

use prost::Message;
use tempfile::TempDir;

use super::*;
use crate::contract::proto::event::Kind;
use crate::contract::proto::{AckException, Alert, Log, Outcome, StartFailed, StartedOk};
use crate::tasks;

const BOOT: Uuid = Uuid::from_u128(7);

/// The offset of the version in a spool.
const HEAD_DIGIT: usize = 7;

fn with_events(events: usize) -> SpoolLimits {
    SpoolLimits { events, ..SpoolLimits::default() }
}

fn open(folder: &TempDir, limits: SpoolLimits) -> Spool {
    let sender = SenderId { appliance: "db1".to_owned(), boot: Some(BOOT) };
    Spool::open(&folder.path().join("vme"), limits, sender).unwrap()
}

fn folder() -> TempDir {
    TempDir::with_prefix("spool-").unwrap()
}

fn log(text: &str) -> Event {
    let event_time = Some(prost_types::Timestamp { seconds: 100, nanos: 0 });
    let kind = Some(Kind::Log(Log {}));
    Event { kind, text: text.to_owned(), event_time, ..Event::default() }
}

fn started_ok() -> Event {
    Event { kind: Some(Kind::StartedOk(StartedOk {})), ..Event::default() }
}

fn events(spool: &Spool) -> Vec<Event> {
    let waiting = spool.waiting().unwrap();
    waiting.iter().map(|it| Event::decode(it.event.clone()).unwrap()).collect()
}

fn texts(spool: &Spool) -> Vec<String> {
    events(spool).into_iter().map(|event| event.text).collect()
}

fn append(spool: &Spool, event: Event) -> EventKey {
    spool.append(vec![event], EntryState::Waiting).unwrap()[0]
}

fn acknowledge(spool: &Spool, keys: &[EventKey]) {
    spool.acknowledge(&keys.iter().copied().collect(), None, &[]).unwrap();
}

#[test]
fn appended_events_wait_in_order_until_acknowledged() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let first = append(&spool, log("a"));
    let second = append(&spool, log("b"));
    assert_eq!((first.spool_id, first.sequence + 1), (second.spool_id, second.sequence));
    let again = open(&folder, SpoolLimits::default());
    assert_eq!(texts(&again), ["a", "b"]);
    assert_eq!(events(&again)[1].sequence, second.sequence);
    acknowledge(&spool, &[first]);
    assert_eq!(texts(&again), ["b"]);
    assert_eq!(again.reserve_if_empty().unwrap(), None, "it would overtake");
    acknowledge(&again, &[second]);
    let third = spool.reserve_if_empty().unwrap().unwrap();
    assert_eq!(third.sequence, second.sequence + 1);
}

#[test]
fn concurrent_appends_have_distinct_numbers() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let together = std::sync::Arc::new(Barrier::new(20));
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let (spool, together) = (spool.clone(), std::sync::Arc::clone(&together));
            let appends = move || {
                together.wait();
                (0..5).map(|_| append(&spool, log(&number.to_string()))).collect::<Vec<_>>()
            };
            tasks::spawn_thread("vme", appends).unwrap()
        })
        .collect();
    let keys: BTreeSet<EventKey> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(keys.len(), 100);
    assert_eq!(spool.waiting().unwrap().len(), 100);
}

#[test]
fn an_event_of_one_call_is_appended_once() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let first = spool.append_once(vec![(log("a"), 77)], EntryState::Waiting).unwrap()[0];
    assert!(first.is_new);
    let again = AppendedEvent { is_new: false, ..first };
    let both =
        spool.append_once(vec![(log("a"), 77), (log("b"), 78)], EntryState::Waiting).unwrap();
    assert_eq!((both[0], texts(&spool)), (again, vec!["a".to_owned(), "b".to_owned()]));
    acknowledge(&spool, &[first.key]);
    let late = spool.append_once(vec![(log("a"), 77)], EntryState::Waiting).unwrap();
    assert_eq!((late[0], texts(&spool)), (again, vec!["b".to_owned()]), "answered by then");
}

#[test]
fn a_lost_or_old_number_file_never_repeats_a_number() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let path = folder.path().join("vme/numbers");
    append(&spool, log("a"));
    let old = std::fs::read(&path).unwrap();
    let kept = append(&spool, log("b"));
    std::fs::write(&path, old).unwrap();
    let next = append(&spool, log("c"));
    assert_eq!((next.spool_id, next.sequence), (kept.spool_id, kept.sequence + 1));
    std::fs::remove_file(&path).unwrap();
    let other = append(&spool, log("d"));
    assert_ne!(other.spool_id, kept.spool_id);
    assert_eq!(spool.sequence_status("db1").unwrap().spool_id, other.spool_id);
}

#[test]
fn attempts_are_recorded_and_acks_of_this_boot_are_counted() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let key = append(&spool, log("a"));
    assert_eq!(spool.waiting().unwrap()[0].state, EntryState::Waiting);
    spool.record_attempts(&BTreeSet::from([key])).unwrap();
    assert_eq!(spool.waiting().unwrap()[0].state, EntryState::Attempted);
    spool.acknowledge(&BTreeSet::from([key]), Some(key), &[]).unwrap();
    assert_eq!(spool.sequence_status("db1").unwrap().acked_through, key.sequence);
    assert_eq!(spool.sequence_status("db2").unwrap().acked_through, 0, "another appliance");
    let sender = SenderId { appliance: "db1".to_owned(), boot: Some(Uuid::from_u128(8)) };
    let next_boot = Spool::open(spool.folder(), SpoolLimits::default(), sender).unwrap();
    assert_eq!(next_boot.sequence_status("db1").unwrap().acked_through, 0);
}

#[test]
fn evicted_events_are_reported_by_the_next_event() {
    let folder = folder();
    let spool = open(&folder, with_events(3));
    append(&spool, started_ok());
    append(&spool, log("a"));
    append(&spool, log("b"));
    append(&spool, log("c"));
    append(&spool, log("d"));
    assert_eq!(texts(&spool), ["", "c", "d"]);
    let reported = &events(&spool)[2].lost_before;
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((reported[0].count, reported[0].kind(), reported[0].reason()), {
        (1, EventKind::Log, LostReason::SpoolFull)
    });
    append(&spool, log("e"));
    append(&spool, log("f"));
    let reported: Vec<u64> =
        events(&spool).iter().flat_map(|it| &it.lost_before).map(|lost| lost.count).collect();
    assert_eq!(
        reported.iter().sum::<u64>(),
        4,
        "losses of evicted events are passed on: {reported:?}"
    );
    assert_eq!(texts(&spool), ["", "e", "f"]);
}

#[test]
fn outcomes_of_starts_are_never_evicted() {
    let folder = folder();
    let spool = open(&folder, with_events(2));
    append(&spool, started_ok());
    append(&spool, Event { kind: Some(Kind::StartFailed(StartFailed {})), ..Event::default() });
    let full = spool.append(vec![log("a")], EntryState::Waiting).unwrap_err();
    assert_eq!(full.to_string(), "the spool is full (2 events), and none of them may be dropped");
    assert_eq!(spool.waiting().unwrap().len(), 2);
}

#[test]
fn a_batch_evicts_as_a_whole() {
    let folder = folder();
    let spool = open(&folder, with_events(3));
    for text in ["a", "b", "c"] {
        append(&spool, log(text));
    }
    spool.append(vec![log("d"), log("e")], EntryState::Waiting).unwrap();
    assert_eq!(texts(&spool), ["c", "d", "e"]);
    let lost: u64 = events(&spool).iter().flat_map(|it| &it.lost_before).map(|it| it.count).sum();
    assert_eq!(lost, 2);
    assert!(
        spool.append(vec![log("x"); 4], EntryState::Waiting).is_err(),
        "more than there is room for"
    );
    assert_eq!(texts(&spool), ["c", "d", "e"], "and then nothing is evicted");
}

#[test]
fn a_damaged_spool_keeps_readable_entries_and_reports_the_rest() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let path = folder.path().join("vme/spool");
    for text in ["a", "b", "c"] {
        append(&spool, log(text));
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(4).rposition(|window| window == b"GSPE").unwrap() - 3;
    bytes[at] ^= 0x55;
    std::fs::write(&path, &bytes).unwrap();
    append(&spool, log("d"));
    let all = events(&spool);
    let kept: Vec<&str> = all.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(kept[..2], ["a", "c"]);
    assert!(kept[2].starts_with("the spool of this appliance was damaged"), "{kept:?}");
    assert_eq!(kept[3], "d");
    let lost = &all[2].lost_before[0];
    assert_eq!((lost.count, lost.reason()), (1, LostReason::SpoolDamaged));
    assert_eq!(std::fs::read(folder.path().join("vme/spool.damaged")).unwrap(), bytes);
    assert_eq!(events(&spool).len(), 4, "reported once");
}

#[test]
fn an_earlier_number_is_inserted_before_later_ones() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let key = spool.reserve_if_empty().unwrap().unwrap();
    for text in ["b", "c"] {
        append(&spool, log(text));
    }
    spool.append_numbered(log("a"), key, EntryState::Waiting).unwrap();
    assert_eq!(texts(&spool), ["a", "b", "c"]);
    let waiting = spool.waiting().unwrap();
    assert_eq!((waiting[0].key, waiting[0].state), (key, EntryState::Waiting));
    assert!(waiting[0].key < waiting[1].key);
}

#[test]
fn acknowledged_entries_free_space_without_another_file() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits { events: 50, bytes: 4_096 });
    std::fs::create_dir(folder.path().join("vme/spool.new")).unwrap();
    for number in 0..40 {
        let key = append(&spool, log(&format!("{number} {}", "x".repeat(700))));
        acknowledge(&spool, &[key]);
        let bytes = std::fs::metadata(folder.path().join("vme/spool")).unwrap().len();
        assert!(bytes <= 8_192 + 1_000, "{bytes}");
    }
}

#[test]
fn a_damaged_digit_of_the_version_is_no_newer_vme() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    append(&spool, log("a"));
    let path = folder.path().join("vme/spool");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEAD_DIGIT] = b'3';
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(texts(&spool)[0], "a");
    std::fs::write(&path, b"GRIDSPL3").unwrap();
    append(&spool, log("b"));
    assert_eq!(texts(&spool).last().unwrap(), "b");
}

#[test]
fn a_file_that_is_no_spool_is_moved_aside() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    std::fs::write(folder.path().join("vme/spool"), b"\x7fELF what is this doing here").unwrap();
    append(&spool, log("a"));
    assert_eq!(texts(&spool).len(), 2);
    std::fs::write(folder.path().join("vme/spool"), b"GRIDSPL2 of the future").unwrap();
    let newer = spool.waiting().unwrap_err();
    assert!(newer.to_string().ends_with("spool was written by a newer vme"), "{newer}");
}

#[test]
fn taken_numbers_are_replaced_under_another_spool_id() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let (a, b) = (append(&spool, log("a")), append(&spool, log("b")));
    let renamed = spool.renumber(&BTreeSet::from([a])).unwrap();
    let (before, after) = renamed[0];
    assert!(before == a && after.spool_id != a.spool_id);
    assert_eq!(spool.renumbered_to(a), Some(after));
    assert_eq!((spool.renumbered_to(b), spool.stored_reply(a)), (None, None));
    assert_eq!(texts(&spool), ["b", "a"]);
    assert_eq!(events(&spool)[1].sequence, after.sequence);
    let next = append(&spool, log("c"));
    assert_eq!((next.spool_id, next.sequence), (after.spool_id, after.sequence + 1));
}

#[test]
fn a_quarantined_event_is_preserved_and_reported() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let key = append(&spool, Event { kind: Some(Kind::Alert(Alert::default())), ..log("poison") });
    append(&spool, log("b"));
    spool.quarantine(key, "it ended two sessions").unwrap();
    let all = events(&spool);
    assert_eq!(all[0].text, "b");
    assert!(all[1].text.contains("was quarantined"), "{}", all[1].text);
    let lost = &all[1].lost_before[0];
    assert_eq!((lost.kind(), lost.reason()), (EventKind::Alert, LostReason::SetAside));
    let aside = Bytes::from(std::fs::read(folder.path().join("vme/aside")).unwrap());
    assert_eq!(parse(&aside).entries[0].payload.sequence, key.sequence);
    spool.quarantine(key, "it ended two sessions").unwrap();
    assert_eq!(events(&spool).len(), 2, "once");
}

#[test]
fn recent_replies_are_found() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let refused = AckException { outcome: Outcome::Refused.into(), ..AckException::default() };
    let exception = |key| StoredReply::from_broker(key, refused.encode_to_vec().into());
    let keys: Vec<EventKey> = (0..300).map(|_| append(&spool, log("x"))).collect();
    for key in &keys {
        spool.acknowledge(&BTreeSet::from([*key]), None, &[exception(*key)]).unwrap();
    }
    assert_eq!(spool.stored_reply(keys[299]), Some(exception(keys[299])));
    assert_eq!(spool.stored_reply(keys[0]), None, "long ago");
}

#[test]
fn the_outcome_of_a_recent_event_is_visible() {
    let folder = folder();
    let spool = open(&folder, with_events(3));
    let refused = AckException { outcome: Outcome::Refused.into(), ..AckException::default() };
    let keys: Vec<EventKey> = ["a", "b", "c"].map(|text| append(&spool, log(text))).into();
    let exception = StoredReply::from_broker(keys[1], refused.encode_to_vec().into());
    spool.acknowledge(&keys[..2].iter().copied().collect(), None, &[exception]).unwrap();
    assert_eq!(spool.state(keys[0]).unwrap(), Some(EntryState::Stored));
    assert_eq!(spool.state(keys[1]).unwrap(), Some(EntryState::OtherReply));
    assert_eq!(spool.state(keys[2]).unwrap(), Some(EntryState::Waiting));
    for text in ["d", "e", "f"] {
        append(&spool, log(text));
    }
    assert_eq!(spool.state(keys[2]).unwrap(), Some(EntryState::Removed), "evicted");
    assert_eq!(spool.state(EventKey { spool_id: 1, sequence: 1 }).unwrap(), None);
}

#[test]
fn the_drainer_lock_is_released_only_when_nothing_waits() {
    let folder = folder();
    let spool = open(&folder, SpoolLimits::default());
    let key = append(&spool, log("a"));
    let lock = spool.try_lock_drainer().unwrap().unwrap();
    assert!(spool.try_lock_drainer().unwrap().is_none());
    let lock = spool.release_if_empty(lock).unwrap().expect("an event waits");
    acknowledge(&spool, &[key]);
    assert!(spool.release_if_empty(lock).unwrap().is_none());
    assert!(spool.try_lock_drainer().unwrap().is_some());
}
