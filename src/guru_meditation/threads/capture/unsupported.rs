//! Captures no stacks, on platforms without support, and states the reason.
//!
//! Guarantees the functions of the supported platform. Does not know threads.

use super::{Duration, NoSample, Sample, io};

const WHY: NoSample = NoSample::Unsupported("this is not x86-64 Linux");

pub(in crate::guru_meditation) fn install() -> io::Result<()> {
    Ok(())
}

pub(in crate::guru_meditation) fn sample(
    threads: &[(i32, Duration)],
) -> Vec<Result<Sample, NoSample>> {
    threads.iter().map(|_| Err(WHY)).collect()
}

pub(in crate::guru_meditation) fn sample_from_outside(_: i32) -> Result<Sample, NoSample> {
    Err(WHY)
}

pub(in crate::guru_meditation) fn blocks_us(_: u64) -> bool {
    false
}
