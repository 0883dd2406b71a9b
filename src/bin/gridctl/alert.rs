//! `gridctl alert ...`: lists and shows open alerts.
//!
//! Guarantees that an unknown appliance is distinguished from one without open alerts. Does not
//! evaluate alerts.

use std::io::Write;

use grid_broker::contract::proto::{
    AlertFilter, AlertKind, GetAlertRequest, ListAlertsRequest, OpenAlert,
};
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::args::{AlertCommand, AlertList};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::subject;
use crate::table::{CellStyle, Column, TableCell};
use crate::{names, record_view, watch};

/// Largest page that the broker returns.
const PAGE_SIZE: u32 = 1000;

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &AlertCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        AlertCommand::List(arguments) => list(broker, arguments, look, out).await,
        AlertCommand::Show { name, kind } => show_subject(broker, name, *kind, look, out).await,
    }
}

async fn show_subject(
    broker: &Connection,
    name: &str,
    kind: Option<AlertKind>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if let Some(kind) = kind {
        let get = async |name: String| {
            let appliance = subject::parse(&name).to_owned();
            let request = broker.unary(GetAlertRequest { appliance, kind: kind.into() });
            Ok(broker.alerts().get_alert(request).await?.into_inner().alert)
        };
        let (_, alert) = names::call_with_name(broker, name, look, get).await?;
        let alert = alert.ok_or(CliError::MissingField { field: "alert" })?;
        if look.format.is_human_readable() {
            return write_alerts(&[alert], look, out);
        }
        return Ok(ListWriter::write_one(out, look, view(), &alert)?);
    }
    let name = match name {
        subject::BROKER_DASH | subject::QUOTED_DASH => name.to_owned(),
        name => names::resolve(broker, name).await?,
    };
    let filter = match subject::parse(&name) {
        "" => AlertFilter { of_broker: true, ..AlertFilter::default() },
        name => AlertFilter { appliances: vec![name.to_owned()], ..AlertFilter::default() },
    };
    let alerts = list_all(broker, &filter).await?;
    if alerts.is_empty() && look.format.is_human_readable() {
        let subject = if name == subject::BROKER_DASH { "the broker itself" } else { &name };
        look.note(&format!("no alerts are open for {}", TableCell::new(subject).render(false)));
    }
    write_alerts(&alerts, look, out)
}

/// Lists all open alerts that match the filter.
pub(crate) async fn list_all(
    broker: &Connection,
    filter: &AlertFilter,
) -> Result<Vec<OpenAlert>, CliError> {
    let mut alerts = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAlertsRequest { filter, page_size: PAGE_SIZE, page_token };
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
    arguments: &AlertList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let AlertList { names, severity, of_broker, flags } = arguments;
    let is_broker = names.as_slice() == [subject::BROKER_DASH];
    let names = if is_broker { &[][..] } else { names };
    let filter = AlertFilter {
        appliances: names::resolve_patterns(broker, names).await?,
        severity_at_least: severity.map_or(0, Into::into),
        of_broker: *of_broker || is_broker,
    };
    let nothing = if filter == AlertFilter::default() {
        "no alerts are open"
    } else {
        "no open alerts match"
    };
    let mut listing = ListWriter::new(out, look, view());
    if flags.watch {
        let fetch = async || list_all(broker, &filter).await;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::poll(broker, &mut listing, object, fetch) => ended?,
        }
        return Ok(listing.finish(nothing)?);
    }
    let mut alerts = list_all(broker, &filter).await?;
    flags.apply_order(&mut alerts);
    listing.add(&alerts)?;
    Ok(listing.finish(nothing)?)
}

fn write_alerts(
    alerts: &[OpenAlert],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if look.format.is_human_readable() {
        for (index, alert) in alerts.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            for line in detail_lines(alert, look) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(out.flush()?);
    }
    let mut listing = ListWriter::new(out, look, view());
    listing.add(alerts)?;
    Ok(listing.finish("")?)
}

fn view() -> ItemView<OpenAlert> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "appliance", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "kind", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "severity", width_min: 8, is_right_aligned: false, drop_priority: 1 },
    Column { title: "since {zone}", width_min: 14, is_right_aligned: false, drop_priority: 2 },
    Column { title: "what", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(alert: &OpenAlert, look: &OutputOptions) -> Vec<TableCell> {
    let severity = labels::severity(alert.severity).unwrap_or_default();
    vec![
        TableCell::new(subject_of(alert)),
        TableCell::new(&labels::alert_kind(alert.kind).unwrap_or_default()),
        TableCell::styled(&severity, record_view::severity_style(alert.severity)),
        TableCell::new(&look.format_column_time(&alert.since)),
        TableCell::new(&alert.text),
    ]
}

fn subject_of(alert: &OpenAlert) -> &str {
    subject::format(&alert.appliance)
}

fn detail_lines(alert: &OpenAlert, look: &OutputOptions) -> Vec<String> {
    let pairs = [
        ("appliance", subject_of(alert).to_owned()),
        ("what", alert.text.clone()),
        ("kind", labels::alert_kind(alert.kind).unwrap_or_default()),
        ("severity", labels::severity(alert.severity).unwrap_or_default()),
        ("since", look.format_time(&alert.since)),
    ];
    let light = record_view::severity_style(alert.severity);
    pair_lines(&pairs, |key| if key == "what" { light } else { CellStyle::None }, look)
}

fn object(alert: &OpenAlert) -> OutputObject {
    let OpenAlert { appliance, kind, severity, since, text } = alert;
    let fields = vec![
        ("appliance", appliance.into()),
        ("kind", labels::alert_kind(*kind).into()),
        ("severity", labels::severity(*severity).into()),
        ("since", since.into()),
        ("text", text.into()),
    ];
    let name = format!("{} {}", subject_of(alert), labels::alert_kind(*kind).unwrap_or_default());
    OutputObject { kind: "alert", name, fields }
}

#[cfg(test)]
mod tests;
