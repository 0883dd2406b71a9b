//! Tests what enrolling and revoking send, print and report.

use tonic::Code;

use super::*;
use crate::args::{ApplianceCommand, GridctlCommand};
use crate::scripted_identity::ScriptedIdentity;
use crate::test_line::prepare;

/// Returns what a command line prints, and its result.
async fn run_line(script: &ScriptedIdentity, line: &str) -> (String, Result<(), CliError>) {
    let (broker, args, look) = prepare(script, line).await;
    let mut out = Vec::new();
    let GridctlCommand::Appliance(command) = &args.command else {
        panic!("no command of this file");
    };
    let ended = if let ApplianceCommand::Enrol(arguments) = command {
        run(&broker, arguments, &look, &mut out).await
    } else if let ApplianceCommand::Revoke(named) = command {
        revoke(&broker, named, &look, &mut out).await
    } else {
        panic!("no command of this file");
    };
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn stdout_has_the_token_and_nothing_else() {
    let script = ScriptedIdentity::default();
    for line in [
        "gridctl appliance enrol shop:main.db1 --class db --valid 15m --replace",
        "gridctl appliance enrol shop:main.db1 --quiet",
        "gridctl enrol appliance shop:main.db1 --output name",
    ] {
        let (shown, ended) = run_line(&script, line).await;
        ended.unwrap();
        assert_eq!(shown, "text-of-shop:main.db1\n", "{line}");
    }
    let asked = script.asked();
    assert_eq!(
        asked[..4],
        [
            "create_token enrolment shop:main.db1",
            "valid for 900 s",
            "class `db` count 0 replace true",
            "create_token enrolment shop:main.db1"
        ]
    );
}

#[tokio::test]
async fn json_has_the_token_and_what_is_stored_of_it() {
    let line = "gridctl appliance enrol --pattern web-* --count 50 --valid 7d --output json";
    let script = ScriptedIdentity::default();
    let (shown, ended) = run_line(&script, line).await;
    ended.unwrap();
    assert_eq!(
        shown,
        concat!(
            r#"{"name":"web-*","token":"text-of-web-*","info":{"id":"token001","subject":"#,
            r#"{"appliance":null,"administrator":null,"enrolment":{"appliance":null,"#,
            r#""administrator":null,"name_pattern":"web-*","class":"","count":50,"#,
            r#""replace":false}},"created_at":"2026-11-20T14:02:10Z","created_by":"ann","#,
            r#""expires_at":"2026-11-20T15:02:10Z","last_used_at":null,"uses":0}}"#,
            "\n"
        )
    );
    assert_eq!(script.asked()[1..], ["valid for 604800 s", "class `` count 50 replace false"]);
}

fn names_file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("names.txt");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[tokio::test]
async fn a_file_of_names_makes_a_line_for_each() {
    let (_folder, path) = names_file("db1\nweb-1 web\n");
    let script = ScriptedIdentity::default();
    let line = format!("gridctl appliance enrol --many {path} --class db");
    let (shown, ended) = run_line(&script, &line).await;
    ended.unwrap();
    assert_eq!(shown, "db1 text-of-db1\nweb-1 text-of-web-1\n");
    let classes: Vec<String> =
        script.asked().into_iter().filter(|it| it.starts_with("class")).collect();
    assert_eq!(classes, ["class `db` count 0 replace false", "class `web` count 0 replace false"]);
    let (shown, _) = run_line(&script, &format!("{line} -o json")).await;
    let parsed: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&parsed[0]["name"], &parsed[1]["token"]), (&"db1".into(), &"text-of-web-1".into()));
}

#[tokio::test]
async fn nothing_is_sent_if_one_line_is_invalid() {
    let (_folder, path) = names_file("db1\nd/b\n");
    let script = ScriptedIdentity::default();
    let (shown, ended) = run_line(&script, &format!("gridctl appliance enrol --many {path}")).await;
    let failure = ended.unwrap_err();
    assert_eq!(failure.exit_code(), ExitCode::Usage);
    assert!(failure.to_string().contains("1 line is invalid; nothing was sent\n  line 2: `d/b`"));
    assert_eq!((shown.as_str(), script.asked()), ("", Vec::new()));
}

#[tokio::test]
async fn tokens_that_were_created_are_printed_although_others_failed() {
    let (_folder, path) = names_file("db1\ndb2\ndb3\n");
    let line = format!("gridctl appliance enrol --many {path}");
    for (code, shown_tokens, words, exit_code) in [
        (
            Code::FailedPrecondition,
            "db1 text-of-db1\ndb3 text-of-db3\n",
            "1 of 3 failed; the tokens of the others are valid",
            ExitCode::Refused,
        ),
        (
            Code::PermissionDenied,
            "db1 text-of-db1\n",
            "1 of 3 failed, 1 was not tried; the tokens of the others are valid",
            ExitCode::Refused,
        ),
        (
            Code::Unavailable,
            "db1 text-of-db1\n",
            "1 of 3 failed, 1 was not tried; the tokens of the others are valid",
            ExitCode::Unavailable,
        ),
    ] {
        let script = ScriptedIdentity::default().refuse("db2", code);
        let (shown, ended) = run_line(&script, &line).await;
        assert_eq!(shown, shown_tokens, "{code:?}");
        let failure = ended.unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.exit_code()), (words, exit_code));
    }
}

#[tokio::test]
async fn revoking_names_its_record_and_accepts_no_pattern() {
    let script = ScriptedIdentity::default();
    for (line, expected) in [
        (
            "gridctl appliance revoke db1",
            "db1 is revoked: its key and tokens are invalid, and its sessions ended (record 17)\n",
        ),
        ("gridctl revoke appliance db1 --output json", "{\"name\":\"db1\",\"record_number\":17}\n"),
        ("gridctl appliance revoke db1 --quiet", ""),
    ] {
        assert_eq!(run_line(&script, line).await.0, expected, "{line}");
    }
    for (line, words) in [
        ("gridctl appliance revoke db*", "db* is a pattern: name each appliance to revoke"),
        (
            "gridctl appliance enrol db*",
            "db* is a pattern: `gridctl appliance enrol --pattern 'db*' --count NUMBER` creates one",
        ),
    ] {
        let failure = run_line(&script, line).await.1.unwrap_err();
        assert!(failure.to_string().starts_with(words), "{failure}");
        assert_eq!(failure.exit_code(), ExitCode::Usage);
    }
    assert_eq!(script.asked().len(), 3, "{:?}", script.asked());
}
