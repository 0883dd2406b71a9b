//! A report comes though workers are blocked, sections fail or hang, or standard error is held; a panic
//! is reported before it goes its way. Each in a process of its own, with the broker's own code.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grid_broker::config::{Settings, SettingsSources};
use grid_broker::contract::proto::GetStatusRequest;
use grid_broker::contract::proto::broker_service_client::BrokerServiceClient;
use grid_broker::daemon::{self, Diagnostics, Reload};
use grid_broker::guru_meditation::{self, LogDir, ReportEncoding, Reporter, Warnings};
use grid_broker::{client, diagnostic_sections, tasks, tracing_lines};
use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::alone::alone;
use crate::report::{Report, assert_frame, whole_reports};
use crate::support::wait_for;

/// Workers of the broker that is blocked.
const WORKERS: usize = 2;

fn install() -> Reporter {
    guru_meditation::install(diagnostic_sections::package("a test")).expect("reports are possible")
}

/// A report with the names of all functions: on a machine that is very busy the first one of a debug
/// build may lack some; they are kept for the next.
fn asked(reporter: &Reporter) -> Report {
    let tell = || Report::read(&reporter.report(ReportEncoding::Json).expect("a report"));
    let is_named = |report: &Report| {
        let complete = |section| report.section(section)["is_complete"] == true;
        complete("Threads") && complete("Green Threads")
    };
    let mut reports = std::iter::repeat_with(tell).take(20);
    reports.find(is_named).expect("one of twenty has all names")
}

/// A broker in this process, with all that a real one has.
fn broker(reporter: &Reporter) -> (Runtime, tempfile::TempDir, String, JoinHandle<()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(WORKERS).enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let free = "127.0.0.1:0".to_owned();
    let flags = vec![("data", data), ("grpc", free.clone()), ("http", free)];
    let given = SettingsSources { flags, ..SettingsSources::default() };
    let settings = Settings::new(&given).expect("right settings");
    let (say, said) = sync_channel(1);
    let warnings = Warnings::default();
    let told = tracing_lines::init("info", tracing_lines::LogFormat::Human, warnings.clone());
    let reload = Reload { sources: given, log_filter: told.expect("a filter") };
    let telling = Diagnostics { reporter: reporter.clone(), warnings };
    let whole = async move {
        let tell =
            |place: &daemon::Endpoints| say.send(place.grpc.to_string()).expect("it listens");
        daemon::run(settings, telling, reload, daemon::StartOptions::default(), tell).await
    };
    let handle = runtime.handle().clone();
    let _within = handle.enter();
    let ended = tasks::spawn("broker", async move {
        whole.await.expect("it stops in good order");
    });
    let address = said.recv().expect("it serves");
    (runtime, folder, address, ended)
}

/// The bug: it waits in a task for what another thread has.
#[inline(never)]
fn a_bug_that_blocks_its_worker(until: &Mutex<Receiver<()>>) {
    let _ = until.lock().unwrap_or_else(PoisonError::into_inner).recv();
}

/// Blocks all workers; each sender lets one go on.
fn block_all(runtime: &Runtime) -> Vec<SyncSender<()>> {
    let (is_blocked, blocked) = sync_channel(WORKERS);
    let _within = runtime.enter();
    (0..WORKERS)
        .map(|_| {
            let (go_on, until) = sync_channel(1);
            let (until, is_blocked) = (Mutex::new(until), is_blocked.clone());
            drop(tasks::spawn("culprit", async move {
                is_blocked.send(()).expect("it listens");
                a_bug_that_blocks_its_worker(&until);
            }));
            blocked.recv().expect("it runs");
            go_on
        })
        .collect()
}

/// The report that a signal writes, by way of a folder: the signal may be taken a little later.
fn report_by_signal(reporter: &Reporter) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, service) = (folder.path().to_owned(), "test".to_owned());
    reporter.log_dir(Some(LogDir { folder: path, service, keep: 1 }));
    kill_process(getpid(), Signal::USR2).expect("it is sent");
    let whole = wait_for("a report by signal", || {
        let mut entries = std::fs::read_dir(folder.path()).expect("the folder");
        entries.find_map(|entry| {
            let entry = entry.expect("an entry");
            entry.file_name().to_string_lossy().starts_with("test_").then(|| entry.path())
        })
    });
    std::fs::read_to_string(whole).expect("a report")
}

fn names_the_culprits_and_all_others() {
    let reporter = install();
    let (runtime, _folder, address, ended) = broker(&reporter);
    let go_on = block_all(&runtime);
    // The names of functions are known then, however busy the machine is.
    asked(&reporter);
    let signalled = report_by_signal(&reporter);
    assert!(signalled.contains("a_bug_that_blocks_its_worker"), "{signalled}");
    assert_eq!(whole_reports(&signalled), 1, "{signalled}");
    let report = asked(&reporter);
    let tasks = report.stacks("Green Threads");
    let culprits: Vec<_> = tasks.iter().filter(|task| task["name"] == "culprit").collect();
    assert_eq!(culprits.len(), WORKERS);
    for culprit in culprits {
        let thread = culprit["state"].as_str().and_then(|it| it.strip_prefix("RUNNING on thread "));
        let title = format!("Thread #{}", thread.expect("it runs"));
        assert_frame(report.stack("Threads", "title", &title), &["a_bug_that_blocks_its_worker"]);
    }
    assert_frame(report.stack("Green Threads", "name", "accept grpc"), &["src/listener/mod.rs"]);
    assert_frame(report.stack("Green Threads", "name", "alive"), &["src/broker/start.rs"]);
    // The loop is a thread of its own: it answers.
    assert!(report.section("Appliances")["values"]["broker_time"].is_string());
    for go_on in go_on {
        go_on.send(()).expect("it waits");
    }
    let status = runtime.block_on(async {
        let mut broker =
            BrokerServiceClient::new(client::connect(&address).await.expect("it is there"));
        broker.get_status(GetStatusRequest {}).await
    });
    assert!(status.expect("it serves on").into_inner().last_record > 0);
    kill_process(getpid(), Signal::TERM).expect("it is sent");
    runtime.block_on(ended).expect("no panic");
}

