//! Tests gridctl's commands on crash dumps over a real connection to a scripted broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::Status;

use grid_broker::contract::proto::{
    ApplianceLock, CrashDumpEnd, CrashDumpReadiness, CrashDumpTrigger, FoundCrashDump,
};
use grid_broker::exit_code::ExitCode;

use super::scripted::{NAME, Script};
use super::*;
use crate::args::{self, ApplianceCommand, GridctlCommand};

/// What the user types: `None` is no terminal.
type Typed = Option<&'static str>;

/// What a command line printed and asked, and its result.
#[derive(Debug)]
struct Ran {
    out: String,
    asked: Vec<String>,
    ended: Result<(), CliError>,
}

impl Ran {
    fn failure(&self) -> (String, ExitCode) {
        let failure = self.ended.as_ref().unwrap_err();
        (failure.to_string(), failure.exit_code())
    }
}

async fn run_line(script: &Arc<Script>, line: &str, typed: Typed) -> Ran {
    let broker = script.serve().await;
    let args = args::parse(line.split(' ').map(Into::into).collect()).unwrap();
    let look = OutputOptions {
        format: args.global.format(),
        is_quiet: args.global.quiet,
        ..OutputOptions::plain()
    };
    let (mut out, asked) = (Vec::new(), Mutex::new(Vec::new()));
    let ask = async |question: String| {
        asked.lock().unwrap().push(question);
        typed.map(|typed| Ok(typed.to_owned()))
    };
    let GridctlCommand::Appliance(command) = &args.command else { panic!("not of appliances") };
    let ended = if let ApplianceCommand::CrashDump(arguments) = command {
        run(&broker, arguments, ask, &look, &mut out).await
    } else if let ApplianceCommand::CrashDumps(arguments) = command {
        list(&broker, arguments, &look, &mut out).await
    } else {
        panic!("{command:?} is not of crash dumps")
    };
    Ran { out: String::from_utf8(out).unwrap(), asked: asked.into_inner().unwrap(), ended }
}

fn triggered(script: &Script) -> usize {
    script.triggered.lock().unwrap().len()
}

#[tokio::test]
async fn the_full_name_is_asked_for_after_all_warnings() {
    let script = Arc::new(Script::possible());
    let ran = run_line(&script, "gridctl appliance crash-dump db1", Some(NAME)).await;
    ran.ended.unwrap();
    assert_eq!(ran.out, "a crash dump of shop:main.db1 is requested: req-5f0c (record 17)\n");
    assert_eq!(
        ran.asked,
        ["appliance: shop:main.db1\n\
          state:     running since 2026-11-20 14:02:10Z\n\
          driver:    qemu\n\
          warning:   no crash kernel\\x1b[2J\n\
          \n\
          The driver qemu crashes the kernel of shop:main.db1, which writes a crash dump\n\
          and reboots. Data that is not yet on its disks may be lost, and it is away until\n\
          it has booted again. Its state becomes dumping, then starting with the new boot,\n\
          or failed without one.\n\
          Type the full name shop:main.db1 to go on: "]
    );
    assert_eq!(*script.triggered.lock().unwrap(), [NAME]);
}

#[tokio::test]
async fn nothing_is_triggered_without_the_full_name() {
    for (typed, words) in [
        (Some("db1"), "nothing was triggered: `db1` is not the full name shop:main.db1"),
        (Some(""), "nothing was triggered: an empty line is not the full name shop:main.db1"),
        (Some("yes"), "nothing was triggered: `yes` is not the full name shop:main.db1"),
        (
            Some("shop:main.db1\nshop:main.db1"),
            "nothing was triggered: `shop:main.db1\\nshop:main.db1` is not the full name shop:main.db1",
        ),
        (
            None,
            "there is no terminal to ask for the name: nothing was triggered; with --yes, nobody is \
             asked before shop:main.db1 crashes",
        ),
    ] {
        let script = Arc::new(Script::possible());
        let ran = run_line(&script, "gridctl appliance crash-dump db1", typed).await;
        assert_eq!(ran.failure(), (words.to_owned(), ExitCode::Usage));
        assert_eq!((ran.out.as_str(), ran.asked.len(), triggered(&script)), ("", 1, 0));
    }
}

