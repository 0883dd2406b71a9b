//! Tests the driver `command` with programs of all kinds.

use std::os::unix::fs::PermissionsExt;

use super::super::command::{check, trigger};
use super::*;
use crate::test_timeout;

fn command(program: &str, arguments: &[&str]) -> DumpTarget {
    let settings = CrashDumpSettings {
        program: program.to_owned(),
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        timeout: test_timeout::timeout(),
        ..CrashDumpSettings::default()
    };
    target(DumpDriver::Command, settings)
}

#[tokio::test]
async fn arguments_arrive_as_they_are_with_placeholders_replaced() {
    let script = "printf '<%s>' \"$@\"; printf '%s ' \"$GRID_APPLIANCE\" \"$GRID_APPLIANCE_UUID\"";
    let arguments = [
        "-c",
        script,
        "sh",
        "{name}",
        "",
        "a b",
        "$(reboot)",
        "{\"id\": \"{uuid}\"}",
        "{other}",
        "*",
    ];
    let target = command("/bin/sh", &arguments);
    assert_eq!(check(&target), Ok(Vec::new()));
    let done = trigger(&target).await.expect("is done");
    let uuid = "00000000-0000-0000-0000-000000000007";
    let expected =
        format!("<vm1><><a b><$(reboot)><{{\"id\": \"{uuid}\"}}><{{other}}><*>vm1 {uuid} ");
    assert_eq!((done.output, done.note), (expected, String::new()));
}

#[tokio::test]
async fn the_exit_code_tells_whether_it_was_done() {
    let run =
        |script: &'static str| async move { trigger(&command("/bin/sh", &["-c", script])).await };
    let error = run("echo no such machine >&2; exit 7").await.expect_err("fails");
    assert_eq!(error.why, "the program ended with exit code 7");
    assert_eq!((error.output.as_str(), error.is_unknown), ("no such machine\n", false));
    let error = run("echo begun; kill -TERM $$").await.expect_err("fails");
    assert_eq!(error.why, "the program was killed by signal 15");
    assert_eq!((error.output.as_str(), error.is_unknown), ("begun\n", true));
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_and_its_output_kept() {
    let mut target = command("/bin/sh", &["-c", "echo begun; sleep 1000"]);
    let settings = Arc::make_mut(&mut target.settings);
    settings.timeout = test_timeout::scaled(Duration::from_millis(200));
    let error = trigger(&target).await.expect_err("fails");
    assert_eq!((error.output.as_str(), error.is_unknown), ("begun\n", true));
    assert!(error.why.starts_with("the program did not end within "), "{}", error.why);
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_not_supported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("vm1"), "#!/nowhere/interpreter\n").expect("writes");
    for (program, words) in [
        (path("missing"), "missing cannot be run: No such file or directory"),
        (path("{name}"), "vm1 cannot be run: Permission denied"),
        (path("vm1/below"), "below cannot be run: Not a directory"),
        (path(""), "is a folder, not a program"),
        ("dump-vm".to_owned(), "the path of the program, dump-vm, does not begin with /"),
        (String::new(), "no program is configured"),
    ] {
        let why = unsupported(check(&command(&program, &[])));
        assert!(why.contains(words), "{why}");
    }
    // It is executable, and its interpreter is missing: only its start tells.
    std::fs::set_permissions(path("vm1"), PermissionsExt::from_mode(0o755)).expect("a mode");
    let target = command(&path("{name}"), &[]);
    assert_eq!(check(&target), Ok(Vec::new()));
    let error = trigger(&target).await.expect_err("does not start");
    let why = "cannot be run: the interpreter in its first line (#!) is not found";
    assert_eq!(error.why, format!("{} {why}", path("vm1")));
    assert!(!error.is_unknown);
}
