//! `gridctl alert explain`: prints the history of an alert with each decision about a notification.
//!
//! Guarantees the order of the history, and that a decision whose record is gone is named as such.

use std::io::Write;

use grid_broker::contract::proto::{ExplainAlertRequest, ExplainAlertResponse, OpenAlert};
use grid_broker::show::labels;

use super::number;
use crate::alert_view::{self, decision_lines, step_line};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::subject;
use crate::table::TableCell;

/// Runs the command.
pub(super) async fn run(
    broker: &Connection,
    ids: &[String],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let ids = number::resolve(broker, ids).await?;
    let mut explained = Vec::with_capacity(ids.len());
    for id in ids {
        let request = broker.unary(ExplainAlertRequest { id });
        explained.push(broker.alerts().explain_alert(request).await?.into_inner());
    }
    if look.format.is_human_readable() {
        for (index, one) in explained.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            for line in lines(one, look) {
                writeln!(out, "{}", TableCell::new(&line).render(false))?;
            }
        }
        return Ok(out.flush()?);
    }
    let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: object };
    if let [one] = explained.as_slice() {
        return Ok(ListWriter::write_one(out, look, shape, one)?);
    }
    let mut listing = ListWriter::new(out, look, shape);
    listing.add(&explained)?;
    Ok(listing.finish("")?)
}

/// What the alert is, and then its history: a decision with its messages in place of its step.
fn lines(explained: &ExplainAlertResponse, look: &OutputOptions) -> Vec<String> {
    let none = OpenAlert::default();
    let alert = explained.alert.as_ref().unwrap_or(&none);
    let label = |label: Option<String>| label.unwrap_or_default();
    let mut lines = vec![
        format!(
            "alert {}: {} {} of {}, {}",
            alert.id,
            label(labels::severity(alert.severity)),
            alert.key,
            subject::format(&alert.appliance),
            label(labels::alert_state(alert.state)),
        ),
        format!("    {}", alert.text),
    ];
    for step in &alert.steps {
        let kept = explained.decisions.iter().find(|it| it.record_number == step.record_number);
        match kept.filter(|_| step.kind == "decided") {
            Some(decision) => lines.extend(decision_lines(decision, look)),
            None => lines.push(step_line(step, look)),
        }
    }
    let is_lost = |number: &&u64| explained.trimmed.contains(number);
    for number in alert.steps.iter().map(|step| &step.record_number).filter(is_lost) {
        let note = format!("record {number} is not kept any more: its mails are not known");
        if !lines.contains(&note) {
            lines.push(note);
        }
    }
    lines
}

fn object(explained: &ExplainAlertResponse) -> OutputObject {
    let ExplainAlertResponse { alert, decisions, trimmed } = explained;
    let name = alert.as_ref().map_or_else(String::new, |alert| alert.id.to_string());
    let decisions = decisions.iter().map(alert_view::explained_object).collect();
    let fields = vec![
        ("alert", ObjectValue::Object(alert.as_ref().map(alert_view::fields))),
        ("decisions", ObjectValue::List(decisions)),
        ("trimmed", ObjectValue::List(trimmed.iter().map(|it| (*it).into()).collect())),
    ];
    OutputObject { kind: "alert", name, fields }
}
