//! Implements the lifecycle of an appliance's start as a state machine.
//!
//! ```text
//! state                    | input        | becomes     | because
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
//! dumping, failed          | started_ok   | dumping     | recovered
//! dumping, alive, failed   | started_ok   | dumping     | recovered
//! dumping                  | start_failed | refused     | dumping
//! dumping                  | maintenance  | refused     | dumping
//! dumping                  | deadline     | failed      | dump_timeout
//! dumping, unmanaged       | deadline     | running     | outcome_unknown
//! dumping, alive           | deadline     | running     | dump_no_effect
//! dumping, alive, failed   | deadline     | failed      | dump_no_effect
//! ```
//!
//! A row with a variant (`failed, reported`) goes before the row of the state. Besides, from any
//! state: a new boot gives starting (unmanaged: running), a stop gives idle; from running or failed
//! a crash dump gives dumping, and back if its trigger fails; and an appliance that becomes unmanaged during a start or after its
//! failure is running. A test compares this table with [`step`].
//!
//! Guarantees that no other transition exists and that each deadline in a state is absolute. Does
//! not know clocks, boot ids or records.

use std::time::Duration;

use super::settings::{ClassSettings, OnStuck, REPORT_DEADLINE_RANGE};
use crate::grid::values::event::Progress;
use crate::grid::values::outcome::EventRejection;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::Timestamp;
use crate::grid::values::wording::is_same_wording;

/// The state of an appliance's start.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// No boot: never seen, or stopped.
    Idle,
    /// Booting.
    Starting {
        /// The boot deadline; `None`: there is no limit.
        deadline: Option<Timestamp>,
    },
    /// A long start that sends progress reports.
    Maintenance(Box<Maintenance>),
    /// Started.
    Running,
    /// The start failed.
    Failed(Box<FailedStart>),
    /// A crash dump is being taken.
    Dumping(Box<Dumping>),
}

/// The data of a crash dump in progress.
#[derive(Clone, Debug, PartialEq)]
pub struct Dumping {
    /// The dump deadline.
    pub deadline: Timestamp,
    /// The failed start before it; `None`: it was running.
    pub failed: Option<FailedStart>,
    /// Since when it was running or failed.
    pub before_since: Timestamp,
    /// It was heard of in the same boot after the trigger: that had no effect.
    pub is_alive: bool,
}

impl Dumping {
    /// The state before the crash dump.
    pub fn state_before(&self) -> Lifecycle {
        match &self.failed {
            Some(failed) => Lifecycle::Failed(Box::new(failed.clone())),
            None => Lifecycle::Running,
        }
    }
}

/// The data of a long start.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// The newest progress.
    pub progress: Option<Progress>,
    /// The highest progress so far.
    pub best_progress: Option<Progress>,
    /// What it is doing.
    pub text: Box<str>,
    /// When it last reported.
    pub reported_at: Timestamp,
    /// The report deadline: without a report until then the start is hung.
    pub report_deadline: Timestamp,
    /// When progress or text last changed.
    pub progressed_at: Timestamp,
    /// When unchanged progress counts as stuck; `None`: it is stuck and has not changed since.
    pub stuck_at: Option<Timestamp>,
    /// The boot deadline, suspended during maintenance.
    pub boot_deadline: Option<Timestamp>,
}

/// Why a start failed, with its last report.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedStart {
    /// Why.
    pub failure: FailureCause,
    /// The appliance's reason, if it gave one.
    pub reason: Box<str>,
    /// Its last progress report.
    pub last_report: Option<LastReport>,
}

/// The ways in which a start fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// The appliance reported it.
    Reported,
    /// No report arrived until the boot deadline.
    BootTimeout {
        /// The boot timeout.
        limit: Duration,
    },
    /// No report arrived until the report deadline.
    Hung {
        /// How long it was allowed to be silent.
        allowed_silence: Duration,
    },
    /// Reports arrived, but neither progress nor text changed.
    NoProgress {
        /// For how long.
        unchanged_for: Duration,
    },
    /// No new boot followed a crash dump.
    DumpTimeout,
}

