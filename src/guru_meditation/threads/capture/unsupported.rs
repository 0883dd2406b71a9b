//! Captures no stacks, on platforms without support, and states the reason.
//!
//! Guarantees the functions of the supported platform. Does not know threads.

use super::{Duration, Sample, SampleError, io};

const UNSUPPORTED: SampleError = SampleError::Unsupported("this is not x86-64 Linux");

pub(in crate::guru_meditation) fn install() -> io::Result<()> {
    Ok(())
}

pub(in crate::guru_meditation) fn sample(
    threads: &[(i32, Duration)],
) -> Vec<Result<Sample, SampleError>> {
    threads.iter().map(|_| Err(UNSUPPORTED)).collect()
}

pub(in crate::guru_meditation) fn sample_from_outside(_: i32) -> Result<Sample, SampleError> {
    Err(UNSUPPORTED)
}

pub(in crate::guru_meditation) fn blocks_signal(_: u64) -> bool {
    false
}
