//! Describes inputs that are no events: sessions, commands, and the start of the broker.
//!
//! Guarantees a sentence for each. Decides nothing.

use crate::grid::explain::crash_dump;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{BrokerStarted, LastRun};
use crate::grid::log::record::Record;
use crate::grid::model::finding::FindingKind;
use crate::grid::values::time::describe_duration;

pub(super) fn describe_hello(record: &Record) -> String {
    let is_back = record.effects.iter().any(|effect| {
        matches!(effect, Effect::FindingCleared { kind: FindingKind::NoContact, .. })
    });
    let begins = record
        .effects
        .iter()
        .any(|effect| matches!(effect.of_appliance(), Some(ApplianceEffect::Lifecycle { .. })));
    match (is_back, begins) {
        (_, true) => "boot began, session opened".to_owned(),
        (true, false) => "contact again, session opened".to_owned(),
        (false, false) => "session opened".to_owned(),
    }
}

pub(super) fn describe_command(command: &AdminCommand) -> String {
    let done = command.done();
    if let AdminCommand::CrashDump { order, .. } = command {
        return crash_dump::describe_order(done, order);
    }
    if let AdminCommand::Lock { reason, .. } = command
        && !reason.is_empty()
    {
        return format!("{done}: \"{reason}\"");
    }
    let AdminCommand::Set { class, overrides, reset, .. } = command else { return done.to_owned() };
    let mut parts = Vec::new();
    parts.extend(class.as_ref().map(|class| format!("class = {class}")));
    parts.extend(overrides.managed.map(|managed| format!("managed = {managed}")));
    let boot = overrides.boot_timeout.map(describe_duration);
    parts.extend(boot.map(|limit| format!("boot timeout = {limit}")));
    let silence = overrides.report_deadline.map(describe_duration);
    parts.extend(silence.map(|limit| format!("report deadline = {limit}")));
    for (is_reset, field) in [
        (reset.managed, "managed"),
        (reset.boot_timeout, "boot timeout"),
        (reset.maintenance_silence, "report deadline"),
    ] {
        parts.extend(is_reset.then(|| format!("{field} as its class")));
    }
    format!("{done}: {}", parts.join(", "))
}

pub(super) fn describe_start(started: &BrokerStarted) -> String {
    let mut text = format!("gridd {} started, term {}", started.version, started.term);
    match started.downtime {
        Some(downtime) => text.push_str(&format!(
            ", broker was down for {}; deadlines moved by it, none fires within 60 s",
            describe_duration(downtime)
        )),
        None => text.push_str(", a new journal"),
    }
    match started.last_run {
        LastRun::Unknown => {}
        LastRun::Stopped => text.push_str("; the run before stopped cleanly"),
        LastRun::Interrupted => {
            text.push_str("; the run before was interrupted: killed, or the power failed");
        }
    }
    if let Some(back) = started.clock_back {
        text.push_str(&format!("; clock set back {}", describe_duration(back)));
        if started.shift.is_some() {
            text.push_str(", and broker time with it");
        }
    }
    if let Some(first) = started.rebuilt_from {
        text.push_str(&format!("; the archive is rebuilt from record {first} on"));
    }
    for found in &started.recovery {
        text.push_str("; ");
        text.push_str(found);
    }
    text
}
