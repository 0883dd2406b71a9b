//! A report of a real broker tells every thread and task, in text as in JSON, asked for by signal,
//! file or call, and disturbs nothing.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grid_broker::contract::proto::Log;
use grid_broker::contract::proto::event::Kind;
use grid_broker::tasks;
use rustix::process::Signal;
use serde_json::Value;

use crate::report::{Report, assert_frame, frames, whole_reports};
use crate::support::{Follower, Gridd, Launch, Session, ack_exceptions, event, eventually, lines};

/// Reports that a broker under load writes; a debug build is slower.
const REPORTS: usize = if cfg!(debug_assertions) { 60 } else { 1_000 };

/// Nobody is held back.
const UNLIMITED: &str = "[class.default]\nbudget = \"unlimited\"\n";

const SECTIONS: [&str; 14] = [
    "Package",
    "Threads",
    "Green Threads",
    "Processes",
    "Configuration",
    "Appliances",
    "Journal",
    "Queues",
    "Sessions",
    "Suppressions",
    "Crash Dumps",
    "Mails",
    "Open Alerts",
    "Warnings",
];

async fn report(gridd: &Gridd) -> Report {
    eventually("a complete report", async || {
        let said = gridd.gridctl(&["report", "--json"]).await.done();
        assert_eq!(lines(&said).len(), 1, "one document on one line");
        Some(Report::read(&said)).filter(Report::is_complete)
    })
    .await
}

fn threads_of(pid: u32) -> BTreeSet<u64> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let names = folder.map(|it| it.expect("a thread").file_name());
    names.map(|name| name.to_str().and_then(|id| id.parse().ok()).expect("an id")).collect()
}

/// Waits for so many whole reports on standard error.
async fn reports_on_stderr(gridd: &Gridd, count: usize) -> String {
    eventually(&format!("{count} reports on standard error"), async || {
        Some(gridd.stderr()).filter(|text| whole_reports(text) >= count && text.ends_with("\n\n"))
    })
    .await
}

#[tokio::test]
async fn every_thread_has_its_stack_and_every_task_the_place_where_it_waits() {
    let gridd = Gridd::start().await;
    let mut session = Session::open(&gridd, "shop:main.db1", 1, 1).await;
    session.say(&event(Kind::Log(Log {}), 1, "\u{1b}[2J hello")).await;
    session.acked(1).await;
    let mut tail = Follower::start(gridd.gridctl_command(&["log", "list", "--follow"]));
    tail.lines(2).await;
    // On a busy machine all workers may have work at the moment of a report.
    let (before, report, after) = eventually("a worker waits for the network", async || {
        let before = threads_of(gridd.pid());
        let report = report(&gridd).await;
        let waits = |stack| frames(stack).iter().any(|frame| frame.ends_with(" in epoll_wait"));
        let is_quiet = report.stacks("Threads").iter().any(waits);
        is_quiet.then(|| (before, report, threads_of(gridd.pid())))
    })
    .await;

    assert_eq!(report.sections(), SECTIONS);
    let stacks = report.stacks("Threads");
    assert!(!before.is_disjoint(&after), "no thread lived on");
    for id in before.intersection(&after) {
        let title = format!("Thread #{id}");
        let stack = stacks.iter().find(|stack| stack["title"] == *title).expect("every thread");
        assert!(!frames(stack).is_empty() && stack.get("remark").is_none(), "{stack:#}");
        assert!(stack["name"].is_string() && stack["state"].is_string(), "{stack:#}");
    }
    let broker = report.stack("Threads", "name", "broker");
    assert_frame(broker, &["src/broker.rs", "grid_broker::broker::EventLoop::run"]);
    assert_frame(report.stack("Threads", "name", "archiver"), &["src/journal/archive/"]);
    tells_tasks(&report);
    tells_the_grid(&report);
    session.goodbye().await;
}

