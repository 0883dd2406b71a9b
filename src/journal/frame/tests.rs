//! For any bytes, a block is either the one that was written or an error.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn info() -> BlockInfo {
    BlockInfo {
        content: BlockContent::Records,
        journal: Uuid::from_u128(7),
        term: 3,
        first: 42,
        count: 5,
    }
}

fn block(compression: Compression, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, &info(), compression, b"summary", payload).unwrap();
    out
}

#[test]
fn a_payload_beyond_the_limit_is_not_written() {
    let mut out = b"before".to_vec();
    let large = vec![0; RAW_PAYLOAD_BYTES_MAX + 1];
    let refused = encode(&mut out, &info(), Compression::Zstd, b"", &large);
    assert_eq!(refused, Err(FrameError::ImpossibleLength));
    assert_eq!(out, b"before");
}

#[test]
fn a_newer_format_is_distinguished_from_damage() {
    let mut bytes = block(Compression::None, b"payload");
    bytes[4] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(BlockHeader::parse(&bytes), Err(FrameError::NewerFormat));
}

#[test]
fn an_impossible_length_is_refused_though_its_checksum_holds() {
    let mut bytes = block(Compression::None, b"payload");
    bytes[52..56].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(BlockHeader::parse(&bytes), Err(FrameError::ImpossibleLength));
}

fn compressions() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Zstd)]
}

proptest! {
    #[test]
    fn a_written_block_reads_back(compression in compressions(), payload: Vec<u8>, times in 1..40usize) {
        let payload = payload.repeat(times);
        let read = Block::parse(&block(compression, &payload).into()).unwrap();
        prop_assert_eq!(read.header.info, info());
        prop_assert_eq!(&read.summary[..], b"summary");
        prop_assert_eq!(read.payload().unwrap(), Bytes::from(payload));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, with_magic: bool) {
        let bytes = if with_magic { [&MAGIC[..], &bytes[..]].concat() } else { bytes };
        prop_assert!(Block::parse(&bytes.clone().into()).is_err());
        prop_assert_eq!(find_next(&bytes), None);
    }

    #[test]
    fn arbitrary_headers_with_a_good_checksum_never_panic(
        mut header in proptest::array::uniform32(any::<u8>()),
        rest in proptest::array::uniform28(any::<u8>()),
        body: Vec<u8>,
    ) {
        header[..6].copy_from_slice(b"GRJB\x01\0");
        header[6] %= 3;
        header[7] %= 6;
        let mut bytes = [&header[..], &rest[..]].concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend_from_slice(&body);
        if let Ok(block) = Block::parse(&bytes.into()) {
            let _ = block.payload();
        }
    }

    #[test]
    fn every_flipped_bit_is_detected(compression in compressions(), payload: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = block(compression, &payload);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Block::parse(&bytes.into()).is_err());
    }

    #[test]
    fn every_truncation_is_detected(compression in compressions(), payload: Vec<u8>, at: prop::sample::Index) {
        let mut bytes = block(compression, &payload);
        bytes.truncate(at.index(bytes.len()));
        prop_assert_eq!(Block::parse(&bytes.into()).unwrap_err(), FrameError::TooShort);
    }

    #[test]
    fn a_block_is_found_after_noise(noise: Vec<u8>, payload: Vec<u8>) {
        let at = noise.len();
        let bytes = [noise, block(Compression::Zstd, &payload)].concat();
        prop_assert_eq!(find_next(&bytes), Some(at));
    }
}
