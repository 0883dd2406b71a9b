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

use grid_broker::grid::words_of::says_the_same;

/// The broker stores one report per second; it coalesces faster ones into the newest.
const FASTEST: Duration = Duration::from_secs(1);

/// The longest silence, as in the vendor's kit (its limits are 30 s and 1 min).
const RHYTHM: Duration = Duration::from_secs(10);

/// The content of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Whole percent, 1 to 100; `None` if unknown.
    pub(crate) percent: Option<u8>,
    /// What is being done.
    pub(crate) text: String,
}

/// A report that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) progress: Progress,
    /// There was no new progress since the last report.
    pub(crate) repeated: bool,
}

/// Until when the last report may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// While the job runs.
    Always,
    /// Until this time, exclusive.
    Until(Duration),
}

/// The last report and the next one.
#[derive(Debug)]
pub(crate) struct Pacing {
    progress: Progress,
    is_fresh: bool,
    said_at: Option<Duration>,
    /// When the last report was delivered or given up.
    answered_at: Duration,
    pub(crate) repeats: Repeats,
}

impl Pacing {
    /// No report is due yet.
    pub(crate) fn new(repeats: Repeats) -> Self {
        Self {
            progress: Progress::default(),
            is_fresh: false,
            said_at: None,
            answered_at: Duration::ZERO,
            repeats,
        }
    }

    /// Sets new progress, which is due.
    pub(crate) fn hear(&mut self, progress: Progress) {
        self.progress = progress;
        self.is_fresh = true;
    }

    /// Sets progress from a line. A line that differs only in digits or a spinner (`|/-\\`) is no
    /// news: it goes out with the next repeat.
    pub(crate) fn hear_line(&mut self, progress: Progress) {
        let is_same = self.said_at.is_some()
            && progress.percent == self.progress.percent
            && says_the_same(&progress.text, &self.progress.text);
        self.progress = progress;
        self.is_fresh |= !is_same;
    }

    /// When [`Self::poll`] will return a report; `None`: not before there is progress.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        match (self.said_at, self.is_fresh) {
            (None, true) => Some(Duration::ZERO),
            (Some(_), true) => Some(self.answered_at + FASTEST),
            (None, false) => None,
            (Some(said_at), false) => {
                let at = (said_at + RHYTHM).max(self.answered_at + FASTEST);
                let may_repeat = match self.repeats {
                    Repeats::Always => true,
                    Repeats::Until(until) => at < until,
                };
                may_repeat.then_some(at)
            }
        }
    }

    /// The report that is due `now`; it counts as sent.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Due> {
        let due_at = self.due_at()?;
        if now < due_at {
            return None;
        }
        let repeated = !self.is_fresh;
        self.is_fresh = false;
        self.said_at = Some(now);
        self.answered_at = now;
        Some(Due { progress: self.progress.clone(), repeated })
    }

    /// The last report was replied to, which may take long.
    pub(crate) fn answered(&mut self, now: Duration) {
        self.answered_at = now;
    }

    /// The newest progress.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether there is progress that was not sent.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn progress(percent: u8) -> Progress {
        Progress { percent: Some(percent), text: "fsck".to_owned() }
    }

    fn due(percent: u8, repeated: bool) -> Option<Due> {
        Some(Due { progress: progress(percent), repeated })
    }

    #[test]
    fn news_wait_for_their_second_and_the_newest_wins() {
        let mut pacing = Pacing::new(Repeats::Always);
        assert_eq!((pacing.due_at(), pacing.take(at(5))), (None, None));
        pacing.hear(progress(1));
        assert_eq!(pacing.take(at(5)), due(1, false));
        pacing.hear(progress(2));
        pacing.hear(progress(3));
        assert_eq!(pacing.due_at(), Some(at(1_005)));
        assert_eq!(pacing.take(at(1_004)), None);
        assert!(pacing.is_fresh());
        assert_eq!(pacing.take(at(1_005)), due(3, false));
        assert!(!pacing.is_fresh());
        assert_eq!(pacing.due_at(), Some(at(11_005)));
    }

    #[test]
    fn who_stands_still_is_repeated_and_marked_every_10_s() {
        let mut pacing = Pacing::new(Repeats::Always);
        pacing.hear(progress(7));
        assert_eq!(pacing.take(at(0)), due(7, false));
        for second in 1..=35 {
            let expected = if second % 10 == 0 { due(7, true) } else { None };
            assert_eq!(pacing.take(at(second * 1_000)), expected, "{second} s");
        }
        // The job itself reports the same again: not our repeat.
        pacing.hear(progress(7));
        assert_eq!(pacing.take(at(35_500)), due(7, false));
    }

    #[test]
    fn a_report_that_was_held_up_is_not_made_up_for() {
        let mut pacing = Pacing::new(Repeats::Always);
        pacing.hear(progress(7));
        assert_eq!(pacing.take(at(0)), due(7, false));
        assert_eq!(pacing.take(at(47_000)), due(7, true));
        assert_eq!(pacing.take(at(47_001)), None);
        assert_eq!(pacing.due_at(), Some(at(57_000)));
    }

    #[test]
    fn a_slow_answer_leaves_the_rhythm_and_no_two_reports_come_within_a_second() {
        let mut pacing = Pacing::new(Repeats::Always);
        pacing.hear(progress(7));
        assert_eq!(pacing.take(at(0)), due(7, false));
        pacing.answered(at(4_000));
        assert_eq!(pacing.due_at(), Some(at(10_000)));
        pacing.hear(progress(8));
        assert_eq!(pacing.due_at(), Some(at(5_000)));
        assert_eq!(pacing.take(at(5_000)), due(8, false));
        pacing.answered(at(19_000));
        assert_eq!(pacing.due_at(), Some(at(20_000)));
    }

    #[test]
    fn what_only_turns_or_counts_seconds_is_no_news() {
        let mut pacing = Pacing::new(Repeats::Always);
        let spins = |spinner: char, second: u64| Progress {
            percent: Some(34),
            text: format!("{spinner} checking, 00:00:{second:02}"),
        };
        pacing.hear_line(spins('|', 0));
        assert!(!pacing.take(at(0)).unwrap().repeated);
        for (second, spinner) in (1..10).zip("/-\\|/-\\|/".chars()) {
            pacing.hear_line(spins(spinner, second));
            assert_eq!(pacing.take(at(second * 1_000)), None);
        }
        let due = pacing.take(at(10_000)).unwrap();
        assert_eq!((due.repeated, due.progress.text.as_str()), (true, "/ checking, 00:00:09"));
        pacing.hear_line(Progress { percent: Some(35), ..spins('|', 11) });
        assert!(!pacing.take(at(11_000)).unwrap().repeated);
        pacing.hear_line(Progress { percent: Some(35), text: "linking".to_owned() });
        assert!(!pacing.take(at(12_000)).unwrap().repeated);
    }

    #[test]
    fn repeats_end_when_they_must() {
        let mut pacing = Pacing::new(Repeats::Until(at(20_000)));
        pacing.hear(progress(7));
        assert_eq!(pacing.take(at(0)), due(7, false));
        assert_eq!(pacing.take(at(10_000)), due(7, true));
        assert_eq!(pacing.due_at(), None, "at 20 s the time is over");
        pacing.repeats = Repeats::Until(at(60_000));
        assert_eq!(pacing.due_at(), Some(at(20_000)));
        pacing.hear(progress(8));
        assert_eq!(pacing.take(at(11_000)), due(8, false));
    }
}
