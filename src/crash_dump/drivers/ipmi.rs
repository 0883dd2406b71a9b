//! The driver `ipmi`: a diagnostic interrupt by `ipmitool chassis power diag`.
//!
//! `ipmitool` ends with 1 whatever goes wrong, so failures are told apart by its words (version
//! 1.8.19). Guarantees that the password is in no command line. Does not speak IPMI itself.

use std::fs::File;
use std::time::Duration;

use super::process::{End, Finished, Invocation, StartError};
use super::{CheckError, TriggerError, Triggered, last_line, quote};
use crate::crash_dump::DumpTarget;
use crate::system_error::Explained;

/// The program, on PATH.
const IPMITOOL: &str = "ipmitool";

/// The variable with the password.
const PASSWORD_VARIABLE: &str = "IPMI_PASSWORD";

/// Seconds until a message is sent again, and how often: 6 s until a BMC is known to be away, 20 s by
/// default (crash-dump-vm.md, section 9).
const RETRIES: [&str; 4] = ["-N", "1", "-R", "2"];

/// `ipmitool` says this both of a BMC that does not answer and of a wrong password.
const NO_SESSION: &str = "Unable to establish";

/// The BMC knows no diagnostic interrupt.
const NOT_KNOWN: [&str; 3] =
    ["Invalid data field in request", "Invalid command", "Parameter out of range"];

/// Checks that the BMC answers and the machine has power.
pub(super) async fn check(target: &DumpTarget) -> Result<Vec<String>, CheckError> {
    check_by(&[IPMITOOL], target, std::env::var_os(PASSWORD_VARIABLE).is_some()).await
}

/// Requests the diagnostic interrupt.
pub(super) async fn trigger(target: &DumpTarget) -> Result<Triggered, TriggerError> {
    trigger_by(&[IPMITOOL], target).await
}

/// Host and port of the BMC.
fn bmc(target: &DumpTarget) -> String {
    format!("{}, port {}", target.expand(&target.settings.host), target.settings.port)
}

fn invocation(ipmitool: &[&str], target: &DumpTarget, command: &str) -> Invocation {
    let settings = &target.settings;
    let (host, port) = (target.expand(&settings.host), settings.port.to_string());
    let (user, file) = (target.expand(&settings.user), target.expand(&settings.password_file));
    let mut arguments = vec!["-I", "lanplus", "-H", &host, "-p", &port, "-U", &user];
    if file.is_empty() {
        arguments.push("-E");
    } else {
        arguments.extend(["-f", &file]);
    }
    arguments.extend(RETRIES);
    arguments.extend(["chassis", "power", command]);
    let tool = Invocation::of_tool(ipmitool, &arguments, settings.timeout);
    Invocation { needs_ipmi_password: true, ..tool }
}

/// Why there is no password. Without one, `ipmitool` would ask the terminal.
fn password_problem(target: &DumpTarget, has_variable: bool) -> Option<String> {
    let file = target.expand(&target.settings.password_file);
    if file.is_empty() {
        return (!has_variable).then(|| {
            format!(
                "there is no password of the BMC: neither crash_dump.password_file nor the variable \
                 {PASSWORD_VARIABLE} of gridd is set"
            )
        });
    }
    let error = File::open(&file).err()?;
    Some(format!("can't read the password file {file}: {}", Explained(&error)))
}

pub(super) async fn check_by(
    ipmitool: &[&str],
    target: &DumpTarget,
    has_variable: bool,
) -> Result<Vec<String>, CheckError> {
    if target.settings.host.is_empty() {
        return Err(CheckError::Unsupported("no host of a BMC is configured".to_owned()));
    }
    if let Some(problem) = password_problem(target, has_variable) {
        return Err(CheckError::Unsupported(problem));
    }
    let run = invocation(ipmitool, target, "status").run().await;
    let Finished { end, output } = run.map_err(CheckError::not_started)?;
    let (stdout, stderr) = (output.stdout(), output.stderr());
    match end {
        End::Exited(0) if stdout.contains("Chassis Power is on") => Ok(Vec::new()),
        End::Exited(0) if stdout.contains("Chassis Power is off") => {
            Err(CheckError::NotNow(format!("the machine of the BMC {} is off", bmc(target))))
        }
        End::Exited(0) => {
            let said = quote(stdout.trim());
            Err(CheckError::NotNow(format!(
                "the BMC {} tells no power status: {said}",
                bmc(target)
            )))
        }
        End::Exited(_) if stderr.contains(NO_SESSION) => {
            Err(CheckError::NotNow(no_session(target, &stderr)))
        }
        End::Exited(_) => {
            let said = last_line(&stderr);
            Err(CheckError::NotNow(format!("ipmitool cannot ask the BMC {}: {said}", bmc(target))))
        }
        End::Signalled(_) | End::TimedOut => {
            let limit = target.settings.timeout;
            let ended = TriggerError::interrupted(IPMITOOL, end, limit, String::new());
            Err(CheckError::NotNow(ended.why))
        }
    }
}

fn no_session(target: &DumpTarget, stderr: &str) -> String {
    format!(
        "the BMC {} does not answer, or does not accept the user or the password (ipmitool has the \
         same words for both): {}",
        bmc(target),
        last_line(stderr)
    )
}

pub(super) async fn trigger_by(
    ipmitool: &[&str],
    target: &DumpTarget,
) -> Result<Triggered, TriggerError> {
    let run = invocation(ipmitool, target, "diag").run().await;
    result(target, run, target.settings.timeout)
}

fn result(
    target: &DumpTarget,
    run: Result<Finished, StartError>,
    limit: Duration,
) -> Result<Triggered, TriggerError> {
    let Finished { end, output } = run.map_err(TriggerError::not_started)?;
    let (text, stderr) = (output.text(), output.stderr());
    let said = last_line(&stderr);
    let (why, is_unknown) = match end {
        End::Exited(0) => return Ok(Triggered { note: String::new(), output: text }),
        End::Signalled(_) | End::TimedOut => {
            return Err(TriggerError::interrupted(IPMITOOL, end, limit, text));
        }
        End::Exited(_) if NOT_KNOWN.iter().any(|words| stderr.contains(words)) => (
            format!("the BMC {} does not support diagnostic interrupts: {said}", bmc(target)),
            false,
        ),
        End::Exited(_) if stderr.contains("Set Chassis Power Control to Diag failed") => {
            (format!("the BMC {} refuses the diagnostic interrupt: {said}", bmc(target)), false)
        }
        End::Exited(_) if stderr.contains(NO_SESSION) => (no_session(target, &stderr), false),
        // Such as `Unable to set Chassis Power Control to Diag`: it was sent, and no answer came.
        End::Exited(_) => {
            let bmc = bmc(target);
            (format!("the BMC {bmc} did not confirm the diagnostic interrupt: {said}"), true)
        }
    };
    Err(TriggerError { why, output: text, is_unknown })
}
