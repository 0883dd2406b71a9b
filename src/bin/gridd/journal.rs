//! `gridd journal check|salvage|restore`: checks and recovers the data of a stopped broker.
//!
//! Guarantees that findings go to standard output, progress and errors to standard error, and that
//! the exit code tells success from a journal that is damaged, in use, absent or unreadable. Knows
//! neither blocks nor files of the journal.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessExit;

use grid_broker::exit_code::ExitCode;
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::identity::ca_backup::{self, AuthorityFiles};
use grid_broker::journal::JournalError;
use grid_broker::journal::rescue::{
    self, CheckReport, RestoreError, Restored, SalvageError, Salvaged,
};
use grid_broker::journal::stream::{AtomicFile, Attachment, FileError, StreamSummary};
use grid_broker::show::count::format_count;
use grid_broker::stdout;

use crate::arguments::GriddJournalCommand;

/// Maximum number of ranges of missing records that are listed; the rest is counted.
const RANGES_LISTED_MAX: usize = 20;

/// Runs the command.
pub(crate) fn run(command: &GriddJournalCommand, data: &Path) -> ProcessExit {
    let done = match command {
        GriddJournalCommand::Check => check(data),
        GriddJournalCommand::Salvage { file, force } => salvage(data, file, *force),
        GriddJournalCommand::Restore { file } => restore(file, data),
    };
    match done {
        Ok((text, is_intact)) => {
            let code = if is_intact { ExitCode::Done } else { ExitCode::Damaged };
            stdout::finish("gridd", stdout::write(&format!("{text}\n")), code).into()
        }
        Err((text, code)) => super::fail(&text, code),
    }
}

/// The text to print and whether the journal is intact, or an error with its exit code.
type CommandOutcome = Result<(String, bool), (String, ExitCode)>;

fn with_causes(error: &dyn std::error::Error, code: ExitCode) -> (String, ExitCode) {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !message.contains(&text) {
            message.push_str(&format!(": {text}"));
        }
        cause = next.source();
    }
    (message, code)
}

fn check(data: &Path) -> CommandOutcome {
    let mut progress = RescueProgressLine::new();
    let report = rescue::check(data, |path| progress.update(&path.display()));
    progress.clear();
    let report = report.map_err(|error| with_causes(&error, exit_code_of(&error)))?;
    Ok((report_text(data, &report), report.is_sound()))
}

fn report_text(data: &Path, report: &CheckReport) -> String {
    let mut lines = Vec::new();
    if let Some(identity) = report.identity {
        lines.push(format!("journal {} in {}", identity.journal, data.display()));
    }
    lines.push(match &report.records {
        Some(range) => format!("records {} to {}", range.start(), range.end()),
        None => "no records".to_owned(),
    });
    let checkpoints: Vec<_> = report.checkpoints.iter().map(ToString::to_string).collect();
    lines.push(format!(
        "intact: {} of the commit log, {}, {}{}",
        format_count(report.commit_blocks, "block"),
        format_count(report.sealed_segments, "sealed segment"),
        format_count(checkpoints.len() as u64, "checkpoint"),
        if checkpoints.is_empty() {
            String::new()
        } else {
            format!(" (after record {})", checkpoints.join(" and "))
        }
    ));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.extend(report.findings.retained().iter().map(|finding| format!("defect: {finding}")));
    if report.findings.omitted() > 0 {
        lines.push(format!("defect: {} more", report.findings.omitted()));
    }
    lines.push(if report.is_sound() { "intact".to_owned() } else { "damaged".to_owned() });
    lines.join("\n")
}

fn salvage(data: &Path, path: &Path, force: bool) -> CommandOutcome {
    let mut progress = RescueProgressLine::new();
    let partial = path.with_added_extension("partial");
    let except: Vec<PathBuf> = [path, &partial].map(Path::to_owned).into();
    let file = AtomicFile::create(path, force).map_err(|error| match &error {
        FileError::Exists { .. } => with_causes(&error, ExitCode::Usage),
        FileError::Io { .. } => with_causes(&error, ExitCode::Failed),
    })?;
    let out = BufWriter::new(file);
    let (attachments, lost) = read_authority(data);
    let on_file = |path: &Path| progress.update(&path.display());
    let saved = rescue::salvage(data, &except, &attachments, on_file, out);
    progress.clear();
    let (out, salvaged) = saved.map_err(|error| {
        let code = match &error {
            SalvageError::Journal(error) => exit_code_of(error),
            SalvageError::Write(_) | SalvageError::Newer { .. } => ExitCode::Failed,
        };
        with_causes(&error, code)
    })?;
    let file = out.into_inner().map_err(|error| with_causes(error.error(), ExitCode::Failed))?;
    file.finish().map_err(|error| with_causes(&error, ExitCode::Failed))?;
    let mut text = describe_salvage(path, &salvaged);
    for reason in &lost {
        text.push_str(&format!("\ndefect: {reason}"));
    }
    let names = attachments.iter().map(|it| it.name().as_str());
    if let Some(note) = ca_backup::secret_note(&path.display(), names) {
        text.push_str(&format!("\n{note}"));
    }
    Ok((text, salvaged.is_intact() && lost.is_empty()))
}

