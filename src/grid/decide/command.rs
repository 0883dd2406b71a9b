//! Decides on the commands of administrators and orchestrators.
//!
//! Guarantees that a rejected command changes nothing, and that changed limits move the pending
//! deadline. Does not know the sender.

use std::time::Duration;

use crate::grid::decide::DecisionDraft;
use crate::grid::decide::transition::Transition;
use crate::grid::decide::{crash_dump, identity};
use crate::grid::log::command::{AdminCommand, OverrideReset};
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::model::crash_dump::{ApplianceLock, DumpEnd};
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::{Dumping, Lifecycle, Maintenance};
use crate::grid::model::settings::{ClassSettings, DEFAULT_CLASS, GridSettings, Overrides};
use crate::grid::model::usage::SuppressionPhase;
use crate::grid::state::State;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::{ApplianceIndex, ApplianceName};
use crate::grid::values::time::Timestamp;

/// Why a command is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRejection {
    /// The appliance does not exist.
    #[error("there is no appliance {name}; `gridctl appliance list` shows all of them")]
    NotFound {
        /// The requested name.
        name: ApplianceName,
    },
    /// An appliance of that name exists.
    #[error("appliance {name} already exists; `gridctl appliance set` changes it")]
    AlreadyExists {
        /// The requested name.
        name: ApplianceName,
    },
    /// The class does not exist.
    #[error("there is no class `{class}`; known classes: {known}")]
    UnknownClass {
        /// The requested class.
        class: Box<str>,
        /// The known classes.
        known: Box<str>,
    },
    /// The appliance is locked, and the caller is no admin.
    #[error("{name} is locked by {by}; `gridctl appliance unlock {name}` unlocks it")]
    Locked {
        /// The appliance.
        name: ApplianceName,
        /// Who locked it.
        by: Box<str>,
    },
    /// An admin locked the appliance, and the caller is none.
    #[error("{name} is locked by {by}, an admin: only an admin unlocks it")]
    LockedByAdmin {
        /// The appliance.
        name: ApplianceName,
        /// Who locked it.
        by: Box<str>,
    },
    /// The appliance never booted.
    #[error("{name} has never booted; a crash dump is taken of a running or failed appliance")]
    NeverBooted {
        /// The appliance.
        name: ApplianceName,
    },
    /// A crash dump is not possible in this state.
    #[error("{name} is {state}; a crash dump is taken of a running or failed appliance")]
    CannotDump {
        /// The appliance.
        name: ApplianceName,
        /// Its state.
        state: &'static str,
    },
    /// The appliance is not suppressed.
    #[error(
        "{name} is not suppressed; `gridctl appliance list --suppressed` lists the appliances that are"
    )]
    NotSuppressed {
        /// The appliance.
        name: ApplianceName,
    },
}

type CommandDecision = Result<(ApplianceIndex, DecisionDraft), CommandRejection>;

pub(in crate::grid) fn decide(
    state: &State,
    settings: &GridSettings,
    by: &str,
    command: &AdminCommand,
    now: Timestamp,
) -> CommandDecision {
    match command {
        AdminCommand::Add { name, uuid, class, overrides } => {
            if state.find(name).is_some() {
                return Err(CommandRejection::AlreadyExists { name: name.clone() });
            }
            let number = state.next_number();
            let class = class.clone().unwrap_or_else(|| DEFAULT_CLASS.into());
            require_class(settings, &class)?;
            let (name, uuid, overrides) = (name.clone(), *uuid, overrides.clone());
            let added = ApplianceEffect::Registered { name, uuid, class, overrides }.of(number);
            Ok((number, DecisionDraft::recorded(vec![added])))
        }
        AdminCommand::Set { name, class, overrides, reset } => {
            let appliance = find_appliance(state, name)?;
            // A class that no longer exists may stay: only a requested class must be known.
            class.as_ref().map_or(Ok(()), |class| require_class(settings, class))?;
            let class = class.clone().unwrap_or_else(|| (&*appliance.class).into());
            let overrides = merged_overrides(&appliance.overrides, overrides, *reset);
            Ok((appliance.number, set_appliance(state, settings, appliance, class, overrides, now)))
        }
        AdminCommand::Remove { name } => {
            let number = find_appliance(state, name)?.number;
            let mut effects = identity::appliance_revoked(state, name, now);
            effects.push(ApplianceEffect::Removed.of(number));
            Ok((number, DecisionDraft::recorded(effects)))
        }
        AdminCommand::StartBoot { name } => {
            let appliance = find_appliance(state, name)?;
            Ok((
                appliance.number,
                transition(state, settings, appliance, now, |it, _| it.begin_boot(None, None)),
            ))
        }
        AdminCommand::Stop { name } => {
            let appliance = find_appliance(state, name)?;
            Ok((
                appliance.number,
                transition(state, settings, appliance, now, |it, _| stop_appliance(it)),
            ))
        }
        AdminCommand::CrashDump { name, order } => {
            let appliance = find_appliance(state, name)?;
            let draft = crash_dump::request(state, settings, appliance, order, now)?;
            Ok((appliance.number, draft))
        }
        AdminCommand::Lock { name, reason, is_by_admin } => {
            let appliance = find_appliance(state, name)?;
            crash_dump::require_unlockable(appliance, *is_by_admin)?;
            let (by, is_by_admin, reason) = (by.into(), *is_by_admin, reason.clone());
            let lock = ApplianceLock { by, is_by_admin, reason, at: now };
            Ok((appliance.number, lock_changed(appliance, Some(lock))))
        }
        AdminCommand::Unlock { name, is_by_admin } => {
            let appliance = find_appliance(state, name)?;
            crash_dump::require_unlockable(appliance, *is_by_admin)?;
            Ok((appliance.number, lock_changed(appliance, None)))
        }
        AdminCommand::Unsuppress { name } => {
            let appliance = find_appliance(state, name)?;
            let Some(suppression) = &appliance.usage.suppression else {
                return Err(CommandRejection::NotSuppressed { name: name.clone() });
            };
            let (number, phase) = (appliance.number, SuppressionPhase::Ends);
            let suppression = (**suppression).clone();
            let ends = ApplianceEffect::Suppression { phase, suppression }.of(number);
            Ok((
                number,
                DecisionDraft::recorded(vec![ends, ApplianceEffect::RateLimitsReset.of(number)]),
            ))
        }
    }
}

