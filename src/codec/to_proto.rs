//! Encodes records, inputs and effects: domain to `grid.journal.v1`.
//!
//! Guarantees that it never fails. Does not know how they are decoded.

use std::time::Duration;

use super::{clock, event, mail, proto, timer};
use crate::codec::{applied_settings, journal_incident, usage};
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::log::effect::Effect;
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::log::record::Record;
use crate::grid::model::alert::{Alert, AlertKind};
use crate::grid::model::boot::{ApplianceHistory, Boot};
use crate::grid::model::lifecycle::{FailedStart, FailureCause, Lifecycle, Maintenance};
use crate::grid::model::sequence_window::SequenceWindow;
use crate::grid::model::settings::Overrides;
use crate::grid::values::event::{Progress, Severity};
use crate::grid::values::id::{ApplianceIndex, BootId};
use crate::grid::values::outcome::{EventRejection, Outcome};
use crate::grid::values::time::Timestamp;

pub(super) fn encode_record(record: &Record) -> proto::Record {
    let (outcome, refusal) = match record.outcome {
        // The latter two are never recorded.
        Outcome::Stored | Outcome::Duplicate | Outcome::Coalesced => {
            (proto::Outcome::Stored, proto::EventRejection::Unspecified)
        }
        Outcome::Repeated => (proto::Outcome::Repeated, proto::EventRejection::Unspecified),
        Outcome::BelowThreshold => {
            (proto::Outcome::BelowThreshold, proto::EventRejection::Unspecified)
        }
        Outcome::Suppressed => (proto::Outcome::Suppressed, proto::EventRejection::Unspecified),
        Outcome::OlderBoot => (proto::Outcome::OlderBoot, proto::EventRejection::Unspecified),
        Outcome::StaleEvent => (proto::Outcome::Stale, proto::EventRejection::Unspecified),
        Outcome::Rejected(refusal) => (
            proto::Outcome::Refused,
            match refusal {
                EventRejection::Stopped => proto::EventRejection::Stopped,
                EventRejection::AlreadyRunning => proto::EventRejection::AlreadyRunning,
                EventRejection::FailedPermanently => proto::EventRejection::FailedPermanently,
                EventRejection::Dumping => proto::EventRejection::Dumping,
                EventRejection::Removed => proto::EventRejection::Removed,
            },
        ),
    };
    proto::Record {
        number: record.number,
        at_us: record.at.as_micros(),
        input: Some(encode_input(&record.input)),
        outcome: outcome.into(),
        rejection: refusal.into(),
        flags: record.flags.bits(),
        effects: record.effects.iter().map(encode_effect).collect(),
    }
}

fn encode_input(input: &Input) -> proto::record::Input {
    use proto::record::Input as P;
    match input {
        Input::Event(it) => P::Event(event::encode_event(it)),
        Input::Hello(hello) => P::Hello(proto::Hello {
            appliance: hello.appliance.0,
            boot: encode_boot(hello.boot),
            uptime_us: hello.uptime.map(micros),
            spool: hello.spool.map_or(0, |spool| spool.0.get()),
            session: hello.session.0,
            acked_through: hello.acked_through,
            transient: hello.is_transient,
        }),
        Input::SessionEnded { appliance, boot: id } => {
            P::SessionEnded(proto::SessionEnded { appliance: appliance.0, boot: encode_boot(*id) })
        }
        Input::Registered { name, uuid } => P::Registered(proto::Registered {
            name: name.as_str().to_owned(),
            uuid: uuid.as_bytes().to_vec(),
        }),
        Input::Command { by, command: order } => P::AdminCommand(encode_command(by, order)),
        Input::Deadline { appliance, timer } => {
            let timer = timer::write(*timer).into();
            P::Deadline(proto::Deadline { appliance: appliance.0, timer })
        }
        Input::BrokerStarted(started) => P::BrokerStarted(proto::BrokerStarted {
            term: started.term,
            version: started.version.to_string(),
            away_us: started.downtime.map(micros),
            clock_back_us: started.clock_back.map(micros),
            rebuilt_from: started.rebuilt_from.unwrap_or(0),
            recovery: started.recovery.iter().map(ToString::to_string).collect(),
            missing: journal_incident::encode_ranges(&started.missing_records),
            shift: started.shift.map(clock::encode_shift),
            last_run: clock::encode_last_run(started.last_run).into(),
        }),
        Input::BrokerStopped => P::BrokerStopped(proto::BrokerStopped {}),
        Input::BrokerPaused { lasted, cause } => P::BrokerPaused(proto::BrokerPaused {
            lasted_us: micros(*lasted),
            clock_went_ahead: *cause == BrokerPause::ClockJumpedAhead,
            disk_was_low: *cause == BrokerPause::DiskLow,
        }),
        Input::Journal(it) => journal_incident::encode(it),
        Input::Settings(it) => P::Settings(applied_settings::encode(it)),
        Input::Tally => P::Tally(proto::Tally {}),
        Input::MailDue { message } => P::MailDue(proto::MailDue { message: message.0 }),
        Input::MailDelivery { message, attempt, delivery } => {
            P::MailDelivery(mail::encode_delivery(*message, *attempt, delivery))
        }
        Input::MailCommand { by, message, command: order } => {
            P::MailCommand(mail::encode_command(by, *message, *order))
        }
        Input::RepeatsEnded { appliance, group: key } => P::RepeatsEnded(proto::RepeatsEnded {
            appliance: appliance.0,
            key: key.as_bytes().to_vec(),
        }),
        Input::WallClock(found) => P::WallClock(clock::encode_wall_clock(found)),
        Input::ClockSetBack { by } => P::ClockSetBack(proto::ClockSetBack { by_us: micros(*by) }),
    }
}

