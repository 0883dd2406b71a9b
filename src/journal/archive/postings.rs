//! Lists for each appliance the blocks of a segment that have records of it.
//!
//! The appliances ascending, each with its blocks as differences of positions: one or two bytes for
//! each appliance of a block. Guarantees a round trip, bounded by the input, and never panics on
//! any bytes. Does not know where a block is.

use prost::encoding::{decode_varint, encode_varint};

/// The blocks of each appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Postings {
    /// Ascending.
    appliances: Vec<u32>,
    /// Where the list of each appliance ends in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Postings {
    /// Makes the lists from the appliances of each block, in the order of the blocks.
    pub(super) fn from_blocks<'a>(blocks: impl Iterator<Item = &'a [u32]>) -> Self {
        let mut pairs = Vec::new();
        for (at, appliances) in (0_u32..).zip(blocks) {
            pairs.extend(appliances.iter().map(|appliance| (*appliance, at)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut postings = Self::default();
        let mut next = 0;
        for (appliance, at) in pairs {
            if postings.appliances.last() != Some(&appliance) {
                postings.appliances.push(appliance);
                postings.ends.push(0);
                next = 0;
            }
            encode_varint(u64::from(at - next), &mut postings.bytes);
            next = at + 1;
            *postings.ends.last_mut().expect("it was just pushed") = postings.bytes.len();
        }
        postings
    }

    /// The appliances, ascending.
    pub(super) fn appliances(&self) -> &[u32] {
        &self.appliances
    }

    /// The positions of the blocks with records of `appliance`, ascending.
    pub(super) fn blocks_of(&self, appliance: u32) -> impl Iterator<Item = usize> {
        let list = match self.appliances.binary_search(&appliance) {
            Ok(0) => &self.bytes[..self.ends[0]],
            Ok(at) => &self.bytes[self.ends[at - 1]..self.ends[at]],
            Err(_) => &[],
        };
        BlockPositions { list, next: 0 }
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        encode_varint(self.appliances.len() as u64, out);
        let (mut previous, mut start) = (0, 0);
        for (appliance, end) in self.appliances.iter().zip(&self.ends) {
            encode_varint(u64::from(appliance - previous), out);
            encode_varint((end - start) as u64, out);
            (previous, start) = (*appliance, *end);
        }
        out.extend_from_slice(&self.bytes);
    }

    /// Decodes all of `bytes`; `None` if [`Self::encode_into`] did not write them for so many
    /// blocks.
    pub(super) fn decode(mut bytes: &[u8], blocks: usize) -> Option<Self> {
        let count = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
        // Each takes two bytes at least.
        let mut postings = Self {
            appliances: Vec::with_capacity(count.min(bytes.len() / 2)),
            ends: Vec::with_capacity(count.min(bytes.len() / 2)),
            bytes: Vec::new(),
        };
        let (mut appliance, mut end) = (0_u32, 0_usize);
        for at in 0..count {
            let step = u32::try_from(decode_varint(&mut bytes).ok()?).ok()?;
            appliance = appliance.checked_add(step).filter(|_| at == 0 || step > 0)?;
            end = end.checked_add(usize::try_from(decode_varint(&mut bytes).ok()?).ok()?)?;
            postings.appliances.push(appliance);
            postings.ends.push(end);
        }
        if bytes.len() != end {
            return None;
        }
        postings.bytes = bytes.to_vec();
        let mut start = 0;
        for end in &postings.ends {
            let list = BlockPositions { list: &postings.bytes[start..*end], next: 0 };
            list.last().filter(|last| *last < blocks)?;
            start = *end;
        }
        Some(postings)
    }
}

/// The positions in one list.
struct BlockPositions<'a> {
    list: &'a [u8],
    next: usize,
}

impl Iterator for BlockPositions<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let step = usize::try_from(decode_varint(&mut self.list).ok()?).ok()?;
        let at = self.next.checked_add(step)?;
        self.next = at.checked_add(1)?;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_blocks_of_each_appliance_are_those_that_have_it(
            blocks in prop::collection::vec(prop::collection::btree_set(0..40_u32, 0..9), 0..60),
        ) {
            let sets: Vec<Vec<u32>> =
                blocks.iter().map(|set| set.iter().copied().collect()).collect();
            let postings = Postings::from_blocks(sets.iter().map(Vec::as_slice));
            for appliance in 0..41 {
                let expected: Vec<usize> =
                    (0..sets.len()).filter(|at| blocks[*at].contains(&appliance)).collect();
                prop_assert_eq!(postings.blocks_of(appliance).collect::<Vec<_>>(), expected);
            }
            let mut bytes = Vec::new();
            postings.encode_into(&mut bytes);
            prop_assert_eq!(Postings::decode(&bytes, sets.len()), Some(postings));
        }

        #[test]
        fn arbitrary_bytes_are_lists_of_existing_blocks_or_nothing(bytes: Vec<u8>) {
            if let Some(postings) = Postings::decode(&bytes, 5) {
                for appliance in postings.appliances() {
                    prop_assert!(postings.blocks_of(*appliance).all(|at| at < 5));
                }
            }
        }
    }
}
