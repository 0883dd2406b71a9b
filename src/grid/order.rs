//! What may administrators and orchestrators do to appliances?
//!
//! Guarantees that a refused order changes nothing, and that a change of limits moves the deadline
//! that is pending. Knows nothing of who asks.

use std::time::Duration;

use super::appliance::Appliance;
use super::change::Change;
use super::decide::{Draft, OrderRefusal};
use super::effect::{Effect, Matter, Phase};
use super::lifecycle::{Lifecycle, Maintenance};
use super::name::{ApplianceName, ApplianceNumber};
use super::record::{Order, Reset};
use super::settings::{ClassSettings, DEFAULT_CLASS, Overrides, Settings};
use super::state::State;
use super::time::Timestamp;

type Ordered = Result<(ApplianceNumber, Draft), OrderRefusal>;

pub(in crate::grid) fn decide(
    state: &State,
    settings: &Settings,
    order: &Order,
    now: Timestamp,
) -> Ordered {
    match order {
        Order::Add { name, uuid, class, overrides } => {
            if state.find(name).is_some() {
                return Err(OrderRefusal::AlreadyExists { name: name.clone() });
            }
            let number = state.next_row();
            let class = class.clone().unwrap_or_else(|| DEFAULT_CLASS.into());
            known_class(settings, &class)?;
            let (name, uuid, overrides) = (name.clone(), *uuid, overrides.clone());
            let added = Effect::Appliance { number, name, uuid, class, overrides };
            Ok((number, Draft::kept(vec![added])))
        }
        Order::Set { name, class, overrides, reset } => {
            let appliance = find(state, name)?;
            // A class that is no longer there may stay: only what is asked for must be known.
            class.as_ref().map_or(Ok(()), |class| known_class(settings, class))?;
            let class = class.clone().unwrap_or_else(|| appliance.class.clone());
            let overrides = overridden(&appliance.overrides, overrides, *reset);
            Ok((appliance.number, set(state, settings, appliance, class, overrides, now)))
        }
        Order::Remove { name } => {
            let number = find(state, name)?.number;
            Ok((number, Draft::kept(vec![Effect::Removed { number }])))
        }
        Order::StartBoot { name } => {
            let appliance = find(state, name)?;
            Ok((
                appliance.number,
                change(state, settings, appliance, now, |it, _| it.begin(None, None)),
            ))
        }
        Order::Stop { name } => {
            let appliance = find(state, name)?;
            Ok((appliance.number, change(state, settings, appliance, now, |it, _| stop(it))))
        }
        Order::CrashDump { name } => {
            let appliance = find(state, name)?;
            match &appliance.lifecycle {
                Lifecycle::Running | Lifecycle::Failed(_) => {}
                Lifecycle::Idle
                | Lifecycle::Starting { .. }
                | Lifecycle::Maintenance(_)
                | Lifecycle::Dumping { .. } => {
                    let (name, state) = (name.clone(), appliance.lifecycle.word());
                    return Err(OrderRefusal::NothingToDump { name, state });
                }
            }
            let draft = change(state, settings, appliance, now, |it, rules| {
                it.become_now(Lifecycle::Dumping { deadline: now.after(rules.dump_timeout) });
            });
            Ok((appliance.number, draft))
        }
        Order::Unsuppress { name } => {
            let appliance = find(state, name)?;
            let Some(suppression) = &appliance.admission.suppression else {
                return Err(OrderRefusal::NotSuppressed { name: name.clone() });
            };
            let (number, phase) = (appliance.number, Phase::Ends);
            let suppression = (**suppression).clone();
            let ends = Effect::Suppression { number, phase, suppression };
            Ok((number, Draft::kept(vec![ends, Effect::BudgetsFilled { number }])))
        }
    }
}

fn find<'a>(state: &'a State, name: &ApplianceName) -> Result<&'a Appliance, OrderRefusal> {
    state
        .find(name)
        .and_then(|number| state.appliance(number))
        .ok_or_else(|| OrderRefusal::NotFound { name: name.clone() })
}

fn known_class(settings: &Settings, class: &str) -> Result<(), OrderRefusal> {
    if settings.class(class).is_some() {
        return Ok(());
    }
    let known: Vec<_> = settings.class_names().collect();
    Err(OrderRefusal::UnknownClass { class: class.into(), known: known.join(", ").into() })
}

fn overridden(before: &Overrides, set: &Overrides, reset: Reset) -> Overrides {
    let kept = |is_reset: bool| !is_reset;
    Overrides {
        managed: set.managed.or(before.managed.filter(|_| kept(reset.managed))),
        boot_timeout: set.boot_timeout.or(before.boot_timeout.filter(|_| kept(reset.boot_timeout))),
        maintenance_silence: set
            .maintenance_silence
            .or(before.maintenance_silence.filter(|_| kept(reset.maintenance_silence))),
    }
}

fn set(
    state: &State,
    settings: &Settings,
    appliance: &Appliance,
    class: Box<str>,
    overrides: Overrides,
    now: Timestamp,
) -> Draft {
    let before = settings.rules(&appliance.class, &appliance.overrides);
    let rules = settings.rules(&class, &overrides);
    let mut changed = Change::new(state, appliance, &rules, now);
    match &appliance.lifecycle {
        // Nothing that an unmanaged appliance says would end these.
        Lifecycle::Starting { .. } | Lifecycle::Maintenance(_) | Lifecycle::Failed(_)
            if !rules.managed =>
        {
            changed.become_now(Lifecycle::Running);
        }
        Lifecycle::Starting { deadline } if rules.boot_timeout != before.boot_timeout => {
            let began_at = appliance.boot.map_or(appliance.since, |boot| boot.began_at);
            let due = |timeout| began_at.after(timeout);
            // The deadline may have been moved for the broker's absence: that credit stays.
            let credit = match (*deadline, before.boot_timeout) {
                (Some(deadline), Some(timeout)) => deadline.since(due(timeout)),
                (None, _) | (_, None) => Duration::ZERO,
            };
            let deadline = rules.boot_timeout.map(|timeout| due(timeout).after(credit));
            changed.become_now(Lifecycle::Starting { deadline });
        }
        // More time counts at once, less with the next report: what was promised was promised.
        Lifecycle::Maintenance(known) if rules.maintenance_silence > before.maintenance_silence => {
            let more = rules.maintenance_silence.saturating_sub(before.maintenance_silence);
            let promise = known.promise.after(more);
            let known = Maintenance { promise, ..(**known).clone() };
            changed.become_now(Lifecycle::Maintenance(Box::new(known)));
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
    effects.insert(0, Effect::Appliance { number, name, uuid, class, overrides });
    Draft::kept(effects)
}

fn stop(change: &mut Change<'_>) {
    change.become_now(Lifecycle::Idle);
    for matter in [Matter::NoContact, Matter::TwoMachines, Matter::Flapping] {
        change.clear(matter);
    }
}

fn change(
    state: &State,
    settings: &Settings,
    appliance: &Appliance,
    now: Timestamp,
    what: impl FnOnce(&mut Change<'_>, &ClassSettings),
) -> Draft {
    let rules = settings.rules(&appliance.class, &appliance.overrides);
    let mut change = Change::new(state, appliance, &rules, now);
    what(&mut change, &rules);
    let (effects, _) = change.into_effects();
    Draft::kept(effects)
}
