//! Was this event heard before? Sequences seen, by boot and spool.
//!
//! Guarantees that a sequence marked once is known for as long as its window is kept, and that
//! memory is bounded: per appliance [`WINDOWS_MAX`] windows of 128 sequences below the highest.
//! A sequence further below counts as known: senders send in order, so all below was sent before.

use super::name::{BootId, Sequence, SpoolId};

/// Windows kept for one appliance; the one unused longest goes first, those of other boots than
/// the current before it.
pub const WINDOWS_MAX: usize = 16;

/// How many sequences a window holds, from the highest downwards.
pub const WIDTH: u64 = 128;

/// The sequences seen of one spool in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The boot.
    pub boot: BootId,
    /// The spool.
    pub spool: SpoolId,
    /// The highest sequence seen.
    pub highest: u64,
    /// Bit n: sequence `highest - n` was seen. Bit 0 is always set.
    pub seen: u128,
}

impl Window {
    fn contains(&self, sequence: u64) -> bool {
        match self.highest.checked_sub(sequence) {
            None => false,
            Some(below) if below < WIDTH => self.seen >> below & 1 == 1,
            Some(_) => true,
        }
    }

    fn mark(&mut self, sequence: u64) {
        if let Some(below) = self.highest.checked_sub(sequence) {
            if below < WIDTH {
                self.seen |= 1 << below;
            }
            return;
        }
        let ahead = sequence - self.highest;
        self.seen = if ahead < WIDTH { self.seen << ahead | 1 } else { 1 };
        self.highest = sequence;
    }
}

/// The windows of one appliance, most recently used first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(Vec<Window>);

impl Windows {
    /// Whether that sequence was marked.
    pub fn contains(&self, boot: BootId, spool: SpoolId, sequence: Sequence) -> bool {
        self.find(boot, spool).is_some_and(|at| self.0[at].contains(sequence.get()))
    }

    /// Whether anything is known of that spool in that boot.
    pub fn knows(&self, boot: BootId, spool: SpoolId) -> bool {
        self.find(boot, spool).is_some()
    }

    /// The highest sequence marked of that spool in that boot.
    pub fn highest(&self, boot: BootId, spool: SpoolId) -> Option<u64> {
        self.find(boot, spool).map(|at| self.0[at].highest)
    }

    /// Marks a sequence as seen; makes room by `current`, the boot to spare.
    pub fn mark(&mut self, boot: BootId, spool: SpoolId, sequence: Sequence, current: BootId) {
        let mut window = match self.find(boot, spool) {
            Some(at) => self.0.remove(at),
            None => {
                self.make_room(current);
                Window { boot, spool, highest: sequence.get(), seen: 1 }
            }
        };
        window.mark(sequence.get());
        self.0.insert(0, window);
    }

    /// The windows as values, most recently used first.
    pub fn values(&self) -> &[Window] {
        &self.0
    }

    /// Puts a window back, behind those that are there.
    pub fn restore(&mut self, window: Window) {
        if self.0.len() < WINDOWS_MAX {
            self.0.push(window);
        }
    }

    fn find(&self, boot: BootId, spool: SpoolId) -> Option<usize> {
        self.0.iter().position(|window| window.boot == boot && window.spool == spool)
    }

    fn make_room(&mut self, current: BootId) {
        if self.0.len() < WINDOWS_MAX {
            return;
        }
        let of_another_boot = self.0.iter().rposition(|window| window.boot != current);
        self.0.remove(of_another_boot.unwrap_or(self.0.len() - 1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn boot(n: u128) -> BootId {
        BootId(Uuid::from_u128(n))
    }

    fn number(n: u64) -> NonZeroU64 {
        NonZeroU64::new(n).expect("tests number from 1")
    }

    #[test]
    fn the_current_boots_windows_outlive_those_of_others() {
        let mut windows = Windows::default();
        for n in 1..=20 {
            windows.mark(boot(7), SpoolId(number(n)), number(1), boot(1));
        }
        windows.mark(boot(1), SpoolId(number(99)), number(1), boot(1));
        for n in 21..=60 {
            windows.mark(boot(7), SpoolId(number(n)), number(1), boot(1));
        }
        assert!(windows.contains(boot(1), SpoolId(number(99)), number(1)));
        assert_eq!(windows.values().len(), WINDOWS_MAX);
    }

    proptest! {
        #[test]
        fn a_sequence_is_known_exactly_when_marked(marks in prop::collection::vec(1u64..300, 1..100)) {
            let spool = SpoolId(number(5));
            let mut windows = Windows::default();
            let mut model = BTreeSet::new();
            for mark in marks {
                windows.mark(boot(1), spool, number(mark), boot(1));
                model.insert(mark);
                let highest = *model.last().expect("just inserted");
                for sequence in highest.saturating_sub(127).max(1)..highest + 3 {
                    prop_assert_eq!(
                        windows.contains(boot(1), spool, number(sequence)),
                        model.contains(&sequence)
                    );
                }
            }
        }
    }
}
