//! Makes a data folder of a stream.
//!
//! Built in the subfolder `restoring` and moved out when all of it is on the disk, so that a
//! broker never starts on a half. Journal and broker keep their ids; the term is above the
//! stream's, so that what is written from now on is told apart from what the old folder went on
//! to write. Guarantees that every whole record of the stream is in the folder, damage or not. It
//! does not know what a record says.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::journal::checkpoint::{self, CheckpointDecoder};
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, FrameError};
use crate::journal::identity::{self, Identity};
use crate::journal::record::EncodedRecord;
use crate::journal::recovery::{ARCHIVE, CHECKPOINTS, COMMITS, IDENTITY, RESTORING};
use crate::journal::rescue::findings::Findings;
use crate::journal::stream::{StreamDefect, StreamError, StreamItem, StreamReader, StreamSummary};
use crate::journal::{Journal, JournalSettings, OpenJournal, disk};

/// A commit of the restored journal has at least so many bytes, if there are as many.
const COMMIT_BYTES: usize = 4 << 20;
/// Each commit gets a file of its own size: a stream with many holes makes many files.
const FILE_BYTES: u64 = 64 << 10;
/// The archiver may be so many records behind: what waits lies unpacked in the commit log.
const LAG_MAX: u64 = 500_000;
const LAG_POLL: Duration = Duration::from_millis(2);

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error("{} is not empty: give a new folder, or move away what is in it", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The stream can't be read.
    #[error("{}: {source}", path.display())]
    Stream {
        /// The stream.
        path: PathBuf,
        /// What is wrong with it.
        source: StreamError,
    },
    /// The folder can't be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// Whose journal it is.
    pub identity: Identity,
    /// The broker's id was not in the stream any more: it got a new one.
    pub has_new_broker_id: bool,
    /// What of the stream was whole.
    pub summary: StreamSummary,
    /// What was not.
    pub defects: Findings<StreamDefect>,
    /// The number that the restored state goes to.
    pub checkpoint: Option<u64>,
    /// Why the state in the stream was not restored.
    pub checkpoint_lost: Option<FrameError>,
}

impl Restored {
    /// Whether the stream was whole.
    pub fn is_whole(&self) -> bool {
        self.defects.is_empty() && self.checkpoint_lost.is_none()
    }
}

/// Builds a data folder in `dir` out of the stream at `path`; `tell` hears the last number so far.
///
/// # Errors
///
/// When `dir` holds anything, or the stream is none, or the disk fails. A damaged stream is no
/// error: it is told in [`Restored`].
pub fn restore(
    path: &Path,
    dir: &Path,
    mut tell: impl FnMut(u64),
) -> Result<Restored, RestoreError> {
    let unreadable = |source| RestoreError::Stream { path: path.to_owned(), source };
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let mut stream = StreamReader::open(file).map_err(unreadable)?;
    let work = prepare_dir(dir)?;
    let built = build(&work, &mut stream, &mut tell).map_err(|failure| match failure {
        BuildFailure::Stream(source) => unreadable(source),
        BuildFailure::Journal(error) => error.into(),
    });
    match built {
        Ok(restored) => {
            move_into_place(&work, dir)?;
            Ok(restored)
        }
        Err(error) => {
            // Nobody needs a half; what can't be removed is refused with words by the next start.
            let _ = fs::remove_dir_all(&work);
            Err(error)
        }
    }
}

/// A failure while building, the stream's path not yet added.
enum BuildFailure {
    Stream(StreamError),
    Journal(JournalError),
}

