//! `vme run`: what became of a start script, or of any command, is told once, with the last line that
//! it said on standard error; all of it is kept.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Follower, Gridd, Run, eventually, lines, run, scaled};

const BOOT: u128 = 7;

/// Runs a script of that text as `appliance`.
async fn script(gridd: &Gridd, appliance: &str, text: &str) -> Run {
    let path = gridd.path(&format!("{appliance}.script"));
    std::fs::write(&path, format!("PATH=/usr/bin:/bin\n{text}")).expect("the script");
    let path = path.to_str().expect("a path in UTF-8");
    gridd.vme(appliance, BOOT, &["run", "--script", path]).await
}

/// Where all that it said is kept.
fn file(gridd: &Gridd, appliance: &str) -> PathBuf {
    let boot = uuid::Uuid::from_u128(BOOT);
    gridd.path(&format!("vme-{appliance}/start-{boot}.stderr"))
}

/// The one event of that appliance, by kind and text.
async fn told(gridd: &Gridd, appliance: &str) -> (String, String) {
    let records = gridd.records(&["--appliance", appliance]).await;
    let events: Vec<&Value> = records.iter().filter(|record| record["kind"] != "session").collect();
    let [event] = events[..] else { panic!("one event: {events:?}") };
    let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    (word("kind"), word("text"))
}

fn failed(reason: &str) -> (String, String) {
    ("start_failed".to_owned(), reason.to_owned())
}

fn started() -> (String, String) {
    ("started_ok".to_owned(), String::new())
}

#[tokio::test]
async fn exit_in_a_sourced_script_is_the_outcome() {
    let gridd = Gridd::start().await;
    let good = script(&gridd, "good", "echo out; echo err >&2\nexit 0\nexit 9").await;
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), "out\n"));
    assert_eq!(lines(&good.stderr), ["err", "vme: started_ok of good is record 4"]);
    assert_eq!(told(&gridd, "good").await, started());

    let text = "test -z \"$*\" || exit 0\necho starting >&2\n\
                printf 'Missing DNS server address\\n\\n' >&2\nexit 3\necho more >&2";
    let bad = script(&gridd, "bad", text).await;
    let file = file(&gridd, "bad");
    let reason = format!("Missing DNS server address (all of it: {})", file.display());
    assert_eq!(bad.code, Some(1));
    assert_eq!(
        lines(&bad.stderr),
        [
            "starting",
            "Missing DNS server address",
            "",
            "vme: start_failed of bad is record 6",
            &format!("vme: the start failed: {reason}"),
        ]
    );
    assert_eq!(told(&gridd, "bad").await, failed(&reason));
    let kept = std::fs::read_to_string(file).expect("all of it");
    assert_eq!(kept, "starting\nMissing DNS server address\n\n");
}

#[tokio::test]
async fn a_start_that_says_nothing_or_is_killed_has_a_reason_too() {
    let gridd = Gridd::start().await;
    for (appliance, text, reason) in [
        ("silent", "exit 1", "Failed to Start"),
        ("killed", "kill -SEGV $$", "Failed to Start (killed by SIGSEGV)"),
        ("unread", "exit 127", "Failed to Start (exit status 127, a command is not found)"),
    ] {
        assert_eq!(script(&gridd, appliance, text).await.code, Some(1), "{appliance}");
        assert_eq!(told(&gridd, appliance).await, failed(reason));
        assert!(!file(&gridd, appliance).exists(), "nothing was said");
    }
    script(&gridd, "last", "echo 'reading disk' >&2; kill -KILL $$").await;
    let file = file(&gridd, "last").display().to_string();
    let reason = format!("reading disk (killed by SIGKILL; all of it: {file})");
    assert_eq!(told(&gridd, "last").await, failed(&reason));
}

#[tokio::test]
async fn any_command_is_run_the_same_and_one_that_cannot_be_says_why() {
    let gridd = Gridd::start().await;
    let nobodys = gridd.path("gridd.toml").display().to_string();
    let not_executable =
        format!("Failed to Start: {nobodys} is not executable: Permission denied (os error 13)");
    let script_missing = "Failed to Start: the start script /nowhere/script does not exist";
    for (appliance, words, outcome) in [
        ("true", &["run", "--", "/bin/true"][..], started()),
        ("false", &["run", "--", "/bin/false"], failed("Failed to Start")),
        ("none", &["run", "--", "/nowhere/a"], failed("Failed to Start: /nowhere/a is not found")),
        ("file", &["run", "--", &nobodys], failed(&not_executable)),
        ("script", &["run", "--script", "/nowhere/script"], failed(script_missing)),
        (
            "folder",
            &["run", "--script", "/"],
            failed("Failed to Start: the start script / is a folder"),
        ),
    ] {
        let code = if outcome == started() { 0 } else { 1 };
        assert_eq!(gridd.vme(appliance, BOOT, words).await.code, Some(code), "{appliance}");
        assert_eq!(told(&gridd, appliance).await, outcome);
    }
}

