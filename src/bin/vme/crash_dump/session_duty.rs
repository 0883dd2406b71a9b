//! What a session of the agent does for crash dumps: tells the broker whether the kernel is ready, and
//! crashes it when the broker says so.
//!
//! ```text
//! Command -> CommandResult{done} -> the broker's Notice that it has arrived, or 2 s -> sysrq
//! ```
//!
//! Guarantees that the kernel is crashed only with leave, only in time by the broker's clock, and after
//! the result. Does not know how messages are sent.

use std::time::Duration;

use grid_broker::clock::{machine_uptime, monotonic_now};
use grid_broker::contract::decode_timestamp;
use grid_broker::contract::proto::command::Kind;
use grid_broker::contract::proto::{Command, CommandResult, CrashDumpReadiness, Notice, Welcome};
use grid_broker::grid::values::time::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::crash_dump::CrashDumpConfig;
use crate::crash_dump::kernel::{Kernel, SysrqTrigger};
use crate::print_line;

/// The capability of a session that may be ordered to crash the kernel.
const CAPABILITY: &str = "crash-dump";

/// The broker's word that a result has arrived.
const RESULT_RECEIVED: &str = "RESULT_RECEIVED";

/// How long the kernel's crash waits for that word: a broker that is gone does not prevent it.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);

/// How often the kernel is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What the agent does for crash dumps, in all its sessions.
#[derive(Debug)]
pub(crate) struct CrashDumpDuty {
    kernel: Kernel,
    /// Whether it has leave, by its options.
    has_leave: bool,
    /// Whether sessions say so: the kernel could be crashed when the agent started.
    is_offered: bool,
}

impl CrashDumpDuty {
    /// Says once, on the agent's own output, what came of the leave.
    pub(crate) fn new(config: &CrashDumpConfig) -> Self {
        let (kernel, has_leave) = (config.kernel.clone(), config.has_leave);
        let possible = has_leave.then(|| kernel.open_sysrq());
        match &possible {
            Some(Ok(trigger)) => print_line(&format!(
                "the broker may order a crash dump: then `c` is written to {}",
                trigger.path().display()
            )),
            Some(Err(error)) => {
                print_line(&format!("crash dumps are allowed, but not possible: {error}"));
            }
            None => {}
        }
        Self { kernel, has_leave, is_offered: matches!(possible, Some(Ok(_))) }
    }

    /// The capabilities of a session.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        if self.is_offered { vec![CAPABILITY.to_owned()] } else { Vec::new() }
    }

    /// What the kernel tells now.
    pub(crate) fn readiness(&self) -> CrashDumpReadiness {
        self.kernel.readiness()
    }

    fn prepare(&self) -> Result<SysrqTrigger, String> {
        if !self.has_leave {
            return Err(
                "crash dumps are not allowed here: start `vme agent --allow-crash-dump`, or \
                        set VME_ALLOW_CRASH_DUMP=yes"
                    .to_owned(),
            );
        }
        self.kernel.open_sysrq().map_err(|error| error.to_string())
    }
}

/// What one session does for crash dumps.
#[derive(Debug)]
pub(crate) struct SessionDuty<'a> {
    /// `None`: not the session of an agent.
    duty: Option<&'a CrashDumpDuty>,
    reported: Option<CrashDumpReadiness>,
    look_at: Instant,
    /// Broker time and uptime at the welcome.
    welcomed_at: (Option<Timestamp>, Duration),
    armed: Option<ArmedCrash>,
}

/// The result is sent, the crash follows.
#[derive(Debug)]
struct ArmedCrash {
    trigger: SysrqTrigger,
    at: Instant,
}

impl<'a> SessionDuty<'a> {
    /// Of a session that reported `reported` in its hello.
    pub(crate) fn new(
        duty: Option<&'a CrashDumpDuty>,
        reported: Option<CrashDumpReadiness>,
        welcome: &Welcome,
    ) -> Self {
        let broker_time = welcome.server_time.as_ref().and_then(decode_timestamp);
        let look_at = monotonic_now() + LOOK_INTERVAL;
        Self { duty, reported, look_at, welcomed_at: (broker_time, machine_uptime()), armed: None }
    }

