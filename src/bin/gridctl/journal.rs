//! `gridctl journal ...`: shows the journal of a running broker, and backs it up to a file.
//!
//! Guarantees that the file appears only once it is complete: read back block by block, and synced
//! to disk. Shows the progress on a terminal. Does not know blocks.

use std::fmt;
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::Path;

use grid_broker::client::ClientError;
use grid_broker::contract::encode_uuid;
use grid_broker::contract::proto::{BackUpRequest, BackUpResponse};
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::identity::ca_backup;
use grid_broker::journal::stream::{
    AtomicFile, StreamHead, StreamItem, StreamReader, StreamSummary,
};
use grid_broker::show::count::format_count;

use crate::args::JournalCommand;
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::status;

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &JournalCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let JournalCommand::Backup { file, force } = command else {
        return status::show_journal(broker, look, out).await;
    };
    let backup = back_up(broker, file, *force).await?;
    if look.is_quiet {
        return Ok(());
    }
    if look.format.is_human_readable() {
        writeln!(out, "{backup}")?;
        return Ok(out.flush()?);
    }
    let shape =
        ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: BackupSummary::to_object };
    Ok(ListWriter::write_one(out, look, shape, &backup)?)
}

async fn back_up(broker: &Connection, path: &Path, force: bool) -> Result<BackupSummary, CliError> {
    let mut file = AtomicFile::create(path, force)?;
    let mut progress = BackupProgressLine::new();
    let failed = |status| ClientError::from_status(&broker.address, status);
    let reply = broker.journal().back_up(broker.streaming(BackUpRequest {})).await;
    let mut chunks = reply.map_err(failed)?.into_inner();
    while let Some(message) = chunks.message().await.map_err(failed)? {
        file.write_all(&message.chunk).map_err(|error| file.write_error(error))?;
        progress.update(&message);
    }
    progress.clear();
    let backup = read_back(path, &file)?;
    file.finish()?;
    Ok(backup)
}

/// Reads the written file back: an unverified backup is not a backup.
fn read_back(path: &Path, file: &AtomicFile) -> Result<BackupSummary, CliError> {
    let broken = |reason: &dyn fmt::Display| CliError::Backup {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut stream =
        StreamReader::open(BufReader::new(file.read_back()?)).map_err(|error| broken(&error))?;
    while let Some(item) = stream.next_item().map_err(|error| broken(&error))? {
        if let StreamItem::Defect(fault) = item {
            return Err(broken(&fault));
        }
    }
    let head = stream.head().copied().ok_or_else(|| broken(&"it has no header"))?;
    Ok(BackupSummary {
        file: path.display().to_string(),
        head: Some(head),
        summary: stream.summary().clone(),
    })
}

/// A finished backup.
#[derive(Debug, Default)]
struct BackupSummary {
    file: String,
    head: Option<StreamHead>,
    summary: StreamSummary,
}

impl fmt::Display for BackupSummary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, head, summary } = self;
        write!(to, "{file}: {}", format_count(summary.records, "record"))?;
        if let Some(range) = &summary.range {
            write!(to, " ({} to {})", range.start(), range.end())?;
        }
        match head.and_then(|head| head.checkpoint) {
            Some(through) => write!(to, ", the state after record {through}")?,
            None => write!(to, ", no checkpoint yet")?,
        }
        write!(to, ", {}", describe_bytes(summary.bytes))?;
        if let Some(head) = head {
            write!(to, "; journal {}", head.identity.journal)?;
        }
        for lost in &summary.missing {
            write!(to, "\nnot in the journal: records {} to {}", lost.start(), lost.end())?;
        }
        if let Some(note) = ca_backup::secret_note(file, self.attachments()) {
            write!(to, "\n{note}")?;
        }
        Ok(())
    }
}

impl BackupSummary {
    fn attachments(&self) -> impl Iterator<Item = &str> {
        self.summary.attachments.iter().map(|name| name.as_str())
    }

    fn to_object(&self) -> OutputObject {
        let head = self.head.as_ref();
        let ends = |end: fn(&std::ops::RangeInclusive<u64>) -> u64| {
            self.summary.range.as_ref().map_or(0, end).into()
        };
        let missing = self.summary.missing.iter().map(|lost| {
            ObjectValue::Object(Some(vec![
                ("first", (*lost.start()).into()),
                ("last", (*lost.end()).into()),
            ]))
        });
        let fields = vec![
            ("file", (&self.file).into()),
            (
                "journal_id",
                head.map_or(ObjectValue::Null, |it| (&encode_uuid(it.identity.journal)).into()),
            ),
            ("records", self.summary.records.into()),
            ("first_record", ends(|range| *range.start())),
            ("last_record", ends(|range| *range.end())),
            ("checkpoint_record", head.and_then(|it| it.checkpoint).unwrap_or(0).into()),
            ("bytes", self.summary.bytes.into()),
            ("missing", ObjectValue::List(missing.collect())),
            ("has_ca_key", ca_backup::has_private_key(self.attachments()).into()),
        ];
        OutputObject { kind: "backup", name: self.file.clone(), fields }
    }
}

/// The progress line, if stderr is a terminal.
struct BackupProgressLine {
    is_terminal: bool,
    bytes: u64,
    /// The last line, so that an unchanged one is not written again.
    last_line: String,
}

impl BackupProgressLine {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), bytes: 0, last_line: String::new() }
    }

    fn update(&mut self, message: &BackUpResponse) {
        self.bytes += message.chunk.len() as u64;
        if !self.is_terminal {
            return;
        }
        let line = progress_line(message, self.bytes);
        if line != self.last_line {
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            self.last_line = line;
        }
    }

    fn clear(&self) {
        if !self.last_line.is_empty() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn progress_line(message: &BackUpResponse, bytes: u64) -> String {
    let BackUpResponse { records_done, records_total, bytes_estimate, .. } = message;
    let percent = records_done.saturating_mul(100).checked_div(*records_total).unwrap_or(100);
    // After 10 % the size so far is a better base than the estimate.
    let whole = if percent >= 10 { bytes.saturating_mul(100) / percent } else { *bytes_estimate };
    format!(
        "{percent} % of {}, {} of about {}",
        format_count(*records_total, "record"),
        describe_bytes(bytes),
        describe_bytes(whole.max(bytes))
    )
}

#[cfg(test)]
#[test]
fn progress_is_one_line() {
    let message = |done| BackUpResponse {
        chunk: vec![0; 2048],
        records_done: done,
        records_total: 200,
        bytes_estimate: 24_000,
    };
    assert_eq!(progress_line(&message(4), 2048), "2 % of 200 records, 2 KiB of about 23 KiB");
    assert_eq!(progress_line(&message(100), 2048), "50 % of 200 records, 2 KiB of about 4 KiB");
    let none = BackUpResponse { records_total: 0, ..message(0) };
    assert_eq!(progress_line(&none, 300), "100 % of 0 records, 300 bytes of about 300 bytes");
}
