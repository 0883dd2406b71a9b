//! Decides on crash dumps: requests, what their drivers report, and dumps that are found.
//!
//! Guarantees one crash dump of an appliance at a time, until its new boot; that a trigger which
//! failed leaves the appliance as it was; and that the broker requests one by itself once a boot. Does not
//! know drivers.

use std::time::Duration;

use uuid::Uuid;

use crate::grid::decide::transition::{BootRelation, Transition};
use crate::grid::decide::{CommandRejection, Decider, DecisionDraft};
use crate::grid::log::command::DumpOrder;
use crate::grid::log::crash_dump::{DumpReport, DumpResult};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::ReceivedEvent;
use crate::grid::model::crash_dump::{CrashDump, DumpEnd, DumpTrigger};
use crate::grid::model::lifecycle::{Dumping, FailureCause, Lifecycle};
use crate::grid::model::settings::GridSettings;
use crate::grid::state::State;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::crash_dump::{DumpCause, FoundDump};
use crate::grid::values::event::EventBody;
use crate::grid::values::id::{BootId, RecordNumber};
use crate::grid::values::time::Timestamp;

/// Who requests the crash dumps that the broker decides.
const BROKER: &str = "gridd";

/// The dump deadline is at least so much later than the time limit of the driver.
const DRIVER_GRACE: Duration = Duration::from_secs(10);

/// An event of the same boot so long after the trigger was not under way before it.
const ALIVE_AFTER: Duration = Duration::from_secs(10);

/// A session of the same boot that is open so long after the trigger has answered pings since: a dead
/// one is closed after twice 20 s.
const SESSION_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// Requests a crash dump.
///
/// # Errors
///
/// Why it is rejected, in the order of Nova's checks.
pub(in crate::grid) fn request(
    state: &State,
    settings: &GridSettings,
    appliance: &Appliance,
    order: &DumpOrder,
    now: Timestamp,
) -> Result<DecisionDraft, CommandRejection> {
    let name = || appliance.name.clone();
    // Another one of that name, since it was checked.
    if order.appliance.is_some_and(|uuid| uuid != appliance.uuid) {
        return Err(CommandRejection::NotFound { name: name() });
    }
    if let Some(lock) = appliance.lock.as_ref().filter(|_| !order.passes_lock) {
        return Err(CommandRejection::Locked { name: name(), by: lock.by.clone() });
    }
    if appliance.boot.is_none() && appliance.past_boots.is_empty() {
        return Err(CommandRejection::NeverBooted { name: name() });
    }
    let known = appliance.crash_dumps.iter().find(|it| it.request == order.request);
    // What the broker decided holds for the boot that it decided on, and for no other.
    let is_due = match known {
        None => order.cause == DumpCause::Administrator,
        Some(it) => it.trigger == DumpTrigger::Due && it.boot == appliance.boot_id(),
    };
    let failed = match &appliance.lifecycle {
        Lifecycle::Running if is_due && known.is_none() => None,
        Lifecycle::Failed(failed) if is_due => Some((**failed).clone()),
        Lifecycle::Idle
        | Lifecycle::Starting { .. }
        | Lifecycle::Maintenance(_)
        | Lifecycle::Running
        | Lifecycle::Failed(_)
        | Lifecycle::Dumping { .. } => {
            let state = appliance.lifecycle.as_str();
            return Err(CommandRejection::CannotDump { name: name(), state });
        }
    };
    let rules = settings.rules(&appliance.class, &appliance.overrides);
    let driver_timeout = settings.crash_dump(&appliance.name, &appliance.class).timeout;
    let mut change = Transition::new(state, appliance, &rules, now);
    change.set_lifecycle(Lifecycle::Dumping(Box::new(Dumping {
        // Not before the driver has to be done.
        deadline: now.after(rules.dump_timeout.max(driver_timeout + DRIVER_GRACE)),
        failed,
        before_since: appliance.since,
        is_alive: false,
    })));
    let (mut effects, _) = change.into_effects();
    let dump = known.cloned().unwrap_or_else(|| new_dump(appliance, order, now));
    let dump = CrashDump { trigger: DumpTrigger::Pending, driver: order.driver, ..dump };
    effects.push(changed(appliance, dump));
    Ok(DecisionDraft::recorded(effects))
}

/// Checks that the caller may change the lock.
///
/// # Errors
///
/// An admin has locked it, and the caller is none.
pub(in crate::grid) fn require_unlockable(
    appliance: &Appliance,
    is_admin: bool,
) -> Result<(), CommandRejection> {
    match appliance.lock.as_ref().filter(|lock| lock.is_by_admin && !is_admin) {
        None => Ok(()),
        Some(lock) => Err(CommandRejection::LockedByAdmin {
            name: appliance.name.clone(),
            by: lock.by.clone(),
        }),
    }
}

