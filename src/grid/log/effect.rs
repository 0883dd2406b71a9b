//! Defines the effects of a record: changes of one entity each, as absolute values.
//!
//! Guarantees that an effect can be applied without settings, a clock or the value before. Decides
//! nothing.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::boot::{ApplianceHistory, Boot};
use crate::grid::model::crash_dump::{ApplianceLock, CrashDump};
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::{BriefNotice, MailMessage, MessageNumber, Notice, Urgency};
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::settings::Overrides;
use crate::grid::model::unmailed_alerts::UnmailedAlerts;
use crate::grid::model::usage::{OutcomeCounts, RateLimitKind, Suppression, SuppressionPhase};
use crate::grid::values::id::{ApplianceIndex, ApplianceName, RecordNumber};
use crate::grid::values::time::Timestamp;

/// A change of one entity, as an absolute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// An appliance changed.
    Appliance {
        /// Its number.
        number: ApplianceIndex,
        /// The change.
        change: ApplianceEffect,
    },
    /// A condition is observed.
    FindingRaised {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// The kind of the finding.
        kind: FindingKind,
        /// The finding.
        finding: Finding,
    },
    /// A condition is over.
    FindingCleared {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// The kind of the finding.
        kind: FindingKind,
    },
    /// An alert changed, or a notification was decided on.
    Alert(AlertEffect),
    /// All deadlines are moved.
    DeadlinesMoved {
        /// By how much.
        by: Duration,
        /// No deadline is earlier than this.
        not_before: Timestamp,
    },
    /// Broker time is shifted, with all pending times.
    TimeShifted(TimeShift),
    /// Checkpoints only: for how long brokers ran on this journal.
    LivedTime {
        /// How long.
        lived: Duration,
    },
    /// The outbox changed.
    Mail(MailEffect),
    /// Credentials changed.
    Identity(IdentityEffect),
}

/// A change of one appliance.
#[derive(Clone, Debug, PartialEq)]
pub enum ApplianceEffect {
    /// It is registered, or its class or own settings change.
    Registered {
        /// Its name.
        name: ApplianceName,
        /// Its UUID.
        uuid: Uuid,
        /// Its class.
        class: Box<str>,
        /// Its own settings.
        overrides: Overrides,
    },
    /// It is removed, with all its open alerts.
    Removed,
    /// Its current boot.
    Boot {
        /// The boot.
        boot: Boot,
    },
    /// The state of its start.
    Lifecycle {
        /// The state.
        lifecycle: Lifecycle,
        /// Since when it is in that state.
        since: Timestamp,
    },
    /// Recent failed starts, oldest first.
    FailedStarts {
        /// When, at most [`crate::grid::model::settings::FLAPPING_FAILURES`].
        at: Vec<Timestamp>,
    },
    /// One of its rate limits was used.
    RateLimitState {
        /// Which rate limit.
        limit: RateLimitKind,
        /// When it is refilled.
        refilled_at: Timestamp,
    },
    /// All its rate limits are reset.
    RateLimitsReset,
    /// One of its alert groups changed.
    AlertGroup {
        /// The group.
        group: AlertGroup,
    },
    /// One of its alert groups is removed.
    AlertGroupForgotten {
        /// The hash of its key.
        id: Uuid,
    },
    /// A run of its repeats is recorded.
    RepeatsReported {
        /// The group, as it was before.
        group: AlertGroup,
    },
    /// Its suppression changed.
    Suppression {
        /// Its phase.
        phase: SuppressionPhase,
        /// Its new value.
        suppression: Suppression,
    },
    /// Tallies only: its sequence windows and counts.
    Counters {
        /// The sequences received, most recently used first.
        windows: Vec<SequenceWindow>,
        /// When its last event arrived.
        last_event_at: Timestamp,
        /// How many events had which outcome.
        counts: OutcomeCounts,
    },
    /// Its suppressed alerts that no mail contains yet.
    SuppressedAlerts {
        /// The alerts.
        unmailed: UnmailedAlerts,
    },
    /// One of its crash dumps is new or changed.
    CrashDump {
        /// The crash dump.
        dump: Box<CrashDump>,
    },
    /// It is locked or unlocked.
    Lock {
        /// The lock; `None`: it is not locked.
        lock: Option<Box<ApplianceLock>>,
    },
    /// Checkpoints only: its history, which records contain in their inputs.
    History {
        /// The history.
        history: ApplianceHistory,
    },
    /// Checkpoints only: its name; it was removed.
    Tombstone {
        /// Its name.
        name: ApplianceName,
    },
}

impl Effect {
    /// The appliance that it is about, if it is about one.
    pub fn appliance(&self) -> Option<ApplianceIndex> {
        match self {
            Self::Appliance { number, .. } => Some(*number),
            Self::FindingRaised { number, .. } | Self::FindingCleared { number, .. } => *number,
            Self::Alert(_)
            | Self::DeadlinesMoved { .. }
            | Self::TimeShifted(_)
            | Self::LivedTime { .. }
            | Self::Mail(_)
            | Self::Identity(_) => None,
        }
    }

