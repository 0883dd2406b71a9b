//! Shows how far an export is, on a terminal.
//!
//! Guarantees one line on stderr, at most five times a second, and nothing if stderr is no terminal.
//! Does not know records.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use grid_broker::show::count::format_count;
use grid_broker::units::format_duration;
use tokio::time::Instant;

/// Pause between two lines.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Before that, a rate says little.
const ESTIMATE_AFTER: Duration = Duration::from_secs(1);

/// How far an export is, in numbers of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportPosition {
    /// Where it began, on a whole.
    pub(super) first: u64,
    /// Everything up to this number was examined.
    pub(super) reached: u64,
    /// Where it ends.
    pub(super) last: u64,
    /// Records that matched and are written.
    pub(super) written: u64,
}

/// The line.
pub(super) struct ProgressLine {
    is_shown: bool,
    /// When this run began, and at which number.
    began: Option<(Instant, u64)>,
    drawn_at: Option<Instant>,
}

impl ProgressLine {
    /// A line that is shown if stderr is a terminal and the records are not on it, too.
    pub(super) fn new(is_file: bool, is_quiet: bool) -> Self {
        let is_apart = is_file || !io::stdout().is_terminal();
        let is_shown = !is_quiet && is_apart && io::stderr().is_terminal();
        Self { is_shown, began: None, drawn_at: None }
    }

    /// Shows the position, unless one was shown just before.
    pub(super) fn update(&mut self, position: ExportPosition) {
        if !self.is_shown {
            return;
        }
        let now = Instant::now();
        let (since, from) = *self.began.get_or_insert((now, position.reached));
        if self.drawn_at.is_some_and(|at| now.duration_since(at) < REDRAW_INTERVAL) {
            return;
        }
        self.drawn_at = Some(now);
        let line = line(position, position.reached.saturating_sub(from), now.duration_since(since));
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    /// Removes the line, before anything else is printed.
    pub(super) fn clear(&mut self) {
        if self.drawn_at.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// `34 % of 10000000 records, 401000 records/s, about 16s left; 120 written`.
fn line(position: ExportPosition, done_now: u64, took: Duration) -> String {
    let ExportPosition { first, reached, last, written } = position;
    let total = (last + 1).saturating_sub(first);
    let done = (reached + 1).saturating_sub(first).min(total);
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    let mut line = format!("{percent} % of {}", format_count(total, "record"));
    if took >= ESTIMATE_AFTER && done_now > 0 {
        let rate = u128::from(done_now) * 1_000_000 / took.as_micros().max(1);
        let left = u128::from(total - done) * took.as_micros() / u128::from(done_now);
        let seconds = u64::try_from(left / 1_000_000).unwrap_or(u64::MAX).saturating_add(1);
        let left = format_duration(Duration::from_secs(seconds));
        line.push_str(&format!(", {rate} records/s, about {left} left"));
    }
    // Filters and tallies leave records out.
    if written != done {
        line.push_str(&format!("; {written} written"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_share_rate_and_estimate() {
        let at = |reached, written| ExportPosition { first: 1, reached, last: 10_000_000, written };
        let shown = |reached, written, done_now, seconds| {
            line(at(reached, written), done_now, Duration::from_secs(seconds))
        };
        assert_eq!(shown(0, 0, 0, 0), "0 % of 10000000 records");
        assert_eq!(
            shown(4_000_000, 4_000_000, 4_000_000, 10),
            "40 % of 10000000 records, 400000 records/s, about 16s left"
        );
        assert_eq!(
            shown(4_000_000, 120, 1_000_000, 10),
            "40 % of 10000000 records, 100000 records/s, about 1m1s left; 120 written",
            "the rate is that of this run, also if an earlier one was interrupted"
        );
        let empty = ExportPosition { first: 1, reached: 0, last: 0, written: 0 };
        assert_eq!(line(empty, 0, Duration::ZERO), "0 % of 0 records");
    }
}
