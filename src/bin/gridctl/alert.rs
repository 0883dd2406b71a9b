//! `gridctl alert ...`: lists and shows alerts, acknowledges, resolves and explains them.
//!
//! Guarantees that an unknown appliance is distinguished from one without alerts. Does not evaluate
//! alerts.

mod action;
mod explain;
mod number;
#[cfg(test)]
mod tests;

use std::io::Write;

use grid_broker::contract::proto::{
    AlertFilter, AlertKind, GetAlertRequest, ListAlertsRequest, OpenAlert,
};

use crate::alert_view::{detail_lines, object, view};
use crate::args::{AlertList, AlertVerb};
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::{ListWriter, OutputOptions};
use crate::table::TableCell;
use crate::{names, subject, watch};

pub(crate) use self::number::AlertNumberError;

/// Largest page that the broker returns.
const PAGE_SIZE: u32 = 1000;

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &AlertVerb,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        AlertVerb::List(arguments) => list(broker, arguments, look, out).await,
        AlertVerb::Show { subject, kind } => show_subject(broker, subject, *kind, look, out).await,
        AlertVerb::Ack { .. } | AlertVerb::Unack { .. } | AlertVerb::Resolve { .. } => {
            action::run(broker, command, look, out).await
        }
        AlertVerb::Explain { ids } => explain::run(broker, ids, look, out).await,
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
            let request = broker.unary(GetAlertRequest {
                appliance,
                kind: kind.into(),
                ..Default::default()
            });
            Ok(broker.alerts().get_alert(request).await?.into_inner().alert)
        };
        let (_, alert) = names::call_with_name(broker, name, look, get).await?;
        let alert = alert.ok_or(CliError::MissingField { field: "alert" })?;
        return write_alert(&alert, look, out);
    }
    if let Some(ids) = number::parse_all(name) {
        if let [id] = ids[..] {
            return write_alert(&get(broker, id).await?, look, out);
        }
        return write_by_number(broker, &ids, look, out).await;
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
    let ids: Vec<u64> = alerts.iter().map(|alert| alert.id).collect();
    write_by_number(broker, &ids, look, out).await
}

/// The alert of that number, with its history.
async fn get(broker: &Connection, id: u64) -> Result<OpenAlert, CliError> {
    let request = broker.unary(GetAlertRequest { id, ..GetAlertRequest::default() });
    let reply = broker.alerts().get_alert(request).await?.into_inner();
    reply.alert.ok_or(CliError::MissingField { field: "alert" })
}

/// Lists all alerts that match the filter.
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

/// The filter of a command line.
async fn build_filter(broker: &Connection, arguments: &AlertList) -> Result<AlertFilter, CliError> {
    let AlertList { names, appliance, state, kind, class, key, severity, of_broker, flags: _ } =
        arguments;
    let names = [&names[..], appliance].concat();
    let is_broker = names.as_slice() == [subject::BROKER_DASH];
    let names = if is_broker { &[][..] } else { &names };
    Ok(AlertFilter {
        appliances: names::resolve_patterns(broker, names).await?,
        severity_at_least: severity.map_or(0, Into::into),
        of_broker: *of_broker || is_broker,
        states: state.iter().map(|it| (*it).into()).collect(),
        kinds: kind.iter().map(|it| (*it).into()).collect(),
        classes: class.clone(),
        keys: key.clone(),
    })
}

async fn list(
    broker: &Connection,
    arguments: &AlertList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let filter = build_filter(broker, arguments).await?;
    let nothing = if filter == AlertFilter::default() {
        "no alerts are open"
    } else if filter.states.is_empty() {
        "no open alerts match"
    } else {
        "no alerts match"
    };
    let mut listing = ListWriter::new(out, look, view());
    if arguments.flags.watch {
        let fetch = async || list_all(broker, &filter).await;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::poll(broker, &mut listing, object, fetch) => ended?,
        }
        return Ok(listing.finish(nothing)?);
    }
    let mut alerts = list_all(broker, &filter).await?;
    arguments.flags.apply_order(&mut alerts);
    listing.add(&alerts)?;
    Ok(listing.finish(nothing)?)
}

fn write_alert(
    alert: &OpenAlert,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if !look.format.is_human_readable() {
        return Ok(ListWriter::write_one(out, look, view(), alert)?);
    }
    for line in detail_lines(alert, look) {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// Writes the alerts of these numbers, with their histories.
async fn write_by_number(
    broker: &Connection,
    ids: &[u64],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut alerts = Vec::with_capacity(ids.len());
    for id in ids {
        alerts.push(get(broker, *id).await?);
    }
    if !look.format.is_human_readable() {
        let mut listing = ListWriter::new(out, look, view());
        listing.add(&alerts)?;
        return Ok(listing.finish("")?);
    }
    for (index, alert) in alerts.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_alert(alert, look, out)?;
    }
    Ok(())
}