fn tells_tasks(report: &Report) {
    let values = &report.section("Green Threads")["values"];
    assert_eq!(values["traced"], values["alive"], "no task but ours");
    assert_frame(report.stack("Green Threads", "name", "gridd"), &["src/daemon.rs"]);
    assert_frame(report.stack("Green Threads", "name", "accept grpc"), &["src/listener/mod.rs"]);
    assert_frame(report.stack("Green Threads", "name", "session"), &["src/grpc/session.rs"]);
    assert_frame(report.stack("Green Threads", "name", "tail"), &["src/grpc/tail.rs"]);
    assert_frame(report.stack("Green Threads", "name", "connection"), &["hyper"]);
    let path = "/grid.events.v1.BrokerService/GetReport";
    let call = report.stack("Green Threads", "detail", path);
    assert_eq!(call["name"], "http2");
    assert_frame(call, &["src/grpc/broker_status.rs"]);
    if !cfg!(debug_assertions) {
        // Debug builds have lines, but not all names of async functions.
        let session = report.stack("Green Threads", "name", "session");
        assert_frame(session, &["grid_broker::grpc::session::run_session"]);
        assert_frame(call, &["grid_broker::grpc::broker_status"]);
    }
}

fn tells_the_grid(report: &Report) {
    let values = |section: &str| report.section(section)["values"].clone();
    assert_eq!(values("Package")["product"], "gridd");
    assert_eq!(values("Package")["version"], env!("CARGO_PKG_VERSION"));
    assert!(values("Package")["build_id"].as_str().is_some_and(|id| id.len() >= 16));
    assert_eq!(values("Appliances")["starting"], 1);
    assert_eq!(values("Appliances")["next_deadlines"].as_array().map(Vec::len), Some(1));
    assert_eq!(values("Sessions")["open"], 1);
    assert!(values("Journal")["commits"].as_u64() > Some(1));
    assert!(values("Queues")["room_bytes"].as_u64() > Some(0));
    assert!(values("Processes")["descriptors"].as_u64() > Some(3));
    let grpc = &report.section("Configuration")["groups"]["default"]["grpc"];
    assert_eq!(grpc["origin"], "--grpc");
}

#[tokio::test]
async fn a_signal_writes_the_report_to_standard_error_any_number_of_times() {
    let gridd = Gridd::start().await;
    for number in 1..=3 {
        gridd.signal(Signal::USR2);
        reports_on_stderr(&gridd, number).await;
    }
    let text = gridd.stderr();
    let title = "\
========================================================================
====                        Guru Meditation                         ====
========================================================================
||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||


========================================================================
====                            Package                             ====
========================================================================
product = gridd
vendor = Grid Broker
";
    assert!(text.contains(title), "{text}");
    let mut rest = text.as_str();
    // What oslo.reports has no place for is behind all that.
    for section in SECTIONS.into_iter().chain(["Details"]) {
        let heading = format!("\n===={section:^64}====\n");
        let at = rest.find(&heading).unwrap_or_else(|| panic!("{section} comes in its order"));
        rest = &rest[at..];
    }
    // oslo.reports' own tests know a thread by this line.
    let threads: Vec<_> = text.lines().filter(|line| line.starts_with("------")).collect();
    assert!(threads.len() > 5, "the threads are found: {threads:?}");
    for line in threads {
        let within = line.trim_matches('-');
        let sides =
            (within.len() - within.trim_start().len(), within.len() - within.trim_end().len());
        assert!(line.len() == 72 && (sides.1 == sides.0 || sides.1 == sides.0 + 1), "{line}");
    }
    let own = format!("\nProcess {} (under {}) [ run by: ", gridd.pid(), std::process::id());
    assert!(text.contains(&own), "no {own:?} in {text}");
    assert!(text.contains("\n\ndefault: \n  authentication = auto\n  ballast = 8MiB\n"), "{text}");
    assert!(rest.contains("\nPackage = \n  asked_by = signal SIGUSR2\n"), "{rest}");
    assert!(rest.contains("\n  origins of default = \n    data = --data\n"), "{rest}");
}