fn encode_command(by: &str, order: &AdminCommand) -> proto::AdminCommand {
    use proto::CommandKind as K;
    let kind = match order {
        AdminCommand::Add { .. } => K::Add,
        AdminCommand::Set { .. } => K::Set,
        AdminCommand::Remove { .. } => K::Remove,
        AdminCommand::StartBoot { .. } => K::StartBoot,
        AdminCommand::Stop { .. } => K::Stop,
        AdminCommand::CrashDump { .. } => K::CrashDump,
        AdminCommand::Unsuppress { .. } => K::Unsuppress,
    };
    let mut written = proto::AdminCommand {
        by: by.to_owned(),
        kind: kind.into(),
        name: order.appliance_name().as_str().to_owned(),
        ..proto::AdminCommand::default()
    };
    match order {
        AdminCommand::Add { uuid, class, overrides: own, .. } => {
            written.uuid = uuid.as_bytes().to_vec();
            written.class = class.as_ref().map(ToString::to_string);
            written.overrides = Some(encode_overrides(own));
        }
        AdminCommand::Set { class, overrides: own, reset, .. } => {
            written.class = class.as_ref().map(ToString::to_string);
            written.overrides = Some(encode_overrides(own));
            let OverrideReset { managed, boot_timeout, maintenance_silence } = *reset;
            written.reset_managed = managed;
            written.reset_boot_timeout = boot_timeout;
            written.reset_maintenance_silence = maintenance_silence;
        }
        AdminCommand::Remove { .. }
        | AdminCommand::StartBoot { .. }
        | AdminCommand::Stop { .. }
        | AdminCommand::CrashDump { .. }
        | AdminCommand::Unsuppress { .. } => {}
    }
    written
}

fn encode_overrides(own: &Overrides) -> proto::Overrides {
    proto::Overrides {
        managed: own.managed,
        boot_timeout_us: own.boot_timeout.map(micros),
        maintenance_silence_us: own.report_deadline.map(micros),
    }
}

