//! `gridctl alert ...`: shows what is open.
//!
//! Guarantees that an appliance that is not known is told from one about which nothing is open.
//! Judges nothing.

use std::io::Write;

use grid_broker::contract::proto::{
    AlertFilter, AlertMatter, GetAlertRequest, ListAlertsRequest, OpenAlert,
};
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::args::{AlertCommand, AlertList};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::FieldObject;
use crate::output::{ListWriter, OutputOptions, View};
use crate::subject;
use crate::table::{Column, Style, TableCell};
use crate::{names, record_view, watch};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// Does what is asked.
pub(crate) async fn run(
    broker: &Connection,
    command: &AlertCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        AlertCommand::List(wanted) => list(broker, wanted, look, out).await,
        AlertCommand::Show { name, matter } => show_of(broker, name, *matter, look, out).await,
    }
}

async fn show_of(
    broker: &Connection,
    name: &str,
    matter: Option<AlertMatter>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if let Some(matter) = matter {
        let get = async |name: String| {
            let (appliance, matter) = (subject::named(&name).to_owned(), matter.into());
            let request = broker.unary(GetAlertRequest { appliance, matter });
            Ok(broker.alerts().get_alert(request).await?.into_inner().alert)
        };
        let (_, alert) = names::done_with(broker, name, look, get).await?;
        let alert = alert.ok_or(CliError::Rejected { field: "alert" })?;
        if look.format.is_for_people() {
            return show(&[alert], look, out);
        }
        return Ok(ListWriter::one(out, look, shape(), &alert)?);
    }
    let name = match name {
        subject::BROKER | subject::APPLIANCE_NAMED_SO => name.to_owned(),
        name => names::whole(broker, name).await?,
    };
    let filter = match subject::named(&name) {
        "" => AlertFilter { of_broker: true, ..AlertFilter::default() },
        name => AlertFilter { appliances: vec![name.to_owned()], ..AlertFilter::default() },
    };
    let alerts = all(broker, &filter).await?;
    if alerts.is_empty() && look.format.is_for_people() {
        let about = if name == subject::BROKER { "the broker itself" } else { &name };
        look.note(&format!("nothing is open about {}", TableCell::new(about).shown(false)));
    }
    show(&alerts, look, out)
}

/// All that is open and wanted.
pub(crate) async fn all(
    broker: &Connection,
    filter: &AlertFilter,
) -> Result<Vec<OpenAlert>, CliError> {
    let mut alerts = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAlertsRequest { filter, page_size: PAGE, page_token };
        let page = broker.alerts().list_alerts(broker.unary(request)).await?.into_inner();
        alerts.extend(page.alerts);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(alerts);
        }
    }
}

async fn list(
    broker: &Connection,
    wanted: &AlertList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let AlertList { names, severity, of_broker, flags } = wanted;
    let is_broker = names.as_slice() == [subject::BROKER];
    let names = if is_broker { &[][..] } else { names };
    let filter = AlertFilter {
        appliances: names::patterns(broker, names).await?,
        severity_at_least: severity.map_or(0, Into::into),
        of_broker: *of_broker || is_broker,
    };
    let nothing = if filter == AlertFilter::default() {
        "nothing is open"
    } else {
        "nothing that matches is open"
    };
    let mut listing = ListWriter::new(out, look, shape());
    if flags.watch {
        let asked = async || all(broker, &filter).await;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::polled(broker, &mut listing, form, asked) => ended?,
        }
        return Ok(listing.finish(nothing)?);
    }
    let mut alerts = all(broker, &filter).await?;
    flags.sorted(&mut alerts);
    listing.add(&alerts)?;
    Ok(listing.finish(nothing)?)
}

fn show(alerts: &[OpenAlert], look: &OutputOptions, out: &mut dyn Write) -> Result<(), CliError> {
    if look.format.is_for_people() {
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
    let mut listing = ListWriter::new(out, look, shape());
    listing.add(alerts)?;
    Ok(listing.finish("")?)
}

fn shape() -> View<OpenAlert> {
    View { columns: COLUMNS, cells, object: form }
}

const COLUMNS: &[Column] = &[
    Column { title: "appliance", least: 12, to_the_right: false, drop: 0 },
    Column { title: "matter", least: 12, to_the_right: false, drop: 0 },
    Column { title: "severity", least: 8, to_the_right: false, drop: 1 },
    Column { title: "since {zone}", least: 14, to_the_right: false, drop: 2 },
    Column { title: "what", least: 0, to_the_right: false, drop: 0 },
];

fn cells(alert: &OpenAlert, look: &OutputOptions) -> Vec<TableCell> {
    let severity = labels::severity(alert.severity).unwrap_or_default();
    vec![
        TableCell::new(named(alert)),
        TableCell::new(&labels::alert_kind(alert.matter).unwrap_or_default()),
        TableCell::styled(&severity, record_view::light(alert.severity)),
        TableCell::new(&look.time_in_column(&alert.since)),
        TableCell::new(&alert.text),
    ]
}

fn named(alert: &OpenAlert) -> &str {
    subject::shown(&alert.appliance)
}

fn lines(alert: &OpenAlert, look: &OutputOptions) -> Vec<String> {
    let pairs = [
        ("appliance", named(alert).to_owned()),
        ("what", alert.text.clone()),
        ("matter", labels::alert_kind(alert.matter).unwrap_or_default()),
        ("severity", labels::severity(alert.severity).unwrap_or_default()),
        ("since", look.time(&alert.since)),
    ];
    let light = record_view::light(alert.severity);
    pair_lines(&pairs, |key| if key == "what" { light } else { Style::None }, look)
}

fn form(alert: &OpenAlert) -> FieldObject {
    let OpenAlert { appliance, matter, severity, since, text } = alert;
    let fields = vec![
        ("appliance", appliance.into()),
        ("matter", labels::alert_kind(*matter).into()),
        ("severity", labels::severity(*severity).into()),
        ("since", since.into()),
        ("text", text.into()),
    ];
    let name = format!("{} {}", named(alert), labels::alert_kind(*matter).unwrap_or_default());
    FieldObject { entity: "alert", name, fields }
}

#[cfg(test)]
mod tests;
