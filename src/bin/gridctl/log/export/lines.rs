//! Formats records as the lines of an export: JSON or CSV.
//!
//! Guarantees exactly the lines of `log list --output jsonl` and `csv`, one for each record. Does not know
//! where they are written.

use std::io::{self, Write};

use grid_broker::contract::proto::Record;

use crate::{csv, json, record_view};

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExportFormat {
    /// An object.
    Jsonl,
    /// Values below a line of keys.
    Csv,
}

impl ExportFormat {
    /// Its name, as of `--output`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// The format of a name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Jsonl, Self::Csv].into_iter().find(|format| format.name() == name)
    }

    /// The line of keys, without a line break.
    pub(super) fn header(self) -> Option<String> {
        match self {
            Self::Jsonl => None,
            Self::Csv => Some(csv::header(&(record_view::view().to_object)(&Record::default()))),
        }
    }

    /// The number of the record of a whole line; `None` if it is no line of an export, such as what a
    /// machine that stopped leaves of one that was not synced.
    pub(super) fn number_of(self, line: &[u8]) -> Option<u64> {
        if line.iter().any(u8::is_ascii_control) {
            return None;
        }
        let line = match self {
            Self::Jsonl => line.strip_prefix(br#"{"number":"#)?.strip_suffix(b"}")?,
            Self::Csv => line,
        };
        let end = line.iter().position(|byte| *byte == b',')?;
        std::str::from_utf8(&line[..end]).ok()?.parse().ok()
    }

    /// Appends the line of a record.
    pub(super) fn push(self, record: &Record, out: &mut Vec<u8>) -> io::Result<()> {
        let object = (record_view::view().to_object)(record);
        match self {
            Self::Jsonl => writeln!(out, "{}", json::object(&object)?),
            Self::Csv => writeln!(out, "{}", csv::line(&object)?),
        }
    }
}
