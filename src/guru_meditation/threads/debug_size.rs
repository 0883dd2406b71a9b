//! Finds how much memory the debug information of a program takes beside its file.
//!
//! Release programs have it compressed, and whoever looks up names decompresses it. Guarantees a number
//! for any file: 0 where nothing is compressed, or for what is no whole ELF file of 64 bits. Reads
//! headers alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// `SHF_COMPRESSED`: the section begins with its decompressed size (`elf(5)`).
const COMPRESSED: u64 = 0x800;

/// The size of all compressed sections of a file when they are decompressed, in bytes.
pub(super) fn decompressed(path: &Path) -> u64 {
    File::open(path).and_then(|file| sizes(&file)).unwrap_or_default()
}

fn sizes(file: &File) -> io::Result<u64> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(0);
    }
    let table = number(&header, 0x28, 8);
    let (entry_bytes, entries) = (number(&header, 0x3a, 2), number(&header, 0x3c, 2));
    let mut total = 0_u64;
    for entry in 0..entries {
        let mut section = [0; 64];
        file.read_exact_at(&mut section, table.saturating_add(entry * entry_bytes))?;
        if number(&section, 8, 8) & COMPRESSED != 0 {
            let mut size = [0; 8];
            file.read_exact_at(&mut size, number(&section, 0x18, 8).saturating_add(8))?;
            total = total.saturating_add(u64::from_le_bytes(size));
        }
    }
    Ok(total)
}

/// A number of `bytes` bytes, the lowest first.
fn number(from: &[u8; 64], at: usize, bytes: usize) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes].copy_from_slice(&from[at..at + bytes]);
    u64::from_le_bytes(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(bytes: &[u8]) -> u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        std::fs::write(&path, bytes).expect("writes");
        decompressed(&path)
    }

    /// A program of two sections, the second compressed.
    fn program() -> Vec<u8> {
        let mut bytes = vec![0; 64 + 2 * 64 + 24];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[0x28] = 64;
        bytes[0x3a] = 64;
        bytes[0x3c] = 2;
        let section = 64 + 64;
        bytes[section + 8..section + 10].copy_from_slice(&[0, 8]);
        bytes[section + 0x18] = 64 + 2 * 64;
        bytes[64 + 2 * 64 + 8..][..4].copy_from_slice(&[0, 0, 0, 1]);
        bytes
    }

    #[test]
    fn compressed_sections_count_with_what_they_become() {
        assert_eq!(size_of(&program()), 1 << 24);
        let mut plain = program();
        plain[64 + 64 + 9] = 0;
        assert_eq!(size_of(&plain), 0, "nothing is compressed");
    }

    #[test]
    fn what_is_no_whole_program_counts_as_nothing() {
        let whole = program();
        for length in [0, 5, 63, 64, 100, 200] {
            assert_eq!(size_of(&whole[..length]), 0, "{length} bytes of it");
        }
        assert_eq!(size_of(b"#!/bin/sh\n"), 0);
        assert_eq!(decompressed(Path::new("/no/such/file")), 0);
    }
}
