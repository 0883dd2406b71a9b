//! `gridctl journal verify`: says whether a backup is whole, without restoring it.
//!
//! Guarantees that it writes nothing, and that what is wrong is on stdout before the exit code says so.
//! Asks no broker. Does not know what a record says.

use std::io::Write;
use std::path::Path;

use grid_broker::journal::rescue::{self, Verified};
use grid_broker::show::size;
use grid_broker::wire::uuid_text;

use crate::failure::Failure;
use crate::form::{Form, Value};
use crate::listing::{Listing, Look, Shape};

/// Missing ranges and defects that are named; the rest is counted.
const NAMED_MAX: usize = 20;

/// Verifies the backup in `file`, and says what is in it.
pub(crate) fn run(file: &Path, look: &Look, out: &mut dyn Write) -> Result<(), Failure> {
    let verified = rescue::verify(file, |_| {});
    let verified = verified.map_err(|source| Failure::Verify { path: file.to_owned(), source })?;
    let backup = Backup { file: file.display().to_string(), verified: Some(verified) };
    if look.format.is_for_people() {
        let lines = if look.quiet { Vec::new() } else { backup.lines() };
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    } else {
        let shape = Shape { columns: &[], cells: |_, _| Vec::new(), form: Backup::form };
        Listing::one(out, look, shape, &backup)?;
    }
    if backup.is_whole() { Ok(()) } else { Err(Failure::DamagedBackup { path: file.to_owned() }) }
}

/// A backup that was read.
#[derive(Debug, Default)]
struct Backup {
    file: String,
    verified: Option<Verified>,
}

impl Backup {
    fn is_whole(&self) -> bool {
        self.verified.as_ref().is_some_and(Verified::is_whole)
    }

    fn lines(&self) -> Vec<String> {
        let Some(Verified { head, summary, checkpoint, defects }) = &self.verified else {
            return Vec::new();
        };
        let mut first = format!("{}: {}", self.file, size::count(summary.records, "record"));
        if let Some(range) = &summary.range {
            first.push_str(&format!(" ({} to {})", range.start(), range.end()));
        }
        match checkpoint {
            Some(through) => first.push_str(&format!(", the state after record {through}")),
            None => first.push_str(", no checkpoint"),
        }
        first.push_str(&format!(", {}", size::bytes(summary.bytes)));
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
        let named = defects.kept().iter().take(NAMED_MAX);
        let unnamed = defects.kept().len() - named.len();
        lines.extend(named.map(|defect| format!("wrong: {defect}")));
        let more = defects.more() + unnamed as u64;
        if more > 0 {
            lines.push(format!("wrong: {more} more"));
        }
        lines.push(if self.is_whole() { "whole" } else { "damaged" }.to_owned());
        lines
    }

    fn form(&self) -> Form {
        let verified = self.verified.as_ref();
        let summary = verified.map(|it| it.summary.clone()).unwrap_or_default();
        let head = verified.and_then(|it| it.head);
        let ends = |end: fn(&std::ops::RangeInclusive<u64>) -> u64| {
            summary.range.as_ref().map_or(0, end).into()
        };
        let missing = summary.missing.iter().map(|lost| {
            Value::Object(Some(vec![
                ("first", (*lost.start()).into()),
                ("last", (*lost.end()).into()),
            ]))
        });
        let defects = verified.map_or(&[][..], |it| it.defects.kept());
        let defects: Vec<String> = defects.iter().map(ToString::to_string).collect();
        let fields = vec![
            ("file", (&self.file).into()),
            ("is_whole", self.is_whole().into()),
            ("journal_id", head.map_or(Value::Null, |it| (&uuid_text(it.identity.journal)).into())),
            ("records", summary.records.into()),
            ("first_record", ends(|range| *range.start())),
            ("last_record", ends(|range| *range.end())),
            ("checkpoint_record", verified.and_then(|it| it.checkpoint).unwrap_or(0).into()),
            ("bytes", summary.bytes.into()),
            ("missing", Value::List(missing.collect())),
            ("defects", (&defects).into()),
        ];
        Form { entity: "backup", name: self.file.clone(), fields }
    }
}