/// The crash dump that the broker requests by itself because a start failed so, once a boot.
pub(in crate::grid) fn automatic(
    settings: &GridSettings,
    appliance: &Appliance,
    failure: FailureCause,
    record: RecordNumber,
    now: Timestamp,
) -> Option<Effect> {
    let cause = match failure {
        FailureCause::Hung { .. } => DumpCause::Hung,
        FailureCause::NoProgress { .. } => DumpCause::NoProgress,
        FailureCause::BootTimeout { .. } => DumpCause::BootTimeout,
        FailureCause::Reported | FailureCause::DumpTimeout => return None,
    };
    let driver = settings.crash_dump(&appliance.name, &appliance.class).driver_for(cause)?;
    let is_of_boot = |it: &CrashDump| {
        it.cause != DumpCause::Administrator
            && appliance.boot.is_none_or(|boot| boot.began_at <= it.requested_at)
    };
    if appliance.crash_dumps.iter().any(is_of_boot) {
        return None;
    }
    let requester = BROKER.into();
    let request = request_id(appliance, record);
    let order = DumpOrder { request, requester, driver, cause, ..DumpOrder::default() };
    Some(changed(appliance, new_dump(appliance, &order, now)))
}

/// The crash dumps whose drivers were at work when the broker was interrupted.
pub(in crate::grid) fn interrupted(state: &State, now: Timestamp) -> Vec<Effect> {
    let pending = state.appliances().flat_map(|appliance| {
        let pending = appliance.crash_dumps.iter().filter(|it| it.trigger == DumpTrigger::Pending);
        pending.map(move |dump| (appliance, dump))
    });
    let unknown = pending.map(|(appliance, dump)| {
        let detail = "the broker was interrupted while the driver was at work".into();
        let trigger = DumpTrigger::Unknown { at: now };
        changed(appliance, CrashDump { trigger, detail, ..dump.clone() })
    });
    unknown.collect()
}

