//! The writing half: domain to `grid.journal.v1`. Never fails.

use std::time::Duration;

use super::{admission, clock, event, mail, proto, settings, storage, timer};
use crate::grid::effect::{Alert, Boot, Effect, Matter, Memory};
use crate::grid::event::{Progress, Severity};
use crate::grid::lifecycle::{Failed, Failure, Lifecycle, Maintenance, Refusal};
use crate::grid::name::{ApplianceNumber, BootId};
use crate::grid::record::{Input, Order, Outcome, Record, Reset, Stall};
use crate::grid::settings::Overrides;
use crate::grid::time::Timestamp;
use crate::grid::window::Window;

pub(super) fn record(record: &Record) -> proto::Record {
    let (outcome, refusal) = match record.outcome {
        // Of the latter two nothing is ever written.
        Outcome::Kept | Outcome::Duplicate | Outcome::Folded => {
            (proto::Outcome::Kept, proto::Refusal::Unspecified)
        }
        Outcome::Repeated => (proto::Outcome::Repeated, proto::Refusal::Unspecified),
        Outcome::NotKept => (proto::Outcome::NotKept, proto::Refusal::Unspecified),
        Outcome::Suppressed => (proto::Outcome::Suppressed, proto::Refusal::Unspecified),
        Outcome::History => (proto::Outcome::History, proto::Refusal::Unspecified),
        Outcome::Stale => (proto::Outcome::Stale, proto::Refusal::Unspecified),
        Outcome::Refused(refusal) => (
            proto::Outcome::Refused,
            match refusal {
                Refusal::Stopped => proto::Refusal::Stopped,
                Refusal::AlreadyRunning => proto::Refusal::AlreadyRunning,
                Refusal::FailedForGood => proto::Refusal::FailedForGood,
                Refusal::Dumping => proto::Refusal::Dumping,
                Refusal::Removed => proto::Refusal::Removed,
            },
        ),
    };
    proto::Record {
        number: record.number,
        at_us: record.at.as_micros(),
        input: Some(input(&record.input)),
        outcome: outcome.into(),
        refusal: refusal.into(),
        marks: record.marks.bits(),
        effects: record.effects.iter().map(effect).collect(),
    }
}

fn input(input: &Input) -> proto::record::Input {
    use proto::record::Input as P;
    match input {
        Input::Event(it) => P::Event(event::heard(it)),
        Input::Hello(hello) => P::Hello(proto::Hello {
            appliance: hello.appliance.0,
            boot: boot(hello.boot),
            uptime_us: hello.uptime.map(micros),
            spool: hello.spool.map_or(0, |spool| spool.0.get()),
            session: hello.session.0,
            acked_through: hello.acked_through,
            transient: hello.is_transient,
        }),
        Input::SessionEnded { appliance, boot: id } => {
            P::SessionEnded(proto::SessionEnded { appliance: appliance.0, boot: boot(*id) })
        }
        Input::Appeared { name, uuid } => P::Appeared(proto::Appeared {
            name: name.as_str().to_owned(),
            uuid: uuid.as_bytes().to_vec(),
        }),
        Input::Order { by, order } => P::Ordered(ordered(by, order)),
        Input::Deadline { appliance, timer } => {
            let timer = timer::write(*timer).into();
            P::Deadline(proto::Deadline { appliance: appliance.0, timer })
        }
        Input::BrokerStarted(started) => P::BrokerStarted(proto::BrokerStarted {
            term: started.term,
            version: started.version.to_string(),
            away_us: started.away.map(micros),
            clock_back_us: started.clock_back.map(micros),
            rebuilt_from: started.rebuilt_from.unwrap_or(0),
            recovery: started.recovery.iter().map(ToString::to_string).collect(),
            missing: storage::written(&started.missing),
            shift: started.shift.map(clock::shift),
            last_run: clock::last_run(started.last_run).into(),
        }),
        Input::BrokerStopped => P::BrokerStopped(proto::BrokerStopped {}),
        Input::BrokerStalled { lasted, cause } => P::BrokerStalled(proto::BrokerStalled {
            lasted_us: micros(*lasted),
            clock_went_ahead: *cause == Stall::ClockWentAhead,
            disk_was_low: *cause == Stall::DiskWasLow,
        }),
        Input::Storage(it) => storage::write(it),
        Input::Settings(it) => P::Settings(settings::write(it)),
        Input::Tally => P::Tally(proto::Tally {}),
        Input::MailDue { message } => P::MailDue(proto::MailDue { message: message.0 }),
        Input::MailAnswered { message, attempt, delivery } => {
            P::MailAnswered(mail::answered(*message, *attempt, delivery))
        }
        Input::MailOrdered { by, message, order } => {
            P::MailOrdered(mail::ordered(by, *message, *order))
        }
        Input::RunOver { appliance, key } => {
            P::RunOver(proto::RunOver { appliance: appliance.0, key: key.as_bytes().to_vec() })
        }
        Input::WallClock(found) => P::WallClock(clock::wall_clock(found)),
        Input::ClockSetBack { by } => P::ClockSetBack(proto::ClockSetBack { by_us: micros(*by) }),
    }
}

