//! Finds crash dumps that the broker does not know.
//!
//! Guarantees that a dump is reported when it is written to its end or has stopped growing, each once, some
//! at a time, and that a problem is reported once. Dumps that are older than this boot are not reported when
//! nothing was ever reported: only the one before this boot is news. Blocks: it reads disks. Does not
//! know how dumps are reported.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grid_broker::grid::values::time::Timestamp;
use grid_broker::system_error::Explained;
use tokio::time::Instant;
use uuid::Uuid;

use crate::crash_dump::open_folder::{OpenFolder, TrustedOwners};
use crate::crash_dump::reported_dumps::ReportedDumps;
use crate::crash_dump::survey::{DumpFile, Survey};

/// How often the folder is looked at: kdump, or a script after the boot, may still move files.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// The same while a dump may still be written.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// An incomplete dump that did not change for this long in this boot stays incomplete.
const INCOMPLETE_FOR: Duration = Duration::from_secs(60);

/// Dumps that one look tells; others follow.
const REPORTED_PER_LOOK_MAX: usize = 16;

/// Problems that are remembered, so that each is reported once.
const PROBLEMS_KEPT: usize = 64;

/// At the first start: how long before this boot the dump before it may have been written.
const BEFORE_BOOT_MAX: Duration = Duration::from_secs(3_600);

/// Looks for crash dumps.
#[derive(Debug)]
pub(super) struct Finder {
    path: PathBuf,
    /// A folder that was given is missed.
    is_given: bool,
    trusted: TrustedOwners,
    state_folder: PathBuf,
    /// When the kernel started, by the wall clock.
    boot_began: Timestamp,
    /// `None`: not read yet.
    reported: Option<ReportedDumps>,
    /// The dumps at the last look.
    present: BTreeSet<Uuid>,
    /// Since when dumps of this boot have not changed.
    unchanged: BTreeMap<Uuid, Instant>,
    problems: BTreeSet<String>,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Dumps to tell, the oldest first, with the kernel's last words.
    pub(super) news: Vec<(DumpFile, String)>,
    /// Lines for people.
    pub(super) lines: Vec<String>,
    /// When to look again.
    pub(super) pause: Duration,
}

impl Finder {
    /// Of dumps in `folder`; what was reported is remembered in `state_folder`.
    pub(super) fn new(
        (folder, is_given): (PathBuf, bool),
        state_folder: &Path,
        trusted: TrustedOwners,
        boot_began: Timestamp,
    ) -> Self {
        Self {
            path: folder,
            is_given,
            trusted,
            state_folder: state_folder.to_owned(),
            boot_began,
            reported: None,
            present: BTreeSet::new(),
            unchanged: BTreeMap::new(),
            problems: BTreeSet::new(),
        }
    }

    /// Looks at the folder.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        let mut look = Look { pause: LOOK_INTERVAL, ..Look::default() };
        let mut problems = Vec::new();
        match OpenFolder::open(&self.path, self.trusted) {
            Ok(folder) => match Survey::of(&folder) {
                Ok(survey) => {
                    problems.extend(survey.problems);
                    self.pick(&folder, survey.dumps, now, (&mut look, &mut problems));
                }
                Err(error) => problems.push(self.unreadable(&error)),
            },
            Err(error) => {
                let is_missing = error.kind() == io::ErrorKind::NotFound;
                if self.is_given || !is_missing {
                    problems.push(self.unreadable(&error));
                }
                // The first dump that is there is news.
                if is_missing {
                    self.load_reported(&[], &mut problems);
                }
            }
        }
        problems.extend(self.save());
        look.lines.extend(problems.into_iter().filter(|problem| self.is_new_problem(problem)));
        look
    }

    /// The broker or the spool has it.
    pub(super) fn note_reported(&mut self, dump: &DumpFile) {
        if let Some(reported) = &mut self.reported {
            let note = format!("{}, {} bytes", dump.path.display(), dump.state.bytes);
            reported.insert(dump.key(), &note);
        }
    }

    /// Remembers what was reported; returns why it cannot. Until then this process knows it.
    pub(super) fn save(&mut self) -> Option<String> {
        let error = self.reported.as_mut()?.save(&self.present).err()?;
        Some(format!("which crash dumps were reported is not remembered: {error}"))
    }

    /// Whether a problem has not been reported yet.
    pub(super) fn is_new_problem(&mut self, problem: &str) -> bool {
        self.problems.len() < PROBLEMS_KEPT && self.problems.insert(problem.to_owned())
    }

    /// Picks what is to be reported now.
    fn pick(
        &mut self,
        folder: &OpenFolder,
        dumps: Vec<DumpFile>,
        now: Instant,
        (look, problems): (&mut Look, &mut Vec<String>),
    ) {
        self.load_reported(&dumps, problems);
        self.present = dumps.iter().map(DumpFile::key).collect();
        let mut unchanged = BTreeMap::new();
        for dump in &dumps {
            let key = dump.key();
            if self.reported.as_ref().is_some_and(|reported| reported.contains(key)) {
                continue;
            }
            let since = *self.unchanged.get(&key).unwrap_or(&now);
            unchanged.insert(key, since);
            let waits = if dump.is_incomplete { INCOMPLETE_FOR } else { SETTLE_INTERVAL };
            // Nobody but this boot may still write to it.
            let is_settled = dump.state.modified <= self.boot_began
                || now.saturating_duration_since(since) >= waits;
            if !is_settled {
                look.pause = look.pause.min(waits);
            } else if look.news.len() == REPORTED_PER_LOOK_MAX {
                look.pause = SETTLE_INTERVAL;
                break;
            } else {
                let words = dump.last_words(folder).unwrap_or_else(|error| {
                    let (path, error) = (dump.path.display(), Explained(&error));
                    problems.push(format!("cannot read the kernel's log beside {path}: {error}"));
                    String::new()
                });
                look.news.push((dump.clone(), words));
            }
        }
        self.unchanged = unchanged;
    }

    /// Reads what was reported. Where nothing ever was, old dumps count as reported.
    fn load_reported(&mut self, dumps: &[DumpFile], problems: &mut Vec<String>) {
        if self.reported.is_some() {
            return;
        }
        let loaded = ReportedDumps::load(&self.state_folder).unwrap_or_else(|error| {
            problems.push(format!(
                "cannot read which crash dumps were reported, in {}: {}",
                self.state_folder.display(),
                Explained(&error)
            ));
            None
        });
        let is_first = loaded.is_none();
        self.reported = Some(loaded.unwrap_or_else(|| ReportedDumps::none(&self.state_folder)));
        let from = self.boot_began.before(BEFORE_BOOT_MAX);
        let old: Vec<_> =
            dumps.iter().filter(|it| is_first && it.state.modified < from).cloned().collect();
        if !old.is_empty() {
            let (count, path) = (old.len(), self.path.display());
            let what = if count == 1 { "crash dump in" } else { "crash dumps in" };
            problems
                .push(format!("not reported, since older than this boot: {count} {what} {path}"));
        }
        old.iter().for_each(|dump| self.note_reported(dump));
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("cannot look for crash dumps in {}: {}", self.path.display(), Explained(error))
    }
}