pub(super) fn encode_effect(effect: &Effect) -> proto::Effect {
    use proto::effect::Change as P;
    let change = match effect {
        Effect::Appliance { number, name, uuid, class, overrides: own } => {
            P::Appliance(proto::ApplianceState {
                number: number.0,
                name: name.as_str().to_owned(),
                uuid: uuid.as_bytes().to_vec(),
                class: class.to_string(),
                overrides: Some(encode_overrides(own)),
            })
        }
        Effect::Removed { number } => P::Removed(proto::Removed { number: number.0 }),
        Effect::Boot { number, boot } => P::Boot(encode_boot_effect(*number, boot)),
        Effect::Lifecycle { number, lifecycle: it, since } => P::Lifecycle(proto::LifecycleState {
            number: number.0,
            since_us: since.as_micros(),
            state: Some(encode_lifecycle(it)),
        }),
        Effect::FailedStarts { number, at } => P::FailedStarts(proto::FailedStarts {
            number: number.0,
            at_us: at.iter().map(|at| at.as_micros()).collect(),
        }),
        Effect::AlertRaised { number, kind, alert } => {
            P::AlertRaised(encode_alert_raised(*number, *kind, alert))
        }
        Effect::AlertCleared { number, kind: it } => P::AlertCleared(proto::AlertCleared {
            number: number.map_or(0, |number| number.0),
            kind: encode_alert_kind(*it).into(),
        }),
        Effect::DeadlinesMoved { by, not_before } => P::DeadlinesMoved(proto::DeadlinesMoved {
            by_us: micros(*by),
            not_before_us: not_before.as_micros(),
        }),
        Effect::TimeShifted(shift) => P::TimeShifted(clock::encode_shift(*shift)),
        Effect::LivedTime { lived } => P::Lived(proto::LivedTime { lived_us: micros(*lived) }),
        Effect::RateLimitState { number, limit: budget, refilled_at: full_at } => {
            P::RateLimit(usage::encode_rate_limit_state(*number, *budget, *full_at))
        }
        Effect::RateLimitsReset { number } => {
            P::RateLimitsReset(proto::RateLimitsReset { number: number.0 })
        }
        Effect::AlertGroup { number, group: key } => {
            let key = Some(usage::encode_alert_group(key));
            P::AlertGroup(proto::AlertGroupState { number: number.0, group: key })
        }
        Effect::AlertGroupForgotten { number, id } => {
            let id = id.as_bytes().to_vec();
            P::AlertGroupForgotten(proto::AlertGroupForgotten { number: number.0, id })
        }
        Effect::RepeatsReported { number, group: key } => {
            let key = Some(usage::encode_alert_group(key));
            P::RepeatsReported(proto::RepeatsReported { number: number.0, group: key })
        }
        Effect::Suppression { number, phase, suppression } => {
            P::Suppression(usage::encode_suppression_effect(*number, *phase, suppression))
        }
        Effect::Counters { number, windows, last_event_at, counts } => {
            P::Counters(usage::encode_counters(*number, windows, *last_event_at, counts))
        }
        Effect::SuppressedAlerts { number, unmailed } => {
            P::Unmailed(usage::encode_unmailed_effect(*number, unmailed))
        }
        Effect::Mail(change) => P::Mail(mail::encode_effect(change)),
        Effect::History { number, history: it } => P::History(encode_history(*number, it)),
        Effect::Tombstone { number, name } => {
            P::Tombstone(proto::Tombstone { number: number.0, name: name.as_str().to_owned() })
        }
    };
    proto::Effect { change: Some(change) }
}

fn encode_boot_effect(number: ApplianceIndex, it: &Boot) -> proto::BootState {
    proto::BootState {
        number: number.0,
        id: it.id.map_or_else(Vec::new, encode_boot),
        began_at_us: it.began_at.as_micros(),
        not_before_us: (it.earliest_began_at != it.began_at)
            .then(|| it.earliest_began_at.as_micros()),
        has_agent: it.has_agent,
        is_assumed: it.is_assumed_running,
        newest_event: it.newest_event.as_ref().map(event::encode_event_order),
    }
}

fn encode_alert_raised(
    number: Option<ApplianceIndex>,
    it: AlertKind,
    alert: &Alert,
) -> proto::AlertRaised {
    proto::AlertRaised {
        number: number.map_or(0, |number| number.0),
        kind: encode_alert_kind(it).into(),
        severity: severity_number(alert.severity),
        since_us: alert.since.as_micros(),
        text: alert.text.to_string(),
    }
}