impl FailureCause {
    /// The identifier of the failure, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::BootTimeout { .. } => "boot_timeout",
            Self::Hung { .. } => "hung",
            Self::NoProgress { .. } => "no_progress",
            Self::DumpTimeout => "dump_timeout",
        }
    }
}

/// The last progress report of an appliance.
#[derive(Clone, Debug, PartialEq)]
pub struct LastReport {
    /// Its text.
    pub text: Box<str>,
    /// Its progress.
    pub progress: Option<Progress>,
    /// When.
    pub at: Timestamp,
}

/// An input of the lifecycle.
#[derive(Clone, Debug)]
pub enum LifecycleInput<'a> {
    /// The appliance reported that it started.
    StartedOk,
    /// The appliance reported that it failed.
    StartFailed {
        /// Why.
        reason: &'a str,
    },
    /// The appliance reported progress of its long start.
    Maintenance(ProgressReport<'a>),
    /// Time passed; `step` finds out which deadline is due.
    Deadline,
}

/// A progress report.
#[derive(Clone, Copy, Debug)]
pub struct ProgressReport<'a> {
    /// How much is done.
    pub progress: Option<Progress>,
    /// What it is doing.
    pub text: &'a str,
    /// Within which time the next report comes.
    pub next_report_within: Option<Duration>,
    /// Sent again by a tool: it shows contact, but no progress.
    pub is_repeated: bool,
}

/// The result of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum StepResult {
    /// The new state (perhaps the same state with other data).
    Becomes(Lifecycle, RecordFlags),
    /// A record is made, but nothing changes.
    Unchanged,
    /// The rules reject it.
    Refused(EventRejection),
    /// No deadline is due.
    NotDue,
}

impl Lifecycle {
    /// The identifier of the state, as users read it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting { .. } => "starting",
            Self::Maintenance(_) => "maintenance",
            Self::Running => "running",
            Self::Failed(_) => "failed",
            Self::Dumping { .. } => "dumping",
        }
    }

    /// When the state changes without an event.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Idle | Self::Running | Self::Failed(_) => None,
            Self::Starting { deadline } => *deadline,
            Self::Maintenance(known) => Some(match known.stuck_at {
                Some(stuck_at) => stuck_at.min(known.report_deadline),
                None => known.report_deadline,
            }),
            Self::Dumping(dumping) => Some(dumping.deadline),
        }
    }

    /// The failed start, also while a crash dump of it is taken.
    pub fn failed(&self) -> Option<&FailedStart> {
        match self {
            Self::Failed(failed) => Some(failed),
            Self::Dumping(dumping) => dumping.failed.as_ref(),
            Self::Idle | Self::Starting { .. } | Self::Maintenance(_) | Self::Running => None,
        }
    }

    /// Whether a start is in progress.
    pub fn is_start_pending(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Maintenance(_))
    }

    /// The state with `moved` applied to each of its deadlines.
    #[must_use]
    pub fn map_deadlines(mut self, moved: impl Fn(Timestamp) -> Timestamp) -> Self {
        match &mut self {
            Self::Idle | Self::Running | Self::Failed(_) => {}
            Self::Starting { deadline } => *deadline = deadline.map(&moved),
            Self::Maintenance(known) => {
                known.report_deadline = moved(known.report_deadline);
                known.stuck_at = known.stuck_at.map(&moved);
                known.boot_deadline = known.boot_deadline.map(&moved);
            }
            Self::Dumping(dumping) => dumping.deadline = moved(dumping.deadline),
        }
        self
    }
}

