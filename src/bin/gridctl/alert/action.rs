//! `gridctl alert ack|unack|resolve`: changes alerts one by one.
//!
//! Guarantees that what was done is printed even if the next one failed.

use std::io::Write;

use jiff::Timestamp;

use grid_broker::contract::proto::{
    AcknowledgeAlertRequest, GetStatusRequest, OpenAlert, ResolveAlertRequest,
    UnacknowledgeAlertRequest,
};

use super::number;
use crate::args::AlertVerb;
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::{alert_view, subject, time_arg};

/// What is to be done with each alert.
enum AlertAction<'a> {
    Acknowledge { until: Option<prost_types::Timestamp>, note: &'a str },
    Unacknowledge,
    Resolve { note: &'a str },
}

/// The result of an action on an alert.
#[derive(Default)]
struct ChangedAlert {
    alert: OpenAlert,
    record_number: u64,
}

/// Runs a command that changes alerts.
pub(super) async fn run(
    broker: &Connection,
    command: &AlertVerb,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        AlertVerb::Ack { ids, until, length, note } => {
            let ids = number::resolve(broker, ids).await?;
            let until = match (until, length) {
                (Some(until), _) => {
                    Some(until.resolve_future(&look.zone, broker_time(broker).await?))
                }
                (None, Some(length)) => {
                    let until = broker_time(broker).await?.checked_add(*length);
                    Some(until.unwrap_or(Timestamp::MAX))
                }
                (None, None) => None,
            };
            let until = until.map(time_arg::to_proto);
            apply(broker, &ids, &AlertAction::Acknowledge { until, note }, look, out).await
        }
        AlertVerb::Unack { ids } => {
            let ids = number::resolve(broker, ids).await?;
            apply(broker, &ids, &AlertAction::Unacknowledge, look, out).await
        }
        AlertVerb::Resolve { ids, note } => {
            let ids = number::resolve(broker, ids).await?;
            apply(broker, &ids, &AlertAction::Resolve { note }, look, out).await
        }
        AlertVerb::List(_) | AlertVerb::Show { .. } | AlertVerb::Explain { .. } => Ok(()),
    }
}

/// The time of the broker, by which its acknowledgements end.
async fn broker_time(broker: &Connection) -> Result<Timestamp, CliError> {
    let status = broker.broker_service().get_status(broker.unary(GetStatusRequest {})).await?;
    let time = status.into_inner().server_time.as_ref().and_then(time_arg::from_proto);
    Ok(time.unwrap_or_else(time_arg::now))
}

async fn apply(
    broker: &Connection,
    ids: &[u64],
    action: &AlertAction<'_>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let (mut done, mut failed) = (Vec::new(), None);
    for id in ids {
        match apply_one(broker, *id, action).await {
            Ok(changed) => done.push(changed),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    if !look.is_quiet {
        write_results(&done, ids.len() == 1, failed.is_none(), action, look, out)?;
    }
    failed.map_or(Ok(()), Err)
}

fn write_results(
    done: &[ChangedAlert],
    is_single: bool,
    is_complete: bool,
    action: &AlertAction<'_>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let form = |changed: &ChangedAlert| OutputObject {
        kind: "alert",
        name: changed.alert.id.to_string(),
        fields: vec![
            ("id", changed.alert.id.into()),
            ("record_number", changed.record_number.into()),
            ("state", alert_view::fields(&changed.alert).swap_remove(6).1),
        ],
    };
    let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: form };
    if look.format.is_human_readable() {
        for changed in done {
            writeln!(out, "{}", describe(changed, action, look))?;
        }
        return Ok(out.flush()?);
    }
    match done {
        [one] if is_single => Ok(ListWriter::write_one(out, look, shape, one)?),
        _ if is_complete || !done.is_empty() => {
            let mut listing = ListWriter::new(out, look, shape);
            listing.add(done)?;
            Ok(listing.finish("")?)
        }
        _ => Ok(()),
    }
}

async fn apply_one(
    broker: &Connection,
    id: u64,
    action: &AlertAction<'_>,
) -> Result<ChangedAlert, CliError> {
    let mut alerts = broker.alerts();
    let (record_number, alert) = match action {
        AlertAction::Acknowledge { until, note } => {
            let (until, note) = (*until, (*note).to_owned());
            let request = broker.unary(AcknowledgeAlertRequest { id, until, note });
            let reply = alerts.acknowledge_alert(request).await?.into_inner();
            (reply.record_number, reply.alert)
        }
        AlertAction::Unacknowledge => {
            let request = broker.unary(UnacknowledgeAlertRequest { id });
            let reply = alerts.unacknowledge_alert(request).await?.into_inner();
            (reply.record_number, reply.alert)
        }
        AlertAction::Resolve { note } => {
            let request = broker.unary(ResolveAlertRequest { id, note: (*note).to_owned() });
            let reply = alerts.resolve_alert(request).await?.into_inner();
            (reply.record_number, reply.alert)
        }
    };
    let alert = alert.unwrap_or_else(|| OpenAlert { id, ..OpenAlert::default() });
    Ok(ChangedAlert { alert, record_number })
}

/// `alert 12 (raid1 of db1) is acknowledged until it is over (record 77)`.
fn describe(changed: &ChangedAlert, action: &AlertAction<'_>, look: &OutputOptions) -> String {
    let ChangedAlert { alert, record_number } = changed;
    let what = match action {
        AlertAction::Acknowledge { until: None, .. } => {
            "is acknowledged until it is over".to_owned()
        }
        AlertAction::Acknowledge { until, .. } => {
            format!("is acknowledged until {}", look.format_time(until))
        }
        AlertAction::Unacknowledge => "is not acknowledged any more".to_owned(),
        AlertAction::Resolve { .. } => "is resolved".to_owned(),
    };
    let of = match alert.key.as_str() {
        "" => String::new(),
        key => {
            let subject = subject::format(&alert.appliance);
            let about = format!("{key} of {subject}");
            format!(" ({})", crate::table::TableCell::new(&about).render(false))
        }
    };
    format!("alert {}{of} {what} (record {record_number})", alert.id)
}
