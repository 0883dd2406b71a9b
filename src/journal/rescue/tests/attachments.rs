//! Small files travel with a journal: into a backup, out of it, and never unnoticed lost.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::grid::log::effect::Effect;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::model::identity::EnrolledKey;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{KeyHash, Serial, Subject, TokenId};
use crate::journal::scan::{BlockScan, ScanItem};
use crate::journal::stream::Attachment;

const KEY: &[u8] = b"a private key";

fn attachments() -> [Attachment; 2] {
    [("ca/ca.key", KEY), ("ca/ca.pem", b"a certificate")]
        .map(|(name, content)| Attachment::new(name, content.to_vec()).unwrap())
}

fn back_up(opened: &OpenJournal, attachments: &[Attachment]) -> Vec<u8> {
    let identity = opened.journal.identity();
    let done = opened.reader.back_up(identity, 1, attachments, Vec::new(), |_, _| Ok(()));
    done.unwrap().0
}

fn few_records(dir: &Path) -> OpenJournal {
    let mut opened = open(dir);
    opened.journal.append(&records(1..=4)).unwrap();
    opened
}

fn names(summary: &stream::StreamSummary) -> Vec<&str> {
    summary.attachments.iter().map(|name| name.as_str()).collect()
}

fn verified(dir: &Path, bytes: &[u8]) -> (Verified, Vec<String>) {
    let file = dir.join("verified");
    fs::write(&file, bytes).unwrap();
    let found = verify(&file, |_| {}).unwrap();
    let defects = found.defects.retained().iter().map(ToString::to_string).collect();
    (found, defects)
}

/// The stream without its block at `index`.
fn without_block(whole: &[u8], index: usize) -> Vec<u8> {
    let mut scan = BlockScan::new(whole);
    let mut blocks = Vec::new();
    while let Some(ScanItem::Block { bytes, .. }) = scan.next_block().unwrap() {
        blocks.push(bytes.to_vec());
    }
    blocks.remove(index);
    blocks.concat()
}

#[test]
fn attachments_are_restored_for_their_owner_only_and_a_journal_without_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let opened = few_records(&dir.path().join("data"));
    let bytes = back_up(&opened, &attachments());
    let (found, defects) = verified(dir.path(), &bytes);
    assert!(found.is_intact(), "{defects:?}");
    assert_eq!(names(&found.summary), ["ca/ca.key", "ca/ca.pem"]);

    let (restored, data) = restored(dir.path(), &bytes);
    assert!(restored.is_intact());
    assert_eq!(names(&restored.summary), ["ca/ca.key", "ca/ca.pem"]);
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("ca"), mode("ca/ca.key"), mode("ca/ca.pem")], [0o700, 0o600, 0o600]);
    assert_eq!(fs::read(data.join("ca/ca.key")).unwrap(), KEY);
    assert_eq!(fs::read(data.join("ca/ca.pem")).unwrap(), b"a certificate");
    assert_eq!(open(&data).last_number, 4);

    let other = tempfile::tempdir().unwrap();
    let (restored, data) = super::restored(other.path(), &back_up(&opened, &[]));
    assert!(restored.summary.attachments.is_empty() && restored.is_intact());
    assert!(!data.join("ca").exists());
}

#[test]
fn a_damaged_or_missing_attachment_is_reported_and_the_others_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let opened = few_records(&dir.path().join("data"));
    let whole = back_up(&opened, &attachments());
    let mut damaged = whole.clone();
    let at = whole.windows(KEY.len()).position(|bytes| bytes == KEY).unwrap();
    damaged[at] ^= 1;
    for bytes in [damaged, without_block(&whole, 1)] {
        let (found, defects) = verified(dir.path(), &bytes);
        let lost = "it should have 2 attachments and has 1".to_owned();
        assert!(!found.is_intact() && defects.contains(&lost), "{defects:?}");
        let folder = tempfile::tempdir().unwrap();
        let (restored, data) = restored(folder.path(), &bytes);
        assert!(!restored.is_intact());
        assert_eq!(names(&restored.summary), ["ca/ca.pem"]);
        assert!(!data.join("ca/ca.key").exists() && data.join("ca/ca.pem").exists());
        assert_eq!(open(&data).last_number, 4, "the records are all there");
    }
}

#[test]
fn what_is_salvaged_has_the_attachments_too() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    few_records(&data).journal.close().unwrap();
    let (bytes, found) = salvage(&data, &[], &attachments(), |_| {}, Vec::new()).unwrap();
    assert_eq!((found.is_intact(), found.head.attachments), (true, 2));
    let (restored, data) = restored(dir.path(), &bytes);
    assert!(restored.is_intact());
    assert_eq!(fs::read(data.join("ca/ca.key")).unwrap(), KEY);
}

fn enrolled(number: u8) -> Effect {
    let at = Timestamp::from_micros(1);
    let key = EnrolledKey {
        key: KeyHash([number; 32]),
        serial: Serial([number; 16]),
        enrolled_at: at,
        issued_at: at,
        expires_at: at,
        token: TokenId::new("abcdefgh").unwrap(),
    };
    Effect::Identity(IdentityEffect::Key { subject: subject(number), key })
}

fn subject(number: u8) -> Subject {
    Subject::Appliance(ApplianceName::new(&format!("vm{number}")).unwrap())
}

fn record_of(number: u64, effect: Effect) -> EncodedRecord {
    let plain = record(number);
    let mut decoded = crate::codec::decode_record(&plain.bytes).unwrap();
    decoded.effects.push(effect);
    EncodedRecord { bytes: crate::codec::encode_record(&decoded).into(), ..plain }
}

#[test]
fn enrolled_keys_are_those_of_the_state_and_of_the_records_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut opened = open(&data);
    // The state has no vm9 any more, though record 2 enrolled it.
    opened.journal.append(&[record(1), record_of(2, enrolled(9)), record(3)]).unwrap();
    let state = State::from_effects(&[enrolled(1), enrolled(2)], 3, Timestamp::from_micros(1));
    wait("a checkpoint begins", || {
        let state = crate::codec::encode_state(&state);
        opened.journal.checkpoint(3, state) == CheckpointStart::Started
    });
    let path = checkpoint::checkpoint_path(&data.join(crate::journal::recovery::CHECKPOINTS), 3);
    wait("a checkpoint is written", || path.exists());
    let removed = Effect::Identity(IdentityEffect::KeyRemoved { subject: subject(1) });
    let more = [record_of(4, enrolled(3)), record_of(5, removed), record_of(6, enrolled(4))];
    opened.journal.append(&more).unwrap();

    let bytes = back_up(&opened, &[]);
    let (found, defects) = verified(dir.path(), &bytes);
    assert_eq!((found.checkpoint, found.enrolled_keys), (Some(3), 3), "{defects:?}");
    let (restored, _) = restored(dir.path(), &bytes);
    assert_eq!((restored.checkpoint, restored.enrolled_keys), (Some(3), 3));
}
