//! `gridd journal check|salvage|restore`: what can be done for data that no broker is at work on.
//!
//! Guarantees that findings go to standard output, progress and failures to standard error, and an
//! exit code that says whether all is well, and if not whether the journal is damaged, in use, not there
//! or out of reach. Knows neither blocks nor files of the journal.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessExit;

use grid_broker::exit_code::ExitCode;
use grid_broker::journal::JournalError;
use grid_broker::journal::rescue::{
    self, CheckReport, RestoreError, Restored, SalvageError, Salvaged,
};
use grid_broker::journal::stream::{AtomicFile, FileError};
use grid_broker::show::size;
use grid_broker::stdout;

use crate::arguments::OfflineJournalCommand;

/// Ranges of missing records that are named; the rest is counted.
const RANGES_SHOWN: usize = 20;

/// Does it.
pub(crate) fn run(command: &OfflineJournalCommand, data: &Path) -> ProcessExit {
    let done = match command {
        OfflineJournalCommand::Check => check(data),
        OfflineJournalCommand::Salvage { file, force } => salvage(data, file, *force),
        OfflineJournalCommand::Restore { file } => restore(file, data),
    };
    match done {
        Ok((words, is_whole)) => {
            let code = if is_whole { ExitCode::Done } else { ExitCode::Damaged };
            stdout::finish("gridd", stdout::write(&format!("{words}\n")), code).into()
        }
        Err((words, code)) => super::fail(&words, code),
    }
}

/// What to print and whether all is well, or why nothing was done.
type CommandOutcome = Result<(String, bool), (String, ExitCode)>;

fn failed(error: &dyn std::error::Error, code: ExitCode) -> (String, ExitCode) {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !words.contains(&text) {
            words.push_str(&format!(": {text}"));
        }
        cause = next.source();
    }
    (words, code)
}

fn check(data: &Path) -> CommandOutcome {
    let mut progress = RestoreProgress::new();
    let report = rescue::check(data, |path| progress.show(&path.display()));
    progress.clear();
    let report = report.map_err(|error| failed(&error, code_of(&error)))?;
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
        "whole: {} of the commit log, {}, {}{}",
        size::format_count(report.commit_blocks, "block"),
        size::format_count(report.sealed_segments, "sealed span"),
        size::format_count(checkpoints.len() as u64, "checkpoint"),
        if checkpoints.is_empty() {
            String::new()
        } else {
            format!(" (after record {})", checkpoints.join(" and "))
        }
    ));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.extend(report.findings.retained().iter().map(|finding| format!("wrong: {finding}")));
    if report.findings.omitted() > 0 {
        lines.push(format!("wrong: {} more of the kind", report.findings.omitted()));
    }
    lines.push(if report.is_sound() { "sound".to_owned() } else { "damaged".to_owned() });
    lines.join("\n")
}

fn salvage(data: &Path, path: &Path, force: bool) -> CommandOutcome {
    let mut progress = RestoreProgress::new();
    let partial = path.with_added_extension("partial");
    let except: Vec<PathBuf> = [path, &partial].map(Path::to_owned).into();
    let file = AtomicFile::create(path, force).map_err(|error| match &error {
        FileError::Exists { .. } => failed(&error, ExitCode::Usage),
        FileError::Io { .. } => failed(&error, ExitCode::Failed),
    })?;
    let out = BufWriter::new(file);
    let saved = rescue::salvage(data, &except, |path| progress.show(&path.display()), out);
    progress.clear();
    let (out, salvaged) = saved.map_err(|error| {
        let code = match &error {
            SalvageError::Journal(error) => code_of(error),
            SalvageError::Write(_) | SalvageError::Newer { .. } => ExitCode::Failed,
        };
        failed(&error, code)
    })?;
    let file = out.into_inner().map_err(|error| failed(error.error(), ExitCode::Failed))?;
    file.finish().map_err(|error| failed(&error, ExitCode::Failed))?;
    Ok((describe_saved(path, &salvaged), salvaged.is_whole()))
}

