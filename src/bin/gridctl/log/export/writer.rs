//! Writes the records of an export to standard output or a file.
//!
//! Guarantees each record once and in order, also behind those of an interrupted export: the last of these
//! must be the broker's record of that number. Numbers without records are noted on stderr. Does not know
//! how records arrive.

use std::cmp::Ordering;
use std::io::Write;

use grid_broker::contract::proto::{ExportRecordsRequest, Missing, Record, RecordFilter};
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::show::count::format_count;

use super::call::ExportPart;
use super::error::ExportError;
use super::fast_lines::LineWriter;
use super::file::{ExportFile, WrittenPart};
use super::plan::ExportPlan;
use super::progress::{ExportPosition, ProgressLine};
use crate::error::CliError;
use crate::log::describe_missing;
use crate::output::OutputOptions;

/// Where the lines go.
pub(super) enum ExportTarget<'a> {
    Stdout(&'a mut dyn Write),
    File(ExportFile),
}

/// An export that is being written.
pub(super) struct RecordExport<'a> {
    plan: ExportPlan,
    target: ExportTarget<'a>,
    look: &'a OutputOptions,
    position: ExportPosition,
    /// The header and the description of the file are written.
    is_begun: bool,
    /// The file has a part of an earlier run.
    is_resumed: bool,
    /// The last record of that part, until the broker's one was compared with it.
    expected: Option<(u64, Vec<u8>)>,
    /// Records up to this number are written, or known to be missing.
    through: u64,
    format: LineWriter,
    /// Whole lines that are not written yet.
    lines: Vec<u8>,
    progress: ProgressLine,
}

impl<'a> RecordExport<'a> {
    /// An export behind what was written `before`.
    pub(super) fn new(
        plan: ExportPlan,
        target: ExportTarget<'a>,
        look: &'a OutputOptions,
        before: WrittenPart,
    ) -> Self {
        let is_file = matches!(target, ExportTarget::File(_));
        let through = before.last.as_ref().map_or(0, |(number, _)| *number);
        let written = before.records;
        Self {
            format: LineWriter::new(plan.format),
            plan,
            target,
            look,
            position: ExportPosition { first: 1, reached: through, last: through, written },
            is_begun: false,
            is_resumed: before.bytes > 0,
            expected: before.last,
            through,
            lines: Vec::new(),
            progress: ProgressLine::new(is_file, look.is_quiet),
        }
    }

    /// Which records are missing from the target: from the last one on, to compare it.
    pub(super) fn request(&self) -> ExportRecordsRequest {
        // The cursor names the grid log only: it may be behind records that were never written.
        let first_min = u64::from(!self.plan.cursor.is_empty());
        ExportRecordsRequest {
            filter: Some(self.filter()),
            first: self.through.max(first_min),
            last: 0,
            cursor: self.plan.cursor.clone(),
        }
    }

    /// Which records are exported.
    pub(super) fn filter(&self) -> RecordFilter {
        self.plan.filter.clone()
    }

    /// How far it is.
    pub(super) fn position(&self) -> ExportPosition {
        self.position
    }

    /// Prints a note.
    pub(super) fn note(&mut self, text: &str) {
        self.progress.clear();
        self.look.note(text);
    }

    /// Writes what comes before the first record, once it is known that the broker sends some.
    pub(super) fn begin(&mut self, cursor: String) -> Result<(), CliError> {
        if std::mem::replace(&mut self.is_begun, true) {
            return Ok(());
        }
        if self.plan.cursor.is_empty() {
            self.plan.cursor = cursor;
            if let ExportTarget::File(file) = &mut self.target {
                file.describe(&self.plan)?;
            }
        }
        let header = self.plan.format.header().filter(|_| self.plan.has_titles && !self.is_resumed);
        if let Some(header) = header {
            self.lines.extend_from_slice(header.as_bytes());
            self.lines.push(b'\n');
        }
        Ok(())
    }

    /// Writes a part.
    pub(super) fn take(&mut self, part: ExportPart) -> Result<(), CliError> {
        self.begin(part.cursor)?;
        for missing in part.missing {
            self.add_missing(missing);
        }
        for bytes in part.records {
            self.add(&bytes)?;
        }
        self.position.last = part.last;
        // Where a resumed one began is not known: it counts from the oldest record.
        if !self.is_resumed && self.position.reached == 0 {
            self.position.first = part.first;
        }
        self.position.reached = part.reached;
        self.write()?;
        if part.reached >= part.last {
            return self.check_end();
        }
        Ok(())
    }

