//! Where does an appliance's start stand, and what may come next?
//!
//! ```text
//! state                    | stimulus     | becomes     | because
//! idle                     | started_ok   | refused     | stopped
//! idle                     | start_failed | refused     | stopped
//! idle                     | maintenance  | refused     | stopped
//! idle                     | deadline     | -           |
//! starting                 | started_ok   | running     |
//! starting                 | start_failed | failed      | reported
//! starting                 | maintenance  | maintenance |
//! starting                 | deadline     | failed      | boot_timeout
//! maintenance              | started_ok   | running     |
//! maintenance              | start_failed | failed      | reported
//! maintenance              | maintenance  | maintenance |
//! maintenance              | deadline     | failed      | hung
//! maintenance, stuck: warn | deadline     | maintenance | stuck
//! maintenance, stuck: fail | deadline     | failed      | no_progress
//! running                  | started_ok   | running     | no change
//! running                  | start_failed | refused     | already_running
//! running                  | maintenance  | refused     | already_running
//! running                  | deadline     | -           |
//! failed                   | started_ok   | running     | recovered
//! failed, boot_timeout     | started_ok   | running     | late
//! failed                   | start_failed | failed      | reported
//! failed, reported         | start_failed | failed      | no change
//! failed                   | maintenance  | maintenance | recovered
//! failed, reported         | maintenance  | refused     | failed_for_good
//! failed, dump_timeout     | maintenance  | refused     | failed_for_good
//! failed                   | deadline     | -           |
//! dumping                  | started_ok   | refused     | dumping
//! dumping                  | start_failed | refused     | dumping
//! dumping                  | maintenance  | refused     | dumping
//! dumping                  | deadline     | failed      | dump_timeout
//! dumping, unmanaged       | deadline     | running     | outcome_unknown
//! ```
//!
//! A row with a variant (`failed, reported`) goes before the row of the state. Besides, from any
//! state: a new boot gives starting (unmanaged: running), a stop gives idle; from running or failed
//! a crash dump gives dumping; and whoever becomes unmanaged in a start or after its failure is
//! running. A test compares this table with what [`step`] does.
//!
//! Guarantees that no other transition exists and that each deadline in a state is absolute. Knows
//! no clock, no boot ids, no records.

use std::time::Duration;

use super::event::Progress;
use super::marks::Marks;
use super::settings::{ClassSettings, LIMIT_RANGE, OnStuck};
use super::time::Timestamp;
use super::words_of::says_the_same;

/// Where an appliance's start stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// No boot is under way: never seen, or stopped.
    Idle,
    /// Booting.
    Starting {
        /// When the start has taken too long; `None`: never.
        deadline: Option<Timestamp>,
    },
    /// A long start, so long as it reports.
    Maintenance(Box<Maintenance>),
    /// Started.
    Running,
    /// The start failed.
    Failed(Box<Failed>),
    /// A crash dump is being taken.
    Dumping {
        /// When nothing more is expected of it.
        deadline: Timestamp,
    },
}

/// What is known of a long start.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// The newest progress.
    pub progress: Option<Progress>,
    /// The highest progress so far.
    pub best: Option<Progress>,
    /// What it says it is doing.
    pub text: Box<str>,
    /// When it last reported.
    pub reported_at: Timestamp,
    /// Silence beyond this is a hang.
    pub promise: Timestamp,
    /// When progress or text last moved.
    pub moved_at: Timestamp,
    /// When not moving is stuck; `None`: it was found stuck and has not moved since.
    pub stuck_at: Option<Timestamp>,
    /// The boot deadline that maintenance suspends.
    pub boot_deadline: Option<Timestamp>,
}

/// Why and with which last words a start failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// The appliance's reason, if it gave one.
    pub reason: Box<str>,
    /// What it last said in maintenance.
    pub last_word: Option<LastWord>,
}

