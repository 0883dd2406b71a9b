//! Counts alerts that a rate limit suppressed, by group, until a mail reports them.
//!
//! Guarantees a bounded size, and that a mail reports them soon at first and by a schedule if more
//! are suppressed. Plain values; knows neither mails nor recipients.

use std::time::Duration;

use crate::grid::model::notification::repeat_after;
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

/// The most groups that are counted separately; the others are counted together.
pub const GROUPS_MAX: usize = 8;

/// How long after the first one a mail is sent: most are in the mail on earlier alerts.
const FIRST_MAIL_AFTER: Duration = Duration::from_secs(20);

/// After this time without one the schedule begins anew.
const QUIET_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The most bytes of a text that are kept as a sample.
const SAMPLE_BYTES_MAX: usize = 200;

/// Alerts of one appliance that were suppressed since the last mail on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnmailedAlerts {
    /// The key, the severity and the count of each group, in the order of arrival.
    pub groups: Vec<(Box<str>, Severity, u64)>,
    /// The count of other groups.
    pub others: u64,
    /// The highest severity of those.
    pub others_severity: Option<Severity>,
    /// When the first arrived.
    pub first_at: Timestamp,
    /// When the last arrived.
    pub last_at: Timestamp,
    /// The text of the last, truncated.
    pub sample: Box<str>,
    /// When a mail last reported some; `None`: never.
    pub mailed_at: Option<Timestamp>,
    /// How many mails did, since they began.
    pub mail_count: u32,
}

impl UnmailedAlerts {
    /// Adds one.
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

    /// The highest severity.
    pub fn severity(&self) -> Option<Severity> {
        self.groups.iter().map(|it| it.1).chain(self.others_severity).max()
    }

    /// When a mail reports them; `None`: there are none.
    pub fn due_at(&self) -> Option<Timestamp> {
        let soon = (self.count() > 0).then(|| self.first_at.after(FIRST_MAIL_AFTER))?;
        let pause = self.mail_count.checked_sub(1).map_or(Duration::ZERO, repeat_after);
        Some(self.mailed_at.map_or(soon, |at| soon.max(at.after(pause))))
    }

    /// A mail of their own reports them.
    #[must_use]
    pub fn with_own_mail(&self, now: Timestamp) -> Self {
        self.reset(now, self.mail_count.saturating_add(1))
    }

    /// A mail on their appliance reports them, too: that does not count for the schedule.
    #[must_use]
    pub fn with_shared_mail(&self, now: Timestamp) -> Self {
        self.reset(now, self.mail_count.max(1))
    }

    fn reset(&self, now: Timestamp, times: u32) -> Self {
        let mailed_at = Some(now);
        let (first_at, last_at) = (self.first_at, self.last_at);
        Self { first_at, last_at, mailed_at, mail_count: times, ..Self::default() }
    }

    /// Their text in a mail: how many, of which groups, and the last.
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
