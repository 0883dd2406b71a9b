//! The driver `libvirt`: injects an NMI by `virsh inject-nmi`.
//!
//! `virsh` ends with 1 whatever goes wrong, so failures are told apart by its words, in the locale C
//! (libvirt 9.0). Guarantees that no domain is taken for an option or an id. Does not know the
//! libraries of libvirt: a daemon that hangs cannot hang gridd.

use std::time::Duration;

use super::process::{End, Finished, Invocation, StartError};
use super::{CheckError, PAUSED, TriggerError, Triggered, last_line, quote};
use crate::crash_dump::DumpTarget;

/// The program, on PATH.
const VIRSH: &str = "virsh";

/// States in which a domain takes an NMI at once. `idle` waits for a device (Xen).
const RUNNING: [&str; 2] = ["running", "idle"];

/// What `virsh` says when the connection breaks, so that it is unknown what happened.
const CONNECTION_LOST: [&str; 4] = [
    "End of file while reading data",
    "client socket is closed",
    "Cannot read data",
    "connection closed due to keepalive timeout",
];

/// Checks that the domain exists and runs.
pub(super) async fn check(target: &DumpTarget) -> Result<Vec<String>, CheckError> {
    check_by(&[VIRSH], target).await
}

/// Injects the NMI.
pub(super) async fn trigger(target: &DumpTarget) -> Result<Triggered, TriggerError> {
    trigger_by(&[VIRSH], target).await
}

/// The domain; an error if `virsh` would take it for something else.
fn domain(target: &DumpTarget) -> Result<String, String> {
    let domain = target.expand(&target.settings.domain);
    if domain.is_empty() {
        return Err("no domain is configured".to_owned());
    }
    // Another domain may have that id.
    if domain.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "virsh takes the domain {domain} for an id and may find another one; name the domain by \
             its UUID"
        ));
    }
    Ok(domain)
}

fn invocation(virsh: &[&str], target: &DumpTarget, domain: &str, command: &[&str]) -> Invocation {
    let (uri, domain) = (target.expand(&target.settings.uri), format!("--domain={domain}"));
    let arguments = [&["-c", &uri], command, &[&domain]].concat();
    Invocation::of_tool(virsh, &arguments, target.settings.timeout)
}

pub(super) async fn check_by(
    virsh: &[&str],
    target: &DumpTarget,
) -> Result<Vec<String>, CheckError> {
    let domain = domain(target).map_err(CheckError::Unsupported)?;
    let run = invocation(virsh, target, &domain, &["domstate", "--reason"]).run().await;
    let Finished { end, output } = run.map_err(CheckError::not_started)?;
    let (stdout, stderr) = (output.stdout(), output.stderr());
    match end {
        End::Exited(0) => {
            // `running (booted)`
            let line = stdout.lines().map(str::trim).find(|line| !line.is_empty());
            let line = line.unwrap_or_default();
            let state = line.split(" (").next().unwrap_or_default();
            if RUNNING.contains(&state) {
                Ok(Vec::new())
            } else if state == "paused" {
                Ok(vec![format!("the domain {domain} is paused: {PAUSED}")])
            } else {
                let shown = if line.is_empty() { "in no state".to_owned() } else { quote(line) };
                let why =
                    format!("the domain {domain} is {shown}; only a running one takes an NMI");
                Err(CheckError::NotNow(why))
            }
        }
        End::Exited(_) => Err(refusal(&domain, &target.expand(&target.settings.uri), &stderr)),
        End::Signalled(_) | End::TimedOut => {
            let ended =
                TriggerError::interrupted(VIRSH, end, target.settings.timeout, String::new());
            Err(CheckError::NotNow(ended.why))
        }
    }
}

fn refusal(domain: &str, uri: &str, stderr: &str) -> CheckError {
    let said = last_line(stderr);
    if stderr.contains("failed to get domain") || stderr.contains("Domain not found") {
        CheckError::Unsupported(format!("libvirt has no domain {domain} ({uri}): {said}"))
    } else if stderr.contains("failed to connect to the hypervisor") {
        CheckError::Unsupported(format!("virsh cannot connect to {uri}: {said}"))
    } else {
        CheckError::NotNow(format!("virsh does not tell the state of {domain}: {said}"))
    }
}

pub(super) async fn trigger_by(
    virsh: &[&str],
    target: &DumpTarget,
) -> Result<Triggered, TriggerError> {
    let domain = domain(target).map_err(TriggerError::refused)?;
    let run = invocation(virsh, target, &domain, &["inject-nmi"]).run().await;
    result(&domain, run, target.settings.timeout)
}

fn result(
    domain: &str,
    run: Result<Finished, StartError>,
    limit: Duration,
) -> Result<Triggered, TriggerError> {
    let Finished { end, output } = run.map_err(TriggerError::not_started)?;
    let (text, stderr) = (output.text(), output.stderr());
    match end {
        End::Exited(0) => Ok(Triggered { note: String::new(), output: text }),
        End::Exited(_) => {
            let is_unknown = CONNECTION_LOST.iter().any(|words| stderr.contains(words));
            let said = last_line(&stderr);
            let why = if is_unknown {
                format!("virsh lost its connection, perhaps after the NMI of {domain}: {said}")
            } else {
                format!("virsh did not inject an NMI into {domain}: {said}")
            };
            Err(TriggerError { why, output: text, is_unknown })
        }
        End::Signalled(_) | End::TimedOut => {
            Err(TriggerError::interrupted(VIRSH, end, limit, text))
        }
    }
}
