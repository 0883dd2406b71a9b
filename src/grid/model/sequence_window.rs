//! Detects duplicate events by the sequences seen of each boot and spool.
//!
//! Guarantees that a marked sequence is known for as long as its window is kept, and that memory is
//! bounded: per appliance [`WINDOWS_MAX`] windows of 128 sequences below the highest. A sequence
//! further below counts as known: senders send in order, so all below was sent before.
//!
//! A sender without a spool uses a random id per event, with sequence 1. Such ids must not evict
//! those of spools, whose events may be sent again. So a window that saw sequence 1 alone is a
//! single one. When room is needed, and there are more than [`SINGLES_RESERVED`] single ones
//! including the new window, a single one is evicted: of another boot than the current if there is
//! one, and of those the least recently used. Otherwise a window of a spool of another boot is
//! evicted, or else a single one of another boot, or else one of a spool of the current boot. Of
//! the current boot at least the seven most recently used windows of either kind are kept, whatever
//! else arrives.

use crate::grid::values::id::{BootId, Sequence, SpoolId};

/// The windows kept per appliance.
pub const WINDOWS_MAX: usize = 16;

/// How many single windows may keep others out; they use free room beyond that, too.
pub const SINGLES_RESERVED: usize = 8;

/// How many sequences a window covers, from the highest downwards.
pub const WINDOW_WIDTH: u64 = 128;

/// The sequences seen of one spool in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceWindow {
    /// The boot.
    pub boot: BootId,
    /// The spool.
    pub spool: SpoolId,
    /// The highest sequence seen.
    pub highest: u64,
    /// Which sequences below that were seen.
    pub seen: SeenSequences,
}

/// Bit n: sequence `highest - n` was seen. Bit 0 is always set. Not aligned as a number of that size
/// is: each appliance has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenSequences([u64; 2]);

impl From<u128> for SeenSequences {
    fn from(bits: u128) -> Self {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        Self([half(bits), half(bits >> 64)])
    }
}

impl SeenSequences {
    /// The bits as a number.
    pub fn bits(self) -> u128 {
        u128::from(self.0[1]) << 64 | u128::from(self.0[0])
    }
}

impl SequenceWindow {
    /// Only sequence 1 was seen: an id for one event, or a new spool.
    fn is_single(&self) -> bool {
        self.highest == 1
    }

    fn contains(&self, sequence: u64) -> bool {
        match self.highest.checked_sub(sequence) {
            None => false,
            Some(below) if below < WINDOW_WIDTH => self.seen.bits() >> below & 1 == 1,
            Some(_) => true,
        }
    }

    fn mark(&mut self, sequence: u64) {
        if let Some(below) = self.highest.checked_sub(sequence) {
            if below < WINDOW_WIDTH {
                self.seen = (self.seen.bits() | 1 << below).into();
            }
            return;
        }
        let ahead = sequence - self.highest;
        let shifted = if ahead < WINDOW_WIDTH { self.seen.bits() << ahead } else { 0 };
        self.seen = (shifted | 1).into();
        self.highest = sequence;
    }
}

/// The windows of one appliance, most recently used first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceWindows(StoredWindows);

/// Most appliances have one window; it lies beside the rest of the appliance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum StoredWindows {
    /// None.
    #[default]
    Empty,
    /// One.
    One(SequenceWindow),
    /// Two or more.
    Many(Box<[SequenceWindow]>),
}

impl SequenceWindows {
    /// Whether that sequence was marked.
    pub fn contains(&self, boot: BootId, spool: SpoolId, sequence: Sequence) -> bool {
        self.find(boot, spool).is_some_and(|at| self.values()[at].contains(sequence.get()))
    }

    /// Whether that spool is known in that boot.
    pub fn contains_spool(&self, boot: BootId, spool: SpoolId) -> bool {
        self.find(boot, spool).is_some()
    }

    /// The highest sequence marked of that spool in that boot.
    pub fn highest(&self, boot: BootId, spool: SpoolId) -> Option<u64> {
        self.find(boot, spool).map(|at| self.values()[at].highest)
    }

