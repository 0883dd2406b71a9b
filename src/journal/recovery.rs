//! Opens a journal and recovers it after a crash.
//!
//! Reads lock, identity, checkpoint, commit log and archive, in this order. Then it sets the next
//! number and term above all that it found, and lists what is missing. Appends may begin at once:
//! unsealed segments are rebuilt in the background.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use rustix::io::Errno;
use tokio::sync::watch;

use super::archive::Archiver;
use super::checkpoint::FailedCheckpoint;
use super::commit_log::TruncatedTail;
use super::error::JournalError;
use super::identity::Identity;
use super::reader::JournalReader;
use super::{Journal, JournalSettings, Retention, archive, checkpoint, commit_log, disk, identity};
use crate::journal::disk_state::{ArchiveLimits, DiskState, SEGMENTS_RETAINED};
use crate::journal::log_truncation::LogTruncation;
use crate::journal::threads::BackgroundThreads;

pub(super) const COMMITS: &str = "commits";
pub(super) const ARCHIVE: &str = "archive";
/// Folder in which a restore builds; a data folder that has it is no journal yet.
pub(super) const RESTORING: &str = "restoring";
pub(super) const IDENTITY: &str = "identity";
pub(super) const LOCK: &str = "lock";
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// A segment is at least as large as a few segments of sled.
const SEGMENT_BYTES_MIN: u64 = 4 << 20;

/// A journal that is ready for appends.
#[derive(Debug)]
pub struct OpenJournal {
    /// The writing end.
    pub journal: Journal,
    /// The reading end.
    pub reader: JournalReader,
    /// The newest intact checkpoint: its last record, and the state.
    pub checkpoint: Option<(u64, Vec<u8>)>,
    /// The last number ever assigned; 0 in a new journal.
    pub last_number: u64,
    /// The newest term found; the journal writes in the next one.
    pub previous_term: u64,
    /// All that differs from the state after an orderly stop.
    pub recovered: Recovered,
}

/// What a start found and repaired; empty after an orderly stop, but for `rebuilt_segments`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Ends of commit-log files that belonged to no finished commit.
    pub truncated_tails: Vec<TruncatedTail>,
    /// First numbers of the unsealed segments that are built again: from their intact blocks, if the
    /// commit log has the same records, and from the commit log.
    pub rebuilt_segments: Vec<u64>,
    /// Numbers that were assigned, and whose records are not found.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Segments that could be neither read nor rebuilt: the folders that they were moved to.
    pub damaged_segments: Vec<PathBuf>,
    /// Checkpoints that did not load.
    pub failed_checkpoints: Vec<FailedCheckpoint>,
}

pub(super) fn open(settings: &JournalSettings) -> Result<OpenJournal, JournalError> {
    let dir = &settings.dir;
    let (lock, identity) = open_data_dir(dir)?;
    let saved = checkpoint::open(dir.join(CHECKPOINTS), identity.journal)?;
    let recovered_log =
        commit_log::open(dir.join(COMMITS), identity.journal, settings.commit_file_bytes)?;
    let mut log = recovered_log.log;
    let files = Arc::clone(log.files());
    let segments = archive::open(dir.join(ARCHIVE), identity.journal, |number| {
        files.at_or_above(number) == Some(number)
    })?;

    let (saved_through, saved_term) =
        saved.newest.as_ref().map_or((0, 0), |(through, term, _)| (*through, *term));
    let previous_term = recovered_log.term.max(segments.term).max(saved_term);
    let last_number =
        (log.next_number() - 1).max(segments.archive.sealed_through()).max(saved_through);
    log.skip_to(last_number + 1);
    log.set_term(previous_term + 1);
    let oldest = segments.archive.trimmed_through() + 1;
    let mut present = [segments.archive.ranges(), files.ranges()].concat();
    let recovered = Recovered {
        truncated_tails: recovered_log.truncated_tails,
        rebuilt_segments: segments.rebuilt,
        missing: missing_ranges(Some(oldest), &mut present, last_number),
        damaged_segments: segments.damaged,
        failed_checkpoints: saved.failed,
    };

    let (durable, watch) = watch::channel(last_number);
    let archive = Arc::new(segments.archive);
    let (for_reader, reader_watch) = ((Arc::clone(&archive), Arc::clone(&files)), watch.clone());
    let release = Arc::new(LogTruncation {
        files,
        archive,
        older_checkpoint: AtomicU64::new(0),
        needs_only_seal: AtomicBool::new(false),
    });
    let half_of_disk = disk::disk_bytes(dir)? / 2;
    let retention = settings.retention.capped_at(half_of_disk);
    let span_bytes = segment_bytes(settings, retention);
    let upkeep =
        Arc::new(DiskState::new(dir, ArchiveLimits::from_settings(settings, half_of_disk)));
    let stop = Arc::new(AtomicBool::new(false));
    let archiver = Archiver::new(
        Arc::clone(&release),
        watch,
        Arc::clone(&upkeep),
        span_bytes,
        segments.trash,
        &recovered.rebuilt_segments,
        Arc::clone(&stop),
    );
    let background =
        BackgroundThreads::start(archiver, stop, saved.checkpoints, Arc::clone(&release))
            .map_err(JournalError::io("start a thread for", dir))?;
    let bounds = Arc::clone(&upkeep);
    let trouble = background.failures();
    let reader = JournalReader::new(for_reader.0, for_reader.1, reader_watch, dir, bounds, trouble);
    let journal = Journal {
        identity,
        term: previous_term + 1,
        log,
        durable,
        log_truncation: release,
        threads: background,
        disk_state: upkeep,
        retention,
        half_of_disk,
        _lock: lock,
    };
    let checkpoint = saved.newest.map(|(through, _, state)| (through, state));
    Ok(OpenJournal { journal, reader, checkpoint, last_number, previous_term, recovered })
}

