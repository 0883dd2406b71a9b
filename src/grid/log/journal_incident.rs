//! Defines incidents of the journal: trims, gaps, a full disk, exhausted descriptors or memory.
//!
//! Knows numbers of records and bytes, but no files.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::grid::values::id::RecordNumber;

/// An incident of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalIncident {
    /// Retention deleted the oldest records.
    Trimmed(Trimmed),
    /// Acknowledged records can't be read.
    Missing {
        /// Which, ascending.
        ranges: Vec<RangeInclusive<RecordNumber>>,
    },
    /// The disk is nearly full: events and commands are rejected.
    DiskLow {
        /// Free space, in bytes.
        free: u64,
        /// The low-water mark, in bytes.
        threshold: u64,
    },
    /// The disk has room again.
    DiskRecovered {
        /// Free space, in bytes.
        free: u64,
    },
    /// The system is out of some resource; what failed is tried again.
    ResourcesShort {
        /// Which, as a sentence.
        message: Box<str>,
    },
    /// No resource was short for a while.
    ResourcesRecovered,
}

/// Records deleted by retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The first of them.
    pub first: RecordNumber,
    /// The last of them.
    pub last: RecordNumber,
    /// Their size on disk, in bytes.
    pub bytes: u64,
    /// Why.
    pub reason: TrimReason,
}

/// The limit of retention that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimReason {
    /// All of them are older than this.
    Age(Duration),
    /// The archive is larger than this, in bytes.
    Bytes(u64),
}
