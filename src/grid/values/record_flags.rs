//! Defines the flags of a record.
//!
//! Guarantees a fixed label per flag, and that bits of a later release survive. Does not know how
//! flags are set.

use std::fmt;

/// A set of record flags.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordFlags(u32);

impl RecordFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The event's time is far from the broker's.
    pub const TIME_OFF: Self = Self(1);
    /// The text was truncated.
    pub const TEXT_CUT: Self = Self(1 << 1);
    /// The event comes from the appliance's spool.
    pub const REPLAYED: Self = Self(1 << 2);
    /// A tool sent its last report again.
    pub const REPEATED: Self = Self(1 << 3);
    /// Progress is below the progress before.
    pub const PROGRESS_FELL: Self = Self(1 << 4);
    /// The report interval was longer than the class allows.
    pub const PROMISE_CUT: Self = Self(1 << 5);
    /// The start completed after its deadline.
    pub const LATE: Self = Self(1 << 6);
    /// The appliance itself reported that a failure is over.
    pub const RECOVERED: Self = Self(1 << 7);
    /// The boot began long before the broker first saw the appliance.
    pub const NOT_WITNESSED: Self = Self(1 << 8);
    /// The appliance is unmanaged: the event changes nothing.
    pub const UNMANAGED: Self = Self(1 << 9);
    /// Neither progress nor text changed for too long.
    pub const STUCK: Self = Self(1 << 10);
    /// It is unknown whether a crash dump of an unmanaged appliance worked.
    pub const OUTCOME_UNKNOWN: Self = Self(1 << 11);
    /// A reboot after a good start, which the class ignores.
    pub const REBOOT_IGNORED: Self = Self(1 << 12);

    /// The trigger of a crash dump had no effect: the appliance went on in the same boot.
    pub const DUMP_NO_EFFECT: Self = Self(1 << 13);

    const LABELS: [&'static str; 14] = [
        "time_off",
        "text_cut",
        "replayed",
        "repeated",
        "progress_fell",
        "promise_cut",
        "late",
        "recovered",
        "not_witnessed",
        "unmanaged",
        "stuck",
        "outcome_unknown",
        "reboot_ignored",
        "dump_no_effect",
    ];

    /// From the bits of [`RecordFlags::bits`]; unknown bits are kept.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as bits, for storage.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set less `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The labels of the flags, in a fixed order.
    pub fn labels(self) -> impl Iterator<Item = &'static str> {
        Self::LABELS
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, word)| *word)
    }
}

impl std::ops::BitOrAssign for RecordFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for RecordFlags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.labels()).finish()
    }
}
