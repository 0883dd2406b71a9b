//! Schedules the progress reports of a long start. The caller passes the time, from any origin.
//!
//! ```text
//! new progress        at once, but a second after the last report was delivered; the newest wins
//! no new progress     the last one again, marked `repeated`, every 10 s while it may be repeated
//! ```
//!
//! Guarantees that a repeated report never looks like progress. Does not know who receives the
//! reports.

use std::time::Duration;

use grid_broker::grid::values::wording::is_same_wording;

/// The broker stores one report per second; it coalesces faster ones into the newest.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The longest silence, as in the vendor's kit (its limits are 30 s and 1 min).
const REPEAT_INTERVAL: Duration = Duration::from_secs(10);

/// The content of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobProgress {
    /// Whole percent, 1 to 100; `None` if unknown.
    pub(crate) percent: Option<u8>,
    /// What is being done.
    pub(crate) text: String,
}

/// A report that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DueReport {
    pub(crate) progress: JobProgress,
    /// There was no new progress since the last report.
    pub(crate) repeated: bool,
}

/// Until when the last report may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepeatPolicy {
    /// While the job runs.
    Always,
    /// Until this time, exclusive.
    Until(Duration),
}

/// The last report and the next one.
#[derive(Debug)]
pub(crate) struct Pacing {
    progress: JobProgress,
    has_news: bool,
    sent_at: Option<Duration>,
    /// When the last report was delivered or given up.
    completed_at: Duration,
    pub(crate) repeats: RepeatPolicy,
}

impl Pacing {
    /// No report is due yet.
    pub(crate) fn new(repeats: RepeatPolicy) -> Self {
        Self {
            progress: JobProgress::default(),
            has_news: false,
            sent_at: None,
            completed_at: Duration::ZERO,
            repeats,
        }
    }

    /// Sets new progress, which is due.
    pub(crate) fn set_progress(&mut self, progress: JobProgress) {
        self.progress = progress;
        self.has_news = true;
    }

    /// Sets progress from a line. A line that differs only in digits or a spinner (`|/-\\`) is no
    /// news: it goes out with the next repeat.
    pub(crate) fn set_progress_from_line(&mut self, progress: JobProgress) {
        let is_same = self.sent_at.is_some()
            && progress.percent == self.progress.percent
            && is_same_wording(&progress.text, &self.progress.text);
        self.progress = progress;
        self.has_news |= !is_same;
    }