#[tokio::test]
async fn with_yes_nobody_is_asked() {
    for (line, shown) in [
        ("", "a crash dump of shop:main.db1 is requested: req-5f0c (record 17)\n"),
        (" -q", "req-5f0c\n"),
        (
            " -o json",
            "{\"name\":\"shop:main.db1\",\"request_id\":\"req-5f0c\",\"record_number\":17,\
             \"warnings\":[\"no crash kernel\\u001b[2J\"]}\n",
        ),
    ] {
        let script = Arc::new(Script::possible());
        let line = format!("gridctl appliance crash-dump {NAME} --yes{line}");
        let ran = run_line(&script, &line, None).await;
        ran.ended.unwrap();
        assert_eq!((ran.out.as_str(), ran.asked.len(), triggered(&script)), (shown, 0, 1));
    }
}

#[tokio::test]
async fn a_check_triggers_nothing() {
    let readiness = CrashDumpReadiness { unknown_nmi_panic: true, ..Default::default() };
    let lock =
        ApplianceLock { by: "ann".to_owned(), reason: "move".to_owned(), ..Default::default() };
    let mut script = Script::possible();
    script.check.readiness = Some(readiness);
    script.appliance.lock = Some(lock);
    let script = Arc::new(script);
    let ran = run_line(&script, "gridctl appliance crash-dump db1 --check", None).await;
    ran.ended.unwrap();
    assert_eq!(
        ran.out,
        "appliance:     shop:main.db1\n\
         state:         running since 2026-11-20 14:02:10Z\n\
         driver:        qemu\n\
         locked:        by ann: \"move\"\n\
         panics on NMI: yes (unknown_nmi_panic)\n\
         crash kernel:  not loaded\n\
         warning:       no crash kernel\\x1b[2J\n\
         a crash dump is possible now\n"
    );
    let ran = run_line(&script, "gridctl appliance crash-dump db1 --check -o json", None).await;
    ran.ended.unwrap();
    assert_eq!(
        ran.out,
        concat!(
            r#"{"name":"shop:main.db1","possible":true,"problem":"","driver":"qemu","#,
            r#""state":"running","warnings":["no crash kernel\u001b[2J","#,
            r#""it is locked by ann, which you may pass as an admin: \"move\""],"readiness":"#,
            r#"{"unknown_nmi_panic":true,"panic_on_unrecovered_nmi":false,"#,
            r#""panic_on_io_nmi":false,"crash_kernel_loaded":false}}"#,
            "\n"
        )
    );
    assert_eq!((ran.asked.len(), triggered(&script)), (0, 0));
}

#[tokio::test]
async fn what_is_not_possible_is_refused_before_the_question() {
    let mut script = Script::possible();
    script.check.possible = false;
    script.check.problem = "shop:main.db1 is dumping\n".to_owned();
    let script = Arc::new(script);
    for (flag, shown) in [("", false), (" --yes", false), (" --check", true)] {
        let line = format!("gridctl appliance crash-dump db1{flag}");
        let ran = run_line(&script, &line, Some(NAME)).await;
        assert_eq!(ran.failure(), ("shop:main.db1 is dumping\\n".to_owned(), ExitCode::Refused));
        assert_eq!((ran.asked.len(), triggered(&script)), (0, 0), "{line}");
        assert_eq!(ran.out.contains("driver:"), shown, "{line}");
        assert!(!ran.out.contains("possible now"), "{line}");
    }
}