/// The ways in which a start fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The appliance said so.
    Reported,
    /// Nothing was heard in time.
    BootTimeout {
        /// The time it had.
        limit: Duration,
    },
    /// Silent in maintenance beyond its promise.
    Hung {
        /// The time it had promised.
        promise: Duration,
    },
    /// Reports, but neither progress nor text moved.
    NoProgress {
        /// For how long.
        still_for: Duration,
    },
    /// A crash dump did not end in a new boot.
    DumpTimeout,
}

impl Failure {
    /// The failure's word, as users read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::BootTimeout { .. } => "boot_timeout",
            Self::Hung { .. } => "hung",
            Self::NoProgress { .. } => "no_progress",
            Self::DumpTimeout => "dump_timeout",
        }
    }
}

/// What an appliance last said of its progress.
#[derive(Clone, Debug, PartialEq)]
pub struct LastWord {
    /// Its text.
    pub text: Box<str>,
    /// Its progress.
    pub progress: Option<Progress>,
    /// When.
    pub at: Timestamp,
}

/// What happens to a start.
#[derive(Clone, Debug)]
pub enum Stimulus<'a> {
    /// The appliance says it started.
    StartedOk,
    /// The appliance says it failed.
    StartFailed {
        /// Why.
        reason: &'a str,
    },
    /// The appliance reports on its long start.
    Maintenance(Report<'a>),
    /// Time has come; which deadline passed is found here.
    Deadline,
}

/// A report in maintenance.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// How ready.
    pub progress: Option<Progress>,
    /// Doing what.
    pub text: &'a str,
    /// The promise of the next report.
    pub next_report_within: Option<Duration>,
    /// Sent again by a tool: contact, not progress.
    pub repeated: bool,
}

/// What follows from a stimulus.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is now so (perhaps the same state with other data).
    Becomes(Lifecycle, Marks),
    /// Worth a record, but nothing changes.
    Stays,
    /// The rules say no.
    Refused(Refusal),
    /// Nothing is due.
    Nothing,
}

/// Why an event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The appliance was stopped; only a new boot can start it.
    Stopped,
    /// The start is over.
    AlreadyRunning,
    /// The appliance itself said that this start failed, or no boot followed its crash dump.
    FailedForGood,
    /// A crash dump is being taken.
    Dumping,
    /// The appliance was removed.
    Removed,
}

impl Refusal {
    /// The refusal's fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::AlreadyRunning => "ALREADY_RUNNING",
            Self::FailedForGood => "FAILED_FOR_GOOD",
            Self::Dumping => "DUMPING",
            Self::Removed => "REMOVED",
        }
    }

    /// The refusal as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Stopped => "this boot was stopped; a new boot must begin first",
            Self::AlreadyRunning => "the start is over, the appliance counts as running",
            Self::FailedForGood => {
                "this start failed for good; only started_ok or a new boot changes that"
            }
            Self::Dumping => "a crash dump is being taken",
            Self::Removed => "the appliance was removed",
        }
    }
}

impl Lifecycle {
    /// The state's word, as users read it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting { .. } => "starting",
            Self::Maintenance(_) => "maintenance",
            Self::Running => "running",
            Self::Failed(_) => "failed",
            Self::Dumping { .. } => "dumping",
        }
    }

    /// When a verdict falls if nothing comes.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Idle | Self::Running | Self::Failed(_) => None,
            Self::Starting { deadline } => *deadline,
            Self::Maintenance(known) => Some(match known.stuck_at {
                Some(stuck_at) => stuck_at.min(known.promise),
                None => known.promise,
            }),
            Self::Dumping { deadline } => Some(*deadline),
        }
    }

    /// Whether a start is under way.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Maintenance(_))
    }

    /// The state with each of its deadlines given to `moved`.
    #[must_use]
    pub fn with_deadlines(mut self, moved: impl Fn(Timestamp) -> Timestamp) -> Self {
        match &mut self {
            Self::Idle | Self::Running | Self::Failed(_) => {}
            Self::Starting { deadline } => *deadline = deadline.map(&moved),
            Self::Maintenance(known) => {
                known.promise = moved(known.promise);
                known.stuck_at = known.stuck_at.map(&moved);
                known.boot_deadline = known.boot_deadline.map(&moved);
            }
            Self::Dumping { deadline } => *deadline = moved(*deadline),
        }
        self
    }
}

