//! Logging in at a terminal: what is asked, and what is not shown.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use grid_broker::identity::token::TokenKind;

use crate::scripted_broker::{SecureBroker, User, new_token};
use crate::support::{clean, eventually, holds};

/// gridctl at a terminal: what it shows, and its exit code. Each answer is typed after its question.
async fn at_a_terminal(user: &User, line: &str, answers: &[(&str, &str)]) -> (String, Option<i32>) {
    let shown = tempfile::NamedTempFile::new().expect("a file for the terminal");
    // `script` makes the terminal.
    let mut command = clean("/usr/bin/script");
    let typed = format!("{} {line}", env!("CARGO_BIN_EXE_gridctl"));
    command.args(["--quiet", "--return", "--flush", "--command", &typed, "/dev/null"]);
    command.env("XDG_CONFIG_HOME", user.path("config")).env("SHELL", "/bin/sh");
    command.stdin(Stdio::piped()).stdout(shown.reopen().expect("the same file"));
    let mut child = command.spawn().expect("script, of the package bsdutils");
    let mut keyboard = child.stdin.take().expect("a pipe");
    let read = || fs::read_to_string(shown.path()).expect("UTF-8");
    for (question, answer) in answers {
        holds(question, async || read().contains(question)).await;
        writeln!(keyboard, "{answer}").expect("types");
    }
    let status = eventually("its end", async || child.try_wait().expect("waits")).await;
    (read(), status.code())
}

#[tokio::test]
async fn at_a_terminal_the_token_is_not_shown_and_a_new_pin_is_asked_about() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let token = new_token(TokenKind::Administrator, None);
    let line = format!("login {}", broker.address);
    let (hidden, pin) = ("it is not shown): ", broker.pin());
    for refusal in ["no", "y", ""] {
        let answers = [(hidden, token.as_str()), ("Type yes or no: ", refusal)];
        let (shown, code) = at_a_terminal(&user, &line, &answers).await;
        assert_eq!(code, Some(2), "{shown}");
        assert!(shown.contains(&pin) && shown.contains("nothing was sent, and nothing was stored"));
        assert!(!shown.contains(&token[13..]), "{shown}");
    }
    assert_eq!(broker.script.asked(), Vec::<String>::new());
    let answers = [(hidden, token.as_str()), ("Type yes or no: ", "yes")];
    let (shown, code) = at_a_terminal(&user, &line, &answers).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(&token[13..]), "{shown}");
    assert_eq!(broker.script.credentials(), [format!("Bearer {token}")]);
    // It is known now, so that only the token is asked for.
    let (shown, code) = at_a_terminal(&user, &line, &[(hidden, &token)]).await;
    assert_eq!((code, shown.contains("Type yes")), (Some(0), false), "{shown}");
}