#[tokio::test]
async fn wrong_names_are_explained() {
    for (line, words, code) in [
        (
            "crash-dump shop:* --yes",
            "shop:* is a pattern: name one appliance, crash dumps are of one at a time",
            ExitCode::Usage,
        ),
        (
            "crash-dumps db?",
            "db? is a pattern: name one appliance, crash dumps are of one at a time",
            ExitCode::Usage,
        ),
        ("crash-dump db2 --yes", "there is no appliance db2", ExitCode::NotFound),
        ("crash-dump db1,db1 --yes", "there is no appliance db1,db1", ExitCode::NotFound),
        ("crash-dumps db2", "there is no appliance db2", ExitCode::NotFound),
    ] {
        let script = Arc::new(Script::possible());
        let ran = run_line(&script, &format!("gridctl appliance {line}"), None).await;
        assert_eq!(ran.failure(), (words.to_owned(), code));
        assert_eq!(triggered(&script), 0);
    }
}

#[tokio::test]
async fn a_lost_reply_is_not_told_as_a_refusal() {
    for (refusal, is_unknown) in [
        (Status::unavailable("gone"), true),
        (Status::deadline_exceeded("late"), true),
        (Status::failed_precondition("shop:main.db1 is idle"), false),
        (Status::permission_denied("viewers do not"), false),
    ] {
        let script = Script { refusal: Some(refusal), ..Script::possible() };
        let script = Arc::new(script);
        let ran = run_line(&script, "gridctl appliance crash-dump db1 --yes", None).await;
        let (words, _) = ran.failure();
        let told = "whether the crash dump was triggered is unknown: \
                    `gridctl appliance crash-dumps shop:main.db1` tells";
        assert_eq!(words.contains(told), is_unknown, "{words}");
    }
}

fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: 1_795_183_330 + seconds, nanos: 0 })
}

fn dump(trigger: CrashDumpTrigger, end: CrashDumpEnd) -> CrashDump {
    CrashDump {
        request_id: "req-5f0c".to_owned(),
        by: "ann".to_owned(),
        cause: "administrator".to_owned(),
        driver: "qemu".to_owned(),
        requested_at: time(0),
        trigger: trigger.into(),
        end: end.into(),
        explanation: "the story".to_owned(),
        ..CrashDump::default()
    }
}

fn found(incomplete: bool) -> FoundCrashDump {
    FoundCrashDump {
        path: "/var/crash/1/dump.1\n".to_owned(),
        bytes: 23_400_000,
        incomplete,
        last_words: "Kernel panic\x1b[2J".to_owned(),
        took_ms: 3_000,
        written_at: time(40),
    }
}

fn booted(found: Vec<FoundCrashDump>) -> CrashDump {
    let mut dump = dump(CrashDumpTrigger::Done, CrashDumpEnd::NewBoot);
    (dump.triggered_at, dump.ended_at, dump.found) = (time(1), time(45), found);
    dump
}

