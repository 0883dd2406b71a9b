//! Tests what gridctl makes of an export, over a real connection to a scripted broker.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use clap::Parser;
use grid_broker::contract::encoded::EncodedExport;
use grid_broker::contract::proto::{ExportRecordsResponse, Missing};
use grid_broker::exit_code::ExitCode;
use prost::Message;
use tempfile::TempDir;
use tonic::Status;

use super::*;
use crate::args::{GridctlArgs, GridctlCommand, LogCommand};
use crate::log::tests::{ScriptedGridLog, numbers, page, record};

type Part = Result<EncodedExport, Status>;

fn part_with(numbers: &[u64], missing: &[(u64, u64, bool)], reached: u64, last: u64) -> Part {
    let message = ExportRecordsResponse {
        records: numbers.iter().map(|number| record(*number)).collect(),
        missing: missing
            .iter()
            .map(|&(first, last, trimmed)| Missing { first, last, trimmed })
            .collect(),
        cursor: format!("behind {reached}"),
        reached,
        first: 1,
        last,
    };
    Ok(EncodedExport { bytes: message.encode_to_vec().into() })
}

fn part(numbers: &[u64], reached: u64, last: u64) -> Part {
    part_with(numbers, &[], reached, last)
}

fn broken() -> Part {
    Err(Status::unavailable("stopping"))
}

fn scripted(exports: Vec<Vec<Part>>) -> ScriptedGridLog {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().exports = VecDeque::from(exports);
    script
}

/// Runs the command until the script is over; connects again without a delay.
async fn export(script: &ScriptedGridLog, words: &[&str]) -> (String, Result<(), CliError>) {
    let broker = script.serve().await;
    let args = GridctlArgs::parse_from(["gridctl", "log", "export"].iter().chain(words));
    let GridctlCommand::Log(LogCommand::Export(arguments)) = args.command else {
        panic!("not log export")
    };
    let look = OutputOptions { format: args.global.format(), ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run_with(&broker, &arguments, &look, &mut out, Duration::from_millis(1)).await;
    (String::from_utf8(out).unwrap(), ended)
}

fn requests(script: &ScriptedGridLog) -> Vec<(u64, u64, String)> {
    let state = script.0.lock().unwrap();
    state.exported.iter().map(|it| (it.first, it.last, it.cursor.clone())).collect()
}

#[tokio::test]
async fn a_lost_connection_is_made_again_without_gap_or_double() {
    let script = scripted(vec![
        vec![part(&[1, 2], 2, 6), part(&[], 3, 6), broken()],
        vec![],
        vec![part(&[4, 5], 5, 6)],
        vec![part(&[6], 6, 6)],
    ]);
    let (lines, ended) = export(&script, &[]).await;
    ended.unwrap();
    assert_eq!(numbers(&lines), [1, 2, 4, 5, 6]);
    let expected = [(0, 0, ""), (0, 6, "behind 3"), (0, 6, "behind 3"), (0, 6, "behind 5")];
    assert_eq!(requests(&script), expected.map(|(first, last, at)| (first, last, at.to_owned())));
}

#[tokio::test]
async fn a_broker_that_does_not_come_back_is_given_up() {
    let mut script = vec![vec![part(&[1], 1, 6), broken()]];
    script.extend((0..20).map(|_| Vec::new()));
    let script = scripted(script);
    let (lines, ended) = export(&script, &[]).await;
    assert_eq!(numbers(&lines), [1]);
    let failure = ended.unwrap_err();
    assert_eq!(failure.to_string(), "gave up after 8 attempts: starting");
    assert_eq!(failure.exit_code(), ExitCode::Unavailable);
    assert_eq!(script.0.lock().unwrap().exported.len(), 9);
}

#[tokio::test]
async fn what_does_not_follow_is_not_written() {
    for exports in [
        vec![vec![part(&[2, 2], 2, 6)]],
        vec![vec![part(&[1, 2], 2, 6), part(&[2, 3], 3, 6)]],
        vec![vec![part(&[1, 2], 2, 6), part(&[], 2, 6)]],
        vec![vec![part(&[1, 2], 2, 6), part(&[3], 1, 6)]],
    ] {
        let (lines, ended) = export(&scripted(exports), &[]).await;
        let failure = ended.unwrap_err();
        assert!(failure.to_string().contains("not a part of the export"), "{failure}");
        assert!(numbers(&lines).len() <= 2, "{lines}");
    }
}

#[tokio::test]
async fn a_file_appears_when_it_is_complete() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("grid.csv");
    let words = ["--file", path.to_str().unwrap(), "-o", "csv"];
    let script = scripted(vec![vec![part(&[1, 2], 2, 3), part(&[3], 3, 3)]]);
    export(&script, &words).await.1.unwrap();
    let (printed, _) = export(&scripted(vec![vec![part(&[1, 2, 3], 3, 3)]]), &words[2..]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), printed);
    assert_eq!(printed.lines().count(), 4, "a header and three records: {printed}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
    // It is not replaced without being told to.
    let failure = export(&scripted(vec![]), &words).await.1.unwrap_err();
    assert_eq!(failure.exit_code(), ExitCode::Usage);
    let mut words = words.to_vec();
    words.push("--force");
    export(&scripted(vec![vec![part(&[7], 7, 7)]]), &words).await.1.unwrap();
    assert!(
        fs::read_to_string(&path).unwrap().ends_with("\n7,,log,,db1,,line 7\\x1b[2J,,,,,,,[],\n")
    );
}