/// What `stimulus` makes of `state` at `now`; `began_at` is when the boot began.
pub fn step(
    state: &Lifecycle,
    stimulus: &Stimulus<'_>,
    rules: &ClassSettings,
    began_at: Timestamp,
    now: Timestamp,
) -> Step {
    use Lifecycle as L;
    use Stimulus as S;
    match (state, stimulus) {
        (L::Idle, S::StartedOk | S::StartFailed { .. } | S::Maintenance(_)) => {
            Step::Refused(Refusal::Stopped)
        }
        (L::Starting { .. } | L::Maintenance(_), S::StartedOk) => {
            Step::Becomes(L::Running, Marks::NONE)
        }
        (L::Starting { .. } | L::Maintenance(_), S::StartFailed { reason }) => {
            failed(state, Failure::Reported, reason)
        }
        (L::Starting { deadline }, S::Maintenance(report)) => {
            let boot_deadline = *deadline;
            maintenance(None, boot_deadline, report, rules, now, Marks::NONE)
        }
        (L::Maintenance(known), S::Maintenance(report)) => {
            maintenance(Some(known), known.boot_deadline, report, rules, now, Marks::NONE)
        }
        (L::Starting { deadline }, S::Deadline) => match deadline {
            Some(deadline) if *deadline <= now => {
                let limit = deadline.since(began_at);
                failed(state, Failure::BootTimeout { limit }, "")
            }
            Some(_) | None => Step::Nothing,
        },
        (L::Maintenance(known), S::Deadline) => judge_maintenance(state, known, rules, now),
        (L::Running, S::StartedOk) => Step::Stays,
        (L::Running, S::StartFailed { .. } | S::Maintenance(_)) => {
            Step::Refused(Refusal::AlreadyRunning)
        }
        (L::Failed(failed), S::StartedOk) => Step::Becomes(
            L::Running,
            match failed.failure {
                Failure::BootTimeout { .. } => Marks::LATE,
                Failure::Reported
                | Failure::Hung { .. }
                | Failure::NoProgress { .. }
                | Failure::DumpTimeout => Marks::RECOVERED,
            },
        ),
        (L::Failed(before), S::StartFailed { reason }) => match before.failure {
            Failure::Reported => Step::Stays,
            Failure::BootTimeout { .. }
            | Failure::Hung { .. }
            | Failure::NoProgress { .. }
            | Failure::DumpTimeout => failed(state, Failure::Reported, reason),
        },
        (L::Failed(failed), S::Maintenance(report)) => match failed.failure {
            Failure::Reported | Failure::DumpTimeout => Step::Refused(Refusal::FailedForGood),
            Failure::BootTimeout { .. } | Failure::Hung { .. } | Failure::NoProgress { .. } => {
                // The boot deadline has passed: `hung_waits_for_boot_deadline` waits no longer.
                maintenance(None, Some(now), report, rules, now, Marks::RECOVERED)
            }
        },
        (L::Dumping { .. }, S::StartedOk | S::StartFailed { .. } | S::Maintenance(_)) => {
            Step::Refused(Refusal::Dumping)
        }
        (L::Dumping { deadline }, S::Deadline) => match (*deadline <= now, rules.managed) {
            (false, _) => Step::Nothing,
            (true, true) => failed(state, Failure::DumpTimeout, ""),
            (true, false) => Step::Becomes(L::Running, Marks::OUTCOME_UNKNOWN),
        },
        (L::Idle | L::Running | L::Failed(_), S::Deadline) => Step::Nothing,
    }
}