/// The draft with the lock; what is not locked may be unlocked.
fn lock_changed(appliance: &Appliance, lock: Option<ApplianceLock>) -> DecisionDraft {
    let is_changed = lock.is_some() || appliance.lock.is_some();
    let changed = ApplianceEffect::Lock { lock: lock.map(Box::new) }.of(appliance.number);
    DecisionDraft::recorded(is_changed.then_some(changed).into_iter().collect())
}

fn find_appliance<'a>(
    state: &'a State,
    name: &ApplianceName,
) -> Result<&'a Appliance, CommandRejection> {
    state
        .find(name)
        .and_then(|number| state.appliance(number))
        .ok_or_else(|| CommandRejection::NotFound { name: name.clone() })
}

pub(in crate::grid) fn require_class(
    settings: &GridSettings,
    class: &str,
) -> Result<(), CommandRejection> {
    if settings.class(class).is_some() {
        return Ok(());
    }
    let known: Vec<_> = settings.class_names().collect();
    Err(CommandRejection::UnknownClass { class: class.into(), known: known.join(", ").into() })
}

fn merged_overrides(before: &Overrides, set: &Overrides, reset: OverrideReset) -> Overrides {
    let kept = |is_reset: bool| !is_reset;
    Overrides {
        managed: set.managed.or(before.managed.filter(|_| kept(reset.managed))),
        boot_timeout: set.boot_timeout.or(before.boot_timeout.filter(|_| kept(reset.boot_timeout))),
        report_deadline: set
            .report_deadline
            .or(before.report_deadline.filter(|_| kept(reset.maintenance_silence))),
    }
}

fn set_appliance(
    state: &State,
    settings: &GridSettings,
    appliance: &Appliance,
    class: Box<str>,
    overrides: Overrides,
    now: Timestamp,
) -> DecisionDraft {
    let before = settings.rules(&appliance.class, &appliance.overrides);
    let rules = settings.rules(&class, &overrides);
    let mut changed = Transition::new(state, appliance, &rules, now);
    match &appliance.lifecycle {
        // No event of an unmanaged appliance would end these states.
        Lifecycle::Starting { .. } | Lifecycle::Maintenance(_) | Lifecycle::Failed(_)
            if !rules.managed =>
        {
            changed.set_lifecycle(Lifecycle::Running);
        }
        Lifecycle::Dumping(dumping) if !rules.managed && dumping.failed.is_some() => {
            let freed = Dumping { failed: None, before_since: now, ..(**dumping).clone() };
            changed.set_lifecycle(Lifecycle::Dumping(Box::new(freed)));
        }
        Lifecycle::Starting { deadline } if rules.boot_timeout != before.boot_timeout => {
            let began_at = appliance.boot.map_or(appliance.since, |boot| boot.began_at);
            let due = |timeout| began_at.after(timeout);
            // The deadline may have been moved by a downtime of the broker: that extension stays.
            let credit = match (*deadline, before.boot_timeout) {
                (Some(deadline), Some(timeout)) => deadline.since(due(timeout)),
                (None, _) | (_, None) => Duration::ZERO,
            };
            let deadline = rules.boot_timeout.map(|timeout| due(timeout).after(credit));
            changed.set_lifecycle(Lifecycle::Starting { deadline });
        }
        // A longer limit applies at once, a shorter one from the next report on: a deadline given
        // stays.
        Lifecycle::Maintenance(known) if rules.report_deadline > before.report_deadline => {
            let more = rules.report_deadline.saturating_sub(before.report_deadline);
            let promise = known.report_deadline.after(more);
            let known = Maintenance { report_deadline: promise, ..(**known).clone() };
            changed.set_lifecycle(Lifecycle::Maintenance(Box::new(known)));
        }
        Lifecycle::Idle
        | Lifecycle::Starting { .. }
        | Lifecycle::Maintenance(_)
        | Lifecycle::Running
        | Lifecycle::Failed(_)
        | Lifecycle::Dumping { .. } => {}
    }
    let (mut effects, _) = changed.into_effects();
    let (number, name, uuid) = (appliance.number, appliance.name.clone(), appliance.uuid);
    effects.insert(0, ApplianceEffect::Registered { name, uuid, class, overrides }.of(number));
    DecisionDraft::recorded(effects)
}

fn stop_appliance(change: &mut Transition<'_>) {
    change.end_crash_dump(DumpEnd::Stopped);
    change.set_lifecycle(Lifecycle::Idle);
    for kind in [FindingKind::NoContact, FindingKind::NameConflict, FindingKind::Flapping] {
        change.clear(kind);
    }
}

fn transition(
    state: &State,
    settings: &GridSettings,
    appliance: &Appliance,
    now: Timestamp,
    what: impl FnOnce(&mut Transition<'_>, &ClassSettings),
) -> DecisionDraft {
    let rules = settings.rules(&appliance.class, &appliance.overrides);
    let mut change = Transition::new(state, appliance, &rules, now);
    what(&mut change, &rules);
    let (effects, _) = change.into_effects();
    DecisionDraft::recorded(effects)
}
