//! Limits a log line that clients can cause to ten a minute, and counts the suppressed ones.
//!
//! One value a line, as a `static` beside it. Guarantees a bound on what clients make gridd log; the
//! metrics count all occurrences. Writes nothing itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic_now;

/// Most lines of one kind in a minute.
const LINES_PER_MINUTE_MAX: u32 = 10;

const MINUTE: Duration = Duration::from_secs(60);

/// Decides whether one kind of line is written this time.
#[derive(Debug, Default)]
pub struct LogLimiter(Mutex<LogWindow>);

/// The lines of the current minute.
#[derive(Debug, Default)]
struct LogWindow {
    started_at: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl LogLimiter {
    /// A limiter without lines so far.
    pub const fn new() -> Self {
        Self(Mutex::new(LogWindow { started_at: None, written: 0, left_out: 0 }))
    }

    /// `Some`: the line may be written, with the number of lines left out before; `None`: leave it out.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(monotonic_now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.started_at.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            (minute.started_at, minute.written) = (Some(now), 0);
        }
        if minute.written >= LINES_PER_MINUTE_MAX {
            minute.left_out += 1;
            return None;
        }
        minute.written += 1;
        Some(std::mem::take(&mut minute.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_a_minute_are_written_and_the_next_counts_the_suppressed() {
        let line = LogLimiter::new();
        let begin = monotonic_now();
        let written = (0..20_000).filter(|_| line.allow_at(begin).is_some()).count();
        assert_eq!(written, 10);
        let later = begin + MINUTE;
        assert_eq!(line.allow_at(later), Some(19_990));
        assert_eq!(line.allow_at(later), Some(0));
    }
}
