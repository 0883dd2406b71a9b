//! What is known of how much an appliance says? What it spent, repeats, is held back for, and how
//! often what became of what.
//!
//! Guarantees plain values of bounded size, one set an appliance. Decides nothing: see `door`.

use std::num::NonZeroU32;
use std::time::Duration;

use uuid::Uuid;

use super::alert_key::AlertKey;
use super::event::PlainKind;
use super::record::Outcome;
use super::settings::{Budget, Budgets};
use super::time::Timestamp;
use super::unmailed::Unmailed;

/// A suppression ends after so long without an event over budget.
pub const SUPPRESSION_QUIET: Duration = Duration::from_secs(60);

/// When a suppression is summed up, counted from its beginning; then daily.
const SUMMED_UP_AFTER: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(30 * 60)];

/// See [`SUMMED_UP_AFTER`].
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What is left for grave alerts behind the budgets of a class, whatever the class says: so much
/// that noise hides none, and so little that nobody floods by it.
const RESERVE: Budget =
    Budget { burst: NonZeroU32::new(10).unwrap(), every: Duration::from_secs(5 * 60) };

/// Most bytes of the text that a suppression keeps as a sample.
const SAMPLE_BYTES_MAX: usize = 200;

/// How much one appliance says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What it spent.
    pub spent: Spent,
    /// Its alerts, by key; at most [`super::alert_key::KEYS_MAX`].
    pub keys: Vec<AlertKey>,
    /// What is held back, if something is.
    pub suppression: Option<Box<Suppression>>,
    /// How many events had which outcome.
    pub counts: Counts,
    /// When a report in maintenance was last kept.
    pub progress_at: Timestamp,
    /// Alerts that were suppressed and are in no mail.
    pub unmailed: Option<Box<Unmailed>>,
}

impl Admission {
    /// The alert key with that fingerprint.
    pub fn key(&self, id: Uuid) -> Option<&AlertKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// That alert key stands so.
    pub(in crate::grid) fn put(&mut self, key: AlertKey) {
        match self.keys.iter_mut().find(|known| known.id == key.id) {
            Some(known) => *known = key,
            None => self.keys.push(key),
        }
    }

    /// When the next mail is due about an alert that goes on, or about alerts that were suppressed.
    pub fn reminder_due(&self) -> Option<Timestamp> {
        let mailed = self.keys.iter().filter_map(|key| key.mailed.as_ref()?.due());
        mailed.chain(self.unmailed.as_ref().and_then(|unmailed| unmailed.due())).min()
    }
}

/// The budgets that an appliance has once; each of its alert keys has one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BudgetName {
    /// `started_ok`, `start_failed` and `maintenance`.
    Lifecycle,
    /// New boot ids.
    Boots,
    /// `log`.
    Log,
    /// `alert` with text, of one key.
    AlertKey,
    /// `alert` with text, over all keys.
    Alert,
    /// `alert` with a counter and no text.
    Counter,
    /// Events out of a spool.
    Replay,
    /// `alert` that is fatal and news, where the budgets of alerts are spent.
    Fatal,
    /// `alert` that is graver than all before under its key, likewise.
    Graver,
}

impl BudgetName {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Lifecycle,
        Self::Boots,
        Self::Log,
        Self::AlertKey,
        Self::Alert,
        Self::Counter,
        Self::Replay,
        Self::Fatal,
        Self::Graver,
    ];

    /// Its word, as in the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Boots => "boots",
            Self::Log => "log",
            Self::AlertKey => "alert_key",
            Self::Alert => "alert",
            Self::Counter => "counter",
            Self::Replay => "replay",
            Self::Fatal => "fatal",
            Self::Graver => "graver",
        }
    }

    /// What it is spent for, in words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Lifecycle => "events about its start",
            Self::Boots => "new boots",
            Self::Log => "log events",
            Self::AlertKey => "alerts of one kind",
            Self::Alert => "alerts",
            Self::Counter => "counters",
            Self::Replay => "events out of its spool",
            Self::Fatal => "fatal alerts",
            Self::Graver => "graver alerts",
        }
    }

    /// The budget of that name.
    pub fn of(self, budgets: &Budgets) -> Option<Budget> {
        match self {
            Self::Lifecycle => budgets.lifecycle,
            Self::Boots => budgets.boots,
            Self::Log => budgets.log,
            Self::AlertKey => budgets.alert_key,
            Self::Alert => budgets.alert,
            Self::Counter => budgets.counter,
            Self::Replay => budgets.replay,
            Self::Fatal | Self::Graver => Some(RESERVE),
        }
    }
}

/// When each budget is full again; a budget that was never touched is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent([Timestamp; BudgetName::ALL.len()]);

impl Spent {
    /// When that budget is full again.
    pub fn full_at(&self, budget: BudgetName) -> Timestamp {
        self.0[budget as usize]
    }

    /// That budget is full again at that moment.
    pub fn set(&mut self, budget: BudgetName, full_at: Timestamp) {
        self.0[budget as usize] = full_at;
    }
}

