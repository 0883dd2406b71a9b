//! Defines the effects of a record: changes of one entity each, as absolute values.
//!
//! Guarantees that an effect can be applied without settings, a clock or the value before. Decides
//! nothing.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::alert::{Alert, AlertKind};
use crate::grid::model::alert_group::AlertGroup;
use crate::grid::model::boot::{ApplianceHistory, Boot};
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
    /// The appliance exists.
    Appliance {
        /// Its number.
        number: ApplianceIndex,
        /// Its name.
        name: ApplianceName,
        /// Its UUID.
        uuid: Uuid,
        /// Its class.
        class: Box<str>,
        /// Its own settings.
        overrides: Overrides,
    },
    /// The appliance is removed, with all its open alerts.
    Removed {
        /// Its number.
        number: ApplianceIndex,
    },
    /// The current boot of an appliance.
    Boot {
        /// Its number.
        number: ApplianceIndex,
        /// The boot.
        boot: Boot,
    },
    /// The state of an appliance's start.
    Lifecycle {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The state.
        lifecycle: Lifecycle,
        /// Since when it is in that state.
        since: Timestamp,
    },
    /// Recent failed starts, oldest first.
    FailedStarts {
        /// The appliance's number.
        number: ApplianceIndex,
        /// When, at most [`crate::grid::model::settings::FLAPPING_FAILURES`].
        at: Vec<Timestamp>,
    },
    /// An alert is opened.
    AlertRaised {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// The alert kind.
        kind: AlertKind,
        /// The alert.
        alert: Alert,
    },
    /// An alert is resolved.
    AlertCleared {
        /// The appliance it is about; `None`: the broker.
        number: Option<ApplianceIndex>,
        /// The alert kind.
        kind: AlertKind,
    },
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
    /// A rate limit of an appliance was used.
    RateLimitState {
        /// The appliance's number.
        number: ApplianceIndex,
        /// Which rate limit.
        limit: RateLimitKind,
        /// When it is refilled.
        refilled_at: Timestamp,
    },
    /// All rate limits of an appliance are reset.
    RateLimitsReset {
        /// The appliance's number.
        number: ApplianceIndex,
    },
    /// An alert group of an appliance changed.
    AlertGroup {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The group.
        group: AlertGroup,
    },
    /// An alert group is removed.
    AlertGroupForgotten {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The hash of its key.
        id: Uuid,
    },
    /// A run of repeats is recorded.
    RepeatsReported {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The group, as it was before.
        group: AlertGroup,
    },
    /// A suppression changed.
    Suppression {
        /// The appliance's number.
        number: ApplianceIndex,
        /// Its phase.
        phase: SuppressionPhase,
        /// Its new value.
        suppression: Suppression,
    },
    /// Tallies only: the sequence windows and counts of an appliance.
    Counters {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The sequences received, most recently used first.
        windows: Vec<SequenceWindow>,
        /// When its last event arrived.
        last_event_at: Timestamp,
        /// How many events had which outcome.
        counts: OutcomeCounts,
    },
    /// The suppressed alerts of an appliance that no mail contains yet.
    SuppressedAlerts {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The alerts.
        unmailed: UnmailedAlerts,
    },
    /// The outbox changed.
    Mail(MailEffect),
    /// Checkpoints only: the history that records contain in their inputs.
    History {
        /// The appliance's number.
        number: ApplianceIndex,
        /// The history.
        history: ApplianceHistory,
    },
    /// Checkpoints only: the name of a removed appliance.
    Tombstone {
        /// Its number.
        number: ApplianceIndex,
        /// Its name.
        name: ApplianceName,
    },
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
