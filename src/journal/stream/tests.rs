//! A written stream reads back, and defects are reported.

use proptest::prelude::*;

use super::*;
use crate::journal::frame::{self, BlockContent, BlockInfo, Compression};
use crate::journal::record::{EncodedRecord, RecordHeader};

const JOURNAL: Uuid = Uuid::from_u128(7);

fn head(first: u64, last: u64) -> StreamHead {
    let identity = Identity { journal: JOURNAL, broker: Uuid::from_u128(8) };
    StreamHead { identity, term: 3, first, last, checkpoint: Some(last), estimated_bytes: 1000 }
}

fn record(number: u64) -> EncodedRecord {
    let bytes = number.to_le_bytes().repeat(usize::try_from(number % 9).unwrap() * 20);
    EncodedRecord { number, header: RecordHeader::default(), bytes: bytes.into() }
}

fn checkpoint() -> Vec<u8> {
    let info = BlockInfo {
        content: BlockContent::CheckpointEnd,
        journal: JOURNAL,
        term: 3,
        first: 9,
        count: 0,
    };
    let mut out = Vec::new();
    frame::encode(&mut out, &info, Compression::None, &[], b"state").unwrap();
    out
}

fn stream(numbers: impl Iterator<Item = u64>, head: StreamHead) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new(), head).unwrap();
    writer.write_checkpoint_block(&checkpoint()).unwrap();
    numbers.for_each(|number| writer.write_record(record(number)).unwrap());
    let (out, written) = writer.finish().unwrap();
    assert_eq!(written.bytes, out.len() as u64);
    out
}

#[derive(Debug, Default)]
struct StreamContents {
    records: Vec<EncodedRecord>,
    checkpoint: Vec<u8>,
    defects: Vec<StreamDefect>,
    summary: StreamSummary,
    is_intact: bool,
    head: Option<StreamHead>,
}

fn read(bytes: &[u8]) -> Result<StreamContents, StreamError> {
    let mut reader = StreamReader::open(bytes)?;
    let mut all = StreamContents::default();
    while let Some(item) = reader.next_item()? {
        match item {
            StreamItem::Records(records) => all.records.extend(records),
            StreamItem::Checkpoint { bytes, .. } => all.checkpoint.extend_from_slice(&bytes),
            StreamItem::Defect(fault) => all.defects.push(fault),
        }
    }
    all.summary = reader.summary().clone();
    (all.is_intact, all.head) = (reader.is_intact(), reader.head().copied());
    Ok(all)
}

fn records(numbers: impl Iterator<Item = u64>) -> Vec<EncodedRecord> {
    numbers.map(record).collect()
}

#[test]
fn a_whole_stream_reads_back() {
    let bytes = stream(5..=9000, head(5, 9000));
    let all = read(&bytes).unwrap();
    assert!(all.is_intact && all.defects.is_empty());
    assert_eq!((all.head, all.checkpoint), (Some(head(5, 9000)), checkpoint()));
    assert_eq!(all.records, records(5..=9000));
    let bytes = bytes.len() as u64;
    let expected = StreamSummary { records: 8996, range: Some(5..=9000), missing: vec![], bytes };
    assert_eq!(all.summary, expected);
}

#[test]
fn a_gap_of_the_source_is_reported_missing_and_is_no_defect() {
    let numbers = || (10..=20).chain(31..=40);
    let all = read(&stream(numbers(), head(5, 50))).unwrap();
    assert!(all.is_intact);
    assert_eq!(all.records, records(numbers()));
    assert_eq!(all.summary.missing, [5..=9, 21..=30, 41..=50]);
}