#[tokio::test]
async fn who_has_no_script_starts_well() {
    let usual = "/etc/sysconfig/applogic_appliance";
    let there = std::path::Path::new(usual).exists();
    assert!(!there, "this machine has {usual}: this test needs one that has none");
    let gridd = Gridd::start().await;
    assert_eq!(gridd.vme("db1", BOOT, &["run"]).await.code, Some(0));
    assert_eq!(told(&gridd, "db1").await, started());
}

#[tokio::test]
async fn hostile_and_endless_output_harms_nobody() {
    let gridd = Gridd::start().await;
    // 2 MiB in one line, then a last one that would steer a terminal and is no UTF-8.
    let text = "head -c 2097152 /dev/zero | tr '\\0' x >&2\n\
                printf '\\n\\033[2J\\377\\a evil\\n' >&2; exit 1";
    let script_path = gridd.path("hostile.script");
    std::fs::write(&script_path, format!("PATH=/usr/bin:/bin\n{text}")).expect("the script");
    let words = ["run", "--script", script_path.to_str().expect("a path in UTF-8")];
    // What passes through is no UTF-8 either, so nobody reads it here.
    let ended = gridd.vme_command("db1", BOOT, &words).stderr(Stdio::null()).status();
    assert_eq!(ended.expect("vme starts").code(), Some(1));
    let file = file(&gridd, "db1");
    let reason = format!("\u{fffd} evil (all of it: {})", file.display());
    assert_eq!(told(&gridd, "db1").await, failed(&reason));
    let kept = std::fs::read(&file).expect("all of it");
    assert_eq!(kept.len(), 1 << 20);
    assert!(kept.ends_with(b"\n[vme: truncated to 1 MiB]\n"));
    let listed = gridd.gridctl(&["log", "list"]).await.done();
    assert!(listed.contains("evil (all of it") && !listed.contains('\x1b'), "{listed}");

    let long = script(&gridd, "db2", "printf '%05000d' 1 >&2; exit 1").await;
    assert_eq!(long.code, Some(1));
    let (_, reason) = told(&gridd, "db2").await;
    assert_eq!(reason.len(), 4_096);
    assert!(reason.contains("000... (all of it: /"), "the place is not cut off: {reason}");
}

#[tokio::test]
async fn a_daemon_left_behind_holds_nobody_up_and_may_go_on_speaking() {
    let gridd = Gridd::start().await;
    let (go_on, alive) = (gridd.path("go-on"), gridd.path("alive"));
    let text = format!(
        "(until test -e {}; do sleep 0.1; done; echo later >&2; echo again >&2; echo yes >{}) &\n\
         echo begun >&2",
        go_on.display(),
        alive.display()
    );
    // Who waited for the daemon would wait for ever.
    let said = script(&gridd, "db1", &text).await;
    std::fs::write(go_on, "").expect("the daemon's turn");
    assert_eq!((said.code, lines(&said.stderr)[0]), (Some(0), "begun"));
    assert_eq!(told(&gridd, "db1").await, started());
    // A pipe that nobody reads would have killed it.
    eventually("the daemon's last act", async || alive.exists().then_some(())).await;
}

#[tokio::test]
async fn who_ends_vme_ends_the_start_and_that_is_no_good_start() {
    let gridd = Gridd::start().await;
    let text = "PATH=/usr/bin:/bin\ntrap 'echo giving up >&2; exit 0' TERM\necho ready\n\
                sleep 60 & wait";
    let path = gridd.path("script");
    std::fs::write(&path, text).expect("the script");
    let path = path.to_str().expect("a path in UTF-8");
    let mut running = Follower::start(gridd.vme_command("db1", BOOT, &["run", "--script", path]));
    running.lines(1).await;
    running.signal(Signal::TERM);
    assert_eq!(running.ended().await.code, Some(1));
    let file = file(&gridd, "db1").display().to_string();
    let reason = format!("giving up (stopped by SIGTERM; all of it: {file})");
    assert_eq!(told(&gridd, "db1").await, failed(&reason));
}