fn ordered(by: &str, order: &Order) -> proto::Ordered {
    use proto::OrderKind as K;
    let kind = match order {
        Order::Add { .. } => K::Add,
        Order::Set { .. } => K::Set,
        Order::Remove { .. } => K::Remove,
        Order::StartBoot { .. } => K::StartBoot,
        Order::Stop { .. } => K::Stop,
        Order::CrashDump { .. } => K::CrashDump,
        Order::Unsuppress { .. } => K::Unsuppress,
    };
    let mut written = proto::Ordered {
        by: by.to_owned(),
        kind: kind.into(),
        name: order.name().as_str().to_owned(),
        ..proto::Ordered::default()
    };
    match order {
        Order::Add { uuid, class, overrides: own, .. } => {
            written.uuid = uuid.as_bytes().to_vec();
            written.class = class.as_ref().map(ToString::to_string);
            written.overrides = Some(overrides(own));
        }
        Order::Set { class, overrides: own, reset, .. } => {
            written.class = class.as_ref().map(ToString::to_string);
            written.overrides = Some(overrides(own));
            let Reset { managed, boot_timeout, maintenance_silence } = *reset;
            written.reset_managed = managed;
            written.reset_boot_timeout = boot_timeout;
            written.reset_maintenance_silence = maintenance_silence;
        }
        Order::Remove { .. }
        | Order::StartBoot { .. }
        | Order::Stop { .. }
        | Order::CrashDump { .. }
        | Order::Unsuppress { .. } => {}
    }
    written
}

fn overrides(own: &Overrides) -> proto::Overrides {
    proto::Overrides {
        managed: own.managed,
        boot_timeout_us: own.boot_timeout.map(micros),
        maintenance_silence_us: own.maintenance_silence.map(micros),
    }
}

pub(super) fn effect(effect: &Effect) -> proto::Effect {
    use proto::effect::Change as P;
    let change = match effect {
        Effect::Appliance { number, name, uuid, class, overrides: own } => {
            P::Appliance(proto::ApplianceIs {
                number: number.0,
                name: name.as_str().to_owned(),
                uuid: uuid.as_bytes().to_vec(),
                class: class.to_string(),
                overrides: Some(overrides(own)),
            })
        }
        Effect::Removed { number } => P::Removed(proto::Removed { number: number.0 }),
        Effect::Boot { number, boot } => P::Boot(boot_is(*number, boot)),
        Effect::Lifecycle { number, lifecycle: it, since } => P::Lifecycle(proto::LifecycleIs {
            number: number.0,
            since_us: since.as_micros(),
            state: Some(lifecycle(it)),
        }),
        Effect::FailedStarts { number, at } => P::FailedStarts(proto::FailedStarts {
            number: number.0,
            at_us: at.iter().map(|at| at.as_micros()).collect(),
        }),
        Effect::AlertRaised { number, matter, alert } => {
            P::AlertRaised(alert_raised(*number, *matter, alert))
        }
        Effect::AlertCleared { number, matter: it } => P::AlertCleared(proto::AlertCleared {
            number: number.map_or(0, |number| number.0),
            matter: matter(*it).into(),
        }),
        Effect::DeadlinesMoved { by, not_before } => P::DeadlinesMoved(proto::DeadlinesMoved {
            by_us: micros(*by),
            not_before_us: not_before.as_micros(),
        }),
        Effect::TimeShifted(shift) => P::TimeShifted(clock::shift(*shift)),
        Effect::Lived { lived } => P::Lived(proto::Lived { lived_us: micros(*lived) }),
        Effect::Spent { number, budget, full_at } => {
            P::Spent(admission::spent(*number, *budget, *full_at))
        }
        Effect::BudgetsFilled { number } => {
            P::BudgetsFilled(proto::BudgetsFilled { number: number.0 })
        }
        Effect::AlertKey { number, key } => {
            let key = Some(admission::alert_key(key));
            P::AlertKey(proto::AlertKeyIs { number: number.0, key })
        }
        Effect::AlertKeyForgotten { number, id } => {
            let id = id.as_bytes().to_vec();
            P::AlertKeyForgotten(proto::AlertKeyForgotten { number: number.0, id })
        }
        Effect::RunTold { number, key } => {
            let key = Some(admission::alert_key(key));
            P::RunTold(proto::RunTold { number: number.0, key })
        }
        Effect::Suppression { number, phase, suppression } => {
            P::Suppression(admission::suppression_is(*number, *phase, suppression))
        }
        Effect::Heard { number, windows, last_heard_at, counts } => {
            P::HeardOf(admission::heard_of(*number, windows, *last_heard_at, counts))
        }
        Effect::Unmailed { number, unmailed } => {
            P::Unmailed(admission::unmailed_is(*number, unmailed))
        }
        Effect::Mail(change) => P::Mail(mail::change(change)),
        Effect::Memory { number, memory: it } => P::Memory(memory(*number, it)),
        Effect::Tombstone { number, name } => {
            P::Tombstone(proto::Tombstone { number: number.0, name: name.as_str().to_owned() })
        }
    };
    proto::Effect { change: Some(change) }
}

