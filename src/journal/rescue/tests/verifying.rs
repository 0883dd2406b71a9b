//! A backup that verifies is restored completely; otherwise everything that a restore would lose is
//! reported, and nothing is written.

use super::*;

fn verified(dir: &Path, stream: &[u8]) -> Verified {
    let file = dir.join("backup");
    fs::write(&file, stream).unwrap();
    let before = content(dir);
    let found = verify(&file, |_| {}).unwrap();
    assert!(content(dir) == before, "something was written");
    found
}

fn defects(found: &Verified) -> Vec<String> {
    found.defects.retained().iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_backup_is_reported_whole_with_its_records_and_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let opened = journal(&dir.path().join("data"));
    let stream = backup(&opened);
    opened.journal.close().unwrap();
    let found = verified(dir.path(), &stream);
    assert!(found.is_intact(), "{found:?}");
    assert_eq!((found.summary.records, found.checkpoint), (1000, Some(900)));
    assert_eq!(found.summary.range, Some(1..=1000));
}

#[test]
fn one_flipped_bit_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let opened = journal(&dir.path().join("data"));
    let whole = backup(&opened);
    opened.journal.close().unwrap();
    for part in 0..40 {
        let at = part * (whole.len() - 1) / 39;
        let mut stream = whole.clone();
        stream[at] ^= 1;
        let file = dir.path().join("backup");
        fs::write(&file, &stream).unwrap();
        let found = verify(&file, |_| {});
        assert!(
            found.is_ok_and(|found| !found.is_intact()),
            "a bit of byte {at} of {}",
            whole.len()
        );
    }
}

#[test]
fn truncated_files_and_files_that_are_no_backup_are_reported_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let opened = journal(&dir.path().join("data"));
    let whole = backup(&opened);
    opened.journal.close().unwrap();
    let found = verified(dir.path(), &whole[..whole.len() * 3 / 4]);
    let named = defects(&found);
    assert!(named.iter().any(|it| it.starts_with("truncated: the end is missing")), "{named:?}");
    assert!(!found.summary.missing.is_empty(), "{found:?}");
    let other = dir.path().join("other");
    fs::write(&other, b"no backup at all").unwrap();
    assert!(verify(&other, |_| {}).unwrap_err().to_string().starts_with("this is no stream"));
    let nowhere = verify(&dir.path().join("nowhere"), |_| {}).unwrap_err();
    assert!(matches!(nowhere, VerifyError::Open(_)));
    assert_eq!(nowhere.to_string(), "cannot open it: No such file or directory (os error 2)");
}

/// By checksums alone, this one would be whole.
#[test]
fn records_and_a_state_that_no_gridd_can_decode_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(&dir.path().join("data"));
    let bytes = b"\xff\xff no record".to_vec().into();
    let nonsense = EncodedRecord { number: 3, header: RecordHeader::default(), bytes };
    opened.journal.append(&[record(1), record(2), nonsense, record(4)]).unwrap();
    wait("a checkpoint begins", || {
        opened.journal.checkpoint(4, b"\xff\xff no state".to_vec()) == CheckpointStart::Started
    });
    let path = checkpoint::checkpoint_path(
        &dir.path().join("data").join(crate::journal::recovery::CHECKPOINTS),
        4,
    );
    wait("a checkpoint is written", || path.exists());
    let stream = backup(&opened);
    opened.journal.close().unwrap();
    let found = verified(dir.path(), &stream);
    let [record, state] = &defects(&found)[..] else { panic!("two: {found:?}") };
    assert!(record.starts_with("record 3 can't be used: "), "{record}");
    assert!(state.starts_with("the state after record 4 can't be used: "), "{state}");
    assert_eq!((found.is_intact(), found.checkpoint), (false, None));
}
