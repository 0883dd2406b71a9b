//! A full disk loses nothing and needs no restart.

use super::*;
use crate::small_disk::{fill, on_small_disk};

fn settings(dir: &Path) -> JournalSettings {
    JournalSettings {
        commit_file_bytes: 1 << 20,
        segment_bytes: 4 << 20,
        ballast_bytes: 2 << 20,
        low_water: 4 << 20,
        ..JournalSettings::new(dir.join("data"))
    }
}

fn large(numbers: std::ops::RangeInclusive<u64>) -> Vec<EncodedRecord> {
    let large = |number: u64| EncodedRecord {
        bytes: number.to_le_bytes().repeat(500).into(),
        ..record(number)
    };
    numbers.map(large).collect()
}

/// Appends tens until one fails; gives the first number that is not durable.
fn append_until_full(opened: &mut OpenJournal, mut next: u64) -> u64 {
    loop {
        match opened.journal.append(&large(next..=next + 9)) {
            Ok(()) => next += 10,
            Err(error) => {
                assert!(error.is_out_of_space(), "{error:?}");
                return next;
            }
        }
    }
}

#[test]
fn on_a_full_disk_the_same_batch_is_appended_again_and_nothing_is_lost() {
    let name = "journal::tests::full_disk::on_a_full_disk_the_same_batch_is_appended_again_and_nothing_is_lost";
    on_small_disk(name, 48, |dir| {
        let mut opened = Journal::open(&settings(dir)).unwrap();
        let ballast = dir.join("data/ballast");
        wait("the ballast", || ballast.metadata().is_ok_and(|found| found.len() == 2 << 20));
        append(&mut opened, 1..=100);
        let filler = fill(dir, 0);
        let full = append_until_full(&mut opened, 101);
        assert_eq!(opened.reader.durable(), full - 1);
        assert!(opened.journal.append(&large(full..=full + 9)).is_err(), "nothing has changed");
        assert!(opened.journal.release_ballast());
        opened.journal.append(&large(full..=full + 9)).unwrap();
        assert!(!opened.journal.release_ballast(), "there is one ballast");
        let again = append_until_full(&mut opened, full + 10);
        assert_eq!(read_all(&opened.reader).len() as u64, again - 1, "reading goes on");

        fs::remove_file(filler).unwrap();
        opened.journal.append(&large(again..=again + 199)).unwrap();
        let last = again + 199;
        opened.journal.set_lived(Duration::from_micros(1));
        wait("the ballast is back", || ballast.exists());
        wait("the archive", || {
            opened.journal.set_lived(Duration::from_micros(1));
            opened.reader.archived_through() + 64 > last
        });
        assert_eq!(opened.reader.status().unwrap().background_failures, [""; 0]);
        opened.journal.close().unwrap();
        let again = Journal::open(&settings(dir)).unwrap();
        assert!(again.recovered.missing.is_empty());
        let found: Vec<_> = read_all(&again.reader).iter().map(|record| record.number).collect();
        assert_eq!(found, (1..=last).collect::<Vec<_>>());
    });
}

#[test]
fn a_journal_opens_on_a_full_disk_and_takes_what_must_be_said() {
    let name = "journal::tests::full_disk::\
                a_journal_opens_on_a_full_disk_and_takes_what_must_be_said";
    on_small_disk(name, 32, |dir| {
        let mut opened = Journal::open(&settings(dir)).unwrap();
        append(&mut opened, 1..=1000);
        wait("the ballast", || dir.join("data/ballast").exists());
        fill(dir, 0);
        append_until_full(&mut opened, 1001);
        opened.journal.close().unwrap();
        let mut opened = Journal::open(&settings(dir)).unwrap();
        let next = opened.last_number + 1;
        if opened.journal.append(&large(next..=next)).is_err() {
            assert!(opened.journal.release_ballast());
            opened.journal.append(&large(next..=next)).unwrap();
        }
        assert_eq!(read_all(&opened.reader).len() as u64, next);
    });
}

#[test]
fn a_checkpoint_without_room_is_skipped_and_the_next_one_is_written() {
    let name = "journal::tests::full_disk::\
                a_checkpoint_without_room_is_skipped_and_the_next_one_is_written";
    on_small_disk(name, 32, |dir| {
        let mut opened = Journal::open(&settings(dir)).unwrap();
        append(&mut opened, 1..=10);
        let state: Vec<u8> =
            (0..3_000_000_u64).map(|n| n.wrapping_mul(n | 1 << 40).to_le_bytes()[5]).collect();
        wait("the ballast", || dir.join("data/ballast").exists());
        let filler = fill(dir, 0);
        assert_eq!(opened.journal.checkpoint(9, state), CheckpointStart::Started);
        wait("it was skipped", || {
            opened.journal.checkpoint(10, vec![1; 10]) == CheckpointStart::Started
        });
        fs::remove_file(filler).unwrap();
        let data = dir.join("data");
        wait("the next", || {
            let _ = opened.journal.checkpoint(10, vec![1; 10]);
            data.join("checkpoints/checkpoint-00000000000000000010").exists()
        });
        assert_eq!(disk::paths_in(&data.join("checkpoints")).unwrap().len(), 1, "no leftovers");
    });
}