/// The newest crash dump of the appliance with that end, unless it has ended otherwise. What is due does
/// not begin any more.
pub(in crate::grid) fn ended(
    appliance: &Appliance,
    end: DumpEnd,
    last_event_at: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Effect> {
    let due = appliance.crash_dumps.iter().filter(|it| it.trigger == DumpTrigger::Due);
    let not_begun = due.map(|dump| {
        let (trigger, end) = (DumpTrigger::Failed { at: now }, Some((DumpEnd::NotTriggered, now)));
        let detail = "the boot that it was due for is over".into();
        changed(appliance, CrashDump { trigger, end, detail, ..dump.clone() })
    });
    let newest = appliance.crash_dumps.first().filter(|it| it.awaits_boot()).map(|dump| {
        let last_event_at = last_event_at.or(dump.last_event_at);
        changed(appliance, CrashDump { end: Some((end, now)), last_event_at, ..dump.clone() })
    });
    not_begun.chain(newest).collect()
}

/// The crash dump that an announced boot ended, now that the id of that boot is known.
pub(in crate::grid) fn next_boot_known(appliance: &Appliance, id: BootId) -> Option<Effect> {
    let dump = appliance.crash_dumps.first()?;
    let Some((DumpEnd::NewBoot { boot: None }, at)) = dump.end else { return None };
    let end = Some((DumpEnd::NewBoot { boot: Some(id) }, at));
    Some(changed(appliance, CrashDump { end, ..dump.clone() }))
}

/// Whether rate limits do not count this event: it belongs to a reboot that the broker ordered.
pub(in crate::grid) fn is_of_ordered_boot(
    appliance: &Appliance,
    received: &ReceivedEvent,
    relation: BootRelation,
) -> bool {
    let Some(dump) = appliance.crash_dumps.first() else { return false };
    let of_boot = match relation {
        BootRelation::Begins(_) => return dump.awaits_boot(),
        // The crash dump does not know the id of the announced boot yet.
        BootRelation::Adopts(_) => None,
        BootRelation::Current => received.boot.or(appliance.boot_id()),
        BootRelation::Stale => return false,
    };
    if let Some(found) = &received.event.crash_dump {
        return is_new(dump, found, of_boot);
    }
    // The end of the start that the reboot began.
    let is_next = matches!(dump.end, Some((DumpEnd::NewBoot { boot }, _)) if boot == of_boot);
    let ends_start = matches!(received.event.body, EventBody::StartedOk | EventBody::StartFailed);
    is_next && ends_start && appliance.lifecycle.is_start_pending()
}

/// The crash dump with what was found, if the event tells of one.
pub(in crate::grid) fn found(
    appliance: &Appliance,
    received: &ReceivedEvent,
    boot: Option<BootId>,
) -> Option<Effect> {
    let found = received.event.crash_dump.as_deref()?;
    let mut dump = appliance.crash_dumps.first().filter(|it| is_new(it, found, boot))?.clone();
    dump.found.push(found.clone());
    Some(changed(appliance, dump))
}

/// Whether the dump that was found belongs to the crash dump, and is not known yet.
fn is_new(dump: &CrashDump, found: &FoundDump, boot: Option<BootId>) -> bool {
    dump.may_be_found_in(boot) && dump.found.iter().all(|it| it.path != found.path)
}

impl Decider<'_> {
    /// What a driver reported.
    pub(in crate::grid) fn crash_dump(&self, report: &DumpReport) -> Option<DecisionDraft> {
        let Some(appliance) = self.state.appliance(report.appliance) else {
            // It was removed meanwhile: what its driver did is recorded all the same.
            self.state.name(report.appliance)?;
            return Some(DecisionDraft::recorded(Vec::new()));
        };
        let dump = appliance.crash_dumps.iter().find(|it| it.request == report.request)?;
        let is_open = match dump.trigger {
            DumpTrigger::Due | DumpTrigger::Pending => true,
            DumpTrigger::Done { .. } | DumpTrigger::Failed { .. } | DumpTrigger::Unknown { .. } => {
                false
            }
        };
        if !is_open {
            return None;
        }
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Transition::new(self.state, appliance, &rules, self.now);
        let at = self.now;
        let mut next = CrashDump {
            detail: report.detail.clone(),
            output: report.output.clone(),
            ..dump.clone()
        };
        next.trigger = match report.result {
            DumpResult::Done => DumpTrigger::Done { at },
            DumpResult::Unknown => DumpTrigger::Unknown { at },
            DumpResult::Failed => {
                next.end = next.end.or(Some((DumpEnd::NotTriggered, at)));
                let is_newest = appliance.crash_dumps.first().is_some_and(|it| it == dump);
                if is_newest && dump.trigger == DumpTrigger::Pending {
                    change.restore_before_dump();
                }
                DumpTrigger::Failed { at }
            }
        };
        let (mut effects, flags) = change.into_effects();
        effects.push(changed(appliance, next));
        Some(DecisionDraft::new(crate::grid::values::outcome::Outcome::Stored, flags, effects))
    }

    /// Whether the appliance goes on in the boot that is dumped: an event of it arrives now.
    pub(in crate::grid) fn is_alive_after_trigger(
        &self,
        appliance: &Appliance,
        is_live: bool,
    ) -> bool {
        is_live && self.triggered_before(appliance, ALIVE_AFTER)
    }

    /// Whether an open session shows that at the dump deadline.
    pub(in crate::grid) fn has_living_session(&self, appliance: &Appliance) -> bool {
        self.context.has_session && self.triggered_before(appliance, SESSION_ALIVE_AFTER)
    }

    fn triggered_before(&self, appliance: &Appliance, long: Duration) -> bool {
        let dump = appliance.crash_dumps.first().filter(|it| it.awaits_boot());
        let done_at = dump.and_then(|it| it.trigger.done_at());
        matches!(appliance.lifecycle, Lifecycle::Dumping { .. })
            && done_at.is_some_and(|at| at.after(long) <= self.now)
    }
}

fn changed(appliance: &Appliance, dump: CrashDump) -> Effect {
    ApplianceEffect::CrashDump { dump: Box::new(dump) }.of(appliance.number)
}

fn new_dump(appliance: &Appliance, order: &DumpOrder, now: Timestamp) -> CrashDump {
    CrashDump {
        request: order.request,
        by: order.requester.clone(),
        cause: order.cause,
        driver: order.driver,
        boot: appliance.boot_id(),
        requested_at: now,
        trigger: DumpTrigger::Due,
        detail: "".into(),
        output: "".into(),
        last_event_at: None,
        end: None,
        found: Vec::new(),
    }
}

/// A request id that no other decision gives: the UUID of the appliance, with the record's number mixed
/// in. It stays a random UUID in form.
fn request_id(appliance: &Appliance, record: RecordNumber) -> Uuid {
    let mut bytes = appliance.uuid.into_bytes();
    for (byte, mixed) in bytes.iter_mut().rev().take(6).zip(record.to_le_bytes()) {
        *byte ^= mixed;
    }
    Uuid::from_bytes(bytes)
}
