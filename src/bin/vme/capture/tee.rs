//! Copies a command's output to our own and lets vme read it on the way.
//!
//! Guarantees that all output arrives where it would without vme, that reading it waits only for
//! the reader of our own output (a thread of its own does it), and that a process left behind with
//! the pipe open delays nothing: a `cat` that outlives us copies its later output, so that no
//! SIGPIPE kills it. Does not know what the output means.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use grid_broker::tasks;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

/// Bytes per read.
const CHUNK_BYTES: usize = 64 << 10;

/// After a silence of this length even an unfinished line counts as complete.
const IDLE_AFTER: Duration = Duration::from_millis(300);

/// After the end of the command, output of other processes is awaited for this long, and no longer
/// than the second value in total.
const LEFTOVER_IDLE_MAX: Duration = Duration::from_millis(200);
const LEFTOVER_WAIT_MAX: Duration = Duration::from_secs(1);

/// A reader of our own output that does not read delays us no longer than this after the end.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Copies the output of a process left behind; in POSIX, like the shell.
const CAT: &str = "/bin/cat";

/// Which output.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutputStream {
    Stdout,
    Stderr,
}

impl OutputStream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    fn own_fd(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }
}

/// One output of a command, copied to our own.
#[derive(Debug)]
pub(crate) struct TeeStream {
    stream: OutputStream,
    /// Closed when the command has ended.
    end_signal: PipeWriter,
    /// The pipe, if a process still holds its other end.
    leftover: oneshot::Receiver<Option<PipeReader>>,
}

impl TeeStream {
    /// Gives `command`, which is not yet started, a pipe for this output. `on_chunk` gets each
    /// chunk before it is copied, and `None` after a short silence and at the end.
    pub(crate) fn attach(
        command: &mut Command,
        stream: OutputStream,
        mut on_chunk: impl FnMut(Option<&[u8]>) + Send + 'static,
    ) -> io::Result<Self> {
        let (from, into) = io::pipe()?;
        let (end_watch, ended) = io::pipe()?;
        // Unbuffered. A closed output is no error: the pipe is read to the end anyway.
        let mut to = File::from(stream.own_fd()?);
        let (send_leftover, left) = oneshot::channel();
        tasks::spawn_thread(stream.name(), move || {
            let leftover = copy_output(from, &end_watch, |chunk| {
                on_chunk(chunk);
                if let Some(chunk) = chunk {
                    drop(to.write_all(chunk));
                }
            });
            on_chunk(None);
            drop(send_leftover.send(leftover));
        })?;
        match stream {
            OutputStream::Stdout => command.stdout(into),
            OutputStream::Stderr => command.stderr(into),
        };
        Ok(Self { stream, end_signal: ended, leftover: left })
    }

    /// Waits a bounded time for the remaining output. To be called after the command has ended.
    pub(crate) async fn finish(self) {
        drop(self.end_signal);
        if let Ok(Ok(Some(pipe))) = tokio::time::timeout(FINISH_WITHIN, self.leftover).await
            && let Ok(own) = self.stream.own_fd()
        {
            let mut cat = Command::new(CAT);
            cat.stdin(pipe).stdout(own).stderr(Stdio::null()).process_group(0);
            if let Err(error) = cat.spawn() {
                let name = self.stream.name();
                crate::print_line(&format!(
                    "processes left running have lost their {name}: {error}"
                ));
            }
        }
    }
}

/// Reads until the end of the pipe, or for a short time after the end of the command. Returns the
/// pipe if a process still holds it.
fn copy_output(
    mut from: PipeReader,
    ended: &PipeReader,
    mut take: impl FnMut(Option<&[u8]>),
) -> Option<PipeReader> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut give_up_at = None;
    // A chunk came, and no silence since.
    let mut is_open = false;
    loop {
        let readable = match give_up_at {
            None => {
                let mut both =
                    [PollFd::new(&from, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
                let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(IDLE_AFTER.subsec_nanos()) };
                if poll(&mut both, is_open.then_some(&pause)) == Ok(0) {
                    take(None);
                    is_open = false;
                    continue;
                }
                if !both[1].revents().is_empty() {
                    give_up_at = Some(monotonic_now() + LEFTOVER_WAIT_MAX);
                }
                !both[0].revents().is_empty()
            }
            Some(at) => {
                let left = at.saturating_duration_since(monotonic_now()).min(LEFTOVER_IDLE_MAX);
                let left = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
                let mut one = [PollFd::new(&from, PollFlags::IN)];
                match poll(&mut one, Some(&left)) {
                    Ok(0) => return Some(from),
                    Ok(_) => monotonic_now() < at,
                    Err(_) => false,
                }
            }
        };
        if !readable {
            if give_up_at.is_some_and(|at| monotonic_now() >= at) {
                return Some(from);
            }
            continue;
        }
        match from.read(&mut chunk) {
            Ok(0) => return None,
            Ok(bytes) => {
                take(Some(&chunk[..bytes]));
                is_open = true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
