//! Starts a command, forwards signals to it, and waits for its end.
//!
//! Guarantees a process group of its own, so that a forwarded signal reaches all processes of a
//! start script once, and that an end has a description and a shell's exit code. Does not know what
//! the command is for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use grid_broker::show::escape;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{self, SignalKind};

use crate::config::{AccessOption, ClientConfig};
use crate::start_script;

/// A command could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    /// There is no such program.
    #[error("{0} is not found")]
    NotFound(String),
    /// It exists, but the interpreter named by its first line does not.
    #[error("{0}")]
    Interpreter(String),
    /// It may not be executed, or is not a program.
    #[error("{0} is not executable: {1}")]
    NotExecutable(String, io::Error),
    /// The system refuses to start it.
    #[error("cannot start {0}: {1}")]
    System(String, io::Error),
}

impl SpawnError {
    fn new(program: &OsStr, error: io::Error) -> Self {
        let missing = error.raw_os_error() == Some(libc::ENOENT);
        if missing && let Some(reason) = start_script::interpreter_error(program.as_ref()) {
            return Self::Interpreter(reason);
        }
        let program = escape::excerpt(&program.to_string_lossy());
        match error.raw_os_error() {
            Some(libc::ENOENT) => Self::NotFound(program),
            Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::EPERM) => {
                Self::NotExecutable(program, error)
            }
            Some(_) | None => Self::System(program, error),
        }
    }

    /// As a shell has it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::Interpreter(_) | Self::NotExecutable(_, _) | Self::System(_, _) => 126,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildStatus {
    /// By itself, with this status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
}

impl ChildStatus {
    fn new(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => Self::Killed(signal.unwrap_or_default()),
        }
    }

    pub(crate) fn is_success(self) -> bool {
        self == Self::Exited(0)
    }

    /// As a shell has it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// For people: `exit status 3`, `killed by SIGSEGV`.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Exited(126) => "exit status 126, a command is not executable".to_owned(),
            Self::Exited(127) => "exit status 127, a command is not found".to_owned(),
            Self::Exited(code) => format!("exit status {code}"),
            Self::Killed(signal) => format!("killed by {}", signal_name(signal)),
        }
    }
}

/// `SIGTERM`, or `signal 34` for one without a name.
pub(crate) fn signal_name(signal: i32) -> String {
    let named = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGXFSZ, "SIGXFSZ"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    let name = named.iter().find(|(number, _)| *number == signal);
    name.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

/// A command with these arguments. If it calls vme, it reports for the same appliance and broker.
pub(crate) fn child_command(line: &[OsString], config: &ClientConfig) -> Command {
    let (program, arguments) = line.split_first().expect("clap requires at least one argument");
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    command.env("GRID_BROKER", &config.target.broker);
    command.env("VME_APPLIANCE", &config.target.appliance);
    command.env("VME_STATE", &config.state_folder);
    for AccessOption { variable, value, .. } in &config.access_options {
        command.env(variable, value);
    }
    command
}

/// Our standard input, unless it is a terminal: a reader outside the foreground group is stopped.
pub(crate) fn child_stdin() -> Stdio {
    if io::IsTerminal::is_terminal(&io::stdin()) { Stdio::null() } else { Stdio::inherit() }
}

/// A running command.
#[derive(Debug)]
pub(crate) struct RunningChild {
    child: Child,
    child_signals: unix::Signal,
}

impl RunningChild {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Result<(Self, ProcessGroup), SpawnError> {
        let failed = |command: &Command, error| SpawnError::new(command.get_program(), error);
        // Registered before the command can end.
        let ends = unix::signal(SignalKind::child()).map_err(|error| failed(&command, error))?;
        let child = command.spawn().map_err(|error| failed(&command, error))?;
        let group = ProcessGroup(Pid::from_child(&child));
        Ok((Self { child, child_signals: ends }, group))
    }

    /// Waits for its end. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> ChildStatus {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return ChildStatus::new(status),
                Ok(None) => {}
                // No other code waits for this child, so this does not happen; count it as a
                // failure.
                Err(_) => return ChildStatus::Exited(u8::MAX),
            }
            self.child_signals.recv().await;
        }
    }

    /// Waits for its end and forwards signals meanwhile. Also returns the first stop request.
    pub(crate) async fn wait_forwarding_signals(
        &mut self,
        group: ProcessGroup,
        signals: &mut SignalListener,
    ) -> (ChildStatus, Option<Signal>) {
        let mut stop_signal = None;
        loop {
            tokio::select! {
                end = self.wait() => return (end, stop_signal),
                signal = signals.next() => {
                    group.signal_group(signal);
                    stop_signal = stop_signal.or(Some(signal).filter(|signal| is_stop_request(*signal)));
                }
            }
        }
    }
}