#[tokio::test]
async fn a_signal_during_start_up_is_harmless() {
    let mut gridd = Gridd::start().await;
    gridd.terminate().await;
    // The journal is there: the next start has something to do.
    for _ in 0..5 {
        gridd
            .start_again_with(async |pid| {
                let caught = |text: String| {
                    let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:\t"))?;
                    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
                    (mask >> (Signal::USR2.as_raw() - 1) & 1 == 1).then_some(())
                };
                eventually("the handler", async || {
                    caught(std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
                })
                .await;
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                let _ = rustix::process::kill_process(pid.expect("a pid"), Signal::USR2);
            })
            .await;
        assert_eq!(gridd.terminate().await, Some(0));
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder").map(|it| it.expect("an entry"));
    // What begins with a dot is not whole yet.
    let names = entries.map(|it| it.file_name().into_string().expect("a name"));
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[tokio::test]
async fn reports_go_to_the_folder_by_signal_or_file_and_to_standard_error_if_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (reports, trigger) = (folder.path().join("reports"), folder.path().join("trigger"));
    std::fs::create_dir(&reports).expect("a folder");
    let config = format!("[report]\nlog_dir = {reports:?}\nkeep = 3\ntrigger_file = {trigger:?}\n");
    let gridd = Gridd::with_config(&config).await;
    let there = async |count: usize| {
        eventually(&format!("{count} files"), async || {
            Some(files(&reports)).filter(|names| names.len() == count)
        })
        .await
    };
    gridd.signal(Signal::USR2);
    there(1).await;
    std::fs::write(&trigger, "").expect("the trigger");
    there(2).await;
    std::fs::remove_file(&trigger).expect("it was there");
    // Its absence was seen at the next look; made again, it has another time.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    std::fs::write(&trigger, "").expect("the trigger");
    for name in there(3).await {
        assert!(name.starts_with("gridd_gurumeditation_20"), "{name}");
        let path = reports.join(&name);
        let text = std::fs::read_to_string(&path).expect("it is whole");
        assert_eq!(whole_reports(&text), 1, "{text}");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(whole_reports(&gridd.stderr()), 0);
    assert!(gridd.stderr().contains("Guru Meditation Report written to "), "{}", gridd.stderr());
    // Only three are kept, and who has no folder writes to standard error.
    let oldest = files(&reports).remove(0);
    gridd.signal(Signal::USR2);
    eventually("the oldest is gone", async || {
        (!files(&reports).contains(&oldest) && files(&reports).len() == 3).then_some(())
    })
    .await;
    std::fs::remove_dir_all(&reports).expect("it goes");
    gridd.signal(Signal::USR2);
    eventually("the report on standard error", async || {
        let said = gridd.stderr();
        let why = "Guru Meditation Report: cannot write to ";
        (whole_reports(&said) == 1 && said.contains(why)).then_some(())
    })
    .await;
}

/// Events said at once, and the pause behind them: some 5,000 a second and session, of which all are
/// listed at the end.
const AT_ONCE: u64 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Says events until told to stop; gives how many were acknowledged as kept.
async fn speak(mut session: Session, mut over: tokio::sync::watch::Receiver<bool>) -> usize {
    let (mut acked, mut kept) = (0, 0);
    while !*over.borrow_and_update() {
        for sequence in acked + 1..=acked + AT_ONCE {
            let text = format!("event {sequence}");
            session.say(&event(Kind::Log(Log {}), sequence, &text)).await;
        }
        acked += AT_ONCE;
        let refused = ack_exceptions(&session.acked(acked).await).len();
        kept += usize::try_from(AT_ONCE).expect("small") - refused;
        tokio::time::sleep(PAUSE).await;
    }
    session.goodbye().await;
    kept
}

/// Counts the reports that come whole.
fn count_reports(stderr: PipeReader, count: &AtomicUsize) {
    // The last section has no stacks: its heading is behind all the rest.
    let last = format!("===={:^64}====", SECTIONS[SECTIONS.len() - 1]);
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        count.fetch_add(usize::from(line == last), Ordering::AcqRel);
    }
}

fn anonymous_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn many_reports_under_load_lose_nothing_and_give_their_memory_back() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.terminate().await;
    let (stderr, said) = std::io::pipe().expect("a pipe");
    let said = Launch { stderr: Some(said.into()), ..Launch::default() };
    gridd.start_again_as(said).await;
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let counting = tasks::spawn_thread("counter", move || count_reports(stderr, &counted));
    drop(counting.expect("a thread"));
    let (stop, over) = tokio::sync::watch::channel(false);
    let mut speakers = Vec::new();
    for speaker in 1..=2 {
        let name = format!("shop:main.db{speaker}");
        let session = Session::open(&gridd, &name, u128::from(speaker), speaker).await;
        speakers.push(tasks::spawn("speaker", speak(session, over.clone())));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = anonymous_kib(gridd.pid());
    for number in 1..=REPORTS {
        gridd.signal(Signal::USR2);
        // Signals during a report merge into one more, so each is waited for.
        eventually(&format!("report {number}"), async || {
            (written.load(Ordering::Acquire) >= number).then_some(())
        })
        .await;
    }
    stop.send_replace(true);
    let mut kept = 0;
    for speaker in speakers {
        kept += speaker.await.expect("no panic");
    }
    assert!(kept > 0);
    assert_eq!(gridd.records(&["--kind", "log"]).await.len(), kept, "all acknowledged, each once");
    // Debug information takes some 60 MB while it is in use, and is given back when all is quiet.
    eventually("the memory is given back", async || {
        (anonymous_kib(gridd.pid()) < before + (24 << 10)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_broker_whose_standard_error_nobody_reads_serves_on() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.terminate().await;
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let stderr = Some(Stdio::from(writer));
    gridd.start_again_as(Launch { stderr, ..Launch::default() }).await;
    for sequence in 0..50 {
        gridd.signal(Signal::USR2);
        let said = gridd.vme("db1", 1, &["id=log", &format!("msg=event {sequence}")]).await;
        assert!(said.done().contains("is record"));
    }
    assert_eq!(report(&gridd).await.sections(), SECTIONS, "the next one waits for 5 s at most");
    drop(reader);
    gridd.signal(Signal::USR2);
    assert_eq!(report(&gridd).await.sections(), SECTIONS, "and a closed one harms nobody");
    assert_eq!(gridd.terminate().await, Some(0));
}

#[tokio::test]
async fn the_other_programs_that_run_long_report_too() {
    let gridd = Gridd::start().await;
    let mut tail = Follower::start(gridd.gridctl_command(&["log", "list", "--follow"]));
    tail.lines(1).await;
    // The first report of a debug build may lack names on a busy machine; they are kept for the next.
    let mut reports = 0;
    eventually("a report with the names of functions", async || {
        if tail.stderr().matches("\nproduct = gridctl\n").count() == reports {
            tail.signal(Signal::USR2);
            reports += 1;
        }
        tail.stderr().contains("gridctl::main").then_some(())
    })
    .await;
    let said = tail.interrupt().await;
    assert!(said.stderr.contains("\nproduct = gridctl\n"), "{}", said.stderr);
    assert!(said.stderr.contains("Thread #"), "{}", said.stderr);
}

#[tokio::test]
async fn gridctl_prints_the_report_for_people() {
    let gridd = Gridd::start().await;
    let said = gridd.gridctl(&["report"]).await.done();
    assert_eq!(whole_reports(&said), 1, "{said}");
    assert!(said.contains("\n  asked_by = a call\n"), "{said}");
    let json: Result<Value, _> = serde_json::from_str(&said);
    assert!(json.is_err());
}