#[tokio::test]
async fn the_exit_code_says_what_became_of_a_good_start_and_1_is_a_failed_one() {
    let mut gridd = Gridd::start().await;
    gridd.kill().await;
    let away = |words: &[&str]| {
        let mut command = gridd.vme_command("db1", BOOT, &["--timeout=300ms"]);
        command.args(words);
        run(command)
    };
    let good = away(&["run", "--", "/bin/true"]).await;
    assert!([Some(5), Some(6)].contains(&good.code), "spooled or unavailable: {good:?}");
    assert_eq!(away(&["run", "--", "/bin/false"]).await.code, Some(1));

    let late = Follower::start(gridd.vme_command("db2", BOOT, &["run", "--", "/bin/true"]));
    tokio::time::sleep(Duration::from_millis(500)).await;
    gridd.start_again().await;
    assert!([Some(0), Some(5)].contains(&late.ended().await.code));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_fails_no_start() {
    let gridd = Gridd::start().await;
    std::fs::write(gridd.path("vme-db1"), "in the way of the folder").expect("a file");
    let said = script(&gridd, "db1", "echo hello >&2").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("vme: cannot write "), "{}", said.stderr);
    // The reason names no file that is not there.
    let said = script(&gridd, "db1", "echo hello >&2; exit 1").await;
    assert!(said.stderr.contains("vme: the start failed: hello\n"), "{}", said.stderr);
}

#[tokio::test]
async fn a_script_that_speaks_by_itself_speaks_as_the_same_appliance() {
    let gridd = Gridd::start().await;
    let vme = env!("CARGO_BIN_EXE_vme");
    let text = format!("{vme} id=log msg='from within' || exit 4");
    assert_eq!(script(&gridd, "db1", &text).await.code, Some(0));
    let records = gridd.records(&["--appliance", "db1", "--kind", "log"]).await;
    assert_eq!(records[0]["text"], "from within");
}

/// Measures time on purpose, on a machine that may be busy: the bound is stretched.
#[tokio::test]
async fn a_stop_while_the_broker_is_silent_leaves_the_outcome_in_the_spool() {
    let gridd = Gridd::start().await;
    // It takes connections, and says nothing.
    gridd.signal(Signal::STOP);
    let calls = [
        ("good", &["run"][..], 0, 5),
        ("bad", &["run"], 1, 1),
        ("job", &["maintain", "--then-report"], 0, 5),
        ("service", &["notify"], 3, 3),
    ];
    let ran = |appliance: &str| gridd.path(&format!("{appliance}.ran"));
    let begun = calls.map(|(appliance, words, exit, code)| {
        let text = format!("echo >{}; exit {exit}", ran(appliance).display());
        let words = [&["--timeout=10m"], words, &["--", "/bin/sh", "-c", &text]].concat();
        (appliance, Follower::start(gridd.vme_command(appliance, BOOT, &words)), code)
    });
    for (appliance, ..) in calls {
        eventually("its command has run", async || ran(appliance).exists().then_some(())).await;
    }
    // Each has taken note of its command's end by then, and waits for the broker.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (_, call, _) in &begun {
        call.signal(Signal::TERM);
    }
    let signalled = monotonic_now();
    for (appliance, call, code) in begun {
        let said = call.ended().await;
        assert_eq!(said.code, Some(code), "{appliance}: {said:?}");
        assert!(said.stderr.contains(" spooled, and sent when "), "{appliance}: {said:?}");
    }
    let bound = scaled(Duration::from_secs(9));
    assert!(signalled.elapsed() < bound, "a container's stop kills after 10 s");
    gridd.signal(Signal::CONT);
    for (appliance, _, _, code) in calls {
        let kind = if code == 5 { "started_ok" } else { "start_failed" };
        let event = eventually("the outcome", async || {
            let records = gridd.records(&["--appliance", appliance, "--kind", kind]).await;
            (!records.is_empty()).then_some(records.len())
        });
        assert_eq!(event.await, 1, "{appliance}");
    }
}

#[tokio::test]
async fn a_script_is_run_by_the_interpreter_that_it_names() {
    let gridd = Gridd::start().await;
    let bash = "if [[ -e /etc/passwd ]]; then echo 'there is a passwd' >&2; exit 1; fi";
    for (appliance, text, reason) in [
        ("bash", format!("#!/bin/bash\n{bash}"), "there is a passwd"),
        ("env", format!("#!/usr/bin/env bash\n{bash}"), "there is a passwd"),
        ("split", format!("#!/usr/bin/env -S bash -eu\n{bash}"), "there is a passwd"),
        ("returns", format!("#!/bin/bash\n{bash}").replace("exit", "return"), "there is a passwd"),
        ("options", "#!/bin/sh -e\nfalse\nexit 0".to_owned(), ""),
        (
            "awk",
            "#!/usr/bin/awk -f\nBEGIN { print \"from awk\" > \"/dev/stderr\"; exit 1 }".to_owned(),
            "from awk",
        ),
    ] {
        let path = gridd.path(&format!("{appliance}.script"));
        std::fs::write(&path, text).expect("the script");
        let path = path.to_str().expect("a path in UTF-8");
        let mut command = gridd.vme_command(appliance, BOOT, &["run", "--script", path]);
        command.env("PATH", "/usr/bin:/bin");
        let run = run(command).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        let (kind, told) = told(&gridd, appliance).await;
        assert_eq!(kind, "start_failed", "{appliance}");
        let expected = if reason.is_empty() { "Failed to Start" } else { reason };
        assert!(told.starts_with(expected), "{appliance}: {told}");
    }
}

