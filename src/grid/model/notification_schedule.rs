//! A problem that goes on is mailed by a schedule, not each time it is said.
//!
//! Guarantees that what was said since the last mail is counted until a mail tells of it, and that a
//! problem which was quiet for long is news again. Plain values; knows neither mails nor recipients.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

/// After the first mail: if other words came meanwhile, a mail tells of them after so long.
pub const CHANGE_AFTER: Duration = Duration::from_secs(5 * 60);

/// A problem that goes on is mailed again after so long, by how often that was done.
pub const REPEAT_INTERVALS: [Duration; 3] = [
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(24 * 3_600),
    Duration::from_secs(7 * 24 * 3_600),
];

/// The shortest quiet after which a problem is news again: alerts once an hour are no news.
pub const QUIET_MIN: Duration = Duration::from_secs(2 * 3_600);

/// The longest quiet after which a problem is news again.
pub const QUIET_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Most bytes that are kept of what was last said.
pub const TEXT_BYTES_MAX: usize = 200;

/// What was mailed of a problem that may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationSchedule {
    /// The fingerprint of what was mailed.
    pub content_hash: Uuid,
    /// How grave.
    pub severity: Severity,
    /// When it was mailed.
    pub notified_at: Timestamp,
    /// How often the schedule was used since it was news.
    pub repeat_count: u32,
    /// Whether the mail of other words was used.
    pub has_sent_change: bool,
    /// How often it was said since.
    pub occurrences: u64,
    /// Whether other words came since.
    pub is_changed: bool,
    /// When it was last said.
    pub last_seen_at: Timestamp,
    /// How long the pause before that was.
    pub last_gap: Duration,
    /// What was last said, cut to [`TEXT_BYTES_MAX`] bytes.
    pub last_text: Box<str>,
}

impl NotificationSchedule {
    /// It is news, and mailed; `before` is what was mailed of it long ago.
    pub fn new(
        said: Uuid,
        severity: Severity,
        text: &str,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        Self {
            content_hash: said,
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

    /// It was said again.
    #[must_use]
    pub fn with_occurrence(mut self, said: Uuid, text: &str, now: Timestamp) -> Self {
        self.occurrences = self.occurrences.saturating_add(1);
        self.is_changed |= said != self.content_hash;
        self.last_gap = now.since(self.last_seen_at);
        self.last_seen_at = now;
        self.last_text = truncate(text);
        self
    }

    /// Whether it is news if it is said at `now`: it was quiet for thrice its own pause.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.over_at()
    }

    /// Whether nothing is lost by forgetting it at `now`.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.is_over(now) && self.due_at().is_none()
    }

    /// When a mail tells that it goes on; `None`: there is nothing to tell. The same words are told
    /// again only while it goes on.
    pub fn due_at(&self) -> Option<Timestamp> {
        let due = self.notified_at.after(self.next_interval());
        (self.occurrences > 0 && (self.is_changed || due <= self.over_at())).then_some(due)
    }

    /// A mail tells that it goes on.
    #[must_use]
    pub fn with_notification(self, said: Uuid, now: Timestamp) -> Self {
        let tells_change = self.is_change_due();
        Self {
            content_hash: said,
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

/// How long after the last mail the next one comes, when that was done so often.
pub fn repeat_interval(times: u32) -> Duration {
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    REPEAT_INTERVALS[times.min(REPEAT_INTERVALS.len() - 1)]
}

fn truncate(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}