/// The receivers of forwarded signals. After the end there may be none left, which is no error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessGroup(Pid);

impl ProcessGroup {
    /// Signals the command and all processes that it started.
    pub(crate) fn signal_group(self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// Signals the command only. Not to be used after its end.
    pub(crate) fn signal_leader(self, signal: Signal) {
        let _ = kill_process(self.0, signal);
    }
}

/// The forwarded signals. SIGUSR2 is not one: it asks vme itself for a report.
const FORWARDED_SIGNALS: [Signal; 5] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1];

/// The signals that vme receives. A signal that was ignored at the start stays ignored, for
/// `nohup`.
#[derive(Debug)]
pub(crate) struct SignalListener([Option<unix::Signal>; FORWARDED_SIGNALS.len()]);

impl SignalListener {
    pub(crate) fn listen() -> Self {
        let ignored =
            ignored_signals(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        Self(FORWARDED_SIGNALS.map(|signal| {
            let raw = signal.as_raw();
            let listens = ignored & (1 << (raw - 1)) == 0;
            listens.then(|| unix::signal(SignalKind::from_raw(raw)).ok()).flatten()
        }))
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (listened, signal) in self.0.iter_mut().zip(FORWARDED_SIGNALS) {
                if let Some(listened) = listened
                    && listened.poll_recv(context).is_ready()
                {
                    return std::task::Poll::Ready(signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Signals by which the system ends a program that exceeds a limit (`ulimit -f`, `ulimit -t`) or
/// has no handler for a timer.
const LIMIT_SIGNALS: [i32; 6] =
    [libc::SIGXFSZ, libc::SIGXCPU, libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGPWR];

/// Lets vme survive such signals, so that it reports the outcome; a failed write is then an
/// ordinary error. Must be called in the runtime. Handlers are not inherited through exec, so
/// commands get the signals as vme got them; an ignored signal stays ignored.
pub(crate) fn survive_limit_signals() {
    let ignored =
        ignored_signals(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    for raw in LIMIT_SIGNALS.into_iter().filter(|raw| ignored & (1 << (raw - 1)) == 0) {
        // Stays set for the life of the process. Without it all works unless a limit is exceeded.
        drop(unix::signal(SignalKind::from_raw(raw)));
    }
}

/// Whether the signal asks the process to end.
pub(crate) fn is_stop_request(signal: Signal) -> bool {
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM].contains(&signal)
}

/// The mask of ignored signals in `/proc/PID/status`; bit 0 is signal 1.
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_the_exit_code_of_a_shell() {
        for (end, code, words) in [
            (ChildStatus::Exited(0), 0, "exit status 0"),
            (ChildStatus::Exited(3), 3, "exit status 3"),
            (ChildStatus::Exited(127), 127, "exit status 127, a command is not found"),
            (ChildStatus::Killed(15), 143, "killed by SIGTERM"),
            (ChildStatus::Killed(34), 162, "killed by signal 34"),
        ] {
            assert_eq!((end.exit_code(), end.describe().as_str()), (code, words));
            assert_eq!(end.is_success(), code == 0);
        }
    }

    #[test]
    fn ignored_signals_are_parsed_from_the_kernels_mask() {
        assert_eq!(ignored_signals("Name:\tvme\nSigIgn:\t0000000000001001\nSigCgt:\t1\n"), 0x1001);
        assert_eq!(ignored_signals(""), 0);
    }

    #[test]
    fn a_spawn_error_has_a_cause_and_an_exit_code() {
        let error =
            |number| SpawnError::new(OsStr::new("a\n"), io::Error::from_raw_os_error(number));
        assert_eq!(error(libc::ENOENT).to_string(), r"a\n is not found");
        assert_eq!(error(libc::ENOENT).exit_code(), 127);
        let denied = error(libc::EACCES);
        assert!(denied.to_string().starts_with(r"a\n is not executable: Permission denied"));
        assert_eq!((denied.exit_code(), error(libc::EAGAIN).exit_code()), (126, 126));
    }
}