#[tokio::test]
async fn a_check_that_did_not_run_is_no_good_start() {
    let gridd = Gridd::start().await;
    for (appliance, text, why) in [
        ("gone", "#!/opt/none/bash -e\nexit 0\n", "/opt/none/bash, which does not exist"),
        ("crlf", "#!/bin/bash\r\nexit 0\r\n", "end with a carriage return, as on Windows"),
        ("unnamed", "#!\nexit 0\n", "is `#!` and names no interpreter"),
        ("no-env", "#!/usr/bin/env nothing-of-that-name\nexit 0\n", "nothing-of-that-name"),
        ("elf", "\x7fELF\nexit 0\n", "is a compiled program and not executable"),
    ] {
        let path = gridd.path(&format!("{appliance}.script"));
        std::fs::write(&path, text).expect("the script");
        let path = path.to_str().expect("a path in UTF-8");
        let mut command = gridd.vme_command(appliance, BOOT, &["run", "--script", path]);
        command.env("PATH", "/usr/bin:/bin");
        let run = run(command).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        let (kind, told) = told(&gridd, appliance).await;
        assert_eq!(kind, "start_failed", "{appliance}");
        assert!(told.contains(why), "{appliance}: {told}");
    }
    let path = gridd.path("command");
    std::fs::write(&path, "#!/opt/none/perl\n").expect("the script");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("x");
    gridd.vme("command", BOOT, &["run", "--", path.to_str().expect("a path in UTF-8")]).await;
    let (_, told) = told(&gridd, "command").await;
    assert!(told.ends_with("names the interpreter /opt/none/perl, which does not exist"), "{told}");
}

#[tokio::test]
async fn limits_of_the_system_end_the_script_and_never_the_word_about_it() {
    let gridd = Gridd::start().await;
    let shell = |appliance: &str, limits: &str, script: &str| {
        let path = gridd.path(&format!("{appliance}.script"));
        std::fs::write(&path, script).expect("the script");
        let vme = gridd.vme_command(appliance, BOOT, &["run", "--script"]);
        let mut command = std::process::Command::new("/bin/bash");
        let words: Vec<_> = std::iter::once(vme.get_program()).chain(vme.get_args()).collect();
        command.arg("-c").arg(format!("{limits}; exec \"$@\"")).arg("bash").args(words).arg(path);
        command.env_clear();
        for (key, value) in vme.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        command.env("PATH", "/usr/bin:/bin");
        command
    };
    let out = gridd.path("out").display().to_string();
    let write = format!("head -c 100000 /dev/zero > {out} || exit 4");
    let talk = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo >&2; echo bye >&2; exit 3";
    for (appliance, limits, script, reason) in [
        ("file-size", "ulimit -f 8", write.as_str(), "File size limit exceeded"),
        ("talk", "ulimit -f 8", talk, "bye"),
        ("nothing", "ulimit -f 0", "echo bye >&2; exit 3", "bye"),
        ("killed", "ulimit -f 0", "kill -XFSZ $$", "Failed to Start (killed by SIGXFSZ)"),
        ("cpu", "true", "kill -XCPU $PPID; kill -XCPU $$", "Failed to Start (killed by SIGXCPU)"),
        ("alarm", "true", "kill -ALRM $PPID; echo bye >&2; exit 3", "bye"),
    ] {
        let ended = run(shell(appliance, limits, script)).await;
        assert_eq!(ended.code, Some(1), "{appliance}: {}", ended.stderr);
        let (kind, told) = told(&gridd, appliance).await;
        assert_eq!(kind, "start_failed", "{appliance}");
        assert!(told.starts_with(reason), "{appliance}: {told}");
    }
}

#[tokio::test]
async fn a_last_line_that_is_no_error_has_the_first_one_beside_it() {
    let gridd = Gridd::start().await;
    for (appliance, text, reason) in [
        (
            "trap",
            "trap 'echo cleanup done >&2' EXIT; echo 'db: cannot bind port 80' >&2; exit 1",
            "cleanup done (first error: db: cannot bind port 80; all of it: ",
        ),
        (
            "traced",
            "set -ex; cat /missing || false",
            "+ false (first error: cat: /missing: No such file or directory; all of it: ",
        ),
        (
            "coloured",
            "printf '\\033[31mdisk is full\\033[0m\\n\\033[0m\\n\\033(B' >&2; exit 1",
            "disk is full (all of it: ",
        ),
    ] {
        script(&gridd, appliance, text).await;
        let (_, told) = told(&gridd, appliance).await;
        assert!(told.starts_with(reason), "{told}");
    }
}