/// What became of an event, without why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlainOutcome {
    /// A record.
    Kept,
    /// The same alert again.
    Repeated,
    /// A report right behind another.
    Folded,
    /// Held back.
    Suppressed,
    /// A record that says no.
    Refused,
    /// A record of another boot, or of what was said before what is known.
    History,
    /// Below the severity that is kept.
    NotKept,
}

impl PlainOutcome {
    /// `None` for a duplicate: it was counted when it was first heard.
    pub fn new(outcome: Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Kept => Self::Kept,
            Outcome::Repeated => Self::Repeated,
            Outcome::Folded => Self::Folded,
            Outcome::Suppressed => Self::Suppressed,
            Outcome::Refused(_) => Self::Refused,
            Outcome::History | Outcome::Stale => Self::History,
            Outcome::NotKept => Self::NotKept,
            Outcome::Duplicate => return None,
        })
    }
}

/// How many events had which outcome, since the appliance is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(PlainKind, PlainOutcome, u64)>);

impl Counts {
    /// One more.
    pub fn add(&mut self, kind: PlainKind, outcome: PlainOutcome) {
        self.set(kind, outcome, self.get(kind, outcome) + 1);
    }

    /// So many.
    pub fn set(&mut self, kind: PlainKind, outcome: PlainOutcome, count: u64) {
        match self.0.binary_search_by_key(&(kind, outcome), |(kind, outcome, _)| (*kind, *outcome))
        {
            Ok(at) => self.0[at].2 = count,
            Err(at) => self.0.insert(at, (kind, outcome, count)),
        }
    }

    /// How many.
    pub fn get(&self, kind: PlainKind, outcome: PlainOutcome) -> u64 {
        let found = self.iter().find(|it| (it.0, it.1) == (kind, outcome));
        found.map_or(0, |(_, _, count)| count)
    }

    /// All that are not zero, by kind and outcome.
    pub fn iter(&self) -> impl Iterator<Item = (PlainKind, PlainOutcome, u64)> {
        self.0.iter().copied()
    }
}

/// An appliance is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Since when.
    pub since: Timestamp,
    /// The budget that had nothing left.
    pub budget: BudgetName,
    /// When something was last over budget.
    pub over_at: Timestamp,
    /// How often it was summed up.
    pub summed_up: u32,
    /// What was not stored, behind the event that began it.
    pub held: Option<Held>,
}

/// What was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many, in the order of [`PlainKind::ALL`].
    pub counts: [u64; PlainKind::ALL.len()],
    /// When the first was heard.
    pub first_at: Timestamp,
    /// When the last was heard.
    pub last_at: Timestamp,
    /// The kind of the last.
    pub kind: PlainKind,
    /// The text of the last, cut to 200 bytes.
    pub sample: Box<str>,
}

impl Suppression {
    /// One that begins.
    pub fn new(budget: BudgetName, now: Timestamp) -> Self {
        Self { since: now, budget, over_at: now, summed_up: 0, held: None }
    }

    /// When it ends, if nothing more is over budget.
    pub fn until(&self) -> Timestamp {
        self.over_at.after(SUPPRESSION_QUIET)
    }

    /// When something is to be told: its end, or the next summary.
    pub fn due(&self) -> Timestamp {
        self.until().min(self.next_summary())
    }

    /// When it is summed up next.
    pub fn next_summary(&self) -> Timestamp {
        let told = usize::try_from(self.summed_up).unwrap_or(usize::MAX);
        match SUMMED_UP_AFTER.get(told) {
            Some(after) => self.since.after(*after),
            None => {
                let days = told.saturating_sub(SUMMED_UP_AFTER.len()).saturating_add(1);
                self.since.after(DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX)))
            }
        }
    }

    /// One more event is not stored.
    #[must_use]
    pub fn holding(mut self, kind: PlainKind, text: &str, now: Timestamp) -> Self {
        self.over_at = now;
        let end = text.floor_char_boundary(SAMPLE_BYTES_MAX);
        let mut held = self.held.take().unwrap_or_else(|| Held {
            counts: [0; PlainKind::ALL.len()],
            first_at: now,
            last_at: now,
            kind,
            sample: Box::default(),
        });
        held.counts[kind as usize] = held.counts[kind as usize].saturating_add(1);
        (held.last_at, held.kind, held.sample) = (now, kind, text[..end].into());
        self.held = Some(held);
        self
    }
}

impl Suppression {
    /// So many more are not stored, which were lost before they came here.
    pub fn also(&mut self, kind: PlainKind, count: u64) {
        if let Some(held) = &mut self.held {
            held.counts[kind as usize] = held.counts[kind as usize].saturating_add(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_come_at_1_5_and_30_minutes_then_daily() {
        let mut suppression = Suppression::new(BudgetName::Log, Timestamp::EPOCH);
        let mut minutes = Vec::new();
        for _ in 0..6 {
            minutes.push(suppression.next_summary().since(Timestamp::EPOCH).as_secs() / 60);
            suppression.summed_up += 1;
        }
        assert_eq!(minutes, [1, 5, 30, 1_440, 2_880, 4_320]);
        suppression.summed_up = u32::MAX;
        assert_eq!(suppression.next_summary(), Timestamp::MAX);
    }
}