/// The files of the broker's CA, as far as they can be read, and the defects of the others.
fn read_authority(data: &Path) -> (Vec<Attachment>, Vec<String>) {
    let AuthorityFiles { files, defect } = ca_backup::read(data);
    let mut lost: Vec<String> = defect.iter().map(ToString::to_string).collect();
    let mut attachments = Vec::new();
    for (name, content) in files {
        match Attachment::new(&name, content) {
            Ok(attachment) => attachments.push(attachment),
            Err(error) => lost.push(error.to_string()),
        }
    }
    (attachments, lost)
}

/// The exit code for a folder that cannot be checked.
fn exit_code_of(error: &JournalError) -> ExitCode {
    match error {
        JournalError::NoJournal { .. } => ExitCode::NotFound,
        JournalError::BrokerRunning { .. } | JournalError::InUse { .. } => ExitCode::Unavailable,
        JournalError::UnfinishedRestore { .. } | JournalError::ForeignFiles { .. } => {
            ExitCode::Usage
        }
        JournalError::Io { .. }
        | JournalError::NewerFormat { .. }
        | JournalError::NewerBlock { .. }
        | JournalError::Identity { .. }
        | JournalError::Damaged { .. }
        | JournalError::Unreadable { .. }
        | JournalError::Archive { .. }
        | JournalError::RecordTooLarge { .. }
        | JournalError::SyncFailed { .. }
        | JournalError::Closed { .. } => ExitCode::Failed,
    }
}

fn describe_salvage(path: &Path, salvaged: &Salvaged) -> String {
    let Salvaged { head, written, missing, unreadable, foreign, identity_lost } = salvaged;
    let mut lines = vec![format!(
        "{}: {} of journal {}, {}",
        path.display(),
        format_count(written.records, "record"),
        head.identity.journal,
        describe_bytes(written.bytes)
    )];
    lines.push(describe_checkpoint(head.checkpoint));
    if *identity_lost {
        lines.push("the folder has no readable identity: the broker gets a new id".to_owned());
    }
    if *unreadable > 0 {
        lines.push(format!("{} of records cannot be decoded", format_count(*unreadable, "block")));
    }
    if *foreign > 0 {
        lines.push(format!("{} of other journals left out", format_count(*foreign, "block")));
    }
    lines.extend(describe_missing(missing));
    lines.join("\n")
}

fn describe_checkpoint(checkpoint: Option<u64>) -> String {
    match checkpoint {
        Some(through) => format!("with the state after record {through}"),
        None => "without a checkpoint: the state is rebuilt from the records".to_owned(),
    }
}

fn describe_missing(missing: &[RangeInclusive<u64>]) -> Vec<String> {
    let listed = missing.iter().take(RANGES_LISTED_MAX);
    let mut lines: Vec<_> = listed
        .map(|range| match range.end() - range.start() {
            0 => format!("missing: record {}", range.start()),
            _ => format!("missing: records {} to {}", range.start(), range.end()),
        })
        .collect();
    if missing.len() > RANGES_LISTED_MAX {
        lines.push(format!("missing: {} more ranges", missing.len() - RANGES_LISTED_MAX));
    }
    lines
}

fn restore(path: &Path, data: &Path) -> CommandOutcome {
    let mut progress = RescueProgressLine::new();
    let restored =
        rescue::restore(path, data, |last| progress.update(&format_args!("record {last}")));
    progress.clear();
    let restored = restored.map_err(|error| {
        let code = match &error {
            RestoreError::NotEmpty { .. } | RestoreError::Stream { .. } => ExitCode::Usage,
            RestoreError::Journal(error) => exit_code_of(error),
        };
        with_causes(&error, code)
    })?;
    Ok((describe_restore(path, data, &restored), restored.is_intact()))
}

fn describe_restore(path: &Path, data: &Path, restored: &Restored) -> String {
    let Restored {
        identity,
        has_new_broker_id,
        summary,
        defects: faults,
        checkpoint,
        checkpoint_lost,
        enrolled_keys,
    } = restored;
    let mut lines = vec![format!(
        "{}: {} of journal {}",
        data.display(),
        format_count(summary.records, "record"),
        identity.journal
    )];
    lines.push(match checkpoint_lost {
        Some(reason) => format!("{}; that of the file: {reason}", describe_checkpoint(None)),
        None => describe_checkpoint(*checkpoint),
    });
    if *has_new_broker_id {
        lines.push("the file has no identity of the broker: it got a new id".to_owned());
    }
    let defects =
        faults.retained().iter().map(|fault| format!("defect: {}: {fault}", path.display()));
    lines.extend(defects);
    if faults.omitted() > 0 {
        lines.push(format!("defect: {} more", faults.omitted()));
    }
    lines.extend(describe_missing(&summary.missing));
    lines.extend(ca_backup::secret_note(&path.display(), names_of(summary)));
    lines.extend(ca_backup::lost_note(*enrolled_keys, names_of(summary)));
    lines.push(format!("next: gridd --data {}", data.display()));
    lines.join("\n")
}

/// The names of the attachments.
fn names_of(summary: &StreamSummary) -> impl Iterator<Item = &str> {
    summary.attachments.iter().map(|name| name.as_str())
}

/// The progress line, if stderr is a terminal.
struct RescueProgressLine {
    is_terminal: bool,
}

impl RescueProgressLine {
    fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    fn update(&mut self, what: &dyn Display) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K{what}");
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
