//! `gridctl appliance ...`: shows appliances and steers them.
//!
//! Guarantees that a change is shown as the broker made it. Does not check names and limits: the
//! broker does, and says which are allowed.

use std::io::Write;

use grid_broker::wire::proto::{
    AddApplianceRequest, Appliance, ApplianceFilter, ApplianceSettings, GetApplianceRequest,
    ListAppliancesRequest, RemoveApplianceRequest, SetApplianceRequest, StartBootRequest,
    StopApplianceRequest, UnsuppressApplianceRequest,
};

use crate::args::{ApplianceCommand, Format, Own};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::form::Form;
use crate::listing::{Listing, Look, Shape};
use crate::standing;
use crate::table::Cell;

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// Does what is asked.
pub(crate) async fn run(
    broker: &Broker,
    command: &ApplianceCommand,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        ApplianceCommand::List { names, state, suppressed } => {
            let states = state.iter().map(|state| *state as i32).collect();
            let filter = ApplianceFilter { names: names.clone(), states, suppressed: *suppressed };
            list(broker, filter, look, out).await
        }
        ApplianceCommand::Show(named) => {
            let request = broker.question(GetApplianceRequest { name: named.name.clone() });
            let answer = broker.appliances().get_appliance(request).await?;
            show(answer.into_inner().appliance, look, out)
        }
        ApplianceCommand::Add { named, own } => {
            let settings = Some(settings(own, &[]));
            let request = AddApplianceRequest { name: named.name.clone(), settings };
            let answer = broker.appliances().add_appliance(broker.question(request)).await?;
            show(answer.into_inner().appliance, look, out)
        }
        ApplianceCommand::Set { named, own, reset } => {
            let settings = Some(settings(own, reset));
            let request = SetApplianceRequest { name: named.name.clone(), settings };
            let answer = broker.appliances().set_appliance(broker.question(request)).await?;
            show(answer.into_inner().appliance, look, out)
        }
        ApplianceCommand::Remove(named) => remove(broker, &named.name, look, out).await,
        ApplianceCommand::Boot(named) => {
            let request = broker.question(StartBootRequest { name: named.name.clone() });
            let answer = broker.appliances().start_boot(request).await?;
            show(answer.into_inner().appliance, look, out)
        }
        ApplianceCommand::Stop(named) => {
            let request = broker.question(StopApplianceRequest { name: named.name.clone() });
            let answer = broker.appliances().stop_appliance(request).await?;
            show(answer.into_inner().appliance, look, out)
        }
        ApplianceCommand::Unsuppress(named) => {
            let request = UnsuppressApplianceRequest { name: named.name.clone() };
            let answer = broker.appliances().unsuppress_appliance(broker.question(request)).await?;
            show(answer.into_inner().appliance, look, out)
        }
    }
}

fn settings(own: &Own, reset: &[String]) -> ApplianceSettings {
    let Own { class, managed, boot_timeout, maintenance_silence } = own;
    ApplianceSettings {
        class: class.clone(),
        managed: *managed,
        boot_timeout_ms: *boot_timeout,
        maintenance_silence_ms: *maintenance_silence,
        reset: reset.to_vec(),
    }
}

async fn list(
    broker: &Broker,
    filter: ApplianceFilter,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut listing = Listing::new(out, look, standing::shape());
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAppliancesRequest { filter, page_size: PAGE, page_token };
        let answer = broker.appliances().list_appliances(broker.question(request)).await?;
        let page = answer.into_inner();
        listing.add(&page.appliances)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(listing.finish("no appliances match")?);
        }
    }
}

fn show(appliance: Option<Appliance>, look: &Look, out: &mut dyn Write) -> Result<(), Failure> {
    let appliance = appliance.ok_or(Failure::Answer { field: "appliance" })?;
    if look.format == Format::Table {
        for line in standing::lines(&appliance, look) {
            writeln!(out, "{line}")?;
        }
        return Ok(out.flush()?);
    }
    let mut listing = Listing::new(out, look, standing::shape());
    listing.add(&[appliance])?;
    Ok(listing.finish("")?)
}

async fn remove(
    broker: &Broker,
    name: &str,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let request = broker.question(RemoveApplianceRequest { name: name.to_owned() });
    let answer = broker.appliances().remove_appliance(request).await?;
    let removed =
        Removed { name: name.to_owned(), record_number: answer.into_inner().record_number };
    if look.format == Format::Table {
        let name = Cell::new(name).shown(false);
        writeln!(out, "{name} is removed (record {})", removed.record_number)?;
        return Ok(out.flush()?);
    }
    let form = |removed: &Removed| Form {
        entity: "appliance",
        name: removed.name.clone(),
        fields: vec![("record_number", removed.record_number.into())],
    };
    let shape = Shape { columns: &[], cells: |_, _| Vec::new(), form };
    let mut listing = Listing::new(out, look, shape);
    listing.add(&[removed])?;
    Ok(listing.finish("")?)
}

#[derive(Default)]
struct Removed {
    name: String,
    record_number: u64,
}

#[cfg(test)]
mod tests;
