//! Describes crash dumps: requests, results, ends, and the whole story in one sentence.
//!
//! Guarantees that what is unknown is told as unknown. Decides nothing.

use crate::grid::log::command::DumpOrder;
use crate::grid::log::crash_dump::{DumpReport, DumpResult};
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::model::crash_dump::{CrashDump, DumpEnd, DumpTrigger};
use crate::grid::values::crash_dump::{DumpCause, FoundDump};
use crate::grid::values::sentence::Sentence;
use crate::grid::values::size::describe_bytes;
use crate::grid::values::time::describe_duration;

/// The request of a crash dump.
pub(super) fn describe_order(done: &str, order: &DumpOrder) -> String {
    let driver = order.driver.as_str();
    match order.cause {
        DumpCause::Administrator => format!("{done}, driver {driver}"),
        DumpCause::Hung | DumpCause::BootTimeout | DumpCause::NoProgress => {
            format!("{done} by the broker, driver {driver}: {}", order.cause.as_str())
        }
    }
}

/// What the driver reported.
pub(super) fn describe_report(record: &Record, report: &DumpReport) -> String {
    let driver = record.effects.iter().find_map(|effect| {
        let ApplianceEffect::CrashDump { dump } = effect.of_appliance()? else { return None };
        Some(dump.driver.as_str())
    });
    let driver = driver.unwrap_or("driver");
    let text = match report.result {
        DumpResult::Done => format!("crash dump triggered by {driver}"),
        DumpResult::Failed => format!("crash dump not triggered by {driver}"),
        DumpResult::Unknown => {
            format!("it is unknown whether {driver} triggered the crash dump")
        }
    };
    if report.detail.is_empty() { text } else { format!("{text}: {}", report.detail) }
}

/// A trigger without an effect.
pub(super) fn no_effect() -> &'static str {
    "the crash dump had no effect: the appliance goes on in the same boot; \
     `gridctl appliance crash-dump NAME` tells whether it is armed"
}

/// What a change of a crash dump tells beside the input of its record.
pub(super) fn describe_change(dump: &CrashDump) -> Option<Sentence> {
    match (&dump.end, dump.trigger) {
        (None, DumpTrigger::Due) => {
            let (driver, cause) = (dump.driver.as_str(), dump.cause.as_str());
            Some(format!("a crash dump is due, driver {driver}: {cause}").into())
        }
        (None, DumpTrigger::Unknown { .. }) => {
            let (driver, request) = (dump.driver.as_str(), dump.request);
            Some(format!("unknown whether {driver} triggered the crash dump req-{request}").into())
        }
        (Some((DumpEnd::NewBoot { .. }, _)), _) if dump.found.is_empty() => {
            Some(format!("booted again after the crash dump{}", times(dump)).into())
        }
        (
            None
            | Some((
                DumpEnd::NewBoot { .. }
                | DumpEnd::NoBoot
                | DumpEnd::NoEffect
                | DumpEnd::NotTriggered
                | DumpEnd::Stopped,
                _,
            )),
            _,
        ) => None,
    }
}

/// What an event that begins a boot tells of the crash dump before it.
pub fn boot_of_event(record: &Record) -> Option<String> {
    let Input::Event(_) = &record.input else { return None };
    record.effects.iter().find_map(|effect| {
        let ApplianceEffect::CrashDump { dump } = effect.of_appliance()? else { return None };
        let is_end = matches!(dump.end, Some((DumpEnd::NewBoot { .. }, at)) if at == record.at);
        is_end.then(|| format!("booted again after the crash dump{}", times(dump)))
    })
}

