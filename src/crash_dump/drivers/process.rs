//! Runs a program for a driver, within a time limit and with bounded output.
//!
//! Guarantees that the program is run without a shell, without standard input and without gridd's
//! secrets; that it has a process group of its own, which is killed at the time limit and when
//! nobody waits any more; that it is waited for; and that a process which it leaves behind delays
//! nobody. Does not know what programs are for.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::output::{Output, read_both};
use crate::system_error::Explained;
use crate::tasks;

/// Most programs of drivers at once.
const PROGRAMS_MAX: usize = 32;

/// How long a program waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the output of a program that has ended is read: processes that it left behind may keep the
/// pipe open.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a killed program may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// The turns of programs.
static TURNS: Semaphore = Semaphore::const_new(PROGRAMS_MAX);

/// Prefix of gridd's own variables: passwords are among them.
const OWN_VARIABLES: &str = "GRIDD_";

/// The password of `ipmitool`, which no other program needs.
const IPMI_PASSWORD: &str = "IPMI_PASSWORD";

/// Variables by which a program could speak to the service manager in gridd's name.
const SERVICE_MANAGER_VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// A program to run.
#[derive(Clone, Debug)]
pub(super) struct Invocation {
    /// Its path, or its name on PATH.
    pub(super) program: OsString,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Variables that are set for it.
    pub(super) environment: Vec<(&'static str, String)>,
    /// How long it may take.
    pub(super) limit: Duration,
    /// It is `ipmitool`, which finds its password in the environment.
    pub(super) needs_ipmi_password: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal of somebody else.
    Signalled(i32),
    /// It was killed at its time limit.
    TimedOut,
}

/// A program that ended.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    /// How.
    pub(super) end: End,
    /// What it wrote.
    pub(super) output: Output,
}

/// A program could not be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// There is none.
    #[error("{program} is not found")]
    NotFound {
        /// Its name.
        program: String,
    },
    /// It exists, but the interpreter that its first line names does not.
    #[error("{program} cannot be run: the interpreter in its first line (#!) is not found")]
    NoInterpreter {
        /// Its name.
        program: String,
    },
    /// It is no program, or not for this user.
    #[error("{program} cannot be run: {}", Explained(source))]
    NotExecutable {
        /// Its name.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The system refuses to start it now.
    #[error("{program} cannot be started now: {}", Explained(source))]
    System {
        /// Its name.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Too many run.
    #[error(
        "{PROGRAMS_MAX} programs of crash dumps are at work, as many as may be; try again later"
    )]
    Busy,
}

impl StartError {
    fn new(program: &OsString, source: io::Error) -> Self {
        // A name without a folder is looked for on PATH.
        let path = Path::new(program);
        let is_there = path.components().count() > 1 && path.exists();
        let program = program.to_string_lossy().into_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) if is_there => Self::NoInterpreter { program },
            Some(Errno::NOENT) => Self::NotFound { program },
            Some(Errno::ACCESS | Errno::PERM | Errno::ISDIR | Errno::NOTDIR | Errno::NOEXEC) => {
                Self::NotExecutable { program, source }
            }
            Some(_) | None => Self::System { program, source },
        }
    }

    /// Whether another attempt would fail too.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NoInterpreter { .. } | Self::NotExecutable { .. } => true,
            Self::System { .. } | Self::Busy => false,
        }
    }
}

impl Invocation {
    /// Of a tool with messages in the locale C: the program, arguments of its own, and `arguments`.
    pub(super) fn of_tool(tool: &[&str], arguments: &[&str], limit: Duration) -> Self {
        let (program, own) = tool.split_first().unwrap_or((&"", &[]));
        Self {
            program: program.into(),
            arguments: own.iter().chain(arguments).map(|it| (*it).to_owned()).collect(),
            environment: vec![("LC_ALL", "C".to_owned())],
            limit,
            needs_ipmi_password: false,
        }
    }

