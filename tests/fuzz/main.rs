//! What reads bytes from a disk or from afar must survive any bytes.
//!
//! Fuzzing without a nightly compiler: seeds are the golden journal's real blocks, records and
//! states, and events of every kind; each input is a seed with a few random changes, and for half of
//! them the checksums are made to hold again, so that what lies behind them is reached. A target
//! fails by a panic, by believing what was never written, or if it was given no input. One second a
//! target by default; for hours:
//!
//! ```text
//! GRID_FUZZ_SECONDS=3600 cargo test --release --test fuzz -- --nocapture
//! ```
//!
//! that many seconds for each target, which run side by side. The seed of a run is printed and
//! taken from `GRID_SEED` if that is set. An input that fails is kept as
//! `target/fuzz/<target>-<seed>-<count>.bin`; `GRID_FUZZ_INPUT=FILE` runs every target on it alone.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test speaks and may panic")]

mod event;
mod event_rules;
mod mutate;
mod spool;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use grid_broker::clock::monotonic_now;
use grid_broker::codec;
use grid_broker::journal::decode_checkpoint;
use grid_broker::journal::frame::{Block, BlockContent, BlockHeader, find_next};
use grid_broker::journal::record::{BlockSummary, records_in_block};
use grid_broker::journal::scan::{BlockScan, ScanItem};
use grid_broker::journal::stream::{StreamItem, StreamReader};

use crate::mutate::{mend, mutate};
use crate::support::{Random, number, seed};

/// How long the end of a stream is.
const END_BYTES: usize = 128;

fn golden() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals/v1/journal.stream");
    fs::read(path).unwrap()
}

/// The blocks of the golden stream, as they lie there.
fn blocks() -> Vec<(Block, Bytes)> {
    let stream = golden();
    let mut scan = BlockScan::new(&stream[..]);
    let mut blocks = Vec::new();
    while let Some(found) = scan.next_block().unwrap() {
        if let ScanItem::Block { block, bytes, .. } = found {
            blocks.push((block, bytes));
        }
    }
    blocks
}

fn block_bytes() -> Vec<Vec<u8>> {
    blocks().into_iter().map(|(_, bytes)| bytes.to_vec()).collect()
}

fn checkpoints() -> Vec<Vec<u8>> {
    let is_part =
        |content| matches!(content, BlockContent::Checkpoint | BlockContent::CheckpointEnd);
    let parts = blocks().into_iter().filter(|(block, _)| is_part(block.header.info.content));
    vec![parts.flat_map(|(_, bytes)| bytes.to_vec()).collect()]
}

fn records() -> Vec<Vec<u8>> {
    let is_records = |block: &Block| block.header.info.content == BlockContent::Records;
    let of_records = blocks().into_iter().filter(|(block, _)| is_records(block));
    of_records
        .flat_map(|(block, _)| records_in_block(&block).unwrap())
        .map(|record| record.bytes.to_vec())
        .collect()
}

fn states() -> Vec<Vec<u8>> {
    let is_state = |block: &Block| block.header.info.content == BlockContent::Checkpoint;
    let of_state = blocks().into_iter().filter(|(block, _)| is_state(block));
    of_state.map(|(block, _)| block.payload().unwrap().to_vec()).collect()
}

fn seconds() -> Duration {
    Duration::from_secs(number("GRID_FUZZ_SECONDS").unwrap_or(1))
}

/// Runs `target` on changed seeds until the time is over; it gets the seed and the input.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8], &[u8])) {
    if let Some(path) = std::env::var_os("GRID_FUZZ_INPUT") {
        let input = fs::read(path).unwrap();
        target(&input, &input);
        return;
    }
    let has_none = seeds.is_empty() || seeds.iter().any(Vec::is_empty);
    assert!(!has_none, "{name} has no seeds, or an empty one");
    let (seed, until) = (seed(name), monotonic_now() + seconds());
    let mut random = Random::new(seed);
    let mut count = 0_u64;
    while monotonic_now() < until {
        let whole = random.one_of(seeds);
        let mut input = whole.clone();
        mutate(&mut random, &mut input, seeds);
        if random.once_in(2) {
            mend(&mut input);
        }
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| target(whole, &input))).is_err() {
            let path = keep(name, seed, count, &input);
            panic!("{name} failed; GRID_FUZZ_INPUT={} shows it again", path.display());
        }
    }
    assert!(count > 0, "{name} was given no input");
    println!("{name}: {count} inputs of {} seeds", seeds.len());
}

