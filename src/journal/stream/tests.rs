//! A written stream reads back, and defects are reported.

use proptest::prelude::*;

use super::*;
use crate::journal::frame::{self, BlockContent, BlockInfo, Compression};
use crate::journal::record::{EncodedRecord, RecordHeader};

const JOURNAL: Uuid = Uuid::from_u128(7);

fn head(first: u64, last: u64) -> StreamHead {
    let identity = Identity { journal: JOURNAL, broker: Uuid::from_u128(8) };
    let (checkpoint, estimated_bytes) = (Some(last), 1000);
    StreamHead { identity, term: 3, first, last, checkpoint, estimated_bytes, attachments: 0 }
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
    let mut writer = StreamWriter::new(Vec::new(), head, &[]).unwrap();
    writer.write_checkpoint_block(&checkpoint()).unwrap();
    numbers.for_each(|number| writer.write_record(record(number)).unwrap());
    let (out, written) = writer.finish().unwrap();
    assert_eq!(written.bytes, out.len() as u64);
    out
}

#[derive(Debug, Default)]
struct StreamContents {
    records: Vec<EncodedRecord>,
    attachments: Vec<Attachment>,
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
            StreamItem::Attachment(attachment) => all.attachments.push(attachment),
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
    let range = Some(5..=9000);
    let expected = StreamSummary { records: 8996, range, bytes, ..StreamSummary::default() };
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
    let writer = StreamWriter::new(Vec::new(), other, &[]).unwrap();
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
    frame::encode(&mut newer, &info, Compression::None, &[], &3_u32.to_le_bytes()).unwrap();
    assert_eq!(
        read(&newer).unwrap_err().to_string(),
        "the stream has format 3, this program knows up to 2: use a newer one"
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

fn attachment(name: &str) -> Attachment {
    Attachment::new(name, name.repeat(9).into_bytes()).unwrap()
}

/// The format in the head.
fn format_of(stream: &[u8]) -> u8 {
    stream[frame::HEADER_BYTES]
}

#[test]
fn attachments_read_back_and_only_a_stream_with_them_has_the_newer_format() {
    let attachments = [attachment("ca/a"), attachment("ca/b")];
    let mut writer = StreamWriter::new(Vec::new(), head(1, 3), &attachments).unwrap();
    writer.write_checkpoint_block(&checkpoint()).unwrap();
    (1..=3).for_each(|number| writer.write_record(record(number)).unwrap());
    let (bytes, _) = writer.finish().unwrap();
    let all = read(&bytes).unwrap();
    assert!(all.is_intact, "{:?}", all.defects);
    assert_eq!((all.attachments, all.records), (attachments.into(), records(1..=3)));
    assert_eq!(all.head, Some(StreamHead { attachments: 2, ..head(1, 3) }));
    assert_eq!((format_of(&bytes), format_of(&stream(1..=3, head(1, 3)))), (2, 1));
    // What a gridd that knows no attachments finds, if it finds no head: a block it does not know.
    let second = frame::BlockHeader::parse(&bytes[64 + 56..]).unwrap();
    assert_eq!(second.info.content, BlockContent::Attachment);
    assert_eq!(bytes[64 + 56 + 7], 7, "the contents of format 1 end at 6");
}

#[test]
fn attachments_that_are_twice_too_many_or_named_wrongly_are_not_taken() {
    let twice = [attachment("ca/a"), attachment("ca/a")];
    let error = StreamWriter::new(Vec::new(), head(1, 3), &twice).unwrap_err();
    assert_eq!(error.to_string(), "ca/a is there twice");
    let many: Vec<_> = (0..17).map(|it| attachment(&format!("ca/{it}"))).collect();
    let error = StreamWriter::new(Vec::new(), head(1, 3), &many).unwrap_err().to_string();
    assert_eq!(error, "ca/16 is one too many: a stream has at most 16 attachments");

    let whole = stream(1..=3, head(1, 3));
    for (names, reason) in [
        (vec!["../identity"], "\"../identity\" is no name of an attachment"),
        (vec!["ca/../../etc/passwd"], "\"ca/../../etc/passwd\" is no name of an attachment"),
        (vec!["ca/a", "ca/a"], "ca/a is there twice"),
    ] {
        let content = BlockContent::Attachment;
        let info = BlockInfo { content, journal: JOURNAL, term: 3, first: 1, count: 0 };
        let mut bytes = whole[..64 + 52].to_vec();
        for name in names {
            frame::encode(&mut bytes, &info, Compression::None, name.as_bytes(), b"x").unwrap();
        }
        bytes.extend_from_slice(&whole[64 + 52..]);
        let defects = read(&bytes).unwrap().defects;
        let found = defects.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(found[0].starts_with("the attachment at byte ") && found[0].contains(reason));
    }
    // After the records there is no place for one.
    let name = attachment("ca/a");
    let (late, _) = StreamWriter::new(Vec::new(), head(1, 3), &[name]).unwrap().finish().unwrap();
    let block = &late[64 + 56..late.len() - 64 - 68];
    let at = whole.len() - 64 - 64;
    let defects = read(&[&whole[..at], block, &whole[at..]].concat()).unwrap().defects;
    assert_eq!(defects[0], StreamDefect::OutOfPlace { offset: at as u64 });
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
