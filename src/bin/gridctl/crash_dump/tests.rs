//! Tests gridctl's commands on crash dumps over a real connection to a scripted broker.

use std::sync::{Arc, Mutex};

use tonic::Status;

use grid_broker::contract::proto::{ApplianceLock, CrashDumpReadiness};
use grid_broker::exit_code::ExitCode;

use super::scripted::{NAME, Script};
use super::*;
use crate::args::{self, ApplianceCommand, GridctlCommand};

/// What the user types: `None` is no terminal.
pub(super) type Typed = Option<&'static str>;

/// What a command line printed and asked, and its result.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) out: String,
    asked: Vec<String>,
    pub(super) ended: Result<(), CliError>,
}

impl Ran {
    pub(super) fn failure(&self) -> (String, ExitCode) {
        let failure = self.ended.as_ref().unwrap_err();
        (failure.to_string(), failure.exit_code())
    }
}

pub(super) async fn run_line(script: &Arc<Script>, line: &str, typed: Typed) -> Ran {
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