    /// Runs it to its end. Dropping this kills it.
    ///
    /// # Errors
    ///
    /// [`StartError`]: it did not run.
    pub(super) async fn run(&self) -> Result<Finished, StartError> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, TURNS.acquire()).await;
        let Ok(Ok(turn)) = turn else { return Err(StartError::Busy) };
        let failed = |source| StartError::new(&self.program, source);
        let program = Program::start(self).map_err(failed)?;
        let (finished, waiting) = oneshot::channel();
        // A task of its own: it waits for the program even if nobody waits for this.
        drop(tasks::spawn("crash dump program", program.supervise(self.limit, turn, finished)));
        waiting.await.map_err(|_| failed(io::Error::other("gridd stops")))
    }

    /// The command, without those of `ours`, gridd's variables, that are not for others.
    pub(super) fn command(&self, ours: impl Iterator<Item = OsString>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ours.filter(|name| name.to_string_lossy().starts_with(OWN_VARIABLES)) {
            command.env_remove(name);
        }
        for name in SERVICE_MANAGER_VARIABLES {
            command.env_remove(name);
        }
        if !self.needs_ipmi_password {
            command.env_remove(IPMI_PASSWORD);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running program. Dropping it kills its process group.
#[derive(Debug)]
struct Program {
    child: Child,
    is_reaped: bool,
    ends: unix::Signal,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
}

impl Program {
    fn start(invocation: &Invocation) -> io::Result<Self> {
        // Registered before the program can end.
        let ends = unix::signal(SignalKind::child())?;
        let mut child = invocation.command(std::env::vars_os().map(|it| it.0)).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let receiver = pipe::Receiver::from_owned_fd;
        let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
        let (stdout, stderr) = (receiver(stdout)?, receiver(stderr)?);
        Ok(Self { child, is_reaped: false, ends, stdout, stderr })
    }

    /// Waits for its end within `limit`, and as long as `finished` has a receiver.
    async fn supervise(
        mut self,
        limit: Duration,
        _turn: SemaphorePermit<'static>,
        mut finished: oneshot::Sender<Finished>,
    ) {
        let mut output = Output::default();
        let end = {
            let Self { child, is_reaped, ends, stdout, stderr } = &mut self;
            let reading = read_both(stdout, stderr, &mut output);
            tokio::pin!(reading);
            let mut is_read = false;
            let deadline = tokio::time::sleep(limit);
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    status = wait(child, is_reaped, ends) => {
                        if !is_read {
                            let _ = tokio::time::timeout(DRAIN_TIMEOUT, &mut reading).await;
                        }
                        break Some(End::from(status));
                    }
                    () = &mut reading, if !is_read => is_read = true,
                    () = &mut deadline => break Some(End::TimedOut),
                    () = finished.closed() => break None,
                }
            }
        };
        let killed = match end {
            Some(End::Exited(_) | End::Signalled(_)) => false,
            Some(End::TimedOut) | None => true,
        };
        if killed {
            self.kill();
            let Self { child, is_reaped, ends, .. } = &mut self;
            let ended = wait(child, is_reaped, ends);
            let _ = tokio::time::timeout(KILL_TIMEOUT, ended).await;
        }
        if let Some(end) = end {
            let _ = finished.send(Finished { end, output });
        }
        // One that the kernel holds ends later, and keeps its turn until then.
        let Self { child, is_reaped, ends, .. } = &mut self;
        wait(child, is_reaped, ends).await;
    }

    /// Kills all processes of its group. Its number is its own until the program is waited for.
    fn kill(&self) {
        if !self.is_reaped {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Exited(code),
            None => Self::Signalled(status.signal().unwrap_or_default()),
        }
    }
}

/// Waits for the end. May be dropped and called again.
async fn wait(child: &mut Child, is_reaped: &mut bool, ends: &mut unix::Signal) -> ExitStatus {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            *is_reaped = true;
            return status;
        }
        ends.recv().await;
    }
}
