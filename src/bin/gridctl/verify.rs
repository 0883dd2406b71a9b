//! `gridctl journal verify`: says whether a backup is whole, without restoring it.
//!
//! Guarantees that it writes nothing, and that what is wrong is on stdout before the exit code says so.
//! Asks no broker. Does not know what a record says.

use std::io::Write;
use std::path::Path;

use grid_broker::contract::encode_uuid;
use grid_broker::journal::rescue::{self, Verified};
use grid_broker::show::size;

use crate::error::CliError;
use crate::fields::{FieldObject, ObjectValue};
use crate::output::{ListWriter, OutputOptions, View};

/// Missing ranges and defects that are named; the rest is counted.
const NAMED_MAX: usize = 20;

/// Verifies the backup in `file`, and says what is in it.
pub(crate) fn run(file: &Path, look: &OutputOptions, out: &mut dyn Write) -> Result<(), CliError> {
    let verified = rescue::verify(file, |_| {});
    let verified = verified.map_err(|source| CliError::Verify { path: file.to_owned(), source })?;
    let backup = VerifiedBackup { file: file.display().to_string(), verified: Some(verified) };
    if look.format.is_for_people() {
        let lines = if look.quiet { Vec::new() } else { backup.lines() };
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    } else {
        let shape = View { columns: &[], cells: |_, _| Vec::new(), object: VerifiedBackup::form };
        ListWriter::one(out, look, shape, &backup)?;
    }
    if backup.is_whole() { Ok(()) } else { Err(CliError::DamagedBackup { path: file.to_owned() }) }
}

/// A backup that was read.
#[derive(Debug, Default)]
struct VerifiedBackup {
    file: String,
    verified: Option<Verified>,
}

impl VerifiedBackup {
    fn is_whole(&self) -> bool {
        self.verified.as_ref().is_some_and(Verified::is_whole)
    }

    fn lines(&self) -> Vec<String> {
        let Some(Verified { head, summary, checkpoint, defects }) = &self.verified else {
            return Vec::new();
        };
        let mut first = format!("{}: {}", self.file, size::format_count(summary.records, "record"));
        if let Some(range) = &summary.range {
            first.push_str(&format!(" ({} to {})", range.start(), range.end()));
        }
        match checkpoint {
            Some(through) => first.push_str(&format!(", the state after record {through}")),
            None => first.push_str(", no checkpoint"),
        }
        first.push_str(&format!(", {}", size::format_bytes(summary.bytes)));
        if let Some(head) = head {
            first.push_str(&format!("; journal {}", head.identity.journal));
        }
        let mut lines = vec![first];
        let missing = summary.missing.iter().take(NAMED_MAX);
        lines.extend(
            missing.map(|lost| {
                format!("not in the backup: records {} to {}", lost.start(), lost.end())
            }),
        );
        if summary.missing.len() > NAMED_MAX {
            let more = summary.missing.len() - NAMED_MAX;
            lines.push(format!("not in the backup: {more} more ranges"));
        }
        let named = defects.retained().iter().take(NAMED_MAX);
        let unnamed = defects.retained().len() - named.len();
        lines.extend(named.map(|defect| format!("wrong: {defect}")));
        let more = defects.omitted() + unnamed as u64;
        if more > 0 {
            lines.push(format!("wrong: {more} more"));
        }
        lines.push(if self.is_whole() { "whole" } else { "damaged" }.to_owned());
        lines
    }

    fn form(&self) -> FieldObject {
        let verified = self.verified.as_ref();
        let summary = verified.map(|it| it.summary.clone()).unwrap_or_default();
        let head = verified.and_then(|it| it.head);
        let ends = |end: fn(&std::ops::RangeInclusive<u64>) -> u64| {
            summary.range.as_ref().map_or(0, end).into()
        };
        let missing = summary.missing.iter().map(|lost| {
            ObjectValue::Object(Some(vec![
                ("first", (*lost.start()).into()),
                ("last", (*lost.end()).into()),
            ]))
        });
        let defects = verified.map_or(&[][..], |it| it.defects.retained());
        let defects: Vec<String> = defects.iter().map(ToString::to_string).collect();
        let fields = vec![
            ("file", (&self.file).into()),
            ("is_whole", self.is_whole().into()),
            (
                "journal_id",
                head.map_or(ObjectValue::Null, |it| (&encode_uuid(it.identity.journal)).into()),
            ),
            ("records", summary.records.into()),
            ("first_record", ends(|range| *range.start())),
            ("last_record", ends(|range| *range.end())),
            ("checkpoint_record", verified.and_then(|it| it.checkpoint).unwrap_or(0).into()),
            ("bytes", summary.bytes.into()),
            ("missing", ObjectValue::List(missing.collect())),
            ("defects", (&defects).into()),
        ];
        FieldObject { entity: "backup", name: self.file.clone(), fields }
    }
}
