//! The journal's own threads: the archiver, and the one that writes checkpoints.
//!
//! Guarantees that both have ended, and that nothing of theirs is still being written, when
//! [`Background::stop`] returns. A thread that fails stays down and is named in `trouble`: acks
//! do not need it. It knows nothing of the ack's path.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::archive::Archiver;
use super::checkpoint::Checkpoints;
use super::error::JournalError;
use super::release::Release;
use crate::tasks::spawn_thread;

/// Whether a checkpoint was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStart {
    /// It is being written.
    Begun,
    /// The one before is still being written, or its thread is down: try again later.
    Skipped,
}

/// A state to be written: the number it goes to, the term, the bytes.
type State = (u64, u64, Vec<u8>);
type Outcome = Result<(), JournalError>;
/// Background threads that failed, a sentence each.
pub(super) type Trouble = Arc<Mutex<Vec<String>>>;

/// Both threads, with what they are told and what they tell.
#[derive(Debug)]
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    trouble: Trouble,
    writing: Arc<AtomicBool>,
    poke: Option<SyncSender<()>>,
    states: Option<SyncSender<State>>,
    threads: Vec<JoinHandle<Outcome>>,
}

impl Background {
    /// Starts the threads; `stop` must be the flag that the archiver looks at.
    pub(super) fn start(
        archiver: Archiver,
        stop: Arc<AtomicBool>,
        checkpoints: Checkpoints,
        release: Arc<Release>,
    ) -> std::io::Result<Self> {
        let (poke, pokes) = sync_channel(1);
        let (states, to_write) = sync_channel(1);
        let mut background = Self {
            stop,
            trouble: Arc::default(),
            writing: Arc::default(),
            poke: Some(poke),
            states: Some(states),
            threads: Vec::new(),
        };
        let trouble = Arc::clone(&background.trouble);
        background.threads.push(spawn_thread("archiver", move || {
            archiver.run(&pokes).inspect_err(|error| note(&trouble, "archiver", error))
        })?);
        let trouble = Arc::clone(&background.trouble);
        let writing = Arc::clone(&background.writing);
        background.threads.push(spawn_thread("checkpoint", move || {
            write_states(&to_write, checkpoints, &release, &writing)
                .inspect_err(|error| note(&trouble, "checkpoint", error))
        })?);
        Ok(background)
    }

    /// Tells the archiver that there may be work.
    pub(super) fn poke(&self) {
        if let Some(poke) = &self.poke {
            // A full channel means that it will look anyway.
            let _ = poke.try_send(());
        }
    }

    /// Hands a state over to be written, unless one is being written.
    pub(super) fn checkpoint(&self, state: State) -> CheckpointStart {
        if self.writing.swap(true, Ordering::AcqRel) {
            return CheckpointStart::Skipped;
        }
        match self.states.as_ref().map(|states| states.try_send(state)) {
            Some(Ok(())) => CheckpointStart::Begun,
            Some(Err(_)) | None => CheckpointStart::Skipped,
        }
    }

    /// What failed so far, for the reading end to tell.
    pub(super) fn trouble(&self) -> Trouble {
        Arc::clone(&self.trouble)
    }

    /// Ends both threads; a checkpoint being written is finished first. Returns the first failure.
    pub(super) fn stop(&mut self) -> Outcome {
        self.stop.store(true, Ordering::Release);
        (self.poke, self.states) = (None, None);
        let ended: Vec<Outcome> = self
            .threads
            .drain(..)
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        ended.into_iter().collect()
    }
}

fn note(trouble: &Mutex<Vec<String>>, thread: &str, error: &JournalError) {
    tracing::error!(error = error as &dyn std::error::Error, "journal thread {thread} failed");
    let text = format!("{thread}: {error}");
    trouble.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

fn write_states(
    states: &Receiver<State>,
    mut checkpoints: Checkpoints,
    release: &Release,
    writing: &AtomicBool,
) -> Outcome {
    release.older_checkpoint.store(checkpoints.older(), Ordering::Release);
    at_next_occasion(release.release())?;
    while let Ok((through, term, state)) = states.recv() {
        // The checkpoints before are still there.
        at_next_occasion(checkpoints.save(through, term, &state))?;
        release.older_checkpoint.store(checkpoints.older(), Ordering::Release);
        at_next_occasion(release.release())?;
        writing.store(false, Ordering::Release);
    }
    Ok(())
}

/// The next occasion may find room, or what the system does not grant now.
fn at_next_occasion(done: Outcome) -> Outcome {
    match done {
        Err(error) if error.is_for_now() => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no checkpoint");
            Ok(())
        }
        done => done,
    }
}
