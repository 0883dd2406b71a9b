//! Compresses and decompresses payloads with contexts of zstd that are kept.
//!
//! A new context costs as much as a small payload, so each thread keeps one of each kind until it
//! ends. Guarantees that no more than the expected bytes are decompressed. Does not know blocks.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::compress_bound;

/// Level 1 compresses realistic records 2.5 to 3 times for half a microsecond each; level 3 costs
/// half as much again and saves 4 %, level -1 saves a fifth of the time and costs 23 %
/// (docs/decisions/0026).
const ZSTD_LEVEL: i32 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends the compressed payload to `out`; `false`, and `out` is unchanged, if it is no smaller,
/// or zstd fails.
pub(super) fn compress(payload: &[u8], out: &mut Vec<u8>) -> bool {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => match Compressor::new(ZSTD_LEVEL) {
                Ok(new) => kept.insert(new),
                Err(_) => return false,
            },
        };
        let start = out.len();
        out.reserve(compress_bound(payload.len()));
        let mut end = std::io::Cursor::new(&mut *out);
        end.set_position(start as u64);
        let compressed = compressor.compress_to_buffer(payload, &mut end);
        let is_smaller = compressed.is_ok_and(|bytes| bytes < payload.len());
        if !is_smaller {
            out.truncate(start);
        }
        is_smaller
    })
}

/// The payload, which must have `raw_bytes` bytes.
pub(super) fn decompress(stored: &[u8], raw_bytes: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().ok()?),
        };
        let mut raw = Vec::with_capacity(raw_bytes);
        let decompressed = decompressor.decompress_to_buffer(stored, &mut raw).ok()?;
        (decompressed == raw_bytes).then_some(raw)
    })
}