    /// The change, if an appliance changed.
    pub fn of_appliance(&self) -> Option<&ApplianceEffect> {
        if let Self::Appliance { change, .. } = self { Some(change) } else { None }
    }

    /// The effect with its times shifted.
    pub(in crate::grid) fn shifted(self, shift: TimeShift) -> Self {
        match self {
            Self::Appliance { number, change } => {
                Self::Appliance { number, change: change.shifted(shift) }
            }
            Self::FindingRaised { number, kind, finding } => {
                let Finding { severity, since, text } = finding;
                let finding = Finding { severity, since: shift.shift_past(since), text };
                Self::FindingRaised { number, kind, finding }
            }
            Self::Alert(change) => Self::Alert(shift.shift_alert_effect(change)),
            Self::Mail(change) => Self::Mail(shift.shift_mail(change)),
            Self::Identity(change) => Self::Identity(shift.shift_identity(change)),
            Self::FindingCleared { .. }
            | Self::DeadlinesMoved { .. }
            | Self::TimeShifted(_)
            | Self::LivedTime { .. } => self,
        }
    }
}

impl ApplianceEffect {
    /// The effect on that appliance.
    pub fn of(self, number: ApplianceIndex) -> Effect {
        Effect::Appliance { number, change: self }
    }

    fn shifted(self, shift: TimeShift) -> Self {
        match self {
            Self::Boot { boot } => Self::Boot { boot: shift.shift_boot(boot) },
            Self::Lifecycle { lifecycle, since } => Self::Lifecycle {
                lifecycle: shift.shift_lifecycle(lifecycle),
                since: shift.shift_past(since),
            },
            // Three failures within 24 h are flapping: that is an age, which a clock must not change.
            Self::FailedStarts { at } => Self::FailedStarts {
                at: at.into_iter().map(|at| shift.shift_pending(at)).collect(),
            },
            Self::RateLimitState { limit, refilled_at } => {
                Self::RateLimitState { limit, refilled_at: shift.shift_pending(refilled_at) }
            }
            Self::AlertGroup { group } => {
                Self::AlertGroup { group: shift.shift_alert_group(group) }
            }
            Self::RepeatsReported { group } => {
                Self::RepeatsReported { group: shift.shift_alert_group(group) }
            }
            Self::Suppression { phase, suppression } => {
                Self::Suppression { phase, suppression: shift.shift_suppression(suppression) }
            }
            Self::Counters { windows, last_event_at, counts } => {
                Self::Counters { windows, last_event_at: shift.shift_past(last_event_at), counts }
            }
            Self::SuppressedAlerts { unmailed } => {
                Self::SuppressedAlerts { unmailed: shift.shift_unmailed(unmailed) }
            }
            Self::CrashDump { dump } => {
                Self::CrashDump { dump: Box::new(shift.shift_crash_dump(*dump)) }
            }
            Self::Lock { lock } => Self::Lock {
                lock: lock
                    .map(|lock| Box::new(ApplianceLock { at: shift.shift_past(lock.at), ..*lock })),
            },
            Self::History { history } => Self::History { history: shift.shift_history(history) },
            Self::Registered { .. }
            | Self::Removed
            | Self::RateLimitsReset
            | Self::AlertGroupForgotten { .. }
            | Self::Tombstone { .. } => self,
        }
    }
}

/// A change of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub enum MailEffect {
    /// A mail was queued or changed. Its notices, and the appliances of a digest, are separate
    /// effects.
    Header {
        /// The mail, without notices and appliances.
        message: Box<MailMessage>,
    },
    /// A notice of a queued mail.
    Notice {
        /// The mail.
        number: MessageNumber,
        /// Its index among the notices, from 0.
        at: usize,
        /// The notice.
        notice: Notice,
    },
    /// A notice of a queued mail that is kept as one line.
    Brief {
        /// The mail.
        number: MessageNumber,
        /// Its index among them, from 0.
        at: usize,
        /// The notice.
        brief: BriefNotice,
    },
    /// The number of alerts of one appliance in a digest.
    DigestCount {
        /// The mail.
        number: MessageNumber,
        /// The appliance's name.
        subject: Box<str>,
        /// How many.
        count: u64,
    },
    /// A mail left the queue.
    Removed {
        /// The mail.
        number: MessageNumber,
        /// Its recipient.
        recipient: Box<str>,
        /// The record that contains the mail; `None`: none does.
        record: Option<RecordNumber>,
    },
    /// Checkpoints only: the record that contains a finished mail.
    Finished {
        /// The mail.
        number: MessageNumber,
        /// The record.
        record: RecordNumber,
    },
    /// A rate limit of a recipient was used.
    RecipientLimit {
        /// The recipient.
        recipient: Box<str>,
        /// For mails of that urgency.
        urgency: Urgency,
        /// When it is refilled.
        refilled_at: Timestamp,
    },
    /// Checkpoints only: the last number of a mail.
    LastNumber {
        /// The number.
        number: MessageNumber,
    },
}
