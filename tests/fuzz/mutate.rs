//! Random changes, and checksums that hold again after them.

use crate::support::Random;

/// Values at which lengths and counts go wrong.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff, 8 << 20, u64::MAX];

/// One to four changes of a kind each.
pub(crate) fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    for _ in 0..=random.index(4) {
        if input.is_empty() {
            return;
        }
        // Headers are a small part of a block and decide the most.
        let reach = if random.once_in(2) { input.len() } else { input.len().min(160) };
        let at = random.index(reach);
        match random.index(7) {
            0 => input[at] ^= 1 << random.index(8),
            1 => input[at] = random.byte(),
            2 => input.truncate(at),
            3 => {
                let end = (at + 1 + random.index(64)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let edge = random.one_of(&EDGES).to_le_bytes();
                let width = (*random.one_of(&[1, 2, 4, 8])).min(input.len() - at);
                input[at..at + width].copy_from_slice(&edge[..width]);
            }
            5 => {
                let end = (at + 1 + random.index(200)).min(input.len());
                let again = input[at..end].to_vec();
                let to = random.index(input.len());
                input.splice(to..to, again);
            }
            _ => {
                let other = random.one_of(seeds);
                let from = random.index(other.len());
                let end = (from + 1 + random.index(200)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
}

/// Makes the checksums of the blocks hold again, as far as their lengths still make sense.
pub(crate) fn mend(input: &mut [u8]) {
    let mut at = 0;
    while at + 64 <= input.len() && input[at..at + 4] == *b"GRJB" {
        let field = |input: &[u8], from: usize| {
            let bytes = input[at + from..at + from + 4].try_into().unwrap_or_default();
            usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
        };
        let body = field(input, 44).saturating_add(field(input, 48));
        let end = at.saturating_add(64).saturating_add(body);
        if let Some(body) = input.get(at + 64..end) {
            let crc = crc32c::crc32c(body);
            input[at + 56..at + 60].copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32c::crc32c(&input[at..at + 60]);
        input[at + 60..at + 64].copy_from_slice(&crc.to_le_bytes());
        if end <= at || end > input.len() {
            return;
        }
        at = end;
    }
}
