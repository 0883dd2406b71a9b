//! `gridctl appliance ...`: shows and changes appliances.
//!
//! Guarantees that each changed appliance is shown as the broker returned it, and that a failure
//! for one appliance does not stop the others. Does not check names and limits: the broker does,
//! and states what is allowed.

use std::collections::HashSet;
use std::io::Write;

use tonic::Status;

use grid_broker::contract::proto::{
    AddApplianceRequest, Appliance, ApplianceFilter, ApplianceSettings, CrashDump,
    GetApplianceRequest, LockApplianceRequest, RemoveApplianceRequest, SetApplianceRequest,
    StartBootRequest, StopApplianceRequest, UnlockApplianceRequest, UnsuppressApplianceRequest,
};
use grid_broker::exit_code::ExitCode;

use crate::args::{ApplianceCommand, ApplianceList, ApplianceNames, OverrideArgs};
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::{ListWriter, OutputOptions};
use crate::removal::{self, Removal, report_failures};
use crate::{appliance_view, crash_dump, enrol, follow, names, watch};

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &ApplianceCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        ApplianceCommand::List(arguments) => list(broker, arguments, look, out).await,
        ApplianceCommand::Show(named) => show(broker, &named.names, look, out).await,
        ApplianceCommand::Add { name, own } => {
            let settings = Some(settings_from_args(own, &[]));
            let request = AddApplianceRequest { name: name.clone(), settings };
            let reply = broker.appliances().add_appliance(broker.unary(request)).await?;
            let added = require_appliance(reply.into_inner().appliance)?;
            if look.is_quiet { Ok(()) } else { write_appliances(&[added], true, look, out) }
        }
        ApplianceCommand::Set { names, own, reset } => {
            let act = ApplianceAction::Set(settings_from_args(own, reset));
            perform_each(broker, names, &act, look, out).await
        }
        ApplianceCommand::Remove(named) => remove(broker, named, look, out).await,
        ApplianceCommand::Boot(named) => {
            perform_each(broker, named, &ApplianceAction::Boot, look, out).await
        }
        ApplianceCommand::Stop(named) => {
            perform_each(broker, named, &ApplianceAction::Stop, look, out).await
        }
        ApplianceCommand::Unsuppress(named) => {
            perform_each(broker, named, &ApplianceAction::Unsuppress, look, out).await
        }
        ApplianceCommand::CrashDump(arguments) => {
            crash_dump::run(broker, arguments, crash_dump::ask_at_terminal, look, out).await
        }
        ApplianceCommand::CrashDumps(arguments) => {
            crash_dump::list(broker, arguments, look, out).await
        }
        ApplianceCommand::Lock { names, reason } => {
            let act = ApplianceAction::Lock { reason: reason.clone() };
            perform_each(broker, names, &act, look, out).await
        }
        ApplianceCommand::Unlock(named) => {
            perform_each(broker, named, &ApplianceAction::Unlock, look, out).await
        }
        ApplianceCommand::Enrol(arguments) => enrol::run(broker, arguments, look, out).await,
        ApplianceCommand::Revoke(named) => enrol::revoke(broker, named, look, out).await,
    }
}

fn settings_from_args(own: &OverrideArgs, reset: &[String]) -> ApplianceSettings {
    let OverrideArgs { class, managed, boot_timeout, maintenance_silence } = own;
    ApplianceSettings {
        class: class.clone(),
        managed: *managed,
        boot_timeout_ms: *boot_timeout,
        maintenance_silence_ms: *maintenance_silence,
        reset: reset.to_vec(),
    }
}

fn require_appliance(appliance: Option<Appliance>) -> Result<Appliance, CliError> {
    appliance.ok_or(CliError::MissingField { field: "appliance" })
}

async fn list(
    broker: &Connection,
    arguments: &ApplianceList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let ApplianceList { names, state, class, suppressed, flags } = arguments;
    let typed = names::split_at_commas(names);
    let patterns = typed.iter().flat_map(|name| match names::is_pattern(name) {
        true => vec![name.clone()],
        false => names::suffix_patterns(name).to_vec(),
    });
    let mut filter = ApplianceFilter {
        names: patterns.collect(),
        states: state.iter().map(|state| *state as i32).collect(),
        suppressed: *suppressed,
        classes: class.clone(),
    };
    let mut listing = ListWriter::new(out, look, appliance_view::view());
    if flags.watch {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::watch_appliances(broker, filter, &mut listing, follow::RETRY_DELAY_MIN) => ended?,
        }
        return Ok(listing.finish("no appliances match")?);
    }
    let mut found = Vec::new();
    let patterns = std::mem::take(&mut filter.names);
    // The broker accepts at most 64 patterns per request.
    for names in if patterns.is_empty() { vec![&[][..]] } else { patterns.chunks(64).collect() } {
        let part =
            names::list_all(broker, ApplianceFilter { names: names.to_vec(), ..filter.clone() });
        found.extend(part.await?);
    }
    let mut seen = HashSet::new();
    found.retain(|appliance| seen.insert(appliance.name.clone()));
    flags.apply_order(&mut found);
    listing.add(&found)?;
    listing.finish("no appliances match")?;
    // A plain name without a match is an error, unlike a pattern.
    for name in typed.iter().filter(|name| !names::is_pattern(name)) {
        let is_meant = |it: &Appliance| names::is_suffix_of(name, &it.name);
        if !found.iter().any(is_meant)
            && let Err(failure) = names::resolve(broker, name).await
            && failure.exit_code() == ExitCode::NotFound
        {
            return Err(failure);
        }
    }
    Ok(())
}