#[test]
fn with_all_workers_blocked_it_names_the_culprit() {
    let test = "reports_under_stress::with_all_workers_blocked_it_names_the_culprit";
    alone(test, names_the_culprits_and_all_others);
}

fn tells_of_bad_sections_with_stderr_held() {
    let reporter = install();
    let warnings = Warnings::default();
    reporter.register("Panics", |page| {
        page.add("before", 1);
        panic!("on purpose");
    });
    reporter.register("Hangs", |page| {
        page.add("before", 2);
        std::thread::sleep(Duration::from_secs(3_600));
    });
    reporter.register("Warnings", move |page| warnings.write(page));
    let (is_held, held) = sync_channel(1);
    let holder = tasks::spawn_thread("holder", move || {
        let _held = std::io::stderr().lock();
        is_held.send(()).expect("it listens");
        std::thread::sleep(Duration::from_secs(3_600));
    });
    drop(holder.expect("a thread"));
    held.recv().expect("it is held");
    // A thread has its name once it runs.
    let (is_running, running) = sync_channel(1);
    let allocating = tasks::spawn_thread("allocator", move || {
        is_running.send(()).expect("it listens");
        loop {
            drop(std::hint::black_box(vec![0_u8; 3_000]));
        }
    });
    drop(allocating.expect("a thread"));
    running.recv().expect("it runs");
    for _ in 0..20 {
        kill_process(getpid(), Signal::USR2).expect("it is sent");
        let report = asked(&reporter);
        let panics = report.section("Panics");
        assert_eq!(
            (&panics["is_complete"], &panics["values"]["before"]),
            (&false.into(), &1.into())
        );
        let words = panics["remark"].as_str().expect("a remark");
        assert!(words.contains("panicked at tests/guarantees/") && words.ends_with(": on purpose"));
        let hangs = report.section("Hangs");
        assert!(
            hangs["remark"]
                .as_str()
                .is_some_and(|it| it.contains("hung") || it.contains("did not end"))
        );
        assert_eq!(report.section("Warnings")["is_complete"], true);
        assert_frame(report.stack("Threads", "name", "holder"), &["tells_of_bad_sections"]);
        assert_frame(report.stack("Threads", "name", "allocator"), &["tells_of_bad_sections"]);
    }
}

#[test]
fn with_bad_sections_and_standard_error_held_the_rest_is_there() {
    let test = "reports_under_stress::with_bad_sections_and_standard_error_held_the_rest_is_there";
    let Some(said) = alone(test, tells_of_bad_sections_with_stderr_held) else { return };
    assert!(whole_reports(&said.stderr) >= 1, "{}", said.stderr);
    let title = format!("===={:^64}====", "Hangs");
    assert!(said.stderr.contains("(this section panicked at tests/guarantees/"), "{}", said.stderr);
    assert!(said.stderr.contains(&title), "{}", said.stderr);
}

#[inline(never)]
fn a_function_that_panics(words: &str) {
    panic!("of {words}");
}

fn panics_of_a_thread_a_task_and_a_section() {
    let reporter = install();
    reporter.register("Panics", |_| a_function_that_panics("a section"));
    let warnings = Warnings::default();
    reporter.register("Warnings", move |page| warnings.write(page));
    asked(&reporter);
    let thread = tasks::spawn_thread("unlucky", || a_function_that_panics("a thread"));
    assert!(thread.expect("a thread").join().is_err());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let ended = runtime.expect("a runtime").block_on(async {
        tasks::spawn("unlucky", async { a_function_that_panics("a task") }).await
    });
    assert!(ended.expect_err("a panic").is_panic());
}

#[test]
fn a_panic_is_reported_before_it_goes_its_way_and_once_a_minute() {
    let test = "reports_under_stress::a_panic_is_reported_before_it_goes_its_way_and_once_a_minute";
    let Some(said) = alone(test, panics_of_a_thread_a_task_and_a_section) else { return };
    let text = &said.stderr;
    // Neither the section's own panic, nor the task's within the same minute.
    assert_eq!(whole_reports(text), 1, "{text}");
    let asked_by = "\n  asked_by = thread 'unlucky' panicked at tests/guarantees/";
    assert!(text.contains(asked_by) && text.contains(": of a thread\n"), "{text}");
    assert!(text.contains("::a_function_that_panics\n"), "the stack is there: {text}");
    let hook =
        text.rfind("panicked at tests/guarantees/").expect("the hook before ours speaks too");
    assert!(text[hook..].contains("of a task"), "{text}");
}

fn names_sections_that_are_still_to_come() {
    let reporter = install();
    reporter.announce_sections(&["Configuration", "Journal"]);
    reporter.configuration(Vec::new);
    let report = asked(&reporter);
    assert_eq!(report.section("Configuration")["is_complete"], true);
    let journal = report.section("Journal");
    let remark = "not available yet: the program is still starting";
    assert_eq!((&journal["is_complete"], &journal["remark"]), (&false.into(), &remark.into()));
    reporter.register("Journal", |page| page.add("records", 1));
    assert_eq!(asked(&reporter).section("Journal")["is_complete"], true);
}

#[test]
fn a_report_of_a_program_that_starts_names_what_is_not_there_yet() {
    let test =
        "reports_under_stress::a_report_of_a_program_that_starts_names_what_is_not_there_yet";
    alone(test, names_sections_that_are_still_to_come);
}
