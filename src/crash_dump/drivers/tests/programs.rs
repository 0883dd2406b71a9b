//! Tests what is true of every program: its output, its end, and what it leaves behind.

use std::ffi::OsString;
use std::path::Path;

use super::super::process::{Finished, Invocation};
use super::*;
use crate::tasks;
use crate::test_timeout;

/// `script`, run by a shell: a file of its own could be busy while another test starts a program.
fn shell(script: &str, limit: Duration) -> Invocation {
    Invocation {
        program: "/bin/sh".into(),
        arguments: ["-c", script].map(str::to_owned).to_vec(),
        environment: vec![("GIVEN", "its value".to_owned())],
        limit,
        needs_ipmi_password: false,
    }
}

async fn run(script: &str) -> Finished {
    let finished = shell(script, test_timeout::timeout()).run().await;
    finished.expect("the shell starts")
}

/// The process of that id; `None`: it has ended and was waited for.
fn process(id: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/proc").join(id).join("stat")).ok()?;
    (!text.contains(") Z ")).then_some(text)
}

async fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + test_timeout::timeout();
    while !is_true() {
        assert!(tokio::time::Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn output_and_exit_code_of_a_program_are_kept() {
    let Finished { end, output } =
        run("echo out; echo err >&2; printf '\\033[31m\\377'; exit 3").await;
    assert_eq!(end, End::Exited(3));
    assert_eq!(
        (output.stdout(), output.stderr()),
        ("out\n\x1b[31m\u{fffd}".into(), "err\n".into())
    );
    assert_eq!(output.text().len(), output.stdout().len() + output.stderr().len());
    assert_eq!(run("kill -TERM $$").await.end, End::Signalled(15));
}

#[tokio::test]
async fn megabytes_of_output_are_read_and_a_little_is_kept() {
    let script = "echo begin; head -c 2000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero >&2; \
                  echo end";
    let Finished { end, output } = run(script).await;
    assert_eq!(end, End::Exited(0));
    let (stdout, text) = (output.stdout(), output.text());
    assert!(stdout.starts_with("begin\nxxx") && stdout.ends_with("xxxend\n"), "{stdout}");
    assert!(stdout.contains("\n[cut: 1998090 bytes left out]\n"), "{stdout}");
    assert!(text.len() <= crate::grid::model::crash_dump::OUTPUT_BYTES_MAX);
}

#[tokio::test]
async fn a_program_has_no_input_and_a_group_of_its_own() {
    let script = "cat; echo \"$GIVEN\"; cut -d ' ' -f 5 /proc/$$/stat; echo $$";
    let text = run(script).await.output.stdout();
    let lines: Vec<_> = text.lines().collect();
    let [given, group, id] = lines[..] else { panic!("three lines: {text}") };
    assert_eq!((given, group), ("its value", id));
}

#[tokio::test]
async fn a_program_gets_none_of_the_secrets_of_gridd() {
    let ours = ["GRIDD_MAIL__PASSWORD", "PASSED_ON", "GRIDD_CONFIG"].map(OsString::from);
    let command = shell("", test_timeout::timeout()).command(ours.into_iter());
    let changed: Vec<_> = command.get_envs().collect();
    for removed in ["GRIDD_MAIL__PASSWORD", "GRIDD_CONFIG", "NOTIFY_SOCKET", "LISTEN_FDS"] {
        assert!(changed.contains(&(removed.as_ref(), None)), "{removed} is passed on");
    }
    assert!(changed.contains(&("GIVEN".as_ref(), Some("its value".as_ref()))));
    assert!(changed.iter().all(|(name, _)| *name != "PASSED_ON"), "it is passed on as it is");
    // What gridd has is passed on.
    let text = run("echo \"$PATH\"").await.output.stdout();
    assert_eq!(text.trim_end(), std::env::var("PATH").expect("a path"));
}

#[tokio::test]
async fn the_whole_group_is_killed_at_the_time_limit() {
    let script = "trap '' TERM; sleep 1000 & echo $! $$; wait";
    // The limit must be long enough for the shell to tell its numbers.
    let limit = test_timeout::scaled(Duration::from_millis(500));
    let Finished { end, output } = shell(script, limit).run().await.expect("it starts");
    assert_eq!(end, End::TimedOut);
    let text = output.stdout();
    let ids: Vec<_> = text.split_whitespace().collect();
    assert_eq!(ids.len(), 2, "{text}");
    for id in ids {
        wait_until("it is killed", || process(id).is_none()).await;
    }
}

#[tokio::test]
async fn a_program_is_killed_when_nobody_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ids");
    let shown = path.display();
    let script = format!("sleep 1000 & echo $! $$ > {shown}.new; mv {shown}.new {shown}; wait");
    let waiting =
        tasks::spawn(
            "waiting",
            async move { shell(&script, Duration::from_secs(3_600)).run().await },
        );
    wait_until("it runs", || path.exists()).await;
    let text = std::fs::read_to_string(&path).expect("the numbers");
    assert!(text.split_whitespace().all(|id| process(id).is_some()), "{text}");
    waiting.abort();
    for id in text.split_whitespace() {
        wait_until("it is killed", || process(id).is_none()).await;
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_delays_nobody_and_is_not_killed() {
    let Finished { end, output } = run("sleep 1000 & echo $!; exit 0").await;
    assert_eq!(end, End::Exited(0));
    let text = output.stdout();
    let id = text.trim();
    assert!(process(id).is_some(), "it runs on");
    let id = id.parse().ok().and_then(rustix::process::Pid::from_raw).expect("an id");
    rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("is ours");
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_told_with_the_words_of_the_system() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "no program").expect("writes");
    for (program, lasting, words) in [
        ("no-such-program-of-ours".into(), true, "no-such-program-of-ours is not found"),
        (folder.path().join("missing"), true, "missing is not found"),
        (plain, true, "Permission denied"),
        (folder.path().to_owned(), true, "Permission denied"),
    ] {
        let mut invocation = shell("", test_timeout::timeout());
        invocation.program = program.into();
        let error = invocation.run().await.expect_err("is no program");
        assert_eq!(error.is_lasting(), lasting, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn arguments_with_zero_bytes_are_refused() {
    let mut invocation = shell("", test_timeout::timeout());
    invocation.arguments.push("a\0b".to_owned());
    let error = invocation.run().await.expect_err("cannot be passed");
    assert!(error.to_string().contains("nul byte"), "{error}");
}
