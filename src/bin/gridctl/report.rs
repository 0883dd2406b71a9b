//! `gridctl report`: prints a Guru Meditation Report of the running broker.
//!
//! Guarantees that the report is printed unchanged: the broker has escaped untrusted text. Does not
//! evaluate it.

use std::io::Write;

use grid_broker::contract::proto::{GetReportRequest, ReportFormat};
use grid_broker::show::escape::escape_json;

use crate::args::OutputFormat;
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::OutputOptions;

/// Shows the report; as one JSON object if either flag requests it.
pub(crate) async fn show(
    broker: &Connection,
    json: bool,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let json = json || matches!(look.format, OutputFormat::Json | OutputFormat::Jsonl);
    let format = if json { ReportFormat::Json } else { ReportFormat::Text };
    let request = broker.unary(GetReportRequest { format: format.into() });
    let report = broker.broker_service().get_report(request).await?.into_inner().report;
    if json {
        writeln!(out, "{}", escape_json(&report))?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(out.flush()?)
}