    /// When [`Self::poll`] will return a report; `None`: not before there is progress.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        match (self.sent_at, self.has_news) {
            (None, true) => Some(Duration::ZERO),
            (Some(_), true) => Some(self.completed_at + MIN_INTERVAL),
            (None, false) => None,
            (Some(said_at), false) => {
                let at = (said_at + REPEAT_INTERVAL).max(self.completed_at + MIN_INTERVAL);
                let may_repeat = match self.repeats {
                    RepeatPolicy::Always => true,
                    RepeatPolicy::Until(until) => at < until,
                };
                may_repeat.then_some(at)
            }
        }
    }

    /// The report that is due `now`; it counts as sent.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<DueReport> {
        let due_at = self.due_at()?;
        if now < due_at {
            return None;
        }
        let repeated = !self.has_news;
        self.has_news = false;
        self.sent_at = Some(now);
        self.completed_at = now;
        Some(DueReport { progress: self.progress.clone(), repeated })
    }

    /// The last report was replied to, which may take long.
    pub(crate) fn completed(&mut self, now: Duration) {
        self.completed_at = now;
    }

    /// The newest progress.
    pub(crate) fn progress(&self) -> &JobProgress {
        &self.progress
    }

    /// Whether there is progress that was not sent.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn progress(percent: u8) -> JobProgress {
        JobProgress { percent: Some(percent), text: "fsck".to_owned() }
    }

    fn due(percent: u8, repeated: bool) -> Option<DueReport> {
        Some(DueReport { progress: progress(percent), repeated })
    }

    #[test]
    fn new_progress_waits_a_second_and_the_newest_wins() {
        let mut pacing = Pacing::new(RepeatPolicy::Always);
        assert_eq!((pacing.due_at(), pacing.poll(at(5))), (None, None));
        pacing.set_progress(progress(1));
        assert_eq!(pacing.poll(at(5)), due(1, false));
        pacing.set_progress(progress(2));
        pacing.set_progress(progress(3));
        assert_eq!(pacing.due_at(), Some(at(1_005)));
        assert_eq!(pacing.poll(at(1_004)), None);
        assert!(pacing.has_news());
        assert_eq!(pacing.poll(at(1_005)), due(3, false));
        assert!(!pacing.has_news());
        assert_eq!(pacing.due_at(), Some(at(11_005)));
    }

    #[test]
    fn unchanged_progress_is_repeated_and_marked_every_10_s() {
        let mut pacing = Pacing::new(RepeatPolicy::Always);
        pacing.set_progress(progress(7));
        assert_eq!(pacing.poll(at(0)), due(7, false));
        for second in 1..=35 {
            let expected = if second % 10 == 0 { due(7, true) } else { None };
            assert_eq!(pacing.poll(at(second * 1_000)), expected, "{second} s");
        }
        // The job itself reports the same again: not our repeat.
        pacing.set_progress(progress(7));
        assert_eq!(pacing.poll(at(35_500)), due(7, false));
    }

    #[test]
    fn a_delayed_report_is_not_caught_up() {
        let mut pacing = Pacing::new(RepeatPolicy::Always);
        pacing.set_progress(progress(7));
        assert_eq!(pacing.poll(at(0)), due(7, false));
        assert_eq!(pacing.poll(at(47_000)), due(7, true));
        assert_eq!(pacing.poll(at(47_001)), None);
        assert_eq!(pacing.due_at(), Some(at(57_000)));
    }

    #[test]
    fn a_slow_reply_keeps_the_interval_and_no_two_reports_come_within_a_second() {
        let mut pacing = Pacing::new(RepeatPolicy::Always);
        pacing.set_progress(progress(7));
        assert_eq!(pacing.poll(at(0)), due(7, false));
        pacing.completed(at(4_000));
        assert_eq!(pacing.due_at(), Some(at(10_000)));
        pacing.set_progress(progress(8));
        assert_eq!(pacing.due_at(), Some(at(5_000)));
        assert_eq!(pacing.poll(at(5_000)), due(8, false));
        pacing.completed(at(19_000));
        assert_eq!(pacing.due_at(), Some(at(20_000)));
    }

    #[test]
    fn spinners_and_clocks_are_no_news() {
        let mut pacing = Pacing::new(RepeatPolicy::Always);
        let spins = |spinner: char, second: u64| JobProgress {
            percent: Some(34),
            text: format!("{spinner} checking, 00:00:{second:02}"),
        };
        pacing.set_progress_from_line(spins('|', 0));
        assert!(!pacing.poll(at(0)).unwrap().repeated);
        for (second, spinner) in (1..10).zip("/-\\|/-\\|/".chars()) {
            pacing.set_progress_from_line(spins(spinner, second));
            assert_eq!(pacing.poll(at(second * 1_000)), None);
        }
        let due = pacing.poll(at(10_000)).unwrap();
        assert_eq!((due.repeated, due.progress.text.as_str()), (true, "/ checking, 00:00:09"));
        pacing.set_progress_from_line(JobProgress { percent: Some(35), ..spins('|', 11) });
        assert!(!pacing.poll(at(11_000)).unwrap().repeated);
        pacing
            .set_progress_from_line(JobProgress { percent: Some(35), text: "linking".to_owned() });
        assert!(!pacing.poll(at(12_000)).unwrap().repeated);
    }

    #[test]
    fn repeats_end_at_their_limit() {
        let mut pacing = Pacing::new(RepeatPolicy::Until(at(20_000)));
        pacing.set_progress(progress(7));
        assert_eq!(pacing.poll(at(0)), due(7, false));
        assert_eq!(pacing.poll(at(10_000)), due(7, true));
        assert_eq!(pacing.due_at(), None, "at 20 s the time is over");
        pacing.repeats = RepeatPolicy::Until(at(60_000));
        assert_eq!(pacing.due_at(), Some(at(20_000)));
        pacing.set_progress(progress(8));
        assert_eq!(pacing.poll(at(11_000)), due(8, false));
    }
}
