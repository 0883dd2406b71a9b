//! Restores a data folder from a stream.
//!
//! Builds it in the subfolder `restoring`, and moves it into place when all of it is on the disk,
//! so that a broker never starts on an incomplete folder. Journal and broker keep their ids. The
//! term is above that of the stream, so that new records can be distinguished from those that the
//! old folder may have got since. Guarantees that every intact record and attachment of the stream is
//! in the folder, damage or not, and attachments for their owner only. Of the content of a record it
//! knows the enrolled keys alone, to count them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::codec;
use crate::journal::checkpoint::{self, CheckpointDecoder};
use crate::journal::error::JournalError;
use crate::journal::frame::{Block, FrameError};
use crate::journal::identity::{self, Identity};
use crate::journal::record::EncodedRecord;
use crate::journal::recovery::{ARCHIVE, CHECKPOINTS, COMMITS, IDENTITY, RESTORING};
use crate::journal::rescue::enrolled::EnrolledKeys;
use crate::journal::rescue::findings::Findings;
use crate::journal::stream::{
    ATTACHMENT_FOLDER, Attachment, StreamDefect, StreamError, StreamItem, StreamReader,
    StreamSummary,
};
use crate::journal::{Journal, JournalSettings, OpenJournal, disk};

/// Bytes at which a commit of the restored journal is written.
const COMMIT_BYTES: usize = 4 << 20;
/// Bytes that a file reserves at least; small, since a stream with many gaps makes many files.
const FILE_BYTES: u64 = 64 << 10;
/// The largest lag of the archiver, in records: pending ones are uncompressed in the commit log.
const LAG_MAX: u64 = 500_000;
const LAG_POLL: Duration = Duration::from_millis(2);

/// The reason why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder is not empty.
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
        /// The error.
        source: StreamError,
    },
    /// The folder can't be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// Whose journal it is.
    pub identity: Identity,
    /// The id of the broker was lost in the stream: it got a new one.
    pub has_new_broker_id: bool,
    /// The totals of what was read.
    pub summary: StreamSummary,
    /// The defects of the stream.
    pub defects: Findings<StreamDefect>,
    /// The last record of the restored checkpoint.
    pub checkpoint: Option<u64>,
    /// The reason why the checkpoint in the stream was not restored.
    pub checkpoint_lost: Option<FrameError>,
    /// The number of keys that are enrolled in the restored grid.
    pub enrolled_keys: usize,
}

impl Restored {
    /// Whether the stream was whole.
    pub fn is_intact(&self) -> bool {
        self.defects.is_empty() && self.checkpoint_lost.is_none()
    }
}

/// Builds a data folder in `dir` from the stream at `path`; calls `on_progress` with the last
/// number.
///
/// # Errors
///
/// If `dir` is not empty, or the file is no stream, or the disk fails. A damaged stream is no
/// error: it is reported in [`Restored`].
pub fn restore(
    path: &Path,
    dir: &Path,
    mut on_progress: impl FnMut(u64),
) -> Result<Restored, RestoreError> {
    let unreadable = |source| RestoreError::Stream { path: path.to_owned(), source };
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    let mut stream = StreamReader::open(file).map_err(unreadable)?;
    let build_dir = prepare_dir(dir)?;
    let built = build(&build_dir, &mut stream, &mut on_progress).map_err(|failure| match failure {
        BuildFailure::Stream(source) => unreadable(source),
        BuildFailure::Journal(error) => error.into(),
    });
    match built {
        Ok(restored) => {
            move_into_place(&build_dir, dir)?;
            Ok(restored)
        }
        Err(error) => {
            // If the partial folder can't be removed, the next start refuses it with a message.
            let _ = fs::remove_dir_all(&build_dir);
            Err(error)
        }
    }
}

/// A failure during the build, without the path of the stream.
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
    build_dir: &Path,
    stream: &mut StreamReader<R>,
    on_progress: &mut impl FnMut(u64),
) -> Result<Restored, BuildFailure> {
    let mut builder = RestoreBuilder::new(build_dir, stream)?;
    let mut faults = Findings::default();
    let filled = loop {
        let done = match stream.next_item() {
            Ok(None) => break Ok(()),
            Ok(Some(StreamItem::Records(records))) => builder.push_records(records, on_progress),
            Ok(Some(StreamItem::Attachment(attachment))) => {
                write_attachment(build_dir, &attachment)
            }
            Ok(Some(StreamItem::Checkpoint { block, bytes })) => {
                builder.push_checkpoint(&block, &bytes)
            }
            Ok(Some(StreamItem::Defect(defect))) => {
                faults.push(defect);
                Ok(())
            }
            Err(error) => break Err(BuildFailure::Stream(error)),
        };
        if let Err(error) = done {
            break Err(error.into());
        }
    };
    let (found, enrolled_keys) = builder.finish(filled)?;
    let known = stream.head().map(|head| head.identity);
    let identity = known.unwrap_or(Identity { journal: stream.journal(), broker: Uuid::new_v4() });
    identity::write(&build_dir.join(IDENTITY), identity)?;
    let expected = stream.head().and_then(|head| head.checkpoint);
    let (checkpoint, checkpoint_lost) = match found {
        Ok(None) => (None, expected.map(|_| FrameError::TooShort)),
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
        enrolled_keys,
    })
}

