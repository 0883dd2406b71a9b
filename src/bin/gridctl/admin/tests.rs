//! Tests what the commands on administrators and tokens send, print and report.

use grid_broker::exit_code::ExitCode;
use tonic::Code;

use super::*;
use crate::args::GridctlCommand;
use crate::key;
use crate::scripted_identity::ScriptedIdentity;
use crate::test_line::prepare;

/// Returns what a command line prints, and its result.
async fn run_line(script: &ScriptedIdentity, line: &str) -> (String, Result<(), CliError>) {
    let (broker, args, look) = prepare(script, line).await;
    let mut out = Vec::new();
    let ended = if let GridctlCommand::Admin(command) = &args.command {
        run(&broker, command, &look, &mut out).await
    } else if let GridctlCommand::Token(command) = &args.command {
        token::run(&broker, command, &look, &mut out).await
    } else if let GridctlCommand::Key(command) = &args.command {
        key::run(&broker, command, &look, &mut out).await
    } else {
        panic!("no command of identities");
    };
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn creating_prints_the_token_and_nothing_else() {
    for (line, asked) in [
        (
            "gridctl admin create ann --role operator --valid 90d",
            &[
                "create_administrator ann",
                "role 2",
                "create_token administrator ann",
                "valid for 7776000 s",
            ][..],
        ),
        (
            "gridctl create admin ann --role ADMIN --certificate",
            &[
                "create_administrator ann",
                "role 3",
                "create_token enrolment ann",
                "class `` count 0 replace false",
            ],
        ),
        ("gridctl token create --appliance ann", &["create_token appliance ann"]),
        ("gridctl token create --admin ann -q", &["create_token administrator ann"]),
    ] {
        let script = ScriptedIdentity::default();
        let (shown, ended) = run_line(&script, line).await;
        ended.unwrap();
        assert_eq!(shown, "text-of-ann\n", "{line}");
        assert_eq!(script.asked(), asked, "{line}");
    }
}

#[tokio::test]
async fn an_administrator_without_a_token_is_reported_as_such() {
    let script =
        ScriptedIdentity::default().refuse("create_token administrator", Code::ResourceExhausted);
    let (shown, ended) = run_line(&script, "gridctl admin create ann --role viewer").await;
    let failure = ended.unwrap_err();
    assert_eq!(shown, "");
    assert_eq!(
        failure.to_string(),
        "administrator ann exists now, but has no token: create_token administrator is refused\n  \
         `gridctl token create --administrator ann` creates one"
    );
}

#[tokio::test]
async fn changes_name_their_records() {
    let script = ScriptedIdentity::default();
    for (line, expected) in [
        ("gridctl admin set ann --role admin", "ann has the role admin (record 17)\n"),
        ("gridctl admin rm ann", "ann is removed: all credentials are invalid (record 17)\n"),
        (
            "gridctl token revoke token001",
            "token001 is revoked; sessions that used it ended (record 17)\n",
        ),
        ("gridctl token rotate token001", "new-text-of-db1\n"),
        (
            "gridctl admin remove ann bob --output jsonl",
            "{\"name\":\"ann\",\"record_number\":17}\n{\"name\":\"bob\",\"record_number\":17}\n",
        ),
        (
            "gridctl token revoke token001 --batch",
            "token \"token001\" {\n  name = token001\n  record_number = 17\n}\n",
        ),
    ] {
        let (shown, ended) = run_line(&script, line).await;
        ended.unwrap();
        assert_eq!(shown, expected, "{line}");
    }
}

#[tokio::test]
async fn one_failure_does_not_stop_the_others() {
    let script = ScriptedIdentity::default().refuse("token002", Code::NotFound);
    let line = "gridctl token revoke token001 token002 token003";
    let (shown, ended) = run_line(&script, line).await;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert_eq!(ended.unwrap_err().exit_code(), ExitCode::NotFound);
}

#[tokio::test]
async fn lists_have_every_form() {
    let script = ScriptedIdentity::default();
    for (line, words) in [
        ("gridctl tokens", "appliance db1"),
        ("gridctl token list -q", "token001\ntoken002\n"),
        (
            "gridctl list tokens --output csv",
            "id,created_at,created_by,expires_at,last_used_at,uses,subject\n",
        ),
        ("gridctl admins", "ann               operator  2026-11-20 14:02:10"),
        ("gridctl get admins -o csv", "name,role,created_at\nann,operator,2026-11-20T14:02:10Z\n"),
        ("gridctl admin ls --batch", "administrator \"ann\" {\n  name = ann\n  role = operator\n"),
        ("gridctl list keys", "revoked"),
        ("gridctl key list --attention -q", "db9\n"),
    ] {
        let (shown, ended) = run_line(&script, line).await;
        ended.unwrap();
        assert!(shown.contains(words), "{line}: {shown}");
    }
}
