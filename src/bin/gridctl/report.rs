//! `gridctl report`: a Guru Meditation Report of the running broker.
//!
//! Prints what the broker wrote, as it came: the broker has escaped what is not its own. Judges
//! nothing.

use std::io::Write;

use grid_broker::contract::proto::{GetReportRequest, ReportFormat};
use grid_broker::show::escape::escape_json;

use crate::args::OutputFormat;
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::OutputOptions;

/// Shows the report; as one JSON object if that is asked for in either way.
pub(crate) async fn show(
    broker: &Connection,
    json: bool,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let json = json || matches!(look.format, OutputFormat::Json | OutputFormat::Jsonl);
    let format = if json { ReportFormat::Json } else { ReportFormat::Text };
    let question = broker.unary(GetReportRequest { format: format.into() });
    let report = broker.broker_service().get_report(question).await?.into_inner().report;
    if json {
        writeln!(out, "{}", escape_json(&report))?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(out.flush()?)
}