/// The exit code for a folder that can't be looked at.
fn code_of(error: &JournalError) -> ExitCode {
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

fn describe_saved(path: &Path, salvaged: &Salvaged) -> String {
    let Salvaged { head, written, missing, unreadable, foreign, identity_lost } = salvaged;
    let mut lines = vec![format!(
        "{}: {} of journal {}, {}",
        path.display(),
        size::format_count(written.records, "record"),
        head.identity.journal,
        size::format_bytes(written.bytes)
    )];
    lines.push(describe_state(head.checkpoint));
    if *identity_lost {
        lines.push("the folder does not say whose it is: the broker gets a new id".to_owned());
    }
    if *unreadable > 0 {
        lines
            .push(format!("{} of records make no sense", size::format_count(*unreadable, "block")));
    }
    if *foreign > 0 {
        lines.push(format!("{} of other journals left out", size::format_count(*foreign, "block")));
    }
    lines.extend(describe_missing(missing));
    lines.join("\n")
}

fn describe_state(checkpoint: Option<u64>) -> String {
    match checkpoint {
        Some(through) => format!("with the state after record {through}"),
        None => "without a checkpoint: the state is that of the records alone".to_owned(),
    }
}

fn describe_missing(missing: &[RangeInclusive<u64>]) -> Vec<String> {
    let told = missing.iter().take(RANGES_SHOWN);
    let mut lines: Vec<_> = told
        .map(|range| match range.end() - range.start() {
            0 => format!("missing: record {}", range.start()),
            _ => format!("missing: records {} to {}", range.start(), range.end()),
        })
        .collect();
    if missing.len() > RANGES_SHOWN {
        lines.push(format!("missing: {} more ranges", missing.len() - RANGES_SHOWN));
    }
    lines
}

fn restore(path: &Path, data: &Path) -> CommandOutcome {
    let mut progress = RestoreProgress::new();
    let restored =
        rescue::restore(path, data, |last| progress.show(&format_args!("record {last}")));
    progress.clear();
    let restored = restored.map_err(|error| {
        let code = match &error {
            RestoreError::NotEmpty { .. } | RestoreError::Stream { .. } => ExitCode::Usage,
            RestoreError::Journal(error) => code_of(error),
        };
        failed(&error, code)
    })?;
    Ok((describe_restored(path, data, &restored), restored.is_whole()))
}

fn describe_restored(path: &Path, data: &Path, restored: &Restored) -> String {
    let Restored {
        identity,
        has_new_broker_id: is_broker_new,
        summary,
        defects: faults,
        checkpoint,
        checkpoint_lost,
    } = restored;
    let mut lines = vec![format!(
        "{}: {} of journal {}",
        data.display(),
        size::format_count(summary.records, "record"),
        identity.journal
    )];
    lines.push(match checkpoint_lost {
        Some(reason) => format!("{}; the one in the stream: {reason}", describe_state(None)),
        None => describe_state(*checkpoint),
    });
    if *is_broker_new {
        lines.push(
            "the stream does not say any more which broker it is: it got a new id".to_owned(),
        );
    }
    let wrong = faults.retained().iter().map(|fault| format!("wrong: {}: {fault}", path.display()));
    lines.extend(wrong);
    if faults.omitted() > 0 {
        lines.push(format!("wrong: {} more of the kind", faults.omitted()));
    }
    lines.extend(describe_missing(&summary.missing));
    lines.push(format!("next: gridd --data {}", data.display()));
    lines.join("\n")
}

/// A line that says where it is, if somebody watches.
struct RestoreProgress {
    is_watched: bool,
}

impl RestoreProgress {
    fn new() -> Self {
        Self { is_watched: io::stderr().is_terminal() }
    }

    fn show(&mut self, what: &dyn Display) {
        if self.is_watched {
            let _ = write!(io::stderr(), "\r\x1b[K{what}");
        }
    }

    fn clear(&self) {
        if self.is_watched {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
