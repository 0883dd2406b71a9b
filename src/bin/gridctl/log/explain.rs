//! `gridctl log explain`: prints which notifications records caused, or why they caused none.
//!
//! Guarantees the order of the numbers.

use std::io::Write;

use grid_broker::contract::proto::{
    ExplainRecordRequest, ExplainRecordResponse, ExplainedDecision,
};

use crate::alert_view::{decision_lines, explained_object};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::subject;
use crate::table::TableCell;

/// Runs the command.
pub(super) async fn run(
    broker: &Connection,
    numbers: &[u64],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut explained = Vec::with_capacity(numbers.len());
    for number in numbers {
        let request = broker.unary(ExplainRecordRequest { number: *number });
        explained.push(broker.grid_log().explain_record(request).await?.into_inner());
    }
    if look.format.is_human_readable() {
        for line in explained.iter().flat_map(|one| lines(one, look)) {
            writeln!(out, "{}", TableCell::new(&line).render(false))?;
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

fn lines(explained: &ExplainRecordResponse, look: &OutputOptions) -> Vec<String> {
    let record = explained.record.clone().unwrap_or_default();
    let about = subject::format(&record.appliance).to_owned();
    let text = look.localize(&record.text, &record.text_times);
    let mut lines = vec![format!("record {} of {about}: {text}", record.number)];
    if explained.decisions.is_empty() {
        lines.push("    no notification was decided on: it changes no alert".to_owned());
    }
    for decision in &explained.decisions {
        lines.push(format!("    {}", describe_alert(decision)));
        lines.extend(decision_lines(decision, look).into_iter().map(|line| format!("    {line}")));
    }
    lines
}

/// `alert 12 (raid1 of db1)`.
fn describe_alert(decision: &ExplainedDecision) -> String {
    let ExplainedDecision { alert_id, appliance, key, .. } = decision;
    match key.as_str() {
        "" => format!("alert {alert_id}, which is not kept any more"),
        key => format!("alert {alert_id} ({key} of {})", subject::format(appliance)),
    }
}

fn object(explained: &ExplainRecordResponse) -> OutputObject {
    let ExplainRecordResponse { record, decisions } = explained;
    let number = record.as_ref().map_or(0, |record| record.number);
    let fields = vec![
        ("record_number", number.into()),
        ("decisions", ObjectValue::List(decisions.iter().map(explained_object).collect())),
    ];
    OutputObject { kind: "record", name: number.to_string(), fields }
}