#[test]
fn truncated_damaged_and_foreign_streams_are_distinguished() {
    let whole = stream((1..=9000).filter(|n| *n != 4000), head(1, 9000));
    let truncated = &whole[..whole.len() - 30];
    let all = read(truncated).unwrap();
    assert_eq!(all.defects.last().unwrap().to_string(), {
        format!("truncated: the end is missing after byte {}", truncated.len())
    });
    assert_eq!(all.records.len(), 8999);

    let mut damaged = whole.clone();
    damaged[20_000] ^= 4;
    let all = read(&damaged).unwrap();
    let defects: Vec<String> = all.defects.iter().map(ToString::to_string).collect();
    assert!(defects[0].starts_with("damaged from byte "), "{defects:?}");
    assert!(defects[0].ends_with("(the checksum of the payload is wrong)"), "{defects:?}");
    assert!(defects[1].starts_with("it should have 8999 records and has "), "{defects:?}");
    let missing: u64 = all.summary.missing.iter().map(|r| r.end() - r.start() + 1).sum();
    assert_eq!(missing + all.records.len() as u64, 9000);

    let mut other = head(1, 9000);
    other.identity.journal = Uuid::from_u128(99);
    let writer = StreamWriter::new(Vec::new(), other).unwrap();
    let mixed = [&whole[..], &writer.finish().unwrap().0].concat();
    let all = read(&mixed).unwrap();
    assert_eq!(all.defects[0].to_string(), {
        let at = whole.len();
        format!(
            "the block at byte {at} belongs to the journal 00000000-0000-0000-0000-000000000063, \
             not to 00000000-0000-0000-0000-000000000007"
        )
    });
    assert_eq!(all.records.len(), 8999);

    for (bytes, message) in [
        (
            &b""[..],
            "this is no stream of a journal: give a file made by `gridctl journal backup` or `gridd journal salvage`",
        ),
        (
            b"PK\x03\x04 a zip file",
            "this is no stream of a journal: give a file made by `gridctl journal backup` or `gridd journal salvage`",
        ),
        (
            &checkpoint(),
            "this is a part of a journal, not a stream of one: give a file made by `gridctl journal backup` or `gridd journal salvage`",
        ),
    ] {
        assert_eq!(read(bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_newer_stream_and_a_newer_block_are_refused_with_a_message() {
    let info = BlockInfo {
        content: BlockContent::StreamHead,
        journal: JOURNAL,
        term: 1,
        first: 1,
        count: 0,
    };
    let mut newer = Vec::new();
    frame::encode(&mut newer, &info, Compression::None, &[], &2_u32.to_le_bytes()).unwrap();
    assert_eq!(
        read(&newer).unwrap_err().to_string(),
        "the stream has format 2, this program knows up to 1: use a newer one"
    );
    let mut bytes = stream(1..=3, head(1, 3));
    let at = 64 + 52;
    assert_eq!(&bytes[at..at + 4], b"GRJB");
    bytes[at + 4] = 2;
    let crc = crc32c::crc32c(&bytes[at..at + 60]);
    bytes[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        read(&bytes).unwrap_err().to_string(),
        "the block at byte 116 was written by a newer gridd, this program knows blocks up to \
         format 1: use a newer one"
    );
}

#[test]
fn a_block_that_was_replaced_by_another_whole_one_is_detected() {
    let whole = stream(1..=30, head(1, 30));
    let mut other = head(1, 30);
    other.estimated_bytes += 1;
    let head_bytes = 64 + 52;
    let mixed = [&stream(1..=30, other)[..head_bytes], &whole[head_bytes..]].concat();
    let all = read(&mixed).unwrap();
    assert!(!all.is_intact);
    let mut replaced = whole.clone();
    // The term is in no payload.
    let at = head_bytes + checkpoint().len();
    replaced[at + 24] ^= 1;
    let crc = crc32c::crc32c(&replaced[at..at + 60]);
    replaced[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
    let mut all = read(&replaced).unwrap();
    assert_eq!(all.defects.pop().map(|it| it.to_string()), {
        Some("the checksum of the whole stream is wrong".to_owned())
    });
}

#[test]
fn a_lost_head_is_recovered_from_the_end() {
    let mut bytes = stream(3..=30, head(1, 30));
    bytes[70] ^= 1;
    let all = read(&bytes).unwrap();
    assert_eq!(all.head, Some(head(1, 30)));
    assert_eq!((all.is_intact, all.records), (false, records(3..=30)));
    assert_eq!(all.summary.missing, [1..=2]);
}

proptest! {
    #[test]
    fn a_damaged_stream_yields_only_written_records_and_is_never_reported_whole(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..4),
        length: Option<prop::sample::Index>,
    ) {
        let whole = stream(1..=1500, head(1, 1500));
        let mut bytes = whole.clone();
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len() + 1));
        }
        if let Ok(all) = read(&bytes) {
            prop_assert_eq!(all.is_intact, bytes == whole);
            prop_assert!(all.records.iter().all(|it| *it == record(it.number)));
            prop_assert!(all.records.is_sorted_by(|a, b| a.number < b.number));
            if all.head.is_some() {
                let missing: u64 =
                    all.summary.missing.iter().map(|range| range.end() - range.start() + 1).sum();
                prop_assert_eq!(missing + all.records.len() as u64, 1500);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = read(&bytes);
    }
}
