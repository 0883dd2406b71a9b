//! `gridctl log export`: writes all records that match, as lines.
//!
//! Guarantees that an export that is not complete is an error, and that one to a file tells then how it is
//! continued. Reads page by page from a gridd that knows no exports. Does not know the format of a line.

mod call;
mod error;
mod fast_lines;
mod file;
mod lines;
mod plan;
mod progress;
mod raw_record;
#[cfg(test)]
mod tests;
mod writer;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use grid_broker::show::count::format_count;
use tonic::Code;

use self::call::ExportCall;
pub(crate) use self::call::ExportPart;
pub(crate) use self::error::ExportError;
use self::file::{ExportFile, WrittenPart};
use self::lines::ExportFormat;
use self::plan::ExportPlan;
use self::writer::{ExportTarget, RecordExport};
use super::{LogEntry, RecordPages, build_filter};
use crate::args::{LogExport, OutputFormat};
use crate::connection::Connection;
use crate::error::CliError;
use crate::follow::RETRY_DELAY_MIN;
use crate::output::OutputOptions;

/// Runs the command.
pub(super) async fn run(
    broker: &Connection,
    arguments: &LogExport,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    run_with(broker, arguments, look, out, RETRY_DELAY_MIN).await
}

/// The same; waits `first_delay` before the first attempt to connect again.
async fn run_with(
    broker: &Connection,
    arguments: &LogExport,
    look: &OutputOptions,
    out: &mut dyn Write,
    first_delay: Duration,
) -> Result<(), CliError> {
    let mut unknown = None;
    let mut export = match &arguments.file {
        Some(path) if arguments.resume => resume(path, look)?,
        path => {
            let choice = &arguments.choice;
            let plan = ExportPlan {
                filter: build_filter(broker, choice, true, look, &mut unknown).await?,
                format: requested_format(look).unwrap_or(ExportFormat::Jsonl),
                has_titles: look.has_titles,
                may_replace: arguments.force,
                cursor: String::new(),
            };
            let target = match path {
                Some(path) => ExportTarget::File(ExportFile::create(path, arguments.force)?),
                None => ExportTarget::Stdout(out),
            };
            RecordExport::new(plan, target, look, WrittenPart::default())
        }
    };
    let ended = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => None,
        ended = receive(broker, &mut export, first_delay) => Some(ended),
    };
    let ended = ended.unwrap_or_else(|| {
        Err(ExportError::Interrupted { reached: export.position().reached }.into())
    });
    match (ended, unknown) {
        (Ok(()), Some(unknown)) if export.position().written == 0 => export.fail(unknown),
        (Ok(()), _) => export.finish(),
        (Err(failure), _) => export.fail(failure),
    }
}

/// The format that the flags name; `None`: the default.
fn requested_format(look: &OutputOptions) -> Option<ExportFormat> {
    match look.format {
        OutputFormat::Csv => Some(ExportFormat::Csv),
        OutputFormat::Jsonl => Some(ExportFormat::Jsonl),
        // `--quiet` alone means names; of records, it means no notes.
        OutputFormat::Table
        | OutputFormat::Wide
        | OutputFormat::Json
        | OutputFormat::Name
        | OutputFormat::Udl => None,
    }
}

fn resume<'a>(path: &Path, look: &'a OutputOptions) -> Result<RecordExport<'a>, CliError> {
    let (file, plan, before) = ExportFile::resume(path)?;
    if requested_format(look).is_some_and(|format| format != plan.format) {
        return Err(ExportError::OtherFormat(plan.format.name()).into());
    }
    let torn = before.torn_bytes;
    if torn > 0 {
        let bytes = format_count(torn, "byte");
        look.note(&format!("{}: cut off {bytes} behind the last whole line", path.display()));
    }
    Ok(RecordExport::new(plan, ExportTarget::File(file), look, before))
}

/// Receives everything.
async fn receive(
    broker: &Connection,
    export: &mut RecordExport<'_>,
    first_delay: Duration,
) -> Result<(), CliError> {
    let mut call = ExportCall::new(broker, export.request(), first_delay);
    loop {
        match call.next(&mut |text| export.note(text)).await {
            Ok(Some(part)) => export.take(part)?,
            Ok(None) => return Ok(()),
            Err(error) if error.status_code() == Some(Code::Unimplemented) => break,
            Err(error) => return Err(error),
        }
    }
    export.note("the broker is older and knows no exports: reading page by page");
    let mut pages = RecordPages::new(broker, export.filter(), false);
    let mut left = u64::MAX;
    while let Some(entries) = pages.next(&mut left).await? {
        export.begin(String::new())?;
        for entry in entries {
            match entry {
                LogEntry::Record(record) => export.add_decoded(&record)?,
                LogEntry::Missing(missing) => export.add_missing(missing),
            }
        }
        export.write()?;
    }
    export.check_end()
}
