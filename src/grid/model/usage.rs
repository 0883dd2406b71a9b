//! Holds how much an appliance sends: rate limits, alert groups, suppression and outcome counts.
//!
//! Guarantees plain values of bounded size, one set per appliance. Decides nothing: see
//! `decide/admission.rs`.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::time::Duration;

use uuid::Uuid;

use super::settings::{RateLimit, RateLimits};
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::unmailed_alerts::UnmailedAlerts;
use crate::grid::values::event::EventKind;
use crate::grid::values::time::Timestamp;

pub use crate::grid::model::outcome_counts::{OutcomeCounts, OutcomeKind};
pub use crate::grid::model::rate_limit_state::RateLimitState;

/// A suppression ends after this time without an event over the limit.
pub const SUPPRESSION_QUIET_TIME: Duration = Duration::from_secs(60);

/// When a suppression gets a summary, counted from its start; then daily.
const SUMMARY_AFTER: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(30 * 60)];

/// See [`SUMMARY_AFTER`].
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The reserve for severe alerts beyond the rate limits of every class: enough that noise hides
/// none, too little to flood.
const RESERVE_LIMIT: RateLimit =
    RateLimit { burst: NonZeroU32::new(10).unwrap(), interval: Duration::from_secs(5 * 60) };

/// The most bytes of a suppressed text that are kept as a sample.
const SAMPLE_BYTES_MAX: usize = 200;

/// The usage of one appliance. What most of them do not have is apart: see [`RareUsage`], whose fields
/// are read as if they were here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The state of its rate limits.
    pub rate_limits: RateLimitState,
    /// How many events had which outcome.
    pub counts: OutcomeCounts,
    /// `None`: all of it is empty.
    rare: Option<Box<RareUsage>>,
}

/// The usage that most appliances do not have at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RareUsage {
    /// Its alert groups; at most [`crate::grid::model::alert_group::ALERT_GROUPS_MAX`].
    pub alert_groups: Vec<AlertGroup>,
    /// The current suppression, if any.
    pub suppression: Option<Box<Suppression>>,
    /// When a progress report was last stored.
    pub progress_stored_at: Timestamp,
    /// Suppressed alerts that no mail contains yet.
    pub unmailed: Option<Box<UnmailedAlerts>>,
}

static NO_RARE_USAGE: RareUsage = RareUsage {
    alert_groups: Vec::new(),
    suppression: None,
    progress_stored_at: Timestamp::EPOCH,
    unmailed: None,
};

impl Deref for Usage {
    type Target = RareUsage;

    fn deref(&self) -> &RareUsage {
        self.rare.as_deref().unwrap_or(&NO_RARE_USAGE)
    }
}

impl Usage {
    /// A usage of these parts.
    pub fn new(rate_limits: RateLimitState, counts: OutcomeCounts, rare: RareUsage) -> Self {
        let rare = (rare != NO_RARE_USAGE).then(|| Box::new(rare));
        Self { rate_limits, counts, rare }
    }

    /// Its parts.
    pub fn into_parts(self) -> (RateLimitState, OutcomeCounts, RareUsage) {
        (self.rate_limits, self.counts, self.rare.map(|rare| *rare).unwrap_or_default())
    }

    /// The alert group with that hash.
    pub fn alert_group(&self, id: Uuid) -> Option<&AlertGroup> {
        self.alert_groups.iter().find(|key| key.id == id)
    }

    /// Changes what most appliances do not have.
    pub(in crate::grid) fn update_rare(&mut self, change: impl FnOnce(&mut RareUsage)) {
        let mut rare = self.rare.take().unwrap_or_default();
        change(&mut rare);
        self.rare = Some(rare).filter(|rare| **rare != NO_RARE_USAGE);
    }

    /// Inserts or replaces an alert group.
    pub(in crate::grid) fn put_alert_group(&mut self, key: AlertGroup) {
        self.update_rare(|rare| match rare.alert_groups.iter_mut().find(|it| it.id == key.id) {
            Some(known) => *known = key,
            None => rare.alert_groups.push(key),
        });
    }

    /// When the next mail is due about alerts that were suppressed.
    pub fn reminder_due(&self) -> Option<Timestamp> {
        self.unmailed.as_ref().and_then(|unmailed| unmailed.due_at())
    }
}

/// The rate limits of an appliance. Each alert group has one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RateLimitKind {
    /// `started_ok`, `start_failed` and `maintenance`.
    Lifecycle,
    /// New boot ids.
    Boots,
    /// `log`.
    Log,
    /// `alert` with text, of one group.
    AlertGroup,
    /// `alert` with text, over all groups.
    Alert,
    /// `alert` with a counter and no text.
    Counter,
    /// Events from a spool.
    Replay,
    /// A new fatal `alert` when the alert limits are exhausted.
    Fatal,
    /// An `alert` more severe than all earlier ones of its group, likewise.
    Escalated,
}

impl RateLimitKind {
    /// All rate limits.
    pub const ALL: [Self; 9] = [
        Self::Lifecycle,
        Self::Boots,
        Self::Log,
        Self::AlertGroup,
        Self::Alert,
        Self::Counter,
        Self::Replay,
        Self::Fatal,
        Self::Escalated,
    ];

