//! `gridctl alert ...`: shows what is open.
//!
//! Guarantees that an appliance that is not known is told from one about which nothing is open.
//! Judges nothing.

use std::io::Write;

use grid_broker::show::words;
use grid_broker::wire::proto::{
    AlertFilter, GetAlertRequest, GetApplianceRequest, ListAlertsRequest, OpenAlert,
};

use crate::args::{AlertCommand, Format};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::form::Form;
use crate::listing::{Listing, Look, Shape};
use crate::record;
use crate::standing::pair_lines;
use crate::table::{Cell, Column, Light};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// What stands for the broker itself, here as in the grid log.
const BROKER: &str = "-";

/// Does what is asked.
pub(crate) async fn run(
    broker: &Broker,
    command: &AlertCommand,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        AlertCommand::List { names, severity, of_broker } => {
            let filter = AlertFilter {
                appliances: names.clone(),
                severity_at_least: severity.map_or(0, Into::into),
                of_broker: *of_broker,
            };
            let nothing = if filter == AlertFilter::default() {
                "nothing is open"
            } else {
                "nothing that matches is open"
            };
            list(broker, filter, nothing, look, out).await
        }
        AlertCommand::Show { name, matter } => {
            let appliance = if name == BROKER { "" } else { name }.to_owned();
            if let Some(matter) = matter {
                let matter = (*matter).into();
                let request = broker.question(GetAlertRequest { appliance, matter });
                let answer = broker.alerts().get_alert(request).await?;
                let alert = answer.into_inner().alert.ok_or(Failure::Answer { field: "alert" })?;
                return show(&[alert], look, out);
            }
            let alerts = about(broker, appliance).await?;
            if alerts.is_empty() && look.format == Format::Table {
                let about = if name == BROKER { "the broker itself" } else { name };
                crate::say(&format!("nothing is open about {}", Cell::new(about).shown(false)));
            }
            show(&alerts, look, out)
        }
    }
}

/// All that is open about one appliance that is known; an empty name: about the broker itself.
async fn about(broker: &Broker, appliance: String) -> Result<Vec<OpenAlert>, Failure> {
    let of_broker = appliance.is_empty();
    let mut appliances = Vec::new();
    if !of_broker {
        let request = GetApplianceRequest { name: appliance.clone() };
        broker.appliances().get_appliance(broker.question(request)).await?;
        appliances.push(appliance);
    }
    let filter = AlertFilter { appliances, of_broker, ..AlertFilter::default() };
    let mut alerts = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAlertsRequest { filter, page_size: PAGE, page_token };
        let page = broker.alerts().list_alerts(broker.question(request)).await?.into_inner();
        alerts.extend(page.alerts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(alerts);
        }
    }
}

async fn list(
    broker: &Broker,
    filter: AlertFilter,
    nothing: &str,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut listing = Listing::new(out, look, shape());
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAlertsRequest { filter, page_size: PAGE, page_token };
        let page = broker.alerts().list_alerts(broker.question(request)).await?.into_inner();
        listing.add(&page.alerts)?;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(listing.finish(nothing)?);
        }
    }
}

fn show(alerts: &[OpenAlert], look: &Look, out: &mut dyn Write) -> Result<(), Failure> {
    if look.format == Format::Table {
        for (place, alert) in alerts.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            for line in lines(alert, look) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(out.flush()?);
    }
    let mut listing = Listing::new(out, look, shape());
    listing.add(alerts)?;
    Ok(listing.finish("")?)
}

fn shape() -> Shape<OpenAlert> {
    Shape { columns: COLUMNS, cells, form }
}

const COLUMNS: &[Column] = &[
    Column { title: "appliance", least: 12, to_the_right: false, shrinks: true },
    Column { title: "matter", least: 12, to_the_right: false, shrinks: false },
    Column { title: "severity", least: 8, to_the_right: false, shrinks: false },
    Column { title: "since {zone}", least: 14, to_the_right: false, shrinks: false },
    Column { title: "what", least: 0, to_the_right: false, shrinks: false },
];

fn cells(alert: &OpenAlert, look: &Look) -> Vec<Cell> {
    let severity = words::severity(alert.severity).unwrap_or_default();
    vec![
        Cell::new(named(alert)),
        Cell::new(&words::matter(alert.matter).unwrap_or_default()),
        Cell::lit(&severity, record::light(alert.severity)),
        Cell::new(&look.time_in_column(&alert.since)),
        Cell::new(&alert.text),
    ]
}

fn named(alert: &OpenAlert) -> &str {
    if alert.appliance.is_empty() { BROKER } else { &alert.appliance }
}

fn lines(alert: &OpenAlert, look: &Look) -> Vec<String> {
    let pairs = [
        ("appliance", named(alert).to_owned()),
        ("what", alert.text.clone()),
        ("matter", words::matter(alert.matter).unwrap_or_default()),
        ("severity", words::severity(alert.severity).unwrap_or_default()),
        ("since", look.time(&alert.since)),
    ];
    let light = record::light(alert.severity);
    pair_lines(&pairs, |key| if key == "what" { light } else { Light::None }, look)
}

fn form(alert: &OpenAlert) -> Form {
    let OpenAlert { appliance, matter, severity, since, text } = alert;
    let fields = vec![
        ("appliance", appliance.into()),
        ("matter", words::matter(*matter).into()),
        ("severity", words::severity(*severity).into()),
        ("since", since.into()),
        ("text", text.into()),
    ];
    let name = format!("{} {}", named(alert), words::matter(*matter).unwrap_or_default());
    Form { entity: "alert", name, fields }
}

#[cfg(test)]
mod tests;