fn failed(state: &Lifecycle, failure: Failure, reason: &str) -> Step {
    let last_word = match state {
        Lifecycle::Maintenance(known) => Some(LastWord {
            text: known.text.clone(),
            progress: known.progress,
            at: known.reported_at,
        }),
        Lifecycle::Failed(failed) => failed.last_word.clone(),
        Lifecycle::Idle
        | Lifecycle::Starting { .. }
        | Lifecycle::Running
        | Lifecycle::Dumping { .. } => None,
    };
    let failed = Failed { failure, reason: reason.into(), last_word };
    Step::Becomes(Lifecycle::Failed(Box::new(failed)), Marks::NONE)
}

fn maintenance(
    known: Option<&Maintenance>,
    boot_deadline: Option<Timestamp>,
    report: &Report<'_>,
    rules: &ClassSettings,
    now: Timestamp,
    mut marks: Marks,
) -> Step {
    let promised = match report.next_report_within {
        Some(wished) if wished > rules.promise_max => {
            marks |= Marks::PROMISE_CUT;
            rules.promise_max
        }
        Some(wished) => wished.max(*LIMIT_RANGE.start()),
        None => rules.maintenance_silence,
    };
    let mut promise = now.after(promised);
    if rules.hung_waits_for_boot_deadline {
        promise = promise.max(boot_deadline.unwrap_or(Timestamp::MAX));
    }

    let text = match known {
        Some(known) if report.text.is_empty() => known.text.clone(),
        Some(_) | None => report.text.into(),
    };
    let progress = report.progress.or(known.and_then(|known| known.progress));
    if known.is_some_and(|known| report.progress.is_some() && report.progress < known.progress) {
        marks |= Marks::PROGRESS_FELL;
    }
    let has_other_words = known.is_some_and(|known| !says_the_same(&text, &known.text));
    // A job in parts begins at a low percentage again, and says another thing then.
    let begins_anew = has_other_words
        && known.is_some_and(|known| report.progress.is_some() && progress < known.progress);
    // Where a percentage is known only that counts: a text may hold a clock or a spinner.
    let moved = match known {
        None => true,
        Some(_) if report.repeated => false,
        Some(known) if progress.is_some() => progress > known.best || begins_anew,
        Some(_) => has_other_words,
    };
    let (moved_at, stuck_at) = match known {
        Some(known) if !moved => (known.moved_at, known.stuck_at),
        Some(_) | None => (now, Some(now.after(rules.stuck_after))),
    };
    // What a tool repeats is not progress, so that the same said anew still is.
    let best = match known {
        Some(known) if report.repeated => known.best,
        Some(_) if begins_anew => progress,
        Some(known) => progress.max(known.best),
        None => progress,
    };
    let reported_at = now;
    let next = Maintenance {
        progress,
        best,
        text,
        reported_at,
        promise,
        moved_at,
        stuck_at,
        boot_deadline,
    };
    Step::Becomes(Lifecycle::Maintenance(Box::new(next)), marks)
}

fn judge_maintenance(
    state: &Lifecycle,
    known: &Maintenance,
    rules: &ClassSettings,
    now: Timestamp,
) -> Step {
    if known.promise <= now {
        let promise = known.promise.since(known.reported_at);
        return failed(state, Failure::Hung { promise }, "");
    }
    if known.stuck_at.is_none_or(|stuck_at| stuck_at > now) {
        return Step::Nothing;
    }
    match rules.on_stuck {
        OnStuck::Fail => {
            let still_for = now.since(known.moved_at);
            failed(state, Failure::NoProgress { still_for }, "")
        }
        OnStuck::Warn => {
            let stuck = Maintenance { stuck_at: None, ..known.clone() };
            Step::Becomes(Lifecycle::Maintenance(Box::new(stuck)), Marks::STUCK)
        }
    }
}

#[cfg(test)]
mod tests;
