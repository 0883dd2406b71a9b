//! Random changes, and checksums that hold again after them.

/// Numbers that look random and come again from the same seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Values at which lengths and counts go wrong.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff, 8 << 20, u64::MAX];

/// One to four changes of a kind each.
pub(crate) fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    for _ in 0..=random.below(4) {
        if input.is_empty() {
            return;
        }
        // Headers are a small part of a block and decide the most.
        let reach = if random.below(2) == 0 { input.len() } else { input.len().min(160) };
        let at = random.below(reach);
        match random.below(7) {
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = random.byte(),
            2 => input.truncate(at),
            3 => {
                let end = (at + 1 + random.below(64)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)].min(input.len() - at);
                input[at..at + width].copy_from_slice(&edge[..width]);
            }
            5 => {
                let end = (at + 1 + random.below(200)).min(input.len());
                let again = input[at..end].to_vec();
                let to = random.below(input.len());
                input.splice(to..to, again);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let end = (from + 1 + random.below(200)).min(other.len());
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
