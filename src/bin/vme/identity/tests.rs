//! Tests of the folder with the identity: complete or not there, whenever an enrolment is broken off.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use grid_broker::client::TokenText;
use grid_broker::exit_code::ExitCode;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::identity::token::{NewToken, TokenKind};
use tempfile::TempDir;

use super::enrol::Enrolment;
use super::folder::{IdentityFolder, StoredIdentity};
use crate::in_runtime;

fn stored(token: &str) -> StoredIdentity {
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    StoredIdentity {
        address: "https://controller:7443".to_owned(),
        pin: KeyHash([0xa5; 32]),
        appliance: "shop:main.db1".to_owned(),
        token: token.to_owned(),
        issued_at: at(1_795_000_000),
        renew_at: at(1_796_000_000),
        expires_at: at(1_797_000_000),
    }
}

fn folder(state: &TempDir) -> IdentityFolder {
    IdentityFolder::of_state(state.path())
}

fn files_in(folder: &Path) -> Vec<String> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = found
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn an_identity_appears_complete_and_keeps_its_key_over_broken_off_tries() {
    let state = TempDir::new().expect("a folder");
    let unfinished = folder(&state).unfinished();
    let key = unfinished.make_key().expect("a key").hash();
    let whole = state.path().join("identity.new");
    assert_eq!(fs::metadata(&whole).expect("it").permissions().mode() & 0o777, 0o700);
    // The files of a try, in the order in which they are written, and the partial ones of a crash.
    for left in
        ["key.pem.new", "certificate.pem.new", "certificate.pem", "ca.pem", "broker.toml.new"]
    {
        fs::write(whole.join(left), "-----BEG").expect("written");
        assert_eq!(folder(&state).load().expect("no error"), None, "{left}");
        assert_eq!(unfinished.make_key().expect("a key").hash(), key, "{left}");
    }
    unfinished.store("certificate", "authority", &stored("aaaaaaaa")).expect("stored");
    assert_eq!(folder(&state).load().expect("no error"), None, "not in place yet");
    folder(&state).unfinished().replace(&folder(&state)).expect("in place");
    assert_eq!(folder(&state).load().expect("no error"), Some(stored("aaaaaaaa")));
    assert_eq!(folder(&state).key().expect("no error").expect("a key").hash(), key);
    assert!(!whole.exists());
    for name in ["key.pem", "certificate.pem", "broker.toml"] {
        let mode =
            fs::metadata(state.path().join("identity").join(name)).expect("it").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_replaced_identity_is_removed_and_its_key_is_not_used_again() {
    let state = TempDir::new().expect("a folder");
    let first = folder(&state).unfinished();
    let old_key = first.make_key().expect("a key").hash();
    first.store("old", "old", &stored("aaaaaaaa")).expect("stored");
    first.replace(&folder(&state)).expect("in place");

    let second = folder(&state).unfinished();
    let new_key = second.make_key().expect("a key").hash();
    assert_ne!(new_key, old_key);
    second.store("new", "new", &stored("bbbbbbbb")).expect("stored");
    second.replace(&folder(&state)).expect("in place");
    assert_eq!(folder(&state).load().expect("no error"), Some(stored("bbbbbbbb")));
    assert_eq!(folder(&state).key().expect("no error").expect("a key").hash(), new_key);
    assert_eq!(files_in(state.path()), ["identity"]);
}

#[test]
fn an_incomplete_or_damaged_identity_is_an_error_in_words() {
    let state = TempDir::new().expect("a folder");
    let path = state.path().join("identity");
    fs::create_dir(&path).expect("a folder");
    let error = folder(&state).load().expect_err("incomplete").to_string();
    let file = path.join("broker.toml");
    let shown = file.display();
    assert_eq!(
        error,
        format!(
            "{shown} is missing, so this host has no identity that can be used; enrol it again (`vme \
             enrol --force`)"
        )
    );
    folder(&state).store("a", "b", &stored("aaaaaaaa")).expect("stored");
    let text = fs::read_to_string(&file).expect("text");
    assert!(text.contains("expires_at = \"2026-12-11T"), "{text}");
    for name in ["address", "pin", "appliance", "token", "issued_at", "renew_at", "expires_at"] {
        let line = text.lines().find(|line| line.starts_with(name)).expect("a line");
        fs::write(&file, text.replace(line, &format!("{name} = 7"))).expect("written");
        assert_eq!(
            folder(&state).load().expect_err("damaged").to_string(),
            format!("{shown} has no valid `{name}`; enrol this host again (`vme enrol --force`)")
        );
    }
}

#[test]
fn one_process_at_a_time_changes_the_identity_and_a_try_is_remembered() {
    let state = TempDir::new().expect("a folder");
    let lock = folder(&state).try_lock().expect("no error").expect("the lock");
    assert!(folder(&state).try_lock().expect("no error").is_none());
    lock.note_try();
    assert!(folder(&state).since_last_try().expect("noted") < Duration::from_secs(3600));
    drop(lock);
    assert!(folder(&state).try_lock().expect("no error").is_some());
}

/// Enrols at an address where nobody listens; the exit code and the error.
fn enrol_nowhere(state: &TempDir, token: &str, is_forced: bool) -> (ExitCode, String) {
    let file = state.path().join("token");
    fs::write(&file, token).expect("written");
    let enrolment = Enrolment {
        state: state.path(),
        token_file: Some(&file),
        name: None,
        is_forced,
        address: "127.0.0.1:1",
        within: Duration::from_secs(60),
    };
    let mut text = String::new();
    let code = in_runtime(async {
        let error = enrolment.enrol().await.expect_err("nobody listens there");
        text = error.to_string();
        error.exit_code()
    });
    (code, text)
}

#[test]
fn a_token_is_checked_before_anything_is_made() {
    let state = TempDir::new().expect("a folder");
    let of_kind = |kind, pin| {
        let token = NewToken::generate(kind, pin).expect("a token");
        TokenText::new(token.text()).expect("a token").expose().to_owned()
    };
    for (token, expected) in [
        (of_kind(TokenKind::Administrator, None), "is an administrator's, and not for enrolment"),
        (of_kind(TokenKind::Appliance, None), "is an appliance's, and not for enrolment"),
        ("gbe_x".to_owned(), "is incomplete, or has more characters than a token"),
    ] {
        let (code, text) = enrol_nowhere(&state, &token, false);
        assert!(text.contains(expected), "{text}");
        assert_eq!(code, ExitCode::Usage);
        assert_eq!(files_in(state.path()), ["token"]);
    }
}

#[test]
fn a_failed_enrolment_keeps_its_key_and_the_identity_that_works() {
    let state = TempDir::new().expect("a folder");
    let [token, other] = [(); 2].map(|()| {
        NewToken::generate(TokenKind::Enrolment, Some(KeyHash([7; 32]))).expect("a token")
    });
    let key = || folder(&state).unfinished().key().expect("no error").expect("a key").hash();
    let (code, text) = enrol_nowhere(&state, token.text(), false);
    assert!(text.starts_with("no broker answers at https://127.0.0.1:1"), "{text}");
    assert_eq!(code, ExitCode::Unavailable);
    let first = key();
    assert_eq!(enrol_nowhere(&state, token.text(), false).0, ExitCode::Unavailable);
    assert_eq!(key(), first, "the same for each try");

    // Another identity is in place by now.
    let unfinished = folder(&state).unfinished();
    unfinished.store("c", "a", &stored("aaaaaaaa")).expect("stored");
    unfinished.replace(&folder(&state)).expect("in place");
    let (code, text) = enrol_nowhere(&state, token.text(), false);
    assert_eq!(
        text,
        "this host is already shop:main.db1 at https://controller:7443, until 2026-12-11T14:40:00Z; \
         nothing was changed. Give --force to replace that identity"
    );
    assert_eq!(code, ExitCode::Refused);
    assert_eq!(enrol_nowhere(&state, token.text(), true).0, ExitCode::Unavailable);
    assert_ne!(key(), first, "a replaced identity gets a new key");
    assert_eq!(folder(&state).load().expect("no error"), Some(stored("aaaaaaaa")), "it stays");

    // A crash after the exchange left the replaced identity there.
    let leftover = folder(&state).unfinished();
    let replaced = key();
    leftover.store("c", "a", &stored("cccccccc")).expect("stored");
    assert_eq!(enrol_nowhere(&state, other.text(), true).0, ExitCode::Unavailable);
    assert_ne!(key(), replaced, "its key is not used again");
}