/// Waits for the crash dump with these replies to lists.
async fn wait_for(
    lists: Vec<Result<Vec<CrashDump>, Status>>,
    within: Duration,
) -> (String, Result<(), CliError>) {
    let broker = Arc::new(Script::listing(lists)).serve().await;
    let waiter = wait::Waiter { broker: &broker, name: NAME, request_id: "req-5f0c", within };
    let mut out = Vec::new();
    let ended = waiter.run(Duration::from_millis(1), &OutputOptions::plain(), &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn a_wait_prints_each_step_once_until_a_dump_is_found() {
    let triggered = CrashDump {
        triggered_at: time(1),
        ..dump(CrashDumpTrigger::Done, CrashDumpEnd::Unspecified)
    };
    let other = CrashDump { request_id: "req-0".to_owned(), ..booted(vec![found(true)]) };
    let lists = [
        Ok(vec![dump(CrashDumpTrigger::Pending, CrashDumpEnd::Unspecified), other.clone()]),
        Ok(vec![triggered.clone()]),
        Ok(vec![triggered]),
        Err(Status::unavailable("restarting")),
        Ok(vec![booted(Vec::new()), other]),
        Ok(vec![booted(vec![found(false)])]),
    ];
    let (out, ended) = wait_for(lists.into(), Duration::from_secs(60)).await;
    ended.unwrap();
    assert_eq!(
        out,
        "2026-11-20 14:02:11Z triggered by qemu\n\
         2026-11-20 14:02:55Z booted again; waiting until its agent tells of the dump\n\
         dump: /var/crash/1/dump.1\\n (22 MiB, written in 3 s)\n\
         last words: Kernel panic\\x1b[2J\n"
    );
}

#[tokio::test]
async fn the_exit_code_of_a_wait_tells_what_became_of_it() {
    use CrashDumpTrigger::{Done, Failed};
    let short = Duration::from_millis(30);
    for (list, words, code) in [
        (
            Ok(vec![dump(Failed, CrashDumpEnd::NotTriggered)]),
            "no crash dump: the story\n  gridctl appliance crash-dumps shop:main.db1 req-5f0c shows the rest",
            ExitCode::Failed,
        ),
        (
            Ok(vec![dump(Done, CrashDumpEnd::NoBoot)]),
            "no crash dump: the story\n  gridctl appliance crash-dumps shop:main.db1 req-5f0c shows the rest",
            ExitCode::Failed,
        ),
        (
            Ok(vec![dump(Done, CrashDumpEnd::NoEffect)]),
            "no crash dump: the story\n  gridctl appliance crash-dumps shop:main.db1 req-5f0c shows the rest",
            ExitCode::Failed,
        ),
        (
            Ok(vec![dump(Done, CrashDumpEnd::Stopped)]),
            "no crash dump: the story\n  gridctl appliance crash-dumps shop:main.db1 req-5f0c shows the rest",
            ExitCode::Failed,
        ),
        (
            Ok(vec![dump(Done, CrashDumpEnd::Unspecified)]),
            "it has not ended within 30 ms; it goes on: gridctl appliance crash-dumps shop:main.db1 \
             req-5f0c",
            ExitCode::Failed,
        ),
        (
            Ok(vec![booted(Vec::new())]),
            "shop:main.db1 booted again, but no dump was found within 30 ms",
            ExitCode::NotFound,
        ),
        (
            Ok(vec![booted(vec![found(true)])]),
            "shop:main.db1 booted again, but its dump is incomplete; is its disk full?",
            ExitCode::NotFound,
        ),
        (
            Ok(Vec::new()),
            "shop:main.db1 has no crash dump req-5f0c any more: 16 are kept, and none if it was removed",
            ExitCode::NotFound,
        ),
        (
            Err(Status::not_found("there is no appliance")),
            "shop:main.db1 has no crash dump req-5f0c any more: 16 are kept, and none if it was removed",
            ExitCode::NotFound,
        ),
        (
            Err(Status::unavailable("down")),
            "it has not ended within 30 ms; it goes on: gridctl appliance crash-dumps shop:main.db1 \
             req-5f0c",
            ExitCode::Failed,
        ),
    ] {
        let failure = wait_for(vec![list], short).await.1.unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.exit_code()), (words, code));
    }
}