/// An export to a file that ends after record 3, and the whole one.
async fn interrupted(format: &str) -> (TempDir, String, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("grid.log").to_str().unwrap().to_owned();
    let (whole, _) =
        export(&scripted(vec![vec![part(&[1, 2, 3, 5, 6], 6, 6)]]), &["-o", format]).await;
    let refused = Err(Status::permission_denied("no longer"));
    let script = scripted(vec![vec![part(&[1, 2, 3], 3, 6), refused]]);
    let words = ["--file", &path, "--text", "line", "-o", format];
    let failure = export(&script, &words).await.1.unwrap_err();
    let hint = format!("`gridctl log export --file {path} --resume` continues it after record 3");
    assert!(failure.to_string().ends_with(&hint), "{failure}");
    assert!(!fs::exists(&path).unwrap());
    (folder, path, whole)
}

#[tokio::test]
async fn an_interrupted_export_continues_wherever_the_file_was_torn() {
    for format in ["jsonl", "csv"] {
        let (_folder, path, whole) = interrupted(format).await;
        let partial = fs::read(format!("{path}.partial")).unwrap();
        let description = fs::read(format!("{path}.resume")).unwrap();
        let mut tried = 0;
        for end in (0..=partial.len()).step_by(7).chain([partial.len() - 1, partial.len()]) {
            // What was behind the end is lost, or was never written.
            for tail in [&b""[..], b"\0\0\0\0\n\0", b"{\"number\":9"] {
                let mut torn = partial[..end].to_vec();
                torn.extend_from_slice(tail);
                fs::write(format!("{path}.partial"), torn).unwrap();
                fs::write(format!("{path}.resume"), &description).unwrap();
                let have = partial[..end].iter().filter(|byte| **byte == b'\n').count();
                let have = have.saturating_sub(usize::from(format == "csv")) as u64;
                let script = scripted(vec![vec![part(&[1, 2, 3, 5, 6], 6, 6)]]);
                export(&script, &["--file", &path, "--resume"]).await.1.unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), whole, "cut at {end}");
                let asked = script.0.lock().unwrap().exported[0].clone();
                assert_eq!((asked.first, asked.last), (have.max(1), 0));
                assert_eq!(
                    (asked.cursor.as_str(), asked.filter.unwrap().text.as_str()),
                    ("behind 3", "line")
                );
                fs::remove_file(&path).unwrap();
                tried += 1;
            }
        }
        assert!(tried > 30);
    }
}

