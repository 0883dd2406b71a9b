//! `gridctl appliance ...`: shows appliances and steers them.
//!
//! Guarantees that a change is shown as the broker made it, of each appliance it was made to, and
//! that one that fails does not keep the others from it. Does not check names and limits: the broker
//! does, and says which are allowed.

use std::collections::HashSet;
use std::io::Write;

use tonic::Status;

use grid_broker::contract::proto::{
    AddApplianceRequest, Appliance, ApplianceFilter, ApplianceSettings, GetApplianceRequest,
    RemoveApplianceRequest, SetApplianceRequest, StartBootRequest, StopApplianceRequest,
    UnsuppressApplianceRequest,
};
use grid_broker::exit_code::ExitCode;

use crate::args::{ApplianceCommand, ApplianceList, NameArgs, OverrideArgs};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::FieldObject;
use crate::output::{ListWriter, OutputOptions, View};
use crate::table::TableCell;
use crate::{appliance_view, follow, names, watch};

/// Does what is asked.
pub(crate) async fn run(
    broker: &Connection,
    command: &ApplianceCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        ApplianceCommand::List(wanted) => list(broker, wanted, look, out).await,
        ApplianceCommand::Show(named) => show(broker, &named.names, look, out).await,
        ApplianceCommand::Add { name, own } => {
            let settings = Some(settings(own, &[]));
            let request = AddApplianceRequest { name: name.clone(), settings };
            let answer = broker.appliances().add_appliance(broker.unary(request)).await?;
            let added = whole(answer.into_inner().appliance)?;
            if look.quiet { Ok(()) } else { shown(&[added], true, look, out) }
        }
        ApplianceCommand::Set { names, own, reset } => {
            let act = ApplianceAction::Set(settings(own, reset));
            each(broker, names, &act, look, out).await
        }
        ApplianceCommand::Remove(named) => remove(broker, named, look, out).await,
        ApplianceCommand::Boot(named) => {
            each(broker, named, &ApplianceAction::Boot, look, out).await
        }
        ApplianceCommand::Stop(named) => {
            each(broker, named, &ApplianceAction::Stop, look, out).await
        }
        ApplianceCommand::Unsuppress(named) => {
            each(broker, named, &ApplianceAction::Unsuppress, look, out).await
        }
    }
}

fn settings(own: &OverrideArgs, reset: &[String]) -> ApplianceSettings {
    let OverrideArgs { class, managed, boot_timeout, maintenance_silence } = own;
    ApplianceSettings {
        class: class.clone(),
        managed: *managed,
        boot_timeout_ms: *boot_timeout,
        maintenance_silence_ms: *maintenance_silence,
        reset: reset.to_vec(),
    }
}

fn whole(appliance: Option<Appliance>) -> Result<Appliance, CliError> {
    appliance.ok_or(CliError::Rejected { field: "appliance" })
}

async fn list(
    broker: &Connection,
    wanted: &ApplianceList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let ApplianceList { names, state, class, suppressed, flags } = wanted;
    let typed = names::at_commas(names);
    let patterns = typed.iter().flat_map(|name| match names::is_pattern(name) {
        true => vec![name.clone()],
        false => names::ends_in(name).to_vec(),
    });
    let mut filter = ApplianceFilter {
        names: patterns.collect(),
        states: state.iter().map(|state| *state as i32).collect(),
        suppressed: *suppressed,
        classes: class.clone(),
    };
    let mut listing = ListWriter::new(out, look, appliance_view::shape());
    if flags.watch {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::appliances(broker, filter, &mut listing, follow::FIRST_DELAY) => ended?,
        }
        return Ok(listing.finish("no appliances match")?);
    }
    let mut found = Vec::new();
    let patterns = std::mem::take(&mut filter.names);
    // The broker takes so many patterns at once.
    for names in if patterns.is_empty() { vec![&[][..]] } else { patterns.chunks(64).collect() } {
        let part = names::all(broker, ApplianceFilter { names: names.to_vec(), ..filter.clone() });
        found.extend(part.await?);
    }
    let mut seen = HashSet::new();
    found.retain(|appliance| seen.insert(appliance.name.clone()));
    flags.sorted(&mut found);
    listing.add(&found)?;
    listing.finish("no appliances match")?;
    // Whoever names an appliance wants to know that there is none of that name.
    for name in typed.iter().filter(|name| !names::is_pattern(name)) {
        let is_meant = |it: &Appliance| names::is_end_of(name, &it.name);
        if !found.iter().any(is_meant)
            && let Err(failure) = names::whole(broker, name).await
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
    let typed = names::at_commas(typed);
    let is_one = matches!(typed.as_slice(), [one] if !names::is_pattern(one));
    let mut found = Vec::new();
    for name in &typed {
        if names::is_pattern(name) {
            let filter = ApplianceFilter { names: vec![name.clone()], ..Default::default() };
            let matched = names::all(broker, filter).await?;
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
        // The whole name is in what is shown.
        let quiet = OutputOptions { quiet: true, ..look.clone() };
        found.push(whole(names::done_with(broker, name, &quiet, get).await?.1)?);
    }
    shown(&found, is_one, look, out)
}

fn shown(
    appliances: &[Appliance],
    is_one: bool,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if look.format.is_for_people() {
        for (place, appliance) in appliances.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            for line in appliance_view::lines(appliance, look) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(out.flush()?);
    }
    match appliances {
        [one] if is_one => Ok(ListWriter::one(out, look, appliance_view::shape(), one)?),
        several => {
            let mut listing = ListWriter::new(out, look, appliance_view::shape());
            listing.add(several)?;
            Ok(listing.finish("")?)
        }
    }
}

/// What is to be done with appliances.
enum ApplianceAction {
    Set(ApplianceSettings),
    Boot,
    Stop,
    Unsuppress,
}

impl ApplianceAction {
    async fn on(&self, broker: &Connection, name: String) -> Result<Option<Appliance>, Status> {
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
        })
    }
}