/// What happened with this change of a crash dump, for a mail; `None`: nothing to tell, or something
/// that another mail tells.
pub fn next_step(name: &str, before: Option<&CrashDump>, now: &CrashDump) -> Option<String> {
    let (driver, by) = (now.driver.as_str(), &now.by);
    let was_done = before.and_then(|it| it.trigger.done_at()).is_some();
    let end_before = before.and_then(|it| it.end.as_ref().map(|(end, _)| end));
    let has_ended = end_before.is_some_and(|end| *end != DumpEnd::NoBoot);
    match (&now.end, now.trigger) {
        (Some((DumpEnd::NewBoot { .. }, _)), _) if !has_ended && now.found.is_empty() => {
            Some(format!("{name} booted again{}", times(now)))
        }
        (Some((DumpEnd::NoBoot, _)), _) if end_before.is_none() => {
            Some(format!("{name} did not boot again until the dump deadline"))
        }
        (Some((DumpEnd::Stopped, _)), _) if !has_ended => {
            Some(format!("{name} was stopped while its crash dump was under way"))
        }
        (Some((DumpEnd::NoEffect, _)), _) if !has_ended => {
            Some(format!("the crash dump of {name} had no effect: it goes on in the same boot"))
        }
        (_, DumpTrigger::Failed { .. }) if !was_done => {
            Some(format!("no crash dump of {name} by {driver}: {}", now.detail))
        }
        (_, DumpTrigger::Unknown { .. }) if !was_done => Some(format!(
            "unknown whether {driver} triggered the crash dump of {name}: {}",
            now.detail
        )),
        (None, DumpTrigger::Pending) => {
            let cause = match now.cause {
                DumpCause::Administrator => String::new(),
                cause @ (DumpCause::Hung | DumpCause::BootTimeout | DumpCause::NoProgress) => {
                    format!(": {}", cause.as_str())
                }
            };
            Some(format!("crash dump of {name} requested by {by}, driver {driver}{cause}"))
        }
        (
            None
            | Some((
                DumpEnd::NewBoot { .. }
                | DumpEnd::NoBoot
                | DumpEnd::NoEffect
                | DumpEnd::NotTriggered
                | DumpEnd::Stopped,
                _,
            )),
            _,
        ) => None,
    }
}

/// The whole story.
pub fn describe(dump: &CrashDump) -> String {
    let driver = dump.driver.as_str();
    let begin = match dump.trigger {
        DumpTrigger::Due => return format!("due, by {driver}: {}", dump.cause.as_str()),
        DumpTrigger::Pending => format!("{driver} is at work"),
        DumpTrigger::Done { .. } => format!("triggered by {driver}"),
        DumpTrigger::Failed { .. } => format!("not triggered by {driver}: {}", dump.detail),
        DumpTrigger::Unknown { .. } => format!("unknown whether triggered: {}", dump.detail),
    };
    let end = match &dump.end {
        None => "no new boot yet".to_owned(),
        Some((DumpEnd::NewBoot { .. }, _)) => format!("booted again{}", times(dump)),
        Some((DumpEnd::NoBoot, _)) => "no new boot until the deadline".to_owned(),
        Some((DumpEnd::NoEffect, _)) => "no effect: it went on in the same boot".to_owned(),
        Some((DumpEnd::NotTriggered, _)) => return begin,
        Some((DumpEnd::Stopped, _)) => "stopped meanwhile".to_owned(),
    };
    let found = match (dump.found.as_slice(), &dump.end) {
        ([], Some((DumpEnd::NewBoot { .. }, _))) => "; no dump was found".to_owned(),
        ([], _) => String::new(),
        (found, _) => {
            let found: Vec<_> = found.iter().map(describe_found).collect();
            format!("; {}", found.join("; "))
        }
    };
    format!("{begin}; {end}{found}")
}

/// A dump that was found: `/var/crash/202611301612/dump.202611301612 (22.3 MiB, incomplete)`.
pub fn describe_found(found: &FoundDump) -> String {
    let mut facts = vec![describe_bytes(found.bytes)];
    if found.is_incomplete {
        facts.push("incomplete".to_owned());
    }
    facts.extend(found.took.map(|took| format!("written in {}", describe_duration(took))));
    let text = format!("{} ({})", found.path, facts.join(", "));
    if found.last_words.is_empty() { text } else { format!("{text}: {}", found.last_words) }
}

/// How long it took, and how long the appliance was silent.
fn times(dump: &CrashDump) -> String {
    let Some((_, ended_at)) = dump.end else { return String::new() };
    let (from, what) = match dump.trigger {
        DumpTrigger::Done { at } if at <= ended_at => (at, "trigger"),
        DumpTrigger::Due
        | DumpTrigger::Pending
        | DumpTrigger::Done { .. }
        | DumpTrigger::Failed { .. }
        | DumpTrigger::Unknown { .. } => (dump.requested_at, "request"),
    };
    let mut text = format!(", {} after the {what}", describe_duration(ended_at.since(from)));
    if let Some(heard) = dump.last_event_at {
        text.push_str(&format!(", silent for {}", describe_duration(ended_at.since(heard))));
    }
    text
}
