//! Encodes and decodes incidents of the journal itself: trims, gaps, a full disk.
//!
//! Guarantees that an unknown value is an error. Does not know the journal.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DecodeError, proto};
use crate::grid::log::journal_incident::{JournalIncident, TrimReason, Trimmed};

pub(super) fn encode(storage: &JournalIncident) -> proto::record::Input {
    use proto::record::Input as P;
    match storage {
        JournalIncident::Trimmed(Trimmed { first, last, bytes, reason }) => {
            P::Trimmed(proto::Trimmed {
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
            })
        }
        JournalIncident::Missing { ranges } => {
            P::RecordsMissing(proto::RecordsMissing { ranges: encode_ranges(ranges) })
        }
        JournalIncident::DiskLow { free, threshold } => {
            P::DiskSpace(proto::DiskSpace { is_low: true, free: *free, low_water: *threshold })
        }
        JournalIncident::ResourcesShort { message: what } => {
            P::Resources(proto::Resources { short: what.to_string() })
        }
        JournalIncident::ResourcesRecovered => {
            P::Resources(proto::Resources { short: String::new() })
        }
        JournalIncident::DiskRecovered { free } => {
            P::DiskSpace(proto::DiskSpace { is_low: false, free: *free, low_water: 0 })
        }
    }
}

pub(super) fn decode_trimmed(trimmed: proto::Trimmed) -> Result<Trimmed, DecodeError> {
    let proto::Trimmed { first, last, bytes, reason } = trimmed;
    let reason = match reason.ok_or(DecodeError::Newer { what: "a reason to trim" })? {
        proto::trimmed::Reason::AgeUs(micros) => TrimReason::Age(Duration::from_micros(micros)),
        proto::trimmed::Reason::BytesLimit(limit) => TrimReason::Bytes(limit),
    };
    Ok(Trimmed { first, last, bytes, reason })
}

pub(super) fn decode_disk_space(space: proto::DiskSpace) -> JournalIncident {
    let proto::DiskSpace { is_low, free, low_water } = space;
    if is_low {
        JournalIncident::DiskLow { free, threshold: low_water }
    } else {
        JournalIncident::DiskRecovered { free }
    }
}

pub(super) fn decode_resources(resources: proto::Resources) -> JournalIncident {
    let proto::Resources { short } = resources;
    if short.is_empty() {
        JournalIncident::ResourcesRecovered
    } else {
        JournalIncident::ResourcesShort { message: short.into() }
    }
}

pub(super) fn encode_ranges(ranges: &[RangeInclusive<u64>]) -> Vec<proto::Range> {
    let range = |it: &RangeInclusive<u64>| proto::Range { first: *it.start(), last: *it.end() };
    ranges.iter().map(range).collect()
}

pub(super) fn decode_ranges(ranges: &[proto::Range]) -> Vec<RangeInclusive<u64>> {
    ranges.iter().map(|range| range.first..=range.last).collect()
}
