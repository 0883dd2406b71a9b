//! `vme drain`: what a call leaves behind that could not send its event.
//!
//! One process a spool, detached, which sends what waits and ends when nothing does. Guarantees that
//! there is one at most, and that it gives way to calls and to an agent. Does not know what it sends.

use std::process::{Command, Stdio};
use std::time::Duration;

use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{Spool, SpoolError};
use grid_broker::tasks;
use rustix::process::{getpid, setsid};

use crate::agent::patient_pauses;
use crate::sender::{Desk, Sender, Until};
use crate::speaker::Speaker;

/// How often it is looked whether the right to send is free.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Leaves a drainer behind, unless there is one or an agent.
pub(crate) fn leave_one(speaker: &Speaker, spool: &Spool) -> Result<(), SpoolError> {
    let Some(mut held) = spool.try_drainer()? else { return Ok(()) };
    // What is left there is of one that has gone; an agent that begins is not to believe it.
    let _ = held.leave_word("");
    drop(held);
    let Ok(program) = std::env::current_exe() else { return Ok(()) };
    let way = &speaker.way;
    let mut command = Command::new(program);
    command.arg("drain").args(["--broker", &way.broker, "--appliance", &way.appliance]);
    command.arg("--state").arg(spool.folder()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What whoever called us left open is none of the drainer's: it may live for days.
    close_fds::set_fds_cloexec(3, &[]);
    // Without one the next call sends what waits. One that ends before us is waited for, so that it
    // leaves nothing.
    if let Ok(mut child) = command.spawn() {
        drop(tasks::spawn_thread("drainer's end", move || child.wait()));
    }
    Ok(())
}

/// Sends what waits, and ends.
pub(crate) async fn run(speaker: &Speaker) -> ExitCode {
    // Away from the terminal and the session of whoever called; a leader of a group is away already.
    let _ = setsid();
    match drain(speaker).await {
        Ok(()) => ExitCode::Done,
        Err(error) => {
            crate::tell(&error.to_string());
            ExitCode::Failed
        }
    }
}

async fn drain(speaker: &Speaker) -> Result<(), SpoolError> {
    let spool = speaker.spool()?;
    let Some(mut drainer) = spool.try_drainer()? else { return Ok(()) };
    // An agent that begins reads it, to ask for the duty.
    let _ = drainer.leave_word(&format!("drainer {}", getpid()));
    let desk = Desk::new(spool, None);
    let mut sender = Sender::new(speaker, desk, Until::Empty(Some(drainer)), patient_pauses());
    sender.run().await
}