async fn show(
    broker: &Connection,
    typed: &[String],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let typed = names::split_at_commas(typed);
    let is_one = matches!(typed.as_slice(), [one] if !names::is_pattern(one));
    let mut found = Vec::new();
    for name in &typed {
        if names::is_pattern(name) {
            let filter = ApplianceFilter { names: vec![name.clone()], ..Default::default() };
            let matched = names::list_all(broker, filter).await?;
            if matched.is_empty() {
                return Err(CliError::NoMatch { pattern: name.clone() });
            }
            found.extend(matched);
            continue;
        }
        let get = async |name| {
            let request = broker.unary(GetApplianceRequest { name });
            Ok(broker.appliances().get_appliance(request).await?.into_inner().appliance)
        };
        // The output contains the full name, so no note is needed.
        let quiet = OutputOptions { is_quiet: true, ..look.clone() };
        found.push(require_appliance(names::call_with_name(broker, name, &quiet, get).await?.1)?);
    }
    if !look.format.is_human_readable() {
        return write_appliances(&found, is_one, look, out);
    }
    let mut crash_dumps = Vec::new();
    for appliance in &found {
        crash_dumps.push(crash_dump::last(broker, &appliance.name).await);
    }
    write_details(&found, crash_dumps, look, out)
}

/// Prints appliances for people, each with its last crash dump.
fn write_details(
    appliances: &[Appliance],
    crash_dumps: Vec<Option<CrashDump>>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let crash_dumps = crash_dumps.into_iter().chain(std::iter::repeat(None));
    for (index, (appliance, crash_dump)) in appliances.iter().zip(crash_dumps).enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        for line in appliance_view::detail_lines(appliance, crash_dump.as_ref(), look) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}

fn write_appliances(
    appliances: &[Appliance],
    is_one: bool,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if look.format.is_human_readable() {
        return write_details(appliances, Vec::new(), look, out);
    }
    match appliances {
        [one] if is_one => Ok(ListWriter::write_one(out, look, appliance_view::view(), one)?),
        several => {
            let mut listing = ListWriter::new(out, look, appliance_view::view());
            listing.add(several)?;
            Ok(listing.finish("")?)
        }
    }
}

/// A change of appliances.
enum ApplianceAction {
    Set(ApplianceSettings),
    Boot,
    Stop,
    Unsuppress,
    Lock { reason: String },
    Unlock,
}

impl ApplianceAction {
    async fn perform(
        &self,
        broker: &Connection,
        name: String,
    ) -> Result<Option<Appliance>, Status> {
        let mut appliances = broker.appliances();
        Ok(match self {
            Self::Set(settings) => {
                let request = SetApplianceRequest { name, settings: Some(settings.clone()) };
                appliances.set_appliance(broker.unary(request)).await?.into_inner().appliance
            }
            Self::Boot => {
                let request = broker.unary(StartBootRequest { name });
                appliances.start_boot(request).await?.into_inner().appliance
            }
            Self::Stop => {
                let request = broker.unary(StopApplianceRequest { name });
                appliances.stop_appliance(request).await?.into_inner().appliance
            }
            Self::Unsuppress => {
                let request = broker.unary(UnsuppressApplianceRequest { name });
                appliances.unsuppress_appliance(request).await?.into_inner().appliance
            }
            Self::Lock { reason } => {
                let request = broker.unary(LockApplianceRequest { name, reason: reason.clone() });
                appliances.lock_appliance(request).await?.into_inner().appliance
            }
            Self::Unlock => {
                let request = broker.unary(UnlockApplianceRequest { name });
                appliances.unlock_appliance(request).await?.into_inner().appliance
            }
        })
    }
}

/// Applies the change to each appliance, reports all failures, and returns the first.
async fn perform_each(
    broker: &Connection,
    named: &ApplianceNames,
    act: &ApplianceAction,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let suppressed = matches!(act, ApplianceAction::Unsuppress);
    let targets = names::resolve_targets(broker, &named.names, suppressed, look).await?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for name in &targets.names {
        let acted =
            names::call_with_name(broker, name, look, async |name| act.perform(broker, name).await);
        match acted.await.and_then(|(_, appliance)| require_appliance(appliance)) {
            Ok(appliance) => done.push(appliance),
            Err(failure) => {
                let is_last = failure.exit_code() == ExitCode::Unavailable;
                failed.push((name, failure));
                if is_last {
                    break;
                }
            }
        }
    }
    if !look.is_quiet && !done.is_empty() {
        if targets.is_single || !look.format.is_human_readable() {
            write_appliances(&done, targets.is_single, look, out)?;
        } else {
            let mut listing = ListWriter::new(out, look, appliance_view::view());
            listing.add(&done)?;
            listing.finish("")?;
        }
    }
    report_failures(failed)
}

async fn remove(
    broker: &Connection,
    named: &ApplianceNames,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let typed = names::split_at_commas(&named.names);
    if let Some(pattern) = typed.iter().find(|name| names::is_pattern(name)) {
        return Err(CliError::PatternNotAllowed { pattern: pattern.clone(), to: "remove" });
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for typed in &typed {
        let act = async |name| {
            let request = broker.unary(RemoveApplianceRequest { name });
            Ok(broker.appliances().remove_appliance(request).await?.into_inner().record_number)
        };
        match names::call_with_name(broker, typed, look, act).await {
            Ok((name, record_number)) => {
                done.push(Removal { kind: "appliance", name, record_number })
            }
            Err(failure) => failed.push((typed, failure)),
        }
    }
    removal::write(&done, typed.len(), "is removed", look, out)?;
    report_failures(failed)
}

#[cfg(test)]
mod tests;
