//! `vme maintain`: the lines of a command at work become reports of a long start, and one that stands
//! still does not look alive.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Follower, Gridd, eventually, lines};

const BOOT: u128 = 7;

/// `vme maintain` of a shell that reads this text.
fn job<'a>(options: &[&'a str], text: &'a str) -> Vec<&'a str> {
    [&["maintain"], options, &["--", "/bin/sh", "-c", text]].concat()
}

/// Percentage, text and whether it is a repeat, of all reports.
async fn reports(gridd: &Gridd, appliance: &str) -> Vec<(u64, String, bool)> {
    let records = gridd.records(&["--appliance", appliance, "--kind", "maintenance"]).await;
    let report = |record: &Value| {
        let percent = record["event"]["progress"].as_u64().unwrap_or_default();
        let text = record["text"].as_str().unwrap_or_default().to_owned();
        (percent, text, record["event"]["repeated"].as_bool().unwrap_or_default())
    };
    records.iter().map(report).collect()
}

fn new(percent: u64, text: &str) -> (u64, String, bool) {
    (percent, text.to_owned(), false)
}

#[tokio::test]
async fn lines_and_progress_bars_become_reports_and_pass_through() {
    let gridd = Gridd::start().await;
    let text = "PATH=/usr/bin:/bin; sleep 2\n\
                echo '34% checking table 7'; sleep 2\n\
                printf '[ 50 %%]\\r' >&2; sleep 2\n\
                printf '51\\n52\\n53 %%\\nrolling back\\n'; sleep 2; exit 3";
    let said = gridd.vme("db1", BOOT, &job(&[], text)).await;
    assert_eq!(said.code, Some(3), "the command's own exit code");
    assert_eq!(lines(&said.stdout), ["34% checking table 7", "51", "52", "53 %", "rolling back"]);
    assert_eq!(said.stderr, "[ 50 %]\r");
    assert_eq!(
        reports(&gridd, "db1").await,
        [
            new(0, "sh"),
            new(34, "checking table 7"),
            new(50, "checking table 7"),
            new(53, "rolling back"),
        ]
    );
    gridd.explained("db1", "maintenance 53 % \"rolling back\", next report due in").await;
}

#[tokio::test]
async fn what_was_said_last_is_reported_even_by_a_short_job() {
    let gridd = Gridd::start().await;
    let said = gridd.vme("db1", BOOT, &job(&[], "echo 99 % tidying up")).await;
    assert_eq!(said.code, Some(0));
    assert_eq!(reports(&gridd, "db1").await.last(), Some(&new(99, "tidying up")));
}

#[tokio::test]
async fn then_report_makes_the_exit_the_outcome_of_the_start() {
    let gridd = Gridd::start().await;
    for (appliance, text, code, kind, reason) in [
        ("good", "echo 100", 0, "started_ok", ""),
        (
            "bad",
            "echo 5 % >&2; echo 'table 7 is lost' >&2; exit 9",
            1,
            "start_failed",
            "table 7 is lost",
        ),
        ("silent", "exit 9", 1, "start_failed", "Failed to Start"),
        ("killed", "kill -KILL $$", 1, "start_failed", "Failed to Start (killed by SIGKILL)"),
    ] {
        let said = gridd.vme(appliance, BOOT, &job(&["--then-report"], text)).await;
        assert_eq!(said.code, Some(code), "{appliance}: {said:?}");
        let records = gridd.records(&["--appliance", appliance]).await;
        let last = records.last().expect("an outcome");
        assert_eq!((last["kind"].as_str(), last["text"].as_str()), (Some(kind), Some(reason)));
        assert_eq!(reports(&gridd, appliance).await.len(), 1, "the outcome says more than 5 %");
    }
    let missing = ["maintain", "--", "/nowhere/fsck"];
    let said = gridd.vme("none", BOOT, &missing).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(127), "vme: /nowhere/fsck is not found\n"));
    let said = gridd.vme("none", BOOT, &["maintain", "--then-report", "--", "/nowhere/fsck"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("Failed to Start: /nowhere/fsck is not found"), "{said:?}");
}

#[tokio::test]
async fn a_deadlocked_job_is_told_as_repeated() {
    let gridd = Gridd::start().await;
    let text = "PATH=/usr/bin:/bin; echo '7% waiting for a lock'; sleep 30";
    let job = Follower::start(gridd.vme_command("db1", BOOT, &job(&[], text)));
    let reports = eventually("a repeat", async || {
        let reports = reports(&gridd, "db1").await;
        reports.iter().any(|(_, _, repeated)| *repeated).then_some(reports)
    })
    .await;
    let text = "waiting for a lock";
    let repeat = (7, text.to_owned(), true);
    assert!(reports.ends_with(&[new(7, text), repeat]), "{reports:?}");
    job.signal(Signal::TERM);
    assert_eq!(job.ended().await.code, Some(128 + 15), "the signal was forwarded");
}