#[tokio::test]
async fn a_wait_in_json_prints_one_object() {
    let script = Arc::new(Script::listing([Ok(vec![booted(vec![found(false)])])]));
    let line = format!("gridctl appliance crash-dump {NAME} --yes --wait=1m -o json");
    let ran = run_line(&script, &line, None).await;
    ran.ended.unwrap();
    assert!(ran.out.starts_with(r#"{"request_id":"req-5f0c","by":"ann","#), "{}", ran.out);
    assert_eq!(ran.out.lines().count(), 1);
}

#[tokio::test]
async fn crash_dumps_are_a_table_and_objects() {
    let mut failed = dump(CrashDumpTrigger::Failed, CrashDumpEnd::NotTriggered);
    failed.request_id = "req-5f1".to_owned();
    let script = Arc::new(Script::listing([Ok(vec![booted(vec![found(true)]), failed])]));
    let ran = run_line(&script, "gridctl appliance crash-dumps db1", None).await;
    ran.ended.unwrap();
    let rows: Vec<Vec<&str>> = ran.out.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        ["request", "id", "requested", "UTC", "by", "driver", "trigger", "end", "found"]
    );
    assert_eq!(
        rows[1][..8],
        [
            "req-5f0c",
            "2026-11-20",
            "14:02:10Z",
            "ann",
            "qemu",
            "done",
            "new_boot",
            "/var/crash/1/dump.1\\n"
        ]
    );
    assert!(ran.out.contains("(22 MiB, incomplete, written in 3 s)"), "{}", ran.out);
    assert_eq!(rows[2][5..], ["failed", "not_triggered", "nothing"]);

    let ran = run_line(&script, "gridctl appliance crash-dumps db1 -o jsonl", None).await;
    assert_eq!(
        ran.out.lines().next().unwrap(),
        concat!(
            r#"{"request_id":"req-5f0c","by":"ann","cause":"administrator","driver":"qemu","#,
            r#""boot_id":"","requested_at":"2026-11-20T14:02:10Z","trigger":"done","#,
            r#""triggered_at":"2026-11-20T14:02:11Z","detail":"","output":"","#,
            r#""last_heard_at":null,"end":"new_boot","ended_at":"2026-11-20T14:02:55Z","#,
            r#""next_boot_id":"","found":[{"path":"/var/crash/1/dump.1\n","bytes":23400000,"#,
            r#""incomplete":true,"last_words":"Kernel panic\u001b[2J","took_ms":3000,"#,
            r#""written_at":"2026-11-20T14:02:50Z"}],"explanation":"the story"}"#
        )
    );
    let ran = run_line(&script, "gridctl appliance crash-dumps db1 -q", None).await;
    assert_eq!(ran.out, "req-5f0c\nreq-5f1\n");
}

#[tokio::test]
async fn the_beginning_of_a_request_id_is_enough_if_it_is_unique() {
    let mut other = dump(CrashDumpTrigger::Done, CrashDumpEnd::NoBoot);
    other.request_id = "req-5f1".to_owned();
    let script = Arc::new(Script::listing([Ok(vec![booted(Vec::new()), other])]));
    for typed in ["req-5f0c", "req-5f0", "5f0", "REQ-5F0"] {
        let line = format!("gridctl appliance crash-dumps db1 {typed} -q");
        assert_eq!(run_line(&script, &line, None).await.out, "req-5f0c\n", "{typed}");
    }
    for (typed, words, code) in [
        ("5f", "5f is ambiguous, it begins req-5f0c, req-5f1; type more of it", ExitCode::Usage),
        (
            "req-6",
            "no crash dump of shop:main.db1 has the request id `req-6`; `gridctl appliance crash-dumps \
             shop:main.db1` lists them",
            ExitCode::NotFound,
        ),
        (
            "",
            "no crash dump of shop:main.db1 has the request id ``; `gridctl appliance crash-dumps \
             shop:main.db1` lists them",
            ExitCode::NotFound,
        ),
    ] {
        let line = format!("gridctl appliance crash-dumps db1 {typed}");
        let ran = run_line(&script, &line, None).await;
        assert_eq!(ran.failure(), (words.to_owned(), code));
    }
}

#[tokio::test]
async fn the_story_of_one_shows_hostile_text_as_text() {
    let mut dump = booted(vec![found(false)]);
    dump.output = "first\nend: new_boot\x1b[2J\n".to_owned();
    dump.detail = "it says \u{202e}ok".to_owned();
    let script = Arc::new(Script::listing([Ok(vec![dump])]));
    let ran = run_line(&script, "gridctl appliance crash-dumps db1 req-5f0c", None).await;
    ran.ended.unwrap();
    assert_eq!(
        ran.out,
        "request id:  req-5f0c\n\
         appliance:   shop:main.db1\n\
         explanation: the story\n\
         requested:   2026-11-20 14:02:10Z\n\
         by:          ann\n\
         cause:       administrator\n\
         driver:      qemu\n\
         trigger:     done at 2026-11-20 14:02:11Z\n\
         detail:      it says \\u{202e}ok\n\
         end:         new_boot at 2026-11-20 14:02:55Z\n\
         dump:        /var/crash/1/dump.1\\n (22 MiB, written in 3 s)\n\
         written:     2026-11-20 14:02:50Z\n\
         last words:  Kernel panic\\x1b[2J\n\
         output of qemu:\n    first\n    end: new_boot\\x1b[2J\n"
    );
}