impl From<JournalError> for BuildFailure {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

fn build<R: Read>(
    work: &Path,
    stream: &mut StreamReader<R>,
    tell: &mut impl FnMut(u64),
) -> Result<Restored, BuildFailure> {
    let mut building = RestoreBuilder::new(work, stream)?;
    let mut faults = Findings::default();
    let filled = loop {
        let done = match stream.next_item() {
            Ok(None) => break Ok(()),
            Ok(Some(StreamItem::Records(records))) => building.push_records(records, tell),
            Ok(Some(StreamItem::Checkpoint { block, bytes })) => {
                building.checkpoint.push_block(&block, &bytes)
            }
            Ok(Some(StreamItem::Defect(fault))) => {
                faults.push(fault);
                Ok(())
            }
            Err(error) => break Err(BuildFailure::Stream(error)),
        };
        if let Err(error) = done {
            break Err(error.into());
        }
    };
    let found = building.finish(filled)?;
    let known = stream.head().map(|head| head.identity);
    let identity = known.unwrap_or(Identity { journal: stream.journal(), broker: Uuid::new_v4() });
    identity::write(&work.join(IDENTITY), identity)?;
    let promised = stream.head().and_then(|head| head.checkpoint);
    let (checkpoint, checkpoint_lost) = match found {
        Ok(None) => (None, promised.map(|_| FrameError::TooShort)),
        Ok(through) => (through, None),
        Err(reason) => (None, Some(reason)),
    };
    let (summary, is_broker_new) = (stream.summary().clone(), known.is_none());
    Ok(Restored {
        identity,
        has_new_broker_id: is_broker_new,
        summary,
        defects: faults,
        checkpoint,
        checkpoint_lost,
    })
}

/// Sees to it that `dir` is empty, and makes the folder to build in.
fn prepare_dir(dir: &Path) -> Result<PathBuf, RestoreError> {
    fs::create_dir_all(dir).map_err(JournalError::io("create the folder", dir))?;
    let work = dir.join(RESTORING);
    if work.exists() {
        return Err(JournalError::UnfinishedRestore { path: dir.to_owned() }.into());
    }
    // A file system of its own has that one from birth.
    let is_content = |path: &PathBuf| path.file_name().is_none_or(|name| name != "lost+found");
    if disk::paths_in(dir)?.iter().any(is_content) {
        return Err(RestoreError::NotEmpty { path: dir.to_owned() });
    }
    disk::create_folder(&work)?;
    Ok(work)
}

/// Moves what was built to its place, the identity last.
fn move_into_place(work: &Path, dir: &Path) -> Result<(), JournalError> {
    disk::sync_tree(work)?;
    for name in [ARCHIVE, COMMITS, CHECKPOINTS, IDENTITY] {
        let from = work.join(name);
        fs::rename(&from, dir.join(name)).map_err(JournalError::io("put in place", &from))?;
    }
    disk::sync_folder(dir)?;
    fs::remove_dir_all(work).map_err(JournalError::io("remove", work))?;
    disk::sync_folder(dir)
}

/// The journal that is being filled.
struct RestoreBuilder {
    open_journal: OpenJournal,
    checkpoint: CheckpointFile,
    pending: Vec<EncodedRecord>,
    pending_bytes: usize,
}

impl RestoreBuilder {
    fn new<R: Read>(work: &Path, stream: &StreamReader<R>) -> Result<Self, JournalError> {
        let journal = stream.journal();
        identity::write(&work.join(IDENTITY), Identity { journal, broker: Uuid::nil() })?;
        let settings =
            JournalSettings { commit_file_bytes: FILE_BYTES, ..JournalSettings::new(work) };
        let mut opened = Journal::open(&settings)?;
        // What lies before the stream's first record was trimmed where it came from.
        if let Some(head) = stream.head() {
            opened.journal.log_truncation.archive.trim(head.first.saturating_sub(1))?;
        }
        let term = stream.term() + 1;
        opened.journal.term = term;
        opened.journal.log.set_term(term);
        // The stream still has all, so the commit log need not wait for two checkpoints.
        opened.journal.log_truncation.needs_only_seal.store(true, Ordering::Release);
        let checkpoint = CheckpointFile::new(work.join(CHECKPOINTS), journal);
        Ok(Self { open_journal: opened, checkpoint, pending: Vec::new(), pending_bytes: 0 })
    }

