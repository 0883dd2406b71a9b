//! How does a command's output pass through vme, to be read on the way?
//!
//! Guarantees that all of it comes out where it would have without vme, that reading it waits for
//! nothing but the reader of our own output (a thread of its own does it), and that a process left
//! behind with the pipe in its hands holds nobody up: what it says later is passed on by a `cat` that
//! stays with it, so that it is not killed for speaking. Does not know what the output means.

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

/// Read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Who says nothing for so long has said what it has to say, even in the middle of a line.
const PAUSE: Duration = Duration::from_millis(300);

/// After the end of the command, output that others still send is awaited so long, and no longer
/// than this in all.
const QUIET_WITHIN: Duration = Duration::from_millis(200);
const COLLECTED_WITHIN: Duration = Duration::from_secs(1);

/// A reader of our own output that does not read holds us up no longer than this after the end.
const PASSED_WITHIN: Duration = Duration::from_secs(2);

/// Passes on what a left process says; of POSIX, like the shell.
const CAT: &str = "/bin/cat";

/// Which output.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    fn own(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }
}

/// One output of a command, passing through.
#[derive(Debug)]
pub(crate) struct Passing {
    stream: Stream,
    /// Closed when the command has ended.
    ended: PipeWriter,
    /// The pipe, if somebody still holds its other end.
    left: oneshot::Receiver<Option<PipeReader>>,
}

impl Passing {
    /// Gives `command`, which is not yet started, a pipe for that output; `heard` gets each piece
    /// before it is passed on, and `None` when no more comes for a moment, and at the end.
    pub(crate) fn of(
        command: &mut Command,
        stream: Stream,
        mut heard: impl FnMut(Option<&[u8]>) + Send + 'static,
    ) -> io::Result<Self> {
        let (from, into) = io::pipe()?;
        let (end_heard, ended) = io::pipe()?;
        // Unbuffered, and closed is no mistake: it is read on to the end all the same.
        let mut to = File::from(stream.own()?);
        let (tell_left, left) = oneshot::channel();
        tasks::spawn_thread(stream.name(), move || {
            let held = pass_on(from, &end_heard, |piece| {
                heard(piece);
                if let Some(piece) = piece {
                    drop(to.write_all(piece));
                }
            });
            heard(None);
            drop(tell_left.send(held));
        })?;
        match stream {
            Stream::Stdout => command.stdout(into),
            Stream::Stderr => command.stderr(into),
        };
        Ok(Self { stream, ended, left })
    }

    /// To be called when the command has ended: waits, for a bounded time, for the rest.
    pub(crate) async fn finish(self) {
        drop(self.ended);
        if let Ok(Ok(Some(pipe))) = tokio::time::timeout(PASSED_WITHIN, self.left).await
            && let Ok(own) = self.stream.own()
        {
            let mut cat = Command::new(CAT);
            cat.stdin(pipe).stdout(own).stderr(Stdio::null()).process_group(0);
            if let Err(error) = cat.spawn() {
                let name = self.stream.name();
                crate::tell(&format!("what is left running has no {name} any more: {error}"));
            }
        }
    }
}

/// Reads until the end of the pipe, or for a little while after the end of the command; gives the
/// pipe if somebody still holds it.
fn pass_on(
    mut from: PipeReader,
    ended: &PipeReader,
    mut take: impl FnMut(Option<&[u8]>),
) -> Option<PipeReader> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut give_up_at = None;
    // A piece came, and nothing since.
    let mut is_open = false;
    loop {
        let readable = match give_up_at {
            None => {
                let mut both =
                    [PollFd::new(&from, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
                let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(PAUSE.subsec_nanos()) };
                if poll(&mut both, is_open.then_some(&pause)) == Ok(0) {
                    take(None);
                    is_open = false;
                    continue;
                }
                if !both[1].revents().is_empty() {
                    give_up_at = Some(monotonic_now() + COLLECTED_WITHIN);
                }
                !both[0].revents().is_empty()
            }
            Some(at) => {
                let left = at.saturating_duration_since(monotonic_now()).min(QUIET_WITHIN);
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
        match from.read(&mut piece) {
            Ok(0) => return None,
            Ok(bytes) => {
                take(Some(&piece[..bytes]));
                is_open = true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
