//! Tests the driver `ipmi` against scripts with the words of `ipmitool`.

use super::super::ipmi::{check_by, trigger_by};
use super::*;
use crate::test_timeout;

/// The machine behind the BMC `vm1.bmc`.
fn machine(password_file: &str) -> DumpTarget {
    let settings = CrashDumpSettings {
        host: "{name}.bmc".to_owned(),
        port: 6_230,
        user: "gridd".to_owned(),
        password_file: password_file.to_owned(),
        timeout: test_timeout::timeout(),
        ..CrashDumpSettings::default()
    };
    target(DumpDriver::Ipmi, settings)
}

async fn checked(script: &str) -> Result<Vec<String>, CheckError> {
    check_by(&Script::new(script).tool(), &machine(""), true).await
}

async fn triggered(script: &str) -> Result<Triggered, TriggerError> {
    trigger_by(&Script::new(script).tool(), &machine("")).await
}

const NO_SESSION: &str = "Error: Unable to establish IPMI v2 / RMCP+ session";

#[tokio::test]
async fn ipmitool_gets_the_password_by_file_or_environment() {
    let common = ["C", "-I", "lanplus", "-H", "vm1.bmc", "-p", "6230", "-U", "gridd"];
    let script = Script::new("echo 'Chassis Power is on'");
    assert_eq!(check_by(&script.tool(), &machine(""), true).await, Ok(Vec::new()));
    let rest = ["-E", "-N", "1", "-R", "2", "chassis", "power", "status"];
    assert_eq!(script.reported().expect("was started"), [&common[..], &rest].concat());

    let password = tempfile::Builder::new().prefix("vm1").tempfile().expect("a file");
    std::fs::write(password.path(), "s3cr3t\n").expect("writes");
    let path = password.path().display().to_string();
    let script = Script::new("echo 'Chassis Power Control: Diag'");
    let with_file = machine(&path.replace("vm1", "{name}"));
    assert!(
        check_by(&Script::new("echo Chassis Power is on").tool(), &with_file, false).await.is_ok()
    );
    let done = trigger_by(&script.tool(), &with_file).await.expect("is done");
    assert_eq!(done.output, "Chassis Power Control: Diag\n");
    let rest = ["-f", &path, "-N", "1", "-R", "2", "chassis", "power", "diag"];
    assert_eq!(script.reported().expect("was started"), [&common[..], &rest].concat());
}

#[tokio::test]
async fn without_a_password_ipmitool_is_not_started() {
    let script = Script::new("echo 'Chassis Power is on'");
    let why = unsupported(check_by(&script.tool(), &machine(""), false).await);
    assert!(
        why.contains("neither crash_dump.password_file nor the variable IPMI_PASSWORD"),
        "{why}"
    );
    let why = unsupported(check_by(&script.tool(), &machine("/nowhere/{name}"), true).await);
    let expected = "can't read the password file /nowhere/vm1: No such file or directory";
    assert!(why.starts_with(expected), "{why}");
    let mut target = machine("");
    target.settings = Arc::new(CrashDumpSettings::default());
    let why = unsupported(check_by(&script.tool(), &target, true).await);
    assert_eq!((why.as_str(), script.reported()), ("no host of a BMC is configured", None));
    let missing = check_by(&["no-ipmitool-here"], &machine(""), true).await;
    assert_eq!(unsupported(missing), "no-ipmitool-here is not found");
}

#[tokio::test]
async fn a_check_fails_in_the_words_of_ipmitool() {
    let failing = |words: &str| format!("echo '{words}' >&2; exit 1");
    for (script, expected) in [
        (
            "echo 'Chassis Power is off'".to_owned(),
            "the machine of the BMC vm1.bmc, port 6230 is off",
        ),
        ("echo hello".to_owned(), "the BMC vm1.bmc, port 6230 tells no power status: hello"),
        (
            failing(NO_SESSION),
            "the BMC vm1.bmc, port 6230 does not answer, or does not accept the user or the password \
             (ipmitool has the same words for both): Error: Unable to establish IPMI v2 / RMCP+ session",
        ),
        (
            failing("Address lookup for vm1.bmc failed"),
            "ipmitool cannot ask the BMC vm1.bmc, port 6230: Address lookup for vm1.bmc failed",
        ),
        ("exit 1".to_owned(), "ipmitool cannot ask the BMC vm1.bmc, port 6230: it gives no reason"),
        ("kill -ABRT $$".to_owned(), "ipmitool was killed by signal 6"),
    ] {
        assert_eq!(not_now(checked(&script).await), expected);
    }
    // Harmless, and with every call to some BMCs.
    let noise = "echo 'Unable to Get Channel Cipher Suites' >&2; echo 'Chassis Power is on'";
    assert_eq!(checked(noise).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_failed_trigger_is_known_if_the_bmc_refused_or_was_not_reached() {
    for (words, is_unknown, expected) in [
        (
            "Set Chassis Power Control to Diag failed: Invalid data field in request",
            false,
            "does not support diagnostic interrupts: Set Chassis",
        ),
        ("Set Chassis Power Control to Diag failed: Invalid command", false, "does not support"),
        (
            "Set Chassis Power Control to Diag failed: Insufficient privilege level",
            false,
            "refuses the diagnostic interrupt: Set Chassis",
        ),
        (NO_SESSION, false, "does not answer, or does not accept the user or the password"),
        ("Unable to set Chassis Power Control to Diag", true, "did not confirm the diagnostic"),
        ("", true, "did not confirm the diagnostic interrupt: it gives no reason"),
    ] {
        let error = triggered(&format!("echo '{words}' >&2; exit 1")).await.expect_err("fails");
        assert_eq!(error.is_unknown, is_unknown, "{words}: {}", error.why);
        let begin = "the BMC vm1.bmc, port 6230 ";
        assert!(error.why.starts_with(begin) && error.why.contains(expected), "{}", error.why);
        assert_eq!(error.output, format!("{words}\n"));
    }
    let error = triggered("kill -KILL $$").await.expect_err("fails");
    assert!(error.is_unknown);
}

#[tokio::test]
async fn megabytes_of_words_do_not_hide_the_last_ones() {
    let script = "head -c 2000000 /dev/zero | tr '\\0' x >&2; echo >&2; \
                  echo 'Set Chassis Power Control to Diag failed: Invalid data field in request' >&2; \
                  exit 1";
    let error = triggered(script).await.expect_err("fails");
    assert!(error.why.contains("does not support diagnostic interrupts"), "{}", error.why);
    assert!(error.output.len() <= crate::grid::model::crash_dump::OUTPUT_BYTES_MAX);
}