    /// The result of a command. If it is done, the crash follows: see [`Self::due`].
    pub(crate) fn on_command(&mut self, command: &Command) -> CommandResult {
        let prepared = match (&command.kind, self.duty) {
            (None, _) => Err("this vme does not know the command".to_owned()),
            (Some(Kind::CrashDump(_)), None) => {
                Err("only `vme agent` executes commands".to_owned())
            }
            (Some(Kind::CrashDump(_)), Some(_)) if self.armed.is_some() => {
                Err("a crash dump has been ordered already".to_owned())
            }
            (Some(Kind::CrashDump(_)), Some(_)) if self.is_late(command) => {
                Err("the command arrived after its deadline".to_owned())
            }
            (Some(Kind::CrashDump(_)), Some(duty)) => duty.prepare(),
        };
        let command_id = command.command_id.clone();
        match prepared {
            Ok(trigger) => {
                print_line("the broker ordered a crash dump: the kernel crashes now");
                let text = format!("`c` is written to {}", trigger.path().display());
                self.armed = Some(ArmedCrash { trigger, at: monotonic_now() + CONFIRMED_WITHIN });
                CommandResult { command_id, done: true, text }
            }
            Err(text) => {
                print_line(&format!("a command of the broker is refused: {text}"));
                CommandResult { command_id, done: false, text }
            }
        }
    }

    /// The broker may have the result.
    pub(crate) fn on_notice(&mut self, notice: &Notice) {
        if notice.reason == RESULT_RECEIVED {
            self.crash();
        }
    }

