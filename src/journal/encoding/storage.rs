//! Both halves for what happens to the journal itself: trims, gaps, a full disk.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DecodeError, proto};
use crate::grid::storage::{Storage, TrimReason, Trimmed};

pub(super) fn write(storage: &Storage) -> proto::record::Input {
    use proto::record::Input as P;
    match storage {
        Storage::Trimmed(Trimmed { first, last, bytes, reason }) => P::Trimmed(proto::Trimmed {
            first: *first,
            last: *last,
            bytes: *bytes,
            reason: Some(match reason {
                TrimReason::Age(age) => {
                    let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
                    proto::trimmed::Reason::AgeUs(micros)
                }
                TrimReason::Bytes(limit) => proto::trimmed::Reason::BytesLimit(*limit),
            }),
        }),
        Storage::Missing { ranges } => {
            P::RecordsMissing(proto::RecordsMissing { ranges: written(ranges) })
        }
        Storage::Low { free, mark } => {
            P::DiskSpace(proto::DiskSpace { is_low: true, free: *free, mark: *mark })
        }
        Storage::Short { what } => P::Resources(proto::Resources { short: what.to_string() }),
        Storage::NotShort => P::Resources(proto::Resources { short: String::new() }),
        Storage::Enough { free } => {
            P::DiskSpace(proto::DiskSpace { is_low: false, free: *free, mark: 0 })
        }
    }
}

pub(super) fn trimmed(trimmed: proto::Trimmed) -> Result<Trimmed, DecodeError> {
    let proto::Trimmed { first, last, bytes, reason } = trimmed;
    let reason = match reason.ok_or(DecodeError::Newer { what: "a reason to trim" })? {
        proto::trimmed::Reason::AgeUs(micros) => TrimReason::Age(Duration::from_micros(micros)),
        proto::trimmed::Reason::BytesLimit(limit) => TrimReason::Bytes(limit),
    };
    Ok(Trimmed { first, last, bytes, reason })
}

pub(super) fn disk_space(space: proto::DiskSpace) -> Storage {
    let proto::DiskSpace { is_low, free, mark } = space;
    if is_low { Storage::Low { free, mark } } else { Storage::Enough { free } }
}

pub(super) fn resources(resources: proto::Resources) -> Storage {
    let proto::Resources { short } = resources;
    if short.is_empty() { Storage::NotShort } else { Storage::Short { what: short.into() } }
}

pub(super) fn written(ranges: &[RangeInclusive<u64>]) -> Vec<proto::Range> {
    let range = |it: &RangeInclusive<u64>| proto::Range { first: *it.start(), last: *it.end() };
    ranges.iter().map(range).collect()
}

pub(super) fn ranges(ranges: &[proto::Range]) -> Vec<RangeInclusive<u64>> {
    ranges.iter().map(|range| range.first..=range.last).collect()
}