#[tokio::test]
async fn nobody_else_can_change_the_description_of_an_export() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("grid.log").to_str().unwrap().to_owned();
    // One that a crash left.
    let draft = format!("{path}.resume.new");
    fs::write(&draft, "old").unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o666)).unwrap();
    let script = scripted(vec![vec![part(&[1], 1, 6), Err(Status::permission_denied("no"))]]);
    export(&script, &["--file", &path]).await.1.unwrap_err();
    let mode = fs::metadata(format!("{path}.resume")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!fs::exists(&draft).unwrap());
}

#[tokio::test]
async fn an_export_is_not_continued_with_another_grid_log() {
    let (_folder, path, _) = interrupted("jsonl").await;
    let words = ["--file", &path, "--resume"];
    let mut other = record(3);
    other.text = "another".to_owned();
    let message = ExportRecordsResponse {
        records: vec![other, record(4)],
        cursor: "c".to_owned(),
        reached: 4,
        last: 4,
        ..ExportRecordsResponse::default()
    };
    let other = Ok(EncodedExport { bytes: message.encode_to_vec().into() });
    for parts in [vec![other], vec![part(&[4], 4, 4)], vec![part(&[], 4, 4)]] {
        let before = fs::read(format!("{path}.partial")).unwrap();
        let failure = export(&scripted(vec![parts]), &words).await.1.unwrap_err();
        assert!(
            failure.to_string().starts_with("record 3 of this broker is not the one"),
            "{failure}"
        );
        assert_eq!(failure.exit_code(), ExitCode::Usage);
        assert_eq!(fs::read(format!("{path}.partial")).unwrap(), before);
    }
    // Trimmed meanwhile, there is nothing to compare.
    let script = scripted(vec![vec![part_with(&[5], &[(3, 4, true)], 5, 5)]]);
    export(&script, &words).await.1.unwrap();
    assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [1, 2, 3, 5]);
}

#[tokio::test]
async fn an_interrupted_export_is_neither_overwritten_nor_continued_by_mistake() {
    let (_folder, path, whole) = interrupted("jsonl").await;
    let said = async |words: &[&str]| export(&scripted(vec![]), words).await.1.unwrap_err();
    let again = said(&["--file", &path]).await;
    assert!(again.to_string().contains("--resume continues it, --force begins again"), "{again}");
    let other = said(&["--file", &path, "--resume", "-o", "csv"]).await;
    assert!(other.to_string().contains("has the format jsonl"), "{other}");
    let none = said(&["--file", &format!("{path}2"), "--resume"]).await;
    assert_eq!(none.exit_code(), ExitCode::NotFound);
    let held = fs::File::open(format!("{path}.partial")).unwrap();
    held.lock().unwrap();
    let locked = said(&["--file", &path, "--resume"]).await;
    assert_eq!(locked.exit_code(), ExitCode::Unavailable, "{locked}");
    drop(held);
    let script = scripted(vec![vec![part(&[1, 2, 3, 5, 6], 6, 6)]]);
    export(&script, &["--file", &path, "--force"]).await.1.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
}

#[tokio::test]
async fn a_failure_before_the_first_record_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("grid.log");
    let words = ["--file", path.to_str().unwrap()];
    let failure = export(&scripted(vec![vec![]]), &words).await.1.unwrap_err();
    assert_eq!(failure.to_string(), "starting");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_older_broker_is_read_page_by_page_and_continued_too() {
    let pages = || {
        let pages = [page(&[1, 2], &[], "p2"), page(&[3, 5], &[(4, 4)], "p3"), page(&[6], &[], "")];
        let script = scripted(vec![]);
        script.0.lock().unwrap().pages = VecDeque::from(pages);
        script
    };
    let (lines, ended) = export(&pages(), &[]).await;
    ended.unwrap();
    assert_eq!(numbers(&lines), [1, 2, 3, 5, 6]);
    let (_folder, path, _) = interrupted("jsonl").await;
    export(&pages(), &["--file", &path, "--resume"]).await.1.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), lines);
}