/// What `stimulus` does to `state` at `now`; `began_at` is when the boot began.
pub fn step(
    state: &Lifecycle,
    stimulus: &LifecycleInput<'_>,
    rules: &ClassSettings,
    began_at: Timestamp,
    now: Timestamp,
) -> StepResult {
    use Lifecycle as L;
    use LifecycleInput as S;
    match (state, stimulus) {
        (L::Idle, S::StartedOk | S::StartFailed { .. } | S::Maintenance(_)) => {
            StepResult::Refused(EventRejection::Stopped)
        }
        (L::Starting { .. } | L::Maintenance(_), S::StartedOk) => {
            StepResult::Becomes(L::Running, RecordFlags::NONE)
        }
        (L::Starting { .. } | L::Maintenance(_), S::StartFailed { reason }) => {
            fail(state, FailureCause::Reported, reason)
        }
        (L::Starting { deadline }, S::Maintenance(report)) => {
            let boot_deadline = *deadline;
            apply_report(None, boot_deadline, report, rules, now, RecordFlags::NONE)
        }
        (L::Maintenance(known), S::Maintenance(report)) => {
            apply_report(Some(known), known.boot_deadline, report, rules, now, RecordFlags::NONE)
        }
        (L::Starting { deadline }, S::Deadline) => match deadline {
            Some(deadline) if *deadline <= now => {
                let limit = deadline.since(began_at);
                fail(state, FailureCause::BootTimeout { limit }, "")
            }
            Some(_) | None => StepResult::NotDue,
        },
        (L::Maintenance(known), S::Deadline) => check_maintenance(state, known, rules, now),
        (L::Running, S::StartedOk) => StepResult::Unchanged,
        (L::Running, S::StartFailed { .. } | S::Maintenance(_)) => {
            StepResult::Refused(EventRejection::AlreadyRunning)
        }
        (L::Failed(failed), S::StartedOk) => {
            StepResult::Becomes(L::Running, recovery(failed.failure))
        }
        (L::Failed(before), S::StartFailed { reason }) => match before.failure {
            FailureCause::Reported => StepResult::Unchanged,
            FailureCause::BootTimeout { .. }
            | FailureCause::Hung { .. }
            | FailureCause::NoProgress { .. }
            | FailureCause::DumpTimeout => fail(state, FailureCause::Reported, reason),
        },
        (L::Failed(failed), S::Maintenance(report)) => match failed.failure {
            FailureCause::Reported | FailureCause::DumpTimeout => {
                StepResult::Refused(EventRejection::FailedPermanently)
            }
            FailureCause::BootTimeout { .. }
            | FailureCause::Hung { .. }
            | FailureCause::NoProgress { .. } => {
                // The boot deadline has passed: `hung_waits_for_boot_deadline` waits no longer.
                apply_report(None, Some(now), report, rules, now, RecordFlags::RECOVERED)
            }
        },
        (L::Dumping(dumping), S::StartedOk) => match &dumping.failed {
            None => StepResult::Refused(EventRejection::Dumping),
            // The start completed after all, whatever becomes of the crash dump.
            Some(failed) => {
                let started = Dumping { failed: None, before_since: now, ..(**dumping).clone() };
                StepResult::Becomes(L::Dumping(Box::new(started)), recovery(failed.failure))
            }
        },
        (L::Dumping { .. }, S::StartFailed { .. } | S::Maintenance(_)) => {
            StepResult::Refused(EventRejection::Dumping)
        }
        (L::Dumping(dumping), S::Deadline) if dumping.deadline > now => StepResult::NotDue,
        (L::Dumping(dumping), S::Deadline) => match (dumping.is_alive, rules.managed) {
            (true, _) => StepResult::Becomes(dumping.state_before(), RecordFlags::DUMP_NO_EFFECT),
            (false, true) => fail(state, FailureCause::DumpTimeout, ""),
            (false, false) => StepResult::Becomes(L::Running, RecordFlags::OUTCOME_UNKNOWN),
        },
        (L::Idle | L::Running | L::Failed(_), S::Deadline) => StepResult::NotDue,
    }
}

