//! Tests the driver `libvirt` against scripts with the words of `virsh`, and against `virsh` itself.

use super::super::libvirt::{check_by, trigger_by};
use super::*;
use crate::test_timeout;

fn domain(name: &str) -> DumpTarget {
    let (domain, timeout) = (name.to_owned(), test_timeout::timeout());
    let settings = CrashDumpSettings { domain, timeout, ..CrashDumpSettings::default() };
    target(DumpDriver::Libvirt, settings)
}

async fn checked(script: &str) -> Result<Vec<String>, CheckError> {
    check_by(&Script::new(script).tool(), &domain("{name}")).await
}

async fn triggered(script: &str) -> Result<Triggered, TriggerError> {
    trigger_by(&Script::new(script).tool(), &domain("{name}")).await
}

#[tokio::test]
async fn virsh_is_told_connection_and_domain() {
    let script = Script::new("echo 'running (booted)'; echo");
    assert_eq!(check_by(&script.tool(), &domain("{name}-{uuid}")).await, Ok(Vec::new()));
    let name = "--domain=vm1-00000000-0000-0000-0000-000000000007";
    let expected = ["C", "-c", "qemu:///system", "domstate", "--reason", name];
    assert_eq!(script.reported().expect("was started"), expected);
    let script = Script::new("echo 'NMI injected'");
    let done = trigger_by(&script.tool(), &domain("-x; reboot")).await.expect("is done");
    assert_eq!((done.output.as_str(), done.note.as_str()), ("NMI injected\n", ""));
    let expected = ["C", "-c", "qemu:///system", "inject-nmi", "--domain=-x; reboot"];
    assert_eq!(script.reported().expect("was started"), expected);
}

#[tokio::test]
async fn only_a_running_or_paused_domain_is_dumped() {
    for state in ["running (booted)", "running", "idle (unknown)"] {
        assert_eq!(checked(&format!("echo '{state}'; echo")).await, Ok(Vec::new()), "{state}");
    }
    let paused = checked("echo 'paused (user)'").await.expect("is possible");
    let warning = "the domain vm1 is paused: the NMI takes effect when it is continued";
    assert_eq!(paused, [warning]);
    for (state, shown) in [
        ("shut off (destroyed)", "shut off (destroyed)"),
        ("crashed (panicked)", "crashed (panicked)"),
        ("in shutdown (user)", "in shutdown (user)"),
        ("pmsuspended (unknown)", "pmsuspended (unknown)"),
        ("running away", "running away"),
        ("", "in no state"),
        ("\u{1b}[31m", "\\x1b[31m"),
    ] {
        let why = not_now(checked(&format!("printf '%s\\n\\n' '{state}'")).await);
        let begin = format!("the domain vm1 is {shown}; only a running one takes an NMI");
        assert_eq!(why, begin);
    }
}

#[tokio::test]
async fn failures_of_a_check_are_told_apart_by_the_words_of_virsh() {
    let failing = |words: &str| format!("printf '{words}\\n' >&2; exit 1");
    let why = unsupported(checked(&failing("error: failed to get domain '\\''vm1'\\''")).await);
    assert!(why.starts_with("libvirt has no domain vm1 (qemu:///system): error: failed"), "{why}");
    let refused =
        "error: failed to connect to the hypervisor\\nerror: Failed to connect socket to x";
    let why = unsupported(checked(&failing(refused)).await);
    assert_eq!(why, "virsh cannot connect to qemu:///system: error: Failed to connect socket to x");
    let why = not_now(checked(&failing("error: End of file while reading data")).await);
    assert!(why.starts_with("virsh does not tell the state of vm1: error: End of file"), "{why}");
    assert!(not_now(checked("exit 1").await).ends_with(": it gives no reason"));
    assert_eq!(not_now(checked("kill -SEGV $$").await), "virsh was killed by signal 11");
    let missing = check_by(&["no-virsh-here"], &domain("{name}")).await;
    assert_eq!(unsupported(missing), "no-virsh-here is not found");
}

#[tokio::test]
async fn a_domain_that_virsh_takes_for_an_id_is_refused() {
    for name in ["{name}", "17", "00000000000000000000000000000000000000000000"] {
        let mut target = domain(name);
        target.name = ApplianceName::new("42").expect("a name");
        let script = Script::new("exit 0");
        let why = unsupported(check_by(&script.tool(), &target).await);
        assert!(why.contains("for an id and may find another one"), "{why}");
        let error = trigger_by(&script.tool(), &target).await.expect_err("is refused");
        assert!(!error.is_unknown && script.reported().is_none(), "virsh was not started");
    }
    let why = unsupported(check_by(&["virsh"], &domain("")).await);
    assert_eq!(why, "no domain is configured");
}

#[tokio::test]
async fn a_failed_trigger_is_known_unless_the_connection_broke() {
    for (words, is_unknown, why) in [
        (
            "error: Requested operation is not valid: domain is not running",
            false,
            "virsh did not inject an NMI into vm1: error: Requested operation is not valid: domain is \
             not running",
        ),
        (
            "error: operation forbidden: read only access prevents virDomainInjectNMI",
            false,
            "virsh did not inject an NMI into vm1: error: operation forbidden: read only access \
             prevents virDomainInjectNMI",
        ),
        (
            "error: End of file while reading data: Input/output error",
            true,
            "virsh lost its connection, perhaps after the NMI of vm1: error: End of file while \
             reading data: Input/output error",
        ),
    ] {
        let error = triggered(&format!("echo '{words}' >&2; exit 1")).await.expect_err("fails");
        assert_eq!((error.why.as_str(), error.is_unknown), (why, is_unknown));
        assert_eq!(error.output, format!("{words}\n"));
    }
    let error = triggered("echo begun; kill -KILL $$").await.expect_err("fails");
    assert_eq!(error.why, "virsh was killed by signal 9");
    assert!(error.is_unknown && error.output == "begun\n");
}

#[tokio::test]
async fn a_virsh_that_hangs_is_killed_at_the_time_limit() {
    let settings =
        CrashDumpSettings { timeout: Duration::from_millis(300), ..CrashDumpSettings::default() };
    let target = target(DumpDriver::Libvirt, settings);
    let script = Script::new("exec sleep 1000");
    let why = not_now(check_by(&script.tool(), &target).await);
    assert_eq!(why, "virsh did not end within 0.3 s and was killed");
    let error = trigger_by(&script.tool(), &target).await.expect_err("fails");
    assert!(error.is_unknown && error.why == why, "{error:?}");
}
