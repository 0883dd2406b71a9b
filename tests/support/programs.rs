//! Programs run to their end, and one that goes on: what they said, and how they ended.

use std::ffi::OsStr;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    /// What it said.
    pub(crate) stdout: String,
    /// What it complained of.
    pub(crate) stderr: String,
}

impl Run {
    /// Its stdout, if all went well.
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

/// A command with an environment of which the tests know all.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("TZ", "UTC").env("USER", "tester").stdin(Stdio::null());
    command.env("PATH", "/nowhere");
    // No folder can be made there: who wants a spool names one.
    command.env("VME_STATE", "/dev/null/vme");
    command
}

/// Runs a program to its end.
pub(crate) async fn run(command: Command) -> Run {
    run_into(command, None, None).await
}

/// The same with outputs of the caller's; of these nothing is in the result.
pub(crate) async fn run_into(
    mut command: Command,
    into_stdout: Option<Stdio>,
    into_stderr: Option<Stdio>,
) -> Run {
    let mut stdout = tempfile::tempfile().expect("a file for its stdout");
    let mut stderr = tempfile::tempfile().expect("a file for its stderr");
    let same = |file: &std::fs::File| Stdio::from(file.try_clone().expect("the same file"));
    command.stdout(into_stdout.unwrap_or_else(|| same(&stdout)));
    command.stderr(into_stderr.unwrap_or_else(|| same(&stderr)));
    let mut child = Ended(command.spawn().expect("it starts"));
    let what = format!("the end of {command:?}");
    let status = eventually(&what, async || child.0.try_wait().expect("waits")).await;
    Run { code: status.code(), stdout: whole(&mut stdout), stderr: whole(&mut stderr) }
}

fn whole(file: &mut std::fs::File) -> String {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).expect("seeks");
    file.read_to_string(&mut text).expect("it speaks UTF-8");
    text
}

/// Ends its process when it goes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that goes on, and whose lines are read meanwhile.
pub(crate) struct Follower {
    child: Ended,
    stdout: tempfile::NamedTempFile,
    stderr: tempfile::NamedTempFile,
}

impl Follower {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let stdout = tempfile::NamedTempFile::new().expect("a file for its stdout");
        let stderr = tempfile::NamedTempFile::new().expect("a file for its stderr");
        command.stdout(stdout.reopen().expect("the same file"));
        command.stderr(stderr.reopen().expect("the same file"));
        let child = Ended(command.spawn().expect("it starts"));
        Self { child, stdout, stderr }
    }

    /// Waits until it has said `count` whole lines; gives all of them.
    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines of a follower"), async || {
            let ended = self.child.0.try_wait().expect("waits");
            assert!(ended.is_none(), "it ended: {ended:?}, {}", self.stderr());
            Some(self.stdout()).filter(|lines| lines.len() >= count)
        })
        .await
    }

    /// Waits until it complains of something with `part` in it.
    pub(crate) async fn complains(&self, part: &str) {
        eventually(&format!("a complaint with `{part}`"), async || {
            self.stderr().contains(part).then_some(())
        })
        .await;
    }

    /// Sends a signal and waits for nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).expect("it takes a signal");
    }

    /// Ctrl-C; gives how it ended.
    pub(crate) async fn interrupt(self) -> Run {
        self.signal(Signal::INT);
        self.ended().await
    }

    /// Waits for its end; gives how it ended.
    pub(crate) async fn ended(mut self) -> Run {
        let child = &mut self.child.0;
        let status = eventually("its end", async || child.try_wait().expect("waits")).await;
        let stdout = std::fs::read_to_string(self.stdout.path()).expect("its stdout");
        Run { code: status.code(), stdout, stderr: self.stderr() }
    }

    fn stdout(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.stdout.path()).expect("its stdout");
        text.split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// What it complained of so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.stderr.path()).expect("its stderr")
    }
}

/// A program's complaint, as its lines.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}