/// Does it with each, tells of those that fail, and ends as the first of them.
async fn each(
    broker: &Connection,
    named: &NameArgs,
    act: &ApplianceAction,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let suppressed = matches!(act, ApplianceAction::Unsuppress);
    let targets = names::targets(broker, &named.names, suppressed, look).await?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for name in &targets.names {
        let acted = names::done_with(broker, name, look, async |name| act.on(broker, name).await);
        match acted.await.and_then(|(_, appliance)| whole(appliance)) {
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
    if !look.quiet && !done.is_empty() {
        if targets.is_one || !look.format.is_for_people() {
            shown(&done, targets.is_one, look, out)?;
        } else {
            let mut listing = ListWriter::new(out, look, appliance_view::shape());
            listing.add(&done)?;
            listing.finish("")?;
        }
    }
    first_of(failed)
}

/// Tells of all failures but the first, which is returned.
fn first_of(failed: Vec<(&String, CliError)>) -> Result<(), CliError> {
    let mut failed = failed.into_iter();
    let Some((_, first)) = failed.next() else { return Ok(()) };
    for (name, failure) in failed {
        crate::print_error(&format!("{}: {failure}", TableCell::new(name).shown(false)));
    }
    Err(first)
}

async fn remove(
    broker: &Connection,
    named: &NameArgs,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let typed = names::at_commas(&named.names);
    if let Some(pattern) = typed.iter().find(|name| names::is_pattern(name)) {
        return Err(CliError::Pattern { pattern: pattern.clone() });
    }
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for typed in &typed {
        let act = async |name| {
            let request = broker.unary(RemoveApplianceRequest { name });
            Ok(broker.appliances().remove_appliance(request).await?.into_inner().record_number)
        };
        match names::done_with(broker, typed, look, act).await {
            Ok((name, record_number)) => done.push(RemovedAppliance { name, record_number }),
            Err(failure) => failed.push((typed, failure)),
        }
    }
    if look.quiet || done.is_empty() {
        return first_of(failed);
    }
    if look.format.is_for_people() {
        for RemovedAppliance { name, record_number } in &done {
            let name = TableCell::new(name).shown(false);
            writeln!(out, "{name} is removed (record {record_number})")?;
        }
        out.flush()?;
        return first_of(failed);
    }
    let form = |removed: &RemovedAppliance| FieldObject {
        entity: "appliance",
        name: removed.name.clone(),
        fields: vec![
            ("name", (&removed.name).into()),
            ("record_number", removed.record_number.into()),
        ],
    };
    let shape = View { columns: &[], cells: |_, _| Vec::new(), object: form };
    if let ([one], 1) = (done.as_slice(), typed.len()) {
        ListWriter::one(out, look, shape, one)?;
    } else {
        let mut listing = ListWriter::new(out, look, shape);
        listing.add(&done)?;
        listing.finish("")?;
    }
    first_of(failed)
}

#[derive(Default)]
struct RemovedAppliance {
    name: String,
    record_number: u64,
}

#[cfg(test)]
mod tests;