/// Writes an attachment, readable by its owner only. `move_into_place` makes it durable.
fn write_attachment(build_dir: &Path, attachment: &Attachment) -> Result<(), JournalError> {
    let folder = build_dir.join(ATTACHMENT_FOLDER);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(JournalError::io("create the folder", &folder)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let path = attachment.name().below(build_dir);
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    created
        .and_then(|mut file| file.write_all(attachment.content()))
        .map_err(JournalError::io("write", &path))
}

/// Checks that `dir` is empty, and creates the folder to build in.
fn prepare_dir(dir: &Path) -> Result<PathBuf, RestoreError> {
    fs::create_dir_all(dir).map_err(JournalError::io("create the folder", dir))?;
    let build_dir = dir.join(RESTORING);
    if build_dir.exists() {
        return Err(JournalError::UnfinishedRestore { path: dir.to_owned() }.into());
    }
    // A new file system has `lost+found`.
    let is_content = |path: &PathBuf| path.file_name().is_none_or(|name| name != "lost+found");
    if disk::paths_in(dir)?.iter().any(is_content) {
        return Err(RestoreError::NotEmpty { path: dir.to_owned() });
    }
    disk::create_folder(&build_dir)?;
    Ok(build_dir)
}

/// Moves what was built into place, the identity last.
fn move_into_place(build_dir: &Path, dir: &Path) -> Result<(), JournalError> {
    disk::sync_tree(build_dir)?;
    for name in [ATTACHMENT_FOLDER, ARCHIVE, COMMITS, CHECKPOINTS, IDENTITY] {
        let from = build_dir.join(name);
        if name == ATTACHMENT_FOLDER && !from.exists() {
            continue;
        }
        fs::rename(&from, dir.join(name)).map_err(JournalError::io("put in place", &from))?;
    }
    disk::sync_folder(dir)?;
    fs::remove_dir_all(build_dir).map_err(JournalError::io("remove", build_dir))?;
    disk::sync_folder(dir)
}

/// The journal that is being restored.
struct RestoreBuilder {
    open_journal: OpenJournal,
    checkpoint: CheckpointFile,
    keys: EnrolledKeys,
    pending: Vec<EncodedRecord>,
    pending_bytes: usize,
}

impl RestoreBuilder {
    fn new<R: Read>(build_dir: &Path, stream: &StreamReader<R>) -> Result<Self, JournalError> {
        let journal = stream.journal();
        identity::write(&build_dir.join(IDENTITY), Identity { journal, broker: Uuid::nil() })?;
        let settings =
            JournalSettings { commit_file_bytes: FILE_BYTES, ..JournalSettings::new(build_dir) };
        let mut opened = Journal::open(&settings)?;
        // The records before the first of the stream were trimmed in the original journal.
        if let Some(head) = stream.head() {
            opened.journal.log_truncation.archive.trim(head.first.saturating_sub(1))?;
        }
        let term = stream.term() + 1;
        opened.journal.term = term;
        opened.journal.log.set_term(term);
        // The stream still has everything, so the commit log need not wait for two checkpoints.
        opened.journal.log_truncation.needs_only_seal.store(true, Ordering::Release);
        let checkpoint = CheckpointFile::new(build_dir.join(CHECKPOINTS), journal);
        let (keys, pending) = (EnrolledKeys::default(), Vec::new());
        Ok(Self { open_journal: opened, checkpoint, keys, pending, pending_bytes: 0 })
    }

    fn push_checkpoint(&mut self, block: &Block, bytes: &[u8]) -> Result<(), JournalError> {
        self.checkpoint.push_block(block, bytes)?;
        if let Some((through, state)) = self.checkpoint.read_whole()?
            && let Ok(state) = codec::decode_state(&state)
        {
            self.keys.load(through, &state);
        }
        Ok(())
    }

    fn push_records(
        &mut self,
        records: Vec<EncodedRecord>,
        on_progress: &mut impl FnMut(u64),
    ) -> Result<(), JournalError> {
        self.keys.push_encoded(&records);
        for record in records {
            if self.pending.last().is_some_and(|last| record.number != last.number + 1) {
                self.append()?;
            }
            self.pending_bytes += record.bytes.len();
            self.pending.push(record);
            if self.pending_bytes >= COMMIT_BYTES {
                self.append()?;
                on_progress(self.open_journal.reader.durable());
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
        let failures = journal.threads.failures();
        let is_running = || failures.lock().is_ok_and(|failures| failures.is_empty());
        while reader.durable() > reader.archived_through() + LAG_MAX && is_running() {
            thread::sleep(LAG_POLL);
        }
        Ok(())
    }

    /// Stops the threads in any case; returns the result for the checkpoint, and the number of keys.
    fn finish(
        mut self,
        filled: Result<(), BuildFailure>,
    ) -> Result<(Result<Option<u64>, FrameError>, usize), BuildFailure> {
        let filled = filled.and_then(|()| Ok(self.append()?));
        let closed = self.open_journal.journal.close();
        filled?;
        closed?;
        Ok((self.checkpoint.finish()?, self.keys.count()))
    }
}

/// The checkpoint that is being copied, block by block.
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

    /// The last record and the state, once all of it was written.
    fn read_whole(&self) -> Result<Option<(u64, Vec<u8>)>, JournalError> {
        let CheckpointState::Whole { path, through } = &self.state else { return Ok(None) };
        let bytes = fs::read(path).map_err(JournalError::io("read back", path))?;
        let decoded = checkpoint::decode(bytes.into(), self.journal, *through).ok();
        Ok(decoded.map(|(_, state)| (*through, state)))
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