    /// Its identifier, as in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Boots => "boots",
            Self::Log => "log",
            Self::AlertGroup => "alert_key",
            Self::Alert => "alert",
            Self::Counter => "counter",
            Self::Replay => "replay",
            Self::Fatal => "fatal",
            Self::Escalated => "graver",
        }
    }

    /// What it limits, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Lifecycle => "events about its start",
            Self::Boots => "new boots",
            Self::Log => "log events",
            Self::AlertGroup => "alerts of one kind",
            Self::Alert => "alerts",
            Self::Counter => "counters",
            Self::Replay => "events from its spool",
            Self::Fatal => "fatal alerts",
            Self::Escalated => "more severe alerts",
        }
    }

    /// The rate limit of that kind.
    pub fn limit_in(self, budgets: &RateLimits) -> Option<RateLimit> {
        match self {
            Self::Lifecycle => budgets.lifecycle,
            Self::Boots => budgets.boots,
            Self::Log => budgets.log,
            Self::AlertGroup => budgets.alert_group,
            Self::Alert => budgets.alert,
            Self::Counter => budgets.counter,
            Self::Replay => budgets.replay,
            Self::Fatal | Self::Escalated => Some(RESERVE_LIMIT),
        }
    }
}

/// The suppression of an appliance that is over a rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// When it began.
    pub since: Timestamp,
    /// The exhausted rate limit.
    pub limit: RateLimitKind,
    /// When an event was last over the limit.
    pub last_exceeded_at: Timestamp,
    /// How many summaries it had.
    pub summaries: u32,
    /// What was not stored, after the event that began it.
    pub events: Option<SuppressedEvents>,
}

/// Events that were not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressedEvents {
    /// How many, in the order of [`EventKind::ALL`].
    pub counts: [u64; EventKind::ALL.len()],
    /// When the first was received.
    pub first_at: Timestamp,
    /// When the last was received.
    pub last_at: Timestamp,
    /// The kind of the last.
    pub last_kind: EventKind,
    /// The text of the last, truncated to 200 bytes.
    pub sample: Box<str>,
}

impl SuppressedEvents {
    fn count(&mut self, kind: EventKind, count: u64) {
        if let Some(known) = self.counts.get_mut(kind.index()) {
            *known = known.saturating_add(count);
        }
    }
}

impl Suppression {
    /// Begins a suppression.
    pub fn new(budget: RateLimitKind, now: Timestamp) -> Self {
        Self { since: now, limit: budget, last_exceeded_at: now, summaries: 0, events: None }
    }

    /// When it ends, if no further event is over the limit.
    pub fn ends_at(&self) -> Timestamp {
        self.last_exceeded_at.after(SUPPRESSION_QUIET_TIME)
    }

    /// When it needs a record: its end, or the next summary.
    pub fn next_deadline(&self) -> Timestamp {
        self.ends_at().min(self.next_summary_at())
    }

    /// When its next summary is due.
    pub fn next_summary_at(&self) -> Timestamp {
        let told = usize::try_from(self.summaries).unwrap_or(usize::MAX);
        match SUMMARY_AFTER.get(told) {
            Some(after) => self.since.after(*after),
            None => {
                let days = told.saturating_sub(SUMMARY_AFTER.len()).saturating_add(1);
                self.since.after(DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)))
            }
        }
    }

    /// Counts one more event that is not stored.
    #[must_use]
    pub fn count_one(mut self, kind: EventKind, text: &str, now: Timestamp) -> Self {
        self.last_exceeded_at = now;
        let end = text.floor_char_boundary(SAMPLE_BYTES_MAX);
        let mut held = self.events.take().unwrap_or_else(|| SuppressedEvents {
            counts: [0; EventKind::ALL.len()],
            first_at: now,
            last_at: now,
            last_kind: kind,
            sample: Box::default(),
        });
        held.count(kind, 1);
        (held.last_at, held.last_kind, held.sample) = (now, kind, text[..end].into());
        self.events = Some(held);
        self
    }
}

impl Suppression {
    /// Counts events that the appliance dropped before they were sent.
    pub fn count_dropped(&mut self, kind: EventKind, count: u64) {
        if let Some(held) = &mut self.events {
            held.count(kind, count);
        }
    }
}

/// The phase of a suppression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuppressionPhase {
    /// It begins.
    Begins,
    /// It counts; no text is recorded.
    Counts,
    /// A summary is recorded, and it continues.
    Summarised,
    /// It ends.
    Ends,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_takes_no_room() {
        let mut usage = Usage::default();
        usage.update_rare(|rare| rare.progress_stored_at = Timestamp::MAX);
        assert_ne!(usage, Usage::default());
        usage.update_rare(|rare| rare.progress_stored_at = Timestamp::EPOCH);
        assert_eq!(usage, Usage::default());
    }

    #[test]
    fn summaries_come_at_1_5_and_30_minutes_then_daily() {
        let mut suppression = Suppression::new(RateLimitKind::Log, Timestamp::EPOCH);
        let mut minutes = Vec::new();
        for _ in 0..6 {
            minutes.push(suppression.next_summary_at().since(Timestamp::EPOCH).as_secs() / 60);
            suppression.summaries += 1;
        }
        assert_eq!(minutes, [1, 5, 30, 1_440, 2_880, 4_320]);
        suppression.summaries = u32::MAX;
        assert_eq!(suppression.next_summary_at(), Timestamp::MAX);
    }
}