/// The size of a segment: small enough that several are retained.
fn segment_bytes(settings: &JournalSettings, retention: Retention) -> u64 {
    let retained_bytes = retention.bytes / u64::from(SEGMENTS_RETAINED);
    settings.segment_bytes.min(retained_bytes.max(SEGMENT_BYTES_MIN))
}

/// Refuses a folder of others: it has files, and none of a journal.
pub(super) fn refuse_foreign_files(dir: &Path) -> Result<(), JournalError> {
    if !dir.is_dir() || dir.join(IDENTITY).exists() || dir.join(RESTORING).exists() {
        return Ok(());
    }
    // A first start may have been interrupted; `lost+found` belongs to the file system.
    const OURS: [&str; 9] = [
        COMMITS,
        ARCHIVE,
        LOCK,
        CHECKPOINTS,
        "identity.new",
        "ballast",
        "alive",
        "alive.tmp",
        "lost+found",
    ];
    let names =
        disk::paths_in(dir)?.into_iter().filter_map(|path| path.file_name().map(PathBuf::from));
    let mut foreign = names.filter(|name| !OURS.iter().any(|ours| name == Path::new(ours)));
    match foreign.next() {
        Some(name) => Err(JournalError::ForeignFiles { path: dir.to_owned(), name }),
        None => Ok(()),
    }
}

/// Warns of a folder that other users of this machine can read.
fn warn_if_accessible(dir: &Path) {
    let mode = fs::metadata(dir).map_or(0, |found| found.permissions().mode());
    if mode & 0o077 != 0 {
        let path = dir.display();
        tracing::warn!(
            "other users of this machine can read the data folder {path} (mode {:03o}); `chmod -R go= \
             {path}` prevents it",
            mode & 0o777
        );
    }
}

/// Creates the folder if there is none, locks it, and reads or creates the identity.
fn open_data_dir(dir: &Path) -> Result<(File, Identity), JournalError> {
    refuse_foreign_files(dir)?;
    if let Some(parent) = dir.parent() {
        // If a file has that name, the system reports that it exists already.
        let not_a_folder = |error: io::Error| {
            let is_file = error.kind() == io::ErrorKind::AlreadyExists;
            if is_file { io::Error::from(Errno::NOTDIR) } else { error }
        };
        fs::create_dir_all(parent)
            .map_err(not_a_folder)
            .map_err(JournalError::io("create the folder", dir))?;
    }
    disk::create_folder(dir)?;
    if dir.join(RESTORING).exists() {
        return Err(JournalError::UnfinishedRestore { path: dir.to_owned() });
    }
    warn_if_accessible(dir);
    let lock = lock(dir)?;
    let identity = identity::open(&dir.join(IDENTITY))?;
    for folder in [COMMITS, ARCHIVE, CHECKPOINTS] {
        disk::create_folder(&dir.join(folder))?;
    }
    Ok((lock, identity))
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(JournalError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
    }
}

/// The numbers from `oldest` to `last` that are in no range of `present`.
pub(super) fn missing_ranges(
    oldest: Option<u64>,
    present: &mut [RangeInclusive<u64>],
    last: u64,
) -> Vec<RangeInclusive<u64>> {
    present.sort_by_key(|range| *range.start());
    // The newest record is never trimmed, so without any record all assigned numbers are missing.
    let mut next = oldest.unwrap_or(1);
    let mut missing = Vec::new();
    for range in present {
        if *range.start() > next {
            missing.push(next..=*range.start() - 1);
        }
        next = next.max(*range.end() + 1);
    }
    if next <= last {
        missing.push(next..=last);
    }
    missing
}

#[cfg(test)]
#[test]
fn missing_ranges_lie_between_and_after_present_ones() {
    assert_eq!(
        missing_ranges(Some(2), &mut [5..=9, 3..=6, 12..=12], 14),
        [2..=2, 10..=11, 13..=14]
    );
    assert_eq!(missing_ranges(None, &mut [], 2), [1..=2]);
    assert_eq!(missing_ranges(None, &mut [], 0), []);
}