fn boot_is(number: ApplianceNumber, it: &Boot) -> proto::BootIs {
    proto::BootIs {
        number: number.0,
        id: it.id.map_or_else(Vec::new, boot),
        began_at_us: it.began_at.as_micros(),
        not_before_us: (it.not_before != it.began_at).then(|| it.not_before.as_micros()),
        has_agent: it.has_agent,
        is_assumed: it.is_assumed,
        newest_word: it.newest_word.as_ref().map(event::word),
    }
}

fn alert_raised(number: Option<ApplianceNumber>, it: Matter, alert: &Alert) -> proto::AlertRaised {
    proto::AlertRaised {
        number: number.map_or(0, |number| number.0),
        matter: matter(it).into(),
        severity: severity_number(alert.severity),
        since_us: alert.since.as_micros(),
        text: alert.text.to_string(),
    }
}

fn lifecycle(lifecycle: &Lifecycle) -> proto::lifecycle_is::State {
    use proto::lifecycle_is::State as P;
    match lifecycle {
        Lifecycle::Idle => P::Idle(proto::Idle {}),
        Lifecycle::Starting { deadline } => {
            P::Starting(proto::Starting { deadline_us: deadline.map(Timestamp::as_micros) })
        }
        Lifecycle::Maintenance(known) => P::Maintenance(maintenance(known)),
        Lifecycle::Running => P::Running(proto::Running {}),
        Lifecycle::Failed(it) => P::Failed(failed(it)),
        Lifecycle::Dumping { deadline } => {
            P::Dumping(proto::Dumping { deadline_us: deadline.as_micros() })
        }
    }
}

fn maintenance(known: &Maintenance) -> proto::Maintenance {
    proto::Maintenance {
        progress: percent(known.progress),
        best: percent(known.best),
        text: known.text.to_string(),
        reported_at_us: known.reported_at.as_micros(),
        promise_us: known.promise.as_micros(),
        moved_at_us: known.moved_at.as_micros(),
        stuck_at_us: known.stuck_at.map(Timestamp::as_micros),
        boot_deadline_us: known.boot_deadline.map(Timestamp::as_micros),
    }
}

fn failed(failed: &Failed) -> proto::Failed {
    use proto::FailureKind as K;
    let (kind, limit) = match failed.failure {
        Failure::Reported => (K::Reported, Duration::ZERO),
        Failure::BootTimeout { limit } => (K::BootTimeout, limit),
        Failure::Hung { promise } => (K::Hung, promise),
        Failure::NoProgress { still_for } => (K::NoProgress, still_for),
        Failure::DumpTimeout => (K::DumpTimeout, Duration::ZERO),
    };
    proto::Failed {
        kind: kind.into(),
        limit_us: micros(limit),
        reason: failed.reason.to_string(),
        last_word: failed.last_word.as_ref().map(|word| proto::LastWord {
            text: word.text.to_string(),
            progress: percent(word.progress),
            at_us: word.at.as_micros(),
        }),
    }
}

fn memory(number: ApplianceNumber, memory: &Memory) -> proto::Memory {
    let mut written = proto::Memory {
        number: number.0,
        past_boots: memory.past_boots.iter().map(|id| boot(*id)).collect(),
        windows: memory.windows.iter().map(window).collect(),
        last_heard_at_us: memory.last_heard_at.map(Timestamp::as_micros),
        last_record: memory.last_record,
        ..proto::Memory::default()
    };
    admission::remember(number, &memory.admission, &mut written);
    written
}

pub(super) fn window(window: &Window) -> proto::Window {
    proto::Window {
        boot: boot(window.boot),
        spool: window.spool.0.get(),
        highest: window.highest,
        seen_low: u64::try_from(window.seen & u128::from(u64::MAX)).unwrap_or(0),
        seen_high: u64::try_from(window.seen >> 64).unwrap_or(0),
    }
}

fn matter(matter: Matter) -> proto::Matter {
    match matter {
        Matter::StartFailed => proto::Matter::StartFailed,
        Matter::Stuck => proto::Matter::Stuck,
        Matter::NoContact => proto::Matter::NoContact,
        Matter::TwoMachines => proto::Matter::TwoMachines,
        Matter::Flapping => proto::Matter::Flapping,
        Matter::RecordsMissing => proto::Matter::RecordsMissing,
        Matter::DiskLow => proto::Matter::DiskLow,
        Matter::MailFails => proto::Matter::MailFails,
        Matter::ClockDiffers => proto::Matter::ClockDiffers,
        Matter::ResourcesShort => proto::Matter::ResourcesShort,
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

pub(super) fn boot(id: BootId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