    /// Marks a sequence as seen; evicts if needed, and spares the boot `current`.
    pub fn mark(&mut self, boot: BootId, spool: SpoolId, sequence: Sequence, current: BootId) {
        if let Some(at) = self.find(boot, spool) {
            let windows = self.values_mut();
            windows[..=at].rotate_right(1);
            return windows[0].mark(sequence.get());
        }
        let new = SequenceWindow { boot, spool, highest: sequence.get(), seen: 1.into() };
        let full = self.values().len() >= WINDOWS_MAX;
        let evicted = full.then(|| self.evicted_by(&new, current));
        let kept = self.values().iter().enumerate().filter(|(at, _)| Some(*at) != evicted);
        let windows: Vec<_> = std::iter::once(new).chain(kept.map(|(_, it)| *it)).collect();
        *self = Self::new(&windows);
    }

    /// The windows as values, most recently used first.
    pub fn values(&self) -> &[SequenceWindow] {
        match &self.0 {
            StoredWindows::Empty => &[],
            StoredWindows::One(window) => std::slice::from_ref(window),
            StoredWindows::Many(windows) => windows,
        }
    }

    fn values_mut(&mut self) -> &mut [SequenceWindow] {
        match &mut self.0 {
            StoredWindows::Empty => &mut [],
            StoredWindows::One(window) => std::slice::from_mut(window),
            StoredWindows::Many(windows) => windows,
        }
    }

    /// The windows of these values, most recently used first; those beyond [`WINDOWS_MAX`] are left.
    pub fn from_values(windows: &[SequenceWindow]) -> Self {
        Self::new(&windows[..windows.len().min(WINDOWS_MAX)])
    }

    fn new(windows: &[SequenceWindow]) -> Self {
        Self(match windows {
            [] => StoredWindows::Empty,
            [window] => StoredWindows::One(*window),
            windows => StoredWindows::Many(windows.into()),
        })
    }

    fn find(&self, boot: BootId, spool: SpoolId) -> Option<usize> {
        self.values().iter().position(|window| window.boot == boot && window.spool == spool)
    }

