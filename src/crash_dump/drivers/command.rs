//! The driver `command`: runs a program of the operator.
//!
//! Guarantees that arguments reach the program as they are, without a shell, with placeholders replaced
//! within each. Does not know what the program does: exit code 0 means that it triggered a crash dump.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};

use super::process::{End, Finished, Invocation, StartError};
use super::{CheckError, TriggerError, Triggered};
use crate::crash_dump::DumpTarget;
use crate::system_error::Explained;

/// Checks that the program exists and may be run. It is not run.
pub(super) fn check(target: &DumpTarget) -> Result<Vec<String>, CheckError> {
    let program = target.expand(&target.settings.program);
    if program.is_empty() {
        return Err(CheckError::Unsupported("no program is configured".to_owned()));
    }
    let path = Path::new(&program);
    if !path.is_absolute() {
        let why = format!("the path of the program, {program}, does not begin with /");
        return Err(CheckError::Unsupported(why));
    }
    let unsupported = |error: std::io::Error| {
        CheckError::Unsupported(format!("{program} cannot be run: {}", Explained(&error)))
    };
    if path.metadata().map_err(unsupported)?.is_dir() {
        return Err(CheckError::Unsupported(format!("{program} is a folder, not a program")));
    }
    access(path, Access::EXEC_OK).map_err(|error| unsupported(error.into()))?;
    Ok(Vec::new())
}

/// Runs the program.
pub(super) async fn trigger(target: &DumpTarget) -> Result<Triggered, TriggerError> {
    let settings = &target.settings;
    let arguments = settings.arguments.iter().map(|argument| target.expand(argument));
    let invocation = Invocation {
        program: target.expand(&settings.program).into(),
        arguments: arguments.collect(),
        environment: vec![
            ("GRID_APPLIANCE", target.name.to_string()),
            ("GRID_APPLIANCE_UUID", target.uuid.to_string()),
        ],
        limit: settings.timeout,
        needs_ipmi_password: false,
    };
    result(invocation.run().await, settings.timeout)
}

fn result(run: Result<Finished, StartError>, limit: Duration) -> Result<Triggered, TriggerError> {
    let Finished { end, output } = run.map_err(TriggerError::not_started)?;
    let output = output.text();
    match end {
        End::Exited(0) => Ok(Triggered { note: String::new(), output }),
        End::Exited(code) => {
            let why = format!("the program ended with exit code {code}");
            Err(TriggerError { why, output, is_unknown: false })
        }
        End::Signalled(_) | End::TimedOut => {
            Err(TriggerError::interrupted("the program", end, limit, output))
        }
    }
}