fn keep(name: &str, seed: u64, count: u64, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}-{seed}-{count}.bin"));
    fs::write(&path, input).unwrap();
    path
}

fn look_into(block: &Block) {
    let _ = block.payload().map(|payload| assert!(payload.len() <= 8 << 20));
    let _ = BlockSummary::decode(&block.summary);
    if let Ok(records) = records_in_block(block) {
        assert_eq!(records.len() as u64, u64::from(block.header.info.count));
    }
}

#[test]
fn any_bytes_are_a_block_within_its_limits_or_none() {
    fuzz("frame", &block_bytes(), |_, input| {
        if let Ok(header) = BlockHeader::parse(input) {
            assert!(header.block_bytes() <= 64 + (64 << 10) + (8 << 20));
        }
        let bytes = Bytes::copy_from_slice(input);
        if let Ok(block) = Block::parse(&bytes) {
            assert!(block.header.block_bytes() <= input.len());
            look_into(&block);
        }
    });
}

#[test]
fn a_scan_of_any_bytes_ends_and_finds_only_what_is_there() {
    fuzz("scan", &[golden()], |_, input| {
        let (mut scan, mut at) = (BlockScan::new(input), 0);
        while let Some(found) = scan.next_block().unwrap() {
            match found {
                ScanItem::Newer { offset } => assert!(offset >= at),
                ScanItem::Block { offset, block, bytes } => {
                    assert_eq!(scan.gap().offset + scan.gap().bytes, offset);
                    let start = usize::try_from(offset).unwrap();
                    assert_eq!(&input[start..start + bytes.len()], &bytes[..]);
                    look_into(&block);
                    at = offset + bytes.len() as u64;
                }
            }
        }
        assert_eq!(scan.offset(), input.len() as u64);
        if let Some(offset) = find_next(input) {
            assert!(Block::parse(&Bytes::copy_from_slice(&input[offset..])).is_ok());
        }
    });
}

#[test]
fn a_changed_stream_is_never_taken_for_a_whole_one() {
    fuzz("stream", &[golden()], |whole, input| {
        let Ok(mut reader) = StreamReader::open(input) else { return };
        let mut next = 0;
        loop {
            match reader.next_item() {
                Ok(Some(StreamItem::Records(records))) => {
                    assert!(records[0].number >= next);
                    next = records[records.len() - 1].number + 1;
                }
                Ok(Some(
                    StreamItem::Attachment(_)
                    | StreamItem::Checkpoint { .. }
                    | StreamItem::Defect(_),
                )) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        // The end sums up all before it, but a mended end vouches for itself.
        let before_end = whole.len() - END_BYTES;
        assert!(!reader.is_intact() || input[..before_end] == whole[..before_end]);
    });
}

#[test]
fn any_bytes_are_a_checkpoint_or_refused() {
    let seeds = checkpoints();
    let mut scan = BlockScan::new(&seeds[0][..]);
    let Some(ScanItem::Block { block, .. }) = scan.next_block().unwrap() else {
        panic!("no block")
    };
    let draft = block.header.info;
    fuzz("checkpoint", &seeds, |whole, input| {
        let bytes = Bytes::copy_from_slice(input);
        if let Ok((_, state)) = decode_checkpoint(bytes, draft.journal, draft.first) {
            assert!(input.starts_with(whole) || !state.is_empty());
        }
    });
}

#[test]
fn any_record_that_decodes_is_encoded_as_it_was() {
    fuzz("record", &records(), |_, input| {
        if let Ok(record) = codec::decode_record(input) {
            let again = codec::encode_record(&record);
            assert_eq!(codec::encode_record(&codec::decode_record(&again).unwrap()), again);
        }
    });
}

#[test]
fn any_state_that_decodes_can_be_encoded() {
    fuzz("state", &states(), |_, input| {
        if let Ok(state) = codec::decode_state(input) {
            let _ = codec::encode_state(&state);
        }
    });
}
