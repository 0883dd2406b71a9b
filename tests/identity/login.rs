//! Logging in and out: what is stored, what is sent, and to whom nothing is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use grid_broker::identity::token::TokenKind;
use tonic::Code;

use crate::scripted_broker::{SecureBroker, User, mode, new_token};
use crate::scripted_identity::ScriptedIdentity;

#[tokio::test]
async fn a_login_stores_address_pin_and_token_for_the_user_alone() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let token = new_token(TokenKind::Administrator, None);
    let file = user.write("token", &format!("{token}\n"));
    let (address, pin) = (&broker.address, broker.pin());
    let line = format!("login {address} --token-file {file} --pin {pin} --name production");
    let said = user.gridctl(&line).await.done();
    assert_eq!(
        said,
        format!(
            "logged in at {address} as ann, administrator with the role operator (token token000)\n\
             context production is the current one\n"
        )
    );
    let files = user.files();
    assert_eq!(files.len(), 2, "contexts and one secret: {files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
    assert_eq!(mode(&user.path("config/gridctl")), 0o700);
    assert_eq!(mode(&user.path("config/gridctl/secrets")), 0o700);
    // The next command needs no flags, and sends the token.
    let said = user.gridctl("whoami --output json").await.done();
    assert!(said.contains(r#""name":"ann","role":"operator""#), "{said}");
    assert_eq!(broker.script.credentials(), vec![format!("Bearer {token}"); 2]);
    for line in ["context list --output json", "context show", "context list -o wide"] {
        let said = user.gridctl(line).await;
        assert!(said.stdout.contains("token") && !said.stdout.contains(&token[13..]), "{said:?}");
    }
    let shown: serde_json::Value =
        serde_json::from_str(&user.gridctl("context show -o json").await.done()).expect("JSON");
    assert_eq!((&shown["pin"], &shown["credential"]), (&pin.into(), &"token".into()));
}

#[tokio::test]
async fn a_stranger_at_the_same_address_gets_no_token() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let token = new_token(TokenKind::Administrator, None);
    let file = user.write("token", &token);
    let line = format!("login {} --token-file {file} --pin {}", broker.address, broker.pin());
    user.gridctl(&line).await.done();
    let address = broker.stop().await;
    let stranger = SecureBroker::start_at(&address, ScriptedIdentity::default()).await;
    let said = user.gridctl("whoami").await;
    assert_ne!(said.code, Some(0));
    assert!(said.stderr.contains(&stranger.pin()), "it names the other pin: {said:?}");
    // With the stranger's pin, there is no token that could be sent.
    user.gridctl(&format!("whoami --pin {}", stranger.pin())).await.done();
    assert_eq!(stranger.script.asked(), ["who_am_i"]);
    assert_eq!(stranger.script.credentials(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_is_trusted_without_being_asked() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let file = user.write("token", &new_token(TokenKind::Administrator, None));
    for scheme in ["", "https://"] {
        let said =
            user.gridctl(&format!("login {scheme}{} --token-file {file}", broker.address)).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
        let words =
            "there is no terminal to ask: give its --pin or --ca-file, from its administrators";
        assert!(said.stderr.contains(words), "{said:?}");
    }
    assert_eq!(broker.script.asked(), Vec::<String>::new());
    assert_eq!(user.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_enrolment_token_becomes_a_certificate_and_its_pin_is_enough() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let file = user.write("token", &new_token(TokenKind::Enrolment, Some(&broker)));
    let line = format!("login {} --token-file {file}", broker.address);
    user.gridctl(&line).await.done();
    let mut extensions: Vec<String> = user
        .files()
        .iter()
        .map(|file| file.extension().expect("one").to_str().expect("text").to_owned())
        .collect();
    extensions.sort();
    assert_eq!(extensions, ["key", "pem", "toml"]);
    user.gridctl("whoami").await.done();
    assert_eq!(broker.script.credentials(), ["certificate", "certificate"]);
    let said = user.gridctl("logout --revoke").await;
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("has a certificate, which --revoke cannot revoke"), "{said:?}");
    assert_eq!(user.gridctl("logout").await.done(), "logged out of context 127.0.0.1\n");
    assert_eq!(user.files().len(), 1, "{:?}", user.files());
}

#[tokio::test]
async fn an_enrolment_that_broke_off_is_repeated_with_the_same_key() {
    let user = User::new();
    let broken = ScriptedIdentity::default().refuse("who_am_i", Code::Unavailable);
    let broker = SecureBroker::start_at("127.0.0.1:0", broken).await;
    let file = user.write("token", &new_token(TokenKind::Enrolment, Some(&broker)));
    let line = format!("login {} --token-file {file}", broker.address);
    for _ in 0..2 {
        assert_eq!(user.gridctl(&line).await.code, Some(6));
    }
    let keys: Vec<String> =
        broker.script.asked().into_iter().filter(|it| it.starts_with("key ")).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(keys[0], keys[1]);
    let contexts = user.path("config/gridctl/contexts.toml");
    assert!(!contexts.exists(), "nobody is logged in");
}

#[tokio::test]
async fn logging_out_removes_the_token_and_revokes_it_on_request() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let token = new_token(TokenKind::Administrator, None);
    let file = user.write("token", &token);
    let login = format!("login {} --token-file {file} --pin {}", broker.address, broker.pin());
    for (line, shown) in [
        ("logout".to_owned(), "logged out of context 127.0.0.1\n".to_owned()),
        (
            "logout 127.0.0.1 --revoke".to_owned(),
            format!("logged out of context 127.0.0.1, and token {} is revoked\n", &token[4..12]),
        ),
    ] {
        user.gridctl(&login).await.done();
        assert_eq!(user.gridctl(&line).await.done(), shown);
        assert_eq!(user.files().len(), 1, "only the contexts are left");
    }
    let asked = broker.script.asked();
    assert_eq!(asked, ["who_am_i", "who_am_i", &format!("revoke_token {}", &token[4..12])]);
    let said = user.gridctl("logout").await;
    assert_eq!(said.code, Some(2));
    assert_eq!(said.stderr, "gridctl: context 127.0.0.1 has no login\n");
}

#[tokio::test]
async fn a_secret_or_context_that_others_can_read_is_refused_with_the_chmod() {
    let (broker, user) = (SecureBroker::start().await, User::new());
    let file = user.write("token", &new_token(TokenKind::Administrator, None));
    let login = format!("login {} --token-file {file} --pin {}", broker.address, broker.pin());
    let open = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("a mode");
    };
    let refused = async |line: &str, path: &Path| {
        let said = user.gridctl(line).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        let path = path.display();
        let words = format!(
            "gridctl: {path}: others can read it (mode 644), so it is not used; only you may: chmod \
             600 {path}\n"
        );
        assert_eq!(said.stderr, words, "{line}");
    };
    open(Path::new(&file));
    refused(&login, Path::new(&file)).await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    user.gridctl(&login).await.done();
    assert_eq!(user.files().len(), 2);
    for path in user.files() {
        open(&path);
        refused("whoami", &path).await;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    user.gridctl("whoami").await.done();
}

#[tokio::test]
async fn a_refused_caller_learns_who_he_is_and_how_to_log_in() {
    let user = User::new();
    let script = ScriptedIdentity::default()
        .refuse("list_tokens", Code::PermissionDenied)
        .refuse("list_keys", Code::Unauthenticated);
    let broker = SecureBroker::start_at("127.0.0.1:0", script).await;
    let (address, pin) = (&broker.address, broker.pin());
    let file = user.write("token", &new_token(TokenKind::Administrator, None));
    let flags = format!("--broker {address} --pin {pin}");
    let said = user.gridctl(&format!("{flags} key list")).await;
    assert_eq!(said.code, Some(3));
    let words = format!(
        "gridctl: list_keys is refused\n  no credential was sent, since you are not logged in there: \
         gridctl login {address}\n"
    );
    assert_eq!(said.stderr, words);
    let said = user.gridctl(&format!("{flags} --token-file {file} key list")).await;
    assert!(
        said.stderr.contains(&format!("the token in {file} was sent: it is revoked")),
        "{said:?}"
    );
    user.gridctl(&format!("login {address} --pin {pin} --token-file {file} --name a")).await.done();
    let said = user.gridctl("key list").await;
    assert!(
        said.stderr.contains("the credential of context a was sent: it is revoked"),
        "{said:?}"
    );
    let said = user.gridctl("token list").await;
    let words = format!(
        "gridctl: list_tokens is refused\n  you are ann, administrator with the role operator (token \
         token000); `gridctl login {address}` logs in as somebody else\n"
    );
    assert_eq!((said.code, said.stderr), (Some(3), words));
}

#[tokio::test]
async fn a_token_of_another_kind_or_for_another_broker_is_not_sent() {
    let (broker, other, user) =
        (SecureBroker::start().await, SecureBroker::start().await, User::new());
    let (address, pin) = (&broker.address, broker.pin());
    for (text, words) in [
        (new_token(TokenKind::Appliance, None), "is one of an appliance (gbd_...)"),
        ("hunter2".to_owned(), "is not a token: tokens of a broker begin with gba_, gbd_ or gbe_"),
        (
            new_token(TokenKind::Enrolment, Some(&other)),
            "the token is for the broker with the pin ",
        ),
    ] {
        let file = user.write("token", &text);
        let said = user.gridctl(&format!("login {address} --token-file {file} --pin {pin}")).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(words), "{said:?}");
    }
    let said = user.gridctl(&format!("login {address} --pin {pin}")).await;
    assert!(said.stderr.contains("there is no terminal to ask for the token"), "{said:?}");
    assert_eq!(broker.script.asked(), Vec::<String>::new());
    assert_eq!(user.files(), Vec::<PathBuf>::new());
}
