//! Standard error that nobody reads, or that takes nothing, stops neither gridd nor vme.

use std::fs::File;
use std::io::{Read, pipe};
use std::process::Stdio;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Log, StartedOk};

use crate::page::page;
use crate::support::{Gridd, Launch, Session, clean, event, eventually, run_into};

/// What tells more than a pipe, and all that may wait for it, can hold.
const TELLS_MUCH: &str = "tracing = \"trace\"\n[class.default]\nbudget = \"unlimited\"\n";

/// Lines that were dropped, by the metrics.
async fn dropped(gridd: &Gridd) -> u64 {
    let (_, _, text) = page(&gridd.http, "/metrics").await;
    let value = text.lines().find_map(|it| it.strip_prefix("gridd_tracing_lines_dropped_total "));
    value.expect("it is counted").parse().expect("a number")
}

/// Lets it tell of that appliance's events until lines are dropped.
async fn overflow(gridd: &Gridd, name: &str) {
    let session = Session::open(gridd, name, 1, 1).await;
    let before = dropped(gridd).await;
    let mut sequence = 0;
    eventually("dropped lines", async || {
        for _ in 0..200 {
            sequence += 1;
            session.say(&event(Kind::Log(Log {}), sequence, "a line")).await;
        }
        (dropped(gridd).await > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_nobody_reads_stops_no_event_no_page_and_no_end() {
    let mut gridd = Gridd::with_config(TELLS_MUCH).await;
    assert_eq!(gridd.terminate().await, Some(0));
    let (mut reader, writer) = pipe().expect("a pipe");
    let stderr = Some(Stdio::from(writer));
    gridd.start_again_as(Launch { stderr, ..Launch::default() }).await;
    overflow(&gridd, "shop:db1").await;
    assert_eq!(page(&gridd.http, "/livez").await.0, 200);
    assert_eq!(gridd.vme("shop:db2", 1, &["id=started_ok"]).await.code, Some(0));

    // Somebody reads again: what was dropped is told where it is missing.
    let mut told = String::new();
    eventually("a line that tells of it", async || {
        let mut piece = vec![0; 64 << 10];
        let read = reader.read(&mut piece).expect("reads");
        told.push_str(&String::from_utf8_lossy(&piece[..read]));
        told.contains(" lines are missing here: standard error took no more\n").then_some(())
    })
    .await;

    // Nobody does again, and it is told to stop.
    overflow(&gridd, "shop:db3").await;
    assert_eq!(gridd.terminate().await, Some(0), "in good order, in time");
    drop(reader);
}

#[tokio::test]
async fn a_full_disk_behind_standard_error_stops_nothing_and_is_counted() {
    let mut gridd = Gridd::with_config(TELLS_MUCH).await;
    assert_eq!(gridd.terminate().await, Some(0));
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let stderr = Some(Stdio::from(full));
    gridd.start_again_as(Launch { stderr, ..Launch::default() }).await;
    let session = Session::open(&gridd, "shop:db1", 1, 1).await;
    session.say(&event(Kind::StartedOk(StartedOk {}), 1, "")).await;
    assert!(dropped(&gridd).await > 0);
    assert_eq!(gridd.terminate().await, Some(0));
}

#[tokio::test]
async fn vme_tells_the_broker_though_nobody_reads_what_it_says() {
    let gridd = Gridd::start().await;
    // A pipe that is full from the beginning.
    let (_reader, writer) = pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("a mode");
    let fill = vec![b'x'; 4_096];
    while rustix::io::write(&writer, &fill).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("a mode");

    let command = gridd.vme_command("shop:db1", 1, &["run", "--", "/bin/false"]);
    let ended = run_into(command, None, Some(Stdio::from(writer))).await;
    assert_eq!(ended.code, Some(1), "the start failed");
    gridd.explained("shop:db1", "failed").await;
}

#[tokio::test]
async fn a_full_standard_output_is_noticed_by_gridd_and_vme() {
    let gridd = Gridd::start().await;
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("/dev/full"));
    let of_gridd = |words: &[&str]| {
        let mut command = clean(env!("CARGO_BIN_EXE_gridd"));
        command.args(words).current_dir(gridd.path(""));
        command
    };
    for (what, command) in [
        ("check-config", of_gridd(&["check-config"])),
        ("check-config --output json", of_gridd(&["check-config", "--output", "json"])),
        ("gridd --help", of_gridd(&["--help"])),
        ("gridd --version", of_gridd(&["--version"])),
        ("vme --help", gridd.vme_command("a", 1, &["--help"])),
        ("vme spool", gridd.vme_command("a", 1, &["spool"])),
        ("vme", gridd.vme_command("a", 1, &["id=log", "msg=kept"])),
    ] {
        let ended = run_into(command, Some(full()), None).await;
        assert_eq!(ended.code, Some(1), "{what}");
        let said = "cannot write to standard output, what it shows is not complete: No space left on \
                    device (os error 28)";
        assert!(ended.stderr.contains(said), "{what}: {}", ended.stderr);
    }
    // A reader who has seen enough is no failure.
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let ended = run_into(of_gridd(&["check-config"]), Some(Stdio::from(writer)), None).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
