//! `vme drain`: the detached process that a call leaves behind if it could not send its event.
//!
//! It sends the waiting events of one spool and ends when none waits. Guarantees at most one per
//! spool, and that it gives way to calls and to an agent. Does not know what it sends.

use std::process::{Command, Stdio};
use std::time::Duration;

use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{Spool, SpoolError};
use grid_broker::tasks;
use rustix::process::{getpid, setsid};

use crate::agent::long_backoff;
use crate::config::{AccessOption, ClientConfig};
use crate::sender::{SendQueue, SpoolSender, StopWhen};

/// How often the sender lock is polled.
pub(crate) const OWNER_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Spawns a drainer, unless a drainer or an agent runs.
pub(crate) fn spawn_drainer(config: &ClientConfig, spool: &Spool) -> Result<(), SpoolError> {
    let Some(mut lock) = spool.try_lock_drainer()? else { return Ok(()) };
    // The note is of a process that has ended; a starting agent must not believe it.
    let _ = lock.set_note("");
    drop(lock);
    let Ok(program) = std::env::current_exe() else { return Ok(()) };
    let target = &config.target;
    let mut command = Command::new(program);
    command.arg("drain").args(["--broker", &target.broker, "--appliance", &target.appliance]);
    command.arg("--state").arg(spool.folder()).current_dir("/");
    for AccessOption { option, value, .. } in &config.access_options {
        command.arg(option).arg(value);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The drainer may live for days, so it inherits no open descriptors of our caller.
    close_fds::set_fds_cloexec(3, &[]);
    // If it does not start, the next call sends the spool. If it ends before us it is reaped, so
    // that it leaves no zombie.
    if let Ok(mut child) = command.spawn() {
        drop(tasks::spawn_thread("drainer's end", move || child.wait()));
    }
    Ok(())
}

/// Sends the waiting events, and ends.
pub(crate) async fn run(config: &ClientConfig) -> ExitCode {
    // Leaves the terminal and the session of the caller; a group leader has left them already.
    let _ = setsid();
    match drain(config).await {
        Ok(()) => ExitCode::Done,
        Err(error) => {
            crate::print_line(&error.to_string());
            ExitCode::Failed
        }
    }
}

async fn drain(config: &ClientConfig) -> Result<(), SpoolError> {
    let spool = config.spool()?;
    let Some(mut drainer) = spool.try_lock_drainer()? else { return Ok(()) };
    // A starting agent reads the note to ask for the lock.
    let _ = drainer.set_note(&format!("drainer {}", getpid()));
    let queue = SendQueue::new(spool, None);
    let mut sender =
        SpoolSender::new(config, queue, StopWhen::Empty(Some(drainer)), long_backoff());
    sender.run().await
}