#[tokio::test]
async fn a_job_is_not_held_up_by_a_broker_that_is_away_nor_by_how_much_it_says() {
    let mut gridd = Gridd::start().await;
    gridd.kill().await;
    // 100 MB, and a line of 10 MB, go through while nobody answers.
    let go_on = gridd.path("go-on");
    let text = format!(
        "PATH=/usr/bin:/bin; yes '5% counting' | head -c 100000000\n\
         head -c 10000000 /dev/zero | tr '\\0' x; echo; echo; echo 6; echo >&2 said\n\
         until test -e {}; do sleep 0.1; done",
        go_on.display()
    );
    let mut command = gridd.vme_command("db1", BOOT, &job(&[], &text));
    command.stdout(Stdio::null());
    let mut job = command.stderr(Stdio::piped()).spawn().expect("vme starts");
    // It waits for no broker: there is none yet. vme may have complained of that before.
    let stderr = BufReader::new(job.stderr.take().expect("its stderr"));
    let mut said = stderr.lines().map_while(Result::ok);
    assert!(said.any(|line| line == "said"), "the job came to its end");
    let status = std::fs::read_to_string(format!("/proc/{}/status", job.id())).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 64 << 10, "{peak} kB");

    gridd.start_again().await;
    eventually("a report of the newest state", async || {
        let reports = reports(&gridd, "db1").await;
        reports.iter().any(|(percent, _, _)| *percent == 6).then_some(())
    })
    .await;
    std::fs::write(go_on, "").expect("the job's end");
    let ended = eventually("its end", async || job.try_wait().expect("waits")).await;
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_job_after_the_start_is_refused_once_and_goes_on() {
    let gridd = Gridd::start().await;
    gridd.vme("db1", BOOT, &["id=started_ok"]).await.done();
    let text = "PATH=/usr/bin:/bin; echo 5 %; sleep 1.5; echo 6 %; sleep 1.5; echo 7 %";
    let said = gridd.vme("db1", BOOT, &job(&[], text)).await;
    assert_eq!(said.code, Some(0));
    let told = lines(&said.stderr);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("refused: the start is over"), "{told:?}");
    let refused = gridd.records(&["--appliance", "db1", "--kind", "maintenance"]).await;
    assert_eq!(refused.len(), 1, "the grid log is not filled");
}

#[tokio::test]
async fn a_state_that_begins_with_a_carriage_return_counts_before_the_next_one() {
    let gridd = Gridd::start().await;
    // The last state stands without an end for as long as the job lives.
    let text = "PATH=/usr/bin:/bin; printf '\\r  32,768  12%%  1.00MB/s'; sleep 1\n\
                printf '\\r  65,536  34%%  1.00MB/s'; exec sleep 600";
    let job = Follower::start(gridd.vme_command("db1", BOOT, &job(&[], text)));
    eventually("the state without an end", async || {
        let told = gridd.records(&["--kind", "maintenance"]).await;
        told.into_iter().find(|record| record["event"]["progress"] == 34)
    })
    .await;
    job.signal(Signal::TERM);
    job.ended().await;
    // At the end it counts at once.
    let said =
        gridd.vme("db2", BOOT, &self::job(&[], "printf '\\r(5%%)'; printf '\\r(99%%)'")).await;
    assert_eq!(said.code, Some(0));
    assert_eq!(reports(&gridd, "db2").await.last().map(|report| report.0), Some(99));
}

#[tokio::test]
async fn a_spinner_is_no_news() {
    let gridd = Gridd::start().await;
    let text = "PATH=/usr/bin:/bin; for step in 1 2 3 4 5 6 7 8 9 10 11 12; do\n\
                for sign in '|' '/' '-' '+'; do printf '%s checking, %s s\\r' $sign $step; sleep 0.3; done; done";
    let said = gridd.vme("db1", BOOT, &job(&[], text)).await;
    assert_eq!(said.code, Some(0));
    // The name of the command, then what it does.
    let told = reports(&gridd, "db1").await;
    let news = told.iter().filter(|report| !report.2).count();
    assert!((1..=2).contains(&news), "{told:?}");
}

#[tokio::test]
async fn a_real_file_system_check_tells_how_far_it_is() {
    let gridd = Gridd::start().await;
    let image = gridd.path("disk.img");
    let disk = std::fs::File::create(&image).expect("a file");
    disk.set_len(64 << 20).expect("a disk");
    let image = image.to_str().expect("a path in UTF-8");
    let made = std::process::Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F", image]).status();
    assert!(made.expect("Debian's e2fsprogs is there").success());
    let words = ["maintain", "--", "/usr/sbin/fsck.ext4", "-f", "-y", "-C", "1", image];
    let said = gridd.vme("db1", BOOT, &words).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let told = reports(&gridd, "db1").await;
    assert_eq!(told.last().map(|report| report.0), Some(100), "{told:?}");
}
