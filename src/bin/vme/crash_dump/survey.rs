//! Lists the crash dumps in a folder.
//!
//! ```text
//! DIR/STAMP/dump.STAMP, dmesg.STAMP      Debian
//! DIR/HOST-DATE/vmcore, vmcore-dmesg.txt RHEL
//! DIR/vmcore                             flat
//! ```
//!
//! Guarantees a bounded number of folders and dumps, the newest ones by their names. Does not know
//! which dumps are new.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use grid_broker::grid::values::time::Timestamp;
use grid_broker::system_error::Explained;
use uuid::{Uuid, uuid};

use crate::crash_dump::last_words;
use crate::crash_dump::layout;
use crate::crash_dump::layout::FileRole;
use crate::crash_dump::open_folder::{FileState, OpenFolder};

/// Names of folders and dumps in the folder that are considered.
const NAMES_KEPT: usize = 4_096;

/// Folders of one crash each that are looked into.
const FOLDERS_MAX: usize = 256;

/// Files in one of them that are looked at.
const FILES_MAX: usize = 64;

/// Dumps that are listed.
const DUMPS_MAX: usize = 256;

/// A longer time between the first file and the dump is no writing.
const WRITING_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Random, used for the keys of dumps only.
const NAMESPACE: Uuid = uuid!("9d7f4a86-3c7e-4c0b-8a52-6e1f0d5b9c33");

/// A crash dump in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DumpFile {
    /// The folder of one crash below the folder; `None`: the folder itself.
    folder: Option<OsString>,
    pub(super) path: PathBuf,
    pub(super) state: FileState,
    pub(super) is_incomplete: bool,
    /// How long its writing took, if the time of an earlier file of its crash is known.
    pub(super) took: Option<Duration>,
    /// The name of the kernel's log beside it.
    log: Option<OsString>,
}

impl DumpFile {
    /// Identifies it as it is now: a dump that changes is another one.
    pub(super) fn key(&self) -> Uuid {
        let mut identity = self.path.as_os_str().as_bytes().to_vec();
        identity.push(0);
        identity.extend(self.state.bytes.to_le_bytes());
        identity.extend(self.state.modified.as_micros().to_le_bytes());
        identity.push(u8::from(self.is_incomplete));
        Uuid::new_v5(&NAMESPACE, &identity)
    }

    /// The last words in the log beside it; empty: there are none.
    pub(super) fn last_words(&self, folder: &OpenFolder) -> io::Result<String> {
        let Some(log) = &self.log else { return Ok(String::new()) };
        let below;
        let folder = match &self.folder {
            None => folder,
            Some(name) => match folder.open_below(name)? {
                None => return Ok(String::new()),
                Some(opened) => {
                    below = opened;
                    &below
                }
            },
        };
        match folder.open_file(log)? {
            Some(mut log) => last_words::read(&mut log),
            None => Ok(String::new()),
        }
    }
}

/// What is in a folder.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The dumps, the oldest first.
    pub(super) dumps: Vec<DumpFile>,
    /// What could not be read, or is too much, a sentence each.
    pub(super) problems: Vec<String>,
}

/// The files of one crash.
type CrashFiles = Vec<(OsString, FileRole, FileState)>;

impl Survey {
    /// Of that folder.
    pub(super) fn of(folder: &OpenFolder) -> io::Result<Self> {
        let mut survey = Self::default();
        let is_wanted = |name: &OsStr, may_be_folder| {
            may_be_folder || layout::role(name.as_bytes()) != FileRole::Other
        };
        let names = folder.names(NAMES_KEPT, is_wanted)?;
        let mut is_cut = names.is_cut;
        let flat = files_of(folder, names.kept.iter())?;
        survey.add_dumps(folder, None, &flat);
        let mut folder_count = 0;
        for name in names.kept.iter().rev() {
            if folder_count == FOLDERS_MAX {
                is_cut = true;
                break;
            }
            match survey.look_into(folder, name) {
                Ok(is_folder) => folder_count += usize::from(is_folder),
                Err(error) => {
                    let path = folder.path().join(name);
                    let error = Explained(&error);
                    survey.problems.push(format!("cannot read {}: {error}", path.display()));
                }
            }
        }
        survey.dumps.sort_by(|one, other| one.order().cmp(&other.order()));
        if survey.dumps.len() > DUMPS_MAX {
            is_cut = true;
            survey.dumps.drain(..survey.dumps.len() - DUMPS_MAX);
        }
        if is_cut {
            survey.problems.push(format!(
                "{} has more than is looked at: remove old crash dumps",
                folder.path().display()
            ));
        }
        Ok(survey)
    }

    /// Adds the dumps in the folder of one crash. False: it is no folder.
    fn look_into(&mut self, folder: &OpenFolder, name: &OsStr) -> io::Result<bool> {
        let Some(crash) = folder.open_below(name)? else { return Ok(false) };
        let is_wanted = |name: &OsStr, _| !name.is_empty();
        let names = crash.names(FILES_MAX, is_wanted)?;
        let files = files_of(&crash, names.kept.iter())?;
        self.add_dumps(&crash, Some(name), &files);
        Ok(true)
    }

    /// An incomplete dump counts only beside no complete one.
    fn add_dumps(&mut self, folder: &OpenFolder, name: Option<&OsStr>, files: &CrashFiles) {
        let is_complete = |(_, role, state): &&(OsString, FileRole, FileState)| {
            *role == FileRole::Dump && state.bytes > 0
        };
        let has_complete = files.iter().any(|file| is_complete(&file));
        let begun = name.and_then(|_| files.iter().map(|(_, _, state)| state.modified).min());
        for file @ (file_name, role, state) in files {
            let is_incomplete = match role {
                FileRole::Dump => !is_complete(&file),
                FileRole::Incomplete => true,
                FileRole::KernelLog | FileRole::Other => continue,
            };
            if is_incomplete && has_complete && name.is_some() {
                continue;
            }
            let took = begun.map(|begun| state.modified.since(begun));
            self.dumps.push(DumpFile {
                folder: name.map(OsStr::to_owned),
                path: folder.path().join(file_name),
                state: *state,
                is_incomplete,
                took: took.filter(|took| !took.is_zero() && *took < WRITING_MAX),
                log: log_of(file_name, name.is_some(), files),
            });
        }
    }
}

impl DumpFile {
    fn order(&self) -> (Timestamp, &PathBuf) {
        (self.state.modified, &self.path)
    }
}

fn files_of<'a>(
    folder: &OpenFolder,
    names: impl Iterator<Item = &'a OsString>,
) -> io::Result<CrashFiles> {
    let mut files = Vec::new();
    for name in names {
        if let Some(state) = folder.state(name)? {
            files.push((name.clone(), layout::role(name.as_bytes()), state));
        }
    }
    Ok(files)
}

/// The kernel's log of the same crash: with the same stamp, else the last one of the crash's folder.
fn log_of(dump: &OsStr, is_own_folder: bool, files: &CrashFiles) -> Option<OsString> {
    let logs = files.iter().filter(|(_, role, _)| *role == FileRole::KernelLog);
    let logs: Vec<&OsString> = logs.map(|(name, _, _)| name).collect();
    let stamp = layout::stamp(dump.as_bytes());
    let same = logs.iter().find(|log| !stamp.is_empty() && layout::stamp(log.as_bytes()) == stamp);
    let last = logs.last().filter(|_| is_own_folder || dump == "vmcore");
    same.or(last).map(|log| (*log).clone())
}