    /// Which window has to make room for a new one.
    fn evicted_by(&self, new: &SequenceWindow, current: BootId) -> usize {
        let windows = self.values();
        let singles = windows.iter().chain([new]).filter(|window| window.is_single()).count();
        let longest_unused = |is_single: bool, is_current: bool| {
            windows.iter().rposition(|window| {
                window.is_single() == is_single && (window.boot == current) == is_current
            })
        };
        let goes = if singles > SINGLES_RESERVED {
            longest_unused(true, false).or_else(|| longest_unused(true, true))
        } else {
            longest_unused(false, false)
                .or_else(|| longest_unused(true, false))
                .or_else(|| longest_unused(false, true))
        };
        // There is always one: of 17 windows, either kind is more than half.
        goes.unwrap_or(windows.len() - 1)
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
        let mut windows = SequenceWindows::default();
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

    fn spool(n: u64) -> SpoolId {
        SpoolId(number(n))
    }

    #[test]
    fn ids_of_one_event_push_out_no_window_of_a_spool() {
        let mut windows = SequenceWindows::default();
        for n in 1..=8 {
            windows.mark(boot(1), spool(n), number(1), boot(1));
            windows.mark(boot(1), spool(n), number(2), boot(1));
        }
        for n in 1_001..=1_100 {
            windows.mark(boot(1), spool(n), number(1), boot(1));
            assert!(windows.values().len() <= WINDOWS_MAX);
        }
        assert!((1..=8).all(|n| windows.contains(boot(1), spool(n), number(2))));
        assert!(
            (1_093..=1_100).all(|n| windows.contains_spool(boot(1), spool(n))),
            "the newest as well"
        );
    }

    #[test]
    fn a_spool_that_has_just_begun_is_known_after_many_ids_of_one_event() {
        let mut windows = SequenceWindows::default();
        windows.mark(boot(1), spool(9), number(1), boot(1));
        for n in 101..=115 {
            windows.mark(boot(1), spool(n), number(1), boot(1));
        }
        assert!(windows.contains(boot(1), spool(9), number(1)), "there is room for 15 others");
        windows.mark(boot(1), spool(9), number(2), boot(1));
        for n in 201..=300 {
            windows.mark(boot(1), spool(n), number(1), boot(1));
        }
        assert!(windows.contains(boot(1), spool(9), number(1)), "by its second it is a spool");
    }

    #[test]
    fn spools_push_out_ids_of_one_event_and_at_last_each_other() {
        let mut windows = SequenceWindows::default();
        for n in 101..=116 {
            windows.mark(boot(1), spool(n), number(1), boot(1));
        }
        for n in 1..=40 {
            windows.mark(boot(1), spool(n), number(2), boot(1));
        }
        assert!((33..=40).all(|n| windows.contains_spool(boot(1), spool(n))));
        assert!(
            (109..=116).all(|n| windows.contains_spool(boot(1), spool(n))),
            "those keep their half"
        );
        for n in 1..=40 {
            windows.mark(boot(2), spool(n), number(2), boot(2));
        }
        assert!(windows.values().iter().all(|window| window.boot == boot(2)), "of a boot before");
    }

    #[test]
    fn stored_windows_are_restored_as_they_were() {
        let mut windows = SequenceWindows::default();
        for n in 1..=40 {
            windows.mark(boot(n.into()), spool(n % 7 + 1), number(n % 3 + 1), boot(3));
        }
        assert_eq!(SequenceWindows::from_values(windows.values()), windows);
    }

    type MarkedSequence = (u128, u64, u64, u128);

    /// Boot, spool, sequence, and the current boot then.
    fn marked_sequence() -> impl Strategy<Value = MarkedSequence> {
        let ids = prop_oneof![1u64..20, 1u64..200];
        let numbers = prop_oneof![3 => Just(1u64), 2 => 2u64..5];
        (1u128..4, ids, numbers, prop_oneof![8 => Just(1u128), 1 => Just(2)])
    }

    proptest! {
        #[test]
        fn of_the_current_boot_a_window_goes_only_for_many_of_its_kind(
            all in prop::collection::vec(marked_sequence(), 1..300),
        ) {
            let mut windows = SequenceWindows::default();
            for (its_boot, its_spool, sequence, current) in all {
                let (key, current) = ((boot(its_boot), spool(its_spool)), boot(current));
                let before = windows.clone();
                windows.mark(key.0, key.1, number(sequence), current);
                prop_assert!(windows.values().len() <= WINDOWS_MAX);
                let newest = windows.values()[0];
                prop_assert_eq!((newest.boot, newest.spool), key);
                prop_assert!(newest.contains(sequence));
                let is_kept = |it: &&SequenceWindow| windows.contains_spool(it.boot, it.spool);
                let (kept, gone): (Vec<&SequenceWindow>, Vec<&SequenceWindow>) =
                    before.values().iter().partition(is_kept);
                let unmoved = kept.into_iter().filter(|it: &&SequenceWindow| (it.boot, it.spool) != key);
                prop_assert!(windows.values()[1..].iter().eq(unmoved), "last used first");
                prop_assert!(gone.len() <= 1);
                for gone in gone.into_iter().filter(|it| it.boot == current) {
                    let is_single = gone.is_single();
                    let is_like =
                        |it: &&SequenceWindow| it.boot == current && it.is_single() == is_single;
                    let like: Vec<_> = before.values().iter().filter(is_like).collect();
                    prop_assert!(like.len() >= WINDOWS_MAX / 2, "{} of its kind", like.len());
                    prop_assert_eq!(like.last(), Some(&gone), "the one unused longest");
                }
            }
        }

        #[test]
        fn a_sequence_is_known_exactly_when_marked(numbers in prop::collection::vec(1u64..300, 1..100)) {
            let spool = SpoolId(number(5));
            let mut windows = SequenceWindows::default();
            let mut model = BTreeSet::new();
            for mark in numbers {
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
