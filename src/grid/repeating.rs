//! A problem that goes on is mailed by a schedule, not each time it is said.
//!
//! Guarantees that what was said since the last mail is counted until a mail tells of it, and that a
//! problem which was quiet for long is news again. Plain values; knows neither mails nor recipients.

use std::time::Duration;

use uuid::Uuid;

use super::event::Severity;
use super::time::Timestamp;

/// After the first mail: if other words came meanwhile, a mail tells of them after so long.
pub const NEXT_AFTER: Duration = Duration::from_secs(5 * 60);

/// A problem that goes on is mailed again after so long, by how often that was done.
pub const REPEATS: [Duration; 3] = [
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
pub struct Repeating {
    /// The fingerprint of what was mailed.
    pub said: Uuid,
    /// How grave.
    pub severity: Severity,
    /// When it was mailed.
    pub at: Timestamp,
    /// How often the schedule was used since it was news.
    pub times: u32,
    /// Whether the mail of other words was used.
    pub has_told_change: bool,
    /// How often it was said since.
    pub since: u64,
    /// Whether other words came since.
    pub is_changed: bool,
    /// When it was last said.
    pub said_at: Timestamp,
    /// How long the pause before that was.
    pub pause: Duration,
    /// What was last said, cut to [`TEXT_BYTES_MAX`] bytes.
    pub text: Box<str>,
}

impl Repeating {
    /// It is news, and mailed; `before` is what was mailed of it long ago.
    pub fn new(
        said: Uuid,
        severity: Severity,
        text: &str,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        Self {
            said,
            severity,
            at: now,
            times: 0,
            has_told_change: false,
            since: 0,
            is_changed: false,
            said_at: now,
            pause: before.map_or(Duration::ZERO, |before| now.since(before.said_at)),
            text: cut(text),
        }
    }

    /// It was said again.
    #[must_use]
    pub fn said_again(mut self, said: Uuid, text: &str, now: Timestamp) -> Self {
        self.since = self.since.saturating_add(1);
        self.is_changed |= said != self.said;
        self.pause = now.since(self.said_at);
        self.said_at = now;
        self.text = cut(text);
        self
    }

    /// Whether it is news if it is said at `now`: it was quiet for thrice its own pause.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.quiet_at()
    }

    /// Whether nothing is lost by forgetting it at `now`.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.is_over(now) && self.due().is_none()
    }

    /// When a mail tells that it goes on; `None`: there is nothing to tell. The same words are told
    /// again only while it goes on.
    pub fn due(&self) -> Option<Timestamp> {
        let due = self.at.after(self.next());
        (self.since > 0 && (self.is_changed || due <= self.quiet_at())).then_some(due)
    }

    /// A mail tells that it goes on.
    #[must_use]
    pub fn mailed(self, said: Uuid, now: Timestamp) -> Self {
        let tells_change = self.tells_change();
        Self {
            said,
            at: now,
            times: self.times.saturating_add(u32::from(!tells_change)),
            has_told_change: self.has_told_change || tells_change,
            since: 0,
            is_changed: false,
            ..self
        }
    }

    fn quiet_at(&self) -> Timestamp {
        self.said_at.after(self.pause.saturating_mul(3).clamp(QUIET_MIN, QUIET_MAX))
    }

    fn tells_change(&self) -> bool {
        self.is_changed && !self.has_told_change && self.times == 0
    }

    fn next(&self) -> Duration {
        if self.tells_change() { NEXT_AFTER } else { repeat(self.times) }
    }
}

/// How long after the last mail the next one comes, when that was done so often.
pub fn repeat(times: u32) -> Duration {
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    REPEATS[times.min(REPEATS.len() - 1)]
}

fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}
