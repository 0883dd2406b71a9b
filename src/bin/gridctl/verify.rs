//! `gridctl journal verify`: verifies that a backup is intact, without restoring it.
//!
//! Guarantees that it writes nothing, and that defects are printed before it fails. Needs no
//! broker. Does not know the content of records.

use std::io::Write;
use std::path::Path;

use grid_broker::contract::encode_uuid;
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::identity::ca_backup;
use grid_broker::journal::rescue::{self, Verified};
use grid_broker::journal::stream::StreamSummary;
use grid_broker::show::count::format_count;

use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};

/// Maximum number of missing ranges and of defects that are listed; the rest is counted.
const LISTED_MAX: usize = 20;

/// Verifies the backup in `file`, and prints its content.
pub(crate) fn run(file: &Path, look: &OutputOptions, out: &mut dyn Write) -> Result<(), CliError> {
    let verified = rescue::verify(file, |_| {});
    let verified = verified.map_err(|source| CliError::Verify { path: file.to_owned(), source })?;
    let backup = VerifiedBackup { file: file.display().to_string(), verified: Some(verified) };
    if look.format.is_human_readable() {
        let lines = if look.is_quiet { Vec::new() } else { backup.lines() };
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    } else {
        let shape = ItemView {
            columns: &[],
            cells: |_, _| Vec::new(),
            to_object: VerifiedBackup::to_object,
        };
        ListWriter::write_one(out, look, shape, &backup)?;
    }
    if backup.is_intact() { Ok(()) } else { Err(CliError::DamagedBackup { path: file.to_owned() }) }
}

/// A backup after verification.
#[derive(Debug, Default)]
struct VerifiedBackup {
    file: String,
    verified: Option<Verified>,
}

impl VerifiedBackup {
    fn is_intact(&self) -> bool {
        self.verified.as_ref().is_some_and(Verified::is_intact)
    }

    fn lines(&self) -> Vec<String> {
        let Some(Verified { head, summary, checkpoint, enrolled_keys, defects }) = &self.verified
        else {
            return Vec::new();
        };
        let mut first = format!("{}: {}", self.file, format_count(summary.records, "record"));
        if let Some(range) = &summary.range {
            first.push_str(&format!(" ({} to {})", range.start(), range.end()));
        }
        match checkpoint {
            Some(through) => first.push_str(&format!(", the state after record {through}")),
            None => first.push_str(", no checkpoint"),
        }
        first.push_str(&format!(", {}", describe_bytes(summary.bytes)));
        if let Some(head) = head {
            first.push_str(&format!("; journal {}", head.identity.journal));
        }
        let mut lines = vec![first];
        let missing = summary.missing.iter().take(LISTED_MAX);
        lines.extend(
            missing.map(|lost| {
                format!("not in the backup: records {} to {}", lost.start(), lost.end())
            }),
        );
        if summary.missing.len() > LISTED_MAX {
            let more = summary.missing.len() - LISTED_MAX;
            lines.push(format!("not in the backup: {more} more ranges"));
        }
        lines.extend(ca_backup::secret_note(&self.file, names_of(summary)));
        lines.extend(ca_backup::lost_note(*enrolled_keys, names_of(summary)));
        let listed = defects.retained().iter().take(LISTED_MAX);
        let unlisted = defects.retained().len() - listed.len();
        lines.extend(listed.map(|defect| format!("defect: {defect}")));
        let more = defects.omitted() + unlisted as u64;
        if more > 0 {
            lines.push(format!("defect: {more} more"));
        }
        lines.push(if self.is_intact() { "intact" } else { "damaged" }.to_owned());
        lines
    }

    fn to_object(&self) -> OutputObject {
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
            ("is_intact", self.is_intact().into()),
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
            ("has_ca_key", ca_backup::has_private_key(names_of(&summary)).into()),
            ("enrolled_keys", (verified.map_or(0, |it| it.enrolled_keys) as u64).into()),
            ("defects", (&defects).into()),
        ];
        OutputObject { kind: "backup", name: self.file.clone(), fields }
    }
}

/// The names of the attachments.
fn names_of(summary: &StreamSummary) -> impl Iterator<Item = &str> {
    summary.attachments.iter().map(|name| name.as_str())
}
