//! `gridctl report`: a Guru Meditation Report of the running broker.
//!
//! Prints what the broker wrote, as it came: the broker has escaped what is not its own. Judges
//! nothing.

use std::io::Write;

use grid_broker::show::escape::escape_json;
use grid_broker::wire::proto::{GetReportRequest, ReportFormat};

use crate::args::Format;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::listing::Look;

/// Shows the report; as one JSON object if that is asked for in either way.
pub(crate) async fn show(
    broker: &Broker,
    json: bool,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let json = json || matches!(look.format, Format::Json | Format::Jsonl);
    let format = if json { ReportFormat::Json } else { ReportFormat::Text };
    let question = broker.question(GetReportRequest { format: format.into() });
    let report = broker.itself().get_report(question).await?.into_inner().report;
    if json {
        writeln!(out, "{}", escape_json(&report))?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(out.flush()?)
}