    /// Adds an encoded record, unless the target has it.
    fn add(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let start = self.lines.len();
        let number = self.format.push(bytes, &mut self.lines)?;
        self.keep(number, start)
    }

    /// Adds a record, unless the target has it.
    pub(super) fn add_decoded(&mut self, record: &Record) -> Result<(), CliError> {
        let start = self.lines.len();
        self.format.push_decoded(record, &mut self.lines)?;
        self.keep(record.number, start)
    }

    /// Keeps the line that begins at `start`, if it is new.
    fn keep(&mut self, number: u64, start: usize) -> Result<(), CliError> {
        if let Some((last, line)) = &self.expected {
            let is_same = self.lines[start..].strip_suffix(b"\n") == Some(line);
            self.lines.truncate(start);
            match number.cmp(last) {
                Ordering::Less => {}
                Ordering::Equal if is_same => self.expected = None,
                Ordering::Equal | Ordering::Greater => return Err(self.other_record()),
            }
            return Ok(());
        }
        if number <= self.through {
            self.lines.truncate(start);
            let text = format!("record {number} after record {}", self.through);
            return Err(ExportError::Malformed(text).into());
        }
        self.through = number;
        self.position.reached = number;
        self.position.written += 1;
        Ok(())
    }

    /// Notes numbers without records, unless that was done.
    pub(super) fn add_missing(&mut self, missing: Missing) {
        let Some((number, _)) = &self.expected else {
            let text = describe_missing(missing);
            return self.note(&text);
        };
        if missing.last < *number {
            return;
        }
        // The last record is gone meanwhile: there is nothing to compare.
        let first = number + 1;
        let is_gone = missing.first <= *number;
        if is_gone {
            self.expected = None;
        }
        if missing.last >= first {
            let text = describe_missing(Missing { first: missing.first.max(first), ..missing });
            self.note(&text);
        }
    }

    /// Writes the lines so far, and shows how far that is.
    pub(super) fn write(&mut self) -> Result<(), CliError> {
        match &mut self.target {
            ExportTarget::Stdout(out) => {
                out.write_all(&self.lines)?;
                out.flush()?;
            }
            ExportTarget::File(file) => file.append(&self.lines)?,
        }
        self.lines.clear();
        self.progress.update(self.position);
        Ok(())
    }

    /// Checks at the end of the log that it contained the last record of the file.
    pub(super) fn check_end(&self) -> Result<(), CliError> {
        if self.expected.is_some() { Err(self.other_record()) } else { Ok(()) }
    }

    fn other_record(&self) -> CliError {
        let number = self.expected.as_ref().map_or(0, |(number, _)| *number);
        let path = match &self.target {
            ExportTarget::File(file) => file.path().to_owned(),
            ExportTarget::Stdout(_) => return ExportError::Malformed("a double".to_owned()).into(),
        };
        ExportError::OtherRecord { path, number }.into()
    }

    /// Ends a complete export.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.begin(String::new())?;
        self.write()?;
        self.progress.clear();
        if let ExportTarget::File(file) = self.target {
            let path = file.path().display().to_string();
            let bytes = describe_bytes(file.bytes);
            file.finish()?;
            let records = format_count(self.position.written, "record");
            self.look.note(&format!("{path}: {records}, {bytes}"));
        }
        Ok(())
    }

    /// Ends an export that is not complete.
    pub(super) fn fail(mut self, failure: CliError) -> Result<(), CliError> {
        self.progress.clear();
        let ExportTarget::File(file) = self.target else { return Err(failure) };
        if !self.is_begun && !self.is_resumed {
            file.discard();
            return Err(failure);
        }
        // Whole lines only are in it, so what cannot be synced can still be continued.
        let _ = file.sync();
        if matches!(failure, CliError::Export(ExportError::OtherRecord { .. })) {
            return Err(failure);
        }
        let (path, written) = (file.path().to_owned(), self.through);
        let failure = Box::new(failure);
        Err(ExportError::Incomplete { path, written, failure }.into())
    }
}