    /// Waits until [`Self::act`] has something to do. Cancel-safe.
    pub(crate) async fn due(&self) {
        match (&self.armed, self.duty) {
            (Some(armed), _) => sleep_until(armed.at).await,
            (None, Some(_)) => sleep_until(self.look_at).await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Crashes the kernel, or looks at it. Returns what is to be reported to the broker.
    pub(crate) fn act(&mut self) -> Option<CrashDumpReadiness> {
        self.crash();
        self.look_at = monotonic_now() + LOOK_INTERVAL;
        let now = self.duty?.readiness();
        (self.reported.replace(now) != Some(now)).then_some(now)
    }

    /// A session that ended does not confirm the result any more: the order stands.
    pub(crate) fn session_ended(&mut self) {
        self.crash();
    }

    fn crash(&mut self) {
        let Some(ArmedCrash { trigger, .. }) = self.armed.take() else { return };
        let path = trigger.path().display().to_string();
        match trigger.crash() {
            // Nothing after it runs on a real kernel.
            Ok(()) => print_line(&format!("`c` was written to {path}, and the kernel still runs")),
            Err(error) => print_line(&format!("no crash dump: {error}")),
        }
    }

    /// Whether the deadline has passed, by broker time: the wall clock here may be wrong. A command may
    /// have waited in a connection of a process that was stopped.
    fn is_late(&self, command: &Command) -> bool {
        let (Some(then), uptime_then) = self.welcomed_at else { return false };
        let now = then.after(machine_uptime().saturating_sub(uptime_then));
        let deadline = command.deadline.as_ref().and_then(decode_timestamp);
        deadline.is_some_and(|deadline| deadline < now)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use grid_broker::contract::encode_timestamp;
    use grid_broker::contract::proto::CrashDumpCommand;

    use super::*;

    const BROKER_TIME: i64 = 1_700_000_000_000_000;

    /// A root folder with an empty trigger, in no container.
    fn root() -> tempfile::TempDir {
        let root = tempfile::TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::create_dir_all(root.path().join("sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sysrq-trigger"), "").unwrap();
        root
    }

    fn duty(root: &Path, has_leave: bool) -> CrashDumpDuty {
        let kernel = Kernel::at(root);
        CrashDumpDuty::new(&CrashDumpConfig { has_leave, folder: None, kernel })
    }

    fn welcome() -> Welcome {
        let server_time = Some(encode_timestamp(Timestamp::from_micros(BROKER_TIME)));
        Welcome { server_time, ..Welcome::default() }
    }

    /// A command with a deadline that long after the welcome.
    fn command(deadline_s: i64) -> Command {
        let deadline = Timestamp::from_micros(BROKER_TIME + deadline_s * 1_000_000);
        Command {
            command_id: "c1".to_owned(),
            deadline: Some(encode_timestamp(deadline)),
            kind: Some(Kind::CrashDump(CrashDumpCommand {})),
        }
    }

    fn written(root: &Path) -> Vec<u8> {
        fs::read(root.join("proc/sysrq-trigger")).unwrap()
    }

    #[test]
    fn with_leave_the_kernel_crashes_after_the_result_has_arrived() {
        let root = root();
        let duty = duty(root.path(), true);
        assert_eq!(duty.capabilities(), ["crash-dump"]);
        let mut session = SessionDuty::new(Some(&duty), None, &welcome());
        let result = session.on_command(&command(60));
        assert!(result.done && result.command_id == "c1", "{result:?}");
        let again = session.on_command(&command(60));
        assert!(!again.done && again.text.contains("already"), "{again:?}");
        session.on_notice(&Notice { reason: "SUPPRESSED".to_owned(), ..Notice::default() });
        assert_eq!(written(root.path()), b"");
        session.on_notice(&Notice { reason: RESULT_RECEIVED.to_owned(), ..Notice::default() });
        assert_eq!(written(root.path()), b"c");
        // A further notice crashes nothing.
        fs::write(root.path().join("proc/sysrq-trigger"), "").unwrap();
        session.on_notice(&Notice { reason: RESULT_RECEIVED.to_owned(), ..Notice::default() });
        assert_eq!(written(root.path()), b"");
    }

    #[tokio::test]
    async fn a_broker_that_is_gone_does_not_prevent_the_crash() {
        for is_ended in [false, true] {
            let root = root();
            let duty = duty(root.path(), true);
            let mut session = SessionDuty::new(Some(&duty), None, &welcome());
            assert!(session.on_command(&command(60)).done);
            if is_ended {
                session.session_ended();
            } else {
                let begun = monotonic_now();
                session.due().await;
                assert!(begun.elapsed() < LOOK_INTERVAL, "the confirmation is waited for");
                session.act();
            }
            assert_eq!(written(root.path()), b"c");
        }
    }

    #[test]
    fn without_leave_or_means_or_time_nothing_is_written() {
        let root = root();
        let refuse = |duty: Option<&CrashDumpDuty>, command: &Command, why: &str| {
            let mut session = SessionDuty::new(duty, None, &welcome());
            let result = session.on_command(command);
            assert!(!result.done && result.text.contains(why), "{result:?}");
            session.session_ended();
            assert_eq!(written(root.path()), b"", "{why}");
        };
        let (allowed, forbidden) = (duty(root.path(), true), duty(root.path(), false));
        assert_eq!(forbidden.capabilities(), Vec::<String>::new());
        refuse(Some(&forbidden), &command(60), "--allow-crash-dump");
        refuse(Some(&allowed), &command(-1), "after its deadline");
        refuse(None, &command(60), "only `vme agent`");
        refuse(Some(&allowed), &Command { kind: None, ..command(60) }, "does not know");
        fs::write(root.path().join(".dockerenv"), "").unwrap();
        refuse(Some(&allowed), &command(60), "container");
        assert_eq!(duty(root.path(), true).capabilities(), Vec::<String>::new());
    }

    #[test]
    fn a_change_of_the_kernel_is_told_once() {
        let root = root();
        let duty = duty(root.path(), false);
        let mut session = SessionDuty::new(Some(&duty), Some(duty.readiness()), &welcome());
        assert_eq!(session.act(), None);
        fs::write(root.path().join("sys/kernel/kexec_crash_loaded"), "1\n").unwrap();
        let reported = session.act().expect("it changed");
        assert!(reported.crash_kernel_loaded);
        assert_eq!(session.act(), None);
    }
}
