//! Schedules the mails on a continuing problem, instead of one per occurrence.
//!
//! Guarantees that occurrences since the last mail are counted until a mail reports them, and that
//! a problem which was quiet for long is new again. Plain values; knows neither mails nor
//! recipients.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

/// How long after the first mail another one reports a changed text.
pub const CHANGE_AFTER: Duration = Duration::from_secs(5 * 60);

/// The intervals between mails on a continuing problem, by the number of such mails.
pub const REPEAT_INTERVALS: [Duration; 3] = [
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(24 * 3_600),
    Duration::from_secs(7 * 24 * 3_600),
];

/// The shortest quiet time after which a problem is new again: an alert once an hour is not new.
pub const QUIET_MIN: Duration = Duration::from_secs(2 * 3_600);

/// The longest quiet time after which a problem is new again.
pub const QUIET_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The most bytes kept of the last text.
pub const TEXT_BYTES_MAX: usize = 200;

/// What was mailed of a problem that may continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationSchedule {
    /// The hash of what was mailed.
    pub content_hash: Uuid,
    /// Its severity.
    pub severity: Severity,
    /// When it was mailed.
    pub notified_at: Timestamp,
    /// How many mails of the schedule were sent since it was new.
    pub repeat_count: u32,
    /// Whether the mail on a changed text was sent.
    pub has_sent_change: bool,
    /// How often it occurred since.
    pub occurrences: u64,
    /// Whether the text changed since.
    pub is_changed: bool,
    /// When it last occurred.
    pub last_seen_at: Timestamp,
    /// The time between its last two occurrences.
    pub last_gap: Duration,
    /// Its last text, truncated to [`TEXT_BYTES_MAX`] bytes.
    pub last_text: Box<str>,
}

impl NotificationSchedule {
    /// A new problem, mailed now; `before` is what was mailed of it long ago.
    pub fn new(
        content_hash: Uuid,
        severity: Severity,
        text: &str,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        Self {
            content_hash,
            severity,
            notified_at: now,
            repeat_count: 0,
            has_sent_change: false,
            occurrences: 0,
            is_changed: false,
            last_seen_at: now,
            last_gap: before.map_or(Duration::ZERO, |before| now.since(before.last_seen_at)),
            last_text: truncate(text),
        }
    }

    /// Counts another occurrence.
    #[must_use]
    pub fn with_occurrence(mut self, content_hash: Uuid, text: &str, now: Timestamp) -> Self {
        self.occurrences = self.occurrences.saturating_add(1);
        self.is_changed |= content_hash != self.content_hash;
        self.last_gap = now.since(self.last_seen_at);
        self.last_seen_at = now;
        self.last_text = truncate(text);
        self
    }

    /// Whether an occurrence at `now` is new: it was quiet for three times its own interval.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.over_at()
    }

    /// Whether it can be removed at `now` without loss.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.is_over(now) && self.due_at().is_none()
    }

    /// When a mail reports that it continues; `None`: there is nothing to report. An unchanged text
    /// is mailed again only while it continues.
    pub fn due_at(&self) -> Option<Timestamp> {
        let due = self.notified_at.after(self.next_interval());
        (self.occurrences > 0 && (self.is_changed || due <= self.over_at())).then_some(due)
    }

    /// A mail reported that it continues.
    #[must_use]
    pub fn with_notification(self, content_hash: Uuid, now: Timestamp) -> Self {
        let tells_change = self.is_change_due();
        Self {
            content_hash,
            notified_at: now,
            repeat_count: self.repeat_count.saturating_add(u32::from(!tells_change)),
            has_sent_change: self.has_sent_change || tells_change,
            occurrences: 0,
            is_changed: false,
            ..self
        }
    }

    fn over_at(&self) -> Timestamp {
        self.last_seen_at.after(self.last_gap.saturating_mul(3).clamp(QUIET_MIN, QUIET_MAX))
    }

    fn is_change_due(&self) -> bool {
        self.is_changed && !self.has_sent_change && self.repeat_count == 0
    }

    fn next_interval(&self) -> Duration {
        if self.is_change_due() { CHANGE_AFTER } else { repeat_interval(self.repeat_count) }
    }
}

/// The time from the last mail to the next one, after that many mails.
pub fn repeat_interval(times: u32) -> Duration {
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    REPEAT_INTERVALS[times.min(REPEAT_INTERVALS.len() - 1)]
}

fn truncate(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}