/// The flag of a start that completed after that failure.
fn recovery(failure: FailureCause) -> RecordFlags {
    match failure {
        FailureCause::BootTimeout { .. } => RecordFlags::LATE,
        FailureCause::Reported
        | FailureCause::Hung { .. }
        | FailureCause::NoProgress { .. }
        | FailureCause::DumpTimeout => RecordFlags::RECOVERED,
    }
}

fn fail(state: &Lifecycle, failure: FailureCause, reason: &str) -> StepResult {
    let last_report = match state {
        Lifecycle::Maintenance(known) => Some(LastReport {
            text: known.text.clone(),
            progress: known.progress,
            at: known.reported_at,
        }),
        Lifecycle::Failed(failed) => failed.last_report.clone(),
        Lifecycle::Idle
        | Lifecycle::Starting { .. }
        | Lifecycle::Running
        | Lifecycle::Dumping { .. } => None,
    };
    let failed = FailedStart { failure, reason: reason.into(), last_report };
    StepResult::Becomes(Lifecycle::Failed(Box::new(failed)), RecordFlags::NONE)
}

fn apply_report(
    known: Option<&Maintenance>,
    boot_deadline: Option<Timestamp>,
    report: &ProgressReport<'_>,
    rules: &ClassSettings,
    now: Timestamp,
    mut flags: RecordFlags,
) -> StepResult {
    let promised = match report.next_report_within {
        Some(wished) if wished > rules.report_interval_max => {
            flags |= RecordFlags::PROMISE_CUT;
            rules.report_interval_max
        }
        Some(wished) => wished.max(*REPORT_DEADLINE_RANGE.start()),
        None => rules.report_deadline,
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
        flags |= RecordFlags::PROGRESS_FELL;
    }
    let has_other_words = known.is_some_and(|known| !is_same_wording(&text, &known.text));
    // A job in parts starts again at a low percentage, with another text.
    let begins_anew = has_other_words
        && known.is_some_and(|known| report.progress.is_some() && progress < known.progress);
    // A known percentage alone counts as progress: a text may contain a clock or a spinner.
    let moved = match known {
        None => true,
        Some(_) if report.is_repeated => false,
        Some(known) if progress.is_some() => progress > known.best_progress || begins_anew,
        Some(_) => has_other_words,
    };
    let (moved_at, stuck_at) = match known {
        Some(known) if !moved => (known.progressed_at, known.stuck_at),
        Some(_) | None => (now, Some(now.after(rules.stuck_after))),
    };
    // A report repeated by a tool is not progress, so that the same report sent anew still is.
    let best = match known {
        Some(known) if report.is_repeated => known.best_progress,
        Some(_) if begins_anew => progress,
        Some(known) => progress.max(known.best_progress),
        None => progress,
    };
    let reported_at = now;
    let next = Maintenance {
        progress,
        best_progress: best,
        text,
        reported_at,
        report_deadline: promise,
        progressed_at: moved_at,
        stuck_at,
        boot_deadline,
    };
    StepResult::Becomes(Lifecycle::Maintenance(Box::new(next)), flags)
}

fn check_maintenance(
    state: &Lifecycle,
    known: &Maintenance,
    rules: &ClassSettings,
    now: Timestamp,
) -> StepResult {
    if known.report_deadline <= now {
        let promise = known.report_deadline.since(known.reported_at);
        return fail(state, FailureCause::Hung { allowed_silence: promise }, "");
    }
    if known.stuck_at.is_none_or(|stuck_at| stuck_at > now) {
        return StepResult::NotDue;
    }
    match rules.on_stuck {
        OnStuck::Fail => {
            let still_for = now.since(known.progressed_at);
            fail(state, FailureCause::NoProgress { unchanged_for: still_for }, "")
        }
        OnStuck::Warn => {
            let stuck = Maintenance { stuck_at: None, ..known.clone() };
            StepResult::Becomes(Lifecycle::Maintenance(Box::new(stuck)), RecordFlags::STUCK)
        }
    }
}

#[cfg(test)]
mod tests;