    fn push_records(
        &mut self,
        records: Vec<EncodedRecord>,
        tell: &mut impl FnMut(u64),
    ) -> Result<(), JournalError> {
        for record in records {
            if self.pending.last().is_some_and(|last| record.number != last.number + 1) {
                self.append()?;
            }
            self.pending_bytes += record.bytes.len();
            self.pending.push(record);
            if self.pending_bytes >= COMMIT_BYTES {
                self.append()?;
                tell(self.open_journal.reader.durable());
            }
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), JournalError> {
        let Some(first) = self.pending.first() else { return Ok(()) };
        let (journal, reader) = (&mut self.open_journal.journal, &self.open_journal.reader);
        journal.log.skip_to(first.number);
        journal.append(&self.pending)?;
        self.pending.clear();
        self.pending_bytes = 0;
        let trouble = journal.threads.failures();
        let is_sound = || trouble.lock().is_ok_and(|trouble| trouble.is_empty());
        while reader.durable() > reader.archived_through() + LAG_MAX && is_sound() {
            thread::sleep(LAG_POLL);
        }
        Ok(())
    }

    /// Ends the threads whatever came before; gives what became of the checkpoint.
    fn finish(
        mut self,
        filled: Result<(), BuildFailure>,
    ) -> Result<Result<Option<u64>, FrameError>, BuildFailure> {
        let filled = filled.and_then(|()| Ok(self.append()?));
        let closed = self.open_journal.journal.close();
        filled?;
        closed?;
        Ok(self.checkpoint.finish()?)
    }
}

/// The checkpoint that is being taken over, block by block.
struct CheckpointFile {
    folder: PathBuf,
    journal: Uuid,
    state: CheckpointState,
}

enum CheckpointState {
    None,
    Open { parts: CheckpointDecoder, through: u64, path: PathBuf, file: File },
    Whole { path: PathBuf, through: u64 },
    Lost(FrameError),
}

impl CheckpointFile {
    fn new(folder: PathBuf, journal: Uuid) -> Self {
        Self { folder, journal, state: CheckpointState::None }
    }

    fn push_block(&mut self, block: &Block, bytes: &[u8]) -> Result<(), JournalError> {
        if let CheckpointState::None = self.state {
            let through = block.header.info.first;
            let path =
                checkpoint::checkpoint_path(&self.folder, through).with_added_extension("new");
            let file = File::create(&path).map_err(JournalError::io("create", &path))?;
            let parts = CheckpointDecoder::new(self.journal, through);
            self.state = CheckpointState::Open { parts, through, path, file };
        }
        let CheckpointState::Open { parts, through, path, file } = &mut self.state else {
            return Ok(());
        };
        let write = |file: &mut File| -> io::Result<()> { file.write_all(bytes) };
        let written = match parts.push(block) {
            Ok(Some(_)) => return write(file).map_err(JournalError::io("write", path)),
            Ok(None) => write(file).and_then(|()| file.sync_all()),
            Err(reason) => {
                let removed = fs::remove_file(&*path).map_err(JournalError::io("remove", path));
                self.state = CheckpointState::Lost(reason);
                return removed;
            }
        };
        written.map_err(JournalError::io("write", path))?;
        self.state = CheckpointState::Whole { path: path.clone(), through: *through };
        Ok(())
    }

    fn finish(self) -> Result<Result<Option<u64>, FrameError>, JournalError> {
        Ok(match self.state {
            CheckpointState::None => Ok(None),
            CheckpointState::Whole { path, through } => {
                disk::rename(&path, &checkpoint::checkpoint_path(&self.folder, through))?;
                Ok(Some(through))
            }
            CheckpointState::Open { path, .. } => {
                fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
                Err(FrameError::TooShort)
            }
            CheckpointState::Lost(reason) => Err(reason),
        })
    }
}