fn encode_lifecycle(lifecycle: &Lifecycle) -> proto::lifecycle_state::State {
    use proto::lifecycle_state::State as P;
    match lifecycle {
        Lifecycle::Idle => P::Idle(proto::Idle {}),
        Lifecycle::Starting { deadline } => {
            P::Starting(proto::Starting { deadline_us: deadline.map(Timestamp::as_micros) })
        }
        Lifecycle::Maintenance(known) => P::Maintenance(encode_maintenance(known)),
        Lifecycle::Running => P::Running(proto::Running {}),
        Lifecycle::Failed(it) => P::Failed(encode_failed(it)),
        Lifecycle::Dumping { deadline } => {
            P::Dumping(proto::Dumping { deadline_us: deadline.as_micros() })
        }
    }
}

fn encode_maintenance(known: &Maintenance) -> proto::Maintenance {
    proto::Maintenance {
        progress: percent(known.progress),
        best: percent(known.best_progress),
        text: known.text.to_string(),
        reported_at_us: known.reported_at.as_micros(),
        report_deadline_us: known.report_deadline.as_micros(),
        moved_at_us: known.progressed_at.as_micros(),
        stuck_at_us: known.stuck_at.map(Timestamp::as_micros),
        boot_deadline_us: known.boot_deadline.map(Timestamp::as_micros),
    }
}

fn encode_failed(failed: &FailedStart) -> proto::Failed {
    use proto::FailureKind as K;
    let (kind, limit) = match failed.failure {
        FailureCause::Reported => (K::Reported, Duration::ZERO),
        FailureCause::BootTimeout { limit } => (K::BootTimeout, limit),
        FailureCause::Hung { allowed_silence: promise } => (K::Hung, promise),
        FailureCause::NoProgress { unchanged_for: still_for } => (K::NoProgress, still_for),
        FailureCause::DumpTimeout => (K::DumpTimeout, Duration::ZERO),
    };
    proto::Failed {
        kind: kind.into(),
        limit_us: micros(limit),
        reason: failed.reason.to_string(),
        last_report: failed.last_report.as_ref().map(|word| proto::LastReport {
            text: word.text.to_string(),
            progress: percent(word.progress),
            at_us: word.at.as_micros(),
        }),
    }
}

fn encode_history(number: ApplianceIndex, memory: &ApplianceHistory) -> proto::ApplianceHistory {
    let mut written = proto::ApplianceHistory {
        number: number.0,
        past_boots: memory.past_boots.iter().map(|id| encode_boot(*id)).collect(),
        windows: memory.windows.iter().map(encode_window).collect(),
        last_event_at_us: memory.last_event_at.map(Timestamp::as_micros),
        last_record: memory.last_record,
        ..proto::ApplianceHistory::default()
    };
    usage::encode_usage(number, &memory.usage, &mut written);
    written
}

pub(super) fn encode_window(window: &SequenceWindow) -> proto::SequenceWindow {
    proto::SequenceWindow {
        boot: encode_boot(window.boot),
        spool: window.spool.0.get(),
        highest: window.highest,
        seen_low: u64::try_from(window.seen & u128::from(u64::MAX)).unwrap_or(0),
        seen_high: u64::try_from(window.seen >> 64).unwrap_or(0),
    }
}

fn encode_alert_kind(kind: AlertKind) -> proto::AlertKind {
    match kind {
        AlertKind::StartFailed => proto::AlertKind::StartFailed,
        AlertKind::Stuck => proto::AlertKind::Stuck,
        AlertKind::NoContact => proto::AlertKind::NoContact,
        AlertKind::NameConflict => proto::AlertKind::TwoMachines,
        AlertKind::Flapping => proto::AlertKind::Flapping,
        AlertKind::RecordsMissing => proto::AlertKind::RecordsMissing,
        AlertKind::DiskLow => proto::AlertKind::DiskLow,
        AlertKind::MailFails => proto::AlertKind::MailFails,
        AlertKind::ClockDiffers => proto::AlertKind::ClockDiffers,
        AlertKind::ResourcesShort => proto::AlertKind::ResourcesShort,
    }
}

pub(super) fn severity_number(severity: Severity) -> u32 {
    match severity {
        Severity::Debug => 1,
        Severity::Info => 2,
        Severity::Warn => 3,
        Severity::Error => 4,
        Severity::Fatal => 5,
    }
}

pub(super) fn percent(progress: Option<Progress>) -> u32 {
    progress.map_or(0, |progress| u32::from(progress.percent()))
}

pub(super) fn encode_boot(id: BootId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
