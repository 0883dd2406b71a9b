//! A sound folder is reported sound; damage, unfinished commits and newer content are located.

use super::*;

fn findings(dir: &Path) -> Vec<String> {
    let report = check(dir, |_| {}).unwrap();
    report.findings.retained().iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_folder_is_reported_sound_and_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let opened = journal(&data);
    assert!(matches!(check(&data, |_| {}), Err(JournalError::BrokerRunning { .. })));
    opened.journal.close().unwrap();
    let before = content(&data);
    let report = check(&data, |_| {}).unwrap();
    assert!(content(&data) == before, "the folder was written");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.records, report.checkpoints), (Some(1..=1000), vec![600, 900]));
    assert!(report.sealed_segments >= 3 && report.commit_blocks > 0 && report.notes.is_empty());
}

#[test]
fn damage_is_reported_with_its_location() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let opened = journal(&data);
    let segment = opened.journal.log_truncation.archive.ranges();
    opened.journal.close().unwrap();
    let damage = |path: &Path, at: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let segment = data.join(format!("archive/span-{:020}", segment[0].start()));
    let pack = fs::read(segment.join("pack")).unwrap();
    let blocks: Vec<usize> =
        (0..pack.len() - 4).filter(|at| pack[*at..].starts_with(b"GRJB")).collect();
    blocks.iter().for_each(|at| damage(&segment.join("pack"), at + 70));
    let checkpoint = data.join("checkpoints/checkpoint-00000000000000000900");
    damage(&checkpoint, 65);
    let found = findings(&data);
    assert_eq!(found[0], {
        let why = "the checkpoint can't be loaded: the checksum of the payload is wrong";
        format!("{}: {why}", checkpoint.display())
    });
    assert!(found[1].starts_with(&format!("{}: it can't be read (", segment.display())));
    assert!(
        found[1].ends_with(
            "; some of its records are lost: `gridd journal salvage` recovers the others"
        )
    );
    assert!(found[2].starts_with("records 1 to "), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[test]
fn an_index_that_is_missing_damaged_or_of_another_pack_is_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let opened = journal(&data);
    let segments = opened.journal.log_truncation.archive.ranges();
    opened.journal.close().unwrap();
    let index = |at: usize| data.join(format!("archive/span-{:020}/index", segments[at].start()));
    let mut damaged = fs::read(index(0)).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(index(0), damaged).unwrap();
    fs::copy(index(2), index(1)).unwrap();
    fs::remove_file(index(2)).unwrap();
    let report = check(&data, |_| {}).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.notes.len(), 3, "{:?}", report.notes);
    for note in &report.notes {
        assert!(note.contains(": its index can't be used ("), "{note}");
        assert!(note.ends_with("); a scan finds all of it"), "{note}");
    }
}

#[test]
fn an_unfinished_commit_is_a_note_and_damage_before_a_finished_one_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut opened = Journal::open(&JournalSettings::new(&data)).unwrap();
    for number in 1..=3 {
        opened.journal.append(&[record(number)]).unwrap();
    }
    opened.journal.close().unwrap();
    let log = data.join("commits/00000000000000000001.log");
    let whole = fs::read(&log).unwrap();
    let blocks: Vec<usize> = (0..1000).filter(|at| whole[*at..].starts_with(b"GRJB")).collect();
    assert_eq!(blocks.len(), 3);
    let check_damaged = |block: usize| {
        let mut bytes = whole.clone();
        bytes[blocks[block] + 80] ^= 1;
        fs::write(&log, bytes).unwrap();
        let report = check(&data, |_| {}).unwrap();
        let found: Vec<_> = report.findings.retained().iter().map(ToString::to_string).collect();
        (report.notes, found)
    };
    let (path, at, bytes) = (log.display(), blocks[1], blocks[2] - blocks[1]);
    let damaged = format!(
        "{path}: damaged from byte {at} on, {bytes} bytes (the checksum of the payload is wrong)"
    );
    assert_eq!(check_damaged(1), (vec![], vec![damaged, "records 2 to 2 are missing".to_owned()]));
    let at = blocks[2];
    let note = format!(
        "{path}: from byte {at} on it contains an unfinished commit, which was not acknowledged"
    );
    assert_eq!(check_damaged(2), (vec![note], vec![]));
}

#[test]
fn what_a_newer_gridd_wrote_is_refused_with_a_message_at_each_level() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut opened = Journal::open(&JournalSettings::new(&data)).unwrap();
    let newer = crate::codec::proto::Record {
        number: 2,
        effects: vec![crate::codec::proto::Effect { change: None }],
        input: Some(crate::codec::proto::record::Input::BrokerPaused(Default::default())),
        ..Default::default()
    };
    let newer = prost::Message::encode_to_vec(&newer);
    let bytes = newer.into();
    opened.journal.append(&[record(1)]).unwrap();
    opened
        .journal
        .append(&[EncodedRecord { number: 2, header: RecordHeader::default(), bytes }])
        .unwrap();
    opened.journal.close().unwrap();
    let log = data.join("commits/00000000000000000001.log");
    let text = "an effect is unknown: written by a newer gridd, which must be used to read it";
    assert_eq!(findings(&data), [format!("{}: record 2: {text}", log.display())]);

    let mut bytes = fs::read(&log).unwrap();
    bytes[4] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(&log, bytes).unwrap();
    let text = "the block at byte 0 was written by a newer gridd: use that one";
    assert_eq!(findings(&data)[0], format!("{}: {text}", log.display()));
    let text = "the block at byte 0 was written by a newer gridd, this one knows format 1: start \
                the newer one";
    assert_eq!(
        Journal::open(&JournalSettings::new(&data)).unwrap_err().to_string(),
        format!("{}: {text}", log.display())
    );
    assert_eq!(
        salvage(&data, &[], &[], |_| {}, Vec::new()).unwrap_err().to_string(),
        format!("the block at byte 0 of {} was written by a newer gridd: salvage with that one", {
            log.display()
        })
    );

    let checkpoint = data.join("checkpoints/checkpoint-00000000000000000002");
    fs::copy(&log, &checkpoint).unwrap();
    assert_eq!(
        Journal::open(&JournalSettings::new(&data)).unwrap_err().to_string(),
        format!("{}: {text}", checkpoint.display())
    );

    let identity = data.join("identity");
    fs::write(&identity, "format = 2\n").unwrap();
    let text = format!(
        "{} has format 2, this gridd knows up to 1: start a newer gridd",
        identity.display()
    );
    assert_eq!(check(&data, |_| {}).unwrap_err().to_string(), text);
    assert_eq!(Journal::open(&JournalSettings::new(&data)).unwrap_err().to_string(), text);
    assert_eq!(salvage(&data, &[], &[], |_| {}, Vec::new()).unwrap_err().to_string(), text);
}
