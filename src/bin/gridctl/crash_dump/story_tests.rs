//! Tests how gridctl follows and lists crash dumps, over a real connection to a scripted broker.

use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use grid_broker::contract::proto::{CrashDumpEnd, CrashDumpTrigger, FoundCrashDump};
use grid_broker::exit_code::ExitCode;

use super::scripted::{NAME, Script};
use super::tests::run_line;
use super::*;

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
            r#""last_event_at":null,"end":"new_boot","ended_at":"2026-11-20T14:02:55Z","#,
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
