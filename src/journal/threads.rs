//! Runs the background threads of the journal: the archiver, and the one that writes checkpoints.
//!
//! Guarantees that both have ended, and that they write nothing any more, when
//! [`BackgroundThreads::stop`] returns. A thread that fails is not restarted, and is listed in
//! `failures`: acknowledgements do not need it. Does not know how records are acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::archive::Archiver;
use super::checkpoint::{CheckpointContent, Checkpoints};
use super::error::JournalError;
use crate::journal::log_truncation::LogTruncation;
use crate::tasks::spawn_thread;

/// Whether a checkpoint was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStart {
    /// It is being written.
    Started,
    /// The previous one is still being written, or its thread has failed: try again later.
    Skipped,
}

/// A state to be written: its last record, the term, the content.
type CheckpointRequest = (u64, u64, CheckpointContent);
type ThreadResult = Result<(), JournalError>;
/// Background threads that failed, one sentence each.
pub(super) type BackgroundFailures = Arc<Mutex<Vec<String>>>;

/// Both threads, with the channels to them and their results.
#[derive(Debug)]
pub(super) struct BackgroundThreads {
    stop: Arc<AtomicBool>,
    failures: BackgroundFailures,
    is_writing: Arc<AtomicBool>,
    wakeups: Option<SyncSender<()>>,
    checkpoint_requests: Option<SyncSender<CheckpointRequest>>,
    threads: Vec<JoinHandle<ThreadResult>>,
}

impl BackgroundThreads {
    /// Starts the threads; `stop` must be the flag that the archiver checks.
    pub(super) fn start(
        archiver: Archiver,
        stop: Arc<AtomicBool>,
        checkpoints: Checkpoints,
        release: Arc<LogTruncation>,
    ) -> std::io::Result<Self> {
        let (wakeups, wakeups_of_archiver) = sync_channel(1);
        let (states, requests) = sync_channel(1);
        let mut background = Self {
            stop,
            failures: Arc::default(),
            is_writing: Arc::default(),
            wakeups: Some(wakeups),
            checkpoint_requests: Some(states),
            threads: Vec::new(),
        };
        let failures = Arc::clone(&background.failures);
        background.threads.push(spawn_thread("archiver", move || {
            archiver
                .run(&wakeups_of_archiver)
                .inspect_err(|error| note_failure(&failures, "archiver", error))
        })?);
        let failures = Arc::clone(&background.failures);
        let writing = Arc::clone(&background.is_writing);
        background.threads.push(spawn_thread("checkpoint", move || {
            write_checkpoints(&requests, checkpoints, &release, &writing)
                .inspect_err(|error| note_failure(&failures, "checkpoint", error))
        })?);
        Ok(background)
    }

    /// Wakes the archiver, since there may be work.
    pub(super) fn notify(&self) {
        if let Some(wakeups) = &self.wakeups {
            // A full channel means that it will wake up anyway.
            let _ = wakeups.try_send(());
        }
    }

    /// Starts to write a state, unless one is being written.
    pub(super) fn checkpoint(&self, state: CheckpointRequest) -> CheckpointStart {
        if self.is_writing.swap(true, Ordering::AcqRel) {
            return CheckpointStart::Skipped;
        }
        match self.checkpoint_requests.as_ref().map(|states| states.try_send(state)) {
            Some(Ok(())) => CheckpointStart::Started,
            Some(Err(_)) | None => CheckpointStart::Skipped,
        }
    }

    /// The failures so far, for the status of the reader.
    pub(super) fn failures(&self) -> BackgroundFailures {
        Arc::clone(&self.failures)
    }

    /// Stops both threads after a checkpoint that is being written. Returns the first failure.
    pub(super) fn stop(&mut self) -> ThreadResult {
        self.stop.store(true, Ordering::Release);
        (self.wakeups, self.checkpoint_requests) = (None, None);
        let ended: Vec<ThreadResult> = self
            .threads
            .drain(..)
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        ended.into_iter().collect()
    }
}

fn note_failure(failures: &Mutex<Vec<String>>, thread: &str, error: &JournalError) {
    tracing::error!(error = error as &dyn std::error::Error, "journal thread {thread} failed");
    let text = format!("{thread}: {error}");
    failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

fn write_checkpoints(
    states: &Receiver<CheckpointRequest>,
    mut checkpoints: Checkpoints,
    release: &LogTruncation,
    writing: &AtomicBool,
) -> ThreadResult {
    release.older_checkpoint.store(checkpoints.older(), Ordering::Release);
    retry_transient(release.truncate())?;
    while let Ok((through, term, state)) = states.recv() {
        // The previous checkpoints are still there.
        retry_transient(checkpoints.save(through, term, state))?;
        release.older_checkpoint.store(checkpoints.older(), Ordering::Release);
        retry_transient(release.truncate())?;
        writing.store(false, Ordering::Release);
    }
    Ok(())
}

/// Logs and ignores a failure that may be over at the next call: no space, or a lack of resources.
fn retry_transient(result: ThreadResult) -> ThreadResult {
    match result {
        Err(error) if error.is_transient() => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no checkpoint was written; the next one may succeed"
            );
            Ok(())
        }
        result => result,
    }
}
