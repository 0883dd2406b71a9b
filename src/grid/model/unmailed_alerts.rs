//! Alerts that a rate limit suppressed before a mail told of them: how many of which kinds.
//!
//! Guarantees a bounded size, and that a mail tells of them soon at first and by a schedule if more are
//! suppressed. Plain values; knows neither mails nor recipients.

use std::time::Duration;

use crate::grid::model::notification_schedule::{QUIET_MAX, repeat_interval};
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

/// Most kinds that are counted by their keys; the rest is counted together.
pub const GROUPS_MAX: usize = 8;

/// After so long the first ones are told of: most are in the mail on what came before them.
const FIRST_MAIL_AFTER: Duration = Duration::from_secs(20);

/// Most bytes of the text that is kept as a sample.
const SAMPLE_BYTES_MAX: usize = 200;

/// Alerts of one appliance that were suppressed since the last mail on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnmailedAlerts {
    /// How many of which key, and how grave; the first that came first.
    pub groups: Vec<(Box<str>, Severity, u64)>,
    /// How many of other keys.
    pub others: u64,
    /// How grave the gravest of those is.
    pub others_severity: Option<Severity>,
    /// When the first came.
    pub first_at: Timestamp,
    /// When the last came.
    pub last_at: Timestamp,
    /// The text of the last, cut.
    pub sample: Box<str>,
    /// When a mail last told of such; `None`: none did.
    pub mailed_at: Option<Timestamp>,
    /// How often, since they began.
    pub mail_count: u32,
}

impl UnmailedAlerts {
    /// One more.
    pub fn add(&mut self, label: &str, severity: Severity, text: &str, now: Timestamp) {
        if self.count() == 0 {
            self.first_at = now;
            let is_long_ago = self.mailed_at.is_some_and(|at| now >= at.after(QUIET_MAX));
            if is_long_ago && now >= self.last_at.after(QUIET_MAX) {
                (self.mailed_at, self.mail_count) = (None, 0);
            }
        }
        self.last_at = now;
        self.sample = text[..text.floor_char_boundary(SAMPLE_BYTES_MAX)].into();
        let known = self.groups.iter().position(|it| *it.0 == *label && it.1 == severity);
        match known {
            Some(at) => self.groups[at].2 = self.groups[at].2.saturating_add(1),
            None if self.groups.len() < GROUPS_MAX => self.groups.push((label.into(), severity, 1)),
            None => {
                self.others = self.others.saturating_add(1);
                self.others_severity = self.others_severity.max(Some(severity));
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.groups.iter().fold(self.others, |sum, it| sum.saturating_add(it.2))
    }

    /// How grave the gravest is.
    pub fn severity(&self) -> Option<Severity> {
        self.groups.iter().map(|it| it.1).chain(self.others_severity).max()
    }

    /// When a mail tells of them; `None`: there are none.
    pub fn due_at(&self) -> Option<Timestamp> {
        let soon = (self.count() > 0).then(|| self.first_at.after(FIRST_MAIL_AFTER))?;
        let pause = self.mail_count.checked_sub(1).map_or(Duration::ZERO, repeat_interval);
        Some(self.mailed_at.map_or(soon, |at| soon.max(at.after(pause))))
    }

    /// A mail tells of them for their own sake.
    #[must_use]
    pub fn with_own_mail(&self, now: Timestamp) -> Self {
        self.reset(now, self.mail_count.saturating_add(1))
    }

    /// A mail on their appliance tells of them, too: that is no step of the schedule.
    #[must_use]
    pub fn with_shared_mail(&self, now: Timestamp) -> Self {
        self.reset(now, self.mail_count.max(1))
    }

    fn reset(&self, now: Timestamp, times: u32) -> Self {
        let mailed_at = Some(now);
        let (first_at, last_at) = (self.first_at, self.last_at);
        Self { first_at, last_at, mailed_at, mail_count: times, ..Self::default() }
    }

    /// What a mail says of them: how many, of which kinds, and the last.
    pub fn describe(&self) -> String {
        let mut kinds = self.groups.iter().collect::<Vec<_>>();
        kinds.sort_by_key(|it| std::cmp::Reverse((it.1, it.2)));
        let mut parts: Vec<_> = kinds
            .into_iter()
            .map(|(label, severity, count)| format!("{count} {} \"{label}\"", severity.as_str()))
            .collect();
        if self.others > 0 {
            parts.push(format!("{} of other kinds", self.others));
        }
        let (alerts, are) = if self.count() == 1 { ("alert", "is") } else { ("alerts", "are") };
        format!(
            "the rate limit suppressed {} {alerts}, which {are} in no mail: {}; the last: \"{}\"",
            self.count(),
            parts.join(", "),
            self.sample
        )
    }
}
